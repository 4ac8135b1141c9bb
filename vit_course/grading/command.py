"""`vit-course grade`: from a folder or zip of submissions to grades, feedback and a picture of the class."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vit_course.grading import canvas, moodle, output, pages
from vit_course.grading import grades as grading
from vit_course.grading.archives import Unreadable
from vit_course.grading.collect import Student, collect
from vit_course.grading.course import NoSuchLesson, course_facts, find_lesson, version
from vit_course.grading.gradebooks import GradebookError, read_sheet
from vit_course.grading.grades import Row
from vit_course.grading.pool import CannotGrade, Work, records
from vit_course.grading.settings import Settings, SettingsError, read_settings
from vit_course.grading.submission import Record, Task, kept_record

RECORDS, RUN = "records", "run.json"
_SAID = (
    FileNotFoundError,
    Unreadable,
    SettingsError,
    GradebookError,
    NoSuchLesson,
    CannotGrade,
)  # their text is enough
MEMORY_OF_A_JOB = 3 * 2**29  # bytes


def main(options: argparse.Namespace, *, marker: Callable[..., Any] | None = None) -> int:
    """Run the command. Returns the exit status.

    Args:
        options: as `arguments.add` makes them.
        marker: makes the one that marks; None for `Marker`.
    """
    from vit_course.grading.marking import Unprotected

    try:
        return _run(options, marker)
    except (
        FileNotFoundError,
        Unreadable,
        SettingsError,
        GradebookError,
        Unprotected,
        CannotGrade,
        NoSuchLesson,
        _Stop,
    ) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or options.out}: {error.strerror}.", file=sys.stderr)
    return 1


class _Stop(ValueError):
    """The command cannot go on; the text says what to do."""


def _run(options: argparse.Namespace, marker: Callable[..., Any] | None) -> int:
    by_lesson, points = course_facts()
    lesson = find_lesson(options.lesson, by_lesson)
    settings = read_settings(options.settings, {name: one for one, names in by_lesson.items() for name in names})
    exports = _exports(options.exports)
    part, parts = _shard(options.shard)
    if options.shard and options.seed is None:
        raise _Stop("Give --seed with --shard, the same number to every part: all students are asked the same.")
    if options.jobs < 0:
        raise _Stop(f"--jobs must be 1 or more; got {options.jobs}.")
    students = collect(options.submissions, without=options.out)
    mine = [student for index, student in enumerate(students) if index % parts == part - 1]
    seed = _seed(options)
    task = Task(by_lesson, lesson, seed, version())
    work = Work(task, options.allow_unprotected, marker)
    output.write(options.out / RECORDS / RUN, json.dumps({"seed": seed, "course": task.course}) + "\n")

    started = time.monotonic()
    try:
        found = _all_records(work, mine, options)
    except KeyboardInterrupt:
        print("\nInterrupted. What is graded is kept: the same command goes on.", file=sys.stderr)
        return 130
    took = time.monotonic() - started
    print(f"{len(mine)} submissions in {took:.1f} seconds.")
    if parts > 1:
        print(f"Part {part} of {parts} is in {options.out}. When all are done: --merge their folders, without --shard.")
        return 0
    made = grading.rows(found, points, settings, lesson=lesson)
    _write_all(options.out, made, {**points, **settings.points}, task, settings, exports)
    return 0


def _exports(given: Sequence[Sequence[str]]) -> list[tuple[str, Path]]:
    for system, file in given:
        if system not in ("canvas", "moodle"):
            raise _Stop(f"--for takes canvas or moodle, then the file; got {system!r}.")
        read_sheet(Path(file))  # what is wrong with it is said before the work
    return [(system, Path(file)) for system, file in given]


def _shard(given: str) -> tuple[int, int]:
    part, _, parts = (given or "1/1").partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise _Stop(f"--shard takes K/N with K from 1 to N, such as 2/8; got {given!r}.")
    return int(part), int(parts)


def _seed(options: argparse.Namespace) -> int:
    """The seed asked for; else that of what is there already; else a fresh one."""
    if options.seed is not None:
        return options.seed
    seeds = set()
    for folder in [options.out, *options.merge]:
        with suppress(OSError, ValueError, KeyError, TypeError):
            seeds.add(int(json.loads((folder / RECORDS / RUN).read_text(encoding="utf-8"))["seed"]))
    if len(seeds) > 1:
        raise _Stop(f"These parts were graded with different seeds ({', '.join(map(str, sorted(seeds)))}).")
    return seeds.pop() if seeds else secrets.randbelow(2**31)


def _all_records(work: Work, students: Sequence[Student], options: argparse.Namespace) -> list[Record]:
    """The record of each student; each is written as soon as it is there."""
    folders = [folder / RECORDS for folder in [options.out, *options.merge]]
    kept = [[one for folder in folders if (one := _kept(folder / f"{student.key}.json"))] for student in students]
    found: list[Record | None] = [None] * len(students)
    jobs = options.jobs or _jobs()
    bar = tqdm(total=len(students), unit=" submissions", disable=not sys.stderr.isatty(), file=sys.stderr)
    again = 0
    with bar:
        for index, record in records(work, students, kept, jobs):
            found[index] = record
            if record in kept[index]:
                again += 1
            output.write(folders[0] / f"{students[index].key}.json", json.dumps(record, ensure_ascii=False, indent=1))
            bar.update()
    if again:
        print(f"{again} of {len(students)} were graded before and have not changed since.")
    return [record for record in found if record is not None]


def _jobs() -> int:
    """As many as there are cores, and as fit into the memory: each is two processes with PyTorch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError, StopIteration), open("/proc/meminfo", encoding="ascii") as lines:
        free = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
        return max(1, min(cores, free // MEMORY_OF_A_JOB))
    return cores


def _kept(path: Path) -> Record | None:
    try:
        return kept_record(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _write_all(
    out: Path,
    made: list[Row],
    worth: dict[str, float],
    task: Task,
    settings: Settings,
    exports: list[tuple[str, Path]],
) -> None:
    """Everything that is made of the rows."""
    protections = output.protections_of(made)
    before = _before(out / "grades.json")
    changed = grading.changes(before, made)
    facts = {"course": task.course, "seed": task.seed, "lesson": task.lesson, "protections": protections}
    filled = [(system, _filled(system, path, made, settings)) for system, path in exports]

    folder = out / "feedback"
    for name in {one["student"] for one in before.get("grades", ())} - {row.student for row in made}:
        (folder / f"{name}.html").unlink(missing_ok=True)
    for student in dict.fromkeys(row.student for row in made):
        theirs = [row for row in made if row.student == student]
        output.write(folder / f"{student}.html", pages.feedback(theirs, worth, task.course))
    output.write(out / "class.html", pages.class_page(made, course=task.course, protections=protections))
    output.write(out / "grades.csv", output.grades_csv(made, worth))
    print(output.summary(made, protections))
    if changed:
        print(f"\nOther points than before ({before.get('course', 'an unknown version')}):")
        for one in changed:
            then, now = (output.number(one[when]) or "none" for when in ("before", "now"))
            print(f"  {one['student']}, lesson {one['lesson']}: {then} → {now} ({one['why']})")
        shown = [{**one, **{when: output.number(one[when]) for when in ("before", "now")}} for one in changed]
        lines = [list(shown[0]), *([output.safe(value) for value in one.values()] for one in shown)]
        output.write(out / "changes.csv", "\ufeff" + output.table(lines))
    for system, one in filled:
        output.write(out / f"{system}.csv", one.text)
        print(f"\n{out / f'{system}.csv'}: {one.matched} students; import it into {system.capitalize()}.")
        for note in one.notes:
            print(f"  {note}")
        if one.unmatched:
            print(f"  No line there for: {', '.join(one.unmatched[:20])}{' …' * (len(one.unmatched) > 20)}")
    output.write(out / "grades.json", output.grades_json(made, facts))  # last: what `before` reads is whole
    print(f"\nIn {out}: class.html, grades.csv, grades.json, feedback/ ({len({row.student for row in made})} pages).")


def _before(path: Path) -> dict[str, Any]:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        needed = {"student", "lesson", "points", "marks"}
        return before if all(needed <= one.keys() for one in before["grades"]) else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _filled(system: str, path: Path, made: list[Row], settings: Settings) -> Any:
    if system == "canvas":
        return canvas.fill(made, path, dict(settings.columns))
    return moodle.fill(made, path)
