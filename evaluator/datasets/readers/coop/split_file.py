"""The family of ``split_zhou_*.json``.

The form: ``{"train": [[path, label, class name], ...], "val": [...], "test": [...]}``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....errors import DataError
from ...class_names import tidy
from ...paths import inside
from ...values import Item, Splits
from ..text_files import parse_json, read_text
from .missing import need_file, need_folder, need_images

PARTS = ("train", "val", "test")
# Larger than any label of a data set that this program can hold in memory as texts.
MAX_CLASSES = 100_000


def read_split_file(name: str, split: Path, images: Path) -> Splits:
    """Read a data set whose splits are written down in one JSON file.

    Args:
        name: What to call it.
        split: The JSON file.
        images: The folder that its paths are relative to.

    Raises:
        DataError: The file or an image is missing, or the file is not of the form above.
    """
    text = read_text(need_file(name, split), what="split file")
    need_folder(name, images)
    parts, classes = parse_split(text, root=images, where=str(split))
    need_images(name, [item.path for part in parts for item in part], listed_in=split.name)
    train, val, test = parts
    return Splits(name=name, classes=classes, train=train, val=val, test=test, root=images, published=True)


def parse_split(text: str, *, root: Path, where: str) -> tuple[tuple[tuple[Item, ...], ...], tuple[str, ...]]:
    """Return the three lists of items of a split file, and the class names by label.

    Raises:
        DataError: The text is not of the form above, a path leads out of the root, a label has no training
            image or two names, or labels are not 0, 1, 2, ... without a gap.
    """
    found = parse_json(text, where=where)
    if not isinstance(found, dict) or not all(isinstance(found.get(part), list) for part in PARTS):
        raise DataError(f'{where} must be {{"train": [...], "val": [...], "test": [...]}}')
    names: dict[int, str] = {}
    parts = tuple(tuple(_items(found[part], root, f"{where}, {part}", names)) for part in PARTS)
    trained = {item.label for item in parts[0]}
    if len(names) < 2:
        raise DataError(f"{where} has {len(names)} classes; at least two are needed")
    if gaps := [label for label in range(max(names) + 1) if label not in trained]:
        raise DataError(f"{where}: label {gaps[0]} has no training image ({len(gaps)} such labels)")
    return parts, tuple(tidy(names[label], where=where) for label in range(len(names)))


def _items(entries: list[Any], root: Path, where: str, names: dict[int, str]) -> Iterator[Item]:
    for number, entry in enumerate(entries):
        here = f"{where}[{number}]"
        path, label, name = _entry(entry, here)
        if names.setdefault(label, name) != name:
            raise DataError(f"{here}: label {label} is called {names[label]!r} and {name!r}")
        yield Item(inside(root, path, where=here), label)


def _entry(entry: Any, here: str) -> tuple[str, int, str]:
    if not isinstance(entry, list) or len(entry) != 3:
        raise DataError(f"{here} must be [path, label, class name]")
    path, label, name = entry
    if not isinstance(path, str) or not isinstance(name, str):
        raise DataError(f"{here} must be [path, label, class name]")
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < MAX_CLASSES:
        raise DataError(f"{here}: label {label!r} is out of range; labels are 0, 1, 2, ...")
    return path, label, name
