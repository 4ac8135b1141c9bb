"""The same Vision Transformer from several libraries: ours, and those that it is measured against."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

OURS = "vit-course"


@dataclass(frozen=True)
class Sizes:
    """What all libraries get alike."""

    image_size: int
    patch_size: int
    dim: int
    depth: int
    heads: int
    mlp_dim: int
    num_classes: int


def _ours(s: Sizes) -> nn.Module:
    from vit_course import ViT

    return ViT(**asdict(s))


def _timm(s: Sizes) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    sizes = {"img_size": s.image_size, "embed_dim": s.dim, "num_heads": s.heads, "mlp_ratio": s.mlp_dim / s.dim}
    return VisionTransformer(patch_size=s.patch_size, depth=s.depth, num_classes=s.num_classes, **sizes)


def _torchvision(s: Sizes) -> nn.Module:
    from torchvision.models import VisionTransformer

    encoder = {"num_layers": s.depth, "num_heads": s.heads, "hidden_dim": s.dim, "mlp_dim": s.mlp_dim}
    return VisionTransformer(s.image_size, s.patch_size, num_classes=s.num_classes, **encoder)


def _vit_pytorch(s: Sizes) -> nn.Module:
    from vit_pytorch import ViT

    return ViT(**asdict(s), dim_head=s.dim // s.heads)


def _self_attention_cv(s: Sizes) -> nn.Module:
    from self_attention_cv import TransformerEncoder, ViT

    encoder = TransformerEncoder(s.dim, s.depth, s.heads, dim_linear_block=s.mlp_dim, prenorm=True)
    sizes = {"img_dim": s.image_size, "patch_dim": s.patch_size, "dim": s.dim, "num_classes": s.num_classes}
    return ViT(**sizes, transformer=encoder)


def _transformers(s: Sizes) -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    encoder = {"hidden_size": s.dim, "num_hidden_layers": s.depth, "num_attention_heads": s.heads}
    sizes = {"image_size": s.image_size, "patch_size": s.patch_size, "intermediate_size": s.mlp_dim}
    return Logits(ViTForImageClassification(ViTConfig(**sizes, **encoder, num_labels=s.num_classes)))


class Logits(nn.Module):
    """A Hugging Face model that returns its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


BUILDERS: dict[str, Callable[[Sizes], nn.Module]] = {
    OURS: _ours,
    "timm": _timm,
    "torchvision": _torchvision,
    "vit-pytorch": _vit_pytorch,
    "self-attention-cv": _self_attention_cv,
    "transformers": _transformers,
}
TINY = Sizes(image_size=16, patch_size=4, dim=24, depth=2, heads=3, mlp_dim=48, num_classes=5)
NOTES = {  # what no option makes equal
    "torchvision": "the same parameters; in evaluation, PyTorch's fused path of `nn.MultiheadAttention`.",
    "vit-pytorch": "a LayerNorm before and one after the patch projection, no bias in q, k and v; attention is written "
    "out.",
    "self-attention-cv": "no bias in q, k, v and the output of attention, no last LayerNorm, patches that are samples "
    "of the whole image; attention is written out. Its encoder is built with `prenorm=True`.",
    "transformers": "the same parameters; q, k and v are three layers instead of one.",
}


def find_libraries() -> tuple[list[str], dict[str, str]]:
    """The libraries that work here, ours first; and for each of the others the reason why not."""
    found, missing = [], {}
    for library, build in BUILDERS.items():
        try:
            build(TINY)
            found.append(library)
        except ImportError as error:
            missing[library] = str(error)
    return found, missing


def check_equal(model: nn.Module, s: Sizes) -> None:
    """Assert what all libraries share: depth, tokens, dim, MLP, classes, and no dropout.

    Every block sends (batch, 1 + patches, dim) through its one Linear(dim, mlp_dim): that is what is counted.
    """
    met = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: met.append(tuple(inputs[0].shape)))
        for module in model.modules()
        if isinstance(module, nn.Linear) and (module.in_features, module.out_features) == (s.dim, s.mlp_dim)
    ]
    with torch.no_grad():
        logits = model.eval()(torch.zeros(1, 3, s.image_size, s.image_size))
    for hook in hooks:
        hook.remove()
    tokens = 1 + (s.image_size // s.patch_size) ** 2
    assert met == [(1, tokens, s.dim)] * s.depth, f"not an equal model: its MLPs met {met}"
    assert logits.shape == (1, s.num_classes)
    assert all(module.p == 0 for module in model.modules() if isinstance(module, nn.Dropout))
