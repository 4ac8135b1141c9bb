"""The course as one static site: each lesson's text and figures, stubs as learners get them, solutions folded; and the
explorer.

Made by sphinx from executed solutions. A page asks nothing of another server: the theme brings its own fonts and its
search, formulas become MathML, and a badge becomes a plain link.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from vit_course.authoring import ROOT
from vit_course.authoring.generate import learners_notebook
from vit_course.authoring.lint import BEGIN, END
from vit_course.authoring.published import badge
from vit_course.copies import BADGE_ID, SETUP_ID
from vit_course.explorer.page import WHOLE, files

TITLE = "A Vision Transformer from scratch"
APPENDIX = ("notation", "article")  # of docs/
CONFIGURATION = {
    "project": TITLE,
    "html_title": TITLE,
    "copyright": "the course's authors. Text and figures: CC BY 4.0. Code: MIT.",
    "language": "en",
    "extensions": ["myst_nb", "vit_course.authoring.book"],
    "html_theme": "sphinx_book_theme",
    "html_static_path": ["_static"],
    "html_extra_path": ["_extra"],
    "html_css_files": ["course.css"],
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_math_renderer": "mathml",
    "html_favicon": "_static/favicon.svg",
    "html_context": {"default_mode": "auto"},
    "html_theme_options": {
        "show_toc_level": 2,
        "navbar_persistent": [],  # a second search field
        "use_download_button": False,
        "use_fullscreen_button": False,
    },
    "myst_enable_extensions": ["dollarmath", "html_image"],
    "myst_heading_anchors": 4,
    "nb_execution_mode": "off",
    "nb_merge_streams": True,
    "nb_code_prompt_show": "Show the solution",
    "nb_code_prompt_hide": "Hide the solution",
    "nb_ipywidgets_js": {},
}
# Cards bring their own colours, from the text's; the theme would put them on white in the dark. Sidebars leave room for
# code of 88 columns.
STYLE = """\
html[data-theme="dark"] .bd-content div.cell_output .text_html:not(:has(table.dataframe)) {
  background-color: transparent; color: inherit; padding: 0;
}
.bd-sidebar-primary { flex-basis: 16rem; }
.bd-sidebar-secondary { flex-basis: 14rem; }
.bd-main .bd-content .bd-article-container { max-width: 54rem; }
.bd-content img { height: auto; }
.bd-content table { display: block; overflow-x: auto; }
.bd-content pre { font-size: .8rem; }
math[display="block"] { margin: 1rem 0; overflow-x: auto; }
"""
FAVICON = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 5 5"><path fill="#0072b2" d="M0 0h2v2H0zM3 3h2v2H3z"/>\
<path fill="#e69f00" d="M3 0h2v2H3zM0 3h2v2H0z"/></svg>
"""


def build_book(solutions: Mapping[str, NotebookNode], out: Path, times: str = "", root: Path = ROOT) -> None:
    """Write the site.

    Args:
        solutions: executed, by the name of the file; in the order of the lessons.
        out: folder for the site, of which `index.html` is the beginning.
        times: Markdown to stand on the first page, on how the notebooks ran.
        root: the checkout, whose README and docs/ are in the book.

    Raises:
        RuntimeError: sphinx has something to complain about; what, stands on the screen.
    """
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    alts = {}
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        (source / "docs").mkdir()
        (source / "_static").mkdir()
        (source / "_extra").mkdir()
        (source / "_extra" / WHOLE).write_bytes(files()[WHOLE])
        (source / "_static" / "course.css").write_text(STYLE, encoding="utf-8")
        (source / "_static" / "favicon.svg").write_text(FAVICON, encoding="utf-8")
        docs = [path for name in APPENDIX if (path := root / "docs" / f"{name}.md").is_file()]
        pages = [*solutions, *(path.name for path in docs)]
        for name, solution in solutions.items():
            alts |= alt_texts(solution)
            nbformat.write(page(solution, name, pages), source / name)
        for path in docs:
            (source / path.name).write_text(only_links_among(path.read_text(encoding="utf-8"), pages), encoding="utf-8")
        if (picture := root / "docs" / "vit.png").is_file():
            (source / "docs" / "vit.png").write_bytes(picture.read_bytes())
        (source / "index.md").write_text(first_page(root, pages, times), encoding="utf-8")
        with patch_docutils(), docutils_namespace():
            settings = CONFIGURATION | {"vit_course_alt_texts": alts}
            app = Sphinx(source, None, out, source / ".doctrees", "html", settings, status=None, warning=sys.stderr)
            app.build()
        if app.statuscode or app._warncount:
            raise RuntimeError(f"sphinx found {app._warncount} faults in the book; they stand above.")


def page(solution: NotebookNode, name: str, pages: Collection[str]) -> NotebookNode:
    """A lesson for reading: without its set-up, an exercise's solution folded behind the stub, links to these pages."""
    stubs = {cell.id: cell.source for cell in learners_notebook(solution, name).cells}
    notebook = nbformat.from_dict(solution)
    cells = []
    for cell in solution.cells:
        cell = nbformat.from_dict(cell)
        if cell.id in (SETUP_ID, BADGE_ID):
            continue
        if cell.cell_type == "markdown":
            cell.source = only_links_among(cell.source, pages)
        elif BEGIN in cell.source:
            cells.append(new_code_cell(stubs[cell.id], id=f"stub-{cell.id}"))
            marks = rf"^[ \t]*({BEGIN}|{END})[ \t]*\n?"
            cell.source = re.sub(marks, "", cell.source, flags=re.MULTILINE).rstrip()
            cell.metadata["tags"] = [*cell.metadata.get("tags", ()), "hide-input"]
        cells.append(cell)
    if address := re.search(r"\]\(([^()\s]+)\)$", badge(name)):
        first = next((cell for cell in cells if cell.cell_type == "markdown"), None)
        if first:
            heading, _, rest = first.source.partition("\n")
            first.source = f"{heading}\n\n[Open this lesson in Colab]({address[1]})\n{rest}"
    if not title(notebook):
        cells.insert(0, new_markdown_cell(f"# {Path(name).stem}", id="title"))
    notebook.cells = cells
    return notebook


def title(notebook: NotebookNode) -> str:
    """The first heading of the notebook's text, or ""."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#+ +(.+?) *#*$", cell.source, re.MULTILINE)):
            return found[1].replace("`", "").replace("*", "")
    return ""


def alt_texts(notebook: NotebookNode) -> dict[str, str]:
    """The alt texts of figures, by the digest of the picture, which myst-nb makes the name of its file."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if picture := output.get("data", {}).get("image/png"):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                found[hashlib.sha256(base64.b64decode(picture)).hexdigest()] = alt
    return found


def first_page(root: Path, pages: Collection[str], times: str) -> str:
    """The README up to what is for people with a checkout, without its column of badges, and the contents."""
    readme = (root / "README.md").read_text(encoding="utf-8") if (root / "README.md").is_file() else f"# {TITLE}\n"
    text = re.split(r"^## For learners", readme, maxsplit=1, flags=re.MULTILINE)[0]
    text = re.sub(r"^Where the course is published.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(\|(?:[^|\n]*\|){3})[^|\n]*\|$", r"\1", text, flags=re.MULTILINE)

    def contents(caption: str, suffix: str) -> str:
        names = [Path(name).stem for name in pages if name.endswith(suffix)]
        return f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```\n" if names else ""

    parts = only_links_among(text, pages), times, contents("Lessons", ".ipynb"), contents("To look up", ".md")
    return "\n\n".join(filter(None, parts))


def only_links_among(markdown: str, pages: Collection[str]) -> str:
    """Links to the book's pages lead there, and those to other files of the repository become plain text.

    Where the README describes the explorer, the book has it.
    """

    def link(found: re.Match) -> str:
        text, target = found.groups()
        place, mark, anchor = target.partition("#")
        name = place.rpartition("/")[2]
        if re.match(r"[a-z]+:", target):
            return found[0]
        if anchor == "the-explorer":
            return f'<a href="{WHOLE}">{text}</a>'  # no page of sphinx's: to Markdown's links it does not exist
        return f"[{text}]({name}{mark}{anchor})" if name in pages else text

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, markdown)


# -- an extension of sphinx, for what it and myst-nb lack


def setup(app: Any) -> dict[str, bool]:
    app.add_config_value("vit_course_alt_texts", {}, "env")
    app.add_html_math_renderer("mathml", (_inline_formula, None), (_formula, None))
    app.connect("doctree-read", _describe_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _describe_pictures(app: Any, tree: Any) -> None:
    """myst-nb leaves the alt texts of outputs out."""
    from docutils import nodes

    for picture in tree.findall(nodes.image):
        if alt := app.config.vit_course_alt_texts.get(Path(picture["uri"]).stem):
            picture["alt"] = alt


def _inline_formula(writer: Any, node: Any) -> None:
    _write_formula(writer, node, "inline")


def _formula(writer: Any, node: Any) -> None:
    _write_formula(writer, node, "block")


def _write_formula(writer: Any, node: Any, display: str) -> None:
    from docutils.nodes import SkipNode
    from latex2mathml.converter import convert

    writer.body.append(convert(node.astext(), display=display))
    raise SkipNode
