"""Whether two observations of one case are the same."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vit_course.checks.exercise import TOLERANCE
from vit_course.checks.observers import Observations

AGAIN = " with gradients"  # ends the name of a result of the second call
_allclose = torch.allclose  # bound now: a learner's `torch.allclose = …` then decides nothing here


def agree(
    a: Observations,
    b: Observations,
    ignore: frozenset[str] = frozenset(),
    *,
    nan_equals_nan: bool = False,
    float64: float = TOLERANCE,
) -> bool:
    """Whether two observations of one case are the same, notes aside. `float64`: the tolerance for that dtype."""
    names = {name for name in a.keys() | b.keys() if not name.startswith("_")} - ignore
    return all(name in a and name in b and equal(a[name], b[name], nan_equals_nan, float64) for name in names)


def equal(a: Any, b: Any, nan_equals_nan: bool = False, float64: float = TOLERANCE) -> bool:
    """The same type, and for tensors the same shape, dtype and layout; floats within the tolerance."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.dtype != b.dtype or a.layout != b.layout:
            return False
        tolerance = float64 if a.dtype == torch.float64 else TOLERANCE
        if not (a.is_floating_point() or a.is_complex()):
            tolerance = 0.0  # whole numbers are right or wrong
        return _allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=nan_equals_nan)
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (nan_equals_nan and a != a and b != b)
    return a == b
