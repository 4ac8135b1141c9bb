"""The figures of lesson 09: accuracy against the share of the labels, and what was taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from vit_course.plots.base import GREY, LOOKS, Drawn, cell_size, panels, text_size
from vit_course.plots.words import counted, listed, one_line, percent


def by_share(rows: Sequence[tuple[str, Mapping[float, Sequence[float]]]], chance: float, images: int = 0) -> Drawn:
    """Accuracy against the share of the labels that was used: a point for each run, a line through the means.

    Args:
        rows: up to four of (label, share in 0 … 1 → accuracies in 0 … 1, one for each seed).
        chance: accuracy of guessing.
        images: how many there are in all, for the axis; 0 leaves that out.

    Raises:
        ValueError: more than four rows.
    """
    if len(rows) > len(LOOKS):
        raise ValueError(f"four lines can be told apart; got {len(rows)}.")
    figure, axes = panels(1, 1, (6.4, 3.8))
    axis, said = axes[0, 0], []
    shares = sorted({share for _, found in rows for share in found})
    for (label, found), (colour, marker, style) in zip(rows, LOOKS, strict=False):
        at = sorted(found)
        means = [100 * float(np.mean(found[share])) for share in at]
        axis.plot(at, means, color=colour, linestyle=style, linewidth=1.6)
        for number, share in enumerate(at):
            runs = [100 * one for one in found[share]]
            name = {"label": label} if not number else {}
            axis.plot([share] * len(runs), runs, marker, color=colour, markersize=6, linestyle="none", **name)
        each = [
            f"{means[number]:.1f}% at {share:.0%}"
            + (f" ({counted(len(found[share]), 'run')}, {_span(found[share])})" if len(found[share]) > 1 else "")
            for number, share in enumerate(at)
        ]
        said.append(f"“{one_line(label)}” {listed(each)}")
    axis.axhline(100 * chance, color=GREY, linestyle="--", linewidth=1.2)
    axis.set_xscale("log")
    ticks = [f"{share:.0%}" + (f"\n{round(share * images):,} images" if images else "") for share in shares]
    axis.set_xticks(shares, ticks)
    axis.minorticks_off()
    axis.set(xlabel="share of the labels", ylabel="test images right, %", ylim=(0, 100))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11, loc="upper left")
    figure.tight_layout()
    return Drawn(
        figure,
        f"Accuracy against the share of the labels, on a logarithmic scale: {'; '.join(said)}. "
        f"Guessing, dashed, is {chance:.0%}.",
    )


def _span(values: Sequence[float]) -> str:
    return f"{100 * min(values):.1f} to {100 * max(values):.1f}"


def confusion(counts: Tensor, classes: Sequence[str], size: float = 0.55) -> Drawn:
    """What was taken for what: a row for each class, a column for each answer; the diagonal is right.

    Args:
        counts: (K, K) whole numbers, [class, answer].
        classes: their K names.
        size: of a cell, in inches, where that suits their number.

    Raises:
        ValueError: counts and names do not go together.
    """
    if tuple(counts.shape) != (len(classes),) * 2 or not classes:
        raise ValueError(f"{len(classes)} classes have ({len(classes)}, {len(classes)}) counts, got {counts.shape}.")
    letters = 0.09 * max(len(one_line(name)) for name in classes)
    beside = min(2.5, 0.3 + letters)
    side = cell_size(size, len(classes), len(classes) + 2, beside=beside)
    figure, axes = panels(1, 1, (max(3.2, side * len(classes) + beside), max(2.4, side * len(classes) + beside)))
    axis, numbers = axes[0, 0], counts.numpy()
    shares = numbers / np.maximum(1, numbers.sum(axis=1, keepdims=True))
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    points = text_size([str(numbers.max())], side, 11)
    for row, column in np.ndindex(*numbers.shape):
        if numbers[row, column]:
            colour = "white" if shares[row, column] > 0.55 else "black"
            axis.text(column, row, str(numbers[row, column]), ha="center", va="center", fontsize=points, color=colour)
    names = [one_line(name) for name in classes]
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=10)
    axis.set_yticks(range(len(names)), names, fontsize=10)
    axis.set(xlabel="called", ylabel="is")
    axis.tick_params(length=0)
    figure.tight_layout(pad=0.5)
    right, total = int(np.trace(numbers)), int(numbers.sum())
    off = numbers - np.diag(np.diag(numbers))
    often = [divmod(int(place), len(names)) for place in np.argsort(-off, axis=None, kind="stable")[:3]]
    said = [
        f"{names[row]} called {names[column]} {counted(int(off[row, column]), 'time')}"
        for row, column in often
        if off[row, column]
    ]
    text = f"{len(names)} class{'es' * (len(names) > 1)} against what they were called"
    text += f": {right} of {total} right ({percent(right / total)})" if total else ": no images"
    return Drawn(figure, f"{text}. {'Most often wrong: ' + listed(said) if said else 'None wrong'}.")
