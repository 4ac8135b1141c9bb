"""The figures of lesson 03."""

import numpy as np
import pytest
import torch

from vit_course.plots import cls_token

SEEDED = torch.Generator().manual_seed(0)
PICTURES = torch.rand(3, 3, 8, 8, generator=SEEDED)


def words(axis):
    return [text.get_text() for text in axis.texts]


def test_the_sequence_counts_from_cls_on():
    axis = cls_token.sequence_with_cls(list(PICTURES)).figure.axes[0]
    assert words(axis) == ["0", "1", "2", "N tokens", "CLS", "0", "1", "2", "3", "1 + N tokens"]
    before, after = axis.images[:3], axis.images[3:]
    for picture, one, other in zip(PICTURES, before, after, strict=True):  # the same patches, in the same order
        assert np.allclose(one.get_array(), picture.permute(1, 2, 0))
        assert np.allclose(other.get_array(), picture.permute(1, 2, 0))


def test_vectors_of_all_panels_share_one_scale():
    small, large = torch.tensor([[0.5, -1.0]]), torch.tensor([[4.0, 0.0], [-2.0, 1.0]])
    first, second = cls_token.vectors([("small", small), ("large", large)]).figure.axes
    assert first.images[0].get_clim() == second.images[0].get_clim() == (-4, 4)
    assert np.array_equal(second.images[0].get_array(), large)
    assert [label.get_text() for label in second.get_yticklabels()] == ["image 0", "image 1"]


def test_boards_alone():
    axes = cls_token.boards(PICTURES, ["a", "b", "c"]).figure.axes
    assert [axis.get_title() for axis in axes] == ["a", "b", "c"]
    assert all(words(axis) == [] for axis in axes)


def test_weights_stand_under_their_board_with_the_largest_named_in_its_place():
    weights = torch.full((3, 2, 4), 0.05)
    weights[0, 1, 3] = weights[1, 0, 2] = weights[2, 1, 0] = 0.65
    axes = cls_token.boards(PICTURES, ["a", "b", "c"], weights).figure.axes
    assert len(axes) == 6
    for below, one, place in zip(axes[3:], weights, ((3, 1), (2, 0), (0, 1)), strict=True):
        assert np.array_equal(below.images[0].get_array(), one)
        assert words(below) == ["65%"]
        assert below.texts[0].get_position() == place  # column, row


def test_each_board_needs_its_title():
    with pytest.raises(ValueError, match="3 images need as many titles; got 2"):
        cls_token.boards(PICTURES, ["a", "b"])


def test_learning_draws_per_cent_against_steps():
    axis = cls_token.learning(
        [("CLS", [0.25, 0.5, 1.0]), ("mean", [0.25, 0.25, 0.2])], chance=0.25, every=20
    ).figure.axes[0]
    cls, mean, guessing = axis.lines
    assert list(cls.get_xdata()) == [0, 20, 40]
    assert list(cls.get_ydata()) == [25, 50, 100]
    assert set(guessing.get_ydata()) == {25}
    assert cls.get_marker() != mean.get_marker()  # told apart without colour
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["CLS", "mean", "guessing"]


def test_listening_draws_pictures_and_weights_on_one_scale():
    weights = torch.tensor([[0.1, 0.2, 0.7, 0.0], [0.25, 0.25, 0.25, 0.25], [0.4, 0.3, 0.2, 0.1]])
    axes = np.array(cls_token.listening([("the picture", PICTURES), ("weights", weights)]).figure.axes).reshape(2, 3)
    assert [line[0].get_ylabel() for line in axes] == ["the picture", "weights"]
    for above, below, picture, one in zip(*axes, PICTURES, weights, strict=True):
        assert np.allclose(above.images[0].get_array(), picture.permute(1, 2, 0))
        assert np.allclose(below.images[0].get_array(), one.reshape(2, 2))
        assert below.images[0].get_clim() == (0, pytest.approx(0.7))
    assert [axis.get_xlabel() for axis in axes[1]] == ["at most 70%", "at most 25%", "at most 40%"]


@pytest.mark.parametrize("wrong", [torch.rand(3, 5), torch.rand(3, 2, 2)])
def test_listening_names_what_is_neither_pictures_nor_weights(wrong):
    with pytest.raises(ValueError, match="'odd' should be"):
        cls_token.listening([("odd", wrong)])


def test_learning_does_not_drop_a_fourth_curve():
    with pytest.raises(ValueError, match="got 4"):
        cls_token.learning([("curve", [0.5, 1.0])] * 4, chance=0.25, every=20)
