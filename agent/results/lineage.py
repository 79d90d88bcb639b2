"""Where a template came from: the earlier one of its restart that it differs least from, and so on back."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .result import Row

ALIKE = 0.5
"""Share of words in common, in order, from which on a template is taken for another's offspring."""
LONGEST = 8


class Word(NamedTuple):
    """A word of a template, and whether its parent lacks it."""

    text: str
    new: bool


def lineage_of(best: Row, rows: Iterable[Row]) -> list[Row]:
    """Return the best template and its line of ancestors, itself first.

    An ancestor is a guess by the words: the earlier template of the same restart that shares most of them. An
    LLM that was shown many may have had another in mind, or none.

    Args:
        best: Where the line ends.
        rows: Every template that was scored, as a restart found it.
    """
    restart = [row for row in rows if row.restart == best.restart and row.template != best.template]
    line = [best]
    while len(line) < LONGEST and line[-1].conversation:
        last = line[-1]
        earlier = [row for row in restart if _when(row) < _when(last)]
        parent = max(earlier, key=lambda row: (_alike(row.template, last.template), row.train), default=None)
        if parent is None or _alike(parent.template, last.template) < ALIKE:
            break
        line.append(parent)
    return line


def marked(template: str, parent: str | None) -> list[Word]:
    """Return the words of a template, each with whether it is new against its parent."""
    words = template.split()
    if parent is None:
        return [Word(word, new=False) for word in words]
    matcher = difflib.SequenceMatcher(None, parent.split(), words, autojunk=False)
    kept = {
        place for block in matcher.get_matching_blocks() for place in range(block.b, block.b + block.size)
    }
    return [Word(word, new=place not in kept) for place, word in enumerate(words)]


def shown_in(texts: Sequence[str], rows: Iterable[Row]) -> list[Row]:
    """Return which templates stand in the texts of a request, the best first.

    Args:
        texts: What the LLM was told.
        rows: Templates that were known then.
    """
    said = "\n".join(texts)
    found = {row.template: row for row in rows if row.template in said}
    return sorted(found.values(), key=lambda row: -row.train)


def _when(row: Row) -> tuple[int, int]:
    return row.conversation, row.round


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()
