"""What a run may spend: calls, tokens, money, minutes. Reserved before an attempt, settled after it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from decimal import Decimal

from ...evaluator.counts import counted, enumerated
from ...evaluator.errors import ConfigError
from ..config.schema import SearchConfig
from ..errors import BudgetSpentError
from ..events import UsageChanged
from ..rates import PICODOLLARS
from ..token_usage import TokenUsage
from .usage import NOTHING, Price, Usage, cost_at_most


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a run may use in all; None is no limit.

    Attributes:
        calls: Billed attempts.
        tokens: Prompt and completion tokens together.
        cost_usd: US dollars.
        minutes: Minutes of active time.
    """

    calls: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    minutes: float | None = None

    @classmethod
    def of(cls, config: SearchConfig) -> Limits:
        """Return those of a config."""
        return cls(
            calls=config.max_calls,
            tokens=config.max_tokens,
            cost_usd=config.max_cost,
            minutes=config.max_minutes,
        )

    def need_price(self, price: Price | None) -> None:
        """Raise ConfigError where there is a limit on money but no price to count it by."""
        if self.cost_usd is not None and price is None:
            raise ConfigError(
                "a cost limit needs a price: --price IN/OUT, dollars for a million tokens, or --price auto"
            )


class Budget:
    """Holds a run to its limits, whatever is in flight.

    ``reserve`` sets aside the most that an attempt can cost, so that what is spent and what is set aside
    never exceed a limit together. Where only reservations stand in the way it waits for them, first come
    first served; where what is spent leaves no room it raises. ``settle`` replaces a reservation by what it
    really cost. Both change plain numbers between two awaits, so no interleaving or cancellation can leak.

    Args:
        limits: What may be used in all.
        spent: What earlier sessions have used.
        clock: Seconds; the running loop's time unless given.
    """

    def __init__(
        self, limits: Limits, spent: Usage = NOTHING, *, clock: Callable[[], float] | None = None
    ) -> None:
        self.limits = limits
        self._clock = clock or asyncio.get_running_loop().time
        self._started = self._clock()
        self._spent = spent
        self._reserved = NOTHING
        self._waiting: deque[tuple[Usage, asyncio.Future[None]]] = deque()
        dollars = None if limits.cost_usd is None else Decimal(str(limits.cost_usd))
        self._picodollars = None if dollars is None else int(dollars * PICODOLLARS)

    @property
    def spent(self) -> Usage:
        """All that is used up to now, earlier sessions and this one's time included."""
        return replace(self._spent, active_s=self._spent.active_s + self._clock() - self._started)

    @property
    def reserved(self) -> Usage:
        """What is set aside for attempts under way."""
        return self._reserved

    @property
    def counts(self) -> bool:
        """Whether anything but time is limited, so that reservations matter over a crash."""
        return (self.limits.calls, self.limits.tokens, self.limits.cost_usd) != (None, None, None)

    @property
    def weighs(self) -> bool:
        """Whether tokens or money are limited, so that it matters how much one attempt may come to."""
        return (self.limits.tokens, self.limits.cost_usd) != (None, None)

    def left(self) -> Limits:
        """Return what may still be used, reservations not counted; never below zero."""
        spent, limits = self.spent, self.limits
        money = None if self._picodollars is None else self._picodollars - spent.picodollars_at_most
        return Limits(
            calls=None if limits.calls is None else max(limits.calls - spent.calls, 0),
            tokens=None if limits.tokens is None else max(limits.tokens - spent.tokens_at_most, 0),
            cost_usd=None if money is None else max(money, 0) / PICODOLLARS,
            minutes=None if (seconds := self.left_s()) is None else seconds / 60,
        )

    def left_s(self) -> float | None:
        """Seconds of active time left, None where they are not limited."""
        if self.limits.minutes is None:
            return None
        return max(self.limits.minutes * 60 - self.spent.active_s, 0.0)

    def check_time(self) -> None:
        """Raise BudgetSpentError when the time is up: a method without an LLM passes no other gate."""
        if self.left_s() == 0.0:
            raise self.spent_minutes()

    def usage_changed(self) -> UsageChanged:
        """Return the event that says what is used and what is left of each limit that was set."""
        spent, left = self.spent, asdict(self.left())
        return UsageChanged(
            calls=spent.calls,
            failed_calls=spent.failed_calls,
            retries=spent.retries,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            cached_tokens=spent.cached_tokens,
            cache_written_tokens=spent.cache_written_tokens,
            reasoning_tokens=spent.reasoning_tokens,
            cost_usd=spent.cost_usd,
            doubtful_tokens=spent.doubtful_tokens,
            left={name: value for name, value in left.items() if value is not None},
        )

    async def reserve(self, tokens: TokenUsage, price: Price | None = None) -> Usage:
        """Set aside one call and the most that it can cost.

        Args:
            tokens: The most tokens that it can be billed for.
            price: The dearest price that it can be billed at.

        Returns:
            The reservation, to be given to ``settle``.

        Raises:
            BudgetSpentError: What is left is not enough, or the time is up.
        """
        self.check_time()
        most = cost_at_most(tokens, price)
        need = Usage(calls=1, doubtful_tokens=tokens.total, doubtful_picodollars=most)
        if not self._waiting and self._room(need):
            self._reserved = self._reserved.plus(need)
            return need
        granted = asyncio.get_running_loop().create_future()
        self._waiting.append((need, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._reserved = self._reserved.minus(need)
            self._serve()
            raise
        return need

    def settle(self, reserved: Usage, used: Usage = NOTHING) -> None:
        """Replace a reservation by what it really cost; by nothing if it was not billed."""
        self._reserved = self._reserved.minus(reserved)
        self._spent = self._spent.plus(used)
        self._serve()

    def spent_minutes(self) -> BudgetSpentError:
        """Return the error that says that the time is over."""
        minutes = f"{self.limits.minutes:g} minute{'' if self.limits.minutes == 1 else 's'}"
        return BudgetSpentError(f"the limit of {minutes} is reached", limit="minutes")

    def _serve(self) -> None:
        while self._waiting:
            need, granted = self._waiting[0]
            if granted.done():
                self._waiting.popleft()
                continue
            try:
                if not self._room(need):
                    return
            except BudgetSpentError as error:
                granted.set_exception(error)
            else:
                self._reserved = self._reserved.plus(need)
                granted.set_result(None)
            self._waiting.popleft()

    def _room(self, need: Usage) -> bool:
        """Whether there is room now; raises BudgetSpentError where there never will be."""
        if self.left_s() == 0.0:
            raise self.spent_minutes()
        if hopeless := self._exceeded(self._spent.plus(need)):
            said = enumerated(hopeless.values())
            verb = f"limit of {said} is" if len(hopeless) == 1 else f"limits of {said} are"
            raise BudgetSpentError(f"the {verb} reached", limit=next(iter(hopeless)), limits=tuple(hopeless))
        return not self._exceeded(self._spent.plus(self._reserved).plus(need))

    def _exceeded(self, total: Usage) -> dict[str, str]:
        """Return every limit that a total exceeds, in words, by its name."""
        limits = self.limits
        found = {}
        if limits.calls is not None and total.calls > limits.calls:
            found["calls"] = counted(limits.calls, "call")
        if limits.tokens is not None and total.tokens_at_most > limits.tokens:
            found["tokens"] = (
                f"{counted(limits.tokens, 'token')} (the next request may need more than is left)"
            )
        if self._picodollars is not None and total.picodollars_at_most > self._picodollars:
            found["cost"] = f"{limits.cost_usd} US dollars (the next request may cost more than is left)"
        return found
