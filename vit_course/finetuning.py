"""A trained model on new images: other classes, and other sizes (lesson 09).

Source: Dosovitskiy et al. 2021, section 3.2, *Fine-tuning and higher resolution*.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vit_course.embeddings import FixedPositions, LearnedPositions
from vit_course.patches import check_sizes, height_and_width, num_patches
from vit_course.vit import ViT


def replace_head(model: ViT, num_classes: int) -> ViT:
    """Give a trained ViT new classes, in place: its head goes, and a D × K layer of zeros takes its place.

    All scores are then 0, so that nothing random disturbs the first step; the head's own gradient is not 0. An
    optimizer made before does not know the new layer.

    Args:
        model: a `ViT` that classifies.
        num_classes: K, the new classes.

    Returns:
        The model.

    Raises:
        ValueError: `num_classes` is below 1.
    """
    check_sizes(num_classes=num_classes)
    old = model.head.weight
    model.head = nn.Linear(model.head.in_features, num_classes, device=old.device, dtype=old.dtype)
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    return model


def freeze_backbone(model: ViT) -> ViT:
    """Let the head alone learn, in place: what is trained then is a linear probe of the features.

    Freezing is about gradients. Train or eval mode (dropout) is another matter, and stays as it was.

    Args:
        model: a `ViT` that classifies.

    Returns:
        The model, of which the head's parameters, and no others, require gradients.
    """
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    return model


def resize_positions(
    positions: Float[Tensor, "1 1+patches dim"], old_grid: tuple[int, int], new_grid: tuple[int, int]
) -> Float[Tensor, "1 1+new_patches dim"]:
    """Learned positions for a grid of another size, by interpolation in two dimensions (ViT paper, section 3.2).

    Bicubic, corners not aligned, no antialiasing. (torchvision's own helper aligns the corners.) The CLS token's place,
    in front, is kept as it is.

    Args:
        positions: (1, 1 + h·w, D).
        old_grid: (h, w), in patches.
        new_grid: (h', w'), in patches.

    Returns:
        (1, 1 + h'·w', D).

    Raises:
        ValueError: there are not 1 + h·w positions.
    """
    if positions.shape[1] != 1 + old_grid[0] * old_grid[1]:
        raise ValueError(
            f"a CLS token and a grid of {old_grid[0]} × {old_grid[1]} patches have "
            f"{1 + old_grid[0] * old_grid[1]} positions, got {positions.shape[1]}."
        )
    cls, patches = positions[:, :1], positions[:, 1:]
    grid = rearrange(patches, "one (h w) d -> one d h w", h=old_grid[0])
    grid = F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=False, antialias=False)
    return torch.cat([cls, rearrange(grid, "one d h w -> one (h w) d")], dim=1)


def resize_model(model: ViT, image_size: int | tuple[int, int]) -> ViT:
    """Make a ViT take images of another size, in place: the patches stay as large, so their number changes.

    Learned positions become a new Parameter, without `.grad`; an optimizer made before, or a hook, does not know it.

    Args:
        model: a `ViT` that classifies, with learned, fixed or no positions.
        image_size: in pixels, one number or (height, width).

    Returns:
        The model.

    Raises:
        ValueError: the patches do not tile such images, or a part of the model is none that can be resized.
    """
    size = height_and_width(image_size)
    if size == model.image_size:
        return model
    # Relative attention counts the steps of one grid. It is known by its table, since its file holds answers of lesson
    # 11, which the checks of lesson 09 must not load.
    bound = [part for part in model.modules() if isinstance(getattr(part, "index", None), Tensor)]
    if not isinstance(model.positions, LearnedPositions | FixedPositions | nn.Identity):
        bound.append(model.positions)
    if not hasattr(model.embedding, "patch_size"):
        bound.append(model.embedding)
    if bound:
        raise ValueError(
            f"resize_model does not know how to bring {type(bound[0]).__name__} to another size of images: it needs an "
            "embedding with a patch_size, learned, fixed or no positions, and attention that counts no steps. "
            "Build a model for the new size, and train it from scratch."
        )
    patch = model.embedding.patch_size
    num_patches(*size, patch)  # refuses what the patches do not tile
    old_grid, new_grid = ((height // patch, width // patch) for height, width in (model.image_size, size))
    if isinstance(model.positions, LearnedPositions):
        old = model.positions.positions
        new = resize_positions(old.detach().cpu(), old_grid, new_grid)  # Apple's MPS has had bicubic since torch 2.6
        model.positions.positions = nn.Parameter(new.to(old), requires_grad=old.requires_grad)
    elif isinstance(model.positions, FixedPositions):
        old = model.positions.positions
        new = FixedPositions(*new_grid, old.shape[-1], cls=model.classification).positions
        model.positions.positions = new.to(old)  # the buffer, not the module: that has a mode and may have hooks
    model.image_size = size
    return model
