"""The catalogue is its own test suite: every mistake is recognised as itself, every right answer passes."""

import functools
import re

import pytest
import torch
from right_answers import RIGHT_ANSWERS
from torch import nn

from vit_course.checks import evaluate, exercises
from vit_course.checks.catalogue import lesson_01
from vit_course.checks.conditions import standard_state
from vit_course.checks.exercise import Observed
from vit_course.checks.judge import judge

# One for every change, others with what is slow by nature.
SEEDS = (1, 20, 300)
FRESH_SEEDS = (SEEDS[0], *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:]))
MISTAKES = [
    pytest.param(name, slug, candidate, id=f"{name}-{slug}-{number}")
    for name, exercise in exercises().items()
    for slug, mistake in exercise.mistakes.items()
    for number, candidate in enumerate((mistake.candidate, *mistake.variants))
]
ANSWERS = [
    pytest.param(name, answer, id=f"{name}-{number}")
    for name, answers in RIGHT_ANSWERS.items()
    for number, answer in enumerate(answers)
]


def judged_afresh(name, candidate, seed):
    """The same exercise with other sizes and numbers, as a grader judges it."""
    exercise = exercises()[name]
    with standard_state():
        cases = exercise.drawn(seed)
        expected = exercise.expected_on(cases)
        got = exercise.observations(candidate, cases)
        return judge(exercise, cases, expected, got, lambda mistake: observed(name, mistake, seed))


@functools.cache
def observed(name, mistake, seed):
    exercise = exercises()[name]
    return Observed(exercise, mistake, exercise.drawn(seed))


@pytest.mark.parametrize(("name", "slug", "candidate"), MISTAKES)
def test_mistake_is_rejected_and_recognised(name, slug, candidate):
    report = evaluate(name, candidate)
    assert not report.passed
    assert report.mistake == slug
    assert report.message == exercises()[name].mistakes[slug].message


@pytest.mark.parametrize(
    ("seed", "every"), [(SEEDS[0], 4), *(pytest.param(seed, 1, marks=pytest.mark.slow) for seed in SEEDS)]
)
@pytest.mark.parametrize("name", exercises())
def test_mistakes_are_recognised_on_fresh_cases(name, seed, every):
    """In `make test` one in four; each is tried on the cases of a notebook above."""
    some = list(exercises()[name].mistakes.items())[::every]
    recognised = {slug: judged_afresh(name, mistake.candidate, seed).mistake for slug, mistake in some}
    assert recognised == {slug: slug for slug in recognised}


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_right_answer_passes(name, answer):
    report = evaluate(name, answer)
    assert report.passed, report.message


@pytest.mark.parametrize("seed", FRESH_SEEDS)
@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_right_answer_passes_on_fresh_cases(name, answer, seed):
    report = judged_afresh(name, answer, seed)
    assert report.passed, report.message


@pytest.mark.parametrize("name", exercises())
def test_reference_passes(name):
    assert evaluate(name, exercises()[name].reference).passed


@pytest.mark.parametrize("name", exercises())
def test_exercise_is_complete(name):
    exercise = exercises()[name]
    own = [slug for slug in exercise.mistakes if slug not in UNIVERSAL]
    assert exercise.name == name == exercise.reference.__name__
    assert len(own) >= 3
    assert len(RIGHT_ANSWERS[name]) >= 4
    assert len(exercise.hints) >= 3
    assert exercise.reasoning
    assert exercise.points >= 1
    assert all(len(mistake.message) > 20 for mistake in exercise.mistakes.values())


UNIVERSAL = {
    "returns-none",
    "prints-instead",
    "returns-tuple",
    "returns-numpy",
    "changes-input",
    "detaches",
    "loses-dtype",
    "detours-through-float32",
    "needs-contiguous",
}


@pytest.mark.parametrize("name", exercises())
def test_cases_differ_between_seeds(name):
    exercise = exercises()[name]
    assert [case.label for case in exercise.cases(1)] != [case.label for case in exercise.cases(2)]


@pytest.mark.parametrize("name", exercises())
def test_a_case_is_not_changed_by_what_it_is_tried_on(name):
    exercise = exercises()[name]
    before = [dict(case.inputs) | dict(case.forward) for case in exercise.cases(0)]
    spoiler = exercise.mistakes.get("changes-input") or next(iter(exercise.mistakes.values()))
    evaluate(name, spoiler.candidate)
    after = [dict(case.inputs) | dict(case.forward) for case in exercise.notebook_cases]
    for one, other in zip(before, after, strict=True):
        for key, value in one.items():
            assert torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]


@pytest.mark.parametrize("slug", ["reshape-only", "channel-first", "strided-split"])
def test_two_flaws_of_a_patch_embedding_are_both_named(slug):
    mistakes = exercises()["PatchEmbedding"].mistakes
    both = evaluate("PatchEmbedding", mistakes[f"{slug}-and-no-bias"].candidate)
    assert both.mistake == f"{slug}-and-no-bias"
    for one in (slug, "no-bias"):
        assert mistakes[one].message in both.message
        assert evaluate("PatchEmbedding", mistakes[one].candidate).mistake == one


@pytest.mark.parametrize("name", ["patchify", "unpatchify", "prepend_cls_token", "pool", "PatchEmbedding"])
def test_of_a_lost_gradient_and_a_lost_dtype_the_gradient_is_named(name):
    reference = exercises()[name].reference
    if isinstance(reference, type):

        class Both(reference):
            def forward(self, images):
                return super().forward(images).detach().float()

        both = Both
    else:

        def both(*arguments):
            return reference(*arguments).detach().float()

    assert evaluate(name, both).mistake == "detaches"


@pytest.mark.parametrize("make", [torch.zeros, torch.randn, torch.rand])
@pytest.mark.parametrize("one", [True, False])
def test_a_new_parameter_in_place_of_the_cls_token_is_named(make, one):
    def anew(tokens, cls_token):
        parameter = nn.Parameter(make(1 if one else len(tokens), 1, tokens.shape[-1]))
        return torch.cat([parameter.expand(len(tokens), -1, -1), tokens], dim=1)

    named = "zeros-instead" if make is torch.zeros else "made-anew"
    assert evaluate("prepend_cls_token", anew).mistake == named


def test_the_picture_of_unpatchify_shows_a_difference_for_every_wrong_way_to_join():
    for slug in lesson_01.WRONG_CUTS:
        report = evaluate("unpatchify", exercises()["unpatchify"].mistakes[slug].candidate)
        expected, yours = re.findall(r"<table.*?</table>", report.picture, re.DOTALL)
        assert expected.replace("expected", "") != yours.replace("yours", ""), slug
    assert (
        "which number of its patch"
        in evaluate("unpatchify", exercises()["unpatchify"].mistakes["channel-first"].candidate).picture
    )
