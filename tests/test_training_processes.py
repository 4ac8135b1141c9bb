"""Two processes, started by torchrun, do together what one does."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from small_training import SMALL, Recorded, images

from vit_course.training import Trained, train
from vit_course.training.reporting import Report
from vit_course.training.snapshots import Snapshots

pytestmark = pytest.mark.skipif(not distributed.is_gloo_available(), reason="this PyTorch has no gloo")

RECIPES = {
    "plain": replace(SMALL, clip=0.1),
    "growing": replace(SMALL, optimizer="muon", sizes=(16, 24, 32), ema=0.9, mixup=0.2, cutmix=1.0, positions="sincos"),
    "grown": replace(SMALL, sizes=(16, 32), pool="mean"),
}
KILLED_AT, STOPPED_AT = 13, 11


def one(name: str, report: Report | None = None, folder: Path | None = None) -> Trained:
    return train(
        RECIPES[name],
        images(),
        images("test"),
        folder=folder,
        evaluations=24,
        save_seconds=0,
        report=report or Report(),
        device="cpu",
    )


class Killed(Report):
    def step(self, run) -> None:
        if run.step == KILLED_AT:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


class Stopped(Report):
    """One of the processes is told to stop, in the middle of it all."""

    def step(self, run) -> None:
        if run.step == STOPPED_AT:
            signal.raise_signal(signal.SIGINT)


class Loud(Recorded):
    def start(self, run, seconds) -> None:
        super().start(run, seconds)
        print("loud: start")

    def notice(self, text) -> None:
        super().notice(text)
        print(f"loud: {text}")


def work(folder: Path) -> None:
    """What each of the processes does; the first start ends in a kill, the second goes on from there."""
    rank = os.environ["RANK"]
    if not (folder / "growing").exists():
        keep(folder / f"plain.{rank}", one("plain", Loud(), folder / "plain"))
        keep(folder / f"grown.{rank}", one("grown"))
        try:
            one("plain", Stopped(), folder / "stopped")
        except KeyboardInterrupt:
            (folder / f"stopped.{rank}").touch()
        one("growing", Killed(), folder / "growing")
    keep(folder / f"growing.{rank}", one("growing", Loud(), folder / "growing"))


def keep(file: Path, trained: Trained) -> None:
    torch.save({"losses": trained.losses, "accuracy": trained.accuracy, "model": trained.model.state_dict()}, file)


def torchrun(*arguments: str) -> subprocess.CompletedProcess:
    """Two processes with a port of their own on this machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    launch = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", "--local-addr=127.0.0.1"]
    return subprocess.run(
        [sys.executable, *launch, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> tuple[Path, list[subprocess.CompletedProcess]]:
    folder = tmp_path_factory.mktemp("together")
    return folder, [torchrun(__file__, str(folder)) for _ in range(2)]


def assert_alike(folder: Path, name: str) -> None:
    alone = one(name)
    ranks = [torch.load(folder / f"{name}.{rank}", weights_only=True) for rank in (0, 1)]
    for rank in ranks:
        assert rank["losses"] == pytest.approx(alone.losses, rel=1e-4)
        assert rank["accuracy"] == alone.accuracy
        for key, weight in alone.model.state_dict().items():
            theirs = rank["model"][key]
            if key.endswith("qkv.bias"):
                # The gradient of the keys' bias is rounding error, which Adam makes as large as any other.
                weight, theirs = (torch.cat([bias[:16], bias[32:]]) for bias in (weight, theirs))
            torch.testing.assert_close(theirs, weight, rtol=1e-3, atol=2e-4)
    assert ranks[0]["losses"] == ranks[1]["losses"]
    assert all(torch.equal(ranks[0]["model"][key], ranks[1]["model"][key]) for key in ranks[0]["model"])


@pytest.mark.parametrize("name", ["plain", "grown"])
def test_two_processes_give_the_loss_curve_of_one(together, name):
    assert_alike(together[0], name)


def test_killed_and_started_again_they_still_do(together):
    folder, (first, second) = together
    assert first.returncode != 0 and second.returncode == 0, second.stderr
    assert_alike(folder, "growing")
    assert second.stdout.count(f"(step {KILLED_AT - 1} of 24)") == 1, second.stdout


def test_only_the_first_process_speaks_and_writes(together):
    folder, (first, _) = together
    assert first.stdout.count("loud: start") == 1
    kept = [path.name.split(".")[0] for path in (folder / "plain").iterdir()]
    assert sorted(kept) == ["step-00000023", "step-00000024"]


def test_when_one_is_told_to_stop_all_stop_after_the_same_step(together):
    folder = together[0]
    assert (folder / "stopped.0").exists() and (folder / "stopped.1").exists()
    newest = Snapshots(folder / "stopped").paths()[0]
    assert newest.name.startswith(f"step-{STOPPED_AT + 1:08d}")


@pytest.mark.slow
def test_the_command_says_and_writes_things_once(tmp_path):
    settings = ["dim=16", "depth=1", "heads=2", "mlp_dim=32", "batch_size=100", "epochs=0.01", "precision=float32"]
    arguments = ["train", "baseline", "--data", "shapes", "--out", str(tmp_path / "run"), "--set", *settings]
    ended = torchrun("-m", "vit_course.cli", *arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("test images right") == 1
    assert ended.stdout.count("shapes (train)") == 1
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["steps"] == 2


if __name__ == "__main__":
    work(Path(sys.argv[1]))
