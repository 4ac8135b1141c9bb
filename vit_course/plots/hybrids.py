"""The figure of lessons 09 and 11: accuracy against something, for several models and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vit_course.plots.base import GREY, LOOKS, Drawn, panels
from vit_course.plots.words import counted, listed, one_line


def runs_against(
    rows: Sequence[tuple[str, Mapping[float, Sequence[float]]]],
    xlabel: str,
    *,
    title: str = "",
    ticks: Mapping[float, str] | None = None,
    chance: float | None = None,
    limits: tuple[float, float] | None = None,
) -> Drawn:
    """Accuracy against a number, on a logarithmic scale: each run a point, a line through the means.

    Bars are the standard error of a mean: the spread of its runs, divided by the root of their number.

    Args:
        rows: up to four of (label, {number: accuracies in 0 … 1, one for each seed}).
        xlabel: what the number is.
        title: of the figure; two that are compared need one each.
        ticks: what to write below a number, where that is not the number itself.
        chance: accuracy of guessing, drawn as a line; left out if not given.
        limits: lowest and highest accuracy of the axis, 0 … 1; from the runs if not given.

    Raises:
        ValueError: no rows or more than four, or a number without runs.
    """
    if not 1 <= len(rows) <= len(LOOKS) or not all(found and all(map(len, found.values())) for _, found in rows):
        raise ValueError(f"one to four lines can be told apart, with runs at each number; got {len(rows)}.")
    numbers = sorted({number for _, found in rows for number in found})
    written = {number: (ticks or {}).get(number, f"{number:,.5g}") for number in numbers}
    figure, axes = panels(1, 1, (6.4, 3.8))
    axis, said = axes[0, 0], []
    for line, ((label, found), (colour, marker, style)) in enumerate(zip(rows, LOOKS, strict=False)):
        at = sorted(found)
        # Beside each other, so that points of one number do not hide each other.
        beside = [number * 1.04 ** (2 * line - len(rows) + 1) for number in at]
        runs = [100 * np.array(found[number], dtype=float) for number in at]
        means = [some.mean() for some in runs]
        errors = [some.std(ddof=1) / len(some) ** 0.5 if len(some) > 1 else np.nan for some in runs]
        bars = {"capsize": 6, "linewidth": 1.6, "linestyle": style}
        axis.errorbar(beside, means, errors, color=colour, **bars)
        for place, (x, some) in enumerate(zip(beside, runs, strict=True)):
            name = {"label": label} if not place else {}
            axis.plot([x] * len(some), some, marker, color=colour, markersize=5, linestyle="none", **name)
        each = [
            f"{mean:.1f}% at {one_line(written[number])}"
            + (f" ({counted(len(some), 'run')}, {some.min():.1f} to {some.max():.1f})" if len(some) > 1 else "")
            for number, mean, some in zip(at, means, runs, strict=True)
        ]
        said.append(f"“{one_line(label)}” {listed(each)}")
    if chance is not None:
        axis.axhline(100 * chance, color=GREY, linestyle="--", linewidth=1.2, label="guessing")
        said.append(f"guessing, dashed, {chance:.0%}")
    axis.set_xscale("log")
    axis.set_xticks(numbers, [written[number] for number in numbers])
    axis.minorticks_off()
    axis.margins(x=0.08)
    axis.set(xlabel=xlabel, ylabel="test images right, %", title=title)
    if limits:
        axis.set_ylim(100 * limits[0], 100 * limits[1])
    axis.grid(axis="y", color=GREY, alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if len(rows) > 1 or chance is not None:
        axis.legend(frameon=False, fontsize=11, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    of = f"“{one_line(title)}”: accuracy" if title else "Accuracy"
    return Drawn(figure, f"{of} against {one_line(xlabel)}, on a logarithmic scale: {'; '.join(said)}.")
