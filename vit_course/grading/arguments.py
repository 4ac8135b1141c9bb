"""The arguments of `vit-course grade`, apart from what it does: `vit-course --help` imports nothing heavy."""

import argparse
from pathlib import Path


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "submissions", type=Path, metavar="SUBMISSIONS", help="a folder, or the zip of Canvas or Moodle"
    )
    parser.add_argument("--out", type=Path, default=Path("grades"), help="folder for the results (default: grades)")
    parser.add_argument("--lesson", default="", metavar="NN", help="grade this lesson only: 01, say")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="submissions at a time (default: the cores)")
    parser.add_argument("--seed", type=int, help="of the cases (default: that of the run before in --out, else chance)")
    parser.add_argument("--settings", type=Path, metavar="FILE", help="points and due dates, as TOML")
    parser.add_argument(
        *("--for",), dest="exports", nargs=2, action="append", default=[], metavar=("SYSTEM", "FILE"),
        help="fill in a gradebook: canvas or moodle, and the file exported there",
    )  # fmt: skip
    parser.add_argument("--shard", default="", metavar="K/N", help="grade the Kth of N parts, on one of many machines")
    parser.add_argument(
        *("--merge",), nargs="+", type=Path, default=[], metavar="DIR",
        help="take over what was graded in these folders, by --shard on other machines",
    )  # fmt: skip
    parser.add_argument(
        *("--allow-unprotected",), action="store_true",
        help="go on without bubblewrap: submitted code can then read your files and use the network",
    )  # fmt: skip
