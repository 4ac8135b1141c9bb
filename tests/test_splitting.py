"""One's own folders, split into images to learn from and images to test with."""

import pytest
import torch
from PIL import Image

from vit_course.data import ImageSet, learn_and_test, load_images, split_images


def made(counts, name="pets"):
    """An image set with so many images of each class; each image says which it is."""
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4).contiguous()
    classes = tuple("abcdefghij"[: len(counts)])
    return ImageSet(name, "train", images, labels, classes, "made up")


def folder_of(place, counts, size=(8, 8)):
    for label, count in enumerate(counts):
        (place / "abc"[label]).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (size[0] + number, size[1]), (60 * label, number, 7)).save(
                place / "abc"[label] / f"{number}.png"
            )
    return place


@pytest.mark.parametrize("counts", [(10, 10), (5, 20, 9), (2, 2), (3, 40), (100, 1, 7), (1, 2)])
def test_every_image_is_in_one_part_and_each_class_is_split(counts, capsys):
    learn, test = split_images(made(counts))
    together = torch.cat([learn.images, test.images])[:, 0, 0, 0].sort().values
    assert torch.equal(together, torch.arange(sum(counts), dtype=torch.uint8))
    for label, count in enumerate(counts):
        kept_back = int((test.labels == label).sum())
        assert kept_back == (min(count - 1, max(1, round(0.2 * count))) if count > 1 else 0)
    assert (learn.split, test.split, learn.classes) == ("train", "test", test.classes)
    said = capsys.readouterr().out
    assert f"split by seed 0, {len(learn)} images to learn from, {len(test)} to test with" in said
    assert ("of which there is one image" in said) == (1 in counts)


def test_the_seed_decides():
    one, same, other = (split_images(made((30, 30)), seed=seed)[1].images for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    state = torch.get_rng_state()
    split_images(made((3, 3)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("counts", "share", "said"),
    [
        ((9,), 0.2, "holds one class, a: add a folder"),
        ((0, 9), 0.2, "holds one class, b"),
        ((1, 1), 0.2, "one image of each class, so none is left to test with"),
        ((5, 5), 0, "between 0 and 1, such as 0.2; got 0"),
        ((5, 5), 1.0, "got 1"),
    ],
)
def test_what_cannot_be_split_is_said(counts, share, said):
    with pytest.raises(ValueError, match=said):
        split_images(made(counts), share)


def test_a_folder_with_one_level_is_split(tmp_path, capsys):
    learn, test = learn_and_test(folder_of(tmp_path / "pets", (5, 10)), size=32)
    assert (len(learn), len(test)) == (12, 3) and learn.images.shape[2:] == (32, 32)
    assert "pets: split by seed 0" in capsys.readouterr().out


def test_a_folder_with_its_own_splits_is_taken_as_it_is(tmp_path, capsys):
    for split, counts in (("train", (4, 4)), ("val", (2, 1))):
        folder_of(tmp_path / "pets" / split, counts)
    learn, test = learn_and_test(tmp_path / "pets", size=32)
    assert (len(learn), len(test)) == (8, 3) and "split by seed" not in capsys.readouterr().out
    assert torch.equal(test.images, load_images(tmp_path / "pets", "test", size=32).images)


def test_files_that_are_no_pictures_are_left_out_before_the_split(tmp_path, capsys):
    folder = folder_of(tmp_path / "pets", (3, 3))
    (folder / "a" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "a" / "notes.txt").write_text("hello")
    learn, test = learn_and_test(folder)
    assert len(learn) + len(test) == 6
    assert "broken.jpg" in (said := capsys.readouterr().out) and "notes.txt" in said


def test_three_images_are_enough_and_a_class_of_broken_ones_is_said(tmp_path):
    learn, test = learn_and_test(folder_of(tmp_path / "three", (2, 1)))
    assert (len(learn), len(test)) == (2, 1)
    (tmp_path / "three" / "b" / "0.png").write_bytes(b"gone")
    with pytest.raises(ValueError, match="no images of b"):
        learn_and_test(tmp_path / "three")
    with pytest.raises(ValueError, match="holds one class, a"):
        learn_and_test(folder_of(tmp_path / "one", (4,)))
