"""Read torchvision's data sets: image files where they lie, arrays written to the cache once as image files.

Sets in ``FETCHED`` are downloaded into the cache if they are not under the data root. No pickle is opened, so
CIFAR's files are refused.
"""

from __future__ import annotations

import gzip
import http.client
import re
import socket
import sys
import tarfile
import urllib.error
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import DataError, reason_of
from ...settings import near
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


FETCHED: Mapping[str, str] = {
    "DTD": "dtd/dtd",
    "EuroSAT": "eurosat/2750",
    "OxfordIIITPet": "oxford-iiit-pet/images",
}
"""Sets that torchvision downloads with a checksum, and their folder under torchvision's root."""
STALLED_S = 60.0
"""Seconds without a byte after which a download fails."""


def read(name: str, data_root: Path | None) -> Splits:
    """Read one of torchvision's data sets."""
    if name in PICKLED:
        raise DataError(
            f"torchvision:{name} is kept in pickles, which are never opened here; use hf: or class folders"
        )
    if name not in SPLITS:
        hint = near(name, (*SPLITS, *PICKLED)) or f": {', '.join(sorted(SPLITS))}"
        raise DataError(f"torchvision:{name} is not one of those that can be read{hint}")
    return _read(name, _root(name, data_root))


def _read(name: str, root: Path) -> Splits:
    splits = {split: _open(name, root, arguments) for split, arguments in SPLITS[name].items()}
    if empty := [split for split, rows in splits.items() if not len(rows)]:
        raise _damaged(name, root, f"it has no {empty[0]} images".replace("  ", " "))
    classes = _classes(splits)
    files = {split: _files(rows) for split, rows in splits.items()}
    if all(files.values()):
        splits_on_disk = _of_files(
            name, root, classes, {split: items or () for split, items in files.items()}
        )
    else:
        version = "-".join(f"{split or 'all'}{len(rows)}" for split, rows in splits.items())
        images = _images(name, root, splits)
        splits_on_disk = numbered_set(name, f"torchvision-{name}", version, classes, images)
    if splits_on_disk.val:
        return splits_on_disk
    train, val, _test = divide(splits_on_disk.train, test=0)
    notes = (*(note for note in splits_on_disk.notes if note != NO_VAL), VAL_RULE)
    return replace(splits_on_disk, train=train, val=val, notes=notes)


def _damaged(name: str, root: Path, why: str) -> DataError:
    return DataError(
        f"torchvision:{name} is missing in {root}, or damaged ({why}). Remove what is there of it, and "
        "download it again where there is a network, in Python: "
        f"torchvision.datasets.{name}({str(root)!r}, download=True)"
    )


def to_download(name: str, data_root: Path | None) -> bool:
    """Return whether a data set is downloaded before it is read."""
    return name in FETCHED and not (
        _lies_in(data_root, FETCHED[name]) or is_written(f"torchvision-{name}", "archives")
    )


def _root(name: str, data_root: Path | None) -> Path:
    """Return the folder that torchvision calls root: the user's, or one in the cache, downloaded now."""
    if name in FETCHED and not _lies_in(data_root, FETCHED[name]):
        return written_once(f"torchvision-{name}", "archives", partial(_download, name))[0]
    if data_root is None:
        raise DataError(f"torchvision:{name} needs the folder that torchvision calls root: set `data_root`")
    return data_root


def _lies_in(root: Path | None, folder: str) -> bool:
    return root is not None and (root / folder).is_dir()


def _download(name: str, folder: Path) -> None:
    """Download a set's archives into an empty folder, check and unpack them, and remove them."""
    import torchvision

    split = next(iter(SPLITS[name].values()))
    sys.stderr.write(f"downloading torchvision:{name}\n")
    try:
        with redirect_stdout(sys.stderr), _bounded():
            with suppress(ValueError, FileNotFoundError):  # a damaged list, which is read again below
                getattr(torchvision.datasets, name)(root=str(folder), download=True, **split)
            _read(name, folder)
    except (
        *(DataError, EOFError, RuntimeError),  # the last is of a wrong checksum
        *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error),
        *(urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError),
    ) as error:
        raise DataError(
            f"torchvision:{name} could not be downloaded whole ({reason_of(error)}). Nothing of it is kept: "
            f"try again later, or run torchvision.datasets.{name}(DIR, download=True) elsewhere, copy DIR, "
            "and give it as `data_root = DIR`"
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
    except ImportError as error:
        raise DataError(f"torchvision:{name} needs a package that is not installed ({error})") from error
    except Exception as error:  # torchvision checks few files, and reads the others as they are
        raise _damaged(name, root, _fault(error)) from error


def _fault(error: Exception) -> str:
    has_reason = isinstance(error, OSError | ValueError | RuntimeError)
    return reason_of(error) if has_reason else type(error).__name__


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
    items = [item for split_items in files.values() for item in split_items]
    _refuse_outside(name, root, [item.path for item in items])
    if missing := [item.path for item in items if not item.path.is_file()]:
        raise _damaged(name, root, f"{len(missing):,} of {len(items):,} images, such as {missing[0]}")
    names = classes
    if name == "EuroSAT":  # "AnnualCrop" would be one word to a CLIP
        names = [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder) for folder in classes]
    train, val, test = (files.get(split, ()) for split in ("train", "val", "test"))
    (train, val, test), notes = complete(files.get("", train), val, test)
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


def _refuse_outside(name: str, root: Path, paths: Sequence[Path]) -> None:
    """Refuse images that a name or a link in a received copy takes from outside of the set's folder."""
    for path in (*{path.parent for path in paths}, *(path for path in paths if path.is_symlink())):
        try:
            set_folder = root / path.relative_to(root).parts[0]
            lies_inside = path.resolve().is_relative_to(set_folder.resolve())
        except (ValueError, IndexError, OSError, RuntimeError):  # an absolute name, a NUL, a circle of links
            lies_inside = False
        if not lies_inside:
            raise DataError(
                f"torchvision:{name}: {str(path)!r} leads out of the set's folder in {root}, in which every "
                "image must lie; remove the entry or the link"
            )


def _images(name: str, root: Path, splits: dict[str, Any]) -> Iterator[tuple[str, int, Save]]:
    for split, rows in splits.items():
        for number in range(len(rows)):
            try:
                image, label = rows[number]
            except Exception as error:
                fault = f"image {number + 1:,} of {len(rows):,}: {_fault(error)}"
                raise _damaged(name, root, fault) from error
            yield split, int(label), partial(_save, image)


def _save(image: Image.Image, stem: Path) -> None:
    image.save(stem.with_suffix(".png"))
