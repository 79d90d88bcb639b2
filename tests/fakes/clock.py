"""Virtual time: a loop whose clock jumps to the next timer as soon as there is nothing else to do."""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from promptclimb.evaluator.threads import _make

P = ParamSpec("P")
T = TypeVar("T")

QUIET_S = 0.002
"""Real seconds without news from sockets before time jumps: bytes between two local ends need a moment."""


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for news only briefly; where the loop would have slept on, its clock moves on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualTimeLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self.loop is not None
        if timeout is None:  # there is nothing to wait for but news: real time has to pass
            return super().select()
        quiet = QUIET_S if len(self.get_map()) > 1 else 0.0
        news = super().select(min(timeout, quiet))
        if not news and timeout > 0:
            self.loop.jump(timeout)
        return news


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and passes only by jumping from timer to timer."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Do the work at once, in this thread: handing it over costs more than most of it takes."""
        work, done = Future[Any](), self.create_future()
        _make(work, lambda: func(*args))
        # ``asyncio.wrap_future`` would write to a socket to wake this very thread.
        self.call_soon(_chain, work, done)
        return done


def _chain(work: Future[Any], done: asyncio.Future[Any]) -> None:
    if done.cancelled():
        return
    if (error := work.exception()) is None:
        done.set_result(work.result())
    else:
        done.set_exception(error)


async def virtual_sleep(seconds: float) -> None:
    """Wait in virtual time; in real time, which tests have none of to give away, only let others run."""
    await asyncio.sleep(seconds if isinstance(asyncio.get_running_loop(), VirtualTimeLoop) else 0)


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it with the same jitter each time."""
    random.seed(0)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test an ordinary one that runs in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    # pytest would see through the wrapper and run the coroutine in a loop of real time.
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = __import__("inspect").signature(test)  # type: ignore[attr-defined]
    return run
