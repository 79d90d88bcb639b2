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
    folder = home / f"{name}-{version}"
    if (known_order := read_marker(folder)) is not None:
        return folder, known_order or None
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
            _move(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{name} cannot be written to {home} ({error.strerror}); "
            "make room there, or set PROMPTCLIMB_CACHE to another folder"
        ) from error
    if (known_order := read_marker(folder)) is None:
        raise DataError(f"{folder} was changed while it was being written; remove it and try again")
    return folder, known_order or None


def is_written(name: str, version: str) -> bool:
    """Return whether ``written_once`` has the set already."""
    return read_marker(cache_dir() / "datasets" / f"{name}-{version}") is not None


def read_marker(folder: Path) -> tuple[str, ...] | None:
    """Return the order of the class folders (empty: sorted); None if the folder must be written."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
        if marker["files"] != _count_files(folder):
            return None
        return tuple(str(name) for name in marker["order"] or ())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _count_files(folder: Path) -> int:
    return sum(len([file for file in files if file != MARKER]) for _path, _dirs, files in os.walk(folder))


def _move(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        # Another process was faster, or the folder is incomplete.
        if read_marker(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)


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
            class_folder = folder / split / folders[label]
            class_folder.mkdir(parents=True, exist_ok=True)
            save(class_folder / f"{number:07d}")
        (folder / NAMES).write_text(json.dumps(list(classes), ensure_ascii=False), "utf-8")
        return folders

    folder, order = written_once(key, version, write)
    splits = read_folder(folder, name=name, order=order)
    tidied = tuple(tidy(class_name, where=name) for class_name in classes)
    return replace(splits, classes=tidied, sources=tuple(classes))
