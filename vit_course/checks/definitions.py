"""A definition, taken out of a notebook's cells with all that it needs: for `mine`, and for a grader.

Text in, text out: nothing is run here. Kept are imports, functions, classes and assignments, also inside `if`, `try`
and `with`, as far as the definition needs them, and what they need in turn. Loops and bare calls are not: a training
loop must not run again because a definition is looked up.
"""

from __future__ import annotations

import ast
import builtins
import functools
import symtable
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

_SIMPLE = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.AugAssign)
_BRANCHING = (ast.If, ast.Try, ast.With)
_BODY_MAGICS = ("%%time", "%%timeit", "%%capture")  # what stands below them is ordinary code
_ALWAYS_THERE = {*dir(builtins), "__name__", "__file__", "display"}


@dataclass(frozen=True)
class Definition:
    """What `definition` found.

    Attributes:
        source: Python that runs alone and defines the name; "" if no cell defines it.
        lost: names it uses that no cell gives in a way that can be kept.
    """

    source: str
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Statement:
    """A top-level statement. `now` are the names it needs when it runs, `later` those that its functions need."""

    node: ast.stmt
    source: str
    binds: frozenset[str] = frozenset()
    adds_to: frozenset[str] = frozenset()  # bound before and changed here: x += 1, table["a"] = 1, import torch.nn
    now: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    keepable: bool = field(default=True)


def definition(name: str, cells: Sequence[str], *, given: Collection[str] = ()) -> Definition:
    """The last definition of a name, with the imports, constants, helpers and base classes that it needs.

    Args:
        name: of the function or class.
        cells: sources, in the order in which they ran; magics may be in them. A cell that is no Python is left out.
        given: names that `vit_course` gives; where the definition uses one of them, it is imported from there.
    """
    statements = [statement for cell in cells for statement in _statements(cell)]
    found = [index for index, one in enumerate(statements) if name in one.binds and _defines(one.node, name)]
    written = [index for index in found if not is_stub(statements[index].node)]
    if not found:
        return Definition("")
    chosen, imported, lost, seen = set(), set(), set(), set()
    wanted = [(name, (written or found)[-1] + 1)]  # a name, and before which statement it is needed
    while wanted:
        needed, before = wanted.pop()
        if (needed, before) in seen or needed in _ALWAYS_THERE:
            continue
        seen.add((needed, before))
        if needed in given and needed != name:
            imported.add(needed)
            continue
        places = _places(statements, needed, before, name)
        if not places:
            if not any(_star(one.node) for one in statements):
                lost.add(needed)
            continue
        for place in places:
            chosen.add(place)
            one = statements[place]
            wanted += [(other, place) for other in one.now]
            wanted += [(other, len(statements)) for other in one.later]
    chosen |= {index for index, one in enumerate(statements) if _star(one.node)}
    lines = [f"from vit_course import {', '.join(sorted(imported))}"] * bool(imported)
    source = "\n\n".join([*lines, *(statements[index].source for index in sorted(chosen))])
    return Definition(source + "\n", tuple(sorted(lost)))


def answers(name: str, cell: str) -> bool:
    """Whether a cell defines a name, with more than the untouched stub."""
    return any(name in one.binds and _defines(one.node, name) and not is_stub(one.node) for one in _statements(cell))


def is_stub(node: ast.AST) -> bool:
    """Whether a definition is an exercise that nobody has begun: it only raises `NotImplementedError`."""
    if isinstance(node, ast.ClassDef):
        return any(is_stub(part) for part in node.body)
    if not isinstance(node, ast.FunctionDef):
        return False
    body = [part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    if len(body) != 1 or not isinstance(body[0], ast.Raise) or body[0].exc is None:
        return False
    raised = body[0].exc.func if isinstance(body[0].exc, ast.Call) else body[0].exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def _places(statements: list[_Statement], name: str, before: int, target: str) -> list[int]:
    """The last statement that binds a name before a place (or at all), and those that change it from there on."""
    bound = [
        index
        for index, one in enumerate(statements)
        if name in one.binds and one.keepable and not (name == target and not _defines(one.node, name))
    ]
    earlier = [index for index in bound if index < before] or bound
    if name == target:
        earlier = [index for index in earlier if not is_stub(statements[index].node)] or earlier
    first = earlier[-1:]
    end = max(before, *first, 0)
    start = first[0] if first else -1
    changed = [index for index, one in enumerate(statements) if name in one.adds_to and start < index < end]
    return first + [index for index in changed if statements[index].keepable]


def _defines(node: ast.stmt, name: str) -> bool:
    """Not `name = check(name)` or `name = mine(name)`: that is the same thing, or the course's."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        called = node.value.func
        called = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        return called not in ("check", "mine")
    return True


def _star(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


@functools.lru_cache(maxsize=1024)
def _statements(cell: str) -> tuple[_Statement, ...]:
    """Read once, however many names are looked for."""
    nodes = _parsed(cell)
    if nodes is None:  # mostly it is plain Python, and IPython need not look at it
        cell = _plain(cell)
        nodes = _parsed(cell)
    return tuple(_read(cell, node) for node in nodes or ())  # a cell that could not run has defined nothing


def _parsed(cell: str) -> list[ast.stmt] | None:
    """The statements of a cell that can run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(cell)
            compile(tree, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # finds more: the same argument twice
        return tree.body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: brackets in brackets in …
        return None


def _read(cell: str, node: ast.stmt) -> _Statement:
    source = _source(cell, node)
    table = symtable.symtable(source, "<cell>", "exec")
    changed = {base for part in ast.walk(node) for base in _changed(part)} if _keepable(node) else set()
    bound = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    if isinstance(node, ast.Import):
        changed |= {alias.name.partition(".")[0] for alias in node.names if "." in alias.name and not alias.asname}
    now, later = _needed(table)
    return _Statement(
        node,
        source,
        frozenset(bound - changed),
        frozenset(changed),
        frozenset(now),
        frozenset(later),
        _keepable(node),
    )


def _changed(node: ast.AST) -> Iterator[str]:
    """Names whose value a node changes without binding them anew."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) else []:
        inner = target
        while isinstance(inner, ast.Attribute | ast.Subscript):
            inner = inner.value
        if isinstance(inner, ast.Name) and (inner is not target or isinstance(node, ast.AugAssign)):
            yield inner.id


def _needed(table: symtable.SymbolTable) -> tuple[set[str], set[str]]:
    """Names of the notebook that a statement needs at once, and those that its functions need when they are called."""
    top = table.get_type() == "module"
    here = {
        symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and (top or symbol.is_global())
    }
    now, later = (set(), here) if table.get_type() == "function" else (here, set())
    for child in table.get_children():
        inner_now, inner_later = _needed(child)
        if table.get_type() == "function":
            inner_now, inner_later = set(), inner_now | inner_later
        now, later = now | inner_now, later | inner_later
    return now, later


def _keepable(node: ast.stmt) -> bool:
    if isinstance(node, _BRANCHING):
        parts = [*node.body, *getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
        parts += [part for handler in getattr(node, "handlers", []) for part in handler.body]
        return all(_keepable(part) or isinstance(part, ast.Pass | ast.Raise) for part in parts)
    return isinstance(node, _SIMPLE)


def _source(cell: str, node: ast.stmt) -> str:
    """The statement as it was written, comments and decorators included."""
    lines = cell.splitlines()
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
    whole = "\n".join(lines[first - 1 : node.end_lineno])
    try:
        alone = len(ast.parse(whole).body) == 1
    except SyntaxError:
        alone = False
    return whole if alone else ast.unparse(node)  # several statements on a line


def _plain(cell: str) -> str:
    """A cell as Python: without magics and shell lines."""
    if cell.lstrip().startswith(_BODY_MAGICS):
        cell = cell.lstrip().partition("\n")[2]
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in cell.splitlines())
    return TransformerManager().transform_cell(cell)
