"""A run that is killed goes on, and ends with the weights and losses of one that was not."""

import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import FULL, STEPS, Recorded, images, in_another_process, same, weights

from vit_course import paths
from vit_course.training import Recipe, Trained, train
from vit_course.training.reporting import Report
from vit_course.training.snapshots import Snapshots

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows, os.kill ends a process at once with either
KILLED = {-KILL, KILL}
OPTIMIZERS = ("adamw", "muon")


def run(recipe: Recipe, folder: Path, report: Report | None = None, **options) -> Trained:
    """With a snapshot after every step, unless it is told otherwise."""
    options = {"evaluations": STEPS, "save_seconds": 0, "report": report or Report(), **options}
    return train(recipe, images(), images("test"), folder=folder, **options)


def die_after(calls: int, recipe: Recipe, folder: Path) -> None:
    """Train, and be killed at a call of a function, Python's or C's, wherever that may be."""
    left = calls

    def count(frame, event, argument) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), KILL)

    sys.setprofile(count)
    run(recipe, folder)


def count_calls(recipe: Recipe, folder: Path) -> None:
    """How many events `die_after` would see in a whole run, and in what comes before its first step."""
    seen, before = 0, None

    def count(frame, event, argument) -> None:
        nonlocal seen
        seen += 1

    class Started(Report):
        def start(self, run, seconds) -> None:
            nonlocal before
            before = seen

    sys.setprofile(count)
    run(recipe, folder, Started())
    sys.setprofile(None)
    (folder / "calls").write_text(f"{before} {seen}")


def die_while_writing(step: int, recipe: Recipe, folder: Path) -> None:
    """Train, and be killed when half of the snapshot of a step is on the disk."""
    written = 0

    def half(file: int) -> None:
        nonlocal written
        written += 1
        if written == step:
            os.ftruncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), KILL)

    paths.os = type("os", (), {**vars(os), "fsync": staticmethod(half)})
    run(recipe, folder)


def be_told_to_stop(number: int, step: int, recipe: Recipe, folder: Path) -> None:
    """Train, and get a signal in the middle of a step's forward pass. Exits with 3 for KeyboardInterrupt."""
    calls = -5 * len(recipe.sizes)  # the forecast takes five steps at each size, with a copy that has the hook as well

    def interrupted(encoder, *_) -> None:
        nonlocal calls
        calls += encoder.training
        if encoder.training and calls == step:
            os.kill(os.getpid(), number)

    model = recipe.build(10)
    model.encoder.register_forward_hook(interrupted)
    try:
        run(recipe, folder, model=model, save_seconds=600)
    except KeyboardInterrupt:
        sys.exit(3)


@pytest.fixture(scope="module", params=OPTIMIZERS)
def undisturbed(request) -> Trained:
    recipe = replace(FULL, optimizer=request.param)
    trained = train(recipe, images(), images("test"), report=Report())
    assert trained.steps == STEPS
    return trained


def assert_ends_alike(undisturbed: Trained, folder: Path) -> Recorded:
    report = Recorded()
    torch.manual_seed(123)  # whatever the caller's random numbers are
    resumed = run(undisturbed.recipe, folder, report)
    assert resumed.steps == STEPS
    assert resumed.losses == undisturbed.losses
    assert resumed.accuracy == undisturbed.accuracy
    assert same(weights(resumed), weights(undisturbed))
    return report


def test_killed_at_random_moments(undisturbed, tmp_path):
    recipe, rng = undisturbed.recipe, random.Random(4)
    counted = tmp_path / "counted"
    counted.mkdir()
    assert in_another_process(count_calls, recipe, counted) == 0
    before, whole = map(int, (counted / "calls").read_text().split())
    folder, reached = tmp_path / "killed", []
    for kill in range(4):
        # A quarter of the steps further each time, so that every image size is met.
        calls = before + int((whole - before) * rng.uniform(0.05, 0.2 if kill else 0.3))
        assert in_another_process(die_after, calls, recipe, folder) in KILLED
        reached.append(newest_step(folder))
    assert 0 < reached[0] < reached[-1] < STEPS and reached == sorted(reached)
    assert f"(step {reached[-1]} of {STEPS})" in assert_ends_alike(undisturbed, folder).notices[0]


def newest_step(folder: Path) -> int:
    found = Snapshots(folder).paths()
    return int(found[0].name.split(".")[0].removeprefix("step-")) if found else 0


def test_killed_before_the_first_snapshot(undisturbed, tmp_path):
    assert in_another_process(die_while_writing, 1, undisturbed.recipe, tmp_path) in KILLED
    assert not Snapshots(tmp_path).paths()
    assert not assert_ends_alike(undisturbed, tmp_path).notices


@pytest.mark.parametrize("step", [9, STEPS])
def test_killed_while_writing_a_snapshot(undisturbed, tmp_path, step):
    assert in_another_process(die_while_writing, step, undisturbed.recipe, tmp_path) in KILLED
    left = [path for path in tmp_path.iterdir() if path not in Snapshots(tmp_path).paths()]
    assert len(left) == 1, "the half-written file"
    os.utime(left[0], (0, 0))  # a young one could be another process's, which still writes
    assert newest_step(tmp_path) == step - 1
    report = assert_ends_alike(undisturbed, tmp_path)
    assert len(report.notices) == 1 and f"(step {step - 1} of {STEPS})" in report.notices[0]
    assert sorted(tmp_path.iterdir()) == sorted(Snapshots(tmp_path).paths()), "the half-written file is gone"


def test_finished_runs_are_not_trained_again(undisturbed, tmp_path):
    run(undisturbed.recipe, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    report = assert_ends_alike(undisturbed, tmp_path)
    assert not report.seconds and not report.steps, "no step was taken"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="a process cannot send itself these signals on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_told_to_stop_it_finishes_the_step_and_writes_a_snapshot(undisturbed, tmp_path, number):
    assert in_another_process(be_told_to_stop, number, 10, undisturbed.recipe, tmp_path) == 3
    assert [path.name[:13] for path in Snapshots(tmp_path).paths()] == ["step-00000010"]
    assert_ends_alike(undisturbed, tmp_path)
