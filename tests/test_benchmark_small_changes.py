"""benchmarks/small_changes.py in small: what it makes, and that no unknown change to two of the exercises passes."""

import sys
from pathlib import Path

import pytest

from vit_course.checks import exercises

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
small_changes = pytest.importorskip("small_changes", reason="needs Unix")


def made(name):
    return list(small_changes.changes(name))


@pytest.mark.parametrize("name", exercises())
def test_every_change_is_another_program(name):
    changes = made(name)
    assert len(changes) > 40
    assert len({change.source for change in changes}) == len(changes)


def test_changes_are_of_all_kinds():
    new = {change.new for change in made("unpatchify")}
    assert any("rows=height / patch_size" in line for line in new)
    assert any("b ( columns rows ) ( p1 p2 c )" in line for line in new)
    assert any("unpatchify(patches, patch_size, width, height)" in line for line in new)
    assert any(line.endswith(".detach()") for line in new)


@pytest.mark.parametrize("name", ["num_patches", "prepend_cls_token"])
def test_what_passes_does_the_same(name):
    verdicts = {change: small_changes.verdict(change)[0] for change in made(name)}
    passing = [change for change, verdict in verdicts.items() if verdict == "passed"]
    assert 0 < len(passing) < len(verdicts) / 4
    assert [change for change in passing if small_changes.reason(change) is None] == []
    assert [change for change in passing if small_changes.afresh(change)[0] != "passed"] == []
