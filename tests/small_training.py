"""Runs of a second or less, for the tests of training; and their processes, which pytest must not be."""

import multiprocessing
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vit_course.data import ImageSet, load_images
from vit_course.training import Recipe, Trained
from vit_course.training.reporting import Report

SMALL = Recipe(dim=16, depth=1, heads=2, mlp_dim=32, batch_size=32, epochs=3, lr=3e-3, precision="float32")
# Everything that leaves a trace in a snapshot or draws random numbers.
FULL = replace(
    SMALL, sizes=(16, 24, 32), ema=0.9, dropout=0.1, mixup=0.2, cutmix=1.0, label_smoothing=0.1, weight_decay=0.1
)
STEPS = 24  # of both, with 256 images
SLOW_TO_IMPORT = ["vit_course.training", "torch._dynamo", "torch.distributions", "torch.optim.swa_utils", "pytest"]


def images(split: str = "train", limit: int | None = None) -> ImageSet:
    return load_images("shapes", split, limit=limit or {"train": 256, "test": 40}[split])


def weights(trained: Trained) -> dict[str, Tensor]:
    return trained.model.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Recorded(Report):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.seconds: list[float] = []
        self.steps: list[int] = []
        self.stopped = 0

    def start(self, run: Any, seconds: float) -> None:
        self.seconds.append(seconds)

    def step(self, run: Any) -> None:
        self.steps.append(run.step)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stop(self, run: Any) -> None:
        self.stopped += 1


def in_another_process(function, *arguments) -> int:
    """Run a function of a module there. Returns the exit code: 0, or minus the signal that killed it."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(SLOW_TO_IMPORT)
    else:
        context = multiprocessing.get_context("spawn")
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join(120)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError("the process did not end")
    return process.exitcode
