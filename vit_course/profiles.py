"""What this machine is, and how much a lesson does on it: seconds in a test, minutes on a laptop, more on a GPU."""

import contextlib
import os
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Profile:
    """The size of a lesson's work.

    Attributes:
        name: "smoke", "cpu" or "gpu".
        images: how many images a lesson loads.
        seconds: what one training cell may take, about.
    """

    name: str
    images: int
    seconds: int


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("smoke", images=500, seconds=2),
        Profile("cpu", images=5_000, seconds=30),
        Profile("gpu", images=50_000, seconds=30),
    )
}


def profile() -> Profile:
    """The profile in force: `$VIT_COURSE_PROFILE`, else "gpu" where there is a GPU (CUDA or Apple's MPS), else "cpu".

    Raises:
        ValueError: `VIT_COURSE_PROFILE` names no profile.
    """
    name = os.environ.get("VIT_COURSE_PROFILE", "").strip()
    if not name:
        name = "cpu" if device().type == "cpu" else "gpu"
    if name not in PROFILES:
        raise ValueError(f"VIT_COURSE_PROFILE is {name!r}; set it to one of {', '.join(PROFILES)}, or unset it.")
    return PROFILES[name]


def processor() -> str:
    """The name of this machine's CPU."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere `platform` knows the name
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


@cache
def device() -> "torch.device":
    """The fastest device here: CUDA, then Apple's MPS, then the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


PRECISIONS = ("float32", "bfloat16", "float16")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core of the CPU: small tensors are done sooner than handed out, above all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def precision(wanted: str, device: "torch.device") -> "torch.dtype":
    """One of `PRECISIONS`, or what "auto" means on a device.

    That is bfloat16 where the hardware has it, float16 on older CUDA GPUs, else float32.
    """
    import torch

    if wanted != "auto":
        return getattr(torch, wanted)
    if device.type == "cuda":
        # A T4 (7.5) only emulates bfloat16.
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    if device.type == "cpu" and getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)():
        return torch.bfloat16
    return torch.float32


def named(precision: "torch.dtype") -> str:
    """One of `PRECISIONS`."""
    return str(precision).removeprefix("torch.")


def described(device: "torch.device") -> str:
    """A device in words, such as the name of the GPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"{processor()}, {threads} thread{'s' if threads > 1 else ''}"
    return str(device)


def measured_on(device: "torch.device") -> str:
    """What a table of measurements says of where and when: the device, torch and today's date."""
    import torch

    return f"{described(device)}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
