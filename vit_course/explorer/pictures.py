"""The explorer's own pictures: a dozen small scenes, drawn here, so that nobody's photographs need a licence.

Each is painted on a board of 256 × 256 points, grained a little and shrunk to the size that a model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

BOARD = 256
Colour = tuple[int, int, int]


class Picture(NamedTuple):
    """A picture for the explorer: its name, and its bytes (C, H, W)."""

    name: str
    pixels: UInt8[Tensor, "channels height width"]


class Brush:
    """A board to paint on. Coordinates are points from the upper left corner."""

    def __init__(self, top: Colour, bottom: Colour, seed: int) -> None:
        from PIL import Image, ImageDraw

        down = np.linspace(0, 1, BOARD)[:, None, None]
        ground = (1 - down) * np.array(top) + down * np.array(bottom)
        self.board = Image.fromarray(np.broadcast_to(ground, (BOARD, BOARD, 3)).round().astype(np.uint8))
        self.draw = ImageDraw.Draw(self.board)
        self.random = np.random.RandomState(seed)

    def ellipse(self, x: float, y: float, width: float, height: float, colour: Colour, tilt: float = 0) -> None:
        """Around (x, y), turned by `tilt` degrees clockwise."""
        turn, angle = np.deg2rad(tilt), np.linspace(0, 2 * np.pi, 60)
        along, across = width / 2 * np.cos(angle), height / 2 * np.sin(angle)
        rows = y + along * np.sin(turn) + across * np.cos(turn)
        self.shape(list(zip(x + along * np.cos(turn) - across * np.sin(turn), rows, strict=True)), colour)

    def shape(self, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon([(float(x), float(y)) for x, y in corners], fill=colour)

    def line(self, points: Sequence[tuple[float, float]], width: int, colour: Colour) -> None:
        self.draw.line(points, fill=colour, width=width, joint="curve")

    def specks(self, count: int, box: tuple[int, int, int, int], size: int, colours: Sequence[Colour]) -> None:
        """Leaves, gravel, waves: small ellipses strewn over (left, top, right, bottom)."""
        left, top, right, bottom = box
        for _ in range(count):
            x, y = left + (right - left) * self.random.rand(), top + (bottom - top) * self.random.rand()
            colour = colours[self.random.randint(len(colours))]
            self.ellipse(x, y, size * (0.6 + self.random.rand()), size * (0.3 + 0.5 * self.random.rand()), colour)

    def finished(self) -> np.ndarray:
        """(256, 256, 3) bytes, softened and grained as a photograph is."""
        from PIL import ImageFilter

        soft = np.asarray(self.board.filter(ImageFilter.GaussianBlur(2.5)), dtype=np.float64)
        grain = self.random.normal(0, 14, (BOARD // 4, BOARD // 4, 1)).repeat(4, axis=0).repeat(4, axis=1)
        return np.clip(soft + grain, 0, 255).round().astype(np.uint8)


def _ship() -> Brush:
    brush = Brush((150, 190, 225), (215, 228, 238), 1)
    brush.shape([(0, 150), (256, 150), (256, 256), (0, 256)], (45, 88, 125))
    brush.specks(120, (0, 165, 256, 256), 26, [(60, 105, 142), (36, 74, 108), (84, 128, 160)])
    brush.shape([(22, 132), (236, 124), (214, 178), (50, 180)], (142, 38, 34))
    brush.shape([(22, 128), (238, 120), (232, 138), (28, 144)], (238, 238, 236))
    brush.shape([(70, 128), (70, 92), (176, 90), (186, 124)], (244, 244, 242))
    brush.shape([(96, 92), (96, 68), (146, 68), (150, 92)], (228, 230, 232))
    brush.shape([(112, 68), (114, 38), (134, 38), (136, 68)], (196, 60, 40))
    brush.line([(200, 122), (200, 60)], 5, (90, 90, 92))
    for x in range(80, 172, 16):
        brush.ellipse(x, 108, 8, 8, (60, 84, 110))
    return brush


def _sailing_boat() -> Brush:
    brush = Brush((96, 150, 214), (190, 214, 236), 2)
    brush.shape([(0, 178), (256, 178), (256, 256), (0, 256)], (30, 78, 122))
    brush.specks(120, (0, 185, 256, 256), 24, [(48, 98, 142), (22, 62, 102), (96, 140, 176)])
    brush.line([(126, 190), (126, 18)], 5, (82, 60, 44))
    brush.shape([(120, 22), (120, 172), (48, 172)], (248, 246, 240))
    brush.shape([(132, 34), (132, 172), (196, 172)], (236, 232, 222))
    brush.shape([(46, 180), (212, 180), (186, 214), (78, 214)], (120, 70, 42))
    return brush


def _airplane() -> Brush:
    brush = Brush((86, 142, 208), (176, 206, 234), 3)
    brush.specks(14, (0, 170, 256, 250), 90, [(214, 226, 238), (226, 234, 242)])
    brush.shape([(120, 118), (170, 116), (226, 196), (200, 198)], (150, 158, 168))
    brush.shape([(130, 108), (164, 106), (186, 56), (168, 56)], (172, 180, 188))
    brush.ellipse(128, 116, 210, 40, (238, 240, 242), -4)
    brush.shape([(18, 122), (44, 112), (36, 62), (16, 64)], (206, 62, 52))
    brush.shape([(30, 122), (56, 120), (42, 146), (20, 146)], (196, 200, 206))
    brush.ellipse(216, 106, 18, 12, (50, 62, 80), 8)
    for x in range(76, 196, 14):
        brush.ellipse(x, 114 - (x - 76) * 0.06, 6, 8, (84, 104, 130))
    brush.ellipse(176, 152, 34, 15, (96, 104, 114), -4)
    return brush


def _car() -> Brush:
    brush = Brush((92, 84, 74), (140, 130, 116), 4)
    brush.specks(60, (0, 0, 256, 130), 50, [(86, 96, 66), (104, 90, 76), (74, 82, 58)])
    brush.shape([(0, 148), (256, 148), (256, 256), (0, 256)], (112, 112, 116))
    brush.ellipse(130, 200, 236, 24, (60, 60, 64))
    body = [(18, 150), (64, 138), (92, 96), (170, 94), (206, 136), (244, 148), (246, 188), (18, 190)]
    brush.shape(body, (192, 30, 34))
    brush.shape([(78, 136), (98, 104), (130, 103), (130, 136)], (70, 88, 106))
    brush.shape([(138, 136), (138, 103), (166, 102), (190, 134)], (84, 102, 120))
    brush.line([(20, 162), (244, 160)], 4, (222, 70, 66))
    for x in (68, 198):
        brush.ellipse(x, 188, 52, 52, (24, 24, 26))
        brush.ellipse(x, 188, 26, 26, (176, 178, 182))
    brush.ellipse(236, 158, 14, 12, (252, 238, 180))
    brush.ellipse(24, 160, 10, 12, (250, 120, 80))
    return brush


def _car_from_ahead() -> Brush:
    brush = Brush((86, 96, 76), (120, 124, 104), 5)
    brush.specks(60, (0, 0, 256, 150), 50, [(70, 84, 58), (108, 116, 88), (92, 88, 74)])
    brush.shape([(0, 170), (256, 170), (256, 256), (0, 256)], (98, 98, 102))
    brush.ellipse(128, 216, 210, 30, (50, 50, 54))
    brush.shape([(62, 108), (84, 54), (172, 54), (194, 108)], (150, 154, 160))
    brush.shape([(72, 106), (90, 64), (166, 64), (184, 106)], (58, 70, 84))
    brush.shape([(32, 126), (62, 104), (194, 104), (224, 126), (228, 198), (28, 198)], (168, 172, 178))
    brush.shape([(88, 146), (168, 146), (160, 176), (96, 176)], (28, 30, 36))
    for x in (54, 202):
        brush.ellipse(x, 146, 40, 24, (250, 248, 226))
        brush.shape([(x - 18, 194), (x + 18, 194), (x + 18, 222), (x - 18, 222)], (20, 20, 22))
    brush.line([(30, 188), (226, 188)], 8, (196, 202, 208))
    return brush


def _truck() -> Brush:
    brush = Brush((142, 180, 214), (204, 216, 224), 6)
    brush.shape([(0, 176), (256, 176), (256, 256), (0, 256)], (122, 116, 106))
    brush.shape([(10, 50), (172, 50), (172, 180), (10, 180)], (236, 236, 232))
    brush.line([(10, 58), (172, 58)], 8, (198, 200, 200))
    brush.line([(10, 120), (172, 120)], 12, (44, 104, 176))
    brush.shape([(178, 84), (222, 84), (244, 130), (244, 184), (178, 184)], (212, 140, 30))
    brush.shape([(190, 94), (216, 94), (232, 130), (190, 130)], (62, 82, 100))
    brush.shape([(8, 178), (246, 178), (246, 192), (8, 192)], (46, 46, 50))
    for x in (46, 92, 212):
        brush.ellipse(x, 196, 46, 46, (22, 22, 24))
        brush.ellipse(x, 196, 20, 20, (160, 162, 166))
    return brush


def _bird() -> Brush:
    brush = Brush((120, 158, 110), (168, 186, 140), 7)
    brush.specks(70, (0, 0, 256, 256), 60, [(110, 148, 96), (140, 170, 116), (182, 196, 150)])
    brush.line([(0, 212), (256, 196)], 14, (96, 70, 50))
    brush.shape([(66, 136), (12, 196), (34, 206), (92, 166)], (66, 74, 92))
    brush.ellipse(116, 134, 118, 78, (92, 108, 138), 24)
    brush.ellipse(132, 150, 84, 58, (212, 146, 96), 24)
    brush.ellipse(98, 136, 84, 34, (58, 68, 92), 34)
    brush.ellipse(166, 88, 62, 58, (92, 108, 138))
    brush.ellipse(182, 94, 12, 12, (14, 14, 16))
    brush.shape([(192, 84), (232, 98), (192, 106)], (60, 52, 44))
    brush.line([(122, 174), (120, 206)], 6, (70, 56, 44))
    brush.line([(142, 172), (144, 204)], 6, (70, 56, 44))
    return brush


def _cat() -> Brush:
    brush = Brush((190, 172, 150), (150, 128, 106), 8)
    fur, dark, pale = (124, 112, 100), (74, 66, 60), (206, 196, 184)
    brush.ellipse(128, 250, 190, 150, fur)
    brush.shape([(58, 96), (62, 20), (118, 62)], fur)
    brush.shape([(198, 96), (194, 20), (138, 62)], fur)
    brush.shape([(70, 76), (72, 38), (102, 62)], (196, 150, 140))
    brush.shape([(186, 76), (184, 38), (154, 62)], (196, 150, 140))
    brush.ellipse(128, 112, 160, 132, fur)
    for x in (-46, -24, 0, 24, 46):
        brush.line([(128 + x * 0.6, 52), (128 + x, 84)], 7, dark)
    for side in (-1, 1):
        brush.line([(128 + side * 74, 110), (128 + side * 44, 120)], 6, dark)
        brush.ellipse(128 + side * 34, 106, 38, 30, (178, 190, 90))
        brush.ellipse(128 + side * 34, 106, 12, 28, (12, 12, 12))
        brush.ellipse(128 + side * 20, 152, 46, 36, pale)
    brush.shape([(114, 132), (142, 132), (128, 148)], (196, 120, 116))
    brush.ellipse(128, 216, 70, 70, pale)
    return brush


def _dog() -> Brush:
    brush = Brush((112, 142, 92), (94, 124, 72), 9)
    brush.specks(80, (0, 0, 256, 256), 40, [(100, 132, 80), (126, 154, 102), (84, 112, 64)])
    tan, dark, white = (184, 138, 90), (112, 76, 46), (236, 228, 216)
    brush.ellipse(128, 248, 170, 150, tan)
    brush.ellipse(128, 240, 84, 110, white)
    brush.ellipse(128, 98, 140, 128, tan)
    brush.ellipse(62, 116, 48, 112, dark, 12)
    brush.ellipse(194, 116, 48, 112, dark, -12)
    brush.ellipse(128, 94, 34, 110, white)
    brush.ellipse(128, 140, 88, 74, white)
    brush.ellipse(128, 122, 42, 30, (20, 18, 18))
    brush.line([(128, 132), (128, 160)], 5, (60, 48, 44))
    brush.ellipse(128, 168, 30, 22, (206, 104, 106))
    for x in (96, 160):
        brush.ellipse(x, 86, 22, 22, (26, 20, 18))
        brush.ellipse(x + 4, 82, 6, 6, (240, 240, 240))
    return brush


def _deer() -> Brush:
    brush = Brush((96, 118, 74), (132, 140, 88), 10)
    brush.specks(120, (0, 0, 256, 120), 44, [(74, 98, 60), (112, 132, 84), (62, 84, 52)])
    brush.specks(120, (0, 170, 256, 256), 22, [(146, 150, 92), (118, 128, 74), (162, 160, 106)])
    coat, dark = (156, 106, 66), (112, 74, 48)
    for x in (84, 104, 162, 178):
        brush.line([(x, 150), (x - 2, 236)], 11, dark)
    brush.ellipse(128, 140, 128, 62, coat)
    brush.shape([(160, 146), (184, 72), (208, 78), (192, 140)], coat)
    brush.ellipse(208, 72, 58, 30, coat, 20)
    brush.ellipse(232, 82, 14, 10, (40, 32, 28))
    brush.ellipse(182, 58, 26, 12, coat, -30)
    brush.ellipse(212, 68, 7, 7, (18, 14, 12))
    for lean in (-1, 1):
        brush.line([(196, 58), (196 + lean * 18, 32), (196 + lean * 16, 6)], 5, (216, 196, 160))
        brush.line([(196 + lean * 18, 32), (196 + lean * 34, 16)], 5, (216, 196, 160))
    brush.ellipse(66, 130, 18, 26, (236, 228, 214))
    return brush


def _frog() -> Brush:
    brush = Brush((112, 92, 66), (88, 70, 50), 11)
    brush.specks(150, (0, 0, 256, 256), 30, [(126, 104, 76), (74, 58, 42), (142, 122, 92), (96, 104, 58)])
    green, pale, dark = (96, 142, 52), (190, 200, 120), (54, 86, 34)
    brush.ellipse(60, 190, 96, 60, dark, -20)
    brush.ellipse(198, 190, 96, 60, dark, 20)
    brush.ellipse(128, 168, 164, 116, green)
    brush.ellipse(128, 118, 138, 90, green)
    brush.ellipse(128, 150, 120, 44, pale)
    brush.line([(68, 132), (96, 142), (160, 142), (188, 132)], 6, dark)
    for x in (82, 174):
        brush.ellipse(x, 80, 46, 46, green)
        brush.ellipse(x, 78, 30, 30, (220, 180, 60))
        brush.ellipse(x, 78, 18, 12, (14, 14, 12))
    brush.specks(18, (70, 170, 190, 215), 18, [dark])
    brush.line([(86, 214), (64, 238)], 16, green)
    brush.line([(170, 214), (194, 238)], 16, green)
    return brush


def _horse() -> Brush:
    brush = Brush((150, 190, 226), (206, 222, 232), 12)
    brush.shape([(0, 150), (256, 142), (256, 256), (0, 256)], (104, 142, 66))
    brush.specks(110, (0, 160, 256, 256), 20, [(88, 126, 54), (124, 160, 80)])
    coat, dark = (122, 70, 40), (46, 30, 24)
    for x in (72, 92, 158, 176):
        brush.line([(x, 150), (x + 2, 230)], 14, coat)
        brush.line([(x + 2, 218), (x + 2, 234)], 14, dark)
    brush.line([(60, 124), (36, 150), (38, 206)], 14, dark)
    brush.ellipse(122, 136, 142, 70, coat)
    brush.shape([(152, 144), (182, 56), (214, 64), (194, 140)], coat)
    brush.line([(156, 116), (172, 76), (190, 44)], 14, dark)
    brush.shape([(182, 48), (206, 46), (244, 92), (230, 108), (198, 84)], coat)
    brush.shape([(188, 50), (194, 28), (204, 48)], coat)
    brush.ellipse(210, 66, 7, 7, (14, 12, 12))
    return brush


SCENES: dict[str, Callable[[], Brush]] = {
    "a ship": _ship,
    "a red car": _car,
    "a frog": _frog,
    "an airplane": _airplane,
    "a cat": _cat,
    "a horse": _horse,
    "a truck": _truck,
    "a bird": _bird,
    "a deer": _deer,
    "a dog": _dog,
    "a sailing boat": _sailing_boat,
    "a car from ahead": _car_from_ahead,
}


def drawn(size: tuple[int, int] = (32, 32), channels: int = 3) -> list[Picture]:
    """The built-in pictures.

    Args:
        size: (height, width), in pixels.
        channels: 3, or 1 for grey.

    Raises:
        ValueError: another number of channels.
    """
    from PIL import Image

    if channels not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, got {channels}: the explorer cannot show these.")
    pictures = []
    for name, paint in SCENES.items():
        image = Image.fromarray(paint().finished()).resize(size[::-1], Image.Resampling.BOX)
        if channels == 1:
            image = image.convert("L")
        pixels = torch.from_numpy(np.array(image)).reshape(*size, channels)
        pictures.append(Picture(name, pixels.permute(2, 0, 1).contiguous()))
    return pictures
