"""Places in a run, the sources of candidates, and the random numbers that follow from a seed and a place."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

INITIAL, LLM = "initial", "llm"
"""Sources of candidates, besides the methods that make some themselves: the starting pool, and the LLM."""


class Position(NamedTuple):
    """A place in a run. Numbers count from 1; 0 stands for what comes before the first.

    Attributes:
        restart: The restart, with a memory of its own.
        conversation: The conversation of that restart; 0 for its starting candidates.
        round: The round of that conversation; 0 for the starting candidates.
        sample: Which of several requests of that round; 0 for the first.
    """

    restart: int
    conversation: int = 0
    round: int = 0
    sample: int = 0

    @property
    def initial(self) -> bool:
        """Whether it is the place of a restart's starting candidates."""
        return self.conversation == 0

    def __str__(self) -> str:
        if self.initial:
            return f"restart {self.restart}, initial"
        return f"restart {self.restart}, conversation {self.conversation}, round {self.round}"


def derived(seed: int, *place: int | str) -> int:
    """Return a number in [0, 2**31) for a place under a seed, the same on every machine.

    Endpoints take seeds of that size.
    """
    text = "\0".join(str(part) for part in (seed, *place))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def rng_for(seed: int, *place: int | str) -> random.Random:
    """Return a random stream of its own for a place under a seed."""
    return random.Random(derived(seed, *place))
