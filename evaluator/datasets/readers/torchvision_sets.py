"""Read torchvision's data sets: image files where they lie, arrays written to the cache once as image files.

Sets in ``FETCHED`` are downloaded into the cache if they are not under the data root. No pickle is opened, so
CIFAR's files are refused.
"""

from __future__ import annotations

import http.client
import re
import socket
import sys
import tarfile
import urllib.error
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import DataError, reason_of
from ...messages import Setting
from ..class_names import tidy
from ..sampling import VAL_RULE, complete, divide
from ..values import Item, Splits
from .folders import NO_VAL
from .written import Save, is_written, numbered_set, written_once

FLAGS: dict[str, dict[str, Any]] = {"train": {"train": True}, "test": {"train": False}}
TRAIN_TEST: dict[str, dict[str, Any]] = {"train": {"split": "train"}, "test": {"split": "test"}}
THREE: dict[str, dict[str, Any]] = {**TRAIN_TEST, "val": {"split": "val"}}
WHOLE: dict[str, dict[str, Any]] = {"": {}}
SPLITS: dict[str, dict[str, dict[str, Any]]] = {
    **dict.fromkeys(("Caltech101", "Caltech256", "EuroSAT", "SUN397"), WHOLE),
    **dict.fromkeys(("FashionMNIST", "KMNIST", "MNIST", "USPS"), FLAGS),
    **dict.fromkeys(("Food101", "GTSRB", "STL10", "SVHN"), TRAIN_TEST),
    **dict.fromkeys(("DTD", "FGVCAircraft", "Flowers102", "RenderedSST2"), THREE),
    "Country211": {**TRAIN_TEST, "val": {"split": "valid"}},
    "Imagenette": {"train": {"split": "train"}, "val": {"split": "val"}},
    "OxfordIIITPet": {"train": {"split": "trainval"}, "test": {"split": "test"}},
}
"""The arguments that give each split."""
PICKLED = ("CIFAR10", "CIFAR100")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A data set that torchvision downloads, with a checksum."""

    folder: str  # under torchvision's root, once unpacked
    gigabytes: float  # of its archives
    images: int
    test: int
    classes: int


FETCHED = {
    "DTD": Fetched("dtd/dtd", 0.63, images=5640, test=1880, classes=47),
    "EuroSAT": Fetched("eurosat/2750", 0.09, images=27_000, test=8100, classes=10),
    "OxfordIIITPet": Fetched("oxford-iiit-pet/images", 0.81, images=7349, test=3669, classes=37),
}
STALLED_S = 60.0
"""Seconds without a byte after which a download fails."""


def read(name: str, data_root: Path | None) -> Splits:
    """Read one of torchvision's data sets."""
    if name in PICKLED:
        raise DataError(
            f"torchvision:{name} is kept in pickles, which are never opened here; use hf: or class folders"
        )
    if name not in SPLITS:
        raise DataError(
            f"torchvision:{name} is not one of those that can be read: {', '.join(sorted(SPLITS))}"
        )
    root = _root(name, data_root)
    splits = {split: _open(name, root, arguments) for split, arguments in SPLITS[name].items()}
    classes = _classes(splits)
    files = {split: _files(rows) for split, rows in splits.items()}
    if all(files.values()):
        whole = _of_files(name, root, classes, {split: items or () for split, items in files.items()})
    else:
        version = "-".join(f"{split or 'all'}{len(rows)}" for split, rows in splits.items())
        whole = numbered_set(name, f"torchvision-{name}", version, classes, _images(splits))
    if whole.val:
        return whole
    train, val, _test = divide(whole.train, whole.classes, test=0)
    notes = (*(note for note in whole.notes if note != NO_VAL), VAL_RULE)
    return replace(whole, train=train, val=val, notes=notes)


def to_download(name: str, data_root: Path | None) -> Fetched | None:
    """Return what must be downloaded before a data set can be read; None if nothing, or it cannot be."""
    fetched = FETCHED.get(name)
    if fetched is None or _lies_in(data_root, fetched) or is_written(f"torchvision-{name}", "archives"):
        return None
    return fetched


def _root(name: str, data_root: Path | None) -> Path:
    """Return the folder that torchvision calls root: the user's, or one in the cache, downloaded now."""
    fetched = FETCHED.get(name)
    if fetched is not None and not _lies_in(data_root, fetched):
        return written_once(f"torchvision-{name}", "archives", partial(_download, name))[0]
    if data_root is None:
        raise DataError(
            f"torchvision:{name} needs the folder that torchvision calls root: set ", Setting("data_root")
        )
    return data_root


def _lies_in(root: Path | None, fetched: Fetched) -> bool:
    return root is not None and (root / fetched.folder).is_dir()


def _download(name: str, folder: Path) -> None:
    """Download a set's archives into an empty folder, check and unpack them, and remove them."""
    import torchvision

    split = next(iter(SPLITS[name].values()))
    sys.stderr.write(f"downloading torchvision:{name}, {FETCHED[name].gigabytes} GB\n")
    try:
        with redirect_stdout(sys.stderr), _bounded():
            getattr(torchvision.datasets, name)(root=str(folder), download=True, **split)
    except (
        *(urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError),
        *(RuntimeError, EOFError, tarfile.TarError, zipfile.BadZipFile),
    ) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(
            f"torchvision:{name} could not be downloaded ({reason}). Nothing of it is kept: try again where "
            f"there is a network, or run torchvision.datasets.{name}(DIR, download=True) there, copy DIR, "
            "and give it as ",
            Setting("data_root", "DIR"),
        ) from error
    for archive in [*folder.rglob("*.zip"), *folder.rglob("*.tar.gz")]:
        archive.unlink()


@contextmanager
def _bounded() -> Iterator[None]:
    """End a stalled download, and let no archive write outside its folder; torchvision sees to neither."""
    timeout, unpack = socket.getdefaulttimeout(), tarfile.TarFile.extraction_filter
    socket.setdefaulttimeout(STALLED_S)
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        tarfile.TarFile.extraction_filter = unpack


def _open(name: str, root: Path, arguments: dict[str, Any]) -> Any:
    import torchvision

    try:
        return getattr(torchvision.datasets, name)(root=str(root), download=False, **arguments)
    except (RuntimeError, OSError, ValueError, ImportError) as error:
        raise DataError(
            f"torchvision:{name} cannot be read from {root} ({reason_of(error)}); "
            f"torchvision.datasets.{name}({str(root)!r}, download=True) puts it there, given a network"
        ) from error


def _classes(splits: dict[str, Any]) -> list[str]:
    first = next(iter(splits.values()))
    names = getattr(first, "classes", None) or getattr(first, "categories", None)
    if names:
        return [str(name[0] if isinstance(name, list | tuple) else name) for name in names]
    return [str(label) for label in sorted({int(label) for rows in splits.values() for _, label in rows})]


def _files(rows: Any) -> list[Item] | None:
    """Return the image files of a split, in torchvision's order; None if it holds arrays."""
    pairs = getattr(rows, "samples", None) or getattr(rows, "_samples", None)
    if pairs is None:
        paths = getattr(rows, "_image_files", None) or getattr(rows, "_images", None)
        labels = getattr(rows, "_labels", None)
        pairs = zip(paths, labels, strict=True) if paths and labels else ()
    return [Item(Path(path), int(label)) for path, label in pairs] or None


def _of_files(name: str, root: Path, classes: list[str], files: Mapping[str, Sequence[Item]]) -> Splits:
    """Return a set of image files, with its own splits or divided by rule."""
    found, known = sum(map(len, files.values())), FETCHED.get(name)
    if known is not None and found != known.images:
        folder = root / known.folder
        raise DataError(
            f"torchvision:{name} has {known.images:,} images, and {folder} lists {found:,}: it was not "
            f"unpacked to the end; remove {folder.parent} and download it again"
        )
    names = classes
    if name == "EuroSAT":  # "AnnualCrop" would be one word to a CLIP
        names = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder) for folder in classes]
    train, val, test = (files.get(split, ()) for split in ("train", "val", "test"))
    (train, val, test), notes = complete(files.get("", train), val, test, classes)
    return Splits(
        name=name,
        classes=tuple(tidy(class_name, where=name) for class_name in names),
        train=train,
        val=val,
        test=test,
        root=root,
        sources=tuple(classes),
        notes=tuple(notes),
    )


def _images(splits: dict[str, Any]) -> Iterator[tuple[str, int, Save]]:
    for split, rows in splits.items():
        for image, label in rows:
            yield split, int(label), partial(_save, image)


def _save(image: Image.Image, stem: Path) -> None:
    image.save(stem.with_suffix(".png"))
