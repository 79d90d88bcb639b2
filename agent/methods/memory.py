"""Scored candidates in ranked order: all that a method sees of what a restart has scored."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

from sortedcontainers import SortedList

from ...evaluator.scoring import Score
from ...prompts.kinds import Candidate
from ..position import INITIAL, Position

_TIE_BYTES = 8
_AFTER_ALL_TIES = b"\xff" * (_TIE_BYTES + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A scored candidate.

    Attributes:
        value: The objective's value of the score, estimated if a race dropped it; higher is better.
        position: Where it first came up.
        source: Who made it: ``INITIAL``, ``LLM``, or the method without an LLM, such as ``combine``.
    """

    candidate: Candidate
    score: Score
    value: float
    position: Position
    source: str = INITIAL

    @property
    def text(self) -> str:
        return self.candidate.text

    @property
    def key(self) -> str:
        return self.candidate.key

    @property
    def scored_as(self) -> str:
        return self.candidate.scored_as


class Memory:
    """Scored candidates, highest value first.

    Ties are ordered by a hash of the key (BLAKE2b, keyed with ``seed``), so the order depends on the content
    and the seed, never on insertion order or the alphabet.

    ``best(k)`` are the first min(k, n) candidates. ``worst(k)`` are at most k of the last, worst first,
    without the best k and their ties: chance decides which of several equal ones is shown as good, so none of
    the others may be shown as bad.

    Spellings of one candidate (equal keys) are one entry, the first. A candidate that could not be scored is
    absent, not zero.

    ``add`` takes O(log n) comparisons and moves at most a few thousand pointers; ``best`` and ``worst`` take
    O(k).
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
        self._order: SortedList[tuple[float, bytes, str]] = SortedList()
        self._known: dict[str, Entry] = {}

    def add(self, entry: Entry) -> bool:
        """Rank a candidate; return False if a spelling of it is known, which is then kept.

        Raises:
            ValueError: Its value is not finite.
        """
        if not math.isfinite(entry.value):
            raise ValueError(f"a candidate is ranked by a finite number, not {entry.value!r}")
        key = entry.key
        if key in self._known:
            return False
        self._known[key] = entry
        self._order.add((-entry.value, self._tie(key), key))
        return True

    def best(self, k: int) -> list[Entry]:
        """Return the first min(k, n) candidates, best first."""
        return [self._known[key] for _, _, key in self._order[: max(k, 0)]]

    def worst(self, k: int) -> list[Entry]:
        """Return at most k of the last candidates, worst first; none as good as the last of ``best(k)``."""
        if not 0 < k < len(self._order):
            return []
        value = self._order[k - 1][0]
        # Ties are ordered by hash: what is worse comes after the last of them.
        worse = self._order.bisect_right((value, _AFTER_ALL_TIES, ""))
        start = max(len(self._order) - k, worse)
        return [self._known[key] for _, _, key in reversed(self._order[start:])]

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[Entry]:
        return (self._known[key] for _, _, key in self._order)

    def _tie(self, key: str) -> bytes:
        return hashlib.blake2b(
            key.encode("utf-8", "surrogatepass"), digest_size=_TIE_BYTES, key=self._seed
        ).digest()
