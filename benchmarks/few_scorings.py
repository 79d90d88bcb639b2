"""Compare methods without an LLM at few scorings, without the usual 80 starting templates.

    python benchmarks/few_scorings.py --keep docs/results/few-scorings.jsonl

The sets, descriptions and few shots are those of benchmarks/optimizers.py, so a line of its table at as many
scorings can be read beside this one. Rows that are kept are not searched again.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers.grid import sentences
from benchmarks.peers.kept import add_line, lines_of
from promptclimb import SearchConfig, search_sync

SCORINGS = (10, 20, 40, 80)
SEEDS = (1, 2, 3)
START = 5
"""Starting templates, and proposals in a round."""
METHODS = {"combine, with description": ("combine", True), "random": ("random", False)}


def rows(kept: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield every row, from those kept or searched now."""
    for seed in SEEDS:
        for data, sentence in sentences().items():
            for name, (method, described) in METHODS.items():
                for scorings in SCORINGS:
                    row = {"row": name, "data": data, "seed": seed, "scorings": scorings}
                    yield kept.get(json.dumps(row)) or row | _found(
                        row, method, sentence if described else None
                    )


def _found(row: Mapping[str, Any], method: str, describe: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = search_sync(
            SearchConfig(
                data=row["data"],
                seed=row["seed"],
                shots=16,
                model="RN-pico",
                method=method,
                describe=describe,
                restarts=1,
                conversations=1,
                initial=START,
                rounds=row["scorings"] // START - 1,
                proposals=START,
                augmentations=0,
                prefer_readable=False,
                run_dir=Path(folder) / "run",
            )
        )
    return {"evaluated": result.evaluated, "template": result.best.template, "test": result.best.test}


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return test accuracies in %, the means over sets of the means over seeds, by row and scorings."""
    table: dict[str, Any] = {}
    for name in METHODS:
        for scorings in SCORINGS:
            by_set: dict[str, list[float]] = {}
            for row in found:
                if (row["row"], row["scorings"]) == (name, scorings):
                    by_set.setdefault(row["data"], []).append(100 * row["test"])
            if by_set:
                mean = statistics.fmean(map(statistics.fmean, by_set.values()))
                table.setdefault(name, {})[str(scorings)] = round(mean, 2)
    return table


def main() -> None:
    """Search, keep rows, print the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, help="file of rows")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    kept = {
        json.dumps({name: row[name] for name in ("row", "data", "seed", "scorings")}): row
        for row in lines_of(options.keep)
    }
    known, found = list(kept.values()), []
    for row in rows(kept):
        found.append(row)
        if options.keep is not None and row not in known:
            add_line(options.keep, row)
    print(json.dumps({"rows": len(found), "test": summary(found)}, indent=1))


if __name__ == "__main__":
    main()
