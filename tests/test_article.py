"""The page on the source article names cells that there are, for each of its points."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "article.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split(" | ") for line in PAGE.splitlines() if re.match(r"\| (?!the article \|)[^-]", line)]
CELLS = {
    path.name[:2]: {cell.id for cell in nbformat.read(path, as_version=4).cells}
    for path in (ROOT / "solutions").glob("*.ipynb")
}


def cells(row):
    return re.findall(r"(\d\d) `([\w-]+)`", row[-1])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip()[:40])
def test_each_point_has_cells_and_they_exist(row):
    assert cells(row), "in which lesson and cell?"
    assert re.sub(r"\d\d `[\w-]+`|[, ]", "", row[-1]) == ""
    assert [f"{lesson} {cell}" for lesson, cell in cells(row) if cell not in CELLS[lesson]] == []


def test_every_lesson_takes_part():
    assert len(ROWS) > 40
    assert {lesson for row in ROWS for lesson, _ in cells(row)} == set(CELLS)
