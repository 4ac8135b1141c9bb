"""On Colab: one notebook, alone in an empty folder, where torch is but neither the repository nor the package.

A machine is made of what is installed here (in `make test`), or of the versions that Colab had in February 2026 (in
`make test-all`, which downloads them into build/colab). The course is installed from a bare repository on this disk, to
which git is led when a notebook asks for the one on GitHub. Everything pip may fetch lies beside it: no network.
"""

import ast
import base64
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from vit_course.authoring import NOTEBOOKS, ROOT
from vit_course.authoring.publish import _write
from vit_course.authoring.running import run

LESSONS = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
IN_MAKE_TEST = "01_patches.ipynb"  # it has a slider, figures, a checkpoint and the most exercises
REPOSITORY = "owner/course"
THERE = ("torch", "torchvision", "numpy", "matplotlib", "ipywidgets", "ipykernel", "pip")
MISSING = ("einops", "jaxtyping", "safetensors", "tqdm", "setuptools")
# https://github.com/googlecolab/backend-info, pip-freeze.gpu.txt
COLAB = {
    **{"torch": "2.10.0", "torchvision": "0.25.0", "numpy": "2.0.2", "matplotlib": "3.10.0", "pillow": "11.3.0"},
    **{"ipywidgets": "7.7.1", "ipython": "7.34.0", "ipykernel": "6.17.1", "jupyter-client": "7.4.9"},
    **{"traitlets": "5.7.1", "tornado": "6.5.1", "pyzmq": "26.2.1", "einops": "0.8.2", "safetensors": "0.7.0"},
    **{"tqdm": "4.67.3", "pip": "24.1.2", "setuptools": "75.2.0"},
}
LIST = "from importlib.metadata import distributions as d; print({x.metadata['Name']: x.version for x in d()})"


def needed(names):
    """Installed distributions, with those that they need."""
    found, seen, waiting = {}, set(), [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in seen:
            continue
        seen.add(str(wanted))
        try:
            distribution = importlib.metadata.distribution(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # one for another system
        found[wanted.name.lower()] = distribution
        for requirement in map(Requirement, distribution.requires or ()):
            extras = ({"extra": extra} for extra in ("", *wanted.extras))
            if not requirement.marker or any(map(requirement.marker.evaluate, extras)):
                waiting.append(requirement)
    return found


def files(distribution):
    for file in distribution.files:
        if file.parts[0] != ".." and "__pycache__" not in file.parts:
            yield file


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """A folder of packages: what is there on Colab, as links to what is here."""
    folder = tmp_path_factory.mktemp("dist-packages")
    for distribution in needed(THERE).values():
        for name in {file.parts[0] for file in files(distribution)}:
            if not os.path.lexists(folder / name):
                os.symlink(distribution.locate_file(name), folder / name)
    return folder


@pytest.fixture(scope="module")
def colabs_versions():
    """The folder of packages of an environment with the versions that Colab has."""
    environment = ROOT / "build" / "colab"
    note = environment / "installed"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    versions = [f"{name}=={version}" for name, version in COLAB.items()]
    if not note.exists() or note.read_text() != " ".join(versions):
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True)
        command = [*uv, "pip", "install", "--quiet", "--python", python, *versions]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"Colab's versions cannot be installed here: {done.stderr.strip()[-300:]}")
        note.write_text(" ".join(versions))
    done = subprocess.run([python, "-c", "import numpy; print(numpy.__path__[0])"], capture_output=True, text=True)
    return Path(done.stdout.strip()).parent


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """What pip may fetch: packages of this environment, made wheels again."""
    folder = tmp_path_factory.mktemp("wheels")
    for distribution in needed(MISSING).values():
        tag = next(line[5:] for line in distribution.read_text("WHEEL").splitlines() if line.startswith("Tag: "))
        name = distribution.metadata["Name"].replace("-", "_")
        where = next(file.parts[0] for file in files(distribution) if file.parts[0].endswith(".dist-info"))
        record = ""
        with zipfile.ZipFile(folder / f"{name}-{distribution.version}-{tag}.whl", "w") as wheel:
            for file in files(distribution):
                if file.name not in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
                    content = distribution.locate_file(file).read_bytes()
                    wheel.writestr(file.as_posix(), content)
                    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                    record += f"{file.as_posix()},sha256={digest},{len(content)}\n"
            wheel.writestr(f"{where}/RECORD", record + f"{where}/RECORD,,\n")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The course as it is here, published: a bare repository, and a folder with the notebooks that it holds."""
    here = tmp_path_factory.mktemp("published")
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, here / name)
    for name in ("vit_course", "notebooks", "solutions"):
        shutil.copytree(ROOT / name, here / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    _write(here, REPOSITORY, "main")
    git = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Published"]):
        subprocess.run([*git, *command], cwd=here, check=True)
    bare = tmp_path_factory.mktemp("github") / "course.git"
    subprocess.run(["git", "clone", "-q", "--bare", here, bare], check=True)
    return bare, here / "notebooks"


@pytest.fixture
def machine(published, wheels, tmp_path, monkeypatch):
    """Call it with a folder of packages. Returns the Python of a machine that has them, whose kernel is now python3."""

    def made(packages):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "machine"], check=True)
        python = tmp_path / "machine" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        own = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
        )
        own = Path(own.stdout.strip())
        # Outside the environment, as on Colab: pip can see it, and would install a newer version beside it.
        (own / "there.pth").write_text(f"{packages}\nimport google.colab\n")
        (own / "google" / "colab").mkdir(parents=True)
        (own / "google" / "colab" / "__init__.py").touch()
        kernel = tmp_path / "jupyter" / "kernels" / "python3"
        kernel.mkdir(parents=True)
        start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (kernel / "kernel.json").write_text(json.dumps({"argv": start, "display_name": "", "language": "python"}))
        return python

    for name in ("PYTHONPATH", "MPLBACKEND", "PIP_CONSTRAINT", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    settings = {"JUPYTER_PATH": tmp_path / "jupyter", "IPYTHONDIR": tmp_path / "ipython", "PIP_CONFIG_FILE": os.devnull}
    settings |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels, "PIP_CACHE_DIR": tmp_path / "pip"}
    settings |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{published[0].as_uri()}.insteadOf"}
    settings |= {"GIT_CONFIG_VALUE_0": f"https://github.com/{REPOSITORY}"}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    return made


def packages_of(python):
    said = subprocess.run([python, "-c", LIST], capture_output=True, text=True, check=True, cwd=python.parent).stdout
    return ast.literal_eval(said)


def assert_it_works_alone(path, python):
    """The first cell installs the course and changes nothing else, and no later cell ends in an error."""
    before = packages_of(python)
    assert not {"vit-course", "jaxtyping"} & set(before)
    notebook = nbformat.read(path, as_version=4)
    assert run(notebook) == ""
    after = packages_of(python)
    assert {name: after[name] for name in before} == before
    new = set(after) - set(before)
    assert {"vit-course", "jaxtyping"} <= new <= {"vit-course", "wadler-lindig", "wadler_lindig", *MISSING}
    where = "import vit_course; print(vit_course.__file__)"
    where = subprocess.run([python, "-c", where], capture_output=True, text=True, cwd=python.parent).stdout
    assert where.startswith(str(python.parent.parent))
    for cell in notebook.cells:
        if cell.id.startswith("check-"):
            assert "not attempted yet" in json.dumps(cell.outputs, ensure_ascii=False), cell.id
        if cell.cell_type == "code" and cell.source.split("\n")[-1].startswith("plots."):
            assert sum("image/png" in output.get("data", {}) for output in cell.outputs) == 1, cell.id


def test_a_notebook_alone(published, linked, machine):
    assert_it_works_alone(published[1] / IN_MAKE_TEST, machine(linked))


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_notebook_alone_with_colabs_versions(published, colabs_versions, machine, lesson):
    python = machine(colabs_versions)
    there = packages_of(python)
    assert {name: there[name].split("+")[0] for name in COLAB if name in there}.items() <= COLAB.items()
    assert_it_works_alone(published[1] / lesson, python)
