"""What the limits of a suite leave: they hold over all runs in its folder together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from ...evaluator.counts import counted, enumerated
from ..config.schema import SearchConfig
from ..llm.budget import Budget, Limits
from ..llm.cost import NOTHING, Spent
from ..results.result import SearchResult
from ..results.run_dir import STORE
from ..store import Store
from .inputs import fallen_back

_UNITS: Mapping[str, str] = MappingProxyType(
    {"max_calls": "call", "max_tokens": "token", "max_cost": "US dollar", "max_minutes": "minute"}
)
"""Every setting that is a limit, and what it counts."""
LIMITS = tuple(_UNITS)


class Allowance:
    """What the runs in a suite's folder have used, and what its limits leave to the next one.

    A run holds to its own limits by its own store, so it is given less of each: what all others there have
    used, the interrupted ones and what nobody knows to have been billed included, is taken off.

    Args:
        folder: The suite's folder; every run in it counts, of this suite or of an earlier one. They are read
            where there is a limit to hold them to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reached: set[str] = set()

    @cached_property
    def _used(self) -> dict[Path, Spent]:
        return {store.parent: _used(store.parent) for store in sorted(self._folder.glob(f"*/{STORE}"))}

    def share(self, config: SearchConfig) -> SearchConfig:
        """Return the config of one of the runs with what the others leave of each limit.

        Raises:
            UsageError: A run in the folder cannot be read, or is in use.
        """
        return config.model_copy(update=self._left(config, others=True))

    def reached(self, config: SearchConfig) -> list[str]:
        """Return the limits for which a search would get nothing any more; none where it may begin, or go on.

        What asks no LLM waits for time alone.

        Raises:
            UsageError: A run in the folder cannot be read, or is in use.
        """
        left = self._left(config)
        needed = LIMITS if fallen_back(config).needs_llm else ("max_minutes",)
        return [name for name in needed if name in left and (not left[name] or name in self._reached)]

    def after(self, config: SearchConfig, result: SearchResult) -> None:
        """Count what a session has used, and remember the limits that stopped it, if any did.

        Of tokens and money something may be left by then, but less than a request may need.
        """
        self.recount(config)
        if _limited(config):
            self._reached.update(_limits_of(result))

    def recount(self, config: SearchConfig) -> None:
        """Count what a session has used that came to no result."""
        assert config.run_dir is not None
        if _limited(config) and (config.run_dir / STORE).exists():
            self._used[config.run_dir] = _used(config.run_dir)

    def _left(self, config: SearchConfig, *, others: bool = False) -> dict[str, float]:
        """Return what all runs, or all others, leave of each limit that is set, by the setting's name."""
        if not _limited(config):
            return {}
        total = NOTHING
        for run_dir, used in self._used.items():
            if not others or run_dir != config.run_dir:
                total = total.plus(used)
        left = Budget(Limits.of(config), total, clock=lambda: 0.0).left()
        found = zip(LIMITS, (left.calls, left.tokens, left.cost_usd, left.minutes), strict=True)
        return {name: value for name, value in found if value is not None}


def told(config: SearchConfig, result: SearchResult) -> SearchResult:
    """Return a result that names the suite's limit in place of the share that its run had of it."""
    names = [name for name in _limits_of(result) if getattr(config, name) is not None]
    return replace(result, stop_reason=said(config, *names)) if names else result


def names_of(limits: Sequence[str]) -> tuple[str, ...]:
    """Return what results call the settings that are limits."""
    return tuple(name.removeprefix("max_") for name in limits)


def _limits_of(result: SearchResult) -> list[str]:
    """Return the settings whose limits stopped a search."""
    return [f"max_{limit}" for limit in result.limits]


def said(config: SearchConfig, *names: str) -> str:
    """Return which limits of a suite are reached, in words."""
    amounts = [counted(getattr(config, name), _UNITS[name]).replace(".0 ", " ") for name in names]
    verb = f"limit of {amounts[0]}" if len(names) == 1 else f"limits of {enumerated(amounts)}"
    return f"the {verb} over the whole suite {'is' if len(names) == 1 else 'are'} reached"


def _limited(config: SearchConfig) -> bool:
    return Limits.of(config) != Limits()


def _used(run_dir: Path) -> Spent:
    with Store.open(run_dir) as store:
        return store.usage
