"""The transformer encoder: attention and a small network, again and again.

Source: Dosovitskiy et al. 2021, section 3.1, equations 2 and 3: pre-norm blocks and a last LayerNorm.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vit_course.attention import Mask, MultiHeadSelfAttention
from vit_course.patches import check_sizes

LAYER_NORM_EPS = 1e-6


def layer_norm(
    x: Float[Tensor, "*batch dim"],
    weight: Float[Tensor, " dim"],
    bias: Float[Tensor, " dim"],
    eps: float = LAYER_NORM_EPS,
) -> Float[Tensor, "*batch dim"]:
    """Every token by itself to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016), as `nn.LayerNorm` does.

    Args:
        x: (…, D).
        weight, bias: (D,), learned.
        eps: added to the variance, so that equal numbers do not divide by zero.

    Returns:
        (…, D). The variance divides by D, not by D - 1.
    """
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * weight + bias


class FeedForward(nn.Module):
    """Two linear layers with an exact GELU between them, applied to every token by itself.

    Args:
        dim: length of a token, D.
        hidden_dim: the wider middle.
        dropout: share of numbers dropped after each layer while training.

    Raises:
        ValueError: a size is below 1, or `dropout` is not from 0 to 1.
    """

    def __init__(self, dim: int, hidden_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_sizes(dim=dim, hidden_dim=hidden_dim)
        if not 0 <= dropout <= 1:  # nn.Dropout lets NaN pass
            raise ValueError(f"dropout is a share from 0 to 1, got {dropout!r}.")
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class EncoderBlock(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + mlp(norm(x)) (equations 2 and 3).

    Args:
        dim: length of a token, D.
        heads: attention heads.
        mlp_dim: the middle of the feed-forward network.
        dropout: inside the feed-forward network.
        dim_head: features of one head; D / heads if not given.

    Raises:
        ValueError: a size is below 1 or does not fit, or `dropout` is not from 0 to 1.
    """

    def __init__(self, dim: int, heads: int, mlp_dim: int, dropout: float = 0.0, dim_head: int | None = None) -> None:
        super().__init__()
        check_sizes(dim=dim, mlp_dim=mlp_dim)
        self.norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.attention = MultiHeadSelfAttention(dim, heads, dim_head)
        self.norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.mlp = FeedForward(dim, mlp_dim, dropout)

    def forward(self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None) -> Float[Tensor, "batch tokens dim"]:
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """`depth` blocks, each with its own weights, and a last LayerNorm.

    Args:
        depth: number of blocks.
        dim, heads, mlp_dim, dropout, dim_head: as in `EncoderBlock`.

    Raises:
        ValueError: a size is below 1 or does not fit, or `dropout` is not from 0 to 1.
    """

    def __init__(
        self, depth: int, dim: int, heads: int, mlp_dim: int, dropout: float = 0.0, dim_head: int | None = None
    ) -> None:
        super().__init__()
        check_sizes(depth=depth)
        self.blocks = nn.ModuleList(EncoderBlock(dim, heads, mlp_dim, dropout, dim_head) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)

    def forward(self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None) -> Float[Tensor, "batch tokens dim"]:
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)
