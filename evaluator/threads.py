"""Run blocking work in threads that never keep the program alive."""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

T = TypeVar("T")

AT_WORK, IDLE = "at work", "idle"
"""Names of the threads; one at work when the program ends is left behind."""


class DaemonThreads(Executor):
    """An executor of at most ``threads`` calls at once whose threads do not keep the program alive.

    ``ThreadPoolExecutor`` would wait at exit for a call that never returns. Threads live until ``shutdown``,
    so what libraries cache per thread stays warm.
    """

    def __init__(self, threads: int) -> None:
        self._left = threads
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a call in a thread; see ``Executor``.

        StopIteration, and anything but an ``Exception``, arrive as a RuntimeError: raised in a task, they
        would end unrelated work.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("no call is made after the shutdown")
            self._calls.put((future, lambda: call(*args, **kwargs)))
            if not self._idle.acquire(blocking=False) and self._left:
                self._left -= 1
                threading.Thread(target=self._work, name=IDLE, daemon=True).start()
        return future

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """Accept no more calls, drop waiting ones by default, and do not wait for a running one."""
        with self._lock:
            self._closed = True
        while cancel_futures and not self._calls.empty():
            if (call := self._calls.get()) is not None:
                call[0].cancel()
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            threading.current_thread().name = AT_WORK
            _make(*call)
            threading.current_thread().name = IDLE
            self._idle.release()
        self._calls.put(None)  # for the next thread


def _make(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - raised again where the call is waited for
        raised = error
        if not isinstance(error, Exception) or isinstance(error, StopIteration):
            raised = RuntimeError(repr(error))
            raised.__cause__ = error
        future.set_exception(raised)
    else:
        future.set_result(value)


_turns: weakref.WeakKeyDictionary[object, threading.Semaphore] = weakref.WeakKeyDictionary()
_finding = threading.Lock()


def turns_of(owner: object, at_once: int) -> threading.Semaphore:
    """Return the semaphore of a user's object, shared between searches; the first ``at_once`` counts."""
    with _finding:
        try:
            return _turns.setdefault(owner, threading.Semaphore(at_once))
        except TypeError:  # no weak reference allowed, or not hashable
            return threading.Semaphore(at_once)


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread of its own, which is left behind if the caller stops waiting."""
    threads = DaemonThreads(1)
    working = asyncio.get_running_loop().run_in_executor(threads, work)
    threads.shutdown(cancel_futures=False)
    return await working


async def outliving_its_waiter(work: asyncio.Future[T]) -> T:
    """Wait for work that goes on if the caller is cancelled; if it fails then, nobody is told."""

    def seen(done: asyncio.Future[T]) -> None:
        if not done.cancelled():
            done.exception()

    work.add_done_callback(seen)
    await asyncio.wait({work})
    return work.result()


def at_once(answer: T | Awaitable[T]) -> T:
    """Return an answer that is not to be awaited."""
    assert not isinstance(answer, Awaitable)
    return answer


async def awaited(answer: T | Awaitable[T]) -> T:
    """Return an answer, or what comes of it if it is to be awaited."""
    if isinstance(answer, Awaitable):
        value: T = await answer
        return value
    return answer


async def in_thread_or_loop(work: Callable[[], T | Awaitable[T]], threads: Executor | None = None) -> T:
    """Run blocking work in a thread, by default one of its own; await it in the loop if it is a coroutine."""
    answers: list[T | Awaitable[T]] = []
    is_waited_for = True

    def answer() -> T | Awaitable[T]:
        answers.append(work())
        if not is_waited_for:
            _close_coroutines(answers)
        return answers[0]

    try:
        if threads is None:
            await in_thread(answer)
        else:
            await asyncio.get_running_loop().run_in_executor(threads, answer)
    except asyncio.CancelledError:
        is_waited_for = False
        _close_coroutines(answers)
        raise
    return await awaited(answers[0])


def _close_coroutines(answers: list[Any]) -> None:
    """Close coroutines that nobody will await: Python would warn of each that is dropped."""
    for answer in answers:
        if asyncio.iscoroutine(answer):
            answer.close()
