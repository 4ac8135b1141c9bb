"""One student's submission, from files to marks: which notebook counts for which lesson, and what it is worth.

What comes out is a record: plain data that is kept as JSON, so that a run can be stopped, resumed, shared out and
merged.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import re
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from vit_course.checks.definitions import answers
from vit_course.grading.archives import File, Unreadable, read, shown
from vit_course.grading.collect import Student, lesson_stems
from vit_course.grading.names import from_canvas
from vit_course.grading.notebooks import Cells, read_cells

if TYPE_CHECKING:
    from vit_course.grading.marking import Mark

MOST_NOTEBOOKS = 100  # of one student
MOST_BYTES = 1024 * 2**20  # of one student's notebooks together
Record = dict[str, Any]
_TIMESTAMP = re.compile(r"\s*(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)\S*\s*(?P<zone>[\w/+-]*)")


class Marks(Protocol):
    """What is asked of a `Marker`."""

    protections: dict[str, str]

    def mark(self, cells: Sequence[str], exercises: Sequence[str]) -> list[Mark]: ...


@dataclass(frozen=True)
class Task:
    """What is asked of every submission of a run.

    Attributes:
        exercises: names by lesson: {"01": ("num_patches", …)}.
        lesson: the one that is graded, or "" for all that are handed in.
        seed: of the cases.
        course: version of the course; with the seed it decides whether a kept record still holds.
    """

    exercises: Mapping[str, tuple[str, ...]]
    lesson: str
    seed: int
    course: str


@dataclass
class _Try:
    """One notebook that somebody handed in."""

    file: File
    cells: Cells
    lessons: tuple[str, ...]
    hash: str

    @property
    def path(self) -> str:
        return shown("/".join(self.file.parts))


def graded(student: Student, task: Task, marker: Callable[[], Marks], kept: Sequence[Record] = ()) -> Record:
    """The record of a submission.

    Args:
        student: what they handed in.
        task: what is asked.
        marker: gives the one that marks; not called if nothing has to be marked.
        kept: records of earlier runs; one that still holds is given back.
    """
    tries, problems, digest = _read_all(student, task)
    for one in kept:
        if one["stamp"] == digest:
            return one
    record = _blank(student, digest)
    wanted = [task.lesson] if task.lesson else sorted({lesson for one in tries for lesson in one.lessons})
    for lesson in wanted:
        found = [one for one in tries if lesson in one.lessons] or [
            one for one in tries if task.lesson and _defined(one.cells.code, task.exercises[lesson])
        ]
        if found:
            record["lessons"][lesson] = _marked(student, lesson, found, tries, task, marker())
            record["protections"] = dict(marker().protections)
    if not record["lessons"]:
        record["reason"] = _why_nothing(student, tries, problems, task)
    else:
        record["notes"] = problems
    return record


def not_graded(student: Student, reason: str) -> Record:
    """The record of a submission that the grader itself could not cope with. It is tried again by the next run."""
    return {**_blank(student, ""), "reason": reason}


def _blank(student: Student, stamp: str) -> Record:
    facts = {name: getattr(student, name) for name in ("key", "name", "system", "id", "late")}
    return {**facts, "stamp": stamp, "lessons": {}, "reason": "", "notes": [], "protections": {}}


def _candidates(student: Student) -> list[File]:
    """The files that could be notebooks: by their names, and scripts only where there is no notebook."""
    # Browsers save "01_patches.ipynb.txt" and "….ipynb.json".
    notebooks = [file for file in student.files if re.search(r"\.ipynb(\W|_|$)", file.name, re.I)]
    return notebooks or [file for file in student.files if file.name.lower().endswith((".py", ".json"))]


def _read_all(student: Student, task: Task) -> tuple[list[_Try], list[str], str]:
    """The notebooks that can be read, what is wrong with the others, and a stamp of it all."""
    facts = [student.key, student.name, student.system, student.id, student.late, _plain(task)]
    stamp = hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8"))
    tries, problems, size = [], [], 0
    for number, file in enumerate(_candidates(student)):
        stamp.update(repr((file.parts, file.modified, file.problem)).encode("utf-8", "surrogatepass"))
        try:
            if number >= MOST_NOTEBOOKS or size > MOST_BYTES:
                raise Unreadable(f"more than {MOST_NOTEBOOKS} notebooks, or too large ones: the others were not read")
            data = read(file)
            size += len(data)
            digest = hashlib.sha256(data).hexdigest()
            stamp.update(digest.encode())
            cells = read_cells(data, shown(file.name))
        except Unreadable as error:
            problems.append(str(error))
            if number >= MOST_NOTEBOOKS or size > MOST_BYTES:
                break
            continue
        tries.append(_Try(file, cells, _lessons(cells.code, file.name, task.exercises), digest))
    # What was handed in beside it decides the words of a refusal.
    stamp.update(repr([file.parts for file in student.files]).encode("utf-8", "surrogatepass"))
    return tries, problems, stamp.hexdigest()


def _plain(task: Task) -> dict[str, Any]:
    return {**asdict(task), "exercises": {lesson: list(names) for lesson, names in task.exercises.items()}}


def _defined(code: Sequence[str], names: Sequence[str]) -> list[str]:
    """Which names a notebook defines, as far as can be told without parsing it."""
    text = "\n".join(code)
    found = []
    for name in names:
        written = rf"^[ \t]*(?:(?:async )?def|class)[ \t]+{name}\b"
        assigned = rf"^{name}[ \t]*(?::[^=\n]*)?=(?![ \t]*(?:check|mine)\b|=)"  # not `patchify = check(patchify)`
        if re.search(f"{written}|{assigned}", text, re.M):
            found.append(name)
    return found


def _lessons(code: Sequence[str], filename: str, exercises: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The lessons that a notebook is of: the one it defines most of, and any that it defines all of.

    A name decides only between equals: notebooks get renamed.
    """
    found = {lesson: len(_defined(code, names)) for lesson, names in exercises.items()}
    named = next((stem[:2] for stem in lesson_stems() if stem in filename.lower()), "")
    best = max(found, key=lambda lesson: (found[lesson], lesson == named), default="")
    whole = [lesson for lesson, count in found.items() if count and count == len(exercises[lesson])]
    return tuple(sorted({*whole, *([best] if best and found[best] else [])}))


def _marked(student: Student, lesson: str, found: list[_Try], tries: list[_Try], task: Task, marker: Marks) -> Record:
    """The marks for a lesson, by the notebook that counts."""
    names = task.exercises[lesson]
    chosen, notes = _chosen(found, names)
    marks = marker.mark(chosen.cells.code, names)
    notes = [*notes, *chosen.cells.notes]
    for mark in marks:
        if mark.status != "missing":
            continue
        if _defined(chosen.cells.other, [mark.exercise]):
            notes.append(f"{mark.exercise} stands in a Markdown or raw cell, which is not graded")
        elif elsewhere := [
            one.path for one in tries if one is not chosen and _defined(one.cells.code, [mark.exercise])
        ]:
            notes.append(f"{mark.exercise} is not in this notebook, but in {elsewhere[0]}")
    return {
        "notebook": chosen.path,
        "hash": chosen.hash,
        "handed_in": _handed_in(chosen.file, student),
        "notes": notes,
        "marks": [{**asdict(mark), "remarks": list(mark.remarks)} for mark in marks],
    }


def _chosen(found: list[_Try], names: Sequence[str]) -> tuple[_Try, list[str]]:
    """The newest try; but not an empty one where another holds answers, and none of a whole copy of the course."""
    own = [one for one in found if "solutions" not in one.file.parts[:-1]]
    ordered = sorted(own or found, key=lambda one: _age(one.file))
    best = ordered[-1]
    if len(ordered) == 1:
        return best, []
    if len({one.hash for one in ordered}) == 1:
        return best, [f"handed in {len(ordered)} times, always the same"]
    answered = [one for one in ordered if _answered(one, names)]
    if answered and best not in answered:
        return answered[-1], [
            f"{len(ordered)} notebooks for this lesson: {answered[-1].path} was graded, "
            f"since the newest, {best.path}, holds no answer"
        ]
    others = ", ".join(one.path for one in ordered[:-1])
    return best, [f"{len(ordered)} notebooks for this lesson: the newest, {best.path}, was graded, not {others}"]


def _answered(one: _Try, names: Sequence[str]) -> bool:
    """Whether a notebook holds more than the stubs as they were handed out."""
    with contextlib.suppress(RecursionError, MemoryError, ValueError):  # code nested too deep to be parsed
        return any(answers(name, cell) for cell in one.cells.code for name in names if name in cell)
    return False


def _age(file: File) -> tuple[int, str, int, tuple[str, ...]]:
    """Grows with time: by Canvas's own numbers, by date, by the number that a browser or Canvas adds to a name."""
    handed = from_canvas(file.parts[0])
    number = re.search(r"[-_ (](\d{1,3})\)?$", PurePath(file.name).stem)
    return handed.order if handed else 0, file.modified, int(number[1]) if number else 0, file.parts


def _handed_in(file: File, student: Student) -> str:
    """When, as ISO: by nbgrader's own note where there is one, else the date of the file."""
    for other in student.files:
        if other.name == "timestamp.txt" and other.parts[:-1] == file.parts[:-1] and not other.problem:
            with contextlib.suppress(Unreadable, ValueError, KeyError, OSError):
                found = _TIMESTAMP.match(read(other, 200).decode("utf-8"))
                zone = zoneinfo.ZoneInfo(found["zone"] or "UTC") if found else None
                return datetime.datetime.fromisoformat(found["time"]).replace(tzinfo=zone).isoformat() if found else ""
    return file.modified


def _why_nothing(student: Student, tries: list[_Try], problems: list[str], task: Task) -> str:
    if problems:
        return "; ".join(problems[:5])
    if tries:
        there = ", ".join(one.path for one in tries[:3])
        return f"no exercise of {f'lesson {task.lesson}' if task.lesson else 'the course'} is defined in {there}"
    if linked := [file for file in student.files if file.problem]:
        return "; ".join(f"{shown(file.name)} {file.problem}" for file in linked[:5])
    if student.files:
        return f"no notebook among what was handed in: {', '.join(shown(file.name) for file in student.files[:5])}"
    return "nothing was handed in: the folder is empty"


def kept_record(text: str) -> Record | None:
    """A record as it was written; None if it is damaged."""
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {"key", "stamp", "lessons", "reason"} <= record.keys() else None
