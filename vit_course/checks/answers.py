"""A learner's own answers, kept when they pass, and given back in any later lesson."""

from __future__ import annotations

import contextlib
import io
import itertools
import linecache
import sys
from collections.abc import Callable
from typing import Any

from vit_course.checks.catalogue import exercises
from vit_course.checks.definitions import definition
from vit_course.checks.evaluation import evaluate, find_exercise
from vit_course.checks.record import progress


def mine(name: str) -> Callable:
    """Your own answer to an exercise, from the lesson in which it passed; else the course's. Says which.

    It is judged again: a check may have become stricter since. Where it calls functions of earlier exercises that the
    course had lent it, it calls yours now, if they are kept.

    Args:
        name: of the exercise.

    Raises:
        ValueError: no exercise has that name.
    """
    exercise = find_exercise(name)
    space, problem, theirs = _with_own(name)
    if not space:
        reason = f"Yours does not pass its check now: {problem}" if problem else "Yours is not kept here."
        print(f"{name}: the course's. {reason}")
        return exercise.reference
    *most, last = [f"`{one}`" for one in exercises() if one in theirs] or [""]
    print(f"{name}: yours{', with your ' * bool(last)}{', '.join(most)}{' and ' * bool(most)}{last}.")
    return space[name]


def _with_own(name: str) -> tuple[dict[str, Any] | None, str, set[str]]:
    """`_kept`, with the learner's earlier answers in it, and theirs in them, down to the first lesson; and their names.

    A ViT of one's own has one's own encoder, which has one's own attention.
    """
    space, problem = _kept(name)
    theirs: set[str] = set()
    for earlier in itertools.takewhile(lambda other: other != name, exercises()) if space else ():
        if space.get(earlier) is exercises()[earlier].reference:
            own, _, used = _with_own(earlier)
            if own:
                space[earlier] = own[earlier]
                theirs |= {earlier} | used
    return space, problem, theirs


def answer_to_keep(name: str) -> tuple[str | None, str]:
    """What of the cells run until now makes the answer that has just passed.

    Returns:
        The source to keep, or None; and what the learner should know, or "".
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:  # no notebook, no cells
        return None, ""
    found = definition(name, shell.history_manager.input_hist_raw, given=exercises())
    if not found.source:
        why = "no cell defines it under this name."
    elif found.lost:
        names = ", ".join(f"`{lost}`" for lost in found.lost)
        why = f"it uses {names}, which no import, definition or assignment in a cell gives."
    else:
        _, problem = _rebuilt(name, found.source)
        if not problem:
            return found.source, ""
        why = f"taken by itself, it fails. {problem}"
    return None, f"Your `{name}` counts as passed, but cannot be kept for later lessons: {why}"


def _kept(name: str) -> tuple[dict[str, Any] | None, str]:
    """The names that a kept answer sees, itself among them, if it is right; else None, and what is wrong."""
    source = progress().entries.get(name, {}).get("answer")
    if not isinstance(source, str):
        return None, ""
    space, problem = _rebuilt(name, source)
    return (None, problem) if problem else (space, "")


def _rebuilt(name: str, source: str) -> tuple[dict[str, Any], str]:
    """What a source defines, and why the answer in it is not right, or ""."""
    place, space = f"<your {name}>", {"__name__": f"mine.{name}"}
    # So that `solution`, tracebacks and `inspect.getsource` can show it.
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, place, "exec"), space)
    except (Exception, SystemExit) as error:
        return space, f"{type(error).__name__}: {error}"
    report = evaluate(name, space.get(name))
    return space, "" if report.passed else report.message
