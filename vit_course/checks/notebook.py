"""What a learner calls: `check`, `hint`, `solution`; and `evaluate`, which judges without displaying."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import os
from collections.abc import Callable
from typing import Any

import torch

from vit_course.checks.cards import Card, show
from vit_course.checks.catalogue import exercises
from vit_course.checks.exercise import Exercise, Observed
from vit_course.checks.judge import Report, judge
from vit_course.checks.observers import type_name, untouched_state
from vit_course.checks.record import record


class CheckFailed(Exception):
    """Raised in strict mode by a check that does not pass; its text is the card."""


def evaluate(name: str, candidate: Any) -> Report:
    """Judge `candidate` as an answer to the exercise `name`, without displaying anything.

    Never raises, whatever the candidate does (KeyboardInterrupt passes), and leaves random states, grad mode, default
    dtype and default device as they were.

    Raises:
        ValueError: no exercise has that name.
    """
    exercise = _exercise(name)
    if not callable(candidate):
        given = "None" if candidate is None else f"a `{type_name(candidate)}`"
        message = f"The check needs `{name}` itself, to try it out, but was given {given}."
        return Report(name, "failed", f"{message} Write `check({name})`, without calling it.")
    with untouched_state():
        torch.set_num_threads(1)  # the tensors are small: handing them out to threads takes longer than the work
        try:
            cases, expected = exercise.notebook_cases, exercise.expected  # before the candidate can touch anything
            got = exercise.observations(candidate, cases)
            return judge(exercise, cases, expected, got, lambda mistake: _observed(exercise, mistake))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an odd result must not stop a lesson
            said = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else type(error).__name__
            return Report(name, "error", f"The result cannot be compared ({said}). Give back an ordinary value.")


_OF_MISTAKES: dict[Callable, Observed] = {}


def _observed(exercise: Exercise, mistake: Callable) -> Observed:
    """Observed once: a learner who tries again does not wait for the catalogue."""
    return _OF_MISTAKES.setdefault(mistake, Observed(exercise, mistake, exercise.notebook_cases))


def check(candidate: Any, name: str | None = None) -> Any:
    """Check an answer and show a card that says what is right or which mistake was made.

    Args:
        candidate: the function or class itself.
        name: of the exercise, where it is not the candidate's own name: for a lambda or a partial.

    Returns:
        The candidate if it is right, else the course's own, so that the rest of the lesson works.

    Raises:
        ValueError: it is not clear which exercise is meant.
        CheckFailed: in strict mode (`VIT_COURSE_STRICT=1`, or under nbgrader), when the check does not pass.
    """
    exercise = _exercise(name or _name_of(candidate))
    if candidate is exercise.reference:
        report = Report(
            exercise.name, "unattempted", f"This is the course's own `{exercise.name}`, from the last check."
        )
        card = Card("unattempted", f"{exercise.name}: run your definition again", (
            f"{report.message} Run the cell with your definition, then this one.",))  # fmt: skip
    else:
        report = evaluate(exercise.name, candidate)
        notice = record(exercise.name, report.passed) if report.status != "unattempted" else ""
        card = _report_card(report, notice)
    show(card)
    if not report.passed and _strict():
        raise CheckFailed(repr(card))
    return candidate if report.passed else exercise.reference


def hint(exercise: str | Callable) -> None:
    """Show the next hint for an exercise; each call goes one further."""
    found = _exercise(exercise if isinstance(exercise, str) else _name_of(exercise))
    given = _HINTS_GIVEN.get(found.name, 0)
    number = min(given + 1, len(found.hints))
    _HINTS_GIVEN[found.name] = number
    after = (
        ""
        if number < len(found.hints)
        else f'That was the last hint. `solution("{found.name}")` shows one way to write it.'
    )
    title = f"{found.name}: hint {number} of {len(found.hints)}"
    show(Card("info", title, (found.hints[number - 1], after) if after else (found.hints[number - 1],)))


_HINTS_GIVEN: dict[str, int] = {}


def solution(exercise: str | Callable) -> None:
    """Show the course's own answer to an exercise and why it is so."""
    found = _exercise(exercise if isinstance(exercise, str) else _name_of(exercise))
    source = inspect.getsource(found.reference)
    show(Card("info", f"{found.name}: one way to write it", (found.reasoning,), details=(("The code", source),)))


def _report_card(report: Report, notice: str) -> Card:
    name = report.exercise
    titles = {
        "passed": f"{name}: right",
        "failed": f"{name}: not right yet",
        "error": f"{name}: it stops with an error",
        "unattempted": f"{name}: not attempted yet",
    }
    goes_on = f"The lesson goes on with the course's `{name}`."
    after = {
        "passed": f"The lesson goes on with your own `{name}`.",
        "failed": f"{goes_on} Mend yours and run both cells again.",
        "error": f"{goes_on} Mend yours and run both cells again.",
        "unattempted": f'{goes_on} Write yours when you like; `hint("{name}")` helps.',
    }
    said = () if report.status == "unattempted" else (report.message,)
    paragraphs = tuple(text for text in (*said, after[report.status], notice) if text)
    details = (("What your code printed while it was checked", report.printed),) if report.printed else ()
    return Card(report.status, titles[report.status], paragraphs, report.picture, details)


def _strict() -> bool:
    """nbgrader sets NBGRADER_EXECUTION while it autogrades or validates; a test cell fails there by raising."""
    return os.environ.get("VIT_COURSE_STRICT") == "1" or bool(os.environ.get("NBGRADER_EXECUTION"))


def _name_of(candidate: Any) -> str:
    name = None
    with contextlib.suppress(Exception):
        name = getattr(candidate, "__name__", None)
    if isinstance(name, str) and name in exercises():
        return name
    if type(candidate).__name__ in exercises():
        return type(candidate).__name__  # an object where the class is meant: the card will say so
    shown = f"`{name}`" if isinstance(name, str) else f"a {type(candidate).__name__}"
    raise ValueError(
        f'Which exercise is {shown}? Give the name: check(…, name="patchify"). There are: {", ".join(exercises())}.'
    )


def _exercise(name: str) -> Exercise:
    found = exercises().get(name)
    if found is None:
        near = difflib.get_close_matches(str(name), exercises(), n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no exercise {name!r}.{meant} There are: {', '.join(exercises())}.")
    return found
