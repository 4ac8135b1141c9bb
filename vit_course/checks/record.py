"""How far a learner has come, and the answers that passed: kept in `progress.json` in the course's folder."""

from __future__ import annotations

import contextlib
import datetime
import html
import json
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vit_course.checks.catalogue import exercises
from vit_course.paths import home, personal

if TYPE_CHECKING:  # no check needs the training
    from vit_course.data import ImageSet
    from vit_course.training import Trained

NAME = "progress.json"
BEST = "best accuracy"  # beside the exercises; no name of one has a space


@dataclass(frozen=True)
class Progress:
    """The state of every exercise.

    Attributes:
        entries: name → {"passed": bool, "attempts": int, "passed_at": ISO time or None} and, where it could be kept,
            "answer": its source; only what was tried. `BEST` → what `best` says.
        notice: what the learner should know about the file, or "".
    """

    entries: dict[str, dict]
    notice: str = ""

    @property
    def passed(self) -> list[str]:
        return [name for name in exercises() if self.entries.get(name, {}).get("passed")]

    @property
    def best(self) -> dict[str, dict]:
        """By the name of the images, what `keep_accuracy` kept: {"accuracy": 0 … 1, "images": how many, "at": ISO time,
        and "seconds" and "device" of the training, or None}."""
        kept = self.entries.get(BEST, {})
        return {name: one for name, one in kept.items() if isinstance(one, dict) and _is_share(one.get("accuracy"))}

    def export(self, path: str | os.PathLike) -> Path:
        """Write the progress as JSON, to take elsewhere or to hand in. Returns where it was written."""
        target = Path(path).expanduser()
        _write(target, self.entries)
        return target

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = []
        for name, exercise in exercises().items():
            entry = self.entries.get(name, {})
            attempts = entry.get("attempts", 0)
            symbol = "✓" if entry.get("passed") else "✗" if attempts else "○"
            rows.append((f"{symbol} {exercise.lesson}", name, f"{attempts} tried" if attempts else ""))
        return rows

    def _summary(self) -> str:
        return f"{len(self.passed)} of {len(exercises())} exercises passed."

    def __repr__(self) -> str:
        lines = [self._summary()] + [f"  {state}  {name:<24} {tries}".rstrip() for state, name, tries in self._rows()]
        return "\n".join([self.notice] * bool(self.notice) + lines)

    def _repr_html_(self) -> str:
        cell = '<td style="text-align:left;padding:0.1em 1em">'
        rows = "".join(
            f"<tr>{cell}{state}</td>{cell}<code>{name}</code></td>{cell}{tries}</td></tr>"
            for state, name, tries in self._rows()
        )
        notice = f"<p>{html.escape(self.notice)}</p>" if self.notice else ""
        return f"{notice}<p>{self._summary()}</p><table>{rows}</table>"


def progress() -> Progress:
    """Every exercise of the course and how it stands."""
    path = next((path for path in (_path(), home() / NAME) if path.exists()), _path())
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
            raise ValueError("not a progress file")
    except FileNotFoundError:
        return Progress({})
    except OSError as error:
        return Progress({}, f"Your progress cannot be read ({error}).")
    except ValueError:  # JSON and Unicode errors are ValueErrors too
        kept = path.with_name(f"{path.stem}.damaged-{datetime.datetime.now():%Y%m%d-%H%M%S-%f}.json")
        with contextlib.suppress(OSError):
            path.replace(kept)
        return Progress({}, f"Your progress file was damaged. It was set aside as {kept} and a new one begun.")
    return Progress(entries)


def record(name: str, passed: bool, answer: str | None = None) -> str:
    """Note one attempt. Returns "" or, where it could not be kept, why; a full disk stops no lesson.

    Args:
        name: of the exercise.
        passed: whether it did.
        answer: the source of the answer that passed, to be kept; None leaves an earlier one.
    """
    now = progress()
    entry = now.entries.get(name, {})
    attempts = entry.get("attempts", 0)
    now.entries[name] = {
        "passed": passed or entry.get("passed") is True,
        "attempts": (attempts if isinstance(attempts, int) else 0) + 1,
        "passed_at": entry.get("passed_at") or (_now() if passed else None),
    }
    if answer := answer or entry.get("answer"):
        now.entries[name]["answer"] = answer
    try:
        _write(_path(), now.entries)
    except OSError as error:
        return f"Your progress could not be saved ({error}). The check itself is not affected."
    return now.notice


def keep_accuracy(accuracy: float | Trained, test: ImageSet) -> str:
    """Keep the accuracy of a model of one's own beside one's progress, if it is the best on images of this name.

    Args:
        accuracy: a share, 0 … 1; or what `train` gives, which also says how long it took, and on what.
        test: the images on which it was measured.

    Returns:
        What was done, as a sentence.

    Raises:
        ValueError: it is no share, as after a training without test images.
    """
    trained = accuracy if hasattr(accuracy, "seconds") else None
    share = float(trained.accuracy if trained else accuracy)
    if not _is_share(share):
        raise ValueError(f"an accuracy is a share of test images, 0 … 1; got {share}.")
    now = progress()
    said, before = f"{share:.1%} of {len(test):,} {test.name} images right", now.best.get(test.name)
    if before and before["accuracy"] >= share:
        return f"{said}. Your best stays {before['accuracy']:.1%}."
    kept = {"accuracy": share, "images": len(test), "at": _now()}
    kept |= {"seconds": trained and trained.seconds, "device": trained and trained.device}
    now.entries[BEST] = now.best | {test.name: kept}
    try:
        _write(_path(), now.entries)
    except OSError as error:
        return f"{said}. It could not be kept ({error})."
    return " ".join(filter(None, (f"{said}, kept as your best.", now.notice)))


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= 1


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _path() -> Path:
    return personal() / NAME


def _write(path: Path, entries: dict) -> None:
    """All or nothing: a killed kernel or a full disk leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(entries, file, indent=1, ensure_ascii=False)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
