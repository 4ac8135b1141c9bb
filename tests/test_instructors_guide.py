"""What `docs/instructors.md` shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from vit_course.checks import exercises
from vit_course.grading.settings import read_settings

GUIDE = (Path(__file__).resolve().parent.parent / "docs" / "instructors.md").read_text(encoding="utf-8")


def block(language):
    """The block of the guide that a comment says is used here, without its indentation."""
    found = re.search(rf"<!-- tests/test_instructors_guide.py \w+ this -->\n *```{language}\n(.*?)\n *```", GUIDE, re.S)
    return re.sub(r"^  (?=\S)", "", found[1], flags=re.M) if language == "toml" else found[1]


def test_the_settings(tmp_path):
    (tmp_path / "course.toml").write_text(block("toml"), encoding="utf-8")
    settings = read_settings(tmp_path / "course.toml", {one.name: one.lesson for one in exercises().values()})
    assert settings.points == {"patchify": 4} and settings.columns == {"01": "Homework 2"}
    assert settings.days_late("01", "2026-10-14T00:00:00+02:00") == 2 and settings.share_kept(2) == 0.8


def test_an_exercise_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(block("python"), encoding="utf-8")
    code = """
from vit_course.checks import evaluate, exercises
own = exercises()["double"]
assert own.lesson == "12" and own.reference(2) == 4
assert evaluate("double", lambda x: 2 * x).passed
assert evaluate("double", lambda x: x**2).mistake == "square"
assert evaluate("double", lambda x: print(x + x)).mistake == "prints-instead"
for slug, mistake in own.mistakes.items():
    for wrong in (mistake.candidate, *mistake.variants):
        assert evaluate("double", wrong).mistake == slug, slug
"""
    monkeypatch.setenv("VIT_COURSE_EXERCISES", str(tmp_path / "own.py"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("VIT_COURSE_EXERCISES", "nowhere.py")
    done = subprocess.run(
        [sys.executable, "-c", "from vit_course.checks import exercises; exercises()"], capture_output=True, text=True
    )
    assert "VIT_COURSE_EXERCISES=nowhere.py is no Python file." in done.stderr
