"""What new names are worth beside labelled images, where a CLIP has not read the class names.

    python benchmarks/unread_names.py --keep docs/results/unread-names.jsonl

Sets are those of vocabularies.toml that have recorded readings (recorded/readings.json), and two bundled ones
with ambiguous names; no LLM is asked. Arms, in ``a photo of a {}``:

``original``   the names as they are
``FreeDict``   the first gloss of Debian's dictionaries of the language; without labels, without an LLM
``words``      for ambiguous names, chosen of 100 kinds by score: "bat, an animal"; without an LLM
``LLM``        what a strong LLM took the names for: without labels as it answered, else by the program's rule
``true``       the English names that the CLIPs were trained on: the upper end

``..., images`` is what the program learns from the labelled images, starting from these names; ``..., bare``
and ``..., OpenAI's 80`` stand in other templates. ``LLM, taken`` and ``false, taken`` say whether the program
replaces all names at once by the readings, and by readings of which each belongs to another class. ``half
false`` is an arm whose readings of half of the classes belong to others; ``half false, taken`` as above.

A row is one model, set, number of shots and draw; without labels there is one draw. ``pictures`` are distinct
ones of a class, in few-shot and test images. Rows already in ``--keep FILE`` are not computed again. Prints
the tables of docs/results/tables.md. FreeDict comes from Debian.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from PIL import Image

from benchmarks import freedict, vocabularies
from benchmarks.common import ROOT, Row, argument_parser, print_document, rows_of, whole_numbers
from benchmarks.pico_features import VIEWS, Clip, Floats, encoded, few_shots_of
from benchmarks.pico_features import features_of as features_of_bundled
from benchmarks.result_tables import (
    AMBIGUOUS,
    HALF_FALSE,
    LLM,
    WORDS,
    unread_gains,
    unread_table,
    unread_templates,
)
from promptclimb.agent.search.name_choice import (
    FINALISTS,
    KNOWN_AT_ONCE,
    RECOGNISED,
    FewShotImages,
    Predicted,
    Renaming,
    choose_names,
)
from promptclimb.agent.search.name_search import COMPARED, MORE_COMPARED, REPAIRED
from promptclimb.evaluator.datasets.hand_made import imagenet_templates
from promptclimb.evaluator.head import Likeness
from promptclimb.evaluator.held_near import LabelledFeatures
from promptclimb.evaluator.learning import learn_classifier
from promptclimb.evaluator.pico.models import TAGS_MODEL
from promptclimb.evaluator.scoring import DEFAULT_TEMPLATE
from promptclimb.prompts.class_names import NEUTRAL_TEMPLATES, NameReader, first_readings, kind_names
from promptclimb.prompts.starting import draw as draw_templates
from promptclimb.prompts.template_kind import KIND
from training import sets

READINGS = ROOT / "benchmarks" / "recorded" / "readings.json"
STARTING = 80
TAGGED = (
    *("capitals", "constellations", "country-codes", "country-numbers", "customs-codes", "file-types"),
    *("produce-codes", "weather-codes"),
)
"""Sets of vocabularies.toml that are for Tags-pico."""
READERS = {"strong": LLM, "1.5B": "LLM of 1.5B", "0.5B": "LLM of 0.5B"}
"""Arms of recorded readers; the small ones answered about few sets."""
TEMPLATES: Mapping[str, Sequence[str]] = {
    "": (DEFAULT_TEMPLATE,),
    ", bare": ("{}",),
    ", OpenAI's 80": imagenet_templates(),
}
Names = Mapping[int, Sequence[str]]


def readings(reader: str, data: str, classes: Sequence[str]) -> tuple[Names, Renaming]:
    """Return a recorded reader's names by label, and its first readings; empty if it was not asked."""
    recorded = json.loads(READINGS.read_text("utf-8"))[reader].get(data)
    if recorded is None:
        return {}, {}
    name_reader = NameReader(classes, NEUTRAL_TEMPLATES[0])
    names: dict[int, list[str]] = {}
    # One answer for all classes, or one for each.
    for answer, only in (
        [(recorded, None)] if isinstance(recorded, str) else zip(recorded, range(len(recorded)), strict=True)
    ):
        for label, name in name_reader.read(answer, only=only, shared=True).names:
            names.setdefault(label, []).append(name)
    pairs = [(label, name) for label, own in names.items() for name in own]
    return names, first_readings(pairs, name_reader.confirmed)


def features_of(data: str, model: str, clip: Clip, cache: Path | None) -> Mapping[str, Floats]:
    """Return the features of a set of vocabularies.toml, or of a bundled one."""
    vocabulary = vocabularies.vocabularies().get(data)
    if vocabulary is None:
        return features_of_bundled(data, model, clip, cache)
    pictures = vocabularies.picture_set(data, vocabulary)

    def pictures_of(split: str) -> Iterator[tuple[str, Image.Image]]:
        for name in pictures.classes:
            for index, picture in enumerate(pictures.shown(split, name)):
                yield name, pictures.image(split, name, index, picture)

    return encoded(data, vocabulary.names, pictures_of, model, clip, cache)


class Texts:
    """Vectors of captions under one CLIP, each encoded once."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._vectors: dict[str, dict[str, Floats]] = {}

    def of(self, template: str, names: Sequence[str]) -> Floats:
        """Return the vectors of a template filled with names: [names, E]."""
        known = self._vectors.setdefault(template, {})
        new = [name for name in dict.fromkeys(names) if name not in known]
        for start in range(0, len(new), 500):
            batch = new[start : start + 500]
            known.update(zip(batch, self._clip.texts([template], batch)[0], strict=True))
        return np.stack([known[name] for name in names])


class FewShots:
    """One draw of few-shot images of a set, and the program's choice on them.

    Attributes:
        images: Number of images, without copies.
        neutral: The best neutral template with the original names.
        found: The best starting templates with the original names, best first.
        template: The one in which names are searched.
        compared: Those in which they are compared, ``template`` first.
        keeps: Whether a class that is recognised by its first reading keeps it.
    """

    def __init__(
        self, classes: Sequence[str], texts: Texts, features: Mapping[str, Floats], shots: int, draw: int
    ) -> None:
        self.classes, self._texts = list(classes), texts
        images, views, true = few_shots_of(features, shots, draw)
        self._images = np.concatenate([images, views.reshape(-1, views.shape[-1])])
        self._copies = len(self._images) - len(images)
        self._labels = np.concatenate([true, np.repeat(true, VIEWS)])
        self.images = len(images)
        starting = [
            template.text
            for template in draw_templates(KIND.starting("captions")[0], STARTING, random.Random(draw))
        ]
        self.keeps = False
        self.neutral = self.best_template(self.classes, NEUTRAL_TEMPLATES)
        self.found = sorted(starting, key=lambda template: -self.accuracy(template, self.classes))
        plain, best = (self.accuracy(template, self.classes) for template in (self.neutral, self.found[0]))
        if best - plain > REPAIRED * (1.0 - plain):
            self.template, self.compared = self.found[0], self.found[:MORE_COMPARED]
            return
        self.template = self.neutral
        drawn = random.Random(draw).sample(starting, STARTING)
        self.compared = list(dict.fromkeys((self.neutral, *NEUTRAL_TEMPLATES, *drawn)))[:MORE_COMPARED]

    def predict(self, template: str, names: Sequence[str]) -> Any:
        """Return the predicted labels of images and copies."""
        return (self._images @ self._texts.of(template, names).T).argmax(1)

    def _joined(self, templates: Sequence[str], names: Sequence[str]) -> Predicted:
        return array("i", np.concatenate([self.predict(template, names) for template in templates]).tolist())

    def _few_shot(self, templates: int) -> FewShotImages:
        return FewShotImages(array("i", np.tile(self._labels, templates).tolist()), VIEWS, templates)

    def accuracy(self, template: str, names: Sequence[str]) -> float:
        """Return the share of the images that is right, averaged with that of the copies."""
        right = self.predict(template, names) == self._labels
        cut = len(self._labels) - self._copies
        return float(right[:cut].mean() + right[cut:].mean()) / 2

    def best_template(self, names: Sequence[str], templates: Sequence[str]) -> str:
        """Return the template that is best on images and copies."""
        return max(templates, key=lambda template: self.accuracy(template, names))

    def _together(self, start: Renaming, names: Renaming) -> list[str]:
        taken = {*names.values()}
        kept = {label: name for label, name in start.items() if label in names or name not in taken}
        return self._renamed({**kept, **names})

    def _renamed(self, renaming: Renaming) -> list[str]:
        return named(self.classes, renaming)

    def start(self, first: Renaming) -> Renaming:
        """Return the first readings where they are better as a whole."""
        self.keeps = False
        if not first:
            return {}
        now, before = (self._joined(self.compared, self._renamed(names)) for names in (first, {}))
        few_shot = self._few_shot(len(self.compared))
        evidence = few_shot.compare(now, before)
        if not evidence.sure:
            return {}
        right = few_shot.images - few_shot.wrong(before)
        self.keeps = right + evidence.gain >= KNOWN_AT_ONCE * right
        return first

    def _recall(self, start: Renaming) -> Floats:
        right = self.predict(self.template, self._renamed(start)) == self._labels
        return np.array([right[self._labels == label].mean() for label in range(len(self.classes))])

    def _gains(self, start: Renaming, label: int, names: Sequence[str]) -> Floats:
        """Return the gain of each name for one class, in images, in the template of the rounds."""
        own = self._images @ self._texts.of(self.template, self._renamed(start)).T
        before = own.argmax(1) == self._labels
        other = own.copy()
        other[:, label] = -np.inf
        best_label, best = other.argmax(1), other.max(1)
        is_named = self._images @ self._texts.of(self.template, names).T > best[:, None]
        right = np.where(is_named, (self._labels == label)[:, None], (best_label == self._labels)[:, None])
        cut = len(self._labels) - self._copies
        weights = np.where(np.arange(len(self._labels)) < cut, 0.5, 0.5 / VIEWS)
        return weights @ (right.astype(float) - before[:, None])

    def chosen(self, start: Renaming, own: Names, common: Names = MappingProxyType({})) -> list[str]:
        """Return the names that the program chooses."""
        templates = self.compared[:COMPARED]
        before = self._joined(templates, self._renamed(start))
        tried: dict[int, dict[str, Predicted]] = {}
        recall = self._recall(start)
        for source in (own, common):
            for label, names in source.items():
                # A class that is recognised by the LLM's reading keeps it, and lucky words replace none.
                if self.keeps and label in start and (recall[label] >= RECOGNISED or source is common):
                    continue
                new = [name for name in names if start.get(label) != name]
                if not new:
                    continue
                order = np.argsort(-self._gains(start, label, new), kind="stable")[:FINALISTS]
                for name in (new[index] for index in order):
                    renamed = self._together(start, {label: name})
                    tried.setdefault(label, {})[name] = self._joined(templates, renamed)

        async def predict(renaming: Renaming) -> Predicted:
            return self._joined(templates, self._together(start, renaming))

        counts = [len(own.get(label, ())) + len(common.get(label, ())) for label in range(len(self.classes))]
        chosen = asyncio.run(
            choose_names(
                self._few_shot(len(templates)),
                before,
                tried,
                predict,
                names_per_class=sum(counts) / max(1, sum(map(bool, counts))),
                doubted={name for names in common.values() for name in names} if own else (),
            )
        )
        return self._together(start, chosen)


def accuracy(texts: Texts, features: Mapping[str, Floats], template: str, names: Sequence[str]) -> float:
    """Return the test accuracy of a template in %."""
    return right(features, texts.of(template, names))


def classes_of(data: str) -> Sequence[str]:
    """Return the class names of a set."""
    vocabulary = vocabularies.vocabularies().get(data)
    return sets.spec(data).classes if vocabulary is None else vocabulary.names


def english(data: str) -> Sequence[str]:
    """Return the names of what is drawn as the bundled CLIPs read them; none if they are the class names."""
    vocabulary = vocabularies.vocabularies().get(data)
    if vocabulary is None:
        return sets.spec(data).shown
    return [vocabulary.classes[name] for name in vocabulary.names]


def arms_of(data: str, classes: Sequence[str]) -> Iterator[tuple[str, Names, Renaming]]:
    """Yield what knows the names' meaning: its name, its readings by label, and its first ones."""
    if data in freedict.PAIRS:
        own = {label: freedict.readings(data, name) for label, name in enumerate(classes)}
        yield "FreeDict", own, {label: names[0] for label, names in own.items() if names}
    for reader, arm in READERS.items():
        own, first = readings(reader, data, classes)
        if own:
            yield arm, own, first
    if true := english(data):
        yield "true", {}, dict(enumerate(true))


def named(classes: Sequence[str], renaming: Renaming) -> list[str]:
    """Return the class names with some replaced."""
    return [renaming.get(label, name) for label, name in enumerate(classes)]


def classifier(texts: Texts, templates: Sequence[str], names: Sequence[str]) -> Floats:
    """Return the mean of the templates' texts, of length 1: [names, E]."""
    mean = np.mean([texts.of(template, names) for template in templates], axis=0)
    return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), np.float32)


def right(features: Mapping[str, Floats], weights: Floats, likeness: Likeness | None = None) -> float:
    """Return the test accuracy of a classifier in %."""
    products = features["test_x"] @ weights.T
    products += 0 if likeness is None else likeness.added(features["test_x"])
    predicted = products.argmax(1)
    return round(100 * float((predicted == features["test_y"]).mean()), 2)


def without_labels(data: str, texts: Texts, features: Mapping[str, Floats]) -> Row:
    """Return the test accuracies of the arms in each template, first readings unchecked."""
    classes = classes_of(data)
    names_by_arm = {arm: named(classes, first) for arm, _, first in arms_of(data, classes)}
    return {
        f"{arm}{suffix}": right(features, classifier(texts, templates, names))
        for arm, names in {"original": classes, **names_by_arm}.items()
        for suffix, templates in TEMPLATES.items()
    }


def with_labels(cell: Row, clip: Clip, texts: Texts, features: Mapping[str, Floats]) -> Row:
    """Return the test accuracies of the arms, chosen on labelled images, without and with these images."""
    data, classes = cell["data"], list(classes_of(cell["data"]))
    few = FewShots(classes, texts, features, cell["shots"], cell["draw"])
    images, copies, labels = few_shots_of(features, cell["shots"], cell["draw"])
    shots = LabelledFeatures(
        torch.from_numpy(np.concatenate([images[:, None], copies], axis=1)), torch.from_numpy(labels)
    )
    row: dict[str, Any] = {}

    def put(arm: str, names: Sequence[str]) -> None:
        weights = classifier(texts, TEMPLATES[""], names)
        row[arm] = right(features, weights)
        head = learn_classifier(weights, shots, clip.logit_scale, seed=cell["draw"]).head
        row[f"{arm}, images"] = right(features, head.vectors, head.likeness)

    put("original", classes)
    for arm, own, first in arms_of(data, classes):
        if not own:
            put(arm, named(classes, first))
            continue
        start = few.start(first)
        names = few.chosen(start, {label: [classes[label], *names] for label, names in own.items()})
        put(arm, names)
        row |= {f"{arm}, taken": bool(start), f"{arm} names": names}
        if arm == LLM:
            row["false, taken"] = bool(few.start(exchanged(first, cell["draw"])))
            half = {**first, **exchanged(half_of(first, cell["draw"]), cell["draw"])}
            row[f"{HALF_FALSE}, taken"] = bool(start := few.start(half))
            own = {label: [classes[label], name] for label, name in half.items()}
            put(HALF_FALSE, few.chosen(start, own))
    if data in AMBIGUOUS:
        common = {label: kind_names(name, random.Random(label)) for label, name in enumerate(classes)}
        put(WORDS, few.chosen({}, {}, common))
    return row


def exchanged(first: Renaming, draw: int) -> Renaming:
    """Return readings of which each belongs to another class."""
    labels = sorted(first)
    givers, rng = list(labels), random.Random(draw)
    while any(giver == label for giver, label in zip(givers, labels, strict=True)):
        rng.shuffle(givers)
    return {label: first[giver] for label, giver in zip(labels, givers, strict=True)}


def half_of(readings: Renaming, draw: int) -> Renaming:
    """Return the readings of half of the classes, but of two at least."""
    labels = random.Random(draw).sample(sorted(readings), max(2, len(readings) // 2))
    return {label: readings[label] for label in labels}


def pictures_of_a_class(data: str) -> Row:
    """Return how many distinct pictures the few-shot and the test images of a class show, on average."""
    vocabulary = vocabularies.vocabularies().get(data)
    if vocabulary is None:
        return {}
    pictures = vocabularies.picture_set(data, vocabulary)
    splits = (("train", "val"), ("test",))
    return {"pictures": [round(float(np.mean(pictures.distinct(*own))), 1) for own in splits]}


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argument_parser(__doc__)
    read = json.loads(READINGS.read_text("utf-8"))["strong"]
    parser.add_argument("--data", help="sets (default: those for the model, and the ambiguous ones)")
    parser.add_argument("--model", default="RN-pico", help="the bundled model")
    parser.add_argument("--shots", default="0,1,4,16", help="training images per class")
    parser.add_argument("--draws", default="1,2", help="seeds of the few-shot images")
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--cache", type=Path, help="folder that keeps features for the next time")
    options = parser.parse_args()
    if options.data is None:
        tags = options.model == TAGS_MODEL
        unread = [data for data in vocabularies.vocabularies() if data in read and (data in TAGGED) == tags]
        options.data = ",".join([*unread, *(() if tags else AMBIGUOUS)])
    clip = Clip(options.model)
    texts = Texts(clip)

    @lru_cache(maxsize=1)  # cells come set by set
    def features(data: str) -> Mapping[str, Floats]:
        return features_of(data, options.model, clip, options.cache)

    def measure(cell: Row) -> Row:
        print(*cell.values(), file=sys.stderr, flush=True)
        in_set = features(cell["data"])
        if cell["shots"]:
            return with_labels(cell, clip, texts, in_set)
        return {**without_labels(cell["data"], texts, in_set), **pictures_of_a_class(cell["data"])}

    cells = [
        {"model": options.model, "data": data, "shots": shots, "draw": draw}
        for data in options.data.split(",")
        for shots in whole_numbers(options.shots)
        for draw in (whole_numbers(options.draws) if shots else [0])
    ]
    rows = rows_of(cells, measure, options.keep)
    if options.json:
        print_document(rows, options)
        return
    for table in (unread_table, unread_gains, unread_templates):
        for line in table(rows):
            print(f"|{'|'.join(line)}|")
        print()


if __name__ == "__main__":
    main()
