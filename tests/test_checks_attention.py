"""What the checks of lesson 05 say beyond their catalogue, and what their cases hold."""

import pytest
import torch
from right_answers_05 import Scaffold, by_letters
from torch import nn

from vit_course.checks import evaluate, exercises

ATTENTION, HEADS = "scaled_dot_product_attention", "MultiHeadSelfAttention"


def asking_if_mask(q, k, v, mask=None):
    return by_letters(q, k, v, mask if mask else None)


def one_minus_mask(q, k, v, mask=None):
    return by_letters(q, k, v, None if mask is None else (1 - mask) == 0)


def turning_none_round(q, k, v, mask=None):
    return by_letters(q, k, v, ~~mask)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (asking_if_mask, "if mask is not None"),
        (one_minus_mask, "The opposite of a bool tensor is `~mask`"),
        (turning_none_round, "Without a mask there is nothing to turn round"),
    ],
)
def test_how_to_handle_a_mask_is_said_where_code_stops_over_it(wrong, advice):
    report = evaluate(ATTENTION, wrong)
    assert report.status == "error" and advice in report.message


def test_a_mask_that_is_changed_is_noticed():
    def changing(q, k, v, mask=None):
        result = by_letters(q, k, v, None if mask is None else mask.clone())
        if mask is not None:
            mask.logical_not_()
        return result

    report = evaluate(ATTENTION, changing)
    assert not report.passed and "changes what it was given (mask)" in report.message


@pytest.mark.parametrize("name", [ATTENTION, HEADS])
@pytest.mark.parametrize("seed", range(5))
def test_masks_stay_inside_the_domain(name, seed):
    """Bool, with two axes or four, nobody without a key; and most forbid something."""
    inputs = [dict(case.inputs) | dict(case.forward) for case in exercises()[name].drawn(seed)]
    masks = [one["mask"] for one in inputs if one.get("mask") is not None]
    assert len(masks) >= 6
    for mask in masks:
        assert mask.dtype == torch.bool and mask.ndim in (2, 4)
        assert mask.any(dim=-1).all()
    assert sum(not mask.all() for mask in masks) >= len(masks) - 1


def test_the_key_bias_need_not_be_used():
    """It adds the same to all scores of a query, which no softmax notices; so its gradient is 0."""

    class Without(Scaffold):
        def forward(self, x, mask=None):
            width = self.h * self.d
            used = torch.ones(3 * width, dtype=x.dtype)
            used[width : 2 * width] = 0
            three = nn.functional.linear(x, self.qkv.weight, self.qkv.bias * used)
            q, k, v = three.unflatten(-1, (3, self.h, self.d)).permute(2, 0, 3, 1, 4)
            return self.out(by_letters(q, k, v, mask)[0].transpose(1, 2).flatten(2))

    assert evaluate(HEADS, Without).passed
