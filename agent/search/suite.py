"""Several searches in one go: data sets x methods x seeds, and what comes of them on average.

Every search has a folder of its own in the suite's folder. Started again, a suite goes on where it was:
finished searches are read, begun ones resumed. Its limits hold over all of them together.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...evaluator.open import check_openable
from ..config.schema import SearchConfig
from ..errors import ConfigError, StoreMismatchError, UsageError
from ..events.known_trackers import check_trackers
from ..results.guessing import about_guessing, no_better_than_guessing
from ..results.plain_json import plain
from ..results.result import UNOPENED, SearchResult
from ..results.run_dir import STORE, read_result
from ..store import Store
from .allowance import Allowance, told
from .inputs import fallen_back, known_identity, pinned_evaluator, read_pool
from .same_content import Contents, check_content, made_by
from .session import Session

SCHEMA = 2


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
    """Return a folder's name for one search."""
    name = "".join(
        character if character.isalnum() or character in "-_." else "-" for character in Path(data).name
    )
    return f"{name or 'data'}-{method}-seed{seed}"


@dataclass(frozen=True, slots=True)
class NotRun:
    """What there is of a search that was never begun, because nothing was left for it.

    Attributes:
        reason: Which limit is reached.
    """

    reason: str


def check_cells(cells: Sequence[Cell]) -> None:
    """Make sure, before the first search begins, that none will be refused; nothing is made or paid.

    What is looked at is cheap: folders, settings, files, data sets and names. What is finished is let be.

    Raises:
        UsageError: One would be refused.
    """
    contents = Contents()
    waiting = [cell for cell in cells if not is_done(cell, contents)]
    for cell in waiting:
        check_trackers(cell.config.track)
    for config in {(cell.config.initial, cell.config.initial_pool): cell.config for cell in waiting}.values():
        read_pool(config)
    # The methods of a suite share its data sets.
    specs = {(cell.config.data, cell.config.seed): cell.config for cell in waiting}
    check_openable(list(specs.values()))


def is_done(cell: Cell, contents: Contents) -> bool:
    """Return whether a search is finished, once its folder is known to be this suite's.

    Args:
        cell: Which one.
        contents: What its data and its files hold now.

    Raises:
        UsageError: The folder holds something else, or is in use; or its search was made on other content.
    """
    if (cell.run_dir / STORE).exists():
        with Store.open(cell.run_dir) as store, _own(cell):
            manifest = store.manifest
            begun = pinned_evaluator(fallen_back(cell.config, manifest.get("notes", {})))
            store.check_identity(known_identity(begun, manifest["identity"]))
        if (last := _last_result(cell)) is None or not last.complete:
            return False
        check_content(cell.run_dir, contents.differences(begun, made_by(cell.run_dir, manifest)))
        return True
    if cell.run_dir.exists():
        left = [path for path in cell.run_dir.iterdir() if not path.name.startswith(f"{STORE}.new.")]
        if left:
            raise ConfigError(
                f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it is not empty and holds no "
                "run; move it away, or choose another folder"
            )
    return False


@contextmanager
def _own(cell: Cell) -> Iterator[None]:
    """Let a run with other settings be one of another suite.

    Raises:
        UsageError: It is.
    """
    try:
        yield
    except StoreMismatchError as error:
        raise UsageError(
            f"--suite-dir {cell.run_dir.parent}: {cell.run_dir.name} in it was started with other settings "
            f"({'; '.join(error.differences)}); give this suite a folder of its own by --suite-dir, or the "
            "settings of before"
        ) from error


async def run_cell(
    cell: Cell, allowance: Allowance, opened: Callable[[SearchConfig], Session]
) -> SearchResult | NotRun:
    """Start the search of a cell, go on with it, or read its result.

    Args:
        cell: Which one; the limits in its config are the whole suite's.
        allowance: What they leave.
        opened: Makes the session of a config.

    Raises:
        UsageError: Its folder holds a search with other settings or of another version, or something that
            was given is wrong.
        PromptclimbError: It failed; what it has is kept.
    """
    begun = (cell.run_dir / STORE).exists()
    if (reason := allowance.reached(cell.config)) is not None:
        if not begun:
            return NotRun(reason)
        # One without a result may have all its answers; going through them costs nothing.
        if (last := _last_result(cell)) is not None and last.status == "stopped":
            return replace(last, stop_reason=reason)
    session = opened(allowance.share(cell.config))
    with _own(cell):
        result = await (session.resume(cell.run_dir) if begun else session.start())
    allowance.after(cell.config, result)
    return told(cell.config, result)


def _last_result(cell: Cell) -> SearchResult | None:
    try:
        return read_result(cell.run_dir)
    except (OSError, ValueError):
        return None  # missing or torn


def summary(cells: Sequence[Cell], results: Sequence[SearchResult | NotRun]) -> dict[str, Any]:
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


def _run(cell: Cell, result: SearchResult | NotRun) -> dict[str, Any]:
    which = {"data": cell.data, "method": cell.config.method, "seed": cell.config.seed}
    if isinstance(result, NotRun):
        return {
            **which,
            "status": "not run",
            "counts": False,
            "stop_reason": result.reason,
            "run_dir": str(cell.run_dir),
            "best_template": None,
            "test": {"best": None, "ensemble": None},
            "gain": None,
            "guessing": None,
            **dict.fromkeys(("calls", "tokens", "cost_usd", "evaluated", "wall_s"), 0),
        }
    tests: dict[str, float | None] = {"best": result.best.test, "ensemble": result.ensemble.test}
    tests |= {name: baseline.test for name, baseline in result.baselines.items()}
    return {
        **which,
        "status": result.status,
        "counts": result.complete,
        "stop_reason": result.stop_reason or result.notes.get(UNOPENED),
        "run_dir": str(cell.run_dir),
        "best_template": result.best.template,
        "test": tests,
        "gain": None if result.gain is None else plain(result.gain),
        "guessing": about_guessing(result) if no_better_than_guessing(result) else None,
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
