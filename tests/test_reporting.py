"""How a run says how it is going."""

import errno
import io
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from small_training import SMALL, STEPS, images

from vit_course.training import train
from vit_course.training.expectations import CURVES, Curve, Measured
from vit_course.training.recipes import RECIPES, NamedRecipe
from vit_course.training.reporting import Bar, Printed, Report, duration, report_here, status


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (272, "4 min 32 s"), (7500, "2 h 05 min")]
)
def test_duration(seconds, words):
    assert duration(seconds) == words


def test_a_log_says_what_will_happen_and_what_did(capsys, monkeypatch):
    monkeypatch.setitem(RECIPES, "small", NamedRecipe("shapes", SMALL))
    monkeypatch.setitem(CURVES, "small", Curve("these images", 256, (Measured(24, (0.11, 0.13)),)))
    train(SMALL, images(), images("test"), report=Printed(), device="cpu", evaluations=3)
    said = capsys.readouterr().out
    assert "24 steps of 32, 3.0 epochs. About " in said and "(a few steps were measured)" in said
    assert "Expect about 12% of these images (two runs of 24 steps ended at 11.0 to 13.0%)." in said
    last = said.strip().splitlines()[-1]
    assert "step 24 of 24" in last and "loss 2." in last and "accuracy " in last and "of training" in last
    assert "\r" not in said and "\x1b" not in said


def test_the_bar_ends_full(capsys):
    train(SMALL, images(), report=Bar(), device="cpu")
    assert f"{STEPS}/{STEPS}" in capsys.readouterr().err


def test_the_time_left_goes_down_to_nothing():
    left = []

    class Watched(Report):
        def step(self, run):
            left.append(run.seconds_left())
            assert f"step {run.step} of 24" in status(run)

    train(SMALL, images(), images("test"), report=Watched(), device="cpu", evaluations=STEPS)
    assert left[-1] == 0 and left[0] > left[-2] > 0


def test_where_lines_are_wanted_lines_come(monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert isinstance(report_here(), Printed)


def test_a_notebook_gets_a_curve_and_keeps_no_widgets(monkeypatch, tmp_path):
    code = """
from small_training import SMALL, images
from vit_course.training.reporting import Curve
from vit_course.training import train
Curve.EVERY = 0
trained = train(SMALL, images(), images("test"), evaluations=3)
"""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    notebook = new_notebook(cells=[new_code_cell(code)])
    NotebookClient(notebook, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 1 and "24 of 24 steps" in pictures[0].metadata["image/png"]["alt"]
    lines = [output.data["text/plain"] for output in outputs if output.output_type == "display_data"]
    assert any("step 24 of 24" in line for line in lines)
    text = nbformat.writes(notebook)
    assert "\\r" not in text and "\\u001b" not in text and "widget" not in text


class Full(io.TextIOWrapper):
    """A log on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_cannot_take_it_ends_no_training(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")  # lacks the bar's blocks
    for log in (narrow, Full(io.BytesIO(), encoding="utf-8")):
        monkeypatch.setattr(sys, "stdout", log)
        assert train(SMALL, images(), report=Printed(), device="cpu").steps == STEPS
    monkeypatch.undo()
    narrow.flush()
    assert b"???? step 24 of 24" in narrow.buffer.getvalue()
