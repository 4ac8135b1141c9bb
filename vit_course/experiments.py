"""Small trainings that prove something, for the lessons to call."""

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vit_course.attention import scaled_dot_product_attention
from jaxtyping import Float, Int
from vit_course.data import load_images
from vit_course.profiles import profile
from vit_course.training import Recipe, Trained, train
from vit_course.training.reporting import Report


def learn_where(positions: Literal["none", "learned", "sincos"], *, report: Report | None = None) -> Trained:
    """Train a small ViT to tell *where* two balls are (lesson 04).

    In the `"where"` images, twins are made of the same patches in another arrangement and have different labels. So a
    ViT that is not told where its patches stand is right about exactly one of two, however long it learns.

    Args:
        positions: as in `ViT`.
        report: as in `train`.

    Returns:
        The trained model and its accuracy on the test images. By profile: "smoke" takes a few seconds and shows the
        difference; the others take under a minute on two CPU cores and end above 95% with positions.
    """
    smoke = profile().name == "smoke"
    recipe = Recipe(
        patch_size=8,  # a tile of the board: 16 tokens
        dim=32 if smoke else 64,
        depth=2,
        heads=4,
        mlp_dim=64 if smoke else 128,
        positions=positions,
        epochs=12 if smoke else 2,
        batch_size=50 if smoke else 128,
        lr=4e-3 if smoke else 1e-3,
        padding=None,  # a crop would cut across the tiles, and a flip swaps left and right
        precision="float32",  # twins get the same answer only up to rounding
    )
    images = load_images("where", limit=1_000 if smoke else None)
    test = load_images("where", "test", limit=1_000 if smoke else 2_000)
    return train(recipe, images, test, report=report)


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
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for count in tokens:
            q, k, v = (torch.randn(1, heads, count, dim_head, requires_grad=True) for _ in range(3))
            for way, attend in ways.items():
                costs[way].kept.append(_kept(lambda attend=attend, qkv=(q, k, v): attend(*qkv)))
                costs[way].seconds.append(min(_seconds(lambda a=attend, qkv=(q, k, v): a(*qkv)) for _ in range(2)))
    finally:
        torch.set_num_threads(threads)
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
def share_explained(similarity: Float[Tensor, "places places"], *apart: Int[Tensor, "places places"]) -> float:
    """How much of the similarity of places is explained by how far they are apart (lesson 04).
    All pairs of different places that are equally far apart get the mean of their similarities as a guess. The result
    is the share of the variance that this explains, R². With random similarities it is about the number of kinds of
    pairs divided by the number of pairs.
        similarity: (N, N), symmetric.
        apart: (N, N) each: a distance of every pair, such as rows apart; pairs are of one kind if all of them agree.
        From 0 to 1; NaN where the similarities do not vary.
    others = ~torch.eye(len(similarity), dtype=torch.bool)
    values = similarity[others].double()
    _, kind = torch.unique(torch.stack([one[others] for one in apart], dim=1), dim=0, return_inverse=True)
    sums = torch.zeros(int(kind.max()) + 1, dtype=torch.float64).index_add_(0, kind, values)
    guess = (sums / torch.bincount(kind))[kind]
    return float(1 - (values - guess).square().sum() / (values - values.mean()).square().sum())
