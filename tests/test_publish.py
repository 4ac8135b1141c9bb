"""`vit-course publish`, on a small checkout made here: all or nothing, for any owner, and back again."""

import shutil
import subprocess

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vit_course import cli, copies
from vit_course.authoring import ROOT
from vit_course.authoring.generate import generate, save, tidy
from vit_course.authoring.publish import PLACE, RefusedError, publish, undo

README = """| lesson | what | minutes | Colab |
| --- | --- | --- | --- |
| [00 Small](notebooks/00_small.ipynb) | `a`, [b](docs/b.md) | 25 | – |
| 01 Large, to come | more | 50 and the run | – |
"""


def git(root, *arguments):
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    root = tmp_path / "course"
    (root / PLACE).parent.mkdir(parents=True)
    shutil.copy(ROOT / PLACE, root / PLACE)
    (root / "README.md").write_text(README, encoding="utf-8")
    cells = [new_markdown_cell("# 00 · Small", id="intro"), new_code_cell("1 + 1", id="sum")]
    save(tidy(new_notebook(cells=cells)), root / "solutions" / "00_small.ipynb")
    generate(root / "solutions", root / "notebooks", "", "main")
    git(tmp_path, "init", "-q", str(root))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "First")
    undo(root)  # from wherever this course itself is published
    git(root, "commit", "-q", "--allow-empty", "-am", "Nowhere")
    git(root, "tag", "v1")
    monkeypatch.setattr(cli, "ROOT", root)
    return root


def contents(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and ".git" not in path.parts}


def test_everything_names_the_place(checkout, capsys):
    assert cli.main(["publish", "--repo", "owner/a.course", "--ref", "v1"]) == 0
    said = capsys.readouterr().out
    badge = "colab.research.google.com/github/owner/a.course/blob/v1/notebooks/00_small.ipynb"
    for folder in ("solutions", "notebooks"):
        cells = nbformat.read(checkout / folder / "00_small.ipynb", as_version=4).cells
        assert [cell.id for cell in cells] == ["colab", "intro", "setup", "sum"]
        assert badge in cells[0].source
        assert "git+https://github.com/owner/a.course@v1" in cells[2].source
        assert f"{folder}/00_small.ipynb" in said
    small, large = (checkout / "README.md").read_text(encoding="utf-8").splitlines()[2:]
    assert badge in small and small.startswith(
        "| [00 Small](notebooks/00_small.ipynb) | `a`, [b](docs/b.md) | 25 | [!["
    )
    assert large == README.splitlines()[3]
    place = (checkout / PLACE).read_text(encoding="utf-8")
    assert 'REPOSITORY = "owner/a.course"  #' in place and 'REF = "v1"  #' in place
    assert "git commit" in said


def test_a_fork_replaces_the_place_and_undoing_leaves_nothing(checkout, capsys):
    before = contents(checkout)
    publish(checkout, "owner/course")
    git(checkout, "commit", "-q", "-am", "Published")
    once = contents(checkout)
    publish(checkout, "someone/fork")
    assert not any(b"owner/course" in text for text in contents(checkout).values())
    git(checkout, "commit", "-q", "-am", "Forked")
    publish(checkout, "owner/course")
    assert contents(checkout) == once
    assert cli.main(["publish", "--undo"]) == 0  # though nothing is committed yet
    assert contents(checkout) == before
    capsys.readouterr()
    assert cli.main(["publish", "--undo"]) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_a_learners_copy_is_not_outdated_by_publishing(checkout):
    copies.copy_missing(checkout / "notebooks", checkout / "work")
    git(checkout, "add", "work")
    git(checkout, "commit", "-q", "-m", "Work")
    publish(checkout, "owner/course")
    assert copies.outdated(checkout / "notebooks", checkout / "work") == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--repo", "owner/course", "--ref", "v2"],
            "no branch or tag 'v2', so nobody could install it. There are: main",
        ),
        (["--repo", "https://github.com/owner/course"], "Give OWNER/NAME"),
        (["--repo", 'owner/"course'], "Give OWNER/NAME"),
        ([], "--repo OWNER/NAME, or --undo"),
        (["--repo", "owner/course", "--undo"], "--repo OWNER/NAME, or --undo"),
    ],
)
def test_what_is_refused_changes_nothing(checkout, arguments, sentence, capsys):
    before = contents(checkout)
    assert cli.main(["publish", *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert contents(checkout) == before


@pytest.mark.parametrize("name", ["README.md", "solutions/01_new.ipynb"])
def test_changes_that_are_not_committed_are_named(checkout, name, capsys):
    with open(checkout / name, "a", encoding="utf-8") as file:
        file.write("\n")
    before = contents(checkout)
    assert cli.main(["publish", "--repo", "owner/course"]) == 1
    assert f"not committed: {name}. Commit" in capsys.readouterr().err
    assert contents(checkout) == before


def test_outside_a_checkout_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for refused in (lambda: publish(tmp_path, "owner/course"), lambda: undo(tmp_path)):
        with pytest.raises(RefusedError, match="in a checkout of the course"):
            refused()


def test_a_remote_branch_is_known(checkout, tmp_path):
    git(tmp_path, "clone", "-q", "--bare", str(checkout), str(tmp_path / "origin.git"))
    git(tmp_path / "origin.git", "branch", "next")
    git(tmp_path, "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    assert publish(tmp_path / "clone", "owner/course", "next")


def test_the_course_is_published_where_its_files_say(tmp_path):
    """All of it says the same place, whatever that is: in the checkout itself, nothing is left to write."""
    from vit_course.authoring.publish import _write
    from vit_course.authoring.published import REF, REPOSITORY

    for name in ("README.md", PLACE, "solutions", "notebooks"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    assert _write(tmp_path, REPOSITORY, REF) == []
