"""Few-shot indices that the user brings."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptclimb.evaluator.datasets.sampling import read_few_shot_file
from promptclimb.evaluator.datasets.values import Item, Splits
from promptclimb.evaluator.errors import DataError
from tests.evaluator.datasets.conftest import unless_refused


def items(part: str) -> tuple[Item, ...]:
    return tuple(
        Item(Path(f"/data/{part}/{label}/{number}.jpg"), label) for label in (0, 1) for number in range(3)
    )


SPLITS = Splits(
    name="made up",
    classes=("a", "b"),
    train=items("train"),
    val=items("val"),
    test=items("test"),
    root=Path("/data"),
)


def entry(path: str, label: int) -> dict[str, Any]:
    return {"impath": path, "label": label, "classname": "whatever"}


GOOD = {"data": [entry("./x/train/0/2.jpg", 0), entry("./x/train/1/0.jpg", 1)], "indices": [2, 3]}


def written(folder: Path, document: Any) -> Path:
    file = folder / "shots.json"
    file.write_text(json.dumps(document), "utf-8")
    return file


def test_indices_are_places_in_the_whole_list(tmp_path: Path) -> None:
    """Whatever the folder was called where the file was made."""
    train, val = read_few_shot_file(written(tmp_path, {"train": GOOD}), SPLITS)
    assert train == (SPLITS.train[2], SPLITS.train[3])
    assert val == ()


def test_without_indices_paths_are_found_by_their_ends(tmp_path: Path) -> None:
    """File names repeat between class folders; the label and the longest common end decide."""
    document = {
        "train": {"data": GOOD["data"]},
        "val": {"data": [entry("C:\\d\\val\\1\\1.jpg", 1)]},
    }
    train, val = read_few_shot_file(written(tmp_path, document), SPLITS)
    assert train == (SPLITS.train[2], SPLITS.train[3])
    assert val == (SPLITS.val[4],)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "must be"),
        ({"val": GOOD}, "must be"),
        ({"train": []}, "train: expected"),
        ({"train": {"data": {}}}, "train: expected"),
        ({"train": {"data": [1]}}, r"train\[0\]: expected"),
        ({"train": {"data": [entry("0.jpg", True)]}}, r"train\[0\]: expected"),
        ({"train": {**GOOD, "indices": [2]}}, "2 items but 1 indices"),
        ({"train": {**GOOD, "indices": [2, 60]}}, "index 60 is out of range: there are 6"),
        ({"train": {**GOOD, "indices": [2, -1]}}, "index -1 is out of range"),
        ({"train": {**GOOD, "indices": [2, "3"]}}, "index '3' is out of range"),
        ({"train": {**GOOD, "indices": [3, 2]}}, "belongs to another data set"),
        ({"train": {"data": [entry("nowhere.jpg", 0)]}}, "no image 'nowhere.jpg'"),
        ({"train": {"data": GOOD["data"][:1]}}, "no training image of 'b'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, document: Any, message: str) -> None:
    """The place in the file is named, and what the data set has instead."""
    with pytest.raises(DataError, match=message):
        read_few_shot_file(written(tmp_path, document), SPLITS)


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["shot_1-seed_1.pkl", "shots.json"])
def test_a_pickle_is_refused_unopened(tmp_path: Path, name: str) -> None:
    """By its suffix or its first byte; the message says how to convert it, and nothing in it ran."""
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(DataError, match=r"is a pickle.*any code.*shots.json"):
        read_few_shot_file(tmp_path / name, SPLITS)
    assert not (tmp_path / "exploded").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=9) | st.just(GOOD),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["train", "val", "data", "indices", "impath", "label"]), inner)
        ),
        max_leaves=8,
    ).map(lambda document: json.dumps(document).encode())
)
def test_any_bytes_give_shots_or_a_clear_error(tmp_path: Path, raw: bytes) -> None:
    """No file makes the reader raise anything but DataError."""
    file = tmp_path / "any.json"
    file.write_bytes(raw)
    unless_refused(lambda: read_few_shot_file(file, SPLITS), str(file))
