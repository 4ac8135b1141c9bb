"""A ViT run with something changed inside it: patches hidden, heads off, another temperature, weaker positions.

All is done from outside, by hooks on the layers that the course's contracts name (`positions`, `encoder.blocks`,
`attention.qkv`, `attention.out`, `encoder.norm`, `head`). So a learner's own ViT can be looked into as well as ours.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle

from vit_course.attention import scaled_dot_product_attention
from vit_course.inspection import logit_lens, mask_without


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
    model: nn.Module, images: Float[Tensor, "batch channels height width"], change: Intervention | None = None
) -> Seen:
    """Run a ViT, changed or as it is. Afterwards it is as it was.

    Args:
        model: a `ViT` that classifies, ours or a learner's, with the course's names for its parts.
        images: (B, C, H, W), as the model takes them.
        change: nothing where not given.

    Raises:
        ValueError: the model lacks a part, or the change names a patch or a head that is not there.
    """
    change = change or Intervention()
    blocks, heads = layers(model), heads_of(model)
    if not change.temperature > 0:
        raise ValueError(f"a temperature is above 0, got {change.temperature}.")
    if any(not (0 <= layer < len(blocks) and 0 <= head < heads) for layer, head in change.off):
        raise ValueError(f"there are {len(blocks)} layers of {heads} heads, counted from 0; got {list(change.off)}.")
    training = model.training
    try:
        model.eval()
        mask = _mask(model, images, change.masked)
        arguments = (images,) if mask is None else (images, mask)
        with _hooked(model, change, mask) as (streams, attentions):
            logits = functional_call(model, _positions(model, change.positions), arguments)
        depth = len(blocks)
        if len(attentions) < depth or len(streams) < depth + 1:
            raise ValueError("its blocks, or `qkv` in them, are not called as layers, so nothing can be seen there.")
        # A model may send one image after another through its encoder.
        streams = [torch.cat(streams[layer :: depth + 1]) for layer in range(depth + 1)]
        attentions = [torch.cat(attentions[layer::depth]) for layer in range(depth)]
        return Seen(logits, attentions, logit_lens(model, streams).transpose(0, 1))
    finally:
        model.train(training)


def layers(model: nn.Module) -> Sequence[nn.Module]:
    """The encoder's blocks.

    Raises:
        ValueError: the model has none, or another part is missing that is to be looked at.
    """
    for name in ("encoder.blocks.0.attention.qkv", "encoder.blocks.0.attention.out", "encoder.norm", "head"):
        try:
            model.get_submodule(name)
        except AttributeError as error:
            raise ValueError(f"this model has no `{name}`, so the explorer cannot look there.") from error
    return model.get_submodule("encoder.blocks")


def heads_of(model: nn.Module) -> int:
    """How many heads a layer has. No weight tells; the attention has to say it.

    Raises:
        ValueError: it does not.
    """
    attention = model.get_submodule("encoder.blocks.0.attention")
    for name in ("heads", "num_heads", "n_heads", "h"):
        if isinstance(found := getattr(attention, name, None), int) and found > 0:
            return found
    raise ValueError("the attention does not say how many heads it has: keep the number, as `self.heads = heads`.")


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


@contextlib.contextmanager
def _hooked(model: nn.Module, change: Intervention, mask: Tensor | None) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """The model, changed. Yields the tokens before the first layer and after each, and the attentions, once it ran."""
    streams: list[Tensor] = []
    attentions: list[Tensor] = []
    blocks, heads = layers(model), heads_of(model)

    def keep_tokens(_: nn.Module, arguments: tuple, after: Tensor | None = None) -> None:
        streams.append(arguments[0] if after is None else after)

    def cool_and_keep(_: nn.Module, __: tuple, projected: Tensor) -> Tensor:
        q, k, v = projected.chunk(3, dim=-1)
        q = q / change.temperature
        split = [rearrange(one, "b t (h d) -> b h t d", h=heads) for one in (q, k, v)]
        attentions.append(scaled_dot_product_attention(*split, mask)[1])
        return torch.cat([q, k, v], dim=-1)

    def silence(_: nn.Module, arguments: tuple, *, silent: list[int]) -> tuple[Tensor]:
        by_head = rearrange(arguments[0].clone(), "b t (h d) -> b t h d", h=heads)
        by_head[:, :, silent] = 0
        return (rearrange(by_head, "b t h d -> b t (h d)"),)

    with contextlib.ExitStack() as hooks:

        def hook(handle: RemovableHandle) -> None:
            hooks.callback(handle.remove)

        hook(blocks[0].register_forward_pre_hook(keep_tokens))
        for layer, block in enumerate(blocks):
            hook(block.attention.qkv.register_forward_hook(cool_and_keep))
            if silent := [head for at, head in change.off if at == layer]:
                hook(block.attention.out.register_forward_pre_hook(functools.partial(silence, silent=silent)))
            hook(block.register_forward_hook(keep_tokens))
        yield streams, attentions


def _positions(model: nn.Module, weight: float) -> dict[str, Tensor]:
    """The positions' table with the patches' rows weighed, by its name; empty where nothing is to be done."""
    if weight == 1:
        return {}
    positions = getattr(model.positions, "positions", None)
    if not isinstance(positions, Tensor):
        return {}  # a model without positions
    return {"positions.positions": torch.cat([positions[:, :1], weight * positions[:, 1:]], dim=1)}
