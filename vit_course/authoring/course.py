"""`vit-course course`: run every solution notebook from beginning to end and write pages to read in a browser."""

import html
import re
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from vit_course.authoring import running
from vit_course.authoring.pages import page


@dataclass(frozen=True)
class Run:
    """How one notebook went.

    Attributes:
        name: of the file, without its suffix.
        title: its first heading.
        seconds: what it took to run.
        problem: what stopped it, in a line; "" if it ran to its end.
    """

    name: str
    title: str
    seconds: float
    problem: str = ""


def build_course(solutions: Path, out: Path) -> int:
    """Run the notebooks in `solutions` and write one page each and an index to `out`; the notebooks stay as they are.

    Checks are strict and each notebook runs in an empty folder of its own. A notebook that fails is written up to where
    it stopped, and the others still run. Your own progress is not touched; images already downloaded are used.

    Returns:
        The exit status: 0 if all ran to their end, else 1.
    """
    notebooks = sorted(solutions.glob("*.ipynb"))
    if not notebooks:
        print(f"There are no notebooks in {solutions}.")
        return 1
    out.mkdir(parents=True, exist_ok=True)
    names = [path.stem for path in notebooks]
    runs = []
    with running.kernel_environment(strict=True):
        for number, path in enumerate(notebooks, 1):
            print(f"[{number}/{len(notebooks)}] {path.stem} … ", end="", flush=True)
            run, page = run_notebook(path, names)
            print(f"FAILED after {run.seconds:.1f} s\n      {run.problem}" if run.problem else f"{run.seconds:.1f} s")
            _write(out / f"{path.stem}.html", page)
            runs.append(run)
    _write(out / "index.html", index_page(runs))
    print(f"\n{table(runs)}\n\nTo read: {out / 'index.html'}")
    return 1 if any(run.problem for run in runs) else 0


def run_notebook(path: Path, names: list[str]) -> tuple[Run, str]:
    """Run one notebook.

    Args:
        path: the notebook; it is only read.
        names: of all notebooks of the course: links among them become links among the pages.

    Returns:
        How it went, and its page.
    """
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    problem = running.run(notebook)
    run = Run(path.stem, title(notebook) or path.stem, time.perf_counter() - start, problem)
    return run, page(notebook, path.stem, run.title, names, path.parent)


def title(notebook: NotebookNode) -> str:
    """The first heading of the notebook's text, or ""."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#+ +(.+?) *#*$", cell.source, re.MULTILINE)):
            return found[1].replace("`", "").replace("*", "")
    return ""


def index_page(runs: list[Run]) -> str:
    rows = "\n".join(
        f'<tr><td><a href="{run.name}.html">{html.escape(run.title)}</a></td>'
        f'<td class="time">{_clock(run.seconds)}</td>'
        f"<td>{html.escape('stopped: ' + run.problem if run.problem else 'ran to its end')}</td></tr>"
        for run in runs
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>A Vision Transformer from scratch</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1.05rem/1.6 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }}
td, th {{ text-align: left; padding: .3rem 1.5rem .3rem 0; vertical-align: top }}
.time {{ text-align: right; white-space: nowrap }}
</style>
</head>
<body>
<h1>A Vision Transformer from scratch</h1>
<p>The lessons with their solutions, run from beginning to end on {time.strftime("%Y-%m-%d")}.</p>
<table>
<tr><th>Lesson</th><th class="time">Time</th><th>Run</th></tr>
{rows}
</table>
</body>
</html>
"""


def table(runs: list[Run]) -> str:
    """The times, a line per notebook and their sum."""
    width = max(len(run.name) for run in runs)
    lines = [f"{run.name:<{width}}  {_clock(run.seconds):>8}  {'FAILED' if run.problem else 'ok'}" for run in runs]
    return "\n".join([*lines, f"{'all':<{width}}  {_clock(sum(run.seconds for run in runs)):>8}"])


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
