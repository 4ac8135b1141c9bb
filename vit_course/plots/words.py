"""What alt texts are made of: facts worked out from what is drawn, in words."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np

MOST_LISTED = 8
HUES = ((20, "red"), (45, "orange"), (70, "yellow"), (165, "green"), (190, "turquoise"), (255, "blue"))
HUES += ((290, "purple"), (340, "pink"), (360, "red"))


def listed(parts: Sequence[object], separator: str = ", ") -> str:
    """Joined; of a long list the beginning, the last and how many there are."""
    if len(parts) <= MOST_LISTED:
        return separator.join(map(str, parts))
    shown = [*parts[: MOST_LISTED - 2], "…", parts[-1]]
    return f"{separator.join(map(str, shown))} ({len(parts)} in all)"


def one_line(text: str) -> str:
    """A label without its line breaks."""
    return " ".join(text.split())


def percent(share: float) -> str:
    """As a whole number, but never 0% or 100% of what is not quite that."""
    if 1e-6 < share < 0.005:
        return "less than 1%"
    return "more than 99%" if 0.995 <= share < 0.99999 else f"{share:.0%}"


def counted(count: int, noun: str) -> str:
    """A number of things: "1 patch", "1,024 patches"."""
    ending = "" if count == 1 else "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}{ending}"


def rounded(value: float | None, digits: int = 2) -> str:
    """With so many digits after the point and no minus before 0; "undefined" for None."""
    return "undefined" if value is None else f"{round(float(value), digits) + 0.0:.{digits}f}"


def correlation(one: np.ndarray, other: np.ndarray) -> float | None:
    """Of two arrays of one shape, -1 … 1; None where one of them does not vary."""
    one, other = (np.asarray(values, dtype=float).ravel() for values in (one, other))
    one, other = one - one.mean(), other - other.mean()
    size = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / size) if size > 1e-9 else None


def neighbours(picture: np.ndarray) -> float | None:
    """How alike neighbouring pixels of a picture (H, W, C) are: their correlation, side by side and below each other.

    In each channel against its own mean, so that a plain colour varies as little as grey does.
    """
    picture = picture - picture.mean(axis=(0, 1))
    return correlation(
        np.concatenate([picture[:, :-1].ravel(), picture[:-1].ravel()]),
        np.concatenate([picture[:, 1:].ravel(), picture[1:].ravel()]),
    )


def colour_name(rgb: np.ndarray) -> str:
    """A colour (3,) of floats in 0 … 1 in a word or two, such as "dark red"."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(part) for part in rgb))
    if value < 0.12:
        return "black"
    if saturation < 0.12:
        return "white" if value > 0.92 else "light grey" if value > 0.65 else "grey" if value > 0.35 else "dark grey"
    name = next(name for end, name in HUES if 360 * hue <= end)
    tone = "greyish " if saturation < 0.3 else ""
    return f"{'dark ' if value < 0.45 else ''}{tone}{name}"


def described(picture: np.ndarray) -> str:
    """A picture (H, W, 3) in half a sentence: its size, mean colour, contrast, and whether it is smooth or a jumble."""
    height, width = picture.shape[:2]
    alike = neighbours(picture)
    varies = "all of one colour" if alike is None else f"neighbouring pixels correlate {rounded(alike)}"
    colour = colour_name(picture.mean(axis=(0, 1)))
    contrast = f"{picture.mean(axis=2).std():.2f}"
    return f"{height} × {width} pixels, on average {colour}, contrast {contrast}, {varies}"


def place(grid: np.ndarray) -> str:
    """Where in a grid (rows, columns) the largest number stands, counted from 0."""
    row, column = np.unravel_index(int(np.argmax(grid)), grid.shape)
    return f"row {row}, column {column}"


def kinds_of_pattern(pictures: np.ndarray) -> list[str]:
    """What most of each little picture (K, H, W, C), 0 where it is grey, is made of.

    Returns:
        For each "plain", "side to side", "top to bottom" or "finer", after it ", coloured" where most of it is colour.
    """
    kinds = []
    for picture in pictures:
        plain = picture.mean(axis=(0, 1), keepdims=True)
        across, down = picture.mean(axis=0, keepdims=True) - plain, picture.mean(axis=1, keepdims=True) - plain
        parts = {"plain": plain, "side to side": across, "top to bottom": down}
        parts["finer"] = picture - sum(parts.values())
        energy = {name: float((np.broadcast_to(part, picture.shape) ** 2).sum()) for name, part in parts.items()}
        light = float((picture.mean(axis=2) ** 2).sum() * picture.shape[2])
        coloured = light < float((picture**2).sum()) / 2
        kinds.append(max(energy, key=energy.get) + (", coloured" if coloured else ""))
    return kinds
