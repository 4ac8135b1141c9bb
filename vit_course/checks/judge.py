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

from vit_course.checks.exercise import TOLERANCE, Exercise
from vit_course.checks.observers import Case, Observations

# Numbered tensors begin here: what code makes of itself (0, 1, -1, a number twice over) is no number's place.
FIRST_NUMBER = 10_001
AGAIN = "output with gradients"  # of the second call
# Bound when this module is loaded: a learner's `torch.allclose = …` then decides nothing here.
_allclose, _isclose = torch.allclose, torch.isclose

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
    if "output" in got and "output" in expected and not _equal(right, yours):
        return 0 if case.numbered else 1
    return 2 if "raised" not in got else 3


def agree(
    a: Observations,
    b: Observations,
    ignore: frozenset[str] = frozenset(),
    *,
    nan_equals_nan: bool = False,
    float64: float = TOLERANCE,
) -> bool:
    """Whether two observations of one case are the same, notes aside. `float64`: the tolerance for that dtype."""
    names = {name for name in a.keys() | b.keys() if not name.startswith("_")} - ignore
    return all(name in a and name in b and _equal(a[name], b[name], nan_equals_nan, float64) for name in names)


def _agree(exercise: Exercise, a: Observations, b: Observations, ignore: frozenset[str] = frozenset()) -> bool:
    return agree(a, b, exercise.ignore | ignore, float64=exercise.float64_tolerance)


def _equal(a: Any, b: Any, nan_equals_nan: bool = False, float64: float = TOLERANCE) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype or a.layout != b.layout:
            return False
        tolerance = float64 if a.dtype == torch.float64 else TOLERANCE
        if not (a.is_floating_point() or a.is_complex()):
            tolerance = 0.0  # whole numbers are right or wrong
        return _allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=nan_equals_nan)
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (nan_equals_nan and a != a and b != b)
    return a == b


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
        ignore = exercise.ignore | {name for name in names if name.startswith("gradient") or name == AGAIN}
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
    if a.get("kind") != b.get("kind") or ("output" in a) != ("output" in b):
        return False
    if isinstance(a.get("output"), Tensor):
        return isinstance(b["output"], Tensor) and _same_values(a["output"], b["output"])
    return a.get("output") == b.get("output")


def _same_values(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.is_complex() != b.is_complex():
        return False
    return _equal(*(x if x.is_complex() else x.double() for x in (a, b)), nan_equals_nan=True)


# Explaining: no mistake of the catalogue fits, so say what differs first, in the learner's terms.


ORDER = ("raised", "kind", "parameters", "changed", "output", AGAIN, "gradients")


def explain(exercise: Exercise, case: Case, expected: Observations, got: Observations) -> str:
    """The first difference between two observations of one case, in words."""
    names = [name for name in (*ORDER, *sorted(expected | got)) if name in expected or name in got]
    name = next(
        name
        for name in names
        if not name.startswith("_")
        and name not in exercise.ignore
        and not (
            name in expected and name in got and _equal(expected[name], got[name], False, exercise.float64_tolerance)
        )
    )
    return f"Tried with {case.label}: {_difference(exercise, case, name, expected, got)}"


def _difference(exercise: Exercise, case: Case, name: str, expected: Observations, got: Observations) -> str:
    if name == "raised":
        return _raising(expected, got)
    if name == "kind":
        return _wrong_kind(exercise.name, expected.get("kind", ""), got)
    if name == "parameters":
        return _wrong_parameters(expected.get(name, ""), got.get(name, ""))
    if name == "changed":
        return f"your code changes what it was given ({got.get(name)}). Work on a new tensor instead of in place."
    if "gradients" in got and name != "output":
        said = f"`{got['gradients'].removeprefix('raised ')}: {_said(got.get('_error', ''))}`"
        return f"the numbers are right, but when gradients are asked for your code stops with {said}."
    if name == AGAIN:
        return (
            "called twice on the same input, your code gives two different results. Something is kept from call to "
            "call, is random, or depends on whether gradients are asked for."
        )
    a, b = expected.get(name), got.get(name)
    if name.startswith("gradient of"):
        which = f"the gradient of `{name.removeprefix('gradient of ')}`"
        if isinstance(b, Tensor) and _equal(a, b):
            return f"the numbers are right, but {which} {_digits(a, b)}"
        if isinstance(b, str) or (isinstance(b, Tensor) and not b.any()):
            return f"the numbers are right, but {which} is cut off: training could not reach it."
        return f"the numbers are right, but {which} is not."
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _wrong_tensor(exercise, case, name, a, b)
    return f"expected {name} {a!r}, yours is {b!r}."


# What an error message holds → what a learner can do. einops' own words come after the pattern.
ADVICE = {
    "before Module.__init__() call": "`__init__` has to begin with `super().__init__()`.",
    "name 'patch_size' is not defined": "Keep it in `__init__`: `self.patch_size = patch_size`.",
    "is invalid for input of size": "Is a size written into the code? Take sizes from the shape of the input.",
    "view size is not compatible": "`permute` and its like move no numbers in memory; `.reshape` can follow them, "
    "`.view` cannot.",
    "contains duplicate dimension": "In einops each side of the arrow may use a name only once. Give the second axis a "
    "name of its own.",
    "Non-unitary anonymous axes": "`rearrange` keeps every number, so a plain number cannot stand for an axis there. "
    "Name the axis and give its size, or use `reduce` if it should disappear.",
    "Could not infer sizes": "einops cannot tell how to split a bracket. Give the size of all names in it but one.",
    "Unexpected identifiers on the right side": "Split on the left of the arrow. On the right, leave out what should "
    "disappear.",
    "Shape mismatch": "einops was given a size that does not divide an axis. In `(h p)` h counts patches and p counts "
    "the pixels of one; the axis has h · p.",
    "a leaf Variable that requires grad": "Write into a parameter under `with torch.no_grad():`.",
    "cannot assign": "Wrap the tensor, `nn.Parameter(…)`, or copy into the parameter that is there: "
    "`conv.weight.copy_(…)`.",
    "mat1 and mat2 shapes cannot be multiplied": "An `nn.Linear(inputs, outputs)` wants `inputs` numbers on the last "
    "axis: P·P·C for a flat patch.",
}


def _raising(expected: Observations, got: Observations) -> str:
    if "raised" not in got:
        result = got.get("output", got.get("kind"))
        said = "carries on" if isinstance(result, Tensor) else f"gives back `{result}`"
        asked = expected["raised"]
        return f"a `{asked}` is asked for here, but your code {said}. Stop it with `raise {asked}(…)`."
    error = got.get("_error", "")
    said = f"`{got['raised']}: {_said(error)}`" if error else f"`{got['raised']}`"
    where = f", in the line `{got['_line']}`" if got.get("_line") else ""
    if "raised" in expected:
        return f"a `{expected['raised']}` is asked for here, but your code raises {said}{where}."
    during = f" while {got['_during']}" if "_during" in got else ""
    advice = next((f" {text}" for part, text in ADVICE.items() if part in error), "")
    return f"your code stopped{during} with {said}{where}.{advice}"


def _wrong_kind(name: str, expected: str, got: Observations) -> str:
    kind, wanted = got.get("kind", ""), {"tensor": "a torch tensor", "int": "an int", "str": "a string"}
    if kind.startswith("None"):
        return "your code gives back `None`. Is a `return` missing?"
    if kind == "an object of the class":
        return "the check needs the class itself, not an object made from it: leave out the brackets behind its name."
    if kind.endswith("which is no nn.Module"):
        return f"calling it gives a {kind}. Write `class {name}(nn.Module):`."
    if "_pattern" in got:
        pattern, error = got["_pattern"], _said(got.get("_error", ""))
        if "->" not in pattern:
            error = "a pattern needs one `->`: left of it the axes as they are, right of it as they should be."
        elif "without" in kind:
            error = f"it is called with `patch_x=` and `patch_y=`, and yours is {kind}."
        return f"einops refuses the pattern `{pattern}`: {error}"
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
    frozen = sorted(line for line in b if line.endswith("frozen"))
    if frozen:
        name = frozen[0].split(" ")[0]
        return f"`{name}` is frozen: it asks for no gradients (`requires_grad` is False), so it would never learn."
    parts = []
    for lines, said in ((a - b, "missing"), (b - a, "not asked for")):
        if lines:
            shown = ", ".join(f"`{line}`" for line in sorted(lines)[:4])
            parts.append(f"{said}: {shown}{' and others' if len(lines) > 4 else ''}")
    text = f"the module's parameters are not those asked for; {'; '.join(parts)}."
    if a - b:
        text += " They are found by name and shape, and PyTorch sees only what `__init__` assigns to `self` as a "
        text += "module or an `nn.Parameter`."
    return text


def _wrong_tensor(exercise: Exercise, case: Case, name: str, a: Tensor, b: Tensor) -> str:
    axes = exercise.axes.get(name, "").split()
    what = "the result" if name == "output" else f"`{name}`"
    if a.shape != b.shape:
        text = f"{what} should have the shape {_shape(a, axes)}; yours has {_shape(b, [])}."
        orders = itertools.permutations(range(a.ndim)) if a.ndim == b.ndim else ()
        order = next((one for one in orders if a.permute(one).shape == b.shape), None)
        if order is not None and len(axes) == a.ndim and len(set(a.shape)) == a.ndim:
            text += f" These are the sizes of ({', '.join(axes[i] for i in order)}): have axes changed places?"
        return text
    if a.dtype != b.dtype:
        return f"{what} should keep the dtype {_dtype(a)}; yours comes back as {_dtype(b)}."
    if a.is_floating_point() and _equal(a, b):
        return f"{what} {_digits(a, b)}"
    off = ~_isclose(b, a, rtol=TOLERANCE, atol=TOLERANCE) if a.is_floating_point() else a != b
    a, b = a.double(), b.double()
    bad = (~torch.isfinite(b)) & torch.isfinite(a)
    if bad.any():
        return f"{bad.double().mean():.0%} of the numbers in {what} are NaN or infinite."
    first = tuple(int(i) for i in off.nonzero()[0])
    place = ", ".join(f"{axis} {i}" for axis, i in zip(axes or ["index"] * a.ndim, first, strict=True))
    text = f"the shape is right, but {off.double().mean():.0%} of the numbers in {what} are not. "
    text += f"The first is at {place}: "
    right, yours = (_came_from(exercise, case, value[first].item()) for value in (a, b))
    if right and yours and right != yours:
        return f"{text}it should be {right}; yours is {yours}."
    if right and not yours:
        return f"{text}it should be {right}; yours is {b[first].item():.6g}, which stands nowhere in the input."
    return text + f"expected {a[first].item():.6g}, yours is {b[first].item():.6g}."


def _digits(a: Tensor, b: Tensor) -> str:
    """What to say of float64 numbers that are nearly right."""
    digits = round(-math.log10((a - b).abs().max() / a.abs().max()))
    return (
        f"is right to about {digits} digits, while float64 holds 16. Did it pass through float32, which holds 7? "
        "Use no `.float()`, give new tensors `dtype=x.dtype`, and add no small number that is not asked for."
    )


def _came_from(exercise: Exercise, case: Case, value: float) -> str:
    """Where in a numbered input a number stands, in words; "" if nowhere."""
    inputs = case.forward or case.inputs
    name = next((name for name, one in inputs.items() if isinstance(one, Tensor) and name in exercise.axes), "")
    place = origin(value, inputs[name].shape) if case.numbered and name else None
    if place is None:
        return ""
    named = zip(exercise.axes[name].split(), place, strict=True)
    return f"the number at {', '.join(f'{axis} {i}' for axis, i in named)} of `{name}`"


def origin(number: float, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Where `number` stands in a numbered tensor, None if nowhere. (`torch.unravel_index` takes seconds to import.)"""
    if not (math.isfinite(number) and number == int(number) and 0 <= number - FIRST_NUMBER < math.prod(shape)):
        return None
    index, place = int(number) - FIRST_NUMBER, []
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


def _said(text: str) -> str:
    """An error's first line and, where there are more, its last: einops gives the reason there."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " … ".join(line[:300] for line in (lines[:1] + lines[-1:] if len(lines) > 1 else lines))
