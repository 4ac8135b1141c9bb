"""Lesson 06: LayerNorm, the feed-forward network, the encoder block and the encoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit_course.attention import MultiHeadSelfAttention
from vit_course.checks.catalogue.cases import Draw, describe_tokens, random_state, shapes_of
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case, Observations, build_and_call
from vit_course.encoder import LAYER_NORM_EPS, Encoder, EncoderBlock, FeedForward, layer_norm

# -- layer_norm


def _norm_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 60)
    cases = []

    def add(note: str, x: Tensor, eps: float | None = None, **options: bool) -> None:
        dim = x.shape[-1]
        inputs = {"x": x, "weight": draw.normal(dim, dtype=x.dtype), "bias": draw.normal(dim, dtype=x.dtype)}
        said = f"{note}x of shape {tuple(x.shape)}, {str(x.dtype).removeprefix('torch.')}"
        if eps is not None:
            inputs["eps"], said = eps, f"{said}, eps {eps:g}"
        cases.append(Case(said, inputs, **options))

    def shape() -> list[int]:
        return draw.sizes(batch=(2, 3, 5), tokens=range(4, 10), dim=range(4, 10))

    dims = draw.sizes(first=(2, 3), second=(4, 5), third=(6, 7), fourth=range(8, 12))
    add("", 2 + draw.spread(*shape()))
    add("", 3 * draw.spread(1, *shape()[1:]) - 1)
    add("", draw.spread(dims[3]))
    add("", draw.spread(*dims[2:]))
    add("", draw.spread(*dims))
    add("", draw.spread(6, 6, 6))
    # As small as this, eps decides. In float64: gradients are a thousand times the numbers, and right code differs there.
    add("small numbers, ", 1e-3 * draw.normal(*shape(), dtype=torch.float64))
    add("small numbers, ", 1e-3 * draw.normal(*shape(), dtype=torch.float64))
    add("small numbers, ", 0.01 * draw.normal(*shape(), dtype=torch.float64), 1e-5)
    add("", draw.spread(*shape()), 0.1)
    add("equal numbers, ", torch.full((2, dims[2], 4), 0.5, dtype=torch.float64))
    add("", draw.normal(*shape(), dtype=torch.float64))
    add("not contiguous in memory, ", draw.spread(*shape()), strided=True)
    return cases


def _statistics(x: Tensor, dim: int | tuple[int, ...] = -1) -> tuple[Tensor, Tensor]:
    return x.mean(dim, keepdim=True), x.var(dim, keepdim=True, correction=0)


def _normed(
    normal: Callable[[Tensor, Tensor, Tensor, float], Tensor],
    scale: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda z, weight, bias: z * weight + bias,
    dim: Any = -1,
) -> Callable:
    """A layer_norm: `normal(x, mean, variance, eps)`, then `scale(z, weight, bias)`, with statistics over `dim`."""

    def run(x: Tensor, weight: Tensor, bias: Tensor, eps: float = LAYER_NORM_EPS) -> Tensor:
        axes = dim(x) if callable(dim) else dim
        return scale(normal(x, *_statistics(x, axes), eps), weight, bias)

    return run


def _z(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (x - mean) / (variance + eps).sqrt()


def _unbiased(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (x - mean) / (x.var(-1, keepdim=True) + eps).sqrt()


def _std_plus_eps(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (x - mean) / (x.std(-1, keepdim=True) + eps)


def _eps_outside(x: Tensor, mean: Tensor, variance: Tensor, eps: float) -> Tensor:
    return (x - mean) / (variance.sqrt() + eps)


def _fixed_eps(fixed: float) -> Callable:
    return lambda x, weight, bias, eps=1e-6: layer_norm(x, weight, bias, fixed)


def _without_keepdim(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    return (x - x.mean(-1)) / (x.var(-1, correction=0) + eps).sqrt() * weight + bias


def _frozen_statistics(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    mean, variance = _statistics(x.detach())
    return _z(x, mean, variance, eps) * weight + bias


_OVER_TOKENS = (
    "The mean runs over the tokens, so that each number of a token depends on the other tokens. LayerNorm looks at one "
    "token at a time: `dim=-1`."
)

LAYER_NORM = Exercise(
    name="layer_norm",
    lesson="06",
    points=1,
    reference=layer_norm,
    exact=True,
    cases=_norm_cases,
    axes={"x": "image token feature", "output": "image token feature"},
    hints=(
        "Mean and variance belong to one token: take both over the last axis, and keep that axis (`keepdim=True`), so that "
        "they can be subtracted from and divided into the D numbers.",
        "The variance is the mean of the squared distances from the mean. Add eps to it, take the root, divide.",
        "`mean = x.mean(-1, keepdim=True)`; `variance = ((x - mean) ** 2).mean(-1, keepdim=True)`; then "
        "`(x - mean) / (variance + eps).sqrt() * weight + bias`.",
    ),
    reasoning="One token at a time: mean 0, variance 1, then a learned scale and shift for each feature. eps stands inside "
    "the root, and the variance divides by D, as in `nn.LayerNorm`; weights from elsewhere expect both.",
    mistakes={
        "unbiased-variance": Mistake(
            _normed(_unbiased),
            "Your variance divides by D - 1, as `x.var` does when it is not told otherwise. LayerNorm divides by D: "
            "`x.var(dim=-1, keepdim=True, correction=0)`, or the mean of the squared distances.",
            (_normed(lambda x, mean, variance, eps: (x - mean) / (x.std(-1, keepdim=True) ** 2 + eps).sqrt()),),
        ),
        "std-plus-eps": Mistake(
            _normed(_std_plus_eps),
            "You divide by `x.std(…) + eps`. That is two things at once: eps belongs inside the root, "
            "`(variance + eps).sqrt()`, and `x.std` divides by D - 1 where LayerNorm divides by D.",
            (_normed(lambda x, mean, variance, eps: (x - mean) / x.std(-1, keepdim=True)),),
        ),
        "eps-outside-the-root": Mistake(
            _normed(_eps_outside),
            "eps is added after the root. It belongs inside, to the variance: `(variance + eps).sqrt()`. On ordinary "
            "numbers the two look alike; on small ones they do not.",
        ),
        "eps-forgotten": Mistake(
            _normed(lambda x, mean, variance, eps: (x - mean) / variance.sqrt()),
            "eps is missing. A token whose numbers are all equal has variance 0, and 0 / 0 is NaN: "
            "`(variance + eps).sqrt()`.",
        ),
        "eps-squared": Mistake(
            _normed(lambda x, mean, variance, eps: (x - mean) / (variance + eps**2).sqrt()),
            "You add eps². It is eps itself that is added to the variance.",
        ),
        "eps-1e-5": Mistake(
            _fixed_eps(1e-5),
            "Your code always uses eps = 1e-5, PyTorch's default. Use the argument `eps`; in a ViT it is 1e-6.",
        ),
        "eps-default": Mistake(
            lambda x, weight, bias, eps=1e-5: layer_norm(x, weight, bias, eps),
            "Where no eps is given your code takes 1e-5, PyTorch's default. In a ViT it is 1e-6: leave the signature as it was.",
        ),
        "eps-as-a-floor": Mistake(
            _normed(lambda x, mean, variance, eps: (x - mean) / variance.clamp(min=eps).sqrt()),
            "eps is used as the least variance. It is added to the variance, always: `(variance + eps).sqrt()`.",
        ),
        "eps-fixed": Mistake(
            _fixed_eps(1e-6),
            "Your code always uses eps = 1e-6. Use the argument `eps`: it may be given.",
            tuple(_fixed_eps(fixed) for fixed in (1e-8, 1e-12)),
        ),
        "over-tokens": Mistake(
            _normed(_z, dim=lambda x: -2 if x.ndim > 1 else -1),
            _OVER_TOKENS,
            (_normed(_z, dim=lambda x: 1 if x.ndim > 1 else -1), _normed(_z, dim=-2)),
        ),
        "over-batch": Mistake(
            _normed(_z, dim=0),
            "The mean runs over the first axis, the images of the batch: that is batch normalisation. LayerNorm looks at "
            "one token at a time: `dim=-1`.",
        ),
        "over-tokens-and-features": Mistake(
            _normed(_z, dim=lambda x: tuple(range(1, x.ndim)) if x.ndim > 1 else -1),
            "The mean runs over all numbers of an image. LayerNorm looks at one token at a time: `dim=-1`.",
            (_normed(_z, dim=lambda x: (-2, -1) if x.ndim > 1 else -1),),
        ),
        "over-everything": Mistake(
            _normed(_z, dim=lambda x: tuple(range(x.ndim))),
            "One mean and one variance for the whole tensor. Each token has its own: `dim=-1, keepdim=True`.",
        ),
        "keepdim-forgotten": Mistake(
            _without_keepdim,
            "The mean of each token lost its axis, so that it meets the wrong numbers, or none at all. Keep the axis: "
            "`x.mean(dim=-1, keepdim=True)`, and the same for the variance.",
        ),
        "no-weight": Mistake(
            _normed(_z, lambda z, weight, bias: z + bias),
            "The weight is not used. After dividing, each feature is multiplied by its weight: `… * weight + bias`.",
        ),
        "no-bias": Mistake(
            _normed(_z, lambda z, weight, bias: z * weight),
            "The bias is not used: `… * weight + bias`.",
        ),
        "no-weight-and-bias": Mistake(
            _normed(_z, lambda z, weight, bias: z),
            "Mean 0 and variance 1 are there, but weight and bias are not used: `… * weight + bias`.",
        ),
        "weight-and-bias-swapped": Mistake(
            _normed(_z, lambda z, weight, bias: z * bias + weight),
            "Weight and bias have changed places: multiply by `weight`, add `bias`.",
        ),
        "bias-before-weight": Mistake(
            _normed(_z, lambda z, weight, bias: (z + bias) * weight),
            "The bias is added before the weight multiplies. First `* weight`, then `+ bias`.",
        ),
        "one-plus-weight": Mistake(
            _normed(_z, lambda z, weight, bias: z * (1 + weight) + bias),
            "You multiply by 1 + weight. Some models do; here it is the weight itself, which begins at 1.",
        ),
        "weight-first": Mistake(
            lambda x, weight, bias, eps=1e-6: _z(x * weight + bias, *_statistics(x * weight + bias), eps),
            "Weight and bias come before the normalising, which undoes part of their work. They come last.",
        ),
        "mean-not-subtracted": Mistake(
            _normed(lambda x, mean, variance, eps: x / (variance + eps).sqrt()),
            "The mean is not taken away. First `x - mean`, then divide.",
        ),
        "rms-norm": Mistake(
            _normed(lambda x, mean, variance, eps: x / ((x**2).mean(-1, keepdim=True) + eps).sqrt()),
            "You divide by the root of the mean square, without taking the mean away. That is RMSNorm, which many language "
            "models use; LayerNorm first subtracts the mean.",
            (_normed(lambda x, mean, variance, eps: (x - mean) / ((x**2).mean(-1, keepdim=True) + eps).sqrt()),),
        ),
        "mean-only": Mistake(
            _normed(lambda x, mean, variance, eps: x - mean),
            "The mean is taken away, but nothing is divided by the spread.",
        ),
        "root-forgotten": Mistake(
            _normed(lambda x, mean, variance, eps: (x - mean) / (variance + eps)),
            "You divide by the variance. Divide by its root, the standard deviation.",
        ),
        "multiplied": Mistake(
            _normed(lambda x, mean, variance, eps: (x - mean) * (variance + eps).sqrt()),
            "You multiply by the standard deviation. Divide by it.",
        ),
        "sum-of-squares": Mistake(
            _normed(lambda x, mean, variance, eps: (x - mean) / (variance * x.shape[-1] + eps).sqrt()),
            "You divide by the root of the *sum* of the squared distances. The variance is their mean.",
            (_normed(lambda x, mean, variance, eps: F.normalize(x - mean, dim=-1)),),
        ),
        "unit-length": Mistake(
            _normed(lambda x, mean, variance, eps: F.normalize(x, dim=-1)),
            "You bring each token to length 1. Asked for is mean 0 and variance 1.",
        ),
        "mean-absolute": Mistake(
            _normed(lambda x, mean, variance, eps: (x - mean) / ((x - mean).abs().mean(-1, keepdim=True) + eps)),
            "You divide by the mean distance from the mean. LayerNorm squares the distances, takes their mean, then the "
            "root.",
        ),
        "softmax": Mistake(
            _normed(lambda x, mean, variance, eps: x.softmax(-1)),
            "A softmax makes numbers that add up to 1. Asked for is mean 0 and variance 1.",
        ),
        "statistics-detached": Mistake(
            _frozen_statistics,
            "The numbers are right, but mean and variance are cut off from the gradient. They depend on x, too: no "
            "`.detach()`, no `torch.no_grad()`.",
        ),
        **universal_mistakes(layer_norm),
    },
)


# -- dropout: random, so that not its numbers are compared but what they are made of


def _share(share: float, p: float) -> str:
    """A share, where it is one of those that dropout can give; of ten thousand numbers it lies within 0.03 of that."""
    named = {0.0: "none", p: "the share asked for", 1 - p: "the share that should be kept", 1.0: "all"}
    return next((text for value, text in named.items() if abs(share - value) < 0.03), "another share")


def _close(a: Tensor, b: Tensor | float) -> Tensor:
    # Wide enough for another eps: that is no matter of dropout.
    return (a - b).abs() < 2e-5 * (1 + a.abs())


def _dropped(y: Tensor, active: Tensor, bias: Tensor, p: float) -> dict[str, str]:
    """What dropout did on the way to y = drop(drop(active) + bias): how often, and how what is kept is scaled.

    Of each number one sees whether it was dropped at the end (0), in the middle (the bias alone is left), or never.
    """
    scales = {"divided by the share kept": 1 / (1 - p), "left as it is": 1.0, "divided by the share dropped": 1 / p}
    scales["multiplied by the share kept"] = 1 - p
    zero = _close(y, 0)
    best: tuple[float, str, str, Tensor, Tensor] = (-1, "", "", zero, zero)
    for outer, b in scales.items():
        for inner, a in scales.items():
            middle, whole = ~zero & _close(y, b * bias), ~zero & _close(y, b * (a * active + bias))
            explained = (zero | middle | whole).double().mean().item()
            if explained > best[0] + 1e-6:
                best = (explained, outer, inner, middle, whole)
    explained, outer, inner, middle, whole = best
    left = (~zero).double().mean().item()
    visible = active.abs() > 0.01  # elsewhere one cannot see whether a number was dropped in the middle
    inside = (middle & visible).sum().item() / max(1, ((middle | whole) & visible).sum().item())
    at_end = 1 - left
    known = explained > 0.995
    alone = (_close(y, bias / (1 - p)) & visible).sum().item() / max(1, (~zero & visible).sum().item())
    return {
        "dropped after fc2": _share(at_end, p),
        "what is kept after fc2": outer if known else "is something else",
        "dropped after the GELU": _share(inside if known else alone, p),
        "what is kept after the GELU": "cannot be told" if not known else inner if middle.any() else "-",
    }


def _one_by_one(dropped: Tensor, visible: Tensor) -> bool:
    """Whether what is dropped does not come in whole rows, columns or images, as far as it can be seen."""
    for axis, size in enumerate(dropped.shape):
        one, other = (dropped.narrow(axis, start, size - 1) for start in (0, 1))
        seen = visible.narrow(axis, 0, size - 1) & visible.narrow(axis, 1, size - 1)
        if dropped.any() and seen.any() and (one == other)[seen].double().mean() > 0.99:
            return False
    return True


def _properties(seen: Observations, look: Callable[[Tensor], dict[str, Any]]) -> Observations:
    """Observations of a random module: what `look` finds in the results of both calls, in place of the numbers."""
    kept = {name: seen[name] for name in seen if name.startswith("_") or name in ("kind", "parameters", "changed")}
    for name in ("output", "output with gradients"):
        if not isinstance(seen.get(name), Tensor):
            kept[name] = str(seen.get(name))
            continue
        found = look(seen[name])
        suffix = "" if name == "output" else " (when gradients are asked for)"
        kept |= {f"{what}{suffix}": value for what, value in found.items()}
    return kept


# -- FeedForward


_DIMS, _HIDDEN = (6, 7, 9, 10), (12, 13, 17, 19)


def _mlp_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 61)
    cases = []

    def add(
        batch: int,
        tokens: int,
        *,
        p: float | None = None,
        dtype: torch.dtype = torch.float32,
        note: str = "",
        **options,
    ) -> None:
        dim, hidden, _, _ = draw.sizes(dim=_DIMS, hidden=_HIDDEN, batch=(batch,), tokens=(tokens,))
        x = draw.normal(batch, tokens, dim, dtype=dtype)
        inputs = {"dim": dim, "hidden_dim": hidden} | ({} if p is None else {"dropout": p})
        said = f"{note}{describe_tokens(x)}, hidden_dim {hidden}"
        said += "" if p is None else f", dropout {p:g}, {'training' if options.get('train', True) else 'eval'}"
        state = random_state(draw, shapes_of(FeedForward, dim, hidden), dtype)
        cases.append(Case(said, inputs, forward={"x": x}, state=state, **options))

    add(2, 5)
    add(1, 8, train=False)
    add(3, 4, dtype=torch.float64)
    add(5, 3, p=0.0, dtype=torch.float64)
    add(4, 8, note="not contiguous in memory, ", strided=True)
    add(2, 5, p=0.4, dtype=torch.float64, train=False)
    # A middle that is not wider.
    x = 2 * draw.normal(3, 4, 11)
    shapes = shapes_of(FeedForward, 11, 5)
    state = random_state(draw, shapes, x.dtype)
    cases.append(
        Case(f"{describe_tokens(x)}, hidden_dim 5", {"dim": 11, "hidden_dim": 5}, forward={"x": x}, state=state)
    )
    return cases + [_dropping_mlp(draw, p) for p in (0.2, 0.6)]


def _dropping_mlp(draw: Draw, p: float) -> Case:
    """Dropout in force. fc2 passes the first D numbers of the middle on, so that both dropouts show in the result."""
    dim, hidden = draw.sizes(dim=_DIMS, hidden=_HIDDEN)
    x = draw.normal(5, 1200, dim, dtype=torch.float64)
    state = random_state(draw, shapes_of(FeedForward, dim, hidden), torch.float64)
    state["fc2.weight"] = torch.eye(hidden, dtype=torch.float64)[:dim]
    state["fc2.bias"] = 3 + draw.normal(dim, dtype=torch.float64).abs()
    return Case(
        f"{describe_tokens(x)}, hidden_dim {hidden}, dropout {p:g}, training",
        {"dim": dim, "hidden_dim": hidden, "dropout": p},
        forward={"x": x},
        state=state,
    )


def _random(case: Case) -> bool:
    return case.train and case.inputs.get("dropout", 0) > 0


def _mlp_properties(case: Case, seen: Observations) -> Observations:
    if not _random(case):
        return seen
    state, p = case.state, case.inputs["dropout"]
    inner = F.linear(case.forward["x"], state["fc1.weight"], state["fc1.bias"])[..., : case.inputs["dim"]]
    active, bias = F.gelu(inner), state["fc2.bias"]

    def masks(y: Tensor) -> tuple[Tensor, Tensor]:
        """What was dropped at the end, and what in the middle."""
        return _close(y, 0), _close(y, bias / (1 - p))

    def look(y: Tensor) -> dict[str, Any]:
        if y.shape != active.shape or y.dtype != active.dtype:
            return {"shape and dtype": f"{tuple(y.shape)}, {y.dtype}"}
        last, middle = masks(y)
        alone = _one_by_one(last, torch.ones_like(last)) and _one_by_one(middle, ~last)
        enlarged = _dropped(y, F.gelu(inner / (1 - p)), bias, p)["what is kept after the GELU"]
        found = {"numbers are dropped one by one": alone, "dropped before the GELU": enlarged == "left as it is"}
        return _dropped(y, active, bias, p) | found

    found = _properties(seen, look)
    first, second = seen.get("output"), seen.get("output with gradients")
    if isinstance(first, Tensor) and isinstance(second, Tensor) and first.shape == second.shape == active.shape:
        (last, middle), (last_again, middle_again) = masks(first), masks(second)
        both = ~last & ~last_again
        found["each call drops others after fc2"] = not last.any() or not torch.equal(last, last_again)
        found["each call drops others after the GELU"] = not middle.any() or not torch.equal(
            middle & both, middle_again & both
        )
    return found


def _mlp(forward: Callable[[nn.Module, Tensor], Tensor], build: Callable | None = None) -> type[nn.Module]:
    """A FeedForward with another forward and, where given, other parts: `build(module, dim, hidden_dim)`."""

    class Other(nn.Module):
        def __init__(self, dim: int, hidden_dim: int, dropout: float = 0.0) -> None:
            super().__init__()
            self.p = dropout
            (build or _two_layers)(self, dim, hidden_dim)

        def forward(self, x: Tensor) -> Tensor:
            return forward(self, x)

    return Other


def _two_layers(module: nn.Module, dim: int, hidden: int, bias: bool = True) -> None:
    module.fc1, module.fc2 = nn.Linear(dim, hidden, bias=bias), nn.Linear(hidden, dim, bias=bias)


def _drop(module: nn.Module, x: Tensor) -> Tensor:
    return F.dropout(x, module.p, module.training)


def _with_activation(activation: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    return _mlp(lambda module, x: _drop(module, module.fc2(_drop(module, activation(module.fc1(x))))))


def _unscaled(module: nn.Module, x: Tensor) -> Tensor:
    """Dropout that leaves what it keeps as it is."""
    return x * (torch.rand_like(x) >= module.p) if module.training else x


def _unscaled_then_in_eval(module: nn.Module, x: Tensor) -> Tensor:
    return x * (torch.rand_like(x) >= module.p) if module.training else x * (1 - module.p)


def _dropping(first: Callable, second: Callable) -> type[nn.Module]:
    """A FeedForward with these two dropouts: `first(module, x)` after the GELU, `second` after fc2."""
    return _mlp(lambda module, x: second(module, module.fc2(first(module, F.gelu(module.fc1(x))))))


def _none(module: nn.Module, x: Tensor) -> Tensor:
    return x


def _always(module: nn.Module, x: Tensor) -> Tensor:
    return F.dropout(x, module.p)


def _fixed_dropout(p: float) -> type[nn.Module]:
    def drop(module: nn.Module, x: Tensor) -> Tensor:
        return F.dropout(x, p, module.training)

    return _dropping(drop, drop)


def _keeping(module: nn.Module, x: Tensor) -> Tensor:
    return F.dropout(x, 1 - module.p if module.p else 0.0, module.training)


def _keeping_plain(module: nn.Module, x: Tensor) -> Tensor:
    return F.dropout(x, 1 - module.p, module.training)


def _same_mask(module: nn.Module, x: Tensor) -> Tensor:
    if not module.training or not module.p:
        return x
    mask = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) >= module.p
    return x * mask / (1 - module.p)


def _whole_tokens(module: nn.Module, x: Tensor) -> Tensor:
    return F.dropout1d(x, module.p, module.training)


def _whole_features(module: nn.Module, x: Tensor) -> Tensor:
    return F.dropout1d(x.transpose(1, 2), module.p, module.training).transpose(1, 2)


def _sequential(module: nn.Module, dim: int, hidden: int) -> None:
    layers = nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(module.p), nn.Linear(hidden, dim), nn.Dropout(module.p)
    module.net = nn.Sequential(*layers)


def _called_mlp(first: str, second: str) -> type[nn.Module]:
    def build(module: nn.Module, dim: int, hidden: int) -> None:
        setattr(module, first, nn.Linear(dim, hidden))
        setattr(module, second, nn.Linear(hidden, dim))

    def forward(module: nn.Module, x: Tensor) -> Tensor:
        x = _drop(module, F.gelu(getattr(module, first)(x)))
        return _drop(module, getattr(module, second)(x))

    return _mlp(forward, build)


def _with_norm(module: nn.Module, dim: int, hidden: int) -> None:
    _two_layers(module, dim, hidden)
    module.norm = nn.LayerNorm(dim, eps=1e-6)


def _in_a_list(module: nn.Module, dim: int, hidden: int) -> None:
    module.layers = [nn.Linear(dim, hidden), nn.Linear(hidden, dim)]


def _swapped(module: nn.Module, dim: int, hidden: int) -> None:
    module.fc1, module.fc2 = nn.Linear(hidden, dim), nn.Linear(dim, hidden)


def _fixed_width(module: nn.Module, dim: int, hidden: int) -> None:
    _two_layers(module, dim, 4 * dim)


def _right_mlp(module: nn.Module, x: Tensor) -> Tensor:
    return _drop(module, module.fc2(_drop(module, F.gelu(module.fc1(x)))))


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


_TANH = (
    "Your GELU is the tanh approximation. It differs in the fourth digit or so, enough to give other numbers with weights "
    "from elsewhere. The exact one is `F.gelu(x)`, without `approximate`."
)

FEED_FORWARD = Exercise(
    name="FeedForward",
    lesson="06",
    points=2,
    reference=FeedForward,
    exact=True,
    cases=_mlp_cases,
    observe=build_and_call,
    derive=_mlp_properties,
    axes={"x": "image token feature", "output": "image token feature"},
    hints=(
        "Two `nn.Linear`: dim → hidden_dim, and back. Between them the GELU, and dropout in two places.",
        "One `nn.Dropout(dropout)` can serve both places: it draws anew at each call. As a module it knows whether the "
        "model is training.",
        "`self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))` is the whole of `forward`.",
    ),
    reasoning="The same two layers for every token. Without the GELU the two would be one matrix. Nothing follows the second "
    "layer but dropout: its output is added to the token, and an activation would let it only add, or mostly.",
    mistakes={
        "gelu-tanh": Mistake(
            _with_activation(lambda x: F.gelu(x, approximate="tanh")), _TANH, (_with_activation(_quick_gelu),)
        ),
        "relu": Mistake(
            _with_activation(F.relu),
            "The activation is a ReLU, as in the Transformer of 2017. In a ViT it is the GELU: `F.gelu`.",
        ),
        "other-activation": Mistake(
            _with_activation(F.silu),
            "Between the layers stands another activation. In a ViT it is the GELU: `F.gelu`.",
            tuple(map(_with_activation, (torch.sigmoid, torch.tanh, F.leaky_relu, F.elu, F.softplus))),
        ),
        "no-activation": Mistake(
            _with_activation(lambda x: x),
            "There is no activation between the two layers, so that they are one: a matrix times a matrix is a matrix. Put "
            "`F.gelu` between them.",
        ),
        "activation-last": Mistake(
            _mlp(lambda module, x: _drop(module, F.gelu(module.fc2(_drop(module, module.fc1(x)))))),
            "The GELU stands after the second layer. It belongs between the two; nothing but dropout follows the second.",
            (_mlp(lambda module, x: F.gelu(_drop(module, module.fc2(_drop(module, module.fc1(x)))))),),
        ),
        "activation-twice": Mistake(
            _mlp(lambda module, x: _drop(module, F.gelu(module.fc2(_drop(module, F.gelu(module.fc1(x))))))),
            "There is a GELU after the second layer as well. What this layer gives is added to the token, and has to be free "
            "to make its numbers smaller: no activation there.",
            (
                _mlp(lambda module, x: F.gelu(_right_mlp(module, x))),
                _mlp(lambda module, x: _drop(module, F.relu(module.fc2(_drop(module, F.gelu(module.fc1(x))))))),
            ),
        ),
        "activation-first": Mistake(
            _mlp(lambda module, x: _drop(module, module.fc2(_drop(module, module.fc1(F.gelu(x)))))),
            "The GELU stands before the first layer. It belongs between the two.",
        ),
        "residual-inside": Mistake(
            _mlp(lambda module, x: x + _right_mlp(module, x)),
            "x is added here already. That is the block's work, later: this module gives back only what is to be added.",
        ),
        "norm-inside": Mistake(
            _mlp(lambda module, x: _right_mlp(module, module.norm(x)), _with_norm),
            "There is a LayerNorm inside. The block has it, as `norm2`; this module has only its two layers.",
            (_mlp(lambda module, x: _right_mlp(module, F.layer_norm(x, x.shape[-1:]))),),
        ),
        "only-fc1": Mistake(
            _mlp(lambda module, x: _drop(module, F.gelu(module.fc1(x)))),
            "The second layer is not used, so tokens come back hidden_dim long. `fc2` brings them back to dim.",
        ),
        "no-bias": Mistake(
            _mlp(_right_mlp, lambda module, dim, hidden: _two_layers(module, dim, hidden, bias=False)),
            "The layers have no bias. `nn.Linear` makes one by default; leave out `bias=False`.",
        ),
        "sizes-swapped": Mistake(
            _mlp(_right_mlp, _swapped),
            "The layers' sizes have changed places. Inputs come first: `nn.Linear(dim, hidden_dim)`, then "
            "`nn.Linear(hidden_dim, dim)`.",
        ),
        "width-fixed": Mistake(
            _mlp(_right_mlp, _fixed_width),
            "The middle is always 4 · dim wide. That is usual; here use the argument `hidden_dim`.",
        ),
        "other-names": Mistake(
            _called_mlp("linear1", "linear2"),
            "The layers are right but have other names. Call them `self.fc1` and `self.fc2`: weights are copied by name.",
            (
                *(_called_mlp(*names) for names in (("fc_1", "fc_2"), ("lin1", "lin2"), ("w1", "w2"), ("up", "down"))),
                _mlp(lambda module, x: module.net(x), _sequential),
            ),
        ),
        "plain-list": Mistake(
            _mlp(
                lambda module, x: _drop(module, module.layers[1](_drop(module, F.gelu(module.layers[0](x))))),
                _in_a_list,
            ),
            "The layers hide in a Python list, where PyTorch does not look: an optimizer would never see their weights. "
            "Assign them to `self.fc1` and `self.fc2`.",
        ),
        "no-dropout": Mistake(
            _dropping(_none, _none),
            "Nothing is dropped while training. Use the argument `dropout`: after the GELU, and after `fc2`.",
        ),
        "dropout-only-inside": Mistake(
            _dropping(_drop, _none),
            "Dropout acts after the GELU, but not after `fc2`. It belongs in both places.",
        ),
        "dropout-only-last": Mistake(
            _dropping(_none, _drop),
            "Dropout acts after `fc2`, but not after the GELU. It belongs in both places.",
        ),
        "dropout-before-gelu": Mistake(
            _mlp(lambda module, x: _drop(module, module.fc2(F.gelu(_drop(module, module.fc1(x)))))),
            "The first dropout stands before the GELU. There it also changes what is kept: dropout divides it by the share "
            "that is kept, and a GELU keeps no proportions: the GELU of 4/3 x is not 4/3 of the GELU of x. It belongs after it.",
        ),
        "dropout-on-the-input": Mistake(
            _mlp(lambda module, x: _right_mlp(module, _drop(module, x))),
            "Dropout acts on the tokens that come in, too. It belongs after the GELU and after `fc2`.",
        ),
        "dropout-in-eval": Mistake(
            _dropping(_always, _always),
            "Dropout goes on in eval mode, so that a trained model answers differently each time. `F.dropout(x, p)` always "
            "drops unless told: `F.dropout(x, p, self.training)`, or an `nn.Dropout` in `__init__`.",
            (_dropping(_drop, _always), _dropping(_always, _drop)),
        ),
        "dropout-not-scaled": Mistake(
            _dropping(_unscaled, _unscaled),
            "What is kept is left as it is. It has to be divided by the share that is kept, 1 - p, so that the sum over "
            "many numbers is about what it is without dropout: in eval nothing is dropped.",
            (_dropping(_drop, _unscaled), _dropping(_unscaled, _drop)),
        ),
        "dropout-scaled-in-eval": Mistake(
            _dropping(_unscaled_then_in_eval, _unscaled_then_in_eval),
            "You multiply by 1 - p in eval instead of dividing by it while training. The first papers did; PyTorch divides "
            "while training, so that eval needs to know nothing of dropout.",
        ),
        "dropout-keeps-the-share": Mistake(
            _dropping(_keeping, _keeping),
            "`dropout` is taken for the share that is kept. It is the share that is dropped.",
            (_dropping(_keeping_plain, _keeping_plain),),
        ),
        "dropout-fixed": Mistake(
            _fixed_dropout(0.1),
            "The share that is dropped is fixed. Use the argument `dropout`.",
            (_fixed_dropout(0.5), _mlp(_right_mlp, lambda module, *sizes: _with_p(module, 0.1, *sizes))),
        ),
        "dropout-same-mask": Mistake(
            _dropping(_same_mask, _same_mask),
            "Each call drops the same numbers, so that these places never learn. Draw anew at each call, without a seed.",
            (_dropping(_same_mask, _drop), _dropping(_drop, _same_mask)),
        ),
        "dropout-whole-tokens": Mistake(
            _dropping(_whole_tokens, _whole_tokens),
            "Whole tokens are dropped at once. `nn.Dropout` drops number by number, each by itself.",
            (_dropping(_drop, _whole_tokens), _dropping(_whole_tokens, _drop)),
        ),
        "dropout-whole-features": Mistake(
            _dropping(_whole_features, _whole_features),
            "The same features are dropped in all tokens of an image. `nn.Dropout` drops number by number, each by itself.",
        ),
        **universal_mistakes(FeedForward),
    },
)


def _with_p(module: nn.Module, p: float, dim: int, hidden: int) -> None:
    _two_layers(module, dim, hidden)
    module.p = p


# -- EncoderBlock

_WIDTHS = ((6, 2), (6, 3), (8, 2), (8, 4), (10, 5), (9, 3), (12, 3))  # dim and heads
_MIDDLES = (11, 13, 14, 17)


def _mask(draw: Draw, *shape: int) -> Tensor:
    """Which tokens a token may see: itself, and about half of the others, in no order that could be turned over."""
    mask = draw.normal(*shape) > 0
    return mask | torch.eye(shape[-1], dtype=torch.bool) if shape[-2] > 1 else mask | (torch.arange(shape[-1]) == 0)


def _deep_cases(draw: Draw, depths: Sequence[int | None]) -> list[Case]:
    """The cases of `EncoderBlock` (a depth of None) and of `Encoder`."""
    cases = []
    depths = iter(depths)

    def add(
        batch: int,
        tokens: int,
        mask: str = "",
        *,
        p: float | None = None,
        scale: float = 1.0,
        dtype: torch.dtype = torch.float64,
        note: str = "",
        **options: bool,
    ) -> None:
        depth = next(depths)
        (index,) = draw.sizes(width=range(len(_WIDTHS)))
        (middle,) = draw.sizes(middle=_MIDDLES)
        dim, heads = _WIDTHS[index]
        x = scale * draw.spread(batch, tokens, dim, dtype=dtype)
        sizes = {"dim": dim, "heads": heads, "mlp_dim": middle}
        shapes = shapes_of(EncoderBlock, dim, heads, middle)
        if depth is not None:
            sizes, shapes = {"depth": depth} | sizes, shapes_of(Encoder, depth, dim, heads, middle)
        masks = {
            "": {},
            "None": {"mask": None},
            "(queries, keys)": {"mask": _mask(draw, tokens, tokens)},
            "(batch, heads, queries, keys)": {"mask": _mask(draw, batch, heads, tokens, tokens)},
            "(batch, 1, 1, keys)": {"mask": _mask(draw, batch, 1, 1, tokens)},
        }
        said = (
            note + describe_tokens(x) + "".join(f", {name} {value}" for name, value in sizes.items() if name != "dim")
        )
        said += f", mask {mask}" if mask else ""
        if p is not None:
            said += f", dropout {p:g}, {'training' if options.get('train', True) else 'eval'}"
        state = random_state(draw, shapes, dtype)
        forward = {"x": x} | masks[mask]
        inputs = sizes | ({} if p is None else {"dropout": p})
        options["gradients"] = dtype == torch.float64
        cases.append(Case(said, inputs, forward=forward, state=state, **options))

    add(2, 5, dtype=torch.float32)
    add(1, 7, train=False)
    add(3, 4, "(queries, keys)")
    add(2, 5, "(batch, heads, queries, keys)", train=False)
    add(3, 7, "(batch, 1, 1, keys)", dtype=torch.float32, train=False)
    add(2, 3, "None", p=0.4, train=False)
    # As small as this, eps decides.
    add(2, 5, scale=2e-3, note="small numbers, ")
    add(4, 4, note="not contiguous in memory, ", strided=True)
    add(5, 1, note="one token, ", dtype=torch.float32)
    return cases


def _block_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 62)
    return [*_deep_cases(draw, [None] * 9), *(_dropping_block(draw, *options) for options in _BRANCHES)]


# Dropout, and the branch that is alone there: the other one adds nothing.
_BRANCHES = ((0.3, "attention"), (0.3, "mlp"))


def _silent(state: dict[str, Tensor], prefix: str) -> None:
    for part in ("weight", "bias"):
        state[f"{prefix}.{part}"] = torch.zeros_like(state[f"{prefix}.{part}"])


def _dropping_block(draw: Draw, p: float, branch: str) -> Case:
    dim, heads, middle = 8, 2, draw.sizes(middle=_MIDDLES)[0]
    x = draw.normal(3, 7, dim, dtype=torch.float64)
    if branch == "mlp":
        x = draw.normal(100, 40, dim, dtype=torch.float64)
    state = random_state(draw, shapes_of(EncoderBlock, dim, heads, middle), torch.float64)
    if branch == "attention":
        _silent(state, "mlp.fc2")
    else:
        _silent(state, "attention.out")
        state["mlp.fc2.weight"] = torch.eye(middle, dtype=torch.float64)[:dim]
        state["mlp.fc2.bias"] = 3 + draw.normal(dim, dtype=torch.float64).abs()
    said = f"{describe_tokens(x)}, dropout {p:g}, training, only the {branch} adds something"
    inputs = {"dim": dim, "heads": heads, "mlp_dim": middle, "dropout": p}
    return Case(said, inputs, forward={"x": x}, state=state)


def _without_dropout(kind: type[nn.Module], case: Case) -> Tensor:
    """What the course's own gives where nothing is dropped."""
    inputs = {name: value for name, value in case.inputs.items() if name != "dropout"}
    module = kind(**inputs).to(torch.float64)
    module.load_state_dict(case.state)
    with torch.no_grad():
        return module(*case.forward.values())


def _untouched(whole: Tensor, x: Tensor) -> Callable[[Tensor], dict[str, Any]]:
    """Of results that dropout should not reach: what it did to them."""

    def look(y: Tensor) -> dict[str, Any]:
        if y.shape != whole.shape or y.dtype != whole.dtype:
            return {"shape and dtype": f"{tuple(y.shape)}, {y.dtype}"}
        if _close(y, whole).all():
            return {"dropout at the attention": "none"}
        kind = (
            "zeros in the tokens" if _close(y, 0).any() else "zeros in what it adds" if _close(y, x).any() else "some"
        )
        return {"dropout at the attention": kind}

    return look


def _block_properties(case: Case, seen: Observations) -> Observations:
    if not _random(case):
        return seen
    x, state, dim = case.forward["x"], case.state, case.inputs["dim"]
    if not state["mlp.fc2.weight"].any():
        return _properties(seen, _untouched(_without_dropout(EncoderBlock, case), x))
    normal = F.layer_norm(x, (dim,), state["norm2.weight"], state["norm2.bias"], LAYER_NORM_EPS)
    active = F.gelu(F.linear(normal, state["mlp.fc1.weight"], state["mlp.fc1.bias"]))[..., :dim]

    def look(y: Tensor) -> dict[str, Any]:
        if y.shape != x.shape or y.dtype != x.dtype:
            return {"shape and dtype": f"{tuple(y.shape)}, {y.dtype}"}
        zero = _share(_close(y, 0).double().mean().item(), case.inputs["dropout"])
        return _dropped(y - x, active, state["mlp.fc2.bias"], case.inputs["dropout"]) | {"zeros": zero}

    return _properties(seen, look)


def _block(
    forward: Callable, build: Callable | None = None, *, takes_mask: bool = True, drop: str = "mlp"
) -> type[nn.Module]:
    """An EncoderBlock with another `forward(module, x, mask)` and, where given, other parts.

    Args:
        forward: the computation.
        build: `build(module, dim, heads, mlp_dim, dropout)`, called after the usual parts were made.
        takes_mask: False for a forward that knows no mask.
        drop: "mlp", or "" where the dropout goes nowhere.
    """

    class Other(nn.Module):
        def __init__(self, dim: int, heads: int, mlp_dim: int, dropout: float = 0.0) -> None:
            super().__init__()
            self.p = dropout
            self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
            self.attention = MultiHeadSelfAttention(dim, heads)
            self.mlp = FeedForward(dim, mlp_dim, dropout if drop else 0.0)
            if build:
                build(self, dim, heads, mlp_dim, dropout)

        if takes_mask:

            def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
                return forward(self, x, mask)

        else:

            def forward(self, x: Tensor) -> Tensor:
                return forward(self, x, None)

    return Other


def _right_block(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    x = x + b.attention(b.norm1(x), mask)
    return x + b.mlp(b.norm2(x))


def _two_steps(first: Callable, second: Callable) -> Callable:
    """A forward made of `first(block, x, attend)` and `second(block, x)`; `attend` knows the mask."""

    def forward(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        return second(b, first(b, x, lambda tokens: b.attention(tokens, mask)))

    return forward


def _first(b: nn.Module, x: Tensor, attend: Callable) -> Tensor:
    return x + attend(b.norm1(x))


def _second(b: nn.Module, x: Tensor) -> Tensor:
    return x + b.mlp(b.norm2(x))


def _from_normed(b: nn.Module, x: Tensor, attend: Callable) -> Tensor:
    x = b.norm1(x)
    return x + attend(x)


def _from_normed_second(b: nn.Module, x: Tensor) -> Tensor:
    x = b.norm2(x)
    return x + b.mlp(x)


def _in_place(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    x += b.attention(b.norm1(x), mask)
    x += b.mlp(b.norm2(x))
    return x


def _mlp_first(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    x = x + b.mlp(b.norm2(x))
    return x + b.attention(b.norm1(x), mask)


def _mlp_first_in_order(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    x = x + b.mlp(b.norm1(x))
    return x + b.attention(b.norm2(x), mask)


def _parallel(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return x + b.attention(b.norm1(x), mask) + b.mlp(b.norm2(x))


def _parallel_one_norm(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    y = b.norm1(x)
    return x + b.attention(y, mask) + b.mlp(y)


def _attention_lost(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    y = x + b.attention(b.norm1(x), mask)
    return x + b.mlp(b.norm2(y))


def _one_skip(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return x + b.mlp(b.norm2(b.attention(b.norm1(x), mask)))


def _post_norm(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    x = b.norm1(x + b.attention(x, mask))
    return b.norm2(x + b.mlp(x))


def _inverted(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return _right_block(b, x, None if mask is None else ~mask)


def _shared_norm(b: nn.Module, *_: Any) -> None:
    b.norm2 = b.norm1


def _without(name: str) -> Callable:
    return lambda b, *_: delattr(b, name)


def _eps(*names: str) -> Callable:
    def build(b: nn.Module, dim: int, *_: Any) -> None:
        for name in names:
            setattr(b, name, nn.LayerNorm(dim))

    return build


def _plain_norms(b: nn.Module, dim: int, *_: Any) -> None:
    b.norm1, b.norm2 = (nn.LayerNorm(dim, eps=1e-6, elementwise_affine=False) for _ in range(2))


def _heads(count: int) -> Callable:
    return lambda b, dim, *_: setattr(b, "attention", MultiHeadSelfAttention(dim, count))


def _wide_mlp(b: nn.Module, dim: int, heads: int, mlp_dim: int, dropout: float) -> None:
    b.mlp = FeedForward(dim, 4 * dim, dropout)


def _sequential_mlp(b: nn.Module, dim: int, heads: int, mlp_dim: int, dropout: float) -> None:
    layers = nn.Linear(dim, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, dim), nn.Dropout(dropout)
    b.mlp = nn.Sequential(*layers)


def _torch_attention(b: nn.Module, dim: int, heads: int, *_: Any) -> None:
    b.attention = nn.MultiheadAttention(dim, heads, batch_first=True)


def _with_torch_attention(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    y = b.norm1(x)
    x = x + b.attention(y, y, y)[0]
    return x + b.mlp(b.norm2(x))


def _mlp_of(kind: type[nn.Module]) -> Callable:
    def build(b: nn.Module, dim: int, heads: int, mlp_dim: int, dropout: float) -> None:
        b.mlp = kind(dim, mlp_dim, dropout)

    return build


def _renamed(**names: str) -> type[nn.Module]:
    """A right block whose parts have other names."""

    def build(b: nn.Module, *_: Any) -> None:
        for ours, theirs in names.items():
            part = getattr(b, ours)
            delattr(b, ours)
            setattr(b, theirs, part)

    def forward(b: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        norm1, attention, norm2, mlp = (
            getattr(b, names.get(name, name)) for name in ("norm1", "attention", "norm2", "mlp")
        )
        x = x + attention(norm1(x), mask)
        return x + mlp(norm2(x))

    return _block(forward, build)


_NO_MASK = (
    "The mask is not passed on, so that every token sees every other. Give it to the attention: "
    "`self.attention(self.norm1(x), mask)`."
)
_INPLACE = (
    "The result is right, but `x += …` writes into the tokens that came in, and whoever called the block loses them. "
    "Make a new tensor: `x = x + …`."
)
_POST = (
    "The norms stand after the additions: that is the post-norm block of 2017. A ViT is pre-norm: the norm comes first, "
    "inside the branch, and nothing stands on the way of x: `x + attention(norm1(x))`."
)

ENCODER_BLOCK = Exercise(
    name="EncoderBlock",
    lesson="06",
    points=3,
    reference=EncoderBlock,
    exact=True,
    cases=_block_cases,
    observe=build_and_call,
    derive=_block_properties,
    axes={"x": "image token feature", "output": "image token feature"},
    hints=(
        "Two branches, and each is *added* to the tokens: first what attention gives, then, to the sum, what the MLP gives.",
        "Each branch has a norm of its own at its beginning; the tokens on the main way are never normalised. The mask "
        "belongs to the attention.",
        "`x = x + self.attention(self.norm1(x), mask)`, then `return x + self.mlp(self.norm2(x))`. Both norms with "
        "`eps=1e-6`; the dropout goes to the FeedForward.",
    ),
    reasoning="x itself passes through untouched, and each branch adds to it. So a block whose last layers are zero is the "
    "identity, and the gradient has a way back on which nothing is multiplied.",
    mistakes={
        "post-norm": Mistake(_block(_post_norm), _POST),
        "branch-then-norm": Mistake(
            _block(
                _two_steps(lambda b, x, attend: x + b.norm1(attend(x)), lambda b, x: x + b.norm2(b.mlp(x))),
            ),
            "The norm stands at the end of each branch. It belongs at its beginning: `x + attention(norm1(x))`.",
        ),
        "no-residual-attention": Mistake(
            _block(_two_steps(lambda b, x, attend: attend(b.norm1(x)), _second)),
            "What attention gives takes the place of x. It is added to it: `x = x + self.attention(…)`.",
        ),
        "no-residual-mlp": Mistake(
            _block(_two_steps(_first, lambda b, x: b.mlp(b.norm2(x)))),
            "What the MLP gives takes the place of x. It is added to it: `x + self.mlp(…)`.",
        ),
        "no-residuals": Mistake(
            _block(_two_steps(lambda b, x, attend: attend(b.norm1(x)), lambda b, x: b.mlp(b.norm2(x)))),
            "Neither attention nor MLP is added to x; each takes its place. Both times: `x = x + …`.",
        ),
        "one-skip-over-both": Mistake(
            _block(_one_skip),
            "x is added once, at the end of both. Each of the two is added by itself: after attention, and after the MLP.",
        ),
        "attention-lost": Mistake(
            _block(_attention_lost),
            "What the MLP gives is added to the x that came in, so what attention had added is lost. Add it to the sum: "
            "`x = x + attention`, then `x = x + mlp`.",
        ),
        "residual-from-normed": Mistake(
            _block(_two_steps(_from_normed, _from_normed_second)),
            "You add to the *normalised* tokens: after `x = self.norm1(x)` the old x is gone. Only what goes into the "
            "branch is normalised: `x = x + self.attention(self.norm1(x), mask)`. A block whose last layers are zero should "
            "give back what came in; yours gives back its norm.",
            (_block(_two_steps(_from_normed, _second)), _block(_two_steps(_first, _from_normed_second))),
        ),
        "residual-doubled": Mistake(
            _block(_two_steps(lambda b, x, attend: x + x + attend(b.norm1(x)), _second)),
            "x is added twice. Once is enough; does one of your parts add it already?",
            (
                _block(_two_steps(_first, lambda b, x: x + x + b.mlp(b.norm2(x)))),
                _block(
                    _two_steps(lambda b, x, attend: x + x + attend(b.norm1(x)), lambda b, x: x + x + b.mlp(b.norm2(x)))
                ),
                _block(_two_steps(lambda b, x, attend: x + b.norm1(x) + attend(b.norm1(x)), _second)),
                _block(_two_steps(_first, lambda b, x: x + b.norm2(x) + b.mlp(b.norm2(x)))),
                _block(lambda b, x, mask: x + _right_block(b, x, mask)),
            ),
        ),
        "residual-averaged": Mistake(
            _block(
                _two_steps(lambda b, x, attend: (x + attend(b.norm1(x))) / 2, lambda b, x: (x + b.mlp(b.norm2(x))) / 2)
            ),
            "The sums are made smaller again. Just add.",
            (
                _block(
                    _two_steps(
                        lambda b, x, attend: (x + attend(b.norm1(x))) * math.sqrt(0.5),
                        lambda b, x: (x + b.mlp(b.norm2(x))) * math.sqrt(0.5),
                    )
                ),
            ),
        ),
        "skip-detached": Mistake(
            _block(_two_steps(lambda b, x, attend: x.detach() + attend(b.norm1(x)), _second)),
            "The numbers are right, but the skip is cut off from the gradient, and the skip is what carries it back. Add x "
            "as it is, without `.detach()` or `.data`.",
            (_block(_two_steps(_first, lambda b, x: x.detach() + b.mlp(b.norm2(x)))),),
        ),
        "adds-in-place": Mistake(_block(_in_place), _INPLACE),
        "one-norm-for-both": Mistake(
            _block(_two_steps(_first, lambda b, x: x + b.mlp(b.norm1(x)))),
            "`norm1` serves both branches. They see different numbers, so each has a norm of its own: `norm2` for the MLP.",
            (
                _block(_right_block, _shared_norm),
                _block(_two_steps(_first, lambda b, x: x + b.mlp(b.norm1(x))), _without("norm2")),
            ),
        ),
        "norms-swapped": Mistake(
            _block(_two_steps(lambda b, x, attend: x + attend(b.norm2(x)), lambda b, x: x + b.mlp(b.norm1(x)))),
            "The two norms have changed places: `norm1` belongs to the attention, `norm2` to the MLP.",
        ),
        "norm1-forgotten": Mistake(
            _block(_two_steps(lambda b, x, attend: x + attend(x), _second)),
            "Attention gets the tokens as they are. They go through `norm1` first.",
        ),
        "norm2-forgotten": Mistake(
            _block(_two_steps(_first, lambda b, x: x + b.mlp(x))),
            "The MLP gets the tokens as they are. They go through `norm2` first.",
            (_block(_two_steps(_first, lambda b, x: x + b.mlp(x)), _without("norm2")),),
        ),
        "no-norms": Mistake(
            _block(_two_steps(lambda b, x, attend: x + attend(x), lambda b, x: x + b.mlp(x))),
            "Neither branch normalises what it gets: `norm1` before the attention, `norm2` before the MLP.",
        ),
        "norm-at-the-end": Mistake(
            _block(lambda b, x, mask: b.norm2(_right_block(b, x, mask))),
            "There is one more norm at the end of the block. The last norm belongs to the encoder, once, after all blocks.",
            (_block(lambda b, x, mask: F.layer_norm(_right_block(b, x, mask), x.shape[-1:], eps=1e-6)),),
        ),
        "norms-without-weights": Mistake(
            _block(_right_block, _plain_norms),
            "The norms have no weight and bias of their own. Leave out `elementwise_affine=False`.",
        ),
        "eps-1e-5": Mistake(
            _block(_right_block, _eps("norm1", "norm2")),
            "The norms use PyTorch's default, eps = 1e-5. A ViT has 1e-6: `nn.LayerNorm(dim, eps=1e-6)`. It shows on small "
            "numbers only, but with weights from elsewhere it changes the answers.",
            (_block(_right_block, _eps("norm1")), _block(_right_block, _eps("norm2"))),
        ),
        "mask-not-passed-on": Mistake(_block(lambda b, x, mask: _right_block(b, x, None)), _NO_MASK),
        "mask-not-accepted": Mistake(
            _block(_right_block, takes_mask=False),
            "`forward` takes no mask. Let it take one, `forward(self, x, mask=None)`, and give it to the attention.",
        ),
        "mask-inverted": Mistake(
            _block(_inverted),
            "The mask is turned over. True means *may attend*, here and in our attention: pass it on as it is.",
        ),
        "mlp-first": Mistake(
            _block(_mlp_first),
            "The MLP comes before the attention. First attention, then the MLP.",
            (_block(_mlp_first_in_order),),
        ),
        "parallel": Mistake(
            _block(_parallel),
            "Attention and MLP both read the tokens as they came in, side by side. (Some large models do that.) Here the MLP "
            "reads what attention has made of them: first `x = x + attention`, then the MLP on the new x.",
            (_block(_parallel_one_norm),),
        ),
        "no-mlp": Mistake(
            _block(lambda b, x, mask: x + b.attention(b.norm1(x), mask)),
            "The MLP is not used. After the attention: `x + self.mlp(self.norm2(x))`.",
        ),
        "no-attention": Mistake(
            _block(lambda b, x, mask: _second(b, x)),
            "The attention is not used. Before the MLP: `x = x + self.attention(self.norm1(x), mask)`.",
        ),
        "branch-only": Mistake(
            _block(lambda b, x, mask: _right_block(b, x, mask) - x),
            "You give back what the block adds. Give back the tokens with it added.",
        ),
        "heads-fixed": Mistake(
            _block(_right_block, _heads(1)),
            "The number of attention heads is fixed. Use the argument `heads`. No weight changes its shape with it, so only "
            "the numbers show it.",
            (_block(_right_block, _heads(2)),),
        ),
        "width-fixed": Mistake(
            _block(_right_block, _wide_mlp),
            "The middle of the MLP is always 4 · dim wide. That is usual; here use the argument `mlp_dim`.",
        ),
        "mlp-relu": Mistake(
            _block(_right_block, _mlp_of(_with_activation(F.relu))),
            "The MLP in the block has a ReLU. In a ViT it is the GELU; your `FeedForward` from above has it.",
        ),
        "mlp-gelu-tanh": Mistake(
            _block(_right_block, _mlp_of(_with_activation(lambda x: F.gelu(x, approximate="tanh")))), _TANH
        ),
        "mlp-sequential": Mistake(
            _block(_right_block, _sequential_mlp),
            "`mlp` is an `nn.Sequential`, whose layers are called `0` and `3`. Use `FeedForward`, with `fc1` and `fc2`: weights "
            "are copied by name.",
        ),
        "torch-attention": Mistake(
            _block(_with_torch_attention, _torch_attention),
            "`attention` is PyTorch's `nn.MultiheadAttention`, whose weights have other names, and whose masks mean the "
            "opposite. Use `MultiHeadSelfAttention(dim, heads)` from lesson 05.",
        ),
        "other-names": Mistake(
            _renamed(attention="attn"),
            "The block is right, but its parts have other names. Call them `norm1`, `attention`, `norm2` and `mlp`: weights "
            "are copied by name.",
            (
                _renamed(norm1="ln1", norm2="ln2"),
                _renamed(norm1="ln_1", norm2="ln_2"),
                _renamed(mlp="feed_forward"),
                _renamed(mlp="ffn"),
                _renamed(mlp="ff"),
                _renamed(attention="msa"),
                _renamed(attention="attn", mlp="ffn"),
                _renamed(norm1="ln1", norm2="ln2", attention="attn"),
            ),
        ),
        "dropout-not-passed-on": Mistake(
            _block(_right_block, drop=""),
            "Nothing is dropped while training. Give `dropout` to the FeedForward: `FeedForward(dim, mlp_dim, dropout)`.",
        ),
        "dropout-at-the-attention": Mistake(
            _block(_two_steps(lambda b, x, attend: x + _drop(b, attend(b.norm1(x))), _second)),
            "Dropout also acts on what attention gives. Many ViTs do that, the paper's too; ours drops inside the "
            "FeedForward only.",
        ),
        "dropout-before-a-branch": Mistake(
            _block(_two_steps(_first, lambda b, x: x + b.mlp(_drop(b, b.norm2(x))))),
            "Dropout acts on what goes into a branch. Ours acts inside the FeedForward only: after its GELU and after `fc2`.",
            (
                _block(_two_steps(lambda b, x, attend: x + attend(_drop(b, b.norm1(x))), _second)),
                _block(
                    _two_steps(
                        lambda b, x, attend: x + attend(_drop(b, b.norm1(x))),
                        lambda b, x: x + b.mlp(_drop(b, b.norm2(x))),
                    )
                ),
            ),
        ),
        "dropout-twice-at-the-mlp": Mistake(
            _block(_two_steps(_first, lambda b, x: x + _drop(b, b.mlp(b.norm2(x))))),
            "Dropout acts once more on what the MLP gives. The FeedForward has done that already.",
        ),
        "dropout-at-both": Mistake(
            _block(
                _two_steps(
                    lambda b, x, attend: x + _drop(b, attend(b.norm1(x))), lambda b, x: x + _drop(b, b.mlp(b.norm2(x)))
                )
            ),
            "Dropout acts on what attention gives, and once more on what the MLP gives. Ours acts inside the FeedForward "
            "only.",
            (
                _block(
                    _two_steps(
                        lambda b, x, attend: x + _drop(b, attend(b.norm1(x))),
                        lambda b, x: x + _drop(b, b.mlp(b.norm2(x))),
                    ),
                    drop="",
                ),
            ),
        ),
        "dropout-on-the-tokens": Mistake(
            _block(lambda b, x, mask: _drop(b, _right_block(b, x, mask))),
            "Dropout acts on the tokens themselves, on the main way, where what is lost is lost to all later blocks. It "
            "belongs inside the branch; ours acts inside the FeedForward only.",
            (
                _block(lambda b, x, mask: _right_block(b, _drop(b, x), mask)),
                _block(
                    _two_steps(
                        lambda b, x, attend: _drop(b, x + attend(b.norm1(x))), lambda b, x: _drop(b, _second(b, x))
                    )
                ),
            ),
        ),
        "dropout-in-eval": Mistake(
            _block(_right_block, _mlp_of(_dropping(_always, _always))),
            "Dropout goes on in eval mode, so that a trained model answers differently each time. An `nn.Dropout` in the "
            "FeedForward knows the mode; so does `F.dropout(x, p, self.training)`.",
        ),
        **universal_mistakes(EncoderBlock),
    },
)


# -- Encoder


def _encoder_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 63)
    depths = [*draw.sizes(one=(3, 4), two=(2, 5)), 3, 2, 3, 2, 3, 2, 1]
    return [*_deep_cases(draw, depths), *(_dropping_encoder(draw, *options) for options in _BRANCHES)]


_WRITTEN = 2  # features that each block's MLP writes to in the case that drops


def _dropping_encoder(draw: Draw, p: float, branch: str) -> Case:
    """Two blocks. Their MLPs say the same to every token, each to features of its own; the others stay as they are."""
    dim, heads, middle, depth = 10, 2, draw.sizes(middle=_MIDDLES)[0], 2
    x = draw.normal(3, 7, dim, dtype=torch.float64)
    if branch == "mlp":
        x = draw.normal(150, 80, dim, dtype=torch.float64)
    state = random_state(draw, shapes_of(Encoder, depth, dim, heads, middle), torch.float64)
    for index in range(depth):
        if branch == "attention":
            _silent(state, f"blocks.{index}.mlp.fc2")
            continue
        _silent(state, f"blocks.{index}.attention.out")
        _silent(state, f"blocks.{index}.mlp.fc2")
        state[f"blocks.{index}.mlp.fc1.weight"] = torch.zeros(middle, dim, dtype=torch.float64)
        state[f"blocks.{index}.mlp.fc1.bias"] = 1 + draw.normal(middle, dtype=torch.float64).abs()
        for feature in range(_WRITTEN):
            state[f"blocks.{index}.mlp.fc2.weight"][index * _WRITTEN + feature, feature] = 1
            state[f"blocks.{index}.mlp.fc2.bias"][index * _WRITTEN + feature] = 1.5 + feature
    state["norm.weight"] = 1 + state["norm.weight"].abs()
    said = f"{describe_tokens(x)}, depth {depth}, dropout {p:g}, training, only the {branch} adds something"
    inputs = {"depth": depth, "dim": dim, "heads": heads, "mlp_dim": middle, "dropout": p}
    return Case(said, inputs, forward={"x": x}, state=state)


def _encoder_properties(case: Case, seen: Observations) -> Observations:
    if not _random(case):
        return seen
    x, state, p, depth = case.forward["x"], case.state, case.inputs["dropout"], case.inputs["depth"]
    if not any(state[f"blocks.{index}.mlp.fc2.weight"].any() for index in range(depth)):
        return _properties(seen, _untouched(_without_dropout(Encoder, case), x))

    def look(y: Tensor) -> dict[str, Any]:
        if y.shape != x.shape or y.dtype != x.dtype:
            return {"shape and dtype": f"{tuple(y.shape)}, {y.dtype}"}
        if _close(y, 0).double().mean() > 0.01:
            return {"zeros after the last norm": True}
        # The last norm is a straight line for each token; the features that no MLP writes to say which.
        z = (y - state["norm.bias"]) / state["norm.weight"]
        still = slice(depth * _WRITTEN, None)
        a, b = x[..., still], z[..., still]
        a0, b0 = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
        slope = (a0 * b0).sum(-1, keepdim=True) / (a0**2).sum(-1, keepdim=True)
        if not ((b0 - slope * a0).abs() < 1e-6).all():
            return {"what no MLP writes to": "is changed"}
        tokens = (z - b.mean(-1, keepdim=True)) / slope + a.mean(-1, keepdim=True)
        found = {}
        for index in range(depth):
            here = slice(index * _WRITTEN, (index + 1) * _WRITTEN)
            active = F.gelu(state[f"blocks.{index}.mlp.fc1.bias"])[:_WRITTEN]
            bias = state[f"blocks.{index}.mlp.fc2.bias"][here]
            said = _dropped((tokens - x)[..., here], active, bias, p)
            found |= {f"block {index}, {what}": value for what, value in said.items()}
        return found

    return _properties(seen, look)


def _encoder(forward: Callable, build: Callable | None = None, *, takes_mask: bool = True) -> type[nn.Module]:
    """An Encoder with another `forward(module, x, mask)` and, where given, other parts, made after the usual ones."""

    class Other(nn.Module):
        def __init__(self, depth: int, dim: int, heads: int, mlp_dim: int, dropout: float = 0.0) -> None:
            super().__init__()
            self.p = dropout
            self.blocks = nn.ModuleList(EncoderBlock(dim, heads, mlp_dim, dropout) for _ in range(depth))
            self.norm = nn.LayerNorm(dim, eps=1e-6)
            if build:
                build(self, depth, dim, heads, mlp_dim, dropout)

        if takes_mask:

            def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
                return forward(self, x, mask)

        else:

            def forward(self, x: Tensor) -> Tensor:
                return forward(self, x, None)

    return Other


def _through(blocks: Any, x: Tensor, mask: Tensor | None) -> Tensor:
    for block in blocks:
        x = block(x, mask)
    return x


def _right_encoder(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return e.norm(_through(e.blocks, x, mask))


def _some_blocks(choose: Callable) -> type[nn.Module]:
    return _encoder(lambda e, x, mask: e.norm(_through(choose([*e.blocks]), x, mask)))


def _norm_each(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    for block in e.blocks:
        x = e.norm(block(x, mask))
    return x


def _norm_between(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    for block in e.blocks:
        x = block(e.norm(x), mask)
    return x


def _mask_for(chosen: Callable[[int, int], bool]) -> type[nn.Module]:
    """Only the chosen blocks, by number and depth, get the mask."""

    def forward(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        for index, block in enumerate(e.blocks):
            x = block(x, mask if chosen(index, len(e.blocks)) else None)
        return e.norm(x)

    return _encoder(forward)


def _extra_skips(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    for block in e.blocks:
        x = x + block(x, mask)
    return e.norm(x)


def _frozen_before_last(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    for block in e.blocks:
        x = block(x.detach(), mask)
    return e.norm(x)


def _all_states(e: nn.Module, x: Tensor, mask: Tensor | None) -> list[Tensor]:
    states = []
    for block in e.blocks:
        x = block(x, mask)
        states.append(x)
    return states


def _repeated(e: nn.Module, depth: int, *_: Any) -> None:
    e.blocks = nn.ModuleList([e.blocks[0]] * depth)


def _single(e: nn.Module, depth: int, *_: Any) -> None:
    e.depth, e.blocks = depth, e.blocks[:1]


def _looped(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    for _ in range(e.depth):
        x = e.blocks[0](x, mask)
    return e.norm(x)


def _hidden_blocks(kind: Callable) -> Callable:
    def build(e: nn.Module, *_: Any) -> None:
        blocks = [*e.blocks]
        del e.blocks
        e.blocks = kind(blocks)

    return build


def _from_hidden(e: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    blocks = e.blocks.values() if isinstance(e.blocks, dict) else e.blocks
    for block in blocks:
        block.to(x)  # what `encoder.to(…)` cannot do for it
    return e.norm(_through(blocks, x, mask))


def _of_depth(count: Callable[[int], int]) -> type[nn.Module]:
    def build(e: nn.Module, depth: int, *sizes: Any) -> None:
        e.blocks = nn.ModuleList(EncoderBlock(*sizes) for _ in range(count(depth)))

    return _encoder(_right_encoder, build)


def _blocks_of(kind: Callable) -> Callable:
    """Parts with other blocks: `kind(dim, heads, mlp_dim, dropout)`."""

    def build(e: nn.Module, depth: int, *sizes: Any) -> None:
        e.blocks = nn.ModuleList(kind(*sizes) for _ in range(depth))

    return build


def _torch_layer(dim: int, heads: int, mlp_dim: int, dropout: float) -> nn.Module:
    return nn.TransformerEncoderLayer(dim, heads, mlp_dim, dropout, batch_first=True)


def _no_norm_at_all(e: nn.Module, *_: Any) -> None:
    del e.norm


def _default_norm(e: nn.Module, depth: int, dim: int, *_: Any) -> None:
    e.norm = nn.LayerNorm(dim)


def _renamed_encoder(blocks: str = "blocks", norm: str = "norm") -> type[nn.Module]:
    def build(e: nn.Module, *_: Any) -> None:
        for old, new in (("blocks", blocks), ("norm", norm)):
            part = getattr(e, old)
            delattr(e, old)
            setattr(e, new, part)

    return _encoder(lambda e, x, mask: getattr(e, norm)(_through(getattr(e, blocks), x, mask)), build)


ENCODER = Exercise(
    name="Encoder",
    lesson="06",
    points=2,
    reference=Encoder,
    exact=True,
    cases=_encoder_cases,
    observe=build_and_call,
    derive=_encoder_properties,
    axes={"x": "image token feature", "output": "image token feature"},
    hints=(
        "`depth` blocks, each made by a call of its own, kept where PyTorch finds them; and one LayerNorm.",
        "`nn.ModuleList(EncoderBlock(…) for _ in range(depth))`. In `forward` a loop hands the tokens, and the mask, from "
        "block to block.",
        "`for block in self.blocks: x = block(x, mask)`, then, after the loop, `return self.norm(x)`.",
    ),
    reasoning="Each block has weights of its own, and an `nn.ModuleList` makes them known to PyTorch. In a pre-norm encoder "
    "nobody has normalised the sum of all that was added, so a last norm does.",
    mistakes={
        "one-block-repeated": Mistake(
            _encoder(_right_encoder, _repeated),
            "`[block] * depth` is `depth` times the *same* block: they share their weights. It trains, and the state dict even "
            "lists every copy; only the number of parameters gives it away. Make a new one each time: "
            "`nn.ModuleList(EncoderBlock(…) for _ in range(depth))`.",
        ),
        "one-block-looped": Mistake(
            _encoder(_looped, _single),
            "There is one block, and it is called `depth` times. A ViT has `depth` blocks, each with its own weights.",
        ),
        "plain-list": Mistake(
            _encoder(_from_hidden, _hidden_blocks(list)),
            "The blocks hide in a Python list, where PyTorch does not look: an optimizer never sees their weights, and "
            "`.to(device)` leaves them behind. Use an `nn.ModuleList`.",
            (
                _encoder(_from_hidden, _hidden_blocks(tuple)),
                _encoder(_from_hidden, _hidden_blocks(lambda blocks: dict(enumerate(blocks)))),
            ),
        ),
        "depth-off-by-one": Mistake(
            _of_depth(lambda depth: depth - 1),
            "There is one block too few or too many. `range(depth)` makes just `depth`.",
            (_of_depth(lambda depth: depth + 1),),
        ),
        "depth-fixed": Mistake(
            _of_depth(lambda depth: 12),
            "The number of blocks is fixed. Use the argument `depth`.",
            (_of_depth(lambda depth: 6), _of_depth(lambda depth: 2), _of_depth(lambda depth: 1)),
        ),
        "no-last-norm": Mistake(
            _encoder(lambda e, x, mask: _through(e.blocks, x, mask)),
            "The last norm is missing. In a pre-norm encoder nobody has normalised the sum that comes out: "
            "`return self.norm(x)`.",
            (_encoder(lambda e, x, mask: _through(e.blocks, x, mask), _no_norm_at_all),),
        ),
        "norm-in-the-loop": Mistake(
            _encoder(_norm_each),
            "The last norm is used after every block. It belongs after the loop, once. Is `return self.norm(x)` or "
            "`x = self.norm(x)` indented too far?",
        ),
        "norm-before-the-blocks": Mistake(
            _encoder(lambda e, x, mask: _through(e.blocks, e.norm(x), mask)),
            "The norm comes before the blocks. It belongs at the very end.",
            (_encoder(_norm_between), _encoder(lambda e, x, mask: e.norm(_through(e.blocks, e.norm(x), mask)))),
        ),
        "returns-in-the-loop": Mistake(
            _some_blocks(lambda blocks: blocks[:1]),
            "Only the first block is used. Is the `return` inside the loop? It belongs after it.",
        ),
        "only-last-block": Mistake(
            _some_blocks(lambda blocks: blocks[-1:]),
            "Only the last block counts: each one gets the tokens that came in at first. Hand on what the block before made: "
            "`x = block(x, mask)`.",
        ),
        "skips-first": Mistake(
            _some_blocks(lambda blocks: blocks[1:]),
            "The first block is left out. Go through all: `for block in self.blocks`.",
        ),
        "skips-last": Mistake(
            _some_blocks(lambda blocks: blocks[:-1]),
            "The last block is left out. Go through all: `for block in self.blocks`.",
        ),
        "no-blocks": Mistake(
            _some_blocks(lambda blocks: []),
            "The blocks are not used: only the norm is. Is what a block gives lost? `x = block(x, mask)`.",
        ),
        "reversed": Mistake(
            _some_blocks(lambda blocks: blocks[::-1]),
            "The blocks run from last to first. Block 0 comes first.",
        ),
        "last-block-twice": Mistake(
            _some_blocks(lambda blocks: [*blocks, blocks[-1]]),
            "The last block is used twice. Is it called once more after the loop?",
            (_some_blocks(lambda blocks: [blocks[0], *blocks]),),
        ),
        "all-twice": Mistake(
            _some_blocks(lambda blocks: [*blocks, *blocks]),
            "The tokens go through all blocks twice.",
            (_some_blocks(lambda blocks: [block for block in blocks for _ in range(2)]),),
        ),
        "extra-skips": Mistake(
            _encoder(_extra_skips),
            "x is added once more around each block: `x = x + block(x)`. The block adds it inside: `x = block(x, mask)`.",
            (_encoder(lambda e, x, mask: e.norm(x + _through(e.blocks, x, mask))),),
        ),
        "earlier-blocks-cut-off": Mistake(
            _encoder(_frozen_before_last),
            "The numbers are right, but between the blocks the gradient is cut off: only the last one would learn. No "
            "`.detach()` or `torch.no_grad()` in the loop.",
        ),
        "mask-not-passed-on": Mistake(
            _mask_for(lambda index, depth: False),
            "The mask is not passed on, so that every token sees every other. Give it to each block: `block(x, mask)`. "
            "(An `nn.Sequential`, called as a whole, cannot do that; a loop can.)",
        ),
        "mask-for-the-first-only": Mistake(
            _mask_for(lambda index, depth: index == 0),
            "Only the first block gets the mask. From the second on, every token sees every other. Each block needs it.",
            (_mask_for(lambda index, depth: index < depth - 1),),
        ),
        "mask-for-the-last-only": Mistake(
            _mask_for(lambda index, depth: index == depth - 1),
            "Only the last block gets the mask. Until then every token has seen every other. Each block needs it.",
            (_mask_for(lambda index, depth: index > 0),),
        ),
        "mask-not-accepted": Mistake(
            _encoder(_right_encoder, takes_mask=False),
            "`forward` takes no mask. Let it take one, `forward(self, x, mask=None)`, and give it to each block.",
        ),
        "mask-inverted": Mistake(
            _encoder(lambda e, x, mask: _right_encoder(e, x, None if mask is None else ~mask)),
            "The mask is turned over. True means *may attend*: pass it on as it is.",
        ),
        "post-norm-blocks": Mistake(
            _encoder(_right_encoder, _blocks_of(_block(_post_norm))),
            f"In the blocks: {_POST[0].lower()}{_POST[1:]}",
            (_encoder(lambda e, x, mask: _through(e.blocks, x, mask), _blocks_of(_block(_post_norm))),),
        ),
        "torch-layers": Mistake(
            _encoder(_right_encoder, _blocks_of(_torch_layer)),
            "The blocks are PyTorch's `nn.TransformerEncoderLayer`. Their weights have other names, and by default they are "
            "post-norm with a ReLU. Use your `EncoderBlock`.",
        ),
        "heads-fixed": Mistake(
            _encoder(_right_encoder, _blocks_of(lambda dim, heads, *rest: EncoderBlock(dim, 1, *rest))),
            "The number of attention heads is fixed. Use the argument `heads`.",
            (_encoder(_right_encoder, _blocks_of(lambda dim, heads, *rest: EncoderBlock(dim, 2, *rest))),),
        ),
        "width-fixed": Mistake(
            _encoder(
                _right_encoder, _blocks_of(lambda dim, heads, middle, *rest: EncoderBlock(dim, heads, 4 * dim, *rest))
            ),
            "The middle of the MLPs is always 4 · dim wide. That is usual; here use the argument `mlp_dim`.",
        ),
        "eps-1e-5": Mistake(
            _encoder(_right_encoder, _default_norm),
            "The last norm uses PyTorch's default, eps = 1e-5. A ViT has 1e-6: `nn.LayerNorm(dim, eps=1e-6)`.",
        ),
        "other-names": Mistake(
            _renamed_encoder("layers"),
            "The encoder is right, but its parts have other names. Call them `self.blocks` and `self.norm`: weights are "
            "copied by name.",
            (
                _renamed_encoder(norm="ln"),
                _renamed_encoder(norm="norm_final"),
                _renamed_encoder("layers", "ln"),
                _renamed_encoder("encoder_blocks"),
                _renamed_encoder("layers", "final_norm"),
            ),
        ),
        "returns-all-states": Mistake(
            _encoder(_all_states),
            "You give back a list with what every block made. Asked for is what the last one made, after the norm.",
        ),
        "returns-cls": Mistake(
            _encoder(lambda e, x, mask: _right_encoder(e, x, mask)[:, 0]),
            "You give back the first token alone. The encoder gives back all of them; to choose is the work of `pool`.",
        ),
        "dropout-not-passed-on": Mistake(
            _encoder(_right_encoder, _blocks_of(lambda dim, heads, middle, dropout: EncoderBlock(dim, heads, middle))),
            "Nothing is dropped while training. Give `dropout` to each block.",
        ),
        "dropout-on-the-tokens": Mistake(
            _encoder(lambda e, x, mask: _right_encoder(e, _drop(e, x), mask)),
            "Dropout also acts on the tokens themselves, before or between the blocks. The paper drops after the positions "
            "are added; our encoder drops inside its FeedForwards only.",
            (_encoder(_right_encoder, _blocks_of(_block(lambda b, x, mask: _drop(b, _right_block(b, x, mask))))),),
        ),
        "dropout-at-the-end": Mistake(
            _encoder(lambda e, x, mask: _drop(e, _right_encoder(e, x, mask))),
            "Dropout also acts after the last norm. Our encoder drops inside its FeedForwards only.",
        ),
        **universal_mistakes(Encoder),
    },
)

EXERCISES = (LAYER_NORM, FEED_FORWARD, ENCODER_BLOCK, ENCODER)
