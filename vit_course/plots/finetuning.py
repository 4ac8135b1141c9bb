"""The figure of lesson 09: accuracy against the share of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vit_course.plots.base import GREY, LOOKS, Drawn, panels
from vit_course.plots.words import counted, listed, one_line


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
