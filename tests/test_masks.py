"""Masks: which are taken, which are refused, by the function and by all that hold a layer."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from small_vit import compiled, images, randomised, small

from vit_course import Encoder, EncoderBlock, MultiHeadSelfAttention, ViT, scaled_dot_product_attention
from vit_course.inspection import recorded_attention


def everyone(tokens=5, heads=3):
    """Whatever takes a mask, as functions of it: the function, the layer, and all that hold a layer."""
    layer, block, encoder = MultiHeadSelfAttention(12, heads), EncoderBlock(12, heads, 8), Encoder(2, 12, heads, 8)
    model = ViT(image_size=(1, tokens - 1), patch_size=1, num_classes=2, dim=12, depth=1, heads=heads, mlp_dim=8)
    x, images = torch.randn(heads, tokens, 12), torch.randn(heads, 3, 1, tokens - 1)

    def recorded(mask):
        with recorded_attention(model):
            model(images, mask)

    layers = [lambda mask, one=one: one(x, mask) for one in (layer, layer.weights, block, encoder)]
    layers += [lambda mask: model(images, mask), lambda mask: model(images, mask=mask), recorded]
    return lambda mask: scaled_dot_product_attention(*layer.project(x), mask), layers


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (torch.eye(5), "torch.float32"),
        (torch.eye(5).double(), "torch.float64"),
        (torch.eye(5).long(), "torch.int64"),
        (torch.eye(5).to(torch.uint8), "torch.uint8"),
        (torch.zeros(5, 5).masked_fill(~torch.eye(5).bool(), -torch.inf), "torch.float32"),
        (np.eye(5, dtype=bool), "ndarray"),
        (np.eye(5), "ndarray"),
        (np.eye(5).tolist(), "list"),
        (True, "bool"),
        (1.0, "float"),
    ],
)
def test_a_mask_that_is_not_bool_is_refused_in_the_same_words(mask, got):
    function, layers = everyone()
    for attend in (function, *layers):
        with pytest.raises(ValueError, match=f"^a mask is a bool tensor, True where .* got {got}\\.") as error:
            attend(mask)
    if isinstance(mask, torch.Tensor | np.ndarray):  # one of the two ways that the message gives is right
        lines = re.search(r"Of 0 and 1 make (.*), of 0 and -inf make (.*)\.$", str(error.value)).groups()
        made = eval(lines[float(np.asarray(mask).min()) < 0], {"torch": torch, "mask": mask})
        assert torch.equal(made, torch.eye(5, dtype=torch.bool))
        for attend in (function, *layers):
            attend(made)


@pytest.mark.parametrize("shape", [(), (5,), (1,), (3, 5, 5), (1, 5, 5), (1, 3, 3, 5, 5)])
def test_layers_take_masks_of_two_or_four_axes(shape):
    function, layers = everyone()  # as many images as heads: a mask for each image would be taken for one a head
    for attend in layers:
        with pytest.raises(
            ValueError, match=re.escape(f"(queries, keys) or (batch, heads, queries, keys), got {shape}")
        ):
            attend(torch.ones(shape, dtype=torch.bool))
    if len(shape) <= 4:  # the function knows no heads
        function(torch.ones(shape, dtype=torch.bool))


def test_a_mask_of_three_axes_is_told_the_two_that_it_may_be():
    _, layers = everyone()
    with pytest.raises(ValueError, match=r"mask\[:, None\] is one for each image, mask\[None\] one for each head"):
        layers[0](torch.ones(3, 5, 5, dtype=torch.bool))


@pytest.mark.parametrize("shape", [(5, 4), (4, 5), (2, 1, 5, 5), (3, 2, 5, 5), (3, 3, 5, 6), (0, 5)])
def test_a_mask_of_other_sizes_is_refused(shape):
    function, layers = everyone()
    for attend in (function, *layers):
        with pytest.raises(ValueError, match=re.escape(f"keys) = (3, 3, 5, 5), got {shape}")):
            attend(torch.ones(shape, dtype=torch.bool))


def test_a_mask_never_stretches_the_scores():
    q, k, v = torch.randn(3, 1, 1, 4)
    for shape in ((1, 5), (5, 1), (2, 1, 1)):  # each would broadcast the scores to its own size
        with pytest.raises(ValueError, match=re.escape("keys) = (1, 1, 1), got")):
            scaled_dot_product_attention(q, k, v, torch.ones(shape, dtype=torch.bool))


@pytest.mark.parametrize(
    "shape", [(5, 5), (1, 5), (5, 1), (1, 1), (2, 1, 5, 5), (1, 3, 5, 5), (2, 3, 1, 5), (2, 1, 1, 5), (2, 1, 5, 1)]
)
def test_masks_that_broadcast_mean_the_same_everywhere(shape):
    layer, x = randomised(MultiHeadSelfAttention(12, 3)), torch.randn(2, 5, 12)
    mask = torch.rand(shape) > 0.5
    mask[..., 0] = True
    whole = mask.expand(2, 3, 5, 5)
    assert torch.allclose(layer(x, mask), layer(x, whole), atol=1e-6)
    weights = layer.weights(x, mask)
    assert torch.equal(weights > 0, whole)
    q, k, v = layer.project(x)
    assert torch.allclose(layer.out(rearrange(weights @ v, "b h t d -> b t (h d)")), layer(x, mask), atol=1e-6)
    assert torch.allclose(scaled_dot_product_attention(q, k, v, mask)[1], weights)


def test_the_function_takes_any_leading_axes():
    for leading in ((), (2,), (2, 3), (2, 3, 4)):
        q, k, v = torch.randn(*leading, 5, 8), torch.randn(*leading, 6, 8), torch.randn(*leading, 6, 7)
        for shape in ((*leading, 5, 6), (5, 6), (6,), (1, 1)):
            mask = torch.rand(shape) > 0.5
            mask[..., 0] = True
            output, weights = scaled_dot_product_attention(q, k, v, mask)
            assert torch.equal(weights > 0, mask.expand(weights.shape))
            expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.expand(weights.shape))
            assert torch.allclose(output, expected, atol=1e-6)
    q, k = torch.randn(5, 8), torch.randn(2, 6, 8)  # the keys alone have a batch
    mask = torch.rand(2, 5, 6) > 0.5
    mask[..., 0] = True
    assert torch.equal(scaled_dot_product_attention(q, k, k, mask)[1] > 0, mask)


def test_a_mask_on_another_device_is_said():
    function, layers = everyone()
    for attend in (function, *layers):
        with pytest.raises(ValueError, match="the mask is on meta, the queries are on cpu"):
            attend(torch.ones(5, 5, dtype=torch.bool, device="meta"))


def test_masks_under_vmap_and_compile():
    model, masks = small(), torch.rand(4, 7, 7) > 0.5
    masks[:, range(7), range(7)] = True
    expected = model(images(4), masks[:, None])
    each = torch.vmap(lambda image, mask: model(image[None], mask)[0])(images(4), masks)
    assert torch.allclose(each, expected, atol=1e-5)
    fast = compiled(model)
    assert torch.allclose(fast(images(4), masks[:, None]), expected, atol=1e-5)
    assert torch.allclose(fast(images(2), masks[0]), model(images(2), masks[0]), atol=1e-5)
