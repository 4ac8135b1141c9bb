"""The explorer as a still picture, for where nothing can be clicked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vit_course.plots.base import BLUE, ORANGE, Drawn, cell_size, panels, text_size, to_picture
from vit_course.plots.words import counted, described, listed, percent, place

MOST_BARS = 5
MOST_HEADS, MOST_LAYERS = 8, 12  # beyond, maps would be too small to be told apart


def every_head(
    image: Tensor,
    maps: Float[Tensor, "layers heads rows columns"],
    classes: Sequence[str],
    probabilities: Float[Tensor, " classes"],
) -> Drawn:
    """A picture, where every head looks from CLS, a row for each layer, and the likeliest classes.

    Args:
        image: (C, H, W), bytes or floats in 0 … 1.
        maps: weights of the patches; each map has a scale of its own. The first 12 layers and 8 heads are drawn.
        classes: their names.
        probabilities: one for each class.
    """
    maps = maps[:MOST_LAYERS, :MOST_HEADS]
    layers, heads = maps.shape[:2]
    side = cell_size(0.8, heads, layers, beside=4.2)
    figure, _ = panels(1, 1, (4.2 + side * heads, max(side * layers, 2.4) + 0.3))
    figure.clear()
    grid = figure.add_gridspec(layers, heads + 2, width_ratios=[2.4 / side, *[1] * heads, 2 / side])
    picture = to_picture(image)
    axis = figure.add_subplot(grid[:, 0])
    axis.imshow(picture, interpolation="nearest")
    axis.axis("off")
    grey = picture @ np.array([0.299, 0.587, 0.114])
    for layer in range(layers):
        for head in range(heads):
            axis = figure.add_subplot(grid[layer, 1 + head])
            axis.imshow(_lit(grey, maps[layer, head].cpu().double().numpy(force=True)), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if not head:
                axis.set_ylabel(f"layer {layer + 1}", rotation=0, ha="right", va="center", fontsize=9)
            if not layer:
                axis.set_title(f"head {head}", fontsize=text_size(["head 0"], side, 10))
    best = probabilities.argsort(descending=True)[:MOST_BARS].tolist()
    axis = figure.add_subplot(grid[:, -1])
    axis.barh(range(len(best)), [float(probabilities[one]) for one in best], color=BLUE, height=0.35)
    for index, one in enumerate(best):
        axis.text(0, index - 0.28, f"{classes[one]} {percent(float(probabilities[one]))}", fontsize=10)
    axis.set(xlim=(0, 1), ylim=(max(len(best), 5) - 0.4, -0.8))
    axis.axis("off")
    figure.tight_layout(pad=0.4)
    said = [
        f"layer {layer + 1}, {place(maps[layer].mean(dim=0).numpy(force=True))}"
        for layer in range(layers)  # the mean of a layer's heads
    ]
    named = listed([f"{classes[one]} {percent(float(probabilities[one]))}" for one in best[:3]])
    return Drawn(
        figure,
        f"A picture, {described(picture)}, and over it where CLS looks in {counted(layers, 'layer')} of "
        f"{counted(heads, 'head')}. Where the heads of a layer together look most: {'; '.join(said)}. "
        f"The model says: {named}.",
    )


def _lit(grey: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(H, W, 3): the picture dark and without colour, warm where the weight is large, as the explorer paints it."""
    share = (
        np.kron(weights / max(weights.max(), 1e-9), np.ones(np.array(grey.shape) // weights.shape))[..., None] ** 0.8
    )
    warm = np.array([int(ORANGE[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    shade = grey[..., None]
    return np.clip((1 - share) * (0.05 + 0.42 * shade) + share * warm * (0.55 + 0.55 * shade), 0, 1)
