"""From patches to the tokens that enter the encoder: linear projection, CLS token and positions.

Source: Dosovitskiy et al. 2021, section 3.1, equation 1: z₀ = [x_class; x¹E; x²E; …] + E_pos.
"""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vit_course.patches import check_sizes, patchify


class PatchEmbedding(nn.Module):
    """Every flattened patch times one learned matrix: E in equation 1 of the ViT paper.

    Args:
        patch_size: side of a patch, P pixels.
        in_channels: channels of the images, C.
        dim: length of a token, D.

    Attributes:
        projection: Linear(P·P·C, D), shared by all patches.

    Raises:
        ValueError: a size is below 1.
    """

    def __init__(self, patch_size: int, in_channels: int, dim: int) -> None:
        super().__init__()
        check_sizes(patch_size=patch_size, in_channels=in_channels, dim=dim)
        self.patch_size = patch_size
        self.projection = nn.Linear(patch_size * patch_size * in_channels, dim)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch patches dim"]:
        """(B, C, H, W) → (B, N, D). Raises ValueError where the patches do not tile the image."""
        return self.projection(patchify(images, self.patch_size))


def linear_to_conv(projection: nn.Linear, patch_size: int, in_channels: int) -> nn.Conv2d:
    """The convolution that computes what `patchify` followed by `projection` computes.

    Kernel size and stride are both the patch size, so that the kernel meets each patch once. The numbers are the same;
    only their order differs: a row of the Linear runs `(p1 p2 c)`, a Conv2d filter is `c p1 p2`.

    Args:
        projection: Linear(P·P·C, D), as in `PatchEmbedding`.
        patch_size: P, in pixels.
        in_channels: C.

    Returns:
        Conv2d(C, D, kernel_size=P, stride=P): (B, C, H, W) → (B, D, H/P, W/P), with copies of the weights.

    Raises:
        ValueError: `projection` does not take P·P·C numbers.
    """
    values = patch_size * patch_size * in_channels
    if projection.in_features != values:
        raise ValueError(
            f"a patch of {patch_size} × {patch_size} pixels and {in_channels} channels has {values} numbers, "
            f"but the projection takes {projection.in_features}."
        )
    conv = nn.Conv2d(
        in_channels,
        projection.out_features,
        kernel_size=patch_size,
        stride=patch_size,
        bias=projection.bias is not None,
        device=projection.weight.device,
        dtype=projection.weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(rearrange(projection.weight, "d (p1 p2 c) -> d c p1 p2", p1=patch_size, p2=patch_size))
        if projection.bias is not None:
            conv.bias.copy_(projection.bias)
    return conv


def prepend_cls_token(
    tokens: Float[Tensor, "batch patches dim"], cls_token: Float[Tensor, "1 1 dim"]
) -> Float[Tensor, "batch 1+patches dim"]:
    """Put the CLS token in front of every sequence (ViT paper, section 3.1; the idea is BERT's).

    Args:
        tokens: (B, N, D).
        cls_token: (1, 1, D), one learned vector shared by all images.

    Returns:
        (B, 1+N, D). Gradients of all images add up in `cls_token`.
    """
    return torch.cat([cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)


def pool(tokens: Float[Tensor, "batch 1+patches dim"], mode: Literal["cls", "mean"]) -> Float[Tensor, "batch dim"]:
    """One vector per image, for the classification head.

    Args:
        tokens: (B, 1+N, D), CLS first.
        mode: "cls" takes the CLS token; "mean" averages the N patch tokens and leaves CLS out (paper, appendix D.3).

    Returns:
        (B, D).

    Raises:
        ValueError: another mode.
    """
    if mode == "cls":
        return tokens[:, 0]
    if mode == "mean":
        return tokens[:, 1:].mean(dim=1)
    raise ValueError(f'pool knows the modes "cls" and "mean", got {mode!r}.')


class LearnedPositions(nn.Module):
    """A learned vector for each place, added to the token that stands there (ViT paper, section 3.1).

    Args:
        num_tokens: places, the CLS token's included.
        dim: length of a token, D.

    Raises:
        ValueError: a size is below 1.
    """

    def __init__(self, num_tokens: int, dim: int) -> None:
        super().__init__()
        check_sizes(num_tokens=num_tokens, dim=dim)
        self.positions = nn.Parameter(torch.empty(1, num_tokens, dim).normal_(std=0.02))

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        return tokens + self.positions


class FixedPositions(nn.Module):
    """`sincos_positions`, added to the tokens; the CLS token, where there is one, gets zeros.

    Args:
        height, width: of the grid of patches.
        dim: length of a token, D, divisible by 4.
        cls: a CLS token stands in front.
    """

    def __init__(self, height: int, width: int, dim: int, *, cls: bool) -> None:
        super().__init__()
        positions = sincos_positions(height, width, dim)
        if cls:
            positions = torch.cat([torch.zeros(1, dim), positions])
        self.register_buffer("positions", positions[None], persistent=False)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        return tokens + self.positions


def sincos_positions(height: int, width: int, dim: int) -> Float[Tensor, "height*width dim"]:
    """Fixed two-dimensional positions: sines and cosines of the row, then of the column.

    Each half of the features is all sines, then all cosines, of position · ω_i with ω_i = 10000^(-i / (dim/4)). The
    one-dimensional form is that of Vaswani et al. 2017, section 3.5.

    Args:
        height, width: of the grid of patches.
        dim: D, divisible by 4.

    Returns:
        (height·width, D), row by row, positions counted from 0.

    Raises:
        ValueError: `dim` is not divisible by 4, or a size is below 1.
    """
    check_sizes(height=height, width=width, dim=dim)
    if dim % 4:
        raise ValueError(f"two axes of sines and cosines need a dim divisible by 4, got {dim}.")
    omega = 10000.0 ** (-torch.arange(dim // 4) / (dim // 4))
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [place.reshape(-1, 1) * omega for place in (row, column)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def position_similarity(positions: Float[Tensor, "places dim"]) -> Float[Tensor, "places places"]:
    """How alike the vectors of any two places are: the cosine of the angle between them (paper, figure 7, middle).

    Args:
        positions: (N, D), none of them all zeros.

    Returns:
        (N, N), from -1 to 1; row i compares place i with all. The diagonal is 1.
    """
    directions = positions / positions.norm(dim=1, keepdim=True)
    return directions @ directions.T
