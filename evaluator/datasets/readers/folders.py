"""Folders of class folders: ``DIR/CLASS/*.jpg``, or ``DIR/{train,val,test}/CLASS/*``.

A class is a folder with images in it or below it; its label is its place in the sorted list of folder names,
as torchvision and CLIP_benchmark number them.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ...counts import counted
from ...errors import DataError
from ..class_names import tidy
from ..sampling.rule_split import HALF_RULE, RULE, divide, halve
from ..values import Item, Splits
from .class_folders import (
    LAYOUT_HELP,
    Listing,
    list_classes,
    nested,
    one_deeper,
    passed_over,
    table_beside,
    unread_photographs,
)
from .split_folders import SplitFolders, find_split_folders


def read_folder(folder: Path, *, name: str | None = None, order: Sequence[str] | None = None) -> Splits:
    """Read a data set out of class folders.

    Args:
        folder: The folder of class folders, or of split folders that hold them.
        name: What to call it; the folder's own name if None.
        order: Folder names in the order of their labels; sorted by code point if None.

    Raises:
        DataError: No such folder, no class folders, no images, one class only, classes without images, or
            folders that may be splits and may be classes.
    """
    folder = existing_folder(folder)
    name = name or folder.name
    if (places := find_split_folders(folder)) is not None:
        return _read_split_folders(folder, name, order, places)
    listing = list_classes(folder)
    classes, items = _items(listing, _ordered(listing, order))
    train, val, test = divide(items, classes)
    return Splits(
        name=name,
        classes=classes,
        train=train,
        val=val,
        test=test,
        root=folder,
        notes=(RULE, *nested(listing), *passed_over(listing)),
    )


def existing_folder(folder: Path) -> Path:
    """Return the folder as an absolute path.

    Raises:
        DataError: It does not exist, or is a file, or may not be read.
    """
    folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 - resolve() would leave a linked folder
    if not folder.exists():
        raise DataError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, not a folder of class folders; {LAYOUT_HELP}")
    return folder


def _read_split_folders(folder: Path, name: str, order: Sequence[str] | None, places: SplitFolders) -> Splits:
    train_list = list_classes(places.train)
    names = _ordered(train_list, order)
    classes, train = _items(train_list, names)
    notes = passed_over(train_list)
    if places.others:
        notes.append(f"folders beside the splits were passed over: {', '.join(places.others)}")
    val = _split(places.val, train_list, names, notes) if places.val else ()
    if places.test:
        test = _split(places.test, train_list, names, notes)
        if not val:
            notes.append("there is no val split: templates are chosen on the training shots alone")
    elif val:
        val, test = halve(val)
        notes.append(HALF_RULE)
    else:
        train, val, test = divide(train, classes)
        notes.append(RULE)
    return Splits(
        name=name, classes=classes, train=train, val=val, test=test, root=folder, notes=tuple(notes)
    )


def _split(folder: Path, train: Listing, names: Sequence[str], notes: list[str]) -> tuple[Item, ...]:
    listing = list_classes(folder)
    labels = {composed(name): label for label, name in enumerate(names)}
    if strangers := sorted(name for name in listing.images if composed(name) not in labels):
        raise DataError(
            f"{folder / strangers[0]}: this class has no images under {train.root}; "
            f"add some or remove the folder ({counted(len(strangers), 'such class', 'such classes')})"
        )
    items = [Item(path, labels[composed(name)]) for name, paths in listing.images.items() for path in paths]
    seen = {item.label for item in items}
    if missing := [name for label, name in enumerate(names) if label not in seen]:
        classes = counted(len(missing), "class", "classes")
        notes.append(f"{folder.name} has no images of {classes}, such as {missing[0]!r}")
    notes.extend(passed_over(listing))
    return tuple(sorted(items, key=lambda item: item.label))


def _ordered(listing: Listing, order: Sequence[str] | None) -> list[str]:
    names = sorted(listing.images)
    if order is None:
        return names
    found = {composed(name): name for name in names}
    if found.keys() != {composed(name) for name in order}:
        raise DataError(
            f"{listing.root}: its class folders are not the {len(order)} that it was written with"
        )
    return [found[composed(name)] for name in order]


def composed(name: str) -> str:
    """Return the name of a folder with its accents in one form (NFC); some file systems change it."""
    return unicodedata.normalize("NFC", name)


def _items(listing: Listing, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    if listing.empty:
        name, kinds = next(iter(listing.empty.items()))
        unread = unread_photographs(kinds)
        raise DataError(
            f"{listing.root / name} holds no image{' that is read' if unread else ''}, so its class has none "
            f"to learn from; {unread or 'add some or remove the folder'} "
            f"({counted(len(listing.empty), 'such folder')})"
        )
    if len(names) < 2:
        raise DataError(
            f"{listing.root} has one class only ({names[0]!r}); there is nothing to tell apart"
            f"{one_deeper(listing.root / names[0]) or table_beside(listing.root)}"
        )
    items = tuple(Item(path, label) for label, name in enumerate(names) for path in listing.images[name])
    return tuple(tidy(name, where=listing.root / name) for name in names), items
