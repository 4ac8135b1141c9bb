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


def _own() -> list[Exercise]:
    """An instructor's own exercises: `EXERCISES` of the file that `VIT_COURSE_EXERCISES` names."""
    if not (given := os.environ.get("VIT_COURSE_EXERCISES")):
        return []
    path = Path(given).expanduser()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"VIT_COURSE_EXERCISES={given} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # so that the source of a reference is found
    spec.loader.exec_module(module)
    return list(module.EXERCISES)
