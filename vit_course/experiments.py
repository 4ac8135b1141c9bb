"""Small trainings that prove something, for the lessons to call."""

from typing import Literal

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
