"""The tables: accuracies by row, differences with intervals, mean ranks, distance to the best."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from benchmarks.peers.hits import unpacked
from benchmarks.peers.job import NAMES, ROWS
from promptclimb.agent.study.differences import SetDifferences, interval_of, mean_of

OURS = ROWS[0].name
DRAWN = ("images", "seeds", "sets")
FIGURES = ("scored", "answered", "prompt_tokens", "completion_tokens")
COLUMNS = (
    *("row", "version", "test", f"{OURS} over it", "templates scored", "LLM calls", "tokens in / out"),
    *("seconds", "ended by", "mean rank", "within 0.5 points of the best"),
)
MARGIN = 0.5
"""Points below the best that do not matter."""
DIGITS = 6
"""Of a document's figures: so many that those of a table are not rounded twice."""
Rows = Sequence[Mapping[str, Any]]
Cells = Mapping[tuple[str, int], Mapping[str, Any]]
"""What came of a row, by set and seed."""


def document(rows: Rows) -> dict[str, Any]:
    """Return what a table says, row by row in the order of the comparison.

    A mean is over sets of the means over seeds. A difference is of ``OURS`` less the row, over cells that
    both have, in points; what is drawn again for its interval are test images, seeds and sets.
    """
    rows = [{**row, "row": NAMES.get(row["row"], row["row"])} for row in rows]
    names = [row.name for row in ROWS if any(each["row"] == row.name for each in rows)]
    done = {name: _cells(rows, name) for name in names}
    return {
        "sets": sorted({row["data"] for row in rows}),
        "seeds": sorted({row["seed"] for row in rows}),
        "rows": {name: _row(name, [row for row in rows if row["row"] == name], done) for name in names},
    }


def _cells(rows: Rows, name: str) -> Cells:
    return {(row["data"], row["seed"]): row for row in rows if row["row"] == name and "error" not in row}


def _row(name: str, rows: Rows, done: Mapping[str, Cells]) -> dict[str, Any]:
    own = done[name]
    found: dict[str, Any] = {"cells": len(own), "errors": [row["error"] for row in rows if "error" in row]}
    if not own:
        return found
    by_set: dict[str, list[float]] = {}
    for (data, _), row in own.items():
        by_set.setdefault(data, []).append(100 * row["test"])
    found["test"] = round(statistics.mean(map(statistics.mean, by_set.values())), DIGITS)
    found["by_set"] = {data: round(statistics.mean(each), DIGITS) for data, each in sorted(by_set.items())}
    for figure in FIGURES:
        found[figure] = round(statistics.mean(row[figure] for row in own.values()), DIGITS)
    found["unanswered"] = sum(row.get("failed", 0) for row in own.values())
    # The time of one that waited for others is not its own.
    alone = [row["wall_s"] for row in own.values() if row.get("at_once", 1) == 1]
    found["wall_s"] = round(statistics.mean(alone), DIGITS) if alone else None
    found["ended"] = dict(Counter(row["ended"] for row in own.values()).most_common())
    found["version"] = ", ".join(sorted({row["version"] for row in own.values()}))
    if name != OURS and OURS in done:
        found["ours_over_it"] = difference(done[OURS], own)
    found["standing"] = standing(name, done)
    return found


def difference(first: Cells, second: Cells) -> dict[str, Any] | None:
    """Return the first row less the second, in points, with its interval; None where they share no cell."""
    sets: dict[str, list[npt.NDArray[Any]]] = {}
    for cell in sorted(first.keys() & second.keys()):
        one, other = (unpacked(row[cell]["right"], row[cell]["images"]) for row in (first, second))
        sets.setdefault(cell[0], []).append(one - other)
    if not sets:
        return None
    differences = [SetDifferences([float(one.mean()) for one in each], each) for each in sets.values()]
    interval, _ = interval_of(differences, DRAWN)
    return {
        "mean": round(100 * mean_of(differences), DIGITS),
        "interval": None if interval is None else [round(100 * end, DIGITS) for end in interval],
        "cells": sum(map(len, sets.values())),
    }


def standing(name: str, done: Mapping[str, Cells]) -> dict[str, float]:
    """Return a row's mean rank over sets, and on how many it is at most ``MARGIN`` below the best.

    A set counts with the seeds that every row has. Rows that tie share the mean of their ranks. Neither
    figure rewards a row for varying much, as a test against the best would.
    """
    cells = set.intersection(*(set(own) for own in done.values() if own))
    sets = sorted({data for data, _ in cells})
    ranks, near = [], 0
    for data in sets:
        here = [cell for cell in cells if cell[0] == data]
        means = {
            each: 100 * statistics.mean(own[cell]["test"] for cell in here)
            for each, own in done.items()
            if own
        }
        above = sum(mean > means[name] for mean in means.values())
        level = sum(mean == means[name] for mean in means.values())
        ranks.append(above + (level + 1) / 2)
        near += means[name] >= max(means.values()) - MARGIN
    return {"rank": round(statistics.mean(ranks), DIGITS), "near": near, "of": len(sets)}


def markdown(title: str, table: Mapping[str, Any]) -> str:
    """Return a table as Markdown."""
    seeds = ", ".join(map(str, table["seeds"]))
    lines = [f"**{title}** ({len(table['sets'])} sets, seeds {seeds})", "", _line(*COLUMNS)]
    lines.append(_line(*("---" for _ in COLUMNS)))
    for name, row in table["rows"].items():
        if "test" not in row:
            lines.append(_line(name, "", f"failed: {row['errors'][0]}", *("" for _ in COLUMNS[3:])))
            continue
        failed = f" ({len(row['errors'])} failed)" if row["errors"] else ""
        unanswered = f" ({row['unanswered']} more failed)" if row["unanswered"] else ""
        lines.append(
            _line(
                name,
                row["version"],
                f"{row['test']:.1f}{failed}",
                _over(row.get("ours_over_it")),
                f"{row['scored']:.0f}",
                f"{row['answered']:.1f}{unanswered}",
                f"{row['prompt_tokens']:,.0f} / {row['completion_tokens']:,.0f}",
                "" if row["wall_s"] is None else f"{row['wall_s']:.0f}",
                ", ".join(row["ended"]),
                f"{row['standing']['rank']:.1f}",
                f"{row['standing']['near']} of {row['standing']['of']}",
            )
        )
    return "\n".join(lines) + "\n"


def faults_markdown(rows: Rows) -> str:
    """Return what kills and 429s did, as Markdown."""
    columns = ("row", "killed with -9 in the middle", "one 429", "429 for a while")
    lines = [_line(*columns), _line(*("---" for _ in columns))]
    for row in rows:
        plain = row["undisturbed"].get("answered", 0)
        if "kill" not in row:
            lines.append(_line(row["row"], f"failed: {row['undisturbed'].get('error', 'no calls')}", "", ""))
            continue
        refused = (_refused(row[name], plain) for name in ("429 once", "429 for a while"))
        lines.append(_line(row["row"], _killed(row["kill"], plain), *refused))
    return "\n".join(lines) + "\n"


def _killed(case: Mapping[str, Any], plain: int) -> str:
    if "error" in case:
        return f"does not come to an end: {case['error']}"
    pick = "the same" if case["same_pick"] else "another"
    return f"pays {case['paid_again']} of {plain} calls again; {pick} pick"


def _refused(case: Mapping[str, Any], plain: int) -> str:
    early = f", {case['early']} sooner than asked" if case["early"] else ""
    tried = f"{case['refused']} refused{early}"
    if "error" in case:
        return f"ends with an error after {case['answered']} of {plain} calls; {tried}: {case['error']}"
    if case["answered"] < plain:
        return f"ends without an error after {case['answered']} of {plain} calls; {tried}"
    return f"goes on; {tried}"


def _over(over: Mapping[str, Any] | None) -> str:
    if over is None:
        return ""
    interval = over["interval"]
    span = "" if interval is None else f" [{interval[0]:+.1f}, {interval[1]:+.1f}]"
    return f"{over['mean']:+.1f}{span}"


def _line(*cells: str) -> str:
    """Return a line of a table; what a peer said in its error may hold anything."""
    safe = (
        one.replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;") for one in cells
    )
    return f"| {' | '.join(safe)} |"
