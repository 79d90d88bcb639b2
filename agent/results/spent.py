"""What a search took, as its result says it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run used, all its sessions together.

    Attributes:
        calls: Requests that were answered, usefully or not.
        failed_calls: Requests that were given up.
        retries: Attempts after the first.
        replayed: Answers that this session found on disk.
        prompt_tokens: Tokens sent.
        completion_tokens: Tokens received.
        cost_usd: Dollars, as the endpoint tells them, else by the price; None where neither is known.
        doubtful_tokens: The most tokens that requests can have cost of which nobody says what they cost:
            they were cut off, or the endpoint does not tell. They count against limits.
        doubtful_usd: The most dollars for those.
        cached_tokens: Tokens sent that a vendor's cache held.
        cache_written_tokens: Tokens sent that were written to it.
        reasoning_tokens: Tokens received that were thought and not said.
        told_usd: The part of the dollars that the endpoint told itself; None where it told none.
    """

    calls: int = 0
    failed_calls: int = 0
    retries: int = 0
    replayed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    doubtful_tokens: int = 0
    doubtful_usd: float | None = None
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    reasoning_tokens: int = 0
    told_usd: float | None = None
