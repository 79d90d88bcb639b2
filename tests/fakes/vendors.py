"""Rate-limit headers in the styles of two vendors, and `Retry-After` in each of its forms."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Literal

from tests.fakes.limits import State

Vendor = Literal["openai", "anthropic"]
RetryAfter = Literal["seconds", "date", "ms"]


def limit_headers(vendor: Vendor, states: Mapping[str, State]) -> dict[str, str]:
    """What a reply says of its limits (`requests`, `tokens`)."""
    headers: dict[str, str] = {}
    for kind, state in states.items():
        limit, remaining = f"{state.limit:.0f}", f"{state.remaining:.0f}"
        if vendor == "openai":
            members = {"-limit": limit, "-remaining": remaining, "-reset": duration(state.full_in_s)}
            headers |= {f"x-ratelimit{name}-{kind}": value for name, value in members.items()}
        else:
            moment = datetime.fromtimestamp(time.time() + state.full_in_s, UTC).isoformat()
            members = {"-limit": limit, "-remaining": remaining, "-reset": moment}
            headers |= {f"anthropic-ratelimit-{kind}{name}": value for name, value in members.items()}
    return headers


def retry_after_headers(form: RetryAfter, seconds: float) -> dict[str, str]:
    """How a reply asks to wait."""
    if form == "ms":
        return {"retry-after-ms": f"{seconds * 1000:.0f}"}
    if form == "date":
        return {"retry-after": formatdate(time.time() + seconds + 1, usegmt=True)}
    return {"retry-after": f"{seconds:.3f}"}


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: `6m0s`, `1.2s`, `20ms`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.0f}s" if minutes else f"{rest:.3g}s"
