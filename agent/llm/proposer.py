"""Asks a chat model for one answer: budget, then pacing, then the attempt; again if that is worth it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..errors import (
    ChatError,
    FatalChatError,
    GaveUpError,
    KeyRejectedError,
    ModelNotFoundError,
    QuotaSpentError,
    RateLimitedError,
    RequestFailedError,
    TokenUsage,
)
from ..events import (
    ChatFailed,
    EndpointPaced,
    EndpointRemoved,
    GaveUp,
    Listener,
    RetryScheduled,
    UsageUntold,
    unheard,
)
from .attempt import attempt
from .budget import Budget
from .endpoint import Endpoint, Reply
from .outage import Outage
from .pacing import Pacer, Permit, RateLimiter
from .retry import Decision, RetryPolicy, retrying
from .spending import Ledger, Spending
from .standing import Standing
from .token_bound import TokenBound
from .types import ChatAnswer, ChatRequest
from .usage import NO_BILL, NOTHING, Price, cost_at_most

GIVE_UP_AFTER_S = 1800.0
UNFIT = (KeyRejectedError, ModelNotFoundError, QuotaSpentError)
"""What makes an endpoint useless for good, though others may still serve."""


class Proposer:
    """Asks one endpoint or several, within the limits.

    For each attempt the most that it can cost is reserved (``budget``), leave is waited for (``pacing``),
    and the reservation is settled with what the endpoint says it billed; an attempt that was cut off, or an
    answer without usage, counts with all that was reserved. A failed attempt is made again as ``retry``
    decides. An endpoint that rejects its key, has no such model or no quota left is taken out; the others go
    on. What a refusal means depends on whether the endpoint has answered before (``standing``).

    An outage: when one request after another has used up its attempts and none has succeeded, the endpoints
    are left alone for a growing while before the next (``outage``), so that it does not eat every iteration.

    The breaker: when attempts have failed for ``give_up_after_s`` seconds and none has succeeded since, every
    request fails with GaveUpError.

    Args:
        endpoints: At least one.
        budget: What may be spent.
        retry: How much patience a request gets.
        give_up_after_s: Seconds of nothing but failures before it stops.
        ledger: Where costs without an answer are written down; None for nowhere.
        tell: Hears what happens, see ``agent.events.asking``.
        rng: Where jitter comes from; it decides no result.

    Attributes:
        budget: What may be spent, and what is.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        budget: Budget,
        retry: RetryPolicy | None = None,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        ledger: Ledger | None = None,
        tell: Listener = unheard,
        rng: random.Random | None = None,
    ) -> None:
        for endpoint in endpoints:
            budget.limits.need_price(endpoint.price)
        self.budget = budget
        self._policy = retry or RetryPolicy()
        self._ledger = ledger
        self._tell = tell
        self._rng = rng or random.Random()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        limiters = [self._limiter(endpoint) for endpoint in endpoints]
        self._endpoints = dict(zip(limiters, endpoints, strict=True))
        self._standings = {limiter: Standing() for limiter in limiters}
        self._pacer = Pacer(limiters)
        self._bound = TokenBound()
        self._outage = Outage(give_up_after_s, self._clock)
        self._gave_up = False
        self._silent: set[RateLimiter] = set()

    def close(self) -> None:
        """Tell how each endpoint that is still in use has come to be paced."""
        for limiter in self._pacer.limiters:
            seen = limiter.statistics()
            self._tell(
                EndpointPaced(endpoint=limiter.name, in_flight=seen.ceiling, rpm=seen.rpm, tpm=seen.tpm)
            )

    async def ask(self, request: ChatRequest) -> Reply:
        """Get one answer.

        The clients are called in the caller's task. An error of a client that is no ChatError passes through.

        Raises:
            RequestFailedError: The attempts for this request are used up.
            BudgetSpentError: A limit is reached.
            GaveUpError: Nothing has succeeded for too long.
            FatalChatError: No endpoint can answer, or none can answer this.
        """
        asked = _Asked(request)

        def told(attempt: int, wait_s: float, decision: Decision) -> None:
            self._tell(
                RetryScheduled(endpoint=asked.endpoint, attempt=attempt, wait_s=wait_s, reason=decision.kind)
            )

        async def once(number: int) -> Reply:
            return await self._attempt(asked, number)

        try:
            return await retrying(once, self._policy, rng=self._rng, sleep=self._sleep, on_retry=told)
        except RequestFailedError as error:
            self._rest()
            # An object from Python has no address, and needs none to be found.
            if "://" not in asked.endpoint:
                raise
            said = f"{asked.endpoint}: {error}"
            again = RequestFailedError(said, attempts=error.attempts, answered=error.answered)
            raise again from error.__cause__

    async def _attempt(self, asked: _Asked, number: int) -> Reply:
        """One attempt, at as many endpoints as it takes to find one that is not to be taken out."""
        while True:
            most = self._bound.of(asked.request)
            reserved = await self.budget.reserve(most, self._dearest(most))
            spending = Spending(reserved)
            try:
                with await self._leave(asked.request.tokens_at_most) as permit:
                    asked.endpoint = permit.limiter.name
                    spending.retries = int(number > 1)
                    return await self._send(asked.request, permit, spending)
            except UNFIT:
                if not self._pacer.limiters:
                    raise
            finally:
                self.budget.settle(reserved, spending.used)
                if spending.used != NOTHING:
                    self._tell(self.budget.usage_changed())

    async def _send(self, request: ChatRequest, permit: Permit, spending: Spending) -> Reply:
        endpoint = self._endpoints[permit.limiter]
        if endpoint.model is not None:
            request = replace(request, model=endpoint.model)
        try:
            if self._ledger is not None and self.budget.counts:
                spending.written = spending.reserved
                await self._ledger.put_reserved(spending.reserved)
            spending.sent = True
            answer = await attempt(
                endpoint.client, request, deadline_s=self._policy.attempt_s, clock=self._clock
            )
        except ChatError as said:
            error = self._standings[permit.limiter].taken(said)
            failure = said if isinstance(error, RequestFailedError) else error
            self._failed(failure, request, permit, spending)
            await self._write(spending)
            self._breaker(failure, endpoint)
            raise error from said.__cause__
        except asyncio.CancelledError:
            spending.untold()
            await self._write(spending)
            raise
        except Exception:
            await self._write(spending)
            raise
        self._succeeded(answer, request, permit, spending)
        return Reply(answer, spending.bill, endpoint.name)

    def _succeeded(
        self, answer: ChatAnswer, request: ChatRequest, permit: Permit, spending: Spending
    ) -> None:
        limiter = permit.limiter
        if answer.usage_told:
            spending.known(answer.usage, self._endpoints[limiter].price)
            self._bound.learn(request, answer.usage)
        else:
            spending.untold()
            self._warn(limiter)
        self._standings[limiter].answered()
        limiter.heard(permit, answer.headers)
        limiter.succeeded(permit, answer.usage.total if answer.usage_told else permit.tokens)
        self._outage.succeeded()

    def _failed(self, error: ChatError, request: ChatRequest, permit: Permit, spending: Spending) -> None:
        spending.failed = 1
        if error.usage is not None:
            spending.known(error.usage, self._endpoints[permit.limiter].price)
            self._bound.learn(request, error.usage)
        elif error.perhaps_billed:
            spending.untold()
        limiter = permit.limiter
        limiter.heard(permit, error.headers)
        if isinstance(error, RateLimitedError):
            limiter.refused(permit, error.retry_after, tokens="token" in str(error).lower())
        else:
            limiter.failed(error.retry_after)
        billed = bool(spending.used.calls)
        if isinstance(error, UNFIT) and limiter.closed is None:
            # Before the permit is given back, or it would let the next one run into the same refusal.
            left = self._pacer.remove(limiter, error)
            self._tell(EndpointRemoved(endpoint=limiter.name, message=str(error), left=left))
        name = type(error).__name__
        self._tell(ChatFailed(endpoint=limiter.name, error=name, message=str(error), billed=billed))

    def _warn(self, limiter: RateLimiter) -> None:
        if limiter not in self._silent:
            self._silent.add(limiter)
            self._tell(UsageUntold(endpoint=limiter.name))

    def _rest(self) -> None:
        if wait := self._outage.rest_s():
            for limiter in self._pacer.limiters:
                limiter.rest(wait)

    def _breaker(self, error: ChatError, endpoint: Endpoint) -> None:
        if isinstance(error, FatalChatError):
            return
        self._outage.failed(error.took_s)
        if not self._outage.over_the_limit or self._gave_up:
            return
        self._gave_up = True
        failing_s = self._outage.lasted_s
        gave_up = GaveUpError(f"nothing has succeeded for {failing_s:.0f} s; the last error: {error}")
        self._tell(GaveUp(endpoint=endpoint.name, failing_s=failing_s, message=str(error)))
        self._pacer.fail(gave_up)
        raise gave_up from error

    async def _write(self, spending: Spending) -> None:
        if self._ledger is not None and spending.bill != NO_BILL:
            await self._ledger.put_usage(spending.bill)

    async def _leave(self, tokens: int) -> Permit:
        """Wait for leave to send, but not beyond the active time that is left."""
        try:
            async with asyncio.timeout(self.budget.left_s()):
                return await self._pacer.acquire(tokens)
        except TimeoutError:
            raise self.budget.spent_minutes() from None

    async def _sleep(self, seconds: float) -> None:
        left = self.budget.left_s()
        await asyncio.sleep(seconds if left is None else min(seconds, left))
        if left is not None and left <= seconds:
            raise self.budget.spent_minutes()

    def _dearest(self, tokens: TokenUsage) -> Price | None:
        prices = [
            price for limiter in self._pacer.limiters if (price := self._endpoints[limiter].price) is not None
        ]
        return max(prices, key=lambda price: cost_at_most(tokens, price), default=None)

    def _limiter(self, endpoint: Endpoint) -> RateLimiter:
        return RateLimiter(
            endpoint.name,
            endpoint.limits,
            clock=self._clock,
            rng=self._rng,
            longest_pause_s=self._policy.longest_asked_s,
            tell=self._tell,
        )


@dataclass(slots=True)
class _Asked:
    """One request on its way, and where it was last sent."""

    request: ChatRequest
    endpoint: str = ""
