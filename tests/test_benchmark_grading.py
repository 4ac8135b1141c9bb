"""benchmarks/grading.py in small: its submissions hold what they are said to hold, and what it measures is measured."""

import json
import sys
from pathlib import Path

import pytest

from vit_course.checks import evaluate, exercises

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
grading = pytest.importorskip("grading", reason="needs Unix")
EACH = [
    (name, answer, right)
    for name, kinds in grading.ANSWERS.items()
    for right, answers in zip((True, False), kinds, strict=True)
    for answer in answers
]


@pytest.mark.parametrize(("name", "answer", "right"), EACH)
def test_right_ones_are_right_and_wrong_ones_wrong(name, answer, right):
    space = {}
    exec(f"from einops import rearrange\n{answer}", space)
    assert evaluate(name, space[name]).passed == right


def test_submissions_are_the_same_each_time_and_of_all_kinds(tmp_path):
    truth = grading.make(tmp_path / "one", 30)
    assert truth == grading.make(tmp_path / "other", 30)
    assert {"+", "-"} == set("".join(truth.values())) and len(set(truth.values())) > 5
    assert [*grading.ANSWERS] == [name for name, one in exercises().items() if one.lesson == grading.LESSON]
    for student, kinds in truth.items():
        notebook = json.loads((tmp_path / "one" / student / grading.NAME).read_text(encoding="utf-8"))
        cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
        for name, kind in zip(grading.ANSWERS, kinds, strict=True):
            assert (cells[f"ex-{name}"] in grading.ANSWERS[name][0]) == (kind == "+")


def test_a_command_is_measured_with_what_it_starts(tmp_path):
    code = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(6 * 10**7)); x = bytearray(2**26)'])"
    )
    cost = grading.measured([sys.executable, "-c", code], tmp_path)
    assert cost.wall > 0 and cost.cpu >= 0 and cost.memory >= 0
    with pytest.raises(RuntimeError, match="failed"):
        grading.measured([sys.executable, "-c", "raise SystemExit('no')"], tmp_path)
