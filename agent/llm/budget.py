"""The limits of a run (calls, tokens, money, minutes): reserved before an attempt, settled after it.

The LLM and a scorer behind an API have a budget each, which share the limit on cost.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Generic, NamedTuple

from ...evaluator.remote.asking import ApiEstimate
from ..config.schema import ScoringConfig, SearchConfig
from ..errors import BudgetSpentError
from ..events.types import ScorerUsageChanged, UsageChanged, UsageEvent
from ..limits import CALLS, COST, MINUTES, SCORER_CALLS, TOKENS, RunLimit, amount_text, why_spent
from ..prices import NOTHING, PICODOLLARS, Bill, Spent, Tariff, TokenUsage, cost_at_most, totals
from .chat import R, tokens_at_most

SAFETY_FACTOR = 50
"""An answer may cost so many times as much as any before it; beyond that, it alone exceeds a limit."""
KEPT_PERCENT = 102
"""What is kept for the final evaluation, of what it takes, as some attempts fail and are billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that a run may use: billed calls, all tokens, dollars, active minutes; None is no limit.

    Fields are named by the keys of ``agent/limits.py``; ``calls`` are those of the LLM or of a scorer.
    """

    calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    minutes: float | None = None

    @property
    def picodollars(self) -> int | None:
        """The limit on cost."""
        return None if self.cost_usd is None else int(Decimal(str(self.cost_usd)) * PICODOLLARS)

    @classmethod
    def of(cls, config: SearchConfig) -> Limits:
        return cls(
            calls=config.max_calls,
            tokens=config.max_tokens,
            cost_usd=config.max_cost,
            minutes=config.max_minutes,
        )

    @classmethod
    def of_scorer(cls, config: ScoringConfig, minutes: float | None = None) -> Limits:
        """Return the limits of a scorer behind an API."""
        return cls(calls=config.max_scorer_calls, cost_usd=config.max_cost, minutes=minutes)


@dataclass(slots=True)
class Charge(Generic[R]):
    """The cost of sending a request once, from the reservation to the bill.

    Attributes:
        request: As it is sent.
        price: Of its endpoint.
        retries: 1 if it is sent again after a failed attempt.
        failed: 1 if it gave no usable answer.
        reserved_on_disk: What of the reservation is on disk, so that it counts if the process is killed.
        sent: The request may have left.
    """

    request: R
    reserved: Spent
    price: Tariff | None
    retries: int = 0
    failed: int = 0
    reserved_on_disk: Spent = NOTHING
    sent: bool = False
    billed: Spent = NOTHING

    @property
    def used(self) -> Spent:
        return replace(self.billed, retries=self.retries, failed_calls=self.failed)

    @property
    def bill(self) -> Bill:
        return Bill(self.used, self.reserved_on_disk)

    def book(self, usage: TokenUsage | None, written: int = 0) -> None:
        """Bill what is reported, and for the rest what was reserved, or more if more was ``written``."""
        reported = NOTHING if usage is None else Spent.of(usage, self.price)
        if usage is not None and not usage.is_part:
            self.billed = reported
            return
        most = tokens_at_most(self.request)
        most = replace(
            most,
            prompt_tokens=max(most.prompt_tokens, reported.prompt_tokens),
            completion_tokens=max(most.completion_tokens, reported.completion_tokens, written),
        )
        tokens = max(self.reserved.estimated_tokens, most.total)
        money = max(self.reserved.estimated_picodollars, cost_at_most(most, self.price))
        is_cost_known = reported.vendor_calls and reported.vendor_picodollars
        self.billed = replace(
            reported,
            calls=1,
            estimated_tokens=tokens - reported.tokens,
            estimated_picodollars=0 if is_cost_known else max(money - reported.picodollars, 0),
        )


class _Waiting(NamedTuple):
    """A reservation that waits for room."""

    budget: Budget
    tokens: TokenUsage
    price: Tariff | None
    granted: asyncio.Future[Spent]


class Budget:
    """Holds a run to its limits: spent and reserved amounts together never exceed one.

    An endpoint may charge for more than was reserved; from then on every request reserves as much as that
    answer took. And with a limit on tokens or money, the first request
    goes alone, and then as many at once as there have been answers. One goes beside others only if the limit
    has room for them at ``SAFETY_FACTOR`` times the most expensive answer so far, on top of what they
    reserved. So a limit is exceeded by one answer at most, unless answers become more than that many times as
    expensive at once.

    Budgets that share a cost limit count cost together, and their reservations wait in one line. What is kept
    for the final evaluation cannot be reserved until ``keep`` lowers it.

    ``reserve`` raises a BudgetSpentError with the keys of the limits; the search ends with its sentence as
    ``SearchStopped.reason``.

    Usage is counted twice, from the same bills: here to hold this process to its limits, and in the store's
    ``Writer`` to outlive it. A resumed run begins its budget with the store's totals.

    Numbers change only between two awaits, so no interleaving or cancellation can leak. ``spent`` is the
    usage of earlier processes; ``clock`` counts seconds, by default the running loop's.
    """

    CALLS: RunLimit = CALLS
    USAGE_CHANGED: type[UsageEvent] = UsageChanged
    REPORTED_EVERY_S = 0.0

    def __init__(
        self,
        limits: Limits,
        spent: Spent = NOTHING,
        *,
        clock: Callable[[], float] | None = None,
        shares_cost_with: Budget | None = None,
    ) -> None:
        self.limits = limits
        self._clock = clock or asyncio.get_running_loop().time
        self._started = self._reported_from = self._clock()
        self._spent = spent
        self.reserved = NOTHING
        self._answers = self._most_tokens_of_one = self._most_cost_of_one = 0
        self._least_tokens = self._least_cost = 0  # of a reservation
        self.kept = NOTHING
        self._cost_limit = limits.picodollars
        most = {self.CALLS: limits.calls, TOKENS: limits.tokens, COST: self._cost_limit}
        self._most = {limit: amount for limit, amount in most.items() if amount is not None}
        other = None if self._cost_limit is None else shares_cost_with  # else each has its own line
        self._sharing: list[Budget] = [] if other is None else other._sharing
        self._waiting: deque[_Waiting] = deque() if other is None else other._waiting
        self._sharing.append(self)

    @property
    def spent(self) -> Spent:
        """Usage so far, with earlier sessions and the time of this one."""
        return replace(self._spent, active_s=self._active_s())

    def left(self) -> dict[str, float]:
        """Return what may still be used, by a limit's key, ignoring reservations; never below zero."""
        used = self._amounts(self._spent, self._cost_of_all())
        left: dict[str, float] = {limit.key: max(most - used[limit], 0) for limit, most in self._most.items()}
        if self._cost_limit is not None:
            left[COST.key] /= PICODOLLARS
        if (seconds := self.left_s()) is not None:
            left[MINUTES.key] = seconds / 60
        return left

    def left_s(self) -> float | None:
        """Return the seconds of active time left, None for no limit."""
        if self.limits.minutes is None:
            return None
        return max(self.limits.minutes * 60 - self._active_s(), 0.0)

    def _active_s(self) -> float:
        return self._spent.active_s + self._clock() - self._started

    def restart_clock(self, active_s: float) -> None:
        """Count active time from now on, beside ``active_s`` seconds of earlier sessions."""
        self._spent, self._started = replace(self._spent, active_s=active_s), self._clock()

    def check_time(self) -> None:
        if self.left_s() == 0.0:
            raise self.minutes_spent()

    def minutes_spent(self) -> BudgetSpentError:
        reached = MINUTES.text(self.limits.minutes or 0)
        return BudgetSpentError(why_spent([reached], []), limits=(MINUTES.key,))

    def usage_changed(self) -> UsageEvent:
        """Return the event with the usage and what is left of each limit."""
        return totals(self.USAGE_CHANGED, self.spent, left=self.left())

    def is_report_due(self) -> bool:
        """Return whether to report usage again; then the next report is due ``REPORTED_EVERY_S`` later."""
        if (now := self._clock()) < self._reported_from:
            return False
        self._reported_from = now + self.REPORTED_EVERY_S
        return True

    def keep(self, kept: Spent) -> None:
        """Keep so much for the final evaluation, in place of what was kept before."""
        self.kept = kept
        self._grant()

    async def reserve(self, tokens: TokenUsage, price: Tariff | None = None) -> Spent:
        """Reserve one call and the most that it should cost; wait for earlier reservations, in order.

        Raises:
            BudgetSpentError: What is left is not enough, or the time is up.
        """
        granted: asyncio.Future[Spent] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(self, tokens, price, granted))
        self._grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self.reserved = self.reserved.minus(granted.result())
            self._grant()
            raise

    def _grant(self) -> None:
        """Grant what there is room for, first come, first served; refuse what there never will be."""
        while self._waiting:
            budget, tokens, price, granted = self._waiting[0]
            if not granted.done():
                need = Spent(
                    calls=1,
                    estimated_tokens=max(tokens.total, budget._least_tokens),
                    estimated_picodollars=max(cost_at_most(tokens, price), budget._least_cost),
                )
                try:
                    if not budget._has_room(need):
                        return
                except BudgetSpentError as error:
                    granted.set_exception(error)
                else:
                    budget.reserved = budget.reserved.plus(need)
                    granted.set_result(need)
            self._waiting.popleft()

    def settle(self, reserved: Spent, used: Spent = NOTHING) -> None:
        """Replace a reservation by its real cost; by nothing if it was not billed."""
        self.reserved = self.reserved.minus(reserved)
        self._spent = self._spent.plus(used)
        self._answers += max(
            used.calls - used.failed_calls, 0
        )  # a refusal does not show what an answer costs
        self._most_tokens_of_one = max(self._most_tokens_of_one, used.tokens)
        self._most_cost_of_one = max(self._most_cost_of_one, used.picodollars)
        if used.tokens_at_most > reserved.estimated_tokens:
            self._least_tokens = max(self._least_tokens, used.tokens_at_most)
        if used.picodollars_at_most > reserved.estimated_picodollars:
            self._least_cost = max(self._least_cost, used.picodollars_at_most)
        # Those without usage count only where they exceed what was reserved.
        self._most_tokens_of_one = max(self._most_tokens_of_one, self._least_tokens)
        self._most_cost_of_one = max(self._most_cost_of_one, self._least_cost)
        self._grant()

    def _has_room(self, need: Spent) -> bool:
        """Return whether there is room now; raise BudgetSpentError if there never will be."""
        self.check_time()
        # First without what is in flight: if that is too much already, no waiting helps.
        total = self._spent.plus(self.kept).plus(need)
        money_kept = sum(budget.kept.estimated_picodollars for budget in self._sharing)
        money = self._cost_of_all() + money_kept + need.estimated_picodollars
        if exceeded := self._exceeded(total, money):
            keys = tuple(limit.key for limit in exceeded)
            raise BudgetSpentError(self._why_spent(exceeded, money_kept), limits=keys)
        # Then with it, each request at ``SAFETY_FACTOR`` times the most expensive answer so far.
        others = self.reserved
        if (self.limits.tokens, self._cost_limit) != (None, None):
            busy = [budget for budget in self._sharing if budget.reserved.calls]
            known = self._answers and all(budget.reserved.calls < budget._answers for budget in busy)
            if busy and not known:  # what requests cost
                return False
            more = SAFETY_FACTOR * others.calls * self._most_tokens_of_one
            others = replace(others, estimated_tokens=others.estimated_tokens + more)
        for budget in self._sharing:
            dearest = SAFETY_FACTOR * budget.reserved.calls * budget._most_cost_of_one
            money += budget.reserved.estimated_picodollars + dearest
        return not self._exceeded(total.plus(others), money)

    def _cost_of_all(self) -> int:
        return sum(budget._spent.picodollars_at_most for budget in self._sharing)

    def _amounts(self, spent: Spent, money: int) -> dict[RunLimit, int]:
        """Return what counts for each limit; ``money`` is in picodollars."""
        return {self.CALLS: spent.calls, TOKENS: spent.tokens_at_most, COST: money}

    def _exceeded(self, total: Spent, money: int) -> list[RunLimit]:
        amounts = self._amounts(total, money)
        return [limit for limit, most in self._most.items() if amounts[limit] > most]

    def _why_spent(self, exceeded: Sequence[RunLimit], money_kept: int) -> str:
        """Return in words which limits are reached, and which the next request may exceed."""
        used = self._amounts(self._spent, self._cost_of_all())
        kept_of = self._amounts(self.kept, money_kept)
        reached, near = list[str](), list[str]()
        for limit in exceeded:
            most, kept, note = self._most[limit], kept_of[limit], ""
            if kept:
                amount_kept = f"{kept:,} of them are"
                if limit is COST:
                    amount_kept = f"{amount_text(float(_dollars(kept)))} of it is"
                note = f" ({amount_kept} kept for the final evaluation)"
            amount = most if limit is not COST else self.limits.cost_usd or 0
            (reached if used[limit] + kept >= most else near).append(limit.text(amount) + note)
        return why_spent(reached, near)


class ScorerBudget(Budget):
    """The budget of a scorer behind an API."""

    CALLS = SCORER_CALLS
    USAGE_CHANGED = ScorerUsageChanged
    REPORTED_EVERY_S = 1.0

    def left(self) -> dict[str, float]:
        """Return what may still be used, but of the time, which is the run's."""
        return {key: amount for key, amount in super().left().items() if key != MINUTES.key}


def estimated(estimate: ApiEstimate, price: Tariff | None) -> Spent:
    """Return what requests to a scorer take at most."""
    tokens = TokenUsage(estimate.prompt_tokens, estimate.answer_tokens, calls=estimate.requests)
    return Spent(
        calls=estimate.requests,
        estimated_tokens=tokens.total,
        estimated_picodollars=cost_at_most(tokens, price),
    )


def to_keep(final: Spent) -> Spent:
    """Return what is kept for a final evaluation that takes so much: a little more."""
    amounts = (final.calls, final.estimated_tokens, final.estimated_picodollars)
    calls, tokens, money = (-(-amount * KEPT_PERCENT // 100) for amount in amounts)
    return Spent(calls=calls, estimated_tokens=tokens, estimated_picodollars=money)


def why_refused(limits: Limits, kept: Spent, first: Spent) -> str | None:
    """Return why limits have no room for the first score beside what is kept; None if they have."""
    rows = (
        (SCORER_CALLS, limits.calls, limits.calls, kept.calls, max(first.calls, 1)),
        (COST, limits.cost_usd, limits.picodollars, kept.estimated_picodollars, first.estimated_picodollars),
    )
    for limit, amount, most, final, score in rows:
        if amount is not None and most is not None and final + score > most:
            shown = _dollars if limit is COST else str
            least = f"`{limit.setting} = {amount:g}` must be at least {shown(final + score)}"
            if not first.calls:  # of a run that goes on
                return f"{least}, which the final evaluation may take"
            return (
                f"{least}: the final evaluation may take {shown(final)}, and the first score {shown(score)} "
                "more. Give more, or evaluate on fewer images (`test_images = N`)"
            )
    return None


def _dollars(picodollars: int) -> str:
    return f"{math.ceil(picodollars * 1e6 / PICODOLLARS) / 1e6:.6f}"
