"""The growing model: a learner's own parts in the course's ViT, with the weights it has.

model = with_parts(load_checkpoint("cifar10"), patchify=mine("patchify"), PatchEmbedding=mine("PatchEmbedding"))
"""

import copy
import functools
from collections.abc import Callable, Sequence
from typing import Any

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vit_course import embeddings, patches
from vit_course.attention import Mask, MultiHeadSelfAttention
from vit_course.encoder import EncoderBlock
from vit_course.vit import ViT

_FUNCTIONS = {
    "patchify": patches.patchify,
    "prepend_cls_token": embeddings.prepend_cls_token,
    "pool": embeddings.pool,
}
NAMES = (
    *_FUNCTIONS,
    *("layer_norm", "scaled_dot_product_attention", "PatchEmbedding", "LearnedPositions", "MultiHeadSelfAttention"),
    *("FeedForward", "EncoderBlock", "Encoder", "ViT"),
)


def with_parts(model: ViT, **parts: Callable) -> nn.Module:
    """A copy of a ViT in which parts are replaced by others that do the same, or should.

    The weights stay. A part that does something else shows in what the model says.

    Args:
        model: a `ViT` that classifies, such as a checkpoint; it stays as it is.
        parts: functions and classes by the name of their exercise, those of `NAMES`. A part goes into the course's
            larger ones, and is not used where one of these is given too, which brings its own: a `patchify` goes into
            the patch embedding, but a `PatchEmbedding` cuts with its own; a `ViT` brings everything.

    Raises:
        ValueError: there is no such part, or it does not take the model's weights.
    """
    if unknown := [name for name in parts if name not in NAMES]:
        raise ValueError(f"there is no part {unknown[0]!r}; there are {', '.join(NAMES)}.")
    if "ViT" in parts:
        return _whole(parts["ViT"], model)
    assembled = copy.deepcopy(model)
    assembled.__class__ = _Assembled
    assembled.functions = {name: parts.get(name, ours) for name, ours in _FUNCTIONS.items()}
    projection = model.embedding.projection
    if "PatchEmbedding" in parts:
        size = model.embedding.patch_size
        channels, dim = projection.in_features // size**2, projection.out_features
        assembled.embedding = _filled(parts["PatchEmbedding"], (size, channels, dim), model.embedding)
    elif "patchify" in parts:
        assembled.embedding = _Embedding(parts["patchify"], assembled.embedding)
    if "LearnedPositions" in parts:
        if not isinstance(model.positions, embeddings.LearnedPositions):
            raise ValueError("this model has no learned positions, so it has no place for `LearnedPositions`.")
        assembled.positions = _filled(parts["LearnedPositions"], model.positions.positions.shape[1:], model.positions)
    blocks, norm = model.encoder.blocks, model.encoder.norm
    if "Encoder" in parts:
        assembled.encoder = _filled(parts["Encoder"], (len(blocks), *_block_sizes(blocks[0])), model.encoder)
        return assembled
    assembled.encoder.blocks = nn.ModuleList(_block(block, parts) for block in blocks)
    if "layer_norm" in parts:
        assembled.encoder.norm = _Norm(parts["layer_norm"], norm)
    return assembled


def _block_sizes(block: EncoderBlock) -> tuple[int, int, int, float]:
    """dim, heads, mlp_dim and dropout, as an `EncoderBlock` takes them."""
    dim, mlp_dim = block.mlp.fc1.in_features, block.mlp.fc1.out_features
    return dim, block.attention.heads, mlp_dim, block.mlp.dropout.p


def _block(ours: EncoderBlock, parts: dict[str, Callable]) -> nn.Module:
    """A copy of a block with the parts that are given."""
    dim, heads, mlp_dim, dropout = _block_sizes(ours)
    if "EncoderBlock" in parts:
        return _filled(parts["EncoderBlock"], (dim, heads, mlp_dim, dropout), ours)
    block = copy.deepcopy(ours)
    if "layer_norm" in parts:
        block.norm1, block.norm2 = (_Norm(parts["layer_norm"], norm) for norm in (block.norm1, block.norm2))
    if "FeedForward" in parts:
        block.mlp = _filled(parts["FeedForward"], (dim, mlp_dim, dropout), ours.mlp)
    if "MultiHeadSelfAttention" in parts:
        block.attention = _filled(parts["MultiHeadSelfAttention"], (dim, heads), ours.attention)
    elif "scaled_dot_product_attention" in parts:
        block.attention.__class__ = _Attention
        block.attention.attend = parts["scaled_dot_product_attention"]
    return block


def _whole(part: Callable, ours: ViT) -> nn.Module:
    """A `ViT` of another's, with the weights of ours."""
    if ours.pool != "cls" or not isinstance(ours.positions, embeddings.LearnedPositions):
        raise ValueError("a `ViT` of the exercise has learned positions and a CLS token; this model has not.")
    height, width = ours.image_size
    projection, size = ours.embedding.projection, ours.embedding.patch_size
    dim, heads, mlp_dim, _ = _block_sizes(ours.encoder.blocks[0])
    options = {
        "image_size": height if height == width else (height, width),
        "patch_size": size,
        "num_classes": ours.head.out_features,
        "dim": dim,
        "depth": len(ours.encoder.blocks),
        "heads": heads,
        "mlp_dim": mlp_dim,
        "in_channels": projection.in_features // size**2,
    }
    return _filled(functools.partial(part, **options), (), ours)


def _filled(part: Callable, arguments: Sequence[Any], ours: nn.Module) -> nn.Module:
    """The part, built, with the weights of ours."""
    built = part(*arguments)
    shapes, wanted = ({name: tuple(w.shape) for name, w in one.state_dict().items()} for one in (built, ours))
    if shapes != wanted:
        called = getattr(getattr(part, "func", part), "__name__", part)
        raise ValueError(f"{called} does not take the model's weights: they are {wanted}, and it has {shapes}.")
    built.load_state_dict(ours.state_dict())
    return built.to(next(ours.parameters())).train(ours.training)


class _Embedding(nn.Module):
    """The course's patch embedding, with another way to cut."""

    def __init__(self, cut: Callable, ours: nn.Module) -> None:
        super().__init__()
        self.cut, self.patch_size, self.projection = cut, ours.patch_size, ours.projection

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch patches dim"]:
        return self.projection(self.cut(images, self.patch_size))


class _Norm(nn.Module):
    """The weights of a LayerNorm, with another way to use them."""

    def __init__(self, function: Callable, ours: nn.LayerNorm) -> None:
        super().__init__()
        self.function, self.weight, self.bias, self.eps = function, ours.weight, ours.bias, ours.eps

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        return self.function(x, self.weight, self.bias, self.eps)


class _Attention(MultiHeadSelfAttention):
    """The course's, with another way from queries, keys and values to the heads' outputs."""

    def forward(self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None) -> Float[Tensor, "batch tokens dim"]:
        heads, _ = self.attend(*self.project(x), mask)
        return self.out(rearrange(heads, "b h t d -> b t (h d)"))

    def weights(
        self, x: Float[Tensor, "batch tokens dim"], mask: Mask = None
    ) -> Float[Tensor, "batch heads tokens tokens"]:
        return self.attend(*self.project(x), mask)[1]


class _Assembled(ViT):
    """`ViT`, with functions that may be a learner's."""

    def forward(
        self, images: Float[Tensor, "batch channels height width"], mask: Mask = None
    ) -> Float[Tensor, "batch classes"]:
        tokens = self.functions["prepend_cls_token"](self.embedding(images), self.cls_token)
        tokens = self.encoder(self.positions(tokens), mask)
        return self.head(self.functions["pool"](tokens, self.pool))
