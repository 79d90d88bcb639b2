"""Archives in the layout of the published EuroSAT, DTD and Oxford-IIIT Pet, and a server that has them.

The images are generated. File names are made up, or those of published split files (``names``).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image

LAND = ("AnnualCrop", "Forest", "SeaLake")
TEXTURES = ("banded", "dotted", "polka-dotted")
PETS = ("Abyssinian", "american_bulldog", "Egyptian_Mau")
"""Cats have names in capitals, dogs have not; labels go by name, not by capitals."""
Names = Mapping[str, Sequence[str]]
"""Image names without suffixes, by class."""


def jpeg(number: int, side: int = 24) -> bytes:
    """A small JPEG that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((side, side)).save(file, "JPEG")
    return file.getvalue()


def eurosat(path: Path, images: Names | None = None, side: int = 24) -> None:
    """``EuroSAT.zip``: 2750/CLASS/CLASS_N.jpg, without splits."""
    images = images or {name: [f"{name}_{number}" for number in range(1, 21)] for name in LAND}
    with zipfile.ZipFile(path, "w") as archive:
        for number, (folder, image) in enumerate(_pairs(images)):
            archive.writestr(f"2750/{folder}/{image}.jpg", jpeg(number, side))


def dtd(path: Path, splits: Mapping[str, Names] | None = None, side: int = 24) -> None:
    """``dtd-r1.0.1.tar.gz``: images and lists of three splits, of which there are ten partitions."""
    if splits is None:
        parts = {"train": range(10), "val": range(10, 15), "test": range(15, 20)}
        splits = {
            split: {name: [f"{name}_{number:04d}" for number in numbers] for name in TEXTURES}
            for split, numbers in parts.items()
        }
    files, start = dict[str, bytes](), 0
    for split, images in splits.items():
        pairs = list(_pairs(images))
        listed = "".join(f"{folder}/{image}.jpg\n" for folder, image in pairs)
        files |= {f"dtd/labels/{split}{partition}.txt": listed.encode() for partition in (1, 2)}
        files |= {
            f"dtd/images/{folder}/{image}.jpg": jpeg(start + n, side)
            for n, (folder, image) in enumerate(pairs)
        }
        start += len(pairs)
    _tar(path, files)


def pets(
    images_path: Path, annotations_path: Path, splits: Mapping[str, Names] | None = None, side: int = 24
) -> None:
    """``images.tar.gz`` and ``annotations.tar.gz``: a flat folder, and lines "name label species breed"."""
    if splits is None:
        parts = {"trainval": range(1, 11), "test": range(11, 16)}
        splits = {
            split: {name: [f"{name}_{number}" for number in numbers] for name in PETS}
            for split, numbers in parts.items()
        }
    labels = {name: label for label, name in enumerate(sorted(splits["test"], key=str.lower), start=1)}
    pictures, lists = dict[str, bytes](), dict[str, bytes]()
    for split, images in splits.items():
        pairs = list(_pairs(images))
        listed = [f"{image} {labels[breed]} {1 if breed[0].isupper() else 2} 1\n" for breed, image in pairs]
        lists[f"annotations/{split}.txt"] = "".join(listed).encode()
        for _breed, image in pairs:
            pictures[f"images/{image}.jpg"] = jpeg(len(pictures), side)
    _tar(images_path, pictures)
    _tar(annotations_path, lists)


def _pairs(images: Names) -> Iterator[tuple[str, str]]:
    return ((folder, image) for folder, names in images.items() for image in names)


def _tar(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


class ArchiveServer:
    """Serves a folder of archives, and points torchvision to it.

    Attributes:
        folder: What it serves.
        url: Its address.
        asked: The files that were downloaded.
        cut: Send only half of each file, and then hang up.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.asked, self.cut = folder, list[str](), False
        self._monkeypatch = monkeypatch

    def publish(self, **more: Any) -> None:
        """Build the three sets in their folder, as they are and with their checksums; see ``announce``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        eurosat(self.folder / "EuroSAT.zip", **more)
        dtd(self.folder / "dtd-r1.0.1.tar.gz", **more)
        pets(self.folder / "images.tar.gz", self.folder / "annotations.tar.gz", **more)
        self.announce()

    def announce(self) -> None:
        """Make torchvision expect the archives as they are now."""
        self.expect("DTD", "_URL", self.url + "dtd-r1.0.1.tar.gz")
        self.expect("DTD", "_MD5", self.md5("dtd-r1.0.1.tar.gz"))
        archives = ("images.tar.gz", "annotations.tar.gz")
        resources = tuple((self.url + archive, self.md5(archive)) for archive in archives)
        self.expect("OxfordIIITPet", "_RESOURCES", resources)
        zipped, md5 = self.url + "EuroSAT.zip", self.md5("EuroSAT.zip")
        fetch = torchvision.datasets.utils.download_and_extract_archive
        self._monkeypatch.setattr(  # its address stands inside a method
            "torchvision.datasets.eurosat.download_and_extract_archive",
            lambda _url, download_root, **_more: fetch(zipped, download_root, md5=md5),
        )

    def expect(self, dataset: str, attribute: str, value: object) -> None:
        self._monkeypatch.setattr(getattr(torchvision.datasets, dataset), attribute, value)

    def md5(self, archive: str) -> str:
        return hashlib.md5((self.folder / archive).read_bytes(), usedforsecurity=False).hexdigest()

    url = ""


@contextmanager
def serving_archives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ArchiveServer]:
    """Serve archives from a folder on this machine."""
    archives = ArchiveServer(folder, monkeypatch)

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            archives.asked.append(self.path.rsplit("/", 1)[-1])
            super().do_GET()

        def copyfile(self, source: Any, outputfile: Any) -> None:
            content = source.read()
            outputfile.write(content[: len(content) // 2] if archives.cut else content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    archives.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield archives
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
