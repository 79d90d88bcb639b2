"""Any endpoint that speaks OpenAI's chat completions, through the SDK on aiohttp."""

from __future__ import annotations

import base64
from types import TracebackType
from typing import Any, Self

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient

from ..config.fields import CONCURRENCY
from ..errors import ConfigError
from ..secrets import Scrubber, Secret, split_query, split_userinfo
from .answers import MAX_BODY, Reply, read_answer
from .translate import FOREIGN_ERRORS, translate
from .types import ChatAnswer, ChatRequest

NO_KEY = "none"
KEEP_ALIVE_S = 3.0
"""Shorter than the five seconds of many servers, so that a request seldom meets a connection being closed."""
_OPTIONAL = frozenset({"max_tokens", "temperature", "seed"})


class OpenAIChat:
    """A ``ChatClient`` for one endpoint and one key; use it as an async context manager.

    The SDK's own retries are off. A deadline is the caller's: cancel ``chat`` and the connection is closed.

    Args:
        base_url: Address up to ``/v1``; a query after it is sent with every request; ``user:password@`` in it
            is sent as basic authentication where there is no key, and never shown.
        api_key: Sent as a bearer token; None or empty sends none, as local servers want it.
        scrubber: Told of the secrets, and used on all that the endpoint says.
        max_connections: Most connections at once.

    Raises:
        ConfigError: The address or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: Secret | str | None = None,
        *,
        scrubber: Scrubber | None = None,
        max_connections: int = CONCURRENCY,
    ) -> None:
        url, userinfo = split_userinfo(base_url)
        key = api_key.reveal() if isinstance(api_key, Secret) else api_key or ""
        url, query = split_query(url)
        self.base_url = url
        self._scrubber = scrubber or Scrubber()
        self._scrubber.add(key)
        self._scrubber.add(userinfo)
        self._refused: set[str] = set()
        self._headers = _authorization(_clean_key(key), userinfo.reveal())
        self._client = _sdk_client(url, query, _clean_key(key), max_connections)

    def __repr__(self) -> str:
        return f"OpenAIChat({self.base_url!r})"

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Make one attempt.

        Raises:
            ChatError: One of its kinds.
        """
        try:
            reply = await self._post(request)
        except FOREIGN_ERRORS as error:
            self._scrubber.scrub_error(error)
            raise translate(error, self._scrubber.scrub_quoted) from error
        return read_answer(reply, self._scrubber)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def _post(self, request: ChatRequest) -> Reply:
        while True:
            options = self._options(request)
            try:
                return await self._send(request, options)
            except openai.BadRequestError as error:
                # Newer models want `max_completion_tokens` and take no temperature; refusals are not billed.
                if (refused := error.param) not in _OPTIONAL or refused not in options:
                    raise
                self._refused.add(refused)

    async def _send(self, request: ChatRequest, options: dict[str, Any]) -> Reply:
        # Read here rather than by the SDK: so it is bounded, and what is no completion is told apart.
        async with self._client.chat.completions.with_streaming_response.create(
            model=request.model,
            messages=list(request.messages),  # type: ignore[arg-type]  # role is one of the SDK's words
            extra_headers=self._headers,
            **options,
        ) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.iter_bytes():
                parts.append(part)
                if (size := size + len(part)) > MAX_BODY:
                    break
            return Reply(response.status_code, response.headers, b"".join(parts))

    def _options(self, request: ChatRequest) -> dict[str, Any]:
        """Return the optional parameters that this endpoint has not refused."""
        options: dict[str, Any] = {"max_tokens": request.max_tokens, "temperature": request.temperature}
        if request.seed is not None:
            options["seed"] = request.seed
        if "max_tokens" in self._refused:
            options["max_completion_tokens"] = request.max_tokens
        return {name: value for name, value in options.items() if name not in self._refused}


def _authorization(key: str, userinfo: str) -> dict[str, Any]:
    """Return what is sent instead of the SDK's own header where there is no key."""
    if key:
        return {}
    if userinfo:
        return {"Authorization": f"Basic {base64.b64encode(userinfo.encode()).decode()}"}
    return {"Authorization": openai.Omit()}


def _sdk_client(url: str, query: dict[str, str], key: str, max_connections: int) -> AsyncOpenAI:
    limits = httpx2.Limits(
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=KEEP_ALIVE_S,
    )
    try:
        return AsyncOpenAI(
            base_url=url,
            api_key=key or NO_KEY,
            max_retries=0,
            default_query=query,
            timeout=None,
            http_client=DefaultAioHttpClient(limits=limits, timeout=None),
        )
    except FOREIGN_ERRORS as error:
        raise ConfigError(f"{url!r} is not the address of a chat endpoint") from error


def _clean_key(key: str) -> str:
    """Return the key without the spaces and line ends that copying brings.

    Raises:
        ConfigError: It cannot be sent in a header.
    """
    clean = key.strip()
    if not clean.isascii() or not clean.isprintable() or " " in clean:
        raise ConfigError("the API key has characters that no key has; copy it again")
    return clean
