"""The look at an endpoint: an error only where no request can succeed."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

import promptclimb.agent.llm.endpoints
from promptclimb.agent.errors import EndpointError
from promptclimb.agent.llm.endpoints import Preflight, preflight
from promptclimb.agent.secrets import Secret

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = Secret("sk-0123456789abcdef")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(promptclimb.agent.llm.endpoints, "PAUSE_S", 0)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """An endpoint whose /models is answered by a function."""
    app = web.Application()
    app.router.add_get("/v1/models", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    await runner.cleanup()


def answering(response: Callable[[], web.Response]) -> Handler:
    """A handler that always says the same."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return response()

    return handle


def models(*names: str) -> web.Response:
    """OpenAI's list."""
    return web.json_response({"object": "list", "data": [{"id": name} for name in names]})


async def test_a_listed_model_needs_no_note() -> None:
    """All is well."""
    async with serving(answering(lambda: models("a", "b"))) as url:
        seen = await preflight(url, KEY, key_env="K", model="b")
    assert (seen.models, seen.note) == (("a", "b"), None)


@pytest.mark.parametrize(
    ("body", "exists"),
    [
        ({"error": {"message": "The model 'c' does not exist", "code": "model_not_found"}}, False),
        ({"error": {"message": 'model "c" not found, try pulling it first'}}, False),
        ({"detail": "Not Found"}, True),
        (None, True),
    ],
    ids=["OpenAI", "Ollama", "no such path", "an answer"],
)
async def test_an_unlisted_model_that_does_not_exist_is_refused_at_once(body: object, exists: bool) -> None:
    """Where the endpoint says so when asked for that model alone, which costs nothing."""

    async def one(_request: web.Request) -> web.Response:
        return web.json_response(body, status=404 if body else 200)

    app = web.Application()
    app.router.add_get("/v1/models", answering(lambda: models("a", "b")))
    app.router.add_get("/v1/models/{name}", one)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        if exists:
            assert "asking for it anyway" in str((await preflight(url, KEY, key_env="K", model="c")).note)
        else:
            with pytest.raises(EndpointError, match=r"has no model 'c'.*with llm"):
                await preflight(url, KEY, key_env="K", model="c")
    finally:
        await runner.cleanup()


async def test_a_model_that_is_not_listed_is_named_with_similar_ones() -> None:
    """Lists are often incomplete, so it is no error yet."""
    async with serving(answering(lambda: models("gpt-4o-mini", "other"))) as url:
        seen = await preflight(url, KEY, key_env="K", model="gpt-4o-mimi")
    assert "gpt-4o-mini" in str(seen.note)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_list_is_left_to_the_first_request(status: int) -> None:
    """Some vendors guard it in another way; with a key and without one the advice differs."""
    async with serving(answering(lambda: web.Response(status=status, text="no"))) as url:
        with_key = await preflight(url, KEY, key_env="MY_KEY", model="m")
        without = await preflight(url, None, key_env="MY_KEY", model="m")
    assert with_key.status == without.status == status
    assert "set MY_KEY to a valid one" in str(with_key.note)
    assert str(without.note).endswith("set MY_KEY")
    assert KEY.reveal() not in str(with_key.note)


async def test_an_invalid_key_is_called_by_the_name_of_its_variable() -> None:
    """OpenAI's own code leaves no doubt; the key itself is not shown."""
    error = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    async with serving(answering(lambda: web.json_response(error, status=401))) as url:
        with pytest.raises(EndpointError, match="refuses the key in MY_KEY") as caught:
            await preflight(url, KEY, key_env="MY_KEY", model="m")
    assert KEY.reveal() not in str(caught.value)


@pytest.mark.parametrize(
    ("item", "context"),
    [
        ({"max_model_len": 4096}, 4096), ({"context_length": 131072}, 131072),
        ({"meta": {"n_ctx": 1024}}, 1024),
        ({"context_window": "8k"}, None), ({}, None), ({"meta": 3}, None),
    ],
)  # fmt: skip
async def test_the_context_is_read_where_a_list_states_it(
    item: dict[str, object], context: int | None
) -> None:
    """By any of the names that vendors have for it."""
    document = {"data": [{"id": "other", "max_model_len": 1}, {"id": "m", **item}]}
    async with serving(answering(lambda: web.json_response(document))) as url:
        assert (await preflight(url, KEY, key_env="K", model="m")).context == context


async def test_an_azure_deployment_has_no_list_and_a_header_of_its_own() -> None:
    """The key goes as Azure wants it, the version after the path, and nobody asks about `/v1`."""
    asked: list[web.Request] = []

    async def missing(request: web.Request) -> web.StreamResponse:
        asked.append(request)
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/openai/deployments/d/models", missing)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/openai/deployments/d?api-version=2024-10-21"
    seen = await preflight(url, KEY, key_env="K", model="m")
    await runner.cleanup()
    assert "/v1" not in str(seen.note)
    (request,) = asked
    assert request.query_string == "api-version=2024-10-21"
    assert request.headers["api-key"] == KEY.reveal()


async def test_a_web_page_is_no_endpoint() -> None:
    """HTML with status 200 means that the address is another server's."""
    async with serving(
        answering(lambda: web.Response(text="<html>hi</html>", content_type="text/html"))
    ) as url:
        with pytest.raises(EndpointError, match="not JSON"):
            await preflight(url, KEY, key_env="K", model="m")


async def test_a_page_now_and_then_is_a_gateway_in_trouble() -> None:
    """It is asked again before it is taken for another kind of server."""
    answers = [web.Response(text="<html>"), models("m")]

    async def handle(request: web.Request) -> web.StreamResponse:
        return answers.pop(0)

    async with serving(handle) as url:
        assert (await preflight(url, KEY, key_env="K", model="m")).models == ("m",)


@pytest.mark.parametrize("status", [405, 429, 500, 503])
async def test_an_endpoint_without_a_list_is_left_to_the_first_request(status: int) -> None:
    """Not every server has /models, and a busy one is not a wrong one."""
    async with serving(answering(lambda: web.Response(status=status))) as url:
        assert await preflight(url, KEY, key_env="K", model="m") == Preflight(status=status)


async def test_a_list_that_is_not_there_raises_the_question_of_the_address() -> None:
    """Some servers have none; more often the address lacks its end."""
    async with serving(answering(lambda: web.Response(status=404))) as url:
        seen = await preflight(url.removesuffix("/v1"), KEY, key_env="K", model="m")
        assert "It usually ends in /v1" in str(seen.note)


@pytest.mark.parametrize("document", [[], {}, {"data": 3}, {"data": [{"name": "x"}, 4]}, "x", None])
async def test_strange_lists_are_no_error(document: object) -> None:
    """JSON of another shape lists nothing."""
    async with serving(answering(lambda: web.json_response(document))) as url:
        assert (await preflight(url, KEY, key_env="K", model="m")).models == ()


async def test_where_nothing_listens_it_is_said() -> None:
    """The address is named, credentials are not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(EndpointError, match="nothing answers") as caught:
            await preflight(f"http://me:pw-secret@127.0.0.1:{port}/v1", None, key_env="K", model="m")
    assert "pw-secret" not in str(caught.value)
    assert str(port) in str(caught.value)


async def test_a_connection_that_breaks_is_left_to_the_first_request() -> None:
    """Connections break; the retries of real requests deal with them."""

    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with serving(cut) as url:
        assert (await preflight(url, KEY, key_env="K", model="m")).note is not None
