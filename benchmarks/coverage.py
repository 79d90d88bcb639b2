"""How often the intervals of a result hold the truth, and how often a verdict says too much.

Repeat searches of a fixed pool. Each draws its few-shot images, its 80 templates of the built-in 308 (the
first 40 are its starting ones) and its test images; chooses by the program's rule; and makes the program's
gain. The truth is the accuracy on all fresh test pictures, from which the test images are drawn: by chance,
or as many of each class. ``holds`` is the share of intervals that hold it, ``better`` and ``worse`` the
shares of verdicts that claim so.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from promptclimb.agent.results.gain import gain_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import argument_parser, few_images, print_document, whole_numbers
from benchmarks.pico_features import Clip, classifier, encode, fresh
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.results.gain import GroupOnTest
from promptclimb.agent.results.result import Gain, words_of_all
from promptclimb.agent.search.choice import ranking
from promptclimb.evaluator.datasets.hand_made import for_dataset
from promptclimb.evaluator.scoring import Score
from promptclimb.prompts.template import Template
from promptclimb.prompts.template_kind import BUILT_IN, KIND
from training import sets

Bits = NDArray[np.bool_]
INITIAL, SHOTS, VAL_SHOTS, ENSEMBLE = 80, 40, 10, 3


class World:
    """Which pictures of a bundled set templates classify correctly under a bundled CLIP.

    Attributes:
        name: The set and the model.
        classes: How many.
        hand_made: Hand-made templates, the best of which is compared with.
        index: Index by template.
        hits: By split, whether each template is right on each picture: [T, n].
        labels: Of each split's pictures.
    """

    def __init__(self, data: str, model: str, images: int) -> None:
        classes = sets.spec(data).classes
        self.name, self.classes = f"{data}, {model}", len(classes)
        self.hand_made = for_dataset(data)["hand-made"]
        templates = list(dict.fromkeys((*BUILT_IN, KIND.example, *self.hand_made)))
        self.index = {template: index for index, template in enumerate(templates)}
        self.hits: dict[str, Bits] = {}
        self.labels: dict[str, NDArray[np.int64]] = {}
        clip = Clip(model)
        self._texts = clip.texts(templates, classes)
        sizes = {"train": SHOTS * len(classes), "val": VAL_SHOTS * len(classes), "test": images}
        for split, count in sizes.items():
            pictures = fresh(data, count, f"coverage-{split}", tested=split == "test")
            features, labels = encode(clip, pictures)
            self.labels[split] = labels
            self.hits[split] = np.stack([(features @ text.T).argmax(1) == labels for text in self._texts])
            self._test = features

    def averaged(self, templates: Sequence[str]) -> Bits:
        """Return the hits of an ensemble on test."""
        texts = self._texts[[self.index[template] for template in templates]]
        return np.asarray((self._test @ classifier(texts).T).argmax(1) == self.labels["test"])


def search_once(
    world: World, shots: int, images: int, seed: int, *, balanced: bool
) -> tuple[Gain, dict[str, float]]:
    """Search once; return the gain as a result would have it, and the true differences in points."""
    rng = Random(f"{world.name}/{seed}")
    few = {
        split: few_images(world.labels[split], most, rng)
        for split, most in (("train", shots), ("val", min(4, shots)))
    }
    sizes = {split: len(pictures) for split, pictures in few.items()}
    shares = {split: world.hits[split][:, pictures].mean(1) for split, pictures in few.items()}

    def ranked(templates: Sequence[str]) -> list[Entry]:
        return ranking([_scored(world, shares, text) for text in templates], sizes=sizes, seed=seed)

    pool = rng.sample(BUILT_IN, INITIAL)
    starting, scored = ranked(pool[: INITIAL // 2]), ranked(pool)
    templates = {
        "best": [scored[0].text],
        "default template": [KIND.example],
        "best hand-made": [ranked(world.hand_made)[0].text],
        "best starting template": [starting[0].text],
    }
    hits = {name: world.hits["test"][world.index[text]] for name, (text,) in templates.items()}
    templates["ensemble"] = [entry.text for entry in scored[:ENSEMBLE]]
    hits["ensemble"] = world.averaged(templates["ensemble"])
    if balanced:
        test = few_images(world.labels["test"], images // world.classes, rng)
    else:
        test = rng.choices(range(len(world.labels["test"])), k=images)
    groups = {
        name: GroupOnTest(
            templates=tuple(templates[name]), test=float(bits[test].mean()), hits=bits[test].tolist()
        )
        for name, bits in hits.items()
    }
    baselines = {
        name: groups[name] for name in ("default template", "best hand-made", "best starting template")
    }
    words = words_of_all(())
    gain = gain_of(groups["best"], groups["ensemble"], baselines, images=len(test), words=words)
    assert gain is not None
    truth = {name: 100 * float(hits["best"].mean() - hits[name].mean()) for name in gain.over}
    truth["ensemble"] = 100 * float(hits["ensemble"].mean() - hits["best"].mean())
    return gain, truth


def _scored(world: World, shares: Mapping[str, NDArray[np.float64]], template: str) -> Entry:
    train, val = (float(shares[split][world.index[template]]) for split in ("train", "val"))
    return Entry(
        candidate=Template.parse(template, max_words=None),
        score=Score(train=train, val=val),
        value=train,
        position=Position(1),
    )


def repeated(world: World, options: argparse.Namespace, images: int, *, balanced: bool) -> dict[str, Any]:
    """Search again and again; return how often the intervals held the truth, and what was claimed."""
    held, estimated, claims = Counter[str](), Counter[str](), Counter[str]()
    for seed in range(options.searches):
        gain, truth = search_once(world, options.shots, images, seed, balanced=balanced)
        claims.update({claim: f" {claim} than " in gain.verdict for claim in ("better", "worse")})
        for name, difference in {**gain.over, "ensemble": gain.ensemble}.items():
            # Where both are one template there is nothing to estimate.
            if difference is not None and difference.interval != (0.0, 0.0):
                low, high = difference.interval
                estimated[name] += 1
                held[name] += low <= truth[name] <= high
    return {
        "world": world.name,
        "test_images": images,
        "each_class_alike": balanced,
        "searches": options.searches,
        "holds": {name: {"share": round(held[name] / n, 3), "of": n} for name, n in estimated.items()},
        "all": round(held.total() / estimated.total(), 3),
        **{claim: round(claims[claim] / options.searches, 3) for claim in ("better", "worse")},
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", default="tallies,coloured-things", help="bundled sets")
    parser.add_argument("--model", default="RN-pico", help="bundled model")
    parser.add_argument("--fresh", type=int, default=20_000, help="pictures that the truth is known from")
    parser.add_argument("--searches", type=int, default=1000, help="repeated searches")
    parser.add_argument("--shots", type=int, default=4, help="training images a class")
    parser.add_argument("--images", default="100,1000", help="test images of a search")
    options = parser.parse_args()
    rows = []
    for data in options.data.split(","):
        world = World(data, options.model, options.fresh)
        for images, balanced in itertools.product(whole_numbers(options.images), (False, True)):
            rows.append(repeated(world, options, images, balanced=balanced))
    print_document({"searches": rows}, options)


if __name__ == "__main__":
    main()
