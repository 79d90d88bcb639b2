"""Every recorded dialect, replayed through the SDK and aiohttp: it ends in an answer, at one wasted call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from promptclimb.agent.errors import ChatError, UnusableAnswerError
from promptclimb.agent.events.types import Event, Noted
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from prompts.requests import ChatMessage
from tests.fakes.recorded import ANSWER, Recorded, RecordedServer, adapting, recorded

RECORDED = recorded()
OPENING: tuple[ChatMessage, ...] = (
    {"role": "system", "content": "You write captions."},
    {"role": "user", "content": "Write templates for these classes: cat, dog."},
)
NEWEST: ChatMessage = {"role": "user", "content": "Write better ones."}
SAID = "a picture that someone took of a {} on a rainy day, " * 8


def conversation(record: Recorded) -> tuple[ChatMessage, ...]:
    """An opening, so many turns, and the newest message of the user."""
    turns: list[ChatMessage] = []
    for number in range(record.turns):
        turns += [{"role": "assistant", "content": f"{number}: {SAID}"}, {"role": "user", "content": "go on"}]
    if record.when.get("repeated_role"):
        return (*OPENING, NEWEST)
    return (*OPENING, *turns[:-1], NEWEST) if turns else OPENING


def request_of(record: Recorded) -> ChatRequest:
    """The request that meets the dialect."""
    asks = {"model": "m", "max_tokens": 512, "seed": 7, **record.asks}
    return ChatRequest(messages=conversation(record), **asks)


async def answered(chat: OpenAIChat, request: ChatRequest, met: list[ChatError]) -> ChatAnswer:
    """An answer, after the errors that it takes; a cut answer is asked for again, with more room."""
    for _ in range(3):
        try:
            return await adapting(chat, request)
        except ChatError as error:
            met.append(error)
            if isinstance(error, UnusableAnswerError) and error.reason == "length":
                request = replace(request, max_tokens=request.max_tokens * 4)
    raise met[-1]


@pytest.mark.parametrize("name", RECORDED)
async def test_every_dialect_ends_in_an_answer_at_one_wasted_call(name: str) -> None:
    """Whatever is refused is put otherwise, once; the next request pays nothing for it."""
    record = RECORDED[name]
    request = request_of(record)
    met: list[ChatError] = []
    async with RecordedServer(record) as server, OpenAIChat(server.base_url) as chat:
        answer = await answered(chat, request, met)
        assert answer.text == ANSWER
        assert len(server.seen) - 1 == record.wasted <= 1
        last = server.seen[-1]
        assert {name: last.get(name) for name in record.sends} == record.sends
        assert not set(record.leaves_out) & set(last)
        if record.meets is None:
            assert not met
            await adapting(chat, request)
            assert len(server.seen) - 2 == record.wasted, "the same was paid twice"
    if record.meets is not None:
        (error,) = met
        assert type(error).__name__ == record.meets["error"]
        assert getattr(error, "reason", None) == record.meets.get("reason")
        assert error.retry_after == pytest.approx(record.meets.get("retry_after"), abs=2.0)
    if record.bills is not None:
        usage = (met[0] if met else answer).usage
        assert usage is not None, "nothing reads the vendor's usage"
        assert [usage.prompt_tokens, usage.completion_tokens] == record.bills


def test_every_recorded_answer_has_its_bill() -> None:
    """A recorded reply that is the answer itself costs tokens, so the recording says how many."""
    assert not [name for name, record in RECORDED.items() if record.wasted == 0 and not record.bills]


@pytest.mark.parametrize("name", ["gemma_system", "vllm_system", "vllm_alternate"])
async def test_what_the_system_message_says_is_not_lost(name: str) -> None:
    """It goes with the first message of the user."""
    request = request_of(RECORDED[name])
    async with RecordedServer(RECORDED[name]) as server, OpenAIChat(server.base_url) as chat:
        await adapting(chat, request)
    (message,) = server.seen[-1]["messages"]
    assert message["role"] == "user"
    assert message["content"] == "\n\n".join(each["content"] for each in request.messages)


async def test_a_silent_cut_is_said_once() -> None:
    """Ollama answers as if nothing had happened; the note says what to set."""
    events: list[Event] = []
    record = RECORDED["ollama_cut"]
    async with RecordedServer(record) as server, OpenAIChat(server.base_url, emit=events.append) as chat:
        for _ in range(2):
            await adapting(chat, request_of(record))
    (note,) = [event.text for event in events if isinstance(event, Noted)]
    assert "num_ctx" in note
    assert "3800 tokens" in note


async def test_what_is_learned_is_said() -> None:
    """A tier that is refused costs money, so that nobody should have to guess."""
    events: list[Event] = []
    request = request_of(RECORDED["openai_flex"])
    async with (
        RecordedServer(RECORDED["openai_flex"]) as server,
        OpenAIChat(server.base_url, emit=events.append) as chat,
    ):
        await adapting(chat, request)
    (note,) = [event.text for event in events if isinstance(event, Noted)]
    assert "refuses service_tier" in note
