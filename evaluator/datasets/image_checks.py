"""Checks that look into the image files of a few-shot sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..counts import counted
from ..errors import DataError
from .checks import content_hash
from .readers.pictures import open_rgb
from .values import Item

WORKERS = 4


def check_readable(items: Sequence[Item], *, skip: bool = False) -> Iterator[str]:
    """Decode every image; yield a note if some cannot be read and are to be skipped.

    Args:
        items: What to look at.
        skip: Unreadable images are a note, not an error.

    Raises:
        DataError: An image cannot be read and ``skip`` is false; the first is named, the others counted.
    """
    with ThreadPoolExecutor(WORKERS) as pool:
        faults = [fault for fault in pool.map(_fault, items) if fault]
    if not faults:
        return
    fact = faults[0] if len(faults) == 1 else f"{faults[0]} ({len(faults)} such images)"
    if not skip:
        raise DataError(fact)
    yield f"a search takes this with --on-bad-image skip only: {fact}"


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
