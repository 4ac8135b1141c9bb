"""Grades as pages: one for each student, and one on the class for the instructor.

Self-contained and without scripts; whatever comes from a student is escaped. A student's page says what the card in
the notebook would say, and nothing of the cases that were drawn, of other students, or of what the instructor is told.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from vit_course.checks.cards import Card, page, printable
from vit_course.grading import grades, output, pictures
from vit_course.grading.grades import Row
from vit_course.grading.output import number

_KINDS = {"missing": "unattempted", "refused": "failed"}  # a status → the kind of its card
_TITLES = {
    "passed": "right",
    "failed": "not right yet",
    "error": "it stops with an error",
    "unattempted": "not attempted yet",
    "missing": "not in your notebook",
    "refused": "uses the course's own",
}
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 46em; margin: 2.5em auto; padding: 0 1.2em; }
h1 { font-size: 1.6em; line-height: 1.2; margin-bottom: 0.2em; overflow-wrap: anywhere }
h2 { font-size: 1.2em; margin-top: 2em }
p, td, th, div { overflow-wrap: anywhere }
.points { font-size: 1.15em; font-weight: 600 }
.small { font-size: 0.88em; opacity: 0.8 }
.card { margin: 1em 0 }
.tiles { display: flex; flex-wrap: wrap; gap: 0.8em; margin: 1em 0 }
.tiles div { background: var(--soft); border-radius: 6px; padding: 0.6em 1.1em; min-width: 6em }
.tiles b { display: block; font-size: 1.4em }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: 0.3em 0.8em 0.3em 0; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right; white-space: nowrap }
svg { width: 100%; height: auto; margin: 0.6em 0; font-family: inherit }
.legend { font-size: 0.88em } .key { margin-right: 1.2em; white-space: nowrap }
.key i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.4em }
code { font-size: 0.92em } a { color: inherit }
.warn { border-left: 5px solid #d95f02; padding: 0.4em 0.9em; margin: 1em 0 }
@media print { body { margin: 0; max-width: none } .card { break-inside: avoid } }
"""


def feedback(made: Sequence[Row], worth: Mapping[str, float], course: str) -> str:
    """The page of one student.

    Args:
        made: their rows.
        worth: points of each exercise.
        course: the version, to be printed.
    """
    parts = [f"<h1>{_text(made[0].name)}</h1>", '<p class="small">Write a Vision Transformer from scratch</p>']
    for row in made:
        parts += _lesson(row, worth) if row.graded else [_nothing(row)]
    if any(row.graded for row in made):
        parts.append(
            f'<p class="small">Checked by {_text(course)}, as <code>check</code> does in the notebook, with other '
            "sizes and numbers. The cards there show some mistakes in a picture as well. If you think that this page "
            "is mistaken, say so to your instructor.</p>"
        )
    return page(f"Feedback: {made[0].name}", "\n".join(parts), _STYLE)


def _lesson(row: Row, worth: Mapping[str, float]) -> list[str]:
    right = sum(mark["status"] == grades.PASSED for mark in row.marks)
    parts = [
        f"<h2>Lesson {_text(row.lesson)}</h2>",
        f'<p class="points">{number(row.points)} of {number(row.out_of)} points</p>',
        f"<p>{_encouraging(right, len(row.marks))}</p>",
    ]
    if row.taken_off:
        parts.append(f"<p>It came {row.lateness} late, which took off {number(row.taken_off)} points.</p>")
    notebook = row.facts("notebook").rpartition("/")[2]
    parts.append(f'<p class="small">Graded: {_text(notebook)}</p>')
    for mark in row.marks:
        reached = worth[mark["exercise"]] if mark["status"] == grades.PASSED else 0.0
        out_of = number(worth[mark["exercise"]])
        title = f"{mark['exercise']}: {_TITLES[mark['status']]} ({number(reached) or '0'} of {out_of})"
        said = [] if mark["status"] == "unattempted" or not mark["message"] else [mark["message"]]
        if mark["status"] == "unattempted":
            said.append(f'Nothing stands here yet. `hint("{mark["exercise"]}")` in the notebook helps to begin.')
        elif mark["status"] in ("failed", "error"):
            said.append(f'`hint("{mark["exercise"]}")` in the notebook gives a first hint.')
        card = Card(_KINDS.get(mark["status"], mark["status"]), printable(title), tuple(map(printable, said)))
        parts.append(f'<div class="card">{card._repr_html_()}</div>')
    return parts


def _encouraging(right: int, total: int) -> str:
    if right == total:
        return "All of it is right." if total > 1 else "It is right."
    if right:
        return f"{right} of {total} are right. Below is what the checks say of each."
    return "None is right yet. Below is what the checks say; often it is one small thing."


def _nothing(row: Row) -> str:
    lesson = f"<h2>Lesson {_text(row.lesson)}</h2>" if row.lesson else ""
    return (
        f"{lesson}<p>Your submission could not be graded: {_text(row.note)}.</p>"
        "<p>That is not a mark of 0. Hand the notebook in again, or ask your instructor.</p>"
    )


def class_page(made: Sequence[Row], *, course: str, protections: Mapping[str, Sequence[str]]) -> str:
    """The page on the class.

    Args:
        made: all rows.
        course: the version.
        protections: what kept students' code in.
    """
    done, left = [row for row in made if row.graded], [row for row in made if not row.graded]
    lessons = sorted({row.lesson for row in done})
    mean, median = grades.middle(made)
    title = f"Lesson {lessons[0]}: the class" if len(lessons) == 1 else "The class"
    tiles = [("graded", len(done)), ("not graded", len(left)), ("mean", f"{mean:.0%}"), ("median", f"{median:.0%}")]
    parts = [f"<h1>{title}</h1>", f'<p class="small">For the instructor. Graded by {_text(course)}.</p>']
    parts.append(
        '<div class="tiles">' + "".join(f"<div><b>{value}</b>{name}</div>" for name, value in tiles) + "</div>"
    )
    in_force, missing = output.told_apart(protections)
    if missing:
        listed = "".join(f"<li>{_text(text)}</li>" for text in missing)
        parts.append(f'<div class="warn"><b>Not protected in this run</b><ul>{listed}</ul></div>')
    if left:
        parts += ["<h2>Not graded</h2>", "<p>No points were given, also not 0.</p>"]
        parts.append(_table(("student", "why"), [(_student(row), _text(row.note)) for row in left]))
    if done:
        parts += ["<h2>Points</h2>", "<p>How many submissions reached which share of the points.</p>"]
        parts += [pictures.distribution([row.share for row in done])]
        exercises = grades.by_exercise(made)
        shown = {status for one in exercises for status in one.counts}
        parts += ["<h2>Exercises, hardest first</h2>", pictures.statuses(exercises), pictures.legend(sorted(shown))]
    parts += _misconceptions(made)
    parts += _told(made)
    parts += ["<h2>Everyone</h2>", _everyone(made)]
    if in_force:
        listed = "".join(f"<li>{_text(text)}</li>" for text in in_force)
        parts += ["<h2>What kept students' code in</h2>", f'<ul class="small">{listed}</ul>']
    return page(title, "\n".join(parts), _STYLE)


def _misconceptions(made: Sequence[Row]) -> list[str]:
    common = grades.misconceptions(made)[:10]
    if not common:
        return []
    bars = pictures.counts([(f"{name}: {slug}", count) for name, slug, _, count in common], "Commonest mistakes.")
    cards = [
        f"<p><b>{_text(name)}: {_text(slug)}</b> ({count})<br>{_code(message)}</p>"
        for name, slug, message, count in common
    ]
    return ["<h2>Commonest misconceptions</h2>", bars, "<p>What the students' cards say:</p>", *cards]


def _told(made: Sequence[Row]) -> list[str]:
    told = grades.remarks(made)
    if not told:
        return []
    lines = [(_student(row), _text(name), _code(what)) for row, name, what in told]
    return [
        "<h2>For you to look at</h2>",
        "<p>Information, and no verdict: the points are as they are.</p>",
        _table(("student", "exercise", "what"), lines),
    ]


def _everyone(made: Sequence[Row]) -> str:
    lines = []
    for row in made:
        right = sum(mark["status"] == grades.PASSED for mark in row.marks)
        points = f"{number(row.points)} of {number(row.out_of)}" if row.graded else "not graded"
        count = f"{right} of {len(row.marks)}" if row.graded else ""
        lines.append((_student(row), _text(row.lesson), points, count, row.lateness, _text(row.note)))
    return _table(("student", "lesson", "points", "right", "late", "note"), lines)


def _student(row: Row) -> str:
    return f'<a href="feedback/{quote(row.student)}.html">{_text(row.name)}</a>'


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _text(text: str) -> str:
    return html.escape(printable(str(text)))


def _code(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))
