"""benchmarks/first_minutes.py in small: what the set-up says is told apart, and the table adds up."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
first_minutes = pytest.importorskip("first_minutes", reason="needs Unix")

SET_UP = """
print("Making .venv.")
print("Installing the course for Python 3.11. The first time this downloads PyTorch: some minutes.")
print("PyTorch's own package index does not answer, so PyTorch comes with CUDA, about 3 GB.")
print("Resolved 100 packages")
print("Ready: .venv with Python 3.11.")
"""


def test_the_parts_of_a_set_up_are_told_apart(tmp_path):
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "setup.py"
    for said, parts in ((SET_UP, ["venv", "uv", "packages"]), ("print('Nothing to do')", ["again"])):
        script.write_text(said, encoding="utf-8")
        clock = first_minutes.Clock()
        first_minutes.set_up(tmp_path, dict(os.environ), clock)
        assert [*clock.seconds] == parts
    script.write_text("raise SystemExit('no room')", encoding="utf-8")
    with pytest.raises(RuntimeError, match="failed"):
        first_minutes.set_up(tmp_path, dict(os.environ), first_minutes.Clock())


def test_what_it_waits_for_is_what_the_set_up_says():
    text = (Path(__file__).parents[1] / "scripts" / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{start}' in text for start in first_minutes.SAID)
    assert set(first_minutes.SAID.values()) < set(first_minutes.PARTS)


def test_the_table_adds_up():
    text = first_minutes.section({"a": {"clone": 1.25, "lab": 2.0}, "b": {"again": 0.5}}, "Facts.", 3.0)
    assert "| | a | b |" in text and "| set-up: nothing to do |  | 0.5 |" in text
    assert text.endswith("| together | **3** | **0** |") and "Load when it started: 3." in text
