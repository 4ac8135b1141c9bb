"""What all figures share."""

import base64
import io

import pytest
import torch
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from vit_course import plots
from vit_course.authoring.running import WIDGET_STATE, run
from vit_course.plots.base import STAGES, Drawn


def test_a_figure_shows_itself_as_png_with_its_alt_text():
    drawn = plots.vit_map("patches")
    data, metadata = drawn._repr_mimebundle_()
    assert data["text/plain"] == repr(drawn) == drawn.alt
    assert metadata == {"image/png": {"alt": drawn.alt}}
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.format == "PNG" and picture.width <= 1200
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)  # legible on a dark page


def test_no_figure_without_alt_text():
    with pytest.raises(ValueError, match="alt text"):
        Drawn(Figure(), " ")


CELLS = """\
%matplotlib inline
from matplotlib import pyplot
from vit_course import plots
plots.vit_map("cls")
"""
SLIDER = """\
import ipywidgets
ipywidgets.interact(lambda here: plots.vit_map(here), here=["cls", "vit"]);
"""


def test_a_figure_is_shown_once_in_a_notebook():
    notebook = new_notebook(cells=[new_code_cell(CELLS), new_code_cell(SLIDER)])
    assert run(notebook) == ""
    (shown,) = notebook.cells[0].outputs
    assert shown.output_type == "execute_result" and "image/png" in shown.data
    assert shown.metadata["image/png"]["alt"] == shown.data["text/plain"] == plots.vit_map("cls").alt
    kept = [state["state"] for state in notebook.metadata.widgets[WIDGET_STATE]["state"].values()]
    (inside,) = [output for state in kept for output in state.get("outputs", ())]
    assert inside["metadata"]["image/png"]["alt"] == plots.vit_map("cls").alt
    assert all("image/png" not in output.get("data", {}) for output in notebook.cells[1].outputs)


@pytest.mark.parametrize("here", [None, *(name for name, _, _ in STAGES)])
def test_the_map_marks_one_place(here):
    figure = plots.vit_map(here).figure
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("you are here") == (here is not None)


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
    images = [torch.zeros(3, 4, 4)] * 2
    figure = plots.image_row(images, ["a", "b"]).figure
    assert [axis.get_title() for axis in figure.axes] == ["a", "b"]
    with pytest.raises(ValueError, match="2 images need as many titles, or none; got 1"):
        plots.image_row(images, ["a"])
    with pytest.raises(ValueError, match="no images"):
        plots.image_row([])


def test_image_row_goes_on_in_further_rows():
    axes = plots.image_row([torch.zeros(3, 4, 4)] * 20, [str(number) for number in range(20)]).figure.axes
    assert [axis.get_title() for axis in axes] == [str(number) for number in range(20)]
    assert len({round(axis.get_position().y0, 3) for axis in axes}) == 4
