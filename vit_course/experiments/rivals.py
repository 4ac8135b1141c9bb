"""CNN, ViT and hybrid of one size, to be compared: how they are built, timed and trained (lesson 11)."""

import time
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vit_course.data import ImageSet
from vit_course.experiments.finetuning import balanced
from vit_course.experiments.training import SmallCNN
from vit_course.hybrids import HybridEmbedding, RelativeAttention
from vit_course.images import to_floats
from vit_course.patches import check_sizes
from vit_course.training import Recipe, chance, random_crop_flip, train, train_step
from vit_course.training.initialisation import fan_in_
from vit_course.training.optimizers import optimizer_for
from vit_course.training.reporting import Report
from vit_course.vit import ViT

Kind = Literal["CNN", "ViT", "hybrid"]
Positions = Literal["none", "1-D", "2-D", "sin/cos", "relative"]
# All but the shape of a ViT's encoder, its patches, its positions and how it is read is the same for all runs.
HEADS, CNN_WIDTH, BATCH_SIZE, PADDING, WARMUP, SIZE = 4, 16, 64, 2, 0.1, 16


@dataclass(frozen=True)
class Setting:
    """What is trained, and on how much. What is not given is as in the plain ViT.

    Attributes:
        kind: "CNN" (`SmallCNN`), "ViT", or "hybrid": the ViT behind `convolutions`, in place of its patches.
        share: of the training images, 0 … 1.
        positions: "none"; "1-D": a learned vector for each place, as in the course's ViT and by default in the paper,
            which tells the model nothing of rows and columns; "2-D": `GridPositions`; "sin/cos": fixed,
            two-dimensional (lesson 04); "relative": `RelativeAttention`, and nothing added to the tokens.
        pool: the head reads the "cls" token or the "mean" of the patches.
        patch_size: in pixels. A hybrid has as many tokens as the ViT.
        depth, dim: of the encoder. Four heads; the MLPs are twice as wide as a token.
        times: for how many times the clock it is trained.
    """

    kind: Kind = "ViT"
    share: float = 1.0
    positions: Positions = "1-D"
    pool: Literal["cls", "mean"] = "cls"
    patch_size: int = 4
    depth: int = 3
    dim: int = 64
    times: int = 1


class GridPositions(nn.Module):
    """Learned positions in two dimensions: half of each vector says the row, the other half the column.

    Source: Dosovitskiy et al. 2021, appendix D.4. CLS, which stands in no row, has a vector of its own.

    Args:
        height, width: of the grid of patches.
        dim: length of a token, D, even.

    Raises:
        ValueError: a size is below 1, or `dim` is odd.
    """

    def __init__(self, height: int, width: int, dim: int) -> None:
        super().__init__()
        check_sizes(height=height, width=width, dim=dim)
        if dim % 2:
            raise ValueError(f"half of a position is the row's and half the column's: dim is even, got {dim}.")
        self.cls = nn.Parameter(torch.empty(1, dim).normal_(std=0.02))
        self.rows = nn.Parameter(torch.empty(height, 1, dim // 2).normal_(std=0.02))
        self.columns = nn.Parameter(torch.empty(1, width, dim // 2).normal_(std=0.02))

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """(B, 1+N, D) → (B, 1+N, D)."""
        height, width = len(self.rows), self.columns.shape[1]
        grid = torch.cat([self.rows.expand(-1, width, -1), self.columns.expand(height, -1, -1)], dim=2)
        return tokens + torch.cat([self.cls, grid.flatten(0, 1)])


def convolutions(patch_size: int, in_channels: int = 3, width: int = CNN_WIDTH) -> tuple[nn.Sequential, int]:
    """The convolutions of a hybrid, and their channels: a map with one place for each patch of a plain ViT.

    One 3 × 3 convolution that keeps the size, then one for each halving, each with twice the channels, a batch norm
    and a ReLU; as in Xiao et al. 2021, *Early convolutions help transformers see better*.

    Raises:
        ValueError: the patch size is no power of 2.
    """
    halvings = patch_size.bit_length() - 1
    if patch_size != 2**halvings:
        raise ValueError(f"convolutions that halve lead to patches of 1, 2, 4, 8 … pixels, not of {patch_size}.")
    layers: list[nn.Module] = []
    for stage in range(1 + halvings):
        after = width * 2**stage
        layers += [nn.Conv2d(in_channels, after, 3, 2 if stage else 1, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
        in_channels = after
    return nn.Sequential(*layers), in_channels


def build(setting: Setting, num_classes: int = 10, image_size: int = SIZE, in_channels: int = 3) -> nn.Module:
    """The untrained model of a setting, by the random numbers of the moment."""
    if setting.kind == "CNN":
        return SmallCNN(num_classes, CNN_WIDTH, in_channels)
    dim, grid = setting.dim, image_size // setting.patch_size
    model = ViT(
        image_size=image_size,
        patch_size=setting.patch_size,
        num_classes=num_classes,
        dim=dim,
        depth=setting.depth,
        heads=HEADS,
        mlp_dim=2 * dim,
        in_channels=in_channels,
        pool=setting.pool,
        positions={"1-D": "learned", "sin/cos": "sincos"}.get(setting.positions, "none"),
    )
    if setting.positions == "2-D":
        model.positions = GridPositions(grid, grid, dim)
    if setting.positions == "relative":
        for block in model.encoder.blocks:
            block.attention = RelativeAttention(dim, HEADS, grid, grid)
    if setting.kind == "hybrid":
        model.embedding = HybridEmbedding(*convolutions(setting.patch_size, in_channels), dim)
    fan_in_(model)
    return model


def recipe_for(setting: Setting, *, images: int, steps: int, lr: float, seed: int, image_size: int = SIZE) -> Recipe:
    """What all runs share: optimizer, crops and flips, schedule. (The recipe's own ViT is not used.)

    Muon for the matrices of an encoder, with five times the rate, as in the course's recipes; AdamW for all else, and
    so for a whole CNN. With AdamW alone the small ViT learns too slowly for more images to matter.
    """
    batch_size = min(BATCH_SIZE, images)
    return Recipe(
        image_size=image_size,
        patch_size=setting.patch_size,
        batch_size=batch_size,
        epochs=steps / (images // batch_size),
        optimizer="muon",
        lr=lr,
        muon_lr=5 * lr,
        warmup=WARMUP,
        padding=PADDING,
        precision="float32",
        compile=False,
        seed=seed,
    )


def seconds_a_step(
    models: dict[str, nn.Module], images: ImageSet, repeats: int, device: torch.device
) -> dict[str, float]:
    """What a training step of each model takes on one core of the CPU, or on a GPU: the least of several.

    They take turns, so that what else the machine does meanwhile falls upon all of them. The least and not the median:
    work beside it, which shares caches, does not slow all models alike.
    """
    # On a CPU, what other processes take is not counted.
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    batch, labels = images.images[:BATCH_SIZE].to(device), images.labels[:BATCH_SIZE].to(device)
    recipe = recipe_for(Setting(), images=BATCH_SIZE, steps=1, lr=1e-3, seed=0)
    learners = {name: (model, optimizer_for(recipe, model.to(device))) for name, model in models.items()}
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(3 + repeats):  # the first three warm up
        for name, (model, optimizer) in learners.items():
            began = clock()
            train_step(model, optimizer, to_floats(random_crop_flip(batch, PADDING)), labels, clip=1.0).item()
            taken[name].append(clock() - began)
    return {name: min(times[3:]) for name, times in taken.items()}


def learn(
    setting: Setting, images: ImageSet, *, steps: int, lr: float, seed: int, device: torch.device | None = None
) -> nn.Module:
    """Train the model of a setting on its share of the images; the seed is that of the share, too.

    Returns:
        The model, in eval mode.
    """
    if setting.share < 1:
        images = images.some(balanced(images.labels, round(setting.share * len(images)), seed))
    size, channels = images.images.shape[-1], images.images.shape[1]
    recipe = recipe_for(setting, images=len(images), steps=steps, lr=lr, seed=seed, image_size=size)
    with chance.seeded(seed):
        model = build(setting, len(images.classes), size, channels)
    return train(recipe, images, model=model, evaluations=0, report=Report(), device=device).model
