"""Servers on this machine are asked without a proxy, all others through the one that is set."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.evaluator.network import is_loopback
from tests.fakes.looks import preflight
from tests.fakes.served import served

REQUEST = ChatRequest(messages=({"role": "user", "content": "templates, please"},), model="m")
COMPLETION = {"choices": [{"message": {"content": "- a {}"}, "finish_reason": "stop"}]}


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers whatever it is asked, as a proxy would too, and what it was asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"data": [{"id": "m"}]} if request.method == "GET" else COMPLETION)

    async with served(handle, "") as url:
        yield url, asked


@pytest.fixture
def no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has said which hosts need no proxy."""
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_exceptions")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_on_this_machine_is_asked_without_a_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said to a local model stays on this machine, and a proxy's loopback is another machine's."""
    async with answering() as (proxy, by_proxy), answering() as (server, asked):
        monkeypatch.setenv("http_proxy", proxy)
        url = f"{server.replace('127.0.0.1', host)}/v1"
        assert await preflight(url, None, model="m") is None
        async with OpenAIChat(url) as chat:
            assert (await chat.chat(REQUEST)).text == "- a {}"
    assert by_proxy == []
    assert asked == ["/v1/models", "/v1/chat/completions"]


@pytest.mark.usefixtures("no_exceptions")
async def test_another_machine_is_asked_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere else."""
    async with answering() as (proxy, by_proxy):
        monkeypatch.setenv("http_proxy", proxy)
        async with OpenAIChat("http://models.example/v1") as chat:
            assert (await chat.chat(REQUEST)).text == "- a {}"
    assert len(by_proxy) == 1


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8000/v1", True), ("http://[::1]:8000/v1", True), ("https://localhost/v1", True),
        ("http://llm.localhost/v1", True), ("http://10.0.0.7/v1", False), ("http://localhost.test/v1", False),
    ],
)  # fmt: skip
def test_which_addresses_are_of_this_machine(url: str, own: bool) -> None:
    """By name or by number."""
    assert is_loopback(url) is own
