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
from ..pictures import UNREAD_PHOTOGRAPHS
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


def _nothing_found(folder: Path, files: Counter[str], listing: Listing) -> str:
    if loose := sum(count for kind, count in files.items() if kind in IMAGE_SUFFIXES):
        images = counted(loose, "image")
        return (
            f"{folder} has {images} but no class folders; put the images of each class in their folder, list "
            "them in a table, or give the folder above if this one is a class"
        )
    if kinds := named_kinds(listing.ignored + files):
        return f"{folder} holds no image that is read, but {kinds}; {LAYOUT_HELP}"
    return f"{folder} holds no image: {LAYOUT_HELP}"


def nested(listing: Listing) -> list[str]:
    """Return a note on folders taken as one class that hold folders of images: the classes may be deeper."""
    folders = {name: {path.parent for path in paths} for name, paths in listing.images.items()}
    outer = [name for name, inner in folders.items() if listing.root / name not in inner]
    if len(outer) == len(folders):
        within = os.fspath(min(folders[outer[0]]).relative_to(listing.root))
        return [
            f"check the classes: they are the {counted(len(folders), 'folder')} in {listing.root}, none "
            f"of which holds an image itself; images lie in folders such as {within}"
        ]
    return [
        f"check the classes: {name!r} is one, though its images lie in {len(folders[name]):,} folders below "
        f"it, such as {min(folders[name]).name}"
        for name in outer
        if len(folders[name]) > 1
    ][:1]


def skipped_files(listing: Listing) -> list[str]:
    """Return a note on files that are not read as images."""
    kinds = named_kinds(listing.ignored)
    return [f"skipped under {listing.root}: {kinds}"] if kinds else []


def named_kinds(kinds: Counter[str]) -> str:
    """Return how many files are not read as images, and their most frequent suffixes."""
    if not kinds:
        return ""
    suffixes = ", ".join(kind for kind, _count in kinds.most_common(MOST_NAMED))
    files = counted(kinds.total(), "file that is not an image", "files that are not images")
    return f"{files} ({suffixes})" + ("; convert them to JPEG" if UNREAD_PHOTOGRAPHS & kinds.keys() else "")


def walk(
    folder: Path, ignored: Counter[str], on_error: Callable[[DataError], object] | None = None
) -> Iterator[Path]:
    """Yield images in a folder and below it, following links but not loops.

    A folder that cannot be read raises DataError, or is passed over after a call of ``on_error``.
    """
    top = Path(os.path.realpath(folder))
    stack: list[tuple[Path, frozenset[str]]] = [(folder, frozenset(map(str, (top, *top.parents))))]
    while stack:
        current, above = stack.pop()
        try:
            entries = entries_of(current)
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
    if [*entry_by_split] == ["test"] and len(inside) == 1:  # images to measure on, none to learn from
        return {"test": Path(entry_by_split["test"].path)}, []
    if train is None or not _holds_classes(train):
        holding = enumerated(entry.name for entry in named if _holds_classes(entry))
        raise DataError(
            f"{folder}: {holding} with class folders would be splits, but there is no folder train that "
            "holds class folders and no images; add it, or give classes other names"
        )
    beside = [entry.name for entry in inside if entry not in named and any(walk(Path(entry.path), Counter()))]
    if beside and len(named) == 1:
        raise DataError(
            f"{folder}: {train.name} holds class folders as a training split does, but {beside[0]} beside it "
            "holds images too; move it into the split that it belongs to, or, if both are classes, give "
            f"{train.name} another name"
        )
    return {split: Path(entry.path) for split, entry in entry_by_split.items()}, beside


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
        train, val, test = divide(items)
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
    listing = list_classes(folders.get("train") or folders["test"])
    names = _ordered(listing, order)
    classes, items = _items(listing, names)
    train = items if "train" in folders else ()
    notes = skipped_files(listing)
    if beside:
        notes.append(f"folders beside the splits were skipped: {', '.join(beside)}")
    val = _split(folders["val"], listing, names, notes) if "val" in folders else ()
    test = _split(folders["test"], listing, names, notes) if "test" in folders else ()
    if train and test and not val:
        notes.append(NO_VAL)
    splits, rule = complete(train, val, test)
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
        more = f"; {counted(len(listing.empty), 'folder')} hold none" if len(listing.empty) > 1 else ""
        other = f", but {files}" if (files := named_kinds(kinds)) else ""
        raise DataError(
            f"the class folder {listing.root / name} holds no image{other}{more}. Remove it, or add images. "
            f"(Each folder in {listing.root} counts as a class.)"
        )
    if len(names) < 2:
        paths, only = listing.images[names[0]], listing.root / names[0]
        inner = len({path.relative_to(only).parts[0] for path in paths if path.parent != only})
        deeper = f"; if the classes are in its {inner:,} folders, give {only}" if inner > 1 else ""
        message = f"{listing.root} has one class only ({names[0]!r}); at least two are needed: {LAYOUT_HELP}"
        raise DataError(message + deeper)
    items = tuple(Item(path, label) for label, name in enumerate(names) for path in listing.images[name])
    return tuple(tidy(name, where=listing.root / name) for name in names), items
