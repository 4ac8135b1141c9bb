"""What is lost without a part: counted the quick way in the course, the long way here."""

import copy
from dataclasses import replace

import pytest
import torch
from right_answers_06 import OwnAttention
from small_vit import randomised
from torch import nn
from torchvision.models import VisionTransformer

from vit_course import ViT, convert_torchvision_weights, load_images, with_parts
from vit_course.experiments import (
    accuracy_with_hidden,
    accuracy_without_heads,
    cost_of_each_patch,
    gradient_times_token,
    learn_kernels,
    spearman,
)
from vit_course.images import to_floats
from vit_course.inspection import mask_without, recorded_attention, without_heads
from vit_course.training import evaluate

SIZES = {"image_size": 32, "patch_size": 8, "num_classes": 10, "dim": 24, "depth": 3, "heads": 3, "mlp_dim": 32}


@pytest.fixture(scope="module")
def model():
    return randomised(ViT(**SIZES)).eval()


@pytest.fixture(scope="module")
def images(model):
    """Pictures with the classes that the model gives them, one in four another: it is right about three in four."""
    some = load_images("shapes", "test", limit=40)
    with torch.no_grad():
        labels = model(to_floats(some.images)).argmax(dim=1)
    labels[::4] = (labels[::4] + 1) % 10
    return replace(some, labels=labels)


@pytest.mark.parametrize("own", [False, True])
def test_heads_are_taken_away_one_by_one(model, images, own, monkeypatch):
    monkeypatch.setattr("vit_course.experiments.inside.BATCH", 16)
    if own:
        model = with_parts(model, MultiHeadSelfAttention=OwnAttention)
    whole, without = accuracy_without_heads(model, images)
    assert whole == 0.75 == evaluate(model, images)
    for layer in range(3):
        for head in range(3):
            with without_heads(model, (layer, head)):
                assert without[layer, head].item() == pytest.approx(evaluate(model, images))
    assert without.min() < 0.75


def test_hidden_patches_are_counted_in_parts(model, images, monkeypatch):
    hidden = torch.rand(40, 16, generator=torch.Generator().manual_seed(0)) < 0.6
    with torch.no_grad():
        said = model(to_floats(images.images), mask_without(hidden)).argmax(dim=1)
    expected = (said == images.labels).float().mean().item()
    monkeypatch.setattr("vit_course.experiments.inside.BATCH", 16)
    assert accuracy_with_hidden(model, images, hidden) == pytest.approx(expected)
    assert accuracy_with_hidden(model, images, hidden & False) == 0.75


def test_the_cost_of_a_patch_is_what_the_score_loses(model, images):
    inputs = to_floats(images.images[:3])
    named, falls = cost_of_each_patch(model, inputs, patches=16)
    hidden = torch.zeros(1, 16, dtype=torch.bool)
    hidden[0, 5] = True
    with torch.no_grad():
        before, after = model(inputs[2:]), model(inputs[2:], mask_without(hidden))
    assert named[2] == before.argmax() and falls.shape == (3, 16)
    assert falls[2, 5].item() == pytest.approx((before - after)[0, named[2]].item(), abs=1e-5)


def test_images_and_masks_go_where_the_model_is(model, images, monkeypatch):
    """The device "meta" stands in for a GPU: nothing is computed there, so what is said there is not counted."""
    elsewhere, found = copy.deepcopy(model).to("meta"), []
    monkeypatch.setattr("vit_course.experiments.inside._right", lambda *given: found.append(given) or 0)
    accuracy_without_heads(elsewhere, images)
    accuracy_with_hidden(elsewhere, images, torch.ones(40, 16, dtype=torch.bool))
    assert len(found) == 1 + 9 + 1 and {one.device.type for given in found for one in given} == {"meta"}
    _, falls = cost_of_each_patch(elsewhere, to_floats(images.images[:3]).to("meta"), patches=16)
    assert falls.device.type == "meta"


def test_gradient_times_token_is_exact_where_the_score_is_linear(model, images):
    inputs, named = to_floats(images.images[:3]), torch.tensor([1, 4, 0])

    class Plain(nn.Module):
        """The mean of the tokens, read by a classifier: each patch adds a part of its own to the score."""

        def __init__(self):
            super().__init__()
            self.embedding, self.head = model.embedding, nn.Linear(24, 10)
            self.encoder = nn.Module()
            self.encoder.blocks = nn.ModuleList([nn.Identity()])

        def forward(self, images):
            tokens = torch.nn.functional.pad(self.embedding(images), (0, 0, 1, 0))
            return self.head(self.encoder.blocks[0](tokens).mean(dim=1))

    plain = Plain()
    with torch.no_grad():  # it asks for gradients itself
        parts = gradient_times_token(plain, inputs, named)
        scores = plain(inputs).gather(1, named[:, None])[:, 0] - plain.head.bias[named]
    assert parts.shape == (3, 16) and torch.allclose(parts.sum(dim=1), scores, atol=1e-5)


def test_spearman_by_its_formula():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(4, 30, generator=generator), torch.randn(4, 30, generator=generator)
    ranks = [
        [sorted(row).index(value) for value in row]
        for pair in zip(one, other, strict=True)
        for row in map(torch.Tensor.tolist, pair)
    ]
    apart = [sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for x, y in zip(ranks[::2], ranks[1::2], strict=True)]
    expected = [1 - 6 * total / (30 * (30**2 - 1)) for total in apart]  # without ties
    assert spearman(one, other).tolist() == pytest.approx(expected, abs=1e-6)
    assert spearman(one[0], one[0] ** 3).item() == pytest.approx(1)


def test_equals_share_a_rank():
    """Ranks 1.5, 1.5, 3.5, 3.5 against 1 to 4: a correlation of 4 / sqrt(4 · 5)."""
    layers, costs = torch.tensor([1.0, 1, 2, 2]), torch.tensor([1.0, 2, 3, 4])
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [2, 0, 3, 1]):
        assert spearman(layers[order], costs[order]).item() == pytest.approx(4 / 20**0.5)


@pytest.mark.parametrize("streams", [1, 2])
def test_kernels_move_and_the_notebook_stays_as_it_was(streams):
    torch.manual_seed(2)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    before, after, losses = learn_kernels(load_images("shapes", limit=64), steps=3, streams=streams)
    assert before.shape == after.shape == (32, 3, 7, 7) and len(losses) == 3
    assert not torch.equal(before, after)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


def test_torchvisions_vit_can_be_looked_into():
    """A stand-in for its published weights: a small one with random weights, beside its own attention layers."""
    theirs = randomised(
        VisionTransformer(
            image_size=32, patch_size=8, num_layers=3, num_heads=3, hidden_dim=24, mlp_dim=32, num_classes=10
        )
    ).eval()
    ours = ViT(**SIZES).eval()
    ours.load_state_dict(convert_torchvision_weights(theirs.state_dict()))
    seen = []

    def record(layer, given):
        seen.append(layer.self_attention(*[layer.ln_1(given[0])] * 3, need_weights=True, average_attn_weights=False)[1])

    for layer in theirs.encoder.layers:
        layer.register_forward_pre_hook(record)
    inputs = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), recorded_attention(ours) as attentions:
        theirs(inputs)
        ours(inputs)
    assert len(seen) == 3
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(attentions, seen, strict=True))
