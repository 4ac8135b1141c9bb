"""Right answers to lesson 05 in different styles."""

import math

import torch
import torch.nn.functional as F
from einops import einsum, pack, rearrange, repeat, unpack
from einops.layers.torch import Rearrange
from torch import nn


def by_letters(q, k, v, mask=None):
    scores = torch.einsum("...qd,...kd->...qk", q, k) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, float("-inf"))
    weights = torch.softmax(scores, -1)
    return torch.einsum("...qk,...kv->...qv", weights, v), weights


def by_torch_root(q, k, v, mask=None):
    scores = torch.matmul(q, k.mT) / torch.sqrt(torch.tensor(k.shape[-1]))
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    weights = F.softmax(scores, dim=-1)
    return torch.matmul(weights, v), weights


def by_billion(q, k, v, mask=None):
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores + (~mask) * -1e9
    weights = scores.softmax(-1)
    return weights @ v, weights


def by_roots_of_both(q, k, v, mask=None):
    scale = q.shape[-1] ** 0.25
    scores = (q / scale) @ (k / scale).transpose(-1, -2)
    if mask is not None:
        scores += torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(mask.logical_not(), -torch.inf)
    weights = nn.Softmax(dim=-1)(scores)
    return [weights @ v, weights]


def by_hand(q, k, v, mask=None):
    scores = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1).div(q.shape[-1] ** 0.5)
    allowed = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    scores = torch.where(allowed, scores, torch.full_like(scores, -math.inf))
    powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    weights = powers / powers.sum(dim=-1, keepdim=True)
    return (weights.unsqueeze(-1) * v.unsqueeze(-3)).sum(-2), weights


def by_log_of_mask(q, k, v, mask=None):
    scores = q @ k.swapaxes(-1, -2) * (1 / math.sqrt(q.shape[-1]))
    if mask is not None:
        scores = scores + mask.to(q.dtype).log()
    weights = (scores - scores.logsumexp(-1, keepdim=True)).exp()
    return weights @ v, weights


def by_shares_again(q, k, v, mask=None):
    """The mask after the softmax is right where the rest is made to add up to 1 again."""
    weights = (q @ k.movedim(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(-1, keepdim=True)
    return weights @ v, weights


def by_pytorch(q, k, v, mask=None):
    mask = None if mask is None else mask.expand(*mask.shape[:-1], k.shape[-2])
    same = torch.eye(k.shape[-2], dtype=v.dtype).expand(*k.shape[:-1], k.shape[-2])
    output, weights = (F.scaled_dot_product_attention(q, k, values, attn_mask=mask) for values in (v, same))
    return output, weights


def by_batches(q, k, v, mask=None):
    """All axes before the last two put together, as older code does."""
    (flat_q, before), (flat_k, _), (flat_v, _) = (pack([one], "* t d") for one in (q, k, v))
    scores = torch.bmm(flat_q, flat_k.permute(0, 2, 1)) / flat_q.shape[2] ** 0.5
    (scores,) = unpack(scores, before, "* q k")
    if mask is not None:
        scores = scores.masked_fill(torch.logical_not(mask), -1e30)
    weights = torch.nn.functional.softmax(scores, dim=scores.ndim - 1)
    (output,) = unpack(torch.bmm(pack([weights], "* q k")[0], flat_v), before, "* q v")
    return output, weights


def by_loop(q, k, v, mask=None):
    """One query at a time."""
    outputs, weights = [], []
    for at in range(q.shape[-2]):
        scores = (k @ q[..., at, :, None])[..., 0] / q.shape[-1] ** 0.5
        if mask is not None:
            row = mask[..., at if mask.shape[-2] > 1 else 0, :]
            scores = scores.masked_fill(~row, float("-inf"))
        weights.append(scores.softmax(-1))
        outputs.append((weights[-1][..., None] * v).sum(-2))
    return torch.stack(outputs, -2), torch.stack(weights, -2)


class Scaffold(nn.Module):
    """The parts; how they are used, the others say."""

    def __init__(self, dim, heads, dim_head=None):
        super().__init__()
        if dim_head is None:
            if dim % heads != 0:
                raise ValueError(f"{heads} does not divide {dim}")
            dim_head = dim // heads
        self.h, self.d = heads, dim_head
        self.qkv = nn.Linear(dim, heads * dim_head * 3)
        self.out = nn.Linear(heads * dim_head, dim)


class ByReshape(Scaffold):
    def forward(self, x, mask=None):
        b, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.h, self.d).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * self.d**-0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, self.h * self.d))


class ByChunks(Scaffold):
    def forward(self, x, mask=None):
        q, k, v = (part.unflatten(-1, (self.h, self.d)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        output, _ = by_billion(q, k, v, mask)
        return self.out(output.transpose(1, 2).contiguous().flatten(2))


class ByHeads(Scaffold):
    """A loop over heads."""

    def forward(self, x, mask=None):
        width, found = self.h * self.d, []
        three = self.qkv(x)
        for head in range(self.h):
            q, k, v = (three[..., part * width + head * self.d :][..., : self.d] for part in range(3))
            scores = q @ k.transpose(1, 2) / math.sqrt(self.d)
            if mask is not None:
                own = mask if mask.ndim == 2 else mask[:, min(head, mask.shape[1] - 1)]
                scores = scores.masked_fill(~own, float("-inf"))
            found.append(scores.softmax(dim=-1) @ v)
        return self.out(torch.cat(found, dim=-1))


class Fused(nn.Module):
    """PyTorch's own, with einops layers; a buffer and a part without parameters more."""

    def __init__(self, width, number, each=None):
        super().__init__()
        if each is None and width % number:
            raise ValueError
        each = each or width // number
        self.register_buffer("scale", torch.tensor(each**-0.5))
        self.split = Rearrange("b t (three h d) -> three b h t d", three=3, h=number)
        self.merge = Rearrange("b h t d -> b t (h d)")
        self.drop = nn.Dropout(0.0)
        self.qkv, self.out = nn.Linear(width, 3 * number * each), nn.Linear(number * each, width)

    def forward(self, tokens, allowed=None):
        q, k, v = self.split(self.qkv(tokens)).unbind(0)
        if allowed is not None and allowed.dim() == 2:
            allowed = allowed[None, None]
        if allowed is not None:
            allowed = repeat(allowed, "b h q k -> b h (q repeated) k", repeated=tokens.shape[1] // allowed.shape[2])
        return self.drop(self.out(self.merge(F.scaled_dot_product_attention(q, k, v, attn_mask=allowed))))


class ByEinops(Scaffold):
    """Tokens before heads all along."""

    def forward(self, x, mask=None):
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b t h d", three=3, h=self.h)
        scores = einsum(q, k, "b q h d, b k h d -> b h q k") / self.d**0.5
        scores = scores if mask is None else scores.where(mask, scores.new_tensor(-math.inf))
        output = einsum(scores.softmax(-1), v, "b h q k, b k h d -> b q h d")
        return self.out(output.flatten(-2))


class ByMatrices(Scaffold):
    """The rows of the one matrix, cut up, in place of what it gives."""

    def forward(self, x, mask=None):
        weight = self.qkv.weight.view(3, self.h, self.d, -1)
        bias = self.qkv.bias.view(3, 1, self.h, 1, self.d)
        q, k, v = torch.einsum("btc,shdc->sbhtd", x, weight) + bias
        output = by_letters(q, k, v, mask)[0]
        out = self.out.weight.view(-1, self.h, self.d)
        return torch.einsum("bhtd,chd->btc", output, out) + self.out.bias


class HeadsInTheBatch(Scaffold):
    """As older code does: (batch · heads, tokens, dim_head)."""

    def forward(self, x, mask=None):
        b, t, _ = x.size()
        three = self.qkv(x).split(self.h * self.d, dim=2)
        q, k, v = (one.view(b, t, self.h, self.d).permute(0, 2, 1, 3).reshape(b * self.h, t, self.d) for one in three)
        scores = torch.bmm(q, k.transpose(1, 2)).div_(math.sqrt(self.d)).view(b, self.h, t, t)
        if mask is not None:
            scores = scores.masked_fill(mask.logical_not(), torch.finfo(x.dtype).min)
        output = torch.bmm(scores.softmax(3).view(b * self.h, t, t), v)
        return self.out(output.view(b, self.h, t, self.d).transpose(1, 2).reshape(b, t, -1))


RIGHT_ANSWERS = {
    "scaled_dot_product_attention": [
        by_letters,
        by_torch_root,
        by_billion,
        by_roots_of_both,
        by_hand,
        by_log_of_mask,
        by_shares_again,
        by_pytorch,
        by_batches,
        by_loop,
    ],
    "MultiHeadSelfAttention": [ByReshape, ByChunks, ByHeads, Fused, ByEinops, ByMatrices, HeadsInTheBatch],
}
