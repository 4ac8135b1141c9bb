"""The grader says what the check in the notebook says: of references, of right answers in any style, of mistakes."""

import ast
import functools
import inspect
import re

import pytest
from right_answers import RIGHT_ANSWERS

from vit_course.checks import evaluate, exercises
from vit_course.checks.conditions import standard_state
from vit_course.grading import wire
from vit_course.grading.judging import Paper, fresh_seed
from vit_course.grading.lending import lent_names, lent_sources, withheld_names, worker_modules
from vit_course.grading.marking import Marker
from vit_course.grading.sandbox import bubblewrap

SEED = 2027
# One mistake of each exercise in the ordinary run; all of them in the slow one.
MISTAKES = [
    pytest.param(name, slug, candidate, id=f"{name}-{slug}-{number}", marks=[pytest.mark.slow] * (position % 12 > 0))
    for name, exercise in exercises().items()
    for position, (slug, mistake) in enumerate(exercise.mistakes.items())
    for number, candidate in enumerate((mistake.candidate, *mistake.variants)[: None if position % 12 else 1])
]
ANSWERS = [
    pytest.param(name, answer, id=f"{name}-{number}", marks=[pytest.mark.slow] * (number > 1))
    for name, answers in RIGHT_ANSWERS.items()
    for number, answer in enumerate(answers)
]


@functools.cache
def paper(name):
    return Paper(name, fresh_seed(name, SEED))


def through_the_wire(name, candidate):
    """The verdict on what comes back, had the candidate run in the worker."""
    task = wire.unpack(paper(name).task, known="vit_course.checks.")
    with standard_state():
        seen = [exercises()[name].observe(candidate, case) for case in task["cases"]]
    return paper(name).verdict(wire.unpack(wire.pack({"seen": seen}))["seen"])


@pytest.mark.parametrize(("name", "slug", "candidate"), MISTAKES)
def test_a_mistake_is_named_as_in_the_notebook(name, slug, candidate):
    report, card = through_the_wire(name, candidate), evaluate(name, candidate)
    assert (report.status, report.mistake, report.message) == (card.status, slug, card.message)


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_a_right_answer_passes(name, answer):
    report = through_the_wire(name, answer)
    assert report.passed, report.message


@pytest.fixture(scope="module")
def marker():
    with Marker(seed=SEED, allow_unprotected=bubblewrap() is None) as running:
        yield running


def written(name, answer):
    """An answer as the cells of a notebook: the file it stands in, and its name."""
    home = inspect.getmodule(inspect.unwrap(answer))
    own = getattr(answer, "__name__", "")
    if home is None or getattr(home, own, None) is not answer or own not in inspect.getsource(home):
        return None  # a lambda, or made by another function
    cells = [re.sub("^from right_answers.*$", "", inspect.getsource(home), flags=re.MULTILINE)]
    return cells if own == name else [*cells, f"{name} = {own}"]


@pytest.mark.parametrize("name", exercises())
def test_the_reference_passes_and_is_known_for_what_it_is(marker, name):
    (mark,) = marker.mark(written(name, exercises()[name].reference), [name])
    assert mark.status == "passed", mark
    if len(inspect.getsource(exercises()[name].reference)) > 1500:
        assert "is the published reference, but for names" in mark.remarks


@pytest.mark.parametrize("name", exercises())
def test_answers_in_other_styles_pass_from_their_text(marker, name):
    texts = [written(name, answer) for answer in RIGHT_ANSWERS[name]]
    for cells in [one for one in texts if one]:
        (mark,) = marker.mark(cells, [name])
        assert mark.status == "passed" and mark.mistake is None, (cells[-1], mark)
        assert not [one for one in mark.remarks if "tried to" in one], (cells[-1], mark)
    assert any(texts) or name == "corrected_pattern"  # those are lambdas: no text of their own


@pytest.mark.parametrize("name", exercises())
def test_what_is_lent_holds_no_later_answer(name):
    sources = lent_sources(name)
    for module, source in sources.items():
        defined = {
            node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert defined.isdisjoint(withheld_names(name)), module
    assert set(lent_names(name)).isdisjoint(withheld_names(name))
    assert set(lent_names(name).values()) <= set(sources)


def test_the_worker_holds_no_answer():
    modules = worker_modules()
    assert {"vit_course.checks.observers", "vit_course.checks.conditions", "vit_course.grading.worker"} <= set(modules)
    assert not [one for one in modules if "catalogue" in one or one.count(".") == 1]
