"""Write sets that come as arrays to the cache once, as folders of image files.

A folder is moved into place when complete, with a marker that holds its number of files and class order.
Without the marker, or with fewer files, it is written again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import DataError
from ...files import cache_dir
from ..class_names import tidy
from ..values import Splits
from .folders import read_folder

MARKER = ".complete.json"
STALE_SECONDS = 24 * 3600.0

Write = Callable[[Path], Sequence[str] | None]


def written_once(name: str, version: str, write: Write) -> tuple[Path, tuple[str, ...] | None]:
    """Return a set's folder, written now if missing, and the order of its class folders (None: sorted).

    ``version`` changes with what is written. ``write`` fills an empty folder and returns the class order.
    """
    home = cache_dir() / "datasets"
    place = home / f"{name}-{version}"
    if (found := read_marker(place)) is not None:
        return place, found or None
    try:
        home.mkdir(parents=True, exist_ok=True)
        for left in home.glob(".draft-*"):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix=f".draft-{name}-", dir=home))
        try:
            order = write(draft)
            marker = {"files": _count_files(draft), "order": list(order) if order else None}
            (draft / MARKER).write_text(json.dumps(marker, ensure_ascii=False), "utf-8")
            _move(draft, place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{name} cannot be written to {home} ({error.strerror}); "
            "make room there, or set PROMPTCLIMB_CACHE to another folder"
        ) from error
    if (found := read_marker(place)) is None:
        raise DataError(f"{place} was changed while it was being written; remove it and try again")
    return place, found or None


def read_marker(place: Path) -> tuple[str, ...] | None:
    """Return the order of the class folders (empty: sorted); None if the folder must be written."""
    try:
        found = json.loads((place / MARKER).read_text("utf-8"))
        if found["files"] != _count_files(place):
            return None
        return tuple(str(name) for name in found["order"] or ())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _count_files(folder: Path) -> int:
    return sum(len([file for file in files if file != MARKER]) for _path, _dirs, files in os.walk(folder))


def _move(draft: Path, place: Path) -> None:
    try:
        draft.rename(place)
    except OSError:
        # Another process was faster, or the folder is incomplete.
        if read_marker(place) is None:
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)


NAMES = ".class-names.json"
Save = Callable[[Path], None]
"""Writes one image to a path, to which it may add a suffix."""


def numbered_set(
    name: str, key: str, version: str, classes: Sequence[str], images: Iterator[tuple[str, int, Save]]
) -> Splits:
    """Return a set of images that are written once into the cache.

    Args:
        name: What to call it.
        key: Part of the folder's name in the cache.
        version: Changes whenever what is written changes.
        classes: Class names by label.
        images: Split ("train", "val", "test", or "" to split by rule), label, image writer; read only if the
            set is not in the cache.
    """
    folders = [f"{label:05d}" for label in range(len(classes))]

    def write(folder: Path) -> list[str]:
        for number, (split, label, save) in enumerate(images):
            if not 0 <= label < len(folders):
                raise DataError(f"{name}: label {label} is out of range: there are {len(folders)} classes")
            place = folder / split / folders[label]
            place.mkdir(parents=True, exist_ok=True)
            save(place / f"{number:07d}")
        (folder / NAMES).write_text(json.dumps(list(classes), ensure_ascii=False), "utf-8")
        return folders

    folder, order = written_once(key, version, write)
    found = read_folder(folder, name=name, order=order)
    tidied = tuple(tidy(class_name, where=name) for class_name in classes)
    return replace(found, classes=tidied, sources=tuple(classes))
