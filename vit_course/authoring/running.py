"""Running notebooks from beginning to end: the one way, for the maintainer's saved outputs, the pages and the tests."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.output_widget import OutputWidget
from nbformat import NotebookNode

from vit_course.authoring.generate import save, tidy
from vit_course.authoring.published import bring_in_step
from vit_course.paths import home

CELL_SECONDS = 900  # a cell of these lessons that takes longer hangs
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class _SilentOutput(OutputWidget):
    """Holds what a slider's function shows, and does not send it back to the kernel.

    nbclient would, while it waits for the kernel's reply, and then sometimes misses that reply and waits for ever
    (jupyter/nbclient#312). Nobody reads it there: widget state is not kept.
    """

    def sync_state(self) -> None:
        pass


def run(notebook: NotebookNode) -> str:
    """Run a notebook in place, in an empty folder of its own: a lesson stands alone.

    Returns:
        What stopped it, in a line; "" if it ran to its end.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":  # what a failed run does not reach is shown without old results
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],  # a kernel's warnings about its transport are not ours
            record_timing=False,
        )
        client.widget_registry = {"@jupyter-widgets/output": {"OutputModel": _SilentOutput}}
        try:
            client.execute()
        except CellExecutionError as error:
            return f"{_stopped_at(notebook)}{error.ename}: {_first_line(error.evalue)}"
        except Exception as error:  # a kernel that dies or hangs costs this notebook only
            return f"{_stopped_at(notebook)}{type(error).__name__}: {_first_line(str(error))}"
    return ""


@contextlib.contextmanager
def kernel_environment(*, strict: bool) -> Iterator[None]:
    """A course folder for this run alone, which shares only the images with the real one; and strict checks or not."""
    with tempfile.TemporaryDirectory() as temporary:
        with contextlib.suppress(OSError):  # without links (Windows) or a writable home, images are loaded anew
            (home() / "data").mkdir(parents=True, exist_ok=True)
            os.symlink((home() / "data").resolve(), Path(temporary) / "data", target_is_directory=True)
        before = dict(os.environ)
        os.environ.update(VIT_COURSE_HOME=temporary, VIT_COURSE_STRICT="1" if strict else "0")
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def execute(path: Path) -> str:
    """Run a solution notebook and save it with its outputs; a notebook that stops is not saved.

    Returns:
        What stopped it, or "".
    """
    notebook = nbformat.read(path, as_version=4)
    bring_in_step(notebook, path.name)
    with kernel_environment(strict=True):
        problem = run(notebook)
    if not problem:
        save(clean(notebook), path)
    return problem


def clean(notebook: NotebookNode) -> NotebookNode:
    """Drop from outputs what is not to be committed: widget state, what a progress bar overwrote, colours."""
    tidy(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        kept = []
        for output in cell.outputs:
            if WIDGET_VIEW in output.get("data", {}):
                continue  # without its state a widget shows nothing; a still picture stands beside it
            if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
                kept[-1].text += output.text  # joined first: what one piece writes the next may overwrite
            else:
                kept.append(output)
        for output in kept:
            if output.output_type == "stream":
                output.text = _last_line_written(output.text)
        cell.outputs = [output for output in kept if output.get("text") != ""]
    return notebook


def _last_line_written(text: str) -> str:
    """What a terminal would show: a carriage return begins the line again."""
    lines = [line.split("\r")[-1] for line in text.replace("\r\n", "\n").split("\n")]
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", "\n".join(lines))


def _stopped_at(notebook: NotebookNode) -> str:
    started = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.execution_count]
    return f"cell {started[-1].get('id', len(started))}: " if started else ""


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
