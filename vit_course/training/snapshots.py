"""The snapshots of a training run: each is whole, or not there."""

import contextlib
import hashlib
import io
import re
import tempfile
from pathlib import Path
from typing import Any

import torch

from vit_course.paths import StorageError, delete_leftovers, write_whole

KEPT = 2  # the newest snapshot, and one before it in case that one is damaged on the disk
_NAME = re.compile(r"step-(\d{8})\.([0-9a-f]{16})\.pt")
_UNFINISHED = re.compile(r"\.step-\d{8}\.[0-9a-f]{16}\.pt\.\d+")


class Snapshots:
    """Those of one run, in a folder of its own.

    A file is called `step-<step>.<digits>.pt`, and `torch.load` reads it. The digits are the first 16 of the content's
    sha256, so that a damaged file is known for one.

    Args:
        folder: it is made when it is needed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def make_folder(self) -> None:
        """Make the folder, and see that files can be written there.

        Raises:
            StorageError: they cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(f"{self.folder} cannot be written: {reason}. Give another folder.") from error

    def paths(self) -> list[Path]:
        """The snapshots that are there, newest first."""
        found = self.folder.glob("step-*.pt") if self.folder.is_dir() else []
        return sorted((path for path in found if _NAME.fullmatch(path.name) and path.is_file()), reverse=True)

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write a snapshot. Of those of earlier steps, one is kept.

        Args:
            step: how many steps are done.
            state: tensors, numbers, strings, and lists and dicts of them.

        Raises:
            StorageError: the folder cannot be written, or the disk is full. Earlier snapshots are kept.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        path = self.folder / f"step-{step:08d}.{hashlib.sha256(content).hexdigest()[:16]}.pt"
        if self.folder.is_dir():
            delete_leftovers([file for file in self.folder.iterdir() if _UNFINISHED.fullmatch(file.name)])
        write_whole(path, content)
        # Those of later steps are damaged, or we would have gone on from them. They must not push out good ones.
        earlier = [old for old in self.paths() if int(_NAME.fullmatch(old.name)[1]) < step]
        _delete(earlier[KEPT - 1 :])
        return path

    @staticmethod
    def read(path: Path) -> dict[str, Any] | None:
        """What `save` wrote, or None if the file is damaged."""
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest()[:16] != _NAME.fullmatch(path.name)[2]:
            return None
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _delete(files: list[Path]) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
