"""Listeners that write a run's events somewhere: the registry, and a thread for slow ones."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias

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

    def __call__(self, event: Event, when_ns: int, /) -> None:
        """Take an event and the time of its emission, in nanoseconds since 1970."""

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
        self._queue: queue.Queue[tuple[Event, int] | None] = queue.Queue(most_waiting)
        self._thread = threading.Thread(target=self._work, name=self.__qualname__, daemon=True)
        self._failed: BaseException | None = None
        self._said = False
        self._lost = 0

    def __call__(self, event: Event) -> None:
        """Take an event; never waits."""
        if self._failed is not None:
            self._said = True
            raise RuntimeError(self._why(self._failed)) from None
        try:
            self._queue.put_nowait((event, time.time_ns()))
        except queue.Full:
            self._lost += 1

    def start(self) -> None:
        self._thread.start()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._thread.ident:
            return  # the run never began
        while True:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
                break
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
                self._lost += 1
        await asyncio.to_thread(self._thread.join, self._close_s)
        if self._failed is not None and not self._said:
            self._emit(ListenerFailed(listener=self.__qualname__, error=self._why(self._failed)))
        elif self._thread.is_alive():
            self._emit(
                Noted(text=f"the {self.__qualname__} is not done after {self._close_s:g} s; left behind")
            )
        elif self._lost:
            self._emit(
                Noted(text=f"the {self.__qualname__} was too slow for {self._lost:,} events, which it lacks")
            )

    def _work(self) -> None:
        try:
            writer = self._make()
            while (item := self._queue.get()) is not None:
                writer(*item)
                if self._queue.empty():
                    writer.idle()
            writer.close()
        except BaseException as error:  # noqa: BLE001 - another's package; SystemExit too must not be lost
            self._failed = error

    def _why(self, error: BaseException) -> str:
        return self._scrub(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
