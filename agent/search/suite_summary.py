"""What the searches of a suite come to together: means over the same seeds, and what is in none of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..results.gain import about_chance, not_above_chance
from ..results.result import SearchResult
from .suite import Cell
from .unfinished import Found, Stopped, why_in_no_mean

SCHEMA = 2


def summary(cells: Sequence[Cell], results: Sequence[Found]) -> dict[str, Any]:
    """Return the suite's document: a row for each data set and method, one for each method over all of them.

    Accuracies are on test, as ``{"mean", "std", "n"}``; ``std`` is the sample standard deviation, None where
    there is one value. Only what is alike is compared: the rows of a data set average the same seeds, those
    that every method there has finished, and the rows over data sets average the same data sets and seeds,
    first over data sets, then over seeds. A method that has finished nothing has no means and keeps no other
    from having its own. What was stopped, or not run at all, is listed under ``stopped``.
    """
    runs = [_run(cell, result) for cell, result in zip(cells, results, strict=True)]
    keys = list(dict.fromkeys((run["data"], run["method"]) for run in runs))
    methods = list(dict.fromkeys(method for _, method in keys))
    return {
        "schema": SCHEMA,
        "rows": [_row(data, method, runs) for data, method in keys],
        "overall": [_overall(method, runs) for method in methods],
        "stopped": [
            {name: run[name] for name in ("data", "method", "seed", "status", "stop_reason", "run_dir")}
            for run in runs
            if not run["counts"]
        ],
        "runs": runs,
    }


def _run(cell: Cell, result: Found) -> dict[str, Any]:
    which = {"data": cell.data, "method": cell.config.method, "seed": cell.config.seed}
    if not isinstance(result, SearchResult):
        return {
            **which,
            "status": result.status,
            "counts": False,
            "stop_reason": result.reason,
            "run_dir": str(cell.run_dir),
            "best_template": None,
            "test": {"best": None, "ensemble": None},
            "gain": None,
            "guessing": None,
            **dict.fromkeys(("calls", "tokens", "cost_usd", "evaluated", "wall_s"), 0),
            **(result.spent if isinstance(result, Stopped) else {}),
        }
    tests: dict[str, float | None] = {"best": result.best.test, "ensemble": result.ensemble.test}
    tests |= {name: baseline.test for name, baseline in result.baselines.items()}
    return {
        **which,
        "status": result.status,
        "counts": result.complete,
        "stop_reason": why_in_no_mean(result),
        "run_dir": str(cell.run_dir),
        "best_template": result.best.template,
        "test": tests,
        "gain": None if result.gain is None else asdict(result.gain),
        "guessing": about_chance(result) if not_above_chance(result) else None,
        "calls": result.usage.calls,
        "tokens": result.usage.prompt_tokens + result.usage.completion_tokens,
        "cost_usd": result.usage.cost_usd,
        "evaluated": result.evaluated,
        "wall_s": result.wall_s,
    }


def _row(data: str, method: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    here = [run for run in runs if run["data"] == data]
    seeds = _common_seeds(here)
    own = [run for run in here if run["method"] == method]
    averaged = [run for run in own if run["counts"] and run["seed"] in seeds]
    return {
        "data": data,
        "method": method,
        "seeds": [run["seed"] for run in averaged],
        "finished": sum(run["counts"] for run in own),
        "of": len(own),
        "test": {name: spread([run["test"].get(name) for run in averaged]) for name in _names(own)},
    }


def _overall(method: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean over data sets of each seed, then over seeds; over the same ones for every method."""
    alive = {run["method"] for run in runs if run["counts"]}
    all_data = list(dict.fromkeys(run["data"] for run in runs))
    common = {
        data: _common_seeds([run for run in runs if run["data"] == data])
        for data in all_data
        if alive <= {run["method"] for run in runs if run["data"] == data and run["counts"]}
    }
    common = {data: seeds for data, seeds in common.items() if seeds}
    seeds = sorted(set.intersection(*common.values())) if common else []
    own = [run for run in runs if run["method"] == method]
    averaged = [run for run in own if run["counts"] and run["data"] in common]
    test = {}
    for name in _names(own):
        by_seed = [[run["test"].get(name) for run in averaged if run["seed"] == seed] for seed in seeds]
        # A baseline that a data set lacks has no mean over data sets.
        test[name] = spread([None if None in values else spread(values)["mean"] for values in by_seed])
    return {
        "method": method,
        "data_sets": len(common) if averaged else 0,
        "of": len(all_data),
        "seeds": seeds if averaged else [],
        "test": test,
    }


def _common_seeds(runs: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the seeds that every method has finished on one data set, if it has finished any."""
    finished: dict[str, set[int]] = {}
    for run in runs:
        if run["counts"]:
            finished.setdefault(run["method"], set()).add(run["seed"])
    return set.intersection(*finished.values()) if finished else set()


def _names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run["test"]))


def spread(values: Sequence[float | None]) -> dict[str, float | int | None]:
    """Return mean, sample standard deviation and number of the values that are there."""
    there = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(there) if there else None,
        "std": statistics.stdev(there) if len(there) > 1 else None,
        "n": len(there),
    }
