"""Handle signals: the first asks a search to stop, the second quits at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from ...evaluator.errors import PromptclimbError
from ..errors import InterruptedRunError
from ..stop import Stop
from .output import console, say

T = TypeVar("T")

_HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""The terminal has gone; it comes twice, from the kernel and from the shell. Windows has no such signal."""


TWICE_S = 1.0
"""A second SIGTERM within this time is the first again: ``timeout`` sends it to a process and its group."""


def _ending() -> list[int]:
    """Return the signals that end a search; under ``nohup`` a hangup is ignored, and stays so."""
    if _HANGUP is None or signal.getsignal(_HANGUP) is signal.SIG_IGN:
        return [signal.SIGINT, signal.SIGTERM]
    return [signal.SIGINT, signal.SIGTERM, _HANGUP]


class _Repeats:
    """Tells a signal that comes again by itself from a second one that the user sent."""

    def __init__(self) -> None:
        self._terminated_at = float("-inf")

    def is_repeat(self, number: int, now: float, *, ending: bool) -> bool:
        """Return whether a signal says nothing new; ``ending`` if an earlier one ends the command already."""
        if number == _HANGUP:
            return ending
        if number != signal.SIGTERM:
            return False
        before, self._terminated_at = self._terminated_at, now
        return now - before < TWICE_S


class Interrupted(KeyboardInterrupt):
    """What Ctrl-C raises, for any of the signals; ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def raising_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise what Ctrl-C raises, in commands that do not ``run_interruptible``."""
    repeats = _Repeats()
    raised: Interrupted | None = None

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if not repeats.is_repeat(number, time.monotonic(), ending=raised is not None):
            raised = Interrupted(number)
            raise raised

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = [number for number in _ending() if signal.getsignal(number) is not signal.SIG_IGN]
    handlers = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    except Exception as error:
        if raised is None or isinstance(error, PromptclimbError):
            raise
        raise raised from error  # a library made another error of it, as pydantic while it builds a model
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def run_interruptible(
    work: Callable[[Stop], Awaitable[T]],
    leave: Callable[[], None] = lambda: None,
    *,
    has_requests: bool = False,
) -> T:
    """Run async work with SIGINT, SIGTERM and SIGHUP turned into a stop; a second signal quits at once.

    Args:
        work: Takes the stop.
        leave: Called before quitting at once; says how to continue.
        has_requests: It asks endpoints: after the first signal, open requests are waited for.

    Raises:
        InterruptedRunError: A signal ended it; every answer is on disk.
    """

    async def main() -> T:
        stop, loop = Stop(), asyncio.get_running_loop()
        repeats = _Repeats()

        def interrupt(number: int) -> None:
            if repeats.is_repeat(number, loop.time(), ending=stop.cause is not None):
                return
            if stop.cause is not None:
                console().show_cursor()  # which a live panel hides
                say("Quitting now.")
                stop.clean_up()
                leave()
                # All answers and scores are on disk; a thread within a batch would delay the exit.
                os._exit(128 + number)
            stop.request(InterruptedRunError(number))
            happens = "Finishing open requests." if has_requests else "Stopping."
            say(f"{happens} Press Ctrl-C again to quit now.")

        for number in _ending():
            _on_signal(number, interrupt)
        return await work(stop)

    return asyncio.run(main())


def _on_signal(number: int, call: Callable[[int], None]) -> None:
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(number, call, number)
    except NotImplementedError:
        # Windows' loop has no handlers, but a signal wakes it.
        signal.signal(number, lambda came, _frame: loop.call_soon_threadsafe(call, came))
