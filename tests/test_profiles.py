import subprocess
import sys

import pytest
import torch

from vit_course import profiles
from vit_course.profiles import PROFILES, device, precision, profile


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu"])
def test_the_variable_chooses(monkeypatch, name):
    monkeypatch.setenv("VIT_COURSE_PROFILE", name)
    assert profile().name == name


def test_an_unknown_name_is_refused_with_the_names_there_are(monkeypatch):
    monkeypatch.setenv("VIT_COURSE_PROFILE", "huge")
    with pytest.raises(ValueError, match=r"'huge'; set it to one of smoke, cpu, gpu"):
        profile()


@pytest.mark.parametrize(("found", "name"), [("cpu", "cpu"), ("cuda", "gpu"), ("mps", "gpu")])
@pytest.mark.parametrize("unset", [None, ""])
def test_without_the_variable_the_device_chooses(monkeypatch, found, name, unset):
    monkeypatch.delenv("VIT_COURSE_PROFILE")
    if unset is not None:
        monkeypatch.setenv("VIT_COURSE_PROFILE", unset)
    monkeypatch.setattr(profiles, "device", lambda: torch.device(found))
    assert profile().name == name


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_fastest_device_is_taken(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    device.cache_clear()
    try:
        assert device() == torch.device(expected)
    finally:
        device.cache_clear()


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_a_gpu_computes_in_the_half_precision_that_it_has(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    cuda = torch.device("cuda")
    assert precision("auto", cuda) == getattr(torch, expected)
    assert precision("float32", cuda) == torch.float32


@pytest.mark.parametrize(("has_it", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_computes_in_bfloat16_where_it_has_instructions_for_it(monkeypatch, has_it, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_it, raising=False)
    assert precision("auto", torch.device("cpu")) == getattr(torch, expected)
    assert precision("auto", torch.device("mps")) == torch.float32


def test_a_larger_profile_loads_more():
    assert PROFILES["smoke"].images < PROFILES["cpu"].images < PROFILES["gpu"].images
    assert PROFILES["smoke"].seconds < PROFILES["cpu"].seconds


def test_torch_is_imported_only_when_a_device_is_asked_for():
    code = "import sys, vit_course.profiles; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
