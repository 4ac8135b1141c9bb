"""From solutions/ to notebooks/, running, nbgrader's layout and the lints, on small notebooks made here."""

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from vit_course.authoring import NOTEBOOKS, ROOT, SOLUTIONS, lint
from vit_course.authoring import __main__ as command
from vit_course.authoring.generate import STUB, as_text, generate, learners_notebook, save, tidy
from vit_course.authoring.nbgrader_layout import nbgrader_source
from vit_course.authoring.published import BADGE_ID, SETUP_METADATA, badge, bring_in_step, setup_source
from vit_course.authoring.running import WIDGET_VIEW, clean, execute, kernel_environment, run
from vit_course.checks import catalogue, exercises
from vit_course.checks.catalogue import LESSONS

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
EXERCISE = '''def to_channels_first(images):
    """Move the channels."""
    ### BEGIN SOLUTION
    return images.permute(0, 3, 1, 2)
    ### END SOLUTION'''
CLASS = """class average_pool_2x2:
    def __call__(self, images):
        ### BEGIN SOLUTION
        halved = images[..., ::2, ::2]
        return halved
        ### END SOLUTION

    def other(self):
        ### BEGIN SOLUTION
        return 1
        ### END SOLUTION"""


def exercise_cell(name, source):
    note = {"grade": False, "solution": True, "locked": False, "schema_version": 3, "grade_id": name, "task": False}
    return new_code_cell(source, id=f"ex-{name}", metadata={"nbgrader": note})


def check_cell(name, points=1):
    note = {"grade": True, "solution": False, "locked": True, "schema_version": 3, "task": False}
    note |= {"grade_id": f"check-{name}", "points": points}
    return new_code_cell(f"{name} = check({name})", id=f"check-{name}", metadata={"nbgrader": note})


def figure(alt="a line"):
    metadata = {"image/png": {"alt": alt}} if alt else {}
    return new_output("display_data", data={"image/png": PIXEL}, metadata=metadata)


def solution():
    """A small lesson 00 in which the lints find nothing."""
    cells = [
        new_markdown_cell("# 00 · Small\n\n" + "word " * 1300, id="intro"),
        new_code_cell(setup_source(), id="setup", metadata=SETUP_METADATA),
        new_code_cell("from vit_course import check", id="imports"),
        exercise_cell("to_channels_first", EXERCISE),
        check_cell("to_channels_first"),
        exercise_cell("average_pool_2x2", CLASS),
        check_cell("average_pool_2x2"),
        new_code_cell("draw()", id="draw", outputs=[figure(), figure(), figure()]),
    ]
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = number
    return tidy(new_notebook(cells=cells))


@pytest.fixture
def checkout(tmp_path):
    save(solution(), tmp_path / "solutions" / "00_small.ipynb")
    generate(tmp_path / "solutions", tmp_path / "notebooks")
    return tmp_path


# -- learners' notebooks


def test_solutions_become_stubs_and_outputs_go():
    made = learners_notebook(solution(), "00_small.ipynb")
    cells = {cell.id: cell for cell in made.cells}
    assert cells["ex-to_channels_first"].source.endswith(f'"""Move the channels."""\n    {STUB}')
    assert cells["ex-average_pool_2x2"].source.count(f"        {STUB}") == 2
    assert "halved" not in as_text(made) and "SOLUTION" not in as_text(made)
    assert cells["draw"].outputs == [] and cells["draw"].execution_count is None
    assert cells["check-to_channels_first"].metadata.nbgrader.points == 1
    assert [cell.id for cell in made.cells] == [cell.id for cell in solution().cells]


def test_stub_raises_not_implemented():
    made = learners_notebook(solution(), "00_small.ipynb")
    space = {}
    exec(next(cell.source for cell in made.cells if cell.id == "ex-to_channels_first"), space)
    with pytest.raises(NotImplementedError):
        space["to_channels_first"](None)


def test_what_differs_between_machines_is_dropped():
    notebook = solution()
    notebook.metadata.language_info.version = "3.13.1"
    notebook.cells[2].metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    notebook.cells[3].metadata["nbgrader"]["checksum"] = "1234"
    notebook.cells[-1].metadata.update(SETUP_METADATA)  # folding is kept where it belongs, in the set-up cell
    assert as_text(tidy(notebook)) == as_text(solution())
    assert learners_notebook(notebook, "00_small.ipynb").cells[1].metadata == SETUP_METADATA


def test_generating_again_changes_nothing(checkout):
    before = (checkout / "notebooks" / "00_small.ipynb").stat().st_mtime_ns
    assert generate(checkout / "solutions", checkout / "notebooks") == []
    assert (checkout / "notebooks" / "00_small.ipynb").stat().st_mtime_ns == before


def test_stale_notebooks_go_and_the_set_up_cell_is_brought_in_step(checkout):
    (checkout / "notebooks" / "99_old.ipynb").write_text("{}")
    notebook = solution()
    notebook.cells[1].source = "print('old')"
    save(notebook, checkout / "solutions" / "00_small.ipynb")
    changed = generate(checkout / "solutions", checkout / "notebooks")
    assert changed == [
        "solutions/00_small.ipynb: set-up cell brought in step",
        "notebooks/99_old.ipynb: removed, since it has no solution",
    ]


def test_a_broken_solution_changes_nothing(checkout):
    notebook = solution()
    notebook.cells[3].source = notebook.cells[3].source.replace("    ### END SOLUTION", "")
    save(notebook, checkout / "solutions" / "00_small.ipynb")
    before = (checkout / "notebooks" / "00_small.ipynb").read_text()
    with pytest.raises(RuntimeError, match="no end solution"):
        generate(checkout / "solutions", checkout / "notebooks")
    assert (checkout / "notebooks" / "00_small.ipynb").read_text() == before


def test_saving_is_all_or_nothing(checkout, monkeypatch):
    path = checkout / "solutions" / "00_small.ipynb"
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    notebook = solution()
    notebook.cells[0].source += "!"
    with pytest.raises(OSError, match="No space"):
        save(notebook, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


# -- set-up cell and badges


def test_set_up_cell_does_nothing_where_the_course_is():
    exec(setup_source(), {})


@pytest.mark.parametrize(("module", "error"), [("nothing", ModuleNotFoundError), ("google.colab", RuntimeError)])
def test_set_up_cell_says_what_is_missing(module, error, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, module, object())
    with pytest.raises(error, match=r"README\.md"):
        exec(setup_source(), {})


def test_published_set_up_cell_installs_from_where_it_was_published():
    from IPython.core.inputtransformer2 import TransformerManager

    code = TransformerManager().transform_cell(setup_source("owner/course", "v1"))
    compile(code, "setup", "exec")
    assert "git+https://github.com/owner/course@v1" in code
    assert len(setup_source("owner/course").splitlines()) < 10


def test_badge_only_when_published():
    notebook = solution()
    bring_in_step(notebook, "00_small.ipynb", "owner/course", "main")
    bring_in_step(notebook, "00_small.ipynb", "owner/course", "main")
    assert [cell.id for cell in notebook.cells].count(BADGE_ID) == 1
    assert "owner/course/blob/main/notebooks/00_small.ipynb" in notebook.cells[0].source
    bring_in_step(notebook, "00_small.ipynb", "", "main")
    assert as_text(notebook) == as_text(solution())
    assert badge("00_small.ipynb", "") == ""


# -- running


def small(*sources):
    cells = [new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(sources)]
    return tidy(new_notebook(cells=cells))


def test_a_notebook_runs_in_an_empty_folder_of_its_own(tmp_path):
    path = tmp_path / "00_small.ipynb"
    save(small("import os; print(os.listdir())", "print(os.environ['VIT_COURSE_STRICT'])"), path)
    assert execute(path) == ""
    saved = nbformat.read(path, as_version=4)
    assert [cell.outputs[0].text for cell in saved.cells[1:]] == ["[]\n", "1\n"]
    assert saved.cells[0].id == "setup"
    assert "execution" not in json.dumps([cell.metadata for cell in saved.cells])


def test_a_notebook_that_stops_is_not_saved(tmp_path):
    path = tmp_path / "00_small.ipynb"
    save(small("1 + 1", "1 / 0"), path)
    before = path.read_bytes()
    assert execute(path) == "cell cell-1: ZeroDivisionError: division by zero"
    assert path.read_bytes() == before


def test_a_kernel_that_dies_is_said():
    with kernel_environment(strict=False):
        assert "DeadKernelError" in run(small("import os; os._exit(1)"))


def test_a_sliders_output_is_not_sent_back(monkeypatch):
    """Sending it makes nbclient hang now and then; the widget's picture stays out of the cell all the same."""
    sent = []
    monkeypatch.setattr("nbclient.output_widget.OutputWidget.send", lambda self, *_, **__: sent.append(self))
    notebook = small("import ipywidgets\nipywidgets.interact(lambda x: print('moved'), x=(0, 9));", "print('next')")
    with kernel_environment(strict=False):
        assert run(notebook) == ""
    assert sent == []
    texts = [[output.get("text", "") for output in cell.outputs] for cell in clean(notebook).cells]
    assert texts == [[], ["next\n"]]


def test_cleaning_keeps_what_a_reader_would_have_seen():
    notebook = small("train()")
    stream = [
        new_output("stream", name="stderr", text="\r  0%\r 50%"),
        new_output("stream", name="stderr", text="\r100%\n"),
        new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m\n"),
        new_output("display_data", data={WIDGET_VIEW: {}, "text/plain": "IntSlider()"}),
        figure(),
    ]
    notebook.cells[0].outputs = stream
    kinds = [output.get("text", output.output_type) for output in clean(notebook).cells[0].outputs]
    assert kinds == ["100%\n", "red\n", "display_data"]


def test_what_is_wiped_away_leaves_nothing():
    notebook = small("train()")
    notebook.cells[0].outputs = [new_output("stream", name="stderr", text=text) for text in ("\r 50%", "\r")]
    assert clean(notebook).cells[0].outputs == []


# -- commands


@pytest.fixture
def commands(checkout, monkeypatch):
    for name in ("solutions", "notebooks"):
        monkeypatch.setattr(command, name.upper(), checkout / name)
    monkeypatch.setattr(command, "ROOT", checkout)
    return checkout


def test_check_says_what_differs_and_writes_nothing(commands, capsys):
    assert command.main(["notebooks", "--check"]) == 0
    path = commands / "notebooks" / "00_small.ipynb"
    path.write_text("{}")
    assert command.main(["notebooks", "--check"]) == 1
    assert "notebooks/00_small.ipynb: differs" in capsys.readouterr().out
    assert path.read_text() == "{}"
    path.unlink()
    assert command.main(["lint"]) == 1
    assert command.main(["notebooks"]) == 0
    assert command.main(["lint"]) == 0


def test_execute_says_what_went_wrong(commands, capsys, monkeypatch):
    monkeypatch.setattr(lint, "LARGEST", 1000)
    good, bad = commands / "good.ipynb", commands / "bad.ipynb"
    save(small(*["print('x' * 500)"] * 2), good)
    save(small("1 / 0"), bad)
    assert command.main(["execute", str(bad), str(good)]) == 1
    stopped, large = capsys.readouterr().out.splitlines()
    assert stopped == "bad.ipynb: STOPPED, not saved. cell cell-0: ZeroDivisionError: division by zero"
    assert large.startswith("good.ipynb: ") and large.endswith("make its figures smaller")
    assert command.main(["execute", str(commands / "gone.ipynb")]) == 1
    assert "There is no" in capsys.readouterr().err


# -- lints: each finds its own fault and only that


def test_nothing_is_found_in_a_good_lesson(checkout):
    assert lint.lint_all(checkout) == []


def fault(change):
    notebook = solution()
    change(notebook, {cell.id: cell for cell in notebook.cells})
    found = [sentence for one in lint.SOLUTION_LINTS for sentence in one(notebook)]
    found += [sentence for one in lint.LESSON_LINTS for sentence in one(notebook, "00")]
    assert len(found) == 1, found
    return found[0]


def set_(cell_id, **values):
    return lambda _, cells: cells[cell_id].update(values)


LONG = "a text that tells the learner what is to be seen"

FAULTS = {
    "the cell id 'draw' stands 2 times": lambda _, cells: cells["imports"].update(id="draw"),
    "says nothing": set_("draw", id="1a2b3c4d"),
    "not executed": set_("draw", execution_count=9),
    "ends with an error": lambda _, cells: cells["draw"].outputs.append(
        new_output("error", ename="ValueError", evalue="", traceback=[])
    ),
    "control characters": lambda _, cells: cells["draw"].outputs.append(
        new_output("stream", name="stdout", text="50%\r100%")
    ),
    "a path of the machine": lambda _, cells: cells["draw"].outputs.append(
        new_output("stream", name="stdout", text="saved to /home/me/x.png")
    ),
    "widget's output": lambda _, cells: cells["draw"].outputs.append(
        new_output("display_data", data={WIDGET_VIEW: {}})
    ),
    "widget state": lambda notebook, _: notebook.metadata.update(widgets={}),
    "gives plots.vit_map an alt text": set_("draw", source='plots.vit_map("cls", alt="here")'),
    "gives plots.vectors a text": set_("draw", source=f'plots.vectors([("{LONG}", x)])'),
    "gives plots.image_row a text": set_("draw", source=f'plots.image_row(x, size=f"{LONG}{{y}}")'),
    "gives plots.boards a text": set_("draw", source=f'def f():\n    return plots.boards("{LONG}", ["a"])'),
    "gives plots.gone a text": set_("draw", source=f'plots.gone(title="{LONG}")'),
    "a comment for nbval": set_("draw", source="1\n  # NBVAL_CHECK_OUTPUT\n2"),
    "has no alt text": lambda _, cells: cells["draw"].outputs.append(figure(alt="")),
    "a picture in cell intro": lambda _, cells: cells["intro"].update(source=cells["intro"].source + "![](x.png)"),
    "its kernel is 'julia'": lambda notebook, _: notebook.metadata.kernelspec.update(name="julia"),
    "not the generated set-up cell": set_("setup", source="pass"),
    "not the generated set-up cell; run `make notebooks`": set_("setup", metadata={}),
    "not in pairs": lambda _, cells: cells["ex-average_pool_2x2"].update(
        source=cells["ex-average_pool_2x2"].source.replace("### END SOLUTION", "", 1)
    ),
    "words of prose": set_("intro", source="# 00 · Short"),
    "figures; a lesson has": lambda _, cells: cells["draw"].outputs.pop(),
    "lacks its cell": set_("check-to_channels_first", id="check-other", metadata={}),
    "should be {'schema_version'": lambda _, cells: cells["check-to_channels_first"].metadata.nbgrader.update(points=7),
    "should be `to_channels_first = check": set_("check-to_channels_first", source="check(to_channels_first)"),
    "belongs to no exercise": lambda _, cells: cells["draw"].metadata.update(nbgrader={"grade": False}),
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_fault_is_found(sentence):
    assert sentence in fault(FAULTS[sentence])


@pytest.mark.parametrize(
    "source",
    [
        f'plots.token_pictures(tokens, 4, 8, "{LONG}")',
        f'plots.filters(rows, 4, 8, title="{LONG}")',
        f'plots.boards(images, ["{LONG}", f"{LONG}{{x}}"], weights)',
        f'plots.image_row(*images, titles=["{LONG}"])',
        f'print("{LONG}")\n%pip install x\nplots.vectors([("{LONG[:40]}", x)])',
    ],
)
def test_titles_and_texts_beside_a_figure_may_be_long(source):
    notebook = solution()
    notebook.cells[-1].source = source
    assert lint.telling_figures(notebook) == []


def test_the_short_lessons_may_be_shorter():
    assert lint.wrong_length(solution(), "03") == []
    assert "this lesson has 1500 to 3500" in lint.wrong_length(solution(), "01")[0]


def test_notebooks_that_are_out_of_step_are_found(checkout):
    path = checkout / "notebooks" / "00_small.ipynb"
    path.write_text(path.read_text().replace("Move the channels", "Move them"))
    assert "differs from what solutions/00_small.ipynb gives" in lint.lint_all(checkout)[0]
    path.unlink()
    assert "differs" in lint.lint_all(checkout)[0]
    (checkout / "notebooks" / "07_old.ipynb").write_text("{}")
    assert "has no solution" in lint.out_of_step(checkout / "solutions", checkout / "notebooks")[0]


def test_files_that_nobody_expects_are_refused(checkout):
    assert lint.unexpected_files(checkout) == []
    for name in ("solutions/00_other.ipynb", "solutions/77_more.ipynb", "notebooks/notes.txt"):
        shutil.copy(checkout / "solutions" / "00_small.ipynb", checkout / name)
    assert lint.unexpected_files(checkout) == [
        "notebooks/notes.txt: only notebooks belong here",
        "solutions/00_small.ipynb: a second notebook for lesson 00",
        "solutions/77_more.ipynb: the catalogue of checks has no lesson 77",
    ]
    assert lint.lint_all(checkout)[:3] == lint.unexpected_files(checkout)


def test_every_lesson_of_the_catalogue_has_its_notebook_and_its_file():
    assert [path.name[:2] for path in sorted(SOLUTIONS.glob("*.ipynb"))] == list(LESSONS)
    files = Path(catalogue.__file__).parent.glob("lesson_*.py")
    assert sorted(path.stem.removeprefix("lesson_") for path in files) == list(LESSONS)
    assert list(LESSONS) == sorted({exercise.lesson for exercise in exercises().values()})


def test_broken_links_are_found(checkout):
    (checkout / "README.md").write_text(
        "# Read me\n## Two words\n[a](solutions/00_small.ipynb) [b](#two-words) [c](https://example.org/x) `[x](no)`\n"
        "[d](solutions/00_small.ipynb#00-·-Small) ![e](missing.png)\n[f](#nowhere) [g](../outside.md)\n"
        '<img src="gone.svg" alt="">\n'
    )
    (checkout.parent / "outside.md").write_text("")
    assert [sentence.split(": ", 1)[1] for sentence in lint.broken_links(checkout)] == [
        "the link to missing.png leads nowhere",
        "it has no heading for #nowhere",
        "the link to ../outside.md leads nowhere",
        "the link to gone.svg leads nowhere",
    ]


def test_a_notebook_that_is_too_large_is_found(checkout, monkeypatch):
    monkeypatch.setattr(lint, "LARGEST", 1000)
    assert "make its figures smaller" in lint.lint_all(checkout)[0]


# -- nbgrader's layout


def test_nbgrader_layout(checkout, tmp_path):
    target = tmp_path / "course"
    written = nbgrader_source(target, checkout / "solutions")
    assert written == [target / "source" / "lesson_00" / "00_small.ipynb"]
    assert "### BEGIN SOLUTION" in written[0].read_text()
    (target / "nbgrader_config.py").write_text((target / "nbgrader_config.py").read_text() + "c.mine = 1\n")
    nbgrader_source(target, checkout / "solutions")
    assert "c.mine" in (target / "nbgrader_config.py").read_text()


def test_nbgrader_layout_overwrites_nothing_of_others(checkout, tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    (target / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match="not empty"):
        nbgrader_source(target, checkout / "solutions")
    with pytest.raises(FileNotFoundError, match="no notebooks"):
        nbgrader_source(tmp_path / "new", tmp_path / "nowhere")


# -- the real ones


def test_the_course_has_no_faults():
    assert lint.lint_all(ROOT) == []


def test_every_lesson_of_the_catalogue_is_there():
    lessons = {exercise.lesson for exercise in exercises().values()}
    for folder in (SOLUTIONS, NOTEBOOKS):
        assert {path.name[:2] for path in folder.glob("*.ipynb")} == lessons


def test_commands_are_listed():
    printed = subprocess.run(
        [sys.executable, "-m", "vit_course.authoring", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert "notebooks" in printed and "execute" in printed and "lint" in printed
    assert Path(SOLUTIONS).is_dir()
