"""A training run as it stands: what reports look at, and what a snapshot keeps."""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from vit_course.data import ImageSet
from vit_course.training import initialisation
from vit_course.training.batches import Batches
from vit_course.training.forecast import Forecast
from vit_course.training.guards import TrainingError, memory_in_plain_words
from vit_course.training.learner import Learner
from vit_course.training.processes import Processes
from vit_course.training.recipes import Recipe
from vit_course.vit import ViT


class Run:
    """One call of `train`. Its arguments are those of `train`; its attributes those of `reporting.Run`, and:

    Attributes:
        learner, batches, processes: what learns, from what, and together with whom.
        forecast: of its steps; there from `begin` on.

    Raises:
        ValueError: images, test images, model and recipe do not fit each other; no such device.
        TrainingError: the images or the model do not fit into memory.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: ImageSet,
        test: ImageSet | None,
        *,
        model: nn.Module | None,
        device: str | torch.device | None,
        minutes: float | None,
        evaluations: int,
    ) -> None:
        if test is not None and (
            not len(test) or test.classes != images.classes or test.images.shape[1:] != images.images.shape[1:]
        ):
            raise ValueError(
                f"the test images are not of the kind to learn from: there are {len(test)} of "
                f"{tuple(test.images.shape[1:])} in {len(test.classes)} classes, and {len(images)} of "
                f"{tuple(images.images.shape[1:])} in {len(images.classes)}. Size and classes must be the same."
            )
        if recipe.sizes and not (model is None or isinstance(model, ViT)):
            raise ValueError("sizes are for the course's ViT: a model of another kind is trained with sizes=().")
        self.recipe, self.test, self.minutes, self.evaluations_wanted = recipe, test, minutes, evaluations
        self.processes = Processes()
        self.brought = model is not None
        self.device, self.data = self.processes.device(device), images.name
        self.batches = Batches(recipe, images, self.device, self.processes.rank, self.processes.count)
        with memory_in_plain_words(self.device, "the model", "Take a smaller dim, mlp_dim or depth."):
            self.learner = Learner(recipe, model or _untrained(recipe, images), self.device)
        self.step, self.total_steps, self.seconds = 0, 0, 0.0
        self.losses: list[float] = []
        self.evaluations: list[tuple[int, float, float]] = []

    @property
    def model(self) -> nn.Module:
        return self.learner.model

    @property
    def precision(self) -> torch.dtype:
        return self.learner.precision

    @property
    def labels(self) -> Tensor:
        return self.batches.labels

    def begin(self, forecast: Forecast, resumed: bool) -> None:
        """Take a forecast, and decide by it how many steps there will be, unless that was decided before."""
        self.forecast, self.began = forecast, (self.step, self.seconds)
        if resumed:
            return
        if self.minutes is None:
            self.total_steps = max(len(forecast.sizes), round(self.recipe.epochs * self.batches.per_epoch))
        else:
            self.total_steps = self.processes.agreed(forecast.steps_in(self.minutes * 60))

    def size(self) -> int:
        """The image size of the step to come, in pixels."""
        return self.recipe.size_at(self.step, self.total_steps)

    def note(self, losses: list[float], seconds: float) -> None:
        """Take in the losses of the last steps, and the seconds of training until now.

        Raises:
            TrainingError: the losses or the weights are no numbers any more.
        """
        self.losses += losses
        self.seconds = seconds
        # A loss is that of the weights before its step: those after the last one need a look of their own.
        weights = torch.stack([parameter.isfinite().all() for parameter in self.model.parameters()])
        if all(map(math.isfinite, losses)) and weights.all():
            return
        rates = f"lr={self.recipe.lr:g}"
        if self.recipe.optimizer == "muon":
            rates += f", muon_lr={self.recipe.muon_lr:g}"
        precision = "" if self.precision == torch.float32 else " or precision='float32'"
        raise TrainingError(
            f"the loss is no number any more (step {self.step} of {self.total_steps}). Take a lower learning "
            f"rate ({rates} now), a longer warm-up{precision}."
        )

    def evaluation_due(self) -> bool:
        """Whether the accuracy is to be measured after the step just taken."""
        if self.test is None or not self.evaluations_wanted:
            return False
        share = self.evaluations_wanted / self.total_steps
        return math.floor(self.step * share) > math.floor((self.step - 1) * share) or self.step == self.total_steps

    def evaluate(self) -> None:
        """Measure the accuracy on the test images now."""
        self.evaluations.append((self.step, self.seconds, self.learner.accuracy(self.test)))

    def seconds_left(self) -> float:
        """Until the end, by the forecast, corrected by how quick the steps until now were; evaluations included."""
        since, seconds = self.began
        left = self.forecast.corrected(self.step, self.total_steps, since, self.seconds - seconds)
        if self.test is None:
            return left
        ahead = self.evaluations_wanted - math.floor(self.step * self.evaluations_wanted / self.total_steps)
        forward = self.forecast.seconds[self.recipe.image_size] / self.recipe.batch_size / 3  # a third of a step
        return left + ahead * len(self.test) * forward

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on, for a snapshot."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "data": self.batches.fingerprint,
            "minutes": self.minutes,
            "step": self.step,
            "total_steps": self.total_steps,
            "seconds": self.seconds,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "evaluations": self.evaluations,
            **self.learner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what `state_dict` was.

        Raises:
            ValueError: it is the state of another run; the message goes on after "this holds …".
        """
        ours = {**dataclasses.asdict(self.recipe), "minutes": self.minutes}
        # What recipes did not have at that time was as it is by default.
        theirs = {**dataclasses.asdict(Recipe()), **state["recipe"], "minutes": state["minutes"]}
        different = [
            f"{name} was {theirs[name]!r} and is {ours[name]!r}" for name in sorted(ours) if ours[name] != theirs[name]
        ]
        if state["data"] != self.batches.fingerprint:
            different.append("the images are not the same")
        if different:
            raise ValueError(
                f"another run: {'; '.join(different)}. "
                "Give another folder, delete this one, or start it as that run was started."
            )
        try:
            self.learner.load_state_dict(state)
        except (RuntimeError, ValueError) as error:
            raise ValueError("a run of another model. Give another folder, or the model of that run.") from error
        self.step, self.total_steps, self.seconds = state["step"], state["total_steps"], state["seconds"]
        self.losses = state["losses"].tolist()
        self.evaluations = [tuple(evaluation) for evaluation in state["evaluations"]]


def _untrained(recipe: Recipe, images: ImageSet) -> ViT:
    model = recipe.build(len(images.classes), images.images.shape[1])
    if recipe.whiten:
        some = 2_000 * 32**2 // recipe.image_size**2  # as many pixels, whatever the size
        initialisation.whitened_(model.embedding, images.images[: min(2_000, max(50, some))])
    return model
