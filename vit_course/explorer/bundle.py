"""The front end as one piece of JavaScript: modules cannot be loaded from a file that was opened by a double click."""

import re
from pathlib import Path

HERE = Path(__file__).parent
SCREEN = ("helpers", "maps", "draw", "experiments", "screen", "theme")


def script(*modules: str) -> str:
    """Modules of this folder after one another, each after those that it imports, without their imports and exports.

    Args:
        modules: names without `.js`.

    Raises:
        ValueError: a module imports one that does not stand before it.
    """
    parts, there = [], set()
    for module in modules:
        text = (HERE / f"{module}.js").read_text(encoding="utf-8")
        for wanted in re.findall(r'^import .* from "\./(\w+)\.js";$', text, re.MULTILINE):
            if wanted not in there:
                raise ValueError(f"{module}.js imports {wanted}.js, which has to stand before it.")
        text = re.sub(r'^import .* from "\./\w+\.js";\n', "", text, flags=re.MULTILINE)
        parts.append(re.sub(r"^export (?!default)", "", text, flags=re.MULTILINE))
        there.add(module)
    return "\n".join(parts)


def style() -> str:
    """The style sheet."""
    return (HERE / "style.css").read_text(encoding="utf-8")
