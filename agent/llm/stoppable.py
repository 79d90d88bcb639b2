"""A chat client that knows of the stop."""

from __future__ import annotations

from ..stop import Stop
from .types import ChatAnswer, ChatClient, ChatRequest, asked_tokens


class StoppableChat:
    """Start no attempt once a stop was asked for, and mark the tasks of those that are started as paid.

    Args:
        client: Makes the attempts.
        stop: Whether to stop.
    """

    def __init__(self, client: ChatClient, stop: Stop) -> None:
        self._client = client
        self._stop = stop

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Make one attempt; see ``ChatClient``.

        Raises:
            InterruptedRunError: A stop was asked for.
            ChatError: As the client says.
        """
        self._stop.check()
        self._stop.paid()
        try:
            return await self._client.chat(request)
        except BaseException:
            self._stop.settled()
            raise

    def asked_tokens(self, request: ChatRequest) -> int:
        """Return what the client would ask for; see ``types.asked_tokens``."""
        return asked_tokens(self._client, request)
