"""Image folders: one subfolder per class. Read, decoded once, kept as arrays."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vit_course.data.download import alone

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def read_tree(
    folder: Path,
    split: str,
    limit: int | None,
    size: tuple[int, int] | None,
    kept: Path,
    classes: tuple[str, ...] | None,
) -> tuple[Tensor, Tensor, tuple[str, ...], str]:
    """Read one split of an image folder.

    Args:
        folder: with class folders inside, or `train/` and `test/` (or `val/`) with class folders inside those.
        split: "train" or "test".
        limit: at most this many, chosen by `mixed_order`.
        size: (height, width) to scale and crop to, or None if all images have the same size already.
        kept: the folder where decoded images are kept.
        classes: the names that must be there, in the order of their labels; None takes what is there, sorted.

    Returns:
        images uint8 (N, 3, H, W), labels int64 (N,), the classes, and a note on files left out ("" if none).
    """
    place = _split_folder(folder, split)
    found = tuple(entry.name for entry in _subfolders(place))
    if classes is None:
        reference = _split_folder(folder, "train") if split == "test" else place
        classes = tuple(entry.name for entry in _subfolders(reference)) if reference.is_dir() else found
        if extra := sorted(set(found) - set(classes)):
            raise ValueError(f"{place} has classes that {reference} has not: {', '.join(extra)}.")
    elif missing := sorted(set(classes) ^ set(found)):
        raise ValueError(
            f"{place} should have one folder for each CIFAR-10 class; too few or too many: {', '.join(missing)}."
        )
    if not classes:
        raise ValueError(f"{place} has no subfolders: an image folder has one per class, with the images inside.")

    files = [(file, label) for label, name in enumerate(classes) for file in _image_files(place / name)]
    if not files:
        raise ValueError(f"{place} holds no images ({', '.join(sorted(SUFFIXES))}) in its class folders.")
    labels = np.array([label for _, label in files])
    order = mixed_order(labels, limit)

    def decode(positions: np.ndarray) -> dict[str, Tensor]:
        return _decode_files([Path(files[position][0].path) for position in positions], size)

    what = f"{place.resolve()} {size}"
    names = [file.path[len(str(place)) + 1 :] for file, _ in files]
    states = [file.stat() for file, _ in files]
    listing = "\n".join(f"{n} {state.st_size} {state.st_mtime_ns}" for n, state in zip(names, states, strict=True))
    stamp = hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()
    if limit is None or limit >= len(files):
        tensors = decoded(what, stamp, kept, lambda: decode(np.arange(len(files))))
        tensors = {name: tensor[torch.from_numpy(order)] for name, tensor in tensors.items()}
    elif whole := _read_kept(what, stamp, kept):
        tensors = {name: tensor[torch.from_numpy(order)] for name, tensor in whole.items()}
    else:
        tensors = decode(order)  # a part of them is quick to decode again: not worth keeping

    readable = tensors["readable"]
    bad = sorted(names[position] for position in order[~readable.numpy()])
    note = ""
    if bad:
        some = ", ".join(bad[:5]) + (", …" if len(bad) > 5 else "")
        print(f"Notice: {len(bad)} of {len(order)} files in {place.name} cannot be read as images, left out: {some}.")
        note = f", without {len(bad)} unreadable"
    if not readable.any():
        raise ValueError(f"None of the {len(order)} files in {place} can be read as an image.")
    return tensors["images"][readable], torch.from_numpy(labels[order])[readable], classes, note


def _split_folder(folder: Path, split: str) -> Path:
    names = ("train",) if split == "train" else ("test", "val", "valid", "validation")
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    if split == "train" and not any((folder / name).is_dir() for name in ("test", "val")):
        return folder
    raise FileNotFoundError(
        f"{folder} has no {' or '.join(f'{name}/' for name in names[:2])} folder, so it has no {split!r} images. "
        "A folder with both has train/<class>/ and test/<class>/ inside, with the images in those."
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__")))


def _image_files(folder: str | Path) -> list[os.DirEntry]:
    """All image files below a folder, sorted. As entries, which spare a call to the system per file on some of them."""
    if not os.path.isdir(folder):
        return []
    files = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            files += _image_files(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            files.append(entry)
    return files


def mixed_order(labels: np.ndarray, limit: int | None) -> np.ndarray:
    """A fixed, mixed order of all images; with a limit, a beginning of the one that goes round the classes in turn."""
    order = np.random.RandomState(0).permutation(len(labels))
    if limit is None or limit >= len(labels):
        return order
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        mine = labels[order] == label
        turn[mine] = np.arange(mine.sum())
    return order[np.argsort(turn, kind="stable")][:limit]


def _decode_files(files: list[Path], size: tuple[int, int] | None) -> dict[str, Tensor]:
    """`images` (N, 3, H, W) uint8, and `readable` (N,) bool: False where a file is no image (its pixels are zero)."""
    if len(files) > 5000:
        print(f"Decoding {len(files):,} image files, once.")
    with ThreadPoolExecutor() as pool:
        pixels = list(pool.map(lambda path: _decode_file(path, size), files))
    shapes = {array.shape: path for array, path in zip(pixels, files, strict=True) if array is not None}
    if len(shapes) > 1:
        (first, here), (second, there) = list(shapes.items())[:2]
        raise ValueError(
            f"The images differ in size: {here.name} is {first[0]} × {first[1]} (height × width), {there.name} is "
            f"{second[0]} × {second[1]}. Say which size they should get, for example size=64 or size=(48, 64)."
        )
    shape = next(iter(shapes), (1, 1, 3))
    stacked = np.zeros((len(files), *shape), np.uint8)
    for slot, array in zip(stacked, pixels, strict=True):
        if array is not None:
            slot[:] = array
    readable = torch.tensor([array is not None for array in pixels], dtype=torch.bool)
    return {"images": torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous(), "readable": readable}


def _decode_file(path: Path, size: tuple[int, int] | None) -> np.ndarray | None:
    """One image file as uint8 (H, W, 3), or None if it is none."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16 bits of grey: `convert` would cut off, not scale
                image = Image.fromarray((np.asarray(image) // 256).clip(0, 255).astype(np.uint8))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB")
            if size is not None and image.size != size[::-1]:
                image = ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)
            return np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


# --- decoded images, kept --------------------------------------------------------------------------------------------


def decoded(what: str, stamp: object, kept: Path, decode: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors kept from last time, if the files they come from have not changed; else decode, and keep them.

    Keeping is a convenience: if the disk is full or cannot be written, the images are returned all the same.
    """
    if tensors := _read_kept(what, stamp, kept):
        return tensors
    tensors = decode()
    path = _kept_path(what, kept)
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path) as part:
            try:
                save_file(tensors, part, metadata={"stamp": json.dumps(stamp)})
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        print(f"Notice: the decoded images cannot be kept ({error}); next time they are decoded again.")
    return tensors


def _read_kept(what: str, stamp: object, kept: Path) -> dict[str, Tensor] | None:
    path = _kept_path(what, kept)
    if not path.exists():
        return None
    from safetensors import SafetensorError, safe_open

    with suppress(OSError, SafetensorError), safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("stamp") == json.dumps(stamp):
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return None


def _kept_path(what: str, kept: Path) -> Path:
    return kept / "decoded" / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.safetensors"
