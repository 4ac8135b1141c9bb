"""From an image to a sequence of patches, and back.

Source: Dosovitskiy et al. 2021, *An Image is Worth 16x16 Words*, section 3.1: an image of H × W pixels and C channels
becomes N = H·W / P² flattened patches of P·P·C numbers.
"""

from numbers import Integral

from einops import rearrange
from jaxtyping import Shaped
from torch import Tensor

# What the article's final `ViT` class splits with. Its outer axis, patch_x, is the patch size: every "patch" is a
# strided sample of the whole image. Lesson 01 draws it.
ARTICLE_PATTERN = "b c (patch_x x) (patch_y y) -> b (x y) (patch_x patch_y c)"


def num_patches(height: int, width: int, patch_size: int) -> int:
    """How many patches of `patch_size` × `patch_size` pixels tile an image of `height` × `width` pixels.

    Raises:
        ValueError: a side of the image is not a multiple of the patch size, or a size is below 1.
    """
    if patch_size < 1 or height < 1 or width < 1 or height % patch_size or width % patch_size:
        raise ValueError(f"patches of {patch_size} × {patch_size} pixels do not tile an image of {height} × {width}.")
    return (height // patch_size) * (width // patch_size)


def patchify(
    images: Shaped[Tensor, "batch channels height width"], patch_size: int
) -> Shaped[Tensor, "batch patches values"]:
    """Cut images into patches and flatten each (ViT paper, section 3.1).

    Args:
        images: (B, C, H, W), any dtype.
        patch_size: side of a patch, P pixels.

    Returns:
        (B, N, P·P·C). Patches in reading order, row by row; within a patch the pixels in reading order, and the
        channels of one pixel next to each other: `(p1 p2 c)`.

    Raises:
        ValueError: H or W is not a multiple of P.
    """
    num_patches(*images.shape[-2:], patch_size)
    return rearrange(images, "b c (rows p1) (columns p2) -> b (rows columns) (p1 p2 c)", p1=patch_size, p2=patch_size)


def unpatchify(
    patches: Shaped[Tensor, "batch patches values"], patch_size: int, height: int, width: int
) -> Shaped[Tensor, "batch channels height width"]:
    """Put patches back together: the inverse of `patchify`.

    Args:
        patches: (B, N, P·P·C), as `patchify` makes them; C is inferred.
        patch_size: P, in pixels.
        height, width: of the image to make, in pixels.

    Returns:
        (B, C, H, W), the same dtype.

    Raises:
        ValueError: the sizes do not fit the patches.
    """
    count, values = patches.shape[-2:]
    if num_patches(height, width, patch_size) != count or values % patch_size**2:
        raise ValueError(
            f"{count} patches of {values} values do not make an image of {height} × {width} pixels "
            f"with patch size {patch_size}."
        )
    return rearrange(
        patches,
        "b (rows columns) (p1 p2 c) -> b c (rows p1) (columns p2)",
        rows=height // patch_size,
        p1=patch_size,
        p2=patch_size,
    )


def corrected_pattern() -> str:
    """The article's einops pattern with its split mended, so that it gives what `patchify` gives.

    `patch_x` and `patch_y` are the patch's sides. In `(x patch_x)` the outer axis counts patches and the inner axis
    counts pixels inside one: the other way round, as in `ARTICLE_PATTERN`, every patch is spread over the whole image.
    """
    return "b c (x patch_x) (y patch_y) -> b (x y) (patch_x patch_y c)"


def check_sizes(**sizes: int) -> None:
    """Refuse sizes to build with that are no whole numbers, or below 1.

    Raises:
        ValueError: names the size.
    """
    for name, size in sizes.items():
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} is a whole number of 1 or more, got {size!r}.")


def height_and_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """The two sides of an image, in pixels, where one number stands for a square.

    Raises:
        ValueError: it is neither one size nor two.
    """
    sides = tuple(image_size) if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(sides) != 2:
        raise ValueError(f"image_size is one number or (height, width), got {image_size!r}.")
    for side in sides:
        check_sizes(image_size=side)
    return int(sides[0]), int(sides[1])
