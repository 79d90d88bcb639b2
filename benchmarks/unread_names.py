"""What names bring where a CLIP has never read the class names, with an LLM and without.

    python benchmarks/unread_names.py --keep docs/results/unread-names.jsonl

On each set of vocabularies.toml, or a bundled one, and few-shot draw, names are chosen by the program's own
rule (``agent/search/name_choice.py``) from recorded readings (recorded/readings.json); no LLM is asked. Then
the template is chosen among the compared ones. Arms:

``original``          the names as they are
``list``              common words, without an LLM: "kettu, an animal", 100 kinds for each class
``senses``            what WordNet says that the name may mean: synonyms, broader words, glosses; no LLM
``dictionary``        the 1,497 most frequent nouns for things in WordNet, for every class; without an LLM
``..., lenient``      the same, held to no larger share of the errors than a single name per class is
``READER, first``     the LLM's first reading of all classes, without any choice
``READER``            its readings by the program's rule, the common words beside them
``READER, alone``     the same without the common words
``READER, shuffled``  each class gets the readings of another one
``true``              the English names that the CLIPs were trained on: the upper end

Chosen with ``--model`` on few-shot images and their augmented copies; evaluated on test images, also with
ViT-pico (``..., ViT``) unless Tags-pico chooses. WordNet is Debian's wordnet-base. A row is one set, number
of shots and draw; rows already in ``--keep FILE`` are not computed again. Prints the tables of
docs/results.md.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from PIL import Image

from benchmarks import vocabularies, wordnet
from benchmarks.common import ROOT, Row, argument_parser, print_document, rows_of, whole_numbers
from benchmarks.pico_features import VIEWS, Clip, Floats, encoded, few_shots_of
from benchmarks.pico_features import features_of as features_of_bundled
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
from promptclimb.evaluator.pico.models import TAGS_MODEL
from promptclimb.prompts.class_names import NEUTRAL_TEMPLATES, NameReader, first_readings, kind_names
from promptclimb.prompts.starting import draw as draw_templates
from promptclimb.prompts.template_kind import KIND
from training import sets
from training.world.scene import CORE, EVERYDAY

READINGS = ROOT / "benchmarks" / "recorded" / "readings.json"
STARTING = 80
KINDS = ("common", "rarer")
TAGGED = (
    *("capitals", "constellations", "country-codes", "country-numbers", "customs-codes", "file-types"),
    *("produce-codes", "weather-codes"),
)
"""Sets of vocabularies.toml that are for Tags-pico."""
ARMS = (
    *("original", "list", "list, lenient", "senses", "dictionary", "dictionary, lenient", "strong, shuffled"),
    *("strong, first", "strong", "true"),
)
"""Arms that every set has, in the order of the table."""
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
        return [renaming.get(label, name) for label, name in enumerate(self.classes)]

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

    def chosen(
        self, start: Renaming, own: Names, common: Names = MappingProxyType({}), *, lenient: bool = False
    ) -> list[str]:
        """Return the names that the program chooses; ``lenient`` leaves out the guard against many names."""
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
                names_per_class=1.0 if lenient else sum(counts) / max(1, sum(map(bool, counts))),
                doubted={name for names in common.values() for name in names} if own else (),
            )
        )
        return self._together(start, chosen)


def accuracy(texts: Texts, features: Mapping[str, Floats], template: str, names: Sequence[str]) -> float:
    """Return the test accuracy in %."""
    predicted = (features["test_x"] @ texts.of(template, names).T).argmax(1)
    return round(100 * float((predicted == features["test_y"]).mean()), 2)


def is_common(data: str) -> bool:
    """Return whether a set shows things that both bundled CLIPs have seen often."""
    return {*english(data)} <= {*CORE, *EVERYDAY}


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


def measured(cell: Row, few: FewShots, evaluate: Callable[[str, Sequence[str]], Mapping[str, float]]) -> Row:
    """Return the test accuracies of the arms."""
    data, classes = cell["data"], few.classes
    row: dict[str, Any] = {}

    def put(arm: str, names: Sequence[str]) -> None:
        template = few.best_template(names, few.compared)
        row.update({f"{arm}{suffix}": value for suffix, value in evaluate(template, names).items()})

    common = {label: kind_names(name, random.Random(label)) for label, name in enumerate(classes)}
    put("original", classes)
    if true := english(data):
        put("true", true)
    put("list", few.chosen({}, {}, common))
    put("list, lenient", few.chosen({}, {}, common, lenient=True))
    if wordnet.FOLDER.exists():
        put("senses", few.chosen({}, {}, {label: wordnet.senses(name) for label, name in enumerate(classes)}))
        frequent = wordnet.frequent_nouns()
        nouns = {label: [noun for noun in frequent if noun != name] for label, name in enumerate(classes)}
        names = few.chosen({}, {}, nouns)
        put("dictionary", names)
        row["dictionary names"] = names
        put("dictionary, lenient", few.chosen({}, {}, nouns, lenient=True))
    for reader in json.loads(READINGS.read_text("utf-8")):
        own, first = readings(reader, data, classes)
        if not own:
            continue
        put(f"{reader}, first", [first.get(label, name) for label, name in enumerate(classes)])
        start = few.start(first)
        candidates = {label: [classes[label], *names] for label, names in own.items()}
        row[f"{reader}, taken"] = bool(start)
        names = few.chosen(start, candidates, common)
        put(reader, names)
        row[f"{reader} names"] = names
        put(f"{reader}, alone", few.chosen(start, candidates))
        givers = list(range(len(classes)))
        rng = random.Random(cell["draw"])
        while any(giver == label for label, giver in enumerate(givers)):
            rng.shuffle(givers)
        shuffled = {label: own[giver] for label, giver in enumerate(givers) if giver in own}
        wrong = {label: names[0] for label, names in shuffled.items()}
        put(f"{reader}, shuffled", few.chosen(few.start(wrong), shuffled))
    return row


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argument_parser(__doc__)
    read = json.loads(READINGS.read_text("utf-8"))["strong"]
    parser.add_argument("--data", help="sets (default: of vocabularies.toml with readings, for the model)")
    parser.add_argument("--model", default="RN-pico", help="the bundled model that chooses")
    parser.add_argument("--shots", default="16,4,1", help="training images per class")
    parser.add_argument("--draws", default="1,2,3", help="seeds of the few-shot images")
    parser.add_argument("--keep", type=Path, help="file of rows")
    parser.add_argument("--cache", type=Path, help="folder that keeps features for the next time")
    options = parser.parse_args()
    if options.data is None:
        tags = options.model == TAGS_MODEL
        options.data = ",".join(
            data for data in vocabularies.vocabularies() if data in read and (data in TAGGED) == tags
        )
    # What others have never read is read by Tags-pico alone.
    suffixes = (
        {"": options.model} if options.model == TAGS_MODEL else {"": options.model, ", ViT": "ViT-pico"}
    )
    clips = {model: Clip(model) for model in dict.fromkeys(suffixes.values())}
    texts = {model: Texts(clip) for model, clip in clips.items()}

    @lru_cache(maxsize=1)  # cells come set by set
    def features(data: str) -> Mapping[str, Mapping[str, Floats]]:
        return {model: features_of(data, model, clip, options.cache) for model, clip in clips.items()}

    def measure(cell: Row) -> Row:
        in_set = features(cell["data"])
        classes = classes_of(cell["data"])
        few = FewShots(classes, texts[options.model], in_set[options.model], cell["shots"], cell["draw"])

        def evaluate(template: str, names: Sequence[str]) -> Mapping[str, float]:
            return {
                suffix: accuracy(texts[model], in_set[model], template, names)
                for suffix, model in suffixes.items()
            }

        print(*cell.values(), file=sys.stderr, flush=True)
        return measured(cell, few, evaluate)

    chooser = {} if options.model == "RN-pico" else {"model": options.model}
    cells = [
        {**chooser, "data": data, "shots": shots, "draw": draw}
        for data in options.data.split(",")
        for shots in whole_numbers(options.shots)
        for draw in whole_numbers(options.draws)
    ]
    rows = rows_of(cells, measure, options.keep)
    if options.json:
        print_document(rows, options)
        return
    for line in table(rows):
        print(f"|{'|'.join(line)}|")


def table(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    """Yield head and lines: mean test accuracy in % by arm and shots, and the share of the gain kept.

    Sets of common things, which both CLIPs have seen often, stand before those of rarer ones. An arm is shown
    where every set has it.
    """
    shots = sorted({row["shots"] for row in rows}, reverse=True)
    groups = [[row for row in rows if is_common(row["data"]) == common] for common in (True, False)]
    sets = [len({row["data"] for row in group}) for group in groups]
    titles = [f"{count} {kind}" for count, kind in zip(sets, KINDS, strict=True)]
    head = [[f"{title}: {count}" for count in shots] for title in titles]
    yield ["", *head[0], "kept", *head[1]]
    yield ["-"] * (2 * len(shots) + 2)
    for arm in ARMS:
        if any(arm not in row for row in rows):
            continue
        common, rare = (
            [
                f"{np.mean(values):.1f}"
                if (values := [row[arm] for row in group if row["shots"] == few])
                else ""
                for few in shots
            ]
            for group in groups
        )
        has_vit = bool(groups[0]) and all(f"{arm}, ViT" in row for row in groups[0])
        gain, gain_vit = (
            float(np.mean([row[f"{arm}{suffix}"] - row[f"original{suffix}"] for row in groups[0]]))
            if has_vit
            else 0.0
            for suffix in ("", ", ViT")
        )
        kept = f"{100 * gain_vit / gain:.0f} %" if gain > 1 else ""
        yield [arm, *common, kept, *rare]


if __name__ == "__main__":
    main()
