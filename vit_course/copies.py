"""A learner's copies of the notebooks, in work/: made where they are missing, never overwritten.

A notebook of the course carries a version in its metadata, and so does every copy of it. So a copy whose lesson has
changed since is known, and a fresh one can be written beside it, with the answers carried over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vit_course import paths

Notebook = dict[str, Any]
_STAMP = ("vit_course", "version")  # where in the metadata
SETUP_ID, BADGE_ID = "setup", "colab"  # the two cells that say where the course comes from: no part of the lesson


class Updated(NamedTuple):
    """A fresh copy that was written.

    Attributes:
        path: of the fresh copy.
        answers: the names of the exercises whose answers it holds.
    """

    path: Path
    answers: list[str]


def copy_missing(source: Path, target: Path) -> list[str]:
    """Copy the notebooks that `target` lacks, each all or nothing, and never touch one that is there.

    Returns:
        The names of those copied.
    """
    target.mkdir(exist_ok=True)
    copied = []
    for notebook in sorted(source.glob("*.ipynb")):
        goal = target / notebook.name
        if os.path.lexists(goal):
            continue
        temporary = target / f".{notebook.name}.{os.getpid()}"
        try:
            shutil.copyfile(notebook, temporary)
            try:
                os.link(temporary, goal)  # unlike a rename, it does not replace what another copy has just put there
            except FileExistsError:
                continue
            except OSError:  # a file system without hard links
                os.rename(temporary, goal)
            copied.append(notebook.name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    return copied


def version(notebook: Notebook) -> str:
    """What a notebook says, as a short number: another one as soon as a cell of the lesson changes."""
    lesson = [cell for cell in notebook["cells"] if cell.get("id") not in (SETUP_ID, BADGE_ID)]
    cells = [(cell.get("id"), cell["cell_type"], source_of(cell)) for cell in lesson]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:12]


def stamp(notebook: Notebook) -> None:
    """Write a notebook's version into its metadata, in place."""
    notebook["metadata"][_STAMP[0]] = {_STAMP[1]: version(notebook)}


def outdated(source: Path, target: Path) -> list[str]:
    """The names of notebooks in `source` that have changed since they were copied to `target`.

    A copy that cannot be read is left out: nothing can be said of it. So is a lesson of which there is a fresh copy.
    """
    found = []
    for original in sorted(source.glob("*.ipynb")):
        current = _stamp_of(original)
        copies = [target / original.name, *target.glob(f"{original.stem}_updated*.ipynb")]
        stamps = [_stamp_of(copy) for copy in copies if copy.is_file()]
        if current and stamps and None not in stamps and current not in stamps:
            found.append(original.name)
    return found


def update(original: Path, copy: Path) -> Updated:
    """Write the lesson as it is now beside a learner's copy, which stays as it is, with the answers of that copy.

    An answer goes into the cell of its exercise by its name, wherever in the copy it stands. What it needs of cells
    that the lesson does not have comes with it, in a cell before.

    Raises:
        ValueError: the copy, or the original, cannot be read as a notebook.
        StorageError: the fresh one cannot be written.
    """
    fresh, old = read(original), read(copy)
    sources = [source_of(cell) for cell in old["cells"] if cell["cell_type"] == "code"]
    cells, answers = [], []
    for cell in fresh["cells"]:
        name = _exercise(cell)
        if name and (answer := _answer(name, sources)):
            needs = _needs(name, answer, sources, fresh["cells"])
            if needs:
                cells.append(_code(f"carried-{name}", needs))
            cell["source"] = answer.splitlines(keepends=True)
            answers.append(name)
        cells.append(cell)
    fresh["cells"] = cells
    path = next(path for path in _free_names(copy.parent, original.stem) if not os.path.lexists(path))
    paths.write_whole(path, (json.dumps(fresh, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass"))
    return Updated(path, answers)


def read(path: Path) -> Notebook:
    """A notebook as it lies on the disk, of format 4.

    Raises:
        ValueError: it is none, or cannot be read.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
        for cell in notebook["cells"]:
            source_of(cell), cell["cell_type"]
        notebook["metadata"].get("")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no notebook, or a broken one ({type(error).__name__}). Open it in an editor, or rename it and "
            "run `make lab` for a fresh copy."
        ) from error
    return notebook


def _stamp_of(path: Path) -> str | None:
    """The version in a notebook's metadata; "" where there is none, None where it cannot be read."""
    try:
        found = read(path)["metadata"].get(_STAMP[0], {})
        return str(found.get(_STAMP[1], "")) if isinstance(found, dict) else ""
    except ValueError:
        return None


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell: formats keep it whole, or as lines."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _exercise(cell: dict[str, Any]) -> str:
    """The name of the exercise whose answer a cell of the course holds; "" of any other cell."""
    mark = cell.get("metadata", {}).get("nbgrader", {})
    return mark.get("grade_id", "") if mark.get("solution") else ""


def _answer(name: str, sources: list[str]) -> str:
    """The last cell that defines the name and is not the untouched stub; "" if there is none."""
    from vit_course.checks.definitions import answers

    return next((cell for cell in reversed(sources) if answers(name, cell)), "")


def _needs(name: str, answer: str, sources: list[str], lesson: list[dict[str, Any]]) -> str:
    """What an answer uses that neither it nor the lesson has, from the learner's other cells."""
    from vit_course.checks.definitions import definition

    cells = [source_of(cell) for cell in lesson if cell["cell_type"] == "code" and not _exercise(cell)]
    parts, lost = [], set(definition(name, [*cells, answer]).lost)
    for missing in sorted(lost):
        parts.append(definition(missing, sources).source.strip())
    return "\n\n".join(dict.fromkeys(filter(None, parts)))


def _code(name: str, source: str) -> dict[str, Any]:
    lines = source.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "id": name, "metadata": {}, "outputs": [], "source": lines}


def _free_names(folder: Path, stem: str) -> Iterator[Path]:
    yield folder / f"{stem}_updated.ipynb"
    number = 2
    while True:
        yield folder / f"{stem}_updated_{number}.ipynb"
        number += 1
