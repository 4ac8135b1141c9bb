"""benchmarks/throughput.py: it runs, its numbers mean what its tables say, and it leaves other sections alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
PEERS = ("timm", "vit_pytorch", "self_attention_cv", "transformers")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.slow  # a process for each library and each mode
def test_quick_run_writes_tables_and_names_what_is_missing(tmp_path):
    for peer in PEERS:  # the same on every machine: none of them can be imported
        (tmp_path / f"{peer}.py").write_text(f"raise ImportError('no {peer} on purpose')")
    readme = tmp_path / "README.md"
    readme.write_text("# Mine\n\n<!-- begin: throughput-cpu -->\nold\n<!-- end: throughput-cpu -->\n\nlast words\n")
    command = [sys.executable, BENCHMARKS / "throughput.py", "--quick", "--devices", "cpu", "--output", readme]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ran = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr

    written = readme.read_text()
    assert written.startswith("# Mine\n\n<!-- begin: throughput-cpu -->\n## Throughput on CPU\n")
    assert written.endswith("<!-- end: throughput-cpu -->\n\nlast words\n")
    assert "old" not in written.split()
    for peer in PEERS:
        name = peer.replace("_", "-")
        assert f"{name} is left out" in ran.stderr
        assert f"- {name} is **left out**, it is not installed here: no {peer} on purpose" in written
    for mode in ("forward", "training"):
        table = re.search(rf"\| {mode} \| images/s .*\n\|:--.*\n((?:\|.*\n)+)", written)[1].splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
        assert [row[0] for row in rows] == ["vit-course", "torchvision"]
        assert {row[4] for row in rows} == {"11,525"}
        assert all(float(row[1]) > 0 and re.fullmatch(r"\d+ MiB", row[3]) for row in rows)
        assert rows[0][2] == "" and re.fullmatch(r"\d+\.\d\d \(\d+\.\d\d–\d+\.\d\d\)", rows[1][2])
        ratio = rows[1][2].split()[0]
        assert f"Ours / fastest peer, {mode}: **{ratio}** (torchvision)." in written


def test_ratios_are_taken_within_rounds_and_their_median_is_shown():
    from throughput import fastest_peer, summarise

    rows = summarise({"vit-course": [10.0, 10.0, 44.0], "slower": [5.0, 20.0, 20.0], "faster": [20.0, 5.0, 88.0]})
    assert [(row.library, row.rate) for row in rows] == [("vit-course", 10.0), ("slower", 20.0), ("faster", 20.0)]
    # Within the rounds: 2, 0.5, 2.2. The mean is 1.57, the ratio of the medians 0.5, upside down 0.5.
    assert rows[1][2:] == pytest.approx((2.0, 0.5, 2.2))
    assert rows[2][2:] == pytest.approx((0.5, 0.5, 2.0))
    assert fastest_peer(rows).library == "faster"
    assert fastest_peer(rows[:1]) is None


def test_every_round_measures_every_library_and_the_order_changes(monkeypatch):
    import throughput

    order = []

    class Runner:
        def __init__(self, library, config, device):
            self.library = library

        def seconds(self, mode, steps):
            order.append((self.library, steps))
            return 0.25 * steps

    monkeypatch.setattr(throughput, "Runner", Runner)
    rates = throughput.measure_speed(["a", "b", "c"], throughput.CONFIGS["quick"], ["forward"], "cpu", 4, at_least=0.6)
    assert rates == {"forward": {library: [16.0] * 4 for library in "abc"}}  # batches of 4, each 0.25 s
    measured = [library for library, steps in order if steps == 3]  # 3 × 0.25 s are the first above 0.6 s
    rounds = [tuple(measured[i : i + 3]) for i in range(0, 12, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 1


def test_only_the_named_section_is_replaced(tmp_path):
    from machine import HEADER, write_section

    readme = tmp_path / "README.md"
    write_section("one", "first", readme)
    write_section("two", "second", readme)
    write_section("one", "first, again", readme)
    begin_end = "<!-- begin: {0} -->\n{1}\n<!-- end: {0} -->"
    one, two = begin_end.format("one", "first, again"), begin_end.format("two", "second")
    assert readme.read_text() == f"{HEADER}\n{one}\n\n{two}\n"


@pytest.mark.parametrize("change", [{"depth": 3}, {"mlp_dim": 40}, {"patch_size": 8}, {"num_classes": 4}, {"dim": 48}])
def test_a_model_of_another_size_is_no_equal(change):
    from dataclasses import replace

    from peers import BUILDERS, OURS, TINY, check_equal

    check_equal(BUILDERS[OURS](TINY), TINY)
    with pytest.raises(AssertionError):
        check_equal(BUILDERS[OURS](replace(TINY, **change)), TINY)


@pytest.mark.parametrize(
    "library", ["vit-course", "timm", "torchvision", "vit-pytorch", "self-attention-cv", "transformers"]
)
def test_every_library_builds_equal_sizes(library):
    from peers import BUILDERS, TINY, check_equal

    try:
        model = BUILDERS[library](TINY)
    except ImportError as error:
        pytest.skip(f"{library} is not installed: {error}")
    check_equal(model, TINY)
    same = library in ("vit-course", "timm", "torchvision", "transformers")
    s, patch = TINY, TINY.patch_size**2 * 3
    missing = 3 * s.dim * s.depth  # biases of q, k and v
    expected = sum(parameter.numel() for parameter in BUILDERS["vit-course"](TINY).parameters())
    if library == "vit-pytorch":
        expected += 2 * patch + 2 * s.dim - missing
    elif not same:
        expected -= missing + s.dim * s.depth + 2 * s.dim
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_a_training_step_changes_the_weights_and_a_forward_does_not():
    from throughput import CONFIGS, Runner

    runner = Runner("vit-course", CONFIGS["quick"], "cpu")
    weights = nn.utils.parameters_to_vector(runner.model.parameters()).clone()
    for mode, changed in (("forward", False), ("training", True)):
        runner.seconds(mode, 1)
        assert runner.model.training == changed
        assert torch.equal(nn.utils.parameters_to_vector(runner.model.parameters()), weights) != changed


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read in /proc, which this system lacks")
def test_memory_is_counted_in_bytes():
    from throughput import _peak_bytes

    before = _peak_bytes("cpu")
    held = torch.ones(64 * 2**20 // 4 * 8)  # 512 MiB
    assert 400 * 2**20 < _peak_bytes("cpu") - before < 600 * 2**20
    del held
