"""The figures of lesson 04: positions, drawn as waves and as maps of how alike they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor

from vit_course.plots.base import LOOKS, Drawn, cell_size, panels, text_size
from vit_course.plots.words import counted, listed, one_line, place, rounded

COLOURS = "PuOr_r"  # orange: alike; white: nothing in common; purple: opposite
Panel = tuple[str, Tensor]


def alike(similarity: Tensor, places: Sequence[int], columns: int, size: float = 1.7) -> Drawn:
    """For a few places of a grid, how alike each other place is to it: a map each, with the place itself framed.

    Args:
        similarity: (N, N), from -1 to 1; row i compares place i with all.
        places: which of them, counted row by row from 0.
        columns: of the grid.
        size: of a map, in inches, where that suits their number.

    Raises:
        ValueError: the places do not fill the rows of the grid, or there is no such place.
    """
    rows = _rows(similarity, columns)
    if not places or not all(0 <= one < len(similarity) for one in places):
        raise ValueError(f"there are the places 0 to {len(similarity) - 1}; got {list(places)}.")
    side = cell_size(size, len(places))
    figure, axes = panels(1, len(places), (side * len(places), side * rows / columns + 0.75))
    names = [f"row {one // columns}, column {one % columns}" for one in places]
    points = text_size(names, side)
    said = []
    for axis, one, name in zip(axes[0], places, names, strict=True):
        grid = similarity[one].unflatten(0, (rows, columns)).numpy(force=True)
        drawn = axis.imshow(grid, cmap=COLOURS, vmin=-1, vmax=1, interpolation="nearest")
        corner = (one % columns - 0.5, one // columns - 0.5)
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=2))
        axis.set(xticks=[], yticks=[])
        axis.set_title(name, fontsize=points)
        others = np.where(np.arange(grid.size).reshape(grid.shape) == one, -np.inf, grid)
        said.append(f"that of {name} is most like {place(others)}, {rounded(others.max())}")
    figure.tight_layout(pad=0.4, rect=(0, 0.75 / figure.get_figheight() * 0.6, 1, 1))
    _colour_bar(figure, drawn)
    alt = f"{counted(len(places), 'map')} of a grid of {rows} × {columns} places: {listed(said, '; ')}."
    return Drawn(figure, alt)


def similarity_tiles(shown: Sequence[Panel], columns: int, size: float = 4.4) -> Drawn:
    """Every place's map of how alike all others are, each map where its place is; a panel for each table.

    Args:
        shown: (title, similarity (N, N)), at least one.
        columns: of the grid.
        size: of a panel, in inches, where that suits their number.

    Raises:
        ValueError: the places do not fill the rows of the grid, or there is nothing to show.
    """
    if not shown:
        raise ValueError("there is nothing to draw.")
    side = cell_size(size, len(shown))
    rows = _rows(shown[0][1], columns)
    figure, axes = panels(1, len(shown), (side * len(shown), side * rows / columns + 0.8))
    points = text_size([title for title, _ in shown], side, 12)
    said = []
    for axis, (title, similarity) in zip(axes[0], shown, strict=True):
        rows = _rows(similarity, columns)
        # A tile with a gap of one cell to the next.
        mosaic = np.full((rows * (rows + 1) - 1, columns * (columns + 1) - 1), np.nan)
        grids = similarity.reshape(rows, columns, rows, columns).numpy(force=True)
        for row in range(rows):
            for column in range(columns):
                top, left = row * (rows + 1), column * (columns + 1)
                mosaic[top : top + rows, left : left + columns] = grids[row, column]
        drawn = axis.imshow(mosaic, cmap=COLOURS, vmin=-1, vmax=1, interpolation="nearest")
        axis.axis("off")
        axis.set_title(title, fontsize=points)
        said.append(f"“{one_line(title)}”: {_kinship(grids)}")
    figure.tight_layout(pad=0.4, w_pad=2.5, rect=(0, 0.8 / figure.get_figheight() * 0.6, 1, 1))
    _colour_bar(figure, drawn)
    alt = (
        f"{rows} × {columns} maps in the places of a grid, each of how alike all places of that grid are to this one. "
        f"{'. '.join(said)}."
    )
    return Drawn(figure, alt)


def waves(positions: Tensor, features: Sequence[int], titles: Sequence[str]) -> Drawn:
    """Some features of a table of positions along one line of places, a curve each.

    Args:
        positions: (places, features).
        features: which of them, at most three.
        titles: their names.

    Raises:
        ValueError: more than three, or not as many titles.
    """
    looks = LOOKS[:3]
    if not 0 < len(features) <= len(looks) or len(features) != len(titles):
        raise ValueError(f"one to three features and as many titles; got {len(features)} and {len(titles)}.")
    figure, axes = panels(1, 1, (6.4, 2.8))
    axis, said = axes[0, 0], []
    for feature, title, (colour, marker, _) in zip(features, titles, looks, strict=False):
        curve = positions[:, feature].numpy(force=True)
        axis.plot(curve, color=colour, marker=marker, markersize=4, linewidth=1.2, label=title)
        turns = int((np.diff(np.sign(np.diff(curve))) != 0).sum())
        span = f"from {rounded(curve[0])} to {rounded(curve[-1])}"
        said.append(f"“{one_line(title)}” {span}, turning {counted(turns, 'time')}")
    axis.set(xlabel="place", ylim=(-1.1, 1.1))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11, loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=len(features))
    figure.tight_layout()
    return Drawn(figure, f"Features of {counted(len(positions), 'place')} in a line: {listed(said, '; ')}.")


def _rows(similarity: Tensor, columns: int) -> int:
    """Of the grid whose places these are."""
    count = len(similarity)
    if tuple(similarity.shape) != (count, count) or columns < 1 or count % columns or not count:
        raise ValueError(f"need (N, N) with N a multiple of {columns} columns, got {tuple(similarity.shape)}.")
    return count // columns


def _colour_bar(figure: Figure, drawn: AxesImage) -> None:
    """Below all panels."""
    height = figure.get_figheight()
    axis = figure.add_axes((0.3, 0.3 / height, 0.4, 0.1 / height))
    bar = figure.colorbar(drawn, cax=axis, orientation="horizontal", ticks=(-1, 0, 1))
    bar.ax.set_xticklabels(("opposite -1", "0", "1 alike"), fontsize=10)
    bar.outline.set_visible(False)


def _kinship(grids: np.ndarray) -> str:
    """Of maps (rows, columns, rows, columns), the mean similarity of places beside and below each other, and of all."""
    rows, columns = grids.shape[:2]
    pairs = {
        "side by side": [grids[r, c, r, c + 1] for r in range(rows) for c in range(columns - 1)],
        "one below the other": [grids[r, c, r + 1, c] for r in range(rows - 1) for c in range(columns)],
    }
    means = [f"{name} {rounded(np.mean(values))}" for name, values in pairs.items() if values]
    count = rows * columns
    if count > 1:
        others = (grids.sum() - np.einsum("rcrc->", grids)) / (count * (count - 1))
        means.append(f"any two {rounded(others)}")
    return "mean similarity of places " + listed(means) if means else f"one place, {math.prod(grids.shape)} number"
