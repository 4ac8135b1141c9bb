"""The experiments whose results the lessons show, to be made again: python -m vit_course.experiments NAME."""

import argparse
import sys
from pathlib import Path

from vit_course.data import load_images
from vit_course.experiments import finetuning, hybrids, ingredients


def _ingredients(options: argparse.Namespace) -> None:
    images = load_images("cifar10", limit=ingredients.LEARNED_FROM + ingredients.HELD_OUT)
    if images.name != "cifar10":
        raise ValueError("this experiment is about CIFAR-10, and these are other images: see above.")
    images = ingredients.smaller(images, ingredients.SIZE)
    first = ingredients.LEARNED_FROM
    sets = images.some(slice(first)), images.some(slice(first, None))
    table = options.out or ingredients.TABLE
    ingredients.measure(*sets, table)
    ingredients.measure(*sets, ingredients.short(table), steps=ingredients.FEW_STEPS)


def _finetuning(options: argparse.Namespace) -> None:
    finetuning.measure(options.out or finetuning.TABLE)


def _hybrids(options: argparse.Namespace) -> None:
    hybrids.measure(options.out or hybrids.TABLE)


EXPERIMENTS = {"finetuning": _finetuning, "hybrids": _hybrids, "ingredients": _ingredients}


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vit_course.experiments", description=__doc__)
    parser.add_argument("name", choices=EXPERIMENTS)
    parser.add_argument("--out", type=Path, help="the table to write, instead of the course's own")
    options = parser.parse_args(argv)
    try:
        EXPERIMENTS[options.name](options)
    except (ValueError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
