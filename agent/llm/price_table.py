"""The price table of ``price="auto"``.

It comes with the installed package genai-prices; nothing is fetched. It knows no account discounts, no tools
billed by use, and no service tier set in a vendor's console.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from ...evaluator.errors import ConfigError
from ...evaluator.settings import near
from ..config.fields import AUTO, without_credentials
from ..prices import PICODOLLARS, Price, Tariff, TokenUsage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, Provider

PACKAGE = "genai-prices"
_AUTO = '`price = "auto"`'
_BY_HAND = "; set its price with `price = IN/OUT`, dollars per million tokens"
_SHOWN = {
    "in": ("input_mtok",),
    "cached": ("cache_read_mtok", "input_mtok"),
    "written": ("cache_write_mtok", "input_mtok"),
    "out": ("output_mtok",),
}
"""The table's names of each shown price; a missing price falls back to the next name."""


@dataclass(frozen=True, slots=True)
class TablePrice:
    """The price of a row of the table, calculated by genai-prices.

    An answer is charged by the prices in force when it comes, of the service tier that its endpoint reports.

    Attributes:
        about: The row for the result: table, provider, model and prices.
    """

    row: ModelInfo
    about: Mapping[str, Any]

    def charge(self, usage: TokenUsage) -> int:
        from genai_prices import Usage as GenaiUsage

        counts = GenaiUsage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_written_tokens,
            cache_write_1h_tokens=usage.cache_1h_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        tier = None if usage.service_tier is None else {"service_tier": usage.service_tier}
        dollars = self.row.get_prices(datetime.now(UTC), tier).calc_price(counts)["total_price"]
        return int((dollars * PICODOLLARS).to_integral_value(ROUND_CEILING))

    def most(self, usage: TokenUsage) -> int:
        """Return the cost in picodollars if nothing is cached, or all is written to a cache for an hour."""
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        caches = ((0, 0, 0), (0, prompt, prompt))
        return max(self.charge(TokenUsage(prompt, completion, *cache)) for cache in caches)

    def __str__(self) -> str:
        about = self.about
        prices = ", ".join(f"${dollars:g} {kind}" for kind, dollars in about["dollars_per_million"].items())
        above = f"; more above {about['more_above']:,} prompt tokens" if about["more_above"] else ""
        return f"{about['provider']} {about['model']}: {prices} per million tokens{above} ({about['table']})"


def find_price(configured: Price | Literal["auto"] | None, base_url: str | None, model: str) -> Tariff | None:
    """Return the price that a setting means; raise ConfigError if ``auto`` cannot find one."""
    if configured != AUTO:
        return configured
    if base_url is None:
        raise ConfigError(f"{_AUTO} needs an endpoint with an address{_BY_HAND}")
    provider, row = _find(_table(), without_credentials(base_url), model)
    prices = row.get_prices(datetime.now(UTC))
    if None in (prices.input_mtok, prices.output_mtok):
        raise ConfigError(f"{_AUTO}: {_source()} has no text price for {provider.name}'s {row.id}{_BY_HAND}")
    starts = {tier.start for value in vars(prices).values() for tier in getattr(value, "tiers", ())}
    about = {
        "table": _source(),
        "provider": provider.id,
        "model": row.id,
        "dollars_per_million": {
            kind: _base([getattr(prices, name) for name in names]) for kind, names in _SHOWN.items()
        },
        "more_above": min(starts, default=None),
    }
    return TablePrice(row, about)


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


def _base(values: list[Any]) -> float:
    """Return the first known price for short prompts, in dollars per million tokens."""
    price = next(value for value in values if value is not None)
    return round(float(price if isinstance(price, Decimal) else price.base), 9)
