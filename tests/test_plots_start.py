"""The figures of lesson 00."""

import numpy as np
import pytest
import torch

from vit_course.plots import start


def words(axis):
    return [text.get_text() for text in axis.texts]


def drawn(axis):
    return axis.images[0].get_array()


STORED = torch.rand(4, 6, 3, generator=torch.Generator().manual_seed(0))
NUMBERED = torch.arange(12).reshape(2, 2, 3)


def test_a_picture_moved_rightly_looks_as_it_was_stored():
    axes = start.channels_first(STORED, STORED.permute(2, 0, 1)).figure.axes
    assert len(axes) == 5
    assert np.allclose(drawn(axes[0]), STORED)
    assert np.allclose(drawn(axes[1]), STORED)


def test_a_picture_moved_wrongly_shows_it():
    moved = STORED.reshape(3, 4, 6)
    axes = start.channels_first(STORED, moved).figure.axes
    assert np.allclose(drawn(axes[0]), STORED)
    assert not np.allclose(drawn(axes[1]), STORED)
    for channel in range(3):
        assert np.allclose(drawn(axes[2 + channel]), moved[channel][..., None])


@pytest.mark.parametrize(
    ("stored", "moved"),
    [(STORED.permute(2, 0, 1), STORED.permute(2, 0, 1)), (STORED, STORED), (STORED, STORED.permute(2, 1, 0))],
)
def test_channels_first_names_a_wrong_shape(stored, moved):
    with pytest.raises(ValueError, match="got"):
        start.channels_first(stored, moved)


def test_number_origins_says_which_number_went_where():
    memory, came, belongs = start.number_origins(NUMBERED, NUMBERED.reshape(3, 2, 2)).figure.axes
    assert words(memory) == [f"{c}\n{r},{k}" for r in range(2) for k in range(2) for c in "RGB"]
    assert words(came) == words(memory)  # `reshape` keeps them in their order
    assert words(belongs) == [f"{c}\n{r},{k}" for c in "RGB" for r in range(2) for k in range(2)]


def test_number_origins_of_the_right_answer():
    _, came, belongs = start.number_origins(NUMBERED, NUMBERED.permute(2, 0, 1)).figure.axes
    assert words(came) == words(belongs)


@pytest.mark.parametrize(
    ("stored", "moved"),
    [
        (NUMBERED, NUMBERED),
        (NUMBERED + 1, NUMBERED.permute(2, 0, 1)),
        (NUMBERED, NUMBERED.permute(2, 0, 1) * 0),
        (NUMBERED.permute(2, 0, 1), NUMBERED.permute(2, 0, 1)),
    ],
)
def test_number_origins_needs_the_numbered_picture(stored, moved):
    with pytest.raises(ValueError, match=r"need|should"):
        start.number_origins(stored, moved)


def test_bracket_order_shows_what_einops_does():
    from einops import rearrange

    figure = start.bracket_order(6, 2).figure
    for axis, pattern in zip(figure.axes, ("(block k) -> block k", "(k block) -> block k"), strict=True):
        assert axis.get_title(loc="left") == f'"{pattern}", k=2'
        blocks = rearrange(torch.arange(6), pattern, k=2).tolist()
        assert words(axis)[-1] == "  ".join(map(str, blocks))
        fills = [cell.get_facecolor() for cell in axis.patches]
        for block in blocks:  # one colour a block, and no colour twice
            assert [number for number in range(6) if fills[number] == fills[block[0]]] == block


@pytest.mark.parametrize(("count", "size"), [(6, 4), (6, 0), (0, 1), (14, 2)])
def test_bracket_order_names_what_cannot_be_drawn(count, size):
    with pytest.raises(ValueError, match=f"{count} numbers"):
        start.bracket_order(count, size)
