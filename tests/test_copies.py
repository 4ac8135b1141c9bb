"""An update of a lesson reaches someone who has begun: said, and written beside their copy with their answers."""

import copy
import errno
import json
import os

import nbformat
import pytest

from vit_course import cli, copies
from vit_course.authoring import NOTEBOOKS, SOLUTIONS
from vit_course.checks import evaluate, exercises
from vit_course.checks.definitions import definition

LESSONS = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
LESSON = "01_patches.ipynb"
MINE = "def patchify(images, patch_size):\n    return halves(images, patch_size)"
HELPER = "import math\n\n\ndef halves(images, patch_size):\n    return images[: math.ceil(len(images) / 2)]"


def cell_of(notebook, id_):
    return next(cell for cell in notebook["cells"] if cell["id"] == id_)


def sources(path):
    return [copies.source_of(cell) for cell in copies.read(path)["cells"] if cell["cell_type"] == "code"]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one lesson, copied, and with an answer and a helper in the copy."""
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / LESSON).write_bytes((NOTEBOOKS / LESSON).read_bytes())
    assert cli.main(["work"]) == 0
    return tmp_path


def write(path, notebook):
    path.write_text(json.dumps(notebook), encoding="utf-8")


def begun(checkout, change=lambda notebook: None):
    path = checkout / "work" / LESSON
    notebook = copies.read(path)
    cell_of(notebook, "ex-patchify")["source"] = MINE
    notebook["cells"].insert(3, {"cell_type": "code", "id": "own", "metadata": {}, "source": HELPER, "outputs": []})
    change(notebook)
    write(path, notebook)
    return path


def changed(checkout):
    """The course changes a text of the lesson."""
    path = checkout / "notebooks" / LESSON
    notebook = copies.read(path)
    notebook["cells"][0]["source"] = "# A new beginning"
    copies.stamp(notebook)
    write(path, notebook)


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_notebook_carries_its_version(lesson):
    notebook = copies.read(NOTEBOOKS / lesson)
    assert notebook["metadata"]["vit_course"]["version"] == copies.version(notebook)
    nbformat.validate(nbformat.from_dict(notebook))
    other = copy.deepcopy(notebook)
    other["cells"][-1]["source"] = "another text"
    assert copies.version(other) != copies.version(notebook)
    other["cells"][-1] = copy.deepcopy(notebook["cells"][-1])
    other["metadata"]["colab"] = {"provenance": []}
    assert copies.version(other) == copies.version(notebook)


def test_it_is_said_when_a_lesson_has_changed_since_it_was_copied(checkout, capsys):
    begun(checkout)
    capsys.readouterr()
    assert cli.main(["work"]) == 0 and capsys.readouterr().out == ""
    changed(checkout)
    assert cli.main(["work"]) == 0
    assert f"has changed since you copied {LESSON}" in capsys.readouterr().out
    assert cli.main(["update"]) == 0
    assert "01_patches_updated.ipynb: with your patchify." in capsys.readouterr().out
    assert cli.main(["work"]) == 0 and capsys.readouterr().out == "", "there is a fresh one now"
    assert cli.main(["update"]) == 0 and "as they are now" in capsys.readouterr().out


def test_without_copies_update_says_how_to_get_some(checkout, capsys):
    (checkout / "work" / LESSON).unlink()
    assert cli.main(["update"]) == 1
    captured = capsys.readouterr()
    assert "`vit-course work` makes them" in captured.err and not captured.out


def test_a_copy_from_before_versions_counts_as_older(checkout):
    begun(checkout, lambda notebook: notebook["metadata"].pop("vit_course"))
    assert copies.outdated(checkout / "notebooks", checkout / "work") == [LESSON]


def as_colab_saves(notebook):
    for cell in notebook["cells"]:
        cell.pop("id")
        cell["metadata"] = {"id": "x"}
        cell["source"] = copies.source_of(cell).splitlines(keepends=True)


def merged(notebook):
    code = [copies.source_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    notebook["cells"] = [
        {"cell_type": "code", "metadata": {}, "source": source, "outputs": []} for source in code[::-1]
    ]


@pytest.mark.parametrize("form", [lambda notebook: None, as_colab_saves, merged])
def test_answers_and_what_they_need_come_with_it_and_the_copy_stays(checkout, form):
    path = begun(checkout, form)
    changed(checkout)
    before = path.read_bytes()
    updated = copies.update(checkout / "notebooks" / LESSON, path)
    assert path.read_bytes() == before
    fresh = copies.read(updated.path)
    nbformat.validate(nbformat.from_dict(fresh))
    assert updated.answers == ["patchify"] and fresh["cells"][0]["source"] == "# A new beginning"
    assert copies.source_of(cell_of(fresh, "ex-patchify")) == MINE
    assert "NotImplementedError" in copies.source_of(cell_of(fresh, "ex-unpatchify"))
    order = [cell["id"] for cell in fresh["cells"]]
    assert order.index("carried-patchify") == order.index("ex-patchify") - 1
    assert definition("patchify", sources(updated.path)).lost == ()
    again = copies.update(checkout / "notebooks" / LESSON, path)
    assert again.path.name == "01_patches_updated_2.ipynb" and updated.path.exists()


@pytest.mark.parametrize("lesson", LESSONS)
def test_all_answers_of_a_solved_lesson_arrive_and_pass(lesson, tmp_path):
    """With everything in one cell that has lost its names, as after an export to a script."""
    code = [cell for cell in copies.read(SOLUTIONS / lesson)["cells"] if cell["cell_type"] == "code"]
    solved = copies.read(NOTEBOOKS / lesson)
    solved["cells"] = [{"cell_type": "code", "metadata": {}, "source": copies.source_of(cell)} for cell in code]
    write(tmp_path / lesson, solved)
    updated = copies.update(NOTEBOOKS / lesson, tmp_path / lesson)
    names = [name for name, exercise in exercises().items() if exercise.lesson == lesson[:2]]
    assert updated.answers == names
    for name in names:
        space = {"__name__": "__main__"}
        exec(definition(name, sources(updated.path)).source, space)
        assert evaluate(name, space[name]).passed


def test_what_cannot_be_read_is_said_and_the_others_go_on(checkout, capsys):
    path = begun(checkout)
    whole = path.read_text(encoding="utf-8")
    for broken in ("", "{", "[]", '{"cells": [{}], "metadata": {}}', '{"cells": [], "metadata": 3}', "\udcff"):
        path.write_bytes(broken.encode("utf-8", "surrogateescape"))
        assert cli.main(["update", "01"]) == 1
        assert "is no notebook, or a broken one" in capsys.readouterr().err
        assert copies.outdated(checkout / "notebooks", checkout / "work") == []
    path.write_bytes(b"\xef\xbb\xbf" + whole.replace("\n", "\r\n").encode())
    assert cli.main(["update", "01"]) == 0 and "with your patchify" in capsys.readouterr().out
    assert cli.main(["update", "07"]) == 1 and "no copy of lesson 07" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(checkout, monkeypatch, capsys):
    begun(checkout)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(["update", "01"]) == 1
    assert "no space left" in capsys.readouterr().err
    assert [path.name for path in (checkout / "work").iterdir()] == [LESSON]
