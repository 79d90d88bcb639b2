"""Sets whose class names need not be fit for folder names: written under numbers, the names beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ...errors import DataError
from ..class_names import tidy
from ..values import Splits
from .folders import read_folder
from .written import written_once

NAMES = ".class-names.json"


class Save(Protocol):
    """Writes one image to a path that it may give a suffix to."""

    def __call__(self, stem: Path) -> None:
        """Write the image."""


def numbered_set(
    name: str, key: str, version: str, classes: Sequence[str], images: Iterator[tuple[str, int, Save]]
) -> Splits:
    """Return a set out of images that are written once into the cache.

    Args:
        name: What to call it.
        key: Part of the folder's name in the cache.
        version: Changes whenever what is written changes.
        classes: Class names by label.
        images: Split ("train", "val", "test", or "" for one list to be split by rule), label, and what writes
            the image; read only if the set is not in the cache.

    Raises:
        DataError: A label is out of range, a class has no training image, or the cache cannot be written.
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
    return replace(found, classes=tuple(tidy(class_name, where=name) for class_name in classes))
