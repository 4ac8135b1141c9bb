"""From records to grades: points by the settings, what is late, and what a class got right and wrong."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vit_course.grading.settings import Settings
from vit_course.grading.submission import Record

PASSED = "passed"


@dataclass(frozen=True)
class Row:
    """A lesson of a student; or a student of whom nothing could be graded.

    Attributes:
        student: unique, and the name of the feedback page.
        name: as it is shown.
        lesson: "01", or "" where it is not known.
        points: what was reached, lateness taken off; None if nothing could be graded, which is not the same as 0.
        out_of: what can be reached.
        taken_off: for lateness.
        late: days begun after it was due.
        marks: as in the record: a dict for each exercise.
        note: for the instructor.
        record: where it comes from.
    """

    student: str
    name: str
    lesson: str
    points: float | None
    out_of: float
    taken_off: float
    late: int
    marks: Sequence[Mapping[str, Any]]
    note: str
    record: Record = field(repr=False)

    @property
    def graded(self) -> bool:
        return self.points is not None

    @property
    def share(self) -> float:
        """0 to 1."""
        return (self.points or 0.0) / self.out_of if self.out_of else 1.0

    @property
    def lateness(self) -> str:
        """In words; "yes" where a platform says so, and not by how much."""
        if self.late:
            return "1 day" if self.late == 1 else f"{self.late} days"
        return "yes" if self.record["late"] else ""

    def facts(self, name: str) -> Any:
        """What the record says of this lesson: "notebook", "hash", "handed_in"."""
        return self.record["lessons"].get(self.lesson, {}).get(name, "")


def rows(records: Iterable[Record], points: Mapping[str, float], settings: Settings, *, lesson: str = "") -> list[Row]:
    """The rows of all records, by student and lesson.

    Args:
        records: in any order.
        points: of every exercise of the course; the settings' own go before them.
        settings: what the instructor set.
        lesson: the one that was asked for, or "".
    """
    worth = {**points, **settings.points}
    made = []
    for record in sorted(records, key=lambda one: one["key"]):
        lessons = record["lessons"] or {lesson: None}
        made += [_row(record, one, lessons[one], worth, settings) for one in sorted(lessons)]
    return made


def _row(record: Record, lesson: str, found: Any, worth: Mapping[str, float], settings: Settings) -> Row:
    facts = {"student": record["key"], "name": record["name"], "lesson": lesson, "record": record}
    if found is None:
        return Row(**facts, points=None, out_of=0.0, taken_off=0.0, late=0, marks=(), note=record["reason"])
    marks = found["marks"]
    reached = sum(worth[mark["exercise"]] for mark in marks if mark["status"] == PASSED)
    days = settings.days_late(lesson, found["handed_in"])
    points = round(reached * settings.share_kept(days), 2)
    missing = [mark["exercise"] for mark in marks if mark["status"] == "missing"]
    notes = [f"not in the notebook: {', '.join(missing)}"] if missing else []
    notes += [*found["notes"], *record["notes"]]
    return Row(
        **facts,
        points=points,
        out_of=sum(worth[mark["exercise"]] for mark in marks),
        taken_off=round(reached - points, 2),
        late=days,
        marks=marks,
        note="; ".join(dict.fromkeys(notes)),
    )


def same_files(made: Sequence[Row]) -> dict[str, list[str]]:
    """Students whose notebooks are one and the same file and hold a right answer: hash → students."""
    found: dict[str, list[str]] = {}
    for row in made:
        if row.graded and any(mark["status"] == PASSED for mark in row.marks):
            found.setdefault(row.facts("hash"), []).append(row.student)
    return {key: sorted(set(students)) for key, students in found.items() if len(set(students)) > 1}


def remarks(made: Sequence[Row]) -> list[tuple[Row, str, str]]:
    """What the instructor may want to look at: (row, exercise or "", what)."""
    found = [
        (row, mark["exercise"], remark) for row in made for mark in row.marks for remark in mark.get("remarks", ())
    ]
    twins = same_files(made)
    for row in made:
        others = [one for one in twins.get(row.facts("hash"), ()) if one != row.student]
        if others:
            found.append((row, "", f"the same file as {', '.join(others)}"))
    return sorted(found, key=lambda one: (one[0].student, one[0].lesson, one[1], one[2]))


@dataclass(frozen=True)
class Exercise:
    """What a class made of an exercise: how many have which status, and how often which mistake was recognised."""

    name: str
    lesson: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def share_right(self) -> float:
        return self.counts.get(PASSED, 0) / self.total if self.total else 0.0


def by_exercise(made: Sequence[Row]) -> list[Exercise]:
    """The exercises, hardest first."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in made:
        for mark in row.marks:
            counts.setdefault((row.lesson, mark["exercise"]), Counter())[mark["status"]] += 1
    found = [Exercise(name, lesson, dict(sorted(count.items()))) for (lesson, name), count in counts.items()]
    return sorted(found, key=lambda one: (one.share_right, one.lesson))


def misconceptions(made: Sequence[Row]) -> list[tuple[str, str, str, int]]:
    """(exercise, slug, what the card says, how many students), commonest first."""
    counts: Counter[tuple[str, str]] = Counter()
    messages: dict[tuple[str, str], str] = {}
    for row in made:
        for mark in row.marks:
            if mark.get("mistake"):
                key = mark["exercise"], mark["mistake"]
                counts[key] += 1
                messages.setdefault(key, mark["message"])
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return [(*key, messages[key], count) for key, count in ordered]


def middle(made: Sequence[Row]) -> tuple[float, float]:
    """Mean and median of the shares of points, 0 to 1, of the rows that are graded."""
    shares = [row.share for row in made if row.graded]
    return (statistics.fmean(shares), statistics.median(shares)) if shares else (0.0, 0.0)


def changes(before: Mapping[str, Any], made: Sequence[Row]) -> list[dict[str, Any]]:
    """Whose points are other than in an earlier `grades.json`, and through which exercises."""
    old = {(one["student"], one["lesson"]): one for one in before.get("grades", ())}
    found = []
    for row in made:
        was = old.get((row.student, row.lesson))
        if was is None or was["points"] == row.points:
            continue
        then = {mark["exercise"]: mark["status"] for mark in was["marks"]}
        turned = [
            f"{mark['exercise']}: {then[mark['exercise']]} → {mark['status']}"
            for mark in row.marks
            if then.get(mark["exercise"], mark["status"]) != mark["status"]
        ]
        facts = {"student": row.student, "lesson": row.lesson, "before": was["points"], "now": row.points}
        found.append({**facts, "why": "; ".join(turned) or "points, due date or notebook changed"})
    return found
