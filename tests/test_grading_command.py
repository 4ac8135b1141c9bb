"""`vit-course grade` from the outside: what is written, what is resumed, what stops it."""

import argparse
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import grading_stand_in as stand_in
import pytest
from grading_stand_in import StandIn, cells, hand_in, notebook
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vit_course.grading import arguments, command, pages, pictures, pool
from vit_course.grading.collect import collect
from vit_course.grading.submission import Task

TESTS = Path(__file__).parent
CLASS = {
    "ada/01.ipynb": notebook(),
    "bob/01.ipynb": notebook(cells("01", "RIGHT", "WRONG", "ERROR")),
    "eve/01.ipynb": notebook(cells("01", "WRONG", "WRONG")),
    "zoe/01.ipynb": b"%PDF",
    "empty": None,
}


def grade(*given):
    """The exit status of the command, with the stand-in."""
    parser = argparse.ArgumentParser()
    arguments.add(parser)
    return command.main(parser.parse_args(list(map(str, given))), marker=StandIn)


@pytest.fixture
def here(monkeypatch):
    """Without processes, which take their time to start."""
    monkeypatch.setattr(command, "records", in_this_process)


def in_this_process(work, students, kept, jobs):
    hands = pool.Hands(work)
    for index, student in enumerate(students):
        try:
            yield index, hands.record(student, kept[index])
        except pool.NoMarker as error:
            raise error.args[0] from error


def written(out):
    """Every result, as bytes; the records apart."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.relative_to(out).parts[0] != "records"
    }


def points(out):
    found = json.loads((out / "grades.json").read_text(encoding="utf-8"))
    return {one["student"]: one["points"] for one in found["grades"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A class, graded in one go with seed 7: (submissions, results)."""
    folder = tmp_path_factory.mktemp("class")
    hand_in(folder / "in", CLASS)
    assert grade(folder / "in", "--out", folder / "out", "--seed", 7, "--jobs", 1) == 0
    return folder / "in", folder / "out"


def test_everything_is_written(whole):
    files = written(whole[1])
    names = ["ada", "bob", "empty", "eve", "zoe"]
    assert list(files) == ["class.html", *(f"feedback/{name}.html" for name in names), "grades.csv", "grades.json"]
    assert points(whole[1]) == {"ada": 7, "bob": 1, "empty": None, "eve": 0, "zoe": None}
    facts = json.loads(files["grades.json"])
    assert facts["seed"] == 7 and facts["course"].startswith("vit-course 0.1.0 (") and "PyTorch" in facts["course"]
    assert facts["protections"] == {"network": ["no network"]}
    assert not [path for path in whole[1].rglob(".*")]


def test_shards_merged_are_the_same_to_the_byte(whole, tmp_path, capsys, here):
    for part in (1, 2):
        assert grade(whole[0], "--out", tmp_path / f"{part}", "--seed", 7, "--shard", f"{part}/2", "--jobs", 1) == 0
        assert not (tmp_path / f"{part}" / "grades.csv").exists()
    capsys.readouterr()
    assert grade(whole[0], "--out", tmp_path / "all", "--merge", tmp_path / "1", tmp_path / "2", "--jobs", 1) == 0
    assert "5 of 5 were graded before" in capsys.readouterr().out
    assert written(tmp_path / "all") == written(whole[1])


def test_what_is_done_is_not_done_again(whole, tmp_path, monkeypatch, capsys, here):
    """The second run makes no marker at all; a changed notebook is graded anew, and a student who is gone is gone."""
    hand_in(tmp_path / "in", CLASS)
    for path in (tmp_path / "in").rglob("*.ipynb"):
        os.utime(path, (1e9, 1e9))
    run = (tmp_path / "in", "--out", tmp_path / "out", "--jobs", 1)
    assert grade(*run, "--seed", 7) == 0
    first = written(tmp_path / "out")

    with monkeypatch.context() as patch:
        patch.setattr(StandIn, "__init__", None)
        assert grade(*run) == 0  # the seed is that of the run before
    assert written(tmp_path / "out") == first

    (tmp_path / "in" / "eve" / "01.ipynb").write_bytes(notebook())
    (tmp_path / "in" / "empty").rmdir()
    capsys.readouterr()
    assert grade(*run) == 0
    said = capsys.readouterr().out
    assert "3 of 4 were graded before and have not changed since" in said
    assert "eve, lesson 01: 0 → 7 (num_patches: failed → passed; patchify: failed → passed" in said
    assert "eve,01,0,7" in (tmp_path / "out" / "changes.csv").read_text(encoding="utf-8")
    assert "feedback/empty.html" not in written(tmp_path / "out")
    assert points(tmp_path / "out")["ada"] == 7


def test_another_version_of_the_course_grades_anew(tmp_path, monkeypatch, capsys, here):
    hand_in(tmp_path / "in", CLASS)
    run = (tmp_path / "in", "--out", tmp_path / "out")
    assert grade(*run) == 0
    monkeypatch.setattr(command, "version", lambda: "vit-course 0.2.0")
    right = StandIn._one

    def mended(self, name, cells):
        mark = right(self, name, cells)
        return stand_in.Mark(name, "passed") if mark.status == "error" else mark

    monkeypatch.setattr(StandIn, "_one", mended)
    capsys.readouterr()
    assert grade(*run) == 0
    said = capsys.readouterr().out
    assert "were graded before" not in said
    assert "Other points than before (vit-course 0.1.0 (" in said
    assert "bob, lesson 01: 1 → 3 (unpatchify: error → passed)" in said


def test_a_damaged_record_is_made_again(tmp_path, monkeypatch, here):
    hand_in(tmp_path / "in", CLASS)
    run = (tmp_path / "in", "--out", tmp_path / "out", "--seed", 1)
    assert grade(*run) == 0
    first = written(tmp_path / "out")
    for name, text in (("ada", "{"), ("bob", "[]"), ("eve", "\xff"), ("run", "nonsense")):
        (tmp_path / "out" / "records" / f"{name}.json").write_bytes(text.encode("latin-1"))
    assert grade(*run) == 0
    assert written(tmp_path / "out") == first


def test_one_lesson(tmp_path, monkeypatch, capsys, here):
    hand_in(
        tmp_path / "in",
        {"ada/a.ipynb": notebook(), "ada/b.ipynb": notebook(cells("02")), "bob/b.ipynb": notebook(cells("02"))},
    )
    assert grade(tmp_path / "in", "--out", tmp_path / "out", "--lesson", "1") == 0
    assert points(tmp_path / "out") == {"ada": 7, "bob": None}
    assert "bob: no exercise of lesson 01 is defined in bob/b.ipynb" in capsys.readouterr().out
    assert grade(tmp_path / "in", "--out", tmp_path / "all") == 0
    found = json.loads((tmp_path / "all" / "grades.json").read_text())["grades"]
    assert [(one["student"], one["lesson"]) for one in found] == [("ada", "01"), ("ada", "02"), ("bob", "02")]
    assert grade(tmp_path / "in", "--lesson", "77") == 1
    assert "There is no lesson '77' with exercises" in capsys.readouterr().err


def test_gradebooks(tmp_path, monkeypatch, capsys, here):
    hand_in(tmp_path / "in", CLASS)
    (tmp_path / "g.csv").write_text(
        'Student,ID,Section,Lesson 1 (5)\n    Points Possible,,,7\n"A, Ada",1,x,\n"Ada",2,x,\n'
    )
    (tmp_path / "m.csv").write_text(
        "Identifier,Full name,Grade,Maximum Grade,Last modified (grade)\nParticipant 1,Bob,,10,-\n"
    )
    run = (
        tmp_path / "in",
        "--out",
        tmp_path / "out",
        "--for",
        "canvas",
        tmp_path / "g.csv",
        "--for",
        "moodle",
        tmp_path / "m.csv",
    )
    assert grade(*run) == 0
    said = capsys.readouterr().out
    assert "canvas.csv: 1 students; import it into Canvas." in said and "No line there for: bob, eve" in said
    assert (tmp_path / "out" / "canvas.csv").read_text().splitlines()[-1] == "Ada,2,x,7"
    assert "Participant 1,Bob,1.43,10,-" in (tmp_path / "out" / "moodle.csv").read_text()


STOPS = {
    "no such folder": (["nothing"], "There is no .*nothing"),
    "gradebook": (["in", "--for", "canvas", "none.csv"], "none.csv cannot be read"),
    "system": (["in", "--for", "sakai", "none.csv"], "--for takes canvas or moodle"),
    "shard": (["in", "--shard", "3/2", "--seed", "1"], "--shard takes K/N"),
    "shard without a seed": (["in", "--shard", "1/2"], "Give --seed with --shard"),
    "jobs": (["in", "--jobs", "-1"], "--jobs must be 1 or more"),
    "settings": (["in", "--settings", "none.toml"], "none.toml cannot be read"),
}


@pytest.mark.parametrize("case", STOPS)
def test_what_stops_it_says_what_to_do(tmp_path, monkeypatch, capsys, case):
    hand_in(tmp_path / "in", {"ada/a.ipynb": notebook()})
    monkeypatch.chdir(tmp_path)
    given_, text = STOPS[case]
    assert grade(*given_) == 1
    assert re.search(text, capsys.readouterr().err)
    assert not (tmp_path / "grades").exists()


def test_parts_of_different_seeds_do_not_fit(tmp_path, monkeypatch, capsys, here):
    hand_in(tmp_path / "in", CLASS)
    for part in (1, 2):
        assert grade(tmp_path / "in", "--out", tmp_path / f"{part}", "--seed", part, "--shard", f"{part}/2") == 0
    assert grade(tmp_path / "in", "--out", tmp_path / "all", "--merge", tmp_path / "1", tmp_path / "2") == 1
    assert "different seeds (1, 2)" in capsys.readouterr().err


def test_without_bubblewrap_only_if_allowed(tmp_path, monkeypatch, capsys, here):
    monkeypatch.setenv("STAND_IN_UNPROTECTED", "1")
    hand_in(tmp_path / "in", CLASS)
    assert grade(tmp_path / "in", "--out", tmp_path / "out") == 1
    assert "--allow-unprotected goes on without it" in capsys.readouterr().err
    assert not (tmp_path / "out" / "grades.csv").exists()
    assert grade(tmp_path / "in", "--out", tmp_path / "out", "--allow-unprotected") == 0
    assert "NOT protected in this run:\n  code could read files" in capsys.readouterr().out
    assert "code could read files" in (tmp_path / "out" / "class.html").read_text()


def test_a_grader_that_cannot_work_gives_no_grades(tmp_path, monkeypatch, capsys, here):
    def broken(self, **_):
        raise OSError("no memory for a worker")

    monkeypatch.setattr(StandIn, "__init__", broken)
    hand_in(tmp_path / "in", CLASS)
    assert grade(tmp_path / "in", "--out", tmp_path / "out") == 1
    assert "The grader cannot work here: OSError: no memory for a worker" in capsys.readouterr().err
    assert not (tmp_path / "out" / "grades.csv").exists()


def test_a_full_disk_or_a_folder_that_cannot_be_made(tmp_path, capsys):
    hand_in(tmp_path / "in", CLASS)
    (tmp_path / "out").write_text("a file")
    assert grade(tmp_path / "in", "--out", tmp_path / "out") == 1
    assert "out" in capsys.readouterr().err


# --- processes ---


def test_the_stand_in_marks_as_the_marker_does():
    from vit_course.grading.marking import STATUSES, Mark

    assert [field.name for field in dataclasses.fields(stand_in.Mark)] == [
        field.name for field in dataclasses.fields(Mark)
    ]
    assert set(STATUSES) == set(pictures.STATUSES) == set(pages._TITLES)


def work(**changes):
    task = Task(stand_in.NAMES, "", 1, "test")
    return pool.Work(task, marker=StandIn, **changes)


def test_a_process_that_dies_or_hangs_costs_its_submission_only(tmp_path):
    words = {"a": "RIGHT", "b": "DIE", "c": "RIGHT", "d": "BREAK", "e": "HANG", "f": "RIGHT"}
    hand_in(tmp_path, {f"{key}/a.ipynb": notebook(cells("01", word)) for key, word in words.items()})
    students = collect(tmp_path)
    found = dict(pool.records(work(longest=10.0), students, [[]] * 6, 2))
    assert len(found) == 6
    why = {students[index].key: record["reason"] for index, record in found.items()}
    assert why["a"] == why["c"] == why["f"] == ""
    assert why["b"] == "this submission ended the process that graded it, twice: look at it by hand"
    assert why["d"].startswith("the grader failed on this submission (RuntimeError: the marker itself)")
    assert why["e"] == "this submission took too long: look at it by hand"
    assert all(record["stamp"] == "" for index, record in found.items() if why[students[index].key])  # tried again


RUN = """
import sys
sys.path.insert(0, {tests!r})
import test_grading_command as t
if __name__ == "__main__":
    sys.exit(t.grade(*sys.argv[1:]))
"""


def test_ctrl_c_keeps_what_is_done(tmp_path):
    hand_in(tmp_path / "in", {"ada/a.ipynb": notebook(), "bob/a.ipynb": notebook(cells("01", "HANG"))})
    script = tmp_path / "run.py"
    script.write_text(RUN.format(tests=str(TESTS)))
    command_ = [
        sys.executable,
        str(script),
        str(tmp_path / "in"),
        "--out",
        str(tmp_path / "out"),
        "--seed",
        "1",
        "--jobs",
        "1",
    ]
    process = subprocess.Popen(
        command_,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore Ctrl-C
    )
    record = tmp_path / "out" / "records" / "ada.json"
    while not record.exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Interrupted. What is graded is kept" in said and "Traceback" not in said
    assert json.loads(record.read_text())["stamp"] and not (tmp_path / "out" / "grades.csv").exists()


# --- with the marker itself ---


def test_a_class_for_real(tmp_path, capsys):
    """Notebooks as the course hands them out; two ways to run, the same results to the byte."""
    from vit_course.authoring import SOLUTIONS
    from vit_course.cli import main

    solved = json.loads((SOLUTIONS / "01_patches.ipynb").read_text(encoding="utf-8"))
    blank = (SOLUTIONS.parent / "notebooks" / "01_patches.ipynb").read_bytes()
    wrong = json.loads(json.dumps(solved))
    by_id = {cell["id"]: cell for cell in wrong["cells"]}
    by_id["ex-patchify"]["source"] = (
        "def patchify(images, patch_size):\n    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])"
    )
    by_id["ex-unpatchify"]["source"] = "import os\ndef unpatchify(*_):\n    os._exit(0)"
    by_id["ex-num_patches"]["source"] = "from vit_course.patches import num_patches"
    handed = {"ada": json.dumps(solved).encode(), "bob": json.dumps(wrong).encode(), "eve": blank, "zoe": b"%PDF"}
    hand_in(tmp_path / "in", {f"{name}/01_patches.ipynb": data for name, data in handed.items()})
    run = ["grade", str(tmp_path / "in"), "--lesson", "01", "--seed", "3", "--allow-unprotected"]
    assert main([*run, "--out", str(tmp_path / "one"), "--jobs", "1"]) == 0
    assert "1 × patchify: reshape-only" in capsys.readouterr().out
    assert points(tmp_path / "one") == {"ada": 7, "bob": 1, "eve": 0, "zoe": None}
    found = json.loads((tmp_path / "one" / "grades.json").read_text(encoding="utf-8"))["grades"]
    bob = {mark["exercise"]: mark["status"] for mark in found[1]["marks"]}
    assert bob["patchify"] == "failed" and bob["corrected_pattern"] == "passed" and bob["unpatchify"] == "error"
    assert bob["num_patches"] in ("refused", "missing")
    assert {mark["status"] for mark in found[2]["marks"]} == {"unattempted"}

    assert main([*run, "--out", str(tmp_path / "two"), "--jobs", "2"]) == 0
    assert written(tmp_path / "two") == written(tmp_path / "one")


# --- a class of anything ---

PIECES = {
    "right": notebook(),
    "partly": notebook(cells("01", "RIGHT", "WRONG", "ERROR", "")),
    "blank": notebook(cells("01", "", "", "", "")),
    "breaks": notebook(cells("01", "BREAK")),
    "evil": notebook([*cells("01", "RIGHT"), "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "\x00" * 9, "(" * 300]),
    "other lesson": notebook(cells("02")),
    "nothing in it": notebook(["1 + 1"]),
    "PDF": b"%PDF-1.4",
    "empty": b"",
    "cut": notebook()[:200],
    "deep": b"[" * 20_000,
    "bytes": bytes(range(256)),
}
GOOD = {"right": 7, "partly": 1, "blank": 0}
NAMES = st.text(st.characters(blacklist_characters="/\x00", blacklist_categories=("Cs",)), min_size=1, max_size=12)
SUBMISSION = st.lists(
    st.tuples(st.sampled_from(["a.ipynb", "b (1).ipynb", "x.py", "notes.txt"]), st.sampled_from(list(PIECES))),
    max_size=3,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        NAMES.filter(lambda name: name not in (".", "..") and not name.startswith(".")),
        SUBMISSION,
        min_size=1,
        max_size=6,
    )
)
def test_one_row_for_each_and_neighbours_change_nothing(tmp_path_factory, handed):
    """Whatever stands beside it, a good submission has its grade; and everyone has a row."""
    folder = tmp_path_factory.mktemp("any")
    known = {"known good": [("a.ipynb", "right")], "known half": [("a.ipynb", "partly")]}
    for student, files in {**handed, **known}.items():
        (folder / "in" / student).mkdir(parents=True, exist_ok=True)
        for name, piece in files:
            (folder / "in" / student / name).write_bytes(PIECES[piece])
    folders = [path for path in (folder / "in").iterdir()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "records", in_this_process)
        assert grade(folder / "in", "--out", folder / "out", "--seed", 1, "--lesson", "01") == 0
    found = json.loads((folder / "out" / "grades.json").read_text(encoding="utf-8"))["grades"]
    assert len(found) == len(folders) == len(list((folder / "out" / "feedback").iterdir()))
    by_name = {one["student"]: one["points"] for one in found}
    assert by_name["known-good"] == 7 and by_name["known-half"] == 1
    for one in found:
        assert one["graded"] == (one["points"] is not None) and (one["graded"] or one["note"])
    for student, files in handed.items():
        if len(files) == 1 and files[0][1] in GOOD and files[0][0].endswith(".ipynb"):
            rows = [one for one in found if one["notebook"] == f"{student}/{files[0][0]}"]
            assert [one["points"] for one in rows] == [GOOD[files[0][1]]] * len(rows)
