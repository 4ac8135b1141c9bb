"""What an exercise is: what to observe, a reference, and a catalogue of plausible mistakes (design, section 2)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vit_course.checks.conditions import standard_state
from vit_course.checks.observers import Case, Observations, call

NOTEBOOK_SEED = 0
TOLERANCE, EXACT = 1e-5, 1e-9  # relative and absolute


@dataclass(frozen=True)
class Mistake:
    """Wrong code that people write, and what to tell them.

    Attributes:
        candidate: the wrong code, runnable.
        message: what went wrong, in the learner's terms.
        variants: further code with the same mistake (another fixed size, say), recognised by the same name.
    """

    candidate: Callable
    message: str
    variants: tuple[Callable, ...] = ()


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson.

    Attributes:
        name: of the function or class the learner writes.
        lesson: "01".
        points: what a grader gives for it.
        reference: the course's own function or class.
        cases: a seed → the cases to try; another seed gives other sizes and numbers.
        mistakes: slug → `Mistake`.
        axes: the names of the axes of each tensor argument and of "output", for messages.
        hints: from a nudge to nearly all of it.
        reasoning: why the reference is as it is, shown with it.
        observe: what runs beside the candidate.
        derive: for random results: turns raw observations into the properties that are compared.
        ignore: observations that are not compared, such as a gradient that is always about zero.
        exact: the code only moves, weighs or adds up what it is given, so that float64 is held to `EXACT` instead of
            `TOLERANCE`. Not where a table, a distance or a schedule is computed: right code may differ more there.
        picture: draws expected beside yours: (case, expected, yours) → HTML, or "" where there is nothing to draw.
    """

    name: str
    lesson: str
    points: int
    reference: Callable
    cases: Callable[[int], list[Case]]
    mistakes: Mapping[str, Mistake]
    axes: Mapping[str, str]
    hints: tuple[str, ...]
    reasoning: str
    observe: Callable[[Callable, Case], Observations] = call
    derive: Callable[[Case, Observations], Observations] | None = None
    ignore: frozenset[str] = field(default_factory=frozenset)
    exact: bool = False
    picture: Callable[[Case, Observations, Observations], str] | None = None

    def observations(self, candidate: Callable, cases: list[Case]) -> list[Observations]:
        """What `candidate` does on each case."""
        return list(Observed(self, candidate, cases))

    def derived(self, cases: list[Case], raw: list[Observations]) -> list[Observations]:
        """Raw observations, wherever they were made, as they are compared."""
        if self.derive is None:
            return raw
        return [one if "raised" in one else self.derive(case, one) for case, one in zip(cases, raw, strict=True)]

    def drawn(self, seed: int) -> list[Case]:
        """The cases for a seed, the same whatever default dtype or device the notebook has set."""
        with standard_state():
            return self.cases(seed)

    def expected_on(self, cases: list[Case]) -> list[Observations]:
        """What the reference does.

        Raises:
            RuntimeError: it raises something else than the ValueError an exercise may ask for. Two failures alike
                must never count as agreement.
        """
        seen = self.observations(self.reference, cases)
        for case, one in zip(cases, seen, strict=True):
            if one.get("raised", "ValueError") != "ValueError":
                raise RuntimeError(
                    f"The course's own `{self.name}` fails here, so nothing can be compared with it "
                    f"({case.label}: {one['raised']}: {one.get('_error', '')}). Has something in this session put "
                    "its own function in the place of one of PyTorch's or einops'? Restart the kernel and run the "
                    "cells again."
                )
        return seen

    @property
    def float64_tolerance(self) -> float:
        return EXACT if self.exact else TOLERANCE

    @functools.cached_property
    def notebook_cases(self) -> list[Case]:
        return self.drawn(NOTEBOOK_SEED)

    @functools.cached_property
    def expected(self) -> list[Observations]:
        """What the reference does on the cases of the notebook."""
        return self.expected_on(self.notebook_cases)


class Observed(Sequence):
    """What a candidate does on each case, observed when it is first asked for.

    Most mistakes of a catalogue differ from a learner's code on the first case; the others need not be run.
    """

    def __init__(self, exercise: Exercise, candidate: Callable, cases: list[Case]) -> None:
        self._exercise, self._candidate, self._cases = exercise, candidate, cases
        self._seen: dict[int, Observations] = {}

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[Observations]:
        return (self[index] for index in range(len(self)))  # `Sequence` would end at any IndexError of an observer

    def __getitem__(self, index: int) -> Observations:
        if index not in self._seen:
            case = self._cases[index]
            raw = self._exercise.observe(self._candidate, case)
            self._seen[index] = self._exercise.derived([case], [raw])[0]
        return self._seen[index]


def universal_mistakes(
    reference: Callable,
    *,
    gradients: bool = True,
    dtypes: bool = True,
    layouts: bool = True,
    tensors: bool = True,
    tuples: bool = False,
) -> dict[str, Mistake]:
    """The mistakes that fit every exercise, made by wrapping the reference.

    Args:
        reference: a function, or a class whose `forward` is wrapped.
        gradients: the cases ask for gradients.
        dtypes: the cases ask for another dtype than float32.
        layouts: the cases hand over non-contiguous tensors.
        tensors: the result is a tensor and so are arguments.
        tuples: a tuple of tensors is asked for.
    """
    fits = {"": True, "gradients": gradients, "dtypes": dtypes, "layouts": layouts, "tensors": tensors}
    fits["one"] = not tuples
    mistakes = {}
    for slug, (needs, ways, message) in _UNIVERSAL.items():
        if fits[needs]:
            ways = ways if tensors else ways[:1]  # where numbers are asked for, a pair of them is a mistake of its own
            if isinstance(reference, type):  # its parameters keep their dtype, so that a cast of the input alone raises
                ways = tuple(way for way in ways if way is not _in_float32)
            first, *others = [_wrap(reference, way) for way in ways]
            mistakes[slug] = Mistake(first, message, variants=tuple(others))
    return mistakes


def _each(result: Any, change: Callable[[Tensor], Any]) -> Any:
    return tuple(map(change, result)) if isinstance(result, tuple) else change(result)


def _without_gradients(run: Callable, *arguments: Any) -> Any:
    with torch.no_grad():
        return run(*arguments)


def _changing_input(run: Callable, *arguments: Any) -> Any:
    result = run(*[a.clone() if isinstance(a, Tensor) else a for a in arguments])
    for argument in arguments:
        if isinstance(argument, Tensor):
            argument.add_(1)
    return result


def _viewing(run: Callable, *arguments: Any) -> Any:
    return run(*[a.view(-1).view(a.shape) if isinstance(a, Tensor) else a for a in arguments])


def _in_float32(run: Callable, *arguments: Any) -> Any:
    return run(*[a.float() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments])


def _narrow(value: Any) -> Any:
    """float64 cut to what float32 holds, in float64 again. Others stay as they are."""
    return value.float().double() if isinstance(value, Tensor) and value.dtype == torch.float64 else value


def _nothing(_: Any) -> None:
    return None


# By slug: what an exercise must ask for, or "" if the mistake fits all; ways to make it; what to say of it.
_UNIVERSAL: dict[str, tuple[str, tuple[Callable, ...], str]] = {
    "returns-none": (
        "",
        (lambda run, *arguments: _nothing(run(*arguments)),),
        "Your code runs, but gives back `None`. The result is computed and then lost: end with `return …`.",
    ),
    "prints-instead": (
        "",
        (lambda run, *arguments: print(run(*arguments)),),
        "Your code prints something and gives back `None`. Printing only shows; end with `return …`.",
    ),
    "returns-tuple": (
        "one",
        (lambda run, *arguments: (run(*arguments),), lambda run, *arguments: (run(*arguments), None)),
        "Your code gives back a tuple. Return the one result alone; look for a comma in the `return` line.",
    ),
    "returns-numpy": (
        "tensors",
        (lambda run, *arguments: _each(run(*arguments), lambda result: result.detach().numpy()),),
        "Your code gives back a numpy array. Stay with torch tensors from beginning to end: numpy cuts the "
        "gradient off and knows no GPU.",
    ),
    "changes-input": (
        "tensors",
        (_changing_input,),
        "The result is right, but your code also changes what it was given. Whoever called it still needs the "
        "original. Avoid in-place operations on arguments: `x = x + 1` instead of `x += 1`.",
    ),
    "detaches": (
        "gradients",
        (
            lambda run, *arguments: _each(run(*arguments), torch.Tensor.detach),
            _without_gradients,
            # The graver of two losses is named.
            lambda run, *arguments: _each(run(*arguments), lambda result: result.detach().float()),
        ),
        "The numbers are right, but no gradient flows back through them, so nothing before this could ever learn. "
        "Look for `.detach()`, `.data`, `torch.no_grad()`, `torch.tensor(…)` or a detour through numpy.",
    ),
    "loses-dtype": (
        "dtypes",
        (lambda run, *arguments: _each(run(*arguments), torch.Tensor.float), _in_float32),
        "The numbers are right, but always come back as float32, whatever dtype went in. Keep the dtype of the "
        "input: no `.float()`, and give new tensors `dtype=x.dtype`.",
    ),
    "detours-through-float32": (
        "dtypes",
        (
            lambda run, *arguments: _each(run(*arguments), _narrow),
            lambda run, *arguments: run(*map(_narrow, arguments)),
        ),
        "The result has the right dtype, but on the way it was float32, which keeps 7 digits of float64's 16. Stay "
        "with the dtype of the input from beginning to end: no `.float()`, and give new tensors `dtype=x.dtype`.",
    ),
    "needs-contiguous": (
        "layouts",
        (_viewing,),
        "Your code works until it meets a tensor that is not contiguous in memory (a transposed or sliced one). "
        "`.view` cannot handle those; `.reshape` or `rearrange` can.",
    ),
}


def _wrap(reference: Callable, around: Callable) -> Callable:
    if isinstance(reference, type) and issubclass(reference, nn.Module):

        class Wrapped(reference):
            def forward(self, *arguments: Any) -> Any:
                return around(super().forward, *arguments)

        Wrapped.__name__ = Wrapped.__qualname__ = reference.__name__
        return Wrapped

    @functools.wraps(reference)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        return around(functools.partial(reference, **named), *arguments)

    return wrapped
