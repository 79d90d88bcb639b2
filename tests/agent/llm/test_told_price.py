"""A price is corrected by what its endpoint tells."""

from __future__ import annotations

from promptclimb.agent.config.fields import Price
from promptclimb.agent.llm.told_price import ToldPrice
from promptclimb.agent.token_usage import TokenUsage

GIVEN = Price(prompt=1.0, completion=2.0)


def told(prompt: int, completion: int, picodollars: int | None) -> TokenUsage:
    """What an answer was billed for."""
    return TokenUsage(prompt, completion, told_picodollars=picodollars)


def test_a_cost_that_the_price_explains_changes_nothing() -> None:
    """Nor does one that is not told."""
    price = ToldPrice(GIVEN)
    for usage in (told(100, 50, None), told(100, 50, GIVEN.charge(told(100, 50, None))), told(0, 0, 5)):
        price.learn(usage)
    assert price.most(TokenUsage(100, 50)) == GIVEN.most(TokenUsage(100, 50))


def test_a_higher_cost_makes_every_request_as_many_times_dearer() -> None:
    """Though that one was short, and what was set aside for it had been enough."""
    price = ToldPrice(GIVEN)
    price.learn(told(100, 50, 3 * GIVEN.charge(told(100, 50, None))))
    price.learn(told(100, 50, 2 * GIVEN.charge(told(100, 50, None))))
    assert price.most(TokenUsage(100, 500)) == 3 * GIVEN.most(TokenUsage(100, 500))
    assert price.charge(TokenUsage(1, 1)) == GIVEN.charge(TokenUsage(1, 1))


def test_a_price_of_nothing_is_corrected_by_the_token() -> None:
    """There is nothing to multiply."""
    price = ToldPrice(Price(prompt=0.0, completion=0.0))
    price.learn(told(100, 50, 450))
    assert price.most(TokenUsage(100, 500)) == 1800
