"""The whole way of a request: budget, pacing, attempts; against a real server in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import tenacity
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.config.fields import MOST_ATTEMPTS
from promptclimb.agent.errors import (
    BadRequestError,
    BudgetSpentError,
    ChatError,
    GaveUpError,
    InterruptedRunError,
    KeyRejectedError,
    ModelNotFoundError,
    RateLimitedError,
    RequestFailedError,
    TransientChatError,
    UnconnectedError,
    UnusableAnswerError,
)
from promptclimb.agent.events.types import (
    AnswerTokensRaised,
    Event,
    Noted,
    RetryScheduled,
    UsageChanged,
    UsageMissing,
    ignore_event,
)
from promptclimb.agent.llm.ask import LONGEST_ASKED_S, Endpoint, EndpointAsker, WaitAsAsked
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest, Client
from promptclimb.agent.llm.client import OpenAIChat
from promptclimb.agent.llm.limiter import RateLimits
from promptclimb.agent.position import Position
from promptclimb.agent.prices import FREE, NOTHING, Bill, Price, Spent, TokenUsage
from promptclimb.agent.stop import Stop
from promptclimb.agent.store.records import reader
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.failures import RULES, FailureKind, NextStep
from tests.fakes.chat_server import ChatServer, ServerOptions
from tests.fakes.clock import run_virtual, virtual_time
from tests.fakes.served import served as handled

PRICE = Price(prompt=1.0, completion=2.0)


def request(number: int = 0, max_tokens: int = 100) -> ChatRequest:
    """One of many different requests."""
    messages = ({"role": "user", "content": f"request {number}"},)
    return ChatRequest(messages=messages, model="fake", seed=number, max_tokens=max_tokens)


@dataclass
class Ledger:
    """A ledger in memory."""

    usage: Spent = NOTHING
    reserved: Spent = NOTHING
    most_reserved: int = 0

    async def __call__(self, bill: Bill) -> None:
        self.usage = self.usage.plus(bill.usage)
        self.reserved = self.reserved.minus(bill.reserved)
        self.most_reserved = max(self.most_reserved, self.reserved.calls)


@dataclass
class Scripted:
    """A client that fails with scripted errors, then answers."""

    errors: list[Exception] = field(default_factory=list)
    latency_s: float = 1.0
    always: Callable[[], Exception] | None = None
    calls: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.calls += 1
        self.asked.set()
        await asyncio.sleep(self.latency_s)
        if self.always is not None:
            raise self.always()
        if self.errors:
            raise self.errors.pop(0)
        return ChatAnswer(text=f"- a {{}} for {request.model}", prompt_tokens=10, completion_tokens=5)


def asker_of(client: Any, events: list[Event] | None = None, **options: Any) -> EndpointAsker:
    """An asker of a client or of an endpoint."""
    budget = options.pop("budget", None) or Budget(options.pop("limits", Limits()))
    endpoint = client if isinstance(client, Endpoint) else Endpoint(name="one", client=client, price=PRICE)
    emit = events.append if events is not None else ignore_event
    return EndpointAsker(endpoint, budget=budget, emit=emit, **options)


@contextlib.asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[ChatServer, OpenAIChat]]:
    """A server and a client of it."""
    async with ChatServer(ServerOptions(**options)) as server, OpenAIChat(server.base_url) as chat:
        yield server, chat


@virtual_time
async def test_failed_attempts_are_made_again_and_counted() -> None:
    """Billed ones with what they cost, cut ones with the most that they can have cost."""
    ledger, events = Ledger(), list[Event]()

    errors: list[Exception] = [
        TransientChatError("503", status=503),
        UnusableAnswerError("none", reason="no_content", usage=TokenUsage(10, 7)),
        TransientChatError("cut", perhaps_billed=True),
    ]
    asker = asker_of(Scripted(errors), events, ledger=ledger)
    reply = await asker.ask(request())
    usage = asker.budget.spent
    assert (usage.calls, usage.failed_calls, usage.retries) == (3, 3, 3)
    assert (usage.prompt_tokens, usage.completion_tokens) == (20, 12)
    assert usage.estimated_tokens > 100
    assert [notice.attempt for notice in events if isinstance(notice, RetryScheduled)] == [1, 2, 3]
    assert ledger.usage.plus(reply.bill.usage).plus(Spent(active_s=usage.active_s)) == usage


def refused_form(usage: TokenUsage | None = None) -> ChatError:
    """A refusal after which the client sends the request in another form."""
    error = BadRequestError("seed is not supported", status=400, usage=usage)
    error.adapted = True
    return error


@virtual_time
@pytest.mark.parametrize("reported", [0, 1])
async def test_refusals_of_a_form_cost_neither_attempt_nor_wait_and_are_billed_one_by_one(
    reported: int,
) -> None:
    """By the cost that one reports, and by the price where the other reports none."""
    ledger, events = Ledger(), list[Event]()
    bills = [TokenUsage(2_000_000, 0), TokenUsage(10, 5)]
    bills[reported] = replace(bills[reported], vendor_picodollars=7)
    chat = Scripted([refused_form(), refused_form(bills[0]), refused_form(bills[1])])
    asker = asker_of(chat, events, ledger=ledger, attempts=1)
    reply = await asker.ask(request())
    assert asyncio.get_running_loop().time() == 4
    costs = [PRICE.charge(bill) for bill in bills]
    costs[reported] = 7
    spent = asker.budget.spent
    assert (spent.calls, spent.failed_calls, spent.retries) == (3, 2, 0)
    assert spent.picodollars == sum(costs) + reply.bill.usage.picodollars
    assert ledger.usage.picodollars == sum(costs)
    assert not [event for event in events if isinstance(event, RetryScheduled)]


@virtual_time
@pytest.mark.parametrize("limits", [Limits(calls=2), Limits(tokens=520), Limits(cost_usd=0.0006)])
async def test_billed_refusals_of_a_form_stay_within_a_limit(limits: Limits) -> None:
    """Each is reserved before it is sent, however many restarts ask."""
    chat = Scripted(always=lambda: refused_form(TokenUsage(160, 100)))
    asker = asker_of(chat, limits=limits)
    results = await asyncio.gather(*(asker.ask(request(n)) for n in range(4)), return_exceptions=True)
    assert {type(result) for result in results} == {BudgetSpentError}
    assert chat.calls == asker.budget.spent.calls <= 2


@virtual_time
async def test_restarts_find_the_form_that_an_endpoint_takes_together() -> None:
    """What one refusal shows holds for all; a request that had left may still be refused for it."""
    refused = 0

    async def picky(request: web.Request) -> web.Response:
        nonlocal refused
        sent = await request.json()
        await asyncio.sleep(0.5)
        for name in ("seed", "temperature", "max_completion_tokens", "max_tokens"):
            if name in sent:
                refused += 1
                return web.json_response({"error": {"message": "no", "param": name}}, status=400)
        return web.json_response({"choices": [{"message": {"content": "- a {}"}}]})

    async with handled(picky) as url, OpenAIChat(url) as chat:
        asker = asker_of(Endpoint(name="one", client=chat, limits=RateLimits(concurrency=16)))
        await asyncio.gather(*(asker.ask(request(number)) for number in range(16)))
    assert refused <= 2 * 16


@virtual_time
async def test_a_request_that_is_refused_in_every_form_fails() -> None:
    """After a few of them, as one that cannot be adapted."""
    chat = Scripted(always=refused_form)
    with pytest.raises(BadRequestError):
        await asker_of(chat).ask(request())
    assert chat.calls == 9


@virtual_time
async def test_an_attempt_has_a_deadline() -> None:
    """An endpoint that hangs is left after the attempt's time, and the next attempt gets an answer."""
    async with served(script=("hang",)) as (server, chat):
        asker = asker_of(chat, attempt_s=30)
        await asker.ask(request())
        assert 30 <= asyncio.get_running_loop().time() <= 32
        assert (asker.budget.spent.calls, asker.budget.spent.failed_calls, server.statistics.requests) == (
            2,
            1,
            2,
        )


@virtual_time
async def test_an_outage_does_not_eat_every_turn() -> None:
    """Ten minutes without the endpoint cost each restart a few turns, not all of them; then it goes on."""
    loop = asyncio.get_running_loop()

    class DownForTenMinutes(Client):
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            await asyncio.sleep(0.1)
            if 5 < loop.time() < 605:
                raise TransientChatError("down")
            return ChatAnswer(text="- a {}")

    asker, failed = asker_of(DownForTenMinutes(), attempts=3), 0

    async def restart(number: int) -> None:
        nonlocal failed
        for turn in range(40):
            try:
                await asker.ask(request(number * 100 + turn))
            except RequestFailedError:
                failed += 1
            await asyncio.sleep(1)

    await asyncio.gather(*(restart(number) for number in range(4)))
    assert 4 <= failed <= 4 * 8
    assert 600 < loop.time() < 1100


@virtual_time
async def test_it_gives_up_when_nothing_succeeds_for_too_long() -> None:
    """All restarts stop with one error, those that wait included."""
    client = Scripted(always=lambda: TransientChatError("down"))
    asker = asker_of(client, give_up_after_s=600)

    async def restart(number: int) -> None:
        while True:
            with contextlib.suppress(RequestFailedError):
                await asker.ask(request(number))

    results = await asyncio.gather(*(restart(number) for number in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {GaveUpError}
    assert 600 <= asyncio.get_running_loop().time() <= 800


@virtual_time
async def test_one_success_ends_an_outage() -> None:
    """Failures before it do not count any more."""
    client = Scripted([TransientChatError("no")] * 7, latency_s=50)
    asker = asker_of(client, give_up_after_s=500)
    await asker.ask(request())
    client.errors = [TransientChatError("no")] * 7
    await asker.ask(request())
    assert asyncio.get_running_loop().time() > 800


@virtual_time
async def test_a_key_that_is_refused_ends_it_within_one_attempt() -> None:
    """Fatal errors reach every restart at once and are not tried again."""
    async with served(key="sk-right-key-0123456789") as (server, chat):
        asker = asker_of(chat)
        results = await asyncio.gather(*(asker.ask(request(n)) for n in range(10)), return_exceptions=True)
        assert {type(result) for result in results} == {KeyRejectedError}
        assert server.statistics.requests <= 4
        assert asker.budget.spent.calls == 0


class Thinker(Client):
    """A client that thinks for so many tokens before it answers."""

    def __init__(self, thinks: int, most: int = 10**6) -> None:
        self.asked: list[int] = []
        self._thinks = thinks
        self._most = most

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.asked.append(request.max_tokens)
        await asyncio.sleep(1)
        if request.max_tokens > self._most:
            raise BadRequestError("max_tokens is too large", status=400)
        if request.max_tokens <= self._thinks:
            usage = TokenUsage(10, request.max_tokens)
            raise UnusableAnswerError("all of it was thinking", reason="length", usage=usage)
        return ChatAnswer(text="- a {}", prompt_tokens=10, completion_tokens=self._thinks + 5)


@virtual_time
async def test_an_answer_that_is_all_thinking_is_asked_for_again_with_more_tokens() -> None:
    """Once, at once, for later requests too, and an event says so; the larger figure is reserved."""
    events: list[Event] = []
    client = Thinker(300)
    asker = asker_of(client, events, limits=Limits(tokens=10_000))
    await asker.ask(request(1))
    waiting = asyncio.create_task(asker.ask(request(2)))
    await asyncio.sleep(0.5)
    assert asker.budget.reserved.tokens_at_most > 400
    await waiting
    assert client.asked == [100, 400, 400]
    assert asyncio.get_running_loop().time() == 3
    assert [event.fields() for event in events if isinstance(event, AnswerTokensRaised)] == [
        {"endpoint": "one", "before": 100, "now": 400}
    ]


@virtual_time
async def test_answers_are_not_made_longer_than_limits_allow() -> None:
    """A budget ends the search; at a limit of tokens a minute or a refusal a request stays as it was."""
    client = Thinker(300)
    with pytest.raises(BudgetSpentError, match="the next request may exceed the limit of 520 tokens"):
        await asker_of(client, limits=Limits(tokens=520)).ask(request())
    assert set(client.asked) == {100}
    limited = Thinker(300)
    endpoint = Endpoint(name="one", client=limited, limits=RateLimits(tpm=350))
    with pytest.raises(RequestFailedError, match="thinking"):
        await asker_of(endpoint).ask(request())
    assert set(limited.asked) == {100}
    capped = Thinker(300, most=200)
    asker = asker_of(capped)
    with pytest.raises(RequestFailedError, match="thinking"):
        await asker.ask(request())
    assert capped.asked.count(400) == 1
    with pytest.raises(RequestFailedError, match="thinking"):
        await asker.ask(request(2))
    assert capped.asked.count(400) == 1


@virtual_time
@pytest.mark.parametrize(
    "limits",
    [Limits(tokens=30_000), Limits(tokens=60_000), Limits(cost_usd=0.06)],
    ids=["30k", "60k", "money"],
)
async def test_answers_made_longer_on_the_way_stay_within_the_limits(limits: Limits) -> None:
    """Requests that waited while another one showed that more is needed are reserved again."""
    client = Thinker(1500)
    endpoint = Endpoint(name="one", client=client, price=PRICE, limits=RateLimits(concurrency=32))
    asker, answers = asker_of(endpoint, limits=limits), 0

    async def restart(number: int) -> None:
        nonlocal answers
        with contextlib.suppress(BudgetSpentError):
            for turn in range(3):
                await asker.ask(request(number * 10 + turn, max_tokens=1000))
                answers += 1

    await asyncio.gather(*(restart(number) for number in range(32)))
    spent = asker.budget.spent
    assert spent.tokens_at_most <= (limits.tokens or 10**9)
    assert spent.cost_usd <= (limits.cost_usd or 1)
    assert answers > 5
    assert client.asked.count(1000) == 1


@dataclass
class Dearer(Client):
    """A client whose answers become more expensive after some of them, in tokens or as a reported cost."""

    level: int
    after: int
    factor: float
    reports: bool
    seed: int
    in_flight: int = 0
    most_in_flight: int = 0
    sent: int = 0
    bills: list[int] = field(default_factory=list)

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.sent += 1
        rng = random.Random(self.seed * 10_000 + self.sent)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(rng.uniform(0.5, 5.0))
        self.in_flight -= 1
        dear = len(self.bills) >= self.after
        bill = max(int(self.level * (rng.uniform(0.05, self.factor) if dear else 1)), 1)  # nothing is free
        self.bills.append(bill)
        tokens = 1 if self.reports else bill
        billed = TokenUsage(0, tokens, vendor_picodollars=bill * 10**6 if self.reports else None)
        return ChatAnswer(text="- a {}", completion_tokens=tokens, billed=billed)


@given(
    concurrency=st.integers(1, 16),
    level=st.integers(1, 300),
    answers=st.integers(1, 150),
    after=st.integers(0, 80),
    factor=st.floats(1.0, 50.0),
    reports=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_limit_is_exceeded_by_one_answer_at_most(
    concurrency: int, level: int, answers: int, after: int, factor: float, reports: bool, seed: int
) -> None:
    """Whatever the concurrency, and whenever answers become up to fifty times as expensive."""
    client = Dearer(level, after, factor, reports, seed)
    limit = level * answers

    async def play() -> None:
        limits = Limits(cost_usd=limit / 10**6) if reports else Limits(tokens=limit)
        endpoint = Endpoint(name="one", client=client, price=PRICE, limits=RateLimits(concurrency=16))
        await until_spent(asker_of(endpoint, limits=limits), concurrency)

    run_virtual(play())
    assert sum(client.bills) <= limit + max(client.bills, default=0)


@virtual_time
@pytest.mark.parametrize("limits", [Limits(), Limits(calls=9999), Limits(tokens=10**7)])
async def test_far_from_a_limit_as_many_requests_are_made_at_once_as_without(limits: Limits) -> None:
    """After the first few answers; also where an endpoint ignores how long its answers may be."""
    client = Dearer(level=2000, after=10_000, factor=1, reports=False, seed=1)
    endpoint = Endpoint(name="one", client=client, limits=RateLimits(concurrency=16))
    asker = asker_of(endpoint, limits=limits)
    await asyncio.gather(*(asker.ask(request(number)) for number in range(200)))
    assert client.most_in_flight == 16
    assert asyncio.get_running_loop().time() < 60


@virtual_time
@pytest.mark.parametrize("error", [TransientChatError, RateLimitedError])
@pytest.mark.parametrize(("asked_s", "most_s"), [(0.2, 4.0), (1.0, 20.0), (0.0, 90.0), (None, 90.0)])
async def test_what_the_endpoint_asks_for_is_waited_however_often(
    error: type[ChatError], asked_s: float | None, most_s: float
) -> None:
    """Ten times in a row, and no turn is lost; only where it asks for nothing does the pause grow."""
    refusal = functools.partial(error, "busy", status=429, retry_after=asked_s)
    client = Scripted([refusal() for _ in range(10)], latency_s=0.0)
    asker = asker_of(client, attempts=99)
    await asker.ask(request())
    took_s = asyncio.get_running_loop().time()
    assert (10 * asked_s if asked_s else 15) <= took_s <= most_s * (1 if asked_s else 5)
    started = asyncio.get_running_loop().time()
    client.errors = [refusal()]
    await asker.ask(request(2))
    assert asyncio.get_running_loop().time() - started <= 2.5


@virtual_time
async def test_even_waits_that_are_asked_for_have_an_end() -> None:
    """Such attempts are not counted as failures, but in all."""
    client = Scripted(always=lambda: RateLimitedError("429", status=429, retry_after=1.0), latency_s=0.0)
    with pytest.raises(RequestFailedError) as caught:
        await asker_of(client, attempts=2).ask(request())
    assert caught.value.attempts == client.calls == MOST_ATTEMPTS


@virtual_time
@pytest.mark.parametrize(
    "limits",
    [Limits(calls=100), Limits(tokens=3000), Limits(cost_usd=0.005)],
    ids=["calls", "tokens", "money"],
)
async def test_what_a_server_bills_is_within_a_limit_and_nearly_all_of_it(limits: Limits) -> None:
    """Thirty restarts, a faulty server: as many calls as allowed, and not a token more."""
    faults = {"500": 0.1, "no_choices": 0.1, "429": 0.05}
    async with served(faults=faults, latency_s=(0.1, 2.0)) as (server, chat):
        endpoint = Endpoint(name="one", client=chat, price=PRICE, limits=RateLimits(concurrency=30))
        asker = asker_of(endpoint, limits=limits)
        await until_spent(asker, 30)
    usage, billed = asker.budget.spent, server.statistics
    assert (usage.calls, usage.tokens) == (billed.billed, billed.tokens)
    used = {"calls": usage.calls, "tokens": usage.tokens, "cost_usd": usage.cost_usd}
    for name, amount in used.items():
        if (most := getattr(limits, name)) is not None:
            assert (1 if name == "calls" else 0.9) * most <= amount <= most


@virtual_time
@pytest.mark.parametrize("limits", [Limits(tokens=3_000), Limits(cost_usd=0.004)], ids=["tokens", "money"])
async def test_an_endpoint_that_never_says_what_it_billed_is_held_to_the_limits(limits: Limits) -> None:
    """Each answer counts with all that was reserved for it, and an event says so once."""
    events = list[Event]()
    async with served(reports_usage=False) as (server, chat):
        asker = asker_of(chat, events, limits=limits)
        await until_spent(asker, 3)
    assert 10 < server.statistics.billed == asker.budget.spent.calls
    assert server.statistics.tokens <= asker.budget.spent.tokens_at_most <= (limits.tokens or 3_000)
    assert asker.budget.spent.picodollars_at_most <= (limits.cost_usd or 1) * 10**12
    assert [event.fields() for event in events if isinstance(event, UsageMissing)] == [{"endpoint": "one"}]


@dataclass
class Unbounded(Client):
    """A client that ignores ``max_tokens``, and does not say what it billed after some answers."""

    usable: bool
    tokens: int = 0

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        await asyncio.sleep(1)
        if self.tokens < 500:
            self.tokens += 100
            return ChatAnswer(text="- a {}", completion_tokens=100)
        self.tokens += 4000
        if not self.usable:
            raise UnusableAnswerError("all thinking", reason="length", written=5000)
        return ChatAnswer(text="- a {}", usage_known=False, written=5000)


@pytest.mark.parametrize(
    ("cost", "note"),
    [
        ({"cost": 0}, "a cost of zero"),
        ({"cost": 0, "is_byok": True}, "a cost of zero"),
        ({"cost": 0, "cost_in_usd_ticks": 0, "cost_details": {}}, "a cost of zero"),
        ({"cost": 1e-6, "is_byok": True, "cost_details": None}, "nothing but a fee"),
    ],
)
async def test_a_report_of_no_cost_does_not_lift_a_limit(cost: dict[str, Any], note: str) -> None:
    """Tokens with a price count at it; a note says so, once."""

    async def reply(http_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        usage = {"prompt_tokens": 1000, "completion_tokens": 500, **cost}
        choices = [{"finish_reason": "stop", "message": {"content": "- a {}"}}]
        return web.json_response({"choices": choices, "usage": usage})

    asked = 0
    events: list[Event] = []
    async with handled(reply) as url, OpenAIChat(url) as chat:
        asker = asker_of(chat, events, limits=Limits(cost_usd=0.02))
        with contextlib.suppress(BudgetSpentError):
            for number in range(20):
                await asker.ask(request(number))
    assert asked in (9, 10)
    assert asker.budget.spent.picodollars / asked == pytest.approx(0.002e12, rel=0.01)
    (text,) = (event.text for event in events if isinstance(event, Noted))
    assert note in text


@virtual_time
async def test_a_limit_that_never_binds_is_said() -> None:
    """A local model costs nothing, whatever ``max_cost`` says."""
    events: list[Event] = []
    endpoint = Endpoint(name="here", client=Scripted(), price=FREE)
    asker = asker_of(endpoint, events, limits=Limits(cost_usd=1.0))
    for number in range(2):
        await asker.ask(request(number))
    assert [event.text for event in events if isinstance(event, Noted)] == [
        "here costs nothing by its price: `max_cost` limits nothing there"
    ]


@virtual_time
async def test_what_is_not_reported_of_an_answer_is_estimated() -> None:
    """The reservation covers the rest; a cost is a whole."""

    @dataclass
    class Partly:
        usage: TokenUsage

        async def chat(self, request: ChatRequest) -> ChatAnswer:
            return ChatAnswer(text="- a {}", usage_known=False, billed=self.usage)

    async def spent(usage: TokenUsage) -> Spent:
        asker = asker_of(Partly(replace(usage, is_part=True)))
        await asker.ask(request(max_tokens=100))
        return asker.budget.spent

    alone = await spent(TokenUsage(vendor_picodollars=7))
    assert (alone.picodollars, alone.estimated_picodollars, alone.tokens) == (7, 0, 0)
    half = await spent(TokenUsage(prompt_tokens=50))
    assert (half.tokens, half.tokens_at_most) == (50, 50 + 100)
    assert half.picodollars_at_most == half.picodollars + half.estimated_picodollars > 50e6 + 50e6
    more = await spent(TokenUsage(prompt_tokens=3000))
    assert (more.tokens_at_most, more.picodollars_at_most) == (3000 + 100, 3000e6 + 200e6)


@virtual_time
@pytest.mark.parametrize("restarts", [1, 8])
@pytest.mark.parametrize("usable", [True, False])
@pytest.mark.parametrize("limits", [Limits(tokens=30_000), Limits(cost_usd=0.03)], ids=["tokens", "money"])
async def test_an_answer_without_usage_counts_with_all_that_was_written(
    limits: Limits, usable: bool, restarts: int
) -> None:
    """An endpoint that ignores how long an answer may be exceeds no limit by more than one answer."""
    client = Unbounded(usable)
    asker = asker_of(client, limits=limits, attempts=1)
    with contextlib.suppress(GaveUpError):
        await until_spent(asker, restarts)
    most = limits.tokens or int((limits.cost_usd or 0) * 10**6 / PRICE.completion)
    assert most / 4 < client.tokens <= most + 4000


@virtual_time
async def test_no_attempt_starts_after_a_stop() -> None:
    """Nothing is sent, and nothing stays reserved."""
    stop, client = Stop(), Scripted()
    asker = asker_of(client, stop=stop)
    await asker.ask(request())
    stop.request(InterruptedRunError(15))
    with pytest.raises(InterruptedRunError):
        await asker.ask(request())
    assert (client.calls, asker.budget.reserved) == (1, NOTHING)


def waited(*errors: ChatError) -> list[float]:
    """The waits after these errors in turn."""
    wait = WaitAsAsked()
    waits = []
    for number, error in enumerate(errors, start=1):
        error.step = NextStep.RETRY
        state = tenacity.RetryCallState(tenacity.AsyncRetrying(), None, (), {})
        state.attempt_number = number
        state.set_exception((type(error), error, error.__traceback__))
        waits.append(wait(state))
    return waits


@given(st.floats(0.01, 1e6))
def test_a_wait_is_as_long_as_the_endpoint_asks_for_and_a_little_longer(asked_s: float) -> None:
    """So that not all come back at once; up to a cap."""
    (wait_s,) = waited(TransientChatError("busy", retry_after=asked_s))
    least_s = min(asked_s, LONGEST_ASKED_S)
    assert least_s <= wait_s <= least_s + min(1, least_s / 2)


def test_a_wait_of_our_own_may_be_twice_as_long_after_each_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a minute, where it stays however often it fails."""
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    waits = waited(*(TransientChatError("down") for _ in range(8)))
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


@virtual_time
async def test_requests_that_fail_together_do_not_come_back_together() -> None:
    """Sixteen in flight, no wait asked for: their second attempts are spread, not a second crowd."""
    random.seed(0)
    sent_at: list[float] = []
    loop = asyncio.get_running_loop()

    class Failing(Client):
        async def chat(self, request: ChatRequest) -> ChatAnswer:
            sent_at.append(loop.time())
            await asyncio.sleep(0.1)
            raise TransientChatError("down")

    endpoint = Endpoint(name="one", client=Failing(), limits=RateLimits(concurrency=16))
    asker = asker_of(endpoint, attempts=2)
    await asyncio.gather(*(asker.ask(request(number)) for number in range(16)), return_exceptions=True)
    assert sent_at[:16] == [sent_at[0]] * 16
    again_at = sent_at[16:]
    assert max(again_at) - min(again_at) > 1.2
    assert max(sum(moment <= other < moment + 0.5 for other in again_at) for moment in again_at) <= 8


@virtual_time
async def test_a_slow_endpoint_has_its_own_deadline() -> None:
    """A local answer under way is not thrown away on a busy machine; it would begin from nothing again."""
    endpoint = Endpoint(name="local", client=Scripted(latency_s=1100.0), slowest_s=1200.0)
    assert (await asker_of(endpoint, attempts=1, attempt_s=30).ask(request())).answer.text


async def failing(attempts: int, *errors: Exception) -> RequestFailedError:
    """What comes of attempts that fail with these errors in turn, after the longest waits."""
    turns = itertools.cycle(errors)
    client = Scripted(always=lambda: next(turns), latency_s=0.0)
    asker = EndpointAsker(Endpoint(name="one", client=client), budget=Budget(Limits()), attempts=attempts)
    with pytest.raises(RequestFailedError) as caught:
        await asker.ask(request())
    return caught.value


@virtual_time
async def test_a_request_fails_by_its_last_failure() -> None:
    """Be it because no more attempts were allowed at all."""
    refused, down = UnusableAnswerError("no", reason="refusal"), TransientChatError("down")
    assert (await failing(2, refused)).kind is FailureKind.UNUSABLE
    assert (await failing(2, refused, down)).kind is FailureKind.UNREACHABLE
    failed = await failing(1, down)
    assert (failed.attempts, str(failed), failed.__cause__) == (
        1,
        "no usable answer in 1 attempt: down",
        down,
    )
    unusable = await failing(8, refused)
    assert unusable.attempts == RULES[FailureKind.UNUSABLE].tries + 1


@virtual_time
async def test_a_dropped_request_says_how_often_it_was_tried() -> None:
    """An endpoint that answers others refused it, after two attempts that failed otherwise."""
    client = Scripted()
    asker = asker_of(client)
    await asker.ask(request())
    client.errors = [
        TransientChatError("down"),
        TransientChatError("down"),
        BadRequestError("no", status=400),
    ]
    with pytest.raises(RequestFailedError, match="the request is refused: no") as caught:
        await asker.ask(request(1))
    assert (caught.value.attempts, caught.value.kind) == (3, FailureKind.REFUSED)


@pytest.mark.parametrize("error", [KeyRejectedError("no"), ModelNotFoundError("no"), BadRequestError("no")])
@virtual_time
async def test_a_refusal_is_judged_by_what_the_endpoint_has_answered(error: ChatError) -> None:
    """Before any answer the settings are wrong; after one a few in a row pass."""
    client = Scripted(always=lambda: type(error)("no", status=400))
    with pytest.raises(type(error)):
        await asker_of(client).ask(request())
    asker = asker_of(client, has_answers=True, attempts=1)
    for number in range(RULES[error.kind].tolerated):
        with pytest.raises(RequestFailedError):
            await asker.ask(request(number))
    with pytest.raises(type(error)):
        await asker.ask(request())


@virtual_time
async def test_an_address_where_nothing_ever_answered_is_given_up() -> None:
    """After a few attempts; once it has answered, it is waited for as in any outage."""
    client = Scripted([UnconnectedError("refused") for _ in range(9)])
    with pytest.raises(UnconnectedError):
        await asker_of(client).ask(request())
    assert client.calls == RULES[FailureKind.UNCONNECTED].unproven
    assert (await asker_of(client, has_answers=True).ask(request())).answer.text


async def until_spent(asker: EndpointAsker, restarts: int) -> None:
    """Ask until the budget ends it for every restart."""

    async def restart(number: int) -> None:
        for turn in range(10_000):
            with contextlib.suppress(RequestFailedError):
                await asker.ask(request(number * 10_000 + turn))

    results = await asyncio.gather(*(restart(number) for number in range(restarts)), return_exceptions=True)
    assert {type(result) for result in results} == {BudgetSpentError}


@virtual_time
async def test_a_limit_on_minutes_ends_every_waiting() -> None:
    """Neither a rate limit nor a back-off is waited for beyond the time that is left."""
    asker = asker_of(
        Endpoint(name="one", client=Scripted(latency_s=0.1), limits=RateLimits(rpm=1)),
        limits=Limits(minutes=2.5),
    )
    await until_spent(asker, 3)
    assert asyncio.get_running_loop().time() == pytest.approx(150, abs=1)
    down = asker_of(Scripted(always=lambda: TransientChatError("x")), limits=Limits(minutes=0.1))
    await until_spent(down, 3)
    assert asyncio.get_running_loop().time() == pytest.approx(156, abs=3)


@virtual_time
async def test_errors_of_others_pass_through_and_leave_nothing_reserved() -> None:
    """An error that is no ChatError is neither retried nor billed."""

    class HaltedError(Exception):
        pass

    ledger = Ledger()
    asker = asker_of(Scripted([HaltedError()]), limits=Limits(calls=5), ledger=ledger)
    with pytest.raises(HaltedError):
        await asker.ask(request())
    assert (asker.budget.spent.calls, ledger.reserved, ledger.usage.calls) == (0, NOTHING, 0)


def reserved(store: Store) -> int:
    """Calls that are reserved on disk."""
    return (store._row("reserved", reader(Spent)) or NOTHING).calls


@pytest.mark.parametrize("limits", [Limits(), Limits(calls=5)])
async def test_reservations_are_on_disk_before_the_request_leaves(tmp_path: Path, limits: Limits) -> None:
    """With a limit or without: a killed process has its requests in flight counted when it is resumed."""
    with Store.create(tmp_path / "run", {"identity": {}}) as store:
        client = Scripted(latency_s=60)
        asker = asker_of(client, limits=limits, ledger=store.put_usage)
        task = asyncio.create_task(asker.ask(request()))
        await client.asked.wait()
        assert reserved(store) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reserved(store) == 0
        assert store.usage.calls == 1


async def test_an_answer_settles_its_reservation_in_its_own_transaction(tmp_path: Path) -> None:
    """Until the answer is on disk the reservation stands, so that a kill in between counts it."""
    with Store.create(tmp_path / "run", {"identity": {}}) as store:
        asker = asker_of(Scripted(latency_s=0), ledger=store.put_usage)
        reply = await asker.ask(request())
        assert reserved(store) == 1
        await store.put_answer(Position(0, 0, 0), request().hash, reply.answer, reply.bill)
        assert (reserved(store), store.usage.calls) == (0, 1)


async def for_two_minutes(options: dict[str, Any]) -> tuple[int, int]:
    """Twelve restarts against a server that allows 60 a minute: what it answered, and what it refused."""
    async with served(rpm=60, latency_s=(0.2, 1.0), **options) as (server, chat):
        endpoint = Endpoint(name="one", client=chat, limits=RateLimits(concurrency=12))
        await until_spent(asker_of(endpoint, limits=Limits(minutes=2)), 12)
        return server.statistics.billed, server.statistics.refused


@pytest.mark.parametrize(("vendor", "form"), [("openai", "ms"), ("anthropic", "date")])
def test_a_limit_that_only_the_endpoint_knows_is_learned(vendor: str, form: str) -> None:
    """Headers of any vendor's style: two minutes at a limit that nobody set, hardly a refusal, well used."""
    billed, refused = run_virtual(for_two_minutes({"vendor": vendor, "retry_after": form}))
    assert refused <= 1
    assert billed >= 0.95 * 120


@virtual_time
async def test_every_kind_of_token_and_a_reported_cost_are_stored() -> None:
    """Of usable and unusable answers."""
    usage = TokenUsage(
        100, 30, cached_tokens=60, cache_written_tokens=20, reasoning_tokens=25, vendor_picodollars=9
    )

    class Reporting:
        calls = 0

        async def chat(self, request: ChatRequest) -> ChatAnswer:
            self.calls += 1
            if self.calls == 1:
                raise UnusableAnswerError("none", reason="no_content", usage=usage)
            return ChatAnswer(text="- a {}", prompt_tokens=100, completion_tokens=30, billed=usage)

    ledger, events = Ledger(), list[Event]()
    reply = await asker_of(Reporting(), events, ledger=ledger).ask(request())
    billed = Spent(
        calls=1, prompt_tokens=100, completion_tokens=30, cached_tokens=60, cache_written_tokens=20,
        reasoning_tokens=25, picodollars=9, vendor_calls=1, vendor_picodollars=9,
    )  # fmt: skip
    assert reply.bill.usage == billed.plus(Spent(retries=1))
    assert ledger.usage == billed.plus(Spent(failed_calls=1))
    changed = [event for event in events if isinstance(event, UsageChanged)][-1]
    assert (changed.cached_tokens, changed.cache_written_tokens, changed.reasoning_tokens) == (120, 40, 50)
