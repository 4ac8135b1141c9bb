"""The figures of lesson 10."""

import numpy as np
import pytest
import torch

from vit_course import plots

LINE = torch.tensor([0.0, 0.1, 0.6, 1.2, 0.6, 0.1, 0.0])


def test_components_stand_in_a_row_for_each_group_with_grey_for_zero():
    pictures = torch.zeros(3, 2, 2, 3)
    pictures[1, 0] = 0.2  # above
    pictures[2, :, 1] = -4
    figure = plots.components([("a", pictures), ("b", pictures[:2])], columns=3).figure
    drawn = [axis.images[0].get_array() if axis.images else None for axis in figure.axes]
    assert [one is not None for one in drawn] == [True] * 5 + [False]
    assert np.allclose(drawn[0], 0.5)
    assert np.allclose(drawn[1][0], 1) and np.allclose(drawn[1][1], 0.5)  # each by its own largest number
    assert np.allclose(drawn[2][:, 1], 0) and np.allclose(drawn[2][:, 0], 0.5)


def test_each_head_is_a_point_above_its_layer():
    distances = torch.tensor([[3.0, 9.0], [5.0, 7.0]])
    axis = plots.distances_by_depth(distances, [("even", 6.0)], ("before", distances + 1)).figure.axes[0]
    points, others = (collection.get_offsets() for collection in axis.collections)
    assert points.tolist() == [[1, 3], [1, 9], [2, 5], [2, 7]]
    assert others[:, 1].tolist() == [4, 10, 6, 8] and (others[:, 0] != points[:, 0]).all()
    assert axis.lines[0].get_ydata()[0] == 6 and axis.get_ylim()[0] == 0


def test_what_convolutions_see_is_drawn_around_the_middle_with_its_ends():
    axis = plots.seen_by_convolutions([("x", LINE), ("y", 2 * LINE)]).figure.axes[0]
    curve, ends = axis.lines[:2]
    assert curve.get_xdata().tolist() == [-3, -2, -1, 0, 1, 2, 3] and curve.get_ydata().max() == 1
    assert list(ends.get_xdata()) == [-2, 2]
    with pytest.raises(ValueError, match="got 5"):
        plots.seen_by_convolutions([("x", LINE)] * 5)


def test_maps_stand_below_their_pictures_and_show_signs():
    images, maps = torch.rand(2, 3, 8, 8), torch.rand(2, 2, 2)
    figure = plots.maps_on_pictures(images, [("a", maps), ("b", maps - 2)], ["x", "y"]).figure
    axes = np.array(figure.axes).reshape(3, 2)
    assert [axis.get_title() for axis in axes[0]] == ["x", "y"]
    assert [axes[row, 0].get_ylabel() for row in (1, 2)] == ["a", "b"]
    for column in range(2):
        assert np.allclose(axes[1, column].images[0].get_array(), maps[column])
        low, high = axes[2, column].images[0].get_clim()
        assert low == pytest.approx(-high) and axes[1, column].images[0].get_clim()[0] == 0
    with pytest.raises(ValueError, match="2 pictures need"):
        plots.maps_on_pictures(images, [("a", maps[:1])], ["x", "y"])


def test_a_bar_for_each_head_with_its_number():
    axis = plots.without_each_head(torch.tensor([[0.5, 0.1], [0.7, 0.6]]), 0.75, 0.1).figure.axes[0]
    places = {(round(bar.get_x() + bar.get_width() / 2), round(bar.get_height())) for bar in axis.patches}
    assert places == {(1, 50), (1, 10), (2, 70), (2, 60)}
    assert [text.get_text() for text in axis.texts] == ["0", "0", "1", "1"]
    assert [line.get_ydata()[0] for line in axis.lines] == [75, 10]


def test_accuracy_falls_along_the_share_that_is_hidden():
    axis = plots.when_masked([0, 0.5], [("a", [0.8, 0.4]), ("b", [0.8, 0.7])], 0.1).figure.axes[0]
    assert [list(line.get_ydata()) for line in axis.lines[:2]] == [[80, 40], [80, 70]]
    assert list(axis.lines[0].get_xdata()) == [0, 50]
    assert axis.lines[0].get_linestyle() != axis.lines[1].get_linestyle()
    with pytest.raises(ValueError, match="got 5"):
        plots.when_masked([0], [("a", [1])] * 5, 0.1)
