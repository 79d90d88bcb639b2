"""Listeners that write a run's events somewhere: the registry, and a thread for slow ones."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from ...evaluator.errors import PromptclimbError, reason_of
from ...evaluator.threads import AT_WORK
from .log import open_log
from .types import Event, Listener, ListenerFailed, Noted


class Sink(Protocol):
    """A listener that is opened and closed with a run."""

    def __call__(self, event: Event) -> None:
        """Take an event; must not block."""
        ...

    def start(self) -> None:
        """Write what was held: the run is on disk now."""
        ...


OpenSink: TypeAlias = Callable[[Path, Callable[[Any], Any]], AbstractContextManager[Sink]]
"""Opens a sink that holds events until it starts, from a run's folder and a function that removes secrets."""

SINKS: Sequence[OpenSink] = [
    open_log,
]

MOST_WAITING = 10_000
"""Events that may wait for a slow sink; further ones are dropped, with a note."""
CLOSE_S = 20.0
"""The longest wait for a sink at the end of a run."""


class EventWriter(Protocol):
    """Writes events, in the thread of a ``ThreadedSink``."""

    def __call__(self, event: Event, /) -> None: ...

    def idle(self) -> None:
        """Send what was collected: no other event waits."""

    def close(self) -> None:
        """Write what is not written."""


class ThreadedSink:
    """Hand events to a writer in a thread of its own, so that the search never waits for it.

    Args:
        make: Makes the writer, in the thread: that may load packages and ask servers.
        emit: Takes a failure at the end; after an earlier one the next call raises RuntimeError.
        scrub: Removes secrets from error messages.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], EventWriter],
        *,
        emit: Listener,
        scrub: Callable[[str], str] = str,
        most_waiting: int = MOST_WAITING,
        close_s: float = CLOSE_S,
    ) -> None:
        self.__qualname__ = f"tracker {name}"  # its name when the bus drops it
        self._make, self._emit, self._scrub, self._close_s = make, emit, scrub, close_s
        self._queue: queue.Queue[Event | None] = queue.Queue(most_waiting)
        # By this name the command line knows that it must not wait for it.
        self._thread = threading.Thread(
            target=self._work, name=f"{AT_WORK}: {self.__qualname__}", daemon=True
        )
        self._failure: BaseException | None = None
        self._is_reported = False
        self._dropped = 0

    def __call__(self, event: Event) -> None:
        """Take an event; never waits."""
        if self._failure is not None:
            self._is_reported = True
            raise PromptclimbError(self._describe(self._failure)) from None
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self._dropped += 1

    def start(self) -> None:
        self._thread.start()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._thread.ident:
            return  # the run never began
        # The end of the queue is marked even if that drops an event.
        while True:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
                break
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
                self._dropped += 1
        await asyncio.to_thread(self._thread.join, self._close_s)
        name = self.__qualname__
        if self._failure is not None and not self._is_reported:
            self._emit(ListenerFailed(listener=name, error=self._describe(self._failure)))
        elif self._thread.is_alive():
            self._emit(Noted(text=f"the {name} is not done after {self._close_s:g} s; left behind"))
        elif self._dropped:
            self._emit(Noted(text=f"the {name} was too slow: it lacks {self._dropped:,} events"))

    def _work(self) -> None:
        try:
            writer = self._make()
            while (event := self._queue.get()) is not None:
                writer(event)
                if self._queue.empty():
                    writer.idle()
            writer.close()
        except BaseException as error:  # noqa: BLE001 - another's package; SystemExit too must not be lost
            self._failure = error

    def _describe(self, error: BaseException) -> str:
        return self._scrub(reason_of(error))
