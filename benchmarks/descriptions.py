"""Measure what a description brings to a search without an LLM.

    python benchmarks/descriptions.py --json

Searches the bundled sets below with each method for the same number of scored templates (80 initial and 60
more, one restart) and prints the test accuracy of what was chosen, by arm, with paired differences to
``random``: the mean over sets of the differences averaged over seeds, and its standard error over sets. An
arm is a method and its description: none, the sentence, or the same in unusual words.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from promptclimb import SearchConfig, search
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator
from promptclimb.evaluator.spec import EvaluatorSpec


class Sayings(NamedTuple):
    """Two ways to say what the pictures of a set show."""

    sentence: str
    unusual: str


SETS: Mapping[str, Sayings] = {
    "roman-numerals": Sayings(
        "numbers written as Roman numerals", "quantities spelled with the letters that ancient Rome used"
    ),
    "dice": Sayings(
        "dice; the class is the number of pips",
        "gambling cubes after a throw; what is asked for is the sum of the spots",
    ),
    "tallies": Sayings("tally marks", "scratches bundled in fives, as prisoners keep them"),
    "binary-numbers": Sayings(
        "numbers written in binary", "amounts as a computer stores them, noughts beside ones"
    ),
    "coloured-things": Sayings(
        "things of one colour on a background of another; the class is the colour of the thing",
        "an item on a differently tinted backdrop; what is asked for is the item's own hue",
    ),
    "ink-colours": Sayings(
        "a colour word written in ink of another colour; the class is the colour of the ink",
        "the term for one hue typeset in a mismatching tint; what is asked for is the tint of the typeface",
    ),
    "clock-minutes": Sayings(
        "analogue clocks; the class is the hour mark that the minute hand points at",
        "timepieces with a brief and a lengthy indicator; what is asked for is where the lengthy one aims",
    ),
    "handwritten-letters": Sayings("handwritten letters", "alphabet glyphs penned by various people"),
    "photos": Sayings("photographs of things", "snapshots of everyday articles, taken with a camera"),
    "signal-flags": Sayings(
        "maritime signal flags; the class is the letter that a flag stands for",
        "bunting that ships hoist to spell; what is asked for is the character",
    ),
    "counted-things": Sayings(
        "some things of one kind; the class is how many there are",
        "a handful of the same article; what is asked for is the quantity",
    ),
    "outlines": Sayings(
        "a filled shape beside an outlined one; the class is the outlined shape",
        "two figures, one solid and one hollow; what is asked for is the hollow one",
    ),
}
EIGHT = tuple(SETS)[:8]
"""The sets that the project's figures began with."""
ARMS: tuple[tuple[str, str], ...] = (
    ("random", ""),
    ("combine", ""),
    ("combine", "sentence"),
    ("combine", "unusual"),
)


async def chosen(
    evaluator: Evaluator, arm: tuple[str, str], sayings: Sayings, options: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """Return what one search chose, and what its initial templates offered."""
    method, saying = arm
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data=evaluator.info.dataset,
            method=method,
            describe=getattr(sayings, saying) if saying else None,
            seed=seed,
            restarts=1,
            conversations=1,
            initial=options.initial,
            proposals=5,
            rounds=options.more // 5,
            starting_pool=options.pool,
            augmentations=0,
            prefer_readable=False,
            run_dir=Path(folder) / "run",
        )
        result = await search(config, evaluator=evaluator)
    return {
        "test": result.best.test,
        "initial": result.baselines["best starting template"].test,
        "ensemble": result.ensemble.test,
        "template": result.best.template,
        "scored": result.evaluated,
    }


def compared(rows: Sequence[Mapping[str, Any]], arm: str, base: str, figure: str) -> dict[str, float]:
    """Return an arm's mean, and its difference to another in points, paired by set and seed."""
    sets = sorted({row["set"] for row in rows})

    def mean(name: str, one: str, of: str) -> float:
        return statistics.mean(100 * row[of] for row in rows if row["arm"] == name and row["set"] == one)

    differences = [mean(arm, one, figure) - mean(base, one, "test") for one in sets]
    spread = statistics.stdev(differences) / len(sets) ** 0.5 if len(sets) > 1 else 0.0
    return {
        "mean": round(statistics.mean(mean(arm, one, figure) for one in sets), 1),
        "over": round(statistics.mean(differences), 1),
        "standard_error": round(spread, 1),
        "sets_above": sum(difference > 0 for difference in differences),
    }


def named(arm: tuple[str, str]) -> str:
    """Return an arm's name."""
    method, saying = arm
    return f"{method}, description: {saying}" if saying else method


def main() -> None:
    """Read options, search, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=",".join(EIGHT), help="sets, of those in this file")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--initial", type=int, default=80)
    parser.add_argument("--more", type=int, default=60, help="templates proposed, a multiple of 5")
    parser.add_argument("--pool", default="captions", help="captions or grammar")
    parser.add_argument("--model", default="RN-pico")
    parser.add_argument("--arms", default="", help="numbers of arms, from 0; all if empty")
    parser.add_argument("--rows", action="store_true", help="print every search too")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args()
    arms = [ARMS[int(place)] for place in options.arms.split(",")] if options.arms else list(ARMS)
    torch.set_num_threads(1)  # small matrices; on a busy machine several threads wait for each other
    rows: list[dict[str, Any]] = []
    for data in options.data.split(","):
        for seed in map(int, options.seeds.split(",")):
            evaluator = open_evaluator(EvaluatorSpec(data=data, seed=seed, model=options.model))
            for arm in arms:
                found = asyncio.run(chosen(evaluator, arm, SETS[data], options, seed))
                rows.append({"set": data, "seed": seed, "arm": named(arm), **found})
            print(f"{data} {seed}", file=sys.stderr, flush=True)
    base = named(ARMS[0])
    names = [named(arm) for arm in arms]
    document: dict[str, Any] = {
        "pool": options.pool,
        "initial": compared(rows, names[0], base, "initial"),
        "arms": {name: compared(rows, name, base, "test") for name in names},
        "by_set": {
            data: {
                name: round(
                    statistics.mean(
                        100 * row["test"] for row in rows if row["arm"] == name and row["set"] == data
                    ),
                    1,
                )
                for name in names
            }
            for data in options.data.split(",")
        },
    }
    if options.rows:
        document["rows"] = rows
    print(json.dumps(document, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
