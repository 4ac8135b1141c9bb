"""The figures of lesson 07: where the parameters are, what wrong input costs, and two sets of logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from vit_course.plots.base import (
    BLUE,
    DARK_ORANGE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    Drawn,
    cell_size,
    ink,
    panels,
    text_size,
)
from vit_course.plots.words import correlation, listed, one_line, percent, rounded

_FILLS = (ORANGE, BLUE, SKY, GREEN, PURPLE, YELLOW, GREY)
_SMALLEST_LABEL = 0.06  # share of a bar in which a percentage can be read


def parameter_shares(models: Sequence[tuple[str, Mapping[str, int]]]) -> Drawn:
    """Where the parameters of models are: a bar for each model, cut into its parts.

    Args:
        models: (label, parameters of each part by name), the same parts in the same order for all; up to seven parts.

    Raises:
        ValueError: the parts differ, or are more than seven.
    """
    names = list(models[0][1])
    if len(names) > len(_FILLS) or any(list(parts) != names for _, parts in models):
        raise ValueError(
            f"every model needs the same parts, at most {len(_FILLS)}; got {[list(p) for _, p in models]}."
        )
    figure, axes = panels(1, 1, (8, 0.55 * len(models) + 1.3))
    axis = axes[0, 0]
    said = []
    for line, (label, parts) in enumerate(models):
        total, left = sum(parts.values()), 0.0
        for (name, count), fill in zip(parts.items(), _FILLS, strict=False):
            share = count / total
            look = {"color": fill, "edgecolor": "black", "linewidth": 0.6, "label": name if not line else ""}
            axis.barh(line, share, left=left, height=0.7, **look)
            if share > _SMALLEST_LABEL:
                axis.text(
                    left + share / 2, line, f"{share:.0%}", ha="center", va="center", fontsize=11, color=ink(fill)
                )
            left += share
        each = listed([f"{name} {percent(count / total)}" for name, count in parts.items()])
        said.append(f"“{one_line(label)}”, {total:,} in all: {each}")
    axis.set_yticks(range(len(models)), [label for label, _ in models], fontsize=11)
    axis.set(xlim=(0, 1), xticks=[])
    axis.invert_yaxis()
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(names), frameon=False, fontsize=10.5,
                handlelength=1, columnspacing=1.2)  # fmt: skip
    figure.tight_layout(pad=0.5)
    return Drawn(figure, f"Bars, a model each, cut into the shares of its parameters. {'; '.join(said)}.")


def accuracies(rows: Sequence[tuple[str, float]], chance: float) -> Drawn:
    """A bar for each way, as long as the share of pictures that are named rightly.

    Args:
        rows: (label, accuracy in 0 … 1), drawn from top to bottom; the first is the one to compare with.
        chance: accuracy of guessing.
    """
    figure, axes = panels(1, 1, (7, 0.36 * len(rows) + 0.9))
    axis = axes[0, 0]
    for line, (_, value) in enumerate(rows):
        axis.barh(line, 100 * value, height=0.7, color=BLUE if line == 0 else DARK_ORANGE)
        axis.text(100 * value + 1, line, f"{value:.0%}", va="center", fontsize=11)
    axis.axvline(100 * rows[0][1], color=BLUE, linestyle=":", linewidth=1.2)
    axis.axvline(100 * chance, color=GREY, linestyle="--", linewidth=1.2)
    axis.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=11)
    axis.set(xlim=(0, 104), xlabel=f"pictures named rightly, %   (dashed: guessing, {chance:.0%})")
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.5)
    said = ", ".join(f"“{one_line(label)}” {value:.0%}" for label, value in rows)
    return Drawn(figure, f"Bars of the pictures that are named rightly: {said}. Guessing, dashed, is {chance:.0%}.")


def logits_compared(groups: Sequence[tuple[str, Tensor, Tensor]]) -> Drawn:
    """The scores of one model against those of another, a point for each class.

    Args:
        groups: (title, scores (K,) of one model, scores (K,) of the other), a panel for each.
    """
    side = cell_size(3.4, len(groups))
    figure, axes = panels(1, len(groups), (side * len(groups), side + 0.3))
    points = text_size([title for title, _, _ in groups], side, 12)
    said = []
    for axis, (title, one, other) in zip(axes[0], groups, strict=True):
        across, up = one.numpy(force=True), other.numpy(force=True)
        low, high = float(min(across.min(), up.min())), float(max(across.max(), up.max()))
        margin = 0.05 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        axis.plot(ends, ends, color=GREY, linewidth=1)
        axis.scatter(across, up, s=9, color=BLUE, alpha=0.6, linewidths=0)
        axis.set(xlim=ends, ylim=ends, aspect="equal")
        axis.set_title(title, fontsize=points)
        axis.set_xlabel("torchvision's", fontsize=11)
        axis.set_ylabel("yours", fontsize=11)
        axis.locator_params(nbins=4)
        axis.spines[["top", "right"]].set_visible(False)
        apart = float(np.abs(across - up).max())
        alike = rounded(correlation(across, up))
        said.append(f"“{one_line(title)}”, {len(across)} points: correlation {alike}, at most {apart:.2g} apart")
    figure.tight_layout(pad=0.6)
    return Drawn(figure, f"Scores of two models for one picture, a point for each class: {'; '.join(said)}.")
