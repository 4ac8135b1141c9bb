"""Convolutions before the encoder, and positions inside attention, against loops."""

import pytest
import torch
from torch import nn

from vit_course.attention import MultiHeadSelfAttention
from vit_course.hybrids import HybridEmbedding, RelativeAttention, relative_position_index


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_a_token_is_the_projection_of_one_place_in_reading_order():
    backbone = nn.Conv2d(3, 5, 3, stride=(2, 4), padding=1)
    embedding = HybridEmbedding(backbone, 5, 7)
    images = torch.randn(2, 3, 8, 12)
    tokens, features = embedding(images), backbone(images)
    assert features.shape == (2, 5, 4, 3)
    assert tokens.shape == (2, 12, 7)
    for row in range(4):
        for column in range(3):
            expected = features[:, :, row, column] @ embedding.projection.weight.T + embedding.projection.bias
            assert torch.allclose(tokens[:, row * 3 + column], expected, atol=1e-6)


def test_both_parts_of_a_hybrid_learn():
    embedding = HybridEmbedding(nn.Conv2d(1, 2, 3), 2, 4)
    embedding(torch.randn(1, 1, 5, 5)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in embedding.parameters())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (3, 1), (2, 3), (4, 4), (3, 5)])
def test_the_index_by_loops(height: int, width: int):
    index = relative_position_index(height, width)
    assert index.dtype == torch.int64
    for query in range(height * width):
        for key in range(height * width):
            down, across = query // width - key // width, query % width - key % width
            assert index[query, key] == (down + height - 1) * (2 * width - 1) + across + width - 1


def test_equal_steps_share_a_number_and_others_do_not():
    index = relative_position_index(3, 4)
    assert len(index.unique()) == (2 * 3 - 1) * (2 * 4 - 1)
    assert index.min() == 0
    assert index.max() == 34


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="height"):
        relative_position_index(0, 3)
    with pytest.raises(ValueError, match="channels"):
        HybridEmbedding(nn.Identity(), 0, 4)


def test_without_what_it_learned_relative_attention_is_attention():
    relative, plain = RelativeAttention(12, 3, 2, 3), MultiHeadSelfAttention(12, 3)
    plain.load_state_dict({name: value for name, value in relative.state_dict().items() if name != "bias"})
    x = torch.randn(2, 7, 12)
    assert torch.allclose(relative(x), plain(x), atol=1e-6)
    assert torch.allclose(relative.weights(x), plain.weights(x), atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_each_step_adds_its_number_to_the_scores(masked: bool):
    relative = RelativeAttention(8, 2, 2, 3)
    nn.init.normal_(relative.bias)
    x = torch.randn(2, 7, 8)
    mask = (torch.rand(7, 7) < 0.6) | torch.eye(7, dtype=torch.bool) if masked else None
    q, k, v = relative.project(x)
    scores = q @ k.mT / 2
    for query in range(6):
        for key in range(6):
            step = (query // 3 - key // 3 + 1) * 5 + query % 3 - key % 3 + 2
            scores[:, :, query + 1, key + 1] += relative.bias[:, step]
    if masked:
        scores[:, :, ~mask] = -torch.inf
    weights = scores.softmax(-1)
    assert torch.allclose(relative.weights(x, mask), weights, atol=1e-6)
    expected = relative.out((weights @ v).transpose(1, 2).flatten(2))
    assert torch.allclose(relative(x, mask), expected, atol=1e-5)


def test_a_picture_moved_by_one_patch_gives_the_same_scores_between_the_same_patches():
    relative = RelativeAttention(8, 2, 3, 3)
    nn.init.normal_(relative.bias)
    added = relative.added()[:, 1:, 1:].unflatten(-1, (3, 3)).unflatten(1, (3, 3))
    assert torch.equal(added[:, :2, :2, :2, :2], added[:, 1:, 1:, 1:, 1:])
