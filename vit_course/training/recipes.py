"""Recipes: all that decides a training run but the images, and those of the course by name."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from vit_course import profiles
from vit_course.training import chance, initialisation
from vit_course.vit import ViT


@dataclass(frozen=True)
class Recipe:
    """All that decides a training run but the images. Change one with `dataclasses.replace(recipe, lr=2e-3)`.

    Attributes:
        image_size, patch_size, dim, depth, heads, mlp_dim, dropout, pool, positions: of the `ViT`.
        init: the weights at first: "torch" (PyTorch's own), "fan_in" or "mimetic" (and "fan_in" outside attention); see
            `initialisation`.
        whiten: the patch embedding at first is `initialisation.whitened_` by the training images.
        epochs: how often every image is used, but for those of each epoch's last, incomplete batch;
            `train(minutes=…)` takes its place.
        batch_size: images in a step, over all processes.
        optimizer: "adamw", "adam", "sgd" or "muon" (Muon for the encoder's matrices, AdamW for the rest).
        lr: the highest learning rate, reached after the warm-up; falls to 0 on half a cosine.
        muon_lr: the same for Muon.
        betas: of Adam and AdamW; the first is the momentum of SGD.
        weight_decay: of weight matrices. Biases, norms, CLS token and positions have none. With "adam" and "sgd" it is
            part of the gradient, with "adamw" and "muon" apart from it.
        warmup: share of the steps.
        clip: largest norm of the gradient; 0 is none.
        sizes: image sizes to grow through in equal shares of the steps, such as (16, 24, 32); () stays at image_size.
        ema: decay of the running mean of the weights that is kept in the end; 0 is none.
        padding: of `random_crop_flip`; None is no crops and flips.
        policy: "randaugment", "autoaugment" or None.
        mixup, cutmix: α of the Beta distribution from which λ is drawn; 0 is none. With both, each step flips a coin.
        label_smoothing: share of every label that goes to all classes.
        precision: "auto", "float32", "bfloat16" or "float16" (with a gradient scaler).
        compile: `torch.compile`; None does so on a GPU when the run is long enough to pay for it.
        seed: of everything random.
    """

    image_size: int = 32
    patch_size: int = 4
    dim: int = 128
    depth: int = 4
    heads: int = 4
    mlp_dim: int = 256
    dropout: float = 0.0
    pool: Literal["cls", "mean"] = "cls"
    positions: Literal["learned", "sincos", "none"] = "learned"
    init: Literal["torch", "fan_in", "mimetic"] = "torch"
    whiten: bool = False
    epochs: float = 10
    batch_size: int = 128
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    lr: float = 1e-3
    muon_lr: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip: float = 1.0
    sizes: tuple[int, ...] = ()
    ema: float = 0.0
    padding: int | None = 4
    policy: Literal["randaugment", "autoaugment"] | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    label_smoothing: float = 0.0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    compile: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # NumPy's numbers would make snapshots that cannot be read
            object.__setattr__(self, field.name, _plain(getattr(self, field.name)))
        for name, value, allowed in (
            ("init", self.init, ("torch", "fan_in", "mimetic")),
            ("optimizer", self.optimizer, ("adamw", "adam", "sgd", "muon")),
            ("policy", self.policy, ("randaugment", "autoaugment", None)),
            ("precision", self.precision, ("auto", *profiles.PRECISIONS)),
        ):
            if value not in allowed:
                raise ValueError(f"{name} is one of {', '.join(map(repr, allowed))}; got {value!r}.")
        _require(
            isinstance(self.sizes, tuple) and isinstance(self.betas, tuple),
            "sizes and betas are tuples, such as (16, 24, 32) and (0.9, 0.999)",
        )
        whole = (self.image_size, self.patch_size, self.dim, self.depth, self.heads, self.mlp_dim, *self.sizes)
        amounts = (self.lr, self.muon_lr, self.weight_decay, self.clip, self.mixup, self.cutmix, self.padding or 0)
        shares = (self.dropout, self.label_smoothing, self.ema, self.warmup)
        _require(
            all(isinstance(number, int) for number in (*whole, self.batch_size, self.seed, self.padding or 0)),
            "sizes, depth, heads, batch_size, seed and padding are whole numbers",
        )
        _require(
            all(isinstance(number, int | float) for number in (*amounts, *shares, *self.betas, self.epochs)),
            "rates, betas, weight_decay, clip, mixup, cutmix, epochs and all shares are numbers",
        )
        _require(abs(self.seed) < 2**63, "the seed has at most 63 bits")
        _require(min(whole) >= 1, "image_size, patch_size, dim, depth, heads, mlp_dim and all sizes are 1 or more")
        _require(
            all(amount >= 0 for amount in amounts), "rates, weight_decay, clip, mixup, cutmix, padding are 0 or more"
        )
        _require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas), "betas are two numbers from 0 to 1"
        )
        _require(0 <= self.dropout <= 1, "dropout is from 0 to 1")
        _require(0 <= self.label_smoothing <= 1 and 0 <= self.ema < 1, "label_smoothing and ema are from 0 to 1")
        if self.dim % self.heads:
            raise ValueError(f"in a recipe, dim is a multiple of heads; got {self.dim} and {self.heads}.")
        if self.sizes and (self.sizes[-1] != self.image_size or any(size % self.patch_size for size in self.sizes)):
            raise ValueError(
                f"sizes end with the image_size, {self.image_size}, and are multiples of the patch_size, "
                f"{self.patch_size}; got {self.sizes}. An empty sizes is no growing."
            )
        if self.batch_size < 1 or not 0 < self.epochs < math.inf or not 0 <= self.warmup < 1:
            raise ValueError(
                f"a run needs batch_size ≥ 1, epochs > 0 and 0 ≤ warmup < 1; "
                f"got {self.batch_size}, {self.epochs} and {self.warmup}."
            )

    def build(self, num_classes: int, in_channels: int = 3) -> ViT:
        """The untrained ViT, the same for the same seed."""
        with chance.seeded(self.seed):
            names = ("image_size", "patch_size", "dim", "depth", "heads", "mlp_dim", "dropout", "pool", "positions")
            options = {name: getattr(self, name) for name in names}
            model = ViT(num_classes=num_classes, in_channels=in_channels, **options)
            if self.init != "torch":
                initialisation.fan_in_(model)
            if self.init == "mimetic":
                for block in model.encoder.blocks:
                    initialisation.mimetic_(block.attention)
        return model

    def size_at(self, step: int, total_steps: int) -> int:
        """The image size of a step, in pixels: each of `sizes` has an equal share of the steps."""
        return self.sizes[step * len(self.sizes) // total_steps] if self.sizes else self.image_size


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(f"in a recipe, {rule}.")


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(part) for part in value)
    return value.item() if hasattr(value, "item") else value


# What gave most in little time (benchmarks/ideas.md); padding, width and depth are each recipe's own.
_OURS = Recipe(
    pool="mean",
    positions="sincos",
    init="mimetic",
    whiten=True,
    optimizer="muon",
    lr=2e-3,
    sizes=(16, 24, 32),
)
# For models that later lessons look into: positions and a CLS token to be learned, no filters or attention from us. All
# begins as noise; `checkpoints.before_training` gives that noise, to be told from what was learned.
_TO_LOOK_INSIDE = dataclasses.replace(
    _OURS,
    pool="cls",
    positions="learned",
    init="fan_in",
    whiten=False,
    dim=192,
    depth=6,
    heads=3,
    mlp_dim=768,
    batch_size=256,
    padding=2,
)


class NamedRecipe(NamedTuple):
    """A recipe of the course.

    Attributes:
        data: the name of the images that it is for.
        recipe: what to do. What to expect of it stands in `expectations`.
    """

    data: str
    recipe: Recipe


RECIPES = {
    "baseline": NamedRecipe("cifar10", Recipe(precision="float32", epochs=3)),
    "fast": NamedRecipe(
        "cifar10",
        dataclasses.replace(_OURS, dim=96, depth=6, heads=3, mlp_dim=192, padding=1, precision="float32", epochs=5),
    ),
    "cifar10": NamedRecipe(
        "cifar10",
        dataclasses.replace(_TO_LOOK_INSIDE, epochs=32, padding=4, mixup=0.2, cutmix=1.0),
    ),
    "tiny-imagenet": NamedRecipe(
        "tiny-imagenet",
        dataclasses.replace(_TO_LOOK_INSIDE, epochs=8, label_smoothing=0.1),
    ),
    # For ten minutes of a large GPU.
    "gpu": NamedRecipe(
        "cifar10",
        dataclasses.replace(
            _OURS,
            dim=256,
            depth=8,
            heads=4,
            mlp_dim=1024,
            dropout=0.1,
            batch_size=512,
            epochs=300,
            ema=0.999,
            padding=4,
            mixup=0.2,
            cutmix=1.0,
            label_smoothing=0.1,
        ),
    ),
}
