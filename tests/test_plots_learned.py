"""The figures of lesson 08."""

import pytest
import torch

from vit_course import plots


def test_curves_are_told_apart_without_colour_and_shares_are_percent():
    drawn = plots.over_time([("a", [1, 2], [0.1, 0.2]), ("b", [1, 3], [0.3, 0.4])], "s", "accuracy", percentages=True)
    axis = drawn.figure.axes[0]
    assert [list(line.get_ydata()) for line in axis.lines] == [[10, 20], [30, 40]]
    assert axis.lines[0].get_linestyle() != axis.lines[1].get_linestyle()
    assert axis.get_ylabel() == "accuracy, %" and axis.get_ylim()[0] == 0


@pytest.mark.parametrize("lines", [[("x", [1], [1.0])] * 5, [("x", [], [])]])
def test_more_than_four_curves_and_empty_ones_are_refused(lines):
    with pytest.raises(ValueError, match="up to four lines with values"):
        plots.over_time(lines, "step", "rate")


def test_losses_of_runs_share_a_scale_and_draw_both():
    run = ("A", [2.0] * 20, [(10, 1.5), (20, 2.5)])
    first, second = plots.losses_of_runs([run, ("B", [1.0] * 20, [(20, 1.0)])]).figure.axes
    assert first.get_ylim() == second.get_ylim()
    assert list(first.lines[1].get_xdata()) == [10, 20] and list(first.lines[1].get_ydata()) == [1.5, 2.5]
    assert first.lines[0].get_ydata() == pytest.approx(2.0)


def test_effects_draw_runs_means_and_noise():
    axis = plots.effects([("as it is", [0.4, 0.42]), ("less", [0.3, 0.32])], 0.41, 0.02).figure.axes[0]
    band, (base, *rows) = axis.patches[0], axis.lines
    assert base.get_xdata()[0] == pytest.approx(41)
    left, right = band.get_extents().transformed(axis.transData.inverted()).intervalx
    assert (left, right) == (pytest.approx(39), pytest.approx(43))
    assert rows[2].get_xdata()[0] == pytest.approx(31) and list(rows[3].get_xdata()) == [
        pytest.approx(30),
        pytest.approx(32),
    ]
    assert rows[0].get_color() != rows[2].get_color(), "what is beyond noise looks otherwise"


def test_a_row_for_each_class_and_a_column_for_each_answer():
    counts = torch.tensor([[3, 2], [0, 4]])
    axis = plots.confusion(counts, ["cat", "dog"]).figure.axes[0]
    assert {(*text.get_position(), text.get_text()) for text in axis.texts} == {(0, 0, "3"), (1, 0, "2"), (1, 1, "4")}
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat", "dog"]
    assert axis.get_xlabel() == "called" and axis.get_ylabel() == "is"
    assert axis.images[0].get_array().tolist() == [[0.6, 0.4], [0, 1]]  # shares of a row


def test_many_classes_with_long_names_fit_on_the_page():
    names = [f"a rather long name, number {number}" for number in range(40)]
    figure = plots.confusion(torch.eye(40, dtype=torch.int64), names).figure
    assert max(figure.get_size_inches()) <= 10


def test_a_class_without_images_is_no_division_by_zero():
    assert "1 of 1 right" in plots.confusion(torch.tensor([[1, 0], [0, 0]]), ["cat", "dog"]).alt
    assert "no images" in plots.confusion(torch.zeros(2, 2, dtype=torch.int64), ["cat", "dog"]).alt


def test_counts_and_names_that_do_not_go_together():
    with pytest.raises(ValueError, match="3 classes have"):
        plots.confusion(torch.eye(2, dtype=torch.int64), ["a", "b", "c"])


def test_calibration_gathers_by_how_sure():
    sure, right = torch.tensor([0.95, 0.93, 0.42, 1.0]), torch.tensor([True, False, False, True])
    above, below = plots.calibration(sure, right).figure.axes
    assert list(above.lines[1].get_xdata()) == [pytest.approx(42), pytest.approx(96)]
    assert list(above.lines[1].get_ydata()) == [pytest.approx(0), pytest.approx(200 / 3)]
    assert [bar.get_height() for bar in below.patches] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 3]
