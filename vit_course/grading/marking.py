"""Marks for one submission: its code runs in a worker apart, and the verdict is made here, where it never ran.

with Marker(seed=7) as marker:
    marks = marker.mark(cells, ["patchify", "unpatchify"])
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from vit_course.checks.conditions import printable
from vit_course.checks.evaluation import find_exercise
from vit_course.checks.exercise import NOTEBOOK_SEED
from vit_course.checks.judge import Report
from vit_course.grading import sandbox, wire
from vit_course.grading.confine import Limits
from vit_course.grading.extract import MOST_SOURCE
from vit_course.grading.hiring import Came, Worker
from vit_course.grading.judging import Paper, fresh_seed, published_likenesses
from vit_course.grading.lending import lent_names

PROTECTIONS = ("bubblewrap", "processes", "calls")
MOST_TEXT = 3000  # characters of a message
STATUSES = ("passed", "failed", "error", "unattempted", "missing", "refused")


class Unprotected(RuntimeError):
    """Students' code could read files and use the network here, and nobody allowed that."""


@dataclass(frozen=True)
class Mark:
    """One exercise of one submission.

    Attributes:
        exercise: its name.
        status: "passed", "failed" (it ran and was wrong), "error" (it stopped with an exception, or was stopped),
            "unattempted" (the untouched stub), "missing" (no cell defines it) or "refused" (it takes the course's own).
        mistake: slug of the recognised mistake, or None.
        message: what the card in the notebook would say, as plain text; code stands between backticks. Says nothing
            of the cases that were drawn for grading.
        remarks: for the instructor: that it is the published reference, what it tried to do, and the like.
    """

    exercise: str
    status: str
    mistake: str | None = None
    message: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.status == "passed"


class Marker:
    """Marks submissions, one after another. A context manager: it owns the worker process. One of them per process.

    Args:
        seed: decides sizes and numbers of the cases; the same seed gives the same marks.
        allow_unprotected: go on where bubblewrap is missing.
        limits: what one answer may use.
        use: the protections to use where they work; for tests.

    Raises:
        Unprotected: bubblewrap is missing or does not work, and this is not allowed.

    Attributes:
        protections: what is in force, by name: a sentence on what students' code cannot do, or, where it begins with
            "missing: ", on what it can.
    """

    def __init__(
        self,
        *,
        seed: int,
        allow_unprotected: bool = False,
        limits: Limits | None = None,
        use: Collection[str] = PROTECTIONS,
    ) -> None:
        if sys.platform == "win32":
            raise Unprotected("Grading needs Linux, or macOS; on Windows use WSL (wsl --install).")
        self._seed, self._limits, self._use = seed, limits or Limits(), tuple(use)
        self._papers: dict[tuple[str, int], Paper] = {}
        self._worker: Worker | None = None
        bubblewrap = sandbox.bubblewrap() if "bubblewrap" in self._use else None
        if bubblewrap is None and not allow_unprotected:
            raise Unprotected(NO_BUBBLEWRAP)
        self._bubblewrap = bubblewrap
        self.protections = describe(bubblewrap is not None, **self._running().parts)

    def __enter__(self) -> Marker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def mark(self, cells: Sequence[str], exercises: Sequence[str]) -> list[Mark]:
        """The marks of a submission, in the order of `exercises`.

        Never raises, whatever the cells hold (KeyboardInterrupt passes).

        Args:
            cells: the code cells in the order of the notebook, as text.
            exercises: names.

        Raises:
            ValueError: there is no exercise of that name.
        """
        for name in exercises:
            find_exercise(name)
        task = wire.pack({"wanted": {name: [*lent_names(name)] for name in exercises}})
        came = self._ask(task, {"cells": [printable(str(cell)) for cell in cells]})
        found = came.value if isinstance(came.value, dict) else {}
        if came.ended != "done" or not found.keys() >= set(exercises):
            said = _ENDINGS.get(came.ended) or "The cells cannot be read."
            return [Mark(name, "error", None, f"{said} Nothing in this notebook was tried.") for name in exercises]
        return [self._mark(name, found[name]) for name in exercises]

    def _mark(self, name: str, answer: Any) -> Mark:
        answer = answer if isinstance(answer, dict) else {}
        state, source = answer.get("state"), answer.get("source")
        if state == "unattempted":
            return Mark(name, "unattempted", None, "Not attempted yet: the stub still raises `NotImplementedError`.")
        if state != "written" or not isinstance(source, str) or len(source) > MOST_SOURCE:
            said = "Your answer is too long." if state == "too long" else f"No cell defines `{name}`."
            return Mark(name, "missing", None, said)
        report, remarks = self._tried(name, source)
        own = answer.get("own")
        again_is_worth_it = not report.passed and report.message != _ENDINGS["time"]
        if again_is_worth_it and own and isinstance(own, str) and len(own) <= MOST_SOURCE:
            # It may need what the student made of a name that the course has, too.
            again, others = self._tried(name, own)
            report, remarks = (again, others) if again.passed else (report, remarks)
        remarks += [f"uses `{lost}`, which no cell gives" for lost in answer.get("lost", ()) if not report.passed]
        if answer.get("likeness") and answer["likeness"] in published_likenesses(name):
            remarks.append("is the published reference, but for names")
        return Mark(name, report.status, report.mistake, tidy(report.message), tuple(tidy(one) for one in remarks))

    def _tried(self, name: str, source: str) -> tuple[Report, list[str]]:
        """The report on an answer, with the message of the notebook's card, and remarks."""
        paper = self._paper(name, fresh_seed(name, self._seed))
        came = self._ask(paper.task, {"source": source})
        report, remarks = self._judged(paper, came)
        if report.status in ("failed", "error") and report.mistake is None and came.value:
            report = self._as_in_the_notebook(report, source)
        return report, remarks

    def _judged(self, paper: Paper, came: Came) -> tuple[Report, list[str]]:
        """The report on what came of one answer, and remarks."""
        name, value = paper.exercise.name, came.value
        remarks = [f"tried to {one}" for one in value.get("notes", ()) if isinstance(one, str)]
        if came.ended != "done" or not value:
            said = _ENDINGS.get(came.ended, _ENDINGS["stopped"])
            return Report(name, "error", said), [*remarks, said]
        if "seen" in value:
            report = paper.verdict(value["seen"])
        elif value.get("problem"):
            said = f"The cells with your `{name}` stop with `{value['problem']}`."
            report = Report(name, "error", said)
        else:
            report = Report(name, "failed", f"`{name}` is a `{value.get('kind')}`, which cannot be called.")
        if value.get("refused"):
            used = ", ".join(f"`{one}`" for one in value["refused"] if isinstance(one, str))
            remarks.append(f"uses the course's own {used}")
            if not report.passed:
                said = f"This uses the course's own {used}, which is not there while yours is graded. Write your own."
                report = Report(name, "refused", said)
        if report.passed and any(_OF_THE_COURSE.search(one) for one in remarks):
            report = Report(name, "refused", "This reads the course's own files while it is graded. Write your own.")
        return report, remarks

    def _as_in_the_notebook(self, report: Report, source: str) -> Report:
        """What the card says, on the notebook's own cases: those drawn for grading stay hidden."""
        name = report.exercise
        paper = self._paper(name, NOTEBOOK_SEED)
        shown, _ = self._judged(paper, self._ask(paper.task, {"source": source}))
        if shown.passed:
            return replace(report, message=ONLY_IN_THE_NOTEBOOK)
        return replace(report, message=shown.message, mistake=shown.mistake)

    def _paper(self, name: str, seed: int) -> Paper:
        if (name, seed) not in self._papers:
            self._papers[name, seed] = Paper(name, seed)
        return self._papers[name, seed]

    def _running(self) -> Worker:
        if self._worker is None:
            self._worker = Worker(self._bubblewrap, self._limits, self._use)
        return self._worker

    def _ask(self, task: bytes, answer: dict[str, Any]) -> Came:
        """What came of a task. A worker that is beyond help is replaced, and its task counts as stopped."""
        try:
            return self._running().ask(task, wire.pack(answer))
        except (wire.Unreadable, OSError):
            self.close()
            return Came("stopped", {})
        except BaseException:  # interrupted in the middle: what is still to come belongs to nobody
            self.close()
            raise


ONLY_IN_THE_NOTEBOOK = (
    "Right on the cases of the notebook, but not on others that were drawn for grading. Does your code remember a "
    "size, a result or a number that was only there?"
)
NO_BUBBLEWRAP = (
    "bubblewrap is missing, or does not work here, so students' code could read this machine's files and use its "
    "network. Install it (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap), grade in a "
    "container or a virtual machine that holds nothing else, or go on with --allow-unprotected."
)
_OF_THE_COURSE = re.compile(r"tried to open .*vit_course[/\\].*\.pyc?$")
_ENDINGS = {
    "time": "It took too long and was stopped. Is there a loop that never ends?",
    "output": "It gave back more than can be taken.",
    "stopped": "It ended Python itself, or was ended, before there was a result.",
}


def tidy(text: str) -> str:
    """Without addresses in memory, which differ from run to run, and no longer than a card."""
    text = re.sub(r"\b0x[0-9a-f]{6,}\b", "0x…", text)
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} …"


def describe(bubblewrap: bool, processes: bool, calls: bool) -> dict[str, str]:
    """Which protections are in force, in words."""
    readable = "missing: an answer can read this machine's files" + " and change them" * (not processes)
    found = {
        "files": "of this machine only installed programs and libraries can be read" if bubblewrap else readable,
        "network": "there is none" if bubblewrap or calls else "missing: an answer can use the network",
        "processes": "each answer has process numbers and an empty folder of its own"
        if processes
        else "missing: an answer sees the processes of this machine",
        "calls": "no sockets, no signals to others, no new processes"
        if calls
        else "missing: an answer can start processes and send signals",
        "limits": "time, memory, output and the size of files are limited",
        "verdict": "made in a process that never runs students' code; the worker holds no answer",
    }
    return found
