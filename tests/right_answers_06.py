"""Right answers of lesson 06 in different styles."""

import math
from collections import OrderedDict
from copy import deepcopy

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import nn

from vit_course import EncoderBlock, FeedForward, MultiHeadSelfAttention, layer_norm

# -- layer_norm


def norm_of_pytorch(x, weight, bias, eps=1e-6):
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)


def norm_by_var(x, gamma, beta, epsilon=1e-6):
    centred = x - x.mean(dim=-1, keepdim=True)
    return gamma * centred / torch.sqrt(x.var(dim=-1, keepdim=True, unbiased=False) + epsilon) + beta


def norm_by_moments(x, weight, bias, eps=0.000001):
    mean = x.mean(-1, keepdim=True)
    variance = (x * x).mean(-1, keepdim=True) - mean * mean
    return (x - mean) * torch.rsqrt(variance.clamp(min=0) + eps) * weight + bias


def norm_by_loop(x, weight, bias, eps=1e-6):
    rows = []
    for token in x.reshape(-1, x.shape[-1]):
        mean = token.sum() / len(token)
        variance = sum((number - mean) ** 2 for number in token) / len(token)
        rows.append((token - mean) / (variance + eps) ** 0.5 * weight + bias)
    return torch.stack(rows).reshape(x.shape)


def norm_by_einops(x, weight, bias, eps=1e-6):
    x = x - reduce(x, "... d -> ... 1", "mean")
    x = x / (reduce(x.square(), "... d -> ... 1", "mean") + eps).sqrt()
    return torch.addcmul(bias, x, weight)


def norm_by_var_mean(x, weight, bias, eps=1e-6):
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return (x - mean).div((variance + eps).sqrt()).mul(weight).add(bias)


def norm_by_module(x, weight, bias, eps=1e-6):
    norm = nn.LayerNorm(x.shape[-1], eps=eps, elementwise_affine=False)
    return norm(x) * weight + bias


def norm_by_matrix(x, weight, bias, eps=1e-6):
    """The mean is taken away by a matrix: I - 1/D."""
    d = x.shape[-1]
    centring = torch.eye(d, dtype=x.dtype) - 1 / d
    x = x @ centring
    length = x.norm(dim=-1, keepdim=True)
    return x / (length**2 / d + eps).sqrt() * weight + bias


# -- FeedForward


class TwoDropouts(nn.Module):
    def __init__(self, d, h, p=0.0):
        super().__init__()
        self.fc1 = nn.Linear(d, h)
        self.act = nn.GELU()
        self.drop1 = nn.Dropout(p)
        self.fc2 = nn.Linear(h, d)
        self.drop2 = nn.Dropout(p)

    def forward(self, tokens):
        tokens = self.drop1(self.act(self.fc1(tokens)))
        return self.drop2(self.fc2(tokens))


class FunctionalDropout(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.p = dropout
        self.fc1, self.fc2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)

    def forward(self, x):
        x = F.gelu(F.linear(x, self.fc1.weight, self.fc1.bias), approximate="none")
        x = F.dropout(x, self.p, training=self.training)
        x = torch.einsum("bth,dh->btd", x, self.fc2.weight) + self.fc2.bias
        return F.dropout(x, self.p, training=self.training)


class GeluByHand(nn.Module):
    """The GELU from its definition, and dropout with masks of its own."""

    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.register_buffer("one_half", torch.tensor(0.5))
        self.keep = 1 - dropout
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def drop(self, x):
        if self.training and self.keep < 1:
            x = x * torch.bernoulli(torch.full_like(x, self.keep)) / self.keep
        return x

    def forward(self, x):
        x = self.fc1(x)
        x = self.one_half * x * (1 + torch.erf(x / math.sqrt(2)))
        return self.drop(self.fc2(self.drop(x)))


class ByToken(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        layers = [("fc1", nn.Linear(dim, hidden_dim)), ("fc2", nn.Linear(hidden_dim, dim))]
        for name, layer in layers:
            self.add_module(name, layer)
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, x):
        tokens = [self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(token))))) for token in x.unbind(dim=1)]
        return torch.stack(tokens, dim=1)


class BySequential(nn.Sequential):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        fc1, fc2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)
        parts = {"fc1": fc1, "gelu": nn.GELU(), "d1": nn.Dropout(dropout), "fc2": fc2, "d2": nn.Dropout(dropout)}
        super().__init__(OrderedDict(parts))


class ByNormalDistribution(nn.Module):
    def __init__(self, dim, hidden_dim, dropout=0.0):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, dim)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x):
        x = self.fc1(x)
        x = x * torch.special.ndtr(x)
        return self.dropout(self.fc2(self.dropout(x)))


# -- EncoderBlock


class Plain(nn.Module):
    def __init__(self, dim, heads, mlp_dim, dropout=0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = MultiHeadSelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = FeedForward(dim, mlp_dim, dropout)

    def forward(self, x, mask=None):
        attended = self.attention(self.norm1(x), mask=mask)
        x = torch.add(x, attended)
        fed = self.mlp(self.norm2(x))
        return torch.stack([x, fed]).sum(dim=0)


class OwnAttention(nn.Module):
    """Attention written out with einsum, and weights filled in by a mask of zeros and -inf."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        q, k, v = (rearrange(part, "b t (h d) -> b h t d", h=self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) * self.scale
        if mask is not None:
            scores = scores + torch.zeros(mask.shape, dtype=x.dtype).masked_fill(mask.logical_not(), -torch.inf)
        heads = torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), v)
        return self.out(heads.flatten(2))


class AllOwn(nn.Module):
    def __init__(self, width, n_heads, hidden, p=0.0):
        super().__init__()
        self.mlp = TwoDropouts(width, hidden, p)
        self.attention = OwnAttention(width, n_heads)
        self.norm2 = nn.LayerNorm([width], eps=0.000001)
        self.norm1 = nn.LayerNorm([width], eps=0.000001)
        self.register_buffer("seen", torch.zeros(1), persistent=False)

    def forward(self, tokens, attention_mask=None):
        residual = tokens
        tokens = self.attention(self.norm1(tokens), attention_mask) + residual
        residual = tokens
        return self.mlp(self.norm2(tokens)) + residual


class Norm(nn.Module):
    """A LayerNorm of one's own, with the function of this lesson."""

    def __init__(self, dim):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return layer_norm(x, self.weight, self.bias)


class OwnNorm(nn.Module):
    def __init__(self, dim, heads, mlp_dim, dropout=0.0):
        super().__init__()
        self.norm1, self.norm2 = Norm(dim), Norm(dim)
        self.attention, self.mlp = MultiHeadSelfAttention(dim, heads), FunctionalDropout(dim, mlp_dim, dropout)

    def forward(self, x, mask=None):
        out = x.clone()
        out += self.attention(self.norm1(x), mask)
        return out + self.mlp(self.norm2(out))


class OverWeights(MultiHeadSelfAttention):
    """Attention by its weights."""

    def forward(self, x, mask=None):
        v = self.project(x)[2]
        return self.out((self.weights(x, mask) @ v).transpose(1, 2).flatten(2))


class Branches(nn.Module):
    """The two branches by name, in a loop."""

    def __init__(self, dim, heads, mlp_dim, dropout=0.0):
        super().__init__()
        self.attention, self.mlp = OverWeights(dim, heads), BySequential(dim, mlp_dim, dropout)
        for name in ("norm1", "norm2"):
            setattr(self, name, nn.LayerNorm(dim, 1e-6))

    def forward(self, x, mask=None):
        for norm, branch in ((self.norm1, lambda y: self.attention(y, mask)), (self.norm2, self.mlp)):
            x = x + branch(norm(x))
        return x


class OnePixelAtATime(Plain):
    """Each image by itself."""

    def forward(self, x, mask=None):
        if mask is not None and mask.ndim == 2:
            mask = mask[None, None]
        parts = []
        for index, image in enumerate(x.split(1)):
            here = mask if mask is None or len(mask) == 1 else mask[index : index + 1]
            parts.append(super().forward(image, here))
        return torch.cat(parts)


# -- Encoder


class WithAppend(nn.Module):
    def __init__(self, depth, dim, heads, mlp_dim, dropout=0.0):
        super().__init__()
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            self.blocks.append(EncoderBlock(dim, heads, mlp_dim, dropout=dropout))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x, mask=None):
        for i in range(len(self.blocks)):
            x = self.blocks[i](x, mask=mask)
        return self.norm(x)


class WithSequential(nn.Module):
    def __init__(self, layers, width, n_heads, hidden, p=0.0):
        super().__init__()
        self.norm = Norm(width)
        self.blocks = nn.Sequential(*[AllOwn(width, n_heads, hidden, p) for _ in range(layers)])

    def forward(self, tokens, mask=None):
        for block in self.blocks.children():
            tokens = block(tokens, mask)
        return self.norm(tokens)


class WithCopies(nn.Module):
    """Copies of one block; each is another object."""

    def __init__(self, depth, dim, heads, mlp_dim, dropout=0.0):
        super().__init__()
        first = OwnNorm(dim, heads, mlp_dim, dropout)
        self.blocks = nn.ModuleList([deepcopy(first) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x, mask=None):
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], mask))
        return F.layer_norm(states[-1], self.norm.normalized_shape, self.norm.weight, self.norm.bias, 1e-6)


class ByRecursion(nn.Module):
    def __init__(self, depth, dim, heads, mlp_dim, dropout=0.0):
        super().__init__()
        blocks = [Branches(dim, heads, mlp_dim, dropout) for _ in range(depth)]
        self.blocks = nn.ModuleDict({str(index): block for index, block in enumerate(blocks)})
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.depth = depth

    def forward(self, x, mask=None, index=0):
        if index == self.depth:
            return self.norm(x)
        return self.forward(self.blocks[str(index)](x, mask), mask, index + 1)


class KeepsAttention(WithAppend):
    """Keeps a list of what each block made, for later; the result is the same."""

    def forward(self, x, mask=None):
        self.states = []
        for block in self.blocks:
            x = block(x, mask)
            self.states.append(x.detach())
        return self.norm(x)


RIGHT_ANSWERS = {
    "layer_norm": [
        norm_of_pytorch, norm_by_var, norm_by_moments, norm_by_loop, norm_by_einops, norm_by_var_mean, norm_by_module,
        norm_by_matrix,
    ],
    "FeedForward": [TwoDropouts, FunctionalDropout, GeluByHand, ByToken, BySequential, ByNormalDistribution],
    "EncoderBlock": [Plain, AllOwn, OwnNorm, Branches, OnePixelAtATime],
    "Encoder": [WithAppend, WithSequential, WithCopies, ByRecursion, KeepsAttention],
}  # fmt: skip
