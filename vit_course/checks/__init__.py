"""Checks that never pass wrong code, never fail right code, and say which mistake was made.

In a notebook: `check`, `hint`, `solution`, `progress`, `mine`, `keep_accuracy`, `certificate`. For tests and tools:
`evaluate`, `exercises`.

The names below are looked up when they are used: a grading worker imports `vit_course.checks.observers` and must get
neither the reference model nor the catalogue of mistakes with it.
"""

import importlib
from typing import Any

_EXPORTS = {
    "CheckFailed": "notebook",
    "Exercise": "exercise",
    "Mistake": "exercise",
    "Report": "judge",
    "certificate": "last_page",
    "check": "notebook",
    "evaluate": "evaluation",
    "exercises": "catalogue",
    "hint": "notebook",
    "keep_accuracy": "record",
    "mine": "answers",
    "progress": "record",
    "solution": "notebook",
}
__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_EXPORTS[name]}")
    globals()[name] = value = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return __all__
