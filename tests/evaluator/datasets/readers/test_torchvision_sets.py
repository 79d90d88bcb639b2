"""Torchvision's photographs: downloaded once in their published layouts, and read where they lie."""

from __future__ import annotations

import errno
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torchvision
from PIL import Image

from promptclimb.evaluator.datasets.hand_made import hand_made
from promptclimb.evaluator.datasets.readers.torchvision_sets import read, to_download
from promptclimb.evaluator.errors import DataError
from tests.fakes.data_sets import load
from tests.fakes.photograph_archives import ArchiveServer, jpeg, serving_archives


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Path:
    """A cache of the test's own, and no proxy between it and the server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    """The three sets at their addresses."""
    with serving_archives(tmp_path / "archives", monkeypatch) as server:
        server.publish()
        yield server


@pytest.mark.parametrize(
    ("name", "classes", "sizes"),
    [
        ("EuroSAT", ("Annual Crop", "Forest", "Sea Lake"), (30, 12, 18)),
        ("DTD", ("banded", "dotted", "polka-dotted"), (30, 15, 15)),
        ("OxfordIIITPet", ("Abyssinian", "American Bulldog", "Egyptian Mau"), (24, 6, 15)),
    ],
)
def test_a_set_is_downloaded_once_and_read_where_it_lies(
    archives: ArchiveServer, cache: Path, name: str, classes: tuple[str, ...], sizes: tuple[int, ...]
) -> None:
    """Its names and splits are torchvision's, what lacks is made by rule, and no archive is kept."""
    assert to_download(name, None)
    splits = read(name, None)
    assert splits.classes == classes
    assert (len(splits.train), len(splits.val), len(splits.test)) == sizes
    paths = {item.path for item in (*splits.train, *splits.val, *splits.test)}
    assert len(paths) == sum(sizes)
    assert all(path.suffix == ".jpg" and path.is_relative_to(cache) for path in paths)
    names = [name.replace(" ", "").lower() for name in classes]
    assert all(names[item.label] in str(item.path).replace("_", "").lower() for item in splits.test)
    assert not [file for file in cache.rglob("*") if file.name.endswith((".zip", ".gz"))]
    assert not to_download(name, None)
    asked = list(archives.asked)
    assert read(name, None) == splits
    assert archives.asked == asked
    assert hand_made(splits.name)


def test_the_shots_of_a_seed_are_those_of_other_sets(archives: ArchiveServer) -> None:
    """Training and validation images from the official training split, test images from the official one."""
    first, second = (load("torchvision:OxfordIIITPet", shots=2, seed=seed) for seed in (1, 2))
    assert (len(first.train), len(first.val), first.test.size) == (6, 6, 15)
    assert first.train != second.train
    assert first.test == second.test
    (note,) = (note for note in first.notes if "val split" in note)
    assert note.startswith("there is no val split, so it was made from 20% of the training images")


def test_a_data_root_comes_first(archives: ArchiveServer, tmp_path: Path) -> None:
    """A copy that torchvision has put there is read; a root without the set leaves it to the cache."""
    root = tmp_path / "root"
    (root / "dtd" / "images").mkdir(parents=True)  # of CoOp's layout
    assert to_download("DTD", root)
    torchvision.datasets.DTD(str(root), download=True)
    assert not to_download("DTD", root)
    archives.asked.clear()
    assert all(item.path.is_relative_to(root) for item in read("DTD", root).test)
    assert archives.asked == []


def test_a_wrong_checksum_is_refused(archives: ArchiveServer, cache: Path) -> None:
    """Nothing of such an archive is unpacked or kept, and the next attempt begins anew."""
    archives.expect("DTD", "_MD5", "0" * 32)
    with pytest.raises(DataError, match=r"DTD could not be downloaded whole .*corrupted"):
        read("DTD", None)
    assert list(cache.iterdir()) == []
    archives.expect("DTD", "_MD5", archives.md5("dtd-r1.0.1.tar.gz"))
    assert len(read("DTD", None).test) == 15


def test_half_a_download_is_no_download(archives: ArchiveServer, cache: Path) -> None:
    """The connection ends in the middle of the second of two archives."""
    archives.cut = True
    with pytest.raises(DataError, match=r"could not be downloaded whole.*Nothing of it is kept"):
        read("OxfordIIITPet", None)
    assert list(cache.iterdir()) == []
    archives.cut = False
    assert len(read("OxfordIIITPet", None).test) == 15


def test_without_a_network_the_way_on_is_said(
    archives: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers, or the file is gone: how to bring the data from elsewhere."""
    archives.expect("DTD", "_URL", "http://127.0.0.1:9/dtd-r1.0.1.tar.gz")
    with pytest.raises(
        DataError, match=r"refused.*DTD\(DIR, download=True\) elsewhere, copy DIR.*`data_root = DIR`"
    ):
        read("DTD", None)
    archives.expect("DTD", "_URL", archives.url + "gone.tar.gz")
    with pytest.raises(DataError, match="HTTP Error 404"):
        read("DTD", None)


def test_a_full_disk_is_called_that(
    archives: ArchiveServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for a failure of the network."""

    def full(*_given: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", full)
    with pytest.raises(
        DataError, match=r"No space left on device.*make room there, or set PROMPTCLIMB_CACHE"
    ):
        read("EuroSAT", None)
    assert list(cache.iterdir()) == []


def test_what_a_killed_download_left_is_not_read(archives: ArchiveServer, cache: Path) -> None:
    """A draft of another process, and a folder from which files have gone."""
    (cache / ".draft-torchvision-EuroSAT-x" / "eurosat" / "2750" / "Forest").mkdir(parents=True)
    whole = read("EuroSAT", None)
    archives.asked.clear()
    whole.test[0].path.unlink()
    assert to_download("EuroSAT", None)
    assert read("EuroSAT", None) == whole
    assert set(archives.asked) == {"EuroSAT.zip"}


def tar(path: Path, *members: tarfile.TarInfo) -> None:
    """A tar of members without content."""
    with tarfile.open(path, "w:gz") as archive:
        for entry in members:
            archive.addfile(entry)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        member("../../../../escaped"),
        member("dtd/escaped", tarfile.SYMTYPE, "/etc/passwd"),
        member("dtd/escaped", tarfile.FIFOTYPE),
    ],
    ids=["path", "link", "pipe"],
)
def test_an_archive_writes_only_into_its_folder(
    archives: ArchiveServer, cache: Path, tmp_path: Path, entry: tarfile.TarInfo
) -> None:
    """Python 3.11 would let a member go anywhere; the checksum is right."""
    tar(archives.folder / "dtd-r1.0.1.tar.gz", entry)
    archives.announce()
    with pytest.raises(DataError, match="DTD could not be downloaded whole"):
        read("DTD", None)
    assert not list(tmp_path.rglob("escaped"))
    assert list(cache.iterdir()) == []
    assert tarfile.TarFile.extraction_filter is None


@pytest.mark.parametrize(
    ("name", "list_name", "content"),
    [
        ("DTD", "dtd/dtd/labels/train1.txt", b"a/b/c.jpg\n"),
        ("DTD", "dtd/dtd/labels/train1.txt", b"\xff\xfe"),
        ("OxfordIIITPet", "oxford-iiit-pet/annotations/trainval.txt", b"one two\n"),
        ("OxfordIIITPet", "oxford-iiit-pet/annotations/trainval.txt", None),
    ],
)
def test_a_damaged_list_is_named(
    archives: ArchiveServer, name: str, list_name: str, content: bytes | None
) -> None:
    """With what to do: the set is downloaded again."""
    root = read(name, None).root
    path = root / list_name
    path.unlink() if content is None else path.write_bytes(content)
    folder = root / Path(list_name).parts[0]
    with pytest.raises(DataError, match=f"{name} is missing in {root}, or damaged"):
        read(name, root)
    shutil.rmtree(folder)
    torchvision.datasets.__dict__[name](str(root), download=True)
    assert len(read(name, root).test) == 15


@pytest.mark.parametrize("way", ["name", "file", "folder"])
def test_no_image_outside_of_a_sets_folder_is_taken(
    archives: ArchiveServer, tmp_path: Path, way: str
) -> None:
    """A received copy names it in a list, or links to it."""
    root, secret = tmp_path / "root", tmp_path / "victim" / "secret_1.jpg"
    torchvision.datasets.OxfordIIITPet(str(root), download=True)
    secret.parent.mkdir()
    secret.write_bytes(jpeg(1))
    folder = root / "oxford-iiit-pet"
    if way == "name":
        with (folder / "annotations" / "trainval.txt").open("a") as file:
            file.write("../../../victim/secret_1 1 1 1\n")
    elif way == "file":
        image = next((folder / "images").iterdir())
        image.unlink()
        image.symlink_to(secret)
    else:
        (folder / "images").rename(tmp_path / "victim" / "images")
        (folder / "images").symlink_to(tmp_path / "victim" / "images")
    with pytest.raises(DataError, match="leads out of the set's folder"):
        read("OxfordIIITPet", root)


def test_a_set_whose_whole_folder_is_linked_is_read(archives: ArchiveServer, tmp_path: Path) -> None:
    """Large sets often lie on another disk."""
    torchvision.datasets.DTD(str(tmp_path / "disk"), download=True)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "dtd").symlink_to(tmp_path / "disk" / "dtd")
    assert len(read("DTD", tmp_path / "root").test) == 15


def test_a_picture_in_another_form_than_its_name_is_read(archives: ArchiveServer) -> None:
    """Some published pets are GIFs called .jpg."""
    path = read("OxfordIIITPet", None).train[0].path
    Image.open(path).convert("P").save(path, "GIF")
    assert load("torchvision:OxfordIIITPet", shots=2).test.size == 15
    path.write_bytes(jpeg(1)[:300])
    assert load("torchvision:OxfordIIITPet", shots=2).test.size == 15
