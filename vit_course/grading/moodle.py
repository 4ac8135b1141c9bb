"""Grades into the offline grading worksheet that Moodle gives out, to be uploaded there.

Moodle (`mod/assign/feedback/offline/importgradeslib.php`) wants the columns that are called `Identifier`, `Grade` and
`Last modified (grade)` in the teacher's language, and takes the number at the end of the identifier. A worksheet in any
language is filled: the columns are known by what stands in them. The rest stays as it was.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from vit_course.grading.gradebooks import Filled, GradebookError, Sheet, one_each, read_sheet, words
from vit_course.grading.grades import PASSED, Row
from vit_course.grading.output import number, safe

_GRADE = {
    *("grade", "bewertung", "note", "calificación", "valutazione", "nota", "cijfer", "karakter", "betyg", "arvosana"),
    *(
        "ocena",
        "známka",
        "hodnocení",
        "оценка",
        "оцінка",
        "not",
        "βαθμός",
        "成绩",
        "成績",
        "評点",
        "評定",
        "성적",
        "الدرجة",
    ),
}
_FEEDBACK = ("feedback", "commentaires", "comentarios", "commenti")  # so the column of comments begins


def fill(made: Sequence[Row], path: Path) -> Filled:
    """The worksheet with the points of one lesson, and a few lines of feedback.

    Args:
        made: the rows of a run.
        path: of the worksheet.

    Raises:
        GradebookError: it is no such worksheet.
    """
    sheet = read_sheet(path)
    identity = _identity(sheet)
    grade, most = _grade(sheet)
    if identity is None or grade is None:
        raise GradebookError(
            f"{path} is no grading worksheet of Moodle. In the assignment, switch “Offline grading worksheet” on under "
            "Feedback types, then choose “Download grading worksheet”."
        )
    ours, matched, notes = one_each(made), 0, set()
    left = dict(ours)
    comments = sheet.column(lambda head: head.casefold().startswith(_FEEDBACK))
    for line in sheet.lines:
        row = _find(left, sheet, line, identity)
        if row is None:
            continue
        del left[row.student]
        possible = None if most is None else _float(line[most])
        value = row.points if not possible else row.share * possible
        if possible and possible != row.out_of:
            notes.add(f"scaled from {number(row.out_of)} points to the {number(possible)} of Moodle")
        comma = most is not None and "," in line[most]  # as numbers are written in that language
        line[grade] = number(value).replace(".", ",") if comma else number(value)
        if comments is not None:
            line[comments] = _comment(row)
        matched += 1
    return Filled(sheet.text(), matched, tuple(left), tuple(sorted(notes)))


def _identity(sheet: Sheet) -> int | None:
    """The column with "Participant 123" in it, whatever that is called."""
    if not sheet.lines:
        return None
    named = sheet.column(lambda head: head.casefold() == "identifier")
    if named is not None:
        return named
    return 0 if all(re.search(r"\D\d+$", line[0].strip()) for line in sheet.lines) else None


def _grade(sheet: Sheet) -> tuple[int | None, int | None]:
    """The column of grades, and the one right of it with the highest grade possible, if that is what it is."""
    found = sheet.column(lambda head: head.casefold() in _GRADE)
    if found is not None and found + 1 < len(sheet.heads):
        return found, found + 1 if _is_maximum(sheet, found + 1) else None
    for index in range(2, len(sheet.heads)):
        if _is_maximum(sheet, index):
            return index - 1, index
    return found, None


def _is_maximum(sheet: Sheet, index: int) -> bool:
    values = {line[index].strip() for line in sheet.lines}
    return len(values) == 1 and (_float(values.pop()) or 0.0) > 0


def _float(text: str) -> float | None:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None


def _find(left: dict[str, Row], sheet: Sheet, line: list[str], identity: int) -> Row | None:
    found = re.search(r"(\d+)\s*$", line[identity])
    for row in left.values():
        if found and row.record["system"] == "moodle" and row.record["id"] == found[1]:
            return row
    name = words(line[1])
    if sum(words(other[1]) == name for other in sheet.lines) > 1:
        return None
    named = [row for row in left.values() if row.record["system"] != "moodle" and words(row.name) == name]
    return named[0] if len(named) == 1 else None


def _comment(row: Row) -> str:
    """A line for each exercise. Moodle takes it for HTML."""
    lines = []
    for mark in row.marks:
        said = "right" if mark["status"] == PASSED else mark["message"] or mark["status"]
        lines.append(html.escape(f"{mark['exercise']}: {said}").replace("\n", "<br>"))
    return safe("<br>".join(lines))
