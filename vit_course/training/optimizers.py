"""The optimizer of a recipe; and Muon, which PyTorch has only since 2.9, and not for layers that are several in one."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vit_course.training.recipes import Recipe


def optimizer_for(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer, with its groups: Muon's matrices, other weights, and what does not decay."""
    muon, stacked, weights, rest = [], [], [], []
    for name, parameter in model.named_parameters():
        # A relative position bias (lesson 11) is a matrix, and still a bias.
        if parameter.ndim < 2 or name == "cls_token" or name.startswith("positions.") or name.endswith("bias"):
            rest.append(parameter)
        elif recipe.optimizer == "muon" and name.startswith("encoder.") and parameter.ndim == 2:
            (stacked if name.endswith("qkv.weight") else muon).append(parameter)
        else:
            weights.append(parameter)
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay, "peak_lr": recipe.lr},
        {"params": rest, "weight_decay": 0.0, "peak_lr": recipe.lr},
    ]
    options = {"lr": recipe.lr, "betas": recipe.betas}
    if recipe.optimizer == "sgd":
        options = {"lr": recipe.lr, "momentum": recipe.betas[0]}
    if recipe.optimizer == "muon":
        inner = {"muon": True, "weight_decay": recipe.weight_decay, "peak_lr": recipe.muon_lr}
        groups += [{"params": muon, **inner}, {"params": stacked, "stacked": 3, **inner}]
        return Muon([group for group in groups if group["params"]], **options)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}[recipe.optimizer]
    return kind([group for group in groups if group["params"]], **options)


def orthogonalised(
    matrices: Float[Tensor, "batch rows columns"], steps: int = 5
) -> Float[Tensor, "batch rows columns"]:
    """Each matrix with all its singular values brought near 1, and its singular vectors kept.

    A quintic Newton–Schulz iteration with Jordan's coefficients, which give up exactness (values end between about 0.7
    and 1.2) for few steps.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.mT if tall else x


class Muon(torch.optim.AdamW):
    """AdamW whose parameter groups may ask for Muon with `"muon": True`.

    Muon is momentum, made orthogonal: for the matrices inside a network.

    Source: Jordan et al. 2024, *Muon: An optimizer for hidden layers in neural networks*.

    Args:
        groups: dicts as for any optimizer. Those with `"muon": True` hold matrices, or weights that are several square
            or wide matrices on top of each other, as `qkv` is (`"stacked": 3`).
        momentum, steps: of Muon. Its learning rate and weight decay are the group's `lr` and `weight_decay`.
        options: of AdamW.
    """

    def __init__(self, groups: Iterable[dict], *, momentum: float = 0.95, steps: int = 5, **options) -> None:
        self.momentum, self.steps = momentum, steps
        super().__init__([{"muon": False, "stacked": 1, **group} for group in groups], **options)

    @torch.no_grad()
    def step(self, closure=None):
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group["muon"]:
                self._muon_step(group)
        return loss

    def _muon_step(self, group: dict) -> None:
        by_shape = defaultdict(list)
        for weight in group["params"]:
            if weight.grad is not None:
                by_shape[weight.shape].append(weight)
        for (rows, columns), weights in by_shape.items():
            updates = []
            for weight in weights:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                    state["step"] = torch.zeros(())  # AdamW expects one when it loads a state
                state["momentum"].lerp_(weight.grad, 1 - self.momentum)
                updates.append(weight.grad.lerp(state["momentum"], self.momentum))  # Nesterov
            parts = group["stacked"]
            stacked = torch.stack(updates).view(len(weights) * parts, rows // parts, columns)
            scale = max(1, rows / parts / columns) ** 0.5
            new = orthogonalised(stacked, self.steps).reshape(len(weights), rows, columns) * scale
            for weight, update in zip(weights, new, strict=True):
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"])
