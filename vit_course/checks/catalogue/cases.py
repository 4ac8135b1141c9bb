"""Drawing cases: sizes that cannot be taken for one another, and numbers that say where they came from."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vit_course.checks.explaining import FIRST_NUMBER
from vit_course.checks.observers import Case


class Draw:
    """Sizes and tensors from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._generator = torch.Generator().manual_seed(seed)

    def sizes(self, **choices: Sequence[int]) -> list[int]:
        """One of each, all different: an axis that takes another's place then shows."""
        while True:
            drawn = [self._random.choice(options) for options in choices.values()]
            if len(set(drawn)) == len(drawn):
                return drawn

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64).to(dtype)

    def spread(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Rows whose numbers lie apart, in any order: a norm of nearly equal ones would enlarge float32's rounding."""
        places = torch.linspace(-1.6, 1.6, shape[-1], dtype=torch.float64)
        order = torch.rand(shape, generator=self._generator).argsort(dim=-1)
        return (places[order] + 0.1 * torch.randn(shape, generator=self._generator, dtype=torch.float64)).to(dtype)

    def whole(self, *shape: int) -> Tensor:
        """int64 so large that no float holds all of them."""
        return torch.randint(-(2**62), 2**62, shape, generator=self._generator)

    def bytes(self, *shape: int) -> Tensor:
        return torch.randint(0, 256, shape, generator=self._generator, dtype=torch.uint8)


def numbered(*shape: int) -> Tensor:
    """`FIRST_NUMBER` and those that follow, in the given shape: each number says where it came from."""
    count = torch.Size(shape).numel()
    assert count < FIRST_NUMBER  # else twice a number could be another's place
    return torch.arange(FIRST_NUMBER, FIRST_NUMBER + count, dtype=torch.float32).reshape(shape)


def image_grids(seed: int, *, moved: bool = False) -> list[tuple[str, Tensor, int, dict[str, Any]]]:
    """(label, images (B, C, H, W), patch size, options of `Case`): what every exercise about patches is tried on.

    Args:
        moved: the numbers are only moved, so that half precision asks for the very same ones: there sums may differ.
    """
    draw = Draw(seed)
    grid = range(2, 8)

    def images(channels: int, dtype: torch.dtype | None = torch.float32, **fixed: Sequence[int]) -> tuple[Tensor, int]:
        choices = {"batch": (2, 3, 5, 7), "rows": grid, "columns": grid, "patch": (2, 4, 5, 6)} | fixed
        # The channel count takes part, so that no other size equals it.
        batch, rows, columns, patch, _ = draw.sizes(**choices, channels=(channels,))
        shape = (batch, channels, rows * patch, columns * patch)
        return (numbered(*shape) if dtype is None else draw.normal(*shape, dtype=dtype)), patch

    small = range(2, 5)
    return [
        ("", *images(1, None, batch=(5, 7), rows=small, columns=small, patch=(2, 3, 4)), {"numbered": True}),
        ("", *images(3, None, rows=small, columns=range(5, 7), patch=(2, 4)), {"numbered": True}),
        ("", *images(3, rows=range(5, 8), columns=small), {}),
        ("", *images(1, rows=range(5, 8), columns=small), {}),
        ("", *images(3, torch.float64), {}),
        ("not contiguous in memory, ", *images(3), {"strided": True}),
        ("", *images(3, batch=(1,)), {}),
        ("", *images(2, batch=(9, 11)), {}),
        ("", *images(4), {}),
        ("", draw.normal(2, 3, 32, 32), 4, {}),
        # The same sizes again, with other numbers: a result kept from the last call shows.
        ("again, ", draw.normal(2, 3, 32, 32), 4, {}),
        ("", draw.normal(3, 3, 32, 48), 16, {}),
        ("", draw.normal(2, 3, 16, 40), 8, {}),
        ("", draw.normal(2, 3, 4, 5), 1, {}),
        ("", draw.normal(2, 3, 6, 6), 6, {}),
        ("", draw.normal(1, 1, 34, 36), 2, {}),  # more patches than a byte counts, or Python keeps one object each of
        *([("", *images(3, torch.bfloat16), {})] if moved else []),
    ]


def describe_images(images: Tensor, patch_size: int | None = None) -> str:
    batch, channels, height, width = images.shape
    text = f"{batch} image{'s' * (batch > 1)} of {height} × {width} pixels, {channels} channel{'s' * (channels > 1)}"
    if images.dtype != torch.float32:
        text += f", {str(images.dtype).removeprefix('torch.')}"
    return text if patch_size is None else f"{text}, patch size {patch_size}"


def describe_tokens(tokens: Tensor) -> str:
    batch, count, dim = tokens.shape
    text = f"{batch} sequence{'s' * (batch > 1)} of {count} tokens with {dim} numbers each"
    return text if tokens.dtype == torch.float32 else f"{text}, {str(tokens.dtype).removeprefix('torch.')}"


def shapes_of(build: Callable[..., nn.Module], *sizes: int, **named: int) -> dict[str, tuple[int, ...]]:
    """The parameters of a module of these sizes, by name."""
    with torch.device("meta"):  # for the shapes alone
        return {name: tuple(value.shape) for name, value in build(*sizes, **named).state_dict().items()}


def random_state(draw: Draw, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
    """A value for every parameter, none of them zero or one: there a mistake could hide.

    Matrices are scaled by 1/√inputs: else sums grow so large that another order of adding up shows as an error.
    """
    return {
        name: draw.normal(*shape, dtype=dtype) / (shape[-1] ** 0.5 if len(shape) > 1 else 1)
        for name, shape in shapes.items()
    }


def patch_cases(seed: int) -> list[Case]:
    """The cases of a function (images, patch_size)."""
    return [
        Case(note + describe_images(images, size), {"images": images, "patch_size": size}, **options)
        for note, images, size, options in image_grids(seed, moved=True)
    ]
