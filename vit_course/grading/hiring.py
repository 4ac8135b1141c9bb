"""Starting the worker process, giving it tasks, and ending it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from vit_course.checks import exercises
from vit_course.grading import sandbox, wire
from vit_course.grading.confine import Limits
from vit_course.grading.lending import write_runtime
from vit_course.grading.worker import GO

START_SECONDS = 300.0  # importing torch from a slow disk
GRACE_SECONDS = 60.0  # beyond an answer's own limit, before the worker counts as lost


class Came(NamedTuple):
    """How a task ended ("done", "time", "output" or "stopped"), and its result, {} if there is none."""

    ended: str
    value: dict[str, Any]


class Worker:
    """A running worker.

    Args:
        bubblewrap: the program to run it in, or None.
        limits: what one answer may use.
        use: the parts of `confine` to use.

    Raises:
        RuntimeError: it does not start; the message holds what it said.
    """

    def __init__(self, bubblewrap: str | None, limits: Limits, use: Collection[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vit-course-grading-")
        self._limits = limits
        runtime, home = Path(self._folder.name, "course"), Path(self._folder.name, "home")
        write_runtime(runtime)
        home.mkdir()
        settings = {
            "observers": sorted({one.observe.__module__ for one in exercises().values()}),
            "hide": [] if bubblewrap else sandbox.secrets(),
            "sweep": ["/tmp", "/dev/shm"] if bubblewrap else [str(home)],
            "limits": dataclasses.asdict(limits),
            "use": [part for part in use if part != "bubblewrap"],
        }
        path = [sandbox.RUNTIME if bubblewrap else str(runtime), *sandbox.library_folders()]
        code = f"import sys; sys.path[:0] = {path!r}; from vit_course.grading.worker import main; main(sys.argv[1])"
        start = sandbox.wrapped(bubblewrap, str(runtime)) if bubblewrap else []
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        self._process = subprocess.Popen(
            [*start, *sandbox.interpreter(), "-c", code, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=sandbox.environment(str(home)),
            cwd=home,
            start_new_session=True,  # Ctrl-C is for the grader
        )
        os.set_blocking(self._process.stdin.fileno(), False)
        try:
            hello = wire.receive(self._process.stdout.fileno(), time.monotonic() + START_SECONDS)
            self.parts: dict[str, bool] = wire.unpack(hello or b"")
        except wire.Unreadable as error:
            self.close()
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()[-3:]
            raise RuntimeError(f"The grading worker does not start ({error}). It said: {' / '.join(said)}") from None
        except BaseException:
            self.close()
            raise

    def ask(self, task: bytes, answer: bytes) -> Came:
        """Do a task.

        Raises:
            wire.Unreadable, OSError: the worker is lost; another one has to be started.
        """
        until = time.monotonic() + self._limits.wall + GRACE_SECONDS
        come, go = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.write(come, GO)
        wire.send(come, task, until)
        wire.send(come, answer, until)
        header, body = wire.receive(go, until), wire.receive(go, until)
        ended = wire.unpack(header or b"")["ended"]
        if ended == "done":
            with contextlib.suppress(wire.Unreadable):
                value = wire.unpack(body or b"")
                return Came("done", value if isinstance(value, dict) else {})
            return Came("stopped", {})
        return Came(ended, {})

    def close(self) -> None:
        """End it, whatever it is doing."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # nothing more to do: it ends of itself
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the answer that is running dies with it
            self._process.wait()
        self._process.stdout.close()
        with contextlib.suppress(OSError):
            self._folder.cleanup()
