"""What tokens cost, in whole picodollars: money is added up exactly, and never rounded down."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

from .token_usage import TokenUsage

PICODOLLARS = 10**12
"""In a dollar."""
_A_TOKEN = 10**6
"""Picodollars a token for each dollar a million tokens: what has at most six decimals is exact."""
_NOISE = Decimal("1e-9")
"""Beyond it, decimals of a price are what binary numbers made of it."""


def per_token(dollars: float | Decimal) -> int:
    """Return the picodollars a token for US dollars a million tokens; what is finer is rounded up."""
    exact = Decimal(str(dollars)).quantize(_NOISE, ROUND_HALF_EVEN) * _A_TOKEN
    return int(exact.to_integral_value(ROUND_CEILING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Picodollars a token, by what the token is.

    Attributes:
        prompt: Of the messages.
        cached: Of the messages, read from the cache.
        written: Of the messages, written to the cache.
        kept: Of the messages, written to the cache for an hour.
        completion: Of the answer, thinking included.
        call: Picodollars a call, on top.
    """

    prompt: int
    cached: int
    written: int
    kept: int
    completion: int
    call: int = 0

    def charge(self, usage: TokenUsage) -> int:
        """Return what these tokens cost."""
        plain = usage.prompt_tokens - usage.cached_tokens - usage.cache_written_tokens
        return (
            plain * self.prompt
            + usage.cached_tokens * self.cached
            + (usage.cache_written_tokens - usage.kept_tokens) * self.written
            + usage.kept_tokens * self.kept
            + usage.completion_tokens * self.completion
            + self.call
        )

    def most(self, usage: TokenUsage) -> int:
        """Return what so many tokens cost at most, whichever of them are cached or written."""
        dearest = max(self.prompt, self.cached, self.written, self.kept)
        return usage.prompt_tokens * dearest + usage.completion_tokens * self.completion + self.call
