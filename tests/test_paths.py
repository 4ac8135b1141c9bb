"""Files are written whole, whoever else writes them."""

import os
from concurrent.futures import ThreadPoolExecutor

from vit_course import paths
from vit_course.training.snapshots import Snapshots


def test_many_may_write_one_file_at_once(tmp_path):
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: paths.write_whole(path, bytes([number]) * 10_000), range(100)))
    content = path.read_bytes()
    assert len(content) == 10_000 and len(set(content)) == 1
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_a_file_is_as_public_as_any_other(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    paths.write_whole(tmp_path / "whole", b"")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_process_left_goes_and_what_another_still_writes_stays(tmp_path):
    snapshot = ".step-00000001.0123456789abcdef.pt"
    for name in (".[file].", f"{snapshot}."):
        (tmp_path / f"{name}1").touch()
        os.utime(tmp_path / f"{name}1", (0, 0))
        (tmp_path / f"{name}2").touch()
    paths.write_whole(tmp_path / "[file]", b"")
    Snapshots(tmp_path).save(2, {})
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".[file].2", f"{snapshot}.2"]
