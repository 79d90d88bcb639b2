"""Which endpoint of a pool a request goes to, and how long it is waited for there.

Whoever is due for a probe is asked by the next in the queue. All others go where they are answered (where the
breaker is closed). Of several that answer, a slower one is used when the queue is so long that the
last in it would wait longer for the faster one: the threshold policy that is optimal for two servers of
unequal speed (W. Lin and P. R. Kumar, "Optimal Control of a Queueing System with Two Heterogeneous Servers",
IEEE Transactions on Automatic Control 29(8), 1984). Of equal ones, the one with the smallest share of its
room taken.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from .breaker import HOLD_SHARE
from .limiter import RateLimiter

AS_FAST = 1.2
"""Up to this ratio endpoints are taken to be equally fast, and one more by the number of answers known: the
mean of a few is no better. A slower one that is idle is asked again as seldom as a probe would be."""
SHORTEST_PATIENCE_S = 1.0
FIRST_PATIENCE_S = 10.0
"""What a probe gets while nobody is known to answer and another endpoint could be tried; and the least that
an endpoint gets which has answered."""
PROBE_TIMES = 2.0
MOST_PROBE_TIMES = 16.0
ANSWERED_TIMES = 4.0


def choose(
    limiters: Sequence[RateLimiter],
    tokens: int,
    *,
    waiting: int,
    avoid: Collection[RateLimiter] = (),
    moved: bool = False,
) -> tuple[float, RateLimiter]:
    """Return how many seconds a request has to wait, and whom it is to ask then.

    Args:
        limiters: The endpoints in use, at least one; with one there is no choice.
        tokens: The most that it can be billed for.
        waiting: Requests in the queue.
        avoid: Endpoints where it has failed: not asked while there is hope elsewhere.
        moved: Whether it has failed elsewhere: then it makes no probe while an endpoint answers.

    Returns:
        Infinity as the wait where only the end of another request can make room.
    """
    if len(limiters) == 1:
        return limiters[0].delay(tokens), limiters[0]
    able = [one for one in limiters if one not in avoid]
    if not has_hope(able):
        able = list(limiters)
    known = [one for one in able if one.breaker.closed]
    probed = [] if known and moved else [one for one in able if not one.breaker.closed]
    alone = not any(one.breaker.closed for one in limiters)
    waits = {one: max(one.delay(tokens), one.breaker.wait_s(alone=alone)) for one in probed}
    for one in known:
        wait = one.delay(tokens)
        # One with room that does not pay is no reason to wake up: another one's end is.
        waits[one] = wait if wait > 0 or _pays(one, known, tokens, waiting) else math.inf
    return _soonest(waits)


def _soonest(waits: Mapping[RateLimiter, float]) -> tuple[float, RateLimiter]:
    found = min(waits, key=lambda one: (waits[one], one.breaker.closed, one.breaker.failures, one.load()))
    return waits[found], found


def has_hope(limiters: Collection[RateLimiter]) -> bool:
    """Whether one of them answers, or may be found to do so, and asks for no pause."""
    return any((one.breaker.closed or one.breaker.due) and not one.pauses for one in limiters)


def patience_s(
    limiter: RateLimiter, limiters: Sequence[RateLimiter], tokens: int, *, waiting: int, probe: bool
) -> float:
    """Return for how long an attempt is waited for before its request is better off elsewhere.

    An endpoint that has answered gets four times its own slowest answer of late, or of the others' if that is
    more. A probe gets twice what the others would take, and twice as much with each that fails, up to
    sixteen times; more while few answers of theirs are known, for the second may well take longer.

    Args:
        limiter: Where the attempt is made.
        limiters: The endpoints in use.
        tokens: The most that the request can be billed for.
        waiting: Requests in the queue.
        probe: Whether it is a probe.
    """
    others = [one for one in limiters if one is not limiter]
    known = [one for one in others if one.breaker.closed]
    if not known and not has_hope(others):
        return math.inf
    there = elsewhere_s(known, tokens, waiting + 1, slowest=True) if known else 0.0
    if not probe or not known:
        return max(ANSWERED_TIMES * max(limiter.speed.slowest_s, there), FIRST_PATIENCE_S)
    times = PROBE_TIMES * 2.0 ** min(limiter.breaker.failures, 10)
    few = PROBE_TIMES / max(sum(one.speed.answers for one in known), 1)
    return max(min(times + few, MOST_PROBE_TIMES) * there, SHORTEST_PATIENCE_S)


def elsewhere_s(known: Collection[RateLimiter], tokens: int, waiting: int, *, slowest: bool = False) -> float:
    """Return when the last of so many in the queue would have its answer from one of these alone."""
    found = [
        one.expected_wait_s(tokens)
        + max(waiting - 1, 0) * one.interval_s(tokens)
        + (one.speed.slowest_s if slowest else one.speed.mean_s)
        for one in known
    ]
    return min(found, default=math.inf)


def _pays(one: RateLimiter, known: Collection[RateLimiter], tokens: int, waiting: int) -> bool:
    others = [other for other in known if other is not one]
    ratio = AS_FAST + 1.0 / one.speed.answers
    return one.speed.mean_s <= ratio * elsewhere_s(others, tokens, waiting) or (
        one.idle_s > HOLD_SHARE * one.speed.mean_s
    )
