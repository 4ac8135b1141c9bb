"""Compare what was observed with what was expected; name the mistake, or the first difference.

`judge` is all that decides: the notebook and the grader both call it. It never runs the learner's code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from vit_course.checks.exercise import Exercise
from vit_course.checks.observers import Case, Observations

TOLERANCE = 1e-5
# Bound when this module is loaded: a learner's `torch.allclose = …` then decides nothing here.
_allclose, _isclose = torch.allclose, torch.isclose

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
    of_mistake: Callable[[Callable], list[Observations]],
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
    wrong = [i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if not agree(a, b, exercise.ignore)]
    if not wrong:
        return Report(exercise.name, "passed", f"Right on all {len(cases)} cases.", printed=printed)
    # The plainest picture comes from numbered input, so such a case goes first where one is wrong.
    first = min(wrong, key=lambda i: (not (cases[i].numbered and "output" in got[i]), i))
    raised = any("raised" in b and "raised" not in a for a, b in zip(expected, got, strict=True))
    slug = diagnose(exercise, expected, got, of_mistake)
    if slug is None:
        message = explain(exercise, cases[first], expected[first], got[first])
    else:
        message = exercise.mistakes[slug].message
    picture = exercise.picture(cases[first], expected[first], got[first]) if exercise.picture else ""
    return Report(exercise.name, "error" if raised else "failed", message, slug, picture, printed)


def agree(
    a: Observations, b: Observations, ignore: frozenset[str] = frozenset(), *, nan_equals_nan: bool = False
) -> bool:
    """Whether two observations of one case are the same, notes aside."""
    names = {name for name in a.keys() | b.keys() if not name.startswith("_")} - ignore
    return all(name in a and name in b and _equal(a[name], b[name], nan_equals_nan) for name in names)


def _equal(a: Any, b: Any, nan_equals_nan: bool) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype or a.layout != b.layout:
            return False
        return _allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=nan_equals_nan)
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (nan_equals_nan and a != a and b != b)
    return a == b


def diagnose(
    exercise: Exercise,
    expected: list[Observations],
    got: list[Observations],
    of_mistake: Callable[[Callable], list[Observations]],
) -> str | None:
    """The slug of the catalogued mistake that does what the candidate does, or None.

    Looked for in three rounds, each less strict, so that a second flaw does not hide the first: the same in everything;
    the same but for gradients and for how it raises; the same numbers wherever there are numbers, some of them wrong.
    """
    if all("raised" in one for one in got):
        return None  # nothing to recognise it by: the exception says more
    runs = []
    for slug, mistake in exercise.mistakes.items():
        for candidate in (mistake.candidate, *mistake.variants):
            runs.append((slug, of_mistake(candidate)))
            if _same_in_all(exercise, runs[-1][1], got):
                return slug
    for same in (_same_forward, _same_numbers):
        for slug, run in runs:
            if same(exercise, expected, run, got):
                return slug
    return None


Seen = list[Observations]


def _same_in_all(exercise: Exercise, mistake: Seen, got: Seen) -> bool:
    return all(agree(a, b, exercise.ignore, nan_equals_nan=True) for a, b in zip(mistake, got, strict=True))


def _same_forward(exercise: Exercise, expected: Seen, mistake: Seen, got: Seen) -> bool:
    """The same cases raise, the others agree but for gradients, and it is not only gradients that are wrong."""
    pairs = list(zip(mistake, got, strict=True))
    if any(("raised" in a) != ("raised" in b) for a, b in pairs) or all("raised" in b for b in got):
        return False
    gradients = frozenset(name for one in (*mistake, *got) for name in one if name.startswith("gradient"))
    ignore = exercise.ignore | gradients
    if all(agree(a, b, ignore) for a, b in zip(expected, got, strict=True)):
        return False
    return all("raised" in a or agree(a, b, ignore, nan_equals_nan=True) for a, b in pairs)


def _same_numbers(exercise: Exercise, expected: Seen, mistake: Seen, got: Seen) -> bool:
    """Wherever the candidate gives numbers they are the mistake's, and somewhere they are wrong."""
    informative = 0
    for right, a, b in zip(expected, mistake, got, strict=True):
        if not isinstance(b.get("output"), Tensor):
            continue
        if not isinstance(a.get("output"), Tensor) or not _same_values(a["output"], b["output"]):
            return False
        informative += not (isinstance(right.get("output"), Tensor) and _same_values(right["output"], b["output"]))
    return informative > 0


def _same_values(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.is_complex() != b.is_complex():
        return False
    return _equal(*(x if x.is_complex() else x.double() for x in (a, b)), True)


# Explaining: no mistake of the catalogue fits, so say what differs first, in the learner's terms.


def explain(exercise: Exercise, case: Case, expected: Observations, got: Observations) -> str:
    """The first difference between two observations of one case, in words."""
    name = next(
        name
        for name in ("raised", "kind", "parameters", "changed", "output", *sorted(expected | got))
        if not name.startswith("_")
        and name not in exercise.ignore
        and not ((name in expected) == (name in got) and (name not in got or _equal(expected[name], got[name], False)))
    )
    return f"Tried with {case.label}: {_difference(exercise, case, name, expected, got)}"


def _difference(exercise: Exercise, case: Case, name: str, expected: Observations, got: Observations) -> str:
    if name == "raised":
        return _raising(expected, got)
    if name == "kind":
        return _wrong_kind(expected.get("kind", ""), got)
    if name == "parameters":
        return _wrong_parameters(expected.get(name, ""), got.get(name, ""))
    if name == "changed":
        return f"your code changes what it was given ({got.get(name)}). Work on a new tensor instead of in place."
    if name == "gradients":
        return (
            "the numbers are fine, but when gradients are asked for your code stops with "
            f"`{got[name].removeprefix('raised ')}: {_first_line(got.get('_error', ''))}`."
        )
    a, b = expected.get(name), got.get(name)
    if name.startswith("gradient of"):
        which = f"the gradient of `{name.removeprefix('gradient of ')}`"
        if isinstance(b, str):
            return f"the numbers are right, but {which} is cut off: training could not reach it."
        return f"the numbers are right, but {which} is not."
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _wrong_tensor(exercise, case, name, a, b)
    return f"expected {a!r}, yours is {b!r}."


def _raising(expected: Observations, got: Observations) -> str:
    if "raised" not in got:
        result = got.get("output")
        said = f"gives back {result}" if not isinstance(result, Tensor | None) else "carries on"
        return f"a `{expected['raised']}` is asked for here, but your code {said}."
    said = f"`{got['raised']}: {_first_line(got.get('_error', ''))}`"
    where = f", in the line `{got['_line']}`" if got.get("_line") else ""
    if "raised" in expected:
        return f"a `{expected['raised']}` is asked for here, but your code raises {said}{where}."
    during = f" while {got['_during']}" if "_during" in got else ""
    return f"your code stopped{during} with {said}{where}."


def _wrong_kind(expected: str, got: Observations) -> str:
    kind, wanted = got.get("kind", ""), {"tensor": "a torch tensor", "int": "an int", "str": "a string"}
    if kind.startswith("None"):
        return "your code gives back `None`. Is a `return` missing?"
    if kind == "an object of the class":
        return "the check needs the class itself, not an object made from it: leave out the brackets behind its name."
    if "_pattern" in got:
        return f"einops refuses the pattern `{got['_pattern']}`: {_first_line(got.get('_error', ''))}"
    hint = ""
    if kind == "generator":
        hint = " Is there a `yield` in it?"
    elif kind.startswith(("list", "tuple")) and expected == "tensor":
        hint = " `torch.stack` or `torch.cat` put its elements together."
    elif kind == "type" or kind.endswith("Meta"):
        hint = " Return an object, not the class: call it."
    return f"{wanted.get(expected, 'a ' + expected)} is asked for, but your code gives back a `{kind}`.{hint}"


def _wrong_parameters(expected: str, got: str) -> str:
    a, b = set(expected.split("\n")) - {""}, set(got.split("\n")) - {""}
    parts = []
    if a - b:
        parts.append("missing: " + ", ".join(f"`{line}`" for line in sorted(a - b)))
    if b - a:
        parts.append("not asked for: " + ", ".join(f"`{line}`" for line in sorted(b - a)))
    return (
        f"the module's parameters are not those asked for; {'; '.join(parts)}. They are found by name and shape, and "
        "PyTorch sees only what is assigned to `self` in `__init__` as a module or an `nn.Parameter`."
    )


def _wrong_tensor(exercise: Exercise, case: Case, name: str, a: Tensor, b: Tensor) -> str:
    axes = exercise.axes.get(name, "").split()
    what = "the result" if name == "output" else f"`{name}`"
    if a.shape != b.shape:
        text = f"{what} should have the shape {_shape(a, axes)}; yours has {_shape(b, [])}."
        order = next(
            (p for p in itertools.permutations(range(a.ndim)) if a.ndim == b.ndim and a.permute(p).shape == b.shape),
            None,
        )
        if order is not None and len(axes) == a.ndim and len(set(a.shape)) == a.ndim:
            text += f" The axes are there, but in another order: ({', '.join(axes[i] for i in order)})."
        return text
    if a.dtype != b.dtype:
        return f"{what} should keep the dtype {_dtype(a)}; yours comes back as {_dtype(b)}."
    a, b = a.double(), b.double()
    bad = (~torch.isfinite(b)) & torch.isfinite(a)
    if bad.any():
        return f"{bad.double().mean():.0%} of the numbers in {what} are NaN or infinite."
    off = ~_isclose(b, a, rtol=TOLERANCE, atol=TOLERANCE)
    first = tuple(int(i) for i in off.nonzero()[0])
    place = ", ".join(f"{axis} {i}" for axis, i in zip(axes or ["index"] * a.ndim, first, strict=True))
    text = (
        f"the shape is right, but {off.double().mean():.0%} of the numbers in {what} are not. The first is at {place}: "
    )
    source = _numbered_input(exercise, case)
    if source is not None:
        return (
            text
            + f"it should be {_came_from(source, a[first].item())}; yours is {_came_from(source, b[first].item())}."
        )
    return text + f"expected {a[first].item():.6g}, yours is {b[first].item():.6g}."


def _numbered_input(exercise: Exercise, case: Case) -> tuple[str, Tensor, list[str]] | None:
    """(name, tensor, its axes) of the input whose numbers say where they came from."""
    if not case.numbered:
        return None
    for name, value in (case.forward or case.inputs).items():
        if isinstance(value, Tensor) and name in exercise.axes:
            return name, value, exercise.axes[name].split()
    return None


def _came_from(source: tuple[str, Tensor, list[str]], value: float) -> str:
    name, tensor, axes = source
    index = round(value)
    if abs(value - index) > 0.01 or not 0 <= index < tensor.numel():
        return f"{value:g}, which stands nowhere in `{name}`"
    place = origin(index, tensor.shape)
    return f"the number at {', '.join(f'{axis} {i}' for axis, i in zip(axes, place, strict=True))} of `{name}`"


def origin(index: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Where the number `index` stands in a numbered tensor. (`torch.unravel_index` takes seconds to import sympy.)"""
    place = []
    for size in reversed(shape):
        index, position = divmod(index, size)
        place.append(position)
    return tuple(reversed(place))


def _shape(tensor: Tensor, axes: list[str]) -> str:
    if len(axes) != tensor.ndim:
        return str(tuple(tensor.shape))
    return "(" + ", ".join(f"{axis} {size}" for axis, size in zip(axes, tensor.shape, strict=True)) + ")"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0][:300]
