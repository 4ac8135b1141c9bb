"""Submissions as they come: each becomes a student with cells to grade, or a row that says why not."""

import codecs
import io
import json
import os
import re
import stat
import zipfile

import pytest
from grading_stand_in import NAMES, StandIn, cells, hand_in, notebook

from vit_course.grading import archives
from vit_course.grading.archives import Unreadable, files_under, read
from vit_course.grading.collect import collect
from vit_course.grading.names import from_canvas, from_moodle
from vit_course.grading.notebooks import read_cells
from vit_course.grading.submission import Task, graded

RIGHT = ["passed"] * 4


def archive(path, files, *, compress=zipfile.ZIP_DEFLATED):
    """A zip with these files: names → bytes, or None for a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compress) as made:
        for name, data in files.items():
            made.writestr(name if data is not None else f"{name}/", data or b"")
    return path


def packed(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return stream.getvalue()


def grade(path, lesson="", **collecting):
    """Student's key → record, by the stand-in."""
    task = Task(NAMES, lesson, 1, "test")
    return {one.key: graded(one, task, lambda: StandIn(seed=1)) for one in collect(path, **collecting)}


def statuses(record, lesson="01"):
    return [mark["status"] for mark in record["lessons"][lesson]["marks"]]


# --- whose is what ---


def test_a_folder_for_each_student(tmp_path):
    hand_in(tmp_path, {"ada/01_patches.ipynb": notebook(), "bob/deep/er/work.ipynb": notebook(), "eve": None})
    found = grade(tmp_path)
    assert list(found) == ["ada", "bob", "eve"]
    assert statuses(found["ada"]) == statuses(found["bob"]) == RIGHT
    assert found["eve"]["reason"] == "nothing was handed in: the folder is empty"


def test_flat_files(tmp_path):
    names = ["ada_01_patches", "01_patches - Bob Ross", "Eve", "01_patches", "01_patches (1)"]
    hand_in(tmp_path, {f"{name}.ipynb": notebook() for name in names})
    found = grade(tmp_path)
    assert {one["name"] for one in found.values()} == {"ada", "Bob Ross", "Eve", "01_patches", "01_patches (1)"}
    assert all(statuses(one) == RIGHT for one in found.values())


def test_a_flat_file_for_each_lesson_is_one_student(tmp_path):
    hand_in(tmp_path, {"ada_01_patches.ipynb": notebook(), "ada_02_linear_projection.ipynb": notebook(cells("02"))})
    found = grade(tmp_path)
    assert list(found) == ["ada"] and list(found["ada"]["lessons"]) == ["01", "02"]


def test_ones_own_work_folder(tmp_path):
    hand_in(tmp_path / "work", {"01_patches.ipynb": notebook(), "02_linear_projection.ipynb": notebook(cells("02"))})
    found = grade(tmp_path / "work")
    assert list(found) == ["work"] and list(found["work"]["lessons"]) == ["01", "02"]


def test_one_notebook_and_one_zip(tmp_path):
    (tmp_path / "ada.ipynb").write_bytes(notebook())
    assert list(grade(tmp_path / "ada.ipynb")) == ["ada"]
    archive(tmp_path / "bob.zip", {"01_patches.ipynb": notebook()})
    assert statuses(grade(tmp_path)["bob"]) == RIGHT


CANVAS = {
    "lovelaceada_1234_98765_01_patches.ipynb": ("1234", "lovelaceada", False, "01_patches.ipynb"),
    "hoppergrace_LATE_7_5_01 patches-2.ipynb": ("7", "hoppergrace", True, "01 patches-2.ipynb"),
    "anon_x1Y2z_98765_01_patches.ipynb": ("anon_x1Y2z", "", False, "01_patches.ipynb"),
    "LATE_anon_x1Y2z_98765_a.ipynb": ("anon_x1Y2z", "", True, "a.ipynb"),
    "王小云_33_44_作业.ipynb": ("33", "王小云", False, "作业.ipynb"),
    "ross_bob_12_13_a_14_15_b.ipynb": ("12", "ross_bob", False, "a_14_15_b.ipynb"),
    "rossbob_12_text.html": ("12", "rossbob", False, "text.html"),
}


@pytest.mark.parametrize("name", CANVAS)
def test_names_of_canvas(name):
    found = from_canvas(name)
    assert (found.id, found.name, found.late, found.original) == CANVAS[name]


@pytest.mark.parametrize("name", ["01_patches.ipynb", "ada_01_patches.ipynb", "ada.ipynb", "ada_1_02_x.ipynb"])
def test_other_names_are_not_canvas(name):
    assert from_canvas(name) is None


def test_names_of_moodle():
    for name in ("Ada Lovelace_1234_assignsubmission_file", "Ada Lovelace_1234_assignsubmission_file_"):
        found = from_moodle(name)
        assert (found.id, found.name, found.original) == ("1234", "Ada Lovelace", "")
    assert from_moodle("Ada_L_1234_assignsubmission_file_01_patches.ipynb").original == "01_patches.ipynb"
    assert from_moodle("Ada_1234_assignsubmission_onlinetext").name == "Ada"
    assert from_moodle("Ada Lovelace") is None


@pytest.mark.parametrize("inside", ["", "submissions/"])
@pytest.mark.parametrize("in_a_folder", [False, True])
def test_a_zip_of_canvas(tmp_path, inside, in_a_folder):
    files = {
        "lovelaceada_11_101_01_patches.ipynb": notebook(cells("01", "WRONG")),
        "lovelaceada_11_102_01_patches-1.ipynb": notebook(),
        "hoppergrace_LATE_12_103_work.zip": packed({"work/01_patches.ipynb": notebook(), "work/a.png": b"\x89PNG"}),
        "rossbob_13_text.html": b"<html>my text</html>",
    }
    path = archive(tmp_path / "in" / "submissions.zip", {inside + name: data for name, data in files.items()})
    found = grade(path.parent if in_a_folder else path)
    assert {key: (one["system"], one["id"], one["late"]) for key, one in found.items()} == {
        "hoppergrace": ("canvas", "12", True),
        "lovelaceada": ("canvas", "11", False),
        "rossbob": ("canvas", "13", False),
    }
    assert statuses(found["lovelaceada"]) == statuses(found["hoppergrace"]) == RIGHT
    assert "2 notebooks for this lesson: the newest" in found["lovelaceada"]["lessons"]["01"]["notes"][0]
    assert "no notebook among what was handed in" in found["rossbob"]["reason"]


def test_a_zip_of_moodle(tmp_path):
    path = archive(
        tmp_path / "moodle.zip",
        {
            "Ada Lovelace_501_assignsubmission_file/01_patches.ipynb": notebook(),
            "Ada Lovelace_501_assignsubmission_onlinetext/onlinetext.html": b"<p>hello</p>",
            "Ada Lovelace_502_assignsubmission_file_/sub/x.ipynb": notebook(),  # her namesake
            "Bob Ross_503_assignsubmission_file_01_patches.ipynb": notebook(),
            "Eve_504_assignsubmission_file": None,
        },
    )
    found = grade(path)
    assert {key: one["id"] for key, one in found.items()} == {
        **{"Ada-Lovelace": "501", "Ada-Lovelace-502": "502", "Bob-Ross": "503", "Eve": "504"}
    }
    assert all(statuses(found[key]) == RIGHT for key in ("Ada-Lovelace", "Ada-Lovelace-502", "Bob-Ross"))
    assert "nothing was handed in" in found["Eve"]["reason"]


def test_nbgraders_tree(tmp_path):
    tree = {
        "submitted/ada/lesson_01/01_patches.ipynb": notebook(),
        "submitted/ada/lesson_01/timestamp.txt": b"2026-10-13 08:00:00.123456 UTC",
        "submitted/bob/lesson_01/01_patches.ipynb": notebook(),
        "source/lesson_01/01_patches.ipynb": notebook(),
        "autograded/ada/lesson_01/01_patches.ipynb": notebook(),
    }
    hand_in(tmp_path / "course", tree)
    found = grade(tmp_path / "course")
    assert list(found) == ["ada", "bob"] == list(grade(tmp_path / "course" / "submitted"))
    assert found["ada"]["lessons"]["01"]["handed_in"] == "2026-10-13T08:00:00+00:00"


def test_a_zip_with_the_class_in_a_folder(tmp_path):
    path = archive(tmp_path / "class.zip", {"class/ada/a.ipynb": notebook(), "class/bob/a.ipynb": notebook()})
    assert list(grade(path)) == ["ada", "bob"]
    one = archive(tmp_path / "one" / "ada.zip", {"01/a.ipynb": notebook(), "02/b.ipynb": notebook(cells("02"))})
    assert list(grade(one.parent)) == ["ada"]


def test_the_folder_of_grades_is_no_student(tmp_path):
    hand_in(tmp_path, {"ada/a.ipynb": notebook(), "grades/feedback/ada.html": b"<html>"})
    assert list(grade(tmp_path, without=tmp_path / "grades")) == ["ada"]


def test_what_systems_leave_behind_is_nobodys(tmp_path):
    junk = [
        "__MACOSX/ada/._01.ipynb",
        ".DS_Store",
        "ada/.ipynb_checkpoints/01-checkpoint.ipynb",
        "ada/__pycache__/a.pyc",
    ]
    hand_in(tmp_path, {**dict.fromkeys(junk, b"x"), "ada/01.ipynb": notebook()})
    found = grade(tmp_path)
    assert list(found) == ["ada"] and not found["ada"]["notes"] and not found["ada"]["lessons"]["01"]["notes"]


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no"):
        collect(tmp_path / "nothing")
    with pytest.raises(Unreadable, match="no submissions"):
        collect(tmp_path)
    (tmp_path / "cut.zip").write_bytes(packed({"a": b"x" * 1000})[:500])
    with pytest.raises(Unreadable, match="no zip archive, or one that was cut short"):
        collect(tmp_path / "cut.zip")


ABSURD = ["=HYPERLINK(1)", "a\nb", "‮evil", "con", "x" * 250, "日本語", "- -", "a'b\"c", "Ada Lovelace", "ada-lovelace"]


def test_absurd_names_stay_apart_and_make_files(tmp_path):
    hand_in(tmp_path / "in", {f"{name}/01.ipynb": notebook() for name in ABSURD})
    raw = os.fsencode(tmp_path / "in") + b"/\xff\xfe"
    os.mkdir(raw)
    with open(raw + b"/01.ipynb", "wb") as file:
        file.write(notebook())
    os.mkdir(os.fsencode(tmp_path / "in") + b"/\xfe\xff")
    found = grade(tmp_path / "in")
    assert len(found) == len(ABSURD) + 2 == len({key.casefold() for key in found})
    assert sum("01" in one["lessons"] for one in found.values()) == len(ABSURD) + 1
    for key, one in found.items():
        (tmp_path / f"{key}.html").write_text(one["name"], encoding="utf-8")
        json.dumps(one).encode("utf-8")
        assert one["name"].isprintable() and re.fullmatch(r"[\w.-]{1,80}", key)


# --- archives that mean no good ---


def test_paths_that_lead_out_stay_names(tmp_path):
    inside = {"../../bob/01.ipynb": notebook(), "/etc/passwd.ipynb": b"x", "C:\\temp\\x.ipynb": b"x"}
    hand_in(tmp_path, {"ada/work.zip": packed(inside), "bob/01.ipynb": notebook(cells("01", "WRONG"))})
    before = sorted(os.walk(tmp_path))
    found = grade(tmp_path)
    assert list(found) == ["ada", "bob"]
    assert statuses(found["ada"]) == RIGHT and statuses(found["bob"])[0] == "failed"
    assert sorted(os.walk(tmp_path)) == before


def test_links_are_not_followed(tmp_path):
    hand_in(tmp_path / "in", {"bob/01.ipynb": notebook(), "ada": None, "eve": None})
    (tmp_path / "in" / "ada" / "01.ipynb").symlink_to(tmp_path / "in" / "bob" / "01.ipynb")
    (tmp_path / "in" / "eve" / "all").symlink_to(tmp_path / "in")
    linked = zipfile.ZipInfo("01.ipynb")
    linked.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "in" / "zoe.zip", "w") as made:
        made.writestr(linked, "../bob/01.ipynb")
    found = grade(tmp_path / "in")
    assert list(found) == ["ada", "bob", "eve", "zoe"]
    assert all("is a link, which is not followed" in found[key]["reason"] for key in ("ada", "eve", "zoe"))


def test_no_ordinary_file(tmp_path):
    (tmp_path / "ada").mkdir()
    os.mkfifo(tmp_path / "ada" / "01.ipynb")  # reading it would wait for ever
    assert "is no ordinary file" in grade(tmp_path)["ada"]["reason"]


def test_a_bomb_is_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "__defaults__", (10**6,))
    archive(tmp_path / "ada.zip", {"01.ipynb": b" " * 10**8})
    assert "01.ipynb unpacks to more than 0 MB" in grade(tmp_path)["ada"]["reason"]


def test_zips_in_zips_have_an_end(tmp_path):
    inner = packed({"01.ipynb": notebook()})
    for _ in range(4):
        inner = packed({"a.zip": inner})
    hand_in(tmp_path, {"ada/a.zip": inner, "bob/b.zip": packed({"c.zip": packed({"01.ipynb": notebook()})})})
    found = grade(tmp_path)
    assert "a zip archive within zip archives, which is not opened" in found["ada"]["reason"]
    assert statuses(found["bob"]) == RIGHT


def test_a_directory_of_millions_of_names_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_DIRECTORY", 1000)
    hand_in(tmp_path, {"ada/a.zip": packed({f"{i}.ipynb": b"" for i in range(100)})})
    assert "holds too many files" in grade(tmp_path)["ada"]["reason"]


def test_damaged_and_locked_zips(tmp_path):
    whole = packed({"01.ipynb": notebook()})
    at = whole.index(b"cells")
    broken = whole[:at] + b"CELLS" + whole[at + 5 :]  # another checksum
    locked = bytearray(whole)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + place] |= 1
    hand_in(tmp_path, {"a/a.zip": whole[:-30], "b/b.zip": broken, "c/c.zip": bytes(locked), "d/d.zip": b"PK\x03\x04"})
    found = grade(tmp_path)
    assert "is a zip archive that cannot be read" in found["a"]["reason"]
    assert "cannot be unpacked (Bad CRC-32" in found["b"]["reason"]
    assert "01.ipynb is encrypted" in found["c"]["reason"]
    assert "is a zip archive that cannot be read" in found["d"]["reason"]


# --- which notebook counts ---


def test_the_newest_of_several_tries(tmp_path):
    hand_in(tmp_path, {"ada/first.ipynb": notebook(cells("01", "WRONG")), "ada/second.ipynb": notebook()})
    os.utime(tmp_path / "ada" / "first.ipynb", (2e9, 2e9))
    os.utime(tmp_path / "ada" / "second.ipynb", (1e9, 1e9))
    lesson = grade(tmp_path)["ada"]["lessons"]["01"]
    assert lesson["notebook"] == "ada/first.ipynb" and lesson["marks"][0]["status"] == "failed"
    assert lesson["notes"] == [
        "2 notebooks for this lesson: the newest, ada/first.ipynb, was graded, not ada/second.ipynb"
    ]


def test_an_empty_or_broken_newest_does_not_hide_answers(tmp_path):
    hand_in(tmp_path, {"ada/a.ipynb": notebook(), "ada/a (1).ipynb": notebook(cells("01", "", "", "", ""))})
    hand_in(tmp_path, {"bob/a.ipynb": notebook(), "bob/b.ipynb": notebook()[:-20]})
    for name in ("ada/a.ipynb", "bob/a.ipynb"):
        os.utime(tmp_path / name, (1e9, 1e9))
    found = grade(tmp_path)
    assert statuses(found["ada"]) == statuses(found["bob"]) == RIGHT
    assert "the newest, ada/a (1).ipynb, holds no answer" in found["ada"]["lessons"]["01"]["notes"][0]
    assert found["bob"]["notes"] == ["b.ipynb ends in the middle: the upload or the download was cut short"]


def test_a_whole_copy_of_the_course(tmp_path):
    """As it is cloned: all files have one date, and the answers are among them."""
    copies = {"solutions": notebook(), "notebooks": notebook(cells("01", "", "", "", ""))}
    for student in ("ada", "bob/vit"):
        hand_in(tmp_path / student, {f"{folder}/01_patches.ipynb": data for folder, data in copies.items()})
    hand_in(tmp_path, {"bob/vit/work/01_patches.ipynb": notebook(cells("01", "RIGHT", "WRONG"))})
    for path in tmp_path.rglob("*.ipynb"):
        os.utime(path, (1e9, 1e9))
    found = grade(tmp_path)
    assert found["ada"]["lessons"]["01"]["notebook"] == "ada/notebooks/01_patches.ipynb"
    assert found["bob"]["lessons"]["01"]["notebook"] == "bob/vit/work/01_patches.ipynb"


def test_the_lesson_is_known_by_what_is_defined(tmp_path):
    helper = "def num_patches(h, w, p):\n    return 1  # RIGHT"
    hand_in(
        tmp_path,
        {
            "ada/homework final.ipynb": notebook(cells("02")),
            "bob/01_patches.ipynb": notebook(cells("02")),  # saved under another lesson's name
            "eve/02_linear_projection.ipynb": notebook([*cells("02"), helper]),
            "mia/both.ipynb": notebook(cells("01") + cells("02")),
            "zoe/other.ipynb": notebook(["print('hello')"]),
        },
    )
    found = grade(tmp_path)
    lessons = {key: list(one["lessons"]) for key, one in found.items()}
    assert lessons == {"ada": ["02"], "bob": ["02"], "eve": ["02"], "mia": ["01", "02"], "zoe": []}
    assert "no exercise of the course is defined in zoe/other.ipynb" in found["zoe"]["reason"]
    assert "no exercise of lesson 01 is defined in ada/homework final.ipynb" in grade(tmp_path, "01")["ada"]["reason"]
    assert statuses(grade(tmp_path, "01")["eve"]) == ["passed", "missing", "missing", "missing"]


def test_code_in_the_wrong_place_is_said(tmp_path):
    document = json.loads(notebook(cells("01")[:-3]))
    document["cells"].append({"cell_type": "markdown", "metadata": {}, "source": "def unpatchify(x):\n    return x"})
    elsewhere = notebook(["def corrected_pattern():\n    return 'b c'  # RIGHT"])
    hand_in(tmp_path, {"ada/a.ipynb": json.dumps(document).encode(), "ada/b.ipynb": elsewhere})
    os.utime(tmp_path / "ada" / "b.ipynb", (1e9, 1e9))
    notes = grade(tmp_path)["ada"]["lessons"]["01"]["notes"]
    assert "unpatchify stands in a Markdown or raw cell, which is not graded" in notes
    assert "corrected_pattern is not in this notebook, but in ada/b.ipynb" in notes


# --- notebooks in any state ---

SOURCES = cells("01")
OLD = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": ""},
    "worksheets": [{"cells": [{"cell_type": "code", "language": "python", "input": one} for one in SOURCES]}],
}
OUTPUT = {"output_type": "stream", "name": "stdout", "text": "x" * 2**20}
HEAVY = json.loads(notebook())
HEAVY["cells"][1]["outputs"] = [OUTPUT] * 50
SPLIT = [line for cell in SOURCES for line in cell.split("\n\n")]
READABLE = {
    "4.5": notebook(),
    "4.0": notebook(nbformat_minor=0),
    "3": json.dumps(OLD).encode(),
    "2": json.dumps({**OLD, "nbformat": 2}).encode(),
    "sources as lists": notebook([cell.splitlines(keepends=True) for cell in SOURCES]),
    "Colab, without ids or metadata": json.dumps(
        {"cells": [{"cell_type": "code", "source": one} for one in SOURCES], "nbformat": 4}
    ).encode(),
    "byte order mark": codecs.BOM_UTF8 + notebook(),
    "UTF-16": notebook().decode().encode("utf-16"),
    "UTF-16 without a mark": notebook().decode().encode("utf-16-le"),
    "Latin-1": notebook([*SOURCES, "# Übung"]).replace(b"\\u00dc", b"\xdc"),
    "CRLF in the file": notebook().replace(b", ", b",\r\n "),
    "CRLF in the code": notebook([cell.replace("\n", "\r\n") for cell in SOURCES]),
    "50 MB of outputs": json.dumps(HEAVY).encode(),
    "merged": notebook(["\n".join(SOURCES)]),
    "split": notebook(SPLIT),
    "reordered": notebook(SOURCES[::-1]),
    "duplicated": notebook(SOURCES * 2),
    "magics": notebook(["%matplotlib inline", "!pip install x", "%%time\nx = 1", *SOURCES]),
    "half a surrogate": notebook([*SOURCES, "x = '\ud800'"]),
    "cells of other kinds": notebook([*SOURCES, None, 7, {"a": 1}]),
    "line breaks within strings": notebook().replace(b"\\n", b"\n"),
    "odd ends of lines": notebook([*SOURCES, "x = 'a\u2028b\x0cc'"]),
    "a script under this name": "\n".join(SOURCES).encode(),
}


@pytest.mark.parametrize("state", READABLE)
def test_notebooks_in_any_state_are_graded(tmp_path, state):
    hand_in(tmp_path, {"ada/01_patches.ipynb": READABLE[state]})
    assert statuses(grade(tmp_path)["ada"]) == RIGHT


@pytest.mark.parametrize("name", ["01.ipynb.txt", "01.ipynb.json", "01.IPYNB", "01.ipynb_", "01.json", "01.py"])
def test_under_any_name(tmp_path, name):
    data = "\n\n# In[1]:\n\n".join(SOURCES).encode() if name.endswith(".py") else notebook()
    hand_in(tmp_path, {f"ada/{name}": data})
    assert statuses(grade(tmp_path)["ada"]) == RIGHT


def test_a_script_that_is_wrong_in_one_place_loses_one_cell_only():
    script = b"# In[1]:\nimport torch\n# In[ ]:\ndef broken(:\n# %%\ndef patchify(): pass\n"
    assert len(read_cells(script, "01.py").code) == 4


UNREADABLE = {
    "empty": (b"", "is empty: the upload seems to have failed"),
    "zeros": (b"\0" * 5000, "is empty"),
    "PDF": (b"%PDF-1.7 ...", "is a PDF and not a notebook"),
    "zip": (packed({"a": b"b"}), "is a zip archive (or an Office document)"),
    "web page": (b"<!DOCTYPE html><html>", "is a web page and not a notebook: save it with"),
    "cut short": (notebook()[:-50], "ends in the middle"),
    "cut within a string": (notebook()[:300], "ends in the middle"),
    "broken": (notebook().replace(b"cell_type", b'cell"type', 1), "its JSON is broken in line 1"),
    "words": (b"I could not do it, sorry.", "is no notebook"),
    "conflict": (b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> main\n", "marks of a git conflict"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of git LFS"),
    "a list": (b"[1, 2]", "is JSON, but no notebook"),
    "progress": (b'{"patchify": {"passed": true}}', "is JSON, but no notebook: it has no cells"),
    "no code": (notebook([]), "a notebook without any code cell"),
    "cells that are none": (b'{"cells": 7, "nbformat": 4}', "it has no cells"),
    "deep": (b"[" * 100_000, "nested thousands of levels deep"),
    "a long number": (b'{"cells": ' + b"9" * 10_000 + b"}", "is"),
    "much code": (notebook(["x = 1\n" * 500_000]), "more than 2 MB of code"),
    "memory bomb": (b'{"cells": [' + b"[]," * 11_000_000 + b"[]]}", "holds too many values"),
}


@pytest.mark.parametrize("state", UNREADABLE)
def test_what_cannot_be_graded_says_why(tmp_path, state):
    data, why = UNREADABLE[state]
    hand_in(tmp_path, {"ada/01_patches.ipynb": data, "bob/01_patches.ipynb": notebook()})
    found = grade(tmp_path)
    assert why in found["ada"]["reason"] and found["ada"]["lessons"] == {}
    assert statuses(found["bob"]) == RIGHT


def test_no_notebook_but_something_else(tmp_path):
    hand_in(tmp_path, {"ada/essay.docx": b"PK\x03\x04", "ada/photo.jpg": b"\xff\xd8\xff"})
    assert grade(tmp_path)["ada"]["reason"] == "no notebook among what was handed in: essay.docx, photo.jpg"


def test_a_file_that_cannot_be_opened(tmp_path):
    hand_in(tmp_path, {"ada/01.ipynb": notebook()})
    file = next(iter(files_under(tmp_path)))
    (tmp_path / "ada" / "01.ipynb").unlink()  # between listing and reading
    with pytest.raises(Unreadable, match="cannot be opened"):
        read(file)
