"""Two data sets that need no download: `shapes`, to learn from, and `where`, to prove something with.

Both are drawn from a seed with numpy's `RandomState`, whose stream of numbers is frozen: the same seed draws the same
images on every machine (up to rounding in the last bit of a sine). Images come in blocks, each with its own seed, so
that the first 100 images are the same whether 100 or 10,000 are asked for.
"""

from collections.abc import Callable

import numpy as np

SIDE = 32  # pixels
BLOCK = 500  # images drawn at a time
LENGTHS = {"train": 20_000, "test": 4_000}

Images, Labels = np.ndarray, np.ndarray  # uint8 (n, 3, 32, 32) and int64 (n,)


def generate(draw: Callable, split: str, count: int, seed: int = 0) -> tuple[Images, Labels]:
    """The first `count` images of a split, and their labels.

    Args:
        draw: `draw_shapes` or `draw_where`.
        split: "train" or "test"; their blocks never share a seed.
        count: how many images.
        seed: another seed is another data set of the same kind.
    """
    first = {"train": 0, "test": 1}[split]
    blocks = [draw(np.random.RandomState([seed, first, block])) for block in range(-(-count // BLOCK))]
    images, labels = (np.concatenate(parts)[:count] for parts in zip(*blocks, strict=True))
    return images, labels


# --- shapes ----------------------------------------------------------------------------------------------------------


def _half_planes(*distances: np.ndarray) -> np.ndarray:
    """Inside all of them: the largest distance decides."""
    return np.maximum.reduce(distances)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # Fold the five points onto one: what is left is the edge from a notch (0.42, 0) to a tip at 36 degrees.
    fifth = 2 * np.pi / 5
    angle, radius = np.arctan2(u, -v) % fifth - fifth / 2, np.hypot(u, v)
    x, y = radius * np.cos(angle), np.abs(radius * np.sin(angle))
    dx, dy = np.cos(fifth / 2) - 0.42, np.sin(fifth / 2)
    return ((x - 0.42) * dy - y * dx) / np.hypot(dx, dy)


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # A square standing on its corner, and a circle on each of its two upper sides.
    side, half = 0.52, 0.52 / np.sqrt(2)
    v = v - 0.12
    square = (np.abs(u) + np.abs(v)) / np.sqrt(2) - side
    return np.minimum(square, np.hypot(np.abs(u) - half, v + half) - side)


def _arrow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    shaft = _half_planes(np.abs(v) - 0.2, np.abs(u + 0.35) - 0.55)
    head = _half_planes(-0.05 - u, (np.abs(v) - 0.7) * 0.817 + (u + 0.05) * 0.577)
    return np.minimum(shaft, head)


# Signed distance to the outline, negative inside, of a shape about one unit in radius; u to the right, v downwards.
OUTLINES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "circle": lambda u, v: np.hypot(u, v) - 0.85,
    "square": lambda u, v: _half_planes(np.abs(u), np.abs(v)) - 0.75,
    "triangle": lambda u, v: _half_planes(v - 0.6, 0.866 * np.abs(u) - 0.5 * v - 0.5),
    "star": _star,
    "cross": lambda u, v: np.minimum(
        _half_planes(np.abs(u) - 0.9, np.abs(v) - 0.28), _half_planes(np.abs(v) - 0.9, np.abs(u) - 0.28)
    ),
    "ring": lambda u, v: np.abs(np.hypot(u, v) - 0.68) - 0.2,
    "heart": _heart,
    "moon": lambda u, v: _half_planes(np.hypot(u, v) - 0.92, 0.72 - np.hypot(u - 0.45, v + 0.1)),
    "arrow": _arrow,
    "hourglass": lambda u, v: _half_planes(np.abs(v) - 0.85, 0.78 * (np.abs(u) - 0.8 * np.abs(v) - 0.06)),
}
SHAPES = tuple(OUTLINES)


def _colour(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """HSV, each (n,) in 0 … 1, to RGB (n, 3, 1, 1)."""
    wheel = np.clip(np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * (1 - wheel)))[..., None, None].astype(np.float32)


def draw_shapes(rng: np.random.RandomState, count: int = BLOCK) -> tuple[Images, Labels]:
    """Scenes with one large shape each; the class is which shape.

    Where it lies, its size, tilt, colour and mirror image vary, and so do the background's colour, shading and stripes,
    the specks strewn over it, and the noise: no pixel says much on its own.

    Returns:
        images uint8 (count, 3, 32, 32), labels int64 (count,) with every run of ten holding each class once.
    """

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return (low + (high - low) * rng.random_sample((count, *shape))).astype(np.float32)

    labels = np.concatenate([rng.permutation(len(SHAPES)) for _ in range(-(-count // len(SHAPES)))])[:count]
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)

    # Background: one hue, shaded from one corner to another, with stripes.
    hue, dark = uniform(0, 1), rng.random_sample(count) < 0.5
    ground = _colour(hue, uniform(0.15, 0.6), np.where(dark, uniform(0.2, 0.4), uniform(0.7, 0.95)))
    turn, pitch, phase = uniform(0, 2 * np.pi, 1, 1), uniform(0.5, 1.6, 1, 1), uniform(0, 2 * np.pi, 1, 1)
    along = np.cos(turn) * (columns - SIDE / 2) + np.sin(turn) * (rows - SIDE / 2)
    stripes = uniform(0, 0.08, 1, 1) * np.sin(pitch * along + phase)
    images = ground + (stripes + uniform(-0.008, 0.008, 1, 1) * along)[:, None]

    # Specks: small dots of any colour, under the shape.
    for _ in range(4):
        speck = np.hypot(rows - uniform(0, SIDE, 1, 1), columns - uniform(0, SIDE, 1, 1)) - uniform(0.5, 1.6, 1, 1)
        images = _paint(images, speck, _colour(uniform(0, 1), uniform(0.2, 0.8), uniform(0.2, 1)))

    # The shape: light on dark or dark on light, its hue at least a quarter of the wheel away from the background's.
    radius = uniform(8.5, 12, 1, 1)
    room = SIDE / 2 - radius - 0.5
    y, x = (rows - SIDE / 2 - uniform(-1, 1, 1, 1) * room), (columns - SIDE / 2 - uniform(-1, 1, 1, 1) * room)
    tilt, mirror = uniform(-0.3, 0.3, 1, 1), np.where(uniform(0, 1, 1, 1) < 0.5, np.float32(1), np.float32(-1))
    u = mirror * (np.cos(tilt) * x + np.sin(tilt) * y) / radius
    v = (np.cos(tilt) * y - np.sin(tilt) * x) / radius
    distance = np.empty_like(u)
    for label, name in enumerate(SHAPES):
        of_class = labels == label
        distance[of_class] = OUTLINES[name](u[of_class], v[of_class])
    value = np.where(dark, uniform(0.75, 1), uniform(0.15, 0.45))
    fill = _colour(hue + uniform(0.25, 0.75), uniform(0.4, 0.9), value) * (1 - 0.12 * v)[:, None]
    images = _paint(images, distance * radius, fill)

    images += uniform(-0.04, 0.04, 3, SIDE, SIDE)
    return (np.clip(images, 0, 1) * 255).round().astype(np.uint8), labels.astype(np.int64)


def _paint(images: np.ndarray, distance: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Colour what lies inside an outline, (n, h, w) in pixels, with soft edges one pixel wide."""
    cover = np.clip(0.5 - distance, 0, 1)[:, None]
    return images + cover * (colour - images)


# --- where -----------------------------------------------------------------------------------------------------------

PLACES = ("red left of blue", "blue left of red")
TILE = 8  # pixels; a power of two, so that patches of 1, 2, 4 or 8 pixels never straddle two tiles


def draw_where(rng: np.random.RandomState, count: int = BLOCK) -> tuple[Images, Labels]:
    """Twins: images 2i and 2i+1 differ only in that a red and a blue ball have changed places.

    The picture is a board of 4 × 4 tiles of 8 × 8 pixels. Each ball fills one tile, in different columns; the class is
    which of the two is further left. Swapping the balls swaps two whole tiles, so twins are made of exactly the same
    patches, for any patch size that divides 8, in another arrangement, and their classes differ. A model that does not
    know where its patches are gives both the same answer and is right about exactly one of them: 50 %, whatever it
    learns. (No random crops or flips here: a crop cuts across the tiles, a flip swaps left and right.)

    Returns:
        images uint8 (count, 3, 32, 32), labels int64 (count,); count is even.
    """
    pairs, cells = count // 2, SIDE // TILE

    def uniform(low: float, high: float, *shape: int) -> np.ndarray:
        return (low + (high - low) * rng.random_sample((pairs, *shape))).astype(np.float32)

    # Tiles (pairs, row of the board, column of the board, RGB, y, x): a pale ground, grey pebbles on some.
    y, x = np.mgrid[:TILE, :TILE].astype(np.float32) - (TILE - 1) / 2
    board = 0.75 + 0.2 * uniform(0, 1, 1, 1, 3, 1, 1) + uniform(-0.04, 0.04, cells, cells, 1, 1, 1)
    board = np.broadcast_to(board, (pairs, cells, cells, 3, TILE, TILE))
    size = np.where(uniform(0, 1, cells, cells, 1, 1, 1) < 0.4, uniform(1, 2.5, cells, cells, 1, 1, 1), -1)
    pebble = np.clip(size - np.hypot(y, x) + 0.5, 0, 1)
    board = board + pebble * (uniform(0.3, 0.6, cells, cells, 1, 1, 1) - board)

    # The two balls: anywhere, but never in the same column.
    pair = np.arange(pairs)
    columns = np.argsort(rng.random_sample((pairs, cells)), axis=1)[:, :2]
    rows = rng.randint(cells, size=(pairs, 2))
    for ball, colour in enumerate(((0.84, 0.15, 0.13), (0.1, 0.35, 0.8))):
        bare = board[pair, rows[:, ball], columns[:, ball]][..., :1, :1]  # a corner, which no pebble reaches
        cover = np.clip(uniform(2.8, 3.7, 1, 1, 1) - np.hypot(y, x) + 0.5, 0, 1)
        paint = np.array(colour, np.float32)[:, None, None] * uniform(0.85, 1.15, 1, 1, 1)
        board[pair, rows[:, ball], columns[:, ball]] = bare + cover * (paint - bare)
    board += uniform(-0.03, 0.03, cells, cells, 3, TILE, TILE)
    board = (np.clip(board, 0, 1) * 255).round().astype(np.uint8)

    # The twin: the two tiles change places, noise and all.
    twin = board.copy()
    red, blue = (pair, rows[:, 0], columns[:, 0]), (pair, rows[:, 1], columns[:, 1])
    twin[red], twin[blue] = board[blue], board[red]
    label = (columns[:, 0] > columns[:, 1]).astype(np.int64)
    boards = np.stack([board, twin], axis=1).reshape(-1, *board.shape[1:])
    images = boards.transpose(0, 3, 1, 4, 2, 5).reshape(-1, 3, SIDE, SIDE)
    return images, np.stack([label, 1 - label], axis=1).reshape(-1)
