"""Somebody else's large ViT on small pictures: what it takes to fine-tune it with our own training (lesson 09)."""

import copy
import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from vit_course.data import ImageSet
from vit_course.finetuning import replace_head
from vit_course.training import Recipe, Trained, train
from vit_course.training.augmentation import resize
from vit_course.vit import ViT

# Mean and deviation that torchvision's weights expect
# (https://pytorch.org/vision/stable/models/vision_transformer.html).
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@torch.no_grad()
def expect_our_images(model: ViT, mean: Sequence[float] = IMAGENET[0], deviation: Sequence[float] = IMAGENET[1]) -> ViT:
    """Let a ViT that was trained on (x - mean) / deviation, x in 0 … 1, take images in -1 … 1, in place.

    Both are straight lines, so the difference goes into the patch embedding: weights and bias are changed such that
    the tokens stay the same.

    Args:
        model: a `ViT`, of which the embedding's rows run `(p1 p2 c)`.
        mean, deviation: of each channel.

    Returns:
        The model.
    """
    layer = model.embedding.projection
    mean, deviation = (torch.tensor(values).to(layer.weight) for values in (mean, deviation))
    weight = layer.weight.unflatten(1, (-1, len(mean)))  # (D, P·P, C)
    layer.bias += (weight * (0.5 - mean) / deviation).sum(dim=(1, 2))
    layer.weight.copy_((weight / (2 * deviation)).flatten(1))
    return model


def enlarged(images: ImageSet, size: int, batch_size: int = 500) -> ImageSet:
    """The same images with `size` pixels a side, bilinear; bytes as before. 1,000 of 224 × 224 take 150 MB."""

    def one(part: Tensor) -> Tensor:
        return resize(part.float(), (size, size)).round().clamp(0, 255).to(torch.uint8)

    return dataclasses.replace(images, images=torch.cat([one(part) for part in images.images.split(batch_size)]))


def fine_tune_published(
    model: ViT,
    images: ImageSet,
    test: ImageSet,
    *,
    epochs: float = 1,
    batch_size: int = 64,
    lr: float = 3e-5,
    **options,
) -> Trained:
    """Fine-tune a published ViT, such as `vit.load_pretrained()`, on images of ours, enlarged to its size.

    Args:
        model: a `ViT` that expects ImageNet's mean and deviation. It stays as it is: a copy is trained.
        images, test: of any size; as many as fit into memory once enlarged.
        epochs, batch_size, lr: of AdamW; the rate is small since the model is good already.
        options: of `train`.

    Returns:
        The training, with its model and accuracy.
    """
    size = model.image_size[0]
    model = replace_head(expect_our_images(copy.deepcopy(model)), len(images.classes))
    recipe = Recipe(
        image_size=size,
        patch_size=model.embedding.patch_size,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        warmup=0.1,
        padding=size // 16,
    )
    return train(recipe, enlarged(images, size), enlarged(test, size), model=model, evaluations=1, **options)
