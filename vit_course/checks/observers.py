"""What is observed of a learner's code: all that runs beside it.

An observer calls a candidate on one `Case` and returns `Observations`: named tensors, numbers and words. It holds no
reference and knows no mistakes, so that a grading worker can load this module and nothing else of the course.

Names that begin with an underscore are notes for a message (what was printed, where an error arose). They are never
compared.
"""

from __future__ import annotations

import dis
import traceback
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from vit_course.checks.conditions import MAX_PRINTED, Printed, printable, standard_state

Observations = dict[str, Any]
COURSE = str(Path(__file__).resolve().parents[1])
_equal = torch.equal  # bound now: a candidate that patches torch changes nothing here


@dataclass(frozen=True)
class Case:
    """One thing to try a candidate on. Plain data: tensors, numbers, words.

    Attributes:
        label: the case in words, for messages: "2 images of 8 × 12 pixels, patch size 4".
        inputs: the arguments of the function, or of the class, in order.
        keyword: arguments go by name (where the signature has `*`).
        forward: for a class, what the module is then called with.
        state: for a class, the value of every parameter by name.
        train: for a class, train or eval mode.
        numbered: the input tensors count up, so that each number says where it came from.
        strided: the tensors are handed over in a memory order that is not theirs (non-contiguous).
        returns: the names of the results, in order, where several tensors are asked for; else there is one, "output".
        gradients: they are asked for. Not where right code may differ in them: float32, through many layers.
        at_first: for a class, its parameters are observed as they are made, and it is not called.
    """

    label: str
    inputs: Mapping[str, Any]
    keyword: bool = False
    forward: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)
    train: bool = True
    numbered: bool = False
    strided: bool = False
    returns: tuple[str, ...] = ()
    gradients: bool = True
    at_first: bool = False


def strided(tensor: Tensor) -> Tensor:
    """The same tensor with its axes in the opposite order in memory, so that it is not contiguous."""
    backwards = tuple(reversed(range(tensor.ndim)))
    return tensor.permute(backwards).clone(memory_format=torch.contiguous_format).permute(backwards)


def call(candidate: Callable, case: Case) -> Observations:
    """Observe a function: what it returns, whether it changes its arguments, and its gradients."""

    def run(inputs: Mapping[str, Any]) -> Any:
        return candidate(**inputs) if case.keyword else candidate(*inputs.values())

    return _observe(run, case.inputs, case)


def call_with_lists(candidate: Callable, case: Case) -> Observations:
    """Observe a function of lists: a case holds a list of tensors as one tensor, and a list of numbers as a tuple.

    A list that comes back longer, shorter or in another order counts as changed, as a tensor with other numbers does.
    """
    changed: set[str] = set()

    def run(inputs: Mapping[str, Any]) -> Any:
        lists = {name: [*value] for name, value in inputs.items()}
        given = {name: [*value] for name, value in lists.items()}
        result = candidate(*lists.values())
        changed.update(name for name in lists if [*map(id, lists[name])] != [*map(id, given[name])])
        return result

    seen = _observe(run, case.inputs, case)
    if changed and "changed" in seen:
        seen["changed"] = ", ".join(sorted(changed | set(filter(None, seen["changed"].split(", ")))))
    return seen


def build_and_call(candidate: Callable[..., nn.Module], case: Case) -> Observations:
    """Observe a class: its parameters, then, with the case's values copied into them, what the module computes."""
    seen: Observations = {}
    printed = Printed()
    modules: list[nn.Module] = []

    def build() -> Observations:
        if isinstance(candidate, nn.Module):
            return {"kind": "an object of the class"}
        module = candidate(**case.inputs) if case.keyword else candidate(*case.inputs.values())
        if not isinstance(module, nn.Module):
            return {"kind": f"`{type_name(module)}`, which is no nn.Module"}
        modules.append(module)
        parameters = _parameters(module, case.state)
        first = {f"{name} at first": _plain(value) for name, value in parameters.items() if case.at_first}
        shapes = {name: tuple(value.shape) for name, value in parameters.items()}
        listed = [f"{name} {shape}{_flaws(parameters[name])}" for name, shape in sorted(shapes.items())]
        module.to(next((t.dtype for t in case.state.values()), torch.float32)).train(case.train)
        with torch.no_grad():
            for name, parameter in parameters.items():
                value = case.state.get(name)
                if value is None or shapes[name] != tuple(value.shape):
                    value = _filling(name, parameter)
                parameter.copy_(value)
        return {"parameters": "\n".join(listed)} | first

    seen |= _guarded(build, printed)
    if not modules:
        return seen | {"_during": "creating it"}
    if case.at_first:
        return seen
    # `module.to` may have put new tensors in place of the old ones, so they are read again.
    seen |= _observe(lambda inputs: modules[0](*inputs.values()), case.forward, case, modules[0])
    return seen


def _flaws(parameter: nn.Parameter) -> str:
    """Memory that nobody has written to holds NaN under the standard conditions."""
    never_set = parameter.is_floating_point() and bool(parameter.isnan().any())
    return ", never set" * never_set + ", frozen" * (not parameter.requires_grad)


def _filling(name: str, parameter: Tensor) -> Tensor:
    """Numbers for a parameter that the case knows nothing of: the same for a mistake and for who makes it."""
    if not parameter.is_floating_point():
        return parameter
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {tuple(parameter.shape)}".encode()))
    numbers = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return numbers / parameter.shape[-1] ** 0.5 if parameter.ndim > 1 else numbers


def _parameters(module: nn.Module, asked_for: Mapping[str, Tensor]) -> dict[str, nn.Parameter]:
    """Parameters by name. One that has several names goes by the one asked for, else by its first."""
    named = dict(module.named_parameters(remove_duplicate=False))
    chosen = {name: named[name] for name in asked_for if name in named}
    seen = {id(value) for value in chosen.values()}
    for name, value in named.items():
        if id(value) not in seen:
            chosen[name] = value
            seen.add(id(value))
    return chosen


def build_conv(candidate: Callable[..., nn.Conv2d], case: Case) -> Observations:
    """Observe `linear_to_conv`: what the convolution it returns computes, and whether the Linear stays as it was."""
    printed = Printed()

    def run() -> Observations:
        weight, bias = case.state["weight"], case.state["bias"]
        projection = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            projection.weight.copy_(weight)
            projection.bias.copy_(bias)
        conv = candidate(projection, *case.inputs.values())
        seen: Observations = {"kind": "Conv2d" if isinstance(conv, nn.Conv2d) else _kind(conv, printed)}
        if isinstance(conv, nn.Conv2d):
            with torch.no_grad():
                seen["output"] = _plain(conv(case.forward["images"].clone()))
        elif isinstance(conv, Tensor):
            seen["output"] = _plain(conv)

        def same() -> bool:
            return _equal(projection.weight, weight) and _equal(projection.bias, bias)

        seen |= {"changed": "" if same() else "projection", "the Linear is trainable": _trainable(projection)}
        if isinstance(conv, nn.Conv2d):
            seen["the convolution is trainable"] = _trainable(conv)
            before = same()
            with torch.no_grad():
                for parameter in (conv.weight, conv.bias):
                    if isinstance(parameter, Tensor) and not parameter.is_inference():
                        parameter.data.add_(1)  # as a step of training would
            seen["has weights of its own"] = same() == before
        return seen

    return _guarded(run, printed)


def convert_state(candidate: Callable[[dict[str, Tensor]], Mapping[str, Tensor]], case: Case) -> Observations:
    """Observe `convert_torchvision_weights`: the names and tensors it returns, and whether the given ones changed."""
    printed = Printed()

    def run() -> Observations:
        given = OrderedDict((name, value.clone()) for name, value in case.state.items())
        converted = candidate(given)
        same = list(given) == list(case.state) and all(_identical(given[name], case.state[name]) for name in given)
        seen: Observations = {"kind": _kind(converted, printed), "changed": "" if same else "state_dict"}
        if not isinstance(converted, Mapping):
            return seen
        found = {name: value for name, value in converted.items() if isinstance(name, str)}
        others = {
            type_name(value) if isinstance(name, str) else f"{type_name(name)} as a name"
            for name, value in converted.items()
            if not isinstance(name, str) or type(value) not in (Tensor, nn.Parameter)
        }
        # Names with a point in them, and CLS, can be taken for nothing else that is observed.
        places = [name for name in found if "." in name.strip("._") or name == "cls_token"]
        seen |= {name: _plain(found[name]) for name in places if type(found[name]) in (Tensor, nn.Parameter)}
        kind = f"dict with {', '.join(sorted(others)[:4])}" if others else "dict"
        return seen | {"kind": kind, "names": "\n".join(sorted(found))}

    return _guarded(run, printed)


def _trainable(layer: nn.Linear | nn.Conv2d) -> bool:
    parts = [part for part in (layer.weight, layer.bias) if part is not None]
    return all(isinstance(part, nn.Parameter) and part.requires_grad and not part.is_inference() for part in parts)


def use_pattern(candidate: Callable[[], str], case: Case) -> Observations:
    """Observe `corrected_pattern`: what einops makes of the pattern it returns."""
    printed = Printed()

    def run() -> Observations:
        pattern = candidate()
        if not isinstance(pattern, str):
            return {"kind": _kind(pattern, printed)}
        sides = {"patch_x": case.inputs["patch_size"], "patch_y": case.inputs["patch_size"]}
        try:
            output = rearrange(case.inputs["images"].clone(), pattern, **sides)
        except Exception as error:  # EinopsError is not exported under one name in all versions
            missing = [side for side in sides if side not in pattern]
            kind = "a pattern that einops refuses"
            if missing and "->" in pattern:
                kind = f"a pattern without {' and '.join(f'`{side}`' for side in missing)}"
            return {"kind": kind, "_error": str(error), "_pattern": printable(pattern)}
        return {"kind": "str", "output": output, "_pattern": printable(pattern)}

    return _guarded(run, printed)


def _observe(
    run: Callable[[Mapping[str, Any]], Any], inputs: Mapping[str, Any], case: Case, module: nn.Module | None = None
) -> Observations:
    """Call twice: once without gradients, as when a trained model is used, and once with gradients asked for."""
    printed = Printed()
    tensors = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}

    def fresh() -> dict[str, Any]:
        lay_out = strided if case.strided else torch.clone
        return {name: lay_out(value) if isinstance(value, Tensor) else value for name, value in inputs.items()}

    def plain_call() -> Observations:
        arguments = fresh()
        given = dict(arguments)
        with torch.no_grad():
            result = run(arguments)
        changed = [name for name in tensors if not _identical(given[name], tensors[name])]
        parts = _parts(result, case)
        kinds = {name: _kind(part, printed) for name, part in parts.items()}
        kind = kinds["output"] if [*parts] == ["output"] else f"({', '.join(kinds.values())})"
        plain = {name: _plain(part) for name, part in parts.items() if kinds[name] in ("tensor", "int", "float", "str")}
        return {"kind": kind, "changed": ", ".join(changed)} | plain

    def gradient_call() -> Observations:
        leaves = {name: value.clone().requires_grad_() for name, value in tensors.items() if value.is_floating_point()}
        arguments = fresh()
        for name, leaf in leaves.items():
            # Not the leaf itself: autograd forbids to change a leaf in place, and `changed` has judged that already.
            arguments[name] = strided(leaf) if case.strided else leaf.clone()
        if module is not None:
            parameters = _parameters(module, case.state)
            leaves |= {name: value for name, value in parameters.items() if value.requires_grad}
        seen: Observations = {}
        for name, part in _parts(run(arguments), case).items():
            seen |= _gradients(name, part, leaves)
        return seen

    seen = _guarded(plain_call, printed, seed=1)
    if (
        case.gradients
        and "tensor" in seen.get("kind", "")
        and any(value.is_floating_point() for value in tensors.values())
    ):
        gradients = _guarded(gradient_call, Printed(), seed=2)
        if "raised" in gradients:
            gradients = {"gradients": f"raised {gradients['raised']}", "_error": gradients["_error"]}
        seen |= gradients
    return seen


def _parts(result: Any, case: Case) -> dict[str, Any]:
    """The results by name."""
    if case.returns and isinstance(result, tuple | list) and len(result) == len(case.returns):
        return dict(zip(case.returns, result, strict=True))
    return {"output": result}


def _gradients(part: str, result: Any, leaves: Mapping[str, Tensor]) -> Observations:
    """Of one result: what it is when gradients are asked for, and the gradient of each leaf through it."""
    if type(result) not in (Tensor, nn.Parameter):
        return {f"{part} with gradients": _kind(result, Printed())}
    seen: Observations = {f"{part} with gradients": _plain(result)}
    if not result.is_floating_point():
        return seen
    through = "" if part == "output" else f" through {part}"
    names = [f"gradient of {name}{through}" for name in leaves]
    if not result.requires_grad:
        return seen | dict.fromkeys(names, "cut off")
    # A plain sum would hide mistakes: after a LayerNorm its gradient is zero.
    direction = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=result.dtype)
    loss = (result * direction).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True, allow_unused=True)
    return seen | {
        name: torch.zeros_like(leaf) if gradient is None else _plain(gradient)
        for name, leaf, gradient in zip(names, leaves.values(), gradients, strict=True)
    }


def _guarded(observe: Callable[[], Observations], printed: Printed, seed: int = 0) -> Observations:
    """Run an observation; an exception becomes one too. Only KeyboardInterrupt passes.

    Each step of a case has a seed of its own: a layer made anew at each call then gets new random weights.
    """
    try:
        with standard_state(printed, seed):
            seen = observe()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and what test runners raise are no Exception
        try:
            seen = _describe(error)
        except KeyboardInterrupt:
            raise
        except BaseException:  # an exception can be written so that even looking at it raises
            seen = {"raised": type_name(error), "_error": "(its message cannot be printed)"}
    if printed.text:
        seen["_printed"] = printed.text
    return seen


def _describe(error: BaseException) -> Observations:
    """An exception as words: its type, what it says and the line of the learner's code it came from."""
    # A subclass of ValueError is as good as ValueError where one is asked for.
    name = "ValueError" if isinstance(error, ValueError) else type_name(error)
    seen: Observations = {"raised": name, "_error": printable(str(error))[:1000]}
    entries = traceback.extract_tb(error.__traceback__)
    own = [entry for entry in entries if not _is_library(entry.filename)]
    if own:
        seen["_line"] = own[-1].line or ""
    if isinstance(error, NotImplementedError) and own and own[-1] is entries[-1] and _ends_in_raise(error):
        # Raised by the learner's own code: an untouched stub. torch raises it too, for what it cannot do.
        seen["_stub"] = True
    return seen


def _ends_in_raise(error: BaseException) -> bool:
    """Whether a `raise` statement in Python raised it. Functions written in C leave no frame of their own."""
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    return dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == "RAISE_VARARGS"


def _is_library(filename: str) -> bool:
    """Not the learner's own: installed packages, the course, Python itself."""
    parts = ("site-packages", "dist-packages", COURSE, "<frozen")
    return any(part in filename for part in parts)


def type_name(thing: Any) -> str:
    return type.__dict__["__name__"].__get__(type(thing))  # a metaclass may have its own idea of `__name__`


def _kind(result: Any, printed: Printed) -> str:
    """What sort of thing a candidate returned, in a word."""
    if result is None:
        return "None after printing" if printed.text.strip() else "None"
    if type(result) in (Tensor, nn.Parameter):  # not isinstance: a subclass may override what `==` means
        return "tensor"
    for kind, types in (("bool", bool), ("int", Integral), ("float", Real), ("str", str)):
        if isinstance(result, types):
            return kind
    if isinstance(result, tuple | list):
        return f"{type_name(result)} of {len(result)}"
    name = type_name(result)
    return f"object called {name}" if name in ("tensor", "bool", "int", "float", "str") else name


def _plain(result: Any) -> Any:
    """A value that shares nothing with the learner's code."""
    if isinstance(result, Tensor):
        return torch.Tensor.detach(result).to("cpu", copy=True)
    if isinstance(result, str):
        return str.__str__(result)[:MAX_PRINTED]
    if isinstance(result, bool):
        return result
    return int(result) if isinstance(result, Integral) else float(result)


def _identical(after: Tensor, before: Tensor) -> bool:
    return after.shape == before.shape and after.dtype == before.dtype and _equal(after, before)
