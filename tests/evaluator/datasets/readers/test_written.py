"""Sets that come as arrays are written out once, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator.datasets.readers.bundled import DIGIT_CLASSES
from promptclimb.evaluator.datasets.readers.written import MARKER, read_marker, written_once
from promptclimb.evaluator.errors import DataError
from tests.fakes.data_sets import load


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


class Writer:
    """Writes two class folders, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> tuple[str, ...]:
        self.calls += 1
        for name in ("b", "a"):
            (folder / name).mkdir()
            (folder / name / "0.png").write_bytes(b"picture")
        return ("b", "a")


def test_it_is_written_once_a_version(fresh_cache: Path) -> None:
    """The second call finds the first one's folder, and the order of its classes."""
    writer = Writer()
    first = written_once("made", "1", writer)
    assert first == written_once("made", "1", writer) == (fresh_cache / "made-1", ("b", "a"))
    assert writer.calls == 1
    assert written_once("made", "2", writer)[0] != first[0]
    assert writer.calls == 2


@pytest.mark.parametrize("damage", ["file gone", "marker gone", "marker torn"])
def test_a_folder_that_is_not_whole_is_written_again(fresh_cache: Path, damage: str) -> None:
    """A cleaner that removed a file, or a crash of another program, does no harm."""
    writer = Writer()
    folder, _order = written_once("made", "1", writer)
    if damage == "file gone":
        (folder / "a" / "0.png").unlink()
    elif damage == "marker gone":
        (folder / MARKER).unlink()
    else:
        (folder / MARKER).write_text('{"files": ')
    assert read_marker(folder) is None
    assert (written_once("made", "1", writer)[0] / "a" / "0.png").is_file()
    assert writer.calls == 2


def test_a_writer_that_fails_leaves_nothing(fresh_cache: Path) -> None:
    """No folder under the set's name, and no draft either."""

    def fail(folder: Path) -> None:
        (folder / "half").mkdir()
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"No space left.*PROMPTCLIMB_CACHE"):
        written_once("made", "1", fail)
    assert list(fresh_cache.iterdir()) == []


def test_two_writers_at_once_agree(fresh_cache: Path) -> None:
    """The slower one finds the faster one's folder in place and uses it."""
    fast, slow = Writer(), Writer()

    def overtaken(folder: Path) -> tuple[str, ...]:
        written_once("made", "1", fast)
        return slow(folder)

    folder, _order = written_once("made", "1", overtaken)
    assert read_marker(folder) == ("b", "a")
    assert [entry.name for entry in fresh_cache.iterdir()] == ["made-1"]


def test_drafts_of_a_crash_are_swept_after_a_day(fresh_cache: Path) -> None:
    """An old draft goes; one that another process may be writing stays."""
    for name in (".draft-old", ".draft-new"):
        (fresh_cache / name).mkdir(parents=True)
    os.utime(fresh_cache / ".draft-old", (0, 0))
    written_once("made", "1", Writer())
    assert {entry.name for entry in fresh_cache.iterdir()} == {"made-1", ".draft-new"}


@pytest.mark.slow
def test_digits_are_faithful_scans() -> None:
    """Every scan is there under its digit, upright, dark on white, and shrinks back to what it was."""
    from sklearn.datasets import load_digits  # takes two seconds

    data = load("digits", shots=16, seed=1)
    assert data.classes == DIGIT_CLASSES
    assert (len(data.train), len(data.val)) == (160, 40)
    assert data.test.size > 1000
    source = load_digits()
    for item in data.train:
        number = int(item.path.stem)
        assert source.target[number] == item.label
        with Image.open(item.path) as image:
            assert image.size == (64, 64)
            small = np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=float)
        ink = 16 * (1 - small / 255)
        assert np.corrcoef(ink.ravel(), source.images[number].ravel())[0, 1] > 0.95

    everything = {*data.train, *data.val, *data.test.open()}
    assert len(everything) == 160 + 40 + data.test.size
