"""What the README says is so: its sample output, its commands, its course map."""

import ast
import re
from pathlib import Path

import pytest

from vit_course import cli
from vit_course.authoring.published import badge
from vit_course.data import CIFAR10_CLASSES
from vit_course.paths import home
from vit_course.training import RECIPES
from vit_course.training.command import changed

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_sample_shows_what_the_check_says(capsys):
    code, expected = re.search(r"```python\n(.*?)```\n```text\n(.*?)```", README, re.DOTALL).groups()
    exec(code, {})
    assert re.findall(r"\S+", expected) == re.findall(r"\S+", capsys.readouterr().out)


def test_the_trained_models_are_used_as_shown(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shown = next(block for block in blocks if "load_checkpoint" in block)
    exec(shown, {})
    named = ast.literal_eval(capsys.readouterr().out.strip().splitlines()[-1])
    assert len(named) == 8 and set(named) <= set(CIFAR10_CLASSES)


def test_the_recipes_of_the_commands_are_possible():
    commands = re.findall(r"vit-course train ([a-z0-9-]+)([^#\n]*)", README)
    assert len(commands) > 4
    for name, rest in commands:
        if name != "--list":
            changed(RECIPES[name].recipe, rest.partition("--set")[2].split()).build(10)


def test_the_map_links_every_lesson_there_is_and_no_other():
    rows = re.findall(r"^\| \[?(\d\d) [^|]*\|.*\| (\S.*?) \|$", README, re.MULTILINE)
    assert [number for number, _ in rows] == [f"{number:02}" for number in range(12)]
    linked = dict(re.findall(r"^\| \[(\d\d) [^|]*\]\(notebooks/(\S+)\) \|", README, re.MULTILINE))
    assert linked == {path.name[:2]: path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    for number, colab in rows:
        assert colab == ((badge(linked[number]) if number in linked else "") or "–")


def test_what_is_to_come_is_said_so():
    for line in re.findall(r"^\| \[?\d\d .*$", README, re.MULTILINE):
        assert ("to come" in line) is not line.startswith("| [")


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^    )(?:PYTHON=\S+ )?make ([a-z]+)", README, re.MULTILINE))
    assert {"lab", "test", "setup", "course", "notebooks", "lint"} <= named <= targets


@pytest.mark.parametrize("command", sorted(set(re.findall(r"vit-course ([a-z-]+)", README)) - {"and"}))
def test_every_command_exists(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0


def test_the_default_folder_is_the_one_named(monkeypatch):
    monkeypatch.delenv("VIT_COURSE_HOME")
    assert home() == Path("~/.vit_course").expanduser()
    assert "`~/.vit_course`" in README


def test_contributing_takes_ten_lines():
    steps = re.findall(r"^\d+\. ", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(steps) == 10
