"""What the lessons prove by training."""

from vit_course.experiments import learn_where
from vit_course.training.reporting import Report


def test_a_vit_without_positions_stays_at_chance_and_one_with_them_does_not():
    without, learned, fixed = (
        learn_where(positions, report=Report()).accuracy for positions in ("none", "learned", "sincos")
    )
    assert abs(without - 0.5) < 0.01  # exactly one of two twins, but for rounding
    assert learned > 0.75 and fixed > 0.75
