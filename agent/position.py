"""Positions in a run, the sources of candidates, and random numbers derived from a seed and a position."""

from __future__ import annotations

import hashlib
import random
from typing import NamedTuple

from pydantic import NonNegativeInt

NAMES = 0
"""The restart number of the search for class names, which follows the restarts."""
INITIAL, LLM = "initial", "llm"
"""Sources of candidates that are not methods: the starting templates, and the LLM."""


class Position(NamedTuple):
    """Where in a run something was requested or scored.

    Attributes:
        restart: From 1; ``NAMES`` for the search for class names.
        conversation: From 1 within the restart; 0 for its starting candidates.
        round: From 1 within the conversation; 0 for the starting candidates.
        sample: Which of several requests of that round, from 0.
    """

    restart: NonNegativeInt
    conversation: NonNegativeInt = 0
    round: NonNegativeInt = 0
    sample: NonNegativeInt = 0

    @property
    def initial(self) -> bool:
        """True at the position of a restart's starting candidates."""
        return self.conversation == 0

    def __str__(self) -> str:
        if self.restart == NAMES and not self.initial:
            # An extended run may search for names in another template.
            template = f", template {self.conversation}" if self.conversation > 1 else ""
            return f"class names{template}, " + (f"round {self.round}" if self.round else "first reading")
        if self.initial:
            return f"restart {self.restart}, initial"
        return f"restart {self.restart}, conversation {self.conversation}, round {self.round}"


def derived(seed: int, *where: int | str) -> int:
    """Return a number in [0, 2**31), the range of endpoints' seeds, the same on every machine."""
    text = "\0".join(str(value) for value in (seed, *where))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def rng_for(seed: int, *where: int | str) -> random.Random:
    """Return an independent random stream, such as that of a position."""
    return random.Random(derived(seed, *where))
