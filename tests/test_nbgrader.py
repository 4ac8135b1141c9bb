"""nbgrader end to end on one lesson: right, wrong and untouched exercises; what happens to notebooks by accident."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vit_course.authoring import SOLUTIONS
from vit_course.authoring.nbgrader_layout import nbgrader_source
from vit_course.checks import exercises

pytest.importorskip("nbgrader", reason="nbgrader is not installed")


RIGHT = """\
def num_patches(height, width, patch_size):
    if height % patch_size or width % patch_size:
        raise ValueError('sizes do not fit')
    return (height // patch_size) * (width // patch_size)"""
NAMES = [name for name, exercise in exercises().items() if exercise.lesson == "01"]


def run_nbgrader(*arguments, folder):
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def nbgrader(*arguments, folder):
    done = run_nbgrader(*arguments, folder=folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def submit(course, student, notebook):
    path = course / "submitted" / student / "lesson_01" / "01_patches.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)


def grades(course, student):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        graded = gradebook.find_submission_notebook("01_patches", "lesson_01", student)
        return {grade.name: grade.score for grade in graded.grades}, {g.name: g.max_score for g in graded.grades}


def points(**given):
    return {f"check-{name}": given.get(name, 0.0) for name in NAMES}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course laid out, and lesson 01 released."""
    # nbgrader keeps its settings and its exchange outside the course: not this machine's own.
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    # As for an instructor whose environment is not activated: nbgrader starts `alembic` by its bare name.
    scripts = str(Path(sys.executable).parent)
    outside = [place for place in os.environ["PATH"].split(os.pathsep) if place != scripts]
    monkeypatch.setenv("PATH", os.pathsep.join(outside))
    course = tmp_path / "course"
    nbgrader_source(course, SOLUTIONS)
    nbgrader("generate_assignment", "lesson_01", folder=course)
    assert "VIT_COURSE_STRICT" not in os.environ  # nbgrader's own variable does it
    return course


def test_generate_and_autograde(course):
    released = course / "release" / "lesson_01" / "01_patches.ipynb"
    notebook = nbformat.read(released, as_version=4)
    by_id = {cell.id: cell for cell in notebook.cells}
    assert "raise NotImplementedError" in by_id["ex-patchify"].source
    assert "BEGIN SOLUTION" not in released.read_text()

    assert by_id["check-patchify"].source == "patchify = check(patchify)"  # as in the course's own notebooks
    by_id["ex-num_patches"].source = RIGHT
    by_id[
        "ex-patchify"
    ].source = (
        "def patchify(images, patch_size):\n    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])"
    )
    submit(course, "ada", notebook)
    nbgrader("autograde", "lesson_01", folder=course)

    scores, best = grades(course, "ada")
    assert scores == points(num_patches=1.0)
    assert best == {f"check-{name}": exercises()[name].points for name in NAMES}
    feedback = (course / "autograded" / "ada" / "lesson_01" / "01_patches.ipynb").read_text()
    assert "cuts the long row of numbers" in feedback  # the card is there for the student to read
    nbgrader("generate_feedback", "lesson_01", folder=course)
    page = (course / "feedback" / "ada" / "lesson_01" / "01_patches.html").read_text(encoding="utf-8")
    assert "cuts the long row of numbers" in page  # nbgrader shows hidden tests there as well: ours hold no secret


@pytest.mark.slow
def test_what_happens_to_notebooks_decides_no_points(course):
    """`check` shadowed, strict mode gone, a function of another name; test cells deleted; nbgrader's notes lost."""
    released = nbformat.read(course / "release" / "lesson_01" / "01_patches.ipynb", as_version=4)
    kept = ("setup", "imports", *(f"{kind}-{name}" for name in NAMES for kind in ("ex", "check")))
    released.cells = [cell for cell in released.cells if cell.id in kept]  # the rest takes time

    def handed_in(student, change, **sources):
        notebook = copy.deepcopy(released)
        by_id = {cell.id: cell for cell in notebook.cells}
        for name, source in sources.items():
            by_id[f"ex-{name}"].source = source
        change(notebook, by_id)
        submit(course, student, notebook)

    shadowed = "check = lambda f, **_: f\nimport os\nos.environ.pop('NBGRADER_EXECUTION', None)\n"
    handed_in(
        "shadowed",
        lambda *_: None,
        num_patches=shadowed + "def num_patches(*sizes):\n    return 0",
        patchify="patchify = num_patches  # one right answer, given to another exercise",
    )
    handed_in("renamed", lambda *_: None, num_patches=RIGHT, patchify="patchify = num_patches")

    def deleted(notebook, by_id):
        notebook.cells.remove(by_id["check-num_patches"])

    handed_in("deleted", deleted, num_patches=RIGHT)
    handed_in("note-of-the-test-lost", lambda _, by_id: by_id["check-num_patches"].metadata.clear(), num_patches=RIGHT)
    handed_in("note-of-the-answer-lost", lambda _, by_id: by_id["ex-num_patches"].metadata.clear(), num_patches=RIGHT)
    nbgrader("autograde", "lesson_01", folder=course)
    assert grades(course, "shadowed")[0] == points()
    for student in ("renamed", "deleted", "note-of-the-test-lost", "note-of-the-answer-lost"):
        assert grades(course, student)[0] == points(num_patches=1.0), student

    # With all notes lost nothing is graded: nbgrader says so and gives no zero without a word.
    handed_in(
        "all-notes-lost", lambda notebook, _: [cell.metadata.clear() for cell in notebook.cells], num_patches=RIGHT
    )
    done = run_nbgrader("autograde", "lesson_01", "--student", "all-notes-lost", folder=course)
    assert done.returncode != 0
    assert "error processing assignment 'lesson_01' for student 'all-notes-lost'" in done.stderr
