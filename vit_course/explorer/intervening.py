"""A ViT run with something changed inside it: patches hidden, heads off, another temperature, weaker positions.

All is done from outside, by what lesson 10 uses (`inspection.py`), so that a learner's own ViT can be looked into as
well as ours. What is needed is the contracts' names, and `positions` where these are to be weakened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from vit_course.inspection import (
    attention_layers,
    logit_lens,
    mask_without,
    recorded_attention,
    recorded_stream,
    with_temperature,
    without_heads,
)
from vit_course.training.steps import eval_mode


@dataclass(frozen=True)
class Intervention:
    """What is changed.

    Attributes:
        masked: patches to which no token may attend, counted from 0 in reading order; or (B, N), True for them, to
            hide others in each image.
        off: (layer, head) pairs, counted from 0, whose output is zeros.
        temperature: what the scores are divided by before the softmax; below 1 is sharper.
        positions: what the patches' positions are multiplied by. CLS keeps its own, which says what it is, not where.
    """

    masked: Sequence[int] | Bool[Tensor, "batch patches"] = ()
    off: Sequence[tuple[int, int]] = ()
    temperature: float = 1.0
    positions: float = 1.0


class Seen(NamedTuple):
    """What a model said, and what could be seen on the way.

    Attributes:
        logits: (B, classes).
        attentions: first layer first, (B, heads, 1+N, 1+N) each.
        lens: (B, 1+depth, classes): what the last norm and the head read from the tokens before the first layer and
            after each; the last are the logits.
    """

    logits: Float[Tensor, "batch classes"]
    attentions: list[Float[Tensor, "batch heads tokens tokens"]]
    lens: Float[Tensor, "batch 1+depth classes"]


@torch.no_grad()
def run(
    model: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    change: Intervention | None = None,
    heads: int | None = None,
) -> Seen:
    """Run a ViT, changed or as it is. Afterwards it is as it was.

    Args:
        model: a `ViT` that classifies, ours or a learner's, with the course's names for its parts.
        images: (B, C, H, W), as the model takes them.
        change: nothing where not given.
        heads: as in `inspection.attention_layers`.

    Raises:
        ValueError: the model lacks attention, blocks, the last norm or the head, or the change names a patch or a head
            that is not there.
        AttributeError: the model lacks the embedding or the positions that the change is about.
    """
    change = change or Intervention()
    with eval_mode(model):
        mask = _mask(model, images, change.masked)
        arguments = (images,) if mask is None else (images, mask)
        with (
            without_heads(model, *change.off, heads=heads),
            with_temperature(model, change.temperature, heads),
            recorded_attention(model, heads) as attentions,
            recorded_stream(model) as stream,
        ):
            logits = functional_call(model, _positions(model, change.positions), arguments)
        depth = len(attention_layers(model, heads))
        if len(attentions) < depth or len(stream) < depth + 1:
            raise ValueError("its blocks, or the attention in them, are not called as layers: nothing is seen there.")
        if len(stream[0]) < len(images):  # such a model sends one image after another through its encoder
            hidden = change.masked if isinstance(change.masked, Tensor) else [change.masked] * len(images)
            changes = [replace(change, masked=one[None] if isinstance(one, Tensor) else one) for one in hidden]
            return _joined([run(model, *one, heads) for one in zip(images[:, None], changes, strict=True)])
        return Seen(logits, attentions, logit_lens(model, stream).transpose(0, 1))


def _joined(each: list[Seen]) -> Seen:
    logits, attentions, lens = zip(*each, strict=True)
    return Seen(torch.cat(logits), [torch.cat(layer) for layer in zip(*attentions, strict=True)], torch.cat(lens))


def _mask(
    model: nn.Module, images: Tensor, masked: Sequence[int] | Bool[Tensor, "batch patches"]
) -> Bool[Tensor, "*batch 1+patches"] | None:
    """True where a key may be attended to: (1, 1+N), or (B, 1, 1, 1+N), each image its own; None hides none."""
    if not len(masked):
        return None
    patches = images[0].numel() // model.get_submodule("embedding.projection").in_features
    if isinstance(masked, Tensor):
        return mask_without(masked)
    if not all(0 <= patch < patches for patch in masked):
        raise ValueError(f"there are {patches} patches, counted from 0; got {sorted(masked)}.")
    mask = torch.ones(1, 1 + patches, dtype=torch.bool, device=images.device)
    mask[0, [1 + patch for patch in masked]] = False
    return mask


def _positions(model: nn.Module, weight: float) -> dict[str, Tensor]:
    """The positions' table with the patches' rows weighed, by its name; empty where nothing is to be done."""
    if weight == 1:
        return {}
    positions = getattr(model.positions, "positions", None)
    if not isinstance(positions, Tensor):
        return {}  # a model without positions
    return {"positions.positions": torch.cat([positions[:, :1], weight * positions[:, 1:]], dim=1)}
