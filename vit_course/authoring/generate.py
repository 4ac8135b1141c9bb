"""notebooks/ from solutions/: what a solution region held becomes a stub, outputs go, the rest stays."""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearOutput, ClearSolutions
from traitlets.config import Config

from vit_course.authoring import published
from vit_course.authoring.published import SETUP_METADATA, bring_in_step
from vit_course.copies import SETUP_ID, stamp

STUB = "raise NotImplementedError  # your code here, in place of this line"
# nbgrader's note of who owns a cell is kept, so that instructors can hand out either folder.
KEPT_METADATA = {"nbgrader", "tags"}


def learners_notebook(
    solution: NotebookNode, name: str, repository: str = published.REPOSITORY, ref: str = published.REF
) -> NotebookNode:
    """The notebook a learner gets, published at this place ("" for none).

    Raises:
        RuntimeError: a solution region is not closed, or stands in a cell that is no solution cell (from nbgrader).
    """
    notebook = copy.deepcopy(solution)
    bring_in_step(notebook, name, repository, ref)
    config = Config()
    config.ClearSolutions.code_stub = {"python": STUB}
    resources: dict = {}
    for preprocessor in (ClearSolutions, ClearOutput):
        notebook, resources = preprocessor(config=config).preprocess(notebook, resources)
    tidy(notebook)
    stamp(notebook)  # by which a learner's copy knows what it is a copy of
    return notebook


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Drop what differs from run to run or from machine to machine, in place."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        kept = KEPT_METADATA | SETUP_METADATA.keys() if cell.id == SETUP_ID else KEPT_METADATA
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in kept})
        # What nbgrader counts anew on each machine.
        cell.metadata.get("nbgrader", {}).pop("checksum", None)
    return notebook


def as_text(notebook: NotebookNode) -> str:
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def save(notebook: NotebookNode, path: Path) -> bool:
    """Write a notebook, all or nothing. Returns whether the file changed."""
    text = as_text(notebook)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp makes files private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def generate(
    solutions: Path, notebooks: Path, repository: str = published.REPOSITORY, ref: str = published.REF
) -> list[str]:
    """Bring the solutions' generated cells in step and write every learner's notebook.

    Returns:
        What changed, a line for each file.
    """
    changed = []
    wanted = sorted(solutions.glob("*.ipynb"))
    for path in wanted:
        solution = nbformat.read(path, as_version=4)
        # Before anything is written: an error must leave all as it was.
        made = learners_notebook(solution, path.name, repository, ref)
        bring_in_step(solution, path.name, repository, ref)
        if save(solution, path):
            changed.append(f"{path.parent.name}/{path.name}: set-up cell brought in step")
        if save(made, notebooks / path.name):
            changed.append(f"{notebooks.name}/{path.name}: written")
    for stale in sorted({p.name for p in notebooks.glob("*.ipynb")} - {p.name for p in wanted}):
        (notebooks / stale).unlink()
        changed.append(f"{notebooks.name}/{stale}: removed, since it has no solution")
    return changed
