"""Your own LLM, with no more than the one method that it needs."""

from __future__ import annotations

import pytest

from promptclimb.agent.errors import ConfigError
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
