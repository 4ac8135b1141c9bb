"""Marks for one submission: its code runs in a worker apart, and the verdict is made here, where it never ran.

with Marker(seed=7) as marker:
    marks = marker.mark(cells, ["patchify", "unpatchify"])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

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

    Raises:
        Unprotected: bubblewrap is missing or does not work, and this is not allowed.

    Attributes:
        protections: what is in force, by name: a sentence on what students' code cannot do, or, where it begins with
            "missing: ", on what it can.
    """

    protections: dict[str, str]

    def __init__(self, *, seed: int, allow_unprotected: bool = False) -> None:
        raise NotImplementedError

    def __enter__(self) -> Marker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        raise NotImplementedError

    def mark(self, cells: Sequence[str], exercises: Sequence[str]) -> list[Mark]:
        """The marks of a submission, in the order of `exercises`.

        Never raises, whatever the cells hold (KeyboardInterrupt passes).

        Args:
            cells: the code cells in the order of the notebook, as text.
            exercises: names.

        Raises:
            ValueError: there is no exercise of that name.
        """
        raise NotImplementedError
