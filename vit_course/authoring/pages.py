"""A notebook as a page to read in a browser: one file, figures with their alt texts, links to its neighbours."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from nbconvert import HTMLExporter
from nbformat import NotebookNode

# nbconvert's own template leaves the alt texts of figures out, and then writes that there is no description.
_TEMPLATE = """\
{% extends 'lab/index.html.j2' %}
{% block data_png scoped %}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
 alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}">
</div>
{% endblock %}
{% block body_loop %}{{ resources.neighbours }}{{ super() }}{{ resources.neighbours }}{% endblock %}
"""


def page(notebook: NotebookNode, name: str, title: str, names: Sequence[str], folder: Path) -> str:
    """The notebook as HTML that needs no other file of the course.

    Args:
        notebook: with its outputs.
        name: of its file, without the suffix.
        title: of the page.
        names: of all notebooks of the course, in order: links among them become links among the pages.
        folder: what the pictures in its text are relative to.
    """
    exporter = HTMLExporter(embed_images=True, raw_template=_TEMPLATE)
    resources = {"metadata": {"name": title, "path": str(folder)}, "neighbours": neighbours(name, names)}
    body, _ = exporter.from_notebook_node(notebook, resources)
    known = "|".join(map(re.escape, names))
    return re.sub(rf'href="(?:\./)?({known})\.ipynb(#[^"]*)?"', r'href="\1.html\2"', body)


def neighbours(name: str, names: Sequence[str]) -> str:
    """HTML: the lesson before, all lessons, the lesson after."""
    place = list(names).index(name)
    links = ['<a href="index.html">all lessons</a>']
    if place:
        links.insert(0, _link(names[place - 1], "← {}"))
    if place + 1 < len(names):
        links.append(_link(names[place + 1], "{} →"))
    return f'<nav aria-label="Lessons" style="padding:1em 0;text-align:center">{" · ".join(links)}</nav>'


def _link(name: str, text: str) -> str:
    return f'<a href="{html.escape(name)}.html">{html.escape(text.format(name.replace("_", " ")))}</a>'
