"""Lesson 04: where a token stands."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit_course.checks.catalogue.cases import Draw, describe_tokens
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case, Observations, build_and_call, call
from vit_course.embeddings import LearnedPositions, position_similarity, sincos_positions

STD = 0.02
OTHER_NAMES = (
    "pos_embed",
    "pos_emb",
    "pos",
    "position",
    "position_embedding",
    "position_embeddings",
    "positional_embedding",
    "positional_embeddings",
    "pos_embeddings",
    "pos_emb1D",
    "embedding",
    "embeddings",
    "table",
    "weight",
)


def _learned_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 7)

    def sizes(batch: tuple[int, ...] = (2, 3, 5)) -> list[int]:
        return draw.sizes(batch=batch, tokens=range(4, 12), dim=range(4, 12))

    calls = [
        ("", sizes(), torch.float32, {}),
        ("", sizes((1,)), torch.float32, {"train": False}),
        ("", sizes((13, 15)), torch.float32, {}),  # more images than tokens
        ("", [4, 8, 8], torch.float32, {"train": False}),
        ("again, ", [4, 8, 8], torch.float32, {}),  # the same sizes: a result kept from the last call shows
        ("", [6, 6, 6], torch.float32, {}),
        ("", [3, 1, 5], torch.float32, {"train": False}),
        ("", [2, 65, 24], torch.float32, {"train": False}),
        ("", sizes(), torch.float64, {}),
        ("", sizes((2,)), torch.float64, {"train": False}),
        ("not contiguous in memory, ", sizes(), torch.float32, {"strided": True}),
    ]
    cases = []
    for note, (batch, count, dim), dtype, options in calls:
        tokens = draw.normal(batch, count, dim, dtype=dtype)
        cases.append(
            Case(
                note + describe_tokens(tokens),
                {"num_tokens": count, "dim": dim},
                forward={"tokens": tokens},
                state={"positions": draw.normal(1, count, dim, dtype=dtype)},
                **options,
            )
        )
    for count, dim in ((101 + seed % 50, 160), (65, 192)):
        state = {"positions": torch.zeros(1, count, dim)}
        label = f"positions for {count} tokens with {dim} numbers each, as they are made"
        cases.append(Case(label, {"num_tokens": count, "dim": dim}, state=state, at_first=True))
    return cases


def _properties(case: Case, seen: Observations) -> Observations:
    """Of random positions, how they are spread; and nothing of what a module computes from a table of its own."""
    asked = f"positions {tuple(case.state['positions'].shape)}"
    if asked not in seen.get("parameters", "").split("\n"):
        # The case's positions found no place, so all results are random numbers that fit no others.
        kept = ("raised", "kind", "changed", "parameters")
        return {name: value for name, value in seen.items() if name in kept or name.startswith("_")}
    if not case.at_first:
        return seen
    derived = {name: value for name, value in seen.items() if not name.endswith(" at first")}
    first = seen["positions at first"][0]
    if not first.is_floating_point():
        return derived | {"positions at first": f"{first.dtype}"}
    first = first.double()
    std, mean = first.std().item(), first.mean().item()
    if not math.isfinite(std + mean):
        return derived | {"positions at first": "NaN or infinite"}
    if std < 1e-9:
        return derived | {"positions at first": "all 0" if abs(mean) < 1e-9 else "all alike"}
    spread = "below" if std < 0.95 * STD else "above" if std > 1.05 * STD else "about"
    inside = ((first - mean).abs() < std).double().mean().item()
    # Of averages over n independent numbers, the spread is that of one divided by √n.
    independent = all(first.mean(dim=axis).std().item() * first.shape[axis] ** 0.5 < 1.5 * std for axis in (0, 1))
    parts = {
        "mean": "about 0" if abs(mean) < 0.1 * std else "not 0",
        "standard deviation": f"{spread} {STD}",
        # Uniform: 58% lie within one standard deviation; normal, but cut off at two of them: 65%.
        "shape": "normal" if abs(inside - 0.6827) < 0.02 else "cut off" if 0.63 < inside < 0.68 else "not normal",
        "numbers": "each drawn for itself" if independent else "repeated",
    }
    return derived | {"positions at first": ", ".join(f"{name} {value}" for name, value in parts.items())}


def _drawn(*shape: int) -> Tensor:
    return STD * torch.randn(shape)


Forward = Callable[[nn.Module, Tensor], Tensor]


def _right(module: nn.Module, tokens: Tensor) -> Tensor:
    return tokens + module.positions


def _with(forward: Forward = _right, build: Callable[[nn.Module, int, int], None] | None = None) -> type[nn.Module]:
    """A LearnedPositions with another forward and, where given, another table: `build(module, num_tokens, dim)`."""

    class Other(nn.Module):
        def __init__(self, num_tokens: int, dim: int) -> None:
            super().__init__()
            if build is None:
                self.positions = nn.Parameter(_drawn(1, num_tokens, dim))
            else:
                build(self, num_tokens, dim)

        def forward(self, tokens: Tensor) -> Tensor:
            return forward(self, tokens)

    return Other


def _shaped(shape: Callable[[int, int], tuple[int, ...]], forward: Forward = _right) -> type[nn.Module]:
    """A table of another shape."""

    def build(module: nn.Module, count: int, dim: int) -> None:
        module.positions = nn.Parameter(_drawn(*shape(count, dim)))

    return _with(forward, build)


def _starting(make: Callable[[int, int], Tensor]) -> type[nn.Module]:
    """Right, but for the numbers it begins with."""

    def build(module: nn.Module, count: int, dim: int) -> None:
        module.positions = nn.Parameter(make(count, dim))

    return _with(build=build)


def _called(name: str, *, batch_axis: bool = True) -> type[nn.Module]:
    def build(module: nn.Module, count: int, dim: int) -> None:
        setattr(module, name, nn.Parameter(_drawn(*((1, count, dim) if batch_axis else (count, dim)))))

    return _with(lambda module, tokens: tokens + getattr(module, name), build)


def _set(name: str, make: Callable[[int, int], object]) -> Callable[[nn.Module, int, int], None]:
    return lambda module, count, dim: setattr(module, name, make(count, dim))


def _buffer(module: nn.Module, count: int, dim: int) -> None:
    module.register_buffer("positions", _drawn(1, count, dim))


def _frozen(module: nn.Module, count: int, dim: int) -> None:
    module.positions = nn.Parameter(_drawn(1, count, dim), requires_grad=False)


def _new_each_call(module: nn.Module, tokens: Tensor) -> Tensor:
    return tokens + _drawn(1, *tokens.shape[1:]).to(tokens)


def _replaced_each_call(module: nn.Module, tokens: Tensor) -> Tensor:
    module.positions = nn.Parameter(_drawn(1, *tokens.shape[1:]).to(tokens))
    return tokens + module.positions


def _first_image_only(module: nn.Module, tokens: Tensor) -> Tensor:
    return torch.cat([tokens[:1] + module.positions, tokens[1:]])


def _cls_left_out(module: nn.Module, tokens: Tensor) -> Tensor:
    return torch.cat([tokens[:, :1], tokens[:, 1:] + module.positions[:, 1:]], dim=1)


def _by_image(module: nn.Module, tokens: Tensor) -> Tensor:
    return tokens + module.positions.transpose(0, 1)[: len(tokens)]


def _first_positions(module: nn.Module, tokens: Tensor) -> Tensor:
    return tokens + module.positions[:, : tokens.shape[1]]


def _looked_up(module: nn.Module, tokens: Tensor) -> Tensor:
    return tokens + module.positions(torch.arange(tokens.shape[1]))


LEARNED_POSITIONS = Exercise(
    name="LearnedPositions",
    lesson="04",
    points=2,
    reference=LearnedPositions,
    exact=True,
    cases=_learned_cases,
    observe=build_and_call,
    derive=_properties,
    axes={"tokens": "image token feature", "output": "image token feature"},
    hints=(
        "One vector of D numbers for each place, the same for all images. Which shape adds to (B, num_tokens, D) without "
        "a loop?",
        "`nn.Parameter(…)` around a tensor of shape (1, num_tokens, dim), assigned to `self.positions`. "
        "`torch.randn` has standard deviation 1: multiply *inside* the brackets of `nn.Parameter`.",
        "`self.positions = nn.Parameter(0.02 * torch.randn(1, num_tokens, dim))`, and `return tokens + self.positions`",
    ),
    reasoning="The first axis has size 1, so that adding shows the same table to every image. Small numbers at first leave "
    "the tokens nearly as they are: what a place means has to be learned.",
    mistakes={
        "not-a-parameter": Mistake(
            _with(build=_buffer),
            "The module has no parameter, so no optimizer will ever change the positions. `self.positions` has to be an "
            "`nn.Parameter`, made in `__init__`. A plain tensor or a buffer is none, nor is `nn.Parameter(…) * 0.02`: what "
            "is computed from a parameter is not one. Multiply inside its brackets.",
            (
                _with(build=_set("positions", lambda count, dim: _drawn(1, count, dim))),
                _with(build=_set("positions", lambda count, dim: nn.Parameter(torch.randn(1, count, dim)) * STD)),
                _with(build=_set("positions", lambda count, dim: torch.randn(1, count, dim, requires_grad=True))),
                _with(_new_each_call, lambda *_: None),
                _with(lambda module, tokens: tokens, lambda *_: None),
            ),
        ),
        "other-name": Mistake(
            _called("pos_embedding"),
            "The positions have another name or place. Assign an `nn.Parameter` to `self.positions`, with that name and the "
            "shape (1, num_tokens, dim): weights are copied by name.",
            (
                _called("pos_embedding", batch_axis=False),
                *(_called(name, batch_axis=axis) for name in OTHER_NAMES for axis in (True, False)),
            ),
        ),
        "no-batch-axis": Mistake(
            _shaped(lambda count, dim: (count, dim)),
            "The table has the shape (num_tokens, dim). Adding works with it, too; but here it should be "
            "(1, num_tokens, dim), so that weights can be copied by name and shape.",
        ),
        "one-vector-for-all": Mistake(
            _shaped(lambda count, dim: (1, 1, dim)),
            "There is one vector for all places, so every token gets the same one and none can be told from another. "
            "A vector for each place is asked for: (1, num_tokens, dim).",
            (_shaped(lambda count, dim: (dim,)), _shaped(lambda count, dim: (1, dim))),
        ),
        "one-number-for-a-place": Mistake(
            _shaped(lambda count, dim: (1, count, 1)),
            "Each place has one number, which is added to all features of its token. A vector of `dim` numbers is asked "
            "for: (1, num_tokens, dim).",
            (_shaped(lambda count, dim: (count, 1)),),
        ),
        "places-along-the-batch": Mistake(
            _shaped(lambda count, dim: (count, 1, dim)),
            "The table has the shape (num_tokens, 1, dim), so its places lie along the axis of the images. The first axis "
            "of a parameter is never the batch: (1, num_tokens, dim).",
            (
                _shaped(
                    lambda count, dim: (count, 1, dim),
                    lambda module, tokens: tokens + module.positions[: len(tokens)],
                ),
                _shaped(
                    lambda count, dim: (count, 1, dim),
                    lambda module, tokens: tokens + module.positions.transpose(0, 1),
                ),
            ),
        ),
        "arguments-swapped": Mistake(
            _shaped(lambda count, dim: (1, dim, count)),
            "The last two sizes of the table have changed places. Asked for is (1, num_tokens, dim).",
            (
                _shaped(
                    lambda count, dim: (1, dim, count), lambda module, tokens: tokens + module.positions.transpose(1, 2)
                ),
            ),
        ),
        "one-more-for-cls": Mistake(
            _shaped(lambda count, dim: (1, count + 1, dim)),
            "The table has one place more than there are tokens. `num_tokens` counts the CLS token already: do not add 1.",
            (
                _shaped(lambda count, dim: (1, count + 1, dim), _first_positions),
                _shaped(
                    lambda count, dim: (1, count + 1, dim), lambda module, tokens: tokens + module.positions[:, 1:]
                ),
            ),
        ),
        "fixed-count": Mistake(
            _shaped(lambda count, dim: (1, 1000, dim), _first_positions),
            "The number of places is written into the code. Use the argument `num_tokens`.",
            tuple(
                _shaped(lambda count, dim, fixed=fixed: (1, fixed, dim), forward)
                for fixed in (65, 64, 197, 196, 50, 1000, 1024, 5000)
                for forward in (_right, _first_positions)
            ),
        ),
        "fixed-dim": Mistake(
            _shaped(lambda count, dim: (1, count, 192)),
            "The length of a vector is written into the code. Use the argument `dim`.",
            tuple(
                _shaped(lambda count, dim, fixed=fixed: (1, count, fixed))
                for fixed in (32, 64, 128, 256, 384, 512, 768)
            ),
        ),
        "embedding-layer": Mistake(
            _with(_looked_up, _set("positions", nn.Embedding)),
            "An `nn.Embedding` looked up at 0, 1, 2 … computes the same. Here `positions` should be an `nn.Parameter` of "
            "shape (1, num_tokens, dim), so that weights can be copied by name and shape.",
            tuple(
                _with(
                    lambda module, tokens, name=name: tokens + getattr(module, name)(torch.arange(tokens.shape[1])),
                    _set(name, nn.Embedding),
                )
                for name in ("embedding", "pos_embedding", "position_embedding", "table")
            ),
        ),
        "linear-layer": Mistake(
            _with(
                lambda module, tokens: tokens + module.positions(tokens),
                _set("positions", lambda _, dim: nn.Linear(dim, dim)),
            ),
            "You made a linear layer. Applied to the tokens, it does the same to each, wherever it stands. Positions do not "
            "depend on the picture: they are a table of numbers, an `nn.Parameter` (1, num_tokens, dim), that is added.",
            (
                _with(
                    lambda module, tokens: module.positions(tokens),
                    _set("positions", lambda _, dim: nn.Linear(dim, dim)),
                ),
                _with(
                    lambda module, tokens: tokens + module.positions(torch.eye(tokens.shape[1]).to(tokens)),
                    _set("positions", nn.Linear),
                ),
                _with(lambda module, tokens: tokens + module.positions.weight.T, _set("positions", nn.Linear)),
            ),
        ),
        "frozen": Mistake(
            _with(build=_frozen),
            "The positions are frozen: `requires_grad` is False, so they would never learn.",
        ),
        "positions-detached": Mistake(
            _with(lambda module, tokens: tokens + module.positions.detach()),
            "The numbers are right, but no gradient reaches the positions, so they would never learn. Add "
            "`self.positions` itself, not its `.data` or `.detach()`.",
            (_with(lambda module, tokens: tokens + module.positions.data),),
        ),
        "tokens-detached": Mistake(
            _with(lambda module, tokens: tokens.detach() + module.positions),
            "The numbers are right, but no gradient reaches the tokens, so nothing before this could learn.",
        ),
        "replaced-each-call": Mistake(
            _with(_replaced_each_call),
            "`forward` draws new positions at each call: what was learned is lost. Make them once, in `__init__`.",
            (
                _with(_new_each_call),
                _with(lambda module, tokens: tokens + torch.randn(1, *tokens.shape[1:]).to(tokens)),
                _with(lambda module, tokens: tokens + torch.randn_like(tokens)),
                _with(lambda module, tokens: tokens + STD * torch.randn_like(tokens)),
                _with(lambda module, tokens: tokens + torch.randn_like(module.positions)),
                _with(lambda module, tokens: tokens + STD * torch.randn_like(module.positions)),
            ),
        ),
        "cls-left-out": Mistake(
            _with(_cls_left_out),
            "The first token gets no position. The table has a place for the CLS token, too: add it to all tokens.",
            (
                _with(
                    lambda module, tokens: torch.cat([tokens[:, :1], tokens[:, 1:] + module.positions[:, :-1]], dim=1)
                ),
            ),
        ),
        "multiplied": Mistake(
            _with(lambda module, tokens: tokens * module.positions),
            "The tokens are multiplied by the positions. Add them.",
            (_with(lambda module, tokens: tokens * (1 + module.positions)),),
        ),
        "subtracted": Mistake(
            _with(lambda module, tokens: tokens - module.positions),
            "The positions are subtracted. A model could learn that as well, but loaded weights would be wrong: add them.",
        ),
        "added-twice": Mistake(
            _with(lambda module, tokens: tokens + 2 * module.positions),
            "The positions are added twice. Once is enough.",
            (_with(lambda module, tokens: 2 * (tokens + module.positions)),),
        ),
        "averaged": Mistake(
            _with(lambda module, tokens: (tokens + module.positions) / 2),
            "You take the mean of token and position. The plain sum is asked for.",
        ),
        "scaled": Mistake(
            _with(lambda module, tokens: tokens * tokens.shape[-1] ** 0.5 + module.positions),
            "The tokens are multiplied by √D before the positions are added. The Transformer for text does that; the ViT "
            "does not.",
            (
                _with(lambda module, tokens: tokens + module.positions * tokens.shape[-1] ** 0.5),
                _with(lambda module, tokens: tokens + module.positions / tokens.shape[-1] ** 0.5),
            ),
        ),
        "std-applied-again": Mistake(
            _with(lambda module, tokens: tokens + STD * module.positions),
            "`forward` multiplies the positions by 0.02 at each call. 0.02 is the standard deviation of the numbers they "
            "*begin* with: apply it once, in `__init__`.",
        ),
        "concatenated": Mistake(
            _with(lambda module, tokens: torch.cat([tokens, module.positions.expand_as(tokens)], dim=-1)),
            "The positions are put beside the tokens instead of being added. The result has the shape of the tokens.",
            (
                _with(lambda module, tokens: torch.cat([tokens, module.positions.expand_as(tokens)], dim=1)),
                _with(lambda module, tokens: torch.cat([module.positions.expand_as(tokens), tokens], dim=1)),
                _with(lambda module, tokens: torch.cat([module.positions.expand_as(tokens), tokens], dim=-1)),
                _with(lambda module, tokens: torch.cat([tokens, module.positions], dim=0)),
            ),
        ),
        "positions-only": Mistake(
            _with(lambda module, tokens: module.positions.expand_as(tokens)),
            "Only the positions come back. Add them to the tokens.",
            (_with(lambda module, tokens: module.positions),),
        ),
        "tokens-only": Mistake(
            _with(lambda module, tokens: tokens),
            "The tokens come back as they were. Add `self.positions`; the sum has to be returned.",
        ),
        "first-image-only": Mistake(
            _with(_first_image_only),
            "Only the first image gets positions. A table with first axis 1 adds to all images by itself.",
        ),
        "same-for-all-tokens": Mistake(
            _with(lambda module, tokens: tokens + module.positions[:, :1]),
            "All tokens of an image get the same vector. Add the whole table, a vector for each place.",
            (
                _with(lambda module, tokens: tokens + module.positions[:, 0]),
                _with(lambda module, tokens: tokens + module.positions.mean(dim=1, keepdim=True)),
                _with(lambda module, tokens: tokens + module.positions.sum(dim=1, keepdim=True)),
            ),
        ),
        "by-image": Mistake(
            _with(_by_image),
            "Image 0 gets the vector of place 0, image 1 that of place 1: places are taken along the batch. All images "
            "share one table, and a token gets the vector of its place.",
        ),
        "shifted": Mistake(
            _with(lambda module, tokens: tokens + module.positions.roll(1, dims=1)),
            "Each token gets the position of a neighbour. Token i gets row i of the table.",
            (
                _with(lambda module, tokens: tokens + module.positions.roll(-1, dims=1)),
                _with(lambda module, tokens: tokens + module.positions.flip(1)),
            ),
        ),
        "dropout": Mistake(
            _with(lambda module, tokens: F.dropout(tokens + module.positions, 0.1, module.training)),
            "There is a dropout after the sum. The paper has one there; ours acts inside the MLP only (lesson 06).",
            tuple(
                _with(lambda module, tokens, share=share: F.dropout(tokens + module.positions, share, module.training))
                for share in (0.2, 0.3, 0.5)
            ),
        ),
        "normed": Mistake(
            _with(lambda module, tokens: F.layer_norm(tokens + module.positions, tokens.shape[-1:])),
            "A norm follows the sum. In a ViT the norms sit in the encoder; here there is only the sum.",
            (
                _with(lambda module, tokens: F.layer_norm(tokens + module.positions, tokens.shape[-1:], eps=1e-6)),
                _with(lambda module, tokens: F.layer_norm(tokens, tokens.shape[-1:]) + module.positions),
            ),
        ),
        "starts-at-zero": Mistake(
            _starting(lambda count, dim: torch.zeros(1, count, dim)),
            "The positions begin at 0. They would learn from there as well; asked for is a normal distribution with "
            "standard deviation 0.02, as in the paper's code: `0.02 * torch.randn(…)`.",
            (_starting(lambda count, dim: torch.ones(1, count, dim)),),
        ),
        "start-too-large": Mistake(
            _starting(lambda count, dim: torch.randn(1, count, dim)),
            "What the positions begin with varies by more than the standard deviation 0.02. `torch.randn` has 1: multiply it "
            "by 0.02. With `nn.init.normal_` write `std=0.02`: its second argument is the mean.",
            (
                *(
                    _starting(lambda count, dim, scale=scale: scale * torch.randn(1, count, dim))
                    for scale in (0.025, 0.1, 0.2)
                ),
                _starting(lambda count, dim: nn.init.normal_(torch.empty(1, count, dim), 0.02)),
            ),
        ),
        "start-too-small": Mistake(
            _starting(lambda count, dim: 0.01 * torch.randn(1, count, dim)),
            "What the positions begin with varies by less than the standard deviation 0.02. (0.02 squared, the variance, "
            "is 0.0004.)",
            (
                *(
                    _starting(lambda count, dim, scale=scale: scale * torch.randn(1, count, dim))
                    for scale in (0.0004, 0.001, 0.002, 0.018)
                ),
                _starting(lambda count, dim: nn.init.xavier_normal_(torch.empty(1, count, dim))),
            ),
        ),
        "starts-cut-off": Mistake(
            _starting(
                lambda count, dim: nn.init.trunc_normal_(torch.empty(1, count, dim), std=STD, a=-2 * STD, b=2 * STD)
            ),
            "What the positions begin with is normal, but cut off at two standard deviations, which makes the spread smaller "
            "than 0.02. Take a plain normal distribution: `0.02 * torch.randn(…)`.",
        ),
        "starts-uniform": Mistake(
            _starting(lambda count, dim: torch.rand(1, count, dim)),
            "What the positions begin with is spread evenly or lies to one side of 0. A normal distribution around 0 is "
            "asked for: `torch.randn`, not `torch.rand`, times 0.02.",
            (
                _starting(lambda count, dim: 0.02 * torch.rand(1, count, dim)),
                _starting(lambda count, dim: 0.04 * torch.rand(1, count, dim) - 0.02),
                _starting(lambda count, dim: 2 * torch.rand(1, count, dim) - 1),
                _starting(lambda count, dim: (torch.rand(1, count, dim) - 0.5) * 0.02 * 12**0.5),
                _starting(lambda count, dim: 0.02 + 0.02 * torch.randn(1, count, dim)),
                _starting(lambda count, dim: 0.02 * 12**0.5 * torch.rand(1, count, dim)),
                _starting(lambda count, dim: 0.02 * torch.randn(1, count, dim).abs()),
            ),
        ),
        "starts-alike": Mistake(
            _starting(lambda count, dim: _drawn(1, 1, dim).repeat(1, count, 1)),
            "All places begin with the same vector. Draw num_tokens · dim numbers, each for itself.",
            (_starting(lambda count, dim: _drawn(1, count, 1).repeat(1, 1, dim)),),
        ),
        **universal_mistakes(LearnedPositions),
    },
)


def _sincos_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 8)
    height, width = draw.sizes(height=range(2, 9), width=range(2, 9))
    sizes = [
        (height, width, 16),
        (width, height, 16),
        (2, 3, 8),
        (5, 2, 12),
        (1, 4, 8),
        (6, 1, 20),
        (3, 4, 4),
        (1, 1, 8),
    ]
    sizes += [(4, 4, 24), (7, 3, 64), (8, 8, 192), (*draw.sizes(height=range(9, 15), width=range(9, 15)), 40)]
    cases = [
        Case(f"a grid of {h} × {w} patches, dim {dim}", {"height": h, "width": w, "dim": dim}) for h, w, dim in sizes
    ]
    for dim in (6, 10, 7, 2, 30):
        label = f"a grid of {height} × {width} patches and dim {dim}, which 4 does not divide"
        cases.append(Case(label, {"height": height, "width": width, "dim": dim}))
    return cases


SinCos = Callable[[int, int, int], Tensor]
Places = tuple[Tensor, Tensor]


def _refusing(table: SinCos) -> SinCos:
    """The same, with the ValueError that is asked for."""

    def run(height: int, width: int, dim: int) -> Tensor:
        if dim % 4:
            raise ValueError("dim has to be divisible by 4")
        return table(height, width, dim)

    return run


def _rows_and_columns(height: int, width: int) -> Places:
    """Row and column of each place, row by row: (N,) and (N,)."""
    return torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)


def _down_the_columns(height: int, width: int) -> Places:
    return torch.arange(height).repeat(width), torch.arange(width).repeat_interleave(height)


def _omega(count: int, base: float = 10000.0, over: float | None = None) -> Tensor:
    return base ** (-torch.arange(count) / (count if over is None else over))


def _waves(places: Tensor, omega: Tensor, *, swapped: bool = False, interleaved: bool = False) -> Tensor:
    angles = places[:, None] * omega
    sin, cos = (angles.cos(), angles.sin()) if swapped else (angles.sin(), angles.cos())
    return torch.stack([sin, cos], dim=-1).flatten(1) if interleaved else torch.cat([sin, cos], dim=1)


def _table(
    places: Callable[[int, int], Places] = _rows_and_columns,
    omega: Callable[[int], Tensor] = _omega,
    columns_first: bool = False,
    **options: bool,
) -> SinCos:
    """The right table but for what is given: places (height, width) → rows, columns; omega (dim / 4,)."""

    def run(height: int, width: int, dim: int) -> Tensor:
        halves = [_waves(axis, omega(dim // 4), **options) for axis in places(height, width)]
        return torch.cat(halves[::-1] if columns_first else halves, dim=1)

    return _refusing(run)


def _one_dimensional(first: int = 0, **options: bool) -> SinCos:
    return _refusing(
        lambda height, width, dim: _waves(torch.arange(first, height * width + first), _omega(dim // 2), **options)
    )


def _changed(change: Callable[[Tensor, int, int], object], table: SinCos = sincos_positions) -> SinCos:
    return lambda height, width, dim: change(table(height, width, dim), height, width)


def _summed(height: int, width: int, dim: int) -> Tensor:
    rows, columns = _rows_and_columns(height, width)
    return _waves(rows, _omega(dim // 2)) + _waves(columns, _omega(dim // 2))


def _grouped(height: int, width: int, dim: int) -> Tensor:
    angles = [axis[:, None] * _omega(dim // 4) for axis in _rows_and_columns(height, width)]
    return torch.cat([wave(angle) for wave in (torch.sin, torch.cos) for angle in angles], dim=1)


def _one_wave(wave: Callable[[Tensor], Tensor], per_axis: bool) -> SinCos:
    def run(height: int, width: int, dim: int) -> Tensor:
        count = dim // 2 if per_axis else dim // 4
        parts = [wave(axis[:, None] * _omega(count)) for axis in _rows_and_columns(height, width)]
        return torch.cat(parts if per_axis else [part for part in parts for _ in range(2)], dim=1)

    return _refusing(run)


def _scaled(scale: Callable[[Tensor, int], Tensor]) -> Callable[[int, int], Places]:
    def places(height: int, width: int) -> Places:
        rows, columns = _rows_and_columns(height, width)
        return scale(rows, height), scale(columns, width)

    return places


def _asserting(height: int, width: int, dim: int) -> Tensor:
    assert dim % 4 == 0, "dim has to be divisible by 4"
    return sincos_positions(height, width, dim)


def _only_even(height: int, width: int, dim: int) -> Tensor:
    if dim % 2:
        raise ValueError("dim has to be even")
    return _unchecked(height, width, dim)


def _unchecked(height: int, width: int, dim: int) -> Tensor:
    omega = _omega(dim // 4) if dim >= 4 else torch.ones(0)
    return torch.cat([_waves(axis, omega) for axis in _rows_and_columns(height, width)], dim=1)


def _unchecked_by_step(height: int, width: int, dim: int) -> Tensor:
    omega = 1 / 10000 ** (torch.arange(dim // 2 // 2) / (dim / 4))
    return torch.cat([_waves(axis, omega) for axis in _rows_and_columns(height, width)], dim=1)


SINCOS_POSITIONS = Exercise(
    name="sincos_positions",
    lesson="04",
    points=2,
    reference=sincos_positions,
    cases=_sincos_cases,
    observe=call,
    axes={"output": "place feature"},
    hints=(
        "Begin with one axis: the angles position · ω_i are an outer product, (places, 1) times (dim/4,). Then "
        "`torch.cat([angles.sin(), angles.cos()], dim=1)` is half of the table.",
        "Number the places with n = 0, 1, 2 …, row by row: the row is `n // width`, the column `n % width`. "
        "`omega = 10000.0 ** (-torch.arange(dim // 4) / (dim // 4))`.",
        "Write `half(places)` for one axis, and give back `torch.cat([half(n // width), half(n % width)], dim=1)`. Before "
        "that: `if dim % 4: raise ValueError(…)`.",
    ),
    reasoning="The table has no parameters and can be made for any grid. Low frequencies say roughly where a place is, high "
    "ones exactly. Rows and columns each have half of the features, so that a step down and a step to the right "
    "change different numbers.",
    mistakes={
        "interleaved": Mistake(
            _table(interleaved=True),
            "Sines and cosines alternate: sin, cos, sin, cos … They hold the same, in another order. Asked for are, in each "
            "half, all sines first and then all cosines.",
        ),
        "columns-first": Mistake(
            _table(columns_first=True),
            "The first half of the features tells the column, the second the row. Rows come first. (The published code of "
            "MAE has the columns first; a model trained from scratch does not mind, loaded weights do.)",
            (_table(columns_first=True, interleaved=True),),
        ),
        "down-the-columns": Mistake(
            _table(_down_the_columns),
            "The places run down the columns. Patches are numbered row by row, so place 1 is to the right of place 0: with "
            '`torch.meshgrid`, use `indexing="ij"`.',
            (_table(_down_the_columns, interleaved=True),),
        ),
        "repeated-alike": Mistake(
            _table(lambda height, width: (torch.arange(height).repeat(width), torch.arange(width).repeat(height))),
            "Rows and columns are both spread over the places in the same way. Row by row, each row number stands `width` "
            "times in a row, `repeat_interleave(width)`: 0, 0, 0, 1, 1, 1. The column numbers come again and again, "
            "`repeat(height)`: 0, 1, 2, 0, 1, 2.",
            (
                _table(
                    lambda height, width: (
                        torch.arange(height).repeat_interleave(width),
                        torch.arange(width).repeat_interleave(height),
                    )
                ),
            ),
        ),
        "height-and-width-swapped": Mistake(
            _refusing(lambda height, width, dim: sincos_positions(width, height, dim)),
            "Height and width have changed places, so the grid is that of a picture lying on its side. Row: "
            "`n // width`. Column: `n % width`.",
            (
                _table(
                    lambda height, width: (
                        torch.arange(height * width) // height,
                        torch.arange(height * width) % height,
                    ),
                    interleaved=True,
                ),
            ),
        ),
        "one-dimensional": Mistake(
            _one_dimensional(),
            "The places are counted 0, 1, 2 … along one line, as words are. Row and column are asked for, each with half of "
            "the features.",
            (
                _one_dimensional(interleaved=True),
                _one_dimensional(1),
                _one_dimensional(1, interleaved=True),
                _one_dimensional(swapped=True),
            ),
        ),
        "counted-from-one": Mistake(
            _table(lambda height, width: tuple(axis + 1 for axis in _rows_and_columns(height, width))),
            "Rows and columns are counted from 1. They begin at 0, whose sines are 0 and whose cosines are 1.",
            (
                _table(
                    lambda height, width: tuple(axis + 1 for axis in _rows_and_columns(height, width)), interleaved=True
                ),
            ),
        ),
        "omega-exponent": Mistake(
            _table(omega=lambda count: _omega(count, over=2 * count)),
            "The frequencies fall at another pace. With dim/4 of them, ω_i = 10000^(-i / (dim/4)): i runs over 0 … dim/4 - 1, "
            "and the exponent over 0 … nearly 1.",
            (
                _table(omega=lambda count: _omega(count, over=4 * count)),
                _table(omega=lambda count: _omega(count, over=count / 2)),
                _table(omega=lambda count: _omega(count, over=count - 1)),
                _table(omega=lambda count: _omega(count, over=max(count - 1, 1))),
                _table(omega=lambda count: _omega(count, over=8 * count)),
                _table(omega=lambda count: 10000.0 ** -torch.arange(count)),
                _table(omega=lambda count: 10000.0 ** (-(torch.arange(count) + 1) / count)),
                _table(omega=lambda count: torch.logspace(0, -4, count)),
                _table(omega=lambda count: _omega(count, over=2 * count), interleaved=True),
                _table(omega=lambda count: _omega(count, over=count / 2), interleaved=True),
            ),
        ),
        "frequencies-rise": Mistake(
            _table(omega=lambda count: 1 / _omega(count)),
            "The frequencies rise from 1 to nearly 10,000, where neighbours get numbers that have nothing to do with each "
            "other. They fall: the exponent has a minus, or you divide by the power.",
            # The last digits of such large angles depend on how the power is written.
            (
                *(
                    _table(omega=omega, interleaved=interleaved)
                    for interleaved in (False, True)
                    for omega in (
                        lambda count: 10000.0 ** (torch.arange(count) / count),
                        lambda count: torch.tensor([10000 ** (i / count) for i in range(count)]),
                        lambda count: torch.exp(math.log(10000) * torch.arange(count) / count),
                        lambda count: torch.exp(torch.arange(count) * (math.log(10000) / count)),
                    )
                ),
                _changed(
                    lambda table, *_: table.float(),
                    _table(omega=lambda count: 10000.0 ** (torch.arange(count, dtype=torch.float64) / count)),
                ),
            ),
        ),
        "frequencies-reversed": Mistake(
            _table(omega=lambda count: _omega(count).flip(0)),
            "The frequencies come in the opposite order. ω_0 = 1 is the first.",
        ),
        "other-base": Mistake(
            _table(omega=lambda count: _omega(count, 1000.0)),
            "The frequencies begin rightly and then fall at another pace: is the base 10000, and are there no powers of e in "
            "the place of it?",
            tuple(
                _table(omega=lambda count, base=base: _omega(count, base))
                for base in (20.0, 500.0, 100000.0, math.e, 2.0)
            ),
        ),
        "cosines-first": Mistake(
            _table(swapped=True),
            "In each half the cosines come first. Sines first, then cosines.",
            (_table(swapped=True, interleaved=True),),
        ),
        "grouped-by-wave": Mistake(
            _refusing(_grouped),
            "All sines come first, those of the rows and of the columns, then all cosines. The first *half* is for the "
            "row, with its sines and its cosines; the second for the column.",
        ),
        "one-wave": Mistake(
            _one_wave(torch.sin, per_axis=True),
            "There are only sines or only cosines. Each half has both: dim/4 sines and dim/4 cosines.",
            (
                _one_wave(torch.sin, per_axis=False),
                _one_wave(torch.cos, per_axis=True),
                _one_wave(torch.cos, per_axis=False),
            ),
        ),
        "one-axis-twice": Mistake(
            _table(lambda height, width: (_rows_and_columns(height, width)[0],) * 2),
            "Both halves tell the same: the row twice, or the column twice. Then all places of a row, or of a column, are "
            "one and the same.",
            (_table(lambda height, width: (_rows_and_columns(height, width)[1],) * 2),),
        ),
        "summed": Mistake(
            _refusing(_summed),
            "Row and column each have all features, and are added. Asked for is one beside the other, half of the features "
            "each.",
        ),
        "scaled-to-one": Mistake(
            _table(_scaled(lambda axis, size: axis / size)),
            "Rows and columns are scaled by the size of the grid. They are counted: 0, 1, 2 …",
            (
                _table(_scaled(lambda axis, size: axis / max(size - 1, 1))),
                _table(_scaled(lambda axis, size: axis / (size - 1))),
                _table(_scaled(lambda axis, size: axis / size * 2 * math.pi)),
                _table(_scaled(lambda axis, size: axis / max(size - 1, 1) * 2 * math.pi)),
                _table(_scaled(lambda axis, size: axis - (size - 1) / 2)),
                _table(_scaled(lambda axis, size: 2 * axis / max(size - 1, 1) - 1)),
            ),
        ),
        "in-turns": Mistake(
            _table(omega=lambda count: 2 * math.pi * _omega(count)),
            "The angles are multiplied by π or 2π. They are position · ω_i, in radians.",
            (_table(omega=lambda count: math.pi * _omega(count)),),
        ),
        "grid-kept": Mistake(
            _changed(lambda table, height, width: table.unflatten(0, (height, width))),
            "The places still stand in rows and columns. Asked for is one line of them: (height·width, dim).",
        ),
        "batch-axis": Mistake(
            _changed(lambda table, height, width: table[None]),
            "There is an axis of size 1 in front. Asked for is (height·width, dim).",
        ),
        "features-before-places": Mistake(
            _changed(lambda table, height, width: table.T),
            "The axes have changed places. Asked for is (height·width, dim): a row for each place.",
        ),
        "cls-row": Mistake(
            _changed(lambda table, height, width: torch.cat([torch.zeros(1, table.shape[1]), table])),
            "There is a row too many, for the CLS token perhaps. This table is for the patches: height·width rows.",
        ),
        "float64": Mistake(
            _changed(lambda table, height, width: table.double()),
            "The table is float64. Torch's default, float32, is asked for: numpy computes in float64, so add `.float()`.",
        ),
        "too-few-numbers": Mistake(
            _changed(lambda table, height, width: table.sum()),
            "One number comes back. A vector of `dim` numbers for each place is asked for.",
            (_changed(lambda table, height, width: table.mean(dim=1)), _changed(lambda table, *_: table.mean())),
        ),
        "no-value-error": Mistake(
            _unchecked,
            "The table is right, but where 4 does not divide `dim`, your code carries on. Stop it first thing with "
            "`raise ValueError(…)`: it would give too few features, or a puzzling error later.",
            (
                _unchecked_by_step,
                lambda height, width, dim: _unchecked(height, width, dim) if dim % 4 == 0 else None,
                lambda height, width, dim: F.pad(_unchecked(height, width, dim), (0, dim % 4)),
            ),
        ),
        "only-even": Mistake(
            _only_even,
            "Your code refuses an odd `dim`, but not 6 or 10. Two halves of sines and cosines each: 4 has to divide it.",
        ),
        "assertion": Mistake(
            _asserting,
            "Where 4 does not divide `dim`, an `AssertionError` is raised. A `ValueError` is asked for: `if dim % 4: raise "
            "ValueError(…)`. (`python -O` leaves every `assert` out.)",
        ),
        **{
            slug: mistake
            for slug, mistake in universal_mistakes(
                sincos_positions, gradients=False, dtypes=False, layouts=False
            ).items()
            if slug != "changes-input"  # there is no tensor to change
        },
    },
)


def _similarity_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 9)

    def positions(places: int, dim: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Vectors of different lengths around a point that is not 0."""
        lengths = 0.5 + 2 * draw.normal(places, 1, dtype=dtype).abs()
        return lengths * (draw.normal(places, dim, dtype=dtype) + 0.4 * draw.normal(1, dim, dtype=dtype))

    def sizes() -> list[int]:
        return draw.sizes(places=range(3, 12), dim=range(4, 14))

    drawn = [
        ("", positions(*sizes()), {}),
        ("", positions(*sizes()), {}),
        ("", positions(*draw.sizes(places=range(12, 20), dim=range(4, 10))), {}),
        ("", positions(9, 9), {}),
        ("again, ", positions(9, 9), {}),
        ("", positions(1, 5), {}),
        ("", positions(2, 7), {}),
        ("", positions(65, 24), {}),
        ("", positions(*sizes(), dtype=torch.float64), {}),
        ("small numbers, ", 0.2 * draw.normal(*sizes(), dtype=torch.float64), {}),
        ("not contiguous in memory, ", positions(*sizes()), {"strided": True}),
    ]
    cases = []
    for note, one, options in drawn:
        name = "" if one.dtype == torch.float32 else f", {str(one.dtype).removeprefix('torch.')}"
        label = f"{note}{len(one)} place{'s' * (len(one) > 1)} with {one.shape[1]} numbers each{name}"
        cases.append(Case(label, {"positions": one}, **options))
    return cases


def _unit(positions: Tensor, dim: int = 1) -> Tensor:
    return positions / positions.norm(dim=dim, keepdim=True)


def _cosine(positions: Tensor) -> Tensor:
    return _unit(positions) @ _unit(positions).T


def _neighbours_only(positions: Tensor) -> Tensor:
    return F.cosine_similarity(positions[:-1], positions[1:], dim=1)


POSITION_SIMILARITY = Exercise(
    name="position_similarity",
    lesson="04",
    points=1,
    reference=position_similarity,
    cases=_similarity_cases,
    axes={"positions": "place feature", "output": "place place"},
    hints=(
        "Cosine: the dot product of two vectors, divided by the lengths of both. Or: make every vector one long first, then "
        "take dot products.",
        "The length of each row: `positions.norm(dim=1, keepdim=True)`, shape (N, 1).",
        "`unit = positions / positions.norm(dim=1, keepdim=True)`, then `unit @ unit.T` holds all pairs.",
    ),
    reasoning="Divided by its length, each vector keeps only its direction; the dot product of two such is the cosine of "
    "the angle between them. One matrix product does it for all pairs.",
    mistakes={
        "not-normalised": Mistake(
            lambda positions: positions @ positions.T,
            "These are plain dot products: long vectors seem alike to everything. Divide by the lengths of both; then the "
            "diagonal is 1.",
            (
                lambda positions: positions @ positions.T / positions.shape[1],
                lambda positions: positions @ positions.T / positions.shape[1] ** 0.5,
            ),
        ),
        "features-normalised": Mistake(
            lambda positions: _unit(positions, 0) @ _unit(positions, 0).T,
            "The lengths are taken along the wrong axis: each *feature* has length 1 now. Each place should: `dim=1`.",
        ),
        "normalised-as-a-whole": Mistake(
            lambda positions: (positions / positions.norm()) @ (positions / positions.norm()).T,
            "The whole table is divided by one number. Each row has a length of its own: `norm(dim=1, keepdim=True)`.",
            (
                lambda positions: positions @ positions.T / positions.norm(),
                lambda positions: positions @ positions.T / (positions @ positions.T).max(),
                lambda positions: positions @ positions.T / (positions @ positions.T).abs().max(),
            ),
        ),
        "one-side-normalised": Mistake(
            lambda positions: _unit(positions) @ positions.T,
            "Only one of the two vectors is divided by its length. Divide by both.",
            (lambda positions: positions @ _unit(positions).T,),
        ),
        "length-squared": Mistake(
            lambda positions: positions @ positions.T / positions.square().sum(dim=1, keepdim=True),
            "A row is divided by its squared length, as if both vectors were equally long. Divide by the length of the one "
            "and by the length of the other. (`norm` has a root in it, `square().sum()` has none.)",
            (
                lambda positions: positions @ positions.T / positions.square().sum(dim=1),
                lambda positions: (
                    (positions / positions.square().sum(dim=1, keepdim=True))
                    @ (positions / positions.square().sum(dim=1, keepdim=True)).T
                ),
            ),
        ),
        "other-norm": Mistake(
            lambda positions: F.normalize(positions, p=1, dim=1) @ F.normalize(positions, p=1, dim=1).T,
            "The rows are divided by the sum of their absolute values, by their largest number or by their standard "
            "deviation. Length means the root of the sum of squares.",
            (
                lambda positions: (
                    (positions / positions.abs().amax(1, keepdim=True))
                    @ (positions / positions.abs().amax(1, keepdim=True)).T
                ),
                lambda positions: (
                    (positions / positions.std(1, keepdim=True)) @ (positions / positions.std(1, keepdim=True)).T
                ),
            ),
        ),
        "correlation": Mistake(
            lambda positions: _cosine(positions - positions.mean(dim=1, keepdim=True)),
            "The mean of each vector is taken away first. That is the correlation; the cosine leaves the vectors where they "
            "are.",
            (torch.corrcoef,),
        ),
        "centred": Mistake(
            lambda positions: _cosine(positions - positions.mean(dim=0)),
            "The mean of all places is taken away first. That can be worth a look, but it is another question: the cosine "
            "leaves the vectors where they are.",
            (lambda positions: _cosine(positions - positions.mean()),),
        ),
        "distance": Mistake(
            lambda positions: (positions[:, None] - positions).square().sum(-1),
            "These are distances: 0 for a place and itself, large for those that differ. The cosine is 1 on the diagonal.",
            (
                lambda positions: -(positions[:, None] - positions).square().sum(-1),
                lambda positions: torch.cdist(positions, positions),
                lambda positions: -torch.cdist(positions, positions),
                lambda positions: 1 - _cosine(positions),
                lambda positions: (positions[:, None] - positions).abs().sum(-1),
            ),
        ),
        "softmax": Mistake(
            lambda positions: _cosine(positions).softmax(dim=-1),
            "A softmax turned the similarities into shares that add up to 1. That is for attention; here the cosines are "
            "asked for.",
            (
                lambda positions: (positions @ positions.T).softmax(dim=-1),
                lambda positions: (positions @ positions.T / positions.shape[1] ** 0.5).softmax(dim=-1),
            ),
        ),
        "angle": Mistake(
            lambda positions: _cosine(positions).clamp(-1, 1).acos(),
            "These are angles. Their cosines are asked for, from -1 to 1.",
            (lambda positions: torch.rad2deg(_cosine(positions).clamp(-1, 1).acos()),),
        ),
        "absolute": Mistake(
            lambda positions: _cosine(positions).abs(),
            "The sign is lost: opposite directions seem alike. Leave -1 at -1.",
            (lambda positions: _cosine(positions).square(), lambda positions: _cosine(positions).relu()),
        ),
        "from-zero-to-one": Mistake(
            lambda positions: (1 + _cosine(positions)) / 2,
            "The cosines are squeezed into 0 … 1. They go from -1 to 1.",
        ),
        "features-compared": Mistake(
            lambda positions: _unit(positions, 0).T @ _unit(positions, 0),
            "You compare features with features, which gives (D, D). Places are compared: unit @ unit.T, (N, N).",
            (
                lambda positions: positions.T @ positions,
                lambda positions: _unit(positions).T @ _unit(positions),
            ),
        ),
        "with-itself": Mistake(
            lambda positions: F.cosine_similarity(positions, positions, dim=1),
            "Each place is compared with one other, or only with itself: (N,) numbers. All pairs are asked for, (N, N).",
            (
                lambda positions: _cosine(positions)[0],
                lambda positions: _cosine(positions)[:1],
                lambda positions: F.cosine_similarity(positions[:1], positions, dim=1),
                _neighbours_only,
                lambda positions: F.cosine_similarity(positions, positions, dim=0),
            ),
        ),
        "along-the-places": Mistake(
            lambda positions: F.cosine_similarity(positions[:, None], positions, dim=1),
            "`F.cosine_similarity` adds up along the places here, which leaves (N, D). Between (N, 1, D) and (N, D) the "
            "features are the last axis: `dim=-1`. (Its default is 1.)",
            (
                lambda positions: F.cosine_similarity(positions[:, None], positions, dim=0),
                lambda positions: F.cosine_similarity(positions, positions[:, None], dim=1),
            ),
        ),
        "first-left-out": Mistake(
            lambda positions: _cosine(positions[1:]),
            "The first place is missing. This function compares all that it is given; leave CLS out before you call it.",
        ),
        "diagonal-removed": Mistake(
            lambda positions: _cosine(positions) - torch.eye(len(positions)).to(positions),
            "The diagonal is not 1. A place is like itself: leave it in.",
            (lambda positions: _cosine(positions).fill_diagonal_(0),),
        ),
        "half-only": Mistake(
            lambda positions: _cosine(positions).triu(),
            "Half of the pairs are 0. Fill both sides of the diagonal: it is the same for (i, j) and (j, i).",
            (
                lambda positions: _cosine(positions).tril(),
                lambda positions: _cosine(positions).triu(1),
                lambda positions: _cosine(positions).tril(-1),
            ),
        ),
        "batch-axis": Mistake(
            lambda positions: _cosine(positions)[None],
            "There is an axis of size 1 in front. Asked for is (N, N).",
        ),
        **{
            slug: mistake
            for slug, mistake in universal_mistakes(position_similarity).items()
            if slug != "detours-through-float32"  # float32's digits are enough here
        },
    },
)

EXERCISES = (LEARNED_POSITIONS, POSITION_SIMILARITY, SINCOS_POSITIONS)  # as the lesson has them
