"""Convolutions before the encoder, and positions inside attention (lesson 11).

Sources: Dosovitskiy et al. 2021, section 3.1, *Hybrid architecture*, and appendix D.4; Xiao et al. 2021, *Early
convolutions help transformers see better*; Liu et al. 2021, *Swin Transformer*, section 3.2, *Relative position bias*.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vit_course.attention import Mask, MultiHeadSelfAttention, check_mask
from vit_course.patches import check_sizes


class HybridEmbedding(nn.Module):
    """Tokens out of a convolutional network's feature map, in place of patches of pixels.

    Args:
        backbone: images (B, C, H, W) → feature map (B, channels, h, w).
        channels: of the feature map.
        dim: length of a token, D.

    Attributes:
        backbone: as it was given.
        projection: Linear(channels, D), shared by all places.

    Raises:
        ValueError: a size is below 1.
    """

    def __init__(self, backbone: nn.Module, channels: int, dim: int) -> None:
        super().__init__()
        check_sizes(channels=channels, dim=dim)
        self.backbone = backbone
        self.projection = nn.Linear(channels, dim)

    def forward(self, images: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch places dim"]:
        """(B, C, H, W) → (B, h·w, D), the places in reading order: row by row."""
        return self.projection(rearrange(self.backbone(images), "b c h w -> b (h w) c"))


def relative_position_index(height: int, width: int) -> Int64[Tensor, "places places"]:
    """Which step leads from each key to each query, as a number: equal steps have equal numbers.

    Args:
        height, width: of the grid of tokens, which are in reading order.

    Returns:
        (N, N), N = height · width: entry [query, key] is
        (row_q - row_k + height - 1) · (2 · width - 1) + (column_q - column_k + width - 1),
        from 0 to (2 · height - 1) · (2 · width - 1) - 1.

    Raises:
        ValueError: a size is below 1.
    """
    check_sizes(height=height, width=width)
    place = torch.arange(height * width)
    row, column = place // width, place % width
    down = row[:, None] - row + height - 1
    across = column[:, None] - column + width - 1
    return down * (2 * width - 1) + across


class RelativeAttention(MultiHeadSelfAttention):
    """Attention that knows how far apart two patches are: each step has a learned number, added to the scores.

    Args:
        dim, heads, dim_head: as for `MultiHeadSelfAttention`.
        height, width: of the grid of patches; CLS comes before them, and its scores get nothing added.

    Attributes:
        bias: (heads, (2·height-1)·(2·width-1)), 0 at first: each head has its own.

    Raises:
        ValueError: as `MultiHeadSelfAttention`, or a side of the grid is below 1.
    """

    def __init__(self, dim: int, heads: int, height: int, width: int, dim_head: int | None = None) -> None:
        super().__init__(dim, heads, dim_head)
        index = relative_position_index(height, width)
        self.bias = nn.Parameter(torch.zeros(heads, int(index.max()) + 1))
        self.register_buffer("index", index, persistent=False)

    def added(self, mask: Mask = None) -> Float[Tensor, "*batch heads tokens tokens"]:
        """What is added to the scores: the bias of each pair's step, and -inf where the mask forbids to look."""
        added = F.pad(self.bias[:, self.index], (1, 0, 1, 0))
        return added if mask is None else added.masked_fill(~mask, float("-inf"))

    def forward(self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None) -> Float[Tensor, "batch tokens dim"]:
        """(B, 1+N, D) → (B, 1+N, D)."""
        q, k, v = self.project(x)
        check_mask(mask, q, k, dims=(2, 4))
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=self.added(mask).to(q.dtype))
        return self.out(rearrange(heads, "b h t d -> b t (h d)"))

    def weights(
        self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None
    ) -> Float[Tensor, "batch heads tokens tokens"]:
        """The attention weights that `forward` uses: (B, heads, queries, keys)."""
        q, k, _ = self.project(x)
        check_mask(mask, q, k, dims=(2, 4))
        return (q @ k.mT * q.shape[-1] ** -0.5 + self.added(mask)).softmax(-1)
