"""The figures of lesson 08: a schedule, how runs go, what ingredients buy, and where a model is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vit_course.plots.base import BLUE, DARK_ORANGE, GREY, LOOKS, Drawn, cell_size, ink, panels, text_size
from vit_course.plots.words import counted, listed, one_line, percent


def over_time(
    lines: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    *,
    percentages: bool = False,
    marks: bool = False,
) -> Drawn:
    """Curves over steps or seconds.

    Args:
        lines: up to four of (label, where, value there).
        xlabel, ylabel: what they are.
        percentages: the values are shares, 0 … 1.
        marks: a point for each value.

    Raises:
        ValueError: more than four lines, or one without values.
    """
    if len(lines) > len(LOOKS) or not all(len(values) for _, _, values in lines):
        raise ValueError(f"up to four lines with values can be told apart; got {[len(v) for _, _, v in lines]}.")
    figure, axes = panels(1, 1, (6.4, 3.2))
    axis, said, times = axes[0, 0], [], 100 if percentages else 1
    for (label, where, values), (colour, marker, style) in zip(lines, LOOKS, strict=False):
        shown = [times * value for value in values]
        look = {"marker": marker, "markersize": 5} if marks else {}
        axis.plot(where, shown, color=colour, linestyle=style, linewidth=2, label=label, **look)
        middle, last = len(values) // 2, len(values) - 1
        points = (f"{_number(values[i], percentages)} at {where[i]:.3g}" for i in sorted({0, middle, last}))
        said.append(f"“{one_line(label)}” {', '.join(points)}")
    axis.set(xlabel=xlabel, ylabel=ylabel + (", %" if percentages else ""))
    axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
    axis.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axis.legend(frameon=False, fontsize=11)
    figure.tight_layout()
    return Drawn(figure, f"{ylabel[:1].upper()}{ylabel[1:]} against {xlabel}: {'; '.join(said)}.")


def _number(value: float, percentages: bool) -> str:
    return f"{value:.1%}" if percentages else f"{value:.3g}"


def losses_of_runs(runs: Sequence[tuple[str, Sequence[float], Sequence[tuple[int, float]]]]) -> Drawn:
    """Two losses of each run, in a panel of its own: on what it learned from, and on other images. One scale for all.

    Args:
        runs: (title, training loss of every step, (step, loss on held-out images)).
    """
    figure, axes = panels(1, len(runs), (max(3.2, min(10.0, 2.3 * len(runs))), 3.6), sharey=True)
    said = []
    for axis, (title, training, held_out) in zip(axes.flat, runs, strict=True):
        window = max(1, len(training) // 40)
        smooth = np.convolve(training, np.ones(window) / window, mode="valid")
        axis.plot(np.arange(window, len(training) + 1), smooth, color=BLUE, linewidth=1.6, label="learned from")
        steps, values = zip(*held_out, strict=True)
        axis.plot(steps, values, "s--", color=DARK_ORANGE, markersize=3.5, linewidth=1.6, label="held out")
        axis.set(xlabel="step")
        axis.grid(axis="y", color=GREY, alpha=0.25)
        axis.set_title(title, fontsize=12)
        axis.spines[["top", "right"]].set_visible(False)
        first, last = np.mean(training[: max(1, len(training) // 20)]), smooth[-1]
        said.append(
            f"“{one_line(title)}” learned from: {first:.2f} at first, {last:.2f} at the end; held out: {values[0]:.2f} "
            f"at first, lowest {min(values):.2f}, {values[-1]:.2f} at the end"
        )
    axes[0, 0].set_ylabel("loss")
    axes[0, 0].legend(frameon=False, fontsize=9, loc="lower left")
    figure.tight_layout(pad=0.5)
    return Drawn(figure, f"Losses of {counted(len(runs), 'run')}. {'; '.join(said)}.")


def effects(
    rows: Sequence[tuple[str, Sequence[float]]], base: float, noise: float, *, images: str = "held-out images"
) -> Drawn:
    """What changes of a recipe did: a point for each run, a bar at their mean, and how far chance alone may reach.

    Args:
        rows: (label, accuracy of each run in 0 … 1), drawn from top to bottom.
        base: mean accuracy of the recipe as it is.
        noise: a difference of means up to this may be chance.
        images: on what accuracy was measured.
    """
    figure, axes = panels(1, 1, (7.5, 0.42 * len(rows) + 1))
    axis, said = axes[0, 0], []
    axis.axvspan(100 * (base - noise), 100 * (base + noise), color=GREY, alpha=0.25, linewidth=0)
    axis.axvline(100 * base, color=GREY, linestyle="--", linewidth=1.2)
    for line, (label, accuracies) in enumerate(rows):
        mean = sum(accuracies) / len(accuracies)
        beyond = abs(mean - base) > noise
        colour = DARK_ORANGE if beyond else BLUE
        axis.plot([100 * mean] * 2, [line - 0.3, line + 0.3], color=colour, linewidth=4, solid_capstyle="butt")
        axis.plot([100 * one for one in accuracies], [line] * len(accuracies), "o", color=colour, markersize=5)
        change = f", {100 * (mean - base):+.1f} points{'' if beyond else ', within noise'}" if line else ""
        said.append(f"“{one_line(label)}” {mean:.1%}{change}")
    axis.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=11)
    axis.set(xlabel=f"accuracy on {images}, %   (grey: chance alone may reach so far)")
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.5)
    runs = len(rows[0][1])
    about = f"Mean accuracy of {runs} runs each; differences up to {100 * noise:.1f} points may be chance"
    return Drawn(figure, f"{about}. {'; '.join(said)}.")


def confusion(counts: Tensor, classes: Sequence[str], size: float = 0.55) -> Drawn:
    """What was taken for what: a row for each class, a column for each answer; the diagonal is right.

    Args:
        counts: (K, K) whole numbers, [class, answer].
        classes: their K names.
        size: of a cell, in inches, where that suits their number.

    Raises:
        ValueError: counts and names do not go together.
    """
    if tuple(counts.shape) != (len(classes),) * 2 or not classes:
        raise ValueError(f"{len(classes)} classes have ({len(classes)}, {len(classes)}) counts, got {counts.shape}.")
    letters = 0.09 * max(len(one_line(name)) for name in classes)
    beside = min(2.5, 0.3 + letters)
    side = cell_size(size, len(classes), len(classes) + 2, beside=beside)
    figure, axes = panels(1, 1, (max(3.2, side * len(classes) + beside), max(2.4, side * len(classes) + beside)))
    axis, numbers = axes[0, 0], counts.numpy(force=True)
    shares = numbers / np.maximum(1, numbers.sum(axis=1, keepdims=True))
    shown = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    points = text_size([str(numbers.max())], side, 11)
    for row, column in np.ndindex(*numbers.shape):
        if numbers[row, column]:
            colour = ink(shown.to_rgba(shares[row, column]))
            axis.text(column, row, str(numbers[row, column]), ha="center", va="center", fontsize=points, color=colour)
    names = [one_line(name) for name in classes]
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=10)
    axis.set_yticks(range(len(names)), names, fontsize=10)
    axis.set(xlabel="called", ylabel="is")
    axis.tick_params(length=0)
    figure.tight_layout(pad=0.5)
    right, total = int(np.trace(numbers)), int(numbers.sum())
    off = numbers - np.diag(np.diag(numbers))
    often = [divmod(int(place), len(names)) for place in np.argsort(-off, axis=None, kind="stable")[:3]]
    said = [
        f"{names[row]} called {names[column]} {counted(int(off[row, column]), 'time')}"
        for row, column in often
        if off[row, column]
    ]
    text = f"{len(names)} class{'es' * (len(names) > 1)} against what they were called"
    text += f": {right} of {total} right ({percent(right / total)})" if total else ": no images"
    return Drawn(figure, f"{text}. {'Most often wrong: ' + listed(said) if said else 'None wrong'}.")


def calibration(sure: Float[Tensor, " images"], right: Tensor, bins: int = 10) -> Drawn:
    """How often a model is right, against how sure it said it was.

    Args:
        sure: (N,), the probability of the class that was named, 0 … 1.
        right: (N,), bool: whether it was the right one.
        bins: equal parts of 0 … 1 that images are gathered in.
    """
    place = (sure * bins).long().clamp(max=bins - 1)
    figure, axes = panels(2, 1, (5.6, 4.8), sharex=True, gridspec_kw={"height_ratios": (3, 1)})
    above, below = axes[:, 0]
    above.plot([0, 100], [0, 100], color=GREY, linestyle="--", linewidth=1.2)
    said, across, up = [], [], []
    counts = [int((place == one).sum()) for one in range(bins)]
    for one, count in enumerate(counts):
        if count:
            across.append(100 * sure[place == one].mean().item())
            up.append(100 * right[place == one].double().mean().item())
            said.append(f"{across[-1]:.0f}% sure, {up[-1]:.0f}% right ({count})")
    above.plot(across, up, "o-", color=BLUE, linewidth=2)
    above.set(ylabel="right, %", xlim=(0, 100), ylim=(0, 100))
    below.bar([100 * (one + 0.5) / bins for one in range(bins)], counts, 90 / bins, color=BLUE)
    below.set(xlabel="sure, %", ylabel="images")
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(pad=0.5)
    mean, share = sure.mean().item(), right.double().mean().item()
    return Drawn(
        figure,
        f"How often a model is right against how sure it is, in {bins} steps: {listed(said, '; ')}. On the whole "
        f"{percent(mean)} sure, {percent(share)} right.",
    )
