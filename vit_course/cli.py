"""The command `vit-course`. Each subcommand imports what it needs, so that `vit-course --help` is quick."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import vit_course
from vit_course import copies
from vit_course.grading import arguments as grading_arguments

ROOT = Path(vit_course.__file__).resolve().parent.parent
FIRST = "00_start_here.ipynb"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `vit-course` with these arguments. Returns the exit status."""
    for stream in (sys.stdout, sys.stderr):  # a console that lacks a character must not end a command
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(prog="vit-course", description="Write a Vision Transformer, step by step.")
    parser.add_argument("--version", action="version", version=f"vit-course {vit_course.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command("doctor", doctor, "Look whether this machine is ready for the course.")
    command("work", work, "Copy the notebooks that are missing to work/; yours are never overwritten.")
    update_ = command("update", update, "Write lessons that have changed beside your copies, with your answers.")
    update_.add_argument("lesson", nargs="*", help="01, say; all that have changed if none is named")
    command("lab", lab, "Copy missing notebooks to work/ and open JupyterLab, which gets any further arguments.")
    progress_ = command("progress", progress, "Show how far you have come.")
    progress_.add_argument("--export", metavar="FILE", help="write it to a file as JSON as well")
    certificate_ = command("certificate", certificate, "Write the course's last page, filled in from your progress.")
    certificate_.add_argument("--name", default="", help="yours, if you like")
    certificate_.add_argument("--out", default="certificate.html", metavar="FILE", help="(default: certificate.html)")
    for name, run, text in (
        ("course", course, "Run every solution notebook and write what comes out as one site."),
        ("book", book, "Write the solution notebooks, as they are, as one site."),
    ):
        made = command(name, run, text)
        made.add_argument("--out", type=Path, default=ROOT / "build" / name, help=f"where to (default: build/{name})")
    train_ = command("train", train, "Train a ViT from a recipe; started again, it goes on where it stopped.")
    train_.add_argument("recipe", nargs="?", help="what to do; --list shows them all")
    train_.add_argument("--list", action="store_true", help="show the recipes and end")
    train_.add_argument("--data", help='"cifar10", "shapes", or a folder with train/<class>/ and test/<class>/')
    train_.add_argument("--out", type=Path, help="folder for snapshots and weights (default: runs/RECIPE)")
    train_.add_argument(
        "--minutes", type=float, help="as many steps as fit into this time on this machine; evaluations come on top"
    )
    train_.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="change the recipe: --set dim=144 lr=1e-3 (names: help(vit_course.training.Recipe))",
    )
    grade_ = command("grade", grade, "Grade a class's notebooks: points, feedback, and what is commonly misunderstood.")
    grading_arguments.add(grade_)
    gradescope_ = command("gradescope", gradescope, "Build an autograder for Gradescope.")
    gradescope_.add_argument("out", type=Path, metavar="OUT.zip")
    gradescope_.add_argument("--lesson", required=True, metavar="NN", help="01, say")
    gradescope_.add_argument("--settings", type=Path, metavar="FILE", help="points, as TOML")
    publish_ = command(
        "publish", publish, "Write Colab badges and set-up cells that install from a repository on GitHub."
    )
    publish_.add_argument("--repo", metavar="OWNER/NAME", help="the repository: yours, in a fork")
    publish_.add_argument("--ref", default="main", metavar="TAG", help="a branch or tag of it (default: main)")
    publish_.add_argument("--undo", action="store_true", help="take badges and set-up cells back")
    explorer_ = command("explorer", explorer, "Write the explorer, a web page that shows a ViT at work.")
    explorer_.add_argument(
        "--checkpoint", default="cifar10", help='"cifar10", "tiny-imagenet", or a .safetensors file of `train`'
    )
    explorer_.add_argument("--out", type=Path, default=Path("explorer"), help="folder (default: explorer)")
    nbgrader_ = command("nbgrader-source", nbgrader_source, "Lay the lessons out as nbgrader wants them.")
    nbgrader_.add_argument("directory", type=Path, metavar="DIR")

    options, further = parser.parse_known_args(arguments)
    if further and options.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    options.further = further
    options.given = list(sys.argv[1:] if arguments is None else arguments)
    return options.run(options) or 0


def doctor(options: argparse.Namespace) -> int:
    from vit_course.doctor import main as report

    return report()


def progress(options: argparse.Namespace) -> int:
    from vit_course.checks import progress as read

    current = read()
    print(current)
    if options.export:
        try:
            print(f"Written to {current.export(options.export)}.")
        except OSError as error:
            return _failed(f"The progress cannot be written to {options.export}: {error.strerror}.")
    return 0


def certificate(options: argparse.Namespace) -> int:
    from vit_course.checks import certificate as fill_in

    made = fill_in(options.name, options.out)
    print(made)
    return 0 if made.path else 1


def nbgrader_source(options: argparse.Namespace) -> int:
    from vit_course.authoring.nbgrader_layout import nbgrader_source as lay_out

    try:
        written = lay_out(options.directory, ROOT / "solutions")
    except OSError as error:
        return _failed(str(error))
    print(f"{len(written)} lessons in {options.directory / 'source'}.")
    return 0


def publish(options: argparse.Namespace) -> int:
    if bool(options.repo) == options.undo:
        return _failed("Give --repo OWNER/NAME, or --undo.")
    from vit_course.authoring import publish as publishing

    try:
        changed = publishing.undo(ROOT) if options.undo else publishing.publish(ROOT, options.repo, options.ref)
    except (publishing.RefusedError, OSError) as error:
        return _failed(str(error))
    print("\n".join(changed) or "Nothing to do: all is as asked for.")
    if changed:
        print('\nLook with `git diff`, then: git commit -am "Say where the course is published" && git push')
        print(
            "A tag must hold this commit, or Colab opens the notebooks as they were: git tag -f TAG before you push it."
        )
    return 0


def train(options: argparse.Namespace) -> int:
    try:
        from vit_course.training.command import main as run

        return run(options)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def grade(options: argparse.Namespace) -> int:
    from vit_course.grading.command import main as run

    return run(options)


def gradescope(options: argparse.Namespace) -> int:
    from vit_course.grading.gradescope import command

    return command(options)


def explorer(options: argparse.Namespace) -> int:
    from vit_course.explorer.page import write_page

    try:
        written = write_page(options.out, options.checkpoint)
    except (ValueError, OSError) as error:
        return _failed(str(error))
    for path, size in written.items():
        print(f"{path}: {size / 1e6:.1f} MB" if size > 1e6 else f"{path}: {size / 1e3:.0f} kB")
    print("Open explorer.html by a double click, with or without a network; it holds all the rest.")
    print("For a web server, put index.html and the weights there.")
    return 0


def course(options: argparse.Namespace) -> int:
    from vit_course.authoring.course import build_course

    return build_course(ROOT / "solutions", options.out)


def book(options: argparse.Namespace) -> int:
    from vit_course.authoring.course import write_book

    return write_book(ROOT / "solutions", options.out)


def places() -> tuple[Path, Path]:
    """Where the notebooks lie and where the copies go: two folders of a checkout; else the wheel's, and `work` here."""
    inside = Path(vit_course.__file__).resolve().parent / "notebooks"
    return (inside, Path.cwd() / "work") if inside.is_dir() else (ROOT / "notebooks", ROOT / "work")


def work(options: argparse.Namespace) -> int:
    source, target = places()
    if not source.is_dir():
        return _failed(f"There are no notebooks in {source}. This command works in a checkout of the course.")
    try:
        copied = copies.copy_missing(source, target)
    except OSError as error:
        return _failed(f"The notebooks cannot be copied to {target}: {error.strerror}.")
    if copied:
        print(f"New in {target.name}/: {', '.join(copied)}")
    if newer := copies.outdated(source, target):
        print(
            f"The course has changed since you copied {', '.join(newer)}. Yours stay as they are; `vit-course update` "
            "writes the new ones beside them, with your answers."
        )
    return 0


def update(options: argparse.Namespace) -> int:
    (source, target), status = places(), 0
    names = [path.name for path in sorted(source.glob("*.ipynb")) if (target / path.name).is_file()]
    if not names:
        return _failed(f"There are no copies of the lessons in {target} yet: `vit-course work` makes them.")
    wanted = copies.outdated(source, target)
    if options.lesson:
        wanted = [name for name in names if name.startswith(tuple(options.lesson))]
        if unknown := [one for one in options.lesson if not any(name.startswith(one) for name in names)]:
            return _failed(f"There is no copy of lesson {unknown[0]} in {target}. There are: {', '.join(names)}.")
    if not wanted:
        print("Your copies are those of the lessons as they are now. To have one written anyway, name it: update 01")
    for name in wanted:
        try:
            path, answers = copies.update(source / name, target / name)
        except (ValueError, OSError) as error:
            status = _failed(str(error))
            continue
        held = f"with your {', '.join(answers)}" if answers else "without answers, since your copy has none"
        print(f"{target.name}/{path.name}: {held}. Notes and other cells of yours stay in {name}.")
    return status


def lab(options: argparse.Namespace) -> int:
    if failed := work(options):
        return failed
    _quiet_first_start()
    # Containers often have no user but root, and Jupyter refuses root unless told.
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    place = [f"--ServerApp.root_dir={places()[1]}", f"--LabApp.default_url=/lab/tree/{FIRST}"]
    print("Opening JupyterLab. Stop it with Ctrl-C.", flush=True)
    try:
        return subprocess.call(
            [sys.executable, "-m", "jupyterlab", "--log-level=WARN", *place, *as_root, *options.further]
        )
    except KeyboardInterrupt:  # the usual way to stop JupyterLab, which has said good-bye itself
        return 0


def _quiet_first_start() -> None:
    """Spare a newcomer JupyterLab's question about news, in this environment only and unless it is configured."""
    settings = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    with contextlib.suppress(OSError):
        settings.parent.mkdir(parents=True, exist_ok=True)
        with settings.open("x", encoding="utf-8") as file:
            json.dump({"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}, file)


def _failed(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
