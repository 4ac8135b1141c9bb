"""No attack gets a credit, each has its own row, and nobody else is affected."""

import os
import socket
from pathlib import Path

import pytest
from grading_attacks import ATTACKS, COUNT, EMBEDDING, FINDS, HARMS, LOOKS, OUTSIDE, PATCHES, PATCHIFY

import vit_course
from vit_course.grading import sandbox
from vit_course.grading.confine import Limits
from vit_course.grading.marking import Marker, Unprotected

# Somebody else's right answer, marked right after the attack.
WITNESS, GOOD = "to_channels_first", "def to_channels_first(images):\n    return images.permute(0, 3, 1, 2)\n"
ANSWER = """
def patchify(images, patch_size):
    b, c, h, w = images.shape
    cut = images.reshape(b, c, h // patch_size, patch_size, w // patch_size, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch_size * patch_size * c)
"""
# What only bubblewrap keeps from an answer: to read files that lie anywhere on the machine.
NEEDS_BUBBLEWRAP = {"the wheel", "read another's work"}
# What goes for the worker itself, or for the next in line.
NEIGHBOURS = ("leave something for the next", "take what another left", "kill all", "a fork", "the parent's memory")
FAST = Limits(cpu=3, wall=15.0, memory=2**30)


class Outside:
    """What the attacks go for: a file of somebody else's, an answer that lies about, a port, a variable."""

    def __init__(self, folder):
        self.work = folder / "others"
        self.work.mkdir()
        self.canary = self.work / "answer.ipynb"
        self.canary.write_text("somebody else's work")
        (self.work / "kept.py").write_text(ANSWER)
        self.door = socket.create_server(("127.0.0.1", 0))
        self.door.setblocking(False)

    def aimed(self, code):
        places = {"port": self.door.getsockname()[1], "canary": self.canary, "secret": self.work}
        for name, value in {**places, "course": Path(vit_course.__file__).parent}.items():
            code = code.replace("{" + name + "}", str(value))
        return code

    def untouched(self):
        with pytest.raises(BlockingIOError):
            self.door.accept()
        assert self.canary.read_text() == "somebody else's work"
        assert sorted(os.listdir(self.work)) == ["answer.ipynb", "kept.py"]
        assert not [one for one in ("/tmp", "/dev/shm", "/var/tmp", "/") if os.path.exists(f"{one}/left-behind")]
        return True


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    return Outside(tmp_path_factory.mktemp("outside"))


def running(*use):
    os.environ["GRADING_SECRET"] = "a secret of the instructor"
    try:
        with Marker(seed=99, limits=FAST, use=use, allow_unprotected=True) as marker:
            yield marker
    finally:
        os.environ.pop("GRADING_SECRET", None)


@pytest.fixture(scope="module")
def protected():
    if sandbox.bubblewrap() is None:
        pytest.skip("bubblewrap is missing, or does not work here")
    yield from running("bubblewrap", "processes", "calls")


@pytest.fixture(scope="module")
def without_bubblewrap():
    yield from running("processes", "calls")


@pytest.fixture(scope="module")
def without_processes():
    """bubblewrap, where users may not make namespaces within it (Ubuntu's AppArmor)."""
    if sandbox.bubblewrap() is None:
        pytest.skip("bubblewrap is missing, or does not work here")
    yield from running("bubblewrap", "calls")


@pytest.fixture(scope="module")
def without_anything():
    yield from running()


def attacked(marker, outside, attack):
    name = next((one for one in (COUNT, EMBEDDING) if f"{one}(" in ATTACKS[attack]), PATCHIFY)
    mark, witness = marker.mark([outside.aimed(ATTACKS[attack]), GOOD], [name, WITNESS])
    assert (mark.exercise, witness.exercise) == (name, WITNESS)
    assert witness.passed or mark.message.endswith("Nothing in this notebook was tried."), witness
    (other,) = marker.mark([GOOD], [WITNESS])  # another student
    assert other.passed and not other.remarks, other
    assert outside.untouched()
    said = f"{mark.message} {mark.remarks}"
    assert "a secret of the instructor" not in said and len(said) < 10_000
    return mark


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_gets_no_credit_and_harms_nobody(protected, outside, attack):
    mark = attacked(protected, outside, attack)
    assert mark.status in ("failed", "error", "refused", "unattempted", "missing"), mark
    assert "somebody else's work" not in mark.message


@pytest.mark.parametrize("attack", {**FINDS, **OUTSIDE})
def test_without_bubblewrap(without_bubblewrap, outside, attack):
    parts = without_bubblewrap.protections
    if parts["processes"].startswith("missing") or parts["calls"].startswith("missing"):
        pytest.skip("this system has no namespaces for users, or no filter of calls")
    mark = attacked(without_bubblewrap, outside, attack)
    if attack in NEEDS_BUBBLEWRAP:
        assert any("tried to open" in one for one in mark.remarks), mark
    else:
        assert not mark.passed, mark


@pytest.mark.slow
@pytest.mark.parametrize("attack", HARMS)
def test_harm_without_bubblewrap(without_bubblewrap, outside, attack):
    test_without_bubblewrap(without_bubblewrap, outside, attack)


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, marks=[pytest.mark.slow] * (attack not in NEIGHBOURS))
        for attack in {**FINDS, **HARMS, **OUTSIDE}
    ],
)
def test_without_processes_of_its_own(without_processes, outside, attack):
    assert not attacked(without_processes, outside, attack).passed


@pytest.mark.slow
@pytest.mark.parametrize("attack", {**LOOKS, **PATCHES})
def test_the_verdict_needs_no_protection(without_anything, outside, attack):
    """It is made where the code never ran; that holds on any system."""
    assert not attacked(without_anything, outside, attack).passed


def test_a_right_answer_beside_noise_is_right(protected):
    """What only looks odd costs nothing: prints, warnings, another's cell that stops."""
    cells = [
        "import warnings, nothing_like_it\nwarnings.warn('no')",
        "raise SystemExit",
        "def patchify(:",
        "%timeit 1\n!rm -rf /",
        ANSWER.replace(
            "    b, c", "    print('x' * 10**6)\n    import warnings\n    warnings.warn('old')\n    b, c", 1
        ),
    ]
    (mark,) = protected.mark(cells, [PATCHIFY])
    assert mark.passed and not mark.remarks, mark


def test_without_bubblewrap_it_has_to_be_allowed(monkeypatch):
    with pytest.raises(Unprotected, match="--allow-unprotected"):
        Marker(seed=1, use=("processes", "calls"))
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    sandbox.bubblewrap.cache_clear()
    try:
        with pytest.raises(Unprotected, match="apt install bubblewrap"):
            Marker(seed=1)
    finally:
        monkeypatch.undo()
        sandbox.bubblewrap.cache_clear()


def test_protections_are_said(without_anything, without_bubblewrap):
    said = without_anything.protections
    assert [name for name, text in said.items() if text.startswith("missing: ")] == [
        *("files", "network", "processes", "calls")
    ]
    assert without_bubblewrap.protections["files"].startswith("missing: ")


def test_there_are_many():
    assert len(ATTACKS) >= 40
