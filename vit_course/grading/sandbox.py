"""What the worker process sees of this machine: bubblewrap's command line, where there is bubblewrap."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import vit_course

# What students import, and what the worker needs. Where these lie is shown to it; nothing else of this machine is.
PACKAGES = ("torch", "torchvision", "numpy", "einops", "jaxtyping", "safetensors", "matplotlib", "IPython")
COURSE = Path(vit_course.__file__).resolve().parent
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/ld.so.conf.d", "/nix/store")
RUNTIME = "/course"
ROOM = 64 * 2**20  # for all that the worker writes


def environment(home: str) -> dict[str, str]:
    """All of the environment: none of ours, so no secret of it, and one thread, no GPU, the same order of sets."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    plain = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": home, "TMPDIR": home, "CUDA_VISIBLE_DEVICES": ""}
    return {**threads, **plain, "PYTHONHASHSEED": "0", "MPLBACKEND": "Agg"}


@functools.cache
def library_folders() -> tuple[str, ...]:
    """The folders in which `PACKAGES` lie."""
    found = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            found[os.path.dirname(os.path.realpath(place))] = None
    return tuple(found)


def secrets() -> tuple[str, ...]:
    """Folders that hold answers: the course's own, and what lies beside it in a checkout."""
    beside = [COURSE.parent / name for name in ("solutions", "tests", "work", "build", ".git")]
    is_checkout = (COURSE.parent / "solutions").is_dir()
    return tuple(str(path) for path in (COURSE, *beside * is_checkout) if path.is_dir())


@functools.cache
def bubblewrap() -> str | None:
    """The path of a bubblewrap that works here, or None."""
    found = shutil.which("bwrap")
    if found is None or sys.platform != "linux":
        return None
    python = [*wrapped(found), *interpreter(), "-c", "pass"]
    try:
        done = subprocess.run(python, capture_output=True, timeout=60, env=environment("/tmp"))
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found if done.returncode == 0 else None


def interpreter() -> list[str]:
    """Python without the user's settings, `.pth` files (one of them may lead to the course) and bytecode writing."""
    return [os.path.realpath(sys.executable), "-I", "-S", "-B"]


def wrapped(program: str, runtime: str = "") -> list[str]:
    """The beginning of a command: no network, and of the file system only libraries, and a folder as `RUNTIME`."""
    command = [program, "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "grading"]
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in environment("/tmp").items():
        command += ["--setenv", name, value]
    for path in _SYSTEM:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            command += ["--ro-bind", path, path]
    command += ["--proc", "/proc", "--dev", "/dev", "--size", str(ROOM), "--tmpfs", "/tmp"]
    command += ["--ro-bind", runtime, RUNTIME] if runtime else []
    for path in (os.path.realpath(sys.base_prefix), *library_folders()):
        if not path.startswith("/usr/"):
            command += ["--ro-bind", path, path]
    bound = ["/usr", os.path.realpath(sys.base_prefix), *library_folders()]
    for path in secrets():
        if any(path.startswith(f"{one}/") for one in bound):
            command += ["--tmpfs", path, "--remount-ro", path]
    return [*command, "--remount-ro", "/", "--chdir", "/tmp", "--"]
