"""The house: what stands where, how large it is, and that imports go one way."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vit_course

PACKAGE = Path(vit_course.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# Each may import what stands before it, and nothing else. A module that is not here has no place in the house yet.
ORDER = [
    *("paths", "profiles"),
    *("images", "patches", "embeddings", "attention", "encoder", "vit", "parts"),
    *("finetuning", "inspection", "hybrids"),
    *("data", "plots", "training", "checkpoints", "experiments", "explorer", "training.command"),
    *("checks", "copies", "authoring", "doctor", "grading", "cli"),
]
MOST_FLAT, MOST_LINES, MOST_LINES_OF_TRAINING, MOST_LINES_OF_A_FUNCTION = 20, 420, 300, 80


def name(path):
    """vit_course/training/loop.py → training.loop; vit_course/training/__init__.py → training."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place(module):
    """Where a module stands in the order: by its own name, else by its folder's."""
    known = [unit for unit in ORDER if module == unit or module.startswith(f"{unit}.")]
    assert known, f"{module}: say in ORDER where it stands"
    return ORDER.index(max(known, key=len))


def imported(path):
    """The course's modules that a file imports, at the top or later."""
    names = set(map(name, MODULES))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: imports are absolute here"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for one in found:
            if one.startswith("vit_course."):
                inside = one.removeprefix("vit_course.")
                yield inside if inside in names else inside.rpartition(".")[0]


def imports():
    return {name(path): sorted({one for one in imported(path) if one}) for path in MODULES if name(path)}


def test_imports_go_one_way():
    upwards = [
        f"{module} imports {one}" for module, found in imports().items() for one in found if place(one) > place(module)
    ]
    assert not upwards


def test_imports_make_no_circle():
    try:
        TopologicalSorter(imports()).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' → '.join(error.args[1])}") from error


def test_a_circle_and_a_way_up_would_be_seen(tmp_path):
    """Neither test above passes because it looks at nothing."""
    found = imports()
    assert "attention" in found["encoder"] and "training.recipes" in found["training.loop"]
    assert "plots" in found["training.reporting"], "imports inside functions count"
    with pytest.raises(CycleError):
        TopologicalSorter(found | {"attention": ["vit"]}).prepare()
    assert place("training.command") > place("checkpoints") > place("training.loop")
    with pytest.raises(AssertionError, match="muon: say in ORDER"):
        place("muon")


def test_nothing_grows_too_large():
    assert sum(path.parent == PACKAGE for path in MODULES) <= MOST_FLAT
    for path in MODULES:
        most = MOST_LINES_OF_TRAINING if path.parent.name == "training" else MOST_LINES
        if path.parent.name != "catalogue":
            assert len(path.read_text(encoding="utf-8").splitlines()) <= most, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < MOST_LINES_OF_A_FUNCTION, f"{path}: {node.name}"
    for path in (PACKAGE / "explorer").iterdir():
        if path.suffix in (".js", ".css", ".wat") and path.name != "engine.js":
            assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES, path
