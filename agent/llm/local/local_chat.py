"""A ``ChatClient`` on a server of our own, which is started again when it dies."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ...errors import EndpointError, FatalChatError
from ...events import Listener, Noted
from ...secrets import Scrubber
from ..openai_chat import OpenAIChat
from ..types import ChatAnswer, ChatRequest
from .llama_server import LlamaServer

MOST_DEATHS = 3


class LocalChat:
    """Asks a ``LlamaServer``; an async context manager that starts and ends it.

    Args:
        server: Not started yet.
        scrubber: Learns its key.
        tell: Hears when it is started again.
    """

    def __init__(self, server: LlamaServer, *, scrubber: Scrubber, tell: Listener) -> None:
        self._server = server
        self._scrubber = scrubber
        self._tell = tell
        self._client: OpenAIChat | None = None
        self._starting = asyncio.Lock()
        self._deaths = 0

    async def __aenter__(self) -> Self:
        """Start the server.

        Raises:
            EndpointError: It does not start.
        """
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Make one attempt; see ``ChatClient``.

        Raises:
            FatalChatError: The server has died once too often, without an answer in between.
            ChatError: As ``OpenAIChat`` says.
        """
        answer = await (await self._living()).chat(request)
        self._deaths = 0
        return answer

    async def _living(self) -> OpenAIChat:
        async with self._starting:
            if self._client is None or not self._server.is_alive:
                await self._start_again()
            assert self._client is not None
            return self._client

    async def _start_again(self) -> None:
        words, started = await self._server.last_words(), False
        while not started:
            self._deaths += 1
            if self._deaths > MOST_DEATHS:
                raise FatalChatError(
                    f"the local language model has died {MOST_DEATHS + 1} times in a row ({words})"
                )
            self._tell(Noted(text=f"the local language model died ({words}); it is started again"))
            await self._close()
            try:
                await self._start()
                started = True
            except EndpointError as error:
                words = str(error)

    async def _start(self) -> None:
        await self._server.start()
        most = self._server.settings.slots
        client = OpenAIChat(
            self._server.base_url, self._server.key, scrubber=self._scrubber, max_connections=most
        )
        self._client = await client.__aenter__()

    async def _close(self) -> None:
        client, self._client = self._client, None
        try:
            if client is not None:
                await client.__aexit__(None, None, None)
        finally:
            await self._server.close()
