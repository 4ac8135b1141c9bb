"""Training: the loop that runs a recipe.

    images, test = load_images("cifar10"), load_images("cifar10", "test")
    trained = train(RECIPES["fast"].recipe, images, test, minutes=5)
    trained.model, trained.accuracy

What is random in a step depends on the seed and the number of the step alone: a run that was killed goes on as if it
had not been, and two processes do together what one does.
"""

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vit_course import profiles
from vit_course.data import ImageSet
from vit_course.paths import StorageError
from vit_course.training import chance
from vit_course.training.forecast import measured
from vit_course.training.guards import TrainingError, interrupted_between_steps, memory_in_plain_words
from vit_course.training.recipes import Recipe
from vit_course.training.reporting import Report, report_here
from vit_course.training.run import Run
from vit_course.training.snapshots import Snapshots


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

    Started again with the same folder, recipe and images, it goes on from the last snapshot, and ends with the
    weights it would have had without the interruption (on a CPU, bit for bit). Under `torchrun`, the processes share
    each batch.

    Args:
        recipe: what to do.
        images: to learn from, as large as the recipe's image_size.
        test: to measure accuracy on, along the way and at the end. They decide nothing.
        minutes: take as many steps as fit into this time, judged from a few measured ones; else `recipe.epochs` counts.
            Evaluations come on top.
        folder: for snapshots; None keeps none.
        model: trained in place of the recipe's ViT; must take float images (B, C, H, W) and give (B, classes).
        device: the fastest there is if not given.
        evaluations: how many times to measure accuracy, the last one at the end.
        save_seconds: time between snapshots.
        report: shows how it goes; if not given, what suits a notebook, a terminal or a log file.

    Raises:
        ValueError: the images do not fit the recipe; an impossible number of minutes; no such device.
        StorageError: the folder cannot be written. (A disk that is full later on ends no training.)
        TrainingError: the loss is no number any more; memory is used up; a snapshot is another run's; `torch.compile`
            was asked for and does not work.
        KeyboardInterrupt: passes through. With a folder, a first one waits for the end of a step and for a snapshot.
    """
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"minutes are more than 0; got {minutes:g}.")
    run = Run(recipe, images, test, model=model, device=device, minutes=minutes, evaluations=evaluations)
    first = run.processes.rank == 0  # of several processes, the first one speaks and writes
    report = (report or report_here()) if first else Report()
    snapshots = Snapshots(folder) if folder else None
    if snapshots and first:
        snapshots.make_folder()
    with chance.borrowed(run.device):
        resumed = snapshots is not None and _resume(run, snapshots, report)
        if not resumed or run.step < run.total_steps:
            with _memory_for_batches(run):
                compiled = _prepare(run, resumed, report)
                report.start(run, run.seconds_left())
                try:
                    with interrupted_between_steps() as interrupted:
                        _to_the_end(run, compiled, snapshots, save_seconds, report, interrupted)
                finally:
                    report.stop(run)
    where, precision = profiles.described(run.device), profiles.named(run.precision)
    best = run.learner.best.eval()
    return Trained(best, recipe, run.step, run.losses, run.evaluations, run.seconds, where, precision)


def _resume(run: Run, snapshots: Snapshots, report: Report) -> bool:
    """Bring a run to where its newest whole snapshot stands. Returns whether there is one."""
    for path in run.processes.agreed(snapshots.paths()):
        # Another machine may not see the folder.
        state = run.processes.agreed(None if run.processes.rank else snapshots.read(path))
        if state is None:
            report.notice(f"{path} is damaged and left aside; an earlier snapshot is used if there is one.")
            continue
        try:
            run.load_state_dict(state)
        except ValueError as error:
            raise TrainingError(f"{path.parent} holds {error}") from error
        report.notice(f"Going on from {path} (step {run.step} of {run.total_steps}).")
        before, now = state["precision"], profiles.named(run.precision)
        if before != now:  # Colab lends an A100 one day and a T4 the next
            report.notice(
                f"It was in {before} until there, and goes on in {now}, which is quick on this device: its weights "
                "will not be quite those of a run that never moved."
            )
        return True
    return False


def _prepare(run: Run, resumed: bool, report: Report) -> bool:
    """Measure a few steps, and decide how many there will be. Returns whether to compile the model."""
    # How many steps there will be hangs on it where the time is given, and a moment's disturbance spoils it.
    patience = min(2.0, run.minutes) if run.minutes else 0.0
    run.begin(measured(run.learner, run.batches, patience), resumed)
    if not run.processes.agreed(_wants_compiling(run)):
        return False
    failure = None
    try:
        with _memory_for_batches(run):
            forecast = measured(run.learner, run.batches, patience, compiled=True)
    except TrainingError:
        raise
    except Exception as error:  # many kinds; the same steps have just worked without it
        failure = error
    if not run.processes.any(failure is not None):
        run.begin(forecast, resumed)
        return True
    if run.recipe.compile:
        raise TrainingError(
            f"torch.compile does not work here ({type(failure).__name__}): it needs a C++ compiler, and on a GPU "
            "triton. Take compile=False."
        ) from failure
    report.notice("torch.compile does not work here; training goes on without it.")
    return False


def _wants_compiling(run: Run) -> bool:
    """Compiling takes a GPU about a minute for each image size, and saves a fifth or more of a step."""
    if run.recipe.compile is None:
        ahead = run.forecast.ahead(run.step, run.total_steps)
        return run.device.type == "cuda" and ahead > 300 * len(run.forecast.seconds)
    return run.recipe.compile


def _to_the_end(
    run: Run,
    compiled: bool,
    snapshots: Snapshots | None,
    save_seconds: float,
    report: Report,
    interrupted: list[int],
) -> None:
    """Take step after step; about twice a second look how it goes; now and then evaluate, and save."""
    # Each look at the losses waits for the device. All processes have to look together.
    together = run.processes.agreed(max(1, int(0.5 / run.forecast.quickest)))
    saved = time.monotonic()
    started = saved - run.seconds
    fresh: list[Tensor] = []
    model, size = None, None
    while run.step < run.total_steps:
        if model is None or size != run.size():
            size = run.size()
            model = _model_for(run, size, compiled)
        fresh.append(run.learner.learn(model, *run.batches.at(run.step, size), run.step, run.total_steps))
        run.step += 1
        last, due = run.step == run.total_steps, run.evaluation_due()
        if not (len(fresh) >= together or last or due):
            continue
        losses = run.processes.mean(fresh)
        fresh.clear()
        pause = time.monotonic()
        run.note(losses, pause - started)
        stop = run.processes.any(bool(interrupted))
        if due:
            run.evaluate()
        report.step(run)
        if snapshots and (last or stop or pause - saved >= save_seconds):
            _save(run, snapshots, report)
            saved = time.monotonic()
        started += time.monotonic() - pause
        if stop:
            if snapshots:
                report.notice(f"Stopped at step {run.step}. The same call goes on from the last snapshot.")
            raise KeyboardInterrupt


def _model_for(run: Run, size: int, compiled: bool) -> nn.Module:
    """The model, brought to an image size, shared by the processes, compiled."""
    run.learner.resize(size)
    model = run.processes.wrapped(run.model)
    # dynamic=False: the second image size is not the first of many.
    return torch.compile(model, dynamic=False) if compiled else model


def _save(run: Run, snapshots: Snapshots, report: Report) -> None:
    if run.processes.rank:
        return
    try:
        snapshots.save(run.step, run.state_dict())
    except StorageError as error:  # no reason to throw away the work of an hour
        report.notice(f"No snapshot at step {run.step}: {error} Training goes on.")


def _memory_for_batches(run: Run) -> AbstractContextManager[None]:
    return memory_in_plain_words(
        run.device,
        f"batches of {run.recipe.batch_size}",
        "Halve batch_size and try again; a smaller dim or depth, or a larger patch_size, also helps.",
    )
