"""What is made of the records: points, tables, pages, gradebooks to import."""

import csv
import dataclasses
import datetime
import html.parser
import io
import json

import pytest
from grading_stand_in import NAMES, StandIn, cells, hand_in, notebook

from vit_course.grading import canvas, grades, moodle, output, pages
from vit_course.grading.collect import collect
from vit_course.grading.gradebooks import GradebookError
from vit_course.grading.settings import Settings, SettingsError, read_settings
from vit_course.grading.submission import Task, graded

POINTS = {
    "num_patches": 1,
    "patchify": 3,
    "unpatchify": 2,
    "corrected_pattern": 1,
    "PatchEmbedding": 3,
    "linear_to_conv": 2,
}
LESSONS = {name: lesson for lesson, names in NAMES.items() for name in names}
EVIL = "<img src=x onerror=alert(1)>"


def rows(folder, files, settings=None, lesson=""):
    """Rows of a class, by the stand-in."""
    hand_in(folder, files)
    task, marker = Task(NAMES, lesson, 1, "test"), StandIn(seed=1)
    records = [graded(one, task, lambda: marker) for one in collect(folder)]
    return grades.rows(records, POINTS, settings or Settings(), lesson=lesson)


@pytest.fixture
def school(tmp_path):
    """A small class."""
    return rows(
        tmp_path / "in",
        {
            "ada/01.ipynb": notebook(),
            "bob/01.ipynb": notebook(cells("01", "RIGHT PUBLISHED", "WRONG", "ERROR")),
            "eve/01.ipynb": notebook(cells("01", "WRONG", "WRONG")[:-2]),
            f"{EVIL.replace('/', '')}/01.ipynb": notebook(cells("01", "", "", "", "")),
            "zoe/01.ipynb": b"%PDF",
        },
        lesson="01",
    )


def lines(text):
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


# --- points ---


def test_points_for_each_exercise(school):
    assert {row.student: row.points for row in school} == {
        **{"ada": 7, "bob": 1, "eve": 0, "img-src-x-onerror-alert-1": 0, "zoe": None}
    }
    assert [row.out_of for row in school if row.graded] == [7] * 4
    assert not school[-1].graded and school[-1].note == "01.ipynb is a PDF and not a notebook"


def test_points_and_due_dates_by_a_file(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(
        '[points]\npatchify = 5.5\n[due]\n"01" = 2026-10-12T23:59:00+02:00\n"02" = 2026-10-19\n'
        '[late]\npercent_per_day = 10\nat_most = 50\n[columns]\n"01" = "Homework"\n'
    )
    settings = read_settings(path, LESSONS)
    assert settings.days_late("01", "2026-10-12T21:59:00+00:00") == 0
    assert settings.days_late("01", "2026-10-12T22:00:00+00:00") == 1
    assert settings.days_late("01", "2026-10-30T00:00:00+02:00") == 18 and settings.share_kept(18) == 0.5
    assert settings.days_late("02", "2026-10-19T23:59:59") == 0 and settings.days_late("02", "2026-10-20T00:00:00") == 1
    assert settings.days_late("02", "") == settings.days_late("03", "2026-10-20T00:00:00") == 0
    late = {
        "submitted/ada/lesson_01/01.ipynb": notebook(),
        "submitted/ada/lesson_01/timestamp.txt": b"2026-10-14 08:00:00 Europe/Berlin",
    }
    (row,) = rows(tmp_path / "in", late, settings)
    assert (row.points, row.out_of, row.late, row.taken_off) == (7.6, 9.5, 2, 1.9)
    assert "It came 2 days late, which took off 1.9 points" in pages.feedback([row], POINTS | {"patchify": 5.5}, "v")


def test_what_canvas_calls_late_is_said_and_costs_nothing(tmp_path):
    (row,) = rows(tmp_path / "in", {"lovelaceada_LATE_11_101_a.ipynb": notebook()})
    assert (row.points, row.late, row.lateness) == (7, 0, "yes")
    assert next(iter(lines(output.grades_csv([row], POINTS))))["late"] == "yes"
    assert "late" not in pages.feedback([row], POINTS, "v").partition("</style>")[2]


def test_a_time_without_an_offset_is_local():
    due = datetime.datetime(2026, 10, 12, 12, 0, tzinfo=datetime.timezone.utc)
    here = due.astimezone().replace(tzinfo=None)
    settings = Settings(due={"01": due})
    assert settings.days_late("01", here.isoformat()) == 0
    assert settings.days_late("01", (here + datetime.timedelta(minutes=1)).isoformat()) == 1


WRONG_SETTINGS = {
    "[points]\npachify = 1": "names 'pachify', which is no exercise",
    "[points]\npatchify = -1": "a number from 0 up",
    "[points]\npatchify = true": "a number from 0 up",
    "[points]\npatchify = nan": "a number from 0 up",
    "[points\n": "is no valid TOML",
    "[point]\npatchify = 1": "there is no table \\[point\\]",
    "points = 3": "there is no table",
    '[due]\n"01" = "Monday"': "write a date without quotes",
    '[due]\n"55" = 2026-10-12': "names lesson '55'",
    "[late]\npercent_per_day = 200": "from 0 to 100",
    "[late]\npercent = 10": "has percent_per_day and at_most",
    '[columns]\n"01" = 7': "write its title in quotes",
}


@pytest.mark.parametrize("text", WRONG_SETTINGS)
def test_settings_that_are_wrong_say_where(tmp_path, text):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=WRONG_SETTINGS[text]):
        read_settings(path, LESSONS)


def test_no_settings(tmp_path):
    assert read_settings(None, LESSONS) == Settings()
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path / "none.toml", LESSONS)
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(SettingsError, match="no valid TOML"):
        read_settings(tmp_path / "latin.toml", LESSONS)


# --- the class ---


def test_what_a_class_got_wrong(school):
    exercises = grades.by_exercise(school)
    assert [one.share_right for one in exercises] == sorted(one.share_right for one in exercises)
    patchify = next(one for one in exercises if one.name == "patchify")
    assert patchify.counts == {"failed": 2, "passed": 1, "unattempted": 1}
    assert [one[:2] + one[3:] for one in grades.misconceptions(school)] == [
        ("patchify", "only-reshapes", 2),
        ("num_patches", "only-reshapes", 1),
    ]
    assert grades.middle(school) == (pytest.approx((1 + 1 / 7) / 4), pytest.approx(1 / 14))
    assert grades.middle([]) == (0.0, 0.0)


def test_remarks_are_for_the_instructor(tmp_path):
    made = rows(
        tmp_path / "in",
        {
            "ada/a.ipynb": notebook(cells("01", "RIGHT PUBLISHED")),
            "bob/b.ipynb": notebook(),
            "eve/b.ipynb": notebook(),
            "u/b.ipynb": notebook(cells("01", "", "", "", "")),  # two untouched notebooks are the same file: no news
            "v/b.ipynb": notebook(cells("01", "", "", "", "")),
        },
    )
    told = [(row.student, name, what) for row, name, what in grades.remarks(made)]
    assert told == [
        ("ada", "num_patches", "is the published reference"),
        ("bob", "", "the same file as eve"),
        ("eve", "", "the same file as bob"),
    ]
    for row in made:
        page = pages.feedback([row], POINTS, "v")
        assert "published" not in page and "same file" not in page


def test_whose_points_changed(tmp_path, school):
    before = json.loads(output.grades_json(school, {"course": "old"}))
    assert grades.changes(before, school) == []
    for one in before["grades"]:
        if one["student"] == "ada":
            one["points"], one["marks"][1]["status"] = 4, "failed"
    (changed,) = grades.changes(before, school)
    assert changed == {**{"student": "ada", "lesson": "01", "before": 4, "now": 7, "why": "patchify: failed → passed"}}
    assert grades.changes({}, school) == []


# --- tables ---


def test_a_table_for_spreadsheets(school):
    text = output.grades_csv(school, POINTS)
    made = {line["student"]: line for line in lines(text)}
    assert made["ada"]["points"] == "7" and made["ada"]["percent"] == "100" and made["ada"]["status"] == "graded"
    bob = made["bob"]
    assert [bob[name] for name in NAMES["01"]] == ["1", "0", "0", "0"] and "PatchEmbedding" not in bob
    assert bob["for the instructor"] == "num_patches: is the published reference"
    assert made["eve"]["note"] == "not in the notebook: corrected_pattern"
    zoe = made["zoe"]
    assert (zoe["points"], zoe["out of"], zoe["percent"], zoe["status"]) == ("", "", "", "not graded")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x", "  =1", "＝1"])
def test_no_cell_is_a_formula(tmp_path, name):
    (row,) = rows(tmp_path / "in", {f"{name}/{name}.ipynb": notebook()})
    cells_ = next(iter(lines(output.grades_csv([row], POINTS)))).values()
    assert f"'{row.name}" in cells_
    assert not [cell for cell in cells_ if cell.lstrip(" ").startswith(("=", "+", "-", "@", "＝"))]


def test_everything_for_programs(school):
    found = json.loads(output.grades_json(school, {"course": "v", "seed": 1}))
    assert found["course"] == "v" and len(found["grades"]) == 5
    ada = found["grades"][0]
    assert ada["points"] == 7 and [mark["status"] for mark in ada["marks"]] == ["passed"] * 4
    assert found["grades"][-1]["points"] is None


def test_the_summary(school):
    text = output.summary(school, {"files": ["missing: code could read files"], "network": ["no network"]})
    assert "4 graded, 1 not. Mean 29% of the points, median 7%." in text
    assert "zoe: 01.ipynb is a PDF and not a notebook" in text and "2 × patchify: only-reshapes" in text
    assert "NOT protected in this run:\n  code could read files" in text
    assert "NOT protected" not in output.summary(school, {"network": ["no network"]})
    assert "0 graded, 1 not" in output.summary(school[-1:], {})


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (2.5, "2.5"), (0.0, "0"), (1 / 3, "0.33"), (10, "10"), (None, "")]
)
def test_numbers(value, text):
    assert output.number(value) == text


# --- pages ---


class _Parsed(html.parser.HTMLParser):
    """Tags and attributes; whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def _looked_at(text):
    """A page stands alone, runs nothing and is whole."""
    parsed = _Parsed(text)
    assert not parsed.open
    assert not {"script", "img", "iframe", "link", "object", "form"} & set(parsed.tags)
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name == "src"]
    return " ".join("".join(parsed.words).split())


def test_feedback_is_whole_escaped_and_says_what_the_card_says(school):
    pages_ = {row.student: _looked_at(pages.feedback([row], POINTS, "vit-course 0.1.0")) for row in school}
    assert "All of it is right." in pages_["ada"] and "7 of 7 points" in pages_["ada"]
    assert "The shape is right, but reshape alone cuts <b>." in pages_["bob"]
    assert "ValueError: <script>alert(1)</script>" in pages_["bob"] and 'hint("patchify")' in pages_["bob"]
    assert "corrected_pattern: not in your notebook (0 of 1)" in pages_["eve"]
    assert "could not be graded: 01.ipynb is a PDF and not a notebook. That is not a mark of 0." in " ".join(
        pages_["zoe"].replace("notebook.That", "notebook. That").split()
    )
    assert EVIL in next(text for name, text in pages_.items() if name.startswith("img"))
    for name, text in pages_.items():  # nobody else's name
        assert not [other for other in ("ada", "bob", "zoe") if other != name and f" {other} " in text]


def test_the_class_page(school):
    protections = {"files": ["missing: code could read files"], "network": ["Code had no network."]}
    page = pages.class_page(school, course="vit-course 0.1.0", protections=protections)
    text = _looked_at(page)
    assert "code could read files" in text and "Code had no network." in text
    assert "01.ipynb is a PDF and not a notebook" in text and EVIL in text
    assert page.count("<svg") == 3 and page.count('role="img" aria-label=') == 3
    assert "0–9 %: 2, 10–19 %: 1, 100 %: 1" in page
    assert 'href="feedback/ada.html"' in page


def test_a_class_of_nothing(school):
    assert "not graded" in _looked_at(pages.class_page(school[-1:], course="v", protections={}))


def test_odd_characters_break_no_page(school):
    mark = {"exercise": "patchify", "status": "error", "message": "\x00\x1b[31m‮\ud800 `a\n`", "mistake": None}
    row = dataclasses.replace(school[0], marks=[mark])
    page = pages.feedback([row], POINTS, "v")
    page.encode("utf-8")
    assert not {"\x00", "\x1b", "‮"} & set(page)


# --- gradebooks ---

CANVAS = """\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Lesson 01: Patches (501),Lesson 02 (502),Final Score
,,,,,Manual Posting,,
    Points Possible,,,,,14,10,(read only)
"Lovelace, Ada",11,s1,ada,"A, B",,3,
"Hopper, Grace",12,s2,ghopper,A,2,,
"Ross, Bob",13,s3,bob,A,EX,,
"Noether, Emmy",14,s4,emmy@uni.edu,A,,,
"Namesake, Ann",15,s5,a1,A,,,
"Namesake, Ann",16,s6,a2,A,,,
"Student, Test",99,,f00,A,,,
"""


def filled_canvas(tmp_path, files, text=CANVAS, columns=None):
    path = tmp_path / "gradebook.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return canvas.fill(rows(tmp_path / "in", files), path, columns or {})


def test_canvas(tmp_path):
    done = filled_canvas(
        tmp_path,
        {
            "lovelaceada_11_101_a.ipynb": notebook(),
            "hoppergrace_12_102_a.ipynb": notebook(cells("01", "RIGHT", "WRONG")),
            "rossbob_13_103_a.ipynb": notebook(),
            "somebodyelse_77_104_a.ipynb": notebook(),
        },
    )
    assert done.text.startswith("\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,Lesson 01: Patches (501)\r\n")
    found = {line["ID"]: line["Lesson 01: Patches (501)"] for line in lines(done.text)}
    assert found == {"": "14", "11": "14", "12": "2", "13": "EX", "14": "", "15": "", "16": "", "99": ""}
    assert "    Points Possible,,,,,14" in done.text and ",,,,,Manual Posting" in done.text
    assert (done.matched, done.unmatched) == (2, ("somebodyelse",))
    assert done.notes == ("scaled from 7 points to the 14 of Canvas",)


def test_canvas_without_its_ids(tmp_path):
    done = filled_canvas(
        tmp_path,
        {f"{name}/a.ipynb": notebook() for name in ("ada", "Grace Hopper", "emmy@uni.edu", "Ann Namesake", "s3")},
    )
    found = {line["ID"]: line["Lesson 01: Patches (501)"] for line in lines(done.text)}
    assert {key for key, value in found.items() if value == "14"} == {"", "11", "12", "14"}
    assert found["13"] == "EX" and done.unmatched == ("Ann-Namesake",)  # there are two of that name


def test_the_column_of_canvas(tmp_path):
    files = {"ada/a.ipynb": notebook()}
    other = CANVAS.replace("Lesson 01: Patches (501)", "Homework (501)")
    with pytest.raises(GradebookError, match=r"Which column .* is lesson 01\? .*Homework \(501\), Lesson 02 \(502\)"):
        filled_canvas(tmp_path, files, other)
    for title in ("Homework", "Homework (501)"):
        assert filled_canvas(tmp_path, files, other, {"01": title}).matched == 1
    alone = "\n".join(line.rsplit(",", 2)[0] for line in other.splitlines())
    assert filled_canvas(tmp_path, files, alone).matched == 1
    semicolons = "\n".join(
        line.replace('"A, B"', "AB").replace('"', "").replace(", ", " ").replace(",", ";")
        for line in CANVAS.splitlines()
    )
    assert ";14" in filled_canvas(tmp_path, files, semicolons).text


def test_what_is_no_gradebook(tmp_path):
    with pytest.raises(GradebookError, match="needs the columns Student, ID and Section"):
        filled_canvas(tmp_path, {"ada/a.ipynb": notebook()}, "a,b\n1,2\n")
    with pytest.raises(GradebookError, match="no columns"):
        filled_canvas(tmp_path, {"ada/a.ipynb": notebook()}, "\n")
    with pytest.raises(GradebookError, match="cannot be read"):
        canvas.fill([], tmp_path / "none.csv", {})
    (tmp_path / "latin.csv").write_bytes(b"Student,ID\n\xff,1")
    with pytest.raises(GradebookError, match="not in UTF-8"):
        canvas.fill([], tmp_path / "latin.csv", {})
    two = rows(tmp_path / "two", {"ada/a.ipynb": notebook(), "ada/b.ipynb": notebook(cells("02"))})
    (tmp_path / "g.csv").write_text(CANVAS)
    with pytest.raises(GradebookError, match="Lessons 01, 02 were graded at once"):
        canvas.fill(two, tmp_path / "g.csv", {})


MOODLE = """\ufeffIdentifier,"Full name","Email address",Status,Grade,"Maximum Grade","Grade can be changed",\
"Last modified (submission)","Last modified (grade)","Feedback comments"
"Participant 501","Ada Lovelace",ada@uni.edu,"Submitted for grading",,100.00,Yes,"Monday, 12 October 2026, 8:00 AM",-,
"Participant 502","Bob Ross",bob@uni.edu,"No submission",,100.00,Yes,-,-,
"Participant 503","Grace Hopper",g@uni.edu,"Submitted for grading",50.00,100.00,Yes,-,"Friday",old
"""
GERMAN = """\ufeffID,"Vollständiger Name",Status,Bewertung,Bestwertung,"Bewertung kann geändert werden",\
"Zuletzt geändert (Abgabe)","Zuletzt geändert (Bewertung)","Feedback als Kommentar"
Teilnehmer/in501,"Ada Lovelace",Zur Bewertung abgegeben,,"10,00",Ja,Montag,-,
Teilnehmer/in503,"Grace Hopper",Zur Bewertung abgegeben,,"10,00",Ja,Montag,-,
"""
IN_MOODLE = {
    "Ada Lovelace_501_assignsubmission_file/a.ipynb": notebook(),
    "Grace Hopper_503_assignsubmission_file/a.ipynb": notebook(cells("01", "RIGHT", "ERROR")),
    "Eve_504_assignsubmission_file/a.ipynb": notebook(),
}


def filled_moodle(tmp_path, text, files=IN_MOODLE):
    path = tmp_path / "worksheet.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return moodle.fill(rows(tmp_path / "in", files), path)


def test_moodle(tmp_path):
    done = filled_moodle(tmp_path, MOODLE)
    found = {line["Identifier"]: line for line in lines(done.text)}
    assert found["Participant 501"]["Grade"] == "100" and found["Participant 503"]["Grade"] == "14.29"
    assert found["Participant 502"]["Grade"] == "" and found["Participant 502"]["Feedback comments"] == ""
    assert found["Participant 503"]["Last modified (grade)"] == "Friday"
    comment = found["Participant 503"]["Feedback comments"]
    assert comment.startswith("num_patches: right<br>patchify: It stops:") and "&lt;script&gt;" in comment
    assert (done.matched, done.unmatched) == (2, ("Eve",))
    assert done.text.splitlines()[0].startswith("\ufeffIdentifier,Full name,Email address,Status,Grade,Maximum Grade")


def test_moodle_in_another_language(tmp_path):
    done = filled_moodle(tmp_path, GERMAN)
    found = {line["ID"]: line["Bewertung"] for line in lines(done.text)}
    assert found == {"Teilnehmer/in501": "10", "Teilnehmer/in503": "1,43"}
    unknown = GERMAN.replace("Bewertung,Bestwertung", "Xyz,Abc")
    assert [line["Xyz"] for line in lines(filled_moodle(tmp_path, unknown).text)] == ["10", "1,43"]


def test_moodle_by_name(tmp_path):
    done = filled_moodle(tmp_path, MOODLE, {"ada lovelace/a.ipynb": notebook(), "Ross, Bob/a.ipynb": notebook()})
    assert [line["Grade"] for line in lines(done.text)] == ["100", "100", "50.00"]


def test_what_is_no_worksheet(tmp_path):
    with pytest.raises(GradebookError, match="no grading worksheet of Moodle"):
        filled_moodle(tmp_path, "a,b\n1,2\n")
