"""nbgrader end to end on one lesson: one exercise right, one wrong, the others untouched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vit_course.authoring import SOLUTIONS
from vit_course.authoring.nbgrader_layout import nbgrader_source
from vit_course.checks import exercises

pytest.importorskip("nbgrader", reason="nbgrader is not installed")


def nbgrader(*arguments, folder):
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_generate_and_autograde(tmp_path, monkeypatch):
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
    released = course / "release" / "lesson_01" / "01_patches.ipynb"
    notebook = nbformat.read(released, as_version=4)
    by_id = {cell.id: cell for cell in notebook.cells}
    assert "raise NotImplementedError" in by_id["ex-patchify"].source
    assert "BEGIN SOLUTION" not in released.read_text()

    by_id["ex-num_patches"].source = (
        "def num_patches(height, width, patch_size):\n"
        "    if height % patch_size or width % patch_size:\n"
        "        raise ValueError('sizes do not fit')\n"
        "    return (height // patch_size) * (width // patch_size)"
    )
    by_id[
        "ex-patchify"
    ].source = (
        "def patchify(images, patch_size):\n    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])"
    )
    submitted = course / "submitted" / "ada" / "lesson_01" / "01_patches.ipynb"
    submitted.parent.mkdir(parents=True)
    shutil.copy(released, submitted)
    nbformat.write(notebook, submitted)
    assert "VIT_COURSE_STRICT" not in os.environ  # nbgrader's own variable does it
    nbgrader("autograde", "lesson_01", folder=course)

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        graded = gradebook.find_submission_notebook("01_patches", "lesson_01", "ada")
        scores = {grade.name: grade.score for grade in graded.grades}
        best = {grade.name: grade.max_score for grade in graded.grades}
    names = [name for name, exercise in exercises().items() if exercise.lesson == "01"]
    assert scores == {f"check-{name}": float(name == "num_patches") for name in names}
    assert best == {f"check-{name}": exercises()[name].points for name in names}
    feedback = (course / "autograded" / "ada" / "lesson_01" / "01_patches.ipynb").read_text()
    assert "cuts the long row of numbers" in feedback  # the card is there for the student to read
