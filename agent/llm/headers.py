"""HTTP headers: how a key is sent, and how vendors state rate limits.

Read are ``x-ratelimit-limit-requests`` (``-remaining-``, ``-reset-``, ``-tokens``; OpenAI and many others),
``anthropic-ratelimit-requests-limit`` and its like, the bare ``x-ratelimit-*`` and ``ratelimit-*``
(requests), names ending in ``-minute`` (Cerebras, Mistral), ``retry-after-ms``, Azure's
``x-ms-retry-after-ms``, and ``retry-after``. Times are durations (``6m0s``, ``1.2s``, ``20ms``, bare
seconds), Unix times or dates. Limits are per minute, except the IETF draft's ``ratelimit-limit``: once
nothing is left, its window lasts at least until the stated time.
"""

from __future__ import annotations

import base64
import ipaddress
import math
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from ...evaluator.errors import ConfigError

if TYPE_CHECKING:
    import aiohttp

LONGEST_WAIT = 24 * 3600.0
"""Longer waits in headers, in seconds, are ignored."""
MOST = 1e9
LimitKind = Literal["requests", "tokens"]
OnIgnored = Callable[[str, str], None]
"""Called with the name and the value of an invalid header."""

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_RATE_LIMIT = re.compile(r"(?:x-|anthropic-)?ratelimit-.*|(?:x-ms-)?retry-after(?:-ms)?", re.ASCII)
KINDS: tuple[LimitKind, ...] = ("requests", "tokens")
_UNIX_TIME_FROM = 1e9
_DRAFT = "ratelimit-limit"
_MAX_VALUE = 64


def key_headers(url: str, key: str, userinfo: str = "") -> dict[str, str]:
    """Return the authentication headers; basic authentication with ``userinfo`` if there is no key.

    Azure's deployments read ``api-key``, its newer addresses and compatible gateways a bearer token. Both are
    sent there, since each ignores the other.
    """
    if key := clean_key(key):
        azure = {"api-key": key} if is_azure(url) else {}
        return {"Authorization": f"Bearer {key}", **azure}
    if userinfo:
        return {"Authorization": f"Basic {base64.b64encode(userinfo.encode()).decode()}"}
    return {}


def clean_key(key: str, name: str = "the API key") -> str:
    """Return a key without surrounding white space; raise ConfigError if it cannot be sent in a header."""
    clean = key.strip()
    if not clean.isascii() or not clean.isprintable() or " " in clean:
        raise ConfigError(f"{name} has characters that no key has, such as a second line; copy it again")
    return clean


def is_azure(url: str) -> bool:
    """Return whether an address is Azure's, or has a deployment in its path as Azure's have."""
    parts = urlsplit(url)
    return (parts.hostname or "").endswith(".azure.com") or "/openai/deployments/" in parts.path


def is_loopback(url: str) -> bool:
    """Return whether an address is on this machine, so that it needs neither encryption nor a proxy."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def why_unconnected(error: aiohttp.ClientConnectorError) -> str:
    """Return briefly why a connection failed: ``Connection refused``."""
    cause = error.os_error
    if cause.errno and cause.errno > 0 and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno)  # asyncio writes the address in place of the reason
    return cause.strerror or str(cause) or type(cause).__name__


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """One kind of limit as one reply states it."""

    limit: float | None = None  # per window
    remaining: float | None = None
    full_in_s: float | None = None
    period_s: float | None = None  # least length of the window; None for a minute


def rate_limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the rate-limit headers: names in lower case, long values cut."""
    limits: dict[str, str] = {}
    for name, value in headers.items():
        if _RATE_LIMIT.fullmatch(low := name.lower()):
            limits[low] = value[: _MAX_VALUE + 1]
    return limits


def retry_after(
    headers: Mapping[str, str], *, now: Callable[[], float] = time.time, ignored: OnIgnored | None = None
) -> float | None:
    """Return the seconds that a reply asks to wait; None if it asks for no sensible wait.

    Without a retry header it is the time until an exhausted limit is available again. Header names are in
    lower case.
    """
    for name, read in _ASKED:
        if (value := headers.get(name)) is not None:
            wait = read(value.strip(), now)
            if wait is not None and 0 <= wait <= LONGEST_WAIT:
                return wait
            _ignore(ignored, name, value)
    exhausted = [stated for kind in KINDS if (stated := stated_limit(headers, kind, now=now)).remaining == 0]
    return max((stated.full_in_s for stated in exhausted if stated.full_in_s is not None), default=None)


def stated_limit(
    headers: Mapping[str, str],
    kind: LimitKind,
    *,
    now: Callable[[], float] = time.time,
    ignored: OnIgnored | None = None,
) -> StatedLimit:
    """Return a reply's limit of requests or tokens; missing and invalid values are None."""
    limit = _number(headers, _names("-limit", kind), ignored, least=1)
    remaining = _number(headers, _names("-remaining", kind), ignored, least=0)
    full_in_s: float | None = None
    for name in _names("-reset", kind):
        if (value := headers.get(name)) is not None:
            full_in_s = parse_moment(value, now=now)
            if full_in_s is None:
                _ignore(ignored, name, value)
            break
    source = next((name for name in _names("-limit", kind) if name in headers), None)
    period = full_in_s if source == _DRAFT and remaining == 0 else None
    return StatedLimit(limit, remaining, full_in_s, period)


def parse_moment(value: str, *, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds until a duration, Unix time or date ends; 0 if just past, None beyond a day."""
    text = value.strip()
    if _DURATION.fullmatch(text):
        wait: float | None = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    elif _NUMBER.fullmatch(text):
        wait = float(text)
        if wait >= _UNIX_TIME_FROM:
            wait = max((wait / 1e3 if wait >= _UNIX_TIME_FROM * 1e3 else wait) - now(), 0.0)
    else:
        wait = _until_date(text, now)
    return wait if wait is not None and 0 <= wait <= LONGEST_WAIT else None


@cache
def _names(member: str, kind: LimitKind) -> tuple[str, ...]:
    names: tuple[str, ...] = (f"x-ratelimit{member}-{kind}", f"anthropic-ratelimit-{kind}{member}")
    names += (f"x-ratelimit{member}-{kind}-minute",)
    if kind == "tokens":
        return names
    return (*names, f"x-ratelimit{member}-req-minute", f"x-ratelimit{member}", f"ratelimit{member}")


def _number(
    headers: Mapping[str, str], names: tuple[str, ...], ignored: OnIgnored | None, *, least: float
) -> float | None:
    for name in names:
        if (value := headers.get(name)) is not None:
            text = value.strip()
            if _NUMBER.fullmatch(text) and least <= float(text) <= MOST:
                return float(text)
            _ignore(ignored, name, value)
            return None
    return None


def _milliseconds(text: str, now: Callable[[], float]) -> float | None:
    return float(text) / 1e3 if _NUMBER.fullmatch(text) else None


def _seconds_or_date(text: str, now: Callable[[], float]) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else parse_moment(text, now=now)


def _until_date(text: str, now: Callable[[], float]) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            wait = aware.timestamp() - now()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        # Clocks differ a little: a date just past means "now"; one long past means nothing.
        return None if not math.isfinite(wait) or wait < -300 else max(wait, 0.0)
    return None


def _ignore(ignored: OnIgnored | None, name: str, value: str) -> None:
    if ignored is not None:
        ignored(name, value[:_MAX_VALUE])


_ASKED = (
    ("retry-after-ms", _milliseconds),
    ("x-ms-retry-after-ms", _milliseconds),
    ("retry-after", _seconds_or_date),
)
