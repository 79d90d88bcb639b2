"""Class folders and the images in them, as they lie on disk.

Hidden files are passed over; files that are no images are counted and passed over. Links are followed, and a
link back to a folder above is passed over. Photographs in a format that is not read are called what they are.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...counts import counted
from ...errors import DataError
from .pictures import UNREAD_PHOTOGRAPHS, how_to_convert

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
    }
)
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
LAYOUT_HELP = "expected DIR/CLASS/*.jpg or DIR/{train,val,test}/CLASS/*.jpg"
_DEEPEST = 10
"""Folders in one another that are looked into for a hint: a link may lead in a circle."""


@dataclass(slots=True)
class Listing:
    """The class folders of one folder.

    Attributes:
        root: The folder.
        images: The images by class folder.
        empty: Folders without an image, and the suffixes of what they hold.
        ignored: Suffixes of all files that were passed over.
    """

    root: Path
    images: dict[str, list[Path]] = field(default_factory=dict)
    empty: dict[str, Counter[str]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)


def list_classes(folder: Path) -> Listing:
    """Return every class folder of a folder with its images, sorted by path.

    Raises:
        DataError: There is none, or none has an image.
    """
    listing = Listing(root=folder)
    loose: Counter[str] = Counter()
    for entry in entries_of(folder):
        if not entry.is_dir():
            loose[_kind(entry)] += 1
            continue
        ignored: Counter[str] = Counter()
        if found := sorted(walk(Path(entry.path), ignored)):
            listing.images[entry.name] = found
        else:
            listing.empty[entry.name] = ignored
        listing.ignored.update(ignored)
    if not listing.images:
        raise DataError(_nothing_found(folder, loose, listing))
    return listing


def _nothing_found(folder: Path, files: Counter[str], listing: Listing) -> str:
    if loose := sum(count for kind, count in files.items() if kind in IMAGE_SUFFIXES):
        images = counted(loose, "image")
        how = table_beside(folder) or ", or list them in a table"
        what = "put the images of each class in their folder"
        return f"{folder} has {images} but no class folders; {what}{how}"
    if unread := unread_photographs(listing.ignored + files):
        return f"{folder} holds no image that is read, but {unread}"
    if listing.empty:
        return (
            f"none of the folders in {folder} holds an image "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}); {LAYOUT_HELP}"
        )
    return f"{folder} is empty: {LAYOUT_HELP}"


def table_beside(folder: Path) -> str:
    """Return a hint at a table in a folder, which may say what the folders do not; empty if there is none."""
    tables = [entry.path for entry in entries_of(folder) if entry.name.lower().endswith(TABLE_SUFFIXES)]
    return f"; or, if {tables[0]} lists the images, name that" if tables else ""


def one_deeper(folder: Path) -> str:
    """Return a hint where a folder, or the only folder in it, and so on, holds several, maybe the classes."""
    for _level in range(_DEEPEST):
        inner = [Path(entry.path) for entry in entries_of(folder) if entry.is_dir()]
        if len(inner) > 1:
            return f". {folder} holds {len(inner):,} folders: if they are the classes, name that"
        if not inner:
            break
        folder = inner[0]
    return ""


def nested(listing: Listing) -> list[str]:
    """Return a note where no class folder holds an image itself: their folders may be the classes."""
    lower = [path for paths in listing.images.values() for path in paths]
    if any(path.parent.parent == listing.root for path in lower):
        return []
    within = os.fspath(lower[0].parent.relative_to(listing.root))
    return [
        f"no class folder holds an image itself, they lie in folders such as {within}: the classes are the "
        f"{len(listing.images):,} folders in {listing.root}"
    ]


def passed_over(listing: Listing) -> list[str]:
    """Return notes on the files that are no images, and on photographs in a format that is not read."""
    notes = []
    if unread := unread_photographs(listing.ignored):
        notes.append(f"passed over under {listing.root}: {unread}")
    others = Counter(
        {kind: count for kind, count in listing.ignored.items() if kind not in UNREAD_PHOTOGRAPHS}
    )
    if others:
        kinds = ", ".join(kind for kind, _count in others.most_common(3))
        files = counted(others.total(), "file that is no image", "files that are no images")
        notes.append(f"passed over under {listing.root}: {files} ({kinds})")
    return notes


def unread_photographs(kinds: Counter[str]) -> str:
    """Return how many photographs in a format that is not read are among files, and what to do with them.

    Args:
        kinds: Number of files by suffix.

    Returns:
        Empty where there are none.
    """
    unread = Counter({kind: count for kind, count in kinds.items() if kind in UNREAD_PHOTOGRAPHS})
    if not unread:
        return ""
    suffixes = [kind for kind, _count in unread.most_common(3)]
    found = counted(
        unread.total(),
        "photograph in a format that is not read",
        "photographs in a format that is not read",
    )
    return f"{found} ({', '.join(suffixes)}); {how_to_convert(suffixes[0])}"


def walk(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Yield images in a folder and below it, links followed, loops not."""
    top = Path(os.path.realpath(folder))
    stack: list[tuple[Path, frozenset[str]]] = [(folder, frozenset(map(str, (top, *top.parents))))]
    while stack:
        here, above = stack.pop()
        for entry in entries_of(here):
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in above:
                    stack.append((Path(entry.path), above | {real}))
            elif is_image(entry):
                yield Path(entry.path)
            else:
                ignored[_kind(entry)] += 1


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, sorted by name, hidden things left out.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(
                (entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name
            )
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from error


def is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a file with an image's suffix."""
    return os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and entry.is_file()  # noqa: PTH122


def _kind(entry: os.DirEntry[str]) -> str:
    return os.path.splitext(entry.name)[1].lower() or entry.name  # noqa: PTH122
