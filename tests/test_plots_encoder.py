"""The figures of lesson 06."""

import pytest
import torch
from matplotlib.colors import to_hex

from vit_course import plots
from vit_course.plots.base import ORANGE


def test_norms_stand_beside_the_way_in_pre_norm_and_on_it_in_post_norm():
    pre, post = plots.blocks_compared().figure.axes
    assert [axis.get_title() for axis in (pre, post)] == ["pre-norm", "post-norm"]
    places = {}
    for axis in (pre, post):
        way = axis.lines[-1].get_xdata()[0]  # the tokens' own, drawn last
        places[axis.get_title()] = {text.get_text(): text.get_position() for text in axis.texts if text.get_text()}
        beside = {name for name, (x, _) in places[axis.get_title()].items() if name.isalnum() and x > way + 0.5}
        assert beside == ({"norm1", "attention", "norm2", "mlp"} if axis is pre else {"attention", "mlp"})
        boxes = [patch for patch in axis.patches if hasattr(patch, "get_boxstyle")]
        assert sum(to_hex(box.get_facecolor()).upper() == ORANGE for box in boxes) == 2
    heights = [places["pre-norm"][name][1] for name in ("norm1", "attention", "norm2", "mlp")]
    assert heights == sorted(heights)
    heights = [places["post-norm"][name][1] for name in ("attention", "norm1", "mlp", "norm2")]
    assert heights == sorted(heights)


def test_an_unknown_block_is_named():
    with pytest.raises(ValueError, match="no block 'sandwich'"):
        plots.blocks_compared(["sandwich"])


def test_contributions_are_bars_from_block_0_on():
    axis = plots.contributions([4.0, 9.0], [("attention", [1.0, 2.0]), ("MLP", [3.0, 0.5])]).figure.axes[0]
    heights = [[bar.get_height() for bar in bars] for bars in axis.containers]
    assert heights == [[4, 9], [1, 2], [3, 0.5]]
    assert list(axis.get_xticks()) == [0, 1]
    for bars in axis.containers:  # each beside its own block
        assert [round(bar.get_x() + bar.get_width() / 2) for bar in bars] == [0, 1]
    assert len({bars[0].get_hatch() for bars in axis.containers}) == 3  # told apart without colour


def test_contributions_need_a_length_for_each_block():
    with pytest.raises(ValueError, match="with 2 lengths each; got"):
        plots.contributions([1.0, 2.0], [("attention", [1.0])])


def test_depth_draws_each_line_on_one_scale():
    drawn = plots.by_depth([("a", [("x", [1, 0.1]), ("y", [2, 4])]), ("b", [("x", [3, 5, 7])])], "size", log=True)
    first, second = drawn.figure.axes
    assert [list(line.get_ydata()) for line in first.lines] == [[1, 0.1], [2, 4]]
    assert list(second.lines[0].get_xdata()) == [0, 1, 2]
    assert first.get_yscale() == "log" and first.get_ylim() == second.get_ylim()
    assert first.lines[0].get_linestyle() != first.lines[1].get_linestyle()
    assert plots.by_depth([("", [("x", [1, 2])])], "size", first=5).figure.axes[0].lines[0].get_xdata()[0] == 5


def test_four_lines_are_the_most():
    with pytest.raises(ValueError, match="got 5"):
        plots.by_depth([("", [("x", [1])] * 5)], "size")
    with pytest.raises(ValueError, match="got 5"):
        plots.activations(torch.arange(3.0), [("x", torch.arange(3.0))] * 5)


def test_activations_draw_curves_and_a_difference_beside_them():
    x = torch.linspace(-1, 1, 5)
    curves, difference = plots.activations(x, [("double", 2 * x), ("square", x**2)], ("apart", x**3)).figure.axes
    assert [line.get_label() for line in curves.lines[:2]] == ["double", "square"]
    assert curves.lines[1].get_ydata() == pytest.approx((x**2).numpy())
    assert difference.lines[0].get_ydata() == pytest.approx((x**3).numpy()) and difference.get_title() == "apart"
