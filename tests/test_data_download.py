"""Downloads: from hosts that serve well, badly and not at all, onto disks that refuse."""

import builtins
import errno
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
from email.message import Message
from types import SimpleNamespace

import pytest
from image_server import ImageServer

from vit_course.data import download
from vit_course.data.download import DownloadError, Remote, StorageError, fetch, md5_of

PAYLOAD = random.Random(0).randbytes(1_200_000)
MD5 = hashlib.md5(PAYLOAD).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(monkeypatch):
    with ImageServer(PAYLOAD) as server:
        monkeypatch.setattr(download, "_open", server.timed(download._open))
        yield server


@pytest.fixture
def said():
    return []


def remote(server: ImageServer, *behaviours: str, **more) -> Remote:
    return Remote(server.urls(*behaviours), MD5, len(PAYLOAD), **{"clock": server.clock, **more})


def part_of(path):
    return path.with_name(path.name + ".part")


def test_a_good_host_serves_the_file(server, tmp_path, said, capfd):
    path = tmp_path / "new" / "folder" / "file"
    assert fetch(remote(server, "good"), path, said.append) == f"127.0.0.1:{server.server.server_port}"
    assert path.read_bytes() == PAYLOAD
    assert not part_of(path).exists()
    assert said == []
    assert capfd.readouterr() == ("", ""), "nobody watches a captured stream: no bar, no control characters"


@pytest.mark.parametrize("bad", ["missing", "busy", "portal", "other", "corrupt", "truncate"])
def test_a_bad_host_is_left_for_the_next(server, tmp_path, said, bad):
    path = tmp_path / "file"
    fetch(remote(server, bad, "good"), path, said.append)
    assert path.read_bytes() == PAYLOAD
    assert server.asked()[0] == bad
    assert server.asked()[-1] == "good"
    assert len(server.requests) <= 3


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("missing", "404"),
        ("busy", "503"),
        ("portal", "another file"),
        ("other", "another file"),
        ("corrupt", "other bytes"),
        ("truncate", "closed the connection after 600,000 of 1,200,000 bytes"),
    ],
)
def test_without_a_good_host_the_reason_is_said_and_no_file_appears(server, tmp_path, bad, words):
    path = tmp_path / "file"
    with pytest.raises(DownloadError, match=words):
        fetch(remote(server, bad), path)
    assert not path.exists()


def test_a_host_that_cannot_be_reached(server, tmp_path):
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:1: cannot be reached"):
        fetch(Remote(("http://127.0.0.1:1/file",), MD5, len(PAYLOAD)), tmp_path / "file")
    fetch(Remote(("http://127.0.0.1:1/file", server.url("good")), MD5, len(PAYLOAD)), tmp_path / "file")
    assert md5_of(tmp_path / "file") == MD5


def test_a_host_that_keeps_breaking_off_is_resumed_to_the_end(server, tmp_path, said):
    fetch(remote(server, "drop"), tmp_path / "file", said.append)
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert [asked for _, asked in server.requests][:3] == [None, "bytes=100000-", "bytes=200000-"]
    assert len(server.requests) == 12


def test_a_host_that_breaks_off_and_serves_wrong_bytes_gets_a_second_chance_but_no_third(server, tmp_path):
    with pytest.raises(DownloadError, match="other bytes"):
        fetch(remote(server, "rotten"), tmp_path / "file")
    assert len(server.requests) == 24
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("resumed_at", ["good", "plain", "drop"])
def test_an_earlier_attempt_is_resumed(server, tmp_path, resumed_at):
    path = tmp_path / "file"
    part_of(path).write_bytes(PAYLOAD[:500_000])
    fetch(remote(server, resumed_at), path)
    assert path.read_bytes() == PAYLOAD
    assert server.requests[0] == (resumed_at, "bytes=500000-")
    assert len(server.requests) == (7 if resumed_at == "drop" else 1), "what was there was used, not fetched again"


def test_a_part_that_is_complete_needs_no_host(server, tmp_path):
    part_of(tmp_path / "file").write_bytes(PAYLOAD)
    assert fetch(remote(server, "missing"), tmp_path / "file") == ""
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.requests == []


@pytest.mark.parametrize(
    "rubbish", [b"x" * 500_000, b"x" * len(PAYLOAD), PAYLOAD + b"more"], ids=["half", "whole", "too-long"]
)
def test_a_part_with_wrong_bytes_is_fetched_again_from_the_beginning(server, tmp_path, rubbish):
    part_of(tmp_path / "file").write_bytes(rubbish)
    fetch(remote(server, "good"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.requests[-1] == ("good", None)


def test_a_file_that_changed_at_the_host_is_never_joined_to_the_old_half(server, tmp_path):
    part_of(tmp_path / "file").write_bytes(PAYLOAD[:500_000])
    with pytest.raises(DownloadError, match="another file"):
        fetch(remote(server, "other"), tmp_path / "file")
    with pytest.raises(DownloadError, match="other bytes"):
        fetch(remote(server, "corrupt"), tmp_path / "file")
    assert not (tmp_path / "file").exists()
    fetch(remote(server, "good"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAYLOAD


def test_a_dripping_host_is_left_and_what_it_sent_is_kept(server, tmp_path, said):
    fetch(remote(server, "drip", "good"), tmp_path / "file", said.append)
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked() == ["drip", "good"]
    assert server.clock() == pytest.approx(8, abs=0.2)
    assert server.requests[1][1] is not None, "the second host goes on where the first stopped"
    assert len(said) == 1
    assert "slow" in said[0]


def test_when_all_hosts_drip_the_fastest_finishes_and_says_how_long_it_takes(server, tmp_path, said):
    slow = remote(server, "drip", "drip2", "missing", patience=2)
    fetch(slow, tmp_path / "file", said.append)
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked() == ["drip", "drip2", "missing", "drip2"]
    assert "Every host is slow" in said[-1]
    assert said[-1].endswith((" s.", " min."))


def test_a_real_archive_from_a_host_at_55_kb_per_second_is_left_within_15_seconds(monkeypatch, tmp_path):
    now = 0.0

    class Dripping:
        status, headers = 200, Message()
        left_at = None

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.left_at = now

        def read1(self, count):
            nonlocal now
            now += 0.1
            return bytes(5_500)

    response, part = Dripping(), tmp_path / "part"
    monkeypatch.setattr(download, "_open", lambda *_: response)
    archive = Remote(("http://slow",), MD5, 170_498_071, clock=lambda: now)
    with pytest.raises(download._Slow, match=r"55 kB/s, 5\d min to go"), download._Bar("x", 1) as bar:
        download._receive(archive, "http://slow", part, bar, patient=False)
    assert response.left_at <= 15
    assert part.stat().st_size == pytest.approx(response.left_at * 55_000)


def test_a_slow_host_that_is_nearly_done_may_finish(server, tmp_path):
    part_of(tmp_path / "file").write_bytes(PAYLOAD[:-100_000])
    fetch(remote(server, "drip", "good", patience=1.5), tmp_path / "file")
    assert server.asked() == ["drip"]


def test_a_folder_that_cannot_be_made_is_a_clear_error(server, tmp_path):
    (tmp_path / "a file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write to .*VIT_COURSE_HOME"):
        fetch(remote(server, "good"), tmp_path / "a file" / "data" / "file")
    assert server.requests == []


def test_a_folder_without_permission_is_a_clear_error(server, tmp_path, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(download, "open", refuse, raising=False)
    with pytest.raises(StorageError, match=r"cannot write to .* \(Permission denied\)\. Set VIT_COURSE_HOME"):
        fetch(remote(server, "good"), tmp_path / "file")


def test_a_disk_too_small_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=len(PAYLOAD) - 1))
    with pytest.raises(StorageError, match=r"is full; file needs 1 MB\. Free some space"):
        fetch(remote(server, "good"), tmp_path / "file")
    assert server.requests == []


def test_a_disk_that_fills_up_meanwhile(server, tmp_path, monkeypatch):
    class Full:
        """A file on a disk with room for 300,000 bytes."""

        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            room = 300_000 - self.file.tell()
            if not room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data[: min(room, 50_000)])  # less than asked for: systems may do that

        def fileno(self):
            return self.file.fileno()

    def opened(path, mode="r", *args, **kwargs):
        file = builtins.open(path, mode, *args, **kwargs)  # noqa: SIM115
        return Full(file) if str(path).endswith(".part") and "a" in mode else file

    path = tmp_path / "file"
    monkeypatch.setattr(download, "open", opened, raising=False)
    with pytest.raises(StorageError, match=r"is full.*VIT_COURSE_HOME.*what has arrived is kept") as caught:
        fetch(remote(server, "good"), path)
    assert caught.value.errno == errno.ENOSPC
    assert not path.exists()
    assert part_of(path).read_bytes() == PAYLOAD[:300_000]
    monkeypatch.undo()  # space was freed
    fetch(remote(server, "good"), path)
    assert path.read_bytes() == PAYLOAD
    assert server.requests[-1] == ("good", "bytes=300000-")


CHILD = """
import sys, time
from pathlib import Path
from vit_course.data.download import Remote, fetch
url, md5, size, path = sys.argv[1:]
def clock():
    print("tick", flush=True)
    return time.monotonic()
remote = Remote((url,), md5, int(size), timeout=60, clock=clock)
print("host", fetch(remote, Path(path), lambda line: print(line, flush=True)), flush=True)
"""


@pytest.fixture
def child(server, tmp_path):
    """Start processes that download from the host that stops half-way; they end with the test."""
    started = []

    def start() -> subprocess.Popen:
        command = [sys.executable, "-c", CHILD, server.url("gate"), MD5, str(len(PAYLOAD)), str(tmp_path / "file")]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_two_processes_at_once_download_once_and_both_end_well(server, tmp_path, child):
    first = child()
    assert first.stdout.readline() == "tick\n"  # it holds the lock and asks the host, which stops half-way
    second = child()
    assert "Another process is busy with file" in second.stdout.readline()
    server.gate.set()
    assert second.stdout.read() == "host \n"
    assert first.stdout.read().endswith(f"host 127.0.0.1:{server.server.server_port}\n")
    assert (first.wait(), second.wait()) == (0, 0)
    assert (tmp_path / "file").read_bytes() == PAYLOAD
    assert server.asked() == ["gate"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_a_killed_download_leaves_nothing_that_passes_for_the_file_and_is_resumed(server, tmp_path, child):
    path, process = tmp_path / "file", child()
    assert [process.stdout.readline() for _ in range(3)] == ["tick\n"] * 3  # asked, and wrote two pieces
    process.kill()
    process.wait()
    assert not path.exists()
    arrived = part_of(path).stat().st_size
    assert 0 < arrived < len(PAYLOAD)
    fetch(remote(server, "good"), path)
    assert path.read_bytes() == PAYLOAD
    assert server.requests[-1] == ("good", f"bytes={arrived}-")


def test_without_file_locks_each_process_writes_its_own_part(server, tmp_path, monkeypatch):
    def no_locks(file, wait):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(download, "_lock", no_locks)
    with download.alone(tmp_path / "file") as part:
        assert part.name == f"file.{os.getpid()}.part"
    fetch(remote(server, "good"), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == PAYLOAD


def test_a_terminal_gets_a_bar_and_a_notebook_one_line_that_rewrites_itself(server, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fetch(remote(server, "good"), tmp_path / "one")
    assert "one:" in terminal.getvalue()

    shown = []

    def display(data, raw, display_id):
        shown.append(data)
        return SimpleNamespace(update=lambda data, raw: shown.append(data))

    ipython = SimpleNamespace(
        get_ipython=lambda: SimpleNamespace(kernel=object()), display=SimpleNamespace(display=display)
    )
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    length = len(terminal.getvalue())
    fetch(remote(server, "good"), tmp_path / "two")
    assert shown[-1]["text/plain"].endswith("1 of 1 MB")
    assert all(data["text/plain"].isprintable() for data in shown)
    assert len(terminal.getvalue()) == length
