"""A fake endpoint in a thread of its own, for commands that run in the main one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar

from tests.fakes.chat_server import ChatServer, ServerOptions

T = TypeVar("T")


class Serving(Generic[T]):
    """Serves for as long as a ``with`` block lasts."""

    def __init__(self, server: AbstractAsyncContextManager[T]) -> None:
        self._server = server
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> T:
        self._thread.start()
        assert self._ready.wait(20)
        return self._serving

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(20)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._done = asyncio.Event()
        async with self._server as self._serving:
            self._ready.set()
            await self._done.wait()


def serving_chat(**options: Any) -> Serving[ChatServer]:
    """A chat server, by its options."""
    return Serving(ChatServer(ServerOptions(**options)))
