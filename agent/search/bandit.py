"""Dealing a restart's rounds out to several ways of finding templates, by what each has brought."""

from __future__ import annotations

import math
from collections.abc import Sequence

EXPLORATION = 0.5
"""Weight of what is not known yet. UCB1's own, the root of 2, is for rewards that fill [0, 1]; here an
round that brings one template in five among the best has done well."""


class Bandit:
    """UCB1: the arm with the highest mean reward plus a bonus for being little known.

    P. Auer et al., "Finite-time Analysis of the Multiarmed Bandit Problem", Machine Learning 47, 2002. What
    it chooses follows from what it was told alone.
    """

    def __init__(self) -> None:
        self._pulls: dict[str, int] = {}
        self._rewards: dict[str, float] = {}

    def choose(self, arms: Sequence[str]) -> str:
        """Return the arm to pull: each once, in their order, then the most promising, of equals the first."""
        total = sum(self._pulls.get(arm, 0) for arm in arms)

        def promise(arm: str) -> float:
            pulls = self._pulls.get(arm, 0)
            if not pulls:
                return math.inf
            return self._rewards[arm] / pulls + EXPLORATION * math.sqrt(math.log(total) / pulls)

        return max(arms, key=promise)

    def learn(self, arm: str, reward: float) -> None:
        """Take in what a pull has brought.

        Args:
            arm: Which one.
            reward: In [0, 1].
        """
        self._pulls[arm] = self._pulls.get(arm, 0) + 1
        self._rewards[arm] = self._rewards.get(arm, 0.0) + reward
