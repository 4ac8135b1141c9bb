"""What to say of a wrong result that no mistake of the catalogue explains: what differs first, in plain words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vit_course.checks.comparing import AGAIN, equal
from vit_course.checks.exercise import TOLERANCE, Exercise
from vit_course.checks.observers import Case, Observations

# Numbered tensors begin here: what code makes of itself (0, 1, -1, a number twice over) is no number's place.
FIRST_NUMBER = 10_001
_isclose = torch.isclose  # bound now, as in `comparing`
ORDER = ("raised", "backbone", "kind", "parameters", "names", "changed", "output")


def explain(exercise: Exercise, case: Case, expected: Observations, got: Observations) -> str:
    """The first difference between two observations of one case, in words."""

    def late(name: str) -> tuple:
        """What is missing on one side is often missing because of another difference."""
        return name.startswith("gradient"), name.endswith(AGAIN), not (name in expected and name in got), name

    rest = sorted(expected | got, key=late)
    names = [name for name in (*ORDER, *rest) if name in expected or name in got]
    name = next(
        name
        for name in names
        if not name.startswith("_")
        and name not in exercise.ignore
        and not (
            name in expected and name in got and equal(expected[name], got[name], False, exercise.float64_tolerance)
        )
    )
    return f"Tried with {case.label}: {_difference(exercise, case, name, expected, got)}"


def _difference(exercise: Exercise, case: Case, name: str, expected: Observations, got: Observations) -> str:
    if name == "raised":
        return _raising(expected, got)
    if name == "kind":
        return _wrong_kind(exercise.name, expected.get("kind", ""), got)
    if name in ("parameters", "names"):
        return _wrong_parameters(expected.get(name, ""), got.get(name, ""), name)
    if name == "changed":
        return f"your code changes what it was given ({got.get(name)}). Work on a new tensor instead of in place."
    if "gradients" in got and name != "output":
        said = f"`{got['gradients'].removeprefix('raised ')}: {_said(got.get('_error', ''))}`"
        return f"the numbers are right, but when gradients are asked for your code stops with {said}."
    if name.endswith(AGAIN):
        return (
            "called twice on the same input, your code gives two different results. Something is kept from call to "
            "call, is random, or depends on whether gradients are asked for."
        )
    a, b = expected.get(name), got.get(name)
    if name.startswith("gradient of"):
        which = f"the gradient of `{name.removeprefix('gradient of ')}`"
        if isinstance(b, Tensor) and equal(a, b):
            return f"the numbers are right, but {which} {_digits(a, b)}"
        if isinstance(b, str) or (isinstance(b, Tensor) and not b.any()):
            return f"the numbers are right, but {which} is cut off: training could not reach it."
        return f"the numbers are right, but {which} is not."
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _wrong_tensor(exercise, case, name, a, b)
    return f"expected {name} {a!r}, yours is {b!r}."


_DTYPE = "Keep the dtype of what comes in: no `.float()`, and give new tensors `dtype=x.dtype`."
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
    "Boolean value of Tensor with more than one value": "Ask `if mask is not None` to learn whether there is one.",
    "with a bool tensor is not supported": "The opposite of a bool tensor is `~mask`.",
    "have the same dtype": _DTYPE,
    "mixed dtype (CPU)": _DTYPE,
    "is not divisible by heads=": "Do the arguments in that line stand in their order? `MultiHeadSelfAttention(dim, "
    "heads)`, `EncoderBlock(dim, heads, mlp_dim)`, `Encoder(depth, dim, heads, mlp_dim)`.",
    "for unary ~: 'NoneType'": "Without a mask there is nothing to turn round: ask `if mask is not None` first.",
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
    if expected.startswith("("):
        count = expected.count(",") + 1
        given = kind if kind.startswith("(") else f"`{kind}`"
        return f"{count} tensors are asked for, `return first, second`, but your code gives back {given}."
    if kind == "generator":
        hint = " Is there a `yield` in it?"
    elif kind.startswith(("list", "tuple")) and expected == "tensor":
        hint = " `torch.stack` or `torch.cat` put its elements together."
    elif kind == "type" or kind.endswith("Meta"):
        hint = " Return an object, not the class: call it."
    return f"{wanted.get(expected, 'a ' + expected)} is asked for, but your code gives back a `{kind}`.{hint}"


def _wrong_parameters(expected: str, got: str, of: str = "parameters") -> str:
    a, b = set(expected.split("\n")) - {""}, set(got.split("\n")) - {""}
    unset = sorted(line for line in b if ", never set" in line)
    if unset:
        name = unset[0].split(" ")[0]
        return (
            f"`{name}` begins with whatever happens to be in memory: `torch.empty` and `torch.Tensor(…)` set no "
            "numbers. Give it a start, for instance `torch.zeros(…)`."
        )
    frozen = sorted(line for line in b if line.endswith("frozen"))
    if frozen:
        name = frozen[0].split(" ")[0]
        return f"`{name}` is frozen: it asks for no gradients (`requires_grad` is False), so it would never learn."
    parts = []
    for lines, said in ((a - b, "missing"), (b - a, "not asked for")):
        if lines:
            shown = ", ".join(f"`{line}`" for line in sorted(lines)[:4])
            parts.append(f"{said}: {shown}{' and others' if len(lines) > 4 else ''}")
    whose = "the module's parameters" if of == "parameters" else "the names"
    text = f"{whose} are not those asked for; {'; '.join(parts)}."
    if a - b and of == "parameters":
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
    if a.is_floating_point() and equal(a, b):
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
