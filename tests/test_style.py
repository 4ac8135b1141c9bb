"""The code's style, the spelling and the workflows, by the commands of `make lint`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vit_course

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\t\$\(RUN\) (-m (?:ruff|codespell_lib) .*)$", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_found(command):
    done = subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_slip_would_be_found(tmp_path):
    assert len(COMMANDS) == 3
    (tmp_path / "slip.py").write_text("import os  # teh\nx  =  1\n")
    for command in COMMANDS:
        tool = command.split()[:2] + [part for part in command.split()[2:] if part in ("check", "format", "--check")]
        done = subprocess.run([sys.executable, *tool, str(tmp_path)], capture_output=True, text=True)
        assert done.returncode, command


def workflow_faults(folder):
    """What the two tools of `make lint` find in the workflows of a folder."""
    assert "$(RUN) -m check_jsonschema" in MAKEFILE and "zizmor --offline" in MAKEFILE
    files = sorted(map(str, (folder / "workflows").glob("*.yml")))
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *files]
    zizmor = [str(Path(sys.executable).with_name("zizmor")), "--offline", str(folder)]
    done = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True) for command in (schema, zizmor)]
    return [one.stdout + one.stderr for one in done if one.returncode]


def test_workflows_are_sound():
    assert workflow_faults(ROOT / ".github") == []


def test_a_fault_in_a_workflow_would_be_found(tmp_path):
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    broken, unsafe = (tmp_path / ".github" / "workflows" / name for name in ("book.yml", "test.yml"))
    broken.write_text(broken.read_text(encoding="utf-8").replace("runs-on:", "run-on:", 1), encoding="utf-8")
    with unsafe.open("a", encoding="utf-8") as file:
        file.write("      - uses: someone/action@v1\n")
    assert len(workflow_faults(tmp_path / ".github")) == 2


def test_the_changelog_speaks_of_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+?),? ", text, re.MULTILINE)[1] == vit_course.__version__
