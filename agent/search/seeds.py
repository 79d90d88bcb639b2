"""Numbers that follow from a seed and a place, the same on every machine and in every order of events."""

from __future__ import annotations

import hashlib
import random


def derived(seed: int, *place: int | str) -> int:
    """Return a number in [0, 2**31) for a place under a seed; endpoints take seeds of that size."""
    text = "\0".join(str(part) for part in (seed, *place))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def rng_for(seed: int, *place: int | str) -> random.Random:
    """Return a random stream of its own for a place under a seed."""
    return random.Random(derived(seed, *place))
