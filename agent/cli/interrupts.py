"""Signals: the first asks a search to stop, the second leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from ..errors import InterruptedRunError
from ..stop import Stop
from .output import say

T = TypeVar("T")


def run_interruptible(work: Callable[[Stop], Awaitable[T]]) -> T:
    """Run async work with SIGINT and SIGTERM turned into a stop.

    Raises:
        InterruptedRunError: A signal ended it; all that was paid for is on disk.
    """

    async def main() -> T:
        stop = Stop()

        def interrupt(number: int) -> None:
            if stop.cause is not None:
                # Everything that counts is on disk already; a thread in the middle of a batch must not hold
                # us up.
                os._exit(128 + number)
            say("stopping: waiting for what is paid for (a second signal leaves at once)")
            stop.ask(InterruptedRunError(number))

        for number in (signal.SIGINT, signal.SIGTERM):
            _on_signal(number, interrupt)
        return await work(stop)

    return asyncio.run(main())


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM end what is done without a loop as Ctrl-C does, by an error; a second one leaves at once.

    Raises:
        InterruptedRunError: It came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python tells signals to that one alone
        return

    def interrupt(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise InterruptedRunError(number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _on_signal(number: int, call: Callable[[int], None]) -> None:
    """Have a function called in the running loop when a signal comes, on Windows too."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(number, call, number)
    except NotImplementedError:
        # Windows' loop has none, but is woken by a signal.
        signal.signal(number, lambda came, _frame: loop.call_soon_threadsafe(call, came))
