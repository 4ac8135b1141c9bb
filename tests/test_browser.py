"""A real JupyterLab in a real browser: each learner's notebook, run from top to bottom, light and dark, and a wrong and
a right answer typed into its first stub.

Screenshots go to `$VIT_COURSE_SCREENSHOTS` where it is set.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat
import pytest

from vit_course.authoring import NOTEBOOKS, SOLUTIONS
from vit_course.authoring.lint import BEGIN, END
from vit_course.checks import exercises

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

LESSON = "01_patches.ipynb"
OTHERS = [path.name for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.name != LESSON]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PATIENCE = 120_000  # milliseconds; machines are shared
WRONG = "def patchify(images, patch_size):\n    return images.reshape(len(images), -1, patch_size**2 * images.shape[1])"


@pytest.fixture
def jupyter(tmp_path):
    """A server on a folder with the learner's notebooks. Yields its address."""
    work = tmp_path / "work"
    work.mkdir()
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(path, work)
    settings = tmp_path / "settings"
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    notification = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    notification.parent.mkdir(parents=True)
    notification.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", f"--ServerApp.root_dir={work}"]
    command += ["--IdentityProvider.token=course", "--allow-root", "--expose-app-in-browser"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as server:
        try:
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            yield address
            with contextlib.suppress(OSError):
                shutdown = urllib.request.Request(f"{address}/api/shutdown?token=course", method="POST")
                urllib.request.urlopen(shutdown, timeout=10).close()
        finally:
            server.terminate()


def theme(page, name):
    page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)


def card(page, text):
    return page.locator(".jp-OutputArea-output", has_text=text).first


@pytest.fixture
def page():
    """A tab, in which nothing may go wrong from the moment that `errors` is emptied until its end."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.errors = []
        page.on("console", lambda said: page.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page
        browser.close()


def open_notebook(page, address, lesson):
    """Every cell is in the page then, whether it is in view or not: windowing is off."""
    page.goto(f"{address}/lab/tree/{lesson}?token=course&reset")
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.content?.widgets?.length > 10")
    page.evaluate(
        "() => { const notebook = window.jupyterapp.shell.currentWidget.content;"
        "notebook.notebookConfig = {...notebook.notebookConfig, windowingMode: 'none'} }"
    )
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
    )


def outputs(page):
    """The outputs of each cell."""
    return page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets.map("
        "w => w.model.type === 'code' ? w.model.sharedModel.toJSON().outputs : [])"
    )


def run_all(page):
    """Run every cell. Returns the outputs of each."""
    assert page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)")
    return outputs(page)


def run_cell(page, index):
    page.evaluate("index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index }", index)
    assert page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell').then(() => true)")


def type_into(page, index, source):
    """Put a text in the place of a cell's, as a learner would: select all, and type."""
    page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(source)  # at a stroke: key by key the editor would indent on its own
    page.wait_for_function(
        "([index, source]) => window.jupyterapp.shell.currentWidget.content.widgets[index]"
        ".model.sharedModel.getSource() === source",
        arg=[index, source],
    )


def assert_untouched_notebook_works(page, address, lesson):
    """It runs to its end without an error, checks are quiet, figures show once, and the set-up is folded."""
    cells = nbformat.read(NOTEBOOKS / lesson, as_version=4).cells
    open_notebook(page, address, lesson)
    page.errors.clear()  # of JupyterLab's own while it starts
    setup = next(index for index, cell in enumerate(cells) if cell.id == "setup")
    folded = page.locator(".jp-Notebook .jp-Cell").nth(setup)
    assert "Set-up: is the course installed?" in folded.inner_text() and "import sys" not in folded.inner_text()
    for cell, shown in zip(cells, run_all(page), strict=True):
        assert not [one for one in shown if one["output_type"] == "error"], cell.id
        if cell.id.startswith("check-"):
            assert "not attempted yet" in json.dumps(shown, ensure_ascii=False), cell.id
        if cell.cell_type == "code" and cell.source.split("\n")[-1].startswith("plots."):
            assert sum("image/png" in one.get("data", {}) for one in shown) == 1, cell.id


def answers(lesson):
    """A wrong answer to the lesson's first exercise, what is said of it, and a right one."""
    name, exercise = next((name, one) for name, one in exercises().items() if one.lesson == lesson[:2])
    solved = {cell.id: cell.source for cell in nbformat.read(SOLUTIONS / lesson, as_version=4).cells}
    right = re.sub(rf"^[ \t]*({BEGIN}|{END})[ \t]*\n?", "", solved[f"ex-{name}"], flags=re.MULTILINE)
    slug, mistake = next(iter(exercise.mistakes.items()))
    wrong = f"from vit_course.checks import exercises\n\n{name} = exercises()[{name!r}].mistakes[{slug!r}].candidate"
    wrong += f"\n{name}.__name__ = {name!r}"  # by which `check` knows the exercise
    return name, wrong, mistake.message, right


def plain(text):
    return re.sub(r"[\W_]+", " ", text)


def look(page, lesson, what, element):
    """The element in both themes. Where screenshots are kept, so are these."""
    for name in ("Light", "Dark"):
        theme(page, f"JupyterLab {name}")
        page.locator("#jupyterlab-splash").wait_for(state="detached")  # shown while the theme changes
        element.scroll_into_view_if_needed()
        if shots := os.environ.get("VIT_COURSE_SCREENSHOTS"):
            page.screenshot(path=Path(shots) / f"{lesson[:2]}-{what}-{name.lower()}.png")


def assert_a_lesson_works(page, address, lesson):
    """Untouched, with a wrong answer in its first stub, with a right one; in both themes; without an error."""
    ids = [cell.id for cell in nbformat.read(NOTEBOOKS / lesson, as_version=4).cells]
    assert_untouched_notebook_works(page, address, lesson)
    name, wrong, message, right = answers(lesson)
    stub, check = ids.index(f"ex-{name}"), ids.index(f"check-{name}")
    card(page, f"{name}: not attempted yet").wait_for()
    for source, title in ((wrong, f"{name}: not right yet"), (right, f"{name}: right")):
        type_into(page, stub, source)
        run_cell(page, stub)
        run_cell(page, check)
        card(page, title).wait_for()
        if source is wrong:
            assert plain(message)[:60] in plain(card(page, title).inner_text())
        look(page, lesson, title.split(": ")[1].split()[0], card(page, title))
    figures = page.locator(".jp-RenderedImage img")
    assert figures.count() >= 3
    look(page, lesson, "figure", figures.first)
    assert figures.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    shown = json.dumps(outputs(page))
    widgets = page.locator(".jp-OutputArea-output .widget-interact, .jp-OutputArea-output .widget-box")
    assert ("widget-view" in shown) is (widgets.count() > 0)
    assert page.errors == []


@pytest.mark.slow
@pytest.mark.parametrize("lesson", OTHERS)
def test_every_lesson_in_jupyterlab(jupyter, page, lesson):
    assert_a_lesson_works(page, jupyter, lesson)


def test_a_lesson_in_jupyterlab(jupyter, page):
    assert_a_lesson_works(page, jupyter, LESSON)


def test_a_wrong_answer_is_shown_beside_what_was_expected(jupyter, page):
    """By pictures and tables, which JupyterLab's cleaning of HTML leaves."""
    ids = [cell.id for cell in nbformat.read(NOTEBOOKS / LESSON, as_version=4).cells]
    open_notebook(page, jupyter, LESSON)
    type_into(page, ids.index("ex-patchify"), WRONG)
    for name in ("setup", "imports", "ex-patchify", "check-patchify"):
        run_cell(page, ids.index(name))
    wrong = card(page, "patchify: not right yet")
    wrong.wait_for()
    assert "cuts the long row of numbers" in wrong.inner_text()
    assert wrong.locator("table").count() >= 2
