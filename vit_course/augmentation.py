"""Changed images, for training: every batch at once, on the device where the images are.

Each function draws from torch's own random numbers, image by image, so `torch.manual_seed` repeats it.
"""

from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor

Images = Shaped[Tensor, "batch channels height width"]
Targets = Float[Tensor, "batch classes"]


def to_floats(images: UInt8[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """Bytes 0 … 255 to floats -1 … 1, which is how ViTs have taken their images since the paper's own code."""
    return images.float() / 127.5 - 1


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


def random_crop_flip(images: Images, padding: int = 4) -> Images:
    """Cut each image out of a black frame at a place of its own, and mirror about half of them.

    The common augmentation for CIFAR since He et al. 2016 (*Deep Residual Learning*, section 4.2).

    Args:
        images: (B, C, H, W), any dtype.
        padding: width of the frame, in pixels: each image moves by up to this much in each direction.

    Returns:
        (B, C, H, W), the same dtype.
    """
    count, _, height, width = images.shape
    device = images.device
    padded = F.pad(images, (padding,) * 4)
    top = torch.randint(2 * padding + 1, (count, 1), device=device)
    left = torch.randint(2 * padding + 1, (count, 1), device=device)
    mirrored = torch.rand(count, 1, device=device) < 0.5
    columns = torch.arange(width, device=device)
    rows = top + torch.arange(height, device=device)  # (B, H)
    columns = left + torch.where(mirrored, columns.flip(0), columns)  # (B, W)
    image = torch.arange(count, device=device)
    # The channels, which are not indexed, come last: (B, H, W, C).
    return padded[image[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def one_hot(labels: Int64[Tensor, "batch"], num_classes: int, smoothing: float = 0.0) -> Targets:
    """Labels as probabilities; smoothing shares so much of each among all classes (Szegedy et al. 2016, section 7)."""
    return F.one_hot(labels, num_classes).float() * (1 - smoothing) + smoothing / num_classes


def mixup(
    images: Float[Tensor, "batch channels height width"],
    labels: Int64[Tensor, "batch"],
    lam: float,
    permutation: Int64[Tensor, "batch"],
    num_classes: int,
) -> tuple[Float[Tensor, "batch channels height width"], Targets]:
    """Blend each image with another, and their labels likewise (Zhang et al. 2018, *mixup*, section 2).

    Args:
        images: (B, C, H, W), floats.
        labels: (B,), class indices.
        lam: λ, the share of the image itself, 0 … 1.
        permutation: (B,), which image each is blended with.
        num_classes: the length of a target.

    Returns:
        λ·images + (1-λ)·images[permutation], and the targets (B, num_classes) mixed the same way.
    """
    targets = one_hot(labels, num_classes)
    return lam * images + (1 - lam) * images[permutation], lam * targets + (1 - lam) * targets[permutation]


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
