"""From nothing to the first green card: where do the first minutes go? On Linux or macOS, with Chromium.

    python benchmarks/first_minutes.py

What a newcomer does, three times: in a clone with nothing on the machine, in another clone, and again in that one. Each
time `make lab`, lesson 00 in a browser, a right answer in its first stub, and all cells down to its check. Reading
and typing do not count. The result goes into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import nbformat
from machine import describe, write_section

from vit_course.authoring import NOTEBOOKS, ROOT, SOLUTIONS

LESSON, EXERCISE = "00_start_here.ipynb", "to_channels_first"
PARTS = {
    "clone": "`git clone`, of a repository on the same disk",
    "venv": "an empty `.venv`",
    "uv": "uv, and whether PyTorch's own index answers",
    "packages": "the packages",
    "again": "set-up: nothing to do",
    "lab": "JupyterLab, until it answers",
    "page": "lesson 00 in the browser",
    "card": "kernel, imports and cells, down to the green card",
}
# What the set-up says when a part begins; `Ready` ends it.
SAID = {"Making .venv": "venv", "Installing the course": "uv", "PyTorch": "packages", "No NVIDIA": "packages"}


class Clock:
    """How many seconds each part took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.began = time.perf_counter()

    def over(self, part: str) -> None:
        """A part has ended, and another begins."""
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0) + now - self.began
        self.began = now


def clone(folder: Path, clock: Clock) -> None:
    subprocess.run(["git", "clone", "--quiet", f"file://{ROOT}", str(folder)], check=True)
    clock.over("clone")


def set_up(folder: Path, environment: dict[str, str], clock: Clock) -> None:
    """What `make lab` does first. Its lines say which part begins."""
    command = [sys.executable, "-u", "scripts/setup.py", "--extra", "lab"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    part = "again"
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as process:
        for line in process.stdout:
            print("   ", line.rstrip(), flush=True)
            if begins := next((name for start, name in SAID.items() if line.startswith(start)), None):
                if begins != "venv":
                    clock.over(part)
                part = begins
    if process.returncode:
        raise RuntimeError("the set-up failed; what it said stands above.")
    clock.over(part)


@contextmanager
def jupyterlab(folder: Path, environment: dict[str, str], clock: Clock) -> Iterator[str]:
    """What `make lab` does then, but for opening a browser. Yields the address once there is an answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [folder / ".venv" / "bin" / "vit-course", "lab", "--no-browser", f"--port={port}"]
    command += ["--IdentityProvider.token=course", "--expose-app-in-browser"]
    options = {"stdout": subprocess.DEVNULL, "start_new_session": True}  # to be ended with all that it starts
    with subprocess.Popen(command, cwd=folder, env=environment, **options) as server:
        try:
            while not answers(f"{address}/lab?token=course"):
                if server.poll() is not None:
                    raise RuntimeError("JupyterLab did not start; what it said stands above.")
                time.sleep(0.1)
            clock.over("lab")
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def first_card(address: str, clock: Clock) -> None:
    """Lesson 00 opened, its first exercise solved, and every cell run down to its check."""
    sys.path.insert(0, str(ROOT / "tests"))
    from playwright.sync_api import sync_playwright
    from test_browser import CHROMIUM, FLAGS, PATIENCE, card, open_notebook, run_cell, type_into

    cells = nbformat.read(NOTEBOOKS / LESSON, as_version=4).cells
    ids = [cell.id for cell in cells]
    solved = {cell.id: cell.source for cell in nbformat.read(SOLUTIONS / LESSON, as_version=4).cells}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(2 * PATIENCE)
        clock.began = time.perf_counter()  # a newcomer's browser is open already
        open_notebook(page, address, LESSON)
        clock.over("page")
        type_into(page, ids.index(f"ex-{EXERCISE}"), solved[f"ex-{EXERCISE}"])
        clock.began = time.perf_counter()
        for index, cell in enumerate(cells[: ids.index(f"check-{EXERCISE}") + 1]):
            if cell.cell_type == "code":
                run_cell(page, index)
        card(page, f"{EXERCISE}: right").wait_for()
        clock.over("card")
        browser.close()


def measured(place: Path, caches: Path, fresh: bool) -> Clock:
    """One of the three times.

    Args:
        place: of the clone; made where `fresh`.
        caches: of pip and uv.
        fresh: clone first.
    """
    own = {"VIT_COURSE_HOME": place.parent / "home", "UV_CACHE_DIR": caches / "uv", "PIP_CACHE_DIR": caches / "pip"}
    own |= {f"JUPYTER_{name}_DIR": place.parent / name.lower() for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {f"JUPYTERLAB_{name}_DIR": place.parent / name.lower() for name in ("SETTINGS", "WORKSPACES")}
    environment = os.environ | {name: str(value) for name, value in own.items()} | {"VIT_COURSE_OFFLINE": "1"}
    environment.pop("VIRTUAL_ENV", None)
    clock = Clock()
    if fresh:
        clone(place, clock)
    set_up(place, environment, clock)
    with jupyterlab(place, environment, clock) as address:
        first_card(address, clock)
    return clock


def size(folder: Path) -> float:
    """In GB on the disk."""
    return (
        int(subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=True).stdout.split()[0]) / 1e6
    )


def described(course: Path) -> str:
    """How large a clone is, and what is installed in it."""
    installed = course / ".venv"
    packages = len(list(installed.glob("lib/python*/site-packages/*.dist-info")))
    gpu = "with" if list(installed.glob("lib/python*/site-packages/nvidia*")) else "without"
    return (
        f"The clone has {1000 * (size(course) - size(installed)):.0f} MB, its `.venv` {size(installed):.1f} GB in "
        f"{packages} packages, {gpu} PyTorch's GPU libraries. The first clone downloads these, another finds them in "
        "uv's cache."
    )


def section(columns: dict[str, dict[str, float]], facts: str, load: float) -> str:
    """The section of the README."""
    busy = (
        " Others worked on it at the same time, so a free one is quicker." if load > (os.cpu_count() or 1) / 2 else ""
    )
    lines = [
        "## The first minutes\n",
        f"Written by `python benchmarks/first_minutes.py` on {date.today()}.  ",
        f"Machine: {describe()}. Load when it started: {load:.0f}.{busy}\n",
        "From nothing to the first green card, in seconds, without reading and typing: `make lab`, lesson 00 in a "
        "browser that is open, a right answer to its first exercise, and all cells down to its check. With images that "
        f"the course draws: CIFAR-10 would be 170 MB more. {facts}\n",
        f"| | {' | '.join(columns)} |",
        f"|:--{'|--:' * len(columns)}|",
    ]
    for part, said in PARTS.items():
        values = [f"{seconds[part]:.1f}" if part in seconds else "" for seconds in columns.values()]
        lines.append(f"| {said} | {' | '.join(values)} |")
    sums = [f"**{sum(seconds.values()):.0f}**" for seconds in columns.values()]
    lines.append(f"| together | {' | '.join(sums)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print the section instead of writing it")
    options = parser.parse_args()
    columns, load = {}, os.getloadavg()[0]  # of others, before this here adds its own
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, place, fresh in (
            ("a first clone", "first", True),
            ("another clone", "second", True),
            ("again, in that clone", "second", False),
        ):
            print(name, flush=True)
            columns[name] = measured(folder / place / "course", folder / "caches", fresh).seconds
            print({part: round(seconds, 1) for part, seconds in columns[name].items()}, flush=True)
        facts = described(folder / "first" / "course")
    text = section(columns, facts, load)
    if options.show:
        print(text)
    else:
        write_section("first-minutes", text)


if __name__ == "__main__":
    main()
