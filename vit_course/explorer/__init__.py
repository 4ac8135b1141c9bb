"""The explorer: a live ViT to poke at, in a notebook and on a web page, with no server.

`explore(model)` in a notebook, with any ViT; `vit-course explorer` for a page with the shipped weights.

What is shown is one front end (screen.js and what it imports) in two shells: page.js, in which engine.js runs the
model in the browser, and widget.js, which asks the kernel (notebook.py).
"""

from vit_course.explorer.notebook import Explorer, explore

__all__ = ["Explorer", "explore"]
