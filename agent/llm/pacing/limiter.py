"""One endpoint's limits, learned and set, and the requests that run on it."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ...config.fields import CONCURRENCY
from ...errors import FatalChatError
from ...events import HeaderIgnored, LimitLearned, Listener, Paused, Rested, unheard
from .headers import Kind, allowance
from .headers import retry_after as read_retry_after
from .window import Taken, Window

FIRST_IN_FLIGHT = 4
NO_GROWTH_S = 10.0
LONGEST_OWN_PAUSE_S = 30.0
SAMPLES = 32
HEADROOM = 1.05
SLACKENING = 0.999


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


class RateLimiter:
    """One endpoint: windows for requests and tokens, requests in flight, pauses.

    In flight: begins at up to four, so that an endpoint whose limits nobody knows is not stormed, and goes
    to the setting with the first outcome. Only a rate-limit reply shrinks it (by half, once for all the
    requests that were under way then); each success grows it by one over itself, up to the setting; a
    failure of another kind pauses growth for ten seconds.

    Tokens: the most that a request can be billed for is what must fit into the limit at all; what is set
    aside while it runs is that times the largest share that recent answers really used, and 5 % more. An
    endpoint that refuses because of tokens may count what was asked for, whatever was used: then all of it is
    set aside and stays so, and with each success a thousandth less.

    Args:
        name: For reports.
        limits: What is set.
        clock: The loop's time.
        rng: Where jitter comes from.
        longest_pause_s: Longest wait that the endpoint may ask for.
        tell: Hears what is learned.
    """

    def __init__(
        self,
        name: str,
        limits: RateLimits,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        longest_pause_s: float = 120.0,
        tell: Listener = unheard,
    ) -> None:
        self.name = name
        self.closed: FatalChatError | None = None
        self._limits = limits
        self._clock = clock
        self._rng = rng
        self._longest_pause_s = longest_pause_s
        self._tell = tell
        self._windows: dict[Kind, Window] = {}
        for kind, limit in self._set().items():
            if limit is not None:
                self._windows[kind] = Window(limit)
        self._in_flight = 0
        self._ceiling = float(min(limits.concurrency, FIRST_IN_FLIGHT))
        self._heard = False
        self._growth_from = self._ready_at = -math.inf
        self._ramp = 0
        self._refusals = 0
        self._shrunk_at = -math.inf
        self._shares: deque[float] = deque(maxlen=SAMPLES)
        self._least_share = 0.0
        self._warned: set[str] = set()

    def statistics(self) -> LimiterStatistics:
        """How it stands now."""
        limits = {kind: window.limit for kind, window in self._windows.items()}
        paused = max(self._ready_at - self._clock(), 0.0)
        return LimiterStatistics(
            self._in_flight, int(self._ceiling), limits.get("requests"), limits.get("tokens"), paused
        )

    def fits(self, tokens: int) -> bool:
        """Whether a request of so many tokens can ever be made here."""
        window = self._windows.get("tokens")
        return window is None or tokens <= window.limit

    def token_limit(self) -> float | None:
        """Tokens a minute, None for no limit."""
        window = self._windows.get("tokens")
        return None if window is None else window.limit

    def delay(self, tokens: int) -> float:
        """Seconds until a request may go; infinite while only another one's end can make room."""
        if self.closed or self._in_flight >= int(self._ceiling) or not self.fits(tokens):
            return math.inf
        now = self._clock()
        waits = [self._windows[kind].delay(now, weight) for kind, weight in self._weights(tokens).items()]
        return max(self._ready_at - now, 0.0, *waits)

    def load(self) -> float:
        """Share of the room that is taken, to choose between endpoints."""
        return self._in_flight / self._ceiling

    def admit(self, tokens: int) -> Permit:
        """Let a request go now."""
        now = self._clock()
        self._in_flight += 1
        if self._ramp > 0:
            # After a pause everybody is ready at once; let them go one by one.
            self._ramp -= 1
            self._ready_at = now + self._rng.uniform(0.02, 0.2)
        taken = {
            kind: self._windows[kind].take(now, weight) for kind, weight in self._weights(tokens).items()
        }
        return Permit(self, tokens, now, taken)

    def leave(self, permit: Permit) -> None:
        """Note that a request has ended."""
        self._in_flight -= 1
        if not self._heard:
            self._heard = True
            if not self._refusals:
                self._ceiling = float(self._limits.concurrency)

    def heard(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Learn from a reply's headers."""
        read_retry_after(headers, ignored=self._ignore)
        for kind, configured in self._set().items():
            said = allowance(headers, kind, ignored=self._ignore)
            if said.limit is not None:
                self._learn(kind, said.limit, configured, permit)
            if said.remaining is not None and (window := self._windows.get(kind)) is not None:
                window.told(self._clock(), said.remaining, said.reset_s)

    def succeeded(self, permit: Permit, tokens: int) -> None:
        """Note that a request was answered, and billed for so many tokens."""
        self._settle(permit, max(tokens, math.ceil(permit.tokens * self._least_share)))
        self._least_share = self._least_share * SLACKENING if self._least_share > 0.05 else 0.0
        if permit.tokens > 0:
            self._shares.append(tokens / permit.tokens)
        self._refusals = 0
        if self._clock() >= self._growth_from:
            self._ceiling = min(self._ceiling + 1.0 / self._ceiling, float(self._limits.concurrency))

    def failed(self, retry_after: float | None = None) -> None:
        """Note that a request failed for another reason than a limit; it may ask for a pause all the same."""
        self._growth_from = self._clock() + NO_GROWTH_S
        if retry_after:
            self._pause(retry_after)

    def rest(self, seconds: float) -> None:
        """Let no request go for so long; after that one by one."""
        until = self._clock() + seconds
        if until > self._ready_at:
            self._ready_at, self._ramp = until, int(self._ceiling)
            self._tell(Paused(endpoint=self.name, wait_s=seconds))

    def refused(self, permit: Permit, retry_after: float | None, *, tokens: bool = False) -> None:
        """Slow down: the endpoint answered that it is asked too much, of ``tokens`` if it says so."""
        self._settle(permit, 0)
        if tokens:
            self._least_share = 1.0
        now = self._clock()
        if permit.admitted > self._shrunk_at:
            self._refusals += 1
            self._shrunk_at = now
            self._ceiling = max(self._ceiling / 2, 1.0)
            self._growth_from = now
            for window in self._windows.values():
                window.refused()
        self._pause(retry_after)

    def _pause(self, asked: float | None) -> None:
        if asked is None:
            bound = min(LONGEST_OWN_PAUSE_S, 2.0 ** min(self._refusals, 10) / 2)
            wait = self._rng.uniform(bound / 2, bound)
        else:
            wait = min(asked, self._longest_pause_s)
            wait += self._rng.uniform(0.0, min(1.0, wait / 10))
        until = self._clock() + wait
        if until <= self._ready_at:
            return
        self._ready_at = until
        self._ramp = int(self._ceiling)
        if asked is not None and asked > self._longest_pause_s:
            self._tell(Rested(endpoint=self.name, asked_s=asked, wait_s=wait))
        else:
            self._tell(Paused(endpoint=self.name, wait_s=wait))

    def _set(self) -> dict[Kind, float | None]:
        return {"requests": self._limits.rpm, "tokens": self._limits.tpm}

    def _weights(self, tokens: int) -> dict[Kind, float]:
        weights: dict[Kind, float] = {"requests": 1.0, "tokens": float(self._expected(tokens))}
        return {kind: weight for kind, weight in weights.items() if kind in self._windows}

    def _expected(self, tokens: int) -> int:
        share = max(max(self._shares) * HEADROOM, self._least_share) if self._shares else 1.0
        return max(math.ceil(tokens * min(share, 1.0)), 1)

    def _settle(self, permit: Permit, tokens: int) -> None:
        if (taken := permit.taken.get("tokens")) is not None:
            self._windows["tokens"].settle(taken, float(tokens))

    def _learn(self, kind: Kind, told: float, configured: float | None, permit: Permit) -> None:
        limit = told if configured is None else min(told, configured)
        window = self._windows.get(kind)
        if window is not None and window.limit == limit:
            return
        if window is None:
            window = self._windows[kind] = Window(limit)
            # What is under way already counts there too, though it was not paced.
            for _ in range(self._in_flight):
                weight = 1.0 if kind == "requests" else float(self._expected(permit.tokens))
                window.take(self._clock(), weight)
        window.limit = limit
        self._tell(LimitLearned(endpoint=self.name, limit=kind, value=limit))

    def _ignore(self, header: str, value: str) -> None:
        if header not in self._warned:
            self._warned.add(header)
            self._tell(HeaderIgnored(endpoint=self.name, header=header, value=value))


class Permit:
    """Leave for one request; a context manager that gives it back, whatever happens."""

    __slots__ = ("_left", "_on_leave", "admitted", "limiter", "taken", "tokens")

    def __init__(self, limiter: RateLimiter, tokens: int, admitted: float, taken: dict[Kind, Taken]) -> None:
        self.limiter = limiter
        self.tokens = tokens
        self.admitted = admitted
        self.taken = taken
        self._left = False
        self._on_leave: Callable[[], None] | None = None

    def on_leave(self, call: Callable[[], None]) -> None:
        """Have something done once it is given back."""
        self._on_leave = call

    def leave(self) -> None:
        """Give it back; a second time does nothing."""
        if not self._left:
            self._left = True
            self.limiter.leave(self)
            if self._on_leave is not None:
                self._on_leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
