"""The figures of lesson 01: cutting, what a token is made of, and what a shift does to it."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from vit_course.patches import num_patches, unpatchify
from vit_course.plots.base import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW, to_picture

COLOURS = (SKY, ORANGE, GREEN, PURPLE, YELLOW, RED)
LEGIBLE_GRID = 16  # cells in a row that still take a full edge


def tokens_and_cost(side: int, patch_sizes: Sequence[int], here: int | None = None) -> Figure:
    """Number of tokens and of pairs of tokens against the patch size, on logarithmic axes.

    Args:
        side: of a square image, in pixels.
        patch_sizes: which divide it.
        here: the patch size to mark.

    Raises:
        ValueError: a patch size does not divide the side, or `here` is none of them.
    """
    if here is not None and here not in patch_sizes:
        raise ValueError(f"patch size {here} is to be marked, but only {list(patch_sizes)} are drawn.")
    counts = [num_patches(side, side, size) for size in patch_sizes]
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
    panels = (("tokens, N", counts, BLUE), ("pairs of tokens, N²", [count**2 for count in counts], RED))
    for axis, (title, values, colour) in zip(axes, panels, strict=True):
        axis.plot(patch_sizes, values, "o-", color=colour)
        for size, value in zip(patch_sizes, values, strict=True):
            axis.annotate(f"{value:,}", (size, value), (7, 7), textcoords="offset points", fontsize=10)
            if size == here:
                axis.plot(size, value, "o", markersize=15, markerfacecolor="none", color="black", markeredgewidth=2)
        axis.set(xscale="log", yscale="log", xlabel="patch size, pixels", title=f"{title} ({side} × {side} image)")
        axis.set_xticks(patch_sizes, [str(size) for size in patch_sizes], minor=False)
        axis.minorticks_off()
        axis.margins(x=0.2, y=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return figure


def cut_apart(image: Tensor, patch_size: int) -> Figure:
    """An image, and beside it its patches with gaps between them and their numbers in reading order.

    Args:
        image: (C, H, W).
        patch_size: in pixels.

    Raises:
        ValueError: the patches do not tile the image.
    """
    picture = to_picture(image)
    height, width = picture.shape[:2]
    num_patches(height, width, patch_size)  # refuses sizes that do not fit
    rows, columns = height // patch_size, width // patch_size
    figure, axes = plt.subplots(1, 2, figsize=(8, 4 * height / width + 0.3))
    axes[0].imshow(picture, interpolation="nearest")
    for colour, line in (("black", 2), ("white", 1)):  # seen on dark pictures and on light ones
        for row in range(1, rows):
            axes[0].axhline(row * patch_size - 0.5, color=colour, linewidth=line)
        for column in range(1, columns):
            axes[0].axvline(column * patch_size - 0.5, color=colour, linewidth=line)
    axes[0].set_title(f"{height} × {width} pixels", fontsize=11)
    gap = 0.18 * patch_size
    step = patch_size + gap
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        top, left = row * patch_size, column * patch_size
        x, y = column * step, row * step
        patch = picture[top : top + patch_size, left : left + patch_size]
        axes[1].imshow(patch, interpolation="nearest", extent=(x, x + patch_size, y + patch_size, y))
        axes[1].add_patch(Rectangle((x, y), patch_size, patch_size, fill=False, edgecolor=GREY, linewidth=0.8))
        axes[1].text(x + 0.05 * step, y + 0.05 * step, number, va="top", fontsize=10, color="white",
                     bbox={"facecolor": "black", "pad": 1.5, "edgecolor": "none"})  # fmt: skip
    edge = 0.02 * width
    axes[1].set(xlim=(-edge, columns * step - gap + edge), ylim=(rows * step - gap + edge, -edge))
    axes[1].set_title(f"{rows * columns} patches of {patch_size} × {patch_size}", fontsize=11)
    for axis in axes:
        axis.axis("off")
    figure.tight_layout()
    return figure


def split_a_row(length: int, patch_size: int) -> Figure:
    """A row of pixels split in the two ways that differ in the order of two names in a bracket.

    Args:
        length: of the row, a multiple of `patch_size`.
        patch_size: pixels in a patch.

    Raises:
        ValueError: the patches do not tile the row, or there are more of them than colours.
    """
    patches = length // patch_size if patch_size > 0 and length % patch_size == 0 else 0
    if not 1 <= patches <= len(COLOURS):
        raise ValueError(f"a row of {length} pixels cannot be drawn as 1 to {len(COLOURS)} patches of {patch_size}.")
    figure, axes = plt.subplots(2, 1, figsize=(8, 4))
    ways = (
        ("(h p)", ("h", patch_size), "p", [i // patch_size for i in range(length)]),
        ("(p h)", ("p", patches), "h", [i % patches for i in range(length)]),
    )
    for axis, (pattern, (outer, stride), inner, owner) in zip(axes, ways, strict=True):
        for pixel, patch in enumerate(owner):
            marked = patch == 0
            axis.add_patch(
                Rectangle((pixel + 0.04, 0), 0.92, 1, facecolor=COLOURS[patch], edgecolor="black",
                          linewidth=2.5 if marked else 0.8)
            )  # fmt: skip
            axis.text(pixel + 0.5, 0.5, f"patch\n{patch}", ha="center", va="center", fontsize=10)
            axis.text(pixel + 0.5, -0.12, pixel, ha="center", va="top", fontsize=10)
        for low, name, walked in ((-0.62, inner, 1), (-1.05, outer, stride)):
            tip = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
            axis.annotate("", xy=(0.5 + walked, low), xytext=(0.5, low), arrowprops=tip)
            place = "inner" if name == inner else "outer"
            axis.text(
                0.7 + walked, low, f"{name}, the {place} name, walks in steps of {walked}", va="center", fontsize=10
            )
        axis.set(xlim=(-0.1, length + 0.1), ylim=(-1.25, 1.1))
        axis.set_title(f"{pattern}  with h = {patches}, p = {patch_size}", fontsize=11, loc="left")
        axis.axis("off")
    figure.tight_layout(h_pad=1)
    return figure


def token_sources(tokens: Tensor, titles: Sequence[str], channels: int, height: int, width: int) -> Figure:
    """Which pixels a token is made of, read off tokens of a coordinate image (0, 1, 2, … in memory order).

    Args:
        tokens: (K, values), tokens of one coordinate image (1, C, H, W), one panel each.
        titles: of the panels.
        channels, height, width: of the coordinate image.

    Raises:
        ValueError: a value of a token is no place in the coordinate image.
    """
    places = channels * height * width
    if tokens.numel() and not 0 <= float(tokens.min()) <= float(tokens.max()) < places:
        raise ValueError(
            f"tokens of a coordinate image of {channels} × {height} × {width} hold numbers from 0 to {places - 1}; "
            f"got {float(tokens.min()):g} to {float(tokens.max()):g}."
        )
    figure, axes = plt.subplots(1, len(tokens), figsize=(4.2 * len(tokens), 4.2 * height / width + 0.5), squeeze=False)
    for axis, token, title in zip(axes[0], tokens, titles, strict=True):
        first: dict[tuple[int, int], int] = {}
        for place, value in enumerate(token.long().tolist()):
            first.setdefault((value // width % height, value % width), place)
        for row in range(height):
            for column in range(width):
                place = first.get((row, column))
                colour = BLUE if place is not None else "white"
                axis.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor=GREY, linewidth=0.6))
                if place is not None:
                    axis.text(column + 0.5, row + 0.5, place, ha="center", va="center", fontsize=10, color="white")
        axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        axis.set_title(title, fontsize=12)
        axis.set_xticks([0.5, width - 0.5], ["column 0", f"{width - 1}"])
        axis.set_yticks([0.5, height - 0.5], ["row 0", f"{height - 1}"])
        axis.tick_params(length=0, labelsize=10)
    figure.tight_layout()
    return figure


def token_pictures(tokens: Tensor, patch_size: int, columns: int, title: str = "") -> Figure:
    """Every token of one image drawn as the little picture it holds, in order.

    Args:
        tokens: (N, P·P·C), as `patchify` lays them out.
        patch_size: P.
        columns: how many stand in a row.
        title: above all.

    Raises:
        ValueError: the tokens do not hold patches of this size.
    """
    rows = -(-len(tokens) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.55 * columns, 0.55 * rows + 0.4), squeeze=False)
    for axis in axes.flat[len(tokens) :]:
        axis.axis("off")
    for axis, token in zip(axes.flat, tokens, strict=False):
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(color=GREY, linewidth=0.6)  # a light token has edges on white paper
        axis.imshow(to_picture(unpatchify(token[None, None], patch_size, patch_size, patch_size)[0]))
    figure.suptitle(title, fontsize=12)
    figure.subplots_adjust(
        left=0.02, right=0.98, bottom=0.02, top=1 - 0.45 / (0.55 * rows + 0.4), wspace=0.1, hspace=0.1
    )
    return figure


def found_again(panels: Sequence[tuple[str, Tensor]]) -> Figure:
    """For each place of a grid, whether what stood there before a shift is found again after it.

    Args:
        panels: (title, boolean grid (rows, columns)).
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels), 3.4), squeeze=False)
    for axis, (title, found) in zip(axes[0], panels, strict=True):
        rows, columns = found.shape
        line = 0.8 if columns <= LEGIBLE_GRID else 0.15  # many cells: their edges would hide their colour
        for row in range(rows):
            for column in range(columns):
                yes = bool(found[row, column])
                axis.add_patch(
                    Rectangle((column, row), 1, 1, facecolor=SKY if yes else "white", edgecolor=GREY, linewidth=line)
                )
                if not yes:
                    axis.plot([column + 0.3, column + 0.7], [row + 0.3, row + 0.7], color=RED, linewidth=1.2)
        axis.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal", xticks=[], yticks=[])
        axis.set_title(f"{title}\n{int(found.sum()):,} of {found.numel():,} found again", fontsize=11)
    figure.tight_layout()
    return figure


def jigsaw(image: Tensor, shuffled: Tensor) -> Figure:
    """An image and the same patches in another order.

    Args:
        image, shuffled: (C, H, W), of one shape.

    Raises:
        ValueError: the shapes differ.
    """
    if image.shape != shuffled.shape:
        raise ValueError(f"the two images differ in shape: {tuple(image.shape)} and {tuple(shuffled.shape)}.")
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 3))
    for axis, one, title in zip(axes, (image, shuffled), ("tokens in order", "the same tokens, shuffled"), strict=True):
        axis.imshow(to_picture(one), interpolation="nearest")
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.tight_layout()
    return figure
