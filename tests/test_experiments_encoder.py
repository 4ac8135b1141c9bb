"""What the lessons prove by training."""

import torch

from vit_course.experiments import DeepReader, learn_deep, tokens_with_a_dot


def test_a_deep_pre_norm_stack_learns_at_a_rate_at_which_a_post_norm_stack_does_not():
    pre, post = (learn_deep(norm, 16, steps=100, batch_size=32, lr=2e-3, every=100)[-1] for norm in ("pre", "post"))
    assert pre > 0.6 and post < 0.4


def test_both_kinds_begin_with_the_same_weights_and_leave_the_notebook_as_it_was():
    for norm in ("pre", "post"):
        torch.manual_seed(1)
        weights = DeepReader(norm, 2).blocks.state_dict()
        before = weights if norm == "pre" else before
        assert all(torch.equal(weights[name], before[name]) for name in before)
    torch.manual_seed(2)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert len(learn_deep("pre", 1, steps=4, batch_size=8, every=2)) == 3
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


def test_the_puzzle_has_one_dot_and_four_tiles_of_each_colour():
    tokens, labels = tokens_with_a_dot(50, seed=3)
    assert tokens[..., 4].sum(dim=1).tolist() == [1] * 50
    assert torch.equal(tokens[..., :4].sum(dim=1), torch.full((50, 4), 4.0))
    dotted = tokens[torch.arange(50), tokens[..., 4].argmax(dim=1)]
    assert torch.equal(dotted[:, :4].argmax(dim=1), labels)
