"""The reference: images, patches, embeddings."""

import inspect
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vit_course import (
    Encoder,
    EncoderBlock,
    FeedForward,
    MultiHeadSelfAttention,
    PatchEmbedding,
    average_pool_2x2,
    layer_norm,
    linear_to_conv,
    num_patches,
    patchify,
    pool,
    position_similarity,
    prepend_cls_token,
    to_channels_first,
    unpatchify,
)
from vit_course.embeddings import LearnedPositions, sincos_positions
from vit_course.patches import ARTICLE_PATTERN, corrected_pattern

sizes = st.integers(1, 6)


@given(batch=sizes, channels=sizes, rows=sizes, columns=sizes, size=sizes)
def test_patches_hold_their_pixels_and_go_back(batch, channels, rows, columns, size):
    images = torch.randn(batch, channels, rows * size, columns * size)
    patches = patchify(images, size)
    assert patches.shape == (batch, num_patches(rows * size, columns * size, size), size * size * channels)
    for row in range(rows):
        for column in range(columns):
            block = images[:, :, row * size : (row + 1) * size, column * size : (column + 1) * size]
            assert torch.equal(patches[:, row * columns + column], block.permute(0, 2, 3, 1).flatten(1))
    assert torch.equal(unpatchify(patches, size, rows * size, columns * size), images)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(30, 32, 4), (32, 30, 4), (8, 18, 12), (4, 4, 0), (4, 4, -2), (0, 0, 4), (0, 4, 4), (4, 0, 4)],
)
def test_sizes_that_do_not_fit_are_named(height, width, size):
    with pytest.raises(ValueError, match=f"{height} × {width}"):
        num_patches(height, width, size)
    with pytest.raises(ValueError, match=f"{height} × {width}"):
        patchify(torch.zeros(1, 3, height, width), size)


def test_negative_sides_are_named():
    for height, width in ((-4, 4), (4, -4), (-4, -4)):
        with pytest.raises(ValueError, match=f"{height} × {width}"):
            num_patches(height, width, 4)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (PatchEmbedding, ("patch_size", "in_channels", "dim")),
        (LearnedPositions, ("num_tokens", "dim")),
        (sincos_positions, ("height", "width", "dim")),
        (MultiHeadSelfAttention, ("dim", "heads", "dim_head")),
        (FeedForward, ("dim", "hidden_dim")),
        (EncoderBlock, ("dim", "heads", "mlp_dim", "dim_head")),
        (Encoder, ("depth", "dim", "heads", "mlp_dim", "dim_head")),
    ],
)
@pytest.mark.parametrize("bad", [0, -4, 4.0, True, "4", math.nan])
def test_sizes_to_build_with_are_whole_numbers(build, names, bad):
    good = dict.fromkeys(inspect.signature(build).parameters, 4) | {"dropout": 0.0}
    good = {name: value for name, value in good.items() if name in inspect.signature(build).parameters}
    build(**good)
    build(**{name: np.int64(value) if name != "dropout" else value for name, value in good.items()})
    for name in names:
        with pytest.raises(ValueError, match=f"^{name} is a whole number of 1 or more, got {bad!r}"):
            build(**good | {name: bad})


@pytest.mark.parametrize("dropout", [-0.1, 1.1, math.nan, math.inf])
def test_dropout_is_a_share(dropout):
    for build in (FeedForward, EncoderBlock, partial(Encoder, 1)):
        sizes = (4, 4) if build is FeedForward else (4, 2, 4)
        with pytest.raises(ValueError, match=f"share from 0 to 1, got {dropout}"):
            build(*sizes, dropout=dropout)


@pytest.mark.parametrize(("shape", "size", "height", "width"), [((1, 4, 12), 2, 4, 6), ((1, 4, 13), 2, 4, 4)])
def test_patches_that_make_no_image_are_named(shape, size, height, width):
    with pytest.raises(ValueError, match=f"{shape[1]} patches of {shape[2]} values"):
        unpatchify(torch.zeros(shape), size, height, width)


def test_dtypes_are_kept():
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert patchify(images, 4).dtype == torch.uint8
    assert torch.equal(unpatchify(patchify(images, 4), 4, 8, 8), images)


def test_the_articles_pattern_is_wrong_and_the_corrected_one_right():
    from einops import rearrange

    images = torch.randn(2, 3, 8, 12)
    assert torch.equal(rearrange(images, corrected_pattern(), patch_x=4, patch_y=4), patchify(images, 4))
    published = rearrange(images, ARTICLE_PATTERN, patch_x=4, patch_y=4)
    assert published.shape == patchify(images, 4).shape
    assert torch.equal(published[0, 0].reshape(4, 4, 3).permute(2, 0, 1), images[0, :, ::2, ::3])  # a thumbnail


def test_channels_first_and_pooling():
    images = torch.randn(2, 4, 6, 3)
    assert torch.equal(to_channels_first(images), images.permute(0, 3, 1, 2))
    images = torch.randn(2, 3, 4, 6)
    assert torch.allclose(average_pool_2x2(images), F.avg_pool2d(images, 2))
    with pytest.raises(ValueError, match="5 × 6"):
        average_pool_2x2(torch.zeros(1, 3, 5, 6))


@given(channels=st.sampled_from([1, 3, 4]), rows=sizes, columns=sizes, size=st.integers(1, 5), dim=st.integers(1, 9))
def test_embedding_is_a_convolution(channels, rows, columns, size, dim):
    embedding = PatchEmbedding(size, channels, dim).double()
    images = torch.randn(2, channels, rows * size, columns * size, dtype=torch.float64)
    conv = linear_to_conv(embedding.projection, size, channels)
    assert conv.weight.dtype == torch.float64
    assert torch.allclose(embedding(images), conv(images).flatten(2).mT)


def test_linear_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="48 numbers, but the projection takes 47"):
        linear_to_conv(torch.nn.Linear(47, 8), 4, 3)


def test_linear_without_bias_becomes_a_conv_without_bias():
    assert linear_to_conv(torch.nn.Linear(48, 8, bias=False), 4, 3).bias is None


def test_cls_and_pool():
    tokens, cls_token = torch.randn(3, 5, 4), torch.randn(1, 1, 4, requires_grad=True)
    sequence = prepend_cls_token(tokens, cls_token)
    assert torch.equal(pool(sequence, "cls"), cls_token[0].expand(3, -1))
    assert torch.allclose(pool(sequence, "mean"), tokens.mean(1))
    pool(sequence, "cls").sum().backward()
    assert torch.equal(cls_token.grad, torch.full((1, 1, 4), 3.0))  # three images add up
    with pytest.raises(ValueError, match="'max'"):
        pool(sequence, "max")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_layer_norm_is_that_of_pytorch(dtype, scale):
    torch.manual_seed(0)
    x, weight, bias = (
        scale * torch.randn(2, 3, 5, dtype=dtype),
        torch.randn(5, dtype=dtype),
        torch.randn(5, dtype=dtype),
    )
    for eps in (1e-6, 1e-2):
        assert torch.allclose(layer_norm(x, weight, bias, eps), F.layer_norm(x, (5,), weight, bias, eps), atol=1e-5)
    assert torch.allclose(layer_norm(x, weight, bias), F.layer_norm(x, (5,), weight, bias, 1e-6), atol=1e-5)


def test_similarity_of_positions_is_the_cosine():
    torch.manual_seed(0)
    positions = torch.randn(7, 4)
    found = position_similarity(positions)
    wanted = F.cosine_similarity(positions[:, None], positions[None], dim=-1)
    assert torch.allclose(found, wanted, atol=1e-6) and torch.allclose(found.diagonal(), torch.ones(7))
