"""Does a run that is killed again and again end with the same weights? Twenty kill -9 at random moments, CPU.

    python benchmarks/kill_and_resume.py

A process trains on the built-in images with everything switched on that is random or kept in a snapshot. It is killed
up to a second after its first new snapshot, every fifth time up to a second after its start, until that has happened
often enough; then it may finish. Its weights and losses are compared bit for bit with those of a run that nobody
disturbed. The result goes into benchmarks/README.md. (`tests/test_training_killed.py` is the short form.)
"""

import argparse
import multiprocessing
import random
import shlex
import sys
import tempfile
from datetime import date
from pathlib import Path

import torch
from machine import describe, write_section

from vit_course import load_images
from vit_course.training import Recipe, Trained, train
from vit_course.training.reporting import Report
from vit_course.training.snapshots import Snapshots

RECIPE = Recipe(
    dim=32, depth=2, heads=2, mlp_dim=64, batch_size=32, epochs=150, lr=3e-3, optimizer="muon", init="mimetic",
    sizes=(16, 24, 32), ema=0.9, dropout=0.1, mixup=0.2, cutmix=1.0, label_smoothing=0.1, precision="float32",
)  # fmt: skip


def run(folder: str | None) -> Trained:
    images = load_images("shapes", limit=512)
    return train(RECIPE, images, images, folder=folder, evaluations=9, save_seconds=0, report=Report(), device="cpu")


def newest(folder: Path) -> str:
    found = Snapshots(folder).paths()
    return found[0].name[:13] if found else "none"


def main(argv: list[str]) -> int:
    """Returns 0 if the weights and losses are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    rng, context = random.Random(options.seed), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vit_course.training", "torch._dynamo", "torch.optim.swa_utils"])
    undisturbed = run(None)
    with tempfile.TemporaryDirectory() as temporary:
        folder, kills, early = Path(temporary), 0, 0
        while kills < options.kills:
            before, starting = newest(folder), (kills + early) % 5 == 4
            process = context.Process(target=run, args=(temporary,))
            process.start()
            while not starting and newest(folder) == before and process.exitcode is None:
                process.join(0.01)
            process.join(rng.uniform(0, 1))
            if process.exitcode is not None:
                sys.exit(f"the run ended after {kills} kills, before it could be killed {options.kills} times")
            process.kill()
            process.join()
            kills, early = kills + (not starting), early + starting
            left = len([*folder.glob(".step-*")])
            print(f"kill {kills + early}: newest snapshot {newest(folder)}, half-written files {left}", flush=True)
        resumed = run(temporary)
    weights = zip(undisturbed.model.state_dict().values(), resumed.model.state_dict().values(), strict=True)
    same = all(torch.equal(a, b) for a, b in weights) and undisturbed.losses == resumed.losses
    result = (
        f"{kills} kills in the midst of training, and {early} while it started; {resumed.steps} steps. "
        f"Weights and losses {'are the same, bit for bit' if same else 'DIFFER'}."
    )
    print(result)
    command = shlex.join(["python", "benchmarks/kill_and_resume.py", *argv])
    facts = f"Written by `{command}` on {date.today()}.  \nMachine: {describe()}."
    write_section("kills", f"## Killed, and started again\n\n{facts}\n\n{result}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
