"""Looking inside a trained ViT, and taking parts of it away (lesson 10).

Analyses take tensors: weights, or what `recorded_attention` and `recorded_stream` pick up while a model runs. The
interventions change a model for as long as a `with` lasts. All of it works on the course's `ViT` and on a learner's:
what is needed is the names of the exercises, `qkv` and `out` in attention, `encoder.blocks`, `encoder.norm`, `head`.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vit_course.attention import Mask, MultiHeadSelfAttention, scaled_dot_product_attention
from vit_course.embeddings import pool

# -- what learners write


def principal_filters(
    weight: Float[Tensor, "dim values"], patch_size: int, k: int
) -> Float[Tensor, "k patch_size patch_size channels"]:
    """The directions in which the filters of a patch embedding differ most, as little pictures (ViT paper, figure 7).

    Args:
        weight: (D, P·P·C), a filter a row, its numbers in the order (p1 p2 c).
        patch_size: P.
        k: how many.

    Returns:
        (k, P, P, C): components of length 1, by decreasing variance. A component's sign means nothing.

    Raises:
        ValueError: filters of this length are no patches of that size, or there are fewer than `k` components.
    """
    if weight.shape[1] % patch_size**2:
        raise ValueError(f"filters of {weight.shape[1]} numbers are no patches of {patch_size} × {patch_size} pixels.")
    most = min(len(weight) - 1, weight.shape[1])
    if not 1 <= k <= most:
        raise ValueError(f"{len(weight)} filters of {weight.shape[1]} numbers have 1 to {most} components, got k={k}.")
    centred = weight - weight.mean(dim=0)  # over the filters: what they have in common is no difference
    components = torch.linalg.svd(centred, full_matrices=False).Vh[:k]
    return rearrange(components, "k (p1 p2 c) -> k p1 p2 c", p1=patch_size, p2=patch_size)


def mean_attention_distance(
    attention: Float[Tensor, "batch heads 1+patches 1+patches"], grid: tuple[int, int], patch_size: int
) -> Float[Tensor, " heads"]:
    """How far each head looks: pixels from patch to patch, weighted by attention (ViT paper, appendix D.7).

    Args:
        attention: weights of one layer, CLS first; each row adds up to 1.
        grid: rows and columns of patches.
        patch_size: P, in pixels.

    Returns:
        (heads,), in pixels: the mean over all images and all patches that ask. What CLS asks and what is heard of it
        is left out, since CLS has no place; the weights that are left are brought to a sum of 1. NaN for a head in
        which a patch attends to CLS alone, since nothing is left.

    Raises:
        ValueError: the grid has not as many patches.
    """
    rows, columns = grid
    if attention.shape[-1] != 1 + rows * columns:
        raise ValueError(f"{rows} × {columns} patches and CLS are {1 + rows * columns}, got {attention.shape[-1]}.")
    weights = attention[:, :, 1:, 1:]
    weights = weights / weights.sum(dim=-1, keepdim=True)
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).to(weights)
    apart = patch_size * (places[:, None] - places).norm(dim=-1)  # (N, N)
    return (weights * apart).sum(dim=-1).mean(dim=(0, 2))


def attention_rollout(
    attentions: Sequence[Float[Tensor, "batch heads tokens tokens"]],
) -> Float[Tensor, "batch tokens tokens"]:
    """How much of each token of the input has come to each token of the output, if attention were all there is.

    Source: Abnar and Zuidema 2020, *Quantifying Attention Flow in Transformers*.

    Args:
        attentions: the weights of every layer, first layer first.

    Returns:
        (B, T, T), rows add up to 1: the mean of the heads, half of it from attention, half from the skip connection;
        the layers multiplied, later ones from the left.
    """
    rollout = torch.eye(attentions[0].shape[-1]).to(attentions[0])
    for attention in attentions:
        mean = attention.mean(dim=1)  # (B, T, T)
        rollout = (0.5 * mean + 0.5 * torch.eye(mean.shape[-1]).to(mean)) @ rollout
    return rollout


def receptive_field(kernel_sizes: Sequence[int], strides: Sequence[int]) -> int:
    """The side of the square of pixels that one number of the last of several convolutions can depend on.

    Args:
        kernel_sizes: side of each kernel, first layer first. A pooling layer counts as one.
        strides: of each layer.

    Returns:
        Pixels, at the input. Each kernel adds its side less one, in steps as long as all strides before it make them.

    Raises:
        ValueError: there are not as many strides as kernels.
    """
    if len(kernel_sizes) != len(strides):
        raise ValueError(f"{len(kernel_sizes)} kernels need as many strides, got {len(strides)}.")
    field, step = 1, 1
    for kernel_size, stride in zip(kernel_sizes, strides, strict=True):
        field += (kernel_size - 1) * step
        step *= stride
    return field


# -- what happens inside while a model runs


@contextlib.contextmanager
def recorded_attention(
    model: nn.Module, heads: int | None = None
) -> Iterator[list[Float[Tensor, "batch heads queries keys"]]]:
    """Keep the attention weights of every layer while the model runs; its output stays what it is.

        with recorded_attention(model) as attentions:
            logits = model(images)
        attentions[0]  # first layer: (B, heads, 1+N, 1+N)

    Args:
        model: with `MultiHeadSelfAttention`, the course's or a learner's.
        heads: of attention that does not say it, see `attention_layers`.

    Yields:
        A list that each forward pass fills, first layer first, and begins anew.

    Raises:
        ValueError: as `attention_layers`.
    """
    layers = attention_layers(model, heads)
    attentions: list[Tensor] = []

    def record(layer: nn.Module, arguments: tuple, named: dict, _: Tensor) -> None:
        if layer is layers[0][0]:
            attentions.clear()
        x, mask, *_ = *arguments, *named.values(), None
        if isinstance(layer, MultiHeadSelfAttention):
            attentions.append(layer.weights(x, mask))
        else:
            attentions.append(_weights(layer, dict(layers)[layer], x, mask))

    hooks = [layer.register_forward_hook(record, with_kwargs=True) for layer, _ in layers]
    try:
        yield attentions
    finally:
        for hook in hooks:
            hook.remove()


def _weights(
    layer: nn.Module, heads: int, x: Float[Tensor, "batch tokens dim"], mask: Mask
) -> Float[Tensor, "batch heads tokens tokens"]:
    """The weights in a learner's attention, worked out from its `qkv`."""
    q, k, v = rearrange(layer.qkv(x), "b t (three h d) -> three b h t d", three=3, h=heads)
    return scaled_dot_product_attention(q, k, v, mask)[1]


def attention_layers(model: nn.Module, heads: int | None = None) -> list[tuple[nn.Module, int]]:
    """Every attention layer of a model, first layer first, and its number of heads.

    Args:
        model: its attention is known by its parts `qkv` and `out`.
        heads: for layers that keep no number under a name such as `heads`. No weight tells it.

    Raises:
        ValueError: there is no attention in the model, or the number of heads is not known.
    """
    found = [
        one for one in model.modules() if all(isinstance(getattr(one, n, None), nn.Linear) for n in ("qkv", "out"))
    ]
    if not found:
        raise ValueError(
            "there is no attention to record or to change in this model: no layer has `qkv` and `out`, as "
            "MultiHeadSelfAttention does."
        )
    layers = []
    for layer in found:
        names = ("heads", "num_heads", "n_heads", "h")
        known = [getattr(layer, name) for name in names if isinstance(getattr(layer, name, None), int)]
        if not known and heads is None:
            raise ValueError(
                f"{type(layer).__name__} does not say how many heads it has: keep the number, as "
                "`self.heads = heads`, or give heads=…."
            )
        layers.append((layer, known[0] if known else heads))
    return layers


@contextlib.contextmanager
def recorded_stream(model: nn.Module) -> Iterator[list[Float[Tensor, "batch tokens dim"]]]:
    """Keep the tokens that come to the first block, and the tokens after each block, while the model runs.

        with recorded_stream(model) as stream:
            model(images)
        stream[0]  # before the first block: (B, 1+N, D); stream[-1] is after the last, not yet normalised

    Yields:
        A list that each forward pass fills, and begins anew.

    Raises:
        ValueError: the model has no `encoder.blocks`.
    """
    holder = getattr(getattr(model, "encoder", None), "blocks", None)
    blocks = [*holder.children()] if isinstance(holder, nn.Module) else []
    if not blocks:
        raise ValueError("this model has no `encoder.blocks`, so there is no stream to record.")
    stream: list[Tensor] = []

    def begin(_: nn.Module, arguments: tuple, named: dict) -> None:
        stream[:] = [next(iter((*arguments, *named.values())))]

    def record(_: nn.Module, __: tuple, result: Tensor) -> None:
        stream.append(result)

    hooks = [blocks[0].register_forward_pre_hook(begin, with_kwargs=True)]
    hooks += [block.register_forward_hook(record) for block in blocks]
    try:
        yield stream
    finally:
        for hook in hooks:
            hook.remove()


def logit_lens(
    model: nn.Module, stream: Sequence[Float[Tensor, "batch tokens dim"]]
) -> Float[Tensor, "states batch classes"]:
    """What the classifier would say if the encoder ended here: last norm and head on the stream at every depth.

    Source: nostalgebraist 2020, *interpreting GPT: the logit lens*.

    Args:
        model: a `ViT` with a classifier.
        stream: as `recorded_stream` gives it.

    Raises:
        ValueError: the model has no `encoder.norm` or no `head`.
    """
    for name in ("encoder.norm", "head"):
        try:
            model.get_submodule(name)
        except AttributeError as error:
            raise ValueError(f"this model has no `{name}`, so no class can be read from its layers.") from error
    mode = getattr(model, "pool", "cls")
    return torch.stack([model.head(pool(model.encoder.norm(tokens), mode)) for tokens in stream])


# -- taking parts away


@contextlib.contextmanager
def without_heads(model: nn.Module, *pairs: tuple[int, int], heads: int | None = None) -> Iterator[None]:
    """Switch attention heads off, while the `with` lasts: what they found is not passed on.

        with without_heads(model, (0, 2)):  # the third head of the first layer
            logits = model(images)

    The columns of `out` that read a head are zero meanwhile, so that it works however `forward` is written. Gradients
    are taken inside the `with`: at its end the weights are written anew, and `backward()` refuses that.

    Args:
        model: with attention, see `attention_layers`.
        pairs: (layer, head), both counted from 0.
        heads: as in `attention_layers`.

    Raises:
        ValueError: there is no such layer or head, or as `attention_layers`.
    """
    layers = attention_layers(model, heads)
    for layer, head in pairs:
        if not 0 <= layer < len(layers) or not 0 <= head < layers[layer][1]:
            raise ValueError(
                f"there is no head {head} in a layer {layer}: {len(layers)} layers of {layers[0][1]} heads, from 0."
            )
    with _restored([layers[index][0].out.weight for index in {index for index, _ in pairs}]):
        with torch.no_grad():
            for index, head in pairs:
                layer, count = layers[index]
                layer.out.weight.unflatten(1, (count, -1))[:, head] = 0
        yield


@contextlib.contextmanager
def with_temperature(model: nn.Module, temperature: float, heads: int | None = None) -> Iterator[None]:
    """Divide all attention scores by a temperature, while the `with` lasts: below 1 sharper, above 1 flatter.

    The rows of `qkv` that make queries are divided meanwhile. Gradients are taken inside the `with`, as in
    `without_heads`.

    Raises:
        ValueError: the temperature is not above 0, or as `attention_layers`.
    """
    if not temperature > 0:
        raise ValueError(f"a temperature is above 0, got {temperature}.")
    layers = [layer for layer, _ in attention_layers(model, heads)]
    changed = [value for layer in layers for value in (layer.qkv.weight, layer.qkv.bias) if value is not None]
    with _restored(changed):
        with torch.no_grad():
            for value in changed:
                value[: len(value) // 3] /= temperature
        yield


@contextlib.contextmanager
def _restored(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Whatever is written into parameters is undone at the end."""
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(parameters, kept, strict=True):
                parameter.copy_(before)


def mask_without(hidden: Bool[Tensor, "batch patches"]) -> Bool[Tensor, "batch 1 1 1+patches"]:
    """The mask for `model(images, mask)` in which no token may attend to the hidden patches; CLS is never hidden.

    Args:
        hidden: True where a patch is to be taken away; all may be.
    """
    seen = torch.cat([torch.ones_like(hidden[:, :1]), ~hidden], dim=1)
    return seen[:, None, None]
