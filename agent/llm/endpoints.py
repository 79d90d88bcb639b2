"""Open a config's endpoint: the key from the environment, and the preflight.

The preflight asks for ``/models`` before anything is paid. An endpoint need not have it: only proof that no
request can succeed is an error.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from ...evaluator.counts import how_to_install
from ...evaluator.errors import ConfigError
from ...evaluator.network import is_loopback
from ...evaluator.settings import near
from ..config.fields import LOCAL_LLM, without_credentials
from ..config.schema import COST_NEEDS_PRICE, SearchConfig
from ..errors import ChatError, EndpointError
from ..events.types import Listener, Noted
from ..prices import FREE
from ..secrets import Scrubber, clean_key, is_azure
from .ask import Endpoint
from .chat import Client
from .limiter import RateLimits
from .price_table import TablePrice, find_price

if TYPE_CHECKING:
    from .client import OpenAIChat

DEFAULT_KEY = "OPENAI_API_KEY"
LOCAL_ATTEMPT_S = 1200.0
INVALID_KEY = "invalid_api_key"
"""OpenAI's code for an invalid key."""


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
            if config.max_cost is not None and price is None:
                raise ConfigError(COST_NEEDS_PRICE)
            limits = _limits(config, in_flight=getattr(chat, "in_flight", None))
            yield Endpoint(name="given", client=chat, price=price, limits=limits)
        elif config.is_local:
            yield await _local(stack, config, scrubber, emit)
        else:
            yield await _remote(stack, config, environment, scrubber, emit)


def check_endpoint(config: SearchConfig, environment: Mapping[str, str]) -> None:
    """Raise ConfigError if the key is missing, or a local model is unusable; offline."""
    if not config.needs_llm:
        return
    if not config.is_local:
        _key(config.llm_url, environment)
    else:
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
            'that needs none, or `llm = "local"`'
        )
    return None


async def _remote(
    stack: AsyncExitStack,
    config: SearchConfig,
    environment: Mapping[str, str],
    scrubber: Scrubber,
    emit: Listener,
) -> Endpoint:
    from .client import OpenAIChat  # its SDK takes a second to load

    url, model = config.llm_url, config.llm or ""
    key = _key(url, environment)
    client = await stack.enter_async_context(
        OpenAIChat(url, key, scrubber=scrubber, max_connections=config.concurrency, emit=emit)
    )
    note = await preflight(client, model)
    warn_unencrypted(url, key, DEFAULT_KEY, emit)
    if note:
        emit(Noted(text=scrubber.scrub_quoted(note)))
    name, price = without_credentials(url), find_price(config.price, url, model)
    if isinstance(price, TablePrice):
        emit(Noted(text=f"price of {name}: {price}"))
    return Endpoint(name=name, client=client, price=price, limits=_limits(config))


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
        settings = LlamaSettings(model=file, name=model_name(config.llm))
        emit(Noted(text=f"loading the local language model {settings.name} ..."))
        client = await stack.enter_async_context(shared_chat(settings, scrubber=scrubber))
    except EndpointError as error:
        raise _unusable(error) from error
    emit(Noted(text=f"the local language model {settings.name} is loaded; it listens on loopback only"))
    return Endpoint(
        name=LOCAL_LLM,
        client=client,
        price=FREE,
        limits=_limits(config, in_flight=1),
        content=content,
        slowest_s=LOCAL_ATTEMPT_S,
    )


def _unusable(error: EndpointError) -> ConfigError:
    from .local_server import is_installed

    brings = "" if is_installed() else f"; {how_to_install('local')} brings it"
    return ConfigError(f'`llm = "local"` cannot be used: {error}{brings}')


def _limits(config: SearchConfig, *, in_flight: int | None = None) -> RateLimits:
    most = config.concurrency if in_flight is None else min(in_flight, config.concurrency)
    return RateLimits(rpm=config.rpm, tpm=config.tpm, concurrency=most)


async def preflight(client: OpenAIChat, model: str) -> str | None:
    """Ask an endpoint for its models; return a note that is worth showing.

    Raises:
        EndpointError: Nothing listens there, it calls the key invalid, or it is not a chat endpoint.
    """
    try:
        reply = await client.look("/models", "`base_url`")
    except ChatError as error:
        return f"{client.base_url}/models did not answer ({error}); continuing"
    return _note(client.base_url, reply.status_code, reply.content, model)


def _note(url: str, status: int, body: bytes, model: str) -> str | None:
    """Return what is worth a note in an answer about models; the first request shows the rest."""
    if status == 404:
        may_be_wrong = not (url.endswith("/v1") or is_azure(url))
        hint = "; is the address right? It usually ends in /v1" if may_be_wrong else ""
        return f"{url}/models is not there (HTTP 404){hint}"
    try:
        document, is_json = json.loads(body), True
    except (ValueError, RecursionError):
        document, is_json = None, False
    if status in (401, 403):
        error = document.get("error") if isinstance(document, dict) else None
        if status == 401 and isinstance(error, dict) and error.get("code") == INVALID_KEY:
            raise EndpointError(
                f"{url} refuses the key in {DEFAULT_KEY} (HTTP {status}); set {DEFAULT_KEY} to a valid one"
            )
        # Some vendors guard the list separately.
        return f"{url} does not list its models (HTTP {status}); if it refuses more, set {DEFAULT_KEY}"
    if status != 200:
        return None
    if not is_json:
        raise EndpointError(
            f"{url}/models answers something that is not JSON: this is no OpenAI-compatible endpoint; "
            "base URLs usually end in /v1"
        )
    listed = document.get("data") if isinstance(document, dict) else document
    items = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    models = [str(item["id"]) for item in items if item.get("id")]
    if not models or not model or model in models:
        return None
    return f"{url} does not list a model {model!r}; asking for it anyway{near(model, models)}"
