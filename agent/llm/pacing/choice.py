"""Which endpoint of a pool a request goes to, and how long it is waited for there.

An endpoint that is known to answer (its breaker is closed) is preferred; the others are asked by a probe at a
time, when no other has room. Of several that answer, a slower one is used when the queue is so long that the
last in it would wait longer for the faster one: the threshold policy that is optimal for two servers of
unequal speed (W. Lin and P. R. Kumar, "Optimal Control of a Queueing System with Two Heterogeneous Servers",
IEEE Transactions on Automatic Control 29(8), 1984). Of equal ones, the one with the smallest share of its
room taken.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from .limiter import RateLimiter

AS_FAST = 1.2
"""Up to this ratio endpoints are taken to be equally fast: the mean of a few answers is no better."""
SHORTEST_PATIENCE_S = 1.0
FIRST_PATIENCE_S = 10.0
"""What an endpoint gets of which nothing is known, while another of which nothing is known is idle; and the
least that one gets which has answered."""
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
    waits = {one: one.delay(tokens) for one in known}
    ready = [one for one in known if waits[one] <= 0 and _pays(one, known, tokens, waiting)]
    if ready:
        return 0.0, min(ready, key=RateLimiter.load)
    if not known or not moved:
        alone = not any(one.breaker.closed for one in limiters)
        for one in able:
            if not one.breaker.closed:
                waits[one] = max(one.delay(tokens), one.breaker.wait_s(alone=alone))
    # One with room that does not pay is no reason to wake up: another one's end is.
    later = {one: math.inf if one in known and wait <= 0 else wait for one, wait in waits.items()}
    return min(((wait, one.breaker.failures, one) for one, wait in later.items()), key=lambda each: each[:2])[
        ::2
    ]


def has_hope(limiters: Collection[RateLimiter]) -> bool:
    """Whether one of them may well answer."""
    return any(one.breaker.hopeful for one in limiters)


def patience_s(
    limiter: RateLimiter, limiters: Sequence[RateLimiter], tokens: int, *, waiting: int, probe: bool
) -> float:
    """Return for how long an attempt is waited for before its request is better off elsewhere.

    An endpoint that has answered gets four times its own slowest answer of late, or of the others' if that is
    more. A probe gets twice what the others would take, and twice as much with each that fails, up to
    sixteen times.

    Args:
        limiter: Where the attempt is made.
        limiters: The endpoints in use.
        tokens: The most that the request can be billed for.
        waiting: Requests in the queue.
        probe: Whether it is a probe.
    """
    others = [one for one in limiters if one is not limiter]
    there = elsewhere_s([one for one in others if one.breaker.closed], tokens, waiting + 1, slowest=True)
    if math.isinf(there):
        return FIRST_PATIENCE_S if probe and any(one.breaker.idle for one in others) else math.inf
    if probe:
        times = min(PROBE_TIMES * 2.0 ** min(limiter.breaker.failures, 10), MOST_PROBE_TIMES)
        return max(times * there, SHORTEST_PATIENCE_S)
    return max(ANSWERED_TIMES * max(limiter.speed.slowest_s, there), FIRST_PATIENCE_S)


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
    return one.speed.mean_s <= AS_FAST * elsewhere_s(others, tokens, waiting)
