"""Your own LLM, with no more than the one method that it needs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from promptclimb.agent.errors import BudgetSpentError, ConfigError, FatalChatError, TransientChatError
from promptclimb.agent.llm.types import ChatAnswer, ChatRequest
from promptclimb.agent.search.adapters import MessagesChat, as_chat
from tests.fakes.chat_by_hash import ChatByHash

REQUEST = ChatRequest(messages=({"role": "user", "content": "hello"},), model="m")


async def test_an_llm_may_be_a_function_of_messages() -> None:
    """Plain or async, answering with a text."""

    class Plain:
        def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "!"

    class Later:
        async def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "?"

    assert (await as_chat(Plain()).chat(REQUEST)).text == "hello!"
    assert (await as_chat(Later()).chat(REQUEST)).text == "hello?"


async def test_a_chat_client_is_used_as_it_is() -> None:
    """The parameter's name tells a client from a function of messages."""
    client = ChatByHash()
    assert as_chat(client) is client

    class Answers:
        def chat(self, messages: object) -> ChatAnswer:
            return ChatAnswer(text="x", prompt_tokens=3)

    assert (await MessagesChat(Answers()).chat(REQUEST)).prompt_tokens == 3


@pytest.mark.parametrize("given", [object(), 3, "text"])
def test_what_has_not_the_method_is_named(given: object) -> None:
    """The error says which method is missing, and on what."""
    name = type(given).__name__
    with pytest.raises(ConfigError, match=rf"chat\(messages\).*{name}"):
        as_chat(given)


async def test_a_plain_chat_blocks_nobody_and_is_called_once_at_a_time() -> None:
    """The loop goes on while it works; a call that was left at a deadline holds its place till it returns."""
    running, most, go_on = 0, 0, threading.Event()

    class Slow:
        def chat(self, messages: list[dict[str, str]]) -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            go_on.wait(10)
            running -= 1
            return "done"

    chat = as_chat(Slow())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(chat.chat(REQUEST), 0.01)
    later = asyncio.gather(chat.chat(REQUEST), chat.chat(REQUEST))
    await asyncio.sleep(0)
    go_on.set()
    assert [answer.text for answer in await later] == ["done", "done"]
    assert most == 1


async def test_a_plain_chat_may_say_how_many_calls_it_takes() -> None:
    """Then as many threads are inside it at once."""
    both = threading.Barrier(2, timeout=10)

    class Pair:
        in_flight = 2

        def chat(self, messages: list[dict[str, str]]) -> str:
            both.wait()
            return "together"

    chat = as_chat(Pair())
    answers = await asyncio.gather(chat.chat(REQUEST), chat.chat(REQUEST))
    assert {answer.text for answer in answers} == {"together"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("reset by peer"), TransientChatError),
        (TimeoutError(), TransientChatError),
        (KeyError("choices"), TransientChatError),
        (TypeError("takes one argument"), FatalChatError),
        (NameError("no such name"), FatalChatError),
        (BudgetSpentError("enough", limit="calls"), BudgetSpentError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_an_llm_raises_is_understood(
    error: Exception, kind: type[Exception], asynchronous: bool
) -> None:
    """A failure may pass and is tried again; a mistake in a program would only be made again."""

    class Plain:
        def chat(self, messages: list[dict[str, str]]) -> str:
            raise error

    class Later:
        async def chat(self, messages: list[dict[str, str]]) -> str:
            raise error

    with pytest.raises(kind) as caught:
        await as_chat(Later() if asynchronous else Plain()).chat(REQUEST)
    assert type(caught.value) is kind
