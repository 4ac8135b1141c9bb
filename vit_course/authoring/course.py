"""`vit-course course` and `book`: the solutions as pages to read in a browser, run before or as they are."""

import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from vit_course.authoring import running
from vit_course.authoring.book import build_book, title


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


def write_book(solutions: Path, out: Path) -> int:
    """Write the solution notebooks as they are, with the outputs that they hold, as one site.

    Returns:
        The exit status: 0, or 1 if there is something to mend in them.
    """
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in sorted(solutions.glob("*.ipynb"))}
    return _write(notebooks, solutions, out, "")


def build_course(solutions: Path, out: Path) -> int:
    """Run the notebooks in `solutions` and write what comes out as one site; the notebooks stay as they are.

    Checks are strict and each notebook runs in an empty folder of its own. A notebook that fails is written up to where
    it stopped, and the others still run. Your own progress is not touched; images already downloaded are used.

    Returns:
        The exit status: 0 if all ran to their end, else 1.
    """
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in sorted(solutions.glob("*.ipynb"))}
    runs = []
    with running.kernel_environment(strict=True):
        for number, (name, notebook) in enumerate(notebooks.items(), 1):
            print(f"[{number}/{len(notebooks)}] {Path(name).stem} … ", end="", flush=True)
            start = time.perf_counter()
            problem = running.run(notebook)
            run = Run(Path(name).stem, title(notebook) or name, time.perf_counter() - start, problem)
            print(f"FAILED after {run.seconds:.1f} s\n      {run.problem}" if run.problem else f"{run.seconds:.1f} s")
            running.clean(notebook)
            runs.append(run)
    if runs:
        print(f"\n{table(runs)}\n")
    status = _write(notebooks, solutions, out, times(runs))
    return 1 if status or any(run.problem for run in runs) else 0


def _write(notebooks: dict[str, NotebookNode], solutions: Path, out: Path, times: str) -> int:
    if not notebooks:
        print(f"There are no notebooks in {solutions}.")
        return 1
    try:
        build_book(notebooks, out, times, root=solutions.parent)
    except RuntimeError as error:
        print(error)
        return 1
    print(f"To read: {out / 'index.html'}")
    return 0


def times(runs: list[Run]) -> str:
    """Markdown: how the notebooks ran, for a page."""
    rows = []
    for run in runs:
        how = "stopped: `" + run.problem.replace("`", "'").replace("|", "/") + "`" if run.problem else "ran to its end"
        rows.append(f"| [{run.title}]({run.name}.ipynb) | {_clock(run.seconds)} | {how} |")
    head = f"## How they ran\n\nFrom beginning to end, on {time.strftime('%Y-%m-%d')}.\n\n| lesson | time | run |"
    return "\n".join([head, "| --- | ---: | --- |", *rows])


def table(runs: list[Run]) -> str:
    """The times, a line per notebook and their sum."""
    width = max(len(run.name) for run in runs)
    lines = [f"{run.name:<{width}}  {_clock(run.seconds):>8}  {'FAILED' if run.problem else 'ok'}" for run in runs]
    return "\n".join([*lines, f"{'all':<{width}}  {_clock(sum(run.seconds for run in runs)):>8}"])


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"
