"""Checks before a run: what spoils scores is an error, what a user ought to know a note."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..counts import counted
from ..errors import DataError
from .class_names import duplicates, not_latin, refuse_duplicates
from .values import Item, Splits, count_by_label


def check(splits: Splits) -> Iterator[str]:
    """Check a whole data set; yield notes.

    Raises:
        DataError: One class only, a class without training images, no test images, a label out of range, or
            two classes of the user's own with one name.
    """
    if len(splits.classes) < 2:
        raise DataError(f"{splits.name} has one class only; there is nothing to tell apart")
    if splits.published:
        if twice := duplicates(splits.classes):
            yield f"{len(twice)} class names stand for two classes each ({', '.join(twice)}), as published"
    else:
        refuse_duplicates(splits.classes, where=f"{splits.name} ({splits.root})")
    if foreign := not_latin(splits.classes):
        named = counted(len(foreign), "class name", "class names")
        yield (
            f"{named}, such as {foreign[0]!r}, in other letters than Latin ones: most CLIPs were trained on "
            "English captions; --class-names FILE gives others"
        )
    without = [
        splits.classes[label]
        for label, count in enumerate(count_by_label(splits.train, len(splits.classes)))
        if not count
    ]
    if without:
        such = counted(len(without), "such class", "such classes")
        raise DataError(f"{splits.name}: class {without[0]!r} has no training images ({such})")
    count_by_label(splits.val, len(splits.classes))
    if not any(count_by_label(splits.test, len(splits.classes))):
        raise DataError(f"{splits.name} has no test images, so nothing that is found could be judged")


def check_leaks(shots: Sequence[Item], test: Sequence[Item], *, allow: bool) -> Iterator[str]:
    """Look for images, by content, that a search may see and that are tested on.

    Args:
        shots: The few-shot training and validation items.
        test: The test items.
        allow: A leak is a note, not an error.

    Raises:
        DataError: An image lies in both and ``allow`` is false, or a file cannot be read.
    """
    leaks = list(find_leaks(shots, test))
    if not leaks:
        return
    seen, tested = leaks[0]
    images = counted(len(leaks), "test image is", "test images are")
    fact = f"{images} among the shots too, such as {tested} (as {seen})"
    if not allow:
        raise DataError(f"{fact}; remove them, or go on all the same with --allow-leak")
    yield f"a leak, which a search takes with --allow-leak only: {fact}"


def find_leaks(shots: Sequence[Item], test: Sequence[Item]) -> Iterator[tuple[Path, Path]]:
    """Yield pairs of a shot and a test image with the same bytes. Only files of one size are read."""
    by_size: dict[int, list[Path]] = {}
    for item in shots:
        by_size.setdefault(_size(item.path), []).append(item.path)
    hashes: dict[int, dict[bytes, Path]] = {}
    for item in test:
        size = _size(item.path)
        if size in by_size:
            if size not in hashes:
                hashes[size] = {content_hash(path): path for path in by_size[size]}
            if (seen := hashes[size].get(content_hash(item.path))) is not None:
                yield seen, item.path


def content_hash(path: Path) -> bytes:
    """Return SHA-256 of a file's bytes.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"the image {path} cannot be read: {error.strerror}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"the image {path} cannot be read: {error.strerror}") from error
