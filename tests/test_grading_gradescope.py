"""The autograder for Gradescope, in a bare folder laid out as theirs."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from grading_stand_in import NAMES, StandIn, cells, hand_in, notebook

from vit_course.cli import main
from vit_course.grading import grades, gradescope
from vit_course.grading.collect import collect
from vit_course.grading.settings import Settings
from vit_course.grading.submission import Task, graded

ANSWERS = """\
def num_patches(height, width, patch_size):
    if height % patch_size or width % patch_size:
        raise ValueError("sizes do not fit")
    return (height // patch_size) * (width // patch_size)

def patchify(images, patch_size):
    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])

def unpatchify(patches, patch_size, height, width):
    for place in ("/autograder/results/results.json", "/autograder/source/lesson.json"):
        with open(place, "w") as file:
            file.write('{"score": 100}')
"""


@pytest.fixture
def autograder(tmp_path):
    """/autograder, with a submission in it."""
    settings = tmp_path / "settings.toml"
    settings.write_text("[points]\npatchify = 5\n")
    assert main(["gradescope", str(tmp_path / "out.zip"), "--lesson", "1", "--settings", str(settings)]) == 0
    folder = tmp_path / "autograder"
    hand_in(folder, {"results": None, "submission/my work.ipynb": notebook([ANSWERS])})
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(folder / "source")
    for name in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", folder / "source" / name], check=True)
        (folder / "source" / name).chmod(0o755)
    (folder / "venv").symlink_to(sys.prefix)
    return folder


def command(folder):
    """`run_autograder`; root is in theirs, and needs a Python that nobody can run: bubblewrap lays that out."""
    if os.geteuid():
        return [folder / "source" / "run_autograder"]
    if not shutil.which("bwrap"):
        pytest.skip("as root, bubblewrap is needed to lay out a container")
    base = Path(sys.base_prefix)
    seen = []
    if base.is_relative_to("/root"):  # which nobody else may enter
        inside = Path("/root", base.relative_to("/root").parts[0])
        seen = ["--tmpfs", "/root", "--ro-bind", inside, inside]
    layout = ["--dev-bind", "/", "/", *seen, "--tmpfs", "/autograder", "--bind", folder, "/autograder"]
    return ["bwrap", *layout, "--proc", "/proc", "--cap-add", "ALL", "/autograder/source/run_autograder"]


def test_a_submission_is_graded_in_their_layout(autograder):
    environment = {"PATH": os.environ["PATH"], **({"AUTOGRADER": str(autograder)} if os.geteuid() else {})}
    done = subprocess.run(command(autograder), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((autograder / "results" / "results.json").read_text(encoding="utf-8"))
    scores = {one["name"]: (one["score"], one["max_score"]) for one in found["tests"] if "score" in one}
    assert scores == {"num_patches": (1, 1), "patchify": (0, 5), "unpatchify": (0, 2), "corrected_pattern": (0, 1)}
    patchify = found["tests"][1]
    assert patchify["status"] == "failed" and "cuts the long row of numbers" in patchify["output"]
    assert found["output"] == "Graded: my work.ipynb. not in the notebook: corrected_pattern"
    assert json.loads((autograder / "source" / "lesson.json").read_text()) == {"lesson": "01"}


def test_what_is_in_the_zip(autograder, tmp_path):
    inside = {str(path.relative_to(autograder / "source")) for path in (autograder / "source").rglob("*")}
    assert {"setup.sh", "run_autograder", "requirements.txt", "course/vit_course/grading/worker.py"} <= inside
    assert not [name for name in inside if name.endswith((".pyc", ".ipynb", ".safetensors"))]
    wanted = (autograder / "source" / "requirements.txt").read_text().split("\n")
    assert any(line.startswith("einops") for line in wanted) and not any("pytest" in line for line in wanted)
    gradescope.build(tmp_path / "again.zip", "01", tmp_path / "settings.toml")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "out.zip").read_bytes()


def results(folder, data):
    hand_in(folder, {"ada/a.ipynb": data})
    record = graded(collect(folder)[0], Task(NAMES, "01", 1, "test"), lambda: StandIn(seed=1))
    worth = dict.fromkeys(NAMES["01"], 2)
    return gradescope.as_results(grades.rows([record], worth, Settings(), lesson="01")[0], worth)


def test_an_instructors_own_exercises_go_along(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("EXERCISES = []\n")
    monkeypatch.setenv("VIT_COURSE_EXERCISES", str(tmp_path / "mine.py"))
    gradescope.build(tmp_path / "out.zip", "12")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        archive.extractall(tmp_path / "source")
    assert (tmp_path / "source" / "own.py").read_text() == "EXERCISES = []\n"
    started = []

    def run(command, **options):
        started.append(options["env"]["VIT_COURSE_EXERCISES"])
        return subprocess.CompletedProcess(command, 0, stdout="{}")

    monkeypatch.setattr(gradescope.subprocess, "run", run)
    assert gradescope.main([str(tmp_path)]) == 0 and started == [str(tmp_path / "source" / "own.py")]


def test_remarks_are_hidden_from_students(tmp_path):
    found = results(tmp_path, notebook(cells("01", "RIGHT PUBLISHED", "ERROR")))
    told = found["tests"][-1]
    assert told["visibility"] == "hidden" and told["output"] == "num_patches: is the published reference"
    assert [one["visibility"] for one in found["tests"][:-1]] == ["visible"] * 4
    assert found["tests"][1]["output_format"] == "text" and "<script>" in found["tests"][1]["output"]


def test_what_cannot_be_graded_says_why(tmp_path):
    found = results(tmp_path, b"%PDF")
    assert "a.ipynb is a PDF and not a notebook. Hand the notebook in again." in found["output"]


def test_wrong_arguments_say_so(tmp_path, capsys):
    assert main(["gradescope", str(tmp_path / "out.zip"), "--lesson", "77"]) == 1
    assert "There is no lesson '77'" in capsys.readouterr().err
    assert main(["gradescope", str(tmp_path / "out.zip"), "--lesson", "1", "--settings", "none.toml"]) == 1
    assert "none.toml cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out.zip").exists()
