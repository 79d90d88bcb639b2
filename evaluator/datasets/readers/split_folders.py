"""Which folders hold splits: ``train/``, ``val/`` and ``test/`` by their usual names, in any casing.

A class may be called "train" too. What decides is the form: the folder of a split holds class folders and no
images of its own. A folder of which both may be said is refused, since the wrong reading would give figures
that mean nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ...counts import enumerated
from ...errors import DataError
from .class_folders import entries_of, is_image, walk

SPLIT_OF: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("val", "valid", "validation"), "val"),
        **dict.fromkeys(("test", "testing"), "test"),
    }
)
"""The split that a folder's name, in small letters, means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFolders:
    """The folders that hold the splits of a data set, and those beside them that hold images of no split."""

    train: Path
    val: Path | None
    test: Path | None
    others: tuple[str, ...]


def find_split_folders(folder: Path) -> SplitFolders | None:
    """Return the folders of the splits; None where the folder holds class folders.

    Raises:
        DataError: It cannot be told which, or which folder a split is.
    """
    inside = [entry for entry in entries_of(folder) if entry.is_dir()]
    named = [entry for entry in inside if entry.name.lower() in SPLIT_OF]
    if not any(_holds_classes(entry) for entry in named):
        if len(named) > 1 and len(named) == len(inside):
            said = enumerated(one.name for one in named)
            raise DataError(
                f"{folder}: {said} are splits by their names, but hold no class folders; "
                f"put the images of each class in a folder of its own: {named[0].name}/CLASS/*.jpg"
            )
        return None
    places = _places(folder, named)
    train = places.get("train")
    if train is None or not _holds_classes(train):
        raise DataError(_without_train(folder, named, train))
    others = [entry.name for entry in inside if entry not in named and any(walk(Path(entry.path), Counter()))]
    if others and len(named) == 1:
        raise DataError(
            f"{folder}: {train.name} holds class folders as a training split does, but {others[0]} beside it "
            "holds images too; move it into the split that it belongs to, or, if both are classes, give "
            f"{train.name} another name"
        )
    found = {split: Path(entry.path) for split, entry in places.items()}
    return SplitFolders(
        train=found["train"], val=found.get("val"), test=found.get("test"), others=tuple(others)
    )


def _places(folder: Path, named: Sequence[os.DirEntry[str]]) -> dict[str, os.DirEntry[str]]:
    places: dict[str, os.DirEntry[str]] = {}
    for entry in named:
        first = places.setdefault(SPLIT_OF[entry.name.lower()], entry)
        if first is not entry:
            raise DataError(
                f"{folder} has both {first.name} and {entry.name}, which mean the same split; "
                "merge them, or move one elsewhere"
            )
    return places


def _without_train(folder: Path, named: Sequence[os.DirEntry[str]], train: os.DirEntry[str] | None) -> str:
    holding = [entry for entry in named if _holds_classes(entry)]
    if train is None:
        lacks, what = "there is no train folder", "add it, or call the one that is meant so"
    else:
        lacks = f"{train.name} has no class folders, or images beside them"
        what = "put the images of each class in a folder of its own"
    said = enumerated(one.name for one in holding)
    return (
        f"{folder}: {said} {'holds' if len(holding) == 1 else 'hold'} class folders as a split "
        f"does, but {lacks}; {what} (if {holding[0].name} is a class, give it another name)"
    )


def _holds_classes(entry: os.DirEntry[str]) -> bool:
    entries = entries_of(Path(entry.path))
    return any(one.is_dir() for one in entries) and not any(is_image(one) for one in entries)
