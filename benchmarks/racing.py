"""Replay races on recorded labels: labels asked for against the test accuracy of the pick.

    python benchmarks/racing.py --cache CACHE --json docs/results/racing.json

For each bundled set and seed (RN-pico, 16 shots), which images each template classifies correctly is computed
once and kept in ``--cache``. Three series are replayed, each under several orders of the images:

``starting``: 40 random templates of the grammar, without an incumbent.
``close``: the 40 of 160 proposals of ``combine`` that are best on test, against the best one on train of the
    first 16 rounds.
``restart``: the 40 starting templates of a restart, then all its 24 rounds of 5 proposals, each against the
    best one so far. Labels are counted over the rounds alone.

``regret`` are the points on test by which full scoring's pick is better, with a 95 % interval over sets and
seeds; ``labels`` is the share of the training images' labels, ``with_val`` that of all few-shot images, of
which those that are dropped are asked nothing on val. The rule has the largest shares tried that
ask for at most 15 % of all labels on ``--data tuning``, where the regrets of the rules tried did not differ
measurably. Tighter shares had been replayed on the reported sets before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.over_sets import over_sets
from promptclimb import SearchConfig, search_sync
from promptclimb.agent.position import rng_for
from promptclimb.agent.search.racing import STAGES, Finalist, Hits, Stage, race, race_blocks
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.pico import sets
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template_kind import KIND

DATA = {
    "report": "dice,roman-numerals,binary-numbers,backgrounds,frames,photos,morse-letters,outlines",
    "tuning": "tallies,signal-flags,ink-colours,displays,drawn-things,coloured-things",
}
SEEDS = {"report": (1, 2, 3), "tuning": (11, 12, 13)}
RANDOM, ROUNDS, AT_ONCE = 40, 24, 5
EARLY = 16
NEVER = math.inf
HALVING = (
    Stage(1, 0.5, NEVER, NEVER),
    Stage(2, 0.3, NEVER, NEVER),
    Stage(4, 0.2, NEVER, NEVER),
    Stage(8, 0.1, NEVER, NEVER),
)
STRENGTHS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Factors of the rule's shares, for the curve; 1 is the program's."""


class Recorded(NamedTuple):
    """One set and seed: right answers [T, n], labels [n], test accuracies [T], the round of each template.

    Random templates have round -1, a restart's starting templates 0.
    """

    right: NDArray[np.bool_]
    labels: list[int]
    test: NDArray[np.float64]
    rounds: NDArray[np.int64]
    val: int


def recorded(name: str, seed: int, cache: Path) -> Recorded:
    """Return the labels of one set and seed, from the cache or computed now."""
    path = cache / f"{name}-{seed}.npz"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **_computed(name, seed))
    found = np.load(path)
    return Recorded(
        found["train"],
        found["train_labels"].tolist(),
        found["test"],
        found["rounds"],
        len(found["val_labels"]),
    )


def _computed(name: str, seed: int) -> dict[str, Any]:
    texts = [one.text for one in draw(KIND.starting("grammar"), RANDOM, rng_for(seed, "racing", name))]
    with tempfile.TemporaryDirectory() as folder:
        result = search_sync(
            SearchConfig(
                data=name,
                seed=seed,
                shots=16,
                model="RN-pico",
                method="combine",
                describe=sets.title(name),
                restarts=1,
                conversations=1,
                initial=RANDOM,
                rounds=ROUNDS,
                proposals=AT_ONCE,
                augmentations=0,
                prefer_readable=False,
                run_dir=Path(folder) / "run",
            )
        )
    rows = sorted(result.leaderboard, key=lambda row: (row.round, row.rank))
    texts += [row.template for row in rows]
    evaluator = open_evaluator(
        EvaluatorSpec(data=name, shots=16, seed=seed, model="RN-pico", augmentations=0)
    )
    found: dict[str, Any] = {"rounds": np.array([-1] * RANDOM + [row.round for row in rows])}
    for split in ("train", "val", "test"):
        predictions = evaluator.predict([[one] for one in texts], split=split)
        labels = np.array(predictions.labels)
        right = np.stack([np.array(one) == labels for one in predictions.predicted])
        found[split] = right.mean(1) if split == "test" else right
        found[f"{split}_labels"] = labels
    return found


class Replay:
    """Races on one recorded set, with the images in the order that ``order`` draws."""

    def __init__(self, of: Recorded, stages: Sequence[Stage], order: int) -> None:
        self._of = of
        self._stages = stages
        self._order = order
        self.asked = self.asked_val = self.candidates = 0

    def pick(self, places: Sequence[int], incumbent: int | None = None) -> int:
        """Return the best of some templates and the incumbent on train, if they race for it."""
        names = {f"{self._order} {place}": place for place in places}
        champion = None if incumbent is None else "incumbent"

        asked = dict.fromkeys(names, 0)

        async def ask_some(texts: Sequence[str], images: Sequence[int]) -> dict[str, Hits]:
            for text in texts:
                if text != champion:  # its labels are known
                    asked[text] += len(images)
            return {
                text: self._of.right[incumbent if text == champion else names[text], images].tolist()
                for text in texts
            }

        blocks = race_blocks(self._of.labels, self._order, self._stages)
        outcomes = asyncio.run(race(list(names), champion, blocks, ask_some))
        finalists = [names[text] for text, outcome in outcomes.items() if isinstance(outcome, Finalist)]
        for text, count in asked.items():
            self.asked += len(self._of.labels) if isinstance(outcomes[text], Finalist) else count
        self.asked_val += self._of.val * len(finalists)
        self.candidates += len(places)
        standing = finalists if incumbent is None else [incumbent, *finalists]
        # Of equals the incumbent, else chance.
        coins = np.random.default_rng(self._order).random(len(self._of.test))
        return max(standing, key=lambda one: (self._of.right[one].sum(), one == incumbent, coins[one]))

    def shares(self) -> tuple[float, float]:
        """Return the labels asked for, as shares of those on train and of all."""
        train, val = self.candidates * len(self._of.labels), self.candidates * self._of.val
        return self.asked / train, (self.asked + self.asked_val) / (train + val)


def starting(replay: Replay, of: Recorded) -> int:
    """Return the pick of random templates."""
    return replay.pick(np.flatnonzero(of.rounds == -1).tolist())


def close(replay: Replay, of: Recorded) -> int:
    """Return the pick of the best proposals against an incumbent."""
    proposed = np.flatnonzero(of.rounds >= 0)
    early = proposed[of.rounds[proposed] <= EARLY]
    incumbent = int(early[of.right[early].sum(1).argmax()])
    best = proposed[np.argsort(-of.test[proposed], kind="stable")]
    return replay.pick([int(one) for one in best if one != incumbent][:RANDOM], incumbent)


def restart(replay: Replay, of: Recorded) -> int:
    """Return the pick of a restart."""
    best = replay.pick(np.flatnonzero(of.rounds == 0).tolist())
    replay.asked = replay.asked_val = replay.candidates = 0
    for number in range(1, ROUNDS + 1):
        if step := np.flatnonzero(of.rounds == number).tolist():
            best = replay.pick(step, best)
    return best


SERIES = {"starting": starting, "close": close, "restart": restart}


def scaled(strength: float) -> tuple[Stage, ...]:
    """Return the program's rule with larger or smaller shares."""
    return tuple(replace(stage, keep=min(1.0, strength * stage.keep)) for stage in STAGES)


def table(found: dict[str, list[Recorded]], orders: int) -> dict[str, Any]:
    """Return labels and regret of each rule, by series."""
    rules = {"halving": HALVING} | {f"race, shares x {one:g}": scaled(one) for one in STRENGTHS}
    results: dict[str, Any] = {}
    for series, play in SERIES.items():
        for rule, stages in rules.items():
            regrets: dict[str, list[float]] = defaultdict(list)
            shares: list[tuple[float, float]] = []
            for name, seeds in found.items():
                for of in seeds:
                    differences = []
                    for order in range(orders):
                        full = of.test[play(Replay(of, (), order), of)]
                        raced = Replay(of, stages, order)
                        differences.append(100 * float(full - of.test[play(raced, of)]))
                        shares.append(raced.shares())
                    regrets[name].append(float(np.mean(differences)))
            regret = over_sets(regrets, f"{series} {rule}")
            labels, with_val = (round(100 * float(one), 1) for one in np.mean(shares, axis=0))
            results.setdefault(series, {})[rule] = {
                "labels": labels,
                "with_val": with_val,
                "regret": round(regret.mean, 2),
                "interval": [round(one, 2) for one in regret.interval],
            }
            print(series, rule, results[series][rule], file=sys.stderr)
    return results


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=tuple(DATA), default="report", help="which sets and seeds")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps labels")
    parser.add_argument("--orders", type=int, default=8, help="orders of the images")
    parser.add_argument("--json", type=Path, help="file for the figures too")
    options = parser.parse_args()
    found = {
        name: [recorded(name, seed, options.cache) for seed in SEEDS[options.data]]
        for name in DATA[options.data].split(",")
    }
    document = {
        "sets": len(found),
        "seeds": len(SEEDS[options.data]),
        "orders": options.orders,
        "results": table(found, options.orders),
    }
    said = json.dumps(document, indent=1)
    if options.json is not None:
        options.json.write_text(said + "\n", encoding="utf-8")
    print(said)


if __name__ == "__main__":
    main()
