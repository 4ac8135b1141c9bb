"""Changed images, beside the crops and mixup of `steps`: every batch at once, on the device where the images are.

Each function draws from torch's own random numbers, image by image, so `torch.manual_seed` repeats it.
"""

from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from vit_course.training.steps import Images, Targets, one_hot


@cache
def _resizing(length: int, size: int, device: torch.device) -> Float[Tensor, "size length"]:
    """Row i says how much each of `length` pixels counts in pixel i of `size`."""
    each = torch.eye(length)[None, None]
    return F.interpolate(each, size=(size, length), mode="bilinear", antialias=True)[0, 0].to(device)


def resize(
    images: Float[Tensor, "batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """`F.interpolate(images, size, mode="bilinear", antialias=True)`, on every device.

    Resizing is linear in rows and in columns, so it is a matrix on either side. Apple's MPS has had torch's own since
    2.7 only.

    Args:
        images: (B, C, H, W), floats.
        size: (height, width) to come, in pixels.
    """
    lengths = zip(images.shape[-2:], size, strict=True)
    down, across = (_resizing(before, after, images.device).to(images.dtype) for before, after in lengths)
    return down @ images @ across.mT


def cutmix(
    images: Images, labels: Int64[Tensor, "batch"], lam: float, permutation: Int64[Tensor, "batch"], num_classes: int
) -> tuple[Images, Targets]:
    """Paste a rectangle of another image, and give it its share of the label (Yun et al. 2019, *CutMix*, section 3.1).

    Args:
        images, labels, permutation, num_classes: as in `mixup`; here the images may be bytes.
        lam: λ, about the share of the image itself: the rectangle's sides are √(1-λ) of the image's. It may reach over
            the border; the targets count what is really covered.

    Returns:
        The images with one rectangle, at the same place in all, taken from images[permutation]; the targets
        (B, num_classes).
    """
    height, width = images.shape[-2:]
    side = (1 - lam) ** 0.5
    y, x = (int(torch.randint(size, ())) for size in (height, width))
    half_y, half_x = round(height * side / 2), round(width * side / 2)
    rows, columns = slice(max(y - half_y, 0), y + half_y), slice(max(x - half_x, 0), x + half_x)
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[permutation][:, :, rows, columns]
    pasted = mixed[0, 0, rows, columns].numel() / (height * width)
    targets = one_hot(labels, num_classes)
    return mixed, (1 - pasted) * targets + pasted * targets[permutation]


def policy(
    images: UInt8[Tensor, "batch channels height width"], name: str
) -> UInt8[Tensor, "batch channels height width"]:
    """torchvision's "randaugment" (two operations of magnitude 14 of 30) or "autoaugment" (its CIFAR-10 policy).

    Applied image by image (Cubuk et al. 2020 and 2019), and so much slower than what is above, above all on a GPU.

    Args:
        images: (B, C, H, W), bytes, with one or three channels.

    Returns:
        The same shape and dtype.

    Raises:
        ValueError: another name.
    """
    from torchvision.transforms import v2

    policies = {
        "randaugment": lambda: v2.RandAugment(num_ops=2, magnitude=14),
        "autoaugment": lambda: v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10),
    }
    if name not in policies:
        raise ValueError(f"there are the policies {', '.join(policies)}; got {name!r}.")
    change = policies[name]()
    return torch.stack([change(image) for image in images])
