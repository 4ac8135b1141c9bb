"""Weights that are kept, with their card."""

import json
import re

import pytest
import torch

from vit_course import ViT, checkpoints, load_images
from vit_course.experiments.encoder import PostNormBlock
from vit_course.training import evaluate

SIZES = {"image_size": (8, 12), "patch_size": 4, "num_classes": 5, "dim": 16, "depth": 2, "heads": 2, "mlp_dim": 24}


@pytest.mark.parametrize("positions", ["learned", "sincos", "none"])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_weights_come_back_in_a_model_of_the_same_kind(tmp_path, positions, pool):
    model = ViT(positions=positions, pool=pool, in_channels=1, **SIZES).eval()
    path = tmp_path / "kept.safetensors"
    checkpoints.save_weights(model, path, {"accuracy": 0.5, "classes": ["Zürich"]})
    again = checkpoints.load_checkpoint(path)
    images = torch.randn(3, 1, 8, 12)
    assert torch.allclose(again(images), model(images), atol=5e-3)
    assert not again.training and next(again.parameters()).dtype == torch.float32
    assert checkpoints.card(path)["accuracy"] == 0.5 and checkpoints.card(path)["classes"] == ["Zürich"]
    assert checkpoints.configuration(again) == checkpoints.configuration(model)
    assert path.stat().st_size < 2.2 * sum(p.numel() for p in model.parameters()) + 4_000


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint 'nothing'"):
        checkpoints.load_checkpoint("nothing")
    with pytest.raises(ValueError, match="no weights at"):
        checkpoints.load_checkpoint(tmp_path / "none.safetensors")
    path = tmp_path / "kept.safetensors"
    checkpoints.save_weights(ViT(**SIZES), path, {})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"cannot be read as weights .* train it again"):
        checkpoints.load_checkpoint(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(ValueError, match="the card of these weights, cannot be read"):
        checkpoints.load_checkpoint(path)


def test_the_card_of_another_model_is_said(tmp_path):
    path, card = tmp_path / "kept.safetensors", tmp_path / "kept.json"
    checkpoints.save_weights(ViT(**SIZES), path, {})
    configuration = checkpoints.card(path)["configuration"]
    for wrong in ({**configuration, "dim": 32}, {**configuration, "colour": "red"}, {**configuration, "depth": 1}):
        card.write_text(json.dumps({"configuration": wrong}))
        with pytest.raises(ValueError, match="do not belong together"):
            checkpoints.load_checkpoint(path)
    for wrong in ("{}", "[]"):
        card.write_text(wrong)
        with pytest.raises(ValueError, match="do not belong together"):
            checkpoints.load_checkpoint(path)


def test_heads_of_another_width_come_back(tmp_path):
    model = ViT(dim_head=12, **SIZES).eval()
    checkpoints.save_weights(model, tmp_path / "wide.safetensors", {})
    images = torch.randn(2, 3, 8, 12)
    again = checkpoints.load_checkpoint(tmp_path / "wide.safetensors")
    assert torch.allclose(again(images), model(images), atol=5e-3)


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("tiny-imagenet", 200)])
def test_those_that_come_with_the_course_are_whole(name, classes):
    model, card = checkpoints.load_checkpoint(name), checkpoints.card(name)
    assert name in checkpoints.names()
    assert len(card["classes"]) == model.head.out_features == classes
    assert len({*card["classes"]}) == classes and not any(re.fullmatch(r"n\d+", said) for said in card["classes"])
    assert card["command"].startswith(f"vit-course train {name}")
    assert {"data", "hardware", "minutes", "accuracy", "recipe"} <= card.keys()
    assert (checkpoints.HERE / f"{name}.safetensors").stat().st_size <= 6_000_000
    # Lesson 10 looks at them: nothing in them was put there by hand.
    assert (card["recipe"]["init"], card["recipe"]["whiten"]) == ("fan_in", False)
    assert (model.pool, card["configuration"]["positions"]) == ("cls", "learned")


@pytest.mark.parametrize("name", ["cifar10", "tiny-imagenet"])
def test_what_was_learned_can_be_told_from_the_noise_at_the_start(name):
    after, before = (
        load(name).embedding.projection.weight.detach()
        for load in (checkpoints.load_checkpoint, checkpoints.before_training)
    )
    assert torch.corrcoef(torch.stack([after.flatten(), before.flatten()]))[0, 1] > 0.9, "the same start"
    learned = after - (after * before).sum() / (before * before).sum() * before

    def smoothness(filters):
        """How alike neighbouring pixels are in the five strongest components: 0 for noise."""
        strongest = torch.linalg.svd(filters - filters.mean(dim=0), full_matrices=False)[2][:5].view(5, 4, 4, 3)
        strongest = strongest - strongest.mean(dim=(1, 2), keepdim=True)
        return (strongest[:, 1:] * strongest[:, :-1]).mean() / strongest.square().mean()

    assert smoothness(learned) > 0.25 > 0.1 > smoothness(before)


def test_a_card_without_a_recipe_has_no_start(tmp_path):
    checkpoints.save_weights(ViT(**SIZES), tmp_path / "kept.safetensors", {})
    with pytest.raises(ValueError, match="holds no recipe that can be built"):
        checkpoints.before_training(tmp_path / "kept.safetensors")


def test_the_card_of_cifar10_says_what_the_weights_do(real_images, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_DATA", str(real_images))
    test = load_images("cifar10", "test", limit=2_000)
    said = checkpoints.card("cifar10")["accuracy"]
    assert abs(evaluate(checkpoints.load_checkpoint("cifar10"), test) - said) < 0.04  # four standard errors


OTHERS = ["headless", "another encoder", "larger", "uneven", "other blocks", "no ViT"]


def other_models():
    headless = ViT(classification=False, **SIZES)
    other_encoder = ViT(encoder=torch.nn.Identity(), **SIZES)
    larger = ViT(**SIZES)
    larger.extra = torch.nn.Linear(2, 2)
    uneven = ViT(**SIZES)
    uneven.encoder.blocks[1].mlp = type(uneven.encoder.blocks[1].mlp)(16, 48)
    post_norm = ViT(**SIZES)
    post_norm.encoder.blocks = torch.nn.ModuleList(PostNormBlock(16, 2, 24) for _ in range(2))
    return [headless, other_encoder, larger, uneven, post_norm, torch.nn.Linear(2, 2)]


@pytest.mark.parametrize("number", range(6), ids=OTHERS)
def test_a_model_that_could_not_be_loaded_again_is_not_kept(tmp_path, number):
    model, path = other_models()[number], tmp_path / "new" / "kept.safetensors"
    for attempt in (checkpoints.try_to_save, checkpoints.save_weights):
        with pytest.raises(ValueError, match="none that ViT"):
            attempt(model, path, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("facts", [{"classes": ["caf\udce9"]}, {"command": "train \ud800"}, {"seed": torch.tensor(3)}])
def test_a_card_that_cannot_be_written_is_said_before_the_weights_are(tmp_path, facts):
    for attempt in (checkpoints.try_to_save, checkpoints.save_weights):
        with pytest.raises(ValueError, match=r"card .*kept\.json cannot"):
            attempt(ViT(**SIZES), tmp_path / "kept.safetensors", facts)
    assert not list(tmp_path.iterdir())


def test_a_try_leaves_everything_as_it_was(tmp_path):
    path = tmp_path / "run" / "deep" / "kept.safetensors"
    checkpoints.try_to_save(ViT(**SIZES), path, {"accuracy": 0.1})
    assert not list(tmp_path.iterdir())
    checkpoints.save_weights(ViT(**SIZES), path, {"accuracy": 0.5})
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    checkpoints.try_to_save(ViT(**SIZES), path, {"accuracy": 0.1})
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before and len(before) == 2
