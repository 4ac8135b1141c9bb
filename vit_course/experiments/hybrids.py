"""When is a convolution worth having? CNN, ViT and hybrid in the same time, and what else of a ViT matters.

    python -m vit_course.experiments hybrids

makes the table `hybrids.json` beside this file, or goes on with it; lesson 11 draws it.
"""

import dataclasses
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vit_course import profiles
from vit_course.data import ImageSet, load_images
from vit_course.experiments.finetuning import balanced
from vit_course.experiments.ingredients import noise, smaller
from vit_course.experiments.rivals import BATCH_SIZE, SIZE, Kind, Setting, build, learn, seconds_a_step
from vit_course.images import to_floats
from vit_course.inspection import mean_attention_distance, recorded_attention
from vit_course.paths import write_whole
from vit_course.training import evaluate

TABLE = Path(__file__).with_suffix(".json")
COMMAND = "python -m vit_course.experiments hybrids"
GOES_ON = f"{COMMAND} goes on with it."
KINDS: tuple[Kind, ...] = ("CNN", "ViT", "hybrid")


@torch.no_grad()
def distances_of(model: nn.Module, images: ImageSet, patch_size: int) -> Float[Tensor, "layers heads"]:
    """How far each head of a ViT or hybrid looks, in pixels (lesson 10)."""
    side = images.images.shape[-1] // patch_size
    with recorded_attention(model) as attentions:
        model(to_floats(images.images.to(next(model.parameters()).device)))
    return torch.stack([mean_attention_distance(one, (side, side), patch_size) for one in attentions]).cpu()


def uniform_distance(grid: int = 4, patch_size: int = 4) -> float:
    """The mean attention distance of a head that attends to all patches alike, in pixels."""
    tokens = 1 + grid**2
    return mean_attention_distance(torch.full((1, 1, tokens, tokens), 1 / tokens), (grid, grid), patch_size).item()


# --- the plan --------------------------------------------------------------------------------------------------------

# "All" images are those that are not held out. What is no question of their amount is asked with a quarter of them.
HELD_OUT, LOOKED_AT, CLOCK, SEEDS, SHARES = 2_000, 500, 24.0, (0, 1, 2), (1 / 16, 1 / 4, 1.0)
BASE = 1 / 4
# Tried are the middle ones first; where the best is the least or the greatest of those tried, the next one, too.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
PLAIN = Setting(share=BASE)
# How much time there is for the amount of images to matter, in times of the clock.
SHORT, LONG = 1, 3
AMOUNTS = {times: [Setting(kind, share, times=times) for share in SHARES for kind in KINDS] for times in (SHORT, LONG)}
POOLS = (PLAIN, Setting(share=BASE, pool="mean"))
POSITIONS = tuple(Setting(share=BASE, positions=kind) for kind in ("1-D", "2-D", "sin/cos", "relative", "none"))
PATCHES = tuple(Setting(share=BASE, patch_size=size, positions=kind) for size in (2, 4, 8) for kind in ("1-D", "none"))
# About as many parameters in the encoder: 8 · depth · dim².
SHAPES = tuple(Setting(share=BASE, depth=depth, dim=dim) for depth, dim in ((1, 112), (3, 64), (12, 32)))
SINES = Setting(share=BASE, positions="sin/cos")
# A finer grid, to see how far heads look.
FINE = [Setting(kind, patch_size=2, times=LONG) for kind in ("ViT", "hybrid")]
# These get a learning rate of their own; others take that of their kind, found with a quarter of the images.
TUNED = tuple(
    dict.fromkeys((*(one for some in AMOUNTS.values() for one in some if one.share == BASE), *POOLS, *SHAPES))
)


def plan() -> list[tuple[Setting, int]]:
    """(setting, seed) in the order in which they are measured, so that a table that is cut short says most."""
    positions = [one for one in POSITIONS if one != SINES]
    first = [one for one in AMOUNTS[SHORT] if one.share == BASE]  # where rates are found
    parts = [(first, SEEDS[:1]), (AMOUNTS[SHORT], SEEDS), (AMOUNTS[LONG][3:6], SEEDS[:1]), (AMOUNTS[LONG], SEEDS[:2])]
    parts += [(some, SEEDS) for some in (POOLS, positions, AMOUNTS[LONG], PATCHES, SHAPES, FINE, [SINES])]
    return [*dict.fromkeys((setting, seed) for some, seeds in parts for seed in seeds for setting in some)]


def source_of_rate(setting: Setting) -> Setting:
    """The setting whose learning rate this one takes: its own, or that of its kind."""
    return setting if setting in TUNED else Setting(setting.kind, BASE, times=setting.times)


def clocked(setting: Setting) -> str:
    """What of a setting decides how long a step takes, in words. Positions and pooling count as nothing."""
    if setting.kind == "CNN":
        return "CNN"
    return f"{setting.kind}, patches of {setting.patch_size}, {setting.depth} × {setting.dim}"


# --- the table, as figures want it -----------------------------------------------------------------------------------

Rows = list[tuple[str, dict[float, list[float]]]]


class Table:
    """What was measured: of each run its setting, learning rate, seed, steps and accuracies.

    `measured()` reads the one that comes with the course; `live()` makes a small one. Each `by_…` gives what a figure
    draws, of what is there; where nothing is there, it says what command goes on.

    Attributes:
        facts: what holds for all runs: data, hardware, dates, seconds a step.
        rows: a dict for each run.
    """

    def __init__(self, facts: dict[str, Any], rows: Sequence[dict[str, Any]] = ()) -> None:
        self.facts, self.rows = facts, [*rows]

    def of(self, setting: Setting, lr: float | None = None) -> list[dict[str, Any]]:
        """The runs of a setting, at one learning rate or at all."""
        wanted = dataclasses.asdict(setting)
        found = [row for row in self.rows if all(row[name] == value for name, value in wanted.items())]
        return [row for row in found if lr in (None, row["lr"])]

    def rate(self, setting: Setting) -> float:
        """The learning rate that did best on held-out training images with seed 0.

        Raises:
            ValueError: none has been tried.
        """
        tried = self.of(source_of_rate(setting)) or self.of(setting)  # a small table has no runs to choose from
        tried = [row for row in tried if row["seed"] == SEEDS[0]]
        if not tried:
            raise ValueError(f"no learning rate has been tried for {worded(setting)} yet. {GOES_ON}")
        return max(tried, key=lambda row: row["held_out"] or 0)["lr"]

    def accuracies(self, setting: Setting) -> list[float]:
        """On the test images, 0 … 1: one for each seed, at the learning rate that did best on held-out images."""
        return [row["accuracy"] for row in self.of(setting, self.rate(setting))] if self.of(setting) else []

    def steps(self, setting: Setting) -> int:
        """How many steps fit into the time."""
        return max(1, round(setting.times * self.facts["clock"] / self.facts["seconds_a_step"][clocked(setting)]))

    @property
    def missing(self) -> tuple[str, ...]:
        """What of the plan is not measured yet, a line for each; () if nothing."""
        wanted = Counter(setting for setting, _ in plan())
        there = {setting: len(self.accuracies(setting)) for setting in wanted}
        return tuple(
            f"{worded(setting)}: {there[setting]} of {count} seeds. {GOES_ON}"
            for setting, count in wanted.items()
            if there[setting] < count
        )

    @property
    def conditions(self) -> str:
        """On what it was measured, in a few sentences: images, clock, steps, rates, hardware, dates."""
        facts, side = self.facts, self.facts["size"]
        steps = [f"{kind} {self.steps(Setting(kind)):,}" for kind in KINDS]
        longer = f" (or {self._longest()} times that)" if self._longest() > SHORT else ""
        held_out = f"; rates chosen on {facts['held_out']:,} others" if facts["held_out"] else ""
        return (
            f"{facts['images']:,} training images of {side} × {side} pixels are all{held_out}. Accuracy on "
            f"{facts['tested']:,} test images. A run takes as many steps of {facts['batch_size']} images as fit into "
            f"{facts['clock']:g} seconds{longer}, with the same crops and flips: {', '.join(steps)} steps. "
            f"{len(self.rows)} runs. Images: {facts['data']}. Machine: {'; '.join(facts['measured_on'])}."
        )

    # -- what each figure draws

    def by_amount(self, times: int | None = None) -> Rows:
        """CNN, ViT and hybrid: (kind, {training images: accuracies}), for `plots.runs_against(…, "training images")`.

        Args:
            times: for how many times the clock they were trained: `SHORT` or `LONG`; the longest if not given.

        Raises:
            ValueError: nothing of it has been measured. So do the other `by_…`.
        """
        times = times or self._longest()
        amounts = {share: round(share * self.facts["images"]) for share in sorted({row["share"] for row in self.rows})}
        lines = {kind: {at: Setting(kind, share, times=times) for share, at in amounts.items()} for kind in KINDS}
        return self._rows(lines.items())

    def by_positions(self) -> tuple[list[tuple[str, list[float]]], float, float]:
        """Rows, base and noise for `plots.effects(…, images="test images")`: the paper's default first, none last."""
        names = {"1-D": "1-D, learned", "2-D": "2-D, learned", "sin/cos": "2-D, sines and cosines"}
        rows = [(names.get(one.positions, one.positions), self.accuracies(one)) for one in POSITIONS]
        rows = [(label, found) for label, found in rows if len(found) > 1]
        if len(rows) < 2:
            raise ValueError(f"there are no two kinds of positions with two runs each to compare yet. {GOES_ON}")
        return rows, statistics.fmean(rows[0][1]), noise([found for _, found in rows])

    def by_patch_size(self) -> Rows:
        """With and without positions: (label, {patch size in pixels: accuracies}), for `plots.runs_against`."""
        names = {"1-D": "with positions", "none": "without"}
        return self._rows(
            (name, {one.patch_size: one for one in PATCHES if one.positions == kind}) for kind, name in names.items()
        )

    def by_rate(self) -> Rows:
        """CLS and mean: (label, {learning rate: accuracies}), for `plots.runs_against`. The best rate has all seeds."""
        names = {"cls": "CLS", "mean": "mean of the patches"}
        rows = [(names[one.pool], self._by(self.of(one), "lr")) for one in POOLS]
        return self._some([(name, found) for name, found in rows if found])

    def by_depth(self) -> Rows:
        """[(label, {depth: accuracies})], for `plots.runs_against(…, ticks=shapes())`."""
        return self._rows([("ViT", {one.depth: one for one in SHAPES})])

    def distances(self, kind: Kind, patch_size: int = 4) -> Float[Tensor, "layers heads"]:
        """Mean attention distance of each head in pixels, the heads of all seeds, trained longest on all images.

        Raises:
            ValueError: none has been measured.
        """
        setting = Setting(kind, patch_size=patch_size, times=self._longest())
        found = self.of(setting, self.rate(setting)) if self.of(setting) else []
        found = [torch.tensor(row["distances"]) for row in found if row["distances"]]
        if not found:
            raise ValueError(f"there are no attention distances of {worded(setting)}. {GOES_ON}")
        return torch.cat(found, dim=1)

    def _longest(self) -> int:
        return max((row["times"] for row in self.rows), default=SHORT)

    def _rows(self, lines: Iterable[tuple[str, dict[float, Setting]]]) -> Rows:
        """For each line the accuracies of its settings; without those that have none."""
        found = [(label, {at: self.accuracies(one) for at, one in settings.items()}) for label, settings in lines]
        found = [(label, {at: runs for at, runs in some.items() if runs}) for label, some in found]
        return self._some([(label, some) for label, some in found if some])

    def _by(self, rows: Sequence[dict[str, Any]], name: str) -> dict[float, list[float]]:
        """Accuracies, gathered by one of the facts of the runs."""
        return {at: [row["accuracy"] for row in rows if row[name] == at] for at in sorted({row[name] for row in rows})}

    def _some(self, rows: Rows) -> Rows:
        if not rows:
            raise ValueError(f"nothing of this has been measured yet. {GOES_ON}")
        return rows


def shapes() -> dict[float, str]:
    """{depth: "3 × 64"}: depth and width of the encoders in `Table.by_depth`, which have about as many parameters."""
    return {one.depth: f"{one.depth} × {one.dim}" for one in SHAPES}


def worded(setting: Setting) -> str:
    """A setting in words: what of it is not as in the plain ViT."""
    plain = dataclasses.asdict(PLAIN)
    other = [f"{name} {value}" for name, value in dataclasses.asdict(setting).items() if value != plain[name]]
    other = [one for one in other if not one.startswith(("kind", "share"))]
    return ", ".join([setting.kind, f"{setting.share:.4g} of the images", *other])


def measured(table: Path = TABLE) -> Table:
    """Read the table that comes with the course, or another."""
    kept = json.loads(table.read_text(encoding="utf-8"))
    return Table(kept, kept.pop("rows"))


# --- measuring -------------------------------------------------------------------------------------------------------


def to_try(table: Table, setting: Setting) -> Sequence[float]:
    """The learning rates that a setting needs with seed 0, going by what the table holds."""
    if setting not in TUNED:
        return (table.rate(setting),)
    wanted = RATES[1:5] if setting in POOLS else RATES[2:5]
    if setting.times > SHORT:  # a greater one did worse in the short runs
        short = RATES.index(table.rate(dataclasses.replace(setting, times=SHORT)))
        wanted = RATES[max(0, short - 1) : short + 1]
    scores = {row["lr"]: row["held_out"] for row in table.of(setting) if row["seed"] == SEEDS[0]}
    if scores and scores.keys() >= set(wanted):
        best = RATES.index(max(scores, key=scores.get))
        beyond = best + (1 if setting.times > SHORT else 2)
        wanted = sorted({*wanted, *RATES[max(0, best - 1) : beyond]})
    return wanted


def next_run(table: Table) -> tuple[Setting, float, int] | None:
    """What the plan has next: (setting, learning rate, seed); None at the end."""
    for setting, seed in plan():
        for lr in to_try(table, setting) if seed == SEEDS[0] else (table.rate(setting),):
            if seed not in [row["seed"] for row in table.of(setting, lr)]:
                return setting, lr, seed
    return None


def add_run(
    table: Table,
    setting: Setting,
    lr: float,
    seed: int,
    images: ImageSet,
    held_out: ImageSet | None,
    test: ImageSet,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Train once more, and add the row to the table."""
    began, steps = time.monotonic(), table.steps(setting)
    model = learn(setting, images, steps=steps, lr=lr, seed=seed, device=device)
    row = {**dataclasses.asdict(setting), "lr": lr, "seed": seed, "steps": steps}
    row["images"] = round(setting.share * len(images))
    row["held_out"] = evaluate(model, held_out) if held_out else None
    row["accuracy"] = evaluate(model, test)
    row["distances"] = None
    if setting.kind != "CNN" and setting.positions == "1-D":
        looked_at = distances_of(model, test.some(slice(LOOKED_AT)), setting.patch_size)
        row["distances"] = [[round(one, 3) for one in layer] for layer in looked_at.tolist()]
    row["seconds"] = round(time.monotonic() - began)
    table.rows.append(row)
    return row


def facts_of(
    settings: Iterable[Setting],
    images: ImageSet,
    held_out: ImageSet | None,
    test: ImageSet,
    *,
    clock: float,
    repeats: int,
    device: torch.device,
) -> dict[str, Any]:
    """What holds for all runs of a table; how long a step takes is measured."""
    size, channels = images.images.shape[-1], images.images.shape[1]
    models = {clocked(one): build(one, len(images.classes), size, channels) for one in settings}
    return {
        "command": COMMAND,
        "data": ("CIFAR-10, " if images.name == "cifar10" else "") + images.source,
        "size": size,
        "images": len(images),
        "held_out": len(held_out or ()),
        "tested": len(test),
        "batch_size": BATCH_SIZE,
        "clock": clock,
        "measured_on": [],
        "seconds_a_step": seconds_a_step(models, images, repeats, device),
    }


def measure(out: Path) -> Table:
    """Measure the table of lesson 11, or go on with it: after each training it is written.

    Args:
        out: the table, a JSON file; runs that are there are not done again.

    Raises:
        RuntimeError: the images are not CIFAR-10.
    """
    images, test = (smaller(load_images("cifar10", split), SIZE) for split in ("train", "test"))
    if images.name != "cifar10":
        raise RuntimeError("the table of lesson 11 is measured on CIFAR-10, which is not here.")
    held = torch.zeros(len(images), dtype=torch.bool)
    held[balanced(images.labels, HELD_OUT)] = True
    held_out, images = images.some(held), images.some(~held)
    device = torch.device("cpu")
    with profiles.one_thread():
        if out.exists():
            table = measured(out)
        else:
            options = {"clock": CLOCK, "repeats": 25, "device": device}
            table = Table(facts_of((one for one, _ in plan()), images, held_out, test, **options))
        here = profiles.measured_on(device)
        if here not in table.facts["measured_on"]:
            table.facts["measured_on"].append(here)
        while job := next_run(table):
            setting, lr, seed = job
            row = add_run(table, setting, lr, seed, images, held_out, test, device)
            write_whole(out, (json.dumps({**table.facts, "rows": table.rows}, indent=1) + "\n").encode())
            print(f"{worded(setting)}, rate {lr:g}, seed {seed}: {row['accuracy']:.1%}", flush=True)
    return table


def live(images: ImageSet, test: ImageSet, *, say: Callable[[str], None] = print) -> Table:
    """The first question again, here and now: CNN, ViT and hybrid, few and many images, each for the same seconds.

    Learning rates are those that the shipped table found. By profile: "smoke" some five seconds, which show nothing;
    "cpu" two to three minutes: two amounts, one seed; "gpu" some minutes: three amounts, three seeds.

    Args:
        images: to learn from, 32 × 32 (made smaller here), better all than a few; each amount is a share of them.
        test: to count right answers on.
        say: told about each run.
    """
    shares, seeds, clock = {
        "smoke": ((1 / 4, 1.0), SEEDS[:1], 0.2),
        "cpu": ((1 / 16, 1.0), SEEDS[:1], 22.0),
        "gpu": (SHARES, SEEDS, 12.0),
    }[profiles.profile().name]
    images, test, device, known = smaller(images, SIZE), smaller(test, SIZE), profiles.device(), measured()
    with profiles.one_thread():
        settings = [Setting(kind) for kind in KINDS]
        table = Table(facts_of(settings, images, None, test, clock=clock, repeats=9, device=device))
        table.facts["measured_on"] = [f"{profiles.described(device)}, {time.strftime('%Y-%m-%d')}"]
        for seed, share, kind in itertools.product(seeds, shares, KINDS):
            lr = known.rate(Setting(kind))
            row = add_run(table, Setting(kind, share=share), lr, seed, images, None, test, device)
            say(f"{kind}, {row['images']:,} images, {row['steps']:,} steps: {row['accuracy']:.1%} of test images right")
    return table
