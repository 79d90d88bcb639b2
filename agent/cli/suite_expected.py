"""What a suite takes as a rule: each data set is opened with each model, and a few templates are timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.schema import SearchConfig
from ..text import printable
from .expected import expected
from .output import json_alone, say
from .plan import plan
from .rehearsal import Rehearsed, rehearse

SUMMED = ("tokens", "cost_usd", "minutes")
_ALIKE = ("seed", "shots", "run_dir")
"""Settings that leave what a run takes as it is, or nearly so."""


class Opened:
    """What the searches of a suite are scored on; each data set with each model once, as its largest sample.

    Args:
        configs: Of every search, and of what is fitted in place of one.
        as_json: Whether standard output is kept for a document.

    Raises:
        UsageError: One cannot be used.
    """

    def __init__(self, configs: Sequence[SearchConfig], *, as_json: bool) -> None:
        largest: dict[str, SearchConfig] = {}
        for config in configs:
            known = largest.setdefault(_place(config), config)
            if (config.shots or 0) > (known.shots or 0):
                largest[_place(config)] = config
        self._found: dict[str, Rehearsed] = {}
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        for number, (place, config) in enumerate(largest.items(), start=1):
            what = printable(f"{config.data} with {config.evaluator or config.model}")
            say(f"[{number}/{len(largest)}] opening {what}")
            with json_alone(as_json):
                self._found[place] = rehearse(config)

    def expected(self, config: SearchConfig) -> dict[str, Any]:
        """Return what one search takes as a rule; see ``expected``."""
        place = _place(config)
        key = (place, config.model_dump_json(exclude=set(_ALIKE)))
        if key not in self._known:
            found = self._found[place]
            config = config.as_opened(found.info)
            usual = expected(config, plan(config), found)
            # What runs here costs nothing, and stands beside what does.
            self._known[key] = {**usual, **({"cost_usd": 0.0} if config.is_local else {})}
        return self._known[key]

    def of_all(
        self, configs: Sequence[SearchConfig], bounds: Mapping[str, Any], calls: int
    ) -> dict[str, Any]:
        """Return what searches take as a rule together, one after another, within limits over all of them.

        Args:
            configs: Of every search; the limits are the same in each.
            bounds: What they take at most; see ``plan_of_suite``.
            calls: Those of all of them, limits aside.
        """
        each = [self.expected(config) for config in configs]
        share = min(bounds["calls"] / calls, 1.0) if calls else 1.0
        total = added(each)
        for name in ("tokens", "cost_usd"):
            if total[name] is not None:
                most = total[name] * share
                limited = most if bounds[name] is None else min(most, bounds[name])
                total[name] = int(limited) if name == "tokens" else round(limited, 6)
        if total["minutes"] is not None and (limit := configs[0].max_minutes) is not None:
            total["minutes"] = min(total["minutes"], limit)
        speeds = [one["seconds_a_template"] for one in each]
        known = None if None in speeds else {"least": min(speeds), "most": max(speeds)}
        return {**total, "seconds_a_template": known}


def added(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of what searches take; None of what is not known of every one."""
    values = {name: [one[name] for one in each] for name in SUMMED}
    return {name: None if None in found else round(sum(found), 6) for name, found in values.items()}


def _place(config: SearchConfig) -> str:
    """Return which data set and model a search is of, whatever its seed and its shots."""
    return config.bare().model_dump_json(exclude={"seed", "shots"})
