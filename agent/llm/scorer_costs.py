"""What the requests of a scorer behind an API cost at most, and whether limits have room for that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

from ...evaluator.remote.asking import ApiRequest
from ..prices import NOTHING, PICODOLLARS, Spent, TokenUsage
from .budget import Limits

KEPT_PERCENT = 102
"""What is kept for the final evaluation, of what it takes, as some attempts fail and are billed."""

RequestSizes: TypeAlias = Counter[tuple[int, int]]
"""How many requests there are by the tokens that they declare, of prompt and answer."""


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


def part_of(spent: Spent, times: int, of: int = 1) -> Spent:
    """Return ``times / of`` as much of an estimate, rounded up."""
    amounts = (spent.calls, spent.estimated_tokens, spent.estimated_picodollars)
    calls, tokens, money = (-(-amount * times // of) for amount in amounts)
    return Spent(calls=calls, estimated_tokens=tokens, estimated_picodollars=money)


def to_keep(final: Spent) -> Spent:
    """Return what is kept for a final evaluation that takes so much."""
    return part_of(final, KEPT_PERCENT, 100)


def why_refused(limits: Limits, kept: Spent, start: Spent = NOTHING, noun: str = "template") -> str | None:
    """Return why limits are too low for the start beside what is kept; None if they are not.

    ``noun`` is a candidate's name.
    """
    if (calls := limits.calls) is not None:
        option = f"--max-scorer-calls {calls}"
        why = _no_room(option, calls, kept.calls, start.calls, str, noun, may="take so many")
        if why is not None:
            return why
    if (money := limits.picodollars) is None:
        return None
    final, first = kept.estimated_picodollars, start.estimated_picodollars
    option = f"--max-cost {limits.cost_usd:g}"
    return _no_room(option, max(money, 1), final, first, _dollars, noun, may="cost so much")


def _no_room(
    option: str, limit: int, final: int, first: int, text: Callable[[int], str], noun: str, *, may: str
) -> str | None:
    """Return why one limit is too low for the final evaluation, or for the start beside it."""
    if final >= limit:
        return (
            f"{option} must be more than {text(final)}: the final evaluation alone may {may}. "
            "Give more, or evaluate on fewer images with --test-images N"
        )
    if first + final > limit:
        verb = may.split()[0]
        return (
            f"{option} must be at least {text(first + final)}: the default {noun} and the starting "
            f"ones may {verb} {text(first)}, and {text(final)} are kept for the final evaluation. "
            "Give more, or ask for less with --initial N, --restarts N or --test-images N"
        )
    return None


def _dollars(picodollars: int) -> str:
    return f"{math.ceil(picodollars * 1e6 / PICODOLLARS) / 1e6:.6f}"
