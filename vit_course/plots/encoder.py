"""The figures of lesson 06: the block, what each block adds, and what depth does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from vit_course.plots.base import BLUE, DARK_ORANGE, DARK_SKY, GREEN, GREY, LOOKS, ORANGE, Drawn, panels
from vit_course.plots.words import counted, listed, one_line

# Where things stand on the way of x, from below, and what stands on a branch beside it.
_BLOCKS = {
    "pre-norm": ("norm1 attention +", "norm2 mlp +"),
    "post-norm": ("attention + norm1", "mlp + norm2"),
}


def blocks_compared(kinds: Sequence[str] = ("pre-norm", "post-norm")) -> Drawn:
    """Encoder blocks side by side: the way of the tokens from below to above, and what is added to it.

    Args:
        kinds: "pre-norm" or "post-norm", one panel for each.

    Raises:
        ValueError: another kind.
    """
    if unknown := [kind for kind in kinds if kind not in _BLOCKS]:
        raise ValueError(f"there is no block {unknown[0]!r}; there are {', '.join(_BLOCKS)}.")
    figure, axes = panels(1, len(kinds), (max(3.2, 3.1 * len(kinds)), 5))
    said = []
    for axis, kind in zip(axes.flat, kinds, strict=True):
        said.append(f"“{kind}”, from the tokens that come in: {_draw_block(axis, kind)}")
    figure.tight_layout(pad=0.4)
    return Drawn(
        figure, f"{'Blocks' if len(kinds) > 1 else 'A block'} as a way from below to above. {'. '.join(said)}."
    )


def _draw_block(axis: Axes, kind: str) -> str:
    """Draw one block; returns it in words."""
    tip, way, branch_at, step = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.4}, 0.6, 2.0, 0.62
    level, said = 0.35, []

    def box(x: float, y: float, text: str, colour: str) -> None:
        patch = FancyBboxPatch((x - 0.56, y - 0.18), 1.12, 0.36, boxstyle="round,pad=0.02", facecolor=colour)
        patch.set(edgecolor="black", linewidth=1)
        axis.add_patch(patch)
        axis.text(x, y, text, ha="center", va="center", fontsize=11)

    for steps in _BLOCKS[kind]:
        parts = steps.split()
        branch, after = parts[: parts.index("+")], parts[parts.index("+") + 1 :]
        axis.plot([way, branch_at], [level, level], color="black", linewidth=1.4)
        for number, part in enumerate(branch):
            at = level + 0.5 + step * number
            axis.annotate(
                "", xy=(branch_at, at - 0.2), xytext=(branch_at, at - (0.42 if number else 0.5)), arrowprops=tip
            )
            box(branch_at, at, part, ORANGE if part.startswith("norm") else "#D6E8F2")
        level += 0.5 + step * (len(branch) - 1) + 0.45
        axis.plot([branch_at, branch_at], [level - 0.25, level], color="black", linewidth=1.4)
        axis.annotate("", xy=(way + 0.13, level), xytext=(branch_at + 0.02, level), arrowprops=tip)
        axis.plot([way], [level], marker="o", markersize=17, color="white", markeredgecolor="black", zorder=4)
        axis.text(way, level - 0.01, "+", ha="center", va="center", fontsize=14, zorder=5)
        said.append(f"{' then '.join(branch)} beside the way, added to it")
        for part in after:
            level += step
            box(way, level, part, ORANGE)
            said.append(f"{part} on the way itself")
        level += 0.4
    axis.plot([way, way], [0, level], color=BLUE, linewidth=5, zorder=0, solid_capstyle="butt")
    head = tip | {"color": BLUE, "linewidth": 3, "mutation_scale": 22}
    axis.annotate("", xy=(way, level + 0.35), xytext=(way, level - 0.1), arrowprops=head)
    axis.text(way + 0.15, 0.0, "x", fontsize=13, style="italic")
    axis.set(xlim=(-0.1, 2.7), ylim=(-0.1, 4.9), title=kind)
    axis.axis("off")
    return "; ".join(said)


def contributions(stream: Sequence[float], added: Sequence[tuple[str, Sequence[float]]]) -> Drawn:
    """How long the tokens are when they come to each block, and how long what its branches add.

    Args:
        stream: a length for each block.
        added: up to three of (label, a length for each block).

    Raises:
        ValueError: not as many lengths everywhere, or more than three branches.
    """
    colours = (BLUE, DARK_ORANGE, GREEN)
    if len(added) > len(colours) or any(len(lengths) != len(stream) for _, lengths in added):
        raise ValueError(f"up to three branches with {len(stream)} lengths each; got {[len(one) for _, one in added]}.")
    figure, axes = panels(1, 1, (6.2, 3.4))
    axis = axes[0, 0]
    places, width = np.arange(len(stream)), 0.8 / (1 + len(added))
    rows = [("the tokens that come in", stream), *added]
    looks = [(GREY, ""), *zip(colours, ("//", "..", "xx"), strict=True)]
    for number, ((label, lengths), (colour, hatch)) in enumerate(zip(rows, looks, strict=False)):
        at = places + (number - len(added) / 2) * width
        axis.bar(at, lengths, width, label=label, color=colour, hatch=hatch, edgecolor="white")
    axis.set(xlabel="block", ylabel="mean length", xticks=places)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=11)
    figure.tight_layout()
    said = [f"“{one_line(label)}” {listed([f'{length:.1f}' for length in lengths])}" for label, lengths in rows]
    return Drawn(figure, f"Bars for {counted(len(stream), 'block')}, from the first: {'; '.join(said)}.")


def by_depth(
    charts: Sequence[tuple[str, Sequence[tuple[str, Sequence[float]]]]],
    ylabel: str,
    *,
    first: int = 0,
    xlabel: str = "block",
    log: bool = False,
) -> Drawn:
    """A number for each block, as lines; several charts share one scale.

    Args:
        charts: (title, up to four lines of (label, a number for each block)).
        ylabel: what the numbers are.
        first: where the counting begins.
        xlabel: what is counted.
        log: a logarithmic scale.

    Raises:
        ValueError: more than four lines.
    """
    if any(len(lines) > len(LOOKS) for _, lines in charts):
        raise ValueError(f"four lines can be told apart; got {max(len(lines) for _, lines in charts)}.")
    figure, axes = panels(1, len(charts), (6.2 if len(charts) == 1 else 9, 3.4), sharey=True)
    said = []
    for axis, (title, lines) in zip(axes.flat, charts, strict=True):
        spoken = []
        for (label, values), (colour, marker, style) in zip(lines, LOOKS, strict=False):
            blocks = range(first, first + len(values))
            axis.plot(blocks, values, marker=marker, markersize=5, linestyle=style, color=colour, label=label)
            spoken.append(
                f"“{one_line(label)}” {values[0]:.2g} at {first}, {values[len(values) // 2]:.2g} at "
                f"{first + len(values) // 2}, {values[-1]:.2g} at {first + len(values) - 1}"
            )
        axis.set(xlabel=xlabel, title=title)
        axis.spines[["top", "right"]].set_visible(False)
        if log:
            axis.set_yscale("log")
        axis.xaxis.get_major_locator().set_params(integer=True)
        said.append(f"{f'“{title}”: ' if title else ''}{', '.join(spoken)}")
    axes[0, 0].set_ylabel(ylabel)
    axes.flat[-1].legend(frameon=False, fontsize=11)
    figure.tight_layout()
    scale = ", on a logarithmic scale" if log else ""
    return Drawn(figure, f"{ylabel[:1].upper()}{ylabel[1:]} against {xlabel}{scale}. {'; '.join(said)}.")


def activations(x: Tensor, curves: Sequence[tuple[str, Tensor]], difference: tuple[str, Tensor] | None = None) -> Drawn:
    """Functions of one number as curves and, where given, a difference in a panel of its own.

    Args:
        x: (N,), rising.
        curves: up to four of (label, values (N,)).
        difference: (title, values (N,)).

    Raises:
        ValueError: more than four curves.
    """
    if len(curves) > len(LOOKS):
        raise ValueError(f"four curves can be told apart; got {len(curves)}.")
    figure, axes = panels(1, 1 if difference is None else 2, (5.5 if difference is None else 8.5, 3.2))
    at, said = x.numpy(force=True), []
    for (label, values), (colour, _, style) in zip(curves, LOOKS, strict=False):
        axes[0, 0].plot(at, values.numpy(force=True), color=colour, linestyle=style, linewidth=2.2, label=label)
        low = int(values.argmin())
        said.append(f"“{label}” from {values[0]:.2f} to {values[-1]:.2f}, lowest {values[low]:.2f} at {x[low]:.2f}")
    axes[0, 0].legend(frameon=False, fontsize=11)
    if difference is not None:
        title, values = difference
        axes[0, 1].plot(at, values.numpy(force=True), color=DARK_SKY, linewidth=2.2)
        axes[0, 1].set_title(title, fontsize=11)
        axes[0, 1].ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        said.append(f"“{title}”: between {values.min():.1e} and {values.max():.1e}")
    for axis in axes.flat:
        axis.axhline(0, color=GREY, linewidth=0.8)
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set_xlabel("x")
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return Drawn(figure, f"Curves for x from {x[0]:.1f} to {x[-1]:.1f}: {'; '.join(said)}.")
