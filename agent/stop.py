"""Stopping a search without losing what was paid for.

Between the moment when a request leaves and the moment when its answer is on disk, the task that sent it is
*paid*. A stop lets paid tasks go on for a grace and cancels the others at once: they wait for a limit, for a
pause between attempts, or for a score that can be computed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import InterruptedRunError

GRACE_S = 10.0


class Stop:
    """Whether a search is to stop, and which of its tasks must not be cut off yet.

    Args:
        grace_s: Seconds that paid tasks have to get their answers onto the disk.

    Attributes:
        cause: Why the search is to stop: an interruption, or the error of one of its tasks; None while it
            goes on.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.cause: Exception | None = None
        self._grace_s = grace_s
        self._watched: set[asyncio.Task[Any]] = set()
        self._paid: set[asyncio.Task[Any]] = set()
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._part: Stop | None = None

    def part(self) -> Stop:
        """Return the stop of the next of several searches: it is asked when this one is, but not the reverse.

        So a search that fails, and stops its own tasks for it, leaves those that come after it alone.
        """
        self._part = Stop(self._grace_s)
        self._part.cause = self.cause
        return self._part

    def ask(self, cause: Exception) -> None:
        """Ask the search to stop; the first cause counts. Safe in a signal handler of the loop."""
        if self.cause is not None:
            return
        self.cause = cause
        if self._part is not None:
            self._part.ask(cause)
        self._cancel(self._watched - self._paid)
        asyncio.get_running_loop().call_later(self._grace_s, lambda: self._cancel(self._watched))

    def check(self) -> None:
        """Raise InterruptedRunError when the search is to stop."""
        if self.cause is not None:
            raise InterruptedRunError(getattr(self.cause, "signal", 0))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let a stop end the current task for as long as the context is open.

        Raises:
            InterruptedRunError: A stop was asked for; ``cause`` says why. Somebody else's cancellation
                passes.
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
        # Who asks is at work, and stops by itself.
        for task in tasks - self._cancelled - {_current_task()}:
            self._cancelled.add(task)
            task.cancel()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
