"""Right answers of lesson 08 in different styles."""

import math
import random

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from vit_course import training

# -- random_crop_flip


def crop_by_loop(images, padding=4):
    _, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    out = []
    for image in padded:
        top = torch.randint(0, 2 * padding + 1, (1,)).item()
        left = torch.randint(0, 2 * padding + 1, (1,)).item()
        crop = image[:, top : top + height, left : left + width]
        if torch.rand(1).item() < 0.5:
            crop = torch.flip(crop, dims=(2,))
        out.append(crop)
    return torch.stack(out)


def crop_with_pythons_random(images, pad=4):
    out = torch.zeros_like(images)
    _, _, height, width = images.shape
    for index, image in enumerate(images):
        if random.random() > 0.5:
            image = image.flip(-1)
        down, across = random.randint(-pad, pad), random.randint(-pad, pad)
        rows = slice(max(0, down), min(height, height + down))
        columns = slice(max(0, across), min(width, width + across))
        to_rows = slice(max(0, -down), min(height, height - down))
        to_columns = slice(max(0, -across), min(width, width - across))
        out[index, :, to_rows, to_columns] = image[:, rows, columns]
    return out


def crop_with_numpy(images, padding=4):
    batch, channels, height, width = images.shape
    padded = images.new_zeros(batch, channels, height + 2 * padding, width + 2 * padding)
    padded[:, :, padding : padding + height, padding : padding + width] = images
    tops, lefts = np.random.randint(0, 2 * padding + 1, size=(2, batch))
    crops = [padded[i, :, t : t + height, s : s + width] for i, (t, s) in enumerate(zip(tops, lefts, strict=True))]
    crops = torch.stack(crops)
    chosen = torch.from_numpy(np.random.rand(batch) < 0.5)
    crops[chosen] = crops[chosen].flip(3)
    return crops


def crop_by_gather(images, padding=4):
    batch, channels, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    offsets = torch.randint(2 * padding + 1, (batch, 2))
    rows = (offsets[:, :1] + torch.arange(height))[:, None, :, None].expand(-1, channels, -1, padded.shape[-1])
    cut = padded.gather(2, rows)
    columns = (offsets[:, 1:] + torch.arange(width))[:, None, None, :].expand(-1, channels, height, -1)
    cut = cut.gather(3, columns)
    coin = torch.randint(2, (batch, 1, 1, 1)).bool()
    return torch.where(coin, cut.flip(3), cut)


def crop_by_windows(images, padding=4):
    """All crops at once, then one of each."""
    batch, _, height, width = images.shape
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    places = torch.randint(0, 2 * padding + 1, (2, batch))
    cut = windows[torch.arange(batch), :, places[0], places[1]]
    return torch.stack([one.flip(-1) if torch.rand(()) < 0.5 else one for one in cut])


def crop_with_torchvision(images, padding=4):
    from torchvision.transforms import v2

    change = v2.Compose([v2.RandomCrop(images.shape[-2:], padding=padding), v2.RandomHorizontalFlip()])
    return torch.stack([change(image) for image in images])


def crop_by_floor(images, padding=4):
    """Offsets from uniform numbers; the flip first."""
    batch, _, height, width = images.shape
    mirrored = torch.bernoulli(torch.full((batch,), 0.5)).bool()
    images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip((-1,)), images)
    padded = F.pad(images, (padding,) * 4, mode="constant", value=0)
    tops, lefts = (torch.rand(2, batch) * (2 * padding + 1)).floor().long().tolist()
    return torch.cat([
        padded[i : i + 1, :, tops[i] : tops[i] + height, lefts[i] : lefts[i] + width] for i in range(batch)
    ])  # fmt: skip


def crop_by_roll(images, padding=4):
    """Rolled inside the frame, then cut from its middle."""
    padded = F.pad(images, (padding,) * 4)
    height, width = images.shape[-2:]
    moved = []
    for image in padded:
        shifts = (torch.randint(-padding, padding + 1, (2,))).tolist()
        image = torch.roll(image, shifts, dims=(1, 2))[:, padding : padding + height, padding : padding + width]
        moved.append(image.flip(2) if torch.randn(()) > 0 else image)
    return torch.stack(moved)


# -- warmup_cosine


def rate_by_branches(step, total, warmup, peak):
    if step < warmup:
        lr = peak * (step + 1) / warmup
    else:
        progress = (step - warmup) / (total - warmup)
        lr = peak / 2 * (math.cos(progress * math.pi) + 1)
    return lr


def rate_by_square(step, total_steps, warmup_steps, peak_lr):
    """cos² of half the angle."""
    if step >= warmup_steps:
        return peak_lr * math.cos(math.pi / 2 * (step - warmup_steps) / (total_steps - warmup_steps)) ** 2
    return (step + 1) * (peak_lr / warmup_steps)


def rate_with_numpy(step, total_steps, warmup_steps, peak_lr):
    rise = (step + 1) / warmup_steps if warmup_steps > 0 else 1.0
    t = np.clip((step - warmup_steps) / (total_steps - warmup_steps), 0, 1)
    return peak_lr * (rise if step < warmup_steps else 0.5 * (1 + np.cos(np.pi * t)))


def rate_by_tensor(step, total_steps, warmup_steps, peak_lr):
    if step < warmup_steps:
        return peak_lr * (step + 1) / warmup_steps
    t = torch.tensor((step - warmup_steps) / (total_steps - warmup_steps))
    return (peak_lr * 0.5 * (1 + torch.cos(torch.pi * t))).item()


def rate_ends_by_hand(step, total_steps, warmup_steps, peak_lr):
    if step == total_steps:
        return 0
    if step < warmup_steps:
        return peak_lr * min(1, (step + 1) / warmup_steps)
    left = (total_steps - step) / (total_steps - warmup_steps)
    return peak_lr * (1 - math.cos(math.pi * left)) / 2


def rate_by_min(step, total_steps, warmup_steps, peak_lr):
    """The rise is over 1 after the warm-up, the cosine's clock stands still before."""
    rise = min((step + 1) / max(1, warmup_steps), 1.0)
    t = max(0, step - warmup_steps) / (total_steps - warmup_steps)
    return peak_lr * rise * (0.5 + 0.5 * math.cos(math.pi * t))


# -- mixup


def mix_by_scatter(images, labels, lam, permutation, num_classes):
    targets = torch.zeros(len(labels), num_classes)
    targets.scatter_add_(1, labels[:, None], torch.full((len(labels), 1), float(lam)))
    targets.scatter_add_(1, labels[permutation][:, None], torch.full((len(labels), 1), 1.0 - lam))
    return lam * images + (1 - lam) * images[permutation], targets


def mix_by_lerp(images, labels, lam, permutation, num_classes):
    one_hot = F.one_hot(labels, num_classes).to(images.dtype)
    return torch.lerp(images[permutation], images, lam), torch.lerp(one_hot[permutation], one_hot, lam)


def mix_by_loop(images, labels, lam, permutation, num_classes):
    mixed, targets = [], []
    for i, j in enumerate(permutation.tolist()):
        mixed.append(lam * images[i] + (1 - lam) * images[j])
        row = torch.zeros(num_classes, dtype=torch.float64)
        row[labels[i]] += lam
        row[labels[j]] += 1 - lam
        targets.append(row)
    return torch.stack(mixed), torch.stack(targets)


def mix_by_eye(images, labels, lam, permutation, num_classes):
    table = torch.eye(num_classes)
    other = images.index_select(0, permutation)
    return other + lam * (images - other), lam * table[labels] + (1 - lam) * table[labels[permutation]]


def mix_as_list(images, labels, lam, permutation, num_classes):
    def blend(x):
        return x * lam + x[permutation] * (1.0 - lam)

    return [blend(images), blend(F.one_hot(labels, num_classes))]


def mix_by_matrix(images, labels, lam, permutation, num_classes):
    """Both are one matrix times the batch."""
    eye = torch.eye(len(labels), dtype=images.dtype)
    weights = lam * eye + (1 - lam) * eye[permutation]
    flat = rearrange(images, "b c h w -> b (c h w)")
    mixed = (weights @ flat).reshape(images.shape)
    return mixed, weights @ F.one_hot(labels, num_classes).to(images.dtype)


# -- train_step


def step_zero_first(model, optimizer, images, targets):
    optimizer.zero_grad()
    model.train()
    logits = model(images)
    loss = nn.CrossEntropyLoss()(logits, targets)
    loss.backward()
    optimizer.step()
    return loss.item()


def step_zero_last(model, opt, x, y):
    model.train(True)
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    opt.step()
    opt.zero_grad(set_to_none=True)
    return loss.detach()


def step_zero_model(model, optimizer, images, targets):
    model.train()
    model.zero_grad(set_to_none=False)
    loss = F.cross_entropy(model(images), targets, reduction="none").mean()
    loss.backward()
    optimizer.step()
    return float(loss)


def step_log_softmax(model, optimizer, images, targets):
    model.train()
    scores = F.log_softmax(model(images), dim=-1)
    if targets.ndim == 1:
        targets = F.one_hot(targets, scores.shape[-1]).to(scores.dtype)
    loss = -(targets * scores).sum(dim=-1).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.data


def step_closure(model, optimizer, images, targets):
    def closure():
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), targets)
        loss.backward()
        return loss

    return optimizer.step(closure).detach()


def step_autograd(model, optimizer, images, targets):
    model.train()
    loss = F.cross_entropy(model(images), targets)
    parameters = list(model.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.detach().double()


def step_twice_softmax(model, optimizer, images, targets):
    """A log-softmax before the cross-entropy changes nothing: its own leaves it as it is."""
    was = model.training
    model.train()
    loss = F.cross_entropy(model(images).log_softmax(1), targets)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None
    loss.backward()
    optimizer.step()
    model.train(was)
    return loss.detach().clone()


# -- accuracy


def right_by_max(logits, labels):
    _, predicted = torch.max(logits, 1)
    correct = (predicted == labels).sum().item()
    return correct / labels.size(0)


def right_by_topk(logits, labels):
    return logits.topk(1).indices.squeeze(1).eq(labels).to(torch.float64).mean()


def right_by_loop(logits, labels):
    right = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        right += row.index(max(row)) == label
    return right / len(labels)


def right_in_half(logits, labels):
    return (logits.softmax(-1).argmax(-1) == labels).half().mean()


def right_with_numpy(logits, labels):
    return np.mean(logits.numpy().argmax(axis=1) == labels.numpy())


def right_by_gather(logits, labels):
    best = logits.max(dim=-1, keepdim=True).values
    return (logits.gather(1, labels[:, None]) >= best).float().mean().item()


def right_by_nonzero(logits, labels):
    wrong = torch.count_nonzero(logits.argmax(1) - labels)
    return 1 - wrong / len(labels)


RIGHT_ANSWERS = {
    "random_crop_flip": [
        *(training.random_crop_flip, crop_by_loop, crop_with_pythons_random, crop_with_numpy, crop_by_gather),
        *(crop_by_windows, crop_with_torchvision, crop_by_floor, crop_by_roll),
    ],
    "warmup_cosine": [
        *(training.warmup_cosine, rate_by_branches, rate_by_square, rate_with_numpy, rate_by_tensor),
        *(rate_ends_by_hand, rate_by_min),
    ],
    "mixup": [training.mixup, mix_by_scatter, mix_by_lerp, mix_by_loop, mix_by_eye, mix_as_list, mix_by_matrix],
    "train_step": [
        *(training.train_step, step_zero_first, step_zero_last, step_zero_model, step_log_softmax, step_closure),
        *(step_autograd, step_twice_softmax),
    ],
    "accuracy": [
        *(training.accuracy, right_by_max, right_by_topk, right_by_loop, right_in_half, right_with_numpy),
        *(right_by_gather, right_by_nonzero),
    ],
}
