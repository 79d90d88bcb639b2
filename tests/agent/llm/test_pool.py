"""Several endpoints: a sick one costs nothing, the least loaded is chosen, and breakers open and close."""

from __future__ import annotations

import asyncio
import contextlib
import math
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
    UnusableAnswerError,
)
from promptclimb.agent.events.types import EndpointResumed, EndpointSuspended, Event, RetryScheduled
from promptclimb.agent.llm.ask import EndpointAsker, RetryPolicy
from promptclimb.agent.llm.budget import Budget, Limits
from promptclimb.agent.llm.chat import ChatAnswer, ChatRequest, Client
from promptclimb.agent.llm.limiter import RateLimiter, RateLimits
from promptclimb.agent.llm.pool import (
    FIRST_PAUSE_S,
    HOLD_SHARE,
    LAST_ONE_FAILURES,
    LONGEST_ALONE_S,
    LONGEST_PAUSE_S,
    Breaker,
    Endpoint,
    EndpointPool,
    PooledEndpoint,
)
from promptclimb.agent.prices import NOTHING, TokenUsage
from promptclimb.evaluator.failures import RULES, NextStep
from tests.fakes.clock import run_virtual, virtual_time
from tests.fakes.pools import member
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
    options = {"budget": Budget(Limits()), **listening, **options}
    return EndpointAsker(endpoints, rng=random.Random(0), **options)


@pytest.fixture(scope="module")
def alone() -> Restarted:
    """What a healthy endpoint does alone."""
    return run_virtual(restart_pool([SickChat(None)]))


@pytest.mark.parametrize(("number", "kind"), list(enumerate(SICK)))
def test_a_sick_endpoint_beside_a_healthy_one_costs_nothing(number: int, kind: str, alone: Restarted) -> None:
    """No turn is lost, and it takes at most a fifth longer than with the healthy one alone."""
    chats = [SickChat(None), SickChat(SICK[kind])]
    searched = run_virtual(restart_pool(chats[::-1] if number % 2 else chats))
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


ERRORS: dict[str, Callable[[], ChatError]] = {
    "500": lambda: TransientChatError("x"),
    "429": lambda: RateLimitedError("x", retry_after=1.0),
    "400": lambda: BadRequestError("x", status=400),
    "401": lambda: KeyRejectedError("x", status=401),
    "unusable": lambda: UnusableAnswerError("x", reason="null", usage=TokenUsage(3, 4)),
    "cut": lambda: TransientChatError("x", perhaps_billed=True),
}
BILLED = ("ok", "slow", "hang", "unusable", "cut")
kinds = st.sampled_from([*ERRORS, "ok", "slow", "hang"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(kinds, max_size=20), min_size=1, max_size=3),
    st.integers(1, 6),
    st.none() | st.integers(0, 30),
    st.sets(st.integers(0, 7)),
)
def test_no_faults_leak_a_permit_leave_a_request_waiting_or_overrun_a_budget(
    plans: list[list[str]], concurrency: int, calls: int | None, cancelled: set[int]
) -> None:
    """Whatever fails, hangs or is cancelled: all end, all room is given back, limits hold."""
    billed = 0

    class Client:
        def __init__(self, plan: list[str]) -> None:
            self.plan = list(plan)
            self.in_flight = 0

        async def chat(self, request: ChatRequest) -> ChatAnswer:
            nonlocal billed
            kind = self.plan.pop() if self.plan else "ok"
            billed += kind in BILLED
            self.in_flight += 1
            assert self.in_flight <= concurrency
            try:
                await asyncio.sleep({"slow": 30.0, "hang": 1e6}.get(kind, 1.0))
            finally:
                self.in_flight -= 1
            if kind in ERRORS:
                raise ERRORS[kind]()
            return ChatAnswer(text="x", prompt_tokens=3, completion_tokens=4)

    async def play() -> None:
        budget = Budget(Limits(calls=calls))
        asker = pool(*(Client(plan) for plan in plans), concurrency=concurrency, budget=budget)

        async def restart(number: int) -> None:
            for turn in range(4):
                with contextlib.suppress(RequestFailedError):
                    await asker.ask(request(number * 10 + turn))

        tasks = [asyncio.create_task(restart(number)) for number in range(8)]
        for number in cancelled:
            asyncio.get_running_loop().call_later(number * 3.0, tasks[number].cancel)
        async with asyncio.timeout(7200):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert budget.reserved == NOTHING
        assert billed <= (billed if calls is None else calls)
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


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at 0."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """A new one."""
    return Breaker(clock)


def closed(breaker: Breaker) -> Breaker:
    """It, after a probe that was answered."""
    assert breaker.admit()
    breaker.answered(probe=True)
    breaker.leave(probe=True)
    return breaker


def test_a_new_endpoint_is_asked_by_one_probe_at_a_time(breaker: Breaker) -> None:
    """Until one is answered; then there is no bound."""
    assert (breaker.closed, breaker.due) == (False, True)
    assert breaker.admit()
    assert not breaker.due
    assert breaker.wait_s() == float("inf")
    breaker.leave(probe=True)
    assert breaker.due
    assert breaker.admit()
    assert breaker.answered(probe=True)
    assert (breaker.closed, breaker.wait_s()) == (True, 0)
    assert not breaker.admit()
    assert not breaker.answered(probe=False)


def test_a_failure_opens_it_and_a_probe_decides(breaker: Breaker, clock: Clock) -> None:
    """After the pause one request may go; if it fails the pause is longer, if it is answered it is over."""
    closed(breaker)
    assert breaker.failed(0.0, probe=False) == FIRST_PAUSE_S
    assert (breaker.closed, breaker.wait_s()) == (False, FIRST_PAUSE_S)
    clock.now += FIRST_PAUSE_S
    assert breaker.due
    breaker.admit()
    assert breaker.failed(0.0, probe=True) == 2 * FIRST_PAUSE_S
    breaker.leave(probe=True)
    clock.now += 2 * FIRST_PAUSE_S
    breaker.admit()
    assert breaker.answered(probe=True)
    assert breaker.closed


def test_what_was_under_way_when_it_opened_says_nothing_new(breaker: Breaker) -> None:
    """Ten requests that fail together are one failure, and a late answer does not close it."""
    closed(breaker)
    breaker.failed(0.0, probe=False)
    assert breaker.failed(0.0, probe=False) is None
    assert not breaker.answered(probe=False)
    assert breaker.wait_s() == FIRST_PAUSE_S


def test_the_last_closed_one_has_three_strikes(breaker: Breaker) -> None:
    """No other could be asked; an answer between two failures begins the count again."""
    closed(breaker)
    for _ in range(LAST_ONE_FAILURES - 1):
        assert breaker.failed(1.0, probe=False, last=True) is None
    breaker.answered(probe=False)
    for _ in range(LAST_ONE_FAILURES - 1):
        assert breaker.failed(1.0, probe=False, last=True) is None
    assert breaker.failed(1.0, probe=False, last=True) == FIRST_PAUSE_S


def test_good_and_bad_in_turn_is_asked_ever_more_seldom(breaker: Breaker, clock: Clock) -> None:
    """An answer does not make a failure undone."""
    pauses = []
    for _ in range(8):
        closed(breaker)
        pauses.append(breaker.failed(0.0, probe=False) or 0.0)
        clock.now += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 50 * FIRST_PAUSE_S


def test_many_answers_make_it_good_again(breaker: Breaker) -> None:
    """A stray failure in a hundred answers costs the first pause, each time."""
    closed(breaker)
    for _ in range(5):
        for _ in range(100):
            breaker.answered(probe=False)
        assert breaker.failed(0.0, probe=False) == FIRST_PAUSE_S
        closed(breaker)


def test_while_all_are_open_pauses_are_short(breaker: Breaker, clock: Clock) -> None:
    """The first to come back is to be found soon."""
    for _ in range(20):
        breaker.admit()
        breaker.failed(60.0, probe=True)
        breaker.leave(probe=True)
    assert breaker.wait_s() == 60 * HOLD_SHARE
    assert breaker.wait_s(alone=True) == LONGEST_ALONE_S
    clock.now += LONGEST_ALONE_S
    assert breaker.wait_s(alone=True) == 0


@given(st.lists(st.floats(0, 120), min_size=1, max_size=40))
def test_probes_hold_requests_for_a_small_share_of_the_time(holds: list[float]) -> None:
    """However long they take, all but the last together at most one part in twenty; no pause is for ever."""
    clock = Clock()
    breaker, held = Breaker(clock), 0.0
    for hold in holds:
        clock.now += breaker.wait_s()
        assert held <= clock.now / HOLD_SHARE + 1e-6
        assert breaker.admit()
        clock.now += hold
        held += hold
        pause = breaker.failed(hold, probe=True)
        breaker.leave(probe=True)
        assert pause is not None
        assert pause <= max(LONGEST_PAUSE_S, hold * HOLD_SHARE)


@given(st.lists(st.sampled_from(["answer", "fail", "cancel", "wait"]), max_size=60), st.booleans())
def test_it_never_keeps_everybody_out(steps: list[str], last: bool) -> None:
    """After whatever has happened, a request may go in a bounded time, and a good endpoint ends up closed."""
    clock = Clock()
    breaker = Breaker(clock)
    for step in steps:
        if step == "wait":
            clock.now += 10.0
        elif breaker.wait_s() <= 0:
            probe = breaker.admit()
            if step == "answer":
                breaker.answered(probe=probe)
            elif step == "fail":
                breaker.failed(1.0, probe=probe, last=last)
            breaker.leave(probe=probe)
    assert breaker.wait_s() <= max(LONGEST_PAUSE_S, HOLD_SHARE)
    clock.now += breaker.wait_s()
    breaker.answered(probe=breaker.admit())
    assert breaker.closed


def test_failures_in_a_row_are_counted_until_an_answer(breaker: Breaker) -> None:
    """None at first; what was under way when the circuit opened says nothing."""
    assert breaker.failures == 0
    assert breaker.admit()
    assert breaker.failed(1.0, probe=True) is not None
    breaker.leave(probe=True)
    assert breaker.failures == 1
    assert breaker.answered(probe=False) is False
    assert breaker.failures == 1
    assert closed(breaker).failures == 0


def endpoint(name: str, *took: float, concurrency: int = 4) -> PooledEndpoint:
    """A member that has seen answers, or none."""
    limits, clock = RateLimits(concurrency=concurrency), asyncio.get_running_loop().time
    one = member(RateLimiter(name, limits, clock=clock, rng=random.Random(0)))
    for seconds in took:
        one.breaker.answered(probe=one.breaker.admit())
        one.breaker.leave(probe=True)
        one.limiter.took_s.append(seconds)
    return one


@virtual_time
async def test_equal_endpoints_share_the_work() -> None:
    """The next request goes to the one with fewer requests in flight."""
    first, second = endpoint("first", *[2.0] * 20), endpoint("second", *[2.2] * 20)
    pool = EndpointPool([first, second])
    first.limiter.admit(1)
    assert pool.choose(1) == (0.0, second)
    second.limiter.admit(1)
    second.limiter.admit(1)
    assert pool.choose(1) == (0.0, first)


@virtual_time
async def test_a_slow_endpoint_gets_as_much_work_as_it_can_do() -> None:
    """Its requests count by the time that they take; if the quick one is full, it is used at once."""
    quick, slow = endpoint("quick", *[2.0] * 20), endpoint("slow", *[7.0] * 20)
    pool = EndpointPool([slow, quick])
    for _ in range(3):
        assert pool.choose(1) == (0.0, quick)
        quick.limiter.admit(1)
    assert pool.choose(1) == (0.0, slow)
    slow.limiter.admit(1)
    assert pool.choose(1) == (0.0, quick)
    quick.limiter.admit(1)
    assert pool.choose(1) == (0.0, slow)


@virtual_time
async def test_a_slow_endpoint_that_is_idle_is_looked_at_again() -> None:
    """As seldom as a probe would be: it may have become quick."""
    quick, slow = endpoint("quick", *[2.0] * 20), endpoint("slow", *[20.0] * 20)
    pool = EndpointPool([quick, slow])
    await asyncio.sleep(20.0 * HOLD_SHARE - 1)
    quick.limiter.admit(1)
    assert pool.choose(1)[1] is quick
    await asyncio.sleep(2)
    assert pool.choose(1)[1] is slow


@virtual_time
async def test_what_has_failed_is_avoided_while_there_is_hope_elsewhere() -> None:
    """A request that has failed elsewhere makes no probe while an endpoint answers."""
    first, second, new = endpoint("first", 2.0), endpoint("second", 2.0), endpoint("new")
    pool = EndpointPool([first, second, new])
    assert pool.choose(1)[1] is new
    assert pool.choose(1, avoid=[first])[1] is second
    assert EndpointPool([first, new]).choose(1, avoid=[first])[1] is new
    assert EndpointPool([first]).choose(1, avoid=[first])[1] is first


@virtual_time
async def test_patience_ends_only_where_another_may_answer() -> None:
    """A probe gets a few times what the others take, more each time; an endpoint that answers gets more."""
    quick, new, slow = endpoint("quick", *[2.0] * 20), endpoint("new"), endpoint("slow", *[30.0] * 20)
    assert math.isinf(EndpointPool([quick]).patience_s(quick, probe=False))
    pool = EndpointPool([quick, new])
    first = pool.patience_s(new, probe=True)
    assert 4 <= first <= 5
    assert new.breaker.admit()
    new.breaker.failed(first, probe=True)
    assert pool.patience_s(new, probe=True) > 1.9 * first
    assert math.isinf(pool.patience_s(quick, probe=False))
    assert EndpointPool([quick, slow]).patience_s(slow, probe=False) == 120
    assert EndpointPool([quick, endpoint("other")]).patience_s(quick, probe=False) == 10


plans = st.lists(
    st.tuples(st.floats(0, 5), st.floats(0, 5), st.sampled_from(["answer", "fail", "refuse"]), st.booleans()),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(plans, st.integers(1, 3), st.integers(2, 3))
def test_nobody_waits_for_ever_and_no_permit_leaks(
    plan: list[tuple[float, float, str, bool]], size: int, count: int
) -> None:
    """Whatever happens at all endpoints but a healthy one: all get a permit, and all give it back."""

    async def play() -> None:
        members = [endpoint(str(number), concurrency=size) for number in range(count)]
        pool, healthy = EndpointPool(members), members[0]

        async def restart(start: float, length: float, outcome: str) -> None:
            await asyncio.sleep(start)
            tried: list[PooledEndpoint] = []
            for _ in range(3):
                one, permit = await pool.acquire(1, avoid=tried)
                with permit:
                    assert one.limiter.in_flight <= size
                    await asyncio.sleep(length)
                    if one is healthy or outcome == "answer":
                        one.breaker.answered(probe=permit.probe)
                        one.limiter.succeeded(permit, 1)
                        return
                    if outcome == "refuse":
                        one.limiter.rate_limited(permit, 3600.0)
                    error = TransientChatError("no")
                    error.took_s = length
                    pool.suspend(one, error, probe=permit.probe)
                    tried.append(one)

        tasks = [asyncio.create_task(restart(start, length, outcome)) for start, length, outcome, _ in plan]
        for (start, length, _, cancelled), task in zip(plan, tasks, strict=True):
            if cancelled:
                asyncio.get_running_loop().call_later((start + length) / 2, task.cancel)
        async with asyncio.timeout(1000):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert pool.waiting == 0
        assert {one.limiter.in_flight for one in members} == {0}
        assert not any(task.cancelled() for task, each in zip(tasks, plan, strict=True) if not each[3])

    run_virtual(play())
