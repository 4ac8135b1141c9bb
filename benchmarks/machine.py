"""What the benchmarks share: the machine's name, and README sections that each script writes for itself."""

import os
import platform
from pathlib import Path

import torch

from vit_course.profiles import processor

README = Path(__file__).with_name("README.md")
HEADER = "# Benchmarks\n\nEach section below is written by the script that it names.\n"


def describe(device: str = "cpu") -> str:
    """One line: processor, cores, threads, memory, GPU when `device` is "cuda", Python and torch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [processor(), f"{cores} cores", f"{torch.get_num_threads()} threads", *_memory()]
    if device == "cuda":
        parts.insert(0, torch.cuda.get_device_name())
    parts += [platform.system(), f"Python {platform.python_version()}", f"torch {torch.__version__}"]
    return ", ".join(parts)


def _memory() -> list[str]:
    try:
        return [f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"]
    except (AttributeError, ValueError, OSError):
        return []


def write_section(name: str, text: str, readme: Path = README) -> None:
    """Put `text` between the marks of section `name`; whatever else stands in the file stays as it is.

    Args:
        name: of the section, told apart by the HTML comments `<!-- begin: name -->` and `<!-- end: name -->`.
        text: Markdown.
        readme: the file. A section that it does not have yet goes to its end; a missing file is made.
    """
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    old = readme.read_text(encoding="utf-8") if readme.exists() else HEADER
    before, found, rest = old.partition(begin)
    if not found or end not in rest:
        before, rest = f"{old.rstrip()}\n\n", f"{end}\n"
    readme.write_text(before + section + rest.partition(end)[2], encoding="utf-8")
