"""A class in pictures: inline SVG that follows the page's colours, each with its text in words."""

from __future__ import annotations

import html
from collections.abc import Sequence

from vit_course.grading.grades import Exercise

# By status: colour and words, in the order in which bars show them. Told apart by brightness as well as by hue.
STATUSES = {
    "passed": ("#1a9850", "right"),
    "failed": ("#d95f02", "wrong"),
    "error": ("#f1a340", "stops with an error"),
    "refused": ("#7b3294", "uses the course's own"),
    "unattempted": ("#9a9a9a", "not attempted"),
    "missing": ("#c9c9c9", "not in the notebook"),
}
_WIDTH = 640


def distribution(shares: Sequence[float]) -> str:
    """How many rows reached which share of the points (0 to 1), in tenths; full marks have a bar of their own."""
    counts = [0] * 11
    for share in shares:
        counts[min(10, int(share * 10 + 1e-9))] += 1
    names = [f"{10 * i}–{10 * i + 9}" for i in range(10)] + ["100"]
    highest, step, tall = max([*counts, 1]), _WIDTH / 11, 160
    parts = []
    for index, (name, count) in enumerate(zip(names, counts, strict=True)):
        height, x = tall * count / highest, index * step
        middle = x + step / 2
        parts.append(
            f'<rect x="{x + 4:.1f}" y="{20 + tall - height:.1f}" width="{step - 8:.1f}" height="{height:.1f}" '
            'rx="2" fill="#4575b4"/>'
        )
        if count:
            parts.append(_text(middle, 15 + tall - height, str(count), "middle"))
        parts.append(_text(middle, tall + 38, name, "middle"))
    parts.append(f'<line x1="0" y1="{tall + 20.5}" x2="{_WIDTH}" y2="{tall + 20.5}" stroke="currentColor"/>')
    parts.append(_text(_WIDTH / 2, tall + 60, "percent of the points", "middle"))
    told = ", ".join(f"{name} %: {count}" for name, count in zip(names, counts, strict=True) if count)
    return _svg(tall + 68, f"How many submissions reached which share of the points. {told or 'None'}.", parts)


def statuses(exercises: Sequence[Exercise]) -> str:
    """A bar for each exercise, cut by what became of it."""
    parts, left, line = [], 250, 30
    wide = _WIDTH - left - 50
    for index, one in enumerate(exercises):
        y, x = index * line, float(left)
        parts.append(_text(left - 10, y + 17, f"{one.lesson} {one.name}", "end"))
        for status, (colour, words) in STATUSES.items():
            count = one.counts.get(status, 0)
            width = wide * count / one.total
            if count:
                parts.append(
                    f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{line - 9}" fill="{colour}">'
                    f"<title>{one.name}: {count} {words}</title></rect>"
                )
            x += width
        parts.append(_text(_WIDTH, y + 17, f"{one.share_right:.0%}", "end"))
    told = "; ".join(
        f"{one.name}: "
        + ", ".join(f"{n} {STATUSES[status][1]}" for status, n in one.counts.items() if status in STATUSES)
        for one in exercises
    )
    return _svg(max(1, len(exercises)) * line, f"What became of each exercise, hardest first. {told}.", parts)


def counts(named: Sequence[tuple[str, int]], what: str) -> str:
    """A bar for each name, as long as its count."""
    parts, left, line = [], 330, 30
    highest = max([count for _, count in named] or [1])
    for index, (name, count) in enumerate(named):
        y, width = index * line, (_WIDTH - left - 40) * count / highest
        parts.append(_text(left - 10, y + 17, name if len(name) < 46 else f"{name[:44]}…", "end"))
        parts.append(f'<rect x="{left}" y="{y + 3}" width="{width:.1f}" height="{line - 9}" rx="2" fill="#d95f02"/>')
        parts.append(_text(left + width + 6, y + 17, str(count), "start"))
    told = "; ".join(f"{name}: {count}" for name, count in named)
    return _svg(max(1, len(named)) * line, f"{what} {told}.", parts)


def legend(shown: Sequence[str]) -> str:
    """What the colours of `statuses` mean."""
    parts = [
        f'<span class="key"><i style="background:{colour}"></i>{html.escape(words)}</span>'
        for status, (colour, words) in STATUSES.items()
        if status in shown
    ]
    return f'<p class="legend">{"".join(parts)}</p>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(height: float, words: str, parts: Sequence[str]) -> str:
    told = html.escape(words)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{told}" fill="currentColor" '
        f'font-size="13">{"".join(parts)}</svg>'
    )
