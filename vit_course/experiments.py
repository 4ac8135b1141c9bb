"""What proves something and takes more than a few lines, for the lessons to call: small trainings, and comparisons."""

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

import torch
import torch.nn.functional as F
from torch import Tensor

from vit_course.attention import scaled_dot_product_attention
from jaxtyping import Float, Int
from jaxtyping import Float, Int64
from torch import Tensor, nn
from vit_course.data import load_images
from vit_course.encoder import LAYER_NORM_EPS, EncoderBlock
from vit_course.images import to_floats
from vit_course.profiles import profile
from vit_course.training import Recipe, Trained, train
from vit_course.training.initialisation import fan_in_
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
class PostNormBlock(EncoderBlock):
    """A block with its norms after the additions: norm(x + attention(x)), then norm(x + mlp(x)).
    Source: Vaswani et al. 2017, section 3.1. The weights are those of `EncoderBlock`.
    def forward(
        self, x: Float[Tensor, "batch tokens dim"], mask: Tensor | None = None
    ) -> Float[Tensor, "batch tokens dim"]:
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.mlp(x))
class DeepReader(nn.Module):
    """A CLS token, `depth` blocks and a classifier, for the tokens of `tokens_with_a_dot`."""
    def __init__(self, norm: Literal["pre", "post"], depth: int, dim: int = 32) -> None:
        super().__init__()
        self.embedding, self.cls_token = nn.Linear(8, dim), nn.Parameter(0.02 * torch.randn(1, 1, dim))
        kind = EncoderBlock if norm == "pre" else PostNormBlock
        self.blocks = nn.ModuleList(kind(dim, 4, 4 * dim) for _ in range(depth))
        # A post-norm block ends with a norm: no last one is needed.
        self.norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(dim, 4)
    def forward(self, tokens: Float[Tensor, "batch 16 8"]) -> Float[Tensor, "batch 4"]:
        x = torch.cat([self.cls_token.expand(len(tokens), -1, -1), self.embedding(tokens)], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])
def tokens_with_a_dot(count: int, seed: int) -> tuple[Float[Tensor, "count 16 8"], Int64[Tensor, " count"]]:
    """The puzzle of lesson 03 without its pictures: which colour has the tile with the dot?
        Tokens, for each board 16 tiles in random order, four of each colour: 4 numbers for the colour, 1 for the dot,
        3 of noise; and the colour of the one tile with the dot, 0 to 3.
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(count, 16, generator=generator).argsort(dim=1) % 4
    noise = 0.3 * torch.randn(count, 16, 3, generator=generator)
    dotted, every = torch.randint(16, (count,), generator=generator), torch.arange(count)
    dot = torch.zeros(count, 16, 1)
    dot[every, dotted] = 1
    return torch.cat([F.one_hot(colours, 4).float(), dot, noise], dim=-1), colours[every, dotted]
def learn_deep(
    norm: Literal["pre", "post"],
    depth: int,
    *,
    steps: int | None = None,
    batch_size: int = 64,
    lr: float = 1e-3,
    warmup: int = 0,
    every: int = 25,
    seed: int = 0,
) -> list[float]:
    """Train a deep, narrow encoder on the puzzle of lesson 03, with its norms before or after (lesson 06).
    Both kinds begin with the same weights (`fan_in_`) and see the same boards. AdamW.
        norm: "pre", as in a ViT, or "post", as in the Transformer of 2017.
        depth: number of blocks.
        steps: 150 if not given; 25 in the profile "smoke", which show nothing.
        batch_size, lr: of the training.
        warmup: over how many steps the learning rate rises from 0; none if 0.
        every: steps between two measurements.
        seed: of the weights and of the boards' order.
        Accuracy on 500 new boards, 0 … 1, before the first step and after each `every` steps. Guessing gives 0.25.
        With 24 blocks and 150 steps some fifteen seconds on two CPU cores.
    Source:
        Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture*, trains translators so.
    if steps is None:
        steps = 25 if profile().name == "smoke" else 150
    tokens, labels = tokens_with_a_dot(4_000, seed=1)
    new_tokens, new_labels = tokens_with_a_dot(500, seed=2)
    torch.set_num_threads(1)  # such small tensors are computed sooner than handed out, above all on a busy machine
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = DeepReader(norm, depth)
            fan_in_(model)
            optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
            accuracies = []
            for step in range(steps + 1):
                if step % every == 0:
                    with torch.no_grad():
                        accuracies.append((model(new_tokens).argmax(dim=1) == new_labels).float().mean().item())
                if step == steps:
                    break
                optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / max(1, warmup))
                chosen = torch.randint(len(tokens), (batch_size,))
                optimizer.zero_grad()
                F.cross_entropy(model(tokens[chosen]), labels[chosen]).backward()
                optimizer.step()
        return accuracies
def prepared(images: UInt8[Tensor, "batch 3 height width"]) -> dict[str, Float[Tensor, "batch 3 height width"]]:
    """The same pictures, made ready for a ViT rightly (the first), and in ways that are often met instead (lesson 07).
    ImageNet's means and deviations are those of torchvision's own weights
    (https://pytorch.org/vision/stable/models/vision_transformer.html).
        images: bytes, colour, of even height and width.
        By name: float images of the size they had. Takes milliseconds.
    right, shape = to_floats(images), images.shape
    mean, deviation = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    height, width = shape[-2:]
    middle = right[..., height // 8 : height - height // 8, width // 8 : width - width // 8]
    blurred = functional.interpolate(right, scale_factor=0.5, mode="area")
    return {
        "-1 … 1, as trained": right,
        "0 … 1": images.float() / 255,
        "0 … 255": images.float(),
        "ImageNet mean, std": (images.float() / 255 - mean) / deviation,
        "-1 … 1, twice": right / 0.5 - 1,
        "BGR for RGB": right.flip(1),
        "upside down": right.flip(2),
        "mirrored": right.flip(3),
        "middle, enlarged": functional.interpolate(middle, shape[-2:], mode="bilinear"),
        "shrunk, enlarged": functional.interpolate(blurred, shape[-2:], mode="bilinear"),
        "channels by reshape": right.permute(0, 2, 3, 1).reshape(shape),
def named_by_torchvision(
    build: Callable[..., nn.Module],
    convert: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    photo: str | Path,
    heads: int = 12,
    weights: Any = None,
    top: int = 5,
) -> list[tuple[str, float]]:
    """What a photograph shows, by a learner's ViT with torchvision's weights (lesson 07).
    All sizes but the number of heads are read from the weights; they come through torchvision, which downloads them
    once (330 MB for ViT-B/16: a minute on a good line) and then has them. The photograph is made ready as they want it.
        build: the class `ViT`, a learner's or the course's.
        convert: `convert_torchvision_weights`.
        photo: path of a picture file.
        heads: of the weights; no shape tells it.
        weights: an entry of a weights enumeration of torchvision; ViT-B/16 on ImageNet if not given.
        top: how many classes to name.
        The likeliest classes and their probabilities, the likeliest first.
    Raises:
        OSError: the weights cannot be downloaded, or the picture cannot be read.
    from PIL import Image
    if weights is None:
        from torchvision.models import ViT_B_16_Weights
        weights = ViT_B_16_Weights.DEFAULT
    theirs = weights.get_state_dict(progress=False)
    names, patch_size = weights.meta["categories"], theirs["conv_proj.weight"].shape[-1]
    side = patch_size * math.isqrt(theirs["encoder.pos_embedding"].shape[1] - 1)
    depth = sum(name.endswith(".ln_1.weight") for name in theirs)
    mlp_dim, dim = theirs["encoder.layers.encoder_layer_0.mlp.0.weight"].shape
    model = build(
        image_size=side,
        patch_size=patch_size,
        num_classes=len(names),
        dim=dim,
        depth=depth,
        heads=heads,
        mlp_dim=mlp_dim,
    )
    model.load_state_dict(convert(theirs))
    with Image.open(photo) as opened, torch.no_grad():
        image = weights.transforms()(opened.convert("RGB"))[None]
        likely = model.eval()(image).softmax(dim=-1)[0].topk(top)
    return [(names[index], share) for share, index in zip(likely.values.tolist(), likely.indices.tolist(), strict=True)]
