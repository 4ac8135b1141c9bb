"""The explorer as a web page: the model runs in the browser, and nothing is asked of any server."""

import base64
import json
from pathlib import Path
from typing import Any

from vit_course import checkpoints
from vit_course.explorer.bundle import HERE, SCREEN, script, style
from vit_course.explorer.pictures import drawn
from vit_course.paths import write_whole

WEIGHTS, WHOLE = "weights.safetensors", "explorer.html"
# No request leaves the page, whatever is in it: at most its own weights are fetched.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'self'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}
body {{ margin: 0; background: #fff; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14181d; }} }}
main {{ max-width: 1180px; margin: 0 auto; padding: 1.4rem 1rem 3rem; box-sizing: content-box; }}
@media (max-width: 1210px) {{ main {{ box-sizing: border-box; }} }}
</style>
</head>
<body>
<main{attributes}><p>Reading the weights …</p></main>
<noscript><p>This page runs a Vision Transformer in your browser, and needs JavaScript for it.</p></noscript>
<script type="application/json" id="given">{given}</script>
{weights}<script type="module">
{script}
</script>
</body>
</html>
"""


def write_page(folder: Path, checkpoint: str | Path = "cifar10") -> dict[Path, int]:
    """Write the page twice: `explorer.html` holds everything and opens by a double click; `index.html` is small and has
    the weights beside it, for a web server.

    Args:
        folder: made where it is not there.
        checkpoint: as in `load_checkpoint`.

    Returns:
        The files and their sizes in bytes.

    Raises:
        ValueError: as `files`.
        StorageError: the folder cannot be written.
    """
    written = {folder / name: content for name, content in files(checkpoint).items()}
    for path, content in written.items():
        write_whole(path, content)
    return {path: len(content) for path, content in written.items()}


def files(checkpoint: str | Path = "cifar10") -> dict[str, bytes]:
    """What `write_page` writes, by name.

    Raises:
        ValueError: there is no such checkpoint, it is damaged, or its pictures are neither grey nor coloured.
    """
    configuration = checkpoints.configuration(checkpoints.load_checkpoint(checkpoint))
    weights, card = checkpoints.weights_path(checkpoint).read_bytes(), checkpoints.card(checkpoint)
    given = json.dumps(_given(card, configuration), ensure_ascii=False).replace("</", "<\\/")
    parts = {
        "policy": POLICY,
        "title": "Inside a Vision Transformer",
        "style": style(),
        "given": given,
        "script": script("engine", *SCREEN, "page"),
    }
    carried = base64.b64encode(weights).decode()
    inside = f'<script type="application/octet-stream" id="weights">{carried}</script>\n'
    return {
        "index.html": PAGE.format(**parts, attributes=f' data-weights="{WEIGHTS}"', weights="").encode(),
        WEIGHTS: weights,
        WHOLE: PAGE.format(**parts, attributes="", weights=inside).encode(),
    }


def _given(card: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
    """All that the page is told: the model's card, the pictures, and what was measured of these weights."""
    classes = card.get("classes") or [f"class {index}" for index in range(configuration["num_classes"])]
    pictures = drawn(tuple(configuration["image_size"]), configuration["in_channels"])
    return {
        "card": {"configuration": configuration, "classes": list(classes)},
        "pictures": [
            {"name": one.name, "pixels": base64.b64encode(one.pixels.numpy().tobytes()).decode()} for one in pictures
        ],
        "measured": measured(card),
        "title": "Inside a Vision Transformer",
        "note": note(configuration, card),
    }


def note(configuration: dict[str, Any], card: dict[str, Any]) -> str:
    """What model this is, in a sentence."""
    height, width = configuration["image_size"]
    size = f"{configuration['depth']} layers of {configuration['heads']} heads"
    accuracy = card.get("accuracy")
    right = f", right about {accuracy:.1%} of {card.get('measured_on', 'its test images')}" if accuracy else ""
    return f"A ViT of {size} for pictures of {width} × {height} pixels{right}. It runs here, in your browser."


def measured(card: dict[str, Any]) -> dict[str, Any] | None:
    """The experiments' numbers on many images, for weights of which they were taken (by benchmarks/explorer.py)."""
    path = HERE / "measured.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found = [numbers for name, numbers in known.items() if checkpoints.card(name) == card]
    return found[0] if found else None
