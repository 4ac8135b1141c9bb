"""The figures of lesson 01: cutting, what a token is made of, and what a shift does to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle
from torch import Tensor

from vit_course.patches import num_patches, unpatchify
from vit_course.plots.base import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    SMALLEST_TEXT,
    YELLOW,
    Drawn,
    cell_size,
    draw_picture,
    panels,
    text_size,
    to_picture,
)
from vit_course.plots.words import correlation, counted, described, listed, one_line, percent, rounded

COLOURS = (SKY, ORANGE, GREEN, PURPLE, YELLOW, RED)
LEGIBLE_GRID = 16  # cells in a row that still take a full edge


def tokens_and_cost(side: int, patch_sizes: Sequence[int], here: int | None = None) -> Drawn:
    """Number of tokens and of pairs of tokens against the patch size, on logarithmic axes.

    Args:
        side: of a square image, in pixels.
        patch_sizes: which divide it.
        here: the patch size to mark.

    Raises:
        ValueError: a patch size does not divide the side, or `here` is none of them.
    """
    if here is not None and here not in patch_sizes:
        raise ValueError(f"patch size {here} is to be marked, but only {list(patch_sizes)} are drawn.")
    counts = [num_patches(side, side, size) for size in patch_sizes]
    figure, axes = panels(1, 2, (8.5, 3))
    lines = (("tokens, N", counts, BLUE), ("pairs of tokens, N²", [count**2 for count in counts], RED))
    for axis, (title, values, colour) in zip(axes[0], lines, strict=True):
        axis.plot(patch_sizes, values, "o-", color=colour)
        for size, value in zip(patch_sizes, values, strict=True):
            axis.annotate(f"{value:,}", (size, value), (7, 7), textcoords="offset points", fontsize=10)
            if size == here:
                axis.plot(size, value, "o", markersize=15, markerfacecolor="none", color="black", markeredgewidth=2)
        axis.set(xscale="log", yscale="log", xlabel="patch size, pixels", title=f"{title} ({side} × {side} image)")
        axis.set_xticks(patch_sizes, [str(size) for size in patch_sizes], minor=False)
        axis.minorticks_off()
        axis.margins(x=0.2, y=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    said = [f"{size}: {count:,} and {count**2:,}" for size, count in zip(patch_sizes, counts, strict=True)]
    alt = (
        f"Two lines on logarithmic axes, tokens and pairs of tokens against the patch size, for an image of "
        f"{side} × {side} pixels. Patch size {listed(said, '; ')}."
    )
    return Drawn(figure, alt if here is None else f"{alt} Patch size {here} is marked.")


def cut_apart(image: Tensor, patch_size: int) -> Drawn:
    """An image, and beside it its patches with gaps between them and their numbers in reading order.

    Args:
        image: (C, H, W).
        patch_size: in pixels.

    Raises:
        ValueError: the patches do not tile the image.
    """
    picture = to_picture(image)
    height, width = picture.shape[:2]
    num_patches(height, width, patch_size)  # refuses sizes that do not fit
    rows, columns = height // patch_size, width // patch_size
    figure, axes = panels(1, 2, (8, 4 * height / width + 0.3))
    whole, apart = axes[0]
    draw_picture(whole, image, f"{height} × {width} pixels")
    for colour, line in (("black", 2), ("white", 1)):  # seen on dark pictures and on light ones
        for row in range(1, rows):
            whole.axhline(row * patch_size - 0.5, color=colour, linewidth=line)
        for column in range(1, columns):
            whole.axvline(column * patch_size - 0.5, color=colour, linewidth=line)
    gap = 0.18 * patch_size
    step = patch_size + gap
    points = text_size([str(rows * columns)], 0.3 * 4 / columns, 10)
    lightness = []
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        top, left = row * patch_size, column * patch_size
        x, y = column * step, row * step
        patch = picture[top : top + patch_size, left : left + patch_size]
        apart.imshow(patch, interpolation="nearest", extent=(x, x + patch_size, y + patch_size, y))
        apart.add_patch(Rectangle((x, y), patch_size, patch_size, fill=False, edgecolor=GREY, linewidth=0.8))
        if points > SMALLEST_TEXT:
            apart.text(x + 0.05 * step, y + 0.05 * step, number, va="top", fontsize=points, color="white",
                       bbox={"facecolor": "black", "pad": 1.5, "edgecolor": "none"})  # fmt: skip
        lightness.append(patch.mean())
    edge = 0.02 * width
    apart.set(xlim=(-edge, columns * step - gap + edge), ylim=(rows * step - gap + edge, -edge))
    apart.set_title(f"{counted(rows * columns, 'patch')} of {patch_size} × {patch_size}", fontsize=11)
    apart.axis("off")
    figure.tight_layout()
    lightest, darkest = int(np.argmax(lightness)), int(np.argmin(lightness))
    alt = (
        f"Left, an image under a grid: {described(picture)}. Right, cut apart: {counted(rows * columns, 'patch')} of "
        f"{patch_size} × {patch_size} pixels, {counted(rows, 'row')} of {columns}, numbered from 0 in reading order. "
        f"The lightest is number {lightest}, the darkest number {darkest}."
    )
    return Drawn(figure, alt)


def split_a_row(length: int, patch_size: int) -> Drawn:
    """A row of pixels split in the two ways that differ in the order of two names in a bracket.

    Args:
        length: of the row, a multiple of `patch_size`.
        patch_size: pixels in a patch.

    Raises:
        ValueError: the patches do not tile the row, or there are more of them than colours.
    """
    patches = length // patch_size if patch_size > 0 and length % patch_size == 0 else 0
    if not 1 <= patches <= len(COLOURS):
        raise ValueError(f"a row of {length} pixels cannot be drawn as 1 to {len(COLOURS)} patches of {patch_size}.")
    figure, axes = panels(2, 1, (8, 4))
    cell = 0.8 * 8 / length  # inches, with room at the edges
    room = text_size(["patch"], cell, 10)
    points = text_size([str(length)], cell, 10)
    said = []
    ways = (
        ("(n p)", ("n", patch_size), "p", [i // patch_size for i in range(length)]),
        ("(p n)", ("p", patches), "n", [i % patches for i in range(length)]),
    )
    for axis, (pattern, (outer, stride), inner, owner) in zip(axes[:, 0], ways, strict=True):
        for pixel, patch in enumerate(owner):
            marked = patch == 0
            axis.add_patch(
                Rectangle((pixel + 0.04, 0), 0.92, 1, facecolor=COLOURS[patch], edgecolor="black",
                          linewidth=2.5 if marked else 0.8)
            )  # fmt: skip
            label, size = (f"patch\n{patch}", room) if room > SMALLEST_TEXT else (patch, points)
            axis.text(pixel + 0.5, 0.5, label, ha="center", va="center", fontsize=size)
            axis.text(pixel + 0.5, -0.12, pixel, ha="center", va="top", fontsize=points)
        for low, name, walked in ((-0.62, inner, 1), (-1.05, outer, stride)):
            tip = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
            axis.annotate("", xy=(0.5 + walked, low), xytext=(0.5, low), arrowprops=tip)
            place = "inner" if name == inner else "outer"
            axis.text(
                0.7 + walked, low, f"{name}, the {place} name, walks in steps of {walked}", va="center", fontsize=10
            )
        axis.set(xlim=(-0.1, length + 0.1), ylim=(-1.25, 1.1))
        axis.set_title(f"{pattern}  with n = {patches}, p = {patch_size}", fontsize=11, loc="left")
        axis.axis("off")
        first = listed([pixel for pixel, patch in enumerate(owner) if patch == 0])
        said.append(
            f"With {pattern} patch 0 gets the pixels {first}; {outer} walks in steps of {stride}, {inner} of 1."
        )
    figure.tight_layout(h_pad=1)
    alt = f"A row of {length} pixels, coloured by patch, split twice into {counted(patches, 'patch')} of {patch_size}. "
    return Drawn(figure, alt + " ".join(said))


def six_axes(height: int, width: int, patch_size: int) -> Drawn:
    """A grey image on its way to a sequence: its pixels, its sides split in two, and its patches in a row each.

    Args:
        height, width: of the image, in pixels, numbered from 0 in reading order; a handful is legible.
        patch_size: P.

    Raises:
        ValueError: the patches do not tile the image, or there are more of them than colours.
    """
    count = num_patches(height, width, patch_size)
    if count > len(COLOURS):
        raise ValueError(f"{count} patches cannot be told apart; {len(COLOURS)} can.")
    columns, values = width // patch_size, patch_size**2
    figure, axes = panels(1, 2, (9.5, 3.9), width_ratios=(width + 1.5, values + 2.5))
    split, merged = axes[0]
    points = text_size(["00"], 0.5 * 9.5 / (width + values + 4), 11)
    said = []
    for patch in range(count):
        row, column = divmod(patch, columns)
        numbers = []
        for place in range(values):
            p1, p2 = divmod(place, patch_size)
            y, x = row * patch_size + p1, column * patch_size + p2
            numbers.append(y * width + x)
            for axis, left, top in ((split, x, y), (merged, place, 1.1 * patch)):
                box = Rectangle((left, top), 0.94, 0.94, facecolor=COLOURS[patch], edgecolor=GREY)
                axis.add_patch(box)
                axis.text(left + 0.47, top + 0.47, numbers[-1], ha="center", va="center", fontsize=points)
        where = f"row {row}, column {column}"
        merged.text(-0.15, 1.1 * patch + 0.47, where, ha="right", va="center", fontsize=10)
        said.append(f"the patch in {where} holds the pixels {listed(numbers)}")
    for place in range(height):
        label = f"row {place // patch_size}, p1 = {place % patch_size}"
        split.text(-0.15, place + 0.47, label, ha="right", va="center", fontsize=10)
    for place in range(width):
        label = f"column {place // patch_size},\np2 = {place % patch_size}"
        split.text(place + 0.47, -0.15, label, ha="center", va="bottom", fontsize=8)
    for place in range(values):
        p1, p2 = divmod(place, patch_size)
        merged.text(place + 0.47, -0.15, f"p1 = {p1},\np2 = {p2}", ha="center", va="bottom", fontsize=8)
    split.set(xlim=(-2, width), ylim=(height, -0.9), aspect="equal")
    merged.set(xlim=(-2.4, values), ylim=(1.1 * count, -0.9), aspect="equal")
    for axis, title in ((split, "both sides split"), (merged, "a patch a line")):
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.tight_layout()
    alt = (
        f"An image of {height} × {width} pixels numbered from 0, coloured by patch; beside it the same numbers, "
        f"a line for each of the {counted(count, 'patch')} of {patch_size} × {patch_size}: {listed(said, '; ')}."
    )
    return Drawn(figure, alt)


def token_sources(tokens: Tensor, titles: Sequence[str], channels: int, height: int, width: int) -> Drawn:
    """Which pixels a token is made of, read off tokens of a coordinate image (0, 1, 2, … in memory order).

    Args:
        tokens: (K, values), tokens of one coordinate image (1, C, H, W), one panel each.
        titles: of the panels.
        channels, height, width: of the coordinate image.

    Raises:
        ValueError: a value of a token is no place in the coordinate image.
    """
    places = channels * height * width
    if tokens.numel() and not 0 <= float(tokens.min()) <= float(tokens.max()) < places:
        raise ValueError(
            f"tokens of a coordinate image of {channels} × {height} × {width} hold numbers from 0 to {places - 1}; "
            f"got {float(tokens.min()):g} to {float(tokens.max()):g}."
        )
    side = cell_size(4.2, len(tokens))
    figure, axes = panels(1, len(tokens), (side * len(tokens), side * height / width + 0.5))
    points = text_size([str(tokens.shape[1] - 1)], 0.8 * side / width, 10)
    said = []
    for axis, token, title in zip(axes[0], tokens, titles, strict=True):
        first: dict[tuple[int, int], int] = {}
        for place, value in enumerate(token.long().tolist()):
            first.setdefault((value // width % height, value % width), place)
        for row in range(height):
            for column in range(width):
                place = first.get((row, column))
                colour = BLUE if place is not None else "white"
                axis.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor=GREY, linewidth=0.6))
                if place is not None and points > SMALLEST_TEXT:
                    axis.text(column + 0.5, row + 0.5, place, ha="center", va="center", fontsize=points, color="white")
        said.append(f"“{one_line(title)}” is made of {_sources(first)}")
        axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        axis.set_title(title, fontsize=12)
        axis.set_xticks([0.5, width - 0.5], ["column 0", f"{width - 1}"])
        axis.set_yticks([0.5, height - 0.5], ["row 0", f"{height - 1}"])
        axis.tick_params(length=0, labelsize=10)
    figure.tight_layout()
    return Drawn(figure, f"Grids of {height} × {width} pixels, which a token comes from: {'; '.join(said)}.")


def _sources(first: dict[tuple[int, int], int]) -> str:
    """Pixels (row, column), each with the place in the token where its first number stands, in words."""
    rows, columns = (sorted(set(line)) for line in zip(*first, strict=True))
    if len(first) < len(rows) * len(columns):
        where = f"strewn over {len(rows)} rows and {len(columns)} columns"
    elif len(rows) == rows[-1] - rows[0] + 1 and len(columns) == columns[-1] - columns[0] + 1:
        where = f"one block, rows {rows[0]} to {rows[-1]} and columns {columns[0]} to {columns[-1]}"
    else:
        where = f"spread with gaps, rows {listed(rows)} and columns {listed(columns)}"
    places = ", ".join(str(first[pixel]) for pixel in sorted(first)[:4]) + " …" * (len(first) > 4)
    return f"{counted(len(first), 'pixel')}, {where}, which begin at the places {places} of the token"


def token_pictures(tokens: Tensor, patch_size: int, columns: int, title: str = "") -> Drawn:
    """Every token of one image drawn as the little picture it holds, in order.

    Args:
        tokens: (N, P·P·C), as `patchify` lays them out.
        patch_size: P.
        columns: how many stand in a row.
        title: above all.

    Raises:
        ValueError: the tokens do not hold patches of this size.
    """
    rows = -(-len(tokens) // columns)
    side = cell_size(0.55, columns, rows)
    figure, axes = panels(rows, columns, (side * columns, side * rows + 0.4))
    pictures = []
    for axis in axes.flat[len(tokens) :]:
        axis.axis("off")
    for axis, token in zip(axes.flat, tokens, strict=False):
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(color=GREY, linewidth=0.6)  # a light token has edges on white paper
        pictures.append(to_picture(unpatchify(token[None, None], patch_size, patch_size, patch_size)[0]))
        axis.imshow(pictures[-1], interpolation="nearest")
    figure.suptitle(title, fontsize=12)
    top = 1 - 0.45 / figure.get_figheight()
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=top, wspace=0.1, hspace=0.1)
    alt = f"“{one_line(title)}”: " if title else ""
    alt += f"{counted(len(tokens), 'token')} as pictures of {patch_size} × {patch_size} pixels, "
    alt += f"{counted(rows, 'row')} of {columns}."
    return Drawn(figure, alt + _side_by_side(pictures, columns))


def _side_by_side(pictures: Sequence[np.ndarray], columns: int) -> str:
    """Whether neighbours in a row of pictures (P, P, 3) are copies of each other, and whether they fit together."""
    pairs = [(pictures[i], pictures[i + 1]) for i in range(len(pictures) - 1) if (i + 1) % columns]
    alike = [value for pair in pairs if (value := correlation(*pair)) is not None]
    if not alike:
        return ""
    seam = correlation(np.stack([one[:, -1] for one, _ in pairs]), np.stack([other[:, 0] for _, other in pairs]))
    return (
        f" One and the next in its row correlate {rounded(float(np.mean(alike)))} on average (copies: 1). "
        f"The pixels on both sides of the line between them correlate {rounded(seam)} (a picture that goes on: near 1)."
    )


def found_again(grids: Sequence[tuple[str, Tensor]]) -> Drawn:
    """For each place of a grid, whether what stood there before a shift is found again after it.

    Args:
        grids: (title, boolean grid (rows, columns)), a panel for each.
    """
    side = cell_size(3.1, len(grids))
    figure, axes = panels(1, len(grids), (side * len(grids), side + 0.3))
    titles = [f"{title}\n{int(found.sum()):,} of {found.numel():,} found again" for title, found in grids]
    points = text_size(titles, side)
    for axis, title, (_, found) in zip(axes[0], titles, grids, strict=True):
        rows, columns = found.shape
        line = 0.8 if columns <= LEGIBLE_GRID else 0.15  # many cells: their edges would hide their colour
        for row in range(rows):
            for column in range(columns):
                yes = bool(found[row, column])
                axis.add_patch(
                    Rectangle((column, row), 1, 1, facecolor=SKY if yes else "white", edgecolor=GREY, linewidth=line)
                )
                if not yes:
                    axis.plot([column + 0.3, column + 0.7], [row + 0.3, row + 0.7], color=RED, linewidth=1.2)
        axis.set(xlim=(0, columns), ylim=(rows, 0), aspect="equal", xticks=[], yticks=[])
        axis.set_title(title, fontsize=points)
    figure.tight_layout()
    said = [f"“{one_line(title)}”, {found.shape[0]} × {found.shape[1]}: {_lost(found)}" for title, found in grids]
    return Drawn(figure, f"Grids with a stroke for each place that is not found again. {'; '.join(said)}.")


def _lost(found: Tensor) -> str:
    """A boolean grid in words."""
    lost, count = int((~found).sum()), found.numel()
    if not lost or lost == count:
        return f"{'none' if lost else 'all'} of {count:,} found again"
    rows, columns = ((~found).any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    where = f"the lost ones in rows {rows[0]} to {rows[-1]} and columns {columns[0]} to {columns[-1]}"
    return f"{count - lost:,} of {count:,} found again, {where}"


def two_orders(image: Tensor, shuffled: Tensor) -> Drawn:
    """An image and the same patches in another order.

    Args:
        image, shuffled: (C, H, W), of one shape.

    Raises:
        ValueError: the shapes differ.
    """
    if image.shape != shuffled.shape:
        raise ValueError(f"the two images differ in shape: {tuple(image.shape)} and {tuple(shuffled.shape)}.")
    figure, axes = panels(1, 2, (5.6, 3))
    draw_picture(axes[0, 0], image, "tokens in order")
    draw_picture(axes[0, 1], shuffled, "the same tokens, shuffled")
    figure.tight_layout()
    stayed = percent((image == shuffled).all(dim=0).float().mean().item())
    alt = (
        f"Left, tokens in order: {described(to_picture(image))}. Right, shuffled: {described(to_picture(shuffled))}. "
        f"{stayed} of the pixels are the same in both places."
    )
    return Drawn(figure, alt)
