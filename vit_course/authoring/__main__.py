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
    generate_ = commands.add_parser("notebooks", help="write notebooks/ from solutions/")
    generate_.add_argument("--check", action="store_true", help="write nothing; say what differs, and fail if any does")
    execute = commands.add_parser("execute", help="run solution notebooks and save them with their outputs")
    execute.add_argument("files", nargs="*", type=Path, help="which (default: all)")
    commands.add_parser("lint", help="look for what should not be committed")
    options = parser.parse_args(arguments)
    return {"notebooks": notebooks, "execute": run, "lint": lint}[options.command](options)


def notebooks(options: argparse.Namespace) -> int:
    if options.check:
        from vit_course.authoring.lint import out_of_step

        return _say(out_of_step(SOLUTIONS, NOTEBOOKS))
    from vit_course.authoring.generate import generate

    print("\n".join(generate(SOLUTIONS, NOTEBOOKS)) or "Nothing to do: notebooks/ is in step with solutions/.")
    return 0


def run(options: argparse.Namespace) -> int:
    from vit_course.authoring.lint import LARGEST
    from vit_course.authoring.running import execute

    if missing := [str(path) for path in options.files if not path.is_file()]:
        print(f"There is no {', no '.join(missing)}.", file=sys.stderr)
        return 1
    failed = False
    for path in options.files or sorted(SOLUTIONS.glob("*.ipynb")):
        start = time.perf_counter()
        problem = execute(path)
        failed |= bool(problem)
        size = path.stat().st_size
        said = f"{time.perf_counter() - start:.1f} s, {size / 1e6:.2f} MB"
        if problem:
            said = f"STOPPED, not saved. {problem}"
        elif size > LARGEST:
            said += f": more than {LARGEST / 1e6} MB; make its figures smaller"
        print(f"{path.name}: {said}", flush=True)
    return int(failed)


def lint(_: argparse.Namespace) -> int:
    from vit_course.authoring.lint import lint_all

    return _say(lint_all(ROOT))


def _say(found: list[str]) -> int:
    print("\n".join(found) or "Nothing found.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
