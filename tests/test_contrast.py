"""What can be seen can be read: text 4.5 to 1 against what lies behind it, lines and marks 3 to 1 (WCAG 2.1, level AA).

Figures are white whatever the theme. Cards take the colour of the text from the theme, and stand on its ground.
"""

import re

import numpy as np
import pytest
from matplotlib import colormaps, colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from test_browser import CHROMIUM, FLAGS
from test_plots_alt import CASES

from vit_course import plots
from vit_course.checks.cards import COLOURS, Card, page, pixel_table
from vit_course.plots.base import ink

TEXT, GRAPHICS = 4.5, 3.0
# White; JupyterLab's, VS Code's and GitHub's dark; Colab's dark.
GROUNDS = ("#ffffff", "#111111", "#1e1e1e", "#0d1117", "#383838")


def contrast(one, other):
    """WCAG 2.1's ratio, 1 to 21."""
    linear = [np.array(colors.to_rgb(colour)) for colour in (one, other)]
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in linear]
    darker, lighter = sorted(float(c @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in linear)
    return lighter / darker


def over(colour, alpha, ground):
    return np.array(colors.to_rgb(colour)) * alpha + np.array(colors.to_rgb(ground)) * (1 - alpha)


def drawn(figure):
    figure.set(facecolor="white", dpi=60)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def pale_texts(figure):
    """Texts that are hard to read on what is drawn below them."""
    full = drawn(figure)
    texts = [one for one in figure.findobj(Text) if one.get_visible() and one.get_text().strip()]
    boxes = [one.get_window_extent(figure.canvas.get_renderer()) for one in texts]
    shades = [(one.get_color(), one.get_alpha() or 1.0) for one in texts]
    for one in texts:
        one.set_alpha(0)
    bare = drawn(figure)
    found = []
    for one, box, (colour, alpha) in zip(texts, boxes, shades, strict=True):
        rows = slice(max(int(len(bare) - box.y1), 0), int(np.ceil(len(bare) - box.y0)))
        columns = slice(max(int(box.x0), 0), int(np.ceil(box.x1)))
        if np.array_equal(full[rows, columns], bare[rows, columns]):
            continue  # a tick's label on an axis that is switched off
        ground = np.median(bare[rows, columns].reshape(-1, 3), axis=0)
        ratio = contrast(over(colour, alpha * colors.to_rgba(colour)[3], ground), ground)
        if ratio < TEXT:
            found.append(f"{one.get_text()!r} {ratio:.2f}")
    return found


def pale_lines(figure):
    """Lines and points of data that hardly differ from white paper; a paler copy of the same colour is no harm."""
    lines = [one for axis in figure.axes if not axis.images for one in axis.lines if len(one.get_xdata())]
    strong = {colors.to_hex(one.get_color()) for one in lines if (one.get_alpha() or 1) == 1}
    found = []
    for one in lines:
        edge = one.get_markeredgecolor() if one.get_marker() not in ("None", None, "") else one.get_color()
        if (one.get_alpha() or 1) < 1 and colors.to_hex(one.get_color()) in strong:
            continue
        ratio = max(
            contrast(over(colour, one.get_alpha() or 1, "white"), "white") for colour in (one.get_color(), edge)
        )
        if ratio < GRAPHICS:
            found.append(f"line {one.get_label()!r} {ratio:.2f}")
    return found


def pale_bars(figure):
    """Bars that hardly differ from white paper and have no edge that does."""
    found = []
    for axis in figure.axes:
        for bars in axis.containers:
            for bar in (one for one in getattr(bars, "patches", ()) if isinstance(one, Rectangle)):
                shades = [bar.get_facecolor()] + [bar.get_edgecolor()] * bool(bar.get_linewidth())
                if max(contrast(over(one, colors.to_rgba(one)[3], "white"), "white") for one in shades) < GRAPHICS:
                    found.append(f"bar {colors.to_hex(bar.get_facecolor())}")
    return found


@pytest.mark.parametrize("name", CASES)
def test_figures_can_be_read(name):
    for arguments, _ in CASES[name]:
        figure = getattr(plots, name)(*arguments).figure
        assert pale_lines(figure) + pale_bars(figure) + pale_texts(figure) == []


@pytest.mark.parametrize("scale", ["viridis", "Blues", "PuOr_r", "cividis", "gray", "magma"])
def test_a_number_on_any_shade_of_a_scale_can_be_read(scale):
    shades = colormaps[scale](np.linspace(0, 1, 256))
    assert min(contrast(ink(shade), shade[:3]) for shade in shades) >= TEXT


def test_what_is_pale_would_be_found():
    figure = Figure()
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="#E69F00", label="orange")
    axis.bar([0], [1], color="#F0E442")
    axis.set_title("pale", color="#999999")
    axis.axis("off")
    assert pale_lines(figure) == ["line 'orange' 2.25"] and pale_bars(figure) == ["bar #f0e442"]
    assert pale_texts(figure) == ["'pale' 2.85"]
    assert contrast("black", "white") == pytest.approx(21) and contrast("#777777", "white") == pytest.approx(
        4.48, abs=0.01
    )


# -- cards


def cards():
    """One of each kind, with all that a card may hold."""
    picture = pixel_table("yours", 2, 2, {(0, 0): "0", (1, 1): "1"})
    details = (("What your code printed", "a < b"),)
    return [Card(kind, f"{kind}: a title", ("Text and `code`.",), picture, details) for kind in COLOURS]


def test_cards_take_the_colour_of_their_text_from_around_them():
    """Or bring the ground for it along."""
    for card in cards():
        text = card._repr_html_()
        for style in re.findall(r'style="([^"]*)"', text):
            rules = dict(rule.split(":", 1) for rule in style.split(";") if rule)
            colour, ground = rules.get("color", "inherit"), rules.get("background", "transparent")
            assert (colour in ("inherit", "currentColor")) == (ground == "transparent"), style
            assert ground == "transparent" or contrast(colour, ground) >= TEXT, style


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("kind", COLOURS)
def test_the_mark_of_a_card_shows_on_every_ground(kind, ground):
    assert contrast(COLOURS[kind], ground) >= GRAPHICS


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_page_of_cards_in_a_browser(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    style = ":root { color-scheme: light dark } details { display: block }"
    body = "<main><h1>Cards</h1>" + "".join(card._repr_html_() for card in cards()) + "</main>"
    (tmp_path / "cards.html").write_text(page("Cards", body.replace("<details ", "<details open "), style), "utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for scheme in ("light", "dark"):
            tab = browser.new_context(color_scheme=scheme).new_page()
            tab.goto((tmp_path / "cards.html").as_uri())
            found = axe.run(tab).response
            assert found["violations"] == []
            assert any(one["id"] == "color-contrast" and one["nodes"] for one in found["passes"])
        browser.close()
