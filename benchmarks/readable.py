"""What it costs to prefer templates that a person wrote among those that are as good on the few-shot images.

    python benchmarks/readable.py --keep docs/results/readable.jsonl

`combine` with a description, which puts words together, is searched on the sets of suites/bundled.toml. Its
pick is the best of the selection rule. Where it was put together, the best starting template (they were
written by a person) takes its place if its few-shot accuracy is at most so many standard errors lower.
Print, for each such margin: points of test accuracy that the change costs over all sets and seeds, with the
standard error over sets, the worst set, and in how many searches the pick was a starting template before and
after. Rows that are kept are not searched again.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import (
    Row,
    argument_parser,
    described_sets,
    print_document,
    rows_of,
    search_once,
    standard_error,
    whole_numbers,
)
from promptclimb import SearchConfig, SearchResult, evaluate
from promptclimb.agent.methods.memory import INITIAL
from promptclimb.agent.results.result import Row as LeaderboardRow
from promptclimb.agent.search.choice import within_margin

MARGINS = (0.0, 0.1, 0.25, 0.5, 1.0)


def searched(cell: Row) -> Row:
    """Search a set; return the best template, and the best starting one that comes into question."""
    data = {**cell, "model": "RN-pico"}
    result = search_once(
        **data, method="combine", describe=described_sets()[cell["data"]], initial=80, rounds=6
    )
    best = result.leaderboard[0]
    written = next(row for row in result.leaderboard if row.source == INITIAL)
    scores = evaluate([best.template, written.template], SearchConfig(**data)).scores
    return {
        name: _template(row, result, score.accuracy)
        for name, row, score in zip(("best", "written"), (best, written), scores, strict=True)
    }


def _template(row: LeaderboardRow, result: SearchResult, test: float | None) -> Row:
    """Return a template with what the selection rule compares: its accuracy on images and copies."""
    train, val = result.dataset.sizes.train, result.dataset.sizes.val or 0
    assert None not in (row.train, row.val, row.views)
    on_images = ((row.train or 0.0) * train + (row.val or 0.0) * val) / (train + val)
    return {
        "template": row.template,
        "source": row.source,
        "few_shot": (on_images + (row.views or 0.0)) / 2,
        "images": train + val,
        "test": test,
    }


def summary(rows: Sequence[Row], margin: float) -> dict[str, Any]:
    """Return what the preference costs at a margin."""
    lost_by_set: dict[str, list[float]] = {}
    before = after = 0
    for row in rows:
        best, written = row["best"], row["written"]
        changes = within_margin(written["few_shot"], best["few_shot"], best["images"], margin)
        before += best["source"] == INITIAL
        after += changes
        lost_by_set.setdefault(row["data"], []).append(100 * (best["test"] - written["test"]) * changes)
    means = list(map(statistics.fmean, lost_by_set.values()))
    return {
        "margin": margin,
        "points_lost": round(statistics.fmean(means), 2),
        "standard_error": round(standard_error(means), 2),
        "worst_set": round(max(means), 1),
        "written": [before, after],
        "of": len(rows),
    }


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argument_parser(__doc__)
    parser.add_argument("--shots", default="16", help="training images per class")
    parser.add_argument("--seeds", default="1,2,3", help="few-shot images and starting templates")
    parser.add_argument("--keep", type=Path, help="file of rows")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    counts = whole_numbers(options.shots)
    cells = [
        {"data": data, "shots": shots, "seed": seed}
        for seed, shots, data in itertools.product(whole_numbers(options.seeds), counts, described_sets())
    ]
    rows = rows_of(cells, searched, options.keep)
    by_shots = {
        str(shots): [summary([row for row in rows if row["shots"] == shots], margin) for margin in MARGINS]
        for shots in counts
    }
    print_document(by_shots, options)


if __name__ == "__main__":
    main()
