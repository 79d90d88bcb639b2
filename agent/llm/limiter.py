"""One endpoint's limits, configured and learned: requests and tokens a minute, requests in flight, pauses.

Learned from are ``x-ratelimit-limit-requests`` (``-remaining-``, ``-reset-``, ``-tokens``; OpenAI and many
others), ``anthropic-ratelimit-requests-limit`` and its like, the bare ``x-ratelimit-*`` (requests), names
ending in ``-minute`` (Cerebras, Mistral), ``retry-after-ms``, Azure's ``x-ms-retry-after-ms``, and
``retry-after``. Times are durations (``6m0s``, ``1.2s``, ``20ms``, bare seconds), Unix times or dates. Limits
are per minute. The IETF draft's ``ratelimit-limit`` is of a window of any length, and is not read.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Literal, Self

from ...evaluator.errors import PromptclimbError
from ..config.fields import CONCURRENCY
from ..errors import RequestTooLargeError
from ..events.types import Listener, Paused, ignore_event

PERIOD_S = 60.0
BURST_S = 0.6
"""Uses may come early by what 0.6 s (1 % of a minute) earn; one request always may."""
MARGIN_S = 0.5
"""For requests that arrive closer together than they are sent."""

SAMPLES = 32
"""Recent answers whose tokens count."""
HEADROOM = 1.05
SLACKENING = 0.999

SHORTEST_WAIT_S = 0.001
"""Sums of times are rounded: a wait below the clock's resolution would never end."""

LONGEST_WAIT = 24 * 3600.0
"""Longer waits in headers, in seconds, are ignored."""
MOST = 1e9
LimitKind = Literal["requests", "tokens"]

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_RATE_LIMIT = re.compile(r"(?:x-|anthropic-)?ratelimit-.*|(?:x-ms-)?retry-after(?:-ms)?", re.ASCII)
KINDS: tuple[LimitKind, ...] = ("requests", "tokens")
_UNIX_TIME_FROM = 1e9
_MAX_VALUE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Configured limits: requests and tokens a minute (None: learned from replies), requests in flight."""

    rpm: float | None = None
    tpm: float | None = None
    concurrency: int = CONCURRENCY


@dataclass(frozen=True, slots=True)
class StatedLimit:
    """One kind of limit as one reply states it."""

    limit: float | None = None  # per window
    remaining: float | None = None
    full_in_s: float | None = None


@dataclass(slots=True)
class Taken:
    """One use of a window: when, and how much."""

    at: float
    weight: float


class Window:
    """At most ``limit`` a minute, spread out.

    A log of the last period and a margin never exceeds the limit, so a server that counts a sliding or a
    fixed minute never refuses. For servers with a small bucket, the generic cell rate algorithm (ITU-T I.371)
    spreads uses with a burst of ``BURST_S``.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self._log: deque[Taken] = deque()
        self._due = 0.0

    def delay(self, now: float, weight: float) -> float:
        """Return the seconds until so much may be used."""
        while self._log and self._log[0].at + PERIOD_S + MARGIN_S <= now:
            self._log.popleft()
        # No burst for what takes longer to earn: a bucket that holds just one would refuse it.
        burst = BURST_S if weight * PERIOD_S <= BURST_S * self.limit else 0.0
        free_at = self._due - burst
        over = sum(taken.weight for taken in self._log) + weight - self.limit
        for taken in self._log:
            if over <= 0:
                break
            over -= taken.weight
            free_at = max(free_at, taken.at + PERIOD_S + MARGIN_S)
        return max(free_at - now, 0.0)

    def take(self, now: float, weight: float) -> Taken:
        self._log.append(taken := Taken(now, weight))
        self._due = max(self._due, now) + weight * PERIOD_S / self.limit
        return taken

    def settle(self, taken: Taken, weight: float) -> None:
        """Correct how much a use was."""
        self._due += (weight - taken.weight) * PERIOD_S / self.limit
        taken.weight = weight


class RateLimiter:
    """One endpoint: windows for requests and tokens, requests in flight, pauses; first come, first served.

    Tokens: the most that a request can be billed for must fit into the limit. While it runs, it takes that
    times the largest share that recent answers used, and 5 % more. After a refusal because of tokens all of
    it is taken, since the endpoint may count requested tokens, and a thousandth less with each success.

    In flight: a rate-limit reply halves it, once for all requests under way then; each success grows it by
    one over itself.

    Attributes:
        failure: Raised by whoever asks or waits; None while requests may be sent.
        in_flight: Requests under way.
    """

    def __init__(
        self, name: str, limits: RateLimits, *, clock: Callable[[], float], emit: Listener = ignore_event
    ) -> None:
        self.name = name
        self.limits = limits
        self.failure: PromptclimbError | None = None
        self.in_flight = 0
        self._clock = clock
        self._emit = emit
        self._configured: dict[LimitKind, float | None] = {"requests": limits.rpm, "tokens": limits.tpm}
        self._windows: dict[LimitKind, Window] = {
            kind: Window(limit) for kind, limit in self._configured.items() if limit is not None
        }
        self._shares: deque[float] = deque(maxlen=SAMPLES)
        self._least_share = 0.0
        self._ceiling = float(limits.concurrency)
        self._ready_at = self._shrunk_at = -math.inf
        self._ramp = 0
        self._turn = asyncio.Lock()  # wakes who waits in the order of arrival
        self._changed = asyncio.Event()

    def fits(self, tokens: int) -> bool:
        """Return whether the configured limit allows a request of so many tokens at all."""
        return self.limits.tpm is None or tokens <= self.limits.tpm

    async def acquire(self, tokens: int) -> Permit:
        """Wait until a request that can be billed for so many tokens may be sent.

        Raises:
            RequestTooLargeError: It needs more tokens than are configured for a minute.
            PromptclimbError: The argument of ``fail``.
        """
        if not self.fits(tokens):
            raise RequestTooLargeError(
                f"a request may need {tokens} tokens, but `tpm` allows only {self.limits.tpm:.0f} in a "
                "minute; allow shorter answers (`answer_tokens`), or raise `tpm`"
            )
        async with self._turn:
            while self.failure is None and (wait_s := self.delay(tokens)) > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if math.isinf(wait_s) else max(wait_s, SHORTEST_WAIT_S)):
                        await self._changed.wait()
            if self.failure is not None:
                raise self.failure
            return self.admit(tokens)

    def fail(self, error: PromptclimbError) -> None:
        """Refuse all requests from now on, waiting ones included."""
        self.failure = self.failure or error
        self._changed.set()

    def delay(self, tokens: int) -> float:
        """Return the seconds until a request may be sent; infinite until another one ends."""
        if self.in_flight >= int(self._ceiling):
            return math.inf
        now = self._clock()
        waits = [self._windows[kind].delay(now, weight) for kind, weight in self._weights(tokens).items()]
        return max(self._ready_at - now, *waits, 0.0)

    def admit(self, tokens: int) -> Permit:
        """Permit a request now; see ``Permit``."""
        now = self._clock()
        self.in_flight += 1
        if self._ramp > 0:
            # After a pause all requests are ready at once; send them one by one.
            self._ramp -= 1
            self._ready_at = now + random.uniform(0.02, 0.2)
        taken = {
            kind: self._windows[kind].take(now, weight) for kind, weight in self._weights(tokens).items()
        }
        return Permit(self, tokens, now, taken)

    def unused(self, permit: Permit) -> None:
        """Give back what a permitted but unsent request took of the windows."""
        for kind, taken in permit.taken.items():
            self._windows[kind].settle(taken, 0.0)

    def leave(self) -> None:
        self.in_flight -= 1
        self._changed.set()

    def read_headers(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Learn from a reply's headers, names in lower case."""
        for kind in KINDS:
            stated = stated_limit(headers, kind)
            if stated.limit is not None:
                self._learn(kind, stated.limit, permit.tokens)

    def succeeded(self, permit: Permit, tokens: int) -> None:
        """Record an answer and its billed tokens."""
        self._settle(permit, max(tokens, math.ceil(permit.tokens * self._least_share)))
        self._least_share = self._least_share * SLACKENING if self._least_share > 0.05 else 0.0
        if permit.tokens > 0:
            self._shares.append(tokens / permit.tokens)
        self._ceiling = min(self._ceiling + 1.0 / self._ceiling, float(self.limits.concurrency))

    def _settle(self, permit: Permit, tokens: int) -> None:
        """Correct how many tokens a request used."""
        if (taken := permit.taken.get("tokens")) is not None:
            self._windows["tokens"].settle(taken, tokens)

    def rate_limited(self, permit: Permit, *, tokens: bool = False) -> None:
        """Slow down after a rate-limit reply; ``tokens``: it names them as the reason."""
        self._settle(permit, 0)
        if tokens:
            self._least_share = 1.0
        if permit.admitted > self._shrunk_at:
            self._shrunk_at = self._clock()
            self._ceiling = max(self._ceiling / 2, 1.0)

    def pause(self, seconds: float, asked_s: float | None = None) -> None:
        """Send nothing for so long, and after that one by one; ``asked_s``: as the endpoint asks for."""
        until = self._clock() + seconds
        if until <= self._ready_at:
            return
        self._ready_at, self._ramp = until, int(self._ceiling)
        longer_s = asked_s if asked_s is not None and asked_s > seconds else None
        self._emit(Paused(endpoint=self.name, wait_s=seconds, asked_s=longer_s))

    def _weights(self, tokens: int) -> dict[LimitKind, float]:
        weights: dict[LimitKind, float] = {"requests": 1.0, "tokens": float(self._expected(tokens))}
        return {kind: min(weights[kind], window.limit) for kind, window in self._windows.items()}

    def _expected(self, tokens: int) -> int:
        share = max(max(self._shares) * HEADROOM, self._least_share) if self._shares else 1.0
        return max(math.ceil(tokens * min(share, 1.0)), 1)

    def _learn(self, kind: LimitKind, limit: float, tokens: int) -> None:
        if (configured := self._configured[kind]) is not None:
            limit = min(limit, configured)
        window = self._windows.get(kind)
        if window is not None and window.limit == limit:
            return
        if window is None:
            window = self._windows[kind] = Window(limit)
            # Requests under way already count there too, though they were not paced.
            for _ in range(self.in_flight):
                window.take(self._clock(), 1.0 if kind == "requests" else float(self._expected(tokens)))
        window.limit = limit


@dataclass(slots=True, eq=False)
class Permit:
    """Permission for one request; a context manager that gives it back, whatever happens.

    Attributes:
        tokens: The most that the request can be billed for.
        admitted: When it was given.
        taken: Its use of each window.
    """

    limiter: RateLimiter
    tokens: int
    admitted: float
    taken: Mapping[LimitKind, Taken]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.limiter.leave()


def rate_limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the rate-limit headers: names in lower case, long values cut."""
    limits: dict[str, str] = {}
    for name, value in headers.items():
        if _RATE_LIMIT.fullmatch(low := name.lower()):
            limits[low] = value[: _MAX_VALUE + 1]
    return limits


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a reply asks to wait; None if it asks for no sensible wait.

    Without a retry header it is the time until an exhausted limit is available again. Header names are in
    lower case.
    """
    for name, unit in (("retry-after-ms", "ms"), ("x-ms-retry-after-ms", "ms"), ("retry-after", "")):
        if (wait := parse_moment(headers.get(name, "").strip() + unit)) is not None:
            return wait
    exhausted = [stated for kind in KINDS if (stated := stated_limit(headers, kind)).remaining == 0]
    return max((stated.full_in_s for stated in exhausted if stated.full_in_s is not None), default=None)


def stated_limit(headers: Mapping[str, str], kind: LimitKind) -> StatedLimit:
    """Return a reply's limit of requests or tokens; missing and invalid values are None."""
    limit, remaining, reset = (
        next((headers[name] for name in _names(member, kind) if name in headers), "")
        for member in ("-limit", "-remaining", "-reset")
    )
    return StatedLimit(_number(limit, least=1), _number(remaining, least=0), parse_moment(reset))


def parse_moment(value: str) -> float | None:
    """Return the seconds until a duration, Unix time or date ends; 0 if just past, None beyond a day."""
    text = value.strip()
    if _DURATION.fullmatch(text):
        wait: float | None = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    elif _NUMBER.fullmatch(text):
        wait = float(text)
        if wait >= _UNIX_TIME_FROM:
            wait = max((wait / 1e3 if wait >= _UNIX_TIME_FROM * 1e3 else wait) - time.time(), 0.0)
    else:
        wait = _until_date(text)
    return wait if wait is not None and 0 <= wait <= LONGEST_WAIT else None


@cache
def _names(member: str, kind: LimitKind) -> tuple[str, ...]:
    names: tuple[str, ...] = (f"x-ratelimit{member}-{kind}", f"anthropic-ratelimit-{kind}{member}")
    names += (f"x-ratelimit{member}-{kind}-minute",)
    if kind == "tokens":
        return names
    draft = () if member == "-limit" else (f"ratelimit{member}",)
    return (*names, f"x-ratelimit{member}-req-minute", f"x-ratelimit{member}", *draft)


def _number(text: str, *, least: float) -> float | None:
    number = float(text) if _NUMBER.fullmatch(text := text.strip()) else None
    return number if number is not None and least <= number <= MOST else None


def _until_date(text: str) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            wait = aware.timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        # Clocks differ a little: a date just past means "now"; one long past means nothing.
        return None if not math.isfinite(wait) or wait < -300 else max(wait, 0.0)
    return None
