"""The code's style and the spelling, by the commands of `make lint`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

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
