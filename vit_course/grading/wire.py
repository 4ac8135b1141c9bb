"""How cases go to the worker and observations come back: JSON and safetensors, nothing that runs when it is read."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import select
import struct
import time
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

MOST_BYTES = 64 * 2**20  # of one message
MOST_WORDS = 4 * 2**20  # of its JSON
_LENGTH = struct.Struct(">Q")


class Unreadable(ValueError):
    """What came is no message."""


def pack(value: Any) -> bytes:
    """Plain data, tensors and dataclasses of them as bytes.

    Raises:
        TypeError: there is something else in it.
    """
    tensors: dict[str, Tensor] = {}
    words = json.dumps(_flat(value, tensors)).encode()
    return _LENGTH.pack(len(words)) + words + save(tensors)


def unpack(message: bytes, *, known: str = "") -> Any:
    """What `pack` was given.

    Args:
        message: may come from anybody.
        known: begins the names of modules whose dataclasses may be made; "" allows none.

    Raises:
        Unreadable: it is nothing that `pack` made.
    """
    try:
        (length,) = _LENGTH.unpack_from(message)
        start = _LENGTH.size + length
        if len(message) > MOST_BYTES or length > MOST_WORDS or start > len(message):
            raise Unreadable("too long")
        tensors = load(message[start:])
        return _built(json.loads(message[_LENGTH.size : start]), tensors, known)
    except Unreadable:
        raise
    except (Exception, RecursionError) as error:  # struct.error, UnicodeError, SafetensorError, KeyError, …
        raise Unreadable(f"{type(error).__name__}: {error}"[:200]) from None


def _flat(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        return _flat_tensor(value, tensors)
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [[one.name, _flat(getattr(value, one.name), tensors)] for one in dataclasses.fields(value)]
        return {"of": [type(value).__module__, type(value).__qualname__], "dict": fields}
    if isinstance(value, dict):
        return {"dict": [[_flat(key, tensors), _flat(one, tensors)] for key, one in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_flat(one, tensors) for one in value]}
    if isinstance(value, list):
        return [_flat(one, tensors) for one in value]
    raise TypeError(f"a {type(value).__name__} cannot be sent")


def _flat_tensor(value: Tensor, tensors: dict[str, Tensor]) -> Any:
    found = {"tensor": str(len(tensors))}
    plain = value.detach()
    if plain.layout != torch.strided:
        found["layout"] = str(plain.layout).removeprefix("torch.")
        plain = plain.to_dense()
    elif not plain.is_contiguous():
        found["strides"] = list(plain.stride())
    if plain.is_complex():
        found["complex"] = True
        plain = torch.view_as_real(plain.resolve_conj())
    # A copy: safetensors refuses tensors that share memory.
    tensors[found["tensor"]] = plain.resolve_neg().clone(memory_format=torch.contiguous_format)
    return found


def _built(value: Any, tensors: dict[str, Tensor], known: str) -> Any:
    if isinstance(value, list):
        return [_built(one, tensors, known) for one in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return _built_tensor(value, tensors[value["tensor"]])
    if "dtype" in value:
        found = getattr(torch, value["dtype"])
        if not isinstance(found, torch.dtype):
            raise Unreadable("no dtype")
        return found
    if "tuple" in value:
        return tuple(_built(one, tensors, known) for one in value["tuple"])
    pairs = {_built(key, tensors, known): _built(one, tensors, known) for key, one in value["dict"]}
    if "of" not in value:
        return pairs
    module, name = value["of"]
    if not known or not module.startswith(known):
        raise Unreadable("an object")
    return getattr(importlib.import_module(module), name)(**pairs)


def _built_tensor(found: dict[str, Any], plain: Tensor) -> Tensor:
    if found.get("complex"):
        plain = torch.view_as_complex(plain)
    if found.get("layout"):
        return plain.to_sparse(layout=getattr(torch, found["layout"]))
    strides = found.get("strides")
    if strides and 0 not in strides and torch.empty_strided(plain.shape, strides, device="meta").shape == plain.shape:
        size = 1 + sum((n - 1) * s for n, s in zip(plain.shape, strides, strict=True) if n)
        if size <= plain.numel():  # else it would take more memory than came
            return torch.empty_strided(plain.shape, strides, dtype=plain.dtype).copy_(plain)
    return plain


def send(target: int, message: bytes, until: float | None = None) -> None:
    """Write a message to a file descriptor; `receive` reads it at the other end.

    Args:
        target: set to non-blocking where there is an `until`.
        message: anything.
        until: on `time.monotonic`'s clock.

    Raises:
        Unreadable: nobody took it in time.
    """
    left = memoryview(_LENGTH.pack(len(message)) + message)
    while left:
        _ready([], [target], until)
        left = left[os.write(target, left[:65536]) :]


def receive(source: int, until: float | None = None) -> bytes | None:
    """The next message that was sent by `send`, None at the end.

    Raises:
        Unreadable: it ends in the middle, is too long, or does not come in time.
    """
    head = _exactly(source, _LENGTH.size, until)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise Unreadable("cut off")
    (length,) = _LENGTH.unpack(head)
    if length > 2 * MOST_BYTES:
        raise Unreadable("too long")
    message = _exactly(source, length, until)
    if len(message) < length:
        raise Unreadable("cut off")
    return message


def _exactly(source: int, count: int, until: float | None) -> bytes:
    """So many bytes, fewer at the end of the stream. Never one more: what follows is for another process."""
    parts, missing = [], count
    while missing:
        _ready([source], [], until)
        part = os.read(source, min(missing, 2**20))
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _ready(reading: list[int], writing: list[int], until: float | None) -> None:
    if until is not None and not any(select.select(reading, writing, [], max(until - time.monotonic(), 0))):
        raise Unreadable("too late")
