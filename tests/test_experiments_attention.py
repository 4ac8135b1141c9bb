"""What the lessons prove by training."""

import pytest

from vit_course.experiments import attention_cost


def test_attention_written_out_keeps_the_table_of_pairs_and_fused_attention_does_not():
    tokens, heads, dim_head = [64, 128, 256], 2, 16
    written, fused = attention_cost(tokens, heads, dim_head).values()
    for count, kept in zip(tokens, written.kept, strict=True):
        # The weights; queries and keys, also scaled; values: float32.
        assert kept >= 4 * heads * (count**2 + 3 * count * dim_head)
    assert written.kept[2] / written.kept[1] > 2.5
    assert fused.kept[2] / fused.kept[1] == pytest.approx(2, rel=0.05)
    assert all(seconds > 0 for cost in (written, fused) for seconds in cost.seconds)
