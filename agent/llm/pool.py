"""Choose the endpoint of each request, by least load and a circuit breaker, and wait for it.

The breaker of each endpoint follows M. Nygard, "Release It!" (2nd edition, 2018, "Circuit Breaker")::

             a failure (of the last closed one: three in a row)
    CLOSED -----------------------------------------------------> OPEN <-------------+
      ^                                                             |                | it fails:
      |                                                             | the pause      | a longer
      |                                                             | is over        | pause
      |                                                             v                |
      +----------------- the probe is answered ----------------- HALF-OPEN ----------+
                                                                    ^   one request at a time,
    a new endpoint, of which nothing is known ----------------------+   the probe
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ...evaluator.errors import PromptclimbError
from ...evaluator.failures import Evidence, FailureKind, Judgement, judge
from ..errors import BadRequestError, ChatError, RequestTooLargeError
from ..prices import CorrectedPrice, Tariff
from .chat import Client, R
from .limiter import Permit, RateLimiter, RateLimits
from .price_table import TablePrice

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
HOLD_SHARE = 20.0
"""A failed probe's pause lasts at least this many times its duration, for which its request was held up."""
FORGIVEN = 0.125
"""Doublings of the pause that an answer takes off, so that an unsteady endpoint is asked less and less."""
LAST_ONE_FAILURES = 3
"""Failures in a row that open the last closed breaker: no other endpoint could be asked."""
LONGEST_ALONE_S = 30.0
"""Longest pause while no breaker is closed, so that the first endpoint to recover is found soon."""

SHORTEST_REST_S = 5.0
LONGEST_REST_S = 300.0
"""Of all endpoints in an outage."""
MORE_TOKENS = 4
"""Factor by which answers are made longer, once, if they are cut before they begin."""

SHORTEST_WAIT_S = 0.001
SHORTEST_PATIENCE_S = 1.0
FIRST_PATIENCE_S = 10.0
"""For a probe while no endpoint is known to answer; also the least for an endpoint that has answered."""
PROBE_TIMES = 2.0
MOST_PROBE_TIMES = 16.0
ANSWERED_TIMES = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One place that answers.

    Attributes:
        name: Its name in reports.
        model: Its own name of the model, if it differs from the request's.
        price: None if unknown.
        content: Hash of the file of a user's own local model; None if the name identifies it.
    """

    name: str
    client: Client
    model: str | None = None
    price: Tariff | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    content: str | None = None

    @property
    def table_price(self) -> TablePrice | None:
        """Its price if that comes from the price table."""
        return self.price if isinstance(self.price, TablePrice) else None


class Breaker:
    """One endpoint's circuit breaker; see the drawing above. ``closed``: it is known to answer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.closed = False
        self.failures = 0
        self._probing = False
        self._opened_at = self._pause_s = -math.inf
        self._doublings = 0.0

    @property
    def due(self) -> bool:
        """True if a probe may be sent now."""
        return not self.closed and self.wait_s() <= 0

    def wait_s(self, *, alone: bool = False) -> float:
        """Return the seconds until a request may be sent; infinite during a probe.

        ``alone``: no endpoint's breaker is closed.
        """
        if self.closed:
            return 0.0
        if self._probing:
            return math.inf
        pause = min(self._pause_s, LONGEST_ALONE_S) if alone else self._pause_s
        return max(self._opened_at + pause - self._clock(), 0.0)

    def admit(self) -> bool:
        """Let a request go, and return whether it is a probe; ``leave`` reports its end."""
        self._probing = self._probing or not self.closed
        return not self.closed

    def leave(self, *, probe: bool) -> None:
        """Record the end of a request, whatever its outcome."""
        if probe:
            self._probing = False

    def answered(self, *, probe: bool) -> bool:
        """Record an answer, and return whether it closes the circuit; one sent before it opened does not."""
        if not self.closed and not probe:
            return False
        self._doublings = max(self._doublings - FORGIVEN, 0.0)
        self.failures = 0
        closes, self.closed = not self.closed, True
        return closes

    def failed(self, took_s: float, *, probe: bool, last: bool = False) -> float | None:
        """Record a failure after ``took_s`` seconds; return the seconds of the pause that starts, if any.

        ``last``: no other endpoint's breaker is closed.
        """
        if not self.closed and not probe:
            return None  # under way when it opened: part of the same failure
        self.failures += 1
        if self.closed and last and self.failures < LAST_ONE_FAILURES:
            return None
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self._doublings, 20.0), LONGEST_PAUSE_S)
        self._pause_s = max(pause, took_s * HOLD_SHARE) if probe else pause
        self._opened_at = self._clock()
        self._doublings += 1.0
        self.closed = False
        return self._pause_s


class PooledEndpoint:
    """One endpoint of a pool, and what it has shown so far.

    Attributes:
        price: Corrected by the costs that it reports.
        has_answered: Whether it has ever answered, earlier sessions included: its settings are right.
        usage_missing: Its missing usage was reported.
        suspended: Its suspension was reported.
        answer_length: How many answer tokens are asked for here: as many as by the search ("short"), more on
            trial ("trying"), more because that was answered ("long"), no more because that was refused
            ("capped").
    """

    def __init__(
        self,
        endpoint: Endpoint,
        limiter: RateLimiter,
        *,
        clock: Callable[[], float],
        has_answered: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.limiter = limiter
        self.breaker = Breaker(clock)
        self.price = None if endpoint.price is None else CorrectedPrice(endpoint.price)
        self.has_answered = has_answered
        self.usage_missing = self.suspended = False
        self.answer_length: Literal["short", "trying", "long", "capped"] = "short"
        self._in_a_row = Counter[FailureKind]()

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def asks_more(self) -> bool:
        """True if more answer tokens are requested here than by the search."""
        return self.answer_length in ("trying", "long")

    @property
    def has_hope(self) -> bool:
        """True if it answers, or may be found to, and waits for no pause."""
        return (self.breaker.closed or self.breaker.due) and not self.limiter.pauses

    def with_max_answer(self, request: R) -> R:
        """Return a request with as many answer tokens as may ever be requested."""
        max_tokens = request.max_tokens * MORE_TOKENS
        return replace(request, max_tokens=max_tokens)  # type: ignore[type-var]  # a dataclass

    def with_answer_tokens(self, request: R) -> R:
        """Return a request with as many answer tokens as are requested here, if a minute allows them."""
        if not self.asks_more:
            return request
        longer = self.with_max_answer(request)
        return longer if self.limiter.fits(longer.tokens_at_most) else request

    def for_endpoint(self, request: R) -> R:
        """Return a request as it is sent here."""
        request = self.with_answer_tokens(request)
        if self.endpoint.model is None:
            return request
        return replace(request, model=self.endpoint.model)  # type: ignore[type-var]  # a dataclass

    def asked_tokens(self, request: R) -> int:
        """Return the answer length in tokens that the client asks for; 0 for no bound."""
        asked_tokens = getattr(self.endpoint.client, "asked_tokens", None)
        return request.max_tokens if asked_tokens is None else int(asked_tokens(request))

    def answered(self, *, longer: bool) -> None:
        """Record an answer; ``longer``: the request asked for more tokens than the search does."""
        self.has_answered = True
        self._in_a_row.clear()
        if longer and self.answer_length == "trying":
            self.answer_length = "long"

    def asked_too_much(self, error: ChatError, *, longer: bool) -> bool:
        """Return whether a request for more tokens is refused; from then on no such request is made."""
        if not longer or self.answer_length != "trying" or not isinstance(error, BadRequestError):
            return False
        self.answer_length = "capped"
        return True

    def interpret_failure(self, error: ChatError) -> Judgement:
        """Return whose fault a failed attempt is, and what follows."""
        self._in_a_row[error.kind] += 1
        in_a_row = self._in_a_row[error.kind]
        # No control is asked for here: the other requests are control enough, and cost nothing more.
        return judge(error.kind, Evidence(answers=self.has_answered, in_a_row=in_a_row, control=False))


class Outage:
    """A time in which no attempt succeeds: how long it lasts, and how long the endpoints rest."""

    def __init__(self, give_up_after_s: float, clock: Callable[[], float]) -> None:
        self._give_up_after_s = give_up_after_s
        self._clock = clock
        self._since: float | None = None
        self._requests = 0

    @property
    def lasted_s(self) -> float:
        """Seconds since the start of the first failure after the last success; 0 after a success."""
        return 0.0 if self._since is None else self._clock() - self._since

    @property
    def over_the_limit(self) -> bool:
        return self._since is not None and self.lasted_s >= self._give_up_after_s

    def succeeded(self) -> None:
        self._since = None
        self._requests = 0

    def failed(self, took_s: float) -> None:
        """Record a failed attempt that took so many seconds."""
        if self._since is None:
            self._since = self._clock() - took_s

    def request_failed(self) -> float:
        """Count a request whose attempts all failed; return the seconds that all endpoints rest after it.

        The rest keeps the next requests from failing too. It is 0.0 after the first request, which may have
        failed by itself, then 5 s, doubling up to five minutes, but never beyond the time to give up.
        """
        self._requests += 1
        if self._since is None or self._requests < 2:
            return 0.0
        rest = min(SHORTEST_REST_S * 2.0 ** min(self._requests - 2, 10), LONGEST_REST_S)
        return max(min(rest, self._give_up_after_s - self.lasted_s), 0.0)


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    granted: asyncio.Future[tuple[PooledEndpoint, Permit]]
    avoid: Collection[PooledEndpoint]


class EndpointPool:
    """A queue in front of one endpoint or several: first come, first served.

    A due probe goes first; all else goes to the least loaded endpoint whose breaker is closed. A request that
    has failed at one endpoint returns to the front. Nobody overtakes, except to an endpoint that those before
    have failed at. No task runs of its own: the queue moves when a request comes, ends or is cancelled, and
    by one timer.
    """

    def __init__(self, endpoints: Sequence[PooledEndpoint]) -> None:
        self.endpoints = list(endpoints)
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._failure: PromptclimbError | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def acquire(
        self, tokens: int, *, avoid: Collection[PooledEndpoint] = ()
    ) -> tuple[PooledEndpoint, Permit]:
        """Wait until one request may be sent; return its endpoint and a permit to be left.

        Args:
            tokens: The most that the request can be billed for.
            avoid: Endpoints at which it has failed: not asked while others may answer. With any, it goes to
                the front of the queue.

        Raises:
            RequestTooLargeError: It needs more tokens than any endpoint is configured to allow in a minute.
            PromptclimbError: The argument of ``fail``.
        """
        self._check(tokens)
        waiter = _Waiter(tokens, asyncio.get_running_loop().create_future(), frozenset(avoid))
        if avoid:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        self.move()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            granted = waiter.granted
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                granted.result()[1].leave()
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            self.move()
            raise

    def move(self) -> None:
        """Send whatever may be sent; call it after a change that ``Permit.leave`` does not report."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        shortest = math.inf
        open_to: set[PooledEndpoint] | None = None
        blocked: list[_Waiter] = []
        while self._waiting and (open_to is None or open_to):
            waiter = self._waiting.popleft()
            if waiter.granted.done():
                continue
            wait = self._try(waiter, open_to)
            if wait > 0:
                blocked.append(waiter)
                shortest = min(shortest, wait)
                avoided = set(waiter.avoid)
                open_to = avoided if open_to is None else open_to & avoided
        self._waiting.extendleft(reversed(blocked))
        if math.isfinite(shortest):
            # Sums of times are rounded: a wait below the clock's resolution would never end.
            wait = max(shortest, SHORTEST_WAIT_S)
            self._timer = asyncio.get_running_loop().call_later(wait, self.move)

    def has_hope(self, avoid: Collection[PooledEndpoint]) -> bool:
        """Return whether an endpoint other than these may answer."""
        return any(endpoint.has_hope for endpoint in self.endpoints if endpoint not in avoid)

    def choose(self, tokens: int, *, avoid: Collection[PooledEndpoint] = ()) -> tuple[float, PooledEndpoint]:
        """Return the seconds that a request has to wait, and the endpoint that it goes to then."""
        if len(self.endpoints) == 1:
            return self.endpoints[0].limiter.delay(tokens), self.endpoints[0]
        able = [endpoint for endpoint in self.endpoints if endpoint not in avoid]
        if not any(endpoint.has_hope for endpoint in able):
            able = self.endpoints
        known = [endpoint for endpoint in able if endpoint.breaker.closed]
        alone = not any(endpoint.breaker.closed for endpoint in self.endpoints)

        def rank(endpoint: PooledEndpoint) -> tuple[float, bool, int, float]:
            limiter, breaker = endpoint.limiter, endpoint.breaker
            wait = max(limiter.delay(tokens), breaker.wait_s(alone=alone))
            idle = limiter.idle_s > HOLD_SHARE * limiter.mean_s  # it may have become quicker
            return wait, breaker.closed, breaker.failures, 0.0 if idle else limiter.load()

        # A request that has failed elsewhere makes no probe while an endpoint answers.
        chosen = min(known if known and avoid else able, key=rank)
        return rank(chosen)[0], chosen

    def patience_s(self, endpoint: PooledEndpoint, *, probe: bool) -> float:
        """Return the seconds after which an attempt is better made elsewhere; infinite if it is not.

        An endpoint that has answered gets four times the slowest recent answer of its own or of the others. A
        probe gets twice what the others take, twice as much after each failure, up to sixteen times; more
        while few of their answers are known.
        """
        others = [other for other in self.endpoints if other is not endpoint]
        known = [other.limiter for other in others if other.breaker.closed]
        if not known and not any(other.has_hope for other in others):
            return math.inf
        elsewhere_s = min((max(limiter.took_s, default=0.0) for limiter in known), default=0.0)
        if not probe or not known:
            slowest = max([*endpoint.limiter.took_s, elsewhere_s])
            return max(ANSWERED_TIMES * slowest, FIRST_PATIENCE_S)
        times = PROBE_TIMES * 2.0 ** min(endpoint.breaker.failures, 10)
        few = PROBE_TIMES / max(sum(len(limiter.took_s) for limiter in known), 1)
        return max(min(times + few, MOST_PROBE_TIMES) * elsewhere_s, SHORTEST_PATIENCE_S)

    def suspend(self, endpoint: PooledEndpoint, error: ChatError, *, probe: bool) -> float | None:
        """Report a failure to the breaker; return the seconds of its pause, if any. None if it is alone."""
        if len(self.endpoints) < 2:
            return None
        last = not any(other.breaker.closed for other in self.endpoints if other is not endpoint)
        return endpoint.breaker.failed(error.took_s, probe=probe, last=last)

    def remove(self, endpoint: PooledEndpoint, error: ChatError) -> int:
        """Remove an endpoint, and return how many are left; without any, all waiting requests fail."""
        endpoint.limiter.closed = error
        if endpoint in self.endpoints:
            self.endpoints.remove(endpoint)
        if not self.endpoints:
            self.fail(error)
        self.move()
        return len(self.endpoints)

    def fail(self, error: PromptclimbError) -> None:
        """Refuse all requests from now on, waiting ones included."""
        self._failure = self._failure or error
        self.move()

    def _try(self, waiter: _Waiter, open_to: Collection[PooledEndpoint] | None) -> float:
        """Serve a waiter, or return the seconds until it may be served."""
        try:
            self._check(waiter.tokens)
        except PromptclimbError as error:
            waiter.granted.set_exception(error)
            return 0.0
        wait, endpoint = self.choose(waiter.tokens, avoid=waiter.avoid)
        if open_to is not None and endpoint not in open_to:
            return math.inf
        if wait > 0:
            return wait
        probe = endpoint.breaker.admit()

        def left() -> None:
            endpoint.breaker.leave(probe=probe)
            self.move()

        permit = endpoint.limiter.admit(waiter.tokens, probe=probe, on_leave=left)
        waiter.granted.set_result((endpoint, permit))
        return 0.0

    def _check(self, tokens: int) -> None:
        if self._failure is not None:
            raise self._failure
        if not any(endpoint.limiter.fits(tokens) for endpoint in self.endpoints):
            most = max(endpoint.limiter.limits.tpm or 0.0 for endpoint in self.endpoints)
            raise RequestTooLargeError(
                f"a request may need {tokens} tokens, but `tpm` allows only {most:.0f} in a minute; "
                "show fewer templates (`top_k`), allow shorter answers (`answer_tokens`), or raise "
                "`tpm`"
            )
