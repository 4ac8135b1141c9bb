"""Images as PyTorch wants them: the two warm-ups of lesson 00; and as a ViT does."""

from einops import rearrange, reduce
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor


def to_channels_first(
    images: Shaped[Tensor, "batch height width channels"],
) -> Shaped[Tensor, "batch channels height width"]:
    """Move the channel axis from last, as most image libraries hold it, to where PyTorch expects it.

    Args:
        images: (B, H, W, C), any dtype.

    Returns:
        (B, C, H, W), the same dtype; pixel (row, column) keeps its place.
    """
    return rearrange(images, "batch height width channels -> batch channels height width")


def average_pool_2x2(
    images: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height/2 width/2"]:
    """Halve an image: each new pixel is the mean of a 2 × 2 block.

    Args:
        images: (B, C, H, W), floating point, H and W even.

    Returns:
        (B, C, H/2, W/2), the same dtype.

    Raises:
        ValueError: H or W is odd.
    """
    height, width = images.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"average_pool_2x2 needs an even height and width, got {height} × {width}: crop or pad first.")
    return reduce(images, "batch channels (height 2) (width 2) -> batch channels height width", "mean")


def to_floats(images: UInt8[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """Bytes 0 … 255 to floats -1 … 1, which is how ViTs have taken their images since the paper's own code."""
    return images.float() / 127.5 - 1
