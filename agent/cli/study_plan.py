"""``suite FILE.toml --dry-run``: what a study takes at most and as a rule, by group and over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ..config.schema import SearchConfig
from ..study.beforehand import check_cells
from ..study.grid import StudyCell
from ..study.row_names import white_box_label
from .expected import usually
from .output import aligned, print_json, print_text, say
from .plan import plan, plan_of_suite, print_bounds
from .suite_expected import SUMMED, Opened, added
from .suite_runs import say_refused_llms

_BOUNDS = ("calls", "tokens", "cost_usd", "evaluations")
_PLACE = ("method", "llm", "model", "shots")


def print_study_plan(cells: Sequence[StudyCell], file: Path, *, as_json: bool) -> int:
    """Print what each group of runs would do at most, and all together within the budget; then open it all.

    What it does at most needs no data, and is there for whoever has none of it yet.

    Args:
        cells: Every run.
        file: The suite file, for messages.
        as_json: Whether all of it is one document.

    Raises:
        UsageError: Initial templates or wordings of a run, data, a model or a folder cannot be used.
    """
    plans = _Plans()
    searches = [one.config for one in cells if one.white_box is None]
    bounds = plan_of_suite(searches, plans.of) if searches else {}
    groups = [_bounded(group, plans) for group in _groups(cells)]
    if not as_json:
        print_text(f"at most, by group\n{_table(groups, (*_PLACE, 'runs', *_BOUNDS))}\n")
        if bounds:
            print_bounds(f"all {counted(len(cells), 'run')}, within the budget", bounds, as_json=False)
    waiting = check_cells(cells, file, say)
    opened = Opened([one.config for one in cells], as_json=as_json)
    calls = sum(plans.of(config)["calls"] for config in searches)
    usual = opened.of_all(searches, bounds, calls) if searches else None
    expected = [_expected(group, opened) for group in _groups(cells)]
    if as_json:
        beside = [{**one, "expected": two} for one, two in zip(groups, expected, strict=True)]
        print_json({**bounds, "runs": len(cells), "groups": beside, "expected": usual})
    else:
        rows = [{**one, **two} for one, two in zip(groups, expected, strict=True)]
        print_text(f"\nexpected, by group\n{_table(rows, (*_PLACE, 'runs', *SUMMED))}\n")
        if usual is not None:
            print_text(usually(bounds, usual))
    say_refused_llms([one.config for one in waiting], cells[0].run_dir.parent)
    return 0


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


def _groups(cells: Sequence[StudyCell]) -> list[list[StudyCell]]:
    groups: dict[tuple[object, ...], list[StudyCell]] = {}
    for one in cells:
        groups.setdefault(tuple(getattr(one, name) for name in _PLACE), []).append(one)
    return list(groups.values())


def _bounded(group: Sequence[StudyCell], plans: _Plans) -> dict[str, Any]:
    """Return which runs a group has, and what they do at most."""
    found = {name: getattr(group[0], name) for name in _PLACE}
    found |= {"runs": len(group), "white_box": group[0].white_box is not None}
    each = [plans.of(one.config) for one in group if one.white_box is None]
    for name in _BOUNDS:
        values = [one[name] for one in each]
        found[name] = None if None in values else round(sum(values), 6)
    return found


def _expected(group: Sequence[StudyCell], opened: Opened) -> dict[str, Any]:
    """Return what the runs of a group take as a rule; how long a reference is fitted is not known."""
    if group[0].white_box is not None:
        return {"tokens": 0, "cost_usd": 0.0, "minutes": None}
    return added([opened.expected(one.config) for one in group])


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    marked = [{**row, "method": white_box_label(row["method"])} if row["white_box"] else row for row in rows]
    return aligned([names, *([_said(name, row[name]) for name in names] for row in marked)])


def _said(name: str, value: Any) -> str:
    if value is None:
        return "unknown" if name == "cost_usd" else "-"
    if name == "cost_usd":
        return f"${value:.2f}"
    if name == "minutes":
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
