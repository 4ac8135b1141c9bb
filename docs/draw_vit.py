"""Draw docs/vit.png, the picture in the README: a Vision Transformer with the lesson that builds each part.

.venv/bin/python docs/draw_vit.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

# Okabe and Ito's palette, told apart with every kind of colour vision. Numbers carry the meaning, colours only help.
INK, SOFT, PAPER = "#1f2328", "#57606a", "#ffffff"
BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GRID = 3  # patches a side


def scene(size: int = 48) -> np.ndarray:
    """A landscape of size × size pixels: sky, a sun, hills and a house."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    image = np.empty((size, size, 3))
    image[:] = np.array([0.62, 0.82, 0.96]) - 0.25 * rows[..., None] * np.array([0.4, 0.2, 0.0])
    image[(rows - 0.2) ** 2 + (columns - 0.78) ** 2 < 0.012] = (0.98, 0.80, 0.25)
    image[rows > 0.62 - 0.13 * np.sin(3.6 * columns + 0.4)] = (0.42, 0.66, 0.45)
    image[rows > 0.86 - 0.1 * np.sin(2.5 * columns + 1.6)] = (0.25, 0.50, 0.33)
    image[(rows > 0.52) & (rows < 0.78) & (columns > 0.22) & (columns < 0.5)] = (0.95, 0.90, 0.80)
    image[(rows > 0.36) & (rows <= 0.52) & (abs(columns - 0.36) < 0.9 * (rows - 0.33))] = (0.72, 0.32, 0.24)
    image[(rows > 0.62) & (rows < 0.78) & (columns > 0.32) & (columns < 0.40)] = (0.40, 0.27, 0.20)
    return image


class Drawing:
    """A canvas measured in units of a hundredth of its width."""

    def __init__(self, width: float = 100, height: float = 50):
        self.figure = plt.figure(figsize=(12, 12 * height / width), facecolor=PAPER)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.axis("off")

    def text(self, x: float, y: float, text: str, size: float = 12, color: str = INK, **options) -> None:
        self.axes.text(x, y, text, fontsize=size, color=color, **{"ha": "center", "va": "center", **options})

    def box(self, x: float, y: float, width: float, height: float, color: str, text: str = "", **options) -> None:
        style = "round,pad=0,rounding_size=0.7"
        self.axes.add_patch(
            FancyBboxPatch((x, y), width, height, boxstyle=style, fc=color, **{"ec": "none", **options})
        )
        self.text(x + width / 2, y + height / 2, text, 12.5, PAPER, weight="bold")

    def lesson(self, x: float, y: float, number: str) -> None:
        self.axes.add_patch(Circle((x, y), 1.45, fc=INK, ec=PAPER, lw=1.5, zorder=5))
        self.text(x, y - 0.05, number, 11, PAPER, weight="bold", zorder=6)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], **options) -> None:
        style = {"arrowstyle": "-|>", "mutation_scale": 13, "lw": 1.6, "color": SOFT, "shrinkA": 0, "shrinkB": 0}
        self.axes.add_patch(FancyArrowPatch(start, end, **{**style, **options}))

    def picture(self, image: np.ndarray, x: float, y: float, side: float) -> None:
        self.axes.imshow(image, extent=(x, x + side, y, y + side), zorder=3, interpolation="nearest", aspect="auto")
        self.axes.add_patch(Rectangle((x, y), side, side, fill=False, ec=SOFT, lw=0.8, zorder=4))


def draw() -> plt.Figure:
    canvas = Drawing()
    image = scene()
    cut = len(image) // GRID
    patches = [image[r * cut : (r + 1) * cut, c * cut : (c + 1) * cut] for r in range(GRID) for c in range(GRID)]

    # The image, cut.
    canvas.text(8.5, 44.5, "image", 14, weight="bold")
    canvas.picture(image, 2.5, 29, 12)
    for line in range(1, GRID):
        canvas.axes.plot([2.5 + 4 * line] * 2, [29, 41], color=PAPER, lw=2.2, zorder=5)
        canvas.axes.plot([2.5, 14.5], [29 + 4 * line] * 2, color=PAPER, lw=2.2, zorder=5)

    # Patches in a row become tokens.
    bottom, step, side = 6.0, 3.55, 2.7
    heights = [bottom + step * (len(patches) - 1 - number) for number in range(len(patches))]
    columns = {"patches": 20.5, "project": 26.5, "tokens": 37.0, "positions": 43.5}
    canvas.text(columns["patches"] + side / 2, 44.5, "patches", 14, weight="bold")
    canvas.arrow((15.2, 35), (19.6, 31), connectionstyle="arc3,rad=-0.15")
    canvas.lesson(17.0, 37.2, "01")
    rng = np.random.default_rng(3)
    values = rng.uniform(0.15, 1, (len(patches) + 1, 6))
    for patch, y in zip(patches, heights, strict=True):
        canvas.picture(patch, columns["patches"], y, side)
        canvas.arrow((columns["patches"] + side + 0.3, y + side / 2), (columns["project"] - 0.1, y + side / 2), lw=1.1)
    canvas.box(columns["project"], bottom - 0.6, 5.2, step * 9 - 0.2, BLUE)
    canvas.text(
        columns["project"] + 2.6, bottom + step * 4.3, "linear projection", 13, PAPER, rotation=90, weight="bold"
    )
    canvas.lesson(columns["project"] + 2.6, bottom + step * 9 - 0.4, "02")

    def token(x: float, y: float, strengths: np.ndarray, color: str) -> None:
        for index, strength in enumerate(strengths):
            cell = Rectangle((x + 0.7 * index, y + 0.65), 0.7, 1.4, fc=color, alpha=strength, ec="none")
            canvas.axes.add_patch(cell)
        canvas.axes.add_patch(Rectangle((x, y + 0.65), 4.2, 1.4, fill=False, ec=color, lw=1.2))

    cls_height = heights[0] + step
    canvas.text(columns["tokens"] + 2.1, 44.5, "tokens", 14, weight="bold")
    for y, strengths in zip([cls_height, *heights], values, strict=True):
        is_cls = y == cls_height
        token(columns["tokens"], y, strengths, RED if is_cls else BLUE)
        if not is_cls:
            canvas.arrow((columns["project"] + 5.3, y + side / 2), (columns["tokens"] - 0.2, y + side / 2), lw=1.1)
        canvas.text(columns["positions"] - 0.85, y + side / 2, "+", 12, SOFT)
    canvas.text(columns["tokens"] - 2.2, cls_height + side / 2 + 0.05, "CLS", 12, RED, weight="bold")
    canvas.lesson(columns["tokens"] - 2.2, cls_height + side + 1.5, "03")

    # Positions.
    for number, y in enumerate([cls_height, *heights]):
        canvas.box(columns["positions"] + 0.2, y + 0.4, 2.2, 1.9, GREEN)
        canvas.text(columns["positions"] + 1.3, y + 1.33, str(number), 10.5, PAPER, weight="bold")
    canvas.text(columns["positions"] + 1.3, bottom - 2.3, "positions", 12.5, INK)
    canvas.lesson(columns["positions"] + 1.3, cls_height + side + 1.5, "04")

    # The encoder block.
    left, floor, width, height = 51.5, 5.4, 24.0, 35.6
    for y in [cls_height, *heights]:
        canvas.arrow((columns["positions"] + 2.7, y + side / 2), (left - 0.3, y + side / 2), lw=1.1)
    canvas.box(left, floor, width, height, "#eef1f4", ec=SOFT, lw=1.2)
    canvas.text(left + width / 2, 44.5, "encoder block  × depth", 14, weight="bold")
    canvas.lesson(left + width - 0.2, floor + height - 0.2, "06")
    middle, part = left + 9.0, 12.0
    parts = [(8.0, "layer norm", SOFT), (13.0, "attention", ORANGE), (24.0, "layer norm", SOFT), (29.0, "MLP", PURPLE)]
    for y, name, color in parts:
        canvas.box(middle - part / 2, y, part, 3.6, color, ec="none")
        canvas.text(middle, y + 1.75, name, 13, PAPER if color == SOFT else INK, weight="bold")
    canvas.lesson(middle + part / 2, 16.6, "05")
    for y, top in ((19.2, 13.0), (35.2, 29.0)):
        canvas.arrow((middle, top + 3.6), (middle, y - 0.9))
        canvas.arrow((middle, top - 1.4), (middle, top))
        canvas.axes.add_patch(Circle((middle, y), 0.9, fc=PAPER, ec=SOFT, lw=1.4, zorder=4))
        canvas.text(middle, y, "+", 12, zorder=5)
        start = top - 6.1  # the way around: what goes in is added to what comes out
        around = middle + 10.2
        canvas.axes.plot([middle, around, around], [start, start, y], color=SOFT, lw=1.6)
        canvas.arrow((around, y), (middle + 0.9, y))
    canvas.text(middle + 12.0, 14, "residual", 11, SOFT, rotation=90)
    canvas.text(middle + 12.0, 30, "residual", 11, SOFT, rotation=90)
    canvas.arrow((middle, 6.2), (middle, 8.0))
    canvas.arrow((middle, 20.1), (middle, 24.0))
    canvas.axes.plot([middle, middle], [36.1, 39.6], color=SOFT, lw=1.6)
    canvas.arrow((middle, 39.4), (middle, 40.4))

    # The answer.
    canvas.arrow((left + width + 0.4, cls_height + side / 2), (80.6, cls_height + side / 2))
    canvas.text(78.6, cls_height + side / 2 - 1.2, "norm", 11, SOFT)
    token(80.9, cls_height, values[0], RED)
    canvas.text(83.0, 44.5, "CLS out", 14, weight="bold")
    canvas.arrow((83.0, cls_height + 0.3), (83.0, 34.2))
    canvas.box(79.2, 29.8, 7.6, 4.2, SKY)
    canvas.text(83.0, 31.9, "classifier", 11, INK, weight="bold")
    canvas.lesson(86.8, 34.0, "07")
    canvas.arrow((83.0, 29.6), (83.0, 26.6))
    for row, (name, share) in enumerate((("house", 0.86), ("ship", 0.09), ("cat", 0.05))):
        y = 24.4 - 2.7 * row
        canvas.text(83.4, y, name, 12.5, ha="right")
        canvas.axes.add_patch(Rectangle((84.2, y - 0.7), 12.5 * share, 1.4, fc=BLUE, ec="none"))
        canvas.text(84.9 + 12.5 * share, y, f"{share:.2f}", 11, SOFT, ha="left")

    # After it is built.
    later = (("08", "train it"), ("09", "fine-tune it"), ("10", "look inside"), ("11", "mix with convolutions"))
    for row, (number, name) in enumerate(later):
        canvas.lesson(79.6, 14.6 - 3.5 * row, number)
        canvas.text(82.0, 14.6 - 3.5 * row, name, 12.5, ha="left")
    canvas.lesson(4.2, 24.0, "00")
    canvas.text(6.6, 24.0, "start here", 12.5, ha="left")
    canvas.text(
        2.6,
        19.6,
        "The numbers are\nthe lessons that\nbuild each part.",
        11.5,
        SOFT,
        ha="left",
        va="top",
        linespacing=1.5,
    )
    canvas.text(50, 48.0, "The Vision Transformer, part by part", 16, weight="bold")
    return canvas.figure


if __name__ == "__main__":
    draw().savefig(Path(__file__).with_name("vit.png"), dpi=130, facecolor=PAPER)
