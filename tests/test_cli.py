import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import vit_course
from vit_course import cli, copies
from vit_course.authoring.course import build_course
from vit_course.paths import home


def test_help_names_every_command_and_imports_nothing_heavy():
    code = """
import sys
from vit_course.cli import main
try:
    main(["--help"])
finally:
    assert not {"torch", "matplotlib", "nbformat"} & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in (
        "doctor",
        "work",
        "update",
        "lab",
        "progress",
        "certificate",
        "course",
        "book",
        "nbgrader-source",
        "publish",
        "train",
    ):
        assert command in result.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"vit-course {vit_course.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["doctor", "--further"]])
def test_a_wrong_command_line_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "usage: vit-course" in capsys.readouterr().err


def test_doctor_passes_its_status_on(monkeypatch, capsys):
    assert cli.main(["doctor"]) == 0
    monkeypatch.setenv("VIT_COURSE_PROFILE", "huge")
    assert cli.main(["doctor"]) == 1


class TestProgress:
    def test_it_is_printed(self, capsys):
        assert cli.main(["progress"]) == 0
        assert "exercises passed" in capsys.readouterr().out

    def test_it_is_exported(self, tmp_path):
        home().mkdir(exist_ok=True)
        mine = {"patchify": {"passed": True, "attempts": 3, "passed_at": "2026-01-01T00:00:00+00:00"}}
        (home() / "progress.json").write_text(json.dumps(mine))
        assert cli.main(["progress", "--export", str(tmp_path / "mine.json")]) == 0
        assert json.loads((tmp_path / "mine.json").read_text()) == mine

    def test_an_export_that_cannot_be_written_is_said(self, tmp_path, capsys):
        (tmp_path / "file").touch()
        assert cli.main(["progress", "--export", str(tmp_path / "file" / "mine.json")]) == 1
        assert "cannot be written" in capsys.readouterr().err


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two notebooks, which the commands take for their own."""
    root = tmp_path / "the course"
    (root / "notebooks").mkdir(parents=True)
    for name in ("00_start_here", "01_patches"):
        (root / "notebooks" / f"{name}.ipynb").write_text(f"the course's {name}")
    monkeypatch.setattr(cli, "ROOT", root)
    return root


class TestWork:
    def test_missing_notebooks_are_copied_and_named(self, checkout, capsys):
        assert cli.main(["work"]) == 0
        assert (checkout / "work" / "01_patches.ipynb").read_text() == "the course's 01_patches"
        assert "00_start_here.ipynb, 01_patches.ipynb" in capsys.readouterr().out
        assert len(list((checkout / "work").iterdir())) == 2

    def test_what_is_there_is_never_overwritten(self, checkout, capsys):
        mine = checkout / "work" / "00_start_here.ipynb"
        mine.parent.mkdir()
        mine.write_text("my answers")
        cli.main(["work"])
        assert mine.read_text() == "my answers"
        assert capsys.readouterr().out.strip().endswith(": 01_patches.ipynb")
        cli.main(["work"])
        assert capsys.readouterr().out == ""

    def test_not_even_when_it_appears_while_copying(self, checkout, monkeypatch):
        link = os.link

        def slow(source, target):
            Path(target).write_text("my answers")
            link(source, target)

        monkeypatch.setattr(os, "link", slow)
        assert copies.copy_missing(checkout / "notebooks", checkout / "work") == []
        assert (checkout / "work" / "00_start_here.ipynb").read_text() == "my answers"
        assert len(list((checkout / "work").iterdir())) == 2

    def test_a_file_system_without_links(self, checkout, monkeypatch):
        def refused(source, target):
            raise PermissionError

        monkeypatch.setattr(os, "link", refused)
        assert len(copies.copy_missing(checkout / "notebooks", checkout / "work")) == 2
        assert (checkout / "work" / "01_patches.ipynb").read_text() == "the course's 01_patches"

    def test_a_copy_cut_short_is_not_taken_for_a_notebook(self, checkout, monkeypatch, capsys):
        def disk_full(source, target):
            Path(target).write_text("the cou")
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("shutil.copyfile", disk_full)
            assert cli.main(["work"]) == 1
        assert "No space left on device" in capsys.readouterr().err
        assert list((checkout / "work").iterdir()) == []
        assert cli.main(["work"]) == 0
        assert len(list((checkout / "work").glob("*.ipynb"))) == 2

    def test_outside_a_checkout_it_says_so(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(cli, "ROOT", tmp_path)
        assert cli.main(["work"]) == 1
        assert "works in a checkout" in capsys.readouterr().err


class TestLab:
    @pytest.fixture
    def started(self, monkeypatch, tmp_path) -> list[list[str]]:
        """The commands started instead of JupyterLab."""
        commands = []
        monkeypatch.setattr(subprocess, "call", lambda command: commands.append(command) or 0)
        monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
        return commands

    @pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
    def test_root_is_allowed_only_to_root(self, checkout, started, monkeypatch, user, allowed):
        monkeypatch.setattr(os, "geteuid", lambda: user, raising=False)
        assert cli.main(["lab"]) == 0
        assert ("--allow-root" in started[0]) is allowed

    def test_it_opens_the_first_lesson_of_the_copies(self, checkout, started):
        cli.main(["lab", "--no-browser", "--port", "8899"])
        assert f"--ServerApp.root_dir={checkout / 'work'}" in started[0]
        assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in started[0]
        assert started[0][-3:] == ["--no-browser", "--port", "8899"]
        assert (checkout / "work" / "00_start_here.ipynb").is_file()

    def test_own_settings_of_jupyterlab_are_kept(self, checkout, started):
        settings = Path(sys.prefix) / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
        cli.main(["lab"])
        assert "fetchNews" in settings.read_text()
        settings.write_text("{}")
        cli.main(["lab"])
        assert settings.read_text() == "{}"

    def test_without_notebooks_it_is_not_opened(self, started, tmp_path, monkeypatch):
        monkeypatch.setattr(cli, "ROOT", tmp_path / "nowhere")
        assert cli.main(["lab"]) == 1
        assert started == []


def write_notebook(path: Path, *cells) -> None:
    notebook = new_notebook(cells=list(cells))
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


class TestCourse:
    def test_all_run_one_fails_and_the_others_go_on(self, tmp_path, capsys):
        solutions, out = tmp_path / "solutions", tmp_path / "out"
        solutions.mkdir()
        write_notebook(
            solutions / "00_first.ipynb",
            new_markdown_cell("# The `first`\n\nOn to [the next](01_second.ipynb)."),
            new_code_cell("import os, pathlib"),
            new_code_cell("open('left behind', 'w').write('x'); print(os.listdir())"),
            new_code_cell("pathlib.Path(os.environ['VIT_COURSE_HOME'], 'progress.json').write_text('not mine')"),
            new_code_cell("print(sorted(os.listdir(os.environ['VIT_COURSE_HOME'])), os.environ['VIT_COURSE_STRICT'])"),
        )
        stale = new_code_cell("'never reached'", outputs=[nbformat.v4.new_output("stream", text="an old result")])
        write_notebook(solutions / "01_second.ipynb", new_code_cell("1 / 0", id="divides"), stale)
        before = {path.name: path.read_bytes() for path in solutions.iterdir()}

        assert build_course(solutions, out) == 1

        printed = capsys.readouterr().out
        assert "[1/2] 00_first … " in printed
        assert "cell divides: ZeroDivisionError: division by zero" in printed
        assert [line.split()[-1] for line in printed.splitlines() if line.startswith("0")] == ["ok", "FAILED"]
        first, index = (out / "00_first.html").read_text(), (out / "index.html").read_text()
        assert "['left behind']" in first  # it ran in an empty folder
        assert "['data', 'progress.json'] 1" in first
        assert not (home() / "progress.json").exists()
        assert 'href="01_second.html"' in first
        assert "an old result" not in (out / "01_second.html").read_text()
        assert re.search(r'<a[^>]* href="00_first.html">.*The first', index)
        assert "ZeroDivisionError" in index
        assert {path.name: path.read_bytes() for path in solutions.iterdir()} == before
        assert "VIT_COURSE_STRICT" not in os.environ

    def test_without_notebooks_it_fails(self, tmp_path, capsys):
        assert build_course(tmp_path, tmp_path / "out") == 1
        assert "no notebooks" in capsys.readouterr().out
