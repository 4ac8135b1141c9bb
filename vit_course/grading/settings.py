"""What an instructor sets: a small TOML file.

[points]                              # instead of the course's own
patchify = 3

[due]
"01" = 2026-10-12T23:59:00+02:00

[late]
percent_per_day = 10                  # of what was reached, for each day begun
at_most = 50

[columns]                             # in a gradebook, where the lesson's number is not in the title
"01" = "Homework 2 (48213)"
"""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class SettingsError(ValueError):
    """The file cannot be used; the text says which line, or which setting."""


@dataclass(frozen=True)
class Settings:
    """See the top of this file. Without a file: the course's points, no due dates, nothing taken off."""

    points: Mapping[str, float] = field(default_factory=dict)
    due: Mapping[str, datetime.datetime] = field(default_factory=dict)
    percent_per_day: float = 0.0
    at_most: float = 100.0
    columns: Mapping[str, str] = field(default_factory=dict)

    def days_late(self, lesson: str, handed_in: str) -> int:
        """Days begun since a lesson was due; 0 if it was in time, or nobody knows.

        Args:
            lesson: "01".
            handed_in: ISO; without an offset it is local time here, or where the due date says.
        """
        due = self.due.get(lesson)
        if due is None or not handed_in:
            return 0
        came = datetime.datetime.fromisoformat(handed_in)
        if came.tzinfo is None and due.tzinfo is not None:
            came = came.astimezone()
        if came.tzinfo is not None and due.tzinfo is None:
            due = due.astimezone()
        return max(0, math.ceil((came - due) / datetime.timedelta(days=1)))

    def share_kept(self, days_late: int) -> float:
        """What is left of the points, 0 to 1."""
        return 1.0 - min(self.percent_per_day * days_late, self.at_most) / 100


def read_settings(path: Path | None, exercises: Mapping[str, str]) -> Settings:
    """The settings in a file; the defaults if there is none.

    Args:
        path: of the file, or None.
        exercises: the lesson of each exercise, by name.

    Raises:
        SettingsError: it cannot be read, or names what does not exist.
    """
    if path is None:
        return Settings()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # of TOML and of UTF-8
        raise SettingsError(f"{path} is no valid TOML: {error}.") from error
    try:
        return _settings(given, exercises)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _settings(given: dict[str, Any], exercises: Mapping[str, str]) -> Settings:
    for name, table in given.items():
        if name not in ("points", "due", "late", "columns") or not isinstance(table, dict):
            raise SettingsError(f"there is no table [{name}]; there are [points], [due], [late] and [columns].")
    lessons = sorted(set(exercises.values()))
    for name, value in given.get("points", {}).items():
        if name not in exercises:
            raise SettingsError(f"[points] names {name!r}, which is no exercise. There are: {', '.join(exercises)}.")
        _number(f"points of {name}", value)
    due = {}
    for lesson, value in given.get("due", {}).items():
        _lesson("due", lesson, lessons)
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            value = datetime.datetime.combine(value, datetime.time(23, 59, 59))  # a day means its end
        if not isinstance(value, datetime.datetime):
            raise SettingsError(f"due {lesson}: write a date without quotes, such as 2026-10-12T23:59:00+02:00.")
        due[lesson] = value
    late = given.get("late", {})
    for name, value in late.items():
        if name not in ("percent_per_day", "at_most"):
            raise SettingsError(f"[late] has percent_per_day and at_most, not {name!r}.")
        if _number(name, value) > 100:
            raise SettingsError(f"{name} is a percentage from 0 to 100; got {value}.")
    for lesson, title in given.get("columns", {}).items():
        _lesson("columns", lesson, lessons)
        if not isinstance(title, str):
            raise SettingsError(f"column {lesson}: write its title in quotes; got {title!r}.")
    return Settings(
        dict(given.get("points", {})),
        due,
        float(late.get("percent_per_day", 0.0)),
        float(late.get("at_most", 100.0)),
        dict(given.get("columns", {})),
    )


def _lesson(table: str, lesson: str, lessons: list[str]) -> None:
    if lesson not in lessons:
        raise SettingsError(f'[{table}] names lesson {lesson!r}. There are: {", ".join(lessons)} (in quotes: "01").')


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise SettingsError(f"{name}: a number from 0 up is needed; got {value!r}.")
    return float(value)
