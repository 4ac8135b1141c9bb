"""Recipes, the pieces of training, and what the loop does when something is wrong."""

import dataclasses
import errno
import math
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from small_training import FULL, SMALL, STEPS, Recorded, images, same, weights
from torch import nn

from vit_course import ImageSet, load_images, paths
from vit_course.experiments.rivals import GridPositions
from vit_course.hybrids import RelativeAttention
from vit_course.training import (
    RECIPES,
    Recipe,
    TrainingError,
    accuracy,
    chance,
    evaluate,
    train,
    train_step,
    warmup_cosine,
)
from vit_course.training.expectations import CURVES
from vit_course.training.optimizers import optimizer_for
from vit_course.training.reporting import Report
from vit_course.training.snapshots import Snapshots


def run(recipe=SMALL, **options):
    return train(recipe, images(), images("test"), **{"report": Report(), "device": "cpu", **options})


# -- the pieces


def test_the_learning_rate_goes_up_in_a_line_and_down_on_a_cosine():
    rates = [warmup_cosine(step, 20, 4, 2.0) for step in range(21)]
    assert rates[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[12] == pytest.approx(1.0) and rates[20] == pytest.approx(0)
    assert rates[8] == pytest.approx(1 + math.cos(math.pi / 4))
    assert warmup_cosine(0, 1, 0, 3.0) == 3.0
    for step, total, warmup in ((21, 20, 4), (-1, 20, 4), (0, 20, 20), (0, 20, -1)):
        with pytest.raises(ValueError, match="needs 0 ≤ warmup_steps"):
            warmup_cosine(step, total, warmup, 1.0)


@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_a_step_learns_and_returns_the_loss_before_it(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    x, labels = torch.randn(5, 3, 2, 2), torch.tensor([0, 1, 2, 0, 1])
    targets = labels if kind == "labels" else nn.functional.one_hot(labels, 3).float()
    before = nn.functional.cross_entropy(model(x), labels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model[1].weight.grad = torch.full((3, 12), 1e6)  # left over: must not count
    loss = train_step(model, optimizer, x, targets)
    assert loss.item() == pytest.approx(before.item()) and not loss.requires_grad
    assert model.training
    assert nn.functional.cross_entropy(model(x), labels) < before


def test_clipping_bounds_the_gradient():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    before = model[1].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    train_step(model, optimizer, 1e4 * torch.randn(5, 3, 2, 2), torch.tensor([0, 1, 2, 0, 1]), clip=0.01)
    assert 0 < (model[1].weight - before).norm() <= 0.01 + 1e-6


def test_accuracy():
    assert accuracy(torch.tensor([[1.0, 2], [3, 0], [0, 1]]), torch.tensor([1, 0, 0])) == 2 / 3


@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_is_without_dropout_and_keeps_the_mode(mode):
    model = replace(SMALL, dropout=0.9).build(10).train(mode)
    test = images("test")
    assert evaluate(model, test) == evaluate(model, test, batch_size=7)
    assert model.training is mode


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"optimizer": "adamx"}, "optimizer is one of 'adamw'"),
        ({"precision": "int8"}, "precision is one of"),
        ({"sizes": (16, 24)}, "sizes end with the image_size, 32"),
        ({"sizes": (18, 32)}, "multiples of the patch_size"),
        ({"epochs": 0}, "epochs > 0"),
        ({"epochs": math.inf}, "epochs > 0"),
        ({"warmup": 1.0}, "0 ≤ warmup < 1"),
        ({"heads": 0}, "heads, mlp_dim and all sizes are 1 or more"),
        ({"sizes": (0, 32)}, "sizes are 1 or more"),
        ({"padding": -1}, "padding are 0 or more"),
        ({"lr": math.nan}, "rates, weight_decay"),
        ({"betas": (0.9,)}, "betas are two numbers"),
        ({"label_smoothing": 3.0}, "label_smoothing and ema are from 0 to 1"),
        ({"dropout": math.nan}, "dropout is from 0 to 1"),
        ({"dim": 12.5}, "depth, heads, batch_size, seed and padding are whole numbers"),
        ({"dim": 15}, "dim is a multiple of heads; got 15 and 2"),
        ({"seed": 10**20}, "the seed has at most 63 bits"),
        ({"dim": "96"}, "depth, heads, batch_size, seed and padding are whole numbers"),
        ({"seed": "a"}, "depth, heads, batch_size, seed and padding are whole numbers"),
        ({"lr": None}, "rates, betas, .* are numbers"),
        ({"epochs": "3"}, "rates, betas, .* are numbers"),
        ({"sizes": 32}, "sizes and betas are tuples"),
    ],
)
def test_an_impossible_recipe_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **wrong)


def test_numbers_of_numpy_become_plain_ones():
    recipe = replace(SMALL, lr=np.float64(3e-3), seed=np.int64(0), epochs=torch.tensor(3), betas=[np.float32(0.5), 0.9])
    plain = replace(SMALL, betas=(0.5, 0.9))
    assert recipe == plain and repr(recipe) == repr(plain)


def test_an_untrained_model_is_the_seeds_alone(monkeypatch):
    def seeds_gpus_too(seed):
        raise AssertionError("nobody puts back the random numbers of a GPU")

    monkeypatch.setattr(torch, "manual_seed", seeds_gpus_too)
    assert same(SMALL.build(10).state_dict(), SMALL.build(10).state_dict())
    assert not same(SMALL.build(10).state_dict(), replace(SMALL, seed=1).build(10).state_dict())


# -- the loop


def test_it_learns():
    train_images = load_images("shapes", limit=1_000)
    recipe = replace(
        SMALL, dim=32, mlp_dim=64, patch_size=8, epochs=8, positions="sincos", optimizer="muon", padding=None
    )
    losses = [train(replace(recipe, seed=seed), train_images, report=Report(), device="cpu").losses for seed in (0, 1)]
    for of_a_run in losses:  # chance is ln 10 = 2.30
        assert sum(of_a_run[-20:]) / 20 < 2.05


def test_the_seed_decides_all_and_nothing_else_does(tmp_path):
    first = run(FULL)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = run(FULL, folder=tmp_path, save_seconds=0, evaluations=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(weights(first), weights(again)) and first.losses == again.losses
    assert not same(weights(first), weights(run(replace(FULL, seed=1))))


def test_the_random_numbers_of_other_devices_are_left_alone(monkeypatch):
    def seeds_gpus_too(seed):
        raise AssertionError("nobody puts back the random numbers of a GPU")

    monkeypatch.setattr(torch, "manual_seed", seeds_gpus_too)
    assert run(FULL).steps == STEPS


def test_the_random_numbers_of_an_apple_gpu_are_put_back(monkeypatch):
    states, device = ["the caller's"], torch.device("mps")
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    monkeypatch.setattr(torch.mps, "manual_seed", states.append)
    with chance.borrowed(device):
        chance.seed(7, device)
    assert states == ["the caller's", 7, "the caller's"]


def test_what_comes_out():
    trained = run(evaluations=4)
    assert trained.steps == len(trained.losses) == STEPS
    assert [step for step, _, _ in trained.evaluations] == [6, 12, 18, 24]
    assert trained.accuracy == trained.evaluations[-1][2] == evaluate(trained.model, images("test"))
    assert not trained.model.training and trained.seconds > 0
    assert math.isnan(train(SMALL, images(), report=Report(), device="cpu").accuracy)


def test_a_model_grows_and_ends_at_full_size():
    sizes = []

    class Watched(Report):
        def step(self, run):
            sizes.append(run.model.image_size[0])

    trained = run(FULL, evaluations=STEPS, report=Watched())
    assert sorted(set(sizes)) == [16, 24, 32] and sizes == sorted(sizes)
    assert trained.model.image_size == (32, 32)


def test_minutes_are_turned_into_steps():
    report = Recorded()
    trained = train(SMALL, images(), minutes=0.02, report=report, device="cpu")
    assert report.seconds[0] == pytest.approx(1.2, rel=0.2)
    assert trained.steps > 5


def test_weight_decay_is_for_matrices_only():
    model = SMALL.build(10)
    model.encoder.blocks[0].attention = RelativeAttention(16, 2, 8, 8)  # its bias is a matrix, and a bias
    model.positions = GridPositions(8, 8, 16)  # in three tables
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for optimizer in ("adamw", "muon", "sgd", "adam"):
        groups = optimizer_for(replace(SMALL, optimizer=optimizer, weight_decay=0.3), model).param_groups
        found = [names[id(p)] for group in groups for p in group["params"]]
        assert sorted(found) == sorted(names.values())
        for group in groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                decays = name.endswith("weight") and "norm" not in name
                assert (group["weight_decay"] > 0) is decays, name
                hidden = decays and name.startswith("encoder.")
                assert group.get("muon", False) is (hidden and optimizer == "muon"), name
                assert group.get("stacked", 1) == (3 if optimizer == "muon" and "qkv.weight" in name else 1)


def test_it_also_runs_outside_the_main_thread():
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run().steps))
    thread.start()
    thread.join()
    assert ended == [STEPS]


class StopsAfter(Report):
    def __init__(self, step: int) -> None:
        self.last = step

    def step(self, run):
        if run.step == self.last:
            raise KeyboardInterrupt


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_half_precision_learns_and_goes_on_bit_for_bit(tmp_path, precision, optimizer):
    recipe = replace(FULL, precision=precision, optimizer=optimizer)
    whole = run(recipe)
    assert whole.precision == precision and whole.losses[-1] < whole.losses[0]
    assert whole.losses == pytest.approx(run(replace(recipe, precision="float32")).losses, rel=0.02)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, folder=tmp_path, save_seconds=0, evaluations=STEPS, report=StopsAfter(9))
    kept = Snapshots.read(Snapshots(tmp_path).paths()[0])
    assert (kept["scaler"] is not None) is (precision == "float16")
    again = run(recipe, folder=tmp_path)
    assert same(weights(again), weights(whole)) and again.losses == whole.losses


@pytest.mark.parametrize(("before", "now"), [("bfloat16", "float16"), ("float16", "bfloat16")])
def test_a_run_that_moves_to_another_device_goes_on_and_says_so(tmp_path, monkeypatch, before, now):
    recipe, report = replace(SMALL, precision="auto"), Recorded()
    monkeypatch.setattr("vit_course.profiles.precision", lambda wanted, device: getattr(torch, before))
    with pytest.raises(KeyboardInterrupt):
        run(recipe, folder=tmp_path, save_seconds=0, evaluations=STEPS, report=StopsAfter(9))
    monkeypatch.setattr("vit_course.profiles.precision", lambda wanted, device: getattr(torch, now))
    moved = run(recipe, folder=tmp_path, report=report)
    assert moved.steps == STEPS and moved.precision == now
    assert f"was in {before} until there, and goes on in {now}" in report.notices[-1]


def test_float32_needs_no_autocast(monkeypatch):
    """Older torch refuses it on Apple's MPS even where it is not enabled."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: pytest.fail("autocast in float32"))
    assert run().steps == STEPS


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_model_of_ones_own_is_trained(optimizer):
    from torchvision.models import VisionTransformer

    model = VisionTransformer(32, 8, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=16, num_classes=10)
    assert run(replace(SMALL, optimizer=optimizer), model=model).model is model
    with pytest.raises(ValueError, match=r"a model of another kind is trained with sizes=\(\)"):
        run(replace(FULL, optimizer=optimizer), model=model)


class Compiled(nn.Module):
    """Stands in for what `torch.compile` makes, which takes half a minute here."""

    calls: ClassVar[list[int]] = []

    def __init__(self, model: nn.Module, dynamic: bool) -> None:
        super().__init__()
        self.model = model

    def forward(self, images):
        self.calls.append(images.shape[-1])
        return self.model(images)


class NotCompiled(Compiled):
    def forward(self, images):
        raise RuntimeError("Cannot find a working triton installation")


def test_a_compiled_run_ends_alike(monkeypatch):
    monkeypatch.setattr(torch, "compile", Compiled)
    monkeypatch.setattr(Compiled, "calls", calls := [])
    whole = run(replace(FULL, compile=True))
    assert len(calls) >= STEPS and set(calls) == {16, 24, 32}
    assert same(weights(whole), weights(run(FULL)))


def test_where_compiling_fails_it_is_said(monkeypatch):
    monkeypatch.setattr(torch, "compile", NotCompiled)
    with pytest.raises(TrainingError, match=r"torch.compile does not work here .* Take compile=False"):
        run(replace(SMALL, compile=True))
    # Where it was our own idea, as on a GPU, training goes on.
    report = Recorded()
    monkeypatch.setattr("vit_course.training.loop._wants_compiling", lambda run: True)
    assert run(report=report).steps == STEPS
    assert report.notices == ["torch.compile does not work here; training goes on without it."]


# -- what is wrong


def test_images_that_do_not_fit_are_refused():
    small = images()
    cut = dataclasses.replace(small, images=small.images[..., :16, :16])
    with pytest.raises(ValueError, match=r"these have 16 × 16: load_images\(…, size=32\)"):
        train(SMALL, cut, report=Report())
    with pytest.raises(ValueError, match="a batch takes 300 images and there are 256"):
        train(replace(SMALL, batch_size=300), small, report=Report())
    none = small.some(slice(0))
    for test in (cut, load_images("where", limit=10), none):
        with pytest.raises(ValueError, match="the test images are not of the kind to learn from"):
            train(SMALL, small, test, report=Report())


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf])
def test_impossible_minutes_are_refused(minutes):
    with pytest.raises(ValueError, match="minutes are more than 0"):
        run(minutes=minutes)


@pytest.mark.parametrize("device", ["cuda:7", "gpu"])
def test_a_device_that_is_not_here_is_said(device):
    with pytest.raises(ValueError, match=f"{device} is not to be had here .* Leave `device` out"):
        run(device=device)


def test_a_model_that_does_not_fit_is_said():
    with pytest.raises(TrainingError, match=r"not enough memory for the model on .* Take a smaller dim"):
        run(replace(SMALL, mlp_dim=10**11))


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_a_loss_that_is_no_number_is_said_and_snapshots_stay(tmp_path, optimizer):
    recipe = replace(SMALL, optimizer=optimizer, lr=1e30, muon_lr=1e30, clip=0, warmup=0.5)
    with pytest.raises(
        TrainingError, match=r"the loss is no number any more \(step \d+ of 24\)\. Take a lower learning"
    ):
        run(recipe, folder=tmp_path, save_seconds=0)
    for path in Snapshots(tmp_path).paths():
        state = Snapshots.read(path)
        assert all(weight.isfinite().all() for weight in state["model"].values())


class Poisoned(nn.Module):
    """Its loss is a number, and its gradient is none: √ at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.root = nn.Linear(3 * 32 * 32, 10), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.layer(x.flatten(1)) + 0 * self.root.sqrt()


def test_weights_that_the_last_step_spoilt_are_not_kept(tmp_path):
    one_step = replace(SMALL, epochs=1 / 8)
    with pytest.raises(TrainingError, match=r"no number any more \(step 1 of 1\)"):
        run(one_step, model=Poisoned(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


class Greedy(nn.Module):
    """Fails after some steps, as torch does."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.layer, self.error, self.left = nn.Linear(3 * 32 * 32, 10), error, 8

    def forward(self, x):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.layer(x.flatten(1))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
        ),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] data. DefaultCPUAllocator: not enough memory: you tried to allocate"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
)
def test_used_up_memory_is_said(error):
    with pytest.raises(TrainingError, match=r"not enough memory for batches of 32 .* Halve batch_size"):
        run(model=Greedy(error))


def test_images_that_do_not_fit_are_said():
    class Heavy(torch.Tensor):
        def to(self, *args, **kwargs):
            raise RuntimeError("CUDA out of memory. Tried to allocate 15.00 GiB")

    heavy = replace(images(), images=images().images.as_subclass(Heavy))
    with pytest.raises(TrainingError, match=r"not enough memory for 256 images on .* Load fewer of them \(limit=…\)"):
        train(SMALL, heavy, device="cpu")


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="a mistake in the model"):
        run(model=Greedy(RuntimeError("a mistake in the model")))


def test_a_full_disk_stops_no_training(tmp_path, monkeypatch):
    run(FULL, folder=tmp_path / "whole")
    real, calls = paths.os.fsync, []

    def full_after_five(file):
        calls.append(file)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(paths.os, "fsync", full_after_five)
    report = Recorded()
    trained = run(FULL, folder=tmp_path / "run", save_seconds=0, report=report, evaluations=STEPS)
    assert trained.steps == STEPS
    assert len(report.notices) == STEPS - 5
    assert "No snapshot at step 6: no space left to write" in report.notices[0]
    left = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert [name[:13] for name in left] == ["step-00000004", "step-00000005"]
    monkeypatch.undo()
    assert same(weights(run(FULL, folder=tmp_path / "run")), weights(trained))


def spoil_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [spoil_half, spoil_bit, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("how_many", [1, 2])
def test_damaged_snapshots_are_left_aside(tmp_path, spoil, how_many):
    whole = run(FULL, folder=tmp_path, save_seconds=0, evaluations=STEPS)
    for path in Snapshots(tmp_path).paths()[:how_many]:
        spoil(path)
    report = Recorded()
    again = run(FULL, folder=tmp_path, save_seconds=0, evaluations=STEPS, report=report)
    assert same(weights(again), weights(whole)) and again.losses == whole.losses
    assert [("is damaged and left aside" in notice) for notice in report.notices[:how_many]] == [True] * how_many
    assert ("Going on from" in report.notices[-1]) is (how_many == 1)


def test_damaged_snapshots_do_not_push_out_the_new_ones(tmp_path):
    whole = run(FULL, folder=tmp_path, save_seconds=0, evaluations=STEPS)
    damaged = Snapshots(tmp_path).paths()
    for path in damaged:
        spoil_half(path)

    with pytest.raises(KeyboardInterrupt):
        run(FULL, folder=tmp_path, save_seconds=0, evaluations=STEPS, report=StopsAfter(10))
    kept = [path.name[:13] for path in Snapshots(tmp_path).paths() if path not in damaged]
    assert kept == ["step-00000009", "step-00000008"]
    report = Recorded()
    assert same(weights(run(FULL, folder=tmp_path, report=report)), weights(whole))
    assert f"(step 9 of {STEPS})" in report.notices[-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": 1e-4}, "lr was 0.003 and is 0.0001"),
        ({"dim": 32, "depth": 2}, "depth was 1 and is 2; dim was 16 and is 32"),
    ],
)
def test_a_snapshot_of_another_recipe_is_refused(tmp_path, change, said):
    run(folder=tmp_path)
    with pytest.raises(TrainingError, match="holds another run: minutes was None and is 5"):
        run(folder=tmp_path, minutes=5)
    kept = sorted(tmp_path.iterdir())
    with pytest.raises(TrainingError, match=f"holds another run: {said}. Give another folder"):
        run(replace(SMALL, **change), folder=tmp_path)
    assert sorted(tmp_path.iterdir()) == kept


def test_a_snapshot_of_other_images_or_another_model_is_refused(tmp_path):
    run(folder=tmp_path)
    with pytest.raises(TrainingError, match="the images are not the same"):
        train(SMALL, load_images("where", limit=256), folder=tmp_path, report=Report(), device="cpu")
    with pytest.raises(TrainingError, match="holds a run of another model"):
        run(folder=tmp_path, model=Greedy(MemoryError()))


# Written by the course at commit 752c449, when training was one module, with torch 2.15.
OLD_SNAPSHOT = Path(__file__).parent / "old_snapshot"
OLD_RECIPE = Recipe(
    image_size=16, dim=8, depth=1, heads=2, mlp_dim=8, batch_size=16, epochs=4, optimizer="muon", sizes=(8, 16),
    ema=0.9, dropout=0.1, mixup=0.2, cutmix=1.0, precision="float32",
)  # fmt: skip


def run_of_earlier_days(folder=None, report=None):
    pixels = np.random.RandomState(0).randint(0, 256, (64, 1, 16, 16), dtype=np.uint8)
    noise = ImageSet("noise", "train", torch.from_numpy(pixels), torch.arange(64) % 4, tuple("abcd"), "drawn")
    options = {"evaluations": 16, "device": "cpu", "report": report or Report()}
    return train(OLD_RECIPE, noise, noise, folder=folder, **options)


def test_a_run_of_earlier_days_goes_on(tmp_path):
    shutil.copytree(OLD_SNAPSHOT, tmp_path, dirs_exist_ok=True)
    before, report = Snapshots.read(Snapshots(tmp_path).paths()[0]), Recorded()
    trained = run_of_earlier_days(tmp_path, report)
    assert "(step 11 of 16)" in report.notices[0]
    assert trained.steps == 16 and trained.losses[:11] == before["losses"].tolist()
    assert max(trained.losses[11:]) < 2 * math.log(4), "weights of another kind would be far worse than chance"


@pytest.mark.skipif(not torch.__version__.startswith("2.15."), reason="another torch draws other random numbers")
def test_a_run_of_earlier_days_ends_as_it_would_have(tmp_path):
    shutil.copytree(OLD_SNAPSHOT, tmp_path, dirs_exist_ok=True)
    gone_on, anew = run_of_earlier_days(tmp_path), run_of_earlier_days()
    # Its first steps were taken on another machine, whose last bits may differ.
    assert gone_on.losses == pytest.approx(anew.losses, rel=1e-4)
    for name, weight in weights(gone_on).items():
        assert torch.allclose(weight, weights(anew)[name], atol=1e-3), name


def test_every_named_recipe_builds():
    for name, (data, recipe) in RECIPES.items():
        assert data and isinstance(recipe, Recipe) and (name in CURVES or name == "gpu")
        parameters = sum(p.numel() for p in recipe.build(10).parameters())
        if name in ("cifar10", "tiny-imagenet"):
            assert recipe.patch_size == 4 and 2.5e6 < parameters < 3e6


def test_measuring_leaves_each_part_in_its_own_mode():
    model = SMALL.build(10)
    model.encoder.eval()  # somebody froze a part
    before = [part.training for part in model.modules()]
    evaluate(model, images("test", 4))
    assert [part.training for part in model.modules()] == before and len({*before}) == 2
