"""The code cells of a notebook, whatever state it is in: formats 2 to 4.5, odd encodings, lost metadata.

Nothing but the standard library: nbformat's validation would refuse what can still be graded.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vit_course.grading.archives import Unreadable

MOST_CODE = 2 * 2**20  # characters
MOST_VALUES = 10_000_000  # of JSON: each takes 60 bytes of memory or so
_OTHER_KINDS = (
    (b"%PDF", "is a PDF and not a notebook"),
    (b"PK\x03\x04", "is a zip archive (or an Office document) and not a notebook"),
    (b"\x89PNG", "is a picture and not a notebook"),
    (b"\xff\xd8\xff", "is a picture and not a notebook"),
    (b"\x1f\x8b", "is a gzip archive and not a notebook"),
    (b"Rar!", "is a rar archive and not a notebook"),
    (b"7z\xbc\xaf", "is a 7z archive and not a notebook"),
    (b"version https://git-lfs", "is a pointer of git LFS: the notebook itself was not handed in"),
)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SCRIPT_CELLS = re.compile(r"^# (?:In\[[ \d]*\]:|%%.*)$", re.M)


@dataclass(frozen=True)
class Cells:
    """What was read.

    Attributes:
        code: of the code cells, in order.
        other: of Markdown and raw cells: code that ended up there is not graded, but said.
        notes: what the instructor should know, such as an odd encoding.
    """

    code: tuple[str, ...]
    other: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_cells(data: bytes, name: str) -> Cells:
    """The cells of a notebook, or of a Python script that was made of one.

    Args:
        data: the file.
        name: of the file, for messages.

    Raises:
        Unreadable: it is no notebook that could be graded; the text says why.
    """
    if not data.strip(b"\0 \t\r\n"):
        raise Unreadable(f"{name} is empty: the upload seems to have failed")
    for start, kind in _OTHER_KINDS:
        if data.startswith(start):
            raise Unreadable(f"{name} {kind}")
    text, notes = _decoded(data)
    if name.lower().endswith(".py"):
        return Cells(_bounded(name, _SCRIPT_CELLS.split(text)), (), notes)
    try:
        document = _parsed(text)
    except RecursionError as error:
        raise Unreadable(f"{name} is no notebook: it is nested thousands of levels deep") from error
    except ValueError as error:
        if _is_script(text):
            return Cells(_bounded(name, _SCRIPT_CELLS.split(text)), (), (*notes, f"{name} is a Python script"))
        raise Unreadable(_why_no_json(name, text, error)) from error
    code, other = [], []
    for kind, source in _cells(document, name):
        (code if kind == "code" else other).append(source)
    if not code:
        raise Unreadable(f"{name} is a notebook without any code cell")
    return Cells(_bounded(name, code), tuple(other), notes)


def _bounded(name: str, code: Sequence[str]) -> tuple[str, ...]:
    if sum(map(len, code)) > MOST_CODE:
        raise Unreadable(f"{name} holds more than {MOST_CODE // 2**20} MB of code")
    return tuple(code)


def _decoded(data: bytes) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace"), ()
    try:
        return data.decode(json.detect_encoding(data[:4])), ()
    except UnicodeDecodeError:
        # Every byte means something there. Code is ASCII nearly always, so little can go wrong.
        return data.decode("latin-1"), ("not in UTF-8: read as Latin-1",)


def _parsed(text: str) -> Any:
    if sum(text.count(letter) for letter in "[{,") > MOST_VALUES:
        raise ValueError("it holds too many values")
    return json.loads(text, strict=False)  # a line break in the middle of a string does no harm


def _is_script(text: str) -> bool:
    if not re.search(r"^(?:def|class|import|from) ", text, re.M):
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _why_no_json(name: str, text: str, error: ValueError) -> str:
    start = text.lstrip()[:2000].lower()
    if start.startswith(("<!doctype html", "<html")):
        return f"{name} is a web page and not a notebook: save it with File → Download (or Save) as .ipynb"
    if re.search(r"^<{7} ", text, re.M) and re.search(r"^>{7} ", text, re.M):
        return f"{name} holds the marks of a git conflict that was not resolved"
    if isinstance(error, json.JSONDecodeError):
        if (start.startswith("{") and error.pos >= len(text.rstrip()) - 1) or "Unterminated string" in error.msg:
            return f"{name} ends in the middle: the upload or the download was cut short"
        return f"{name} is no notebook: its JSON is broken in line {error.lineno} ({error.msg})"
    return f"{name} is no notebook ({error})"


def _cells(document: Any, name: str) -> Iterator[tuple[str, str]]:
    """Kind and source of each cell."""
    if not isinstance(document, dict):
        raise Unreadable(f"{name} is JSON, but no notebook")
    cells = document.get("cells")
    if cells is None and isinstance(document.get("worksheets"), list):  # formats 2 and 3
        sheets = [sheet.get("cells") for sheet in document["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    if not isinstance(cells, list):
        raise Unreadable(f"{name} is JSON, but no notebook: it has no cells")
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", cell.get("input", ""))
        if isinstance(source, list):
            source = "".join(line for line in source if isinstance(line, str))
        if isinstance(source, str):
            yield cell.get("cell_type"), _clean(source)


def _clean(source: str) -> str:
    """Ends of lines as Python has them, and text that can be written anywhere."""
    source = source.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    # What `str.splitlines` takes for the end of a line and Python does not.
    source = re.sub("[\v\f\x1c-\x1e\x85\u2028\u2029]", " ", source)
    return source.encode("utf-8", "replace").decode("utf-8")
