"""What all figures share: how they show themselves, how large they are, colours, pictures, and the map of the ViT."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.typing import ColorType
from torch import Tensor

from vit_course.plots.words import described, listed, one_line

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
# For what is thin or stands alone on white paper: 3 to 1 against it, as WCAG 2.1 asks (1.4.11).
DARK_ORANGE, DARK_SKY = "#C47F00", "#3594CC"
# Curves and points that are told apart without colour: colour, marker, line.
LOOKS = ((BLUE, "o", "-"), (DARK_ORANGE, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"))
DPI = 100
# Inches. Narrower, and small pictures cannot be told apart; wider or higher, and a notebook has no room.
NARROWEST, WIDEST, HIGHEST = 3.0, 10.0, 10.0
SMALLEST_TEXT = 5.0  # points

STAGES = (
    ("image", "Image", "00"),
    ("patches", "Patches", "01"),
    ("projection", "Linear\nprojection", "02"),
    ("cls", "CLS\ntoken", "03"),
    ("positions", "Positions", "04"),
    ("attention", "Attention", "05"),
    ("encoder", "Encoder\n× depth", "06"),
    ("vit", "Classifier", "07"),
)


class Drawn:
    """A figure and its text for those who cannot see it. As the last value of a cell it shows itself.

    Attributes:
        figure: for those who want to change it. Made without pyplot: pyplot would keep it, and show it a second time.
        alt: what is to be seen, worked out from what was drawn.

    Raises:
        ValueError: the text is empty.
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        if not alt.strip():
            raise ValueError("every figure needs an alt text: say in a sentence what it shows.")
        self.figure, self.alt = figure, alt

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """What a notebook displays: the data of each kind, and the metadata."""
        buffer = io.BytesIO()
        # White behind the figure, whatever the theme: black axes on a dark page could not be read.
        look = {"dpi": DPI, "bbox_inches": "tight", "facecolor": "white", "pil_kwargs": {"optimize": True}}
        self.figure.savefig(buffer, format="png", **look)
        data = {"image/png": base64.b64encode(buffer.getvalue()).decode(), "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt}}


def panels(rows: int, columns: int, size: tuple[float, float], **options) -> tuple[Figure, np.ndarray]:
    """A figure of `size` inches, no higher than `HIGHEST`, and its axes (rows, columns)."""
    figure = Figure(figsize=(size[0], min(size[1], HIGHEST)))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def cell_size(wanted: float, columns: int, rows: int = 1, *, beside: float = 0) -> float:
    """The width of one of `columns` cells that stand side by side, and of `rows` square ones below each other.

    Args:
        wanted: inches, unless all together would be narrower than `NARROWEST`, wider than `WIDEST`, or too high.
        columns, rows: of cells.
        beside: inches that something else takes in each row.
    """
    size = max(wanted, (NARROWEST - beside) / columns)
    return min(size, (WIDEST - beside) / columns, HIGHEST / rows)


def ink(ground: ColorType) -> str:
    """Black or white, whichever is easier to read on a ground of this colour: at least 4.58 to 1.

    Source: relative luminance and contrast ratio of WCAG 2.1; both colours contrast alike at √(1.05 · 0.05) - 0.05.
    """
    rgb = np.array(to_rgb(ground))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ [0.2126, 0.7152, 0.0722] > 0.1791 else "white"


def text_size(texts: Iterable[str], width: float, largest: float = 11) -> float:
    """The font size, in points and at most `largest`, with which the longest line fits into `width` inches."""
    letters = max((len(line) for text in texts for line in str(text).split("\n")), default=1)
    return max(SMALLEST_TEXT, min(largest, 72 * width / (0.6 * max(letters, 1))))


def to_picture(image: Tensor) -> np.ndarray:
    """(C, H, W), uint8 or floats in 0 … 1, as matplotlib draws it: (H, W, 3) floats in 0 … 1."""
    if image.dtype == torch.uint8:
        image = image.float() / 255
    picture = image.clamp(0, 1).permute(1, 2, 0).numpy(force=True)
    return picture.repeat(3, axis=2) if picture.shape[2] == 1 else picture


def draw_picture(axis: Axes, image: Tensor, title: str = "", size: float = 11) -> None:
    """An image (C, H, W) without axes, every pixel a square."""
    axis.imshow(to_picture(image), interpolation="nearest")
    axis.axis("off")
    axis.set_title(title, fontsize=size)


def image_row(images: Sequence[Tensor], titles: Sequence[str] = (), *, size: float = 1.6) -> Drawn:
    """Images (C, H, W) side by side with a title above each; what does not fit goes into further rows.

    Args:
        images: what to draw, at least one.
        titles: one for each image, or none.
        size: width of one image, in inches.

    Raises:
        ValueError: there are no images, or not as many titles.
    """
    if not len(images):
        raise ValueError("there are no images to draw.")
    if len(titles) not in (0, len(images)):
        raise ValueError(f"{len(images)} images need as many titles, or none; got {len(titles)}.")
    columns = min(len(images), max(1, int(WIDEST / size)))
    rows = -(-len(images) // columns)
    side = cell_size(size, columns, rows)
    figure, axes = panels(rows, columns, (side * columns, (side + 0.3) * rows))
    points = text_size(titles, side)
    for axis in axes.flat[len(images) :]:
        axis.remove()
    for axis, image, title in zip(axes.flat, images, titles or [""] * len(images), strict=False):
        draw_picture(axis, image, title, points)
    figure.tight_layout(pad=0.4)
    said = [f"“{one_line(title)}”, " for title in titles] or [""] * len(images)
    said = [f"{title}{described(to_picture(image))}" for title, image in zip(said, images, strict=True)]
    count = "One picture" if len(images) == 1 else f"{len(images)} pictures side by side"
    return Drawn(figure, f"{count}: {listed(said, '; ')}.")


def vit_map(here: str | None = None) -> Drawn:
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
    figure, axes = panels(1, 1, (10, 1.7))
    axis = axes[0, 0]
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
    labels = [one_line(label) for _, label, _ in STAGES]
    parts = "; ".join(f"{label}, lesson {lesson}" for label, (_, _, lesson) in zip(labels, STAGES, strict=True))
    marked = f" You are here: {labels[reached]}, part {reached + 1} of {len(STAGES)}." if here is not None else ""
    return Drawn(figure, f"The parts of a ViT as boxes in a row, joined by arrows: {parts}.{marked}")
