"""The book: what a lesson becomes there, and that the whole site is sound and asks nothing of another server."""

import functools
import http.server
import itertools
import re
import shutil
import threading
import urllib.parse
from html.parser import HTMLParser

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from test_authoring import EXERCISE, check_cell, exercise_cell, figure

from vit_course.authoring import SOLUTIONS
from vit_course.authoring.book import build_book, first_page, only_links_among, page
from vit_course.authoring.course import write_book
from vit_course.authoring.generate import STUB, tidy
from vit_course.authoring.published import bring_in_step
from vit_course.explorer.page import files

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """What a page refers to, and what it offers."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.links, self.ids, self.pictures, self.headings = [], [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "link" and attributes.get("rel") not in ("index", "search", "next", "prev", "author"):
            self.loaded.append(attributes["href"])
        elif "src" in attributes:
            self.loaded.append(attributes["src"])
        if tag == "img":
            self.pictures.append(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A book of two lessons."""
    first = new_notebook(
        cells=[
            new_markdown_cell("# The `first`\n\nOn to [the next](01_second.ipynb#here), or [out](../LICENSE).", id="a"),
            new_markdown_cell("By half, $\\frac{x}{2}$.\n\n$$\\sqrt{x}$$", id="formula"),
            exercise_cell("to_channels_first", EXERCISE),
            check_cell("to_channels_first"),
            new_code_cell("draw()", id="draw", outputs=[figure(alt='a "line" & more')]),
        ]
    )
    tidy(first)
    bring_in_step(first, "00_first.ipynb", "owner/course", "main")
    second = new_notebook(
        cells=[new_markdown_cell("# Second\n\n## Here\n\nIn [the explorer](../README.md#the-explorer).", id="b")]
    )
    tidy(second)
    out = tmp_path_factory.mktemp("book")
    build_book({"00_first.ipynb": first, "01_second.ipynb": second}, out, "", root=out / "nowhere")
    return {name: (out / f"{name}.html").read_text(encoding="utf-8") for name in ("index", "00_first", "01_second")}


def test_a_solution_is_folded_behind_its_stub(small):
    text = re.sub(r"<[^>]+>", "", re.sub(r"<details.*?</details>", "[folded]", small["00_first"], flags=re.DOTALL))
    assert "raise NotImplementedError" in text and "[folded]" in text and "permute" not in text
    folded = re.sub(r"<[^>]+>", "", re.search(r"<details.*?</details>", small["00_first"], re.DOTALL)[0])
    assert "Show the solution" in folded and "permute" in folded and STUB not in folded
    assert "SOLUTION" not in small["00_first"]


def test_a_figure_keeps_its_alt_text(small):
    assert 'alt="a &quot;line&quot; &amp; more"' in small["00_first"]


def test_formulas_are_mathml_and_need_no_script(small):
    assert "<mfrac>" in small["00_first"]
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in small["00_first"]
    assert not re.search("<script[^>]*mathjax", small["00_first"], re.IGNORECASE)


def test_it_leads_to_its_neighbours_and_only_to_pages(small):
    assert 'href="01_second.html#here"' in small["00_first"]
    assert "or out." in re.sub(r"<[^>]+>", "", small["00_first"])
    assert re.search(r'class="right-next"\s+href="01_second.html"', small["00_first"])
    assert re.search(r'class="left-prev"\s+href="00_first.html"', small["01_second"])
    assert 'href="00_first.html"' in small["index"]


def test_the_explorer_is_in_it(small, book):
    assert 'In <a href="explorer.html">the explorer</a>.' in small["01_second"]
    assert (book / "explorer.html").read_bytes() == files()["explorer.html"]
    linked = [path.stem[:2] for path in book.glob("*.html") if "explorer.html" in Page(path.read_text("utf-8")).links]
    assert sorted(linked) == ["04", "05", "10", "in"]  # the lessons that send there, and the first page


def test_the_set_up_and_the_badge_stay_out(small):
    assert "find_spec" not in small["00_first"] and "colab-badge" not in small["00_first"]


def test_a_published_lesson_leads_to_colab(monkeypatch):
    address = "https://colab.research.google.com/github/owner/course/blob/main/notebooks/00_a.ipynb"
    monkeypatch.setattr("vit_course.authoring.book.badge", lambda name: f"[![Open in Colab](https://x)]({address})")
    made = page(new_notebook(cells=[new_markdown_cell("# 00 · A\n\nText.", id="a")]), "00_a.ipynb", [])
    assert made.cells[0].source == f"# 00 · A\n\n[Open this lesson in Colab]({address})\n\nText."


def test_the_first_page_is_the_readme_for_readers(tmp_path):
    (tmp_path / "README.md").write_text(
        "# T\n\n[see](#on)\n\n| lesson | b | c | Colab |\n| --- | --- | --- | --- |\n"
        "| [00](notebooks/00_a.ipynb) | [doc](docs/a.md) [no](gone.md) | 1 | [![x](https://x/y.svg)](https://z) |\n"
        "## For learners\n\nmake lab\n",
        encoding="utf-8",
    )
    text = first_page(tmp_path, ["00_a.ipynb", "a.md"], "## Times")
    assert "| [00](00_a.ipynb) | [doc](a.md) no | 1 |\n" in text and "see" in text and "](#on)" not in text
    assert "make lab" not in text and "https://" not in text
    assert text.index("## Times") < text.index("{toctree}")
    assert only_links_among("![p](x.png) [a\nb](https://e.org)", []) == "![p](x.png) [a\nb](https://e.org)"


def test_a_fault_in_a_lesson_is_said(tmp_path, capsys):
    broken = new_notebook(cells=[new_markdown_cell("# A\n\n[b](00_a.ipynb#no-such-heading)", id="a")])
    solutions = tmp_path / "solutions"
    solutions.mkdir()
    nbformat.write(broken, solutions / "00_a.ipynb")
    assert write_book(solutions, tmp_path / "book") == 1
    said = capsys.readouterr()
    assert "sphinx found 1 fault" in said.out and "no-such-heading" in said.err


# -- the real one


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    out = tmp_path_factory.mktemp("the-book")
    assert write_book(SOLUTIONS, out) == 0
    return out


def test_nothing_is_loaded_from_elsewhere_and_every_link_leads_somewhere(book):
    pages = {path.name: Page(path.read_text(encoding="utf-8")) for path in book.glob("*.html")}
    assert {path.stem for path in SOLUTIONS.glob("*.ipynb")} < {name.removesuffix(".html") for name in pages}
    for name, one in pages.items():
        for target in one.loaded:
            assert not re.match(r"(https?:)?//", target), f"{name} loads {target}"
            assert target.startswith("data:") or (book / target.split("?")[0].split("#")[0]).is_file(), (name, target)
        for link in one.links:
            if re.match(r"[a-z]+:", link):
                continue
            place, _, anchor = link.partition("#")
            if place.startswith("_images/"):
                assert (book / place).is_file()
                continue
            goal = pages[urllib.parse.unquote(place.split("?")[0]) or name]
            assert not anchor or urllib.parse.unquote(anchor) in goal.ids, f"{name} links {link}"
    for path in book.rglob("*.css"):
        urls = re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", path.read_text(encoding="utf-8"))
        assert not urls, f"{path.name} loads {urls}"


def test_pages_can_be_read_aloud(book):
    """Every picture has a text, there is one title, and no level of headings is left out."""
    for path in SOLUTIONS.glob("*.ipynb"):
        text = (book / f"{path.stem}.html").read_text(encoding="utf-8")
        one = Page(text[text.index("<article") : text.index("</article>")])
        assert len(one.pictures) >= 3
        assert all(picture.get("alt") and "_images/" not in picture["alt"] for picture in one.pictures), path.name
        assert one.headings.count(1) == 1 and one.headings[0] == 1, path.name
        assert all(after <= before + 1 for before, after in itertools.pairwise(one.headings)), (path.name, one.headings)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_a_browser_no_request_leaves_and_code_fits(book, theme):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=book))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}/"
    try:
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            tab = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=theme)
            requests, errors = [], []
            tab.on("request", lambda request: requests.append(request.url))
            tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            tab.on("pageerror", lambda error: errors.append(str(error)))
            tab.goto(f"{here}05_attention.html", wait_until="load")
            assert tab.evaluate("document.documentElement.dataset.theme") == theme
            assert tab.locator("math").first.bounding_box()["height"] > 20
            wide = "() => [...document.querySelectorAll('.cell_input pre')].filter(p => p.scrollWidth > p.clientWidth)"
            assert tab.evaluate(f"({wide})().map(p => p.innerText)") == []
            tab.goto(f"{here}search.html?q=rollout+softmax", wait_until="load")
            tab.goto(f"{here}search.html?q=softmax", wait_until="load")
            tab.locator("#search-results li a", has_text="Attention").first.wait_for()
            browser.close()
    finally:
        server.shutdown()
    assert [url for url in requests if not url.startswith((here, "data:"))] == []
    assert errors == []
