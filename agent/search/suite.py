"""Several searches in one go: data sets x methods x seeds, and what comes of them on average.

Every search has a folder of its own in the suite's folder. Started again, a suite goes on where it was:
finished searches are read, begun ones resumed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.schema import SearchConfig
from ..results.result import SearchResult
from ..results.run_dir import STORE
from .session import Search

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One search of a suite.

    Attributes:
        data: Its data set, as it was given.
        config: What it searches, its folder included.
    """

    data: str
    config: SearchConfig

    @property
    def run_dir(self) -> Path:
        """Its folder."""
        assert self.config.run_dir is not None
        return self.config.run_dir


def folder_name(data: str, method: str, seed: int) -> str:
    """A folder's name for one search."""
    name = "".join(
        character if character.isalnum() or character in "-_." else "-" for character in Path(data).name
    )
    return f"{name or 'data'}-{method}-seed{seed}"


async def run_cell(cell: Cell, search: Search) -> SearchResult:
    """Starts the search of a cell, goes on with it, or reads its result.

    Raises:
        UsageError: Its folder holds a search with other settings, or something that was given is wrong.
        PromptclimbError: It failed; what it has is kept.
    """
    if (cell.run_dir / STORE).exists():
        return await search.resume(cell.run_dir)
    return await search.start()


def summary(cells: Sequence[Cell], results: Sequence[SearchResult]) -> dict[str, Any]:
    """The suite's document: a row for each data set and method, and one for each method over all data sets.

    Accuracies are on test, as ``{"mean", "std", "n"}`` over seeds; ``std`` is the sample standard deviation,
    None where there is one seed. Over data sets the mean is that of the rows' means, and ``std`` is that of
    the means of each seed over all data sets.
    """
    runs = [_run(cell, result) for cell, result in zip(cells, results, strict=True)]
    keys = list(dict.fromkeys((run["data"], run["method"]) for run in runs))
    rows = [
        _row(data, method, [run for run in runs if (run["data"], run["method"]) == (data, method)])
        for data, method in keys
    ]
    methods = list(dict.fromkeys(method for _, method in keys))
    overall = [_overall(method, [run for run in runs if run["method"] == method]) for method in methods]
    return {"schema": SCHEMA, "rows": rows, "overall": overall, "runs": runs}


def _run(cell: Cell, result: SearchResult) -> dict[str, Any]:
    tests: dict[str, float | None] = {"best": result.best.test, "ensemble": result.ensemble.test}
    tests |= {name: scores.test for name, scores in result.baselines.items()}
    return {
        "data": cell.data,
        "method": cell.config.method,
        "seed": cell.config.seed,
        "status": result.status,
        "run_dir": str(cell.run_dir),
        "best_template": result.best.template,
        "test": tests,
        "calls": result.usage.calls,
        "tokens": result.usage.prompt_tokens + result.usage.completion_tokens,
        "cost_usd": result.usage.cost_usd,
        "evaluated": result.evaluated,
        "wall_s": result.wall_s,
    }


def _row(data: str, method: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for run in runs for name in run["test"]))
    return {
        "data": data,
        "method": method,
        "seeds": [run["seed"] for run in runs],
        "finished": sum(run["status"] == "finished" for run in runs),
        "test": {name: spread([run["test"].get(name) for run in runs]) for name in names},
    }


def _overall(method: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for run in runs for name in run["test"]))
    seeds = list(dict.fromkeys(run["seed"] for run in runs))
    data = list(dict.fromkeys(run["data"] for run in runs))
    test = {}
    for name in names:
        by_seed = [
            spread([run["test"].get(name) for run in runs if run["seed"] == seed])["mean"] for seed in seeds
        ]
        test[name] = spread(by_seed)
    return {"method": method, "data_sets": len(data), "seeds": seeds, "test": test}


def spread(values: Sequence[float | None]) -> dict[str, float | int | None]:
    """Mean, sample standard deviation and number of the values that are there."""
    there = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(there) if there else None,
        "std": statistics.stdev(there) if len(there) > 1 else None,
        "n": len(there),
    }
