"""The figures of lesson 09."""

import pytest

from vit_course import plots


def test_runs_are_points_and_their_means_a_line():
    axis = plots.by_share([("a", {0.01: [0.2, 0.4], 1.0: [0.7]}), ("b", {1.0: [0.5]})], 0.1, images=500).figure.axes[0]
    lines = [line for line in axis.lines if len(line.get_xdata()) and line.get_linestyle() not in ("None", "--")]
    assert [*lines[0].get_xdata()] == [0.01, 1.0] and [*lines[0].get_ydata()] == pytest.approx([30, 70])
    points = [line for line in axis.lines if line.get_linestyle() == "None"]
    assert [sorted(line.get_ydata()) for line in points] == [pytest.approx(one) for one in ([20, 40], [70], [50])]
    assert len({line.get_marker() for line in points}) == 2  # told apart without colour
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]
    assert axis.get_xticklabels()[0].get_text() == "1%\n5 images"


def test_more_lines_than_can_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="four lines can be told apart; got 5"):
        plots.by_share([("x", {1.0: [0.5]})] * 5, 0.1)
