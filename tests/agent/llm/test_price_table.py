"""``--price auto``: rows of the table that is installed, and no network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
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

from promptclimb.agent.config.fields import AUTO, Price
from promptclimb.agent.llm import price_table
from promptclimb.agent.llm.price_table import priced, row_of
from promptclimb.agent.token_usage import TokenUsage
from promptclimb.evaluator.errors import ConfigError

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
    """What tokens cost, in millionths of a dollar."""
    return row_of(URL, name, service_tier=tier, now=NOW).tariff.charge(usage) / 10**6


@pytest.mark.usefixtures("table")
def test_a_row_says_what_tokens_cost() -> None:
    """Each kind at its price; what has none of its own at that of the prompt."""
    usage = TokenUsage(100, 10, cached_tokens=50, cache_written_tokens=20, kept_tokens=5)
    assert charged("plain-1", usage) == 100 + 20
    assert charged("cache-1", usage) == 30 + 5 + 25 + 20
    assert charged("search-1", TokenUsage(1, 1)) == 12_000 + 2


@pytest.mark.usefixtures("table")
def test_a_long_prompt_is_charged_as_one() -> None:
    """Above the step all tokens are dearer, and a reservation that may reach it is too."""
    assert (charged("long-1", TokenUsage(200, 1)), charged("long-1", TokenUsage(201, 1))) == (204, 408)
    row = row_of(URL, "long-1", now=NOW)
    assert row.tariff.most(TokenUsage(201, 1)) == 408 * 10**6
    assert row.about["more_above"] == 200


@pytest.mark.usefixtures("table")
def test_of_prices_that_change_the_dearest_counts() -> None:
    """By the hour, or within a week; one that is months ahead does not count."""
    assert charged("night-1", TokenUsage(1, 1)) == 5
    assert charged("soon-1", TokenUsage(1, 1)) == 10


@pytest.mark.usefixtures("table")
def test_a_service_tier_has_its_price_if_it_is_served() -> None:
    """Flex is charged as flex where the reply says so; a tier without a price is no guess."""
    assert charged("flex-1", TokenUsage(2, 2, service_tier="flex"), "flex") == 3
    assert charged("flex-1", TokenUsage(2, 2), "flex") == 6
    assert charged("plain-1", TokenUsage(2, 2, service_tier="flex"), "flex") == 6
    row = row_of(URL, "flex-1", service_tier="flex", now=NOW)
    assert row.about["service_tiers"] == {"flex": {"in": 0.5, "cached": 0.5, "written": 0.5, "out": 1.0}}
    assert "; flex: $0.5 in, $0.5 cached, $0.5 written, $1 out for a million tokens (" in str(row)
    assert priced(AUTO, URL, "flex-1", "flex")[1] is not None
    with pytest.raises(ConfigError, match=r"no price for the service tier 'priority'.*--price IN/OUT"):
        row_of(URL, "plain-1", service_tier="priority", now=NOW)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("url", "name", "said"),
    [
        (URL, "plane-1", ["no model 'plane-1' of Vendor", "near it are plain-1", "--price IN/OUT"]),
        (URL, "zzz", ["no model 'zzz' of Vendor;", "--price IN/OUT"]),
        ("http://me:pw@10.0.0.1:8000/v1?k=s", "plain-1", ["knows no vendor at http://10.0.0.1:8000/v1;"]),
        (URL, "sound-1", ["no price of text for Vendor's sound-1", "--price IN/OUT"]),
    ],
)
def test_what_the_table_lacks_is_said(url: str, name: str, said: list[str]) -> None:
    """In one line, with names that are near and with what helps; no password is repeated."""
    with pytest.raises(ConfigError) as caught:
        row_of(url, name)
    message = str(caught.value)
    assert all(part in message for part in said)
    assert "\n" not in message
    assert "pw" not in message


@pytest.mark.usefixtures("table")
def test_the_row_is_told() -> None:
    """Provider, model, prices, and which table it is, of what date: the newest price that has begun."""
    row = row_of(URL, "soon-1", now=datetime(2026, 7, 1, tzinfo=UTC))
    assert row.about["table"].startswith("genai-prices ")
    assert {name: value for name, value in row.about.items() if name != "table"} == {
        "table_date": "2026-06-05",
        "provider": "vendor",
        "model": "soon-1",
        "dollars_per_million": {"in": 1, "cached": 1, "written": 1, "out": 9},
        "more_above": None,
    }
    assert str(row).startswith(
        "vendor soon-1: $1 in, $1 cached, $1 written, $9 out for a million tokens (gen"
    )
    assert "more above 200 prompt tokens" in str(row_of(URL, "long-1", now=NOW))


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
        about = row_of(url, name).about
        assert about["provider"] == provider
        assert 0 < about["dollars_per_million"]["in"] < about["dollars_per_million"]["out"]
        assert date(2026, 1, 1) < date.fromisoformat(about["table_date"]) <= datetime.now(UTC).date()


def test_every_row_of_the_bundled_table_bounds_what_it_charges() -> None:
    """Whatever the table holds, a reservation is never below a charge; what is no text is refused."""
    usage = TokenUsage(300_000, 1000, cached_tokens=100_000, cache_written_tokens=50_000, kept_tokens=9)
    rows = 0
    for provider in price_table._table().providers:
        for each in provider.models:
            prices = price_table._in_force(each, NOW, None)
            if (steps := price_table._steps(prices)) is None:
                continue
            tariff = price_table.Tariff(standard=steps)
            assert tariff.charge(usage) <= tariff.most(TokenUsage(300_000, 1000))
            rows += 1
    assert rows > 1000


def test_a_price_by_hand_needs_no_table() -> None:
    """It is what was given; a table without an address to go by is an error."""
    given = Price(prompt=1, completion=2)
    assert priced(given, None, "m") == (given, None)
    assert priced(None, "http://h/v1", "m") == (None, None)
    with pytest.raises(ConfigError, match="there is none here"):
        priced(AUTO, None, "m")
