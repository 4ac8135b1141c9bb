"""`vit-course publish`: say in every notebook and in the README where the course is published, or nowhere again.

A fork does the same with its own name; nothing of the place before stays.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from vit_course.authoring.generate import generate
from vit_course.authoring.published import badge
from vit_course.paths import write_whole

PLACE = "vit_course/authoring/published.py"
README = "README.md"
_ROW = re.compile(r"^(\| \[\d\d [^|\]]*\]\(notebooks/([^)]+)\) \|.*\| )\S.*? \|$", re.MULTILINE)


class RefusedError(Exception):
    """Nothing was written. The message says why, and what to do."""


def publish(root: Path, repository: str, ref: str = "main") -> list[str]:
    """Write set-up cells and badges that lead to a repository on GitHub.

    Args:
        root: the checkout, without changes that are not committed, so that `git diff` then shows this one alone.
        repository: "owner/name".
        ref: a branch or tag of it, which Colab opens and installs.

    Returns:
        What changed, a line for each file.

    Raises:
        RefusedError: this is no checkout, it has changes of its own, or git does not know the ref.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", repository):
        raise RefusedError(f"{repository!r} does not name a repository on GitHub. Give OWNER/NAME, as in its address.")
    if changes := _git(root, "status", "--porcelain").splitlines():
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        named = ", ".join(line[3:] for line in changes[:3])
        raise RefusedError(f"There are changes that are not committed: {named}{more}. Commit or stash them first.")
    known = _refs(root)
    if ref not in known:
        raise RefusedError(
            f"There is no branch or tag {ref!r}, so nobody could install it. "
            f"There are: {', '.join(known) or 'none yet'}. (For those on GitHub only: git fetch --tags)"
        )
    return _write(root, repository, ref)


def undo(root: Path) -> list[str]:
    """Take it all back: the set-up cells say that the course is not published, and there are no badges.

    Returns:
        What changed, a line for each file.

    Raises:
        RefusedError: this is no checkout.
    """
    _git(root, "status", "--porcelain")
    return _write(root, "", "main")


def _write(root: Path, repository: str, ref: str) -> list[str]:
    constants = f'REPOSITORY = "{repository}"', f'REF = "{ref}"'
    place = (root / PLACE).read_text(encoding="utf-8")
    for constant in constants:
        name = constant.split(" ")[0]
        place, found = re.subn(rf'^{name} = "[^"]*"', constant, place, flags=re.MULTILINE)
        if found != 1:
            raise RefusedError(f'{PLACE} should have one line `{name} = "…"` and has {found}.')
    readme = (root / README).read_text(encoding="utf-8")
    readme = _ROW.sub(lambda row: f"{row[1]}{badge(row[2], repository, ref) or '–'} |", readme)
    changed = generate(root / "solutions", root / "notebooks", repository, ref)
    for name, text in ((README, readme), (PLACE, place)):
        if (root / name).read_text(encoding="utf-8") != text:
            write_whole(root / name, text.encode())
            changed.append(f"{name}: written")
    return changed


def _refs(root: Path) -> list[str]:
    """Branches, here and on remotes, and tags."""
    listed = _git(root, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags", "refs/remotes").splitlines()
    names = (re.sub(r"^refs/(heads|tags|remotes/[^/]+)/", "", name) for name in listed)
    return list(dict.fromkeys(name for name in names if name != "HEAD"))


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError as error:
        raise RefusedError("git is not installed, or not on the PATH.") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise RefusedError(f"Publishing works in a checkout of the course ({said[-1] if said else 'git failed'}).")
    return done.stdout
