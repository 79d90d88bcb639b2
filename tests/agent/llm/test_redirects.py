"""Requests that are sent on to another address: the key stays, and the message says where they went."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from promptclimb.agent.errors import ChatError
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.llm.endpoints import look
from promptclimb.agent.secrets import Secret

KEY = "k-0123456789abcdef"
REQUEST = ChatRequest(messages=({"role": "user", "content": "templates, please"},), model="m")
COMPLETION = {"choices": [{"message": {"content": "- a {}"}, "finish_reason": "stop"}]}
DEPLOYMENT = "/openai/deployments/d"


@asynccontextmanager
async def two_hosts(status: int, seen: list[web.Request]) -> AsyncIterator[str]:
    """An address under one name of this machine, which sends every request on to another name of it."""

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        if request.host.startswith("127."):
            there = f"http://localhost:{request.url.port}{request.path}"
            return web.Response(status=status, headers={"Location": there})
        if request.method != "POST":
            return web.Response(status=405)
        return web.json_response(COMPLETION)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def keys_of(request: web.Request) -> list[str]:
    """The headers of a request that hold the key."""
    return [name for name, value in request.headers.items() if KEY in value]


@pytest.mark.parametrize("path", ["/v1", DEPLOYMENT])
async def test_no_key_goes_to_another_host(path: str) -> None:
    """Neither as a bearer token nor as Azure has it."""
    seen: list[web.Request] = []
    async with two_hosts(307, seen) as url, OpenAIChat(f"{url}{path}", KEY) as chat:
        assert (await chat.chat(REQUEST)).text == "- a {}"
    asked, sent_on = seen
    assert keys_of(asked)
    assert sent_on.host.startswith("localhost")
    assert keys_of(sent_on) == []


async def test_no_key_goes_to_another_host_for_a_list_of_models() -> None:
    """The look before a search sends the same headers."""
    seen: list[web.Request] = []
    async with two_hosts(302, seen) as url:
        await look(f"{url}{DEPLOYMENT}", Secret(KEY), key_env="K", model="m")
    assert keys_of(seen[0])
    assert not any(keys_of(request) for request in seen[1:])


async def test_where_a_request_was_sent_on_to_is_said() -> None:
    """A 301 makes a GET of it (http in place of https, mostly), and a bare 405 does not say what is wrong."""
    async with two_hosts(301, []) as url, OpenAIChat(f"{url}/v1", KEY) as chat:
        with pytest.raises(ChatError, match=r"http://localhost:\d+/v1: give that with --base-url"):
            await chat.chat(REQUEST)
