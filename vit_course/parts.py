"""The growing model: a learner's own parts in the course's ViT, with the weights it has.

model = with_parts(load_checkpoint("cifar10"), patchify=mine("patchify"), PatchEmbedding=mine("PatchEmbedding"))
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vit_course import embeddings, patches
from vit_course.attention import Mask
from vit_course.vit import ViT

_FUNCTIONS = {
    "patchify": patches.patchify,
    "prepend_cls_token": embeddings.prepend_cls_token,
    "pool": embeddings.pool,
}
_CLASSES = ("PatchEmbedding", "LearnedPositions")


def with_parts(model: ViT, **parts: Callable) -> ViT:
    """A copy of a ViT in which parts are replaced by others that do the same, or should.

    The weights stay. A part that does something else shows in what the model says.

    Args:
        model: a `ViT` that classifies, such as a checkpoint; it stays as it is.
        parts: functions and classes by the name of their exercise: `patchify`, `PatchEmbedding`, `prepend_cls_token`,
            `pool`, `LearnedPositions`. A `patchify` goes into the course's patch embedding; given with a
            `PatchEmbedding`, it is not used, since that class cuts with its own.

    Raises:
        ValueError: there is no such part, or it does not take the model's weights.
    """
    if unknown := [name for name in parts if name not in (*_FUNCTIONS, *_CLASSES)]:
        raise ValueError(f"there is no part {unknown[0]!r}; there are {', '.join((*_FUNCTIONS, *_CLASSES))}.")
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
    return assembled


def _filled(part: Callable, arguments: Sequence[Any], ours: nn.Module) -> nn.Module:
    """The part, built, with the weights of ours."""
    built = part(*arguments)
    shapes, wanted = ({name: tuple(w.shape) for name, w in one.state_dict().items()} for one in (built, ours))
    if shapes != wanted:
        called = getattr(part, "__name__", part)
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


class _Assembled(ViT):
    """`ViT`, with functions that may be a learner's."""

    def forward(
        self, images: Float[Tensor, "batch channels height width"], mask: Mask = None
    ) -> Float[Tensor, "batch classes"]:
        tokens = self.functions["prepend_cls_token"](self.embedding(images), self.cls_token)
        tokens = self.encoder(self.positions(tokens), mask)
        return self.head(self.functions["pool"](tokens, self.pool))
