"""Open the endpoint of a scorer behind an API, for a search or without one: key, price and limits."""

from __future__ import annotations

import asyncio
import math
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ...evaluator.errors import AskingEndedError, ConfigError
from ...evaluator.remote.asking import ApiAnswer, ApiReply, ApiRequest
from ...evaluator.spec import Report
from ..config.fields import DEFAULT_BASE_URL, without_credentials
from ..config.schema import SearchConfig
from ..errors import why_ended
from ..events.types import Event, Listener, Noted, ScorerUsageChanged, ignore_event
from ..secrets import Scrubber, Secret, split_query, split_userinfo
from ..stop import Stop
from .ask import LLMAsker
from .budget import Limits, ScorerBudget
from .chat import JsonAnswer
from .cost import NOTHING, Spent
from .endpoints import DEFAULT_KEY, StoppableChat, reach, warn_unencrypted
from .headers import clean_key
from .limiter import RateLimits
from .pool import Endpoint
from .retry import RetryPolicy
from .scorer_calls import KEY, ScorerCalls, ScorerLedger

USAGE_EVERY_S = 1.0


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
    of_llm_at = base_url or environment.get("OPENAI_BASE_URL") or DEFAULT_BASE_URL
    if of_llm and _place(url) == _place(of_llm_at):
        return ScorerKey(DEFAULT_KEY, Secret(of_llm))
    return ScorerKey(KEY, None)


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class _SeldomUsage:
    """Passes events on, but usage at most once a second; ``flush`` passes on the last one."""

    def __init__(self, emit: Listener, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._at = -math.inf
        self._last: ScorerUsageChanged | None = None

    def __call__(self, event: Event) -> None:
        if not isinstance(event, ScorerUsageChanged):
            self._emit(event)
            return
        self._last = event
        if self._clock() >= self._at + USAGE_EVERY_S:
            self.flush()

    def flush(self) -> None:
        if self._last is not None:
            last, self._last, self._at = self._last, None, self._clock()
            self._emit(last)


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
        raise ConfigError(f"--scorer {config.scorer} needs --scorer-url URL, the address of its API")
    key = scorer_key(url, config.base_url, environment)
    stop, scrubber = stop or Stop(), scrubber or Scrubber()
    name = without_credentials(url)
    loop = asyncio.get_running_loop()
    seldom = _SeldomUsage(emit, loop.time)
    client = OpenAIChat(
        url, key.secret, scrubber=scrubber, max_connections=config.scorer_concurrency, emit=seldom
    )
    warn_unencrypted(url, key.secret, key.variable, emit)
    limits = Limits(calls=config.max_scorer_calls, cost_usd=config.max_cost, minutes=config.max_minutes)
    ledger = ScorerLedger()
    async with client:
        asker: LLMAsker[ApiRequest, JsonAnswer] = LLMAsker(
            [
                Endpoint(
                    name=name,
                    client=StoppableChat(client, stop, client.post),
                    price=config.scorer_price,
                    limits=RateLimits(
                        rpm=config.scorer_rpm, tpm=config.scorer_tpm, concurrency=config.scorer_concurrency
                    ),
                )
            ],
            budget=ScorerBudget(limits, spent),
            retry=RetryPolicy.of(config),
            give_up_after_s=60 * config.give_up_after,
            has_answers=spent.calls > 0,
            ledger=ledger,
            emit=seldom,
            rng=random.Random(),
        )
        calls = ScorerCalls(
            asker,
            ledger,
            concurrency=config.scorer_concurrency,
            look=lambda: _look(url),
            variable=key.variable,
            stop=stop,
            tpm=config.scorer_tpm,
            has_answers=spent.calls > 0,
            on_close=seldom.flush,
        )
        try:
            yield calls
        finally:
            await calls.close()


async def _look(url: str) -> None:
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

    await reach(address, "--scorer-url", visit)


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
        for place, request in enumerate(requests):
            self.requests += 1
            yield place, ApiReply(asyncio.run(self._body(request)))

    async def _body(self, request: ApiRequest) -> Any:
        from .client import OpenAIChat

        async with asyncio.timeout(self._timeout_s):
            await _look(self._url)
            async with OpenAIChat(self._url, self._key) as client:
                return (await client.post(request)).body


@contextmanager
def scorer_in_thread(
    config: SearchConfig, environment: Mapping[str, str], *, report: Report | None = None
) -> Iterator[ScorerCalls]:
    """Open the scorer behind an API with an event loop of its own.

    ``report`` is called with a line for each fact.

    Raises:
        PromptclimbError: Why the asking has ended, in place of ``AskingEndedError``.
    """
    ready: Future[tuple[ScorerCalls, Callable[[], object]]] = Future()

    def emit(event: Event) -> None:
        if report is not None and isinstance(event, Noted):
            report(event.text)

    async def serve() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with open_scorer(config, environment, emit=emit) as calls:
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
    calls, end = ready.result()
    try:
        yield calls
    except AskingEndedError as error:
        raise why_ended(error) from error
    finally:
        end()
        thread.join()
