"""The real model behind the real server: slow, and skipped where its packages are not installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
from openai import AsyncOpenAI

from promptclimb.agent.llm.local import LocalLLM, is_available
from promptclimb.prompts.pools import BUILT_IN, draw
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import Message, Outcome, request_pn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(is_available() is not None, reason=f"extra `local`: {is_available()}"),
]


@pytest.fixture(scope="module", autouse=True)
def cache(shared_cache: object) -> object:
    """The model file is made once for these tests."""
    return shared_cache


@pytest.fixture
async def llm() -> AsyncIterator[LocalLLM]:
    async with LocalLLM() as server:
        yield server


async def content(llm: LocalLLM, messages: list[Message], **more: object) -> str:
    options = {"temperature": 1.0, "max_tokens": 1_000, "seed": 1, **more}
    async with AsyncOpenAI(base_url=llm.base_url, api_key="none", max_retries=0) as client:
        reply = await client.chat.completions.create(model=llm.model, messages=messages, **options)
    assert reply.usage is not None
    assert reply.usage.completion_tokens <= 1_000
    return reply.choices[0].message.content or ""


def request(seed: int, proposals: int) -> tuple[list[Message], set[str]]:
    drawn = draw(BUILT_IN, 30, Random(seed))
    shown = [Outcome(template.text) for template in drawn]
    messages = request_pn(shown[:15], shown[15:], proposals=proposals, max_words=15)
    return messages, {template.key for template in drawn}


async def test_a_real_model_writes_new_templates(llm: LocalLLM, capfd: pytest.CaptureFixture[str]) -> None:
    """Of 20 asked for at least 16 come, valid, distinct and new; llama.cpp writes nothing to the terminal."""
    for seed in range(2):
        messages, known = request(seed, 20)
        reply = parse_reply(await content(llm, messages))
        assert reply.refused == ()
        assert len({template.key for template in reply.templates} - known) >= 16
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


async def test_the_same_seed_gives_the_same_answer_whatever_came_before(llm: LocalLLM) -> None:
    """An answer depends on its request alone, not on those before it or beside it."""
    first, second = request(1, 5)[0], request(2, 5)[0]
    alone = await content(llm, first)
    other, again = await asyncio.gather(content(llm, second), content(llm, first))
    assert again == alone != other
    assert await content(llm, first, seed=2) != alone


async def test_closing_in_the_middle_of_a_generation(llm: LocalLLM) -> None:
    """The server closes although a long answer is being generated."""
    async with LocalLLM() as server:
        task = asyncio.create_task(content(server, request(1, 100)[0]))
        await asyncio.sleep(0)
    result = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result[0], Exception)
