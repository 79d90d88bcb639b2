"""Class folders and the images in them, as they lie on disk.

Hidden files are passed over; files that are no images are counted and passed over. Links are followed, and a
link back to a folder above is passed over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...counts import counted
from ...errors import DataError

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif"),
    }
)
LAYOUT_HELP = "expected DIR/CLASS/*.jpg or DIR/{train,val,test}/CLASS/*.jpg"


@dataclass(slots=True)
class Listing:
    """The class folders of one folder: items by class folder, and what was passed over."""

    root: Path
    images: dict[str, list[Path]] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)


def list_classes(folder: Path) -> Listing:
    """Return every class folder of a folder with its images, sorted by path.

    Raises:
        DataError: There is none, or none has an image.
    """
    listing = Listing(root=folder)
    loose = 0
    for entry in entries_of(folder):
        if not entry.is_dir():
            loose += is_image(entry)
            continue
        found = sorted(walk(Path(entry.path), listing.ignored))
        if found:
            listing.images[entry.name] = found
        else:
            listing.empty.append(entry.name)
    if not listing.images:
        raise DataError(_nothing_found(folder, loose, listing))
    return listing


def _nothing_found(folder: Path, loose: int, listing: Listing) -> str:
    if loose:
        images = counted(loose, "image")
        return f"{folder} has {images} but no class folders; put the images of each class in their folder"
    if listing.empty:
        return (
            f"none of the folders in {folder} holds an image "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}); {LAYOUT_HELP}"
        )
    return f"{folder} is empty: {LAYOUT_HELP}"


def passed_over(listing: Listing) -> list[str]:
    """Return notes on the files that are no images."""
    total = sum(listing.ignored.values())
    if not total:
        return []
    kinds = ", ".join(kind for kind, _count in listing.ignored.most_common(3))
    files = counted(total, "file that is no image", "files that are no images")
    return [f"passed over under {listing.root}: {files} ({kinds})"]


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
                ignored[Path(entry.name).suffix.lower() or entry.name] += 1


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
