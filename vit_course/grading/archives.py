"""Files in folders and zip archives, listed and read: never unpacked to disk, and never beyond a bounded size.

What a student hands in is hostile until read. A name is only a name here: no path of an archive is ever opened, no link
followed, and a bomb is cut off where it passes the limit.
"""

from __future__ import annotations

import datetime
import functools
import io
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LARGEST_FILE = 256 * 2**20  # a notebook with 50 MB of outputs is an ordinary sight
LARGEST_ARCHIVE_INSIDE = 512 * 2**20
LARGEST_DIRECTORY = 8 * 2**20  # of a zip: about 80,000 names
DEEPEST = 2  # a class's zip, in it a student's
MOST_FILES = 200_000

# What systems and tools leave behind. Nobody handed it in.
_JUNK = {"__MACOSX", "__pycache__", "node_modules", "desktop.ini", "Thumbs.db"}


class Unreadable(ValueError):
    """A file that cannot be graded; the text says why, for instructor and student."""


@dataclass(frozen=True)
class File:
    """A file somewhere under what the instructor gave.

    Attributes:
        parts: its path, as it was given: absurd names are cleaned only where they are shown.
        root: the file on disk that it is or lies in.
        entries: its place in that zip (and in the zip within it).
        size: in bytes, as announced.
        modified: local time, "2026-10-01T12:00:00", or "".
        problem: why it cannot be read, or "".
    """

    parts: tuple[str, ...]
    root: str
    entries: tuple[int, ...] = ()
    size: int = 0
    modified: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        return self.parts[-1]


def files_under(path: Path) -> Iterator[File]:
    """All files under a folder or in a zip, those in zips below it as well, in the order of their names.

    Raises:
        Unreadable: `path` itself cannot be listed.
    """
    if path.is_dir():
        yield from _in_folder(path)
    elif zipfile.is_zipfile(path):
        inside = list(_in_zip(File((path.name,), str(path)), 1))
        if len(inside) == 1 and inside[0].problem and not inside[0].entries:
            raise Unreadable(f"{path} {inside[0].problem}.")
        yield from (File(one.parts[1:], one.root, one.entries, one.size, one.modified, one.problem) for one in inside)
    elif path.suffix.lower() == ".zip":
        raise Unreadable(f"{path} is no zip archive, or one that was cut short. Download it again.")
    else:
        yield _on_disk(path, (path.name,))


def folders_under(path: Path) -> set[tuple[str, ...]]:
    """The folders under a folder or in a zip, empty ones as well: up to three deep."""
    if path.is_dir():
        found = [Path(place, name).relative_to(path).parts for place, names, _ in os.walk(path) for name in names]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found = [_parts(one.filename) for one in archive.infolist() if one.is_dir()]
    else:
        found = []
    links = (parts for parts in found if parts and not path.joinpath(*parts).is_symlink())
    return {parts for parts in links if len(parts) <= 3 and not any(map(is_junk, parts))}


def is_junk(name: str) -> bool:
    return name in _JUNK or name.startswith(".")


def read(file: File, most: int = LARGEST_FILE) -> bytes:
    """The bytes of a file.

    Raises:
        Unreadable: it cannot be read, or is larger than `most`.
    """
    if file.problem:
        raise Unreadable(f"{shown(file.name)} {file.problem}")
    try:
        if file.entries:
            data = _entry(file.root, file.entries, most)
        else:
            # Between listing and reading a file may have become a link.
            descriptor = os.open(file.root, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
            with open(descriptor, "rb") as stream:
                data = stream.read(most + 1)
    except Unreadable as error:
        raise Unreadable(f"{shown(file.name)} {error}") from error
    except OSError as error:
        raise Unreadable(f"{shown(file.name)} cannot be opened ({error.strerror or error})") from error
    except Exception as error:  # what zlib, lzma and zipfile raise on damaged archives is a long list
        raise Unreadable(f"{shown(file.name)} cannot be unpacked ({_reason(error)})") from error
    if len(data) > most:
        raise Unreadable(f"{shown(file.name)} is larger than {most // 2**20} MB")
    return data


def shown(name: str, most: int = 100) -> str:
    """A name as it can be shown: what would not print, or would turn the line around, is replaced."""
    # A name that is no UTF-8 on disk comes as lone surrogates.
    clean = "".join(letter if letter.isprintable() and not _turns(letter) else "�" for letter in name)
    return clean if len(clean) <= most else f"{clean[: most // 2]}…{clean[-most // 2 + 1 :]}"


def _turns(letter: str) -> bool:
    return "\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069"


def _in_folder(folder: Path) -> Iterator[File]:
    count = 0
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder).parts
        for name in sorted(folders):
            if os.path.islink(os.path.join(place, name)):
                yield File((*below, name), os.path.join(place, name), problem="is a link, which is not followed")
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in sorted(names):
            if is_junk(name):
                continue
            count += 1
            if count > MOST_FILES:
                raise Unreadable(f"{folder} holds more than {MOST_FILES:,} files. Is it the folder of submissions?")
            file = _on_disk(Path(place, name), (*below, name))
            yield from _in_zip(file, 1) if name.lower().endswith(".zip") and not file.problem else [file]


def _on_disk(path: Path, parts: tuple[str, ...]) -> File:
    try:
        info = path.lstat()
    except OSError as error:
        return File(parts, str(path), problem=f"cannot be opened ({error.strerror})")
    problem = ""
    if stat.S_ISLNK(info.st_mode):
        problem = "is a link, which is not followed"
    elif not stat.S_ISREG(info.st_mode):
        problem = "is no ordinary file"
    modified = datetime.datetime.fromtimestamp(int(info.st_mtime)).isoformat()
    return File(parts, str(path), (), info.st_size, modified, problem)


def _in_zip(file: File, depth: int) -> Iterator[File]:
    """What a zip holds; the zip itself, with a problem, if that cannot be said."""
    try:
        with _zip(file.root, file.entries) as archive:
            infos = archive.infolist()
    except Exception as error:
        yield File(
            file.parts, file.root, file.entries, file.size, file.modified, f"is a zip archive that {_bad(error)}"
        )
        return
    for index, info in enumerate(infos):
        parts = _parts(info.filename)
        if info.is_dir() or not parts or any(map(is_junk, parts)):
            continue
        inside = File(
            (*file.parts, *parts), file.root, (*file.entries, index), info.file_size, _date(info), _problem(info)
        )
        if not parts[-1].lower().endswith(".zip") or inside.problem:
            yield inside
        elif depth < DEEPEST:
            yield from _in_zip(inside, depth + 1)
        else:
            yield File(*_fields(inside)[:5], "is a zip archive within zip archives, which is not opened")


def _fields(file: File) -> tuple:
    return file.parts, file.root, file.entries, file.size, file.modified, file.problem


def _parts(name: str) -> tuple[str, ...]:
    """The path in a zip. Windows' separators count; what leads out of the archive is left out."""
    return tuple(part for part in re.split(r"[/\\]", name) if part.strip() not in ("", ".", ".."))


def _date(info: zipfile.ZipInfo) -> str:
    try:
        return datetime.datetime(*info.date_time).isoformat()
    except ValueError:
        return ""


def _problem(info: zipfile.ZipInfo) -> str:
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link, which is not followed"
    if info.flag_bits & 1:
        return "is encrypted"
    return ""


def _bad(error: Exception) -> str:
    return str(error) if isinstance(error, Unreadable) else f"cannot be read ({_reason(error)})"


def _reason(error: Exception) -> str:
    return shown(str(error)) or type(error).__name__


def _zip(root: str, entries: tuple[int, ...]) -> zipfile.ZipFile:
    """The zip on disk, or the one at this place within it."""
    if not entries:
        with open(root, "rb") as stream:
            _look_at_directory(stream)
        return zipfile.ZipFile(root)
    inside = io.BytesIO(_entry(root, entries, LARGEST_ARCHIVE_INSIDE))
    _look_at_directory(inside)
    return zipfile.ZipFile(inside)


@functools.lru_cache(maxsize=4)
def _kept_open(root: str, entries: tuple[int, ...]) -> zipfile.ZipFile:
    """A class's zip is opened once and not for each of its students."""
    return _zip(root, entries)


def _entry(root: str, entries: tuple[int, ...], most: int) -> bytes:
    archive = _kept_open(root, entries[:-1])
    with archive.open(archive.infolist()[entries[-1]]) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise Unreadable(f"unpacks to more than {most // 2**20} MB")
    return data


def _look_at_directory(source: BinaryIO) -> None:
    """Millions of names in a small zip would fill the memory when it is opened."""
    size = source.seek(0, os.SEEK_END)
    source.seek(max(0, size - 22 - 2**16))
    tail = source.read()
    at = tail.rfind(b"PK\x05\x06")
    if at >= 0 and int.from_bytes(tail[at + 12 : at + 16], "little") > LARGEST_DIRECTORY:
        raise Unreadable("holds too many files")
    source.seek(0)
