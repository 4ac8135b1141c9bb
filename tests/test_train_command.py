"""`vit-course train`."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from vit_course import checkpoints, cli
from vit_course.training import RECIPES, Recipe
from vit_course.training.command import changed
from vit_course.training.expectations import CURVES, expected_of

TINY = ["--set", "dim=16", "depth=1", "heads=2", "mlp_dim=16", "batch_size=20", "epochs=0.02", "precision=float32"]


def test_the_list_names_every_recipe(capsys):
    assert cli.main(["train", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in RECIPES)


def test_settings_are_read_by_kind():
    recipe = changed(
        Recipe(), ["lr=2e-3", "depth=2", "sizes=16,32", "padding=none", "policy=randaugment", "whiten=true"]
    )
    assert (recipe.lr, recipe.depth, recipe.sizes, recipe.padding) == (0.002, 2, (16, 32), None)
    assert (recipe.policy, recipe.whiten) == ("randaugment", True)
    assert changed(recipe, ["sizes=", "compile=false", "padding=3", "betas=0.9,0.95", "policy=none"]) == Recipe(
        lr=2e-3, depth=2, padding=3, compile=False, betas=(0.9, 0.95), whiten=True
    )


def test_settings_may_come_one_by_one():
    seen = []
    parse = ["train", "fast", "--data", "no/such", "--set", "dim=96", "--set", "lr=1e-3", "depth=2"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vit_course.training.command.main", lambda options: seen.append(options.set))
        assert cli.main(parse) == 0
    assert seen == [["dim=96", "lr=1e-3", "depth=2"]]


def test_other_images_do_not_stand_in_for_those_of_a_recipe(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("VIT_COURSE_OFFLINE", "1")
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path))
    monkeypatch.delenv("VIT_COURSE_DATA", raising=False)
    assert cli.main(["train", "fast", "--out", str(tmp_path / "run"), *TINY]) == 1
    assert "cifar10 is not to be had here" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_interrupted_before_it_began(capsys, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("vit_course.training.command.main", interrupted)
    assert cli.main(["train", "fast"]) == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_what_was_measured_is_not_promised_of_a_changed_recipe():
    fast = RECIPES["fast"].recipe
    assert changed(fast, []) == fast and expected_of(fast, "cifar10", 50_000, 500) == CURVES["fast"].at(500) != ""
    assert expected_of(changed(fast, ["seed=5", "epochs=2"]), "cifar10", 50_000, 500) == CURVES["fast"].at(500)
    assert expected_of(changed(fast, ["dim=48"]), "cifar10", 50_000, 500) == ""
    assert expected_of(fast, "shapes", 50_000, 500) == expected_of(fast, "cifar10", 200, 500) == ""
    assert expected_of(RECIPES["gpu"].recipe, "cifar10", 50_000, 500) == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "there is no recipe 'nothing'; there are baseline"),
        (["baseline", "--set", "lrr=1"], "--set takes NAME=VALUE with a NAME of image_size"),
        (["baseline", "--set", "lr"], "--set takes NAME=VALUE"),
        (["baseline", "--set", "depth=two"], "depth=two: "),
        (["baseline", "--set", "whiten=perhaps"], "whiten=perhaps: true or false?"),
        (["baseline", "--set", "optimizer=x"], "optimizer is one of"),
        (["tiny-imagenet"], "say where it lies, --data FOLDER"),
        (["baseline", "--data", "no/such/folder"], "no/such/folder"),
        (["--set", "lr=1e-3", "baseline"], "Say which recipe, in front"),
        (["baseline", "--data", "shapes", "--minutes", "0"], "minutes are more than 0"),
    ],
)
def test_a_wrong_command_says_what_to_do(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *arguments]) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert not list(tmp_path.iterdir())


def test_it_trains_on_a_folder_of_images_and_keeps_weights_and_card(tmp_path, capsys):
    for split, count in (("train", 30), ("val", 5)):
        for label, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
            folder = tmp_path / "mine" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (40, 36), (colour[0] + number, colour[1], colour[2])).save(folder / f"{number}.png")
    command = ["train", "baseline", "--data", str(tmp_path / "mine"), "--out", str(tmp_path / "run"), *TINY, "epochs=4"]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "10 test images right" in said
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert card["classes"] == ["blue", "red"] and card["steps"] == 12 and card["epochs"] == 4
    assert card["recipe"]["dim"] == 16 and "train" in card["command"] and card["configuration"]["dim"] == 16
    assert checkpoints.load_checkpoint(tmp_path / "run" / "model.safetensors").head.out_features == 2
    assert cli.main(command) == 0  # a finished run is not trained again
    assert "step 12 of 12" in capsys.readouterr().out


def test_a_rank_left_over_in_the_environment_is_not_ours(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert cli.main(["train", "baseline", "--data", "shapes", "--out", str(tmp_path), *TINY]) == 0
    assert "test images right" in capsys.readouterr().out and (tmp_path / "model.safetensors").exists()


def test_a_disk_that_refuses_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = ["train", "baseline", "--data", "shapes", "--out", str(tmp_path / "file"), *TINY]
    assert cli.main(command) == 1
    captured = capsys.readouterr()
    assert "Give another folder" in captured.err and "step" not in captured.out, "before anything was trained"


def squares(folder: Path, names: tuple[str, ...] = ("red", "blue")) -> Path:
    for split in ("train", "val"):
        for number, name in enumerate(names):
            (folder / split / name).mkdir(parents=True)
            for shade in range(20):
                Image.new("RGB", (36, 36), (shade, number, 9)).save(folder / split / name / f"{shade}.png")
    return folder


def directory(run: Path) -> None:
    (run / "model.safetensors").mkdir(parents=True)


def directory_for_the_card(run: Path) -> None:
    (run / "model.json").mkdir(parents=True)


def file_for_the_folder(run: Path) -> None:
    run.write_text("")


@pytest.mark.parametrize("in_the_way", [directory, directory_for_the_card, file_for_the_folder])
def test_what_is_in_the_way_of_the_weights_is_said_before_the_first_step(tmp_path, capsys, in_the_way):
    run = tmp_path / "run"
    in_the_way(run)
    assert cli.main(["train", "baseline", "--data", "shapes", "--out", str(run), *TINY]) == 1
    captured = capsys.readouterr()
    assert str(run) in captured.err and "cannot be written" in captured.err and "Give another folder" in captured.err
    assert "step" not in captured.out and not list(tmp_path.rglob("*.pt"))
    assert not list(tmp_path.rglob(".model*")), "nothing is left of the attempt"


def test_weights_that_must_not_be_changed_are_said_before_the_first_step(tmp_path, capsys, monkeypatch):
    """Root may change everything: the refusal is simulated."""
    kept = tmp_path / "model.json"
    kept.write_text("precious")
    original = open

    def refusing(file, mode="r", *args, **kwargs):
        if file == kept and "+" in mode:
            raise PermissionError(13, "Permission denied", str(file))
        return original(file, mode, *args, **kwargs)

    monkeypatch.setattr("builtins.open", refusing)
    assert cli.main(["train", "baseline", "--data", "shapes", "--out", str(tmp_path), *TINY]) == 1
    assert "model.json cannot be written: Permission denied" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"] and kept.read_text() == "precious"


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8 are those of Linux")
@pytest.mark.parametrize("what", ["class", "folder", "run"])
def test_names_that_the_card_cannot_hold_are_said_before_the_first_step(tmp_path, capsys, what):
    bad = os.fsdecode(b"caf\xe9")
    data = squares(tmp_path / (bad if what == "folder" else "mine"), ("red", bad if what == "class" else "blue"))
    run = tmp_path / (bad if what == "run" else "run")
    command = ["train", "baseline", "--data", str(data), "--out", str(run), *TINY, "epochs=1"]
    assert cli.main(command) == 1
    captured = capsys.readouterr()
    assert r"caf\udce9" in captured.err and "no UTF-8" in captured.err and "Rename" in captured.err
    assert "step" not in captured.out and not run.exists()


def test_the_rehearsal_changes_nothing(tmp_path, capsys):
    """With and without it, the same run: the same random numbers, and an earlier checkpoint is there until the end."""
    command = ["train", "baseline", "--data", str(squares(tmp_path / "mine")), *TINY, "epochs=2"]
    cards, weights = [], []
    for out in ("first", "second"):
        with pytest.MonkeyPatch.context() as patch:
            if out == "second":
                patch.setattr("vit_course.training.command._rehearse", lambda *args: None)
            assert cli.main([*command, "--out", str(tmp_path / out)]) == 0
        cards.append(json.loads((tmp_path / out / "model.json").read_text())["accuracy"])
        weights.append(checkpoints.load_checkpoint(tmp_path / out / "model.safetensors").state_dict())
    assert cards[0] == cards[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_class_without_images_is_said_before_the_first_step(tmp_path, capsys):
    data = squares(tmp_path / "mine")
    for number in range(20):
        (data / "train" / "blue" / f"{number}.png").rename(data / "train" / "blue" / f"{number}.heic")
    assert cli.main(["train", "baseline", "--data", str(data), "--out", str(tmp_path / "run"), *TINY]) == 1
    captured = capsys.readouterr()
    assert "holds no images of blue. None of the 20 files" in captured.err and ".heic here" in captured.err
    assert "step" not in captured.out
