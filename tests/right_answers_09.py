"""Right answers of lesson 09 in different styles."""

import torch
import torch.nn.functional as F
from einops import rearrange
from einops.layers.torch import Rearrange
from torch import nn

# -- replace_head


def head_by_init(model, num_classes):
    model.head = nn.Linear(model.head.in_features, num_classes)
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    return model


def head_by_constant(vit, k):
    head = nn.Linear(vit.cls_token.shape[-1], k)
    nn.init.constant_(head.weight, 0.0)
    nn.init.constant_(head.bias, 0.0)
    vit.head = head
    return vit


def head_by_data(model, num_classes):
    model.head = nn.Linear(model.head.weight.size(1), num_classes, bias=True)
    for parameter in model.head.parameters():
        parameter.data.zero_()
    return model


def head_by_parameters(model, num_classes):
    dim = model.encoder.norm.normalized_shape[0]
    head = nn.Linear(dim, num_classes)
    head.weight = nn.Parameter(torch.zeros(num_classes, dim))
    head.bias = nn.Parameter(torch.zeros(num_classes))
    setattr(model, "head", head)  # noqa: B010
    return model


def head_by_no_grad(model, num_classes):
    old = model.head
    new = nn.Linear(old.in_features, num_classes).to(old.weight)
    with torch.no_grad():
        new.weight.fill_(0)
        new.bias *= 0
    del model.head
    model.head = new
    return model


def head_by_state(model, num_classes):
    new = nn.Linear(model.head.in_features, num_classes)
    new.load_state_dict({name: torch.zeros_like(value) for name, value in new.state_dict().items()})
    model._modules["head"] = new
    return model


class ZeroHead(nn.Linear):
    def reset_parameters(self):
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


def head_of_a_subclass(model, num_classes):
    model.head = ZeroHead(model.head.in_features, num_classes)
    return model


def head_made_anew(model, num_classes):
    """The old layer, told everything anew."""
    dim = model.head.in_features
    model.head.__init__(dim, num_classes)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    return model


def head_by_registering(model, num_classes):
    model.register_module("head", nn.Linear(model.head.in_features, num_classes).apply(_zeroed))
    return model.train()


@torch.no_grad()
def _zeroed(layer):
    layer.weight.copy_(torch.zeros_like(layer.weight))
    layer.bias.copy_(torch.zeros_like(layer.bias))


# -- freeze_backbone


def freeze_and_thaw(model):
    model.requires_grad_(False)
    model.head.requires_grad_(True)
    return model


def freeze_by_name(model):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("head.")
    return model


def freeze_if_not_head(model):
    for name, parameter in model.named_parameters():
        if "head" not in name:
            parameter.requires_grad = False
    return model


def freeze_but_the_last_two(model):
    for parameter in list(model.parameters())[:-2]:
        parameter.requires_grad_(False)
    return model.eval()


def freeze_by_parts(model):
    for part in (model.embedding, model.positions, model.encoder):
        for parameter in part.parameters():
            parameter.requires_grad = False
    model.cls_token.requires_grad = False
    return model


def freeze_by_identity(model):
    learning = {id(parameter) for parameter in model.head.parameters()}
    for parameter in model.parameters():
        if id(parameter) not in learning:
            parameter.requires_grad_(False)
            parameter.grad = None
    return model


def freeze_by_children(model):
    for name, child in model.named_children():
        child.requires_grad_(name == "head")
        child.train(name == "head")
    for parameter in model._parameters.values():
        parameter.requires_grad_(False)
    return model


def freeze_by_detaching(model):
    head = set(model.head.parameters())
    for parameter in model.parameters():
        if parameter not in head:
            parameter.detach_()
    return model


# -- resize_positions


def resize_with_permute(positions, old_grid, new_grid):
    cls, patches = positions[:, :1], positions[:, 1:]
    h, w = old_grid
    grid = patches.reshape(1, h, w, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=new_grid, mode="bicubic", align_corners=False)
    return torch.cat((cls, grid.permute(0, 2, 3, 1).flatten(1, 2)), 1)


def resize_with_split(positions, old, new):
    cls, patches = positions.split([1, old[0] * old[1]], dim=1)
    grid = patches.transpose(1, 2).unflatten(2, old)
    grid = nn.functional.interpolate(grid, tuple(new), None, "bicubic")
    return torch.cat([cls, grid.flatten(2).transpose(1, 2)], dim=1)


def resize_with_upsample(positions, old_grid, new_grid):
    h, w = old_grid
    grid = rearrange(positions[0, 1:], "(h w) d -> 1 d h w", h=h, w=w)
    grid = nn.Upsample(size=new_grid, mode="bicubic", align_corners=False)(grid)
    return torch.cat([positions[:, :1], rearrange(grid, "1 d h w -> 1 (h w) d")], dim=1)


def resize_by_feature(positions, old_grid, new_grid):
    out = positions.new_empty(1, 1 + new_grid[0] * new_grid[1], positions.shape[-1])
    out[:, 0] = positions[:, 0]
    for d in range(positions.shape[-1]):
        picture = positions[0, 1:, d].reshape(1, 1, *old_grid)
        out[0, 1:, d] = F.interpolate(picture, new_grid, mode="bicubic", align_corners=False).flatten()
    return out


def _weights(old, new):
    """The matrix (new, old) of Keys' cubic kernel with a = -0.75; the border is repeated."""
    a = -0.75
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        place = (i + 0.5) * old / new - 0.5
        first = int(place // 1)
        for k in range(first - 1, first + 3):
            x = abs(place - k)
            if x <= 1:
                weight = (a + 2) * x**3 - (a + 3) * x**2 + 1
            else:
                weight = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
            matrix[i, min(max(k, 0), old - 1)] += weight
    return matrix


def resize_by_matrices(positions, old_grid, new_grid):
    rows, columns = (_weights(old, new).to(positions.dtype) for old, new in zip(old_grid, new_grid, strict=True))
    grid = positions[:, 1:].unflatten(1, old_grid)
    resized = torch.einsum("ij,kl,bjld->bikd", rows, columns, grid)
    return torch.cat([positions[:, :1], resized.flatten(1, 2)], dim=1)


@torch.no_grad()
def resize_without_gradients(positions, old_grid, new_grid):
    cls, patches = positions[:, 0], positions[:, 1:]
    grid = Rearrange("b (h w) d -> b d h w", h=old_grid[0])(patches)
    grid = F.interpolate(grid, size=[*new_grid], mode="bicubic", antialias=False)
    return nn.Parameter(torch.cat([cls[:, None], grid.flatten(2).mT], dim=1))


def resize_or_keep(positions, old_grid, new_grid):
    if tuple(old_grid) == tuple(new_grid):
        return positions.clone()
    return resize_with_permute(positions.detach(), old_grid, new_grid)


def resize_rows_then_columns(positions, old_grid, new_grid):
    grid = positions[:, 1:].reshape(1, old_grid[0], old_grid[1], -1).movedim(-1, 1)
    grid = F.interpolate(grid, (new_grid[0], old_grid[1]), mode="bicubic", align_corners=False)
    grid = F.interpolate(grid, (new_grid[0], new_grid[1]), mode="bicubic", align_corners=False)
    return torch.hstack([positions[:, :1], grid.movedim(1, -1).reshape(1, -1, positions.shape[-1])])


RIGHT_ANSWERS = {
    "replace_head": (
        head_by_init,
        head_by_constant,
        head_by_data,
        head_by_parameters,
        head_by_no_grad,
        head_by_state,
        head_of_a_subclass,
        head_made_anew,
        head_by_registering,
    ),
    "freeze_backbone": (
        freeze_and_thaw,
        freeze_by_name,
        freeze_if_not_head,
        freeze_but_the_last_two,
        freeze_by_parts,
        freeze_by_identity,
        freeze_by_children,
        freeze_by_detaching,
    ),
    "resize_positions": (
        resize_with_permute,
        resize_with_split,
        resize_with_upsample,
        resize_by_feature,
        resize_by_matrices,
        resize_without_gradients,
        resize_or_keep,
        resize_rows_then_columns,
    ),
}
