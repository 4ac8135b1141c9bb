"""Where the course is published, and what follows from it: the set-up cell, the Colab badges.

`vit-course publish` writes the next two lines. Until then there are no badges, and on Colab the set-up cell says so
instead of trying to install from nowhere.
"""

from __future__ import annotations

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell

from vit_course.copies import BADGE_ID, SETUP_ID

REPOSITORY = ""  # "owner/name" on GitHub
REF = "main"  # the branch or tag that Colab installs

# The set-up is no part of the lesson, so its code is folded: on Colab, which shows the title, and in JupyterLab.
SETUP_METADATA = {"cellView": "form", "jupyter": {"source_hidden": True}}

_SETUP = """\
# @title Set-up: {what}
import importlib.util
import sys

if importlib.util.find_spec("vit_course") is None:
    if "google.colab" not in sys.modules:
        raise ModuleNotFoundError("Not installed. Use `make lab`, or see README.md.")
    {install}"""
_INSTALL = '%pip install -q "vit-course @ git+https://github.com/{repository}@{ref}"'
_UNPUBLISHED = """\
raise RuntimeError(
        "This copy is not published, so Colab cannot fetch it. See README.md."
    )"""


def setup_source(repository: str = REPOSITORY, ref: str = REF) -> str:
    """The first code cell of every notebook.

    On Colab pip finds torch and the other large packages installed already and leaves them as they are: the course asks
    for lower bounds only.
    """
    if not repository:
        return _SETUP.format(what="is the course installed?", install=_UNPUBLISHED)
    install = _INSTALL.format(repository=repository, ref=ref)
    return _SETUP.format(what="is the course installed? On Colab, this installs it", install=install)


def badge(notebook: str, repository: str = REPOSITORY, ref: str = REF) -> str:
    """Markdown for "open in Colab", or "" where the course is not published.

    Args:
        notebook: file name, such as "01_patches.ipynb".
        repository: "owner/name".
        ref: branch or tag.
    """
    if not repository:
        return ""
    picture = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({picture})](https://colab.research.google.com/github/{repository}/blob/{ref}/notebooks/{notebook})"


def bring_in_step(notebook: NotebookNode, name: str, repository: str = REPOSITORY, ref: str = REF) -> None:
    """Put the generated cells, the set-up and the badge, into a notebook as they should be now, in place."""
    setup = next((cell for cell in notebook.cells if cell.id == SETUP_ID), None)
    if setup is None:
        setup = new_code_cell(id=SETUP_ID)
        first_code = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), len(notebook.cells))
        notebook.cells.insert(first_code, setup)
    setup.source = setup_source(repository, ref)
    setup.metadata = from_dict(SETUP_METADATA)
    notebook.cells[:] = [cell for cell in notebook.cells if cell.id != BADGE_ID]
    if markdown := badge(name, repository, ref):
        notebook.cells.insert(0, new_markdown_cell(markdown, id=BADGE_ID))
