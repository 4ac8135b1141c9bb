"""The random numbers of a run: those of the CPU and of its own device, and none that nobody puts back after it."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def borrowed(device: torch.device) -> Iterator[None]:
    """Seed and draw as you like: after the block, the random numbers go on as if it had not been there."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        before = torch.mps.get_rng_state() if device.type == "mps" else None
        try:
            yield
        finally:
            if before is not None:
                torch.mps.set_rng_state(before)


def seed(number: int, device: torch.device) -> None:
    """What `torch.manual_seed` does, but not to other devices."""
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)
    elif device.type != "cpu":
        getattr(torch, device.type).manual_seed(number)


@contextlib.contextmanager
def seeded(number: int) -> Iterator[None]:
    """The CPU's random numbers begin at a seed; after the block, they go on as if it had not been there."""
    cpu = torch.device("cpu")
    with borrowed(cpu):
        seed(number, cpu)
        yield
