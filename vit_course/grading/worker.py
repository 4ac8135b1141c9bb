"""The worker: a process of its own in which students' code runs, a fork for each exercise.

The template imports torch and the observers once, then only forks: it reads no answer and runs none. Its child, the
guardian, reads one task from the pipe, forks again, and waits no longer than it may. That grandchild gives up what it
can, runs the answer, and hands its observations to the guardian, who passes the bytes on without looking at them.
No process here has a reference or an expected value.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import linecache
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

import einops.layers.torch
import jaxtyping  # noqa: F401  so that no fork waits for it
import torch

from vit_course.checks import observers
from vit_course.checks.conditions import Printed, printable
from vit_course.grading import confine, wire
from vit_course.grading.extract import extract
from vit_course.grading.standins import COURSE, StandIns

GO = b"g"
MOST_NOTES = 20


def main(settings: str) -> None:
    """Serve tasks from standard input until it ends; answer on standard output.

    Args:
        settings: JSON: `observers`, modules to load; `hide`, folders nobody should see; `sweep`, folders to empty after
            each answer; `limits`, those of `Limits`; `use`, the parts of `confine` to use where they work.
    """
    given = json.loads(settings)
    come, go = os.dup(0), os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    torch.set_num_threads(1)
    for module in given["observers"]:
        importlib.import_module(module)
    _warm_up()
    confine.die_with_parent()
    parts = {part: part in given["use"] and confine.works(part) for part in ("processes", "calls")}
    if not parts["processes"]:
        confine.close_memory()  # what this process holds is for nobody to look up in /proc
    mapped = confine.address_space()
    wire.send(go, wire.pack(parts))
    while os.read(come, 1) == GO:
        guardian = os.fork()
        if guardian == 0:
            try:
                _guard(come, go, given, parts, mapped)
            except BaseException:  # something of this machine: the grader need not wait for what will not come
                wire.send(go, wire.pack({"ended": "stopped"}))
                wire.send(go, b"")
            os._exit(0)
        os.waitpid(guardian, 0)


def _warm_up() -> None:
    """What torch and einops put off until they are first used is done once, not in each fork."""
    case = observers.Case("", {"x": torch.ones(2, 3)})
    observers.call(lambda x: einops.layers.torch.Rearrange("a b -> b a")(torch.nn.functional.gelu(x)), case)
    extract(["%time 1"], {"x": ()})
    wire.unpack(wire.pack({"seen": torch.ones(1)}))
    gc.collect()
    gc.freeze()  # else the first collection in a fork would copy all that torch is made of


def _guard(come: int, go: int, given: Mapping[str, Any], parts: Mapping[str, bool], mapped: int) -> None:
    """One task: read it, have it done, pass on what came of it."""
    confine.die_with_parent()
    task, answer = wire.receive(come), wire.receive(come)
    limits = confine.Limits(**given["limits"])
    folder = tempfile.mkdtemp()
    if parts["processes"]:
        confine.new_namespaces()
        if os.path.isdir("/dev/shm"):
            confine.empty_folder("/dev/shm", 2**12, read_only=True)
        confine.hide(given["hide"])
        confine.everything_read_only()
        confine.empty_folder("/proc", 2**12, read_only=True)
        confine.empty_folder("/tmp", limits.file)
        folder = "/tmp"
    out, into = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setsid()
            os.chdir(folder)
            os.dup2(into, 3)
            os.closerange(4, 4096)
            confine.die_with_parent()
            confine.drop_privileges()
            confine.set_limits(limits, mapped, processes=not parts["calls"])
            if parts["calls"]:
                confine.filter_calls()
            _serve(3, task, answer)
        os._exit(1)
    os.close(into)
    came, ended = _collect(out, began + limits.wall)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    _, _, usage = os.wait4(child, 0)
    if not parts["processes"]:
        for place in (folder, *given["sweep"]):
            _empty(place)
    if usage.ru_utime + usage.ru_stime >= limits.cpu:
        ended = "time"
    wire.send(go, wire.pack({"ended": ended}))
    wire.send(go, came)


def _empty(place: str) -> None:
    """Leave nothing for the next answer to find."""
    for entry in os.scandir(place) if os.path.isdir(place) else ():
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.remove(entry.path)


def _collect(out: int, until: float) -> tuple[bytes, str]:
    """What the answer's process wrote, and how that ended: "done", "time" or "output"."""
    parts, size = [], 0
    while size <= wire.MOST_BYTES:
        left = until - time.monotonic()
        if left <= 0 or not select.select([out], [], [], left)[0]:
            return b"", "time"
        part = os.read(out, 2**20)
        if not part:
            return b"".join(parts), "done"
        parts.append(part)
        size += len(part)
    return b"", "output"


def _serve(into: int, task: bytes, answer: bytes) -> None:
    """In the fork: do a task and write what comes of it. Never returns."""
    notes: dict[str, None] = {}
    watching = [True]

    def note(text: str) -> None:
        if watching[0] and len(notes) < MOST_NOTES:
            notes[printable(text)[:200]] = None

    given, said = wire.unpack(task, known="vit_course.checks."), wire.unpack(answer)
    if "cells" in said:
        result = extract(said["cells"], given["wanted"])
    else:
        result = _observe(given, said["source"], note)
        watching[0] = False
        result["notes"] = [*notes]
    packed = memoryview(wire.pack(result))
    while packed:
        packed = packed[os.write(into, packed) :]
    os._exit(0)


def _observe(given: Mapping[str, Any], source: str, note: Callable[[str], None]) -> dict[str, Any]:
    """The observations of one answer on all cases; or the problem that kept it from being made."""
    name, place = given["exercise"], f"<your {given['exercise']}>"
    used: list[str] = []
    StandIns(given["sources"], given["lent"], given["withheld"], used.append, observers.COURSE).install()
    observe = getattr(importlib.import_module(given["observer"][0]), given["observer"][1])
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    space = types.ModuleType("__main__")  # as in a notebook
    sys.modules["__main__"] = space
    vars(space)["display"] = lambda *arguments, **named: None
    sys.stdout = sys.stderr = Printed()
    _watch(note)
    try:
        exec(compile(source, place, "exec"), vars(space))
        candidate = vars(space)[name]
    except BaseException as error:
        problem = f"{observers.type_name(error)}: {_text(error)}"[:1000]
        return {"problem": printable(problem), "refused": used[:1]}
    if not callable(candidate):
        return {"problem": "", "kind": observers.type_name(candidate), "refused": used[:1]}
    try:
        seen = [observe(candidate, case) for case in given["cases"]]
    except BaseException as error:  # KeyboardInterrupt passes an observer
        return {"problem": f"{observers.type_name(error)}: {_text(error)}"[:1000], "refused": used[:1]}
    return {"seen": seen, "refused": used[:1]}


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "(its message cannot be printed)"


# Audit event → what the instructor reads: the answer "tried to …".
_TOLD = {
    **dict.fromkeys(("socket.connect", "socket.bind", "socket.__new__", "socket.getaddrinfo"), "use the network"),
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn"), "start a program"),
    **dict.fromkeys(("os.fork", "os.forkpty"), "start a process"),
    **dict.fromkeys(("os.kill", "os.killpg", "signal.pthread_kill"), "send a signal"),
    **dict.fromkeys(("gc.get_objects", "gc.get_referrers", "gc.get_referents"), "search the memory for objects"),
    **dict.fromkeys(("ctypes.dlopen", "ctypes.dlsym", "ctypes.call_function"), "call the C library"),
    **dict.fromkeys(("os.remove", "os.rename", "os.rmdir", "shutil.rmtree", "os.chmod"), "change files"),
    "pickle.find_class": "read a pickle",
    "os.listdir": "list a folder",
    "os.scandir": "list a folder",
}


def _watch(note: Callable[[str], None]) -> None:
    """Tell of what an answer has no reason to do. It may be gone round: what is forbidden is forbidden elsewhere."""

    libraries = tuple(one for one in sys.path if one)  # a traceback reads them

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
            known = path.startswith(libraries) and COURSE not in path
            if path and not known and not path.startswith(("<", observers.COURSE)) and not _of_imports():
                note(f"open {path}")
        elif event in _TOLD and not _of_imports():
            note(_TOLD[event])

    sys.addaudithook(hook)


def _of_imports() -> bool:
    """Whether Python's own import system, or a library as it is imported, is doing it."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
