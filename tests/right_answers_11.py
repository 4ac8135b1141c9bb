"""Right answers of lesson 11, in different styles."""

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from einops import einsum, rearrange, repeat
from einops.layers.torch import Rearrange
from torch import nn

# -- HybridEmbedding


class Hybrid(nn.Module):
    def __init__(self, backbone, channels, dim):
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(channels, dim)


class ByFlatten(Hybrid):
    def forward(self, x):
        return self.projection(self.backbone(x).flatten(2).transpose(1, 2))


class ByPermute(Hybrid):
    def forward(self, images):
        features = self.backbone(images).permute(0, 2, 3, 1)  # (B, h, w, channels)
        return self.projection(features.reshape(features.shape[0], -1, features.shape[3]))


class ProjectedFirst(Hybrid):
    def forward(self, images):
        return self.projection(self.backbone(images).movedim(1, -1)).flatten(1, 2)


class ByConvolution(Hybrid):
    """The layer's weights as a convolution of 1 × 1."""

    def forward(self, images):
        weight = self.projection.weight[:, :, None, None]
        return F.conv2d(self.backbone(images), weight, self.projection.bias).flatten(2).mT


class ByEinsum(Hybrid):
    def forward(self, images):
        tokens = torch.einsum("bchw,dc->bhwd", self.backbone(images), self.projection.weight)
        return rearrange(tokens, "b h w d -> b (h w) d") + self.projection.bias


class ByEinopsEinsum(Hybrid):
    def forward(self, images):
        features = rearrange(self.backbone(images), "b c h w -> b c (h w)")
        return einsum(features, self.projection.weight, "b c n, d c -> b n d") + self.projection.bias


class ByLoops(Hybrid):
    def forward(self, images):
        features = self.backbone(images)
        _, _, h, w = features.shape
        tokens = [self.projection(features[:, :, i, j]) for i in range(h) for j in range(w)]
        return torch.stack(tokens, dim=1)


class ByView(Hybrid):
    def forward(self, images):
        features = self.backbone(images).contiguous()
        b, c, h, w = features.shape
        return self.projection(features.view(b, c, h * w).permute(0, 2, 1).contiguous())


class ByUnfold(Hybrid):
    """A patch of 1 × 1."""

    def forward(self, images):
        return self.projection(F.unfold(self.backbone(images), 1).mT)


class ByLayers(nn.Module):
    """Put together in a Sequential besides."""

    def __init__(self, backbone: nn.Module, channels: int, dim: int):
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(channels, dim)
        self.all = nn.Sequential(self.backbone, Rearrange("b c h w -> b (h w) c"), self.projection)

    def forward(self, images):
        return self.all(images)


class ByRows(nn.Module):
    def __init__(self, net, in_features, out_features):
        nn.Module.__init__(self)
        self.add_module("projection", nn.Linear(in_features, out_features, bias=True))
        self.add_module("backbone", net)
        self.norm = nn.Identity()

    def forward(self, images):
        rows = self.backbone(images).unbind(dim=2)  # h of (B, channels, w)
        return self.norm(self.projection(torch.cat([row.mT for row in rows], dim=1)))


class ByMatrix(Hybrid):
    def forward(self, images):
        features = self.backbone(images)
        flat = features.flatten(start_dim=2).swapaxes(-1, -2)
        return torch.matmul(flat, self.projection.weight.T) + self.projection.bias


# -- relative_position_index


def index_of_swin(height, width):
    """As Swin's code has it."""
    coords_h = torch.arange(height)
    coords_w = torch.arange(width)
    coords = torch.stack(torch.meshgrid([coords_h, coords_w]))  # 2, h, w
    coords_flatten = torch.flatten(coords, 1)  # 2, h·w
    relative_coords = coords_flatten[:, :, None] - coords_flatten[:, None, :]
    relative_coords = relative_coords.permute(1, 2, 0).contiguous()
    relative_coords[:, :, 0] += height - 1
    relative_coords[:, :, 1] += width - 1
    relative_coords[:, :, 0] *= 2 * width - 1
    return relative_coords.sum(-1)


def index_by_loops(height, width):
    n = height * width
    index = torch.zeros(n, n, dtype=torch.long)
    for query in range(n):
        for key in range(n):
            down = query // width - key // width + height - 1
            across = query % width - key % width + width - 1
            index[query, key] = down * (2 * width - 1) + across
    return index


def index_by_list(height, width):
    places = list(itertools.product(range(height), range(width)))
    return torch.tensor(
        [[(a - c + height - 1) * (2 * width - 1) + b - d + width - 1 for c, d in places] for a, b in places]
    )


def index_by_numpy(height, width):
    row, column = np.divmod(np.arange(height * width), width)
    down = np.subtract.outer(row, row) + height - 1
    across = np.subtract.outer(column, column) + width - 1
    return torch.from_numpy(np.ravel_multi_index((down, across), (2 * height - 1, 2 * width - 1))).long()


def index_by_one_number(height, width):
    """Each place has one number in a wider grid; the differences of those are the steps."""
    place = torch.arange(height * width)
    wide = place // width * (2 * width - 1) + place % width
    return wide.unsqueeze(1) - wide.unsqueeze(0) + (height - 1) * (2 * width - 1) + width - 1


def index_by_einops(height, width):
    down = torch.arange(height)[:, None] - torch.arange(height) + height - 1
    across = torch.arange(width)[:, None] - torch.arange(width) + width - 1
    down = repeat(down, "i j -> (i a) (j b)", a=width, b=width)
    across = repeat(across, "i j -> (a i) (b j)", a=height, b=height)
    return down * (2 * width - 1) + across


def index_by_kron(height, width):
    def steps(size):
        return torch.arange(size).view(-1, 1) - torch.arange(size).view(1, -1) + size - 1

    ones = torch.ones(width, width, dtype=torch.int64)
    down = torch.kron(steps(height), ones)
    across = steps(width).tile(height, height)
    return (2 * width - 1) * down + across


def index_by_unique(height, width):
    """Every step occurs, so that their order is their number."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([y.reshape(-1), x.reshape(-1)], dim=-1)
    steps = (places[:, None] - places[None]).reshape(-1, 2)
    return torch.unique(steps, dim=0, return_inverse=True)[1].reshape(len(places), len(places))


def index_in_floats(height, width):
    place = torch.cartesian_prod(torch.arange(float(height)), torch.arange(float(width))).reshape(-1, 2)
    step = place[:, None] - place + torch.tensor([height - 1.0, width - 1.0])
    return (step @ torch.tensor([2.0 * width - 1, 1.0])).round().to(torch.int64)


def index_by_table(height, width):
    """A window into the table of steps, for each query."""
    table = torch.arange((2 * height - 1) * (2 * width - 1)).reshape(2 * height - 1, 2 * width - 1)
    rows = [table[i : i + height, j : j + width].flip(0, 1).reshape(-1) for i in range(height) for j in range(width)]
    return torch.stack(rows)


def index_by_strides(height, width):
    """That window as a view of memory."""
    table = torch.arange((2 * height - 1) * (2 * width - 1)).flip(0)
    across = 2 * width - 1
    windows = table.as_strided((height, width, height, width), (across, 1, across, 1))
    return windows.flip(0, 1).reshape(height * width, height * width)


RIGHT_ANSWERS = {
    "HybridEmbedding": [
        ByFlatten, ByPermute, ProjectedFirst, ByConvolution, ByEinsum, ByEinopsEinsum, ByLoops, ByView, ByUnfold,
        ByLayers, ByRows, ByMatrix,
    ],
    "relative_position_index": [
        index_of_swin, index_by_loops, index_by_list, index_by_numpy, index_by_one_number, index_by_einops,
        index_by_kron, index_by_unique, index_in_floats, index_by_table, index_by_strides,
    ],
}  # fmt: skip
