"""Hugging Face's and torchvision's data sets, read from disk."""

from __future__ import annotations

import bz2
import gzip
import os
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptclimb.evaluator import network
from promptclimb.evaluator.errors import DataError
from tests.evaluator.datasets.conftest import MakeImages
from tests.fakes.data_sets import load

NAMES = ("F/A-18", "big_plane")


def rows(count: int, start: int) -> dict[str, list[Any]]:
    pixels = np.random.default_rng(start).integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return {
        "image": [Image.fromarray(picture) for picture in pixels],
        "label": [number % 2 for number in range(count)],
    }


@cache
def hugging_face_splits() -> Any:
    datasets = pytest.importorskip("datasets", reason="the extra 'hf' is not installed")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=list(NAMES)))
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(rows(count, start), features=features)
            for split, count, start in (("train", 12, 1), ("validation", 8, 2), ("test", 6, 3))
        }
    )


def test_a_saved_hugging_face_set(tmp_path: Path) -> None:
    """Its splits, its class names (slashes and all), its bytes."""
    hugging_face_splits().save_to_disk(str(tmp_path / "planes"))
    data = load(f"hf:{tmp_path / 'planes'}", shots=2, seed=1)
    assert data.name == "planes"
    assert data.classes == ("F/A-18", "big plane")
    assert (len(data.train), len(data.val), data.test.size) == (4, 4, 6)
    assert load(f"hf:{tmp_path / 'planes'}", shots=2, seed=1) == data


def test_a_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its rows name may lie in the library's caches."""
    splits = hugging_face_splits()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.load_dataset", lambda name, *_arguments, **_options: splits)
    data = load("hf:somebody/planes", shots=2)
    assert (data.classes, len(data.train), data.test.size) == (("F/A-18", "big plane"), 4, 6)


def test_parquet_files_and_a_single_split(tmp_path: Path) -> None:
    """A parquet file alone has one split: it is divided by rule."""
    hugging_face_splits()["train"].to_parquet(str(tmp_path / "planes.parquet"))
    data = load(f"hf:{tmp_path / 'planes.parquet'}", shots=1)
    assert data.name == "planes"
    assert any("test were made" in note for note in data.notes)


def parquet_naming(file: Path, path: str) -> str:
    """Write a parquet file whose first row has a path in place of an image, and return it as data."""
    datasets = pytest.importorskip("datasets", reason="the extra 'hf' is not installed")
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    train = hugging_face_splits()["train"].cast_column("image", datasets.Image(decode=False))
    columns = {"image": [{"bytes": None, "path": path}, *train["image"][1:]], "label": train["label"][:]}
    # The library would read the file in order to write its bytes.
    parquet.write_table(arrow.table(columns, schema=train.features.arrow_schema), file)
    return f"hf:{file}"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "leads out of"),
        ("../private.png", "leads out of"),
        ("/dev/zero", "leads out of"),
        ("pipe", "is a device or a pipe"),
        ("missing.png", "missing.png does not exist"),
        ("linked.png", "linked.png is a link that leads out of"),
        ("circle.png", "circle.png is a link that leads out of"),
        ("elsewhere/private.png", "is a link that leads out of"),
        ("a\0b", "is not a path"),
        ("", "is not a path"),
    ],
)
def test_a_row_names_no_file_elsewhere(tmp_path: Path, path: str, why: str) -> None:
    """A received parquet file would copy any file of the user's, or read without end."""
    (tmp_path / "own").mkdir()
    os.mkfifo(tmp_path / "own" / "pipe")
    Image.new("RGB", (6, 6)).save(tmp_path / "private.png")
    for name, target in (("linked.png", "../private.png"), ("circle.png", "circle.png"), ("elsewhere", "..")):
        (tmp_path / "own" / name).symlink_to(target)
    with pytest.raises(DataError, match=why):
        load(parquet_naming(tmp_path / "own" / "planes.parquet", path), shots=1)


def test_a_row_names_a_file_beside_the_parquet_file(tmp_path: Path) -> None:
    """By its name or in full, and also where the folder is reached by a link."""
    (tmp_path / "own").mkdir()
    (tmp_path / "link").symlink_to("own")
    Image.new("RGB", (6, 6)).save(tmp_path / "own" / "a.png")
    (tmp_path / "own" / "b.png").symlink_to("a.png")
    for number, path in enumerate(("a.png", "b.png", str(tmp_path / "own" / "a.png"))):
        load(parquet_naming(tmp_path / "link" / f"planes{number}.parquet", path), shots=1)


def test_an_image_folder_of_hugging_face(tmp_path: Path, make_images: MakeImages) -> None:
    """Its rows are paths, which the library gives without links."""
    pytest.importorskip("datasets", reason="the extra 'hf' is not installed")
    make_images(tmp_path / "own", {"cat": 6, "dog": 6})
    (tmp_path / "link").symlink_to("own")
    assert load(f"hf:{tmp_path / 'link'}", shots=1).classes == ("cat", "dog")


def test_a_hugging_face_set_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """Not there, without images, without labels."""
    datasets = pytest.importorskip("datasets", reason="the extra 'hf' is not installed")
    with pytest.raises(DataError, match="cannot be opened"):
        load("hf:nobody/nothing-of-the-kind", shots=1)
    datasets.Dataset.from_dict({"label": [0, 1]}).save_to_disk(str(tmp_path / "text"))
    with pytest.raises(DataError, match="no image column"):
        load(f"hf:{tmp_path / 'text'}", shots=1)
    hugging_face_splits()["train"].remove_columns("label").save_to_disk(str(tmp_path / "unlabelled"))
    with pytest.raises(DataError, match="no label column"):
        load(f"hf:{tmp_path / 'unlabelled'}", shots=1)


def test_an_unreachable_hub_is_noticed_without_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt at a connection, and a message that says how to use the cache."""
    pytest.importorskip("datasets", reason="the extra 'hf' is not installed")
    asked = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise OSError("no network")

    for proxy in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr(network.socket, "create_connection", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(DataError, match=r"cannot be reached.*HF_HUB_OFFLINE=1"):
        load("hf:nobody/nothing-of-the-kind", shots=1)
    assert len(asked) == 1


def write_idx(folder: Path, name: str, values: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """An array in the form of MNIST's files."""
    head = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(head + values.tobytes())
    with gzip.open(folder / f"{name}.gz", "wb") as file:
        file.write(head + values.tobytes())


def test_torchvision_sets_are_written_out(tmp_path: Path) -> None:
    """MNIST's arrays become PNGs with the names that torchvision gives the classes."""
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        write_idx(tmp_path / "MNIST" / "raw", f"{prefix}-images-idx3-ubyte", images)
        write_idx(tmp_path / "MNIST" / "raw", f"{prefix}-labels-idx1-ubyte", labels)
    data = load("torchvision:MNIST", data_root=tmp_path, shots=2)
    assert data.classes[3] == "3 - three"
    assert (len(data.train), len(data.val), data.test.size) == (20, 10, 20)
    assert not any("no val split: templates" in note for note in data.notes)
    with Image.open(data.train[0].path) as image:
        assert (image.format, image.size) == ("PNG", (28, 28))


MNIST_FILES = [
    f"MNIST/raw/{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]


@pytest.mark.parametrize(
    ("name", "root", "message"),
    [
        ("MNIST", True, r"is missing in .*, or damaged .*Remove .*download=True"),
        ("CIFAR10", True, "pickles, which are never opened"),
        ("Nonsense", True, "not one of those that can be read: Caltech101, "),
        ("dtd", False, r"can be read; did you mean DTD\?$"),
        ("EuroSat", False, r"can be read; did you mean EuroSAT\?$"),
        ("MNIST", False, "set `data_root`"),
    ],
)
def test_a_torchvision_set_that_cannot_be_read_is_explained(
    tmp_path: Path, name: str, root: bool, message: str
) -> None:
    """Not on disk, kept in pickles, not known, without a folder to look in."""
    with pytest.raises(DataError, match=message):
        load(f"torchvision:{name}", data_root=tmp_path if root else None, shots=1)


@pytest.mark.parametrize(
    ("name", "files", "fault"),
    [
        ("MNIST", dict.fromkeys(MNIST_FILES, b"garbage"), r""),
        ("USPS", dict.fromkeys(("usps.bz2", "usps.t.bz2"), bz2.compress(b"1 1:0.5\n" * 99)[:40]), "EOFError"),
        (
            "Food101",
            {"food-101/images/pie/1.jpg": b"", "food-101/meta/train.json": b'["a"]'},
            "AttributeError",
        ),
        ("Caltech256", {"caltech256/256_ObjectCategories/001.ak47/notes.txt": b""}, "it has no images"),
        ("Caltech256", {"caltech256/256_ObjectCategories/001.ak47/001_0001.jpg": b"torn"}, "image 1 of 1: "),
    ],
)
def test_a_damaged_torchvision_set_is_called_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes], fault: str
) -> None:
    """Whatever torchvision raises: with where it lies and how it comes there; nothing of it is cached."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    with pytest.raises(DataError) as raised:
        load(f"torchvision:{name}", data_root=tmp_path, shots=1)
    error = str(raised.value)
    assert error.startswith(f"torchvision:{name} is missing in {tmp_path}, or damaged (")
    assert fault in error
    assert error.endswith(f"in Python: torchvision.datasets.{name}({str(tmp_path)!r}, download=True)")
    assert not list(tmp_path.glob("cache/datasets/*"))


def test_a_folder_is_not_taken_for_a_scheme(
    tmp_path: Path, make_images: MakeImages, monkeypatch: Any
) -> None:
    """A colon in a folder's name is a letter like any other."""
    make_images(tmp_path / "my:pets", {"a": 4, "b": 4})
    monkeypatch.chdir(tmp_path)
    assert load("my:pets", shots=1).name == "my:pets"
