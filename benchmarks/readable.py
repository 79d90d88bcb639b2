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

import argparse
import json
import logging
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers.grid import all_sentences
from benchmarks.peers.kept import add_line, lines_of
from promptclimb import SearchConfig, SearchResult, evaluate, search_sync
from promptclimb.agent.methods.memory import INITIAL
from promptclimb.agent.results.result import Row as Scored
from promptclimb.agent.search.choice import within_margin

MARGINS = (0.0, 0.1, 0.25, 0.5, 1.0)
Row = Mapping[str, Any]


def few_shot(scored: Scored, train: int, val: int) -> float:
    """Return what the selection rule compares first: half the accuracy on images, half that on copies."""
    assert scored.train is not None
    assert scored.val is not None
    assert scored.views is not None
    return ((scored.train * train + scored.val * val) / (train + val) + scored.views) / 2


def searched(data: str, shots: int, seed: int) -> dict[str, Any]:
    """Search a set; return the best template, and the best starting one that comes into question."""
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data=data,
            shots=shots,
            seed=seed,
            model="RN-pico",
            method="combine",
            describe=all_sentences()[data],
            restarts=1,
            conversations=1,
            initial=80,
            rounds=6,
            prefer_readable=False,
            run_dir=Path(folder) / "run",
        )
        result = search_sync(config)
        best = result.leaderboard[0]
        written = next(row for row in result.leaderboard if row.source == INITIAL)
        tests = [one.accuracy for one in evaluate([best.template, written.template], config).scores]
    return {"best": _row(best, result, tests[0]), "written": _row(written, result, tests[1])}


def _row(scored: Scored, result: SearchResult, test: float | None) -> dict[str, Any]:
    sizes = result.dataset.sizes
    few = few_shot(scored, sizes.train, sizes.val or 0)
    images = sizes.train + (sizes.val or 0)
    return {
        "template": scored.template,
        "source": scored.source,
        "few_shot": few,
        "images": images,
        "test": test,
    }


def rows(kept: Sequence[Row], shots: Sequence[int], seeds: Sequence[int]) -> Iterator[Row]:
    """Yield every row, from those kept or searched now."""
    known = {(row["data"], row["shots"], row["seed"]): row for row in kept}
    for seed in seeds:
        for some in shots:
            for data in all_sentences():
                found = known.get((data, some, seed))
                yield found or {"data": data, "shots": some, "seed": seed, **searched(data, some, seed)}


def summary(found: Sequence[Row], margin: float) -> dict[str, Any]:
    """Return what the preference costs at a margin."""
    lost: dict[str, list[float]] = {}
    before = after = 0
    for row in found:
        best, written = row["best"], row["written"]
        changes = within_margin(written["few_shot"], best["few_shot"], best["images"], margin)
        before += best["source"] == INITIAL
        after += changes
        lost.setdefault(row["data"], []).append(100 * (best["test"] - written["test"]) * changes)
    means = list(map(statistics.fmean, lost.values()))
    return {
        "margin": margin,
        "points_lost": round(statistics.fmean(means), 2),
        "standard_error": round(statistics.stdev(means) / len(means) ** 0.5, 2),
        "worst_set": round(max(means), 1),
        "written": [before, after],
        "of": len(found),
    }


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shots", default="16", help="training images per class")
    parser.add_argument("--seeds", default="1,2,3", help="few-shot images and starting templates")
    parser.add_argument("--keep", type=Path, help="file of rows")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    kept = lines_of(options.keep)
    shots, seeds = ([int(one) for one in text.split(",")] for text in (options.shots, options.seeds))
    found = []
    for row in rows(kept, shots, seeds):
        found.append(row)
        if options.keep is not None and row not in kept:
            add_line(options.keep, dict(row))
    document = {
        str(some): [summary([row for row in found if row["shots"] == some], margin) for margin in MARGINS]
        for some in shots
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
