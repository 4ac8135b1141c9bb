"""The explorer's still picture."""

import numpy as np
import pytest
import torch

from vit_course.plots.explorer import every_head

CLASSES = ["boat", "tree", "bird"]
SAID = torch.tensor([0.2, 0.7, 0.1])


def maps(layers=2, heads=3, rows=2, columns=4):
    weights = torch.full((layers, heads, rows, columns), 0.01)
    weights[0, :, 1, 2], weights[1, :, 0, 3] = 0.5, 0.2
    return weights


def test_every_head_has_its_map_and_is_warm_where_it_looks():
    picture = torch.full((3, 8, 16), 128, dtype=torch.uint8)
    axes = every_head(picture, maps(), CLASSES, SAID).figure.axes
    assert len(axes) == 1 + 2 * 3 + 1
    assert [axis.get_title() for axis in axes[1:4]] == ["head 0", "head 1", "head 2"]
    assert [axes[at].get_ylabel() for at in (1, 4)] == ["layer 1", "layer 2"]
    shown = axes[1].images[0].get_array()
    assert shown.shape == (8, 16, 3)
    warm = shown[..., 0] - shown[..., 2]  # red against blue
    assert np.allclose(warm[4:, 8:12], warm.max()) and (np.delete(warm, np.s_[8:12], axis=1) < 0.2 * warm.max()).all()


def test_the_likeliest_class_comes_first_and_in_words():
    drawn = every_head(torch.rand(1, 8, 16), maps(), CLASSES, SAID)
    assert [text.get_text() for text in drawn.figure.axes[-1].texts] == ["tree 70%", "boat 20%", "bird 10%"]
    assert "tree 70%, boat 20%, bird 10%" in drawn.alt
    assert "layer 1, row 1, column 2; layer 2, row 0, column 3" in drawn.alt


@pytest.mark.parametrize("layers, heads", [(1, 1), (30, 16)])
def test_models_of_any_size(layers, heads):
    drawn = every_head(torch.rand(3, 8, 16), maps(max(layers, 2), heads)[:layers], CLASSES, SAID)
    assert len(drawn.figure.axes) == 2 + min(layers, 12) * min(heads, 8)
    drawn._repr_mimebundle_()
