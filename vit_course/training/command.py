"""`vit-course train`: run a recipe from the command line, and keep what comes out of it."""

import argparse
import contextlib
import dataclasses
import os
import shlex
import sys
import time
import typing
from pathlib import Path
from typing import Any

import torch

from vit_course import checkpoints
from vit_course.data import ImageSet, load_images
from vit_course.training import RECIPES, Recipe, Trained, TrainingError, train
from vit_course.training.expectations import CURVES
from vit_course.training.guards import memory_in_plain_words
from vit_course.training.processes import launched

WEIGHTS = "model.safetensors"


def main(options: argparse.Namespace) -> int:
    """Returns the exit status. A KeyboardInterrupt passes through."""
    if options.recipe is None and (options.set or options.data or options.out or options.minutes is not None):
        print("Say which recipe, in front: vit-course train fast … (--list shows them all).", file=sys.stderr)
        return 1
    if options.list or options.recipe is None:
        for name, (data, recipe) in RECIPES.items():
            print(f"{name:<16}for {data}\n{'':<16}{described(recipe)}")
            print(f"{'':<16}{CURVES.get(name, 'not measured yet')}\n")
        return 0
    try:
        if options.recipe not in RECIPES:
            raise ValueError(f"there is no recipe {options.recipe!r}; there are {', '.join(RECIPES)}.")
        data, recipe = RECIPES[options.recipe]
        recipe = changed(recipe, options.set)
        if options.data is None and data not in ("cifar10", "shapes", "where"):
            raise ValueError(f"{options.recipe} is for {data}: say where it lies, --data FOLDER.")
        folder = options.out or Path("runs") / options.recipe
        rank = int(os.environ["RANK"]) if launched() else 0  # of several processes, the first one speaks and writes
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere if rank else sys.stdout):
            images, test = _loaded(options.data or data, recipe)
            if not rank:
                _rehearse(recipe, folder / WEIGHTS, images, test, options.given)
            trained = train(recipe, images, test, minutes=options.minutes, folder=folder)
        if not rank:
            keep(trained, folder / WEIGHTS, images, test, options.given)
    except (ValueError, OSError, TrainingError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


def _loaded(data: str, recipe: Recipe) -> tuple[ImageSet, ImageSet]:
    named = data in ("cifar10", "shapes", "where")
    size = None if named else recipe.image_size
    test = load_images(data, "test", size=size)  # first: few images, so that what is wrong shows early
    if named and test.name != data:
        raise ValueError(f"{data} is not to be had here (see above), and other images are taken only if you say so.")
    return load_images(data, size=size), test


def changed(recipe: Recipe, settings: list[str]) -> Recipe:
    """The recipe with settings such as "lr=2e-3" or "sizes=16,24,32".

    Raises:
        ValueError: an unknown name, or a value of the wrong kind.
    """
    kinds = typing.get_type_hints(Recipe)
    values = {}
    for setting in settings:
        name, given, text = setting.partition("=")
        if not given or name not in kinds:
            raise ValueError(f"--set takes NAME=VALUE with a NAME of {', '.join(kinds)}; got {setting!r}.")
        try:
            values[name] = _read(text, kinds[name])
        except ValueError as error:
            raise ValueError(f"{setting}: {error}") from error
    return dataclasses.replace(recipe, **values)


def _read(text: str, kind: Any) -> Any:
    """A value from the command line, of the kind that its field in the recipe has."""
    if type(None) in typing.get_args(kind) and text.lower() == "none":
        return None
    if typing.get_origin(kind) is tuple:
        number = typing.get_args(kind)[0]
        return tuple(number(part) for part in text.split(",") if part)
    for option in (kind, *typing.get_args(kind)):
        if option is bool:
            if text.lower() not in ("true", "false"):
                raise ValueError("true or false?")
            return text.lower() == "true"
        if option in (int, float):
            return option(text)
    return text


def described(recipe: Recipe) -> str:
    """The recipe in a line: what differs from the defaults."""
    plain = Recipe()
    return ", ".join(
        f"{field.name}={getattr(recipe, field.name)}"
        for field in dataclasses.fields(recipe)
        if getattr(recipe, field.name) != getattr(plain, field.name)
    )


def _rehearse(recipe: Recipe, path: Path, images: ImageSet, test: ImageSet, command: list[str]) -> None:
    """Do what `keep` will do with the untrained model, so that what stands in its way is said now and not hours later.

    Raises:
        ValueError, StorageError: as `keep`.
        TrainingError: the model does not fit into memory.
    """
    with memory_in_plain_words(torch.device("cpu"), "the model", "Take a smaller dim, mlp_dim or depth."):
        model = recipe.build(len(images.classes), images.images.shape[1])
    untrained = Trained(model, recipe, steps=0, losses=[], evaluations=[], seconds=0.0, device="", precision="")
    checkpoints.try_to_save(model, path, _facts(untrained, images, test, command))


def keep(trained: Trained, path: Path, images: ImageSet, test: ImageSet, command: list[str]) -> None:
    """Write the weights and their card, and say so. The command's arguments stand in the card.

    Raises:
        ValueError: the card cannot be written as JSON.
        StorageError: the folder cannot be written, or the disk is full.
    """
    checkpoints.save_weights(trained.model, path, _facts(trained, images, test, command))
    print(f"{trained.accuracy:.2%} of {len(test):,} test images right.")
    print(f"Weights: {path}. Their card: {path.with_suffix('.json')}.")


def _facts(trained: Trained, images: ImageSet, test: ImageSet, command: list[str]) -> dict[str, Any]:
    """What the card says."""
    return {
        "classes": list(images.classes),
        "data": f"{images.name}: {len(images):,} training images, {images.source}",
        "accuracy": trained.accuracy,
        "measured_on": f"{len(test):,} test images",
        "steps": trained.steps,
        "epochs": round(trained.steps * trained.recipe.batch_size / len(images), 2),
        "minutes": round(trained.seconds / 60, 1),
        "hardware": trained.device,
        "precision": trained.precision,
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["vit-course", *command]),
        "recipe": dataclasses.asdict(trained.recipe),
    }
