"""What the lessons prove by training."""

import pytest
import torch

from vit_course import position_similarity, sincos_positions
from vit_course.experiments import learn_where, share_explained
from vit_course.training.reporting import Report


def test_a_vit_without_positions_stays_at_chance_and_one_with_them_does_not():
    without, learned, fixed = (
        learn_where(positions, report=Report()).accuracy for positions in ("none", "learned", "sincos")
    )
    assert abs(without - 0.5) < 0.01  # exactly one of two twins, but for rounding
    assert learned > 0.75 and fixed > 0.75


def test_what_depends_on_the_distance_alone_is_explained_by_it():
    places = torch.arange(12)
    rows, columns = ((axis[:, None] - axis).abs() for axis in (places // 4, places % 4))
    assert share_explained((-rows).exp(), rows) == pytest.approx(1)
    assert share_explained((-rows).exp(), columns) < 0.5
    both = 1 / (1 + rows + columns**2)
    assert share_explained(both, rows, columns) == pytest.approx(1)
    assert max(share_explained(both, rows), share_explained(both, columns)) < 0.9


def test_of_random_positions_next_to_nothing_is_explained_and_of_the_formula_all():
    places = torch.arange(64)
    apart = [(axis[:, None] - axis).abs() for axis in (places // 8, places % 8)]
    torch.manual_seed(0)
    chance = 62 / (64 * 63 / 2 - 1)  # kinds of pairs, of all pairs
    assert share_explained(position_similarity(torch.randn(64, 192)), *apart) == pytest.approx(chance, abs=0.015)
    assert share_explained(position_similarity(sincos_positions(8, 8, 192)), *apart) == pytest.approx(1)
