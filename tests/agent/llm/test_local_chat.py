"""A server that dies in the middle of a search is started again, but not for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from promptclimb.agent.errors import ChatError, EndpointError, FatalChatError, TransientChatError
from promptclimb.agent.events.types import Event, Noted
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.llm.local_server import MOST_DEATHS, LlamaServer, LlamaSettings, LocalChat
from promptclimb.agent.secrets import Scrubber

pytestmark = pytest.mark.usefixtures("llama")
Model = Callable[..., Path]
REQUEST = ChatRequest(messages=({"role": "user", "content": "write"},), model="m")


class Events(list[Event]):
    """Events, and what was said in them."""

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self if isinstance(event, Noted)]


def chat_of(model: Path, events: Events, scrubber: Scrubber | None = None) -> tuple[LlamaServer, LocalChat]:
    server = LlamaServer(LlamaSettings(model=model, name="m", threads=1))
    return server, LocalChat(server, scrubber=scrubber or Scrubber(), emit=events.append)


async def test_it_answers_and_ends_with_its_context(model: Model) -> None:
    """The server is there from the beginning to the end, and its key is known to the scrubber."""
    scrubber = Scrubber()
    server, chat = chat_of(model(), Events(), scrubber)
    async with chat:
        answer = await chat.chat(REQUEST)
        assert answer.text.startswith("- a photo")
        assert answer.usage.total == 18
    assert server.pid is None
    assert scrubber.scrub(f"it is {server.key.reveal()}") == "it is [secret]"


async def test_one_that_is_killed_is_started_again(model: Model) -> None:
    """The attempt after a death is answered by a new child, and a note says so."""
    events = Events()
    server, chat = chat_of(model(), events)
    async with chat:
        await chat.chat(REQUEST)
        first = server.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await server.last_words()
        assert (await chat.chat(REQUEST)).text
        assert server.pid not in (None, first)
    (text,) = events.texts
    assert "killed by signal SIGKILL" in text
    assert "started again" in text


async def test_the_attempt_in_which_it_dies_may_be_made_again(model: Model) -> None:
    """Its death is a fault of the moment: the search retries, and the answer comes from the next child."""
    server, chat = chat_of(model(dies_after=1), events := Events())
    async with chat:
        await chat.chat(REQUEST)
        with pytest.raises(TransientChatError):
            await chat.chat(REQUEST)
        await server.last_words()
        assert (await chat.chat(REQUEST)).text
    assert "exit code 3: out of luck" in events.texts[0]


async def test_one_that_dies_at_each_request_is_given_up(model: Model) -> None:
    """After some deaths without an answer the search ends, with what the child said last."""
    server, chat = chat_of(model(dies_after=0), Events())
    async with chat:
        errors: list[ChatError] = []
        while not errors or not isinstance(errors[-1], FatalChatError):
            with pytest.raises(ChatError) as caught:
                await chat.chat(REQUEST)
            errors.append(caught.value)
            await server.last_words()
    assert len(errors) == MOST_DEATHS + 2
    assert "died 4 times in a row (exit code 3: out of luck)" in str(errors[-1])


async def test_one_that_does_not_start_again_ends_the_search(model: Model) -> None:
    """A model that was taken away meanwhile is an error with the child's words."""
    server, chat = chat_of(model(), Events())
    async with chat:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.last_words()
        model(fails="it is gone")
        with pytest.raises(FatalChatError, match=r"died 4 times in a row .*it is gone"):
            await chat.chat(REQUEST)


async def test_one_that_dies_while_it_is_started_again_is_tried_once_more(model: Model) -> None:
    """A start that fails is one of its deaths, not the end of the search."""
    events = Events()
    server = LlamaServer(LlamaSettings(model=model(), name="m", threads=1))

    def mend(event: Event) -> None:
        events.append(event)
        model(**({"fails": "out of memory"} if len(events) == 1 else {}))

    async with LocalChat(server, scrubber=Scrubber(), emit=mend) as chat:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.last_words()
        assert (await chat.chat(REQUEST)).text
    assert ["SIGKILL" in text for text in events.texts] == [True, False]
    assert "out of memory" in events.texts[1]


async def test_one_that_never_starts_is_the_users_to_mend(model: Model) -> None:
    """Before anything was asked it is an error of usage."""
    _, chat = chat_of(model(fails="no model"), Events())
    with pytest.raises(EndpointError, match="no model"):
        async with chat:
            pytest.fail("it must not open")
