"""Open a config's endpoint: the key from the environment, and the preflight.

The preflight asks for ``/models`` before anything is paid. An endpoint need not have it: only proof that no
request can succeed is an error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
from pydantic import SecretStr

from ...evaluator.counts import how_to_install
from ...evaluator.errors import ConfigError, reason_of
from ...evaluator.network import is_loopback, tls_problem, why_unconnected
from ...evaluator.settings import near
from ..config.fields import LOCAL_LLM, without_credentials
from ..config.schema import COST_NEEDS_PRICE, SearchConfig
from ..errors import EndpointError
from ..events.types import Listener, Noted
from ..prices import FREE
from ..secrets import Scrubber, clean_key, is_azure, key_headers, split_query, split_userinfo
from .ask import Endpoint
from .budget import Limits
from .chat import Client
from .limiter import RateLimits
from .price_table import TablePrice, find_price
from .refusals import lacks_model

DEFAULT_KEY = "OPENAI_API_KEY"
T = TypeVar("T")
TRIES = 4
PAUSE_S = 0.5
TIMEOUT_S = 10.0
INVALID_KEY = "invalid_api_key"
"""OpenAI's code for an invalid key."""
_MAX_BODY = 4_000_000


@asynccontextmanager
async def open_endpoint(
    config: SearchConfig,
    environment: Mapping[str, str],
    *,
    chat: Client | None,
    scrubber: Scrubber,
    emit: Listener,
) -> AsyncIterator[Endpoint | None]:
    """Open the endpoint of a search, or ``chat`` if set, for the context; None if no LLM is asked.

    ``scrubber`` learns the key.

    Raises:
        ConfigError: The key is missing, the price is unknown, or the local model cannot be used.
        EndpointError: The endpoint is down, refuses the key or speaks another protocol.
    """
    async with AsyncExitStack() as stack:
        if not config.needs_llm:
            yield None
        elif chat is not None:
            price = find_price(config.price, None, config.llm or "")
            # The price of the config's endpoint does not count.
            if Limits.of(config).cost_usd is not None and price is None:
                raise ConfigError(COST_NEEDS_PRICE)
            limits = _limits(config, in_flight=getattr(chat, "in_flight", None))
            yield Endpoint(name="given", client=chat, price=price, limits=limits)
        elif config.is_local:
            yield await _local(stack, config, scrubber, emit)
        else:
            yield await _remote(stack, config, environment, scrubber, emit)


def check_endpoint(config: SearchConfig, environment: Mapping[str, str]) -> None:
    """Raise ConfigError if the key is missing, or a local model without fallback is unusable; offline."""
    if not config.needs_llm:
        return
    if not config.is_local:
        _key(config.llm_url, environment)
    elif config.llm_fallback is None:
        from .local_server import check_here

        try:
            check_here(config.llm or "")
        except EndpointError as error:
            raise _unusable(error) from error


def price_notes(endpoint: Endpoint | None) -> dict[str, Any]:
    """Return the used row of the price table by endpoint, for the result; empty without one."""
    if endpoint is None or not isinstance(endpoint.price, TablePrice):
        return {}
    return {"prices": {endpoint.name: dict(endpoint.price.about)}}


def warn_unencrypted(url: str, key: SecretStr | None, variable: str, emit: Listener) -> None:
    """Warn of a key that leaves this machine unencrypted."""
    if key and urlsplit(url).scheme != "https" and not is_loopback(url):
        shown = without_credentials(url)
        emit(Noted(text=f"the key in {variable} goes unencrypted to {shown}: use https there"))


def _key(url: str, environment: Mapping[str, str]) -> SecretStr | None:
    """Return the endpoint's key; None is valid, except at OpenAI."""
    if value := clean_key(environment.get(DEFAULT_KEY, ""), DEFAULT_KEY):
        return SecretStr(value)
    host = urlsplit(url).hostname or ""
    if host == "openai.com" or host.endswith(".openai.com"):
        raise ConfigError(
            f"no key: set {DEFAULT_KEY} in the environment; or give `base_url` of a server "
            'that needs none, or `llm = "local"`',
        )
    return None


async def _remote(
    stack: AsyncExitStack,
    config: SearchConfig,
    environment: Mapping[str, str],
    scrubber: Scrubber,
    emit: Listener,
) -> Endpoint:
    from .client import OpenAIChat

    url, model = config.llm_url, config.llm or ""
    key = _key(url, environment)
    scrubber.add(key or "")
    scrubber.add(split_userinfo(url).userinfo)
    seen = await preflight(url, key, model=model)
    warn_unencrypted(url, key, DEFAULT_KEY, emit)
    if seen.note:
        emit(Noted(text=scrubber.scrub_quoted(seen.note)))
    client = OpenAIChat(url, key, scrubber=scrubber, max_connections=config.concurrency, emit=emit)
    name, price = without_credentials(url), find_price(config.price, url, model)
    if isinstance(price, TablePrice):
        emit(Noted(text=f"price of {name}: {price}"))
    return Endpoint(
        name=name, client=await stack.enter_async_context(client), price=price, limits=_limits(config)
    )


async def _local(stack: AsyncExitStack, config: SearchConfig, scrubber: Scrubber, emit: Listener) -> Endpoint:
    from .local_models import content_of, model_name
    from .local_server import LlamaSettings, make_ready, shared_chat

    assert config.llm is not None
    if config.base_url is not None:
        # Not an error, since it may come from OPENAI_BASE_URL; but the user must see that it is not used.
        shown = without_credentials(config.base_url)
        text = f'`llm = "local"` runs on this machine: nothing is asked of {shown} (`base_url`)'
        emit(Noted(text=text))
    try:
        file = await make_ready(config.llm, emit)
        content = await content_of(config.llm, file)
    except EndpointError as error:
        raise _unusable(error) from error
    settings = LlamaSettings(model=file, name=model_name(config.llm))
    emit(Noted(text=f"loading the local language model {settings.name} ..."))
    client = await stack.enter_async_context(shared_chat(settings, scrubber=scrubber, emit=emit))
    emit(Noted(text=f"the local language model {settings.name} is loaded; it listens on loopback only"))
    return Endpoint(
        name=LOCAL_LLM,
        client=client,
        model=settings.name,
        price=FREE,
        limits=_limits(config, in_flight=1),
        content=content,
    )


def _unusable(error: EndpointError) -> ConfigError:
    from .local_server import is_installed

    brings = "" if is_installed() else f"{how_to_install('local')} brings it, "
    return ConfigError(
        f'`llm = "local"` cannot be used: {error}; {brings}`llm_fallback = "combine"` does without',
    )


def _limits(config: SearchConfig, *, in_flight: int | None = None) -> RateLimits:
    most = config.concurrency if in_flight is None else min(in_flight, config.concurrency)
    return RateLimits(rpm=config.rpm, tpm=config.tpm, concurrency=most)


class _NotJsonError(Exception):
    """An answer that no chat endpoint gives."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """The result of a preflight."""

    models: tuple[str, ...] = ()  # as listed
    note: str | None = None  # a line worth showing
    status: int | None = None  # HTTP status of the answer


async def preflight(base_url: str, key: SecretStr | None, *, model: str) -> Preflight:
    """Ask an endpoint for its models.

    Raises:
        EndpointError: Nothing listens there, it calls the key invalid, or it is not a chat endpoint.
    """
    clean = split_userinfo(base_url)
    url, query = split_query(clean.url)
    headers = key_headers(url, key.get_secret_value() if key else "", clean.userinfo.get_secret_value())

    async def visit(session: aiohttp.ClientSession) -> Preflight:
        async with session.get(
            f"{url}/models", params=query, headers=headers, allow_redirects="api-key" not in headers
        ) as reply:
            body = await reply.content.read(_MAX_BODY)
        result = _judge(url, reply.status, body, has_key=bool(key), model=model)
        if result.models and model and model not in result.models:
            await _check_unlisted(session, url, query, headers, model, result.models)
        return result

    try:
        return await reach(url, "`base_url`", visit)
    except _NotJsonError as error:
        raise EndpointError(error) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        return Preflight(note=f"{url}/models did not answer ({reason_of(error)}); continuing")


async def reach(url: str, setting: str, visit: Callable[[aiohttp.ClientSession], Awaitable[T]]) -> T:
    """Visit an address, which ``setting`` gives, until something answers; up to four times.

    Raises:
        EndpointError: Nothing listens there, or it is not an address.
        aiohttp.ClientError, TimeoutError, _NotJsonError: From the last visit.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    # A proxy's loopback is another machine.
    async with aiohttp.ClientSession(timeout=timeout, trust_env=not is_loopback(url)) as session:
        for left in reversed(range(TRIES)):
            fault: Exception
            try:
                return await visit(session)
            except aiohttp.ClientConnectorError as error:
                if (problem := tls_problem(error)) is not None:
                    raise EndpointError(
                        f"no connection to {url}: {problem}. Give another address with {setting}"
                    ) from None
                fault = EndpointError(
                    f"nothing answers at {url} ({why_unconnected(error)}); is the server running, and "
                    f"is the address right? Give another with {setting}",
                )
            except (aiohttp.InvalidURL, UnicodeError):  # a name that IDNA cannot write
                raise EndpointError(f"{url} is not an address; give another with {setting}") from None
            # A gateway in trouble answers with a page now and then; an endpoint never does so each time.
            except (aiohttp.ClientError, TimeoutError, _NotJsonError) as error:
                fault = error
            if not left:
                raise fault from None
            await asyncio.sleep(PAUSE_S)
    raise AssertionError("unreachable")


async def _check_unlisted(
    session: aiohttp.ClientSession,
    url: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    model: str,
    listed: Sequence[str],
) -> None:
    """Ask for a model that is not listed, which costs nothing; raise EndpointError if it does not exist.

    Endpoints without such a question answer in other words, and the first request shows it.
    """
    there = f"{url}/models/{quote(model, safe='')}"
    try:
        async with session.get(there, params=query, headers=headers, allow_redirects=False) as reply:
            body = await reply.content.read(_MAX_BODY)
    except (aiohttp.ClientError, TimeoutError):
        return
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return
    if reply.status == 404 and lacks_model(document):
        hint = near(model, listed)
        raise EndpointError(f"{url} has no model {model!r}{hint}; give another with `llm`")


def _judge(url: str, status: int, body: bytes, *, has_key: bool, model: str) -> Preflight:
    if status in (401, 403):
        return _refused(url, status, body, has_key=has_key)
    if status == 404:
        ends = (
            "" if url.endswith("/v1") or is_azure(url) else "; is the address right? It usually ends in /v1"
        )
        return Preflight(status=status, note=f"{url}/models is not there (HTTP 404){ends}")
    if status != 200:
        return Preflight(status=status)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _NotJsonError(
            f"{url}/models answers something that is not JSON: this is no OpenAI-compatible endpoint; "
            "base URLs usually end in /v1"
        ) from None
    listed = document.get("data") if isinstance(document, dict) else document
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    models = tuple(str(item["id"]) for item in items if item.get("id"))
    if not models or not model or model in models:
        return Preflight(models, status=status)
    note = f"{url} does not list a model {model!r}{near(model, models)}; asking for it anyway"
    return Preflight(models, note=note, status=status)


def _refused(url: str, status: int, body: bytes, *, has_key: bool) -> Preflight:
    """Judge a refusal: of the key, or of the list alone, which some vendors guard separately."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        error = None
    if has_key and status == 401 and isinstance(error, dict) and error.get("code") == INVALID_KEY:
        raise EndpointError(
            f"{url} refuses the key in {DEFAULT_KEY} (HTTP {status}); set {DEFAULT_KEY} to a valid one"
        )
    what = (
        f"does not list its models to the key in {DEFAULT_KEY}"
        if has_key
        else "asks for a key to list its models"
    )
    advice = f"set {DEFAULT_KEY} to a valid one" if has_key else f"set {DEFAULT_KEY}"
    note = f"{url} {what} (HTTP {status}); asking it anyway: if it refuses that too, {advice}"
    return Preflight(status=status, note=note)
