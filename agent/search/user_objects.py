"""Objects that a caller passes in from Python: adapting an LLM, and their names in the run's folder."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...evaluator.counts import enumerated
from ...evaluator.errors import ConfigError, PromptclimbError, UsageError
from ...evaluator.messages import shown
from ...evaluator.threads import in_thread
from ..errors import FatalChatError, TransientChatError, UnusableAnswerError
from ..llm.chat import ChatAnswer, ChatRequest
from ..prices import TokenUsage
from ..text import whole_characters

MISTAKES = (TypeError, AttributeError, NameError, ImportError, AssertionError, NotImplementedError,
            SystemExit, GeneratorExit)  # fmt: skip
"""Program errors rather than network errors: the next attempt would fail in the same way."""


def name_of(user_object: object) -> str:
    """Return the name of an object's class, or of a function, for people: ``module.Class``."""
    named: Any = user_object if inspect.isroutine(user_object) else type(user_object)
    return f"{named.__module__}.{named.__qualname__}"


def object_names(*, evaluator: object | None, chat: object | None) -> dict[str, str]:
    """Return the class names of the given objects by role."""
    objects = {"evaluator": evaluator, "chat": chat}
    return {role: name_of(custom) for role, custom in objects.items() if custom is not None}


def check_user_objects(run_dir: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise UsageError if a resumed run lacks Python objects of its start; see ``object_names``."""
    if missing := {role: name for role, name in before.items() if role not in now}:
        keyword_of = {"evaluator": "custom_scorer", "chat": "chat"}
        named = enumerated(f"{keyword_of.get(role, role)}={name}" for role, name in missing.items())
        arguments = ", ".join(f"{keyword_of.get(role, role)}=..." for role in missing)
        raise UsageError(
            f"{run_dir} was made in Python with {named}, which only Python has: resume it there "
            f"by promptclimb.resume({str(run_dir)!r}, {arguments})"
        )


class UserChat:
    """Make an object with a method ``chat`` a ``ChatClient``.

    ``chat(request)`` takes a ``ChatRequest`` and returns a ``ChatAnswer``; ``chat(messages)`` takes
    ``[{"role", "content"}]`` and may return a text, which is counted as free. The parameter's name decides.
    Either may be plain or async. A plain one blocks, so it runs in a thread: one call at a time, or as many
    as an attribute ``in_flight`` says. A call abandoned at a deadline counts until it returns.

    ``scrub`` takes secrets out of what it raises. ``in_flight`` is None for any number.

    Raises:
        ConfigError: It has no method ``chat`` that takes one argument, or its ``in_flight`` is not a number.
    """

    def __init__(self, chat: object, *, scrub: Callable[[str], str] = str) -> None:
        self._name = type(chat).__name__
        self._scrub = scrub
        self._call: Callable[[Any], Any] = getattr(chat, "chat", None)  # type: ignore[assignment]  # checked
        if not callable(self._call) or isinstance(chat, type):
            what = f"the class {chat.__name__}" if isinstance(chat, type) else self._name
            raise ConfigError(f"an LLM is an object with a method chat(messages); {what} is not one")
        self._takes_request = _first_parameter(self._call) == "request"
        self._blocks = not inspect.iscoroutinefunction(self._call)
        calls = getattr(chat, "in_flight", 1 if self._blocks else None)
        if calls is not None and (not isinstance(calls, int) or calls < 1):
            raise ConfigError(
                f"in_flight of {self._name} is {shown(calls)}; expected how many calls it takes at once"
            )
        self.in_flight: int | None = calls
        self._room = asyncio.Semaphore(calls or 1)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Ask the object; see ``ChatClient``.

        Raises:
            TransientChatError: It raised anything but our own errors and program mistakes.
            UnusableAnswerError: It returned None.
            FatalChatError: It has a mistake, asks to leave the program, or returned neither a text nor a
                ``ChatAnswer``.
        """
        argument = request if self._takes_request else [dict(message) for message in request.messages]
        try:
            if self._blocks:
                answer = await self._in_thread(lambda: self._call(argument))
            else:
                answer = self._call(argument)
            if inspect.isawaitable(answer):
                answer = await answer
        except PromptclimbError:
            raise
        except GeneratorExit as error:
            running = None
            with suppress(RuntimeError):
                running = asyncio.current_task()
            if running is None:  # the interpreter closes what was never finished
                raise
            raise self._explained(error) from error
        except (Exception, SystemExit, BaseExceptionGroup) as error:
            if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise self._explained(error) from error
        return self._checked(answer, request)

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        await self._room.acquire()

        def ended(running: asyncio.Future[Any]) -> None:
            self._room.release()
            if not running.cancelled():
                running.exception()  # nobody waits for that of a call which was left

        running = asyncio.ensure_future(in_thread(call))
        running.add_done_callback(ended)
        return await asyncio.shield(running)

    def _explained(self, error: BaseException) -> FatalChatError | TransientChatError:
        message = self._scrub(f"{self._name}.chat failed: {type(error).__name__}: {error}")
        if not isinstance(error, MISTAKES):
            return TransientChatError(message)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return FatalChatError(f"{message} ({frame.filename}, line {frame.lineno})")

    def _checked(self, answer: Any, request: ChatRequest) -> ChatAnswer:
        if answer is None:
            raise UnusableAnswerError(f"{self._name}.chat answered with nothing", reason="no_content")
        if isinstance(answer, str) and not self._takes_request:
            return ChatAnswer(text=whole_characters(answer), model=request.model)
        if not isinstance(answer, ChatAnswer):
            wanted = "a ChatAnswer" if self._takes_request else "a text"
            raise FatalChatError(f"{self._name}.chat must answer with {wanted}; it answered {shown(answer)}")
        counts = (answer.prompt_tokens, answer.completion_tokens)
        counts_valid = all(isinstance(count, int) and count >= 0 for count in counts)
        if not isinstance(answer.text, str) or not counts_valid:
            raise FatalChatError(
                f"{self._name}.chat answered {shown(answer)}, whose text or tokens are invalid"
            )
        if (billed := answer.billed) is not None and not (isinstance(billed, TokenUsage) and billed.possible):
            raise FatalChatError(f"{self._name}.chat answered {shown(billed)} as billed, which is impossible")
        return replace(answer, text=whole_characters(answer.text))


def _first_parameter(call: Callable[..., Any]) -> str:
    try:
        return next(iter(inspect.signature(call).parameters), "")
    except (TypeError, ValueError):  # some that are written in C do not say
        return ""
