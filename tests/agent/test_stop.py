"""Stopping: what waits ends at once, what is paid has its grace, and a foreign cancellation stays one."""

from __future__ import annotations

import asyncio

import pytest

from promptclimb.agent.errors import InterruptedRunError
from promptclimb.agent.stop import Stop
from promptclimb.evaluator.errors import PromptclimbError
from tests.fakes.clock import virtual_time


@virtual_time
async def test_a_stop_spares_only_what_is_paid() -> None:
    """Waiting tasks end at once, paid ones within the grace, stubborn ones after it."""
    stop, ends = Stop(grace_s=10), {}
    loop = asyncio.get_running_loop()

    async def work(name: str, seconds: float, *, paid: bool) -> None:
        try:
            with stop.watching():
                if paid:
                    stop.paid()
                await asyncio.sleep(seconds)
        except InterruptedRunError:
            pass
        finally:
            ends[name] = loop.time()

    async with asyncio.TaskGroup() as group:
        for name, seconds, paid in (("waits", 50, False), ("pays", 6, True), ("hangs", 500, True)):
            group.create_task(work(name, seconds, paid=paid))
        await asyncio.sleep(2)
        stop.request(InterruptedRunError(2))
    assert ends == {"waits": 2, "pays": 6, "hangs": 12}
    with pytest.raises(InterruptedRunError):
        stop.check()


@virtual_time
async def test_who_asks_is_not_cancelled() -> None:
    """A task that asks because of its own error goes on to its end; the others stop for that cause."""
    stop, seen = Stop(), []

    async def fails() -> None:
        with stop.watching():
            await asyncio.sleep(1)
            stop.request(PromptclimbError("broken"))
            await asyncio.sleep(1)
        seen.append("went on")

    async def waits() -> None:
        with pytest.raises(InterruptedRunError), stop.watching():
            await asyncio.sleep(100)
        seen.append("stopped")

    async with asyncio.TaskGroup() as group:
        group.create_task(fails())
        group.create_task(waits())
    assert seen == ["stopped", "went on"]
    assert str(stop.cause) == "broken"


@virtual_time
async def test_a_foreign_cancellation_passes() -> None:
    """A time limit of the program around the search is not swallowed, also not when a stop comes with it."""
    stop = Stop()

    async def limited() -> None:
        async with asyncio.timeout(1):
            with stop.watching():
                await asyncio.sleep(100)

    with pytest.raises(TimeoutError):
        await limited()
    asyncio.get_running_loop().call_later(1, stop.request, InterruptedRunError(15))
    with pytest.raises(TimeoutError):
        await limited()


@virtual_time
async def test_nothing_is_left_of_a_cancellation() -> None:
    """A task that was stopped can await again, and one that ended before is not touched."""
    stop = Stop()
    with stop.watching():
        await asyncio.sleep(1)
    asyncio.get_running_loop().call_later(1, stop.request, InterruptedRunError(2))
    with pytest.raises(InterruptedRunError), stop.watching():
        await asyncio.sleep(100)
    await asyncio.sleep(100)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(InterruptedRunError), stop.watching():
        pytest.fail("nothing begins once a stop was asked for")


async def test_the_part_that_fails_stops_alone() -> None:
    """What comes after it goes on; a stop of the whole reaches the part that is at work, and later ones."""
    whole = Stop()
    failed = whole.child()
    failed.request(PromptclimbError("its own"))
    whole.check()
    at_work = whole.child()
    at_work.check()
    whole.request(InterruptedRunError(15))
    for child in (at_work, whole.child()):
        with pytest.raises(InterruptedRunError) as caught:
            child.check()
        assert caught.value.signal == 15
