"""What it costs to choose by few images, and what an ensemble brings, by ways of choosing.

For each bundled set the 308 built-in templates are encoded once. A pool of 140 of them is drawn by seed, and
few-shot images are drawn by seed: so many of each class, and at most 4 for validation.

``regret``: points on test between the best of the pool and what a way picks. ``over_pick``: points by which
an ensemble is above the pick of the program's rule. With each mean over sets stands its standard error, and
on how many sets it is above nought. Ways that look at logits are named ``logprob``: a reference, not a black
box.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import argument_parser, few_images, print_document, standard_error, whole_numbers
from benchmarks.pico_features import Clip, Floats, classifier, features_of
from promptclimb.agent.search.choice import MOST_CANDIDATES, MOST_IN_ENSEMBLE
from promptclimb.evaluator.pico import sets
from promptclimb.prompts.template_kind import BUILT_IN

Doubles = NDArray[np.float64]
POOL = 140
FIRST_SEED = 11


class Trial:
    """One pool under one few-shot sample: what a search would know of it.

    Args:
        features: Of the set, by split.
        texts: Class vectors of the pool: [T, C, E].
        templates: The pool.
        scale: The factor between cosine and logit.

    Attributes:
        logits: Cosines on train and val images together: [T, n, C].
        labels: Their labels: [n].
        hits: Whether each template sorts each image correctly: [T, n].
        copies: The share of each image's augmented copies that is sorted correctly: [T, n].
    """

    def __init__(
        self,
        features: Mapping[str, Floats],
        texts: Floats,
        templates: Sequence[str],
        scale: float,
        shots: int,
        seed: int,
    ) -> None:
        rng = Random(seed)
        few = {
            split: few_images(features[f"{split}_y"], most, rng)
            for split, most in (("train", shots), ("val", min(4, shots)))
        }

        def drawn(kind: str) -> Floats:
            return np.concatenate([features[f"{split}_{kind}"][images] for split, images in few.items()])

        images, copies, self.labels = drawn("x"), drawn("views"), drawn("y")
        self.texts, self.scale, self.train_images = texts, scale, len(few["train"])
        classes, width = texts.shape[1:]
        vectors = texts.reshape(-1, width).T
        self.logits = (images @ vectors).reshape(len(images), -1, classes).transpose(1, 0, 2)
        self.hits = self.logits.argmax(2) == self.labels
        on_copies = (copies.reshape(-1, width) @ vectors).reshape(*copies.shape[:2], -1, classes)
        self.copies = (on_copies.argmax(3) == self.labels[:, None, None]).mean(1).T
        self._words = np.array([len(template.split()) for template in templates])
        self._coin = np.array(
            [int(sha256(f"{seed}\0{template}".encode()).hexdigest()[:12], 16) for template in templates]
        )

    def order(self, values: Doubles) -> list[int]:
        """Return the pool's indices by values, the highest first, then by the rest of the program's rule."""
        train = self.hits[:, : self.train_images].mean(1)
        return np.lexsort([self._coin, self._words, -train, -np.round(values, 9)]).tolist()

    def accuracy(self, cosines: Floats) -> Doubles:
        """Return pooled accuracies, with that on train as a tie-break: [k, n, C] -> [k]."""
        hits = cosines.argmax(2) == self.labels
        return np.round(hits.mean(1), 9) + 1e-4 * hits[:, : self.train_images].mean(1)

    def logprob(self, cosines: Floats) -> Doubles:
        """Return mean log-probabilities of the true classes: [k, n, C] -> [k]."""
        scaled = self.scale * cosines.astype(np.float64)
        top = scaled.max(2, keepdims=True)
        true = np.take_along_axis(scaled, self.labels[None, :, None].astype(np.int64), 2)
        return np.asarray((true - top - np.log(np.exp(scaled - top).sum(2, keepdims=True)))[..., 0].mean(1))

    def grown(
        self, order: Sequence[int], value: Callable[[Floats], Doubles], start: int, most: int
    ) -> list[int]:
        """Return an ensemble grown as by ``agent.search.choice``, from the first ``start`` of an order."""
        chosen, candidates = list(order[:start]), list(order[:MOST_CANDIDATES])
        highest = value(self._together([chosen]))[0]
        while len(chosen) < most:
            larger = [[*chosen, candidate] for candidate in candidates]
            values = value(self._together(larger))
            if values.max() <= highest + 1e-12:
                break
            highest, chosen = values.max(), larger[int(values.argmax())]
        return chosen

    def _together(self, ensembles: Sequence[Sequence[int]]) -> Floats:
        sums = np.stack([self.logits[list(ensemble)].sum(0) for ensemble in ensembles])
        norms = np.stack([np.linalg.norm(self.texts[list(each)].sum(0), axis=1) for each in ensembles])
        return np.asarray(sums / norms[:, None, :])


def rankings(trial: Trial) -> dict[str, list[int]]:
    """Return the order of a pool by each way to choose."""
    on_images = trial.hits.mean(1)
    ways = {
        "images": on_images,
        "augmented copies": trial.copies.mean(1),
        "half and half (the program's)": np.concatenate([trial.hits, trial.copies], axis=1).mean(1),
        "logprob": trial.logprob(trial.logits),
    }
    return {way: trial.order(values) for way, values in ways.items()}


def ensembles(trial: Trial) -> dict[str, list[int]]:
    """Return what each way averages."""
    ranked = trial.order(trial.hits.mean(1))
    by_logprob = np.argsort(-trial.logprob(trial.logits), kind="stable").tolist()
    return {
        "mean of the first 3": ranked[:3],
        "greedy from the first 3": trial.grown(ranked, trial.accuracy, 3, MOST_IN_ENSEMBLE),
        "greedy by logprob": trial.grown(by_logprob, trial.logprob, 1, 5),
    }


def on_test(
    features: Mapping[str, Floats], trial: Trial, tests: Doubles
) -> tuple[dict[str, float], dict[str, float]]:
    """Return, in points, the regret of each pick, and what ensembles are above the pick.

    Args:
        features: Of the set, by split.
        trial: The pool.
        tests: The test accuracy of each of its templates.
    """
    orders = rankings(trial)
    pick = tests[orders["images"][0]]
    regret = {way: 100 * float(tests.max() - tests[order[0]]) for way, order in orders.items()}
    over_pick = {}
    for way, ensemble in ensembles(trial).items():
        predicted = (features["test_x"] @ classifier(trial.texts[ensemble]).T).argmax(1)
        over_pick[way] = 100 * float((predicted == features["test_y"]).mean() - pick)
    return regret, over_pick


def summed(values_by_way: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, dict[str, float]]:
    """Return the mean over sets of each way, its standard error, and how many sets are above nought."""
    table = {}
    for way, by_set in values_by_way.items():
        means = [float(np.mean(values)) for values in by_set.values()]
        table[way] = {
            "mean": round(float(np.mean(means)), 2),
            "se": round(standard_error(means), 2),
            "sets_above": sum(mean > 0 for mean in means),
        }
    return table


def main() -> None:
    """Print the figures as JSON."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", help="bundled sets (default: all)")
    parser.add_argument("--model", default="RN-pico", help="bundled model")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--shots", default="1,2,4,16", help="training images a class")
    parser.add_argument("--cache", type=Path, help="folder that keeps features for the next time")
    options = parser.parse_args()
    clip = Clip(options.model)
    names = options.data.split(",") if options.data else list(sets.names())
    tables: dict[str, dict[str, dict[str, dict[str, list[float]]]]] = {
        table: defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for table in ("regret", "over_pick")
    }
    for done, name in enumerate(names, start=1):
        features = features_of(name, options.model, clip, options.cache)
        texts = clip.texts(BUILT_IN, sets.spec(name).classes)
        nearest = np.stack([(features["test_x"] @ vectors.T).argmax(1) for vectors in texts])
        tests = (nearest == features["test_y"]).mean(1)
        for shots in whole_numbers(options.shots):
            for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
                pool = Random(f"undescribed{seed}").sample(range(len(BUILT_IN)), POOL)
                templates = [BUILT_IN[index] for index in pool]
                trial = Trial(features, texts[pool], templates, clip.logit_scale, shots, seed)
                for table, values in zip(tables, on_test(features, trial, tests[pool]), strict=True):
                    for way, value in values.items():
                        tables[table][f"{shots} shots"][way][name].append(value)
        print(f"{done} of {len(names)} sets", file=sys.stderr)
    report = {
        "model": options.model,
        "sets": len(names),
        "seeds": options.seeds,
        **{
            table: {shots: summed(values) for shots, values in by_shots.items()}
            for table, by_shots in tables.items()
        },
    }
    print_document(report, options)


if __name__ == "__main__":
    main()
