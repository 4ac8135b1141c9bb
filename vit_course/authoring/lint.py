"""What should not be committed. Each lint returns plain sentences; none found, an empty list."""

from __future__ import annotations

import ast
import html
import inspect
import itertools
import re
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from vit_course import plots
from vit_course.authoring.generate import as_text, learners_notebook
from vit_course.authoring.published import SETUP_METADATA, setup_source
from vit_course.authoring.running import WIDGET_STATE, WIDGET_VIEW
from vit_course.checks import exercises
from vit_course.checks.catalogue import LESSONS
from vit_course.copies import SETUP_ID

LARGEST = 1_500_000  # bytes of an executed notebook
FEWEST_WORDS, MOST_WORDS = 1500, 3500
FEWEST_WORDS_OF = {"00": 1200, "03": 1200}  # the short lessons
FEWEST_FIGURES = 3
LONGEST_IN_A_FIGURE = 40  # characters; a longer text in the call of a figure tells what is to be seen
READABLE_ID = re.compile(r"[a-z][a-z0-9]*([-_][A-Za-z0-9_]+)*")
AUTOMATIC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]+)?")
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def lint_all(root: Path) -> list[str]:
    """Everything, for a checkout."""
    found = unexpected_files(root) + out_of_step(root / "solutions", root / "notebooks")
    for path in sorted((root / "solutions").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for lint in SOLUTION_LINTS:
            found += [f"solutions/{path.name}: {sentence}" for sentence in lint(notebook)]
        for lint in LESSON_LINTS:
            found += [f"solutions/{path.name}: {sentence}" for sentence in lint(notebook, path.name[:2])]
        if path.stat().st_size > LARGEST:
            found.append(f"solutions/{path.name}: {path.stat().st_size / 1e6:.1f} MB; make its figures smaller")
    return found + broken_links(root)


def unexpected_files(root: Path) -> list[str]:
    """One notebook for each lesson of the catalogue, which is the one list of them, and nothing beside it."""
    found, lessons = [], Counter()
    for path in sorted([*(root / "solutions").glob("*"), *(root / "notebooks").glob("*")]):
        place = f"{path.parent.name}/{path.name}"
        if path.suffix == ".ipynb":
            lessons[path.parent.name, path.name[:2]] += 1
            if path.name[:2] not in LESSONS:
                found.append(f"{place}: the catalogue of checks has no lesson {path.name[:2]}")
            elif lessons[path.parent.name, path.name[:2]] > 1:
                found.append(f"{place}: a second notebook for lesson {path.name[:2]}")
        elif path.name not in ("ruff.toml", ".ipynb_checkpoints", ".ruff_cache"):
            found.append(f"{place}: only notebooks belong here")
    return found


def out_of_step(solutions: Path, notebooks: Path) -> list[str]:
    """notebooks/ is what `make notebooks` would write, no more and no less."""
    names = {path.name for path in solutions.glob("*.ipynb")}
    found = [
        f"notebooks/{name}: has no solution; run `make notebooks`"
        for name in sorted({path.name for path in notebooks.glob("*.ipynb")} - names)
    ]
    for name in sorted(names):
        made = as_text(learners_notebook(nbformat.read(solutions / name, as_version=4), name))
        path = notebooks / name
        if not path.is_file() or path.read_text(encoding="utf-8") != made:
            found.append(f"notebooks/{name}: differs from what solutions/{name} gives; run `make notebooks`")
    return found


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    for cell in _code(notebook):
        for output in cell.outputs:
            yield cell, output


def unreadable_ids(notebook: NotebookNode) -> list[str]:
    counts = Counter(cell.get("id") for cell in notebook.cells)
    found = [f"the cell id {id_!r} stands {count} times" for id_, count in counts.items() if count > 1]
    for id_ in counts:
        if not id_ or AUTOMATIC_ID.fullmatch(id_) or not READABLE_ID.fullmatch(id_):
            found.append(f"the cell id {id_!r} says nothing; name it after what the cell does")
    return found


def not_executed(notebook: NotebookNode) -> list[str]:
    counts = [cell.execution_count for cell in _code(notebook) if cell.source.strip()]
    if counts == list(range(1, len(counts) + 1)):
        return []
    return ["not executed from top to bottom; run `python -m vit_course.authoring execute` on it"]


def bad_outputs(notebook: NotebookNode) -> list[str]:
    found = []
    for cell, output in _outputs(notebook):
        if output.output_type == "error":
            found.append(f"cell {cell.id} ends with an error: {output.ename}")
        text = output.get("text", "") + "".join(
            str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")
        )
        if re.search(r"[\r\x08\x1b]", text):
            found.append(f"cell {cell.id} prints control characters, as a progress bar does")
        if {WIDGET_STATE, WIDGET_VIEW} & set(output.get("data", {})):
            found.append(f"cell {cell.id} holds a widget's output; save the notebook with `execute`")
        if re.search(r"/(home|Users|root|work|tmp)/\S", text):
            found.append(f"cell {cell.id} shows a path of the machine it ran on")
    if "widgets" in notebook.metadata:
        found.append("widget state is saved in the notebook; save it with `execute`")
    return found


def missing_alt_texts(notebook: NotebookNode) -> list[str]:
    found = []
    for cell, output in _outputs(notebook):
        for kind in output.get("data", {}):
            alt = output.get("metadata", {}).get(kind, {})
            if kind.startswith("image/") and not (isinstance(alt, dict) and str(alt.get("alt", "")).strip()):
                found.append(
                    f"a figure of cell {cell.id} has no alt text; draw it with a function of `vit_course.plots`"
                )
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")", cell.source):
            found.append(f"a picture in cell {cell.id} has no alt text")
    return found


def telling_figures(notebook: NotebookNode) -> list[str]:
    """What a figure shows is not said in the cell that draws it: learners may be asked to predict it."""
    found = []
    for cell in _code(notebook):
        for call in _figure_calls(cell.source):
            name = f"plots.{call.func.attr}"
            if any(keyword.arg == "alt" for keyword in call.keywords):
                found.append(f"cell {cell.id} gives {name} an alt text; it writes its own")
            rest = [part for part in (*call.args, *call.keywords) if not _is_title(part, call)]
            texts = (node.value for part in rest for node in ast.walk(part) if isinstance(node, ast.Constant))
            if any(isinstance(text, str) and len(text) > LONGEST_IN_A_FIGURE for text in texts):
                found.append(f"cell {cell.id} gives {name} a text of over {LONGEST_IN_A_FIGURE} characters")
    return found


def _figure_calls(source: str) -> list[ast.Call]:
    """The calls of `plots.<function>` in a cell."""
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n"))
    calls = [node for node in ast.walk(ast.parse(plain)) if isinstance(node, ast.Call)]
    return [call for call in calls if re.fullmatch(r"plots\.\w+", ast.unparse(call.func))]


def _is_title(part: ast.expr | ast.keyword, call: ast.Call) -> bool:
    """Whether this part of a figure call is its title or its titles, by position or by name."""
    function = getattr(plots, call.func.attr, None)
    plain = itertools.takewhile(lambda argument: not isinstance(argument, ast.Starred), call.args)
    try:
        bound = inspect.signature(function).bind_partial(*plain, **{k.arg: k for k in call.keywords if k.arg})
    except TypeError:  # no such function, or it would not take this call
        return False
    return any(part is bound.arguments.get(name) for name in ("title", "titles"))


def comments_for_tests(notebook: NotebookNode) -> list[str]:
    return [
        f"cell {cell.id} has a comment for nbval; give the cell the tag `nbval-check-output` instead"
        for cell in _code(notebook)
        if re.search(r"^\s*#\s*NBVAL_", cell.source, re.MULTILINE)
    ]


def wrong_kernel(notebook: NotebookNode) -> list[str]:
    name = notebook.metadata.get("kernelspec", {}).get("name")
    return [] if name == "python3" else [f"its kernel is {name!r}, not python3"]


def wrong_setup(notebook: NotebookNode) -> list[str]:
    first = next(iter(_code(notebook)), None)
    generated = (SETUP_ID, setup_source(), SETUP_METADATA)
    if first is not None and (first.id, first.source, first.metadata) == generated:
        return []
    return ["the first code cell is not the generated set-up cell; run `make notebooks`"]


def unbalanced_solutions(notebook: NotebookNode) -> list[str]:
    found = []
    for cell in _code(notebook):
        marks = re.findall(rf"^[ \t]*({BEGIN}|{END})[ \t]*$", cell.source, re.MULTILINE)
        if marks != [BEGIN, END] * (len(marks) // 2) or cell.source.count("SOLUTION") != len(marks):
            found.append(f"the solution marks of cell {cell.id} are not in pairs")
        elif marks and not cell.metadata.get("nbgrader", {}).get("solution"):
            found.append(f"cell {cell.id} has a solution but not nbgrader's note of one")
    return found


def wrong_length(notebook: NotebookNode, lesson: str) -> list[str]:
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    figures = sum("image/png" in output.get("data", {}) for _, output in _outputs(notebook))
    found = []
    fewest = FEWEST_WORDS_OF.get(lesson, FEWEST_WORDS)
    if not fewest <= words <= MOST_WORDS:
        found.append(f"{words} words of prose; this lesson has {fewest} to {MOST_WORDS}")
    if figures < FEWEST_FIGURES:
        found.append(f"{figures} figures; a lesson has at least {FEWEST_FIGURES}")
    return found


def wrong_exercises(notebook: NotebookNode, lesson: str) -> list[str]:
    """Each exercise of the lesson stands there once: a solution cell, then its check, with nbgrader's notes."""
    found = []
    names = [name for name, exercise in exercises().items() if exercise.lesson == lesson]
    by_id = {cell.id: (place, cell) for place, cell in enumerate(notebook.cells)}
    for name in names:
        if f"ex-{name}" not in by_id or f"check-{name}" not in by_id:
            found.append(f"the exercise {name} lacks its cell `ex-{name}` or `check-{name}`")
            continue
        (first, task), (second, check) = by_id[f"ex-{name}"], by_id[f"check-{name}"]
        if second < first:
            found.append(f"the check of {name} comes before the exercise")
        note = {"schema_version": 3, "task": False}
        wanted = note | {"grade": False, "solution": True, "locked": False, "grade_id": name}
        if dict(task.metadata.get("nbgrader", {})) != wanted:
            found.append(f"the nbgrader metadata of `ex-{name}` should be {wanted}")
        wanted = note | {"grade": True, "solution": False, "locked": True, "grade_id": f"check-{name}"}
        wanted["points"] = exercises()[name].points
        if dict(check.metadata.get("nbgrader", {})) != wanted:
            found.append(f"the nbgrader metadata of `check-{name}` should be {wanted}")
        if check.source.strip() != f"{name} = check({name})":
            found.append(f"`check-{name}` should be `{name} = check({name})`")
        if BEGIN not in task.source or not re.search(rf"^(def|class) {name}\b", task.source, re.MULTILINE):
            found.append(f"`ex-{name}` should define {name} with a marked solution")
    known = {f"{kind}-{name}" for name in names for kind in ("ex", "check")}
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader") and cell.id not in known:
            found.append(f"cell {cell.id} has nbgrader metadata but belongs to no exercise of lesson {lesson}")
    return found


SOLUTION_LINTS: tuple[Callable[[NotebookNode], list[str]], ...] = (
    unreadable_ids,
    not_executed,
    bad_outputs,
    missing_alt_texts,
    telling_figures,
    comments_for_tests,
    wrong_kernel,
    wrong_setup,
    unbalanced_solutions,
)
LESSON_LINTS: tuple[Callable[[NotebookNode, str], list[str]], ...] = (wrong_exercises, wrong_length)


def broken_links(root: Path) -> list[str]:
    """Links from the texts and the notebooks to files and headings of the repository."""
    found = []
    for path in sorted([root / name for name in TEXTS if (root / name).is_file()] + [*root.glob("*s/*.ipynb")]):
        for target in links(_text(path)):
            place, _, anchor = target.partition("#")
            goal = path if not place else (path.parent / urllib.parse.unquote(place))
            if not goal.exists() or not goal.resolve().is_relative_to(root.resolve()):
                found.append(f"{path.relative_to(root)}: the link to {target} leads nowhere")
            elif anchor and urllib.parse.unquote(anchor).lower() not in anchors(_text(goal)):
                found.append(f"{path.relative_to(root)}: {place or 'it'} has no heading for #{anchor}")
    return found


def links(markdown: str) -> list[str]:
    """Targets inside the repository, of Markdown and HTML links and pictures."""
    markdown = re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.DOTALL)
    targets = re.findall(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", markdown)
    targets += re.findall(r"^\[[^\]]+\]:\s*(\S+)", markdown, re.MULTILINE)
    targets += [html.unescape(target) for target in re.findall(r"(?:href|src|srcset)=\"([^\"]+)\"", markdown)]
    return [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.IGNORECASE)]


def anchors(markdown: str) -> set[str]:
    """What the headings of a text are called in a link, as GitHub and as JupyterLab do it."""
    names = set()
    for heading in re.findall(r"^#+\s+(.+?)\s*#*$", markdown, re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        names.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
        names.add(plain.replace(" ", "-").lower())
    return names


def _text(path: Path) -> str:
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else ""
