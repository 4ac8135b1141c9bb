"""How long does it take to grade a class? `vit-course grade` beside nbgrader, and beside running each notebook. CPU.

    python benchmarks/grading.py

The same submissions of lesson 01, drawn from right answers in several styles, common mistakes and untouched stubs:
all of them for `vit-course grade`, the first few for the others, which take longer. nbgrader is used as its manual
says: a course laid out, the assignment generated, `nbgrader autograde`. The result goes into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from machine import describe, write_section

ROOT = Path(__file__).resolve().parents[1]
LESSON, NAME = "01", "01_patches.ipynb"
# What people hand in: right answers first, then wrong ones.
ANSWERS: dict[str, tuple[list[str], list[str]]] = {
    "num_patches": (
        [
            "def num_patches(height, width, patch_size):\n    if height % patch_size or width % patch_size:\n"
            "        raise ValueError('sizes do not fit')\n    return (height // patch_size) * (width // patch_size)",
            "def num_patches(h, w, p):\n    (rows, a), (columns, b) = divmod(h, p), divmod(w, p)\n    if a or b:\n"
            "        raise ValueError(f'{p} does not divide {h} and {w}')\n    return rows * columns",
        ],
        ["def num_patches(height, width, patch_size):\n    return (height // patch_size) * (width // patch_size)"],
    ),
    "patchify": (
        [
            "def patchify(images, patch_size):\n    return rearrange(\n        images, 'b c (h p1) (w p2) -> b (h w) "
            "(p1 p2 c)', p1=patch_size, p2=patch_size\n    )",
            "def patchify(images, patch_size):\n    b, c, h, w = images.shape\n    p = patch_size\n"
            "    x = images.reshape(b, c, h // p, p, w // p, p)\n"
            "    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, p * p * c)",
        ],
        [
            "def patchify(images, patch_size):\n    return rearrange(\n        images, 'b c (h p1) (w p2) -> b (h w) "
            "(c p1 p2)', p1=patch_size, p2=patch_size\n    )",
            "def patchify(images, patch_size):\n"
            "    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])",
            "def patchify(images, patch_size):\n    return imagse",
        ],
    ),
    "unpatchify": (
        [
            "def unpatchify(patches, patch_size, height, width):\n    return rearrange(\n        patches, 'b (h w) "
            "(p1 p2 c) -> b c (h p1) (w p2)',\n        p1=patch_size, p2=patch_size, h=height // patch_size\n    )"
        ],
        [
            "def unpatchify(patches, patch_size, height, width):\n"
            "    return patches.reshape(len(patches), -1, height, width)"
        ],
    ),
    "corrected_pattern": (
        ["def corrected_pattern():\n    return 'b c (x patch_x) (y patch_y) -> b (x y) (patch_x patch_y c)'"],
        ["def corrected_pattern():\n    return 'b c (patch_x x) (patch_y y) -> b (x y) (patch_x patch_y c)'"],
    ),
}


def make(folder: Path, number: int) -> dict[str, str]:
    """Submissions, a folder for each student. Returns student → "+" and "-" for right and wrong, in their order."""
    draw = random.Random(0)
    blank = json.loads((ROOT / "notebooks" / NAME).read_text(encoding="utf-8"))
    truth = {}
    for index in range(number):
        student, notebook = f"student{index:03}", json.loads(json.dumps(blank))
        cells = {cell["id"]: cell for cell in notebook["cells"]}
        truth[student] = ""
        for name, (right, wrong) in ANSWERS.items():
            kind = draw.choices(("+", "-", "0"), (7, 2, 1))[0]
            truth[student] += "+" if kind == "+" else "-"
            if kind != "0":  # else the stub stays
                cells[f"ex-{name}"]["source"] = draw.choice(right if kind == "+" else wrong)
        (folder / student).mkdir(parents=True)
        (folder / student / NAME).write_text(json.dumps(notebook), encoding="utf-8")
    return truth


@dataclass
class Cost:
    """Seconds by the clock and of the processor, and the most memory of all processes together, in MiB."""

    wall: float
    cpu: float
    memory: float


def measured(command: list[str], folder: Path, **environment: str) -> Cost:
    """Run a command and say what it took, with all processes that it starts."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    most, ended = [0.0, 0.0], threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, most, ended))
    watch.start()
    said = process.communicate()[0].decode(errors="replace")
    ended.set()
    watch.join()
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{shlex.join(command)} failed: {said[-2000:]}")
    return Cost(wall, *most)


def _watch(pid: int, most: list[float], ended: threading.Event) -> None:
    """The largest sums over the tree of processes, looked at every second.

    Seconds of the processor, those of ended children included; proportional set sizes (shared pages counted once).
    """
    ticks = os.sysconf("SC_CLK_TCK")
    while not ended.wait(1.0):
        parents, used = {}, {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:  # it has ended
                    continue
                parents[int(entry)], used[int(entry)] = int(fields[1]), sum(map(int, fields[11:15])) / ticks
        tree = {pid} & parents.keys()
        while new := {child for child, parent in parents.items() if parent in tree} - tree:
            tree |= new
        most[:] = max(most[0], sum(used[one] for one in tree)), max(most[1], sum(map(_memory, tree)))


def _memory(pid: int) -> float:
    try:
        lines = Path("/proc", str(pid), "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def grade(folder: Path, truth: dict[str, str], jobs: int) -> Cost:
    """`vit-course grade` on all of them, and that every verdict is right."""
    command = [sys.executable, "-m", "vit_course.cli", "grade", str(folder), "--out", str(folder.parent / "grades")]
    command += ["--lesson", LESSON, "--jobs", str(jobs), "--seed", "1"]
    cost = measured(command, ROOT)
    with open(folder.parent / "grades" / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(truth), f"{len(rows)} rows for {len(truth)} submissions"
    for row in rows:
        student = next(value for value in row.values() if value in truth)
        found = "".join("+" if float(row[name] or 0) > 0 else "-" for name in ANSWERS)
        assert found == truth[student], f"{student}: {found} instead of {truth[student]}"
    return cost


def nbgrader(folder: Path, students: list[str]) -> Cost:
    """`nbgrader autograde` on some of them; laying out the course and generating the assignment is not counted."""
    course = folder.parent / "nbgrader"
    own = {name: str(folder.parent / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    own |= {"JUPYTER_RUNTIME_DIR": str(folder.parent / "runtime"), "VIT_COURSE_HOME": str(folder.parent / "home")}
    measured([sys.executable, "-m", "vit_course.cli", "nbgrader-source", str(course)], ROOT)
    measured([sys.executable, "-m", "nbgrader", "generate_assignment", f"lesson_{LESSON}"], course, **own)
    released = json.loads((course / "release" / f"lesson_{LESSON}" / NAME).read_text(encoding="utf-8"))
    for student in students:
        handed_in = json.loads((folder / student / NAME).read_text(encoding="utf-8"))
        answers = {cell["id"]: cell["source"] for cell in handed_in["cells"]}
        notebook = json.loads(json.dumps(released))
        for cell in notebook["cells"]:
            if cell["id"].startswith("ex-"):
                cell["source"] = answers[cell["id"]]
        target = course / "submitted" / student / f"lesson_{LESSON}" / NAME
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(notebook), encoding="utf-8")
    return measured([sys.executable, "-m", "nbgrader", "autograde", f"lesson_{LESSON}"], course, **own)


RUN = """
import sys, nbformat
from nbclient import NotebookClient
from nbclient.output_widget import OutputWidget
OutputWidget.sync_state = lambda self: None
for path in sys.argv[1:]:
    NotebookClient(nbformat.read(path, as_version=4), timeout=600, kernel_name="python3", allow_errors=True).execute()
"""


def run_each(folder: Path, students: list[str]) -> Cost:
    """Each notebook run from beginning to end by nbclient, one after another: what any grader that runs them takes."""
    notebooks = [str(folder / student / NAME) for student in students]
    return measured([sys.executable, "-c", RUN, *notebooks], folder, VIT_COURSE_HOME=str(folder.parent / "home"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=200, help="for vit-course grade (default: 200)")
    parser.add_argument("--few", type=int, default=5, help="for the others (default: 5)")
    parser.add_argument("--jobs", type=int, default=2, help="of vit-course grade (default: 2)")
    parser.add_argument("--show", action="store_true", help="print the section instead of writing it")
    options, load = parser.parse_args(), os.getloadavg()[0]  # of others, before this here adds its own
    os.environ["VIT_COURSE_OFFLINE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "submissions"
        truth = make(folder, options.submissions)
        few = list(truth)[: options.few]
        costs = {"vit-course grade": (grade(folder, truth, options.jobs), len(truth))}
        print(costs, flush=True)
        costs["nbgrader autograde"] = nbgrader(folder, few), len(few)
        print(costs, flush=True)
        costs["each notebook run by nbclient"] = run_each(folder, few), len(few)
    text = section(costs, options, load)
    if options.show:
        print(text)
    else:
        write_section("grading", text)


def section(costs: dict[str, tuple[Cost, int]], options: argparse.Namespace, load: float) -> str:
    """The section of the README."""
    ours, number = costs["vit-course grade"]
    lines = [
        "## Grading\n",
        f"Written by `python benchmarks/grading.py` on {date.today()}, jobs: {options.jobs}.  ",
        f"Machine: {describe()}. Load when it started: {load:.0f}.\n",
        "Submissions of lesson 01 with four exercises: right answers, mistakes, stubs. Seconds are of all processes of "
        "a command, its start included; a busy machine changes the processor seconds least. Memory is the most of all "
        "processes together. Every verdict of `vit-course grade` is asserted.\n",
        "| | submissions | seconds | seconds each | processor seconds each | memory | ours / this, processor |",
        "|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for name, (cost, count) in costs.items():
        times = "" if cost is ours else f"1 / {cost.cpu / count / (ours.cpu / number):.0f}"
        lines.append(
            f"| {name} | {count} | {cost.wall:.0f} | {cost.wall / count:.2f} | {cost.cpu / count:.2f} "
            f"| {cost.memory:,.0f} MiB | {times} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
