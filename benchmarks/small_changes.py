"""Does a small change to a right answer pass its check? Some ten thousand of them, CPU.

    python benchmarks/small_changes.py
    python benchmarks/small_changes.py --named      # of those that fail, also whether the mistake is recognised

The course's own answer to each exercise is changed in one place: another operator, number, axis, name, method or einops
axis; a statement, argument or keyword left out; two of them exchanged; something done to the result. Each change is
judged in a worker process, case after case until one differs (naming the mistake would need all of them, several times
as long). What passes is judged by `vit_course.checks.evaluate`, and is judged again in a fresh process, where
nothing ran before, and there on the cases of ten other seeds, too. Each change that passes must be known to do the same
as the reference: `SAME` says why. One that is not known has to be looked at; the exit status is then 1. The result goes
into benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import functools
import inspect
import itertools
import multiprocessing
import re
import resource
import shlex
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import NamedTuple

import torch
import torch.nn.functional as F
from machine import describe, write_section
from torch import nn
from tqdm import tqdm

from vit_course.checks import evaluate, exercises
from vit_course.checks.catalogue import LESSONS
from vit_course.checks.comparing import agree
from vit_course.checks.conditions import standard_state
from vit_course.checks.exercise import Observed
from vit_course.checks.judge import judge
from vit_course.embeddings import LearnedPositions, PatchEmbedding, pool, prepend_cls_token
from vit_course.encoder import Encoder
from vit_course.patches import num_patches

MEMORY = 8 * 2**30  # a change can ask for a layer of any size
SEEDS = range(1, 11)
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
ERRORS = ("TypeError", "RuntimeError", "AssertionError", "Exception", "KeyError")
# Words that stand for one another.
WORDS = [
    {"mean", "sum", "amax", "amin", "median", "std", "prod", "max"},
    {"expand", "repeat", "reshape", "view"},
    {"cat", "stack", "hstack", "vstack"},
    {"weight", "bias"},
    {"in_features", "out_features"},
    {"copy_", "add_", "mul_", "sub_"},
    {"no_grad", "enable_grad", "inference_mode"},
    {"rearrange", "reduce", "repeat"},
    {"cls", "mean", "CLS", "Mean", "max"},
    {"Linear", "LazyLinear", "Bilinear", "Identity"},
    {"Conv2d", "ConvTranspose2d", "Conv1d"},
    {"sin", "cos", "tan"},
    {"softmax", "log_softmax", "sigmoid"},
    {"gelu", "relu", "silu", "tanh"},
    {"ModuleList", "Sequential", "list"},
    {"norm1", "norm2"},
    {"fc1", "fc2"},
    {"all", "any"},
    {"float", "int"},
    {"qkv", "out"},
    {"zeros", "ones", "randn", "empty"},
    {"Parameter", "Buffer"},
]
# What is done to a result.
RESULTS = [
    *(
        ".detach()",
        ".numpy()",
        ".tolist()",
        ".clone()",
        ".squeeze()",
        ".unsqueeze(0)",
        ".flatten()",
        ".T",
        "[0]",
        "[:1]",
    ),
    *(".transpose(0, 1)", ".transpose(1, 2)", ".transpose(-1, -2)", ".flip(0)", ".flip(1)", ".flip(-1)", ".roll(1, 1)"),
    *(".float()", ".double()", ".half()", ".double().float()", ".float().double()", ".requires_grad_(False)"),
    *(
        " * 1.0001",
        " + 1e-3",
        " - 0",
        " // 1",
        ".round()",
        ".abs()",
        ".relu()",
        ".clamp(-1, 1)",
        ".contiguous()",
        ", None",
    ),
]
# Why a change that passes is none: exercise ("" for all), part of the line before, pattern in the line after, reason.
SAME: list[tuple[str, str, str, str]] = [
    ("", "", r"(\.clone\(\)|\.contiguous\(\)| - 0)$", "the same numbers, in other memory"),
    ("", "->", r"\( \w", "spaces in a pattern mean nothing"),
    ("num_patches", "raise ValueError", "raise ValueError", "what the error says is free"),
    (
        "num_patches",
        "if patch_size < 1",
        "height % patch_size or width % patch_size:$",
        "sizes below 1 are no case",
    ),
    ("num_patches", "def num_patches", "width, height, patch_size", "the two sides are treated alike"),
    (
        "num_patches",
        "return",
        r"^return height .*// 1$",
        "the same product",
    ),
    ("", "raise ValueError", "", "which error, if any, is free where a bad size or mode is no case"),
    ("average_pool_2x2", "if height % 2", "", "odd sizes are no case"),
    ("average_pool_2x2", "height, width = ", r"shape\[(2|--2):\]", "the same two sizes"),
    ("patchify", "num_patches(*images", "", "sizes that do not fit are no case"),
    ("unpatchify", "if num_patches(", "^(?!.* is )", "sizes that do not fit are no case"),
    ("unpatchify", "count, values = ", r"shape\[1:\]", "the same two sizes"),
    ("PatchEmbedding", "check_sizes(", "", "sizes below 1 are no case"),
    ("linear_to_conv", "if projection.in_features", "", "a Linear that does not fit is no case"),
    ("linear_to_conv", "bias is not None", "", "the Linear is float32, on the CPU and has a bias"),
    ("linear_to_conv", "return conv", r"float\(\)$", "the Linear is float32, on the CPU and has a bias"),
    ("linear_to_conv", "with torch.no_grad", "inference_mode", "it leaves the parameters that are there as they are"),
    ("prepend_cls_token", "expand(tokens.shape[0], -1, -1)", r"shape\[0\], (1|--1), -1\)", "one stays one"),
    (
        "pool",
        "if mode == ",
        r"^(return tokens\[:, 1|if (mode|'mean'|True):|if \S+ (==|<=|>=) )",
        "there are two modes only",
    ),
    ("pool", "return tokens", r"tokens\[0:, ", "from 0 on is everything"),
    ("", "check_sizes(", "", "sizes below 1 are no case"),
    ("", "check_mask(", "", "what is no bool mask is no case"),
    ("", "if ", r"^if (\w+ != None|None is not \w+|\w+ == None|None is \w+):$", "another way to ask if there is one"),
    ("LearnedPositions", "torch.empty(", r"torch\.(ones|randn|zeros)\(.*normal_\(std=0\.02\)", "overwritten at once"),
    ("sincos_positions", "if dim % 4", r"^if dim % (-4|4\.0):$", "the remainder is 0 for the same numbers"),
    ("sincos_positions", "torch.meshgrid(", r"\(width\)\)$", "rows come first where `indexing` is not given, too"),
    ("sincos_positions", "omega = ", r"dim (//|/) 4(\.0)?\) / \(dim (//|/) 4(\.0)?\)\)$", "4 divides dim"),
    (
        "sincos_positions",
        "return torch.cat",
        r"dim=1\)\.(detach\(\)|(double\(\)\.)?float\(\)|requires_grad_\(False\)|clamp\(-1, 1\))$",
        "they are float32, from -1 to 1, and nothing in them learns",
    ),
    ("sincos_positions", "return torch.cat", r"dim=-1\)$", "the last of two axes"),
    ("position_similarity", "return ", r"\.(T|transpose\((0, 1|-1, -2)\))$", "the table is its own mirror image"),
    ("position_similarity", "return ", r"\.clamp\(-1, 1\)$", "no cosine lies beyond"),
    ("position_similarity", "positions.norm(", r"dim=-1, keepdim", "the last of two axes"),
    (
        "scaled_dot_product_attention",
        "scores = q @ k",
        r"(transpose\(-1, -2\)|\* k\.shape\[-1\])",
        "the same product: q and k are equally long",
    ),
    (
        "layer_norm",
        "(x - mean)",
        r"(\(mean - x\) \*\* 2\)|\*\* 2\.0\))",
        "the same squares",
    ),
    ("ViT", "cls_token = ", r"torch\.(ones|randn)\(", "how CLS begins is free"),
    ("FeedForward", "if not 0 <= dropout <= 1", "", "a dropout outside 0 to 1 is no case"),
    ("EncoderBlock", "MultiHeadSelfAttention(", r"\(dim, heads\)$", "dim_head is no argument of the exercise"),
    ("Encoder", "EncoderBlock(", r"mlp_dim, dropout\) for", "dim_head is no argument of the exercise"),
    ("count_parameters", "return ", r"\) // 1$", "the same whole number"),
    ("MultiHeadSelfAttention", "mask is not None", r"^(pass|if (None|False):)$", "for PyTorch 2.4 alone"),
    (
        "MultiHeadSelfAttention",
        "mask = mask.expand",
        r"^(pass|mask = mask(\.(reshape|view|expand)\(.*)?)$",
        "for PyTorch 2.4 alone",
    ),
    ("accuracy", "return ", r"\.sum\(\) / len\(labels\)$", "a tensor with one number is as good as a float"),
    ("accuracy", "return ", r"/ len\(logits\)$", "as many rows as labels"),
    ("accuracy", "return ", r"argmax\(dim=-1\)", "the last of two axes"),
    (
        "train_step",
        "return ",
        r"detach\(\)\.(detach|tolist|squeeze|T|flip|float|double|requires_grad_|abs|relu)\b",
        "the loss as a tensor with one number, which is not below 0, or as a float",
    ),
    ("train_step", "optimizer.zero_grad()", r"^model\.", "the optimizer has all weights of the model"),
    ("random_crop_flip", "return ", r"contiguous\(\)\.(detach\(\)|requires_grad_\(False\))$", "nothing in it learns"),
    ("random_crop_flip", "return ", r"contiguous\(\)\.flip\(-1\)$", "about half of them are mirrored, whichever half"),
    ("random_crop_flip", "return ", r"permute\(0, 3, 1, 2\)$", "the same numbers, in other memory"),
    ("random_crop_flip", "mirrored = ", r"(<=|>|>=) 0\.5|0\.5 <", "about half of them are mirrored, whichever half"),
    (
        "random_crop_flip",
        "columns = left",
        r"columns, columns\.flip\(0\)",
        "about half of them are mirrored, whichever half",
    ),
    ("random_crop_flip", "columns = left", r"columns\.flip\(-1\), columns", "the only axis is the last"),
    ("random_crop_flip", "device=device", "^(?!.*device=)", "the images are on the CPU"),
    ("warmup_cosine", "if not (0 <= warmup_steps", "", "numbers outside these bounds are no case"),
    ("warmup_cosine", "return peak_lr", r"\+ 1\.0\)|\(1\.0 \+", "the same number"),
    (
        "warmup_cosine",
        "return peak_lr",
        r"math\.cos\(math\.pi \* .*(\(warmup_steps - step\)|\(warmup_steps - total_steps\))",
        "a cosine is the same on both sides",
    ),
    ("mixup", "return ", r"\(1\.0 - lam\)", "the same number"),
    ("", "return model", r"^return model(\.double\(\))?\.float\(\)$", "the model is float32"),
    (
        "replace_head",
        "",
        r"^old = model\.head\.bias$|num_classes, (dtype=old\.dtype|device=old\.device)\)$",
        "the model is float32 and on the CPU",
    ),
    ("freeze_backbone", "requires_grad_(True)", r"requires_grad_\(\)$", "True where nothing is given"),
    ("resize_positions", "if positions.shape[1]", "", "positions that do not fit the grid are no case"),
    (
        "resize_positions",
        "return ",
        r"dim=1\)\.(detach\(\)|(double\(\)\.)?float\(\)|requires_grad_\(False\))$",
        "the positions are float32, and nothing in them learns",
    ),
    ("resize_positions", "return ", r"dim=1\)(\[:1\]|\.flip\(0\))$", "the first axis has one row"),
    ("resize_positions", "F.interpolate(", r"mode='bicubic'", "what `F.interpolate` does where it is not told"),
    (
        "resize_positions",
        "cls, patches = ",
        r"\(positions\[\S*, 0?:1(:2)?\], positions\[\S*, 1:\]\)$",
        "the first axis has one row, and the CLS token has one",
    ),
    ("principal_filters", "if weight.shape[1] % ", "", "filters that are no patches are no case"),
    ("principal_filters", "if not 1 <= k", "", "a k that is out of reach is no case"),
    ("principal_filters", "most = ", "", "a k that is out of reach is no case"),
    ("principal_filters", "centred = ", r"weight\.mean\(dim=0\) - weight$", "the sign is free"),
    (
        "principal_filters",
        "return ",
        r"\)\.(detach|float|double|requires_grad_|clamp)\(",
        "a component has length 1, and nothing in it learns",
    ),
    ("principal_filters", "torch.linalg.svd(", r"Vh\[:k\]$", "the first rows of both are the same"),
    ("mean_attention_distance", "if attention.shape[-1]", "", "attention that does not fit the grid is no case"),
    (
        "mean_attention_distance",
        "return ",
        r"\(0, 2\)\)\.(detach|flatten|T|float|double|requires_grad_|abs|relu)\b",
        "distances, one for each head, of which none is below 0 and none learns",
    ),
    ("mean_attention_distance", "return ", r"dim=\(2, 0\)\)$", "the same two axes"),
    (
        "mean_attention_distance",
        "return ",
        r"sum\(dim=-2\)",
        "the mean over all pairs: patches that ask are as many as are asked, and a way is as long there as back",
    ),
    (
        "mean_attention_distance",
        "weights = ",
        r"attention\[(\.\.\.|0:|:), (:|0:), 1:, 1:\]$",
        "from 0 on is everything",
    ),
    ("mean_attention_distance", "places = ", r"\.to\(attention\)$", "of the same dtype"),
    (
        "mean_attention_distance",
        "apart = ",
        r"\(places - places\[:, None\]\)|places\[(None, :, None|0:, None|:, True)\]",
        "a way is as long there as back; `True` and `None` make an axis",
    ),
    ("receptive_field", "if len(kernel_sizes)", "", "lists of two lengths are no case"),
    ("receptive_field", "zip(", "", "lists of two lengths are no case"),
    ("", "return ", r"^return (field|\(down .*\)) // 1$", "the same whole number"),
    (
        "attention_rollout",
        "return rollout",
        r"rollout\.(detach|float|double|requires_grad_|abs|relu|clamp)\(",
        "weights, from 0 to 1, and nothing in them learns",
    ),
    (
        "attention_rollout",
        "torch.eye(",
        r"\.to\(\)|torch\.eye\([^()]*\)\)?( @ rollout)?$|\.to\((attention|rollout|attentions\[-1\])\)",
        "the weights are float32 and on the CPU",
    ),
    ("attention_rollout", "torch.eye(", r"torch\.eye\(\S+\.shape\[\S+\]\)\.to\(", "as many tokens ask as are asked"),
    (
        "relative_position_index",
        "return ",
        r"\)\.(detach|requires_grad_|round|abs|relu)\(",
        "whole numbers, from 0 on",
    ),
    (
        "relative_position_index",
        " = ",
        r"(row|column)\[(\.\.\., None|0:, None|:, True)\]",
        "another way to make an axis",
    ),
]

# Methods of the course's own answers that are no part of the exercise.
NOT_ASKED = {"MultiHeadSelfAttention": {"weights"}}


class ViT(nn.Module):  # as the exercise asks for it: the course's own has options that no case tries
    def __init__(self, *, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim, in_channels=3):
        super().__init__()
        self.embedding = PatchEmbedding(patch_size, in_channels, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = LearnedPositions(1 + num_patches(image_size, image_size, patch_size), dim)
        self.encoder = Encoder(depth, dim, heads, mlp_dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, images, mask=None):
        tokens = self.positions(prepend_cls_token(self.embedding(images), self.cls_token))
        return self.head(pool(self.encoder(tokens, mask), "cls"))


def train_step(model, optimizer, images, targets):  # without precision, scaling and clipping
    model.train()
    loss = F.cross_entropy(model(images), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def answer(exercise: str) -> Callable:
    """The right answer that is changed."""
    return {"ViT": ViT, "train_step": train_step}.get(exercise) or exercises()[exercise].reference


class Change(NamedTuple):
    exercise: str
    source: str
    old: str
    new: str


def changes(exercise: str) -> Iterator[Change]:
    """Every small change to the right answer, each once."""
    tree, original = _undressed(answer(exercise))
    seen = {original}
    for parent, field, position in list(_places(tree)):
        held = getattr(parent, field)
        old = held if position is None else held[position]
        for new in _replacements(old, _names(tree, parent, field)):
            if position is None:
                setattr(parent, field, new)
            else:
                held[position : position + 1] = [new] if new is not None else []
            source = _unparse(tree)
            if position is None:
                setattr(parent, field, old)
            elif new is None:
                held.insert(position, old)
            else:
                held[position] = old
            if source and source not in seen:
                seen.add(source)
                yield Change(exercise, source, *_lines(original, source))


def _undressed(reference: Callable) -> tuple[ast.AST, str]:
    """Its source without docstrings and annotations, which do nothing; as a tree and as text."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(reference)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:]
        if isinstance(node, ast.ClassDef):
            unasked = NOT_ASKED.get(node.name, ())
            node.body = [one for one in node.body if not (isinstance(one, ast.FunctionDef) and one.name in unasked)]
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in (*node.args.args, *node.args.kwonlyargs):
                argument.annotation = None
    return tree, ast.unparse(tree)


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """(node, field, position in it) of whatever can be exchanged; the text of an error only as a whole."""
    texts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    whole = {id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Module)}
    for node in ast.walk(tree):
        if id(node) in texts | whole:
            continue
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                yield from ((node, field, i) for i, one in enumerate(value) if isinstance(one, ast.AST))
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                yield node, field, None


def _names(tree: ast.AST, parent: ast.AST, field: str) -> set[str]:
    """What a name at this place could be exchanged for: the arguments and variables of the functions there."""
    if field == "func":
        return set()
    arguments = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return arguments | stored


def _unparse(tree: ast.AST) -> str:
    try:
        source = ast.unparse(ast.fix_missing_locations(tree))
        compile(source, "<small change>", "exec")
    except (SyntaxError, ValueError, AttributeError, TypeError, IndexError):
        return ""  # not a program
    return source


def _lines(a: str, b: str) -> tuple[str, str]:
    """The first line that differs, before and after; "" where there is none."""
    marks = list(difflib.ndiff(a.splitlines(), b.splitlines()))
    return tuple(next((line[2:].strip() for line in marks if line.startswith(sign)), "") for sign in "-+")


def _replacements(node: ast.AST, names: set[str]) -> Iterator[ast.AST | None]:
    """What may stand in the place of a node; None: nothing."""
    kind = type(node)
    if isinstance(node, ast.stmt):
        yield ast.Pass()
    for of, others in _KINDS.items():
        if isinstance(node, of):
            yield from others(node)
    if kind is ast.Name and isinstance(node.ctx, ast.Load):
        yield from (ast.Name(name, ast.Load()) for name in sorted(names - {node.id}) if node.id in names)
    if isinstance(node, ast.keyword):
        yield None


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool) or value is None:
        yield from (ast.Constant(one) for one in (True, False, None) if one is not value)
    elif isinstance(value, int):
        yield from (ast.Constant(one) for one in (value + 1, value - 1, -value, 0, 2 * value, float(value)))
    elif isinstance(value, str) and "->" in value:
        yield from map(ast.Constant, patterns(value))
    elif isinstance(value, str):
        yield from map(ast.Constant, sorted(set().union(*(words for words in WORDS if value in words)) - {value}))
        yield ast.Constant("")


def _binary(node: ast.BinOp) -> Iterator[ast.AST]:
    yield from (ast.BinOp(node.left, one(), node.right) for one in OPERATORS if not isinstance(node.op, one))
    yield from (ast.BinOp(node.right, node.op, node.left), node.left, node.right)


def _compared(node: ast.Compare) -> Iterator[ast.AST]:
    left, right = node.left, node.comparators[0]
    for one in (*COMPARISONS, ast.Is, ast.IsNot):
        if not isinstance(node.ops[0], one):
            yield ast.Compare(left, [one()], [right])
    yield from (ast.Compare(right, node.ops, [left]), left, right, ast.Constant(True), ast.Constant(False))


def _joined(node: ast.BoolOp) -> Iterator[ast.AST]:
    yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for left_out in range(len(node.values)):
        rest = [one for i, one in enumerate(node.values) if i != left_out]
        yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
    yield ast.UnaryOp(ast.Not(), node)


def _called(node: ast.Call) -> Iterator[ast.AST]:
    for a, b in itertools.combinations(range(len(node.args)), 2):
        arguments = [*node.args]
        arguments[a], arguments[b] = arguments[b], arguments[a]
        yield ast.Call(node.func, arguments, node.keywords)
    for a, b in itertools.combinations(range(len(node.keywords)), 2):
        values = [one.value for one in node.keywords]
        values[a], values[b] = values[b], values[a]
        exchanged = [ast.keyword(one.arg, value) for one, value in zip(node.keywords, values, strict=True)]
        yield ast.Call(node.func, node.args, exchanged)
    for left_out in range(len(node.args)):
        yield ast.Call(node.func, [one for i, one in enumerate(node.args) if i != left_out], node.keywords)
    yield from node.args  # the call itself left out
    if isinstance(node.func, ast.Attribute):
        yield node.func.value


def _attribute(node: ast.Attribute) -> Iterator[ast.AST]:
    for word in sorted(set().union(*(words for words in WORDS if node.attr in words)) - {node.attr}):
        yield ast.Attribute(node.value, word, node.ctx)


def _name(node: ast.Name) -> Iterator[ast.AST]:
    if node.id == "ValueError":
        yield from (ast.Name(one, ast.Load()) for one in ERRORS)
    for word in sorted(set().union(*(words for words in WORDS if node.id in words)) - {node.id}):
        yield ast.Name(word, node.ctx)


def _indexed(node: ast.Subscript) -> Iterator[ast.AST]:
    yield node.value
    if isinstance(node.slice, ast.Tuple):
        for left_out in range(len(node.slice.elts)):
            rest = [one for i, one in enumerate(node.slice.elts) if i != left_out]
            yield ast.Subscript(node.value, rest[0] if len(rest) == 1 else ast.Tuple(rest, ast.Load()), node.ctx)
        yield ast.Subscript(node.value, ast.Tuple([ast.Constant(...), *node.slice.elts[1:]], ast.Load()), node.ctx)
        yield ast.Subscript(node.value, ast.Tuple([ast.Slice(), *node.slice.elts], ast.Load()), node.ctx)


def _sliced(node: ast.Slice) -> Iterator[ast.AST]:
    for low, high, step in itertools.product((None, 0, 1, 2, -1), (None, 1, -1), (None, 2)):
        bounds = [None if one is None else ast.Constant(one) for one in (low, high, step)]
        yield ast.Slice(*bounds)
    yield from map(ast.Constant, (0, 1, -1))


def _listed(node: ast.List | ast.Tuple) -> Iterator[ast.AST]:
    if not isinstance(node.ctx, ast.Load):
        return
    for a, b in itertools.combinations(range(len(node.elts)), 2):
        elements = [*node.elts]
        elements[a], elements[b] = elements[b], elements[a]
        yield type(node)(elements, node.ctx)
    for left_out in range(len(node.elts)):
        yield type(node)([one for i, one in enumerate(node.elts) if i != left_out], node.ctx)
        yield type(node)([node.elts[left_out], *node.elts], node.ctx)


def _arguments(node: ast.arguments) -> Iterator[ast.AST]:
    for a, b in itertools.combinations(range(len(node.args)), 2):
        arguments = [*node.args]
        arguments[a], arguments[b] = arguments[b], arguments[a]
        yield ast.arguments([], arguments, None, [], [], None, [])


def _if(node: ast.If) -> Iterator[ast.AST]:
    yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    yield from node.body


def _returned(node: ast.Return) -> Iterator[ast.AST]:
    yield ast.Return(None)
    for after in RESULTS if node.value else ():
        yield ast.Return(ast.parse(f"({ast.unparse(node.value)}){after}", mode="eval").body)


_KINDS: dict[type[ast.AST] | tuple, Callable[..., Iterator[ast.AST | None]]] = {
    ast.Constant: _constants,
    ast.BinOp: _binary,
    ast.Compare: _compared,
    ast.BoolOp: _joined,
    ast.Call: _called,
    ast.Attribute: _attribute,
    ast.Name: _name,
    ast.Subscript: _indexed,
    ast.Slice: _sliced,
    (ast.List, ast.Tuple): _listed,
    ast.arguments: _arguments,
    ast.If: _if,
    ast.Starred: lambda node: iter([node.value]),
    ast.UnaryOp: lambda node: iter([node.operand]),
    ast.JoinedStr: lambda _: iter([ast.Constant("sizes do not fit")]),
    ast.Return: _returned,
    ast.Raise: lambda node: iter([ast.Return(ast.Constant(None)), ast.Return(node.exc), ast.Expr(node.exc)]),
    ast.With: lambda node: iter([ast.If(ast.Constant(True), node.body, [])]),
}


def patterns(pattern: str) -> Iterator[str]:
    """Small changes to an einops pattern: axes exchanged, replaced or left out, brackets moved or left out."""
    parts = re.findall(r"\w+|[()]|->", pattern)
    axes = [i for i, part in enumerate(parts) if part.isidentifier() or part.isdigit()]
    for a, b in itertools.combinations(range(len(parts)), 2):
        if (a in axes and b in axes) or b == a + 1:
            yield " ".join([*parts[:a], parts[b], *parts[a + 1 : b], parts[a], *parts[b + 1 :]])
    for a in axes:
        yield " ".join(parts[:a] + parts[a + 1 :])
        yield from (" ".join([*parts[:a], other, *parts[a + 1 :]]) for other in {parts[b] for b in axes} - {parts[a]})
    for a, part in enumerate(parts):
        if part == "(":
            b = parts.index(")", a)
            yield " ".join(parts[:a] + parts[a + 1 : b] + parts[b + 1 :])


def built(change: Change) -> Callable:
    """The changed answer, which sees what the reference sees."""
    namespace = dict(vars(sys.modules[exercises()[change.exercise].reference.__module__]))
    exec(compile(change.source, "<small change>", "exec"), namespace)
    return namespace[change.exercise]


def rejected(change: Change) -> tuple[str, str]:
    """("rejected" or "cannot be made", the first case that differs), or as `verdict` has it where none does."""
    try:
        candidate = built(change)
    except Exception as error:
        return "cannot be made", repr(error)
    exercise = exercises()[change.exercise]
    same = functools.partial(agree, ignore=exercise.ignore, float64=exercise.float64_tolerance)
    with standard_state():
        cases, expected = exercise.notebook_cases, exercise.expected
        seen = zip(cases, expected, Observed(exercise, candidate, cases), strict=True)
        first = next((case.label for case, right, got in seen if not same(right, got)), None)
    return verdict(change) if first is None else ("rejected", first)


def verdict(change: Change) -> tuple[str, str]:
    """("passed", "recognised", "explained" or "cannot be made", the slug or message)."""
    try:
        candidate = built(change)
    except Exception as error:
        return "cannot be made", repr(error)
    report = evaluate(change.exercise, candidate)
    return (
        "passed" if report.passed else "recognised" if report.mistake else "explained"
    ), report.mistake or report.message


def made_ready(change: Change) -> tuple[str, str]:
    """What is made once in a process, so that no change pays for it."""
    return verdict(change._replace(source=_undressed(answer(change.exercise))[1]))


def afresh(change: Change) -> tuple[str, str]:
    """The verdict on the cases of other seeds; the first that is not "passed"."""
    exercise = exercises()[change.exercise]
    for seed in SEEDS:
        with standard_state():
            cases = exercise.drawn(seed)
            got = exercise.observations(built(change), cases)
            nothing = [{}] * len(cases)  # no mistake is looked for
            report = judge(exercise, cases, exercise.expected_on(cases), got, lambda _, seen=nothing: seen)
        if not report.passed:
            return f"fails with seed {seed}", report.message
    return "passed", ""


def _work(pipe) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    while True:
        judging, change = pipe.recv()
        pipe.send(judging(change))


class Worker:
    """A process that judges one change after the other, and is replaced when one takes too long.

    Args:
        ready: the right answer is judged first, so that the first change pays for nothing.
    """

    def __init__(self, context: multiprocessing.context.BaseContext, ready: bool) -> None:
        self._context, self._process, self._ready = context, None, ready

    def ask(self, judging: Callable[[Change], tuple[str, str]], change: Change, seconds: float) -> tuple[str, str]:
        if self._process is None:
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_work, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            if self._ready:
                self._pipe.send((made_ready, change))
                self._pipe.recv()
        self._pipe.send((judging, change))
        try:
            if self._pipe.poll(seconds):
                return self._pipe.recv()
            said = "stopped", f"took more than {seconds:g} s"
        except EOFError:
            said = "stopped", "the process died"
        self.close()
        return said

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def reason(change: Change) -> str | None:
    for name, before, after, why in SAME:
        if name in ("", change.exercise) and before in change.old and re.search(after, change.new):
            return why
    tidied = _tidied(change.old)
    return "the same sum, product or comparison" if tidied and tidied == _tidied(change.new) else None


def _tidied(line: str) -> str:
    """The line with what sums, products and comparisons for equality are of in one order; "" if it is no statement."""
    try:
        return ast.unparse(_Tidy().visit(ast.parse(line)))
    except SyntaxError:
        return ""


class _Tidy(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """a + (c + b) → a + b + c, and products likewise; another operation stays."""
        self.generic_visit(node)
        if not isinstance(node.op, (ast.Add, ast.Mult)):
            return node

        def parts(one: ast.AST) -> list[ast.AST]:
            same = isinstance(one, ast.BinOp) and type(one.op) is type(node.op)
            return [*parts(one.left), *parts(one.right)] if same else [one]

        return functools.reduce(lambda a, b: ast.BinOp(a, node.op, b), sorted(parts(node), key=ast.unparse))

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """c == b → b == c, and != likewise."""
        self.generic_visit(node)
        if len(node.ops) > 1 or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            return node
        left, right = sorted([node.left, *node.comparators], key=ast.unparse)
        return ast.Compare(left, node.ops, [right])


def main(argv: list[str]) -> int:
    """Returns 0 if every change that passes is known to do the same as the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30, help="time limit of one change")
    parser.add_argument("--exercise", help="only this one; the README stays as it is")
    parser.add_argument("--named", action="store_true", help="also judge what fails to the end: is the mistake named?")
    parser.add_argument("--show", action="store_true", help="print what is said of every change")
    options = parser.parse_args(argv)
    made = [change for name in exercises() if options.exercise in (None, name) for change in changes(name)]
    context = multiprocessing.get_context("forkserver")
    late = [
        "torch.nested._internal.nested_tensor",
        "einops._torch_specific",
    ]  # what a first call would import, for seconds
    context.set_forkserver_preload([*(f"vit_course.checks.catalogue.lesson_{lesson}" for lesson in LESSONS), *late])
    start, verdicts = time.perf_counter(), _all(context, options, made)
    passing = [change for change in made if verdicts[change][0] == "passed"]
    unsure = _doubtful(context, options, passing)
    if options.show:
        for change in made:
            print(f"{change.exercise}: `{change.old}` → `{change.new}`\n    {': '.join(verdicts[change])}")
    unknown = [change for change in passing if reason(change) is None]
    for change in unknown:
        print(f"PASSES, and it is not known why: {change.exercise}: `{change.old}` → `{change.new}`")
    for change, said in unsure:
        print(f"PASSES, BUT NOT ALWAYS: {change.exercise}: `{change.old}` → `{change.new}`: {said}")
    text = report(made, verdicts, passing, unknown, unsure, time.perf_counter() - start)
    print(text)
    if options.exercise is None:
        command = shlex.join(["python", "benchmarks/small_changes.py", *argv])
        facts = f"Written by `{command}` on {date.today()}.  \nMachine: {describe()}."
        write_section("small-changes", f"## Small changes to right answers\n\n{facts}\n\n{text}")
    return 1 if unknown or unsure else 0


def _all(context: multiprocessing.context.BaseContext, options: argparse.Namespace, made: list[Change]) -> dict:
    """The verdict on every change. Each exercise keeps to one worker: its cases are made once there."""
    bar, judging = tqdm(total=len(made), desc="changes", mininterval=5), verdict if options.named else rejected

    def judge_all(some: list[Change]) -> list[tuple[Change, tuple[str, str]]]:
        worker, said = Worker(context, ready=True), []
        for change in some:
            said.append((change, worker.ask(judging, change, options.seconds)))
            bar.update()
        worker.close()
        return said

    by_exercise = [[*some] for _, some in itertools.groupby(made, lambda change: change.exercise)]
    with ThreadPoolExecutor(options.workers) as threads:
        return dict(pair for pairs in threads.map(judge_all, by_exercise) for pair in pairs)


def _doubtful(
    context: multiprocessing.context.BaseContext, options: argparse.Namespace, passing: list[Change]
) -> list[tuple[Change, str]]:
    """Those that pass no more in a fresh process or on other cases, and what is said of them there."""

    def again(judged: tuple[Change, Callable]) -> tuple[Change, str, str, str]:
        change, judging = judged
        fresh = Worker(context, ready=False)
        said = fresh.ask(judging, change, 10 * options.seconds)
        fresh.close()
        return change, judging.__name__, *said

    both = [(change, judging) for change in passing for judging in (verdict, afresh)]
    with ThreadPoolExecutor(options.workers) as threads:
        all_said = [*tqdm(threads.map(again, both), total=len(both), desc="again in fresh processes", mininterval=5)]
    return [(change, f"{by}: {said}: {why}") for change, by, said, why in all_said if said != "passed"]


def report(
    made: list[Change], verdicts: dict, passing: list[Change], unknown: list[Change], unsure: list, seconds: float
) -> str:
    columns = ["passed", "rejected", "recognised", "explained", "stopped", "cannot be made"]
    columns = [one for one in columns if any(verdict[0] == one for verdict in verdicts.values())]
    lines = [
        f"{len(made)} changes in {seconds:.0f} s. **{len(passing) - len(unknown)} do the same as the reference and "
        f"pass; {len(unknown)} others pass.** Judged again in a process where nothing ran before, and on the cases of "
        f"{len(SEEDS)} other seeds, {len(unsure)} of those that pass fail.",
        "",
        f"| exercise | changes | {' | '.join(columns)} |",
        f"| --- | {'---: | ' * (len(columns) + 1)}".rstrip(),
    ]
    names = [*dict.fromkeys(change.exercise for change in made)]
    for name in [*names, "all"]:
        counted = Counter(verdicts[change][0] for change in made if name in (change.exercise, "all"))
        row = [name if name == "all" else f"`{name}`", counted.total(), *(counted[column] for column in columns)]
        lines.append(f"| {' | '.join(map(str, row))} |")
    said = "recognised: by the name of a mistake. explained: by the first difference. " * ("explained" in columns)
    lines += ["", f"{said}Those that pass:", ""]
    reasons = Counter((change.exercise, reason(change)) for change in passing)
    lines += [f"- `{name}`, {count}: {why or '**not known yet**'}" for (name, why), count in reasons.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
