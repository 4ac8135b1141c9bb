"""Several submissions at a time: processes that mark, each with a marker of its own.

A process that dies, of a submission or of the machine's want of memory, costs that submission one more try and nobody
else anything.
"""

from __future__ import annotations

import ctypes
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

_READY, _MOST_FAILED_STARTS = "ready", 5
LONGEST = 900.0  # seconds for a submission: a marker's own limits are far below


class CannotGrade(RuntimeError):
    """Nobody can be graded; the text says why."""


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
    ready: bool = False
    busy_with: tuple[int, float] | None = None  # which submission, since when

    def late(self, longest: float) -> bool:
        return self.busy_with is not None and time.monotonic() - self.busy_with[1] > longest


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
        CannotGrade: there is no marker for another reason.
    """
    waiting, tries, unstarted = list(range(len(students)))[::-1], [0] * len(students), 0
    context = multiprocessing.get_context("spawn")
    pool = [_started(context, work) for _ in range(max(1, min(jobs, len(students))))]
    try:
        while waiting or any(one.busy_with for one in pool):
            for one in pool:
                if waiting and one.ready and one.busy_with is None:
                    index = waiting.pop()
                    tries[index] += 1
                    one.busy_with = index, time.monotonic()
                    with suppress(OSError):  # a process that is dead is found so below
                        one.connection.send((students[index], kept[index]))
            told = wait([one.connection for one in pool], timeout=1.0)
            for one in [one for one in pool if one.connection in told or one.late(work.longest)]:
                answer = _answer(one.connection) if one.connection in told else None
                if isinstance(answer, Exception):
                    raise answer
                if answer == _READY:
                    one.ready, unstarted = True, 0
                    continue
                if answer is not None:
                    (index, _), one.busy_with = one.busy_with, None
                    yield index, answer
                    continue
                _end(one)
                pool[pool.index(one)] = _started(context, work)
                if one.busy_with is None:
                    unstarted += 1
                    if unstarted > _MOST_FAILED_STARTS:
                        raise CannotGrade("The processes that grade end as soon as they start. Try --jobs 1.")
                elif tries[one.busy_with[0]] < 2 and not one.late(work.longest):
                    waiting.append(one.busy_with[0])
                else:
                    why = "took too long" if one.late(work.longest) else "ended the process that graded it, twice"
                    index = one.busy_with[0]
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
    if one.ready and one.busy_with is None:
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


class NoMarker(Exception):
    """Nobody can be graded: the cause is in `args[0]`."""


class Hands:
    """What a process does with one submission after another. Also without a process: in tests."""

    def __init__(self, work: Work) -> None:
        self._work, self._marker = work, None

    def record(self, student: Student, kept: Sequence[Record]) -> Record:
        """The record of a submission; whatever the grader fails at costs that submission alone.

        Raises:
            NoMarker: there can be none for anybody.
        """
        try:
            return graded(student, self._work.task, self._marked_by, kept)
        except NoMarker:
            raise
        except Exception as error:
            reason = f"the grader failed on this submission ({type(error).__name__}: {error}); please report it"
            return not_graded(student, reason)

    def _marked_by(self) -> Any:
        """The marker, made when it is first needed: a run in which everything is done already needs none."""
        if self._marker is None:
            make = self._work.marker
            try:
                if make is None:
                    from vit_course.grading.marking import Marker as make  # which takes its time
                made = make(seed=self._work.task.seed, allow_unprotected=self._work.allow_unprotected)
                self._marker = made.__enter__()
            except Exception as error:
                why = f"The grader cannot work here: {type(error).__name__}: {error}"
                known = type(error).__name__ == "Unprotected"  # which is expensive to import
                raise NoMarker(error if known else CannotGrade(why)) from error
        return self._marker

    def close(self) -> None:
        """End the marker's worker."""
        if self._marker is not None:
            self._marker.__exit__(None, None, None)


def _serve(connection: Connection, work: Work) -> None:
    """In a process: grade what comes in until the pipe is closed."""
    closed_to_others()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asked; this process ends with the pipe
    hands = Hands(work)
    try:
        connection.send(_READY)
        while True:
            student, kept = connection.recv()
            try:
                answer = hands.record(student, kept)
            except NoMarker as error:
                answer = error.args[0]
            connection.send(answer)
    except (EOFError, OSError):
        pass
    finally:
        hands.close()


def closed_to_others() -> None:
    """Where students' code runs under the same user, it cannot read or change the memory of this process (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
