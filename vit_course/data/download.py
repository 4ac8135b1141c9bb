"""Fetch one file from whichever of several hosts serves it well.

Everything hangs on two numbers known beforehand: the file's size and its md5. They make it safe to take the beginning
from one host and the rest from another, and nothing is given its final name before both are right.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vit_course.paths import StorageError

CHUNK = 1 << 16


class DownloadError(RuntimeError):
    """No host gave the file. The message lists each host and why."""


class _HostError(Exception):
    """This host will not do; another may."""


class _Dropped(_HostError):
    """The connection broke; what came until then is kept."""


class _Slow(_HostError):
    """The host serves, but too slowly."""

    def __init__(self, rate: float, seconds_left: float):
        super().__init__(f"slow: {rate / 1e3:,.0f} kB/s, {_duration(seconds_left)} to go")
        self.rate = rate


@dataclass(frozen=True)
class Remote:
    """A file that several hosts serve, byte for byte the same.

    Attributes:
        urls: where it is, the host to try first at the front.
        md5: of the whole file, in hexadecimal.
        size: in bytes.
        min_rate: bytes per second below which a host is slow.
        patience: seconds over which the rate is measured, from the moment a host is asked.
        timeout: seconds without a single byte after which a connection counts as broken.
        clock: tells the time in seconds; tests bring their own.
    """

    urls: tuple[str, ...]
    md5: str
    size: int
    min_rate: float = 400e3
    patience: float = 8
    timeout: float = 6
    clock: Callable[[], float] = time.monotonic


def fetch(remote: Remote, path: Path, say: Callable[[str], None] = print) -> str:
    """Download a file to `path`, unless it is there when our turn comes.

    Hosts are tried in order. One that cannot be reached, refuses, serves something else, or is slow is left for the
    next, which goes on where it stopped. When all are slow, the fastest of them finishes the job, and says how long it
    will take. The bytes gather in `<path>.part`; an interrupted download goes on from there the next time. The part is
    renamed to `path` only when size and md5 are right. A second process that wants the same file waits for the first.

    Args:
        remote: what to fetch and from where.
        path: where to put it; its folder is made.
        say: takes one line of plain text about what is going on.

    Returns:
        The name of the host that finished it, or "" if another process had.

    Raises:
        DownloadError: no host gave the file.
        StorageError: the folder cannot be written, or the disk is full.
    """
    with _storage(path, remote.size):
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path, say) as part:
            if path.exists():
                return ""
            if _size(part) > remote.size:
                part.unlink()
            if shutil.disk_usage(path.parent).free < remote.size - _size(part):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            with _Bar(path.name, remote.size) as bar:
                host = _from_any_host(remote, part, say, bar)
            os.replace(part, path)
            return host


def md5_of(path: Path) -> str:
    """The md5 of a file's content, in hexadecimal."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def alone(path: Path, say: Callable[[str], None] = print) -> Iterator[Path]:
    """Hold the right to write `path`, and yield the name to write under until it is complete.

    The lock is the operating system's: it goes when the process does, however it ends. Where the file system knows no
    locks, each process writes under a name of its own.
    """
    part = path.with_name(path.name + ".part")
    with open(path.with_name(path.name + ".lock"), "a+b") as lock:
        try:
            try:
                _lock(lock, wait=False)
            except (BlockingIOError, PermissionError):
                say(f"Another process is busy with {path.name}: waiting for it.")
                _lock(lock, wait=True)
        except OSError:
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
        yield part


def _lock(file, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        while True:
            try:
                return msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if not (wait and error.errno == errno.EDEADLK):  # LK_LOCK gives up after ten seconds
                    raise
    else:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _from_any_host(remote: Remote, part: Path, say: Callable[[str], None], bar: "_Bar") -> str:
    reasons: dict[str, str] = {}
    rates: dict[str, float] = {}  # of the hosts that serve, but too slowly or with breaks
    if _size(part) == remote.size and md5_of(part) == remote.md5:
        return ""
    for patient in (False, True):
        urls = sorted(rates, key=rates.__getitem__, reverse=True) if patient else list(remote.urls)
        for url in urls:
            host = urlsplit(url).netloc
            left = remote.size - _size(part)
            if patient and rates[url]:
                say(f"Every host is slow now: going on with {host}, for about {_duration(left / rates[url])}.")
            try:
                _from_host(remote, url, part, bar, patient)
                return host
            except _Slow as error:
                rates[url], reasons[url] = error.rate, str(error)
                say(f"{host} is {error}. Trying the next host; what has arrived is kept.")
            except _HostError as error:
                reasons[url] = str(error)
                if not patient and isinstance(error, _Dropped) and _size(part) > remote.size - left:
                    rates[url] = 0
    hosts: dict[str, list[str]] = {}
    for url, reason in reasons.items():
        hosts.setdefault(reason, []).append(urlsplit(url).netloc)
    raise DownloadError("; ".join(f"{', '.join(names)}: {reason}" for reason, names in hosts.items()))


def _from_host(remote: Remote, url: str, part: Path, bar: "_Bar", patient: bool) -> None:
    """Complete the part from one host, reconnecting as long as each connection brings us visibly further."""
    started_over = False
    while True:
        before = _size(part)
        if before < remote.size:
            try:
                _receive(remote, url, part, bar, patient)
            except _Dropped:
                if _size(part) - before < max(1, remote.size // 1000):
                    raise
                continue
        if (md5 := md5_of(part)) == remote.md5:
            return
        part.unlink()
        bar.at(0)
        if before == 0 or started_over:
            raise _HostError(f"served other bytes (md5 {md5}, expected {remote.md5})")
        started_over = True  # the wrong bytes may be those we had before: once more, all from this host


def _receive(remote: Remote, url: str, part: Path, bar: "_Bar", patient: bool) -> None:
    """One connection: append to the part what the host sends, until it is complete."""
    have = _size(part)
    since, received = remote.clock(), 0
    with open(part, "ab", buffering=0) as out:
        with _network():
            response = _open(url, have, remote.timeout * (5 if patient else 1))
        with response:
            skip = _bytes_to_skip(response, have, remote.size)
            while have < remote.size:
                with _network():
                    chunk = response.read1(CHUNK)
                if not chunk:
                    raise _Dropped(f"closed the connection after {have:,} of {remote.size:,} bytes")
                received += len(chunk)
                skipped = min(skip, len(chunk))
                skip -= skipped
                fresh = chunk[skipped : skipped + remote.size - have]
                have += len(fresh)
                while fresh:
                    fresh = fresh[out.write(fresh) :]
                bar.at(have)
                elapsed = remote.clock() - since
                if elapsed >= remote.patience and not patient:
                    rate = received / elapsed
                    left = skip + remote.size - have
                    if rate < remote.min_rate and left > rate * remote.patience:
                        raise _Slow(rate, left / rate)
                    since, received = remote.clock(), 0
            os.fsync(out.fileno())


def _open(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "vit-course"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    context = ssl.create_default_context()
    with contextlib.suppress(ImportError):  # Python from python.org for macOS comes without certificates
        import certifi

        context.load_verify_locations(certifi.where())
    return urllib.request.urlopen(request, timeout=timeout, context=context)


def _bytes_to_skip(response: http.client.HTTPResponse, have: int, size: int) -> int:
    """How many bytes of the answer we already have; refuse an answer that cannot be our file."""
    if response.status == 206:
        span, _, total = response.headers.get("Content-Range", "").partition("/")
        if not span.startswith(f"bytes {have}-") or total not in (str(size), "*"):
            raise _HostError(f"has another file (Content-Range {span}/{total}, expected {size:,} bytes)")
        return 0
    length = response.headers.get("Content-Length")
    if length is not None and length != str(size):
        raise _HostError(f"has another file ({length} bytes, expected {size:,})")
    return have  # the server ignores Range and starts from the beginning


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Turn the many ways in which a network fails into our two."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _HostError(f"answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _Dropped(f"cannot be reached ({error.reason})") from error
    except TimeoutError as error:
        raise _Dropped("fell silent") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"broke the connection ({error})") from error


@contextlib.contextmanager
def _storage(path: Path, size: int) -> Iterator[None]:
    """Say what to do about a disk that refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = (
                f"The disk that holds {path.parent} is full; {path.name} needs {size / 1e6:,.0f} MB. Free some space, "
                "or set VIT_COURSE_HOME to a folder on another disk, and run this again: what has arrived is kept."
            )
        else:
            message = (
                f"The course cannot write to {path.parent} ({error.strerror or error}). "
                "Set VIT_COURSE_HOME to a folder that you can write to, and run this again."
            )
        raise StorageError(error.errno, message) from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


class _Bar:
    """A progress bar where someone watches: tqdm in a terminal, one line that rewrites itself in a notebook.

    Elsewhere nothing. In a notebook it leaves a single line of text: no widget, no control characters.
    """

    def __init__(self, name: str, total: int):
        self.name, self.total = name, total
        self.terminal = self.cell = None
        self.shown = 0.0
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython else None
        if getattr(shell, "kernel", None) is not None:
            self.cell = ipython.display.display({"text/plain": name}, raw=True, display_id=True)
        elif sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self.terminal = tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False)

    def __enter__(self) -> "_Bar":
        return self

    def at(self, done: int) -> None:
        """Show that `done` of the total is there."""
        if self.terminal is not None:
            self.terminal.update(done - self.terminal.n)
        elif self.cell is not None and (done == self.total or time.monotonic() - self.shown > 0.5):
            self.shown = time.monotonic()
            filled = 30 * done // self.total
            line = f"{self.name}  {'█' * filled}{'░' * (30 - filled)}  {done / 1e6:,.0f} of {self.total / 1e6:,.0f} MB"
            self.cell.update({"text/plain": line}, raw=True)

    def __exit__(self, *_: object) -> None:
        if self.terminal is not None:
            self.terminal.close()
