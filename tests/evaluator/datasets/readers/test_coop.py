"""The eleven data sets in CoOp's layout, built here from a few stand-in images each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.evaluator.datasets.readers.coop import ELEVEN, IMAGENET_SPLIT_FILE, parse_split
from promptclimb.evaluator.errors import DataError
from tests.evaluator.datasets.conftest import stand_in, unless_refused
from tests.fakes.data_sets import load

SPLIT_SETS = [name for name, layout in ELEVEN.items() if layout.family == "split file"]
# Where CoOp's instructions put each: the folder, and the folder of its images.
PLACES = {
    "caltech101": "caltech-101/101_ObjectCategories", "oxford_pets": "oxford_pets/images",
    "stanford_cars": "stanford_cars", "oxford_flowers": "oxford_flowers/jpg", "food101": "food-101/images",
    "sun397": "sun397/SUN397", "dtd": "dtd/images", "eurosat": "eurosat/2750",
    "ucf101": "ucf101/UCF-101-midframes",
}  # fmt: skip


def put(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stand_in(str(path)))
    return path.name


def build_split_set(root: Path, name: str) -> Path:
    """A data set of two classes with a split file."""
    images = root / PLACES[name]
    split: dict[str, list[list[Any]]] = {"train": [], "val": [], "test": []}
    for split_name, entries in split.items():
        for label, class_name in ((1, "second_one"), (0, "First")):
            for number in range(3):
                path = f"{class_name}/{split_name}{number}.jpg"
                put(images / path)
                entries.append([path, label, class_name])
    (root / ELEVEN[name].folder / ELEVEN[name].split).write_text(json.dumps(split), "utf-8")
    return images


def build_aircraft(root: Path) -> Path:
    home = root / "fgvc_aircraft"
    home.mkdir(parents=True)
    (home / "variants.txt").write_text("707-320\nBoeing 717\nF/A-18\n", "utf-8")
    for split in ("train", "val", "test"):
        lines = []
        for number, variant in enumerate(["F/A-18", "Boeing 717", "707-320"] * 2):
            put(home / "images" / f"{split}{number}.jpg")
            lines.append(f"{split}{number} {variant}")
        (home / f"images_variant_{split}.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return home


def build_imagenet(root: Path) -> Path:
    home = root / "imagenet"
    for split in ("train", "val"):
        for folder in ("n02", "n01"):
            for number in range(4):
                put(home / "images" / split / folder / f"{split}{number}.JPEG")
    (home / "classnames.txt").write_text("n01 great white shark\nn02 crane bird\nn03 unused\n", "utf-8")
    return home


@pytest.mark.parametrize("name", SPLIT_SETS)
def test_a_split_file_is_read_where_coop_puts_it(tmp_path: Path, name: str) -> None:
    """Names by label whatever the order of the list, labels drawn in the order of the list."""
    images = build_split_set(tmp_path, name)
    data = load(name, data_root=tmp_path, shots=2, seed=1)
    assert data.classes == ("First", "second one")
    assert [item.label for item in data.train] == [1, 1, 0, 0]
    assert all(item.path.is_relative_to(images) for item in data.train + data.val + data.test.open())
    assert data.test.size == 6


def test_the_data_root_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DATA, as in CoOp's scripts."""
    build_split_set(tmp_path, "dtd")
    monkeypatch.setenv("DATA", str(tmp_path))
    assert load("dtd", shots=1).name == "dtd"


def test_aircraft_is_read_from_its_text_files(tmp_path: Path) -> None:
    """Labels by the line in variants.txt, names with spaces and slashes."""
    build_aircraft(tmp_path)
    data = load("fgvc_aircraft", data_root=tmp_path, shots=2)
    assert data.classes == ("707-320", "Boeing 717", "F/A-18")
    assert [item.label for item in data.train] == [2, 2, 1, 1, 0, 0]
    assert data.train[0].path.suffix == ".jpg"
    assert (len(data.val), data.test.size) == (6, 6)


def test_imagenet_is_read_from_its_folders(tmp_path: Path) -> None:
    """images/val is the test split; a split file, where there is one, brings a val split."""
    home = build_imagenet(tmp_path)
    data = load("imagenet", data_root=tmp_path, shots=2)
    assert data.classes == ("great white shark", "crane bird")
    assert (len(data.train), data.val, data.test.size) == (4, (), 8)
    split = {
        split_name: [
            [f"{folder}/{split_name}{number}.JPEG", label, name]
            for label, folder, name in entries
            for number in (0, 1)
        ]
        for split_name, folder_part, entries in (
            ("train", "train", ((0, "train/n01", "shark"), (1, "train/n02", "crane"))),
            ("val", "val", ((0, "val/n01", "shark"), (1, "val/n02", "crane"))),
        )
    }
    split["test"] = [[f"val/n01/val{number}.JPEG", 0, "shark"] for number in (2, 3)]
    (home / IMAGENET_SPLIT_FILE).write_text(json.dumps(split), "utf-8")
    assert len(load("imagenet", data_root=tmp_path, shots=2).val) == 4


@pytest.mark.parametrize("name", list(ELEVEN))
def test_what_is_missing_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    """The folder, the file that is read first, and an image: each is named with the path expected."""
    layout = ELEVEN[name]
    with pytest.raises(DataError, match="set `data_root`, or DATA"):
        load(name, shots=1)
    with pytest.raises(DataError, match=f"{tmp_path / layout.folder} is not there.*DATASETS.md"):
        load(name, data_root=tmp_path, shots=1)
    (tmp_path / layout.folder / layout.images).mkdir(parents=True)
    with pytest.raises(DataError, match=f"{tmp_path / layout.folder / layout.split} is not there"):
        load(name, data_root=tmp_path, shots=1)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    """With how many are missing, so that a wrong folder differs from one lost file."""
    images = build_split_set(tmp_path, "dtd")
    (images / "First" / "test1.jpg").unlink()
    with pytest.raises(DataError, match=r"First/test1.jpg is not there \(1 of the 18"):
        load("dtd", data_root=tmp_path, shots=1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train9 Concorde", "line 7: 'Concorde' is not in variants"),
        ("lonely", "line 7"),
        ("../../etc 707-320", "leads out"),
    ],
)
def test_a_wrong_line_of_aircraft_is_named(tmp_path: Path, line: str, message: str) -> None:
    """The file, the line and what it says."""
    home = build_aircraft(tmp_path)
    with (home / "images_variant_val.txt").open("a", encoding="utf-8") as file:
        file.write(line)
    with pytest.raises(DataError, match=message):
        load("fgvc_aircraft", data_root=tmp_path, shots=1)


GOOD = [["a.jpg", 0, "cat"], ["b.jpg", 1, "dog"]]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not JSON.* at column 2"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be"),
        ({"train": GOOD, "val": []}, "must be"),
        ({"train": [["a.jpg", 0]], "val": [], "test": []}, r"train\[0\] must be"),
        ({"train": [[1, 0, "cat"]], "val": [], "test": []}, r"train\[0\] must be"),
        ({"train": GOOD, "val": [["c.jpg", -1, "cat"]], "test": []}, r"val\[0\]: label -1 is out of range"),
        ({"train": GOOD, "val": [["c.jpg", 1e9, "cat"]], "test": []}, "out of range"),
        ({"train": GOOD, "val": [["c.jpg", True, "dog"]], "test": []}, "out of range"),
        ({"train": GOOD, "val": [["c.jpg", 1, "cat"]], "test": []}, "is called 'dog' and 'cat'"),
        ({"train": GOOD, "val": [], "test": [["c.jpg", 3, "bee"]]}, "label 2 has no training image"),
        ({"train": [["../x.jpg", 0, "cat"], GOOD[1]], "val": [], "test": []}, "leads out of"),
        ({"train": [["/etc/passwd", 0, "cat"], GOOD[1]], "val": [], "test": []}, "leads out of"),
        ({"train": [["a\0.jpg", 0, "cat"], GOOD[1]], "val": [], "test": []}, "is not a path"),
        ({"train": [["a.jpg", 0, " _ "], GOOD[1]], "val": [], "test": []}, "is empty"),
        ({"train": [["a.jpg", 0, "c\x07at"], GOOD[1]], "val": [], "test": []}, "control character"),
    ],
)
def test_a_wrong_split_file_is_refused(document: Any, message: str) -> None:
    """The place in the file is named, and what is wrong there."""
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(DataError, match=message):
        parse_split(text, root=Path("/data"), where="split.json")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.lists(
    st.tuples(st.text(max_size=8), st.integers(-1, 3), st.text(max_size=6)) | JSON_VALUES, max_size=6
)


@given(st.fixed_dictionaries({"train": ENTRIES, "val": ENTRIES, "test": ENTRIES}) | JSON_VALUES)
def test_any_json_gives_a_split_or_a_clear_error(document: Any) -> None:
    """No document makes the reader raise anything but DataError."""
    text = json.dumps(document)
    read = unless_refused(lambda: parse_split(text, root=Path("/data"), where="split.json"), "split.json")
    if read is not None:
        splits, classes = read
        assert {item.label for items in splits for item in items} <= set(range(len(classes)))


LINES = st.lists(
    st.tuples(
        st.sampled_from(["train0", "val1", "../x", ""]), st.sampled_from(["707-320", "F/A-18", "X", ""])
    ),
    max_size=5,
).map(lambda rows: "\n".join(" ".join(row) for row in rows).encode())


@given(st.binary(max_size=60) | LINES)
def test_any_bytes_in_a_list_of_aircraft_give_data_or_a_clear_error(tmp_path: Path, raw: bytes) -> None:
    """The list of images, or the list of variants: never anything but DataError."""
    home = tmp_path / "fgvc_aircraft"
    for broken in ("images_variant_train.txt", "variants.txt"):
        if not home.exists():
            build_aircraft(tmp_path)
        kept = (home / broken).read_bytes()
        (home / broken).write_bytes(raw)
        unless_refused(lambda: load("fgvc_aircraft", data_root=tmp_path, shots=1), "")
        (home / broken).write_bytes(kept)


@given(st.binary(max_size=60) | st.sampled_from([b"n01 a\nn02 a\n", b"n01 a\nn02  \n", b"n01 a\n"]))
def test_any_bytes_for_imagenets_names_give_data_or_a_clear_error(tmp_path: Path, raw: bytes) -> None:
    """Two folders want two names; whatever else the file says is an error."""
    if not (tmp_path / "imagenet").exists():
        build_imagenet(tmp_path)
    (tmp_path / "imagenet" / "classnames.txt").write_bytes(raw)
    data = unless_refused(lambda: load("imagenet", data_root=tmp_path, shots=1), "classnames.txt")
    assert data is None or len(data.classes) == 2
