"""Replay races on the answers of a bundled CLIP: labels asked for, and the test accuracy that it costs.

    python benchmarks/racing.py --cache FOLDER --keep docs/results/racing.json

Each search is a few-shot draw of a drawn set (RN-pico says which images are right) and its candidates, the
same for every rule. ``points_lost`` are the points on test by which the pick without races is better; picks
are made as the program makes them: by training and validation images, then training images, fewer words, a
hash. ``labels`` is the share of the training images' labels, ``over_2`` how many searches lose more than two
points. On ``--data tallies,signal-flags,ink-colours,displays,drawn-things,coloured-things``, 2.25 standard
errors never lost two points; the 2.75 of the program were taken after trials on the reported sets.

``starting``    40 random templates of the grammar, 16 shots; ``one-shot``, ``four-shot``: the same with fewer
``close``       the 40 of a search's 160 templates that are best on test, against the best one on train of its
                first 16 rounds
``search``      the 40 starting templates and 24 rounds of 5 of a search with ``combine``, 16 shots
``few-classes`` 4 to 12 random templates, one 10 points ahead on test; 3 to 6 classes, 8 or 16 shots
``two-level``   the same with two in front, one point apart at most

``program`` is agent/search/racing.py: it drops those that are behind the leader by more than ``MARGIN``
standard errors of the paired difference. Rivals do so at other ``z``; ``whole`` takes the difference on all
training images, whose error ends at 0; ``spending`` has z from the number of candidates and looks, at 5 % for
all; ``half`` drops at most the worse half at once; ``halving`` is successive halving, whatever the distance.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import argument_parser, few_images, over_sets, print_document
from benchmarks.pico_features import Clip, Floats
from promptclimb import SearchConfig, search_sync
from promptclimb.agent.search.racing import FIRST_IMAGES, race, stratified
from promptclimb.evaluator.scoring import BASELINE_DEFAULT, EvaluatorInfo, Score, SplitScores
from promptclimb.prompts.starting import draw
from promptclimb.prompts.template_kind import KIND
from training import sets

DATA = (
    *("dice", "roman-numerals", "binary-numbers", "backgrounds", "frames", "photos", "morse-letters"),
    "outlines",
)
SPLITS = ("train", "val", "test")
RANDOM, ROUNDS, AT_ONCE, EARLY, VAL_SHOTS = 40, 24, 5, 16, 4
AHEAD, LEVEL = 0.1, 0.01
Bools = NDArray[np.bool_]


class Drawn:
    """One set: features of its pictures, kept in a folder, and which ones a template classifies correctly."""

    def __init__(self, name: str, clip: Clip, cache: Path) -> None:
        self.name, self.classes, self._clip = name, sets.spec(name).classes, clip
        self._texts: dict[str, Floats] = {}
        file = cache / f"RN-pico-{name}.npz"
        if not file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            arrays: dict[str, Any] = {}
            for split in SPLITS:
                pictures = list(sets.pictures(name, split))
                arrays[f"{split}_y"] = np.array([self.classes.index(label) for label, _ in pictures])
                arrays[f"{split}_x"] = clip.pictures(picture for _, picture in pictures)
            np.savez(file, **arrays)
        with np.load(file) as kept:
            self.labels = {split: kept[f"{split}_y"] for split in SPLITS}
            self._images = {split: kept[f"{split}_x"] for split in SPLITS}

    def right(self, texts: Sequence[str], split: str, classes: Sequence[int]) -> Bools:
        """Return which images of these classes alone each template classifies correctly: [T, n]."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._texts]:
            self._texts.update(zip(new, self._clip.texts(new, self.classes), strict=True))
        shown = np.isin(self.labels[split], classes)
        labels, images = self.labels[split][shown], self._images[split][shown]
        return np.stack(
            [
                np.asarray(classes)[(images @ self._texts[text][classes].T).argmax(1)] == labels
                for text in texts
            ]
        )


class Search(NamedTuple):
    """The candidates of a search, step by step, and what they do.

    Attributes:
        texts: The candidates.
        steps: Indices of those that race together, each step against the best one before.
        train: Which training images each classifies correctly: [T, images].
        val: The same of validation images.
        labels: Of the training images.
        test: Accuracy of each.
        order: Seeds the order of the images and what decides between equals.
    """

    texts: Sequence[str]
    steps: Sequence[Sequence[int]]
    train: Bools
    val: Bools
    labels: Sequence[int]
    test: NDArray[np.float64]
    order: int

    def hash(self, index: int) -> str:
        """Return what decides between equals."""
        return hashlib.sha256(f"{self.order}\0{self.texts[index]}".encode()).hexdigest()

    def pick(self, candidates: Sequence[int]) -> int:
        """Return the candidate that the program would choose of those scored on all few-shot images."""
        train, both = self.train.sum(1), self.train.sum(1) + self.val.sum(1)
        return min(
            candidates,
            key=lambda index: (
                -both[index],
                -train[index],
                len(self.texts[index].split()),
                self.hash(index),
            ),
        )


def search_of(
    drawn: Drawn, texts: Sequence[str], steps: Sequence[Sequence[int]], shots: int, order: int,
    classes: Sequence[int] | None = None,
) -> Search:  # fmt: skip
    """Return a search on a few-shot draw of some classes."""
    classes = range(len(drawn.classes)) if classes is None else classes
    rng, few, labels = Random(f"{drawn.name} {order}"), {}, {}
    for split, most in (("train", shots), ("val", min(VAL_SHOTS, shots))):
        of_split = drawn.labels[split][np.isin(drawn.labels[split], classes)]
        by_rank = np.searchsorted(np.sort(classes), of_split)
        indices = few_images(by_rank, most, rng)
        few[split] = drawn.right(texts, split, sorted(classes))[:, indices]
        labels[split] = of_split[indices].tolist()
    test = drawn.right(texts, "test", sorted(classes)).mean(1)
    return Search(texts, steps, few["train"], few["val"], labels["train"], test, order)


class Scorer:
    """A scorer of the program on a few-shot draw, for the candidates of a search."""

    def __init__(self, drawn: Drawn, order: int) -> None:
        self._drawn, self._order = drawn, order
        self.info = EvaluatorInfo(
            dataset=drawn.name, classes=len(drawn.classes), shots=16, seed=order,
            sizes={"train": 16 * len(drawn.classes), "val": VAL_SHOTS * len(drawn.classes), "test": 1000},
            model="RN-pico", pretrained="", fingerprint=f"{drawn.name} {order}",
            class_names=drawn.classes, baselines={BASELINE_DEFAULT: ("a photo of a {}",)},
        )  # fmt: skip

    def score(self, templates: Sequence[str]) -> list[Score]:
        """Score on the few-shot images."""
        of_all = search_of(self._drawn, templates, (), 16, self._order)
        return [
            Score(train=float(train.mean()), val=float(val.mean()))
            for train, val in zip(of_all.train, of_all.val, strict=True)
        ]

    def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
        """Nothing is averaged, and test is nobody's business here."""
        return [SplitScores(train=0.0, val=0.0, test=0.0 if test else None) for _ in ensembles]


def combined(drawn: Drawn, order: int) -> tuple[list[str], list[list[int]]]:
    """Return the templates of a search with ``combine`` and its steps."""
    with tempfile.TemporaryDirectory() as folder:
        result = search_sync(
            SearchConfig(
                method="combine", describe=sets.title(drawn.name), initial=RANDOM, rounds=ROUNDS, seed=order,
                proposals=AT_ONCE, restarts=1, conversations=1, racing="off", run_dir=Path(folder) / "run",
            ),
            custom_scorer=Scorer(drawn, order),
        )  # fmt: skip
    rows = sorted(result.leaderboard, key=lambda row: (row.round, row.rank))
    steps: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        steps.setdefault(row.round, []).append(index)
    return [row.template for row in rows], list(steps.values())


def few_classes(drawn: Drawn, pool: Sequence[str], order: int, front: int) -> Search:
    """Return a search among few candidates on few classes, ``front`` of which are clearly the best."""
    rng = Random(f"few {drawn.name} {order} {front}")
    while True:
        number, shots = rng.randint(3, min(6, len(drawn.classes))), rng.choice((8, 16))
        classes = sorted(rng.sample(range(len(drawn.classes)), number))
        test = drawn.right(pool, "test", classes).mean(1)
        best = int(rng.choice(np.argsort(-test)[:20].tolist()))
        level = [
            index
            for index in range(len(pool))
            if index != best and 0 <= test[best] - test[index] <= LEVEL + 1e-9
        ]
        behind = [index for index in range(len(pool)) if test[best] - test[index] >= AHEAD]
        candidates = rng.randint(4, 12)
        if len(level) >= front - 1 and len(behind) >= candidates - front:
            chosen = [best, *rng.sample(level, front - 1), *rng.sample(behind, candidates - front)]
            texts = [pool[index] for index in rng.sample(chosen, candidates)]
            return search_of(drawn, texts, [range(candidates)], shots, order, classes)


def searches_of(drawn: Drawn, draws: int) -> dict[str, list[Search]]:
    """Return the searches of one set, by series."""
    series: dict[str, list[Search]] = {}
    pool = [
        template.text for template in draw(KIND.starting("grammar")[0], draws * RANDOM, Random(drawn.name))
    ]
    for order in range(1, draws + 1):
        starting = pool[(order - 1) * RANDOM : order * RANDOM]
        for name, shots in (("starting", 16), ("four-shot", 4), ("one-shot", 1)):
            series.setdefault(name, []).append(search_of(drawn, starting, [range(RANDOM)], shots, order))
        texts, steps = combined(drawn, order)
        search = search_of(drawn, texts, steps, 16, order)
        series.setdefault("search", []).append(search)
        early = [index for step in steps[1 : EARLY + 1] for index in step]
        incumbent = max(early, key=lambda index: (int(search.train[index].sum()), search.hash(index)))
        best = [int(index) for index in np.argsort(-search.test, kind="stable") if index != incumbent]
        series.setdefault("close", []).append(search._replace(steps=[[incumbent], best[:RANDOM]]))
        series.setdefault("few-classes", []).append(few_classes(drawn, pool, order, 1))
        series.setdefault("two-level", []).append(few_classes(drawn, pool, order, 2))
    return series


class Look(NamedTuple):
    """What a rule sees of those in a race after some images.

    Attributes:
        right: How many images each classifies correctly.
        behind: How many more the leader does.
        differing: On how many images each differs from the leader.
        asked: Images asked so far.
        images: All training images.
        candidates: How many there are in all.
        looks: How often the rule looks.
    """

    right: NDArray[np.int64]
    behind: NDArray[np.int64]
    differing: NDArray[np.int64]
    asked: int
    images: int
    candidates: int
    looks: int


Rule = Callable[[Look], Bools]
"""Says whom to drop."""


def far(z: float) -> Rule:
    """Drop by standard errors."""
    return lambda look: look.behind > z * np.sqrt(look.differing)


def far_of_whole(z: float) -> Rule:
    """Drop by standard errors of the difference on all images, of which some are known."""
    return lambda look: look.behind > z * np.sqrt(look.differing * (1 - look.asked / look.images))


def spending(look: Look) -> Bools:
    """Drop by a sequential test at 5 % for all candidates and looks."""
    return far(NormalDist().inv_cdf(1 - 0.05 / (look.candidates * look.looks)))(look)


def halving(look: Look) -> Bools:
    """Drop the worse half."""
    return np.argsort(np.argsort(-look.right, kind="stable")) >= math.ceil(len(look.right) / 2)


RIVALS: Mapping[str, Rule] = {
    "z = 1": far(1), "z = 2": far(2), "whole, z = 3": far_of_whole(3), "spending": spending,
    "half, z = 2": lambda look: halving(look) & far(2)(look), "halving": halving,
}  # fmt: skip
Step = Callable[[Search, Sequence[int], int | None], Mapping[int, int]]
"""Races candidates against the best one before; returns how many images each was asked on."""


def program(search: Search, candidates: Sequence[int], best: int | None) -> dict[int, int]:
    """Race as the program does."""
    asked = dict.fromkeys(candidates, 0)
    index_of = {search.hash(index): index for index in [*candidates, *([] if best is None else [best])]}

    async def answers(texts: Sequence[str], image_indices: Sequence[int]) -> dict[str, list[bool]]:
        for text in texts:
            if index_of[text] != best:  # its labels are known
                asked[index_of[text]] += len(image_indices)
        return {text: search.train[index_of[text], image_indices].tolist() for text in texts}

    racing, leader = [search.hash(index) for index in candidates], best if best is None else search.hash(best)
    out = asyncio.run(race(racing, leader, stratified(search.labels, search.order), answers))
    finalists = {index_of[text] for text in racing if text not in out}
    return {index: len(search.labels) if index in finalists else count for index, count in asked.items()}


def by_rule(rule: Rule) -> Step:
    """Return a race of this rule, which looks when the program does."""

    def step(search: Search, candidates: Sequence[int], best: int | None) -> dict[int, int]:
        images = len(search.labels)
        order = stratified(search.labels, search.order)
        asked, racing = dict.fromkeys(candidates, images), [*candidates, *([] if best is None else [best])]
        looks = list(
            itertools.takewhile(lambda until: until < images, (FIRST_IMAGES << i for i in range(32)))
        )
        for until in looks:
            if len(racing) == 1:
                break
            known = search.train[racing][:, order[:until]].astype(int)
            right = known.sum(1)
            leader = int(right.argmax())
            differing = (known != known[leader]).sum(1)
            look = Look(right, right[leader] - right, differing, until, images, len(candidates), len(looks))
            dropped = {racing[place] for place in np.flatnonzero(rule(look))} - {best}
            asked |= dict.fromkeys(dropped, until)
            racing = [index for index in racing if index not in dropped]
        return asked

    return step


def replayed(search: Search, step: Step) -> tuple[float, float]:
    """Return the points that races lose on test, and the share of labels that they ask for."""
    best, whole, asked, images = None, list[int](), 0, len(search.labels)
    everybody = [index for candidates in search.steps for index in candidates]
    for candidates in search.steps:
        counts = step(search, candidates, best)
        asked += sum(counts.values())
        whole += [index for index, count in counts.items() if count == images]
        # During a search, the best one on train is ahead; of equals the earlier one.
        best = max(whole, key=lambda index: int(search.train[index].sum()))
    lost = search.test[search.pick(everybody)] - search.test[search.pick(whole)]
    return 100 * float(lost), asked / (images * len(everybody))


def table(searches: Mapping[str, Mapping[str, Sequence[Search]]], orders: int) -> dict[str, Any]:
    """Return what each rule loses and asks for, by series."""
    results: dict[str, Any] = {}
    series = list(next(iter(searches.values())))
    for name, (rule, step) in itertools.product(
        series, {"program": program, **{rule: by_rule(far) for rule, far in RIVALS.items()}}.items()
    ):
        lost: dict[str, list[float]] = {}
        labels = []
        for data, by_series in searches.items():
            for search, order in itertools.product(by_series[name], range(orders)):
                points, share = replayed(search._replace(order=search.order + 100 * order), step)
                lost.setdefault(data, []).append(points)
                labels.append(share)
        every = [points for of_set in lost.values() for points in of_set]
        results.setdefault(name, {})[rule] = {
            "searches": len(every),
            "points_lost": round(float(np.mean(every)), 2),
            "interval": [round(end, 2) for end in over_sets(lost, f"{name} {rule}").interval],
            "worst": round(max(every), 1),
            "over_2": sum(points > 2 for points in every),
            "labels": round(100 * float(np.mean(labels)), 1),
        }
        print(name, rule, results[name][rule], file=sys.stderr)
    return results


def main() -> None:
    """Print the figures as JSON."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", default=",".join(DATA), help="drawn sets")
    parser.add_argument("--draws", type=int, default=7, help="few-shot draws of each set")
    parser.add_argument("--orders", type=int, default=4, help="orders of the images of each draw")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps features of pictures")
    parser.add_argument("--keep", type=Path, help="file for the figures too")
    options = parser.parse_args()
    clip = Clip("RN-pico")
    searches = {
        name: searches_of(Drawn(name, clip, options.cache), options.draws) for name in options.data.split(",")
    }
    document = {
        "sets": len(searches),
        "draws": options.draws,
        "orders": options.orders,
        "results": table(searches, options.orders),
    }
    if options.keep is not None:
        options.keep.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print_document(document, options)


if __name__ == "__main__":
    main()
