"""Folders of class folders, with and without split folders."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from promptclimb.evaluator.datasets.readers.folders import read_folder
from promptclimb.evaluator.errors import DataError
from tests.evaluator.datasets.conftest import MakeImages, save_image
from tests.fakes.data_sets import load


def test_a_flat_folder_is_split_by_a_fixed_rule(tmp_path: Path, make_images: MakeImages) -> None:
    """Half, a fifth and three tenths of each class, the same at every reading, and said so."""
    make_images(tmp_path, {"cat": 20, "dog": 10})
    first, again = read_folder(tmp_path), read_folder(tmp_path)
    assert first == again
    for items, share in ((first.train, 0.5), (first.val, 0.2), (first.test, 0.3)):
        assert [item.label for item in items].count(0) == 20 * share
        assert [item.label for item in items].count(1) == 10 * share
    assert len(set(first.train + first.val + first.test)) == 30
    assert any("test were made" in note for note in first.notes)


def test_the_test_split_does_not_depend_on_the_seed(tmp_path: Path, make_images: MakeImages) -> None:
    """Every few-shot seed is judged on the same images; the shots themselves differ."""
    make_images(tmp_path, {"cat": 30, "dog": 30})
    first, second = (load(str(tmp_path), shots=4, seed=seed) for seed in (1, 2))
    assert first.test.open() == second.test.open()
    assert first.train != second.train


@pytest.mark.parametrize(
    ("counts", "sizes", "note"),
    [
        ({"train/a": 4, "train/b": 4, "test/a": 4, "test/b": 4}, (8, 0, 8), "no val split"),
        ({"train/a": 4, "train/b": 4, "valid/a": 6, "valid/b": 7}, (8, 6, 7), "half of the val images"),
        ({"train/a": 10, "train/b": 10}, (10, 4, 6), "test were made"),
    ],
)
def test_missing_splits_are_made_by_rule_or_stay_empty(
    tmp_path: Path, make_images: MakeImages, counts: dict[str, int], sizes: tuple[int, ...], note: str
) -> None:
    """Test from val, all from train alone; no images of a train folder with a test split become val."""
    splits = read_folder(make_images(tmp_path, counts))
    assert (len(splits.train), len(splits.val), len(splits.test)) == sizes
    assert len(set(splits.train + splits.val + splits.test)) == sum(sizes)
    assert any(note in line for line in splits.notes)


def test_a_class_may_be_called_train(tmp_path: Path, make_images: MakeImages) -> None:
    """A folder "train" with images in it, beside "bus", is a kind of vehicle."""
    make_images(tmp_path, {"train": 5, "bus": 5})
    assert read_folder(tmp_path).classes == ("bus", "train")


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"), ("Train", "Val", "Test"), ("training", "validation", "testing"),
        ("TRAINING", "Valid", "test"),
    ],
)  # fmt: skip
def test_split_folders_are_taken_as_they_are_by_longer_names_too_in_any_casing(
    tmp_path: Path, make_images: MakeImages, names: tuple[str, str, str]
) -> None:
    """Train and Test are not two classes; labels follow the sorted folder names."""
    for name, count in zip(names, (5, 3, 4), strict=True):
        make_images(tmp_path / name, {"snow_leopard": count, "Cat": count})
    splits = read_folder(tmp_path)
    assert (splits.classes, splits.notes) == (("Cat", "snow leopard"), ())
    assert (len(splits.train), len(splits.val), len(splits.test)) == (10, 6, 8)
    for items, name in zip((splits.train, splits.val, splits.test), names, strict=True):
        assert {item.path.parent.parent.name for item in items} == {name}
    make_images(tmp_path / names[2], {"c": 1})
    with pytest.raises(DataError, match=f"no images under {tmp_path / names[0]}"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            {"Train/a": 3, "Train/b": 3, "train/a": 3, "test/a": 3},
            "both Train and train, which mean the same",
        ),
        ({"train/a": 3, "train/b": 3, "val/a": 1, "validation/a": 1}, "both val and validation"),
        ({"Test/a": 3, "Test/b": 3, "Trainset/a": 3}, "Test with class folders .* there is no folder train"),
        ({"val/a": 3, "test/b": 3, "learn/a": 3}, "test and val with class folders"),
        ({"train/a": 3, "train/b": 3, "train": 1, "test/a": 3}, "no folder train that .* no images"),
        ({"Train": 4, "Test": 4}, "Test and Train are splits by their names, but hold no class folders"),
        ({"train/steam": 3, "train/electric": 3, "bus": 6}, "but bus beside it holds images too"),
    ],
)
def test_folders_that_may_be_splits_or_classes_are_refused(
    tmp_path: Path, make_images: MakeImages, counts: dict[str, int], message: str
) -> None:
    """A guess would give figures that mean nothing; the message says why and what to rename."""
    make_images(tmp_path, counts)
    with pytest.raises(DataError, match=message) as caught:
        read_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_folders_beside_the_splits_are_named_in_a_note(tmp_path: Path, make_images: MakeImages) -> None:
    """Images that nobody assigned to a split are passed over; a folder without images is not worth a note."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 1, "test/b": 1, "pred/x": 2, "labels": 0})
    notes = read_folder(tmp_path).notes
    assert any(note == "folders beside the splits were skipped: pred" for note in notes)


def test_other_files_are_skipped_and_counted(tmp_path: Path, make_images: MakeImages) -> None:
    """Hidden ones are not worth a note; for HEIC the note says to convert it."""
    make_images(tmp_path, {"a": 4, "b": 4})
    for name in ("a/Thumbs.db", "a/notes.txt", "b/.DS_Store", "readme.md", "a/IMG_1.HEIC", "b/IMG_2.heic"):
        (tmp_path / name).write_bytes(b"ftypheic")
    (note,) = (note for note in read_folder(tmp_path).notes if note.startswith("skipped"))
    assert "4 files that are not images (.heic, .db, .txt); convert them to JPEG" in note


@pytest.mark.parametrize(
    ("counts", "photographs", "message"),
    [
        ({"a": 4}, ("b/1.cr2",), r"b holds no image, but .*\(.cr2\); convert them"),
        ({"a": 0, "b": 0}, ("a/1.heic", "b/1.heic"), r"no image that is read, but 2 files .*\(.heic\)"),
        ({}, ("1.heic", "2.heic"), "holds no image that is read, but 2 files"),
    ],
)
def test_a_class_of_nothing_but_unread_photographs_is_refused_as_such(
    tmp_path: Path, make_images: MakeImages, counts: dict[str, int], photographs: tuple[str, ...],
    message: str,
) -> None:  # fmt: skip
    """In one class folder, in all of them, or without class folders."""
    make_images(tmp_path, counts)
    for name in photographs:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no PNG")
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path)


def test_links_are_followed_and_loops_are_not(tmp_path: Path, make_images: MakeImages) -> None:
    """Linked images and class folders are read; a link back to a folder above ends the walk."""
    make_images(tmp_path / "store", {"a": 4, "b": 4})
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").symlink_to(tmp_path / "store" / "a")
    (data / "b").mkdir()
    for image in (tmp_path / "store" / "b").iterdir():
        (data / "b" / image.name).symlink_to(image)
    (data / "b" / "loop").symlink_to(data)
    (data / "b" / "above").symlink_to(tmp_path)  # would bring the images of every class
    (tmp_path / "store" / "a" / "again").symlink_to(tmp_path / "store" / "a")
    splits = read_folder(data)
    items = splits.train + splits.val + splits.test
    assert {(item.label, item.path.parent.name) for item in items} == {(0, "a"), (1, "b")}
    assert len(items) == 8


def test_a_folder_by_a_relative_path_gives_absolute_paths(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every path in a split can be opened from anywhere."""
    make_images(tmp_path / "pets", {"a": 4, "b": 4})
    monkeypatch.chdir(tmp_path)
    data = load("./pets", shots=1)
    assert data.name == "pets"
    assert all(item.path.is_absolute() for item in data.train)


def test_accents_are_compared_however_they_are_written(tmp_path: Path, make_images: MakeImages) -> None:
    """A folder copied over a Mac has the same name in other code points, and is the same class."""
    accented = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    make_images(tmp_path / "train", {accented: 3, "bar": 3})
    make_images(tmp_path / "test", {unicodedata.normalize("NFD", accented): 2, "bar": 1})
    splits = read_folder(tmp_path)
    assert splits.classes == ("bar", accented)
    assert [item.label for item in splits.test] == [0, 1, 1]
    assert not any("has no images" in note for note in splits.notes)


NAMES = ("{braces}", "100% wool", 'it\'s "so"', "猫", "чайник", " ".join(["long"] * 40))


def test_any_text_may_be_a_class_name(tmp_path: Path, make_images: MakeImages) -> None:
    """Braces, percent signs, quotes, other scripts, forty words: they are text, and stay as they are."""
    make_images(tmp_path, dict.fromkeys(NAMES, 4))
    assert set(read_folder(tmp_path).classes) == set(NAMES)


@pytest.mark.parametrize(
    ("inside", "counts", "message"),
    [
        ("absent", {}, "no data set of that name"),
        ("000.png", {"": 1}, "000.png is a file"),
        ("", {"": 0}, "holds no image"),
        ("", {"": 1}, "no class folders"),
        ("", {"cat": 5}, "at least two are needed"),
        (
            "",
            {"all/cat": 4, "all/dog": 4},
            "one class only.*expected DIR/CLASS.*; if the classes are in its 2 folders, give .*all$",
        ),
        ("", {"all/train/cat": 4, "all/train/dog": 4, "all/test/cat": 1}, "its 2 folders, give .*all$"),
        ("", {"cat": 0, "dog": 0}, "holds no image"),
        ("", {"cat": 5, "dog": 0}, "dog holds no image"),
        ("", {"train/a": 3, "train/b": 3, "test/a": 1, "test/c": 1}, "no images under"),
        ("", {"polar_bear": 4, "polar bear": 4}, "stands for 2 classes"),
    ],
)
def test_a_folder_that_cannot_be_used_is_explained(
    tmp_path: Path, make_images: MakeImages, inside: str, counts: dict[str, int], message: str
) -> None:
    """Each kind of broken folder has a message that names it."""
    make_images(tmp_path, counts)
    with pytest.raises(DataError, match=message) as caught:
        load(f"{tmp_path}/{inside}".rstrip("/"), shots=1)
    assert str(tmp_path) in str(caught.value)


def test_classes_that_hold_folders_alone_are_noted(tmp_path: Path, make_images: MakeImages) -> None:
    """A folder too high, or splits within each class, is read as it stands, but not in silence."""
    make_images(tmp_path, {"cat/small": 4, "cat/large": 4, "dog/small": 4})
    (note,) = (note for note in read_folder(tmp_path).notes if "folders such as" in note)
    assert note == (
        f"check the classes: they are the 2 folders in {tmp_path}, none of which holds an image itself; "
        f"images lie in folders such as {Path('cat', 'large')}"
    )
    make_images(tmp_path, {"dog": 1})
    (note,) = (note for note in read_folder(tmp_path).notes if "check the classes" in note)
    assert (
        note == "check the classes: 'cat' is one, though its images lie in 2 folders below it, such as large"
    )
    make_images(tmp_path, {"cat": 1})
    assert not [note for note in read_folder(tmp_path).notes if "check the classes" in note]


def test_runs_in_the_folder_of_images_are_no_class(tmp_path: Path, make_images: MakeImages) -> None:
    """With ``--data .`` a search puts its run, a study its lock and its figure, beside the class folders."""
    make_images(tmp_path, {"cat": 4, "dog": 4})
    before = read_folder(tmp_path)
    (tmp_path / "runs/suite").mkdir(parents=True)
    for name in (".lock", ".pid"):
        (tmp_path / "runs/suite" / name).touch()
    assert read_folder(tmp_path) == before
    for run_folder in (
        "runs/one/store",
        "runs/begun/store",
        "runs/study/cell/store",
        "runs/left",
        "mine/store",
    ):
        (tmp_path / run_folder).mkdir(parents=True)
    for run in ("runs/one", "mine"):
        (tmp_path / run / "config.toml").touch()
    (tmp_path / "runs/study/suite.json").touch()
    save_image(tmp_path / "runs/study/study.png", 99)
    assert read_folder(tmp_path) == before
    save_image(tmp_path / "runs/jogger.png", 98)
    assert read_folder(tmp_path).classes == ("cat", "dog", "runs")
