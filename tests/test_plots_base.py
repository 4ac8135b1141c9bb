"""What all figures share."""

import base64
import io

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from vit_course import plots
from vit_course.plots.base import STAGES


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    return shown


def test_a_figure_is_shown_as_png_with_its_alt_text(displayed):
    plots.show(plots.vit_map("patches"), alt="the map")
    data, options = displayed[0]
    assert data["text/plain"] == "the map"
    assert options == {"raw": True, "metadata": {"image/png": {"alt": "the map"}}}
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.format == "PNG" and picture.width <= 1200
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)  # legible on a dark page
    assert plt.get_fignums() == []


def test_no_figure_without_alt_text(displayed):
    figure = plots.vit_map()
    with pytest.raises(ValueError, match="alt text"):
        plots.show(figure, alt=" ")
    plt.close(figure)


@pytest.mark.parametrize("here", [None, *(name for name, _, _ in STAGES)])
def test_the_map_marks_one_place(here):
    figure = plots.vit_map(here)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("you are here") == (here is not None)
    plt.close(figure)


def test_a_place_that_is_not_on_the_map_is_named():
    with pytest.raises(ValueError, match="'head'"):
        plots.vit_map("head")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pictures(channels, dtype):
    image = torch.ones(channels, 4, 6).to(dtype) * (255 if dtype == torch.uint8 else 1)
    picture = plots.to_picture(image)
    assert picture.shape == (4, 6, 3)
    assert picture.min() == picture.max() == 1


def test_image_row_needs_as_many_titles_as_images():
    figure = plots.image_row([torch.zeros(3, 4, 4)] * 2, ["a", "b"])
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    plt.close(figure)
