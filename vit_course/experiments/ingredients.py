"""What each ingredient of the recipe `fast` buys: it is trained without one at a time, or with one more.

    python -m vit_course.experiments ingredients

makes the tables `ingredients.json` and `ingredients-short.json`, of a third of the steps, beside this file; lesson 08
draws both.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from vit_course.data import ImageSet
from vit_course.paths import write_whole
from vit_course.training.loop import train
from vit_course.training.recipes import RECIPES, Recipe
from vit_course.training.reporting import Report

TABLE = Path(__file__).with_suffix(".json")


def short(table: Path) -> Path:
    """Where the table of the shorter runs is, beside that of the longer ones."""
    return table.with_stem(f"{table.stem}-short")


SHORT = short(TABLE)
AS_IT_IS = "fast as it is"
# Each name says what is done to the recipe. AdamW's rate is the best of those tried in benchmarks/ideas.md.
CHANGES: dict[str, dict] = {
    AS_IT_IS: {},
    "no crops, no flips": {"padding": None},
    "no warm-up": {"warmup": 0.0},
    "AdamW in place of Muon": {"optimizer": "adamw", "lr": 1e-3},
    "no mimetic attention": {"init": "fan_in"},
    "no whitened patches": {"whiten": False},
    "PyTorch's own start": {"init": "torch", "whiten": False},
    "with label smoothing": {"label_smoothing": 0.1},
    "with mixup": {"mixup": 0.2},
}
SEEDS = (0, 1, 2)
# Small enough for two slow cores: pictures of half the size, which the recipe does not grow, in half batches.
SIZE, BATCH_SIZE, LEARNED_FROM, HELD_OUT, STEPS, FEW_STEPS = 16, 64, 2_500, 2_500, 450, 150


class Effect(NamedTuple):
    """What one change did.

    Attributes:
        name: of the change.
        accuracies: on held-out images (0 … 1), one for each seed.
        difference: of their mean to that of the recipe as it is; what is below 0 costs accuracy.
    """

    name: str
    accuracies: tuple[float, ...]
    difference: float


class Ingredients(NamedTuple):
    """The table.

    Attributes:
        effects: the recipe as it is first.
        noise: a difference up to this one may be chance: twice its standard error, from how far runs that differ in
            their seed alone lie apart.
        conditions: on what it was measured, in a sentence: images, steps, seeds, hardware, dates.
    """

    effects: tuple[Effect, ...]
    noise: float
    conditions: str


def recipe_with(change: str, seed: int, images: ImageSet, steps: int = STEPS) -> Recipe:
    """The recipe `fast`, changed as `change` says, for so many steps on these images, at the size they have."""
    fast = RECIPES["fast"].recipe
    size, epochs = images.images.shape[-1], steps / max(1, len(images) // BATCH_SIZE)  # `train` refuses too few
    grown = fast.sizes if size == fast.image_size else ()
    here = {"image_size": size, "sizes": grown, "batch_size": BATCH_SIZE, "epochs": epochs, "seed": seed}
    return dataclasses.replace(fast, **here, **CHANGES[change])


def smaller(images: ImageSet, size: int) -> ImageSet:
    """The same pictures with fewer pixels: each is the mean of a square of them."""
    means = F.adaptive_avg_pool2d(images.images.float(), size)
    return dataclasses.replace(images, images=means.round().byte())


def measure(
    images: ImageSet,
    held_out: ImageSet,
    table: Path = TABLE,
    *,
    steps: int = STEPS,
    seeds: tuple[int, ...] = SEEDS,
    say: Callable[[str], None] = print,
) -> None:
    """Train once for each change and seed, and write each result into the table as soon as it is there.

    What the table holds is not done again, so a run that was killed loses one training at most.

    Raises:
        ValueError: the table is of other images or another number of steps.
    """
    facts = {
        "images": images.source,
        "size": images.images.shape[-1],
        "learned_from": len(images),
        "held_out": len(held_out),
        "steps": steps,
    }
    kept = json.loads(table.read_text()) if table.exists() else {**facts, "runs": []}
    if any(kept[name] != fact for name, fact in facts.items()):
        raise ValueError(f"{table} was measured otherwise than {facts}. Name another file with --out.")
    done = {(run["change"], run["seed"]) for run in kept["runs"]}
    for seed, change in ((seed, change) for seed in seeds for change in CHANGES):
        if (change, seed) in done:
            continue
        recipe = recipe_with(change, seed, images, steps)
        trained = train(recipe, images, held_out, evaluations=1, report=Report())
        run = {"change": change, "seed": seed, "accuracy": trained.accuracy, "seconds": round(trained.seconds, 1)}
        where = f"{trained.device}, torch {torch.__version__}"
        kept["runs"].append({**run, "hardware": where, "date": time.strftime("%Y-%m-%d")})
        write_whole(table, json.dumps(kept, indent=1).encode())
        say(f"{change}, seed {seed}: {trained.accuracy:.1%} after {trained.seconds:.0f} s")


def noise(groups: Sequence[Sequence[float]]) -> float:
    """A difference of two groups' means up to this one may be chance: twice its standard error.

    Args:
        groups: two or more runs each, that differ in their seed alone. One spread is taken for all groups, since three
            runs alone say little about theirs.
    """
    variance = statistics.fmean(statistics.variance(found) for found in groups)
    return 2 * (2 * variance / min(map(len, groups))) ** 0.5


def measured(table: Path = TABLE) -> Ingredients:
    """Read the table.

    Raises:
        ValueError: it holds less than two runs of a change, so that nothing can be said of chance.
    """
    kept = json.loads(table.read_text())
    by_change = {
        change: tuple(run["accuracy"] for run in kept["runs"] if run["change"] == change) for change in CHANGES
    }
    if min(map(len, by_change.values())) < 2:
        raise ValueError(f"{table} is not complete: python -m vit_course.experiments ingredients goes on with it.")
    means = {change: statistics.fmean(accuracies) for change, accuracies in by_change.items()}
    effects = [Effect(change, found, means[change] - means[AS_IT_IS]) for change, found in by_change.items()]
    count = min(map(len, by_change.values()))
    hardware, dates = (sorted({run[fact] for run in kept["runs"]}) for fact in ("hardware", "date"))
    side = f"{kept['size']} × {kept['size']}"
    conditions = (
        f"{kept['steps']} steps of {BATCH_SIZE}, learning from {kept['learned_from']:,} training images of {side} "
        f"pixels; {count} seeds each. Accuracy on {kept['held_out']:,} other training images. Images: CIFAR-10, "
        f"{kept['images']}. Machine: {'; '.join(hardware)}; {' and '.join(dates)}."
    )
    return Ingredients(tuple(effects), noise([*by_change.values()]), conditions)
