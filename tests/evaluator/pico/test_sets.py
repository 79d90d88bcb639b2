from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator.pico import sets
from promptclimb.evaluator.pico.world.art import ASSETS, Art
from promptclimb.evaluator.pico.world.scenes import TWO
from training.gather_art import HAND_FONTS, PRINT_FONTS, SOURCES


@pytest.mark.parametrize("name", sets.names())
def test_a_set_says_what_it_is(name: str) -> None:
    """A set has 10 to 20 distinct classes, a title, and templates of both kinds with a slot each."""
    spec = sets.spec(name)
    assert 10 <= len(spec.classes) == len(set(spec.classes)) <= 20
    assert sets.title(name) == spec.title
    assert len(spec.matching) >= 2
    assert len(spec.contradicting) >= 2
    assert all("{}" in template for template in (*spec.matching, *spec.contradicting))
    assert not set(spec.matching) & set(spec.contradicting)


@pytest.mark.parametrize("name", sets.names())
def test_pictures_depend_on_the_seed_alone(name: str) -> None:
    """The same set, split and seed give the same pictures; another split or seed gives others."""
    first, again, other, shots = (
        [np.asarray(picture) for _, picture in islice(sets.pictures(name, split, seed), 3)]
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


def test_every_class_of_a_set_of_names_is_drawn_as_its_rule_says() -> None:
    """Senses and shown things are one per class and have a picture; no two classes share one."""
    art = Art.shipped()
    for spec in map(sets.spec, sets.names()):
        if spec.senses or spec.shown:
            assert len(spec.classes) in (len(spec.senses), len(spec.shown))
            scenes = [sets.scene_of(spec, label, Random(1)) for label in spec.classes]
            keys = [f"{one.name}/{one.detail}" if one.detail else one.name for one in scenes]
            assert all(map(art.has, keys))
            pictures = [{cut.tobytes() for cut in art._cutouts[key]} for key in keys]
            assert len(set.union(*pictures)) == sum(map(len, pictures))


def test_written_sets_are_class_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set is written as SPLIT/CLASS NAME/NUMBER.png with as many pictures as were asked for."""
    monkeypatch.setattr(sets, "TRAIN", 3)
    monkeypatch.setattr(sets, "VAL", 2)
    monkeypatch.setattr(sets, "TEST", 20)
    sets.write("backgrounds", tmp_path)
    classes = set(sets.spec("backgrounds").classes)
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        assert {folder.name for folder in (tmp_path / split).iterdir()} == classes
        files = sorted((tmp_path / split / "red").iterdir())
        assert [file.name for file in files] == [f"{i:05d}.png" for i in range(count)]
        with Image.open(files[0]) as picture:
            assert picture.size == (64, 64)


def test_sizes_allow_sixteen_shots_and_a_thousand_tests() -> None:
    """There are at least 32 training, 8 validation and, over all classes, 1,000 test pictures."""
    assert sets.TRAIN >= 32
    assert sets.VAL >= 8
    assert sets.TEST >= 1000


def test_shipped_art_is_in_no_training_picture() -> None:
    """Training has other fonts and cut-outs than the sets, the shots other fonts than the test images."""
    shipped = {path.stem.split("-", 1)[1] for path in (ASSETS / "fonts").glob("*.woff")}
    assert shipped == {*sets._TEST_FONTS, *sets._SHOT_FONTS}
    assert not set(sets._TEST_FONTS) & set(sets._SHOT_FONTS)
    assert not shipped & {*PRINT_FONTS, *HAND_FONTS}
    assert {path.stem for path in ASSETS.glob("*.npz")} == {"cutouts-noto-v1"}
    assert SOURCES["noto-v1"].held_out


def test_an_unknown_set_is_refused() -> None:
    """The message names the sets that there are."""
    with pytest.raises(KeyError, match="no bundled set 'cats'; there are tallies"):
        sets.spec("cats")
