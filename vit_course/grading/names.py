"""Whose a file is, as learning platforms write it into names.

Canvas (`lib/content_zipper.rb`): `<sortable name>[_LATE]_<user>_<attachment>_<original>`, the name without anything but
letters, digits and underscores, in lower case; anonymous `[LATE_]anon_<id>_<attachment>_<original>`; text entries and
links end in `_text.html` and `_link.html`. Moodle (`mod/assign/locallib.php`):
`<full name>_<participant>_assignsubmission_file/<path>`, older `…_file_/`, without folders `…_file_<original>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_CANVAS = re.compile(r"(?P<name>\w+?)(?P<late>_LATE)?_(?P<id>[1-9]\d*)_(?P<attachment>[1-9]\d*)_(?P<original>.+)", re.S)
_CANVAS_ANONYMOUS = re.compile(r"(?P<late>LATE_)?anon_(?P<id>[^\W_]+)_(?P<attachment>[1-9]\d*)_(?P<original>.+)", re.S)
_CANVAS_TEXT = re.compile(r"(?P<name>\w+?)(?P<late>_LATE)?_(?P<id>[1-9]\d*)_(?P<original>text|link)\.html")
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?P<kind>file|onlinetext)_?(?P<original>.*)", re.S)


@dataclass(frozen=True)
class Handed:
    """What a platform's name says.

    Attributes:
        system: "canvas" or "moodle".
        id: of the user (Canvas) or the participant (Moodle).
        name: of the student, as it stands there; "" where it is withheld.
        late: Canvas marks what came late.
        order: grows with time: of Canvas's attachments.
        original: what the student called the file, or "".
    """

    system: str
    id: str
    name: str
    late: bool = False
    order: int = 0
    original: str = ""


def from_canvas(filename: str) -> Handed | None:
    """What the name of a file in a Canvas zip says; None if it is none of theirs."""
    if found := _CANVAS_ANONYMOUS.fullmatch(filename):
        return Handed(
            "canvas", f"anon_{found['id']}", "", bool(found["late"]), int(found["attachment"]), found["original"]
        )
    if found := _CANVAS.fullmatch(filename):
        order = int(found["attachment"])
        return Handed("canvas", found["id"], found["name"], bool(found["late"]), order, found["original"])
    if found := _CANVAS_TEXT.fullmatch(filename):
        return Handed("canvas", found["id"], found["name"], bool(found["late"]), 0, f"{found['original']}.html")
    return None


def from_moodle(name: str) -> Handed | None:
    """What the name of a folder (or file) in a Moodle zip says; None if it is none of theirs."""
    found = _MOODLE.fullmatch(name)
    return found and Handed("moodle", found["id"], found["name"].strip(), original=found["original"])
