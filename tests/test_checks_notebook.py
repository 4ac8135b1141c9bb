"""What a learner sees and keeps: cards, hints, solutions, progress, strict mode."""

import functools
import html.parser
import json

import pytest
import torch
from right_answers import RIGHT_ANSWERS

from vit_course.checks import CheckFailed, check, exercises, hint, progress, solution
from vit_course.checks.cards import COLOURS, Card, pixel_table
from vit_course.checks.notebook import _HINTS_GIVEN
from vit_course.checks.record import record
from vit_course.patches import patchify as reference
from vit_course.paths import home


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VIT_COURSE_STRICT", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)


def patchify(images, patch_size):
    b, c, h, w = images.shape
    x = images.reshape(b, c, h // patch_size, patch_size, w // patch_size, patch_size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch_size * patch_size * c)


def wrong(images, patch_size):
    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])


wrong.__name__ = "patchify"


def stub(images, patch_size):
    raise NotImplementedError


stub.__name__ = "patchify"


# -- check


def test_right_answer_goes_on_as_it_is(capsys):
    assert check(patchify) is patchify
    printed = capsys.readouterr().out
    assert "✓ patchify: right" in printed
    assert "your own `patchify`" in printed


def test_wrong_answer_goes_on_with_the_reference(capsys):
    assert check(wrong) is reference
    printed = capsys.readouterr().out
    assert "✗ patchify: not right yet" in printed
    assert exercises()["patchify"].mistakes["reshape-only"].message in printed
    assert "the course's `patchify`" in printed


def test_stub_is_quiet(capsys):
    assert check(stub) is reference
    assert "○ patchify: not attempted yet" in capsys.readouterr().out
    assert progress().entries == {}


def test_check_cell_run_again_after_a_failure(capsys):
    again = check(wrong)
    before = progress().entries
    assert check(again) is reference
    assert "run your definition again" in capsys.readouterr().out
    assert progress().entries == before


@pytest.mark.parametrize("candidate", [lambda x, p: patchify(x, p), functools.partial(patchify)])
def test_nameless_answers_take_a_name(candidate):
    assert check(candidate, name="patchify") is candidate
    with pytest.raises(ValueError, match="Give the name"):
        check(candidate)


def test_an_object_of_the_class_gets_a_card(capsys):
    embedding = exercises()["PatchEmbedding"].reference
    assert check(embedding(4, 3, 8)) is embedding
    assert "the class itself" in capsys.readouterr().out


def test_wrong_name_is_a_clear_error():
    with pytest.raises(ValueError, match="Did you mean 'patchify'"):
        check(patchify, name="patchfy")


@pytest.mark.parametrize("name", exercises())
def test_every_exercise_gives_its_cards(name, capsys):
    assert check(RIGHT_ANSWERS[name][0], name=name) is RIGHT_ANSWERS[name][0]
    first, mistake = next(iter(exercises()[name].mistakes.items()))
    assert check(mistake.candidate, name=name) is exercises()[name].reference, first
    assert mistake.message in capsys.readouterr().out


@pytest.mark.parametrize("variable", [("VIT_COURSE_STRICT", "1"), ("NBGRADER_EXECUTION", "autograde")])
def test_strict_mode_raises(variable, monkeypatch):
    monkeypatch.setenv(*variable)
    assert check(patchify) is patchify
    for candidate in (wrong, stub, reference):
        with pytest.raises(CheckFailed, match="patchify"):
            check(candidate)


def test_strict_mode_off(monkeypatch):
    monkeypatch.setenv("VIT_COURSE_STRICT", "0")
    check(wrong)


# -- cards


class Parser(html.parser.HTMLParser):
    """Fails on HTML that is not well formed; gathers the tags and styles used."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parsed(card):
    parser = Parser()
    parser.feed(card._repr_html_())
    assert parser.open == []
    return parser


@pytest.mark.parametrize("kind", COLOURS)
def test_card_is_well_formed_and_uses_nothing_that_viewers_remove(kind):
    picture = pixel_table("token 0, <yours>", 2, 3, {(0, 1): "0", (1, 2): "<b>"})
    card = Card(kind, "a <title> & `code`", ("first `x < y`", "second\nline"), picture, (("more", "<pre>"),))
    parser = parsed(card)
    assert not parser.tags & {"style", "script", "link", "svg"}
    assert "class=" not in card._repr_html_()
    assert "currentColor" in card._repr_html_()
    assert "a <title> & code" in parser.text and "x < y" in parser.text


def test_card_says_the_same_in_plain_text():
    card = Card("failed", "patchify: not right yet", ("why `x`",), details=(("printed", "hello"),))
    assert repr(card) == "✗ patchify: not right yet\nwhy `x`\nprinted:\nhello"


def test_what_a_learner_prints_is_escaped(capsys):
    def prints(images, patch_size):
        print("<script>alert(1)</script>")
        return patchify(images, patch_size)

    check(prints, name="patchify")
    printed = capsys.readouterr().out
    assert "<script>" in printed  # plain text as it is
    assert "<script>" not in Card("passed", "x", details=(("printed", printed),))._repr_html_()


@pytest.mark.parametrize("name", exercises())
def test_cards_of_real_reports_are_well_formed(name, monkeypatch):
    """Some as they come, with their pictures; of all the others the text, which is the part that we write by hand."""
    cards = []
    monkeypatch.setattr("vit_course.checks.notebook.show", cards.append)
    mistakes = exercises()[name].mistakes.values()
    for candidate in (*(mistake.candidate for mistake in [*mistakes][:3]), lambda *_: torch.zeros(2)):
        check(candidate, name=name)
    for card in (*cards, *(Card("failed", name, (mistake.message,)) for mistake in mistakes)):
        assert parsed(card).text


# -- hints and solution


@pytest.mark.parametrize("name", exercises())
def test_hints_come_one_by_one(name, capsys):
    _HINTS_GIVEN.clear()
    hints = exercises()[name].hints
    for number, text in enumerate((*hints, hints[-1]), start=1):
        hint(name)
        printed = capsys.readouterr().out
        assert text in printed
        assert f"hint {min(number, len(hints))} of {len(hints)}" in printed
    assert "solution(" in printed


def test_hint_and_solution_take_the_function_too(capsys):
    hint(patchify)
    solution(patchify)
    assert "rearrange" in capsys.readouterr().out


@pytest.mark.parametrize("name", exercises())
def test_solution_shows_code_and_reasoning(name, capsys):
    solution(name)
    printed = capsys.readouterr().out
    assert f"def {name}" in printed or f"class {name}" in printed
    assert exercises()[name].reasoning in printed


# -- progress


def test_progress_counts(capsys):
    assert progress().passed == []
    check(wrong)
    assert progress().entries["patchify"] == {"passed": False, "attempts": 1, "passed_at": None}
    check(patchify)
    entry = progress().entries["patchify"]
    assert entry["passed"] and entry["attempts"] == 2 and entry["passed_at"]
    check(wrong)
    assert progress().passed == ["patchify"]  # what was passed stays passed
    assert progress().entries["patchify"]["passed_at"] == entry["passed_at"]
    assert f"1 of {len(exercises())} exercises passed." in repr(progress())
    parser = Parser()
    parser.feed(progress()._repr_html_())
    assert f"1 of {len(exercises())}" in parser.text


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b'{"patchify": 1}', b""])
def test_damaged_progress_is_set_aside(content, capsys):
    home().mkdir(parents=True)
    (home() / "progress.json").write_bytes(content)
    check(patchify)
    assert "set aside" in capsys.readouterr().out
    assert progress().passed == ["patchify"]
    kept = list(home().glob("progress.damaged-*.json"))
    assert [path.read_bytes() for path in kept] == [content]


def test_progress_with_odd_entries_is_survived():
    home().mkdir(parents=True)
    (home() / "progress.json").write_text('{"patchify": {"attempts": "many"}, "gone": {"passed": true}}')
    assert record("patchify", True) == ""
    assert progress().passed == ["patchify"]
    repr(progress())


def test_a_full_disk_stops_no_lesson(monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    check(patchify)
    before = progress().entries
    monkeypatch.setattr("vit_course.checks.record.os.replace", full)
    assert check(patchify) is patchify
    assert "could not be saved" in capsys.readouterr().out
    assert progress().entries == before
    assert [path.name for path in home().iterdir()] == ["progress.json"]


def test_an_unwritable_place_stops_no_lesson(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path / "file" / "below"))
    assert check(patchify) is patchify
    assert "could not be saved" in capsys.readouterr().out


def test_progress_can_be_exported(tmp_path):
    check(patchify)
    path = progress().export(tmp_path / "out" / "mine.json")
    assert json.loads(path.read_text()) == progress().entries
