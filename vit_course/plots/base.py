"""What all figures share: colours, how they are shown, and the map of the ViT."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

# Okabe and Ito (2008): told apart with every common kind of colour blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, YELLOW, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#F0E442",
    "#56B4E9",
    "#7F7F7F",
)
DPI = 100

STAGES = (
    ("image", "Image", "00"),
    ("patches", "Patches", "01"),
    ("projection", "Linear\nprojection", "02"),
    ("cls", "CLS\ntoken", "03"),
    ("positions", "Positions", "04"),
    ("attention", "Attention", "05"),
    ("encoder", "Encoder\n× depth", "06"),
    ("vit", "Head,\nclass", "07"),
)


def show(figure: Figure, alt: str) -> None:
    """Display a figure as PNG with a text for those who cannot see it, and close it.

    Args:
        figure: what to show.
        alt: what the figure shows, in a sentence or two.

    Raises:
        ValueError: the text is empty.
    """
    from IPython.display import display  # only notebooks need it

    data, metadata = as_output(figure, alt)
    display(data, raw=True, metadata=metadata)


def as_output(figure: Figure, alt: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """What a notebook displays for a figure: the data of each kind, and the metadata. Closes the figure.

    Raises:
        ValueError: the text is empty.
    """
    if not alt.strip():
        raise ValueError("every figure needs an alt text: say in a sentence what it shows.")
    buffer = io.BytesIO()
    # White behind the figure, whatever the theme: black axes on a dark page could not be read.
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", pil_kwargs={"optimize": True})
    plt.close(figure)
    return {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": alt}, {"image/png": {"alt": alt}}


def to_picture(image: Tensor) -> np.ndarray:
    """(C, H, W), uint8 or floats in 0 … 1, as matplotlib draws it: (H, W, 3) floats in 0 … 1."""
    if image.dtype == torch.uint8:
        image = image.float() / 255
    picture = image.detach().clamp(0, 1).permute(1, 2, 0).numpy()
    return picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture


def image_row(images: Sequence[Tensor], titles: Sequence[str] = (), *, size: float = 1.6) -> Figure:
    """A row of images (C, H, W) with a title above each.

    Args:
        images: what to draw.
        titles: one for each image, or none.
        size: width of one image, in inches.
    """
    figure, axes = plt.subplots(1, len(images), figsize=(size * len(images), size + 0.3), squeeze=False)
    for index, (axis, image) in enumerate(zip(axes[0], images, strict=True)):
        axis.imshow(to_picture(image), interpolation="nearest")
        axis.axis("off")
        if titles:
            axis.set_title(titles[index], fontsize=11)
    figure.tight_layout(pad=0.4)
    return figure


def vit_map(here: str | None = None) -> Figure:
    """The way of an image through a ViT, with one part marked as "you are here".

    Args:
        here: first word of an entry of `STAGES`, or None for the whole map.

    Raises:
        ValueError: there is no such part.
    """
    names = [name for name, _, _ in STAGES]
    if here is not None and here not in names:
        raise ValueError(f"the map has the parts {', '.join(names)}; got {here!r}.")
    reached = names.index(here) if here is not None else len(names)
    figure, axis = plt.subplots(figsize=(10, 1.7))
    width, gap = 1.0, 0.28
    for index, (name, label, lesson) in enumerate(STAGES):
        left = index * (width + gap)
        fill = ORANGE if name == here else "#D6E8F2" if index < reached else "#F2F2F2"
        box = FancyBboxPatch((left, 0), width, 0.9, boxstyle="round,pad=0.03,rounding_size=0.1")
        box.set(facecolor=fill, edgecolor="black" if name == here else GREY, linewidth=2 if name == here else 1)
        axis.add_patch(box)
        axis.text(left + width / 2, 0.45, label, ha="center", va="center", fontsize=9.5)
        axis.text(left + width / 2, 1.12, f"lesson {lesson}", ha="center", fontsize=9, color="#444444")
        if index:
            tip = {"arrowstyle": "-|>", "color": "black", "linewidth": 1.3}
            axis.annotate("", xy=(left - 0.03, 0.45), xytext=(left - gap + 0.03, 0.45), arrowprops=tip)
        if name == here:
            axis.text(left + width / 2, -0.3, "you are here", ha="center", fontsize=10, weight="bold")
    axis.set(xlim=(-0.1, len(STAGES) * (width + gap)), ylim=(-0.45, 1.4))
    axis.axis("off")
    return figure
