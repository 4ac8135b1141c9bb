"""What can go wrong in the midst of training, in words that say what to do; and signals that wait for a step's end."""

import contextlib
import signal
import threading
import traceback
from collections.abc import Iterator

import torch

from vit_course import profiles

# What PyTorch says of a GPU, and of the CPU on Linux, macOS and Windows.
_USED_UP = ("out of memory", "can't allocate memory", "allocator: not enough memory")


class TrainingError(RuntimeError):
    """Training cannot go on. The message says why and what to change; what was saved stays."""


@contextlib.contextmanager
def memory_in_plain_words(device: torch.device, what: str, advice: str) -> Iterator[None]:
    """Where memory is used up, say for what, where, and what to do.

    Raises:
        TrainingError: it is.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = str(error).lower()
        if not (isinstance(error, MemoryError) or any(words in said for words in _USED_UP)):
            raise
        traceback.clear_frames(error.__traceback__)  # or a notebook would keep all that they hold in memory
        raise TrainingError(f"not enough memory for {what} on {profiles.described(device)}. {advice}") from error


@contextlib.contextmanager
def interrupted_between_steps() -> Iterator[list[int]]:
    """Ctrl-C, Jupyter's stop button and SIGTERM wait for the end of a step: in the middle, a model is half updated.

    Yields:
        A list that is empty until then. A second signal does not wait.
    """
    received: list[int] = []

    def note(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # Python gives signals to the main thread only
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
