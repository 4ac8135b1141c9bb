"""CNN, ViT and hybrid compared: what is trained, what the plan does next, and what the table says."""

import dataclasses
import json

import pytest
import torch
from small_training import images

from vit_course import plots
from vit_course.data import ImageSet
from vit_course.experiments import hybrids
from vit_course.experiments.__main__ import main
from vit_course.experiments.hybrids import (
    BASE,
    LONG,
    PLAIN,
    POOLS,
    POSITIONS,
    RATES,
    SHARES,
    SHORT,
    Table,
    next_run,
    plan,
    to_try,
)
from vit_course.experiments.ingredients import smaller
from vit_course.experiments.rivals import GridPositions, Setting, build, convolutions, learn, seconds_a_step
from vit_course.hybrids import HybridEmbedding, RelativeAttention
from vit_course.inspection import receptive_field

FACTS = {
    "data": "drawn", "size": 16, "images": 480, "held_out": 20, "tested": 100, "batch_size": 64, "clock": 2.0,
    "measured_on": ["a CPU, today"], "seconds_a_step": {hybrids.clocked(one): 0.1 for one, _ in plan()},
}  # fmt: skip


def row(setting, lr, seed=0, held_out=0.5, accuracy=0.5, distances=None):
    found = {"lr": lr, "seed": seed, "held_out": held_out, "accuracy": accuracy, "distances": distances}
    return {**dataclasses.asdict(setting), **found, "steps": 20, "images": round(480 * setting.share), "seconds": 1}


def drawn(split, count):
    """The drawn images, said to be CIFAR-10."""
    some = images(split, count)
    return ImageSet("cifar10", split, some.images, some.labels, some.classes, "drawn")


# --- models


def test_every_model_of_the_plan_names_images():
    for setting in dict.fromkeys(setting for setting, _ in plan()):
        assert build(setting)(torch.rand(2, 3, 16, 16)).shape == (2, 10)


def test_a_setting_is_built_as_it_says():
    plain = build(Setting())
    relative, hybrid = build(Setting(positions="relative")), build(Setting("hybrid"))
    assert all(isinstance(block.attention, RelativeAttention) for block in relative.encoder.blocks)
    assert not [name for name, _ in relative.named_parameters() if "positions" in name]
    assert isinstance(hybrid.embedding, HybridEmbedding) and plain.pool == "cls"
    assert build(Setting(pool="mean")).pool == "mean"
    tokens = [model.embedding(torch.rand(2, 3, 16, 16)).shape for model in (plain, hybrid)]
    assert tokens == [(2, 16, 64), (2, 16, 64)]
    with torch.no_grad():  # jigsaws look alike to a model without positions, and to no other
        picture = torch.rand(2, 3, 16, 16)
        jigsaw = picture.unflatten(2, (4, 4)).flip(2).flatten(2, 3)
        for positions, blind in (("none", True), ("2-D", False), ("sin/cos", False), ("1-D", False)):
            model = build(Setting(positions=positions))
            assert torch.allclose(model(picture), model(jigsaw), atol=1e-4) is blind


def test_half_of_a_position_is_the_rows_and_half_the_columns():
    layer = GridPositions(2, 3, 8)
    found = layer(torch.zeros(1, 7, 8))[0, 1:].view(2, 3, 8)
    assert torch.equal(found[0, :, :4], layer.rows[0].expand(3, -1)) and torch.equal(found[1, 2, 4:], found[0, 2, 4:])
    assert not torch.equal(found[0, 0, :4], found[1, 0, :4])
    with pytest.raises(ValueError, match="dim is even, got 7"):
        GridPositions(2, 3, 7)


@pytest.mark.parametrize("patch_size", [1, 2, 4, 8])
def test_convolutions_give_a_place_for_each_patch(patch_size):
    stem, channels = convolutions(patch_size)
    assert stem(torch.rand(2, 3, 16, 16)).shape == (2, channels, 16 // patch_size, 16 // patch_size)
    field = receptive_field([3] * (len(stem) // 3), [layer.stride[0] for layer in stem if hasattr(layer, "stride")])
    assert field > patch_size  # neighbouring places see some of the same pixels


def test_patches_that_no_halving_leads_to_are_refused():
    with pytest.raises(ValueError, match="not of 6"):
        convolutions(6)


def test_a_seed_decides_the_share_the_weights_and_the_order():
    some = smaller(images("train", 40), 16)
    one, same, other = (learn(Setting(share=0.5), some, steps=2, lr=1e-3, seed=seed).head.weight for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_deeper_model_takes_longer_and_is_timed_so():
    models = {str(depth): build(Setting(depth=depth)) for depth in (1, 12)}
    found = seconds_a_step(models, smaller(images("train", 8), 16), 3, torch.device("cpu"))
    assert found.keys() == models.keys() and 0 < found["1"] < found["12"]


# --- the plan


def test_the_best_of_three_rates_is_taken_and_one_at_the_edge_has_the_next_beside_it():
    table = Table(FACTS)
    assert [*to_try(table, Setting("CNN", share=BASE))] == [1e-3, 3e-3, 1e-2]
    for lr, held_out in ((1e-3, 0.3), (3e-3, 0.4), (1e-2, 0.5)):
        assert next_run(table) == (Setting("CNN", share=BASE), lr, 0)
        table.rows.append(row(Setting("CNN", share=BASE), lr, held_out=held_out))
    assert next_run(table) == (Setting("CNN", share=BASE), 3e-2, 0)
    table.rows.append(row(Setting("CNN", share=BASE), 3e-2, held_out=0.2))
    assert table.rate(Setting("CNN", share=1 / 16)) == 1e-2  # another amount takes the rate of its kind
    assert next_run(table)[0] == Setting("ViT", share=BASE)
    with pytest.raises(ValueError, match=r"no learning rate .* for ViT, .* yet. python -m vit_course.experiments hyb"):
        table.rate(Setting(positions="none"))


def test_the_plan_ends_and_asks_for_nothing_twice():
    table, asked = Table(FACTS), []
    while job := next_run(table):
        asked.append(job)
        table.rows.append(row(*job, held_out=0.5 - abs(RATES.index(job[1]) - 3) / 10))
    assert len(set(asked)) == len(asked) and not table.missing
    assert {(setting, seed) for setting, _, seed in asked} == set(plan())
    for times in (SHORT, LONG):
        amounts = [(one.kind, one.share, seed) for one, _, seed in asked if one in hybrids.AMOUNTS[times]]
        assert {(kind, share, seed) for kind in hybrids.KINDS for share in SHARES for seed in (0, 1, 2)} == set(amounts)


def test_longer_runs_try_the_rate_of_the_short_ones_and_lower_ones():
    short, long = Setting("CNN", BASE), Setting("CNN", BASE, times=LONG)
    table = Table(FACTS, [row(short, 1e-2, held_out=0.4), row(short, 3e-2, held_out=0.3)])
    assert [*to_try(table, long)] == [3e-3, 1e-2] and table.steps(long) == LONG * table.steps(short)
    table.rows += [row(long, 3e-3, held_out=0.4), row(long, 1e-2, held_out=0.3)]
    assert [*to_try(table, long)] == [1e-3, 3e-3, 1e-2] and table.rate(Setting("CNN", times=LONG)) == 3e-3


def test_a_table_is_measured_and_gone_on_with(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hybrids, "load_images", lambda name, split: drawn(split, 64))
    values = {
        "HELD_OUT": 10,
        "CLOCK": 1e-6,
        "plan": lambda: [(Setting(kind, share=BASE), 0) for kind in ("CNN", "ViT")],
    }
    for name, value in values.items():
        monkeypatch.setattr(hybrids, name, value)
    out, whole, seen = tmp_path / "new" / "table.json", hybrids.add_run, []

    def counted(table, setting, lr, *rest):
        seen.append((setting.kind, lr))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return whole(table, setting, lr, *rest)

    monkeypatch.setattr(hybrids, "add_run", counted)
    with pytest.raises(KeyboardInterrupt):
        main(["hybrids", "--out", str(out)])
    first = json.loads(out.read_text())
    assert main(["hybrids", "--out", str(out)]) == 0
    table = hybrids.measured(out)
    assert table.rows[:2] == first["rows"] and table.facts["seconds_a_step"] == first["seconds_a_step"]
    assert seen[3] == seen[2] and len(set(seen)) == len(table.rows)
    assert table.facts["images"] == 54 and len(table.facts["measured_on"]) == 1
    assert all(one["steps"] == 1 for one in table.rows) and "CNN, 0.25 of the images" in capsys.readouterr().out


def test_the_table_is_of_cifar_or_is_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(hybrids, "load_images", lambda name, split: images(split, 20))
    assert main(["hybrids", "--out", str(tmp_path / "table.json")]) == 1
    assert "measured on CIFAR-10, which is not here" in capsys.readouterr().err and not [*tmp_path.iterdir()]


# --- what the table says


def test_accuracies_are_those_at_the_rate_that_held_out_images_chose():
    rows = [row(PLAIN, 1e-3, held_out=0.4, accuracy=0.9), row(PLAIN, 3e-3, held_out=0.5, accuracy=0.3)]
    table = Table(FACTS, [*rows, row(PLAIN, 3e-3, seed=1, held_out=0.1, accuracy=0.2)])
    assert table.rate(PLAIN) == 3e-3 and table.accuracies(PLAIN) == [0.3, 0.2]
    assert table.by_amount() == [("ViT", {120: [0.3, 0.2]})]
    assert table.by_rate() == [("CLS", {1e-3: [0.9], 3e-3: [0.3, 0.2]})]
    assert table.by_patch_size() == [("with positions", {4: [0.3, 0.2]})]
    assert table.by_depth() == [("ViT", {PLAIN.depth: [0.3, 0.2]})]
    assert table.steps(PLAIN) == 20


def test_a_table_that_is_not_whole_says_what_is_missing():
    table = Table(FACTS, [row(PLAIN, 1e-3), row(PLAIN, 1e-3, seed=1)])
    assert any(line.startswith("ViT, 0.25 of the images: 2 of 3 seeds. python -m") for line in table.missing)
    assert any(line.startswith("ViT, 0.25 of the images, pool mean: 0 of 3") for line in table.missing)
    for question in (table.by_positions, lambda: table.distances("hybrid"), Table(FACTS).by_rate):
        with pytest.raises(ValueError, match=r"python -m vit_course\.experiments hybrids goes on"):
            question()


def test_positions_are_compared_with_the_papers_default():
    scores = {"1-D": 0.5, "relative": 0.6, "none": 0.4}
    rows = [row(one, 3e-3, seed, accuracy=scores[one.positions] + seed / 100)
            for one in POSITIONS if one.positions in scores for seed in (0, 1)]  # fmt: skip
    found, base, noise = Table(FACTS, rows).by_positions()
    assert [label for label, _ in found] == ["1-D, learned", "relative", "none"]
    assert base == pytest.approx(0.505) and noise == pytest.approx(2 * (2 * 0.01**2 / 2 / 2) ** 0.5)


def test_distances_are_those_of_all_seeds():
    setting = Setting("hybrid")
    rows = [row(setting, 1e-3, seed, distances=[[1.0, 2.0 + seed], [3.0, 4.0]]) for seed in (0, 1)]
    assert Table(FACTS, rows).distances("hybrid").tolist() == [[1, 2, 1, 3], [3, 4, 3, 4]]


def test_alike_everywhere_is_a_mean_over_all_pairs():
    assert hybrids.uniform_distance(1, 4) == 0
    assert hybrids.uniform_distance(2, 4) == pytest.approx(4 * (0 + 1 + 1 + 2**0.5) / 4)


def test_the_table_that_comes_with_the_course():
    table = hybrids.measured()
    assert table.facts["data"].startswith("CIFAR-10, ") and table.facts["measured_on"]
    assert "Accuracy on 10,000" in table.conditions
    fields = [field.name for field in dataclasses.fields(Setting)]
    keys = [(tuple(one[name] for name in fields), one["lr"], one["seed"]) for one in table.rows]
    assert len(set(keys)) == len(keys)
    assert all(0.1 < one["accuracy"] < 1 for one in table.rows)
    assert [kind for kind, _ in table.by_amount()] == [*hybrids.KINDS]
    assert all(sorted(found) == [3_000, 12_000, 48_000] for _, found in table.by_amount())
    for rows in (table.by_amount(), table.by_rate(), table.by_patch_size(), table.by_depth()):
        assert plots.runs_against(rows, "x").alt
    assert plots.effects(*table.by_positions()).alt
    assert len(table.by_rate()) == len(POOLS)
    assert table.distances("ViT").shape[0] == table.distances("hybrid").shape[0] == PLAIN.depth


def test_a_small_comparison_here_and_now(monkeypatch):
    monkeypatch.setenv("VIT_COURSE_PROFILE", "smoke")
    said = []
    table = hybrids.live(images("train", 300), images("test", 50), say=said.append)
    assert [kind for kind, _ in table.by_amount()] == [*hybrids.KINDS]
    assert {amount for _, found in table.by_amount() for amount in found} == {75, 300}
    assert len(said) == 6 and said[0].startswith("CNN, 75 images, ")
    assert "rates chosen" not in table.conditions and "CIFAR-10" not in table.conditions
