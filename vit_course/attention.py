"""Attention: every token takes from the others what it needs.

Source: Vaswani et al. 2017, *Attention Is All You Need*, section 3.2; Dosovitskiy et al. 2021, appendix A.

A mask is bool and True means "may attend", as in `F.scaled_dot_product_attention` (`nn.MultiheadAttention` means the
opposite). It broadcasts to (batch, heads, queries, keys), and every query may attend to at least one key. The last is
not checked, since a look would wait for the GPU: a query that may attend to nothing gets NaN or zeros.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit_course.patches import check_sizes

Mask = Bool[Tensor, "*#batch #queries #keys"] | None


def check_mask(
    mask: Mask, q: Float[Tensor, "*batch queries dim"], k: Float[Tensor, "*batch keys dim"], dims: tuple[int, ...] = ()
) -> None:
    """Refuse a mask that would quietly mean something else: PyTorch adds one of floats to the scores.

    Args:
        mask: None is fine.
        q, k: the queries and keys that it stands between.
        dims: how many axes it may have; any number if empty.

    Raises:
        ValueError: it is not bool, is on another device, has too many axes or too few, or does not broadcast to
            (…, queries, keys).
    """
    if mask is None:
        return
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise ValueError(
            "a mask is a bool tensor, True where a query may attend to a key; got "
            f"{mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}. "
            "Of 0 and 1 make torch.as_tensor(mask).bool(), of 0 and -inf make torch.as_tensor(mask) == 0."
        )
    if mask.device != q.device:
        raise ValueError(f"the mask is on {mask.device}, the queries are on {q.device}: move one.")
    shape = tuple(mask.shape)
    if dims and mask.ndim not in dims:
        hint = ": mask[:, None] is one for each image, mask[None] one for each head" if mask.ndim == 3 else ""
        raise ValueError(f"the mask is (queries, keys) or (batch, heads, queries, keys), got {shape}{hint}.")
    scores = (*torch.broadcast_shapes(q.shape[:-2], k.shape[:-2]), q.shape[-2], k.shape[-2])
    last = scores[max(len(scores) - len(shape), 0) :]
    if len(shape) > len(scores) or any(size not in (1, wanted) for size, wanted in zip(shape, last, strict=True)):
        raise ValueError(f"the mask has to broadcast to (…, queries, keys) = {scores}, got {shape}.")


def scaled_dot_product_attention(
    q: Float[Tensor, "*batch queries dim"],
    k: Float[Tensor, "*batch keys dim"],
    v: Float[Tensor, "*batch keys values"],
    mask: Mask = None,
) -> tuple[Float[Tensor, "*batch queries values"], Float[Tensor, "*batch queries keys"]]:
    """softmax(q kᵀ / √dim) v, written out (Vaswani et al., equation 1).

    Returns:
        The output (…, queries, values) and the weights (…, queries, keys); each row of weights adds up to 1.

    Raises:
        ValueError: `mask` is not bool, or does not broadcast to the weights.
    """
    check_mask(mask, q, k)
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ v, weights


class MultiHeadSelfAttention(nn.Module):
    """Several attentions side by side, each on its own part of the features.

    Args:
        dim: length of a token, D.
        heads: how many attentions.
        dim_head: features of one head; D / heads if not given.

    Attributes:
        qkv: Linear(D, 3·heads·dim_head), rows q, then k, then v, the heads contiguous within each.
        out: Linear(heads·dim_head, D).

    Raises:
        ValueError: `dim_head` is not given and `heads` does not divide `dim`, or a size is below 1.
    """

    def __init__(self, dim: int, heads: int, dim_head: int | None = None) -> None:
        super().__init__()
        check_sizes(dim=dim, heads=heads)
        if dim_head is None:
            if dim % heads:
                raise ValueError(f"dim={dim} is not divisible by heads={heads}: change one, or give dim_head.")
            dim_head = dim // heads
        check_sizes(dim_head=dim_head)
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * heads * dim_head)
        self.out = nn.Linear(heads * dim_head, dim)

    def project(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "3 batch heads tokens dim_head"]:
        """Queries, keys and values of every head."""
        return rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)

    def forward(self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None) -> Float[Tensor, "batch tokens dim"]:
        """(B, T, D) → (B, T, D), by PyTorch's fused attention, which never holds the T × T weights.

        Raises ValueError where a mask is not bool, or neither (queries, keys) nor (batch, heads, queries, keys).
        """
        q, k, v = self.project(x)
        check_mask(mask, q, k, dims=(2, 4))
        if mask is not None:
            mask = mask.expand(*mask.shape[:-1], k.shape[-2])  # torch 2.4 misreads a mask with one key for all
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(rearrange(heads, "b h t d -> b t (h d)"))

    def weights(
        self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None
    ) -> Float[Tensor, "batch heads tokens tokens"]:
        """The attention weights that `forward` uses and does not keep: (B, heads, queries, keys)."""
        q, k, v = self.project(x)
        check_mask(mask, q, k, dims=(2, 4))
        return scaled_dot_product_attention(q, k, v, mask)[1]
