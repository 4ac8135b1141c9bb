"""Pictures prepared rightly and otherwise, and a photograph named with published weights (lesson 07)."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from vit_course.experiments.published import IMAGENET
from vit_course.images import to_floats


def prepared(images: UInt8[Tensor, "batch 3 height width"]) -> dict[str, Float[Tensor, "batch 3 height width"]]:
    """The same pictures, made ready for a ViT rightly (the first), and in ways that are often met instead (lesson 07).

    Args:
        images: bytes, colour, of even height and width.

    Returns:
        By name: float images of the size they had. Takes milliseconds.
    """
    right, shape = to_floats(images), images.shape
    mean, deviation = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    height, width = shape[-2:]
    middle = right[..., height // 8 : height - height // 8, width // 8 : width - width // 8]
    blurred = functional.interpolate(right, scale_factor=0.5, mode="area")
    return {
        "-1 … 1, as trained": right,
        "0 … 1": images.float() / 255,
        "0 … 255": images.float(),
        "ImageNet mean, std": (images.float() / 255 - mean) / deviation,
        "-1 … 1, twice": right / 0.5 - 1,
        "BGR for RGB": right.flip(1),
        "upside down": right.flip(2),
        "mirrored": right.flip(3),
        "middle, enlarged": functional.interpolate(middle, shape[-2:], mode="bilinear"),
        "shrunk, enlarged": functional.interpolate(blurred, shape[-2:], mode="bilinear"),
        "channels by reshape": right.permute(0, 2, 3, 1).reshape(shape),
    }


def named_by_torchvision(
    build: Callable[..., nn.Module],
    convert: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    photo: str | Path,
    *,
    heads: int = 12,
    weights: Any = None,
    top: int = 5,
) -> list[tuple[str, float]]:
    """What a photograph shows, by a learner's ViT with torchvision's weights (lesson 07).

    All sizes but the number of heads are read from the weights; they come through torchvision, which downloads them
    once (330 MB for ViT-B/16: a minute on a good line) and then has them. The photograph is made ready as they want it.

    Args:
        build: the class `ViT`, a learner's or the course's.
        convert: `convert_torchvision_weights`.
        photo: path of a picture file.
        heads: of the weights; no shape tells it.
        weights: an entry of a weights enumeration of torchvision; ViT-B/16 on ImageNet if not given.
        top: how many classes to name.

    Returns:
        The likeliest classes and their probabilities, the likeliest first.

    Raises:
        OSError: the weights cannot be downloaded, or the picture cannot be read.
    """
    from PIL import Image

    if weights is None:
        from torchvision.models import ViT_B_16_Weights

        weights = ViT_B_16_Weights.DEFAULT
    theirs = weights.get_state_dict(progress=False)
    names, patch_size = weights.meta["categories"], theirs["conv_proj.weight"].shape[-1]
    side = patch_size * math.isqrt(theirs["encoder.pos_embedding"].shape[1] - 1)
    depth = sum(name.endswith(".ln_1.weight") for name in theirs)
    mlp_dim, dim = theirs["encoder.layers.encoder_layer_0.mlp.0.weight"].shape
    model = build(
        image_size=side,
        patch_size=patch_size,
        num_classes=len(names),
        dim=dim,
        depth=depth,
        heads=heads,
        mlp_dim=mlp_dim,
    )
    model.load_state_dict(convert(theirs))
    with Image.open(photo) as opened, torch.no_grad():
        image = weights.transforms()(opened.convert("RGB"))[None]
        likely = model.eval()(image).softmax(dim=-1)[0].topk(top)
    return [(names[index], share) for share, index in zip(likely.values.tolist(), likely.indices.tolist(), strict=True)]
