"""`vit-course train`."""

import json

import pytest
from PIL import Image

from vit_course import checkpoints, cli
from vit_course.training import RECIPES, Recipe
from vit_course.training.command import changed
from vit_course.training.recipes import expected_of

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
    assert changed(fast, []) == fast and expected_of(fast, "cifar10") == RECIPES["fast"].expect != ""
    assert expected_of(changed(fast, ["seed=5"]), "cifar10") == RECIPES["fast"].expect
    assert expected_of(changed(fast, ["dim=48"]), "cifar10") == expected_of(fast, "shapes") == ""


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


def test_a_disk_that_refuses_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = ["train", "baseline", "--data", "shapes", "--out", str(tmp_path / "file"), *TINY]
    assert cli.main(command) == 1
    captured = capsys.readouterr()
    assert "Give another folder" in captured.err and "step" not in captured.out, "before anything was trained"
