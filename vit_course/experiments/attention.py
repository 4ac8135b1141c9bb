"""What attention costs (lesson 05)."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vit_course.attention import scaled_dot_product_attention
from vit_course.profiles import one_thread


class Cost(NamedTuple):
    """What attention costs at each number of tokens: seconds, forward and backward, and bytes kept in between."""

    seconds: list[float]
    kept: list[int]


def attention_cost(tokens: Sequence[int], heads: int = 3, dim_head: int = 64) -> dict[str, Cost]:
    """Time and memory of one attention on one core of the CPU, forward and backward, for one image (lesson 05).

    Memory is what the forward pass keeps for the backward pass: the storages that autograd saves, each counted once.

    Args:
        tokens: how many, for each measurement; 4,096 of them take a few seconds and some 200 MB.
        heads, dim_head: the sizes of the shipped checkpoints where not given.

    Returns:
        "written out" (`scaled_dot_product_attention`) and "fused" (PyTorch's own): seconds of the processor, which
        other work on the machine does not lengthen, the best of two; and bytes.
    """
    ways = {
        "written out": lambda q, k, v: scaled_dot_product_attention(q, k, v)[0],
        "fused": F.scaled_dot_product_attention,
    }
    costs = {way: Cost([], []) for way in ways}
    with one_thread():
        for count in tokens:
            q, k, v = (torch.randn(1, heads, count, dim_head, requires_grad=True) for _ in range(3))
            for way, attend in ways.items():
                costs[way].kept.append(_kept(lambda attend=attend, qkv=(q, k, v): attend(*qkv)))
                costs[way].seconds.append(min(_seconds(lambda a=attend, qkv=(q, k, v): a(*qkv)) for _ in range(2)))
    return costs


def _kept(run: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass keeps for the backward pass."""
    stored: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        stored[saved.untyped_storage().data_ptr()] = saved.untyped_storage().nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        run().sum().backward()
    return sum(stored.values())


def _seconds(run: Callable[[], Tensor]) -> float:
    """How long the processor works, forward and backward."""
    start = time.process_time()
    run().sum().backward()
    return time.process_time() - start
