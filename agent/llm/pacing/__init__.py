"""Requests a minute, tokens a minute and requests in flight: set, and learned from the endpoint."""

from __future__ import annotations

from agent.llm.pacing.limiter import Lane, LaneStatistics, Permit, RateLimits
from agent.llm.pacing.pacer import Pacer

__all__ = ["Lane", "LaneStatistics", "Pacer", "Permit", "RateLimits"]
