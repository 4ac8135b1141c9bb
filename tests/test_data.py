"""Loading images: the ladder of sources for CIFAR-10, image folders, and the two data sets drawn on the spot."""

import errno
import hashlib
import io
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from image_server import ImageServer
from PIL import Image
from torch import nn

from vit_course.data import CIFAR10_CLASSES, folders, load_images, loading, synthetic
from vit_course.data.download import Remote, StorageError
from vit_course.data.loading import BATCHES, CIFAR10_ARCHIVE, TARBALL, DamagedError
from vit_course.patches import patchify

PER_BATCH = 20


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A machine on which the course has never run, and where the network's hosts are all unreachable."""
    for name in ("VIT_COURSE_DATA", "VIT_COURSE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


def batch(seed: int) -> dict[bytes, object]:
    rng = np.random.RandomState(seed)
    return {
        b"data": rng.randint(0, 256, (PER_BATCH, 3072), dtype=np.uint8),
        b"labels": [int(label) for label in rng.permutation(PER_BATCH) % 10],
    }


BATCH_FILES = {name: batch(seed) for seed, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"])}


@pytest.fixture(scope="module")
def tarball() -> bytes:
    """A small archive laid out like the real one, whose batches do not stand in order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name in sorted(BATCH_FILES, reverse=True):
            content = pickle.dumps(BATCH_FILES[name], protocol=2)
            member = tarfile.TarInfo(f"{BATCHES}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture
def server(tarball):
    with ImageServer(tarball) as server:
        yield server


def archive(tarball: bytes, *urls: str) -> Remote:
    return Remote(urls or ("http://127.0.0.1:1/none",), hashlib.md5(tarball).hexdigest(), len(tarball))


def expected(split: str) -> tuple[np.ndarray, np.ndarray]:
    names = [name for name in BATCH_FILES if name.startswith("data" if split == "train" else "test")]
    pixels = np.concatenate([BATCH_FILES[name][b"data"] for name in names]).reshape(-1, 3, 32, 32)
    return pixels, np.concatenate([BATCH_FILES[name][b"labels"] for name in names])


def assert_is_cifar10(loaded, split: str = "train") -> None:
    pixels, labels = expected(split)
    assert loaded.name == "cifar10"
    assert loaded.classes == CIFAR10_CLASSES
    assert loaded.images.dtype == torch.uint8
    assert loaded.labels.dtype == torch.int64
    assert np.array_equal(loaded.images.numpy(), pixels)
    assert np.array_equal(loaded.labels.numpy(), labels)


def write_image(
    path: Path, colour: object = (200, 30, 30), size: tuple[int, int] = (32, 32), mode: str = "RGB"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def cifar10_tree(root: Path, count: int = 3, suffix: str = "png", splits: tuple[str, ...] = ("train", "test")) -> Path:
    for split in splits:
        for label, name in enumerate(CIFAR10_CLASSES):
            for number in range(count):
                write_image(root / "cifar10" / split / name / f"{number:04}.{suffix}", (label * 20, number * 40, 90))
    return root


# --- CIFAR-10: the ladder --------------------------------------------------------------------------------------------


def test_downloads_once_then_uses_the_cache(server, tarball, capsys):
    served = archive(tarball, server.url("missing"), server.url("good"))
    first = load_images("cifar10", archive=served)
    assert_is_cifar10(first)
    assert "downloaded from 127.0.0.1" in first.source
    assert first.source in capsys.readouterr().out
    asked = len(server.requests)
    for split in ("train", "test", "train"):
        again = load_images("cifar10", split, archive=served)
        assert_is_cifar10(again, split)
        assert again.source == f"from the course's own folder/{TARBALL}"
    assert len(server.requests) == asked


def test_no_network_falls_back_to_shapes_with_a_notice(tarball, capsys):
    loading._notice.cache_clear()  # as in a new session
    loaded = load_images("cifar10", "test", limit=30, archive=archive(tarball))
    out = capsys.readouterr().out
    assert "NOTICE: these are not CIFAR-10 images" in out
    assert "cannot be reached" in out
    assert loaded.name == "shapes"
    assert loaded.classes == synthetic.SHAPES
    assert 'INSTEAD of "cifar10"' in loaded.source
    assert len(loaded) == 30
    load_images("cifar10", "train", limit=30, archive=archive(tarball))
    again = capsys.readouterr().out
    assert "NOTICE" not in again and 'INSTEAD of "cifar10"' in again, "the long notice is said once"


def test_a_failed_download_is_not_tried_again_in_the_same_session(server, tarball):
    served = archive(tarball, server.url("busy"))
    train, test = (load_images("cifar10", split, limit=10, archive=served) for split in ("train", "test"))
    assert train.classes == test.classes == synthetic.SHAPES
    assert train.source == test.source
    assert server.asked() == ["busy"]


def test_hosts_that_serve_rubbish_fall_back_to_shapes_and_keep_nothing(server, tarball, home, capsys):
    loaded = load_images("cifar10", limit=10, archive=archive(tarball, *server.urls("corrupt", "portal", "busy")))
    assert loaded.name == "shapes"
    assert "other bytes" in capsys.readouterr().out
    assert not (home / "data" / TARBALL).exists()


def test_offline_asks_no_host_and_says_so(server, tarball, monkeypatch, capsys):
    monkeypatch.setenv("VIT_COURSE_OFFLINE", "1")
    loaded = load_images("cifar10", limit=10, archive=archive(tarball, server.url("good")))
    assert loaded.name == "shapes"
    assert "VIT_COURSE_OFFLINE is set" in loaded.source
    assert "VIT_COURSE_OFFLINE is set" in capsys.readouterr().out
    assert server.requests == []


def test_offline_still_uses_what_is_on_the_machine(server, tarball, home, monkeypatch):
    load_images("cifar10", archive=archive(tarball, server.url("good")))
    monkeypatch.setenv("VIT_COURSE_OFFLINE", "1")
    assert_is_cifar10(load_images("cifar10", archive=archive(tarball)))


def test_offline_set_to_0_is_online(server, tarball, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_OFFLINE", "0")
    assert_is_cifar10(load_images("cifar10", archive=archive(tarball, server.url("good"))))


@pytest.mark.parametrize("form", ["tarball", "batches", "tarball in cifar10/"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_an_instructors_copy_comes_first(tarball, tmp_path, monkeypatch, form, split):
    shared = tmp_path / "shared"
    place = shared / "cifar10" if "in" in form else shared
    place.mkdir(parents=True)
    if form == "batches":
        (shared / BATCHES).mkdir()
        for name, content in BATCH_FILES.items():
            (shared / BATCHES / name).write_bytes(pickle.dumps(content))
    else:
        (place / TARBALL).write_bytes(tarball)
    monkeypatch.setenv("VIT_COURSE_DATA", str(shared))
    loaded = load_images("cifar10", split, archive=archive(tarball))
    assert_is_cifar10(loaded, split)
    assert "$VIT_COURSE_DATA" in loaded.source
    assert str(tmp_path) not in loaded.source, "a notebook that is shared should not show whose machine it ran on"


@pytest.mark.parametrize(("suffix", "note"), [("png", ""), ("jpg", " (JPEG copy)"), ("webp", " (WebP copy)")])
def test_an_instructors_image_folder(tmp_path, monkeypatch, suffix, note):
    monkeypatch.setenv("VIT_COURSE_DATA", str(cifar10_tree(tmp_path / "shared", suffix=suffix)))
    loaded = load_images("cifar10")
    assert loaded.source == f"from $VIT_COURSE_DATA/cifar10{note}"
    assert loaded.classes == CIFAR10_CLASSES
    assert loaded.labels.bincount().tolist() == [3] * 10
    assert not torch.equal(loaded.labels, loaded.labels.sort().values), "classes are mixed"
    red = loaded.images.float().mean((2, 3))[:, 0]
    assert torch.allclose(red, loaded.labels * 20.0, atol=6), "each image has its own label"


def test_a_class_that_is_missing_is_named(tmp_path, monkeypatch):
    shared = cifar10_tree(tmp_path / "shared")
    (shared / "cifar10" / "train" / "frog").rename(shared / "cifar10" / "train" / "toad")
    monkeypatch.setenv("VIT_COURSE_DATA", str(shared))
    with pytest.raises(ValueError, match="frog, toad"):
        load_images("cifar10")


def test_a_split_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_DATA", str(cifar10_tree(tmp_path / "shared", splits=("train",))))
    with pytest.raises(FileNotFoundError, match="no test/ or val/"):
        load_images("cifar10", "test")


@pytest.mark.parametrize("exists", [True, False])
def test_a_shared_folder_without_cifar10_is_mentioned_and_passed_over(
    server, tarball, tmp_path, monkeypatch, capsys, exists
):
    shared = tmp_path / "shared"
    if exists:
        shared.mkdir()
    monkeypatch.setenv("VIT_COURSE_DATA", str(shared))
    assert_is_cifar10(load_images("cifar10", archive=archive(tarball, server.url("good"))))
    assert f"no CIFAR-10 in $VIT_COURSE_DATA ({shared})" in capsys.readouterr().out


def test_a_damaged_shared_archive_is_an_error_that_names_it(tarball, tmp_path, monkeypatch):
    (tmp_path / TARBALL).write_bytes(tarball[:-100])
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    with pytest.raises(DamagedError, match=f"{TARBALL} is damaged or not complete.*Copy it there again"):
        load_images("cifar10", archive=archive(tarball))


def test_a_damaged_cached_archive_is_downloaded_again(server, tarball, home, capsys):
    (home / "data").mkdir(parents=True)
    (home / "data" / TARBALL).write_bytes(tarball[:-100])
    assert_is_cifar10(load_images("cifar10", archive=archive(tarball, server.url("good"))))
    assert "damaged" in capsys.readouterr().out
    assert server.asked() == ["good"]


def test_offline_a_damaged_cached_archive_stays_and_what_is_wrong_is_said(server, tarball, home, monkeypatch, capsys):
    monkeypatch.setenv("VIT_COURSE_OFFLINE", "1")
    cached = home / "data" / TARBALL
    cached.parent.mkdir(parents=True)
    cached.write_bytes(tarball[:-100])
    assert load_images("cifar10", archive=archive(tarball, server.url("good"))).name == "shapes"
    assert cached.read_bytes() == tarball[:-100] and server.asked() == []
    said = capsys.readouterr().out
    assert f"{TARBALL} is damaged or not complete: it has" in said and "again once VIT_COURSE_OFFLINE is unset." in said


class Evil:
    def __reduce__(self):
        return os.mkdir, ("got-in",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({b"data": Evil(), b"labels": [0]}, "mkdir"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "1 labels"),
        ({b"data": np.zeros((1, 3072), np.float32), b"labels": [0]}, "float32"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, "from 10 to 10"),
        ({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, "0 labels"),
        ([1, 2, 3], "not a CIFAR-10 batch"),
    ],
    ids=["runs code", "labels short", "not bytes", "label 10", "empty", "a list"],
)
def test_a_batch_that_is_none_is_refused(tarball, tmp_path, monkeypatch, content, words):
    (tmp_path / BATCHES).mkdir()
    (tmp_path / BATCHES / "test_batch").write_bytes(pickle.dumps(content))
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DamagedError, match=words):
        load_images("cifar10", "test", archive=archive(tarball))
    assert not (tmp_path / "got-in").exists()


def test_a_missing_batch_is_named(tarball, tmp_path, monkeypatch):
    (tmp_path / BATCHES).mkdir()
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    with pytest.raises(DamagedError, match="lacks data_batch_1, data_batch_2"):
        load_images("cifar10", archive=archive(tarball))


def test_a_home_that_cannot_be_written_is_an_error_with_a_remedy(server, tarball, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path / "a file"))
    with pytest.raises(StorageError, match="Set VIT_COURSE_HOME"):
        load_images("cifar10", archive=archive(tarball, server.url("good")))


def test_the_real_archives_numbers():
    assert CIFAR10_ARCHIVE.md5 == "c58f30108f718f92721af3b95e74349a"
    assert CIFAR10_ARCHIVE.size == 170_498_071
    assert len(CIFAR10_ARCHIVE.urls) >= 3
    assert all(url.startswith("https://") for url in CIFAR10_ARCHIVE.urls)


# --- limit -----------------------------------------------------------------------------------------------------------


def keys(loaded) -> list[bytes]:
    return [image.numpy().tobytes() for image in loaded.images]


@pytest.mark.parametrize("source", ["tarball", "folder", "shapes"])
def test_limit_takes_equally_many_of_each_class_and_grows_from_its_beginning(tarball, tmp_path, monkeypatch, source):
    if source == "tarball":
        (tmp_path / TARBALL).write_bytes(tarball)
    elif source == "folder":
        cifar10_tree(tmp_path)
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    name = "shapes" if source == "shapes" else "cifar10"

    def load(limit):
        return load_images(name, limit=limit, archive=archive(tarball))

    large = load(25)
    assert len(large) == 25
    assert set(large.labels.bincount().tolist()) == {2, 3}
    small = load(7)
    assert keys(small) == keys(large)[:7]
    assert torch.equal(small.labels, large.labels[:7])
    assert keys(load(7)) == keys(small)
    if source != "shapes":  # there are thousands of them
        for limit in (30, 1000):  # 30 are all
            assert keys(load(limit))[:25] == keys(large)


def test_a_limit_above_the_number_of_images_takes_all(tmp_path, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_DATA", str(cifar10_tree(tmp_path)))
    assert len(load_images("cifar10", limit=1000)) == 30


def test_a_limit_decodes_no_more_files_than_it_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_DATA", str(cifar10_tree(tmp_path)))
    decoded = []
    original = folders._decode_file
    monkeypatch.setattr(folders, "_decode_file", lambda *args: decoded.append(args) or original(*args))
    part = load_images("cifar10", limit=7)
    assert len(decoded) == 7
    load_images("cifar10")
    assert len(decoded) == 7 + 30
    again = load_images("cifar10", limit=7)
    assert len(decoded) == 7 + 30, "now everything is kept"
    assert keys(again) == keys(part)


# --- folders of one's own --------------------------------------------------------------------------------------------


def test_a_folder_with_a_subfolder_per_class(tmp_path, capsys):
    folder = tmp_path / "pets"
    for number in range(3):
        write_image(folder / "dog" / f"{number}.png", (number, 0, 0))
        write_image(folder / "cat" / "nested" / f"{number}.JPG", (number, 0, 0))
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / "dog" / "notes.txt").write_text("woof")
    loaded = load_images(str(folder))
    assert loaded.classes == ("cat", "dog")
    assert loaded.labels.bincount().tolist() == [3, 3]
    assert loaded.name == "pets"
    assert repr(loaded) == f"ImageSet(pets, train: 6 × 3 × 32 × 32, 2 classes, from the folder {folder})"
    assert "6 images" in capsys.readouterr().out
    (tmp_path / "mine").symlink_to(folder, target_is_directory=True)
    assert load_images(tmp_path / "mine").name == "mine"
    with pytest.raises(FileNotFoundError, match="no test/ or val/"):
        load_images(folder, "test")


@pytest.mark.parametrize("second", ["test", "val"])
def test_a_folder_with_splits(tmp_path, second):
    for name in ("cat", "dog", "owl"):
        write_image(tmp_path / "train" / name / "1.png")
    write_image(tmp_path / second / "dog" / "1.png")
    assert len(load_images(tmp_path)) == 3
    held_out = load_images(tmp_path, "test")
    assert held_out.classes == ("cat", "dog", "owl")
    assert held_out.labels.tolist() == [1]
    write_image(tmp_path / second / "yak" / "1.png")
    with pytest.raises(ValueError, match=r"classes that .* has not: yak"):
        load_images(tmp_path, "test")


def test_images_of_different_sizes_need_a_size(tmp_path):
    write_image(tmp_path / "a" / "wide.png", size=(60, 30))
    write_image(tmp_path / "a" / "tall.png", size=(30, 60))
    with pytest.raises(ValueError, match=r"differ in size.*(60 × 30|30 × 60).*size=64"):
        load_images(tmp_path)
    assert load_images(tmp_path, size=24).images.shape == (2, 3, 24, 24)
    assert load_images(tmp_path, size=(16, 48)).images.shape == (2, 3, 16, 48)


def test_a_size_crops_the_middle_and_does_not_squash(tmp_path):
    image = Image.new("RGB", (96, 32), "black")
    image.paste("white", (32, 0, 64, 32))
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "1.png")
    assert (load_images(tmp_path, size=32).images > 250).all()


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("L", 77, (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 77 * 256, (77, 77, 77)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (10, 0), (255, 255, 255)),
    ],
)
def test_every_kind_of_image_becomes_rgb(tmp_path, mode, colour, seen):
    write_image(tmp_path / "a" / "1.png", colour, mode=mode)
    assert load_images(tmp_path).images[0, :, 5, 5].tolist() == list(seen)


def test_palettes_and_sideways_photos(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (8, 8), (200, 100, 50)).quantize(4).save(tmp_path / "a" / "palette.png")
    assert load_images(tmp_path).images[0, :, 0, 0].tolist() == [200, 100, 50]
    (tmp_path / "a" / "palette.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me a quarter to the right"
    Image.new("RGB", (40, 20)).save(tmp_path / "a" / "photo.jpg", exif=exif)
    assert load_images(tmp_path).images.shape == (1, 3, 40, 20)


def test_files_that_are_no_images_are_left_out_and_named(tmp_path, capsys):
    for number in range(4):
        write_image(tmp_path / "a" / f"{number}.png")
    (tmp_path / "a" / "broken.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:50])
    (tmp_path / "a" / "empty.jpg").write_bytes(b"")
    for _ in range(2):  # decoded, then kept
        loaded = load_images(tmp_path)
        assert len(loaded) == len(loaded.labels) == 4
        assert "2 of 6 files" in (out := capsys.readouterr().out)
        assert str(Path("a", "broken.png")) in out
        assert "without 2 unreadable" in loaded.source


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "no subfolders"),
        (lambda folder: (folder / "a").mkdir(), "holds no images"),
        (lambda folder: ((folder / "a").mkdir(), (folder / "a" / "x.png").write_bytes(b"x")), "None of the 1 files"),
    ],
)
def test_a_folder_that_is_no_image_folder(tmp_path, prepare, words):
    prepare(tmp_path)
    with pytest.raises(ValueError, match=words):
        load_images(tmp_path)


def test_decoded_images_are_kept_until_a_file_changes(tmp_path, monkeypatch):
    folder = tmp_path / "own"
    write_image(folder / "a" / "1.png", (1, 1, 1))
    load_images(folder)
    original = folders._decode_file
    monkeypatch.setattr(folders, "_decode_file", None)
    assert load_images(folder).images[0, 0, 0, 0] == 1
    monkeypatch.setattr(folders, "_decode_file", original)
    write_image(folder / "a" / "1.png", (2, 2, 2))
    os.utime(folder / "a" / "1.png", (1, 1))
    assert load_images(folder).images[0, 0, 0, 0] == 2
    write_image(folder / "a" / "2.png", (3, 3, 3))
    assert sorted(load_images(folder).images[:, 0, 0, 0].tolist()) == [2, 3]


def test_kept_images_that_are_damaged_are_decoded_again(tmp_path, home):
    folder = tmp_path / "own"
    write_image(folder / "a" / "1.png", (9, 9, 9))
    load_images(folder)
    (kept,) = (home / "data" / "decoded").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-10])
    assert load_images(folder).images[0, 0, 0, 0] == 9


@pytest.mark.parametrize("trouble", ["unwritable", "full"])
def test_a_disk_that_refuses_never_stops_the_loading_of_a_folder(tmp_path, home, monkeypatch, capsys, trouble):
    write_image(tmp_path / "own" / "a" / "1.png", (9, 9, 9))
    if trouble == "unwritable":
        home.write_text("in the way")
    else:

        def full(tensors, path, metadata):
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("safetensors.torch.save_file", full)
    assert load_images(tmp_path / "own").images[0, 0, 0, 0] == 9
    assert "cannot be kept" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_changing_the_images_changes_nothing_that_is_kept(tmp_path):
    write_image(tmp_path / "own" / "a" / "1.png", (9, 9, 9))
    for _ in range(3):
        loaded = load_images(tmp_path / "own")
        assert (loaded.images == 9).all()
        loaded.images.zero_()


def test_changing_cifar10_changes_nothing_that_is_kept(tarball, tmp_path, monkeypatch):
    (tmp_path / TARBALL).write_bytes(tarball)
    monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
    for _ in range(3):
        loaded = load_images("cifar10", archive=archive(tarball))
        assert_is_cifar10(loaded)
        loaded.images.zero_()
        loaded.labels.zero_()


# --- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "words"),
    [
        (("cifar100",), {}, ValueError, '"cifar10", "shapes", "where"'),
        (("shapes", "validation"), {}, ValueError, "'validation'"),
        (("shapes",), {"limit": 0}, ValueError, "at least 1, got 0"),
        (("shapes",), {"size": 16}, ValueError, "32 × 32"),
        (("no/such/folder",), {}, FileNotFoundError, "no/such/folder"),
        ((Path("nowhere"),), {}, FileNotFoundError, "nowhere"),
        ((Path(),), {"size": 0}, ValueError, r"got \(0, 0\)"),
    ],
)
def test_errors_name_the_value(args, kwargs, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        load_images(*args, **kwargs)


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_shapes_are_balanced_repeatable_and_split():
    train, again, test = (load_images("shapes", split, limit=1010) for split in ("train", "train", "test"))
    assert train.images.shape == (1010, 3, 32, 32)
    assert train.labels.bincount().tolist() == [101] * 10
    assert torch.equal(train.images, again.images)
    assert not set(keys(train)) & set(keys(test))
    assert len(set(keys(train))) == 1010
    other = synthetic.generate(synthetic.draw_shapes, "train", 50, seed=1)[0]
    assert not np.array_equal(other, train.images[:50].numpy())


def test_shapes_are_the_same_on_every_machine():
    """Up to rounding: averages over blocks of 8 × 8 pixels of the first image."""
    first = load_images("shapes", limit=1).images[0].float()
    blocks = first.reshape(3, 4, 8, 4, 8).mean((0, 2, 4))
    assert torch.allclose(blocks, torch.tensor(FIRST_SHAPE), atol=0.6)


FIRST_SHAPE = [
    [126.8, 131.8, 147.9, 155.2],
    [128.8, 54.8, 118.3, 165.2],
    [148.8, 150.7, 164.1, 170.5],
    [160.5, 166.5, 175.1, 182.5],
]


def test_every_shape_looks_different_from_every_other():
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    masks = {name: outline(columns, rows) < 0 for name, outline in synthetic.OUTLINES.items()}
    for name, mask in masks.items():
        assert 0.1 < mask.mean() < 0.7, name
        for other, its in masks.items():
            if other != name:
                overlap = (mask & its).sum() / (mask | its).sum()
                assert overlap < 0.85, f"{name} and {other}"


def test_a_linear_model_cannot_tell_the_shapes():
    """Ridge regression on pixels, the best linear guess: a little above chance (0.1), far from learning."""
    train, test = load_images("shapes", limit=5000), load_images("shapes", "test", limit=1000)

    def design(images):
        return torch.cat([images.flatten(1) / 127.5 - 1, torch.ones(len(images), 1)], dim=1)

    x, y = design(train.images), nn.functional.one_hot(train.labels, 10).float()
    weights = torch.linalg.solve(x.T @ x + 5e3 * torch.eye(x.shape[1]), x.T @ y)
    accuracy = (design(test.images) @ weights).argmax(1).eq(test.labels).float().mean().item()
    assert 0.1 < accuracy < 0.25


# --- where -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch_size", [1, 2, 4, 8])
def test_twins_hold_the_same_patches_and_have_different_labels(patch_size):
    loaded = load_images("where", limit=400)
    assert loaded.labels.bincount().tolist() == [200, 200]
    assert torch.equal(loaded.labels[0::2], 1 - loaded.labels[1::2])
    for one, other in patchify(loaded.images, patch_size).unflatten(0, (-1, 2)):
        assert sorted(one.tolist()) == sorted(other.tolist())
        assert not torch.equal(one, other)


def test_without_positions_a_transformer_is_right_about_exactly_half():
    loaded = load_images("where", limit=200)
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True).double()
    embed, encoder, head = (
        nn.Linear(48, 16).double(),
        nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
        nn.Linear(16, 2).double(),
    )
    patches = patchify(loaded.images, 4).double() / 255
    with torch.no_grad():
        logits = head(encoder(embed(patches)).mean(1))
    assert torch.allclose(logits[0::2], logits[1::2], atol=1e-9)
    assert logits.std(0).min() > 1e-3, "it does tell pairs apart, only not twins"
    margin = logits[:, 0] - logits[:, 1]
    guess = (margin > margin.median() + 1e-6).long()
    assert guess.eq(loaded.labels).float().mean() == 0.5


def test_with_positions_the_answer_is_plain():
    loaded = load_images("where", "test", limit=400)
    red, _, blue = loaded.images.float().unbind(1)
    tiles = nn.functional.avg_pool2d(red - blue, 8)  # (N, 4, 4)
    reddest, bluest = tiles.flatten(1).argmax(1) % 4, tiles.flatten(1).argmin(1) % 4
    assert torch.equal((reddest > bluest).long(), loaded.labels)


def test_where_test_images_are_new():
    train, test = load_images("where", limit=500), load_images("where", "test", limit=500)
    assert not set(keys(train)) & set(keys(test))


# --- real images -----------------------------------------------------------------------------------------------------


@pytest.mark.real_images
def test_real_images(real_images, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_DATA", str(real_images))
    for split in ("train", "test"):
        loaded = load_images("cifar10", split, limit=300)
        assert loaded.name == "cifar10"
        assert loaded.images.shape == (300, 3, 32, 32)
        assert loaded.labels.bincount().tolist() == [30] * 10
        assert loaded.classes == CIFAR10_CLASSES
        mean = loaded.images.float().mean((0, 2, 3)) / 255
        assert torch.allclose(mean, torch.tensor([0.49, 0.48, 0.45]), atol=0.05), "the well-known means of CIFAR-10"
