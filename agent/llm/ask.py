"""Ask the LLM, or a scorer behind an API, within limits.

A request (``EndpointAsker.ask``) has several attempts, with waits between them. An attempt (``_attempt``)
asks one endpoint after another. Each sending (``_send``) reserves the most that it can cost and waits for an
endpoint (``_permit``); its outcome goes into bill, pacing and breaker (``_succeeded``, ``_failed``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Generic

import tenacity

from ...evaluator.counts import counted
from ...evaluator.failures import FailureKind, Fault, Judgement, NextStep
from ..config.fields import REQUEST_TIMEOUT_S, RETRY_ATTEMPTS, RETRY_S
from ..config.schema import SearchConfig
from ..errors import (
    BadRequestError,
    ChatError,
    GaveUpError,
    RateLimitedError,
    RequestFailedError,
    RequestTooLargeError,
    TransientChatError,
    UnusableAnswerError,
)
from ..events.types import (
    AnswerTokensRaised,
    ChatFailed,
    EndpointPaced,
    EndpointRemoved,
    EndpointResumed,
    EndpointSuspended,
    GaveUp,
    Listener,
    RetryScheduled,
    UsageMissing,
    ignore_event,
)
from ..prices import NO_BILL, NOTHING, PICODOLLARS, Bill, Ledger, Spent, Tariff, TokenUsage, cost_at_most
from ..stop import Stop
from .budget import Budget, Charge, TokenBound
from .chat import A, BilledAnswer, R
from .limiter import Permit, RateLimiter
from .pool import Endpoint, EndpointPool, Outage, PooledEndpoint

GIVE_UP_AFTER_S = 1800.0
PAID_FAILURES = frozenset({FailureKind.EMPTY, FailureKind.CUT, FailureKind.DECLINED})
"""Unusable answers of the model itself: each is paid for, and the next one may be unusable too."""
REMOVING = frozenset({FailureKind.MISDIRECTED, FailureKind.CLOSED})
"""Failures for which an endpoint that is at fault is removed."""
MOST_ADAPTED = 8
"""Refusals of one request after which it is sent in another form; each concerns something else."""
LOCAL_ATTEMPT_S = 1200.0
"""Shortest deadline of an attempt at a local model, which is slow on a busy machine."""
LOOK_AGAIN_S = 1.0
"""Seconds between two looks at the patience with an endpoint."""
SOONEST_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The patience for one request.

    Attributes:
        attempts: Most attempts, not counting those after which the endpoint asks for a wait.
        unusable_attempts: Most attempts that are paid for and give nothing usable.
        total_s: Seconds of attempts and waits between them; waiting in the queue is not counted.
        attempt_s: Seconds that one endpoint may take to answer.
        first_wait_s: Longest wait after the first failure; it doubles with each.
        longest_wait_s: Longest wait between two attempts of our own choosing.
        longest_asked_s: Longest wait that an endpoint may ask for; after that it is tried anyway.
    """

    attempts: int = RETRY_ATTEMPTS
    unusable_attempts: int = 4
    total_s: float = RETRY_S
    attempt_s: float = REQUEST_TIMEOUT_S
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    longest_asked_s: float = 120.0

    @classmethod
    def of(cls, config: SearchConfig, *, local: bool = False) -> RetryPolicy:
        """Return the policy of a config; ``local`` if the requests go to a local LLM."""
        return cls(
            attempts=config.retry_attempts,
            total_s=config.retry_seconds,
            attempt_s=max(config.request_timeout, LOCAL_ATTEMPT_S if local else 0.0),
        )

    def wait_s(self, attempt: int, retry_after: float | None, rng: random.Random) -> float:
        """Return the seconds to wait after the failed attempt, numbered from 1.

        Full jitter (a uniform draw up to the exponential bound) has the least competing work in M. Brooker,
        "Exponential Backoff and Jitter", AWS Architecture Blog, 2015. If the endpoint asks for a wait, it is
        that, up to ``longest_asked_s``, and a little more, so that not all requests come back at once.
        """
        bound = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))
        jitter = rng.uniform(0.0, bound)
        if not retry_after:
            return jitter
        asked = min(retry_after, self.longest_asked_s)
        return asked + min(jitter, 1.0, asked / 2)


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed attempt, as it was judged."""

    error: ChatError
    judgement: Judgement
    hold_s: float | None = None  # seconds before which no endpoint may be asked again

    @property
    def may_pass(self) -> bool:
        """True if the same request may be answered later."""
        return self.judgement.step in (NextStep.RETRY, NextStep.WAIT)

    @property
    def reason(self) -> str:
        """The ``reason`` of ``RetryScheduled``."""
        if not self.may_pass:
            return "no"
        if self.judgement.step is NextStep.WAIT:
            return "rate_limited"
        return "unusable" if self.error.kind in PAID_FAILURES else "transient"


class _NotSent(Enum):
    """The outcome of a sending that never left."""

    OUTGROWN = "it may by now cost more than was reserved for it"


@dataclass(slots=True)
class RequestState(Generic[R]):
    """One request, and what became of its attempts so far.

    An attempt fails once, when it has failed at all endpoints that can be asked at once.
    """

    request: R
    failures: list[_Failure] = field(default_factory=list)  # one for each attempt
    waited_s: float = 0.0  # between them
    endpoint: str = ""  # asked last
    max_tokens: int = 0  # answer tokens that were asked for last
    adapted: int = 0  # refusals after which it was sent in another form
    tried: list[PooledEndpoint] = field(default_factory=list)  # at which the attempt under way has failed
    failures_there: list[_Failure] = field(default_factory=list)  # one for each time it was sent

    @property
    def attempt(self) -> int:
        """Number of the attempt under way, from 1."""
        return len(self.failures) + 1

    def failed_with(self, error: BaseException) -> bool:
        """Return whether an error is that of the last failed attempt, and was judged."""
        return bool(self.failures) and self.failures[-1].error is error

    def is_worth_retrying(self, error: BaseException) -> bool:
        return self.failed_with(error) and self.failures[-1].may_pass

    def unusable(self, policy: RetryPolicy) -> bool:
        """Return whether the model has answered often enough, and never usably."""
        paid = [failure.error for failure in self.failures if failure.error.kind in PAID_FAILURES]
        final = any(isinstance(error, UnusableAnswerError) and error.final for error in paid)
        return final or len(paid) >= min(policy.unusable_attempts, policy.attempts)

    def patience_ends(self, policy: RetryPolicy) -> bool:
        # Attempts after which the endpoint asks for a wait are not counted: total_s ends those.
        tries = [
            failure
            for failure in self.failures
            if failure.judgement.step is not NextStep.WAIT and failure.hold_s is None
        ]
        took_s = sum(failure.error.took_s for failure in self.failures) + self.waited_s
        return len(tries) >= policy.attempts or self.unusable(policy) or took_s >= policy.total_s


@dataclass(frozen=True, slots=True)
class _Sending(Generic[R]):
    """A request on its way to one endpoint."""

    endpoint: PooledEndpoint
    permit: Permit
    request: R  # as it is sent
    charge: Charge
    longer: bool  # asks for more answer tokens than the search does
    moved: bool  # has failed at another endpoint


class EndpointAsker(Generic[R, A]):
    """Asks one endpoint or several, within the limits.

    A sending that was cut off, or an answer without usage, counts with all that was reserved. Each failure is
    judged by the table of ``evaluator.failures``. An endpoint is removed if it rejects its key, has no such
    model or no quota left.

    With several endpoints, a failed request moves at once to another one that answers; only when all have
    failed is one attempt used up. A failing endpoint is suspended for growing pauses.

    After a 429 the endpoint's ``RateLimiter`` holds back all requests, and the policy's wait this one; both
    run at the same time.

    In an outage (requests use up their attempts, none succeeds) the endpoints rest for growing pauses. After
    ``give_up_after_s`` seconds of failures alone, every request fails with GaveUpError.

    Args:
        has_answers: The run has earlier answers, so its settings are right: the meaning of a refusal does not
            depend on where a run was interrupted.
        ledger: None stores nothing.
        stop: Once it is requested, no attempt starts; attempts under way are marked as paid.
        rng: Source of jitter; affects no result.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        budget: Budget,
        retry: RetryPolicy | None = None,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        has_answers: bool = False,
        ledger: Ledger | None = None,
        stop: Stop | None = None,
        emit: Listener = ignore_event,
        rng: random.Random | None = None,
    ) -> None:
        self.budget = budget
        self._policy = retry or RetryPolicy()
        self._ledger = ledger
        self._stop = stop or Stop()
        self._emit = emit
        self._rng = rng or random.Random()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._endpoints = [
            PooledEndpoint(endpoint, self._limiter(endpoint), clock=self._clock, has_answered=has_answers)
            for endpoint in endpoints
        ]
        self._pool = EndpointPool(self._endpoints)
        self._bound = TokenBound()
        self._outage = Outage(give_up_after_s, self._clock)
        self._gave_up = False

    def _limiter(self, endpoint: Endpoint) -> RateLimiter:
        return RateLimiter(
            endpoint.name,
            endpoint.limits,
            clock=self._clock,
            rng=self._rng,
            longest_pause_s=self._policy.longest_asked_s,
            emit=self._emit,
        )

    @property
    def has_answered(self) -> bool:
        """True if any endpoint has answered, in earlier sessions too."""
        return any(endpoint.has_answered for endpoint in self._endpoints)

    def close(self) -> None:
        """Report the limits of each endpoint that is still in use."""
        for endpoint in self._pool.endpoints:
            limiter = endpoint.limiter
            rpm, tpm = limiter.a_minute("requests"), limiter.a_minute("tokens")
            self._emit(
                EndpointPaced(endpoint=endpoint.name, in_flight=limiter.max_in_flight, rpm=rpm, tpm=tpm)
            )

    def cost_at_most(self, request: R) -> Spent:
        """Return the most that one attempt at a request may cost now: what is reserved for it."""
        most = self._bound.of(self._longest(request))
        money = cost_at_most(most, self._highest_price(most))
        return Spent(calls=1, estimated_tokens=most.total, estimated_picodollars=money)

    # A request: attempts, and waits between them.

    async def ask(self, request: R) -> BilledAnswer[A]:
        """Get one answer; a client's errors other than ChatError pass through.

        Raises:
            RequestFailedError: The attempts for this request are used up.
            BudgetSpentError: A limit is reached.
            GaveUpError: Nothing has succeeded for too long.
            FatalChatError: No endpoint can answer, or none can answer this.
        """
        state = RequestState(request)
        policy, failures = self._policy, state.failures
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(state.is_worth_retrying),
            # Drawn for the last attempt too: the draws after it do not depend on the patience.
            wait=lambda _retry: policy.wait_s(len(failures), failures[-1].hold_s, self._rng),
            stop=lambda _retry: state.patience_ends(policy),
            sleep=lambda wait_s: self._wait_after(state, wait_s),
            reraise=True,
        )
        try:
            answer: BilledAnswer[A] = await retrying(self._attempt, state)
            return answer
        except ChatError as error:
            if not state.failed_with(error):
                raise
        failure, error_of_request = failures[-1], self._error_of(state)
        if isinstance(error_of_request, RequestFailedError):
            # In an outage the endpoints rest, so that the next requests are not lost as well.
            if rest_s := self._outage.request_failed():
                for endpoint in self._pool.endpoints:
                    endpoint.limiter.rest(rest_s)
            raise error_of_request from failure.error
        raise failure.error from failure.error.__cause__

    async def _wait_after(self, state: RequestState[R], wait_s: float) -> None:
        """Wait before the next attempt, but not beyond the time that is left."""
        failure, attempt = state.failures[-1], len(state.failures)
        state.waited_s += wait_s
        self._emit(
            RetryScheduled(endpoint=state.endpoint, attempt=attempt, wait_s=wait_s, reason=failure.reason)
        )
        left_s = self.budget.left_s()
        await asyncio.sleep(wait_s if left_s is None else min(wait_s, left_s))
        if left_s is not None and left_s <= wait_s:
            raise self.budget.minutes_spent()

    def _error_of(self, state: RequestState[R]) -> ChatError | RequestFailedError:
        """Return the error that ends a request after its last failure."""
        error, judgement = state.failures[-1].error, state.failures[-1].judgement
        # A client object from Python has no address.
        at = f"{state.endpoint}: " if "://" in state.endpoint else ""
        if judgement.step is NextStep.STOP:
            return error
        if judgement.step is NextStep.DROP:
            # A filter or a full context would refuse it again, even in the next session.
            certain = error.kind in (FailureKind.TOO_LONG, FailureKind.FLAGGED)
            return RequestFailedError(
                f"{at}the request is refused: {error}",
                attempts=1,
                answered=certain,
                refused=not certain,
                refusal=error if isinstance(error, BadRequestError) else None,
            )
        attempts = len(state.failures)
        return RequestFailedError(
            f"{at}no usable answer in {counted(attempts, 'attempt')}: {error}",
            attempts=attempts,
            answered=state.unusable(self._policy),
        )

    # An attempt: one endpoint after another.

    async def _attempt(self, state: RequestState[R]) -> BilledAnswer[A]:
        """Ask one endpoint after another until one answers, or none can be asked at once.

        Raises:
            ChatError: The attempt failed: the error of the last of ``state.failures``.
        """
        while True:
            result = await self._send(state)
            if isinstance(result, BilledAnswer):
                return result
            if isinstance(result, _NotSent) or self._asks_at_once(state, result):
                continue
            failure = self._joint_failure(state)
            state.failures.append(failure)
            state.tried.clear()
            state.failures_there.clear()
            raise failure.error

    def _asks_at_once(self, state: RequestState[R], failure: _Failure) -> bool:
        """Return whether to send a failed request again at once: in another form, or to another endpoint."""
        endpoint = state.tried[-1]
        if endpoint not in self._pool.endpoints:  # removed
            if self._pool.endpoints:
                return True
            state.failures_there[:] = [failure]
            return False
        if failure.error.adapted:
            state.adapted += 1
            state.tried.pop()
            state.failures_there.pop()
            return True
        if endpoint.with_answer_tokens(state.request).max_tokens != state.max_tokens:
            state.tried.pop()
        elif len(state.tried) > len(self._endpoints) or not self._pool.has_hope(state.tried):
            return False
        self._emit(
            RetryScheduled(endpoint=endpoint.name, attempt=state.attempt, wait_s=0.0, reason=failure.reason)
        )
        return True

    def _joint_failure(self, state: RequestState[R]) -> _Failure:
        """Return the failure of an attempt that failed at each endpoint.

        Retry if any failure is worth it; fail the request if an endpoint that answers others refuses it; stop
        only if every endpoint refuses.
        """
        last = state.failures_there[-1]
        if len(self._endpoints) < 2:
            return replace(last, hold_s=last.error.retry_after or None)
        for failure in state.failures_there:
            if failure.may_pass:
                # Each endpoint's pause holds it back by itself: another one may be ready sooner.
                return failure
        dropped = [failure for failure in state.failures_there if failure.judgement.step is NextStep.DROP]
        if dropped:
            return min(dropped, key=lambda failure: failure.error.kind is FailureKind.REFUSED)
        if set(self._pool.endpoints) <= {*state.tried}:
            return last
        message = f"refused, and the other endpoints do not answer: {last.error}"
        return _Failure(TransientChatError(message), Judgement(Fault.OPEN, NextStep.RETRY))

    # A sending: reservation, endpoint, deadline.

    async def _send(self, state: RequestState[R]) -> BilledAnswer[A] | _Failure | _NotSent:
        """Send the request to one endpoint; it is not sent if another amount must be reserved first."""
        request, tried = state.request, state.tried
        longest = self._longest(request)
        most = self._bound.of(longest)
        reserved = await self.budget.reserve(most, self._highest_price(most))
        charge: Charge | None = None
        try:
            endpoint, permit = await self._permit(longest.tokens_at_most, tried)
            with permit:
                if self._outgrown(request, longest.max_tokens, reserved):
                    endpoint.limiter.unused(permit)
                    return _NotSent.OUTGROWN
                sent, moved = endpoint.for_endpoint(request), bool(tried)
                retries = int(state.attempt > 1 or moved)
                charge = Charge(sent, reserved, endpoint.price, self._bound, retries=retries)
                longer = sent.max_tokens > request.max_tokens
                sending = _Sending(endpoint, permit, sent, charge, longer=longer, moved=moved)
                state.endpoint, state.max_tokens = endpoint.name, sent.max_tokens
                tried.append(endpoint)
                result = await self._deliver(sending, adapts=state.adapted < MOST_ADAPTED)
                if isinstance(result, _Failure):
                    state.failures_there.append(result)
                    return result
                return BilledAnswer(result, charge.bill, endpoint.name)
        except RequestTooLargeError:
            # An endpoint that takes longer answers may have gone while this waited for it.
            if self._longest(request).max_tokens >= longest.max_tokens:
                raise
            return _NotSent.OUTGROWN
        finally:
            used = NOTHING if charge is None else charge.used
            self.budget.settle(reserved, used)
            if used != NOTHING:
                self._emit(self.budget.usage_changed())

    def _longest(self, request: R) -> R:
        return max(
            (endpoint.with_answer_tokens(request) for endpoint in self._pool.endpoints),
            key=lambda longer: longer.max_tokens,
            default=request,
        )

    def _highest_price(self, tokens: TokenUsage) -> Tariff | None:
        prices = [endpoint.price for endpoint in self._pool.endpoints if endpoint.price is not None]
        return max(prices, key=lambda price: cost_at_most(tokens, price), default=None)

    def _outgrown(self, request: R, most_tokens: int, reserved: Spent) -> bool:
        """Return whether the request may by now cost more than was reserved before it waited."""
        if self._longest(request).max_tokens > most_tokens:
            return True
        most = self.cost_at_most(request)
        return self.budget.depends_on_size and (
            most.estimated_tokens > reserved.estimated_tokens
            or most.estimated_picodollars > reserved.estimated_picodollars
        )

    async def _permit(self, tokens: int, tried: Sequence[PooledEndpoint]) -> tuple[PooledEndpoint, Permit]:
        try:
            async with asyncio.timeout(self.budget.left_s()):
                return await self._pool.acquire(tokens, avoid=tried)
        except TimeoutError:
            raise self.budget.minutes_spent() from None

    async def _deliver(self, sending: _Sending[R], *, adapts: bool) -> A | _Failure:
        """Send it, and record what became of it; ``adapts``: it may be sent again in another form.

        A failure's bill is written here. An answer's is not, and the stop still counts it as paid: the caller
        of ``ask`` writes answer and bill together, then calls ``Stop.settled``.
        """
        charge = sending.charge
        try:
            if self._ledger is not None:
                charge.reserved_on_disk = charge.reserved
                await self._ledger(Bill.reserving(charge.reserved))
            self._stop.check()
            charge.sent = True
            self._stop.paid()
            try:
                answer = await self._call(sending)
            except BaseException:
                self._stop.settled()
                raise
        except ChatError as error:
            error.adapted = error.adapted and adapts
            failure = _Failure(error, sending.endpoint.interpret_failure(error))
            self._failed(sending, failure)
            await self._write(charge.bill)
            self._check_outage(sending, failure)
            return failure
        except asyncio.CancelledError:
            charge.unknown()
            await self._write(charge.bill)
            raise
        except Exception:
            await self._write(charge.bill)
            raise
        self._succeeded(sending, answer)
        return answer

    async def _write(self, bill: Bill) -> None:
        if self._ledger is not None and bill != NO_BILL:
            await self._ledger(bill)

    async def _call(self, sending: _Sending[R]) -> A:
        """Call the client until the deadline, or earlier if other endpoints are quicker."""
        started, deadline_s = self._clock(), self._policy.attempt_s
        try:
            try:
                async with asyncio.timeout(deadline_s) as deadline:
                    with self._watched(sending, deadline):
                        answer: A = await sending.endpoint.endpoint.client.chat(sending.request)
                        return answer
            except TimeoutError as error:
                took = self._clock() - started
                late = f"no answer within {min(took, deadline_s):.3g} s"
                if took < deadline_s:
                    late += ", and other endpoints are quicker"
                raise TransientChatError(late, perhaps_billed=True) from error
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling() > 0:
                    raise
                raise TransientChatError("the call was cancelled from within", perhaps_billed=True) from error
        except ChatError as error:
            error.took_s = self._clock() - started
            raise

    @contextmanager
    def _watched(self, sending: _Sending[R], deadline: asyncio.Timeout) -> Iterator[None]:
        """Move the deadline to now once the patience is over.

        A request that failed elsewhere has its full time at an endpoint that is known to answer.
        """
        probe = sending.permit.probe
        if len(self._pool.endpoints) < 2 or (sending.moved and not probe):
            yield
            return
        loop, started = asyncio.get_running_loop(), self._clock()
        timer = loop.call_later(LOOK_AGAIN_S, lambda: look())

        def look() -> None:
            nonlocal timer
            left = self._pool.patience_s(sending.endpoint, probe=probe) - (self._clock() - started)
            if left <= 0:
                deadline.reschedule(loop.time())
            else:
                timer = loop.call_later(min(max(left, SOONEST_S), LOOK_AGAIN_S), look)

        try:
            yield
        finally:
            timer.cancel()

    # What became of a sending: bill, pacing, breaker, outage.

    def _succeeded(self, sending: _Sending[R], answer: A) -> None:
        endpoint, permit = sending.endpoint, sending.permit
        if answer.usage_known:
            sending.charge.reported(answer.usage)
        else:
            sending.charge.unknown(answer.written)
            if not endpoint.usage_missing:
                endpoint.usage_missing = True
                self._emit(UsageMissing(endpoint=endpoint.name))
        endpoint.answered(longer=sending.longer)
        if endpoint.breaker.answered(probe=permit.probe) and endpoint.suspended:
            endpoint.suspended = False
            self._emit(EndpointResumed(endpoint=endpoint.name))
        endpoint.limiter.read_headers(permit, answer.headers)
        endpoint.limiter.succeeded(permit, answer.usage.total if answer.usage_known else permit.tokens)
        self._outage.succeeded()

    def _failed(self, sending: _Sending[R], failure: _Failure) -> None:
        """Record a failure in bill, pacing and breaker; adapt the answer tokens asked for here."""
        error, endpoint, permit = failure.error, sending.endpoint, sending.permit
        limiter, charge, answer_tokens = endpoint.limiter, sending.charge, 0
        if isinstance(error, UnusableAnswerError):
            error.final = error.kind is FailureKind.CUT and sending.longer
            answer_tokens = error.written
        if error.usage is not None:
            charge.reported(error.usage)
        elif error.perhaps_billed:
            charge.unknown(answer_tokens)
        limiter.read_headers(permit, error.headers)
        if error.adapted:
            permit.is_outcome = False  # or all that wait would run into the next refusal
            if not charge.billed.calls:
                return  # the endpoint is well, and nothing is lost
        charge.failed = 1
        if isinstance(error, RateLimitedError):
            limiter.rate_limited(permit, error.retry_after, tokens="token" in str(error).lower())
        else:
            limiter.failed(error.retry_after)
        if failure.judgement.step is NextStep.STOP and error.kind in REMOVING:
            if limiter.closed is None:
                # Before the permit is given back, or it would let the next one run into the same refusal.
                left = self._pool.remove(endpoint, error)
                self._emit(EndpointRemoved(endpoint=endpoint.name, message=str(error), left=left))
        # The first two also change what is asked for here; only a failure that none explains suspends.
        elif not (
            endpoint.asked_too_much(error, longer=sending.longer)
            or self._tries_longer_answers(sending, error)
            or self._is_excused(sending, failure)
        ):
            wait_s = self._pool.suspend(endpoint, error, probe=permit.probe)
            if wait_s is not None and not endpoint.suspended:
                endpoint.suspended = True
                self._emit(EndpointSuspended(endpoint=endpoint.name, message=str(error), wait_s=wait_s))
        name, billed = type(error).__name__, bool(charge.billed.calls)
        self._emit(ChatFailed(endpoint=endpoint.name, error=name, message=str(error), billed=billed))

    def _is_excused(self, sending: _Sending[R], failure: _Failure) -> bool:
        """Return whether a failure says nothing against the endpoint.

        A model that thinks too long does so elsewhere too, unless others have given usable answers.
        """
        kind = failure.error.kind
        if kind in (FailureKind.FLAGGED, FailureKind.ADAPTED):
            return True
        if kind is FailureKind.CUT:
            others = [endpoint for endpoint in self._pool.endpoints if endpoint is not sending.endpoint]
            return not any(endpoint.breaker.closed for endpoint in others)
        fault, step = failure.judgement
        return (fault is Fault.ITEM or step is NextStep.WAIT) and not sending.permit.probe

    def _tries_longer_answers(self, sending: _Sending[R], error: ChatError) -> bool:
        """Ask for longer answers from now on if one was cut before it began, and limits allow it.

        Return whether that explains the failure.
        """
        if sending.longer or error.kind is not FailureKind.CUT:
            return False
        endpoint, sent = sending.endpoint, sending.request
        if endpoint.answer_length != "short":
            return endpoint.asks_more  # since this one was sent
        longer = endpoint.with_max_answer(sent)
        now = endpoint.asked_tokens(longer)
        if now <= endpoint.asked_tokens(sent):
            return False
        most, left = self._bound.of(longer), self.budget.left()
        billed = sending.charge.billed
        tokens = most.total + billed.tokens_at_most
        money = cost_at_most(most, endpoint.price) + billed.picodollars_at_most
        if (
            not endpoint.limiter.fits(longer.tokens_at_most)
            or (left.tokens is not None and tokens > left.tokens)
            or (left.cost_usd is not None and money > left.cost_usd * PICODOLLARS)
        ):
            return False
        endpoint.answer_length = "trying"
        self._emit(AnswerTokensRaised(endpoint=endpoint.name, before=sent.max_tokens, now=now))
        return True

    def _check_outage(self, sending: _Sending[R], failure: _Failure) -> None:
        """Count a failure of the endpoint's; raise GaveUpError if nothing has succeeded for too long."""
        error = failure.error
        if not failure.may_pass or error.adapted:
            return
        # A model's own unusable answers are no outage; another endpoint may do better after a while.
        if error.kind in PAID_FAILURES and len(self._endpoints) < 2:
            return
        self._outage.failed(error.took_s)
        if not self._outage.over_the_limit or self._gave_up:
            return
        self._gave_up = True
        failing_s = self._outage.lasted_s
        gave_up = GaveUpError(f"nothing has succeeded for {failing_s:.0f} s; the last error: {error}")
        self._emit(GaveUp(endpoint=sending.endpoint.name, failing_s=failing_s, message=str(error)))
        self._pool.fail(gave_up)
        raise gave_up from error
