"""How long an endpoint takes to answer."""

from __future__ import annotations

from collections import deque

ANSWERS = 32
"""Answers that count: enough for a mean, few enough to follow a change."""


class Speed:
    """What the last answers took."""

    def __init__(self) -> None:
        self._took: deque[float] = deque(maxlen=ANSWERS)

    @property
    def answers(self) -> int:
        """How many are known."""
        return len(self._took)

    @property
    def mean_s(self) -> float:
        """Seconds that an answer takes; 0 while none is known."""
        return sum(self._took) / len(self._took) if self._took else 0.0

    @property
    def slowest_s(self) -> float:
        """Seconds that the slowest of them took; 0 while none is known."""
        return max(self._took, default=0.0)

    def answered(self, took_s: float) -> None:
        """Count an answer that took so many seconds."""
        self._took.append(took_s)
