"""Stopping a search without losing what was paid for.

Between the moment when a request leaves and the moment when its answer is on disk, the task that sent it is
*paid*. A halt lets paid tasks go on for a grace and cancels the others at once: they wait for a limit, for a
pause between attempts, or for a score that can be computed again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .errors import InterruptedRunError
from .llm.types import ChatAnswer, ChatClient, ChatRequest

GRACE_S = 10.0


class Halt:
    """Whether a search is to stop, and which of its tasks must not be cut off yet.

    Args:
        grace_s: Seconds that paid tasks have to get their answers onto the disk.

    Attributes:
        cause: Why the search is to stop: an interruption, or the error of one of its tasks.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self.cause: Exception | None = None
        self._grace_s = grace_s
        self._asked = asyncio.Event()
        self._paid: set[asyncio.Task[Any]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def ask(self, cause: Exception) -> None:
        """Asks the search to stop; the first cause counts. Safe in a signal handler of the loop."""
        if self.cause is None:
            self.cause = cause
        self._asked.set()

    def check(self) -> None:
        """Raises InterruptedRunError when the search is to stop."""
        if self.cause is not None:
            raise InterruptedRunError(getattr(self.cause, "signal", 0))

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Names a task that a halt may cancel."""
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def release(self, task: asyncio.Task[Any]) -> None:
        """Takes a task out again: others answer for it now."""
        self._tasks.discard(task)

    def paid(self) -> None:
        """Marks the current task: a request has left, its answer is not on disk."""
        if (task := asyncio.current_task()) is not None:
            self._paid.add(task)

    def settled(self) -> None:
        """Unmarks the current task: its answer is on disk, or there will be none."""
        if (task := asyncio.current_task()) is not None:
            self._paid.discard(task)

    async def enforce(self) -> None:
        """Waits until a stop is asked for, then ends the watched tasks; runs beside them."""
        await self._asked.wait()
        for task in self._tasks - self._paid:
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._grace_s)
        for task in set(self._tasks):
            task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._paid.discard(task)


class HaltingChat:
    """A chat client that starts no attempt once a stop was asked for, and marks the tasks of those it starts.

    Args:
        client: What makes the attempts.
        halt: Whether to stop.
    """

    def __init__(self, client: ChatClient, halt: Halt) -> None:
        self._client = client
        self._halt = halt

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """One attempt; see ``ChatClient``.

        Raises:
            InterruptedRunError: A stop was asked for.
            ChatError: As the client says.
        """
        self._halt.check()
        self._halt.paid()
        try:
            return await self._client.chat(request)
        except BaseException:
            self._halt.settled()
            raise
