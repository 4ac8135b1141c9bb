"""The explorer's page in a real browser: what it says is what torch says, by mouse and by keys, in light and in dark.

Screenshots go to `$VIT_COURSE_SCREENSHOTS` where it is set.
"""

import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_browser import CHROMIUM, FLAGS, PATIENCE

import vit_course.explorer
from vit_course.checkpoints import load_checkpoint
from vit_course.cli import main
from vit_course.explorer.bundle import SCREEN, script
from vit_course.explorer.intervening import Intervention, run
from vit_course.explorer.page import write_page
from vit_course.explorer.pictures import drawn
from vit_course.images import to_floats

EXPLORER = Path(vit_course.explorer.__file__).parent
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    write_page(folder)
    return folder


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def serve():
    """A web server on a folder. Yields a function that gives its address."""
    servers = []

    def start(folder):
        handler = functools.partial(Quiet, directory=str(folder))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def opened(browser):
    """Opens an address. What the page asks for and complains of is kept in `.asked` and `.complaints`."""
    contexts = []

    def start(address, before="", wait="main[data-ready][aria-busy=false]", **options):
        contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 1000}} | options)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on(
            "console", lambda said: page.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        if before:
            page.add_init_script(before)
        page.goto(address)
        page.wait_for_selector(wait)
        return page

    yield start
    for context in contexts:
        context.close()


def settled(page):
    """What the model says now: probabilities."""
    page.wait_for_function("() => { const {screen} = document.querySelector('main'); return !screen.running }")
    return page.evaluate("() => [...document.querySelector('main').screen.results.probabilities]")


def expected(pixels, **change):
    with torch.no_grad():
        return run(MODEL(), to_floats(pixels[None]), Intervention(**change)).logits[0].softmax(0).numpy()


MODEL = functools.cache(functools.partial(load_checkpoint, "cifar10"))
PICTURES = functools.cache(drawn)


def cell(page, row, column):
    return page.locator(".cells button").nth(8 * row + column)


def tile(page, layer, head):
    """A layer counted from 1, a head from 0, as on the screen."""
    return page.locator(".tile").nth(3 * (layer - 1) + head)


def shot(page, name):
    keep(name, lambda: page.screenshot(full_page=True))


def keep(name, screenshot):
    if folder := os.environ.get("VIT_COURSE_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"explorer-{name}.png").write_bytes(screenshot())


def test_from_a_server_and_as_one_file_it_says_what_torch_says(site, serve, opened, tmp_path):
    alone = tmp_path / "elsewhere.html"
    shutil.copy(site / "explorer.html", alone)
    server = serve(site)
    for address, asks in ((alone.as_uri(), 1), (f"{server}/index.html", 2)):
        page = opened(address)
        right = expected(PICTURES()[0].pixels)
        np.testing.assert_allclose(settled(page), right, atol=1e-4)
        assert page.complaints == []
        own = [one for one in page.asked if not one.startswith("data:")]
        assert len(own) == asks and all(one.startswith((server, alone.as_uri())) for one in own)
        assert page.locator("main").get_attribute("data-simd") == "true"
        bar = page.locator(".bars li", has_text="ship")
        assert f"{right.max():.0%}" in bar.inner_text() and "best" in bar.get_attribute("class")


def test_without_webassembly_it_is_slower_and_says_the_same(site, opened):
    page = opened((site / "explorer.html").as_uri(), before="delete globalThis.WebAssembly")
    assert page.locator("main").get_attribute("data-simd") == "false"
    np.testing.assert_allclose(settled(page), expected(PICTURES()[0].pixels), atol=1e-4)
    assert page.complaints == []


def test_by_mouse(site, opened):
    page = opened((site / "explorer.html").as_uri())
    caption = page.locator(".caption")
    page.get_by_role("button", name="a frog").click()
    pixels = PICTURES()[2].pixels
    cell(page, 2, 3).click()
    assert settled(page) and "Asking: the patch in row 2, column 3" in caption.inner_text()
    rows = page.evaluate("() => document.querySelector('main').screen.results.rows.map((row) => [...row])")
    seen = run(MODEL(), to_floats(pixels[None]))
    asked = torch.cat([layer[0, :, 1 + 2 * 8 + 3] for layer in seen.attentions])
    np.testing.assert_allclose(rows, asked.numpy(), atol=1e-4)
    cell(page, 2, 3).click()
    assert "Asking: CLS" in caption.inner_text()

    cell(page, 4, 4).click(modifiers=["Shift"])
    page.get_by_label("hides").check()
    cell(page, 4, 5).click()
    tile(page, 2, 1).click()
    assert tile(page, 2, 1).get_attribute("aria-checked") == "false"
    change = {"masked": (36, 37), "off": ((1, 1),)}
    np.testing.assert_allclose(settled(page), expected(pixels, **change), atol=1e-4)
    assert "Hidden: 2 of 64" in caption.inner_text() and "hidden" in cell(page, 4, 4).get_attribute("aria-label")

    page.get_by_role("button", name="Mirror").click()
    np.testing.assert_allclose(settled(page), expected(pixels.flip(2), **change), atol=1e-4)
    page.get_by_role("button", name="Shuffle patches").click()
    moved = settled(page)
    order = page.evaluate("() => document.querySelector('main').screen.state.order")
    assert sorted(order) == list(range(64)) and order != list(range(64))
    patches = pixels.flip(2).unfold(1, 4, 4).unfold(2, 4, 4).flatten(1, 2)[:, order]
    mixed = patches.unflatten(1, (8, 8)).permute(0, 1, 3, 2, 4).reshape(3, 32, 32)
    np.testing.assert_allclose(moved, expected(mixed, **change), atol=1e-4)

    page.get_by_role("button", name="Numbers").click()
    tile(page, 3, 0).hover()
    assert "Layer 3, head 0" in caption.inner_text() and cell(page, 0, 0).inner_text().isdigit()
    shot(page, "changed")
    page.get_by_role("button", name="Reset").click()
    np.testing.assert_allclose(settled(page), expected(pixels), atol=1e-4)
    assert page.complaints == []


def test_by_keys(site, opened):
    page = opened((site / "explorer.html").as_uri())
    press = page.keyboard.press
    cell(page, 0, 0).focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowRight"):
        press(key)  # the second to the left stays at the edge
    assert cell(page, 2, 1).evaluate("it => it === document.activeElement && it.tabIndex === 0")
    press("Enter")
    assert "row 2, column 1" in page.locator(".caption").inner_text()
    press("Space")
    press("Escape")
    assert "Asking: CLS" in page.locator(".caption").inner_text()
    tile(page, 1, 0).focus()
    for key in ("ArrowDown", "ArrowRight", "Space"):
        press(key)
    assert tile(page, 2, 1).get_attribute("aria-checked") == "false"
    page.get_by_label("Positions weigh").focus()
    press("Home")
    page.get_by_label("Temperature").focus()
    for _ in range(4):
        press("ArrowRight")
    change = {"masked": (17,), "off": ((1, 1),), "positions": 0.0, "temperature": 2.0}
    np.testing.assert_allclose(settled(page), expected(PICTURES()[0].pixels, **change), atol=1e-4)
    # Everything is reached by Tab, and nothing holds it: the parts, one stop each, and the page's end.
    page.get_by_role("button", name="Numbers").focus()
    stops = []
    for _ in range(40):
        stops.append(
            page.evaluate(
                "() => document.activeElement.closest('.gallery, .cells, .heads, .controls, .tabs')?.className"
            )
        )
        press("Tab")
    assert [name for name in dict.fromkeys(stops) if name] == ["gallery", "cells", "controls", "heads", "tabs"]
    assert stops.count("cells") == stops.count("heads") == 1


def dropped(page, name, kind, content):
    page.evaluate(
        "([name, type, content]) => { const data = new DataTransfer();"
        "data.items.add(new File([Uint8Array.from(content)], name, {type}));"
        "document.querySelector('main h2').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true})) }",
        [name, kind, list(content)],
    )


def test_a_picture_of_ones_own(site, opened, tmp_path):
    page, status = opened((site / "explorer.html").as_uri()), ".status"
    photo = Image.new("RGB", (90, 64), (40, 90, 160))
    photo.paste((250, 250, 250), (30, 20, 60, 50))
    photo.save(tmp_path / "boat.png")
    page.locator("input[type=file]").set_input_files(tmp_path / "boat.png")
    page.wait_for_function("() => document.querySelector('.status').textContent.includes('90 × 64')")
    assert "cut to its middle and brought to 32 × 32 pixels" in page.locator(status).inner_text()
    pixels = page.evaluate("() => [...document.querySelector('main').screen.pictures.at(-1).pixels]")
    assert pixels[:3] == [40] * 3 and np.reshape(pixels, (3, 32, 32))[:, 16, 16].tolist() == [250] * 3
    own = torch.tensor(pixels, dtype=torch.uint8).reshape(3, 32, 32)
    np.testing.assert_allclose(settled(page), expected(own), atol=1e-4)

    Image.new("LA", (1, 5), (0, 0)).save(tmp_path / "thin.png")  # transparent: white
    dropped(page, "thin.png", "image/png", (tmp_path / "thin.png").read_bytes())
    page.wait_for_function("() => document.querySelector('.status').textContent.includes('1 × 5')")
    assert set(page.evaluate("() => [...document.querySelector('main').screen.pictures.at(-1).pixels]")) == {255}
    for name, content in (("notes.txt", b"no picture"), ("broken.png", (tmp_path / "boat.png").read_bytes()[:40])):
        dropped(page, name, "image/png", content)
        page.wait_for_function("name => document.querySelector('.status').textContent.includes(name)", arg=name)
        assert "is no picture that this browser can read" in page.locator(status).inner_text()
    page.evaluate(
        "() => document.querySelector('h2').dispatchEvent("
        "new DragEvent('drop', {dataTransfer: new DataTransfer(), bubbles: true}))"
    )
    assert "no file" in page.locator(status).inner_text()
    assert page.complaints == []


def test_each_experiment_wants_a_prediction_and_then_shows(site, opened):
    page = opened((site / "explorer.html").as_uri())
    for index in range(5):
        page.locator(".tabs button").nth(index).click()
        go = page.locator(".go")
        assert go.is_disabled() and page.locator(".seen").inner_text() == ""
        page.locator(".panel input").first.check()
        go.click()
        page.locator(".seen p").nth(1).wait_for()
        settled(page)
        said = page.locator(".seen").inner_text()
        assert "You said:" in said and "NaN" not in said and "undefined" not in said
        assert ("On 1,000 CIFAR-10 test images" in said) == (EXPLORER / "measured.json").is_file()
        shot(page, f"experiment-{index + 1}")
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 700, 400])
def test_it_fits_and_can_be_used_without_eyes(site, opened, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    viewport = {"width": width, "height": 900}
    page = opened((site / "explorer.html").as_uri(), color_scheme=scheme, viewport=viewport, bypass_csp=True)
    assert page.locator("main").get_attribute("data-theme") == scheme
    cell(page, 1, 1).click(modifiers=["Shift"])
    tile(page, 1, 1).click()
    page.locator(".tabs button").first.click()
    page.locator("summary").click()
    settled(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    shot(page, f"{scheme}-{width}")
    found = [one for one in axe.run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


def test_what_is_wrong_is_said_on_the_page(site, serve, opened, tmp_path):
    for name in ("cut", "other", "nothing"):
        shutil.copytree(site, tmp_path / name)
    weights = (site / "weights.safetensors").read_bytes()
    (tmp_path / "cut" / "weights.safetensors").write_bytes(weights[:1_000_000])
    page = (tmp_path / "other" / "index.html").read_text(encoding="utf-8")
    assert '"depth": 6' in page
    (tmp_path / "other" / "index.html").write_text(page.replace('"depth": 6', '"depth": 7'), encoding="utf-8")
    (tmp_path / "nothing" / "weights.safetensors").unlink()
    words = {"cut": "cut short", "other": "another model's than the card says", "nothing": "could not be read"}
    for name, sentence in words.items():
        page = opened(f"{serve(tmp_path / name)}/index.html", wait="main[data-failed]")
        assert sentence in page.locator("main").inner_text()
    page = opened((site / "index.html").as_uri(), wait="main[data-failed]")
    assert "open explorer.html" in page.locator("main").inner_text()


def test_the_command_names_files_and_sizes_or_says_what_is_wrong(tmp_path, capsys):
    assert main(["explorer", "--checkpoint", "tiny-imagenet", "--out", str(tmp_path / "new" / "site")]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("index.html", "weights.safetensors: 5.5 MB", "explorer.html: 7.4 MB"))
    given = (tmp_path / "new" / "site" / "index.html").read_text(encoding="utf-8").split('id="given">')[1]
    given = json.loads(given.split("</script>")[0])
    assert len(given["card"]["classes"]) == 200 and given["measured"] is None

    assert main(["explorer", "--checkpoint", "cifar100", "--out", str(tmp_path)]) == 1
    assert "there is no checkpoint 'cifar100'" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["explorer", "--out", str(tmp_path / "file")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_modules_stand_in_the_order_of_their_imports():
    assert "import" not in [line.split(" ")[0] for line in script("engine", *SCREEN, "page").splitlines()]
    with pytest.raises(ValueError, match=r"screen.js imports helpers.js"):
        script("screen")
