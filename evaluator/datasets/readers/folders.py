"""Folders of class folders: ``DIR/CLASS/*.jpg``, or ``DIR/{train,val,test}/CLASS/*``.

A class is a folder with images in it or below it; its label is its place in the sorted list of folder names,
as torchvision and CLIP_benchmark number them. Hidden files are passed over; files that are no images are
counted and passed over. Links are followed, and a link back to a folder above is passed over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import DataError
from ..class_names import tidy
from ..sampling.rule_split import HALF_RULE, RULE, divide, halve
from ..values import Item, Splits

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
    }
)
VAL_NAMES = ("val", "valid", "validation")
LAYOUT_HELP = "expected DIR/CLASS/*.jpg or DIR/{train,val,test}/CLASS/*.jpg"


@dataclass(slots=True)
class Listing:
    """The class folders of one folder: items by class folder, and what was passed over."""

    root: Path
    images: dict[str, list[Path]] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def read_folder(folder: Path, *, name: str | None = None, order: Sequence[str] | None = None) -> Splits:
    """Read a data set out of class folders.

    Args:
        folder: The folder of class folders, or of split folders that hold them.
        name: What to call it; the folder's own name if None.
        order: Folder names in the order of their labels; sorted by code point if None.

    Raises:
        DataError: No such folder, no class folders, no images, one class only, or classes without images.
    """
    folder = existing_folder(folder)
    name = name or folder.name
    if has_split_folders(folder):
        return _read_split_folders(folder, name, order)
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
        notes=(RULE, *_passed_over(listing)),
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


def has_split_folders(folder: Path) -> bool:
    """Return whether a folder holds ``train/`` with class folders in it (a class may be called so)."""
    train = folder / "train"
    if not train.is_dir():
        return False
    entries = _entries(train)
    return any(entry.is_dir() for entry in entries) and not any(_is_image(entry) for entry in entries)


def list_classes(folder: Path) -> Listing:
    """Return every class folder of a folder with its images, sorted by path.

    Raises:
        DataError: There is none, or none has an image.
    """
    listing = Listing(root=folder)
    loose = 0
    for entry in _entries(folder):
        if not entry.is_dir():
            loose += _is_image(entry)
            continue
        found = sorted(_walk(Path(entry.path), listing.ignored))
        if found:
            listing.images[entry.name] = found
        else:
            listing.empty.append(entry.name)
    if not listing.images:
        raise DataError(_nothing_found(folder, loose, listing))
    return listing


def _nothing_found(folder: Path, loose: int, listing: Listing) -> str:
    if loose:
        return (
            f"{folder} has {loose} images but no class folders; put the images of each class in their folder"
        )
    if listing.empty:
        return (
            f"none of the {len(listing.empty)} folders in {folder} holds an image "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}); {LAYOUT_HELP}"
        )
    return f"{folder} is empty: {LAYOUT_HELP}"


def _read_split_folders(folder: Path, name: str, order: Sequence[str] | None) -> Splits:
    train_list = list_classes(folder / "train")
    names = _ordered(train_list, order)
    classes, train = _items(train_list, names)
    notes = _passed_over(train_list)
    val_folder = next((folder / val for val in VAL_NAMES if (folder / val).is_dir()), None)
    val = _split(val_folder, names, notes) if val_folder else ()
    if (folder / "test").is_dir():
        test = _split(folder / "test", names, notes)
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


def _split(folder: Path, names: Sequence[str], notes: list[str]) -> tuple[Item, ...]:
    listing = list_classes(folder)
    if strangers := sorted(listing.images.keys() - set(names)):
        raise DataError(
            f"{folder / strangers[0]}: this class has no images under {folder.parent / 'train'}; "
            f"add some or remove the folder ({len(strangers)} such classes)"
        )
    if missing := [name for name in names if name not in listing.images]:
        notes.append(f"{folder.name} has no images of {len(missing)} classes, such as {missing[0]!r}")
    notes.extend(_passed_over(listing))
    labels = {name: label for label, name in enumerate(names)}
    return tuple(Item(path, labels[name]) for name in names for path in listing.images.get(name, ()))


def _ordered(listing: Listing, order: Sequence[str] | None) -> list[str]:
    names = sorted(listing.images)
    if order is None:
        return names
    if set(names) != set(order):
        raise DataError(
            f"{listing.root}: its class folders are not the {len(order)} that it was written with"
        )
    return list(order)


def _items(listing: Listing, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[Item, ...]]:
    if listing.empty:
        raise DataError(
            f"{listing.root / listing.empty[0]} holds no image, so its class has none to learn from; "
            f"add some or remove the folder ({len(listing.empty)} such folders)"
        )
    if len(names) < 2:
        raise DataError(f"{listing.root} has one class only ({names[0]!r}); there is nothing to tell apart")
    items = tuple(Item(path, label) for label, name in enumerate(names) for path in listing.images[name])
    return tuple(tidy(name, where=listing.root / name) for name in names), items


def _walk(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Yield images in a folder and below it, links followed, loops not."""
    top = Path(os.path.realpath(folder))
    stack: list[tuple[Path, frozenset[str]]] = [(folder, frozenset(map(str, (top, *top.parents))))]
    while stack:
        here, above = stack.pop()
        for entry in _entries(here):
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    stack.append((Path(entry.path), above | {real}))
            elif _is_image(entry):
                yield Path(entry.path)
            else:
                ignored[Path(entry.name).suffix.lower() or entry.name] += 1


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(
                (entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from error


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and entry.is_file()  # noqa: PTH122


def _passed_over(listing: Listing) -> list[str]:
    total = sum(listing.ignored.values())
    if not total:
        return []
    kinds = ", ".join(kind for kind, _count in listing.ignored.most_common(3))
    return [f"{total} files under {listing.root} are no images and were passed over ({kinds})"]
