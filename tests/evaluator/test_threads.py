"""Threads for blocking work: as few as needed, kept warm, and never what keeps a program alive."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Coroutine, Sequence

import pytest

from promptclimb.evaluator.custom import as_evaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.threads import AT_WORK, DaemonThreads, in_thread, in_thread_or_loop, turns_of


def name_of_thread() -> tuple[int, str, bool]:
    here = threading.current_thread()
    return threading.get_ident(), here.name, here.daemon


def test_one_thread_is_used_again() -> None:
    """A library may keep something warm in it."""
    threads = DaemonThreads(4)
    seen = {threads.submit(name_of_thread).result(10) for _ in range(20)}
    threads.shutdown()
    assert {(name, daemon) for _, name, daemon in seen} == {(AT_WORK, True)}
    assert len({ident for ident, *_ in seen}) <= 2  # it may not be idle again before the next call


def test_as_many_work_at_once_as_may_and_no_more() -> None:
    """Those that wait are made in their order."""
    together, release = threading.Barrier(3, timeout=10), threading.Event()

    def meet(number: int) -> int:
        together.wait()
        release.wait(10)
        return number

    threads = DaemonThreads(2)
    both = [threads.submit(meet, number) for number in range(2)]
    later = threads.submit(name_of_thread)
    together.wait()
    assert not later.done()
    release.set()
    assert [future.result(10) for future in both] == [0, 1]
    assert later.result(10)[1] == AT_WORK
    threads.shutdown()


def test_after_the_shutdown_nothing_is_begun() -> None:
    """What runs goes on, what waits is cancelled, and nothing more is taken."""
    begun, release = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        release.wait(10)
        return "done"

    threads = DaemonThreads(1)
    first, second = threads.submit(work), threads.submit(work)
    begun.wait(10)
    threads.shutdown()
    assert second.cancelled()
    with pytest.raises(RuntimeError, match="shutdown"):
        threads.submit(work)
    release.set()
    assert first.result(10) == "done"


@pytest.mark.parametrize(
    "error", [StopIteration(), SystemExit("no GPU"), KeyboardInterrupt(), asyncio.CancelledError()]
)
async def test_what_would_tear_down_a_loop_comes_as_an_error(error: BaseException) -> None:
    """Raised in a task it would end what has nothing to do with the call, or be lost."""

    def work() -> None:
        raise error

    with pytest.raises(RuntimeError) as caught:
        async with asyncio.timeout(10):
            await in_thread(work)
    assert str(caught.value) == repr(error)
    assert caught.value.__cause__ is error


async def test_an_ordinary_error_is_itself() -> None:
    """Whoever waits gets what was raised."""
    with pytest.raises(ValueError, match="invalid literal"):
        await in_thread(lambda: int("no such thing"))


async def test_a_coroutine_that_nobody_waits_for_any_more_is_closed() -> None:
    """Python would warn of one that is dropped unawaited, wherever its garbage is collected."""
    begun, release = threading.Event(), threading.Event()
    late: list[Coroutine[None, None, int]] = []

    async def answer() -> int:
        return 7

    def work() -> Coroutine[None, None, int]:
        begun.set()
        release.wait(10)
        late.append(answer())
        return late[0]

    threads = DaemonThreads(1)
    waiting = asyncio.create_task(in_thread_or_loop(work, threads))
    await in_thread(lambda: begun.wait(10))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    assert threads.submit(lambda: inspect.getcoroutinestate(late[0])).result(10) == inspect.CORO_CLOSED
    threads.shutdown()


def test_searches_take_turns_with_one_object() -> None:
    """Two of them, in two threads: never both inside at once, where it does not say that it takes both."""
    inside, most = 0, 0
    count = threading.Lock()
    met = threading.Barrier(2, timeout=10)

    class Box:
        def score(self, templates: Sequence[str]) -> list[float]:
            nonlocal inside, most
            with count:
                inside += 1
                most = max(most, inside)
            with count:
                inside -= 1
            return [0.5] * len(templates)

    box = Box()

    def search() -> None:
        evaluator = as_evaluator(box, EvaluatorSpec(data="mine"))
        met.wait()
        for _ in range(200):
            evaluator.score(["a {}"])

    threads = DaemonThreads(2)
    for future in [threads.submit(search) for _ in range(2)]:
        future.result(20)
    threads.shutdown()
    assert most == 1
    assert turns_of(box, 1) is turns_of(box, 7)
    assert turns_of([], 1) is not turns_of([], 1)
