"""What pre-training buys: one ViT from scratch, probed and fine-tuned on a part of the labels (lesson 09)."""

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vit_course import profiles
from vit_course.checkpoints import card, load_checkpoint
from vit_course.data import ImageSet, load_images
from vit_course.embeddings import pool, prepend_cls_token
from vit_course.finetuning import replace_head, resize_model
from vit_course.images import to_floats
from vit_course.paths import write_whole
from vit_course.training import Recipe, accuracy, evaluate, train
from vit_course.training.reporting import Report
from vit_course.training.steps import autocast
from vit_course.vit import ViT

TABLE = Path(__file__).with_suffix(".json")
CHECKPOINT = "tiny-imagenet"
Start = Literal["scratch", "scratch, longer", "fine-tuned"]
# A fresh model takes the recipes' own optimizer and rate. A trained one takes SGD with momentum, as in the paper's
# appendix B.1.1, without decay: after 80 steps with 5,000 images, 60% of 500 held-out training images were right; with
# AdamW it was 55% with a rate of 3e-4, and 51% with 1e-3.
# Longer from scratch has Muon and images that grow, as the checkpoint had.
STARTS = {
    "scratch": {"optimizer": "adamw", "lr": 1e-3},
    "scratch, longer": {"optimizer": "muon", "lr": 2e-3, "sizes": (16, 24, 32)},
    "fine-tuned": {"optimizer": "sgd", "lr": 0.02, "weight_decay": 0.0},
}


def recipe_for(start: Start, *, images: int, steps: int, batch_size: int, seed: int) -> Recipe:
    """What all starts share, and the optimizer of this one (lesson 09)."""
    sizes = card(CHECKPOINT)["recipe"]
    shared = {name: sizes[name] for name in ("image_size", "patch_size", "dim", "depth", "heads", "mlp_dim", "init")}
    return Recipe(
        **shared,
        **STARTS[start],
        warmup=0.1,
        padding=2,
        batch_size=batch_size,
        epochs=steps / max(1, images // batch_size),  # `train` says it where there are too few for a batch
        seed=seed,
    )


def balanced(labels: Int64[Tensor, " images"], count: int, seed: int = 0) -> Int64[Tensor, " count"]:
    """Which images to take so that there are as many of each class (give or take one), drawn by a seed.

    Raises:
        ValueError: there are not so many.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    turn = torch.empty(len(labels), dtype=torch.int64)
    for label in labels.unique():
        mine = labels[order] == label
        turn[mine] = torch.arange(int(mine.sum()))
    chosen = order[turn.argsort(stable=True)][:count]
    counts = labels[chosen].unique(return_counts=True)[1]
    if len(chosen) < count or counts.max() - counts.min() > 1:
        raise ValueError(f"there are not {count} images with as many of each class.")
    return chosen


def learn_from(
    start: Start, images: ImageSet, test: ImageSet, *, steps: int, batch_size: int = 32, seed: int = 0, **options: Any
) -> ViT:
    """Train the ViT of the checkpoint on new classes: from scratch, or from the checkpoint's weights (lesson 09).

    Args:
        start: where the weights come from. "scratch, longer" has Muon and growing images, as the checkpoint had, and
            is for 32 × 32 pixels.
        images, test: of the new classes, square, of a size that patches tile. Where it is not the size of pre-training,
            the learned positions are interpolated.
        steps, batch_size: of the training.
        seed: of the fresh weights, of the order and of the crops.
        options: of `train`, such as `report`.

    Returns:
        The model, in eval mode.
    """
    recipe = recipe_for(start, images=len(images), steps=steps, batch_size=batch_size, seed=seed)
    recipe = dataclasses.replace(recipe, image_size=images.images.shape[-1])
    model = None
    if start == "fine-tuned":
        model = replace_head(load_checkpoint(CHECKPOINT), len(images.classes))
        model = resize_model(model, recipe.image_size)
    return train(recipe, images, test, model=model, evaluations=0, **options).model


@torch.no_grad()
def features(model: ViT, images: ImageSet, batch_size: int = 250) -> Float[Tensor, "images dim"]:
    """What the head of a ViT reads of each image: computed once, for as many probes as one likes; on the CPU."""
    model.eval()
    device = model.cls_token.device
    precision = profiles.precision("auto", device)

    def read(part: Tensor) -> Tensor:
        with autocast(device, precision):
            tokens = model.positions(prepend_cls_token(model.embedding(to_floats(part.to(device))), model.cls_token))
            return pool(model.encoder(tokens), model.pool).float().cpu()

    return torch.cat([read(part) for part in images.images.split(batch_size)])


def linear_probe(
    known: Float[Tensor, "images dim"], labels: Int64[Tensor, " images"], classes: int, decay: float = 1e-2
) -> nn.Linear:
    """The head that fits features best: softmax regression, to the end, from zeros (lesson 09).

    Args:
        known: (N, D), of `features`.
        labels: (N,).
        classes: K.
        decay: times half the squared weights is added to the loss.
    """
    head = nn.Linear(known.shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(head(known), labels) + decay / 2 * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return head.requires_grad_(False)


def best_decay(known: Tensor, labels: Tensor, classes: int) -> float:
    """The weight decay with which a probe does best on the first fifth of the images, learned from the others."""
    fifth = max(1, len(known) // 5)
    scores = {}
    for decay in (1e-4, 1e-3, 1e-2, 1e-1):
        head = linear_probe(known[fifth:], labels[fifth:], classes, decay)
        scores[decay] = accuracy(head(known[:fifth]), labels[:fifth])
    return max(scores, key=scores.get)


def shipped_table() -> dict[str, Any]:
    """What `measure` measured, with hardware and date, as it comes with the course."""
    return json.loads(TABLE.read_text(encoding="utf-8"))


def by_start(table: Mapping[str, Any]) -> list[tuple[str, dict[float, list[float]]]]:
    """The table's accuracies, for `plots.runs_against`: for each start and share of the labels, those of all seeds."""
    names = {
        "fine-tuned": "fine-tuned",
        "probe": "linear probe",
        "scratch, longer": "from scratch, longer",
        "scratch": "from scratch",
    }
    found: dict[str, dict[float, list[float]]] = {start: {} for start in names}
    for row in table["rows"]:
        found[row["start"]].setdefault(row["share"], []).append(row["accuracy"])
    return [(names[start], shares) for start, shares in found.items() if shares]


# --- the table -------------------------------------------------------------------------------------------------------

SHARES, SEEDS = (0.01, 0.1, 1.0), (0, 1, 2)
STEPS, LONG_STEPS, BATCH_SIZE, TESTED = 100, 300, 32, 2_000
LONGER, LONGER_BATCH_SIZE = {0.01: 1_000, 0.1: 2_000}, 64  # steps by share; for all labels see `card("cifar10")`


def measure(out: Path) -> dict[str, Any]:
    """Measure the table of lesson 09, or go on with it: after each training it is written.

    Probes on all test images, the others on 2,000. 1% and 10% of the labels with three seeds (of the choice of images,
    of the weights and of the order), all of them with one. From scratch and fine-tuned take as many steps; longer from
    scratch, with one seed, looks at 20 or 40 times as many pictures.

    Args:
        out: the table, a JSON file; rows that are there are not measured again.
    """
    table = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"rows": []}
    images, test = load_images("cifar10"), load_images("cifar10", "test")
    for one in (images, test):
        if one.name != "cifar10":
            raise RuntimeError("the table of lesson 09 is measured on CIFAR-10, which is not here.")
    table |= {
        "command": "python -m vit_course.experiments finetuning",
        "checkpoint": CHECKPOINT,
        "data": images.source,
        "optimizers": STARTS,
    }
    done = {(row["start"], row["share"], row["seed"]) for row in table["rows"]}
    cpu = torch.device("cpu")  # also where there is a GPU: half a table of each would be none
    precision = profiles.precision("auto", cpu)

    def add(start: str, share: float, seed: int, **found: Any) -> None:
        table["rows"].append({"start": start, "share": share, "seed": seed, **found, "on": profiles.measured_on(cpu)})
        write_whole(out, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
        print(f"{start}, {share:.0%} of the labels, seed {seed}: {found['accuracy']:.1%}", flush=True)

    kept: dict[str, Tensor] = {}
    tested = test.some(balanced(test.labels, TESTED))
    for start, share, seed in _rows():
        if (start, share, seed) in done:
            continue
        chosen = balanced(images.labels, round(share * len(images)), seed)
        began = time.monotonic()
        if start == "probe":
            known, new = (_features(kept, one, which) for one, which in ((images, chosen), (test, None)))
            labels, classes = images.labels[chosen], len(images.classes)
            decay = best_decay(known, labels, classes)
            head = linear_probe(known, labels, classes, decay)
            found = {"decay": decay, "accuracy": accuracy(head(new), test.labels), "tested": len(test)}
        else:
            steps, size = STEPS if share < 1 else LONG_STEPS, BATCH_SIZE
            if start == "scratch, longer":
                steps, size = LONGER[share], LONGER_BATCH_SIZE
            part = images.some(chosen)
            options = {"steps": steps, "batch_size": size, "seed": seed, "report": Report(), "device": cpu}
            model = learn_from(start, part, test, **options)
            right = evaluate(model, tested, precision)
            found = {"steps": steps, "batch_size": size, "accuracy": right, "tested": TESTED}
        add(start, share, seed, images=len(chosen), **found, seconds=round(time.monotonic() - began))
    return table


def _features(kept: dict[str, Tensor], images: ImageSet, chosen: Tensor | None) -> Float[Tensor, "chosen dim"]:
    """Features of some images, or of all. Each image is looked at once: what is known is kept, by split."""
    model = load_checkpoint(CHECKPOINT)
    chosen = torch.arange(len(images)) if chosen is None else chosen
    known = kept.setdefault(images.split, torch.full((len(images), model.cls_token.shape[-1]), torch.nan))
    missing = chosen[known[chosen, 0].isnan()]
    if len(missing):
        known[missing] = features(model, images.some(missing))
    return known[chosen]


def _rows() -> list[tuple[str, float, int]]:
    """(start, share of the labels, seed), in the order in which they are measured: what takes longest comes last."""
    same = ("scratch", "fine-tuned", "probe")
    few = [(start, share, seed) for seed in SEEDS for share in SHARES[:2] for start in same]
    whole = [(start, SHARES[2], SEEDS[0]) for start in ("probe", "scratch", "fine-tuned")]
    return few + whole + [("scratch, longer", share, SEEDS[0]) for share in LONGER]
