"""Prices per token are exact and never rounded down."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.prices import Price, TokenUsage, per_token

prices = st.integers(0, 10**8)


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    """Tokens of every kind, each a part of its sum."""
    prompt, completion = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**5))
    cached = draw(st.integers(0, prompt))
    written = draw(st.integers(0, prompt - cached))
    kept = draw(st.integers(0, written))
    return TokenUsage(prompt, completion, cached, written, kept)


def test_six_decimals_are_exact_and_finer_ones_are_rounded_up() -> None:
    """A cent of a cent for a million tokens is a hundred picodollars a token."""
    assert per_token(0.15) == 150_000
    assert per_token(0.000001) == 1
    assert per_token(Decimal("0.0833333333333333")) == 83_334
    assert per_token(Decimal("0.18000000000000002")) == 180_000
    assert per_token(1e-7) == 1
    assert per_token(0) == 0


def test_each_kind_of_token_has_its_price() -> None:
    """Cached tokens are part of the prompt; tokens written to the cache cost as much as others."""
    usage = TokenUsage(100, 7, cached_tokens=50, cache_written_tokens=30, cache_1h_tokens=5)
    price = Price(prompt=10e-6, cached=1e-6, completion=60e-6)
    assert price.charge(usage) == 50 * 10 + 50 * 1 + 7 * 60


@given(usages(), prices, prices, prices)
def test_no_division_of_the_tokens_costs_more_than_the_most(
    usage: TokenUsage, prompt: int, cached: int, completion: int
) -> None:
    """So a reservation holds, whatever a cache does."""
    price = Price(prompt=prompt / 1e6, cached=cached / 1e6, completion=completion / 1e6)
    assert price.charge(usage) <= price.most(TokenUsage(usage.prompt_tokens, usage.completion_tokens))
