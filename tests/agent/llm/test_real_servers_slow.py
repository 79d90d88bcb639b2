"""Chat servers that nobody here wrote, on loopback: LiteLLM's proxy, llama.cpp's own server, and LLMock."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from promptclimb import SearchConfig, search
from promptclimb.agent.errors import ContextTooLongError, KeyRejectedError, RateLimitedError
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.prices import FREE
from prompts.requests import ChatMessage
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.foreign import free_port, need, running
from tests.fakes.looks import preflight
from tests.fakes.recorded import adapting
from tests.fakes.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.slow
KEY = "sk-0123456789abcdef0123456789abcdef"
CONTEXT = 1024
GRAMMAR = 'root ::= "- a photo of a {}"'
"""What llama.cpp holds the answers of a model without sense to."""
REQUEST = ChatRequest(
    messages=(), model="m", max_tokens=64, seed=7, extra_body=json.dumps({"grammar": GRAMMAR})
)
SAID = "a picture that someone took of a {} on a rainy day"

LITELLM = """
model_list:
  - model_name: mocked
    litellm_params: {model: anthropic/claude-3-7-sonnet-20250219, api_key: none, mock_response: "ANSWER"}
  - model_name: too-long
    litellm_params: {model: openai/gpt-4o, api_key: none, mock_response: litellm.ContextWindowExceededError}
  - model_name: too-fast
    litellm_params: {model: openai/gpt-4o, api_key: none, mock_response: litellm.RateLimitError}
router_settings: {num_retries: 0, disable_cooldowns: true}
litellm_settings: {num_retries: 0}
""".replace("ANSWER", r"- a photo of a {}\n- a drawing of a {}\n- a close-up of a {}")
LLAMA = """
import sys, threading, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.n_ctx = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
params.hostnames, params.n_parallel, params.use_jinja = ["127.0.0.1"], 1, True
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
threading.Event().wait()
"""


async def ready(url: str, key: str | None = None, model: str = "") -> str | None:
    """What the look at a server shows, once it listens."""
    secret = SecretStr(key) if key else None
    for _ in range(60):
        try:
            return await preflight(url, secret, model=model)
        except Exception:  # noqa: BLE001  # whatever it is, the server is given a minute
            await asyncio.sleep(1)
    return await preflight(url, secret, model=model)


def turns(number: int) -> tuple[ChatMessage, ...]:
    """A conversation with so many turns behind it."""
    messages: list[ChatMessage] = [{"role": "user", "content": "Write templates for cats and dogs."}]
    for turn in range(number):
        messages += [
            {"role": "assistant", "content": f"{turn}: {SAID}"},
            {"role": "user", "content": "go on"},
        ]
    return tuple(messages)


class CountingChat(OpenAIChat):
    """A client that counts its requests."""

    requests = 0

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.requests += 1
        return await super().chat(request)


async def refused(chat: OpenAIChat, request: ChatRequest) -> float | None:
    """How long a server asks to wait; None where it answers."""
    try:
        await chat.chat(request)
    except RateLimitedError as error:
        return error.retry_after
    return None


async def test_litellm_refuses_a_seed_once_and_a_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own words for parameters, contexts, limits and keys are understood; the model is its mock."""
    need("litellm")
    (tmp_path / "proxy.yaml").write_text(LITELLM)
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    program = str(Path(sys.executable).with_name("litellm"))
    command = [program, "--config", "proxy.yaml", "--host", "127.0.0.1", "--port", str(port)]
    with running(tmp_path, command, {"LITELLM_MASTER_KEY": KEY}):
        assert await ready(url, KEY, "mocked") is None
        request = ChatRequest(messages=turns(0), model="mocked", temperature=0.7, seed=7)
        async with CountingChat(url, KEY) as chat:
            assert (await adapting(chat, request)).text.startswith("- a photo of a {}")
            assert chat.dialect.left_out == {"seed"}
            assert chat.requests == 2
            await chat.chat(request)
            assert chat.requests == 3
            with pytest.raises(ContextTooLongError):
                await chat.chat(ChatRequest(messages=turns(0), model="too-long"))
            with pytest.raises(RateLimitedError):
                await chat.chat(ChatRequest(messages=turns(0), model="too-fast"))
        async with OpenAIChat(url, "sk-wrong-0123456789") as chat:
            with pytest.raises(KeyRejectedError):
                await chat.chat(request)
        config = SearchConfig(
            data="words", llm="mocked", base_url=url, restarts=2, conversations=1, rounds=2, initial=4,
            price=FREE, run_dir=tmp_path / "run",
        )  # fmt: skip
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        result = await search(config, custom_scorer=FakeEvaluator())
    assert (result.status, result.usage.calls) == ("finished", 4)


async def test_a_conversation_is_fitted_into_the_context_of_llama_cpp(tmp_path: Path) -> None:
    """One request is refused, those after it are not."""
    need("xllamacpp", "gguf")
    write_tiny_gguf(tmp_path / "tiny.gguf")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    with running(tmp_path, [sys.executable, "-c", LLAMA, "tiny.gguf", str(port), str(CONTEXT)]):
        await ready(url)
        async with CountingChat(url) as chat:
            for number in (10, 12, 14):
                request = replace(REQUEST, messages=turns(number))
                answer = await adapting(chat, request)
                assert answer.text == "- a photo of a {}"
                assert answer.prompt_tokens + request.max_tokens <= CONTEXT
            assert chat.requests == 4
            hopeless: ChatMessage = {"role": "user", "content": SAID * 100}
            with pytest.raises(ContextTooLongError):
                await chat.chat(replace(REQUEST, messages=(hopeless,)))


async def test_llmock_states_limits_and_a_context_in_openais_words(tmp_path: Path) -> None:
    """Its headers are read, its waits too, and its context is kept to."""
    need("llmock")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    program = str(Path(sys.executable).with_name("llmock"))
    command = [program, "serve", "--port", str(port), "--context-window", "400", "--rpm", "5"]
    with running(tmp_path, command):
        await ready(url)
        async with CountingChat(url, KEY) as chat:
            request = ChatRequest(messages=turns(40), model="gpt-4o", max_tokens=64, seed=7)
            answer = await adapting(chat, request)
            assert chat.requests == 2
            assert answer.headers["x-ratelimit-limit-requests"] == "5"
            waits = [wait for _ in range(8) if (wait := await refused(chat, request)) is not None]
            assert chat.requests == 10
    assert waits
    assert all(0 < wait <= 60 for wait in waits)
