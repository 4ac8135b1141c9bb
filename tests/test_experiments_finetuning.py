"""What lesson 09 measures, with photos of one's own and with somebody else's weights."""

import copy
import json
import math

import pytest
import torch
from small_training import images
from torch import nn

from vit_course import ViT
from vit_course.checkpoints import load_checkpoint
from vit_course.data import ImageSet, learn_and_test
from vit_course.experiments import (
    balanced,
    best_decay,
    by_start,
    enlarged,
    expect_our_images,
    features,
    fine_tune_published,
    finetuning,
    learn_from,
    learn_photos,
    linear_probe,
    report_on,
    shipped_table,
    wilson,
)
from vit_course.experiments.__main__ import main
from vit_course.images import to_floats
from vit_course.training.reporting import Report


def test_as_many_of_each_class_by_a_seed():
    labels = torch.arange(10).repeat(30)
    for count in (20, 25, 300):
        counts = labels[balanced(labels, count)].bincount(minlength=10)
        assert counts.sum() == count and counts.max() - counts.min() <= 1
    assert torch.equal(balanced(labels, 20), balanced(labels, 20))
    assert not torch.equal(balanced(labels, 20), balanced(labels, 20, seed=1))
    with pytest.raises(ValueError, match="not 301 images"):
        balanced(labels, 301)
    with pytest.raises(ValueError, match="not 20 images"):
        balanced(torch.tensor([0] * 18 + [1] * 5), 20)


def test_features_are_what_the_head_reads():
    model, some = load_checkpoint("tiny-imagenet"), images("test", 5)
    with torch.no_grad():
        assert torch.allclose(model.head(features(model, some, 2)), model(to_floats(some.images)), atol=0.2, rtol=0.05)


def test_features_are_read_where_the_model_is(monkeypatch):
    """The device "meta" stands in for a GPU: nothing is computed there, so nothing can come back."""
    monkeypatch.setattr(torch.Tensor, "cpu", lambda found: found)
    found = features(load_checkpoint("tiny-imagenet").to("meta"), images("test", 5), 2)
    assert found.device.type == "meta" and len(found) == 5


def test_a_probe_separates_what_can_be_separated():
    torch.manual_seed(0)
    centres, labels = 3 * torch.eye(4), torch.arange(4).repeat(20)
    known = centres[labels] + 0.3 * torch.randn(80, 4)
    head = linear_probe(known, labels, 4, best_decay(known, labels, 4))
    assert (head(known).argmax(dim=1) == labels).all() and not head.weight.requires_grad
    assert linear_probe(known, labels, 4, 1e3).weight.abs().max() < 1e-2  # decay holds it down


@pytest.mark.parametrize(("start", "size"), [("scratch", 32), ("fine-tuned", 32), ("fine-tuned", 24)])
def test_a_model_learns_from_either_start(start, size):
    some = enlarged(images("train", 12), size)
    model = learn_from(start, some, some, steps=2, batch_size=4, report=Report())
    assert model.image_size == (size, size) and model.head.out_features == 10
    if start == "fine-tuned" and size == 32:
        before = load_checkpoint("tiny-imagenet").encoder.blocks[0].mlp.fc1.weight
        assert 0 < (model.encoder.blocks[0].mlp.fc1.weight - before).abs().max() < 0.01


def test_too_few_images_for_a_batch_are_said():
    with pytest.raises(ValueError, match="a batch takes 4 images and there are 3: take a smaller batch_size"):
        learn_from("scratch", images("train", 3), images("test", 4), steps=1, batch_size=4, report=Report())


# --- the table


def test_a_table_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    def loaded(name, split="train"):
        some = images(split, 40)
        return ImageSet(name, split, some.images, some.labels, some.classes, "drawn")

    trained = []
    monkeypatch.setattr(finetuning, "load_images", loaded)
    monkeypatch.setattr(finetuning, "balanced", lambda labels, count, seed=0: torch.arange(min(len(labels), count)))
    sizes = {"SHARES": (0.1, 0.2, 1.0), "SEEDS": (0,), "STEPS": 1, "LONG_STEPS": 1, "BATCH_SIZE": 2, "TESTED": 10}
    for name, value in (sizes | {"LONGER": {0.1: 3}, "LONGER_BATCH_SIZE": 2}).items():
        monkeypatch.setattr(finetuning, name, value)
    original = finetuning.learn_from

    def counted(start, part, *arguments, **options):
        trained.append((start, len(part)))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return original(start, part, *arguments, **options)

    monkeypatch.setattr(finetuning, "learn_from", counted)
    out = tmp_path / "new" / "table.json"
    with pytest.raises(KeyboardInterrupt):
        main(["finetuning", "--out", str(out)])
    assert trained == [("scratch", 4), ("fine-tuned", 4), ("scratch", 8)]
    assert [row["start"] for row in json.loads(out.read_text())["rows"]] == ["scratch", "fine-tuned", "probe"]
    main(["finetuning", "--out", str(out)])
    assert trained[3:-1] == [("scratch", 8), ("fine-tuned", 8), ("scratch", 40), ("fine-tuned", 40)]
    assert trained[-1] == ("scratch, longer", 4)
    table = json.loads(out.read_text())
    assert len(table["rows"]) == 10 and {"data", "command"} <= table.keys()
    assert all("torch" in row["on"] for row in table["rows"])
    assert [name for name, _ in by_start(table)] == [
        "fine-tuned",
        "linear probe",
        "from scratch, longer",
        "from scratch",
    ]


def test_the_table_is_of_cifar_or_is_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(finetuning, "load_images", lambda name, split="train": images(split, 40))
    assert main(["finetuning", "--out", str(tmp_path / "table.json")]) == 1
    assert "measured on CIFAR-10, which is not here" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_the_table_that_comes_with_the_course():
    table = shipped_table()
    assert "cifar10" in table["data"]
    rows = [(row["start"], row["share"], row["seed"]) for row in table["rows"]]
    assert len(set(rows)) == len(rows)
    for row in table["rows"]:
        assert 0 < row["accuracy"] < 1 and row["tested"] >= 2_000 and row["on"]
    assert {*rows} == {*finetuning._rows()}


# --- photos


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(5, 10, 0.237, 0.763), (0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (60, 100, 0.502, 0.691)],
)
def test_wilson_as_published(right, count, low, high):
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-3)


def test_wilson_needs_images():
    for right, count in ((0, 0), (3, 2), (-1, 5)):
        with pytest.raises(ValueError, match="at least one image"):
            wilson(right, count)


class Says(nn.Module):
    """A model with fixed scores."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.place = nn.Parameter(torch.tensor(scores)), 0

    def forward(self, inputs):
        self.place += len(inputs)
        return self.scores[self.place - len(inputs) : self.place]


def test_a_report_counts_and_puts_the_most_certain_mistake_first():
    some = images("test", 4)
    test = ImageSet("x", "test", some.images, torch.tensor([0, 1, 1, 0]), ("cat", "dog"), "made up")
    report = report_on(Says([[2.0, 0], [3.0, 0], [0, 9.0], [0, 5.0]]), test, batch_size=3)
    assert (report.right, report.accuracy, report.mistakes()) == (2, 0.5, [3, 1])
    assert report.counts().tolist() == [[1, 1], [1, 1]]
    assert "2 of 4 test images right: 50%" in str(report) and "from 15% to 85%" in str(report)
    assert "right 50% of the time" in str(report)
    assert "cat, called dog, 99%" in report.certain_mistakes().alt and "2 of 4 right" in report.confusion().alt
    perfect = report_on(Says([[2.0, 0], [0, 3.0], [0, 9.0], [5.0, 0]]), test)
    assert perfect.certain_mistakes() == "No mistake among 4 images." and perfect.mistakes() == []


def test_photos_are_learned(tmp_path):
    from PIL import Image

    torch.manual_seed(0)
    for label, name in enumerate(("light", "dark")):
        (tmp_path / name).mkdir()
        for number in range(10):
            base = torch.randint(0, 60, (40 + number, 50, 3)) + (180 if label == 0 else 0)
            Image.fromarray(base.to(torch.uint8).numpy()).save(tmp_path / name / f"{number}.png")
    learn, test = learn_and_test(tmp_path)
    report = learn_photos(learn, test, steps=8)
    assert report.accuracy == 1.0 and report.model.head.out_features == 2


def test_three_photos_are_learned(tmp_path):
    from PIL import Image

    for name, count in (("a", 2), ("b", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.new("RGB", (20, 30), (90 * number, 7, 7)).save(tmp_path / name / f"{number}.jpg")
    report = learn_photos(*learn_and_test(tmp_path), steps=1)
    assert report.counts().sum() == 1 and "of 1 test image right" in str(report)


# --- published weights


def test_a_model_of_others_takes_our_images_and_gives_the_same_scores():
    torch.manual_seed(0)
    model = ViT(image_size=8, patch_size=4, num_classes=5, dim=12, depth=1, heads=2, mlp_dim=16).eval()
    inputs = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    mean, deviation = (torch.tensor(one)[:, None, None] for one in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25)))
    with torch.no_grad():
        before = model((inputs / 255 - mean) / deviation)
        after = expect_our_images(model, mean.flatten().tolist(), deviation.flatten().tolist())(to_floats(inputs))
    assert torch.allclose(before, after, atol=1e-5)


def test_a_published_model_is_fine_tuned_at_its_own_size():
    torch.manual_seed(0)
    model = ViT(image_size=48, patch_size=16, num_classes=5, dim=12, depth=1, heads=2, mlp_dim=16)
    before = copy.deepcopy(model.state_dict())
    trained = fine_tune_published(model, images("train", 8), images("test", 4), batch_size=4, report=Report())
    assert trained.steps == 2 and not math.isnan(trained.accuracy) and trained.model.head.out_features == 10
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "a copy was trained"
    assert enlarged(images("test", 4), 48).images.shape == (4, 3, 48, 48)
