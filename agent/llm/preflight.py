"""A look at an endpoint before anything is paid: is it there, does it take the key, does it know the model.

It asks for ``/models``, which costs nothing. Endpoints need not have it: only what shows beyond doubt that no
request can succeed is an error, anything else is left to the first request.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import os
import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp

from ..errors import EndpointError
from ..secrets import Secret, split_query, split_userinfo
from .dialects.keys import is_azure, key_headers
from .loopback import is_loopback

TRIES = 4
PAUSE_S = 0.5
TIMEOUT_S = 10.0
INVALID_KEY = "invalid_api_key"
"""OpenAI's code for a key that is none."""
_MAX_BODY = 4_000_000
_CONTEXT = ("max_model_len", "context_length", "context_window", "max_context_length", "n_ctx", "n_ctx_train")
"""What vendors call a model's context in their lists: vLLM, OpenRouter, Groq, Mistral, llama.cpp."""


class _NotJsonError(Exception):
    """An answer that no such endpoint gives."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an endpoint showed.

    Attributes:
        models: Names that it lists; empty where it lists none.
        note: A line worth telling; None where all is well.
        status: HTTP status of its answer; None where there was none.
        context: Tokens that the model's context holds, where the list says so; else None.
    """

    models: tuple[str, ...] = ()
    note: str | None = None
    status: int | None = None
    context: int | None = None


async def look(base_url: str, key: Secret | None, *, key_env: str, model: str) -> Seen:
    """Ask an endpoint for its models.

    Args:
        base_url: Its address; may hold ``user:password``.
        key: The key, or None.
        key_env: Name of the variable that holds the key, for messages.
        model: The model that will be asked for; empty for none yet.

    Raises:
        EndpointError: Nothing listens there, it says that the key is none, or it is no such endpoint.
    """
    clean = split_userinfo(base_url)
    url, query = split_query(clean.url)
    headers = key_headers(url, key.reveal() if key else "", clean.userinfo.reveal())
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    # A proxy's loopback is another machine's.
    async with aiohttp.ClientSession(timeout=timeout, trust_env=not is_loopback(url)) as session:
        for attempt in range(1, TRIES + 1):
            try:
                async with session.get(
                    f"{url}/models", params=query, headers=headers, allow_redirects="api-key" not in headers
                ) as reply:
                    body = await reply.content.read(_MAX_BODY)
                    return _judge(url, reply.status, body, has_key=bool(key), key_env=key_env, model=model)
            except aiohttp.ClientConnectorError as error:
                if attempt == TRIES:
                    raise EndpointError(
                        f"nothing answers at {url} ({why_unconnected(error)}); is the server running, "
                        "and is the address right? Give another with --base-url"
                    ) from None
            except _NotJsonError as error:
                # A gateway in trouble answers a page now and then; one that does so each time is no endpoint.
                if attempt == TRIES:
                    raise EndpointError(str(error)) from None
            except aiohttp.InvalidURL:
                raise EndpointError(f"{url} is not an address; give another with --base-url") from None
            except (aiohttp.ClientError, TimeoutError) as error:
                if attempt == TRIES:
                    return Seen(note=f"{url}/models did not answer ({type(error).__name__}); going on")
            await asyncio.sleep(PAUSE_S)
    raise AssertionError("unreachable")


def _judge(url: str, status: int, body: bytes, *, has_key: bool, key_env: str, model: str) -> Seen:
    if status in (401, 403):
        return _refused(url, status, body, has_key=has_key, key_env=key_env)
    if status == 404:
        ends = (
            "" if url.endswith("/v1") or is_azure(url) else "; is the address right? It usually ends in /v1"
        )
        return Seen(status=status, note=f"{url}/models is not there (HTTP 404){ends}")
    if status != 200:
        return Seen(status=status)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _NotJsonError(
            f"{url}/models answers something that is not JSON: this is no OpenAI-compatible endpoint; "
            "base URLs usually end in /v1"
        ) from None
    models = _names(document)
    if not models or not model or model in models:
        return Seen(models, status=status, context=_context(document, model))
    near = nearest(model, models)
    hint = f"; near it are {', '.join(near)}" if near else ""
    note = f"{url} does not list a model {model!r}{hint}; asking for it all the same"
    return Seen(models, note=note, status=status)


def _refused(url: str, status: int, body: bytes, *, has_key: bool, key_env: str) -> Seen:
    """Judge a refusal: of the key, or of the list alone, which some vendors guard in another way.

    Raises:
        EndpointError: The endpoint says, in the words of OpenAI, that the key is none.
    """
    if has_key and status == 401 and _code(body) == INVALID_KEY:
        raise EndpointError(
            f"{url} refuses the key in {key_env} (HTTP {status}); set {key_env} to a valid one"
        )
    what = (
        f"does not list its models to the key in {key_env}"
        if has_key
        else "asks for a key to list its models"
    )
    advice = f"set {key_env} to a valid one" if has_key else f"set {key_env}"
    note = f"{url} {what} (HTTP {status}); asking it all the same: if it refuses that too, {advice}"
    return Seen(status=status, note=note)


def _code(body: bytes) -> object:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return error.get("code") if isinstance(error, dict) else None


def nearest(name: str, names: tuple[str, ...]) -> list[str]:
    """At most three names that look like one that is not there."""
    return difflib.get_close_matches(name, names, n=3, cutoff=0.5)


def _names(document: Any) -> tuple[str, ...]:
    items = document.get("data") if isinstance(document, dict) else document
    if not isinstance(items, list):
        return ()
    return tuple(str(item["id"]) for item in items if isinstance(item, dict) and item.get("id"))


def _context(document: Any, model: str) -> int | None:
    items = document.get("data") if isinstance(document, dict) else document
    known = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    for item in known:
        if item.get("id") == model or len(known) == 1:
            meta = item.get("meta")
            told = [place.get(name) for place in (item, meta) if isinstance(place, dict) for name in _CONTEXT]
            return next((size for size in told if isinstance(size, int) and size > 0), None)
    return None


def why_unconnected(error: aiohttp.ClientConnectorError) -> str:
    """Return in a few words why a connection was not made: ``Connection refused``."""
    cause = error.os_error
    if cause.errno and cause.errno > 0 and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno)  # asyncio writes the address in place of the reason
    return cause.strerror or str(cause) or type(cause).__name__
