"""Lesson 02: one matrix for every patch."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit_course.checks.catalogue.cases import Draw, describe_images, image_grids, random_state
from vit_course.checks.catalogue.lesson_01 import WRONG_CUTS
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case, build_and_call, build_conv
from vit_course.embeddings import PatchEmbedding, linear_to_conv
from vit_course.patches import patchify


def _embedding_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 2)
    cases = []
    for number, (note, images, size, options) in enumerate(image_grids(seed + 2)):
        channels = images.shape[1]
        # Tokens are sums of many numbers: what is numbered does not show in them.
        images = draw.normal(*images.shape, dtype=images.dtype) if options.pop("numbered", False) else images
        (dim,) = draw.sizes(dim=(9, 11, 13, 17))
        shapes = {"projection.weight": (dim, size * size * channels), "projection.bias": (dim,)}
        cases.append(
            Case(
                f"{note}{describe_images(images, size)}, dim {dim}",
                {"patch_size": size, "in_channels": channels, "dim": dim},
                forward={"images": images},
                state=random_state(draw, shapes, images.dtype),
                train=number % 2 == 0,
                **options,
            )
        )
    return cases


def _with_forward(forward: Callable[[nn.Module, Tensor], Tensor], build: Callable | None = None) -> type[nn.Module]:
    """A PatchEmbedding with another forward and, where given, other parts: `build(module, size, channels, dim)`."""

    class Other(nn.Module):
        def __init__(self, patch_size: int, in_channels: int, dim: int) -> None:
            super().__init__()
            self.patch_size, self.in_channels, self.dim = patch_size, in_channels, dim
            if build is None:
                self.projection = nn.Linear(patch_size**2 * in_channels, dim)
            else:
                build(self, patch_size, in_channels, dim)

        def forward(self, images: Tensor) -> Tensor:
            return forward(self, images)

    return Other


def _cutting(pattern: str) -> Callable[[nn.Module, Tensor], Tensor]:
    """A forward that cuts by this pattern."""

    def forward(module: nn.Module, images: Tensor) -> Tensor:
        return module.projection(rearrange(images, pattern, p1=module.patch_size, p2=module.patch_size))

    return forward


def _right(module: nn.Module, images: Tensor) -> Tensor:
    return module.projection(patchify(images, module.patch_size))


def _part(name: str, make: Callable[[int, int, int], object]) -> Callable:
    return lambda module, size, channels, dim: setattr(module, name, make(size * size * channels, channels, dim))


def _linear(values: int, _: int, dim: int) -> nn.Linear:
    return nn.Linear(values, dim)


def _new_each_call(module: nn.Module, images: Tensor) -> Tensor:
    patches = patchify(images, module.patch_size)
    return nn.Linear(patches.shape[-1], module.dim).to(images)(patches)


def _new_each_call_plain(module: nn.Module, images: Tensor) -> Tensor:
    patches = patchify(images, module.patch_size)
    return nn.Linear(patches.shape[-1], module.dim)(patches)


def _replaced_each_call(module: nn.Module, images: Tensor) -> Tensor:
    patches = patchify(images, module.patch_size)
    module.projection = nn.Linear(patches.shape[-1], module.dim).to(images)
    return module.projection(patches)


def _fixed_size(fixed: int) -> type[nn.Module]:
    return _with_forward(
        lambda module, images: module.projection(patchify(images, fixed)),
        lambda module, size, channels, dim: setattr(module, "projection", nn.Linear(fixed * fixed * channels, dim)),
    )


def _fixed_dim(fixed: int) -> type[nn.Module]:
    return _with_forward(_right, _part("projection", lambda values, _, dim: nn.Linear(values, fixed)))


def _normed(module: nn.Module, size: int, channels: int, dim: int) -> None:
    module.projection, module.norm = nn.Linear(size * size * channels, dim), nn.LayerNorm(dim)


def _norm_first(module: nn.Module, size: int, channels: int, dim: int) -> None:
    values = size * size * channels
    module.projection, module.norm = nn.Linear(values, dim), nn.LayerNorm(values)


def _frozen(module: nn.Module, size: int, channels: int, dim: int) -> None:
    module.projection = nn.Linear(size * size * channels, dim).requires_grad_(False)


def _many(module: nn.Module, size: int, channels: int, dim: int) -> None:
    module.layers = nn.ModuleList(nn.Linear(size * size * channels, dim) for _ in range(4))


def _apply_conv(module: nn.Module, images: Tensor) -> Tensor:
    return module.projection(images).flatten(2).transpose(1, 2)


def _conv_part(module: nn.Module, size: int, channels: int, dim: int) -> None:
    module.projection = nn.Conv2d(channels, dim, size, stride=size)


def _from_list(module: nn.Module, images: Tensor) -> Tensor:
    layer = module.projection[0] if isinstance(module.projection, list) else module.projection["layer"]
    return layer(patchify(images, module.patch_size))


def _from_tensors(module: nn.Module, images: Tensor) -> Tensor:
    return patchify(images, module.patch_size) @ module.weight.to(images) + module.bias.to(images)


def _plain_tensors(module: nn.Module, size: int, channels: int, dim: int) -> None:
    module.weight, module.bias = torch.randn(size * size * channels, dim), torch.randn(dim)


def _own_parameters(module: nn.Module, size: int, channels: int, dim: int) -> None:
    _plain_tensors(module, size, channels, dim)
    module.weight, module.bias = nn.Parameter(module.weight), nn.Parameter(module.bias)


def _called(name: str) -> type[nn.Module]:
    return _with_forward(
        lambda module, images: getattr(module, name)(patchify(images, module.patch_size)), _part(name, _linear)
    )


_CUT_WRONG = "The projection is fine, the patches that enter it are not."
_RESHAPED = "The shape is right, but `reshape` alone does not cut patches: each token is made of runs of pixels. Use `patchify`."
_NO_BIAS = "The projection has no bias. `nn.Linear` makes one by default; leave out `bias=False`."
_without_bias = _part("projection", lambda values, _, dim: nn.Linear(values, dim, bias=False))


def _reshaped(module: nn.Module, images: Tensor) -> Tensor:
    return module.projection(images.reshape(len(images), -1, module.patch_size**2 * images.shape[1]))


def _wrong_cut(slug: str) -> Mistake:
    pattern, message = WRONG_CUTS[slug]
    return Mistake(_with_forward(_cutting(pattern)), f"{_CUT_WRONG} {message}")


PATCH_EMBEDDING = Exercise(
    name="PatchEmbedding",
    lesson="02",
    points=2,
    reference=PatchEmbedding,
    exact=True,
    cases=_embedding_cases,
    observe=build_and_call,
    axes={"images": "image channel row column", "output": "image patch feature"},
    hints=(
        "How many numbers does one patch have? That is the input size of the one `nn.Linear`.",
        "In `forward`, `patchify` first. `nn.Linear` works on the last axis and treats all others as a batch.",
        "`self.projection(patchify(images, self.patch_size))` is the whole of `forward`.",
    ),
    reasoning="One matrix, shared by all patches. `nn.Linear` applies it to the last axis, so no loop over patches is needed.",
    mistakes={
        **{slug: _wrong_cut(slug) for slug in WRONG_CUTS},
        "reshape-only": Mistake(_with_forward(_reshaped), _RESHAPED),
        "no-bias": Mistake(
            _with_forward(_right, _without_bias),
            _NO_BIAS,
        ),
        "reshape-only-and-no-bias": Mistake(
            _with_forward(_reshaped, _without_bias), f"Two things. {_RESHAPED} And: {_NO_BIAS}"
        ),
        **{
            f"{slug}-and-no-bias": Mistake(
                _with_forward(_cutting(pattern), _without_bias), f"Two things. {_CUT_WRONG} {message} And: {_NO_BIAS}"
            )
            for slug, (pattern, message) in WRONG_CUTS.items()
        },
        "conv-instead": Mistake(
            _with_forward(_apply_conv, _conv_part),
            "A convolution with stride P computes the same, and the second exercise is about just that. Here "
            "`projection` should be an `nn.Linear`, so that weights can be copied by name and shape.",
        ),
        "other-name": Mistake(
            _called("proj"),
            "The layer is right but has another name. Call it `self.projection`: weights are copied by name.",
            tuple(_called(name) for name in ("linear", "fc", "embedding", "embed", "to_patch_embedding", "layer")),
        ),
        "own-parameters": Mistake(
            _with_forward(_from_tensors, _own_parameters),
            "You wrote the matrix and the bias out by hand, which computes the same. Here they should sit in one "
            "`nn.Linear` called `projection`, so that weights can be copied by name and shape.",
        ),
        "new-each-call": Mistake(
            _with_forward(_new_each_call, lambda *_: None),
            "The layer is made anew in every `forward`, with new random weights: nothing could ever be learned. Make it "
            "once, in `__init__`, and assign it to `self.projection`.",
            (_with_forward(_new_each_call_plain, lambda *_: None),),
        ),
        "replaced-each-call": Mistake(
            _with_forward(_replaced_each_call),
            "`forward` puts a new layer in place of the old one, with new random weights: what was learned is lost at "
            "each call. Make it once, in `__init__`.",
        ),
        "not-registered": Mistake(
            _with_forward(_from_list, _part("projection", lambda *sizes: [_linear(*sizes)])),
            "The layer hides in a Python list or dict, where PyTorch does not look: an optimizer would never see its "
            "weights. Assign the layer itself to `self.projection`.",
            (_with_forward(_from_list, _part("projection", lambda *sizes: {"layer": _linear(*sizes)})),),
        ),
        "not-a-parameter": Mistake(
            _with_forward(_from_tensors, _plain_tensors),
            "Weight and bias are plain tensors, so no optimizer will ever change them. An `nn.Linear` holds them as "
            "parameters; assign one to `self.projection`.",
        ),
        "one-per-patch": Mistake(
            _with_forward(
                lambda module, images: torch.stack(
                    [
                        module.layers[i % 4](patch)
                        for i, patch in enumerate(patchify(images, module.patch_size).unbind(1))
                    ],
                    dim=1,
                ),
                _many,
            ),
            "Each patch has a matrix of its own. A ViT shares one: what an edge looks like does not depend on where it is.",
        ),
        "fixed-channels": Mistake(
            _with_forward(
                _right,
                lambda module, size, channels, dim: setattr(module, "projection", nn.Linear(size * size * 3, dim)),
            ),
            "The projection is made for one number of channels only. Use the argument `in_channels`: a patch has P·P·C "
            "numbers.",
            (
                _with_forward(
                    _right,
                    lambda module, size, channels, dim: setattr(module, "projection", nn.Linear(size * size, dim)),
                ),
            ),
        ),
        "fixed-patch-size": Mistake(
            _fixed_size(4), "The patch size is fixed. Use the argument `patch_size`.", (_fixed_size(8), _fixed_size(16))
        ),
        "fixed-dim": Mistake(
            _fixed_dim(192),
            "The length of a token is fixed. Use the argument `dim`.",
            (
                _with_forward(_right, _part("projection", lambda values, _, dim: nn.Linear(values, values))),
                *(_fixed_dim(fixed) for fixed in (64, 128, 256, 512, 768)),
            ),
        ),
        "bias-forgotten": Mistake(
            _with_forward(
                lambda module, images: F.linear(patchify(images, module.patch_size), module.projection.weight)
            ),
            "`self.projection` has a bias, but `forward` uses only its weight. Call the layer as it is: "
            "`self.projection(patches)`.",
        ),
        "inputs-and-outputs-swapped": Mistake(
            _with_forward(_right, _part("projection", lambda values, _, dim: nn.Linear(dim, values))),
            "The layer's sizes have changed places. Inputs come first: `nn.Linear(P·P·C, dim)`.",
        ),
        "frozen": Mistake(
            _with_forward(_right, lambda *parts: _frozen(*parts)),
            "The projection is frozen: its parameters ask for no gradients, so they would never learn.",
        ),
        "norm-first": Mistake(
            _with_forward(
                lambda module, images: module.projection(module.norm(patchify(images, module.patch_size))), _norm_first
            ),
            "There is a LayerNorm before the projection. Some libraries put one there; the ViT of the paper does not.",
        ),
        "extra-norm": Mistake(
            _with_forward(lambda module, images: module.norm(_right(module, images)), _normed),
            "There is a LayerNorm after the projection. Some libraries put one there; the ViT of the paper does not.",
        ),
        "extra-activation": Mistake(
            _with_forward(lambda module, images: F.gelu(_right(module, images))),
            "An activation follows the projection. The embedding is linear: nothing comes after the matrix and the bias.",
            (
                _with_forward(lambda module, images: F.relu(_right(module, images))),
                *(
                    _with_forward(lambda module, images, function=function: function(_right(module, images)))
                    for function in (torch.tanh, torch.sigmoid, F.silu, lambda x: F.gelu(x, approximate="tanh"))
                ),
            ),
        ),
        "features-before-patches": Mistake(
            _with_forward(lambda module, images: _right(module, images).transpose(1, 2)),
            "The last two axes have changed places. Asked for is (batch, patches, dim): each row is one token.",
        ),
        "grid-kept": Mistake(
            _with_forward(
                lambda module, images: _right(module, images).unflatten(
                    1, (images.shape[2] // module.patch_size, images.shape[3] // module.patch_size)
                )
            ),
            "The tokens still stand in rows and columns. Asked for is one line of them: (batch, patches, dim).",
        ),
        "no-projection": Mistake(
            _with_forward(lambda module, images: patchify(images, module.patch_size)),
            "The patches come back as they are. Put them through `self.projection`.",
        ),
        **universal_mistakes(PatchEmbedding),
    },
)


def _conv_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 3)
    cases = []
    dims: dict[tuple, int] = {}  # images that come again meet a projection of the same size
    # A strided image is no case here: what is judged is the convolution, and that is PyTorch's own.
    for _, images, size, _options in image_grids(seed + 3):
        images = draw.normal(*images.shape)
        channels = images.shape[1]
        dim = dims.setdefault((images.shape, size), *draw.sizes(dim=(9, 11, 13, 17)))
        shapes = {"weight": (dim, size * size * channels), "bias": (dim,)}
        cases.append(
            Case(
                f"a Linear({size * size * channels}, {dim}), patch size {size}, {channels} channel{'s' * (channels > 1)}",
                {"patch_size": size, "in_channels": channels},
                forward={"images": images},
                state=random_state(draw, shapes, torch.float32),
            )
        )
    return cases


def _conv_from(pattern: str | None, *, bias: bool = True, copy_bias: bool = True, **options: int) -> Callable:
    """A conversion that unfolds the rows of the weight by `pattern`; by `reshape` alone where there is none."""

    def run(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
        settings = {"stride": patch_size} | options
        conv = nn.Conv2d(in_channels, projection.out_features, patch_size, bias=bias, **settings)
        with torch.no_grad():
            if pattern is None:
                conv.weight.copy_(projection.weight.reshape(conv.weight.shape))
            else:
                conv.weight.copy_(rearrange(projection.weight, pattern, p1=patch_size, p2=patch_size))
            if bias and copy_bias:
                conv.bias.copy_(projection.bias)
        return conv

    return run


_RIGHT = "d (p1 p2 c) -> d c p1 p2"


def _fresh_conv(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, projection.out_features, patch_size, stride=patch_size)


def _zero_bias(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = _conv_from(_RIGHT)(projection, patch_size, in_channels)
    nn.init.zeros_(conv.bias)
    return conv


def _weights_only(projection: nn.Linear, patch_size: int, in_channels: int) -> Tensor:
    return rearrange(projection.weight, _RIGHT, p1=patch_size, p2=patch_size)


def _spoils_linear(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    with torch.no_grad():
        projection.weight.zero_()
    return conv


def _freezes_linear(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    return linear_to_conv(projection.requires_grad_(False), patch_size, in_channels)


def _shares(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = _shares_weight(projection, patch_size, in_channels)
    conv.bias.data = projection.bias.data
    return conv


def _shares_weight(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    conv.weight.data = projection.weight.data.unflatten(1, (patch_size, patch_size, in_channels)).movedim(-1, 1)
    return conv


def _shares_bias(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    conv.bias.data = projection.bias.data
    return conv


def _same_bias(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    conv.bias = projection.bias
    return conv


def _frozen_weight(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    conv.weight.requires_grad_(False)
    return conv


def _frozen_bias(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    conv.bias.requires_grad_(False)
    return conv


def _only_bias(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = _fresh_conv(projection, patch_size, in_channels)
    conv.bias.data.copy_(projection.bias.data)
    return conv


def _transposed_weight(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    with torch.no_grad():
        conv.weight.copy_(projection.weight.T.reshape(conv.weight.shape))
    return conv


def _reversed_colours(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    with torch.no_grad():
        conv.weight.copy_(conv.weight.flip(1))
    return conv


_UNIVERSAL = universal_mistakes(linear_to_conv, gradients=False, dtypes=False, layouts=False, tensors=False)

LINEAR_TO_CONV = Exercise(
    name="linear_to_conv",
    lesson="02",
    points=2,
    reference=linear_to_conv,
    cases=_conv_cases,
    observe=build_conv,
    axes={"images": "image channel row column", "output": "image feature row column"},
    hints=(
        "Kernel size and stride are both the patch size: the kernel then meets each patch exactly once.",
        "A row of the Linear's weight runs `(p1 p2 c)`. A filter of a Conv2d has the axes (c, p1, p2). Reorder, then copy.",
        'Under `torch.no_grad()`: `conv.weight.copy_(rearrange(projection.weight, "d (p1 p2 c) -> d c p1 p2", …))`, and '
        "the bias as it is.",
    ),
    reasoning="Both are the same sum of products over a patch; only the order of the numbers in memory differs. This is "
    "why libraries write the patch embedding as a convolution.",
    mistakes={
        "reshape-only": Mistake(
            _conv_from(None),
            "The shape is right, but the axes of each filter are mixed up: the Linear's rows run `(p1 p2 c)`, channel "
            "last, and a Conv2d wants channel first. Use `rearrange`, or `reshape` and then `permute`.",
        ),
        "pixels-transposed": Mistake(
            _conv_from("d (p1 p2 c) -> d c p2 p1"),
            "Each filter is mirrored along its diagonal: rows and columns of the kernel have changed places.",
        ),
        "wrong-order": Mistake(
            _conv_from("d (p1 c p2) -> d c p1 p2"),
            "The rows of the weight are read as `(p1 c p2)`. `patchify` writes pixels row by row, channels side by side: "
            "`(p1 p2 c)`.",
        ),
        "transposed-weight": Mistake(
            _transposed_weight,
            "The weight was transposed before it was cut up. Its rows are the filters already: (D, P·P·C). Split a row, "
            "`d (p1 p2 c) -> d c p1 p2`.",
        ),
        "colours-reversed": Mistake(
            _reversed_colours,
            "Each filter has its red and blue exchanged. The channels keep their order.",
        ),
        "flipped": Mistake(
            lambda projection, size, channels: _flipped(projection, size, channels),
            "The kernels are flipped. The mathematician's convolution does that; PyTorch's `Conv2d` does not.",
        ),
        "no-stride": Mistake(
            _conv_from(_RIGHT, stride=1),
            "The kernel moves one pixel at a time. With `stride=patch_size` it meets each patch once.",
        ),
        "padded": Mistake(
            _conv_from(_RIGHT, padding=1),
            "The image is padded, so the kernel no longer lines up with the patches. Leave padding at 0.",
        ),
        "no-bias": Mistake(
            _conv_from(_RIGHT, bias=False),
            "The convolution has no bias, so the Linear's is lost. Copy it over as it is.",
            (_zero_bias,),
        ),
        "bias-not-copied": Mistake(
            _conv_from(_RIGHT, copy_bias=False),
            "The weights are right, but the bias is still the random one that `nn.Conv2d` began with. Copy the Linear's.",
        ),
        "weights-not-copied": Mistake(
            _fresh_conv,
            "The convolution has the right shape, but its weights are still random. Copy the Linear's into it.",
            (_only_bias,),
        ),
        "returns-weights": Mistake(
            _weights_only,
            "You return the weights. Asked for is an `nn.Conv2d` that holds them.",
            (lambda projection, size, channels: projection.weight.reshape(-1, channels, size, size),),
        ),
        "returns-linear": Mistake(
            lambda projection, size, channels: projection,
            "You return the Linear itself. Asked for is an `nn.Conv2d` that computes the same.",
        ),
        "shares-the-weights": Mistake(
            _shares,
            "The numbers are right, but the convolution has no weights of its own: it uses the Linear's memory, so that "
            "one step of training would change both. Copy them: `conv.weight.copy_(…)`, or `.clone()` first.",
            (_shares_bias, _same_bias, _shares_weight),
        ),
        "frozen": Mistake(
            lambda *arguments: linear_to_conv(*arguments).requires_grad_(False),
            "The numbers are right, but the convolution is frozen: its parameters ask for no gradients, so they would "
            "never learn. An `nn.Parameter` asks for them, unless it is told not to.",
            (_frozen_weight, _frozen_bias),
        ),
        "changes-linear": Mistake(
            _spoils_linear,
            "The convolution is right, but the Linear was changed on the way. Copy its weights; leave it as it was.",
        ),
        "freezes-linear": Mistake(
            _freezes_linear,
            "The convolution is right, but the Linear you were given no longer asks for gradients, so it would never "
            "learn again. Put the copying under `with torch.no_grad():` instead.",
        ),
        **_UNIVERSAL,
    },
)


def _flipped(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    conv = linear_to_conv(projection, patch_size, in_channels)
    with torch.no_grad():
        conv.weight.copy_(conv.weight.flip(-1, -2))
    return conv


EXERCISES = (PATCH_EMBEDDING, LINEAR_TO_CONV)
