"""The figures of lesson 03: the CLS token and where it looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from vit_course.plots.base import GREY, LOOKS, ORANGE, Drawn, cell_size, ink, panels, text_size, to_picture
from vit_course.plots.words import colour_name, counted, listed, one_line, percent, place


def sequence_with_cls(patches: Sequence[Tensor]) -> Drawn:
    """The sequence before and after the CLS token is put in front.

    Args:
        patches: pictures (C, P, P) of the patches, a handful.
    """
    cell = cell_size(0.89, len(patches) + 3)
    points = text_size(["CLS"], 0.8 * cell, 12)
    figure, axes = panels(1, 1, (cell * (len(patches) + 3), 3 * cell))
    axis = axes[0, 0]
    for line, (label, first) in enumerate((("N tokens", 0), ("1 + N tokens", 1))):
        top = -1.5 * line
        if first:
            box = FancyBboxPatch((0.06, top + 0.06), 0.88, 0.88, boxstyle="round,pad=0.02", facecolor=ORANGE)
            axis.add_patch(box)
            axis.text(0.5, top + 0.5, "CLS", ha="center", va="center", fontsize=points, weight="bold")
            axis.text(0.5, top - 0.22, "0", ha="center", fontsize=min(points, 10))
        for left, patch in enumerate(patches, start=1):
            axis.imshow(to_picture(patch), extent=(left + 0.05, left + 0.95, top + 0.05, top + 0.95))
            axis.text(left + 0.5, top - 0.22, left - 1 + first, ha="center", fontsize=min(points, 10))
        axis.text(len(patches) + 1.2, top + 0.5, label, va="center", fontsize=12)
    axis.set(xlim=(0, len(patches) + 3), ylim=(-1.9, 1.1), aspect="equal")
    axis.axis("off")
    count = len(patches)
    colours = listed([colour_name(to_picture(patch).mean(axis=(0, 1))) for patch in patches])
    alt = (
        f"Above, N = {counted(count, 'patch')} in a row, numbered from 0; the mean colours: {colours}. Below, "
        f"a box marked CLS at place 0, then the same patches as 1 to {count}: 1 + N = {count + 1} tokens."
    )
    return Drawn(figure, alt)


def vectors(groups: Sequence[tuple[str, Tensor]]) -> Drawn:
    """One vector per image as a row of coloured cells.

    Args:
        groups: (title, vectors (images, D)), a panel for each.
    """
    side = cell_size(4.2, len(groups))
    most = max(len(values) for _, values in groups)
    figure, axes = panels(1, len(groups), (side * len(groups), max(2.4, 0.2 * most + 0.8)))
    limit = max(values.abs().max().item() for _, values in groups)
    points = text_size([title for title, _ in groups], side)
    said = []
    for axis, (title, values) in zip(axes[0], groups, strict=True):
        numbers = values.numpy(force=True)
        axis.imshow(numbers, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        axis.set_title(title, fontsize=points)
        axis.set_yticks(range(len(values)), [f"image {i}" for i in range(len(values))], fontsize=10)
        axis.set_xticks([])
        axis.set_xlabel("the numbers of the vector", fontsize=10)
        apart = float(np.ptp(numbers, axis=0).max())
        rows = "all rows are alike" if apart == 0 else f"the rows differ, by {apart:.2g} where they differ most"
        said.append(f"“{one_line(title)}” has {counted(len(numbers), 'row')} of {numbers.shape[1]} numbers, and {rows}")
    figure.tight_layout()
    return Drawn(figure, f"Vectors as rows of coloured cells, a row for each image: {'; '.join(said)}.")


def boards(images: Tensor, titles: Sequence[str], weights: Tensor | None = None) -> Drawn:
    """Images in a row and, where given, under each the attention weight of every patch.

    Args:
        images: (K, C, H, W).
        titles: one for each.
        weights: (K, rows, columns), each adding up to 1.

    Raises:
        ValueError: there are not as many titles as images.
    """
    if len(titles) != len(images):
        raise ValueError(f"{len(images)} images need as many titles; got {len(titles)}.")
    lines = 1 if weights is None else 2
    side = cell_size(1.7, len(images), lines)
    points = text_size(titles, side)
    figure, axes = panels(lines, len(images), (side * len(images), (side + 0.25) * lines))
    said = []
    for index, (image, title) in enumerate(zip(images, titles, strict=True)):
        picture = to_picture(image)
        axes[0, index].imshow(picture, interpolation="nearest")
        axes[0, index].set_title(title, fontsize=points)
        said.append(f"“{one_line(title)}”, lightest at {place(picture.mean(axis=2))}")
        if weights is not None:
            grid = weights[index].numpy(force=True)
            shown = axes[1, index].imshow(grid, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
            row, column = np.unravel_index(int(grid.argmax()), grid.shape)
            colour = ink(shown.to_rgba(grid.max()))
            share = f"{grid.max():.0%}"
            axes[1, index].text(column, row, share, ha="center", va="center", fontsize=min(points, 10), color=colour)
            here = _over(picture.mean(axis=2), grid)
            said[-1] += f", {percent(float(grid.max()))} of the weight at {place(grid)}, which {here} that pixel"
    if weights is not None:
        axes[1, 0].set_ylabel("weights", fontsize=11)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.tight_layout(pad=0.5)
    height, width = images.shape[2:]
    alt = f"{counted(len(images), 'picture')} of {height} × {width} pixels, the lightest pixel of each"
    if weights is not None:
        alt += f", and the largest of the {weights.shape[1]} × {weights.shape[2]} weights drawn below it"
    return Drawn(figure, f"{alt}: {listed(said, '; ')}.")


def _over(lightness: np.ndarray, grid: np.ndarray) -> str:
    """Whether the largest cell of a grid over a picture (H, W) "holds" or "does not hold" its lightest pixel."""
    pixel = np.unravel_index(int(lightness.argmax()), lightness.shape)
    cell = tuple(at * cells // pixels for at, cells, pixels in zip(pixel, grid.shape, lightness.shape, strict=True))
    return "holds" if cell == np.unravel_index(int(grid.argmax()), grid.shape) else "does not hold"


def learning(curves: Sequence[tuple[str, Sequence[float]]], chance: float, every: int) -> Drawn:
    """Accuracy while learning.

    Args:
        curves: up to three of (label, accuracy in 0 … 1 at each measurement).
        chance: accuracy of guessing.
        every: training steps between two measurements.

    Raises:
        ValueError: more than three curves.
    """
    looks = LOOKS[:3]
    if len(curves) > len(looks):
        raise ValueError(f"three curves can be told apart; got {len(curves)}.")
    figure, axes = panels(1, 1, (6, 3.2))
    axis = axes[0, 0]
    said = []
    for (label, values), (colour, marker, _) in zip(curves, looks, strict=False):
        steps = [every * i for i in range(len(values))]
        axis.plot(steps, [100 * value for value in values], marker=marker, markersize=4, color=colour, label=label)
        said.append(
            f"“{one_line(label)}” begins at {values[0]:.1%}, ends at {values[-1]:.1%} after {steps[-1]} steps, and is "
            f"{max(values):.1%} at its best"
        )
    axis.axhline(100 * chance, color=GREY, linestyle="--", label="guessing")
    axis.set(xlabel="training steps", ylabel="accuracy on new images, %", ylim=(0, 104))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11, loc="best")
    figure.tight_layout()
    return Drawn(
        figure,
        f"Accuracy on new images against training steps: {'; '.join(said)}. Guessing, dashed, is {chance:.0%}.",
    )


def listening(rows: Sequence[tuple[str, Tensor]], size: float = 1.25) -> Drawn:
    """A column for each picture: the picture itself, weights over its patches, the patch that is their weighted mean.

    Args:
        rows: (label, what to draw). (B, C, H, W) are pictures; (B, N) are weights of the patches of a square grid,
            dark where large, all on one scale.
        size: of a cell, in inches, where that suits the number of columns.

    Raises:
        ValueError: neither pictures nor weights of a square grid.
    """
    for label, values in rows:
        if values.ndim != 4 and (values.ndim != 2 or math.isqrt(values.shape[1]) ** 2 != values.shape[1]):
            raise ValueError(f"{label!r} should be (B, C, H, W) or (B, N), N a square; got {tuple(values.shape)}.")
    largest = max((values.max().item() for _, values in rows if values.ndim == 2), default=1)
    columns = len(rows[0][1])
    labels = 1.5  # inches
    size = cell_size(size, columns, len(rows), beside=labels)
    figure, axes = panels(len(rows), columns, (size * columns + labels, size * 1.08 * len(rows)))
    points = text_size(["at most 99%"], size, 10.5)
    for line, (label, values) in zip(axes, rows, strict=True):
        for axis, one in zip(line, values, strict=True):
            axis.set(xticks=[], yticks=[])
            if one.ndim == 3:
                axis.imshow(to_picture(one), interpolation="nearest")
                axis.spines[:].set_visible(False)
            else:
                grid = one.unflatten(0, (math.isqrt(len(one)), -1)).numpy(force=True)
                axis.imshow(grid, cmap="Blues", vmin=0, vmax=largest, interpolation="nearest")
                axis.set_xlabel(f"at most {one.max():.0%}", fontsize=points, labelpad=2)
        line[0].set_ylabel(label, fontsize=11, rotation=0, ha="right", va="center", labelpad=8)
    figure.tight_layout(pad=0.5)
    said = " ".join(f"“{one_line(label)}”: {_heard(values)}." for label, values in rows)
    return Drawn(figure, f"{counted(columns, 'picture')} side by side, and below each, from top to bottom: {said}")


def _heard(values: Tensor) -> str:
    """A row of `listening` in words."""
    if values.ndim == 4:
        colours = listed([colour_name(to_picture(one).mean(axis=(0, 1))) for one in values])
        return f"{values.shape[2]} × {values.shape[3]} pixels, on average {colours}"
    if float(values.max() - values.min()) < 1e-6:
        return f"all {values.shape[1]} equal, {float(values.max()):.1%}"
    grids = [one.unflatten(0, (math.isqrt(len(one)), -1)).numpy(force=True) for one in values]
    return f"the largest {listed([f'{grid.max():.0%} at {place(grid)}' for grid in grids], '; ')}"
