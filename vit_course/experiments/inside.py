"""What a trained ViT loses when parts of it are taken away, and what a small CNN sees first (lesson 10)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from vit_course.data import ImageSet
from vit_course.images import to_floats
from vit_course.inspection import attention_layers, logit_lens, mask_without, recorded_stream, without_heads
from vit_course.profiles import one_thread, profile
from vit_course.training import chance

BATCH = 250


@torch.no_grad()
def accuracy_without_heads(
    model: nn.Module, images: ImageSet, heads: int | None = None
) -> tuple[float, Float[Tensor, "layers heads"]]:
    """Switch attention heads off one by one, and count the pictures that are still named rightly (lesson 10).

    What comes before the layer in question is computed once for all of its heads.

    Args:
        model: a `ViT` in eval mode, the course's or a learner's.
        images: to be named.
        heads: as in `inspection.attention_layers`.

    Returns:
        The accuracy of the whole model, and that without each head, 0 … 1. For 18 heads as long as naming each picture
        twelve times: with 1,000 pictures some forty seconds on two CPU cores.
    """
    layers = attention_layers(model, heads)
    blocks = [*model.encoder.blocks.children()]
    whole, right = 0, torch.zeros(len(layers), layers[0][1])
    for part, labels in _batches(model, images):
        with recorded_stream(model) as stream:
            whole += _right(model(part), labels)
            states = [*stream]
        for layer, (_, count) in enumerate(layers):
            for head in range(count):
                x = states[layer]
                with without_heads(model, (layer, head), heads=heads):
                    for block in blocks[layer:]:
                        x = block(x)
                right[layer, head] += _right(logit_lens(model, [x])[0], labels)
    return whole / len(images), right / len(images)


@torch.no_grad()
def accuracy_with_hidden(model: nn.Module, images: ImageSet, hidden: Bool[Tensor, "images patches"]) -> float:
    """The share of pictures named rightly, 0 … 1, while the patches marked in `hidden` are heard by no token."""
    masks = hidden.split(BATCH)
    right = [
        _right(model(part, mask_without(mask.to(part.device))), labels)
        for (part, labels), mask in zip(_batches(model, images), masks, strict=True)
    ]
    return sum(right) / len(images)


@torch.no_grad()
def cost_of_each_patch(
    model: nn.Module, inputs: Float[Tensor, "batch channels height width"], patches: int
) -> tuple[Int64[Tensor, " batch"], Float[Tensor, "batch patches"]]:
    """Hide the patches one at a time: how much does the score of the class that was named fall (lesson 10)?

    Args:
        model: a `ViT` in eval mode.
        inputs: images as the model takes them.
        patches: N.

    Returns:
        The class that the whole picture gets, and for each patch its fall, in logits; below 0 where hiding it helps.
        As long as naming each picture N + 1 times.
    """
    logits = model(inputs)
    named = logits.argmax(dim=1)
    before = logits.gather(1, named[:, None])
    falls = []
    for patch in range(patches):
        hidden = torch.zeros(len(inputs), patches, dtype=torch.bool, device=inputs.device)
        hidden[:, patch] = True
        falls.append(before - model(inputs, mask_without(hidden)).gather(1, named[:, None]))
    return named, torch.cat(falls, dim=1)


def gradient_times_token(
    model: nn.Module, inputs: Float[Tensor, "batch channels height width"], named: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch patches"]:
    """How much the score of a class depends on each patch, to first order: its token times the gradient (lesson 10).

    If the score were linear in the tokens that enter the first block, this would be what each patch adds to it.

    Args:
        model: a `ViT` in eval mode.
        inputs: images as the model takes them.
        named: the class whose score is asked about, for each.
    """
    with torch.enable_grad(), recorded_stream(model) as stream:
        asked = inputs.detach().requires_grad_()  # so that tokens have gradients in a frozen model, too
        score = model(asked).gather(1, named[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, stream[0])
        return (gradient * stream[0]).sum(dim=-1)[:, 1:].detach()


def spearman(one: Float[Tensor, "*batch places"], other: Float[Tensor, "*batch places"]) -> Float[Tensor, "*batch"]:
    """How alike two orders are, from -1 to 1: the correlation of their ranks (Spearman 1904). Equals share a rank."""
    # How many are below, less how many are above: twice the rank, about its mean.
    a, b = ((values[..., None] - values[..., None, :]).sign().sum(dim=-1).double() for values in (one, other))
    return ((a * b).sum(dim=-1) / (a.norm(dim=-1) * b.norm(dim=-1))).float()


def learn_kernels(
    images: ImageSet, *, steps: int | None = None, streams: int = 1, seed: int = 0
) -> tuple[Float[Tensor, "kernels 3 7 7"], Float[Tensor, "kernels 3 7 7"], list[float]]:
    """Train a small CNN, and return the kernels of its first layer before and after (lesson 10).

    Three convolutions (7 × 7, then two of 3 × 3, with batch norm, ReLU and max pooling), the mean over all places, one
    linear layer. AdamW, 32 pictures a step.

    Args:
        images: to learn from, colour.
        steps: 200 if not given; 4 in the profile "smoke", which show nothing.
        streams: 2 splits the channels behind the first layer in two that never meet before the end, as AlexNet's did.
        seed: of the weights and of the pictures' order.

    Returns:
        32 kernels before, and after; and the loss at each step. Half a minute or so on one core of a CPU.
    """
    if steps is None:
        steps = 4 if profile().name == "smoke" else 200
    with one_thread(), chance.seeded(seed):
        layers: list[nn.Module] = []
        for before, after, size in ((3, 32, 7), (32, 64, 3), (64, 64, 3)):
            groups = 1 if before == 3 else streams
            layers += [nn.Conv2d(before, after, size, padding=size // 2, groups=groups, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(images.classes)))
        first = layers[0].weight.detach().clone()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
        losses = []
        for _ in range(steps):
            chosen = torch.randint(len(images), (32,))
            loss = F.cross_entropy(model(to_floats(images.images[chosen])), images.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return first, layers[0].weight.detach().clone(), losses


def _batches(model: nn.Module, images: ImageSet) -> Sequence[tuple[Tensor, Tensor]]:
    device = next(model.parameters()).device
    return [
        (to_floats(part.to(device)), labels.to(device))
        for part, labels in zip(images.images.split(BATCH), images.labels.split(BATCH), strict=True)
    ]


def _right(logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"]) -> int:
    return int((logits.argmax(dim=1) == labels).sum())
