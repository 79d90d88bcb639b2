"""Prices: rows of the installed price table, service tiers, and costs that endpoints report."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data_snapshot import DataSnapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, PriceVariant, Provider, Tier, TieredPrices
from hypothesis import given
from hypothesis import strategies as st

from promptclimb.agent.llm import price_table
from promptclimb.agent.llm.price_table import TablePrice, find_price
from promptclimb.agent.prices import TokenUsage
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
        "flex-1",
        price("1", "2"),
        price_variants=[PriceVariant(when={"service_tier": "flex"}, prices=price("0.5", "1"))],
    ),
    model("search-1", price("1", "1", requests_kcount=Decimal(12))),
    model("sound-1", ModelPrice(input_audio_mtok=Decimal(1))),
]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small table of one vendor."""
    vendor = Provider(id="vendor", name="Vendor", api_pattern=r"https://api\.vendor\.test", models=MODELS)
    snapshot = DataSnapshot(providers=[vendor], from_auto_update=False)
    monkeypatch.setattr(price_table, "_table", lambda: snapshot)


def auto_price(url: str, name: str) -> TablePrice:
    """The price by the table."""
    price = find_price("auto", url, name)
    assert isinstance(price, TablePrice)
    return price


def charged(name: str, usage: TokenUsage) -> float:
    """The cost of tokens, in millionths of a dollar."""
    return auto_price(URL, name).charge(usage) / 10**6


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
    row = auto_price(URL, "long-1")
    assert row.most(TokenUsage(201, 1)) == 408 * 10**6
    assert row.about["more_above"] == 200


@pytest.mark.usefixtures("table")
def test_an_answer_is_charged_by_the_service_tier_that_its_reply_names() -> None:
    """Asked for flex it may be served as standard; a tier without a price is the standard one."""
    tiers = ("flex", "default", "unknown", None)
    costs = {tier: charged("flex-1", TokenUsage(2, 2, service_tier=tier)) for tier in tiers}
    assert costs == {"flex": 3, "default": 6, "unknown": 6, None: 6}


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize(
    ("url", "name", "parts"),
    [
        (URL, "plane-1", ["no model 'plane-1' of Vendor", "did you mean plain-1?", "price = IN/OUT"]),
        (URL, "zzz", ["no model 'zzz' of Vendor;", "price = IN/OUT"]),
        ("http://me:pw@10.0.0.1:8000/v1?k=s", "plain-1", ["knows no vendor at http://10.0.0.1:8000/v1;"]),
        (URL, "sound-1", ["no text price for Vendor's sound-1", "price = IN/OUT"]),
    ],
)
def test_what_the_table_lacks_is_said(url: str, name: str, parts: list[str]) -> None:
    """In one line, with names that are near and with what helps; no password is repeated."""
    with pytest.raises(ConfigError) as caught:
        auto_price(url, name)
    message = str(caught.value)
    assert all(part in message for part in parts)
    assert "\n" not in message
    assert "pw" not in message


@pytest.mark.usefixtures("table")
def test_the_row_is_described() -> None:
    """Provider, model, prices, and which table it is."""
    row = auto_price(URL, "cache-1")
    assert row.about["table"].startswith("genai-prices ")
    assert {name: value for name, value in row.about.items() if name != "table"} == {
        "provider": "vendor",
        "model": "cache-1",
        "dollars_per_million": {"in": 1, "cached": 0.1, "written": 1.25, "out": 2},
        "more_above": None,
    }
    assert str(row).startswith(
        "vendor cache-1: $1 in, $0.1 cached, $1.25 written, $2 out per million tokens (gen"
    )
    assert "more above 200 prompt tokens" in str(auto_price(URL, "long-1"))


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
        about = auto_price(url, name).about
        assert about["provider"] == provider
        assert 0 < about["dollars_per_million"]["in"] < about["dollars_per_million"]["out"]


@given(usages(), st.integers(0, 2000))
@pytest.mark.usefixtures("table")
def test_no_call_costs_more_than_its_reservation(usage: TokenUsage, more: int) -> None:
    """Whatever of it is cached."""
    bound = TokenUsage(usage.prompt_tokens + more, usage.completion_tokens)
    for row in MODELS[:4]:
        tariff = TablePrice(row, {})
        assert tariff.charge(usage) <= tariff.most(bound)
