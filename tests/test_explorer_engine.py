"""The explorer's engine in JavaScript computes what `ViT` does, with WebAssembly and without, changed in any way."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_vit import SMALL, randomised

from vit_course import ViT
from vit_course.checkpoints import HERE, configuration, load_checkpoint, names
from vit_course.explorer.intervening import Intervention, run

ROOT = Path(__file__).resolve().parent.parent
EXPLORER = ROOT / "vit_course" / "explorer"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node on this machine, to run the explorer's engine with")

CHANGES = (
    Intervention(),
    Intervention(masked=(0, 3, 4)),
    Intervention(off=((0, 1), (1, 0), (1, 1))),
    Intervention(temperature=0.25),
    Intervention(temperature=7.0),
    Intervention(positions=0.0),
    Intervention(masked=(1, 5), off=((1, 1),), temperature=1.5, positions=1.7),
)


def in_node(folder, card, weights, image, changes):
    """What the engine says on an image (C, H, W), all in a row, by WebAssembly and by JavaScript; and facts."""
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "pixels.bin").write_bytes(image.numpy().tobytes())
    (folder / "cases.json").write_text(json.dumps([asdict(change) for change in changes]))
    command = [NODE, str(ROOT / "tests" / "run_engine.mjs"), str(EXPLORER / "engine.js"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    if "error" in facts:
        return facts["error"]
    return [np.fromfile(folder / f"{way}.bin", np.float32) for way in ("simd", "plain")], facts


def in_torch(model, image, changes):
    found = []
    for change in changes:
        seen = run(model, image[None], change)
        found += [seen.logits, *seen.attentions, seen.lens]
    return torch.cat([one.flatten() for one in found]).numpy()


def assert_alike(folder, model, image, weights=None, changes=CHANGES, within=1e-5):
    if weights is None:
        save_file(model.state_dict(), folder / "torch.safetensors")
        weights = (folder / "torch.safetensors").read_bytes()
    found, facts = in_node(folder, {"configuration": configuration(model)}, weights, image, changes)
    assert [one["simd"] for one in facts] == [True, False]
    expected = in_torch(model, image, changes)
    for values in found:
        assert values.shape == expected.shape
        np.testing.assert_allclose(values, expected, rtol=within, atol=within)


OPTIONS = {
    "the small one": {},
    "mean pooling": {"pool": "mean"},
    "fixed positions": {"positions": "sincos"},
    "no positions": {"positions": "none"},
    "grey": {"in_channels": 1},
    "wide heads": {"dim_head": 20},
    "narrow heads": {"heads": 5, "dim_head": 3},
    "odd sizes": {"image_size": (15, 9), "patch_size": 3, "dim": 30, "heads": 2, "mlp_dim": 13, "depth": 3},
    "large patches": {"image_size": (16, 24), "patch_size": 8, "num_classes": 2},
    "one class, deep": {"num_classes": 1, "depth": 5},
}


@needs_node
@pytest.mark.parametrize("which", OPTIONS)
def test_any_vit_of_ours(which, tmp_path):
    options = {"image_size": (8, 12)} | SMALL | OPTIONS[which]
    model = randomised(ViT(**options)).eval()
    shape = (options.get("in_channels", 3), *options["image_size"])
    image = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    assert_alike(tmp_path, model, image)


@needs_node
@pytest.mark.parametrize("name", names())
def test_the_shipped_weights_in_half_precision(name, tmp_path):
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    much = Intervention(masked=tuple(range(0, 64, 3)), off=((2, 1),), temperature=0.5, positions=0.5)
    weights = (HERE / f"{name}.safetensors").read_bytes()
    assert_alike(tmp_path, load_checkpoint(name), image, weights, [Intervention(), much], within=2e-5)


@needs_node
def test_other_precisions(tmp_path):
    for dtype, within in ((torch.bfloat16, 1e-5), (torch.float64, 1e-5)):
        model = randomised(ViT(image_size=(8, 12), **SMALL)).eval()
        kept = {name: weight.to(dtype) for name, weight in model.state_dict().items()}
        model.load_state_dict({name: weight.float() for name, weight in kept.items()})
        save_file(kept, tmp_path / "torch.safetensors")
        image = torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(1))
        weights = (tmp_path / "torch.safetensors").read_bytes()
        assert_alike(tmp_path, model, image, weights, [Intervention()], within)


def damaged():
    """(what was done, the card's change, the weights' change, words of the sentence)."""
    header = 8

    def cut(weights):
        return weights[:-100]

    yield "cut short", {}, cut, "cut short"
    yield "cut in the header", {}, lambda weights: weights[: header + 20], "cut short"
    yield "empty", {}, lambda weights: b"", "no safetensors"
    yield "a page", {}, lambda weights: b"<!doctype html><title>404</title>" * 10, "no safetensors"
    yield "bad header", {}, lambda weights: weights[:8] + b"?" * 20 + weights[28:], "header cannot be read"
    yield "another depth", {"depth": 3}, None, 'no "encoder.blocks.2.norm1.weight"'
    yield "another width", {"dim": 48}, None, "not 1 × 1 × 48"
    yield "no ViT", {"patch_size": None}, None, "no ViT's"
    yield "odd grid", {"patch_size": 5}, None, '"rows" would be'


DAMAGED = list(damaged())


@needs_node
@pytest.mark.parametrize("what, card, change, words", DAMAGED, ids=[one[0] for one in DAMAGED])
def test_what_cannot_be_run_is_said_in_a_sentence(what, card, change, words, tmp_path):
    model = randomised(ViT(image_size=(8, 12), **SMALL)).eval()
    save_file(model.state_dict(), tmp_path / "torch.safetensors")
    weights = (tmp_path / "torch.safetensors").read_bytes()
    facts = {"configuration": configuration(model) | card}
    said = in_node(tmp_path, facts, change(weights) if change else weights, torch.zeros(3, 8, 12), [Intervention()])
    assert isinstance(said, str) and words in said and said.endswith(".")


def test_what_is_committed_is_what_the_source_gives():
    pytest.importorskip("wasmtime", reason="wasmtime, which assembles matmul.wat, is not installed")
    sys.path.insert(0, str(ROOT / "scripts"))
    from build_engine import PLACE, assembled

    assert PLACE.findall((EXPLORER / "engine.js").read_text(encoding="utf-8")) == [assembled()]
