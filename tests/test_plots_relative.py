"""The figures of lesson 11 about steps between patches."""

import numpy as np
import pytest
import torch

from vit_course import plots, relative_position_index


def test_pairs_and_steps_have_their_numbers():
    index = relative_position_index(2, 3)
    drawn = plots.step_numbers(index, 2, 3)
    pairs, steps = drawn.figure.axes
    assert np.array_equal(pairs.images[0].get_array(), index)
    assert np.array_equal(steps.images[0].get_array(), np.arange(15).reshape(3, 5))
    assert [text.get_text() for text in pairs.texts] == [str(number) for number in index.flatten().tolist()]
    assert [label.get_text() for label in steps.get_xticklabels()] == ["-2", "-1", "0", "1", "2"]
    assert "15 different numbers" in drawn.alt and "First query: 7, 6, 5, 2, 1, 0" in drawn.alt
    with pytest.raises(ValueError, match=r"an index of \(4, 4\); got \(6, 6\)"):
        plots.step_numbers(index, 2, 2)


def test_a_large_index_shows_colours_alone():
    assert not plots.step_numbers(relative_position_index(4, 4), 4, 4).figure.axes[0].texts


def test_what_is_added_is_drawn_as_seen_from_the_asking_patch():
    """A number for the step from the key above to the query shows above the asking patch."""
    bias = torch.zeros(2, 15)
    query, key = 4, 1  # the middle of the second row of a 2 × 3 grid, and the patch above it
    bias[1, relative_position_index(2, 3)[query, key]] = 2
    drawn = plots.step_maps([("before", torch.zeros(2, 15)), ("after", bias)], 2, 3)
    maps = [axis.images[0].get_array() for axis in drawn.figure.axes]
    assert [one.shape for one in maps] == [(3, 5)] * 4 and maps[3][0, 2] == 2 and maps[3].sum() == 2
    assert "“before”, scale ±0.00: head 0 0.00 everywhere" in drawn.alt
    assert "head 1 most 1 up (2.00)" in drawn.alt
