"""The real server with the real 0.5B model: slow; skipped where they cannot be had."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import platformdirs
import pytest

from promptclimb.agent.errors import EndpointError, UnusableAnswerError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.local_server import LlamaServer, LlamaSettings, LocalChat, make_ready, shared_chat
from promptclimb.agent.secrets import Scrubber
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import ChatMessage, Outcome, Wanted, feedback, request_pn
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template import TEMPLATE_WORDS, Template
from promptclimb.prompts.template_kind import BUILT_IN
from tests.fakes.evaluators import FakeEvaluator

FLAT_S = float(os.environ.get("LOCAL_LLM_FLAT_S", "15"))
"""How long requests are made one after the other while the memory is watched."""
BRIEFLY = json.dumps({"grammar": 'root ::= "- a photo of a {}"'})
WANTED = Wanted(words=TEMPLATE_WORDS, proposals=5, max_words=15)
REAL_CACHE = os.environ.get("PROMPTCLIMB_CACHE") or str(platformdirs.user_cache_path("promptclimb"))
"""The user's own, where the model is kept from one run of the tests to the next."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None, reason="extra `local` is not installed"
    ),
]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model's file, fetched once for this machine."""
    monkeypatch.setenv("PROMPTCLIMB_CACHE", REAL_CACHE)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    try:
        return asyncio.run(make_ready("local:0.5b", lambda _: None))
    except EndpointError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def chatting(model: Path, **settings: int) -> AsyncIterator[tuple[LlamaServer, LocalChat]]:
    started = LlamaSettings(model=model, name="m", threads=1, **settings)
    async with shared_chat(started, scrubber=Scrubber()) as chat:
        yield chat.server, chat


async def ask(chat: LocalChat, messages: list[ChatMessage], seed: int, max_tokens: int = 120) -> ChatAnswer:
    return await chat.chat(ChatRequest(messages=tuple(messages), model="m", max_tokens=max_tokens, seed=seed))


async def ask_briefly(chat: LocalChat) -> ChatAnswer:
    """Hold the model to one short answer: it takes a core a tenth of a second to write a token."""
    asked: ChatMessage = {"role": "user", "content": "Write a template."}
    return await chat.chat(ChatRequest(messages=(asked,), model="m", max_tokens=120, extra_body=BRIEFLY))


def opening(seed: int) -> list[ChatMessage]:
    captions = [Template.parse(text, max_words=None) for text in BUILT_IN]
    shown = [Outcome(template.text) for template in draw([captions], 30, Random(seed))]
    return request_pn(shown[:15], shown[15:], WANTED)


def memory(pid: int) -> int:
    """Resident memory that no file backs, in bytes: what the model's file takes is the system's."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines())
    return int(fields["RssAnon"].split()[0]) * 1024


async def test_a_conversation_of_several_turns(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It writes templates, gets their scores, and writes more; nothing reaches the terminal."""
    scorer, templates = FakeEvaluator(seed=1), 0
    async with chatting(model) as (_, chat):
        messages = opening(1)
        for turn in range(3):
            answer = await ask(chat, messages, seed=turn, max_tokens=100)
            assert answer.usage_known
            candidates = parse_reply(answer.text).candidates[:5]
            templates += len(candidates)
            scored = zip(candidates, scorer.score([candidate.text for candidate in candidates]), strict=True)
            outcomes = [
                Outcome(candidate.text, score.train)
                for candidate, score in scored
                if isinstance(score, Score)
            ]
            reply = feedback(outcomes, WANTED, best_before=0.5)
            messages = [*messages, {"role": "assistant", "content": answer.text}, reply]
    assert templates >= 4
    assert capfd.readouterr() == ("", "")


async def test_a_request_that_is_given_up_does_not_hold_up_the_next(model: Path) -> None:
    """A deadline closes the connection, and the server leaves the work on it."""
    async with chatting(model) as (_, chat):
        endless = asyncio.create_task(ask(chat, opening(1), seed=1, max_tokens=4_000))
        await asyncio.wait([endless], timeout=1.0)
        endless.cancel()
        await asyncio.gather(endless, return_exceptions=True)
        assert (await ask_briefly(chat)).text == "- a photo of a {}"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_its_memory_is_flat(model: Path) -> None:
    """After the prompts that it keeps have found their room, requests of all lengths add next to nothing."""
    async with chatting(model) as (server, chat):
        assert server.pid is not None
        seen: list[int] = []
        began, number = time.monotonic(), 0
        while time.monotonic() < began + FLAT_S or number < 40:
            number += 1
            messages = opening(number % 10)
            if number % 3 == 0:
                messages += [{"role": "assistant", "content": "- a {}"}, {"role": "user", "content": "More."}]
            with suppress(UnusableAnswerError):  # a line that is cut
                await ask(chat, messages, seed=number, max_tokens=4)
            seen.append(memory(server.pid))
    half = len(seen) // 2
    grown = max(seen[half:]) - max(seen[:half])
    sizes = [f"{size / 1e6:.0f} MB" for size in (seen[0], max(seen[:half]), max(seen[half:]))]
    sys.stdout.write(f"{number} requests: {', '.join(sizes)} at first, at most in either half\n")
    assert grown < 64e6
    assert max(seen) < 2e9
