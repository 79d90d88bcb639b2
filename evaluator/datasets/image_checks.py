"""Checks that look into image files: those of a sample are decoded, others mostly looked at at both ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

from ..counts import counted
from ..errors import DataError
from .checks import content_hash
from .readers.pictures import open_rgb
from .values import Item

WORKERS, AT_ONCE = 4, 64
HOW_TO_GO_ON = "--on-bad-image skip leaves such images out"
ENDS: Mapping[bytes, bytes] = MappingProxyType(
    {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG\r\n\x1a\n": b"IEND\xaeB`\x82"}
)
"""How a whole JPEG and a whole PNG begin and end."""
TAIL_BYTES = 4096
"""Where the end is looked for; some cameras write a little after it."""


def check_readable(items: Sequence[Item], *, skip: bool = False) -> Iterator[str]:
    """Decode every image; yield a note if some cannot be read and are to be skipped.

    Args:
        items: What to look at.
        skip: Unreadable images are a note, not an error.

    Raises:
        DataError: An image cannot be read and ``skip`` is false; the first is named, the others counted.
    """
    yield from _faults(_fault, items, skip=skip)


def check_whole(items: Sequence[Item], *, skip: bool = False) -> Iterator[str]:
    """Look for torn images at little cost: only those whose two ends are not as they should be are decoded.

    What is wrong between the ends stays unseen.

    Args:
        items: What to look at.
        skip: Images that cannot be read are a note, not an error.

    Raises:
        DataError: An image cannot be read and ``skip`` is false; the first is named, the others counted.
    """
    yield from _faults(lambda item: None if _has_both_ends(item) else _fault(item), items, skip=skip)


def _faults(find: Callable[[Item], str | None], items: Sequence[Item], *, skip: bool) -> Iterator[str]:
    # Handing one image over to a thread costs more than to look at its ends.
    parts = [items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE)]
    with ThreadPoolExecutor(WORKERS) as pool:
        found = pool.map(lambda part: [find(item) for item in part], parts)
        faults = [fault for part in found for fault in part if fault]
    if not faults:
        return
    fact = faults[0] if len(faults) == 1 else f"{faults[0]} ({counted(len(faults), 'such image')})"
    if not skip:
        raise DataError(f"{fact}; {HOW_TO_GO_ON}")
    yield f"left out with --on-bad-image skip, an error without: {fact}"


def check_repeats(items: Sequence[Item], classes: Sequence[str]) -> Iterator[str]:
    """Look for images, by content, that were drawn more than once; yield notes.

    Raises:
        DataError: A file cannot be read.
    """
    seen: dict[bytes, Item] = {}
    same: list[tuple[Item, Item]] = []
    contradicting: list[tuple[Item, Item]] = []
    for item in items:
        first = seen.setdefault(content_hash(item.path), item)
        if first is not item:
            (same if first.label == item.label else contradicting).append((first, item))
    if same:
        one, other = same[0]
        copies = counted(len(same), "copy", "copies")
        yield f"among the shots: {copies} of another one, such as {other.path} of {one.path}"
    if contradicting:
        one, other = contradicting[0]
        yield (
            f"among the shots: {counted(len(contradicting), 'image')} in two classes, such as {one.path} "
            f"({classes[one.label]!r}) and {other.path} ({classes[other.label]!r})"
        )


def _fault(item: Item) -> str | None:
    try:
        open_rgb(item.path)
    except DataError as error:
        return str(error)
    return None


def _has_both_ends(item: Item) -> bool:
    """Return whether a file begins and ends as an image; False where that is not known of its format."""
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
