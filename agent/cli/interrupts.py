"""Signals: the first asks a search to stop, the second leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
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

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, number)
        return await work(stop)

    return asyncio.run(main())
