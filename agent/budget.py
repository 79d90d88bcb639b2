"""What a run may spend: calls, tokens, money, minutes. Reserved before an attempt, settled after it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from agent.errors import BudgetSpentError, ConfigError, TokenUsage

PICODOLLARS = 10**12
"""Money is counted in whole picodollars: a price for a million tokens has at most six decimals."""


class Price(Protocol):
    """US dollars for a million tokens."""

    @property
    def prompt(self) -> float:
        """For tokens of the messages."""
        ...

    @property
    def completion(self) -> float:
        """For tokens of the answer."""
        ...


def cost(usage: TokenUsage, price: Price | None) -> int:
    """What tokens cost, in picodollars; 0 where there is no price."""
    if price is None:
        return 0
    prompt, completion = (round(Decimal(str(each)) * 10**6) for each in (price.prompt, price.completion))
    return usage.prompt_tokens * prompt + usage.completion_tokens * completion


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run has used up to now, resumed stretches included.

    Attributes:
        calls: Attempts that were billed, or may have been.
        failed_calls: Attempts that gave no usable answer, billed or not.
        retries: Attempts made again after a failed one.
        prompt_tokens: Tokens billed for messages.
        completion_tokens: Tokens billed for answers.
        picodollars: Money, in 1e-12 US dollars.
        active_s: Seconds of work.
    """

    calls: int = 0
    failed_calls: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    picodollars: int = 0
    active_s: float = 0.0

    @property
    def tokens(self) -> int:
        """Both kinds of tokens."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost_usd(self) -> float:
        """Money, in US dollars."""
        return self.picodollars / PICODOLLARS

    def plus(self, other: Usage) -> Usage:
        """The sum of both."""
        names = self.__dataclass_fields__
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in names})


NOTHING = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use in all; None is no limit.

    Attributes:
        calls: Billed attempts.
        tokens: Prompt and completion tokens together.
        cost_usd: US dollars.
        minutes: Minutes of active time.
    """

    calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    minutes: float | None = None

    def need_price(self, price: Price | None) -> None:
        """Raise ConfigError where there is a limit on money but no price to count it by."""
        if self.cost_usd is not None and price is None:
            raise ConfigError("a cost limit needs a price; give --price IN/OUT, US dollars for a million tokens")
