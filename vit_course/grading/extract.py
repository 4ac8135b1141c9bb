"""A student's answers, taken out of the cells by name. Runs in the worker: even text can be made to crash its reader.

Definitions, imports and assignments are kept as far as an answer needs them, by the code that keeps learners' own
answers (`vit_course.checks.definitions`); so no training loop runs.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from vit_course.checks.definitions import answers, definition

MOST_SOURCE = 200_000  # characters of one answer


def extract(cells: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """What the cells hold of each exercise.

    Args:
        cells: in the order of the notebook.
        wanted: exercise → names that the course lends to it.

    Returns:
        exercise → `state` ("written", "unattempted", "missing" or "too long"), `source`, which runs alone, `own`, the
        same with what the student defined of the names that are lent, where that is another, `lost`, names that no
        cell gives, and `likeness`, the same for two answers that differ in names only.
    """
    found = {}
    for name, lent in wanted.items():
        near = [cell for cell in cells if name in cell]
        if not any(answers(name, cell) for cell in near):
            begun = any(definition(name, [cell]).source for cell in near)
            found[name] = {"state": "unattempted" if begun else "missing"}
            continue
        taken = definition(name, cells, given=lent)
        own = [one for one in lent if not any(answers(one, cell) for cell in cells if one in cell)]
        apart = definition(name, cells, given=own).source if len(own) < len(lent) else taken.source
        found[name] = {
            "state": "written" if len(taken.source) <= MOST_SOURCE else "too long",
            "source": taken.source[:MOST_SOURCE],
            "own": apart if apart != taken.source and len(apart) <= MOST_SOURCE else "",
            "lost": list(taken.lost)[:20],
            "likeness": likeness(name, taken.source),
        }
    return found


def likeness(name: str, source: str) -> str:
    """A fingerprint of the definition of a name: names, comments, annotations and docstrings aside. "" if it is short.

    Two answers of a few words are alike by nature.
    """
    try:
        nodes = [node for node in ast.parse(source).body if getattr(node, "name", None) == name]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    if not nodes:
        return ""
    plain = _Plain().visit(nodes[-1])
    if sum(1 for _ in ast.walk(plain)) < 60:
        return ""
    return hashlib.sha256(ast.dump(plain).encode()).hexdigest()


class _Plain(ast.NodeTransformer):
    """Every name becomes the number of the place where it first stands."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def _number(self, name: str) -> str:
        return self._names.setdefault(name, str(len(self._names)))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._number(node.id), ast.Load())

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(self._number(node.arg))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        value = [self.visit(node.value)] if node.value else []
        return ast.Assign([self.visit(node.target)], *value) if value else ast.Pass()

    def _definition(self, node: Any) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        node.name, node.decorator_list = self._number(node.name), []
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        return self.generic_visit(node)

    visit_FunctionDef = visit_ClassDef = _definition
