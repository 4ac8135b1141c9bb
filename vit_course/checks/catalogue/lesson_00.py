"""Lesson 00: two warm-ups, and how checks work."""

import torch
import torch.nn.functional as F
from einops import reduce

from vit_course.checks.catalogue.cases import Draw, describe_images, numbered
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case
from vit_course.images import average_pool_2x2, to_channels_first


def _channels_cases(seed: int) -> list[Case]:
    draw = Draw(seed)

    def sizes(channels: int, batch: tuple[int, ...] = (2, 4, 5)) -> list[int]:
        return draw.sizes(batch=batch, height=range(4, 9), width=range(4, 9), channels=(channels,))

    drawn = [
        ("", numbered(*sizes(3)), {"numbered": True}),
        ("", draw.bytes(*sizes(3)), {}),
        ("", draw.normal(*sizes(3)), {}),
        ("", draw.normal(*sizes(1)), {}),
        ("", draw.normal(*sizes(3, (1,))), {}),
        ("", draw.normal(2, 6, 6, 3), {}),
        ("again, ", draw.normal(2, 6, 6, 3), {}),  # the same sizes: a result kept from the last call shows
        ("", draw.normal(*sizes(4, (9, 11))), {}),
        ("", draw.normal(2, 3, 5, 2), {}),  # as high as there are channels elsewhere
        ("", draw.normal(*sizes(3), dtype=torch.float64), {}),
        ("not contiguous in memory, ", draw.normal(*sizes(3)), {"strided": True}),
        ("", draw.whole(*sizes(3)), {}),
        ("", draw.normal(*sizes(3), dtype=torch.bfloat16), {}),
    ]
    return [
        Case(note + describe_images(images.permute(0, 3, 1, 2)), {"images": images}, **options)
        for note, images, options in drawn
    ]


TO_CHANNELS_FIRST = Exercise(
    name="to_channels_first",
    lesson="00",
    points=1,
    reference=to_channels_first,
    exact=True,
    cases=_channels_cases,
    axes={"images": "image row column channel", "output": "image channel row column"},
    hints=(
        "`reshape` keeps the numbers in their order in memory and only cuts them up anew. Here the axes have to move.",
        "`images.permute(…)` takes the old axes in their new order. Which old axis should come second?",
        'Name the axes and let einops move them: `rearrange(images, "b h w c -> …")`.',
    ),
    reasoning="The right side of the pattern says what comes out. Nothing is copied: only the order in which the axes "
    "are walked changes. `images.permute(0, 3, 1, 2)` does the same.",
    mistakes={
        "reshape-only": Mistake(
            lambda x: x.reshape(x.shape[0], x.shape[3], x.shape[1], x.shape[2]),
            "The shape is right and the picture is confetti: `reshape` (or `view`) cuts the same row of numbers into "
            "other lengths and moves nothing, so red, green and blue land in one channel. Move the axes with "
            "`permute` or `rearrange`.",
        ),
        "height-width-swapped": Mistake(
            lambda x: x.transpose(1, 3),
            "The channels are in the right place, but rows and columns have changed places: your pictures are mirrored "
            "along their diagonal. Only the channel axis moves; height and width keep their order.",
        ),
        "moves-the-wrong-way": Mistake(
            lambda x: x.permute(0, 2, 3, 1),
            "That is the way from channels first to channels last. Here the channels stand last and should come second.",
        ),
        "stops-halfway": Mistake(
            lambda x: x.transpose(2, 3),
            "Only two axes have changed places, so the channels stand in the middle of the picture's sides. "
            "They have to pass both height and width.",
        ),
        "sides-swapped-only": Mistake(
            lambda x: x.transpose(1, 2),
            "Height and width have changed places, and the channels still stand last. It is the other way round: the "
            "channels move to second place, and height and width keep their order.",
        ),
        "batch-moved": Mistake(
            lambda x: x.permute(3, 0, 1, 2),
            "The channels come before the batch. The first axis always counts the images; channels come second.",
        ),
        "one-image-only": Mistake(
            lambda x: x[:1].permute(0, 3, 1, 2),
            "Only the first image comes back. Keep the batch axis: all images at once.",
            (lambda x: x[0].permute(2, 0, 1),),
        ),
        "all-reversed": Mistake(
            lambda x: x.permute(3, 2, 1, 0),
            "All four axes are in the opposite order. The batch stays first and height stays before width; only the "
            "channels move.",
            (lambda x: x.permute(0, 3, 2, 1).transpose(0, 1),),
        ),
        "drops-channels": Mistake(
            lambda x: x[..., :3].permute(0, 3, 1, 2),
            "Only the first three channels come back. Images may have four, with transparency.",
        ),
        "channels-reversed": Mistake(
            lambda x: x.flip(-1).permute(0, 3, 1, 2),
            "The axes are right, but red and blue have changed places. Keep the channels in their order.",
        ),
        "scales-values": Mistake(
            lambda x: x.permute(0, 3, 1, 2) / 255,
            "The axes are right, but the numbers are divided by 255. Only the order of the axes should change.",
            (lambda x: x.permute(0, 3, 1, 2).float() / 255,),
        ),
        **universal_mistakes(to_channels_first),
    },
)


def _pool_cases(seed: int) -> list[Case]:
    draw = Draw(seed)

    def sizes(channels: int, batch: tuple[int, ...] = (2, 4, 5)) -> list[int]:
        rows, columns = draw.sizes(rows=range(2, 8), columns=range(2, 8))
        return [*draw.sizes(batch=batch, channels=(channels,)), 2 * rows, 2 * columns]

    drawn = [
        ("", numbered(*sizes(1)), {"numbered": True}),
        ("", draw.normal(*sizes(3)), {}),
        ("", draw.normal(*sizes(1)), {}),
        ("", draw.normal(*sizes(3, (1,))), {}),
        ("", draw.normal(2, 3, 8, 8), {}),
        ("again, ", draw.normal(2, 3, 8, 8), {}),
        ("", draw.normal(*sizes(4, (9, 11))), {}),
        ("", draw.normal(3, 2, 2, 2), {}),
        ("", draw.normal(*sizes(3), dtype=torch.float64), {}),
        ("not contiguous in memory, ", draw.normal(*sizes(3)), {"strided": True}),
    ]
    return [Case(note + describe_images(images), {"images": images}, **options) for note, images, options in drawn]


def _halves(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Mean over pairs along one axis only."""
    return x.unflatten(axis, (-1, 2)).mean(axis + 1)


AVERAGE_POOL_2X2 = Exercise(
    name="average_pool_2x2",
    lesson="00",
    points=1,
    reference=average_pool_2x2,
    exact=True,
    cases=_pool_cases,
    axes={"images": "image channel row column", "output": "image channel row column"},
    hints=(
        "Split each side into (blocks, pixels inside a block), then take the mean over the two axes inside a block.",
        "In an einops pattern `(h 2)` splits a side into h blocks of 2 pixels. The outer axis is written first.",
        'What the right side of a `reduce` pattern leaves out is averaged: `reduce(images, "b c (h 2) (w 2) -> …", "mean")`.',
    ),
    reasoning="`(height 2)` splits the rows into blocks of two; leaving the 2 out on the right averages over it. "
    "`F.avg_pool2d(images, 2)` does the same.",
    mistakes={
        "maximum": Mistake(
            lambda x: F.max_pool2d(x, 2),
            "Each block gives its largest pixel. That is max pooling; here the mean of the four is asked for.",
        ),
        "sum": Mistake(
            lambda x: F.avg_pool2d(x, 2) * 4,
            "Each block gives the sum of its four pixels. Divide by four, or take the mean.",
        ),
        "divides-by-two": Mistake(
            lambda x: F.avg_pool2d(x, 2) * 2,
            "The sum of the four pixels is divided by two. There are four of them.",
        ),
        "skips-pixels": Mistake(
            lambda x: x[..., ::2, ::2],
            "Every other pixel is dropped and nothing is averaged. Each new pixel should be the mean of a 2 × 2 block.",
            (lambda x: x[..., 1::2, 1::2], lambda x: x[..., ::2, 1::2], lambda x: x[..., 1::2, ::2]),
        ),
        "far-apart": Mistake(
            lambda x: reduce(x, "b c (k h) (l w) -> b c h w", "mean", k=2, l=2),
            "Pixels from opposite halves of the image are averaged, so four small pictures lie on top of each other. "
            "In `(2 h)` the 2 is the outer axis and walks in big steps; neighbours are `(h 2)`.",
        ),
        "half-far-apart": Mistake(
            lambda x: reduce(x, "b c (k h) (w l) -> b c h w", "mean", k=2, l=2),
            "Half done: one side is split rightly, the other is not. Two halves of the image still lie on top of each "
            "other. Write `(h 2)` and `(w 2)`: the 2 is the inner axis of both.",
            (lambda x: reduce(x, "b c (h k) (l w) -> b c h w", "mean", k=2, l=2),),
        ),
        "diagonal-only": Mistake(
            lambda x: (x[..., ::2, ::2] + x[..., 1::2, 1::2]) / 2,
            "You average two of the four pixels of a block. All four count.",
            (lambda x: (x[..., ::2, 1::2] + x[..., 1::2, ::2]) / 2,),
        ),
        "runs-of-four": Mistake(
            lambda x: x.reshape(*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2, 4).mean(-1),
            "Four pixels are averaged, but four in a row of memory, not a 2 × 2 block: `reshape` alone cannot bring "
            "pixels of two rows together. Split height and width separately.",
        ),
        "rows-only": Mistake(
            lambda x: _halves(x, 2),
            "Only the height is halved. Average over pairs of columns as well.",
        ),
        "columns-only": Mistake(
            lambda x: _halves(x, 3),
            "Only the width is halved. Average over pairs of rows as well.",
        ),
        "mixes-channels": Mistake(
            lambda x: F.avg_pool2d(x, 2).mean(1, keepdim=True).expand(-1, x.shape[1], -1, -1),
            "The channels are averaged too, so the colours are gone. Each channel is pooled by itself.",
            (lambda x: F.avg_pool2d(x, 2).mean(1, keepdim=True), lambda x: F.avg_pool2d(x, 2).mean(1)),
        ),
        "overlapping": Mistake(
            lambda x: F.avg_pool2d(x, 2, stride=1),
            "The 2 × 2 window moves one pixel at a time, so the blocks overlap. It should move two.",
        ),
        "rounds": Mistake(
            lambda x: F.avg_pool2d(x, 2).floor(),
            "The means are rounded to whole numbers. Use `/`, not `//`, and keep the fractions.",
            (
                lambda x: F.avg_pool2d(x, 2).round(),
                lambda x: F.avg_pool2d(x, 2).trunc(),
                lambda x: F.avg_pool2d(x, 2).ceil(),
            ),
        ),
        **universal_mistakes(average_pool_2x2),
    },
)

EXERCISES = (TO_CHANNELS_FIRST, AVERAGE_POOL_2X2)
