"""What `docs/instructors.md` shows works as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from test_style import workflow_faults

from vit_course.checks import exercises
from vit_course.grading.collect import collect
from vit_course.grading.course import version
from vit_course.grading.settings import read_settings

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")


def block(language):
    """The block of the guide that a comment says is used here, without its indentation."""
    found = re.search(rf"<!-- tests/test_instructors_guide.py \w+ this -->\n *```{language}\n(.*?)\n *```", GUIDE, re.S)
    return re.sub(r"^  ", "", found[1], flags=re.M) if language in ("toml", "yaml") else found[1]


def test_the_settings(tmp_path):
    (tmp_path / "course.toml").write_text(block("toml"), encoding="utf-8")
    settings = read_settings(tmp_path / "course.toml", {one.name: one.lesson for one in exercises().values()})
    assert settings.points == {"patchify": 4} and settings.columns == {"01": "Homework 2"}
    assert settings.days_late("01", "2026-10-14T00:00:00+02:00") == 2 and settings.share_kept(2) == 0.8


def students_repository(folder):
    """A repository as GitHub Classroom makes them: lesson 01 with one right answer among its stubs, and what else lies
    in a template."""
    (folder / ".github" / "workflows").mkdir(parents=True)
    (folder / ".github" / "workflows" / "check.yml").write_text(block("yaml"), encoding="utf-8")
    (folder / "README.md").write_text("# Homework", encoding="utf-8")
    notebook = nbformat.read(ROOT / "notebooks" / "01_patches.ipynb", as_version=4)
    solved = nbformat.read(ROOT / "solutions" / "01_patches.ipynb", as_version=4)
    sources = {cell.id: cell.source for cell in solved.cells}
    for cell in notebook.cells:
        if cell.id == "ex-patchify":
            cell.source = sources[cell.id]
    nbformat.write(notebook, folder / "01_patches.ipynb")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


@pytest.mark.skipif(os.name == "nt", reason="the workflow runs on Linux")
def test_the_workflow_for_github_classroom(tmp_path):
    """Its own steps, in a folder where nothing else is; but for the downloads, which this environment stands in for."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github", ignore=shutil.ignore_patterns("workflows"))
    (tmp_path / ".github" / "workflows").mkdir()
    (tmp_path / ".github" / "workflows" / "check.yml").write_text(block("yaml"), encoding="utf-8")
    assert workflow_faults(tmp_path / ".github") == []
    steps = yaml.safe_load(block("yaml"))["jobs"]["check"]["steps"]
    install, *commands = [step["run"] for step in steps if "run" in step]
    assert install.startswith("pip install ") and [one.split()[0] for one in commands] == ["vit-course", "sed"]
    bare = tmp_path / "bare"
    students_repository(bare / steps[0]["with"]["path"])
    summary, scripts = tmp_path / "summary.md", Path(sys.executable).parent
    for command in commands:
        environment = os.environ | {"GITHUB_STEP_SUMMARY": str(summary), "PATH": f"{scripts}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-e", "-c", command], cwd=bare, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("<h1>you</h1>") and "patchify: right" in text and "unpatchify: not attempted yet" in text
    assert "<style" not in text and "</body>" not in text and "\n\n" not in text  # as GitHub's Markdown takes it


def test_what_gh_classroom_clones_is_collected(tmp_path):
    for student in ("hw1-ada", "hw1-bob"):
        students_repository(tmp_path / "hw1-submissions" / student)
    found = collect(tmp_path / "hw1-submissions")
    assert [one.name for one in found] == ["hw1-ada", "hw1-bob"]
    assert {"01_patches.ipynb", "README.md"} <= {file.parts[-1] for file in found[0].files}


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
    assert "VIT_COURSE_EXERCISES=nowhere.py is no Python file. Give its full path." in done.stderr


def test_own_exercises_are_part_of_the_version_so_that_changed_ones_are_graded_anew(monkeypatch, tmp_path):
    versions = [version.__wrapped__()]
    for text in ("EXERCISES = []", "EXERCISES = [] "):
        (tmp_path / "own.py").write_text(text)
        monkeypatch.setenv("VIT_COURSE_EXERCISES", str(tmp_path / "own.py"))
        versions.append(version.__wrapped__())
    assert len({*versions}) == 3
