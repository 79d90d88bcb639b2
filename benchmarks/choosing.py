"""What it costs to choose by few images, and what an ensemble brings: ways of choosing, by their regret.

For each bundled set a universe of templates is encoded once: the 308 built-in ones, and variations of those
that match the pictures (each with caption frames, and with a word left out). A pool of 140 is drawn by seed:
``undescribed``, all built-in; ``described``, 80 built-in and 60 variations, as a described search has.
Few-shot images are drawn by seed: so many of each class, and at most 4 for validation.

``regret``: points on test between the best of the pool and what a way picks. ``over_pick``: points by which
an ensemble is above the pick of today's rule; ``over_hand_made`` the same against the average of the
templates made by hand for the set, and ``over_openai`` against that of OpenAI's 80. With each mean stands its
standard error over sets, and on how many sets it is above nought. Ways that look at logits are named
``logprob``: a reference, not a black box.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.pico_features import Clip, Encoded, Floats, Ints, classifier, encoded
from promptclimb.agent.search.choice import MOST_CANDIDATES, MOST_IN_ENSEMBLE
from promptclimb.evaluator.pico import sets
from promptclimb.prompts.template_kind import BUILT_IN

Doubles = NDArray[np.float64]
POOLS = ("undescribed", "described")
DRAWN, ADDED = 80, 60


class Trial:
    """One pool under one few-shot sample: what a search would know of it.

    Attributes:
        texts: Class vectors of the pool: [T, C, E].
        logits: Cosines on train and val images together: [T, n, C].
        labels: Their labels: [n].
        hits: Whether each template sorts each image correctly: [T, n].
        ranked: The order of the program's rule.
    """

    def __init__(self, of: Encoded, pool: Sequence[int], shots: int, seed: int) -> None:
        rng = random.Random(seed)
        few = {
            split: _few(of.labels[split], most, rng)
            for split, most in (("train", shots), ("val", min(4, shots)))
        }
        images = np.concatenate([of.features[split][places] for split, places in few.items()])
        self.labels = np.concatenate([of.labels[split][places] for split, places in few.items()])
        self.templates = [of.templates[place] for place in pool]
        self.texts, self.scale, self.trained = of.texts[list(pool)], of.scale, len(few["train"])
        classes, width = self.texts.shape[1:]
        self.logits = (
            (images @ self.texts.reshape(-1, width).T).reshape(len(images), -1, classes).transpose(1, 0, 2)
        )
        self.predicted = self.logits.argmax(2)
        self.hits = self.predicted == self.labels
        views = np.concatenate([of.views[split][places] for split, places in few.items()])
        seen = (views.reshape(-1, width) @ self.texts.reshape(-1, width).T).reshape(
            *views.shape[:2], -1, classes
        )
        # How many of an image's views are sorted correctly: [T, n].
        self.held = (seen.argmax(3) == self.labels[:, None, None]).mean(1).T
        self._words = np.array([len(one.split()) for one in self.templates])
        self._coin = np.array(
            [int(sha256(f"{seed}\0{one}".encode()).hexdigest()[:12], 16) for one in self.templates]
        )
        self.ranked = self.order(self.hits.mean(1))

    def order(self, *values: Doubles) -> list[int]:
        """Return places by values, the highest first, then by the rest of the program's rule."""
        train = self.hits[:, : self.trained].mean(1)
        keys = [self._coin, self._words, -train, *(-np.round(value, 9) for value in reversed(values))]
        return np.lexsort(keys).tolist()

    def accuracy(self, cosines: Floats) -> Doubles:
        """Return pooled accuracies, with that on train as a tie-break: [k, n, C] -> [k]."""
        hits = cosines.argmax(2) == self.labels
        return np.round(hits.mean(1), 9) + 1e-4 * hits[:, : self.trained].mean(1)

    def logprob(self, cosines: Floats) -> Doubles:
        """Return mean log-probabilities of the true classes: [k, n, C] -> [k]."""
        scaled = self.scale * cosines.astype(np.float64)
        top = scaled.max(2, keepdims=True)
        true = np.take_along_axis(scaled, self.labels[None, :, None], 2)
        return np.asarray((true - top - np.log(np.exp(scaled - top).sum(2, keepdims=True)))[..., 0].mean(1))

    def grown(
        self, order: Sequence[int], value: Callable[[Floats], Doubles], start: int, most: int
    ) -> list[int]:
        """Return an ensemble grown as by ``agent.search.choice``, from the first ``start`` of an order."""
        chosen, candidates = list(order[:start]), list(order[:MOST_CANDIDATES])
        now = value(self._together([chosen]))[0]
        while len(chosen) < most:
            larger = [[*chosen, one] for one in candidates]
            values = value(self._together(larger))
            if values.max() <= now + 1e-12:
                break
            now, chosen = values.max(), larger[int(values.argmax())]
        return chosen

    def _together(self, ensembles: Sequence[Sequence[int]]) -> Floats:
        sums = np.stack([self.logits[list(one)].sum(0) for one in ensembles])
        norms = np.stack([np.linalg.norm(self.texts[list(one)].sum(0), axis=1) for one in ensembles])
        return np.asarray(sums / norms[:, None, :])

    def voted(self, start: int, most: int) -> list[int]:
        """Return an ensemble grown in pairs by votes of labels; one vote more never beats two."""
        votes = np.eye(self.texts.shape[1], dtype=np.float32)[self.predicted]
        chosen = self.ranked[:start]
        total = sum(votes[one] for one in chosen) + 1e-3 * votes[chosen[0]]
        now = self.accuracy(total[None])[0]
        pairs = [(a, b) for a in self.ranked[:10] for b in self.ranked[:10]]
        while len(chosen) + 1 < most:
            values = self.accuracy(np.stack([total + votes[a] + votes[b] for a, b in pairs]))
            if values.max() <= now + 1e-12:
                break
            now, (a, b) = values.max(), pairs[int(values.argmax())]
            chosen, total = [*chosen, a, b], total + votes[a] + votes[b]
        return chosen


def _few(labels: Ints, shots: int, rng: random.Random) -> list[int]:
    """Return what ``few_shot.sample`` draws: as many of each label, in their order."""
    found = []
    for label in range(int(labels.max()) + 1):
        places = np.flatnonzero(labels == label).tolist()
        found += rng.sample(places, shots) if len(places) >= shots else places
    return found


def picks(trial: Trial) -> dict[str, int]:
    """Return what each way picks of a pool."""
    pooled = trial.hits.mean(1)
    noise = trial.hits - trial.hits.mean(0)
    variance = max(float(noise.var(1).mean()) / len(trial.labels), 1e-6)
    alike = np.stack([(one == trial.predicted).mean(1) for one in trial.predicted])
    top = trial.ranked[:10]
    consensus = np.stack([alike[place] for place in top]).mean(0)
    near = alike**16
    views = trial.held.mean(1)
    both = np.concatenate([trial.hits, trial.held], axis=1).mean(1)
    unsure = max(float((trial.held - trial.held.mean(0)).var(1).mean()) / len(trial.labels), 1e-6)
    ways = {
        "pooled (today)": [pooled],
        "ties by augmented copies": [pooled, views],
        "with augmented copies": [both],
        "augmented copies alone": [views],
        "agreement, shrunken, augmented copies": [shrunken(views, centred(alike), unsure)],
        "words, shrunken": [shrunken(pooled, by_words(trial.templates), variance)],
        "agreement, shrunken": [shrunken(pooled, centred(alike), variance)],
        "ties by consensus of 10": [pooled, consensus],
        "plus half the consensus of 10": [pooled + consensus / 2],
        "mean of what decides alike": [near @ pooled / near.sum(1)],
        "logprob": [trial.logprob(trial.logits)],
    }
    return {name: trial.order(*values)[0] for name, values in ways.items()}


def by_words(templates: Sequence[str]) -> Doubles:
    """Return how much templates have in common by words that at least two of them use: [T, T]."""
    used = [set(re.findall(r"[^\W_]+", one.lower())) for one in templates]
    every = sorted(set().union(*used))
    found = np.array([[word in words for word in every] for words in used], dtype=float)
    found = found[:, found.sum(0) > 1]
    found /= np.sqrt(np.maximum(found.sum(1, keepdims=True), 1.0))
    return np.asarray(found @ found.T)


def centred(alike: Doubles) -> Doubles:
    """Return how much more than on average templates decide alike: [T, T]."""
    return np.asarray(alike - alike.mean(0) - alike.mean(1)[:, None] + alike.mean())


def shrunken(values: Doubles, common: Doubles, noise: float) -> Doubles:
    """Return empirical Bayes estimates: what templates have in common explains a part of their accuracies.

    Args:
        values: Accuracies.
        common: Covariance up to a factor.
        noise: Variance of an accuracy that few images give it.
    """
    common = common / max(float(np.mean(np.diag(common))), 1e-12)
    one, same = np.ones(len(values)), np.eye(len(values))
    best: tuple[float, Doubles] | None = None
    for shared in (0.0, 0.1, 0.3, 1.0, 3.0):
        for own in (0.0, 0.3, 1.0):
            prior = noise * (shared * common + own * same)
            inverse = np.linalg.inv(prior + noise * same)
            mean = (one @ inverse @ values) / (one @ inverse @ one)
            rest = values - mean
            likelihood = (np.linalg.slogdet(inverse)[1] - rest @ inverse @ rest) / 2
            if best is None or likelihood > best[0]:
                best = likelihood, mean + prior @ inverse @ rest
    assert best is not None
    return best[1]


def ensembles(trial: Trial) -> dict[str, list[int]]:
    """Return what each way averages."""
    by_logprob = np.argsort(-trial.logprob(trial.logits), kind="stable").tolist()
    return {
        "mean of the first 3": trial.ranked[:3],
        "mean of the first 10": trial.ranked[:10],
        "greedy from the first": trial.grown(trial.ranked, trial.accuracy, 1, 5),
        "greedy from the first 3": trial.grown(trial.ranked, trial.accuracy, 3, MOST_IN_ENSEMBLE),
        "greedy by logprob": trial.grown(by_logprob, trial.logprob, 1, 5),
        "mean of the first 3 by views": trial.order(trial.held.mean(1))[:3],
    }


def examined(
    of: Encoded, pool: Sequence[int], trial: Trial, singles: Doubles
) -> tuple[dict[str, float], ...]:
    """Return, in points, the regret of each pick, and what ensembles are above the pick and the hand-made."""
    here = singles[list(pool)]
    now = here[trial.ranked[0]]

    def right(predicted: Ints) -> float:
        return float((predicted == of.labels["test"]).mean())

    def average(places: Sequence[int]) -> float:
        return right((of.features["test"] @ classifier(trial.texts[list(places)]).T).argmax(1))

    def vote(places: Sequence[int]) -> float:
        each = [(of.features["test"] @ trial.texts[place].T).argmax(1) for place in places]
        votes = sum(np.eye(of.classes)[one] for one in each) + 1e-3 * np.eye(of.classes)[each[0]]
        return right(np.asarray(votes).argmax(1))

    regret = {name: here.max() - here[place] for name, place in picks(trial).items()}
    over = {name: average(places) - now for name, places in ensembles(trial).items()}
    over["vote of the first 3"] = vote(trial.ranked[:3]) - now
    over["vote, greedy from the first 3"] = vote(trial.voted(3, MOST_IN_ENSEMBLE)) - now
    ours = {"pick (today)": 0.0, **over}
    past = [
        {
            name: value + now - right((of.features["test"] @ classifier(theirs).T).argmax(1))
            for name, value in ours.items()
        }
        for theirs in (of.hand_made, of.openai)
    ]
    found = ({name: float(value) for name, value in regret.items()}, over, *past)
    return tuple({name: 100 * value for name, value in table.items()} for table in found)


def pool_of(of: Encoded, kind: str, seed: int) -> list[int]:
    """Return places of a pool; see the module's docstring."""
    rng = random.Random(f"{kind}{seed}")
    built_in, varied = range(len(BUILT_IN)), range(len(BUILT_IN), len(of.templates))
    if kind == "undescribed":
        return rng.sample(built_in, DRAWN + ADDED)
    return rng.sample(built_in, DRAWN) + rng.sample(varied, min(ADDED, len(varied)))


def summed(found: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, float]]:
    """Return mean over sets of each way, its standard error, and how many sets are above nought.

    Args:
        found: Values by way and set.
    """
    table = {}
    for way, by_set in found.items():
        means = [float(np.mean(values)) for values in by_set.values()]
        error = np.std(means, ddof=1) / len(means) ** 0.5 if len(means) > 1 else 0.0
        table[way] = {
            "mean": round(float(np.mean(means)), 2),
            "se": round(float(error), 2),
            "sets_above": sum(mean > 0 for mean in means),
        }
    return table


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", help="bundled sets (default: all)")
    parser.add_argument("--model", default="RN-pico", help="bundled model")
    parser.add_argument(
        "--pictures", type=int, default=1, help="seed of the pictures; 1 are the bundled ones"
    )
    parser.add_argument("--first-seed", type=int, default=11, help="first seed of pools and few shots")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--shots", default="1,2,4,16", help="training images a class")
    parser.add_argument("--cache", type=Path, help="folder that keeps features for the next time")
    args = parser.parse_args()
    clip = Clip(args.model)
    names = args.data.split(",") if args.data else list(sets.names())
    tables: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = {
        "regret": {},
        "over_pick": {},
        "over_hand_made": {},
        "over_openai": {},
    }
    for done, name in enumerate(names, start=1):
        of = encoded(name, clip, args.pictures, args.cache)
        nearest = [(of.features["test"] @ one.T).argmax(1) for one in of.texts]
        singles = (np.stack(nearest) == of.labels["test"]).mean(1)
        for shots in map(int, args.shots.split(",")):
            for seed in range(args.first_seed, args.first_seed + args.seeds):
                for kind in POOLS:
                    pool = pool_of(of, kind, seed)
                    trial = Trial(of, pool, shots, seed)
                    for table, values in zip(tables, examined(of, pool, trial, singles), strict=True):
                        cell = tables[table].setdefault(
                            f"{kind}, {shots} shots", defaultdict(lambda: defaultdict(list))
                        )
                        for way, value in values.items():
                            cell[way][name].append(value)
        print(f"{done} of {len(names)} sets", file=sys.stderr)
    report = {
        "model": args.model,
        "sets": len(names),
        "seeds": args.seeds,
        **{table: {cell: summed(found) for cell, found in cells.items()} for table, cells in tables.items()},
    }
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
