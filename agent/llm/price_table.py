"""``--price auto``: what a vendor charges for a model, by the table that the package genai-prices carries.

The table is the one that was installed with the package: nothing is fetched, here or later. It says which
provider an address belongs to, which row a model's name means, and since when each price holds. A row may ask
more above some length of the prompt, for what is written to a cache, by the hour, or from a day to come on;
where a price depends on the hour, or changes within a week, the dearest of what may hold is charged.

What it does not know: discounts of an account, tools that a vendor bills by the use (a search asks for none),
and a service tier that is set in a vendor's console rather than asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from ...evaluator.errors import ConfigError
from ..config.fields import AUTO, without_credentials
from ..config.fields import Price as GivenPrice
from ..rates import Rates, per_token
from .preflight import nearest
from .tariff import Steps, Tariff
from .usage import Price

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

PACKAGE = "genai-prices"
AHEAD = timedelta(days=7)
"""How far ahead a dearer price counts already: a run may take days."""
_TIER = "service_tier"
_BY_HAND = "give its price by --price IN/OUT, dollars for a million tokens"
_KINDS = {
    "prompt": ("input_mtok",),
    "cached": ("cache_read_mtok", "input_mtok"),
    "written": ("cache_write_mtok", "input_mtok"),
    "kept": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "completion": ("output_mtok",),
}
"""The table's names of each kind of token; what has no price of its own is charged as what it is part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table.

    Attributes:
        tariff: What it charges.
        about: What a result says of it: the table, its date, provider, model and prices.
    """

    tariff: Tariff
    about: Mapping[str, Any]

    def __str__(self) -> str:
        about = self.about
        tiers = about.get("service_tiers", {})
        said = _in_words(about["dollars_per_million"])
        said += "".join(f"; {tier}: {_in_words(prices)}" for tier, prices in tiers.items())
        above = f"; more above {about['more_above']:,} prompt tokens" if about["more_above"] else ""
        return (
            f"{about['provider']} {about['model']}: {said} for a million tokens{above} "
            f"({about['table']}, newest price of {about['table_date']})"
        )


def _in_words(prices: Mapping[str, float]) -> str:
    return ", ".join(f"${dollars:g} {kind}" for kind, dollars in prices.items())


def priced(
    given: GivenPrice | Literal["auto"] | None,
    base_url: str | None,
    model: str,
    service_tier: str | None = None,
) -> tuple[Price | None, Row | None]:
    """Return the price that a setting means, and the row that it comes from where it is the table's.

    Args:
        given: The setting.
        base_url: The endpoint's address; None for one without, such as an object from Python.
        model: Its name of the model.
        service_tier: The service tier that is asked for; None for none.

    Raises:
        ConfigError: The table is asked for a price that it does not have.
    """
    if given != AUTO:
        return given, None
    if base_url is None:
        raise ConfigError(
            f"--price auto goes by the address of an endpoint, and there is none here; {_BY_HAND}"
        )
    row = row_of(base_url, model, service_tier=service_tier)
    return row.tariff, row


def row_of(base_url: str, model: str, *, service_tier: str | None = None, now: datetime | None = None) -> Row:
    """Return the row of a model at an endpoint.

    Args:
        base_url: The endpoint's address; it says the provider.
        model: The endpoint's name of the model.
        service_tier: The vendor's name of the service tier that is asked for; None for none.
        now: When it is asked; the time of the call unless given.

    Raises:
        ConfigError: The table has no such provider, model or tier, or no price for its tokens.
    """
    now = now or datetime.now(UTC)
    table = _table()
    provider, found = _find(table, without_credentials(base_url), model)
    steps = _steps(_in_force(found, now, None))
    if steps is None:
        raise ConfigError(
            f"--price auto: {_source()} has no price of text for {provider.name}'s {found.id}; {_BY_HAND}"
        )
    services = {
        name: priced for name in _tiers(found) if (priced := _steps(_in_force(found, now, name))) is not None
    }
    # Flex is cheaper than the standard price wherever it is offered; what is dearer must be known.
    if service_tier not in (None, "default", "standard", "flex", *services):
        raise ConfigError(
            f"--price auto: {_source()} has no price for the service tier {service_tier!r} of "
            f"{provider.name}'s {found.id}; {_BY_HAND}"
        )
    about = _about(provider, found, steps, now)
    if service_tier in services:
        about["service_tiers"] = {service_tier: _told(services[service_tier])}
    return Row(tariff=Tariff(standard=steps, services=services, asked=service_tier), about=about)


def _source() -> str:
    return f"{PACKAGE} {version(PACKAGE)}"


@functools.cache
def _table() -> DataSnapshot:
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    # Not the package's own current one, which a program around the search may have fetched.
    return DataSnapshot(providers=providers, from_auto_update=False)


def _find(table: DataSnapshot, url: str, model: str) -> tuple[Provider, ModelInfo]:
    try:
        provider = table.find_provider(None, None, url)
    except LookupError:
        raise ConfigError(f"--price auto: {_source()} knows no vendor at {url}; {_BY_HAND}") from None
    try:
        return table.find_provider_model(model, provider, None, None)
    except LookupError:
        found = nearest(model, tuple(one.id for one in provider.models))
        hint = f" (near it are {', '.join(found)})" if found else ""
        raise ConfigError(
            f"--price auto: {_source()} has no model {model!r} of {provider.name}{hint}; {_BY_HAND}"
        ) from None


def _in_force(model: ModelInfo, now: datetime, tier: str | None) -> list[ModelPrice]:
    """Return every price that may be asked from now on: at each hour of the day, today and a week later."""
    context = None if tier is None else {_TIER: tier}
    hours = [now + timedelta(hours=hour) for hour in range(24)]
    found = [model.get_prices(moment + later, context) for later in (timedelta(0), AHEAD) for moment in hours]
    return [price for place, price in enumerate(found) if price not in found[:place]]


def _tiers(model: ModelInfo) -> Iterator[str]:
    for variant in model.price_variants or ():
        if variant.when.keys() == {_TIER}:
            yield variant.when[_TIER]


def _steps(prices: Sequence[ModelPrice]) -> Steps | None:
    """Return the dearest of several prices, step by step; None where one has no price of text."""
    names = {name for kinds in _KINDS.values() for name in kinds}
    starts = {0}
    for price in prices:
        if price.input_mtok is None or price.output_mtok is None:
            return None
        starts.update(tier.start for name in names for tier in getattr(getattr(price, name), "tiers", ()))
    return tuple((start, _rates(prices, start)) for start in sorted(starts))


def _rates(prices: Sequence[ModelPrice], start: int) -> Rates:
    def dearest(*names: str) -> int:
        return max(per_token(_dollars(price, names, start)) for price in prices)

    found = {kind: dearest(*names) for kind, names in _KINDS.items()}
    thought = dearest("output_reasoning_mtok", "output_mtok")
    # Calls are priced by the thousand, tokens by the million.
    call = dearest("requests_kcount") * 1000
    return Rates(**found | {"completion": max(found["completion"], thought)}, call=call)


def _dollars(price: ModelPrice, names: Sequence[str], start: int) -> Decimal:
    """Return the first price that there is of several names, for prompts just above a length; 0 for none."""
    found: list[Decimal | TieredPrices | None] = [getattr(price, name) for name in names]
    value = next((one for one in found if one is not None), Decimal(0))
    if isinstance(value, Decimal):
        return value
    return next((tier.price for tier in reversed(value.tiers) if tier.start <= start), value.base)


def _about(provider: Provider, model: ModelInfo, steps: Steps, now: datetime) -> dict[str, Any]:
    return {
        "table": _source(),
        "table_date": _newest(now.date()).isoformat(),
        "provider": provider.id,
        "model": model.id,
        "dollars_per_million": _told(steps),
        "more_above": steps[1][0] if len(steps) > 1 else None,
    }


def _told(steps: Steps) -> dict[str, float]:
    """Return the prices of short prompts in dollars for a million tokens."""
    names = {"in": "prompt", "cached": "cached", "written": "written", "out": "completion"}
    return {said: getattr(steps[0][1], kind) / 10**6 for said, kind in names.items()}


@functools.cache
def _newest(today: date) -> date:
    """Return the day on which the newest price of the table began: the table says no other date.

    Of a clock that goes before them all, the first.
    """
    from genai_prices.types import ModelPrice, StartDateConstraint

    days = [
        one.constraint.start_date
        for provider in _table().providers
        for model in provider.models
        if not isinstance(model.prices, ModelPrice)
        for one in model.prices
        if isinstance(one.constraint, StartDateConstraint)
    ]
    return max((day for day in days if day <= today), default=min(days))
