"""Right answers of lesson 04, in different styles."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import nn

# -- LearnedPositions


class ByInit(nn.Module):
    def __init__(self, num_tokens, dim):
        super().__init__()
        self.positions = nn.Parameter(torch.empty(1, num_tokens, dim))
        nn.init.normal_(self.positions, mean=0.0, std=0.02)

    def forward(self, tokens):
        return torch.add(tokens, self.positions)


class ByTruncation(nn.Module):
    """As timm does it; also: a dropout that drops nothing, and a buffer."""

    def __init__(self, count, width):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, count, width))
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.dropout = nn.Dropout(0.0)
        self.register_buffer("places", torch.arange(count))

    def forward(self, x):
        return self.dropout(x + self.positions[:, : x.shape[1]])


class ByLookUp(nn.Module):
    def __init__(self, num_tokens, dim):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, num_tokens, dim) * 0.02)

    def forward(self, tokens):
        return tokens + F.embedding(torch.arange(tokens.shape[1]), self.positions[0])


class ByLoop(nn.Module):
    def __init__(self, num_tokens, dim):
        super().__init__()
        self.positions = nn.Parameter(torch.normal(0.0, 0.02, (1, num_tokens, dim)))
        self.num_tokens = num_tokens

    def forward(self, tokens):
        return torch.stack([tokens[:, i] + self.positions[:, i] for i in range(self.num_tokens)], dim=1)


class ByData(nn.Module):
    def __init__(self, num_tokens, dim):
        super().__init__()
        self.register_parameter("positions", nn.Parameter(torch.randn(1, num_tokens, dim)))
        self.positions.data.mul_(0.02)

    def forward(self, tokens):
        out = tokens.clone()
        out += repeat(self.positions, "1 n d -> b n d", b=len(tokens))
        return out


class ByLinear(nn.Module):
    """The table as a linear layer without bias that sees which place it is: a one-hot row each."""

    def __init__(self, num_tokens, dim):
        super().__init__()
        self.positions = nn.Parameter(torch.distributions.Normal(0, 0.02).sample((1, num_tokens, dim)))

    def forward(self, tokens):
        one_hot = torch.eye(tokens.shape[1], dtype=tokens.dtype)
        return tokens + F.linear(one_hot, self.positions[0].T)


# -- sincos_positions


def by_divmod(height, width, dim):
    if dim % 4 != 0:
        raise ValueError(f"{dim} is not divisible by 4")
    places = torch.arange(height * width)
    omega = 1.0 / 10000 ** (torch.arange(dim // 4, dtype=torch.float32) / (dim / 4))
    halves = []
    for axis in (places // width, places % width):
        angles = torch.outer(axis.float(), omega)
        halves += [torch.sin(angles), torch.cos(angles)]
    return torch.cat(halves, dim=-1)


def by_loops(height, width, dim):
    if dim % 4:
        raise ValueError
    quarter = dim // 4
    table = torch.zeros(height * width, dim)
    for row in range(height):
        for column in range(width):
            for i in range(quarter):
                omega = 10000 ** (-i / quarter)
                place = row * width + column
                table[place, i] = math.sin(row * omega)
                table[place, quarter + i] = math.cos(row * omega)
                table[place, 2 * quarter + i] = math.sin(column * omega)
                table[place, 3 * quarter + i] = math.cos(column * omega)
    return table


def by_numpy(height, width, dim):
    if dim % 4:
        raise ValueError("no")
    omega = np.exp(-np.log(10000.0) * np.arange(dim // 4) / (dim // 4))
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    parts = [wave(np.outer(axis.ravel(), omega)) for axis in (rows, columns) for wave in (np.sin, np.cos)]
    return torch.from_numpy(np.concatenate(parts, axis=1)).float()


def by_one_axis(length, features):
    angles = torch.arange(length)[:, None] * torch.exp(-math.log(10000) * torch.arange(0, features, 2) / features)
    return torch.cat((angles.sin(), angles.cos()), 1)


def by_expanding(height, width, dim):
    if dim & 3:
        raise ValueError(dim)
    rows = repeat(by_one_axis(height, dim // 2), "h d -> h w d", w=width)
    columns = repeat(by_one_axis(width, dim // 2), "w d -> h w d", h=height)
    return rearrange(torch.cat([rows, columns], dim=2), "h w d -> (h w) d")


def by_complex(height, width, dim):
    quarter, rest = divmod(dim, 4)
    if rest:
        raise ValueError("dim")
    omega = torch.pow(10000.0, torch.linspace(0, 1, quarter + 1)[:-1].neg())
    grid = torch.cartesian_prod(torch.arange(height), torch.arange(width)).reshape(-1, 2)  # (N, 2)
    angles = torch.einsum("na,i->nai", grid.float(), omega)
    turns = torch.polar(torch.ones_like(angles), angles)
    return torch.stack([turns.imag, turns.real], dim=2).flatten(1)


# -- position_similarity


def by_pairs(positions):
    rows = []
    for one in positions:
        rows.append(torch.stack([one @ other / (one.norm() * other.norm()) for other in positions]))
    return torch.stack(rows)


def by_gram(positions):
    products = torch.einsum("nd,md->nm", positions, positions)
    lengths = products.diagonal().sqrt()
    return products / torch.outer(lengths, lengths)


def by_normalize(positions):
    unit = F.normalize(positions, dim=-1)
    return torch.matmul(unit, unit.transpose(0, 1))


def by_broadcasting(positions):
    return F.cosine_similarity(positions[:, None, :], positions[None, :, :], dim=-1)


def by_sums(positions):
    lengths = (positions**2).sum(1).pow(0.5)
    products = (positions.unsqueeze(1) * positions.unsqueeze(0)).sum(-1)
    return products / (lengths.view(-1, 1) * lengths.view(1, -1) + 1e-8)


RIGHT_ANSWERS = {
    "LearnedPositions": [ByInit, ByTruncation, ByLookUp, ByLoop, ByData, ByLinear],
    "sincos_positions": [by_divmod, by_loops, by_numpy, by_expanding, by_complex],
    "position_similarity": [by_pairs, by_gram, by_normalize, by_broadcasting, by_sums],
}
