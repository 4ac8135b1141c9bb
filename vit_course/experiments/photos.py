"""A trained ViT learns the classes of somebody's own photos, and a report says how well (lesson 09)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vit_course.data import ImageSet
from vit_course.experiments.finetuning import learn_from
from vit_course.images import to_floats
from vit_course.plots import confusion, named
from vit_course.plots.base import Drawn
from vit_course.plots.words import counted
from vit_course.profiles import profile
from vit_course.training.reporting import Report
from vit_course.vit import ViT


def wilson(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Where an accuracy may lie that was measured on few images: Wilson's interval, 95% with z = 1.96.

    Unlike ± two standard errors it stays within 0 and 1, and is not empty where all or none were right.

    Source: Wilson 1927, *Probable Inference, the Law of Succession, and Statistical Inference*.

    Raises:
        ValueError: there are no images.
    """
    if not 0 <= right <= count or not count:
        raise ValueError(f"needs 0 ≤ right ≤ count and at least one image, got {right} of {count}.")
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, eq=False)
class PhotoReport:
    """How well a model names images that it did not learn from.

    Attributes:
        model: it.
        test: the images.
        probabilities: (N, K), as the model gives them.
    """

    model: ViT
    test: ImageSet
    probabilities: Float[Tensor, "images classes"]

    @property
    def said(self) -> Int64[Tensor, " images"]:
        return self.probabilities.argmax(dim=1)

    @property
    def right(self) -> int:
        return int((self.said == self.test.labels).sum())

    @property
    def accuracy(self) -> float:
        return self.right / len(self.test)

    def counts(self) -> Int64[Tensor, "classes classes"]:
        """Of each class (row), how many images were called what (column)."""
        classes = len(self.test.classes)
        return (self.test.labels * classes + self.said).bincount(minlength=classes**2).reshape(classes, classes)

    def mistakes(self, most: int = 8) -> list[int]:
        """The places of wrongly named images, the one first of whose name the model is most certain."""
        certain = self.probabilities.max(dim=1).values
        order = certain.argsort(descending=True, stable=True).tolist()
        return [place for place in order if self.said[place] != self.test.labels[place]][:most]

    def confusion(self) -> Drawn:
        """The counts as a figure."""
        return confusion(self.counts(), self.test.classes)

    def certain_mistakes(self, most: int = 8) -> Drawn | str:
        """The mistakes of which the model is most certain, as a figure; in words where there are none."""
        places = self.mistakes(most)
        if not places:
            return f"No mistake among {len(self.test)} images."
        classes = self.test.classes
        said = [f"{classes[self.said[place]]}, {self.probabilities[place].max():.0%}" for place in places]
        return named(self.test.images[places], said, [classes[self.test.labels[place]] for place in places])

    def __str__(self) -> str:
        low, high = wilson(self.right, len(self.test))
        commonest = self.test.labels.bincount().max().item() / len(self.test)
        return (
            f"{self.right} of {counted(len(self.test), 'test image')} right: {self.accuracy:.0%}. With so few, the "
            f"accuracy may lie anywhere from {low:.0%} to {high:.0%} (95% interval by Wilson).\n"
            f"Who always names the commonest class is right {commonest:.0%} of the time."
        )


def learn_photos(images: ImageSet, test: ImageSet, *, steps: int | None = None, seed: int = 0) -> PhotoReport:
    """Fine-tune the shipped `tiny-imagenet` model on images of one's own, and report on those kept back.

    Args:
        images, test: of `learn_and_test`, 32 × 32 pixels, or as in `learn_from`.
        steps: of at most 32 images each; if not given 60 (6 in the profile "smoke", 300 on a GPU).
        seed: of order and crops.

    Returns:
        The report. It holds the model.

    Raises:
        ValueError: images that are not square, or that patches do not tile.
    """
    if steps is None:
        steps = {"smoke": 6, "cpu": 60, "gpu": 300}[profile().name]
    model = learn_from(
        "fine-tuned", images, test, steps=steps, batch_size=min(32, len(images)), seed=seed, report=Report()
    )
    return report_on(model, test)


@torch.no_grad()
def report_on(model: ViT, test: ImageSet, batch_size: int = 250) -> PhotoReport:
    """What a model makes of test images, on the device where it is."""
    device = next(model.parameters()).device
    model.eval()
    likely: Sequence[Tensor] = [
        model(to_floats(part.to(device))).softmax(dim=1).cpu() for part in test.images.split(batch_size)
    ]
    return PhotoReport(model, test, torch.cat(list(likely)))
