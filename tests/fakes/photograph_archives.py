"""Archives in the layout of the published EuroSAT, DTD and Oxford-IIIT Pet, and a server that has them.

Images and file names are made up.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
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


def jpeg(number: int) -> bytes:
    """A small JPEG that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((24, 24)).save(file, "JPEG")
    return file.getvalue()


def eurosat(path: Path) -> None:
    """``EuroSAT.zip``: 2750/CLASS/CLASS_N.jpg, without splits."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, index) in enumerate(product(LAND, range(1, 21))):
            archive.writestr(f"2750/{name}/{name}_{index}.jpg", jpeg(number))


def dtd(path: Path) -> None:
    """``dtd-r1.0.1.tar.gz``: images and lists of three splits, of which there are ten partitions."""
    files = dict[str, bytes]()
    for split, indices in {"train": range(10), "val": range(10, 15), "test": range(15, 20)}.items():
        images = [f"{name}/{name}_{index:04d}.jpg" for name, index in product(TEXTURES, indices)]
        listed = "".join(f"{image}\n" for image in images).encode()
        files |= {f"dtd/labels/{split}{partition}.txt": listed for partition in (1, 2)}
        files |= {f"dtd/images/{image}": jpeg(len(files) + n) for n, image in enumerate(images)}
    _tar(path, files)


def pets(images_path: Path, annotations_path: Path) -> None:
    """``images.tar.gz`` and ``annotations.tar.gz``: a flat folder, and lines "name label species breed"."""
    pictures, lists = dict[str, bytes](), dict[str, bytes]()
    for split, indices in {"trainval": range(1, 11), "test": range(11, 16)}.items():
        listed = [
            f"{breed}_{index} {label} {1 if breed[0].isupper() else 2} 1\n"
            for (label, breed), index in product(enumerate(PETS, start=1), indices)
        ]
        lists[f"annotations/{split}.txt"] = "".join(listed).encode()
        for line in listed:
            pictures[f"images/{line.split()[0]}.jpg"] = jpeg(len(pictures))
    _tar(images_path, pictures)
    _tar(annotations_path, lists)


@cache
def built() -> dict[str, bytes]:
    """The files of the three sets."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        eurosat(home / "EuroSAT.zip")
        dtd(home / "dtd-r1.0.1.tar.gz")
        pets(home / "images.tar.gz", home / "annotations.tar.gz")
        return {path.name: path.read_bytes() for path in home.iterdir()}


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

    def publish(self) -> None:
        """Put the three sets into their folder, as they are and with their checksums; see ``announce``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, content in built().items():
            (self.folder / name).write_bytes(content)
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
