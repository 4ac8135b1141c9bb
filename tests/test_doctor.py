import importlib.metadata
import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vit_course import doctor, load_images, profiles
from vit_course.data import CIFAR10_CLASSES
from vit_course.data.loading import BATCHES, TARBALL
from vit_course.paths import home


def by_name(name: str) -> doctor.Finding:
    return next(finding for finding in doctor.diagnose() if finding.what == name)


def test_this_machine_is_ready(capsys):
    assert doctor.main() == 0
    report = capsys.readouterr().out
    for what in ("Python", "PyTorch", "Device", "Arithmetic", "CIFAR-10", "Profile", "Disk", "Course folder"):
        assert f"  {what}" in report
    assert report.endswith("All is ready.\n")


def test_one_thing_wrong_is_an_exit_status_and_what_to_do(monkeypatch, capsys):
    monkeypatch.setenv("VIT_COURSE_PROFILE", "huge")
    assert doctor.main() == 1
    report = capsys.readouterr().out
    assert "FIX   Profile" in report
    assert "-> VIT_COURSE_PROFILE is 'huge'" in report
    assert "1 of 8 to fix." in report


def test_a_look_that_fails_does_not_end_the_report(monkeypatch):
    def broken() -> doctor.Finding:
        raise RuntimeError("driver says no")

    monkeypatch.setattr(doctor, "compute_device", broken)
    findings = {finding.what: finding for finding in doctor.diagnose()}
    assert "driver says no" in findings["Device"].state
    assert not findings["Device"].ok
    assert findings["Course folder"].ok


def test_each_device_is_compared_with_the_cpu(monkeypatch):
    state = torch.get_rng_state()
    monkeypatch.setattr(doctor, "devices", lambda: ["cpu", "cpu:0"])
    found = doctor.arithmetic()
    assert found.ok
    assert all(float(one) < 1e-5 for one in re.findall(r"cpu(?::0)? (\S+?)(?:,|$)", found.state))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("wrong", [lambda x: x * 1.01, lambda x: x * float("nan")])
def test_a_device_that_computes_wrongly_is_named(monkeypatch, wrong):
    layer = torch.nn.functional.gelu
    monkeypatch.setattr(
        torch.nn.functional,
        "gelu",
        lambda x, **options: layer(x, **options) if x.dtype == torch.float64 else wrong(layer(x, **options)),
    )
    found = doctor.arithmetic()
    assert not found.ok and "cpu computes wrongly" in found.advice


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    assert not doctor.python().ok


class TestPyTorch:
    def versions(self, monkeypatch, pin: str, **installed: str) -> doctor.Finding:
        def version(package: str) -> str:
            if package not in installed:
                raise importlib.metadata.PackageNotFoundError(package)
            return installed[package]

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(importlib.metadata, "requires", lambda package: ["numpy", pin, "pillow>=5"])
        return doctor.pytorch()

    @pytest.mark.parametrize("pin", ["torch==2.8.0", "torch (==2.8.0)", "torch>=2.7,<3"])
    @pytest.mark.parametrize("torch", ["2.8.0", "2.8.0+cu128", "2.8.0+cpu"])
    def test_a_pair_that_fits(self, monkeypatch, pin, torch):
        assert self.versions(monkeypatch, pin, torch=torch, torchvision="0.23.0").ok

    def test_a_pair_that_does_not_fit(self, monkeypatch):
        finding = self.versions(monkeypatch, "torch==2.7.1", torch="2.8.0", torchvision="0.22.1")
        assert not finding.ok
        assert "made for torch ==2.7.1" in finding.state
        assert "torch torchvision" in finding.advice

    def test_a_build_without_a_pin_is_not_doubted(self, monkeypatch):
        assert self.versions(monkeypatch, "torch", torch="2.8.0", torchvision="0.23.0").ok

    def test_missing(self, monkeypatch):
        finding = self.versions(monkeypatch, "torch==2.8.0", torch="2.8.0")
        assert not finding.ok
        assert "torchvision is not installed" in finding.state

    def test_a_torchvision_that_cannot_be_imported(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torchvision", None)
        finding = self.versions(monkeypatch, "torch==2.8.0", torch="2.8.0", torchvision="0.23.0")
        assert not finding.ok
        assert "Delete .venv" in finding.advice


class TestDevice:
    def test_a_card_that_pytorch_cannot_use_is_worth_a_note(self, monkeypatch):
        monkeypatch.setattr(profiles, "device", lambda: torch.device("cpu"))
        monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi")
        finding = doctor.compute_device()
        assert finding.ok
        assert "NVIDIA" in finding.advice
        assert str(finding).startswith("note")

    def test_a_gpu_that_does_not_compute_is_to_be_mended(self, monkeypatch):
        # "meta" stands in for a GPU: tensors can be made there, and reading one raises a RuntimeError.
        monkeypatch.setattr(profiles, "device", lambda: torch.device("meta"))
        finding = doctor.compute_device()
        assert not finding.ok
        assert "CUDA_VISIBLE_DEVICES" in finding.advice


class TestCifar10:
    def test_offline_the_generated_images_stand_in(self):
        finding = doctor.cifar10()
        assert finding.ok
        assert "generated" in finding.state

    def test_nothing_here_yet(self, monkeypatch):
        monkeypatch.delenv("VIT_COURSE_OFFLINE")
        assert "will be downloaded" in doctor.cifar10().state
        assert not home().joinpath("data").exists()  # and the doctor does not download it

    @pytest.mark.parametrize("inside", ["cifar10/train/", "cifar-10-python.tar.gz", "cifar10/cifar-10-batches-py/"])
    def test_the_shared_folder_comes_first(self, monkeypatch, tmp_path, inside):
        shared, kept = tmp_path / "shared", home() / "data"
        make(shared / inside)
        kept.mkdir(parents=True)
        (kept / "cifar-10-python.tar.gz").touch()
        monkeypatch.setenv("VIT_COURSE_DATA", str(shared))
        finding = doctor.cifar10()
        assert finding.state.startswith(str(shared))
        assert finding.state.endswith("(VIT_COURSE_DATA)")

    def test_a_shared_folder_without_it_is_said_and_the_next_source_named(self, monkeypatch, tmp_path):
        (home() / "data").mkdir(parents=True)
        (home() / "data" / "cifar-10-python.tar.gz").touch()
        monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
        finding = doctor.cifar10()
        assert finding.state == str(home() / "data" / "cifar-10-python.tar.gz")
        assert "holds no CIFAR-10" in finding.advice

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda place: archive(place, 1_000), "damaged or not complete: it has 1,000 bytes, not 170,498,071"),
            (lambda place: archive(place, 170_498_071), "damaged or not complete: its md5 is"),
            (lambda place: (place / TARBALL).symlink_to("nowhere"), "cannot be read: No such file"),
            (lambda place: (place / TARBALL).mkdir(), "cannot be read: Is a directory"),
            (lambda place: (place / BATCHES).mkdir(), "lacks data_batch_1"),
            (lambda place: (place / BATCHES).touch(), "cannot be read: Not a directory"),
            (lambda place: batches(place, without="test_batch"), "lacks test_batch"),
            (lambda place: batches(place, cut="data_batch_3"), "data_batch_3 in .* is not a CIFAR-10 batch"),
            (lambda place: tree(place, splits=("train",)), "no test/ or val/"),
            (lambda place: tree(place, classes=CIFAR10_CLASSES[:9]), "too few or too many: truck"),
            (lambda place: tree(place, damaged="train/frog"), "holds no images of frog"),
            (lambda place: tree(place, splits=("Train", "Test")), "rename it to train/"),
            (
                lambda place: (place / "cifar10" / "train").mkdir(parents=True),
                "too few or too many: airplane|no subfolders",
            ),
        ],
    )
    @pytest.mark.parametrize("where", ["shared", "kept"])
    def test_it_finds_what_loading_finds(self, monkeypatch, tmp_path, spoil, words, where):
        place = tmp_path if where == "shared" else home() / "data"
        place.mkdir(parents=True, exist_ok=True)
        spoil(place)
        if where == "shared":
            monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
        before = sorted(place.rglob("*"))
        finding = doctor.cifar10()
        assert finding.state.startswith(str(place)), "which copy it is"
        assert sorted(place.rglob("*")) == before, "the doctor changes nothing"
        failed = []
        for split in ("train", "test"):
            try:
                stands_in = load_images("cifar10", split, limit=10).name == "shapes"
            except (OSError, ValueError) as error:
                failed.append(str(error))
        assert finding.ok == (not failed)
        if failed:
            assert re.search(words, finding.advice)
            assert any(finding.advice.startswith(said[:60]) for said in failed)
        else:
            assert stands_in and "generated images will stand in" in finding.advice

    def test_what_is_whole_is_fine(self, monkeypatch, tmp_path):
        for form in (tree, batches):
            form(tmp_path / form.__name__)
            monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path / form.__name__))
            finding = doctor.cifar10()
            assert finding.ok and not finding.advice

    def test_what_loading_would_remark_is_remarked(self, monkeypatch, tmp_path):
        tree(tmp_path)
        (tmp_path / "cifar10" / "test" / "dog" / "notes.txt").touch()
        monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
        finding = doctor.cifar10()
        assert finding.ok and "notes.txt (Pillow reads no .txt here)" in finding.advice

    def test_half_a_download(self, monkeypatch, tmp_path):
        monkeypatch.delenv("VIT_COURSE_OFFLINE")
        archive(home() / "data", 42_000_000, ".part")
        assert "(170 MB, of which 42 MB are here)" in doctor.cifar10().state
        archive(tmp_path, 42_000_000, ".part")
        monkeypatch.setenv("VIT_COURSE_DATA", str(tmp_path))
        finding = doctor.cifar10()
        assert "holds no CIFAR-10" in finding.advice and "is a download that was not finished" in finding.advice

    @pytest.mark.real_images
    def test_it_names_the_source_that_is_used(self, monkeypatch, real_images):
        from vit_course.data import load_images

        monkeypatch.setenv("VIT_COURSE_DATA", str(real_images))
        assert doctor.cifar10().state == f"{real_images / 'cifar10'} (VIT_COURSE_DATA)"
        assert "$VIT_COURSE_DATA/cifar10" in load_images("cifar10", "test", limit=10).source


def archive(place: Path, size: int, ending: str = "") -> None:
    place.mkdir(parents=True, exist_ok=True)
    with open(place / f"{TARBALL}{ending}", "wb") as file:
        file.truncate(size)


def batches(place: Path, without: str = "", cut: str = "") -> None:
    (place / BATCHES).mkdir(parents=True)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = pickle.dumps({b"data": np.zeros((10, 3072), np.uint8), b"labels": list(range(10))})
        if name != without:
            (place / BATCHES / name).write_bytes(content[:-100] if name == cut else content)


def tree(
    place: Path,
    splits: tuple[str, ...] = ("train", "test"),
    classes: tuple[str, ...] = CIFAR10_CLASSES,
    damaged: str = "",
) -> None:
    for split in splits:
        for name in classes:
            (place / "cifar10" / split / name).mkdir(parents=True)
            for number in range(2):
                file = place / "cifar10" / split / name / f"{number}.png"
                file.touch() if damaged == f"{split}/{name}" else Image.new("RGB", (32, 32)).save(file)


def make(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir() if place.suffix == "" else place.touch()


def test_a_full_disk(monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=300_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    finding = doctor.disk()
    assert not finding.ok
    assert "0.3 GB free" in finding.state


def test_a_folder_that_does_not_exist_yet_is_no_obstacle(monkeypatch, tmp_path):
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path / "not" / "yet"))
    assert doctor.disk().ok
    assert doctor.folder().ok


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path / "file" / "home"))
    finding = doctor.folder()
    assert not finding.ok
    assert "VIT_COURSE_HOME" in finding.advice
