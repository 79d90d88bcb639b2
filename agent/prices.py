"""Token counts of one answer and prices per token, in whole picodollars so that sums are exact."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any

PICODOLLARS = 10**12
"""Picodollars in a US dollar."""
_A_TOKEN = 10**6
"""Picodollars per token for each dollar per million tokens."""
_NOISE = Decimal("1e-9")
"""Finer decimals of a price are artefacts of binary floating point."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that one answer was billed for, with those of billed refusals before it.

    Attributes:
        prompt_tokens: All tokens of the messages, cached ones included.
        completion_tokens: All tokens of the answer, reasoning included.
        cached_tokens: Prompt tokens read from the vendor's cache.
        cache_1h_tokens: The written ones that are cached for an hour.
        vendor_picodollars: The cost in 1e-12 US dollars as the endpoint reports it; None without a report.
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
    service_tier: str | None = None
    calls: int = 1

    @property
    def total(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: TokenUsage) -> TokenUsage:
        """Return the sum of both; the later one decides the service tier."""
        costs = [usage.vendor_picodollars for usage in (self, other) if usage.vendor_picodollars is not None]
        others: dict[str, Any] = {
            "vendor_picodollars": sum(costs) if costs else None,
            "service_tier": other.service_tier or self.service_tier,
        }
        names = self.__dataclass_fields__.keys() - others.keys()
        return TokenUsage(**{name: getattr(self, name) + getattr(other, name) for name in names}, **others)

    @property
    def possible(self) -> bool:
        """Whether no count is negative or exceeds the count that it is a part of."""
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
