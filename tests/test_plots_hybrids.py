"""The figure of lessons 09 and 11, and what it needs of lesson 10's."""

import pytest
import torch

from vit_course import plots


def points_of(axis):
    return [line for line in axis.lines if line.get_linestyle() == "None" and line.get_marker() in "os^D"]


def test_runs_are_points_means_a_line_and_errors_bars():
    rows = [("a", {3: [0.2, 0.4], 48: [0.7]}), ("b", {3: [0.5, 0.5]})]
    axis = plots.runs_against(rows, "images", chance=0.1).figure.axes[0]
    points = points_of(axis)
    assert [sorted(line.get_ydata()) for line in points] == [
        pytest.approx(one) for one in ([20, 40], [70], [50, 50])
    ]  # fmt: skip
    assert len({line.get_marker() for line in points}) == 2  # told apart without colour
    means, _, bars = axis.containers[0].lines
    assert [*means.get_ydata()] == pytest.approx([30, 70])
    # Two runs that lie 20 apart: their spread is 20/√2, and the standard error of their mean 10.
    assert [end for _, end in bars[0].get_segments()[0]] == pytest.approx([20, 40])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b", "guessing"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["3", "48"] and axis.get_xscale() == "log"


def test_one_run_has_no_error():
    axis = plots.runs_against([("a", {3: [0.7]})], "images").figure.axes[0]
    assert not any(end == end for _, end in axis.containers[0].lines[2][0].get_segments()[0])  # NaN is not drawn


def test_ticks_say_what_they_are_told():
    axis = plots.runs_against([("a", {1: [0.5], 12: [0.5]})], "depth", ticks={12: "12 × 32"}).figure.axes[0]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "12 × 32"] and axis.get_legend() is None


def test_two_that_are_compared_have_a_title_and_one_scale():
    drawn = plots.runs_against([("a", {1: [0.5]})], "images", title="24 seconds", limits=(0.4, 0.7))
    axis = drawn.figure.axes[0]
    assert axis.get_ylim() == pytest.approx((40, 70)) and axis.get_title() == "24 seconds"
    assert drawn.alt.startswith("“24 seconds”: accuracy against images, on a logarithmic scale: “a” 50.0%")


@pytest.mark.parametrize("rows", [[], [("x", {1: [0.5]})] * 5, [("x", {})], [("x", {1: []})]])
def test_what_cannot_be_drawn_is_refused(rows):
    with pytest.raises(ValueError, match="one to four lines"):
        plots.runs_against(rows, "images")


def test_two_models_heads_stand_beside_each_other_under_their_names():
    drawn = plots.distances_by_depth(torch.ones(2, 3), [("all", 8.0)], ("hybrid", 2 * torch.ones(2, 3)), label="ViT")
    texts = [text.get_text() for text in drawn.figure.axes[0].get_legend().get_texts()]
    many = plots.distances_by_depth(torch.ones(2, 12)).figure.axes[0].collections[0].get_offsets()
    assert len(set(many[:, 0].tolist())) == 24  # and do not hide each other
    assert texts == ["ViT", "hybrid", "all"] and drawn.alt.index("“ViT”") < drawn.alt.index("“hybrid”")
