"""Check and compare data sets by their content: what spoils scores is an error, the rest a note."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from PIL import Image

from ..counts import counted, enumerated
from ..errors import DataError
from .class_names import duplicates, refuse_duplicates
from .pictures import open_rgb, readable_formats
from .values import FewShotData, Item, Splits, count_by_label

T = TypeVar("T")

WORKERS, AT_ONCE = 4, 64
HOW_TO_GO_ON = (
    "to leave such images out, write PROMPTCLIMB_ON_BAD_IMAGE=skip before the command (in Python, "
    'on_bad_image="skip")'
)
SKIPPED = "skipped: "
"""How the note on unreadable images begins."""
ENDS: Mapping[bytes, bytes] = MappingProxyType(
    {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82"}
)
"""How a complete JPEG and PNG begin and end."""
MOST_NAMED = 5
"""Most unusable images that a message names."""
EMPTY = hashlib.blake2b(digest_size=16).hexdigest()
"""The digest of a file without content, which is no image."""
TAIL_BYTES = 4096
"""Where the end is searched: some cameras write a little after it."""
SMALLEST_SIDE = 4
"""Fewer pixels show no class; scanned digits have 8."""
TINY_BYTES = 1024
"""A JPEG or PNG above it is not opened to learn its size: that would take longer than all other checks."""


def shots_hash(data: FewShotData, train: str | None, val: str | None) -> str:
    """Return a hash of what a search sees."""
    labels = [item.label for item in (*data.train, *data.val)]
    return hashlib.sha256(repr((train, val, labels, tuple(data.classes))).encode()).hexdigest()


def image_set_hash(digests: Sequence[str]) -> str:
    """Return the hash of an ordered set of images, from the hash of each."""
    return hashlib.blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """Return the hash of a file's bytes; a unique text if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        return f"unreadable {path} {error.errno}"


def check(splits: Splits, *, needs_train: bool = True, needs_test: bool = True) -> Iterator[str]:
    """Check a whole data set; yield notes.

    Args:
        splits: All images.
        needs_train: Whether a set of test images alone is refused.
        needs_test: Whether a set without test images is refused.

    Raises:
        DataError: Nothing can be learned from it or tested on it, or two classes have the same name.
    """
    if len(splits.classes) < 2:
        raise DataError(f"{splits.name} has one class only; at least two are needed")
    if splits.published:
        if twice := duplicates(splits.classes):
            yield f"{len(twice)} class names stand for two classes each ({', '.join(twice)}), as published"
    else:
        refuse_duplicates(splits.classes, where=f"{splits.name} ({splits.root})")
    without = [
        splits.classes[label]
        for label, count in enumerate(count_by_label(splits.train, len(splits.classes)))
        if not count
    ]
    if not splits.train and not splits.val and (splits.test or not needs_test):
        if needs_train:
            raise DataError(
                f"{splits.name} has test images alone; a search and white-box references need labelled "
                "images beside them. Without, `promptclimb evaluate` measures a model, and `shots = 0` with "
                '`search_for = "class-names"` takes an LLM\'s names'
            )
        yield "no training images are used, so nothing is learned from labelled ones"
    elif without:
        such = counted(len(without), "such class", "such classes")
        raise DataError(f"{splits.name}: class {without[0]!r} has no training images ({such})")
    count_by_label(splits.val, len(splits.classes))
    tested = count_by_label(splits.test, len(splits.classes))
    if not any(tested):
        if not needs_test:
            return
        raise DataError(f"{splits.name} has no test images, so nothing that is found could be judged")
    if untested := [name for name, count in zip(splits.classes, tested, strict=True) if not count]:
        such = "" if len(untested) == 1 else f" ({len(untested)} such classes)"
        yield f"class {untested[0]!r} has no test images, so nothing is measured of it{such}"


def check_leaks(shots: Sequence[Item], test: Sequence[Item], *, allow: bool) -> Iterator[str]:
    """Look for test images, by content, among the images that a search may see."""
    leaks = list(find_leaks(shots, test))
    if not leaks:
        return
    # Those of another class first: one of the two labels is wrong.
    shot, tested = min(leaks, key=lambda leak: leak[0].label == leak[1].label)
    images = counted(len(leaks), "test image is also a labelled one", "test images are also labelled ones")
    other = "" if shot.label == tested.label else ", in another class"
    fact = f"{images}, such as {tested.path} (as {shot.path}{other})"
    if not allow:
        raise DataError(f"{fact}; remove them, or go on all the same with `allow_leak = true`")
    yield f"a search stops here unless it has `allow_leak = true`: {fact}"


def find_leaks(shots: Sequence[Item], test: Sequence[Item]) -> Iterator[tuple[Item, Item]]:
    """Yield pairs of a shot and a test image with the same bytes. Only files of equal size are read."""

    def size_of(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError as error:
            raise DataError(f"the image {path} cannot be read: {error.strerror}") from error

    shot_by_content = {file_digest(item.path): item for item in shots}
    shot_by_content.pop(EMPTY, None)
    sizes = {size_of(shot.path) for shot in shot_by_content.values()}
    for item in test:
        if size_of(item.path) in sizes and (shot := shot_by_content.get(file_digest(item.path))) is not None:
            yield shot, item


def note_on_unusable(complaints: Sequence[tuple[Path, str]], images: int, kind: str, *, skip: bool) -> str:
    """Return how many of some images are left out, what is wrong with the first, and the next ones.

    ``complaints`` has the path and a sentence for each such image; ``kind`` says which images were read.

    Raises:
        DataError: There are some, and ``skip`` is False.
    """
    fact = complaints[0][1]
    if len(complaints) > 1:
        others = [str(path) for path, _ in complaints[1:]]
        unnamed = len(others) - MOST_NAMED
        named = enumerated([*others[:MOST_NAMED], *([f"{unnamed:,} more"] if unnamed > 0 else [])])
        fact = f"{len(complaints):,} of {images:,} {kind} cannot be used: {fact} (also {named})"
    if not skip:
        raise DataError(f"{fact}; {HOW_TO_GO_ON}")
    return f"{SKIPPED}{fact}"


def check_readable(items: Sequence[Item], *, skip: bool = False) -> Iterator[str]:
    """Decode every labelled image; with ``skip``, yield a note on unreadable ones."""
    yield from _faults(lambda item: fault_of(item.path), items, "labelled images", skip=skip)


def check_whole(items: Sequence[Item], kind: str, *, skip: bool = False) -> Iterator[str]:
    """Find torn images cheaply: decode only those whose two ends look wrong."""
    yield from _faults(
        lambda item: "" if _has_both_ends(item) else fault_of(item.path), items, kind, skip=skip
    )


def looked_at(look: Callable[[T], str], items: Sequence[T]) -> list[str]:
    """Return what a look at each image gives, in order; several are looked at at once."""
    # Starting a task costs more than checking an image, so a task checks many.
    chunks = [items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE)]
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="decoder") as pool:
        results = pool.map(lambda chunk: [look(item) for item in chunk], chunks)
        return [text for chunk in results for text in chunk]


def _faults(find: Callable[[Item], str], items: Sequence[Item], kind: str, *, skip: bool) -> Iterator[str]:
    faults = looked_at(find, items)
    complaints = [(item.path, fault) for item, fault in zip(items, faults, strict=True) if fault]
    if complaints:
        yield note_on_unusable(complaints, len(items), kind, skip=skip)


def check_repeats(
    items: Sequence[Item], classes: Sequence[str], kind: str = "labelled image"
) -> Iterator[str]:
    """Yield notes on images of one kind that are there more than once, by content."""
    item_by_hash: dict[str, Item] = {}
    copies: list[tuple[Item, Item]] = []
    contradictions: list[tuple[Item, Item]] = []
    for item in items:
        if (digest := file_digest(item.path)) == EMPTY:
            continue
        first = item_by_hash.setdefault(digest, item)
        if first is not item:
            (copies if first.label == item.label else contradictions).append((first, item))
    if copies:
        first, copy = copies[0]
        count = counted(len(copies), f"{kind} is a copy", f"{kind}s are copies")
        yield f"{count} of another one, such as {copy.path} of {first.path}"
    if contradictions:
        first, copy = contradictions[0]
        count = counted(len(contradictions), f"{kind} is", f"{kind}s are")
        yield (
            f"{count} in two classes, such as {first.path} ({classes[first.label]!r}) "
            f"and {copy.path} ({classes[copy.label]!r})"
        )


class OddImages:
    """Counts images that can be read, but hardly show a class or are read in part."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._first: dict[str, Path] = {}

    def add(self, path: Path, oddity: str) -> None:
        """Count an image by what ``oddity_of`` says of it."""
        if oddity:
            self._counts[oddity] += 1
            self._first.setdefault(oddity, path)

    def notes(self) -> Iterator[str]:
        """Yield a note for each oddity, with the number of images and the first one."""
        for oddity, images in self._counts.items():
            yield f"{counted(images, 'image has', 'images have')} {oddity}, such as {self._first[oddity]}"


def check_odd(items: Sequence[Item]) -> Iterator[str]:
    """Yield notes on images that are tiny, or have several frames."""
    odd = OddImages()
    for item, oddity in zip(items, looked_at(lambda item: oddity_of(item.path), items), strict=True):
        odd.add(item.path, oddity)
    yield from odd.notes()


def oddity_of(path: Path) -> str:
    """Return what is odd about an image that can be read; an empty text if nothing is."""
    try:
        with path.open("rb") as file:
            is_still = file.read(8).startswith(tuple(ENDS))
        if is_still and path.stat().st_size > TINY_BYTES:
            return ""
        with Image.open(path, formats=readable_formats()) as image:
            if min(image.size) < SMALLEST_SIDE:
                return f"a side of fewer than {SMALLEST_SIDE} pixels"
            return "several frames, of which the first is read" if getattr(image, "n_frames", 1) > 1 else ""
    except Exception:  # noqa: BLE001 - Pillow raises anything; faults are reported elsewhere
        return ""


def fault_of(path: Path) -> str:
    """Return what is wrong with an image; an empty text if nothing is."""
    try:
        open_rgb(path)
    except DataError as error:
        return str(error)
    return ""


def _has_both_ends(item: Item) -> bool:
    try:
        with item.path.open("rb") as file:
            start = file.read(8)
            end = next((end for begin, end in ENDS.items() if start.startswith(begin)), None)
            if end is None:
                return False
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return end in file.read()
    except OSError:
        return False
