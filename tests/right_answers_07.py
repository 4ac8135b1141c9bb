"""Right answers to lesson 07 in different styles."""

import re
from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from einops.layers.torch import Rearrange
from torch import nn

from vit_course.embeddings import LearnedPositions, PatchEmbedding, pool, prepend_cls_token
from vit_course.encoder import Encoder
from vit_course.vit import ViT

# -- ViT


class FromParts(nn.Module):
    """The course's parts, one after another."""

    def __init__(self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, in_channels=3):
        super().__init__()
        self.embedding = PatchEmbedding(patch_size, in_channels, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = LearnedPositions((image_size // patch_size) ** 2 + 1, dim)
        self.encoder = Encoder(depth, dim, heads, mlp_dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images, mask=None):
        tokens = self.positions(prepend_cls_token(self.embedding(images), self.cls_token))
        return self.head(pool(self.encoder(tokens, mask), "cls"))


class Embedding(nn.Module):
    """Patches by a convolution with the Linear's weights."""

    def __init__(self, patch, channels, dim):
        super().__init__()
        self.patch, self.channels = patch, channels
        self.projection = nn.Linear(patch * patch * channels, dim)

    def forward(self, images):
        shape = (-1, self.patch, self.patch, self.channels)
        kernel = self.projection.weight.reshape(shape).permute(0, 3, 1, 2)
        return F.conv2d(images, kernel, self.projection.bias, stride=self.patch).flatten(2).mT


class Attention(nn.Module):
    """A loop over heads, softmax written out."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.width = heads, dim // heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).split(dim, dim=-1)
        if mask is not None:
            mask = mask.expand(batch, self.heads, tokens, tokens)
        results = []
        for head in range(self.heads):
            part = slice(head * self.width, (head + 1) * self.width)
            scores = torch.einsum("bqd,bkd->bqk", q[..., part], k[..., part]) / self.width**0.5
            if mask is not None:
                scores = torch.where(mask[:, head], scores, torch.tensor(float("-inf"), dtype=x.dtype))
            weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
            results.append(weights @ v[..., part])
        return self.out(torch.cat(results, dim=-1))


class Block(nn.Module):
    def __init__(self, dim, heads, mlp_dim):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attention = Attention(dim, heads)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, mlp_dim), "fc2": nn.Linear(mlp_dim, dim)})

    def forward(self, x, mask):
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class Table(nn.Module):
    def __init__(self, tokens, dim):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, tokens, dim))


class Stack(nn.Module):
    def __init__(self, depth, dim, heads, mlp_dim):
        super().__init__()
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            self.blocks.append(Block(dim, heads, mlp_dim))
        self.norm = nn.LayerNorm(dim, eps=1e-6)


class AllByHand(nn.Module):
    """Nothing of the course's; every token is filled in, and the classifier acts on all before one is taken."""

    def __init__(self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, in_channels=3):
        super().__init__()
        side = image_size // patch_size
        self.register_buffer("grid", torch.tensor([side, side]))
        self.dim = dim
        self.embedding = Embedding(patch_size, in_channels, dim)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = Table(1 + side * side, dim)
        self.encoder = Stack(depth, dim, heads, mlp_dim)
        self.head = nn.Linear(dim, num_classes)
        self.to_scores = nn.Identity()

    def forward(self, images, mask=None):
        patches = self.embedding(images)
        tokens = patches.new_empty(len(patches), patches.shape[1] + 1, self.dim)
        tokens[:, 1:] = patches
        tokens[:, :1] = self.cls_token
        tokens = tokens + self.positions.positions
        for block in self.encoder.blocks:
            tokens = block(tokens, mask)
        return self.to_scores(self.head(self.encoder.norm(tokens))).select(1, 0)


class ByName(nn.Module):
    """Parts with einops' layers; positions and CLS token are added to a padded sequence."""

    def __init__(self, *, in_channels=3, **sizes):
        super().__init__()
        dim, patch = sizes["dim"], sizes["patch_size"]
        self.cut = Rearrange("b c (rows p1) (columns p2) -> b (rows columns) (p1 p2 c)", p1=patch, p2=patch)
        self.embedding = nn.ModuleDict({"projection": nn.Linear(patch**2 * in_channels, dim)})
        self.register_parameter("cls_token", nn.Parameter(torch.zeros((1, 1, dim))))
        count = divmod(sizes["image_size"] ** 2, patch**2)[0]
        self.positions = LearnedPositions(num_tokens=count + 1, dim=dim)
        self.encoder = Encoder(depth=sizes["depth"], dim=dim, heads=sizes["heads"], mlp_dim=sizes["mlp_dim"])
        self.head = nn.Linear(in_features=dim, out_features=sizes["num_classes"], bias=True)

    def forward(self, pictures, mask=None):
        patches = F.pad(self.embedding["projection"](self.cut(pictures)), (0, 0, 1, 0))
        first = F.pad(self.cls_token, (0, 0, 0, patches.shape[1] - 1))
        encoded = self.encoder(self.positions(patches + first), mask=mask)
        cls, *_ = encoded.unbind(dim=1)
        return F.linear(cls, self.head.weight, self.head.bias)


class InSteps(nn.Module):
    """Methods for the steps, and the tokens of one image after another."""

    def __init__(self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, in_channels=3):
        super().__init__()
        self.side, self.patch = image_size // patch_size, patch_size
        self.embedding = PatchEmbedding(patch_size, in_channels, dim)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.positions = LearnedPositions(1 + self.side * self.side, dim)
        self.encoder = Encoder(depth, dim, heads, mlp_dim, dropout=0.0)
        self.head = nn.Linear(dim, num_classes)
        nn.init.zeros_(self.head.weight)

    def tokens(self, images):
        patches = self.embedding(images)
        cls = repeat(self.cls_token, "1 1 d -> b 1 d", b=patches.size(0))
        return torch.concat((cls, patches), dim=-2) + self.positions.positions

    def forward(self, images, mask=None):
        tokens = self.tokens(images)
        if mask is None or mask.shape[0] == 1 or mask.ndim == 2:
            encoded = torch.cat([self.encoder(one[None], mask) for one in tokens])
        else:
            encoded = torch.cat([self.encoder(one[None], each[None]) for one, each in zip(tokens, mask, strict=True)])
        return torch.stack([self.head(one[0]) for one in encoded])


class Inherited(FromParts):
    """Keyword arguments handed on, an answer taken with einops."""

    def __init__(self, **sizes):
        super().__init__(**sizes)

    def forward(self, images, mask=None):
        tokens = self.encoder(self.positions(prepend_cls_token(self.embedding(images), self.cls_token)), mask)
        return rearrange(self.head(tokens[:, :1]), "b 1 classes -> b classes")


# -- count_parameters


def count_by_building(*, image_size, patch_size, num_classes, dim, depth, mlp_dim, in_channels=3):
    with torch.device("meta"):
        model = ViT(
            image_size=image_size,
            patch_size=patch_size,
            num_classes=num_classes,
            dim=dim,
            depth=depth,
            heads=1,
            mlp_dim=mlp_dim,
            in_channels=in_channels,
        )
    return sum(value.numel() for value in model.parameters())


def count_by_shapes(*, image_size, patch_size, num_classes, dim, depth, mlp_dim, in_channels=3):
    def linear(inputs, outputs):
        return inputs * outputs + outputs

    tokens = 1 + (image_size // patch_size) ** 2
    total = linear(patch_size * patch_size * in_channels, dim) + dim + tokens * dim
    for _ in range(depth):
        total += linear(dim, 3 * dim) + linear(dim, dim) + linear(dim, mlp_dim) + linear(mlp_dim, dim) + 4 * dim
    return total + 2 * dim + linear(dim, num_classes)


def count_by_one_formula(*, image_size, patch_size, num_classes, dim, depth, mlp_dim, in_channels=3):
    p, d, m = patch_size, dim, mlp_dim
    block = 4 * d * d + 2 * d * m + m + 9 * d
    return p * p * in_channels * d + (image_size // p) ** 2 * d + 5 * d + depth * block + (d + 1) * num_classes


def count_with_tensors(*, image_size, patch_size, num_classes, dim, depth, mlp_dim, in_channels=3):
    shapes = [(dim, patch_size**2 * in_channels), (dim,), (1, 1, dim), (1, 1 + (image_size // patch_size) ** 2, dim)]
    block = [(dim,)] * 4 + [(3 * dim, dim), (3 * dim,), (dim, dim), (dim,)]
    block += [(mlp_dim, dim), (mlp_dim,), (dim, mlp_dim), (dim,)]
    shapes += depth * block + [(dim,), (dim,), (num_classes, dim), (num_classes,)]
    return sum(torch.Size(shape).numel() for shape in shapes)


def count_with_layers(*, image_size, patch_size, num_classes, dim, depth, mlp_dim, in_channels=3):
    meta = {"device": "meta"}
    layers = [nn.Linear(patch_size**2 * in_channels, dim, **meta), nn.LayerNorm(dim, **meta)]
    layers += [nn.Linear(dim, num_classes, **meta), nn.Embedding(2 + (image_size // patch_size) ** 2, dim, **meta)]
    layers += [nn.TransformerEncoderLayer(dim, 1, mlp_dim, **meta) for _ in range(depth)]
    return sum(value.numel() for layer in layers for value in layer.parameters())


# -- convert_torchvision_weights

NAMES = {
    "ln_1": "norm1",
    "ln_2": "norm2",
    "self_attention.in_proj_": "attention.qkv.",
    "self_attention.out_proj": "attention.out",
    "mlp.0": "mlp.fc1",
    "mlp.3": "mlp.fc2",
}


def convert_by_replacing(state_dict):
    ours = {}
    for name, value in state_dict.items():
        if name == "conv_proj.weight":
            value = value.permute(0, 2, 3, 1).flatten(1)
        name = name.replace("conv_proj", "embedding.projection").replace("class_token", "cls_token")
        name = name.replace("encoder.pos_embedding", "positions.positions").replace("heads.head", "head")
        name = name.replace("encoder.ln", "encoder.norm").replace("encoder.layers.encoder_layer_", "encoder.blocks.")
        for theirs, mine in NAMES.items():
            name = name.replace(theirs, mine)
        ours[name] = value
    return ours


def convert_by_table(weights):
    once = {
        "class_token": "cls_token",
        "conv_proj.bias": "embedding.projection.bias",
        "encoder.pos_embedding": "positions.positions",
        "encoder.ln.weight": "encoder.norm.weight",
        "encoder.ln.bias": "encoder.norm.bias",
        "heads.head.weight": "head.weight",
        "heads.head.bias": "head.bias",
    }
    result = OrderedDict((ours, weights[theirs].clone()) for theirs, ours in once.items())
    kernel = weights["conv_proj.weight"]
    rows = [torch.stack([one[:, i, j] for i in range(one.shape[1]) for j in range(one.shape[2])]) for one in kernel]
    result["embedding.projection.weight"] = nn.Parameter(torch.stack(rows).reshape(len(kernel), -1))
    layer = 0
    while f"encoder.layers.encoder_layer_{layer}.ln_1.weight" in weights:
        for theirs, ours in NAMES.items():
            for kind in ("weight", "bias"):
                end, start = (kind, kind) if theirs.endswith("_") else (f".{kind}", f".{kind}")
                theirs_name = f"encoder.layers.encoder_layer_{layer}.{theirs}{end}"
                result[f"encoder.blocks.{layer}.{ours}{start}"] = weights[theirs_name]
        layer += 1
    return result


def convert_by_patterns(state_dict):
    def ours(name):
        if found := re.fullmatch(r"encoder\.layers\.encoder_layer_(\d+)\.(.+)", name):
            number, rest = found.groups()
            for theirs, mine in NAMES.items():
                if rest.startswith(theirs):
                    return f"encoder.blocks.{int(number)}.{mine}{rest[len(theirs) :]}"
        table = {"conv_proj": "embedding.projection", "encoder.ln": "encoder.norm", "heads.head": "head"}
        for theirs, mine in table.items():
            if name.startswith(theirs):
                return mine + name.removeprefix(theirs)
        return {"class_token": "cls_token", "encoder.pos_embedding": "positions.positions"}[name]

    def value(name):
        if name != "conv_proj.weight":
            return state_dict[name].detach()
        return rearrange(state_dict[name], "d c rows columns -> d (rows columns c)")

    return {ours(name): value(name) for name in reversed(list(state_dict))}


def convert_by_order(state_dict):
    """Both models hold their weights in the same order within a block."""
    depth = sum(name.endswith("ln_1.weight") for name in state_dict)
    with torch.device("meta"):
        names = list(
            ViT(image_size=1, patch_size=1, num_classes=1, dim=1, depth=depth, heads=1, mlp_dim=1).state_dict()
        )
    blocks = iter(name for name in names if name.startswith("encoder.blocks."))
    result = {next(blocks): value for name, value in state_dict.items() if ".encoder_layer_" in name}
    kernel = state_dict["conv_proj.weight"]
    result["embedding.projection.weight"] = torch.cat([one.movedim(0, -1).reshape(1, -1) for one in kernel])
    result["embedding.projection.bias"] = state_dict["conv_proj.bias"]
    result["cls_token"], result["positions.positions"] = state_dict["class_token"], state_dict["encoder.pos_embedding"]
    for theirs, ours in (("encoder.ln", "encoder.norm"), ("heads.head", "head")):
        result |= {f"{ours}.{kind}": state_dict[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    return result


RIGHT_ANSWERS = {
    "ViT": [FromParts, AllByHand, ByName, InSteps, Inherited],
    "count_parameters": [
        count_by_building,
        count_by_shapes,
        count_by_one_formula,
        count_with_tensors,
        count_with_layers,
    ],
    "convert_torchvision_weights": [convert_by_replacing, convert_by_table, convert_by_patterns, convert_by_order],
}
