"""Lesson 03: the CLS token, and one vector per image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vit_course.checks.catalogue.cases import Draw, describe_tokens, numbered
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case
from vit_course.embeddings import pool, prepend_cls_token


def _token_cases(seed: int, fewest: int) -> list[tuple[str, Tensor, dict]]:
    """(label, tokens, options of `Case`); one case has only the `fewest` tokens that make sense."""
    draw = Draw(seed + 4)

    def sizes(batch: tuple[int, ...] = (2, 3, 5)) -> list[int]:
        return draw.sizes(batch=batch, tokens=range(4, 12), dim=range(4, 12))

    return [
        ("", numbered(*sizes()), {"numbered": True}),
        ("", draw.normal(*sizes((2,))), {}),
        ("", draw.normal(*sizes((1,))), {}),
        ("", draw.normal(*sizes((9, 13))), {}),
        ("", draw.normal(4, 8, 8), {}),
        ("again, ", draw.normal(4, 8, 8), {}),  # the same sizes: a result kept from the last call shows
        ("", draw.normal(6, 6, 6), {}),
        ("", draw.normal(3, fewest, 5), {}),
        ("", draw.normal(*sizes(), dtype=torch.float64), {}),
        ("not contiguous in memory, ", draw.normal(*sizes()), {"strided": True}),
    ]


def _prepend_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 5)
    cases = []
    for note, tokens, options in _token_cases(seed, fewest=1):
        cls_token = draw.normal(1, 1, tokens.shape[-1], dtype=tokens.dtype)
        cases.append(Case(note + describe_tokens(tokens), {"tokens": tokens, "cls_token": cls_token}, **options))
    # Two images: the gradients of more, added up in half precision, depend on their order.
    tokens, cls_token = (draw.normal(*shape, dtype=torch.bfloat16) for shape in ((2, 5, 7), (1, 1, 7)))
    cases.append(Case(describe_tokens(tokens), {"tokens": tokens, "cls_token": cls_token}))
    return cases


def _cat(first: Tensor, *rest: Tensor, dim: int = 1) -> Tensor:
    return torch.cat([first, *rest], dim=dim)


def _for_each(cls_token: Tensor, tokens: Tensor) -> Tensor:
    return cls_token.expand(len(tokens), -1, -1)


def _made_anew(make: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda tokens, cls_token: _cat(make(len(tokens), 1, tokens.shape[-1], dtype=tokens.dtype), tokens)


def _first_image_only(tokens: Tensor, cls_token: Tensor) -> Tensor:
    mask = torch.zeros(len(tokens), 1, 1, dtype=tokens.dtype)
    mask[0] = 1
    return _cat(cls_token * mask, tokens)


PREPEND_CLS_TOKEN = Exercise(
    name="prepend_cls_token",
    lesson="03",
    points=1,
    reference=prepend_cls_token,
    exact=True,
    cases=_prepend_cases,
    axes={"tokens": "image token feature", "output": "image token feature"},
    hints=(
        "`torch.cat` joins tensors along one axis; along all others their sizes have to agree. Which axis counts tokens?",
        "The CLS token has batch size 1. `cls_token.expand(batch, -1, -1)` shows it once per image without copying.",
        "`torch.cat([cls_token.expand(len(tokens), -1, -1), tokens], dim=1)`",
    ),
    reasoning="`expand` shows the same vector to every image of the batch. Nothing is copied, and in the backward pass "
    "the gradients of all images add up in the one parameter.",
    mistakes={
        "cls-last": Mistake(
            lambda tokens, cls_token: _cat(tokens, _for_each(cls_token, tokens)),
            "The CLS token stands last. By convention it comes first, at index 0, where the classifier will look for it.",
        ),
        "replaces-first-token": Mistake(
            lambda tokens, cls_token: _cat(_for_each(cls_token, tokens), tokens[:, 1:]),
            "The CLS token took the place of the first patch, which is lost. Put it in front: N tokens become 1 + N.",
            (lambda tokens, cls_token: _cat(_for_each(cls_token, tokens), tokens[:, :-1]),),
        ),
        "cls-detached": Mistake(
            lambda tokens, cls_token: _cat(_for_each(cls_token.detach(), tokens), tokens),
            "The numbers are right, but no gradient reaches the CLS token, so it would never learn. `.data`, `.detach()` "
            "and a new `nn.Parameter` or `torch.tensor` of it all cut the connection.",
            (lambda tokens, cls_token: _cat(nn.Parameter(cls_token.data).expand(len(tokens), -1, -1), tokens),),
        ),
        "tokens-detached": Mistake(
            lambda tokens, cls_token: _cat(_for_each(cls_token, tokens), tokens.detach()),
            "The numbers are right, but no gradient reaches the patch tokens, so nothing before this could learn.",
        ),
        "zeros-instead": Mistake(
            _made_anew(torch.zeros),
            "A vector of zeros stands in front, not the CLS token that was given. Use the argument `cls_token`.",
        ),
        "made-anew": Mistake(
            _made_anew(torch.randn),
            "A new random vector stands in front at each call. There is one CLS token, it is learned, and it comes in as "
            "the argument `cls_token`.",
            (
                _made_anew(torch.rand),
                _made_anew(torch.ones),
                lambda tokens, cls_token: _cat(
                    torch.randn(1, 1, tokens.shape[-1], dtype=tokens.dtype).expand(len(tokens), -1, -1), tokens
                ),
                lambda tokens, cls_token: _cat(_for_each(torch.randn_like(cls_token), tokens), tokens),
                # As a new `nn.Parameter` comes: float32, whatever the tokens are.
                *(
                    lambda tokens, cls_token, make=make, one=one, scale=scale: _cat(
                        (scale * make(1 if one else len(tokens), 1, tokens.shape[-1])).expand(len(tokens), -1, -1),
                        tokens,
                    )
                    for make in (torch.randn, torch.rand)
                    for one in (True, False)
                    for scale in (1, 0.02)
                ),
            ),
        ),
        "batch-not-expanded": Mistake(
            lambda tokens, cls_token: _cat(cls_token, tokens),
            "Your code works for one image only. `cls_token` has batch size 1 and has to get as many as there are images, "
            "along the first axis: `cls_token.expand(len(tokens), -1, -1)`.",
            (lambda tokens, cls_token: _cat(cls_token.expand(-1, len(tokens), -1), tokens),),
        ),
        "arguments-swapped": Mistake(
            lambda tokens, cls_token: prepend_cls_token(cls_token, tokens),
            "The two arguments have changed places: `tokens` come in first, `cls_token` second.",
        ),
        "first-image-only": Mistake(
            _first_image_only,
            "Only the first image gets the CLS token. All images share it: use `expand`.",
        ),
        "adds": Mistake(
            lambda tokens, cls_token: tokens + cls_token,
            "The CLS token is added to every patch token. It should stand beside them, as one token more.",
        ),
        "along-features": Mistake(
            lambda tokens, cls_token: _cat(cls_token.expand(len(tokens), tokens.shape[1], -1), tokens, dim=2),
            "The CLS token is joined along the features, so every token got longer. Join along the axis that counts "
            "tokens, `dim=1`.",
            (lambda tokens, cls_token: _cat(tokens, cls_token.expand(len(tokens), tokens.shape[1], -1), dim=2),),
        ),
        "dim-forgotten": Mistake(
            lambda tokens, cls_token: _cat(_for_each(cls_token, tokens), tokens, dim=0),
            "`torch.cat` joins along the first axis, the images, when it is not told otherwise. Tokens are counted by the "
            "second: `dim=1`.",
            (lambda tokens, cls_token: _cat(tokens, _for_each(cls_token, tokens), dim=0),),
        ),
        "along-batch": Mistake(
            lambda tokens, cls_token: _cat(cls_token.expand(1, tokens.shape[1], -1), tokens, dim=0),
            "The CLS token became one more image. Join along the axis that counts tokens, `dim=1`.",
            (lambda tokens, cls_token: _cat(tokens, cls_token.expand(1, tokens.shape[1], -1), dim=0),),
        ),
        "second-place": Mistake(
            lambda tokens, cls_token: _cat(tokens[:, :1], _for_each(cls_token, tokens), tokens[:, 1:]),
            "The CLS token stands in the second place. It comes first, at index 0.",
        ),
        "once-per-token": Mistake(
            lambda tokens, cls_token: _cat(cls_token.repeat(len(tokens), tokens.shape[1], 1), tokens),
            "The CLS token is repeated once for each token. It is needed once per image.",
        ),
        "twice": Mistake(
            lambda tokens, cls_token: _cat(_for_each(cls_token, tokens), _for_each(cls_token, tokens), tokens),
            "There are two CLS tokens. One is enough: N tokens become 1 + N.",
        ),
        "cls-only": Mistake(
            lambda tokens, cls_token: _for_each(cls_token, tokens),
            "Only the CLS token comes back. The patch tokens follow it.",
            (lambda tokens, cls_token: cls_token,),
        ),
        **universal_mistakes(prepend_cls_token),
    },
)


def _pool_cases(seed: int) -> list[Case]:
    return [
        # A mean of numbered tokens is no number that came from anywhere.
        Case(
            f'{note}{describe_tokens(tokens)}, mode "{mode}"',
            {"tokens": tokens, "mode": mode},
            **(options if mode == "cls" else options | {"numbered": False}),
        )
        for number, (note, tokens, options) in enumerate(_token_cases(seed + 6, fewest=2))
        # Of each mode the word as code spells it, and one made while running: `is` takes one of them for another.
        for mode in (("cls", "mean") if number % 2 else ("".join([*"cls"]), "".join([*"mean"])))
    ]


def _modes(cls: Callable[[Tensor], Tensor], mean: Callable[[Tensor], Tensor]) -> Callable[[Tensor, str], Tensor]:
    return lambda tokens, mode: cls(tokens) if mode == "cls" else mean(tokens)


def _cls(tokens: Tensor) -> Tensor:
    return tokens[:, 0]


def _mean(tokens: Tensor) -> Tensor:
    return tokens[:, 1:].mean(dim=1)


POOL = Exercise(
    name="pool",
    lesson="03",
    points=1,
    reference=pool,
    exact=True,
    cases=_pool_cases,
    axes={"tokens": "image token feature", "output": "image feature"},
    hints=(
        "The CLS token is the one at index 0 of the axis that counts tokens.",
        "`tokens[:, 0]` is the CLS token of every image, `tokens[:, 1:]` are the patches.",
        "For the mean: `tokens[:, 1:].mean(dim=1)`, over tokens, not over features.",
    ),
    reasoning="Both give one vector per image. The mean leaves CLS out: it stands for the patches.",
    mistakes={
        "mean-includes-cls": Mistake(
            _modes(_cls, lambda tokens: tokens.mean(dim=1)),
            'The mean includes the CLS token. Mode "mean" averages the patches only: `tokens[:, 1:]`.',
        ),
        "mean-drops-last": Mistake(
            _modes(_cls, lambda tokens: tokens[:, :-1].mean(dim=1)),
            "The mean includes the CLS token and leaves the last patch out. CLS is the first token: `tokens[:, 1:]`.",
        ),
        "divides-by-all": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:].sum(dim=1) / tokens.shape[1]),
            "You add up the N patches and divide by 1 + N. CLS does not count.",
        ),
        "cls-last": Mistake(
            _modes(lambda tokens: tokens[:, -1], _mean),
            "You take the last token for the CLS token. It is the first one, at index 0.",
            (_modes(lambda tokens: tokens[:, -1], lambda tokens: tokens[:, :-1].mean(dim=1)),),
        ),
        "first-patch": Mistake(
            _modes(lambda tokens: tokens[:, 1], _mean),
            "You take the first patch for the CLS token. Counting begins at 0: CLS is `tokens[:, 0]`.",
        ),
        "first-image": Mistake(
            _modes(lambda tokens: tokens[0], _mean),
            "`tokens[0]` is the first image, with all its tokens. The CLS token of every image is `tokens[:, 0]`.",
        ),
        "first-feature": Mistake(
            _modes(lambda tokens: tokens[..., 0], _mean),
            "`tokens[..., 0]` is the first feature of every token. The CLS token is `tokens[:, 0]`.",
        ),
        "mean-over-features": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:].mean(dim=-1)),
            "The mean runs over the features, so each token shrinks to one number. Average over the tokens: `dim=1`.",
            (_modes(_cls, lambda tokens: tokens.mean(dim=-1)),),
        ),
        "mean-over-batch": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:].mean(dim=0)),
            "The mean runs over the images of the batch and mixes them. Average over the tokens: `dim=1`.",
            (_modes(_cls, lambda tokens: tokens.mean(dim=0)),),
        ),
        "mean-over-all": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:].mean()),
            "The mean runs over everything and leaves one number. Average over the tokens only: `dim=1`.",
            (_modes(_cls, lambda tokens: tokens.mean()),),
        ),
        "maximum": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:].amax(dim=1)),
            "You take the largest number of each feature. That is max pooling; the mean is asked for.",
            (_modes(_cls, lambda tokens: tokens.amax(dim=1)), _modes(_cls, lambda tokens: tokens[:, 1:].max(dim=1))),
        ),
        "median": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:].median(dim=1).values),
            "You take the median of the patches. The mean is asked for.",
        ),
        "drops-first-image": Mistake(
            _modes(_cls, lambda tokens: tokens[1:].mean(dim=1)),
            "`tokens[1:]` leaves out the first *image*. The CLS token lies along the second axis: `tokens[:, 1:]`.",
        ),
        "divides-by-patches": Mistake(
            _modes(_cls, lambda tokens: tokens.sum(dim=1) / max(1, tokens.shape[1] - 1)),
            "You add up all tokens, CLS too, and divide by the number of patches. Leave CLS out of the sum.",
        ),
        "features-for-tokens": Mistake(
            _modes(lambda tokens: tokens[:, :, 0], lambda tokens: tokens[:, :, 1:].mean(dim=2)),
            "You take the axis of features for that of tokens. The tokens lie along the second axis: `tokens[:, 0]` and "
            "`tokens[:, 1:].mean(dim=1)`.",
            (_modes(_cls, lambda tokens: tokens[:, :, 1:].mean(dim=1)),),
        ),
        "squeezes-the-batch": Mistake(
            _modes(lambda tokens: tokens[:, :1].squeeze(), lambda tokens: tokens[:, 1:].mean(dim=1).squeeze()),
            "`squeeze()` drops every axis of size 1, the batch too when there is one image. Say which: `squeeze(1)`.",
            (_modes(lambda tokens: tokens[:, :1].squeeze(), _mean),),
        ),
        "drops-a-patch": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 2:].mean(dim=1)),
            "The mean leaves out CLS and the first patch as well. The patches begin at index 1: `tokens[:, 1:]`.",
        ),
        "sum": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:].sum(dim=1)),
            "You add the patches up. Divide by how many there are, or call `mean`.",
            (_modes(_cls, lambda tokens: tokens.sum(dim=1)),),
        ),
        "keeps-axis": Mistake(
            _modes(lambda tokens: tokens[:, :1], lambda tokens: tokens[:, 1:].mean(dim=1, keepdim=True)),
            "The axis of the tokens is still there, with size 1. `tokens[:, 0]` drops it, `tokens[:, :1]` and "
            "`keepdim=True` keep it.",
            (
                _modes(lambda tokens: tokens[:, :1], _mean),
                _modes(_cls, lambda tokens: tokens[:, 1:].mean(dim=1, keepdim=True)),
            ),
        ),
        "always-cls": Mistake(
            lambda tokens, mode: _cls(tokens),
            'Mode "mean" gives the CLS token. Is the mode compared with `"mean"` by `==`, spelled just so, and is the line '
            "that averages ever reached? If it is: the patches are `tokens[:, 1:]`, not `tokens[:, :1]`.",
            (_modes(_cls, lambda tokens: tokens[:, :1].mean(dim=1)),),
        ),
        "always-mean": Mistake(
            lambda tokens, mode: _mean(tokens),
            'Mode "cls" gives the mean of the patches. Is the mode compared with `"cls"` by `==`, spelled just so, and is '
            "the line with `tokens[:, 0]` ever reached?",
        ),
        "modes-swapped": Mistake(
            _modes(_mean, _cls),
            'The modes have changed places: "cls" gives the mean and "mean" gives the CLS token.',
        ),
        "returns-patches": Mistake(
            _modes(_cls, lambda tokens: tokens[:, 1:]),
            'Mode "mean" gives back the patches themselves. Average them: `.mean(dim=1)`.',
        ),
        **universal_mistakes(pool),
    },
)

EXERCISES = (PREPEND_CLS_TOKEN, POOL)
