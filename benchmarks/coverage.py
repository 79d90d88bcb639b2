"""Whether the intervals of a result hold what they should, and how often a verdict says too much.

``methods``: exact coverage of five 95 % intervals for paired shares, over a grid of shares of images on which
two templates decide differently (0.5 to 30 % on each side): the lowest, the mean, the mean distance from
95 %, and the mean width in points. Newcombe's also needs how many other images are right: half of them.

``searches``: repeated searches of a fixed pool. Each draws its few-shot images, its 80 templates of the
built-in 308 (the first 40 are its starting ones) and its test images; chooses by the program's rule; and
makes the program's gain. The truth is the accuracy on all fresh test pictures, from which the test images are
drawn: by chance, or as many of each class. ``holds`` is the share of intervals that hold it, ``better`` and
``worse`` the shares of verdicts that claim so.

``words_do_nothing``: the same where chance says, template by template, whether an image is sorted
correctly: ``independent``, or ``shared``, where nine images of ten are alike for all templates.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

# In front of this folder, where the name `evaluator` is another benchmark.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.pico_features import Clip, classifier, features_of, fresh
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.present.sentences import gain_of
from promptclimb.agent.results.gain import GroupOnTest, Z, paired
from promptclimb.agent.results.result import Gain, words_of_all
from promptclimb.agent.search.choice import ranking
from promptclimb.evaluator.datasets.hand_made import for_dataset
from promptclimb.evaluator.pico import sets
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN, KIND

Bits = NDArray[np.bool_]
Interval = tuple[float, float]
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
INITIAL, SHOTS, VAL_SHOTS, ENSEMBLE = 80, 40, 10, 3


def wald(better: int, worse: int, images: int) -> Interval:
    """Return the plain one."""
    d = (better - worse) / images
    half = Z * math.sqrt(max(0.0, (better + worse) / images - d * d) / images)
    return d - half, d + half


def bonett_price(better: int, worse: int, images: int) -> Interval:
    """Return the plain one with one image more on each side (2012)."""
    p, q = (better + 1) / (images + 2), (worse + 1) / (images + 2)
    half = Z * math.sqrt((p + q - (p - q) ** 2) / (images + 2))
    return p - q - half, p - q + half


def newcombe(better: int, worse: int, images: int) -> Interval:
    """Return Newcombe's method 10 for pairs (1998), half of the other images right."""
    both = (images - better - worse) // 2
    first, second = both + better, both + worse
    (l1, u1), (l2, u2) = wilson(first, images), wilson(second, images)
    product = first * (images - first) * second * (images - second)
    cross = both * (images - both - better - worse) - better * worse
    phi = (max(cross - images / 2, 0.0) if cross > 0 else cross) / math.sqrt(product) if product else 0.0
    p, q = first / images, second / images
    low = math.sqrt((p - l1) ** 2 - 2 * phi * (p - l1) * (u2 - q) + (u2 - q) ** 2)
    high = math.sqrt((u1 - p) ** 2 - 2 * phi * (u1 - p) * (q - l2) + (q - l2) ** 2)
    return p - q - low, p - q + high


def wilson(right: int, images: int) -> Interval:
    """Return Wilson's interval for one share."""
    p, square = right / images, Z * Z / images
    middle = (p + square / 2) / (1 + square)
    half = Z * math.sqrt(p * (1 - p) / images + square / (4 * images)) / (1 + square)
    return middle - half, middle + half


def bootstrap(better: int, worse: int, images: int) -> Interval:
    """Return percentiles of 500 resamples."""
    rng = np.random.default_rng(better * 1000 + worse)
    chances = np.array([better, worse, images - better - worse]) / images
    drawn = rng.multinomial(images, chances, size=500)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / images, [0.025, 0.975])
    return float(low), float(high)


METHODS: Mapping[str, Callable[[int, int, int], Interval]] = {
    "wald": wald,
    "bootstrap": bootstrap,
    "newcombe": newcombe,
    "bonett_price": bonett_price,
    "tango": paired,
}


def exact(method: Callable[[int, int, int], Interval], images: int) -> dict[str, float]:
    """Return the coverage of one method, over all outcomes weighted by their probability."""
    counts = [(b, c) for b in range(images + 1) for c in range(images + 1 - b)]
    b, c = np.array(counts).T
    edges = np.array([method(*count, images) for count in counts])
    ways = np.array([math.lgamma(n + 1) for n in range(images + 1)])
    covered, widths = [], []
    for p in SHARES:
        for q in SHARES:
            log = ways[images] - ways[b] - ways[c] - ways[images - b - c]
            log = log + b * np.log(p) + c * np.log(q) + (images - b - c) * np.log(1 - p - q)
            weights = np.exp(log)
            inside = (edges[:, 0] <= p - q + 1e-9) & (edges[:, 1] >= p - q - 1e-9)
            covered.append(float(weights @ inside))
            widths.append(float(weights @ (edges[:, 1] - edges[:, 0])))
    return {
        "lowest": round(min(covered), 3),
        "mean": round(float(np.mean(covered)), 3),
        "off": round(float(np.mean(np.abs(np.array(covered) - 0.95))), 3),
        "width_points": round(100 * float(np.mean(widths)), 1),
    }


class World:
    """Whether templates classify pictures correctly, looked up.

    Attributes:
        pool: Built-in templates that can be drawn.
        hand_made: Hand-made templates, the best of which is compared with.
        train: Hits on few-shot training pictures: [T, n]; ``val`` and ``test`` likewise.
        labels: Of each split's pictures.
    """

    def __init__(self, name: str, templates: Sequence[str], hand_made: Sequence[str], classes: int) -> None:
        self.name, self.templates, self.hand_made, self.classes = name, list(templates), hand_made, classes
        self.place = {template: number for number, template in enumerate(templates)}
        self.hits: dict[str, Bits] = {}
        self.labels: dict[str, NDArray[np.int64]] = {}

    def together(self, places: Sequence[int]) -> Bits | None:
        """Return hits of an ensemble on test; None where there are no features to average."""
        return None


class Drawn(World):
    """A bundled set under a bundled CLIP."""

    def __init__(self, name: str, model: str, images: int) -> None:
        classes = sets.spec(name).classes
        hand_made = for_dataset(name)["hand-made"]
        templates = list(dict.fromkeys((*BUILT_IN, KIND.example, *hand_made)))
        super().__init__(f"{name}, {model}", templates, hand_made, len(classes))
        clip = Clip(model)
        self._texts = clip.texts(templates, classes)
        sizes = {"train": SHOTS * len(classes), "val": VAL_SHOTS * len(classes), "test": images}
        for split, count in sizes.items():
            drawn = fresh(name, count, f"coverage-{split}", tested=split == "test")
            features, labels = features_of(clip, drawn)
            self.labels[split] = labels
            self.hits[split] = np.stack([(features @ one.T).argmax(1) == labels for one in self._texts])
            self._test = features

    def together(self, places: Sequence[int]) -> Bits | None:
        """See ``World``."""
        found = (self._test @ classifier(self._texts[list(places)]).T).argmax(1)
        return np.asarray(found == self.labels["test"])


class Chance(World):
    """No template is better than another: what is right is drawn at random."""

    def __init__(self, name: str, images: int, shared: float, seed: int = 1) -> None:
        super().__init__(name, list(dict.fromkeys((*BUILT_IN, KIND.example))), BUILT_IN[:3], 10)
        rng = np.random.default_rng(seed)
        for split, count in (("train", 400), ("val", 100), ("test", images)):
            self.labels[split] = np.arange(count) % self.classes
            alike = rng.random(count) < shared
            own = rng.random((len(self.templates), count)) < 0.6
            self.hits[split] = np.where(alike, rng.random(count) < 0.6, own)


def one_search(
    world: World, shots: int, images: int, seed: int, *, balanced: bool
) -> tuple[Gain, dict[str, float]]:
    """Search once; return the gain as a result would have it, and the true differences in points."""
    rng = Random(f"{world.name}/{seed}")
    few = {
        "train": _sample(world, "train", shots, rng),
        "val": _sample(world, "val", min(4, shots), rng),
    }
    sizes = {split: len(places) for split, places in few.items()}
    shares = {split: world.hits[split][:, places].mean(1) for split, places in few.items()}

    def ranked(templates: Sequence[str]) -> list[Entry]:
        return ranking([_scored(world, shares, one) for one in templates], sizes=sizes, seed=seed)

    pool = rng.sample([one for one in BUILT_IN if one in world.place], INITIAL)
    initial = ranked(pool[: INITIAL // 2])
    found = ranked(pool)
    of = {
        "best": [found[0].text],
        "default template": [KIND.example],
        "best hand-made": [ranked(world.hand_made)[0].text],
        "best starting template": [initial[0].text],
    }
    hits = {name: world.hits["test"][world.place[one[0]]] for name, one in of.items()}
    of["ensemble"] = [entry.text for entry in found[:ENSEMBLE]]
    mean = world.together([world.place[one] for one in of["ensemble"]])
    hits["ensemble"] = hits["best"] if mean is None else mean
    if mean is None:
        # Averages of what is drawn at random would be better than each: the ensemble is left out.
        of["ensemble"] = of["best"]
    if balanced:
        test = _sample(world, "test", images // world.classes, rng)
    else:
        test = rng.choices(range(len(world.labels["test"])), k=images)
    seen = {name: _examined(of[name], bits[test]) for name, bits in hits.items()}
    baselines = {
        name: seen[name] for name in ("default template", "best hand-made", "best starting template")
    }
    gain = gain_of(seen["best"], seen["ensemble"], baselines, images=len(test), words=words_of_all(()))
    assert gain is not None
    truth = {name: 100 * float(hits["best"].mean() - hits[name].mean()) for name in gain.over}
    truth["ensemble"] = 100 * float(hits["ensemble"].mean() - hits["best"].mean())
    return gain, truth


def _sample(world: World, split: str, shots: int, rng: Random) -> list[int]:
    labels = world.labels[split]
    return [
        place
        for label in range(world.classes)
        for place in rng.sample(np.flatnonzero(labels == label).tolist(), shots)
    ]


def _scored(world: World, shares: Mapping[str, NDArray[np.float64]], template: str) -> Entry:
    train, val = (float(shares[split][world.place[template]]) for split in ("train", "val"))
    return Entry(
        candidate=Template.parse(template, max_words=None),
        score=Score(train=train, val=val),
        value=train,
        position=Position(1),
    )


def _examined(templates: Sequence[str], bits: Bits) -> GroupOnTest:
    return GroupOnTest(templates=tuple(templates), test=float(bits.mean()), hits=bits.tolist())


def repeated(
    world: World, args: argparse.Namespace, images: int, *, balanced: bool = False
) -> dict[str, Any]:
    """Search again and again; return how often the intervals held the truth, and what was claimed."""
    held: Counter[str] = Counter()
    of: Counter[str] = Counter()
    claims: Counter[str] = Counter()
    for seed in range(args.searches):
        gain, truth = one_search(world, args.shots, images, seed, balanced=balanced)
        claims.update({"better": " better than " in gain.verdict, "worse": " worse than " in gain.verdict})
        differences = {**gain.over, "ensemble": gain.ensemble}
        for name, one in differences.items():
            # Where both are one template there is nothing to estimate.
            if one is not None and one.interval != (0.0, 0.0):
                low, high = one.interval
                of[name] += 1
                held[name] += low <= truth[name] <= high
    return {
        "world": world.name,
        "test_images": images,
        "each_class_alike": balanced,
        "searches": args.searches,
        "holds": {name: {"share": round(held[name] / n, 3), "of": n} for name, n in of.items()},
        "all": round(sum(held.values()) / sum(of.values()), 3),
        **{name: round(claims[name] / args.searches, 3) for name in ("better", "worse")},
    }


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="tallies,coloured-things", help="bundled sets")
    parser.add_argument("--model", default="RN-pico", help="bundled model")
    parser.add_argument("--fresh", type=int, default=20_000, help="pictures that the truth is known from")
    parser.add_argument("--searches", type=int, default=1000, help="repeated searches")
    parser.add_argument("--shots", type=int, default=4, help="training images a class")
    parser.add_argument("--images", default="100,1000", help="test images of a search")
    parser.add_argument("--exact", default="20,50,100", help="images of the exact comparison")
    args = parser.parse_args()
    sizes = [int(size) for size in args.images.split(",")]
    report: dict[str, Any] = {
        "methods": {
            images: {name: exact(method, images) for name, method in METHODS.items()}
            for images in map(int, args.exact.split(","))
        }
    }
    chances = [Chance("independent", args.fresh, 0.0), Chance("shared", args.fresh, 0.9)]
    report["words_do_nothing"] = [repeated(world, args, size) for world in chances for size in sizes]
    report["searches"] = [
        repeated(world, args, size, balanced=balanced)
        for name in args.data.split(",")
        for world in [Drawn(name, args.model, args.fresh)]
        for size in sizes
        for balanced in (False, True)
    ]
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
