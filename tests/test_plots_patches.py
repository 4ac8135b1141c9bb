"""The figures of lesson 01."""

import numpy as np
import pytest
import torch
from einops import rearrange
from matplotlib.colors import to_rgba

from vit_course.patches import ARTICLE_PATTERN, patchify
from vit_course.plots import base, patches


def words(axis):
    return [text.get_text() for text in axis.texts]


def drawn(axis, index=0):
    return np.asarray(axis.images[index].get_array())


IMAGE = torch.rand(
    3, 4, 6, generator=torch.Generator().manual_seed(0)
)  # not square, so that sides cannot change places
COORDINATES = torch.arange(3 * 4 * 6.0).reshape(1, 3, 4, 6)


def test_tokens_and_cost_draws_counts_and_their_squares():
    tokens, pairs = patches.tokens_and_cost(32, [2, 4, 8], here=4).figure.axes
    assert tokens.lines[0].get_ydata().tolist() == [256, 64, 16]
    assert pairs.lines[0].get_ydata().tolist() == [65536, 4096, 256]
    assert words(pairs) == ["65,536", "4,096", "256"]
    for axis, value in ((tokens, 64), (pairs, 4096)):
        assert len(axis.lines) == 2  # the curve and one mark
        assert axis.lines[1].get_xydata().tolist() == [[4, value]]


def test_tokens_and_cost_marks_nothing_unasked():
    assert all(len(axis.lines) == 1 for axis in patches.tokens_and_cost(32, [2, 4]).figure.axes)


@pytest.mark.parametrize(("sizes", "here"), [([4, 5], None), ([4, 8], 16)])
def test_tokens_and_cost_names_a_size_it_cannot_draw(sizes, here):
    with pytest.raises(ValueError, match=str(here or 5)):
        patches.tokens_and_cost(32, sizes, here=here)


def test_cut_apart_shows_every_patch_in_reading_order():
    whole, apart = patches.cut_apart(IMAGE, 2).figure.axes
    assert np.allclose(drawn(whole), IMAGE.permute(1, 2, 0))
    assert words(apart) == [str(number) for number in range(6)]
    for number, patch in enumerate(patchify(IMAGE[None], 2)[0]):
        assert np.allclose(drawn(apart, number), patch.reshape(2, 2, 3))
    lefts = [image.get_extent()[0] for image in apart.images]
    tops = [image.get_extent()[3] for image in apart.images]
    assert lefts[:3] == sorted(set(lefts)) and lefts[3:] == lefts[:3]
    assert tops[0] == tops[1] == tops[2] < tops[3] == tops[4] == tops[5]


def test_cut_apart_drops_no_pixels():
    with pytest.raises(ValueError, match="4 × 4"):
        patches.cut_apart(IMAGE, 4)


def test_split_a_row_shows_what_einops_does():
    neighbours, strided = patches.split_a_row(12, 4).figure.axes
    for axis, pattern in ((neighbours, "(n p) -> n p"), (strided, "(p n) -> n p")):
        owner = torch.empty(12, dtype=torch.long)
        for patch, pixels in enumerate(rearrange(torch.arange(12), pattern, p=4)):
            owner[pixels] = patch
        said = words(axis)
        assert [word for word in said if word.startswith("patch")] == [f"patch\n{patch}" for patch in owner.tolist()]
        fills = [cell.get_facecolor() for cell in axis.patches[:12]]
        assert len(set(fills)) == 3
        assert all((fills[i] == fills[j]) == (owner[i] == owner[j]) for i in range(12) for j in range(12))
    assert "n, the outer name, walks in steps of 4" in words(neighbours)
    assert "p, the outer name, walks in steps of 3" in words(strided)


@pytest.mark.parametrize(("length", "size"), [(12, 5), (12, 0), (0, 4), (14, 2)])
def test_split_a_row_names_what_cannot_be_drawn(length, size):
    with pytest.raises(ValueError, match=f"{length} pixels"):
        patches.split_a_row(length, size)


def cells(axis):
    """Where the coloured cells are, and the numbers in them: (row, column) → word."""
    coloured = {
        (int(cell.get_y()), int(cell.get_x())) for cell in axis.patches if cell.get_facecolor() != to_rgba("white")
    }
    written = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in axis.texts}
    assert coloured == set(written)
    return written


def test_token_sources_tells_a_block_from_a_strided_sample():
    block = patchify(COORDINATES, 2)[0, 4]
    strided = rearrange(COORDINATES, ARTICLE_PATTERN, patch_x=2, patch_y=2)[0, 0]
    left, right = patches.token_sources(torch.stack([block, strided]), ["block", "strided"], 3, 4, 6).figure.axes
    assert cells(left) == {(2, 2): "0", (2, 3): "3", (3, 2): "6", (3, 3): "9"}
    assert cells(right) == {(0, 0): "0", (0, 3): "3", (2, 0): "6", (2, 3): "9"}
    assert [axis.get_title() for axis in (left, right)] == ["block", "strided"]


def test_token_sources_of_channels_first_tokens():
    token = rearrange(COORDINATES, "b c (h p1) (w p2) -> b (h w) (c p1 p2)", p1=2, p2=2)[0, :1]
    (axis,) = patches.token_sources(token, ["channel first"], 3, 4, 6).figure.axes
    assert cells(axis) == {(0, 0): "0", (0, 1): "1", (1, 0): "2", (1, 1): "3"}


@pytest.mark.parametrize("shift", [-1, 1])
def test_token_sources_refuses_what_is_no_coordinate(shift):
    with pytest.raises(ValueError, match="0 to 71"):
        patches.token_sources(patchify(COORDINATES + shift, 2)[0], ["token"] * 6, 3, 4, 6)


def test_token_sources_wants_a_title_for_each():
    with pytest.raises(ValueError, match="zip"):
        patches.token_sources(patchify(COORDINATES, 2)[0, :2], ["one title"], 3, 4, 6)


def test_token_pictures_draws_each_token_and_leaves_the_rest_empty():
    tokens = patchify(IMAGE[None], 2)[0]
    figure = patches.token_pictures(tokens, 2, 4, "six tokens").figure
    assert figure.get_suptitle() == "six tokens"
    assert len(figure.axes) == 8
    shown = [axis for axis in figure.axes if axis.images]
    assert shown == figure.axes[:6]
    for axis, token in zip(shown, tokens, strict=True):
        assert np.allclose(drawn(axis), token.reshape(2, 2, 3))


def test_token_pictures_refuses_another_patch_size():
    with pytest.raises(ValueError, match="patch size 3"):
        patches.token_pictures(patchify(IMAGE[None], 2)[0], 3, 4)


def test_found_again_strikes_out_what_is_lost():
    found = torch.tensor([[True, False, True], [True, True, False]])
    first, second = patches.found_again([("some", found), ("all", torch.ones(40, 40, dtype=torch.bool))]).figure.axes
    assert first.get_title() == "some\n4 of 6 found again"
    assert second.get_title() == "all\n1,600 of 1,600 found again"
    strokes = {(int(line.get_ydata()[0]), int(line.get_xdata()[0])) for line in first.lines}
    assert strokes == {(0, 1), (1, 2)}  # not by colour alone
    blue = to_rgba(base.SKY)
    assert [cell.get_facecolor() == blue for cell in first.patches] == found.flatten().tolist()
    assert not second.lines


def test_two_orders_draws_both():
    left, right = patches.two_orders(IMAGE, IMAGE.flip(2)).figure.axes
    assert np.allclose(drawn(left), IMAGE.permute(1, 2, 0))
    assert np.allclose(drawn(right), IMAGE.flip(2).permute(1, 2, 0))


def test_two_orders_refuses_pictures_of_two_shapes():
    with pytest.raises(ValueError, match=r"\(3, 4, 6\) and \(3, 6, 4\)"):
        patches.two_orders(IMAGE, IMAGE.transpose(1, 2))


def test_six_axes_lays_each_patch_out_as_patchify_does():
    split, merged = patches.six_axes(4, 6, 2).figure.axes
    numbers = torch.arange(24.0).reshape(1, 1, 4, 6)
    for axis, expected in ((split, numbers.flatten()), (merged, patchify(numbers, 2).flatten())):
        cells = sorted(
            (text.get_position()[1], text.get_position()[0], int(text.get_text()))
            for text in axis.texts
            if text.get_text().isdigit()
        )
        assert [number for _, _, number in cells] == expected.int().tolist()


@pytest.mark.parametrize("sizes", [(4, 5, 2), (8, 8, 2)])
def test_six_axes_names_what_cannot_be_drawn(sizes):
    with pytest.raises(ValueError, match="patches"):
        patches.six_axes(*sizes)
