"""The one folder the course keeps on a machine, and how files are written whole."""

import contextlib
import errno
import glob
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts it
LEFT_AFTER = 3600.0  # seconds: no file takes so long to be written


def offline() -> bool:
    """Whether `VIT_COURSE_OFFLINE` forbids downloads."""
    return os.environ.get("VIT_COURSE_OFFLINE", "0") not in ("", "0")


class StorageError(OSError):
    """A file cannot be kept on this machine. The message says what to do about it."""


def home() -> Path:
    """The course's own folder: `$VIT_COURSE_HOME`, else `~/.vit_course`.

    It holds `progress.json`, with the answers that passed, and `data/` (downloaded images). The folder is not created
    here: whoever writes makes it.
    """
    return Path(os.environ.get("VIT_COURSE_HOME") or "~/.vit_course").expanduser()


def personal() -> Path:
    """Where progress and answers are kept: `home()`, or on Colab the learner's Drive where it is mounted.

    A Colab machine is thrown away after some hours, and the next notebook gets another one.
    """
    if not os.environ.get("VIT_COURSE_HOME") and DRIVE.is_dir():
        return DRIVE / "vit_course"
    return home()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name first, push it to the disk, and rename it: it is whole, or not there.

    Raises:
        StorageError: the folder cannot be written, or the disk is full.
    """
    with _written_beside(path, content) as temporary:
        os.replace(temporary, path)


def try_to_write(path: Path, content: bytes) -> None:
    """See whether `write_whole` will work. Then everything is as it was: a file that is there keeps its content.

    Raises:
        StorageError: as `write_whole`; also if the file that is there must not be changed.
    """
    new = [folder for folder in path.parents if not os.path.exists(folder)]
    try:
        with _written_beside(path, content):
            if path.exists():
                open(path, "r+b").close()
    finally:
        for folder in new:  # the innermost first
            with contextlib.suppress(OSError):
                folder.rmdir()


def delete_leftovers(temporary: Iterable[Path]) -> None:
    """Delete what was left by processes that were killed while they wrote: a young file may still be written."""
    for file in temporary:
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > LEFT_AFTER:
                file.unlink()


@contextlib.contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """The name under which the content lies, in the folder of `path`, until the end of the block."""
    # Not the number of the process, which its threads share. `tempfile` would make the file private.
    temporary = path.with_name(f".{path.name}.{secrets.randbits(64)}")
    delete_leftovers(path.parent.glob(f".{glob.escape(path.name)}.[0-9]*"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"no space left to write {path} ({len(content) / 1e6:.0f} MB). Free some, or give another folder."
            ) from error
        raise StorageError(f"{path} cannot be written: {error.strerror or error}. Give another folder.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
