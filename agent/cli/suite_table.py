"""What a suite found, as a table, and what of it is certain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...evaluator.counts import counted
from ..results.gain import BEST_STARTING, DEFAULT_TEMPLATE
from ..text import printable
from .output import aligned

_COLUMNS = (DEFAULT_TEMPLATE, "hand-made", BEST_STARTING, "best", "ensemble")
_CERTAIN = "better/worse/open"
_TITLE = (
    "test accuracy in %, mean ± standard deviation over n seeds, the same ones for every method; ± is of the "
    "seeds alone, the chance of the test images is not in it"
)
_ABOUT_CERTAIN = (
    f"{_CERTAIN}: runs in which the 95 % interval of best over the default template, of test "
    f"images, lies above "
    "0, lies below 0, or holds it"
)


def summary_text(document: dict[str, Any]) -> str:
    """Return mean and spread on test as a table, a row for each data set and method.

    The JSON has further baselines. What was stopped or not run is named below the table, and is in no mean.

    Args:
        document: What ``agent.search.suite.summary`` made.
    """
    there = {name for row in document["rows"] for name in row["test"]}
    names = [name for name in _COLUMNS if name in there]
    rows = [(row["data"], row, f"{len(row['seeds'])} of {row['of']}") for row in document["rows"]]
    if len({data for data, _, _ in rows}) > 1:
        rows += [
            (f"mean of {row['data_sets']} of {row['of']}", row, str(len(row["seeds"])))
            for row in document["overall"]
        ]
    lines = [
        (
            first,
            row["method"],
            n,
            *(_shown(row["test"].get(name)) for name in names),
            _certain(_edges(document["runs"], row, DEFAULT_TEMPLATE)),
        )
        for first, row, n in rows
    ]
    stopped = [
        f"{_left_out(run)}, in no mean: {run['data']}, {run['method']}, seed {run['seed']}: "
        f"{run['stop_reason']}"
        for run in document["stopped"]
    ]
    table = aligned([("data set", "method", "n", *names, _CERTAIN), *lines])
    below = [_ABOUT_CERTAIN, *_in_vain(document), *_guessed(document), *stopped]
    return "\n".join([_TITLE, table.rstrip("\n"), *map(printable, below), ""])


def _edges(runs: Sequence[dict[str, Any]], row: dict[str, Any], over: str) -> list[tuple[float, float]]:
    """Return the intervals of the gain over a baseline in the runs that a row stands for."""
    own = [run for run in runs if all(run[name] == row[name] for name in ("data", "method") if name in row)]
    gains = [run["gain"]["over"] for run in own if run["gain"] is not None]
    return [gain[over]["interval"] for gain in gains if over in gain]


def _certain(edges: Sequence[tuple[float, float]]) -> str:
    if not edges:
        return "-"
    better, worse = sum(low > 0 for low, _ in edges), sum(high < 0 for _, high in edges)
    return f"{better}/{worse}/{len(edges) - better - worse}"


def _in_vain(document: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each data set on which no search got further than drawing from its pool."""
    for data in dict.fromkeys(run["data"] for run in document["runs"]):
        edges = _edges(document["runs"], {"data": data}, BEST_STARTING)
        if edges and not any(low > 0 for low, _ in edges):
            yield (
                f"{data}: in none of {counted(len(edges), 'run')}, by whichever method, is best better for "
                f"certain than the {BEST_STARTING}"
            )


def _guessed(document: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each row some of whose runs have found nothing that is surely better than guessing."""
    for row in document["rows"]:
        own = [run for run in document["runs"] if all(run[name] == row[name] for name in ("data", "method"))]
        found = [run["guessing"] for run in own if run["guessing"] is not None]
        if found:
            of = counted(len(own), "run")
            yield f"{row['data']}, {row['method']}: in {len(found)} of {of} best may be {found[0]}"


def _left_out(run: dict[str, Any]) -> str:
    # One whose test split could not be read is finished, and has no figures all the same.
    return "stopped" if run["status"] == "finished" else str(run["status"])


def _shown(found: dict[str, Any] | None) -> str:
    if found is None or found["mean"] is None:
        return "-"
    spread = "" if found["std"] is None else f" ±{100 * found['std']:.1f}"
    return f"{100 * found['mean']:.1f}{spread}"
