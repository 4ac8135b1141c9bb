"""The verdict on observations that came from the worker. Students' code never runs in this process.

Cases are drawn afresh for each run, from its seed. What is expected, and what the catalogue's mistakes do, is observed
here; from the worker comes data, and the course's one judge compares.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from vit_course.authoring import SOLUTIONS
from vit_course.checks.conditions import standard_state
from vit_course.checks.evaluation import find_exercise
from vit_course.checks.exercise import NOTEBOOK_SEED, Observed
from vit_course.checks.judge import Report, judge
from vit_course.checks.observers import Observations
from vit_course.grading import wire
from vit_course.grading.extract import extract, likeness
from vit_course.grading.lending import lent_names, lent_sources, withheld_names
from vit_course.grading.notebooks import read_cells

MOST_NAMES = 20_000
_WORDS = ("kind", "raised", "parameters", "names", "changed", "gradients")


class Paper:
    """An exercise with the cases of one seed: the task for the worker, and the verdict on what comes back.

    Args:
        name: of the exercise.
        seed: of its cases.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.exercise = find_exercise(name)
        self.cases = self.exercise.drawn(seed)
        self._of_mistakes: dict[Callable, Observed] = {}

    @functools.cached_property
    def task(self) -> bytes:
        """What the worker needs to observe an answer; nothing in it says what is right."""
        name, observe = self.exercise.name, self.exercise.observe
        return wire.pack(
            {
                "exercise": name,
                "observer": [observe.__module__, observe.__qualname__],
                "cases": self.cases,
                "sources": lent_sources(name),
                "lent": lent_names(name),
                "withheld": withheld_names(name),
            }
        )

    @functools.cached_property
    def _expected(self) -> list[Observations]:
        with standard_state():
            return self.exercise.expected_on(self.cases)

    def verdict(self, seen: Any) -> Report:
        """The report on what is said to be observations. Never raises (KeyboardInterrupt passes)."""
        expected, name = self._expected, self.exercise.name
        try:
            if not _are_observations(seen) or len(seen) != len(self.cases):
                raise ValueError("these are no observations")
            with standard_state():
                got = self.exercise.derived(self.cases, seen)
                return judge(self.exercise, self.cases, expected, got, self._mistake)
        except Exception as error:  # whatever somebody has made up
            said = f"{type(error).__name__}: {error}"[:300]
            return Report(name, "error", f"The result cannot be compared ({said}). Give back an ordinary value.")

    def _mistake(self, candidate: Callable) -> Observed:
        """Observed once in a run, and case by case."""
        return self._of_mistakes.setdefault(candidate, Observed(self.exercise, candidate, self.cases))


def fresh_seed(name: str, seed: int) -> int:
    """A seed for the cases of an exercise; never the notebook's."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return NOTEBOOK_SEED + 1 + int.from_bytes(digest[:4], "big")


@functools.cache
def published_likenesses(name: str) -> frozenset[str]:
    """The fingerprints of the course's own answers: what `solution` prints and, in a clone, that of the solutions."""
    exercise = find_exercise(name)
    reference = exercise.reference
    found = {likeness(reference.__name__, inspect.getsource(inspect.getmodule(reference)))}
    for notebook in SOLUTIONS.glob(f"{exercise.lesson}_*.ipynb"):
        cells = read_cells(notebook.read_bytes(), notebook.name).code
        found.add(extract(cells, {name: ()})[name].get("likeness", ""))
    return frozenset(found - {""})


def _are_observations(seen: Any) -> bool:
    """Whether this has the form of what observers return."""
    return isinstance(seen, list) and all(
        isinstance(one, dict)
        and len(one) <= MOST_NAMES
        and all(isinstance(name, str) and _is_value(name, value) for name, value in one.items())
        for one in seen
    )


def _is_value(name: str, value: Any) -> bool:
    if name == "_stub":
        return value is True
    if name in _WORDS or name.startswith("_"):
        return isinstance(value, str)
    if isinstance(value, list | tuple):
        return all(_is_value("", one) for one in value)
    return value is None or isinstance(value, bool | int | float | str | Tensor)
