"""Training watched: loss curves of runs that are ill, and a small convolutional network to compare with (lesson 08)."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vit_course.data import ImageSet
from vit_course.images import to_floats
from vit_course.profiles import one_thread, profile
from vit_course.training import chance
from vit_course.training.steps import random_crop_flip, train_step, warmup_cosine
from vit_course.vit import ViT

Illness = Literal["none", "rate too high", "no warm-up", "no augmentation", "labels shuffled"]
ILLNESSES: tuple[Illness, ...] = ("rate too high", "no warm-up", "no augmentation", "labels shuffled")
_PEAK_LR, _FAR_TOO_HIGH = 6e-3, 0.1


class Losses(NamedTuple):
    """How a run went.

    Attributes:
        training: of every step, on the batch that was learned from.
        held_out: (step, loss on images that were not learned from).
    """

    training: list[float]
    held_out: list[tuple[int, float]]


def run_with(
    illness: Illness, images: ImageSet, held_out: ImageSet, *, steps: int | None = None, seed: int = 0
) -> Losses:
    """Train a small ViT on pictures of half the size, healthy or with one illness; all else is the same (lesson 08).

    Args:
        illness: "none" for the healthy run.
        images: to learn from; a few hundred, so that they come round often.
        held_out: others.
        steps: 240 if not given; 20 in the profile "smoke", which show nothing.
        seed: of weights, order and crops.

    Returns:
        Both losses. Some ten seconds on one CPU core.

    Raises:
        ValueError: there is no such illness.
    """
    if illness not in ("none", *ILLNESSES):
        raise ValueError(f"there are the illnesses {', '.join(ILLNESSES)}, and none; got {illness!r}.")
    if steps is None:
        steps = 20 if profile().name == "smoke" else 240
    peak = _FAR_TOO_HIGH if illness == "rate too high" else _PEAK_LR
    warmup = 0 if illness == "no warm-up" else steps // 5
    small, other = (F.avg_pool2d(one.images.float(), 2).round().byte() for one in (images, held_out))
    with one_thread(), chance.seeded(seed):
        labels = images.labels[torch.randperm(len(images))] if illness == "labels shuffled" else images.labels
        size, channels, classes = small.shape[-1], small.shape[1], len(images.classes)
        sizes = {"patch_size": 4, "dim": 64, "depth": 3, "heads": 4, "mlp_dim": 128}
        model = ViT(image_size=size, num_classes=classes, in_channels=channels, **sizes)
        optimizer = torch.optim.AdamW(model.parameters(), lr=peak)
        training, watched = [], []
        for step in range(steps):
            chosen = torch.randint(len(small), (64,))
            batch = small[chosen] if illness == "no augmentation" else random_crop_flip(small[chosen], 2)
            optimizer.param_groups[0]["lr"] = warmup_cosine(step, steps, warmup, peak)
            training.append(train_step(model, optimizer, to_floats(batch), labels[chosen]).item())
            if (step + 1) % max(1, steps // 20) == 0:
                watched.append((step + 1, _loss(model, other, held_out.labels)))
    return Losses(training, watched)


@torch.no_grad()
def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    return F.cross_entropy(model(to_floats(images)), labels).item()


class SmallCNN(nn.Module):
    """Six convolutions of 3 × 3 with batch norms, halving the sides twice, then the mean over all places.

    Args:
        num_classes: of the answer.
        width: channels at first; twice as many after each halving.
        in_channels: of the images.
    """

    def __init__(self, num_classes: int, width: int = 32, in_channels: int = 3) -> None:
        super().__init__()
        layers, before = [], in_channels
        for stage in range(3):
            for place in range(2):
                after = width * 2**stage
                stride = 2 if stage and not place else 1
                layers += [nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
                before = after
        self.features, self.head = nn.Sequential(*layers), nn.Linear(before, num_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        return self.head(self.features(images).mean(dim=(2, 3)))
