"""Lesson 11: tokens out of a feature map, and numbers for the steps between patches."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit_course.checks.catalogue.cases import Draw, describe_images
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.hybrid_observers import build_on_backbone, network
from vit_course.checks.observers import Case
from vit_course.hybrids import HybridEmbedding, relative_position_index

# -- HybridEmbedding


def _convs(in_channels: int, hidden: int, channels: int, stride: tuple[int, int]) -> tuple[tuple, ...]:
    return (
        ("conv", in_channels, hidden, 3, stride, 1),
        ("relu",),
        ("conv", hidden, channels, 3, 1, 1),
    )


def _with_norm(in_channels: int, hidden: int, channels: int, stride: tuple[int, int]) -> tuple[tuple, ...]:
    first, *others = _convs(in_channels, hidden, channels, stride)
    return (first, ("norm", hidden), *others)


def _not_contiguous(*sizes: Any) -> tuple[tuple, ...]:
    return (*_convs(*sizes), ("other memory order",))


def _alone(in_channels: int, hidden: int, channels: int, stride: tuple[int, int]) -> tuple[tuple, ...]:
    return (("conv", in_channels, channels, 3, stride, 1),)


Layers = Callable[[int, int, int, tuple[int, int]], tuple[tuple, ...]]


def _hybrid_case(
    draw: Draw,
    note: str,
    sizes: tuple[int, ...],
    layers: Layers = _convs,
    stride: tuple[int, int] = (2, 2),
    dtype: torch.dtype = torch.float32,
    **options: bool,
) -> Case:
    """`sizes`: batch, channels of the images, rows and columns of the feature map, its channels, dim."""
    batch, in_channels, rows, columns, channels, dim = sizes
    chosen = layers(in_channels, channels + 1, channels, stride)
    named = {f"backbone.{name}": value.shape for name, value in network(chosen).named_parameters()}
    named |= {"projection.weight": (dim, channels), "projection.bias": (dim,)}
    # Scaled by 1/√inputs, so that sums stay small. None is zero or one: there a mistake could hide.
    state = {
        name: draw.normal(*shape, dtype=dtype) / (shape[1:].numel() ** 0.5 if len(shape) > 1 else 1)
        for name, shape in ((name, torch.Size(shape)) for name, shape in named.items())
    }
    images = draw.normal(batch, in_channels, rows * stride[0], columns * stride[1], dtype=dtype)
    label = f"{note}{describe_images(images)}, a feature map of {channels} channels, {rows} × {columns}, dim {dim}"
    inputs = {"backbone": chosen, "channels": channels, "dim": dim}
    return Case(label, inputs, forward={"images": images}, state=state, **options)


def _hybrid_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 110)

    def sizes(**fixed: tuple[int, ...]) -> tuple[int, ...]:
        choices = {"batch": (2, 3, 5), "in_channels": (1, 3), "rows": range(2, 7), "columns": range(2, 7)}
        return tuple(draw.sizes(**choices | {"channels": (7, 8, 9, 10), "dim": (11, 12, 13, 14)} | fixed))

    again = sizes(in_channels=(3,))
    return [
        _hybrid_case(draw, "", sizes(rows=(2, 3), columns=(5, 6))),
        _hybrid_case(draw, "", sizes(rows=(5, 6), columns=(2, 3)), stride=(2, 3)),
        _hybrid_case(draw, "", again),
        _hybrid_case(draw, "again, ", again),
        _hybrid_case(draw, "", sizes(), _with_norm, dtype=torch.float64),
        _hybrid_case(draw, "eval mode, ", sizes(), _with_norm, dtype=torch.float64, train=False),
        _hybrid_case(draw, "one convolution, ", sizes(), _alone),
        _hybrid_case(draw, "", sizes(batch=(1,))),
        _hybrid_case(draw, "", (3, 2, 1, 5, 8, 11)),  # a feature map of one row
        _hybrid_case(draw, "", (2, 3, 1, 1, 7, 12)),  # of one place
        _hybrid_case(draw, "", (3, 1, 6, 2, 12, 10)),  # as many places as channels
        _hybrid_case(draw, "", (2, 1, 4, 3, 9, 9)),  # dim as many as channels
        # The backbone changes no size at all: left out, it would not be missed.
        _hybrid_case(draw, "", (2, 3, 4, 5, 3, 6), stride=(1, 1)),
        _hybrid_case(draw, "", (2, 3, 8, 8, 6, 10), _alone),
        _hybrid_case(draw, "", (2, 3, 4, 4, 6, 10)),
        _hybrid_case(draw, "not contiguous in memory, ", sizes(), strided=True),
        _hybrid_case(draw, "its feature map not contiguous in memory, ", sizes(), _not_contiguous),
    ]


Build = Callable[[nn.Module, nn.Module, int, int], Any]
Forward = Callable[[nn.Module, Tensor], Tensor]


def _tokens(features: Tensor) -> Tensor:
    return rearrange(features, "b c h w -> b (h w) c")


def _right(module: nn.Module, images: Tensor) -> Tensor:
    return module.projection(_tokens(module.backbone(images)))


def _keep(module: nn.Module, backbone: nn.Module, channels: int, dim: int) -> None:
    module.backbone = backbone
    module.projection = nn.Linear(channels, dim)


def _hybrid(forward: Forward = _right, build: Build = _keep) -> type[nn.Module]:
    """A HybridEmbedding with another forward or other parts."""

    class Wrong(nn.Module):
        def __init__(self, backbone: nn.Module, channels: int, dim: int) -> None:
            super().__init__()
            build(self, backbone, channels, dim)

        def forward(self, images: Tensor) -> Tensor:
            return forward(self, images)

    return Wrong


def _flattened(tokens: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    """One that makes tokens of the feature map in another way."""
    return _hybrid(lambda module, images: module.projection(tokens(module.backbone(images))))


def _afterwards(change: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    """One that does something more with the right tokens."""
    return _hybrid(lambda module, images: change(_right(module, images)))


def _and(more: Build, forward: Forward = _right) -> type[nn.Module]:
    """One with something more in `__init__`."""

    def build(module: nn.Module, backbone: nn.Module, channels: int, dim: int) -> None:
        _keep(module, backbone, channels, dim)
        more(module, backbone, channels, dim)

    return _hybrid(forward, build)


def _projecting(make: Callable[[int, int], nn.Module], forward: Forward = _right) -> type[nn.Module]:
    """One with another projection."""
    return _and(lambda module, _, channels, dim: setattr(module, "projection", make(channels, dim)), forward)


def _projection_called(name: str) -> type[nn.Module]:
    def build(module: nn.Module, backbone: nn.Module, channels: int, dim: int) -> None:
        module.backbone = backbone
        setattr(module, name, nn.Linear(channels, dim))

    return _hybrid(lambda module, images: getattr(module, name)(_tokens(module.backbone(images))), build)


def _backbone_as(make: Callable[[nn.Module, int], Any]) -> type[nn.Module]:
    """One that keeps something else under the name `backbone`."""
    return _and(lambda module, backbone, channels, _: _set(module, make(backbone, channels)))


def _set(module: nn.Module, backbone: Any) -> None:
    if not isinstance(backbone, nn.Module):
        del module.backbone
    module.backbone = backbone


def _backbone_called(name: str) -> type[nn.Module]:
    def build(module: nn.Module, backbone: nn.Module, channels: int, dim: int) -> None:
        setattr(module, name, backbone)
        module.projection = nn.Linear(channels, dim)

    return _hybrid(lambda module, images: module.projection(_tokens(getattr(module, name)(images))), build)


def _without_gradients(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        features = module.backbone(images)
    return module.projection(_tokens(features))


def _in_eval(module: nn.Module, images: Tensor) -> Tensor:
    module.backbone.eval()
    return _right(module, images)


def _in_train(module: nn.Module, images: Tensor) -> Tensor:
    module.backbone.train()
    return _right(module, images)


def _as_convolution(module: nn.Module, images: Tensor) -> Tensor:
    return _tokens(module.projection(module.backbone(images)))


def _along_the_row(module: nn.Module, images: Tensor) -> Tensor:
    return module.projection(module.backbone(images).flatten(2)).mT


def _with_cls(at_end: bool = False) -> type[nn.Module]:
    def forward(module: nn.Module, images: Tensor) -> Tensor:
        tokens = _right(module, images)
        cls = module.cls_token.expand(len(tokens), -1, -1)
        return torch.cat([tokens, cls] if at_end else [cls, tokens], dim=1)

    return _and(lambda module, _, __, dim: setattr(module, "cls_token", nn.Parameter(torch.zeros(1, 1, dim))), forward)


def _positioned(module: nn.Module, images: Tensor) -> Tensor:
    tokens = _right(module, images)
    return tokens + module.positions[:, : tokens.shape[1]]


def _numbered(module: nn.Module, images: Tensor) -> Tensor:
    """The same in every place of the code: a table that grows with the feature map needs no size in `__init__`."""
    tokens = _right(module, images)
    place = torch.arange(tokens.shape[1], dtype=tokens.dtype)[:, None]
    rates = 10000 ** (-torch.arange(tokens.shape[2], dtype=tokens.dtype) / tokens.shape[2])
    return tokens + (place * rates).sin()


def _normed(before: bool) -> type[nn.Module]:
    def forward(module: nn.Module, images: Tensor) -> Tensor:
        features = _tokens(module.backbone(images))
        return module.projection(module.norm(features)) if before else module.norm(module.projection(features))

    return _and(
        lambda module, _, channels, dim: setattr(module, "norm", nn.LayerNorm(channels if before else dim)), forward
    )


def _grid(side: int) -> type[nn.Module]:
    """A feature map of one size only."""
    return _flattened(lambda features: features.permute(0, 2, 3, 1).reshape(len(features), side * side, -1))


def _square(features: Tensor) -> Tensor:
    side = features.shape[2]
    return features.permute(0, 2, 3, 1).reshape(len(features), side * side, features.shape[1])


def _hidden_layer(channels: int, dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, dim), nn.GELU(), nn.Linear(dim, dim))


def _begun_anew(module: nn.Module, *_: Any) -> None:
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()


def _tried_out(module: nn.Module, backbone: nn.Module, *_: int) -> None:
    """A picture of ones goes through, to see what comes out; a batch norm keeps what it has seen."""
    channels = next(part.in_channels for part in backbone.modules() if isinstance(part, nn.Conv2d))
    backbone(torch.ones(1, channels, 32, 32))


def _frozen(module: nn.Module, backbone: nn.Module, *_: int) -> None:
    backbone.requires_grad_(False)


def _frozen_projection(module: nn.Module, *_: Any) -> None:
    module.projection.requires_grad_(False)


_UNIVERSAL = universal_mistakes(HybridEmbedding)
_OTHER_NAMES = ("proj", "linear", "fc", "embedding", "embed", "to_tokens", "to_embedding", "layer", "head", "conv")

HYBRID_EMBEDDING = Exercise(
    name="HybridEmbedding",
    lesson="11",
    points=2,
    reference=HybridEmbedding,
    cases=_hybrid_cases,
    observe=build_on_backbone,
    exact=True,
    axes={"images": "image channel row column", "output": "image place feature"},
    hints=(
        "In `__init__` two things are kept: the network that is handed in, as `self.backbone`, and a "
        "`self.projection = nn.Linear(channels, dim)`. It reads the channels of *one* place.",
        "The feature map is (B, channels, h, w), and the Linear wants channels on the last axis. What has to become of h and "
        "w? Row by row, as with patches.",
        '`features = self.backbone(images)`, then `tokens = rearrange(features, "b c h w -> b (h w) c")`, then '
        "`return self.projection(tokens)`.",
    ),
    reasoning="One place of a feature map is a patch of 1 × 1: its channels are what pixels were before. h and w are read off "
    "the map, so that any backbone fits. The backbone is kept as it was given and learns with the rest.",
    mistakes={
        "columns-first": Mistake(
            _flattened(lambda features: rearrange(features, "b c h w -> b (w h) c")),
            "The places run column by column. In reading order they run row by row: `b c h w -> b (h w) c`.",
        ),
        "viewed": Mistake(
            _flattened(lambda features: features.reshape(len(features), -1, features.shape[1])),
            "The shape is right, but `reshape` or `view` alone only cuts the row of numbers anew: a token then holds one "
            "channel of several places instead of all channels of one. First bring the channels to the end, with `permute` "
            "or `rearrange`.",
            (
                _flattened(lambda features: features.flatten(2).reshape(len(features), -1, features.shape[1])),
                _flattened(lambda features: features.mT.reshape(len(features), -1, features.shape[1])),
            ),
        ),
        "channels-not-moved": Mistake(
            _flattened(lambda features: features.flatten(2)),
            "`flatten(2)` leaves (B, channels, h·w): the Linear then reads along the places. Turn the last two axes round "
            "first: `.transpose(1, 2)`.",
            (_hybrid(_along_the_row),),
        ),
        "features-before-places": Mistake(
            _afterwards(lambda tokens: tokens.mT),
            "The last two axes have changed places. Asked for is (batch, places, dim): each row is one token.",
        ),
        "grid-kept": Mistake(
            _flattened(lambda features: features.permute(0, 2, 3, 1)),
            "The tokens still stand in rows and columns. Asked for is one line of them: (batch, places, dim).",
        ),
        "map-kept": Mistake(
            _hybrid(lambda module, images: module.projection(module.backbone(images).movedim(1, -1)).movedim(-1, 1)),
            "You give back a feature map, (B, dim, h, w). Asked for is one line of tokens: (batch, places, dim).",
        ),
        "batch-flattened": Mistake(
            _afterwards(lambda tokens: tokens.flatten(0, 1)),
            "The places of all images stand in one line. Each image keeps its own: (batch, places, dim).",
        ),
        "batch-second": Mistake(
            _afterwards(lambda tokens: tokens.transpose(0, 1)),
            "The places stand before the images, as PyTorch's own Transformer wants it unless told otherwise. Here the batch "
            "comes first: (batch, places, dim).",
        ),
        "pooled": Mistake(
            _hybrid(lambda module, images: module.projection(module.backbone(images).mean(dim=(2, 3)))),
            "The mean over all places makes one vector of the picture, as at the end of a CNN. Here every place stays, and "
            "becomes a token.",
            (
                _flattened(lambda features: features.mean(dim=(2, 3))[:, None]),
                _hybrid(lambda module, images: module.projection(module.backbone(images).amax(dim=(2, 3)))),
                _flattened(lambda features: features.amax(dim=(2, 3))[:, None]),
                _afterwards(lambda tokens: tokens.mean(dim=1)),
            ),
        ),
        "squeezed": Mistake(
            _afterwards(torch.squeeze),
            "`squeeze()` takes away *every* axis of size 1: a batch of one image, or a feature map with one place, loses an "
            "axis. Leave it out.",
            (
                _afterwards(lambda tokens: tokens.squeeze(0)),
                _afterwards(lambda tokens: tokens.squeeze(1)),
            ),
        ),
        "grid-fixed": Mistake(
            _grid(8),
            "The size of the feature map is written into the code. Backbones and pictures differ: read h and w off the map, "
            "or let `rearrange` do it.",
            tuple(_grid(side) for side in (2, 4, 7, 14, 16)),
        ),
        "square-assumed": Mistake(
            _flattened(_square),
            "Your code takes the feature map to be square. Its height and width may differ: `h, w = features.shape[2:]`.",
        ),
        "not-projected": Mistake(
            _hybrid(lambda module, images: _tokens(module.backbone(images))),
            "The tokens are right, but still have the feature map's channels. Put them through `self.projection`.",
        ),
        "bias-forgotten": Mistake(
            _hybrid(lambda module, images: F.linear(_tokens(module.backbone(images)), module.projection.weight)),
            "`self.projection` has a bias, but `forward` uses only its weight. Call the layer as it is.",
        ),
        "no-bias": Mistake(
            _projecting(lambda channels, dim: nn.Linear(channels, dim, bias=False)),
            "The projection has no bias. A plain `nn.Linear(channels, dim)` has one.",
        ),
        "conv-for-linear": Mistake(
            _projecting(lambda channels, dim: nn.Conv2d(channels, dim, 1), _as_convolution),
            "A convolution of 1 × 1 computes the same, and many programs do it so. Here `projection` should be an "
            "`nn.Linear`, so that weights can be copied by name and shape.",
        ),
        "conv-1d-for-linear": Mistake(
            _projecting(
                lambda channels, dim: nn.Conv1d(channels, dim, 1),
                lambda module, images: module.projection(module.backbone(images).flatten(2)).mT,
            ),
            "A convolution along the line of places, with a kernel of 1, computes the same. Here `projection` should be an "
            "`nn.Linear`, so that weights can be copied by name and shape.",
        ),
        "sizes-exchanged": Mistake(
            _projecting(lambda channels, dim: nn.Linear(dim, channels)),
            "The layer's sizes have changed places. Inputs come first: `nn.Linear(channels, dim)`.",
        ),
        "dim-fixed": Mistake(
            _projecting(lambda channels, dim: nn.Linear(channels, 192)),
            "The length of a token is fixed. Use the argument `dim`.",
            (
                _projecting(lambda channels, dim: nn.Linear(channels, channels)),
                *(_projecting(lambda c, _, fixed=fixed: nn.Linear(c, fixed)) for fixed in (64, 96, 128, 256, 768)),
            ),
        ),
        "channels-fixed": Mistake(
            _projecting(lambda channels, dim: nn.Linear(3, dim)),
            "The projection is made for one number of channels only. Use the argument `channels`.",
            (
                *(_projecting(lambda _, dim, fixed=fixed: nn.Linear(fixed, dim)) for fixed in (32, 64, 128, 256, 512)),
                _projecting(lambda channels, dim: nn.Linear(dim, dim)),
            ),
        ),
        "hidden-layer": Mistake(
            _projecting(_hidden_layer),
            "The projection is a small MLP. Asked for is one `nn.Linear(channels, dim)`: the backbone before it bends enough.",
            (_projecting(lambda channels, dim: nn.Sequential(nn.Linear(channels, dim))),),
        ),
        "projection-called-otherwise": Mistake(
            _projection_called("proj"),
            "The layer is right but has another name. Call it `self.projection`: weights are copied by name.",
            tuple(_projection_called(name) for name in _OTHER_NAMES[1:]),
        ),
        "backbone-called-otherwise": Mistake(
            _backbone_called("cnn"),
            "The network that is handed in is kept under another name. Call it `self.backbone`: weights are copied by name.",
        ),
        "backbone-made-inside": Mistake(
            _backbone_as(lambda _, channels: nn.Conv2d(3, channels, 3, padding=1)),
            "`self.backbone` is a network that your code makes itself. Keep the one that is handed in, whatever it is: "
            "`self.backbone = backbone`.",
        ),
        "backbone-copied": Mistake(
            _backbone_as(lambda backbone, _: copy.deepcopy(backbone)),
            "`self.backbone` is a copy of the network that was handed in. Whoever handed it in, perhaps trained, would not "
            "see it learn: keep the very one, `self.backbone = backbone`.",
        ),
        "backbone-wrapped": Mistake(
            _backbone_as(lambda backbone, _: nn.Sequential(backbone, nn.ReLU())),
            "`self.backbone` is a module with the handed-in network inside, so its weights have other names. Keep the "
            "network itself: `self.backbone = backbone`.",
        ),
        "backbone-not-registered": Mistake(
            _backbone_as(lambda backbone, _: [backbone]),
            "The backbone hides where PyTorch does not look, in a list perhaps, or as one of its methods: an optimizer would "
            "never see its weights. Assign the module itself: `self.backbone = backbone`.",
        ),
        "backbone-not-kept": Mistake(
            _hybrid(_right, lambda module, _, channels, dim: setattr(module, "projection", nn.Linear(channels, dim))),
            "The network that is handed in is not kept. `__init__` needs `self.backbone = backbone`.",
        ),
        "backbone-unused": Mistake(
            _hybrid(lambda module, images: module.projection(_tokens(images))),
            "The backbone is kept, and not used: you make tokens of the pixels. First `self.backbone(images)`.",
        ),
        "backbone-cut-off": Mistake(
            _hybrid(_without_gradients),
            "The numbers are right, but no gradient reaches the backbone, so it would never learn. Look for "
            "`torch.no_grad()`, `.detach()` or `.data`.",
            (_flattened(lambda features: _tokens(features.detach())),),
        ),
        "backbone-begun-anew": Mistake(
            _and(_begun_anew),
            "The backbone comes out of `__init__` with other numbers than it went in with. It may have been trained: "
            "initialise your own layers, not the one that is handed in.",
        ),
        "backbone-tried-out": Mistake(
            _and(_tried_out),
            "`__init__` sends a picture through the backbone, and its BatchNorm keeps what it has seen. There is no need: the "
            "number of channels is an argument.",
        ),
        "backbone-frozen": Mistake(
            _and(_frozen),
            "The backbone is frozen: its parameters ask for no gradients. Here it learns with the rest; whoever wants it "
            "frozen can do so outside.",
        ),
        "projection-frozen": Mistake(
            _and(_frozen_projection),
            "The projection is frozen: its parameters ask for no gradients, so they would never learn.",
        ),
        "backbone-in-eval": Mistake(
            _hybrid(_in_eval),
            "`forward` switches the backbone to eval mode, so that its BatchNorm no longer looks at the batch. Leave the mode "
            "to whoever trains.",
        ),
        "backbone-in-train": Mistake(
            _hybrid(_in_train),
            "`forward` switches the backbone to train mode, in use as well. Leave the mode to whoever trains.",
        ),
        "cls-added": Mistake(
            _with_cls(),
            "A CLS token comes along. Here only places become tokens: the ViT adds CLS itself.",
            (_with_cls(at_end=True),),
        ),
        "positions-added": Mistake(
            _hybrid(_numbered),
            "Positions are added. The ViT does that itself, after CLS is joined.",
            (
                _and(
                    lambda module, _, __, dim: setattr(module, "positions", nn.Parameter(torch.zeros(1, 196, dim))),
                    _positioned,
                ),
            ),
        ),
        "activation-before": Mistake(
            _flattened(lambda features: _tokens(features).relu()),
            "An activation stands between backbone and projection. Whether the feature map ends with one is the backbone's "
            "affair: take it as it comes.",
            tuple(
                _flattened(lambda features, bend=bend: bend(_tokens(features)))
                for bend in (F.gelu, torch.tanh, F.silu, torch.sigmoid)
            ),
        ),
        "activation-after": Mistake(
            _afterwards(F.gelu),
            "An activation follows the projection. Nothing comes after the matrix and the bias.",
            tuple(map(_afterwards, (torch.relu, torch.tanh, F.silu, torch.sigmoid))),
        ),
        "norm-before": Mistake(
            _normed(before=True),
            "There is a LayerNorm before the projection. Some libraries put one there; here the channels go in as they come.",
        ),
        "norm-after": Mistake(
            _normed(before=False),
            "There is a LayerNorm after the projection. Some libraries put one there; the encoder begins with its own.",
        ),
        "scaled": Mistake(
            _afterwards(lambda tokens: tokens * tokens.shape[-1] ** 0.5),
            "The tokens are multiplied by √D, as the Transformer for language does with its words. The ViT does not.",
        ),
        **_UNIVERSAL,
        "needs-contiguous": dataclasses.replace(
            _UNIVERSAL["needs-contiguous"],
            variants=(_flattened(lambda features: features.view(*features.shape[:2], -1).mT),),
        ),
    },
)


# -- relative_position_index


def _index_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 111)
    less, more = draw.sizes(less=range(2, 6), more=range(6, 10))
    other, least = draw.sizes(other=range(3, 8), least=(2, 3))
    grids = [(less, more), (more, less), (2, 3), (3, 2), (1, other), (other, 1), (1, 1), (least, least)]
    grids += [(8, 8), (14, 14), (4, 16), (2, 3)]
    return [
        Case(
            f"{'again, ' * (number == len(grids) - 1)}a grid of {rows} × {columns}", {"height": rows, "width": columns}
        )
        for number, (rows, columns) in enumerate(grids)
    ]


Index = Callable[[int, int], Any]


def _places(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of each token, in reading order."""
    place = torch.arange(height * width)
    return place // width, place % width


def _pairs(of: Tensor) -> Tensor:
    """[query, key]: of the query less of the key."""
    return of[:, None] - of


def _numbering(
    join: Callable[[Tensor, Tensor, int, int], Any],
    *,
    places: Callable[[int, int], tuple[Tensor, Tensor]] = _places,
    pairs: Callable[[Tensor], Tensor] = _pairs,
) -> Index:
    """An index from steps down and across: `join(down, across, height, width)`."""

    def run(height: int, width: int) -> Any:
        row, column = places(height, width)
        return join(pairs(row), pairs(column), height, width)

    return run


def _joined(down: Tensor, across: Tensor, height: int, width: int) -> Tensor:
    return (down + height - 1) * (2 * width - 1) + across + width - 1


def _factor(factor: Callable[[int, int], int]) -> Index:
    return _numbering(lambda down, across, h, w: (down + h - 1) * factor(h, w) + across + w - 1)


def _offsets(offsets: Callable[[int, int], tuple[int, int]]) -> Index:
    def join(down: Tensor, across: Tensor, height: int, width: int) -> Tensor:
        first, second = offsets(height, width)
        return (down + first) * (2 * width - 1) + across + second

    return _numbering(join)


def _column_by_column(height: int, width: int) -> tuple[Tensor, Tensor]:
    place = torch.arange(height * width)
    return place % height, place // height


def _of(change: Callable[[Tensor, int, int], Any]) -> Index:
    """The right index, changed: `change(index, height, width)`."""
    return lambda height, width: change(relative_position_index(height, width), height, width)


def _with_cls_steps(index: Tensor, height: int, width: int) -> Tensor:
    """As Swin's relatives have it that keep a CLS token: three more numbers, for to, from and at CLS."""
    steps = (2 * height - 1) * (2 * width - 1)
    larger = F.pad(index, (1, 0, 1, 0))
    larger[0], larger[:, 0], larger[0, 0] = steps, steps + 1, steps + 2
    return larger


_ABSOLUTE = (
    "You take the *size* of the steps: one to the left and one to the right get the same number. Here they are two "
    "different steps: keep the sign, and no `abs()`."
)
_SAME = "Then different steps share a number"

RELATIVE_POSITION_INDEX = Exercise(
    name="relative_position_index",
    lesson="11",
    points=2,
    reference=relative_position_index,
    cases=_index_cases,
    axes={"output": "query key"},
    hints=(
        "Where does token i stand? Its row is `i // width`, its column `i % width`. Make both for all tokens at once, with "
        "`torch.arange(height * width)`.",
        "All pairs of differences: `row[:, None] - row` is (N, N), [query, key]. It runs from −(height − 1) to height − 1; "
        "add height − 1, so that it begins at 0. The same for columns.",
        "`down * (2 * width - 1) + across`, both begun at 0, numbers the steps as you would number the cells of a table with "
        "2 · width − 1 columns.",
    ),
    reasoning="There are (2·height − 1) · (2·width − 1) different steps. They are numbered like cells of a table, row by row: "
    "the row of the table is how far down, its column how far across.",
    mistakes={
        "query-and-key-exchanged": Mistake(
            _of(lambda index, *_: index.T),
            "Query and key have changed places: entry [query, key] wants the query's row *less* the key's, and the same for "
            "columns. `row[:, None] - row` has the query first.",
        ),
        "rows-turned": Mistake(
            _numbering(lambda down, across, h, w: _joined(-down, across, h, w)),
            "One of the two differences runs the other way: it is query less key for rows *and* for columns.",
            (_numbering(lambda down, across, h, w: _joined(down, -across, h, w)),),
        ),
        "not-moved-to-zero": Mistake(
            _offsets(lambda height, width: (0, 0)),
            "Some entries are negative, and Python would count those from the end of a table. Move both differences to begin "
            "at 0: add height − 1 to the rows', width − 1 to the columns'.",
            (
                _offsets(lambda height, width: (0, width - 1)),
                _offsets(lambda height, width: (height - 1, 0)),
            ),
        ),
        "moved-too-far": Mistake(
            _offsets(lambda height, width: (height, width)),
            "The numbers do not begin at 0. The smallest difference is −(height − 1), so add height − 1, and width − 1.",
            (
                _offsets(lambda height, width: (height - 1, width)),
                _offsets(lambda height, width: (height, width - 1)),
                _of(lambda index, *_: index + 1),
            ),
        ),
        "offsets-exchanged": Mistake(
            _offsets(lambda height, width: (width - 1, height - 1)),
            "The two offsets have changed places: height − 1 belongs to the rows, width − 1 to the columns. On square grids "
            "nobody notices.",
        ),
        "factor-2-width": Mistake(
            _factor(lambda height, width: 2 * width),
            "You multiply by 2·width. There are 2·width − 1 steps across, from −(width − 1) to width − 1: with the larger "
            "factor some numbers are never used.",
            (_factor(lambda height, width: 2 * width + 1),),
        ),
        "factor-width": Mistake(
            _factor(lambda height, width: width - 1),
            f"You multiply by width − 1. {_SAME}: across there are 2·width − 1 of them, so that is the factor.",
        ),
        "factor-height": Mistake(
            _factor(lambda height, width: 2 * height - 1),
            "You multiply by 2·height − 1. A step down skips one whole *row* of the table of steps, which holds one entry for "
            "each step across: 2·width − 1.",
            (
                _factor(lambda height, width: 2 * height),
                _factor(lambda height, width: height),
                _factor(lambda height, width: 2 * max(height, width) - 1),
            ),
        ),
        "factor-forgotten": Mistake(
            _factor(lambda height, width: 1),
            f"Steps down and across are only added. {_SAME}: one down is as good as one across. Multiply the steps down by "
            "2·width − 1 first.",
            (_numbering(lambda down, across, h, w: down + across),),
        ),
        "brackets-forgotten": Mistake(
            _numbering(lambda down, across, h, w: (down + h - 1) * 2 * w - 1 + across + w - 1),
            "Brackets are missing: `down * 2 * width - 1` is (down · 2 · width) − 1. You want `down * (2 * width - 1)`.",
            (
                _numbering(lambda down, across, h, w: down + (h - 1) * (2 * w - 1) + across + w - 1),
                _numbering(lambda down, across, h, w: (down + h - 1) * (2 * w - 1 + across + w - 1)),
            ),
        ),
        "rows-and-columns-exchanged": Mistake(
            _numbering(lambda down, across, h, w: (across + w - 1) * (2 * h - 1) + down + h - 1),
            "Every step has a number of its own, but the table runs column by column: the steps *down* are multiplied, by "
            "2·width − 1, and the steps across added.",
            (_numbering(lambda down, across, h, w: (across + w - 1) * (2 * w - 1) + down + h - 1),),
        ),
        "columns-first": Mistake(
            _numbering(_joined, places=_column_by_column),
            "Your tokens run column by column. In reading order token i stands in row `i // width`, column `i % width`. "
            '(`meshgrid` with `indexing="xy"`, which is numpy\'s way unless told otherwise, has columns first.)',
        ),
        "row-for-column": Mistake(
            _numbering(_joined, places=lambda height, width: _places(height, width)[::-1]),
            "Row and column have changed places: token i stands in row `i // width`, column `i % width`; and the steps *down* "
            "get height − 1 added and are multiplied.",
        ),
        "divided-by-height": Mistake(
            _numbering(
                _joined,
                places=lambda h, w: (torch.arange(h * w) // h, torch.arange(h * w) % h),
            ),
            "You divide the token's number by the height. A row of the grid holds `width` tokens: the row is `i // width`, the "
            "column `i % width`.",
        ),
        "height-and-width-exchanged": Mistake(
            lambda height, width: relative_position_index(width, height),
            "Height and width have changed places throughout: it is `(height, width)`, rows first. On square grids nobody "
            "notices.",
        ),
        "square-assumed": Mistake(
            lambda height, width: relative_position_index(height, height),
            "Your code takes the grid to be square. It may have more rows than columns, or fewer: N = height · width.",
            (
                lambda height, width: relative_position_index(width, width),
                _offsets(lambda height, width: (height - 1, height - 1)),
                _offsets(lambda height, width: (width - 1, width - 1)),
                _numbering(lambda down, across, h, w: (down + h - 1) * (2 * h - 1) + across + h - 1),
            ),
        ),
        "absolute": Mistake(
            _numbering(lambda down, across, h, w: _joined(down.abs(), across.abs(), h, w)),
            _ABSOLUTE,
            (
                _numbering(lambda down, across, h, w: down.abs() * w + across.abs()),
                _numbering(lambda down, across, h, w: down.abs() * (2 * w - 1) + across.abs()),
                _of(lambda index, h, w: (index - (h - 1) * (2 * w - 1) - (w - 1)).abs()),
            ),
        ),
        "distance": Mistake(
            _numbering(lambda down, across, h, w: down.abs() + across.abs()),
            "This is how *far* apart two patches are. Asked for is which step leads from key to query, as a number: to the "
            "left and upwards are different steps of one length.",
            (
                _numbering(lambda down, across, h, w: (down**2 + across**2).double().sqrt().long()),
                _numbering(lambda down, across, h, w: (down**2 + across**2).float().sqrt()),
                _numbering(lambda down, across, h, w: (down**2 + across**2).double().sqrt().round().long()),
                _numbering(lambda down, across, h, w: torch.maximum(down.abs(), across.abs())),
            ),
        ),
        "in-one-line": Mistake(
            lambda height, width: _pairs(torch.arange(height * width)) + height * width - 1,
            "These are steps along the *line* of tokens, where the end of a row and the beginning of the next are neighbours: in "
            "the picture they lie far apart. (Multiplying the steps down by width does the same.) Across there are 2·width − 1 "
            "steps, so that is the factor.",
            (lambda height, width: _pairs(torch.arange(height * width)),),
        ),
        "sums": Mistake(
            _numbering(_joined, pairs=lambda of: of[:, None] + of),
            "You add the places of query and key. A step is their *difference*.",
            (_numbering(lambda down, across, h, w: down * (2 * w - 1) + across, pairs=lambda of: of[:, None] + of),),
        ),
        "around-the-edge": Mistake(
            _numbering(lambda down, across, h, w: down % h * w + across % w),
            "`%` makes the picture go round: one step left of the first column is the last. Then −1 and width − 1 share a "
            "number. Add height − 1 and width − 1 instead.",
        ),
        "each-pair-its-own": Mistake(
            lambda height, width: torch.arange((height * width) ** 2).reshape(height * width, -1),
            "Each pair has a number of its own. Pairs with the *same step* between them share one: that is what makes positions "
            "relative.",
            (
                _of(lambda index, h, w: torch.arange(h * w).expand(h * w, -1)),
                _of(lambda index, h, w: torch.arange(h * w)[:, None].expand(-1, h * w)),
            ),
        ),
        "clipped": Mistake(
            _of(lambda index, h, w: index.clamp(max=(2 * h - 1) * w)),
            "Large numbers are cut off. All (2·height − 1) · (2·width − 1) steps have numbers of their own.",
        ),
        "two-numbers": Mistake(
            _numbering(lambda down, across, h, w: torch.stack([down + h - 1, across + w - 1], dim=-1)),
            "Each entry still holds two numbers, steps down and across. Make one of them: down · (2·width − 1) + across.",
            (
                _numbering(lambda down, across, h, w: torch.stack([down, across], dim=-1)),
                _numbering(lambda down, across, h, w: torch.stack([down + h - 1, across + w - 1])),
                _numbering(lambda down, across, h, w: torch.stack([down, across])),
            ),
        ),
        "grid-kept": Mistake(
            _of(lambda index, h, w: index.reshape(h, w, h, w)),
            "The numbers are right, but query and key still stand in rows and columns. Tokens stand in one line: (N, N).",
        ),
        "flattened": Mistake(
            _of(lambda index, *_: index.flatten()),
            "The numbers are right, but in one line. Asked for is (N, N): [query, key].",
        ),
        "for-a-batch": Mistake(
            _of(lambda index, *_: index[None]),
            "There is one axis too many. The index is the same for every picture and every head: (N, N).",
            (_of(lambda index, *_: index[None, None]),),
        ),
        "with-cls": Mistake(
            _of(_with_cls_steps),
            "CLS has a row and a column here. It stands nowhere in the picture, and is left to whoever uses the index: (N, N).",
            (_of(lambda index, *_: F.pad(index, (1, 0, 1, 0))),),
        ),
        "not-int64": Mistake(
            _of(lambda index, *_: index.float()),
            "The numbers are right, but an index has to be int64 (`.long()`): float numbers cannot point into a table. "
            "`torch.arange(n)` is int64 if n is an int, and `//` keeps it so.",
            tuple(
                _of(lambda index, *_, dtype=dtype: index.to(dtype))
                for dtype in (torch.float64, torch.int32, torch.int16, torch.float16, torch.bfloat16)
            ),
        ),
        "a-list": Mistake(
            _of(lambda index, *_: index.tolist()),
            "The numbers stand in nested lists. Make a tensor of them: `torch.tensor(…)`.",
        ),
        **{
            slug: one
            for slug, one in universal_mistakes(
                relative_position_index, gradients=False, dtypes=False, layouts=False
            ).items()
            if slug != "changes-input"
        },
    },
)

EXERCISES = (HYBRID_EMBEDDING, RELATIVE_POSITION_INDEX)
