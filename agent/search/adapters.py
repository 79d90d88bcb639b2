"""Anything that chats, made to fit: a search takes an LLM of your own."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...evaluator.errors import ConfigError, PromptclimbError
from ...evaluator.settings import shown
from ...evaluator.threads import in_thread
from ..errors import FatalChatError, TransientChatError, UnusableAnswerError
from ..llm.chat import ChatAnswer, ChatRequest
from ..rates import TokenUsage
from ..text import whole_characters

MISTAKES = (TypeError, AttributeError, NameError, ImportError, AssertionError, NotImplementedError,
            SystemExit, GeneratorExit)  # fmt: skip
"""Errors of a program, not of a network: the next attempt would end in the same."""


class GivenChat:
    """An object with a method ``chat`` as a ``ChatClient``.

    ``chat(request)`` takes a ``ChatRequest`` and answers with a ``ChatAnswer``; ``chat(messages)`` takes
    ``[{"role", "content"}]`` and may answer with a text, which is counted as free. The parameter's name tells
    them apart. Either may be plain or async. A plain one blocks, so it is called in a thread: one call at a
    time, or as many as an attribute ``in_flight`` says. A call that is left, at a deadline, holds its place
    until it returns.

    Args:
        chat: The object.
        scrub: Takes secrets out of what it raises.

    Attributes:
        in_flight: How many calls it takes at once; None for any number.

    Raises:
        ConfigError: It has no method ``chat`` that takes one argument, or its ``in_flight`` is no number.
    """

    def __init__(self, chat: object, *, scrub: Callable[[str], str] = str) -> None:
        self._name = type(chat).__name__
        self._scrub = scrub
        self._call: Callable[[Any], Any] = getattr(chat, "chat", None)  # type: ignore[assignment]  # checked
        if not callable(self._call) or isinstance(chat, type):
            what = f"the class {chat.__name__}" if isinstance(chat, type) else self._name
            raise ConfigError(f"an LLM is an object with a method chat(messages), and {what} is none")
        self._takes_request = _first_parameter(self._call) == "request"
        self._blocks = not inspect.iscoroutinefunction(self._call)
        said = getattr(chat, "in_flight", 1 if self._blocks else None)
        if said is not None and (not isinstance(said, int) or said < 1):
            raise ConfigError(
                f"in_flight of {self._name} is {shown(said)}; it says how many calls it takes at once"
            )
        self.in_flight: int | None = said
        self._places = asyncio.Semaphore(said or 1)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Ask the object; see ``ChatClient``.

        Raises:
            TransientChatError: It failed in a way that may pass: whatever it raises that is not ours, but for
                mistakes in a program.
            UnusableAnswerError: It answers None.
            FatalChatError: There is a mistake in it, it asks to leave the program, or what it answers is
                neither a text nor an answer.
        """
        given = request if self._takes_request else [dict(message) for message in request.messages]
        try:
            answer = await self._in_turn(lambda: self._call(given)) if self._blocks else self._call(given)
            if inspect.isawaitable(answer):
                answer = await answer
        except PromptclimbError:
            raise
        except GeneratorExit as error:
            if not _runs():  # the interpreter closes what was never finished
                raise
            raise self._understood(error) from error
        except (Exception, SystemExit) as error:
            raise self._understood(error) from error
        return self._checked(answer, request)

    async def _in_turn(self, call: Callable[[], Any]) -> Any:
        await self._places.acquire()
        running = asyncio.ensure_future(in_thread(call))
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, call: asyncio.Future[Any]) -> None:
        self._places.release()
        if not call.cancelled():
            call.exception()  # nobody waits for that of a call which was left

    def _understood(self, error: BaseException) -> FatalChatError | TransientChatError:
        said = self._scrub(f"{self._name}.chat failed: {type(error).__name__}: {error}")
        if not isinstance(error, MISTAKES):
            return TransientChatError(said)
        place = traceback.extract_tb(error.__traceback__)[-1]
        return FatalChatError(f"{said} ({place.filename}, line {place.lineno})")

    def _checked(self, answer: Any, request: ChatRequest) -> ChatAnswer:
        if answer is None:
            raise UnusableAnswerError(f"{self._name}.chat answered with nothing", reason="no_content")
        if isinstance(answer, str) and not self._takes_request:
            return ChatAnswer(text=whole_characters(answer), model=request.model)
        if not isinstance(answer, ChatAnswer):
            wanted = "a ChatAnswer" if self._takes_request else "a text"
            raise FatalChatError(f"{self._name}.chat must answer with {wanted}; it answered {shown(answer)}")
        counts = (answer.prompt_tokens, answer.completion_tokens)
        if not isinstance(answer.text, str) or not all(isinstance(one, int) and one >= 0 for one in counts):
            raise FatalChatError(f"{self._name}.chat answered {shown(answer)}, whose text or tokens are none")
        if (billed := answer.billed) is not None and not (isinstance(billed, TokenUsage) and billed.possible):
            raise FatalChatError(f"{self._name}.chat answered {shown(billed)} as billed, which cannot be")
        return replace(answer, text=whole_characters(answer.text))


def _runs() -> bool:
    """Return whether an event loop runs this very code."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


def _first_parameter(call: Callable[..., Any]) -> str:
    try:
        return next(iter(inspect.signature(call).parameters), "")
    except (TypeError, ValueError):  # some that are written in C do not say
        return ""
