"""Make `.venv` and install the course into it. `make lab`, `make test` and `make setup` run this file first.

    python3 scripts/setup.py --extra lab

It uses the standard library only, since it runs before anything is installed. What it does:

- makes `.venv` with the Python that runs it, or a newer one from the PATH where that one is too old;
- installs with uv, which pip puts into `.venv`, and with pip alone where uv does not manage;
- takes PyTorch without CUDA on a Linux without an NVIDIA GPU, where PyTorch's own package index answers;
- notes in `.venv` what was installed, so that the next run has nothing to do, and that an installation has begun,
  so that the next run starts afresh where this one was interrupted.
"""

# ruff: noqa: E402  (the check of the version comes before the imports that an old Python may lack)

import sys

OLDEST = (3, 10)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.10")


def use_a_newer_python():  # no type hints up to here: this part runs on any Python 3.6 or later
    """Hand over to a newer Python of the PATH, unless the user chose this one; never returns."""
    import shutil
    import subprocess

    this = ".".join(str(part) for part in sys.version_info[:3])
    if "--chosen-python" not in sys.argv:
        for name in NEWER:
            path = shutil.which(name)
            # A version manager may answer to the name without having that version: try it.
            if path and subprocess.call([path, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
                print(f"Python {this} is too old for the course; going on with {name}.", flush=True)
                sys.exit(subprocess.call([path, *sys.argv]))
    sys.exit(
        f"The course needs Python 3.10 or newer, but {sys.executable} is Python {this}.\n"
        "Install a newer one (python.org, or your system's packages), then name it: PYTHON=python3.12 make lab"
    )


if __name__ == "__main__" and sys.version_info < OLDEST:
    use_a_newer_python()

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
# Free space a first set-up needs, in GB: on Linux the package index serves torch with its CUDA libraries.
NEEDED_GB = 8.0 if platform.system() == "Linux" else 3.0
NEEDED_GB_CPU = 3.0
DEFAULT = "default"  # the name under which PyTorch as the package index has it can be asked for
PATIENCE = 10  # seconds for PyTorch's own index to say what it has


def fail(message: str) -> NoReturn:
    """End with a sentence instead of a traceback."""
    sys.exit(f"\nThe set-up stopped. {message}")


class Venv:
    """The virtual environment of a checkout and the note in it that says what was installed.

    Args:
        root: the checkout, which holds `pyproject.toml`.
    """

    def __init__(self, root: Path):
        self.root = root
        self.folder = root / ".venv"
        self.note = self.folder / "vit-course-setup.json"
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def read_note(self) -> dict:
        """What the last set-up noted; empty if there was none."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}

    def write_note(self, note: dict) -> None:
        temporary = self.note.with_suffix(".tmp")
        temporary.write_text(json.dumps(note, indent=1), encoding="utf-8")
        temporary.replace(self.note)

    def python_version(self) -> str:
        """The version of the environment's Python such as "3.11", or "" where it does not run."""
        return python_version(self.python) if self.python.exists() else ""

    def create(self) -> None:
        """Make it anew, deleting what is there."""
        missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
        if missing:
            fail(
                f"This Python ({sys.executable}) comes without `{missing[0]}`, which makes virtual environments.\n"
                "On Debian and Ubuntu: apt install python3-venv   Then run the same command again."
            )
        # From inside an activated environment, the Python that environment was made from.
        base = getattr(sys, "_base_executable", None) or sys.executable
        if run([base, "-m", "venv", "--clear", str(self.folder)], cwd=self.root) != 0:
            fail(f"`{base} -m venv {self.folder}` failed; its message is above.{disk_advice(self.root)}")


# uv trusts the certificates of the system, as browsers do: networks of companies and schools often add their own.
ENVIRONMENT = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}  # the new name and the old one


def run(command: list[str], cwd: Path) -> int:
    """Run a command with its output on the screen. Returns its exit status."""
    environment = {**ENVIRONMENT, **os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0"}
    sys.stdout.flush()
    return subprocess.call(command, cwd=cwd, env=environment)


def python_version(python: Path) -> str:
    """Major and minor version of an interpreter such as "3.11", or "" where it does not run."""
    command = [str(python), "-ISc", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def free_gb(folder: Path) -> float:
    return shutil.disk_usage(folder).free / 1e9


def needed_gb(torch_backend: str | None) -> float:
    return min(NEEDED_GB, NEEDED_GB_CPU) if torch_backend == "cpu" else NEEDED_GB


def disk_advice(root: Path, needed: float = NEEDED_GB) -> str:
    """A sentence for the end of an error message where the disk is a likely cause, else ""."""
    free = free_gb(root)
    if free >= needed / 2:
        return ""
    return f"\nThe disk is nearly full: {free:.1f} GB are free in {root}; a first set-up needs about {needed:.0f} GB."


def check_room(root: Path, torch_backend: str | None) -> None:
    """Before anything is downloaded, end with a sentence where the disk cannot hold it."""
    needed, free = needed_gb(torch_backend), free_gb(root)
    if free < needed:
        light = f"\nWithout a GPU, `make setup TORCH_BACKEND=cpu` needs about {NEEDED_GB_CPU:.0f} GB."
        fail(
            f"It needs about {needed:.0f} GB of free disk space, and {root} has {free:.1f} GB.\n"
            f"Make room, or put the course on another disk.{light if needed > NEEDED_GB_CPU else ''}"
        )


def nvidia_gpu() -> bool:
    """Whether a driver for NVIDIA GPUs is installed."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def light_is_better() -> bool:
    """Whether PyTorch's CUDA libraries, 3 GB, would be of no use here. Elsewhere than on Linux there are none."""
    return platform.system() == "Linux" and not nvidia_gpu()


def answers(command: list[str], cwd: Path) -> bool:
    """Whether a command that asks a package index succeeds soon. An index that cannot be reached may never answer."""
    environment = {**ENVIRONMENT, **os.environ, "UV_HTTP_TIMEOUT": str(PATIENCE), "UV_HTTP_RETRIES": "0"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.run(command, cwd=cwd, env=environment, timeout=PATIENCE, check=False, **quiet).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def choose_backend(venv: Venv) -> str:
    """The build of PyTorch for this machine: "cpu", or "" for the one that the package index has."""
    if not light_is_better():
        return ""
    ask = ["install", "--dry-run", "--no-deps", "--reinstall", "--no-cache", "--torch-backend", "cpu", "torch"]
    if answers([str(venv.python), "-m", "uv", "pip", *ask, "--python", str(venv.python)], venv.root):
        print("No NVIDIA GPU here: PyTorch comes without CUDA, about 200 MB instead of 3 GB.", flush=True)
        return "cpu"
    print("PyTorch's own package index does not answer, so PyTorch comes with CUDA, about 3 GB.", flush=True)
    check_room(venv.root, "")
    return ""


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold the checkout's set-up lock, so that two `make` at once do the work once. A killed holder lets go."""
    path = root / "build" / "setup.lock"
    try:
        path.parent.mkdir(exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        fail(f"The course's folder cannot be written to ({error}). Use a copy in a folder of your own.")
    with file:
        told = False
        while not _try_lock(file):
            if not told:
                print("Another set-up is at work in this folder; waiting for it.", flush=True)
                told = True
            time.sleep(0.2)
        yield


def _try_lock(file) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # a file system without locks: better unlocked than not at all
    return True


def install(venv: Venv, extras: list[str], torch_backend: str | None) -> str:
    """Install the course, editable, with its extras: with uv, else with pip.

    Args:
        venv: where to.
        extras: names of `pyproject.toml`.
        torch_backend: for uv; "" for PyTorch as the package index has it; None for what suits this machine.

    Returns:
        The backend installed.
    """
    python = str(venv.python)
    what = ["-e", f".[{','.join(extras)}]"]
    if run([python, "-m", "pip", "install", "--quiet", "uv"], venv.root) == 0:
        wanted = [choose_backend(venv), ""] if torch_backend is None else [torch_backend]
        for backend in dict.fromkeys(wanted):
            option = ["--torch-backend", backend] if backend else []
            if run([python, "-m", "uv", "pip", "install", "--python", python, *option, *what], venv.root) == 0:
                return backend
            advice = disk_advice(venv.root, needed_gb(backend))
            if advice:
                fail(f"uv could not install the course; its message is above.{advice}")
    if torch_backend:
        fail(
            f"TORCH_BACKEND={torch_backend} needs uv, which failed; its message is above. Without it, pip can be used."
        )
    print("uv did not manage; going on with pip, which takes longer.", flush=True)
    if run([python, "-m", "pip", "install", *what], venv.root) != 0:
        fail(
            "Neither uv nor pip could install the course; their messages are above."
            + (
                disk_advice(venv.root)
                or "\nIs there a connection to the package index? Once there is, the same command goes on from here."
                "\nIf a package has no version for this Python, name another one: PYTHON=python3.12 make lab"
                "\nIf another tool made .venv, delete that folder first."
            )
        )
    return ""


def set_up(root: Path, extra: str, chosen_python: bool = False, torch_backend: str = "") -> str:
    """Bring `.venv` to the state that `pyproject.toml` and the extra ask for.

    Args:
        root: the checkout.
        extra: the optional dependencies wanted, "lab" or "dev".
        chosen_python: the user named this Python, so an environment made with another is replaced.
        torch_backend: passed to uv ("cpu": without CUDA); "default" for PyTorch as the package index has it; "" for
            what an earlier set-up chose, or else for what suits this machine.

    Returns:
        A sentence that says what is there now. Ends the program with a sentence where something is in the way.
    """
    with alone(root):
        venv = Venv(root)
        note, version = venv.read_note(), venv.python_version()
        wanted_version = python_version(Path(sys.executable)) if chosen_python else version
        backend = "" if torch_backend == DEFAULT else torch_backend or note.get("torch_backend")
        extras = sorted({extra, *note.get("extras", [])})
        wanted = {
            "state": "installed",
            "python": wanted_version,
            "extras": extras,
            "torch_backend": backend,
            "pyproject": hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest(),
            "folder": str(root),  # the environment's scripts hold their path: a moved checkout needs a new one
        }
        if version and note == wanted:
            return f"Nothing to do: .venv with Python {version} is up to date."

        interrupted = note.get("state") == "installing"
        another = any(note.get(key, wanted[key]) != wanted[key] for key in ("python", "torch_backend", "folder"))
        if not version or wanted_version != version or another or interrupted:
            if not venv.folder.exists():
                check_room(root, "cpu" if backend is None and light_is_better() else backend)
            print("An earlier set-up was interrupted; starting afresh." if interrupted else "Making .venv.", flush=True)
            venv.create()
            version = venv.python_version()
            if not version:
                fail(f"The new environment's Python ({venv.python}) does not start.{disk_advice(root)}")
        print(
            f"Installing the course for Python {version}. The first time this downloads PyTorch: some minutes.",
            flush=True,
        )
        wanted["python"] = version
        # The keys stay while installing: the next run must know the choices even if this one is cut short.
        venv.write_note({**wanted, "state": "installing"})
        try:
            wanted["torch_backend"] = install(venv, extras, backend)
        except SystemExit:
            # Both installers first get everything, then install: without a network, the environment is as it was.
            if not disk_advice(root, needed_gb(backend)):
                venv.write_note({**wanted, "state": "incomplete"})
            raise
        venv.write_note(wanted)
        return f"Ready: .venv with Python {version}."


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make .venv and install the course into it.")
    parser.add_argument("--extra", choices=["lab", "dev"], default="lab", help="lab: to learn; dev: to test and write")
    parser.add_argument("--torch-backend", default="", metavar="NAME", help="for uv: cpu, say; default: with CUDA")
    parser.add_argument("--chosen-python", action="store_true", help="replace a .venv made with another Python")
    parser.add_argument("--quiet", action="store_true", help="say nothing when there is nothing to do")
    options = parser.parse_args(arguments)
    try:
        result = set_up(ROOT, options.extra, options.chosen_python, options.torch_backend)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The same command will go on.")
    except OSError as error:
        fail(f"{error}{disk_advice(ROOT)}")
    if not (options.quiet and result.startswith("Nothing")):
        print(result)


if __name__ == "__main__":
    main()
