"""A Vision Transformer from scratch, step by step, with checks that name the mistake.

Everything below is imported when it is first used, so that `import vit_course` costs next to nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "certificate": "checks",
    "check": "checks",
    "hint": "checks",
    "keep_accuracy": "checks",
    "mine": "checks",
    "progress": "checks",
    "solution": "checks",
    "to_channels_first": "images",
    "average_pool_2x2": "images",
    "num_patches": "patches",
    "patchify": "patches",
    "unpatchify": "patches",
    "corrected_pattern": "patches",
    "PatchEmbedding": "embeddings",
    "linear_to_conv": "embeddings",
    "prepend_cls_token": "embeddings",
    "pool": "embeddings",
    "LearnedPositions": "embeddings",
    "sincos_positions": "embeddings",
    "position_similarity": "embeddings",
    "scaled_dot_product_attention": "attention",
    "MultiHeadSelfAttention": "attention",
    "layer_norm": "encoder",
    "FeedForward": "encoder",
    "EncoderBlock": "encoder",
    "Encoder": "encoder",
    "with_parts": "parts",
    "ViT": "vit",
    "count_parameters": "vit",
    "convert_torchvision_weights": "vit",
    "replace_head": "finetuning",
    "freeze_backbone": "finetuning",
    "resize_positions": "finetuning",
    "principal_filters": "inspection",
    "mean_attention_distance": "inspection",
    "receptive_field": "inspection",
    "attention_rollout": "inspection",
    "HybridEmbedding": "hybrids",
    "relative_position_index": "hybrids",
    "CIFAR10_CLASSES": "data",
    "ImageSet": "data",
    "load_images": "data",
}
__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_EXPORTS]
