"""The figures of lesson 05."""

import numpy as np
import pytest
import torch
from matplotlib.patches import FancyBboxPatch, Rectangle

from vit_course.plots import attention

WEIGHTS = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
DIMS = [4, 16]


def words(axis):
    return [text.get_text() for text in axis.texts]


def test_tables_write_their_numbers_a_row_for_each_query():
    axis = attention.tables([("w", WEIGHTS)], ["q0", "q1"], ["k0", "k1"]).figure.axes[0]
    assert words(axis) == ["0.25", "0.75", "1.00", "0.00"]
    assert [text.get_position() for text in axis.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]  # column, row
    assert [label.get_text() for label in axis.get_yticklabels()] == ["q0", "q1"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["k0", "k1"]
    assert axis.images[0].get_clim() == (0, 1)


def test_tables_of_scores_have_a_scale_around_zero_and_no_minus_zero():
    axis = attention.tables([("s", torch.tensor([[-10.0, 5.0], [-0.0, 0.0]]))], "AB").figure.axes[0]
    assert words(axis) == ["-10", "5", "0", "0"]
    assert axis.images[0].get_clim() == (-10, 10)


def test_tables_say_nan_where_there_is_no_number():
    drawn = attention.tables([("n", torch.tensor([[float("nan"), 0.5]]))], ["1"], ["1", "2"])
    assert words(drawn.figure.axes[0]) == ["NaN", "0.50"]
    assert "1 NaN 0.50" in drawn.alt


def test_tables_of_yes_and_no_and_large_ones_show_colours_alone():
    wide = torch.full((7, 7), 1 / 7)
    for table in (WEIGHTS > 0.5, wide):
        names = [str(i) for i in range(len(table))]
        axis = attention.tables([("t", table)], names).figure.axes[0]
        assert words(axis) == []
        assert np.allclose(axis.images[0].get_array(), table.double())


def test_tables_stand_three_in_a_row():
    axes = attention.tables([(name, WEIGHTS) for name in "abcde"], "12").figure.axes
    assert [axis.get_title() for axis in axes] == [*"abcde"]
    rows = {round(axis.get_subplotspec().rowspan.start) for axis in axes}
    assert rows == {0, 1}


def test_tables_name_one_that_has_other_rows():
    with pytest.raises(ValueError, match="'w' is \\(2, 2\\); there are 3 queries, 3 keys"):
        attention.tables([("w", WEIGHTS)], "ABC")


def test_qkv_rows_count_on_from_query_to_value():
    axis = attention.qkv_rows(2, 8).figure.axes[0]
    labels = [text for text in words(axis) if "head" in text]
    assert labels == [f"{name}\nhead {head}" for name in "qkv" for head in (0, 1)]
    assert [text for text in words(axis) if "head" not in text] == ["0", "8", "16", "24", "32", "40", "48"]
    assert len([patch for patch in axis.patches if isinstance(patch, FancyBboxPatch)]) == 6


def test_curves_against_width_can_be_told_apart_without_colour():
    curves = [("a", [0.1, 0.2], [1e-2, 1e-3]), ("b", [0.5, 0.9], [1e-2, 1e-9])]
    left, right = attention.against_width(DIMS, curves, marked=8).figure.axes
    for axis, which in ((left, 1), (right, 2)):
        drawn = axis.lines[:2]
        assert [list(line.get_ydata()) for line in drawn] == [curve[which] for curve in curves]
        assert len({(line.get_marker(), line.get_linestyle()) for line in drawn}) == 2
        assert list(axis.lines[2].get_xdata()) == [8, 8]
    assert right.get_yscale() == "log"


def test_costs_are_drawn_in_milliseconds_and_megabytes():
    time, memory = attention.costs([64, 128], [("a", [0.001, 0.004], [1_000_000, 4_000_000])]).figure.axes
    assert np.allclose(time.lines[0].get_ydata(), [1, 4])
    assert np.allclose(memory.lines[0].get_ydata(), [1, 4])


@pytest.mark.parametrize("draw", [attention.against_width, attention.costs])
def test_a_fourth_curve_is_not_dropped(draw):
    with pytest.raises(ValueError, match="got 4"):
        draw(DIMS, [("curve", [0.5, 0.5], [1.0, 1.0])] * 4)


def test_the_asking_patch_is_framed_in_the_picture_and_in_each_map():
    maps = torch.zeros(2, 4, 2)
    maps[0, 3, 1], maps[1, 0, 0] = 0.5, 0.25
    axes = attention.heads_on_picture(torch.rand(3, 16, 8), (2, 1), maps, ["a", "b"]).figure.axes
    assert [axis.get_title() for axis in axes] == ["the patch that asks", "a", "b"]
    for axis, corner, size in ((axes[0], (3.5, 7.5), 4), (axes[1], (0.5, 1.5), 1), (axes[2], (0.5, 1.5), 1)):
        frame = next(patch for patch in axis.patches if isinstance(patch, Rectangle))
        assert (frame.get_xy(), frame.get_width(), frame.get_height()) == (corner, size, size)
    assert [axis.get_xlabel() for axis in axes[1:]] == ["at most 50%", "at most 25%"]
    assert [axis.images[0].get_clim()[1] for axis in axes[1:]] == [0.5, 0.25]


def test_each_map_needs_its_title():
    with pytest.raises(ValueError, match="2 heads need as many titles; got 1"):
        attention.heads_on_picture(torch.rand(3, 8, 8), (0, 0), torch.rand(2, 2, 2), ["a"])


def test_offsets_down_are_drawn_downwards_and_in_proportion():
    offsets = torch.tensor([[2.0, 0.5], [-1.0, 0.0]])  # down, right
    axis = attention.mean_offsets([("t", offsets)]).figure.axes[0]
    assert np.allclose(axis.collections[0].get_offsets(), [[0.5, 2], [0, -1]])
    below, above = axis.get_ylim()
    assert below > 2 > above and axis.get_aspect() == 1
    assert axis.get_xlim() == (above, below)  # the same reach in all directions
    with pytest.raises(ValueError, match="got 4"):
        attention.mean_offsets([("t", offsets)] * 4)
