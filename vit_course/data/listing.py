"""What lies in an image folder: its splits, its classes, their files, and what is passed over."""

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SPLIT_NAMES = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
_ALIKE = {
    split: re.compile(rf"({words})[ ._-]*(set|split|data|images|\d{{4}})?", re.IGNORECASE)
    for split, words in {"train": "train(ing)?", "test": "test(ing)?|val(id(ation)?)?|dev|eval(uation)?"}.items()
}
_HIDDEN = {
    "__MACOSX",
    "__pycache__",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "Icon\r",
}  # and all with a dot in front
SHOWN = 5


@dataclass
class Listing:
    """One split of an image folder.

    Attributes:
        place: the folder that holds the class folders.
        classes: their names, in the order of their labels.
        files: of all classes, one class after the other: the path below `place`, and the file's state.
        labels: of each file.
        passed_over: what else was met: the path below `place`, and why it is no image.
        beside: folders that lie beside the splits and are not read.
    """

    place: Path
    classes: tuple[str, ...]
    files: dict[str, os.stat_result] = field(default_factory=dict)
    labels: list[int] = field(default_factory=list)
    passed_over: dict[str, str] = field(default_factory=dict)
    beside: list[str] = field(default_factory=list)


def listed(folder: Path, split: str, classes: tuple[str, ...] | None, kept: Path) -> Listing:
    """Look through one split of an image folder, opening no file.

    A subfolder is a split if its name says so ("train", "Testing", "val2017" …) and it holds folders, or has nothing
    but splits beside it. Otherwise it is a class: a class may be called "test". Links are followed, except to a folder
    around them. An image has a suffix that Pillow knows, or none.

    Args:
        folder: with class folders inside, or with splits.
        split: "train" or "test".
        classes: the names that must be there, in the order of their labels; None takes those of the training images,
            sorted, or what is there.
        kept: the folder in which the course keeps its files: where it lies is no class.

    Raises:
        ValueError: classes are missing, or not known to the training images; splits that are called otherwise, or lie
            where classes are expected.
        FileNotFoundError: there is no such split.
        OSError: the folder cannot be looked through.
    """
    place = _place_of(folder, split, kept)
    entries = _class_entries(place, kept)
    if classes is None:
        classes = tuple(entries.folders)
        if split == "test" and "train" in splits(folder):
            classes = tuple(_class_entries(folder / "train", kept).folders)
            if extra := sorted(set(entries.folders) - set(classes)):
                raise ValueError(f"{place} has classes that {folder / 'train'} has not: {named(extra)}.")
    elif missing := sorted(set(classes) ^ set(entries.folders)):
        listed(folder, split, None, kept)  # splits in the place of classes are said first
        raise ValueError(
            f"{place} should have one folder for each CIFAR-10 class; too few or too many: {named(missing)}."
        )
    if not classes:
        raise ValueError(f"{place} has no subfolders: an image folder has one per class, with the images inside.")
    listing = Listing(place, classes)
    listing.passed_over = {**dict.fromkeys(entries.files, "in no class folder"), **entries.others}
    if place != folder:
        read = splits(folder) if split == "train" else ["train", place.name]
        listing.beside = [name for name in subfolders(folder) if name not in read]
    around = frozenset([os.path.realpath(place)])
    for label, name in enumerate(classes):
        if name in entries.folders:
            _look_through(listing, name, label, around)
    if len(classes) == 1 and (inner := _holder_of_several(place / classes[0])):
        raise ValueError(f"{place} holds one class, {plain(classes[0])}, and that holds folders: give {inner} instead.")
    return listing


def splits(folder: Path) -> list[str]:
    """The names of the subfolders that are splits, or would be if they were called as they should; see `listed`."""
    return _splits_among(folder, subfolders(folder))


def subfolders(folder: Path) -> list[str]:
    """The names of the visible subfolders, sorted; none where there is no folder, or it cannot be looked into."""
    try:
        return _entries(folder).folders
    except OSError:
        return []


def some(reasons: Mapping[str, str]) -> str:
    """The first few names, each with its reason, as many different reasons as there is room for; then "…"."""
    met: Counter[str] = Counter()
    turns = {}
    for name, reason in reasons.items():
        turns[name] = met[reason]
        met[reason] += 1
    shown = [f"{plain(name)} ({reasons[name]})" for name in sorted(turns, key=turns.__getitem__)[:SHOWN]]
    return ", ".join(shown + ["…"] * (len(reasons) > SHOWN))


def in_words(folder: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    """The classes by the names that a `words.txt` in the folder has for them, as Tiny-ImageNet's archive brings it.

    Its lines are a folder's name, a tab, and names with commas between, of which the first is taken. Where it lacks a
    class, or two would get one name, the folders' names stay.

    Raises:
        OSError: it cannot be read.
    """
    file = folder / "words.txt"
    if not file.is_file():
        return classes
    lines = (line.partition("\t") for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    words = {name.strip(): said.split(",")[0].strip() for name, _, said in lines}
    found = tuple(words.get(name, "") for name in classes)
    return found if all(found) and len(set(found)) == len(found) else classes


def named(names: list[str] | tuple[str, ...], most: int = 20) -> str:
    """Names in a row, as they can be printed; the last ones left out if there are too many."""
    return ", ".join([plain(name) for name in names[:most]] + ["…"] * (len(names) > most))


def plain(text: str) -> str:
    """Text in one line that can be printed anywhere: what cannot stands there as Python would spell it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


class _Entries(NamedTuple):
    folders: list[str]
    files: dict[str, os.stat_result]
    others: dict[str, str]  # and why they are neither


def _entries(folder: str | Path) -> _Entries:
    """What is visible in a folder, sorted by name."""
    entries = _Entries([], {}, {})
    with os.scandir(folder) as scanned:
        for entry in sorted(scanned, key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name in _HIDDEN:
                continue
            try:
                state = entry.stat()  # of what a link leads to
            except OSError as error:  # to nowhere, or round in circles; or it has just been deleted
                entries.others[entry.name] = error.strerror
                continue
            if stat.S_ISDIR(state.st_mode):
                entries.folders.append(entry.name)
            elif stat.S_ISREG(state.st_mode):
                entries.files[entry.name] = state
            else:  # to open a pipe is to wait for someone who writes
                entries.others[entry.name] = "a pipe, a socket or a device"
    return entries


def _class_entries(place: Path, kept: Path) -> _Entries:
    entries, kept = _entries(place), os.path.realpath(kept)
    for name in list(entries.folders):
        if f"{kept}{os.sep}".startswith(f"{os.path.realpath(place / name)}{os.sep}"):
            entries.folders.remove(name)
            entries.others[name] = "the course keeps its own files there"
    return entries


def _look_through(listing: Listing, inside: str, label: int, around: frozenset[str]) -> None:
    """Add what lies in a folder of a class, and in the folders in it."""
    from PIL import Image

    known = Image.registered_extensions()
    folder = listing.place / inside
    real = os.path.realpath(folder)
    if real in around:
        listing.passed_over[inside] = "a link to a folder around it"
        return
    try:
        entries = _entries(folder)
    except OSError as error:
        listing.passed_over[inside] = error.strerror
        return
    if found := _splits_among(folder, entries.folders):
        raise ValueError(
            f"{folder} lies where a class is expected and holds {named(found)}, which look like splits. "
            "Give the folder that has train/ and test/ directly inside, with one folder per class in each."
        )
    for name, state in entries.files.items():
        suffix = os.path.splitext(name)[1].lower()
        if suffix in known or not suffix:
            listing.files[os.path.join(inside, name)] = state
            listing.labels.append(label)
        else:
            listing.passed_over[os.path.join(inside, name)] = f"Pillow reads no {plain(suffix)} here"
    for name, reason in entries.others.items():
        listing.passed_over[os.path.join(inside, name)] = reason
    for name in entries.folders:
        _look_through(listing, os.path.join(inside, name), label, around | {real})


def _splits_among(folder: Path, inside: list[str]) -> list[str]:
    alike = [name for name in inside if any(pattern.fullmatch(name) for pattern in _ALIKE.values())]
    return alike if len(alike) == len(inside) or any(subfolders(folder / name) for name in alike) else []


def _place_of(folder: Path, split: str, kept: Path) -> Path:
    """The folder of a split: a subfolder, or for "train" the folder itself where there are no splits."""
    found = splits(folder)
    for name in SPLIT_NAMES[split]:
        if name in found:
            return folder / name
    wanted = " or ".join(f"{name}/" for name in SPLIT_NAMES[split][:2])
    if alike := [name for name in found if _ALIKE[split].fullmatch(name)]:
        raise ValueError(f"{folder} has {named(alike)}, which looks like the {split!r} images: rename it to {wanted}.")
    if not found:
        if split == "train":
            return folder
        listed(folder, "train", None, kept)  # what is wrong with the folder as a whole is said first
    advice = " Give the folder above it." if any(p.fullmatch(folder.absolute().name) for p in _ALIKE.values()) else ""
    raise FileNotFoundError(
        f"{folder} has no {wanted} folder, so it has no {split!r} images.{advice} "
        "A folder with both has train/<class>/ and test/<class>/ inside, with the images in those."
    )


def _holder_of_several(folder: Path) -> Path | None:
    """The folder itself, or where one comes from it down through single folders, if it holds folders and no image."""
    from PIL import Image

    known = Image.registered_extensions()
    while True:
        try:
            entries = _entries(folder)
        except OSError:
            return None
        if any(os.path.splitext(name)[1].lower() in known for name in entries.files):
            return None
        if len(entries.folders) != 1:
            return folder if entries.folders else None
        folder = folder / entries.folders[0]
