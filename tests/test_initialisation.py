"""Weights to begin with."""

import pytest
import torch

from vit_course import MultiHeadSelfAttention, PatchEmbedding, ViT, load_images
from vit_course.images import to_floats
from vit_course.patches import patchify
from vit_course.training import Recipe
from vit_course.training.initialisation import fan_in_, mimetic_, whitened_


def test_fan_in_keeps_the_scale():
    model = ViT(image_size=8, patch_size=4, num_classes=10, dim=256, depth=1, heads=4, mlp_dim=512)
    fan_in_(model)
    for layer in (model.encoder.blocks[0].mlp.fc1, model.encoder.blocks[0].mlp.fc2, model.head):
        assert layer(torch.randn(64, layer.in_features)).std().item() == pytest.approx(1, abs=0.15)
        assert layer.bias.abs().max() == 0


@pytest.mark.parametrize("heads", [1, 4])
def test_mimetic_attention_looks_at_its_like_and_subtracts(heads):
    torch.manual_seed(0)
    layer = MultiHeadSelfAttention(64, heads)
    mimetic_(layer)
    q, k, v = layer.qkv.weight.detach().view(3, heads, 64 // heads, 64)
    for head in range(heads):
        # The identity's share of q kᵀ, of which a head keeps the strongest 64 / heads directions.
        product = q[head].T @ k[head]
        off_diagonal = product - product.diag().diag()
        assert product.diag().mean() > 5 * off_diagonal.mean().abs()
        assert product.diag().mean() > 0.1
        assert torch.linalg.matrix_rank(product) == 64 // heads
    together = layer.out.weight.detach() @ v.reshape(64, 64)
    assert together.diag().mean().item() == pytest.approx(-0.4, abs=0.05)
    assert (together - together.diag().diag()).std().item() == pytest.approx(0.4 / 8, rel=0.1)
    with pytest.raises(ValueError, match=r"heads · dim_head = dim, got 24 and 64"):
        mimetic_(MultiHeadSelfAttention(64, 2, dim_head=12))


@pytest.mark.parametrize("dim", [32, 96, 200])
def test_whitened_patches_have_no_favourite_direction(dim):
    images = load_images("shapes", limit=500).images
    embedding = PatchEmbedding(4, 3, dim)
    whitened_(embedding, images)
    tokens = embedding(to_floats(images)).flatten(0, 1)
    assert tokens.mean(dim=0).abs().max() < 1e-3
    half = tokens[:, : min(dim, 48)]
    covariance = half.T @ half / len(half)
    spread = covariance.diag()
    assert (covariance - spread.diag()).abs().max() < 1e-2  # no feature tells what another has told
    raw = patchify(to_floats(images), 4).flatten(0, 1).var(dim=0)
    assert spread[:8].max() / spread[:8].min() < 1.2 and raw.min() > 0
    if dim >= 96:
        assert torch.allclose(embedding.projection.weight[:48], -embedding.projection.weight[48:96])


def test_recipes_use_them():
    sizes = {"dim": 32, "depth": 2, "heads": 2, "mlp_dim": 32}
    plain, mimetic = (Recipe(init=init, **sizes).build(10) for init in ("fan_in", "mimetic"))
    for before, after in zip(plain.encoder.blocks, mimetic.encoder.blocks, strict=True):
        assert torch.equal(before.mlp.fc1.weight, after.mlp.fc1.weight)
        assert not torch.equal(before.attention.qkv.weight, after.attention.qkv.weight)
    again = Recipe(init="mimetic", **sizes).build(10)
    assert all(torch.equal(a, b) for a, b in zip(mimetic.parameters(), again.parameters(), strict=True))
