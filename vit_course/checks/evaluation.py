"""Judging an answer without displaying anything: for the notebook, for tests and for tools."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from vit_course.checks.catalogue import exercises
from vit_course.checks.conditions import standard_state
from vit_course.checks.exercise import Exercise, Observed
from vit_course.checks.judge import Report, judge
from vit_course.checks.observers import type_name


def evaluate(name: str, candidate: Any) -> Report:
    """Judge `candidate` as an answer to the exercise `name`, without displaying anything.

    Never raises, whatever the candidate does (KeyboardInterrupt passes), and leaves random states, grad mode, default
    dtype and default device as they were. Nor does it depend on them: what ran before decides nothing.

    Raises:
        ValueError: no exercise has that name.
    """
    exercise = find_exercise(name)
    if not callable(candidate):
        given = "None" if candidate is None else f"a `{type_name(candidate)}`"
        message = f"The check needs `{name}` itself, to try it out, but was given {given}."
        return Report(name, "failed", f"{message} Write `check({name})`, without calling it.")
    with standard_state():
        try:
            cases, expected = exercise.notebook_cases, exercise.expected  # before the candidate can touch anything
        except Exception as error:  # what the notebook has done to torch or einops is beyond our conditions
            return Report(name, "error", str(error))
        try:
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


def find_exercise(name: str) -> Exercise:
    """The exercise of that name.

    Raises:
        ValueError: there is none; the message says which there are.
    """
    found = exercises().get(name)
    if found is None:
        near = difflib.get_close_matches(str(name), exercises(), n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no exercise {name!r}.{meant} There are: {', '.join(exercises())}.")
    return found
