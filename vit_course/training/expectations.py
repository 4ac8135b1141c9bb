"""What accuracy to expect of a run, from runs that were measured.

It hangs on how many steps are taken, not on the minutes: a slower machine takes fewer steps in the same time.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

from vit_course.training.recipes import RECIPES, Recipe

_AS_GOOD = 0.05  # a run that is longer or shorter by this share counts as one that was measured
_NUMBERS = ("no runs", "one run", "two runs", "three runs", "four runs", "five runs")


class Measured(NamedTuple):
    """How good a recipe was after so many steps.

    Attributes:
        steps: of each run.
        accuracies: at the end, one for each seed.
    """

    steps: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)

    def __str__(self) -> str:
        low, high = (f"{100 * accuracy:.1f}" for accuracy in (min(self.accuracies), max(self.accuracies)))
        ended = f"{high}%" if low == high else f"{low} to {high}%"
        return f"{_NUMBERS[len(self.accuracies)]} of {self.steps:,} steps ended at {ended}"


class Curve(NamedTuple):
    """Accuracy against steps, for one recipe.

    Attributes:
        images: what was measured on, in words.
        learned_from: the number of training images.
        measured: by rising steps.
    """

    images: str
    learned_from: int
    measured: tuple[Measured, ...]

    def __str__(self) -> str:
        return f"{self.images}: {', '.join(map(str, self.measured))}"

    def at(self, steps: int) -> str:
        """What to expect after so many steps, in words."""
        fewer = [one for one in self.measured if one.steps <= steps * (1 + _AS_GOOD)]
        more = [one for one in self.measured if one.steps >= steps * (1 - _AS_GOOD)]
        alike = [one for one in fewer if one in more]
        near = alike[:1] or [*fewer[-1:], *more[:1]]
        about = "about" if fewer and more else "more than" if fewer else "less than"
        said = " and ".join(map(str, near))
        return f"{about} {_between(near, steps):.0%} of {self.images} ({said})"


def _between(near: Sequence[Measured], steps: int) -> float:
    """On a line between two that were measured, along the logarithm of the steps."""
    first, last = near[0], near[-1]
    if first.steps == last.steps:
        return first.mean
    share = math.log(steps / first.steps) / math.log(last.steps / first.steps)
    return first.mean + share * (last.mean - first.mean)


_CIFAR10 = "CIFAR-10's test images (JPEG copy)"
# By recipe. `baseline` and `fast` by benchmarks/expectations.py, seeds 0, 1, 2; the others made the checkpoints.
CURVES = {
    "baseline": Curve(
        _CIFAR10,
        50_000,
        (
            Measured(300, (0.4032, 0.3985, 0.3958)),
            Measured(600, (0.4939, 0.4956, 0.5012)),
            Measured(1200, (0.5553, 0.5619, 0.5650)),
            Measured(2400, (0.6114, 0.6247, 0.6191)),
        ),
    ),
    "fast": Curve(
        _CIFAR10,
        50_000,
        (
            Measured(300, (0.5471, 0.5459, 0.5530)),
            Measured(600, (0.6193, 0.6195, 0.6189)),
            Measured(1200, (0.6939, 0.6832, 0.6880)),
            Measured(2400, (0.7660, 0.7708, 0.7593)),
        ),
    ),
    "cifar10": Curve(_CIFAR10, 50_000, (Measured(6240, (0.838,)),)),
    "tiny-imagenet": Curve("Tiny-ImageNet's validation images at 32 × 32", 100_000, (Measured(3120, (0.3710,)),)),
}


def expected_of(recipe: Recipe, data: str, images: int, steps: int) -> str:
    """What accuracy to expect, in words; "" of a recipe that was changed or not measured, or for other or fewer images.

    Args:
        recipe: any; another seed and another length count as the same.
        data: the name of the images.
        images: how many there are to learn from.
        steps: of the whole run.
    """
    for name, named in RECIPES.items():
        same = dataclasses.replace(recipe, seed=named.recipe.seed, epochs=named.recipe.epochs) == named.recipe
        curve = CURVES.get(name)
        if same and curve and (data.lower(), images) == (named.data, curve.learned_from):
            return curve.at(steps)
    return ""
