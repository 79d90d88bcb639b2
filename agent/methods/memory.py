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
    """A candidate that was scored.

    Attributes:
        candidate: The candidate.
        score: The evaluator's answer.
        value: The objective's value of that score: what is maximised, higher is better.
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
        """The candidate's text."""
        return self.candidate.text

    @property
    def key(self) -> str:
        """The candidate's normal form."""
        return self.candidate.key

    @property
    def scored_as(self) -> str:
        """The template that the scorer got."""
        return self.candidate.scored_as


class Memory:
    """Scored candidates in ranked order.

    Order: by value, highest first. Equal values are ordered by a hash of the key (BLAKE2b, keyed with the
    seed): not by insertion, which would favour the old, nor by the alphabet, which would favour "a". So the
    order depends on what was added and on the seed, never on when.

    ``best(k)`` are the first min(k, n) candidates. ``worst(k)`` are the last ones, worst first, k at most,
    that are neither among the best k nor equal in value to the last of these: which of several equal ones is
    shown as good is a coin's choice, so none of the others may be shown as bad. In a small pool, or where
    many are equal, there are fewer than k of them, down to none.

    Spellings of one candidate (equal keys) are one entry, the first of them. A candidate that could not be
    scored is not added: it is absent, not zero.

    ``add`` takes O(log n) comparisons and moves at most one block of a few thousand pointers; ``best`` and
    ``worst`` take O(k).

    Args:
        seed: Decides the order of ties.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
        self._order: SortedList[tuple[float, bytes, str]] = SortedList()
        self._known: dict[str, Entry] = {}

    def add(self, scored: Entry) -> bool:
        """Rank one candidate.

        Returns:
            False if a spelling of it was known: the first one stands.

        Raises:
            ValueError: Its value is not a finite number.
        """
        if not math.isfinite(scored.value):
            raise ValueError(f"a candidate is ranked by a finite number, not {scored.value!r}")
        key = scored.key
        if key in self._known:
            return False
        self._known[key] = scored
        self._order.add((-scored.value, self._tie(key), key))
        return True

    def best(self, k: int) -> list[Entry]:
        """Return the first min(k, n) candidates, best first."""
        return [self._known[key] for _, _, key in self._order[: max(k, 0)]]

    def worst(self, k: int) -> list[Entry]:
        """Return the last k candidates, worst first; none that is as good as the last of ``best(k)``."""
        if not 0 < k < len(self._order):
            return []
        value = self._order[k - 1][0]
        # Ties are in the order of hashes: after this one comes what is worse.
        worse = self._order.bisect_right((value, _AFTER_ALL_TIES, ""))
        start = max(len(self._order) - k, worse)
        return [self._known[key] for _, _, key in reversed(self._order[start:])]

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[Entry]:
        """All entries, best first."""
        return (self._known[key] for _, _, key in self._order)

    def _tie(self, key: str) -> bytes:
        return hashlib.blake2b(
            key.encode("utf-8", "surrogatepass"), digest_size=_TIE_BYTES, key=self._seed
        ).digest()
