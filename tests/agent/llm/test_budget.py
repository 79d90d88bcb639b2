"""Budgets: exact, whatever is in flight, cancelled or killed."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.config.fields import Price
from promptclimb.agent.errors import BudgetSpentError
from promptclimb.agent.llm.budget import Budget, Limits, ScorerBudget
from promptclimb.agent.prices import NOTHING, Spent, TokenUsage, cost
from tests.fakes.clock import run_virtual, virtual_time

PRICE = Price(prompt=0.15, completion=0.6)


def test_money_is_exact() -> None:
    """Prices in dollars for a million tokens, counted in whole picodollars."""
    assert cost(TokenUsage(1_000_000, 1_000_000), PRICE) == 750_000_000_000
    assert (
        sum(cost(TokenUsage(1, 0), PRICE) for _ in range(10)) == cost(TokenUsage(10, 0), PRICE) == 1_500_000
    )
    assert cost(TokenUsage(5, 5), None) == 0


@virtual_time
async def test_a_limit_on_calls_is_exact() -> None:
    """As many as allowed, then an error that names the limit."""
    budget = Budget(Limits(calls=3))
    for _ in range(3):
        budget.settle(await budget.reserve(TokenUsage(1, 1)), Spent(calls=1))
    with pytest.raises(BudgetSpentError, match="3 calls") as caught:
        await budget.reserve(TokenUsage(1, 1))
    assert caught.value.limit == "calls"
    assert budget.left().calls == 0


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
    assert budget.left().tokens == 5


@virtual_time
async def test_a_limit_holds_over_earlier_stretches() -> None:
    """What was used before a resume counts, attempts without a bill with the most they can have cost."""
    before = Spent(calls=4, prompt_tokens=10, estimated_tokens=70, active_s=50.0)
    budget = Budget(Limits(calls=5, tokens=100, minutes=1), before)
    assert (budget.left().calls, budget.left().tokens, budget.left_s()) == (1, 20, 10.0)
    await asyncio.sleep(10)
    with pytest.raises(BudgetSpentError) as caught:
        await budget.reserve(TokenUsage(1, 1))
    assert caught.value.limit == "minutes"


@virtual_time
async def test_a_limit_on_money_is_never_exceeded() -> None:
    """The most that an attempt can cost has to fit."""
    budget = Budget(Limits(cost_usd=0.001))
    for _ in range(3):
        reserved = await budget.reserve(TokenUsage(1000, 500), PRICE)
        budget.settle(reserved, Spent(calls=1, picodollars=cost(TokenUsage(900, 200), PRICE)))
    assert budget.spent.cost_usd == 0.000765
    with pytest.raises(BudgetSpentError, match=r"0\.001 US dollars") as caught:
        await budget.reserve(TokenUsage(1000, 500), PRICE)
    assert caught.value.limit == "cost"


@virtual_time
async def test_a_limit_is_named_in_plain_words() -> None:
    """One call, one token, one minute; several limits at once are all named, and can be asked for."""
    one = Budget(Limits(calls=1, tokens=1, minutes=1), Spent(calls=1, prompt_tokens=1))
    with pytest.raises(BudgetSpentError) as caught:
        await one.reserve(TokenUsage(1, 1))
    assert str(caught.value) == (
        "the limits of 1 call and 1 token (the next request may need more than is left) are reached"
    )
    assert (caught.value.limit, caught.value.limits) == ("calls", ("calls", "tokens"))
    assert str(one.minutes_spent()) == "the limit of 1 minute is reached"
    assert one.minutes_spent().limits == ("minutes",)
    with pytest.raises(BudgetSpentError, match=r"^the limit of 1 call is reached$"):
        await Budget(Limits(calls=1), Spent(calls=1)).reserve(TokenUsage(1, 1))


@virtual_time
async def test_a_reservation_bounds_what_cached_tokens_may_cost() -> None:
    """By hand, a cache may even be dearer than the rest."""
    price = Price(prompt=1, cached=5, completion=2)
    assert cost(TokenUsage(100, 10, cached_tokens=40), price) == (60 + 200 + 20) * 10**6
    reserved = await Budget(Limits(cost_usd=1.0)).reserve(TokenUsage(100, 10), price)
    assert reserved.estimated_picodollars == (500 + 20) * 10**6


def test_a_reported_cost_is_the_cost() -> None:
    """Whatever the price says, and without one."""
    reported = TokenUsage(100, 10, vendor_picodollars=7)
    assert cost(reported, PRICE) == cost(reported, None) == 7


steps = st.lists(
    st.tuples(
        st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), st.floats(0, 5), st.floats(0, 5),
        st.sampled_from(["answered", "failed", "cut_off", "cancelled"]),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
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

        tasks = [asyncio.create_task(attempt(*each)) for each in plan]
        rng = random.Random(0)
        for each, task in zip(plan, tasks, strict=True):
            if each[5] == "cancelled":
                asyncio.get_running_loop().call_later(rng.uniform(0, 10), task.cancel)
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, AssertionError):
                raise result
        assert budget.reserved == NOTHING
        check()

    run_virtual(play())


@virtual_time
async def test_a_storm_of_cancellations_leaks_nothing() -> None:
    """Two thousand tasks, half of them cancelled at random: in the end exactly the limit was used."""
    budget, rng, used = Budget(Limits(calls=500)), random.Random(0), 0

    async def attempt() -> None:
        nonlocal used
        await asyncio.sleep(rng.uniform(0, 1))
        reserved = await budget.reserve(TokenUsage(1, 1))
        done = NOTHING
        try:
            await asyncio.sleep(rng.uniform(0, 1))
            done = Spent(calls=1)
            used += 1
        finally:
            budget.settle(reserved, done)

    tasks = [asyncio.create_task(attempt()) for _ in range(2000)]
    for task in rng.sample(tasks, 1000):
        asyncio.get_running_loop().call_later(rng.uniform(0, 2), task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert budget.reserved == NOTHING
    assert budget.spent.calls == used == 500
