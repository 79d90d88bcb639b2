"""Rounds go to what pays, and nothing is written off for good."""

from __future__ import annotations

import random
from collections import Counter

from promptclimb.agent.methods.guided import Bandit

ARMS = ("llm", "free")


def pulls(rates: dict[str, float], rounds: int, seed: int = 0) -> Counter[str]:
    """How often each arm is pulled when it pays at its rate."""
    rng, bandit, counts = random.Random(seed), Bandit(), Counter[str]()
    for _ in range(rounds):
        arm = bandit.choose(ARMS)
        counts[arm] += 1
        bandit.learn(arm, float(rng.random() < rates[arm]))
    return counts


def test_every_arm_is_pulled_once_in_order() -> None:
    """Before anything is known, nothing is preferred but the order."""
    bandit = Bandit()
    first = bandit.choose(ARMS)
    bandit.learn(first, 1.0)
    assert (first, bandit.choose(ARMS)) == ARMS


def test_what_pays_gets_most_and_the_other_is_still_tried() -> None:
    """Whichever of the two it is."""
    for good, poor in (ARMS, ARMS[::-1]):
        counts = pulls({good: 0.6, poor: 0.1}, 60)
        assert counts[good] > 40
        assert counts[poor] >= 3


def test_where_nothing_pays_both_are_tried_alike() -> None:
    """No reward, no preference."""
    assert pulls({"llm": 0.0, "free": 0.0}, 20) == {"llm": 10, "free": 10}


def test_choices_follow_from_what_was_told() -> None:
    """Equal histories, equal choices: a resumed restart goes the same way."""
    assert pulls({"llm": 0.3, "free": 0.3}, 40, seed=3) == pulls({"llm": 0.3, "free": 0.3}, 40, seed=3)
