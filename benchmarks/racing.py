"""Replay races on recorded labels: labels asked for against the test accuracy of the pick.

    python benchmarks/racing.py --cache CACHE --keep docs/results/racing.json

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

import asyncio
import json
import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import argument_parser, over_sets, print_document, search_once
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
    labels = np.load(path)
    return Recorded(
        labels["train"],
        labels["train_labels"].tolist(),
        labels["test"],
        labels["rounds"],
        len(labels["val_labels"]),
    )


def _computed(name: str, seed: int) -> dict[str, Any]:
    result = search_once(
        data=name,
        seed=seed,
        shots=16,
        model="RN-pico",
        method="combine",
        describe=sets.title(name),
        initial=RANDOM,
        rounds=ROUNDS,
        proposals=AT_ONCE,
        augmentations=0,
    )
    rows = sorted(result.leaderboard, key=lambda row: (row.round, row.rank))
    drawn = draw(KIND.starting("grammar")[0], RANDOM, rng_for(seed, "racing", name))
    texts = [template.text for template in drawn] + [row.template for row in rows]
    evaluator = open_evaluator(
        EvaluatorSpec(data=name, shots=16, seed=seed, model="RN-pico", augmentations=0)
    )
    arrays: dict[str, Any] = {"rounds": np.array([-1] * RANDOM + [row.round for row in rows])}
    for split in ("train", "val", "test"):
        predictions = evaluator.predict([[text] for text in texts], split=split)
        labels = np.array(predictions.labels)
        right = np.stack([np.array(predicted) == labels for predicted in predictions.predicted])
        arrays[split] = right.mean(1) if split == "test" else right
        arrays[f"{split}_labels"] = labels
    return arrays


class Replay:
    """Races on one recorded set, with the images in the order that ``order`` draws."""

    def __init__(self, labels: Recorded, stages: Sequence[Stage], order: int) -> None:
        self._recorded = labels
        self._stages = stages
        self._order = order
        self.asked = self.asked_val = self.candidates = 0

    def pick(self, templates: Sequence[int], incumbent: int | None = None) -> int:
        """Return the best of some templates and the incumbent on train, by index, if they race for it."""
        names = {f"{self._order} {index}": index for index in templates}
        champion = None if incumbent is None else "incumbent"

        asked = dict.fromkeys(names, 0)

        async def ask_labels(texts: Sequence[str], images: Sequence[int]) -> dict[str, Hits]:
            for text in texts:
                if text != champion:  # its labels are known
                    asked[text] += len(images)
            return {
                text: self._recorded.right[incumbent if text == champion else names[text], images].tolist()
                for text in texts
            }

        blocks = race_blocks(self._recorded.labels, self._order, self._stages)
        outcomes = asyncio.run(race(list(names), champion, blocks, ask_labels))
        finalists = [names[text] for text, outcome in outcomes.items() if isinstance(outcome, Finalist)]
        for text, count in asked.items():
            self.asked += len(self._recorded.labels) if isinstance(outcomes[text], Finalist) else count
        self.asked_val += self._recorded.val * len(finalists)
        self.candidates += len(templates)
        candidates = finalists if incumbent is None else [incumbent, *finalists]
        # Of equals the incumbent, else chance.
        coins = np.random.default_rng(self._order).random(len(self._recorded.test))
        right = self._recorded.right.sum(1)
        return max(candidates, key=lambda index: (right[index], index == incumbent, coins[index]))

    def shares(self) -> tuple[float, float]:
        """Return the labels asked for, as shares of those on train and of all."""
        train, val = self.candidates * len(self._recorded.labels), self.candidates * self._recorded.val
        return self.asked / train, (self.asked + self.asked_val) / (train + val)


def starting(replay: Replay, labels: Recorded) -> int:
    """Return the pick of random templates."""
    return replay.pick(np.flatnonzero(labels.rounds == -1).tolist())


def close(replay: Replay, labels: Recorded) -> int:
    """Return the pick of the best proposals against an incumbent."""
    proposed = np.flatnonzero(labels.rounds >= 0)
    early = proposed[labels.rounds[proposed] <= EARLY]
    incumbent = int(early[labels.right[early].sum(1).argmax()])
    best = proposed[np.argsort(-labels.test[proposed], kind="stable")]
    return replay.pick([int(index) for index in best if index != incumbent][:RANDOM], incumbent)


def restart(replay: Replay, labels: Recorded) -> int:
    """Return the pick of a restart."""
    best = replay.pick(np.flatnonzero(labels.rounds == 0).tolist())
    replay.asked = replay.asked_val = replay.candidates = 0
    for number in range(1, ROUNDS + 1):
        if step := np.flatnonzero(labels.rounds == number).tolist():
            best = replay.pick(step, best)
    return best


SERIES = {"starting": starting, "close": close, "restart": restart}


def scaled(strength: float) -> tuple[Stage, ...]:
    """Return the program's rule with larger or smaller shares."""
    return tuple(replace(stage, keep=min(1.0, strength * stage.keep)) for stage in STAGES)


def table(recorded_by_set: dict[str, list[Recorded]], orders: int) -> dict[str, Any]:
    """Return labels and regret of each rule, by series."""
    rules = {"halving": HALVING} | {
        f"race, shares x {strength:g}": scaled(strength) for strength in STRENGTHS
    }
    results: dict[str, Any] = {}
    for series, play in SERIES.items():
        for rule, stages in rules.items():
            regrets: dict[str, list[float]] = defaultdict(list)
            shares: list[tuple[float, float]] = []
            for name, seeds in recorded_by_set.items():
                for labels in seeds:
                    differences = []
                    for order in range(orders):
                        full = labels.test[play(Replay(labels, (), order), labels)]
                        raced = Replay(labels, stages, order)
                        differences.append(100 * float(full - labels.test[play(raced, labels)]))
                        shares.append(raced.shares())
                    regrets[name].append(float(np.mean(differences)))
            regret = over_sets(regrets, f"{series} {rule}")
            on_train, with_val = (round(100 * float(share), 1) for share in np.mean(shares, axis=0))
            results.setdefault(series, {})[rule] = {
                "labels": on_train,
                "with_val": with_val,
                "regret": round(regret.mean, 2),
                "interval": [round(end, 2) for end in regret.interval],
            }
            print(series, rule, results[series][rule], file=sys.stderr)
    return results


def main() -> None:
    """Print the figures as JSON."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", choices=tuple(DATA), default="report", help="which sets and seeds")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps labels")
    parser.add_argument("--orders", type=int, default=8, help="orders of the images")
    parser.add_argument("--keep", type=Path, help="file for the figures too")
    options = parser.parse_args()
    seeds = SEEDS[options.data]
    recorded_by_set = {
        name: [recorded(name, seed, options.cache) for seed in seeds]
        for name in DATA[options.data].split(",")
    }
    document = {
        "sets": len(recorded_by_set),
        "seeds": len(seeds),
        "orders": options.orders,
        "results": table(recorded_by_set, options.orders),
    }
    if options.keep is not None:
        options.keep.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print_document(document, options)


if __name__ == "__main__":
    main()
