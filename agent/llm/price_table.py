"""The price table of ``price="auto"``.

It comes with the installed package genai-prices; nothing is fetched. If a price depends on the hour or
changes within a week, the highest counts. It knows no account discounts, no tools billed by use, and no
service tier set in a vendor's console.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from ...evaluator.errors import ConfigError
from ...evaluator.settings import near
from ..config.fields import AUTO, without_credentials
from ..prices import PICODOLLARS, Price, Tariff, TokenUsage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

PACKAGE = "genai-prices"
AHEAD = timedelta(days=7)
"""A higher price counts so long before it is in force, since a run may take days."""
_TIER = "service_tier"
_AUTO = '`price = "auto"`'
_BY_HAND = "; set its price with `price = IN/OUT`, dollars per million tokens"
_SHOWN = {
    "in": ("input_mtok",),
    "cached": ("cache_read_mtok", "input_mtok"),
    "written": ("cache_write_mtok", "input_mtok"),
    "out": ("output_mtok",),
}
"""The table's names of each shown price; a missing price falls back to the next name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePrice:
    """The price of a row of the table, calculated by genai-prices.

    An answer is charged by the service tier that its endpoint reports, which may differ from the requested
    one; without a report the higher price of the two counts.

    Attributes:
        standard: Every standard price that may hold during a run.
        services: Likewise for other service tiers, by the vendor's name.
        asked: The requested service tier.
        about: The row for the result: table, date, provider, model and prices.
    """

    standard: Sequence[ModelPrice]
    services: Mapping[str, Sequence[ModelPrice]] = field(default_factory=dict)
    asked: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def charge(self, usage: TokenUsage) -> int:
        served = usage.service_tier
        prices = self._possible if served is None else self.services.get(served, self.standard)
        return max(_picodollars(price, usage) for price in prices)

    def most(self, usage: TokenUsage) -> int:
        """Return the highest cost in picodollars, whichever tokens are cached or reasoning, in any tier."""
        return max(
            _picodollars(price, tokens)
            for price in self._possible
            for prompt in {usage.prompt_tokens, *_below(usage.prompt_tokens, _tier_starts(price))}
            for tokens in _extremes(prompt, usage.completion_tokens)
        )

    @property
    def _possible(self) -> list[ModelPrice]:
        return [*self.standard, *(self.services.get(self.asked, ()) if self.asked is not None else ())]

    def __str__(self) -> str:
        about = self.about
        tiers = about.get("service_tiers", {})
        prices_text = _in_words(about["dollars_per_million"])
        prices_text += "".join(f"; {tier}: {_in_words(prices)}" for tier, prices in tiers.items())
        above = f"; more above {about['more_above']:,} prompt tokens" if about["more_above"] else ""
        return (
            f"{about['provider']} {about['model']}: {prices_text} per million tokens{above} "
            f"({about['table']}, newest price of {about['table_date']})"
        )


def _picodollars(price: ModelPrice, usage: TokenUsage) -> int:
    from genai_prices import Usage as GenaiUsage

    counts = GenaiUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_written_tokens,
        cache_write_1h_tokens=usage.cache_1h_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
    )
    dollars = price.calc_price(counts)["total_price"]
    return int((dollars * PICODOLLARS).to_integral_value(ROUND_CEILING))


def _extremes(prompt: int, completion: int) -> list[TokenUsage]:
    """Return the usages that include the most expensive one: the cost is linear."""
    caches = ((0, 0, 0), (prompt, 0, 0), (0, prompt, 0), (0, prompt, prompt))
    return [
        TokenUsage(prompt, completion, *cache, reasoning) for cache in caches for reasoning in (0, completion)
    ]


def _below(prompt: int, starts: Iterable[int]) -> list[int]:
    return [start for start in starts if start < prompt]


def _tier_starts(price: ModelPrice) -> list[int]:
    return sorted({tier.start for value in vars(price).values() for tier in getattr(value, "tiers", ())})


def _in_words(prices: Mapping[str, float]) -> str:
    return ", ".join(f"${dollars:g} {kind}" for kind, dollars in prices.items())


def find_price(
    configured: Price | Literal["auto"] | None,
    base_url: str | None,
    model: str,
    service_tier: str | None = None,
) -> Tariff | None:
    """Return the price that a setting means; raise ConfigError if ``auto`` cannot find one."""
    if configured != AUTO:
        return configured
    if base_url is None:
        raise ConfigError(f"{_AUTO} needs an endpoint with an address{_BY_HAND}")
    return table_price(base_url, model, service_tier=service_tier)


def table_price(
    base_url: str, model: str, *, service_tier: str | None = None, now: datetime | None = None
) -> TablePrice:
    """Return a model's price by the table; raise ConfigError if the table lacks it."""
    now = now or datetime.now(UTC)
    provider, row = _find(_table(), without_credentials(base_url), model)
    standard = _in_force(row, now, None)
    if standard is None:
        raise ConfigError(f"{_AUTO}: {_source()} has no text price for {provider.name}'s {row.id}{_BY_HAND}")
    names = [variant.when[_TIER] for variant in row.price_variants or () if variant.when.keys() == {_TIER}]
    priced = {name: _in_force(row, now, name) for name in names}
    services = {name: prices for name, prices in priced.items() if prices is not None}
    # Flex is cheaper than the standard price wherever it is offered; a higher price must be known.
    if service_tier not in (None, "default", "standard", "flex", *services):
        raise ConfigError(
            f"{_AUTO}: {_source()} has no price for the service tier {service_tier!r} of "
            f"{provider.name}'s {row.id}{_BY_HAND}",
        )
    starts = sorted({start for price in standard for start in _tier_starts(price)})
    about: dict[str, Any] = {
        "table": _source(),
        "table_date": _newest(now.date()).isoformat(),
        "provider": provider.id,
        "model": row.id,
        "dollars_per_million": _dollars(standard),
        "more_above": starts[0] if starts else None,
    }
    if service_tier in services:
        about["service_tiers"] = {service_tier: _dollars(services[service_tier])}
    return TablePrice(standard=standard, services=services, asked=service_tier, about=about)


@functools.cache
def _source() -> str:
    return f"{PACKAGE} {version(PACKAGE)}"


@functools.cache
def _table() -> DataSnapshot:
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    # Not the package's current one, which an embedding program may have updated.
    return DataSnapshot(providers=providers, from_auto_update=False)


def _find(table: DataSnapshot, url: str, model: str) -> tuple[Provider, ModelInfo]:
    try:
        provider = table.find_provider(None, None, url)
    except LookupError:
        raise ConfigError(f"{_AUTO}: {_source()} knows no vendor at {url}{_BY_HAND}") from None
    try:
        return table.find_provider_model(model, provider, None, None)
    except LookupError:
        hint = near(model, [row.id for row in provider.models])
        raise ConfigError(
            f"{_AUTO}: {_source()} has no model {model!r} of {provider.name}{hint}{_BY_HAND}"
        ) from None


def _hours(model: ModelInfo) -> Sequence[int]:
    """Return the hours to look at: all where the price depends on the hour, else the two ends of a day."""
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    conditional = [] if isinstance(model.prices, ModelPrice) else model.prices
    prices = [*conditional, *(model.price_variants or ())]
    return (
        range(24) if any(isinstance(price.constraint, TimeOfDateConstraint) for price in prices) else (0, 23)
    )


def _in_force(model: ModelInfo, now: datetime, tier: str | None) -> list[ModelPrice] | None:
    """Return the prices of each hour of the day, today and in a week; None without a price of text."""
    context = None if tier is None else {_TIER: tier}
    hours = [now + timedelta(hours=hour) for hour in _hours(model)]
    hourly_prices = [
        model.get_prices(moment + later, context) for later in (timedelta(0), AHEAD) for moment in hours
    ]
    prices = [price for index, price in enumerate(hourly_prices) if price not in hourly_prices[:index]]
    return prices if all(None not in (price.input_mtok, price.output_mtok) for price in prices) else None


def _dollars(prices: Sequence[ModelPrice]) -> dict[str, float]:
    """Return the highest price of each kind for short prompts, in dollars per million tokens."""
    return {
        kind: max(_base([getattr(price, name) for name in names]) for price in prices)
        for kind, names in _SHOWN.items()
    }


def _base(values: Sequence[Any]) -> float:
    price = next(value for value in values if value is not None)
    return round(float(price if isinstance(price, Decimal) else price.base), 9)


@functools.cache
def _newest(today: date) -> date:
    """Return the start of the table's newest price in force, the only date it has; else of its first."""
    from genai_prices.types import ModelPrice, StartDateConstraint

    days = [
        price.constraint.start_date
        for provider in _table().providers
        for model in provider.models
        if not isinstance(model.prices, ModelPrice)
        for price in model.prices
        if isinstance(price.constraint, StartDateConstraint)
    ]
    return max((day for day in days if day <= today), default=min(days))
