"""Which endpoint of a pool a request goes to: the one with the least load; and how long it is waited for."""

from __future__ import annotations

import asyncio
import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.errors import TransientChatError
from promptclimb.agent.llm.limiter import RateLimiter, RateLimits
from promptclimb.agent.llm.pool import HOLD_SHARE, EndpointPool, PooledEndpoint
from tests.fakes.clock import run_virtual, virtual_time
from tests.fakes.pools import member


def endpoint(name: str, *took: float, concurrency: int = 4) -> PooledEndpoint:
    """A member that has seen answers, or none."""
    limits, clock = RateLimits(concurrency=concurrency), asyncio.get_running_loop().time
    one = member(RateLimiter(name, limits, clock=clock, rng=random.Random(0)))
    for seconds in took:
        one.breaker.answered(probe=one.breaker.admit())
        one.breaker.leave(probe=True)
        one.limiter.took_s.append(seconds)
    return one


@virtual_time
async def test_equal_endpoints_share_the_work() -> None:
    """The next request goes to the one with fewer requests in flight."""
    first, second = endpoint("first", *[2.0] * 20), endpoint("second", *[2.2] * 20)
    pool = EndpointPool([first, second])
    first.limiter.admit(1)
    assert pool.choose(1) == (0.0, second)
    second.limiter.admit(1)
    second.limiter.admit(1)
    assert pool.choose(1) == (0.0, first)


@virtual_time
async def test_a_slow_endpoint_gets_as_much_work_as_it_can_do() -> None:
    """Its requests count by the time that they take; if the quick one is full, it is used at once."""
    quick, slow = endpoint("quick", *[2.0] * 20), endpoint("slow", *[7.0] * 20)
    pool = EndpointPool([slow, quick])
    for _ in range(3):
        assert pool.choose(1) == (0.0, quick)
        quick.limiter.admit(1)
    assert pool.choose(1) == (0.0, slow)
    slow.limiter.admit(1)
    assert pool.choose(1) == (0.0, quick)
    quick.limiter.admit(1)
    assert pool.choose(1) == (0.0, slow)


@virtual_time
async def test_a_slow_endpoint_that_is_idle_is_looked_at_again() -> None:
    """As seldom as a probe would be: it may have become quick."""
    quick, slow = endpoint("quick", *[2.0] * 20), endpoint("slow", *[20.0] * 20)
    pool = EndpointPool([quick, slow])
    await asyncio.sleep(20.0 * HOLD_SHARE - 1)
    quick.limiter.admit(1)
    assert pool.choose(1)[1] is quick
    await asyncio.sleep(2)
    assert pool.choose(1)[1] is slow


@virtual_time
async def test_what_has_failed_is_avoided_while_there_is_hope_elsewhere() -> None:
    """A request that has failed elsewhere makes no probe while an endpoint answers."""
    first, second, new = endpoint("first", 2.0), endpoint("second", 2.0), endpoint("new")
    pool = EndpointPool([first, second, new])
    assert pool.choose(1)[1] is new
    assert pool.choose(1, avoid=[first], moved=True)[1] is second
    assert EndpointPool([first, new]).choose(1, avoid=[first], moved=True)[1] is new
    assert EndpointPool([first]).choose(1, avoid=[first], moved=True)[1] is first


@virtual_time
async def test_patience_ends_only_where_another_may_answer() -> None:
    """A probe gets a few times what the others take, more each time; an endpoint that answers gets more."""
    quick, new, slow = endpoint("quick", *[2.0] * 20), endpoint("new"), endpoint("slow", *[30.0] * 20)
    assert math.isinf(EndpointPool([quick]).patience_s(quick, probe=False))
    pool = EndpointPool([quick, new])
    first = pool.patience_s(new, probe=True)
    assert 4 <= first <= 5
    assert new.breaker.admit()
    new.breaker.failed(first, probe=True)
    assert pool.patience_s(new, probe=True) > 1.9 * first
    assert math.isinf(pool.patience_s(quick, probe=False))
    assert EndpointPool([quick, slow]).patience_s(slow, probe=False) == 120
    assert EndpointPool([quick, endpoint("other")]).patience_s(quick, probe=False) == 10


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
        members = [endpoint(str(number), concurrency=size) for number in range(count)]
        pool, healthy = EndpointPool(members), members[0]

        async def restart(start: float, length: float, outcome: str) -> None:
            await asyncio.sleep(start)
            tried: list[PooledEndpoint] = []
            for _ in range(3):
                one, permit = await pool.acquire(1, avoid=tried, moved=bool(tried))
                with permit:
                    assert one.limiter.in_flight <= size
                    await asyncio.sleep(length)
                    if one is healthy or outcome == "answer":
                        one.breaker.answered(probe=permit.probe)
                        one.limiter.succeeded(permit, 1)
                        return
                    if outcome == "refuse":
                        one.limiter.refused(permit, 3600.0)
                    error = TransientChatError("no")
                    error.took_s = length
                    pool.suspend(one, error, probe=permit.probe)
                    tried.append(one)

        tasks = [asyncio.create_task(restart(start, length, outcome)) for start, length, outcome, _ in plan]
        for (start, length, _, cancelled), task in zip(plan, tasks, strict=True):
            if cancelled:
                asyncio.get_running_loop().call_later((start + length) / 2, task.cancel)
        async with asyncio.timeout(1000):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert pool.waiting == 0
        assert {one.limiter.in_flight for one in members} == {0}
        assert not any(task.cancelled() for task, each in zip(tasks, plan, strict=True) if not each[3])

    run_virtual(play())
