"""The figures of lesson 02: what one matrix sees in a patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from einops import rearrange
from matplotlib.patches import Rectangle
from torch import Tensor

from vit_course.plots.base import (
    BLUE,
    DARK_ORANGE,
    DARK_SKY,
    GREEN,
    GREY,
    RED,
    SMALLEST_TEXT,
    Drawn,
    cell_size,
    draw_picture,
    ink,
    panels,
    text_size,
    to_picture,
)
from vit_course.plots.words import (
    correlation,
    counted,
    described,
    kinds_of_pattern,
    listed,
    neighbours,
    one_line,
    percent,
    place,
    rounded,
)

MOST_TICKS = 12  # numbers that find room on an axis
CHANNELS = (("R", "#D55E00"), ("G", "#009E73"), ("B", "#0072B2"))


def as_pictures(rows: Tensor, patch_size: int) -> Tensor:
    """Rows of a weight as pictures: grey is 0, brighter is positive, darker negative, each row scaled by itself.

    Args:
        rows: (K, P·P·C), ordered (p1 p2 c).
        patch_size: P.

    Returns:
        (K, C, P, P) in 0 … 1.

    Raises:
        ValueError: rows of this length are no patches of that size.
    """
    if rows.ndim != 2 or rows.shape[1] % patch_size**2:
        raise ValueError(
            f"rows of shape {tuple(rows.shape)} do not hold patches of {patch_size} × {patch_size} pixels."
        )
    scaled = rows / rows.abs().amax(dim=1, keepdim=True).clamp_min(1e-12)
    return rearrange(scaled / 2 + 0.5, "k (p1 p2 c) -> k c p1 p2", p1=patch_size, p2=patch_size)


def responses(image: Tensor, names: Sequence[str], templates: Tensor, maps: Tensor, patch_size: int) -> Drawn:
    """An image, then for each template its picture and how strongly each patch answers to it.

    Args:
        image: (C, H, W).
        names: of the templates.
        templates: (K, P·P·C).
        maps: (K, rows, columns), the answers.
        patch_size: P.

    Raises:
        ValueError: names, templates and maps are not equally many.
    """
    if not len(names) == len(templates) == len(maps):
        raise ValueError(f"{len(names)} names, {len(templates)} templates and {len(maps)} maps do not go together.")
    pictures = as_pictures(templates, patch_size)
    side = cell_size(1.75, len(names) + 1)
    points = text_size([*names, "the image"], side)
    figure, axes = panels(2, len(names) + 1, (side * (len(names) + 1), 2.1 * side + 0.1))
    axes[0, 0].axis("off")
    draw_picture(axes[1, 0], image, "the image", points)
    for axis, name, picture in zip(axes[0, 1:], names, pictures, strict=True):
        axis.imshow(to_picture(picture), interpolation="nearest")
        axis.set_title(name, fontsize=points)
    said = []
    for axis, name, one in zip(axes[1, 1:], names, maps.numpy(force=True), strict=True):
        limit = float(abs(one).max()) or 1
        drawn = axis.imshow(one, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
        scale = figure.colorbar(drawn, ax=axis, orientation="horizontal", fraction=0.06, pad=0.06)
        scale.ax.tick_params(labelsize=text_size(["-10 0 10"], side, 10))
        said.append(f"“{one_line(name)}” {rounded(one.min(), 1)} to {rounded(one.max(), 1)}, largest at {place(one)}")
    for axis in axes[:, 1:].flat:
        axis.set(xticks=[], yticks=[])
    axes[0, 1].set_ylabel("template", fontsize=11)
    axes[1, 1].set_ylabel("answers", fontsize=11)
    figure.tight_layout()
    kinds = zip(names, kinds_of_pattern(pictures.permute(0, 2, 3, 1).numpy(force=True) - 0.5), strict=True)
    alt = (
        f"Above, templates of {patch_size} × {patch_size} pixels: "
        f"{listed([f'“{one_line(name)}” ({kind})' for name, kind in kinds], '; ')}. "
        f"Below, an image, {described(to_picture(image))}, and a map of the answers of its {maps.shape[1]} × "
        f"{maps.shape[2]} patches to each template: {listed(said, '; ')}."
    )
    return Drawn(figure, alt)


def rebuilt(image: Tensor, dims: Sequence[int], rows: Sequence[tuple[str, Sequence[Tensor]]]) -> Drawn:
    """An image and what is left of it when every patch is squeezed into fewer numbers.

    Args:
        image: (C, H, W).
        dims: the numbers per patch, one for each column.
        rows: (label, images (C, H, W), one for each of `dims`).

    Raises:
        ValueError: a row has more or fewer images.
    """
    for label, pictures in rows:
        if len(pictures) != len(dims):
            raise ValueError(f"the row {label!r} needs an image for each of {list(dims)}; it has {len(pictures)}.")
    titles = [*(f"D = {dim}" for dim in dims), "original"]
    side = cell_size(1.3, len(titles), len(rows))
    points = text_size(titles, side)
    figure, axes = panels(len(rows), len(titles), (side * len(titles), (side + 0.25) * len(rows)))
    said = []
    for line, (label, pictures) in zip(axes, rows, strict=True):
        for axis, picture in zip(line, [*pictures, image], strict=True):
            axis.imshow(to_picture(picture), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=11)
        alike = [rounded(correlation(to_picture(picture), to_picture(image))) for picture in pictures]
        said.append(f"“{one_line(label)}” " + listed([f"{a} with {dim}" for a, dim in zip(alike, dims, strict=True)]))
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=points)
    figure.tight_layout(pad=0.5)
    alt = (
        f"An image of {image.shape[1]} × {image.shape[2]} pixels, and what is left of it with "
        f"{listed(list(dims))} numbers per patch. How it then correlates with the original: {'; '.join(said)}."
    )
    return Drawn(figure, alt)


def lost(dims: Sequence[int], curves: Sequence[tuple[str, Sequence[float]]]) -> Drawn:
    """Share of the pixels' variance that is lost, against the numbers per patch.

    Args:
        dims: the numbers per patch.
        curves: up to three of (label, shares in 0 … 1).

    Raises:
        ValueError: more than three curves.
    """
    looks = ((DARK_ORANGE, "s", "--"), (GREEN, "^", "-."), (BLUE, "o", "-"))
    if len(curves) > len(looks):
        raise ValueError(f"three curves can be told apart; got {len(curves)}.")
    figure, axes = panels(1, 1, (6.5, 3.4))
    axis = axes[0, 0]
    for (label, shares), (colour, marker, line) in zip(curves, looks[-len(curves) :], strict=True):
        axis.plot(dims, [100 * share for share in shares], line, marker=marker, color=colour, label=label)
    axis.set_xlabel("numbers per patch, D", fontsize=11)
    axis.set_ylabel("variance lost, %", fontsize=11)
    axis.set_ylim(0, None)
    if len(dims) <= MOST_TICKS:
        axis.set_xticks(list(dims))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11)
    figure.tight_layout()
    said = [
        f"“{one_line(label)}” "
        + listed([f"{percent(share)} with {dim}" for share, dim in zip(shares, dims, strict=True)])
        for label, shares in curves
    ]
    return Drawn(figure, f"Share of the variance lost against the numbers per patch: {'; '.join(said)}.")


def long_axis(pairs: Tensor, titles: Sequence[str]) -> Drawn:
    """Pairs of numbers as points, with the direction in which they vary most, and the one across it.

    Args:
        pairs: (K, points, 2), one panel for each of the K.
        titles: of the panels.

    Raises:
        ValueError: the pairs and the titles do not go together.
    """
    if pairs.ndim != 3 or pairs.shape[2] != 2 or len(titles) != len(pairs):
        raise ValueError(f"{len(titles)} titles do not go with pairs of shape {tuple(pairs.shape)}.")
    side = cell_size(3.4, len(pairs))
    figure, axes = panels(1, len(pairs), (side * len(pairs), side + 0.2))
    points = text_size(titles, side)
    said = []
    for axis, title, some in zip(axes[0], titles, pairs.detach().float(), strict=True):
        mean = some.mean(dim=0)
        _, sizes, directions = torch.linalg.svd(some - mean, full_matrices=False)
        spread = sizes / max(1, len(some) - 1) ** 0.5
        axis.plot(*some.T.numpy(force=True), ".", markersize=3, color=DARK_SKY)
        for direction, length, colour, line in zip(directions, spread, (BLUE, RED), ("-", "--"), strict=True):
            ends = torch.stack([mean - 2 * length * direction, mean + 2 * length * direction])
            axis.plot(*ends.T.numpy(force=True), line, color=colour, linewidth=2.5)
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xlabel="one pixel", ylabel="the other")
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_title(title, fontsize=points)
        along = directions[0] * directions[0].sum().sign()
        said.append(
            f"“{one_line(title)}”: {counted(len(some), 'point')}, along ({rounded(along[0])}, {rounded(along[1])}) "
            f"{percent((sizes[0] ** 2 / sizes.square().sum()).item())} of the variance"
        )
    figure.tight_layout()
    alt = "Points, the direction in which they vary most as a line, and the one across it dashed. "
    return Drawn(figure, f"{alt}{'; '.join(said)}.")


def filters(rows: Tensor, patch_size: int, columns: int, title: str) -> Drawn:
    """Rows of a weight drawn as little pictures.

    Args:
        rows: (K, P·P·C), ordered (p1 p2 c).
        patch_size: P.
        columns: how many stand side by side.
        title: above all.
    """
    pictures = as_pictures(rows, patch_size)
    lines = -(-len(pictures) // columns)
    side = cell_size(0.85, columns, lines)
    figure, axes = panels(lines, columns, (side * columns, side * lines + 0.4))
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture in zip(axes.flat, pictures, strict=False):
        axis.imshow(to_picture(picture), interpolation="nearest")
    figure.suptitle(title, fontsize=12)
    top = 1 - 0.45 / figure.get_figheight()
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=top, wspace=0.1, hspace=0.1)
    arrays = pictures.permute(0, 2, 3, 1).numpy(force=True)
    kinds = Counter(kinds_of_pattern(arrays - 0.5))
    smooth = [value for picture in arrays if (value := neighbours(picture)) is not None]
    alike = f" Neighbouring pixels correlate {min(smooth):.2f} to {max(smooth):.2f}." if smooth else ""
    first = listed(kinds_of_pattern(arrays[:4] - 0.5), "; ")
    alt = (
        f"“{one_line(title)}”: {counted(len(pictures), 'little picture')} of {patch_size} × {patch_size} pixels, "
        f"{columns} a row. Their patterns: {listed([f'{count} {kind}' for kind, count in kinds.most_common()], '; ')}. "
        f"They begin with {first}.{alike}"
    )
    return Drawn(figure, alt)


def axis_orders(patch_size: int, orders: Sequence[tuple[str, Sequence[tuple[int, int, int]]]]) -> Drawn:
    """The numbers of one patch in memory, for different orders of the axes.

    Args:
        patch_size: P; 2 is legible.
        orders: (title, (row, column, channel) of each number in turn).
    """
    count = 3 * patch_size**2
    figure, axes = panels(len(orders), 1, (8, 1.25 * len(orders)))
    points = text_size([f"{patch_size - 1},{patch_size - 1}"], 0.9 * 8 / count, 10)
    said = []
    for axis, (title, places) in zip(axes[:, 0], orders, strict=True):
        names = []
        for left, (row, column, channel) in enumerate(places):
            letter, colour = CHANNELS[channel]
            axis.add_patch(Rectangle((left, 0), 0.94, 1, facecolor=colour, edgecolor=GREY))
            names.append(f"{letter} {row},{column}")
            if points > SMALLEST_TEXT:
                name = f"{letter}\n{row},{column}"
                axis.text(left + 0.47, 0.5, name, ha="center", va="center", fontsize=points, color=ink(colour))
        said.append(f"“{one_line(title)}” {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")
        axis.set(xlim=(-0.1, count + 0.1), ylim=(-0.05, 1.05))
        axis.set_title(title, fontsize=11, loc="left")
        axis.axis("off")
    figure.tight_layout(h_pad=0.8)
    alt = f"The {count} numbers of a patch of {patch_size} × {patch_size} pixels, with colour and pixel, in memory: "
    return Drawn(figure, f"{alt}{'; '.join(said)}.")
