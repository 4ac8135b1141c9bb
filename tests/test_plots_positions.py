"""The figures of lesson 04."""

import numpy as np
import pytest
import torch

from vit_course import position_similarity, sincos_positions
from vit_course.plots import positions

SIMILARITY = position_similarity(sincos_positions(2, 3, 8))
LINE = torch.tensor([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.5, 0.5, 0.5]])


def test_a_map_shows_the_row_of_its_place_with_that_place_framed():
    axes = positions.alike(SIMILARITY, [0, 4], 3).figure.axes[:2]
    for axis, place, corner in zip(axes, (0, 4), ((-0.5, -0.5), (0.5, 0.5)), strict=True):
        assert np.allclose(axis.images[0].get_array(), SIMILARITY[place].reshape(2, 3))
        assert axis.images[0].get_clim() == (-1, 1)
        assert axis.patches[0].get_xy() == corner
    assert [axis.get_title() for axis in axes] == ["row 0, column 0", "row 1, column 1"]


def test_tiles_stand_where_their_place_is():
    first, second = positions.similarity_tiles([("a", SIMILARITY), ("b", -SIMILARITY)], 3).figure.axes[:2]
    mosaic = first.images[0].get_array()
    assert mosaic.shape == (2 * 3 - 1, 3 * 4 - 1)
    for place in range(6):
        top, left = place // 3 * 3, place % 3 * 4
        assert np.allclose(mosaic[top : top + 2, left : left + 3], SIMILARITY[place].reshape(2, 3))
    gaps = np.ma.getmaskarray(np.ma.masked_invalid(mosaic))
    assert gaps[2].all() and gaps[:, 3].all() and gaps[:, 7].all()
    assert np.allclose(second.images[0].get_array()[:2, :3], -SIMILARITY[0].reshape(2, 3))


def test_waves_are_features_along_the_places():
    axis = positions.waves(LINE, [0, 2], ["up and down", "flat"]).figure.axes[0]
    for line, feature in zip(axis.lines, (0, 2), strict=True):
        assert np.allclose(line.get_ydata(), LINE[:, feature])
    assert axis.lines[0].get_marker() != axis.lines[1].get_marker()  # told apart without colour
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["up and down", "flat"]


@pytest.mark.parametrize(
    "wrong", [lambda: positions.alike(SIMILARITY, [0], 4), lambda: positions.alike(SIMILARITY, [], 3)]
)
def test_a_map_needs_a_grid_and_a_place(wrong):
    with pytest.raises(ValueError):
        wrong()


@pytest.mark.parametrize("place", [-1, 6])
def test_a_place_that_is_not_there_is_refused(place):
    with pytest.raises(ValueError, match="places 0 to 5"):
        positions.alike(SIMILARITY, [place], 3)


def test_tiles_need_something_square():
    with pytest.raises(ValueError, match="nothing to draw"):
        positions.similarity_tiles([], 3)
    with pytest.raises(ValueError, match="multiple of 3"):
        positions.similarity_tiles([("a", SIMILARITY[:, :5])], 3)


def test_waves_are_few_and_named():
    with pytest.raises(ValueError, match="got 4 and 4"):
        positions.waves(LINE, [0, 1, 2, 0], ["a"] * 4)
    with pytest.raises(ValueError, match="got 2 and 1"):
        positions.waves(LINE, [0, 1], ["a"])
