"""Lesson 10: what was learned, how far heads look, rollout, and how far convolutions see."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor

from vit_course.checks.catalogue.cases import Draw
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case, Observations, call_with_lists
from vit_course.inspection import attention_rollout, mean_attention_distance, principal_filters, receptive_field


def _in_float64(case: Case, seen: Observations) -> Observations:
    """Results whatever their dtype: that is not asked for in this lesson."""
    output = seen.get("output")
    return seen | {"output": output.double()} if isinstance(output, Tensor) and not output.is_complex() else seen


# -- principal_filters


def _filters_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 100)
    cases = []

    def add(note: str, dim: int, patch_size: int, channels: int, k: int, **options: bool) -> None:
        values = patch_size**2 * channels
        # Far apart, and next to nothing behind the last that is asked for: a quick, rough method finds them as well.
        sizes = torch.cat([2 * 0.72 ** torch.arange(k), torch.full((min(dim - 1, values) - k,), 1e-3)])
        across = draw.normal(dim, len(sizes), dtype=torch.float64)
        across = torch.linalg.qr(across - across.mean(dim=0)).Q  # (dim, kinds), each adds up to 0
        along = torch.linalg.qr(draw.normal(values, len(sizes), dtype=torch.float64)).Q
        common = draw.normal(values, dtype=torch.float64)
        weight = (dim**0.5 * across * sizes @ along.T + common).float()
        label = f"{note}{dim} filters for patches of {patch_size} × {patch_size} pixels, channels {channels}, k = {k}"
        cases.append(Case(label, {"weight": weight, "patch_size": patch_size, "k": k}, gradients=False, **options))

    def sizes(channels: int, *patches: int) -> tuple[int, int, int, int]:
        dim, patch_size, k, _ = draw.sizes(dim=range(20, 33), patch=patches, k=(3, 4, 5), channels=(channels,))
        return dim, patch_size, channels, k

    again = sizes(1, 4, 5)
    add("", *sizes(3, 2, 4))
    add("", *again)
    add("again, ", *again)
    add("", *sizes(2, 3, 4))
    add("", *sizes(4, 2, 3))
    add("", 48, 4, 3, 5)  # as many filters as numbers in one: rows and columns can be taken for one another
    add("fewer filters than numbers, ", 7, 4, 3, 4)
    add("all components, ", 6, 2, 3, 5)
    add("one, ", 12, 2, 3, 1)
    add("not contiguous in memory, ", 23, 3, 2, 4, strided=True)
    return cases


def _sign_free(case: Case, seen: Observations) -> Observations:
    """Components with a sign that does not depend on how they were found."""
    seen = _in_float64(case, seen)
    output = seen.get("output")
    k = case.inputs["k"]
    if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != k or not torch.isfinite(output).all():
        return seen
    flat, right = output.flatten(1), _components(case.inputs["weight"].double())[:k]
    # The largest number is positive; but where a component is right, as the right one is: two may be equally large.
    signs = flat.gather(1, flat.abs().argmax(dim=1, keepdim=True)).sign()
    if flat.shape == right.shape:
        agree = (flat * right).sum(dim=1, keepdim=True)
        signs = torch.where(agree.abs() > 0.9 * flat.norm(dim=1, keepdim=True), agree.sign(), signs)
    return seen | {"output": (flat * signs).reshape(output.shape)}


def _components(centred: Tensor) -> Tensor:
    """Of filters, the mean over all of them taken away, as rows."""
    return torch.linalg.svd(centred - centred.mean(dim=0), full_matrices=False).Vh


def _pictures(rows: Tensor, patch_size: int, pattern: str = "k (p1 p2 c) -> k p1 p2 c") -> Tensor:
    return rearrange(rows, pattern, p1=patch_size, p2=patch_size)


def _found(rows: Callable[[Tensor, int], Tensor], pattern: str = "k (p1 p2 c) -> k p1 p2 c") -> Callable:
    """Little pictures of `rows(weight, k)`."""
    return lambda weight, patch_size, k: _pictures(rows(weight, k), patch_size, pattern)


def _of(weight: Tensor) -> Tensor:
    return torch.linalg.svd(weight, full_matrices=False).Vh


def _from_left(weight: Tensor, k: int) -> Tensor:
    """The singular vectors of the other side, cut or filled up to the length of a filter."""
    left = torch.linalg.svd(weight - weight.mean(dim=0), full_matrices=False).U.T[:k]
    return torch.nn.functional.pad(left, (0, max(0, weight.shape[1] - left.shape[1])))[:, : weight.shape[1]]


def _strongest_filters(weight: Tensor, k: int) -> Tensor:
    chosen = weight[weight.norm(dim=1).argsort(descending=True)[:k]]
    return chosen / chosen.norm(dim=1, keepdim=True)


def _scaled_by_size(weight: Tensor, k: int) -> Tensor:
    _, sizes, rows = torch.linalg.svd(weight - weight.mean(dim=0), full_matrices=False)
    return sizes[:k, None] * rows[:k]


def _standardised(weight: Tensor, k: int) -> Tensor:
    return _of((weight - weight.mean(dim=0)) / weight.std(dim=0))[:k]


def _to_show(rows: Tensor) -> Tensor:
    low, high = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    return (rows - low) / (high - low)


PRINCIPAL_FILTERS = Exercise(
    name="principal_filters",
    lesson="10",
    points=2,
    reference=principal_filters,
    cases=_filters_cases,
    derive=_sign_free,
    axes={"weight": "filter number", "output": "component row column channel"},
    hints=(
        "A filter is a row of `weight`. What all filters have in common is taken away first: the mean over the rows.",
        "`torch.linalg.svd(centred, full_matrices=False)` gives U, S and Vh. The rows of Vh are the components, the strongest "
        "first.",
        'Take the first k rows, and make pictures of them: `rearrange(rows, "k (p1 p2 c) -> k p1 p2 c", p1=patch_size, '
        "p2=patch_size)`.",
    ),
    reasoning="Each filter is a point, with a number for each value of a patch. The rows of Vh are the directions in which "
    "these points lie apart, of length 1 and at right angles, the widest first. The sign of such a direction means nothing.",
    mistakes={
        "not-centred": Mistake(
            _found(lambda weight, k: _of(weight)[:k]),
            "The mean filter is not taken away, so that the first component is mostly what all filters have in common. "
            "Subtract the mean over the filters first: `weight - weight.mean(dim=0)`.",
        ),
        "centred-over-numbers": Mistake(
            _found(lambda weight, k: _of(weight - weight.mean(dim=1, keepdim=True))[:k]),
            "You take from each filter the mean of its own numbers. Taken away is the mean *over the filters*, a filter "
            "itself: `weight.mean(dim=0)`.",
        ),
        "centred-by-one-number": Mistake(
            _found(lambda weight, k: _of(weight - weight.mean())[:k]),
            "One number is taken from all. The mean over the filters is a filter itself: `weight.mean(dim=0)`.",
        ),
        "standardised": Mistake(
            _found(_standardised),
            "Each number of the filters is divided by its spread as well. Then every pixel varies as much as every other, "
            "which is another question. Only subtract the mean.",
        ),
        "weakest-first": Mistake(
            _found(lambda weight, k: _components(weight).flip(0)[:k]),
            "These are the components in which the filters differ least. By decreasing variance: the strongest first. "
            "(`torch.linalg.eigh` gives them the other way round; `svd` does not.)",
            (
                _found(lambda weight, k: torch.linalg.eigh(torch.cov(weight.T)).eigenvectors.T[:k]),
                _found(lambda weight, k: torch.linalg.eigh(torch.cov(weight.T)).eigenvectors.T[-k:]),
                _found(lambda weight, k: _components(weight)[:k].flip(0)),
            ),
        ),
        "first-left-out": Mistake(
            _found(lambda weight, k: _components(weight)[1 : k + 1]),
            "The first component is left out. Here it is not the mean: that was taken away before. Begin at 0.",
        ),
        "one-too-few": Mistake(
            _found(lambda weight, k: _components(weight)[: k - 1]),
            "There is one component too few or too many. `[:k]` takes just k.",
            (
                _found(lambda weight, k: _components(weight)[: k + 1]),
                _found(lambda weight, k: _components(weight)),
            ),
        ),
        "columns-for-rows": Mistake(
            _found(lambda weight, k: _components(weight)[:, :k].T),
            "You take columns of Vh. `torch.linalg.svd` gives V already transposed: a component is a *row*.",
            (_found(lambda weight, k: torch.linalg.eigh(torch.cov(weight.T)).eigenvectors.flip(1)[:k]),),
        ),
        "other-side": Mistake(
            _found(_from_left),
            "These are the singular vectors of the filters' side, one number for each filter (U). Asked for are pictures, one "
            "number for each value of a patch: the rows of Vh.",
        ),
        "channel-first": Mistake(
            _found(lambda weight, k: _components(weight)[:k], "k (c p1 p2) -> k p1 p2 c"),
            "The numbers of a filter are read channel by channel. In ours they stand as (p1 p2 c): row, column, channel.",
        ),
        "channels-moved": Mistake(
            _found(lambda weight, k: _components(weight)[:k], "k (p1 p2 c) -> k c p1 p2"),
            "The components are right, but their channels stand before rows and columns. To be drawn they come last: "
            "(k, P, P, C).",
        ),
        "rows-and-columns-exchanged": Mistake(
            _found(lambda weight, k: _components(weight)[:k], "k (p2 p1 c) -> k p1 p2 c"),
            "The pictures lie on their side: rows and columns have changed places. The numbers stand as (p1 p2 c), p1 the row.",
        ),
        "not-pictures": Mistake(
            lambda weight, patch_size, k: _components(weight)[:k],
            "The components are right, but still flat. Make a picture of each: (k, P, P, C).",
        ),
        "scaled": Mistake(
            _found(_scaled_by_size),
            "Each component is multiplied by how much the filters vary along it. Asked for are components of length 1: the "
            "rows of Vh as they are.",
            (
                _found(lambda weight, k: _scaled_by_size(weight, k) / (len(weight) - 1) ** 0.5),
                _found(lambda weight, k: _scaled_by_size(weight, k) / len(weight) ** 0.5),
            ),
        ),
        "scaled-to-be-shown": Mistake(
            _found(lambda weight, k: _to_show(_components(weight)[:k])),
            "The components are stretched to 0 … 1, or to 1 as their largest number. That is for drawing, and the figure does "
            "it; here their length is 1.",
            (
                _found(
                    lambda weight, k: _components(weight)[:k] / _components(weight)[:k].abs().amax(dim=1, keepdim=True)
                ),
            ),
        ),
        "mean-added": Mistake(
            _found(lambda weight, k: _components(weight)[:k] + weight.mean(dim=0)),
            "The mean filter is added again. Asked for are the directions alone.",
        ),
        "largest-filters": Mistake(
            _found(_strongest_filters),
            "These are k of the filters themselves. Components are directions in which *all* filters differ; "
            "`torch.linalg.svd` finds them.",
            (
                lambda weight, patch_size, k: _pictures(weight[:k], patch_size),
                _found(lambda weight, k: weight[:k] / weight[:k].norm(dim=1, keepdim=True)),
            ),
        ),
        **universal_mistakes(principal_filters, gradients=False, dtypes=False),
    },
)


# -- mean_attention_distance


def _attention_case(note: str, draw: Draw, sizes: Sequence[int], *, sharp: float = 1.5, strided: bool = False) -> Case:
    batch, heads, rows, columns, patch_size = sizes
    tokens = 1 + rows * columns
    attention = (sharp * draw.normal(batch, heads, tokens, tokens)).softmax(dim=-1)
    label = f"{note}attention {tuple(attention.shape)}, grid ({rows}, {columns}), patch size {patch_size}"
    inputs = {"attention": attention, "grid": (rows, columns), "patch_size": patch_size}
    return Case(label, inputs, gradients=False, strided=strided)


def _distance_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 101)

    def sizes(**fixed: Sequence[int]) -> list[int]:
        choices = {"batch": (2, 3, 5), "heads": (2, 3, 4), "rows": range(2, 7), "columns": range(2, 7)}
        return draw.sizes(**choices | {"patch_size": (4, 6, 7, 8, 16)} | fixed)

    again = sizes(batch=(2,))
    return [
        _attention_case("", draw, sizes()),
        _attention_case("", draw, sizes(rows=(2, 3), columns=(5, 6))),
        _attention_case("", draw, sizes(rows=(5, 6), columns=(2, 3))),
        _attention_case("", draw, again),
        _attention_case("again, ", draw, again),
        _attention_case("one image, ", draw, sizes(batch=(1,))),
        _attention_case("one head, ", draw, sizes(heads=(1,))),
        _attention_case("", draw, (2, 3, 8, 8, 4)),
        _attention_case("", draw, (3, 3, 3, 3, 1)),
        _attention_case("one row, ", draw, sizes(rows=(1,))),
        _attention_case("sharp attention, ", draw, sizes(), sharp=4),
        _attention_case("not contiguous in memory, ", draw, sizes(), strided=True),
    ]


def _apart(grid: tuple[int, int], patch_size: float, norm: float = 2) -> Tensor:
    """(N, N): pixels from patch to patch."""
    places = torch.cartesian_prod(*(torch.arange(size, dtype=torch.float64) for size in grid)) * patch_size
    return torch.linalg.vector_norm(places[:, None] - places, ord=norm, dim=-1)


def _among(attention: Tensor) -> Tensor:
    weights = attention.double()[:, :, 1:, 1:]
    return weights / weights.sum(dim=-1, keepdim=True)


def _looking(
    weights: Callable[[Tensor], Tensor] = _among,
    apart: Callable[[tuple[int, int], int], Tensor] = _apart,
    joined: Callable[[Tensor, Tensor], Tensor] = lambda weights, apart: (weights * apart).sum(dim=-1).mean(dim=(0, 2)),
) -> Callable:
    """The distance in three steps, one of which is wrong: weights among patches, distances, what is made of both."""
    return lambda attention, grid, patch_size: joined(weights(attention), apart(grid, patch_size)).float()


def _with_cls(apart: Callable[[Tensor], Tensor]) -> Callable:
    """CLS takes part, at some distance from every patch."""

    def run(attention: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
        distances = apart(_apart(grid, patch_size))
        return (attention.double() * distances).sum(dim=-1).mean(dim=(0, 2)).float()

    return run


def _zeros_for_cls(apart: Tensor) -> Tensor:
    return torch.nn.functional.pad(apart, (1, 0, 1, 0))


def _one_line(grid: tuple[int, int], patch_size: int) -> Tensor:
    numbers = torch.arange(grid[0] * grid[1], dtype=torch.float64)
    return patch_size * (numbers[:, None] - numbers).abs()


def _column_by_column(grid: tuple[int, int], patch_size: int) -> Tensor:
    """Places counted down the columns, or a grid with its sides exchanged."""
    return _apart(grid[::-1], patch_size)


def _without_itself(attention: Tensor) -> Tensor:
    weights = attention.double()[:, :, 1:, 1:] * (1 - torch.eye(attention.shape[-1] - 1, dtype=torch.float64))
    return weights / weights.sum(dim=-1, keepdim=True)


def _late(attention: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    weights = attention.double()[:, :, 1:, 1:]
    weighted = weights * _apart(grid, patch_size)
    return (weighted.sum(dim=(0, 2, 3)) / weights.sum(dim=(0, 2, 3))).float()


def _images_first(attention: Tensor) -> Tensor:
    weights = attention.double()[:, :, 1:, 1:].mean(dim=0, keepdim=True)
    return weights / weights.sum(dim=-1, keepdim=True)


def _farthest(weights: Tensor, apart: Tensor) -> Tensor:
    return apart.expand_as(weights).gather(-1, weights.argmax(dim=-1, keepdim=True))[..., 0].mean(dim=(0, 2))


def _joined(change: Callable[[Tensor], Tensor]) -> Callable:
    return _looking(joined=lambda weights, apart: change((weights * apart).sum(dim=-1)))


MEAN_ATTENTION_DISTANCE = Exercise(
    name="mean_attention_distance",
    lesson="10",
    points=3,
    reference=mean_attention_distance,
    cases=_distance_cases,
    derive=_in_float64,
    axes={"attention": "image head query key", "output": "head"},
    hints=(
        "Leave CLS out, as one who asks and as one who is heard: `attention[:, :, 1:, 1:]`. Each row has then lost a little; "
        "divide it by its sum.",
        "Where is patch i? At row `i // columns` and column `i % columns`, times `patch_size`. From these places, all "
        "distances at once: subtract `places` from `places[:, None]`, and take the length over the last axis, (N, N).",
        "`(weights * apart).sum(dim=-1)` is the mean distance for each image, head and query. Then the mean over images and "
        "queries: `.mean(dim=(0, 2))`.",
    ),
    reasoning="The weights of a query add up to 1, so the sum of weight times distance is a mean distance. The query's own "
    "patch counts, with distance 0.",
    mistakes={
        "not-renormalised": Mistake(
            _looking(weights=lambda attention: attention.double()[:, :, 1:, 1:]),
            "The rows no longer add up to 1 once CLS is left out, so that your distances are too short: by what CLS got. "
            "Divide each row by its sum.",
        ),
        "renormalised-too-late": Mistake(
            _late,
            "You divide once, at the end, by the sum of all weights. Then a patch that hears much of CLS counts less. Divide "
            "each *row* by its own sum first.",
        ),
        "softmax-again": Mistake(
            _looking(weights=lambda attention: attention.double()[:, :, 1:, 1:].softmax(dim=-1)),
            "A second softmax makes all weights nearly equal. The weights are weights already: divide each row by its sum.",
        ),
        "cls-kept": Mistake(
            _with_cls(_zeros_for_cls),
            "CLS takes part, as if it lay at distance 0 from every patch. It has no place: leave its row and its column out.",
        ),
        "last-left-out": Mistake(
            _looking(
                weights=lambda attention: (
                    attention.double()[:, :, :-1, :-1] / attention.double()[:, :, :-1, :-1].sum(-1, keepdim=True)
                )
            ),
            "You leave out the last token. CLS stands first: `[:, :, 1:, 1:]`.",
        ),
        "cls-asks": Mistake(
            _looking(
                weights=lambda attention: (
                    attention.double()[:, :, :1, 1:] / attention.double()[:, :, :1, 1:].sum(-1, keepdim=True)
                )
            ),
            "You read the row of CLS, and measure as if every patch asked as CLS does. Each patch has a row of its own: "
            "`[:, :, 1:, 1:]`.",
        ),
        "heard-for-asking": Mistake(
            _looking(weights=lambda attention: _among(attention.transpose(-2, -1))),
            "Queries and keys have changed places: the weights that come *to* a patch are brought to a sum of 1, or added up. "
            "A row of attention belongs to the patch that asks; sum over the last axis.",
            (
                _looking(
                    weights=lambda attention: (
                        attention.double()[:, :, 1:, 1:] / attention.double()[:, :, 1:, 1:].sum(-2, keepdim=True)
                    )
                ),
            ),
        ),
        "in-patches": Mistake(
            _looking(apart=lambda grid, patch_size: _apart(grid, 1)),
            "The distances count patches. They are asked for in pixels: times `patch_size`.",
        ),
        "times-patch-area": Mistake(
            _looking(apart=lambda grid, patch_size: _apart(grid, patch_size**2)),
            "The distances are multiplied by P·P. Two neighbouring patches are P pixels apart, from centre to centre.",
        ),
        "squared": Mistake(
            _looking(apart=lambda grid, patch_size: _apart(grid, patch_size).square()),
            "You take the squared distance. Its root is missing.",
        ),
        "root-of-the-mean-square": Mistake(
            _looking(
                apart=lambda grid, patch_size: _apart(grid, patch_size).square(),
                joined=lambda weights, apart: (weights * apart).sum(dim=-1).sqrt().mean(dim=(0, 2)),
            ),
            "You take the mean of the *squared* distances, then the root. Far patches then count too much: take the root "
            "first.",
        ),
        "steps-down-and-across": Mistake(
            _looking(apart=lambda grid, patch_size: _apart(grid, patch_size, 1)),
            "You count steps down plus steps across. The straight line is asked for: the root of the sum of squares.",
            (_looking(apart=lambda grid, patch_size: _apart(grid, patch_size, math.inf)),),
        ),
        "one-line": Mistake(
            _looking(apart=_one_line),
            "You measure along the line of tokens: the last patch of a row and the first of the next are neighbours there. "
            "Patch i is at row `i // columns`, column `i % columns`.",
        ),
        "rows-and-columns-exchanged": Mistake(
            _looking(apart=_column_by_column),
            "Rows and columns of the grid have changed places. `grid` is (rows, columns), and patches are numbered row by "
            "row: patch i is at row `i // columns`, column `i % columns`. On a square grid this does not show.",
        ),
        "down-only": Mistake(
            _looking(
                apart=lambda grid, patch_size: (
                    patch_size
                    * (torch.arange(grid[0] * grid[1])[:, None] // grid[1] - torch.arange(grid[0] * grid[1]) // grid[1])
                    .abs()
                    .double()
                )
            ),
            "Only rows, or only columns, count in your distance. Both do: the root of the sum of their squares.",
            (
                _looking(
                    apart=lambda grid, patch_size: (
                        patch_size
                        * (
                            torch.arange(grid[0] * grid[1])[:, None] % grid[1]
                            - torch.arange(grid[0] * grid[1]) % grid[1]
                        )
                        .abs()
                        .double()
                    )
                ),
            ),
        ),
        "as-a-share": Mistake(
            _looking(apart=lambda grid, patch_size: _apart(grid, patch_size) / _apart(grid, patch_size).max()),
            "The distances are divided by the largest. They are asked for in pixels.",
            (
                _looking(apart=lambda grid, patch_size: _apart(grid, 1) / max(grid)),
                _looking(apart=lambda grid, patch_size: _apart(grid, 1) / math.hypot(*grid)),
            ),
        ),
        "mean-over-keys": Mistake(
            _looking(joined=lambda weights, apart: (weights * apart).mean(dim=(0, 2, 3))),
            "You take the mean over the keys of weight times distance, which divides by N once too often. The weights add up "
            "to 1: *sum* over the keys, mean over images and queries.",
        ),
        "sum-over-queries": Mistake(
            _joined(lambda each: each.sum(dim=-1).mean(dim=0)),
            "The distances of all queries, or of all images, are added up. Take their mean.",
            (_joined(lambda each: each.sum(dim=(0, 2))), _joined(lambda each: each.sum(dim=0).mean(dim=-1))),
        ),
        "not-weighted": Mistake(
            _looking(joined=lambda weights, apart: apart.mean().expand(weights.shape[1])),
            "Your result does not depend on the attention: it is the plain mean of all distances. Multiply by the weights.",
        ),
        "strongest-only": Mistake(
            _looking(joined=_farthest),
            "You measure the distance to the key with the largest weight. All keys count, each with its weight.",
        ),
        "itself-left-out": Mistake(
            _looking(weights=_without_itself),
            "The patch that asks is left out. It counts as well, with distance 0: a head that looks at its own patch looks "
            "nearby.",
        ),
        "images-first": Mistake(
            _looking(weights=_images_first),
            "The images are averaged before the rows are divided by their sums. Divide in each image, take the mean at the "
            "end.",
        ),
        "heads-averaged": Mistake(
            _joined(lambda each: each.mean()),
            "One number for all heads comes back, or one for each image. Each head has its own: the mean over images and "
            "queries only, `dim=(0, 2)`.",
            (_joined(lambda each: each.mean(dim=(1, 2))),),
        ),
        "images-kept": Mistake(
            _joined(lambda each: each.mean(dim=-1)),
            "Each image has its own number still, or each query. Take the mean over images and queries: (heads,).",
            (_joined(lambda each: each.mean(dim=0)), _joined(lambda each: each)),
        ),
        **universal_mistakes(mean_attention_distance, gradients=False, dtypes=False),
    },
)


# -- attention_rollout


def _rollout_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 102)

    def case(note: str, layers: int, batch: int, heads: int, tokens: int, sharp: float = 2) -> Case:
        stacked = (sharp * draw.normal(layers, batch, heads, tokens, tokens)).softmax(dim=-1)
        label = f"{note}{layers} layer{'s' * (layers > 1)} of attention {(batch, heads, tokens, tokens)}"
        return Case(label, {"attentions": stacked}, gradients=False)

    def sizes(**fixed: Sequence[int]) -> dict[str, int]:
        choices = {"layers": (3, 4), "batch": (2, 3, 5), "heads": (2, 3, 4), "tokens": range(5, 10)} | fixed
        return dict(zip(choices, draw.sizes(**choices), strict=True))

    again = sizes()
    return [
        case("", **sizes()),
        case("", **sizes(layers=(2,))),
        case("", **again),
        case("again, ", **again),
        case("", **sizes(layers=(6,))),
        case("", 1, 2, 3, 5),
        case("one image, ", **sizes(batch=(1,))),
        case("one head, ", **sizes(heads=(1,))),
        case("as many of everything, ", 3, 3, 3, 3),
        case("sharp attention, ", **sizes(), sharp=5),
    ]


def _half(mean: Tensor) -> Tensor:
    return 0.5 * mean + 0.5 * torch.eye(mean.shape[-1]).to(mean)


def _rolled(
    mixed: Callable[[Tensor], Tensor] = _half,
    joined: Callable[[Tensor], Tensor] = lambda attention: attention.mean(dim=1),
    times: Callable[[Tensor, Tensor], Tensor] = lambda later, before: later @ before,
    layers: Callable[[Sequence[Tensor]], Sequence[Tensor]] = lambda attentions: attentions,
    gives: Callable[[Tensor], Tensor] = lambda rollout: rollout,
) -> Callable:
    """Rollout in steps, one of which is wrong: heads joined, the skip mixed in, layers multiplied, what is returned."""

    def run(attentions: list[Tensor]) -> Tensor:
        return gives(
            functools.reduce(lambda before, later: times(later, before), map(mixed, map(joined, layers(attentions))))
        )

    return run


def _eye(mean: Tensor) -> Tensor:
    return torch.eye(mean.shape[-1]).to(mean)


def _normed(matrix: Tensor, dim: int = -1) -> Tensor:
    return matrix / matrix.sum(dim=dim, keepdim=True)


def _identity_once(attentions: list[Tensor]) -> Tensor:
    means = [attention.mean(dim=1) for attention in attentions]
    return functools.reduce(lambda before, later: later @ before, means[1:], _half(means[0]))


def _identity_at_the_end(attentions: list[Tensor]) -> Tensor:
    return _half(functools.reduce(lambda before, later: later @ before, [one.mean(dim=1) for one in attentions]))


def _changing_the_list(attentions: list[Tensor]) -> Tensor:
    result = attention_rollout(attentions)
    attentions.reverse()
    return result


def _changing_the_tensors(attentions: list[Tensor]) -> Tensor:
    result = attention_rollout([one.clone() for one in attentions])
    for one in attentions:
        one.mul_(0.5)
    return result


def _without_the_least(share: float) -> Callable:
    """As a well-known repository does it: the smallest weights are set to 0 first."""

    def thinned(mean: Tensor) -> Tensor:
        flat = mean.flatten(1).clone()
        flat.scatter_(1, flat.topk(int(flat.shape[1] * share), largest=False).indices, 0)
        return _normed(_half(flat.view_as(mean)))

    return _rolled(thinned)


ATTENTION_ROLLOUT = Exercise(
    name="attention_rollout",
    lesson="10",
    points=2,
    reference=attention_rollout,
    cases=_rollout_cases,
    observe=call_with_lists,
    derive=_in_float64,
    axes={"output": "image query key"},
    hints=(
        "One layer first: the mean over the heads, (B, T, T); then half of it, plus half of the identity matrix.",
        "The first layer's matrix leads from the input to the tokens after it. The second leads on from there: multiply it "
        "from the left, `second @ first`.",
        "Begin with the identity. For each attention: `mixed = 0.5 * attention.mean(dim=1) + 0.5 * torch.eye(T)`, then "
        "`rollout = mixed @ rollout`.",
    ),
    reasoning="Row i of a layer's matrix says of which tokens before it token i is made: half of what attention fetched, half "
    "of itself, for the skip. A product of such matrices says it over several layers.",
    mistakes={
        "identity-left-out": Mistake(
            _rolled(lambda mean: mean),
            "The skip connection is left out: each token also keeps itself. Take half of the attention and half of the "
            "identity matrix. (The rows add up to 1 either way, so that shows nothing.)",
        ),
        "identity-not-halved": Mistake(
            _rolled(lambda mean: mean + _eye(mean)),
            "Attention and identity are added but not halved, so that rows add up to 2, then 4, then 8. Take 0.5 of each.",
            (
                _rolled(lambda mean: 0.5 * mean + _eye(mean)),
                _rolled(lambda mean: mean + 0.5 * _eye(mean)),
            ),
        ),
        "ones-for-identity": Mistake(
            _rolled(lambda mean: 0.5 * mean + 0.5),
            "You add 0.5 to every number. The identity matrix has ones on the diagonal only: `torch.eye(T)`.",
            (_rolled(lambda mean: 0.5 * mean + 0.5 / mean.shape[-1]), _rolled(lambda mean: _normed(mean + 1))),
        ),
        "other-shares": Mistake(
            _rolled(lambda mean: 0.9 * mean + 0.1 * _eye(mean)),
            "The shares of attention and skip are others. Asked for is half and half.",
            tuple(
                _rolled(lambda mean, share=share: share * mean + (1 - share) * _eye(mean))
                for share in (0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 0.7, 0.75, 0.8)
            ),
        ),
        "identity-once": Mistake(
            _identity_once,
            "The identity takes part in one place only. Every layer has its skip: mix it in before each multiplication.",
            (_identity_at_the_end,),
        ),
        "order-reversed": Mistake(
            _rolled(times=lambda later, before: before @ later),
            "The layers are multiplied in the wrong order. The first layer acts on the input, so it stands on the right: "
            "`mixed @ rollout`.",
            (_rolled(layers=lambda attentions: attentions[::-1]),),
        ),
        "element-by-element": Mistake(
            _rolled(times=lambda later, before: later * before),
            "The layers are multiplied number by number, `*`. A matrix product is asked for, `@`: of a way through two layers "
            "all stations between count.",
        ),
        "layers-averaged": Mistake(
            lambda attentions: torch.stack([_half(one.mean(dim=1)) for one in attentions]).mean(dim=0),
            "The layers are averaged or added up. What comes through two layers is a *product* of their matrices.",
            (
                lambda attentions: torch.stack([one.mean(dim=1) for one in attentions]).mean(dim=0),
                lambda attentions: torch.stack([_half(one.mean(dim=1)) for one in attentions]).sum(dim=0),
            ),
        ),
        "last-layer-only": Mistake(
            _rolled(layers=lambda attentions: attentions[-1:]),
            "Only one layer counts in your result. Is the product begun anew in each round of the loop?",
            (
                _rolled(layers=lambda attentions: attentions[:1]),
                _rolled(lambda mean: mean, layers=lambda attentions: attentions[-1:]),
            ),
        ),
        "layer-left-out": Mistake(
            _rolled(layers=lambda attentions: attentions[1:] or attentions),
            "One layer is left out, the first or the last. Go through all of them.",
            (_rolled(layers=lambda attentions: attentions[:-1] or attentions),),
        ),
        "layer-twice": Mistake(
            _rolled(layers=lambda attentions: [attentions[0], *attentions]),
            "One layer counts twice. If you begin with the first layer, go on with the second; if you begin with the identity, "
            "go through all.",
            (_rolled(layers=lambda attentions: [*attentions, attentions[-1]]),),
        ),
        "largest-head": Mistake(
            _rolled(joined=lambda attention: attention.amax(dim=1)),
            "You take the largest, or the smallest, of the heads. Some do; asked for is their mean.",
            (
                _rolled(joined=lambda attention: attention.amin(dim=1)),
                _rolled(joined=lambda attention: _normed(attention.amax(dim=1))),
                _rolled(lambda mean: _normed(_half(mean)), joined=lambda attention: attention.amax(dim=1)),
                _rolled(lambda mean: _normed(_half(mean)), joined=lambda attention: attention.amin(dim=1)),
            ),
        ),
        "heads-added": Mistake(
            _rolled(joined=lambda attention: attention.sum(dim=1)),
            "The heads are added up, so that they outweigh the skip. Take their mean.",
            (_rolled(lambda total: _normed(total + _eye(total)), joined=lambda attention: attention.sum(dim=1)),),
        ),
        "first-head": Mistake(
            _rolled(joined=lambda attention: attention[:, 0]),
            "Only one head counts. Take the mean of all: `attention.mean(dim=1)`.",
            (_rolled(joined=lambda attention: attention[:, -1]),),
        ),
        "heads-kept": Mistake(
            _rolled(joined=lambda attention: attention),
            "The heads are still apart in your result, (B, heads, T, T). Take their mean in each layer, before anything is "
            "multiplied. (The mean at the end is another thing: a product of means is no mean of products.)",
            (_rolled(joined=lambda attention: attention, gives=lambda rollout: rollout.mean(dim=1)),),
        ),
        "images-averaged": Mistake(
            _rolled(joined=lambda attention: attention.mean(dim=0)),
            "The mean runs over the images, axis 0. Heads are axis 1.",
        ),
        "transposed": Mistake(
            _rolled(gives=lambda rollout: rollout.transpose(-2, -1)),
            "Rows and columns have changed places. A row belongs to a token of the output, and adds up to 1.",
            (_rolled(joined=lambda attention: attention.mean(dim=1).transpose(-2, -1)),),
        ),
        "columns-normed": Mistake(
            _rolled(lambda mean: _normed(_half(mean), dim=-2)),
            "The *columns* are brought to a sum of 1. Rows add up to 1, and do already: half of a row of attention and half of "
            "the identity.",
        ),
        "small-weights-dropped": Mistake(
            _without_the_least(0.9),
            "The smallest weights are set to 0 first, as some code does to make prettier pictures. Here all weights count.",
            (_without_the_least(0.5),),
        ),
        "cls-row": Mistake(
            _rolled(gives=lambda rollout: rollout[:, 0]),
            "You give back the row of CLS alone. All rows are asked for, (B, T, T); which one to look at is decided later.",
            (
                _rolled(gives=lambda rollout: rollout[:, 0, 1:]),
                _rolled(gives=lambda rollout: _normed(rollout[:, 0, 1:])),
                _rolled(gives=lambda rollout: rollout[:, :1]),
            ),
        ),
        "cls-column": Mistake(
            _rolled(gives=lambda rollout: rollout[:, :, 0]),
            "You give back the column of CLS alone: how much of CLS has come to each token. All of (B, T, T) is asked for; and "
            "what CLS is made of stands in its row.",
            (_rolled(gives=lambda rollout: rollout[:, 1:, 0]),),
        ),
        "cls-left-out": Mistake(
            _rolled(gives=lambda rollout: rollout[:, 1:, 1:]),
            "The CLS token is left out. It takes part here: all of (B, T, T) is asked for.",
            (_rolled(joined=lambda attention: attention.mean(dim=1)[:, 1:, 1:]),),
        ),
        "every-layer": Mistake(
            lambda attentions: torch.stack(
                [attention_rollout(attentions[: end + 1]) for end in range(len(attentions))]
            ),
            "You give back the product after every layer. Asked for is the last one, (B, T, T).",
        ),
        "changes-input": Mistake(
            _changing_the_tensors,
            "The result is right, but your code also changes what it was given. Whoever called it still needs the list and "
            "its tensors. No `.reverse()`, `.pop()`, `+=` or `*=` on them.",
            (_changing_the_list,),
        ),
        **{
            slug: mistake
            for slug, mistake in universal_mistakes(
                attention_rollout, gradients=False, dtypes=False, layouts=False
            ).items()
            if slug != "changes-input"
        },
    },
)


# -- receptive_field


def _field_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 103)

    def several(count: int, kernels: Sequence[int], strides: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(tuple(draw.sizes(one=of)[0] for _ in range(count)) for of in (kernels, strides))

    def case(kernels: Sequence[int], strides: Sequence[int]) -> Case:
        shown = f"kernels {', '.join(map(str, kernels))}; strides {', '.join(map(str, strides))}"
        if len(kernels) > 8:
            shown = f"{len(kernels)} layers of {kernels[0]} × {kernels[0]}, stride {strides[0]}"
        return Case(shown, {"kernel_sizes": tuple(kernels), "strides": tuple(strides)})

    depth = draw.sizes(depth=range(10, 30))[0]
    return [
        case((3,) * 3, (1,) * 3),
        case((3, 3), (2, 1)),
        case(*several(3, (3, 5, 7), (2, 3))),
        case((7, 3, 3, 3), (2, 2, 1, 2)),
        case(*several(4, (2, 3, 4, 5), (1, 2, 3))),
        case(*several(5, (1, 3, 5), (1, 2))),
        case((5, 1, 3), (3, 2, 2)),
        case(*several(1, (3, 5, 7), (2, 3))),
        case(*several(6, (1, 2, 3), (1, 2, 3))),
        case((3,) * depth, (1,) * depth),
        case((3,) * 50, (1,) * 50),
    ]


def _seeing(
    grow: Callable[[int, int], float] = lambda kernel, step: (kernel - 1) * step,
    jump: Callable[[int, int], int] = lambda step, stride: step * stride,
    order: Callable[[Sequence], Sequence] = lambda pairs: pairs,
    first: int = 1,
    step_first: bool = False,
    gives: Callable[[int], float] = lambda field: field,
) -> Callable:
    """A receptive field, step by step, with one step wrong."""

    def run(kernel_sizes: list[int], strides: list[int]) -> float:
        field, step = first, 1
        for kernel, stride in order([*zip(kernel_sizes, strides, strict=True)]):
            if step_first:
                step = jump(step, stride)
            field += grow(kernel, step)
            if not step_first:
                step = jump(step, stride)
        return gives(field)

    return run


def _backwards_wrong(kernel_sizes: list[int], strides: list[int]) -> int:
    """From the last layer to the first, as one may: but the stride is applied after the kernel is added."""
    field = 1
    for kernel, stride in zip(reversed(kernel_sizes), reversed(strides), strict=True):
        field = (field + kernel - 1) * stride
    return field


def _popping(kernel_sizes: list[int], strides: list[int]) -> int:
    result = receptive_field(kernel_sizes, strides)
    kernel_sizes.pop()
    strides.pop()
    return result


RECEPTIVE_FIELD = Exercise(
    name="receptive_field",
    lesson="10",
    points=1,
    reference=receptive_field,
    cases=_field_cases,
    observe=call_with_lists,
    axes={},
    hints=(
        "Before any layer, a number sees one pixel: itself. A kernel of 3 reaches one to each side, so it adds 2.",
        "After a layer of stride 2, neighbouring numbers are two pixels apart. A kernel of 3 that follows adds 2 · 2. Keep "
        "that step beside the field.",
        "`field, step = 1, 1`; for each layer `field += (kernel - 1) * step`, and *then* `step *= stride`.",
    ),
    reasoning="Each layer adds its kernel's side less one, counted in steps as long as all strides before it have made them. "
    "A layer's own stride matters only for those that follow.",
    mistakes={
        "strides-ignored": Mistake(
            _seeing(jump=lambda step, stride: 1),
            "The strides do not count in your result. After a stride of 2, one step is two pixels of the image, and a kernel "
            "reaches twice as far.",
        ),
        "own-stride-first": Mistake(
            _seeing(step_first=True),
            "A layer's own stride is counted for its own kernel. It sets how far apart its *results* are: add the kernel "
            "first, then multiply the step.",
        ),
        "only-the-stride-before": Mistake(
            lambda kernel_sizes, strides: (
                1 + sum((k - 1) * s for k, s in zip(kernel_sizes, [1, *strides[:-1]], strict=True))
            ),
            "Only the stride of one layer counts for each kernel. All strides *before* it do, multiplied.",
            (lambda kernel_sizes, strides: 1 + sum((k - 1) * s for k, s in zip(kernel_sizes, strides, strict=True)),),
        ),
        "strides-added": Mistake(
            _seeing(jump=lambda step, stride: step + stride),
            "The strides are added up. Two strides of 2 make steps of four pixels: multiply them.",
            (_seeing(jump=lambda step, stride: step + stride - 1), _seeing(jump=lambda step, stride: step * stride**2)),
        ),
        "all-strides-at-the-end": Mistake(
            lambda kernel_sizes, strides: (1 + sum(k - 1 for k in kernel_sizes)) * math.prod(strides),
            "The field is worked out without strides, and then multiplied by all of them. A stride matters only for the "
            "kernels behind it.",
            (lambda kernel_sizes, strides: 1 + sum(k - 1 for k in kernel_sizes) * math.prod(strides),),
        ),
        "reversed": Mistake(
            _seeing(order=lambda pairs: pairs[::-1]),
            "The layers are taken from last to first, so that the wrong strides count. The first layer comes first. (Backwards "
            "works, too, with another formula: `field = (field - 1) * stride + kernel`.)",
        ),
        "backwards-formula": Mistake(
            _backwards_wrong,
            "Going backwards is fine, but the formula is off. From n numbers of a layer's result to what they see before it: "
            "`(n - 1) * stride + kernel`.",
            (
                lambda kernel_sizes, strides: functools.reduce(
                    lambda field, one: field * one[1] + one[0] - 1,
                    zip(reversed(kernel_sizes), reversed(strides), strict=True),
                    1,
                ),
            ),
        ),
        "kernel-not-less-one": Mistake(
            _seeing(grow=lambda kernel, step: kernel * step),
            "Each kernel adds its whole side. It adds its side *less one*: the middle was seen before.",
            (_seeing(grow=lambda kernel, step: kernel * step, first=0), lambda kernels, strides: sum(kernels)),
        ),
        "begins-at-zero": Mistake(
            _seeing(first=0),
            "Your result is one too small. Before any layer, a number sees one pixel: begin at 1.",
        ),
        "one-side": Mistake(
            _seeing(grow=lambda kernel, step: kernel // 2 * step, first=0),
            "You count how far one sees to one side. Asked for is the whole side of the square, both directions and the "
            "middle.",
            (
                _seeing(grow=lambda kernel, step: kernel // 2 * step),
                _seeing(grow=lambda kernel, step: (kernel - 1) // 2 * step),
            ),
        ),
        "halves-rounded": Mistake(
            _seeing(grow=lambda kernel, step: 2 * (kernel // 2) * step),
            "A kernel of 4 is treated as one of 5, or of 3. It adds 3: its side less one.",
            (_seeing(grow=lambda kernel, step: 2 * ((kernel - 1) // 2) * step),),
        ),
        "kernels-multiplied": Mistake(
            lambda kernel_sizes, strides: math.prod(kernel_sizes),
            "The kernels are multiplied. Two of 3 see 5 pixels, not 9: their fields overlap.",
            (lambda kernel_sizes, strides: math.prod(k * s for k, s in zip(kernel_sizes, strides, strict=True)),),
        ),
        "area": Mistake(
            _seeing(gives=lambda field: field**2),
            "You give the number of pixels in the square. Its side is asked for.",
        ),
        "first-kernel-for-all": Mistake(
            lambda kernel_sizes, strides: receptive_field([kernel_sizes[0]] * len(strides), strides),
            "You use one kernel size, or one stride, for all layers. Each has its own.",
            (
                lambda kernel_sizes, strides: receptive_field(kernel_sizes, [strides[0]] * len(strides)),
                lambda kernel_sizes, strides: receptive_field([3] * len(strides), strides),
                lambda kernel_sizes, strides: receptive_field([kernel_sizes[-1]] * len(strides), strides),
            ),
        ),
        "layer-left-out": Mistake(
            _seeing(order=lambda pairs: pairs[:-1]),
            "The last layer is left out.",
            (_seeing(order=lambda pairs: [*pairs[:1]]),),
        ),
        "every-layer": Mistake(
            lambda kernel_sizes, strides: [
                receptive_field(kernel_sizes[:end], strides[:end]) for end in range(1, 1 + len(strides))
            ],
            "You give the field after every layer. Asked for is the one number after the last.",
        ),
        "float": Mistake(
            _seeing(gives=float),
            "The number is right, but it is a float. Pixels are counted: give an int. (`/` always gives a float; `//` and `*` "
            "do not.)",
        ),
        "tensor": Mistake(
            _seeing(gives=torch.tensor),
            "The number is right, but it is a tensor. Give an int: `int(…)` or `.item()`.",
        ),
        "changes-input": Mistake(
            _popping,
            "The result is right, but your code also changes the lists it was given. Whoever called it still needs them: no "
            "`.pop()`, `.reverse()` or `.insert()` on them.",
        ),
        **universal_mistakes(receptive_field, gradients=False, dtypes=False, layouts=False, tensors=False),
    },
)

EXERCISES = (PRINCIPAL_FILTERS, MEAN_ATTENTION_DISTANCE, RECEPTIVE_FIELD, ATTENTION_ROLLOUT)  # as the lesson has them
