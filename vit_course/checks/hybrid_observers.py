"""What is observed of a module that is handed another one: the backbone of a `HybridEmbedding` (lesson 11).

A case says in plain data which small network to build. It is built here, with the case's weights, and handed in: a
grading worker loads this module beside the other observers and nothing else of the course.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from vit_course.checks.observers import Case, Observations, _identical, build_and_call, strided


class _OtherMemoryOrder(nn.Module):
    """The same feature map, not contiguous in memory, as networks leave it that permute inside."""

    def forward(self, features: Tensor) -> Tensor:
        return strided(features)


_LAYERS = {
    "conv": nn.Conv2d,  # inputs, outputs, kernel, stride, padding
    "norm": nn.BatchNorm2d,
    "relu": nn.ReLU,
    "other memory order": _OtherMemoryOrder,
}


def network(layers: Sequence[tuple]) -> nn.Module:
    """The small network that a case describes, a tuple for each layer: its name and its arguments."""
    built = [_LAYERS[name](*arguments) for name, *arguments in layers]
    return built[0] if len(built) == 1 else nn.Sequential(*built)


def build_on_backbone(candidate: Callable[..., nn.Module], case: Case) -> Observations:
    """Observe a class whose first argument is a network: what it keeps of it, then all that `build_and_call` observes.

    Where the network that was handed in is not the module's `backbone`, nothing is called: its weights have no place.
    """
    if isinstance(candidate, nn.Module):
        return build_and_call(candidate, case)
    kept: list[str] = []

    def build(layers: Sequence[tuple], *sizes: int) -> Any:
        handed = network(layers)
        before = {name: value.clone() for name, value in handed.state_dict().items()}
        module = candidate(handed, *sizes)
        if isinstance(module, nn.Module):
            kept.append(_kept(module, handed))
            after = handed.state_dict()
            same = after.keys() == before.keys() and all(_identical(after[name], before[name]) for name in before)
            kept.append("as they were" if same else "changed")
        return module

    seen = build_and_call(build, case)
    if not kept:
        return seen
    if kept[0] != _RIGHT:
        return {"backbone": kept[0], "parameters": f"not looked at: {kept[0]}"}  # so that one flaw is not another
    return {"backbone": kept[0], "the backbone's numbers": kept[1]} | seen


_RIGHT = "what was handed in"


def _kept(module: nn.Module, handed: nn.Module) -> str:
    """What stands under the name `backbone`, in words."""
    backbone = getattr(module, "backbone", None)
    if backbone is handed:
        return _RIGHT if module._modules.get("backbone") is handed else "where PyTorch does not look"
    if isinstance(backbone, nn.Module):
        if any(part is handed for part in backbone.modules()):
            return "a module with it inside"
        return "a copy of it" if _alike(backbone, handed) else "another network"
    if backbone is not None:
        return "where PyTorch does not look"
    if any(part is handed for part in module.modules()):
        return "nothing; it has another name"
    return "nothing"


def _alike(one: nn.Module, other: nn.Module) -> bool:
    """Of one class, with the same numbers: one made anew has others."""
    values = [dict(net.named_parameters()) for net in (one, other)]
    if type(one) is not type(other) or values[0].keys() != values[1].keys():
        return False
    lazy = any(map(nn.parameter.is_lazy, values[0].values()))
    return not lazy and all(_identical(value, values[1][name]) for name, value in values[0].items())
