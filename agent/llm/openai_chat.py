"""Any endpoint that speaks OpenAI's chat completions, through the SDK on aiohttp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient

from ...evaluator.errors import ConfigError
from ..config.fields import CONCURRENCY
from ..errors import BadRequestError, ChatError, TransientChatError, UselessAnswerError
from ..events import Listener, Noted, unheard
from ..secrets import Scrubber, Secret, split_query, split_userinfo
from ..token_usage import TokenUsage
from .answers import MAX_BODY, Reply, error_object, read_answer
from .bounded import cut_failures
from .dialects.contexts import silently_cut
from .dialects.dialect import Dialect, Sent
from .dialects.keys import clean_key, key_headers
from .loopback import is_loopback, no_proxy_pattern
from .redirects import keep_key
from .translate import FOREIGN_ERRORS, flagged, translate
from .types import ChatAnswer, ChatRequest

NO_KEY = "none"
KEEP_ALIVE_S = 3.0
"""Shorter than the five seconds of many servers, so that a request seldom meets a connection being closed."""
MOST_REFUSALS = 8
"""Refusals of one request that are learned from; each is of something else."""


class OpenAIChat:
    """A ``ChatClient`` for one endpoint and one key; use it as an async context manager.

    The SDK's own retries are off. A deadline is the caller's: cancel ``chat`` and the connection is closed. A
    request that is refused for a parameter, a system message or its length is put otherwise and sent again,
    once for each. Refusals are not billed as a rule; what one says that it was billed for comes on top of the
    bill of what follows. What was learned so holds for all later requests.

    Args:
        base_url: Address up to ``/v1``; a query after it is sent with every request; ``user:password@`` in it
            is sent as basic authentication where there is no key, and never shown.
        api_key: Sent as a bearer token, and as Azure wants it; None or empty sends none, for local servers.
        scrubber: Told of the secrets, and used on all that the endpoint says.
        max_connections: Most connections at once.
        options: Optional parameters of every request, such as ``service_tier``; they come before its own.
        most_refusals: Refusals of one request that are learned from.
        tell: Hears what the endpoint was found not to take, and of conversations that it cuts in silence.

    Attributes:
        dialect: What the endpoint was found to take.
        requests: How many were sent, refused ones among them.

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
        options: Mapping[str, Any] | None = None,
        most_refusals: int = MOST_REFUSALS,
        tell: Listener = unheard,
    ) -> None:
        url, userinfo = split_userinfo(base_url)
        key = api_key.reveal() if isinstance(api_key, Secret) else api_key or ""
        url, query = split_query(url)
        self.base_url = url
        self.dialect = Dialect()
        self.requests = 0
        self._scrubber = scrubber or Scrubber()
        self._scrubber.add(key)
        self._scrubber.add(userinfo)
        self._options = dict(options or {})
        self._most_refusals = most_refusals
        self._tell = tell
        self._has_answered = self._cut = False
        headers = key_headers(url, key, userinfo.reveal())
        self._headers: dict[str, Any] = headers or {"Authorization": openai.Omit()}
        self._client = _sdk_client(url, query, clean_key(key), max_connections)

    def __repr__(self) -> str:
        return f"OpenAIChat({self.base_url!r})"

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Make one attempt.

        Raises:
            ChatError: One of its kinds.
        """
        dialect, spent = self.dialect, TokenUsage()
        for number in range(self._most_refusals + 1):
            sent = dialect.put(request, self._options)
            try:
                answer = await self._once(sent)
            except _RefusedError as refused:
                if isinstance(refused.error, UselessAnswerError):
                    self._keep(dialect)  # an answer all the same: it was put as the endpoint takes it
                learned = self._learned(dialect, refused, sent)
                spent = spent.plus(refused.error.usage or TokenUsage())
                if learned is None or number == self._most_refusals:
                    if spent.total and not (refused.error.usage is None and refused.error.perhaps_billed):
                        refused.error.usage = spent
                    raise refused.error from refused.cause
                dialect = learned
            else:
                self._keep(dialect)
                self._look_for_a_cut(sent, answer)
                return replace(answer, billed=spent.plus(answer.usage)) if spent.total else answer
        raise AssertionError("unreachable")

    def asked_tokens(self, request: ChatRequest) -> int:
        """Return how long an answer would be asked for; see ``types.asked_tokens``."""
        return self.dialect.put(request, self._options).max_tokens

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def _once(self, sent: Sent) -> ChatAnswer:
        try:
            reply = await self._send(sent)
        except FOREIGN_ERRORS as error:
            self._scrubber.scrub_error(error)
            raise _RefusedError(
                translate(error, self._scrubber.scrub_quoted), getattr(error, "body", None), error
            ) from None
        try:
            return read_answer(reply, self._scrubber)
        except ChatError as error:
            raise _RefusedError(error, error_object(reply), error.__cause__) from None

    async def _send(self, sent: Sent) -> Reply:
        self.requests += 1
        # Read here rather than by the SDK: so it is bounded, and what is no completion is told apart.
        async with self._client.chat.completions.with_streaming_response.create(
            model=sent.model,
            messages=list(sent.messages),  # type: ignore[arg-type]  # role is one of the SDK's words
            extra_headers=self._headers,
            extra_body=dict(sent.options),
        ) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.iter_bytes():
                parts.append(part)
                if (size := size + len(part)) > MAX_BODY:
                    break
            return Reply(response.status_code, response.headers, b"".join(parts))

    def _learned(self, dialect: Dialect, refused: _RefusedError, sent: Sent) -> Dialect | None:
        """Return how to put it otherwise, None where the refusal is not of how it was put."""
        if isinstance(refused.error, BadRequestError):
            bare = not self._has_answered and refused.error.status in (400, 422)
            return dialect.after(refused.body, sent, bare=bare and not flagged(refused.body))
        if isinstance(refused.error, TransientChatError) and refused.error.status and refused.body:
            return dialect.after(refused.body, sent, bare=False, sure=True)
        return None

    def _keep(self, dialect: Dialect) -> None:
        """Keep what led to an answer, and say what is new."""
        before, self.dialect = self.dialect, self.dialect.joined(dialect)
        self._has_answered = True
        if news := self.dialect.news(before):
            self._tell(Noted(text=f"{self.base_url}: {news}"))

    def _look_for_a_cut(self, sent: Sent, answer: ChatAnswer) -> None:
        if not self._cut and silently_cut(
            sent.messages,
            sent.max_tokens,
            prompt=answer.prompt_tokens,
            completion=answer.completion_tokens,
            reason=answer.finish_reason,
        ):
            self._cut = True
            counted = f"{answer.prompt_tokens} tokens in and {answer.completion_tokens} out"
            self._tell(
                Noted(
                    text=f"{self.base_url} seems to cut conversations to its context ({counted}); "
                    "raise it there: num_ctx or OLLAMA_CONTEXT_LENGTH of Ollama, --ctx-size of llama.cpp"
                )
            )


class _RefusedError(Exception):
    """One request that brought no answer: what it means, the body that says so, and what it came from."""

    def __init__(self, error: ChatError, body: object, cause: BaseException | None) -> None:
        super().__init__(str(error))
        self.error, self.body, self.cause = error, body, cause


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
            http_client=DefaultAioHttpClient(
                limits=limits,
                timeout=None,
                event_hooks={"request": [keep_key], "response": [cut_failures]},
                # A proxy's loopback is another machine's, and what is said to a local model stays here.
                mounts={no_proxy_pattern(url): None} if is_loopback(url) else None,
            ),
        )
    except FOREIGN_ERRORS as error:
        raise ConfigError(f"{url!r} is not the address of a chat endpoint") from error
