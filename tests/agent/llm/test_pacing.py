"""Limits of requests, tokens and requests in flight: used up, never overrun, learned, and fair."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.errors import RequestTooLargeError
from promptclimb.agent.events.types import Event
from promptclimb.agent.llm.limiter import BURST_S, RateLimiter, RateLimits, Window
from tests.fakes.clock import run_virtual, virtual_time
from tests.fakes.limits import Style, counter


def limiter(limits: RateLimits, events: list[Event] | None = None) -> RateLimiter:
    """A limiter on the running loop's clock."""
    emit: Callable[[Event], None] = (lambda _: None) if events is None else events.append
    return RateLimiter("one", limits, clock=asyncio.get_running_loop().time, emit=emit)


async def drive(
    pacer: RateLimiter, server: object, seconds: float, tokens: int = 100, used: int = 100
) -> tuple[float, int]:
    """Thirty restarts that ask for so long; the amount that the server answered, and its refusals."""
    loop = asyncio.get_running_loop()
    rng = random.Random(1)
    through, refused = 0.0, 0

    async def restart() -> None:
        nonlocal through, refused
        while True:
            with await pacer.acquire(tokens) as permit:
                now = loop.time()
                if (wait_s := server.wait(now, used)) > 0:  # type: ignore[attr-defined]
                    refused += 1
                    pacer.rate_limited(permit)
                    pacer.pause(wait_s)
                    continue
                server.use(now, used)  # type: ignore[attr-defined]
                through += used
                await asyncio.sleep(rng.uniform(0.1, 1.0))
                pacer.succeeded(permit, used)

    tasks = [loop.create_task(restart()) for _ in range(30)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return through, refused


@pytest.mark.parametrize("style", ["sliding", "fixed", "bucket"])
@pytest.mark.parametrize("rpm", [3, 60, 600])
def test_a_limit_on_requests_is_used_up_and_never_overrun(style: Style, rpm: int) -> None:
    """However the server counts, it refuses nothing and nearly all that it allows is used."""

    async def three_minutes() -> tuple[float, int]:
        return await drive(limiter(RateLimits(rpm=rpm, concurrency=30)), counter(style, rpm), 180, used=1)

    through, refused = run_virtual(three_minutes())
    assert refused == 0
    assert through >= 0.97 * 3 * rpm


@pytest.mark.parametrize("style", ["sliding", "fixed", "bucket"])
def test_a_limit_on_tokens_is_used_up_though_answers_are_shorter_than_feared(style: Style) -> None:
    """A reservation follows what requests really use."""

    async def three_minutes() -> tuple[float, int]:
        pacer = limiter(RateLimits(tpm=60_000, concurrency=30))
        return await drive(pacer, counter(style, 60_000), 180, tokens=600, used=150)

    through, refused = run_virtual(three_minutes())
    assert refused == 0
    assert through >= 0.95 * 3 * 60_000


@virtual_time
async def test_an_endpoint_that_counts_what_was_asked_for_is_understood() -> None:
    """Tokens asked for and not used count there: after a refusal about tokens they do here too."""
    pacer = limiter(RateLimits(tpm=6000, concurrency=4))
    server, refused = counter("sliding", 6000), 0
    loop = asyncio.get_running_loop()
    while loop.time() < 1800:
        with await pacer.acquire(300) as permit:
            if (wait_s := server.wait(loop.time(), 300)) > 0:
                refused += 1
                pacer.rate_limited(permit, tokens=True)
                pacer.pause(wait_s)
                continue
            server.use(loop.time(), 300)
            await asyncio.sleep(0.2)
            pacer.succeeded(permit, 100)
    assert refused <= 12


@given(st.integers(1, 100), st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 40)), max_size=60))
def test_no_minute_ever_holds_more_than_the_limit(limit: int, uses: list[tuple[float, float]]) -> None:
    """Whatever is asked when: what is used in any 60 seconds stays within the limit."""
    window, now, log = Window(limit), 0.0, []
    for pause, weight in uses:
        amount = min(weight, limit)
        now += pause
        for _ in range(100):
            if (wait := window.delay(now, amount)) <= 0:
                break
            now += wait + 1e-9
        assert window.delay(now, amount) <= 0
        window.take(now, amount)
        log.append((now, amount))
        assert sum(used for at, used in log if at > now - 60) <= limit * (1 + 1e-9)


@given(st.integers(10, 6000))
def test_the_burst_is_the_stated_one(limit: int) -> None:
    """At once goes what the burst allows, and one."""
    window, count = Window(limit), 0
    while window.delay(0.0, 1) <= 0:
        window.take(0.0, 1)
        count += 1
    assert count <= limit * BURST_S / 60 + 2


@virtual_time
async def test_waiters_are_served_in_order() -> None:
    """First come, first served, though all are ready at once."""
    pacer, order = limiter(RateLimits(rpm=60, concurrency=2)), []

    async def restart(number: int) -> None:
        with await pacer.acquire(1):
            order.append(number)
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(restart(number))
    assert order == list(range(20))


@virtual_time
async def test_no_more_are_in_flight_than_set_and_cancelling_gives_back() -> None:
    """Cancelled waiters and holders leave nothing behind."""
    pacer = limiter(RateLimits(concurrency=2))
    tasks = [asyncio.create_task(hold(pacer)) for _ in range(6)]
    await asyncio.sleep(1)
    assert pacer.in_flight == 2
    for task in (tasks[0], tasks[3], tasks[5]):
        task.cancel()
    await asyncio.sleep(1)
    assert pacer.in_flight == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert pacer.in_flight == 0
    with await pacer.acquire(1):
        assert pacer.in_flight == 1


async def hold(pacer: RateLimiter) -> None:
    """Take a permit and keep it."""
    with await pacer.acquire(1):
        await asyncio.sleep(1000)


@virtual_time
async def test_a_request_larger_than_a_minute_allows_fails_at_once() -> None:
    """It would wait for ever; but only a limit that was set says so, a header may be wrong."""
    pacer = limiter(RateLimits(tpm=1000))
    with pytest.raises(RequestTooLargeError, match=r"1001 tokens.*1000"):
        await pacer.acquire(1001)
    learning = limiter(RateLimits(concurrency=1))
    permit = await learning.acquire(1)
    waiting = asyncio.create_task(learning.acquire(5000))
    await asyncio.sleep(0)
    learning.read_headers(permit, {"x-ratelimit-limit-tokens": "1000"})
    learning.leave()
    await waiting
    learning.leave()
    assert asyncio.get_running_loop().time() <= 61
