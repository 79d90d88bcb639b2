"""What was found in files is found again without reading them, and never when one of them changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from promptclimb.evaluator.files import SETTLED_NS, SeenFiles

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nothing is kept on Windows")


class Reading:
    """Joins the contents of files, and counts how often."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.times = paths, 0

    def __call__(self) -> list[str]:
        self.times += 1
        return [path.read_text() for path in self.paths]


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    paths = [tmp_path / name for name in ("a", "b")]
    for path in paths:
        path.write_text(f"in {path.name}")
    return Reading(paths)


def later(folder: Path) -> SeenFiles:
    """What is known at a time when nothing has changed for long."""
    return SeenFiles(folder, clock=lambda: time.time_ns() + 2 * SETTLED_NS)


def test_files_are_read_once(reading: Reading, tmp_path: Path) -> None:
    """In another process too: what was found is on disk."""
    for _ in range(3):
        assert later(tmp_path / "seen").known("text", reading.paths, reading) == ["in a", "in b"]
    assert reading.times == 1
    assert later(tmp_path / "seen").known("other", reading.paths, reading) == ["in a", "in b"]
    assert reading.times == 2


def rewrite(path: Path) -> None:
    """Other bytes of the same length, and the old time of change."""
    before = path.stat()
    path.write_text("IN B")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Another file takes its place."""
    other = path.with_name("other")
    other.write_text("IN B")
    other.replace(path)


@pytest.mark.parametrize("change", [rewrite, replace])
def test_a_changed_file_is_read_again(
    change: Callable[[Path], None], reading: Reading, tmp_path: Path
) -> None:
    """Whatever its size and its time of change say."""
    later(tmp_path / "seen").known("text", reading.paths, reading)
    change(reading.paths[1])
    assert later(tmp_path / "seen").known("text", reading.paths, reading) == ["in a", "IN B"]
    assert len(list((tmp_path / "seen").iterdir())) == 1


def test_files_in_another_order_are_others(reading: Reading, tmp_path: Path) -> None:
    """As are fewer of them."""
    later(tmp_path / "seen").known("text", reading.paths, reading)
    reading.paths.reverse()
    assert later(tmp_path / "seen").known("text", reading.paths, reading) == ["in b", "in a"]
    reading.paths.pop()
    assert later(tmp_path / "seen").known("text", reading.paths, reading) == ["in b"]


def test_what_may_change_unseen_is_not_kept(reading: Reading, tmp_path: Path) -> None:
    """A file that was changed just now may be changed again within a tick of its clock; or it is missing."""
    for _ in range(2):
        SeenFiles(tmp_path / "seen", clock=time.time_ns).known("text", reading.paths, reading)
    assert reading.times == 2
    with pytest.raises(FileNotFoundError):
        later(tmp_path / "seen").known("text", [*reading.paths, tmp_path / "c"], (tmp_path / "c").read_text)  # type: ignore[arg-type]
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"stamp": 1}'])
def test_what_is_kept_is_not_trusted(content: str, reading: Reading, tmp_path: Path) -> None:
    """A file that is not what was written counts for nothing; one that cannot be written costs nothing."""
    later(tmp_path / "seen").known("text", reading.paths, reading)
    (kept,) = (tmp_path / "seen").iterdir()
    kept.write_text(content)
    assert later(tmp_path / "seen").known("text", reading.paths, reading) == ["in a", "in b"]
    assert later(reading.paths[0]).known("text", reading.paths, reading) == ["in a", "in b"]
    assert reading.times == 3


def test_what_was_found_is_not_kept_for_ever(reading: Reading, tmp_path: Path) -> None:
    """Files of long ago go when another is written."""
    later(tmp_path / "seen").known("text", reading.paths, reading)
    (old,) = (tmp_path / "seen").iterdir()
    os.utime(old, (0, 0))
    later(tmp_path / "seen").known("other", reading.paths, reading)
    assert not old.exists()
    assert len(list((tmp_path / "seen").iterdir())) == 1
