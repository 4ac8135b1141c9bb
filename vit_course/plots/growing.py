"""The figure of the growing model: pictures, and what a ViT calls them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from vit_course.plots.base import BLUE, RED, Drawn, cell_size, draw_picture, panels, text_size, to_picture
from vit_course.plots.words import counted, described, listed


def named(images: Tensor, said: Sequence[str], names: Sequence[str]) -> Drawn:
    """Pictures with what a model says of each; where it is wrong, a cross, a dashed frame and the right name.

    Args:
        images: (K, C, H, W), at least one.
        said: what the model calls each.
        names: what each is.

    Raises:
        ValueError: images, answers and names are not equally many, or there are none.
    """
    if not 0 < len(images) == len(said) == len(names):
        raise ValueError(f"{len(images)} images, {len(said)} answers and {len(names)} names do not go together.")
    columns = min(len(images), 4)
    rows = -(-len(images) // columns)
    side = cell_size(1.7, columns, rows)
    figure, axes = panels(rows, columns, (side * columns, (side + 0.6) * rows))
    titles = [f"✓ {one}" if one == name else f"✗ {one}\nit is: {name}" for one, name in zip(said, names, strict=True)]
    points = text_size(titles, side)
    for axis in axes.flat[len(images) :]:
        axis.remove()
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        draw_picture(axis, image, title, points)
        right = title.startswith("✓")
        axis.axis("on")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(color=BLUE if right else RED, linewidth=2.5, linestyle="-" if right else (0, (2, 1.5)))
    figure.tight_layout(pad=0.5, h_pad=1.6, w_pad=1)
    good = sum(one == name for one, name in zip(said, names, strict=True))
    each = [
        f"{name}, called {'so' if one == name else one}, {described(to_picture(image))}"
        for image, one, name in zip(images, said, names, strict=True)
    ]
    alt = f"{counted(len(images), 'picture')} and what a model says of them; right: {good}. {listed(each, '; ')}."
    return Drawn(figure, alt)
