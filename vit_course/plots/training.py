"""Figures of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vit_course.plots.base import BLUE, DARK_ORANGE, Drawn, panels


def training_curve(losses: Sequence[float], evaluations: Sequence[tuple[int, float, float]], total_steps: int) -> Drawn:
    """The loss of every step with its running mean, and the accuracy where it was measured.

    Args:
        losses: of the steps until now.
        evaluations: (step, seconds, accuracy in 0 … 1), as in `Trained`.
        total_steps: where the axis ends.
    """
    figure, axes = panels(1, 1, (6.4, 3))
    axis = axes[0, 0]
    steps = np.arange(1, len(losses) + 1)
    axis.plot(steps, losses, color=BLUE, alpha=0.25, linewidth=0.8)
    window = max(1, len(losses) // 30)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axis.plot(steps[window - 1 :], smooth, color=BLUE)
    axis.set(xlabel="step", xlim=(0, total_steps))
    axis.set_ylabel("loss (bold: running mean)", color=BLUE)
    axis.spines["top"].set_visible(False)
    alt = f"The training loss goes from {losses[0]:.2f} to {smooth[-1]:.2f} in {len(losses)} of {total_steps} steps."
    if evaluations:
        right = axis.twinx()
        steps, accuracies = [step for step, _, _ in evaluations], [100 * a for _, _, a in evaluations]
        right.plot(steps, accuracies, "o-", color=DARK_ORANGE, clip_on=False)
        right.set_ylabel("accuracy on test images, %", color="#8A5F00")
        right.set_ylim(0, 100)
        right.spines["top"].set_visible(False)
        alt += f" The accuracy on test images is {evaluations[-1][2]:.1%} at step {evaluations[-1][0]}."
    figure.tight_layout()
    return Drawn(figure, alt)
