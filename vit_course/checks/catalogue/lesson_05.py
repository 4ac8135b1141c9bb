"""Lesson 05: attention, and several heads of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit_course.attention import MultiHeadSelfAttention, scaled_dot_product_attention
from vit_course.checks.catalogue.cases import Draw, random_state
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case, build_and_call

RETURNS = ("output", "weights")
INFINITY = float("inf")


def _some(draw: Draw, *shape: int) -> Tensor:
    """A mask of about two keys in three; every query may attend to one at least, and to one not, where it can."""
    numbers = draw.normal(*shape)
    mask = numbers > -0.45
    first, last = (numbers.argsort(dim=-1)[..., [at]] for at in (-1, 0))
    mask.scatter_(-1, last, False)
    return mask.scatter_(-1, first, True)


def _shown(sizes: Sequence[int]) -> str:
    return "(" + ", ".join(map(str, sizes)) + ("," if len(sizes) == 1 else "") + ")"


# -- one attention


def _attention_case(
    note: str, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, omit_mask: bool = False, **options: bool
) -> Case:
    dtype = "" if q.dtype == torch.float32 else f", {str(q.dtype).removeprefix('torch.')}"
    said = "without a mask" if mask is None else f"mask {_shown(mask.shape)}"
    label = f"{note}q {_shown(q.shape)}, k {_shown(k.shape)}, v {_shown(v.shape)}, {said}{dtype}"
    inputs = {"q": q, "k": k, "v": v} | ({} if omit_mask else {"mask": mask})
    return Case(label, inputs, returns=RETURNS, **options)


def _attention_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 50)

    def sizes() -> list[int]:
        """All different: batch, heads, queries, keys, features, features of the values."""
        return draw.sizes(
            batch=(2, 3),
            heads=(2, 3, 4),
            queries=range(4, 8),
            keys=range(4, 10),
            dim=(5, 6, 7, 8, 10),
            values=range(4, 12),
        )

    def tokens(*before: int, queries: int, keys: int, dim: int, values: int, dtype: torch.dtype = torch.float32):
        shapes = ((*before, queries, dim), (*before, keys, dim), (*before, keys, values))
        return [draw.normal(*shape, dtype=dtype) for shape in shapes]

    def drawn(axes: int, dtype: torch.dtype = torch.float32, dim: int | None = None):
        batch, heads, queries, keys, other, values = sizes()
        before = ((), (batch,), (batch, heads))[axes]
        made = tokens(*before, queries=queries, keys=keys, dim=dim or other, values=values, dtype=dtype)
        return made, (batch, heads, queries, keys)

    def square(*before: int) -> list[Tensor]:
        """As many queries as keys and as features: wrong code finds no shape to stumble over."""
        return tokens(*before, queries=6, keys=6, dim=6, values=6)

    cases = []
    (q, k, v), _ = drawn(1)
    cases.append(_attention_case("", q, k, v, omit_mask=True))
    cases.append(_attention_case("", *square(3)))
    cases.append(_attention_case("", *square(2), _some(draw, 6, 6)))
    cases.append(_attention_case("", *square(2, 6), _some(draw, 2, 6, 6, 6)))
    made, _ = drawn(2)
    cases.append(_attention_case("", *made))
    made, (_, _, queries, keys) = drawn(1)
    cases.append(_attention_case("", *made, _some(draw, queries, keys)))
    made, (_, _, _, keys) = drawn(1)
    cases.append(_attention_case("the same keys for every query, ", *made, _some(draw, 1, keys)))
    made, (batch, heads, queries, keys) = drawn(2)
    cases.append(_attention_case("", *made, _some(draw, batch, 1, 1, keys)))
    made, (batch, heads, queries, keys) = drawn(2)
    cases.append(_attention_case("", *made, _some(draw, 1, heads, queries, keys)))
    made, (batch, heads, queries, keys) = drawn(2)
    # The same sizes again, with other numbers: a result kept from the last call shows.
    again = [draw.normal(*one.shape) for one in made]
    for note, qkv in (("", made), ("again, ", again)):
        cases.append(_attention_case(note, *qkv, _some(draw, queries, keys)))
    made, (_, _, queries, keys) = drawn(0)
    cases.append(_attention_case("no batch, ", *made, _some(draw, queries, keys)))
    made = tokens(2, 1, 3, queries=5, keys=4, dim=7, values=6)
    cases.append(_attention_case("", *made, _some(draw, 5, 4)))
    made = tokens(1, 2, queries=5, keys=7, dim=3, values=4)
    cases.append(_attention_case("every key allowed, ", *made, torch.ones(5, 7, dtype=torch.bool)))
    cases.append(_attention_case("a single key, ", *tokens(1, queries=4, keys=1, dim=3, values=2)))
    cases.append(_attention_case("a single query, ", *tokens(2, queries=1, keys=5, dim=3, values=4)))
    # A dim whose root float32 holds exactly: `torch.tensor(dim).sqrt()` is as right as `dim**0.5`.
    made, (_, _, queries, keys) = drawn(2, torch.float64, dim=16)
    cases.append(_attention_case("", *made, _some(draw, queries, keys)))
    made, (_, _, queries, keys) = drawn(2)
    cases.append(_attention_case("not contiguous in memory, ", *made, _some(draw, queries, keys), strided=True))
    cases.append(_large_scores(draw))
    return cases


def _large_scores(draw: Draw) -> Case:
    """Scores of 112, to whose power e is more than float32 holds.

    One key wins by far in each row, and the scores are whole: right code then agrees, in whatever order it adds up.
    """
    scores = 16 * draw.normal(2, 5, 7).argsort(dim=-1).float() - 32  # (2, 5, 7): -32 … 64
    scores[scores == 64] = 112
    k = 4 * torch.eye(7, 16).expand(2, -1, -1).clone()
    q = torch.cat([scores, draw.normal(2, 5, 9)], dim=-1)  # (2, 5, 16): what k does not ask for is free
    return _attention_case("large scores, ", q, k, draw.normal(2, 7, 3))


def _scores(q: Tensor, k: Tensor, power: float = -0.5) -> Tensor:
    return q @ k.transpose(-2, -1) * q.shape[-1] ** power


def _forbid(scores: Tensor, mask: Tensor | None) -> Tensor:
    return scores if mask is None else scores.masked_fill(~mask, -INFINITY)


def _attending(
    score: Callable[[Tensor, Tensor], Tensor] = _scores,
    masked: Callable[[Tensor, Tensor | None], Tensor] = _forbid,
    softmax: Callable[[Tensor], Tensor] = lambda scores: scores.softmax(dim=-1),
    after: Callable[[Tensor, Tensor | None], Tensor] = lambda weights, mask: weights,
    gives: Callable[[Tensor, Tensor], object] = lambda weights, v: (weights @ v, weights),
) -> Callable:
    """Attention in five steps, one of which is wrong: scores, mask, softmax, what follows it, what is returned."""

    def run(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> object:
        weights = after(softmax(masked(score(q, k), mask)), mask)
        return gives(weights, v)

    return run


def _scaled(scale: Callable[[Tensor, Tensor], float]) -> Callable:
    return _attending(score=lambda q, k: q @ k.transpose(-2, -1) * scale(q, k))


def _where_masked(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
    return lambda numbers, mask: numbers if mask is None else change(numbers, mask)


def _given(change: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    """Attention that treats its scores like this where there is a mask."""
    return _attending(masked=_where_masked(change))


def _over_queries_and_keys(scores: Tensor) -> Tensor:
    return scores.flatten(-2).softmax(dim=-1).view(scores.shape)


def _unstable(scores: Tensor) -> Tensor:
    powers = scores.exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def _to_keys(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = _forbid(_scores(k, q), mask).softmax(dim=-1)
    return weights @ v, weights


def _gives_keys(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = scaled_dot_product_attention(q, k, v, mask)[1]
    return weights @ k, weights


def _gives_queries(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = scaled_dot_product_attention(q, k, v, mask)[1]
    return weights @ q, weights


def _gives_scores(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    scores = _forbid(_scores(q, k), mask)
    return scores.softmax(dim=-1) @ v, scores


def _gives_scores_before_mask(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return scaled_dot_product_attention(q, k, v, mask)[0], _scores(q, k)


def _gives_weights_before_mask(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    return scaled_dot_product_attention(q, k, v, mask)[0], _scores(q, k).softmax(dim=-1)


def _masks_only_weights(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = _scores(q, k).softmax(dim=-1)
    return weights @ v, scaled_dot_product_attention(q, k, v, mask)[1]


def _scales_weights(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = _forbid(q @ k.transpose(-2, -1), mask).softmax(dim=-1) * q.shape[-1] ** -0.5
    return weights @ v, weights


def _scales_output(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = _forbid(q @ k.transpose(-2, -1), mask).softmax(dim=-1)
    return weights @ v * q.shape[-1] ** -0.5, weights


def _averaged(weights: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return weights @ v, weights.mean(dim=1) if weights.ndim == 4 else weights


def _k_reshaped(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.reshape(*k.shape[:-2], k.shape[-1], k.shape[-2]) * q.shape[-1] ** -0.5


def _cosines(q: Tensor, k: Tensor) -> Tensor:
    return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)


def _dropping(p: float) -> Callable:
    return _attending(after=lambda weights, mask: F.dropout(weights, p))


def _root_of_values(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    weights = _forbid(q @ k.transpose(-2, -1) * v.shape[-1] ** -0.5, mask).softmax(dim=-1)
    return weights @ v, weights


# What may be wrong inside one attention. The first argument is what to run, the rest as in `Mistake`.
INSIDE: dict[str, tuple[Callable, str, tuple[Callable, ...]]] = {
    "no-scale": (
        _attending(score=lambda q, k: q @ k.transpose(-2, -1)),
        "The scores are not divided by √d. With long vectors they grow, and the softmax gives nearly all weight to one "
        "key. d is the last size of q: `q.shape[-1] ** 0.5`.",
        (),
    ),
    "divides-by-d": (
        _attending(score=lambda q, k: _scores(q, k, -1)),
        "The scores are divided by d, not by its square root, so all weights come out nearly equal. Is the division in "
        "there twice, or a root missing?",
        (),
    ),
    "multiplies-by-root": (
        _attending(score=lambda q, k: _scores(q, k, 0.5)),
        "The scores are multiplied by √d. They have to be divided by it, so that they get smaller: `q.shape[-1] ** -0.5` "
        "with the minus, or a `/`.",
        (_attending(score=lambda q, k: _scores(q, k, 1)),),
    ),
    "fixed-scale": (
        _scaled(lambda q, k: 1 / 8),
        "The scores are divided by a number that is written into the code. It depends on how long the vectors are: "
        "`q.shape[-1] ** 0.5`.",
        (
            _scaled(lambda q, k: 1 / 2),
            _scaled(lambda q, k: 1 / 16),
            _scaled(lambda q, k: 1 / 64),
            *(
                _scaled(lambda q, k, fixed=fixed: fixed**-0.5)
                for fixed in (2, 3, 8, 32, 48, 96, 128, 192, 384, 512, 768)
            ),
        ),
    ),
    "softmax-over-queries": (
        _attending(softmax=lambda scores: scores.softmax(dim=-2)),
        "The softmax runs over the queries: the weights of a *column* add up to 1. Each query shares out one whole "
        "among the keys, so each *row* has to: `softmax(dim=-1)`.",
        (),
    ),
    "softmax-over-everything": (
        _attending(softmax=_over_queries_and_keys),
        "The softmax runs over queries and keys together: the whole table adds up to 1. Each row of it should: "
        "`softmax(dim=-1)`.",
        (_attending(softmax=lambda scores: scores.flatten().softmax(dim=0).view(scores.shape)),),
    ),
    "no-softmax": (
        _attending(softmax=lambda scores: scores),
        "There is no softmax: what multiplies the values are the scores themselves, which may be negative and do not "
        "add up to 1.",
        (_attending(masked=_where_masked(lambda scores, mask: scores * mask), softmax=lambda scores: scores),),
    ),
    "softmax-twice": (
        _attending(softmax=lambda scores: scores.softmax(dim=-1).softmax(dim=-1)),
        "The softmax is applied twice, which makes all weights nearly equal. Once is enough.",
        (),
    ),
    "other-than-softmax": (
        _attending(softmax=torch.sigmoid),
        "The weights of a query do not add up to 1: the scores go through another function than softmax, or are not "
        "divided by their sum. Use `softmax(dim=-1)`.",
        (
            _attending(softmax=torch.exp),
            _attending(softmax=F.relu),
            _attending(softmax=lambda scores: scores.log_softmax(dim=-1)),
            _attending(softmax=lambda scores: scores / scores.sum(dim=-1, keepdim=True)),
        ),
    ),
    "overflows": (
        _attending(softmax=_unstable),
        "Right for small scores, but e to the power of a large score is infinite, and infinite divided by infinite is "
        "NaN. `softmax(dim=-1)` takes the largest score away first, which changes no weight; do the same, or use it.",
        (_attending(softmax=lambda scores: scores.exp() / scores.exp().sum(dim=-1, keepdim=True).clamp(min=1e-9)),),
    ),
    "cosines": (
        _attending(score=_cosines),
        "The scores are cosines: queries and keys are brought to length 1 first. Here the dot product itself is asked "
        "for, divided by √d.",
        (_attending(score=lambda q, k: _cosines(q, k) * q.shape[-1] ** -0.5),),
    ),
    "scale-after-softmax": (
        _scales_weights,
        "The division by √d comes after the softmax, so the weights of a query no longer add up to 1. Divide the scores, "
        "before the softmax.",
        (_scales_output,),
    ),
    "weights-transposed": (
        _attending(gives=lambda weights, v: (weights.transpose(-2, -1) @ v, weights)),
        "The weights meet the values the wrong way round: transposed, each *key* collects from the queries. The output "
        "is `weights @ v`, a row of weights for each query.",
        (),
    ),
    "k-reshaped": (
        _attending(score=_k_reshaped),
        "`k` is brought into shape by `reshape` or `view`, which mixes the numbers of different keys. Exchange its last "
        "two axes with `k.transpose(-2, -1)`.",
        (),
    ),
    "k-not-transposed": (
        _attending(score=lambda q, k: q @ k * q.shape[-1] ** -0.5),
        "`q @ k` multiplies queries with *features* of the keys. Exchange the last two axes of k first: "
        "`q @ k.transpose(-2, -1)`.",
        (),
    ),
    "q-and-k-exchanged": (
        _to_keys,
        "Queries and keys have changed places: the rows of your table are keys. `q @ k.transpose(-2, -1)` has a row for "
        "each query.",
        (),
    ),
    "gives-keys": (
        _gives_keys,
        "The weights are right, but what they collect are not the values. The output is `weights @ v`.",
        (_gives_queries,),
    ),
    "weights-without-gradient": (
        _attending(gives=lambda weights, v: (weights.detach() @ v, weights)),
        "The numbers are right, but no gradient flows back through the weights, so queries and keys would never learn. "
        "Look for `.detach()`, `.data` or `torch.no_grad()`.",
        (_attending(gives=lambda weights, v: (weights.detach() @ v, weights.detach())),),
    ),
    "mask-ignored": (
        _attending(masked=lambda scores, mask: scores),
        "The mask is not used. Where it is False the weight has to be 0.",
        (),
    ),
    "mask-reversed": (
        _given(lambda scores, mask: scores.masked_fill(mask, -INFINITY)),
        "The mask is read the wrong way round. Here True means *may attend*; fill where it is False: "
        "`scores.masked_fill(~mask, …)`.",
        (
            _given(lambda scores, mask: scores.masked_fill(mask, -1e9)),
            _given(lambda scores, mask: scores + mask * -1e9),
        ),
    ),
    "mask-after-softmax": (
        _attending(masked=lambda scores, mask: scores, after=_where_masked(lambda weights, mask: weights * mask)),
        "The mask is applied after the softmax: the forbidden keys have weight 0, but the others no longer add up to 1. "
        "Put it on the scores, before the softmax.",
        (),
    ),
    "zero-for-forbidden": (
        _given(lambda scores, mask: scores * mask),
        "Forbidden scores are set to 0, or nearly, and e⁰ is 1: these keys still get weight. Which number does the softmax "
        "turn into exactly 0? Minus infinity: `masked_fill(~mask, float('-inf'))`.",
        (
            _given(lambda scores, mask: scores.masked_fill(~mask, torch.finfo(scores.dtype).tiny)),
            _given(lambda scores, mask: scores.masked_fill(~mask, 1e-9)),
            _given(lambda scores, mask: torch.where(mask, scores, -1e-9 + 0 * scores)),
        ),
    ),
    "mask-added": (
        _given(lambda scores, mask: scores + mask),
        "The mask is added as it is, so True adds 1 and False adds 0: no key is left out. Add minus infinity where it is "
        "False, or use `masked_fill(~mask, float('-inf'))`.",
        (_given(lambda scores, mask: scores - (~mask).to(scores.dtype)),),
    ),
    "mask-too-weak": (
        _given(lambda scores, mask: scores.masked_fill(~mask, -1.0)),
        "Forbidden scores are set to a number that is not low enough: these keys still get some weight. Take minus "
        "infinity.",
        (
            _given(lambda scores, mask: scores.masked_fill(~mask, -10.0)),
            _given(lambda scores, mask: scores - 5 * ~mask),
        ),
    ),
    "plus-infinity": (
        _given(lambda scores, mask: scores.masked_fill(~mask, INFINITY)),
        "Forbidden scores are set to *plus* infinity, and the softmax makes NaN of that. Minus infinity gives weight 0.",
        (),
    ),
    "mask-transposed": (
        _given(lambda scores, mask: scores.masked_fill(~mask.transpose(-2, -1), -INFINITY)),
        "Rows and columns of the mask have changed places. Its rows are the queries, its columns the keys, as in the "
        "scores.",
        (),
    ),
    "multiplied-by-infinity": (
        _given(lambda scores, mask: scores + (~mask) * -INFINITY),
        "0 times infinity is NaN, so multiplying the mask with minus infinity spoils the scores that are allowed. Fill "
        "instead: `scores.masked_fill(~mask, float('-inf'))`.",
        (_given(lambda scores, mask: scores * torch.where(mask, 1.0, -INFINITY)),),
    ),
    "dropout": (
        _dropping(0.1),
        "Some weights are dropped at random, so the same input gives another result each time. Here nothing is to be "
        "random; and `F.dropout` goes on in eval mode unless it is told `training=False`.",
        tuple(_dropping(p) for p in (0.2, 0.3, 0.5)),
    ),
}
# Where the softmax runs when its axis is counted from the front: right for one number of axes at most.
_FIXED_AXIS = (
    "The axis of the softmax is counted from the front, so it is the keys for one number of axes and something else, "
    "such as the heads, for another. The keys are always the last: `softmax(dim=-1)`."
)
_WRONG_ROOT = (
    "The scores are divided by a root, but not by that of d. d is how long queries and keys are, the last size of q: "
    "`q.shape[-1] ** 0.5`."
)


SCALED_DOT_PRODUCT_ATTENTION = Exercise(
    name="scaled_dot_product_attention",
    lesson="05",
    points=2,
    reference=scaled_dot_product_attention,
    exact=True,
    cases=_attention_cases,
    axes={},
    hints=(
        "Three steps: scores, weights, output. The table of scores has a row for each query and a column for each key: "
        "which product of `q` and `k` has that shape?",
        "`q @ k.transpose(-2, -1)` are the scores. Divide by √d. The mask goes on next, before the softmax: which number "
        "does e to the power of it make 0?",
        "`scores.masked_fill(~mask, float('-inf'))` if there is a mask, then `weights = scores.softmax(dim=-1)`, and "
        "`weights @ v`. Give back both.",
    ),
    reasoning="Counted from the back, the axes fit any number of axes before them: `@`, `transpose(-2, -1)` and "
    "`softmax(dim=-1)` treat images and heads as a batch. Minus infinity before the softmax gives a weight of exactly 0, "
    "and the others still add up to 1.",
    mistakes={
        **{slug: Mistake(wrong, message, variants) for slug, (wrong, message, variants) in INSIDE.items()},
        "root-of-something-else": Mistake(
            _scaled(lambda q, k: k.shape[-2] ** -0.5),
            _WRONG_ROOT,
            (_scaled(lambda q, k: q.shape[-2] ** -0.5), _scaled(lambda q, k: q.shape[0] ** -0.5), _root_of_values),
        ),
        "root-rounded": Mistake(
            _scaled(lambda q, k: 1 / int(q.shape[-1] ** 0.5)),
            "The root of d is rounded to a whole number. Leave it as it is, a float: `q.shape[-1] ** 0.5`.",
            (_scaled(lambda q, k: 1 / round(q.shape[-1] ** 0.5)),),
        ),
        "softmax-axis-from-the-front": Mistake(
            _attending(softmax=lambda scores: scores.softmax(dim=1)),
            _FIXED_AXIS,
            (
                _attending(softmax=lambda scores: scores.softmax(dim=2)),
                _attending(softmax=lambda scores: scores.softmax(dim=0)),
                _attending(softmax=lambda scores: F.softmax(scores, dim=scores.ndim - 3)),
            ),
        ),
        "transposes-from-the-front": Mistake(
            _attending(score=lambda q, k: q @ k.transpose(1, 2) * q.shape[-1] ** -0.5),
            "The axes of k that you exchange are counted from the front. With heads there is one axis more, and others "
            "change places. Count from the back: `k.transpose(-2, -1)`.",
            (
                _attending(score=lambda q, k: q @ k.permute(0, 2, 1) * q.shape[-1] ** -0.5),
                _attending(score=lambda q, k: q @ k.transpose(2, 3) * q.shape[-1] ** -0.5),
                _attending(score=lambda q, k: q @ k.transpose(0, 1) * q.shape[-1] ** -0.5),
            ),
        ),
        "gives-weights-first": Mistake(
            _attending(gives=lambda weights, v: (weights, weights @ v)),
            "The two results have changed places: the output comes first, the weights second.",
        ),
        "gives-output-alone": Mistake(
            _attending(gives=lambda weights, v: weights @ v),
            "Your code gives back the output alone. The weights are asked for, too: `return output, weights`.",
            (lambda q, k, v, mask=None: F.scaled_dot_product_attention(q, k, v, attn_mask=mask),),
        ),
        "gives-weights-alone": Mistake(
            _attending(gives=lambda weights, v: weights),
            "Your code gives back the weights alone. What they collect, `weights @ v`, comes first: "
            "`return output, weights`.",
        ),
        "gives-scores": Mistake(
            _gives_scores,
            "The output is right, but the second result are the scores as they were before the softmax. The weights are "
            "asked for: they add up to 1 in each row.",
            (_gives_scores_before_mask,),
        ),
        "gives-weights-before-mask": Mistake(
            _gives_weights_before_mask,
            "The output is right, but the weights you give back are those without the mask.",
        ),
        "masks-only-the-weights": Mistake(
            _masks_only_weights,
            "The weights you give back are right, but the output was made with others, without the mask.",
        ),
        "gives-mean-weights": Mistake(
            _attending(gives=_averaged),
            "The weights you give back are averaged over the heads, as `nn.MultiheadAttention` does. Here each head's own "
            "are asked for.",
        ),
        "gives-weights-detached": Mistake(
            _attending(gives=lambda weights, v: (weights @ v, weights.detach())),
            "The output is right, but the weights you give back have lost their gradient. Return them as they are; whoever "
            "wants to draw them can detach them.",
        ),
        **universal_mistakes(scaled_dot_product_attention, tuples=True),
    },
)


# -- several heads


def _heads_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 51)
    cases = []

    def add(
        note: str,
        sizes: tuple[int, int, int, int],
        mask: tuple[int, ...] | Tensor | None = None,
        dim_head: int | None = None,
        dtype: torch.dtype = torch.float32,
        **options: bool,
    ) -> None:
        """A case with a mask of this shape."""
        batch, count, dim, heads = sizes
        width = heads * (dim // heads if dim_head is None else dim_head)
        shapes = {
            "qkv.weight": (3 * width, dim),
            "qkv.bias": (3 * width,),
            "out.weight": (dim, width),
            "out.bias": (dim,),
        }
        x = draw.normal(batch, count, dim, dtype=dtype)
        mask = _some(draw, *mask) if isinstance(mask, tuple) else mask
        label = f"{note}x {_shown(x.shape)}, {heads} head{'s' * (heads > 1)}"
        label += "" if dim_head is None else f", dim_head {dim_head}"
        label += "" if mask is None else f", mask {_shown(mask.shape)}"
        label += "" if dtype == torch.float32 else f", {str(dtype).removeprefix('torch.')}"
        inputs = {"dim": dim, "heads": heads} | ({} if dim_head is None else {"dim_head": dim_head})
        forward = {"x": x} | ({} if mask is None else {"mask": mask})
        state = random_state(draw, shapes, dtype)
        state["out.weight"] /= 2  # smaller gradients: another order of adding up shows less
        cases.append(Case(label, inputs, forward=forward, state=state, train=len(cases) % 2 == 0, **options))

    batch, count, heads, width, _ = draw.sizes(batch=(2, 3), count=(7, 9, 11), heads=(4, 5), width=(5, 6, 8), none=(1,))
    add("", (batch, count, heads * width, heads))
    add("", (2, 6, 36, 6))  # as many tokens as heads and as features of a head: no shape to stumble over
    add("", (2, 6, 36, 6), (6, 6))
    add("", (3, 5, 12, 3), dim_head=7)
    batch, count, heads, width, given = draw.sizes(
        batch=(2, 3), count=(6, 7, 8), heads=(3, 4), width=(5, 7), given=(9, 10, 11)
    )
    add("", (batch, count, heads * width, heads), (count, count))
    add("", (batch, count + 1, heads * width, heads), (batch, 1, 1, count + 1), dim_head=given)
    add("", (batch, count, heads * width, heads), (batch, heads, count, count))
    add("again, ", (batch, count, heads * width, heads), (batch, heads, count, count))
    add("", (2, count, heads * width, heads), (1, heads, 1, count))
    add("each token sees itself alone, ", (2, 7, 15, 3), torch.eye(7, dtype=torch.bool))
    add("one image, ", (1, 5, 24, 2), (1, 1, 5, 5))
    add("", (2, 5, 11, 1))
    add("dim is not divisible by heads, ", (2, 4, 10, 3), dim_head=6)
    add("a single token, ", (3, 1, 8, 2))
    # A dim_head whose root float32 holds exactly: `torch.tensor(dim_head).sqrt()` is as right as `dim_head**0.5`.
    add("", (2, 7, 12, 3), (7, 7), dtype=torch.float64)
    add("", (2, 5, 18, 3), dim_head=4, dtype=torch.float64)
    add("not contiguous in memory, ", (3, 5, 14, 2), (5, 5), strided=True)
    cases.append(_large_scores_of_heads(draw))
    for dim, heads in ((10, 3), (7, 14)):
        cases.append(Case(f"dim {dim} and {heads} heads, without dim_head", {"dim": dim, "heads": heads}))
    return cases


def _large_scores_of_heads(draw: Draw) -> Case:
    """As `_large_scores`: every token looks as much like itself as can be, in both heads."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)  # (16, 4), all different
    x = torch.cat([signs[draw.normal(2, 16).argsort(dim=-1)[:, :5]] for _ in range(2)], dim=-1)  # (2, 5, 8)
    state = random_state(
        draw, {"qkv.weight": (24, 8), "qkv.bias": (24,), "out.weight": (8, 8), "out.bias": (8,)}, torch.float32
    )
    state["qkv.weight"][:16] = 8 * torch.eye(8).repeat(2, 1)  # scores of 128, and 64 at most for all others
    state["qkv.bias"][:16] = 0
    state["out.weight"] /= 8  # what is lost in rounding is multiplied by 8 on the way back
    return Case("large scores, x (2, 5, 8), 2 heads", {"dim": 8, "heads": 2}, forward={"x": x}, state=state)


def _is_divisible(dim: int, heads: int, dim_head: int | None) -> int:
    if dim_head is None and dim % heads:
        raise ValueError
    return dim // heads if dim_head is None else dim_head


SPLIT, MERGE = "b t (three h d) -> three b h t d", "b h t d -> b t (h d)"


def _plain_parts(module: nn.Module, dim: int, width: int) -> None:
    module.qkv, module.out = nn.Linear(dim, 3 * width), nn.Linear(width, dim)


def _three(module: nn.Module, x: Tensor, pattern: str = SPLIT) -> Tensor:
    """Queries, keys and values."""
    return rearrange(module.qkv(x), pattern, three=3, h=module.heads)


def _forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return module.out(rearrange(module.attend(*_three(module, x), mask)[0], MERGE))


def _heads(
    forward: Callable[[nn.Module, Tensor, Tensor | None], object] = _forward,
    build: Callable[[nn.Module, int, int], None] = _plain_parts,
    size: Callable[[int, int, int | None], int] = _is_divisible,
    attend: Callable = scaled_dot_product_attention,
) -> type[nn.Module]:
    """A MultiHeadSelfAttention with another forward, other parts, another length of a head, or another attention."""

    class Other(nn.Module):
        def __init__(self, dim: int, heads: int, dim_head: int | None = None) -> None:
            super().__init__()
            self.dim_head = size(dim, heads, dim_head)
            self.heads, self.attend, self.dim = heads, attend, dim
            build(self, dim, heads * self.dim_head)

        def forward(self, x: Tensor, mask: Tensor | None = None) -> object:
            return forward(self, x, mask)

    return Other


def _splitting(pattern: str, merge: str = MERGE) -> type[nn.Module]:
    """Cuts what `qkv` gives by this pattern."""

    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        return module.out(rearrange(module.attend(*_three(module, x, pattern), mask)[0], merge, h=module.heads))

    return _heads(forward)


def _merging(merge: str) -> type[nn.Module]:
    return _splitting(SPLIT, merge)


def _ordered(*order: int) -> type[nn.Module]:
    """Takes the thirds of what `qkv` gives in another order."""

    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        three = _three(module, x)
        return module.out(rearrange(module.attend(*(three[i] for i in order), mask)[0], MERGE))

    return _heads(forward)


def _viewed(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Heads "split" without a transpose."""
    return [part.reshape(len(x), module.heads, x.shape[1], -1) for part in module.qkv(x).chunk(3, dim=-1)]


def _view_both_ways(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    heads = module.attend(*_viewed(module, x), mask)[0]
    return module.out(heads.reshape(*x.shape[:2], -1))


def _view_and_transpose(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return module.out(rearrange(module.attend(*_viewed(module, x), mask)[0], MERGE))


def _view_all_at_once(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    three = module.qkv(x).reshape(3, len(x), module.heads, x.shape[1], -1)
    return module.out(rearrange(module.attend(*three, mask)[0], MERGE))


def _view_all_behind_the_batch(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    three = module.qkv(x).reshape(len(x), 3, module.heads, x.shape[1], -1).unbind(1)
    return module.out(rearrange(module.attend(*three, mask)[0], MERGE))


def _merged_by_view(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return module.out(module.attend(*_three(module, x), mask)[0].reshape(*x.shape[:2], -1))


def _among_heads(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    q, k, v = (part.unflatten(-1, (module.heads, -1)) for part in module.qkv(x).chunk(3, dim=-1))  # (B, T, h, d)
    return module.out(module.attend(q, k, v, mask)[0].flatten(2))


def _as_one_head(power: Callable[[nn.Module], float]) -> type[nn.Module]:
    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = module.qkv(x).chunk(3, dim=-1)
        mask = mask[:, 0] if mask is not None and mask.ndim == 4 else mask
        weights = _forbid(q @ k.transpose(-2, -1) * power(module), mask).softmax(dim=-1)
        return module.out(weights @ v)

    return _heads(forward)


def _root_of(size: Callable[[nn.Module], float]) -> type[nn.Module]:
    """Divides the scores by the root of another size."""

    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = _three(module, x)
        weights = _forbid(q @ k.transpose(-2, -1) * size(module) ** -0.5, mask).softmax(dim=-1)
        return module.out(rearrange(weights @ v, MERGE))

    return _heads(forward)


def _over_heads(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    q, k, v = _three(module, x)
    return module.out(rearrange(_forbid(_scores(q, k), mask).softmax(dim=1) @ v, MERGE))


def _over_heads_last(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """The heads stand last, where a softmax over the last axis finds them."""
    q, k, v = _three(module, x)
    scores = _scores(q, k) if mask is None else _scores(q, k).masked_fill(~mask, -1e9)
    return module.out(rearrange(scores.softmax(dim=1) @ v, MERGE))


def _changing_mask(change: Callable[[Tensor, nn.Module], Tensor | None]) -> type[nn.Module]:
    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        return _forward(module, x, None if mask is None else change(mask, module))

    return _heads(forward)


def _first_head_only(mask: Tensor, module: nn.Module) -> Tensor:
    mask = mask if mask.ndim == 4 else mask[None, None]
    rest = torch.ones_like(mask[:, :1]).expand(-1, module.heads - 1, -1, -1)
    return torch.cat([mask[:, :1], rest], dim=1)


def _joined(join: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    """The heads become one before `out`, which is then as wide as one head."""

    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        return module.out(join(module.attend(*_three(module, x), mask)[0]))

    def build(module: nn.Module, dim: int, width: int) -> None:
        module.qkv, module.out = nn.Linear(dim, 3 * width), nn.Linear(width // module.heads, dim)

    return _heads(forward, build)


def _joined_and_repeated(join: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        one = join(module.attend(*_three(module, x), mask)[0])  # (B, T, dim_head)
        return module.out(one.repeat(1, 1, module.heads))

    return _heads(forward)


def _without_out(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return rearrange(module.attend(*_three(module, x), mask)[0], MERGE)


def _no_out(module: nn.Module, dim: int, width: int) -> None:
    module.qkv = nn.Linear(dim, 3 * width)


def _biases(qkv: bool, out: bool) -> type[nn.Module]:
    def build(module: nn.Module, dim: int, width: int) -> None:
        module.qkv, module.out = nn.Linear(dim, 3 * width, bias=qkv), nn.Linear(width, dim, bias=out)

    return _heads(build=build)


def _three_layers(*names: str, out: str = "out", bias: bool = True) -> type[nn.Module]:
    def build(module: nn.Module, dim: int, width: int) -> None:
        for name in names:
            setattr(module, name, nn.Linear(dim, width, bias=bias))
        setattr(module, out, nn.Linear(width, dim))

    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        three = [rearrange(getattr(module, name)(x), "b t (h d) -> b h t d", h=module.heads) for name in names]
        return getattr(module, out)(rearrange(module.attend(*three, mask)[0], MERGE))

    return _heads(forward, build)


def _other_names(qkv: str, out: str) -> type[nn.Module]:
    def build(module: nn.Module, dim: int, width: int) -> None:
        setattr(module, qkv, nn.Linear(dim, 3 * width))
        setattr(module, out, nn.Linear(width, dim))

    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        three = rearrange(getattr(module, qkv)(x), SPLIT, three=3, h=module.heads)
        return getattr(module, out)(rearrange(module.attend(*three, mask)[0], MERGE))

    return _heads(forward, build)


def _new_out_each_call(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    merged = _without_out(module, x, mask)
    return nn.Linear(merged.shape[-1], module.dim).to(x)(merged)


def _new_layers_each_call(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    width = module.heads * module.dim_head
    three = rearrange(nn.Linear(module.dim, 3 * width).to(x)(x), SPLIT, three=3, h=module.heads)
    return nn.Linear(width, module.dim).to(x)(rearrange(module.attend(*three, mask)[0], MERGE))


def _in_a_list(module: nn.Module, dim: int, width: int) -> None:
    module.layers = [nn.Linear(dim, 3 * width), nn.Linear(width, dim)]


def _from_the_list(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    qkv, out = module.layers
    three = rearrange(qkv.to(x)(x), SPLIT, three=3, h=module.heads)
    return out.to(x)(rearrange(module.attend(*three, mask)[0], MERGE))


def _qkv_without_bias(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    three = rearrange(F.linear(x, module.qkv.weight), SPLIT, three=3, h=module.heads)
    return module.out(rearrange(module.attend(*three, mask)[0], MERGE))


def _added(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    return x + _forward(module, x, mask)


def _norm_part(module: nn.Module, dim: int, width: int) -> None:
    _plain_parts(module, dim, width)
    module.norm = nn.LayerNorm(dim)


def _dropped_out(p: float, everywhere: bool = True) -> type[nn.Module]:
    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        return F.dropout(_forward(module, x, mask), p, training=everywhere or module.training)

    return _heads(forward)


def _dropout_of_weights(p: float) -> type[nn.Module]:
    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, None]:
        return F.scaled_dot_product_attention(q, k, v, None if mask is None else mask, dropout_p=p), None

    return _heads(attend=attend)


def _in_training(p: float) -> type[nn.Module]:
    """Dropout of the weights, which an `nn.Dropout` turns off in eval mode."""

    def forward(module: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = _three(module, x)
        weights = F.dropout(module.attend(q, k, v, mask)[1], p, module.training)
        return module.out(rearrange(weights @ v, MERGE))

    return _heads(forward)


def _with_error(error: type[Exception]) -> type[nn.Module]:
    def size(dim: int, heads: int, dim_head: int | None) -> int:
        if dim_head is None and dim % heads:
            raise error
        return dim // heads if dim_head is None else dim_head

    return _heads(size=size)


def _always_divided(dim: int, heads: int, dim_head: int | None) -> int:
    return _is_divisible(dim, heads, None)


def _asks_too_much(dim: int, heads: int, dim_head: int | None) -> int:
    _is_divisible(dim, heads, None)
    return dim // heads if dim_head is None else dim_head


_SAME_INSIDE = (
    "gives-keys",
    "mask-ignored",
    "k-not-transposed",
    "multiplied-by-infinity",
    "no-scale",
    "dropout",
    "fixed-scale",
)
_VIEW = (
    "The heads are split by `view` or `reshape` alone. The shape is right, but the heads got whole *tokens* in place of "
    "features: head 0 holds the first of the tokens, and so on. Split the last axis first, (batch, tokens, heads, "
    "dim_head), then exchange tokens and heads: `.transpose(1, 2)`."
)
_NO_BIAS = "`qkv` and `out` both have a bias. `nn.Linear` makes one by default; leave out `bias=False`."
_THREE_LAYERS = (
    "Three layers for queries, keys and values compute the same as one that is three times as wide. Here one is asked for, "
    "`qkv`, so that weights can be copied by name: its rows are those of q, then k, then v."
)

MULTI_HEAD_SELF_ATTENTION = Exercise(
    name="MultiHeadSelfAttention",
    lesson="05",
    points=3,
    reference=MultiHeadSelfAttention,
    exact=True,
    cases=_heads_cases,
    observe=build_and_call,
    axes={"x": "image token feature", "output": "image token feature"},
    hints=(
        "`qkv` gives each token 3·heads·dim_head numbers. Give that one axis its three names: which of q, k, v; which "
        "head; which feature. Attention wants the tokens next to the features: (batch, heads, tokens, dim_head).",
        '`rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)` gives all three. By hand: '
        "`chunk(3, dim=-1)`, then of each `.view(batch, tokens, heads, dim_head).transpose(1, 2)`.",
        "`scaled_dot_product_attention(q, k, v, mask)` takes the heads for a batch. Its output goes back, "
        '`rearrange(output, "b h t d -> b t (h d)")`, and through `self.out`.',
    ),
    reasoning="One matrix makes queries, keys and values of all heads at once. Heads are an axis in front of tokens and "
    "features, so that attention, which treats all axes before the last two as a batch, keeps them apart.",
    mistakes={
        "heads-split-by-view": Mistake(
            _heads(_view_both_ways),
            _VIEW,
            (_heads(_view_and_transpose), _heads(_view_all_at_once), _heads(_view_all_behind_the_batch)),
        ),
        "heads-merged-by-view": Mistake(
            _heads(_merged_by_view),
            "The heads are put together by `reshape` or `view` alone, so an output token is made of pieces of *other* "
            "tokens. Exchange heads and tokens first, `.transpose(1, 2)`, then join the last two axes.",
        ),
        "attends-among-heads": Mistake(
            _heads(_among_heads),
            "Heads and tokens have not changed places, so that each token's *heads* attend to each other, and no token "
            "hears another. Attention takes the last two axes: they have to be (tokens, dim_head).",
        ),
        "single-head": Mistake(
            _as_one_head(lambda module: module.dim_head**-0.5),
            "There is one attention over all features. Each head has to have a softmax of its own, over its own part of "
            "the features.",
            (_as_one_head(lambda module: (module.heads * module.dim_head) ** -0.5),),
        ),
        "root-of-full-width": Mistake(
            _root_of(lambda module: module.dim),
            "The scores are divided by the root of the whole width. Each head's dot products are over its own features "
            "only: divide by √dim_head.",
            (_root_of(lambda module: module.heads * module.dim_head),),
        ),
        "root-of-heads": Mistake(
            _root_of(lambda module: module.heads),
            "The scores are divided by the root of the number of heads. Divide by √dim_head, the length of a query.",
        ),
        "no-scale": Mistake(_root_of(lambda module: 1.0), INSIDE["no-scale"][1]),
        "fixed-scale": Mistake(
            _root_of(lambda module: 64),
            INSIDE["fixed-scale"][1],
            tuple(_root_of(lambda module, fixed=fixed: fixed) for fixed in (2, 3, 4, 8, 16, 32, 48, 96, 128, 192, 768)),
        ),
        "softmax-over-heads": Mistake(
            _heads(_over_heads),
            "The softmax runs over the heads, so they compete for each pair of tokens. It has to run over the keys: "
            "`softmax(dim=-1)`.",
            (_heads(_over_heads_last),),
        ),
        **{
            slug: Mistake(
                _heads(attend=wrong), f"Inside the heads: {message}", tuple(_heads(attend=one) for one in variants)
            )
            for slug, (wrong, message, variants) in INSIDE.items()
            if slug not in _SAME_INSIDE
        },
        "q-and-k-exchanged": Mistake(
            _ordered(1, 0, 2),
            "Queries and keys have changed places. The first third of what `qkv` gives are the queries, the second the "
            "keys, the last the values.",
        ),
        "other-order": Mistake(
            _ordered(2, 0, 1),
            "Queries, keys and values are taken in another order. The first third of what `qkv` gives are the queries, the "
            "second the keys, the last the values.",
            (_ordered(0, 2, 1), _ordered(1, 2, 0), _ordered(2, 1, 0)),
        ),
        "values-not-used": Mistake(
            _ordered(0, 1, 1),
            "The values are not used: what the weights collect is something else. Take the last third of what `qkv` gives.",
            (_ordered(0, 1, 0), _ordered(0, 0, 2), _ordered(0, 0, 0), _ordered(1, 1, 2)),
        ),
        "interleaved-per-head": Mistake(
            _splitting("b t (h three d) -> three b h t d"),
            "What `qkv` gives is read head by head: q, k, v of head 0, then of head 1. Its order is all queries, then all "
            "keys, then all values: `(three h d)`.",
            (_splitting("b t (h d three) -> three b h t d"),),
        ),
        "interleaved-per-feature": Mistake(
            _splitting("b t (d three h) -> three b h t d"),
            "What `qkv` gives is read feature by feature: the first number of every q, k and v, then the second. Its order "
            "is all queries, then all keys, then all values, and in each of them the heads as whole blocks: `(three h d)`.",
            (_splitting("b t (d h three) -> three b h t d"),),
        ),
        "features-before-heads": Mistake(
            _splitting("b t (three d h) -> three b h t d"),
            "The features of a head are not next to each other: you read `(d h)`, every so many numbers one for each head. "
            "The heads are whole blocks: `(h d)`.",
            (_splitting("b t (three d h) -> three b h t d", "b h t d -> b t (d h)"),),
        ),
        "merged-features-first": Mistake(
            _merging("b h t d -> b t (d h)"),
            "The heads are put together as `(d h)`, their features taking turns. Put them one after the other: `(h d)`.",
        ),
        "heads-averaged": Mistake(
            _joined(lambda heads: heads.mean(dim=1)),
            "The heads are averaged. Each has found something else: put their outputs side by side, heads·dim_head numbers, "
            "and let `out` mix them.",
            (_joined_and_repeated(lambda heads: heads.mean(dim=1)),),
        ),
        "heads-summed": Mistake(
            _joined(lambda heads: heads.sum(dim=1)),
            "The heads are added up. Each has found something else: put their outputs side by side, heads·dim_head numbers, "
            "and let `out` mix them.",
            (_joined_and_repeated(lambda heads: heads.sum(dim=1)),),
        ),
        "first-head-alone": Mistake(
            _joined(lambda heads: heads[:, 0]),
            "Only the first head's output is used. Put those of all heads side by side.",
            (_joined_and_repeated(lambda heads: heads[:, 0]),),
        ),
        "out-not-used": Mistake(
            _heads(_without_out),
            "`out` is never called. The heads' outputs, side by side, have to go through it: it mixes what they found, and "
            "brings them back to `dim` numbers.",
        ),
        "no-out": Mistake(
            _heads(_without_out, _no_out),
            "The layer `out` is missing. It mixes what the heads found: an `nn.Linear(heads·dim_head, dim)`.",
        ),
        "no-bias": Mistake(_biases(False, False), _NO_BIAS, (_biases(False, True), _biases(True, False))),
        "bias-forgotten": Mistake(
            _heads(_qkv_without_bias),
            "`qkv` has a bias, but `forward` uses only its weight. Call the layer as it is: `self.qkv(x)`.",
        ),
        "three-layers": Mistake(
            _three_layers("q", "k", "v"),
            _THREE_LAYERS,
            (
                *(
                    _three_layers(*names)
                    for names in (
                        ("query", "key", "value"),
                        ("to_q", "to_k", "to_v"),
                        ("q_proj", "k_proj", "v_proj"),
                        ("w_q", "w_k", "w_v"),
                        ("wq", "wk", "wv"),
                        ("W_q", "W_k", "W_v"),
                        ("q_linear", "k_linear", "v_linear"),
                    )
                ),
                _three_layers("q", "k", "v", bias=False),
                _three_layers("q_proj", "k_proj", "v_proj", out="out_proj"),
                _three_layers("query", "key", "value", bias=False),
            ),
        ),
        "other-names": Mistake(
            _other_names("qkv", "proj"),
            "The layers are right but have other names. Call them `self.qkv` and `self.out`: weights are copied by name.",
            tuple(
                _other_names(*names)
                for names in (
                    ("qkv", "to_out"),
                    ("qkv", "out_proj"),
                    ("qkv", "output"),
                    ("qkv", "fc"),
                    ("qkv", "projection"),
                    ("to_qkv", "out"),
                    ("to_qkv", "to_out"),
                    ("in_proj", "out_proj"),
                    ("qkv_proj", "out_proj"),
                    ("c_attn", "c_proj"),
                )
            ),
        ),
        "not-registered": Mistake(
            _heads(_from_the_list, _in_a_list),
            "The layers hide in a Python list, where PyTorch does not look: an optimizer would never see their weights. "
            "Assign them to `self.qkv` and `self.out`.",
        ),
        "new-each-call": Mistake(
            _heads(_new_layers_each_call, lambda *_: None),
            "Layers are made anew in every `forward`, with new random weights: nothing could ever be learned. Make them "
            "once, in `__init__`.",
            (_heads(_new_out_each_call, _no_out),),
        ),
        "mask-not-passed-on": Mistake(
            _changing_mask(lambda mask, module: None),
            "The mask comes into `forward` and goes no further. Hand it on to the attention.",
        ),
        "mask-for-first-head-only": Mistake(
            _changing_mask(_first_head_only),
            "Only the first head gets the mask. A mask of (queries, keys) holds for all heads; broadcasting does that.",
        ),
        "mask-of-a-part-only": Mistake(
            _changing_mask(lambda mask, module: mask if mask.ndim == 2 else mask[:1]),
            "Of a mask with four axes, (batch, heads, queries, keys), only a part is used, so that all images, or all heads, "
            "get the mask of the first. Hand it on as it is.",
            (
                _changing_mask(lambda mask, module: mask if mask.ndim == 2 else mask[0, 0]),
                _changing_mask(lambda mask, module: mask if mask.ndim == 2 else mask[0]),
                _changing_mask(lambda mask, module: mask if mask.ndim == 2 else mask[:, :1]),
            ),
        ),
        "mask-of-four-axes-ignored": Mistake(
            _changing_mask(lambda mask, module: mask if mask.ndim == 2 else None),
            "A mask with four axes, (batch, heads, queries, keys), is not used. Hand it on as it is.",
        ),
        "mask-of-two-axes-ignored": Mistake(
            _changing_mask(lambda mask, module: mask if mask.ndim == 4 else None),
            "A mask with two axes, (queries, keys), is not used. It holds for all images and heads; hand it on as it is, and "
            "broadcasting does the rest.",
        ),
        "adds-the-input": Mistake(
            _heads(_added),
            "The input is added to the result. That skip connection belongs to the encoder block, in lesson 06; here the "
            "attention alone is asked for.",
        ),
        "norm-first": Mistake(
            _heads(lambda module, x, mask: _forward(module, module.norm(x), mask), _norm_part),
            "There is a LayerNorm before the attention. It belongs to the encoder block, in lesson 06.",
        ),
        "norm-after": Mistake(
            _heads(lambda module, x, mask: module.norm(_forward(module, x, mask)), _norm_part),
            "There is a LayerNorm after the attention. Norms belong to the encoder block, in lesson 06.",
        ),
        "dropout": Mistake(
            _heads(attend=INSIDE["dropout"][0]),
            INSIDE["dropout"][1],
            (
                *(_heads(attend=one) for one in INSIDE["dropout"][2]),
                *(_dropped_out(p) for p in (0.1, 0.2, 0.5)),
                *(_dropout_of_weights(p) for p in (0.1, 0.2, 0.5)),
                *(_dropped_out(p, everywhere=False) for p in (0.1, 0.2, 0.5)),
                *(_in_training(p) for p in (0.1, 0.2, 0.5)),
            ),
        ),
        "dim-head-ignored": Mistake(
            _heads(size=_always_divided),
            "The argument `dim_head` is not used. Where it is given, a head has so many features, whatever `dim` is.",
            (_heads(size=lambda dim, heads, dim_head: dim // heads),),
        ),
        "asks-too-much": Mistake(
            _heads(size=_asks_too_much),
            "Your code refuses a `dim` that `heads` does not divide even where `dim_head` is given. Then nothing has to be "
            "divided.",
        ),
        "no-value-error": Mistake(
            _heads(size=lambda dim, heads, dim_head: dim // heads if dim_head is None else dim_head),
            "Without `dim_head`, heads that do not divide `dim` are rounded down quietly, and some width is lost. Raise a "
            "`ValueError` then.",
            (
                _heads(size=lambda dim, heads, dim_head: round(dim / heads) if dim_head is None else dim_head),
                _heads(size=lambda dim, heads, dim_head: max(1, dim // heads) if dim_head is None else dim_head),
            ),
        ),
        "other-error": Mistake(
            _with_error(AssertionError),
            "Where `heads` does not divide `dim`, a `ValueError` is asked for: `raise ValueError(…)`. An `assert` raises "
            "something else, and disappears when Python runs with `-O`.",
            (_with_error(RuntimeError), _with_error(Exception), _with_error(TypeError)),
        ),
        **universal_mistakes(MultiHeadSelfAttention),
    },
)

EXERCISES = (SCALED_DOT_PRODUCT_ATTENTION, MULTI_HEAD_SELF_ATTENTION)
