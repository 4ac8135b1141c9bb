"""Runs that are ill, and the network to compare with."""

import pytest
import torch

from vit_course.data import load_images
from vit_course.experiments import ILLNESSES, SmallCNN, run_with
from vit_course.training import Recipe, train
from vit_course.training.reporting import Report


@pytest.fixture(scope="module")
def sets():
    images = load_images("shapes", limit=160)
    return [images.some(slice(96)), images.some(slice(96, None))]


def test_every_illness_shows_two_losses_and_leaves_the_notebook_as_it_was(sets):
    torch.manual_seed(2)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    runs = {illness: run_with(illness, *sets, steps=20) for illness in ("none", *ILLNESSES)}
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
    for one in runs.values():
        assert len(one.training) == 20 and [step for step, _ in one.held_out] == list(range(1, 21))
    assert len({tuple(one.training) for one in runs.values()}) == 5, "each illness does something"
    assert run_with("none", *sets, steps=20) == runs["none"]


@pytest.mark.parametrize("steps", [1, 19])
def test_few_steps_are_watched_one_by_one(sets, steps):
    assert [step for step, _ in run_with("none", *sets, steps=steps).held_out] == [*range(1, steps + 1)]


def test_without_augmentation_pictures_are_learned_by_heart(sets):
    few = sets[0].some(slice(24))
    plain, cropped = (run_with(kind, few, sets[1], steps=60) for kind in ("no augmentation", "none"))
    assert sum(plain.training[-10:]) < sum(cropped.training[-10:])


def test_an_unknown_illness_is_named(sets):
    with pytest.raises(ValueError, match="got 'flu'"):
        run_with("flu", *sets)


def test_the_small_cnn_learns_as_any_model(sets):
    recipe = Recipe(lr=3e-3, batch_size=32, epochs=8, padding=None, precision="float32")
    cnn = SmallCNN(10, width=8)
    assert cnn(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    trained = train(recipe, sets[0], model=cnn, device="cpu", report=Report())
    assert trained.losses[-1] < trained.losses[0] and trained.model is cnn
