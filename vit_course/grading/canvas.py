"""Grades into a gradebook as Canvas exports it, to be imported there.

Canvas (`lib/gradebook_importer.rb`) wants `Student, ID, [SIS User ID, SIS Login ID, …], Section`, then assignments as
`Title (id)`; a row `Points Possible` and those without an ID may stand above the students. It changes only the columns
that it finds, so the file holds the one assignment and none of the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vit_course.grading.gradebooks import Filled, GradebookError, Sheet, bare, one_each, read_sheet, words
from vit_course.grading.grades import Row
from vit_course.grading.output import number

_ASSIGNMENT = re.compile(r".*\(\d+\)", re.S)
_IDENTITIES = ("SIS User ID", "SIS Login ID", "Integration ID")


def fill(made: Sequence[Row], path: Path, columns: dict[str, str]) -> Filled:
    """The gradebook with the points of one lesson.

    Args:
        made: the rows of a run.
        path: of the exported gradebook.
        columns: the column of a lesson, by its title; else the one with the lesson's number or name is taken.

    Raises:
        GradebookError: it is no gradebook, or the column is not clear.
    """
    sheet = read_sheet(path)
    student, identity, section = (
        sheet.column(lambda head, name=name: head == name) for name in ("Student", "ID", "Section")
    )
    if student is None or identity is None or section is None:
        raise GradebookError(f"{path} is no gradebook of Canvas: it needs the columns Student, ID and Section.")
    ours = one_each(made)
    lesson = next((row.lesson for row in ours.values()), "")
    target = _column(sheet, lesson, columns, path)
    possible = next((_float(line[target]) for line in sheet.lines if _is_possible(line[student])), None)
    left = dict(ours)
    matched = 0
    for line in sheet.lines:
        if _is_possible(line[student]) or not line[identity].strip():
            continue
        row = _find(left, sheet, line, student, identity)
        if row is None or line[target].strip().upper() == "EX":  # excused there: stays so
            if row is not None:
                del left[row.student]
            continue
        del left[row.student]
        line[target] = number(row.points if possible is None else row.share * possible)
        matched += 1
    kept = [*range(section + 1), target]
    text = Sheet(
        [sheet.heads[index] for index in kept],
        [[line[index] for index in kept] for line in sheet.lines],
        sheet.delimiter,
        sheet.marked,
    ).text()
    notes = []
    out_of = next((row.out_of for row in ours.values()), None)
    if possible is not None and out_of is not None and possible != out_of:
        notes.append(f"scaled from {number(out_of)} points to the {number(possible)} of Canvas")
    if any(row.record["id"].startswith("anon_") for row in left.values()):
        notes.append("anonymous submissions cannot be matched: turn anonymous grading off and download again")
    return Filled(text, matched, tuple(left), tuple(notes))


def _is_possible(name: str) -> bool:
    return "points possible" in name.lower()


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _column(sheet: Sheet, lesson: str, columns: dict[str, str], path: Path) -> int:
    """The assignment of a lesson."""
    titles = {index: head for index, head in enumerate(sheet.heads) if _ASSIGNMENT.fullmatch(head.strip())}
    if wanted := columns.get(lesson):
        found = [index for index, title in titles.items() if wanted in (title, re.sub(r"\s*\(\d+\)$", "", title))]
    elif len(titles) == 1:
        found = list(titles)
    else:
        numbered = re.compile(rf"(?<!\d)0*{int(lesson) if lesson else -1}(?!\d)")
        found = [index for index, title in titles.items() if numbered.search(re.sub(r"\(\d+\)$", "", title.strip()))]
    if len(found) != 1:
        listed = ", ".join(titles.values()) or "none"
        raise GradebookError(
            f"Which column of {path} is lesson {lesson}? Its assignments: {listed}. Say so in a file for --settings: "
            f'[columns] and below it "{lesson}" = "the title".'
        )
    return found[0]


def _find(left: dict[str, Row], sheet: Sheet, line: list[str], student: int, identity: int) -> Row | None:
    """The row that belongs to a line: by Canvas's own ID, by another identity, or by a name that is unique."""
    own = line[identity].strip()
    for row in left.values():
        if row.record["system"] == "canvas" and row.record["id"] == own:
            return row
    for head in _IDENTITIES:
        index = sheet.column(lambda one, head=head: one == head)
        value = line[index].strip().casefold() if index is not None else ""
        for row in left.values():
            if value and not row.record["system"] and value in (row.name.casefold(), row.student.casefold()):
                return row
    name = line[student]
    if sum(words(other[student]) == words(name) for other in sheet.lines) > 1:
        return None
    found = [
        row
        for row in left.values()
        if (row.record["system"] != "canvas" or not row.record["id"])
        and (words(row.name) == words(name) or bare(row.name) == bare(name))
    ]
    return found[0] if len(found) == 1 else None
