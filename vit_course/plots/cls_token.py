"""The figures of lesson 03: the CLS token and where it looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from vit_course.plots.base import BLUE, GREY, ORANGE, to_picture


def sequence_with_cls(patches: Sequence[Tensor]) -> Figure:
    """The sequence before and after the CLS token is put in front.

    Args:
        patches: pictures (C, P, P) of the patches, a handful.
    """
    figure, axis = plt.subplots(figsize=(8, 2.6))
    for line, (label, first) in enumerate((("N tokens", 0), ("1 + N tokens", 1))):
        top = -1.5 * line
        if first:
            box = FancyBboxPatch((0.06, top + 0.06), 0.88, 0.88, boxstyle="round,pad=0.02", facecolor=ORANGE)
            axis.add_patch(box)
            axis.text(0.5, top + 0.5, "CLS", ha="center", va="center", fontsize=12, weight="bold")
            axis.text(0.5, top - 0.22, "0", ha="center", fontsize=10)
        for place, patch in enumerate(patches, start=1):
            axis.imshow(to_picture(patch), extent=(place + 0.05, place + 0.95, top + 0.05, top + 0.95))
            axis.text(place + 0.5, top - 0.22, place - 1 + first, ha="center", fontsize=10)
        axis.text(len(patches) + 1.2, top + 0.5, label, va="center", fontsize=12)
    axis.set(xlim=(0, len(patches) + 3), ylim=(-1.9, 1.1), aspect="equal")
    axis.axis("off")
    return figure


def vectors(panels: Sequence[tuple[str, Tensor]]) -> Figure:
    """One vector per image as a row of coloured cells.

    Args:
        panels: (title, vectors (images, D)).
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 2.4), squeeze=False)
    limit = max(values.abs().max().item() for _, values in panels)
    for axis, (title, values) in zip(axes[0], panels, strict=True):
        axis.imshow(
            values.detach().numpy(), cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
        )
        axis.set_title(title, fontsize=11)
        axis.set_yticks(range(len(values)), [f"image {i}" for i in range(len(values))], fontsize=10)
        axis.set_xticks([])
        axis.set_xlabel("the numbers of the vector", fontsize=10)
    figure.tight_layout()
    return figure


def boards(images: Tensor, titles: Sequence[str], weights: Tensor | None = None) -> Figure:
    """Images in a row and, where given, under each the attention weight of every patch.

    Args:
        images: (K, C, H, W).
        titles: one for each.
        weights: (K, rows, columns), each adding up to 1.
    """
    lines = 1 if weights is None else 2
    figure, axes = plt.subplots(lines, len(images), figsize=(1.7 * len(images), 1.95 * lines), squeeze=False)
    for index, (image, title) in enumerate(zip(images, titles, strict=True)):
        axes[0, index].imshow(to_picture(image), interpolation="nearest")
        axes[0, index].set_title(title, fontsize=11)
        if weights is not None:
            axes[1, index].imshow(
                weights[index].detach().numpy(), cmap="cividis", vmin=0, vmax=1, interpolation="nearest"
            )
            best = divmod(int(weights[index].argmax()), weights.shape[2])
            share = weights[index].max().item()
            axes[1, index].text(best[1], best[0], f"{share:.0%}", ha="center", va="center", fontsize=10)
    if weights is not None:
        axes[1, 0].set_ylabel("weights", fontsize=11)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.tight_layout(pad=0.5)
    return figure


def learning(curves: Sequence[tuple[str, Sequence[float]]], chance: float, every: int) -> Figure:
    """Accuracy while learning.

    Args:
        curves: (label, accuracy in 0 … 1 at each measurement).
        chance: accuracy of guessing.
        every: training steps between two measurements.
    """
    figure, axis = plt.subplots(figsize=(6, 3.2))
    for (label, values), colour, marker in zip(curves, (BLUE, ORANGE), ("o", "s"), strict=False):
        steps = [every * i for i in range(len(values))]
        axis.plot(steps, [100 * value for value in values], marker=marker, markersize=4, color=colour, label=label)
    axis.axhline(100 * chance, color=GREY, linestyle="--", label="guessing")
    axis.set(xlabel="training steps", ylabel="accuracy on new images, %", ylim=(0, 104))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11, loc="center right")
    figure.tight_layout()
    return figure


def listening(rows: Sequence[tuple[str, Tensor]], size: float = 1.25) -> Figure:
    """A column for each picture: the picture itself, weights over its patches, the patch that is their weighted mean.

    Args:
        rows: (label, what to draw). (B, C, H, W) are pictures; (B, N) are weights of the patches of a square grid,
            dark where large, all on one scale.
        size: of a cell, in inches.

    Raises:
        ValueError: neither pictures nor weights of a square grid.
    """
    for label, values in rows:
        if values.ndim != 4 and (values.ndim != 2 or math.isqrt(values.shape[1]) ** 2 != values.shape[1]):
            raise ValueError(f"{label!r} should be (B, C, H, W) or (B, N), N a square; got {tuple(values.shape)}.")
    largest = max((values.max().item() for _, values in rows if values.ndim == 2), default=1)
    columns = len(rows[0][1])
    figsize = (size * columns + 1.5, size * 1.08 * len(rows))
    figure, axes = plt.subplots(len(rows), columns, figsize=figsize, squeeze=False)
    for line, (label, values) in zip(axes, rows, strict=True):
        for axis, one in zip(line, values, strict=True):
            axis.set(xticks=[], yticks=[])
            if one.ndim == 3:
                axis.imshow(to_picture(one), interpolation="nearest")
                axis.spines[:].set_visible(False)
            else:
                grid = one.unflatten(0, (math.isqrt(len(one)), -1)).numpy()
                axis.imshow(grid, cmap="Blues", vmin=0, vmax=largest, interpolation="nearest")
                axis.set_xlabel(f"at most {one.max():.0%}", fontsize=10.5, labelpad=2)
        line[0].set_ylabel(label, fontsize=11, rotation=0, ha="right", va="center", labelpad=8)
    figure.tight_layout(pad=0.5)
    return figure
