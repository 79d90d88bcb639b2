"""Read folders of class folders: ``DIR/CLASS/*.jpg``, or ``DIR/{train,val,test}/CLASS/*``.

A class is a folder with images in or below it; labels follow the sorted folder names, as in torchvision and
CLIP_benchmark. Hidden files, links to a folder above, and files that are not images are skipped. A class may
be called "train": a split folder holds class folders and no images. An ambiguous folder is refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from ...counts import counted, enumerated
from ...errors import DataError
from ..class_names import composed, tidy
from ..pictures import UNREAD_PHOTOGRAPHS, how_to_convert
from ..sampling import RULE, ThreeSplits, complete, divide
from ..values import Item, Splits

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
    }
)
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
LAYOUT_HELP = "expected DIR/CLASS/*.jpg or DIR/{train,val,test}/CLASS/*.jpg"
NO_VAL = "there is no val split: templates are chosen on the training shots alone"
MOST_NAMED = 5
MOST_BESIDE = 100
"""Folders beside a given one that are searched for images, for a hint."""
_DEEPEST = 10
"""Levels of nested folders that are searched for a hint: a link may lead in a circle."""


@dataclass(slots=True)
class Listing:
    """The class folders of one folder."""

    root: Path
    images: dict[str, list[Path]] = field(default_factory=dict)  # by class folder
    # folders without images, with the suffixes of their files
    empty: dict[str, Counter[str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)  # suffixes of skipped files


def list_classes(folder: Path) -> Listing:
    """Return every class folder of a folder with its images, sorted by path."""
    listing = Listing(root=folder)
    loose: Counter[str] = Counter()
    for entry in entries_of(folder):
        if not entry.is_dir():
            loose[_kind(entry)] += 1
            continue
        if holds_runs(Path(entry.path)):
            continue
        ignored: Counter[str] = Counter()
        if images := sorted(walk(Path(entry.path), ignored)):
            listing.images[entry.name] = images
        else:
            listing.empty[entry.name] = ignored
        listing.ignored.update(ignored)
    if not listing.images:
        raise DataError(_nothing_found(folder, loose, listing))
    return listing


def holds_runs(folder: Path) -> bool:
    """Return whether a folder is a run's or a study's, or ``runs``, where a search on ``.`` puts its own."""
    is_run = (folder / "store").is_dir() and (folder / "config.toml").is_file()
    # A study in its first session has only the lock.
    is_locked = (folder / ".lock").is_file() and (folder / ".pid").is_file()
    if is_run or is_locked or (folder / "suite.json").is_file():
        return True
    if folder.name != "runs":
        return False
    inner = [(entry.is_dir(), Path(entry.path)) for entry in entries_of(folder)]
    return all(
        is_folder and ((path / "store").is_dir() or holds_runs(path) or not entries_of(path))
        for is_folder, path in inner
    )


def _is_class_folder(folder: Path) -> bool:
    """Return whether a folder seems to be a class: others with images stand beside it."""
    try:
        beside = [entry.path for entry in entries_of(folder.parent) if entry.is_dir()]
    except DataError:
        return False
    return sum(_has_image(path) for path in beside[:MOST_BESIDE]) > 1


def _has_image(folder: str) -> bool:
    try:
        return any(Path(entry.name).suffix.lower() in IMAGE_SUFFIXES for entry in entries_of(Path(folder)))
    except DataError:
        return False


def _nothing_found(folder: Path, files: Counter[str], listing: Listing) -> str:
    if loose := sum(count for kind, count in files.items() if kind in IMAGE_SUFFIXES):
        images = counted(loose, "image")
        how = table_beside(folder) or ", or list them in a table"
        what = (
            f"{folder} has {images} but no class folders; put the images of each class in their folder{how}"
        )
        if not table_beside(folder) and _is_class_folder(folder):
            return f"{what}; or did you mean the folder above, {folder.parent}?"
        return what
    if unread := unread_photographs(listing.ignored + files):
        return f"{folder} holds no image that is read, but {unread}"
    if listing.empty:
        return (
            f"none of the folders in {folder} holds an image "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}); {LAYOUT_HELP}"
        )
    return f"{folder} is empty: {LAYOUT_HELP}"


def table_beside(folder: Path) -> str:
    """Return a hint at a table in a folder, or an empty text."""
    tables = [entry.path for entry in entries_of(folder) if entry.name.lower().endswith(TABLE_SUFFIXES)]
    return f"; or, if {tables[0]} lists the images, name that" if tables else ""


def one_deeper(folder: Path) -> str:
    """Return a hint if a folder, or a chain of only folders in it, holds several, maybe the classes."""
    for _level in range(_DEEPEST):
        inner = [Path(entry.path) for entry in entries_of(folder) if entry.is_dir()]
        if len(inner) > 1:
            return f". {folder} holds {len(inner):,} folders: if they are the classes, name that"
        if not inner:
            break
        folder = inner[0]
    return ""


def nested(listing: Listing) -> list[str]:
    """Return a note if no class folder holds an image itself: the classes may be one level deeper."""
    inner: list[set[str]] = []
    depth = len(listing.root.parts) + 1
    for paths in listing.images.values():
        below = [path.parts[depth:] for path in paths]
        if any(len(parts) == 1 for parts in below):
            return []
        inner.append({parts[0] for parts in below})
    classes = counted(len(inner), "folder")
    if len(inner[0]) > 1 and all(folders == inner[0] for folders in inner):
        names = ", ".join(sorted(inner[0])[:MOST_NAMED]) + (", ..." if len(inner[0]) > MOST_NAMED else "")
        return [
            f"check the classes: they are the {classes} in {listing.root}, but each holds the same folders "
            f"({names}). If those are the classes, bring the images of each into one folder, or list all "
            "images in a table. If they are splits, put them above the classes"
        ]
    within = os.fspath(next(iter(listing.images.values()))[0].parent.relative_to(listing.root))
    return [
        f"no class folder holds an image itself, they lie in folders such as {within}: the classes are the "
        f"{classes} in {listing.root}"
    ]


def skipped_files(listing: Listing) -> list[str]:
    """Return notes on files that are not images, and on photographs in unsupported formats."""
    notes = [unread] if (unread := unread_photographs(listing.ignored)) else []
    others = Counter({kind: n for kind, n in listing.ignored.items() if kind not in UNREAD_PHOTOGRAPHS})
    if others:
        kinds = ", ".join(kind for kind, _count in others.most_common(3))
        files = counted(others.total(), "file that is not an image", "files that are not images")
        notes.append(f"{files} ({kinds})")
    return [f"skipped under {listing.root}: {note}" for note in notes]


def unread_photographs(kinds: Counter[str]) -> str:
    """Return how many files are photographs in unsupported formats, and what to do with them."""
    unread = Counter({kind: count for kind, count in kinds.items() if kind in UNREAD_PHOTOGRAPHS})
    if not unread:
        return ""
    suffixes = [kind for kind, _count in unread.most_common(3)]
    unsupported = "in a format that is not read"
    photographs = counted(unread.total(), f"photograph {unsupported}", f"photographs {unsupported}")
    return f"{photographs} ({', '.join(suffixes)}); {how_to_convert(suffixes[0])}"


def walk(
    folder: Path, ignored: Counter[str], on_error: Callable[[DataError], None] | None = None
) -> Iterator[Path]:
    """Yield images in a folder and below it, following links but not loops.

    A folder that cannot be read raises DataError, or is passed over after a call of ``on_error``.
    """
    top = Path(os.path.realpath(folder))
    stack: list[tuple[Path, frozenset[str]]] = [(folder, frozenset(map(str, (top, *top.parents))))]
    while stack:
        here, above = stack.pop()
        try:
            entries = entries_of(here)
        except DataError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        inner = []
        for entry in entries:
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    inner.append((Path(entry.path), above | {real}))
            elif is_image(entry):
                yield Path(entry.path)
            else:
                ignored[_kind(entry)] += 1
        stack += reversed(inner)


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries, sorted by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
            return sorted(visible, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from error


def is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a file with an image's suffix."""
    return os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and entry.is_file()  # noqa: PTH122


def _kind(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower() or entry.name  # noqa: PTH122


SPLIT_OF: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("val", "valid", "validation"), "val"),
        **dict.fromkeys(("test", "testing"), "test"),
    }
)
"""The split that a folder's lower-case name means."""


def find_split_folders(folder: Path) -> tuple[dict[str, Path], list[str]] | None:
    """Return the folder of each split, and the names of others with images; None for class folders."""
    inside = [entry for entry in entries_of(folder) if entry.is_dir()]
    named = [entry for entry in inside if entry.name.lower() in SPLIT_OF]
    if not any(_holds_classes(entry) for entry in named):
        if len(named) > 1 and len(named) == len(inside):
            names = enumerated(entry.name for entry in named)
            raise DataError(
                f"{folder}: {names} are splits by their names, but hold no class folders; "
                f"put the images of each class in a folder of its own: {named[0].name}/CLASS/*.jpg"
            )
        return None
    entry_by_split: dict[str, os.DirEntry[str]] = {}
    for entry in named:
        first = entry_by_split.setdefault(SPLIT_OF[entry.name.lower()], entry)
        if first is not entry:
            raise DataError(
                f"{folder} has both {first.name} and {entry.name}, which mean the same split; "
                "merge them, or move one elsewhere"
            )
    train = entry_by_split.get("train")
    if train is None or not _holds_classes(train):
        raise DataError(_without_train(folder, named, train))
    beside = [entry.name for entry in inside if entry not in named and any(walk(Path(entry.path), Counter()))]
    if beside and len(named) == 1:
        raise DataError(
            f"{folder}: {train.name} holds class folders as a training split does, but {beside[0]} beside it "
            "holds images too; move it into the split that it belongs to, or, if both are classes, give "
            f"{train.name} another name"
        )
    return {split: Path(entry.path) for split, entry in entry_by_split.items()}, beside


def _without_train(folder: Path, named: Sequence[os.DirEntry[str]], train: os.DirEntry[str] | None) -> str:
    holding = [entry for entry in named if _holds_classes(entry)]
    if train is None:
        lacks, what = "there is no train folder", "add it, or give the folder that is meant this name"
    else:
        lacks = f"{train.name} has no class folders, or images beside them"
        what = "put the images of each class in a folder of its own"
    names = enumerated(entry.name for entry in holding)
    return (
        f"{folder}: {names} {'holds' if len(holding) == 1 else 'hold'} class folders as a split "
        f"does, but {lacks}; {what} (if {holding[0].name} is a class, give it another name)"
    )


def _holds_classes(entry: os.DirEntry[str]) -> bool:
    entries = entries_of(Path(entry.path))
    return any(inner.is_dir() for inner in entries) and not any(map(is_image, entries))


def read_folder(folder: Path, *, name: str | None = None, order: Sequence[str] | None = None) -> Splits:
    """Read a data set from class folders, or from split folders that hold them.

    Args:
        folder: The outer folder.
        name: What to call it; the folder's own name if None.
        order: Folder names in label order; sorted by code point if None.
    """
    folder = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 - resolve() would leave a linked folder
    if not folder.exists():
        raise DataError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file, not a folder of class folders; {LAYOUT_HELP}")
    if (split_folders := find_split_folders(folder)) is not None:
        names, classes, (train, val, test), notes = _read_split_folders(*split_folders, order)
    else:
        listing = list_classes(folder)
        names = _ordered(listing, order)
        classes, items = _items(listing, names)
        train, val, test = divide(items, classes)
        notes = [RULE, *nested(listing), *skipped_files(listing)]
    return Splits(
        name=name or folder.name,
        classes=classes,
        train=train,
        val=val,
        test=test,
        root=folder,
        sources=tuple(names),
        notes=tuple(notes),
    )


def _read_split_folders(
    folders: Mapping[str, Path], beside: Sequence[str], order: Sequence[str] | None
) -> tuple[list[str], tuple[str, ...], ThreeSplits, list[str]]:
    listing = list_classes(folders["train"])
    names = _ordered(listing, order)
    classes, train = _items(listing, names)
    notes = skipped_files(listing)
    if beside:
        notes.append(f"folders beside the splits were skipped: {', '.join(beside)}")
    val = _split(folders["val"], listing, names, notes) if "val" in folders else ()
    test = _split(folders["test"], listing, names, notes) if "test" in folders else ()
    if test and not val:
        notes.append(NO_VAL)
    splits, rule = complete(train, val, test, classes)
    return names, classes, splits, [*notes, *rule]


def _split(folder: Path, train: Listing, names: Sequence[str], notes: list[str]) -> tuple[Item, ...]:
    listing = list_classes(folder)
    labels = {composed(name): label for label, name in enumerate(names)}
    if strangers := sorted(name for name in listing.images if composed(name) not in labels):
        raise DataError(
            f"{folder / strangers[0]}: this class has no images under {train.root}; "
            f"add some or remove the folder ({counted(len(strangers), 'such class', 'such classes')})"
        )
    items = [Item(path, labels[composed(name)]) for name, paths in listing.images.items() for path in paths]
    present = {item.label for item in items}
    if missing := [name for label, name in enumerate(names) if label not in present]:
        classes = counted(len(missing), "class", "classes")
        notes.append(f"{folder.name} has no images of {classes}, such as {missing[0]!r}")
    notes.extend(skipped_files(listing))
    return tuple(sorted(items, key=lambda item: item.label))


def _ordered(listing: Listing, order: Sequence[str] | None) -> list[str]:
    names = sorted(listing.images)
    if order is None:
        return names
    by_composed = {composed(name): name for name in names}
    if by_composed.keys() != {composed(name) for name in order}:
        raise DataError(
            f"{listing.root}: its class folders are not the {len(order)} that it was written with"
        )
    return [by_composed[composed(name)] for name in order]


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
            f"{listing.root} has one class only ({names[0]!r}); at least two are needed"
            f"{one_deeper(listing.root / names[0]) or table_beside(listing.root)}"
        )
    items = tuple(Item(path, label) for label, name in enumerate(names) for path in listing.images[name])
    return tuple(tidy(name, where=listing.root / name) for name in names), items
