"""Images to learn from and images to test with, out of one set."""

import dataclasses
from pathlib import Path

import torch

from vit_course.data.listing import named, plain, splits
from vit_course.data.loading import ImageSet, load_images


def split_images(images: ImageSet, share: float = 0.2, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """Keep a share of each class back, to test with, drawn by a seed; and print what was done.

    Of a class with two images or more at least one is kept back and one stays; an only image stays to learn from.

    Args:
        images: all there are.
        share: to keep back, between 0 and 1.
        seed: another one keeps others back.

    Returns:
        The images to learn from, and those to test with. Both have all classes, in the same order.

    Raises:
        ValueError: a share that is none; one class, with nothing to tell it from; no class with two images.
    """
    if not 0 < share < 1:
        raise ValueError(f"the share to test with lies between 0 and 1, such as 0.2; got {share:g}.")
    counts = images.labels.bincount(minlength=len(images.classes)).tolist()
    if sum(count > 0 for count in counts) < 2:
        only = images.classes[counts.index(max(counts))]
        raise ValueError(f"{images.name} holds one class, {plain(only)}: add a folder of what it is to be told from.")
    if max(counts) < 2:
        raise ValueError(f"{images.name} has one image of each class, so none is left to test with. Add more images.")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    kept_back = torch.zeros(len(images), dtype=torch.bool)
    for label, count in enumerate(counts):
        if count > 1:
            kept_back[order[images.labels[order] == label][: min(count - 1, max(1, round(share * count)))]] = True
    learn = dataclasses.replace(images.some(~kept_back), split="train")
    test = dataclasses.replace(images.some(kept_back), split="test")
    alone = [name for name, count in zip(images.classes, counts, strict=True) if count == 1]
    said = (
        f"{plain(images.name)}: split by seed {seed}, {len(learn):,} images to learn from, {len(test):,} to test with."
    )
    print(said + (f" None to test with of {named(alone)}, of which there is one image." if alone else ""))
    return learn, test


def learn_and_test(
    folder: str | Path, *, size: int = 32, share: float = 0.2, seed: int = 0, limit: int | None = None
) -> tuple[ImageSet, ImageSet]:
    """An image folder of your own, to learn from and to test with.

    Where the folder has `train/` and `test/` (or `val/`), these; else its one level of class folders is split by
    `split_images`.

    Args:
        folder: with one folder for each class.
        size: the side to bring the images to, in pixels.
        share, seed: of the split.
        limit: at most this many images are loaded of a split.

    Raises:
        ValueError, FileNotFoundError, OSError: as `load_images` and `split_images`.
    """
    images = load_images(folder, size=size, limit=limit)
    if splits(Path(folder).expanduser()):
        return images, load_images(folder, "test", size=size, limit=limit)
    return split_images(images, share, seed)
