"""Anything that chats, made to fit: a search takes an LLM of your own."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from typing import Any, cast

from ..errors import ConfigError, FatalChatError, PromptclimbError, TransientChatError
from ..llm.types import ChatAnswer, ChatClient, ChatRequest
from ..threads import in_thread

MISTAKES = (
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    AssertionError,
    NotImplementedError,
)
"""Errors of a program, not of a network: the next attempt would end in the same."""


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

    A plain ``chat`` blocks, so it is called in a thread: one call at a time, or as many as an attribute
    ``in_flight`` says. One that its caller has left, at a deadline, holds its place until it returns.

    Args:
        chat: Has ``chat(messages)``, which takes ``[{"role", "content"}]`` and answers with a text or an
            answer.
    """

    def __init__(self, chat: object) -> None:
        self._chat = cast("Any", chat)
        self._blocks = not inspect.iscoroutinefunction(self._chat.chat)
        said = getattr(chat, "in_flight", None)
        self.in_flight: int | None = int(said) if said is not None else 1 if self._blocks else None
        self._places = asyncio.Semaphore(self.in_flight or 1)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Ask the object; see ``ChatClient``.

        Raises:
            TransientChatError: It failed in a way that may pass: whatever it raises, but for mistakes in a
                program.
            FatalChatError: There is a mistake in it.
        """
        messages = [dict(message) for message in request.messages]
        try:
            if self._blocks:
                answer = await self._in_turn(lambda: self._chat.chat(messages))
            else:
                answer = self._chat.chat(messages)
            if inspect.isawaitable(answer):
                answer = await answer
        except PromptclimbError:
            raise
        except Exception as error:
            raise _understood(self._chat, error) from error
        return answer if isinstance(answer, ChatAnswer) else ChatAnswer(text=str(answer), model=request.model)

    async def _in_turn(self, call: Callable[[], Any]) -> Any:
        await self._places.acquire()
        running = asyncio.ensure_future(in_thread(call))
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, call: asyncio.Future[Any]) -> None:
        self._places.release()
        if not call.cancelled():
            call.exception()  # nobody waits for that of a call which was left


def _understood(chat: object, error: Exception) -> FatalChatError | TransientChatError:
    said = f"{type(chat).__name__}.chat failed: {type(error).__name__}: {error}"
    if not isinstance(error, MISTAKES):
        return TransientChatError(said)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return FatalChatError(f"{said} ({place.filename}, line {place.lineno})")
