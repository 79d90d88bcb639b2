"""Tokens, prices and what a run has spent, in whole picodollars so that sums are exact."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

PICODOLLARS = 10**12
"""Picodollars in a US dollar."""
MOST_DOLLARS = 1e9
A_CALL = "/call"
"""Marks a price of each request."""
_A_TOKEN = 10**6
"""Picodollars per token for each dollar per million tokens."""
_NOISE = Decimal("1e-9")
"""Finer decimals of a price are artefacts of binary floating point."""
_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that one reply was billed for.

    Attributes:
        prompt_tokens: All tokens of the messages, cached ones included.
        completion_tokens: All tokens of the answer, reasoning included.
        cached_tokens: Prompt tokens read from the vendor's cache.
        cache_1h_tokens: The written ones that are cached for an hour.
        vendor_picodollars: The cost in 1e-12 US dollars as the endpoint reports it; None without a report.
        is_fee: That is a fee alone: the user's own key paid for the tokens.
        is_part: Not all tokens are reported.
        service_tier: As reported, such as ``flex``.
        calls: Billed replies.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    cache_1h_tokens: int = 0
    reasoning_tokens: int = 0
    vendor_picodollars: int | None = None
    is_fee: bool = False
    is_part: bool = False
    service_tier: str | None = None
    calls: int = 1

    @property
    def total(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def possible(self) -> bool:
        """True if no count is negative or exceeds the count that it is a part of."""
        return (
            0 <= self.cache_1h_tokens <= self.cache_written_tokens <= self.prompt_tokens - self.cached_tokens
            and self.cached_tokens >= 0
            and 0 <= self.reasoning_tokens <= self.completion_tokens
            and (self.vendor_picodollars or 0) >= 0
            and self.calls > 0
        )


def per_token(dollars: float | Decimal) -> int:
    """Convert US dollars per million tokens to picodollars per token, rounded up."""
    exact = Decimal(str(dollars)).quantize(_NOISE, ROUND_HALF_EVEN) * _A_TOKEN
    return int(exact.to_integral_value(ROUND_CEILING))


class Tariff(Protocol):
    """The price of an endpoint."""

    def charge(self, usage: TokenUsage) -> int:
        """Return the cost of these tokens in picodollars."""
        ...

    def most(self, usage: TokenUsage) -> int:
        """Return the highest cost in picodollars, whichever of these tokens are cached."""
        ...


class Price(BaseModel):
    """An endpoint's prices, in US dollars per million tokens.

    Attributes:
        prompt: For the messages, also those written to a cache.
        completion: For the answer, reasoning included.
        cached: For messages read from the vendor's cache; None for the price of the others.
    """

    model_config = _FROZEN

    prompt: float = Field(ge=0, le=MOST_DOLLARS)
    completion: float = Field(ge=0, le=MOST_DOLLARS)
    cached: float | None = Field(default=None, ge=0, le=MOST_DOLLARS)

    def __str__(self) -> str:
        prices = (self.prompt, self.cached, self.completion)
        return "/".join(f"{price:g}" for price in prices if price is not None)

    def charge(self, usage: TokenUsage) -> int:
        """Return the cost of these tokens, in picodollars."""
        prompt, cached, completion = self._per_token
        uncached = usage.prompt_tokens - usage.cached_tokens
        return uncached * prompt + usage.cached_tokens * cached + usage.completion_tokens * completion

    def most(self, usage: TokenUsage) -> int:
        """Return the highest cost of these tokens, whichever of them are cached, in picodollars."""
        prompt, cached, completion = self._per_token
        return usage.prompt_tokens * max(prompt, cached) + usage.completion_tokens * completion

    @property
    def _per_token(self) -> tuple[int, int, int]:
        prompt = per_token(self.prompt)
        cached = prompt if self.cached is None else per_token(self.cached)
        return prompt, cached, per_token(self.completion)


class CallPrice(BaseModel):
    """What an endpoint charges for each request, in US dollars, whatever it holds."""

    model_config = _FROZEN

    call: float = Field(ge=0, le=MOST_DOLLARS)

    def __str__(self) -> str:
        return f"{self.call:g}{A_CALL}"

    def charge(self, usage: TokenUsage) -> int:
        """Return the cost of the billed requests, in picodollars."""
        return usage.calls * per_token(self.call * 1e6)

    def most(self, usage: TokenUsage) -> int:
        """Return the same: no request costs more."""
        return self.charge(usage)


FREE = Price(prompt=0, completion=0)


def cost(usage: TokenUsage, price: Tariff | None) -> int:
    """Return an answer's cost in picodollars: as reported by the endpoint, else by the price, else 0.

    A report of zero, or of a fee, says nothing about tokens that have a price.
    """
    reported = usage.vendor_picodollars or 0
    if price is None or (reported and not usage.is_fee):
        return reported
    return reported + price.charge(usage)


def cost_at_most(tokens: TokenUsage, price: Tariff | None) -> int:
    """Return the highest cost of these tokens in picodollars; 0 without a price."""
    return 0 if price is None else price.most(tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The usage of a run, earlier sessions included.

    Attempts without a bill count against limits with the most that they can have cost (estimated fields).

    Attributes:
        calls: Attempts that were, or may have been, billed.
        failed_calls: Attempts without a usable answer, billed or not.
        retries: Attempts repeated after a failed one.
        picodollars: Cost of billed tokens, in 1e-12 US dollars.
        vendor_calls: Calls whose cost the endpoint reported.
        vendor_picodollars: The part of the cost that was reported.
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
    vendor_calls: int = 0
    vendor_picodollars: int = 0
    estimated_tokens: int = 0
    estimated_picodollars: int = 0
    active_s: float = 0.0

    @classmethod
    def of(cls, usage: TokenUsage, price: Tariff | None) -> Spent:
        """Return the usage of one billed attempt."""
        return totals(
            cls,
            usage,
            picodollars=cost(usage, price),
            vendor_calls=int(usage.vendor_picodollars is not None and not usage.is_fee),
            vendor_picodollars=usage.vendor_picodollars or 0,
        )

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def tokens_at_most(self) -> int:
        """All tokens, estimated ones included, as limits count them."""
        return self.tokens + self.estimated_tokens

    @property
    def picodollars_at_most(self) -> int:
        """The whole cost, estimates included, as limits count it."""
        return self.picodollars + self.estimated_picodollars

    @property
    def cost_usd(self) -> float:
        """The known cost in US dollars."""
        return self.picodollars / PICODOLLARS

    @property
    def estimated_usd(self) -> float:
        """The most that attempts without a bill cost, in US dollars."""
        return self.estimated_picodollars / PICODOLLARS

    @property
    def reported_usd(self) -> float | None:
        """The reported part of the cost in US dollars; None if nothing was reported."""
        return round(self.vendor_picodollars / PICODOLLARS, 9) if self.vendor_calls else None

    def plus(self, other: Spent) -> Spent:
        names = self.__dataclass_fields__
        return Spent(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def minus(self, other: Spent) -> Spent:
        names = self.__dataclass_fields__
        return Spent(**{name: getattr(self, name) - getattr(other, name) for name in names})


NOTHING = Spent()


def totals(kind: type[T], spent: Spent | TokenUsage, **others: Any) -> T:
    """Return a record of what was spent: ``others``, and the values of ``spent`` that it has fields for."""
    record: Any = kind
    names = {item.name for item in fields(record) if hasattr(spent, item.name)} - others.keys()
    filled: T = record(**{name: getattr(spent, name) for name in names}, **others)
    return filled


@dataclass(frozen=True, slots=True)
class Bill:
    """The usage of one attempt, and the stored reservation that it settles; ``reserving`` stores one."""

    usage: Spent = NOTHING
    reserved: Spent = NOTHING

    @classmethod
    def reserving(cls, amount: Spent) -> Bill:
        """Return the bill that reserves an amount: it settles a negative one."""
        return cls(reserved=NOTHING.minus(amount))

    def plus(self, other: Bill) -> Bill:
        return Bill(self.usage.plus(other.usage), self.reserved.plus(other.reserved))


NO_BILL = Bill()
Ledger: TypeAlias = Callable[[Bill], Awaitable[None]]
"""Writes a bill that belongs to no answer; it is on disk when this returns."""
