"""In the worker: a `vit_course` that lends earlier lessons' names, and nothing of the exercise itself.

Loading images, drawing and checking do nothing there, so that a line that was left in does no harm.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import linecache
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

COURSE = "vit_course"


class NotLent(Exception):
    """An answer used the course's own answer to its exercise, or to a later one."""


class Blank:
    """Something that can be used in any way, and does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Blank()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        one = arguments[0] if len(arguments) == 1 and not named else None
        return one if callable(one) else Blank()  # as a decorator, or as `check`

    def __getitem__(self, key: Any) -> Any:
        return Blank()

    def __iter__(self) -> Iterator:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        return None


class _OwnAnswer:
    """Stands where the course's answer to the exercise would: whatever is done with it is refused."""

    def __init__(self, name: str, used: Callable[[str], None]) -> None:
        self.__dict__.update(_name=name, _used=used)

    def _refuse(self, *arguments: Any, **named: Any) -> Any:
        self.__dict__["_used"](self.__dict__["_name"])
        raise NotLent(f"the course's own `{self.__dict__['_name']}` is not there while yours is graded")

    __call__ = __getattr__ = __setattr__ = __getitem__ = __iter__ = __len__ = __mro_entries__ = __enter__ = _refuse


class _Module(types.ModuleType):
    """A module of the course whose names are made when they are asked for."""

    def __init__(self, name: str, find: Callable[[str, str], Any]) -> None:
        super().__init__(name)
        self.__path__ = []
        self.__dict__["_find"] = find

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["_find"](self.__name__, name)


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module of the course from now on, and makes what is asked for.

    Args:
        sources: of modules: name → the part of its source that may be lent.
        lent: names that `vit_course` itself gives → the module that holds them.
        withheld: names of the exercise and of later ones.
        used: told when one of these is used.
        place: the folder that the files of lent modules seem to lie in.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        lent: Mapping[str, str],
        withheld: Sequence[str],
        used: Callable[[str], None],
        place: str,
    ) -> None:
        self._sources, self._lent, self._place = dict(sources), dict(lent), place
        self._withheld = {name: _OwnAnswer(name, used) for name in withheld}

    def install(self) -> None:
        sys.meta_path.insert(0, self)
        course = sys.modules[COURSE]
        course.__dict__["__getattr__"] = lambda name: _dunder(name) or self._find(COURSE, name)
        course.__dict__["__all__"] = [*self._lent, *_HARMLESS]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] == COURSE:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name, self._find)

    def exec_module(self, module: types.ModuleType) -> None:
        source = self._sources.get(module.__name__)
        if source is not None:
            file = f"{self._place}/{module.__name__.partition('.')[2].replace('.', '/')}.py"
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            exec(compile(source, file, "exec"), module.__dict__)

    def _find(self, module: str, name: str) -> Any:
        if name in self._withheld:
            return self._withheld[name]
        if module == COURSE and name in self._lent:
            return getattr(importlib.import_module(self._lent[name]), name)
        if f"{module}.{name}" in self._sources:
            return importlib.import_module(f"{module}.{name}")
        return _HARMLESS.get(name) or Blank()


def _dunder(name: str) -> None:
    if name.startswith("__"):
        raise AttributeError(name)


def _load_images(*arguments: Any, **options: Any) -> types.SimpleNamespace:
    """Something of the right shape, for constants that are read off it."""
    images = torch.zeros(10, 3, 32, 32, dtype=torch.uint8)
    return types.SimpleNamespace(images=images, labels=torch.arange(10), classes=list("0123456789"), source="none")


def _mine(name: str) -> Any:
    return getattr(sys.modules[COURSE], name)


_HARMLESS: dict[str, Any] = {
    "check": lambda candidate, name=None: candidate,
    "mine": _mine,
    "load_images": _load_images,
    **{name: lambda *arguments, **named: None for name in ("hint", "solution", "progress")},
}
