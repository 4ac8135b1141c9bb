"""Who handed in what: from a folder, or from the zip that a learning platform gives out, to a list of students.

Nothing is opened here but lists of names. Whatever was handed in belongs to a student in the end.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import vit_course
from vit_course.grading.archives import File, Unreadable, files_under, folders_under, shown
from vit_course.grading.names import Handed, from_canvas, from_moodle

_ALONE = {"submitted", "submissions"}  # folders around the students' own
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)  # no file may have such a name on Windows


@dataclass(frozen=True)
class Student:
    """One row to come.

    Attributes:
        key: unique, and fit to be a file's name everywhere.
        name: as it is shown.
        files: all that was handed in, junk of operating systems left out; () for an empty folder.
        system: "canvas" or "moodle" if the names are theirs, else "".
        id: theirs for the student.
        late: Canvas says so.
    """

    key: str
    name: str
    files: tuple[File, ...]
    system: str = ""
    id: str = ""
    late: bool = False


def collect(path: Path, *, without: Path | None = None) -> list[Student]:
    """The students under a folder or in a zip, by key.

    Args:
        path: of the folder or zip.
        without: a folder that may lie in it and is no student's: where the grades go.

    Raises:
        FileNotFoundError: there is nothing there.
        Unreadable: it cannot be listed, or holds nothing that was handed in.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}. Name the folder or the zip with the submissions.")
    if (path / "submitted").is_dir() and any(
        (path / one).exists() for one in ("source", "release", "nbgrader_config.py")
    ):
        path = path / "submitted"  # a course of nbgrader's
    ours = without.resolve().parts[len(path.resolve().parts) :] if without and _lies_in(without, path) else None
    files = [_unwrapped(file) for file in files_under(path) if not ours or file.parts[: len(ours)] != ours]
    folders = {parts for parts in folders_under(path) if not ours or parts[: len(ours)] != ours}
    while _is_wrapped(files, folders, path):
        files = [replace(file, parts=file.parts[1:]) for file in files]
        folders = {parts[1:] for parts in folders if len(parts) > 1}
    groups: dict[tuple[str, str], tuple[Handed | None, str, list[File]]] = {}
    alone = _one_students_folder(files)
    for file in files:
        handed, identity, name = _owner(file, path.resolve().stem if alone else "")
        groups.setdefault(identity, (handed, name, []))[2].append(file)
    for folder in sorted({parts[0] for parts in folders}):
        handed = from_moodle(folder)
        identity = ("moodle", handed.id) if handed else ("folder", folder)
        groups.setdefault(identity, (handed, handed.name if handed else folder, []))
    if not groups:
        raise Unreadable(f"{path} holds no submissions: no folder, notebook or zip.")
    return _with_keys(groups.values())


def _lies_in(folder: Path, path: Path) -> bool:
    return path.resolve() in folder.resolve().parents


def _unwrapped(file: File) -> File:
    """A platform's zip may lie in the folder as it was downloaded: its students stand beside the others then."""
    if (
        len(file.parts) > 1
        and file.parts[0].lower().endswith(".zip")
        and (from_canvas(file.parts[1]) or from_moodle(file.parts[1]))
    ):
        return replace(file, parts=file.parts[1:])
    return file


def _is_wrapped(files: list[File], folders: set[tuple[str, ...]], path: Path) -> bool:
    """Whether there is one folder (or zip) around everything, and it is no student's."""
    tops = {file.parts[0] for file in files} | {parts[0] for parts in folders}
    if len(tops) != 1 or not files or any(len(file.parts) < 2 for file in files):
        return False
    top = tops.pop()
    inner = {file.parts[1] for file in files}
    if (
        top.lower() in _ALONE
        or {one.lower() for one in inner} <= _ALONE
        or any(from_canvas(one) or from_moodle(one) for one in inner)
    ):
        return True
    # A class of folders in a folder; but a student may have a folder for each lesson as well.
    within = {file.parts[1] for file in files if len(file.parts) > 2}
    packed = top.lower().endswith(".zip") or (path.is_file() and top == path.stem)
    return packed and len(within) > 1 and not all(any(map(str.isdigit, one)) for one in within)


def _owner(file: File, alone: str) -> tuple[Handed | None, tuple[str, str], str]:
    """What the platform says, whom the file belongs to, and the name to show."""
    top, inside = file.parts[0], len(file.parts) > 1
    handed = from_moodle(top) or from_canvas(top)
    if handed:
        return handed, (handed.system, handed.id), handed.name or handed.id
    if inside:
        zipped = top.lower().endswith(".zip") and file.entries
        return None, ("folder", top), Path(top).stem if zipped else top
    if alone:
        return None, ("folder", alone), alone
    name = _name_in(Path(top).stem)
    return None, ("file", name), name


def _name_in(stem: str) -> str:
    """The student in the name of a file that lies alone: what is left without the lesson's own name."""
    for lesson in lesson_stems():
        if (at := stem.lower().find(lesson)) >= 0:
            rest = " ".join(part.strip(" _-–") for part in (stem[:at], stem[at + len(lesson) :])).strip()
            # A number or "(1)" alone is a browser's, and says nothing of whose it is.
            return rest if any(map(str.isalpha, rest)) else stem
    return stem


def _one_students_folder(files: list[File]) -> bool:
    """Whether these are the lessons of one person, under their own names: `work/` itself."""
    stems = [Path(file.name).stem for file in files if file.name.lower().endswith(".ipynb")]
    return len(stems) > 1 and all(len(file.parts) == 1 for file in files) and set(stems) <= set(lesson_stems())


def lesson_stems() -> list[str]:
    """ "01_patches" and the others, as the course's notebooks are called."""
    package = Path(vit_course.__file__).resolve().parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if folder.is_dir():
            return sorted(path.stem for path in folder.glob("*.ipynb"))
    return []


def _with_keys(groups: Iterable[tuple[Handed | None, str, list[File]]]) -> list[Student]:
    students: dict[str, Student] = {}
    for handed, name, files in sorted(groups, key=lambda group: (group[1], group[0].id if group[0] else "")):
        key = plain(name)
        # Two names that look alike once they are cleaned stay two, and the same two whoever else is there.
        if key.casefold() in students or shown(name) != name:
            key += f"-{handed.id if handed else hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
        unique, number = key, 2
        while unique.casefold() in students:
            unique, number = f"{key}-{number}", number + 1
        late = any(found.late for file in files if (found := from_canvas(file.parts[0])))
        system, identity = (handed.system, handed.id) if handed else ("", "")
        students[unique.casefold()] = Student(unique, shown(name), tuple(files), system, identity, late)
    return sorted(students.values(), key=lambda student: student.key)


def plain(name: str) -> str:
    """A name as a file may be called: letters and digits of any script, "-", "_" and "." inside."""
    text = unicodedata.normalize("NFC", shown(name, 60))
    text = re.sub(r"[^\w.-]+", "-", text).strip("-.") or "student"
    return f"_{text}" if _RESERVED.match(text) else text
