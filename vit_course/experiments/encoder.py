"""Norms first or norms last: a deep encoder learns a puzzle, or does not (lesson 06)."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vit_course.encoder import LAYER_NORM_EPS, EncoderBlock
from vit_course.profiles import one_thread, profile
from vit_course.training import chance
from vit_course.training.initialisation import fan_in_


class PostNormBlock(EncoderBlock):
    """A block with its norms after the additions: norm(x + attention(x)), then norm(x + mlp(x)).

    Source: Vaswani et al. 2017, section 3.1. The weights are those of `EncoderBlock`.
    """

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

    Returns:
        Tokens, for each board 16 tiles in random order, four of each colour: 4 numbers for the colour, 1 for the dot,
        3 of noise; and the colour of the one tile with the dot, 0 to 3.
    """
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

    Args:
        norm: "pre", as in a ViT, or "post", as in the Transformer of 2017.
        depth: number of blocks.
        steps: 150 if not given; 25 in the profile "smoke", which show nothing.
        batch_size, lr: of the training.
        warmup: over how many steps the learning rate rises from 0; none if 0.
        every: steps between two measurements.
        seed: of the weights and of the boards' order.

    Returns:
        Accuracy on 500 new boards, 0 … 1, before the first step and after each `every` steps. Guessing gives 0.25.
        With 24 blocks and 150 steps some fifteen seconds on two CPU cores.

    Source:
        Xiong et al. 2020, *On Layer Normalization in the Transformer Architecture*, trains translators so.
    """
    if steps is None:
        steps = 25 if profile().name == "smoke" else 150
    tokens, labels = tokens_with_a_dot(4_000, seed=1)
    new_tokens, new_labels = tokens_with_a_dot(500, seed=2)
    with one_thread(), chance.seeded(seed):
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
