"""Lesson 08: random crops and flips, the learning rate, mixup, a step of training, accuracy."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit_course.checks.catalogue.cases import Draw, random_state
from vit_course.checks.crops import numbered_batches, properties
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case, Observations
from vit_course.checks.training_observers import call_often, results_of_steps, take_steps
from vit_course.training.steps import accuracy, mixup, one_hot, random_crop_flip, train_step, warmup_cosine

# -- random_crop_flip: random, so that not its pixels are compared but where they came from


def _crop_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 80)
    cases = []

    def add(calls: int, batch: int, channels: int, padding: int | None = None, note: str = "", **options: Any) -> None:
        dtype = options.pop("dtype", torch.float32)
        sides = (
            {"height": (7, 8, 9), "width": (7, 8, 9, 10)} if dtype != torch.uint8 else {"height": (7,), "width": (8, 9)}
        )
        height, width, _, _ = draw.sizes(**sides, channels=(channels,), batch=(batch,))
        said = f"{note}{calls} batch{'es' * (calls > 1)} of {batch} image{'s' * (batch > 1)}, {height} × {width} pixels"
        said += f", {channels} channel{'s' * (channels > 1)}, {str(dtype).removeprefix('torch.')}"
        inputs: dict[str, Any] = {"images": numbered_batches(calls, batch, channels, height, width, dtype=dtype)}
        if padding is not None:
            inputs["padding"], said = padding, f"{said}, padding {padding}"
        cases.append(Case(said, inputs, gradients=False, **options))

    add(1, 1, 3)
    add(1, 5, 2, dtype=torch.uint8)
    add(2, 6, 3, 2, dtype=torch.float64)
    add(1, 11, 3, note="not contiguous in memory, ", strided=True)
    add(1, 9, 2, 1)
    add(48, 64, 1)
    add(48, 25, 3, 2)
    return cases


def _crop_properties(case: Case, seen: Observations) -> Observations:
    batches, results = case.inputs["images"], seen.get("output")
    kept = {name: value for name, value in seen.items() if name.startswith("_") or name in ("kind", "changed")}
    if not isinstance(results, Tensor):
        return seen
    # The shape and the dtype are compared, the random numbers are not.
    kept["output"] = torch.zeros_like(results)
    if results.shape == batches.shape and results.dtype == batches.dtype:
        kept |= properties(batches, results, case.inputs.get("padding", 4))
    return kept


def _cropping(
    offsets: Callable[[int, int], tuple[Tensor, Tensor]] | None = None,
    flips: Callable[[int], Tensor] | None = None,
    *,
    pad: Callable[[Tensor, int], Tensor] | None = None,
    flip: Callable[[Tensor], Tensor] = lambda images: images.flip(-1),
    fixed: int | None = None,
) -> Callable:
    """A random_crop_flip.

    Args:
        offsets: (batch, padding) → top and left of each image's crop.
        flips: batch → which images are mirrored.
        pad: puts the frame around the images.
        flip: mirrors images.
        fixed: a padding that is always used.
    """

    def run(images: Tensor, padding: int = 4) -> Tensor:
        padding = padding if fixed is None else fixed
        batch, _, height, width = images.shape
        tops, lefts = (offsets or _each)(batch, padding)
        mirrored = torch.as_tensor((flips or _coins)(batch))[:, None, None, None]
        cut = _cut((pad or _black)(images, padding), tops, lefts, height, width)
        return torch.where(mirrored, flip(cut), cut)

    return run


def _cut(images: Tensor, tops: Tensor, lefts: Tensor, height: int, width: int) -> Tensor:
    rows = (tops[:, None] + torch.arange(height))[:, None, :, None]
    columns = (lefts[:, None] + torch.arange(width))[:, None, None, :]
    every, channels = torch.arange(len(images))[:, None, None, None], torch.arange(images.shape[1])[:, None, None]
    return images[every, channels, rows, columns]


def _black(images: Tensor, padding: int) -> Tensor:
    return F.pad(images, (padding,) * 4)


def _filled(value: float) -> Callable:
    return lambda images, padding: F.pad(images, (padding,) * 4, value=value)


def _padded(mode: str) -> Callable:
    def pad(images: Tensor, padding: int) -> Tensor:
        return F.pad(images.double(), (padding,) * 4, mode=mode).to(images.dtype)

    return pad


def _each(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return torch.randint(2 * padding + 1, (batch,)), torch.randint(2 * padding + 1, (batch,))


def _coins(batch: int) -> Tensor:
    return torch.rand(batch) < 0.5


def _drawn(low: Callable[[int], int], high: Callable[[int], int]) -> Callable:
    """Offsets from `low(padding)` to `high(padding)`, that one left out."""

    def offsets(batch: int, padding: int) -> tuple[Tensor, Tensor]:
        return tuple(torch.randint(low(padding), high(padding), (batch,)) for _ in range(2))

    return offsets


def _one_for_all(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return tuple(torch.randint(2 * padding + 1, (1,)).expand(batch) for _ in range(2))


def _same_both_ways(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    one = torch.randint(2 * padding + 1, (batch,))
    return one, one


def _only_across(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return torch.full((batch,), padding), torch.randint(2 * padding + 1, (batch,))


def _only_down(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return _only_across(batch, padding)[::-1]


def _centred(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return torch.full((batch,), padding), torch.full((batch,), padding)


def _rounded(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return tuple((torch.rand(batch) * 2 * padding).round().long() for _ in range(2))


def _bell(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return tuple((padding + torch.randn(batch) * padding / 2).round().clamp(0, 2 * padding).long() for _ in range(2))


def _corners(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    return tuple(2 * padding * torch.randint(2, (batch,)) for _ in range(2))


def _seeded(images: Tensor, padding: int = 4) -> Tensor:
    torch.manual_seed(0)
    return random_crop_flip(images, padding)


def _fixed_offsets(batch: int, padding: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randint(2 * padding + 1, (batch,), generator=generator) for _ in range(2))


def _fixed_coins(batch: int) -> Tensor:
    return torch.rand(batch, generator=torch.Generator().manual_seed(1)) < 0.5


def _not_cut(images: Tensor, padding: int = 4) -> Tensor:
    flipped = torch.where(_coins(len(images))[:, None, None, None], images.flip(-1), images)
    return _black(flipped, padding)


def _cut_smaller(images: Tensor, padding: int = 4) -> Tensor:
    """A crop of the image itself, which is smaller."""
    height, width = (size - padding for size in images.shape[-2:])
    tops, lefts = _drawn(lambda _: 0, lambda p: p + 1)(len(images), padding)
    return _cut(images, tops, lefts, height, width)


def _channel_by_channel(images: Tensor, padding: int = 4) -> Tensor:
    apart = images.reshape(-1, 1, *images.shape[-2:])
    return random_crop_flip(apart, padding).reshape(images.shape)


def _shifted(images: Tensor, padding: int = 4) -> Tensor:
    """Rolled round: what leaves on one side comes in on the other."""
    moved = [torch.roll(one, [random.randint(-padding, padding) for _ in range(2)], (1, 2)) for one in images]
    return torch.stack([one.flip(-1) if random.random() < 0.5 else one for one in moved])


def _bound_flip(images: Tensor, padding: int = 4) -> Tensor:
    tops, lefts = _each(len(images), padding)
    return _cropping(lambda *_: (tops, lefts), lambda _: lefts > padding)(images, padding)


def _half_of_batch(batch: int) -> Tensor:
    return torch.arange(batch) < batch // 2


def _shuffled_half(batch: int) -> Tensor:
    return torch.randperm(batch) < batch // 2


_ALIKE = (
    "All images of a batch are moved alike: the offset is drawn once. Draw one for each image (`torch.randint(…, (B,))`), "
    "so that a batch holds many different shifts."
)

RANDOM_CROP_FLIP = Exercise(
    name="random_crop_flip",
    lesson="08",
    points=3,
    reference=random_crop_flip,
    cases=_crop_cases,
    observe=call_often,
    derive=_crop_properties,
    axes={"images": "call image channel row column", "output": "call image channel row column"},
    hints=(
        "`F.pad(images, (padding,) * 4)` puts the black frame around all images. Then each image needs three random things: "
        "where its crop begins, down and across, and whether it is mirrored.",
        "The crop may begin at 0, …, 2 · padding: that is 2 · padding + 1 places, and `torch.randint(n, (B,))` gives "
        "0 … n - 1. A loop over the images is fine: `padded[i, :, top : top + H, left : left + W]`.",
        "`torch.stack([…])` of the crops, where crop i is `.flip(-1)` if `torch.rand(()) < 0.5`. Draw top and left apart "
        "from each other, anew for every image.",
    ),
    reasoning="Each image gets offsets and a flip of its own: one draw for a batch would show the network far fewer "
    "different pictures. The reference does it without a loop, by indexing the padded images with the rows and columns of "
    "each crop; a mirrored image has its columns counted backwards.",
    mistakes={
        "one-crop-for-the-batch": Mistake(_cropping(_one_for_all), _ALIKE),
        "one-crop-and-flip-for-the-batch": Mistake(
            _cropping(_one_for_all, lambda batch: (torch.rand(1) < 0.5).expand(batch)),
            "The whole batch gets one crop and one flip. Draw both for each image.",
        ),
        "one-flip-for-the-batch": Mistake(
            _cropping(flips=lambda batch: (torch.rand(1) < 0.5).expand(batch)),
            "The whole batch is mirrored, or none of it. Draw for each image: `torch.rand(B) < 0.5`.",
        ),
        "no-flip": Mistake(
            _cropping(flips=lambda batch: [False] * batch),
            "The crops are right, but nothing is ever mirrored. About half of the images should be.",
        ),
        "always-flipped": Mistake(
            _cropping(flips=lambda batch: [True] * batch),
            "Every image is mirrored, so the network never sees one as it was. Mirror about half: `torch.rand(B) < 0.5`.",
        ),
        "another-share-flipped": Mistake(
            _cropping(flips=lambda batch: torch.rand(batch) < 0.1),
            "Not half of the images are mirrored, but another share. Compare `torch.rand(B)` with 0.5. (`torch.randn` has "
            "about 69% below 0.5.)",
            (
                _cropping(flips=lambda batch: torch.randn(batch) < 0.5),
                _cropping(flips=lambda batch: torch.rand(batch) < 0.25),
                _cropping(flips=lambda batch: torch.rand(batch) < 0.75),
            ),
        ),
        "half-of-the-places": Mistake(
            _cropping(flips=_half_of_batch),
            "The same places of the batch are mirrored every time. Which images are is a coin toss for each: "
            "`torch.rand(B) < 0.5`.",
            (_cropping(flips=lambda batch: torch.arange(batch) % 2 == 0),),
        ),
        "exactly-half": Mistake(
            _cropping(flips=_shuffled_half),
            "Exactly half of each batch is mirrored. A coin is tossed for each image by itself, so that it is half only on "
            "average.",
        ),
        "upside-down": Mistake(
            _cropping(flip=lambda images: images.flip(-2)),
            "Images are turned upside down. Mirrored means left for right: the last axis is the width, `.flip(-1)`.",
            (
                _cropping(flip=lambda images: images.flip(-1, -2)),
                _cropping(flip=lambda images: images.rot90(2, (2, 3))),
            ),
        ),
        "channels-flipped": Mistake(
            _cropping(flip=lambda images: images.flip(1)),
            "Where the image should be mirrored, its channels change places: red becomes blue. The width is the last axis: "
            "`.flip(-1)`.",
        ),
        "no-crop": Mistake(
            _cropping(_centred),
            "Images are mirrored, but never moved. Cut each out of the padded image at a place of its own.",
        ),
        "nothing-done": Mistake(
            lambda images, padding=4: images.clone(), "The images come back as they were: not moved, not mirrored."
        ),
        "last-offset-missing": Mistake(
            _cropping(_drawn(lambda p: 0, lambda p: 2 * p)),
            "The largest offset never comes. There are 2 · padding + 1 of them, and `torch.randint(n, …)` gives "
            "0 … n - 1, so n = 2 · padding + 1. (Python's `random.randint` counts its end in; torch's does not.)",
        ),
        "half-the-range": Mistake(
            _cropping(_drawn(lambda p: 0, lambda p: p + 1)),
            "Images move one way only: a crop may begin anywhere from 0 to 2 · padding, since the frame is on both sides.",
            (_cropping(_drawn(lambda p: 0, lambda p: p)), _cropping(_drawn(lambda p: p, lambda p: 2 * p + 1))),
        ),
        "only-across": Mistake(
            _cropping(_only_across),
            "Images move left and right, but not up and down. Draw an offset for each direction.",
        ),
        "only-down": Mistake(
            _cropping(_only_down),
            "Images move up and down, but not left and right. Draw an offset for each direction.",
        ),
        "same-offset-both-ways": Mistake(
            _cropping(_same_both_ways),
            "The offset down is always the one across, so that images move along a diagonal. Draw the two apart.",
        ),
        "flip-bound-to-the-crop": Mistake(
            _bound_flip,
            "Whether an image is mirrored hangs on where it was cut. Draw the flip by itself.",
        ),
        "uneven-offsets": Mistake(
            _cropping(_rounded),
            "Some offsets come more often than others. Each should be as likely: `torch.randint(2 * padding + 1, (B,))`. "
            "(Rounding a random number makes the two ends rarer.)",
            (_cropping(_bell), _cropping(_corners)),
        ),
        "padding-fixed": Mistake(
            _cropping(fixed=4),
            "The frame is always 4 pixels wide. Use the argument `padding`.",
        ),
        "padding-default": Mistake(
            lambda images, padding=2: random_crop_flip(images, padding),
            "Where no padding is given it should be 4: leave the signature as it was.",
            (lambda images, padding=1: random_crop_flip(images, padding),),
        ),
        "frame-not-black": Mistake(
            _cropping(pad=_padded("reflect")),
            "Where the image has moved away you fill in its own pixels (mirrored, repeated, or those that left on the other "
            "side). What the frame holds is black: zeros, as `F.pad` gives unless told otherwise.",
            (_cropping(pad=_padded("replicate")), _cropping(pad=_padded("circular")), _shifted),
        ),
        "frame-of-another-value": Mistake(
            _cropping(pad=_filled(1)),
            "The frame is not black: it holds another number than 0.",
            tuple(_cropping(pad=_filled(value)) for value in (0.5, -1, 255)),
        ),
        "not-cut": Mistake(
            _not_cut,
            "The padded images come back whole, larger than before. Cut H × W pixels out of each.",
            (lambda images, padding=4: _black(images, padding),),
        ),
        "cut-from-the-image": Mistake(
            _cut_smaller,
            "The crops are smaller than the images. Pad first, then cut H × W pixels: the size stays.",
        ),
        "channels-part": Mistake(
            _channel_by_channel,
            "Each channel is moved by itself, which tears the colours apart. One offset and one flip for all channels of an "
            "image.",
        ),
        "seeded": Mistake(
            _seeded,
            "Every call does what the first did, so that there is nothing new to learn from in the next epoch. Set no seed "
            "inside the function.",
            (_cropping(_fixed_offsets, _fixed_coins),),
        ),
        "images-shuffled": Mistake(
            lambda images, padding=4: random_crop_flip(images, padding)[torch.randperm(len(images))],
            "The images change places in the batch, so that they no longer fit their labels. Image i of the result is made "
            "of image i.",
            (lambda images, padding=4: random_crop_flip(images, padding).flip(0),),
        ),
        "becomes-float": Mistake(
            lambda images, padding=4: random_crop_flip(images, padding).float(),
            "The result is always float32. Images are often bytes here: keep the dtype of what came in.",
        ),
        **universal_mistakes(random_crop_flip, gradients=False, dtypes=False),
    },
)


# -- warmup_cosine


def _schedule_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 81)
    cases = []

    def add(step: int, total: int, warmup: int, peak: float) -> None:
        inputs = {"step": step, "total_steps": total, "warmup_steps": warmup, "peak_lr": peak}
        cases.append(Case(f"step {step} of {total}, warm-up {warmup}, peak {peak:g}", inputs))

    for peaks in ((1.0, 0.8), (1.25, 0.9)):
        total, warmup = draw.sizes(total=range(60, 140), warmup=range(7, 20))
        middle = (total + warmup) // 2
        later = draw.sizes(one=range(warmup + 2, middle), other=range(middle + 1, total - 1))
        for step in (0, warmup // 2, warmup - 1, warmup, warmup + 1, *later, total - 1, total):
            add(step, total, warmup, peaks[step % 2])
    total = draw.sizes(total=range(40, 90))[0]
    for step in (0, 1, total // 3, total):
        add(step, total, 0, 1.1)
    add(0, total, 1, 0.7)
    add(1, total, 1, 0.7)
    add(total - 2, total, total - 1, 1.2)
    return cases


def _as_float(case: Case, seen: Observations) -> Observations:
    """A whole number is as good as the float that equals it."""
    if seen.get("kind") == "int":
        return seen | {"kind": "float", "output": float(seen["output"])}
    return seen


def _schedule(
    rise: Callable[[int, int], float] = lambda step, warmup: (step + 1) / warmup,
    fall: Callable[[float], float] = lambda t: 0.5 * (1 + math.cos(math.pi * t)),
    *,
    share: Callable[[int, int, int], float] = lambda step, total, warmup: (step - warmup) / (total - warmup),
    rising: Callable[[int, int], bool] = lambda step, warmup: step < warmup,
) -> Callable:
    """A schedule of a rise and a fall; `share` says how much of the fall is done."""

    def run(step: int, total_steps: int, warmup_steps: int, peak_lr: float) -> float:
        if rising(step, warmup_steps):
            return peak_lr * rise(step, warmup_steps)
        return peak_lr * fall(share(step, total_steps, warmup_steps))

    return run


def _product(step: int, total_steps: int, warmup_steps: int, peak_lr: float) -> float:
    rise = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return peak_lr * rise * 0.5 * (1 + math.cos(math.pi * step / total_steps))


WARMUP_COSINE = Exercise(
    name="warmup_cosine",
    lesson="08",
    points=1,
    reference=warmup_cosine,
    cases=_schedule_cases,
    derive=_as_float,
    axes={},
    hints=(
        "Two parts, told apart by `step < warmup_steps`. In the first the rate grows by the same amount each step, and the "
        "last step of the warm-up, `warmup_steps - 1`, has the whole peak.",
        "In the second, let t be the share of the way from `warmup_steps` to `total_steps` that is done, 0 … 1. The cosine "
        "of π · t goes from 1 to -1; what is wanted goes from 1 to 0.",
        "`peak_lr * (step + 1) / warmup_steps` while warming up, then `peak_lr * 0.5 * (1 + math.cos(math.pi * t))` with "
        "`t = (step - warmup_steps) / (total_steps - warmup_steps)`.",
    ),
    reasoning="(step + 1) so that the very first step already learns something, and the last one of the warm-up has the peak. "
    "The cosine counts from the end of the warm-up, so that nothing jumps and the end is 0 whatever the warm-up was.",
    mistakes={
        "begins-at-zero": Mistake(
            _schedule(lambda step, warmup: step / warmup),
            "The first step has the rate 0, so it learns nothing, and the warm-up ends below the peak. Step 0 gets "
            "1/warmup_steps of the peak: `(step + 1) / warmup_steps`.",
        ),
        "warmup-too-long-by-one": Mistake(
            _schedule(lambda step, warmup: (step + 1) / (warmup + 1)),
            "The warm-up reaches the peak a step too late: its last step, `warmup_steps - 1`, should have it. Divide by "
            "`warmup_steps`.",
        ),
        "warmup-includes-its-end": Mistake(
            _schedule(rising=lambda step, warmup: step <= warmup),
            "At `step == warmup_steps` your rate still rises, above the peak. The warm-up is over there: `step < "
            "warmup_steps`.",
            (_schedule(rising=lambda step, warmup: warmup > 0 and step <= warmup),),
        ),
        "no-warmup": Mistake(
            _schedule(rising=lambda step, warmup: False),
            "There is no rise: before `warmup_steps` the formula of the cosine is used as well.",
            (
                _schedule(rising=lambda *_: False, share=lambda step, total, warmup: step / total),
                _schedule(lambda step, warmup: 1.0),
            ),
        ),
        "cosine-counts-from-zero": Mistake(
            _schedule(share=lambda step, total, warmup: step / total),
            "The cosine counts from step 0, so that the rate jumps down when the warm-up ends. Its beginning is the end of "
            "the warm-up: `(step - warmup_steps) / (total_steps - warmup_steps)`.",
        ),
        "cosine-ends-too-late": Mistake(
            _schedule(share=lambda step, total, warmup: (step - warmup) / total),
            "The cosine takes `total_steps` from the end of the warm-up on, so that it is not at 0 when training ends. It has "
            "`total_steps - warmup_steps`.",
        ),
        "ends-one-step-early": Mistake(
            _schedule(share=lambda step, total, warmup: (step - warmup) / max(1, total - warmup - 1)),
            "The rate is 0 one step early, and rises again after that. The cosine's way is `total_steps - warmup_steps` long.",
            (
                _schedule(share=lambda step, total, warmup: min(1.0, (step - warmup) / max(1, total - warmup - 1))),
                _schedule(share=lambda step, total, warmup: (step + 1 - warmup) / (total - warmup)),
                _schedule(share=lambda step, total, warmup: min(1.0, (step + 1 - warmup) / (total - warmup))),
            ),
        ),
        "product": Mistake(
            _product,
            "Rise and cosine are multiplied, both over the whole run. They follow each other: first the straight line alone, "
            "then the cosine, which begins where the warm-up ends.",
        ),
        "linear-fall": Mistake(
            _schedule(fall=lambda t: 1 - t),
            "The rate falls in a straight line. It should follow half a cosine: slowly at first, fastest in the middle.",
        ),
        "not-halved": Mistake(
            _schedule(fall=lambda t: 1 + math.cos(math.pi * t)),
            "After the warm-up the rate is twice the peak: 1 + cos goes from 2 to 0. Halve it.",
        ),
        "cosine-alone": Mistake(
            _schedule(fall=lambda t: math.cos(math.pi * t)),
            "In the second half your rate is negative: a cosine goes from 1 to -1. `0.5 * (1 + …)` makes it 1 to 0.",
        ),
        "quarter-cosine": Mistake(
            _schedule(fall=lambda t: math.cos(math.pi * t / 2)),
            "You use a quarter of a cosine, from 1 to 0 with its steepest point at the end. Half a cosine is asked for: "
            "`0.5 * (1 + math.cos(math.pi * t))`.",
        ),
        "whole-cosine": Mistake(
            _schedule(fall=lambda t: 0.5 * (1 + math.cos(2 * math.pi * t))),
            "The rate falls and rises again: 2π is a whole wave. Half of one is `math.pi * t`.",
        ),
        "degrees": Mistake(
            _schedule(fall=lambda t: 0.5 * (1 + math.cos(180 * t))),
            "`math.cos` takes radians: half a wave is `math.pi`, not 180.",
        ),
        "pi-forgotten": Mistake(
            _schedule(fall=lambda t: 0.5 * (1 + math.cos(t))),
            "π is missing: `math.cos(math.pi * t)` takes t from 0 to 1 over half a wave.",
        ),
        "sine": Mistake(
            _schedule(fall=lambda t: 0.5 * (1 + math.sin(math.pi * t))),
            "That is a sine: it begins in the middle, rises and comes back. Use the cosine.",
        ),
        "rises-instead": Mistake(
            _schedule(fall=lambda t: 0.5 * (1 - math.cos(math.pi * t))),
            "After the warm-up the rate starts at 0 and rises to the peak. The sign of the cosine is `+`.",
        ),
        "never-zero": Mistake(
            _schedule(fall=lambda t: 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * t))),
            "Your rate ends above 0, at a smallest one of your own. Here it falls to 0 at `total_steps`.",
            (
                _schedule(fall=lambda t: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * t))),
                _schedule(fall=lambda t: max(0.01, 0.5 * (1 + math.cos(math.pi * t)))),
            ),
        ),
        "constant": Mistake(
            _schedule(fall=lambda t: 1.0),
            "After the warm-up the rate stays at its peak. It should fall to 0 on half a cosine.",
        ),
        "peak-forgotten": Mistake(
            lambda step, total_steps, warmup_steps, peak_lr: warmup_cosine(step, total_steps, warmup_steps, 1.0),
            "`peak_lr` is not used: your rate is a share of the peak, 0 … 1. Multiply by it.",
        ),
        "peak-forgotten-in-the-cosine": Mistake(
            lambda step, total_steps, warmup_steps, peak_lr: warmup_cosine(
                step, total_steps, warmup_steps, peak_lr if step < warmup_steps else 1.0
            ),
            "The cosine is not multiplied by `peak_lr`.",
            (
                lambda step, total_steps, warmup_steps, peak_lr: warmup_cosine(
                    step, total_steps, warmup_steps, 1.0 if step < warmup_steps else peak_lr
                ),
            ),
        ),
        "whole-numbers": Mistake(
            _schedule(
                lambda step, warmup: (step + 1) // warmup,
                share=lambda step, total, warmup: (step - warmup) // (total - warmup),
            ),
            "`//` divides to whole numbers, which gives 0 or 1 here. Use `/`.",
        ),
        "tensor": Mistake(
            lambda step, total_steps, warmup_steps, peak_lr: torch.tensor(
                warmup_cosine(step, total_steps, warmup_steps, peak_lr), dtype=torch.float64
            ),
            "The rate comes as a tensor. A plain float is asked for; `math.cos` gives one, `torch.cos` does not.",
            (
                lambda step, total_steps, warmup_steps, peak_lr: torch.tensor(
                    warmup_cosine(step, total_steps, warmup_steps, peak_lr)
                ),
            ),
        ),
        **universal_mistakes(warmup_cosine, gradients=False, dtypes=False, layouts=False, tensors=False),
    },
)


# -- mixup


def _mixup_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 82)
    cases = []

    def add(batch: int, lam: float, dtype: torch.dtype = torch.float32, note: str = "", **options: Any) -> None:
        channels, height, width, classes, _ = draw.sizes(
            channels=(1, 3), height=(4, 5), width=(6, 7), classes=(8, 9, 10), batch=(batch,)
        )
        images = draw.normal(batch, channels, height, width, dtype=dtype)
        # The highest class never occurs; and the order is no pair of swaps, so that its inverse is another.
        labels = draw.whole(batch) % (classes - 1)
        labels[0] = classes - 2
        order = draw.normal(batch).argsort()
        while batch > 2 and torch.equal(order.argsort(), order):
            order = draw.normal(batch).argsort()
        said = (
            f"{note}{batch} image{'s' * (batch > 1)}, {str(dtype).removeprefix('torch.')}, λ {lam:g}, {classes} classes"
        )
        inputs = {"images": images, "labels": labels, "lam": lam, "permutation": order, "num_classes": classes}
        cases.append(Case(said, inputs, returns=("images", "targets"), **options))

    add(5, 0.7)
    add(7, 0.2)
    add(3, 0.5, torch.float64)
    add(6, 0.85, note="not contiguous in memory, ", strided=True)
    add(11, 1.0)
    add(5, 0.0)
    add(1, 0.4)
    add(4, 0.3, torch.float64)
    return cases


def _mixup_targets(case: Case, seen: Observations) -> Observations:
    """The targets' dtype is free."""
    kept = dict(seen)
    for name in ("targets", "targets with gradients"):
        value = seen.get(name)
        if isinstance(value, Tensor) and not value.is_complex() and value.dtype != torch.bool:
            kept[name] = value.float()
    return kept


def _mixing(
    mix: Callable[[Tensor, Tensor, float], Tensor] = lambda a, b, lam: lam * a + (1 - lam) * b,
    mix_targets: Callable[[Tensor, Tensor, float], Tensor] | None = None,
    *,
    order: Callable[[Tensor], Tensor] = lambda permutation: permutation,
    target_order: Callable[[Tensor], Tensor] | None = None,
    classes: Callable[[Tensor, int], int] = lambda labels, classes: classes,
) -> Callable:
    """A mixup: `mix(own, partner, lam)` for the images and, unless another is given, for the targets."""

    def run(images: Tensor, labels: Tensor, lam: float, permutation: Tensor, num_classes: int) -> tuple:
        targets = F.one_hot(labels, classes(labels, num_classes)).float()
        partners = order(permutation)
        mixed = mix(images, images[partners], lam)
        partners = (target_order or order)(permutation)
        return mixed, (mix_targets or mix)(targets, targets[partners], lam)

    return run


def _in_place_mixup(images: Tensor, labels: Tensor, lam: float, permutation: Tensor, num_classes: int) -> tuple:
    """As it is often written: the images are changed before the partners are read from them."""
    images *= lam
    images += (1 - lam) * images[permutation]
    return images, mixup(images, labels, lam, permutation, num_classes)[1]


def _scaled_twice(images: Tensor, labels: Tensor, lam: float, permutation: Tensor, num_classes: int) -> tuple:
    scaled = lam * images
    return scaled + (1 - lam) * scaled[permutation], mixup(images, labels, lam, permutation, num_classes)[1]


def _in_place_right(images: Tensor, labels: Tensor, lam: float, permutation: Tensor, num_classes: int) -> tuple:
    partners = images[permutation]
    images.mul_(lam).add_((1 - lam) * partners)
    return images, mixup(images, labels, lam, permutation, num_classes)[1]


def _numbers_mixed(images: Tensor, labels: Tensor, lam: float, permutation: Tensor, num_classes: int) -> tuple:
    mixed = mixup(images, labels, lam, permutation, num_classes)[0]
    return mixed, lam * labels + (1 - lam) * labels[permutation]


def _number_made_one_hot(images: Tensor, labels: Tensor, lam: float, permutation: Tensor, num_classes: int) -> tuple:
    mixed, blended = _numbers_mixed(images, labels, lam, permutation, num_classes)
    return mixed, F.one_hot(blended.round().long(), num_classes).float()


def _own_order(permutation: Tensor) -> Tensor:
    return torch.randperm(len(permutation))


def _own_lam(images: Tensor, labels: Tensor, lam: float, permutation: Tensor, num_classes: int) -> tuple:
    own = random.betavariate(0.2, 0.2)
    return mixup(images, labels, own, permutation, num_classes)


def _swapped_lam(a: Tensor, b: Tensor, lam: float) -> Tensor:
    return (1 - lam) * a + lam * b


MIXUP = Exercise(
    name="mixup",
    lesson="08",
    points=2,
    reference=mixup,
    cases=_mixup_cases,
    derive=_mixup_targets,
    axes={"images": "image channel row column", "labels": "image", "targets": "image class"},
    hints=(
        "`images[permutation]` is the batch in another order: image i's partner stands at place i.",
        "Labels as numbers cannot be blended (half a cat and half a dog is no horse). `F.one_hot(labels, num_classes)` makes "
        "a row of 0s and a 1 of each; those rows can.",
        "`lam * images + (1 - lam) * images[permutation]`, and the same line for the one-hot targets, as floats.",
    ),
    reasoning="λ says how much is the image itself. The targets are mixed as the images are, with the same λ and the same "
    "partners, so that a blend is labelled as what it is. Everything random comes in as an argument: the function can then "
    "be checked, and repeated.",
    mistakes={
        "lam-swapped": Mistake(
            _mixing(_swapped_lam),
            "λ and 1 - λ have changed places: λ is the share of the image itself, 1 - λ that of its partner.",
        ),
        "lam-swapped-in-the-targets": Mistake(
            _mixing(mix_targets=_swapped_lam),
            "The images are right, but in the targets λ and 1 - λ have changed places: λ belongs to the image's own label.",
            (_mixing(_swapped_lam, mix_targets=lambda a, b, lam: lam * a + (1 - lam) * b),),
        ),
        "targets-not-mixed": Mistake(
            _mixing(mix_targets=lambda a, b, lam: a),
            "The images are mixed, the targets are not: a blend of cat and dog would still be called a cat. Blend the "
            "one-hot targets as the images, with the same partners.",
            (
                lambda images, labels, lam, order, classes: (mixup(images, labels, lam, order, classes)[0], labels),
                _mixing(target_order=lambda order: torch.arange(len(order))),
            ),
        ),
        "images-not-mixed": Mistake(
            _mixing(lambda a, b, lam: a, lambda a, b, lam: lam * a + (1 - lam) * b),
            "The targets are mixed, the images are not.",
        ),
        "targets-of-the-partner": Mistake(
            _mixing(mix_targets=lambda a, b, lam: b),
            "The targets are those of the partners alone. Blend both with λ.",
        ),
        "partner-scaled-twice": Mistake(
            _scaled_twice,
            "The partners are read from images that were already multiplied by λ, so that they count λ · (1 - λ). Read them "
            "from the images as they came in.",
        ),
        "in-place": Mistake(
            _in_place_mixup,
            "You write into the images (`*=`, `+=`, `.mul_()`): whoever called still needs them, and the partners are read "
            "from images that were already multiplied by λ. Make a new tensor.",
        ),
        "in-place-but-right": Mistake(
            _in_place_right,
            "The blend is right, but it is written into the images that came in. Make a new tensor.",
        ),
        "labels-as-numbers": Mistake(
            _numbers_mixed,
            "You blend the class numbers: halfway between class 3 and class 5 would be class 4. Blend one-hot rows instead, "
            "so that both classes keep their share.",
            (_number_made_one_hot,),
        ),
        "four-results": Mistake(
            lambda images, labels, lam, order, classes: (
                mixup(images, labels, lam, order, classes)[0],
                labels,
                labels[order],
                lam,
            ),
            "You give back both labels and λ, as the authors' own code does. Here the targets come blended: two results, "
            "images and targets.",
            (lambda images, labels, lam, order, classes: (*mixup(images, labels, lam, order, classes), lam),),
        ),
        "images-only": Mistake(
            lambda images, labels, lam, order, classes: mixup(images, labels, lam, order, classes)[0],
            "Only the images come back. Two results are asked for: `return images, targets`.",
        ),
        "results-swapped": Mistake(
            lambda images, labels, lam, order, classes: mixup(images, labels, lam, order, classes)[::-1],
            "The two results have changed places: the images come first.",
        ),
        "own-permutation": Mistake(
            _mixing(order=_own_order),
            "The partners are drawn anew instead of taken from `permutation`.",
            (_mixing(target_order=_own_order),),
        ),
        "own-lam": Mistake(_own_lam, "λ is drawn anew inside. Use the argument `lam`."),
        "lam-half": Mistake(
            _mixing(lambda a, b, lam: (a + b) / 2),
            "Every blend is half and half. Use `lam`.",
        ),
        "larger-share": Mistake(
            _mixing(lambda a, b, lam: max(lam, 1 - lam) * a + min(lam, 1 - lam) * b),
            "The image itself always gets the larger share. That is done sometimes; here λ is taken as it comes.",
        ),
        "inverse-order": Mistake(
            _mixing(order=lambda order: order.argsort()),
            "The partners are the wrong way round: image i's partner is `images[permutation[i]]`, so `images[permutation]` "
            "(and not the place where i stands in `permutation`).",
        ),
        "reversed-order": Mistake(
            _mixing(order=lambda order: torch.arange(len(order)).flip(0)),
            "The partners are the batch backwards. Use `permutation`.",
            (_mixing(order=lambda order: torch.arange(len(order)).roll(1)),),
        ),
        "partners-differ": Mistake(
            _mixing(target_order=lambda order: order.argsort()),
            "The images are mixed rightly, but the labels with other partners. Both take the same: `permutation`.",
            (
                _mixing(target_order=lambda order: torch.arange(len(order)).flip(0)),
                _mixing(order=lambda order: order.argsort(), target_order=lambda order: order),
            ),
        ),
        "not-permuted": Mistake(
            _mixing(order=lambda order: torch.arange(len(order))),
            "Each image is blended with itself, which changes nothing. The partner is `images[permutation]`.",
        ),
        "classes-counted": Mistake(
            _mixing(classes=lambda labels, classes: int(labels.max()) + 1),
            "The targets are too short where the last classes do not occur in the batch: `F.one_hot` counts up to the largest "
            "label unless it is told. Give it `num_classes`.",
        ),
        "shares-add-up-to-more": Mistake(
            _mixing(lambda a, b, lam: lam * a + b),
            "1 - λ is missing before the partner, so that the blend is brighter than either image and the targets add up to "
            "more than 1.",
            (_mixing(lambda a, b, lam: a + (1 - lam) * b), _mixing(lambda a, b, lam: a + b)),
        ),
        "smoothed": Mistake(
            lambda images, labels, lam, order, classes: (
                mixup(images, labels, lam, order, classes)[0],
                lam * one_hot(labels, classes, 0.1) + (1 - lam) * one_hot(labels, classes, 0.1)[order],
            ),
            "The targets are smoothed as well. Here they are mixed only.",
        ),
        **{
            slug: mistake
            for slug, mistake in universal_mistakes(mixup, tuples=True).items()
            if slug != "detours-through-float32"  # right to 1e-5 is right here
        },
    },
)


# -- train_step


def _step_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 83)
    cases = []

    def add(
        batch: int,
        steps: int,
        *,
        norm: bool = True,
        soft: bool = False,
        train: bool = False,
        rates: tuple[float, float, float] = (0.4, 0.0, 0.0),
        scale: float = 1.0,
    ) -> None:
        channels, side, hidden, classes, _ = draw.sizes(
            channels=(2, 3), side=(4, 5), hidden=(9, 11), classes=(6, 7, 8), batch=(batch,)
        )
        inputs = channels * side * side
        shapes = {"hidden.weight": (hidden, inputs), "hidden.bias": (hidden,)}
        shapes |= {"norm.weight": (hidden,), "norm.bias": (hidden,)} if norm else {}
        state = random_state(draw, shapes | {"out.weight": (classes, hidden), "out.bias": (classes,)}, torch.float32)
        state = {name: scale * value for name, value in state.items()} if not norm else state
        images = draw.normal(steps, batch, channels, side, side)
        targets = draw.whole(steps, batch) % classes
        if soft:
            targets = (2 * draw.normal(steps, batch, classes)).softmax(dim=-1)
        kind = "probabilities" if soft else "numbers"
        lr, momentum, decay = rates
        said = f"{steps} step{'s' * (steps > 1)} with {batch} images of {channels} × {side} × {side} and {kind} of {classes}"
        said += f" classes, SGD with lr {lr:g}, momentum {momentum:g}, weight decay {decay:g}" + (
            ", a model with batch norm" if norm else ""
        )
        given = {"images": images, "targets": targets, "lr": lr, "momentum": momentum, "weight_decay": decay}
        said += f", {'train' if train else 'eval'} mode at first"
        returns = results_of_steps(state, steps)
        cases.append(Case(said, given, state=state, returns=returns, gradients=False, train=train))

    add(5, 1)
    add(9, 3, norm=False)
    add(4, 3, soft=True, train=True)
    add(7, 3, rates=(0.3, 0.9, 0.0))
    add(6, 2, soft=True, norm=False, rates=(0.2, 0.5, 0.1))
    add(1, 2, norm=False, scale=1.5)
    return cases


def _stepping(
    *,
    before: Callable[[nn.Module], Any] = lambda model: model.train(),
    loss_of: Callable[[Tensor, Tensor], Tensor] = lambda logits, targets: F.cross_entropy(logits, targets),
    zero: Callable | None = lambda model, optimizer: optimizer.zero_grad(),
    backward: Callable[[Tensor], Any] = lambda loss: loss.backward(),
    after: Callable[[nn.Module], Any] = lambda model: None,
    step: Callable[[nn.Module, Any], Any] = lambda model, optimizer: optimizer.step(),
    give: Callable[[Tensor, nn.Module, Tensor, Tensor], Any] = lambda loss, *_: loss.detach(),
) -> Callable:
    """A train_step whose parts can be exchanged."""

    def run(model: nn.Module, optimizer: Any, images: Tensor, targets: Tensor) -> Any:
        before(model)
        loss = loss_of(model(images), targets)
        if zero:
            zero(model, optimizer)
        backward(loss)
        after(model)
        step(model, optimizer)
        return give(loss, model, images, targets)

    return run


def _soft(logits: Tensor, targets: Tensor) -> Tensor:
    return targets if targets.is_floating_point() else F.one_hot(targets, logits.shape[1]).float()


def _hard(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets.argmax(dim=1) if targets.is_floating_point() else targets)


def _picked(logits: Tensor, targets: Tensor) -> Tensor:
    """Minus the score of the right class, no logarithm of a softmax."""
    return -(_soft(logits, targets) * logits).sum(dim=1).mean()


def _probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.softmax(dim=1), targets)


def _by_hand(model: nn.Module, optimizer: Any) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= optimizer.param_groups[0]["lr"] * parameter.grad


def _twice(model: nn.Module, optimizer: Any) -> None:
    optimizer.step()
    optimizer.step()


def _new_optimizer(model: nn.Module, optimizer: Any) -> None:
    torch.optim.SGD(model.parameters(), lr=optimizer.param_groups[0]["lr"]).step()


def _other_optimizer(model: nn.Module, optimizer: Any) -> None:
    torch.optim.AdamW(model.parameters(), lr=1e-3).step()


def _clipped(model: nn.Module) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)


def _again(loss: Tensor, model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(model(images), targets).detach()


def _late_zero(model: nn.Module, optimizer: Any, images: Tensor, targets: Tensor) -> Tensor:
    model.train()
    loss = F.cross_entropy(model(images), targets)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.detach()


def _step_first(model: nn.Module, optimizer: Any, images: Tensor, targets: Tensor) -> Tensor:
    model.train()
    loss = F.cross_entropy(model(images), targets)
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    return loss.detach()


def _train_mode_late(model: nn.Module, optimizer: Any, images: Tensor, targets: Tensor) -> Tensor:
    loss = F.cross_entropy(model(images), targets)
    model.train()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    model.eval()
    return loss.detach()


def _image_by_image(model: nn.Module, optimizer: Any, images: Tensor, targets: Tensor) -> Tensor:
    losses = []
    for image, target in zip(images.split(1), targets.split(1), strict=True):
        model.eval()  # a batch norm cannot learn from one image
        losses.append(_stepping(before=lambda model: None)(model, optimizer, image, target))
    return torch.stack(losses).mean()


def _only_indices(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets.long())


TRAIN_STEP = Exercise(
    name="train_step",
    lesson="08",
    points=3,
    reference=train_step,
    cases=_step_cases,
    observe=take_steps,
    axes={"images": "step image channel row column", "losses": "step"},
    hints=(
        "Five things: train mode, forward, loss, backward, update. Gradients are *added* to what is there, so they are set to "
        "zero once in every step.",
        "`F.cross_entropy(logits, targets)` takes class numbers and probabilities alike, and wants the scores as the model "
        "gives them: the softmax is inside.",
        "`model.train()`; `loss = F.cross_entropy(model(images), targets)`; `optimizer.zero_grad()`; `loss.backward()`; "
        "`optimizer.step()`; and give the loss back without its graph.",
    ),
    reasoning="`zero_grad` may stand anywhere before `backward`, or at the end; `train()` has to come before the forward "
    "pass. The loss is detached: whoever collects a thousand of them would otherwise keep a thousand graphs. The course's own "
    "step knows three more things, each off unless asked for: a smaller precision, a scaler for it, and clipping.",
    mistakes={
        "no-zero-grad": Mistake(
            _stepping(zero=None),
            "Gradients are never set to zero. `backward` adds to what is there, so that each step also takes all earlier ones "
            "again: `optimizer.zero_grad()`, once in every step.",
        ),
        "zero-grad-after-backward": Mistake(
            _late_zero,
            "Gradients are set to zero between `backward` and `step`, so that nothing is left to learn from. Zero them before "
            "`backward`.",
        ),
        "step-before-backward": Mistake(
            _step_first,
            "The optimizer steps before the gradients of this batch are there: it uses those of the last one. First "
            "`backward`, then `step`.",
        ),
        "no-step": Mistake(
            _stepping(step=lambda *_: None),
            "The weights never change: `optimizer.step()` is missing.",
        ),
        "no-backward": Mistake(
            _stepping(backward=lambda loss: None),
            "There are no gradients: `loss.backward()` is missing, and the optimizer leaves everything as it is.",
        ),
        "mode-not-set": Mistake(
            _stepping(before=lambda model: None),
            "The model is left in the mode in which it came, which may be eval: dropout would be off and batch norm frozen after the first "
            "evaluation. Begin with `model.train()`.",
            (_train_mode_late,),
        ),
        "eval-mode": Mistake(
            _stepping(before=lambda model: model.eval()),
            "The model is put into eval mode. Training needs `model.train()`: dropout and batch norm behave otherwise there.",
        ),
        "softmax-first": Mistake(
            _stepping(loss_of=_probabilities),
            "A softmax comes before the cross-entropy, which has one inside. With two, the loss of ten classes cannot fall "
            "below 1.461, and learning is slow. Give it the scores as they are.",
            (_stepping(loss_of=lambda logits, targets: F.cross_entropy(logits.sigmoid(), targets)),),
        ),
        "nll-of-scores": Mistake(
            _stepping(loss_of=_picked),
            "The loss is minus the score of the right class: it can fall without end. `F.nll_loss` wants log-probabilities; "
            "`F.cross_entropy` takes scores.",
            (_stepping(loss_of=lambda logits, targets: F.nll_loss(logits, targets)),),
        ),
        "squared-error": Mistake(
            _stepping(loss_of=lambda logits, targets: F.mse_loss(logits, _soft(logits, targets))),
            "The loss is a squared error. Cross-entropy is asked for: `F.cross_entropy(logits, targets)`.",
            (
                _stepping(loss_of=lambda logits, targets: F.mse_loss(logits.softmax(dim=1), _soft(logits, targets))),
                _stepping(
                    loss_of=lambda logits, targets: F.binary_cross_entropy_with_logits(logits, _soft(logits, targets))
                ),
            ),
        ),
        "summed": Mistake(
            _stepping(loss_of=lambda logits, targets: F.cross_entropy(logits, targets, reduction="sum")),
            "The losses of the images are added up. Take their mean, else a larger batch takes larger steps.",
        ),
        "divided-again": Mistake(
            _stepping(loss_of=lambda logits, targets: F.cross_entropy(logits, targets) / len(targets)),
            "The loss is divided by the batch size once more. `F.cross_entropy` gives the mean already.",
            (
                _stepping(loss_of=lambda logits, targets: F.cross_entropy(logits, targets) / logits.shape[1]),
                _stepping(loss_of=lambda logits, targets: F.cross_entropy(logits, targets) / 2),
            ),
        ),
        "hard-targets": Mistake(
            _stepping(loss_of=_hard),
            "Targets that are probabilities are cut to their largest class, so that mixup and smoothing are lost. "
            "`F.cross_entropy` takes probabilities as they are.",
        ),
        "only-class-numbers": Mistake(
            _stepping(loss_of=_only_indices),
            "Targets are made whole numbers, which turns probabilities into zeros. `F.cross_entropy` takes both kinds as they "
            "come.",
        ),
        "smoothed": Mistake(
            _stepping(loss_of=lambda logits, targets: F.cross_entropy(logits, targets, label_smoothing=0.1)),
            "The labels are smoothed here. Targets are used as they come; what happens to them is decided elsewhere.",
        ),
        "arguments-swapped": Mistake(
            _stepping(loss_of=lambda logits, targets: F.cross_entropy(_soft(logits, targets), logits)),
            "The arguments of the cross-entropy have changed places: scores first, then targets.",
            (_stepping(loss_of=lambda logits, targets: F.cross_entropy(targets, logits)),),
        ),
        "climbs": Mistake(
            _stepping(backward=lambda loss: (-loss).backward()),
            "The weights move up the loss instead of down: a sign is wrong before `backward`.",
        ),
        "clipped": Mistake(
            _stepping(after=_clipped),
            "The gradients are changed between `backward` and `step` (clipped, or scaled). That is useful later; here the step "
            "is plain.",
            (
                _stepping(after=lambda model: nn.utils.clip_grad_norm_(model.parameters(), 1.0)),
                _stepping(after=lambda model: nn.utils.clip_grad_value_(model.parameters(), 0.01)),
            ),
        ),
        "not-its-optimizer": Mistake(
            _stepping(step=_by_hand),
            "The weights are moved by hand, or by an optimizer of your own, with one rate for all. The one that is handed in "
            "knows more: a rate for each group, momentum, weight decay. Use `optimizer.step()`.",
            (_stepping(step=_new_optimizer), _stepping(step=_other_optimizer)),
        ),
        "two-steps": Mistake(
            _stepping(step=_twice),
            "The optimizer steps twice with the same gradients. Once is enough.",
        ),
        "image-by-image": Mistake(
            _image_by_image,
            "Each image gets a step of its own. One call is one step for the whole batch.",
        ),
        "loss-afterwards": Mistake(
            _stepping(give=_again),
            "The loss that comes back is that *after* the step, for which the model ran a second time. Give back the one you "
            "have learned from.",
        ),
        "loss-attached": Mistake(
            _stepping(give=lambda loss, *_: loss),
            "The loss still holds on to its graph, so that a list of losses fills the memory. Give back `loss.detach()` or "
            "`loss.item()`.",
        ),
        "loss-times-batch": Mistake(
            _stepping(give=lambda loss, model, images, targets: loss.detach() * len(images)),
            "The loss comes back multiplied by the batch size. Give back the mean.",
        ),
        "returns-logits": Mistake(
            _stepping(give=lambda loss, model, images, targets: model(images).detach()),
            "The scores come back. What is asked for is the loss, one number.",
        ),
        **{
            slug: mistake
            for slug, mistake in universal_mistakes(train_step, gradients=False, dtypes=False, layouts=False).items()
            if slug != "prints-instead"  # what is printed is not told from nothing here
        },
    },
)


# -- accuracy


def _accuracy_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 84)
    cases = []

    def add(batch: int, classes: int, right: int, *, shift: float = 0.0, note: str = "", **options: Any) -> None:
        """`right` of the images are named rightly."""
        logits = draw.spread(batch, classes) + shift
        labels = logits.argmax(dim=1)
        wrong = draw.normal(batch).argsort()[right:]
        labels[wrong] = (labels[wrong] + 1 + draw.whole(len(wrong)).abs() % (classes - 1)) % classes
        said = f"{note}{batch} image{'s' * (batch > 1)}, {classes} classes, {right} right"
        inputs = {"logits": options.pop("times", 1) * logits, "labels": labels}
        cases.append(Case(said, inputs, gradients=False, **options))

    batch, classes, right = draw.sizes(batch=(9, 11, 13), classes=(5, 6, 7), right=(3, 4))
    add(batch, classes, right)
    add(7, 10, 5, shift=-5.0)
    add(6, 3, 1, shift=4.0, times=2)
    add(5, 2, 3)
    add(12, 12, 7)
    add(4, 9, 4)
    add(8, 5, 0)
    add(1, 4, 1)
    add(1, 3, 0)
    add(30, 7, 19, note="not contiguous in memory, ", strided=True)
    return cases


def _as_fraction(case: Case, seen: Observations) -> Observations:
    """A 0-d tensor of any floating dtype is as good as a float."""
    kept, value = dict(seen), seen.get("output")
    if isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point():
        share, count = value.item(), len(case.inputs["labels"])
        if value.dtype in (torch.float16, torch.bfloat16) and abs(share * count - round(share * count)) < 0.1:
            share = round(share * count) / count  # as near as this dtype can say it
        kept |= {"kind": "float", "output": share}
    elif seen.get("kind") == "int":
        kept |= {"kind": "float", "output": float(value)}
    return kept


def _balanced(logits: Tensor, labels: Tensor) -> float:
    """The mean over classes of the share that is right in each."""
    right = logits.argmax(dim=1) == labels
    return sum(right[labels == one].float().mean().item() for one in labels.unique()) / len(labels.unique())


def _top_two(logits: Tensor, labels: Tensor) -> float:
    return (logits.topk(2, dim=1).indices == labels[:, None]).any(dim=1).float().mean().item()


def _scores_compared(logits: Tensor, labels: Tensor) -> float:
    return (logits.max(dim=1).values == labels).float().mean().item()


def _rounded_scores(logits: Tensor, labels: Tensor) -> float:
    return (logits.softmax(dim=1).round().argmax(dim=1) == labels).float().mean().item()


def _over_images(logits: Tensor, labels: Tensor) -> float:
    best = logits.argmax(dim=0)
    count = min(len(best), len(labels))
    return (best[:count] == labels[:count]).sum().item() / len(labels)


ACCURACY = Exercise(
    name="accuracy",
    lesson="08",
    points=1,
    reference=accuracy,
    cases=_accuracy_cases,
    derive=_as_fraction,
    axes={"logits": "image class", "labels": "image"},
    hints=(
        "For each image: which class has the highest score? Compare with the label.",
        "`logits.argmax(dim=1)` gives the class of each image; `==` gives True or False for each.",
        "The mean of the Trues, as floats, is the share: `(logits.argmax(dim=1) == labels).float().mean()`.",
    ),
    reasoning="A share, 0 … 1, so that it does not depend on how many images there are. Over several batches of different "
    "size, count the right ones and divide once: a mean of means would weigh a small last batch too much.",
    mistakes={
        "percent": Mistake(
            lambda logits, labels: 100 * accuracy(logits, labels),
            "You give a percentage. A share is asked for, 0 … 1.",
        ),
        "count": Mistake(
            lambda logits, labels: float((logits.argmax(dim=1) == labels).sum()),
            "You count the right ones. Divide by the number of images.",
        ),
        "error-rate": Mistake(
            lambda logits, labels: 1 - accuracy(logits, labels),
            "That is the share of *wrong* ones. Compare with `==`.",
        ),
        "one-for-each-image": Mistake(
            lambda logits, labels: logits.argmax(dim=1) == labels,
            "You give True or False for each image. Asked for is one number: the share of Trues.",
            (lambda logits, labels: (logits.argmax(dim=1) == labels).float(),),
        ),
        "over-images": Mistake(
            _over_images,
            "The argmax runs over the images: for each class, which image has the highest score. It has to run over the "
            "classes, the last axis: `dim=1`.",
            (lambda logits, labels: (logits.argmax(dim=0) == labels).float().mean().item(),),
        ),
        "argmax-of-all": Mistake(
            lambda logits, labels: (logits.argmax() == labels).float().mean().item(),
            "`argmax()` without an axis gives one place in the whole table. Take it for each image: `dim=1`.",
        ),
        "argmin": Mistake(
            lambda logits, labels: (logits.argmin(dim=1) == labels).float().mean().item(),
            "You take the lowest score. The model's answer is the class with the highest.",
        ),
        "largest-absolute": Mistake(
            lambda logits, labels: (logits.abs().argmax(dim=1) == labels).float().mean().item(),
            "You take the score that is largest without its sign. A score of -9 is a clear no.",
            (lambda logits, labels: (logits.square().argmax(dim=1) == labels).float().mean().item(),),
        ),
        "scores-compared": Mistake(
            _scores_compared,
            "You compare the highest *score* with the label. What is needed is the place where it stands: `argmax`, or "
            "`max(dim=1).indices`.",
        ),
        "rounded-probabilities": Mistake(
            _rounded_scores,
            "Probabilities are rounded before the largest is looked for: where none is above one half, nothing is left. Take "
            "the argmax of the scores.",
        ),
        "top-two": Mistake(
            _top_two,
            "An image counts as right when its class is among the best two. Only the best one counts here.",
        ),
        "mean-probability": Mistake(
            lambda logits, labels: logits.softmax(dim=1)[torch.arange(len(labels)), labels].mean().item(),
            "You give the mean probability of the right class: how sure the model is. Accuracy counts how often it is right.",
        ),
        "balanced": Mistake(
            _balanced,
            "You take the mean over the classes. That has its uses; accuracy is the share of all images.",
        ),
        "divided-by-classes": Mistake(
            lambda logits, labels: (logits.argmax(dim=1) == labels).sum().item() / logits.shape[1],
            "You divide by the number of classes. Divide by the number of images.",
            (lambda logits, labels: (logits.argmax(dim=1) == labels).sum().item() / logits.numel(),),
        ),
        "all-or-nothing": Mistake(
            lambda logits, labels: float((logits.argmax(dim=1) == labels).all()),
            "You give 1 where *all* are right, else 0. Asked for is the share: divide with `/`, not with `//`, and don't ask for "
            "`all`.",
            (lambda logits, labels: (logits.argmax(dim=1) == labels).sum().item() // len(labels),),
        ),
        "digits-cut": Mistake(
            lambda logits, labels: round(accuracy(logits, labels), 2),
            "Your share is rounded. Give it whole, and round when you print it.",
            tuple(lambda logits, labels, n=n: round(accuracy(logits, labels), n) for n in (0, 1, 3, 4)),
        ),
        "whole-dtype": Mistake(
            lambda logits, labels: (logits.argmax(dim=1) == labels).long().sum() // len(labels),
            "The share comes back as whole numbers: Trues as ints cannot have a mean between 0 and 1. Make them floats first.",
        ),
        **universal_mistakes(accuracy, gradients=False, dtypes=False, layouts=False, tensors=False),
    },
)

EXERCISES = (ACCURACY, TRAIN_STEP, RANDOM_CROP_FLIP, WARMUP_COSINE, MIXUP)
