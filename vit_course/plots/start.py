"""Figures of lesson 00: what `reshape` does to a picture, and how einops reads a bracket."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from vit_course.plots.base import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    SKY,
    SMALLEST_TEXT,
    WIDEST,
    YELLOW,
    Drawn,
    cell_size,
    draw_picture,
    panels,
    text_size,
    to_picture,
)
from vit_course.plots.words import correlation, described, listed, percent, rounded

# Light enough for black letters, and never alone: each cell says in letters what it is.
CHANNEL_FILLS = ("#F2A98C", "#8FD3B6", "#93C4EA")
BLOCK_FILLS = (SKY, ORANGE, YELLOW, GREEN, RED, BLUE)


def channels_first(stored: Tensor, moved: Tensor) -> Drawn:
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
    right = stored.permute(2, 0, 1)
    colours = ("red", "green", "blue")
    shown = {"as stored\n(H, W, C)": right, "channels first\n(C, H, W)": moved}
    shown |= {f"channel {i}\n(for {name})": moved[i : i + 1] for i, name in enumerate(colours)}
    figure, axes = panels(1, 5, (9.5, 2.5))
    for axis, (title, picture) in zip(axes[0], shown.items(), strict=True):
        draw_picture(axis, picture, title)
    figure.tight_layout(pad=0.4, w_pad=0.8)
    alike = [correlation(*pair) for pair in zip(moved.numpy(force=True), right.numpy(force=True), strict=True)]
    each = listed([f"{name} {rounded(value)}" for name, value in zip(colours, alike, strict=True)])
    alt = (
        f"Left, the picture as stored: {described(to_picture(right))}. Beside it, with the channels first: "
        f"{described(to_picture(moved))}; {percent((moved == right).float().mean().item())} of its numbers are where "
        f"they belong. Then its channels in grey, and how each correlates with that colour of the stored one: {each}."
    )
    return Drawn(figure, alt)


def number_origins(stored: Tensor, moved: Tensor) -> Drawn:
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
        moved.flatten().sort()[0], numbers.to(moved)
    ):
        raise ValueError("stored should hold 0, 1, 2 … in their order, and moved the same numbers.")
    height, width, _ = stored.shape
    plane = width + 0.8  # cells from one channel to the next
    figure, axes = panels(3, 1, (9, 1.9 + 0.9 * height), height_ratios=(1.2, height, height))
    axes = axes[:, 0]
    points = text_size([_name(stored.numel() - 1, width, "\n")], 0.8 * 9 / stored.numel())
    for place in range(stored.numel()):
        _cell(axes[0], place, 0, place, width, points)
    axes[0].set(xlim=(-0.1, stored.numel() + 0.1), ylim=(1.15, -0.15))
    for axis, planes in ((axes[1], moved), (axes[2], stored.permute(2, 0, 1))):
        for channel, row, column in torch.cartesian_prod(*map(torch.arange, planes.shape)).tolist():
            _cell(axis, channel * plane + column, row, int(planes[channel, row, column]), width, points)
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
    memory = listed([_name(number, width, " ") for number in range(stored.numel())])
    came = "; ".join(
        f"channel {channel} holds {listed([_name(int(number), width, ' ') for number in plane.flatten()])}"
        for channel, plane in enumerate(moved)
    )
    right = int((moved == stored.permute(2, 0, 1)).sum())
    alt = (
        f"The numbers of a picture of {height} × {width} pixels, by colour and pixel. In memory: {memory}. "
        f"What came out: {came}. {right} of {stored.numel()} are where they belong."
    )
    return Drawn(figure, alt)


def _name(number: int, width: int, separator: str) -> str:
    """The colour of a number and its pixel (row, column)."""
    pixel, channel = divmod(number, 3)
    row, column = divmod(pixel, width)
    return f"{'RGB'[channel]}{separator}{row},{column}"


def _cell(axis: Axes, left: float, top: float, number: int, width: int, points: float) -> None:
    """One number, labelled with its name where that can be read."""
    fill = CHANNEL_FILLS[number % 3]
    axis.add_patch(Rectangle((left, top), 1, 1, facecolor=fill, edgecolor="black", linewidth=points / 11))
    if points > SMALLEST_TEXT:
        axis.text(left + 0.5, top + 0.5, _name(number, width, "\n"), ha="center", va="center", fontsize=points)


def bracket_order(count: int = 6, size: int = 2) -> Drawn:
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
    cell = cell_size(0.56, 2 * count)
    figure, axes = panels(2, 1, (2 * count * cell, 2.6))
    ways = {
        f'"(block k) -> block k", k={size}': [number // size for number in range(count)],
        f'"(k block) -> block k", k={size}': [number % blocks for number in range(count)],
    }
    points = text_size([str(count)], 0.8 * cell, 12)
    said = []
    for axis, (pattern, block_of) in zip(axes[:, 0], ways.items(), strict=True):
        for number, block in enumerate(block_of):
            axis.add_patch(Rectangle((number, 0), 1, 1, facecolor=BLOCK_FILLS[block], edgecolor="black", linewidth=1))
            axis.text(number + 0.5, 0.5, f"{number}", ha="center", va="center", fontsize=points)
        lists = [[number for number in range(count) if block_of[number] == block] for block in range(blocks)]
        row = "  ".join(map(str, lists))
        room = text_size([row], WIDEST - count * cell, 12)
        axis.text(count + 0.4, 0.5, row, va="center", fontsize=room, family="monospace")
        axis.set_title(pattern, fontsize=12, loc="left", family="monospace")
        axis.set(xlim=(-0.1, 2 * count + 0.5), ylim=(-0.1, 1.1), aspect="equal", anchor="W")
        axis.axis("off")
        said.append(f"with {pattern} the blocks are {', '.join(map(str, lists))}")
    figure.tight_layout(pad=0.4)
    return Drawn(figure, f"The numbers 0 to {count - 1} in a row, coloured by block: {'; '.join(said)}.")
