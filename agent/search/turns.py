"""The loop's time, dealt out: of all restarts that could go on, one goes on in a turn of the loop."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Let through one task in each turn of the event loop, first come, first served.

    What a restart does between two waits (reading an answer, ranking, choosing what comes next) takes up to
    some ten milliseconds. Where many restarts could go on at once, as when the scores of a batch come, all of
    it in one turn would keep the loop from its timers and sockets for seconds.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._due = False

    async def mine(self) -> None:
        """Wait for a turn; what the caller does until it waits again is done in it."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if not self._due:
            self._due = True
            loop.call_soon(self._deal)
        await turn

    def _deal(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled
                turn.set_result(None)
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._deal)
        else:
            self._due = False
