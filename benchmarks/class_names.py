"""What better names of single classes gain, and what of it is due to their meaning.

    python benchmarks/class_names.py --draws 1,2,3 --keep rows.jsonl

On each bundled set and few-shot draw the best of eight simple templates is the shared template. Recorded
names (recorded/class_names.json) are tried for each class alone, and ``choose_names`` of the program chooses
from the predicted labels on few-shot images and their augmented copies. No LLM is asked. Arms:

``strong``           names by a large chat model, all rounds
``strong, round 1``  those of its first round alone
``local``            names by the local 0.5B, asked once
``permuted``         the strong model's names, each list given to another class
``local, permuted``  likewise
``name-words``       as many names per class as ``strong`` has: "bat, a kind of tool", drawn from a fixed list

``found``            the best of 80 starting templates drawn from the captions, without new names
``... in found``     names of an arm chosen in that one
``... joint``        what the program does: names are chosen in the neutral one, unless the found one repairs
                     most of its errors; then the template is chosen again, or no names are used

A row of ``--keep FILE`` is one set, number of shots and draw, with test accuracies in %, how many names were
scored alone, and how many renamings as a whole. Rows already there are not computed again. Intervals are
95 %, over sets and draws, by bootstrap. Prints the table of docs/results.md.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.common import ROOT, Row, argument_parser, print_document, rows_of, whole_numbers
from benchmarks.pico_features import Clip, Floats, features_of, few_shots_of
from benchmarks.result_tables import FOUND, GROUPS, names_table
from promptclimb.agent.search.name_choice import Predicted, Renaming, choose_names
from promptclimb.agent.search.name_search import FOUND_TRIED, REPAIRED
from promptclimb.evaluator.pico import sets
from promptclimb.prompts.class_names import NEUTRAL_TEMPLATES, SHORT_WORDS
from promptclimb.prompts.starting import draw as draw_templates
from promptclimb.prompts.template_kind import KIND

RECORDED = ROOT / "benchmarks" / "recorded" / "class_names.json"
WORDS = ROOT / "prompts" / "name_words.toml"
MOST_WORDS = 8
LOCAL = {"local": "local-0.5b", "local 1.5B": "local:1.5b"}
"""Arms of local models, and where their answers are."""
JOINT = ("strong", "permuted", "local")
"""Arms that are also measured with a template that was found."""
STARTING = 80
Names = Mapping[int, Sequence[str]]


def recorded(data: str, rounds: int | None = None) -> dict[int, list[str]]:
    """Return the strong model's names by label, of its first rounds."""
    strong = json.loads(RECORDED.read_text("utf-8"))["strong"]
    answers = strong[data] if data == "shared-names" else [*strong["every set"], *strong.get(data, ())]
    names: dict[int, list[str]] = {}
    for label, name in enumerate(sets.spec(data).classes):
        # "orange" is a fruit elsewhere.
        keys = (f"{name}#colour", name) if sets.spec(data).family == "colours" else (name,)
        for answer in answers[:rounds]:
            names.setdefault(label, []).extend(next((answer[key] for key in keys if key in answer), ()))
    return _allowed(data, names)


def local(data: str, llm: str) -> dict[int, list[str]]:
    """Return a local model's names by label; empty if it was not asked about this set."""
    answers = json.loads(RECORDED.read_text("utf-8"))[llm]
    classes = sets.spec(data).classes
    if not answers.keys() >= set(classes):
        return {}
    names = {
        label: [
            re.sub(r"^[-*\d.\s]+", "", line).strip().rstrip(".").lower()
            for answer in answers[name]
            for line in answer.splitlines()
        ]
        for label, name in enumerate(classes)
    }
    return _allowed(data, names, most_words=SHORT_WORDS + 1)


def _allowed(data: str, proposed: Names, most_words: int = MOST_WORDS) -> dict[int, list[str]]:
    """Leave out long names, names of classes, and what another class has."""
    taken = {name.casefold() for name in sets.spec(data).classes}
    allowed: dict[int, list[str]] = {}
    for label, names in proposed.items():
        for name in names:
            if name and name.casefold() not in taken and len(name.split()) <= most_words:
                taken.add(name.casefold())
                allowed.setdefault(label, []).append(name)
    return allowed


def permuted(names: Names, classes: int, draw: int) -> dict[int, Sequence[str]]:
    """Give each list of names to another class."""
    rng, receivers = random.Random(draw), list(range(classes))
    while any(giver == receiver for giver, receiver in enumerate(receivers)):
        rng.shuffle(receivers)
    return {receivers[label]: own for label, own in names.items()}


def name_words(data: str, like: Names, draw: int) -> dict[int, Sequence[str]]:
    """Return as many names per class as ``like`` has, made with kinds drawn from a fixed list."""
    words = tomllib.loads(WORDS.read_text("utf-8"))
    classes = sets.spec(data).classes
    return {
        label: [
            f"{classes[label]}, a kind of {kind}"
            for kind in random.Random(f"{data}/{draw}/{label}").sample(words["kinds"], len(names))
        ]
        for label, names in like.items()
    }


class FewShots:
    """One draw of few-shot images of a set under a bundled CLIP, with its shared template.

    Attributes:
        scored: Renamings scored as a whole so far.
    """

    def __init__(
        self,
        data: str,
        clip: Clip,
        features: Mapping[str, Floats],
        shots: int,
        draw: int,
        vectors: dict[tuple[str, str], Floats],
    ) -> None:
        self._classes, self._clip, self._vectors = sets.spec(data).classes, clip, vectors
        images, views, true = few_shots_of(features, shots, draw)
        self.copies = views.shape[0] * views.shape[1]
        self._images = np.concatenate([images, views.reshape(self.copies, -1)])
        self.labels: list[int] = [*true.tolist(), *np.repeat(true, views.shape[1]).tolist()]
        self._test, self._true = features["test_x"], features["test_y"]
        starting = draw_templates(KIND.starting("captions")[0], STARTING, random.Random(draw))
        self.found = sorted((template.text for template in starting), key=self._wrong)
        self.use(min(NEUTRAL_TEMPLATES, key=self._wrong))
        self.scored = 0

    def use(self, template: str) -> None:
        """Take another template for what follows."""
        self.template = template
        self._few, self._on_test = self._similarities(template, self._classes)
        self._columns: dict[str, tuple[Floats, Floats]] = {}

    def _vectors_of(self, template: str, names: Sequence[str]) -> list[Floats]:
        if new := [name for name in dict.fromkeys(names) if (template, name) not in self._vectors]:
            vectors = self._clip.texts([template], new)[0]
            self._vectors |= {(template, name): vector for name, vector in zip(new, vectors, strict=True)}
        return [self._vectors[template, name] for name in names]

    def _similarities(self, template: str, names: Sequence[str]) -> tuple[Floats, Floats]:
        vectors = np.stack(self._vectors_of(template, names)).T
        return self._images @ vectors, self._test @ vectors

    def _right(self, template: str, names: Sequence[str]) -> float:
        """Return the share of the few-shot images that are right, averaged with that of their copies."""
        right = self._similarities(template, names)[0].argmax(1) == self.labels
        cut = len(right) - self.copies
        return float(right[:cut].mean() + right[cut:].mean()) / 2

    def _wrong(self, template: str) -> float:
        return 1 - self._right(template, self._classes)

    def _accuracy(self, scores: Floats) -> float:
        """Return the test accuracy in %."""
        return round(100 * float((scores.argmax(1) == self._true).mean()), 2)

    def know(self, names: Names) -> None:
        """Compute the columns of similarities of some names."""
        if new := [name for own in names.values() for name in own if name not in self._columns]:
            vectors = self._vectors_of(self.template, new)
            self._columns |= {
                name: (self._images @ vector, self._test @ vector)
                for name, vector in zip(new, vectors, strict=True)
            }

    def predict(self, renaming: Renaming) -> Predicted:
        """Return the predicted labels of the few-shot images and their copies."""
        scores = self._few.copy()
        for label, name in renaming.items():
            scores[:, label] = self._columns[name][0]
        return scores.argmax(1).tolist()  # type: ignore[no-any-return]

    def test(self, renaming: Renaming) -> float:
        """Return the test accuracy in %."""
        scores = self._on_test.copy()
        for label, name in renaming.items():
            scores[:, label] = self._columns[name][1]
        return self._accuracy(scores)

    def test_found(self) -> float:
        """Return the test accuracy in % of the best template found."""
        return self._accuracy(self._similarities(self.found[0], self._classes)[1])

    def joint(self, names: Names) -> tuple[float, float]:
        """Return test accuracies in %: names chosen in the best template found, and chosen jointly."""
        neutral, found = self.template, self.found[0]
        self.use(found)
        in_found = self.test(self.chosen(names))
        plain, best = (self._right(template, self._classes) for template in (neutral, found))
        self.use(found if best - plain > REPAIRED * (1 - plain) else neutral)
        renaming = self.chosen(names)
        renamed = [renaming.get(label, name) for label, name in enumerate(self._classes)]
        candidates = (self.template, *self.found[:FOUND_TRIED])
        accuracies = {template: self._right(template, renamed) for template in candidates}
        template = max(accuracies, key=accuracies.__getitem__)
        used = (template, renamed) if renaming and accuracies[template] > best else (found, self._classes)
        self.use(neutral)
        return in_found, self._accuracy(self._similarities(*used)[1])

    def chosen(self, names: Names) -> dict[int, str]:
        """Return what the program's rule chooses."""

        async def predict(renaming: Renaming) -> Predicted:
            self.scored += 1
            return self.predict(renaming)

        self.scored = 0
        self.know(names)
        tried = {label: {name: self.predict({label: name}) for name in own} for label, own in names.items()}
        base = self.predict({})
        return asyncio.run(choose_names(self.labels, base, tried, predict, copies=self.copies))


def arms(data: str, draw: int) -> dict[str, Names]:
    """Return the names that each arm tries."""
    strong, classes = recorded(data), len(sets.spec(data).classes)
    names_by_arm: dict[str, Names] = {
        "strong": strong,
        "strong, round 1": recorded(data, rounds=1),
        "permuted": permuted(strong, classes, draw),
        "name-words": name_words(data, strong, draw),
    }
    for arm, llm in LOCAL.items():
        if names := local(data, llm):
            names_by_arm |= {arm: names, f"{arm}, permuted": permuted(names, classes, draw)}
    return names_by_arm


def measured(data: str, few: FewShots, names_by_arm: Mapping[str, Names]) -> Row:
    """Return the test accuracies of the arms, and what they cost."""
    row: dict[str, Any] = {"template": few.template, "shared": few.test({})}
    row |= {"names_scored": {}, "renamings_scored": {}, FOUND: few.test_found()}
    for arm, names in names_by_arm.items():
        renaming = few.chosen(names)
        row[arm] = few.test(renaming)
        row["names_scored"][arm] = sum(map(len, names.values()))
        row["renamings_scored"][arm] = few.scored
        if arm == "strong":
            classes = sets.spec(data).classes
            row["names"] = {classes[label]: name for label, name in sorted(renaming.items())}
        if arm in JOINT:
            row[f"{arm} in found"], row[f"{arm} joint"] = few.joint(names)
    return row


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argument_parser(__doc__)
    every_set = ",".join(name for names in GROUPS.values() for name in names)
    parser.add_argument("--data", default=every_set, help="bundled sets (default: all that have names)")
    parser.add_argument("--model", default="RN-pico", help="bundled model")
    parser.add_argument("--shots", default="1,4,16", help="training images per class")
    parser.add_argument("--draws", default="1,2,3,4,5", help="seeds of the few-shot images")
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--cache", type=Path, help="folder that keeps features for the next time")
    options = parser.parse_args()
    clip = Clip(options.model)
    vectors: dict[tuple[str, str], Floats] = {}

    @lru_cache(maxsize=1)  # cells come set by set
    def features(data: str) -> Mapping[str, Floats]:
        return features_of(data, options.model, clip, options.cache)

    def measure(cell: Row) -> Row:
        data, draw = cell["data"], cell["draw"]
        few = FewShots(data, clip, features(data), cell["shots"], draw, vectors)
        print(f"{data}, {cell['shots']} shots, draw {draw}", file=sys.stderr, flush=True)
        return measured(data, few, arms(data, draw))

    cells = [
        {"model": options.model, "data": data, "shots": shots, "draw": draw}
        for data in options.data.split(",")
        for shots in whole_numbers(options.shots)
        for draw in whole_numbers(options.draws)
    ]
    rows = rows_of(cells, measure, options.keep)
    if options.json:
        print_document(rows, options)
        return
    head, *lines = names_table(rows)
    for line in (head, ["-"] * len(head), *lines):
        print(f"|{'|'.join(line)}|")


if __name__ == "__main__":
    main()
