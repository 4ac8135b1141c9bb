"""`python -m vit_course.authoring COMMAND`: what a maintainer calls (CONTRIBUTING.md)."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from vit_course.authoring import NOTEBOOKS, ROOT, SOLUTIONS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vit_course.authoring", description="Make what is made of solutions/."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notebooks", help="write notebooks/ from solutions/")
    execute = commands.add_parser("execute", help="run solution notebooks and save them with their outputs")
    execute.add_argument("files", nargs="*", type=Path, help="which (default: all)")
    commands.add_parser("lint", help="look for what should not be committed")
    options = parser.parse_args(arguments)
    return {"notebooks": notebooks, "execute": run, "lint": lint}[options.command](options)


def notebooks(_: argparse.Namespace) -> int:
    from vit_course.authoring.generate import generate

    print("\n".join(generate(SOLUTIONS, NOTEBOOKS)) or "Nothing to do: notebooks/ is in step with solutions/.")
    return 0


def run(options: argparse.Namespace) -> int:
    from vit_course.authoring.running import execute

    failed = False
    for path in options.files or sorted(SOLUTIONS.glob("*.ipynb")):
        start = time.perf_counter()
        problem = execute(path)
        failed |= bool(problem)
        size = path.stat().st_size / 1e6
        said = f"STOPPED, not saved. {problem}" if problem else f"{time.perf_counter() - start:.1f} s, {size:.2f} MB"
        print(f"{path.name}: {said}", flush=True)
    return int(failed)


def lint(_: argparse.Namespace) -> int:
    from vit_course.authoring.lint import lint_all

    found = lint_all(ROOT)
    print("\n".join(found) or "Nothing found.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
