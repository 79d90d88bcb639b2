"""Define data sets in memory: items, splits, and a few-shot sample whose test split is held out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..scoring import ALL, Shots

FEW_TEST_IMAGES = 100
"""Below so many, even a gain of ten points may be chance."""
UNUSED_IMAGES = f'`shots = "{ALL}"` uses every one'
"""It stands in a line on training images in use, if the default number of shots leaves some unused."""


class Item(NamedTuple):
    """One image: its absolute path, and its label, an index into the class names."""

    path: Path
    label: int


@dataclass(frozen=True, slots=True)
class HeldOutTest:
    """The held-out test split: its items are opened only after selection."""

    _items: tuple[Item, ...] = field(repr=False)

    @property
    def size(self) -> int:
        return len(self._items)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The images without labels: they may be decoded before a search begins, but not scored."""
        return tuple(item.path for item in self._items)

    def open(self) -> tuple[Item, ...]:
        """Return the items. Call it once, after selection."""
        return self._items


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """A whole data set on disk, before any shots are drawn."""

    name: str
    classes: tuple[str, ...]
    train: tuple[Item, ...]  # in source order, which few-shot sampling depends on
    val: tuple[Item, ...]
    test: tuple[Item, ...]
    root: Path
    # folder names or the table's labels, by label, before they were tidied; empty: the class names
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # for the user, on how it was read
    published: bool = False  # the class names come from a published list, which may repeat a name


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShotData:
    """A few-shot problem: what a search may see, and a held-out test split."""

    name: str
    classes: tuple[str, ...]
    train: tuple[Item, ...]  # at most ``shots`` a class, in the order of the draw
    val: tuple[Item, ...]  # at most ``min(4, shots)`` a class; empty without a validation split
    test: HeldOutTest = field(repr=False)
    shots: Shots  # per class
    seed: int
    sources: tuple[str, ...] = ()  # folder names or the table's labels, by label; empty: the class names
    # names of all images, below the data's folder, on which the sample depends; empty if too many to keep
    files: tuple[str, ...] = ()
    labelled_files: tuple[str, ...] = ()  # those of train and val
    notes: tuple[str, ...] = ()
    # defaults that were chosen, a sentence each; a run keeps those of its start, where they become settings
    chosen: tuple[str, ...] = ()


def count_by_label(items: tuple[Item, ...], classes: int) -> list[int]:
    """Return the number of items of each label."""
    counts = [0] * classes
    for item in items:
        if not 0 <= item.label < classes:
            raise DataError(f"{item.path}: label {item.label} is out of range: there are {classes} classes")
        counts[item.label] += 1
    return counts


def describe(data: FewShotData, *, test: bool = False) -> dict[str, Any]:
    """Return the split as JSON values."""
    document: dict[str, Any] = {
        "name": data.name,
        "classes": list(data.classes),
        "sources": list(data.sources or data.classes),
        "train": _listed(data.train),
        "val": _listed(data.val),
        "test_size": data.test.size,
        "shots": data.shots,
        "seed": data.seed,
        "notes": list(data.notes),
    }
    if test:
        document["test"] = _listed(data.test.open())
    return document


def _listed(items: Iterable[Item]) -> list[dict[str, Any]]:
    return [{"path": str(item.path), "label": item.label} for item in items]
