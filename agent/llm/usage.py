"""What calls cost: tokens and money of one attempt, and of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..rates import PICODOLLARS
from ..token_usage import TokenUsage


class Price(Protocol):
    """What an endpoint charges."""

    def charge(self, usage: TokenUsage) -> int:
        """Return what these tokens cost, in picodollars."""
        ...

    def most(self, usage: TokenUsage) -> int:
        """Return what so many tokens cost at most, whichever of them are cached, in picodollars."""
        ...


def cost(usage: TokenUsage, price: Price | None) -> int:
    """Return what an answer cost, in picodollars: as the endpoint tells it, else by the price.

    It is 0 where nothing tells.
    """
    if usage.told_picodollars is not None:
        return usage.told_picodollars
    return 0 if price is None else price.charge(usage)


def cost_at_most(tokens: TokenUsage, price: Price | None) -> int:
    """Return what so many tokens can cost at most, in picodollars; 0 where there is no price."""
    return 0 if price is None else price.most(tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run has used up to now, resumed sessions included.

    An attempt that was cut off may have been billed, and nobody says for how much; some endpoints never say
    it. Such an attempt counts against the limits with the most that it can have cost, kept apart from what
    is known.

    Attributes:
        calls: Attempts that were billed, or may have been.
        failed_calls: Attempts that gave no usable answer, billed or not.
        retries: Attempts made again after a failed one.
        prompt_tokens: Tokens billed for messages.
        completion_tokens: Tokens billed for answers.
        cached_tokens: Those of the messages that came from vendors' caches.
        cache_written_tokens: Those of the messages that were written to them.
        reasoning_tokens: Those of the answers that were thought and not said.
        picodollars: Money for those tokens, in 1e-12 US dollars.
        told_calls: Calls whose cost the endpoint told itself.
        told_picodollars: The part of the money that was told.
        doubtful_tokens: The most tokens that those attempts can have been billed for.
        doubtful_picodollars: The most money for them.
        active_s: Seconds of work.
    """

    calls: int = 0
    failed_calls: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    reasoning_tokens: int = 0
    picodollars: int = 0
    told_calls: int = 0
    told_picodollars: int = 0
    doubtful_tokens: int = 0
    doubtful_picodollars: int = 0
    active_s: float = 0.0

    @property
    def tokens_at_most(self) -> int:
        """All tokens, the doubtful ones included: what a limit is held against."""
        return self.prompt_tokens + self.completion_tokens + self.doubtful_tokens

    @property
    def picodollars_at_most(self) -> int:
        """All money, the doubtful included: what a limit is held against."""
        return self.picodollars + self.doubtful_picodollars

    @property
    def cost_usd(self) -> float:
        """Money that is known to have been billed, in US dollars."""
        return self.picodollars / PICODOLLARS

    def plus(self, other: Usage) -> Usage:
        """Return the sum of both."""
        names = self.__dataclass_fields__
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def minus(self, other: Usage) -> Usage:
        """Return what is left of this when the other is taken away."""
        names = self.__dataclass_fields__
        return Usage(**{name: getattr(self, name) - getattr(other, name) for name in names})


NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class Bill:
    """What one attempt cost, and what had been written down for it before it was made.

    Attributes:
        usage: What to add to the totals.
        reserved: The reservation that this settles.
    """

    usage: Usage = NOTHING
    reserved: Usage = NOTHING


NO_BILL = Bill()
