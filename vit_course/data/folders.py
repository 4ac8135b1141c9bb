"""Image folders: one subfolder per class. Read, decoded once, kept as arrays."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vit_course.data.download import alone
from vit_course.data.listing import Listing, listed, named, plain, some
from vit_course.data.pixels import read_rgb, why

RULES = 2  # of the way from a file to its pixels: another number, and kept images are decoded again


def read_tree(
    folder: Path,
    split: str,
    limit: int | None,
    size: tuple[int, int] | None,
    kept: Path,
    classes: tuple[str, ...] | None,
) -> tuple[Tensor, Tensor, tuple[str, ...], str]:
    """Read one split of an image folder. A notice names what is left out.

    Args:
        folder: with class folders inside, or `train/` and `test/` (or `val/`) with class folders inside those.
        split: "train" or "test".
        limit: at most this many, chosen by `mixed_order`.
        size: (height, width) to scale and crop to, or None if all images have the same size already.
        kept: the folder where decoded images are kept.
        classes: the names that must be there, in the order of their labels; None takes what is there, sorted.

    Returns:
        images uint8 (N, 3, H, W), labels int64 (N,), the classes, and a note on files left out ("" if none).

    Raises:
        ValueError: this is no image folder, a class to train on has no image that can be read, or the images differ in
            size and none is given.
        FileNotFoundError: there is no such split.
        OSError: the folder cannot be looked through.
    """
    listing = listed(folder, split, classes, kept)
    if listing.beside:
        print(f"Notice: beside the splits of {plain(folder.name)}, not read: {named(listing.beside)}.")
    if listing.passed_over:
        passed = listing.passed_over
        where = plain(listing.place.name)
        print(f"Notice: {len(passed)} files or folders in {where} are passed over: {some(passed)}.")
    _classes_without_images(listing, split, {})  # before the work of decoding
    images, order, bad = _decode(listing, limit, size, kept)
    names = list(listing.files)
    unreadable = {names[position]: bad[position] for position in sorted(bad)}
    empty = _classes_without_images(listing, split, unreadable)
    note = ""
    if unreadable:
        tried, where = len(order) + len(bad), plain(listing.place.name)
        print(f"Notice: {len(bad)} of {tried} files in {where} cannot be read as images, left out: {some(unreadable)}.")
        note = f", without {len(bad)} unreadable"
    if empty:
        print(f"Notice: {plain(listing.place.name)} has no images of {named(empty)}.")
    return images, torch.from_numpy(np.array(listing.labels)[order]), listing.classes, note


def _classes_without_images(listing: Listing, split: str, unreadable: dict[str, str]) -> list[str]:
    """The classes of which there is no image, but for the unreadable ones.

    Raises:
        ValueError: there are such classes to train on, or no images at all.
    """
    left = Counter(label for name, label in zip(listing.files, listing.labels, strict=True) if name not in unreadable)
    empty = [name for label, name in enumerate(listing.classes) if not left[label]]
    if not empty or (split == "test" and len(empty) < len(listing.classes)):
        return empty
    reasons = {
        name: reason
        for name, reason in {**unreadable, **listing.passed_over}.items()
        if name.split(os.sep)[0] in empty or name.split(os.sep)[0] not in listing.classes
    }
    found = f"None of the {len(reasons)} files there can be read as an image: {some(reasons)}." if reasons else ""
    raise ValueError(
        f"{listing.place} holds no images of {named(empty)}. {found or 'There are no files.'} "
        "Put images there, as JPEG or PNG, or take the class folder away."
    )


def mixed_order(labels: np.ndarray, limit: int | None, left_out: Collection[int] = ()) -> np.ndarray:
    """A fixed, mixed order of all images; with a limit, a beginning of the one that goes round the classes in turn.

    Images that are left out change nothing but that later ones of their class move up.
    """
    order = np.random.RandomState(0).permutation(len(labels))
    order = order[~np.isin(order, list(left_out))]
    if limit is None:
        return order
    turn = np.empty(len(order), np.int64)
    for label in np.unique(labels):
        mine = labels[order] == label
        turn[mine] = np.arange(mine.sum())
    return order[np.argsort(turn, kind="stable")][:limit]


class _Files:
    """The image files of a listing, to be decoded. `bad` says why one could not be, by its position in the listing."""

    def __init__(self, listing: Listing, size: tuple[int, int] | None) -> None:
        self.names, self.labels = list(listing.files), np.array(listing.labels)
        self.place, self.size = listing.place, size
        self.bad: dict[int, str] = {}

    def decode(self, positions: Iterable[int]) -> dict[int, np.ndarray]:
        """The pixels of those that can be read."""
        positions = sorted(positions)
        results = _decode_files([self.place / self.names[position] for position in positions], self.size)
        good = {}
        for position, result in zip(positions, results, strict=True):
            (self.bad if isinstance(result, str) else good)[position] = result
        return good

    def decode_all(self) -> dict[str, Tensor]:
        """The images (R, 3, H, W) that can be read, and their positions (R,)."""
        good = self.decode(range(len(self.names)))
        return {"images": self.stacked(good), "positions": torch.tensor(list(good), dtype=torch.int64)}

    def stacked(self, pixels: dict[int, np.ndarray]) -> Tensor:
        shapes = {array.shape: self.names[position] for position, array in pixels.items()}
        if len(shapes) > 1:
            (first, here), (second, there) = list(shapes.items())[:2]
            raise ValueError(
                f"The images differ in size: {plain(here)} is {first[0]} × {first[1]} (height × width), {plain(there)} "
                f"is {second[0]} × {second[1]}. Say which size they should get, for example size=64 or size=(48, 64)."
            )
        images = np.empty((len(pixels), *next(iter(shapes), (1, 1, 3))), np.uint8)
        for slot, array in zip(images, pixels.values(), strict=True):
            slot[:] = array
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def some(self, limit: int) -> tuple[Tensor, np.ndarray]:
        """As many as the limit says, in mixed order: images and positions. In place of bad ones come others."""
        good: dict[int, np.ndarray] = {}
        while new := set((order := mixed_order(self.labels, limit, self.bad)).tolist()) - good.keys():
            for label, count in Counter(self.labels[list(self.bad)].tolist()).items():  # as many more as were bad
                mine = np.flatnonzero(self.labels == label).tolist()
                new |= set([position for position in mine if position not in good.keys() | self.bad.keys()][:count])
            good |= self.decode(new)
        return self.stacked({position: good[position] for position in order.tolist()}), order


def _decode(
    listing: Listing, limit: int | None, size: tuple[int, int] | None, kept: Path
) -> tuple[Tensor, np.ndarray, dict[int, str]]:
    """Images in mixed order, the positions of their files in the listing, and of the bad ones tried, with why."""
    from PIL import __version__ as pillow

    files = _Files(listing, size)
    what = f"{listing.place.resolve()} {size}"
    lines = [f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in listing.files.items()]
    text = "\n".join([f"{RULES} {pillow}", *lines])
    stamp = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    whole = _read_kept(what, stamp, kept)
    if whole is None and limit is not None and limit < len(files.names):
        return *files.some(limit), files.bad  # a part of them is quick to decode again: not worth keeping
    if whole and files.decode(set(range(len(files.names))) - set(whole["positions"].tolist())):
        whole = None  # someone let us read since then what we could not
        files.bad.clear()
    if whole is None:
        whole = _keep(what, stamp, kept, files.decode_all())
    order = mixed_order(files.labels, limit, files.bad)
    return whole["images"][np.searchsorted(whole["positions"].numpy(), order)], order, files.bad


def _decode_files(files: list[Path], size: tuple[int, int] | None) -> list[np.ndarray | str]:
    """Of each file its pixels (H, W, 3), or why it has none."""
    if len(files) > 5000:
        print(f"Decoding {len(files):,} image files, once.")
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda path: _decode_file(path, size), files))


def _decode_file(path: Path, size: tuple[int, int] | None) -> np.ndarray | str:
    try:
        return read_rgb(path, size)
    except Exception as error:  # Pillow's readers raise all kinds, and one bad file must not stop the others
        return why(error)


# --- decoded images, kept --------------------------------------------------------------------------------------------


def decoded(what: str, stamp: object, kept: Path, decode: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors kept from last time, if the files they come from have not changed; else decode, and keep them."""
    return _read_kept(what, stamp, kept) or _keep(what, stamp, kept, decode())


def _keep(what: str, stamp: object, kept: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keep tensors, and return them. It is a convenience: no matter if the disk is full or cannot be written."""
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
    return kept / "decoded" / f"{hashlib.sha256(what.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.safetensors"
