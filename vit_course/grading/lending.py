"""What goes into the worker: the parts of the course's source that an exercise may use, as text. Nothing is run."""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import vit_course
from vit_course.checks import exercises
from vit_course.checks.definitions import definition
from vit_course.grading.sandbox import COURSE

_WANTED = "_wanted"
# What these do (load, draw, judge) is not done in the worker: blanks stand for it.
_NOT_LENT = ("data", "plots", "checks", "checkpoints", "experiments", "authoring", "grading")


def lent_names(exercise: str) -> dict[str, str]:
    """The exercises that come before one, and the module each is in."""
    before = itertools.takewhile(lambda name: name != exercise, exercises())
    return {name: exercises()[name].reference.__module__ for name in before}


def withheld_names(exercise: str) -> list[str]:
    """An exercise and those after it."""
    return [*itertools.dropwhile(lambda name: name != exercise, exercises())]


def lent_sources(exercise: str) -> dict[str, str]:
    """module → the part of its source that holds the earlier exercises, and what these need.

    And the helpers that the course's own answer takes from other modules: an answer may begin as that one does.
    """
    withheld = set(withheld_names(exercise))
    wanted: dict[str, set[str]] = {}
    for name, module in lent_names(exercise).items():
        wanted.setdefault(module, set()).add(name)
    for module, names in _imports(_text(exercises()[exercise].reference.__module__)):
        if _may_be_lent(module) and names - withheld:
            wanted.setdefault(module, set()).update(names - withheld)
    sources: dict[str, str] = {}
    waiting = list(wanted)
    while waiting:
        module = waiting.pop()
        sources[module] = _part(_text(module), sorted(wanted[module]))
        for other, names in _imports(sources[module]):
            new = names - withheld - wanted.get(other, set())
            if new and _may_be_lent(other):
                wanted.setdefault(other, set()).update(new)
                waiting.append(other)
    return dict(sorted(sources.items()))


def _part(source: str, names: Sequence[str]) -> str:
    """The statements that define these names, with all that they need."""
    return definition(_WANTED, [source, f"{_WANTED} = ({', '.join(names)},)"]).source


def _imports(source: str) -> Iterable[tuple[str, set[str]]]:
    """The course's modules that a source imports names from. `from vit_course import patches` counts as that module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == COURSE.name:
            yield node.module, {alias.name for alias in node.names}


@functools.cache
def _text(module: str) -> str:
    path = _file(module)
    return path.read_text(encoding="utf-8") if path and module != COURSE.name else ""


def _may_be_lent(module: str) -> bool:
    return bool(_text(module)) and module.split(".")[1] not in _NOT_LENT


def _file(module: str) -> Path | None:
    place = COURSE.joinpath(*module.split(".")[1:])
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def worker_modules() -> list[str]:
    """The course's modules that the worker loads: its own, the observers, and what these import.

    Raises:
        RuntimeError: an exercise's reference or the catalogue would come along.
    """
    waiting = ["vit_course.grading.worker", *{one.observe.__module__ for one in exercises().values()}]
    found: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in found or module in (COURSE.name, f"{COURSE.name}.checks", f"{COURSE.name}.grading"):
            continue
        found.add(module)
        for other, names in _imports(_text(module)):
            inside = [f"{other}.{name}" for name in names if _file(f"{other}.{name}")]
            waiting += inside or [other]
    answers = {one.reference.__module__ for one in exercises().values()}
    if wrong := sorted(one for one in found if one in answers or one.startswith("vit_course.checks.catalogue")):
        raise RuntimeError(f"the worker would load {', '.join(wrong)}, which holds answers.")
    return sorted(found)


def write_runtime(folder: Path) -> None:
    """A `vit_course` that holds `worker_modules` and nothing else."""
    for module in worker_modules():
        target = folder.joinpath(*module.split(".")).with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_text(module), encoding="utf-8")
    for package in [path for path in folder.rglob("*") if path.is_dir()]:
        (package / "__init__.py").touch()
    (folder / COURSE.name / "__init__.py").write_text(f'__version__ = "{vit_course.__version__}"\n', encoding="utf-8")
