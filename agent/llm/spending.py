"""What one attempt costs, from the reservation to the bill."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from ..token_usage import TokenUsage
from .usage import NOTHING, Bill, Price, Usage, cost


class Ledger(Protocol):
    """Where costs are written down that no answer carries."""

    async def put_usage(self, bill: Bill) -> None:
        """Write what an attempt cost that gave no answer; on disk when it returns."""
        ...

    async def put_reserved(self, reserved: Usage) -> None:
        """Write what an attempt may cost, before it is made; on disk when it returns."""
        ...


@dataclass(slots=True)
class Spending:
    """One attempt's money.

    Attributes:
        reserved: What the budget has set aside for it.
        written: What of that is written down, so that it counts should the process be killed.
        sent: Whether the request may have left.
        retries: 1 if it is made again after a failed one.
        failed: 1 if it gave no usable answer.
    """

    reserved: Usage
    written: Usage = NOTHING
    sent: bool = False
    retries: int = 0
    failed: int = 0
    _billed: Usage = NOTHING

    @property
    def used(self) -> Usage:
        """What is to be added to the totals."""
        return replace(self._billed, retries=self.retries, failed_calls=self.failed)

    def known(self, usage: TokenUsage, price: Price | None) -> None:
        """Note that the endpoint says what it billed."""
        self._billed = Usage(
            calls=1,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            cache_written_tokens=usage.cache_written_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            picodollars=cost(usage, price),
            told_calls=int(usage.told_picodollars is not None),
            told_picodollars=usage.told_picodollars or 0,
        )

    def untold(self) -> None:
        """Count it, if it was sent, with all that was reserved: nobody says what was billed."""
        if self.sent:
            self._billed = self.reserved

    @property
    def bill(self) -> Bill:
        """What is to be written down."""
        return Bill(self.used, self.written)
