"""Looking inside: each analysis beside a second, independent computation; each intervention beside the long way."""

import copy
import itertools
import math

import pytest
import torch
from right_answers_06 import OwnAttention
from small_vit import images, small
from torch import nn

from vit_course import with_parts
from vit_course.attention import scaled_dot_product_attention
from vit_course.inspection import (
    attention_layers,
    attention_rollout,
    logit_lens,
    mask_without,
    mean_attention_distance,
    principal_filters,
    receptive_field,
    recorded_attention,
    recorded_stream,
    with_temperature,
    without_heads,
)


def random_attention(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).softmax(dim=-1)


def learners(model):
    """A ViT whose attention is a learner's: it says nowhere that it is one, and keeps `heads` under that name."""
    return with_parts(model, MultiHeadSelfAttention=OwnAttention)


# -- analyses


def test_principal_filters_are_where_the_variance_is_largest():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(40, 2 * 2 * 3, generator=generator, dtype=torch.float64) * torch.linspace(3, 0.5, 12) + 2
    components = principal_filters(weight, 2, 12)
    assert components.shape == (12, 2, 2, 3)
    flat = components.flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(12, dtype=torch.float64), atol=1e-9)
    along = (weight @ flat.T).var(dim=0, correction=0)
    # The same from the other end: the eigenvalues of the covariance, as `torch.cov` defines it.
    variances = torch.linalg.eigvalsh(torch.cov(weight.T, correction=0)).flip(0)
    assert torch.allclose(along, variances)
    # Pixel order (p1 p2 c): a filter that differs in one number only has its component there.
    one = torch.zeros(5, 12)
    one[:, 7] = torch.arange(5.0)  # row 1, column 0, channel 1
    found = principal_filters(one, 2, 1)[0].abs()
    assert found[1, 0, 1] == pytest.approx(1) and found.sum() == pytest.approx(1)


def test_mean_attention_distance_by_loops():
    rows, columns, patch_size = 2, 3, 4
    attention = random_attention(2, 2, 7, 7)
    expected = []
    for head in range(2):
        means = []
        for image, query in itertools.product(range(2), range(6)):
            weights = attention[image, head, 1 + query, 1:].tolist()
            apart = [
                math.dist(*((i // columns * patch_size, i % columns * patch_size) for i in (query, key)))
                for key in range(6)
            ]
            means.append(sum(w * d for w, d in zip(weights, apart, strict=True)) / sum(weights))
        expected.append(sum(means) / len(means))
    found = mean_attention_distance(attention, (rows, columns), patch_size)
    assert found.tolist() == pytest.approx(expected)


def test_a_head_that_looks_one_patch_to_the_side_looks_as_far_as_a_patch_is_wide():
    attention = torch.zeros(1, 1, 5, 5)
    attention[..., 0] = 0.5  # half of it on CLS
    attention[0, 0, [1, 2, 3, 4], [2, 1, 4, 3]] = 0.5
    assert mean_attention_distance(attention, (2, 2), 16).tolist() == [16]
    with pytest.raises(ValueError, match="are 7, got 5"):
        mean_attention_distance(attention, (2, 3), 16)


def test_a_head_that_leaves_a_patch_nothing_but_cls_has_no_distance():
    attention = torch.eye(5).expand(1, 2, -1, -1).clone()
    attention[0, 1, 3] = torch.eye(5)[0]
    assert mean_attention_distance(attention, (2, 2), 4).isnan().tolist() == [False, True]


def test_rollout_of_three_tokens_by_hand():
    first = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0.5, 0.5, 0]])[None, None]
    second = torch.tensor([[0.0, 1, 0], [0, 1, 0], [0, 0, 1]])[None, None]
    # Half attention, half identity: first → [1 0 0], [0 ½ ½], [¼ ¼ ½]; second → [½ ½ 0], [0 1 0], [0 0 1].
    by_hand = torch.tensor([[0.5, 0.25, 0.25], [0, 0.5, 0.5], [0.25, 0.25, 0.5]])
    assert torch.equal(attention_rollout([first, second])[0], by_hand)


def test_rollout_is_the_way_of_the_tokens_where_values_are_the_tokens():
    """Blocks that only attend, with the mean of the heads: what rollout says is then exact."""
    attentions = [random_attention(2, 3, 5, 5, seed=seed) for seed in range(4)]
    tokens = torch.randn(2, 5, 6)
    out = tokens
    for attention in attentions:
        heads = [scale @ out for scale in attention.unbind(dim=1)]
        out = (out + sum(heads) / 3) / 2
    assert torch.allclose(attention_rollout(attentions) @ tokens, out, atol=1e-6)
    assert torch.allclose(attention_rollout(attentions).sum(dim=-1), torch.ones(2, 5))


@pytest.mark.parametrize(
    ("kernel_sizes", "strides"),
    [([3] * 4, [1] * 4), ([7, 3, 1, 3], [2, 2, 1, 2]), ([3, 2, 5], [1, 2, 3]), ([4, 4], [4, 1]), ([5], [3])],
)
def test_receptive_field_is_the_support_of_a_gradient(kernel_sizes, strides):
    layers = [nn.Conv1d(1, 1, size, stride, bias=False) for size, stride in zip(kernel_sizes, strides, strict=True)]
    line = torch.zeros(1, 1, 200, dtype=torch.float64, requires_grad=True)
    out = line
    for layer in layers:
        nn.init.ones_(layer.weight)
        out = layer.double()(out)
    out[0, 0, out.shape[-1] // 2].backward()
    touched = line.grad[0, 0].nonzero().flatten()
    assert receptive_field(kernel_sizes, strides) == touched.max() - touched.min() + 1


def test_24_layers_see_49_pixels_and_50_see_101():
    assert [receptive_field([3] * depth, [1] * depth) for depth in (24, 50)] == [49, 101]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: receptive_field([3, 3], [1]), "2 kernels need as many strides"),
        (lambda: principal_filters(torch.ones(9, 12), 4, 1), "no patches of 4 × 4"),
        (lambda: principal_filters(torch.ones(4, 12), 2, 4), "1 to 3 components"),
    ],
)
def test_what_does_not_fit_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# -- recording


@pytest.mark.parametrize("kind", [lambda model: model, learners])
def test_the_stream_ends_in_what_the_head_reads(kind):
    model = kind(small())
    with torch.no_grad(), recorded_stream(model) as stream:
        model(images(seed=3))
        logits = model(images())  # begins anew
    assert [tokens.shape for tokens in stream] == [(2, 7, 24)] * 3
    lens = logit_lens(model, stream)
    assert lens.shape == (3, 2, 7) and torch.allclose(lens[-1], logits, atol=1e-6)
    assert torch.allclose(model.encoder.blocks[1](stream[1]), stream[2], atol=1e-6)


def test_the_lens_reads_the_mean_where_the_model_does():
    model = small(pool="mean")
    with torch.no_grad(), recorded_stream(model) as stream:
        logits = model(images())
    assert torch.allclose(logit_lens(model, stream)[-1], logits, atol=1e-6)


def test_the_lens_needs_a_head():
    with pytest.raises(ValueError, match="has no `head`"):
        logit_lens(small(classification=False), [torch.zeros(2, 7, 24)])


def test_a_learners_attention_is_recorded_with_its_mask():
    model, mask = small(), torch.ones(7, 7, dtype=torch.bool).tril()
    for given in (None, mask):
        with torch.no_grad(), recorded_attention(model) as ours:
            model(images(), given)
        other = learners(model)
        with torch.no_grad(), recorded_attention(other) as theirs:
            other(images(), given)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))


def test_attention_of_a_learners_function_is_the_one_recorded():
    flat = with_parts(small(), scaled_dot_product_attention=lambda q, *rest: scaled_dot_product_attention(0 * q, *rest))
    with torch.no_grad(), recorded_attention(flat) as attentions:
        flat(images())
    assert torch.allclose(attentions[0], torch.full((2, 3, 7, 7), 1 / 7))


def test_unknown_heads_have_to_be_given():
    model = learners(small())
    for block in model.encoder.blocks:
        del block.attention.heads
    with pytest.raises(ValueError, match="OwnAttention does not say how many heads"):
        attention_layers(model)
    assert [heads for _, heads in attention_layers(model, heads=3)] == [3, 3]


def test_a_model_without_blocks_has_no_stream():
    with pytest.raises(ValueError, match="no stream to record"), recorded_stream(nn.Linear(2, 2)):
        pass


# -- interventions


@pytest.mark.parametrize("kind", [lambda model: model, learners])
def test_a_head_that_is_off_adds_nothing(kind):
    model = kind(small())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    layer = model.encoder.blocks[1].attention
    x = torch.randn(2, 7, 24)
    with torch.no_grad():
        q, k, v = layer.qkv(x).unflatten(-1, (3, 3, 8)).permute(2, 0, 3, 1, 4)
        heads = scaled_dot_product_attention(q, k, v)[0]  # (2, 3, 7, 8)
        heads[:, 1] = 0
        by_hand = layer.out(heads.transpose(1, 2).flatten(2))
        with without_heads(model, (1, 1)):
            off = layer(x)
        with without_heads(model, *itertools.product(range(2), range(3))):
            only_bias = layer(x)
    assert torch.allclose(off, by_hand, atol=1e-6)
    assert torch.allclose(only_bias, layer.out.bias.expand_as(only_bias))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_weights_come_back_after_an_error_and_gradients_are_as_they_were_asked_for():
    model = small()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(KeyError), without_heads(model, (0, 0)), with_temperature(model, 3):
        assert torch.is_grad_enabled() and model(images()).requires_grad
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for pair in ((2, 0), (0, 3), (-1, 0)):
        with pytest.raises(ValueError, match=f"no head {pair[1]} in a layer {pair[0]}"), without_heads(model, pair):
            pass


@pytest.mark.parametrize("kind", [lambda model: model, learners])
def test_temperature_divides_the_scores(kind):
    model = kind(small())
    with torch.no_grad(), recorded_attention(model) as attentions:
        model(images())
        plain = attentions[0]
        with with_temperature(model, 0.5):
            model(images())
            assert torch.allclose(attentions[0], plain.pow(2) / plain.pow(2).sum(-1, keepdim=True), atol=1e-6)
        model(images())
        assert torch.equal(attentions[0], plain)
    with pytest.raises(ValueError, match="above 0, got 0"), with_temperature(model, 0):
        pass


def test_a_hidden_patch_changes_nothing():
    model, hidden = small(), torch.zeros(2, 6, dtype=torch.bool)
    hidden[0, 2] = hidden[1, [0, 5]] = True
    mask = mask_without(hidden)
    assert mask.shape == (2, 1, 1, 7) and mask[:, 0, 0, 0].all()
    plain, other = images(), images()
    other[0, :, :4, 8:] = 9  # patch 2, of 2 rows of 3
    other[1, :, :4, :4] = other[1, :, 4:, 8:] = -9
    with torch.no_grad():
        assert torch.allclose(model(plain, mask), model(other, mask), atol=1e-6)
        assert not torch.allclose(model(plain), model(other), atol=1e-2)
