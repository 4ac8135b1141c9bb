"""What positions are worth, and what their similarities come from (lesson 04)."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

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


def share_explained(similarity: Float[Tensor, "places places"], *apart: Int[Tensor, "places places"]) -> float:
    """How much of the similarity of places is explained by how far they are apart (lesson 04).

    All pairs of different places that are equally far apart get the mean of their similarities as a guess. The result
    is the share of the variance that this explains, R². With random similarities it is about the number of kinds of
    pairs divided by the number of pairs.

    Args:
        similarity: (N, N), symmetric.
        apart: (N, N) each: a distance of every pair, such as rows apart; pairs are of one kind if all of them agree.

    Returns:
        From 0 to 1; NaN where the similarities do not vary.
    """
    others = ~torch.eye(len(similarity), dtype=torch.bool)
    values = similarity[others].double()
    _, kind = torch.unique(torch.stack([one[others] for one in apart], dim=1), dim=0, return_inverse=True)
    sums = torch.zeros(int(kind.max()) + 1, dtype=torch.float64).index_add_(0, kind, values)
    guess = (sums / torch.bincount(kind))[kind]
    return float(1 - (values - guess).square().sum() / (values - values.mean()).square().sum())
