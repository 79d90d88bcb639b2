"""Your own LLM, with no more than the one method that it needs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from promptclimb.agent.errors import BudgetSpentError, FatalChatError, TransientChatError, UnusableAnswerError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.rates import TokenUsage
from promptclimb.agent.search.adapters import GivenChat
from promptclimb.evaluator.errors import ConfigError
from tests.fakes.chat_by_hash import ChatByHash
from tests.fakes.clock import virtual_time

REQUEST = ChatRequest(messages=({"role": "user", "content": "hello"},), model="m")


async def test_an_llm_may_be_a_function_of_messages() -> None:
    """Plain or async, answering with a text."""

    class Plain:
        def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "!"

    class Later:
        async def chat(self, messages: list[dict[str, str]]) -> str:
            return messages[0]["content"] + "?"

    assert (await GivenChat(Plain()).chat(REQUEST)).text == "hello!"
    assert (await GivenChat(Later()).chat(REQUEST)).text == "hello?"


@virtual_time
async def test_a_chat_client_is_used_as_it_is() -> None:
    """The parameter's name tells a client from a function of messages; either may answer with an answer."""
    answer = await GivenChat(ChatByHash()).chat(REQUEST)
    assert answer == await ChatByHash().chat(REQUEST)

    class Blocking:
        def chat(self, request: ChatRequest) -> ChatAnswer:
            return ChatAnswer(text=request.model)

    assert (await GivenChat(Blocking()).chat(REQUEST)).text == "m"

    class Answers:
        def chat(self, messages: object) -> ChatAnswer:
            return ChatAnswer(text="x", prompt_tokens=3)

    assert (await GivenChat(Answers()).chat(REQUEST)).prompt_tokens == 3


@pytest.mark.parametrize(
    ("given", "name"), [(object(), "object"), (3, "int"), (ChatByHash, "class ChatByHash")]
)
def test_what_has_not_the_method_is_named(given: object, name: str) -> None:
    """The error says which method is missing, and on what; a class is no object of it."""
    with pytest.raises(ConfigError, match=rf"chat\(messages\).*{name} is none"):
        GivenChat(given)


@pytest.mark.parametrize("answer", [3, b"- a {}", {"content": "- a {}"}, ["- a {}"]])
async def test_an_answer_that_is_no_text_is_said_to_be_none(answer: object) -> None:
    """Not taken for the text that Python shows of it, and paid for again and again."""

    class Odd:
        def chat(self, messages: object) -> object:
            return answer

    with pytest.raises(FatalChatError, match="must answer with a text; it answered"):
        await GivenChat(Odd()).chat(REQUEST)


@pytest.mark.parametrize(
    "answer",
    ["- a {}", 3, ChatAnswer(text=None), ChatAnswer(text="x", prompt_tokens=-5),
     ChatAnswer(text="x", completion_tokens=float("nan")),  # type: ignore[arg-type]
     ChatAnswer(text="x", billed=TokenUsage(5, 5, cached_tokens=6)),
     ChatAnswer(text="x", billed=TokenUsage(5, 5, vendor_picodollars=-1))],
)  # fmt: skip
async def test_a_client_of_ones_own_is_held_to_its_protocol(answer: object) -> None:
    """Tokens below zero would undo a limit."""

    class Odd:
        async def chat(self, request: ChatRequest) -> object:
            return answer

    with pytest.raises(FatalChatError, match=r"Odd\.chat"):
        await GivenChat(Odd()).chat(REQUEST)


@pytest.mark.parametrize("kind", [SystemExit, GeneratorExit])
async def test_one_that_asks_to_leave_the_program_has_a_mistake(kind: type[BaseException]) -> None:
    """Async or in a thread; it takes neither the event loop nor the restart with it."""

    class Leaves:
        async def chat(self, messages: object) -> str:
            await asyncio.sleep(0)
            raise kind(7)

    with pytest.raises(FatalChatError, match=rf"Leaves\.chat failed: {kind.__name__}"):
        await GivenChat(Leaves()).chat(REQUEST)


async def test_nothing_for_an_answer_is_asked_for_again() -> None:
    """As with any endpoint, and not for ever."""

    class Silent:
        def chat(self, messages: object) -> None:
            return None

    with pytest.raises(UnusableAnswerError, match=r"Silent\.chat answered with nothing"):
        await GivenChat(Silent()).chat(REQUEST)


@pytest.mark.parametrize("in_flight", [0, -1, "many", 1.5])
def test_an_in_flight_that_is_no_number_is_refused(in_flight: object) -> None:
    """Before anything is asked."""

    class Odd:
        def chat(self, messages: object) -> str:
            return ""

    odd = Odd()
    odd.in_flight = in_flight  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="in_flight of Odd"):
        GivenChat(odd)


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

    chat = GivenChat(Slow())
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

    chat = GivenChat(Pair())
    answers = await asyncio.gather(chat.chat(REQUEST), chat.chat(REQUEST))
    assert {answer.text for answer in answers} == {"together"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("conversation by peer"), TransientChatError),
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
        await GivenChat(Later() if asynchronous else Plain()).chat(REQUEST)
    assert type(caught.value) is kind
