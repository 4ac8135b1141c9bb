"""What to expect is said of steps: the slower the machine, the less is promised for the same minutes."""

import itertools
import re
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from small_training import SMALL, images

from vit_course.training import RECIPES, forecast, train
from vit_course.training.expectations import CURVES, Curve, Measured, expected_of
from vit_course.training.recipes import NamedRecipe
from vit_course.training.reporting import Report, announcement

MEASURED = (Measured(100, (0.40, 0.42)), Measured(400, (0.60,)), Measured(1600, (0.79, 0.80, 0.81)))
CURVE = Curve("images", 256, MEASURED)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (20, "less than 41% of images (two runs of 100 steps ended at 40.0 to 42.0%)"),
        (100, "about 41% of images (two runs of 100 steps ended at 40.0 to 42.0%)"),
        (
            200,
            "about 50% of images (two runs of 100 steps ended at 40.0 to 42.0% "
            "and one run of 400 steps ended at 60.0%)",
        ),
        (390, "about 60% of images (one run of 400 steps ended at 60.0%)"),
        (400, "about 60% of images (one run of 400 steps ended at 60.0%)"),
        (1600, "about 80% of images (three runs of 1,600 steps ended at 79.0 to 81.0%)"),
        (9999, "more than 80% of images (three runs of 1,600 steps ended at 79.0 to 81.0%)"),
    ],
)
def test_between_what_was_measured_and_beyond(steps, said):
    assert CURVE.at(steps) == said


@pytest.mark.parametrize("name", CURVES)
def test_curves_belong_to_recipes_and_rise(name):
    points, images = CURVES[name].measured, CURVES[name].learned_from
    assert name in RECIPES
    assert [*points] == sorted(points, key=lambda one: one.steps)
    assert all(a.mean < b.mean for a, b in itertools.pairwise(points))
    assert all(0 < accuracy < 1 for one in points for accuracy in one.accuracies)
    assert expected_of(RECIPES[name].recipe, RECIPES[name].data, images, points[0].steps).startswith("about")


class Announced(Exception):
    """Ends a run before its first step."""


class Listening(Report):
    def start(self, run, seconds):
        raise Announced(announcement(run, seconds))


@pytest.mark.parametrize("seed", [0, 1])
def test_on_a_machine_slowed_down_on_purpose_less_is_promised(monkeypatch, seed):
    recipe = replace(SMALL, seed=seed)
    monkeypatch.setitem(RECIPES, "small", NamedRecipe("shapes", SMALL))
    monkeypatch.setitem(CURVES, "small", Curve("images", 256, (Measured(10, (0.2,)), Measured(10**9, (0.9,)))))
    promised, steps = [], []
    for slower in (1, 1000):
        # The forecast measures its steps with this clock.
        clock = SimpleNamespace(monotonic=lambda slower=slower: slower * time.monotonic())
        monkeypatch.setattr(forecast, "time", clock)
        with pytest.raises(Announced) as said:
            train(recipe, images(), minutes=30, report=Listening(), device="cpu")
        found = re.search(r": ([\d,]+) steps of 32.*Expect about (\d+)% of images", str(said.value), re.DOTALL)
        steps.append(int(found[1].replace(",", "")))
        promised.append(int(found[2]))
    assert steps[0] > 20 * steps[1]
    assert promised[0] > promised[1] + 5


@pytest.mark.parametrize(
    ("number", "model", "promised"), [(256, None, True), (224, None, False), (256, SMALL.build(10), False)]
)
def test_fewer_images_or_another_model_are_promised_nothing(monkeypatch, number, model, promised):
    monkeypatch.setitem(RECIPES, "small", NamedRecipe("shapes", SMALL))
    monkeypatch.setitem(CURVES, "small", CURVE)
    with pytest.raises(Announced) as said:
        train(SMALL, images(limit=number), model=model, report=Listening(), device="cpu")
    assert ("Expect" in str(said.value)) is promised
