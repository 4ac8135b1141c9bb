"""The last page: what it says of any progress, that it is honest and whole, and how it looks in a browser."""

import json
import re
from datetime import datetime, timedelta, timezone

import nbformat
import pytest
import torch
from test_book import Page
from test_browser import CHROMIUM, FLAGS

from vit_course import certificate, keep_accuracy
from vit_course.authoring import SOLUTIONS
from vit_course.authoring.book import title
from vit_course.checks import exercises, progress
from vit_course.checks.last_page import BUILD, HONEST, READ, TITLES
from vit_course.checks.record import BEST, record
from vit_course.cli import main
from vit_course.data import ImageSet
from vit_course.paths import home
from vit_course.training import Recipe, Trained

NAMES = list(exercises())
FIRST_DAY = datetime(2026, 3, 3, 12, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def images(name="cifar10", count=200):
    return ImageSet(name, "test", torch.zeros(count, 3, 2, 2), torch.zeros(count), ("a", "b"), "made here")


def trained(*accuracies):
    evaluations = [(step, 1.0 * step, accuracy) for step, accuracy in enumerate(accuracies)]
    return Trained(torch.nn.Identity(), Recipe(), 9, [], evaluations, 185.0, "a fast <chip>", "float32")


def passed(*names, **others):
    """A progress file in which these have passed, a day after one another."""
    entries = {
        name: {"passed": True, "attempts": 2, "passed_at": (FIRST_DAY + timedelta(days=day)).isoformat()}
        for day, name in enumerate(names)
    }
    home().mkdir(exist_ok=True)
    (home() / "progress.json").write_text(json.dumps(entries | others), encoding="utf-8")


def written(path="certificate.html"):
    with open(path, encoding="utf-8") as file:
        return file.read()


# -- what it says


def test_nothing_passed_yet(tmp_path):
    made = certificate()
    assert made.path is not None and "On the way" in made.title
    assert f"None of {len(NAMES)} exercises has passed its check yet. The first is to_channels_first" in repr(made)
    assert "lesson 08 trains one" in repr(made) and HONEST in repr(made)
    assert "What there is to build" in written()
    assert not home().exists() or not list(home().iterdir())  # looking at it records nothing


def test_some_passed():
    passed(*NAMES[:3], patchify={"passed": False, "attempts": 1, "passed_at": None})
    made = certificate()
    assert f"3 of {len(NAMES)} exercises passed their checks, from 3 March 2026 to 5 March 2026." in made.state()
    assert f"The next is {NAMES[3]}, in lesson 01." in made.state()
    text = written()
    assert "What was built, and what is ahead" in text
    for name, symbol in ((NAMES[0], "✓"), ("patchify", "✗"), ("ViT", "○")):
        assert re.search(rf"<li[^>]*>{symbol} <code[^>]*>{name}</code>", text), name
    assert text.count("✓ <code") == 3
    filled = re.findall(r'<rect[^>]*fill="(#\w+)"', text)
    assert len(filled) == 3 and f"3 of {len(NAMES)} patches" in text


def test_one_day_is_said_once():
    passed(NAMES[0])
    assert "their checks, on 3 March 2026." in certificate().state()


def test_all_passed():
    passed(*NAMES)
    made = certificate("Ada Lovelace")
    assert made.title == "A Vision Transformer, written from scratch"
    assert made.state().startswith(f"All {len(NAMES)} exercises passed their checks, from 3 March 2026 to ")
    assert "next is" not in made.state()
    assert (
        "by <b>Ada Lovelace</b>" in written() and "<title>A Vision Transformer, written from scratch: Ada" in written()
    )
    assert ">What was built<" in written() and "✗ <code" not in written() and "○ <code" not in written()


def test_it_says_what_it_is_and_what_comes_next():
    certificate()
    page = Page(written())
    assert HONEST in written() and "anyone can edit" in HONEST and "not a proof" in HONEST
    assert len(READ) + len(BUILD) == 10 and page.links == [place for _, place, _ in (*READ, *BUILD)]
    assert page.headings == [1, 2, 2] and page.loaded == []
    assert "default-src 'none'" in written()


def test_a_name_is_escaped_and_kept_short():
    made = certificate('<img src="x" onerror="alert(1)">\n& "you" \u202eevil')
    assert "<img" not in written() and "<img" not in made._repr_html_()
    assert "&lt;img" in written() and "\u202e" not in written()
    assert len(certificate("x" * 5000).name) == 120


def test_lessons_are_called_what_they_are():
    for path in sorted(SOLUTIONS.glob("*.ipynb")):
        assert title(nbformat.read(path, as_version=4)) == f"{path.name[:2]} · {TITLES[path.name[:2]]}"
    assert set(TITLES) >= {exercise.lesson for exercise in exercises().values()}


# -- files that are broken, old or not there


@pytest.mark.parametrize("content", ["{ half", "[1, 2]", '{"patchify": 3}', "\udcff"])
def test_a_broken_progress_file_is_said(content):
    home().mkdir(exist_ok=True)
    (home() / "progress.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    made = certificate()
    assert "Your progress file was damaged. It was set aside as" in repr(made) and made.path
    assert "was damaged" in written()


def test_an_old_progress_file_is_read_as_far_as_it_goes():
    passed(
        *NAMES[:2],
        **{
            "gone_since": {"passed": True},
            NAMES[2]: {"passed": True},  # no day
            NAMES[3]: {"passed": True, "passed_at": "last spring"},
            NAMES[4]: {},
            BEST: {"cifar10": 0.6, "shapes": {"accuracy": "much"}, "where": {"accuracy": 0.5}, "x": {"accuracy": 7}},
        },
    )
    made = certificate()
    assert f"4 of {len(NAMES)} exercises" in made.state() and "from 3 March 2026 to 4 March 2026" in made.state()
    assert "no such exercise (any more): gone_since." in repr(made)
    assert "named 50.0% of the test images of where rightly." in repr(made) and "60" not in repr(made)


def test_where_it_cannot_be_written_it_is_shown_all_the_same(tmp_path, capsys):
    (tmp_path / "file").touch()
    made = certificate(out=tmp_path / "file" / "page.html")
    assert made.path is None and "not kept as a file" in repr(made) and "cannot be written" in made._repr_html_()
    assert main(["certificate", "--out", str(tmp_path / "file" / "page.html")]) == 1
    assert main(["certificate", "--out", str(tmp_path)]) == 1


def test_the_command(tmp_path, capsys):
    passed(*NAMES[:1])
    assert main(["certificate", "--name", "Ada", "--out", "mine.html"]) == 0
    assert "by Ada" in capsys.readouterr().out and "by <b>Ada</b>" in written("mine.html")


# -- the accuracy


def test_the_best_accuracy_is_kept_and_shown():
    record(NAMES[0], True)
    assert keep_accuracy(0.5, images()) == "50.0% of 200 cifar10 images right, kept as your best."
    assert keep_accuracy(0.4, images()) == "40.0% of 200 cifar10 images right. Your best stays 50.0%."
    assert "kept" in keep_accuracy(trained(0.1, 0.625), images(count=1000))
    assert "kept" in keep_accuracy(torch.tensor(0.9), images("shapes"))
    record(NAMES[1], True)
    assert progress().passed == NAMES[:2] and progress().best["cifar10"]["accuracy"] == 0.625
    lines = certificate().remarks()
    assert lines[0].endswith(
        "62.5% of 1,000 test images of CIFAR-10 rightly, after 3 min 05 s of training on a fast <chip>."
    )
    assert lines[1].endswith("90.0% of 200 test images of the drawn shapes rightly.")
    assert "a fast &lt;chip&gt;" in written() and BEST not in repr(progress())


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 62.3])
def test_what_is_no_share_is_refused(wrong):
    with pytest.raises(ValueError, match="a share of test images, 0 … 1"):
        keep_accuracy(wrong, images())
    with pytest.raises(ValueError, match="got nan"):
        keep_accuracy(trained(), images())
    assert progress().entries == {}


def test_an_accuracy_that_cannot_be_kept_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path / "file" / "home"))
    assert "could not be kept" in keep_accuracy(0.5, images())


# -- in a browser


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_it_fits_reads_and_prints(tmp_path):
    """On a desk and on a phone, light and dark; it asks for nothing, and takes one sheet of paper."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    passed(*NAMES[:20])
    keep_accuracy(trained(0.6), images())
    certificate("Someone with a name that is long enough for two lines on a telephone")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for width in (1280, 400):
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page, asked = context.new_page(), []
                page.on("request", lambda request, asked=asked: asked.append(request.url))
                page.goto((tmp_path / "certificate.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert axe.run(page).response["violations"] == []
                assert [one for one in asked if not one.startswith(("file:", "data:"))] == []
        for paper in ("A4", "Letter"):
            assert b"/Count 1\n" in page.pdf(format=paper)
        browser.close()
