"""A small ViT whose every parameter is random, and images for it."""

import torch

from vit_course import ViT

SMALL = {"patch_size": 4, "num_classes": 7, "dim": 24, "depth": 2, "heads": 3, "mlp_dim": 40}


def randomised(model, seed=0):
    """Every parameter random: zero biases and unit norms would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model


def small(**options):
    return randomised(ViT(**({"image_size": (8, 12)} | SMALL | options))).eval()


def images(batch=2, channels=3, seed=1):
    return torch.randn(batch, channels, 8, 12, generator=torch.Generator().manual_seed(seed))


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def compiled(model, **options):
    """`torch.compile` for any batch, in one graph; what other tests compiled does not count against its limit."""
    torch._dynamo.reset()
    return torch.compile(model, **{"backend": "eager", "fullgraph": True, "dynamic": True} | options)
