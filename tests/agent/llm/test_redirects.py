"""Requests that are sent on to another address: nothing goes there, and the message names it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from pydantic import SecretStr

from promptclimb.agent.errors import RedirectedError
from promptclimb.agent.llm.chat import ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.evaluator.remote.asking import ApiRequest
from tests.fakes.looks import preflight
from tests.fakes.served import served

KEY = "k-0123456789abcdef"
REQUEST = ChatRequest(messages=({"role": "user", "content": "templates, please"},), model="m")
COMPLETION = {"choices": [{"message": {"content": "- a {}"}, "finish_reason": "stop"}]}
DEPLOYMENT = "/openai/deployments/d"


@asynccontextmanager
async def two_hosts(status: int, seen: list[web.Request]) -> AsyncIterator[str]:
    """An address under one name of this machine, which sends every request on to another name of it."""

    async def handle(request: web.Request) -> web.Response:
        seen.append(request)
        if request.host.startswith("127.") and not request.path.endswith("/"):
            host = "localhost" if "/here/" not in request.path else "127.0.0.1"
            path = request.path if host == "localhost" else f"{request.path}/"
            there = f"http://{host}:{request.url.port}{path}"
            return web.Response(status=status, headers={"Location": there})
        if request.method != "POST":
            return web.Response(status=405)
        return web.json_response(COMPLETION)

    async with served(handle, "") as url:
        yield url


def keys_of(request: web.Request) -> list[str]:
    """The headers of a request that hold the key."""
    return [name for name, value in request.headers.items() if KEY in value]


@pytest.mark.parametrize("path", ["/v1", DEPLOYMENT])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_prompt_and_no_key_go_to_another_host(path: str, status: int) -> None:
    """Neither as a bearer token nor as Azure has it; the message names the other address, and the option."""
    seen: list[web.Request] = []
    async with two_hosts(status, seen) as url, OpenAIChat(f"{url}{path}", KEY) as chat:
        there = f"{url}{path}".replace("127.0.0.1", "localhost")
        with pytest.raises(RedirectedError, match=f"{there}; if that is right, give it with `base_url`"):
            await chat.chat(REQUEST)
    (asked,) = seen
    assert keys_of(asked)
    assert asked.host.startswith("127.")


async def test_no_image_goes_to_another_host() -> None:
    """Nor does a scorer's request to the address itself, or below it."""
    seen: list[web.Request] = []
    async with two_hosts(307, seen) as url, OpenAIChat(f"{url}/v1", KEY) as chat:
        there = f"{url}/v1".replace("127.0.0.1", "localhost")
        for path in ("", "embeddings"):
            request = ApiRequest(path=path, body={"inputs": "an image"})
            with pytest.raises(
                RedirectedError, match=f"{there}; if that is right, give it with `scorer_url`"
            ):
                await chat.post(request)
    assert all(request.host.startswith("127.") for request in seen)
    assert len(seen) == 2


async def test_a_redirect_within_a_host_is_followed() -> None:
    """Such as to the same path with a slash."""
    seen: list[web.Request] = []
    async with two_hosts(307, seen) as url, OpenAIChat(f"{url}/here/v1", KEY) as chat:
        assert (await chat.chat(REQUEST)).text == "- a {}"
    assert [bool(keys_of(request)) for request in seen] == [True, True]


async def test_a_loop_of_redirects_ends_after_a_few() -> None:
    """As a mistake in the address; each of them is a request more."""
    paths: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/loop"})

    async with served(handle) as url, OpenAIChat(url) as chat:
        with pytest.raises(RedirectedError, match="more than 3 times: check `base_url`"):
            await chat.chat(REQUEST)
        assert len(paths) == 4
        with pytest.raises(RedirectedError, match="more than 3 times: check `scorer_url`"):
            await chat.post(ApiRequest(path="", body={"inputs": "an image"}))
        assert len(paths) == 8


@pytest.mark.parametrize("status", [300, 302, 304])
async def test_a_redirect_that_leads_nowhere_says_what_to_check(status: int) -> None:
    """A cache's answer, for instance, is no answer to a request."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with served(handle) as url, OpenAIChat(url) as chat:
        with pytest.raises(RedirectedError, match=f"answers {status}, but names no address .* `base_url`"):
            await chat.chat(REQUEST)


async def test_no_key_goes_to_another_host_for_a_list_of_models() -> None:
    """The look before a search sends the same headers."""
    seen: list[web.Request] = []
    async with two_hosts(302, seen) as url:
        await preflight(f"{url}{DEPLOYMENT}", SecretStr(KEY), model="m")
    assert keys_of(seen[0])
    assert not any(keys_of(request) for request in seen[1:])
