"""What an endpoint may be asked, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass

from ...config.fields import CONCURRENCY


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """What an endpoint may be asked at most.

    Attributes:
        rpm: Requests a minute; None where only the endpoint itself says.
        tpm: Tokens a minute, prompt and answer; None likewise.
        concurrency: Requests in flight.
    """

    rpm: float | None = None
    tpm: float | None = None
    concurrency: int = CONCURRENCY


@dataclass(frozen=True, slots=True)
class LimiterStatistics:
    """How an endpoint stands now.

    Attributes:
        in_flight: Requests under way.
        ceiling: How many may be.
        rpm: The limit obeyed, None for none.
        tpm: Likewise for tokens.
        paused_s: Seconds until it is asked again; 0 if it is not paused.
    """

    in_flight: int
    ceiling: int
    rpm: float | None
    tpm: float | None
    paused_s: float
