"""The notebooks themselves: they run, untouched and solved; right answers get their cards and so does each mistake."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from vit_course.authoring import NOTEBOOKS, SOLUTIONS
from vit_course.authoring.running import run
from vit_course.checks import check, exercises

TAG = "nbval-check-output"
LESSONS = sorted(path.name for path in SOLUTIONS.glob("*.ipynb"))
assert LESSONS, f"no notebooks in {SOLUTIONS}"


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


@pytest.mark.parametrize("lesson", LESSONS)
def test_solution_runs_to_its_end(lesson, tmp_path):
    nbval(nbformat.read(SOLUTIONS / lesson, as_version=4), tmp_path, strict=True)


@pytest.mark.parametrize("lesson", LESSONS)
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


GIVE_REFERENCE = """\
import inspect
import importlib
from vit_course.checks import exercises
module = importlib.import_module(exercises()[{name!r}].reference.__module__)
space = dict(vars(module))
exec(inspect.getsource(getattr(module, {name!r})), space)  # the same code, but not the course's own object
{name} = space[{name!r}]
"""
GIVE_MISTAKE = """\
from vit_course.checks import exercises
{name} = exercises()[{name!r}].mistakes[{slug!r}].candidate
{name}.__name__ = {name!r}
"""


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_answer_gets_its_card(lesson):
    """In the learner's notebook: the reference passes, the committed solution passes, each mistake is named."""
    learner, solved = cells(NOTEBOOKS / lesson), cells(SOLUTIONS / lesson)
    tried, expected = [learner["setup"], learner["imports"]], ["", ""]

    def answer(source, check, card):
        tried.extend([new_code_cell(source), new_code_cell(check)])
        expected.extend(["", card])

    for name in names(lesson):
        check = learner[f"check-{name}"].source
        answer(solved[f"ex-{name}"].source, check, f"✓ {name}: right")
        answer(GIVE_REFERENCE.format(name=name), check, f"✓ {name}: right")
        for slug, mistake in exercises()[name].mistakes.items():
            answer(GIVE_MISTAKE.format(name=name, slug=slug), check, mistake.message)
    notebook = new_notebook(cells=[new_code_cell(one["source"] if isinstance(one, dict) else one) for one in tried])
    assert run(notebook) == ""
    for cell, card in zip(notebook.cells, expected, strict=True):
        assert card in printed(cell), f"{cell.source}\n{printed(cell)}"


@pytest.mark.real_images
@pytest.mark.parametrize("lesson", LESSONS)
def test_solution_runs_on_real_images(lesson, real_images: Path, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_DATA", str(real_images))
    monkeypatch.setenv("VIT_COURSE_STRICT", "1")
    assert run(nbformat.read(SOLUTIONS / lesson, as_version=4)) == ""


@pytest.mark.parametrize("lesson", LESSONS)
def test_committed_solution_was_run_on_real_images(lesson):
    """What a lesson shows is CIFAR-10, not the built-in stand-in."""
    for cell in cells(SOLUTIONS / lesson).values():
        if cell.cell_type == "code" and 'load_images("cifar10"' in cell.source:
            assert "cifar10 (" in printed(cell), f"{cell.id}: {printed(cell)}"
            assert "INSTEAD" not in printed(cell), f"{cell.id}: {printed(cell)}"
