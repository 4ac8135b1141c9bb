"""Folders of one's own: which files are images, what their pixels are, what is a class, what is said of the rest."""

import os
import socket
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, TiffImagePlugin

from vit_course.data import CIFAR10_CLASSES, folders, load_images
from vit_course.data.pixels import read_rgb

linux = pytest.mark.skipif(sys.platform != "linux", reason="its names and files of other kinds are those of Linux")


def write(path: Path, colour: object = (200, 30, 30), mode: str = "RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (8, 8), colour).save(path, **options)
    return path


def pets(folder: Path, count: int = 2) -> Path:
    for name in ("cat", "dog"):
        for number in range(count):
            write(folder / name / f"{number}.png", (number, 100, 7))
    return folder


@pytest.mark.parametrize(
    ("words", "classes"),
    [
        ("dog\thound, cur\ncow\tcow\ncat\ttabby cat, tabby\n", ("tabby cat", "hound")),
        ("cat\ttabby\r\ndog\thound\r\n", ("tabby", "hound")),
        ("cat\ttabby\n", ("cat", "dog")),
        ("cat\tpet\ndog\tpet\n", ("cat", "dog")),
        ("cat\t\ndog\n", ("cat", "dog")),
        ("", ("cat", "dog")),
    ],
)
def test_a_list_of_words_names_the_classes(tmp_path, words, classes):
    for split in ("train", "val"):
        pets(tmp_path / split)
    (tmp_path / "words.txt").write_bytes(words.encode())
    for split in ("train", "test"):
        loaded = load_images(tmp_path, split)
        assert loaded.classes == classes and loaded.labels.bincount().tolist() == [2, 2]


# --- which files are images ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "suffix", ["jfif", "jpe", "JPEG", "ppm", "pgm", "tga", "tif", "jp2", "dds", "webp", "pcx", "sgi", "qoi", "apng"]
)
def test_whatever_pillow_opens_is_an_image(tmp_path, suffix, capsys):
    if Image.registered_extensions().get(f".{suffix.lower()}") not in Image.SAVE:
        pytest.skip(f"this Pillow writes no .{suffix}")
    write(tmp_path / "cat" / "1.png")
    write(tmp_path / "dog" / f"1.{suffix}", 90, "L") if suffix == "pgm" else write(tmp_path / "dog" / f"1.{suffix}")
    loaded = load_images(tmp_path, size=8)
    assert loaded.labels.bincount().tolist() == [1, 1]
    assert "Notice" not in (said := capsys.readouterr().out)
    assert "2 images of 2 classes (cat, dog)" in said


def test_the_content_decides_under_a_wrong_suffix_and_under_none(tmp_path):
    pets(tmp_path)
    write(tmp_path / "dog" / "jpeg.png", (250, 0, 0), format="JPEG")
    write(tmp_path / "dog" / "none", (250, 0, 0), format="PNG")
    assert load_images(tmp_path).labels.bincount().tolist() == [2, 4]


def test_what_is_passed_over_is_named(tmp_path, capsys):
    pets(tmp_path)
    for number in range(1_000):
        (tmp_path / "cat" / f"{number}.txt").write_text("woof")
    for name in ("photo.heic", "numbers.npy", "all.zip", "Thumbs.db", ".DS_Store", "._0.png"):
        (tmp_path / "dog" / name).write_bytes(b"x")
    write(tmp_path / "loose.png")
    (tmp_path / "README").write_text("pets")
    (tmp_path / "__MACOSX").mkdir()
    loaded = load_images(tmp_path)
    assert loaded.classes == ("cat", "dog") and len(loaded) == 4
    notice = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Notice"))
    assert "1005 files or folders" in notice
    for name in (
        "README (in no class folder)",
        "0.txt (Pillow reads no .txt here)",
        "photo.heic",
        "numbers.npy",
        "all.zip",
    ):
        assert name in notice, "as many kinds as there is room for"
    assert "Thumbs.db" not in notice and "DS_Store" not in notice and "._0" not in notice


@pytest.mark.parametrize("given", [None, CIFAR10_CLASSES])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda frog: None, r"no images of frog\. There are no files"),
        (
            lambda frog: (frog / "1.heic").write_bytes(b"x"),
            r"no images of frog\. None of the 1 files.*1\.heic \(Pillow",
        ),
        (
            lambda frog: (frog / "1.jpg").write_bytes(b"x"),
            r"no images of frog\. None of the 1 files.*1\.jpg \(not an image",
        ),
        (lambda frog: write(frog / "1.tif", 0.5, "F"), r"no images of frog\. None of.*1\.tif \(its pixels are floats"),
    ],
    ids=["nothing", "unknown", "damaged", "unknown range"],
)
def test_a_class_without_images_is_not_trained_on(tmp_path, monkeypatch, spoil, words, given):
    for name in CIFAR10_CLASSES:
        write(tmp_path / "cifar10" / "train" / name / "1.png")
    frog = tmp_path / "cifar10" / "train" / "frog"
    (frog / "1.png").unlink()
    spoil(frog)
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    for limit in (None, 10):
        with pytest.raises(ValueError, match=words):
            load_images("cifar10" if given else tmp_path / "cifar10", limit=limit)


def test_classes_that_the_test_images_lack_are_said(tmp_path, capsys):
    pets(tmp_path / "train")
    write(tmp_path / "train" / "owl" / "1.png")
    write(tmp_path / "test" / "dog" / "1.png")
    (tmp_path / "test" / "cat").mkdir()
    assert load_images(tmp_path, "test").labels.tolist() == [1]
    assert "Notice: test has no images of cat, owl." in capsys.readouterr().out
    (tmp_path / "test" / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no images of cat, dog, owl\. None of the 1 files"):
        load_images(tmp_path, "test")


def test_with_a_limit_others_come_in_place_of_bad_ones(tmp_path):
    """There are as many as asked for, of each class alike, and a larger limit begins with those of a smaller one."""
    for name in ("cat", "dog", "owl"):
        for number in range(30):
            write(tmp_path / name / f"{number:02}.png", (number, len(name), ord(name[0])))
    for number in range(3, 30):
        (tmp_path / "dog" / f"{number:02}.png").write_bytes(b"damaged")
    small, large = (load_images(tmp_path, limit=limit) for limit in (6, 9))
    assert small.labels.bincount().tolist() == [2, 2, 2] and large.labels.bincount().tolist() == [3, 3, 3]
    assert torch.equal(small.images, large.images[:6])
    load_images(tmp_path)
    assert torch.equal(load_images(tmp_path, limit=9).images, large.images), "of those that are kept now, too"


def test_what_could_not_be_read_is_tried_again(tmp_path, monkeypatch):
    pets(tmp_path)
    original = folders.read_rgb

    def refused(path, size):
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied", str(path))
        return original(path, size)

    monkeypatch.setattr(folders, "read_rgb", refused)
    assert len(load_images(tmp_path)) == 2
    monkeypatch.setattr(folders, "read_rgb", original)
    for _ in range(2):
        assert len(load_images(tmp_path)) == 4, "the files have not changed, but may be read now"


# --- what their pixels are -------------------------------------------------------------------------------------------


def png(depth: int, colour: int, row: bytes, transparent: bytes = b"", size: tuple[int, int] = (2, 1)) -> bytes:
    """A PNG of one row of two pixels: Pillow writes no 16-bit colours."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))
    header += chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (png(16, 0, struct.pack(">2H", 256, 65535)), [(1, 1, 1), (255, 255, 255)]),
        (png(16, 0, struct.pack(">2H", 300, 40000), struct.pack(">H", 300)), [(255, 255, 255), (156, 156, 156)]),
        (png(16, 2, struct.pack(">6H", 1000, 60000, 65535, 0, 256, 511)), [(3, 234, 255), (0, 1, 1)]),
        (png(16, 4, struct.pack(">4H", 5000, 0, 60000, 65535)), [(255, 255, 255), (234, 234, 234)]),
        (png(1, 0, b"\x40"), [(0, 0, 0), (255, 255, 255)]),
        (png(1, 0, b"\x40", b"\0\0"), [(255, 255, 255), (255, 255, 255)]),
        (b"P5 2 1 1000\n" + struct.pack(">2H", 500, 1000), [(128, 128, 128), (255, 255, 255)]),
        (b"P5 2 1 65535\n" + struct.pack(">2H", 500, 65535), [(1, 1, 1), (255, 255, 255)]),
        (b"P5 2 1 15\n\x05\x0f", [(85, 85, 85), (255, 255, 255)]),
        (b"P4 2 1\n\x40", [(255, 255, 255), (0, 0, 0)]),
    ],
    ids=["PNG16", "PNG16 tRNS", "PNG48", "PNG16 LA", "PNG1", "PNG1 tRNS", "PGM1000", "PGM16", "PGM15", "PBM"],
)
def test_bits_are_counted_as_the_format_says(tmp_path, content, pixels):
    (tmp_path / "image").write_bytes(content)
    assert [tuple(pixel) for pixel in read_rgb(tmp_path / "image")[0].tolist()] == pixels


def tiff(values: np.ndarray, **tags: int) -> bytes:
    """A TIFF of one channel, little-endian, not compressed."""
    bits, kind = values.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    entries = {256: values.shape[1], 257: values.shape[0], 258: bits, 259: 1, 262: 1, 277: 1, 339: kind}
    entries |= {278: values.shape[0], 279: values.nbytes} | {int(tag[1:]): value for tag, value in tags.items()}
    entries[273] = 8 + 2 + 12 * (len(entries) + 1) + 4  # where the pixels begin
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + values.tobytes()


GREYS = np.array([[0, 0x1234, 0xFFFF]], np.uint16)


@pytest.mark.parametrize(
    ("content", "grey"),
    [
        (tiff(GREYS), [0, 0x12, 255]),
        (tiff(GREYS, t262=0), [255, 255 - 0x12, 0]),
        (tiff(GREYS.astype(np.uint8)), [0, 0x34, 255]),
        (tiff(GREYS.astype(np.uint8), t262=0), [255, 255 - 0x34, 0]),
    ],
    ids=["16", "16, white is 0", "8", "8, white is 0"],
)
def test_tiff_says_what_white_is(tmp_path, content, grey):
    (tmp_path / "image").write_bytes(content)
    assert read_rgb(tmp_path / "image")[0, :, 1].tolist() == grey


def test_a_tiff_of_12_bits(tmp_path):
    twelve = tiff(np.zeros((1, 3), np.uint8), t256=2, t258=12)[:-3] + bytes([0x80, 0x0F, 0xFF])  # 0x800, 0xFFF
    (tmp_path / "image").write_bytes(twelve)
    assert read_rgb(tmp_path / "image")[0, :, 0].tolist() == [128, 255]


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bits_in_either_order_of_bytes(tmp_path, mode):
    write(tmp_path / "1.tif", 77 * 256 + 9, mode)
    assert (read_rgb(tmp_path / "1.tif") == 77).all()


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 0.5, 1]], np.float32),
        np.array([[0, 128, 255]], np.float32),
        np.array([[-1, 0, np.nan]], np.float32),
        np.array([[0, 128, 255]], np.int32),
        np.array([[0, 128, 255]], np.uint32),
        np.array([[-5, 128, 255]], np.int16),
    ],
    ids=["0 to 1", "0 to 255", "negative and NaN", "int32", "uint32", "int16"],
)
def test_a_range_that_nothing_tells_is_refused_not_guessed(tmp_path, values, capsys):
    pets(tmp_path)
    (tmp_path / "dog" / "scan.tif").write_bytes(tiff(values))
    assert len(load_images(tmp_path)) == 4
    assert "scan.tif (its pixels are" in (said := capsys.readouterr().out) and "nothing says which is white" in said
    for number in range(2):
        (tmp_path / "dog" / f"{number}.png").unlink()
    with pytest.raises(ValueError, match=r"no images of dog.*scan\.tif \(its pixels are .* save it with 8 bits"):
        load_images(tmp_path)


def test_other_colours(tmp_path):
    assert read_rgb(write(tmp_path / "1.jpg", (0, 255, 255, 0), "CMYK"))[4, 4].tolist() == [254, 0, 0] or (
        read_rgb(tmp_path / "1.jpg")[4, 4].tolist() == [255, 0, 0]
    )
    assert read_rgb(write(tmp_path / "lab.tif", (255, 128, 128), "LAB"))[4, 4].min() >= 253, "white"
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.putpixel((0, 0), 0)
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_rgb(tmp_path / "p.png")[0, :2].tolist() == [[255, 255, 255], [10, 200, 30]]
    assert read_rgb(write(tmp_path / "la.png", (90, 255), "LA"))[4, 4].tolist() == [90, 90, 90]
    assert TiffImagePlugin.PHOTOMETRIC_INTERPRETATION == 262 and TiffImagePlugin.BITSPERSAMPLE == 258


# --- splits and classes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "splits_", "words"),
    [
        (("Train", "Test"), ("train", "test"), r"has (Train|Test), which looks like the '(train|test)' images: rename"),
        (("TRAIN", "VAL"), ("train", "test"), "which looks like the"),
        (("training", "testing"), ("train", "test"), "rename it to (train/|test/ or val/)"),
        (("train2017", "val2017"), ("train", "test"), "rename it to (train/|test/ or val/)"),
        (
            ("data/train", "data/test"),
            ("train", "test"),
            r"data lies where a class .* holds test, train, which look like",
        ),
        (("images/train", "images/val", "labels/train"), ("train", "test"), "images lies where a class is expected"),
        (("a/b/train", "a/b/test"), ("train", "test"), "b lies where a class is expected"),
        (("all",), ("train", "test"), "holds one class, all, and that holds folders: give .*all instead"),
        (("up/all",), ("train", "test"), "holds one class, up, and that holds folders: give .*all instead"),
        (("val",), ("train",), "has no train/ folder"),
        (("valid",), ("train",), "has no train/ folder"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_splits_are_never_taken_for_classes(tmp_path, names, splits_, words):
    for name in names:
        pets(tmp_path / name)
    for split in splits_:
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            load_images(tmp_path, split)


def test_classes_split_one_by_one_are_no_classes(tmp_path):
    for name in ("cat", "dog"):
        for split in ("train", "test"):
            write(tmp_path / name / split / "1.png")
    with pytest.raises(ValueError, match=r"cat lies where a class is expected and holds test, train"):
        load_images(tmp_path)


def test_splits_without_class_folders_are_none(tmp_path):
    write(tmp_path / "Train" / "1.png")
    write(tmp_path / "Test" / "1.png")
    with pytest.raises(ValueError, match=r"Train, which looks like the 'train' images"):
        load_images(tmp_path)
    (tmp_path / "Train").rename(tmp_path / "train")
    with pytest.raises(ValueError, match="no subfolders"):
        load_images(tmp_path)


@pytest.mark.parametrize("name", ["test", "train", "val"])
def test_a_class_may_be_called_like_a_split(tmp_path, name, capsys):
    pets(tmp_path)
    write(tmp_path / name / "1.png")
    assert load_images(tmp_path).classes == tuple(sorted(["cat", "dog", name]))
    assert name in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(FileNotFoundError, match="no test/ or val/"):
        load_images(tmp_path, "test")


@pytest.mark.parametrize("second", ["test", "val", "valid", "validation"])
def test_what_lies_beside_the_splits_is_said(tmp_path, second, capsys):
    pets(tmp_path / "train")
    pets(tmp_path / second)
    assert len(load_images(tmp_path)) == len(load_images(tmp_path, "test")) == 4
    assert "Notice" not in capsys.readouterr().out
    pets(tmp_path / "extra")
    load_images(tmp_path)
    assert "not read: extra." in capsys.readouterr().out


def test_a_split_given_for_the_whole(tmp_path):
    pets(tmp_path / "train")
    pets(tmp_path / "test")
    with pytest.raises(FileNotFoundError, match="Give the folder above it"):
        load_images(tmp_path / "train", "test")


def test_only_test_images(tmp_path):
    pets(tmp_path / "val")
    assert load_images(tmp_path, "test").classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("cifar10/Train", "has Train, .* rename it to train/"),
        ("cifar10/cifar10/train", "cifar10 lies where a class is expected and holds train"),
        ("cifar10/images/train", "images lies where a class is expected and holds train"),
        ("cifar10/all", "holds one class, all, .* give .*all instead"),
    ],
)
def test_cifar10_that_is_meant_but_laid_out_otherwise(tmp_path, monkeypatch, inside, words):
    for name in CIFAR10_CLASSES:
        write(tmp_path / inside / name / "1.png")
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=words):
        load_images("cifar10")


def test_cifar10_one_folder_too_high(tmp_path, monkeypatch, capsys):
    for name in CIFAR10_CLASSES:
        write(tmp_path / "train" / name / "1.png")
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    assert load_images("cifar10", limit=10).name == "shapes"
    assert "It holds train: they should lie in a folder cifar10/" in capsys.readouterr().out


def test_the_folder_for_kept_images_is_no_class(tmp_path, capsys):
    pets(tmp_path)
    for _ in range(2):
        assert load_images(tmp_path, root=tmp_path / "cache").classes == ("cat", "dog")
    assert "cache (the course keeps its own files there)" in capsys.readouterr().out


# --- one bad entry ---------------------------------------------------------------------------------------------------


def dangling(dog: Path) -> None:
    (dog / "bad.jpg").symlink_to(dog / "nowhere.jpg")


def link_to_itself(dog: Path) -> None:
    (dog / "bad.jpg").symlink_to(dog / "bad.jpg")


def link_to_the_folder_above(dog: Path) -> None:
    (dog / "bad").symlink_to(dog.parent, target_is_directory=True)


def link_to_its_own_folder(dog: Path) -> None:
    (dog / "bad").symlink_to(dog, target_is_directory=True)


def pipe(dog: Path) -> None:
    os.mkfifo(dog / "bad.jpg")


def a_socket(dog: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(dog / "bad.jpg"))


def empty(dog: Path) -> None:
    (dog / "bad.jpg").write_bytes(b"")


def truncated(dog: Path) -> None:
    noise = Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64, 3), np.uint8))
    noise.save(dog / "bad.jpg")
    (dog / "bad.jpg").write_bytes((dog / "bad.jpg").read_bytes()[:-900])


def bomb(dog: Path) -> None:
    (dog / "bad.png").write_bytes(png(8, 2, b"", size=(60_000, 60_000)))


def broken_header(dog: Path) -> None:
    (dog / "bad.tif").write_bytes(b"II*\0" + b"\xff" * 40)


def text_inside(dog: Path) -> None:
    (dog / "bad.png").write_text("not found")


@linux
@pytest.mark.parametrize(
    "spoil",
    [
        dangling,
        link_to_itself,
        link_to_the_folder_above,
        link_to_its_own_folder,
        pipe,
        a_socket,
        empty,
        truncated,
        bomb,
        broken_header,
        text_inside,
    ],
)
def test_one_bad_entry_is_named_and_the_others_load(tmp_path, monkeypatch, capsys, spoil):
    monkeypatch.chdir(pets(tmp_path))
    spoil(tmp_path / "dog")
    for _ in range(2):
        assert load_images(tmp_path, size=8).labels.bincount().tolist() == [2, 2]
        assert f"dog{os.sep}bad" in capsys.readouterr().out


def test_a_folder_that_is_called_like_an_image(tmp_path):
    write(pets(tmp_path) / "dog" / "x.jpg" / "1.png")
    assert load_images(tmp_path).labels.bincount().tolist() == [2, 3]


@linux
def test_a_class_that_is_a_bad_link(tmp_path, capsys):
    pets(tmp_path)
    (tmp_path / "owl").symlink_to(tmp_path / "nowhere")
    (tmp_path / "yak").symlink_to("yak")
    assert load_images(tmp_path).classes == ("cat", "dog")
    assert "owl (No such file or directory), yak (Too many levels" in capsys.readouterr().out
    (tmp_path / "all").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(ValueError, match=r"no images of all.*a link to a folder around it"):
        load_images(tmp_path)


def test_a_linked_class_is_one(tmp_path):
    pets(tmp_path / "elsewhere")
    (tmp_path / "mine").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "mine" / name).symlink_to(tmp_path / "elsewhere" / name, target_is_directory=True)
    assert load_images(tmp_path / "mine").labels.bincount().tolist() == [2, 2]


@pytest.mark.parametrize("place", ["dog", "dog/deep"])
def test_a_folder_that_may_not_be_looked_into(tmp_path, monkeypatch, place, capsys):
    """Root may look into every folder: the refusal is simulated."""
    write(pets(tmp_path) / "dog" / "deep" / "1.png")
    original = os.scandir

    def scandir(folder):
        if Path(folder) == tmp_path / place:
            raise PermissionError(13, "Permission denied", str(folder))
        return original(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    if place == "dog":
        with pytest.raises(ValueError, match=r"no images of dog.*dog \(Permission denied\)"):
            load_images(tmp_path)
    else:
        assert len(load_images(tmp_path)) == 4
        assert f"{Path(place)} (Permission denied)" in capsys.readouterr().out


def test_a_file_that_vanishes_meanwhile(tmp_path, monkeypatch, capsys):
    pets(tmp_path)
    original = folders.listed

    def listed_and_lost(*args):
        listing = original(*args)
        (tmp_path / "dog" / "1.png").unlink(missing_ok=True)
        return listing

    monkeypatch.setattr(folders, "listed", listed_and_lost)
    assert len(load_images(tmp_path)) == 3
    assert f"{Path('dog', '1.png')} (No such file or directory)" in capsys.readouterr().out


@linux
def test_names_that_cannot_be_printed(tmp_path, capsys):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/p\xe9ts"))
    pets(folder)
    write(Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")) / "1.png")
    (folder / "dog" / "two\nlines.txt").write_text("")
    (folder / "dog" / "two\nlines.png").write_text("")
    for _ in range(2):
        assert len(load_images(folder)) == 5
        said = capsys.readouterr().out
        said.encode()
        assert r"two\nlines.txt" in said and r"two\nlines.png" in said and r"caf\udce9" in said and r"p\udce9ts" in said
