"""A price, corrected by the costs that an endpoint tells itself."""

from __future__ import annotations

import math
from fractions import Fraction

from ..token_usage import TokenUsage
from .usage import Price


class ToldPrice:
    """A ``Price`` that no told cost exceeds twice.

    Where an endpoint tells a higher cost than the price makes of the same tokens, the price was given too
    low: from then on the most that a request can cost is as many times more. Nothing cannot be multiplied:
    for a price of 0 it is the dearest token that was told.

    Args:
        price: As it is given.
    """

    def __init__(self, price: Price) -> None:
        self._price = price
        self._times = Fraction(1)
        self._token = Fraction(0)

    def charge(self, usage: TokenUsage) -> int:
        """Return what these tokens cost by the price that was given, in picodollars."""
        return self._price.charge(usage)

    def most(self, usage: TokenUsage) -> int:
        """Return what so many tokens cost at most, in picodollars."""
        return max(math.ceil(self._price.most(usage) * self._times), math.ceil(usage.total * self._token))

    def learn(self, usage: TokenUsage) -> None:
        """Take in what was billed, and the cost if it is told."""
        told, priced = usage.told_picodollars, self._price.charge(usage)
        if told is None or told <= priced:
            return
        if priced:
            self._times = max(self._times, Fraction(told, priced))
        elif usage.total:
            self._token = max(self._token, Fraction(told, usage.total))
