"""Stop a search without losing paid answers.

A task is *paid* from the moment its request leaves until its answer is on disk. A stop gives paid tasks a
grace period and cancels all others at once: they wait for a limit, a retry, or a score that can be computed
again.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import InterruptedRunError

GRACE_S = 10.0


class Stop:
    """Asks a search to stop, and spares its paid tasks for ``grace_s`` seconds.

    ``cause`` says why it stops: an interruption, or the error of one of its tasks; None while it runs.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.cause: Exception | None = None
        self._grace_s = grace_s
        self._watched: set[asyncio.Task[Any]] = set()
        self._paid: set[asyncio.Task[Any]] = set()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._children: weakref.WeakSet[Stop] = weakref.WeakSet()
        self._cleanups: list[Callable[[], None]] = []

    def child(self) -> Stop:
        """Return the stop of one of several searches: stopping all stops it too, but not the reverse."""
        child = Stop(self._grace_s)
        child.cause, child._cleanups = self.cause, self._cleanups
        self._children.add(child)
        return child

    def request(self, cause: Exception) -> None:
        """Ask the search to stop; the first cause counts. Safe in a signal handler of the loop."""
        if self.cause is not None:
            return
        self.cause = cause
        for child in self._children:
            child.request(cause)
        self._cancel(self._watched - self._paid)
        asyncio.get_running_loop().call_later(self._grace_s, lambda: self._cancel(self._watched))

    @contextmanager
    def cleaning_up(self, clean_up: Callable[[], None]) -> Iterator[None]:
        """Call ``clean_up`` when the context ends, and before the process is left at once within it."""
        self._cleanups.append(clean_up)
        try:
            yield
        finally:
            self._cleanups.remove(clean_up)
            clean_up()

    def clean_up(self) -> None:
        """Do what the open contexts would do at their ends."""
        for clean_up in self._cleanups:
            clean_up()

    def check(self) -> None:
        """Raise InterruptedRunError if a stop was asked for."""
        if self.cause is not None:
            raise InterruptedRunError(getattr(self.cause, "signal", 0))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let a stop end the current task while the context is open; other cancellations pass through.

        Raises:
            InterruptedRunError: A stop was asked for; ``cause`` says why.
        """
        self.check()
        task = asyncio.current_task()
        assert task is not None, "a stop watches tasks"
        self._watched.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._cancelled or task.uncancel() > 0:
                raise
            self.check()
        finally:
            for tasks in (self._watched, self._paid, self._cancelled):
                tasks.discard(task)

    def paid(self) -> None:
        """Mark the current task: a request has left, its answer is not on disk."""
        if (task := asyncio.current_task()) is not None:
            self._paid.add(task)

    def settled(self) -> None:
        """Unmark the current task: its answer is on disk, or there will be none."""
        if (task := asyncio.current_task()) is not None:
            self._paid.discard(task)

    def _cancel(self, tasks: set[asyncio.Task[Any]]) -> None:
        # The task that asks stops by itself.
        for task in tasks - self._cancelled - {_current_task()}:
            self._cancelled.add(task)
            task.cancel()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
