"""What to expect of a recipe after so many steps: its accuracy for several lengths of training, three seeds each.

    VIT_COURSE_DATA=… python benchmarks/expectations.py                  # fast and baseline: about two hours
    VIT_COURSE_DATA=… python benchmarks/expectations.py --only fast --steps 300 600

Before a training starts, the course says what to expect. That hangs on how many steps fit into the time, not on the
minutes, so it is measured by steps; a schedule always ends with its run, so each length is a run of its own. How quick
this machine is does not matter. Finished runs are kept in `build/expectations/`, so that a stopped one goes on. The
result goes into benchmarks/README.md; from there it is copied into `vit_course/training/expectations.py`.
"""

import argparse
import json
import shlex
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import mean

from machine import describe, write_section

from vit_course.data import ImageSet, load_images
from vit_course.training import RECIPES, train

KEPT = Path(__file__).resolve().parent.parent / "build" / "expectations"
SEEDS = (0, 1, 2)


def measure(name: str, steps: int, seed: int, images: ImageSet, test: ImageSet) -> float:
    """The accuracy on the test images after a run of so many steps, or what an earlier start of it got."""
    named = RECIPES[name].recipe
    recipe = replace(named, seed=seed, epochs=steps / (len(images) // named.batch_size))
    kept, stamp = KEPT / f"{name}-{steps}-{seed}.json", {"recipe": repr(recipe), "images": images.source}
    if kept.exists() and (found := json.loads(kept.read_text()))["stamp"] == stamp:
        return found["accuracy"]
    trained = train(recipe, images, test, folder=KEPT / f"{name}-{steps}-{seed}", evaluations=1)
    assert trained.steps == steps
    kept.write_text(json.dumps({"stamp": stamp, "accuracy": trained.accuracy, "seconds": trained.seconds}))
    return trained.accuracy


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=["fast", "baseline"], help="these recipes")
    parser.add_argument("--steps", nargs="+", type=int, default=[300, 600, 1200, 2400], help="lengths of training")
    options = parser.parse_args(argv)
    images, test = load_images("cifar10"), load_images("cifar10", "test")
    if images.name != "cifar10":
        sys.exit("This benchmark is about CIFAR-10, and these are other images: see above.")
    KEPT.mkdir(parents=True, exist_ok=True)
    lines = ["| recipe | steps | mean | lowest | highest |", "| --- | ---: | ---: | ---: | ---: |"]
    for name in options.only:
        for steps in options.steps:
            found = [measure(name, steps, seed, images, test) for seed in SEEDS]
            lines.append(f"| {name} | {steps:,} | {mean(found):.1%} | {min(found):.1%} | {max(found):.1%} |")
            print(lines[-1], flush=True)
    command = shlex.join(["python", "benchmarks/expectations.py", *argv])
    facts = f"Written by `{command}` on {date.today()}.  \nMachine: {describe()}.  \nImages: CIFAR-10, {images.source}."
    text = f"Accuracy on {len(test):,} test images after so many steps; seeds {', '.join(map(str, SEEDS))}."
    write_section("expectations", "\n\n".join(["## What to expect", facts, text, "\n".join(lines)]))


if __name__ == "__main__":
    main(sys.argv[1:])
