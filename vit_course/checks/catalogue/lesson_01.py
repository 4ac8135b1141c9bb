"""Lesson 01: from an image to patches, and back."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from vit_course.checks.cards import pixel_table
from vit_course.checks.catalogue.cases import Draw, describe_images, image_grids, numbered, patch_cases
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.explaining import origin
from vit_course.checks.observers import Case, Observations, use_pattern
from vit_course.patches import ARTICLE_PATTERN, corrected_pattern, num_patches, patchify, unpatchify

LARGEST_PICTURE = 24


def _num_patches_cases(seed: int) -> list[Case]:
    draw = Draw(seed)
    fitting = [
        (224, 224, 16),
        (224, 224, 8),
        (224, 224, 14),
        (32, 32, 4),
        (16, 16, 16),
        (16, 48, 16),
        (48, 16, 16),
        (5, 7, 1),
    ]
    for _ in range(4):
        rows, columns, size = draw.sizes(rows=range(2, 9), columns=range(2, 9), size=range(2, 17))
        fitting.append((rows * size, columns * size, size))
    # 8 × 18 pixels are as many as one patch of 12 × 12 has: a check of the area alone is fooled.
    odd = [(30, 32, 4), (32, 30, 4), (8, 18, 12), (18, 8, 12)]
    # Both sides wrong by as much, by amounts that cancel, by chance, and images smaller than a patch.
    odd += [(30, 30, 4), (30, 34, 4), (31, 33, 4), (24, 24, 16), (8, 24, 12), (7, 9, 4), (4, 4, 8)]
    rows, columns, size = draw.sizes(rows=range(2, 9), columns=range(2, 9), size=range(3, 17))
    odd += [(rows * size + 1, columns * size, size), (rows * size, columns * size - 1, size)]
    return [
        Case(f"{height} × {width} pixels, patch size {size}", {"height": height, "width": width, "patch_size": size})
        for height, width, size in fitting + odd
    ]


def _checked(count: Callable[[int, int, int], object]) -> Callable:
    """A wrong count that still asks for sizes that fit."""

    def run(height: int, width: int, patch_size: int) -> object:
        if height % patch_size or width % patch_size:
            raise ValueError("sizes do not fit")
        return count(height, width, patch_size)

    return run


def _asserting(height: int, width: int, patch_size: int) -> int:
    assert height % patch_size == 0 and width % patch_size == 0
    return (height // patch_size) * (width // patch_size)


def _unless(misfit: Callable[[int, int, int], bool]) -> Callable[[int, int, int], int]:
    """A right count behind another condition than the one asked for."""

    def run(height: int, width: int, patch_size: int) -> int:
        if misfit(height, width, patch_size):
            raise ValueError("sizes do not fit")
        return (height // patch_size) * (width // patch_size)

    return run


def _area(height: int, width: int, patch_size: int) -> int:
    if height * width % patch_size**2:
        raise ValueError("sizes do not fit")
    return height * width // patch_size**2


def _raising(error: type[Exception]) -> Callable[[int, int, int], int]:
    """A right count that raises another exception than the one asked for."""

    def run(height: int, width: int, patch_size: int) -> int:
        if height % patch_size or width % patch_size:
            raise error("sizes do not fit")
        return (height // patch_size) * (width // patch_size)

    return run


NUM_PATCHES = Exercise(
    name="num_patches",
    lesson="01",
    points=1,
    reference=num_patches,
    cases=_num_patches_cases,
    axes={},
    hints=(
        "How many patches fit side by side? How many below each other?",
        "`//` divides and gives an int; `%` gives what is left over. Both sides have to come out even.",
        "Raise `ValueError(…)` when `height % patch_size` or `width % patch_size` is not 0; else multiply the two counts.",
    ),
    reasoning="Rows of patches times columns of patches. Sizes that do not fit are refused: silently dropping the last "
    "pixels is a bug that nobody would notice later.",
    mistakes={
        "square-only": Mistake(
            _checked(lambda h, w, p: (h // p) ** 2),
            "That is right for square images. Count rows and columns of patches separately.",
            (
                _checked(lambda h, w, p: (w // p) ** 2),
                _unless(lambda h, w, p: h != w or h % p != 0),
                lambda h, w, p: (h // p) ** 2,
                lambda h, w, p: (w // p) ** 2,
            ),
        ),
        "float": Mistake(
            _checked(lambda h, w, p: (h / p) * (w / p)),
            "Where the patches fit the number is right, but it is a float, since `/` always makes one. A count is an "
            "int: use `//`.",
            (lambda h, w, p: (h / p) * (w / p),),
        ),
        "drops-remainder": Mistake(
            lambda h, w, p: (h // p) * (w // p),
            "Sizes that do not fit are rounded down without a word, and the last pixels would be lost. Raise a "
            "`ValueError` when a side is not a multiple of the patch size.",
            (lambda h, w, p: h * w // p**2,),
        ),
        "rounds-up": Mistake(
            lambda h, w, p: math.ceil(h / p) * math.ceil(w / p),
            "Sizes that do not fit are rounded up. Raise a `ValueError` when a side is not a multiple of the patch size.",
        ),
        "asserts": Mistake(
            _asserting,
            "The condition is right, but `assert` raises an `AssertionError` and vanishes under `python -O`. Bad "
            "arguments deserve `raise ValueError(…)` that names them.",
        ),
        "checks-area": Mistake(
            _unless(lambda h, w, p: h * w % p**2 != 0),
            "You check that the pixels of the image are a multiple of the pixels of a patch. An image of 8 × 18 has "
            "just as many as a patch of 12 × 12, and still no such patch fits. Check each side.",
            (_area,),
        ),
        "checks-height-only": Mistake(
            _unless(lambda h, w, p: h % p != 0), "You check the height. The width can fail to fit as well."
        ),
        "checks-width-only": Mistake(
            _unless(lambda h, w, p: w % p != 0), "You check the width. The height can fail to fit as well."
        ),
        "needs-both-wrong": Mistake(
            _unless(lambda h, w, p: h % p != 0 and w % p != 0),
            "You refuse an image only when both sides do not fit. One is enough: `or`, not `and`.",
        ),
        "compares-remainders": Mistake(
            _unless(lambda h, w, p: h % p != w % p),
            "You compare the two remainders. An image of 30 × 30 leaves 2 over on both sides with patches of 4, and "
            "passes. Each remainder has to be 0.",
        ),
        "compares-the-sides": Mistake(
            _unless(lambda h, w, p: h % w or w % p),
            "You divide one side of the image by the other. Both have to be multiples of the patch size: `height % "
            "patch_size` and `width % patch_size`.",
            (
                _unless(lambda h, w, p: h % p or w % h),
                _unless(lambda h, w, p: h % w or h % p),
                _unless(lambda h, w, p: h % w),
                _unless(lambda h, w, p: w % h),
                _unless(lambda h, w, p: w % h or w % p),
            ),
        ),
        "checks-sum": Mistake(
            _unless(lambda h, w, p: (h + w) % p != 0),
            "You check the sum of the sides. 30 + 34 is a multiple of 4, yet neither side is. Check each side.",
        ),
        "returns-instead-of-raising": Mistake(
            lambda h, w, p: None if h % p or w % p else (h // p) * (w // p),
            "When the sizes do not fit you return something, and whoever called may not notice. `raise ValueError(…)` "
            "instead.",
            (
                lambda h, w, p: -1 if h % p or w % p else (h // p) * (w // p),
                lambda h, w, p: 0 if h % p or w % p else (h // p) * (w // p),
                lambda h, w, p: False if h % p or w % p else (h // p) * (w // p),
                lambda h, w, p: ValueError("sizes do not fit") if h % p or w % p else (h // p) * (w // p),
                lambda h, w, p: print("sizes do not fit") if h % p or w % p else (h // p) * (w // p),
            ),
        ),
        "other-exception": Mistake(
            _raising(Exception),
            "You stop it, but with another exception. A `ValueError` is asked for: it says that an argument has a bad "
            "value, and callers can catch just that.",
            (_raising(RuntimeError), _raising(TypeError)),
        ),
        "one-row": Mistake(
            _checked(lambda h, w, p: h * w // p),
            "You divide by the patch size once. A patch covers patch size × patch size pixels.",
            (lambda h, w, p: h * w // p,),
        ),
        "counts-cls": Mistake(
            _checked(lambda h, w, p: (h // p) * (w // p) + 1),
            "That is one too many. The CLS token comes in lesson 03; here only the patches are counted.",
            (lambda h, w, p: (h // p) * (w // p) + 1,),
        ),
        "returns-grid": Mistake(
            _checked(lambda h, w, p: (h // p, w // p)),
            "You give back two things. If they are the rows and columns of patches: asked for is how many patches that "
            "makes, so multiply them.",
            (lambda h, w, p: (h // p, w // p),),
        ),
        **universal_mistakes(num_patches, gradients=False, dtypes=False, layouts=False, tensors=False),
    },
)


def _cut(pattern: str) -> Callable[[Tensor, int], Tensor]:
    return lambda images, size: rearrange(images, pattern, p1=size, p2=size)


def _cut_fixed(size: int) -> Callable[[Tensor, int], Tensor]:
    return lambda images, _: patchify(images, size)


def _rows_and_columns_mixed_up(images: Tensor, size: int) -> Tensor:
    batch, channels, height, width = images.shape
    cut = images.reshape(batch, channels, width // size, size, height // size, size)
    return rearrange(cut, "b c h p1 w p2 -> b (h w) (p1 p2 c)")


def _without_last(images: Tensor, size: int) -> Tensor:
    height, width = images.shape[-2:]
    return patchify(images[..., : height - size, : width - size], size)


def _cut_reshape(images: Tensor, size: int) -> Tensor:
    return images.reshape(len(images), -1, size * size * images.shape[1])


def _windows(images: Tensor, size: int) -> Tensor:
    """(B, C, H/P, W/P, P, P)"""
    return images.unfold(2, size, size).unfold(3, size, size)


def _cut_reshape_channels_last(images: Tensor, size: int) -> Tensor:
    return images.permute(0, 2, 3, 1).reshape(len(images), -1, size * size * images.shape[1])


def _draw_patches(case: Case, expected: Observations, got: Observations) -> str:
    """The pixels of the first wrong token, each with its place in the token: expected beside yours."""
    a, b = expected.get("output"), got.get("output")
    if not case.numbered or not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
        return ""
    images = case.inputs["images"]
    height, width = images.shape[-2:]
    wrong = (a != b).any(dim=-1).nonzero()
    if max(height, width) > LARGEST_PICTURE or not len(wrong):
        return ""
    image, token = (int(i) for i in wrong[0])
    tables = []
    for title, values in (("expected", a), ("yours", b)):
        marked: dict[tuple[int, int], str] = {}
        for place, value in enumerate(values[image, token].tolist()):
            came_from = origin(value, images.shape)
            if came_from is not None:
                marked.setdefault(came_from[2:], str(place))
        tables.append(pixel_table(f"token {token}, {title}", height, width, marked))
    caption = "The pixels that token is made of. The number is the place of the pixel's first value in the token."
    return "".join(tables) + f'<div style="font-size:0.85em">{caption}</div>'


_ORDER = "The pixels of a patch should follow in reading order, the channels of one pixel side by side: `(p1 p2 c)`."

# The ways to cut wrongly are the same for cutting, for the pattern and, backwards, for putting together.
# slug → (pattern with the patch's sides named p1 and p2, message)
WRONG_CUTS = {
    "channel-first": (
        "b c (rows p1) (columns p2) -> b (rows columns) (c p1 p2)",
        "Your patches hold the right pixels, but channel first: `(c p1 p2)`, all reds, then all greens, then all blues. "
        + _ORDER,
    ),
    "channel-middle": (
        "b c (rows p1) (columns p2) -> b (rows columns) (p1 c p2)",
        "Your patches hold the right pixels, but with the channel in the middle: `(p1 c p2)`. " + _ORDER,
    ),
    "column-major": (
        "b c (rows p1) (columns p2) -> b (columns rows) (p1 p2 c)",
        "Each patch is right, but the patches follow column by column: `(columns rows)`. They should follow in reading order, "
        "row by row: `(rows columns)`.",
    ),
    "pixels-transposed": (
        "b c (rows p1) (columns p2) -> b (rows columns) (p2 p1 c)",
        "The patches are in the right order, but inside each the pixels run column by column: `(p2 p1 c)`. " + _ORDER,
    ),
    "all-transposed": (
        "b c (rows p1) (columns p2) -> b (columns rows) (p2 p1 c)",
        "Rows and columns have changed places twice: the patches follow column by column, and so do the pixels inside "
        "them. It is as if the picture were mirrored along its diagonal.",
    ),
    "strided-split": (
        "b c (p1 rows) (p2 columns) -> b (rows columns) (p1 p2 c)",
        "The shape is right, but each of your patches takes pixels from all over the image, a grid with big gaps: a "
        "thumbnail of the whole picture. In `(p1 rows)` the first name is the outer axis and walks in big steps. "
        "Neighbouring pixels need the patch's side inside: `(rows p1)`.",
    ),
    "strided-rows": (
        "b c (p1 rows) (columns p2) -> b (rows columns) (p1 p2 c)",
        "Columns are right, but the rows of each patch lie far apart: the height is split as `(p1 rows)`, outer axis first. "
        "It should be `(rows p1)`: so many rows of patches, of p1 pixels each.",
    ),
    "strided-columns": (
        "b c (rows p1) (p2 columns) -> b (rows columns) (p1 p2 c)",
        "Rows are right, but the columns of each patch lie far apart: the width is split as `(p2 columns)`, outer axis first. "
        "It should be `(columns p2)`: so many columns of patches, of p2 pixels each.",
    ),
}

PATCHIFY = Exercise(
    name="patchify",
    lesson="01",
    points=3,
    reference=patchify,
    exact=True,
    cases=patch_cases,
    axes={"images": "image channel row column", "output": "image patch value"},
    picture=_draw_patches,
    hints=(
        "Split the height into (rows of patches, pixels in a patch), the width likewise. Then there are six axes to put "
        "in order.",
        "With einops: `b c (rows p1) (columns p2) -> …`. In a bracket the outer axis comes first: rows of patches, of p1 pixels each.",
        "On the right: the batch, then all patches in reading order `(rows columns)`, then what is inside a patch, `(p1 p2 c)`. "
        "einops needs to be told `p1=patch_size, p2=patch_size`.",
    ),
    reasoning="Read the pattern aloud: the height is so many rows of patches of p1 pixels, the width so many columns of patches of p2 pixels; line "
    "the patches up row by row, and in each one the pixels row by row with their channels together.",
    mistakes={
        **{slug: Mistake(_cut(pattern), message) for slug, (pattern, message) in WRONG_CUTS.items()},
        "reshape-only": Mistake(
            _cut_reshape,
            "The shape is right, but `reshape` (or `view`) alone only cuts the long row of numbers into pieces: your "
            "“patches” are runs of pixels from one or a few rows. Split the sides first, then bring the axes in order "
            "with `permute` or `rearrange`, then flatten.",
            (
                _cut_reshape_channels_last,
                lambda images, size: _windows(images, size).reshape(len(images), -1, size * size * images.shape[1]),
            ),
        ),
        "height-width-swapped": Mistake(
            _rows_and_columns_mixed_up,
            "Right for square images, scrambled for others: the rows of patches are counted from the width, the columns "
            "from the height. `images.shape` is (batch, channels, height, width).",
        ),
        "values-before-patches": Mistake(
            lambda images, size: F.unfold(images, size, stride=size),
            "The last two axes have changed places: (batch, values, patches). `F.unfold` gives it that way, and with the "
            "channel first besides. Each row should be one patch.",
            (
                _cut("b c (h p1) (w p2) -> b (p1 p2 c) (h w)"),
                _cut("b c (h p1) (w p2) -> b (c p1 p2) (h w)"),
            ),
        ),
        "grid-kept": Mistake(
            _cut("b c (h p1) (w p2) -> b h w (p1 p2 c)"),
            "The patches still stand in rows and columns. A sequence model wants one line of them: `(rows columns)`.",
            (_cut("b c (h p1) (w p2) -> b h w (c p1 p2)"),),
        ),
        "patches-not-flattened": Mistake(
            _cut("b c (h p1) (w p2) -> b (h w) p1 p2 c"),
            "Each patch is still a little picture. Flatten it to one vector: `(p1 p2 c)`.",
            (
                _cut("b c (h p1) (w p2) -> b (h w) c p1 p2"),
                _cut("b c (h p1) (w p2) -> b (h w) (p1 p2) c"),
                _cut("b c (h p1) (w p2) -> b h w c p1 p2"),
                _cut("b c (h p1) (w p2) -> b h w p1 p2 c"),
                _cut("b c (h p1) (w p2) -> b c h w p1 p2"),
                _cut("b c (h p1) (w p2) -> b c (h w) (p1 p2)"),
            ),
        ),
        "channel-first-transposed": Mistake(
            _cut("b c (h p1) (w p2) -> b (h w) (c p2 p1)"),
            "The right pixels, but channel first, and column by column besides: `(c p2 p1)`. " + _ORDER,
        ),
        "patches-reversed": Mistake(
            lambda images, size: patchify(images, size).flip(1),
            "Each patch is right, but they come in the opposite order, the last one first.",
        ),
        "last-ones-missing": Mistake(
            lambda images, size: _without_last(images, size),
            "The last row and column of patches are missing. A loop to the end is `range(0, height, patch_size)`, without "
            "`- patch_size`.",
            (lambda images, size: patchify(images, size)[:, :-1],),
        ),
        "overlapping": Mistake(
            lambda images, size: rearrange(
                images.unfold(2, size, 1).unfold(3, size, 1), "b c h w p1 p2 -> b (h w) (p1 p2 c)"
            ),
            "The window moves one pixel at a time, so the patches overlap. It should move by a whole patch.",
            (lambda images, size: F.unfold(images, size).transpose(1, 2),),
        ),
        "channels-as-patches": Mistake(
            _cut("b c (h p1) (w p2) -> b (c h w) (p1 p2)"),
            "Each channel became a patch of its own. A patch holds all channels of its pixels.",
            (_cut("b c (h p1) (w p2) -> b (h w c) (p1 p2)"),),
        ),
        "size-given-to-the-count": Mistake(
            lambda images, size: rearrange(images, "b c (h p1) (w p2) -> b (h w) (p1 p2 c)", h=size, w=size),
            "You gave the patch size to the names that count patches. `p1` and `p2` are the sides of a patch: "
            "`p1=patch_size, p2=patch_size`.",
        ),
        "batch-flattened": Mistake(
            _cut("b c (h p1) (w p2) -> (b h w) (p1 p2 c)"),
            "The patches of all images stand in one line. Keep the batch axis: every image has its own sequence.",
        ),
        "fixed-patch-size": Mistake(
            _cut_fixed(4),
            "Your code always cuts patches of one size. Use the argument `patch_size`.",
            tuple(_cut_fixed(size) for size in (2, 8, 16)),
        ),
        "fixed-channels": Mistake(
            lambda images, size: patchify(images.reshape(len(images), 3, *images.shape[-2:]), size),
            "Your code works for one number of channels only. Grey images have 1, colour images 3: read it off the shape.",
            (
                lambda images, size: patchify(images.reshape(len(images), 1, *images.shape[-2:]), size),
                lambda images, size: patchify(images[:, :1], size),
            ),
        ),
        "fixed-batch": Mistake(
            lambda images, size: patchify(images[:1], size),
            "Your code works for one image only. The first axis is the batch; read its size off the shape.",
            (
                lambda images, size: patchify(images.reshape(1, *images.shape[1:]), size),
                lambda images, size: patchify(images, size)[0],
            ),
        ),
        **universal_mistakes(patchify),
    },
)


def _unpatchify_cases(seed: int) -> list[Case]:
    cases = []
    for note, images, size, options in image_grids(seed + 1, moved=True):
        height, width = images.shape[-2:]
        patches = patchify(images, size)
        if options.get("numbered"):
            patches = numbered(*patches.shape)
        inputs = {"patches": patches, "patch_size": size, "height": height, "width": width}
        cases.append(Case(f"{note}the patches of {describe_images(images, size)}", inputs, **options))
    return cases


def _join(pattern: str) -> Callable[[Tensor, int, int, int], Tensor]:
    """Undo a cut: the pattern backwards."""
    left, right = pattern.split(" -> ")

    def run(patches: Tensor, size: int, height: int, width: int) -> Tensor:
        return rearrange(patches, f"{right} -> {left}", rows=height // size, columns=width // size, p1=size, p2=size)

    return run


def _join_square(patches: Tensor, size: int, height: int, width: int) -> Tensor:
    side = int(patches.shape[1] ** 0.5)
    return rearrange(patches, "b (h w) (p1 p2 c) -> b c (h p1) (w p2)", h=side, w=side, p1=size, p2=size)


def _join_rows(patches: Tensor, size: int) -> Tensor:
    """The number of rows from the square root, the columns as they come."""
    rows = int(patches.shape[1] ** 0.5)
    return rearrange(patches, "b (h w) (p1 p2 c) -> b c (h p1) (w p2)", h=rows, p1=size, p2=size)


def _join_grid(patches: Tensor, size: int, rows: int, height: int, width: int) -> Tensor:
    """Reshaped by hand with a wrong number of rows."""
    columns = width // size
    cut = patches.reshape(len(patches), rows, columns, size, size, -1)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, rows * size, columns * size)


def _draw_image(case: Case, expected: Observations, got: Observations) -> str:
    """Which patch each pixel of the first wrong image comes from: expected beside yours."""
    a, b = expected.get("output"), got.get("output")
    if not case.numbered or not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
        return ""
    height, width = a.shape[-2:]
    wrong = (a != b).any(dim=-1).any(dim=-1).nonzero()
    if max(height, width) > LARGEST_PICTURE or not len(wrong):
        return ""
    image, channel = (int(i) for i in wrong[0])

    def marked(values: Tensor, axis: int) -> dict[tuple[int, int], str]:
        return {
            (row, column): str(came_from[axis])
            for row, line in enumerate(values[image, channel].tolist())
            for column, value in enumerate(line)
            if (came_from := origin(value, case.inputs["patches"].shape)) is not None
        }

    # Pixels that all come from the right patch are told apart by their places in it.
    axis = 1 if marked(a, 1) != marked(b, 1) else 2
    tables = [
        pixel_table(f"image {image}, {title}", height, width, marked(values, axis))
        for title, values in (("expected", a), ("yours", b))
    ]
    what = "which patch the pixel was taken from" if axis == 1 else "which number of its patch the pixel is, from 0"
    caption = f"Channel {channel}. The number says {what}."
    return "".join(tables) + f'<div style="font-size:0.85em">{caption}</div>'


_WRONG_JOINS = {
    "channel-first": "The pixels land in the right patch, but you read each patch channel first, `(c p1 p2)`. `patchify` wrote "
    "`(p1 p2 c)`: the channels of a pixel side by side.",
    "channel-middle": "The pixels land in the right patch, but you read each patch as `(p1 c p2)`. `patchify` wrote `(p1 p2 c)`.",
    "column-major": "Each patch is right, but you lay them out column by column, `(columns rows)`. They come row by row: `(rows columns)`.",
    "pixels-transposed": "The patches are in place, but each lies on its side: `(p2 p1 c)`. Its pixels come row by row: `(p1 p2 c)`.",
    "all-transposed": "Patches and the pixels inside them are both laid out column by column. Both come row by row.",
    "strided-split": "You spread the pixels of each patch over the whole image: `(p1 rows)` puts the patch's side outside. Pixels of one "
    "patch stay neighbours: `(rows p1)` and `(columns p2)`.",
    "strided-rows": "Columns are right, but the rows of each patch are spread over the image: `(p1 rows)` should be `(rows p1)`.",
    "strided-columns": "Rows are right, but the columns of each patch are spread over the image: `(p2 columns)` should be `(columns p2)`.",
}

UNPATCHIFY = Exercise(
    name="unpatchify",
    lesson="01",
    points=2,
    reference=unpatchify,
    exact=True,
    cases=_unpatchify_cases,
    axes={"patches": "image patch value", "output": "image channel row column"},
    picture=_draw_image,
    hints=(
        "Run `patchify` backwards: the pattern with its two sides exchanged.",
        "On the left now stands `b (rows columns) (p1 p2 c)`. What can einops not know by itself?",
        "Tell it `h=height // patch_size`, and `p1` and `p2`; w and c follow from the shape.",
    ),
    reasoning="An einops pattern read from right to left is its own inverse. The number of rows of patches has to be "
    "given, since 6 patches may be 2 × 3 or 3 × 2; the channels then follow.",
    mistakes={
        **{slug: Mistake(_join(WRONG_CUTS[slug][0]), message) for slug, message in _WRONG_JOINS.items()},
        "reshape-only": Mistake(
            lambda x, size, height, width: x.reshape(len(x), x.shape[-1] // size**2, height, width),
            "The shape is right, but `reshape` alone only writes the numbers down in another line length. Split the "
            "patches into h × w and p1 × p2 × c, bring the axes in order, then merge.",
            (
                lambda x, size, height, width: x.reshape(len(x), height, width, -1).permute(0, 3, 1, 2),
                lambda x, size, height, width: x.transpose(1, 2).reshape(len(x), -1, height, width),
            ),
        ),
        "height-width-swapped": Mistake(
            lambda x, size, height, width: unpatchify(x, size, width, height),
            "Height and width have changed places. It does not show on square images.",
            (lambda x, size, height, width: unpatchify(x, size, width, height).reshape(len(x), -1, height, width),),
        ),
        "square-only": Mistake(
            _join_square,
            "Your code takes the image for a square one. The number of rows of patches is `height // patch_size`, not a "
            "square root: 6 patches may be 2 × 3 or 3 × 2.",
            (
                lambda x, size, height, width: _join_grid(x, size, int(x.shape[1] ** 0.5), height, width),
                lambda x, size, height, width: _join_grid(x, size, height // size, height, height),
                lambda x, size, height, width: _join_rows(x, size),
            ),
        ),
        "channels-last": Mistake(
            lambda x, size, height, width: unpatchify(x, size, height, width).permute(0, 2, 3, 1),
            "The picture is right, but the channels stand last. PyTorch wants (batch, channels, height, width).",
        ),
        "one-or-three-channels": Mistake(
            lambda x, size, height, width: unpatchify(
                x.reshape(*x.shape[:2], size * size * (3 if x.shape[2] == 3 * size * size else 1)), size, height, width
            ),
            "You guess 1 or 3 channels. It is the values of a patch divided by its pixels, whatever that gives.",
        ),
        "fixed-channels": Mistake(
            lambda x, size, height, width: unpatchify(x.reshape(*x.shape[:2], size * size * 3), size, height, width),
            "Your code works for one number of channels only. Infer it: values in a patch divided by its pixels.",
            (lambda x, size, height, width: unpatchify(x.reshape(*x.shape[:2], size * size), size, height, width),),
        ),
        "fixed-patch-size": Mistake(
            lambda x, size, height, width: unpatchify(x, 4, height, width),
            "Your code always takes patches of one size. Use the argument `patch_size`.",
            tuple((lambda x, size, height, width, p=p: unpatchify(x, p, height, width)) for p in (2, 8, 16)),
        ),
        "fixed-batch": Mistake(
            lambda x, size, height, width: unpatchify(x[:1], size, height, width),
            "Your code works for one image only. The first axis is the batch; read its size off the shape.",
            (
                lambda x, size, height, width: unpatchify(x, size, height, width)[0],
                lambda x, size, height, width: unpatchify(x.reshape(1, *x.shape[1:]), size, height, width),
            ),
        ),
        **universal_mistakes(unpatchify),
    },
)


def _published(pattern: str) -> Callable[[], str]:
    """A pattern in the article's names."""
    for ours, theirs in (("p1", "patch_x"), ("p2", "patch_y")):
        pattern = pattern.replace(ours, theirs)
    return lambda: pattern


def _wrong_pattern(slug: str) -> Mistake:
    pattern, message = WRONG_CUTS[slug]
    for ours, theirs in (
        ("p1", "patch_x"),
        ("p2", "patch_y"),
        ("(rows columns)", "(x y)"),
        ("(columns rows)", "(y x)"),
    ):
        message = message.replace(ours, theirs)
    return Mistake(_published(pattern), message)


CORRECTED_PATTERN = Exercise(
    name="corrected_pattern",
    lesson="01",
    points=1,
    reference=corrected_pattern,
    cases=patch_cases,
    axes={"images": "image channel row column", "output": "image patch value"},
    observe=use_pattern,
    picture=_draw_patches,
    hints=(
        "In a bracket the first name is the outer axis: it walks in big steps. Which of the two should do that?",
        "The image's height is x patches of patch_x pixels, not patch_x patches of x pixels.",
        "Exchange the two names in each bracket on the left of the arrow. The right side is fine as it is.",
    ),
    reasoning="Only the left side was wrong. `(x patch_x)` says: x patches, each patch_x pixels high.",
    mistakes={
        "unchanged": Mistake(
            lambda: ARTICLE_PATTERN,
            "That is the pattern as published: every token is still a thumbnail of the whole picture. Look at the "
            "brackets on the left. The first name in each is the outer axis and walks in big steps.",
        ),
        **{
            slug: _wrong_pattern(slug)
            for slug in WRONG_CUTS
            if slug not in ("strided-split", "strided-rows", "strided-columns")
        },
        "only-columns-mended": Mistake(
            _published(WRONG_CUTS["strided-rows"][0]),
            "Half done: the width is split rightly now, the height is not. Exchange the names in the other bracket too.",
        ),
        "only-rows-mended": Mistake(
            _published(WRONG_CUTS["strided-columns"][0]),
            "Half done: the height is split rightly now, the width is not. Exchange the names in the other bracket too.",
        ),
        "names-changed": Mistake(
            lambda: "b c (h p1) (w p2) -> b (h w) (p1 p2 c)",
            "The article's class calls einops with `patch_x=` and `patch_y=`, so the pattern has to use these two names "
            "for the sides of a patch. The other names are free.",
        ),
        "grid-kept": Mistake(
            _published("b c (x p1) (y p2) -> b x y (p1 p2 c)"),
            "The split is right, but the patches still stand in rows and columns. Merge them to one line: `(x y)`.",
        ),
        **universal_mistakes(corrected_pattern, gradients=False, dtypes=False, layouts=False, tensors=False),
    },
)

EXERCISES = (NUM_PATCHES, PATCHIFY, UNPATCHIFY, CORRECTED_PATTERN)
