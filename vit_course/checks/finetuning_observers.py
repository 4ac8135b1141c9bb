"""What is observed of code that changes a trained model in place: its head, and which parameters learn (lesson 09).

The model is built here, from sizes alone, with the names of the course's `ViT`: a grading worker loads this module
beside the other observers and nothing else of the course.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit_course.checks.conditions import Printed
from vit_course.checks.observers import Case, Observations, _guarded, _identical, _kind, _plain

# Bound now: a candidate that patches torch changes nothing here.
_Linear, _cross_entropy, _grad = nn.Linear, F.cross_entropy, torch.autograd.grad


class _Part(nn.Module):
    """A holder of parts by name."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class _Embedding(_Part):
    def __init__(self, patch_size: int, channels: int, dim: int) -> None:
        super().__init__(projection=nn.Linear(patch_size**2 * channels, dim))
        self.patch_size = patch_size

    def forward(self, images: Tensor) -> Tensor:
        batch, p = len(images), self.patch_size
        cut = images.unfold(2, p, p).unfold(3, p, p)  # (B, C, h, w, P, P)
        return self.projection(cut.permute(0, 2, 3, 4, 5, 1).reshape(batch, -1, self.projection.in_features))


class _Positions(nn.Module):
    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, tokens, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.positions


class _Attention(_Part):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__(qkv=nn.Linear(dim, 3 * dim), out=nn.Linear(dim, dim))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _FeedForward(_Part):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(fc1=nn.Linear(dim, hidden), fc2=nn.Linear(hidden, dim), dropout=nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class _Block(_Part):
    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        norms = {name: nn.LayerNorm(dim, eps=1e-6) for name in ("norm1", "norm2")}
        super().__init__(
            norm1=norms["norm1"],
            attention=_Attention(dim, heads),
            norm2=norms["norm2"],
            mlp=_FeedForward(dim, hidden),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Encoder(_Part):
    def __init__(self, depth: int, dim: int, heads: int, hidden: int) -> None:
        super().__init__(
            blocks=nn.ModuleList(_Block(dim, heads, hidden) for _ in range(depth)), norm=nn.LayerNorm(dim, eps=1e-6)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class SmallViT(nn.Module):
    """A ViT with the attributes, and the parameters in the order, of the course's; every parameter is random."""

    def __init__(self, *, side: int, patch_size: int, classes: int, dim: int, depth: int, heads: int, hidden: int):
        super().__init__()
        self.image_size, self.pool, self.classification = (side, side), "cls", True
        self.embedding = _Embedding(patch_size, 3, dim)
        self.positions = _Positions(1 + (side // patch_size) ** 2, dim)
        self.encoder = _Encoder(depth, dim, heads, hidden)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.head = nn.Linear(dim, classes)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape) / max(1, parameter[0].numel()) ** 0.5)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embedding(images)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.head(self.encoder(self.positions(tokens))[:, 0])


def _built(case: Case) -> SmallViT:
    """The model of a case: its sizes, what of it is frozen already, its mode."""
    model = SmallViT(**case.inputs["sizes"]).train(case.train)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(tuple(case.inputs["frozen"])))
    return model


def _returned(result: object, model: nn.Module, printed: Printed) -> str:
    if result is model:
        return "model"
    if isinstance(result, SmallViT):
        return "copy of the model"
    if isinstance(result, _Linear):
        return "Linear"
    return _kind(result, printed)


def _listed(model: nn.Module) -> str:
    """The parameters by name and shape, and which ask for no gradients."""
    return "\n".join(
        f"{name} {tuple(value.shape)}{'' if value.requires_grad else ', without gradients'}"
        for name, value in sorted(model.named_parameters())
    )


def _learning(model: nn.Module) -> str:
    """What asks for gradients: whole parts of the model, or single parameters."""
    parts: dict[str, dict[str, bool]] = {}
    for name, value in sorted(model.named_parameters()):
        parts.setdefault(name.partition(".")[0], {})[name] = value.requires_grad
    said = []
    for part, names in parts.items():
        said += [f"all of {part}"] if all(names.values()) else [name for name, asks in names.items() if asks]
    return ", ".join(said) or "nothing"


def _overridden(model: nn.Module) -> str:
    """Methods that were replaced on the model or on a part of it: what they say of themselves counts for nothing."""
    return ", ".join(
        f"{part}.{name}".lstrip(".")
        for part, module in nn.Module.named_modules(model)
        for name in vars(module)
        if callable(getattr(type(module), name, None))
    )


def swap_head(candidate: Callable[[nn.Module, int], nn.Module], case: Case) -> Observations:
    """Observe `replace_head`: what it returns, the new head, what it computes and learns, and what else has changed."""
    printed = Printed()

    def run() -> Observations:
        model = _built(case)
        before = {name: (value, value.detach().clone()) for name, value in model.named_parameters()}
        result = candidate(model, case.inputs["num_classes"])
        after = dict(model.named_parameters())
        seen: Observations = {"kind": _returned(result, model, printed), "names": _listed(model)}
        seen["overridden"] = _overridden(model)
        seen["changed"] = "\n".join(
            name
            for name, (parameter, value) in before.items()
            if not name.startswith("head.")
            and (after.get(name) is not parameter or not _identical(parameter.detach(), value))
        )
        head = getattr(model, "head", None)
        seen["head"] = _said_of(head)
        if not isinstance(head, nn.Module):
            return seen
        used = _guarded(lambda: _used(model, head, case), Printed())
        if "raised" in used:  # names and sizes say why
            used = {"running": f"stops with {used['raised']}", "_error": used["_error"]}
        return seen | used

    return _guarded(run, printed)


def _used(model: nn.Module, head: nn.Module, case: Case) -> Observations:
    """What the model with its new head computes, which gradients reach the head, and what the head reads."""
    model.eval()  # dropout is no matter of the head
    images, labels = case.forward["images"].clone(), case.forward["labels"].clone()
    logits = model(images)
    seen: Observations = {"running": "works", "output": _plain(logits)}
    named = dict(head.named_parameters())
    learning = {name: value for name, value in named.items() if value.requires_grad}
    if logits.ndim == 2 and logits.shape[1] > int(labels.max()):
        seen |= {f"gradient of head.{name}": "cut off" for name in named}
        if learning and logits.requires_grad:
            loss = _cross_entropy(logits, labels)
            gradients = _grad(loss, list(learning.values()), allow_unused=True)
            for name, gradient in zip(learning, gradients, strict=True):
                seen[f"gradient of head.{name}"] = "cut off" if gradient is None else _plain(gradient)
    with torch.no_grad():
        for value in named.values():  # what the head reads shows once its weights are no zeros
            value.copy_(torch.linspace(-1, 1, value.numel()).reshape(value.shape))
        seen["output with other weights"] = _plain(model(images))
    return seen


def _said_of(head: object) -> str:
    if not isinstance(head, _Linear):
        return type(head).__name__
    bias = "" if head.bias is not None else ", without a bias"
    return f"Linear from {head.in_features} to {head.out_features}{bias}"


def freeze(candidate: Callable[[nn.Module], nn.Module], case: Case) -> Observations:
    """Observe `freeze_backbone`: what it returns, which parameters then ask for gradients, and what has changed."""
    printed = Printed()

    def run() -> Observations:
        model = _built(case)
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        learned, training = _learning(model), model.training
        result = candidate(model)
        seen: Observations = {"kind": _returned(result, model, printed), "what learns": _learning(model)}
        seen["overridden"] = _overridden(model)
        if learned == seen["what learns"] != "all of head" and model.training != training:
            seen["what learns"] += ", only the mode has changed"
        after = dict(model.named_parameters())
        seen["changed"] = "\n".join(
            name for name, value in before.items() if name not in after or not _identical(after[name].detach(), value)
        )
        logits = model.eval()(case.forward["images"].clone())
        seen["output"] = _plain(logits)
        seen["the head can learn"] = bool(logits.requires_grad)
        return seen

    return _guarded(run, printed)
