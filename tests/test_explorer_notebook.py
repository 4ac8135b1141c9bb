"""The explorer in a notebook: any ViT, run in the kernel; a sentence where it cannot be run; a still picture."""

import functools
import json
import os
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from right_answers_06 import OwnAttention
from right_answers_07 import RIGHT_ANSWERS
from small_vit import small
from test_browser import CHROMIUM, card, jupyter, page, theme  # noqa: F401  (fixtures among them)
from torch import nn

from vit_course import load_images, with_parts
from vit_course.attention import MultiHeadSelfAttention
from vit_course.checkpoints import load_checkpoint
from vit_course.explorer import explore
from vit_course.explorer.intervening import Intervention, run
from vit_course.explorer.pictures import SCENES, drawn
from vit_course.images import to_floats


def bytes_like(count=2, channels=3, size=(8, 12)):
    return torch.randint(
        0, 256, (count, channels, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


class Screen:
    """What the explorer sends its screen."""

    def send(self, content, buffers):
        self.content, self.buffers = content, [np.frombuffer(one, np.float32) for one in buffers]


def asked(explorer, pixels, asking=0, **change):
    screen = Screen()
    change = {"masked": [], "off": [], "temperature": 1, "positions": 1} | change
    question = {"do": "run", "id": "a-1", "change": change, "asking": asking}
    explorer._asked(screen, question, [memoryview(pixels.numpy().tobytes())])
    assert screen.content["id"] == "a-1"
    return screen


# --- runs that are changed -------------------------------------------------------------------------------------------


def test_each_change_does_what_it_says():
    model, images = small(), to_floats(bytes_like())
    plain = run(model, images)
    assert torch.equal(plain.logits, model(images)) and torch.allclose(plain.lens[:, -1], plain.logits, atol=1e-6)
    assert [one.shape for one in plain.attentions] == [(2, 3, 7, 7)] * 2
    masked = run(model, images, Intervention(masked=(0, 5)))
    assert all(
        (layer[..., [1, 6]] == 0).all() and (layer[..., [0, 2, 3, 4, 5]] > 0).all() for layer in masked.attentions
    )
    each = torch.zeros(2, 6, dtype=torch.bool)
    each[0, [0, 5]] = True
    torch.testing.assert_close(run(model, images, Intervention(masked=each)).logits[0], masked.logits[0])
    torch.testing.assert_close(run(model, images, Intervention(masked=each)).logits[1], plain.logits[1])
    flat = run(model, images, Intervention(temperature=1e6)).attentions[0]
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / 7), atol=1e-4, rtol=0)
    with torch.no_grad():
        model.positions.positions[:, 1:] *= 0.5
    torch.testing.assert_close(
        run(model, images, Intervention(positions=2.0)).logits, plain.logits, atol=1e-4, rtol=1e-4
    )


def test_a_head_that_is_off_adds_nothing():
    model, images = small(), to_floats(bytes_like())
    off = run(model, images, Intervention(off=[(1, 0), (1, 2)]))
    with torch.no_grad():
        model.encoder.blocks[1].attention.out.weight[:, [*range(8), *range(16, 24)]] = 0
    torch.testing.assert_close(off.logits, model(images))


def test_the_model_is_left_as_it_was():
    model = small().train()
    with pytest.raises(ValueError, match="there are 6 patches, counted from 0; got \\[6\\]"):
        run(model, to_floats(bytes_like()), Intervention(masked=[6], positions=0.5, off=[(0, 0)]))
    run(model, to_floats(bytes_like()), Intervention(masked=[1], positions=0.5, off=[(0, 0)], temperature=2))
    assert model.training
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())


def test_each_part_keeps_its_own_mode():
    model = small().train()
    model.encoder.blocks[0].eval()
    before = [one.training for one in model.modules()]
    run(model, to_floats(bytes_like()))
    assert [one.training for one in model.modules()] == before and len(set(before)) == 2


@pytest.mark.parametrize(
    "change, words",
    [
        ({"temperature": 0}, "temperature is above 0, got 0"),
        ({"off": [(2, 0)]}, "2 layers of 3 heads, from 0"),
        ({"off": [(0, -1)]}, "2 layers of 3 heads, from 0"),
    ],
)
def test_a_change_that_cannot_be_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        run(small(), to_floats(bytes_like()), Intervention(**change))


# --- explore ---------------------------------------------------------------------------------------------------------


def test_the_screen_gets_what_it_asks_for():
    model, images = small(), bytes_like(30)
    explorer = explore(model, images, classes=["one"])
    screen = Screen()
    explorer._asked(screen, {"do": "begin", "id": 1}, [])
    given = screen.content["given"]
    expected = {"channels": 3, "height": 8, "width": 12, "rows": 2, "columns": 3, "depth": 2, "heads": 3}
    assert given["sizes"] == expected and given["classes"] == ["one", *(f"class {index}" for index in range(1, 7))]
    assert len(screen.content["names"]) == len(screen.buffers) == 24
    change = {"masked": [2], "off": [[1, 1]], "temperature": 2, "positions": 0.5}
    screen = asked(explorer, images[3], asking=4, **change)
    seen = run(model, to_floats(images[3:4]), Intervention([2], [(1, 1)], 2, 0.5))
    rows = torch.stack([layer[0, :, 4] for layer in seen.attentions])
    for found, wanted in zip(screen.buffers, (seen.logits, rows, seen.lens), strict=True):
        np.testing.assert_allclose(found, wanted.numpy().ravel(), rtol=1e-5, atol=1e-6)
    assert (screen.content["tokens"], screen.content["classes"]) == (7, 7)


def test_it_takes_what_load_images_gives_and_pictures_of_its_own():
    given = load_images("shapes", "test", limit=3)
    explorer = explore(small(image_size=32, num_classes=10), given)
    assert len(explorer.pictures) == 3 and explorer.classes == list(given.classes)
    own = explore(small(image_size=(16, 24), in_channels=1))
    assert own.problem is None and own.pictures[0].pixels.shape == (1, 16, 24)


def test_the_shipped_model_names_all_of_the_drawn_pictures():
    pixels = torch.stack([one.pixels for one in drawn()])
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    found = [classes[index] for index in load_checkpoint("cifar10")(to_floats(pixels)).argmax(dim=1)]
    words = {"car": "automobile", "boat": "ship"}
    shown = [
        next(words.get(word, word) for word in name.split() if words.get(word, word) in classes) for name in SCENES
    ]
    assert found == shown and set(shown) == set(classes)


@pytest.mark.parametrize("theirs", RIGHT_ANSWERS["ViT"])
def test_a_learners_own_vit_is_looked_into_as_ours(theirs):
    sizes = {"image_size": 16, "patch_size": 4, "num_classes": 7, "dim": 24, "depth": 2, "heads": 3, "mlp_dim": 40}
    ours, mine = small(**sizes), theirs(**sizes)
    mine.load_state_dict(ours.state_dict(), strict=False)
    image = to_floats(bytes_like(3, size=(16, 16)))
    change = Intervention(masked=[3, 9], off=[(0, 1), (1, 0)], temperature=0.6, positions=0.3)
    for one in (None, change):
        found, expected = run(mine, image, one), run(ours, image, one)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert explore(mine, bytes_like(size=(16, 16))).problem is None


class ByFunction(MultiHeadSelfAttention):
    def project(self, x):
        projected = nn.functional.linear(x, self.qkv.weight, self.qkv.bias)
        return projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)


class Unfinished(MultiHeadSelfAttention):
    def forward(self, x, mask=None):
        raise NotImplementedError


def past_its_layers(model, part=None):
    """Its blocks, or the part of them, are not called as layers are, so that no hook sees them."""
    if part is None:
        model.encoder.forward = lambda x, mask=None: functools.reduce(
            lambda x, block: block.forward(x, mask), model.encoder.blocks, x
        )
    for block in model.encoder.blocks if part else ():
        block.forward = functools.partial(lambda block, x, mask=None: x + block.attention.forward(x, mask), block)
    return model


def without_heads(model):
    for block in model.encoder.blocks:
        del block.attention.heads
    return model


def unfinished(model, kind=Unfinished):
    for block in model.encoder.blocks:
        block.attention = kind(24, 3)
    return model


class Untold(nn.Module):
    """Attention that keeps its number of heads where nobody looks for it."""

    def __init__(self, dim, heads):
        super().__init__()
        self.inside = [OwnAttention(dim, heads)]
        self.qkv, self.out = self.inside[0].qkv, self.inside[0].out

    def forward(self, x, mask=None):
        return self.inside[0](x, mask)


def test_attention_may_use_its_weights_past_their_layers_and_hide_its_number_of_heads():
    images, change = to_floats(bytes_like()), Intervention(masked=[4], off=[(0, 1)], temperature=2)
    expected = run(small(), images, change)
    by_function, untold = unfinished(small(), ByFunction), with_parts(small(), MultiHeadSelfAttention=Untold)
    by_function.load_state_dict(small().state_dict())
    torch.testing.assert_close(run(by_function, images, change), expected)
    torch.testing.assert_close(run(untold, images, change, heads=3), expected)
    assert explore(untold, bytes_like(), heads=3).problem is None
    assert "Untold does not say how many heads it has" in explore(untold, bytes_like()).problem


@pytest.mark.parametrize(
    "model, words",
    [
        (nn.Linear(2, 2), "there is no attention to record"),
        (without_heads(small()), "keep the number, as `self.heads = heads`"),
        (unfinished(small()), "A part of it is not written yet."),
        (past_its_layers(small()), "are not called as layers"),
        (past_its_layers(small(), "attention"), "are not called as layers"),
        (small(classification=False), "has no `head`"),
        (small(image_size=16), "this ViT is for images of"),
    ],
)
def test_a_vit_that_cannot_run_yet_is_told_so_and_stops_no_notebook(model, words):
    explorer = explore(model, bytes_like())
    shown = explorer._repr_mimebundle_()["text/plain"]
    assert shown.startswith("This ViT cannot be explored yet. ") and words in shown and repr(explorer) == shown
    with pytest.raises(ValueError, match="cannot be explored yet"):
        explorer.still()


def test_what_goes_wrong_later_becomes_a_sentence_on_the_screen():
    model = small()
    explorer = explore(model, bytes_like())
    unfinished(model)
    assert asked(explorer, bytes_like()[0]).content["error"] == "A part of it is not written yet."
    screen = asked(explore(small(), bytes_like()), bytes_like()[0], masked=[99])
    assert screen.content["error"] == "there are 6 patches, counted from 0; got [99]."


@pytest.mark.parametrize(
    "images", [torch.rand(2, 3, 8, 12), bytes_like()[0], bytes_like()[:0], "cifar10", bytes_like(2, 4)]
)
def test_images_of_another_kind_are_refused(images):
    with pytest.raises(ValueError, match=r"as bytes, \(N, C, H, W\)|1 or 3 channels, got 4"):
        explore(small(), images)


def test_floats_are_made_as_the_learner_says():
    seen = []
    explore(small(), bytes_like(), prepare=lambda images: seen.append(images) or images.double() / 255)
    assert seen[0].dtype == torch.uint8 and seen[0].shape == (1, 3, 8, 12)


def test_a_still_picture_stands_beside_it_and_nothing_large_is_kept():
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    explorer = explore(load_checkpoint("cifar10"))
    data, metadata = explorer._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert "6 layers of 3 heads" in metadata["image/png"]["alt"] and len(data["image/png"]) < 120_000
    assert len(json.dumps(explorer.widget().get_state(), default=str)) < 60_000


def test_without_anywidget_a_sentence_and_the_still_picture(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    data, _ = explore(small(), bytes_like())._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"} and "pip install anywidget" in capsys.readouterr().out


# --- in JupyterLab ---------------------------------------------------------------------------------------------------

SOURCE = """from vit_course.checkpoints import card, load_checkpoint
from vit_course.explorer import explore

model = load_checkpoint("cifar10")
explore(model, classes=card("cifar10")["classes"])"""


@pytest.mark.slow  # the first widget of a new JupyterLab takes minutes on a busy machine
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_in_jupyterlab(jupyter, page, tmp_path):  # noqa: F811
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    cells = [nbformat.v4.new_code_cell(SOURCE), nbformat.v4.new_code_cell("1 + 1")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}  # else JupyterLab asks which
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "work" / "explorer.ipynb"
    )
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{jupyter}/lab/tree/explorer.ipynb?token=course&reset")
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    assert page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)")
    root = page.locator(".vit-explorer[data-ready][aria-busy=false]")
    root.wait_for()
    answer = (
        "() => { const {screen} = document.querySelector('.vit-explorer'); return [...screen.results.probabilities] }"
    )
    quiet = "() => !document.querySelector('.vit-explorer').screen.running"
    pixels, model = to_floats(drawn()[0].pixels[None]), load_checkpoint("cifar10")
    np.testing.assert_allclose(page.evaluate(answer), model(pixels).softmax(1)[0].detach(), atol=1e-4)

    # Letters, arrows and Escape stay inside: D D would delete the cell, A would put one above it.
    root.locator(".cells button").first.focus()
    for key in ("a", "d", "d", "ArrowRight", "Space", "Escape"):
        page.keyboard.press(key)
    root.locator(".tile").nth(4).click()
    page.wait_for_function(quiet)
    changed = run(model, pixels, Intervention(masked=[1], off=[(1, 1)])).logits.softmax(1)[0]
    np.testing.assert_allclose(page.evaluate(answer), changed, atol=1e-4)
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.widgets.length") == 2
    for name, scheme in (("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")):
        theme(page, name)
        page.locator(f".vit-explorer[data-theme={scheme}]").wait_for()
        if folder := os.environ.get("VIT_COURSE_SCREENSHOTS"):
            page.locator("#jupyterlab-splash").wait_for(state="detached")
            page.screenshot(path=Path(folder) / f"explorer-jupyterlab-{scheme}.png")
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    assert (tmp_path / "work" / "explorer.ipynb").stat().st_size < 150_000
    assert complaints == []
