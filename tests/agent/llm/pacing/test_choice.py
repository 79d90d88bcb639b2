"""Where a request goes: to quick endpoints, to slow ones in a long queue; and how long it is waited for."""

from __future__ import annotations

import asyncio
import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.llm.pacing import Pacer, RateLimiter, RateLimits
from promptclimb.agent.llm.pacing.breaker import HOLD_SHARE
from promptclimb.agent.llm.pacing.choice import choose, patience_s
from tests.fakes.clock import run_virtual, virtual_time


def endpoint(name: str, *took: float, concurrency: int = 4) -> RateLimiter:
    """A limiter that has seen answers, or none."""
    one = RateLimiter(
        name,
        RateLimits(concurrency=concurrency),
        clock=asyncio.get_running_loop().time,
        rng=random.Random(0),
    )
    for seconds in took:
        one.breaker.answered(probe=one.breaker.admit())
        one.breaker.leave(probe=True)
        one.speed.answered(seconds)
    return one


@virtual_time
async def test_a_slow_endpoint_is_used_when_the_queue_is_long() -> None:
    """Not while the quick one is done sooner with all who wait; then it is."""
    quick, slow = endpoint("quick", *[2.0] * 20), endpoint("slow", *[20.0] * 20)
    assert choose([slow, quick], 1, waiting=1) == (0.0, quick)
    for _ in range(4):
        quick.admit(1)
    assert math.isinf(choose([slow, quick], 1, waiting=3)[0])
    assert choose([slow, quick], 1, waiting=60) == (0.0, slow)


@virtual_time
async def test_equal_endpoints_share_the_work() -> None:
    """The one with the smaller share of its room taken is next; a few answers are no proof of slowness."""
    first, second = endpoint("first", *[2.0] * 20), endpoint("second", *[2.2] * 20)
    first.admit(1)
    assert choose([first, second], 1, waiting=1)[1] is second
    second.admit(1)
    second.admit(1)
    assert choose([first, second], 1, waiting=1)[1] is first
    new = endpoint("new", 4.0)
    assert choose([first, new], 1, waiting=1)[1] is new


@virtual_time
async def test_a_slow_endpoint_that_is_idle_is_looked_at_again() -> None:
    """As seldom as a probe would be: it may have become quick."""
    quick, slow = endpoint("quick", *[2.0] * 20), endpoint("slow", *[20.0] * 20)
    await asyncio.sleep(20.0 * HOLD_SHARE - 1)
    quick.admit(1)
    assert choose([quick, slow], 1, waiting=1)[1] is quick
    await asyncio.sleep(2)
    assert choose([quick, slow], 1, waiting=1)[1] is slow


@virtual_time
async def test_what_has_failed_is_avoided_while_there_is_hope_elsewhere() -> None:
    """And makes no probe while an endpoint answers."""
    first, second, new = endpoint("first", 2.0), endpoint("second", 2.0), endpoint("new")
    assert choose([first, second, new], 1, waiting=1)[1] is new
    assert choose([first, second, new], 1, waiting=1, avoid=[first], moved=True)[1] is second
    assert choose([first, new], 1, waiting=1, avoid=[first], moved=True)[1] is new
    assert choose([first], 1, waiting=1, avoid=[first], moved=True)[1] is first


@virtual_time
async def test_patience_ends_only_where_another_may_answer() -> None:
    """A probe gets a few times what the others take, more each time; an endpoint that answers gets more."""
    quick, new = endpoint("quick", *[2.0] * 20), endpoint("new")
    assert math.isinf(patience_s(quick, [quick], 1, waiting=0, probe=False))
    first = patience_s(new, [quick, new], 1, waiting=0, probe=True)
    assert 4 <= first <= 5
    new.admit(1)
    new.breaker.failed(first, probe=True)
    assert patience_s(new, [quick, new], 1, waiting=0, probe=True) > 1.9 * first
    assert math.isinf(patience_s(quick, [quick, new], 1, waiting=0, probe=False))
    slow = endpoint("slow", *[30.0] * 20)
    assert patience_s(slow, [quick, slow], 1, waiting=0, probe=False) == 120
    assert patience_s(quick, [quick, endpoint("other")], 1, waiting=0, probe=False) == 10


plans = st.lists(
    st.tuples(st.floats(0, 5), st.floats(0, 5), st.sampled_from(["answer", "fail", "refuse"]), st.booleans()),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(plans, st.integers(1, 3), st.integers(2, 3))
def test_nobody_waits_for_ever_and_no_permit_leaks(
    plan: list[tuple[float, float, str, bool]], size: int, count: int
) -> None:
    """Whatever happens at all endpoints but a healthy one: all get a permit, and all give it back."""

    async def play() -> None:
        limiters = [endpoint(str(number), concurrency=size) for number in range(count)]
        pacer, healthy = Pacer(limiters), limiters[0]

        async def restart(start: float, length: float, outcome: str) -> None:
            await asyncio.sleep(start)
            tried: list[RateLimiter] = []
            for _ in range(3):
                with await pacer.acquire(1, avoid=tried, moved=bool(tried)) as permit:
                    limiter = permit.limiter
                    assert limiter.statistics().in_flight <= size
                    await asyncio.sleep(length)
                    if limiter is healthy or outcome == "answer":
                        limiter.speed.answered(length)
                        limiter.breaker.answered(probe=permit.probe)
                        limiter.succeeded(permit, 1)
                        return
                    if outcome == "refuse":
                        limiter.refused(permit, 3600.0)
                    limiter.breaker.failed(length, probe=permit.probe)
                    tried.append(limiter)

        tasks = [asyncio.create_task(restart(start, length, outcome)) for start, length, outcome, _ in plan]
        for (start, length, _, cancelled), task in zip(plan, tasks, strict=True):
            if cancelled:
                asyncio.get_running_loop().call_later((start + length) / 2, task.cancel)
        async with asyncio.timeout(1000):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert pacer.waiting == 0
        assert {one.statistics().in_flight for one in limiters} == {0}
        assert not any(task.cancelled() for task, step in zip(tasks, plan, strict=True) if not step[3])

    run_virtual(play())
