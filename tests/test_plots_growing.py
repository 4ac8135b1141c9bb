"""The figure of the growing model."""

import pytest
import torch

from vit_course.plots import growing

IMAGES = torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_right_and_wrong_are_marked_by_more_than_colour():
    axes = growing.named(IMAGES, ["cat", "dog", "ship"], ["cat", "frog", "ship"]).figure.axes
    assert [axis.get_title() for axis in axes] == ["✓ cat", "✗ dog\nit is: frog", "✓ ship"]
    lines = [axis.spines["left"].get_linestyle() for axis in axes]
    assert lines[0] == lines[2] != lines[1]


@pytest.mark.parametrize(("said", "names"), [(["a"] * 2, ["a"] * 3), (["a"] * 3, ["a"] * 2)])
def test_every_picture_needs_an_answer_and_a_name(said, names):
    with pytest.raises(ValueError, match="3 images"):
        growing.named(IMAGES, said, names)
    with pytest.raises(ValueError, match="0 images"):
        growing.named(IMAGES[:0], [], [])
