"""Measure what scores bring to an LLM that knows nothing else about the pictures.

    python benchmarks/finding_out.py --llm local --seeds 1,2,3 --keep rows.jsonl --json
    python benchmarks/finding_out.py --answers answers.jsonl --base-url URL --llm MODEL --json

Search bundled sets that have to be found out by experiment: 80 starting templates, one conversation, six
rounds of eight proposals, no description. Arms:

``random``, ``combine``          without an LLM; they score as many templates in each cell as the arm with an
                                 LLM that scored the most there, and no fewer than all rounds propose
``pn``                           the paper's conversation, as it ships
``pn, shuffled``                 the same, but what it shows says nothing of single templates: the best and
                                 worst are starting templates drawn at random, and the scores of an answer
                                 are shuffled among its templates
``pn, class names``              ``pn`` with the class names in its first message
``pn, class names, shuffled``    likewise

All arms choose by true scores, so a shuffled one loses only what the LLM could have learned. How good an
answer was as a whole is still to be seen there, so the difference is rather too small than too large. Print
test accuracies in %, differences in points, paired by set and seed, with standard errors over these cells;
``course`` in a row is the best few-shot accuracy after the starting templates and after each round.

Answers are kept by the hash of their request, as in ``with_llm.py``: what ``--answers`` lacks is asked of
``--base-url`` and added; without it, the table is made again from the file. ``--keep`` holds finished
searches.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.peers.kept import lines_of
from benchmarks.with_llm import Recorded, all_rows, answering, keep
from promptclimb import SearchConfig, SearchResult, search
from promptclimb.agent.methods.base import Ask, Conversation, SearchMethod, Steps, View, shown
from promptclimb.agent.methods.registry import METHODS
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import Evaluator
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.prompts.requests import feedback, names_shown, request_pn
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template_kind import KIND

SETS = "wallpapers,small-shapes"
INITIAL = 80


class Arm(NamedTuple):
    """A method, and whether it asks an LLM."""

    name: str
    method: str
    asks: bool = True


ARMS = (
    Arm("random", "random", asks=False),
    Arm("combine", "combine", asks=False),
    Arm("pn", "pn"),
    Arm("pn, shuffled", "pn-shuffled"),
    Arm("pn, class names", "pn-names"),
    Arm("pn, class names, shuffled", "pn-names-shuffled"),
)
PAIRS = (("pn", "pn, shuffled"), ("pn, class names", "pn, class names, shuffled"))


def conversation(view: View, *, shuffled: bool) -> Steps:
    """Hold the conversation of ``pn``, after the class names if there are some."""
    best, worst = view.memory.best(view.top_k), view.memory.worst(view.top_k)
    if shuffled:
        drawn = view.rng().sample(list(view.memory), len(best) + len(worst))
        best, worst = drawn[: len(best)], drawn[len(best) :]
    opening = request_pn(shown(best), shown(reversed(worst)), view.wanted)
    if view.class_names:
        names = view.wordings.say("rich.classes", names=names_shown(view.class_names))
        opening[0]["content"] = f"{names}\n\n{opening[0]['content']}"
    talk = Conversation(opening, max_turns=view.max_turns)
    while True:
        came = yield Ask(talk.messages())
        outcomes = list(came.outcomes)
        if shuffled:
            scored = [at for at, one in enumerate(outcomes) if one.score is not None]
            scores = [outcomes[at].score for at in scored]
            view.rng().shuffle(scores)
            for at, score in zip(scored, scores, strict=True):
                outcomes[at] = replace(outcomes[at], score=score)
        talk.add(came.text, feedback(outcomes, view.wanted, best_before=came.best_before))


def register() -> None:
    """Add this benchmark's methods to the program's."""
    for name, shuffled in (("pn-names", False), ("pn-names-shuffled", True), ("pn-shuffled", True)):
        METHODS[name] = SearchMethod(
            summary="pn of a benchmark",
            conversation=lambda view, shuffled=shuffled: conversation(view, shuffled=shuffled),
            uses_class_names="names" in name,
        )


def course(result: SearchResult, rounds: int) -> list[float]:
    """Return the best few-shot accuracy, in %, after the starting templates and after each round."""
    best = [
        max((row.train for row in result.leaderboard if row.round <= number), default=0.0)
        for number in range(rounds + 1)
    ]
    return [round(100 * one, 1) for one in best]


def starting_templates(folder: Path, seed: int, plural: float) -> Path:
    """Write the starting templates that the program draws, a share of them about several things."""
    rng = random.Random(f"plural/{seed}")
    texts = [template.text for template in draw(KIND.starting("grammar"), INITIAL, random.Random(seed))]
    some = [
        re.sub(r"(\b(an?|the) )?\{\}", "{}s", text, flags=re.IGNORECASE) if rng.random() < plural else text
        for text in texts
    ]
    file = folder / "starting.txt"
    file.write_text("\n".join(some) + "\n", "utf-8")
    return file


async def played(
    evaluator: Evaluator,
    arm: Arm,
    data: str,
    seed: int,
    options: argparse.Namespace,
    chat: Recorded | None,
    more: int,
) -> dict[str, Any]:
    """Return what one search chose; without an LLM it proposes ``more`` templates."""
    rounds = options.rounds if arm.asks else -(-more // options.proposals)
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            data=data,
            method=arm.method,
            llm=(options.llm if chat is None else "recorded") if arm.asks else None,
            seed=seed,
            restarts=1,
            conversations=1,
            rounds=rounds,
            proposals=options.proposals,
            initial=starting_templates(Path(folder), seed, options.plural) if options.plural else INITIAL,
            augmentations=0,
            request_timeout=options.timeout,
            retry_seconds=options.timeout,
            prefer_readable=False,
            run_dir=Path(folder) / "run",
        )
        result = await search(config, evaluator=evaluator, chat=chat if arm.asks else None)
    return {
        "set": data,
        "seed": seed,
        "plural": options.plural,
        "arm": arm.name,
        "test": result.best.test,
        "starting": result.baselines["best starting template"].test,
        "default": result.baselines["default template"].test,
        "template": result.best.template,
        "scored": result.evaluated,
        "calls": result.usage.calls,
        "course": course(result, rounds),
    }


async def cell(
    data: str,
    seed: int,
    options: argparse.Namespace,
    chat: Recorded | None,
    kept: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return the rows of a set and seed, those of arms that ask an LLM first."""
    rows = [row for row in kept if (row["set"], row["seed"], row["plural"]) == (data, seed, options.plural)]
    left = [arm for arm in chosen_arms(options) if all(row["arm"] != arm.name for row in rows)]
    if not left:
        return rows
    evaluator = open_evaluator(EvaluatorSpec(data=data, seed=seed, model=options.model))
    asking = {arm.name for arm in ARMS if arm.asks}
    for arm in sorted(left, key=lambda arm: not arm.asks):
        scored = [row["scored"] - INITIAL for row in rows if row["arm"] in asking]
        more = max([options.rounds * options.proposals, *scored])
        row = await played(evaluator, arm, data, seed, options, chat, more)
        keep([row], options.keep)
        rows.append(row)
    return rows


def chosen_arms(options: argparse.Namespace) -> list[Arm]:
    """Return the arms asked for."""
    return [ARMS[int(place)] for place in options.arms.split(",")]


async def table(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each search; cells that wait for an endpoint wait together."""
    kept = lines_of(options.keep)
    async with answering(options) as chat:
        cells = [
            cell(data, seed, options, chat, kept)
            for seed, data in itertools.product(map(int, options.seeds.split(",")), options.data.split(","))
        ]
        return await all_rows(cells, at_once=chat is not None)


def document_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means by arm and set, and differences between arms."""
    names = [arm.name for arm in ARMS if any(row["arm"] == arm.name for row in rows)]
    sets = list(dict.fromkeys(row["set"] for row in rows))

    def of(name: str, data: str | None = None) -> dict[tuple[str, int], Mapping[str, Any]]:
        return {
            (row["set"], row["seed"]): row
            for row in rows
            if row["arm"] == name and data in (None, row["set"])
        }

    def over(first: str, second: str, data: str | None) -> dict[str, Any]:
        ours, theirs = of(first, data), of(second, data)
        found = [100 * (ours[key]["test"] - theirs[key]["test"]) for key in ours if key in theirs]
        error = statistics.stdev(found) / len(found) ** 0.5 if len(found) > 1 else None
        return {"points": statistics.fmean(found), "standard_error": error, "cells": len(found)}

    def mean(figure: str, some: Iterable[Mapping[str, Any]]) -> float:
        return statistics.fmean(row[figure] for row in some)

    pairs = [(name, "random") for name in names if name != "random" and "random" in names]
    pairs += [pair for pair in PAIRS if set(pair) <= set(names)]
    return {
        "test": {
            data: {
                "default": 100 * mean("default", of_set),
                "best starting template": 100 * mean("starting", of_set),
                **{name: 100 * mean("test", some.values()) for name in names if (some := of(name, data))},
            }
            for data in sets
            for of_set in [[row for row in rows if row["set"] == data]]
        },
        "scored": {name: mean("scored", of(name).values()) for name in names},
        "calls": {name: mean("calls", of(name).values()) for name in names},
        "differences": {
            f"{first} over {second}": {data or "all": over(first, second, data) for data in (None, *sets)}
            for first, second in pairs
        },
    }


def page_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a head and a line for each share of plurals, with the arms that know the class names."""
    first, second = PAIRS[1]
    heads = ("starting templates", "best of them", "random", "combine", first, second)
    yield (*heads, "over random (standard error)", "over shuffled")
    for plural in sorted({row["plural"] for row in rows}):
        shown = ("random", "combine", first, second)
        some = [row for row in rows if row["plural"] == plural and row["arm"] in shown]
        document = document_of(some)
        arms = [statistics.fmean(100 * row["test"] for row in some if row["arm"] == arm) for arm in shown]
        starting = statistics.fmean(100 * row["starting"] for row in some)
        over = [document["differences"][f"{first} over {other}"]["all"] for other in ("random", second)]
        name = f"{plural:.0%} plural" if plural else "as drawn"
        differences = [f"{one['points']:+.1f} ({one['standard_error']:.1f})" for one in over]
        yield (name, *(f"{value:.1f}" for value in (starting, *arms)), *differences)


def rounded(value: Any) -> Any:
    """Return a document with one decimal."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return round(value, 1) if isinstance(value, float) else value


def main() -> None:
    """Read options, search, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=SETS, help=f"bundled sets (default: {SETS})")
    parser.add_argument("--seeds", default="1,2,3", help="few-shot images and starting templates")
    arms = "; ".join(f"{number} {arm.name}" for number, arm in enumerate(ARMS))
    parser.add_argument("--arms", default="0,1,2,3,4,5", help=f"numbers of arms: {arms}")
    parser.add_argument(
        "--plural", type=float, default=0.0, help="share of starting templates that are put into the plural"
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--proposals", type=int, default=8, help="templates per answer")
    parser.add_argument("--keep", type=Path, help="JSON lines of finished searches, continued if there")
    parser.add_argument("--answers", type=Path, help="file of recorded answers")
    parser.add_argument("--base-url", help="whom to ask for answers that are not recorded")
    parser.add_argument("--llm", default="by-hand", help="the model's name there; or local")
    parser.add_argument("--model", default="RN-pico", help="bundled CLIP")
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds that an answer may take")
    parser.add_argument("--rows", action="store_true", help="print every search too")
    parser.add_argument("--json", action="store_true", help="the document on one line")
    options = parser.parse_args()
    if options.base_url and options.answers is None:
        parser.error("--base-url needs --answers, the file in which what it answers is kept")
    torch.set_num_threads(1)  # small matrices; on a busy machine several threads wait for each other
    register()
    rows = asyncio.run(table(options))
    document = rounded(document_of(rows))
    if options.rows:
        document["rows"] = rows
    print(json.dumps(document, indent=None if options.json else 2))


if __name__ == "__main__":
    main()
