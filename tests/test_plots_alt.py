"""Every figure says in words what is to be seen: worked out from what was drawn, and true of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from einops import rearrange
from matplotlib import pyplot

from vit_course import plots
from vit_course.patches import ARTICLE_PATTERN, patchify
from vit_course.plots import base, words

NOISE = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
RED = torch.tensor([0.8, 0.1, 0.1])[:, None, None].expand(3, 8, 8)
SMOOTH = torch.linspace(0, 1, 8).expand(3, 8, 8)  # from black on the left to white on the right
BOARDS = torch.zeros(2, 3, 8, 8)
BOARDS[0, :, 5, 2] = BOARDS[1, :, 1, 7] = 1
WEIGHTS = torch.full((2, 2, 2), 0.1)
WEIGHTS[:, 1, 0] = 0.7  # over the light pixel of the first board, not of the second
SIDES = torch.ones(1, 3, 4, 4)
SIDES[..., 2:] = -1
SIDES, DOWN = patchify(SIDES, 4)[0], patchify(SIDES.transpose(2, 3), 4)[0]
STORED = NOISE.permute(1, 2, 0)
TINY = torch.arange(12).reshape(2, 2, 3)
COORDINATES = torch.arange(3 * 8 * 12.0).reshape(1, 3, 8, 12)
STREWN = rearrange(COORDINATES, ARTICLE_PATTERN, patch_x=4, patch_y=4)[0, :1]
MAP = torch.zeros(1, 2, 2)
MAP[0, 1, 0] = 3
SOME = torch.ones(4, 4, dtype=torch.bool)
SOME[1:3, 3] = False
PEAK = torch.full((1, 16), 0.02)
PEAK[0, 6] = 0.7
DIAGONAL = torch.linspace(0, 1, 5)[:, None].expand(-1, 2)
CROSS = torch.tensor([[0.1, 0.5], [0.9, 0.5], [0.5, 0.3], [0.5, 0.7], [0.5, 0.5]])
RGB = [(0, 0, 0), (0, 0, 1), (0, 0, 2)]

# Of each function two calls, and what the text of each has to say.
GRID = torch.tensor([[1.0, 0, 0.5, 0], [0, 1, 0, 0.8], [0.5, 0, 1, 0], [0, 0.8, 0, 1]])
TURNING = torch.tensor([[0.0, 0.0], [1.0, 0.2], [0.2, 0.6], [0.5, 1.0]])
SHARES = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
HEARD = torch.tensor([[0.0, 0.1], [0.7, 0.2]])
OFFSETS = torch.tensor([[2.0, 0.1], [-1.5, 0.0]])
LINE = torch.linspace(-1, 1, 5)
BELL = torch.tensor([0, 0.2, 1, 0.2, 0])
STEPS, LEANING = torch.tensor([[1, 0], [2, 1]]), torch.tensor([[0.4, 0.0, -0.2]])
FLAT = torch.tensor([[3.0, 9.5], [5.0, 5.0]])
CASES = {
    "accuracies": [
        (([("as it is", 0.76), ("upside down", 0.4)], 0.1), ["“as it is” 76%, “upside down” 40%", "dashed, is 10%"]),
        (([("x", 0.5)], 0.25), ["“x” 50%.", "is 25%"]),
    ],
    "activations": [
        ((LINE, [("f", LINE)]), ["x from -1.0 to 1.0", "“f” from -1.00 to 1.00, lowest -1.00 at -1.00"]),
        ((LINE, [("g", -LINE)], ("h", 0.5 * LINE)), ["lowest -1.00 at 1.00", "“h”: between -5.0e-01 and 5.0e-01"]),
    ],
    "against_width": [
        (
            ([4, 64], [("√d", [0.1, 0.1], [1e-2, 1e-2])]),
            ["“√d” 10% and 1e-02 at d = 4, 10% and 1e-02 at d = 64"],
        ),
        (
            ([4, 64], [("n", [0.25, 0.999], [1e-2, 3e-9])], 32),
            ["“n” 25% and 1e-02", "more than 99% and 3e-09 at d = 64", "marks d = 32."],
        ),
    ],
    "alike": [
        ((GRID, [0], 2), ["1 map of a grid of 2 × 2", "row 0, column 0 is most like row 1, column 0, 0.50"]),
        ((GRID, [0, 3], 2), ["2 maps", "that of row 1, column 1 is most like row 0, column 1, 0.80"]),
    ],
    "axis_orders": [
        ((1, [("pixel", RGB)]), ["3 numbers", "1 × 1", "“pixel” R 0,0, G 0,0, B 0,0"]),
        ((1, [("other", RGB[::-1])]), ["“other” B 0,0, G 0,0, R 0,0"]),
    ],
    "blocks_compared": [
        ((["pre-norm"],), ["A block as a way", "norm1 then attention beside the way, added to it; norm2 then mlp"]),
        ((["post-norm"],), ["attention beside the way, added to it; norm1 on the way itself"]),
    ],
    "boards": [
        ((BOARDS, ["a", "b"]), ["2 pictures of 8 × 8", "“a”, lightest at row 5, column 2", "row 1, column 7"]),
        (
            (BOARDS, ["a", "b"], WEIGHTS),
            ["70% of the weight at row 1, column 0, which holds that", "“b”", "column 0, which does not hold that"],
        ),
    ],
    "bracket_order": [
        ((6, 2), ["[0, 1], [2, 3], [4, 5]", "[0, 3], [1, 4], [2, 5]"]),
        ((4, 2), ["0 to 3", "[0, 1], [2, 3]", "[0, 2], [1, 3]"]),
    ],
    "by_depth": [
        (([("t", [("a", [1.0, 0.5, 0.25])])], "size"), ["Size against block. “t”: “a” 1 at 0, 0.5 at 1, 0.25 at 2"]),
        (([("", [("a", [1]), ("b", [2e-7])])], "size"), ["“a” 1 at 0", "“b” 2e-07 at 0"]),
    ],
    "calibration": [
        ((torch.tensor([0.9, 0.92]), torch.tensor([True, False])), ["91% sure, 50% right (2)", "whole 91% sure, 50%"]),
        ((torch.tensor([0.3, 0.62]), torch.tensor([True, True])), ["30% sure, 100% right (1); 62% sure, 100% right"]),
    ],
    "channels_first": [
        ((STORED, NOISE), ["100% of its numbers", "red 1.00, green 1.00, blue 1.00"]),
        ((STORED, NOISE.flip(0)), ["33% of its numbers are where they belong", "green 1.00"]),
    ],
    "components": [
        (([("a", SIDES.reshape(1, 4, 4, 3))],), ["“a”: 1 picture of 4 × 4 pixels: side to side."]),
        (
            ([("a", DOWN.reshape(1, 4, 4, 3)), ("b", torch.ones(2, 2, 2, 3))],),
            ["“a”: 1 picture of 4 × 4 pixels: top to bottom. “b”: 2 pictures of 2 × 2 pixels: plain; plain."],
        ),
    ],
    "confusion": [
        (
            (torch.tensor([[3, 1], [0, 4]]), ["cat", "dog"]),
            ["2 classes", "7 of 8 right (88%)", "cat called dog 1 time."],
        ),
        ((torch.tensor([[2]]), ["cat"]), ["1 class against", "2 of 2 right (100%). None wrong."]),
    ],
    "contributions": [
        (
            ([4.0, 9.0], [("a", [1.0, 2.5])]),
            ["2 blocks, from the first: “the tokens that come in” 4.0, 9.0; “a” 1.0, 2.5"],
        ),
        (([4.0], [("a", [1]), ("b", [0])]), ["1 block, from the first", "“b” 0.0"]),
    ],
    "costs": [
        (([64, 256], [("a", [0.1, 1.6], [10, 40])]), ["from 64 to 256, 4 times", "“a” 16 times the time, 4 times the"]),
        (([64, 128], [("b", [0.1, 0.2], [10, 40])]), ["2 times as many", "“b” 2 times the time, 4 times the memory"]),
    ],
    "cut_apart": [
        ((SMOOTH, 4), ["4 patches of 4 × 4", "2 rows of 2", "lightest is number 1", "darkest number 0"]),
        ((SMOOTH.flip(2), 2), ["16 patches of 2 × 2", "lightest is number 0", "darkest number 3"]),
    ],
    "distances_by_depth": [
        ((FLAT,), ["“each head”, layer by layer: 1 3.0 to 9.5, 2 5.0 to 5.0."]),
        ((FLAT, [("even", 7)], ("before", FLAT + 1)), ["“before”, layer by layer: 1 4.0 to 10.5", "7.0, “even”"]),
    ],
    "effects": [
        (([("as it is", [0.4, 0.42]), ("x", [0.3, 0.3])], 0.41, 0.02), ["“as it is” 41.0%; “x” 30.0%, -11.0 points."]),
        (([("y", [0.4]), ("z", [0.41])], 0.4, 0.02), ["up to 2.0 points", "“z” 41.0%, +1.0 points, within noise"]),
    ],
    "filters": [
        ((SIDES, 4, 3, "one"), ["“one”: 1 little picture of", "4 × 4", "1 side to side"]),
        ((torch.cat([DOWN, 0 * DOWN + 1]), 4, 3, "two"), ["2 little pictures", "1 top to bottom", "1 plain"]),
    ],
    "found_again": [
        (([("x", SOME)],), ["“x”, 4 × 4: 14 of 16 found again, the lost ones in rows 1 to 2 and columns 3 to 3"]),
        (([("y", SOME | True), ("z", SOME & False)],), ["“y”, 4 × 4: all of 16", "“z”, 4 × 4: none of 16"]),
    ],
    "heads_on_picture": [
        (
            (RED, (1, 0), HEARD[None], ["h"]),
            [
                "on average red",
                "its patch in row 1, column 0 framed",
                "2 × 2 patches: “h”: at most 70%, at row 1, column 0",
            ],
        ),
        (
            (NOISE, (0, 1), torch.stack([HEARD, HEARD.T]), ["a", "b"]),
            ["its patch in row 0, column 1", "“b”: at most 70%, at row 0, column 1"],
        ),
    ],
    "image_row": [
        (([RED],), ["One picture: 8 × 8 pixels, on average red, contrast 0.00, all of one colour"]),
        (([SMOOTH, NOISE], ["s", "n"]), ["2 pictures", "“s”, 8 × 8 pixels, on average grey", "“n”"]),
    ],
    "learning": [
        (([("a", [0.25, 0.9, 0.5])], 0.25, 20), ["“a” begins at 25.0%, ends at 50.0% after 40 steps", "90.0%"]),
        (([("a", [0.1, 1.0])], 0.1, 5), ["begins at 10.0%, ends at 100.0% after 5 steps", "dashed, is 10%"]),
    ],
    "listening": [
        (([("it", RED[None]), ("w", PEAK)],), ["“it”: 8 × 8 pixels, on average red", "70% at row 1, column 2"]),
        (([("w", torch.full((1, 16), 1 / 16))],), ["“w”: all 16 equal, 6.2%"]),
    ],
    "logits_compared": [
        (
            ([("same", torch.arange(3.0), torch.arange(3.0))],),
            ["“same”, 3 points: correlation 1.00, at most 0 apart"],
        ),
        (
            ([("back", torch.arange(3.0), torch.arange(3.0).flip(0))],),
            ["“back”, 3 points: correlation -1.00, at most 2 "],
        ),
    ],
    "long_axis": [
        ((DIAGONAL[None], ["near"]), ["“near”: 5 points, along (0.71, 0.71) 100% of the variance"]),
        (
            (torch.stack([DIAGONAL, CROSS]), ["a", "b"]),
            ["“a”: 5 points", "“b”: 5 points, along (1.00, 0.00) 80% of the variance"],
        ),
    ],
    "losses_of_runs": [
        (
            ([("A", [2.0] * 9, [(5, 1.5), (9, 1.75)])],),
            ["“A” learned from: 2.00", "1.50 at first, lowest 1.50, 1.75 at"],
        ),
        (([("B", [1.0] * 9, [(9, 1.0)])],), ["1 run", "“B” learned from: 1.00 at first, 1.00 at the end"]),
    ],
    "lost": [
        (([2, 48], [("a", [0.5, 0.0])]), ["“a” 50% with 2, 0% with 48"]),
        (([4, 8], [("a", [0.25, 0.001]), ("b", [1, 0.5])]), ["25% with 4, less than 1% with 8", "“b” 100% with 4"]),
    ],
    "maps_on_pictures": [
        (
            (RED[None], [("m", HEARD[None])], ["t"]),
            ["1 picture: “t”, 8 × 8 pixels, on average red", "“m”, largest at row 1, column 0."],
        ),
        (
            (torch.stack([RED, RED]), [("a", HEARD.expand(2, -1, -1)), ("b", -HEARD.expand(2, -1, -1))], "xy"),
            ["2 pictures: “x”", "“b”, largest at row 0, column 0; row 0, column 0."],
        ),
    ],
    "mean_offsets": [
        (([("t", OFFSETS)],), ["“t”: 2 points, -1.50 to 2.00 down, 0.00 to 0.10 to the right"]),
        (([("a", OFFSETS), ("b", 0 * OFFSETS)],), ["“a”: 2 points", "“b”: 2 points, 0.00 to 0.00 down"]),
    ],
    "named": [
        ((BOARDS, ["cat", "dog"], ["cat", "cat"]), ["2 pictures", "right: 1.", "cat, called so, 8", "cat, called dog"]),
        ((RED[None], ["ship"], ["ship"]), ["1 picture and", "right: 1. ship, called so, 8 × 8 pixels, on average red"]),
    ],
    "number_origins": [
        ((TINY, TINY.reshape(3, 2, 2)), ["channel 0 holds R 0,0, G 0,0, B 0,0, R 0,1", "2 of 12 are where"]),
        ((TINY, TINY.permute(2, 0, 1)), ["channel 1 holds G 0,0, G 0,1, G 1,0, G 1,1", "12 of 12 are where"]),
    ],
    "over_time": [
        (
            ([("a", [0, 9, 10], [0.1, 0.5, 1])], "step", "rate"),
            ["Rate against step", "“a” 0.1 at 0, 0.5 at 9, 1 at 10"],
        ),
        (([("b", [1], [0.25])], "seconds", "accuracy"), ["Accuracy against seconds: “b” 0.25 at 1."]),
    ],
    "parameter_shares": [
        (([("B", {"MLPs": 3, "head": 1})],), ["“B”, 4 in all: MLPs 75%, head 25%"]),
        (
            ([("S", {"a": 1, "b": 999}), ("T", {"a": 1, "b": 1})],),
            ["“S”, 1,000 in all: a less than 1%, b more than 99%", "“T”, 2 in all: a 50%"],
        ),
    ],
    "qkv_rows": [
        ((1, 4), ["The 12 numbers", "q of head 0 from 0, k of head 0 from 4, v of head 0 from 8."]),
        ((2, 5), ["The 30 numbers", "q of head 1 from 5, k of head 0 from 10", "v of head 1 from 25."]),
    ],
    "rebuilt": [
        ((NOISE, [2, 4], [("a", [1 - NOISE, NOISE])]), ["with 2, 4 numbers", "“a” -1.00 with 2, 1.00 with 4"]),
        ((NOISE, [3], [("b", [0 * NOISE])]), ["“b” undefined with 3"]),
    ],
    "responses": [
        (
            (NOISE, ["l"], SIDES, MAP, 4),
            ["“l” (side to side)", "2 × 2 patches", "“l” 0.0 to 3.0, largest at row 1, col"],
        ),
        ((NOISE, ["t"], DOWN, -MAP, 4), ["“t” (top to bottom)", "“t” -3.0 to 0.0, largest at row 0, column 0"]),
    ],
    "runs_against": [
        (
            ([("a", {2: [0.25, 0.5], 4000: [0.75]}), ("b", {2: [0.1]})], "images"),
            ["Accuracy against images", "“a” 37.5% at 2 (2 runs, 25.0 to 50.0), 75.0% at 4,000; “b” 10.0% at 2."],
        ),
        (([("c", {1: [0.5]})], "depth"), ["Accuracy against depth, on a logarithmic scale: “c” 50.0% at 1."]),
    ],
    "seen_by_convolutions": [
        (([("2 layers", BELL)],), ["“2 layers” 3 pixels wide, 1 of them above one half."]),
        (([("a", BELL), ("b", BELL > 0)],), ["“a” 3 pixels wide", "“b” 3 pixels wide, 3 of them above one half"]),
    ],
    "sequence_with_cls": [
        (([RED],), ["N = 1 patch in", "mean colours: red", "as 1 to 1: 1 + N = 2 tokens"]),
        (([RED, 0 * RED],), ["N = 2 patches", "red, black", "as 1 to 2: 1 + N = 3 tokens"]),
    ],
    "similarity_tiles": [
        (
            ([("t", GRID)], 2),
            ["2 × 2 maps", "“t”: mean similarity of places side by side 0.00", "other 0.65, any two 0.22"],
        ),
        (([("a", GRID), ("b", 0 * GRID)], 2), ["“a”: mean", "“b”: mean similarity of places side by side 0.00, one"]),
    ],
    "six_axes": [
        ((4, 4, 2), ["4 × 4 pixels", "4 patches of 2 × 2", "row 1, column 0 holds the pixels 8, 9, 12, 13"]),
        ((2, 6, 2), ["2 × 6 pixels", "3 patches", "row 0, column 2 holds the pixels 4, 5, 10, 11"]),
    ],
    "split_a_row": [
        (
            (12, 4),
            ["With (n p) patch 0 gets the pixels 0, 1, 2, 3", "the pixels 0, 3, 6, 9; p walks in steps of 3, n of 1"],
        ),
        ((6, 2), ["patch 0 gets the pixels 0, 1; n walks in steps of 2", "patch 0 gets the pixels 0, 3"]),
    ],
    "step_maps": [
        (([("b", LEANING)], 1, 2), ["“b”, scale ±0.40: head 0 most 1 right (0.40), least 1 left (-0.20)."]),
        (([("c", 0 * LEANING)], 1, 2), ["“c”, scale ±0.00: head 0 0.00 everywhere."]),
    ],
    "step_numbers": [
        ((STEPS, 1, 2), ["2 queries by 2 keys", "1 × 3 steps", "3 different numbers: 0 in 1 pair, 1 in 2 pairs"]),
        ((0 * STEPS, 2, 1), ["3 × 1 steps", "1 different number: 0 in 4 pairs. First query: 0, 0; last: 0, 0."]),
    ],
    "tables": [
        (([("t", SHARES)], "AB"), ["1 table of 2 queries (rows) by 2 keys", "“t”: A 0.25 0.75; B 1.00 0.00."]),
        (([("t", SHARES), ("u", SHARES.T)], "AB"), ["2 tables", "“u”: A 0.25 1.00; B 0.75 0.00."]),
    ],
    "token_pictures": [
        (
            (patchify(SMOOTH[None], 2)[0], 2, 4, "ours"),
            ["“ours”: 16 tokens", "2 × 2 pixels, 4 rows of 4", "correlate 1.00 on"],
        ),
        ((patchify(NOISE[None], 4)[0], 4, 4), ["4 tokens", "1 row of 4"]),
    ],
    "token_sources": [
        (
            (patchify(COORDINATES, 4)[0, 4:5], ["t"], 3, 8, 12),
            ["“t”", "16 pixels, one block, rows 4 to 7 and columns 4 to 7"],
        ),
        (
            (STREWN, ["s"], 3, 8, 12),
            ["“s”", "spread with gaps, rows 0, 2, 4, 6 and columns 0, 3, 6, 9", "0, 3, 6, 9 …"],
        ),
    ],
    "tokens_and_cost": [
        ((32, [2, 4], 4), ["32 × 32", "2: 256 and 65,536; 4: 64 and 4,096", "Patch size 4 is marked"]),
        ((24, [8]), ["24 × 24", "8: 9 and 81."]),
    ],
    "training_curve": [
        (([2.0, 1.0], [], 10), ["from 2.00 to 1.00 in 2 of 10 steps"]),
        (([2.0], [(1, 0.5, 0.75)], 5), ["in 1 of 5 steps", "75.0% at step 1"]),
    ],
    "two_orders": [
        ((NOISE, NOISE), ["100% of the pixels are the same"]),
        ((SMOOTH, SMOOTH.flip(2)), ["0% of the pixels are the same", "8 × 8 pixels, on average grey"]),
    ],
    "vectors": [
        (([("same", torch.ones(3, 5))],), ["“same” has 3 rows of 5 numbers, and all rows are alike"]),
        (([("other", torch.tensor([[0.0, 1.0], [0.0, 3.0]]))],), ["2 rows of 2 numbers, and the rows differ, by 2"]),
    ],
    "vit_map": [
        (("cls",), ["Image, lesson 00; Patches, lesson 01", "You are here: CLS token, part 4 of 8."]),
        ((None,), ["Encoder × depth, lesson 06; Classifier, lesson 07."]),
    ],
    "waves": [
        ((TURNING, [0], ["w"]), ["4 places in a line", "“w” from 0.00 to 0.50, turning 2 times"]),
        ((TURNING, [0, 1], ["w", "u"]), ["“u” from 0.00 to 1.00, turning 0 times"]),
    ],
    "when_masked": [
        (([0, 0.5], [("a", [0.8, 0.4])], 0.1), ["“a” 80.0% at 0%, 40.0% at 50%. Guessing, dotted, is 10%."]),
        (([0.25], [("a", [0.5]), ("b", [0.6])], 0.5), ["“b” 60.0% at 25%.", "is 50%"]),
    ],
    "without_each_head": [
        ((torch.tensor([[0.5, 0.1]]), 0.75, 0.1), ["head: layer 1: 50.0%, 10.0%.", "75.0% for all", "is 10%"]),
        ((torch.tensor([[0.5], [0.25]]), 0.6, 0.2), ["layer 1: 50.0%; layer 2: 25.0%."]),
    ],
}


def test_every_figure_is_among_the_cases():
    assert sorted([*CASES, "to_picture"]) == plots.__all__


@pytest.mark.parametrize("name", CASES)
def test_the_text_says_what_was_drawn(name):
    texts = []
    for arguments, said in CASES[name]:
        drawn = getattr(plots, name)(*arguments)
        assert isinstance(drawn, base.Drawn)
        for part in said:
            assert part in drawn.alt
        assert drawn.alt.endswith(".") and "\n" not in drawn.alt
        texts.append(drawn.alt)
    assert len(set(texts)) == len(texts)
    assert pyplot.get_fignums() == []  # or a notebook would show it a second time


def learned(given):
    """The same arguments, with tensors of numbers that require gradients."""
    if isinstance(given, torch.Tensor):
        return given.clone().requires_grad_() if given.is_floating_point() else given
    return type(given)(map(learned, given)) if isinstance(given, list | tuple) else given


@pytest.mark.parametrize("name", CASES)
def test_what_requires_gradients_is_drawn_alike(name):
    for arguments, _ in CASES[name]:
        draw = getattr(plots, name)
        assert draw(*learned(arguments)).alt == draw(*arguments).alt


def test_a_tensor_becomes_an_array_from_whatever_device_it_is_on():
    for path in Path(plots.__file__).parent.glob("*.py"):
        assert ".numpy()" not in path.read_text(encoding="utf-8"), f"{path.name}: numpy(force=True) copies from a GPU"


def test_a_jumble_is_told_from_a_picture():
    height = words.neighbours(base.to_picture(NOISE))
    assert height < 0.3 and words.neighbours(base.to_picture(SMOOTH)) > 0.9
    assert words.neighbours(base.to_picture(RED)) is None
    assert f"neighbouring pixels correlate {height:.2f}" in plots.image_row([NOISE]).alt


def test_copies_are_told_from_pieces():
    tokens = patchify(NOISE[None], 4)[0]
    pieces, copies = (plots.token_pictures(some, 4, 4).alt for some in (tokens, tokens[:1].expand(4, -1)))
    assert "correlate 1.00 on average" in copies and "correlate 1.00 on average" not in pieces
    assert "correlate" not in plots.token_pictures(tokens, 4, 1).alt  # none stands beside another


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"), ((1, 1, 1), "white"), ((0.5, 0.5, 0.5), "grey"), ((0.25, 0.25, 0.25), "dark grey"),
        ((0.8, 0.8, 0.8), "light grey"), ((1, 0, 0), "red"), ((0.4, 0, 0), "dark red"), ((1, 0.6, 0), "orange"),
        ((0.9, 0.9, 0), "yellow"), ((0, 0.6, 0), "green"), ((0, 0.3, 1), "blue"), ((0.8, 0.65, 0.65), "greyish red"),
    ],
)  # fmt: skip
def test_colours_have_their_names(rgb, name):
    assert words.colour_name(np.array(rgb)) == name


def test_long_lists_are_cut():
    assert words.listed([1, 2, 3]) == "1, 2, 3"
    assert words.listed(range(30)) == "0, 1, 2, 3, 4, 5, …, 29 (30 in all)"


def test_almost_is_not_all():
    assert [words.percent(share) for share in (0, 0.001, 0.5, 0.999, 1)] == [
        "0%", "less than 1%", "50%", "more than 99%", "100%"
    ]  # fmt: skip
    assert words.rounded(-0.001) == "0.00"


TOKENS = torch.rand(64, 48, generator=torch.Generator().manual_seed(1))
# Few cells side by side, and many.
WIDTHS = {
    "image_row": lambda n: plots.image_row([NOISE] * n, ["title"] * n),
    "token_pictures": lambda n: plots.token_pictures(TOKENS[: 2 * n], 4, n),
    "filters": lambda n: plots.filters(TOKENS[: 2 * n], 4, n, "title"),
    "boards": lambda n: plots.boards(NOISE.expand(n, -1, -1, -1), ["title"] * n, torch.rand(n, 2, 2)),
    "listening": lambda n: plots.listening([("it", NOISE.expand(n, -1, -1, -1)), ("w", torch.rand(n, 16))]),
    "rebuilt": lambda n: plots.rebuilt(NOISE, range(n), [("it", [NOISE] * n)]),
    "responses": lambda n: plots.responses(NOISE, ["a"] * n, TOKENS[:n], torch.rand(n, 2, 2), 4),
    "found_again": lambda n: plots.found_again([("title", SOME)] * n),
    "token_sources": lambda n: plots.token_sources(STREWN.expand(n, -1), ["title"] * n, 3, 8, 12),
    "vectors": lambda n: plots.vectors([("title", TOKENS[:4])] * n),
    "sequence_with_cls": lambda n: plots.sequence_with_cls([NOISE] * n),
    "named": lambda n: plots.named(NOISE.expand(n, -1, -1, -1), ["automobile"] * n, ["airplane"] * n),
    "long_axis": lambda n: plots.long_axis(TOKENS[:, :2].expand(n, -1, -1), ["title"] * n),
    "bracket_order": lambda n: plots.bracket_order(n, n),
    "alike": lambda n: plots.alike(torch.eye(64), range(n), 8),
    "similarity_tiles": lambda n: plots.similarity_tiles([("title", torch.eye(64))] * n, 8),
    "tables": lambda n: plots.tables([("title", SHARES)] * n, "AB"),
    "heads_on_picture": lambda n: plots.heads_on_picture(NOISE, (0, 0), HEARD.expand(n, -1, -1), ["title"] * n),
    "qkv_rows": lambda n: plots.qkv_rows(n, 4),
    "step_maps": lambda n: plots.step_maps([("title", torch.rand(n, 9))] * 2, 2, 2),
    "components": lambda n: plots.components([("title", TOKENS[:n].reshape(n, 4, 4, 3))] * 2, n),
    "maps_on_pictures": lambda n: plots.maps_on_pictures(
        NOISE.expand(n, -1, -1, -1), [("m", HEARD.expand(n, -1, -1))] * 2, ["airplane"] * n
    ),
}


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("name", WIDTHS)
def test_few_columns_and_many_give_a_figure_of_legible_width(name, count):
    width, height = WIDTHS[name](count).figure.get_size_inches()
    assert base.NARROWEST - 1e-6 <= width <= base.WIDEST + 1e-6
    assert height <= base.HIGHEST


def test_a_high_grid_stays_on_the_page():
    figure = plots.token_pictures(TOKENS, 4, 1).figure
    assert max(figure.get_size_inches()) <= base.HIGHEST


def test_text_shrinks_with_its_cell_and_stays_legible():
    assert base.text_size(["one", "two\nlines"], 2) == 11
    assert base.text_size(["a longer title"], 1) == pytest.approx(72 / (0.6 * 14))
    assert base.text_size(["a longer title"], 0.1) == base.SMALLEST_TEXT
