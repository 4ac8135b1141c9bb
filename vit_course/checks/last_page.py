"""The last page of the course: what was built, how far it went, and what to read and build next.

One text for the notebook and for a file: inline styles and `currentColor`, as in cards.
"""

from __future__ import annotations

import contextlib
import datetime
import html
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vit_course.checks.cards import COLOURS, SYMBOLS, inline, page, printable
from vit_course.checks.catalogue import exercises
from vit_course.checks.record import BEST, Progress, progress
from vit_course.paths import StorageError, write_whole
from vit_course.training.reporting import duration

TITLES = {
    "00": "Start here",
    "01": "Patches",
    "02": "Linear projection",
    "03": "The CLS token",
    "04": "Positional embeddings",
    "05": "Attention",
    "06": "The encoder",
    "07": "The Vision Transformer",
    "08": "Training on CIFAR-10",
    "09": "Fine-tuning",
    "10": "Inside the ViT",
    "11": "Hybrids and data",
}
IMAGES = {"cifar10": "CIFAR-10", "shapes": "the drawn shapes"}
LONGEST_NAME = 120  # characters
# What, and where: text, address, the address's name.
READ = (
    ("The paper, now with its appendix", "https://arxiv.org/abs/2010.11929", "Dosovitskiy et al. 2021"),
    ("Little data: a ViT taught by a convolutional network", "https://arxiv.org/abs/2012.12877", "Touvron et al. 2021"),
    ("What data, augmentation and size are worth", "https://arxiv.org/abs/2106.10270", "Steiner et al. 2022"),
    ("Learning without labels, by filling in", "https://arxiv.org/abs/2111.06377", "He et al. 2022"),
    ("Learning without labels, by comparing views", "https://arxiv.org/abs/2104.14294", "Caron et al. 2021"),
)
BUILD = (
    (
        "A masked autoencoder: hide three quarters of the patches, fill in their pixels with a few more blocks, "
        "then fine-tune as in lesson 09",
        "https://arxiv.org/abs/2111.06377",
        "He et al. 2022",
    ),
    (
        "A language model: your `Encoder`, a mask that hides what comes later, letters for patches",
        "https://github.com/karpathy/nanoGPT",
        "nanoGPT",
    ),
    (
        "A class for every patch: `head` on all tokens in place of CLS",
        "https://arxiv.org/abs/2105.05633",
        "Strudel et al. 2021",
    ),
    (
        "Registers: a few more tokens beside CLS, and maps before and after",
        "https://arxiv.org/abs/2309.16588",
        "Darcet et al. 2024",
    ),
    (
        "Pictures and words: two encoders that agree on which belong together",
        "https://arxiv.org/abs/2103.00020",
        "Radford et al. 2021",
    ),
)
HONEST = "Made by the course from its learner's own progress file, which anyone can edit: a souvenir, not a proof."
STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
a { color: inherit }
@page { margin: 12mm }
@media print { body { font-size: 8.5pt; line-height: 1.35; max-width: none; margin: 0; padding: 0 } }
"""


@dataclass(frozen=True)
class Certificate:
    """The last page, filled in. In a notebook it shows itself.

    Attributes:
        name: of the learner, or "".
        progress: how far they are.
        day: on which it was made.
        path: where it was written; None if it was not.
        said: where, or why not.
    """

    name: str
    progress: Progress
    day: datetime.date
    path: Path | None = None
    said: str = ""

    @property
    def title(self) -> str:
        whole = len(self.progress.passed) == len(exercises())
        return "A Vision Transformer, written from scratch" if whole else "On the way to a Vision Transformer"

    def state(self) -> str:
        """How many passed, from when to when, and what comes next."""
        passed, count = self.progress.passed, len(exercises())
        ahead = next((one for one in exercises().values() if one.name not in passed), None)
        if not passed:
            return f"None of {count} exercises has passed its check yet. The first is {ahead.name}, in lesson 00."
        days = sorted(_days(self.progress, passed))
        when = ""
        if days:
            first, last = _written(days[0]), _written(days[-1])
            when = f", on {first}" if first == last else f", from {first} to {last}"
        if ahead is None:
            return f"All {count} exercises passed their checks{when}."
        further = f"The next is {ahead.name}, in lesson {ahead.lesson}."
        return f"{len(passed)} of {count} exercises passed their checks{when}. {further}"

    def remarks(self) -> list[str]:
        """The best accuracies; and what should be known about the file."""
        lines = []
        for name, one in self.progress.best.items():
            how = f"{one['images']:,} test images" if isinstance(one.get("images"), int) else "the test images"
            seconds, device = one.get("seconds"), one.get("device")
            after = f", after {duration(seconds)} of training" if isinstance(seconds, (int, float)) else ""
            after += f" on {printable(device)}" if after and isinstance(device, str) else ""
            right = f"{one['accuracy']:.1%} of {how} of {IMAGES.get(name, name)}"
            lines.append(f"The best model trained on the way named {right} rightly{after}.")
        if not lines:
            lines.append("No accuracy of a trained model is kept yet: lesson 08 trains one.")
        if gone := [name for name in self.progress.entries if name not in exercises() and name != BEST]:
            lines.append(f"Not counted, since the course has no such exercise (any more): {', '.join(gone)}.")
        return [*lines, *filter(None, [self.progress.notice])]

    def page(self) -> str:
        """All of it as one HTML file, which asks nothing of the network."""
        title = f"{self.title}: {self.name}" if self.name else self.title
        return page(title, f"<main>{self._body(1)}</main>", STYLE)

    def __repr__(self) -> str:
        by = f" by {self.name}" if self.name else ""
        return "\n".join(filter(None, (f"{self.title}{by}", self.state(), *self.remarks(), HONEST, self.said)))

    def _repr_html_(self) -> str:
        return f"{self._body(3)}<p>{html.escape(self.said)}</p>"

    def _body(self, level: int) -> str:
        frame = f"border:2px solid {COLOURS['info']};border-radius:8px;padding:1.2em 1.6em;margin:0.4em 0"
        by = f"<p style='margin:0.2em 0;font-size:1.25em'>by <b>{html.escape(self.name)}</b></p>" if self.name else ""
        remarks = "".join(f"<p style='margin:0.5em 0'>{html.escape(text)}</p>" for text in self.remarks())
        head = (
            "<div style='display:flex;flex-wrap:wrap;gap:0.5em 2em;justify-content:space-between;align-items:center'>"
            f"<div style='flex:1 1 16em'>{_heading(level, html.escape(self.title), 1.6)}{by}</div>"
            f"{self._patches()}</div>"
        )
        passed = len(self.progress.passed)
        built = "What there is to build" if not passed else "What was built"
        built += ", and what is ahead" if 0 < passed < len(exercises()) else ""
        legend = f"{SYMBOLS['passed']} passed its check, {SYMBOLS['failed']} tried, {SYMBOLS['unattempted']} not yet."
        return (
            f"<section style='{frame};color:currentColor;overflow-wrap:anywhere'>{head}"
            f"<p style='margin:0.8em 0 0.5em'><b>{html.escape(self.state())}</b></p>{remarks}"
            f"{_heading(level + 1, built, 1.15)}{self._lessons()}"
            f"<p style='margin:0.5em 0;font-size:0.88em'>{legend}</p>"
            f"{_heading(level + 1, 'Ten things to read and build next', 1.15)}{_next()}"
            f"<p style='margin:1em 0 0;font-size:0.88em'>{HONEST} {_written(self.day)}.</p></section>"
        )

    def _patches(self) -> str:
        """A small picture: a patch for each exercise, filled where it has passed."""
        passed, names = set(self.progress.passed), list(exercises())
        across = 10
        squares = "".join(
            f'<rect x="{place % across * 10 + 1}" y="{place // across * 10 + 1}" width="8" height="8" rx="1" '
            f'stroke="{COLOURS["info"]}" fill="{COLOURS["info"] if name in passed else "none"}"/>'
            for place, name in enumerate(names)
        )
        height = -(-len(names) // across) * 10
        return (
            f'<svg role="img" aria-label="{len(passed)} of {len(names)} patches filled in" width="{across * 1.1}em" '
            f'viewBox="0 0 {across * 10} {height}">{squares}</svg>'
        )

    def _lessons(self) -> str:
        by_lesson: dict[str, list[str]] = {}
        for name, exercise in exercises().items():
            entry = self.progress.entries.get(name, {})
            kind = "passed" if entry.get("passed") else "failed" if entry.get("attempts") else "unattempted"
            item = f"<li style='margin:0'>{SYMBOLS[kind]} {inline(f'`{name}`')}"
            by_lesson.setdefault(exercise.lesson, []).append(f"{item}</li>")
        cells = "".join(
            f"<div style='break-inside:avoid'><b>{lesson} {TITLES.get(lesson, '')}</b>"
            f"<ul style='list-style:none;margin:0;padding:0;font-size:0.93em'>{''.join(items)}</ul></div>"
            for lesson, items in by_lesson.items()
        )
        return f"<div style='{_GRID.format(14)}'>{cells}</div>"


def certificate(name: str = "", out: str | os.PathLike = "certificate.html") -> Certificate:
    """The last page of the course, from your own progress; also written as a file, to keep or to print.

    Args:
        name: yours, if you like.
        out: the file; one that is there is replaced.

    Returns:
        The page. As the last value of a cell it shows itself, and says where the file is.
    """
    shown = " ".join(printable(str(name)).split())
    shown = shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
    made, path = Certificate(shown, progress(), datetime.date.today()), Path(out).expanduser()
    try:
        write_whole(path, made.page().encode())
    except StorageError as error:
        return replace(made, said=f"It is not kept as a file: {error}")
    return replace(made, path=path, said=f"Written to {path}: open it in a browser, or print it.")


_GRID = "display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,{}em),1fr));gap:0.7em 1.6em"


def _heading(level: int, text: str, size: float) -> str:
    return (
        f"<h{level} style='font-size:{size}em;font-weight:600;line-height:1.25;margin:0.8em 0 0.4em'>{text}</h{level}>"
    )


def _next() -> str:
    """Five things to read and five to build, numbered through."""
    columns, look = [], "color:inherit;text-decoration:underline"
    for start, things in ((1, READ), (len(READ) + 1, BUILD)):
        items = "".join(
            f"<li style='margin:0.15em 0'>{inline(text)}: <a style='{look}' href='{place}'>{source}</a></li>"
            for text, place, source in things
        )
        columns.append(f"<ol start='{start}' style='margin:0;padding-left:1.8em'>{items}</ol>")
    return f"<div style='{_GRID.format(20)}'>{''.join(columns)}</div>"


def _days(now: Progress, names: list[str]) -> Iterator[datetime.date]:
    """When exercises passed, where the file says it."""
    for name in names:
        with contextlib.suppress(ValueError, TypeError):
            yield datetime.datetime.fromisoformat(now.entries[name].get("passed_at")).astimezone().date()


def _written(day: datetime.date) -> str:
    return f"{day.day} {day:%B %Y}"
