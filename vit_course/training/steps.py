"""The pieces of training, as in lesson 08: what happens to a batch, to the learning rate, and to the weights."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from vit_course.data import ImageSet
from vit_course.images import to_floats

Images = Shaped[Tensor, "batch channels height width"]
Targets = Float[Tensor, "batch classes"]


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


def warmup_cosine(step: int, total_steps: int, warmup_steps: int, peak_lr: float) -> float:
    """The learning rate of a step: up in a straight line, then down on half a cosine (Loshchilov & Hutter 2017).

    Args:
        step: 0 … total_steps.
        total_steps: when it reaches 0.
        warmup_steps: when it reaches the peak; less than total_steps.
        peak_lr: the highest learning rate.

    Raises:
        ValueError: numbers outside these bounds.
    """
    if not (0 <= warmup_steps < total_steps and 0 <= step <= total_steps):
        raise ValueError(
            f"needs 0 ≤ warmup_steps < total_steps and 0 ≤ step ≤ total_steps; "
            f"got step={step}, total_steps={total_steps}, warmup_steps={warmup_steps}."
        )
    if step < warmup_steps:
        return peak_lr * (step + 1) / warmup_steps
    return peak_lr * 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps)))


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "batch channels height width"],
    targets: Int64[Tensor, "batch"] | Float[Tensor, "batch classes"],
    *,
    precision: torch.dtype = torch.float32,
    scaler: torch.amp.GradScaler | None = None,
    clip: float = 0.0,
) -> Float[Tensor, ""]:
    """One step of learning: forward, cross-entropy, backward, update.

    Args:
        images: (B, C, H, W).
        targets: (B,) class indices, or (B, classes) probabilities.
        precision: below float32, the forward pass runs under autocast.
        scaler: keeps small float16 gradients from becoming zero.
        clip: largest norm of the gradient; 0 is none.

    Returns:
        The loss before the step, detached.
    """
    model.train()
    with autocast(images.device, precision), _attention_for(images.device, precision):
        logits = model(images)
    loss = F.cross_entropy(logits.float(), targets)
    optimizer.zero_grad()
    (scaler.scale(loss) if scaler else loss).backward()
    if clip:
        if scaler:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    if scaler:
        scaler.step(optimizer)
        scaler.update()
    else:
        optimizer.step()
    return loss.detach()


def accuracy(logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, "batch"]) -> float:
    """The share of images whose highest score is the right class, 0 … 1; at least one image is needed."""
    return (logits.argmax(dim=1) == labels).sum().item() / len(labels)


@torch.no_grad()
def evaluate(
    model: nn.Module, images: ImageSet, precision: torch.dtype = torch.float32, batch_size: int = 500
) -> float:
    """The model's accuracy on images (0 … 1), without augmentation, on the device where the model is.

    The images are as large as the model takes them. The model is in eval mode meanwhile, and then again in its own.
    """
    device, logits = next(model.parameters()).device, []
    with eval_mode(model):
        for part in images.images.split(batch_size):
            with autocast(device, precision):
                logits.append(model(to_floats(part.to(device))).float())
    return accuracy(torch.cat(logits), images.labels.to(device))


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """The model is in eval mode meanwhile, and then each of its parts again in its own: they need not be alike."""
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


def autocast(device: torch.device, precision: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """A forward pass inside runs in a precision below float32; with float32 nothing changes."""
    if precision == torch.float32:  # older torch refuses Apple's MPS even where autocast is not enabled
        return contextlib.nullcontext()
    return torch.autocast(device.type, precision)


def _attention_for(device: torch.device, precision: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    """Which way PyTorch computes attention in a step of learning: the quickest."""
    if device.type == "cpu" and precision == torch.bfloat16:  # there the fused way is slow (benchmarks/ideas.md)
        return sdpa_kernel(SDPBackend.MATH)
    return contextlib.nullcontext()
