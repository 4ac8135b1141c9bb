"""What the grader takes from the course: its exercises by lesson, their points, and which version it is."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import vit_course


class NoSuchLesson(ValueError):
    """The text says which there are."""


@functools.cache
def version() -> str:
    """The course, and what decides a verdict: a digest of the sources, an instructor's own file too, and PyTorch."""
    import torch

    from vit_course.checks.catalogue import own_file

    package = Path(vit_course.__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *package.glob("checks/**/*.py"), *package.glob("grading/*.py")]):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    if own := own_file():
        digest.update(own.read_bytes())
    return f"vit-course {vit_course.__version__} ({digest.hexdigest()[:10]}), PyTorch {torch.__version__}"


def course_facts() -> tuple[dict[str, tuple[str, ...]], dict[str, float]]:
    """The exercises by lesson, and the points of each."""
    from vit_course.checks import exercises

    by_lesson: dict[str, tuple[str, ...]] = {}
    for name, exercise in exercises().items():
        by_lesson[exercise.lesson] = (*by_lesson.get(exercise.lesson, ()), name)
    return by_lesson, {name: exercise.points for name, exercise in exercises().items()}


def find_lesson(given: str, by_lesson: dict[str, tuple[str, ...]]) -> str:
    """ "1" → "01"; "" stays.

    Raises:
        NoSuchLesson: it has no exercises.
    """
    lesson = given.zfill(2) if given else ""
    if lesson and lesson not in by_lesson:
        raise NoSuchLesson(f"There is no lesson {given!r} with exercises. There are: {', '.join(by_lesson)}.")
    return lesson
