"""The notebooks themselves: they run, untouched and solved; right answers get their cards and so does each mistake."""

import inspect
import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_output

from vit_course.authoring import NOTEBOOKS, SOLUTIONS
from vit_course.checks import check, exercises

TAG = "nbval-check-output"
LESSONS = sorted(path.name for path in SOLUTIONS.glob("*.ipynb"))
assert LESSONS, f"no notebooks in {SOLUTIONS}"


def every_other(first):
    """Running a lesson takes long: `make test` does so once, solved or untouched in turn; `make test-all` both ways."""
    slow = pytest.mark.slow
    return [pytest.param(name, marks=() if i % 2 == first else slow, id=name) for i, name in enumerate(LESSONS)]


def cells(path):
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


def printed(cell):
    """What a cell shows, in plain text."""
    return "\n".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
        if output.output_type in ("stream", "display_data", "execute_result")
    )


def names(lesson):
    return [name for name, exercise in exercises().items() if exercise.lesson == lesson[:2]]


def nbval(notebook, folder, *, strict):
    """No cell raises, and cells with the tag `nbval-check-output` show what stands in the notebook."""
    nbformat.write(notebook, folder / "lesson.ipynb")
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "-q", "-p", "no:cacheprovider"]
    # An empty configuration: the course's own would bring its plugins and its options.
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:xdist", "lesson.ipynb"]
    environment = os.environ | {"VIT_COURSE_STRICT": "1" if strict else "0"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("lesson", every_other(0))
def test_solution_runs_to_its_end(lesson, tmp_path, images_at_hand, monkeypatch):
    """On real images where there are some; the untouched notebook below runs on those that the course draws."""
    if images_at_hand[0] is not None:
        monkeypatch.setenv("VIT_COURSE_DATA", str(images_at_hand[0]))
    nbval(nbformat.read(SOLUTIONS / lesson, as_version=4), tmp_path, strict=True)


@pytest.mark.parametrize("lesson", every_other(1))
def test_untouched_notebook_runs_to_its_end(lesson, tmp_path, monkeypatch):
    """Each check says quietly that nothing was tried, and exact cells print what they print in the solution."""
    cards = []
    monkeypatch.setattr("vit_course.checks.notebook.show", cards.append)
    notebook, solved = nbformat.read(NOTEBOOKS / lesson, as_version=4), cells(SOLUTIONS / lesson)
    for cell in notebook.cells:
        if TAG in cell.metadata.get("tags", ()):
            cell.outputs, cell.execution_count = solved[cell.id].outputs, 1
    by_id = {cell.id: cell for cell in notebook.cells}
    for name in names(lesson):

        def untouched(*_, **__):
            raise NotImplementedError

        check(untouched, name=name)
        assert repr(cards[-1]).startswith(f"○ {name}: not attempted yet")
        cell = by_id[f"check-{name}"]
        cell.metadata["tags"], cell.execution_count = [TAG], 1
        data = {"text/html": cards[-1]._repr_html_(), "text/plain": repr(cards[-1])}
        cell.outputs = [new_output("display_data", data=data)]
    nbval(notebook, tmp_path, strict=False)


REFERENCE = """\
import {module} as module
globals().update(vars(module), __name__="__main__")
{code}"""
MISTAKE = """\
from vit_course.checks import exercises
wrong = exercises()[{name!r}].mistakes[{slug!r}].candidate
"""


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_answer_gets_its_card(lesson, monkeypatch):
    """With the learner's imports: the committed solution passes, and so does the reference; a mistake is named.

    Every mistake is tried in test_checks_catalogue.py; a card is made of its report in one way.
    """
    cards = []
    monkeypatch.setattr("vit_course.checks.notebook.show", cards.append)
    learner, solved = cells(NOTEBOOKS / lesson), cells(SOLUTIONS / lesson)

    def given(source, name, check=None):
        """What the cells of the learner's notebook make of an answer."""
        earlier = names(lesson)[: names(lesson).index(name)]  # a later exercise may use them
        space = {one: exercises()[one].reference for one in earlier} | {"__name__": "__main__"}
        check = check or learner[f"check-{name}"].source
        for cell in (learner["setup"].source, learner["imports"].source, source, check):
            exec(cell, space)
        return repr(cards[-1])

    for name in names(lesson):
        exercise = exercises()[name]
        assert f"✓ {name}: right" in given(solved[f"ex-{name}"].source, name)
        code = inspect.getsource(exercise.reference)  # the same, but not the course's own object
        assert f"✓ {name}: right" in given(REFERENCE.format(module=exercise.reference.__module__, code=code), name)
        for slug, mistake in [*exercise.mistakes.items()][:3]:
            said = given(MISTAKE.format(name=name, slug=slug), name, f"check(wrong, name={name!r})")
            assert mistake.message in said, f"{slug}: {said}"


@pytest.mark.parametrize("lesson", LESSONS)
def test_committed_solution_was_run_on_real_images(lesson):
    """What a lesson shows is CIFAR-10, not the built-in stand-in."""
    for cell in cells(SOLUTIONS / lesson).values():
        if cell.cell_type == "code" and 'load_images("cifar10"' in cell.source:
            if printed(cell).startswith("Not run here"):  # it wants a GPU or a download, and says so
                continue
            assert "cifar10 (" in printed(cell), f"{cell.id}: {printed(cell)}"
            assert "INSTEAD" not in printed(cell), f"{cell.id}: {printed(cell)}"
