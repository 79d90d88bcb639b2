"""The local chat server: its protocol, its order, its end; with a scripted generator in the model's place."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from promptclimb.agent.errors import EndpointError
from promptclimb.agent.llm.local import LocalLLM, is_available, server
from promptclimb.agent.llm.local.generator import (
    GenerationCancelledError,
    GenerationFailedError,
    Sample,
    Sampling,
)
from promptclimb.agent.llm.local.model_file import MODEL_NAME, model_file
from promptclimb.prompts.replies import parse_reply
from promptclimb.prompts.requests import Outcome, request_p

ASK = {"role": "user", "content": "write 3 templates"}


class ScriptedGenerator:
    """Draws from a list of lines by seed; can be held until it is cancelled or let go."""

    def __init__(self, lines: Sequence[str] = (), *, held: bool = False) -> None:
        self.script = list(lines) or [
            f"a {word} <object>" for word in ("red", "old", "new", "big", "wet", "dry")
        ]
        self.prompts: list[str] = []
        self.samplings: list[Sampling] = []
        self.reading = threading.Event()
        self.go_on = threading.Event()
        self.failure: Exception | None = None
        self.cancelled = 0
        self.closed = False
        self.threads: set[str] = set()
        if not held:
            self.go_on.set()

    def read(self, prompt: str, cancelled: Callable[[], bool]) -> int:
        self.threads.add(threading.current_thread().name)
        self.prompts.append(prompt)
        self.reading.set()
        while not self.go_on.wait(0.001):
            if cancelled():
                self.cancelled += 1
                raise GenerationCancelledError
        if self.failure is not None:
            raise self.failure
        return len(prompt.split())

    def lines(self, seeds: Sequence[int], sampling: Sampling, cancelled: Callable[[], bool]) -> list[Sample]:
        self.samplings.append(sampling)
        return [
            Sample(
                self.script[seed % len(self.script)], min(4, sampling.max_tokens), sampling.max_tokens >= 4
            )
            for seed in seeds
        ]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator()


@pytest.fixture
async def llm(generator: ScriptedGenerator) -> AsyncIterator[LocalLLM]:
    async with LocalLLM(lambda: generator) as local:
        yield local


async def post(llm: LocalLLM, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{llm.base_url}/chat/completions",
            data=data,
            headers={"Content-Type": "application/json", **headers},
        ) as reply,
    ):
        return reply.status, await reply.json()


def chat(**more: Any) -> dict[str, Any]:
    return {"model": MODEL_NAME, "messages": [ASK], "seed": 1, **more}


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def test_openai_s_own_client_gets_an_answer(llm: LocalLLM, generator: ScriptedGenerator) -> None:
    """The SDK that remote endpoints are asked with reads choices, usage and the list of models."""
    messages = request_p([Outcome("a photo of a {}"), Outcome("a sketch of {}")], proposals=3, max_words=15)
    async with AsyncOpenAI(base_url=llm.base_url, api_key="none", max_retries=0) as client:
        reply = await client.chat.completions.create(
            model=llm.model, messages=messages, temperature=1.0, max_tokens=512, seed=7, n=2
        )
        models = await client.models.list()
        one = await client.models.retrieve(llm.model)
    assert [model.id for model in models.data] == [one.id] == [llm.model]
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert reply.choices[0].finish_reason == "stop"
    templates = parse_reply(reply.choices[0].message.content or "").templates
    assert len(templates) == 3
    assert all(t.text.startswith("a ") and t.text.endswith(" {}") for t in templates)
    assert reply.usage is not None
    assert reply.usage.prompt_tokens == len(generator.prompts[0].split())
    assert reply.usage.completion_tokens >= 2 * 3 * 4
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert generator.prompts[0].endswith("\na sketch of <object>\na photo of a <object>\n")


async def test_it_listens_on_loopback_alone_and_works_in_one_thread(
    llm: LocalLLM, generator: ScriptedGenerator
) -> None:
    """Nothing outside this machine reaches it, and the model is never used from two threads."""
    assert llm.base_url.startswith("http://127.0.0.1:")
    assert llm.base_url.endswith("/v1")
    replies = await asyncio.gather(*(post(llm, chat(seed=seed)) for seed in range(20)))
    assert {status for status, _ in replies} == {200}
    assert len(generator.threads) == 1
    assert len(generator.prompts) == 20


async def test_the_same_request_with_a_seed_has_the_same_answer(llm: LocalLLM) -> None:
    """Seeds decide the answer; another seed, or none, draws anew."""

    async def content(**more: Any) -> str:
        _, reply = await post(llm, chat(**more))
        return str(reply["choices"][0]["message"]["content"])

    first = await content(seed=5)
    assert first == await content(seed=5)
    others = {await content(seed=seed) for seed in range(6, 12)} | {
        await content(seed=None) for _ in range(6)
    }
    assert len(others | {first}) > 3


async def test_options_reach_the_generator(llm: LocalLLM, generator: ScriptedGenerator) -> None:
    """Temperature and top_p are passed on; max_tokens bounds all lines of a choice together."""
    await post(llm, chat(temperature=0.3, top_p=0.5))
    assert (generator.samplings[-1].temperature, generator.samplings[-1].top_p) == (0.3, 0.5)
    status, reply = await post(
        llm, chat(max_tokens=10, messages=[{"role": "user", "content": "write 50 templates"}])
    )
    assert status == 200
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] <= 10
    _, reply = await post(llm, chat(max_completion_tokens=3))
    assert reply["usage"]["completion_tokens"] <= 3
    _, reply = await post(llm, chat(temperature=0))
    assert len(reply["choices"][0]["message"]["content"].splitlines()) == 1


async def test_stop_strings_end_the_answer(llm: LocalLLM) -> None:
    """An answer ends before the first of the stop strings."""
    _, whole = await post(llm, chat())
    lines = whole["choices"][0]["message"]["content"].splitlines()
    _, cut = await post(llm, chat(stop="\n"))
    assert cut["choices"][0]["message"]["content"] == lines[0]
    _, cut = await post(llm, chat(stop=["nowhere", lines[1]]))
    assert cut["choices"][0]["message"]["content"] == lines[0] + "\n"


async def test_content_may_come_in_parts_and_roles_vary(llm: LocalLLM, generator: ScriptedGenerator) -> None:
    """Text parts are joined, system turns are read, an assistant turn may be empty."""
    messages = [
        {"role": "system", "content": "You write captions."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Known:\n- a cat "}, {"type": "text", "text": "{}"}],
        },
        {"role": "assistant", "content": None},
        ASK,
    ]
    status, _ = await post(llm, chat(messages=messages))
    assert status == 200
    assert "\na cat <object>\n" in generator.prompts[0]


@pytest.mark.parametrize(
    ("body", "status", "param", "message"),
    [
        ("not json", 400, None, "the body: Invalid JSON"),
        ("[]", 400, None, "the body: "),
        ({"messages": [ASK]}, 400, "model", "model: Field required"),
        ({"model": MODEL_NAME}, 400, "messages", "messages: Field required"),
        (chat(messages=[]), 400, "messages", "at least 1 item"),
        (chat(messages=[{"role": "robot", "content": "x"}]), 400, "messages.0.role", "'system'"),
        (chat(messages=[{"role": "user", "content": 5}]), 400, "messages.0.content.str", "string"),
        (chat(temperature=3), 400, "temperature", "less than or equal to 2"),
        (chat(temperature="hot"), 400, "temperature", "number"),
        (chat(top_p=0), 400, "top_p", "greater than 0"),
        (chat(n=9), 400, "n", "less than or equal to 8"),
        (chat(max_tokens=0), 400, "max_tokens", "greater than or equal to 1"),
        (chat(seed="x"), 400, "seed", "integer"),
        (chat(stop=["a"] * 5), 400, "stop", "at most 4 strings"),
        (chat(stop=""), 400, "stop", "none of them empty"),
        (chat(stream=True), 400, "stream", "stream is not supported"),
        (chat(tools=[{}]), 400, "tools", "tools is not supported"),
        (chat(logprobs=True), 400, "logprobs", "logprobs is not supported"),
        (chat(model="gpt-4o"), 404, "model", "'gpt-4o' does not exist here"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else str(value)[:20],
)
async def test_bad_requests_are_refused_as_openai_does(
    llm: LocalLLM, generator: ScriptedGenerator, body: Any, status: int, param: str | None, message: str
) -> None:
    """Each wrong member is named in OpenAI's error form, and the model is not asked."""
    got, reply = await post(llm, body)
    assert (got, reply["error"]["param"]) == (status, param)
    assert message in reply["error"]["message"]
    assert reply["error"]["type"] == "invalid_request_error"
    assert generator.prompts == []


async def test_the_sdk_raises_its_own_errors(llm: LocalLLM) -> None:
    """The SDK tells a missing model from a bad request."""
    async with AsyncOpenAI(base_url=llm.base_url, api_key="none", max_retries=0) as client:
        with pytest.raises(NotFoundError) as missing:
            await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
        with pytest.raises(BadRequestError):
            await client.chat.completions.create(
                model=llm.model, messages=[{"role": "user", "content": "hi"}], stream=True
            )
        with pytest.raises(NotFoundError):
            await client.models.retrieve("gpt-4o")
    assert missing.value.code == "model_not_found"


async def test_other_paths_methods_types_and_sizes_are_json_errors(llm: LocalLLM) -> None:
    """Whatever goes wrong, the reply is JSON in the one form."""
    async with aiohttp.ClientSession() as session:
        for method, path, data, status in [
            ("GET", "/nowhere", None, 404),
            ("GET", "/chat/completions", None, 405),
            ("POST", "/chat/completions", "x=1", 415),
            ("POST", "/chat/completions", '"' + "x" * server.MAX_BODY_BYTES + '"', 413),
        ]:
            headers = {"Content-Type": "text/plain" if status == 415 else "application/json"}
            async with session.request(method, llm.base_url + path, data=data, headers=headers) as reply:
                assert reply.status == status
                assert set((await reply.json())["error"]) == {"message", "type", "param", "code"}


async def test_a_failing_model_is_a_server_error(llm: LocalLLM, generator: ScriptedGenerator) -> None:
    """A model that cannot be run is a 500 with its reason; the next request is served."""
    generator.failure = GenerationFailedError("llama.cpp failed to run the model (code 1)")
    status, reply = await post(llm, chat())
    assert (status, reply["error"]["type"]) == (500, "server_error")
    assert "code 1" in reply["error"]["message"]
    generator.failure = None
    assert (await post(llm, chat()))[0] == 200


async def test_too_many_waiting_requests_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of waiting requests is bounded."""
    monkeypatch.setattr(server, "MAX_WAITING", 1)
    generator = ScriptedGenerator(held=True)
    async with LocalLLM(lambda: generator) as llm:
        first = asyncio.create_task(post(llm, chat()))
        await wait_for(generator.reading)
        status, reply = await post(llm, chat())
        assert (status, reply["error"]["type"]) == (503, "server_error")
        generator.go_on.set()
        assert (await first)[0] == 200
        assert (await post(llm, chat()))[0] == 200


async def test_a_client_that_goes_away_frees_the_model() -> None:
    """Work for nobody ends, and the next in line is served."""
    generator = ScriptedGenerator(held=True)
    async with LocalLLM(lambda: generator) as llm:
        gone = asyncio.create_task(post(llm, chat()))
        await wait_for(generator.reading)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        generator.reading.clear()
        next_one = asyncio.create_task(post(llm, chat()))
        await wait_for(generator.reading)
        generator.go_on.set()
        assert (await next_one)[0] == 200
    assert generator.cancelled == 1


async def test_closing_ends_the_work_in_hand_and_frees_the_model() -> None:
    """A generation in flight does not hold up the end; the model is closed and its thread is gone."""
    generator = ScriptedGenerator(held=True)
    async with LocalLLM(lambda: generator) as llm:
        asked = asyncio.create_task(post(llm, chat()))
        await wait_for(generator.reading)
    assert generator.cancelled == 1
    assert generator.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("local-llm")]
    result = await asyncio.gather(asked, return_exceptions=True)
    if isinstance(result[0], BaseException):
        assert isinstance(result[0], aiohttp.ClientError)
    else:
        assert result[0][0] == 503
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(llm, chat())


async def test_a_model_that_cannot_be_made_fails_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes out of `async with`, and no thread stays behind."""

    def broken() -> ScriptedGenerator:
        raise EndpointError("llama.cpp cannot load it")

    with pytest.raises(EndpointError, match="cannot load it"):
        async with LocalLLM(broken):
            pytest.fail("it must not open")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("local-llm")]
    monkeypatch.setattr(server, "missing_packages", lambda: ["llama-cpp-py-sync"])
    with pytest.raises(EndpointError, match="not installed: llama-cpp-py-sync"):
        async with LocalLLM():
            pytest.fail("it must not open")


async def test_cancelled_while_loading_frees_the_model() -> None:
    """A search that is stopped while the model loads leaves nothing behind."""
    generator = ScriptedGenerator()
    loading, go_on = threading.Event(), threading.Event()

    def slow() -> ScriptedGenerator:
        loading.set()
        go_on.wait(10)
        return generator

    async def opened() -> None:
        async with LocalLLM(slow):
            pytest.fail("it must not open")

    task = asyncio.create_task(opened())
    await wait_for(loading)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator.closed


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`is_available` gives the packages to install, or what the library said, or None."""
    monkeypatch.setattr(server, "missing_packages", lambda: ["llama-cpp-py-sync"])
    assert is_available() == "llama-cpp-py-sync is not installed"
    monkeypatch.setattr(server, "missing_packages", lambda: ["a", "b"])
    assert is_available() == "a, b are not installed"


class FakePackage:
    """The package that carries the model in parts, with a small model."""

    MODEL_NAME = "tiny.gguf"
    EXPECTED_SHA256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # of b"foo"

    def __init__(self) -> None:
        self.assembled = 0
        self.error: Exception | None = None

    def assemble(self, path: Path, *, overwrite: bool) -> Path:
        self.assembled += 1
        path.write_bytes(b"fo")
        if self.error is not None:
            raise self.error
        path.write_bytes(b"foo")
        return path


def test_the_model_file_is_made_once_and_mended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is put together once, made anew when it was changed, and never left half done."""
    package = FakePackage()
    monkeypatch.setattr(
        "promptclimb.agent.llm.local.model_file.importlib.import_module", lambda _name: package
    )
    monkeypatch.setenv("PROMPTCLIMB_CACHE", str(tmp_path))
    path = model_file()
    assert path == model_file() == tmp_path / "llm" / "tiny.gguf"
    assert package.assembled == 1
    path.write_bytes(b"bar")
    assert model_file().read_bytes() == b"foo"
    path.unlink()
    package.error = OSError(28, "No space left on device")
    with pytest.raises(EndpointError, match="No space left"):
        model_file()
    assert list(path.parent.iterdir()) == []
