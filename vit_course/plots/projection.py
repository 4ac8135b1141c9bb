"""The figures of lesson 02: what one matrix sees in a patch."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from einops import rearrange
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from vit_course.plots.base import BLUE, GREEN, GREY, ORANGE, to_picture

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


def responses(image: Tensor, names: Sequence[str], templates: Tensor, maps: Tensor, patch_size: int) -> Figure:
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
    figure, axes = plt.subplots(2, len(names) + 1, figsize=(1.75 * (len(names) + 1), 3.8))
    axes[0, 0].axis("off")
    axes[1, 0].imshow(to_picture(image), interpolation="nearest")
    axes[1, 0].set_title("the image", fontsize=11)
    axes[1, 0].axis("off")
    for axis, name, picture in zip(axes[0, 1:], names, pictures, strict=True):
        axis.imshow(to_picture(picture), interpolation="nearest")
        axis.set_title(name, fontsize=11)
    for axis, one in zip(axes[1, 1:], maps, strict=True):
        limit = one.abs().max().item() or 1
        drawn = axis.imshow(one.detach().numpy(), cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
        figure.colorbar(drawn, ax=axis, orientation="horizontal", fraction=0.06, pad=0.06).ax.tick_params(labelsize=10)
    for axis in axes[:, 1:].flat:
        axis.set(xticks=[], yticks=[])
    axes[0, 1].set_ylabel("template", fontsize=11)
    axes[1, 1].set_ylabel("answers", fontsize=11)
    figure.tight_layout()
    return figure


def rebuilt(image: Tensor, dims: Sequence[int], rows: Sequence[tuple[str, Sequence[Tensor]]]) -> Figure:
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
    figure, axes = plt.subplots(
        len(rows), len(dims) + 1, figsize=(1.3 * (len(dims) + 1), 1.55 * len(rows)), squeeze=False
    )
    for line, (label, pictures) in zip(axes, rows, strict=True):
        for axis, picture in zip(line, [*pictures, image], strict=True):
            axis.imshow(to_picture(picture), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=11)
    for axis, title in zip(axes[0], [*(f"D = {dim}" for dim in dims), "original"], strict=True):
        axis.set_title(title, fontsize=11)
    figure.tight_layout(pad=0.5)
    return figure


def lost(dims: Sequence[int], curves: Sequence[tuple[str, Sequence[float]]]) -> Figure:
    """Share of the pixels' variance that is lost, against the numbers per patch.

    Args:
        dims: the numbers per patch.
        curves: up to three of (label, shares in 0 … 1).

    Raises:
        ValueError: more than three curves.
    """
    looks = ((ORANGE, "s", "--"), (GREEN, "^", "-."), (BLUE, "o", "-"))
    if len(curves) > len(looks):
        raise ValueError(f"three curves can be told apart; got {len(curves)}.")
    figure, axis = plt.subplots(figsize=(6.5, 3.4))
    for (label, shares), (colour, marker, line) in zip(curves, looks[-len(curves) :], strict=True):
        axis.plot(dims, [100 * share for share in shares], line, marker=marker, color=colour, label=label)
    axis.set_xlabel("numbers per patch, D", fontsize=11)
    axis.set_ylabel("variance lost, %", fontsize=11)
    axis.set_ylim(0, None)
    axis.set_xticks(list(dims))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11)
    figure.tight_layout()
    return figure


def filters(rows: Tensor, patch_size: int, columns: int, title: str) -> Figure:
    """Rows of a weight drawn as little pictures.

    Args:
        rows: (K, P·P·C), ordered (p1 p2 c).
        patch_size: P.
        columns: how many stand side by side.
        title: above all.
    """
    pictures = as_pictures(rows, patch_size)
    lines = -(-len(pictures) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(0.85 * columns, 0.85 * lines + 0.4), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture in zip(axes.flat, pictures, strict=False):
        axis.imshow(to_picture(picture), interpolation="nearest")
    figure.suptitle(title, fontsize=12)
    figure.subplots_adjust(
        left=0.02, right=0.98, bottom=0.02, top=1 - 0.45 / (0.85 * lines + 0.4), wspace=0.1, hspace=0.1
    )
    return figure


def axis_orders(patch_size: int, orders: Sequence[tuple[str, Sequence[tuple[int, int, int]]]]) -> Figure:
    """The numbers of one patch in memory, for different orders of the axes.

    Args:
        patch_size: P; 2 is legible.
        orders: (title, (row, column, channel) of each number in turn).
    """
    count = 3 * patch_size**2
    figure, axes = plt.subplots(len(orders), 1, figsize=(8, 1.25 * len(orders)), squeeze=False)
    for axis, (title, places) in zip(axes[:, 0], orders, strict=True):
        for place, (row, column, channel) in enumerate(places):
            letter, colour = CHANNELS[channel]
            axis.add_patch(Rectangle((place, 0), 0.94, 1, facecolor=colour, edgecolor=GREY))
            axis.text(
                place + 0.47, 0.5, f"{letter}\n{row},{column}", ha="center", va="center", fontsize=10, color="white"
            )
        axis.set(xlim=(-0.1, count + 0.1), ylim=(-0.05, 1.05))
        axis.set_title(title, fontsize=11, loc="left")
        axis.axis("off")
    figure.tight_layout(h_pad=0.8)
    return figure
