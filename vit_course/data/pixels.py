"""One image file as pixels: 8 bits of red, green and blue, by what the file says and nothing guessed."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8


def read_rgb(path: str | Path, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image, as black = 0 … white = 255.

    What black and white are is for the file's format to say. Pillow knows it of everything with up to 8 bits a channel
    (grey, palettes, CMYK, LAB …) and of colours with 16. Of more than 8 bits of grey, PNG, PGM, JPEG 2000 and unsigned
    TIFF say it: all bits set are white, however little of the range an image uses; the upper 8 bits are kept. Nothing
    says it of floats, of 32-bit or signed numbers, and of FITS and its like: 0.7 may be bright or as good as black.
    Those are refused.

    Transparent parts become white, photos are turned upright, of an animation the first picture counts.

    Args:
        path: of the file.
        size: (height, width) to scale and crop to, evenly around the centre; None leaves it as it is.

    Raises:
        ValueError: the file does not say what is black and what is white.
        Exception: of many kinds, from Pillow: this is no image, or a damaged one. `why` puts it in a few words.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if file.mode.startswith(("I", "F")):
            image = _upper_8_bits(image, file)
        if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB")
        if size is not None and image.size != size[::-1]:
            image = ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)
        return np.asarray(image)


def why(error: Exception) -> str:
    """Why an image could not be read, in a few words, without the path."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{error}".rstrip(".") or type(error).__name__


def _upper_8_bits(image, file):
    """Grey of more than 8 bits as mode L. What the format says is asked of `file`, of which `image` is a copy."""
    from PIL import Image
    from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

    tags = getattr(file, "tag_v2", {})
    if file.format in ("PNG", "PPM", "JPEG2000") and file.mode != "F":
        bits = 16  # Pillow brings PGM's and JPEG 2000's other depths to 16 bits, and PNG has none
    elif file.format == "TIFF" and file.mode.startswith("I;16"):
        bits = tags[BITSPERSAMPLE][0]
    else:
        kind = "floats" if file.mode == "F" else "16-bit numbers" if "16" in file.mode else "32-bit or signed numbers"
        raise ValueError(f"its pixels are {kind}, and nothing says which is white: save it with 8 bits")
    values = np.asarray(image)
    grey = (values >> (bits - 8)).clip(0, 255).astype(np.uint8)
    if tags.get(PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero; Pillow turns only 8 bits round
        grey = 255 - grey
    if "transparency" in file.info:  # PNG: one value is transparent
        grey[values == file.info["transparency"]] = 255
    return Image.fromarray(grey)
