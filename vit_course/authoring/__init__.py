"""From `solutions/` to everything made of it: learners' notebooks, pages, nbgrader's layout, and the lints.

`solutions/*.ipynb` are the source. `python -m vit_course.authoring` lists the commands.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = ROOT / "solutions"
NOTEBOOKS = ROOT / "notebooks"
