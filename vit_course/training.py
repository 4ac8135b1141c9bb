"""Training: the loop that runs a recipe.

    images, test = load_images("cifar10"), load_images("cifar10", "test")
    trained = train(RECIPES["fast"].recipe, images, test, minutes=5)
    trained.model, trained.accuracy

All images lie on the device as bytes and are augmented there, a batch at a time, so there are no worker processes. What
is random in a step depends on the seed and the number of the step alone: a run that was killed goes on as if it had not
been, and two processes do together what one does.
"""

import contextlib
import copy
import dataclasses
import hashlib
import math
import signal
import statistics
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vit_course import augmentation, initialisation, profiles, run_files
from vit_course.augmentation import mixup, random_crop_flip
from vit_course.data import ImageSet
from vit_course.finetuning import resize_model
from vit_course.processes import Processes
from vit_course.recipes import RECIPES, Recipe, optimizer_for
from vit_course.reporting import Report, report_here
from vit_course.vit import ViT

__all__ = [
    "RECIPES",
    "Recipe",
    "Trained",
    "TrainingError",
    "accuracy",
    "mixup",
    "random_crop_flip",
    "train",
    "train_step",
]


class TrainingError(RuntimeError):
    """Training cannot go on. The message says why and what to change; what was saved stays."""


# --- the pieces, as in lesson 08 -------------------------------------------------------------------------------------


def warmup_cosine(step: int, total_steps: int, warmup_steps: int, peak_lr: float) -> float:
    """The learning rate of a step: up in a straight line, then down on half a cosine (Loshchilov & Hutter 2017).

    Args:
        step: 0 … total_steps.
        total_steps: when it reaches 0.
        warmup_steps: when it reaches the peak; less than total_steps.
        peak_lr: the highest learning rate.

    Raises:
        ValueError: numbers outside these bounds.
    """
    if not (0 <= warmup_steps < total_steps and 0 <= step <= total_steps):
        raise ValueError(
            f"needs 0 ≤ warmup_steps < total_steps and 0 ≤ step ≤ total_steps; "
            f"got step={step}, total_steps={total_steps}, warmup_steps={warmup_steps}."
        )
    if step < warmup_steps:
        return peak_lr * (step + 1) / warmup_steps
    return peak_lr * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps)))


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "batch channels height width"],
    targets: Int64[Tensor, "batch"] | Float[Tensor, "batch classes"],
    *,
    precision: torch.dtype = torch.float32,
    scaler: torch.amp.GradScaler | None = None,
    clip: float = 0.0,
) -> Float[Tensor, ""]:
    """One step of learning: forward, cross-entropy, backward, update.

    Args:
        images: (B, C, H, W).
        targets: (B,) class indices, or (B, classes) probabilities.
        precision: below float32, the forward pass runs under autocast.
        scaler: keeps small float16 gradients from becoming zero.
        clip: largest norm of the gradient; 0 is none.

    Returns:
        The loss before the step, detached.
    """
    model.train()
    with _autocast(images.device, precision):
        logits = model(images)
    loss = F.cross_entropy(logits.float(), targets)
    optimizer.zero_grad()
    (scaler.scale(loss) if scaler else loss).backward()
    if clip:
        if scaler:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
    return loss.detach()


def accuracy(logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, "batch"]) -> float:
    """The share of images whose highest score is the right class, 0 … 1; at least one image is needed."""
    return (logits.argmax(dim=1) == labels).sum().item() / len(labels)


@torch.no_grad()
def evaluate(
    model: nn.Module, images: ImageSet, precision: torch.dtype = torch.float32, batch_size: int = 500
) -> float:
    """The model's accuracy on images (0 … 1), without augmentation, on the device where the model is.

    The images are as large as the model takes them. The model is in eval mode meanwhile, and then again in its own.
    """
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    logits = []
    for part in images.images.split(batch_size):
        with _autocast(device, precision):
            logits.append(model(augmentation.to_floats(part.to(device))).float())
    model.train(was_training)
    return accuracy(torch.cat(logits), images.labels.to(device))


def _autocast(device: torch.device, precision: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    if precision == torch.float32:  # older torch refuses Apple's MPS even where autocast is not enabled
        return contextlib.nullcontext()
    return torch.autocast(device.type, precision)


# --- the loop --------------------------------------------------------------------------------------------------------


@dataclass
class Trained:
    """What `train` returns.

    Attributes:
        model: the trained model, in eval mode.
        recipe: what it was trained with.
        steps: how many.
        losses: the loss of every step.
        evaluations: (step, seconds of training until then, accuracy on the test images).
        seconds: spent on training, without evaluations and forecasts; over all starts of a run that was interrupted.
        device: where it ran, in words.
        precision: "float32", "bfloat16" or "float16": what the recipe's "auto" was there.
    """

    model: nn.Module
    recipe: Recipe
    steps: int
    losses: list[float]
    evaluations: list[tuple[int, float, float]]
    seconds: float
    device: str
    precision: str

    @property
    def accuracy(self) -> float:
        """On the test images, at the end; NaN if there were none."""
        return self.evaluations[-1][2] if self.evaluations else math.nan


def train(
    recipe: Recipe,
    images: ImageSet,
    test: ImageSet | None = None,
    *,
    minutes: float | None = None,
    folder: str | Path | None = None,
    model: nn.Module | None = None,
    device: str | torch.device | None = None,
    evaluations: int = 10,
    save_seconds: float = 60,
    report: Report | None = None,
) -> Trained:
    """Run a recipe.

    Started again with the same folder, recipe and images, it goes on from the last checkpoint, and ends with the
    weights it would have had without the interruption (on a CPU, bit for bit). Under `torchrun`, the processes share
    each batch.

    Args:
        recipe: what to do.
        images: to learn from, as large as the recipe's image_size.
        test: to measure accuracy on, along the way and at the end. They decide nothing.
        minutes: take as many steps as fit into this time, judged from a few measured ones; else `recipe.epochs` counts.
            Evaluations come on top.
        folder: for checkpoints; None keeps none.
        model: trained in place of the recipe's ViT; must take float images (B, C, H, W) and give (B, classes).
        device: the fastest there is if not given.
        evaluations: how many times to measure accuracy, the last one at the end.
        save_seconds: time between checkpoints.
        report: shows how it goes; if not given, what suits a notebook, a terminal or a log file.

    Raises:
        ValueError: the images do not fit the recipe; an impossible number of minutes; no such device.
        StorageError: the folder cannot be written. (A disk that is full later on ends no training.)
        TrainingError: the loss is no number any more; memory is used up; a checkpoint is another run's; `torch.compile`
            was asked for and does not work.
        KeyboardInterrupt: passes through. With a folder, a first one waits for the end of a step and for a checkpoint.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"minutes are more than 0; got {minutes:g}.")
    run = _Run(recipe, images, test, Path(folder) if folder else None, model, device, evaluations)
    # The random numbers of whoever calls stay as they were.
    with torch.random.fork_rng(devices=[run.device] if run.device.type == "cuda" else []):
        return run.to_the_end(minutes, save_seconds, report or report_here())


class _Run:
    """One call of `train`: what it works with, and what a checkpoint keeps of it."""

    def __init__(self, recipe, images, test, folder, model, device, evaluations) -> None:
        if images.images.shape[-2:] != (recipe.image_size,) * 2:
            height, width = images.images.shape[-2:]
            raise ValueError(
                f"the recipe is for images of {recipe.image_size} × {recipe.image_size} pixels, these have "
                f"{height} × {width}: load_images(…, size={recipe.image_size}) brings a folder of images to it."
            )
        if len(images) < recipe.batch_size:
            raise ValueError(
                f"a batch takes {recipe.batch_size} images and there are {len(images)}: "
                f"take a smaller batch_size, or more images."
            )
        if test is not None and (
            not len(test) or test.classes != images.classes or test.images.shape[1:] != images.images.shape[1:]
        ):
            raise ValueError(
                f"the test images are not of the kind to learn from: there are {len(test)} of "
                f"{tuple(test.images.shape[1:])} in {len(test.classes)} classes, and {len(images)} of "
                f"{tuple(images.images.shape[1:])} in {len(images.classes)}. Size and classes must be the same."
            )
        self.processes = Processes()
        if recipe.batch_size % self.processes.count:
            raise ValueError(
                f"a batch of {recipe.batch_size} cannot be shared equally by {self.processes.count} processes."
            )
        self.recipe, self.test, self.folder, self.evaluations_wanted = recipe, test, folder, evaluations
        self.data, self.fingerprint = images.name, _fingerprint(images)
        self.device = self.processes.device(device)
        with _memory_in_plain_words(
            self.device, f"{len(images):,} images", "Load fewer of them (limit=…) or smaller ones (size=…)."
        ):
            self.images, self.labels = images.images.to(self.device), images.labels.to(self.device)
        self.classes = len(images.classes)
        if recipe.sizes and not (model is None or isinstance(model, ViT)):
            raise ValueError("sizes are for the course's ViT: a model of another kind is trained with sizes=().")
        self.grows = bool(recipe.sizes)
        self.ema = None
        with _memory_in_plain_words(self.device, "the model", "Take a smaller dim, mlp_dim or depth."):
            self.model = model or recipe.build(self.classes, images.images.shape[1])
            if recipe.whiten and not model:
                some = 2_000 * 32**2 // recipe.image_size**2  # as many pixels, whatever the size
                initialisation.whitened_(self.model.embedding, images.images[: min(2_000, max(50, some))])
            self.model.to(self.device)
            if recipe.ema:
                from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

                self.ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))
        self.precision = profiles.precision(recipe.precision, self.device)
        self.optimizer = optimizer_for(recipe, self.model)
        self.scaler = torch.amp.GradScaler(self.device.type) if self.precision == torch.float16 else None
        self.epoch, self.order = -1, torch.empty(0)
        self.step, self.total_steps, self.seconds = 0, 0, 0.0
        self.losses: list[float] = []
        self.evaluations: list[tuple[int, float, float]] = []

    def to_the_end(self, minutes: float | None, save_seconds: float, report: Report) -> Trained:
        self.minutes = minutes
        if self.processes.rank:
            report = Report()
        elif self.folder:
            run_files.make_folder(self.folder)
        resumed = self._resume(report)
        if not resumed or self.step < self.total_steps:
            # How many steps there will be hangs on it where the time is given, and a moment's disturbance spoils it.
            patience = min(2.0, minutes) if minutes else 0.0
            self.forecast = self._forecast(patience)
            self.total_steps = self.total_steps or self._plan()
            compiled = self._compiled(patience, report)
            if compiled and not resumed:
                self.total_steps = self._plan()
            self.began = self.step, self.seconds
            report.start(self, self.forecast_from(self.step) + self._evaluations_ahead())
            try:
                with self._memory_for_batches(), _interrupted_between_steps() as interrupted:
                    self._loop(compiled, save_seconds, report, interrupted)
            finally:
                report.stop(self)
        final, device = self.ema.module if self.ema else self.model, profiles.described(self.device)
        precision = profiles.named(self.precision)
        return Trained(
            final.eval(), self.recipe, self.step, self.losses, self.evaluations, self.seconds, device, precision
        )

    def _loop(self, compiled: bool, save_seconds: float, report: Report, interrupted: list[int]) -> None:
        # About twice a second: each look at the losses waits for the device. All processes have to look together.
        together = self.processes.agreed(max(1, int(0.5 / max(self.forecast.values()))))
        started = saved = time.monotonic()
        before = self.seconds
        fresh: list[Tensor] = []
        model, size = None, None

        def settle() -> None:
            """Fetch the losses from the device, and look at them."""
            losses = self.processes.mean(fresh)
            fresh.clear()
            self.losses += losses
            self.seconds = before + time.monotonic() - started
            # A loss is that of the weights before its step: those after the last one need a look of their own.
            weights = (parameter.isfinite().all() for parameter in self.model.parameters())
            if not (all(map(math.isfinite, losses)) and torch.stack([*weights]).all()):
                rates = f"lr={self.recipe.lr:g}"
                if self.recipe.optimizer == "muon":
                    rates += f", muon_lr={self.recipe.muon_lr:g}"
                precision = "" if self.precision == torch.float32 else " or precision='float32'"
                raise TrainingError(
                    f"the loss is no number any more (step {self.step} of {self.total_steps}). Take a lower learning "
                    f"rate ({rates} now), a longer warm-up{precision}."
                )

        while self.step < self.total_steps:
            if model is None or size != self._size():
                size = self._resize()
                model = self.processes.wrapped(self.model)
                # dynamic=False: the second image size is not the first of many.
                model = torch.compile(model, dynamic=False) if compiled else model
            fresh.append(self._train_step(model, size))
            self.step += 1
            last = self.step == self.total_steps
            due = self._evaluation_due()
            if not (len(fresh) >= together or last or due):
                continue
            settle()
            stop = self.processes.any(bool(interrupted))
            pause = time.monotonic()
            if due:
                self._evaluate()
            report.step(self)
            if last or stop or pause - saved >= save_seconds:
                self._save(report)
                saved = time.monotonic()
            started += time.monotonic() - pause
            if stop:
                if self.folder:
                    report.notice(f"Stopped at step {self.step}. The same call goes on from the last checkpoint.")
                raise KeyboardInterrupt

    def _memory_for_batches(self) -> contextlib.AbstractContextManager[None]:
        return _memory_in_plain_words(
            self.device,
            f"batches of {self.recipe.batch_size}",
            "Halve batch_size and try again; a smaller dim or depth, or a larger patch_size, also helps.",
        )

    def _train_step(self, model: nn.Module, size: int) -> Tensor:
        recipe = self.recipe
        images, targets = self._batch(self.step, size)
        warmup = min(int(recipe.warmup * self.total_steps), self.total_steps - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = warmup_cosine(self.step, self.total_steps, warmup, group["peak_lr"])
        loss = train_step(
            model, self.optimizer, images, targets, precision=self.precision, scaler=self.scaler, clip=recipe.clip
        )
        if self.ema:
            self.ema.update_parameters(self.model)
        return loss

    def _batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """This process's share of the batch of a step, augmented: the seed and the step decide all of it."""
        recipe = self.recipe
        steps = len(self.labels) // recipe.batch_size
        epoch, place = divmod(step, steps)
        if epoch != self.epoch:
            order = torch.Generator().manual_seed(_seed(recipe.seed, epoch, "order"))
            self.epoch, self.order = epoch, torch.randperm(len(self.labels), generator=order).to(self.device)
        chosen = self.order[place * recipe.batch_size :][: recipe.batch_size]
        torch.manual_seed(_seed(recipe.seed, step, "step"))
        images, labels = self.images[chosen], self.labels[chosen]
        if recipe.padding is not None:
            images = random_crop_flip(images, recipe.padding)
        if recipe.policy:
            images = augmentation.policy(images, recipe.policy)
        images = augmentation.to_floats(images)
        if size != recipe.image_size:
            images = augmentation.resize(images, (size, size))
        kind = "mixup" if recipe.mixup and (not recipe.cutmix or torch.rand(()) < 0.5) else "cutmix"
        if alpha := getattr(recipe, kind):
            lam = torch.distributions.Beta(alpha, alpha).sample().item()
            partner = torch.randperm(len(labels), device=self.device)
            images, targets = getattr(augmentation, kind)(images, labels, lam, partner, self.classes)
            targets = targets * (1 - recipe.label_smoothing) + recipe.label_smoothing / self.classes
        else:
            targets = augmentation.one_hot(labels, self.classes, recipe.label_smoothing)
        rank, count = self.processes.rank, self.processes.count
        if rank:  # from here on, dropout: not the same in all processes
            torch.manual_seed(_seed(recipe.seed, step, f"process {rank}"))
        return images[rank::count], targets[rank::count]

    def _size(self) -> int:
        return self.recipe.size_at(self.step, self.total_steps) if self.grows else self.recipe.image_size

    def _resize(self) -> int:
        """Bring the model to the image size of the step to come."""
        size = self._size()
        if self.grows and self.model.image_size != (size, size):
            self._resize_models(size)
        return size

    def _resize_models(self, size: int) -> None:
        before = {id(parameter): name for name, parameter in self.model.named_parameters()}
        for model in (self.model, self.ema.module) if self.ema else (self.model,):
            resize_model(model, size)
        now = dict(self.model.named_parameters())
        for group in self.optimizer.param_groups:  # the positions are new
            for old in group["params"]:
                if now[before[id(old)]] is not old:
                    self.optimizer.state.pop(old, None)
            group["params"] = [now[before[id(old)]] for old in group["params"]]

    def _evaluation_due(self) -> bool:
        if self.test is None or not self.evaluations_wanted:
            return False
        share = self.evaluations_wanted / self.total_steps
        return math.floor(self.step * share) > math.floor((self.step - 1) * share) or self.step == self.total_steps

    def _evaluate(self) -> None:
        """On the test images, at the size they have: a model that is still growing is copied and grown for it."""
        model = self.ema.module if self.ema else self.model
        if self.grows and model.image_size != (self.recipe.image_size,) * 2:
            model = resize_model(copy.deepcopy(model), self.recipe.image_size)
        batch_size = min(500, self.recipe.batch_size)  # what fits in training fits here
        self.evaluations.append((self.step, self.seconds, evaluate(model, self.test, self.precision, batch_size)))

    # --- how long it will take ---

    def _forecast(self, patience: float, compiled: bool = False) -> dict[int, float]:
        """Seconds for a step at each image size: the middle of as many as fit into `patience` seconds, of 3 at least.

        They are made on a copy of the model. Compiling it is not counted.
        """
        model, optimizer = self.model, self.optimizer
        seconds = {}
        try:
            for size in sorted({*self.recipe.sizes} if self.grows else {self.recipe.image_size}):
                self.model = copy.deepcopy(model)
                if self.grows:
                    resize_model(self.model, size)
                self.optimizer = optimizer_for(self.recipe, self.model)
                copied = torch.compile(self.model, dynamic=False) if compiled else self.model
                times, began = [], time.monotonic()
                with self._memory_for_batches():
                    while len(times) < 5 or time.monotonic() - began < patience:
                        start = time.monotonic()
                        images, targets = self._batch(0, size)
                        # Fetching the loss waits for the device, whichever it is.
                        train_step(copied, self.optimizer, images, targets, precision=self.precision).item()
                        times.append(time.monotonic() - start)
                seconds[size] = statistics.median(times[2:])  # the first ones warm up
        finally:
            self.model, self.optimizer = model, optimizer
        return seconds

    def _plan(self) -> int:
        sizes = self.recipe.sizes if self.grows else (self.recipe.image_size,)
        if self.minutes is None:
            return max(len(sizes), round(self.recipe.epochs * (len(self.labels) // self.recipe.batch_size)))
        mean = sum(self.forecast[size] for size in sizes) / len(sizes)
        return self.processes.agreed(max(len(sizes), int(self.minutes * 60 / mean)))

    def forecast_from(self, step: int) -> float:
        """Seconds for the steps to come, as measured before the start."""
        sizes = self.recipe.sizes if self.grows else (self.recipe.image_size,)
        ends = [self.total_steps * (i + 1) / len(sizes) for i in range(len(sizes))]
        return sum(
            self.forecast[size] * max(0, end - max(step, begin))
            for size, begin, end in zip(sizes, [0, *ends], ends, strict=False)
        )

    def seconds_left(self) -> float:
        """The same, corrected by how quick the steps until now were."""
        step, seconds = self.began
        left = self.forecast_from(self.step)
        expected = self.forecast_from(step) - left
        corrected = left * (self.seconds - seconds) / expected if expected else left
        return corrected + self._evaluations_ahead()

    def _evaluations_ahead(self) -> float:
        """Seconds for the evaluations to come: forward alone, which is about a third of a step."""
        if self.test is None:
            return 0.0
        ahead = self.evaluations_wanted - math.floor(self.step * self.evaluations_wanted / self.total_steps)
        return ahead * len(self.test) * self.forecast[self.recipe.image_size] / self.recipe.batch_size / 3

    def _wants_compiling(self) -> bool:
        """Compiling takes a GPU about a minute for each image size, and saves a fifth or more of a step."""
        if self.recipe.compile is None:
            return self.device.type == "cuda" and self.forecast_from(self.step) > 300 * len(self.forecast)
        return self.recipe.compile

    def _compiled(self, patience: float, report: Report) -> bool:
        """Whether to use `torch.compile`; if so, the forecast becomes that of the compiled model."""
        if not self.processes.agreed(self._wants_compiling()):
            return False
        failure = None
        try:
            forecast = self._forecast(patience, compiled=True)
        except TrainingError:
            raise
        except Exception as error:  # many kinds; the same steps have just worked without it
            failure = error
        if not self.processes.any(failure is not None):
            self.forecast = forecast
            return True
        if self.recipe.compile:
            raise TrainingError(
                f"torch.compile does not work here ({type(failure).__name__}): it needs a C++ compiler, and on a GPU "
                "triton. Take compile=False."
            ) from failure
        report.notice("torch.compile does not work here; training goes on without it.")
        return False

    # --- checkpoints ---

    def _save(self, report: Report) -> None:
        if self.folder is None or self.processes.rank:
            return
        state = {
            "recipe": dataclasses.asdict(self.recipe),
            "data": self.fingerprint,
            "minutes": self.minutes,
            "step": self.step,
            "total_steps": self.total_steps,
            "seconds": self.seconds,
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "evaluations": self.evaluations,
            "image_size": self.model.image_size[0] if self.grows else None,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "precision": profiles.named(self.precision),
        }
        try:
            run_files.save_checkpoint(self.folder, self.step, state)
        except run_files.StorageError as error:  # no reason to throw away the work of an hour
            report.notice(f"No checkpoint at step {self.step}: {error} Training goes on.")

    def _resume(self, report: Report) -> bool:
        for path in self.processes.agreed(run_files.checkpoints(self.folder) if self.folder else []):
            # Another machine may not see the folder.
            state = self.processes.agreed(None if self.processes.rank else run_files.load_checkpoint_file(path))
            if state is None:
                report.notice(f"{path} is damaged and left aside; an earlier checkpoint is used if there is one.")
                continue
            self._refuse_another(state, path)
            self.step, self.total_steps = state["step"], state["total_steps"]
            try:
                if self.grows:
                    self._resize_models(state["image_size"])
                self.model.load_state_dict(state["model"])
                self.optimizer.load_state_dict(state["optimizer"])
                if self.ema:
                    self.ema.load_state_dict(state["ema"])
                if self.scaler and state["scaler"]:
                    self.scaler.load_state_dict(state["scaler"])
            except (RuntimeError, ValueError) as error:
                raise TrainingError(
                    f"{path.parent} holds a run of another model. Give another folder, or the model of that run."
                ) from error
            self.seconds, self.losses = state["seconds"], state["losses"].tolist()
            self.evaluations = [tuple(evaluation) for evaluation in state["evaluations"]]
            report.notice(f"Going on from {path} (step {self.step} of {self.total_steps}).")
            before, now = state["precision"], profiles.named(self.precision)
            if before != now:  # Colab lends an A100 one day and a T4 the next
                report.notice(
                    f"It was in {before} until there, and goes on in {now}, which is quick on this device: its weights "
                    "will not be quite those of a run that never moved."
                )
            return True
        return False

    def _refuse_another(self, state: dict[str, Any], path: Path) -> None:
        ours = {**dataclasses.asdict(self.recipe), "minutes": self.minutes}
        # What recipes did not have at that time was as it is by default.
        theirs = {**dataclasses.asdict(Recipe()), **state["recipe"], "minutes": state["minutes"]}
        different = [
            f"{name} was {theirs[name]!r} and is {ours[name]!r}" for name in sorted(ours) if ours[name] != theirs[name]
        ]
        if state["data"] != self.fingerprint:
            different.append("the images are not the same")
        if different:
            raise TrainingError(
                f"{path.parent} holds another run: {'; '.join(different)}. "
                "Give another folder, delete this one, or start it as that run was started."
            )


@contextlib.contextmanager
def _memory_in_plain_words(device: torch.device, what: str, advice: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = str(error).lower()
        if not (isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said):
            raise
        traceback.clear_frames(error.__traceback__)  # or a notebook would keep all that they hold in memory
        raise TrainingError(f"not enough memory for {what} on {profiles.described(device)}. {advice}") from error


@contextlib.contextmanager
def _interrupted_between_steps() -> Iterator[list[int]]:
    """Ctrl-C, Jupyter's stop button and SIGTERM wait for the end of a step: in the middle, a model is half updated.

    Yields:
        A list that is empty until then. A second signal does not wait.
    """
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # Python gives signals to the main thread only
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fingerprint(images: ImageSet) -> str:
    """Tells one set of images from another; a sum is enough, no one is trying to deceive."""
    digest = hashlib.sha256(images.labels.numpy().tobytes())
    digest.update(images.images.sum(dim=(1, 2, 3), dtype=torch.int64).numpy().tobytes())
    return digest.hexdigest()


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")
