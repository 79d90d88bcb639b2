"""What an endpoint says of its limits, in the forms that vendors use.

Read are ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}`` (OpenAI's, and those of the many that copy
it), ``anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}``, the bare
``x-ratelimit-{limit,remaining,reset}`` and ``ratelimit-{limit,remaining,reset}`` (requests),
Cerebras' and Mistral's names with ``-minute`` after them, ``retry-after-ms``, Azure's
``x-ms-retry-after-ms``, and ``retry-after``. Times are durations (``6m0s``, ``1.2s``, ``20ms``, bare
seconds), Unix times or ISO 8601 dates. A limit is one of the minute, but for the ``ratelimit-limit`` of the
IETF's draft, whose window may have any length: where nothing is left of it, it lasts as long as the reset
says, or longer.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

LONGEST_WAIT = 24 * 3600.0
"""No header is believed that asks for more."""

MOST = 1e9
Kind = Literal["requests", "tokens"]
Ignored = Callable[[str, str], None]

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_KEPT = re.compile(r"(?:x-|anthropic-)?ratelimit-.*|(?:x-ms-)?retry-after(?:-ms)?", re.ASCII)
_KINDS: tuple[Kind, ...] = ("requests", "tokens")
_UNIX_TIME_FROM = 1e9
_DRAFT = "ratelimit-limit"
_MAX_VALUE = 64


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one reply says of one kind of limit.

    Attributes:
        limit: Allowed in a window, None where it is not told.
        remaining: Left of it now.
        reset_s: Seconds until it is full again.
        period_s: Seconds that its window lasts at least; None where it is a minute, or not told.
    """

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None
    period_s: float | None = None


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the rate-limit headers alone, names in lower case, values cut to 64 characters."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        if _KEPT.fullmatch(low := name.lower()):
            kept[low] = value[: _MAX_VALUE + 1]
    return kept


def retry_after(
    headers: Mapping[str, str], *, now: Callable[[], float] = time.time, ignored: Ignored | None = None
) -> float | None:
    """Seconds that a reply asks to wait: ``retry-after-ms``, else ``retry-after`` (seconds or an HTTP date).

    Where there is neither, the time until a limit that has nothing left is full again.

    Args:
        headers: Names in lower case.
        now: The wall clock, in seconds since 1970.
        ignored: Told of a header that makes no sense, by name and value.

    Returns:
        None where nothing sensible is asked; 0 for a moment already past.
    """
    for name, read in _ASKED:
        if (value := headers.get(name)) is not None:
            wait = read(value.strip(), now)
            if wait is not None and 0 <= wait <= LONGEST_WAIT:
                return wait
            _tell(ignored, name, value)
    spent = [told for kind in _KINDS if (told := allowance(headers, kind, now=now)).remaining == 0]
    return max((told.reset_s for told in spent if told.reset_s is not None), default=None)


def allowance(
    headers: Mapping[str, str],
    kind: Kind,
    *,
    now: Callable[[], float] = time.time,
    ignored: Ignored | None = None,
) -> Allowance:
    """Return what a reply says of requests or of tokens; what is missing or makes no sense is None."""
    limit = _number(headers, _names("limit", kind), ignored, least=1)
    remaining = _number(headers, _names("remaining", kind), ignored, least=0)
    reset: float | None = None
    for name in _names("reset", kind):
        if (value := headers.get(name)) is not None:
            reset = parse_moment(value, now=now)
            if reset is None:
                _tell(ignored, name, value)
            break
    told_by = next((name for name in _names("limit", kind) if name in headers), None)
    period = reset if told_by == _DRAFT and remaining == 0 else None
    return Allowance(limit, remaining, reset, period)


def parse_moment(value: str, *, now: Callable[[], float] = time.time) -> float | None:
    """Seconds from now, of a duration, a Unix time, an ISO 8601 date or an HTTP date.

    Returns:
        None for anything else, for negative durations and for more than a day; 0 for a moment just past.
    """
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


def _names(member: str, kind: Kind) -> tuple[str, ...]:
    names: tuple[str, ...] = (f"x-ratelimit-{member}-{kind}", f"anthropic-ratelimit-{kind}-{member}")
    names += (f"x-ratelimit-{member}-{kind}-minute",)
    if kind == "tokens":
        return names
    return (*names, f"x-ratelimit-{member}-req-minute", f"x-ratelimit-{member}", f"ratelimit-{member}")


def _number(
    headers: Mapping[str, str], names: tuple[str, ...], ignored: Ignored | None, *, least: float
) -> float | None:
    for name in names:
        if (value := headers.get(name)) is not None:
            text = value.strip()
            if _NUMBER.fullmatch(text) and least <= float(text) <= MOST:
                return float(text)
            _tell(ignored, name, value)
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


def _tell(ignored: Ignored | None, name: str, value: str) -> None:
    if ignored is not None:
        ignored(name, value[:_MAX_VALUE])


_ASKED = (
    ("retry-after-ms", _milliseconds),
    ("x-ms-retry-after-ms", _milliseconds),
    ("retry-after", _seconds_or_date),
)
