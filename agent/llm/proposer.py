"""Asks chat endpoints for one answer: budget, pacing, the attempt; elsewhere, or again, if that helps."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ..errors import ChatError, RequestFailedError, RequestTooLargeError, TransientChatError
from ..events import EndpointPaced, Listener, RetryScheduled, unheard
from .budget import Budget
from .delivery import UNFIT, Delivery
from .endpoint import Endpoint, Reply
from .member import Member
from .outage import Outage
from .pacing import Pacer, Permit, RateLimiter
from .reserving import Reserving
from .retry import Decision, RetryPolicy, classify, retrying
from .spending import Ledger, Spending
from .standing import Standing
from .token_bound import TokenBound
from .told_price import ToldPrice
from .types import ChatRequest
from .usage import NOTHING

GIVE_UP_AFTER_S = 1800.0


class Proposer:
    """Asks one endpoint or several, within the limits.

    For each attempt the most that it can cost is reserved (``budget``), leave is waited for (``pacing``),
    and the reservation is settled with what the endpoint says it billed (``delivery``); an attempt that was
    cut off, or an answer without usage, counts with all that was reserved. A failed attempt is made again as
    ``retry`` decides. An endpoint that rejects its key, has no such model or no quota left is taken out; the
    others go on. What a refusal means depends on whether the endpoint has answered before (``standing``).

    Several endpoints: what fails at one is asked of another at once, as long as there is one that answers and
    has not failed this request; only when all have is one attempt used up. Whoever fails is set aside for a
    growing while (``pacing.breaker``).

    An outage: when one request after another has used up its attempts and none has succeeded, the endpoints
    are left alone for a growing while before the next (``outage``), so that it does not eat every round.
    When attempts have failed for ``give_up_after_s`` seconds and none has succeeded since, every request
    fails with GaveUpError.

    Args:
        endpoints: At least one.
        budget: What may be spent.
        retry: How much patience a request gets.
        give_up_after_s: Seconds of nothing but failures before it stops.
        has_answers: Whether the run has answers of earlier sessions: the settings are right then, and what a
            refusal means does not depend on where a run was cut off.
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
        has_answers: bool = False,
        ledger: Ledger | None = None,
        tell: Listener = unheard,
        rng: random.Random | None = None,
    ) -> None:
        for endpoint in endpoints:
            budget.limits.need_price(endpoint.price)
        self.budget = budget
        self._policy = retry or RetryPolicy()
        self._tell = tell
        self._rng = rng or random.Random()
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        members = [self._member(endpoint, has_answers) for endpoint in endpoints]
        self._members = {member.limiter: member for member in members}
        self._pacer = Pacer(list(self._members))
        bound = TokenBound()
        self._outage = Outage(give_up_after_s, self._clock)
        self._reserving = Reserving(self._members, pacer=self._pacer, budget=budget, bound=bound)
        self._delivery = Delivery(
            self._members,
            pacer=self._pacer,
            budget=budget,
            bound=bound,
            outage=self._outage,
            ledger=ledger,
            attempt_s=self._policy.attempt_s,
            tell=tell,
            clock=self._clock,
        )

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
            asked.number = number
            return await self._attempt(asked)

        try:
            return await retrying(once, self._policy, rng=self._rng, sleep=self._sleep, on_retry=told)
        except RequestFailedError as error:
            self._rest()
            # An object from Python has no address, and needs none to be found.
            if "://" not in asked.endpoint:
                raise
            said = f"{asked.endpoint}: {error}"
            again = RequestFailedError(
                said, attempts=error.attempts, answered=error.answered, refused=error.refused
            )
            raise again from error.__cause__

    async def _attempt(self, asked: _Asked) -> Reply:
        """One attempt, at as many endpoints as there is hope for."""
        asked.tried.clear()
        failures: list[ChatError | RequestFailedError] = []
        while True:
            try:
                if (reply := await self._send(asked)) is not None:
                    return reply
            except UNFIT:
                if not self._pacer.limiters:
                    raise
            except RequestTooLargeError:
                # One that takes longer answers may have gone while this waited for it.
                if self._reserving.longest(asked.request).max_tokens >= asked.most_tokens:
                    raise
            except (ChatError, RequestFailedError) as error:
                failures.append(error)
                if not self._goes_on(asked, classify(error)):
                    raise self._verdict(asked, failures)  # noqa: B904 - it has a cause of its own

    def _verdict(
        self, asked: _Asked, failures: Sequence[ChatError | RequestFailedError]
    ) -> ChatError | RequestFailedError:
        """Return what one attempt comes to that has failed at each endpoint that it was made at.

        Another attempt, if one of them is worth it; the end of the request, if it is refused by one that
        answers others; the end of all only if every endpoint refuses.
        """
        last = failures[-1]
        if len(self._members) < 2:
            return last
        for error in failures:
            if isinstance(error, ChatError) and classify(error).kind != "no":
                # Each endpoint's pause holds it back by itself: another one may be ready sooner.
                error.retry_after = None
                return error
        refusals = (error for error in failures if isinstance(error, RequestFailedError))
        refused = min(refusals, key=lambda error: error.refused, default=None)
        if refused is not None or set(self._pacer.limiters) <= {*asked.tried}:
            return refused or last
        return TransientChatError(f"refused, and the other endpoints do not answer: {last}")

    def _goes_on(self, asked: _Asked, decision: Decision) -> bool:
        """Whether a request that has failed is asked again at once."""
        limiter = asked.tried[-1]
        if self._members[limiter].lengthened(asked.request).max_tokens != asked.max_tokens:
            asked.tried.pop()
        elif len(asked.tried) > len(self._members) or not self._pacer.has_hope(asked.tried):
            return False
        self._tell(
            RetryScheduled(endpoint=limiter.name, attempt=asked.number, wait_s=0.0, reason=decision.kind)
        )
        return True

    async def _send(self, asked: _Asked) -> Reply | None:
        """Make the attempt at one endpoint; None if more has to be set aside for it first."""
        request = asked.request
        longest = self._reserving.longest(request)
        asked.most_tokens = longest.max_tokens
        reserved = await self._reserving.reserve(longest)
        spending = Spending(reserved)
        try:
            with await self._leave(longest.tokens_at_most, asked.tried) as permit:
                member, moved = self._members[permit.limiter], bool(asked.tried)
                if self._reserving.outgrown(request, asked.most_tokens, reserved):
                    permit.unused()
                    return None
                sent = member.addressed(request)
                asked.endpoint = permit.limiter.name
                asked.tried.append(permit.limiter)
                asked.max_tokens = sent.request.max_tokens
                spending.retries = int(asked.number > 1 or moved)
                answer = await self._delivery.send(sent, permit, spending, moved=moved)
                return Reply(answer, spending.bill, member.endpoint.name)
        finally:
            self.budget.settle(reserved, spending.used)
            if spending.used != NOTHING:
                self._tell(self.budget.usage_changed())

    def _rest(self) -> None:
        if wait := self._outage.rest_s():
            for limiter in self._pacer.limiters:
                limiter.rest(wait)

    async def _leave(self, tokens: int, tried: Collection[RateLimiter]) -> Permit:
        """Wait for leave to send, but not beyond the active time that is left."""
        try:
            async with asyncio.timeout(self.budget.left_s()):
                return await self._pacer.acquire(tokens, avoid=tried, moved=bool(tried))
        except TimeoutError:
            raise self.budget.spent_minutes() from None

    async def _sleep(self, seconds: float) -> None:
        left = self.budget.left_s()
        await asyncio.sleep(seconds if left is None else min(seconds, left))
        if left is not None and left <= seconds:
            raise self.budget.spent_minutes()

    def _member(self, endpoint: Endpoint, has_answers: bool) -> Member:
        limiter = RateLimiter(
            endpoint.name,
            endpoint.limits,
            clock=self._clock,
            rng=self._rng,
            longest_pause_s=self._policy.longest_asked_s,
            tell=self._tell,
        )
        # Until its first answer nobody knows what it bills: neither a bound nor a price need hold.
        limiter.one_by_one = self.budget.weighs
        price = None if endpoint.price is None else ToldPrice(endpoint.price)
        return Member(endpoint, limiter, Standing(has_answered=has_answers), price)


@dataclass(slots=True)
class _Asked:
    """One request on its way.

    Attributes:
        request: What the search asks.
        endpoint: Where the attempt is made.
        number: The attempt's.
        tried: Where it was made in vain.
        most_tokens: The most answer tokens that were set aside for it.
        max_tokens: Those that it asks for.
    """

    request: ChatRequest
    endpoint: str = ""
    number: int = 1
    tried: list[RateLimiter] = field(default_factory=list)
    most_tokens: int = 0
    max_tokens: int = 0
