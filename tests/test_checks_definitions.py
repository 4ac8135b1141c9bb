"""A definition taken out of a notebook with all that it needs, and nothing else."""

import ast

import pytest

from vit_course.checks.definitions import definition, is_stub


def run(name, *cells, given=(), **options):
    """What is defined when the source that was found runs alone."""
    found = definition(name, cells, given=given, **options)
    assert found.lost == (), found
    space = {}
    exec(found.source, space)
    return space[name]


def test_helpers_constants_and_imports_come_along():
    cells = [
        "import math\nfrom functools import partial",
        "SCALE = 3\nunused = open('/nowhere')",
        "def double(x):\n    return 2 * x",
        "def answer(x):\n    import operator\n    return operator.add(math.floor(double(x)), SCALE)",
    ]
    assert run("answer", *cells)(2.6) == 8
    source = definition("answer", cells).source
    assert "unused" not in source and "partial" not in source.replace("from functools import partial", "")


def test_comments_and_decorators_stay_as_written():
    cells = ["import functools", "@functools.cache  # once\ndef answer(x):\n    # why\n    return x"]
    source = definition("answer", cells).source
    assert "@functools.cache  # once" in source and "    # why" in source
    assert run("answer", *cells)(4) == 4


def test_classes_inherit_from_classes_of_other_cells():
    cells = [
        "import torch\nfrom torch import nn",
        "class Base(nn.Module):\n    size = 3",
        "class Answer(Base):\n    def forward(self, x):\n        return x + self.size + OFFSET",
        "OFFSET = 1",  # a function's names are looked up when it is called
    ]
    answer = run("Answer", *cells)()
    assert answer(1) == 5 and type(answer).__mro__[1].__name__ == "Base"


def test_of_several_definitions_the_last_one_counts():
    assert run("answer", "def answer():\n    return 1", "def answer():\n    return 2")() == 2
    assert run("answer", "def answer():\n    return 1\n\ndef answer():\n    return 3")() == 3
    helper = "def helper():\n    return {}"
    assert run("answer", helper.format(1), "def answer():\n    return helper()", helper.format(2))() == 2


def test_what_is_needed_at_once_is_what_stood_there_then():
    cells = ["SIZE = 1", "def answer(size=SIZE):\n    return size, SIZE", "SIZE = 2"]
    assert run("answer", *cells)() == (1, 2)


def test_a_check_and_an_untouched_stub_are_no_definitions():
    stub = "def answer():\n    raise NotImplementedError  # your code here"
    cells = ["def answer():\n    return 7", "answer = check(answer)", stub, "answer = vit_course.check(answer)"]
    cells += ["answer = mine('answer')"]
    assert run("answer", *cells)() == 7
    assert "raise" in definition("answer", [stub]).source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def f():\n    '''Doc.'''\n    raise NotImplementedError", True),
        ("def f():\n    raise NotImplementedError('later')", True),
        ("def f(x):\n    if x:\n        raise NotImplementedError\n    return 1", False),
        ("def f():\n    raise ValueError", False),
        (
            "class A:\n    n = 1\n    def forward(self):\n        raise NotImplementedError",
            True,
        ),
        ("f = 1", False),
    ],
)
def test_stubs_are_known(text, expected):
    assert is_stub(ast.parse(text).body[0]) is expected


@pytest.mark.parametrize(
    "cells",
    [
        ["answer = lambda: 5"],
        ["from functools import partial", "def base(x):\n    return x", "answer = partial(base, 5)"],
        ["def make():\n    def inner():\n        return 5\n    return inner", "answer = make()"],
        ["try:\n    import nothing_like_it as op\nexcept ImportError:\n    import operator as op",
         "def answer():\n    return op.add(2, 3)"],
        ["if True:\n    N = 5\nelse:\n    N = 6", "def answer():\n    return N"],
        ["a, (b, *c) = 1, (2, 2)", "def answer():\n    return a + b + c[0]"],
        ["N = 4; M = 9", "N += 1", "def answer():\n    return N"],
        ["table = {}", "table['n'] = 5", "def answer():\n    return table['n']"],
        ["import os", "import os.path", "def answer():\n    return 5 if os.path.sep else 0"],
        ["from math import *", "def answer():\n    return floor(5.5)"],
        ["%matplotlib inline\nN = 5\n!ls", "%%time\ndef answer():\n    return N"],
        ["this is no Python", "def answer():\n    return 5"],
        ["N = 5", "for i in range(3):\n    N = i", "def answer():\n    return N"],
        ["def answer():\n    return [n for n in range(9) if n == K][0]", "K = 5"],
        ["def answer(k: 'int' = 5):\n    def inner():\n        nonlocal k\n        return k\n    return inner()"],
        ["class Table:\n    n = 5\n    def get(self):\n        return self.n", "answer = Table().get"],
        ["def odd(n):\n    return n if n % 2 else even(n)", "def even(n):\n    return odd(n + 1)",
         "def answer():\n    return odd(4)"],
    ],
    ids=lambda cells: cells[-1].splitlines()[0],
)  # fmt: skip
def test_ways_to_write_it(cells):
    assert run("answer", *cells)() == 5


def test_names_of_the_course_come_from_the_course():
    cells = [
        "def patchify(images, p):\n    return 0",
        "patchify = check(patchify)",
        "class Answer:\n    cut = patchify",
    ]
    assert run("Answer", *cells, given={"patchify", "Answer"}).cut.__module__ == "vit_course.patches"
    own = run("patchify", *cells, given={"patchify", "Answer"})
    assert own(None, 1) == 0


def test_what_cannot_be_kept_is_named():
    loop = "for i in range(3):\n    total = i"
    assert definition("answer", [loop, "def answer():\n    return total + missing"]).lost == ("missing", "total")
    shell = definition("answer", ["files = !ls", "def answer():\n    return files"])
    assert shell.lost == ("get_ipython",)
    assert definition("answer", ["x = 1"]).source == ""
    assert definition("answer", []).source == ""


@pytest.mark.parametrize(
    "cell", ["def f(a, a):\n    return a", "return 1", "x = " + "(" * 5000, "nonlocal x", "x = '\0'"]
)
def test_a_cell_that_cannot_run_costs_only_itself(cell):
    """Also where the mistake is found later than by the parser."""
    assert definition("g", [cell, "def g():\n    return 1", cell]).source == "def g():\n    return 1\n"
