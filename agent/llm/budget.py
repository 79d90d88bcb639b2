"""The limits of a run (calls, tokens, money, minutes): reserved before an attempt, settled after it.

The LLM and a scorer behind an API have a budget each, and one purse: the money of the run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from ...evaluator.counts import counted, enumerated
from ..config.schema import SearchConfig
from ..errors import BudgetSpentError
from ..events.types import ScorerUsageChanged, UsageChanged, UsageEvent
from ..prices import PICODOLLARS, TokenUsage
from .chat import Request
from .cost import NOTHING, Spent, Tariff, cost_at_most, totals

HEADROOM = 1.5
DEARER = 50
"""How many times as much as any answer before it one may cost, and a limit is exceeded by it alone."""


LIMITS = ("max_calls", "max_tokens", "max_cost", "max_minutes")
"""Names of the settings that are limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use (billed calls, all tokens, dollars, active minutes); None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    minutes: float | None = None

    @classmethod
    def of(cls, config: SearchConfig) -> Limits:
        return cls(
            calls=config.max_calls,
            tokens=config.max_tokens,
            cost_usd=config.max_cost,
            minutes=config.max_minutes,
        )


class TokenBound:
    """The most tokens that a request can be billed for, learned from bills.

    At first each byte counts as a token, since byte-level tokenizers make no more. Then the bound is 1.5
    times the highest seen rate of tokens per byte. If a request declares its tokens, they count as declared
    until a bill is higher. An answer counts with ``max_tokens``, or more if an
    endpoint exceeded it.
    """

    def __init__(self) -> None:
        self._rate: float | None = None
        self._excess = 1.0

    def of(self, request: Request) -> TokenUsage:
        """Return the most that one attempt at the request can be billed for."""
        rate = 1.0 if self._rate is None else self._rate * HEADROOM
        if request.SIZE_IS_BOUND and (self._rate or 0.0) <= 1.0:
            rate = min(rate, 1.0)
        return TokenUsage(
            prompt_tokens=int(request.size * rate) + 1,
            completion_tokens=int(request.max_tokens * self._excess) + (self._excess > 1),
        )

    def learn(self, request: Request, billed: TokenUsage) -> None:
        if billed.prompt_tokens:
            self._rate = max(self._rate or 0.0, billed.prompt_tokens / request.size)
        self._excess = max(self._excess, billed.completion_tokens / max(request.max_tokens, 1))


class _Waiting(NamedTuple):
    """A reservation that waits for room."""

    budget: Budget
    need: Spent
    of_test: bool
    granted: asyncio.Future[None]


class Purse:
    """The money that the budgets of one run share; who waits for room in it waits in one line."""

    def __init__(self, cost_usd: float | None = None) -> None:
        self.cost_usd = cost_usd
        self.picodollars = None if cost_usd is None else int(Decimal(str(cost_usd)) * PICODOLLARS)
        self.budgets: list[Budget] = []
        self.waiting: deque[_Waiting] = deque()

    def serve(self) -> None:
        """Grant what there is room for, first come, first served; refuse what there never will be."""
        while self.waiting:
            budget, need, of_test, granted = self.waiting[0]
            if granted.done():
                self.waiting.popleft()
                continue
            try:
                if not budget.has_room(need, of_test=of_test):
                    return
            except BudgetSpentError as error:
                granted.set_exception(error)
            else:
                budget.take(need, of_test=of_test)
                granted.set_result(None)
            self.waiting.popleft()


class Budget:
    """Holds a run to its limits: spent and reserved amounts together never exceed one.

    An endpoint may charge for more than was reserved. So with a limit on tokens or money, the first request
    goes alone, and then as many at once as there have been answers. One goes beside others only if the limit
    has room for them at ``DEARER`` times the most expensive answer so far, on top of what they reserved. So a
    limit is exceeded by one answer at most, unless answers become more than ``DEARER`` times as expensive at
    once.

    Money is counted together with that of the other budgets in the purse. What is kept for the final
    evaluation is out of reach for everything else.

    Numbers change only between two awaits, so no interleaving or cancellation can leak. ``spent`` is the
    usage of earlier processes; ``clock`` counts seconds, by default the running loop's.
    """

    CALLS = "calls"
    """Name of the limit on calls: the setting's, without ``max_``."""
    USAGE_CHANGED: type[UsageEvent] = UsageChanged

    def __init__(
        self,
        limits: Limits,
        spent: Spent = NOTHING,
        *,
        clock: Callable[[], float] | None = None,
        purse: Purse | None = None,
    ) -> None:
        self.limits = limits
        self._clock = clock or asyncio.get_running_loop().time
        self._started = self._clock()
        self._spent = spent
        self.reserved = NOTHING
        self._answers = self._most_tokens = self._most_picodollars = 0
        self._kept = self._of_test = NOTHING
        self.purse = purse or Purse(limits.cost_usd)
        self.purse.budgets.append(self)

    @property
    def spent(self) -> Spent:
        """Usage so far, with earlier sessions and the time of this one."""
        return replace(self._spent, active_s=self._active_s())

    @property
    def counts(self) -> bool:
        """Whether anything but time is limited, so that reservations must survive a crash."""
        return (self.limits.calls, self.limits.tokens, self.limits.cost_usd) != (None, None, None)

    @property
    def weighs(self) -> bool:
        """Whether tokens or money are limited, so that the size of an attempt matters."""
        return (self.limits.tokens, self.limits.cost_usd) != (None, None)

    def left(self) -> Limits:
        """Return what may still be used, ignoring reservations; never below zero."""
        spent, limits = self.spent, self.limits
        purse = self.purse
        money = None if purse.picodollars is None else purse.picodollars - self._money_of_all()
        return Limits(
            calls=None if limits.calls is None else max(limits.calls - spent.calls, 0),
            tokens=None if limits.tokens is None else max(limits.tokens - spent.tokens_at_most, 0),
            cost_usd=None if money is None else max(money, 0) / PICODOLLARS,
            minutes=None if (seconds := self.left_s()) is None else seconds / 60,
        )

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
        minutes = f"{self.limits.minutes:g} minute{'' if self.limits.minutes == 1 else 's'}"
        return BudgetSpentError(f"the limit of {minutes} is reached", limit="minutes")

    def usage_changed(self) -> UsageEvent:
        """Return the event with the usage and what is left of each limit."""
        left = {
            self.CALLS if name == "calls" else name: value
            for name, value in asdict(self.left()).items()
            if value is not None
        }
        return totals(self.USAGE_CHANGED, self.spent, left=left)

    def keep(self, kept: Spent) -> None:
        """Keep so much for the final evaluation, in place of what was kept before."""
        self._kept = kept
        self.purse.serve()

    async def reserve(
        self, tokens: TokenUsage, price: Tariff | None = None, *, of_test: bool = False
    ) -> Spent:
        """Reserve one call and the most that it should cost; wait for earlier reservations, in order.

        ``of_test``: it belongs to the final evaluation, and may use what is kept for that.

        Raises:
            BudgetSpentError: What is left is not enough, or the time is up.
        """
        self.check_time()
        need = Spent(
            calls=1, estimated_tokens=tokens.total, estimated_picodollars=cost_at_most(tokens, price)
        )
        if not self.purse.waiting and self.has_room(need, of_test=of_test):
            self.take(need, of_test=of_test)
            return need
        granted = asyncio.get_running_loop().create_future()
        self.purse.waiting.append(_Waiting(self, need, of_test, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._give_back(need, of_test=of_test)
            self.purse.serve()
            raise
        return need

    def take(self, need: Spent, *, of_test: bool) -> None:
        self.reserved = self.reserved.plus(need)
        if of_test:
            self._of_test = self._of_test.plus(need)

    def _give_back(self, reserved: Spent, *, of_test: bool) -> None:
        self.reserved = self.reserved.minus(reserved)
        if of_test:
            self._of_test = self._of_test.minus(reserved)

    def settle(self, reserved: Spent, used: Spent = NOTHING, *, of_test: bool = False) -> None:
        """Replace a reservation by its real cost; by nothing if it was not billed."""
        self._give_back(reserved, of_test=of_test)
        if of_test:
            self._of_test = self._of_test.plus(used)
        self._spent = self._spent.plus(used)
        self._answers += used.calls
        self._most_tokens = max(self._most_tokens, used.tokens)
        self._most_picodollars = max(self._most_picodollars, used.picodollars)
        if used.estimated_tokens > reserved.estimated_tokens:
            # Without usage, and longer than was asked for.
            self._most_tokens = max(self._most_tokens, used.estimated_tokens)
            self._most_picodollars = max(self._most_picodollars, used.estimated_picodollars)
        self.purse.serve()

    def has_room(self, need: Spent, *, of_test: bool = False) -> bool:
        """Return whether there is room now; raise BudgetSpentError if there never will be."""
        self.check_time()
        held = NOTHING if of_test else self._held()
        money_held = self._money_kept(of_test=of_test)
        money = self._money_of_all() + money_held + need.estimated_picodollars
        kept = Spent(calls=held.calls, estimated_picodollars=money_held)
        if exceeded := self._exceeded(self._spent.plus(held).plus(need), money, kept):
            said = enumerated(exceeded.values())
            verb = f"limit of {said} is" if len(exceeded) == 1 else f"limits of {said} are"
            raise BudgetSpentError(f"the {verb} reached", limit=next(iter(exceeded)), limits=tuple(exceeded))
        others = self.reserved
        if self.weighs and others.calls:
            if others.calls >= self._answers:
                return False
            more = DEARER * others.calls * self._most_tokens
            others = replace(others, estimated_tokens=others.estimated_tokens + more)
        if self.purse.picodollars is not None and not self._all_are_known():
            return False
        money += sum(one._money_in_flight() for one in self.purse.budgets)
        return not self._exceeded(self._spent.plus(held).plus(others).plus(need), money)

    def _all_are_known(self) -> bool:
        """Return whether a request of any budget beside this one has answers to judge its price by."""
        others = [one for one in self.purse.budgets if one is not self and one.reserved.calls]
        return not others or (self._answers > 0 and all(one.reserved.calls <= one._answers for one in others))

    def _money_of_all(self) -> int:
        return sum(one._spent.picodollars_at_most for one in self.purse.budgets)

    def _money_kept(self, *, of_test: bool) -> int:
        held: Iterable[Budget] = (one for one in self.purse.budgets if not (of_test and one is self))
        return sum(one._held().picodollars_at_most for one in held)

    def _money_in_flight(self) -> int:
        reserved = self.reserved
        return reserved.estimated_picodollars + DEARER * reserved.calls * self._most_picodollars

    def _held(self) -> Spent:
        """Return what is kept for the final evaluation and not used by it yet."""
        left = self._kept.minus(self._of_test)
        money = self._kept.picodollars_at_most - self._of_test.picodollars_at_most
        return Spent(calls=max(left.calls, 0), estimated_picodollars=max(money, 0))

    def _exceeded(self, total: Spent, money: int, kept: Spent = NOTHING) -> dict[str, str]:
        """Return each limit that is exceeded in words, with what the final evaluation holds back of it."""
        limits, purse, found = self.limits, self.purse, {}
        if limits.calls is not None and total.calls > limits.calls:
            calls = counted(limits.calls, self.CALLS.removesuffix("s").replace("_", " "))
            why = f" ({kept.calls:,} of them are kept for the final evaluation)" if kept.calls else ""
            found[self.CALLS] = f"{calls}{why}"
        if limits.tokens is not None and total.tokens_at_most > limits.tokens:
            found["tokens"] = (
                f"{counted(limits.tokens, 'token')} (the next request may need more than is left)"
            )
        if purse.picodollars is not None and money > purse.picodollars:
            why = "the next request may cost more than is left"
            if kept.estimated_picodollars:
                why = f"{kept.estimated_usd:.4f} of it is kept for the final evaluation"
            found["cost"] = f"{purse.cost_usd} US dollars ({why})"
        return found


class ScorerBudget(Budget):
    """The budget of a scorer behind an API."""

    CALLS = "scorer_calls"
    USAGE_CHANGED = ScorerUsageChanged

    def left(self) -> Limits:
        """Return what may still be used, but of the time, which is the run's."""
        return replace(super().left(), minutes=None)
