"""Answers that passed are kept, and come back in another notebook; what cannot be kept is said."""

import inspect
import json
import stat

import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from vit_course import mine, paths, progress
from vit_course.authoring.running import run
from vit_course.checks.record import record
from vit_course.embeddings import PatchEmbedding
from vit_course.patches import patchify
from vit_course.paths import home, personal

PATCHIFY = """
def patchify(images, patch_size):
    b, c, h, w = images.shape
    cut = images.reshape(b, c, h // patch_size, patch_size, w // patch_size, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, VALUES(c, patch_size))
"""
EMBEDDING = """
class PatchEmbedding(Part):
    def __init__(self, patch_size, in_channels, dim):
        super().__init__()
        self.patch_size = patch_size
        self.projection = nn.Linear(patch_size**2 * in_channels, dim)

    def forward(self, images):
        return self.projection(patchify(images, self.patch_size))
"""


def work(*cells):
    """Run cells in a kernel of their own. Returns what each shows."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    assert run(notebook) == "", notebook.cells
    return [
        "".join(out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)
        for cell in notebook.cells
    ]


def test_an_answer_comes_back_in_another_notebook():
    """Helpers, imports and base classes of other cells come with it; a later, wrong try does not replace it."""
    said = work(
        "from vit_course import check\ndef VALUES(c, p):\n    return c * p**2",
        PATCHIFY,
        "patchify = check(patchify)",
        "def patchify(images, patch_size):\n    return images",
        "patchify = check(patchify)",
        "from torch import nn\nclass Part(nn.Module):\n    pass",
        EMBEDDING,
        "PatchEmbedding = check(PatchEmbedding)",
    )
    assert "right" in said[2] and "not right yet" in said[4] and "right" in said[7]
    assert not any("cannot be kept" in text for text in said)
    said = work(
        "from vit_course import mine",
        "cut = mine('patchify')",
        "made = mine('PatchEmbedding')\nprint(made.forward.__globals__['patchify'].__code__.co_filename)",
        "unpatchify = mine('unpatchify')\nimport vit_course\nprint(unpatchify is vit_course.unpatchify)",
    )
    assert said[1] == "patchify: yours.\n"
    assert said[2] == "PatchEmbedding: yours, with your `patchify`.\n<your patchify>\n"
    assert said[3] == "unpatchify: the course's. Yours is not kept here.\nTrue\n"
    kept = json.loads((home() / "progress.json").read_text())
    assert "reshape(b, c, h // patch_size" in kept["patchify"]["answer"]
    assert stat.S_IMODE((home() / "progress.json").stat().st_mode) == 0o600, "an answer is the learner's own"


def test_what_cannot_be_kept_is_said_and_counts():
    said = work(
        "from vit_course import check, mine, progress\nimport vit_course",
        "for name in ['patchify']:\n    real = getattr(vit_course, name)",
        "def patchify(images, patch_size):\n    return real(images, patch_size)",
        "patchify = check(patchify)",
        "counted = check(lambda h, w, p: vit_course.num_patches(h, w, p), name='num_patches')",
        "mine('patchify')\nprint(progress().passed)",
    )
    assert "cannot be kept for later lessons: it uses `real`, which no import" in said[3]
    assert "cannot be kept for later lessons: no cell defines it under this name" in said[4]
    assert "the course's" in said[5] and "['num_patches', 'patchify']" in said[5]


def keep(name, source):
    assert record(name, True, source) == ""


def test_outside_a_notebook_it_is_the_same(capsys):
    keep("patchify", PATCHIFY + "\ndef VALUES(c, p):\n    return c * p**2\n")
    own = mine("patchify")
    assert capsys.readouterr().out == "patchify: yours.\n"
    images = torch.rand(2, 3, 8, 12)
    assert own is not patchify and torch.equal(own(images, 4), patchify(images, 4))
    assert "cut.permute" in inspect.getsource(own)
    assert "cut.permute" in progress().entries["patchify"]["answer"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def patchify(images, patch_size):\n    return images\n", "does not pass its check now: Tried with"),
        ("import nothing_like_it\n", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("def patchify(:", "SyntaxError"),
        ("x = 1", "needs `patchify` itself"),
        (7, "Yours is not kept here"),
    ],
)
def test_a_kept_answer_that_fails_now_gives_the_courses(capsys, source, said):
    keep("patchify", source)
    assert mine("patchify") is patchify
    printed = capsys.readouterr().out
    assert printed.startswith("patchify: the course's.") and said in printed


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="There is no exercise 'patchfy'"):
        mine("patchfy")
    assert mine("PatchEmbedding") is PatchEmbedding


def test_a_failed_try_leaves_what_is_kept():
    keep("patchify", "x = 1")
    record("patchify", False)
    record("patchify", True)
    assert progress().entries["patchify"]["answer"] == "x = 1"


def test_on_colab_it_lies_in_the_drive(tmp_path, monkeypatch):
    monkeypatch.delenv("VIT_COURSE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "machine"))
    monkeypatch.setattr(paths, "DRIVE", tmp_path / "drive")
    assert personal() == home()
    record("patchify", True, "x = 1")
    (tmp_path / "drive").mkdir()
    assert progress().entries["patchify"]["answer"] == "x = 1", "what was done before the Drive was mounted"
    record("num_patches", True, "y = 2")
    assert sorted(json.loads((tmp_path / "drive/vit_course/progress.json").read_text())) == ["num_patches", "patchify"]


VIT = """
import torch
from torch import nn
from vit_course import Encoder, LearnedPositions, PatchEmbedding, pool, prepend_cls_token

PatchEmbedding = mine("PatchEmbedding")


class ViT(nn.Module):
    def __init__(
        self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, in_channels=3
    ):
        super().__init__()
        self.embedding = PatchEmbedding(patch_size, in_channels, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = LearnedPositions(1 + (image_size // patch_size) ** 2, dim)
        self.encoder = Encoder(depth, dim, heads, mlp_dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images, mask=None):
        tokens = self.positions(prepend_cls_token(self.embedding(images), self.cls_token))
        return self.head(pool(self.encoder(tokens, mask), "cls"))
"""


def test_a_vit_comes_back_with_the_parts_of_earlier_lessons_in_it_and_theirs_in_them():
    said = work(
        "from vit_course import check, mine",
        "def VALUES(c, p):\n    return c * p**2",
        PATCHIFY,
        "patchify = check(patchify)",
        "from torch import nn\nclass Part(nn.Module):\n    pass",
        EMBEDDING,
        "PatchEmbedding = check(PatchEmbedding)",
        VIT,
        "ViT = check(ViT)",
        "ViT = mine('ViT')",
        "ViT = check(ViT)",  # again: `ViT = mine("ViT")` above is no definition, and calls for itself nowhere
    )
    assert "right" in said[8] and "right" in said[10]
    assert not any("cannot be kept" in text for text in said)
    said = work(
        "from vit_course import mine, with_parts",
        "from vit_course.checkpoints import load_checkpoint",
        "ViT = mine('ViT')",
        "inside = ViT.__init__.__globals__['PatchEmbedding'].forward.__globals__['patchify']",
        "model = with_parts(load_checkpoint('cifar10'), ViT=ViT)",
        "print(inside.__code__.co_filename, type(model).__module__, type(model.embedding).__module__)",
    )
    assert said[2] == "ViT: yours, with your `patchify` and `PatchEmbedding`.\n"
    assert said[5] == "<your patchify> mine.ViT mine.PatchEmbedding\n"
    assert "mine(" not in json.loads((home() / "progress.json").read_text())["ViT"]["answer"]
