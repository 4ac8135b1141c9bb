"""An autograder for Gradescope: built by `vit-course gradescope`, and what runs in it.

Theirs is the layout: `/autograder/source` holds what was uploaded, `setup.sh` runs once with a network,
`run_autograder` as root for each submission in `/autograder/submission`, and leaves `/autograder/results/results.json`.

Root only starts the grader as nobody, reads its answer from a pipe and writes it where nobody cannot. So an answer that
breaks out of everything else still cannot write a result.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import secrets
import stat
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vit_course

NOBODY = 65534
SECONDS = 1200  # Gradescope's own limit can be raised to 40 minutes

_SETUP = """\
#!/usr/bin/env bash
# Runs once, as root, with a network.
set -e
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv bubblewrap
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
/autograder/venv/bin/pip install --no-cache-dir -r /autograder/source/requirements.txt
"""
_RUN = """\
#!/usr/bin/env bash
# Runs as root for each submission.
root="${AUTOGRADER:-/autograder}"
chmod -R a+rX "$root/submission" "$root/source"
chmod 700 "$root/results"
cd /
PYTHONPATH="$root/source/course" exec "$root/venv/bin/python" -B -m vit_course.grading.gradescope "$root"
"""


def command(options: argparse.Namespace) -> int:
    """Run `vit-course gradescope`. Returns the exit status."""
    from vit_course.grading.course import NoSuchLesson, course_facts, find_lesson
    from vit_course.grading.settings import SettingsError, read_settings

    try:
        by_lesson, _ = course_facts()
        lesson = find_lesson(options.lesson, by_lesson)
        read_settings(options.settings, {name: one for one, names in by_lesson.items() for name in names})
        build(options.out, lesson, options.settings)
    except (SettingsError, NoSuchLesson) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{options.out}: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"{options.out}: upload it under Configure Autograder. Give the container 1.5 GB of memory or more.")
    return 0


def build(out: Path, lesson: str, settings: Path | None = None) -> None:
    """Write the zip to upload under Configure Autograder.

    Args:
        out: where to.
        lesson: "01".
        settings: a file with points, to be put in.

    Raises:
        OSError: it cannot be written.
    """
    from vit_course.checks.catalogue import own_file

    package = Path(vit_course.__file__).resolve().parent
    files = {"setup.sh": _SETUP, "run_autograder": _RUN, "requirements.txt": "\n".join(requirements()) + "\n"}
    files["lesson.json"] = json.dumps({"lesson": lesson})
    if settings is not None:
        files["settings.toml"] = settings.read_text(encoding="utf-8-sig")
    if own := own_file():
        files["own.py"] = own.read_text(encoding="utf-8-sig")
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            _add(made, name, text.encode())
        for path in sorted(package.rglob("*")):
            inside = path.relative_to(package.parent)
            if (
                path.suffix in (".py", ".json")
                and "__pycache__" not in inside.parts
                and "notebooks" not in inside.parts
            ):
                _add(made, f"course/{inside.as_posix()}", path.read_bytes())


def _add(made: zipfile.ZipFile, name: str, data: bytes) -> None:
    """The same course gives the same zip, to the byte."""
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFREG | (0o755 if name in ("setup.sh", "run_autograder") else 0o644)) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    made.writestr(info, data)


def requirements() -> list[str]:
    """What the course needs, as pip reads it."""
    listed = importlib.metadata.requires("vit-course") or []
    return sorted(one for one in listed if "extra ==" not in one and not one.startswith("torch"))


def results(root: Path) -> dict[str, Any]:
    """What Gradescope reads, for the submission there. Runs as nobody."""
    from vit_course.grading.archives import files_under
    from vit_course.grading.collect import Student
    from vit_course.grading.course import course_facts, version
    from vit_course.grading.grades import rows
    from vit_course.grading.pool import Hands, Work, closed_to_others
    from vit_course.grading.settings import read_settings
    from vit_course.grading.submission import Task

    closed_to_others()
    by_lesson, points = course_facts()
    lesson = json.loads((root / "source" / "lesson.json").read_text(encoding="utf-8"))["lesson"]
    path = root / "source" / "settings.toml"
    settings = read_settings(
        path if path.exists() else None, {n: one for one, names in by_lesson.items() for n in names}
    )
    student = Student("submission", "submission", tuple(files_under(root / "submission")))
    hands = Hands(Work(Task(by_lesson, lesson, secrets.randbelow(2**31), version()), allow_unprotected=True))
    try:
        record = hands.record(student, ())
    finally:
        hands.close()
    (row,) = rows([record], points, settings, lesson=lesson)
    return as_results(row, {**points, **settings.points})


def as_results(row: Any, worth: dict[str, float]) -> dict[str, Any]:
    """A row as Gradescope wants it: a test for each exercise."""
    if not row.graded:
        text = f"Your submission could not be graded: {row.note}. Hand the notebook in again."
        return {"score": 0, "output": text, "output_format": "text", "visibility": "visible", "tests": []}
    tests = [
        {
            "name": mark["exercise"],
            "score": worth[mark["exercise"]] if mark["status"] == "passed" else 0,
            "max_score": worth[mark["exercise"]],
            "status": "passed" if mark["status"] == "passed" else "failed",
            "output": mark["message"],
            "output_format": "text",  # nothing in it is taken for HTML
            "visibility": "visible",
        }
        for mark in row.marks
    ]
    told = [f"{mark['exercise']}: {remark}" for mark in row.marks for remark in mark["remarks"]]
    for_instructor = {"name": "For the instructor", "output": "\n".join(told), "visibility": "hidden"}
    output = f"Graded: {row.facts('notebook')}" + (f". {row.note}" if row.note else "")
    return {
        **{"output": output, "output_format": "text", "visibility": "visible"},
        "tests": tests + [for_instructor] * bool(told),
    }


def main(arguments: Sequence[str]) -> int:
    """In the autograder: as root, with its folder; as nobody, with "--inside" before it."""
    if arguments[0] == "--inside":
        print(json.dumps(results(Path(arguments[1]))))
        return 0
    root = Path(arguments[0])
    command = [sys.executable, "-B", "-m", "vit_course.grading.gradescope", "--inside", str(root)]
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    if (own := root / "source" / "own.py").exists():
        environment["VIT_COURSE_EXERCISES"] = str(own)
    apart = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**environment, "HOME": "/nonexistent"},
        timeout=SECONDS,
        **apart,
    )
    if done.returncode:  # without results, Gradescope tells the instructor, and gives no points
        print(f"The grader ended with status {done.returncode}. No points were given.", file=sys.stderr)
        return 1
    found = json.loads(done.stdout.splitlines()[-1])
    (root / "results").mkdir(exist_ok=True)
    (root / "results" / "results.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
