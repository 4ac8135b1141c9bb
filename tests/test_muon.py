"""Muon, and the AdamW beside it."""

import copy

import pytest
import torch
from torch import nn

from vit_course.training.optimizers import Muon, orthogonalised


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (16, 40), (40, 16)])
def test_singular_values_come_near_one_and_vectors_stay(rows, columns):
    torch.manual_seed(0)
    matrices = torch.randn(3, rows, columns) * 7
    made = orthogonalised(matrices)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    values = left.mT @ made @ right.mT
    off_diagonal = values - torch.diag_embed(values.diagonal(dim1=1, dim2=2))
    assert off_diagonal.abs().max() < 1e-3
    # The smallest of a square matrix may need more steps.
    assert values.diagonal(dim1=1, dim2=2).max() < 1.3
    assert values.diagonal(dim1=1, dim2=2).median() > 0.6


def gradients(model, seed):
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)


def test_other_groups_are_adamws():
    ours, theirs = (nn.Linear(4, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    muon = nn.Linear(4, 4)
    options = {"lr": 0.1, "weight_decay": 0.2, "betas": (0.8, 0.9)}
    one = Muon([{"params": ours.parameters()}, {"params": [muon.weight], "muon": True}], **options)
    other = torch.optim.AdamW(theirs.parameters(), **options)
    for step in range(4):
        for model, optimizer in ((ours, one), (theirs, other)):
            gradients(model, step)
            muon.weight.grad = torch.randn(4, 4)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_step_is_by_the_definition():
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(6, 4))
    before, momentum = weight.detach().clone(), torch.zeros(6, 4)
    optimizer = Muon([{"params": [weight], "muon": True}], lr=0.1, weight_decay=0.5, momentum=0.9)
    for _ in range(3):
        weight.grad = torch.randn(6, 4)
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * weight.grad
        update = 0.1 * weight.grad + 0.9 * momentum
        before = before * (1 - 0.1 * 0.5) - 0.1 * (6 / 4) ** 0.5 * orthogonalised(update[None])[0]
    assert torch.allclose(weight, before, atol=1e-6)


def test_stacked_matrices_are_made_orthogonal_one_by_one():
    torch.manual_seed(0)
    parts = [nn.Parameter(torch.zeros(4, 4)) for _ in range(3)]
    whole = nn.Parameter(torch.zeros(12, 4))
    whole.grad = torch.randn(12, 4)
    for part, gradient in zip(parts, whole.grad.split(4), strict=True):
        part.grad = gradient.clone()
    Muon([{"params": parts, "muon": True}], lr=1.0, weight_decay=0.0).step()
    Muon([{"params": [whole], "muon": True, "stacked": 3}], lr=1.0, weight_decay=0.0).step()
    assert torch.allclose(torch.cat(parts), whole, atol=1e-6)


def test_it_goes_on_from_its_state():
    torch.manual_seed(0)
    model = nn.Linear(4, 4)
    other = copy.deepcopy(model)

    def build(model):
        return Muon([{"params": [model.bias]}, {"params": [model.weight], "muon": True}], lr=0.1)

    first, second = build(model), build(other)
    gradients(model, 1)
    first.step()
    other.load_state_dict(model.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for one, optimizer in ((model, first), (other, second)):
        gradients(one, 2)
        optimizer.step()
    assert torch.equal(model.weight, other.weight) and torch.equal(model.bias, other.bias)
