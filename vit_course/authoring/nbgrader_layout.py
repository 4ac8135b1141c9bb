"""The lessons as nbgrader wants them: DIR/source/lesson_01/01_patches.ipynb, and a configuration.

nbgrader runs a student's notebook and the tests in one process. What a notebook does by accident decides nothing there:
a test begins afresh (`AFRESH`), and one that was deleted comes back. Who means to forge can: what runs earlier in that
process can put its own code in the place of the course's, of PyTorch's or of the kernel's. Only a grader that compares
in a process of its own, which runs nothing of the student's, prevents that.
"""

from __future__ import annotations

from pathlib import Path

import nbformat

from vit_course.authoring.generate import STUB, save, tidy

# Stands before each `name = check(name)` when nbgrader grades, and is left out of what students get: `check` may have
# been given another meaning by then, strict mode may be off, and a function may bear the name of another exercise.
AFRESH = """### BEGIN HIDDEN TESTS
import functools
import os

import vit_course.checks

os.environ["VIT_COURSE_STRICT"] = "1"
check = functools.partial(vit_course.checks.check, name={name!r})
### END HIDDEN TESTS
"""

MARK = "# Written by `vit-course nbgrader-source`."
CONFIGURATION = f"""{MARK} Change what you like; it is not overwritten.
import os
import sys

from nbclient.output_widget import OutputWidget

# nbgrader starts `alembic` by its bare name, which is not found where the environment is not activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")

# A notebook with sliders sometimes hangs when their output is sent back to the kernel (jupyter/nbclient#312).
OutputWidget.sync_state = lambda self: None

c = get_config()
c.CourseDirectory.course_id = "vit_course"
# An untouched exercise raises this, and the check cell then says "not attempted yet".
c.ClearSolutions.code_stub = {{"python": {STUB!r}}}
# A check that fails raises, which costs its own points and no others: later cells still run.
c.ExecutePreprocessor.allow_errors = True
c.ExecutePreprocessor.timeout = 600
# A test cell that a student has deleted comes back behind its exercise, instead of costing its points. Where nbgrader's
# notes are lost in all cells (some editors drop them), it does not know where that is: it reports an error for that
# submission and goes on with the others. Copy the answers into a fresh notebook then.
c.OverwriteCells.add_missing_cells = True
"""


def nbgrader_source(directory: Path, solutions: Path) -> list[Path]:
    """Lay the lessons out as nbgrader assignments, one for each lesson.

    Args:
        directory: where to; made if it is not there.
        solutions: the folder of solution notebooks.

    Returns:
        The notebooks written, `source/lesson_NN/NN_name.ipynb`.

    Raises:
        FileExistsError: the folder holds something else than an earlier layout.
        FileNotFoundError: there are no solution notebooks.
    """
    notebooks = sorted(solutions.glob("*.ipynb"))
    if not notebooks:
        raise FileNotFoundError(
            f"There are no notebooks in {solutions}. This command works in a checkout of the course."
        )
    configuration = directory / "nbgrader_config.py"
    if directory.exists() and any(directory.iterdir()):
        ours = configuration.is_file() and configuration.read_text(encoding="utf-8").startswith(MARK)
        if not ours:
            raise FileExistsError(f"{directory} is not empty and was not made by this command. Name a new folder.")
    written = []
    for path in notebooks:
        notebook = tidy(nbformat.read(path, as_version=4))
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if cell.metadata.get("nbgrader", {}).get("grade"):
                cell.source = AFRESH.format(name=cell.id.removeprefix("check-")) + cell.source
        target = directory / "source" / f"lesson_{path.name[:2]}" / path.name
        save(notebook, target)
        written.append(target)
    if not configuration.exists():
        configuration.write_text(CONFIGURATION, encoding="utf-8")
    return written
