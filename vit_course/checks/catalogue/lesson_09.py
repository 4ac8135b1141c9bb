"""Lesson 09: a new head, a frozen backbone, positions for another resolution."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vit_course.checks.catalogue.cases import Draw
from vit_course.checks.exercise import Exercise, Mistake, universal_mistakes
from vit_course.checks.finetuning_observers import freeze, swap_head
from vit_course.checks.observers import Case
from vit_course.finetuning import freeze_backbone, replace_head, resize_positions

# -- models to change in place

_BACKBONE = ("cls_token", "positions.", "embedding.", "encoder.")


def _models(draw: Draw) -> list[tuple[str, dict[str, int], tuple[str, ...], bool]]:
    """(note, sizes of the model, what of it is frozen already, training mode)."""

    def sizes(depth: int, side: int = 8) -> dict[str, int]:
        heads = draw.sizes(heads=(1, 2, 3))[0]
        dim, hidden, classes = draw.sizes(dim=(12, 18, 24), hidden=(14, 20, 26), classes=(7, 9, 11))
        return {"side": side, "patch_size": 4, "classes": classes, "dim": dim, "depth": depth} | {
            "heads": heads,
            "hidden": hidden,
        }

    return [
        ("", sizes(2), (), True),
        ("", sizes(3, side=12), (), False),
        ("its embedding frozen already, ", sizes(2), ("embedding.",), False),
        ("its first block frozen already, ", sizes(4), ("encoder.blocks.0.", "cls_token"), True),
        ("its backbone frozen already, ", sizes(2), _BACKBONE, True),
    ]


def _said(note: str, sizes: dict[str, int]) -> str:
    return f"{note}a ViT with dim {sizes['dim']}, depth {sizes['depth']}, {sizes['classes']} classes"


def _images(draw: Draw, sizes: dict[str, int], batch: int) -> Tensor:
    return draw.normal(batch, 3, sizes["side"], sizes["side"])


# -- replace_head


def _head_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 90)
    cases = []
    for (note, sizes, frozen, train), choices in zip(
        _models(draw), ((3, 4), (15, 17), (1, 2), (5, 6), (13, 14)), strict=True
    ):
        new, batch = draw.sizes(new=choices, batch=(8, 10))
        inputs = {"num_classes": new, "sizes": sizes, "frozen": frozen}
        forward = {"images": _images(draw, sizes, batch), "labels": torch.arange(batch) % new}
        cases.append(Case(f"{_said(note, sizes)}, {new} new ones", inputs, forward=forward, train=train))
    # As many classes as before: a new layer all the same.
    note, sizes, frozen, train = _models(draw)[0]
    forward = {"images": _images(draw, sizes, 4), "labels": torch.arange(4)}
    inputs = {"num_classes": sizes["classes"], "sizes": sizes, "frozen": frozen}
    cases.append(Case(f"{_said(note, sizes)}, as many new ones", inputs, forward=forward, train=train))
    return cases


def _dim(model: nn.Module) -> int:
    return model.head.weight.shape[1]


def _headed(make: Callable[[nn.Module, int], nn.Module]) -> Callable:
    """A replace_head that puts `make(model, classes)` in the head's place."""

    def run(model: nn.Module, num_classes: int) -> nn.Module:
        model.head = make(model, num_classes)
        return model

    return run


def _zeros(inputs: int, outputs: int, **options: Any) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, **options)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _drawn(weight: Callable[[Tensor], Any], bias: Callable[[Tensor], Any] = nn.init.zeros_) -> Callable:
    """A new head whose weight and bias are set by these."""

    def make(model: nn.Module, num_classes: int) -> nn.Linear:
        layer = nn.Linear(_dim(model), num_classes)
        with torch.no_grad():
            weight(layer.weight)
            bias(layer.bias)
        return layer

    return _headed(make)


def _as_made(_: Tensor) -> None:
    """Left as PyTorch draws it."""


def _first_rows(model: nn.Module, num_classes: int) -> nn.Linear:
    layer, kept = _zeros(_dim(model), num_classes), min(num_classes, model.head.out_features)
    with torch.no_grad():
        layer.weight[:kept], layer.bias[:kept] = model.head.weight[:kept], model.head.bias[:kept]
    return layer


def _refilled(model: nn.Module, num_classes: int) -> nn.Module:
    model.head.weight = nn.Parameter(torch.zeros(num_classes, _dim(model)))
    model.head.bias = nn.Parameter(torch.zeros(num_classes))
    return model


def _refilled_data(model: nn.Module, num_classes: int) -> nn.Module:
    model.head.weight.data = torch.zeros(num_classes, _dim(model))
    model.head.bias.data = torch.zeros(num_classes)
    return model


def _number_only(model: nn.Module, num_classes: int) -> nn.Module:
    model.head.out_features = num_classes
    return model


def _zeroed_old(model: nn.Module, num_classes: int) -> nn.Module:
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    return model


def _zeroed_after(model: nn.Module, num_classes: int) -> nn.Module:
    _zeroed_old(model, num_classes)
    model.head = nn.Linear(_dim(model), num_classes)
    return model


def _all_zeroed(model: nn.Module, num_classes: int) -> nn.Module:
    replace_head(model, num_classes)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def _under(name: str) -> Callable:
    def run(model: nn.Module, num_classes: int) -> nn.Module:
        setattr(model, name, _zeros(_dim(model), num_classes))
        return model

    return run


def _of_a_copy(change: Callable) -> Callable:
    return lambda model, *arguments: change(copy.deepcopy(model), *arguments)


def _then(change: Callable[[nn.Module], Any]) -> Callable:
    """A replace_head that does one thing more."""

    def run(model: nn.Module, num_classes: int) -> nn.Module:
        change(replace_head(model, num_classes))
        return model

    return run


def _freezing(model: nn.Module) -> None:
    freeze_backbone(model)


def _anew(model: nn.Module) -> None:
    for name, parameter in list(model.named_parameters()):
        if not name.startswith("head."):
            torch.manual_seed(0)
            parameter.data.normal_(std=0.02)


def _without_last_norm(model: nn.Module) -> None:
    model.encoder.norm = nn.Identity()


def _results(reference: Callable) -> dict[str, Mistake]:
    """Those of the universal mistakes that fit a function which changes a model and gives it back."""
    found = universal_mistakes(reference, gradients=False, dtypes=False, layouts=False, tensors=False)
    return {slug: found[slug] for slug in ("returns-none", "prints-instead", "returns-tuple")}


_COPIED = (
    "The model that comes back is right, but it is a copy: the one that was handed in is as it was. Change that one, and "
    "return it."
)

REPLACE_HEAD = Exercise(
    name="replace_head",
    lesson="09",
    points=1,
    reference=replace_head,
    cases=_head_cases,
    observe=swap_head,
    axes={"output": "image class", "output with other weights": "image class"},
    hints=(
        "`model.head` is an `nn.Linear`, and may be exchanged by assigning another one to it. How many numbers does it read? "
        "The old one knows: `model.head.in_features`.",
        "A new `nn.Linear` begins with random numbers. `nn.init.zeros_(…)` makes zeros of a weight, and of a bias.",
        "`model.head = nn.Linear(model.head.in_features, num_classes)`; then zeros into `model.head.weight` and "
        "`model.head.bias`; then `return model`.",
    ),
    reasoning="A new layer rather than new numbers in the old one: the layer then also says the right sizes. Zeros, so that "
    "all classes begin as equals and nothing random flows back into what was learned before.",
    mistakes={
        "weights-random": Mistake(
            _drawn(_as_made, _as_made),
            "The new head is there, with PyTorch's random numbers in it. Asked for are zeros, in the weight and in the "
            "bias.",
            (_zeroed_after, lambda model, n: _zeroed_after(model, n).requires_grad_(True)),
        ),
        "weight-random": Mistake(
            _drawn(_as_made),
            "The bias is zero, the weight is not. Both begin as zeros.",
            (
                _drawn(lambda weight: weight.normal_(std=0.02)),
                _drawn(lambda weight: weight.normal_(std=0.01)),
                _drawn(nn.init.xavier_uniform_),
                _drawn(lambda weight: nn.init.trunc_normal_(weight, std=0.02)),
            ),
        ),
        "bias-random": Mistake(
            _drawn(nn.init.zeros_, _as_made),
            "The weight is zero, the bias is not: it still holds PyTorch's random numbers.",
        ),
        "ones": Mistake(
            _drawn(nn.init.ones_),
            "The weight is all ones. Asked for are zeros.",
            (_drawn(nn.init.ones_, nn.init.ones_),),
        ),
        "no-bias": Mistake(
            _headed(lambda model, n: _zeros(_dim(model), n, bias=False)),
            "The new head has no bias. A plain `nn.Linear` has one.",
        ),
        "sizes-exchanged": Mistake(
            _headed(lambda model, n: _zeros(n, _dim(model))),
            "The sizes of the new layer have changed places: `nn.Linear(inputs, outputs)`, and the inputs are the D numbers "
            "of the CLS token.",
        ),
        "dim-fixed": Mistake(
            _headed(lambda model, n: _zeros(192, n)),
            "The number of inputs is written into the code. Models differ in D: ask the old head, "
            "`model.head.in_features`.",
            tuple(_headed(lambda model, n, fixed=fixed: _zeros(fixed, n)) for fixed in (128, 384, 512, 768, 1024)),
        ),
        "reads-old-classes": Mistake(
            _headed(lambda model, n: _zeros(model.head.out_features, n)),
            "The new layer reads as many numbers as there were classes. In the old head's place it gets what the old head "
            "got: D numbers, `model.head.in_features`.",
        ),
        "behind-the-old": Mistake(
            _headed(lambda model, n: nn.Sequential(model.head, _zeros(model.head.out_features, n))),
            "The new layer stands behind the old head. The old one has to go: its classes are nobody's any more.",
            (_headed(lambda model, n: nn.Sequential(model.head, nn.GELU(), _zeros(model.head.out_features, n))),),
        ),
        "sequential": Mistake(
            _headed(lambda model, n: nn.Sequential(_zeros(_dim(model), n))),
            "The new head is a Sequential. Its weight is then called `head.0.weight`, and saved files and other code look "
            "for `head.weight`: assign the `nn.Linear` itself.",
            (_headed(lambda model, n: nn.Sequential(nn.Dropout(0.1), _zeros(_dim(model), n))),),
        ),
        "norm-before": Mistake(
            _headed(lambda model, n: nn.Sequential(nn.LayerNorm(_dim(model)), _zeros(_dim(model), n))),
            "A second norm stands before the new layer. The encoder ends with one: the head is a single `nn.Linear`.",
        ),
        "hidden-layer": Mistake(
            _headed(
                lambda model, n: nn.Sequential(nn.Linear(_dim(model), _dim(model)), nn.GELU(), _zeros(_dim(model), n))
            ),
            "The new head has a hidden layer. In pre-training the paper's has one; for fine-tuning it is a single "
            "`nn.Linear`, D × K.",
        ),
        "old-layer-zeroed": Mistake(
            _zeroed_old,
            "The old head was filled with zeros, and still has its old number of classes. Make a new layer, with "
            "`num_classes` outputs.",
        ),
        "old-rows-kept": Mistake(
            _headed(_first_rows),
            "The new head keeps rows of the old one. Class 0 then begins as the old class 0, which is something else: all "
            "of it begins as zeros.",
        ),
        "old-layer-refilled": Mistake(
            _refilled,
            "Weight and bias have their new shapes, but they lie in the old layer, which still says that it has its old "
            "number of outputs (`out_features`). Whoever saves or prints the model is misled: assign a new `nn.Linear`.",
            (_refilled_data,),
        ),
        "number-only": Mistake(
            _number_only,
            "`out_features` is only what a layer says of itself. Its weight and bias stay as they are: assign a new "
            "`nn.Linear`.",
        ),
        "another-name": Mistake(
            _under("fc"),
            "The new layer is there, under a name that nothing reads, and the old head goes on answering. In our ViT it is "
            "called `head`.",
            tuple(map(_under, ("heads", "classifier", "mlp_head", "new_head", "mlp"))),
        ),
        "identity": Mistake(
            _headed(lambda model, n: nn.Identity()),
            "The head was taken off, and nothing put in its place. Put a new `nn.Linear` there.",
        ),
        "head-frozen": Mistake(
            _headed(lambda model, n: _zeros(_dim(model), n).requires_grad_(False)),
            "The new head asks for no gradients, so it would stay zero for ever.",
            (
                _then(lambda model: model.head.weight.requires_grad_(False)),
                _then(lambda model: model.requires_grad_(False)),
            ),
        ),
        "backbone-frozen": Mistake(
            _then(_freezing),
            "The head is right, but the rest of the model was frozen as well. That is the next exercise; here only the head "
            "changes.",
        ),
        "backbone-thawed": Mistake(
            _then(lambda model: model.requires_grad_(True)),
            "The head is right, but what was frozen before asks for gradients now. Touch nothing but the head.",
        ),
        "all-zeroed": Mistake(
            _all_zeroed,
            "The whole model was filled with zeros. Only the new head begins so; all else was learned, and is what we came "
            "for.",
        ),
        "backbone-new": Mistake(
            _then(_anew),
            "The backbone has new numbers. What was learned in pre-training has to stay: only the head is exchanged.",
        ),
        "last-norm-gone": Mistake(
            _then(_without_last_norm),
            "The encoder's last norm has gone as well. It belongs to the backbone, and the head reads what it gives.",
        ),
        "copied": Mistake(_of_a_copy(replace_head), _COPIED),
        "returns-head": Mistake(
            lambda model, n: replace_head(model, n).head,
            "The head comes back alone. Return the model.",
            (lambda model, n: _zeros(_dim(model), n),),
        ),
        "unchanged": Mistake(lambda model, n: model, "The model comes back as it was, with its old head."),
        **_results(replace_head),
    },
)


# -- freeze_backbone


def _freeze_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 91)
    return [
        Case(
            _said(note, sizes),
            {"sizes": sizes, "frozen": frozen},
            forward={"images": _images(draw, sizes, 3)},
            train=train,
        )
        for note, sizes, frozen, train in _models(draw)
    ]


def _learning(asks: Callable[[str, nn.Module], bool]) -> Callable:
    """A freeze_backbone after which the parameters learn of which `asks(name, model)` is true."""

    def run(model: nn.Module) -> nn.Module:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(asks(name, model))
        return model

    return run


def _doing(change: Callable[[nn.Module], Any]) -> Callable:
    def run(model: nn.Module) -> nn.Module:
        change(model)
        return model

    return run


def _freezing_only(*parts: str) -> Callable:
    def change(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if name.startswith(parts):
                parameter.requires_grad_(False)

    return _doing(change)


def _set_on_modules(model: nn.Module) -> None:
    for child in model.children():
        if child is not model.head:
            child.requires_grad = False


def _misspelt(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not name.startswith("head"):
            parameter.require_grad = False


def _no_gradients_kept(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not name.startswith("head"):
            parameter.grad = None


def _emptied(model: nn.Module) -> None:
    freeze_backbone(model)
    for name, parameter in model.named_parameters():
        if not name.startswith("head"):
            parameter.data.zero_()


def _head_anew(model: nn.Module) -> None:
    freeze_backbone(model)
    replace_head(model, model.head.out_features)


def _without_gradients(model: nn.Module) -> None:
    forward = model.forward
    model.forward = torch.no_grad()(forward)


def _last_block(name: str, model: nn.Module) -> bool:
    last = len(model.encoder.blocks) - 1
    return name.startswith(("head", f"encoder.blocks.{last}.", "encoder.norm"))


FREEZE_BACKBONE = Exercise(
    name="freeze_backbone",
    lesson="09",
    points=1,
    reference=freeze_backbone,
    cases=_freeze_cases,
    observe=freeze,
    axes={"output": "image class"},
    hints=(
        "Whether a parameter learns is its own affair: `parameter.requires_grad`. Which parameters has the model? "
        "`model.named_parameters()` gives them all, with names.",
        "The CLS token belongs to no smaller module, so a loop over parts misses it. Freeze everything first.",
        "`model.requires_grad_(False)` freezes all, `model.head.requires_grad_(True)` lets the head learn again.",
    ),
    reasoning="All off, then the head on: so nothing can be forgotten, whatever the model is made of. Mode and gradients of "
    "earlier steps are other matters, and the lesson shows what comes of mixing them up.",
    mistakes={
        "head-frozen-too": Mistake(
            _learning(lambda name, model: False),
            "Everything is frozen, the head as well: nothing would learn at all.",
            (
                _doing(lambda model: [parameter.requires_grad_(False) for parameter in model.parameters()]),
                _doing(lambda model: [parameter.detach_() for parameter in model.parameters()]),
            ),
        ),
        "the-wrong-way-round": Mistake(
            _learning(lambda name, model: not name.startswith("head.")),
            "It is the other way round: your code freezes the head and lets all else learn.",
            (_freezing_only("head."),),
        ),
        "eval-for-frozen": Mistake(
            _doing(lambda model: model.eval()),
            "`eval()` switches dropout off. It freezes nothing: every parameter still asks for gradients, and an optimizer "
            "would move it. `requires_grad_(False)` freezes.",
            (
                _doing(lambda model: (model.eval(), model.head.train())),
                lambda model: model.eval(),
                lambda model: model.train(False),
            ),
        ),
        "misspelt": Mistake(
            _doing(_misspelt),
            "Nothing was frozen. Is it spelt rightly? Python lets you set any attribute, such as `require_grad`, or "
            "`requires_grad` of a *module*, and says nothing. On a module it is `requires_grad_(False)`, with `_`.",
            (
                _doing(_set_on_modules),
                _doing(lambda model: setattr(model, "requires_grad", False)),
                _doing(_no_gradients_kept),
                lambda model: model,
            ),
        ),
        "cls-token-learns": Mistake(
            _learning(lambda name, model: name.startswith(("head", "cls_token"))),
            "The CLS token still learns. It is a parameter of the model itself and lies in none of its parts, so a loop over "
            "the parts misses it.",
            (_freezing_only("embedding.", "positions.", "encoder."),),
        ),
        "cls-and-positions-learn": Mistake(
            _learning(lambda name, model: name.startswith(("head", "cls_token", "positions"))),
            "The CLS token and the positions still learn. Everything but the head is backbone.",
            (_freezing_only("embedding.", "encoder."),),
        ),
        "encoder-only": Mistake(
            _learning(lambda name, model: not name.startswith("encoder.")),
            "Only the encoder is frozen. Patch embedding, CLS token and positions were learned in pre-training, too: "
            "everything but the head is backbone.",
            (_freezing_only("encoder."), _freezing_only("encoder.blocks.")),
        ),
        "embedding-learns": Mistake(
            _learning(lambda name, model: name.startswith(("head", "embedding"))),
            "The patch embedding still learns. Everything but the head is backbone.",
            (_freezing_only("encoder.", "cls_token", "positions."),),
        ),
        "positions-learn": Mistake(
            _learning(lambda name, model: name.startswith(("head", "positions"))),
            "The positions still learn. Everything but the head is backbone.",
            (_freezing_only("encoder.", "cls_token", "embedding."),),
        ),
        "blocks-only": Mistake(
            _learning(lambda name, model: name.startswith(("head", "encoder.norm"))),
            "The encoder's last norm still learns. It belongs to the backbone: the head is the one `nn.Linear` at the end.",
            (_freezing_only("encoder.blocks.", "embedding.", "cls_token", "positions."),),
        ),
        "norms-learn": Mistake(
            _learning(lambda name, model: name.startswith("head") or "norm" in name),
            "The norms still learn. Some recipes want that; a frozen backbone is frozen all over.",
        ),
        "linears-only": Mistake(
            _learning(
                lambda name, model: (
                    name.startswith("head") or "norm" in name or name.startswith(("cls_token", "positions"))
                )
            ),
            "Only linear layers are frozen. Norms, CLS token and positions still learn.",
        ),
        "biases-learn": Mistake(
            _learning(lambda name, model: name.startswith("head") or name.endswith("bias")),
            "The biases of the backbone still learn. Freeze every parameter, those called `bias` as well.",
        ),
        "last-block-learns": Mistake(
            _learning(_last_block),
            "The last block still learns. Some recipes want that; here the head alone does.",
            (_learning(lambda name, model: _last_block(name, model) and not name.startswith("encoder.norm")),),
        ),
        "head-bias-frozen": Mistake(
            _learning(lambda name, model: name == "head.weight"),
            "The head's bias is frozen. All of the head learns, weight and bias.",
        ),
        "head-weight-frozen": Mistake(
            _learning(lambda name, model: name == "head.bias"),
            "Only the head's bias can learn. The weight belongs to the head, too; it comes before the bias in "
            "`model.parameters()`.",
        ),
        "toggled": Mistake(
            _doing(
                lambda model: [
                    parameter.requires_grad_(not parameter.requires_grad)
                    for name, parameter in model.named_parameters()
                    if not name.startswith("head")
                ]
            ),
            "Your code turns `requires_grad` round. What was frozen before learns again: set it to False, whatever it was.",
        ),
        "no-grad-in-forward": Mistake(
            _doing(_without_gradients),
            "No parameter was frozen; the model's forward pass runs without gradients instead. Then the head cannot learn "
            "either.",
            (_doing(lambda model: (freeze_backbone(model), _without_gradients(model))),),
        ),
        "numbers-gone": Mistake(
            _doing(_emptied),
            "Frozen it is, but the backbone's numbers are gone. What was learned before has to stay as it is.",
        ),
        "head-emptied": Mistake(
            _doing(_head_anew), "The head has new numbers. Here nothing is exchanged: only what learns is decided."
        ),
        "copied": Mistake(_of_a_copy(freeze_backbone), _COPIED),
        "returns-parameters": Mistake(
            lambda model: [one for one in freeze_backbone(model).parameters() if one.requires_grad],
            "The parameters come back. Return the model.",
            (lambda model: freeze_backbone(model).parameters(), lambda model: freeze_backbone(model).head.parameters()),
        ),
        "returns-head": Mistake(
            lambda model: freeze_backbone(model).head, "The head comes back alone. Return the model."
        ),
        **_results(freeze_backbone),
    },
)


# -- resize_positions

_GRIDS = (
    ((4, 5), (7, 9)),
    ((2, 8), (5, 11)),  # 16 patches, and no square
    ((9, 4), (6, 7)),  # 36 patches, and no square
    ((6, 7), (4, 3)),  # fewer than before: antialiasing would show
    ((5, 3), (3, 5)),  # as many as before
    ((3, 6), (3, 6)),
    ((8, 8), (12, 12)),
    ((7, 7), (3, 3)),
    ((2, 2), (3, 4)),
)


def _position_cases(seed: int) -> list[Case]:
    draw = Draw(seed + 92)
    cases = []
    for number, (old, new) in enumerate(_GRIDS):
        if seed and number < 5:  # other grids of the same kind
            more = draw.sizes(down=(0, 1, 2), across=(3, 4, 5))
            old, new = ((grid[0] + more[0] * (number != 4), grid[1] + more[1] * (number != 4)) for grid in (old, new))
            old, new = (_no_square(*old) if number in (1, 2) else old), new
        dim = draw.sizes(dim=(8, 10, 12, 14, 16))[0]
        positions = draw.normal(1, 1 + old[0] * old[1], dim)
        label = f"a grid of {old[0]} × {old[1]} to become {new[0]} × {new[1]}, {dim} numbers each"
        inputs = {"positions": positions, "old_grid": old, "new_grid": new}
        cases.append(Case(label, inputs, gradients=False))
    return cases


def _no_square(rows: int, columns: int) -> tuple[int, int]:
    """A grid near this one whose number of patches is a square though its sides differ."""
    return (2, 18) if rows < columns else (16, 4)


Grid = tuple[int, int]


def _resized(
    change: Callable[[Tensor, Grid], Tensor] | None = None,
    *,
    read: Callable[[Tensor, Grid], Tensor] | None = None,
    write: Callable[[Tensor, Grid], Tensor] | None = None,
    join: Callable[[Tensor, Tensor], Tensor] | None = None,
    split: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
) -> Callable:
    """A resize_positions of which single steps are other ones.

    Args:
        change: (1, D, h, w) and the new grid → (1, D, h', w').
        read: patches (1, N, D) and the old grid → (1, D, h, w).
        write: (1, D, h', w') and the new grid → (1, N', D).
        join: CLS (1, 1, D) and patches → the result.
        split: positions → CLS and patches.
    """

    def run(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
        cls, patches = (split or _split)(positions)
        grid = (change or _bicubic)((read or _read)(patches, old_grid), new_grid)
        return (join or _join)(cls, (write or _write)(grid, new_grid))

    return run


def _split(positions: Tensor) -> tuple[Tensor, Tensor]:
    return positions[:, :1], positions[:, 1:]


def _read(patches: Tensor, grid: Grid) -> Tensor:
    return patches.reshape(1, *grid, -1).permute(0, 3, 1, 2)


def _bicubic(grid: Tensor, size: Grid, **options: Any) -> Tensor:
    return F.interpolate(grid, size=size, **({"mode": "bicubic", "align_corners": False} | options))


def _write(grid: Tensor, size: Grid) -> Tensor:
    return grid.permute(0, 2, 3, 1).reshape(1, -1, grid.shape[1])


def _join(cls: Tensor, patches: Tensor) -> Tensor:
    return torch.cat([cls, patches], dim=1)


def _mode(mode: str, **options: Any) -> Callable:
    return _resized(lambda grid, size: F.interpolate(grid, size=size, mode=mode, **options))


def _square(patches: Tensor, grid: Grid) -> Tensor:
    side = math.isqrt(patches.shape[1])
    return _read(patches, (side, side))


def _cut(grid: Tensor, size: Grid) -> Tensor:
    """The corner of the grid; where it does not reach, its last row or column again."""
    rows = torch.arange(size[0]).clamp(max=grid.shape[2] - 1)
    columns = torch.arange(size[1]).clamp(max=grid.shape[3] - 1)
    return grid[:, :, rows][:, :, :, columns]


def _padded(grid: Tensor, size: Grid) -> Tensor:
    down, across = (max(0, new - old) for new, old in zip(size, grid.shape[2:], strict=True))
    return F.pad(grid, (0, across, 0, down))[:, :, : size[0], : size[1]]


def _tiled(grid: Tensor, size: Grid) -> Tensor:
    rows, columns = (torch.arange(new) % old for new, old in zip(size, grid.shape[2:], strict=True))
    return grid[:, :, rows][:, :, :, columns]


def _in_a_row(positions: Tensor, old_grid: Grid, new_grid: Grid, **options: Any) -> Tensor:
    """Along the sequence of patches, as if it were a line."""
    cls, patches = _split(positions)
    size = new_grid[0] * new_grid[1]
    line = F.interpolate(patches.mT, size=size, mode="linear", **options)
    return _join(cls, line.mT)


def _bicubic_row(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    cls, patches = _split(positions)
    line = _bicubic(patches.mT[:, :, None], (1, new_grid[0] * new_grid[1]))
    return _join(cls, line[:, :, 0].mT)


def _first_rows_of(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    count = 1 + new_grid[0] * new_grid[1]
    places = torch.arange(count).clamp(max=positions.shape[1] - 1)
    return positions[:, places]


def _padded_rows(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    count = 1 + new_grid[0] * new_grid[1]
    return F.pad(positions, (0, 0, 0, max(0, count - positions.shape[1])))[:, :count]


def _cls_in_the_row(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    count = 1 + new_grid[0] * new_grid[1]
    return F.interpolate(positions.mT, size=count, mode="linear").mT


def _features_as_rows(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    """The table of positions as if it were one picture: places down, features across."""
    cls, patches = _split(positions)
    size = (new_grid[0] * new_grid[1], positions.shape[2])
    return _join(cls, _bicubic(patches[:, None], size)[:, 0])


def _normed(positions: Tensor, old_grid: Grid, new_grid: Grid) -> Tensor:
    result = resize_positions(positions, old_grid, new_grid)
    return F.normalize(result, dim=-1) * positions.norm(dim=-1).mean()


RESIZE_POSITIONS = Exercise(
    name="resize_positions",
    lesson="09",
    points=2,
    reference=resize_positions,
    cases=_position_cases,
    axes={"positions": "one token feature", "output": "one token feature"},
    hints=(
        "The CLS token has no place in the picture: cut its position off, `positions[:, :1]`, and put it back in front at "
        "the end.",
        "`F.interpolate` wants pictures, (1, D, h, w): give the row of patches its grid back, `(h w) → h w`, and bring D to "
        "where channels stand.",
        '`F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=False)`, then '
        '`rearrange(grid, "one d h w -> one (h w) d")`, then `torch.cat([cls, patches], dim=1)`.',
    ),
    reasoning="Each of the D features is a little picture over the grid, and is enlarged like one. CLS stands outside the "
    "picture and stays. The grid's sides have to be told: a row of 36 may be 6 × 6 or 4 × 9.",
    mistakes={
        "bilinear": Mistake(
            _mode("bilinear", align_corners=False),
            'You interpolate bilinearly. Asked for is `mode="bicubic"`, which bends between the places.',
            (_mode("bilinear", align_corners=True), _mode("bilinear", antialias=True)),
        ),
        "nearest": Mistake(
            _mode("nearest"),
            "You take the nearest place's numbers, which is what `F.interpolate` does unless told otherwise. "
            'Asked for is `mode="bicubic"`.',
            (_mode("nearest-exact"),),
        ),
        "area": Mistake(
            _resized(F.adaptive_avg_pool2d),
            'You take the means of areas. Asked for is `mode="bicubic"`.',
        ),
        "corners-aligned": Mistake(
            _mode("bicubic", align_corners=True),
            "The corners are aligned: `align_corners=True`, as torchvision's own helper has it. Asked for is False: places "
            "are the middles of patches, and the corners of the picture lie outside of them.",
        ),
        "antialiased": Mistake(
            _mode("bicubic", align_corners=False, antialias=True),
            "Larger grids are right, smaller ones are not: there `antialias=True` takes means first. Leave it out.",
        ),
        "cls-dropped": Mistake(
            _resized(join=lambda cls, patches: patches), "The CLS token's position is missing: it goes in front."
        ),
        "cls-last": Mistake(
            _resized(join=lambda cls, patches: torch.cat([patches, cls], dim=1)),
            "The CLS token's position stands at the end. It belongs in front, as CLS does.",
        ),
        "cls-zero": Mistake(
            _resized(join=lambda cls, patches: _join(torch.zeros_like(cls), patches)),
            "The CLS token's position is zeros now. It has been learned, too: keep it as it is.",
        ),
        "cls-mean": Mistake(
            _resized(join=lambda cls, patches: _join(patches.mean(dim=1, keepdim=True), patches)),
            "The CLS token got the mean of the patches' positions. Its own is kept as it is.",
        ),
        "cls-first-patch": Mistake(
            _resized(join=lambda cls, patches: _join(patches[:, :1], patches)),
            "The CLS token got the first patch's position. Its own is kept as it is.",
        ),
        "cls-at-the-end-read": Mistake(
            _resized(split=lambda positions: (positions[:, -1:], positions[:, :-1])),
            "You take the last row for the CLS token's. It is the first: CLS stands in front.",
            (
                _resized(
                    split=lambda positions: (positions[:, -1:], positions[:, :-1]),
                    join=lambda cls, patches: torch.cat([patches, cls], dim=1),
                ),
            ),
        ),
        "last-patch-dropped": Mistake(
            _resized(split=lambda positions: (positions[:, :1], positions[:, :-1])),
            "CLS is read rightly, but the patches begin one row too early: the first of them is CLS. `positions[:, 1:]`.",
        ),
        "grid-transposed": Mistake(
            _resized(read=lambda patches, grid: _read(patches, grid[::-1])),
            "Height and width of the old grid have changed places: patches run row by row, (h, w).",
        ),
        "new-grid-transposed": Mistake(
            _resized(lambda grid, size: _bicubic(grid, size[::-1])),
            "Height and width of the new grid have changed places: `size=(h', w')`.",
        ),
        "both-transposed": Mistake(
            _resized(
                lambda grid, size: _bicubic(grid, size[::-1]),
                read=lambda patches, grid: _read(patches, grid[::-1]),
            ),
            "Height and width have changed places, in the old grid and in the new one. On square grids nobody notices.",
            (
                _resized(
                    read=lambda patches, grid: _read(patches, grid[::-1]).mT,
                    write=lambda grid, size: grid.permute(0, 3, 2, 1).reshape(1, -1, grid.shape[1]),
                ),
            ),
        ),
        "columns-first": Mistake(
            _resized(write=lambda grid, size: grid.permute(0, 3, 2, 1).reshape(1, -1, grid.shape[1])),
            "The new places are written column by column. Tokens run row by row.",
            (_resized(read=lambda patches, grid: _read(patches, grid[::-1]).mT),),
        ),
        "square-assumed": Mistake(
            _resized(read=_square),
            "Your code takes the square root of the number of patches for both sides. 36 patches may be 4 × 9: use "
            "`old_grid`.",
        ),
        "features-scrambled": Mistake(
            _resized(read=lambda patches, grid: patches.reshape(1, -1, *grid)),
            "The shape is right, but `reshape` alone made pictures of numbers that don't belong together. First the grid, "
            "`(h w) → h w`, then bring the features forward with `permute` or `rearrange`.",
        ),
        "features-scrambled-back": Mistake(
            _resized(write=lambda grid, size: grid.reshape(1, -1, grid.shape[1])),
            "The interpolation is right, but on the way back `reshape` alone mixes places and features. Bring the features "
            "to the end first, with `permute` or `rearrange`.",
        ),
        "scrambled-both-ways": Mistake(
            _resized(
                read=lambda patches, grid: patches.reshape(1, -1, *grid),
                write=lambda grid, size: grid.reshape(1, -1, grid.shape[1]),
            ),
            "`reshape` alone, there and back. The shapes fit, but each picture holds numbers of all features. Use `permute` "
            "or `rearrange`, both times.",
        ),
        "in-one-row": Mistake(
            _in_a_row,
            "You interpolate along the row of patches, in one dimension. The end of one row of the picture then blends into "
            "the beginning of the next: give them their grid back first.",
            (lambda *arguments: _in_a_row(*arguments, align_corners=True), _bicubic_row, _features_as_rows),
        ),
        "cls-in-the-row": Mistake(
            _cls_in_the_row,
            "You interpolate along the whole row, CLS included. CLS has no place in the picture: cut it off first, and give "
            "the patches their grid back.",
        ),
        "cut": Mistake(
            _resized(_cut),
            "You take the corner of the old grid. Then place (0, 0) is right, and all others stand for a smaller part of the "
            "picture: interpolate.",
        ),
        "padded": Mistake(
            _resized(_padded), "You put zeros where the old grid ends. Interpolate: the same picture, finer."
        ),
        "tiled": Mistake(
            _resized(_tiled), "You repeat the old grid beside itself. Interpolate: the same picture, finer."
        ),
        "rows-cut": Mistake(
            _first_rows_of,
            "You keep the first rows of the table as they are. Row by row they then stand for other places of the picture: "
            "give them their grid back, and interpolate.",
            (_padded_rows,),
        ),
        "zeros": Mistake(
            _resized(lambda grid, size: grid.new_zeros(*grid.shape[:2], *size)),
            "The new positions are zeros. They are to be made of the old ones.",
        ),
        "rescaled": Mistake(_normed, "The positions are interpolated, and then scaled. Leave their length as it is."),
        "unchanged": Mistake(
            lambda positions, old_grid, new_grid: positions, "The positions come back as they were given."
        ),
        "batch-axis-lost": Mistake(
            lambda *arguments: resize_positions(*arguments)[0],
            "The first axis, of size 1, is gone. Positions are (1, 1 + h·w, D).",
        ),
        **universal_mistakes(resize_positions, gradients=False, dtypes=False, layouts=False),
    },
)

EXERCISES = (REPLACE_HEAD, FREEZE_BACKBONE, RESIZE_POSITIONS)
