"""Ranked templates: what a method sees of all that a restart has scored."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

from sortedcontainers import SortedList

from .scored import Scored

_TIE_BYTES = 8
_AFTER_ALL_TIES = b"\xff" * (_TIE_BYTES + 1)


class Memory:
    """Scored templates in ranked order.

    Order: by value, highest first. Equal values are ordered by a keyed hash of the template's normal form
    (BLAKE2b, keyed with the seed): neither insertion order, which would favour the old, nor the alphabet,
    which would favour "a". So the order depends on what was added and on the seed, never on when.

    Views: ``best(k)`` are the first min(k, n) templates. ``worst(k)`` are the last ones, worst first, k at
    most, that are neither among the best k nor equal in value to the last of these: which of several equal
    ones is shown as good is a coin's choice, and none of the others may be shown as bad for it. So for the
    same k whatever is among the worst is worse than all of the best; in a small pool, or where many are
    equal, there are fewer than k of them, down to nothing.

    Spellings of one template (equal ``Template.key``) are one entry, the first of them. A template that could
    not be scored is not added: it is absent, not zero.

    Costs: ``add`` takes O(log n) comparisons and moves at most one block of a few thousand pointers; ``best``
    and ``worst`` O(k).

    Args:
        seed: Decides the order of ties.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
        self._order: SortedList[tuple[float, bytes, str]] = SortedList()
        self._known: dict[str, Scored] = {}

    def add(self, scored: Scored) -> bool:
        """Rank one template.

        Returns:
            False if a spelling of it was known: the first one stands.

        Raises:
            ValueError: Its value is not a finite number.
        """
        if not math.isfinite(scored.value):
            raise ValueError(f"a template is ranked by a finite number, not {scored.value!r}")
        key = scored.key
        if key in self._known:
            return False
        self._known[key] = scored
        self._order.add((-scored.value, self._tie(key), key))
        return True

    def best(self, k: int) -> list[Scored]:
        """Return the first min(k, n) templates, best first."""
        return [self._known[key] for _, _, key in self._order[: max(k, 0)]]

    def worst(self, k: int) -> list[Scored]:
        """Return the last k templates, worst first; none that is as good as the last of ``best(k)``."""
        if not 0 < k < len(self._order):
            return []
        value = self._order[k - 1][0]
        # Ties are in the order of hashes: after this one comes what is worse.
        worse = self._order.bisect_right((value, _AFTER_ALL_TIES, ""))
        start = max(len(self._order) - k, worse)
        return [self._known[key] for _, _, key in reversed(self._order[start:])]

    def get(self, key: str) -> Scored | None:
        """Return what is known under a normal form, None if nothing is."""
        return self._known.get(key)

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __iter__(self) -> Iterator[Scored]:
        """Every template, best first."""
        return (self._known[key] for _, _, key in self._order)

    def _tie(self, key: str) -> bytes:
        return hashlib.blake2b(
            key.encode("utf-8", "surrogatepass"), digest_size=_TIE_BYTES, key=self._seed
        ).digest()
