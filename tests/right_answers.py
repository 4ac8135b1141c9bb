"""Right answers in different styles: every one of them has to pass."""

import functools
import math

import einops
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from einops.layers.torch import Rearrange
from right_answers_04 import RIGHT_ANSWERS as LESSON_04
from right_answers_05 import RIGHT_ANSWERS as LESSON_05
from right_answers_06 import RIGHT_ANSWERS as LESSON_06
from right_answers_07 import RIGHT_ANSWERS as LESSON_07
from right_answers_08 import RIGHT_ANSWERS as LESSON_08
from right_answers_09 import RIGHT_ANSWERS as LESSON_09
from right_answers_10 import RIGHT_ANSWERS as LESSON_10
from right_answers_11 import RIGHT_ANSWERS as LESSON_11
from torch import nn

# -- lesson 00


def channels_by_loop(images):
    out = images.new_empty(images.shape[0], images.shape[3], images.shape[1], images.shape[2])
    for channel in range(images.shape[3]):
        out[:, channel] = images[..., channel]
    return out


def pool_by_loop(images):
    rows = []
    for i in range(0, images.shape[2], 2):
        row = [images[:, :, i : i + 2, j : j + 2].mean(dim=(2, 3)) for j in range(0, images.shape[3], 2)]
        rows.append(torch.stack(row, dim=-1))
    return torch.stack(rows, dim=-2)


def pool_by_conv(images):
    channels = images.shape[1]
    kernel = torch.full((channels, 1, 2, 2), 0.25, dtype=images.dtype)
    return F.conv2d(images, kernel, stride=2, groups=channels)


# -- lesson 01


def count_by_loop(height, width, patch_size):
    if height % patch_size != 0 or width % patch_size != 0:
        raise ValueError("does not fit")
    count = 0
    for _ in range(0, height, patch_size):
        for _ in range(0, width, patch_size):
            count += 1
    return count


def count_by_divmod(h, w, p):
    (rows, a), (columns, b) = divmod(h, p), divmod(w, p)
    if a or b:
        raise ValueError(f"{h} x {w} is not made of {p} x {p}")
    return rows * columns


class DoesNotFit(ValueError):
    pass


def count_with_own_error(h, w, p):
    if math.gcd(h, p) != p or math.gcd(w, p) != p:
        raise DoesNotFit
    return h * w // p**2


def cut_by_reshape(images, patch_size):
    b, c, h, w = images.shape
    x = images.reshape(b, c, h // patch_size, patch_size, w // patch_size, patch_size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch_size * patch_size * c)


def cut_by_tensor_unfold(images, patch_size):
    x = images.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)  # (B, C, h, w, P, P)
    return x.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def cut_by_f_unfold(images, patch_size):
    x = F.unfold(images, patch_size, stride=patch_size)  # (B, C·P·P, N), channel first
    return rearrange(x, "b (c p) n -> b n (p c)", c=images.shape[1])


def cut_by_loops(images, patch_size):
    patches = []
    for top in range(0, images.shape[2], patch_size):
        for left in range(0, images.shape[3], patch_size):
            patch = images[:, :, top : top + patch_size, left : left + patch_size]
            patches.append(patch.permute(0, 2, 3, 1).reshape(len(images), -1))
    return torch.stack(patches, dim=1)


def cut_by_conv(images, patch_size):
    c = images.shape[1]
    values = patch_size * patch_size * c
    kernel = torch.eye(values, dtype=images.dtype).reshape(values, patch_size, patch_size, c).permute(0, 3, 1, 2)
    return F.conv2d(images, kernel, stride=patch_size).flatten(2).transpose(1, 2)


def cut_by_split(images, patch_size):
    rows = images.split(patch_size, dim=2)
    cells = [cell for row in rows for cell in row.split(patch_size, dim=3)]
    return torch.stack([cell.movedim(1, -1).flatten(1) for cell in cells], 1)


def cut_by_filling(images, patch_size):
    b, c, h, w = images.shape
    rows, columns = h // patch_size, w // patch_size
    out = torch.zeros(b, rows * columns, patch_size * patch_size * c, dtype=images.dtype, device=images.device)
    for i in range(rows):
        for j in range(columns):
            block = images[:, :, i * patch_size : (i + 1) * patch_size, j * patch_size : (j + 1) * patch_size]
            out[:, i * columns + j, :] = torch.reshape(torch.permute(block, (0, 2, 3, 1)), (b, -1))
    return out


def cut_by_vmap(images, patch_size):
    return torch.vmap(lambda x: rearrange(x, "c (h p) (w q) -> (h w) (p q c)", p=patch_size, q=patch_size))(images)


def join_by_reshape(patches, patch_size, height, width):
    h, w = height // patch_size, width // patch_size
    c = patches.shape[2] // patch_size**2
    x = patches.reshape(len(patches), h, w, patch_size, patch_size, c)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), c, height, width)


def join_by_fold(patches, patch_size, height, width):
    x = rearrange(patches, "b n (p c) -> b (c p) n", p=patch_size * patch_size)
    return F.fold(x, (height, width), patch_size, stride=patch_size)


def join_by_loops(patches, patch_size, height, width):
    channels = patches.shape[-1] // (patch_size * patch_size)
    out = patches.new_zeros(len(patches), channels, height, width)
    columns = width // patch_size
    for n in range(patches.shape[1]):
        top, left = n // columns * patch_size, n % columns * patch_size
        block = patches[:, n].unflatten(1, (patch_size, patch_size, channels)).permute(0, 3, 1, 2)
        out[:, :, top : top + patch_size, left : left + patch_size] = block
    return out


def join_by_cat(patches, patch_size, height, width):
    columns = width // patch_size
    blocks = [p.reshape(len(p), patch_size, patch_size, -1).permute(0, 3, 1, 2) for p in patches.unbind(1)]
    rows = [torch.cat(blocks[i : i + columns], dim=3) for i in range(0, len(blocks), columns)]
    return torch.cat(rows, dim=2)


# -- lesson 02


class WithEinops(nn.Module):
    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.cut = Rearrange("b c (h p1) (w p2) -> b (h w) (p1 p2 c)", p1=patch_size, p2=patch_size)
        self.projection = nn.Linear(patch_size * patch_size * in_channels, dim)

    def forward(self, images):
        return self.projection(self.cut(images))


class WithReshape(nn.Module):
    def __init__(self, size, channels, width):
        super().__init__()
        self.p = size
        self.projection = nn.Linear(size * size * channels, width)

    def forward(self, x):
        return self.projection(cut_by_reshape(x, self.p))


class WithConvolution(nn.Module):
    """The Linear holds the weights; the work is done by a convolution."""

    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.patch_size, self.in_channels = patch_size, in_channels
        self.projection = nn.Linear(patch_size**2 * in_channels, dim)

    def forward(self, images):
        p, c = self.patch_size, self.in_channels
        kernel = self.projection.weight.reshape(-1, p, p, c).permute(0, 3, 1, 2)
        return F.conv2d(images, kernel, self.projection.bias, stride=p).flatten(2).mT


class WithUnfold(nn.Module):
    """Also: a buffer and a submodule without parameters, and parts kept in a Sequential-like way."""

    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.register_buffer("unused", torch.arange(3))
        self.unfold = nn.Unfold(patch_size, stride=patch_size)
        self.in_channels = in_channels
        self.projection = nn.Linear(in_channels * patch_size * patch_size, dim)

    def forward(self, images):
        x = self.unfold(images)
        x = x.reshape(len(images), self.in_channels, -1, x.shape[-1]).permute(0, 3, 2, 1).flatten(2)
        return self.projection(x)


class WithLoop(nn.Module):
    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Linear(in_features=patch_size * patch_size * in_channels, out_features=dim)

    def forward(self, images):
        tokens = [self.projection(patch) for patch in cut_by_loops(images, self.patch_size).unbind(1)]
        return torch.stack(tokens, 1)


class WithFunctional(nn.Module):
    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.patch_size, self.projection = patch_size, nn.Linear(patch_size * patch_size * in_channels, dim)

    def forward(self, images):
        patches = cut_by_tensor_unfold(images, self.patch_size)
        return torch.einsum("bnv,dv->bnd", patches, self.projection.weight) + self.projection.bias


def conv_by_data(projection, patch_size, in_channels):
    conv = nn.Conv2d(in_channels, projection.out_features, patch_size, patch_size)
    conv.weight.data = projection.weight.data.view(-1, patch_size, patch_size, in_channels).permute(0, 3, 1, 2).clone()
    conv.bias.data = projection.bias.data.clone()
    return conv


def conv_by_parameter(projection, patch_size, in_channels):
    conv = nn.Conv2d(in_channels, len(projection.bias), (patch_size, patch_size), stride=(patch_size, patch_size))
    weight = rearrange(projection.weight, "d (a b c) -> d c a b", a=patch_size, b=patch_size)
    conv.weight, conv.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(projection.bias.detach().clone())
    return conv


def conv_by_state(projection, patch_size, in_channels):
    conv = nn.Conv2d(in_channels, projection.out_features, patch_size, stride=patch_size, padding="valid")
    shape = (patch_size, patch_size, in_channels)
    weight = projection.weight.unflatten(1, shape).movedim(-1, 1)
    conv.load_state_dict({"weight": weight, "bias": projection.bias})
    return conv


@torch.no_grad()
def conv_by_loop(projection, patch_size, in_channels):
    conv = nn.Conv2d(in_channels, projection.out_features, patch_size, stride=patch_size)
    for row in range(patch_size):
        for column in range(patch_size):
            for channel in range(in_channels):
                index = (row * patch_size + column) * in_channels + channel
                conv.weight[:, channel, row, column] = projection.weight[:, index]
    conv.bias.copy_(projection.bias)
    return conv


# -- lesson 03


def cls_by_loop(tokens, cls_token):
    return torch.stack([torch.cat([cls_token[0], sequence]) for sequence in tokens])


def cls_by_filling(tokens, cls_token):
    out = tokens.new_empty(tokens.shape[0], tokens.shape[1] + 1, tokens.shape[2])
    out[:, :1] = cls_token
    out[:, 1:] = tokens
    return out


def cls_by_padding(tokens, cls_token):
    out = F.pad(tokens, (0, 0, 1, 0))
    first = F.pad(cls_token, (0, 0, 0, tokens.shape[1]))
    return out + first


def pool_with_if(tokens, mode):
    if mode == "cls":
        return tokens[:, 0, :]
    elif mode == "mean":
        return tokens[:, 1:, :].mean(1)
    raise KeyError(mode)


def pool_by_sum(tokens, mode):
    return tokens.select(1, 0) if mode == "cls" else tokens[:, 1:].sum(1) / (tokens.size(1) - 1)


def pool_by_weights(tokens, mode):
    weights = torch.zeros(tokens.shape[1], dtype=tokens.dtype)
    if mode == "cls":
        weights[0] = 1
    else:
        weights[1:] = 1 / (len(weights) - 1)
    return torch.einsum("btd,t->bd", tokens, weights)


def pool_by_split(tokens, mode):
    cls, patches = tokens.tensor_split([1], dim=1)
    return {"cls": lambda: cls.squeeze(1), "mean": lambda: reduce(patches, "b n d -> b d", "mean")}[mode]()


RIGHT_ANSWERS = {
    "to_channels_first": [
        lambda images: images.permute(0, 3, 1, 2),
        lambda images: rearrange(images, "b h w c -> b c h w").contiguous(),
        lambda images: images.movedim(-1, 1),
        lambda images: images.transpose(2, 3).transpose(1, 2),
        lambda images: torch.stack(images.unbind(-1), dim=1),
        lambda images: torch.einsum("bhwc->bchw", images),
        channels_by_loop,
        Rearrange("b h w c -> b c h w"),
    ],
    "average_pool_2x2": [
        lambda images: F.avg_pool2d(images, 2),
        nn.AvgPool2d(2),
        lambda images: reduce(images, "b c (h a) (w b2) -> b c h w", "mean", a=2, b2=2),
        lambda x: x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean(dim=(3, 5)),
        lambda x: (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4,
        lambda x: F.interpolate(x, scale_factor=0.5, mode="area"),
        lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)),
        pool_by_loop,
        pool_by_conv,
    ],
    "num_patches": [
        count_by_loop,
        count_by_divmod,
        count_with_own_error,
        lambda h, w, p: len(range(0, h, p)) * len(range(0, w, p)) if not (h % p or w % p) else int("sizes do not fit"),
        lambda h, w, p: (
            int(torch.empty(h, w).unflatten(0, (h // p, p)).unflatten(2, (w // p, p))[:, 0, :, 0].numel())
            if h % p == w % p == 0
            else count_by_divmod(h, w, p)
        ),
    ],
    "patchify": [
        cut_by_reshape,
        cut_by_tensor_unfold,
        cut_by_f_unfold,
        cut_by_loops,
        cut_by_conv,
        cut_by_split,
        cut_by_filling,
        cut_by_vmap,
        lambda x, p: einops.rearrange(x, "b c (h i) (w j) -> b (h w) (i j c)", i=p, j=p),
        functools.partial(cut_by_reshape),
        lambda *args: cut_by_loops(*args).clone(),
    ],
    "unpatchify": [
        join_by_reshape,
        join_by_fold,
        join_by_loops,
        join_by_cat,
        lambda x, p, h, w: rearrange(x, "b (r s) (i j c) -> b c (r i) (s j)", s=w // p, i=p, j=p),
    ],
    "corrected_pattern": [
        lambda: "b c (x patch_x) (y patch_y) -> b (x y) (patch_x patch_y c)",
        lambda: "b c (h patch_x) (w patch_y) -> b (h w) (patch_x patch_y c)",
        lambda: "batch chan (rows patch_x) (cols patch_y)->batch (rows cols) (patch_x patch_y chan)",
        lambda: " ... c (i patch_x) (j patch_y) -> ... (i j) (patch_x patch_y c) ",
    ],
    "PatchEmbedding": [WithEinops, WithReshape, WithConvolution, WithUnfold, WithLoop, WithFunctional],
    "linear_to_conv": [conv_by_data, conv_by_parameter, conv_by_state, conv_by_loop],
    "prepend_cls_token": [
        lambda tokens, cls: torch.cat((cls.repeat(tokens.shape[0], 1, 1), tokens), 1),
        lambda tokens, cls: torch.concat([einops.repeat(cls, "1 1 d -> b 1 d", b=len(tokens)), tokens], dim=-2),
        lambda tokens, cls: torch.cat([cls + tokens.new_zeros(len(tokens), 1, 1), tokens], dim=1),
        lambda tokens, cls: torch.hstack([cls.expand_as(tokens[:, :1]), tokens]),
        lambda tokens, cls: einops.pack([cls.expand(len(tokens), 1, -1), tokens], "b * d")[0],
        cls_by_loop,
        cls_by_filling,
        cls_by_padding,
    ],
    "pool": [pool_with_if, pool_by_sum, pool_by_weights, pool_by_split],
    **LESSON_04,
    **LESSON_05,
    **LESSON_06,
    **LESSON_07,
    **LESSON_08,
    **LESSON_09,
    **LESSON_10,
    **LESSON_11,
}
