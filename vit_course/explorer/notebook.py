"""The explorer in a notebook: the model runs in the kernel, so any ViT will do, a learner's own unfinished one too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from vit_course.data import ImageSet
from vit_course.explorer.bundle import SCREEN, script, style
from vit_course.explorer.intervening import Intervention, Seen, run
from vit_course.explorer.pictures import Picture, drawn
from vit_course.images import to_floats
from vit_course.plots.base import Drawn
from vit_course.plots.explorer import every_head

MOST_PICTURES = 24
WITHOUT = (
    "For the live explorer, run `pip install anywidget` and restart the kernel. A still picture stands in for it; "
    "`vit-course explorer` writes the explorer as a web page."
)


def explore(
    model: nn.Module,
    images: UInt8[Tensor, "images channels height width"] | ImageSet | None = None,
    *,
    classes: Sequence[str] | None = None,
    prepare: Callable[[Tensor], Tensor] = to_floats,
    heads: int | None = None,
) -> Explorer:
    """Look into a ViT, live: as the last value of a cell it shows itself.

    Args:
        model: a `ViT` that classifies, ours or one with the course's names for its parts. What it lacks is said there.
        images: bytes, (N, C, H, W), or what `load_images` gives; the first 24 are shown. The explorer's own where not
            given.
        classes: their names, in the order of the model's scores.
        prepare: makes of bytes what the model takes; floats from -1 to 1 where not given.
        heads: how many each layer has, where the model keeps no number of them.

    Raises:
        ValueError: the images are no bytes of such a shape, or there are none.
    """
    if isinstance(images, ImageSet):
        classes = images.classes if classes is None else classes
        images = images.images
    pictures = drawn(*_wanted(model)) if images is None else _pictures(images)
    return Explorer(model, pictures, classes, prepare, heads)


class Explorer:
    """A model and pictures to look into it with. In a notebook it shows the screen; elsewhere a still picture.

    Attributes:
        problem: why nothing can be shown, as a sentence; None where all is well.
    """

    def __init__(
        self,
        model: nn.Module,
        pictures: list[Picture],
        classes: Sequence[str] | None,
        prepare: Callable,
        heads: int | None,
    ) -> None:
        self.model, self.pictures, self.prepare, self.heads = model, pictures, prepare, heads
        self.problem: str | None = None
        self._widget = None
        try:
            seen = self.look(pictures[0].pixels)
            self.sizes = _sizes(model, pictures[0].pixels, seen)
        except Exception as error:  # an unfinished model may fail in any way
            self.problem = f"This ViT cannot be explored yet. {why(error)}"
            return
        count = seen.logits.shape[1]
        self.classes = [str(name) for name in classes or ()]
        self.classes += [f"class {index}" for index in range(len(self.classes), count)]

    def look(self, pixels: UInt8[Tensor, "channels height width"], change: Intervention | None = None) -> Seen:
        """Run the model on one picture, changed or as it is."""
        parameter = next(self.model.parameters(), torch.empty(0))
        images = self.prepare(pixels[None]).to(parameter.device, parameter.dtype)
        return run(self.model, images, change, self.heads)

    def still(self) -> Drawn:
        """The first picture, where CLS looks in every head, and the classes. With its own text.

        Raises:
            ValueError: the model cannot be run.
        """
        if self.problem:
            raise ValueError(self.problem)
        seen = self.look(self.pictures[0].pixels)
        weights = torch.stack([layer[0, :, 0, 1:] for layer in seen.attentions]).cpu().float()
        maps = weights.unflatten(-1, (self.sizes["rows"], self.sizes["columns"]))
        return every_head(self.pictures[0].pixels, maps, self.classes, seen.logits[0].softmax(0).cpu())

    def __repr__(self) -> str:
        return self.problem or self.still().alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        """The live screen, and for where there is none a still picture and its text."""
        if self.problem:
            return {"text/plain": self.problem}
        data, metadata = self.still()._repr_mimebundle_()
        live = self.widget()
        if live is None:
            print(WITHOUT)
            return data, metadata
        shown = live._repr_mimebundle_()
        theirs, also = shown if isinstance(shown, tuple) else (shown, {})
        return {**theirs, **data}, {**also, **metadata}

    def widget(self) -> Any | None:
        """The live part, made once; None where anywidget is not installed."""
        if self._widget is None:
            try:
                import anywidget
            except ImportError:
                return None
            _welcome_on_colab()
            parts = {"_esm": script(*SCREEN, "widget"), "_css": style()}
            self._widget = type("Screen", (anywidget.AnyWidget,), parts)()
            self._widget.on_msg(self._asked)
        return self._widget

    def _asked(self, widget: Any, question: dict[str, Any], buffers: list[memoryview]) -> None:
        """Answer the screen. Whatever goes wrong becomes a sentence there."""
        try:
            answer, data = self._begin() if question.get("do") == "begin" else self._run(question, buffers)
        except Exception as error:
            answer, data = {"error": why(error)}, []
        widget.send({**answer, "id": question.get("id")}, buffers=data)

    def _begin(self) -> tuple[dict[str, Any], list[bytes]]:
        given = {
            "sizes": self.sizes,
            "classes": self.classes,
            "measured": None,
            "title": "Inside this ViT",
            "note": f"{self.sizes['depth']} layers of {self.sizes['heads']} heads. It runs in the kernel.",
        }
        return {"given": given, "names": [one.name for one in self.pictures]}, [
            one.pixels.numpy().tobytes() for one in self.pictures
        ]

    def _run(self, question: dict[str, Any], buffers: list[memoryview]) -> tuple[dict[str, Any], list[bytes]]:
        pixels = torch.frombuffer(bytearray(buffers[0]), dtype=torch.uint8)
        shape = [self.sizes[name] for name in ("channels", "height", "width")]
        change = question["change"]
        change["off"] = [tuple(pair) for pair in change["off"]]
        seen = self.look(pixels.reshape(shape), Intervention(**change))
        rows = torch.stack([layer[0, :, question["asking"]] for layer in seen.attentions])
        answer = {"tokens": rows.shape[-1], "classes": seen.logits.shape[1]}
        return answer, [one.float().cpu().numpy().tobytes() for one in (seen.logits[0], rows, seen.lens[0])]


def why(error: Exception) -> str:
    """What went wrong in a model, in a sentence."""
    if isinstance(error, NotImplementedError):
        return f"A part of it is not written yet{f': {error}' if str(error) else ''}."
    text = str(error).strip().split("\n")[0].rstrip(".")
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return f"{kind}{text or 'it gave no reason'}."


def _pictures(images: UInt8[Tensor, "images channels height width"]) -> list[Picture]:
    if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
        given = f"{images.dtype}, {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"explore takes images as bytes, (N, C, H, W) with N above 0, as load_images(…).images; got {given}. "
            "How they become floats is for `prepare` to say."
        )
    if images.shape[1] not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, got {images.shape[1]}: the explorer cannot show these.")
    return [Picture(f"picture {index}", one.contiguous()) for index, one in enumerate(images[:MOST_PICTURES])]


def _wanted(model: nn.Module) -> tuple[tuple[int, int], int]:
    """The size and the channels of pictures that a model takes, where it says so; else CIFAR's."""
    size = getattr(model, "image_size", 32)
    try:
        channels = model.embedding.projection.in_features // model.embedding.patch_size**2
    except AttributeError:
        channels = 3
    return (size, size) if isinstance(size, int) else tuple(size), channels


def _sizes(model: nn.Module, pixels: Tensor, seen: Seen) -> dict[str, int]:
    """What the screen needs to know, read off a run."""
    channels, height, width = pixels.shape
    patch = math.isqrt(model.get_submodule("embedding.projection").in_features // channels)
    rows, columns = height // patch, width // patch
    tokens = seen.attentions[0].shape[-1]
    if tokens != 1 + rows * columns:
        raise ValueError(f"it has {tokens} tokens; {rows} × {columns} patches and CLS would be {1 + rows * columns}.")
    return {
        **{"channels": channels, "height": height, "width": width, "rows": rows, "columns": columns},
        **{"depth": len(seen.attentions), "heads": seen.attentions[0].shape[1]},
    }


def _welcome_on_colab() -> None:
    """Colab shows widgets of others only when asked to."""
    try:
        from google.colab import output
    except ImportError:
        return
    output.enable_custom_widget_manager()
