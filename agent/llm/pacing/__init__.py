"""Requests a minute, tokens a minute and requests in flight: set, and learned from the endpoint."""

from __future__ import annotations

from .limiter import Permit, RateLimiter
from .limits import LimiterStatistics, RateLimits
from .pacer import Pacer

__all__ = ["LimiterStatistics", "Pacer", "Permit", "RateLimiter", "RateLimits"]
