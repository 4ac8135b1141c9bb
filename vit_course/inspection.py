"""Looking inside a trained ViT."""

import contextlib
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

from vit_course.attention import MultiHeadSelfAttention


@contextlib.contextmanager
def recorded_attention(model: nn.Module) -> Iterator[list[Float[Tensor, "batch heads queries keys"]]]:
    """Keep the attention weights of every layer while the model runs; its output stays what it is.

        with recorded_attention(model) as attentions:
            logits = model(images)
        attentions[0]  # first layer: (B, heads, 1+N, 1+N)

    Yields:
        A list that each forward pass fills, first layer first, and begins anew.

    Raises:
        ValueError: the model has no `MultiHeadSelfAttention`.
    """
    layers = [module for module in model.modules() if isinstance(module, MultiHeadSelfAttention)]
    if not layers:
        raise ValueError("there is no MultiHeadSelfAttention in this model, so there is no attention to record.")
    attentions: list[Tensor] = []

    def record(layer: nn.Module, arguments: tuple, named: dict, _: Tensor) -> None:
        if layer is layers[0]:
            attentions.clear()
        attentions.append(layer.weights(*arguments, **named))

    hooks = [layer.register_forward_hook(record, with_kwargs=True) for layer in layers]
    try:
        yield attentions
    finally:
        for hook in hooks:
            hook.remove()
