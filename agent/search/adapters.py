"""Anything that chats, made to fit: a search takes an LLM of your own."""

from __future__ import annotations

import inspect
from typing import Any, cast

from ..errors import ConfigError
from ..llm.types import ChatAnswer, ChatClient, ChatRequest


def as_chat(given: object) -> ChatClient:
    """Return a chat client from whatever has ``chat``.

    ``chat(request)`` that answers with a ``ChatAnswer`` is used as it is. ``chat(messages)``, plain or async,
    may answer with a text; the parameter's name tells them apart.

    Raises:
        ConfigError: It has no method ``chat``.
    """
    method = getattr(given, "chat", None)
    if not callable(method):
        raise ConfigError(f"an LLM needs a method chat(messages), and {type(given).__name__} has none")
    first = next(iter(inspect.signature(method).parameters), "")
    return cast("ChatClient", given) if first == "request" else MessagesChat(given)


class MessagesChat:
    """An object with ``chat(messages)`` as a ``ChatClient``; its answers are counted as free.

    Args:
        chat: Has ``chat(messages)``, which takes ``[{"role", "content"}]`` and answers with a text or an
            answer.
    """

    def __init__(self, chat: object) -> None:
        self._chat: Any = chat

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Ask the object; see ``ChatClient``."""
        answer = self._chat.chat([dict(message) for message in request.messages])
        if inspect.isawaitable(answer):
            answer = await answer
        return answer if isinstance(answer, ChatAnswer) else ChatAnswer(text=str(answer), model=request.model)
