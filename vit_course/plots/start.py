"""Figures of lesson 00: what `reshape` does to a picture, and how einops reads a bracket."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from vit_course.plots.base import BLUE, GREEN, ORANGE, RED, SKY, YELLOW, to_picture

# Light enough for black letters, and never alone: each cell says in letters what it is.
CHANNEL_FILLS = ("#F2A98C", "#8FD3B6", "#93C4EA")
BLOCK_FILLS = (SKY, ORANGE, YELLOW, GREEN, RED, BLUE)


def channels_first(stored: Tensor, moved: Tensor) -> Figure:
    """A picture as it is stored, what became of it, and each channel of that in grey.

    Args:
        stored: (H, W, 3), uint8 or floats in 0 … 1.
        moved: (3, H, W), the same numbers, channels first.

    Raises:
        ValueError: the shapes are not these.
    """
    if stored.ndim != 3 or stored.shape[2] != 3:
        raise ValueError(f"stored should be one colour image (H, W, 3), got {tuple(stored.shape)}.")
    if tuple(moved.shape) != (3, *stored.shape[:2]):
        wanted = (3, *stored.shape[:2])
        raise ValueError(f"moved should be one image (3, H, W), here {wanted}, got {tuple(moved.shape)}.")
    panels = {"as stored\n(H, W, C)": stored.permute(2, 0, 1), "channels first\n(C, H, W)": moved}
    panels |= {f"channel {i}\n(for {name})": moved[i : i + 1] for i, name in enumerate(("red", "green", "blue"))}
    figure, axes = plt.subplots(1, 5, figsize=(9.5, 2.5))
    for axis, (title, picture) in zip(axes, panels.items(), strict=True):
        axis.imshow(to_picture(picture), interpolation="nearest")
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.tight_layout(pad=0.4, w_pad=0.8)
    return figure


def number_origins(stored: Tensor, moved: Tensor) -> Figure:
    """Where the numbers of a tiny picture lie in memory, where they went, and where they belong.

    Args:
        stored: (H, W, 3), numbered 0, 1, 2 … in the order of memory, as `torch.arange(…).reshape(H, W, 3)` is.
        moved: (3, H, W), the same numbers in another order.

    Raises:
        ValueError: the shapes or the numbers are not these.
    """
    if stored.ndim != 3 or stored.shape[2] != 3 or tuple(moved.shape) != (3, *stored.shape[:2]):
        raise ValueError(f"need (H, W, 3) and (3, H, W), got {tuple(stored.shape)} and {tuple(moved.shape)}.")
    numbers = torch.arange(stored.numel())
    if not torch.equal(stored.flatten(), numbers.to(stored)) or not torch.equal(
        moved.flatten().sort()[0].long(), numbers
    ):
        raise ValueError("stored should hold 0, 1, 2 … in their order, and moved the same numbers.")
    height, width, _ = stored.shape
    plane = width + 0.8  # cells from one channel to the next
    figure, axes = plt.subplots(3, 1, figsize=(9, 1.9 + 0.9 * height), height_ratios=(1.2, height, height))
    for place in range(stored.numel()):
        _cell(axes[0], place, 0, place, width)
    axes[0].set(xlim=(-0.1, stored.numel() + 0.1), ylim=(1.15, -0.15))
    for axis, planes in ((axes[1], moved), (axes[2], stored.permute(2, 0, 1))):
        for channel, row, column in torch.cartesian_prod(*map(torch.arange, planes.shape)).tolist():
            _cell(axis, channel * plane + column, row, int(planes[channel, row, column]), width)
        axis.set(xlim=(-0.1, stored.numel() + 0.1), ylim=(height + 0.15, -0.15))
    titles = (
        "in memory: pixel after pixel, three numbers each",
        "what came out: channels 0, 1, 2",
        "what belongs there",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=12, loc="left")
        axis.set_aspect("equal", anchor="W")
        axis.axis("off")
    figure.tight_layout(pad=0.4)
    return figure


def _cell(axis: Axes, left: float, top: float, number: int, width: int) -> None:
    """One number, labelled with its colour and its pixel (row, column)."""
    pixel, channel = divmod(number, 3)
    row, column = divmod(pixel, width)
    axis.add_patch(Rectangle((left, top), 1, 1, facecolor=CHANNEL_FILLS[channel], edgecolor="black", linewidth=1))
    axis.text(left + 0.5, top + 0.5, f"{'RGB'[channel]}\n{row},{column}", ha="center", va="center", fontsize=11)


def bracket_order(count: int = 6, size: int = 2) -> Figure:
    """A row of numbers split by `(block k)` and by `(k block)`: which of them make a block.

    Args:
        count: how many numbers; at most 6 blocks.
        size: the k of the patterns, a divisor of `count`.

    Raises:
        ValueError: `size` does not divide `count`, or there would be more than 6 blocks.
    """
    if size < 1 or count < 1 or count % size or count // size > len(BLOCK_FILLS):
        raise ValueError(f"{count} numbers cannot be drawn as blocks of {size}: take a divisor, and at most 6 blocks.")
    blocks = count // size
    figure, axes = plt.subplots(2, 1, figsize=(7, 2.6))
    rows = {
        f'"(block k) -> block k", k={size}': [number // size for number in range(count)],
        f'"(k block) -> block k", k={size}': [number % blocks for number in range(count)],
    }
    for axis, (pattern, block_of) in zip(axes, rows.items(), strict=True):
        for number, block in enumerate(block_of):
            axis.add_patch(Rectangle((number, 0), 1, 1, facecolor=BLOCK_FILLS[block], edgecolor="black", linewidth=1))
            axis.text(number + 0.5, 0.5, f"{number}", ha="center", va="center", fontsize=12)
        lists = [[number for number in range(count) if block_of[number] == block] for block in range(blocks)]
        axis.text(count + 0.4, 0.5, "  ".join(map(str, lists)), va="center", fontsize=12, family="monospace")
        axis.set_title(pattern, fontsize=12, loc="left", family="monospace")
        axis.set(xlim=(-0.1, 2 * count + 0.5), ylim=(-0.1, 1.1), aspect="equal", anchor="W")
        axis.axis("off")
    figure.tight_layout(pad=0.4)
    return figure
