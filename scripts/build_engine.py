"""Assemble vit_course/explorer/matmul.wat and put the bytes into engine.js, where a browser needs them.

    .venv/bin/python scripts/build_engine.py

To be run after matmul.wat was changed; tests/test_explorer_engine.py compares the two.
"""

import base64
import re
from pathlib import Path

EXPLORER = Path(__file__).resolve().parent.parent / "vit_course" / "explorer"
PLACE = re.compile(r'(?<=^const MATMUL =\n  ")[^"]*(?=";$)', re.MULTILINE)


def assembled() -> str:
    """The bytes of the module as base64, without the names of its variables: they are for people, who have the text."""
    from wasmtime import wat2wasm

    text = (EXPLORER / "matmul.wat").read_text(encoding="utf-8")
    return base64.b64encode(without_names(bytes(wat2wasm(text)))).decode()


def without_names(module: bytes) -> bytes:
    """A WebAssembly module without its custom sections (id 0), which engines ignore."""
    kept, at = module[:8], 8
    while at < len(module):
        start, length, shift = at, 0, 0
        at += 1
        while True:  # the section's length, LEB128
            byte = module[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        at += length
        if module[start] != 0:
            kept += module[start:at]
    return kept


def main() -> None:
    engine = EXPLORER / "engine.js"
    text, count = PLACE.subn(assembled(), engine.read_text(encoding="utf-8"))
    if count != 1:
        raise SystemExit(f"{engine} has no line `const MATMUL = …` to write to.")
    engine.write_text(text, encoding="utf-8")
    print(f"{engine.name}: matmul.wat assembled.")


if __name__ == "__main__":
    main()
