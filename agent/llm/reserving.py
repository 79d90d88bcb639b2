"""What is set aside for a request that may go to any endpoint of a pool."""

from __future__ import annotations

from collections.abc import Mapping

from ..token_usage import TokenUsage
from .budget import Budget
from .member import Member
from .pacing import Pacer, RateLimiter
from .token_bound import TokenBound
from .types import ChatRequest
from .usage import Price, Usage, cost_at_most


class Reserving:
    """The most that one attempt can cost, wherever it is made.

    Args:
        members: Every endpoint, by its limiter.
        pacer: Knows which are in use.
        budget: What may be spent.
        bound: How many tokens a request can be billed for.
    """

    def __init__(
        self, members: Mapping[RateLimiter, Member], *, pacer: Pacer, budget: Budget, bound: TokenBound
    ) -> None:
        self._members = members
        self._pacer = pacer
        self._budget = budget
        self._bound = bound

    def longest(self, request: ChatRequest) -> ChatRequest:
        """Return a request with as many answer tokens as any endpoint in use is asked for now."""
        return max(
            (self._members[limiter].lengthened(request) for limiter in self._pacer.limiters),
            key=lambda each: each.max_tokens,
            default=request,
        )

    async def reserve(self, longest: ChatRequest) -> Usage:
        """Set aside what one attempt can cost; see ``Budget.reserve``.

        Args:
            longest: As ``longest`` returns it.

        Raises:
            BudgetSpentError: What is left is not enough, or the time is up.
        """
        most = self._bound.of(longest)
        return await self._budget.reserve(most, self._dearest(most))

    def outgrown(self, request: ChatRequest, most_tokens: int, reserved: Usage) -> bool:
        """Whether a request that has waited may cost more, as is known by now, than is set aside for it.

        Args:
            request: As the search asks it.
            most_tokens: The answer tokens that were set aside for it.
            reserved: All that was.
        """
        longest = self.longest(request)
        if longest.max_tokens > most_tokens:
            return True
        most = self._bound.of(longest)
        return self._budget.weighs and (
            most.total > reserved.doubtful_tokens
            or cost_at_most(most, self._dearest(most)) > reserved.doubtful_picodollars
        )

    def _dearest(self, tokens: TokenUsage) -> Price | None:
        found = (self._members[limiter].price for limiter in self._pacer.limiters)
        prices = [price for price in found if price is not None]
        return max(prices, key=lambda price: cost_at_most(tokens, price), default=None)
