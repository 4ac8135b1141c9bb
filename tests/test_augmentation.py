"""Changed images."""

import pytest
import torch
import torch.nn.functional as F

from vit_course.images import to_floats
from vit_course.training.augmentation import cutmix, policy, resize
from vit_course.training.steps import mixup, one_hot, random_crop_flip


def numbered(batch=64, height=5, width=7, dtype=torch.float32):
    """Every pixel has a number of its own; 0 is the frame."""
    count = batch * 3 * height * width
    return torch.arange(1, count + 1).reshape(batch, 3, height, width).to(dtype)


def test_to_floats():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    assert torch.allclose(to_floats(images), torch.tensor([-1, -0.6, 1.0]).reshape(1, 1, 1, 3))


@pytest.mark.parametrize("size", [(16, 16), (24, 20), (32, 40), (64, 48)])
def test_resizing_is_torchs_own(size):
    images = torch.randn(3, 2, 32, 40, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(images, size=size, mode="bilinear", antialias=True)
    assert torch.allclose(resize(images, size), expected, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 1, 3])
def test_each_image_is_a_crop_of_its_own_maybe_mirrored(padding):
    torch.manual_seed(0)
    images = numbered(400)
    changed = random_crop_flip(images, padding)
    places, mirrored = set(), 0
    for before, after in zip(F.pad(images, (padding,) * 4), changed, strict=True):
        found = [
            (top, left, flip)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
            for flip in (False, True)
            if torch.equal(after.flip(-1) if flip else after, before[:, top : top + 5, left : left + 7])
        ]
        assert len(found) == 1
        places.add(found[0][:2])
        mirrored += found[0][2]
    assert len(places) == (2 * padding + 1) ** 2
    assert 0.4 < mirrored / 400 < 0.6


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_crops_keep_dtype_and_shape_and_repeat_with_the_seed(dtype):
    images = (numbered(8) % 256).to(dtype)
    before = images.clone()
    torch.manual_seed(1)
    first = random_crop_flip(images)
    torch.manual_seed(1)
    assert torch.equal(random_crop_flip(images), first) and not torch.equal(random_crop_flip(images), first)
    assert first.dtype == dtype and first.shape == images.shape and torch.equal(images, before)


def test_one_hot_with_smoothing():
    assert torch.allclose(one_hot(torch.tensor([2]), 4, 0.2), torch.tensor([[0.05, 0.05, 0.85, 0.05]]))


def test_mixup_by_its_definition():
    images, labels, permutation = numbered(3), torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1])
    mixed, targets = mixup(images, labels, 0.75, permutation, 3)
    assert torch.allclose(mixed[0], 0.75 * images[0] + 0.25 * images[2])
    assert torch.allclose(targets, torch.tensor([[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 1.0, 0]]))


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.9, 1.0])
def test_cutmix_pastes_one_rectangle_and_counts_it(lam):
    torch.manual_seed(0)
    images, labels, permutation = numbered(4, 8, 12), torch.arange(4), torch.tensor([1, 2, 3, 0])
    covered = []
    for _ in range(200):
        mixed, targets = cutmix(images, labels, lam, permutation, 4)
        pasted = mixed != images
        assert torch.equal(mixed[pasted], images[permutation][pasted])
        rows, columns = pasted[0, 0].any(1), pasted[0, 0].any(0)
        assert torch.equal(pasted, (rows[:, None] & columns).expand_as(pasted))
        share = pasted[0, 0].float().mean().item()
        covered.append(share)
        assert targets[0].tolist() == pytest.approx([1 - share, share, 0, 0])
    assert max(covered) == pytest.approx(1 - lam, abs=0.15)
    assert torch.equal(images, numbered(4, 8, 12))


@pytest.mark.parametrize("name", ["randaugment", "autoaugment"])
def test_policies_change_images_one_by_one(name):
    torch.manual_seed(0)
    image = (torch.rand(3, 16, 16) * 255).to(torch.uint8)
    changed = policy(image.expand(12, 3, 16, 16), name)
    assert changed.dtype == torch.uint8 and changed.shape == (12, 3, 16, 16)
    assert len({tuple(one.flatten().tolist()) for one in changed}) > 4
    with pytest.raises(ValueError, match="randaugment, autoaugment"):
        policy(changed, "other")
