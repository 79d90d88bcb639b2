"""The drawn sets: each picture shows its label, and the package's archives hold what is drawn."""

from __future__ import annotations

import zipfile
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator.datasets.loading import read_splits
from promptclimb.evaluator.datasets.readers.bundled import ARCHIVES, TITLES
from promptclimb.evaluator.errors import DataError
from training import draw, sets
from training.world.scenes import TWO


def test_the_package_knows_its_sets() -> None:
    """Those that it holds, with the same titles."""
    assert TITLES.keys() <= set(sets.names())
    assert {name: sets.title(name) for name in TITLES} == TITLES


@pytest.mark.parametrize("name", TITLES)
def test_an_archive_holds_the_pictures_that_are_drawn(name: str) -> None:
    """Every class of every split is there in full; the first picture of each has the same pixels."""
    classes = sets.spec(name).classes
    sizes = {"train": sets.TRAIN, "val": sets.VAL, "test": -(-sets.TEST // len(classes))}
    with zipfile.ZipFile(ARCHIVES / f"{name}.zip") as archive:
        assert sorted(archive.namelist()) == sorted(
            f"{split}/{label}/{number:05d}.webp"
            for split, size in sizes.items()
            for label in classes
            for number in range(size)
        )
        for split in sizes:
            label, drawn = next(sets.pictures(name, split))
            with archive.open(f"{split}/{label}/00000.webp") as file:
                assert np.array_equal(np.asarray(Image.open(file)), np.asarray(drawn))


@pytest.mark.parametrize("name", sets.names())
def test_pictures_depend_on_the_seed_alone(name: str) -> None:
    """The same set, split and seed give the same pictures; another split or seed gives others."""
    first, again, other, shots = (
        [np.asarray(picture) for _, picture in islice(sets.pictures(name, split, seed), 2)]
        for split, seed in (("test", 1), ("test", 1), ("test", 2), ("train", 1))
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a in first for b in (*other, *shots))


@pytest.mark.parametrize("name", sets.names())
def test_the_label_is_in_its_role(name: str) -> None:
    """A scene shows its label in the set's role, and another class where the form holds two names."""
    spec = sets.spec(name)
    for i, label in enumerate(spec.classes):
        scene = sets.scene_of(spec, label, Random(i))
        if scene.form not in TWO.get(scene.family, ()):
            assert scene.name == (spec.shown[i] if spec.shown else label)
            assert scene.detail == (spec.senses[i] if spec.senses else scene.detail)
            continue
        own, other = (scene.name, scene.other) if spec.role == "first" else (scene.other, scene.name)
        assert own == label
        assert other in spec.classes
        assert other != label


def test_a_set_that_left_the_package_is_drawn_into_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it is under the data root, its name is enough."""
    with pytest.raises(DataError, match="there is no data set of that name"):
        read_splits("dice", data_root=tmp_path)
    for name, size in {"TRAIN": 3, "VAL": 2, "TEST": 24}.items():
        monkeypatch.setattr(sets, name, size)
    assert draw.main(["dice", str(tmp_path / "dice")]) == 0
    splits = read_splits("dice", data_root=tmp_path)
    assert set(splits.classes) == set(sets.spec("dice").classes)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (36, 24, 24)
    assert splits.name == "dice"
