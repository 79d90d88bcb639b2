"""One endpoint's limits, learned and set, and the requests that run on it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from ...errors import FatalChatError
from ...events import Listener, Paused, Rested, unheard
from .breaker import Breaker
from .headers import Kind
from .limits import LimiterStatistics, RateLimits
from .minute import MinuteLimits
from .speed import Speed
from .window import Taken

FIRST_IN_FLIGHT = 4
NO_GROWTH_S = 10.0
LONGEST_OWN_PAUSE_S = 30.0
MOMENT_S = 1.0
BELIEVED = 2
"""Pauses in a row that are as short as the endpoint says; then it is not believed any more."""


class RateLimiter:
    """One endpoint: windows for requests and tokens, requests in flight, pauses.

    In flight: begins at up to four, so that an endpoint whose limits nobody knows is not stormed, and goes
    to the setting with the first outcome. Only a rate-limit reply shrinks it (by half, once for all the
    requests that were under way then); each success grows it by one over itself, up to the setting; a
    failure of another kind pauses growth for ten seconds.

    Pauses: as long as the endpoint asks for, twice in a row; after that no shorter than the doubling ones of
    our own, for as long as nothing succeeds.

    Args:
        name: For reports.
        limits: What is set.
        clock: The loop's time.
        rng: Where jitter comes from.
        longest_pause_s: Longest wait that the endpoint may ask for.
        tell: Hears what is learned.

    Attributes:
        name: For reports.
        closed: Why it is not used any more; None while it is.
        breaker: Whether it is to be asked, where there are others.
        speed: How long it takes to answer.
        one_by_one: Whether it takes one request at a time, whatever is set.
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
        self.breaker = Breaker(clock)
        self.speed = Speed()
        self.one_by_one = False
        self._limits = limits
        self._clock = clock
        self._rng = rng
        self._longest_pause_s = longest_pause_s
        self._tell = tell
        self._minute = MinuteLimits(name, limits, clock=clock, tell=tell)
        self._in_flight = 0
        self._asked_at = clock()
        self._ceiling = float(min(limits.concurrency, FIRST_IN_FLIGHT))
        self._heard = False
        self._growth_from = self._ready_at = self._paused_until = -math.inf
        self._ramp = 0
        self._refusals = self._pauses = 0
        self._shrunk_at = -math.inf

    def statistics(self) -> LimiterStatistics:
        """How it stands now."""
        paused = max(self._ready_at - self._clock(), 0.0)
        rpm, tpm = self._minute.limit("requests"), self._minute.limit("tokens")
        return LimiterStatistics(self._in_flight, self._places, rpm, tpm, paused)

    def fits(self, tokens: int) -> bool:
        """Whether the setting allows a request of so many tokens at all."""
        return self._limits.tpm is None or tokens <= self._limits.tpm

    def token_limit(self) -> float | None:
        """Tokens a minute as they are set, None for no limit."""
        return self._limits.tpm

    def delay(self, tokens: int) -> float:
        """Seconds until a request may go; infinite while only another one's end can make room."""
        if self.closed or self._full or not self.fits(tokens):
            return math.inf
        return self._paced(tokens)

    def expected_wait_s(self, tokens: int) -> float:
        """Like ``delay``, but with a guess at when another one ends."""
        if self.closed or not self.fits(tokens):
            return math.inf
        return max(self._paced(tokens), self.speed.mean_s / self._in_flight if self._full else 0.0)

    def interval_s(self, tokens: int) -> float:
        """Seconds between two requests of a long queue."""
        return max(self.speed.mean_s / self._places, self._minute.interval_s(tokens))

    @property
    def _places(self) -> int:
        return 1 if self.one_by_one else int(self._ceiling)

    @property
    def _full(self) -> bool:
        return self._in_flight >= self._places

    def _paced(self, tokens: int) -> float:
        return max(self._ready_at - self._clock(), self._minute.delay(tokens), 0.0)

    @property
    def pauses(self) -> bool:
        """Whether it is left alone for longer than a moment, because it asked for that."""
        return self._ready_at - self._clock() > MOMENT_S

    @property
    def idle_s(self) -> float:
        """Seconds since it was last asked."""
        return self._clock() - self._asked_at

    def load(self) -> float:
        """Share of the room that is taken, to choose between endpoints."""
        return self._in_flight / (1.0 if self.one_by_one else self._ceiling)

    def admit(self, tokens: int) -> Permit:
        """Let a request go now."""
        now = self._asked_at = self._clock()
        self._in_flight += 1
        probe = self.breaker.admit()
        if self._ramp > 0:
            # After a pause everybody is ready at once; let them go one by one.
            self._ramp -= 1
            self._ready_at = now + self._rng.uniform(0.02, 0.2)
        return Permit(self, tokens, now, self._minute.take(tokens), probe=probe)

    def unused(self, permit: Permit) -> None:
        """Note that a request that was let go was not sent after all."""
        self._minute.unused(permit.taken)

    def leave(self, permit: Permit) -> None:
        """Note that a request has ended."""
        self._in_flight -= 1
        self.breaker.leave(probe=permit.probe)
        if not self._heard:
            self._heard = True
            if not self._refusals:
                self._ceiling = float(self._limits.concurrency)

    def heard(self, permit: Permit, headers: Mapping[str, str]) -> None:
        """Learn from a reply's headers."""
        self._minute.heard(headers, in_flight=self._in_flight, tokens=permit.tokens)

    def succeeded(self, permit: Permit, tokens: int) -> None:
        """Note that a request was answered, and billed for so many tokens."""
        self._minute.answered(permit.taken, permit.tokens, tokens)
        self._refusals = self._pauses = 0
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
        self._minute.refused(permit.taken, tokens=tokens)
        now = self._clock()
        if permit.admitted > self._shrunk_at:
            self._refusals += 1
            self._shrunk_at = now
            self._ceiling = max(self._ceiling / 2, 1.0)
            self._growth_from = now
            self._minute.keep_away()
        self._pause(retry_after)

    def _pause(self, asked: float | None) -> None:
        now = self._clock()
        # Those that were under way when a pause began say nothing new.
        self._pauses += now >= self._paused_until
        bound = min(LONGEST_OWN_PAUSE_S, 2.0 ** min(max(self._refusals, self._pauses), 10) / 2)
        wait = self._rng.uniform(bound / 2, bound)
        if asked is not None:
            told = min(asked, self._longest_pause_s)
            told += self._rng.uniform(0.0, min(1.0, told / 10))
            wait = max(told, wait if self._pauses > BELIEVED else 0.0)
        until = now + wait
        self._paused_until = max(until, self._paused_until)
        if until <= self._ready_at:
            return
        self._ready_at = until
        self._ramp = int(self._ceiling)
        if asked is not None and asked > self._longest_pause_s:
            self._tell(Rested(endpoint=self.name, asked_s=asked, wait_s=wait))
        else:
            self._tell(Paused(endpoint=self.name, wait_s=wait))


class Permit:
    """Leave for one request; a context manager that gives it back, whatever happens.

    Args:
        limiter: The endpoint that it is for.
        tokens: The most that the request can be billed for.
        admitted: When it was given.
        taken: What it takes of each limit a minute.
        probe: Whether the request is to find out if the endpoint answers.
    """

    __slots__ = ("_left", "_on_leave", "admitted", "limiter", "probe", "taken", "tokens")

    def __init__(
        self,
        limiter: RateLimiter,
        tokens: int,
        admitted: float,
        taken: Mapping[Kind, Taken],
        *,
        probe: bool = False,
    ) -> None:
        self.limiter = limiter
        self.tokens = tokens
        self.admitted = admitted
        self.taken = taken
        self.probe = probe
        self._left = False
        self._on_leave: Callable[[], None] | None = None

    def on_leave(self, call: Callable[[], None]) -> None:
        """Have something done once it is given back."""
        self._on_leave = call

    def unused(self) -> None:
        """Take back what it takes of each limit: no request was sent."""
        self.limiter.unused(self)

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
