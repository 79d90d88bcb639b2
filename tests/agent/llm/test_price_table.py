"""Prices: rows of the installed price table, service tiers, and costs that endpoints report."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from promptclimb.agent.config.fields import AUTO
from promptclimb.agent.llm import price_table
from promptclimb.agent.llm.price_table import TablePrice, find_price, table_price
from promptclimb.agent.prices import Price, TokenUsage
from promptclimb.evaluator.errors import ConfigError
from tests.agent.test_prices import usages

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
URL = "https://api.vendor.test/v1"


def price(dollars_in: str, dollars_out: str, **more: Any) -> ModelPrice:
    """What a row says."""
    return ModelPrice(input_mtok=Decimal(dollars_in), output_mtok=Decimal(dollars_out), **more)


def model(name: str, prices: Any, **more: Any) -> ModelInfo:
    """A row."""
    return ModelInfo(id=name, match=ClauseEquals(equals=name), prices=prices, **more)


MODELS = [
    model("plain-1", price("1", "2")),
    model("cache-1", price("1", "2", cache_read_mtok=Decimal("0.1"), cache_write_mtok=Decimal("1.25"))),
    model(
        "long-1",
        ModelPrice(
            input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(start=200, price=Decimal(2))]),
            output_mtok=TieredPrices(base=Decimal(4), tiers=[Tier(start=200, price=Decimal(6))]),
        ),
    ),
    model(
        "night-1",
        [
            ConditionalPrice(prices=price("1", "2")),
            ConditionalPrice(
                constraint=TimeOfDateConstraint(time(1, tzinfo=UTC), time(4, tzinfo=UTC)),
                prices=price("3", "2"),
            ),
        ],
    ),
    model(
        "soon-1",
        [
            ConditionalPrice(prices=price("1", "3")),
            ConditionalPrice(constraint=StartDateConstraint(date(2026, 5, 1)), prices=price("1", "2")),
            ConditionalPrice(constraint=StartDateConstraint(date(2026, 6, 5)), prices=price("1", "9")),
            ConditionalPrice(constraint=StartDateConstraint(date(2027, 1, 1)), prices=price("50", "90")),
        ],
    ),
    model(
        "flex-1",
        price("1", "2"),
        price_variants=[PriceVariant(when={"service_tier": "flex"}, prices=price("0.5", "1"))],
    ),
    model("search-1", price("1", "1", requests_kcount=Decimal(12))),
    model("sound-1", ModelPrice(input_audio_mtok=Decimal(1))),
]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small table of one vendor."""
    vendor = Provider(id="vendor", name="Vendor", api_pattern=r"https://api\.vendor\.test", models=MODELS)
    snapshot = DataSnapshot(providers=[vendor], from_auto_update=False)
    monkeypatch.setattr(price_table, "_table", lambda: snapshot)
    price_table._newest.cache_clear()
    yield
    price_table._newest.cache_clear()


def charged(name: str, usage: TokenUsage, tier: str | None = None) -> float:
    """The cost of tokens, in millionths of a dollar."""
    return table_price(URL, name, service_tier=tier, now=NOW).charge(usage) / 10**6


@pytest.mark.usefixtures("table")
def test_a_row_says_what_tokens_cost() -> None:
    """Each kind at its price; what has none of its own at that of the prompt."""
    usage = TokenUsage(100, 10, cached_tokens=50, cache_written_tokens=20, cache_1h_tokens=5)
    assert charged("plain-1", usage) == 100 + 20
    assert charged("cache-1", usage) == 30 + 5 + 25 + 20
    assert charged("search-1", TokenUsage(1, 1)) == 12_000 + 2


@pytest.mark.usefixtures("table")
def test_a_long_prompt_is_charged_as_one() -> None:
    """Above the threshold all tokens cost more, and so does a reservation that may reach it."""
    assert (charged("long-1", TokenUsage(200, 1)), charged("long-1", TokenUsage(201, 1))) == (204, 408)
    row = table_price(URL, "long-1", now=NOW)
    assert row.most(TokenUsage(201, 1)) == 408 * 10**6
    assert row.about["more_above"] == 200


@pytest.mark.usefixtures("table")
def test_of_prices_that_change_the_highest_counts() -> None:
    """By the hour, or within a week; one that is months ahead does not count."""
    assert charged("night-1", TokenUsage(1, 1)) == 5
    assert charged("soon-1", TokenUsage(1, 1)) == 10


@pytest.mark.usefixtures("table")
def test_a_service_tier_has_its_price_if_it_is_served() -> None:
    """Flex is charged as flex where the reply says so; a tier without a price is no guess."""
    assert charged("flex-1", TokenUsage(2, 2, service_tier="flex"), "flex") == 3
    assert charged("flex-1", TokenUsage(2, 2), "flex") == 6
    assert charged("plain-1", TokenUsage(2, 2, service_tier="flex"), "flex") == 6
    row = table_price(URL, "flex-1", service_tier="flex", now=NOW)
    assert row.about["service_tiers"] == {"flex": {"in": 0.5, "cached": 0.5, "written": 0.5, "out": 1.0}}
    assert "; flex: $0.5 in, $0.5 cached, $0.5 written, $1 out per million tokens (" in str(row)
    assert isinstance(find_price(AUTO, URL, "flex-1", "flex"), TablePrice)
    with pytest.raises(ConfigError, match=r"no price for the service tier 'priority'.*price = IN/OUT"):
        table_price(URL, "plain-1", service_tier="priority", now=NOW)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("url", "name", "said"),
    [
        (URL, "plane-1", ["no model 'plane-1' of Vendor", "did you mean plain-1?", "price = IN/OUT"]),
        (URL, "zzz", ["no model 'zzz' of Vendor;", "price = IN/OUT"]),
        ("http://me:pw@10.0.0.1:8000/v1?k=s", "plain-1", ["knows no vendor at http://10.0.0.1:8000/v1;"]),
        (URL, "sound-1", ["no text price for Vendor's sound-1", "price = IN/OUT"]),
    ],
)
def test_what_the_table_lacks_is_said(url: str, name: str, said: list[str]) -> None:
    """In one line, with names that are near and with what helps; no password is repeated."""
    with pytest.raises(ConfigError) as caught:
        table_price(url, name)
    message = str(caught.value)
    assert all(part in message for part in said)
    assert "\n" not in message
    assert "pw" not in message


@pytest.mark.usefixtures("table")
def test_the_row_is_described() -> None:
    """Provider, model, prices, and which table it is, of what date: the newest price that has begun."""
    row = table_price(URL, "soon-1", now=datetime(2026, 7, 1, tzinfo=UTC))
    assert row.about["table"].startswith("genai-prices ")
    assert {name: value for name, value in row.about.items() if name != "table"} == {
        "table_date": "2026-06-05",
        "provider": "vendor",
        "model": "soon-1",
        "dollars_per_million": {"in": 1, "cached": 1, "written": 1, "out": 9},
        "more_above": None,
    }
    assert str(row).startswith("vendor soon-1: $1 in, $1 cached, $1 written, $9 out per million tokens (gen")
    assert "more above 200 prompt tokens" in str(table_price(URL, "long-1", now=NOW))


def test_the_bundled_table_knows_the_large_vendors_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses lead to providers and names to rows, without a connection."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for url, name, provider in [
        ("https://api.openai.com/v1", "gpt-4o-mini", "openai"),
        ("https://api.anthropic.com/v1", "claude-haiku-4-5", "anthropic"),
        ("https://openrouter.ai/api/v1", "openai/gpt-4o-mini", "openrouter"),
        ("https://me.openai.azure.com/openai/v1", "gpt-4o-mini", "azure"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash", "google"),
        ("https://api.mistral.ai/v1", "mistral-small-latest", "mistral"),
    ]:
        about = table_price(url, name).about
        assert about["provider"] == provider
        assert 0 < about["dollars_per_million"]["in"] < about["dollars_per_million"]["out"]
        assert date(2026, 1, 1) < date.fromisoformat(about["table_date"]) <= datetime.now(UTC).date()


@pytest.mark.slow
def test_every_row_of_the_bundled_table_bounds_what_it_charges() -> None:
    """Whatever the table holds, a reservation is never below a charge; what is no text is refused."""
    usage = TokenUsage(300_000, 1000, cached_tokens=100_000, cache_written_tokens=50_000, cache_1h_tokens=9)
    rows = 0
    for provider in price_table._table().providers:
        for each in provider.models:
            prices = price_table._in_force(each, NOW, None)
            if prices is None:
                continue
            price = TablePrice(standard=prices)
            assert price.charge(usage) <= price.most(TokenUsage(300_000, 1000))
            rows += 1
    assert rows > 1000


def test_a_price_by_hand_needs_no_table() -> None:
    """It is what was given; a table without an address to go by is an error."""
    given = Price(prompt=1, completion=2)
    assert find_price(given, None, "m") == given
    assert find_price(None, "http://h/v1", "m") is None
    with pytest.raises(ConfigError, match="needs an endpoint with an address"):
        find_price(AUTO, None, "m")


LONG = ModelPrice(
    input_mtok=TieredPrices(base=Decimal(10), tiers=[Tier(start=1000, price=Decimal(20))]),
    output_mtok=TieredPrices(base=Decimal(30), tiers=[Tier(start=1000, price=Decimal(45))]),
)
FLEX = price("5", "15")
ANY = ModelPrice(
    input_mtok=TieredPrices(base=Decimal(7), tiers=[Tier(start=1000, price=Decimal(3))]),
    output_mtok=Decimal(1),
    output_reasoning_mtok=Decimal(4),
    cache_write_mtok=Decimal(8),
    cache_write_1h_mtok=Decimal(9),
    cache_read_mtok=Decimal(2),
    requests_kcount=Decimal("0.001"),
)


def test_an_answer_is_charged_as_it_was_served() -> None:
    """Asked for flex it may be served as standard; without a report the higher price of the two counts."""
    priority = (price("90", "90"),)
    tariff = TablePrice(standard=(LONG,), services={"flex": (FLEX,), "priority": priority}, asked="flex")
    charges = {
        tier: tariff.charge(TokenUsage(10, 0, service_tier=tier)) // 10**6
        for tier in ("flex", "default", "priority", "unknown", None)
    }
    assert charges == {"flex": 50, "default": 100, "priority": 900, "unknown": 100, None: 100}


@settings(max_examples=60, deadline=None)
@given(
    usages(), st.sampled_from([None, "flex", "default"]), st.integers(0, 2000), st.sampled_from([LONG, ANY])
)
def test_no_call_costs_more_than_its_reservation(
    usage: TokenUsage, tier: str | None, more: int, standard: ModelPrice
) -> None:
    """Nor with fewer tokens, which may be in another price tier."""
    tariff = TablePrice(standard=(standard,), services={"flex": (FLEX,)}, asked="flex")
    bound = TokenUsage(usage.prompt_tokens + more, usage.completion_tokens)
    assert tariff.charge(replace(usage, service_tier=tier)) <= tariff.most(bound)
