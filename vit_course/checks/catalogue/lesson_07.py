"""Lesson 07: everything put together, counted, and filled with published weights."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from vit_course.checks.catalogue.cases import Draw, describe_images, random_state, shapes_of
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.observers import Case, build_and_call, convert_state
from vit_course.embeddings import LearnedPositions, PatchEmbedding, prepend_cls_token
from vit_course.encoder import Encoder, EncoderBlock
from vit_course.patches import ARTICLE_PATTERN
from vit_course.vit import ViT, convert_torchvision_weights, count_parameters

# -- ViT


# (image size, patch size, classes, dim, depth, heads, MLP, channels): of each case. 0 channels: not given, so 3.
_SIZES: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((12, 4, 7, 24, 2, 3, 40, 0), (16, 4, 5, 24, 2, 6, 36, 0), (9, 3, 11, 30, 2, 5, 44, 0)),
    ((20, 5, 7, 18, 3, 2, 34, 1), (12, 3, 9, 20, 4, 5, 28, 1), (18, 6, 7, 16, 4, 8, 22, 1)),
    ((12, 3, 5, 28, 4, 7, 18, 4), (15, 5, 6, 24, 3, 2, 21, 4), (14, 7, 9, 20, 5, 10, 26, 2)),
    ((10, 5, 9, 32, 2, 4, 22, 0), (8, 2, 6, 36, 3, 9, 28, 0), (16, 8, 7, 20, 2, 5, 33, 0)),
)
_TINY = (6, 6, 3, 10, 1, 5, 14, 2)  # a single patch, a single block
_DIVIDING = ((8, 4, 3, 16, 4, 2, 8, 2), (10, 5, 3, 24, 6, 2, 12, 2))  # so that exchanged arguments raise nothing
_LAST = ((32, 8, 10, 32, 2, 4, 64, 0), (32, 16, 10, 24, 2, 3, 96, 0), (28, 7, 12, 16, 2, 2, 48, 1))
_NAMES = ("image_size", "patch_size", "num_classes", "dim", "depth", "heads", "mlp_dim", "in_channels")


def _sizes(values: tuple[int, ...]) -> dict[str, int]:
    return {name: value for name, value in zip(_NAMES, values, strict=True) if value}


def _mask(draw: Draw, *shape: int) -> Tensor:
    """True where a query may attend to a key; every query may attend to at least one."""
    mask = draw.normal(*shape) > 0.2
    mask[..., 0] |= ~mask.any(dim=-1)
    return mask


def _vit_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 7)

    def case(values: tuple[int, ...], batch: int, *, note: str = "", dtype: torch.dtype = torch.float32, **options):
        sizes = _sizes(values)
        side = sizes["image_size"]
        images = draw.normal(batch, sizes.get("in_channels", 3), side, side, dtype=dtype)
        forward = {"images": images}
        masked, small = options.pop("masked", None), options.pop("small", False)
        if masked is not None:
            tokens = 1 + (side // sizes["patch_size"]) ** 2
            shape = {2: (tokens, tokens), 4: (batch, 1, tokens, tokens), 5: (batch, sizes["heads"], tokens, tokens)}
            forward["mask"] = _mask(draw, *shape[masked])
        listed = ", ".join(f"{name} {sizes[name]}" for name in ("dim", "depth", "heads", "mlp_dim", "num_classes"))
        label = f"{note}{describe_images(images, sizes['patch_size'])}, {listed}"
        label += ", with a mask" * (masked is not None)
        state = random_state(draw, shapes_of(ViT, **sizes), dtype)
        state["head.weight"] *= 0.3  # smaller gradients, and with them what another order of adding up makes of them
        if small:  # what the blocks add up is of the size of eps, so that a norm's eps shows
            for name in state:
                if name.startswith(("embedding", "cls", "positions")) or ".out." in name or ".fc2." in name:
                    state[name] *= 2e-3
        return Case(label, sizes, keyword=True, forward=forward, state=state, **options)

    (first,), (grey,), (deep,), (other,) = ([options[draw.sizes(one=range(len(options)))[0]]] for options in _SIZES)
    last = _LAST[draw.sizes(one=range(len(_LAST)))[0]]
    dividing = _DIVIDING[draw.sizes(one=range(len(_DIVIDING)))[0]]
    return [
        case(first, 2),
        case(grey, 3, train=False),
        case(deep, 5),
        case(other, 1, train=False),
        case(first, 2, note="again, "),
        case(grey, 1),
        case(other, 4, masked=2),
        case(deep, 2, masked=4, train=False),
        case(first, 3, masked=5, train=False),
        case(other, 3, dtype=torch.float64),
        case(deep, 2, dtype=torch.float64, masked=2, train=False),
        case(first, 3, note="not contiguous in memory, ", strided=True),
        case(_TINY, 2),
        case(last, 2, train=False),
        case(dividing, 2),
        case(other, 2, note="small numbers, ", dtype=torch.float64, small=True),
    ]


Sizes = SimpleNamespace


def _vit(
    forward: Callable[[nn.Module, Tensor, Tensor | None], Tensor] | None = None,
    build: Callable[[nn.Module, Sizes], None] | None = None,
) -> type[nn.Module]:
    """A ViT of the course's parts; `build` changes the parts, `forward` what is done with them."""

    class Other(nn.Module):
        def __init__(
            self,
            *,
            image_size: int,
            patch_size: int,
            num_classes: int,
            dim: int,
            depth: int,
            heads: int,
            mlp_dim: int,
            in_channels: int = 3,
        ) -> None:
            super().__init__()
            s = Sizes(side=image_size, patch=patch_size, classes=num_classes, dim=dim, depth=depth, heads=heads)
            s.mlp, s.channels, s.patches = mlp_dim, in_channels, (image_size // patch_size) ** 2
            self.s = s
            self.embedding = PatchEmbedding(patch_size, in_channels, dim)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
            self.positions = LearnedPositions(1 + s.patches, dim)
            self.encoder = Encoder(depth, dim, heads, mlp_dim)
            self.head = nn.Linear(dim, num_classes)
            if build is not None:
                build(self, s)

        def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
            return (forward or _forward)(self, images, mask)

    Other.__name__ = Other.__qualname__ = "ViT"
    return Other


def _tokens(m: nn.Module, images: Tensor) -> Tensor:
    """As they enter the encoder."""
    return m.positions(prepend_cls_token(m.embedding(images), m.cls_token))


def _forward(m: nn.Module, images: Tensor, mask: Tensor | None = None) -> Tensor:
    return m.head(m.encoder(_tokens(m, images), mask)[:, 0])


def _built(**parts: Callable[[Sizes], Any]) -> Callable[[nn.Module, Sizes], None]:
    """Parts put in place of the right ones; None takes one away."""

    def build(m: nn.Module, s: Sizes) -> None:
        for name, make in parts.items():
            delattr(m, name)
            setattr(m, name, make(s))

    return build


def _ending(end: Callable[[nn.Module, Tensor], Tensor]) -> Callable:
    """A forward that ends in another way: `end(module, tokens after the encoder)`."""
    return lambda m, images, mask: end(m, m.encoder(_tokens(m, images), mask))


def _entering(begin: Callable[[nn.Module, Tensor], Tensor]) -> Callable:
    """A forward that makes the tokens in another way: `begin(module, images)`."""
    return lambda m, images, mask: m.head(m.encoder(begin(m, images), mask)[:, 0])


def _entering_head(change: Callable[[nn.Module, Tensor], Tensor]) -> Callable:
    """A forward without the encoder: `change(module, tokens)` in its place."""
    return lambda m, images, mask: m.head(change(m, _tokens(m, images))[:, 0])


def _norms_with_eps(chosen: Callable[[str], bool]) -> Callable[[nn.Module, Sizes], None]:
    """The chosen norms, by name, with PyTorch's default eps."""

    def build(m: nn.Module, s: Sizes) -> None:
        for name, part in m.named_modules():
            if isinstance(part, nn.LayerNorm) and chosen(name):
                part.eps = 1e-5

    return build


def _answering(change: Callable[[Tensor], Tensor]) -> Callable:
    return lambda m, images, mask: change(_forward(m, images, mask))


def _of_images(change: Callable[[Tensor], Tensor]) -> Callable:
    return lambda m, images, mask: _forward(m, change(images), mask)


def _masking(change: Callable[[Tensor], Tensor | None]) -> Callable:
    return lambda m, images, mask: _forward(m, images, None if mask is None else change(mask))


def _cutting(pattern: str) -> Callable:
    """A forward that cuts by another pattern, with names p1 and p2."""

    def begin(m: nn.Module, images: Tensor) -> Tensor:
        patches = rearrange(images, pattern, p1=m.s.patch, p2=m.s.patch)
        return m.positions(prepend_cls_token(m.embedding.projection(patches), m.cls_token))

    return _entering(begin)


def _with_cls(make: Callable[[nn.Module, Tensor], Tensor]) -> Callable:
    """A forward with another vector in place of the CLS token."""

    def begin(m: nn.Module, images: Tensor) -> Tensor:
        tokens = m.embedding(images)
        return m.positions(torch.cat([make(m, tokens).expand(len(tokens), -1, -1), tokens], dim=1))

    return _entering(begin)


def _cls_last(m: nn.Module, images: Tensor) -> Tensor:
    tokens = m.embedding(images)
    return m.positions(torch.cat([tokens, m.cls_token.expand(len(tokens), -1, -1)], dim=1))


def _cls_not_expanded(m: nn.Module, images: Tensor) -> Tensor:
    return m.positions(torch.cat([m.cls_token, m.embedding(images)], dim=1))


def _cls_not_joined(m: nn.Module, images: Tensor) -> Tensor:
    return m.positions(m.embedding(images))


def _table(m: nn.Module) -> Tensor:
    return m.positions.positions


def _positions_on_patches(rows: slice) -> Callable[[nn.Module, Tensor], Tensor]:
    def begin(m: nn.Module, images: Tensor) -> Tensor:
        return prepend_cls_token(m.embedding(images) + _table(m)[:, rows], m.cls_token)

    return begin


def _positions_first(m: nn.Module, images: Tensor) -> Tensor:
    return prepend_cls_token(m.positions(m.embedding(images)), m.cls_token)


def _no_positions(m: nn.Module, images: Tensor) -> Tensor:
    return prepend_cls_token(m.embedding(images), m.cls_token)


def _positions_shuffled(order: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda m, images: prepend_cls_token(m.embedding(images), m.cls_token) + order(_table(m))


def _positions_anew(m: nn.Module, images: Tensor) -> Tensor:
    tokens = prepend_cls_token(m.embedding(images), m.cls_token)
    return LearnedPositions(*tokens.shape[1:]).to(tokens)(tokens)


def _blocks_alone(m: nn.Module, tokens: Tensor, mask: Tensor | None) -> Tensor:
    for block in m.encoder.blocks:
        tokens = block(tokens, mask)
    return tokens


def _first_block_masked(m: nn.Module, images: Tensor, mask: Tensor | None) -> Tensor:
    tokens = _tokens(m, images)
    for index, block in enumerate(m.encoder.blocks):
        tokens = block(tokens, mask if index == 0 else None)
    return m.head(m.encoder.norm(tokens)[:, 0])


def _post_norm(m: nn.Module, images: Tensor, mask: Tensor | None, *, last: bool = True) -> Tensor:
    tokens = _tokens(m, images)
    for block in m.encoder.blocks:
        tokens = block.norm1(tokens + block.attention(tokens, mask))
        tokens = block.norm2(tokens + block.mlp(tokens))
    return m.head((m.encoder.norm(tokens) if last else tokens)[:, 0])


class _Repeated(nn.Module):
    """One block, again and again."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([EncoderBlock(s.dim, s.heads, s.mlp)] * s.depth)
        self.norm = nn.LayerNorm(s.dim, eps=1e-6)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens, mask)
        return self.norm(tokens)


class _Unregistered(nn.Module):
    """Its blocks hide in a plain list."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.blocks = [EncoderBlock(s.dim, s.heads, s.mlp) for _ in range(s.depth)]
        self.norm = nn.LayerNorm(s.dim, eps=1e-6)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            tokens = block.to(tokens)(tokens, mask)
        return self.norm(tokens)


class _WithoutNorm(nn.Module):
    """Blocks, and no norm after them."""

    def __init__(self, s: Sizes) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(EncoderBlock(s.dim, s.heads, s.mlp) for _ in range(s.depth))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens, mask)
        return tokens


def _renamed(old: str, new: str) -> type[nn.Module]:
    """A part under another name."""

    def build(m: nn.Module, s: Sizes) -> None:
        part = getattr(m, old)
        delattr(m, old)
        setattr(m, new, part)

    def forward(m: nn.Module, images: Tensor, mask: Tensor | None) -> Tensor:
        part = {name: getattr(m, new if name == old else name) for name in _PARTS}
        tokens = part["positions"](prepend_cls_token(part["embedding"](images), part["cls_token"]))
        return part["head"](part["encoder"](tokens, mask)[:, 0])

    return _vit(forward, build)


_PARTS = ("embedding", "cls_token", "positions", "encoder", "head")
_OTHER_NAMES = {
    "embedding": ("patch_embedding", "patch_embed", "embed", "patch_embeddings", "to_patch_embedding", "projection"),
    "cls_token": ("cls", "class_token", "cls_tokens", "CLS", "class_embedding"),
    "positions": ("position", "pos_embedding", "pos_embed", "position_embedding", "pos", "position_embeddings"),
    "encoder": ("transformer", "blocks", "transformer_encoder", "layers"),
    "head": ("classifier", "mlp_head", "fc", "linear", "heads", "classification_head"),
}


def _no_mask_argument() -> type[nn.Module]:
    right = _vit()

    class WithoutMask(right):
        def forward(self, images: Tensor) -> Tensor:
            return _forward(self, images)

    return WithoutMask


def _channels_required() -> type[nn.Module]:
    right = _vit()

    class Required(right):
        def __init__(self, *, in_channels: int, **sizes: int) -> None:
            super().__init__(in_channels=in_channels, **sizes)

    return Required


def _cls_zeros_each_call(m: nn.Module, tokens: Tensor) -> Tensor:
    return torch.zeros(1, 1, tokens.shape[-1], dtype=tokens.dtype)


def _cut_off(which: str) -> Callable:
    """A forward in which one part is cut off from the gradients."""

    def begin(m: nn.Module, images: Tensor) -> Tensor:
        tokens = m.embedding(images)
        tokens = tokens.detach() if which == "embedding" else tokens
        tokens = prepend_cls_token(tokens, m.cls_token.detach() if which == "cls" else m.cls_token)
        return tokens + _table(m).data if which == "positions" else m.positions(tokens)

    return _entering(begin)


def _frozen(*names: str) -> Callable[[nn.Module, Sizes], None]:
    def build(m: nn.Module, s: Sizes) -> None:
        for name, value in m.named_parameters():
            if name.startswith(names):
                value.requires_grad_(False)

    return build


def _extra_norm(place: str) -> type[nn.Module]:
    def build(m: nn.Module, s: Sizes) -> None:
        m.norm = nn.LayerNorm(s.dim, eps=1e-6)

    def forward(m: nn.Module, images: Tensor, mask: Tensor | None) -> Tensor:
        if place == "before":
            return m.head(m.encoder(m.norm(_tokens(m, images)), mask)[:, 0])
        return m.head(m.norm(m.encoder(_tokens(m, images), mask))[:, 0])

    return _vit(forward, build)


def _layers(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


def _encoder(*, depth=None, dim=None, heads=None, mlp=None, dropout: float = 0.0) -> Callable:
    """Another encoder: each size from the sizes of the ViT, or a number."""

    def make(s: Sizes) -> nn.Module:
        return Encoder(
            depth(s) if depth else s.depth,
            s.dim,
            heads(s) if heads else s.heads,
            mlp(s) if mlp else s.mlp,
            dropout,
        )

    return _vit(build=_built(encoder=make))


def _fitting_heads(wanted: int) -> Callable[[Sizes], int]:
    """This many heads; one where they don't divide the width."""
    return lambda s: wanted if s.dim % wanted == 0 else 1


def _num_tokens(count: Callable[[Sizes], int]) -> type[nn.Module]:
    return _vit(build=_built(positions=lambda s: LearnedPositions(count(s), s.dim)))


def _embedded_dropout(share: float) -> type[nn.Module]:
    """Dropout after the positions, as in the article."""
    return _vit(_entering(lambda m, images: F.dropout(_tokens(m, images), share, m.training)))


def _own_cls(
    make: Callable[[Sizes], Any], use: Callable[[nn.Module], Tensor] = lambda m: m.cls_token
) -> type[nn.Module]:
    def begin(m: nn.Module, images: Tensor) -> Tensor:
        tokens = m.embedding(images)
        cls = use(m).to(tokens).reshape(1, 1, -1).expand(len(tokens), -1, -1)
        return m.positions(torch.cat([cls, tokens], dim=1))

    return _vit(_entering(begin), _built(cls_token=make))


def _cls_buffer(m: nn.Module, s: Sizes) -> None:
    del m.cls_token
    m.register_buffer("cls_token", torch.zeros(1, 1, s.dim))


def _own_table(make: Callable[[Sizes], Any]) -> type[nn.Module]:
    def begin(m: nn.Module, images: Tensor) -> Tensor:
        return prepend_cls_token(m.embedding(images), m.cls_token) + m.positions.to(images)

    return _vit(_entering(begin), _built(positions=make))


_MEAN = "The classifier reads a mean of tokens"
_CLS_FRONT = "`prepend_cls_token` puts it there"
_VIT_MISTAKES = {
    # -- what enters the encoder
    "cls-at-the-end": Mistake(
        _vit(lambda m, images, mask: m.head(m.encoder(_cls_last(m, images), mask)[:, -1])),
        f"The CLS token stands at the end of the sequence. It belongs in front, at index 0: {_CLS_FRONT}. With a "
        "trained model's weights every token would otherwise get its neighbour's position.",
        (_vit(_entering(_cls_last)),),
    ),
    "cls-not-expanded": Mistake(
        _vit(_entering(_cls_not_expanded)),
        "It works for a single image only. The CLS token has the shape (1, 1, D) and has to be shown to every image of "
        "the batch before it is joined: `prepend_cls_token(tokens, self.cls_token)` does that.",
    ),
    "cls-not-joined": Mistake(
        _vit(_entering(_cls_not_joined)),
        "`self.cls_token` is made and never used, so there are N tokens where the positions are for 1 + N. Join it "
        "before the positions are added: `prepend_cls_token(tokens, self.cls_token)`.",
    ),
    "other-vector-as-cls": Mistake(
        _vit(_with_cls(_cls_zeros_each_call)),
        "A token stands in front, but it is not `self.cls_token`: it is made anew in `forward`, so nothing that is "
        "learned or loaded reaches it. Join the parameter.",
        (
            _vit(_with_cls(lambda m, tokens: torch.randn(1, 1, tokens.shape[-1], dtype=tokens.dtype))),
            _vit(_with_cls(lambda m, tokens: torch.ones(1, 1, tokens.shape[-1], dtype=tokens.dtype))),
            _vit(_with_cls(lambda m, tokens: 0.02 * torch.randn(1, 1, tokens.shape[-1], dtype=tokens.dtype))),
            _vit(_with_cls(lambda m, tokens: tokens.mean(dim=1, keepdim=True))),
        ),
    ),
    "cls-of-another-shape": Mistake(
        _own_cls(lambda s: nn.Parameter(torch.zeros(s.dim))),
        "`cls_token` has another shape than (1, 1, D): one image, one token, D numbers. Weights are copied by name and "
        "shape: `nn.Parameter(torch.zeros(1, 1, dim))`.",
        (
            _own_cls(lambda s: nn.Parameter(torch.zeros(1, s.dim))),
            _own_cls(lambda s: nn.Parameter(torch.zeros(s.dim, 1, 1))),
        ),
    ),
    "cls-no-parameter": Mistake(
        _own_cls(lambda s: torch.zeros(1, 1, s.dim)),
        "`cls_token` is a plain tensor, not an `nn.Parameter`: no optimizer would ever change it, and it is not saved "
        "as a weight. Wrap it: `nn.Parameter(torch.zeros(1, 1, dim))`.",
        (_own_cls(lambda s: torch.randn(1, 1, s.dim)), _vit(build=_cls_buffer)),
    ),
    "cls-in-a-module": Mistake(
        _own_cls(lambda s: nn.Embedding(1, s.dim), lambda m: m.cls_token.weight),
        "`cls_token` is a layer. Here it should be a bare parameter, `nn.Parameter(torch.zeros(1, 1, dim))`, so that "
        "weights can be copied by name and shape.",
        (_own_cls(lambda s: LearnedPositions(1, s.dim), lambda m: m.cls_token.positions),),
    ),
    "positions-before-cls": Mistake(
        _vit(_entering(_positions_first), _built(positions=lambda s: LearnedPositions(s.patches, s.dim))),
        "Positions are added before the CLS token is joined, so it has none. The paper's table holds 1 + N rows, one "
        "for the CLS token: first join it, then add `LearnedPositions(1 + N, dim)`.",
    ),
    "cls-without-position": Mistake(
        _vit(_entering(_positions_on_patches(slice(1, None)))),
        "The CLS token gets no position: the table is added to the patches alone. First join the CLS token, then add "
        "all 1 + N rows: `self.positions(tokens)`.",
        (_vit(_entering(_positions_on_patches(slice(None, -1)))),),
    ),
    "positions-not-added": Mistake(
        _vit(_entering(_no_positions)),
        "`self.positions` is made but never used, so the model does not know where a patch was. After the CLS token is "
        "joined: `tokens = self.positions(tokens)`.",
        (_vit(_ending(lambda m, tokens: m.head(tokens[:, 0])), _built(positions=lambda s: nn.Identity())),),
    ),
    "positions-twice": Mistake(
        _vit(_entering(lambda m, images: m.positions(_tokens(m, images)))),
        "The positions are added twice. `self.positions(tokens)` adds them already.",
    ),
    "positions-multiplied": Mistake(
        _vit(_entering(lambda m, images: _no_positions(m, images) * _table(m))),
        "Tokens are multiplied by their positions. They are added: `self.positions(tokens)`.",
    ),
    "positions-in-another-order": Mistake(
        _vit(_entering(_positions_shuffled(lambda table: table.flip(1)))),
        "The rows of the position table are in another order than the tokens. Row 0 is the CLS token's, then the "
        "patches in reading order.",
        (
            _vit(_entering(_positions_shuffled(lambda table: table.roll(1, 1)))),
            _vit(_entering(_positions_shuffled(lambda table: table.roll(-1, 1)))),
        ),
    ),
    "positions-made-anew": Mistake(
        _vit(_entering(_positions_anew), lambda m, s: delattr(m, "positions")),
        "The positions are made in `forward`, with new random numbers at each call: nothing could be learned or "
        "loaded. Make them once, in `__init__`: `self.positions = LearnedPositions(1 + N, dim)`.",
        (_vit(_entering(_positions_anew)),),
    ),
    "positions-bare-parameter": Mistake(
        _own_table(lambda s: nn.Parameter(0.02 * torch.randn(1, 1 + s.patches, s.dim))),
        "`positions` is a bare parameter, which computes the same. Here it should be a `LearnedPositions`, so that the "
        "table is called `positions.positions` and weights can be copied by name.",
        (
            _own_table(lambda s: nn.Parameter(torch.randn(1 + s.patches, s.dim))),
            _own_table(lambda s: nn.Parameter(torch.zeros(1, 1 + s.patches, s.dim))),
        ),
    ),
    "num-tokens-without-cls": Mistake(
        _num_tokens(lambda s: s.patches),
        "The table of positions has N rows, but 1 + N tokens come: the CLS token needs a position, too. "
        "`LearnedPositions(1 + N, dim)`.",
    ),
    "num-tokens-not-squared": Mistake(
        _num_tokens(lambda s: 1 + s.side // s.patch),
        "The table of positions is too short: `image_size // patch_size` counts the patches of one row. There are as "
        "many rows: N = (image_size // patch_size)².",
        (_num_tokens(lambda s: s.side // s.patch),),
    ),
    "num-tokens-not-patches": Mistake(
        _num_tokens(lambda s: 1 + s.patches * s.channels),
        "The table of positions has another number of rows than there are tokens. A patch holds all channels, and "
        "there are N = (image_size // patch_size)² of them, and one CLS token: 1 + N.",
        (
            _num_tokens(lambda s: 1 + s.patch**2),
            _num_tokens(lambda s: 1 + s.side**2),
            _num_tokens(lambda s: 2 + s.patches),
            _num_tokens(lambda s: 1 + s.side**2 // s.patch),
            _num_tokens(lambda s: 1 + s.patch**2 * s.channels),
        ),
    ),
    "num-tokens-fixed": Mistake(
        _num_tokens(lambda s: 65),
        "The number of positions is fixed. Work it out of the arguments: 1 + (image_size // patch_size)².",
        (_num_tokens(lambda s: 197), _num_tokens(lambda s: 64), _num_tokens(lambda s: 196)),
    ),
    "in-channels-ignored": Mistake(
        _vit(build=_built(embedding=lambda s: PatchEmbedding(s.patch, 3, s.dim))),
        "`in_channels` is ignored: the embedding is always made for 3 channels. Hand the argument on: "
        "`PatchEmbedding(patch_size, in_channels, dim)`.",
        (_vit(build=_built(embedding=lambda s: PatchEmbedding(s.patch, 1, s.dim))),),
    ),
    "in-channels-required": Mistake(
        _channels_required(),
        "`in_channels` has no default. Left out, it should be 3: `in_channels=3` in the signature.",
    ),
    "embedding-arguments-swapped": Mistake(
        _vit(build=_built(embedding=lambda s: PatchEmbedding(s.channels, s.patch, s.dim))),
        "The arguments of the embedding have changed places. In order they are `PatchEmbedding(patch_size, in_channels, "
        "dim)`.",
        (
            _vit(build=_built(embedding=lambda s: PatchEmbedding(s.patch, s.dim, s.channels))),
            _vit(build=_built(embedding=lambda s: PatchEmbedding(s.dim, s.channels, s.patch))),
        ),
    ),
    "strided-patches": Mistake(
        _vit(_cutting(ARTICLE_PATTERN.replace("patch_x", "p1").replace("patch_y", "p2"))),
        "Each of your patches is made of pixels from all over the image, as with the published pattern of lesson 01: "
        "the patch's side has to be the *inner* part of each bracket. `PatchEmbedding` cuts rightly.",
    ),
    "patches-channel-first": Mistake(
        _vit(_cutting("b c (h p1) (w p2) -> b (h w) (c p1 p2)")),
        "The patches are right, but their numbers run channel first, `(c p1 p2)`. The course's order is `(p1 p2 c)`. "
        "`PatchEmbedding` cuts so.",
    ),
    "patches-column-by-column": Mistake(
        _vit(_cutting("b c (h p1) (w p2) -> b (w h) (p1 p2 c)")),
        "The patches come column by column. They come in reading order, row by row: `(h w)`.",
        (_vit(_of_images(lambda images: images.transpose(2, 3))),),
    ),
    "preprocesses-inside": Mistake(
        _vit(_of_images(lambda images: images / 255)),
        "The model changes the numbers of its images before it embeds them. Whoever calls it has done that: take them "
        "as they come.",
        (
            _vit(_of_images(lambda images: (images - 0.5) / 0.5)),
            _vit(_of_images(lambda images: 2 * images - 1)),
            _vit(_of_images(lambda images: images / 127.5 - 1)),
            _vit(_of_images(lambda images: images.clamp(-1, 1))),
            _vit(_of_images(lambda images: images.flip(1))),
        ),
    ),
    "norm-before-the-encoder": Mistake(
        _extra_norm("before"),
        "There is a LayerNorm between the positions and the encoder. CLIP has one there; the ViT of the paper does not.",
    ),
    # -- the encoder
    "last-norm-left-out": Mistake(
        _vit(lambda m, images, mask: m.head(_blocks_alone(m, _tokens(m, images), mask)[:, 0])),
        "The last LayerNorm is there but not used. Skips add up, so what leaves the last block has never been "
        "normalised: call the whole `self.encoder(tokens, mask)`, which ends with its norm.",
    ),
    "no-last-norm": Mistake(
        _vit(build=_built(encoder=_WithoutNorm)),
        "There is no LayerNorm after the last block. Skips add up, so what leaves it has never been normalised. "
        "`Encoder` ends with one, called `norm`.",
    ),
    "norm-twice": Mistake(
        _vit(_ending(lambda m, tokens: m.head(m.encoder.norm(tokens)[:, 0]))),
        "The last LayerNorm acts twice: `self.encoder` ends with it already.",
    ),
    "second-norm": Mistake(
        _extra_norm("after"),
        "There is a second LayerNorm after the encoder, which ends with one already. Leave yours out.",
        (_vit(build=_built(head=lambda s: _layers(nn.LayerNorm(s.dim), nn.Linear(s.dim, s.classes)))),),
    ),
    "post-norm": Mistake(
        _vit(_post_norm),
        "The blocks have their norms after the additions, as in 2017. A ViT's stand before attention and before the "
        "MLP, inside the skip: `x + attention(norm1(x))`.",
        (_vit(functools.partial(_post_norm, last=False)),),
    ),
    "encoder-not-used": Mistake(
        _vit(_entering_head(lambda m, tokens: tokens)),
        "The tokens never go through the blocks of `self.encoder`. Is its result lost? `tokens = self.encoder(tokens, "
        "mask)`.",
        (_vit(_entering_head(lambda m, tokens: m.encoder.norm(tokens))),),
    ),
    "eps-1e-5": Mistake(
        _vit(build=_norms_with_eps(lambda name: True)),
        "A norm uses PyTorch's default, eps = 1e-5. A ViT has 1e-6 in all of them, `nn.LayerNorm(dim, eps=1e-6)`; the "
        "`Encoder` of lesson 06 has it.",
        (
            _vit(build=_norms_with_eps(lambda name: name == "encoder.norm")),
            _vit(build=_norms_with_eps(lambda name: name != "encoder.norm")),
        ),
    ),
    "one-block-repeated": Mistake(
        _vit(build=_built(encoder=_Repeated)),
        "All blocks are one and the same: `[block] * depth` repeats it with its weights. Make each anew, in a loop.",
    ),
    "blocks-not-registered": Mistake(
        _vit(build=_built(encoder=_Unregistered)),
        "The blocks hide in a Python list, where PyTorch does not look: no optimizer would see their weights. "
        "`nn.ModuleList` holds them.",
    ),
    "depth-ignored": Mistake(
        _encoder(depth=lambda s: 1),
        "The number of blocks is fixed. Use the argument `depth`.",
        tuple(_encoder(depth=lambda s, fixed=fixed: fixed) for fixed in (6, 12)),
    ),
    "one-block-too-many-or-few": Mistake(
        _encoder(depth=lambda s: s.depth + 1),
        "There is one block too many or too few. `Encoder(depth, …)` makes as many as it is told.",
        (_encoder(depth=lambda s: max(1, s.depth - 1)),),
    ),
    "mlp-dim-ignored": Mistake(
        _encoder(mlp=lambda s: 4 * s.dim),
        "`mlp_dim` is ignored. It is an argument of its own, and only in the paper's three sizes 4 · dim.",
        (_encoder(mlp=lambda s: s.dim), _encoder(mlp=lambda s: 2 * s.dim)),
    ),
    "mlp-dim-as-ratio": Mistake(
        _encoder(mlp=lambda s: s.mlp * s.dim),
        "`mlp_dim` is the width of the MLP itself, not how many times `dim` it is: hand it on as it is.",
    ),
    "heads-ignored": Mistake(
        _encoder(heads=lambda s: 1),
        "The parameters are right, the numbers are not: there is another number of attention heads than asked for. No "
        "shape depends on it, so nothing else tells. Hand `heads` on to the encoder.",
        (*(_encoder(heads=_fitting_heads(wanted)) for wanted in (2, 4, 8, 12)), _encoder(heads=lambda s: s.dim)),
    ),
    "heads-as-dim-head": Mistake(
        _encoder(heads=lambda s: s.dim // s.heads),
        "`heads` is taken for the width of one attention head. It is how many there are, and each is dim / heads wide.",
    ),
    "encoder-arguments-swapped": Mistake(
        _vit(build=_built(encoder=lambda s: Encoder(s.dim, s.depth, s.heads, s.mlp))),
        "The arguments of the encoder have changed places. In order they are `Encoder(depth, dim, heads, mlp_dim)`.",
        tuple(
            _vit(build=_built(encoder=lambda s, order=order: Encoder(*(getattr(s, name) for name in order))))
            for order in (
                ("depth", "dim", "mlp", "heads"),
                ("heads", "dim", "depth", "mlp"),
                ("depth", "mlp", "heads", "dim"),
                ("mlp", "dim", "heads", "depth"),
            )
        ),
    ),
    "dropout-inside": Mistake(
        _encoder(dropout=0.1),
        "In training mode your answer is random: there is dropout. None is asked for here, so leave the encoder's "
        "`dropout` at 0.",
        (_encoder(dropout=0.5), _encoder(dropout=0.2), _embedded_dropout(0.1), _embedded_dropout(0.5)),
    ),
    "mask-ignored": Mistake(
        _vit(lambda m, images, mask: _forward(m, images)),
        "The mask is taken and forgotten. Hand it on: `self.encoder(tokens, mask)`.",
    ),
    "no-mask-argument": Mistake(
        _no_mask_argument(),
        "`forward` takes no mask. It is `forward(self, images, mask=None)`, and the mask goes on to the encoder.",
    ),
    "mask-inverted": Mistake(
        _vit(_masking(lambda mask: ~mask)),
        "The mask means the opposite: True is *may attend*, here as in lesson 05. Hand it on as it is.",
    ),
    "mask-in-one-block": Mistake(
        _vit(_first_block_masked),
        "Only the first block gets the mask. In the next ones what was hidden can be seen again.",
    ),
    # -- the answer
    "mean-of-patches": Mistake(
        _vit(_ending(lambda m, tokens: m.head(tokens[:, 1:].mean(dim=1)))),
        f'{_MEAN}. Here the answer is the CLS token\'s: `tokens[:, 0]`, or `pool(tokens, "cls")`.',
    ),
    "mean-of-all-tokens": Mistake(
        _vit(_ending(lambda m, tokens: m.head(tokens.mean(dim=1)))),
        f"{_MEAN}, and the CLS token is among them: it stands for no patch. Here the answer is the CLS token's alone, "
        "`tokens[:, 0]`.",
    ),
    "another-token": Mistake(
        _vit(_ending(lambda m, tokens: m.head(tokens[:, -1]))),
        "The classifier reads another token than the CLS token, which stands at index 0: `tokens[:, 0]`.",
        (_vit(_ending(lambda m, tokens: m.head(tokens[:, 1]))),),
    ),
    "another-summary": Mistake(
        _vit(_ending(lambda m, tokens: m.head(tokens.amax(dim=1)))),
        "The classifier reads a maximum or a sum over the tokens. The answer is the CLS token's: `tokens[:, 0]`.",
        (
            _vit(_ending(lambda m, tokens: m.head(tokens.sum(dim=1)))),
            _vit(_ending(lambda m, tokens: m.head(tokens[:, 1:].amax(dim=1)))),
            _vit(_ending(lambda m, tokens: m.head(tokens[:, 0] + tokens[:, 1:].mean(dim=1)))),
        ),
    ),
    "first-image-only": Mistake(
        _vit(_ending(lambda m, tokens: m.head(tokens[0]))),
        "`tokens[0]` is the first *image*. The CLS token of every image is `tokens[:, 0]`.",
    ),
    "first-feature": Mistake(
        _vit(_ending(lambda m, tokens: tokens[..., 0])),
        "`tokens[..., 0]` is the first number of every token. The CLS token of every image is `tokens[:, 0]`.",
    ),
    "head-on-all-tokens": Mistake(
        _vit(_ending(lambda m, tokens: m.head(tokens))),
        "Every token is classified: (batch, tokens, classes). Asked for is one answer for an image, read from the CLS "
        "token: `self.head(tokens[:, 0])`.",
    ),
    "token-axis-kept": Mistake(
        _vit(_ending(lambda m, tokens: m.head(tokens[:, :1]))),
        "There is an axis too many: `tokens[:, :1]` keeps a sequence of one token. `tokens[:, 0]` takes it out.",
    ),
    "head-forgotten": Mistake(
        _vit(_ending(lambda m, tokens: tokens[:, 0])),
        "The CLS token comes back as it is, D numbers. Put it through `self.head`.",
        (_vit(_ending(lambda m, tokens: tokens)),),
    ),
    "softmax-at-the-end": Mistake(
        _vit(_answering(lambda logits: logits.softmax(dim=-1))),
        "There is a softmax, or something like it, at the end. The scores go out as they are (logits): the loss brings "
        "its own softmax, and two of them make learning slow.",
        (
            _vit(_answering(lambda logits: logits.log_softmax(dim=-1))),
            _vit(_answering(torch.sigmoid)),
            _vit(_answering(torch.tanh)),
            _vit(_answering(torch.relu)),
            _vit(_answering(F.gelu)),
            _vit(_answering(lambda logits: logits.softmax(dim=0))),
        ),
    ),
    "argmax-at-the-end": Mistake(
        _vit(_answering(lambda logits: logits.argmax(dim=-1))),
        "The best class comes back. Asked for are the scores of all classes (logits); whoever calls picks the best.",
    ),
    "squeezed": Mistake(
        _vit(_answering(torch.squeeze)),
        "With a single image the batch axis is gone: `.squeeze()` takes away every axis of size 1. Leave it out.",
        (_vit(_answering(lambda logits: logits.squeeze(0))),),
    ),
    "classes-before-batch": Mistake(
        _vit(_answering(lambda logits: logits.T)),
        "The two axes have changed places. Asked for is (batch, classes).",
    ),
    "head-without-bias": Mistake(
        _vit(build=_built(head=lambda s: nn.Linear(s.dim, s.classes, bias=False))),
        "The classifier has no bias. `nn.Linear` makes one by default.",
    ),
    "head-with-more-layers": Mistake(
        _vit(build=_built(head=lambda s: _layers(nn.Linear(s.dim, s.mlp), nn.GELU(), nn.Linear(s.mlp, s.classes)))),
        "The classifier has more than one layer. In pre-training the paper's has a hidden layer; here, as in its "
        "fine-tuning, `head` is one `nn.Linear(dim, num_classes)`.",
        (
            _vit(build=_built(head=lambda s: _layers(nn.Linear(s.dim, s.dim), nn.Tanh(), nn.Linear(s.dim, s.classes)))),
            _vit(build=_built(head=lambda s: _layers(nn.Linear(s.dim, s.classes)))),
        ),
    ),
    "classes-fixed": Mistake(
        _vit(build=_built(head=lambda s: nn.Linear(s.dim, 10))),
        "The number of classes is fixed. Use the argument `num_classes`.",
        (
            _vit(build=_built(head=lambda s: nn.Linear(s.dim, 1000))),
            _vit(build=_built(head=lambda s: nn.Linear(s.dim, 100))),
        ),
    ),
    "head-from-mlp-dim": Mistake(
        _vit(build=_built(head=lambda s: nn.Linear(s.mlp, s.classes))),
        "The classifier is made for `mlp_dim` numbers. That width is inside the MLPs only; a token has `dim`.",
    ),
    # -- parameters
    **{
        f"{part}-has-another-name": Mistake(
            _renamed(part, others[0]),
            f"What should be called `{part}` has another name. Weights are copied by name: `self.{part} = …`.",
            tuple(_renamed(part, other) for other in others[1:]),
        )
        for part, others in _OTHER_NAMES.items()
    },
    "positions-frozen": Mistake(
        _vit(build=_frozen("positions", "cls_token")),
        "The CLS token or the positions are frozen: they ask for no gradients, so they would never learn. Leave "
        "`requires_grad` at True.",
        (_vit(build=_frozen("positions")), _vit(build=_frozen("cls_token"))),
    ),
    "part-cut-off": Mistake(
        _vit(_cut_off("embedding")),
        "The numbers are right, but a part is cut off from the gradients and would never learn. Look for `.detach()`, "
        "`.data` or `torch.no_grad()` in `forward`.",
        (_vit(_cut_off("positions")), _vit(_cut_off("cls"))),
    ),
}

VIT = Exercise(
    name="ViT",
    lesson="07",
    points=4,
    reference=ViT,
    cases=_vit_cases,
    observe=build_and_call,
    axes={"images": "image channel row column", "output": "image class"},
    hints=(
        "`__init__` makes five parts: `embedding`, `cls_token`, `positions`, `encoder`, `head`. How many positions are "
        "needed for N patches and a CLS token?",
        "`forward` goes through them in that order: embed, join the CLS token, add positions, encode (with the mask), "
        "classify the token at index 0.",
        "The tokens are `self.positions(prepend_cls_token(self.embedding(images), self.cls_token))`. The answer is "
        '`self.head(pool(self.encoder(tokens, mask), "cls"))`.',
    ),
    reasoning="Five parts and five lines: each part was checked by itself, so only their order and their sizes are new. "
    "The course's own takes further options, which the lesson shows.",
    mistakes={
        **_VIT_MISTAKES,
        # A detour through float32 is within the tolerance of sums as long as these.
        **{slug: one for slug, one in universal_mistakes(ViT).items() if slug != "detours-through-float32"},
    },
)


# -- count_parameters

_COUNTED = ("image_size", "patch_size", "num_classes", "dim", "depth", "mlp_dim", "in_channels")


def _count_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 70)

    def case(**sizes: int) -> Case:
        label = ", ".join(f"{name} {value}" for name, value in sizes.items())
        return Case(label, sizes, keyword=True)

    cases = [
        # Worked out in the head: one patch of one pixel, one number a token, one block.
        case(image_size=1, patch_size=1, num_classes=1, dim=1, depth=1, mlp_dim=1, in_channels=1),
        case(image_size=224, patch_size=16, num_classes=1000, dim=768, depth=12, mlp_dim=3072),
        case(image_size=32, patch_size=4, num_classes=10, dim=192, depth=6, mlp_dim=768),
    ]
    for channels in (1, 0, 4, 2, 0, 5):
        rows, patch, classes, dim, depth, mlp, _ = draw.sizes(
            rows=range(2, 15),
            patch=range(2, 17),
            classes=range(2, 200),
            dim=range(20, 400),
            depth=range(2, 30),
            mlp=range(20, 900),
            channels=(channels or 3,),
        )
        sizes = {"image_size": rows * patch, "patch_size": patch, "num_classes": classes, "dim": dim, "depth": depth}
        cases.append(case(**sizes, mlp_dim=mlp, **({"in_channels": channels} if channels else {})))
    return cases


def _summed(change: Callable[[dict[str, int], Sizes], Any]) -> Callable[..., Any]:
    """A count of the parts by name, changed before they are added up; or what `change` gives back."""

    def count(
        *,
        image_size: int,
        patch_size: int,
        num_classes: int,
        dim: int,
        depth: int,
        mlp_dim: int,
        in_channels: int = 3,
    ) -> Any:
        s = Sizes(side=image_size, patch=patch_size, classes=num_classes, dim=dim, depth=depth, mlp=mlp_dim)
        s.channels, s.patches = in_channels, (image_size // patch_size) ** 2
        parts = {
            "projection": patch_size**2 * in_channels * dim,
            "projection bias": dim,
            "cls": dim,
            "positions": (1 + s.patches) * dim,
            "qkv": depth * dim * 3 * dim,
            "qkv bias": depth * 3 * dim,
            "out": depth * dim * dim,
            "out bias": depth * dim,
            "fc1": depth * dim * mlp_dim,
            "fc1 bias": depth * mlp_dim,
            "fc2": depth * mlp_dim * dim,
            "fc2 bias": depth * dim,
            "norms": depth * 2 * 2 * dim,
            "last norm": 2 * dim,
            "head": dim * num_classes,
            "head bias": num_classes,
        }
        result = change(parts, s)
        return sum(parts.values()) if result is None else result

    count.__name__ = count.__qualname__ = "count_parameters"
    return count


def _without(*names: str) -> Callable[..., int]:
    def change(parts: dict[str, int], s: Sizes) -> None:
        for name in names:
            del parts[name]

    return _summed(change)


def _counting(**changed: Callable[[Sizes], int]) -> Callable[..., int]:
    """Some parts counted otherwise; `qkv_bias` stands for "qkv bias"."""

    def change(parts: dict[str, int], s: Sizes) -> None:
        parts.update({name.replace("_", " "): value(s) for name, value in changed.items()})

    return _summed(change)


def _only_one_block(parts: dict[str, int], s: Sizes) -> None:
    for name in ("qkv", "out", "fc1", "fc2"):
        parts[name] //= s.depth
        parts[f"{name} bias"] //= s.depth
    parts["norms"] //= s.depth


def _all_times_depth(parts: dict[str, int], s: Sizes) -> int:
    once = ("projection", "projection bias", "cls", "positions", "head", "head bias")
    return sum(value for name, value in parts.items() if name in once) + (
        sum(value for name, value in parts.items() if name not in (*once, "last norm")) + s.depth * parts["last norm"]
    )


def _everything_times_depth(parts: dict[str, int], s: Sizes) -> int:
    blocks = sum(value for name, value in parts.items() if name.startswith(("qkv", "out", "fc", "norms")))
    return s.depth * (sum(parts.values()) - blocks) + blocks


_BIASES = ("projection bias", "qkv bias", "out bias", "fc1 bias", "fc2 bias", "head bias")
# Several things that can be forgotten have the same size: by the number alone they cannot be told apart.
_NOT_COUNTED: dict[str, tuple[tuple[Callable[..., int], ...], str]] = {
    "d-numbers-forgotten": (
        (
            _without("cls"),
            _without("projection bias"),
            _counting(positions=lambda s: s.patches * s.dim),
            _counting(last_norm=lambda s: s.dim),
        ),
        "by exactly D. The CLS token has D numbers, its position has D (so there are 1 + N positions), and so has the "
        "bias of the patch embedding, and each half of the last norm. One of them is missing",
    ),
    "two-d-forgotten": (
        (_without("last norm"), _counting(cls=lambda s: 0, positions=lambda s: s.patches * s.dim)),
        "by exactly 2·D. Either the last norm is missing, after all blocks (a weight and a bias), or the CLS token "
        "together with its position",
    ),
    "d-in-each-block-forgotten": (
        (_without("out bias"), _without("fc2 bias")),
        "by D in each block. The bias of attention's `out` has D numbers, that of the MLP's second layer as well. One "
        "of them is missing",
    ),
    "two-d-in-each-block-forgotten": (
        (
            _counting(norms=lambda s: s.depth * 2 * s.dim),
            _counting(qkv_bias=lambda s: s.depth * s.dim),
            _without("out bias", "fc2 bias"),
        ),
        "by 2·D in each block. A block has two norms of 2·D each; the bias of `qkv` has 3·D numbers, not D; `out` and the "
        "MLP's second layer have a bias of D each. Which do you lack",
    ),
    "four-d-in-each-block-forgotten": (
        (_without("norms"), _without("qkv bias", "out bias")),
        "by 4·D in each block. Either its two norms are missing (a weight and a bias each), or the biases of attention, "
        "3·D and D",
    ),
    "positions-forgotten": ((_without("positions"),), "by (1 + N)·D: the positions are missing"),
    "cls-and-positions-forgotten": ((_without("cls", "positions"),), "the CLS token and the positions are missing"),
    "embedding-forgotten": (
        (_without("projection", "projection bias"), _without("projection")),
        "the patch embedding is missing: P·P·C·D weights and D biases",
    ),
    "qkv-bias-forgotten": ((_without("qkv bias"),), "the bias of `qkv` is missing: 3·D numbers in each block"),
    "out-forgotten": (
        (
            _without("out", "out bias"),
            _without("out"),
            _counting(qkv=lambda s: 2 * s.depth * s.dim**2, qkv_bias=lambda s: 2 * s.depth * s.dim),
        ),
        "by a whole D × D layer in each block. Attention has four of them: queries, keys, values (together `qkv`) and "
        "`out`",
    ),
    "fc1-bias-forgotten": (
        (_without("fc1 bias"),),
        "the bias of the MLP's first layer is missing: `mlp_dim` numbers in each block",
    ),
    "mlp-biases-forgotten": (
        (_without("fc1 bias", "fc2 bias"),),
        "the biases of the MLP are missing: `mlp_dim` and D numbers in each block",
    ),
    "block-biases-forgotten": (
        (_without("qkv bias", "out bias", "fc1 bias", "fc2 bias"),),
        "the biases inside the blocks are missing. Each `nn.Linear(a, b)` has a·b weights and b biases",
    ),
    "norms-forgotten": (
        (_without("norms", "last norm"),),
        "the LayerNorms are missing: 2·D numbers each, two in a block and one at the end",
    ),
    "head-forgotten": (
        (_without("head", "head bias"), _without("head")),
        "the classifier is missing: D weights and a bias for each class",
    ),
    "head-bias-forgotten": ((_without("head bias"),), "the bias of the classifier is missing: a number for each class"),
    "biases-forgotten": (
        (_without(*_BIASES),),
        "the biases are missing. Each `nn.Linear(a, b)` has a·b weights and b biases",
    ),
    "biases-and-norms-forgotten": (
        (_without(*_BIASES, "norms", "last norm"),),
        "biases and norms are missing. Each `nn.Linear(a, b)` has b biases besides its a·b weights, each norm 2·D",
    ),
}
_COUNT_MISTAKES = {
    **{
        slug: Mistake(ways[0], f"Your number is too small: {text}.".replace("small: by", "small by"), ways[1:])
        for slug, (ways, text) in _NOT_COUNTED.items()
    },
    "patches-not-squared": Mistake(
        _counting(positions=lambda s: (1 + s.side // s.patch) * s.dim),
        "`image_size // patch_size` counts the patches of one row. There are as many rows: N is its square.",
        (_counting(positions=lambda s: (s.side // s.patch) * s.dim),),
    ),
    "patch-not-squared": Mistake(
        _counting(projection=lambda s: s.patch * s.channels * s.dim),
        "A patch has `patch_size` rows *and* as many columns: P·P·C numbers, not P·C.",
    ),
    "channels-ignored": Mistake(
        _counting(projection=lambda s: s.patch**2 * 3 * s.dim),
        "Patches are counted with three channels always, or with one. Use `in_channels`: a patch has P·P·C numbers.",
        (_counting(projection=lambda s: s.patch**2 * s.dim),),
    ),
    "pixels-instead-of-patches": Mistake(
        _counting(positions=lambda s: (1 + s.side**2) * s.dim),
        "Positions are counted for every pixel. There is one for each patch: N = (image_size // patch_size)².",
        (_counting(positions=lambda s: (1 + s.patch**2) * s.dim),),
    ),
    "projection-for-each-patch": Mistake(
        _summed(
            lambda parts, s: parts.update({name: s.patches * parts[name] for name in ("projection", "projection bias")})
        ),
        "The patch embedding is counted once for each patch. All patches share it: once.",
    ),
    "q-only": Mistake(
        _counting(qkv=lambda s: s.depth * s.dim**2, qkv_bias=lambda s: s.depth * s.dim),
        "Attention makes queries, keys *and* values: `qkv` has 3·D outputs, not D.",
        (_counting(qkv=lambda s: s.depth * s.dim**2),),
    ),
    "biases-of-inputs": Mistake(
        _counting(fc1_bias=lambda s: s.depth * s.dim),
        "A layer's bias has one number for each *output*: the MLP's first layer has `mlp_dim` of them. Its second has D.",
        (_counting(fc2_bias=lambda s: s.depth * s.mlp), _counting(head_bias=lambda s: s.dim)),
    ),
    "mlp-one-layer": Mistake(
        _without("fc2", "fc2 bias"),
        "The MLP has two layers, dim → mlp_dim and back. One of them is missing.",
        (_without("fc1", "fc1 bias"), _without("fc2")),
    ),
    "mlp-four-times-dim": Mistake(
        _counting(
            fc1=lambda s: 4 * s.depth * s.dim**2,
            fc2=lambda s: 4 * s.depth * s.dim**2,
            fc1_bias=lambda s: 4 * s.depth * s.dim,
        ),
        "The MLP's width is taken to be 4·dim. That holds for the paper's three sizes; here `mlp_dim` says what it is.",
    ),
    "norms-without-bias": Mistake(
        _counting(norms=lambda s: s.depth * 2 * s.dim, last_norm=lambda s: s.dim),
        "A LayerNorm has a weight and a bias for each feature: 2·D numbers, not D.",
    ),
    "three-norms-a-block": Mistake(
        _summed(_all_times_depth),
        "The last LayerNorm is counted in every block. It stands once, after all of them.",
    ),
    "depth-forgotten": Mistake(
        _summed(_only_one_block),
        "You count one block. There are `depth` of them, each with weights of its own.",
        (_summed(lambda parts, s: parts.update(norms=4 * s.dim)),),
    ),
    "everything-in-each-block": Mistake(
        _summed(_everything_times_depth),
        "What stands once is multiplied by `depth` as well: embedding, CLS token, positions, last norm and classifier "
        "belong to no block.",
    ),
    "head-on-all-tokens": Mistake(
        _counting(head=lambda s: (1 + s.patches) * s.dim * s.classes),
        "The classifier is counted for all tokens. It reads one, the CLS token: D·classes weights.",
    ),
    "head-with-hidden-layer": Mistake(
        _summed(lambda parts, s: parts.update(hidden=s.dim**2 + s.dim)),
        "You count a hidden layer in the classifier. In pre-training the paper's has one; here it is one layer.",
        (
            _summed(lambda parts, s: parts.update(hidden=s.dim**2)),
            _summed(lambda parts, s: parts.update(hidden=2 * s.dim)),
        ),
    ),
    "in-channels-required": Mistake(
        lambda *, in_channels, **sizes: count_parameters(in_channels=in_channels, **sizes),
        "`in_channels` has no default. Left out, it should be 3: `in_channels=3` in the signature.",
    ),
    "returns-float": Mistake(
        _summed(lambda parts, s: float(sum(parts.values()))),
        "The number is right, but it is a float. Parameters are counted in whole numbers: divide with `//`, not `/`.",
        (_summed(lambda parts, s: sum(parts.values()) / 1),),
    ),
    "returns-millions": Mistake(
        _summed(lambda parts, s: sum(parts.values()) / 1e6),
        "Your answer is in millions. Asked for is the number itself, an int.",
        (
            _summed(lambda parts, s: round(sum(parts.values()) / 1e6)),
            _summed(lambda parts, s: sum(parts.values()) // 10**6),
        ),
    ),
    "returns-text": Mistake(
        _summed(lambda parts, s: f"{sum(parts.values()):,}"),
        "Your answer is text. Asked for is the number itself, an int.",
        (
            _summed(lambda parts, s: str(sum(parts.values()))),
            _summed(lambda parts, s: f"{sum(parts.values()) / 1e6:.0f}M"),
        ),
    ),
    "bytes": Mistake(
        _summed(lambda parts, s: 4 * sum(parts.values())),
        "Your number is four times the right one: these are bytes. Asked for are parameters.",
    ),
}

COUNT_PARAMETERS = Exercise(
    name="count_parameters",
    lesson="07",
    points=2,
    reference=count_parameters,
    cases=_count_cases,
    axes={},
    hints=(
        "Go through the parts in order: patch embedding, CLS token, positions, then `depth` times a block, the last "
        "norm, the classifier. An `nn.Linear(a, b)` has a·b + b parameters, an `nn.LayerNorm(D)` has 2·D.",
        "A block: two norms; `qkv`, a Linear(D, 3·D); `out`, a Linear(D, D); the MLP, a Linear(D, mlp_dim) and a "
        "Linear(mlp_dim, D). The number of heads does not matter: why?",
        "Off by something? Build a tiny `ViT` with the same numbers and print `value.numel()` for each of its "
        "`named_parameters()`; compare line by line.",
    ),
    reasoning="Nearly all of it is in the blocks: 4·D² for attention and 2·D·mlp_dim for the MLP, each `depth` times. "
    "What else there is matters for getting the number right, not for its size. Heads split the same rows among "
    "them, so their number does not count.",
    mistakes={
        **_COUNT_MISTAKES,
        **universal_mistakes(count_parameters, gradients=False, dtypes=False, layouts=False, tensors=False),
    },
)


# -- convert_torchvision_weights


def _torchvision_state(
    draw: Draw, *, image_size: int, patch_size: int, layers: int, dim: int, mlp: int, classes: int, dtype: torch.dtype
) -> dict[str, Tensor]:
    """What `VisionTransformer(…).state_dict()` of torchvision holds, every number random."""
    tokens = 1 + (image_size // patch_size) ** 2
    shapes: dict[str, tuple[int, ...]] = {
        "class_token": (1, 1, dim),
        "conv_proj.weight": (dim, 3, patch_size, patch_size),
        "conv_proj.bias": (dim,),
        "encoder.pos_embedding": (1, tokens, dim),
    }
    for layer in range(layers):
        at = f"encoder.layers.encoder_layer_{layer}"
        shapes |= {f"{at}.ln_1.weight": (dim,), f"{at}.ln_1.bias": (dim,)}
        shapes |= {f"{at}.self_attention.in_proj_weight": (3 * dim, dim)}
        shapes |= {f"{at}.self_attention.in_proj_bias": (3 * dim,)}
        shapes |= {f"{at}.self_attention.out_proj.weight": (dim, dim), f"{at}.self_attention.out_proj.bias": (dim,)}
        shapes |= {f"{at}.ln_2.weight": (dim,), f"{at}.ln_2.bias": (dim,)}
        shapes |= {f"{at}.mlp.0.weight": (mlp, dim), f"{at}.mlp.0.bias": (mlp,)}
        shapes |= {f"{at}.mlp.3.weight": (dim, mlp), f"{at}.mlp.3.bias": (dim,)}
    shapes |= {"encoder.ln.weight": (dim,), "encoder.ln.bias": (dim,)}
    shapes |= {"heads.head.weight": (classes, dim), "heads.head.bias": (classes,)}
    return random_state(draw, shapes, dtype)


def _convert_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 700)

    def case(layers: int, dtype: torch.dtype = torch.float32, patches: range = range(2, 5)) -> Case:
        dim, mlp, classes, patch, rows = draw.sizes(
            dim=range(12, 22), mlp=range(22, 40), classes=range(5, 12), patch=range(2, 7), rows=patches
        )
        state = _torchvision_state(
            draw,
            image_size=patch * rows,
            patch_size=patch,
            layers=layers,
            dim=dim,
            mlp=mlp,
            classes=classes,
            dtype=dtype,
        )
        label = f"a torchvision ViT with {layers} layer{'s' * (layers > 1)}, patch size {patch}, {patch * rows} × "
        label += f"{patch * rows} pixels, dim {dim}, {classes} classes"
        label += "" if dtype == torch.float32 else f", {str(dtype).removeprefix('torch.')}"
        return Case(label, {}, state=state)

    return [
        case(2),
        case(3),
        case(12, patches=range(2, 3)),
        case(1, torch.float64),
        case(2, torch.float16),
        case(13, torch.bfloat16, patches=range(2, 3)),
    ]


_RULES = (
    ("class_token", "cls_token"),
    ("encoder.pos_embedding", "positions.positions"),
    ("conv_proj", "embedding.projection"),
    ("encoder.layers.encoder_layer_", "encoder.blocks."),
    (".ln_1.", ".norm1."),
    (".ln_2.", ".norm2."),
    (".self_attention.in_proj_", ".attention.qkv."),
    (".self_attention.out_proj.", ".attention.out."),
    (".mlp.0.", ".mlp.fc1."),
    (".mlp.3.", ".mlp.fc2."),
    ("encoder.ln.", "encoder.norm."),
    ("heads.head.", "head."),
)
_KERNEL = "d c p1 p2 -> d (p1 p2 c)"


def _renaming(changed: Mapping[str, str] | None = None, kernel: str = _KERNEL) -> Callable:
    """A conversion by replacing parts of names, some of them otherwise: `changed[theirs] = ours`."""
    rules = [(theirs, (changed or {}).get(theirs, ours)) for theirs, ours in _RULES]

    def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        converted = {}
        for name, value in state_dict.items():
            if name == "conv_proj.weight":
                value = rearrange(value, kernel)
            for theirs, ours in rules:
                name = name.replace(theirs, ours)
            converted[name] = value
        return converted

    convert.__name__ = convert.__qualname__ = "convert_torchvision_weights"
    return convert


def _left(*theirs: str) -> Callable:
    """A conversion that leaves these parts of names as they are."""
    return _renaming({name: name for name in theirs})


def _after(change: Callable[[dict[str, Tensor]], Any]) -> Callable:
    """The right conversion, then a change of its result, or what the change gives back."""

    def convert(state_dict: Mapping[str, Tensor]) -> Any:
        converted = convert_torchvision_weights(state_dict)
        changed = change(converted)
        return converted if changed is None else changed

    convert.__name__ = convert.__qualname__ = "convert_torchvision_weights"
    return convert


def _dropping(pattern: str) -> Callable:
    return _after(lambda found: {name: value for name, value in found.items() if not re.search(pattern, name)})


def _valued(pattern: str, change: Callable[[Tensor], Tensor]) -> Callable:
    return _after(
        lambda found: {name: change(value) if re.search(pattern, name) else value for name, value in found.items()}
    )


def _named(change: Callable[[str], str]) -> Callable:
    return _after(lambda found: {change(name): value for name, value in found.items()})


def _exchanging(one: str, other: str) -> Callable:
    """Two parts of names exchanged."""

    def change(name: str) -> str:
        return name.replace(one, "\0").replace(other, one).replace("\0", other)

    return _named(change)


def _sorted_as_text(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Layers numbered in the order of their names: 0, 1, 10, 11, 2 …"""
    layers = sorted({name.split(".")[2] for name in found if name.startswith("encoder.blocks.")})
    return _numbered(found, {layer: str(place) for place, layer in enumerate(layers)})


def _numbered(found: dict[str, Tensor], new: Mapping[str, str]) -> dict[str, Tensor]:
    changed = {}
    for name, value in found.items():
        parts = name.split(".")
        if name.startswith("encoder.blocks."):
            parts[2] = new[parts[2]]
        changed[".".join(parts)] = value
    return changed


def _numbering(change: Callable[[int, int], int]) -> Callable:
    """Layers numbered otherwise: from (number, how many there are)."""

    def numbered(found: dict[str, Tensor]) -> dict[str, Tensor]:
        depth = 1 + max(int(name.split(".")[2]) for name in found if name.startswith("encoder.blocks."))
        return _numbered(found, {str(layer): str(change(layer, depth)) for layer in range(depth)})

    return _after(numbered)


def _one_digit(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layer numbers read as one digit, so that those from 10 on keep their names."""
    found = convert_torchvision_weights(state_dict)
    renamed = {}
    for name, value in found.items():
        layer = re.match(r"encoder\.blocks\.(\d\d+)\.", name)
        renamed[f"encoder.layers.encoder_layer_{name.removeprefix('encoder.blocks.')}" if layer else name] = value
    return renamed


def _first_digit(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = convert_torchvision_weights(state_dict)
    return {re.sub(r"^(encoder\.blocks\.\d)\d+", r"\1", name): value for name, value in found.items()}


def _fixed_depth(fixed: int) -> Callable:
    def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = convert_torchvision_weights(state_dict)
        once = {name: value for name, value in found.items() if not name.startswith("encoder.blocks.")}
        of_a_block = [name.split(".", 3)[3] for name in found if name.startswith("encoder.blocks.0.")]
        return once | {
            f"encoder.blocks.{layer}.{part}": found[f"encoder.blocks.{layer}.{part}"]
            for layer in range(fixed)
            for part in of_a_block
        }

    return convert


def _split_qkv(found: dict[str, Tensor]) -> dict[str, Tensor]:
    changed = {}
    for name, value in found.items():
        if ".qkv." in name:
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                changed[name.replace("qkv", letter)] = part
        else:
            changed[name] = value
    return changed


def _reordered(order: str) -> Callable[[Tensor], Tensor]:
    """Rows of `qkv` in another order of q, k, v."""
    return lambda value: torch.cat([value.chunk(3)["qkv".index(letter)] for letter in order])


def _transposed(value: Tensor) -> Tensor:
    return value.T.contiguous()


def _in_place(state_dict: Any) -> Any:
    """Names are taken out of the given dict one by one and put in again."""
    for name, value in convert_torchvision_weights(state_dict).items():
        state_dict[name] = value
    for name in [name for name in state_dict if not _is_ours(name)]:
        del state_dict[name]
    return state_dict


def _emptied(state_dict: Any) -> dict[str, Tensor]:
    converted = convert_torchvision_weights(dict(state_dict))
    for name in list(state_dict):
        state_dict.pop(name)
    return converted


def _is_ours(name: str) -> bool:
    return bool(re.match(r"(cls_token$|positions\.|embedding\.|encoder\.(blocks|norm)\.|head\.)", name))


def _scaled(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    converted = convert_torchvision_weights(state_dict)
    state_dict["conv_proj.bias"].zero_()
    return converted


_KEPT_NAME = "is still called as in torchvision, so `load_state_dict` finds no place for it"
_CONVERT_MISTAKES = {
    "names-as-they-are": Mistake(
        lambda state_dict: state_dict,
        "All names are still torchvision's. Make a new dict with our names, and in it the kernel as a matrix.",
        (
            lambda state_dict: dict(state_dict),
            lambda state_dict: {name: value.clone() for name, value in state_dict.items()},
        ),
    ),
    "kernel-only-reshaped": Mistake(
        _renaming(kernel="d c p1 p2 -> d (c p1 p2)"),
        "All names are right, and all shapes. But the kernel was only reshaped: its rows run `(c p1 p2)`, channel first, "
        "as a convolution keeps them. Our patches run `(p1 p2 c)`: `permute` or `rearrange` first.",
    ),
    "kernel-mirrored": Mistake(
        _renaming(kernel="d c p1 p2 -> d (p2 p1 c)"),
        "The kernel's rows and columns have changed places: each filter is mirrored along its diagonal. "
        "`d c p1 p2 -> d (p1 p2 c)`.",
    ),
    "kernel-in-another-order": Mistake(
        _renaming(kernel="d c p1 p2 -> d (p1 c p2)"),
        "The kernel's numbers run in another order than our patches: `(p1 p2 c)`, row, column, channel.",
        (_renaming(kernel="d c p1 p2 -> d (c p2 p1)"), _renaming(kernel="d c p1 p2 -> d (p2 c p1)")),
    ),
    "kernel-still-four-axes": Mistake(
        _after(lambda found: found | {"embedding.projection.weight": _folded(found["embedding.projection.weight"])}),
        "The kernel still has four axes, as in the convolution. The weight of `nn.Linear` has two: (D, P·P·C).",
    ),
    "kernel-transposed": Mistake(
        _valued(r"^embedding\.projection\.weight", _transposed),
        "The matrix of the patch embedding is transposed. `nn.Linear` keeps a row for each output: (D, P·P·C).",
    ),
    "norms-exchanged": Mistake(
        _exchanging("norm1", "norm2"),
        "The two norms of each block have changed places: `ln_1` is our `norm1`. The shapes are the same, so nothing "
        "else tells.",
    ),
    "mlp-exchanged": Mistake(
        _exchanging("fc1", "fc2"),
        "The MLP's two layers have changed places: `mlp.0` is our `fc1`, `mlp.3` our `fc2`.",
    ),
    "mlp-names-left": Mistake(
        _left(".mlp.0.", ".mlp.3."),
        f"A layer of the MLP {_KEPT_NAME}. torchvision's is a Sequential: 0 is the first layer, 1 GELU, 2 dropout, 3 the "
        "second. Ours are `fc1` and `fc2`.",
        (_left(".mlp.3."), _left(".mlp.0."), _renaming({".mlp.3.": ".mlp.3.", ".mlp.0.": ".mlp.fc1."})),
    ),
    "in-proj-left": Mistake(
        _left(".self_attention.in_proj_"),
        f"The layer of queries, keys and values {_KEPT_NAME}. `self_attention.in_proj_weight` is our "
        "`attention.qkv.weight`; mind the point before `weight`.",
        (
            _renaming({".self_attention.in_proj_": ".attention.in_proj_"}),
            _renaming({".self_attention.in_proj_": ".attention.qkv_"}),
            _renaming({".self_attention.in_proj_": ".attention.in_proj."}),
            _renaming({".self_attention.in_proj_": ".attention.qkv"}),
            _renaming({".self_attention.in_proj_": ".self_attention.qkv."}),
        ),
    ),
    "out-proj-left": Mistake(
        _left(".self_attention.out_proj."),
        f"Attention's last layer {_KEPT_NAME}. `self_attention.out_proj` is our `attention.out`.",
        (
            _renaming({".self_attention.out_proj.": ".attention.out_proj."}),
            _renaming({".self_attention.out_proj.": ".self_attention.out."}),
        ),
    ),
    "attention-left": Mistake(
        _renaming(
            {".self_attention.in_proj_": ".self_attention.qkv.", ".self_attention.out_proj.": ".self_attention.out."}
        ),
        "What torchvision calls `self_attention` is our `attention`.",
        (
            _left(".self_attention.in_proj_", ".self_attention.out_proj."),
            _renaming(
                {".self_attention.in_proj_": ".attention.in_proj_", ".self_attention.out_proj.": ".attention.out_proj."}
            ),
        ),
    ),
    "norms-left": Mistake(
        _left(".ln_1.", ".ln_2."),
        "A norm of the blocks is still called as in torchvision. `ln_1` and `ln_2` are our `norm1` and `norm2`.",
        (
            _left(".ln_1."),
            _left(".ln_2."),
            _renaming({".ln_1.": ".norm_1.", ".ln_2.": ".norm_2."}),
            _renaming({".ln_1.": ".ln1.", ".ln_2.": ".ln2."}),
        ),
    ),
    "last-norm-left": Mistake(
        _left("encoder.ln."),
        f"The last norm {_KEPT_NAME}. `encoder.ln` is our `encoder.norm`.",
        (_renaming({"encoder.ln.": "norm."}), _renaming({"encoder.ln.": "encoder.ln_f."})),
    ),
    "last-norm-dropped": Mistake(
        _dropping(r"^encoder\.norm\."), "The last norm is missing: `encoder.ln` is our `encoder.norm`."
    ),
    "head-left": Mistake(
        _left("heads.head."),
        f"The classifier {_KEPT_NAME}. `heads.head` is our `head`.",
        (_renaming({"heads.head.": "heads."}), _renaming({"heads.head.": "head.head."})),
    ),
    "head-dropped": Mistake(_dropping(r"^head\."), "The classifier is missing: `heads.head` is our `head`."),
    "cls-left": Mistake(
        _left("class_token"),
        f"The CLS token {_KEPT_NAME}. `class_token` is our `cls_token`.",
        (_renaming({"class_token": "encoder.cls_token"}), _renaming({"class_token": "cls"})),
    ),
    "cls-dropped": Mistake(_dropping(r"^cls_token$"), "The CLS token is missing: `class_token` is our `cls_token`."),
    "positions-left": Mistake(
        _left("encoder.pos_embedding"),
        f"The table of positions {_KEPT_NAME}. `encoder.pos_embedding` is our `positions.positions`: the module, then "
        "its parameter.",
        (
            _renaming({"encoder.pos_embedding": "positions"}),
            _renaming({"encoder.pos_embedding": "encoder.positions"}),
            _renaming({"encoder.pos_embedding": "encoder.positions.positions"}),
            _renaming({"encoder.pos_embedding": "pos_embedding"}),
        ),
    ),
    "positions-dropped": Mistake(
        _dropping(r"^positions\."), "The positions are missing: `encoder.pos_embedding` is our `positions.positions`."
    ),
    "projection-left": Mistake(
        _renaming({"conv_proj": "conv_proj"}),
        f"The patch embedding {_KEPT_NAME}. `conv_proj` is our `embedding.projection`.",
        (
            _renaming({"conv_proj": "projection"}),
            _renaming({"conv_proj": "embedding"}),
            _renaming({"conv_proj": "embedding.conv_proj"}),
            _renaming({"conv_proj": "patch_embedding.projection"}),
        ),
    ),
    "layers-left": Mistake(
        _left("encoder.layers.encoder_layer_"),
        "The blocks still have torchvision's names. `encoder.layers.encoder_layer_3` is our `encoder.blocks.3`.",
        (
            _renaming({"encoder.layers.encoder_layer_": "encoder.layers."}),
            _renaming({"encoder.layers.encoder_layer_": "blocks."}),
            _renaming({"encoder.layers.encoder_layer_": "encoder.blocks.encoder_layer_"}),
            _renaming({"encoder.layers.encoder_layer_": "encoder.encoder_layer_"}),
            _renaming({"encoder.layers.encoder_layer_": "encoder.blocks.block_"}),
        ),
    ),
    "layers-sorted-as-text": Mistake(
        _after(_sorted_as_text),
        "With ten layers or fewer it is right. With more the layers are in another order: names sorted as text run 0, 1, "
        "10, 11, 2 … Take the number out of the name instead of counting the sorted names.",
    ),
    "one-digit-layers": Mistake(
        _one_digit,
        "With ten layers or fewer it is right. From layer 10 on the names are left as they were: the number may have "
        "two digits, `(\\d+)`.",
        (_first_digit, _dropping(r"^encoder\.blocks\.\d\d")),
    ),
    "layers-from-one": Mistake(
        _numbering(lambda layer, depth: layer + 1),
        "The blocks are counted from 1. torchvision counts from 0, and so do we.",
    ),
    "layers-reversed": Mistake(
        _numbering(lambda layer, depth: depth - 1 - layer), "The blocks come in the opposite order. Keep their numbers."
    ),
    "depth-fixed": Mistake(
        _fixed_depth(12),
        "The number of layers is fixed. Go through the names that are there, however many layers they are of.",
        (
            _fixed_depth(2),
            _after(
                lambda found: {
                    name: value
                    for name, value in found.items()
                    if not re.match(r"encoder\.blocks\.(1[2-9]|[2-9]\d)\.", name)
                }
            ),
        ),
    ),
    "positions-squeezed": Mistake(
        _valued(r"^positions\.positions$", lambda value: value.squeeze(0)),
        "An axis of size 1 is gone. Our table of positions has the shape (1, 1 + N, D), the CLS token (1, 1, D), as "
        "torchvision's have.",
        (
            _valued(r"^cls_token$", lambda value: value.flatten()),
            _valued(r"^cls_token$", lambda value: value.squeeze(0)),
            _valued(r"^(positions\.positions|cls_token)$", torch.squeeze),
        ),
    ),
    "positions-without-cls": Mistake(
        _valued(r"^positions\.positions$", lambda value: value[:, 1:]),
        "The first row of the positions is cut off. It is the CLS token's; our table has it, too: (1, 1 + N, D).",
    ),
    "qkv-split": Mistake(
        _after(_split_qkv),
        "Queries, keys and values have been taken apart. Our `qkv` is one layer, with the rows in torchvision's order: "
        "take it as it is.",
    ),
    "qkv-reordered": Mistake(
        _valued(r"\.qkv\.", _reordered("kqv")),
        "The rows of `qkv` are in another order. In torchvision and here they are q, then k, then v: take them as they "
        "are.",
        tuple(_valued(r"\.qkv\.", _reordered(order)) for order in ("qvk", "vkq", "kvq", "vqk")),
    ),
    "matrices-transposed": Mistake(
        _valued(r"(qkv|out|fc1|fc2|head)\.weight$", _transposed),
        "Matrices are transposed. JAX keeps them so; in torchvision and here a row belongs to an output: take them as "
        "they are.",
        tuple(
            _valued(pattern, _transposed)
            for pattern in (
                r"\.qkv\.weight$",
                r"\.out\.weight$",
                r"\.(qkv|out)\.weight$",
                r"\.fc[12]\.weight$",
                r"^head\.weight$",
                r"(projection|qkv|out|fc1|fc2|head)\.weight$",
            )
        ),
    ),
    "biases-dropped": Mistake(
        _dropping(r"\.bias$"),
        "All biases are missing. Convert every name, those that end in `bias` as well.",
        (_dropping(r"\.(qkv|out)\.bias$"), _dropping(r"^embedding\.projection\.bias$"), _dropping(r"\.qkv\.bias$")),
    ),
    "old-names-kept": Mistake(
        lambda state_dict: {**state_dict, **convert_torchvision_weights(state_dict)},
        "Besides the new names the old ones are still there. Begin with an empty dict.",
        (
            lambda state_dict: (
                convert_torchvision_weights(state_dict) | {"conv_proj.weight": state_dict["conv_proj.weight"]}
            ),
        ),
    ),
    "prefixed": Mistake(
        _named(lambda name: f"model.{name}"),
        "All names begin with something that is not in ours. They begin at the ViT itself: `cls_token`, `encoder.…`.",
        tuple(
            _named(lambda name, before=before: f"{before}.{name}") for before in ("vit", "module", "backbone", "ViT")
        ),
    ),
    "cast-to-float32": Mistake(
        _after(lambda found: {name: value.float() for name, value in found.items()}),
        "The numbers are right, but have become float32. Half precision and float64 stay what they are.",
        (
            _valued(r"^embedding\.projection\.weight$", torch.Tensor.float),
            _after(lambda found: {name: torch.tensor(value.tolist()) for name, value in found.items()}),
        ),
    ),
    "changes-the-given": Mistake(
        _in_place,
        "The result is right, but the dict that was handed in is changed on the way. Whoever called still needs it: "
        "begin with a new one, and don't `pop` from the old.",
        (_emptied, _scaled),
    ),
    "returns-pairs": Mistake(
        _after(lambda found: list(found.items())),
        "A list comes back. Asked for is a dict, name → tensor, as `load_state_dict` takes it.",
        (_after(lambda found: list(found)), _after(lambda found: tuple(found.items()))),
    ),
    "numpy-values": Mistake(
        _after(lambda found: {name: value.float().numpy() for name, value in found.items()}),
        "The values are numpy arrays. Keep torch's tensors.",
        (_after(lambda found: {name: value.tolist() for name, value in found.items()}),),
    ),
}


def _folded(weight: Tensor) -> Tensor:
    side = round((weight.shape[1] // 3) ** 0.5)
    return rearrange(weight, "d (p1 p2 c) -> d c p1 p2", p1=side, p2=side)


CONVERT = Exercise(
    name="convert_torchvision_weights",
    lesson="07",
    points=3,
    reference=convert_torchvision_weights,
    cases=_convert_cases,
    observe=convert_state,
    axes={
        "embedding.projection.weight": "feature number",
        "positions.positions": "one token feature",
        "cls_token": "one token feature",
    },
    hints=(
        "Print the names of both models side by side, `for name in model.state_dict()`: there are twelve kinds. Begin "
        "with an empty dict and a loop over `state_dict.items()`.",
        "Names can be changed by `name.replace(theirs, ours)`, one after another. Mind `in_proj_weight`: after our `qkv` "
        "comes a point.",
        'One value changes, too: `conv_proj.weight` (D, C, P, P) → `rearrange(value, "d c p1 p2 -> d (p1 p2 c)")`.',
    ),
    reasoning="Both are the same network, so everything but names stays: only the kernel's numbers stand in another "
    "order (lesson 02). The course's own also refuses what is no state dict of torchvision's, and says what it is.",
    mistakes={
        **_CONVERT_MISTAKES,
        **universal_mistakes(convert_torchvision_weights, gradients=False, dtypes=False, layouts=False, tensors=False),
    },
)

EXERCISES = (VIT, COUNT_PARAMETERS, CONVERT)
