"""What changes with every step: the weights, and all that the optimizer keeps beside them."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from vit_course import profiles
from vit_course.data import ImageSet
from vit_course.finetuning import resize_model
from vit_course.training.optimizers import optimizer_for
from vit_course.training.recipes import Recipe
from vit_course.training.steps import evaluate, train_step, warmup_cosine


class Learner:
    """A model with its optimizer and, where the recipe asks for them, the mean of its weights and a gradient scaler.

    Args:
        recipe: says how it learns.
        model: to be trained, in place.
        device: where.

    Attributes:
        model: the weights of the last step.
        precision: of the forward pass.
    """

    def __init__(self, recipe: Recipe, model: nn.Module, device: torch.device) -> None:
        self.recipe, self.model, self.device = recipe, model.to(device), device
        self.ema = None
        if recipe.ema:
            from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

            self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))
        self.precision = profiles.precision(recipe.precision, device)
        self.optimizer = optimizer_for(recipe, self.model)
        self.scaler = torch.amp.GradScaler(device.type) if self.precision == torch.float16 else None

    @property
    def best(self) -> nn.Module:
        """The model to use: with the mean of the weights where there is one."""
        return self.ema.module if self.ema else self.model

    @property
    def size(self) -> int | None:
        """The image size that the model takes now, in pixels; None for a model that does not grow."""
        return self.model.image_size[0] if self.recipe.sizes else None

    def learn(self, model: nn.Module, images: Tensor, targets: Tensor, step: int, total_steps: int) -> Tensor:
        """Take one step. Returns the loss before it.

        Args:
            model: our model, or what `torch.compile` or several processes have made of it.
            images, targets: as in `train_step`.
            step, total_steps: where in the run this is; they decide the learning rate.
        """
        warmup = min(int(self.recipe.warmup * total_steps), total_steps - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = warmup_cosine(step, total_steps, warmup, group["peak_lr"])
        options = {"precision": self.precision, "scaler": self.scaler, "clip": self.recipe.clip}
        loss = train_step(model, self.optimizer, images, targets, **options)
        if self.ema:
            self.ema.update_parameters(self.model)
        return loss

    def resize(self, size: int | None) -> None:
        """Bring the model to images of this size, in place. Nothing to do for one that does not grow."""
        if not self.recipe.sizes or size == self.size:
            return
        before = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for model in (self.model, self.ema.module) if self.ema else (self.model,):
            resize_model(model, size)
        now = dict(self.model.named_parameters())
        for group in self.optimizer.param_groups:  # the positions are new
            for old in group["params"]:
                if now[before[id(old)]] is not old:
                    self.optimizer.state.pop(old, None)
            group["params"] = [now[before[id(old)]] for old in group["params"]]

    def trial(self, size: int) -> "Learner":
        """A copy at this image size that begins anew: what it does leaves no trace here."""
        return Learner(self.recipe, self._copied(self.model, size), self.device)

    def accuracy(self, test: ImageSet) -> float:
        """On test images, at the size they have: a model that is still growing is copied and grown for it."""
        full = self.recipe.image_size
        model = self.best if self.size in (None, full) else self._copied(self.best, full)
        batch_size = min(500, self.recipe.batch_size)  # what fits in training fits here
        return evaluate(model, test, self.precision, batch_size)

    def _copied(self, model: nn.Module, size: int) -> nn.Module:
        copied = copy.deepcopy(model)
        return resize_model(copied, size) if self.recipe.sizes else copied

    def state_dict(self) -> dict[str, Any]:
        """All of it, for a snapshot."""
        return {
            "image_size": self.size,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "precision": profiles.named(self.precision),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what `state_dict` was. A run may have moved to a device of another precision meanwhile.

        Raises:
            RuntimeError, ValueError: it is the state of another model (from torch).
        """
        self.resize(state["image_size"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
