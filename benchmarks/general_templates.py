"""What it costs to begin with general templates, and to use the words of a description first.

    python benchmarks/general_templates.py --keep docs/results/general-templates.jsonl

`combine` with a description is searched on all bundled sets, with 80 starting templates and 6 rounds of 5.
The arm `grammar` is how it was: starting templates of the whole grammar, and a quarter of all combinations
from general words. The arm `general` begins with published lists and captions that fit most images, and uses
general words only where those of the description are used up. `words` is the second change alone.
`undescribed` arms compare the starting templates where there is no description.

Print, by shots, the points of test accuracy that a change costs, with the 95 % interval from resampling sets
and seeds, the median, and the sets that lose most. Rows that are kept are not searched again.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.common import (
    Row,
    argument_parser,
    described_sets,
    over_sets,
    print_document,
    rows_of,
    search_once,
    whole_numbers,
)
from promptclimb import SearchConfig
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.pico import sets
from promptclimb.evaluator.scoring import Evaluator

BEFORE, AFTER, WORDS = "grammar", "general", "words"
UNDESCRIBED = ("undescribed grammar", "undescribed general")
ARMS: Mapping[str, Mapping[str, Any]] = {
    BEFORE: {"starting_pool": "grammar", "fillers": 0.25},
    AFTER: {"starting_pool": "general", "fillers": 0.0},
    WORDS: {"starting_pool": "grammar", "fillers": 0.0},
    UNDESCRIBED[0]: {"starting_pool": "grammar", "describe": None},
    UNDESCRIBED[1]: {"starting_pool": "general", "describe": None},
}
PAIRS = ((BEFORE, AFTER), (BEFORE, WORDS), UNDESCRIBED)
WORST = 3


def sentence(data: str) -> str:
    """Return a description: that of suites/bundled.toml, or else the set's title."""
    return described_sets().get(data) or sets.title(data)


def cells(seeds: Sequence[int], shots: Sequence[int]) -> list[Row]:
    """Return the searches: the two arms that decide with every seed, the others with the first."""
    first, *further = seeds
    passes = [(first, (BEFORE, AFTER, WORDS)), *((seed, PAIRS[0]) for seed in further), (first, UNDESCRIBED)]
    return [
        {"arm": arm, "data": data, "shots": few, "seed": seed}
        for seed, arms in passes
        for data, few, arm in itertools.product([*sets.names(), "digits"], shots, arms)
    ]


@lru_cache(maxsize=1)
def _evaluator(data: str, shots: int, seed: int) -> Evaluator:
    return open_evaluator(SearchConfig(data=data, shots=shots, seed=seed, model="RN-pico", method="combine"))


def searched(cell: Row) -> Row:
    """Return what a search chose."""
    settings = {"describe": sentence(cell["data"]), **ARMS[cell["arm"]]}
    data = {name: cell[name] for name in ("data", "shots", "seed")}
    result = search_once(
        **data,
        **settings,
        model="RN-pico",
        method="combine",
        initial=80,
        rounds=6,
        evaluator=_evaluator(**data),
    )
    best = result.leaderboard[0]
    return {
        "evaluated": result.evaluated,
        "template": best.template,
        "source": best.source,
        "test": result.best.test,
    }


def summary(rows: Sequence[Row], shots: int) -> dict[str, Any]:
    """Return what each change costs, in points, and where it costs most."""
    tests = {(row["arm"], row["data"], row["seed"]): row["test"] for row in rows if row["shots"] == shots}
    table = {}
    for before, after in PAIRS:
        lost: dict[str, list[float]] = {}
        for (arm, data, seed), test in tests.items():
            if arm == after and (before, data, seed) in tests:
                lost.setdefault(data, []).append(100 * (tests[before, data, seed] - test))
        if len(lost) > 1:
            cost = over_sets(lost, f"{before} {after} {shots}")
            means = sorted((-statistics.fmean(values), data) for data, values in lost.items())
            table[f"{after} for {before}"] = {
                "points_lost": round(cost.mean, 2),
                "interval": [round(end, 2) for end in cost.interval],
                "median": round(cost.median, 2),
                "sets": len(lost),
                "lost_most": {data: round(-gain, 1) for gain, data in means[:WORST]},
            }
    return table


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argument_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--shots", default="1,16")
    parser.add_argument("--seeds", default="1,2")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)  # small matrices; on a busy machine several threads wait for each other
    shots = whole_numbers(options.shots)
    rows = rows_of(cells(whole_numbers(options.seeds), shots), searched, options.keep)
    print_document({str(few): summary(rows, few) for few in shots}, options)


if __name__ == "__main__":
    main()
