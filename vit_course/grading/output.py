"""Grades as files for spreadsheets and programs, and as a summary for the console."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vit_course.grading import grades
from vit_course.grading.grades import Row

# A cell that begins so is a formula to a spreadsheet: `=HYPERLINK(…)` in a student's name, say.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")

_MISSING = "missing: "  # so a protection begins that is not in force


def write(path: Path, text: str) -> None:
    """All or nothing: who interrupts finds the old file.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def safe(value: Any) -> Any:
    """Text that no spreadsheet takes for a formula; anything else as it is."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value


def number(value: float | None, decimals: int = 2) -> str:
    """3.0 → "3", 2.50 → "2.5", None → ""."""
    return "" if value is None else f"{value:.{decimals}f}".rstrip("0").rstrip(".")


def table(lines: Iterable[Sequence[Any]], delimiter: str = ",") -> str:
    """Lines as CSV, for Excel as well: with "\\r\\n"."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(lines)
    return stream.getvalue()


def grades_csv(made: Sequence[Row], worth: Mapping[str, float]) -> str:
    """A line for each row; exercises that are not of its lesson stay empty, as do points where nothing was graded."""
    names = [name for name in worth if any(mark["exercise"] == name for row in made for mark in row.marks)]
    heads = ["student", "name", "id", "lesson", "points", "out of", "percent", "status", "late", "taken off"]
    told = _by_row(made)
    lines: list[list[Any]] = [[*heads, *names, "note", "for the instructor", "notebook", "handed in"]]
    for row in made:
        marks = {mark["exercise"]: mark for mark in row.marks}
        looked = "; ".join(told.get((row.student, row.lesson), ()))
        reached = [
            number(worth[name] if marks[name]["status"] == grades.PASSED else 0.0) if name in marks else ""
            for name in names
        ]
        lines.append(
            [
                *(safe(text) for text in (row.student, row.name, row.record["id"], row.lesson)),
                *(number(row.points), number(row.out_of) if row.graded else ""),
                number(100 * row.share, 1) if row.graded else "",
                "graded" if row.graded else "not graded",
                *(row.lateness, number(row.taken_off) if row.taken_off else "", *reached),
                *(safe(text) for text in (row.note, looked, row.facts("notebook"), row.facts("handed_in"))),
            ]
        )
    return "\ufeff" + table(lines)  # Excel reads UTF-8 only with this mark


def grades_json(made: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """Everything, for programs.

    Args:
        made: the rows.
        facts: of the run: course, seed, protections, …
    """
    told = _by_row(made)
    lines = [
        {
            **{
                name: getattr(row, name)
                for name in ("student", "name", "lesson", "points", "out_of", "late", "lateness")
            },
            **{"taken_off": row.taken_off, "graded": row.graded, "note": row.note},
            **{name: row.record[name] for name in ("system", "id")},
            **{name: row.facts(name) for name in ("notebook", "hash", "handed_in")},
            "remarks": told.get((row.student, row.lesson), []),
            "marks": list(row.marks),
        }
        for row in made
    ]
    return json.dumps({**facts, "grades": lines}, indent=1, ensure_ascii=False) + "\n"


def _by_row(made: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for row, name, what in grades.remarks(made):
        found.setdefault((row.student, row.lesson), []).append(f"{name}: {what}" if name else what)
    return found


def summary(made: Sequence[Row], protections: Mapping[str, Sequence[str]]) -> str:
    """What the console shows in the end."""
    done, left = [row for row in made if row.graded], [row for row in made if not row.graded]
    mean, median = grades.middle(made)
    lines = [f"{len(done)} graded, {len(left)} not. Mean {mean:.0%} of the points, median {median:.0%}."]
    if exercises := grades.by_exercise(made):
        lines += ["", "Hardest first:"]
        for one in exercises[:12]:
            bar = "█" * round(20 * one.share_right)
            lines.append(f"  {one.lesson} {one.name:<30} {bar:<20} {one.share_right:>4.0%} of {one.total} right")
    if common := grades.misconceptions(made):
        lines += ["", "Commonest mistakes:"]
        lines += [f"  {count:>4} × {exercise}: {slug}" for exercise, slug, _, count in common[:5]]
    if left:
        lines += ["", "Not graded (no points were given, also not 0):"]
        lines += [f"  {row.student}: {row.note}" for row in left[:20]]
        lines += [f"  … and {len(left) - 20} more, see grades.csv"] * (len(left) > 20)
    if told := grades.remarks(made):
        lines += ["", f"For you to look at: {len(told)} remarks, in class.html and grades.csv."]
    if missing := told_apart(protections)[1]:
        lines += ["", "NOT protected in this run:", *(f"  {text}" for text in missing)]
    return "\n".join(lines)


def told_apart(protections: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """What kept students' code in, and what did not."""
    told = [(name, text) for name, texts in protections.items() for text in texts]
    in_force = [f"{name}: {text}" for name, text in told if not text.startswith(_MISSING)]
    return in_force, [text.removeprefix(_MISSING) for _, text in told if text.startswith(_MISSING)]


def protections_of(made: Sequence[Row]) -> dict[str, list[str]]:
    """What kept students' code in, over all records: each name with all that was said of it."""
    found: dict[str, set[str]] = {}
    for row in made:
        for name, text in row.record["protections"].items():
            found.setdefault(name, set()).add(text)
    return {name: sorted(texts) for name, texts in sorted(found.items())}
