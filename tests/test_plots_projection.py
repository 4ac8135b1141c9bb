"""The figures of lesson 02."""

import numpy as np
import pytest
import torch

from vit_course.patches import patchify
from vit_course.plots import projection


def drawn(axis):
    return np.asarray(axis.images[0].get_array())


IMAGE = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
# Pixel (0, 0) has red +2, pixel (0, 1) has green -1; all else is 0.
ROW = torch.tensor([[2.0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0]])


def test_a_row_as_a_picture_keeps_places_and_signs():
    picture = projection.as_pictures(ROW, 2)
    expected = torch.full((1, 3, 2, 2), 0.5)
    expected[0, 0, 0, 0], expected[0, 1, 0, 1] = 1, 0.25
    assert torch.allclose(picture, expected)


def test_each_row_has_its_own_scale_and_zero_is_grey():
    rows = torch.cat([ROW, 100 * ROW, 0 * ROW])
    pictures = projection.as_pictures(rows, 2)
    assert torch.allclose(pictures[0], pictures[1])
    assert torch.equal(pictures[2], torch.full((3, 2, 2), 0.5))


@pytest.mark.parametrize("rows", [torch.zeros(2, 13), torch.zeros(12), torch.zeros(2, 3, 2, 2)])
def test_rows_that_hold_no_patches_are_named(rows):
    with pytest.raises(ValueError, match="2 × 2 pixels"):
        projection.as_pictures(rows, 2)


def test_responses_shows_image_templates_and_answers():
    templates = torch.cat([ROW, -ROW])
    maps = torch.stack([torch.arange(16.0).reshape(4, 4), torch.zeros(4, 4)])
    figure = projection.responses(IMAGE, ["one", "other"], templates, maps, 2).figure
    top, bottom = figure.axes[:3], figure.axes[3:6]
    assert [axis.get_title() for axis in top] == ["", "one", "other"]
    assert np.allclose(drawn(bottom[0]), IMAGE.permute(1, 2, 0))
    assert np.allclose(drawn(top[1]), projection.as_pictures(ROW, 2)[0].permute(1, 2, 0))
    assert np.allclose(drawn(bottom[1]), maps[0])
    assert bottom[1].images[0].get_clim() == (-15, 15)  # white is "no answer", on every map
    low, high = bottom[2].images[0].get_clim()
    assert low == -high < 0  # a map of zeros has colours, too


@pytest.mark.parametrize(("names", "maps"), [(["one"], 2), (["one", "other"], 1), ([], 2)])
def test_responses_names_counts_that_differ(names, maps):
    with pytest.raises(ValueError, match=f"{len(names)} names, 2 templates and {maps} maps"):
        projection.responses(IMAGE, names, ROW.repeat(2, 1), torch.zeros(maps, 4, 4), 2)


@pytest.mark.parametrize("labels", [["one row"], ["one row", "another"]])
def test_rebuilt_has_a_row_for_each_way_and_ends_with_the_original(labels):
    dims = [1, 2]
    pictures = [IMAGE * 0, IMAGE * 0.5]
    axes = projection.rebuilt(IMAGE, dims, [(label, pictures) for label in labels]).figure.axes
    assert [axis.get_title() for axis in axes[:3]] == ["D = 1", "D = 2", "original"]
    for line, label in enumerate(labels):
        row = axes[3 * line : 3 * line + 3]
        assert row[0].get_ylabel() == label
        for axis, picture in zip(row, [*pictures, IMAGE], strict=True):
            assert np.allclose(drawn(axis), picture.permute(1, 2, 0))


def test_rebuilt_names_the_row_that_lacks_an_image():
    with pytest.raises(ValueError, match="'short'"):
        projection.rebuilt(IMAGE, [1, 2], [("right", [IMAGE, IMAGE]), ("short", [IMAGE])])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_lost_draws_every_curve_in_percent_and_its_own_way(count):
    curves = [(f"curve {number}", [0.5, number / 10]) for number in range(count)]
    axis = projection.lost([2, 48], curves).figure.axes[0]
    assert [line.get_label() for line in axis.lines] == [label for label, _ in curves]
    for line, (_, shares) in zip(axis.lines, curves, strict=True):
        assert np.allclose(line.get_ydata(), [100 * share for share in shares])
    looks = {(line.get_marker(), line.get_linestyle()) for line in axis.lines}
    assert len(looks) == count  # told apart without colour
    assert [text.get_text() for text in axis.get_legend().get_texts()] == [label for label, _ in curves]


def test_lost_does_not_drop_a_fourth_curve():
    with pytest.raises(ValueError, match="got 4"):
        projection.lost([2, 48], [("curve", [1.0, 0.0])] * 4)


def test_filters_fill_the_rows_and_leave_the_rest_empty():
    rows = patchify(torch.rand(1, 3, 2, 10, generator=torch.Generator().manual_seed(1)), 2)[0]  # 5 rows
    figure = projection.filters(rows, 2, 3, "five rows").figure
    assert figure.get_suptitle() == "five rows"
    shown = [axis for axis in figure.axes if axis.images]
    assert len(figure.axes) == 6 and len(shown) == 5
    for axis, picture in zip(shown, projection.as_pictures(rows, 2), strict=True):
        assert np.allclose(drawn(axis), picture.permute(1, 2, 0))


def test_axis_orders_writes_where_each_number_belongs():
    places = [(row, column, channel) for row in range(2) for column in range(2) for channel in range(3)]
    figure = projection.axis_orders(2, [("pixel by pixel", places), ("backwards", places[::-1])]).figure
    words = [f"{'RGB'[channel]}\n{row},{column}" for row, column, channel in places]
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["pixel by pixel", "backwards"]
    assert [text.get_text() for text in figure.axes[0].texts] == words
    assert [text.get_text() for text in figure.axes[1].texts] == words[::-1]


def test_the_long_axis_lies_where_the_points_do():
    across = torch.linspace(0, 1, 50)
    pairs = torch.stack([across, 1 - across], dim=1) + 0.01 * torch.randn(50, 2)
    axis = projection.long_axis(pairs[None], ["against"]).figure.axes[0]
    (x0, x1), (y0, y1) = axis.lines[1].get_data()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(-1, abs=0.1)


def test_the_long_axis_wants_pairs_with_titles():
    with pytest.raises(ValueError, match="titles"):
        projection.long_axis(torch.rand(2, 9, 2), ["one"])
    with pytest.raises(ValueError, match="titles"):
        projection.long_axis(torch.rand(1, 9, 3), ["one"])
