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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import (
    ROOT,
    Row,
    argument_parser,
    described_sets,
    print_document,
    rows_of,
    search_once,
    whole_numbers,
)

RECORDED = ROOT / "benchmarks" / "recorded" / "sentences.json"
AUTHOR, NOBODY = "author", "nobody"
RESAMPLES = 4000

Gains = Mapping[tuple[str, str], Sequence[float]]
"""Gains by seed, of each writer's sentence for each set."""


def sentences() -> dict[str, dict[str, str]]:
    """Return the sentences by writer and set; empty ones for nobody."""
    author = described_sets()
    others: dict[str, dict[str, str]] = json.loads(RECORDED.read_text("utf-8"))
    return {NOBODY: dict.fromkeys(author, ""), AUTHOR: author, **others}


def cells(options: argparse.Namespace) -> Iterator[Row]:
    """Yield the searches."""
    writers = list(sentences())
    arms = [("random", NOBODY), *(("combine", writer) for writer in writers)]
    arms += [("guided", writer) for writer in writers] if options.llm else []
    for seed in whole_numbers(options.seeds):
        for data in described_sets():
            for shots in whole_numbers(options.shots):
                for method, writer in arms:
                    yield {"method": method, "writer": writer, "data": data, "shots": shots, "seed": seed}


def searched(cell: Row, llm: str | None) -> Row:
    """Return what a search chose."""
    result = search_once(
        data=cell["data"],
        seed=cell["seed"],
        shots=cell["shots"],
        method=cell["method"],
        describe=sentences()[cell["writer"]][cell["data"]] or None,
        llm=llm if cell["method"] == "guided" else None,
        initial=80,
        rounds=6,
    )
    return {
        "evaluated": result.evaluated,
        "calls": result.usage.calls,
        "template": result.best.template,
        "test": result.best.test,
    }


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the gains by method and shots, of each writer and over all, and how far they spread."""
    base = {
        (row["data"], row["shots"], row["seed"]): row["test"] for row in rows if row["method"] == "random"
    }
    gains: dict[tuple[str, int], dict[tuple[str, str], list[float]]] = {}
    for row in rows:
        if row["method"] != "random":
            gain = 100 * (row["test"] - base[row["data"], row["shots"], row["seed"]])
            by_sentence = gains.setdefault((row["method"], row["shots"]), {})
            by_sentence.setdefault((row["writer"], row["data"]), []).append(gain)
    return {
        f"{method}, {shots} shot{'s' * (shots > 1)}": _summed(gains[method, shots])
        for method, shots in sorted(gains)
    }


def _summed(gains: Gains) -> dict[str, Any]:
    writers = sorted({writer for writer, _ in gains} - {NOBODY, AUTHOR})
    sets = sorted({data for _, data in gains})
    means = {sentence: statistics.fmean(values) for sentence, values in gains.items()}
    by_writer = {
        writer: round(statistics.fmean(means[writer, data] for data in sets), 2)
        for writer in (NOBODY, AUTHOR, *writers)
    }
    within = [statistics.stdev(means[writer, data] for writer in writers) for data in sets]
    between = [statistics.stdev(means[writer, data] for data in sets) for writer in writers]
    others = statistics.fmean(by_writer[writer] for writer in writers)
    return {
        "writers": by_writer,
        "mean": round(others, 2),
        "median": round(statistics.median(means[writer, data] for writer in writers for data in sets), 2),
        "interval": _interval(gains, writers, sets),
        "author_over_others": round(by_writer[AUTHOR] - others, 2),
        "spread": {
            "sentences": round(statistics.fmean(within), 2),
            "writers": round(statistics.stdev(by_writer[writer] for writer in writers), 2),
            "sets": round(statistics.fmean(between), 2),
        },
    }


def _interval(gains: Gains, writers: Sequence[str], sets: Sequence[str]) -> tuple[float, float]:
    """Return a bootstrap interval of the mean, sets and writers and, in each cell, seeds resampled."""
    rng = random.Random(1)
    means = []
    for _ in range(RESAMPLES):
        drawn_writers, drawn_sets = rng.choices(writers, k=len(writers)), rng.choices(sets, k=len(sets))
        seeds = [gains[writer, data] for writer in drawn_writers for data in drawn_sets]
        means.append(statistics.fmean(statistics.fmean(rng.choices(each, k=len(each))) for each in seeds))
    means.sort()
    return round(means[int(0.025 * RESAMPLES)], 2), round(means[int(0.975 * RESAMPLES)], 2)


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argument_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--shots", default="1,16")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--llm", help="LLM of the method guided, such as local (default: guided is left out)")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows = rows_of(cells(options), lambda cell: searched(cell, options.llm), options.keep)
    print_document({"rows": len(rows), "gain": summary(rows)}, options)


if __name__ == "__main__":
    main()
