"""``suite FILE.toml --dry-run``: what a study would do at most, by method, LLM, model and shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluator.counts import counted
from ..config.schema import SearchConfig
from ..study.grid import StudyCell
from ..study.study_file import Study
from .output import aligned, print_json, print_text
from .plan import plan, plan_of_suite, print_bounds

_SUMMED = ("calls", "tokens", "cost_usd", "evaluations")


def print_study_plan(study: Study, cells: Sequence[StudyCell], *, as_json: bool) -> int:
    """Print what each group of runs would do at most, and all together within the budget.

    Raises:
        ConfigError: The initial templates or the wordings of a run cannot be used.
    """
    plans = _Plans()
    searches = [one for one in cells if one.white_box is None]
    groups = _groups(cells, plans)
    total = plan_of_suite([one.config for one in searches], plans.of) if searches else {}
    if as_json:
        print_json({**total, "runs": len(cells), "groups": groups})
        return 0
    names = ("method", "llm", "model", "shots", "runs", *_SUMMED)
    lines = [[_said(name, group[name]) for name in names] for group in groups]
    print_text(f"at most, by group; nothing is opened or paid\n{aligned([names, *lines])}\n")
    heading = f"all {counted(len(cells), 'run')}, within the budget"
    return print_bounds(heading, total, as_json=False) if total else 0


class _Plans:
    """Plans of runs, each made once: seeds and folders make no difference to it."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def of(self, config: SearchConfig) -> dict[str, Any]:
        """Return the plan of one run."""
        own = {"data", "seed", "shots", "model", "pretrained", "run_dir"}
        key = config.model_dump_json(exclude=own)
        if key not in self._known:
            # What runs here costs nothing, and stands beside what does.
            free = {"cost_usd": 0.0} if config.is_local else {}
            self._known[key] = {**plan(config), **free}
        return self._known[key]


def _groups(cells: Sequence[StudyCell], plans: _Plans) -> list[dict[str, Any]]:
    groups: dict[tuple[object, ...], dict[str, Any]] = {}
    for one in cells:
        place = {"method": one.method, "llm": one.llm, "model": one.model, "shots": one.shots}
        group = groups.setdefault(tuple(place.values()), {**place, "runs": 0, **dict.fromkeys(_SUMMED, 0)})
        group["runs"] += 1
        if one.white_box is None:
            _add(group, plans.of(one.config))
    return list(groups.values())


def _add(group: dict[str, Any], found: Mapping[str, Any]) -> None:
    for name in _SUMMED:
        group[name] = None if None in (group[name], found[name]) else round(group[name] + found[name], 6)


def _said(name: str, value: Any) -> str:
    if value is None:
        return "unknown" if name == "cost_usd" else "-"
    if name == "cost_usd":
        return f"${value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
