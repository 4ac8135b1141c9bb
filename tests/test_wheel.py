"""Without a clone: a wheel is the whole course, in any folder."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vit_course
from vit_course.authoring import NOTEBOOKS, ROOT

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy: setuptools leaves folders in the place where it works."""
    here = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "vit_course", "notebooks"):
        os.symlink(ROOT / name, here / name)
    command = [sys.executable, "-c", BUILD, str(here / "dist")]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return next((here / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def test_it_holds_everything_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = Path(vit_course.__file__).parent
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    files |= {f"notebooks/{path.name}" for path in NOTEBOOKS.glob("*.ipynb")}
    assert names == {f"vit_course/{name}" for name in files}
    assert "vit_course/py.typed" in names


def run(installed, folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(installed), "VIT_COURSE_OFFLINE": "1"}
    command = [sys.executable, "-m", "vit_course.cli", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_in_an_empty_folder_the_lessons_come_out_of_it(installed, tmp_path):
    done = run(installed, tmp_path, "work")
    assert done.returncode == 0, done.stderr
    copied = sorted(path.name for path in (tmp_path / "work").iterdir())
    assert copied == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert all(name in done.stdout for name in copied)
    assert json.loads((tmp_path / "work" / copied[0]).read_text(encoding="utf-8"))["cells"]


def test_what_needs_the_checkout_says_so(installed, tmp_path):
    done = run(installed, tmp_path, "nbgrader-source", str(tmp_path / "out"))
    assert done.returncode == 1 and "checkout" in done.stderr
