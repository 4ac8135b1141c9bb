"""What every test gets: a course folder of its own, no network, one thread; and real images where there are some."""

import os
import tarfile
import tempfile
from pathlib import Path

import pytest

# Workers share few cores. Before torch is imported, and inherited by the kernels that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import settings

settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")

ROOT = Path(__file__).resolve().parent.parent
GIVEN_DATA = os.environ.get("VIT_COURSE_DATA")
ARCHIVE = ROOT.parent / "shared" / "data" / "cifar10.tar.xz"


@pytest.fixture(autouse=True)
def course_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes this machine's own progress, data or settings, and none uses the network."""
    for name in ("VIT_COURSE_DATA", "VIT_COURSE_STRICT", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VIT_COURSE_HOME", str(tmp_path_factory.mktemp("vit_course_home")))
    monkeypatch.setenv("VIT_COURSE_OFFLINE", "1")
    monkeypatch.setenv("VIT_COURSE_PROFILE", "smoke")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m real_images` picks the tests that use them."""
    for item in items:
        if "real_images" in getattr(item, "fixturenames", ()):
            item.add_marker("real_images")


@pytest.fixture(scope="session")
def images_at_hand() -> tuple[Path | None, str]:
    """A folder to use as VIT_COURSE_DATA, with `cifar10/{train,test}/<class>/…`; or None, and why there is none.

    `$VIT_COURSE_DATA` if it holds such a folder, else the archive in a `shared/data` beside the checkout, unpacked
    once into the ignored `.data/`.
    """
    if GIVEN_DATA:
        given = Path(GIVEN_DATA).expanduser().resolve()
        if all((given / "cifar10" / split).is_dir() for split in ("train", "test")):
            return given, ""
        return None, f"VIT_COURSE_DATA={GIVEN_DATA} has no cifar10/train and cifar10/test folders of images"
    folder = ROOT / ".data"
    if not (folder / "cifar10").is_dir():
        if not ARCHIVE.is_file():
            return None, "no real images: VIT_COURSE_DATA is not set and there is no ../shared/data/cifar10.tar.xz"
        unpack(ARCHIVE, folder / "cifar10")
    return folder, ""


@pytest.fixture(scope="session")
def real_images(images_at_hand: tuple[Path | None, str]) -> Path:
    """The folder of `images_at_hand`; skips the test where there is none."""
    folder, reason = images_at_hand
    if folder is None:
        pytest.skip(reason)
    return folder


def unpack(archive: Path, target: Path) -> None:
    """Unpack an archive to be `target`, all or nothing, whichever of several workers is first."""
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        with tarfile.open(archive) as tar:
            # Python 3.10 before 3.10.12 has no filter; the archive is the project's own.
            tar.extractall(temporary, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        try:
            os.rename(temporary, target)
        except OSError:
            if not target.is_dir():
                raise
        else:
            os.mkdir(temporary)  # for TemporaryDirectory to delete
