"""Sends one attempt, and settles what came of it with all whom that concerns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ..errors import (
    ChatError,
    FatalChatError,
    GaveUpError,
    KeyRejectedError,
    ModelNotFoundError,
    QuotaSpentError,
    RateLimitedError,
    RequestFailedError,
    UselessAnswerError,
)
from ..events import (
    AnswerTokensRaised,
    ChatFailed,
    EndpointBack,
    EndpointRemoved,
    EndpointSetAside,
    GaveUp,
    Listener,
    Noted,
    UsageUntold,
)
from ..rates import PICODOLLARS
from ..token_usage import TokenUsage
from .attempt import attempt
from .budget import Budget
from .member import Addressed, Member
from .outage import Outage
from .pacing import Pacer, Permit, RateLimiter
from .spending import Ledger, Spending
from .token_bound import TokenBound
from .types import ChatAnswer, asked_tokens
from .usage import NO_BILL, cost_at_most

UNFIT = (KeyRejectedError, ModelNotFoundError, QuotaSpentError)
"""What makes an endpoint useless for good, though others may still serve."""
OF_THE_REQUEST = frozenset({"content_filter", "refusal"})
"""Useless answers that say more of what was asked than of who was asked."""


class Delivery:
    """One attempt, from the permit to the bill.

    Before it is sent its reservation is written down, where limits count. What comes of it is told to the
    ledger, to the endpoint's limiter and breaker, to the bound on tokens and to the outage.

    Args:
        members: Every endpoint, by its limiter.
        pacer: Their queue.
        budget: What may be spent.
        bound: Learns what requests are billed for.
        outage: Learns when nothing succeeds.
        ledger: Where costs without an answer are written down; None for nowhere.
        attempt_s: Seconds that one attempt may take.
        tell: Hears what happens.
        clock: The loop's time.
    """

    def __init__(
        self,
        members: Mapping[RateLimiter, Member],
        *,
        pacer: Pacer,
        budget: Budget,
        bound: TokenBound,
        outage: Outage,
        ledger: Ledger | None,
        attempt_s: float,
        tell: Listener,
        clock: Callable[[], float],
    ) -> None:
        self._members = members
        self._pacer = pacer
        self._budget = budget
        self._bound = bound
        self._outage = outage
        self._ledger = ledger
        self._attempt_s = attempt_s
        self._tell = tell
        self._clock = clock
        self._gave_up = False

    async def send(self, sent: Addressed, permit: Permit, spending: Spending, *, moved: bool) -> ChatAnswer:
        """Make one attempt.

        Args:
            sent: The request, as it is addressed to the endpoint.
            permit: Leave to send it, and where.
            spending: Takes up what it costs.
            moved: Whether it has failed at another endpoint: where an endpoint is known to answer it then has
                all its time.

        Raises:
            ChatError: What came of it, as it is to be taken.
            RequestFailedError: The request is refused, which concerns it alone.
            GaveUpError: Nothing has succeeded for too long.
        """
        member = self._members[permit.limiter]
        watched = len(self._pacer.limiters) > 1 and (permit.probe or not moved)
        try:
            if self._ledger is not None and self._budget.counts:
                spending.written = spending.reserved
                await self._ledger.put_reserved(spending.reserved)
            spending.sent = True
            answer = await attempt(
                member.endpoint.client,
                sent.request,
                deadline_s=self._attempt_s,
                clock=self._clock,
                patience_s=(lambda: self._pacer.patience_s(permit)) if watched else None,
            )
        except ChatError as said:
            error = member.standing.taken(said)
            failure = said if isinstance(error, RequestFailedError) else error
            spared = _is_of_the_request(error) and not permit.probe
            self._failed(member, failure, sent, permit, spending, spared=spared)
            await self._write(spending)
            self._check_outage(failure, member)
            raise error from said.__cause__
        except asyncio.CancelledError:
            spending.untold()
            await self._write(spending)
            raise
        except Exception:
            await self._write(spending)
            raise
        self._succeeded(member, answer, sent, permit, spending)
        return answer

    def _succeeded(
        self, member: Member, answer: ChatAnswer, sent: Addressed, permit: Permit, spending: Spending
    ) -> None:
        limiter = permit.limiter
        self._billed(member, sent, answer.usage, told=answer.usage_told)
        if answer.usage_told:
            spending.known(answer.usage, member.price)
        else:
            spending.untold()
            if not member.usage_untold:
                member.usage_untold = True
                self._tell(UsageUntold(endpoint=limiter.name))
        member.answered(longer=sent.longer)
        limiter.speed.answered(self._clock() - permit.admitted)
        if limiter.breaker.answered(probe=permit.probe) and member.set_aside:
            member.set_aside = False
            self._tell(EndpointBack(endpoint=limiter.name))
        limiter.heard(permit, answer.headers)
        limiter.succeeded(permit, answer.usage.total if answer.usage_told else permit.tokens)
        self._outage.succeeded()

    def _failed(
        self,
        member: Member,
        error: ChatError,
        sent: Addressed,
        permit: Permit,
        spending: Spending,
        *,
        spared: bool,
    ) -> None:
        spending.failed = 1
        if error.usage is not None:
            spending.known(error.usage, member.price)
            self._billed(member, sent, error.usage)
        elif error.perhaps_billed:
            spending.untold()
        limiter = permit.limiter
        limiter.heard(permit, error.headers)
        if isinstance(error, RateLimitedError):
            limiter.refused(permit, error.retry_after, tokens="token" in str(error).lower())
        else:
            limiter.failed(error.retry_after)
        if isinstance(error, UNFIT) and limiter.closed is None:
            # Before the permit is given back, or it would let the next one run into the same refusal.
            left = self._pacer.remove(limiter, error)
            self._tell(EndpointRemoved(endpoint=limiter.name, message=str(error), left=left))
        elif not (
            member.asked_too_much(error, longer=sent.longer)
            or self._lengthened(member, error, sent, spending)
            or spared
        ):
            self._set_aside(member, error, permit)
        name, billed = type(error).__name__, bool(spending.used.calls)
        self._tell(ChatFailed(endpoint=limiter.name, error=name, message=str(error), billed=billed))

    def _billed(self, member: Member, sent: Addressed, usage: TokenUsage, *, told: bool = True) -> None:
        """Learn what one attempt came to: until then nobody knows how far more of them at once would go."""
        if told:
            self._bound.learn(sent.request, usage)
        if member.billed(sent.request, usage) and self._budget.weighs:
            where = member.limiter.name
            self._tell(Noted(text=f"{where}: answers have no bound; within limits it is asked one by one"))
        member.limiter.one_by_one = self._budget.weighs and not member.bounded

    def _lengthened(self, member: Member, error: ChatError, sent: Addressed, spending: Spending) -> bool:
        """Ask for longer answers where they are cut before they begin, if limits allow for it."""
        if sent.longer or not isinstance(error, UselessAnswerError) or error.reason != "length":
            return False
        if member.answers != "short":
            return member.asks_more  # since this one was sent
        client, longer = member.endpoint.client, member.longest(sent.request)
        now = asked_tokens(client, longer)
        if now <= asked_tokens(client, sent.request):
            return False
        most, left = self._bound.of(longer), self._budget.left()
        tokens = most.total + spending.used.tokens_at_most
        money = cost_at_most(most, member.price) + spending.used.picodollars_at_most
        if (
            not member.limiter.fits(longer.tokens_at_most)
            or (left.tokens is not None and tokens > left.tokens)
            or (left.cost_usd is not None and money > left.cost_usd * PICODOLLARS)
        ):
            return False
        member.answers = "trying"
        self._tell(AnswerTokensRaised(endpoint=member.limiter.name, before=sent.request.max_tokens, now=now))
        return True

    def _set_aside(self, member: Member, error: ChatError, permit: Permit) -> None:
        """Let the breaker know, where there are other endpoints."""
        limiters, breaker = self._pacer.limiters, permit.limiter.breaker
        if len(limiters) < 2:
            return
        last = not any(one.breaker.closed for one in limiters if one is not permit.limiter)
        wait = breaker.failed(error.took_s, probe=permit.probe, last=last)
        if wait is not None and not member.set_aside:
            member.set_aside = True
            self._tell(EndpointSetAside(endpoint=permit.limiter.name, message=str(error), wait_s=wait))

    def _check_outage(self, error: ChatError, member: Member) -> None:
        if isinstance(error, FatalChatError):
            return
        self._outage.failed(error.took_s)
        if not self._outage.over_the_limit or self._gave_up:
            return
        self._gave_up = True
        failing_s = self._outage.lasted_s
        gave_up = GaveUpError(f"nothing has succeeded for {failing_s:.0f} s; the last error: {error}")
        self._tell(GaveUp(endpoint=member.endpoint.name, failing_s=failing_s, message=str(error)))
        self._pacer.fail(gave_up)
        raise gave_up from error

    async def _write(self, spending: Spending) -> None:
        if self._ledger is not None and spending.bill != NO_BILL:
            await self._ledger.put_usage(spending.bill)


def _is_of_the_request(error: ChatError | RequestFailedError) -> bool:
    """Whether a failure speaks against a request, or its pace, and not against an endpoint that answers."""
    if isinstance(error, UselessAnswerError):
        return error.reason in OF_THE_REQUEST
    return isinstance(error, RateLimitedError | RequestFailedError)
