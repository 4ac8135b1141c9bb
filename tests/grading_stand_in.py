"""A marker that runs nothing: what a cell is worth stands in it as a word. And notebooks to hand in."""

import json
import os
import re
import signal
import time
from dataclasses import dataclass

NAMES = {
    "01": ("num_patches", "patchify", "unpatchify", "corrected_pattern"),
    "02": ("PatchEmbedding", "linear_to_conv"),
}


@dataclass(frozen=True)
class Mark:
    """As in `vit_course.grading.marking`, which takes its time to import."""

    exercise: str
    status: str
    mistake: str | None = None
    message: str = ""
    remarks: tuple[str, ...] = ()


class StandIn:
    """Marks by the word after `# ` in the definition: RIGHT, WRONG, ERROR, or DIE, which ends the process."""

    def __init__(self, *, seed, allow_unprotected=False):
        if os.environ.get("STAND_IN_UNPROTECTED") and not allow_unprotected:
            from vit_course.grading.marking import Unprotected

            raise Unprotected("bubblewrap is missing: --allow-unprotected goes on without it.")
        self.seed = seed
        missing = {"files": "missing: code could read files"} if os.environ.get("STAND_IN_UNPROTECTED") else {}
        self.protections = {"network": "no network"} | missing

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        pass

    def mark(self, cells, exercises):
        return [self._one(name, cells) for name in exercises]

    def _one(self, name, cells):
        texts = [cell for cell in cells if re.search(rf"^(def|class) {name}\b", cell, re.M)]
        if not texts:
            return Mark(name, "missing", None, f"No cell defines `{name}`.")
        text = texts[-1]
        if "# DIE" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "# HANG" in text:
            time.sleep(600)
        if "# BREAK" in text:
            raise RuntimeError("the marker itself")
        if "# RIGHT" in text:
            return Mark(
                name, "passed", None, "Right on all 9 cases.", ("is the published reference",) * ("PUBLISHED" in text)
            )
        if "# WRONG" in text:
            return Mark(name, "failed", "only-reshapes", "The shape is right, but `reshape` alone cuts <b>.")
        if "# ERROR" in text:
            return Mark(name, "error", None, "It stops: `ValueError: <script>alert(1)</script>`")
        return Mark(name, "unattempted", None, "Not attempted yet.")


def answer(name, word=""):
    """A cell with a definition; without a word the untouched stub."""
    body = f"return 0  # {word}" if word else "raise NotImplementedError"
    return (
        f"def {name}(x):\n    {body}\n"
        if name[0].islower()
        else f"class {name}:\n    def forward(self, x):\n        {body}\n"
    )


def cells(lesson="01", *words, **named):
    """The code cells of a lesson: all right, or as given."""
    names = NAMES[lesson]
    given = dict(zip(names, words or ["RIGHT"] * len(names), strict=False)) | named
    return ["import torch", *(answer(name, given.get(name, "")) for name in names), "patchify = check(patchify)"]


def notebook(sources=None, **changes):
    """The bytes of a notebook of format 4.5."""
    made = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": source}
        for i, source in enumerate(cells() if sources is None else sources)
    ]
    made.insert(0, {"cell_type": "markdown", "id": "top", "metadata": {}, "source": "# A lesson"})
    document = {"cells": made, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(document | changes).encode()


def hand_in(folder, files):
    """Write files: {"ada/01_patches.ipynb": bytes or None for an empty folder}."""
    for name, data in files.items():
        path = folder / name
        if data is None:
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
