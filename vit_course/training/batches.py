"""The batch of any step, ready to learn from. The recipe's seed and the number of the step decide all of it."""

import hashlib

import torch
from jaxtyping import Float
from torch import Tensor

from vit_course.data import ImageSet
from vit_course.images import to_floats
from vit_course.training import augmentation, chance
from vit_course.training.guards import memory_in_plain_words
from vit_course.training.recipes import Recipe
from vit_course.training.steps import mixup, one_hot, random_crop_flip


class Batches:
    """All images as bytes on the device, where they are augmented a batch at a time; so there are no worker processes.

    Args:
        recipe: says how.
        images: to learn from.
        device: where.
        rank, count: of the processes that share each batch, which one this is, and how many there are.

    Attributes:
        labels: of all images, on the device.
        per_epoch: batches until every image was used once, but for those of the last, incomplete one.
        fingerprint: tells one set of images from another.

    Raises:
        ValueError: the images are too few, or not as large as the recipe wants them.
        TrainingError: they do not fit into the device's memory.
    """

    def __init__(self, recipe: Recipe, images: ImageSet, device: torch.device, rank: int = 0, count: int = 1) -> None:
        if images.images.shape[-2:] != (recipe.image_size,) * 2:
            height, width = images.images.shape[-2:]
            raise ValueError(
                f"the recipe is for images of {recipe.image_size} × {recipe.image_size} pixels, these have "
                f"{height} × {width}: load_images(…, size={recipe.image_size}) brings a folder of images to it."
            )
        if len(images) < recipe.batch_size:
            raise ValueError(
                f"a batch takes {recipe.batch_size} images and there are {len(images)}: "
                f"take a smaller batch_size, or more images."
            )
        if recipe.batch_size % count:
            raise ValueError(f"a batch of {recipe.batch_size} cannot be shared equally by {count} processes.")
        self.recipe, self.device, self.rank, self.count = recipe, device, rank, count
        self.classes, self.per_epoch = len(images.classes), len(images) // recipe.batch_size
        self.fingerprint = _fingerprint(images)
        advice = "Load fewer of them (limit=…) or smaller ones (size=…)."
        with memory_in_plain_words(device, f"{len(images):,} images", advice):
            self.images, self.labels = images.images.to(device), images.labels.to(device)
        self._epoch, self._order = -1, torch.empty(0)

    def at(
        self, step: int, size: int
    ) -> tuple[Float[Tensor, "share channels size size"], Float[Tensor, "share classes"]]:
        """This process's share of the batch of a step, as images of so many pixels a side, and the targets."""
        recipe = self.recipe
        chosen = self._chosen(step)
        chance.seed(_seed(recipe.seed, step, "step"), self.device)
        images, labels = self.images[chosen], self.labels[chosen]
        if recipe.padding is not None:
            images = random_crop_flip(images, recipe.padding)
        if recipe.policy:
            images = augmentation.policy(images, recipe.policy)
        images = to_floats(images)
        if size != recipe.image_size:
            images = augmentation.resize(images, (size, size))
        images, targets = self._mixed(images, labels)
        if self.rank:  # from here on, dropout: not the same in all processes
            chance.seed(_seed(recipe.seed, step, f"process {self.rank}"), self.device)
        return images[self.rank :: self.count], targets[self.rank :: self.count]

    def _chosen(self, step: int) -> Tensor:
        """Which images: each epoch has an order of its own."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_seed(self.recipe.seed, epoch, "order"))
            self._epoch = epoch
            self._order = torch.randperm(len(self.labels), generator=generator).to(self.device)
        return self._order[place * self.recipe.batch_size :][: self.recipe.batch_size]

    def _mixed(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        recipe = self.recipe
        mix = mixup if recipe.mixup and (not recipe.cutmix or torch.rand(()) < 0.5) else augmentation.cutmix
        alpha = recipe.mixup if mix is mixup else recipe.cutmix
        if not alpha:
            return images, one_hot(labels, self.classes, recipe.label_smoothing)
        lam = torch.distributions.Beta(alpha, alpha).sample().item()
        partner = torch.randperm(len(labels), device=self.device)
        images, targets = mix(images, labels, lam, partner, self.classes)
        return images, targets * (1 - recipe.label_smoothing) + recipe.label_smoothing / self.classes


def _fingerprint(images: ImageSet) -> str:
    """A sum is enough: no one is trying to deceive."""
    digest = hashlib.sha256(images.labels.numpy().tobytes())
    digest.update(images.images.sum(dim=(1, 2, 3), dtype=torch.int64).numpy().tobytes())
    return digest.hexdigest()


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")
