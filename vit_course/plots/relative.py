"""The figures of lesson 11 about positions inside attention: the steps between patches, numbered and weighed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from vit_course.plots.base import Drawn, cell_size, ink, panels, text_size
from vit_course.plots.words import counted, listed, one_line, rounded

MOST_WRITTEN = 12  # larger matrices show colours alone


def step_numbers(index: Tensor, height: int, width: int) -> Drawn:
    """Which number each pair of patches has; and beside it, the number of each step. Equal numbers, equal colours.

    Args:
        index: (N, N), whole numbers, [query, key], N = height · width; patches in reading order.
        height, width: of the grid of patches. A dozen patches are legible.

    Raises:
        ValueError: the index does not fit the grid.
    """
    count = height * width
    if tuple(index.shape) != (count, count):
        raise ValueError(f"a grid of {height} × {width} has an index of ({count}, {count}); got {tuple(index.shape)}.")
    numbers = index.numpy(force=True)
    table = np.full((2 * height - 1, 2 * width - 1), -1)
    query, key = np.divmod(np.arange(count), width), np.divmod(np.arange(count), width)
    down, across = (np.subtract.outer(of, other) for of, other in zip(query, key, strict=True))
    table[down + height - 1, across + width - 1] = numbers
    figure, axes = panels(1, 2, (9.2, 4.6), width_ratios=(1.25, 1))
    for axis, cells, title in zip(axes[0], (numbers, table), ("each pair of patches", "each step"), strict=True):
        _numbered(axis, cells, numbers.min(), numbers.max())
        axis.set_title(title, fontsize=11)
    pairs, steps = axes[0]
    pairs.set(xticks=range(count), yticks=range(count), xlabel="key", ylabel="query")
    for edge in range(width, count, width):  # where a row of the picture ends
        pairs.axhline(edge - 0.5, color="black", linewidth=1.2)
        pairs.axvline(edge - 0.5, color="black", linewidth=1.2)
    steps.set(xlabel="columns, query less key", ylabel="rows, query less key")
    steps.set_xticks(range(2 * width - 1), range(1 - width, width))
    steps.set_yticks(range(2 * height - 1), range(1 - height, height))
    figure.tight_layout()
    values, times = np.unique(numbers, return_counts=True)
    often = [f"{value} in {counted(number, 'pair')}" for value, number in zip(values, times, strict=True)]
    first, last = (listed(numbers[row].tolist()) for row in (0, -1))
    return Drawn(
        figure,
        f"A table of {count} queries by {count} keys and one of {len(table)} × {len(table[0])} steps. "
        f"{counted(len(values), 'different number')}: {listed(often)}. First query: {first}; last: {last}.",
    )


def _numbered(axis: Axes, cells: np.ndarray, low: int, high: int) -> None:
    shown = axis.imshow(cells, cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
    axis.tick_params(length=0, labelsize=9)
    if max(cells.shape) > MOST_WRITTEN:
        return
    points = text_size([str(high)], 3.4 / max(cells.shape), 11)
    for (row, column), number in np.ndenumerate(cells):
        colour = ink(shown.to_rgba(number))
        axis.text(column, row, str(number), ha="center", va="center", fontsize=points, color=colour)


def step_maps(groups: Sequence[tuple[str, Tensor]], height: int, width: int) -> Drawn:
    """What each head adds to a score, drawn around the patch that asks: a map for each head, a row for each group.

    Orange is more attention, purple less. Each group has one scale; a cross marks the asking patch.

    Args:
        groups: (label, bias (heads, (2·height-1)·(2·width-1))), as `RelativeAttention.bias` is.
        height, width: of the grid of patches.
    """
    most = max(len(bias) for _, bias in groups)
    side = cell_size(1.9, most, len(groups))
    figure, axes = panels(len(groups), most, (side * most, (side * 1.12 + 0.15) * len(groups)))
    said = []
    for line, (label, bias) in zip(axes, groups, strict=True):
        maps = bias.unflatten(1, (2 * height - 1, 2 * width - 1)).flip(1, 2).numpy(force=True)  # key less query
        limit = max(float(np.abs(maps).max()), 1e-9)
        for axis, one in zip(line, maps, strict=False):
            axis.imshow(one, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
            axis.plot(width - 1, height - 1, "+", color="black", markersize=7)
        for axis in line:
            axis.set(xticks=[], yticks=[])
        for axis in line[len(maps) :]:
            axis.axis("off")
        line[0].set_title(f"{label} (scale ±{rounded(limit)})", fontsize=11, loc="left")
        kinds = [f"head {number} {_extremes(one, height, width)}" for number, one in enumerate(maps)]
        said.append(f"“{one_line(label)}”, scale ±{rounded(limit)}: {listed(kinds, '; ')}")
    figure.tight_layout(pad=0.4, h_pad=0.8)
    return Drawn(figure, f"Maps of what heads add to a score, around the asking patch. {'. '.join(said)}.")


def _extremes(one: np.ndarray, height: int, width: int) -> str:
    """Where a map is highest and lowest, in steps from the asking patch."""
    if one.max() == one.min():
        return f"{rounded(one.max())} everywhere"
    parts = []
    for word, at in (("most", one.argmax()), ("least", one.argmin())):
        row, column = np.unravel_index(at, one.shape)
        parts.append(f"{word} {_step(int(row) - height + 1, int(column) - width + 1)} ({rounded(one[row, column])})")
    return ", ".join(parts)


def _step(down: int, right: int) -> str:
    parts = [f"{abs(down)} {'down' if down > 0 else 'up'}"] * (down != 0)
    parts += [f"{abs(right)} {'right' if right > 0 else 'left'}"] * (right != 0)
    return " and ".join(parts) or "at itself"
