"""Several endpoints: a sick one beside a healthy one costs nothing, and nobody is lost between them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.errors import (
    BadRequestError,
    ChatError,
    GaveUpError,
    KeyRejectedError,
    ModelNotFoundError,
    RateLimitedError,
    RequestFailedError,
    TransientChatError,
)
from promptclimb.agent.events.types import EndpointResumed, EndpointSuspended, Event, RetryScheduled
from promptclimb.agent.llm.ask import EndpointAsker, RetryPolicy
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest, Client
from promptclimb.agent.llm.limiter import RateLimiter, RateLimits
from promptclimb.agent.llm.pool import Endpoint, PooledEndpoint
from promptclimb.agent.prices import NOTHING
from promptclimb.evaluator.failures import RULES, NextStep
from tests.fakes.clock import run_virtual, virtual_time
from tests.fakes.sick_chat import SICK, Restarted, SickChat, restart_pool


def request(number: int = 0) -> ChatRequest:
    """One of many different requests."""
    message = {"role": "user", "content": f"request {number}"}
    return ChatRequest(messages=(message,), model="fake", max_tokens=100)


class Chat(Client):
    """A client whose behaviour can be set."""

    def __init__(self, error: Callable[[], Exception] | None = None, took_s: float = 1.0) -> None:
        self.error = error
        self.took_s = took_s
        self.attempts = 0

    async def chat(self, request: ChatRequest) -> ChatAnswer:
        self.attempts += 1
        await asyncio.sleep(self.took_s)
        if self.error is not None:
            raise self.error()
        return ChatAnswer(text="- a {}", prompt_tokens=10, completion_tokens=5)


def pool(
    *chats: Any, events: list[Event] | None = None, concurrency: int = 4, **options: Any
) -> EndpointAsker:
    """An asker with an endpoint for each client, named by number."""
    limits = RateLimits(concurrency=concurrency)
    endpoints = [Endpoint(name=str(number), client=chat, limits=limits) for number, chat in enumerate(chats)]
    listening = {} if events is None else {"emit": events.append}
    return EndpointAsker(endpoints, budget=Budget(Limits()), rng=random.Random(0), **listening, **options)


@pytest.fixture(scope="module")
def alone() -> Restarted:
    """What a healthy endpoint does alone."""
    return run_virtual(restart_pool([SickChat(None)]))


@pytest.mark.parametrize("kind", SICK)
@pytest.mark.parametrize("healthy_first", [True, False])
def test_a_sick_endpoint_beside_a_healthy_one_costs_nothing(
    kind: str, healthy_first: bool, alone: Restarted
) -> None:
    """No turn is lost, and it takes at most a fifth longer than with the healthy one alone."""
    chats = [SickChat(None), SickChat(SICK[kind])]
    searched = run_virtual(restart_pool(chats if healthy_first else chats[::-1]))
    assert searched.lost == 0
    assert searched.seconds <= 1.2 * alone.seconds


@virtual_time
async def test_what_fails_at_one_endpoint_is_asked_of_another_at_once() -> None:
    """Without a wait, and without an attempt used up: with one attempt allowed nothing is lost."""
    events: list[Event] = []
    dead, well = Chat(lambda: TransientChatError("down"), took_s=0.0), Chat()
    asker = pool(dead, well, events=events, retry=RetryPolicy(attempts=1))
    for number in range(20):
        assert (await asker.ask(request(number))).endpoint == "1"
    assert asyncio.get_running_loop().time() == 20
    assert {notice.wait_s for notice in events if isinstance(notice, RetryScheduled)} == {0.0}
    assert [notice.endpoint for notice in events if isinstance(notice, EndpointSuspended)] == ["0"]
    assert dead.attempts <= 6


@virtual_time
async def test_an_endpoint_that_comes_back_is_used_again() -> None:
    """A probe finds it, and an event says so."""
    events: list[Event] = []
    first, second = Chat(lambda: TransientChatError("down")), Chat()
    asker = pool(first, second, events=events)
    await asyncio.gather(*(asker.ask(request(number)) for number in range(8)))
    first.error = None
    second.error = lambda: TransientChatError("down too")
    replies = [await asker.ask(request(number)) for number in range(10)]
    assert replies[-1].endpoint == "0"
    assert "0" in [notice.endpoint for notice in events if isinstance(notice, EndpointResumed)]


@virtual_time
async def test_a_rate_limited_request_goes_to_a_free_endpoint() -> None:
    """Nobody sleeps beside an endpoint with room; where both are at their limit, the shorter wait counts."""
    limited, well = Chat(lambda: RateLimitedError("429", status=429, retry_after=60.0), took_s=0.0), Chat()
    asker = pool(limited, well)
    await asker.ask(request())
    assert asyncio.get_running_loop().time() == 1
    well.error = lambda: RateLimitedError("429", status=429, retry_after=3.0)
    task = asyncio.create_task(asker.ask(request()))
    await asyncio.sleep(2)
    well.error = None
    assert (await task).endpoint == "1"
    assert asyncio.get_running_loop().time() < 10


@virtual_time
async def test_a_request_that_one_endpoint_refuses_is_asked_of_another() -> None:
    """Before its round is lost, and also where the endpoint has never answered; refused by all, it is."""
    small, well = Chat(), Chat()
    asker = pool(small, well, concurrency=1)
    for number in range(4):
        await asker.ask(request(number))
    small.error = lambda: BadRequestError("the context is too long", status=400)
    replies = await asyncio.gather(*(asker.ask(request(number)) for number in range(30)))
    assert {reply.endpoint for reply in replies} == {"1"}
    well.error = small.error
    with pytest.raises(RequestFailedError, match="refused") as caught:
        await asker.ask(request())
    assert caught.value.refused
    never = pool(Chat(small.error), Chat())
    assert (await never.ask(request())).endpoint == "1"


@virtual_time
async def test_where_all_refuse_from_the_first_the_settings_are_wrong() -> None:
    """The user is to mend them: no retry, no skipped round."""
    asker = pool(*(Chat(lambda: BadRequestError("no such parameter", status=400)) for _ in range(2)))
    with pytest.raises(BadRequestError):
        await asker.ask(request())


@virtual_time
async def test_one_that_refuses_all_is_not_the_end_while_the_other_is_down() -> None:
    """The settings are wrong only if every endpoint refuses; the round is asked again by a resume."""
    refusing, down = Chat(), Chat()
    asker = pool(refusing, down, retry=RetryPolicy(attempts=2))
    await asyncio.gather(*(asker.ask(request(number)) for number in range(8)))
    refusing.error = lambda: BadRequestError("flagged", status=403)
    down.error = lambda: TransientChatError("down")
    for number in range(12):
        with pytest.raises(RequestFailedError):
            await asker.ask(request(number))
    down.error = None
    await asyncio.sleep(300)
    assert (await asker.ask(request())).endpoint == "1"


@virtual_time
async def test_a_pool_waits_out_an_outage_of_all() -> None:
    """Ten minutes without any endpoint cost few turns, and the first to come back is found soon."""
    chats = [Chat(took_s=0.1), Chat(took_s=0.1)]
    asker, loop, lost, back = pool(*chats), asyncio.get_running_loop(), 0, list[float]()

    async def restart(number: int) -> None:
        nonlocal lost
        for turn in range(60):
            down = 5 < loop.time() < 605
            for chat in chats:
                chat.error = (lambda: TransientChatError("down")) if down else None
            try:
                await asker.ask(request(number * 100 + turn))
            except RequestFailedError:
                lost += 1
            else:
                if loop.time() > 605:
                    back.append(loop.time())
            await asyncio.sleep(1)

    await asyncio.gather(*(restart(number) for number in range(4)))
    assert lost <= 4 * 8
    assert min(back) < 605 + 330


async def until_it_ends(asker: EndpointAsker) -> None:
    """Ask, whatever is lost, until nothing can be asked any more."""
    while True:
        with contextlib.suppress(RequestFailedError):
            await asker.ask(request())


@virtual_time
async def test_a_pool_gives_up_when_nothing_succeeds_for_too_long() -> None:
    """As one endpoint does."""
    asker = pool(
        *(Chat(lambda: TransientChatError("down"), took_s=0.1) for _ in range(3)), give_up_after_s=600
    )
    with pytest.raises(GaveUpError):
        await until_it_ends(asker)
    assert 600 <= asyncio.get_running_loop().time() <= 1000


@virtual_time
async def test_an_endpoint_that_begins_to_hang_holds_nobody_to_the_deadline() -> None:
    """A few times its slowest answer is waited for, then the request is asked elsewhere."""
    first, second = Chat(), Chat()
    asker = pool(first, second, concurrency=8)
    await asyncio.gather(*(asker.ask(request(number)) for number in range(40)))
    first.took_s = 1e6
    started = asyncio.get_running_loop().time()
    replies = await asyncio.gather(*(asker.ask(request(number)) for number in range(40)))
    assert {reply.endpoint for reply in replies} == {"1"}
    assert asyncio.get_running_loop().time() - started < 25


@virtual_time
async def test_one_slow_endpoint_alone_is_given_all_its_time() -> None:
    """Patience ends early only where another endpoint could answer."""
    asker = pool(Chat(took_s=110.0))
    await asker.ask(request())
    both = pool(Chat(took_s=110.0), Chat(took_s=110.0), concurrency=1)
    await asyncio.gather(*(both.ask(request(number)) for number in range(2)))
    assert both.budget.spent.failed_calls == 0


kinds = st.sampled_from(["ok", "500", "429", "400", "401", "garbage", "slow", "hang"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(kinds, max_size=12), min_size=2, max_size=3),
    st.integers(1, 4),
    st.sets(st.integers(0, 7)),
)
def test_no_faults_leak_a_permit_or_leave_a_request_waiting(
    plans: list[list[str]], concurrency: int, cancelled: set[int]
) -> None:
    """Whatever fails, hangs or is cancelled: all end, all room is given back, limits in flight hold."""
    errors: dict[str, Callable[[], ChatError]] = {
        "500": lambda: TransientChatError("x"),
        "429": lambda: RateLimitedError("x", retry_after=1.0),
        "400": lambda: BadRequestError("x", status=400),
        "401": lambda: KeyRejectedError("x", status=401),
        "garbage": lambda: TransientChatError("x", perhaps_billed=True),
    }

    class Client:
        def __init__(self, plan: list[str]) -> None:
            self.plan = list(plan)
            self.in_flight = 0

        async def chat(self, request: ChatRequest) -> ChatAnswer:
            kind = self.plan.pop() if self.plan else "ok"
            self.in_flight += 1
            assert self.in_flight <= concurrency
            try:
                await asyncio.sleep({"slow": 30.0, "hang": 1e6}.get(kind, 1.0))
            finally:
                self.in_flight -= 1
            if kind in errors:
                raise errors[kind]()
            return ChatAnswer(text="x", prompt_tokens=3, completion_tokens=4)

    async def play() -> None:
        asker = pool(*(Client(plan) for plan in plans), concurrency=concurrency)

        async def restart(number: int) -> None:
            for turn in range(4):
                with contextlib.suppress(RequestFailedError):
                    await asker.ask(request(number * 10 + turn))

        tasks = [asyncio.create_task(restart(number)) for number in range(8)]
        for number in cancelled:
            asyncio.get_running_loop().call_later(number * 3.0, tasks[number].cancel)
        async with asyncio.timeout(7200):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert asker.budget.reserved == NOTHING
        assert asker._pool.waiting == 0
        assert {endpoint.limiter.in_flight for endpoint in asker._endpoints} == {0}

    run_virtual(play())


@pytest.mark.parametrize("error", [KeyRejectedError("no"), ModelNotFoundError("no"), BadRequestError("no")])
def test_a_refusal_is_judged_by_what_the_endpoint_has_answered(error: ChatError) -> None:
    """Before any answer the settings are wrong; after one a few in a row pass."""
    assert pooled().interpret_failure(error).step is NextStep.STOP
    for endpoint in (pooled(has_answered=True), pooled()):
        endpoint.answered(longer=False)
        passing = RULES[error.kind].trusted
        for _ in range(2):
            steps = [endpoint.interpret_failure(error).step for _ in range(passing)]
            assert set(steps) == {NextStep.DROP if isinstance(error, BadRequestError) else NextStep.RETRY}
            endpoint.answered(longer=False)
        steps = [endpoint.interpret_failure(error).step for _ in range(passing + 1)]
        assert steps.count(NextStep.STOP) == 1
        assert steps[-1] is NextStep.STOP


def pooled(*, has_answered: bool = False) -> PooledEndpoint:
    """An endpoint that has answered in an earlier session, or not."""
    limiter = RateLimiter("one", RateLimits(), clock=lambda: 0.0, rng=random.Random(0))
    endpoint = Endpoint(name="one", client=cast("Any", None))
    return PooledEndpoint(endpoint, limiter, clock=lambda: 0.0, has_answered=has_answered)
