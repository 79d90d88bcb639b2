"""Open the endpoint of a scorer behind an API, for a search or without one: key, price and limits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from ...evaluator.counts import counted
from ...evaluator.errors import AskingEndedError, ConfigError
from ...evaluator.messages import Setting
from ...evaluator.network import check_url
from ...evaluator.remote.asking import ApiAnswer, ApiReply, ApiRequest
from ...evaluator.spec import Report
from ..config.fields import DEFAULT_BASE_URL, without_credentials
from ..config.schema import SearchConfig
from ..errors import why_ended
from ..events.types import ChatFailed, Event, Listener, Noted, ScorerUsageChanged, ignore_event
from ..prices import NOTHING, Spent
from ..secrets import Scrubber, Secret, split_query, split_userinfo
from ..stop import Stop
from ..text import printable
from .chat import Client, JsonAnswer
from .endpoints import DEFAULT_KEY, reach, warn_unencrypted
from .headers import clean_key
from .scorer_calls import KEY, ScorerCalls

if TYPE_CHECKING:
    from .client import OpenAIChat

PROGRESS_EVERY_S = 10.0
"""Seconds between lines on how far scoring without a search is."""


@dataclass(frozen=True, slots=True)
class ScorerKey:
    """The key for a scorer's endpoint, and the variable that it is from, or would be."""

    variable: str
    secret: Secret | None


def scorer_key(url: str, base_url: str | None, environment: Mapping[str, str]) -> ScorerKey:
    """Return the key in SCORER_API_KEY; the LLM's only if ``url`` has host and port of its ``base_url``."""
    if own := clean_key(environment.get(KEY, ""), KEY):
        return ScorerKey(KEY, Secret(own))
    of_llm = clean_key(environment.get(DEFAULT_KEY, ""), DEFAULT_KEY)
    try:
        of_llm_at = base_url or check_url(environment.get("OPENAI_BASE_URL") or None) or DEFAULT_BASE_URL
    except ValueError as error:
        raise ConfigError(f"OPENAI_BASE_URL: {error}") from None
    if of_llm and _place(url) == _place(of_llm_at):
        return ScorerKey(DEFAULT_KEY, Secret(of_llm))
    return ScorerKey(KEY, None)


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class _Posts(Client):
    """Sends requests to a scorer by an HTTP client."""

    def __init__(self, client: OpenAIChat) -> None:
        self._client = client

    async def chat(self, request: ApiRequest) -> JsonAnswer:
        return await self._client.post(request)


@asynccontextmanager
async def open_scorer(
    config: SearchConfig,
    environment: Mapping[str, str],
    *,
    spent: Spent = NOTHING,
    stop: Stop | None = None,
    scrubber: Scrubber | None = None,
    emit: Listener = ignore_event,
) -> AsyncIterator[ScorerCalls]:
    """Open the endpoint of a scorer behind an API; nothing is sent before the first request.

    ``spent`` is what earlier sessions have used. ``scrubber`` learns the key.

    Raises:
        ConfigError: The address or the key cannot be used.
    """
    from .client import OpenAIChat  # its SDK takes a second to load

    url = config.scorer_url
    if url is None:
        raise ConfigError(
            Setting("scorer", config.scorer),
            " needs ",
            Setting("scorer_url", "URL"),
            ", the address of its API",
        )
    key = scorer_key(url, config.base_url, environment)
    stop, scrubber = stop or Stop(), scrubber or Scrubber()
    client = OpenAIChat(
        url, key.secret, scrubber=scrubber, max_connections=config.scorer_concurrency, emit=emit
    )
    warn_unencrypted(url, key.secret, key.variable, emit)
    async with client:
        calls = ScorerCalls(
            config,
            _Posts(client),
            name=without_credentials(url),
            variable=key.variable,
            connect=lambda: _connect(url),
            spent=spent,
            stop=stop,
            emit=emit,
        )
        try:
            yield calls
        finally:
            await calls.close()


async def _connect(url: str) -> None:
    """Raise EndpointError if nothing listens at an address; any reply will do, and costs nothing."""
    address, query = split_query(split_userinfo(url).url)

    async def visit(session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(address, params=query, allow_redirects=False):
                return
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL):
            raise
        except (aiohttp.ClientError, TimeoutError):
            return  # the first request shows what is wrong

    await reach(address, Setting("scorer_url"), visit)


class TrialAsk:
    """The ``ApiAsk`` of a trial without a search: one attempt a request, and no account.

    Attributes:
        requests: How many there were.
    """

    def __init__(self, url: str, key: Secret | None, *, timeout_s: float) -> None:
        self._url = url
        self._key = key
        self._timeout_s = timeout_s
        self.requests = 0

    def __call__(self, requests: Iterable[ApiRequest]) -> Iterator[tuple[int, ApiAnswer]]:
        """Yield each answer with its request's place; see ``ApiAsk``.

        Raises:
            PromptclimbError: The endpoint does not answer with JSON.
            TimeoutError: It does not answer in time.
        """
        for number, request in enumerate(requests):
            self.requests += 1
            yield number, ApiReply(asyncio.run(self._body(request)))

    async def _body(self, request: ApiRequest) -> Any:
        from .client import OpenAIChat

        async with asyncio.timeout(self._timeout_s):
            await _connect(self._url)
            async with OpenAIChat(self._url, self._key) as client:
                return (await client.post(request)).body


class _ScorerLines:
    """A listener that reports facts, and at times how far the scorer is, and why it does not answer."""

    def __init__(self, report: Report | None) -> None:
        self._report = report
        self._due = time.monotonic() + PROGRESS_EVERY_S
        self._calls = 0
        self._failed = ""

    def __call__(self, event: Event) -> None:
        if self._report is None:
            return
        if isinstance(event, Noted):
            self._report(event.text)
        elif isinstance(event, ChatFailed):
            self._failed = f"; the last attempt failed: {printable(event.message)}"
        elif isinstance(event, ScorerUsageChanged):
            if event.calls > self._calls:
                self._calls, self._failed = event.calls, ""
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + PROGRESS_EVERY_S
                self._report(f"{counted(self._calls, 'request')} to the scorer so far{self._failed}")


@contextmanager
def scorer_in_thread(
    config: SearchConfig, environment: Mapping[str, str], *, report: Report | None = None
) -> Iterator[ScorerCalls]:
    """Open the scorer behind an API with an event loop of its own.

    ``report`` is called with a line for each fact, and on the progress.

    Raises:
        PromptclimbError: Why the asking has ended, in place of ``AskingEndedError``.
    """
    ready: Future[tuple[ScorerCalls, Callable[[], object]]] = Future()

    async def serve() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with open_scorer(config, environment, emit=_ScorerLines(report)) as calls:
            ready.set_result((calls, lambda: loop.call_soon_threadsafe(over.set)))
            await over.wait()

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            if not ready.done():
                ready.set_exception(error)

    thread = threading.Thread(target=work, name="scorer", daemon=True)
    thread.start()
    opened, end = ready.result()
    try:
        yield opened
    except AskingEndedError as error:
        raise why_ended(error) from error
    finally:
        end()
        thread.join()
