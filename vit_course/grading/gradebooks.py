"""What the exports to Canvas and Moodle share: their CSV files, read as they come, and which row is whose."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vit_course.grading.grades import Row
from vit_course.grading.output import table


class GradebookError(ValueError):
    """A gradebook cannot be filled in; the text says what to do."""


@dataclass(frozen=True)
class Filled:
    """A gradebook with points in it.

    Attributes:
        text: of the file to import.
        matched: how many rows got points.
        unmatched: students who have points, but no row there.
        notes: what the instructor should know.
    """

    text: str
    matched: int
    unmatched: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass
class Sheet:
    """A CSV file: its heads and lines, in its own order, to be written as it came."""

    heads: list[str]
    lines: list[list[str]]
    delimiter: str
    marked: bool  # with a byte order mark

    def text(self) -> str:
        return "\ufeff" * self.marked + table([self.heads, *self.lines], self.delimiter)

    def column(self, test: Callable[[str], bool]) -> int | None:
        return next((index for index, head in enumerate(self.heads) if test(head.strip())), None)


def read_sheet(path: Path) -> Sheet:
    """A gradebook as it was exported.

    Raises:
        GradebookError: it cannot be read, or is no CSV.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GradebookError(f"{path} cannot be read: {error.strerror}.") from error
    marked = data.startswith(b"\xef\xbb\xbf")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise GradebookError(f"{path} is not in UTF-8. Export it again, and do not save it with Excel.") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter, strict=True) if line]
    except csv.Error as error:
        raise GradebookError(f"{path} is no CSV file as it was exported ({error}).") from error
    if not lines or len(lines[0]) < 2:
        raise GradebookError(f"{path} is no gradebook: it has no columns. Export it again as CSV.")
    heads = lines[0]
    return Sheet(heads, [line + [""] * (len(heads) - len(line)) for line in lines[1:]], delimiter, marked)


def one_each(made: Sequence[Row]) -> dict[str, Row]:
    """The row of each student, by key: a gradebook has one number for each.

    Raises:
        GradebookError: several lessons were graded at once.
    """
    lessons = sorted({row.lesson for row in made if row.graded})
    if len(lessons) > 1:
        raise GradebookError(f"Lessons {', '.join(lessons)} were graded at once. Say which: --lesson {lessons[0]}.")
    return {row.student: row for row in made if row.graded}


def bare(name: str) -> str:
    """A name as it can be compared: letters and digits alone, in lower case, without marks."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum())


def words(name: str) -> tuple[str, ...]:
    """The words of a name in any order: "Lovelace, Ada" is "Ada Lovelace"."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return tuple(sorted(re.findall(r"\w+", plain.replace("_", " "))))
