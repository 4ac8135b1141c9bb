"""The conditions under which code is observed: the same whatever ran before, and put back as they were.

A grading worker loads this beside the observers; it knows neither the model nor the catalogue.
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import einops  # noqa: F401  so that its caches are there to be found
import torch

MAX_PRINTED = 4000


class Printed(io.TextIOBase):
    """Keeps the beginning of what is printed, so that an endless print does not fill the memory."""

    encoding = "utf-8"  # some code asks a stream for it

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        if len(self.text) < MAX_PRINTED:
            self.text += printable(str(text))[: MAX_PRINTED - len(self.text)]
        return len(text)


def printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _determine(on: tuple[bool, bool]) -> None:
    torch._C._set_deterministic_algorithms(on[0], warn_only=on[1])  # the public one imports the compiler, for 4 s


def _filled() -> bool:
    return torch.utils.deterministic.fill_uninitialized_memory


def _fill(on: bool) -> None:
    torch.utils.deterministic.fill_uninitialized_memory = on


def _anomalies() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _precision() -> str | None:
    with contextlib.suppress(RuntimeError):  # where it was set part by part, torch does not say it as a whole
        return torch.get_float32_matmul_precision()
    return None


# What holds for the whole process and may decide what code does: how to read it, how to set it, and its plain value.
_SWITCHES: tuple[tuple[Callable, Callable, Any], ...] = (
    (torch.is_grad_enabled, torch.set_grad_enabled, True),
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    # Small tensors: handing them out to threads takes longer than the work.
    (torch.get_num_threads, torch.set_num_threads, 1),
    (_precision, torch.set_float32_matmul_precision, "highest"),
    # Memory that nobody has written to holds NaN then, not what happened to be there: often it is 0, and looks right.
    (_deterministic, _determine, (True, True)),
    (_filled, _fill, True),
    (_anomalies, lambda on: torch.autograd.set_detect_anomaly(*on), (False, True)),
    (sys.getrecursionlimit, sys.setrecursionlimit, 1000),
)
# einops' caches take a size of 2.0 for 2, since the two are equal: what was asked for first is what the next one gets.
_CACHES = tuple(
    value.cache_clear
    for name, module in sys.modules.items()
    if name.partition(".")[0] == "einops"
    for value in vars(module).values()
    if hasattr(value, "cache_clear")
)


def _switch(values: Iterable[Any]) -> None:
    for (read, write, _), value in zip(_SWITCHES, values, strict=True):
        now = read()
        if now is not None and now != value:
            with contextlib.suppress(RecursionError):  # a limit below where we stand
                write(value)


def _forget() -> None:
    for clear in _CACHES:
        clear()


@contextlib.contextmanager
def untouched_state() -> Iterator[None]:
    """Restores what a candidate may leave changed: random states, `_SWITCHES`, default device, warnings, streams."""
    numpy = sys.modules.get("numpy")
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_state = numpy.random.get_state() if numpy else None
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    device, modes = torch.get_default_device(), torch._C._len_torch_function_stack()
    streams, switches = (sys.stdout, sys.stderr), [read() for read, _, _ in _SWITCHES]
    try:
        with warnings.catch_warnings(), numpy.errstate() if numpy else contextlib.nullcontext():
            yield
    finally:
        sys.stdout, sys.stderr = streams
        _switch(switches)
        if torch.get_default_device() != device:  # setting it at all makes every later torch call a little slower
            torch.set_default_device(None if device.type == "cpu" else device)
        while torch._C._len_torch_function_stack() > modes:
            torch._C._pop_torch_function_stack()
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        if numpy_state is not None:
            numpy.random.set_state(numpy_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)


@contextlib.contextmanager
def standard_state(printed: io.TextIOBase | None = None, seed: int = 0) -> Iterator[None]:
    """The same conditions whatever ran before: random states from `seed`, `_SWITCHES` at their plain values, CPU.

    Printing goes to `printed`, or is dropped. einops begins with empty caches, and leaves none behind.
    """
    printed = Printed() if printed is None else printed
    with (
        untouched_state(),
        torch.inference_mode(False),
        torch.autocast("cpu", enabled=False),
        torch._C.DisableTorchFunction(),  # modes that are in force, a default device among them
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(Printed()),  # warnings are not what a learner printed
    ):
        warnings.simplefilter("ignore")  # as errors they would stop right code
        _switch(plain for _, _, plain in _SWITCHES)
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed(seed)
            numpy.seterr(divide="warn", over="warn", under="ignore", invalid="warn")
        _forget()
        try:
            yield
        finally:
            _forget()
