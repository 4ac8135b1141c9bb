"""The Vision Transformer, whole.

Source: Dosovitskiy et al. 2021, *An Image is Worth 16x16 Words*, section 3.1 and table 1. What others do differently:

- Patches go through a Linear; torchvision and timm have a convolution, with the same numbers in another order.
- Queries, keys and values come from one Linear, rows q, k, v, with a bias; equation 5 of the paper has none.
- Attention is PyTorch's fused function, which hands out no weights; `MultiHeadSelfAttention.weights` does.
- Dropout acts inside the MLPs only; in the paper also after attention and after the positions are added.
- The head is one Linear, as when the paper fine-tunes; in pre-training the paper's has a hidden layer.
- CLS begins at 0, learned positions at a standard deviation of 0.02, all else as PyTorch's layers do.
"""

import re
from collections.abc import Mapping
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vit_course.attention import Mask
from vit_course.embeddings import FixedPositions, LearnedPositions, PatchEmbedding, pool, prepend_cls_token
from vit_course.encoder import Encoder
from vit_course.patches import check_sizes, height_and_width, num_patches

# Table 1 of the paper; Ti and S from Touvron et al. 2021 (DeiT), table 1.
PRESETS = {
    "Ti": {"dim": 192, "depth": 12, "heads": 3, "mlp_dim": 768},
    "S": {"dim": 384, "depth": 12, "heads": 6, "mlp_dim": 1536},
    "B": {"dim": 768, "depth": 12, "heads": 12, "mlp_dim": 3072},
    "L": {"dim": 1024, "depth": 24, "heads": 16, "mlp_dim": 4096},
    "H": {"dim": 1280, "depth": 32, "heads": 16, "mlp_dim": 5120},
}


class ViT(nn.Module):
    """Images to class scores: patches → linear projection → + CLS → + positions → encoder → head.

    Args:
        image_size: in pixels, one number or (height, width).
        patch_size: P, in pixels.
        num_classes: scores to give.
        dim: length of a token, D.
        depth, heads, mlp_dim, dropout, dim_head: of the encoder.
        in_channels: C.
        pool: the head reads the "cls" token or the "mean" of the patch tokens.
        positions: "learned", "sincos" (fixed, two-dimensional) or "none".
        classification: False leaves out CLS and head and returns all tokens.
        encoder: takes the place of the encoder; called with (tokens, mask).

    Raises:
        ValueError: sizes that do not fit or are below 1, dropout that is not from 0 to 1, or an unknown option.
    """

    def __init__(
        self,
        *,
        image_size: int | tuple[int, int],
        patch_size: int,
        num_classes: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_dim: int,
        in_channels: int = 3,
        dim_head: int | None = None,
        dropout: float = 0.0,
        pool: Literal["cls", "mean"] = "cls",
        positions: Literal["learned", "sincos", "none"] = "learned",
        classification: bool = True,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        height, width = height_and_width(image_size)
        if pool not in ("cls", "mean"):
            raise ValueError(f'pool is "cls" or "mean", got {pool!r}.')
        self.image_size, self.pool, self.classification = (height, width), pool, classification
        self.embedding = PatchEmbedding(patch_size, in_channels, dim)
        patches = num_patches(height, width, patch_size)
        if positions == "learned":
            self.positions = LearnedPositions(patches + classification, dim)
        elif positions == "sincos":
            self.positions = FixedPositions(height // patch_size, width // patch_size, dim, cls=classification)
        elif positions == "none":
            self.positions = nn.Identity()
        else:
            raise ValueError(f'positions is "learned", "sincos" or "none", got {positions!r}.')
        self.encoder = Encoder(depth, dim, heads, mlp_dim, dropout, dim_head) if encoder is None else encoder
        if classification:
            check_sizes(num_classes=num_classes)
            self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
            self.head = nn.Linear(dim, num_classes)

    def forward(self, images: Float[Tensor, "batch channels height width"], mask: Mask = None) -> Float[Tensor, "..."]:
        """(B, C, H, W) → (B, num_classes); without classification (B, N, D)."""
        if tuple(images.shape[-2:]) != self.image_size:
            raise ValueError(f"this ViT is for images of {self.image_size} pixels, got {tuple(images.shape[-2:])}.")
        tokens = self.embedding(images)
        if not self.classification:
            return self.encoder(self.positions(tokens), mask)
        tokens = self.positions(prepend_cls_token(tokens, self.cls_token))
        return self.head(pool(self.encoder(tokens, mask), self.pool))


def vit(preset: str, *, patch_size: int = 16, image_size: int = 224, num_classes: int = 1000, **options) -> ViT:
    """A ViT of a published size: `vit("B")` is ViT-B/16.

    Args:
        preset: a key of `PRESETS`.
        patch_size, image_size, num_classes, options: as in `ViT`; an option goes before the preset's.

    Raises:
        ValueError: there is no such preset, or as in `ViT`.
    """
    if preset not in PRESETS:
        raise ValueError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}.")
    options = PRESETS[preset] | options
    return ViT(patch_size=patch_size, image_size=image_size, num_classes=num_classes, **options)


def count_parameters(
    *,
    image_size: int | tuple[int, int],
    patch_size: int,
    num_classes: int,
    dim: int,
    depth: int,
    mlp_dim: int,
    in_channels: int = 3,
) -> int:
    """The parameters of a `ViT` by formula, with heads of dim / heads features.

    Raises:
        ValueError: sizes that do not fit or are below 1.
    """
    check_sizes(patch_size=patch_size, in_channels=in_channels, num_classes=num_classes)
    check_sizes(dim=dim, depth=depth, mlp_dim=mlp_dim)
    tokens = 1 + num_patches(*height_and_width(image_size), patch_size)
    embedding = (patch_size**2 * in_channels + 1) * dim + dim + tokens * dim  # projection, CLS, positions
    attention = (dim + 1) * 3 * dim + (dim + 1) * dim
    mlp = (dim + 1) * mlp_dim + (mlp_dim + 1) * dim
    norm = 2 * dim
    return embedding + depth * (attention + mlp + 2 * norm) + norm + (dim + 1) * num_classes


# Their convolution is our Linear: the same numbers in another order (lesson 02).
_KERNELS = {"torchvision": "conv_proj.weight", "timm": "patch_embed.proj.weight"}
_TORCHVISION = (
    (r"^class_token$", "cls_token"),
    (r"^encoder\.pos_embedding$", "positions.positions"),
    (r"^conv_proj\.", "embedding.projection."),
    (r"^encoder\.layers\.encoder_layer_(\d+)\.", r"encoder.blocks.\1."),
    (r"\.ln_(1|2)\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attention.qkv."),
    (r"\.self_attention\.out_proj\.", ".attention.out."),
    (r"\.mlp\.(0|linear_1)\.", ".mlp.fc1."),
    (r"\.mlp\.(3|linear_2)\.", ".mlp.fc2."),
    (r"^encoder\.ln\.", "encoder.norm."),
    (r"^heads\.(head\.)?(weight|bias)$", r"head.\2"),  # heads: a Sequential, or a Linear put in its place
)
_TIMM = (
    (r"^pos_embed$", "positions.positions"),
    (r"^patch_embed\.proj\.", "embedding.projection."),
    (r"^blocks\.", "encoder.blocks."),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    (r"\.attn\.proj\.", ".attention.out."),
    (r"^norm\.", "encoder.norm."),
)


def convert_torchvision_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a torchvision `VisionTransformer`, under the names and in the shapes of `ViT`.

    Weights without a head stay without one.

    Raises:
        ValueError: it is no such state dict; the message says what it is, and where it can what to do.
    """
    return _converted(state_dict, _TORCHVISION, "torchvision")


def convert_timm_weights(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a plain timm `VisionTransformer` with a CLS token, as of `vit_base_patch16_224`, for `ViT`.

    Weights without a head stay without one.

    Raises:
        ValueError: it is no such state dict; the message says what it is, and where it can what to do.
    """
    return _converted(state_dict, _TIMM, "timm")


def _converted(state_dict: Mapping[str, Tensor], rules: tuple[tuple[str, str], ...], library: str) -> dict[str, Tensor]:
    kernel, refused = _KERNELS[library], f"this is no state dict of a ViT from {library}"
    if not isinstance(state_dict, Mapping) or kernel not in state_dict:
        raise ValueError(f"{refused}: {_instead(state_dict, kernel)}")
    names = {theirs: theirs for theirs in state_dict}
    for pattern, ours in rules:
        names = {theirs: re.sub(pattern, ours, name) for theirs, name in names.items()}
    depth = len({name.split(".")[2] for name in names.values() if name.startswith("encoder.blocks.")}) or 1
    with torch.device("meta"):  # for the names alone
        places = ViT(image_size=1, patch_size=1, num_classes=1, dim=1, depth=depth, heads=1, mlp_dim=1).state_dict()
    unknown = [theirs for theirs, name in names.items() if name not in places]
    missing = [name for name in places if name not in names.values() and not name.startswith("head.")]
    if unknown or missing:
        raise ValueError(
            f"{refused} that `ViT` can take. Without a place there: {_some(unknown)}. Missing: {_some(missing)}. "
            "Ours is the paper's: one CLS token, with a position; biases everywhere; no other tokens, norms or layers."
        )
    converted = {name: state_dict[theirs] for theirs, name in names.items()}
    converted[names[kernel]] = rearrange(state_dict[kernel], "d c p1 p2 -> d (p1 p2 c)")
    return converted


def _instead(given: object, kernel: str) -> str:
    """What was given in place of a state dict with this kernel, and what to do."""
    if not isinstance(given, Mapping):
        return f'it is a {type(given).__name__}. Give model.state_dict(), or torch.load(path, map_location="cpu").'
    for name, value in given.items():
        if isinstance(value, Mapping) and any(str(inside).endswith(kernel) for inside in value):
            return f"that lies inside it. Give state_dict[{name!r}]."
        if str(name).endswith(f".{kernel}"):
            prefix = name.removesuffix(kernel)
            mended = f"{{name.removeprefix({prefix!r}): value for name, value in state_dict.items()}}"
            return f"its names begin with {prefix!r}. Give {mended}."
    if "embedding.projection.weight" in given:
        return "its names are those of `ViT` already. Give it to model.load_state_dict."
    for library, other in _KERNELS.items():
        if other in given:
            return f"it may be one from {library}. Take convert_{library}_weights."
    return f"it has no {kernel!r}. It has {_some(list(given))}."


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "") or "none"


def load_pretrained(name: str = "vit_b_16") -> ViT:
    """torchvision's own weights, fetched through torchvision, in our `ViT`.

    Args:
        name: of a builder in `torchvision.models`: vit_b_16, vit_b_32, vit_l_16, vit_l_32, vit_h_14.

    Raises:
        ValueError: torchvision has no such ViT.
        OSError: the weights cannot be downloaded.
    """
    from torchvision import models

    found = re.fullmatch(r"vit_([blh])_(\d+)", name)
    if found is None or name not in models.list_models():
        raise ValueError(f"torchvision has no {name!r}; it has vit_b_16, vit_b_32, vit_l_16, vit_l_32 and vit_h_14.")
    weights = models.get_model_weights(name).DEFAULT
    converted = convert_torchvision_weights(weights.get_state_dict(progress=True, check_hash=True))
    model = vit(
        found[1].upper(),
        patch_size=int(found[2]),
        image_size=weights.meta["min_size"][0],
        num_classes=len(weights.meta["categories"]),
    )
    model.load_state_dict(converted)
    return model.eval()
