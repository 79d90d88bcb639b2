"""The client of endpoints that speak OpenAI's chat completions, or take JSON: the OpenAI SDK on aiohttp."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient
from pydantic import SecretStr

from ...evaluator.errors import ConfigError, reason_of
from ...evaluator.network import is_loopback, tls_problem, why_unconnected
from ...evaluator.remote.asking import ApiRequest
from ...prompts.kinds import one_line
from ..config.fields import CONCURRENCY
from ..errors import (
    BadRequestError,
    ChatError,
    EndpointError,
    FlaggedRequestError,
    RateLimitedError,
    RedirectedError,
    TransientChatError,
    UnconnectedError,
    UnusableAnswerError,
)
from ..events.types import Listener, Noted, ignore_event
from ..prices import TokenUsage
from ..secrets import Scrubber, clean_key, key_headers, split_query, split_userinfo
from .chat import A, ChatAnswer, ChatRequest, JsonAnswer
from .dialects import Dialect, Sent, silently_cut
from .limiter import rate_limit_headers
from .refusals import MAX_MESSAGE, failure_of
from .replies import MAX_BODY, MAX_JSON, billed, read_answer, read_json

NO_KEY = "none"
BASE_URL = "`base_url`"
SCORER_URL = "`scorer_url`"
"""The setting that gives the address of JSON requests."""
CHAT_PATH = "chat/completions"
KEEP_ALIVE_S = 3.0
"""Shorter than many servers' five seconds, so that requests seldom meet a connection being closed."""
SERVER_ERROR = 500
LOOK_S = 10.0
"""Longest time of the look at an address before the first request."""
MAX_REDIRECTS = 3
"""Redirects at the same host and port that one request follows."""
MAX_FAILURE = 2**18
"""Decoded bytes that are read of a failure's body."""


class _SentOnError(Exception):
    """A redirect leads to another host or port; raised before anything is sent there."""

    def __init__(self, there: httpx2.URL) -> None:
        super().__init__(f"a redirect to {there.host}")
        self.there = there


FOREIGN_ERRORS = (
    _SentOnError,
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    aiohttp.ClientError,
    OSError,
    ValueError,
)
"""Errors that an attempt may raise; ValueError for bodies that do not match their headers."""
E = TypeVar("E", bound=BaseException)


class OpenAIChat:
    """A ``Client`` for one endpoint and one key; use it as an async context manager.

    The SDK's retries are off. Deadlines are the caller's: cancelling ``chat`` closes the connection. If a
    request is refused for a parameter, a system message or its length, the error is marked as ``adapted``:
    sent again, the request has another form, and so have all others once one is answered in it. A redirect is
    followed at the same host and port; anywhere else it is a RedirectedError.

    Args:
        base_url: Address up to ``/v1``. Its query is sent with every request; its ``user:password@`` as basic
            authentication if there is no key, and never shown.
        api_key: Sent as a bearer token, and in Azure's header; None or empty sends none.
        scrubber: Learns the secrets, and cleans all that the endpoint says.

    Attributes:
        dialect: What the endpoint was found to take.

    Raises:
        ConfigError: The address or the key cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr | str | None = None,
        *,
        scrubber: Scrubber | None = None,
        max_connections: int = CONCURRENCY,
        emit: Listener = ignore_event,
    ) -> None:
        url, userinfo = split_userinfo(base_url)
        key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key or ""
        self.base_url, self._query = split_query(url)
        self.dialect = self._trial = Dialect()
        self._scrubber = scrubber or Scrubber()
        self._scrubber.add(key)
        self._scrubber.add_address(base_url)
        self._emit = emit
        self._has_answered = self._cut = False
        self._headers = key_headers(self.base_url, key, userinfo.get_secret_value())
        try:
            self._http = _http_client(self.base_url, max_connections)
            self._client = AsyncOpenAI(
                base_url=self.base_url,
                api_key=clean_key(key) or NO_KEY,
                max_retries=0,
                default_query=self._query,
                timeout=None,
                http_client=self._http,
            )
        except FOREIGN_ERRORS as error:
            raise ConfigError(f"{self.base_url!r} is not the address of an endpoint") from error

    def __repr__(self) -> str:
        return f"OpenAIChat({self.base_url!r})"

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        """Send one request; raise a ChatError if it is not answered."""
        dialect = self._trial
        sent = dialect.render(request)
        body = {"model": sent.model, "messages": list(sent.messages), **sent.options}
        try:
            read = partial(read_answer, scrubber=self._scrubber)
            answer = await self._send(CHAT_PATH, body, BASE_URL, read)
        except ChatError as error:
            self._learn(error, dialect, sent)
            raise
        self._adopt(dialect)
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        is_cut = answer.usage_known and silently_cut(sent, prompt, completion, answer.finish_reason)
        if is_cut and not self._cut:
            self._cut = True
            self._emit(
                Noted(
                    text=f"{self.base_url} seems to cut conversations to its context ({prompt} tokens in and "
                    f"{completion} out); raise it there: num_ctx or OLLAMA_CONTEXT_LENGTH of Ollama, "
                    "--ctx-size of llama.cpp"
                )
            )
        return answer

    async def post(self, request: ApiRequest) -> JsonAnswer:
        """Make one attempt at a scorer's request, without what is refused; raise a ChatError if it fails."""
        dialect = self._trial
        optional = {name: value for name, value in request.body.items() if name in request.optional}
        sent = Sent("", (), dialect.fit(optional))
        body = {name: value for name, value in request.body.items() if name not in optional}
        try:
            read = partial(read_json, request=request, scrubber=self._scrubber)
            answer = await self._send(request.path, {**body, **sent.options}, SCORER_URL, read)
        except ChatError as error:
            # Vendors bill what a content filter refuses, and some what fails; none bills a 429.
            if isinstance(error, RateLimitedError):
                error.usage = error.usage or TokenUsage()
            error.perhaps_billed = not isinstance(error, UnconnectedError)
            error.stumbled = (
                request.is_trial and isinstance(error, TransientChatError) and error.status == SERVER_ERROR
            )
            self._learn(error, dialect, sent, may_be_bare=False)
            raise
        self._adopt(dialect)
        return answer

    async def look(self, path: str, setting: str) -> httpx2.Response:
        """Return a reply of any status, for nothing; ``setting`` gives the address.

        Raises:
            EndpointError: Nothing listens there, or it is not an address.
            ChatError: No reply came, or it leads elsewhere.
        """
        url = self.base_url
        try:
            return await self._http.get(url + path, params=self._query, headers=self._headers, timeout=LOOK_S)
        except (UnicodeError, httpx2.InvalidURL):  # a name that IDNA cannot write
            raise EndpointError(f"{url} is not an address; give another with {setting}") from None
        except FOREIGN_ERRORS as error:
            if (refused := _in_chain(error, aiohttp.ClientConnectorError)) is None:
                raise translate(error, self._scrubber, path, setting) from error
            if (problem := tls_problem(refused)) is not None:
                text = f"no connection to {url}: {problem}. Give another address with {setting}"
                raise EndpointError(text) from None
            raise EndpointError(
                f"nothing answers at {url} ({why_unconnected(refused)}); is the server running, and "
                f"is the address right? Give another with {setting}"
            ) from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def _send(
        self, path: str, body: Mapping[str, Any], setting: str, read: Callable[[httpx2.Response], A]
    ) -> A:
        """Post JSON and read the reply, or raise a ChatError; either has the reply's rate-limit headers."""
        headers: dict[str, Any] = {"Authorization": openai.Omit()} | self._headers
        try:
            # Any body can be judged; the SDK would read it as the answer that it should be.
            reply = await self._client.post(
                path or self.base_url, cast_to=httpx2.Response, body=body, options={"headers": headers}
            )
        except FOREIGN_ERRORS as error:
            self._scrubber.scrub_error(error)
            raise translate(error, self._scrubber, path, setting) from error
        limits = rate_limit_headers(reply.headers)
        try:
            return replace(read(reply), headers=limits)
        except ChatError as error:
            error.headers = limits
            raise

    def _learn(self, error: ChatError, dialect: Dialect, sent: Sent, *, may_be_bare: bool = True) -> None:
        """Learn from a failure what form the endpoint takes; mark the error if another one may help."""
        if isinstance(error, UnusableAnswerError):
            self._adopt(dialect)  # still an answer: the endpoint takes the request as it was sent
            return
        adapted = None
        if isinstance(error, BadRequestError):
            # No other parameters help against a content filter.
            may_be_bare &= error.status in (400, 422) and not isinstance(error, FlaggedRequestError)
            adapted = dialect.learn_from(error.body, sent, bare=may_be_bare and not self._has_answered)
        elif isinstance(error, TransientChatError):
            adapted = dialect.learn_from(error.body, sent, bare=False, sure=True)
        if adapted is not None:
            self._trial = self._trial.joined(adapted)
            error.adapted = True
        elif isinstance(error, BadRequestError) and dialect == self._trial:
            self._trial = self.dialect  # the other form has not helped

    def _adopt(self, dialect: Dialect) -> None:
        """Keep what the endpoint has answered to for later requests."""
        before, self.dialect = self.dialect, self.dialect.joined(dialect)
        self._trial = self._trial.joined(dialect)
        self._has_answered = True
        if changes := self.dialect.changes_since(before):
            self._emit(Noted(text=f"{self.base_url}: {changes}"))


def _http_client(url: str, max_connections: int) -> httpx2.AsyncClient:
    home, host = httpx2.URL(url), urlsplit(url).hostname or ""
    pattern = f"all://[{host}]" if ":" in host else f"all://{host}"

    async def stay(request: httpx2.Request) -> None:
        """Refuse a request to another place: prompts, images and keys are for this one."""
        if request.url.origin != home.origin:
            raise _SentOnError(request.url)

    return DefaultAioHttpClient(
        limits=httpx2.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEP_ALIVE_S,
        ),
        timeout=None,
        max_redirects=MAX_REDIRECTS,
        event_hooks={"request": [stay], "response": [_cut]},
        # A proxy's loopback is another machine; requests to a local model stay here.
        mounts={pattern: None} if is_loopback(url) else None,
    )


async def _cut(response: httpx2.Response) -> None:
    """Show the SDK, which reads replies whole, only the beginning of one, decoded piece by piece."""
    # Of its own: the beginning of a compressed body can become a thousand times as long.
    whole = httpx2.Response(response.status_code, headers=response.headers, stream=response.stream)
    response.headers.pop("content-encoding", None)
    most = MAX_BODY if response.request.url.path.endswith(CHAT_PATH) else MAX_JSON
    response.stream = _Beginning(whole, MAX_FAILURE if response.status_code >= 300 else most + 1)


class _Beginning(httpx2.AsyncByteStream):
    def __init__(self, whole: httpx2.Response, most: int) -> None:
        self._whole = whole
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most
        async with aclosing(self._whole.aiter_bytes()) as pieces:
            async for piece in pieces:
                yield piece[:left]
                if (left := left - len(piece)) <= 0:
                    return

    async def aclose(self) -> None:
        await self._whole.aclose()


def translate(
    error: Exception, scrubber: Scrubber, path: str = CHAT_PATH, setting: str = BASE_URL
) -> ChatError:
    """Return the ChatError for one of ``FOREIGN_ERRORS``; a broken connection, as any other, is transient.

    ``path`` was asked for below the address that ``setting`` gives.
    """
    if (sent_on := _in_chain(error, _SentOnError)) is not None:
        return RedirectedError(
            "the endpoint sends requests on to another address, to which nothing was sent: "
            f"{scrubber.scrub_quoted(_address(sent_on.there, path))}; if that is right, "
            f"give it with {setting}",
            perhaps_billed=False,
        )
    if _in_chain(error, httpx2.TooManyRedirects) is not None:
        return RedirectedError(
            f"the endpoint redirects a request more than {MAX_REDIRECTS} times: check {setting}"
        )
    if isinstance(error, openai.APIStatusError) and (status := error.status_code) < 400:
        return RedirectedError(
            f"the endpoint answers {status}, but names no address to ask instead: check {setting}"
        )
    if isinstance(error, openai.APIStatusError):
        return _failed(error.response, scrubber)
    if (refused := _in_chain(error, aiohttp.ClientConnectorError)) is not None:
        # The SDK calls every failed connection a timeout.
        host = f"[{refused.host}]" if ":" in refused.host else refused.host
        message = f"no connection to {host}:{refused.port} ({why_unconnected(refused)})"
        return UnconnectedError(one_line(scrubber.scrub_quoted(message), MAX_MESSAGE))
    cause = error.__cause__
    message = f"{error} ({reason_of(cause)})" if cause and str(cause) else reason_of(error)
    never_sent = any(_in_chain(error, kind) for kind in (httpx2.UnsupportedProtocol, httpx2.InvalidURL))
    return TransientChatError(
        one_line(scrubber.scrub_quoted(message), MAX_MESSAGE), perhaps_billed=not never_sent
    )


def _failed(reply: httpx2.Response, scrubber: Scrubber) -> ChatError:
    """Return the error that a reply of 4xx or 5xx means, with the usage that it reports."""
    try:
        content = json.loads(reply.text)
    except (ValueError, RecursionError):
        content = reply.text.strip()
    document = content if isinstance(content, dict) else {}
    error_body = document.get("error", content) or f"Error code: {reply.status_code}"
    return failure_of(reply.status_code, error_body, reply.headers, scrubber, usage=billed(document))


def _address(url: httpx2.URL, path: str) -> str:
    shown = split_userinfo(str(url.copy_with(query=None, fragment=None))).url
    return shown.removesuffix(f"/{path}" if path else "")


def _in_chain(error: BaseException, kind: type[E]) -> E | None:
    link: BaseException | None = error
    for _ in range(8):
        if link is None or isinstance(link, kind):
            return link
        link = link.__cause__ or link.__context__
    return None
