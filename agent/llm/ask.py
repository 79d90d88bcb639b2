"""Asks the LLM, or a scorer: budget, endpoint, deadline, retries, outage and bill of each request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Generic

from ..errors import (
    ChatError,
    FatalChatError,
    FlaggedRequestError,
    GaveUpError,
    KeyRejectedError,
    ModelNotFoundError,
    QuotaSpentError,
    RateLimitedError,
    RedirectedError,
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
from ..prices import PICODOLLARS, TokenUsage
from .budget import Budget, TokenBound
from .chat import A, BilledAnswer, R
from .cost import NO_BILL, NOTHING, Bill, Ledger, Spent, Tariff, cost_at_most
from .limiter import Permit, RateLimiter
from .pool import Endpoint, EndpointPool, Member
from .retry import FailureKind, Outage, RetryPolicy, classify, retrying

GIVE_UP_AFTER_S = 1800.0
UNFIT = (KeyRejectedError, ModelNotFoundError, QuotaSpentError, RedirectedError)
"""Errors for which an endpoint is removed; others may still answer."""
OF_THE_REQUEST = frozenset({"content_filter", "refusal"})
"""Unusable answers that are caused by the request rather than the endpoint."""
LOOK_AGAIN_S = 1.0
"""Seconds between two looks at an attempt's patience."""
SOONEST_S = 0.01


@dataclass(slots=True)
class _Asked(Generic[R]):
    request: R
    endpoint: str = ""  # asked last
    number: int = 1  # of the attempt
    tried: list[Member] = field(default_factory=list)  # endpoints at which the attempt has failed
    most_tokens: int = 0  # answer tokens that are reserved for it
    max_tokens: int = 0  # answer tokens that were asked for last


@dataclass(slots=True)
class _Attempt(Generic[R]):
    """One attempt at one endpoint, and its cost from the reservation to the bill."""

    member: Member
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

    Each attempt reserves the most that it can cost, waits for an endpoint, and is settled with the endpoint's
    bill. An attempt that was cut off, or an answer without usage, counts with all that was reserved. An
    endpoint is removed if it rejects its key, has no such model or no quota left.

    With several endpoints, a failed request moves at once to another one that answers; only when all have
    failed is one attempt used up. A failing endpoint is suspended for growing pauses.

    In an outage (requests use up their attempts, none succeeds) the endpoints rest for growing pauses. After
    ``give_up_after_s`` seconds of failures alone, every request fails with GaveUpError.

    Args:
        has_answers: The run has earlier answers, so its settings are right: the meaning of a refusal does not
            depend on where a run was interrupted.
        ledger: None stores nothing.
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
        emit: Listener = ignore_event,
        rng: random.Random | None = None,
    ) -> None:
        self.budget = budget
        self._policy = retry or RetryPolicy()
        self._ledger = ledger
        self._emit = emit
        self._rng = rng or random.Random()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._members = [self._member(endpoint, has_answers) for endpoint in endpoints]
        self._pool = EndpointPool(self._members)
        self._bound = TokenBound()
        self._outage = Outage(give_up_after_s, self._clock)
        self._gave_up = False

    def _member(self, endpoint: Endpoint, has_answers: bool) -> Member:
        limiter = RateLimiter(
            endpoint.name,
            endpoint.limits,
            clock=self._clock,
            rng=self._rng,
            longest_pause_s=self._policy.longest_asked_s,
            emit=self._emit,
        )
        return Member(endpoint, limiter, clock=self._clock, has_answered=has_answers)

    def close(self) -> None:
        """Report the limits of each endpoint that is still in use."""
        for member in self._pool.members:
            paces = member.limiter
            rpm, tpm = paces.a_minute("requests"), paces.a_minute("tokens")
            self._emit(EndpointPaced(endpoint=member.name, in_flight=paces.places, rpm=rpm, tpm=tpm))

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
        asked = _Asked(request)

        def report(attempt: int, wait_s: float, kind: FailureKind) -> None:
            self._emit(RetryScheduled(endpoint=asked.endpoint, attempt=attempt, wait_s=wait_s, reason=kind))

        async def once(number: int) -> BilledAnswer[A]:
            asked.number = number
            return await self._attempt_everywhere(asked)

        try:
            return await retrying(once, self._policy, rng=self._rng, sleep=self._sleep, on_retry=report)
        except RequestFailedError as error:
            if wait := self._outage.rest_s():
                for member in self._pool.members:
                    member.limiter.rest(wait)
            # A client object from Python has no address.
            if "://" not in asked.endpoint:
                raise
            error.args = (f"{asked.endpoint}: {error}",)
            raise

    async def _attempt_everywhere(self, asked: _Asked[R]) -> BilledAnswer[A]:
        """Make one attempt, at as many endpoints as may answer."""
        asked.tried.clear()
        failures: list[ChatError | RequestFailedError] = []
        while True:
            try:
                if (reply := await self._reserve_and_send(asked)) is not None:
                    return reply
            except UNFIT:
                if not self._pool.members:
                    raise
            except RequestTooLargeError:
                # An endpoint that takes longer answers may have gone while this waited for it.
                if self._longest(asked.request).max_tokens >= asked.most_tokens:
                    raise
            except (ChatError, RequestFailedError) as error:
                failures.append(error)
                if not self._moves_on(asked, classify(error)):
                    raise self._joint_error(asked, failures)  # noqa: B904 - it has a cause of its own

    def _joint_error(
        self, asked: _Asked[R], failures: Sequence[ChatError | RequestFailedError]
    ) -> ChatError | RequestFailedError:
        """Return the error of an attempt that failed at each endpoint.

        Retry if any failure is worth it; fail the request if an endpoint that answers others refuses it; stop
        only if every endpoint refuses.
        """
        last = failures[-1]
        if len(self._members) < 2:
            return last
        for error in failures:
            if isinstance(error, ChatError) and classify(error) != "no":
                # Each endpoint's pause holds it back by itself: another one may be ready sooner.
                error.retry_after = None
                return error
        refusals = (error for error in failures if isinstance(error, RequestFailedError))
        refused = min(refusals, key=lambda error: error.refused, default=None)
        if refused is not None or set(self._pool.members) <= {*asked.tried}:
            return refused or last
        return TransientChatError(f"refused, and the other endpoints do not answer: {last}")

    def _moves_on(self, asked: _Asked[R], kind: FailureKind) -> bool:
        """Return whether to send a failed request again at once: longer, or to another endpoint."""
        member = asked.tried[-1]
        if member.lengthened(asked.request).max_tokens != asked.max_tokens:
            asked.tried.pop()
        elif len(asked.tried) > len(self._members) or not self._pool.has_hope(asked.tried):
            return False
        self._emit(RetryScheduled(endpoint=member.name, attempt=asked.number, wait_s=0.0, reason=kind))
        return True

    async def _reserve_and_send(self, asked: _Asked[R]) -> BilledAnswer[A] | None:
        """Make the attempt at one endpoint; None if more has to be reserved for it first."""
        request, tried = asked.request, asked.tried
        longest = self._longest(request)
        asked.most_tokens = longest.max_tokens
        most = self._bound.of(longest)
        reserved = await self.budget.reserve(most, self._highest_price(most))
        attempt: _Attempt[R] | None = None
        try:
            member, permit = await self._permit(longest.tokens_at_most, tried)
            with permit:
                if self._outgrown(request, asked.most_tokens, reserved):
                    member.limiter.unused(permit)
                    return None
                sent, moved = member.addressed(request), bool(tried)
                attempt = _Attempt(
                    member,
                    permit,
                    sent,
                    longer=sent.max_tokens > request.max_tokens,
                    moved=moved,
                    reserved=reserved,
                    retries=int(asked.number > 1 or moved),
                )
                asked.endpoint, asked.max_tokens = member.name, sent.max_tokens
                tried.append(member)
                answer = await self._deliver(attempt)
                return BilledAnswer(answer, attempt.bill, member.name)
        finally:
            used = NOTHING if attempt is None else attempt.used
            self.budget.settle(reserved, used)
            if used != NOTHING:
                self._emit(self.budget.usage_changed())

    def _longest(self, request: R) -> R:
        return max(
            (member.lengthened(request) for member in self._pool.members),
            key=lambda each: each.max_tokens,
            default=request,
        )

    def _highest_price(self, tokens: TokenUsage) -> Tariff | None:
        prices = [member.price for member in self._pool.members if member.price is not None]
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

    async def _permit(self, tokens: int, tried: Sequence[Member]) -> tuple[Member, Permit]:
        try:
            async with asyncio.timeout(self.budget.left_s()):
                return await self._pool.acquire(tokens, avoid=tried, moved=bool(tried))
        except TimeoutError:
            raise self.budget.minutes_spent() from None

    async def _sleep(self, seconds: float) -> None:
        left = self.budget.left_s()
        await asyncio.sleep(seconds if left is None else min(seconds, left))
        if left is not None and left <= seconds:
            raise self.budget.minutes_spent()

    async def _deliver(self, attempt: _Attempt[R]) -> A:
        try:
            if self._ledger is not None and self.budget.is_limited:
                attempt.written = attempt.reserved
                await self._ledger(Bill(reserved=NOTHING.minus(attempt.reserved)))
            attempt.sent = True
            answer = await self._call(attempt)
        except ChatError as said:
            error = attempt.member.judged(said)
            failure = said if isinstance(error, RequestFailedError) else error
            self._failed(attempt, failure, spared=self._spares(attempt, said, error))
            await self._write(attempt)
            self._check_outage(attempt, failure)
            raise error from said.__cause__
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
                        answer: A = await attempt.member.endpoint.client.chat(attempt.request)
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
        if len(self._pool.members) < 2 or (attempt.moved and not probe):
            yield
            return
        loop, started = asyncio.get_running_loop(), self._clock()
        timer = loop.call_later(LOOK_AGAIN_S, lambda: look())

        def look() -> None:
            nonlocal timer
            left = self._pool.patience_s(attempt.member, probe=probe) - (self._clock() - started)
            if left <= 0:
                deadline.reschedule(loop.time())
            else:
                timer = loop.call_later(min(max(left, SOONEST_S), LOOK_AGAIN_S), look)

        try:
            yield
        finally:
            timer.cancel()

    def _succeeded(self, attempt: _Attempt[R], answer: A) -> None:
        member, permit = attempt.member, attempt.permit
        if answer.usage_known:
            self._learn_bill(attempt, answer.usage)
            attempt.billed = Spent.of(answer.usage, member.price)
        else:
            self._bill_unknown(attempt, answer.written)
            if not member.usage_missing:
                member.usage_missing = True
                self._emit(UsageMissing(endpoint=member.name))
        member.answered(longer=attempt.longer)
        if member.breaker.answered(probe=permit.probe) and member.suspended:
            member.suspended = False
            self._emit(EndpointResumed(endpoint=member.name))
        member.limiter.read_headers(permit, answer.headers)
        member.limiter.succeeded(permit, answer.usage.total if answer.usage_known else permit.tokens)
        self._outage.succeeded()

    def _failed(self, attempt: _Attempt[R], error: ChatError, *, spared: bool) -> None:
        """Record a failure; ``spared``: it does not count against the endpoint."""
        member, permit, limiter = attempt.member, attempt.permit, attempt.member.limiter
        attempt.failed = 1
        if isinstance(error, UnusableAnswerError):
            error.final = error.reason == "length" and attempt.longer
        if error.usage is not None:
            attempt.billed = Spent.of(error.usage, member.price)
            self._learn_bill(attempt, error.usage)
        elif error.perhaps_billed:
            self._bill_unknown(attempt, error.written if isinstance(error, UnusableAnswerError) else 0)
        limiter.read_headers(permit, error.headers)
        if isinstance(error, RateLimitedError):
            limiter.refused(permit, error.retry_after, tokens="token" in str(error).lower())
        else:
            limiter.failed(error.retry_after)
        if isinstance(error, UNFIT) and limiter.closed is None:
            # Before the permit is given back, or it would let the next one run into the same refusal.
            left = self._pool.remove(member, error)
            self._emit(EndpointRemoved(endpoint=member.name, message=str(error), left=left))
        elif not (
            member.asked_too_much(error, longer=attempt.longer) or self._lengthens(attempt, error) or spared
        ):
            wait = self._pool.suspend(member, error, probe=permit.probe)
            if wait is not None and not member.suspended:
                member.suspended = True
                self._emit(EndpointSuspended(endpoint=member.name, message=str(error), wait_s=wait))
        name, billed = type(error).__name__, bool(attempt.used.calls)
        self._emit(ChatFailed(endpoint=member.name, error=name, message=str(error), billed=billed))

    def _spares(self, attempt: _Attempt[R], said: ChatError, error: ChatError | RequestFailedError) -> bool:
        """Return whether a failure says nothing against the endpoint.

        A model that thinks too long does so elsewhere too, unless others have given usable answers.
        """
        if isinstance(said, FlaggedRequestError):
            return True
        if isinstance(said, UnusableAnswerError) and said.reason in OF_THE_REQUEST:
            return not attempt.permit.probe
        if isinstance(said, UnusableAnswerError) and said.reason == "length":
            return not any(one.breaker.closed for one in self._pool.members if one is not attempt.member)
        return isinstance(error, RateLimitedError | RequestFailedError) and not attempt.permit.probe

    def _bill_unknown(self, attempt: _Attempt[R], written: int) -> None:
        """Bill what was reserved, or more if more tokens than that were written."""
        attempt.bill_unknown()
        if written <= attempt.request.max_tokens:
            return
        most = TokenUsage(self._bound.of(attempt.request).prompt_tokens, written)
        self._bound.learn(attempt.request, TokenUsage(0, written))
        if most.total > attempt.reserved.estimated_tokens:
            money = cost_at_most(most, attempt.member.price)
            attempt.billed = Spent(calls=1, estimated_tokens=most.total, estimated_picodollars=money)

    def _learn_bill(self, attempt: _Attempt[R], usage: TokenUsage) -> None:
        self._bound.learn(attempt.request, usage)
        if attempt.member.price is not None:
            attempt.member.price.learn(usage)

    def _lengthens(self, attempt: _Attempt[R], error: ChatError) -> bool:
        """Ask for longer answers if they are cut before they begin, and limits allow it."""
        if attempt.longer or not isinstance(error, UnusableAnswerError) or error.reason != "length":
            return False
        member, sent = attempt.member, attempt.request
        if member.answers != "short":
            return member.asks_more  # since this one was sent
        client, longer = member.endpoint.client, member.longest(sent)
        now = client.asked_tokens(longer)
        if now <= client.asked_tokens(sent):
            return False
        most, left = self._bound.of(longer), self.budget.left()
        tokens = most.total + attempt.used.tokens_at_most
        money = cost_at_most(most, member.price) + attempt.used.picodollars_at_most
        if (
            not member.limiter.fits(longer.tokens_at_most)
            or (left.tokens is not None and tokens > left.tokens)
            or (left.cost_usd is not None and money > left.cost_usd * PICODOLLARS)
        ):
            return False
        member.answers = "trying"
        self._emit(AnswerTokensRaised(endpoint=member.name, before=sent.max_tokens, now=now))
        return True

    def _check_outage(self, attempt: _Attempt[R], error: ChatError) -> None:
        if isinstance(error, FatalChatError):
            return
        # A model's own unusable answers are no outage; another endpoint may do better after a while.
        if classify(error) == "unusable" and len(self._members) < 2:
            return
        self._outage.failed(error.took_s)
        if not self._outage.over_the_limit or self._gave_up:
            return
        self._gave_up = True
        failing_s = self._outage.lasted_s
        gave_up = GaveUpError(f"nothing has succeeded for {failing_s:.0f} s; the last error: {error}")
        self._emit(GaveUp(endpoint=attempt.member.name, failing_s=failing_s, message=str(error)))
        self._pool.fail(gave_up)
        raise gave_up from error

    async def _write(self, attempt: _Attempt[R]) -> None:
        if self._ledger is not None and attempt.bill != NO_BILL:
            await self._ledger(attempt.bill)
