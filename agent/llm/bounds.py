"""Bounds as values: what a search takes at most, what requests to a scorer cost, and room within limits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from ...evaluator.messages import Message, Setting
from ...evaluator.remote.asking import ApiRequest
from ..prices import NOTHING, PICODOLLARS, Spent, TokenUsage
from .budget import Limits

KEPT_PERCENT = 102
"""What is kept for the final evaluation, of what it takes, as some attempts fail and are billed."""

Number = TypeVar("Number", int, float)
RequestSizes: TypeAlias = Counter[tuple[int, int]]
"""How many requests there are by the tokens that they declare, of prompt and answer."""


def at_most(amount: Number, limit: Number | None) -> Number:
    """Return an amount, or the limit if it is smaller."""
    return amount if limit is None else min(amount, limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The most that one search or several take.

    Attributes:
        cost_usd: None if a price is unknown.
        evaluations: Scored candidates.
        minutes: By the rate limits; None without.
    """

    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = 0.0
    evaluations: int = 0
    minutes: float | None = None

    @classmethod
    def total(cls, bounds: Sequence[Bound]) -> Bound:
        """Return the sum; the cost is unknown if that of one is."""
        costs = [bound.cost_usd for bound in bounds if bound.cost_usd is not None]
        minutes = [bound.minutes for bound in bounds if bound.minutes is not None]
        return cls(
            calls=sum(bound.calls for bound in bounds),
            tokens=sum(bound.tokens for bound in bounds),
            cost_usd=round(sum(costs), 6) if len(costs) == len(bounds) else None,
            evaluations=sum(bound.evaluations for bound in bounds),
            minutes=round(sum(minutes), 2) if minutes else None,
        )


@dataclass(frozen=True, slots=True)
class ScorerPart:
    """The most that a part of a search takes: labels of images, and requests, as an estimate."""

    labels: int = 0
    spent: Spent = NOTHING

    def plus(self, other: ScorerPart) -> ScorerPart:
        return ScorerPart(self.labels + other.labels, self.spent.plus(other.spent))

    def times(self, number: int) -> ScorerPart:
        return ScorerPart(self.labels * number, share_of(self.spent, number))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerBound:
    """The most that a scorer behind an API takes without limits, by the parts of a search.

    Attributes:
        start: The default template and the starting candidates, with the few-shot images.
        round: One of ``rounds``.
        free: Free candidates of the whole search.
        comparison: Hand-made candidates on the few-shot images.
        final: The final evaluation on test.
        races: Whether candidates that fall behind are dropped.
        limits: Of its calls, and of the cost that it shares with the LLM.
    """

    start: ScorerPart
    round: ScorerPart
    names: ScorerPart
    comparison: ScorerPart
    free: ScorerPart
    final: ScorerPart
    rounds: int
    races: bool
    is_priced: bool
    limits: Limits

    @property
    def total(self) -> ScorerPart:
        rest = self.names.plus(self.comparison).plus(self.free).plus(self.final)
        return self.start.plus(self.round.times(self.rounds)).plus(rest)

    def rounds_allowed(self, llm_cost_usd: float | None) -> int | None:
        """Return how many of the rounds the limits have room for in any case; None without limits.

        ``llm_cost_usd`` is the most that the LLM takes.
        """
        first, each = to_keep(self.final.spent).plus(self.start.spent), self.round.spent
        rooms: list[float] = []
        if self.limits.calls is not None and each.calls:
            rooms.append((self.limits.calls - first.calls) / each.calls)
        if self.limits.cost_usd is not None and llm_cost_usd is not None:
            of_round = each.estimated_usd + llm_cost_usd / max(self.rounds, 1)
            left = self.limits.cost_usd - first.estimated_usd
            rooms.append(left / of_round if of_round else self.rounds)
        return max(0, int(min([self.rounds, *rooms]))) if rooms else None


def sizes_of(requests: Iterable[ApiRequest]) -> RequestSizes:
    """Count requests by their sizes."""
    return Counter((request.prompt_tokens, request.max_tokens) for request in requests)


def cost_of_all(requests: RequestSizes, most: Callable[[TokenUsage], int]) -> Spent:
    """Return the most that requests take, as estimates; ``most`` returns picodollars of one."""
    sizes = [(TokenUsage(*size), count) for size, count in requests.items()]
    return Spent(
        calls=requests.total(),
        estimated_tokens=sum(count * size.total for size, count in sizes),
        estimated_picodollars=sum(count * most(size) for size, count in sizes),
    )


def share_of(spent: Spent, times: int, of: int = 1) -> Spent:
    """Return ``times / of`` as much of an estimate, rounded up."""
    amounts = (spent.calls, spent.estimated_tokens, spent.estimated_picodollars)
    calls, tokens, money = (-(-amount * times // of) for amount in amounts)
    return Spent(calls=calls, estimated_tokens=tokens, estimated_picodollars=money)


def to_keep(final: Spent) -> Spent:
    """Return what is kept for a final evaluation that takes so much."""
    return share_of(final, KEPT_PERCENT, 100)


def why_refused(
    limits: Limits, kept: Spent, start: Spent = NOTHING, noun: str = "template"
) -> Message | None:
    """Return why limits are too low for the start beside what is kept; None if they are not.

    ``noun`` is a candidate's name.
    """
    amounts: list[tuple[Setting, int, int, int, Callable[[int], str], str]] = []
    if (calls := limits.calls) is not None:
        setting = Setting("max_scorer_calls", str(calls))
        amounts.append((setting, calls, kept.calls, start.calls, str, "take so many"))
    if (money := limits.picodollars) is not None:
        setting, first = Setting("max_cost", f"{limits.cost_usd:g}"), start.estimated_picodollars
        amounts.append((setting, max(money, 1), kept.estimated_picodollars, first, _dollars, "cost so much"))
    fewer_images = Setting("test_images", "N")
    for setting, limit, final, first, text, effect in amounts:
        if final >= limit:
            need = f" must be more than {text(final)}: the final evaluation alone may {effect}. "
            return Message(setting, need, "Give more, or evaluate on fewer images with ", fewer_images)
        if first + final > limit:
            need = (
                f" must be at least {text(first + final)}: the default {noun} and the starting ones may "
                f"{effect.split()[0]} {text(first)}, and {text(final)} are kept for the final evaluation. "
            )
            fewer = (Setting("initial", "N"), ", ", Setting("restarts", "N"), " or ", fewer_images)
            return Message(setting, need, "Give more, or ask for less with ", *fewer)
    return None


def _dollars(picodollars: int) -> str:
    return f"{math.ceil(picodollars * 1e6 / PICODOLLARS) / 1e6:.6f}"
