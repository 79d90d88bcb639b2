"""From a name or a path to a checked few-shot problem."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from promptclimb.evaluator import files
from promptclimb.evaluator.datasets import loading
from promptclimb.evaluator.datasets.checks import check_readable
from promptclimb.evaluator.datasets.loading import check_data_name, known
from promptclimb.evaluator.datasets.readers import bundled
from promptclimb.evaluator.datasets.readers.coop import ELEVEN
from promptclimb.evaluator.datasets.values import describe
from promptclimb.evaluator.errors import DataError, UsageError
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.evaluator.datasets.conftest import MakeImages
from tests.fakes.data_sets import load


def test_known_sets_are_the_bundled_ones_digits_and_the_eleven() -> None:
    """Each once, with a title; those that lie under the data root say where."""
    entries = known()
    names = [entry.name for entry in entries]
    assert len(set(names)) == len(names)
    assert set(names) == {*bundled.TITLES, "digits", *ELEVEN}
    assert all(entry.title for entry in entries)
    assert {entry.name for entry in entries if entry.where} == set(ELEVEN)


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        ("digist", "did you mean digits"),
        ("oxford-pets", "oxford_pets"),
        ("./xyz", "`promptclimb datasets` lists all names"),
    ],
)
def test_an_unknown_name_gets_the_nearest_or_the_command_that_lists_all(raw: str, hint: str) -> None:
    """Whether it is a name or a path."""
    with pytest.raises(DataError, match=hint):
        load(raw)


@pytest.mark.parametrize("raw", ["", "x" * 5000, "a\0b", "~nobody/data", "hf:", "torchvision:"])
def test_no_name_makes_it_raise_anything_else(raw: str) -> None:
    """Empty, endless, with a NUL, an unknown home folder, a scheme alone."""
    with pytest.raises(UsageError):
        load(raw)


@pytest.mark.usefixtures("small_sets")
def test_the_document_is_json_and_seals_the_test_split() -> None:
    """As `datasets NAME --json` prints it; test only when it is asked for."""
    data = load("backgrounds", shots=1, seed=3)
    document = describe(data)
    assert json.loads(json.dumps(document)) == document
    assert document["test_size"] == data.test.size
    assert "test" not in document
    assert len(describe(data, test=True)["test"]) == data.test.size
    assert {"name", "classes", "train", "val"} <= document.keys()
    assert set(document["train"][0]) == {"path", "label"}


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_same_image_in_train_and_test_is_an_error(
    tmp_path: Path, make_images: MakeImages, split: str
) -> None:
    """By content, whatever its name; the message names both, and the flag turns it into a note."""
    for folder in ("train", "val", "test"):
        make_images(tmp_path / folder, {"a": 3, "b": 3})
    shutil.copy(tmp_path / split / "a" / "000.png", tmp_path / "test" / "b" / "copy.png")
    with pytest.raises(
        DataError,
        match=rf"1 test image is also a labelled one.*copy\.png.*{split}.*another class.*`allow_leak = true`",
    ):
        load(str(tmp_path), shots=3)
    data = load(str(tmp_path), shots=3, allow_leak=True)
    assert any("a search stops here unless" in note for note in data.notes)


def test_copies_among_the_shots_are_noted(tmp_path: Path, make_images: MakeImages) -> None:
    """A copy teaches nothing new, one in two classes teaches nonsense: both are said."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 1, "test/b": 1})
    for target in ("a/copy.png", "b/copy.png"):
        shutil.copy(tmp_path / "train/a/000.png", tmp_path / "train" / target)
    notes = load(str(tmp_path), shots=4).notes
    assert any("1 labelled image is a copy of" in note and "a/copy.png" in note for note in notes)
    assert any("1 labelled image is in two classes" in note and "b/copy.png" in note for note in notes)


def test_images_that_hardly_show_a_class_are_noted(tmp_path: Path, make_images: MakeImages) -> None:
    """Tiny ones, and animations, among shots and test images: how many, and the first; no small scan."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    Image.new("RGB", (1, 1)).save(tmp_path / "train/a/000.png")
    Image.new("RGB", (3, 40)).save(tmp_path / "test/a/000.jpg")
    Image.new("L", (8, 8)).save(tmp_path / "train/b/000.png")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("moving.gif", "pages.tiff"):
        frames[0].save(tmp_path / "test/b" / name, save_all=True, append_images=frames[1:])
    notes = load(str(tmp_path), shots=3).notes
    assert f"2 images have a side of fewer than 4 pixels, such as {tmp_path}/train/a/000.png" in notes
    (moving,) = (
        note for note in notes if note.startswith("2 images have several frames, of which the first")
    )
    assert moving.endswith(("test/b/moving.gif", "test/b/pages.tiff"))


def test_a_link_that_may_not_be_followed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of other users' processes in /proc, where the root of the machine was given."""

    def denied(_folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/proc/1/cwd")

    monkeypatch.setattr(loading, "read_folder", denied)
    with pytest.raises(DataError, match=r": /proc/1/cwd cannot be read: Permission denied$"):
        load(str(tmp_path))


def test_unreadable_images_are_found_before_anything_is_scored(
    tmp_path: Path, make_images: MakeImages
) -> None:
    """They are decoded for it."""
    data = load(str(make_images(tmp_path, {"a": 6, "b": 6})), shots=3)
    assert list(check_readable(data.train)) == []
    data.train[1].path.write_bytes(data.train[1].path.read_bytes()[:60])
    (note,) = check_readable(data.train, skip=True)
    assert f"{data.train[1].path} cannot be read (" in note


def test_torn_images_of_all_splits_are_counted_at_once(tmp_path: Path, make_images: MakeImages) -> None:
    """All broken images are counted at once, so that one round of repairs is enough."""
    make_images(tmp_path, {"train/a": 4, "train/b": 4, "test/a": 4, "test/b": 4})
    torn = [*sorted(tmp_path.glob("train/*/00[02].png")), *sorted(tmp_path.glob("test/*/00[02].png"))]
    for image in torn:
        image.write_bytes(image.read_bytes()[:40])
    with pytest.raises(DataError) as raised:
        load(str(tmp_path), shots=4)
    error = str(raised.value)
    assert error.startswith("8 of 16 labelled and test images cannot be used: ")
    assert error.count(str(torn[0])) == 1
    assert f", {torn[5]} and 2 more); to leave" in error
    assert str(torn[6]) not in error


def test_files_that_are_as_they_were_are_not_looked_into_again(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was noted is noted again, unread; a changed file, other labels and other rules are looked at."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 1})
    shutil.copy(tmp_path / "train/a/000.png", tmp_path / "train/a/copy.png")
    monkeypatch.setattr(files, "SETTLED_NS", 0)
    read: list[Path] = []
    real = loading.check_repeats
    monkeypatch.setattr(
        loading, "check_repeats", lambda *arguments: (read.append(tmp_path), real(*arguments))[1]
    )
    first = load(str(tmp_path), shots=4)
    assert any("is a copy of" in note for note in first.notes)
    assert load(str(tmp_path), shots=4) == first
    assert len(read) == 1
    load(str(tmp_path), shots=4, on_bad_image="skip")
    (tmp_path / "train/a/copy.png").rename(tmp_path / "train/b/copy.png")
    assert any("1 labelled image is in two classes" in note for note in load(str(tmp_path), shots=4).notes)
    torn = tmp_path / "test/a/000.png"
    torn.write_bytes(torn.read_bytes()[:60])
    for _ in range(2):
        with pytest.raises(DataError, match=r"000\.png cannot be read"):
            load(str(tmp_path), shots=4)
    assert len(read) == 5


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_torn_test_image_is_found_when_the_data_are_read(
    tmp_path: Path, make_images: MakeImages, suffix: str
) -> None:
    """And not after the whole search; with skip it is a note, and what helps a run that was begun is said."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    image = tmp_path / "test" / "a" / f"whole{suffix}"
    Image.effect_noise((60, 60), 90).convert("RGB").save(image)
    assert load(str(tmp_path), shots=1).test.size == 5
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    with pytest.raises(
        DataError, match=rf"whole\{suffix} .*; to leave such images out, write PROMPTCLIMB_ON_BAD_IMAGE=skip"
    ):
        load(str(tmp_path), shots=1)
    (note,) = (line for line in load(str(tmp_path), shots=1, on_bad_image="skip").notes if "whole" in line)
    assert note.startswith("skipped: ")


def test_an_odd_image_that_can_be_read_gives_no_note(tmp_path: Path, make_images: MakeImages) -> None:
    """A camera may write much behind a JPEG's end, and another format has other ends: they are decoded."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    picture = Image.effect_noise((60, 60), 90).convert("RGB")
    picture.save(tmp_path / "test" / "a" / "long.jpg")
    with (tmp_path / "test" / "a" / "long.jpg").open("ab") as file:
        file.write(bytes(50_000))
    picture.save(tmp_path / "test" / "b" / "other.bmp")
    assert not any("cannot be read" in note for note in load(str(tmp_path), shots=1).notes)


def test_empty_files_are_no_pictures_in_two_splits(tmp_path: Path, make_images: MakeImages) -> None:
    """They are left out as unreadable, if the user asks for that, and are no copies of each other."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 2, "test/b": 2})
    for folder in ("train/a", "train/b", "test/b"):
        (tmp_path / folder / "empty.png").touch()
    notes = load(str(tmp_path), shots=4, on_bad_image="skip").notes
    assert not any("a leak" in note or "copy of" in note or "in two classes" in note for note in notes)
    assert any("empty.png is not an image" in note for note in notes)


def test_a_copy_outside_the_shots_is_not_a_leak(tmp_path: Path, make_images: MakeImages) -> None:
    """An image that was not drawn teaches nothing."""
    for folder in ("train", "test"):
        make_images(tmp_path / folder, {"a": 8, "b": 8})
    drawn = {item.path.name for item in load(str(tmp_path), shots=1).train if item.label == 0}
    spare = next(path for path in sorted((tmp_path / "train" / "a").iterdir()) if path.name not in drawn)
    shutil.copy(spare, tmp_path / "test" / "a" / "copy.png")
    assert not any("leak" in note for note in load(str(tmp_path), shots=1).notes)


def test_a_split_without_test_images_of_a_class_says_so(tmp_path: Path, make_images: MakeImages) -> None:
    """Accuracy on the others is still accuracy; a note says so."""
    make_images(tmp_path, {"train/a": 3, "train/b": 3, "test/a": 3})
    assert any("test has no images of 1 class," in note for note in load(str(tmp_path), shots=1).notes)


@pytest.mark.usefixtures("small_sets")
def test_a_folder_with_the_name_of_a_data_set_is_not_taken_for_it_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_images: MakeImages
) -> None:
    """A user who names one must say which; a run that is resumed keeps its set."""
    monkeypatch.chdir(tmp_path)
    spec = EvaluatorSpec(data="chinese-names")
    (tmp_path / spec.data).mkdir()
    (tmp_path / spec.data / "result.json").write_text("{}")
    check_data_name(spec)
    assert load(spec.data, shots=2).chosen == ()
    make_images(tmp_path / spec.data, {"a": 4, "b": 4})
    with pytest.raises(DataError, match=r"^chinese-names is a data set of that name and a folder here"):
        check_data_name(spec)
    assert load(spec.data, shots=2).name == spec.data
    check_data_name(EvaluatorSpec(data=f"./{spec.data}"))
    assert load(f"./{spec.data}", shots=2).chosen == ()
    make_images(tmp_path / EvaluatorSpec().data, {"a": 4})
    check_data_name(EvaluatorSpec())  # the default, which nobody named
    with pytest.raises(DataError, match="run elsewhere"):
        check_data_name(EvaluatorSpec(data=EvaluatorSpec().data))


def test_shots_that_nobody_gave_are_chosen_by_the_data(tmp_path: Path, make_images: MakeImages) -> None:
    """The line that says so is no note of a result."""
    make_images(tmp_path, {"train/a": 3, "train/b": 5, "test/a": 2, "test/b": 2})
    data = load(str(tmp_path))
    assert (data.shots, len(data.train)) == (3, 6)
    assert data.chosen[0].startswith("using 6 of 8 training images: 3 of each class, as the smallest, 'a',")
    assert not any("shots a class" in note for note in data.notes)
    with_shots = load(str(tmp_path), shots=3)
    assert (with_shots.train, with_shots.chosen) == (data.train, ())
