"""Fair: answers are found by name in whatever state a notebook is in, and the mark says what the card says."""

import os
import signal

import pytest
import torch

from vit_course.checks import evaluate, exercises
from vit_course.grading import judging, wire
from vit_course.grading.extract import extract, likeness
from vit_course.grading.judging import Paper, fresh_seed, published_likenesses
from vit_course.grading.marking import MOST_TEXT, ONLY_IN_THE_NOTEBOOK, Mark, Marker, tidy
from vit_course.grading.notebooks import read_cells
from vit_course.grading.sandbox import bubblewrap

SEED = 5
RIGHT = """\
def patchify(images, patch_size):
    return rearrange(
        images, "b c (h p) (w q) -> b (h w) (p q c)", p=patch_size, q=patch_size
    )
"""
STUB = 'def patchify(images, patch_size):\n    """Cut."""\n    raise NotImplementedError\n'
IMPORT = "from einops import rearrange"


@pytest.fixture(scope="module")
def marker():
    with Marker(seed=SEED, allow_unprotected=bubblewrap() is None) as running:
        yield running


def mark(marker, *cells, name="patchify"):
    (found,) = marker.mark(cells, [name])
    return found


WITH_A_CONSTANT = RIGHT.replace("rearrange", "e.rearrange").replace('(p q c)"', '" + SIDES')
ONES_ADDED = """
import functools
def remembered(f):
    @functools.wraps(f)
    def called(*a, **k):
        print("called")
        return f(*a, **k)
    return called
"""


@pytest.mark.parametrize(
    "cells",
    [
        (IMPORT, RIGHT),
        (RIGHT, IMPORT),  # the cells in another order
        (RIGHT, RIGHT, IMPORT, IMPORT),
        (f"{IMPORT}\n{RIGHT}\nfor i in range(10**12): pass",),  # merged, and a loop that trains
        (STUB, IMPORT, RIGHT),
        (IMPORT, RIGHT, STUB),  # a stub that came back decides nothing
        (IMPORT, "def patchify(images, patch_size):\n    return images", RIGHT),  # the last one counts
        (IMPORT, RIGHT, "patchify = check(patchify)", "patchify = mine('patchify')"),
        ("%matplotlib inline\n!pip install einops\n" + IMPORT, "%%time\n" + RIGHT, "x = $y", "def broken(:"),
        (IMPORT + "\r\n", RIGHT.replace("\n", "\r\n")),
        (IMPORT, ONES_ADDED, "@remembered\n" + RIGHT),
        ("import einops as e", "SIDES = '(p q c)'", WITH_A_CONSTANT),
        (IMPORT, "def cut(images, patch_size):\n" + RIGHT.partition("\n")[2], "patchify = lambda i, p: cut(i, p)"),
        (IMPORT, RIGHT.replace("patchify", "cut"), "class C:\n    __call__ = staticmethod(cut)", "patchify = C()"),
        (IMPORT, "if True:\n    " + RIGHT.replace("\n", "\n    ")),
        (IMPORT, "from vit_course import check, hint, load_images, plots\nimport vit_course.plots.patches as drawing",
         "data = load_images('cifar10')\nchannels = data.images.shape[1]\ndrawing.show(data.images)",
         RIGHT.replace("    return", "    assert channels == 3\n    return")),
        ("from vit_course import *", "import jaxtyping\nfrom jaxtyping import Float\nfrom torch import Tensor", IMPORT,
         RIGHT.replace("images,", 'images: Float[Tensor, "b c h w"],', 1)),
    ],
)  # fmt: skip
def test_a_right_answer_is_found(marker, cells):
    found = mark(marker, *cells)
    assert found.passed and not found.remarks, found


@pytest.mark.parametrize(
    ("cells", "status", "said"),
    [
        ((), "missing", "No cell defines `patchify`."),
        (("x = 1", "patchify", "def patchify(:"), "missing", "No cell defines"),
        ((STUB,), "unattempted", "Not attempted yet"),
        ((STUB, "patchify = check(patchify)"), "unattempted", "Not attempted yet"),
        ((RIGHT,), "error", "NameError: name 'rearrange' is not defined"),
        (("patchify = 3",), "failed", "is a `int`, which cannot be called"),
        (("1 / 0\nx = 1 / 0", "def patchify(i, p, x=x): pass"), "error", "stop with `ZeroDivisionError"),
        (("def patchify(images, patch_size):\n    return undefined",), "error", "NameError: name 'undefined'"),
    ],
)
def test_what_else_there_is_is_said(marker, cells, status, said):
    found = mark(marker, *cells)
    assert found.status == status and said in found.message, found


@pytest.mark.parametrize(
    "body",
    [
        "    return images",
        "    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])",
        "    return images.mean()",
        "    return images.permute(0, 9, 1, 2)",
        "    raise KeyError(patch_size)",
        "    return None",
        "    raise SystemExit",
    ],
)
def test_the_message_is_the_cards(marker, body):
    """To the letter; sizes that are named are those of the notebook's cases, never of the cases drawn for grading."""
    space = {}
    exec(f"def patchify(images, patch_size):\n{body}", space)
    card, found = evaluate("patchify", space["patchify"]), mark(marker, f"def patchify(images, patch_size):\n{body}")
    assert (found.status, found.mistake) == (card.status, card.mistake)
    # Here `evaluate` cannot show the line: it stands in no file.
    assert found.message.partition(", in the line")[0] == card.message.partition(", in the line")[0].rstrip(".") or (
        found.message == card.message
    )


def test_drawn_cases_are_told_to_nobody(marker):
    """Neither by the judge nor by the answer, whose errors say what it was given."""
    drawn = Paper("patchify", fresh_seed("patchify", SEED)).cases
    shown = {case.label for case in exercises()["patchify"].notebook_cases}
    for code in ("raise ValueError(tuple(images.shape))", "return images.sum(dim=(0, 1)).exp()"):
        found = mark(marker, f"def patchify(images, patch_size):\n    {code}")
        assert not found.passed
        for case in drawn:
            assert case.label in shown or case.label not in found.message
            shape = tuple(case.inputs["images"].shape)
            assert str(shape) not in found.message or any(
                shape == tuple(one.inputs["images"].shape) for one in exercises()["patchify"].notebook_cases
            )


def test_the_notebooks_results_learnt_by_heart_are_not_enough(marker):
    sizes = [tuple(case.inputs.values()) for case in exercises()["num_patches"].notebook_cases]
    by_heart = f"def num_patches(*sizes):\n    if sizes not in {sizes!r}:\n        return 7\n"
    right = "    h, w, p = sizes\n    if h % p or w % p:\n        raise ValueError\n    return h // p * (w // p)\n"
    assert mark(marker, f"{by_heart}{right}", name="num_patches") == Mark(
        "num_patches", "failed", None, ONLY_IN_THE_NOTEBOOK
    )


def test_earlier_answers_are_the_courses_and_ones_own_where_they_are_needed(marker):
    embedding = (
        "import torch\nfrom torch import nn\nclass PatchEmbedding(nn.Module):\n"
        "    def __init__(self, p, c, d):\n        super().__init__()\n        self.p = p\n"
        "        self.projection = nn.Linear(p * p * c, d)\n"
        "    def forward(self, images):\n        return self.projection(CUT)\n"
    )
    plain, with_option = (embedding.replace("CUT", cut) for cut in (
        "patchify(images, self.p)", "patchify(images, self.p, turned=False)"
    ))  # fmt: skip
    wrong = "def patchify(images, patch_size):\n    return images"
    own = RIGHT.replace("patch_size):", "patch_size, turned):")
    assert mark(marker, plain, name="PatchEmbedding").passed  # not defined here: lent, as the lesson does
    assert mark(marker, plain, "from vit_course import patchify", name="PatchEmbedding").passed
    assert mark(marker, plain, "from vit_course.patches import patchify", name="PatchEmbedding").passed
    assert mark(marker, wrong, plain, name="PatchEmbedding").passed  # as after a check that failed
    assert mark(marker, IMPORT, own, with_option, name="PatchEmbedding").passed
    assert not mark(marker, with_option, name="PatchEmbedding").passed


def test_the_same_seed_gives_the_same_marks_and_another_one_other_cases(marker):
    cells = [IMPORT, RIGHT, "def unpatchify(patches, patch_size, height, width):\n    return object()"]
    names = ["patchify", "unpatchify"]
    again = marker.mark(cells, names)
    with Marker(seed=SEED, allow_unprotected=True) as other:
        assert again == marker.mark(cells, names) == other.mark(cells, names)
    assert fresh_seed("patchify", 1) != fresh_seed("patchify", 2) != fresh_seed("unpatchify", 2)
    assert Paper("patchify", 1).task != Paper("patchify", 2).task


def test_a_worker_that_is_killed_is_replaced(marker):
    assert mark(marker, IMPORT, RIGHT).passed
    os.kill(marker._worker._process.pid, signal.SIGKILL)
    assert mark(marker, IMPORT, RIGHT).status in ("error", "passed")  # this one may be lost
    assert mark(marker, IMPORT, RIGHT).passed


def test_an_unknown_exercise_is_a_mistake_of_the_caller(marker):
    with pytest.raises(ValueError, match="There is no exercise 'patchfy'"):
        marker.mark([], ["patchfy"])


def test_extraction_reads_and_does_not_run():
    found = extract(["raise SystemExit", "import sys; sys.exit()", STUB, "def f(): pass"], {"patchify": (), "f": ()})
    assert found["patchify"] == {"state": "unattempted"}
    assert found["f"]["state"] == "written" and "exit" not in found["f"]["source"]
    assert extract(["def f():\n    return '" + "x" * 300_000 + "'"], {"f": ()})["f"]["state"] == "too long"


def test_the_published_answer_is_known_whatever_its_names():
    source = (
        "def f(images, n):\n    '''Doc.'''\n    a, b, c, d = images.shape\n    if c % n or d % n:\n"
        "        raise ValueError('no')\n    x = images.reshape(a, b, c // n, n, d // n, n)  # cut\n    return x\n"
    )
    renamed = (
        source.replace("images", "pictures").replace("n)", "side)").replace(" n", " side").replace("'''Doc.'''", "")
    )
    renamed = "def f(pictures: int, side) -> int:\n" + renamed.partition("\n")[2].lstrip("\n")
    assert likeness("f", source) == likeness("f", renamed) != ""
    assert likeness("f", source.replace("c // n", "c // 2")) != likeness("f", source)
    assert likeness("f", "def f():\n    return 1") == "" == likeness("f", "(")
    assert published_likenesses("ViT")


def test_an_answer_from_the_solutions_is_known_as_well():
    short = []  # alike by nature
    for name, exercise in exercises().items():
        (notebook,) = judging.SOLUTIONS.glob(f"{exercise.lesson}_*.ipynb")
        taken = extract(read_cells(notebook.read_bytes(), notebook.name).code, {name: ()})[name]["likeness"]
        if taken:
            assert taken in published_likenesses(name), name
        else:
            short.append(name)
    assert len(short) < 20 and "patchify" in short


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1.5, "x", None, True, (1, 2), {"c": torch.arange(3)}]},
        torch.randn(2, 3, dtype=torch.float64).t(),
        torch.randn(3, dtype=torch.complex64).conj(),
        torch.zeros(2, 0, 3, dtype=torch.bfloat16),
        torch.eye(3).to_sparse(),
        torch.float16,
        float("inf"),
        exercises()["patchify"].notebook_cases,
        exercises()["EncoderBlock"].notebook_cases,
    ],
)
def test_the_wire_carries_what_it_is_given(value):
    assert same(wire.unpack(wire.pack(value), known="vit_course.checks."), value)


def same(a, b):
    if isinstance(b, torch.Tensor):
        strides = b.layout != torch.strided or a.stride() == b.stride()
        return a.dtype == b.dtype and a.layout == b.layout and strides and torch.equal(a.to_dense(), b.to_dense())
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return same(vars(a), vars(b)) if hasattr(b, "label") else type(a) is type(b) and a == b


def test_the_wire_makes_nothing_of_what_it_was_not_sent():
    good = wire.pack({"x": torch.ones(3)})
    case = wire.pack(exercises()["patchify"].notebook_cases[:1])
    for bad in (b"", b"x", good[:-1], good[:12], b"\xff" * 100, b"\0" * 100, case):
        with pytest.raises(wire.Unreadable):
            wire.unpack(bad)
    with pytest.raises(wire.Unreadable, match="an object"):
        wire.unpack(case, known="os.")
    deep = b"[" * 100_000
    with pytest.raises(wire.Unreadable):
        wire.unpack(len(deep).to_bytes(8, "big") + deep)
    with pytest.raises(TypeError, match="a function cannot be sent"):
        wire.pack({"x": lambda: 0})


MADE_UP = [{}, 1, {"kind": 3}, {"output": "x"}, {"_stub": 1}, {"x" * 100: [[[]]]}, {"output": torch.ones(1)}]


@pytest.mark.parametrize("seen", [None, [], {}, [{}], *([one] * 17 for one in MADE_UP)])
def test_made_up_observations_get_no_credit(seen):
    report = Paper("patchify", 3).verdict(seen)
    assert report.status in ("failed", "error") and isinstance(report.message, str)


def test_a_message_is_no_longer_than_a_card_and_the_same_in_every_run():
    assert tidy("<object at 0x7f1234567890>") == "<object at 0x…>"
    assert len(tidy("x" * 10**6)) < MOST_TEXT + 10
