"""Weights to begin with that already know something: for short training and few images."""

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from vit_course.attention import MultiHeadSelfAttention
from vit_course.embeddings import PatchEmbedding
from vit_course.images import to_floats
from vit_course.patches import patchify


def fan_in_(model: nn.Module) -> None:
    """Linear layers: weights normal with standard deviation 1/√inputs, which keeps the scale of what comes in."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def mimetic_(attention: MultiHeadSelfAttention) -> None:
    """Attention as trained ViTs have it: tokens look at those like themselves, and subtract what they see.

    In trained models Wq Wkᵀ is near a multiple of the identity in each head, and Wv Wo near a negative one. So both are
    drawn as noise plus identity (0.7 and 0.7; 0.4 and -0.4) and split into factors by singular value decomposition.

    Source: Trockman & Kolter 2023, *Mimetic Initialization of Self-Attention Layers*.

    Raises:
        ValueError: the heads together are not as wide as the tokens.
    """
    dim, heads = attention.qkv.in_features, attention.heads
    if attention.out.in_features != dim:
        raise ValueError(f"mimetic weights need heads · dim_head = dim, got {attention.out.in_features} and {dim}.")
    width = dim // heads

    def factors(noise: float, identity: float, rank: int) -> tuple[Tensor, Tensor]:
        product = noise * torch.randn(dim, dim) * dim**-0.5 + identity * torch.eye(dim)
        left, values, right = torch.linalg.svd(product)
        root = values[:rank].sqrt()
        return left[:, :rank] * root, root[:, None] * right[:rank]

    pairs = [factors(0.7, 0.7, width) for _ in range(heads)]
    out, values = factors(0.4, -0.4, dim)
    queries, keys = torch.cat([left.T for left, _ in pairs]), torch.cat([right for _, right in pairs])
    attention.qkv.weight.copy_(torch.cat([queries, keys, values]))
    attention.out.weight.copy_(out)
    attention.qkv.bias.zero_()
    attention.out.bias.zero_()


@torch.no_grad()
def whitened_(embedding: PatchEmbedding, images: UInt8[Tensor, "batch channels height width"]) -> None:
    """Patch embedding that makes all directions of the patches equally strong; each filter comes with its negative.

    Neighbouring pixels are much alike, so a random projection shows mostly the mean of a patch. The principal
    components of some patches, each divided by its spread, show edges just as well. The idea for a first layer is that
    of Jordan 2024, *94% on CIFAR-10 in 3.29 Seconds on a Single GPU*, section 3.2.

    Args:
        embedding: gets the filters; with more rows than filters they repeat, with fewer the weakest are left out.
        images: some of those to learn from.
    """
    patches = patchify(to_floats(images), embedding.patch_size).flatten(0, 1)
    mean = patches.mean(dim=0)
    spread, directions = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    filters = (directions / (spread.clamp(min=0) + 0.01).sqrt()).T.flip(0)  # the strongest first
    weight = embedding.projection.weight
    filters = torch.cat([filters, -filters]).repeat(-(-len(weight) // (2 * len(filters))), 1)[: len(weight)]
    weight.copy_(filters)
    embedding.projection.bias.copy_(-filters @ mean)
