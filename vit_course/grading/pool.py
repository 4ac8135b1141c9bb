"""Several submissions at a time: processes that mark, each with a marker of its own.

A process that dies, of a submission or of the machine's want of memory, costs that submission one more try and nobody
else anything.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from vit_course.grading.collect import Student
from vit_course.grading.submission import Record, Task, graded, not_graded

LONGEST = 900.0  # seconds for a submission: a marker's own limits are far below


@dataclass(frozen=True)
class Work:
    """What every process is told.

    Attributes:
        task: what is asked of every submission.
        allow_unprotected: go on where bubblewrap is missing.
        marker: makes the one that marks; None for `Marker`.
        longest: seconds for a submission, before its process is ended.
    """

    task: Task
    allow_unprotected: bool = False
    marker: Callable[..., Any] | None = None
    longest: float = LONGEST


@dataclass
class _Process:
    process: multiprocessing.process.BaseProcess
    connection: Connection
    busy_with: tuple[int, float] | None = None  # which submission, since when


def records(
    work: Work, students: Sequence[Student], kept: Sequence[Sequence[Record]], jobs: int
) -> Iterator[tuple[int, Record]]:
    """The record of each student, in the order in which they are finished.

    Args:
        work: what to do.
        students: all of them.
        kept: for each, the records of earlier runs.
        jobs: how many processes.

    Yields:
        The student's place in `students`, and the record.

    Raises:
        Unprotected: as `Marker`.
    """
    waiting, tries = list(range(len(students)))[::-1], [0] * len(students)
    context = multiprocessing.get_context("spawn")
    pool = [_started(context, work) for _ in range(max(1, min(jobs, len(students))))]
    try:
        while waiting or any(one.busy_with for one in pool):
            for one in pool:
                if waiting and one.busy_with is None:
                    index = waiting.pop()
                    tries[index] += 1
                    one.busy_with = index, time.monotonic()
                    with suppress(OSError):  # a process that is dead is found so below
                        one.connection.send((students[index], kept[index]))
            busy = {one.connection: one for one in pool if one.busy_with}
            ready = wait(list(busy), timeout=1.0)
            late = [key for key, one in busy.items() if time.monotonic() - one.busy_with[1] > work.longest]
            for connection in {*ready, *late}:
                one = busy[connection]
                index = one.busy_with[0]
                answer = _answer(connection) if connection in ready else None
                if isinstance(answer, Exception):
                    raise answer
                if answer is not None:
                    one.busy_with = None
                    yield index, answer
                    continue
                _end(one)
                pool[pool.index(one)] = _started(context, work)
                if tries[index] < 2 and connection not in late:
                    waiting.append(index)
                else:
                    why = "took too long" if connection in late else "ended the process that graded it, twice"
                    yield index, not_graded(students[index], f"this submission {why}: look at it by hand")
    finally:
        for one in pool:
            one.connection.close()  # an idle process ends of itself
        for one in pool:
            _end(one)


def _started(context: Any, work: Work) -> _Process:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work), daemon=True)
    process.start()
    theirs.close()
    return _Process(process, ours)


def _end(one: _Process) -> None:
    if one.busy_with is None:
        one.process.join(timeout=10)
    one.process.terminate()
    one.process.join(timeout=10)
    if one.process.is_alive():
        one.process.kill()
        one.process.join()
    with suppress(OSError):
        one.connection.close()


def _answer(connection: Connection) -> Any:
    """What a process sent; None if it is dead."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


class _NoMarker(Exception):
    """Nobody can be graded: the cause is in `args[0]`."""


def _serve(connection: Connection, work: Work) -> None:
    """In a process: grade what comes in until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asked; this process ends with the pipe
    made: list[Any] = []

    def marker() -> Any:
        if not made:  # a run in which everything is done already needs none
            try:
                made.append(_made(work))
            except Exception as error:
                raise _NoMarker(error) from error
        return made[0]

    try:
        while True:
            student, kept = connection.recv()
            try:
                answer = graded(student, work.task, marker, kept)
            except _NoMarker as error:
                answer = error.args[0]
            except Exception as error:
                reason = f"the grader failed on this submission ({type(error).__name__}: {error}); please report it"
                answer = not_graded(student, reason)
            connection.send(answer)
    except (EOFError, OSError):
        pass
    finally:
        for one in made:
            one.__exit__(None, None, None)


def _made(work: Work) -> Any:
    if work.marker is None:
        from vit_course.grading.marking import Marker as make  # which takes its time
    else:
        make = work.marker
    return make(seed=work.task.seed, allow_unprotected=work.allow_unprotected).__enter__()
