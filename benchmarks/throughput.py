"""How fast is our ViT next to the others? Images per second, peak memory and parameters, measured in one run.

    pip install -r benchmarks/requirements.txt
    python benchmarks/throughput.py

Every round measures every library once, in a new random order, so that a busy machine slows all of them alike. A ratio
compares two measurements of the same round; the tables show the median of these ratios. The result goes into
benchmarks/README.md, one section for each device.
"""

import argparse
import json
import math
import os
import random
import shlex
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all weights are random: nothing is fetched

import torch
import torch.nn.functional as F
from machine import README, describe, write_section
from peers import BUILDERS, NOTES, OURS, TINY, Sizes, check_equal, find_libraries

MODES = ("forward", "training")


class Config(NamedTuple):
    """One row of models: sizes, and how many images a batch has on each device."""

    title: str
    sizes: Sizes
    batch: dict[str, int]


CONFIGS = {
    "a": Config("Small ViT, 32 × 32, patch 4", Sizes(32, 4, 192, 6, 3, 768, 10), {"cpu": 128, "cuda": 1024}),
    "b": Config("ViT-S/16, 224 × 224", Sizes(224, 16, 384, 12, 6, 1536, 1000), {"cpu": 8, "cuda": 128}),
    "c": Config("ViT-B/16, 224 × 224", Sizes(224, 16, 768, 12, 12, 3072, 1000), {"cpu": 2, "cuda": 64}),
    "quick": Config("Tiny ViT, 16 × 16, patch 4", TINY, {"cpu": 4, "cuda": 4}),
}

# -- measuring


class Runner:
    """One library's model on one device, and the two things that are timed with it.

    On a GPU both run in mixed precision: bfloat16, or float16 with a gradient scaler where the GPU is older.
    """

    def __init__(self, library: str, config: Config, device: str) -> None:
        torch.manual_seed(0)
        sizes, batch = config.sizes, config.batch[device]
        self.model, self.device, self.batch = BUILDERS[library](sizes), device, batch
        check_equal(self.model, sizes)
        self.model.to(device)
        self.images = torch.randn(batch, 3, sizes.image_size, sizes.image_size, device=device)
        self.labels = torch.randint(sizes.num_classes, (batch,), device=device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        on_gpu = device == "cuda"
        half = torch.float16 if on_gpu and torch.cuda.get_device_capability() < (8, 0) else torch.bfloat16
        self.autocast = torch.autocast(device, half, enabled=on_gpu)
        self.scaler = torch.amp.GradScaler(device, enabled=half == torch.float16)

    def forward(self) -> None:
        """Evaluation: logits, no gradients."""
        with torch.inference_mode(), self.autocast:
            self.model(self.images)

    def training(self) -> None:
        """A training step: forward, cross-entropy, backward, AdamW."""
        with self.autocast:
            loss = F.cross_entropy(self.model(self.images), self.labels)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()

    def seconds(self, mode: str, steps: int) -> float:
        """How long `steps` steps take, the GPU's work included."""
        self.model.train(mode == "training")
        synchronize = torch.cuda.synchronize if self.device == "cuda" else lambda: None
        synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            getattr(self, mode)()
        synchronize()
        return time.perf_counter() - start


def measure_speed(
    libraries: list[str], config: Config, modes: list[str], device: str, rounds: int, at_least: float
) -> dict[str, dict[str, list[float]]]:
    """Images per second: for each mode and library, one number a round.

    A measurement repeats its step until it takes about `at_least` seconds. All models stay in memory meanwhile.
    """
    runners = {library: Runner(library, config, device) for library in libraries}
    rates = {mode: {library: [] for library in libraries} for mode in modes}
    for mode in modes:
        steps = {}
        for library, runner in runners.items():
            runner.seconds(mode, 2)  # warms up: the first steps allocate and choose kernels
            steps[library] = max(1, math.ceil(at_least / runner.seconds(mode, 1)))
        for number in range(rounds):
            for library in random.Random(number).sample(libraries, len(libraries)):
                seconds = runners[library].seconds(mode, steps[library])
                rates[mode][library].append(steps[library] * config.batch[device] / seconds)
            latest = ", ".join(f"{library} {numbers[-1]:.1f}" for library, numbers in rates[mode].items())
            print(f"{config.title}, {mode}, round {number + 1}: {latest}", flush=True)
    return rates


def measure_memory(library: str, name: str, modes: list[str], device: str) -> dict[str, float]:
    """Peak memory in MiB by mode, and "parameters". Call it in a fresh process, on Linux or macOS: a peak never
    goes down.

    CPU: how far the peak of resident memory rises once the library is loaded and a tiny model has run. GPU: the peak of
    what torch allocates there.
    """
    runner = Runner(library, CONFIGS["quick"], device)
    for mode in MODES:
        runner.seconds(mode, 1)
    del runner
    before = _peak_bytes(device)
    runner = Runner(library, CONFIGS[name], device)
    found = {"parameters": sum(parameter.numel() for parameter in runner.model.parameters())}
    for mode in sorted(modes):  # forward first: it needs less
        runner.seconds(mode, 3)
        found[mode] = (_peak_bytes(device) - before) / 2**20
    return found


def _peak_bytes(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # Linux: getrusage would give a child the peak of its parent
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def in_fresh_process(library: str, name: str, modes: list[str], device: str) -> dict[str, float]:
    """`measure_memory`, in a process of its own with as many threads as this one."""
    threads = ["--threads", str(torch.get_num_threads())]
    memory = ["--memory-of", library, "--configs", name, "--devices", device, "--modes", *modes]
    child = subprocess.run([sys.executable, __file__, *memory, *threads], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(child.stdout.splitlines()[-1])


# -- reporting


class Row(NamedTuple):
    """One library in one mode: median images per second; ours / this library, as median, smallest and largest."""

    library: str
    rate: float
    ratio: float
    smallest: float
    largest: float


def summarise(rates: dict[str, list[float]]) -> list[Row]:
    """Medians over the rounds; a ratio is taken within each round first, and is above 1 where ours is faster."""
    rows = []
    for library, numbers in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rates[OURS], numbers, strict=True)]
        rows.append(Row(library, median(numbers), median(ratios), min(ratios), max(ratios)))
    return rows


def fastest_peer(rows: list[Row]) -> Row | None:
    """The peer that ours is slowest against; None where there is no peer."""
    return min((row for row in rows if row.library != OURS), key=lambda row: row.ratio, default=None)


def tables(config: Config, device: str, rows: dict[str, list[Row]], memory: dict[str, dict[str, float]]) -> str:
    """One configuration in Markdown: for each mode a table, and ours against the fastest peer."""
    s = config.sizes
    lines = [f"### {config.title}, batch {config.batch[device]}", ""]
    lines += [f"{1 + (s.image_size // s.patch_size) ** 2} tokens, dim {s.dim}, depth {s.depth}, heads {s.heads}, "]
    lines[-1] += f"MLP {s.mlp_dim}, {s.num_classes} classes."
    for mode, found in rows.items():
        lines += ["", f"| {mode} | images/s | ours / this (range) | peak memory | parameters |"]
        lines += ["|:--|--:|--:|--:|--:|"]
        for row in found:
            ratio = "" if row.library == OURS else f"{row.ratio:.2f} ({row.smallest:.2f}–{row.largest:.2f})"
            used = memory[row.library]
            cells = [row.library, f"{row.rate:.1f}", ratio, f"{used[mode]:.0f} MiB", f"{used['parameters']:,}"]
            lines.append(f"| {' | '.join(cells)} |")
        peer = fastest_peer(found)
        lines += ["", f"Ours / fastest peer, {mode}: **{peer.ratio:.2f}** ({peer.library})."] if peer else []
    return "\n".join(lines)


def introduction(device: str, command: str, rounds: int, libraries: list[str], missing: dict[str, str]) -> str:
    """What was measured, where, when and with what, in Markdown."""
    precision = ", in mixed precision" if device == "cuda" else ""
    lines = [
        f"## Throughput on {device.upper()}",
        "",
        f"Written by `{command}` on {date.today()}, rounds: {rounds}{precision}.  ",
        f"Machine: {describe(device)}.  ",
        f"Libraries: {', '.join(f'{library} {version(library)}' for library in libraries if library != OURS)}.",
        "",
        "forward: evaluation without gradients. training: forward, cross-entropy, backward and AdamW. Images/s are "
        "medians over the rounds. Ours / this: above 1 where ours is faster; the median, and the range, of the ratios "
        "within each round. Fastest peer: the one with the lowest ratio. Peak memory: of one process alone, above what "
        "the loaded library takes. Tokens, dim, depth, MLP and classes are asserted to be equal. What is not equal:",
        "",
        *(f"- {library}: {NOTES[library]}" for library in libraries if library in NOTES),
        *(f"- {library} is **left out**, it is not installed here: {reason}" for library, reason in missing.items()),
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    """Measure, print, and write the README's section of each device."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--configs", nargs="+", choices=CONFIGS, default=["a", "b", "c"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--devices", nargs="+", choices=devices, default=devices)
    parser.add_argument("--threads", type=int, help="of torch on the CPU; its own choice if not given")
    parser.add_argument("--quick", action="store_true", help="one round of one tiny model: does everything work?")
    parser.add_argument("--output", type=Path, default=README, help="the file to write the sections into")
    parser.add_argument("--no-write", action="store_true", help="only print")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)  # what `in_fresh_process` calls
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.memory_of:
        found = measure_memory(options.memory_of, options.configs[0], options.modes, options.devices[0])
        return print(json.dumps(found))
    names, rounds, at_least = (["quick"], 1, 0.0) if options.quick else (options.configs, options.rounds, 1.0)
    libraries, missing = find_libraries()
    for library, reason in missing.items():
        print(f"{library} is left out, it is not installed here: {reason}", file=sys.stderr)
    command = shlex.join(["python", "benchmarks/throughput.py", *argv])
    for device in options.devices:
        parts = [introduction(device, command, rounds, libraries, missing)]
        for name in names:
            memory = {library: in_fresh_process(library, name, options.modes, device) for library in libraries}
            rates = measure_speed(libraries, CONFIGS[name], options.modes, device, rounds, at_least)
            rows = {mode: summarise(found) for mode, found in rates.items()}
            parts.append(tables(CONFIGS[name], device, rows, memory))
        text = "\n\n".join(parts)
        print(text)
        if not options.no_write:
            write_section(f"throughput-{device}", text, options.output)


if __name__ == "__main__":
    main(sys.argv[1:])
