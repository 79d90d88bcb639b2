"""Ranked templates: what a method sees of all that a climb has scored."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from sortedcontainers import SortedList

Payload = TypeVar("Payload")


@dataclass(frozen=True, slots=True)
class Entry(Generic[Payload]):
    """One template that was scored.

    Attributes:
        text: The template as it was first given.
        key: Its normal form.
        value: What it is ranked by; higher is better.
        payload: Whatever the owner keeps beside it (the whole score, where it came from).
    """

    text: str
    key: str
    value: float
    payload: Payload


class Memory(Generic[Payload]):
    """Scored templates in ranked order.

    Order: by value, highest first. Equal values are ordered by a keyed hash of the template's normal form
    (BLAKE2b, keyed with the seed): neither insertion order, which would favour the old, nor the alphabet,
    which would favour "a". So the order depends on what was added and on the seed, never on when.

    Views: `best(k)` are the first min(k, n) entries. `worst(k)` are the last min(k, n - min(k, n)) ones,
    worst first: with at least 2k templates both have k; with fewer, the best have precedence and the worst
    get what is left, down to nothing. So the two never overlap for the same k.

    Spellings: templates with the same key are one entry; `spellings(key)` lists every text it was given in.
    A template that could not be scored is not added: it is absent, not zero.

    Costs: `add` takes O(log n) comparisons and moves at most one block of a few thousand pointers; `best` and
    `worst` O(k).

    Args:
        seed: Decides the order of ties.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
        self._order: SortedList[tuple[float, bytes, str]] = SortedList()
        self._entries: dict[str, Entry[Payload]] = {}
        self._spellings: dict[str, list[str]] = {}

    def add(self, text: str, key: str, value: float, payload: Payload) -> bool:
        """Rank one template.

        Args:
            text: The template.
            key: Its normal form (`Template.key`).
            value: What it is ranked by.
            payload: Kept beside it.

        Returns:
            False if the key was known: only the spelling is recorded, the first value stands.

        Raises:
            ValueError: The value is not a finite number.
        """
        if (known := self._entries.get(key)) is not None:
            if text != known.text and text not in (spellings := self._spellings.setdefault(key, [])):
                spellings.append(text)
            return False
        if not math.isfinite(value):
            raise ValueError(f"a template is ranked by a finite number, not {value!r}")
        self._entries[key] = Entry(text, key, value, payload)
        self._order.add((-value, self._tie(key), key))
        return True

    def best(self, k: int) -> list[Entry[Payload]]:
        """The first min(k, n) entries, best first."""
        return [self._entries[key] for _, _, key in self._order[: max(k, 0)]]

    def worst(self, k: int) -> list[Entry[Payload]]:
        """The last min(k, n - min(k, n)) entries, worst first; none that `best(k)` holds."""
        start = max(len(self._order) - max(k, 0), max(k, 0))
        return [self._entries[key] for _, _, key in reversed(self._order[start:])]

    def rank(self, key: str) -> int:
        """The place of a template, 1 is the best.

        Raises:
            KeyError: There is no such template.
        """
        entry = self._entries[key]
        return 1 + int(self._order.index((-entry.value, self._tie(key), key)))

    def get(self, key: str) -> Entry[Payload] | None:
        """The entry of that normal form, None if there is none."""
        return self._entries.get(key)

    def spellings(self, key: str) -> tuple[str, ...]:
        """Every text that an entry was given in, the first one first; empty for an unknown key."""
        entry = self._entries.get(key)
        return () if entry is None else (entry.text, *self._spellings.get(key, ()))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[Entry[Payload]]:
        """Every entry, best first."""
        return (self._entries[key] for _, _, key in self._order)

    def _tie(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=self._seed).digest()
