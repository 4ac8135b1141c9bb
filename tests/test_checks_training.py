"""Judging random crops by where their pixels came from, and steps by what the weights become."""

import math

import pytest
import torch
from torch import nn

from vit_course.checks import crops, evaluate
from vit_course.checks.catalogue.lesson_08 import _cropping
from vit_course.checks.training_observers import LAYERS, optimizer_of, small_model
from vit_course.training import random_crop_flip

RIGHT = {
    "pixels": crops.OWN,
    "each image": "is one crop of its frame",
    "moved up or down": "evenly",
    "moved left or right": "evenly",
    "mirrored": "about half",
    "drawn together": "no",
}


def found(change, padding=2, calls=48, seed=0):
    torch.manual_seed(seed)
    batches = crops.numbered_batches(calls, 24, 2, 7, 9)
    return crops.properties(batches, torch.stack([change(batch) for batch in batches]), padding)


@pytest.mark.parametrize("seed", range(40))
def test_right_crops_have_the_same_properties_whatever_was_drawn(seed):
    assert found(lambda images: random_crop_flip(images, 2), seed=seed) == RIGHT


def test_every_single_crop_is_read_off_rightly():
    """Against the padded image, cut by hand, for each place and both sides."""
    images = crops.numbered_batches(1, 1, 2, 7, 8)[0]
    padded = nn.functional.pad(images, (3,) * 4)
    for top in range(7):
        for left in range(7):
            cut = padded[:, :, top : top + 7, left : left + 8]
            for mirrored, result in ((False, cut), (True, cut.flip(-1))):
                ways = crops._ways(result[None], 3)
                assert (ways.top.item(), ways.left.item()) == (top, left)
                assert ways.mirrored.item() is mirrored and ways.whole.item()


def test_a_pixel_changed_is_seen():
    def spoilt(images):
        result = random_crop_flip(images, 2)
        result[5, 1, 3, 3] = result[5, 1, 3, 4]
        return result

    assert found(spoilt)["each image"] == "is no crop of its frame"
    assert found(lambda images: random_crop_flip(images, 2) * 1.01)["pixels"].startswith("some are neither")
    assert found(lambda images: random_crop_flip(images, 2).roll(1, 0))["pixels"] == "some are another image's"


@pytest.mark.parametrize(
    "change", [torch.round, torch.floor, torch.trunc, torch.abs, torch.neg, torch.relu, torch.sign]
)
def test_a_result_that_was_rounded_or_lost_its_signs_is_seen_and_not_taken_for_a_frame(change):
    assert found(lambda images: change(random_crop_flip(images, 2))) != RIGHT
    slug = evaluate("random_crop_flip", lambda images, padding=4: change(random_crop_flip(images, padding))).mistake
    assert slug != "frame-of-another-value"  # the frame is black


def test_a_frame_of_any_colour_is_recognised():
    def coloured(images, padding):
        frame = torch.arange(1, images.shape[1] + 1, dtype=images.dtype).reshape(1, -1, 1, 1)
        padded = frame.expand(len(images), -1, *(side + 2 * padding for side in images.shape[2:])).clone()
        padded[:, :, padding:-padding, padding:-padding] = images
        return padded

    assert evaluate("random_crop_flip", _cropping(pad=coloured)).mistake == "frame-of-another-value"


def test_what_is_told_first_of_wrong_pixels_is_that_they_are_wrong():
    report = evaluate("random_crop_flip", lambda images, padding=4: random_crop_flip(images, padding) * 2)
    assert 'yours is "some are neither the image\'s nor black"' in report.message


def test_a_count_is_impossible_where_chernoff_says_so():
    """The bound holds: the exact tail is below it, and what is likely is never called impossible."""
    total, share = 200, 0.5
    for count in range(101, 201):
        tail = sum(math.comb(total, k) for k in range(count, total + 1)) / 2**total
        if not crops._possible(count, total, share):
            assert tail <= math.exp(-crops.IMPOSSIBLE)
    assert crops._possible(100, 200, 0.5) and not crops._possible(0, 200, 0.5)


def test_the_small_model_is_another_function_in_train_mode_and_its_last_layer_learns_at_half_the_rate():
    state = {"hidden.weight": torch.randn(5, 12), "hidden.bias": torch.randn(5)}
    state |= {"norm.weight": torch.randn(5), "norm.bias": torch.randn(5)}
    state |= {"out.weight": torch.randn(3, 5), "out.bias": torch.randn(3)}
    model, images = small_model(state), torch.randn(4, 3, 2, 2)
    assert not model.training and [name for name, _ in model.named_children() if name in LAYERS] == list(LAYERS)
    assert not torch.allclose(model(images), model.train()(images))
    optimizer = optimizer_of(model, 0.4, 0.0, 0.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.4, 0.2]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 6


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_accuracy_may_come_in_any_floating_dtype(kind):
    def share(logits, labels):
        return (logits.argmax(dim=1) == labels).to(getattr(torch, kind)).mean()

    assert evaluate("accuracy", share).passed
    assert evaluate("accuracy", lambda logits, labels: share(logits, labels)[None]).message


def test_a_stub_is_unattempted_and_one_that_raises_says_where():
    def train_step(model, optimizer, images, targets):
        raise NotImplementedError

    assert evaluate("train_step", train_step).status == "unattempted"

    def wrong(model, optimizer, images, targets):
        return model(images.flatten())

    report = evaluate("train_step", wrong)
    assert report.status == "error" and "return model(images.flatten())" in report.message
