"""One endpoint's limits, learned and set, and the requests that run on it."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping

from ...errors import FatalChatError
from ...events import HeaderIgnored, LimitLearned, Listener, Paused, Rested, unheard
from .breaker import Breaker
from .headers import Kind, allowance
from .headers import retry_after as read_retry_after
from .limits import LimiterStatistics, RateLimits
from .permit import Permit
from .speed import Speed
from .window import Window

FIRST_IN_FLIGHT = 4
NO_GROWTH_S = 10.0
LONGEST_OWN_PAUSE_S = 30.0
SAMPLES = 32
HEADROOM = 1.05
SLACKENING = 0.999
MOMENT_S = 1.0
BELIEVED = 2
"""Pauses in a row that are as short as the endpoint says; then it is not believed any more."""


class RateLimiter:
    """One endpoint: windows for requests and tokens, requests in flight, pauses.

    In flight: begins at up to four, so that an endpoint whose limits nobody knows is not stormed, and goes
    to the setting with the first outcome. Only a rate-limit reply shrinks it (by half, once for all the
    requests that were under way then); each success grows it by one over itself, up to the setting; a
    failure of another kind pauses growth for ten seconds.

    Tokens: the most that a request can be billed for is what must fit into the limit at all; what is set
    aside while it runs is that times the largest share that recent answers really used, and 5 % more. An
    endpoint that refuses because of tokens may count what was asked for, whatever was used: then all of it is
    set aside and stays so, and with each success a thousandth less. A limit that a header tells paces, and
    forbids nothing: one answer that was billed more than that shows that it is none.

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
        self._asked_at = clock()
        self._ceiling = float(min(limits.concurrency, FIRST_IN_FLIGHT))
        self._heard = False
        self._growth_from = self._ready_at = self._paused_until = -math.inf
        self._ramp = 0
        self._refusals = self._pauses = 0
        self._shrunk_at = -math.inf
        self._shares: deque[float] = deque(maxlen=SAMPLES)
        self._least_share = 0.0
        self._most_billed = 0
        self._warned: set[str] = set()

    def statistics(self) -> LimiterStatistics:
        """How it stands now."""
        limits = {kind: window.limit for kind, window in self._windows.items()}
        paused = max(self._ready_at - self._clock(), 0.0)
        return LimiterStatistics(
            self._in_flight, int(self._ceiling), limits.get("requests"), limits.get("tokens"), paused
        )

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
        spacings = [self._windows[kind].interval_s(weight) for kind, weight in self._weights(tokens).items()]
        return max(self.speed.mean_s / int(self._ceiling), *spacings, 0.0)

    @property
    def _full(self) -> bool:
        return self._in_flight >= int(self._ceiling)

    def _paced(self, tokens: int) -> float:
        now = self._clock()
        waits = [self._windows[kind].delay(now, weight) for kind, weight in self._weights(tokens).items()]
        return max(self._ready_at - now, 0.0, *waits)

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
        return self._in_flight / self._ceiling

    def admit(self, tokens: int) -> Permit:
        """Let a request go now."""
        now = self._asked_at = self._clock()
        self._in_flight += 1
        probe = self.breaker.admit()
        if self._ramp > 0:
            # After a pause everybody is ready at once; let them go one by one.
            self._ramp -= 1
            self._ready_at = now + self._rng.uniform(0.02, 0.2)
        taken = {
            kind: self._windows[kind].take(now, weight) for kind, weight in self._weights(tokens).items()
        }
        return Permit(self, tokens, now, taken, probe=probe)

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
        self._refusals = self._pauses = 0
        self._disprove(tokens)
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

    def _set(self) -> dict[Kind, float | None]:
        return {"requests": self._limits.rpm, "tokens": self._limits.tpm}

    def _weights(self, tokens: int) -> dict[Kind, float]:
        weights: dict[Kind, float] = {"requests": 1.0, "tokens": float(self._expected(tokens))}
        return {kind: min(weights[kind], window.limit) for kind, window in self._windows.items()}

    def _expected(self, tokens: int) -> int:
        share = max(max(self._shares) * HEADROOM, self._least_share) if self._shares else 1.0
        return max(math.ceil(tokens * min(share, 1.0)), 1)

    def _settle(self, permit: Permit, tokens: int) -> None:
        taken, window = permit.taken.get("tokens"), self._windows.get("tokens")
        if taken is not None and window is not None:
            window.settle(taken, float(tokens))

    def _learn(self, kind: Kind, told: float, configured: float | None, permit: Permit) -> None:
        if kind == "tokens" and told < self._most_billed:
            return
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

    def _disprove(self, billed: int) -> None:
        """Drop a limit that a header told and one answer alone went beyond."""
        self._most_billed = max(self._most_billed, billed)
        window = self._windows.get("tokens")
        if window is None or billed <= window.limit or window.limit == self._limits.tpm:
            return
        self._ignore("x-ratelimit-limit-tokens", f"{window.limit:g}, and {billed} were answered")
        if self._limits.tpm is None:
            self._windows.pop("tokens").close()
        else:
            window.limit = self._limits.tpm

    def _ignore(self, header: str, value: str) -> None:
        if header not in self._warned:
            self._warned.add(header)
            self._tell(HeaderIgnored(endpoint=self.name, header=header, value=value))
