"""Write a run's events somewhere: the registry of writers, and the thread that each has."""

from __future__ import annotations

import asyncio
import datetime
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

from ...evaluator.errors import PromptclimbError, reason_of
from ...evaluator.threads import AT_WORK
from .log import EventLog
from .types import Event, Listener, ListenerFailed, Noted

MOST_WAITING = 10_000
"""Events that may wait for a writer; further ones are dropped, with a note."""
CLOSE_S = 20.0
"""The longest wait for a writer at the end of a run."""


class EventWriter(Protocol):
    """Writes events, in the thread of a ``ThreadedSink``; it may take its time."""

    def __call__(self, event: Event, at: datetime.datetime, /) -> None:
        """Take an event, which was emitted ``at`` that time."""

    def idle(self) -> None:
        """Write what was collected: no other event waits."""

    def close(self) -> None:
        """Write what is not written."""


OpenWriter: TypeAlias = Callable[[Path, Callable[[Any], Any]], EventWriter]
"""Makes a writer from a run's folder and a function that removes secrets."""

WRITERS: Sequence[OpenWriter] = [
    EventLog,
]


class ThreadedSink:
    """Hand events to a writer in a thread of its own, so that the search never waits for it.

    Args:
        make: Makes the writer, in the thread: that may load packages and ask servers.
        emit: Takes a failure at the end; after an earlier one the next call raises an error.
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
        self.__qualname__ = name  # when the bus drops it
        self._make, self._emit, self._scrub = make, emit, scrub
        self._most_waiting, self._close_s = most_waiting, close_s
        self._queue: queue.SimpleQueue[tuple[Event, datetime.datetime] | threading.Event | None]
        self._queue = queue.SimpleQueue()
        # By this name the command line knows that it must not wait for it.
        self._thread = threading.Thread(target=self._work, name=f"{AT_WORK}: {name}", daemon=True)
        self._failure: BaseException | None = None
        self._is_reported = False
        self._dropped = 0

    def __call__(self, event: Event) -> None:
        """Take an event; never waits."""
        if self._failure is not None:
            self._is_reported = True
            raise PromptclimbError(self._describe(self._failure)) from None
        if self._queue.qsize() < self._most_waiting:
            self._queue.put((event, datetime.datetime.now(datetime.UTC)))
        else:
            self._dropped += 1

    def start(self) -> None:
        """Write what was held, and from now on every event: the run is on disk."""
        self._thread.start()

    def flush(self) -> None:
        """Wait until all that was taken is written, or cannot be; for a thread that may wait."""
        written = threading.Event()
        self._queue.put(written)
        while self._thread.is_alive() and not written.wait(0.1):
            pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._thread.ident:
            return  # the run never began
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, self._close_s)
        name = self.__qualname__
        if self._failure is not None and not self._is_reported:
            self._emit(ListenerFailed(listener=name, error=self._describe(self._failure)))
        elif self._thread.is_alive():
            late = f"the {name} is not done after {self._close_s:g} s, and may lack some of the run"
            self._emit(Noted(text=f"{late}: check that its server answers"))
        elif self._dropped:
            self._emit(Noted(text=f"the {name} was too slow: it lacks {self._dropped:,} events"))

    def _work(self) -> None:
        try:
            writer = self._make()
            try:
                while (item := self._queue.get()) is not None:
                    if isinstance(item, threading.Event):
                        writer.idle()
                        item.set()
                        continue
                    writer(*item)
                    if self._queue.empty():
                        writer.idle()
            except BaseException:
                with suppress(Exception):  # one more try to write the rest; the first error is reported
                    writer.close()
                raise
            writer.close()
        except BaseException as error:  # noqa: BLE001 - another's package; SystemExit too must not be lost
            self._failure = error

    def _describe(self, error: BaseException) -> str:
        where = f"{name}: " if (name := getattr(error, "filename", None)) else ""
        return self._scrub(f"{where}{reason_of(error)}")
