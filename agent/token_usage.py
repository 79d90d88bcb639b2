"""Tokens that an answer was billed for, by kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that one answer was billed for.

    Attributes:
        prompt_tokens: All tokens of the messages, those of the cache included.
        completion_tokens: All tokens of the answer, what the model thought included.
        cached_tokens: Those of the messages that were read from the vendor's cache.
        cache_written_tokens: Those of the messages that were written to it.
        kept_tokens: Those of the written ones that it keeps for an hour, where that has a price of its own.
        reasoning_tokens: Those of the answer that were thought and not said.
        told_picodollars: What the endpoint says that it charged, in 1e-12 US dollars; None where it does not.
        service_tier: What the endpoint says that it served as, ``flex`` for example; None where it does not.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    kept_tokens: int = 0
    reasoning_tokens: int = 0
    told_picodollars: int | None = None
    service_tier: str | None = None

    @property
    def total(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def plus(self, other: TokenUsage) -> TokenUsage:
        """Return what two replies were billed for together; of the tier, what the later one says."""
        told = [one.told_picodollars for one in (self, other) if one.told_picodollars is not None]
        return TokenUsage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_written_tokens=self.cache_written_tokens + other.cache_written_tokens,
            kept_tokens=self.kept_tokens + other.kept_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            told_picodollars=sum(told) if told else None,
            service_tier=other.service_tier or self.service_tier,
        )

    @property
    def possible(self) -> bool:
        """Whether each kind is a part of what it is a kind of, and nothing is below zero."""
        return (
            0 <= self.kept_tokens <= self.cache_written_tokens <= self.prompt_tokens - self.cached_tokens
            and self.cached_tokens >= 0
            and 0 <= self.reasoning_tokens <= self.completion_tokens
            and (self.told_picodollars or 0) >= 0
        )
