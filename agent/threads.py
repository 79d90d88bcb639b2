"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

OPENING = "opening"
"""The name of threads that may be left behind at work when the program ends."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread that does not keep the program alive when the user wants to leave."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(settle: Callable[[], None]) -> None:
        if not future.done():
            settle()

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - raised again in the task that waits
            failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
            settle: Callable[[], None] = lambda: future.set_exception(failure)  # noqa: E731
        else:
            settle = lambda: future.set_result(value)  # noqa: E731
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, settle)

    threading.Thread(target=run, name=OPENING, daemon=True).start()
    return await future
