"""The figures of lesson 07."""

import pytest
import torch

from vit_course.plots import whole

PARTS = {"MLPs": 60, "attention": 35, "head": 5}


def test_shares_fill_each_bar_and_large_ones_are_labelled():
    axis = whole.parameter_shares([("big", PARTS), ("small", {"MLPs": 1, "attention": 1, "head": 2})]).figure.axes[0]
    bars = sorted((round(bar.get_y() + bar.get_height() / 2), bar.get_x(), bar.get_width()) for bar in axis.patches)
    first, second = bars[:3], bars[3:]
    assert [width for _, _, width in first] == pytest.approx([0.6, 0.35, 0.05])
    assert [left for _, left, _ in second] == pytest.approx([0, 0.25, 0.5])
    assert [text.get_text() for text in axis.texts] == ["60%", "35%", "25%", "25%", "50%"]  # 5% has no room
    assert [text.get_text() for text in axis.get_legend().get_texts()] == list(PARTS)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["big", "small"]


def test_shares_of_other_parts_are_refused():
    with pytest.raises(ValueError, match="same parts"):
        whole.parameter_shares([("a", PARTS), ("b", {"MLPs": 1})])
    with pytest.raises(ValueError, match="at most 7"):
        whole.parameter_shares([("a", dict.fromkeys("abcdefgh", 1))])


def test_accuracies_are_drawn_in_their_order_beside_the_first_and_guessing():
    axis = whole.accuracies([("right", 0.8), ("wrong", 0.25)], chance=0.1).figure.axes[0]
    assert [bar.get_width() for bar in axis.patches] == [80, 25]
    assert [text.get_text() for text in axis.texts] == ["80%", "25%"]
    assert [line.get_xdata()[0] for line in axis.lines] == [80, 10]
    assert axis.yaxis_inverted() and axis.patches[0].get_facecolor() != axis.patches[1].get_facecolor()


def test_logits_stand_against_each_other_with_equal_ones_on_the_line():
    one = torch.tensor([-1.0, 0.0, 2.0])
    same, other = whole.logits_compared([("same", one, one), ("other", one, one.flip(0))]).figure.axes
    assert same.collections[0].get_offsets().tolist() == [[-1, -1], [0, 0], [2, 2]]
    assert other.collections[0].get_offsets().tolist() == [[-1, 2], [0, 0], [2, -1]]
    assert same.get_xlim() == same.get_ylim()
    assert list(same.lines[0].get_xdata()) == list(same.lines[0].get_ydata())
