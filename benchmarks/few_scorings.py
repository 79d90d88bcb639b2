"""Compare methods without an LLM at few scorings, without the usual 80 starting templates.

    python benchmarks/few_scorings.py --keep docs/results/few-scorings.jsonl

Sets, descriptions and few shots are those of the comparison with other optimizers. Rows that are kept are not
searched again.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import (
    Row,
    argument_parser,
    compared_sets,
    mean_over_sets,
    print_document,
    read_rows,
    rows_of,
    search_once,
)

SCORINGS = (10, 20, 40, 80)
SEEDS = (1, 2, 3)
START = 5
"""Starting templates, and proposals in a round."""
METHODS = {"combine, with description": ("combine", True), "random": ("random", False)}


def cells() -> Iterator[Row]:
    """Yield the searches."""
    for seed, data, name, scorings in itertools.product(SEEDS, compared_sets(), METHODS, SCORINGS):
        yield {"row": name, "data": data, "seed": seed, "scorings": scorings}


def searched(cell: Row) -> Row:
    """Return what a search chose."""
    method, described = METHODS[cell["row"]]
    result = search_once(
        data=cell["data"],
        seed=cell["seed"],
        shots=16,
        model="RN-pico",
        method=method,
        describe=compared_sets()[cell["data"]] if described else None,
        initial=START,
        rounds=cell["scorings"] // START - 1,
        proposals=START,
        augmentations=0,
    )
    return {"evaluated": result.evaluated, "template": result.best.template, "test": result.best.test}


def summary(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return test accuracies in %, the means over sets of the means over seeds, by method and scorings."""
    by_set: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in rows:
        tests = by_set.setdefault((row["row"], row["scorings"]), {})
        tests.setdefault(row["data"], []).append(100 * row["test"])
    table: dict[str, dict[str, float]] = {name: {} for name in METHODS}
    for name, scorings in sorted(by_set):
        table[name][str(scorings)] = round(mean_over_sets(by_set[name, scorings]), 2)
    return table


def few(folder: Path, name: str) -> Iterator[Sequence[str]]:
    """Yield the table of docs/results.md."""
    yield ("", *(f"{scorings} scorings" for scorings in SCORINGS))
    for method, tests in summary(read_rows(folder / f"{name}.jsonl")).items():
        yield (method, *(f"{tests[str(scorings)]:.1f}" for scorings in SCORINGS))


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argument_parser(__doc__)
    parser.add_argument("--keep", type=Path, help="file of rows")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    rows = rows_of(cells(), searched, options.keep)
    document: dict[str, Any] = {"rows": len(rows), "test": summary(rows)}
    print_document(document, options)


if __name__ == "__main__":
    main()
