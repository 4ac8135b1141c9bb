"""How accurate after so many minutes? Test accuracy on CIFAR-10 against the clock, every recipe in one run.

    VIT_COURSE_DATA=… python benchmarks/accuracy.py                     # five minutes each, one after the other
    VIT_COURSE_DATA=… python benchmarks/accuracy.py --minutes 10 --only gpu ours resnet20    # where there is a GPU
    VIT_COURSE_DATA=… python benchmarks/accuracy.py --held-out --only ours --set lr=1e-3     # try an idea

Each contender is a configuration of `vit_course.training`, with its published settings and a schedule fitted to the
budget by a few measured steps. On a GPU, the three published recipes would mostly wait for their augmentation, which is
made image by image: leave them out there. The test images decide nothing: ideas are tried with `--held-out`, which
learns from 45,000 of the training images and measures on the other 5,000. Finished contenders are kept in
`build/accuracy/`, so that a run that was stopped goes on. The result goes into benchmarks/README.md.
"""

import argparse
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from machine import README, describe, write_section
from torch import Tensor, nn

from vit_course.data import ImageSet, load_images
from vit_course.profiles import device
from vit_course.training import RECIPES, Recipe, train
from vit_course.training.command import changed

KEPT = Path(__file__).resolve().parent.parent / "build" / "accuracy"
MARKS = 5  # how many times accuracy is measured on the way
# What no setting here makes equal, from the repositories' own files.
NOT_EQUAL = """\
These are the published settings of each, in this course's ViT and training loop; they are not the authors' \
programs. They were published for 200 epochs and more, and reach 80 to 91% there (their READMEs): a few minutes of \
two CPU cores say how soon they learn, not how good they get. What is not equal:

- All three: positions begin with standard deviation 0.02; biases, norms, positions and CLS have no weight decay; \
images are scaled to -1 … 1; augmentation takes its 0.3 to 0.5 ms an image from the training, and no other process \
does it. Ours and the baseline compute in float32, the others in bfloat16 where the CPU has instructions for it.
- kentaroy47 (`train_cifar10.py`, `models/vit.py`, `randomaug.py`): there, positions and CLS begin with standard \
deviation 1, q, k and v have no bias, and dropout also follows attention and positions. Its RandAugment has a few \
other operations and shifts by up to 46 pixels, torchvision's by up to 6.
- omihub777 (`main.py`, `vit.py`, `layers.py`): there, the MLP ends in a second GELU, scores are divided by √384 \
instead of √32, positions and CLS begin with standard deviation 1, and the learning rate ends at 1e-5.
- ViT-Lite (`examples/main.py`, `src/utils/transformers.py`): there, the block's second LayerNorm sits on the \
residual stream itself, attention has dropout 0.1, stochastic depth rises to 0.1, and q, k and v have no bias. Its \
`configs/datasets/cifar10.yml` holds another recipe, with mixup and cutmix, for 300 epochs."""


class ResNet20(nn.Module):
    """The small ResNet for CIFAR of He et al. 2016, section 4.2: 3 × 3 blocks, 16 to 64 channels, 0.27M parameters."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = _conv(3, 16)
        widths = [16] * 4 + [32] * 3 + [64] * 3
        self.blocks = nn.ModuleList(_Block(before, after) for before, after in pairwise(widths))
        self.head = nn.Linear(64, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.stem(images))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=(2, 3)))


class _Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.stride, self.added = after // before, after - before
        self.first, self.second = _conv(before, after, self.stride), _conv(after, after)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))  # their option A
        return F.relu(shortcut + self.second(F.relu(self.first(x))))


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after))


def resnet20(recipe: Recipe) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return ResNet20(10)


class Contender(NamedTuple):
    """A recipe with where it comes from, and the model if it is not the recipe's ViT."""

    title: str
    recipe: Recipe
    model: Callable[[Recipe], nn.Module] | None = None


CONTENDERS = {
    "ours": Contender("ours: plain ViT", RECIPES["fast"].recipe),
    "gpu": Contender("ours for a GPU: plain ViT", RECIPES["gpu"].recipe),
    "baseline": Contender("plain baseline", RECIPES["baseline"].recipe),
    "kentaroy47": Contender(
        "kentaroy47/vision-transformers-cifar10",
        Recipe(
            dim=512, depth=6, heads=8, mlp_dim=512, dropout=0.1, batch_size=512, optimizer="adam", lr=1e-4,
            weight_decay=0, warmup=0, clip=0, policy="randaugment",
        ),
    ),
    "omihub777": Contender(
        "omihub777/ViT-CIFAR",
        Recipe(
            dim=384, depth=7, heads=12, mlp_dim=384, batch_size=128, optimizer="adam", lr=1e-3, weight_decay=5e-5,
            warmup=0.025, clip=0, policy="autoaugment", label_smoothing=0.1,
        ),
    ),
    "vit-lite": Contender(
        "ViT-Lite-7/4 (Compact-Transformers)",
        Recipe(
            dim=256, depth=7, heads=4, mlp_dim=512, batch_size=128, lr=5e-4, weight_decay=0.03, warmup=0.025, clip=0,
            policy="autoaugment", label_smoothing=0.1,
        ),
    ),
    "resnet20": Contender(
        "ResNet-20 (a CNN)",
        Recipe(optimizer="sgd", lr=0.1, weight_decay=1e-4, clip=0, warmup=0.02),
        resnet20,
    ),
}  # fmt: skip


def measure(contender: Contender, images: ImageSet, test: ImageSet, minutes: float, kept: Path) -> dict[str, Any]:
    """Train one contender, or read what an earlier start of this run got."""
    recipe = contender.recipe
    stamp = {
        "recipe": json.loads(json.dumps(dataclasses.asdict(recipe))),
        "minutes": minutes,
        "machine": describe(device().type),
        "images": images.source,
    }
    if kept.exists() and (found := json.loads(kept.read_text()))["stamp"] == stamp:
        return found
    model = contender.model(recipe) if contender.model else None
    trained = train(recipe, images, test, minutes=minutes, model=model, evaluations=MARKS)
    result = {
        "stamp": stamp,
        "title": contender.title,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "steps": trained.steps,
        "epochs": trained.steps * recipe.batch_size / len(images),
        "seconds": trained.seconds,
        "evaluations": trained.evaluations,
        "accuracy": trained.accuracy,
    }
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(result))
    return result


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a row for each contender, the best first."""
    lines = [
        "| recipe | parameters | epochs | images/s | seconds | accuracy (seconds) on the way | accuracy at the end |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for result in sorted(results, key=lambda result: -result["accuracy"]):
        batch = result["stamp"]["recipe"]["batch_size"]
        way = ", ".join(f"{value:.1%} ({seconds:.0f})" for _, seconds, value in result["evaluations"][:-1])
        lines.append(
            f"| {result['title']} | {result['parameters']:,} | {result['epochs']:.2f} | "
            f"{result['steps'] * batch / result['seconds']:,.0f} | {result['seconds']:.0f} | {way} | "
            f"{result['accuracy']:.1%} |"
        )
    return "\n".join(lines)


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """The same as curves."""
    figure, axis = plt.subplots(figsize=(8, 4))
    styles = ["-", "--", "-.", ":"]
    for index, result in enumerate(sorted(results, key=lambda result: -result["accuracy"])):
        minutes = [0, *(seconds / 60 for _, seconds, _ in result["evaluations"])]
        values = [10, *(100 * value for _, _, value in result["evaluations"])]
        (line,) = axis.plot(minutes, values, styles[index % 4], marker="o", markersize=3)
        end = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "fontsize": 9}
        axis.annotate(result["title"], (minutes[-1], values[-1]), color=line.get_color(), annotation_clip=False, **end)
    axis.set(xlabel="minutes of training", ylabel="CIFAR-10 test accuracy, %")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)


def held_out(images: ImageSet, count: int = 5_000) -> tuple[ImageSet, ImageSet]:
    """The images to learn from, and a fixed part of them to choose by."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
    return images.some(order[count:]), images.some(order[:count])


def main(argv: list[str]) -> None:
    """Train the contenders one after the other, print the table, and write the README's section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5, help="of training for each (default: 5)")
    here = [name for name in CONTENDERS if name != "gpu" or device().type != "cpu"]
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=here, help="these contenders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="change the recipes, to try an idea")
    parser.add_argument(
        "--held-out", action="store_true", help="measure on training images kept aside, not on the test"
    )
    parser.add_argument("--no-write", action="store_true", help="only print; always so with --set and --held-out")
    options = parser.parse_args(argv)

    images = load_images("cifar10")
    if images.name != "cifar10":
        sys.exit("This benchmark is about CIFAR-10, and these are other images: see above.")
    test = load_images("cifar10", "test")
    if options.held_out:
        images, test = held_out(images)
    trial = bool(options.set or options.held_out)
    results = []
    for name in options.only:
        contender = CONTENDERS[name]
        recipe = changed(contender.recipe, [f"seed={options.seed}", *options.set])
        kept = KEPT / ("trial" if trial else "") / f"{name}-{options.minutes:g}-{options.seed}.json"
        print(f"\n{contender.title}", flush=True)
        results.append(measure(contender._replace(recipe=recipe), images, test, options.minutes, kept))
    text = table(results)
    print(f"\n{text}")
    if not (options.no_write or trial):
        picture = README.with_name(f"accuracy-{device().type}.png")
        draw(results, picture)
        command = shlex.join(["python", "benchmarks/accuracy.py", *argv])
        note = (
            f"## Accuracy against the clock, {device().type}\n\nWritten by `{command}` on {date.today()}.  \n"
            f"Machine: {describe(device().type)}.  \nImages: CIFAR-10, {images.source}; {len(test):,} test images; "
            f"one seed ({options.seed}).\n\nSeconds are of training, without the evaluations. The number of steps is "
            "fitted to the budget before the start, so seconds that differ from it show how the machine's speed "
            f"changed.\n\n{text}\n\n{NOT_EQUAL}\n\n"
            f"![Test accuracy against minutes of training, a curve for each recipe]({picture.name})"
        )
        write_section(f"accuracy-{device().type}", note)


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "Agg")
    main(sys.argv[1:])
