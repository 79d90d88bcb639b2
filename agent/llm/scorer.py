"""A scorer behind an API: its key, and its requests, answered by the machinery that asks the LLM."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import SecretStr

from ...evaluator.counts import counted
from ...evaluator.errors import AskingEndedError, ConfigError, ScorerRefusesError, UsageError
from ...evaluator.failures import RULES
from ...evaluator.network import check_url
from ...evaluator.remote.asking import (
    NO_REQUESTS,
    ApiAnswer,
    ApiEstimate,
    ApiRefusal,
    ApiReply,
    ApiRequest,
)
from ...evaluator.spec import Report
from ..config.fields import DEFAULT_BASE_URL, without_credentials
from ..config.schema import SearchConfig
from ..errors import (
    BadRequestError,
    BudgetSpentError,
    ChatError,
    EndpointError,
    EvaluationFailedError,
    GaveUpError,
    InterruptedRunError,
    KeyRejectedError,
    ModelNotFoundError,
    RedirectedError,
    RequestFailedError,
    asking_errors_as_causes,
)
from ..events.types import ChatFailed, Event, Listener, Noted, Paused, ScorerUsageChanged, ignore_event
from ..prices import NO_BILL, NOTHING, Bill, Ledger, Spent
from ..secrets import Scrubber, clean_key
from ..stop import Stop
from ..text import printable
from .ask import Endpoint, EndpointAsker
from .budget import Limits, ScorerBudget, estimated, to_keep, why_refused
from .chat import Client, JsonAnswer
from .endpoints import DEFAULT_KEY, warn_unencrypted
from .limiter import RateLimits

if TYPE_CHECKING:
    from .client import OpenAIChat

KEY = "SCORER_API_KEY"
GRACE_S = 12.0
"""Longest wait, at the end, for requests in flight; a stop gives them ten seconds."""
PAYLOAD_TOO_LARGE = 413
NEVER_JSON = frozenset({"bad_json", "not_json"})
"""Reasons of garbled replies that mean, if there was no other reply, that this is no such endpoint."""
PROGRESS_EVERY_S = 10.0
"""Seconds between lines on how far scoring without a search is."""


@dataclass(frozen=True, slots=True)
class ScorerKey:
    """The key for a scorer's endpoint, and the variable that it is from, or would be."""

    variable: str
    secret: SecretStr | None


def scorer_key(url: str, base_url: str | None, environment: Mapping[str, str]) -> ScorerKey:
    """Return the key in SCORER_API_KEY; the LLM's only if ``url`` has host and port of its ``base_url``."""
    if own := clean_key(environment.get(KEY, ""), KEY):
        return ScorerKey(KEY, SecretStr(own))
    of_llm = clean_key(environment.get(DEFAULT_KEY, ""), DEFAULT_KEY)
    try:
        of_llm_at = base_url or check_url(environment.get("OPENAI_BASE_URL") or None) or DEFAULT_BASE_URL
    except ValueError as error:
        raise ConfigError(f"OPENAI_BASE_URL: {error}") from None
    if of_llm and _place(url) == _place(of_llm_at):
        return ScorerKey(DEFAULT_KEY, SecretStr(of_llm))
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
    look: bool = False,
) -> AsyncIterator[ScorerCalls]:
    """Open the endpoint of a scorer behind an API; nothing is asked of it before the first request.

    ``spent`` is what earlier sessions have used. ``scrubber`` learns the key. ``look`` checks that something
    listens at the address: any reply will do, and costs nothing.

    Raises:
        ConfigError: The address or the key cannot be used.
        EndpointError: Nothing listens there.
    """
    from .client import SCORER_URL, OpenAIChat  # its SDK takes a second to load

    url = config.scorer_url
    assert url is not None, "a scorer behind an API has an address"
    key = scorer_key(url, config.base_url, environment)
    stop, scrubber = stop or Stop(), scrubber or Scrubber()
    client = OpenAIChat(
        url, key.secret, scrubber=scrubber, max_connections=config.scorer_concurrency, emit=emit
    )
    warn_unencrypted(url, key.secret, key.variable, emit)
    async with client:
        if look:
            with suppress(ChatError):  # the first request shows what is wrong
                await client.look("", SCORER_URL)
        calls = ScorerCalls(
            config,
            _Posts(client),
            name=without_credentials(url),
            variable=key.variable,
            spent=spent,
            stop=stop,
            emit=emit,
        )
        try:
            yield calls
        finally:
            await calls.close()


class ScorerCalls:
    """The ``ApiAsk`` of a search; an outage of the endpoint ends the asking by its length alone."""

    def __init__(
        self,
        config: SearchConfig,
        client: Client,
        *,
        name: str,
        variable: str,
        spent: Spent,
        stop: Stop,
        emit: Listener,
    ) -> None:
        self._emit = emit
        limits = RateLimits(rpm=config.scorer_rpm, concurrency=config.scorer_concurrency)
        self.budget = ScorerBudget(Limits.of_scorer(config, config.max_minutes), spent)
        self._asker: EndpointAsker[ApiRequest, JsonAnswer] = EndpointAsker(
            Endpoint(name=name, client=client, price=config.scorer_price, limits=limits),
            budget=self.budget,
            attempts=config.retry_attempts,
            attempt_s=config.request_timeout,
            give_up_after_s=60 * config.give_up_after,
            has_answers=spent.calls > spent.failed_calls or spent.tokens > 0,
            ledger=self._write,
            stop=stop,
            emit=emit,
        )
        self.concurrency = config.scorer_concurrency
        self._room = asyncio.Semaphore(self.concurrency)
        self._in_places: set[asyncio.Task[Any]] = set()
        self._variable = variable
        self._price = config.scorer_price
        self._final: Callable[[], ApiEstimate] | None = None
        self._ledger: Ledger | None = None
        self._unwritten = NO_BILL  # what was billed before there was a ledger
        self._stop = stop
        self._closed = False

    async def write_to(self, ledger: Ledger, active_s: float) -> None:
        """Keep the account in a run's store from now on; opening took no active time."""
        self.budget.restart_clock(active_s)
        self._ledger = ledger
        if self._unwritten != NO_BILL:
            await ledger(self._unwritten)

    async def _write(self, bill: Bill) -> None:
        if self._ledger is None:
            self._unwritten = self._unwritten.plus(bill)
        else:
            await self._ledger(bill)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places; see ``ApiAsk``. A stop gives a paid task some seconds."""
        async with self._room:
            if self._closed:
                raise AskingEndedError("the scorer is closed")
            task = asyncio.current_task()
            assert task is not None, "requests are made in tasks"
            self._in_places.add(task)
            try:
                with self._stop.watching():
                    yield
            except InterruptedRunError as error:
                raise AskingEndedError(str(error)) from error
            finally:
                self._in_places.discard(task)

    async def __call__(self, request: ApiRequest) -> ApiAnswer:
        """Return an answer, or a refusal, which the caller judges; see ``ApiAsk``."""
        try:
            billed = await self._asker.ask(request)
            await self._write(billed.bill)
        except (BadRequestError, RequestFailedError) as error:
            if getattr(error.__cause__, "reason", "") in NEVER_JSON and not self._asker.has_answered:
                not_json = EndpointError(f"the scorer: {error}; check `scorer_url`")
                raise AskingEndedError(str(not_json)) from not_json
            return _refusal(error)
        except Exception as error:  # noqa: BLE001 - whatever ends the asking
            cause = self._cause(error)
            raise AskingEndedError(str(cause)) from cause
        return ApiReply(billed.answer.body)

    def keep_for_final(self, final: Callable[[], ApiEstimate], first: ApiEstimate = NO_REQUESTS) -> None:
        """Keep back what the final evaluation may cost, and a little more, until ``release``.

        Raises:
            UsageError: The limits have no room for it and ``first``, what the first score may cost.
        """
        self._final = final
        self.keep_more()
        need, spent = estimated(first, self._price), self.budget.spent
        if first.requests:  # of a new run, which has found the form of requests
            need = need.plus(Spent(calls=spent.calls, estimated_picodollars=spent.picodollars_at_most))
        why = why_refused(self.budget.limits, self.budget.kept, need)
        if why is not None:
            raise UsageError(why)

    def keep_more(self) -> None:
        """Keep back what the final evaluation may cost now, as the endpoint takes less in one request."""
        final = None if self._final is None else to_keep(estimated(self._final(), self._price))
        self.budget.keep(final or NOTHING)

    def release(self) -> None:
        """Keep nothing back any more: the search has chosen."""
        self._final = None
        self.keep_more()

    async def close(self) -> None:
        """Send nothing any more; wait until answers under way are taken, for a moment at most."""
        if self._closed:
            return
        self._closed = True
        if self._in_places:
            await asyncio.wait(self._in_places, timeout=GRACE_S)
        for task in self._in_places:
            task.cancel()
        self._emit(self.budget.usage_changed())

    def interrupt(self) -> bool:
        """Send nothing any more; return whether requests are open, whose answers ``close`` waits for."""
        self._stop.request(InterruptedRunError(signal.SIGINT))
        return bool(self._in_places)

    def _cause(self, failure: Exception) -> Exception:
        """Return why the asking ends; as the user's to fix if the endpoint has never answered."""
        if not isinstance(failure, ChatError):
            return failure
        remedies: Mapping[type[ChatError], str] = {
            RedirectedError: "",  # it names the address to give
            KeyRejectedError: f"; set {self._variable} to a key that `scorer_url` takes",
            ModelNotFoundError: "; check `model` and `scorer_url`",
        }
        if self._asker.has_answered:
            remedy = remedies.get(type(failure), "")
            return EvaluationFailedError(f"the scorer cannot be asked any more: {failure}{remedy}")
        remedy = remedies.get(type(failure), "; check `scorer`, `model` and `scorer_url`")
        return EndpointError(f"the scorer: {failure}{remedy}")


def _refusal(error: BadRequestError | RequestFailedError) -> ApiRefusal:
    reply = error if isinstance(error, BadRequestError) else error.__cause__
    status, text = getattr(reply, "status", None), str(error).lower()
    failed = isinstance(error, RequestFailedError) and not RULES[error.kind].sessions
    is_large = "image" in text and any(word in text for word in ("large", "exceed", "size"))
    smaller = is_large or status == PAYLOAD_TOO_LARGE
    return ApiRefusal(f"{error}{' (`scorer_image_size = N` for smaller images)' if smaller else ''}", failed)


def seldom(report: Report) -> Callable[[str], bool]:
    """Return a function that passes a line on if none was for a while, and returns whether it did."""
    due = time.monotonic() + PROGRESS_EVERY_S

    def report_if_due(line: str) -> bool:
        nonlocal due
        if is_due := time.monotonic() >= due:
            due = time.monotonic() + PROGRESS_EVERY_S
            report(line)
        return is_due

    return report_if_due


def _reporting(report: Report) -> Listener:
    """Return a listener that reports facts, at times how far the scorer is, and why it does not answer."""
    progress, answered, why = seldom(report), 0, ""

    def on_event(event: Event) -> None:
        nonlocal answered, why
        if isinstance(event, Noted):
            report(event.text)
        elif isinstance(event, ChatFailed):
            why = f"; the last attempt failed: {printable(event.message)}"
        elif isinstance(event, Paused) and event.wait_s >= PROGRESS_EVERY_S:
            report(f"the scorer gets no requests for {event.wait_s:,.0f} s{why}")
        elif isinstance(event, ScorerUsageChanged):
            before, answered = answered, event.calls - event.failed_calls
            why = "" if answered > before else why  # one event may stand for failures and answers
            progress(f"{counted(event.calls, 'request')} to the scorer so far{why}")

    return on_event


@contextmanager
def _saying_what_is_kept(labels: Path) -> Iterator[None]:
    """Raise, in place of an AskingEndedError, its cause; say what to do if the scorer has answered before."""
    try:
        with asking_errors_as_causes():
            yield
    except BudgetSpentError as error:
        note = f"; answers are kept in {labels}: with a higher limit, only the rest is requested"
        raise BudgetSpentError(f"{error}{note}", limits=error.limits) from error
    except (GaveUpError, EvaluationFailedError, ScorerRefusesError) as error:
        chain = (error, error.__cause__)
        if not any(isinstance(each, AskingEndedError | ScorerRefusesError) for each in chain):
            raise
        note = (
            f"; once it answers, run the same command again: only the rest is requested (answers: {labels})"
        )
        raise type(error)(f"{error}{note}") from error


@contextmanager
def scorer_in_thread(
    config: SearchConfig, environment: Mapping[str, str], *, labels: Path, report: Report | None = None
) -> Iterator[tuple[ScorerCalls, BlockingPortal]]:
    """Open the scorer behind an API, with an event loop in a thread that the portal calls into.

    ``labels`` is the file that keeps its answers, for messages. ``report`` is called with a line for each
    fact, and on the progress. After an interrupt, open requests are waited for, so what keeps their answers
    must be closed after this.

    Raises:
        PromptclimbError: Why the asking has ended, in place of ``AskingEndedError``.
    """
    with start_blocking_portal() as portal:
        opened = open_scorer(config, environment, emit=ignore_event if report is None else _reporting(report))
        with _saying_what_is_kept(labels), portal.wrap_async_context_manager(opened) as calls:
            try:
                yield calls, portal
            except KeyboardInterrupt:
                if portal.call(calls.interrupt) and report is not None:
                    report("Finishing open requests. Press Ctrl-C again to quit now.")
                raise
