"""The figures of lesson 10: filters, how far heads look, what convolutions see, and what is lost without a part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from vit_course.plots.base import (
    BLUE,
    GREY,
    LOOKS,
    ORANGE,
    Drawn,
    cell_size,
    draw_picture,
    panels,
    text_size,
    to_picture,
)
from vit_course.plots.words import counted, described, kinds_of_pattern, listed, one_line, percent, place, rounded


def components(groups: Sequence[tuple[str, Tensor]], columns: int = 10) -> Drawn:
    """Rows of little pictures, a row for each group, each picture scaled by itself with grey for 0.

    Args:
        groups: (label, components (K, P, P, C), or kernels that come so), at least one.
        columns: the most to draw of each.
    """
    shown = [(label, pictures[:columns].detach()) for label, pictures in groups]
    most = max(len(pictures) for _, pictures in shown)
    side = cell_size(0.9, most, len(shown))
    figure, axes = panels(len(shown), most, (side * most, (side + 0.32) * len(shown)))
    said = []
    for line, (label, pictures) in zip(axes, shown, strict=True):
        scaled = pictures / pictures.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        for axis in line:
            axis.axis("off")
        for axis, one in zip(line, scaled, strict=False):
            axis.imshow(to_picture((one / 2 + 0.5).permute(2, 0, 1)), interpolation="nearest")
        line[0].set_title(label, fontsize=11, loc="left")
        size = "{} × {}".format(*pictures.shape[1:3])
        kinds = listed(kinds_of_pattern(scaled.numpy(force=True)), "; ")
        said.append(f"“{one_line(label)}”: {counted(len(pictures), 'picture')} of {size} pixels: {kinds}")
    figure.tight_layout(pad=0.3, h_pad=0.8)
    return Drawn(figure, f"Rows of little pictures, grey where a number is 0. {'. '.join(said)}.")


def distances_by_depth(
    distances: Tensor,
    lines: Sequence[tuple[str, float]] = (),
    others: tuple[str, Tensor] | None = None,
    *,
    label: str = "each head",
) -> Drawn:
    """How far each head looks, against the layer, as the ViT paper's figure 7 draws it.

    Args:
        distances: (layers, heads), in pixels.
        lines: (label, pixels), drawn across.
        others: (label, (layers, heads)) of another model, for comparison.
        label: of `distances`.
    """
    figure, axes = panels(1, 1, (6.4, 3.8))
    axis, said = axes[0, 0], []
    groups = [(label, distances), *([others] if others else [])]
    for (name, values), (colour, marker, _), shift in zip(groups, LOOKS, (0, 0.22), strict=False):
        layers, heads = values.shape
        # Many heads would hide each other.
        apart = np.linspace(-0.08, 0.08, heads) if heads > 6 else np.zeros(heads)
        at = (np.arange(1, 1 + layers)[:, None] + apart + shift).flatten()
        axis.scatter(at, values.flatten().numpy(force=True), s=42, color=colour, marker=marker, edgecolor="black",
                     alpha=0.8, label=name, zorder=3, clip_on=False)  # fmt: skip
        rows = [f"{index} {rounded(row.min(), 1)} to {rounded(row.max(), 1)}" for index, row in enumerate(values, 1)]
        said.append(f"“{one_line(name)}”, layer by layer: {listed(rows)}")
    for (name, value), style in zip(lines, ("--", ":", "-."), strict=False):
        axis.axhline(value, color=GREY, linestyle=style, linewidth=1.5, label=name)
        said.append(f"a line at {rounded(value, 1)}, “{one_line(name)}”")
    axis.set(xlabel="layer", ylabel="mean distance, pixels", xticks=range(1, 1 + len(distances)))
    axis.set_ylim(0, None)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=10, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return Drawn(
        figure, f"Points, one for each head, its mean distance in pixels against the layer: {'; '.join(said)}."
    )


def seen_by_convolutions(fields: Sequence[tuple[str, Tensor]]) -> Drawn:
    """How much one number of the result depends on each pixel of a line through the middle.

    Args:
        fields: up to four of (label, gradient (pixels,)); pixels that do not count at all are 0.

    Raises:
        ValueError: more than four.
    """
    if len(fields) > len(LOOKS):
        raise ValueError(f"four curves can be told apart; got {len(fields)}.")
    figure, axes = panels(1, 1, (6.4, 3.4))
    axis, said = axes[0, 0], []
    for (label, gradient), (colour, _, style) in zip(fields, LOOKS, strict=False):
        values = gradient.cpu().double().abs().numpy(force=True)
        values = values / values.max()
        across = np.arange(len(values)) - len(values) // 2
        touched = np.flatnonzero(values)
        axis.plot(across, values, color=colour, linestyle=style, linewidth=2, label=label)
        axis.plot(
            [across[touched[0]], across[touched[-1]]], [0, 0], "|", color=colour, markersize=16, markeredgewidth=2
        )
        half = int((values > 0.5).sum())
        said.append(f"“{one_line(label)}” {touched[-1] - touched[0] + 1} pixels wide, {half} of them above one half")
    axis.set(xlabel="pixels from the middle", ylabel="influence, largest = 1")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11)
    figure.tight_layout()
    return Drawn(figure, f"Curves of how much each pixel of a line counts, ends marked: {'; '.join(said)}.")


def maps_on_pictures(images: Tensor, rows: Sequence[tuple[str, Tensor]], titles: Sequence[str]) -> Drawn:
    """Pictures, and below each of them maps of its patches, dark where the number is large.

    Args:
        images: (K, C, H, W).
        rows: (label, maps (K, rows, columns)), a row of maps each. A map with numbers below 0 has white at 0, orange
            above and purple below. Each has a scale of its own.
        titles: of the pictures.

    Raises:
        ValueError: pictures, maps and titles are not equally many.
    """
    if any(len(maps) != len(images) for _, maps in rows) or len(titles) != len(images):
        raise ValueError(f"{len(images)} pictures need as many titles, and maps in each row.")
    side = cell_size(1.45, len(images), 1 + len(rows))
    figure, axes = panels(1 + len(rows), len(images), (max(3.0, side * len(images)), (side + 0.12) * (1 + len(rows))))
    points = text_size(titles, side)
    for axis, image, title in zip(axes[0], images, titles, strict=True):
        draw_picture(axis, image, title, points)
        axis.axis("on")
    said = [f"“{one_line(title)}”, {described(to_picture(image))}" for title, image in zip(titles, images, strict=True)]
    spoken = []
    for line, (label, maps) in zip(axes[1:], rows, strict=True):
        for axis, one in zip(line, maps, strict=True):
            grid = one.cpu().double().numpy(force=True)
            limit = max(float(abs(grid).max()), 1e-12)
            look = {"cmap": "PuOr_r", "vmin": -limit} if grid.min() < 0 else {"cmap": "Blues", "vmin": 0}
            axis.imshow(grid, vmax=limit, interpolation="nearest", **look)
        line[0].set_ylabel(label, fontsize=text_size([label], side))
        peaks = listed([place(one.numpy(force=True)) for one in maps], "; ")
        spoken.append(f"“{one_line(label)}”, largest at {peaks}")
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.tight_layout(pad=0.4)
    return Drawn(
        figure,
        f"{counted(len(images), 'picture')}: {listed(said, '; ')}. Below each, maps of its patches: "
        f"{'. '.join(spoken)}.",
    )


def without_each_head(accuracies: Tensor, whole: float, chance: float) -> Drawn:
    """Accuracy without each head, layer by layer, beside that of the whole model.

    Args:
        accuracies: (layers, heads), 0 … 1.
        whole: with all heads.
        chance: of guessing.
    """
    layers, heads = accuracies.shape
    figure, axes = panels(1, 1, (7.4, 3.6))
    axis, width = axes[0, 0], 0.8 / heads
    numbers = accuracies.numpy(force=True)
    for head in range(heads):
        at = np.arange(1, 1 + layers) + (head - (heads - 1) / 2) * width
        axis.bar(at, 100 * numbers[:, head], 0.88 * width, color=ORANGE, edgecolor="black", linewidth=0.6)
        for x in at:
            axis.text(x, 1.5, head, ha="center", fontsize=9)
    axis.axhline(100 * whole, color=BLUE, linewidth=1.6, label=f"all heads, {whole:.1%}")
    axis.axhline(100 * chance, color=GREY, linestyle="--", linewidth=1.3, label=f"guessing, {chance:.0%}")
    axis.set(xlabel="layer, and in each bar the head that is off", ylabel="pictures named rightly, %", ylim=(0, 100))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=10, ncols=2, loc="upper right")
    figure.tight_layout()
    said = [f"layer {index}: {', '.join(f'{one:.1%}' for one in row)}" for index, row in enumerate(numbers, 1)]
    return Drawn(
        figure,
        f"Bars of the pictures named rightly without each head: {listed(said, '; ')}. A line at {whole:.1%} for all "
        f"heads; guessing, dashed, is {chance:.0%}.",
    )


def when_masked(shares: Sequence[float], curves: Sequence[tuple[str, Sequence[float]]], chance: float) -> Drawn:
    """Accuracy against the share of patches that are hidden, for several orders of hiding them.

    Args:
        shares: of the patches, 0 … 1, rising.
        curves: up to four of (label, accuracies).
        chance: of guessing.

    Raises:
        ValueError: more than four curves.
    """
    if len(curves) > len(LOOKS):
        raise ValueError(f"four curves can be told apart; got {len(curves)}.")
    figure, axes = panels(1, 1, (7.2, 3.6))
    axis, said = axes[0, 0], []
    for (label, values), (colour, marker, style) in zip(curves, LOOKS, strict=False):
        axis.plot([100 * one for one in shares], [100 * one for one in values], marker=marker, linestyle=style,
                  color=colour, label=label)  # fmt: skip
        each = [f"{value:.1%} at {percent(share)}" for share, value in zip(shares, values, strict=True)]
        said.append(f"“{one_line(label)}” {listed(each)}")
    axis.axhline(100 * chance, color=GREY, linestyle=(0, (1, 2)), linewidth=1.3, label="guessing")
    axis.set(xlabel="patches hidden, %", ylabel="pictures named rightly, %", ylim=(0, 100))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11, loc="upper left", bbox_to_anchor=(1, 1))
    figure.tight_layout()
    return Drawn(
        figure,
        f"Pictures named rightly against the share of patches hidden: {'; '.join(said)}. Guessing, dotted, is "
        f"{chance:.0%}.",
    )
