"""Judging random crops: where each pixel came from, and so how each image was moved and mirrored.

Random results are never compared seed for seed. Every pixel of the images tried holds a number of its own, so each
image's way can be read off its result; and of many images one sees whether their ways are even and independent.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

FIRST = 100  # of the numbers: below it is nothing but black, 0, and what others fill a frame with
# A count this unlikely is no chance: its logarithm, by Chernoff's bound. A case makes some 300 such tests, so that
# right code fails with a probability below 1e-10.
IMPOSSIBLE = 30.0
ENOUGH = 1000  # images, to say how often something happens
OWN = "the image's own, and black"


class Ways(NamedTuple):
    """How images were moved: each value is (calls, batch).

    Attributes:
        top, left: offset into the frame, 0 … 2 · padding in what is asked for.
        mirrored: left for right.
        whole: every pixel went the same way, and the rest is black.
    """

    top: Int64[Tensor, "calls batch"]
    left: Int64[Tensor, "calls batch"]
    mirrored: Bool[Tensor, "calls batch"]
    whole: Bool[Tensor, "calls batch"]


def numbered_batches(calls: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(calls, batch, channels, height, width): each pixel of a batch has its own number; in uint8, of its image."""
    batch, *image = shape
    size = math.prod(image)
    if dtype == torch.uint8:
        assert FIRST + size <= 256
        numbers = _numbers(torch.arange(size), dtype).expand(batch, size)
    else:
        numbers = _numbers(torch.arange(batch * size), dtype)
    return numbers.reshape(1, *shape).repeat(calls, 1, 1, 1, 1)


def _numbers(places: Int64[Tensor, "*shape"], dtype: torch.dtype) -> Tensor:
    """Floats are halves with either sign, so that what rounds, or takes signs away, is seen."""
    whole = (FIRST + places).to(dtype)
    return whole if dtype == torch.uint8 else (whole + 0.5) * (1 - 2 * (places % 2))


def _places(numbers: Tensor) -> Int64[Tensor, "*shape"]:
    """Of what `_numbers` made."""
    return numbers.abs().long() - FIRST


def properties(batches: Tensor, results: Tensor, padding: int) -> dict[str, object]:
    """What is compared: words that are the same for all right code.

    Args:
        batches: as `numbered_batches` made them.
        results: of the same shape and dtype.
        padding: that was asked for.
    """
    pixels = _pixels(batches, results)
    found: dict[str, object] = {"pixels": pixels}
    if pixels != OWN:
        return found
    ways = _ways(results, padding)
    found["each image"] = _wholeness(ways, results)
    if not ways.whole.all():
        return found
    drawn = (ways.top, ways.left, ways.mirrored)
    if len(ways.top) > 1 and all((numbers == numbers[:1]).all() for numbers in drawn):
        still = (ways.top == padding).all() and (ways.left == padding).all()
        if not (still and (ways.mirrored == ways.mirrored[0, 0]).all()):  # else nothing is drawn at all
            return found | {"each call": "does what the first did"}
    for name, offset in (("up or down", ways.top), ("left or right", ways.left)):
        found[f"moved {name}"] = _range(offset, padding)
    if ways.top.numel() >= ENOUGH:
        found["mirrored"] = _mirrored(ways.mirrored)
        even = found["moved up or down"] == found["moved left or right"] == "evenly"
        if even and found["mirrored"] == "about half":
            found["drawn together"] = _bound_together(ways, padding) or "no"
    return found


def _pixels(batches: Tensor, results: Tensor) -> str:
    images, channels, height, width = batches.shape[1:]
    size = channels * height * width
    places, black = _places(results), results == 0
    local = places
    if batches.dtype != torch.uint8:
        local = places - (torch.arange(images) * size).reshape(-1, 1, 1, 1)
    known = black | ((results == _numbers(places, results.dtype)) & (local >= 0) & (local < size))
    if not known.all():
        if batches.dtype != torch.uint8 and torch.isin(results[~known], batches).all():
            return "some are another image's"
        one_colour = all(len(results[:, :, i][~known[:, :, i]].unique()) <= 1 for i in range(channels))
        return "some are of another colour than black" if one_colour else "some are neither the image's nor black"
    channel = local.div(height * width, rounding_mode="floor")
    if ((channel != torch.arange(channels).reshape(-1, 1, 1)) & ~black).any():
        return "some are another channel's"
    return OWN


def _ways(results: Tensor, padding: int) -> Ways:
    """Read off the numbers. `results` hold the images' own pixels and black alone."""
    channels, height, width = results.shape[-3:]
    black, place = results == 0, _places(results)
    row, column = place.div(width, rounding_mode="floor") % height, place % width
    down, across = torch.arange(height)[:, None], torch.arange(width)

    def constant(numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The least number where there is no black, and whether it is the only one."""
        least = numbers.masked_fill(black, 10**6).amin(dim=(2, 3, 4))
        return least, least == numbers.masked_fill(black, -(10**6)).amax(dim=(2, 3, 4))

    (moved_down, straight_down), (moved_across, straight) = constant(row - down), constant(column - across)
    turned, mirrored = constant(column + across)
    moved_across = torch.where(straight, moved_across, turned - (width - 1))
    visible = (height - moved_down.abs()) * (width - moved_across.abs()) * channels
    whole = straight_down & (straight | mirrored) & ((~black).sum(dim=(2, 3, 4)) == visible)
    return Ways(moved_down + padding, moved_across + padding, mirrored & ~straight, whole)


def _wholeness(ways: Ways, results: Tensor) -> str:
    if ways.whole.all():
        return "is one crop of its frame"
    if not (results == 0).any():
        return "is no crop of its frame, and nothing is black"
    if (ways.whole | _ways(results.flip(-2), 0).whole).all():
        return "is one crop of its frame, some upside down"
    if all(_ways(results[:, :, [channel]], 0).whole.all() for channel in range(results.shape[2])):
        return "is no crop of its frame: the channels part"
    return "is no crop of its frame"


def _range(offset: Tensor, padding: int) -> str:
    low, high = int(offset.min()), int(offset.max())
    if low < 0 or high > 2 * padding:
        return "beyond the padding"
    if offset.numel() < ENOUGH:  # too few to say how often
        return "within the padding"
    if low == high == padding:
        return "not at all"
    if (offset == offset[:, :1]).all():
        return "alike in the whole batch"
    if low > 0 or high < 2 * padding:
        return f"by {low - padding} to {high - padding} of -{padding} to {padding}"
    counts = torch.bincount(offset.flatten(), minlength=2 * padding + 1).tolist()
    return "evenly" if all(_possible(one, offset.numel(), 1 / len(counts)) for one in counts) else "unevenly"


def _mirrored(mirrored: Tensor) -> str:
    calls, batch = mirrored.shape
    if mirrored.all() or not mirrored.any():
        return "all" if mirrored.any() else "none"
    if (mirrored == mirrored[:, :1]).all():
        return "the whole batch or none of it"
    if not _possible(int(mirrored.sum()), calls * batch, 0.5):
        return "another share than half"
    if not all(_possible(one, calls, 0.5) for one in mirrored.sum(dim=0).tolist()):
        return "always the same places of the batch"
    return "exactly half of each batch" if len(set(mirrored.sum(dim=1).tolist())) == 1 else "about half"


def _bound_together(ways: Ways, padding: int) -> str:
    """What is even by itself, but not drawn by itself."""
    moves = 2 * padding + 1
    drawn = {"up or down": (ways.top, moves), "left or right": (ways.left, moves), "mirrored": (ways.mirrored, 2)}
    found = []
    for (one, (first, many)), (other, (second, few)) in combinations(drawn.items(), 2):
        counts = torch.bincount((first * few + second).flatten(), minlength=many * few).tolist()
        if not all(_possible(count, first.numel(), 1 / (many * few)) for count in counts):
            found.append(f"{one} and {other}")
    return ", ".join(found)


def _possible(count: int, total: int, share: float) -> bool:
    """Whether so many of `total` independent draws of probability `share` are possible."""
    seen, divergence = count / total, 0.0
    for a, b in ((seen, share), (1 - seen, 1 - share)):
        divergence += a * math.log(a / b) if a else 0.0
    return total * divergence < IMPOSSIBLE
