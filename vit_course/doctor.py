"""`vit-course doctor`: is this machine ready for the course, and if not, what to do."""

import contextlib
import importlib.metadata
import io
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vit_course.paths import home, offline

OLDEST_PYTHON = (3, 10)
LARGEST_DIFFERENCE = 1e-3  # relative to the largest number: TF32 stays below, a wrong kernel does not
ROOM_GB = 1.0  # CIFAR-10's archive, its decoded images and a few checkpoints


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        what: what was looked at, such as "Device".
        state: what was found.
        advice: what to do; "" if nothing is to be done.
        ok: False stops the course; True with advice is worth knowing.
    """

    what: str
    state: str
    advice: str = ""
    ok: bool = True

    def __str__(self) -> str:
        mark = "FIX " if not self.ok else "note" if self.advice else "ok  "
        line = f"{mark}  {self.what:<15}{self.state}"
        return line + (f"\n      {'':<15}-> {self.advice}" if self.advice else "")


def diagnose() -> Iterator[Finding]:
    """Look at everything the course needs, one finding after the other. A look that fails is itself a finding."""
    looks: dict[str, Callable[[], Finding]] = {
        "Python": python,
        "PyTorch": pytorch,
        "Device": compute_device,
        "Arithmetic": arithmetic,
        "CIFAR-10": cifar10,
        "Profile": active_profile,
        "Disk": disk,
        "Course folder": folder,
    }
    for what, look in looks.items():
        try:
            yield look()
        except Exception as error:  # the report must go on: a broken machine is when it is needed
            advice = "Set the course up again (`make setup`); if that does not help, report this line."
            yield Finding(what, f"{type(error).__name__}: {error}", advice, ok=False)


def main() -> int:
    """Print the report. Returns 0 if nothing has to be mended, else 1."""
    findings = []
    for finding in diagnose():
        print(finding, flush=True)
        findings.append(finding)
    wrong = sum(not finding.ok for finding in findings)
    print(f"\n{wrong} of {len(findings)} to fix." if wrong else "\nAll is ready.")
    return 1 if wrong else 0


def python() -> Finding:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", version, "The course needs 3.10 or newer: PYTHON=python3.12 make setup", ok=False)
    return Finding("Python", f"{version} ({sys.executable})")


def pytorch() -> Finding:
    """PyTorch and torchvision are there, and made for each other."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    versions = {}
    for package in ("torch", "torchvision"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return Finding("PyTorch", f"{package} is not installed", "Run `make setup`.", ok=False)
    state = f"torch {versions['torch']}, torchvision {versions['torchvision']}"
    requirements = map(Requirement, importlib.metadata.requires("torchvision") or [])
    needed = next(
        (requirement.specifier for requirement in requirements if requirement.name == "torch"), SpecifierSet()
    )
    if not needed.contains(Version(versions["torch"]).public, prereleases=True):
        advice = "Install the two together: python -m pip install --upgrade torch torchvision"
        return Finding("PyTorch", f"{state}, which was made for torch {needed}", advice, ok=False)
    try:
        import torchvision  # noqa: F401  (fails where its compiled part does not fit)
    except Exception as error:
        advice = "Delete .venv and run `make setup`."
        return Finding("PyTorch", f"{state}: {type(error).__name__}: {error}", advice, ok=False)
    return Finding("PyTorch", state)


def compute_device() -> Finding:
    import torch

    from vit_course.profiles import device

    found = device()
    if found.type == "cpu":
        state = f"CPU, {os.cpu_count()} cores"
        if shutil.which("nvidia-smi"):
            advice = "There seems to be an NVIDIA card that PyTorch cannot use: look at `nvidia-smi` and its driver."
            return Finding("Device", state, advice)
        return Finding("Device", state)
    name = torch.cuda.get_device_name(found) if found.type == "cuda" else "Apple GPU (MPS)"
    try:
        (torch.ones(2, 2, device=found) @ torch.ones(2, 2, device=found)).sum().item()
    except RuntimeError as error:
        advice = "Update the driver, or go on without the GPU: CUDA_VISIBLE_DEVICES= make lab"
        return Finding("Device", f"{name} does not compute: {str(error).splitlines()[0]}", advice, ok=False)
    return Finding("Device", name)


def arithmetic() -> Finding:
    """A small ViT's answers and gradients in float32 on each device, beside the CPU's in float64.

    Drivers and backends have computed wrongly without raising. Rounding alone makes differences of about 1e-6.
    """
    import torch

    from vit_course import ViT

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = ViT(image_size=16, patch_size=4, num_classes=10, dim=32, depth=2, heads=2, mlp_dim=64)
        images = torch.randn(4, 3, 16, 16)
    right = _answers(model.double(), images.double())
    differences = {}
    for device in devices():
        found = _answers(model.to(device, torch.float32), images.to(device))
        differences[device] = ((found - right).abs().max() / right.abs().max()).item()
    said = ", ".join(f"{device} {difference:.0e}" for device, difference in differences.items())
    state = f"forward and backward passes differ from float64's by {said}"
    wrong = [device for device, difference in differences.items() if not difference < LARGEST_DIFFERENCE]
    if wrong:
        advice = (
            f"{wrong[0]} computes wrongly. Update PyTorch and the driver; until then: CUDA_VISIBLE_DEVICES= make lab"
        )
        return Finding("Arithmetic", state, advice, ok=False)
    return Finding("Arithmetic", state)


def devices() -> list[str]:
    """Every device that PyTorch can use here."""
    import torch

    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*found, "mps"] if torch.backends.mps.is_available() else found


def _answers(model, images):
    """Logits and all gradients, in one row on the CPU in float64."""
    import torch

    model.zero_grad()
    logits = model(images)
    (logits * torch.arange(10, device=images.device).cos()).sum().backward()
    rows = [logits, *(parameter.grad for parameter in model.parameters())]
    return torch.cat([row.detach().flatten().cpu().double() for row in rows])


def cifar10() -> Finding:
    """Which source would serve CIFAR-10 now, in the order of `load_images`, and whether it can.

    A copy is looked at with the code that loads it. Nothing is downloaded, and a damaged archive is not deleted.
    """
    from vit_course.data.loading import CIFAR10_ARCHIVE, TARBALL, DamagedError, copy_of_cifar10, near_miss

    kept, advice = home() / "data", ""
    if shared := os.environ.get("VIT_COURSE_DATA"):
        if found := copy_of_cifar10(Path(shared).expanduser()):
            error, notices = _check_copy(found, kept)
            advice = f"{error} Mend it, copy it there again, or unset VIT_COURSE_DATA." if error else notices
            return Finding("CIFAR-10", f"{found} (VIT_COURSE_DATA)", advice, ok=not error)
        advice = f"VIT_COURSE_DATA={shared} holds no CIFAR-10: correct it or unset it.{near_miss(Path(shared))} "
    if found := copy_of_cifar10(kept):
        error, notices = _check_copy(found, kept)
        replaced = isinstance(error, DamagedError)  # by `load_images`, which goes on
        if replaced:
            notices = "The generated images will stand in for it." if offline() else "It will be downloaded again."
        advice += f"{error or ''} {notices}"
        return Finding("CIFAR-10", str(found), advice.strip(), ok=error is None or replaced)
    if offline():
        state = "VIT_COURSE_OFFLINE is set: the generated images stand in for it"
        return Finding("CIFAR-10", state, advice.strip() or "Unset VIT_COURSE_OFFLINE for the real ones.")
    part = kept / f"{TARBALL}.part"
    there = f", of which {part.stat().st_size / 1e6:.0f} MB are here" if part.exists() else ""
    state = f"will be downloaded when a lesson first asks for it ({CIFAR10_ARCHIVE.size / 1e6:.0f} MB{there})"
    return Finding("CIFAR-10", state, advice.strip())


def _check_copy(copy: Path, kept: Path) -> tuple[Exception | None, str]:
    """The error that loading a copy of CIFAR-10 would raise, and what it would say."""
    from vit_course.data.loading import check_copy

    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            check_copy(copy, kept)
        except (OSError, ValueError) as error:
            return error, ""
    return None, " ".join(said.getvalue().split("\n")).strip()


def active_profile() -> Finding:
    from vit_course.profiles import profile

    try:
        found = profile()
    except ValueError as error:
        return Finding("Profile", "unknown", str(error), ok=False)
    chosen = "VIT_COURSE_PROFILE" if os.environ.get("VIT_COURSE_PROFILE") else "chosen by the device"
    return Finding("Profile", f"{found.name} ({chosen}): {found.images:,} images a lesson")


def disk() -> Finding:
    place = home().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    state = f"{free:.1f} GB free in {place}"
    if free < ROOM_GB:
        advice = f"The course keeps up to {ROOM_GB:.0f} GB there: make room, or set VIT_COURSE_HOME to another folder."
        return Finding("Disk", state, advice, ok=False)
    return Finding("Disk", state)


def folder() -> Finding:
    """The course's own folder can be written to, so that progress and images are kept."""
    place = home()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        advice = "Progress and images are kept there: set VIT_COURSE_HOME to a folder you can write to."
        return Finding("Course folder", f"{place} cannot be written to ({error.strerror})", advice, ok=False)
    return Finding("Course folder", str(place))
