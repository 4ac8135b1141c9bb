"""The exercises of the course, a file per lesson."""

import functools
import importlib

from vit_course.checks.exercise import Exercise

LESSONS = ("00", "01", "02", "03", "04", "05", "06", "07")


@functools.cache
def exercises() -> dict[str, Exercise]:
    """Every exercise by name, in the order of the lessons."""
    modules = [importlib.import_module(f"{__name__}.lesson_{lesson}") for lesson in LESSONS]
    return {exercise.name: exercise for module in modules for exercise in module.EXERCISES}
