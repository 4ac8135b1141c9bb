"""Compare what was observed with what was expected; name the mistake, or the first difference.

`judge` is all that decides: the notebook and the grader both call it. It never runs the learner's code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from vit_course.checks.comparing import AGAIN, agree, equal
from vit_course.checks.exercise import Exercise
from vit_course.checks.explaining import explain
from vit_course.checks.observers import Case, Observations

Seen = Sequence[Observations]  # one for each case
Status = Literal["passed", "failed", "error", "unattempted"]


@dataclass(frozen=True)
class Report:
    """What the checks say of one piece of code.

    Attributes:
        exercise: its name.
        status: "passed", "failed" (it ran and was wrong), "error" (it raised) or "unattempted".
        mistake: slug of the recognised mistake, or None.
        message: plain text; code stands between backticks.
        picture: HTML that shows expected beside yours, or "".
        printed: the beginning of what the code printed while it was checked.
    """

    exercise: str
    status: Status
    message: str
    mistake: str | None = None
    picture: str = ""
    printed: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"


def judge(
    exercise: Exercise,
    cases: list[Case],
    expected: list[Observations],
    got: list[Observations],
    of_mistake: Callable[[Callable], Seen],
) -> Report:
    """The report on observations `got`.

    Args:
        exercise: whose catalogue is used.
        cases: what was tried.
        expected: the reference's observations, one for each case.
        got: the candidate's.
        of_mistake: runs a catalogued mistake on the same cases; asked only when the candidate is wrong.
    """
    printed = next((one["_printed"] for one in got if one.get("_printed")), "")
    if all(one.get("_stub") for one in got):
        return Report(exercise.name, "unattempted", "Not attempted yet: the stub still raises `NotImplementedError`.")
    wrong = [i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if not _agree(exercise, a, b)]
    if not wrong:
        return Report(exercise.name, "passed", f"Right on all {len(cases)} cases.", printed=printed)
    # Code that mostly stops with an error is explained by one; else by what is easiest to see.
    stops = [i for i in wrong if "raised" in got[i] and "raised" not in expected[i]]
    shown = stops if 2 * len(stops) > len(wrong) else wrong
    first = min(shown, key=lambda i: (_difficulty(cases[i], expected[i], got[i]), i))
    slug = diagnose(exercise, expected, got, of_mistake)
    if slug is None:
        message = explain(exercise, cases[first], expected[first], got[first])
    else:
        message = exercise.mistakes[slug].message
    picture = exercise.picture(cases[first], expected[first], got[first]) if exercise.picture else ""
    return Report(
        exercise.name, "error" if first in stops and slug is None else "failed", message, slug, picture, printed
    )


def _difficulty(case: Case, expected: Observations, got: Observations) -> int:
    """How hard it is to see what is wrong in a case. Plainest is a wrong number that says where it came from."""
    right, yours = expected.get("output"), got.get("output")
    if "output" in got and "output" in expected and not equal(right, yours):
        return 0 if case.numbered else 1
    return 2 if "raised" not in got else 3


def _agree(exercise: Exercise, a: Observations, b: Observations, ignore: frozenset[str] = frozenset()) -> bool:
    return agree(a, b, exercise.ignore | ignore, float64=exercise.float64_tolerance)


def diagnose(
    exercise: Exercise,
    expected: list[Observations],
    got: list[Observations],
    of_mistake: Callable[[Callable], Seen],
) -> str | None:
    """The slug of the catalogued mistake that does what the candidate does, or None.

    Looked for in three rounds, each less strict, so that a second flaw does not hide the first: the same in everything;
    the same but for gradients and for what it raises; the same results wherever there are any, some of them wrong.
    """
    if all("raised" in one and "parameters" not in one for one in got):
        return None  # nothing to recognise it by: the exception says more
    runs = []
    for slug, mistake in exercise.mistakes.items():
        for candidate in (mistake.candidate, *mistake.variants):
            runs.append((slug, of_mistake(candidate)))
            if _same_in_all(exercise, runs[-1][1], got):
                return slug
    for same in (_same_forward, _same_results):
        for slug, run in runs:
            if same(exercise, expected, run, got):
                return slug
    return None


def _same_in_all(exercise: Exercise, mistake: Seen, got: Seen) -> bool:
    return all(
        agree(a, b, exercise.ignore, nan_equals_nan=True, float64=exercise.float64_tolerance)
        for a, b in zip(mistake, got, strict=True)
    )


def _same_forward(exercise: Exercise, expected: Seen, mistake: Seen, got: Seen) -> bool:
    """The same cases raise, the others agree but for gradients, and it is not only gradients that are wrong."""
    wrong = compared = False
    for right, a, b in zip(expected, mistake, got, strict=True):
        if ("raised" in a) != ("raised" in b) or a.get("parameters") != b.get("parameters"):
            return False
        names = right.keys() | a.keys() | b.keys()
        ignore = exercise.ignore | {name for name in names if name.startswith("gradient") or name.endswith(AGAIN)}
        # No gradient at all is a flaw that cannot be hidden: where some flows, it is not that.
        if any(isinstance(a.get(name), str) and isinstance(b.get(name), Tensor) for name in ignore):
            return False
        # Where an exception is asked for, its type matters; elsewhere one stumble is like another.
        stumble = "raised" in a and "raised" not in right
        if not stumble and not agree(a, b, ignore, nan_equals_nan=True):
            return False
        compared |= not stumble
        wrong |= not agree(right, b, ignore)
    return wrong and compared


def _same_results(exercise: Exercise, expected: Seen, mistake: Seen, got: Seen) -> bool:
    """Wherever the candidate gives a result it is the mistake's, and somewhere it is wrong."""
    informative = 0
    for right, a, b in zip(expected, mistake, got, strict=True):
        if a.get("parameters") != b.get("parameters"):
            return False
        if "raised" in right or "raised" in b:
            continue
        if not _same_result(a, b):
            return False
        informative += not _same_result(right, b)
    return informative > 0


def _same_result(a: Observations, b: Observations) -> bool:
    results, others = ({name: value for name, value in one.items() if _is_result(name, value)} for one in (a, b))
    if a.get("kind") != b.get("kind") or results.keys() != others.keys():
        return False
    return all(
        isinstance(others[name], Tensor) and _same_values(value, others[name])
        if isinstance(value, Tensor)
        else value == others[name]
        for name, value in results.items()
    )


def _is_result(name: str, value: Any) -> bool:
    return name == "output" or (isinstance(value, Tensor) and "gradient" not in name)


def _same_values(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.is_complex() != b.is_complex():
        return False
    return equal(*(x if x.is_complex() else x.double() for x in (a, b)), nan_equals_nan=True)
