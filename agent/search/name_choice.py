"""Predict few-shot images with other names of single classes, and choose names by paired counts of them.

Two choices of names are compared on the same images: those that one alone classifies correctly, less those
that the other alone does. An image counts half itself and half the mean of its augmented copies, if there
are any, so that copies add evidence but no images. In the end, choices are compared in several templates, and
the same image counts once for all of them. No logits are used.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from operator import eq, ne
from typing import Any, NamedTuple, TypeAlias

from ...evaluator.errors import ConfigError, TemplateRejectedError
from ...evaluator.scoring import Evaluator, EvaluatorInfo, NamePredictor, hits
from ..errors import EvaluationFailedError
from ..store.records import canonical
from ..store.run import Store
from .event_loop import call_evaluator

Predicted: TypeAlias = Sequence[int]
"""The label predicted for each image, augmented copies last; for several templates one after the other."""
Renaming: TypeAlias = Mapping[int, str]
"""New names by label."""
Tried: TypeAlias = Mapping[int, Mapping[str, Predicted]]
"""By label and name, the predictions with that name alone."""

SURE = 1.0
"""Standard errors that the gain of a name alone must exceed. The gain of a single image has exactly one."""
LEAST_REPAIRED, MORE_IF_FEW = 0.085, 0.21
"""Share of the errors that the names must repair together: the first, and the second over the root of the
images per class."""
MORE_IF_MANY = 0.1
"""How much larger that share is for more names: by this, times the logarithm of the names tried per class."""
MOST_CHECKS = 200
"""Most renamings that are scored to improve a renaming that holds."""
AT_ONCE = 32
"""Renamings in one call of the scorer."""
KNOWN_AT_ONCE = 2.0
"""A first reading is kept where a class is recognised if so many times as many images are right as with the
original names: the model hardly knows those then, and words that gain more on a few images do so by luck."""
RECOGNISED = 0.25
"""Share of a class's images and copies that must be right for it to keep that reading."""
FINALISTS = 6
"""Names of a class that are compared in several templates: the best of the LLM's, and of the common words."""
COPIES = "copies"
"""The split of the augmented copies."""
_ROUNDING = 1e-9


class _Evidence(NamedTuple):
    gain: float  # in images
    error: float  # standard error of the gain, if each image changes by chance

    @property
    def sure(self) -> bool:
        return self.gain > SURE * self.error + _ROUNDING

    def beats(self, best: float, *, is_doubted: bool, is_new: bool) -> bool:
        """Return whether a change in context gains more than the best so far; no new name if as good."""
        if is_doubted and not self.sure:
            return False
        return self.gain > best + _ROUNDING or (not is_new and self.gain >= best - _ROUNDING)


@dataclass(frozen=True, slots=True)
class FewShotImages:
    """The images by which predictions are compared.

    Attributes:
        labels: True label of each image, then of the copies, those of one image next to each other, in the
            order of the images. For several templates, once for each.
        copies: Augmented copies of each image.
        templates: How many templates predictions are of.
    """

    labels: Sequence[int]
    copies: int = 0
    templates: int = 1

    @property
    def images(self) -> int:
        """Number of images, without copies."""
        return len(self.labels) // (self.templates * (1 + self.copies))

    def _image_and_weight(self, index: int) -> tuple[int, float]:
        """Return the image that a prediction is of, or of a copy of, and what it counts, in images."""
        in_template = index % (len(self.labels) // self.templates)
        if in_template >= self.images:
            return (in_template - self.images) // self.copies, 0.5 / self.copies / self.templates
        return in_template, (0.5 if self.copies else 1.0) / self.templates

    def compare(self, predicted: Predicted, before: Predicted) -> _Evidence:
        """Return the gain in images, and its standard error."""
        change_by_image: dict[int, float] = defaultdict(float)
        for index in compress(range(len(self.labels)), map(ne, predicted, before)):
            true = self.labels[index]
            change = (predicted[index] == true) - (before[index] == true)
            if change:
                image, weight = self._image_and_weight(index)
                change_by_image[image] += change * weight
        changes = change_by_image.values()
        return _Evidence(sum(changes), math.sqrt(sum(change * change for change in changes)))

    def gained_and_lost(self, predicted: Predicted, before: Predicted) -> tuple[int, int]:
        """Return how many images are right in ``predicted`` alone, and in ``before`` alone; no copies."""
        columns = zip(self.labels[: self.images], predicted, before, strict=False)
        pairs = [(label == true, label_before == true) for true, label, label_before in columns]
        return pairs.count((True, False)), pairs.count((False, True))

    def wrong(self, predicted: Predicted) -> float:
        """Return how many images are wrong, in images."""
        wrong_indices = compress(range(len(self.labels)), map(ne, predicted, self.labels))
        return sum(self._image_and_weight(index)[1] for index in wrong_indices)

    def holds(self, predicted: Predicted, base: Predicted, names_per_class: float) -> bool:
        """Return whether a renaming repairs the share of the errors that it must: step 2 of the choice."""
        per_class = self.images / len(set(self.labels[: self.images]))
        share_to_repair = LEAST_REPAIRED + MORE_IF_FEW / math.sqrt(per_class)
        share_to_repair *= 1.0 + MORE_IF_MANY * math.log(max(names_per_class, 1.0))
        # Of few errors, a large share is repaired by luck.
        return self.compare(predicted, base).gain >= share_to_repair * max(self.wrong(base), self.images / 2)

    def accuracy(self, predicted: Predicted) -> FewShotAccuracy:
        """Return the share of the images that are right, and how many."""
        share = 1.0 - self.wrong(predicted) / self.images
        return FewShotAccuracy(
            round(share, 9), sum(hits(predicted[: self.images], self.labels[: self.images]))
        )


class FewShotAccuracy(NamedTuple):
    """The accuracy on the few-shot images.

    Attributes:
        share: Of the images that are classified correctly, averaged with that of their copies.
        images: How many that are, without copies.
    """

    share: float
    images: int


UNREAD = FewShotAccuracy(-1.0, 0)
"""Of a template or name that the model cannot read."""


async def choose_names(
    few_shot: FewShotImages,
    base: Predicted,
    tried: Tried,
    predict: Callable[[Renaming], Awaitable[Predicted]],
    names_per_class: float,
    doubted: Container[str] = (),
) -> dict[int, str]:
    """Return the accepted name of each class that gets one.

    1. **Alone.** Each class gets the name that gains most alone, if that gain is above one standard error: a
       low bar, as the next step is the guard. An image that changes counts as one throw of a coin, so that a
       single image never decides; two that agree do. A doubted name must be better than the best of the
       others by one standard error too: lucky words do not carry over to another model.
    2. **Together.** All of them are scored once as a whole and must repair a share of the errors
       (``FewShotImages.holds``): the best of several names on few images always gains on those. Held-out
       folds cannot tell: images of one class that share a look (a red car) favour "red car" in every fold.
       Doubted names count here by their gain alone: whether names help at all is one question, which ones
       are true another.
    3. **In context.** Each class in turn may return to its name before, if that loses nothing, or get its
       best other name, if that gains anything; a doubted name must gain more than one standard error.

    A whole renaming is scored once if it does not hold, otherwise at most once more for each class and each
    accepted name, and at most ``MOST_CHECKS`` times. No two classes get the same name.

    Args:
        few_shot: The images of the predictions.
        base: Predictions with the names before.
        tried: Predictions with each name alone.
        predict: Scores a renaming of several classes.
        names_per_class: Names tried for a class on average; ``tried`` may have the best of them alone.
        doubted: Names that are right by luck if at all, such as those of common words beside an LLM's.
    """
    ranked = _ranked(few_shot, base, tried, doubted)
    chosen = _first_sure(ranked)
    if not chosen:
        return chosen
    # Together.
    predicted = await predict(chosen)
    if not few_shot.holds(predicted, base, names_per_class):
        if not doubted:
            return {}
        by_gain = {label: sorted(names, key=lambda named: -named[0].gain) for label, names in ranked.items()}
        if not few_shot.holds(await predict(_first_sure(by_gain)), base, names_per_class):
            return {}
    # In context.
    checks = 0
    for label, names in ranked.items():
        other_name = next((name for _, name in names if name not in chosen.values()), None)
        options = [] if other_name is None else [{**chosen, label: other_name}]
        if label in chosen:
            options.append({renamed: name for renamed, name in chosen.items() if renamed != label})
        checks += len(options)
        if checks > MOST_CHECKS:
            break
        best, before = 0.0, predicted
        for option in options:
            with_option = await predict(option) if option else base
            evidence = few_shot.compare(with_option, before)
            if evidence.beats(best, is_doubted=option.get(label) in doubted, is_new=label in option):
                best, chosen, predicted = evidence.gain, option, with_option
    return chosen


_Ranked: TypeAlias = Mapping[int, Sequence[tuple[_Evidence, str]]]


def _ranked(few_shot: FewShotImages, base: Predicted, tried: Tried, doubted: Container[str]) -> _Ranked:
    """Return each class's names with their evidence by their gain, the class that gains most first.

    Doubted names come last unless they are better than the best of the others.
    """
    ranked = {}
    for label, names in tried.items():
        if not names:
            continue
        evidence = {name: few_shot.compare(predicted, base) for name, predicted in names.items()}
        by_gain = sorted(names, key=lambda name: -evidence[name].gain)
        trusted = next((name for name in by_gain if name not in doubted), None)
        lucky = {
            name
            for name in by_gain
            if trusted is not None
            and name in doubted
            and not few_shot.compare(names[name], names[trusted]).sure
        }
        ranked[label] = [(evidence[name], name) for name in sorted(by_gain, key=lucky.__contains__)]
    return dict(sorted(ranked.items(), key=lambda item: (-item[1][0][0].gain, item[0])))


def _first_sure(ranked: _Ranked) -> dict[int, str]:
    """Return the first name of each class that gains for sure, no two the same."""
    chosen: dict[int, str] = {}
    for label, names in ranked.items():
        for evidence, name in names:
            if evidence.sure and name not in chosen.values():
                chosen[label] = name
                break
    return chosen


@dataclass(frozen=True, slots=True)
class Renamed:
    """New names by label, and the predictions with them in the template of the rounds."""

    names: Renaming
    predicted: Predicted


class NamesTried:
    """What is known of new names in the template of the rounds.

    Args:
        class_names: By label.
        renamable: Labels of the classes that may get a new name.

    Attributes:
        few_shot: The images of all predictions.
        original: Predictions with the original names.
        start: What names are compared with: the original ones, or the LLM's first reading of all classes if
            that is better as a whole.
        keeps_recognised: Whether a class that is recognised by its name to start from keeps it.
        current: The names so far, which were scored together.
        tried: Predictions with each name alone, by label.
        common: Those of ``tried`` that are made of common words.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        renamable: Container[int],
        few_shot: FewShotImages,
        original: Predicted,
    ) -> None:
        self.few_shot, self.original = few_shot, original
        self.start = self.current = Renamed({}, original)
        self.keeps_recognised = False
        self.tried: defaultdict[int, dict[str, Predicted]] = defaultdict(dict)
        self.common: set[str] = set()
        self._class_names, self._renamable = class_names, renamable

    def start_from(
        self, names: Renaming, few_shot: FewShotImages, predicted: Predicted, with_original: Predicted
    ) -> bool:
        """Start from names of all classes if they gain for sure; return whether they do.

        The predictions are in several templates, that of the rounds first.
        """
        evidence = few_shot.compare(predicted, with_original)
        if evidence.sure:
            right = few_shot.images - few_shot.wrong(with_original)
            self.keeps_recognised = right + evidence.gain >= KNOWN_AT_ONCE * right
            self.start = self.current = Renamed(names, predicted[: len(self.original)])
        return evidence.sure

    def with_start(self, names: Renaming) -> Renaming:
        """Return the names to start from with others in their place; a class's own name is no new one.

        A class whose name to start from goes to another class has its own name again: no two have the same.
        """
        taken = set(names.values())
        start = {label: name for label, name in self.start.names.items() if name not in taken}
        return {label: name for label, name in {**start, **names}.items() if name != self._class_names[label]}

    def gained_and_lost(self, predicted: Predicted) -> tuple[int, int]:
        """Return how many images became right and wrong."""
        return self.few_shot.gained_and_lost(predicted, self.start.predicted)

    def sure(self, doubted: Container[str]) -> Renaming:
        """Return the names that gain for sure alone, of the classes that do not keep theirs."""
        return _first_sure(_ranked(self.few_shot, self.start.predicted, self._to_choose_from, doubted))

    @property
    def finalists(self) -> list[tuple[int, str]]:
        """The names to compare in several templates: of each class the best by their gain alone."""
        finalists: list[tuple[int, str]] = []
        for label, names in self._to_choose_from.items():
            gains = {
                name: self.few_shot.compare(predicted, self.start.predicted).gain
                for name, predicted in names.items()
            }
            by_gain = sorted(gains, key=lambda name: -gains[name])
            for common in (False, True):
                of_one_kind = [name for name in by_gain if (name in self.common) == common]
                finalists += [(label, name) for name in of_one_kind[:FINALISTS]]
        return finalists

    @property
    def that_hold(self) -> Renamed:
        """The names so far, or those to start from, unless the former repair enough together."""
        holds = self.few_shot.holds(self.current.predicted, self.start.predicted, self.per_class)
        return self.current if holds else self.start

    @property
    def are_read(self) -> bool:
        """Whether the search starts from the LLM's reading of all classes."""
        return bool(self.start.names)

    @property
    def per_class(self) -> float:
        """Names tried for a class on average."""
        counts = [len(names) for names in self.tried.values() if names]
        return sum(counts) / max(1, len(counts))

    @property
    def confusions(self) -> Counter[tuple[int, int]]:
        """How many images of each class that may be renamed are taken for which other one."""
        true_labels = self.few_shot.labels[: self.few_shot.images]
        return Counter(
            (true, predicted)
            for true, predicted in zip(true_labels, self.current.predicted, strict=False)
            if true != predicted and true in self._renamable
        )

    @property
    def to_rename(self) -> Counter[tuple[int, int]]:
        """The confusions of the classes that do not keep the LLM's first reading."""
        recognised = self._recognised
        pairs = self.confusions.items()
        return Counter({pair: count for pair, count in pairs if pair[0] not in recognised})

    @property
    def _to_choose_from(self) -> Tried:
        recognised = self._recognised
        return {label: names for label, names in self.tried.items() if label not in recognised}

    @property
    def _recognised(self) -> set[int]:
        """Labels of the classes that keep the name to start from, as they are recognised by it.

        What fits the few-shot images still better does so by luck more often than by truth. Where the model
        knows the original names too, the first reading is one of several that are true, and none keeps it.
        """
        if not self.keeps_recognised:
            return set()
        labels = self.few_shot.labels
        images = Counter(labels)
        right = Counter(compress(labels, map(eq, labels, self.start.predicted)))
        return {label for label in self.start.names if right[label] >= RECOGNISED * images[label]}


def check_renames(evaluator: Evaluator, name: str, *, labels: bool) -> None:
    """Raise ConfigError if an evaluator cannot score other class names; with ``labels``, on few shots."""
    info = evaluator.info
    has_images = info.sizes.get("train", 0) > 0 or not labels
    describes_data = len(info.class_names) == info.classes > 0 and has_images
    if describes_data and isinstance(evaluator, NamePredictor):
        return
    raise ConfigError(
        f'`search_for = "class-names"` cannot score names with {name}: give it a method '
        "`predict_named(template, renamings, split)` (see evaluator.scoring.NamePredictor), and "
        "its classes and few-shot images in `info.class_names` and `info.sizes`; or search with "
        "`search_for = template`",
    )


class NamePredictions:
    """Predictions of the few-shot images with other names, in any template: on disk before they are used.

    Args:
        check: Raises if nothing is to be predicted anew.

    Attributes:
        reference: A renaming; later predictions are stored as changes from its own where those are known.
            Renamings that begin with it differ from the original names on most images, and from it on few.
    """

    def __init__(
        self, evaluator: NamePredictor, info: EvaluatorInfo, store: Store, check: Callable[[], None]
    ) -> None:
        self.reference: Renaming = {}
        self._evaluator, self._store, self._check = evaluator, store, check
        self._splits = [split for split in ("train", "val") if info.sizes.get(split, 0)]
        if info.copies:
            self._splits.append(COPIES)
        self._few_shot = FewShotImages(())
        self._known: dict[str, Predicted | None] = {}

    async def predict(
        self, templates: Sequence[str], renamings: Sequence[Renaming]
    ) -> tuple[FewShotImages, list[Predicted | None]]:
        """Return the predictions of each renaming in these templates, and the images that they are of.

        They are None where the model cannot read a name; it must be able to read the templates.
        """
        by_template = [await self._in_template(template, renamings) for template in templates]
        joined: list[Predicted | None] = []
        for in_templates in zip(*by_template, strict=True):
            readable = [predicted for predicted in in_templates if predicted is not None]
            joined.append(_joined(readable) if len(readable) == len(templates) else None)
        labels = _joined([self._few_shot.labels] * len(templates))
        return FewShotImages(labels, self._few_shot.copies, len(templates)), joined

    async def unreadable(self, template: str, names: Renaming) -> list[int]:
        """Return the labels of names that the model cannot read; no image is looked at if train is empty."""
        renamings = [{label: name} for label, name in names.items()]
        predict = partial(self._evaluator.predict_named, template, renamings, split="train")
        predicted = (await call_evaluator(predict)).predicted if renamings else ()
        return [label for label, row in zip(names, predicted, strict=True) if row is None]

    async def accuracy(self, template: str, renaming: Renaming) -> FewShotAccuracy:
        """Return a template's accuracy; ``UNREAD`` if the model cannot read it or a name."""
        name = f"right:{_hash(template, renaming)}"
        accuracy = self._store.value(name, FewShotAccuracy._make)
        if accuracy is None:
            try:
                few_shot, (predicted,) = await self._predict(template, [renaming])
                accuracy = UNREAD if predicted is None else few_shot.accuracy(predicted)
            except TemplateRejectedError:
                accuracy = UNREAD
            await self._store.put_value(name, list(accuracy))
        return accuracy

    async def _in_template(self, template: str, renamings: Sequence[Renaming]) -> list[Predicted | None]:
        base = await self._open(template)
        by_name = {_name(template, renaming): renaming for renaming in renamings}
        missing = [name for name in by_name if not self._is_known(name)]
        for start in range(0, len(missing), AT_ONCE):
            batch = missing[start : start + AT_ONCE]
            _, predictions = await self._predict(template, [by_name[name] for name in batch])
            reference = _name(template, self.reference)
            reference = reference if self._known.get(reference) else base
            pairs = zip(batch, predictions, strict=True)
            rows = {name: self._row_of(predicted, reference) for name, predicted in pairs}
            await self._store.put_values(rows)
            self._known |= zip(batch, predictions, strict=True)
        return [self._known[_name(template, renaming)] for renaming in renamings]

    async def _open(self, template: str) -> str:
        """Predict in a template with the original names; return the name of the store's value."""
        name = _name(template, {})
        if name not in self._known:
            row = self._store.value(name, _base_of)
            if row is None:
                few_shot, (predicted,) = await self._predict(template, [{}])
                if predicted is None:
                    raise EvaluationFailedError("predict_named gives no predictions without new names")
                row = few_shot.labels, predicted, few_shot.images * few_shot.copies
                values = {"labels": list(row[0]), "predicted": list(predicted), "copies": row[2]}
                await self._store.put_value(name, values)
            labels, self._known[name], copies = row
            self._few_shot = FewShotImages(labels, copies // max(1, len(labels) - copies))
            if not copies and COPIES in self._splits:
                self._splits.remove(COPIES)
        return name

    async def _predict(
        self, template: str, renamings: Sequence[Renaming]
    ) -> tuple[FewShotImages, list[Predicted | None]]:
        """Predict anew; no copies are used if those of some image cannot be read."""
        self._check()
        labels = array("i")
        predictions: list[array[int] | None] = [array("i") for _ in renamings]
        images = 0
        for split in self._splits:
            on_split = await call_evaluator(
                partial(self._evaluator.predict_named, template, renamings, split=split)
            )
            if split == COPIES and len(on_split.labels) % images:
                self._splits.remove(COPIES)
                break
            images += 0 if split == COPIES else len(on_split.labels)
            labels.extend(on_split.labels)
            for index, (so_far, predicted) in enumerate(zip(predictions, on_split.predicted, strict=True)):
                if so_far is None or predicted is None:
                    predictions[index] = None
                elif len(predicted) != len(on_split.labels):
                    raise EvaluationFailedError("predict_named gives unequally many labels and predictions")
                else:
                    so_far.extend(predicted)
        return FewShotImages(labels, len(labels) // images - 1), list(predictions)

    def _row_of(self, predicted: Predicted | None, reference: str) -> dict[str, Any]:
        """Return predictions for the disk: where they differ, and to what; None if a name cannot be read."""
        if predicted is None:
            return {"at": None, "to": None}
        pairs = enumerate(zip(predicted, self._known[reference] or (), strict=True))
        changed = [index for index, (label, before) in pairs if label != before]
        return {"at": changed, "to": [predicted[index] for index in changed], "from": reference}

    def _is_known(self, name: str) -> bool:
        """Return whether predictions are known, after reading them from disk if they are there."""
        if name not in self._known:
            stored = self._store.value(name, self._read)
            if stored is None:
                return False
            (self._known[name],) = stored
        return True

    def _read(self, row: Any) -> tuple[Predicted | None]:
        if row["at"] is None:
            return (None,)
        reference = row["from"]
        if not self._is_known(reference):
            raise ValueError(f"{reference} is missing")
        predicted = array("i", self._known[reference] or ())
        for index, label in zip(row["at"], row["to"], strict=True):
            predicted[index] = label
        return (predicted,)


def _base_of(row: Any) -> tuple[Predicted, Predicted, int]:
    """Read labels, predictions with the original names, and the number of copies."""
    return array("i", row["labels"]), array("i", row["predicted"]), int(row["copies"])


def _name(template: str, renaming: Renaming) -> str:
    """Return the name of the store's value with predictions."""
    return f"named:{_hash(template, renaming)}"


def _hash(template: str, renaming: Renaming) -> str:
    key = canonical([template, *map(list, sorted(renaming.items()))])
    return hashlib.sha256(key.encode()).hexdigest()


def _joined(in_templates: Sequence[Predicted]) -> Predicted:
    if len(in_templates) == 1:
        return in_templates[0]
    joined = array("i")
    for predicted in in_templates:
        joined.extend(predicted)
    return joined
