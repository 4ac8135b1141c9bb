"""The table of ingredients: it goes on where it was stopped, and says what may be chance."""

import dataclasses
import json

import pytest

from vit_course.data import load_images
from vit_course.experiments import ingredients
from vit_course.experiments.__main__ import main


@pytest.fixture
def sets():
    images = ingredients.smaller(load_images("shapes", limit=160), 16)
    return images.some(slice(128)), images.some(slice(128, None))


def table_of(tmp_path, accuracies):
    """A table with these accuracies for each change, one for each seed."""
    runs = [
        {"change": change, "seed": seed, "accuracy": one, "seconds": 1.0, "hardware": "a CPU", "date": "2026-01-01"}
        for change in ingredients.CHANGES
        for seed, one in enumerate(accuracies.get(change, (0.4, 0.42, 0.44)))
    ]
    facts = {"images": "drawn", "size": 16, "learned_from": 128, "held_out": 32, "steps": 2}
    path = tmp_path / "table.json"
    path.write_text(json.dumps({**facts, "runs": runs}))
    return path


@pytest.mark.parametrize("table", [ingredients.TABLE, ingredients.SHORT])
def test_the_courses_tables_are_whole(table):
    found = ingredients.measured(table)
    assert [effect.name for effect in found.effects] == list(ingredients.CHANGES)
    assert found.effects[0].difference == 0 and found.noise > 0
    assert "training images" in found.conditions


def test_a_difference_beyond_noise_is_told_from_one_within(tmp_path):
    path = table_of(tmp_path, {"with mixup": (0.2, 0.22, 0.24), "no warm-up": (0.41, 0.43, 0.45)})
    found = {effect.name: effect for effect in ingredients.measured(path).effects}
    noise = ingredients.measured(path).noise
    assert noise == pytest.approx(2 * (2 * 0.02**2 / 3) ** 0.5)
    assert found["with mixup"].difference == pytest.approx(-0.2) and abs(found["no warm-up"].difference) < noise


def test_a_table_with_one_run_of_a_change_says_nothing(tmp_path):
    with pytest.raises(ValueError, match="not complete"):
        ingredients.measured(table_of(tmp_path, {"with mixup": (0.2,)}))


def test_it_goes_on_where_it_was_stopped(tmp_path, sets, monkeypatch):
    monkeypatch.setattr(ingredients, "CHANGES", dict(list(ingredients.CHANGES.items())[:2]))
    table, said = tmp_path / "table.json", []
    ingredients.measure(*sets, table, steps=2, seeds=(0,), say=said.append)
    first = json.loads(table.read_text())["runs"]
    ingredients.measure(*sets, table, steps=2, seeds=(0, 1), say=said.append)
    runs = json.loads(table.read_text())["runs"]
    assert runs[:2] == first and [(run["change"], run["seed"]) for run in runs] == [
        (change, seed) for seed in (0, 1) for change in ingredients.CHANGES
    ]
    assert len(said) == 4
    with pytest.raises(ValueError, match="measured otherwise"):
        ingredients.measure(*sets, table, steps=3, say=said.append)


def test_each_change_changes_the_recipe_in_that_alone(sets):
    plain = ingredients.recipe_with(ingredients.AS_IT_IS, 1, sets[0])
    assert plain.seed == 1 and plain.image_size == 16 and plain.sizes == ()
    for change, settings in ingredients.CHANGES.items():
        changed = ingredients.recipe_with(change, 1, sets[0])
        assert changed == dataclasses.replace(plain, **settings)
        assert (changed == plain) is (change == ingredients.AS_IT_IS)


def test_smaller_pictures_are_means(sets):
    images = load_images("shapes", limit=2)
    small = ingredients.smaller(images, 16)
    assert small.images.shape == (2, 3, 16, 16)
    assert small.images[0, 0, 0, 0] == images.images[0, 0, :2, :2].float().mean().round()


def test_too_few_images_for_a_batch_are_said(tmp_path, sets):
    with pytest.raises(ValueError, match="a batch takes 64 images and there are 32"):
        ingredients.measure(sets[1], sets[0], tmp_path / "table.json", steps=2)


def test_other_images_are_refused(capsys):
    assert main(["ingredients"]) == 1
    assert "about CIFAR-10" in capsys.readouterr().err
