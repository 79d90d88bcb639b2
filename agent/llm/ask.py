"""Ask the LLM, or a scorer behind an API, within limits.

A request (``EndpointAsker.ask``) has several attempts, with waits between them. An attempt reserves the most
that it can cost, waits for the endpoint (``RateLimiter.acquire``) and is sent; its outcome goes into bill and
pacing. What a failure means is decided by the table of ``evaluator.failures`` alone.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeAlias

import tenacity

from ...evaluator.counts import counted
from ...evaluator.failures import RULES, Evidence, FailureKind, NextStep, judge
from ..config.fields import MOST_ATTEMPTS, REQUEST_TIMEOUT_S, RETRY_ATTEMPTS
from ..errors import (
    BadRequestError,
    ChatError,
    GaveUpError,
    RateLimitedError,
    RequestFailedError,
    TransientChatError,
    UnusableAnswerError,
)
from ..events.types import (
    AnswerTokensRaised,
    ChatFailed,
    Listener,
    Noted,
    RetryScheduled,
    UsageMissing,
    ignore_event,
)
from ..prices import NO_BILL, NOTHING, Bill, Ledger, Spent, Tariff, TokenUsage
from ..stop import Stop
from .budget import Budget, Charge
from .chat import A, BilledAnswer, Client, R, tokens_at_most
from .limiter import Permit, RateLimiter, RateLimits

GIVE_UP_AFTER_S = 1800.0
LONGEST_ASKED_S = 120.0
"""Longest wait that the endpoint may ask for; after that it is tried anyway."""
LONGEST_REST_S = 300.0
"""Of the endpoint in an outage."""
MOST_ADAPTED = 8
"""Refusals of one request after which it is sent in another form; each concerns something else."""
MORE_TOKENS = 4
"""Factor by which answers are made longer, once, if they are cut before they begin."""
_Failures: TypeAlias = Counter[FailureKind | NextStep]
"""Failed attempts at one request, by kind and by what followed."""
_PASSING = (NextStep.RETRY, NextStep.WAIT, NextStep.AGAIN)
"""What follows if the same request may be answered later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The place that answers.

    Attributes:
        name: Its name in reports.
        price: None if unknown.
        content: Hash of the file of a user's own local model; None if the name identifies it.
        slowest_s: Shortest deadline of an attempt, in seconds: a local model is slow on a busy machine.
    """

    name: str
    client: Client
    price: Tariff | None = None
    limits: RateLimits = field(default_factory=RateLimits)
    content: str | None = None
    slowest_s: float = 0.0


def _error_of(retry_state: tenacity.RetryCallState) -> ChatError:
    """Return the error of the failed attempt."""
    assert retry_state.outcome is not None
    error = retry_state.outcome.exception()
    assert isinstance(error, ChatError)
    return error


class WaitAsAsked(tenacity.wait.wait_base):
    """Wait as long as the endpoint asks for, and a little more; not at all before another form is sent."""

    # Drawn from all of the interval: requests that fail together should not come back together.
    of_our_own = tenacity.wait_random_exponential(multiplier=2.0, max=60.0, min=0.5)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = _error_of(retry_state)
        if error.step is NextStep.AGAIN:
            return 0.0
        if not error.retry_after:
            return self.of_our_own(retry_state)
        asked_s = min(error.retry_after, LONGEST_ASKED_S)
        return asked_s + random.uniform(0.0, min(1.0, asked_s / 2))


class _Outage:
    """A time in which no attempt succeeds."""

    def __init__(self, give_up_after_s: float, clock: Callable[[], float]) -> None:
        self.give_up_after_s = give_up_after_s
        self._clock = clock
        self._since: float | None = None
        self._requests = 0

    @property
    def lasted_s(self) -> float:
        """Seconds since the start of the first failure after the last success; 0 after a success."""
        return 0.0 if self._since is None else self._clock() - self._since

    def succeeded(self) -> None:
        self._since = None
        self._requests = 0

    def failed(self, started: float) -> None:
        """Record a failed attempt that was started then."""
        self._since = started if self._since is None else self._since

    def request_failed(self) -> float:
        """Count a request whose attempts all failed; return the seconds that the endpoint rests after it.

        It rests as long as the outage has lasted, so that the next requests do not fail too; but not after
        the first request, which may have failed by itself, nor beyond the time to give up.
        """
        self._requests += 1
        if self._requests < 2:
            return 0.0
        return max(min(self.lasted_s, LONGEST_REST_S, self.give_up_after_s - self.lasted_s), 0.0)


class EndpointAsker(Generic[R, A]):
    """Asks one endpoint, within the limits.

    A sending that was cut off, or an answer without usage, counts with all that was reserved.

    After a 429, or if the endpoint asks for a wait, all requests wait as long as the failed one. In an outage
    (requests use up their attempts, none succeeds) the endpoint rests for growing pauses. After
    ``give_up_after_s`` seconds of failures alone, every request fails with GaveUpError. If no request can
    succeed any more (a rejected key, no such model, no quota left), all that wait fail with that error.

    Args:
        attempts: Most attempts at a request, not counting those after which the endpoint asks for a wait.
        attempt_s: Seconds that the endpoint may take to answer.
        has_answers: The run has earlier answers, so its settings are right: the meaning of a refusal does not
            depend on where a run was interrupted.
        ledger: None stores nothing.
        stop: Once it is requested, no attempt starts; attempts under way are marked as paid.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        budget: Budget,
        attempts: int = RETRY_ATTEMPTS,
        attempt_s: float = REQUEST_TIMEOUT_S,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        has_answers: bool = False,
        ledger: Ledger | None = None,
        stop: Stop | None = None,
        emit: Listener = ignore_event,
    ) -> None:
        self.budget = budget
        self.has_answered = has_answers
        self._endpoint = endpoint
        self._attempts = attempts
        self._attempt_s = max(attempt_s, endpoint.slowest_s)
        self._ledger = ledger
        self._stop = stop or Stop()
        self._emit = emit
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._limiter = RateLimiter(endpoint.name, endpoint.limits, clock=self._clock, emit=emit)
        self._outage = _Outage(give_up_after_s, self._clock)
        self._in_a_row = Counter[FailureKind]()
        self._usage_missing = self._zero_noted = False
        # Answer tokens asked for: as many as by the search ("short"), more on trial ("trying"), more because
        # that was answered ("long"), no more because that was refused ("capped").
        self._answer_length: Literal["short", "trying", "long", "capped"] = "short"

    # A request: attempts, and waits between them.

    async def ask(self, request: R) -> BilledAnswer[A]:
        """Get one answer; a client's errors other than ChatError pass through.

        Raises:
            RequestFailedError: The attempts for this request are used up.
            BudgetSpentError: A limit is reached.
            GaveUpError: Nothing has succeeded for too long.
            FatalChatError: The endpoint cannot answer, or cannot answer this.
        """
        failures = _Failures()

        def may_pass(error: BaseException) -> bool:
            """Return whether to try again; it is free where the endpoint asks for a wait or another form."""
            patient = failures[NextStep.RETRY] < self._attempts
            return isinstance(error, ChatError) and error.step in _PASSING and patient

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(may_pass),
            wait=WaitAsAsked(),
            stop=tenacity.stop_after_attempt(MOST_ATTEMPTS),
            before_sleep=self._before_wait,
            sleep=self._wait,
            reraise=True,
        )
        try:
            answer: BilledAnswer[A] = await retrying(self._attempt, request, failures)
            return answer
        except ChatError as error:
            if error.step in (None, NextStep.STOP):
                raise
            if error.step in _PASSING and (rest_s := self._outage.request_failed()):
                self._limiter.pause(rest_s)
            attempts = retrying.statistics["attempt_number"]
            why = f"no usable answer in {counted(attempts, 'attempt')}"
            if isinstance(error, BadRequestError):
                why = "the request is refused"
            if "://" in self._endpoint.name:  # a client object from Python has no address
                why = f"{self._endpoint.name}: {why}"
            raise RequestFailedError(f"{why}: {error}", kind=error.kind, attempts=attempts) from error

    def _before_wait(self, retry_state: tenacity.RetryCallState) -> None:
        """Report that a failed request waits; let all others wait with it if the endpoint asks for that."""
        error, wait_s = _error_of(retry_state), retry_state.upcoming_sleep
        if error.step is NextStep.AGAIN:
            return
        if error.step is NextStep.WAIT:
            self._limiter.pause(wait_s, error.retry_after)
        reason = "unusable" if RULES[error.kind].answered else "transient"
        self._emit(
            RetryScheduled(
                endpoint=self._endpoint.name,
                attempt=retry_state.attempt_number,
                wait_s=wait_s,
                reason="rate_limited" if error.kind is FailureKind.BUSY else reason,
            )
        )

    async def _wait(self, wait_s: float) -> None:
        """Wait before the next attempt, but not beyond the time that is left."""
        left_s = self.budget.left_s()
        await asyncio.sleep(wait_s if left_s is None else min(wait_s, left_s))
        self.budget.check_time()

    # An attempt: reservation, endpoint, deadline.

    async def _attempt(self, request: R, failures: _Failures) -> BilledAnswer[A]:
        """Send a request once; ``failures`` are those of its earlier attempts.

        Raises:
            ChatError: The attempt failed, and was judged.
        """
        while True:
            sent = self._with_answer_tokens(request)
            reserved = await self.budget.reserve(tokens_at_most(sent), self._endpoint.price)
            charge = Charge(sent, reserved, self._endpoint.price)
            try:
                try:
                    async with asyncio.timeout(self.budget.left_s()):
                        permit = await self._limiter.acquire(tokens_at_most(sent).total)
                except TimeoutError:
                    raise self.budget.minutes_spent() from None
                with permit:
                    if self._with_answer_tokens(request).max_tokens > sent.max_tokens:
                        self._limiter.unused(permit)  # another request has shown that more is needed
                        continue
                    charge.retries = int(failures[NextStep.RETRY] + failures[NextStep.WAIT] > 0)
                    answer = await self._send(request, permit, charge, failures)
                    return BilledAnswer(answer, charge.bill, self._endpoint.name)
            finally:
                self.budget.settle(reserved, charge.used)
                if charge.used != NOTHING and self.budget.is_report_due():
                    self._emit(self.budget.usage_changed())

    async def _send(self, request: R, permit: Permit, charge: Charge[R], failures: _Failures) -> A:
        """Send it, and record what became of it.

        A failure's bill is written here. An answer's is not, and the stop still counts it as paid: the caller
        of ``ask`` writes answer and bill together, then calls ``Stop.settled``.
        """
        try:
            if self._ledger is not None:
                charge.reserved_on_disk = charge.reserved
                await self._ledger(Bill.reserving(charge.reserved))
            self._stop.check()
            charge.sent = True
            self._stop.paid()
            answer = await self._call(charge.request)
        except (Exception, asyncio.CancelledError) as error:
            self._stop.settled()
            if isinstance(error, ChatError):
                self._failed(error, request, permit, charge, failures)
            elif charge.sent and isinstance(error, asyncio.CancelledError):
                charge.book(None)
            if self._ledger is not None and charge.bill != NO_BILL:
                await self._ledger(charge.bill)
            if isinstance(error, ChatError):
                self._check_outage(error, permit.admitted)
            raise
        self._succeeded(request, answer, permit, charge)
        return answer

    async def _call(self, sent: R) -> A:
        """Call the client until the deadline."""
        try:
            async with asyncio.timeout(self._attempt_s):
                answer: A = await self._endpoint.client.chat(sent)
                return answer
        except TimeoutError as error:
            late = f"no answer within {self._attempt_s:.3g} s"
            raise TransientChatError(late, perhaps_billed=True) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling() > 0:
                raise
            raise TransientChatError("the call was cancelled from within", perhaps_billed=True) from error

    # What became of an attempt: bill, pacing, outage.

    def _succeeded(self, request: R, answer: A, permit: Permit, charge: Charge[R]) -> None:
        charge.book(answer.usage if answer.usage_known else answer.billed, answer.written)
        if not answer.usage_known and not self._usage_missing:
            self._usage_missing = True
            self._emit(UsageMissing(endpoint=self._endpoint.name))
        if not self._zero_noted and (zero := self._zero_cost(answer.usage, charge.billed)):
            self._zero_noted = True
            self._emit(Noted(text=f"{self._endpoint.name} {zero}"))
        self.has_answered = True
        self._in_a_row.clear()
        if self._answer_length == "trying" and charge.request.max_tokens > request.max_tokens:
            self._answer_length = "long"
        self._limiter.read_headers(permit, answer.headers)
        self._limiter.succeeded(permit, answer.usage.total if answer.usage_known else permit.tokens)
        self._outage.succeeded()

    def _zero_cost(self, usage: TokenUsage, billed: Spent) -> str:
        """Return what a report of no cost means, or no cost under a limit; empty if there is a cost."""
        reported = usage.vendor_picodollars
        if reported is not None and billed.picodollars > reported:
            what = "nothing but a fee" if reported else "a cost of zero"
            return f"reports {what} for tokens that have a price: they count at that price"
        if self.budget.limits.cost_usd is None or billed.picodollars_at_most:
            return ""
        return "costs nothing by its price: `max_cost` limits nothing there"

    def _failed(
        self, error: ChatError, request: R, permit: Permit, charge: Charge[R], failures: _Failures
    ) -> None:
        """Judge a failure, and record it in bill and pacing; adapt the answer tokens asked for."""
        if error.usage is not None or error.perhaps_billed:
            charge.book(error.usage, error.written)
        error.adapted = (error.adapted or self._adapt_length(error, request, charge)) and (
            failures[FailureKind.ADAPTED] < MOST_ADAPTED
        )
        failures[error.kind] += 1
        self._in_a_row[error.kind] += 1
        # No control is asked for here: the other requests are control enough, and cost nothing more.
        evidence = Evidence(
            answers=self.has_answered,
            failures=failures[error.kind],
            in_a_row=self._in_a_row[error.kind],
            control=False,
        )
        error.step = judge(error.kind, evidence)
        if error.step is NextStep.RETRY and error.retry_after:
            error.step = NextStep.WAIT
        failures[error.step] += 1
        self._limiter.read_headers(permit, error.headers)
        if error.step is NextStep.AGAIN and not charge.billed.calls:
            return  # the endpoint is well, and nothing is lost
        charge.failed = 1
        if isinstance(error, RateLimitedError):
            self._limiter.rate_limited(permit, tokens="token" in str(error).lower())
        if error.step is NextStep.STOP and RULES[error.kind].closes:
            # Before the permit is given back, or it would let the next one run into the same refusal.
            self._limiter.fail(error)
        name, billed = type(error).__name__, bool(charge.billed.calls)
        self._emit(ChatFailed(endpoint=self._endpoint.name, error=name, message=str(error), billed=billed))

    def _check_outage(self, error: ChatError, started: float) -> None:
        """Count a failure of the endpoint's; raise GaveUpError if nothing has succeeded for too long."""
        # A model's own unusable answers are no outage.
        if error.step not in (NextStep.RETRY, NextStep.WAIT) or RULES[error.kind].answered:
            return
        self._outage.failed(started)
        failing_s = self._outage.lasted_s
        if failing_s < self._outage.give_up_after_s or self._limiter.failure is not None:
            return
        gave_up = GaveUpError(f"nothing has succeeded for {failing_s:.0f} s; the last error: {error}")
        self._limiter.fail(gave_up)
        raise gave_up from error

    # Longer answers: asked for once one was cut before it began, if the endpoint allows them.

    def _with_answer_tokens(self, request: R) -> R:
        """Return a request with as many answer tokens as are asked for now, if a minute allows them."""
        if self._answer_length not in ("trying", "long"):
            return request
        longer = _longer(request)
        return longer if self._limiter.fits(tokens_at_most(longer).total) else request

    def _adapt_length(self, error: ChatError, request: R, charge: Charge[R]) -> bool:
        """Change how many answer tokens are asked for, if a failure calls for it; return whether it does."""
        if charge.request.max_tokens > request.max_tokens:
            if isinstance(error, UnusableAnswerError):
                error.final = error.reason == "length"
            if self._answer_length != "trying" or not isinstance(error, BadRequestError):
                return False
            self._answer_length = "capped"
            return True
        longer = _longer(request)
        fits = self._limiter.fits(tokens_at_most(longer).total)
        if error.kind is not FailureKind.CUT or self._answer_length == "capped" or not fits:
            return False
        if self._answer_length == "short":
            self._answer_length = "trying"
            before, now = request.max_tokens, longer.max_tokens
            self._emit(AnswerTokensRaised(endpoint=self._endpoint.name, before=before, now=now))
        return True


def _longer(request: R) -> R:
    return replace(request, max_tokens=request.max_tokens * MORE_TOKENS)
