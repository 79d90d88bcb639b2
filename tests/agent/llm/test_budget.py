"""Budgets: exact, whatever is in flight, cancelled or killed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.errors import BudgetSpentError
from promptclimb.agent.llm.budget import Budget, Limits, ScorerBudget
from promptclimb.agent.prices import NOTHING, Price, Spent, TokenUsage, cost
from tests.fakes.clock import run_virtual, virtual_time

PRICE = Price(prompt=0.15, completion=0.6)


@virtual_time
async def test_without_a_limit_on_cost_no_budget_waits_for_another() -> None:
    """The scorer's requests go on while the LLM's wait for an answer; with one, they stand in one line."""
    for cost_usd, waits in ((None, False), (1.0, True)):
        scorer = ScorerBudget(Limits(cost_usd=cost_usd))
        llm = Budget(Limits(tokens=100, cost_usd=cost_usd), shares_cost_with=scorer)
        first = await llm.reserve(TokenUsage(30, 50))
        second = asyncio.create_task(llm.reserve(TokenUsage(30, 50)))
        await asyncio.sleep(1)
        of_scorer = asyncio.create_task(scorer.reserve(TokenUsage(1, 1)))
        await asyncio.sleep(1)
        assert not second.done()
        assert of_scorer.done() != waits
        llm.settle(first)
        await second
        of_scorer.cancel()


@virtual_time
async def test_what_is_in_flight_is_waited_for_not_counted_as_spent() -> None:
    """A reservation that turns out cheap makes room; one that does not ends the run."""
    budget = Budget(Limits(tokens=100))
    first = await budget.reserve(TokenUsage(30, 50))
    waiting = asyncio.create_task(budget.reserve(TokenUsage(30, 50)))
    await asyncio.sleep(1)
    assert not waiting.done()
    budget.settle(first, Spent(calls=1, prompt_tokens=10, completion_tokens=5))
    second = await waiting
    hopeless = asyncio.create_task(budget.reserve(TokenUsage(30, 50)))
    await asyncio.sleep(1)
    budget.settle(second, Spent(calls=1, prompt_tokens=30, completion_tokens=50))
    with pytest.raises(BudgetSpentError, match="100 tokens"):
        await hopeless
    assert budget.left() == {"tokens": 5}


@virtual_time
async def test_a_limit_is_named_in_plain_words() -> None:
    """One call, one token, one minute; several limits at once are all named, and can be asked for."""
    budget = Budget(Limits(calls=1, tokens=1, minutes=1), Spent(calls=1, prompt_tokens=1))
    with pytest.raises(BudgetSpentError) as caught:
        await budget.reserve(TokenUsage(1, 1))
    assert str(caught.value) == "the limits of 1 call and 1 token are reached"
    assert caught.value.limits == ("calls", "tokens")
    near = Budget(Limits(calls=1, tokens=9, cost_usd=1e-6), Spent(calls=1, prompt_tokens=8))
    assert str(await refusal(near, TokenUsage(1, 1), PRICE)) == (
        "the limit of 1 call is reached, and the next request may exceed the limit of 9 tokens"
    )
    assert str(budget.minutes_spent()) == "the limit of 1 minute is reached"
    assert budget.minutes_spent().limits == ("minutes",)


@virtual_time
async def test_a_reservation_bounds_what_cached_tokens_may_cost() -> None:
    """By hand, a cache may even be dearer than the rest."""
    price = Price(prompt=1, cached=5, completion=2)
    assert cost(TokenUsage(100, 10, cached_tokens=40), price) == (60 + 200 + 20) * 10**6
    reserved = await Budget(Limits(cost_usd=1.0)).reserve(TokenUsage(100, 10), price)
    assert reserved.estimated_picodollars == (500 + 20) * 10**6


steps = st.lists(
    st.tuples(
        st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.floats(0, 5), st.floats(0, 5),
        st.sampled_from(["answered", "failed", "cut_off", "cancelled"]),
    ),
    max_size=40,
)  # fmt: skip


@given(steps, st.integers(0, 20), st.integers(0, 800))
def test_no_interleaving_overruns_a_limit_or_leaks(
    plan: list[tuple[int, int, float, float, float, str]], calls: int, tokens: int
) -> None:
    """Concurrent attempts that succeed, fail, are cut off or cancelled: the limits hold at every moment."""

    async def play() -> None:
        budget = Budget(Limits(calls=calls, tokens=tokens))

        def check() -> None:
            total = budget.spent.plus(budget.reserved)
            assert total.calls <= calls
            assert total.tokens_at_most <= tokens

        async def attempt(
            prompt: int, answer: int, share: float, start: float, length: float, end: str
        ) -> None:
            await asyncio.sleep(start)
            reserved = await budget.reserve(TokenUsage(prompt, answer))
            used = NOTHING
            try:
                check()
                await asyncio.sleep(length)
                if end == "answered":
                    used = Spent(calls=1, prompt_tokens=prompt, completion_tokens=int(answer * share))
                elif end == "cut_off":
                    used = reserved
            finally:
                budget.settle(reserved, used)
                check()

        tasks = [asyncio.create_task(attempt(*step)) for step in plan]
        rng = random.Random(0)
        for step, task in zip(plan, tasks, strict=True):
            if step[5] == "cancelled":
                asyncio.get_running_loop().call_later(rng.uniform(0, 10), task.cancel)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, AssertionError):
                raise result
        assert budget.reserved == NOTHING
        check()

    run_virtual(play())


LITTLE = TokenUsage(1, 1)
USED: dict[str, Any] = {
    "calls": 7, "failed_calls": 2, "retries": 1, "prompt_tokens": 100, "completion_tokens": 30,
    "picodollars": 5_000_000, "estimated_tokens": 11, "estimated_picodollars": 3_000_000, "active_s": 30.0,
}  # fmt: skip


def answered(limits: Limits) -> Budget:
    """A budget that has settled nine answers, so that more than one request may go at once."""
    budget = Budget(limits)
    budget.settle(NOTHING, Spent(calls=9))
    return budget


async def refusal(budget: Budget, tokens: TokenUsage = LITTLE, price: Price | None = None) -> Any:
    """The error that a reservation meets."""
    with pytest.raises(BudgetSpentError) as caught:
        await budget.reserve(tokens, price)
    return caught.value


@virtual_time
async def test_what_is_left_is_what_the_limits_leave() -> None:
    """Of each limit that is set, estimates taken for spent, and never less than nothing."""
    limits = Limits(calls=9, tokens=200, cost_usd=0.00001, minutes=2)
    budget = Budget(limits, Spent(**USED))
    await asyncio.sleep(15)
    assert budget.left() == {"calls": 2, "tokens": 59, "cost_usd": 2e-6, "minutes": 1.25}
    assert budget.left_s() == 75.0
    assert budget.spent == Spent(**{**USED, "active_s": 45.0})
    over = Budget(Limits(calls=1, tokens=1, cost_usd=1e-9, minutes=0.1), Spent(**USED))
    assert over.left() == {"calls": 0, "tokens": 0, "cost_usd": 0.0, "minutes": 0.0}
    free = Budget(Limits(), Spent(**USED))
    assert (free.left(), free.left_s()) == ({}, None)


@virtual_time
async def test_a_limit_may_be_used_up_to_the_last() -> None:
    """A call, a token, a picodollar; what is reached is named."""
    calls = Budget(Limits(calls=2), Spent(calls=1))
    calls.settle(await calls.reserve(TokenUsage(1, 1)), Spent(calls=1))
    assert (await refusal(calls)).limits == ("calls",)
    tokens = Budget(Limits(tokens=100), Spent(prompt_tokens=50, estimated_tokens=10))
    tokens.settle(await tokens.reserve(TokenUsage(20, 20)))
    assert (await refusal(tokens, TokenUsage(21, 20))).limits == ("tokens",)
    money = Budget(Limits(cost_usd=0.0000165))
    money.settle(await money.reserve(TokenUsage(30, 20), PRICE))
    error = await refusal(money, TokenUsage(31, 20), PRICE)
    assert (error.limits, str(error)) == (
        ("cost_usd",),
        "the next request may exceed the limit of 0.0000165 US dollars",
    )


@virtual_time
async def test_the_time_is_checked_at_every_gate() -> None:
    """Before a reservation, for whoever waits, and where no LLM is asked."""
    budget = Budget(Limits(calls=1, minutes=0.5))
    reserved = await budget.reserve(TokenUsage(1, 1))
    waiting = asyncio.ensure_future(budget.reserve(TokenUsage(1, 1)))
    await asyncio.sleep(29)
    budget.check_time()
    await asyncio.sleep(1)
    with pytest.raises(BudgetSpentError, match=r"limit of 0\.5 minutes is reached") as caught:
        budget.check_time()
    assert caught.value.limits == ("minutes",)
    budget.settle(reserved)
    with pytest.raises(BudgetSpentError, match="minutes"):
        await waiting
    assert (await refusal(budget)).limits == ("minutes",)


@virtual_time
async def test_reservations_are_served_in_order_and_none_overtakes() -> None:
    """A small one behind a large one waits for it, and one that has gone is not waited for."""
    budget, order = answered(Limits(tokens=100)), list[str]()

    async def take(name: str, tokens: int) -> Spent:
        reserved = await budget.reserve(TokenUsage(tokens, 0))
        order.append(name)
        return reserved

    first = await take("first", 60)
    large, gone, small, last = (
        asyncio.ensure_future(take(name, tokens))
        for name, tokens in (("large", 70), ("gone", 90), ("small", 10), ("last", 20))
    )
    await asyncio.sleep(1)
    assert order == ["first"]
    gone.cancel()
    await asyncio.sleep(1)
    budget.settle(first)
    await asyncio.sleep(1)
    assert order == ["first", "large", "small", "last"]
    assert budget.reserved.estimated_tokens == 100
    for task in (large, small, last):
        budget.settle(task.result())
    assert budget.reserved == NOTHING
