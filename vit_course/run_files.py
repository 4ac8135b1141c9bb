"""The files of a training run: checkpoints that are whole or not there, and finished weights with their card."""

import contextlib
import errno
import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

KEPT = 2  # the newest checkpoint, and one before it in case that one is damaged on the disk
_NAME = re.compile(r"step-(\d{8})\.([0-9a-f]{16})\.pt")
_UNFINISHED = re.compile(r"\.step-\d{8}\.[0-9a-f]{16}\.pt\.\d+")


class StorageError(OSError):
    """A file of a run cannot be written. The message says what to do about it."""


def make_folder(folder: Path) -> None:
    """Make a run's folder, and see that files can be written there.

    Raises:
        StorageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}. Give another folder.") from error


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint: complete on the disk under its final name, or not there at all.

    The name carries the first 16 digits of the content's sha256, so that a damaged file is known for one.

    Args:
        folder: of the run; made if it is not there.
        step: how many steps are done.
        state: tensors, numbers, strings, and lists and dicts of them.

    Returns:
        The path, `step-<step>.<digits>.pt`, which `torch.load` reads. Of those of earlier steps, one is kept.

    Raises:
        StorageError: the folder cannot be written, or the disk is full. Earlier checkpoints are kept.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:08d}.{hashlib.sha256(content).hexdigest()[:16]}.pt"
    if folder.is_dir():  # what a process left that was killed while it wrote
        _delete(file for file in folder.iterdir() if _UNFINISHED.fullmatch(file.name))
    write_whole(path, content)
    # Those of later steps are damaged, or we would have gone on from them. They must not push out good ones.
    earlier = [old for old in checkpoints(folder) if int(_NAME.fullmatch(old.name)[1]) < step]
    _delete(earlier[KEPT - 1 :])
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first."""
    found = (
        [path for path in folder.glob("step-*.pt") if _NAME.fullmatch(path.name) and path.is_file()]
        if folder.is_dir()
        else []
    )
    return sorted(found, key=lambda path: path.name, reverse=True)


def load_checkpoint_file(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None if the file is damaged."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest()[:16] != _NAME.fullmatch(path.name)[2]:
        return None
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name first, push it to the disk, and rename it.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _delete(path.parent.glob(f".{path.name}.[0-9]*"))  # of a process that was killed while it wrote
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"no space left to write {path} ({len(content) / 1e6:.0f} MB). Free some, or give another folder."
            ) from error
        raise StorageError(f"{path} cannot be written: {error.strerror or error}. Give another folder.") from error


def _delete(files: Iterable[Path]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
