"""Right answers of lesson 10, in different styles."""

import math

import numpy as np
import torch
from einops import einsum, rearrange, reduce

# -- principal_filters


def filters_by_eigh(weight, patch_size, k):
    centred = weight - weight.mean(dim=0, keepdim=True)
    covariance = centred.T @ centred / (len(weight) - 1)
    vectors = torch.linalg.eigh(covariance).eigenvectors  # columns, the weakest first
    strongest = vectors.flip(dims=[1])[:, :k]
    return strongest.T.reshape(k, patch_size, patch_size, -1)


def filters_by_numpy(weight, patch_size, k):
    rows = weight.detach().numpy()
    _, _, vh = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=True)
    return torch.from_numpy(vh[:k].copy()).reshape(k, patch_size, patch_size, weight.shape[1] // patch_size**2)


def filters_by_pca(weight, patch_size, k):
    _, _, v = torch.pca_lowrank(weight, q=min(weight.shape), center=True, niter=4)
    return rearrange(v[:, :k], "(p1 p2 c) k -> k p1 p2 c", p1=patch_size, p2=patch_size)


def filters_by_quick_pca(weight, patch_size, k):
    v = torch.pca_lowrank(weight, q=k)[2]
    return v.T.unflatten(1, (patch_size, patch_size, -1))


def filters_by_old_svd(weight, patch_size, k):
    v = torch.svd(weight - weight.mean(0)).V
    return -v.t()[:k].contiguous().view(k, patch_size, patch_size, -1)


def filters_with_light_sign(weight, patch_size, k):
    """Each component mostly light."""
    rows = torch.linalg.svd(weight - weight.mean(dim=0), full_matrices=False)[2][:k]
    rows = torch.where(rows.sum(dim=1, keepdim=True) < 0, -rows, rows)
    return rearrange(rows, "k (a b c) -> k a b c", a=patch_size, b=patch_size)


def filters_by_power(weight, patch_size, k):
    """One component after another, by power iteration."""
    centred = (weight - weight.mean(dim=0)).double()
    covariance = centred.T @ centred
    found = []
    for _ in range(k):
        v = covariance[:, covariance.diagonal().argmax()].clone()
        for _ in range(400):
            v = covariance @ (v / v.norm())
        v = v / v.norm()
        covariance = covariance - (v @ covariance @ v) * torch.outer(v, v)
        found.append(v.float())
    return torch.stack(found).reshape(k, patch_size, patch_size, -1)


# -- mean_attention_distance


def distance_by_loops(attention, grid, patch_size):
    rows, columns = grid
    attention = attention[:, :, 1:, 1:]
    attention = attention / attention.sum(dim=3, keepdim=True)
    total = torch.zeros(attention.shape[1])
    for i in range(rows * columns):
        for j in range(rows * columns):
            d = math.hypot(i // columns - j // columns, i % columns - j % columns) * patch_size
            total += attention[:, :, i, j].mean(dim=0) * d
    return total / (rows * columns)


def distance_by_cdist(attention, grid, patch_size):
    weights = torch.nn.functional.normalize(attention[..., 1:, 1:], p=1, dim=-1)
    y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    centres = (torch.stack([y, x], dim=-1).reshape(-1, 2) + 0.5) * patch_size
    return torch.einsum("bhqk,qk->bhq", weights, torch.cdist(centres, centres)).mean(dim=-1).mean(dim=0)


def distance_by_einops(attention, grid, patch_size):
    _, columns = grid
    weights = attention[:, :, 1:, 1:]
    weights = weights / reduce(weights, "b h q k -> b h q 1", "sum")
    index = torch.arange(weights.shape[-1])
    row, column = torch.div(index, columns, rounding_mode="floor"), index % columns
    apart = ((row[:, None] - row[None]) ** 2 + (column[:, None] - column[None]) ** 2).sqrt() * patch_size
    return reduce(einsum(weights, apart, "b h q k, q k -> b h q"), "b h q -> h", "mean")


def distance_by_rows_removed(attention, grid, patch_size):
    """The sum of a row without CLS is 1 less what CLS has got."""
    kept = attention[:, :, 1:, 1:] / (1 - attention[:, :, 1:, :1])
    places = torch.tensor([(r, c) for r in range(grid[0]) for c in range(grid[1])], dtype=torch.float64)
    apart = torch.linalg.norm((places.unsqueeze(1) - places.unsqueeze(0)) * patch_size, dim=2)
    return torch.tensor([(kept[:, head] * apart).sum(dim=-1).mean() for head in range(kept.shape[1])])


def distance_by_logarithms(attention, grid, patch_size):
    weights = attention[:, :, 1:, 1:].log().softmax(dim=-1)  # the logarithm undoes the softmax
    y = torch.arange(grid[0]).repeat_interleave(grid[1]).float() * patch_size
    x = torch.arange(grid[1]).repeat(grid[0]).float() * patch_size
    apart = torch.hypot(y[:, None] - y, x[:, None] - x)
    return (weights @ apart.T).diagonal(dim1=-2, dim2=-1).mean(dim=(0, 2))


def distance_by_complex(attention, grid, patch_size):
    weights = attention[:, :, 1:, 1:].double()
    row, column = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    where = torch.complex(row.reshape(-1).double(), column.reshape(-1).double())
    apart = (where[:, None] - where[None]).abs()
    per_query = (weights * apart).sum(-1) / weights.sum(-1)
    return patch_size * per_query.transpose(0, 1).flatten(1).mean(1)


# -- attention_rollout


def rollout_from_the_first(attentions):
    mixed = [(a.mean(1) + torch.eye(a.size(-1))) / 2 for a in attentions]
    result = mixed[0]
    for one in mixed[1:]:
        result = torch.bmm(one, result)
    return result


def rollout_normalised(attentions):
    """Divided by their sums, as most code does it; the sums are 2."""
    result = torch.eye(attentions[0].shape[-1]).expand(len(attentions[0]), -1, -1)
    for attention in attentions:
        fused = attention.mean(dim=1) + torch.eye(attention.shape[-1])
        result = torch.matmul(fused / fused.sum(dim=-1, keepdim=True), result)
    return result


def rollout_by_multi_dot(attentions):
    images = []
    for image in range(attentions[0].shape[0]):
        matrices = [0.5 * a[image].mean(0) + 0.5 * torch.eye(a.shape[-1]) for a in reversed(attentions)]
        images.append(torch.linalg.multi_dot([*matrices, torch.eye(len(matrices[0]))]))  # it wants two or more
    return torch.stack(images)


def rollout_by_recursion(attentions):
    *before, last = attentions
    mixed = last.mean(dim=1).lerp(torch.eye(last.shape[-1]), 0.5)
    return mixed @ rollout_by_recursion(before) if before else mixed


def rollout_stacked(attentions):
    stacked = torch.stack(attentions).double().mean(dim=2)  # (layers, B, T, T)
    stacked = stacked / 2
    stacked.diagonal(dim1=-2, dim2=-1).add_(0.5)
    result = stacked[0]
    for layer in range(1, len(stacked)):
        result = torch.einsum("bij,bjk->bik", stacked[layer], result)
    return result


def rollout_from_the_last(attentions):
    """From the last layer down, each multiplied from the right."""
    result = torch.eye(attentions[0].shape[-1])[None]
    for attention in reversed(attentions):
        result = result @ (0.5 * attention.mean(dim=1) + 0.5 * torch.eye(attention.shape[-1]))
    return result


def rollout_by_tokens(attentions):
    """Unit vectors sent through the layers."""
    tokens = torch.eye(attentions[0].shape[-1]).repeat(attentions[0].shape[0], 1, 1)
    for attention in attentions:
        tokens = (tokens + (attention @ tokens[:, None]).mean(dim=1)) / 2
    return tokens


# -- receptive_field


def field_backwards(kernel_sizes, strides):
    field = 1
    for kernel, stride in zip(kernel_sizes[::-1], strides[::-1], strict=True):
        field = (field - 1) * stride + kernel
    return field


def field_by_products(kernel_sizes, strides):
    return 1 + sum((k - 1) * math.prod(strides[:i]) for i, k in enumerate(kernel_sizes))


def field_by_numpy(kernel_sizes, strides):
    steps = np.cumprod([1, *strides[:-1]])
    return int(1 + np.dot(np.array(kernel_sizes) - 1, steps))


def field_as_numpy(kernel_sizes, strides):
    return np.int64(field_by_products(kernel_sizes, strides))


def field_by_recursion(kernel_sizes, strides):
    if not kernel_sizes:
        return 1
    return (field_by_recursion(kernel_sizes[1:], strides[1:]) - 1) * strides[0] + kernel_sizes[0]


def field_by_interval(kernel_sizes, strides):
    """The first and the last number that are touched, layer by layer."""
    first = last = 0
    for kernel, stride in reversed([*zip(kernel_sizes, strides, strict=True)]):
        first, last = first * stride, last * stride + kernel - 1
    return last - first + 1


def field_by_marks(kernel_sizes, strides):
    """The set of pixels, in fact."""
    seen = {0}
    for kernel, stride in zip(reversed(kernel_sizes), reversed(strides), strict=True):
        seen = {place * stride + at for place in seen for at in (0, kernel - 1)}
    return max(seen) - min(seen) + 1


RIGHT_ANSWERS = {
    "principal_filters": [
        filters_by_eigh, filters_by_numpy, filters_by_pca, filters_by_quick_pca, filters_by_old_svd,
        filters_with_light_sign, filters_by_power,
    ],
    "mean_attention_distance": [
        distance_by_loops, distance_by_cdist, distance_by_einops, distance_by_rows_removed, distance_by_logarithms,
        distance_by_complex,
    ],
    "attention_rollout": [
        rollout_from_the_first, rollout_normalised, rollout_by_multi_dot, rollout_by_recursion, rollout_stacked,
        rollout_from_the_last, rollout_by_tokens,
    ],
    "receptive_field": [
        field_backwards, field_by_products, field_by_numpy, field_as_numpy, field_by_recursion, field_by_interval,
        field_by_marks,
    ],
}  # fmt: skip
