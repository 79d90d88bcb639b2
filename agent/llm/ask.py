"""Ask the LLM, or a scorer: budget, endpoint, deadline, retries, outage and bill of each request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Generic

import tenacity

from ...evaluator.counts import counted
from ...evaluator.failures import Evidence, FailureKind, Fault, Judgement, NextStep, judge
from ...evaluator.messages import Message
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
from .budget import Budget, TokenBound
from .chat import A, BilledAnswer, R
from .limiter import Permit, RateLimiter
from .pool import Endpoint, EndpointPool, Outage, PooledEndpoint

GIVE_UP_AFTER_S = 1800.0
PAID_FAILURES = frozenset({FailureKind.EMPTY, FailureKind.CUT, FailureKind.DECLINED})
"""Unusable answers of the model itself: each is paid for, and the next one may be unusable too."""
REMOVING = frozenset({FailureKind.MISDIRECTED, FailureKind.CLOSED})
"""Failures for which an endpoint that is at fault is removed."""
NEVER_JSON = frozenset({"bad_json", "not_json"})
"""Reasons of garbled replies that mean, if there was no other reply, that this is no such endpoint."""
LOCAL_ATTEMPT_S = 1200.0
"""Shortest deadline of an attempt at a local model, which is slow on a busy machine."""
LOOK_AGAIN_S = 1.0
"""Seconds between two looks at an attempt's patience."""
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
        "Exponential Backoff and Jitter", AWS Architecture Blog, 2015. The bound grows even if the endpoint
        asks for one second again and again: that is an outage it does not know of. The wait is at least
        ``retry_after``, up to ``longest_asked_s``.
        """
        bound = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, 30))
        jitter = rng.uniform(0.0, bound)
        if retry_after is None:
            return jitter
        return max(min(retry_after, self.longest_asked_s) + min(jitter, 1.0), jitter)


@dataclass(frozen=True, slots=True)
class _Failure:
    """A failed attempt, as it was judged."""

    error: ChatError
    judgement: Judgement
    retry_after: float | None = None  # seconds before which no endpoint may be asked again

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


@dataclass(slots=True)
class _Asked(Generic[R]):
    """One request, and what became of its attempts so far.

    An attempt asks one endpoint after another: it fails once, when all have failed.
    """

    request: R
    failures: list[_Failure] = field(default_factory=list)  # one for each attempt
    waited_s: float = 0.0  # between them
    endpoint: str = ""  # asked last
    tried: list[PooledEndpoint] = field(default_factory=list)  # at which the attempt under way has failed
    failures_there: list[_Failure] = field(default_factory=list)  # one for each time it was sent
    most_tokens: int = 0  # answer tokens that are reserved for it
    max_tokens: int = 0  # answer tokens that were asked for last
    exhausted: int = 0  # times that all attempts failed, while others were answered
    answers_before: int = 0  # of other requests, when its attempts began

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
            if failure.judgement.step is not NextStep.WAIT and failure.retry_after is None
        ]
        took_s = sum(failure.error.took_s for failure in self.failures) + self.waited_s
        return len(tries) >= policy.attempts or self.unusable(policy) or took_s >= policy.total_s


@dataclass(slots=True)
class _Attempt(Generic[R]):
    """One sending of a request to one endpoint, and its cost from the reservation to the bill."""

    endpoint: PooledEndpoint
    permit: Permit
    request: R  # as it is sent
    longer: bool  # asks for more answer tokens than the search does
    moved: bool  # has failed at another endpoint
    reserved: Spent
    retries: int  # 1 if it is made again after a failed one
    failed: int = 0  # 1 if it gave no usable answer
    written: Spent = NOTHING  # of the reservation, on disk, so that it counts if the process is killed
    sent: bool = False  # the request may have left
    billed: Spent = NOTHING

    @property
    def used(self) -> Spent:
        return replace(self.billed, retries=self.retries, failed_calls=self.failed)

    @property
    def bill(self) -> Bill:
        return Bill(self.used, self.written)

    def bill_unknown(self) -> None:
        if self.sent:
            self.billed = self.reserved


class EndpointAsker(Generic[R, A]):
    """Asks one endpoint or several, within the limits.

    ``_ask`` retries. Each attempt goes to one endpoint after another (``_try_endpoints``), each time with a
    reservation of its own (``_reserve_and_send``). ``_deliver`` records what became of it.

    Each sending reserves the most that it can cost, waits for an endpoint, and is settled with the endpoint's
    bill. An attempt that was cut off, or an answer without usage, counts with all that was reserved. Each
    failure is judged by the table of ``evaluator.failures``. An endpoint is removed if it rejects its key,
    has no such model or no quota left.

    With several endpoints, a failed request moves at once to another one that answers; only when all have
    failed is one attempt used up. A failing endpoint is suspended for growing pauses.

    After a 429 the endpoint's ``RateLimiter`` holds back all requests, and the policy's wait this one; both
    run at the same time.

    In an outage (requests use up their attempts, none succeeds) the endpoints rest for growing pauses. After
    ``give_up_after_s`` seconds of failures alone, every request fails with GaveUpError.

    Args:
        has_answers: The run has earlier answers, so its settings are right: the meaning of a refusal does not
            depend on where a run was interrupted.
        until_at_fault: Give up a request whose attempts are used up only if it is at fault: others are
            answered. For a scorer, whose score would be wrong without it; an LLM's request costs one round.
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
        until_at_fault: bool = False,
        ledger: Ledger | None = None,
        stop: Stop | None = None,
        emit: Listener = ignore_event,
        rng: random.Random | None = None,
    ) -> None:
        self.budget = budget
        self._policy = retry or RetryPolicy()
        self._until_at_fault = until_at_fault
        self._ledger = ledger
        self._stop = stop or Stop()
        self._emit = emit
        self._rng = rng or random.Random()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._endpoints = [self._pooled(endpoint, has_answers) for endpoint in endpoints]
        self._pool = EndpointPool(self._endpoints)
        self._bound = TokenBound()
        self._outage = Outage(give_up_after_s, self._clock)
        self._gave_up = False
        self._answers = 0  # in this session
        self._control: R | None = None  # the request that was answered last

    def _pooled(self, endpoint: Endpoint, has_answers: bool) -> PooledEndpoint:
        limiter = RateLimiter(
            endpoint.name,
            endpoint.limits,
            clock=self._clock,
            rng=self._rng,
            longest_pause_s=self._policy.longest_asked_s,
            emit=self._emit,
        )
        return PooledEndpoint(endpoint, limiter, clock=self._clock, has_answered=has_answers)

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

    async def ask(self, request: R) -> BilledAnswer[A]:
        """Get one answer; a client's errors other than ChatError pass through.

        Raises:
            RequestFailedError: The attempts for this request are used up.
            BudgetSpentError: A limit is reached.
            GaveUpError: Nothing has succeeded for too long.
            FatalChatError: No endpoint can answer, or none can answer this.
        """
        return await self._ask(request, until_at_fault=self._until_at_fault)

    async def _ask(self, request: R, *, until_at_fault: bool) -> BilledAnswer[A]:
        asked = _Asked(request, answers_before=self._answers)
        policy, failures = self._policy, asked.failures
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(asked.is_worth_retrying),
            # Drawn for the last attempt too: the draws after it do not depend on the patience.
            wait=lambda _state: policy.wait_s(len(failures), failures[-1].retry_after, self._rng),
            stop=lambda _state: asked.patience_ends(policy),
            sleep=lambda wait_s: self._wait_after(asked, wait_s),
            reraise=True,
        )
        while True:
            try:
                answer: BilledAnswer[A] = await retrying(self._try_endpoints, asked)
            except ChatError as error:
                if not asked.failed_with(error):
                    raise
            else:
                self._answers, self._control = self._answers + 1, request
                return answer
            failure, error_of_request = failures[-1], self._error_of(asked)
            if isinstance(error_of_request, RequestFailedError):
                # In an outage the endpoints rest, so that the next requests are not lost as well.
                if rest_s := self._outage.request_failed():
                    for endpoint in self._pool.endpoints:
                        endpoint.limiter.rest(rest_s)
                if until_at_fault and not await self._is_at_fault(asked, error_of_request):
                    failures.clear()
                    asked.waited_s, asked.answers_before = 0.0, self._answers
                    continue
            # A failure that ends the request as it is keeps its own cause.
            cause = failure.error.__cause__ if error_of_request is failure.error else failure.error
            raise error_of_request from cause

    async def _try_endpoints(self, asked: _Asked[R]) -> BilledAnswer[A]:
        """Make one attempt: ask one endpoint after another until one answers, or none can be asked at once.

        Raises:
            ChatError: The attempt failed: the error of the last of ``asked.failures``.
        """
        while True:
            result = await self._reserve_and_send(asked)
            if isinstance(result, BilledAnswer):
                return result
            if result is None or self._asks_at_once(asked, result):
                continue
            failure = self._joint_failure(asked)
            asked.failures.append(failure)
            asked.tried.clear()
            asked.failures_there.clear()
            raise failure.error

    def _error_of(self, asked: _Asked[R]) -> ChatError | RequestFailedError:
        """Return the error that ends a request after its last failure."""
        error, judgement = asked.failures[-1].error, asked.failures[-1].judgement
        # A client object from Python has no address.
        at = f"{asked.endpoint}: " if "://" in asked.endpoint else ""
        if judgement.step is NextStep.STOP:
            return error
        if judgement.step is NextStep.DROP:
            # A filter or a full context would refuse it again, even in the next session.
            certain = error.kind in (FailureKind.TOO_LONG, FailureKind.FLAGGED)
            return RequestFailedError(
                Message(f"{at}the request is refused: ", error),
                attempts=1,
                answered=certain,
                refused=not certain,
                refusal=error if isinstance(error, BadRequestError) else None,
            )
        attempts = len(asked.failures)
        return RequestFailedError(
            Message(f"{at}no usable answer in {counted(attempts, 'attempt')}: ", error),
            attempts=attempts,
            answered=asked.unusable(self._policy),
        )

    async def _wait_after(self, asked: _Asked[R], wait_s: float) -> None:
        """Wait before the next attempt, but not beyond the time that is left."""
        failure, attempt = asked.failures[-1], len(asked.failures)
        asked.waited_s += wait_s
        self._emit(
            RetryScheduled(endpoint=asked.endpoint, attempt=attempt, wait_s=wait_s, reason=failure.reason)
        )
        left_s = self.budget.left_s()
        await asyncio.sleep(wait_s if left_s is None else min(wait_s, left_s))
        if left_s is not None and left_s <= wait_s:
            raise self.budget.minutes_spent()

    async def _is_at_fault(self, asked: _Asked[R], error: RequestFailedError) -> bool:
        """Return whether a request whose attempts are used up fails by itself, while others are answered."""
        last = asked.failures[-1]
        if error.answered or error.refused:
            return True
        if last.judgement.step is NextStep.WAIT:
            return False
        if getattr(last.error, "reason", "") in NEVER_JSON and not self.has_answered:
            return True
        evidence = Evidence(
            answers=self._control is not None,
            failures=asked.exhausted + 1,
            control=True if self._answers > asked.answers_before else None,
        )
        if judge(FailureKind.EXHAUSTED, evidence).step is NextStep.CONTROL:
            evidence = replace(evidence, control=await self._control_is_answered())
        asked.exhausted += evidence.control is True
        return judge(FailureKind.EXHAUSTED, evidence).step is NextStep.DROP

    async def _control_is_answered(self) -> bool:
        """Return whether a request that was answered before is answered again."""
        assert self._control is not None
        try:
            reply = await self._ask(self._control, until_at_fault=False)
        except RequestFailedError:
            return False
        if self._ledger is not None:
            await self._ledger(reply.bill)
        return True

    def _joint_failure(self, asked: _Asked[R]) -> _Failure:
        """Return the failure of an attempt that failed at each endpoint.

        Retry if any failure is worth it; fail the request if an endpoint that answers others refuses it; stop
        only if every endpoint refuses.
        """
        last = asked.failures_there[-1]
        if len(self._endpoints) < 2:
            return replace(last, retry_after=last.error.retry_after)
        for failure in asked.failures_there:
            if failure.may_pass:
                # Each endpoint's pause holds it back by itself: another one may be ready sooner.
                return failure
        dropped = [failure for failure in asked.failures_there if failure.judgement.step is NextStep.DROP]
        if dropped:
            return min(dropped, key=lambda failure: failure.error.kind is FailureKind.REFUSED)
        if set(self._pool.endpoints) <= {*asked.tried}:
            return last
        message = Message("refused, and the other endpoints do not answer: ", last.error)
        return _Failure(TransientChatError(message), Judgement(Fault.OPEN, NextStep.RETRY))

    def _asks_at_once(self, asked: _Asked[R], failure: _Failure) -> bool:
        """Return whether to send a failed request again at once: longer, or to another endpoint."""
        endpoint = asked.tried[-1]
        if endpoint not in self._pool.endpoints:  # removed
            if self._pool.endpoints:
                return True
            asked.failures_there[:] = [failure]
            return False
        if endpoint.with_answer_tokens(asked.request).max_tokens != asked.max_tokens:
            asked.tried.pop()
        elif len(asked.tried) > len(self._endpoints) or not self._pool.has_hope(asked.tried):
            return False
        self._emit(
            RetryScheduled(endpoint=endpoint.name, attempt=asked.attempt, wait_s=0.0, reason=failure.reason)
        )
        return True

    async def _reserve_and_send(self, asked: _Asked[R]) -> BilledAnswer[A] | _Failure | None:
        """Send the request to one endpoint; None if it was not sent, as another amount must be reserved."""
        request, tried = asked.request, asked.tried
        longest = self._longest(request)
        asked.most_tokens = longest.max_tokens
        most = self._bound.of(longest)
        reserved = await self.budget.reserve(most, self._highest_price(most))
        attempt: _Attempt[R] | None = None
        try:
            endpoint, permit = await self._permit(longest.tokens_at_most, tried)
            with permit:
                if self._outgrown(request, asked.most_tokens, reserved):
                    endpoint.limiter.unused(permit)
                    return None
                sent, moved = endpoint.for_endpoint(request), bool(tried)
                attempt = _Attempt(
                    endpoint,
                    permit,
                    sent,
                    longer=sent.max_tokens > request.max_tokens,
                    moved=moved,
                    reserved=reserved,
                    retries=int(asked.attempt > 1 or moved),
                )
                asked.endpoint, asked.max_tokens = endpoint.name, sent.max_tokens
                tried.append(endpoint)
                answer = await self._deliver(attempt)
                if isinstance(answer, _Failure):
                    asked.failures_there.append(answer)
                    return answer
                return BilledAnswer(answer, attempt.bill, endpoint.name)
        except RequestTooLargeError:
            # An endpoint that takes longer answers may have gone while this waited for it.
            if self._longest(request).max_tokens >= asked.most_tokens:
                raise
            return None
        finally:
            used = NOTHING if attempt is None else attempt.used
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
        longest = self._longest(request)
        if longest.max_tokens > most_tokens:
            return True
        most = self._bound.of(longest)
        return self.budget.depends_on_size and (
            most.total > reserved.estimated_tokens
            or cost_at_most(most, self._highest_price(most)) > reserved.estimated_picodollars
        )

    async def _permit(self, tokens: int, tried: Sequence[PooledEndpoint]) -> tuple[PooledEndpoint, Permit]:
        try:
            async with asyncio.timeout(self.budget.left_s()):
                return await self._pool.acquire(tokens, avoid=tried, moved=bool(tried))
        except TimeoutError:
            raise self.budget.minutes_spent() from None

    async def _deliver(self, attempt: _Attempt[R]) -> A | _Failure:
        """Send an attempt, and record what became of it in budget, pacing and log."""
        try:
            if self._ledger is not None and self.budget.is_limited:
                attempt.written = attempt.reserved
                await self._ledger(Bill(reserved=NOTHING.minus(attempt.reserved)))
            self._stop.check()
            attempt.sent = True
            self._stop.paid()
            try:
                answer = await self._call(attempt)
            except BaseException:
                self._stop.settled()
                raise
        except ChatError as error:
            failure = _Failure(error, attempt.endpoint.interpret_failure(error))
            self._failed(attempt, failure)
            await self._write(attempt)
            self._check_outage(attempt, failure)
            return failure
        except asyncio.CancelledError:
            attempt.bill_unknown()
            await self._write(attempt)
            raise
        except Exception:
            await self._write(attempt)
            raise
        self._succeeded(attempt, answer)
        return answer

    async def _call(self, attempt: _Attempt[R]) -> A:
        """Call the client until the deadline, or earlier if other endpoints are quicker."""
        started, deadline_s = self._clock(), self._policy.attempt_s
        try:
            try:
                async with asyncio.timeout(deadline_s) as deadline:
                    with self._watched(attempt, deadline):
                        answer: A = await attempt.endpoint.endpoint.client.chat(attempt.request)
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
    def _watched(self, attempt: _Attempt[R], deadline: asyncio.Timeout) -> Iterator[None]:
        """Move the deadline to now once the patience is over.

        A request that failed elsewhere has its full time at an endpoint that is known to answer.
        """
        probe = attempt.permit.probe
        if len(self._pool.endpoints) < 2 or (attempt.moved and not probe):
            yield
            return
        loop, started = asyncio.get_running_loop(), self._clock()
        timer = loop.call_later(LOOK_AGAIN_S, lambda: look())

        def look() -> None:
            nonlocal timer
            left = self._pool.patience_s(attempt.endpoint, probe=probe) - (self._clock() - started)
            if left <= 0:
                deadline.reschedule(loop.time())
            else:
                timer = loop.call_later(min(max(left, SOONEST_S), LOOK_AGAIN_S), look)

        try:
            yield
        finally:
            timer.cancel()

    def _succeeded(self, attempt: _Attempt[R], answer: A) -> None:
        endpoint, permit = attempt.endpoint, attempt.permit
        if answer.usage_known:
            self._learn_bill(attempt, answer.usage)
            attempt.billed = Spent.of(answer.usage, endpoint.price)
        else:
            self._bill_unknown(attempt, answer.written)
            if not endpoint.usage_missing:
                endpoint.usage_missing = True
                self._emit(UsageMissing(endpoint=endpoint.name))
        endpoint.answered(longer=attempt.longer)
        if endpoint.breaker.answered(probe=permit.probe) and endpoint.suspended:
            endpoint.suspended = False
            self._emit(EndpointResumed(endpoint=endpoint.name))
        endpoint.limiter.read_headers(permit, answer.headers)
        endpoint.limiter.succeeded(permit, answer.usage.total if answer.usage_known else permit.tokens)
        self._outage.succeeded()

    def _failed(self, attempt: _Attempt[R], failure: _Failure) -> None:
        """Record a failure in bill, pacing and breaker; adapt the answer tokens asked for here."""
        error, endpoint, permit = failure.error, attempt.endpoint, attempt.permit
        limiter = endpoint.limiter
        attempt.failed = 1
        if isinstance(error, UnusableAnswerError):
            error.final = error.kind is FailureKind.CUT and attempt.longer
        if error.usage is not None:
            attempt.billed = Spent.of(error.usage, endpoint.price)
            self._learn_bill(attempt, error.usage)
        elif error.perhaps_billed:
            self._bill_unknown(attempt, error.written if isinstance(error, UnusableAnswerError) else 0)
        limiter.read_headers(permit, error.headers)
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
            endpoint.asked_too_much(error, longer=attempt.longer)
            or self._tries_longer_answers(attempt, error)
            or self._is_excused(attempt, failure)
        ):
            wait_s = self._pool.suspend(endpoint, error, probe=permit.probe)
            if wait_s is not None and not endpoint.suspended:
                endpoint.suspended = True
                self._emit(EndpointSuspended(endpoint=endpoint.name, message=str(error), wait_s=wait_s))
        name, billed = type(error).__name__, bool(attempt.used.calls)
        self._emit(ChatFailed(endpoint=endpoint.name, error=name, message=str(error), billed=billed))

    def _is_excused(self, attempt: _Attempt[R], failure: _Failure) -> bool:
        """Return whether a failure says nothing against the endpoint.

        A model that thinks too long does so elsewhere too, unless others have given usable answers.
        """
        kind = failure.error.kind
        if kind is FailureKind.FLAGGED:
            return True
        if kind is FailureKind.CUT:
            others = [endpoint for endpoint in self._pool.endpoints if endpoint is not attempt.endpoint]
            return not any(endpoint.breaker.closed for endpoint in others)
        fault, step = failure.judgement
        return (fault is Fault.ITEM or step is NextStep.WAIT) and not attempt.permit.probe

    def _bill_unknown(self, attempt: _Attempt[R], written: int) -> None:
        """Bill what was reserved, or more if more tokens than that were written."""
        attempt.bill_unknown()
        if written <= attempt.request.max_tokens:
            return
        most = TokenUsage(self._bound.of(attempt.request).prompt_tokens, written)
        self._bound.learn(attempt.request, TokenUsage(0, written))
        if most.total > attempt.reserved.estimated_tokens:
            money = cost_at_most(most, attempt.endpoint.price)
            attempt.billed = Spent(calls=1, estimated_tokens=most.total, estimated_picodollars=money)

    def _learn_bill(self, attempt: _Attempt[R], usage: TokenUsage) -> None:
        self._bound.learn(attempt.request, usage)
        if attempt.endpoint.price is not None:
            attempt.endpoint.price.learn(usage)

    def _tries_longer_answers(self, attempt: _Attempt[R], error: ChatError) -> bool:
        """Ask for longer answers from now on if one was cut before it began, and limits allow it.

        Return whether that explains the failure.
        """
        if attempt.longer or error.kind is not FailureKind.CUT:
            return False
        endpoint, sent = attempt.endpoint, attempt.request
        if endpoint.answer_length != "short":
            return endpoint.asks_more  # since this one was sent
        longer = endpoint.with_max_answer(sent)
        now = endpoint.asked_tokens(longer)
        if now <= endpoint.asked_tokens(sent):
            return False
        most, left = self._bound.of(longer), self.budget.left()
        tokens = most.total + attempt.used.tokens_at_most
        money = cost_at_most(most, endpoint.price) + attempt.used.picodollars_at_most
        if (
            not endpoint.limiter.fits(longer.tokens_at_most)
            or (left.tokens is not None and tokens > left.tokens)
            or (left.cost_usd is not None and money > left.cost_usd * PICODOLLARS)
        ):
            return False
        endpoint.answer_length = "trying"
        self._emit(AnswerTokensRaised(endpoint=endpoint.name, before=sent.max_tokens, now=now))
        return True

    def _check_outage(self, attempt: _Attempt[R], failure: _Failure) -> None:
        """Count a failure of the endpoint's; raise GaveUpError if nothing has succeeded for too long."""
        error = failure.error
        if not failure.may_pass:
            return
        # A model's own unusable answers are no outage; another endpoint may do better after a while.
        if error.kind in PAID_FAILURES and len(self._endpoints) < 2:
            return
        self._outage.failed(error.took_s)
        if not self._outage.over_the_limit or self._gave_up:
            return
        self._gave_up = True
        failing_s = self._outage.lasted_s
        gave_up = GaveUpError(f"nothing has succeeded for {failing_s:.0f} s; the last error: ", error)
        self._emit(GaveUp(endpoint=attempt.endpoint.name, failing_s=failing_s, message=str(error)))
        self._pool.fail(gave_up)
        raise gave_up from error

    async def _write(self, attempt: _Attempt[R]) -> None:
        if self._ledger is not None and attempt.bill != NO_BILL:
            await self._ledger(attempt.bill)
