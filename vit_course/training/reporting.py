"""How a training run is going: a live curve in a notebook, a bar in a terminal, a few lines in a log file."""

import contextlib
import sys
import time
from typing import Protocol

import torch
from torch import Tensor, nn

from vit_course import profiles
from vit_course.training.expectations import expected_of
from vit_course.training.recipes import Recipe


class Run(Protocol):
    """What a report looks at: a training run as it stands.

    Attributes:
        recipe, model, device, precision: what is trained, how and where.
        brought: whether the model is another one than the recipe's.
        data: the name of the images.
        labels: of the images.
        step, total_steps: steps done, and to be done in all.
        seconds: of training until now.
        losses: of every step until now.
        evaluations: (step, seconds, accuracy on the test images).
    """

    recipe: Recipe
    model: nn.Module
    device: torch.device
    precision: torch.dtype
    brought: bool
    data: str
    labels: Tensor
    step: int
    total_steps: int
    seconds: float
    losses: list[float]
    evaluations: list[tuple[int, float, float]]

    def seconds_left(self) -> float:
        """Until the end, about."""


class Report:
    """Says nothing: `train(…, report=Report())`. The others add to it."""

    def start(self, run: Run, seconds: float) -> None:
        """Before the first step; `seconds` is how long it will take."""

    def step(self, run: Run) -> None:
        """About twice a second, or after every step where that takes longer."""

    def notice(self, text: str) -> None:
        """Something that must be known."""

    def stop(self, run: Run) -> None:
        """At the end, whatever ended it."""


def say(text: str) -> None:
    """Print at once. A log that is full, or lacks a character, must not end a training."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with contextlib.suppress(OSError):
        print(text.encode(encoding, "replace").decode(encoding), flush=True)


class Printed(Report):
    """A line now and then, ten over the whole run: for logs."""

    def start(self, run: Run, seconds: float) -> None:
        say(announcement(run, seconds))
        self.next = run.step

    def step(self, run: Run) -> None:
        if run.step >= self.next or run.step == run.total_steps:
            say(status(run))
            self.next = run.step + max(1, run.total_steps // 10)

    def notice(self, text: str) -> None:
        say(text)


class Bar(Report):
    """tqdm's bar, in a terminal."""

    bar = None

    def start(self, run: Run, seconds: float) -> None:
        from tqdm import tqdm

        say(announcement(run, seconds))
        self.bar = tqdm(total=run.total_steps, initial=run.step, unit=" steps", dynamic_ncols=True)

    def step(self, run: Run) -> None:
        self.bar.set_postfix_str(", ".join(figures(run)), refresh=False)
        self.bar.update(run.step - self.bar.n)

    def notice(self, text: str) -> None:
        if self.bar is None:
            say(text)
        else:
            self.bar.write(text)

    def stop(self, run: Run) -> None:
        if self.bar is not None:
            self.bar.close()


class Curve(Report):
    """The loss and the accuracy, drawn while they come, and a line with the time left: in a notebook."""

    EVERY = 3.0  # seconds; drawing takes a tenth of one

    def start(self, run: Run, seconds: float) -> None:
        from IPython.display import display

        say(announcement(run, seconds))
        self.drawn = time.monotonic()
        self.line = display({"text/plain": status(run)}, raw=True, display_id=True)
        self.picture = None

    def step(self, run: Run) -> None:
        if time.monotonic() - self.drawn >= self.EVERY:
            self._show(run)

    def notice(self, text: str) -> None:
        say(text)

    def stop(self, run: Run) -> None:
        self._show(run)

    def _show(self, run: Run) -> None:
        from IPython.display import display

        from vit_course.plots import training_curve

        self.line.update({"text/plain": status(run)}, raw=True)
        if run.losses:
            data, metadata = training_curve(run.losses, run.evaluations, run.total_steps)._repr_mimebundle_()
            if self.picture is None:
                self.picture = display(data, raw=True, metadata=metadata, display_id=True)
            else:
                self.picture.update(data, raw=True, metadata=metadata)
        self.drawn = time.monotonic()


def report_here() -> Report:
    """What suits the place: a notebook, a terminal, or something that only takes lines."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return Curve()
    return Bar() if sys.stderr.isatty() else Printed()


def announcement(run: Run, seconds: float) -> str:
    """What is about to happen, how long it will take here, and what to expect of it."""
    recipe = run.recipe
    model = f"{type(run.model).__name__} with {sum(p.numel() for p in run.model.parameters()):,} parameters"
    steps = run.total_steps - run.step
    epochs = steps * recipe.batch_size / len(run.labels)
    lines = [
        f"{model} on {run.data}, {len(run.labels):,} images: {steps:,} steps of {recipe.batch_size}, "
        f"{epochs:.1f} epochs. About {duration(seconds)} on {profiles.described(run.device)}, "
        f"in {profiles.named(run.precision)} (a few steps were measured)."
    ]
    expect = expected_of(recipe, run.data, len(run.labels), run.total_steps)
    if expect and not run.brought:
        lines.append(f"Expect {expect}.")
    return "\n".join(lines)


def status(run: Run) -> str:
    """One line: how far, how good, how long still."""
    done = round(20 * run.step / run.total_steps)
    parts = [f"{'█' * done}{'░' * (20 - done)} step {run.step:,} of {run.total_steps:,}", *figures(run)]
    if run.step == run.total_steps:
        parts.append(f"{duration(run.seconds)} of training")
    else:
        parts.append(f"about {duration(run.seconds_left())} left")
    return " · ".join(parts)


def figures(run: Run) -> list[str]:
    parts = []
    if run.losses:
        recent = run.losses[-20:]
        parts.append(f"loss {sum(recent) / len(recent):.3f}")
    if run.evaluations:
        parts.append(f"accuracy {run.evaluations[-1][2]:.1%}")
    return parts


def duration(seconds: float) -> str:
    """Seconds in words: "12 s", "4 min 30 s", "2 h 05 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
