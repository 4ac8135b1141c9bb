"""What is observed of a learner's pieces of training: a step taken several times, a random change to many batches.

As `observers`, it holds no reference and knows no mistakes. Models and optimizers are made here, from plain data.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from vit_course.checks.observers import Case, Observations, call, type_name

A_LOSS = "a loss"
LAYERS = ("hidden", "norm", "out")  # in the order of the model


def small_model(state: Mapping[str, Tensor]) -> nn.Sequential:
    """Flatten, linear, batch norm where there are weights for one, tanh, linear; in eval mode.

    A batch norm is another function in train mode and in eval mode, without anything random.

    Args:
        state: of the layers `LAYERS`.
    """
    layers: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
    for name in LAYERS:
        if name == "norm" and "norm.weight" in state:
            layers.append((name, nn.BatchNorm1d(len(state["norm.weight"]))))
        elif name != "norm":
            outputs, inputs = state[f"{name}.weight"].shape
            layers.append((name, nn.Linear(inputs, outputs)))
        if name == "norm":
            layers.append(("tanh", nn.Tanh()))
    model = nn.Sequential(OrderedDict(layers))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[name])
    return model.eval()


def optimizer_of(model: nn.Sequential, lr: float, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """SGD whose last layer learns half as fast: a step that is taken by hand then shows."""
    groups = [{"params": part.parameters(), "lr": lr} for part in model[:-1] if any(True for _ in part.parameters())]
    groups.append({"params": model[-1].parameters(), "lr": lr / 2})
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=weight_decay)


def take_steps(candidate: Callable, case: Case) -> Observations:
    """Observe `train_step`: the loss of each of some steps, and the weights after the first and after the last.

    The case's inputs are images (steps, B, C, H, W), targets (steps, B) or (steps, B, K), and lr, momentum and
    weight_decay of the optimizer; its state is that of the model.
    """

    def run(images: Tensor, targets: Tensor, *rates: float) -> tuple[Any, ...]:
        model = small_model(case.state).train(case.train)
        optimizer = optimizer_of(model, *rates)
        came: list[int] = []
        model[-1].bias.register_hook(lambda gradient: came.append(1))
        losses, said, weights = [], set(), []
        with torch.enable_grad():  # `call` asks for none
            for step in range(len(images)):
                kind, loss = _loss(candidate(model, optimizer, images[step], targets[step]))
                said.add(kind)
                losses.append(loss)
                if step in (0, len(images) - 1):
                    weights += [parameter.detach().clone() for parameter in model.parameters()]
        return torch.tensor(losses), ", ".join(sorted(said)), _moved(model, case, bool(came)), *weights

    return call(run, case)


def _moved(model: nn.Sequential, case: Case, gradients_came: bool) -> str:
    """Whether anything was learned, in words; and if not, how far it went."""
    parameters = dict(model.named_parameters())
    if any(not torch.equal(parameter, case.state[name]) for name, parameter in parameters.items()):
        return "yes"
    if not gradients_came:
        return "no: no gradient was asked for"
    waiting = any(parameter.grad is not None and parameter.grad.any() for parameter in parameters.values())
    return "no: gradients are there, and no step was taken" if waiting else "no: the gradients were gone at the step"


def results_of_steps(state: Mapping[str, Tensor], steps: int) -> tuple[str, ...]:
    """The names of what `take_steps` observes, for `Case.returns`."""
    names = [name for name, _ in small_model(state).named_parameters()]
    return (
        "losses",
        "what is returned",
        "weights move",
        *(f"{name} after step {step}" for step in (1, steps) for name in names),
    )


def _loss(result: Any) -> tuple[str, float]:
    """What a step returned in a word, and as a number: NaN if it is none."""
    if type(result) in (Tensor, nn.Parameter):
        if result.ndim or not result.is_floating_point():
            return f"a tensor of shape {tuple(result.shape)}, {result.dtype}", float("nan")
        attached = "a loss that still holds its graph" if result.requires_grad else A_LOSS
        return attached, torch.Tensor.detach(result).item()
    if isinstance(result, Real) and not isinstance(result, bool):
        return A_LOSS, float(result)
    return type_name(result), float("nan")


def call_often(candidate: Callable, case: Case) -> Observations:
    """Observe a random function of a batch: what it gives for each of many batches, one after the other.

    The case's first input holds the batches: (calls, B, …). The results come stacked, if they are tensors of one shape.
    """

    def run(batches: Tensor, *others: Any) -> Any:
        results = [candidate(batch, *others) for batch in batches]
        if all(type(one) is Tensor and one.shape == results[0].shape for one in results):
            return torch.stack(results)
        return next(one for one in results if type(one) is not Tensor or one.shape != results[-1].shape)

    return call(run, case)
