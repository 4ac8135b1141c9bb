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


def tokens_and_cost(side: int, patch_sizes: Sequence[int], here: int | None = None) -> Figure:
    """Number of tokens and of pairs of tokens against the patch size, on logarithmic axes.

    Args:
        side: of a square image, in pixels.
        patch_sizes: which divide it.
        here: the patch size to mark.
    """
    counts = [num_patches(side, side, size) for size in patch_sizes]
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
    panels = (("tokens, N", counts, BLUE), ("pairs of tokens, N²", [count**2 for count in counts], RED))
    for axis, (title, values, colour) in zip(axes, panels, strict=True):
        axis.plot(patch_sizes, values, "o-", color=colour)
        for size, value in zip(patch_sizes, values, strict=True):
            axis.annotate(f"{value:,}", (size, value), (4, 6), textcoords="offset points", fontsize=10)
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
    """
    picture = to_picture(image)
    rows, columns = picture.shape[0] // patch_size, picture.shape[1] // patch_size
    figure = plt.figure(figsize=(8, 4))
    left = figure.add_axes((0.02, 0.05, 0.42, 0.85))
    left.imshow(picture, interpolation="nearest")
    for line in range(patch_size, max(picture.shape[:2]), patch_size):
        left.axhline(line - 0.5, color="white", linewidth=0.8)
        left.axvline(line - 0.5, color="white", linewidth=0.8)
    left.set_title(f"{picture.shape[0]} × {picture.shape[1]} pixels", fontsize=11)
    left.axis("off")
    for row in range(rows):
        for column in range(columns):
            width, height = 0.5 / columns, 0.84 / rows
            box = (0.49 + column * width, 0.05 + (rows - 1 - row) * height, width * 0.86, height * 0.86)
            axis = figure.add_axes(box)
            top, start = row * patch_size, column * patch_size
            axis.imshow(picture[top : top + patch_size, start : start + patch_size], interpolation="nearest")
            number = row * columns + column
            axis.text(0.06, 0.92, number, transform=axis.transAxes, va="top", fontsize=9, color="white",
                      bbox={"facecolor": "black", "pad": 1, "edgecolor": "none"})  # fmt: skip
            axis.axis("off")
    figure.text(0.74, 0.93, f"{rows * columns} patches of {patch_size} × {patch_size}", ha="center", fontsize=11)
    return figure


def split_a_row(length: int, patch_size: int) -> Figure:
    """A row of pixels split in the two ways that differ in the order of two names in a bracket.

    Args:
        length: of the row, a multiple of `patch_size`.
        patch_size: pixels in a patch.
    """
    patches = length // patch_size
    figure, axes = plt.subplots(2, 1, figsize=(8, 2.7))
    ways = (
        (
            "(h p)",
            "h is the outer name: patch after patch, each with p neighbours",
            [i // patch_size for i in range(length)],
        ),
        ("(p h)", "p is the outer name: the pixels of one patch are h apart", [i % patches for i in range(length)]),
    )
    for axis, (pattern, said, owner) in zip(axes, ways, strict=True):
        for pixel, patch in enumerate(owner):
            marked = patch == 0
            axis.add_patch(
                Rectangle((pixel, 0), 0.94, 1, facecolor=COLOURS[patch % len(COLOURS)], edgecolor="black",
                          linewidth=3 if marked else 0.8)
            )  # fmt: skip
            axis.text(pixel + 0.47, 0.5, f"patch\n{patch}", ha="center", va="center", fontsize=10)
        axis.set(xlim=(-0.1, length + 0.1), ylim=(-0.1, 1.1))
        axis.set_title(f"{pattern}  with h = {patches}, p = {patch_size}:  {said}", fontsize=11, loc="left")
        axis.axis("off")
    figure.tight_layout(h_pad=1)
    return figure


def token_sources(tokens: Tensor, titles: Sequence[str], channels: int, height: int, width: int) -> Figure:
    """Which pixels a token is made of, read off tokens of a coordinate image (0, 1, 2, … in memory order).

    Args:
        tokens: (K, values), tokens of one coordinate image (1, C, H, W), one panel each.
        titles: of the panels.
        channels, height, width: of the coordinate image.
    """
    figure, axes = plt.subplots(1, len(tokens), figsize=(4.2 * len(tokens), 4.2 * height / width + 0.5), squeeze=False)
    for axis, token, title in zip(axes[0], tokens, titles, strict=True):
        first: dict[tuple[int, int], int] = {}
        for place, value in enumerate(token.long().tolist()):
            _, row, column = value // (height * width), value // width % height, value % width
            first.setdefault((row, column), place)
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
    """
    rows = -(-len(tokens) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.55 * columns, 0.55 * rows + 0.4), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, token in zip(axes.flat, tokens, strict=False):
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
        for row in range(rows):
            for column in range(columns):
                yes = bool(found[row, column])
                axis.add_patch(
                    Rectangle((column, row), 1, 1, facecolor=SKY if yes else "white", edgecolor=GREY, linewidth=0.6)
                )
                if not yes:
                    axis.plot([column + 0.3, column + 0.7], [row + 0.3, row + 0.7], color=RED, linewidth=1.2)
        axis.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal", xticks=[], yticks=[])
        axis.set_title(f"{title}\n{int(found.sum())} of {found.numel()} found again", fontsize=11)
    figure.tight_layout()
    return figure


def jigsaw(image: Tensor, shuffled: Tensor) -> Figure:
    """An image and the same patches in another order. Both (C, H, W)."""
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 3))
    for axis, one, title in zip(axes, (image, shuffled), ("tokens in order", "the same tokens, shuffled"), strict=True):
        axis.imshow(to_picture(one), interpolation="nearest")
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.tight_layout()
    return figure
