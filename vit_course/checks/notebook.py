"""What a learner calls: `check`, `hint`, `solution`."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable
from typing import Any

from vit_course.checks.answers import answer_to_keep
from vit_course.checks.cards import Card, show
from vit_course.checks.catalogue import exercises
from vit_course.checks.evaluation import evaluate, find_exercise
from vit_course.checks.judge import Report
from vit_course.checks.record import record


class CheckFailed(Exception):
    """Raised in strict mode by a check that does not pass; its text is the card."""


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
    exercise = find_exercise(name or _name_of(candidate))
    if candidate is exercise.reference:
        report = Report(
            exercise.name, "unattempted", f"This is the course's own `{exercise.name}`, from the last check."
        )
        card = Card("unattempted", f"{exercise.name}: run your definition again", (
            f"{report.message} Run the cell with your definition, then this one.",))  # fmt: skip
    else:
        report = evaluate(exercise.name, candidate)
        notice = _recorded(report) if report.status != "unattempted" else ""
        card = _report_card(report, notice)
    show(card)
    if not report.passed and _strict():
        raise CheckFailed(repr(card))
    return candidate if report.passed else exercise.reference


def _recorded(report: Report) -> str:
    """Note an attempt, and keep the answer that passed. Returns what the learner should know of it, or ""."""
    answer, unkept = answer_to_keep(report.exercise) if report.passed else (None, "")
    return " ".join(text for text in (record(report.exercise, report.passed, answer), unkept) if text)


def hint(exercise: str | Callable) -> None:
    """Show the next hint for an exercise; each call goes one further."""
    found = find_exercise(exercise if isinstance(exercise, str) else _name_of(exercise))
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
    found = find_exercise(exercise if isinstance(exercise, str) else _name_of(exercise))
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
