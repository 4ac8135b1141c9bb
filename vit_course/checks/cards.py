"""Cards: what a learner sees, as HTML with a plain-text twin.

Inline styles, `currentColor` and `<details>` only, so that a card reads the same in light and dark and in every
viewer; those that clean HTML remove `<style>` and scripts.
"""

from __future__ import annotations

import html
import re
import sys
from dataclasses import dataclass

# Middle tones, 3 to 1 against white as against the grounds of dark themes, up to Colab's #383838.
COLOURS = {"passed": "#1a9850", "failed": "#d95f02", "error": "#d95f02", "unattempted": "#848484", "info": "#5588c7"}
SYMBOLS = {"passed": "✓", "failed": "✗", "error": "✗", "unattempted": "○", "info": "→"}


@dataclass(frozen=True)
class Card:
    """A titled note.

    Attributes:
        kind: a key of `COLOURS`.
        title: one line.
        paragraphs: plain text; what stands between backticks is shown as code.
        picture: HTML shown below, or "".
        details: (summary, text) pairs, folded; the text is shown as it is.
    """

    kind: str
    title: str
    paragraphs: tuple[str, ...] = ()
    picture: str = ""
    details: tuple[tuple[str, str], ...] = ()

    def _repr_html_(self) -> str:
        colour = COLOURS[self.kind]
        parts = [f'<div style="font-weight:600">{SYMBOLS[self.kind]} {inline(self.title)}</div>']
        parts += [f'<div style="margin-top:0.4em">{inline(text)}</div>' for text in self.paragraphs]
        if self.picture:
            parts.append(f'<div style="margin-top:0.6em">{self.picture}</div>')
        for summary, text in self.details:
            parts.append(
                f'<details style="margin-top:0.4em"><summary>{inline(summary)}</summary>'
                f'<pre style="color:inherit;background:transparent;white-space:pre-wrap">{html.escape(text)}</pre>'
                "</details>"
            )
        style = f"border-left:5px solid {colour};padding:0.5em 0.9em;margin:0.4em 0;color:currentColor;max-width:56em"
        return f'<div style="{style}">{"".join(parts)}</div>'

    def __repr__(self) -> str:
        lines = [f"{SYMBOLS[self.kind]} {self.title}", *self.paragraphs]
        for summary, text in self.details:
            lines += [f"{summary}:", text.rstrip()]
        return "\n".join(lines)


def inline(text: str) -> str:
    """Plain text as HTML; what stands between backticks is code."""
    escaped = html.escape(text).replace("\n", "<br>")
    return re.sub(r"`([^`]+)`", r'<code style="color:inherit;background:transparent">\1</code>', escaped)


def printable(text: str) -> str:
    """Without what turns a line around or is no character: a name or a message is somebody else's to choose."""
    return re.sub("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "\ufffd", text)


def page(title: str, body: str, style: str) -> str:
    """A page of its own, in HTML. Nothing is loaded and nothing runs, even if something should slip through.

    Args:
        title: plain text.
        body: HTML, with all that comes from others escaped.
        style: CSS.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(printable(title))}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def show(card: Card) -> None:
    """Display a card in a notebook, or print it anywhere else."""
    # Only IPython itself imports IPython: outside a notebook there is no need to wait for it.
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from IPython.display import display

        display(card)
    else:
        print(card)


def pixel_table(title: str, height: int, width: int, marked: dict[tuple[int, int], str]) -> str:
    """An image as a small HTML table, with the pixels in `marked` filled and labelled."""
    cell = (
        "width:1.5em;height:1.5em;min-width:1.5em;padding:0;text-align:center;font-size:0.75em;border:1px solid #8888"
    )
    rows = []
    for row in range(height):
        cells = []
        for column in range(width):
            label = marked.get((row, column))
            fill = ";background:#4575b4;color:#ffffff" if label is not None else ""
            cells.append(f'<td style="{cell}{fill}">{html.escape(label or "")}</td>')
        rows.append(f'<tr style="background:transparent">{"".join(cells)}</tr>')
    return (
        f'<div style="display:inline-block;margin-right:2em;vertical-align:top"><div>{html.escape(title)}</div>'
        f'<table style="border-collapse:collapse;margin:0">{"".join(rows)}</table></div>'
    )
