"""How long a run will take, from a few steps that were measured beforehand."""

import statistics
import time
from dataclasses import dataclass

import torch

from vit_course.training.batches import Batches
from vit_course.training.learner import Learner


@dataclass(frozen=True)
class Forecast:
    """Seconds of a step at each image size.

    Attributes:
        sizes: the image sizes of a run, in turn; each has an equal share of its steps.
        seconds: of one step, by size.
    """

    sizes: tuple[int, ...]
    seconds: dict[int, float]

    @property
    def quickest(self) -> float:
        """Seconds of a step at the size where it takes least."""
        return min(self.seconds.values())

    def steps_in(self, seconds: float) -> int:
        """How many steps fit into this time; one for each size at least."""
        mean = sum(self.seconds[size] for size in self.sizes) / len(self.sizes)
        return max(len(self.sizes), int(seconds / mean))

    def ahead(self, step: int, total_steps: int) -> float:
        """Seconds from a step to the end."""
        ends = [total_steps * (i + 1) / len(self.sizes) for i in range(len(self.sizes))]
        return sum(
            self.seconds[size] * max(0, end - max(step, begin))
            for size, begin, end in zip(self.sizes, [0, *ends], ends, strict=False)
        )

    def corrected(self, step: int, total_steps: int, since: int, seconds: float) -> float:
        """The same, once it is known how quick this machine is: the steps from `since` until now took `seconds`."""
        left = self.ahead(step, total_steps)
        expected = self.ahead(since, total_steps) - left
        return left * seconds / expected if expected else left


def measured(learner: Learner, batches: Batches, patience: float, *, compiled: bool = False) -> Forecast:
    """The middle of as many steps as fit into `patience` seconds, of 3 at least, at each image size of the recipe.

    They are taken with copies; what they do leaves no trace in the learner. Compiling is not counted.
    """
    recipe = learner.recipe
    sizes = recipe.sizes or (recipe.image_size,)
    seconds = {}
    for size in sorted(set(sizes)):
        trial = learner.trial(size)
        model = torch.compile(trial.model, dynamic=False) if compiled else trial.model
        times, began = [], time.monotonic()
        while len(times) < 5 or time.monotonic() - began < patience:
            start = time.monotonic()
            # Fetching the loss waits for the device, whichever it is.
            trial.learn(model, *batches.at(0, size), 0, 1).item()
            times.append(time.monotonic() - start)
        seconds[size] = statistics.median(times[2:])  # the first ones warm up
    return Forecast(sizes, seconds)
