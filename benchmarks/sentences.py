"""How much of what a description gains is due to its writer: six sentences for each bundled set.

    python benchmarks/sentences.py --keep docs/results/sentences.jsonl

``author`` is the sentence of suites/bundled.toml. The five others (recorded/sentences.json) were written by
five sessions of a large multimodal model, each of which saw five other images of a set with their classes,
and the class names, but no caption, no program and no other sentence. Every search scores the same number of
templates: 80 starting templates and 6 rounds of 5. With ``--llm local`` the method is ``guided`` besides.

``gain`` of a sentence is in points of test accuracy over ``random``, which has none, the mean over seeds. The
interval of the mean over writers is 95 %, with sets, writers and seeds resampled. ``spread`` has standard
deviations: between the sentences for one set, the means of writers, and the sets of one writer.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers.kept import add_line
from promptclimb import SearchConfig, search_sync

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "benchmarks" / "recorded" / "sentences.json"
SUITE = ROOT / "suites" / "bundled.toml"
AUTHOR, NOBODY = "author", "nobody"
KEY = ("method", "writer", "data", "shots", "seed")
DRAWS = 4000
SPREADS = {
    "between sentences for a set": "sentences",
    "between writers' means": "writers",
    "between sets": "sets",
}
"""How gains spread, as pages and the document name it."""

Row = Mapping[str, Any]
Gains = Mapping[tuple[str, str], Sequence[float]]
"""Gains by seed, of each writer's sentence for each set."""


def sentences() -> dict[str, dict[str, str]]:
    """Return the sentences by writer and set; of nobody there are empty ones."""
    author: dict[str, str] = tomllib.loads(SUITE.read_text("utf-8"))["describe"]
    others: dict[str, dict[str, str]] = json.loads(RECORDED.read_text("utf-8"))
    return {NOBODY: dict.fromkeys(author, ""), AUTHOR: author, **others}


def rows(kept: Mapping[str, Row], options: argparse.Namespace) -> Iterator[Row]:
    """Yield every row, from those kept or searched now."""
    said = sentences()
    arms = [("random", NOBODY), *(("combine", writer) for writer in said)]
    arms += [("guided", writer) for writer in said] if options.llm else []
    for seed in map(int, options.seeds.split(",")):
        for data in said[AUTHOR]:
            for shots in map(int, options.shots.split(",")):
                for method, writer in arms:
                    row = dict(zip(KEY, (method, writer, data, shots, seed), strict=True))
                    sentence = said[writer][data]
                    yield kept.get(json.dumps(row)) or row | _found(row, sentence or None, options.llm)


def _found(row: Row, describe: str | None, llm: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = search_sync(
            SearchConfig(
                data=row["data"],
                seed=row["seed"],
                shots=row["shots"],
                method=row["method"],
                describe=describe,
                llm=llm if row["method"] == "guided" else None,
                restarts=1,
                conversations=1,
                initial=80,
                rounds=6,
                prefer_readable=False,
                run_dir=Path(folder) / "run",
            )
        )
    usage = result.usage
    return {
        "evaluated": result.evaluated,
        "calls": usage.calls,
        "template": result.best.template,
        "test": result.best.test,
    }


def summary(found: Sequence[Row]) -> dict[str, Any]:
    """Return the gains by method and shots, of each writer and over all, and how far they spread."""
    table: dict[str, Any] = {}
    base = {
        (row["data"], row["shots"], row["seed"]): row["test"] for row in found if row["method"] == "random"
    }
    arms = sorted(
        {(row["method"], row["shots"]) for row in found} - {("random", row["shots"]) for row in found}
    )
    for method, shots in arms:
        gains: dict[tuple[str, str], list[float]] = {}
        for row in found:
            if (row["method"], row["shots"]) == (method, shots):
                gain = 100 * (row["test"] - base[row["data"], shots, row["seed"]])
                gains.setdefault((row["writer"], row["data"]), []).append(gain)
        table[f"{method}, {shots} shot{'s' * (shots > 1)}"] = _table(gains)
    return table


def _table(gains: Gains) -> dict[str, Any]:
    writers = sorted({writer for writer, _ in gains} - {NOBODY, AUTHOR})
    sets = sorted({data for _, data in gains})
    cells = {key: statistics.fmean(values) for key, values in gains.items()}
    by_writer = {
        writer: round(statistics.fmean(cells[writer, data] for data in sets), 2)
        for writer in (NOBODY, AUTHOR, *writers)
    }
    within = [statistics.stdev(cells[writer, data] for writer in writers) for data in sets]
    between = [statistics.stdev(cells[writer, data] for data in sets) for writer in writers]
    return {
        "writers": by_writer,
        "mean": round(statistics.fmean(by_writer[writer] for writer in writers), 2),
        "median": round(statistics.median(cells[writer, data] for writer in writers for data in sets), 2),
        "interval": _interval(gains, writers, sets),
        "author_over_others": round(
            by_writer[AUTHOR] - statistics.fmean(by_writer[writer] for writer in writers), 2
        ),
        "spread": {
            "sentences": round(statistics.fmean(within), 2),
            "writers": round(statistics.stdev(by_writer[one] for one in writers), 2),
            "sets": round(statistics.fmean(between), 2),
        },
        "by_set": {
            data: {
                "lowest": round(min(cells[writer, data] for writer in writers), 1),
                "highest": round(max(cells[writer, data] for writer in writers), 1),
                AUTHOR: round(cells[AUTHOR, data], 1),
            }
            for data in sets
        },
    }


def _interval(gains: Gains, writers: Sequence[str], sets: Sequence[str]) -> tuple[float, float]:
    """Return a bootstrap interval of the mean, sets and writers and, in each cell, seeds resampled."""
    rng = random.Random(1)
    means = []
    for _ in range(DRAWS):
        some_writers, some_sets = rng.choices(writers, k=len(writers)), rng.choices(sets, k=len(sets))
        drawn = [
            statistics.fmean(rng.choices(gains[writer, data], k=len(gains[writer, data])))
            for writer in some_writers
            for data in some_sets
        ]
        means.append(statistics.fmean(drawn))
    means.sort()
    return round(means[int(0.025 * DRAWS)], 2), round(means[int(0.975 * DRAWS)], 2)


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--shots", default="1,16")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--llm", help="LLM of the method guided, such as local (default: guided is left out)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    kept: dict[str, Row] = {}
    if options.keep is not None and options.keep.is_file():
        for line in options.keep.read_text("utf-8").splitlines():
            if line:
                row = json.loads(line)
                kept[json.dumps({name: row[name] for name in KEY})] = row
    known, found = list(kept.values()), []
    for row in rows(kept, options):
        found.append(row)
        if options.keep is not None and row not in known:
            add_line(options.keep, row)
            known.append(row)
    print(json.dumps({"rows": len(found), "gain": summary(found)}, indent=1))


if __name__ == "__main__":
    main()
