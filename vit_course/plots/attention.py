"""The figures of lesson 05: tables of weights, what √d does, where heads look, what it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from vit_course.plots.base import GREEN, GREY, LOOKS, ORANGE, SKY, Drawn, cell_size, ink, panels, text_size, to_picture
from vit_course.plots.words import counted, described, listed, one_line, percent, place, rounded

MOST_NUMBERS = 6  # tables with more columns show colours alone


def tables(named: Sequence[tuple[str, Tensor]], queries: Sequence[str], keys: Sequence[str] | None = None) -> Drawn:
    """Tables of scores, weights or yes and no, a row for each query and a column for each key.

    Args:
        named: (title, table (queries, keys)). Numbers from 0 to 1 are dark where large; where some are negative or
            above 1, each table has a scale of its own, orange above 0 and purple below. A bool table is dark for True.
        queries, keys: what the rows and the columns are called; `keys` as `queries` where not given.

    Raises:
        ValueError: a table has not as many rows and columns as there are names.
    """
    keys = queries if keys is None else keys
    for title, table in named:
        if tuple(table.shape) != (len(queries), len(keys)):
            raise ValueError(f"{title!r} is {tuple(table.shape)}; there are {len(queries)} queries, {len(keys)} keys.")
    columns = min(len(named), 3)
    rows = -(-len(named) // columns)
    side = cell_size(2.4, columns, rows)
    lines = max(title.count("\n") for title, _ in named)
    height = side * (0.35 + 0.75 * len(queries) / len(keys)) + 0.2 + 0.15 * lines
    figure, axes = panels(rows, columns, (side * columns, height * rows))
    for axis in axes.flat[len(named) :]:
        axis.remove()
    points = text_size([title for title, _ in named], side)
    said = []
    for axis, (title, table) in zip(axes.flat, named, strict=False):
        numbers = table.cpu().double().numpy(force=True)
        _table(axis, numbers, table.dtype.is_floating_point, side / (len(keys) + 1))
        axis.set_title(title, fontsize=points)
        axis.set_xticks(range(len(keys)), keys, fontsize=10)
        axis.set_yticks(range(len(queries)), queries, fontsize=10)
        axis.set_xlabel("keys", fontsize=9.5, labelpad=2)
        axis.set_ylabel("queries", fontsize=9.5, labelpad=2)
        axis.tick_params(length=0)
        said.append(f"“{one_line(title)}”: {_in_words(table, queries, keys)}")
    figure.tight_layout(pad=0.5, h_pad=1.5)
    size = f"{len(queries)} queries (rows) by {len(keys)} keys (columns)"
    return Drawn(figure, f"{counted(len(named), 'table')} of {size}. {'. '.join(said)}.")


def _table(axis: Axes, numbers: np.ndarray, written: bool, width: float) -> None:
    """One table; its numbers are written into cells of `width` inches where there is room."""
    signed = numbers.min() < 0 or numbers.max() > 1
    limit = max(abs(numbers).max(), 1e-9)
    look = {"cmap": "PuOr_r", "vmin": -limit, "vmax": limit} if signed else {"cmap": "Blues", "vmin": 0, "vmax": 1}
    filled = np.nan_to_num(numbers)
    shown = axis.imshow(filled, interpolation="nearest", **look)
    if not written or numbers.shape[1] > MOST_NUMBERS:
        return
    texts = [[_number(value, numbers) for value in row] for row in numbers]
    points = text_size([text for row in texts for text in row], width, 12)
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            colour = ink(shown.to_rgba(filled[row, column]))
            axis.text(column, row, text, ha="center", va="center", fontsize=points, color=colour)


def _number(value: float, table: np.ndarray) -> str:
    """Whole numbers as they are, unless there are others in the table, or nothing but 0 and 1."""
    whole = np.array_equal(table, np.round(table)) and np.abs(table).max() > 1
    return rounded(value, 0 if whole else 2) if np.isfinite(value) else "NaN"


def _in_words(table: Tensor, queries: Sequence[str], keys: Sequence[str]) -> str:
    """Every number of a table of floats; of a bool table where each row says yes."""
    if table.dtype.is_floating_point:
        numbers = table.cpu().double().numpy(force=True)
        lines = [" ".join(_number(value, numbers) for value in row) for row in numbers]
        return "; ".join(f"{name} {line}" for name, line in zip(queries, lines, strict=True))
    return "; ".join(
        f"{name} has {listed([key for key, yes in zip(keys, row, strict=True) if yes]) or 'none'}"
        for name, row in zip(queries, table.tolist(), strict=True)
    )


def qkv_rows(heads: int, dim_head: int) -> Drawn:
    """Which rows of the one matrix `qkv` make what: queries, keys and values, and in each of them the heads."""
    figure, axes = panels(1, 1, (9, 1.7))
    axis = axes[0, 0]
    points = text_size(["head 0"], 8 / (3 * heads), 12)
    for index, (name, colour) in enumerate((("q", SKY), ("k", ORANGE), ("v", GREEN))):
        for head in range(heads):
            left = index * heads + head
            box = FancyBboxPatch((left + 0.05, 0), 0.9, 0.8, boxstyle="round,pad=0,rounding_size=0.08")
            box.set(facecolor=colour, edgecolor="black", alpha=0.45, linewidth=1)
            axis.add_patch(box)
            axis.text(left + 0.5, 0.4, f"{name}\nhead {head}", ha="center", va="center", fontsize=points)
            axis.text(left + 0.05, -0.32, left * dim_head, ha="center", fontsize=10, color="#444444")
    axis.text(3 * heads, -0.32, 3 * heads * dim_head, ha="center", fontsize=10, color="#444444")
    axis.set(xlim=(-0.15, 3 * heads + 0.2), ylim=(-0.45, 0.95))
    axis.axis("off")
    figure.tight_layout(pad=0.3)
    blocks = [
        f"{name} of head {head} from {(index * heads + head) * dim_head}"
        for index, name in enumerate("qkv")
        for head in range(heads)
    ]
    return Drawn(
        figure, f"The {3 * heads * dim_head} numbers that `qkv` gives for a token, in a row: {', '.join(blocks)}."
    )


def against_width(
    dims: Sequence[int], curves: Sequence[tuple[str, Sequence[float], Sequence[float]]], marked: int | None = None
) -> Drawn:
    """What the length of queries and keys does to a softmax: the largest weight, and the gradient of a score.

    Args:
        dims: the lengths d.
        curves: up to three of (label, largest weight at each d, typical gradient at each d).
        marked: a d to draw a line at.

    Raises:
        ValueError: more than three curves.
    """
    figure, line = _two_panels(dims, curves, ("largest weight", "gradient of a typical score"))
    for axis in line:
        axis.set_xlabel("d, length of queries and keys", fontsize=11)
        if marked is not None:
            axis.axvline(marked, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
    line[0].set_ylim(0, 1.03)
    line[1].set_yscale("log")
    figure.tight_layout()
    said = [
        f"“{one_line(label)}” {percent(weights[0])} and {gradients[0]:.0e} at d = {dims[0]}, "
        f"{percent(weights[-1])} and {gradients[-1]:.0e} at d = {dims[-1]}"
        for label, weights, gradients in curves
    ]
    at = "" if marked is None else f" A dotted line marks d = {marked}."
    return Drawn(figure, f"The largest weight, and the gradient of a typical score, against d: {'; '.join(said)}.{at}")


def costs(tokens: Sequence[int], curves: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> Drawn:
    """Time and memory of attention against the number of tokens, both axes logarithmic.

    Args:
        tokens: how many, in rising order.
        curves: up to three of (label, seconds, bytes).

    Raises:
        ValueError: more than three curves.
    """
    scaled = [(label, [1e3 * one for one in seconds], [one / 1e6 for one in kept]) for label, seconds, kept in curves]
    figure, line = _two_panels(tokens, scaled, ("milliseconds, forward and backward", "MB kept for the backward pass"))
    for axis in line:
        axis.set_yscale("log")
        axis.minorticks_off()
        axis.set_xlabel("tokens", fontsize=11)
    figure.tight_layout()
    said = [
        f"“{one_line(label)}” {seconds[-1] / seconds[0]:.0f} times the time, {kept[-1] / kept[0]:.0f} times the memory"
        for label, seconds, kept in curves
    ]
    more = tokens[-1] / tokens[0]
    return Drawn(
        figure,
        f"Time and memory against tokens, from {tokens[0]:,} to {tokens[-1]:,}, {more:.0f} times as many: "
        f"{'; '.join(said)}.",
    )


def _two_panels(
    sizes: Sequence[int], curves: Sequence[tuple[str, Sequence[float], Sequence[float]]], titles: tuple[str, str]
) -> tuple[Figure, np.ndarray]:
    """Two numbers for each size, a panel each, over sizes that double: the figure and its axes (2,).

    Raises:
        ValueError: more than three curves.
    """
    if len(curves) > 3:
        raise ValueError(f"three curves can be told apart; got {len(curves)}.")
    figure, (line,) = panels(1, 2, (9, 3.4))
    for (label, *numbers), (colour, marker, style) in zip(curves, LOOKS, strict=False):
        for axis, values in zip(line, numbers, strict=True):
            axis.plot(sizes, values, marker=marker, markersize=5, color=colour, linestyle=style, label=label)
    for axis, title in zip(line, titles, strict=True):
        axis.set_title(title, fontsize=12)
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, sizes)
        axis.spines[["top", "right"]].set_visible(False)
    line[0].legend(frameon=False, fontsize=11)
    return figure, line


def heads_on_picture(image: Tensor, asking: tuple[int, int], maps: Tensor, titles: Sequence[str]) -> Drawn:
    """A picture with one patch marked, and where each head looks from there, dark where the weight is large.

    Args:
        image: (C, H, W).
        asking: row and column of the patch that asks.
        maps: (heads, rows, columns), weights of the patches; each map has a scale of its own.
        titles: one for each head.

    Raises:
        ValueError: there are not as many titles as heads.
    """
    if len(titles) != len(maps):
        raise ValueError(f"{len(maps)} heads need as many titles; got {len(titles)}.")
    side = cell_size(2.2, len(maps) + 1)
    figure, (line,) = panels(1, len(maps) + 1, (side * (len(maps) + 1), side + 0.45))
    points = text_size([*titles, "the patch that asks"], side)
    picture = to_picture(image)
    row, column = asking
    height, width = picture.shape[0] / maps.shape[1], picture.shape[1] / maps.shape[2]
    line[0].imshow(picture, interpolation="nearest")
    line[0].set_title("the patch that asks", fontsize=points)
    _frame(line[0], column * width - 0.5, row * height - 0.5, width, height)
    said = []
    for axis, one, title in zip(line[1:], maps, titles, strict=True):
        grid = one.numpy(force=True)
        axis.imshow(grid, cmap="Blues", vmin=0, vmax=grid.max(), interpolation="nearest")
        axis.set_title(title, fontsize=points)
        axis.set_xlabel(f"at most {grid.max():.0%}", fontsize=min(points, 10), labelpad=2)
        _frame(axis, column - 0.5, row - 0.5, 1, 1)
        said.append(f"“{one_line(title)}”: at most {percent(float(grid.max()))}, at {place(grid)}")
    for axis in line:
        axis.set(xticks=[], yticks=[])
    figure.tight_layout(pad=0.5)
    return Drawn(
        figure,
        f"A picture, {described(picture)}, its patch in row {row}, column {column} framed, and the weights that this "
        f"patch gives to the {maps.shape[1]} × {maps.shape[2]} patches: {'; '.join(said)}.",
    )


def _frame(axis: Axes, left: float, top: float, width: float, height: float) -> None:
    """Around the patch that asks: seen on light and on dark."""
    for colour, thickness in (("white", 4), ("black", 1.8)):
        axis.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=thickness))


def mean_offsets(groups: Sequence[tuple[str, Tensor]], limit: float | None = None) -> Drawn:
    """Where each head looks on average, as seen from the patch that asks.

    Args:
        groups: up to three of (label, offsets (heads, 2)): patches down and patches to the right.
        limit: how far the axes reach; as far as the points where not given.

    Raises:
        ValueError: more than three groups.
    """
    if len(groups) > 3:
        raise ValueError(f"three groups can be told apart; got {len(groups)}.")
    reach = limit or 1.15 * max(offsets.abs().max().item() for _, offsets in groups)
    figure, axes = panels(1, 1, (4.6, 4.4))
    axis = axes[0, 0]
    said = []
    for (label, offsets), (colour, marker, _) in zip(groups, LOOKS, strict=False):
        down, right = offsets.cpu().double().T.numpy(force=True)
        axis.scatter(
            right, down, s=45, color=colour, marker=marker, alpha=0.75, edgecolor="black", label=label, zorder=3
        )
        said.append(
            f"“{one_line(label)}”: {counted(len(down), 'point')}, {rounded(down.min())} to {rounded(down.max())} down, "
            f"{rounded(right.min())} to {rounded(right.max())} to the right"
        )
    axis.axhline(0, color=GREY, linewidth=1)
    axis.axvline(0, color=GREY, linewidth=1)
    axis.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    axis.set_xlabel("patches to the right", fontsize=11)
    axis.set_ylabel("patches down", fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11)
    figure.tight_layout()
    return Drawn(
        figure, f"A point for each head, its mean offset in patches from the patch that asks: {'; '.join(said)}."
    )
