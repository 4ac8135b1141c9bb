"""The exercises of the course, a file per lesson."""

import functools
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from vit_course.checks.exercise import Exercise

LESSONS = ("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11")


@functools.cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by name, in the order of the lessons."""
    modules = [importlib.import_module(f"{__name__}.lesson_{lesson}") for lesson in LESSONS]
    listed = [exercise for module in modules for exercise in module.EXERCISES]
    return {exercise.name: exercise for exercise in (*listed, *_own())}


def own_file() -> Path | None:
    """The file with an instructor's own exercises, which `VIT_COURSE_EXERCISES` names; None if it names none.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not (given := os.environ.get("VIT_COURSE_EXERCISES")):
        return None
    path = Path(given).expanduser()
    if path.suffix != ".py" or not path.is_file():
        raise FileNotFoundError(f"VIT_COURSE_EXERCISES={given} is no Python file. Give its full path.")
    return path


def _own() -> list[Exercise]:
    """`EXERCISES` of the instructor's own file."""
    if (path := own_file()) is None:
        return []
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # so that the source of a reference is found
    spec.loader.exec_module(module)
    return list(module.EXERCISES)
