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
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from operator import ne
from typing import Any, NamedTuple, TypeAlias

from ...evaluator.scoring import EvaluatorInfo, NamePredictor, hits
from ..errors import EvaluationFailedError
from ..store.records import canonical
from ..store.run import Store
from .event_loop import call_evaluator

Predicted: TypeAlias = Sequence[int]
"""The label predicted for each image, augmented copies last."""
Renaming: TypeAlias = Mapping[int, str]
"""New names by label."""
Predict: TypeAlias = Callable[[Renaming], Awaitable[Predicted]]
"""Scores a renaming of several classes."""

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
_ROUNDING = 1e-9


def paired_counts(labels: Sequence[int], now: Predicted, before: Predicted) -> tuple[int, int]:
    """Return how many of the first images ``now`` alone classifies correctly, and how many ``before`` alone.

    Predictions beyond the labels, those of augmented copies, are left out.
    """
    pairs = [
        (label_now == true, label_before == true)
        for true, label_now, label_before in zip(labels, now, before, strict=False)
    ]
    return pairs.count((True, False)), pairs.count((False, True))


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
    """The labels by which predictions are compared."""

    labels: Sequence[int]
    images: int  # without copies
    each: int  # copies of an image
    templates: int = 1

    @classmethod
    def of(cls, labels: Sequence[int], copies: int, templates: int = 1) -> FewShotImages:
        """Count the copies, the last of each template's labels, if each image has equally many."""
        images = (len(labels) - copies) // templates
        even = images > 0 and copies % (images * templates) == 0
        each = copies // (images * templates) if even else 0
        return cls(labels if even else labels[:images], images, each, templates)

    def weight(self, index: int) -> float:
        """Return what the prediction at an index counts, in images."""
        if not self.each:
            return 1.0 / self.templates
        in_template = index % (len(self.labels) // self.templates)
        return (0.5 if in_template < self.images else 0.5 / self.each) / self.templates

    def image(self, index: int) -> int:
        """Return the image that the prediction at an index is of, or of a copy of."""
        in_template = index % (len(self.labels) // self.templates)
        return in_template if in_template < self.images else (in_template - self.images) // self.each

    def compare(self, now: Predicted, before: Predicted) -> _Evidence:
        """Return the gain in images, and its standard error."""
        change_by_image: dict[int, float] = defaultdict(float)
        for index in compress(range(len(self.labels)), map(ne, now, before)):
            true = self.labels[index]
            change = (now[index] == true) - (before[index] == true)
            if change:
                change_by_image[self.image(index)] += change * self.weight(index)
        changes = change_by_image.values()
        return _Evidence(sum(changes), math.sqrt(sum(change * change for change in changes)))

    def wrong(self, predicted: Predicted) -> float:
        """Return how many images are wrong, in images."""
        wrong_indices = compress(range(len(self.labels)), map(ne, predicted, self.labels))
        return sum(map(self.weight, wrong_indices))

    def holds(self, now: Predicted, base: Predicted, names_per_class: float) -> bool:
        """Return whether a renaming repairs the share of the errors that it must: step 2 of the choice."""
        per_class = self.images / len(set(self.labels[: self.images]))
        share_to_repair = LEAST_REPAIRED + MORE_IF_FEW / math.sqrt(per_class)
        share_to_repair *= 1.0 + MORE_IF_MANY * math.log(max(names_per_class, 1.0))
        # Of few errors, a large share is repaired by luck.
        return self.compare(now, base).gain >= share_to_repair * max(self.wrong(base), self.images / 2)


class FewShotAccuracy(NamedTuple):
    """The accuracy on the few-shot images.

    Attributes:
        share: Of the images that are classified correctly, averaged with that of their copies.
        images: How many that are, without copies.
    """

    share: float
    images: int

    @classmethod
    def of(cls, labels: Sequence[int], predicted: Predicted, copies: int) -> FewShotAccuracy:
        """Count; the last ``copies`` of the labels belong to copies."""
        few_shot = FewShotImages.of(labels, copies)
        share = 1.0 - few_shot.wrong(predicted) / few_shot.images
        images = len(labels) - copies
        return cls(round(share, 9), sum(hits(predicted[:images], labels[:images])))


async def choose_names(
    labels: Sequence[int],
    base: Predicted,
    tried: Mapping[int, Mapping[str, Predicted]],
    predict: Predict,
    *,
    copies: int = 0,
    templates: int = 1,
    names_per_class: float | None = None,
    doubted: Container[str] = (),
    final: bool = True,
) -> dict[int, str]:
    """Return the accepted name of each class that gets one.

    1. **Alone.** Each class gets the name that gains most alone, if that gain is above one standard error
       (``SURE``). An image that changes counts as one throw of a coin, so that a single image never decides;
       two that agree do. The bar is low because the next step is the guard. A doubted name must be better
       than the best of the others by one standard error too: lucky words do not carry over to another model.
    2. **Together.** All of them are scored once as a whole and must repair a share of the errors: 13 % at 20
       images per class, 16 % at 8, 23 % at 2, and half as much again for a hundred names per class. Errors
       count as half of the images if they are fewer. The best
       of several names on few images always gains on those images: where names are plain, mostly less than
       this share, and nothing or a loss on other images; where names are ambiguous, mostly more. Held-out
       folds cannot separate these: images of one class that share a look (a red car) favour "red car" in
       every fold. docs/results.md has figures. Doubted names count here by their gain alone: whether names
       help at all is one question, which ones are true another.
    3. **In context.** If the whole holds, each class in turn may return to its name before, if that loses
       nothing, or get its best other name, if that gains anything. What is left over from a conflict between
       two names goes. Any gain counts, as the whole is already known to be needed; that of a doubted name
       counts above one standard error.

    A whole renaming is scored once if it does not hold, otherwise at most once more for each class and each
    accepted name, and at most ``MOST_CHECKS`` times. No two classes get the same name.

    Args:
        labels: True label of each image; the last ``copies`` are augmented copies of the others, those of one
            image next to each other, in the order of the images. For several templates, once for each.
        base: Predictions with the names before.
        tried: By label and name, the predictions with that name alone, in order of preference.
        predict: Scores a renaming of several classes.
        copies: How many of the labels belong to augmented copies. They count only if each image has
            equally many.
        templates: How many templates the predictions are of, one after the other.
        names_per_class: Names tried for a class on average, if more than those in ``tried``.
        doubted: Names that are right by luck if at all, such as those of common words beside an LLM's.
        final: Whether to do steps 2 and 3; a choice for the next request needs neither, and scores nothing.
    """
    few_shot = FewShotImages.of(labels, copies, templates)
    # Alone: the names of each class by their gain.
    evidence_by_label = {
        label: _in_order(few_shot, base, names, doubted) for label, names in tried.items() if names
    }
    order = sorted(evidence_by_label, key=lambda label: (-evidence_by_label[label][0][0].gain, label))
    chosen = _sure_names(order, evidence_by_label)
    if not chosen or not final:
        return chosen
    # Together.
    now = await predict(chosen)
    if names_per_class is None:
        names_per_class = sum(map(len, evidence_by_label.values())) / len(evidence_by_label)
    if not few_shot.holds(now, base, names_per_class):
        if not doubted:
            return {}
        by_gain = {label: sorted(names, key=_gain) for label, names in evidence_by_label.items()}
        with_doubted = await predict(_sure_names(order, by_gain))
        if not few_shot.holds(with_doubted, base, names_per_class):
            return {}
    # In context.
    checks = 0
    for label in order:
        alternative = next(
            (name for _, name in evidence_by_label[label] if name not in chosen.values()), None
        )
        options = [] if alternative is None else [{**chosen, label: alternative}]
        if label in chosen:
            options.append({renamed: name for renamed, name in chosen.items() if renamed != label})
        checks += len(options)
        if checks > MOST_CHECKS:
            break
        best, before = 0.0, now
        for option in options:
            predicted = await predict(option) if option else base
            evidence = few_shot.compare(predicted, before)
            if evidence.beats(best, is_doubted=option.get(label) in doubted, is_new=label in option):
                best, chosen, now = evidence.gain, option, predicted
    return chosen


def _sure_names(
    order: Sequence[int], evidence_by_label: Mapping[int, Sequence[tuple[_Evidence, str]]]
) -> dict[int, str]:
    """Return the first name of each class that gains for sure, no two the same."""
    chosen: dict[int, str] = {}
    for label in order:
        for evidence, name in evidence_by_label[label]:
            if evidence.sure and name not in chosen.values():
                chosen[label] = name
                break
    return chosen


def _gain(pair: tuple[_Evidence, str]) -> float:
    """Return what evidence with its name is sorted by, the largest gain first."""
    return -pair[0].gain


def _in_order(
    few_shot: FewShotImages, base: Predicted, names: Mapping[str, Predicted], doubted: Container[str]
) -> list[tuple[_Evidence, str]]:
    """Return a class's names with their evidence, by their gain; doubted ones last unless they are better."""
    order = sorted(
        ((few_shot.compare(predicted, base), name) for name, predicted in names.items()), key=_gain
    )
    trusted = next((name for _, name in order if name not in doubted), None)
    if trusted is None:
        return order

    def is_better(name: str) -> bool:
        return few_shot.compare(names[name], names[trusted]).sure

    return sorted(order, key=lambda pair: pair[1] in doubted and not is_better(pair[1]))


RenamingKey = tuple[tuple[int, str], ...]


def renaming_key(template: str, renaming: Renaming) -> str:
    """Return what stands for a template with new names in the names of a store's values."""
    key = canonical([template, *map(list, sorted(renaming.items()))])
    return hashlib.sha256(key.encode()).hexdigest()


class FewShotPredictions:
    """Predictions with other names on all few-shot images, augmented copies last.

    Attributes:
        copies: False if the copies of some image cannot be read; none are used then.
    """

    def __init__(self, evaluator: NamePredictor, info: EvaluatorInfo) -> None:
        self._evaluator = evaluator
        self._splits = [split for split in ("train", "val") if info.sizes.get(split, 0)]
        self.copies = bool(info.views)

    async def predict(
        self, template: str, renamings: Sequence[Renaming]
    ) -> tuple[array[int], int, list[array[int] | None]]:
        """Return the labels of the images, how many belong to copies, and predictions by renaming.

        Predictions are None where the model cannot read a name.
        """
        labels, copies, predictions = await self._predict(template, renamings)
        if copies % (len(labels) - copies):
            self.copies = False
            labels, copies, predictions = await self._predict(template, renamings)
        return labels, copies, predictions

    async def _predict(
        self, template: str, renamings: Sequence[Renaming]
    ) -> tuple[array[int], int, list[array[int] | None]]:
        labels, copies = array("i"), 0
        predictions: list[array[int] | None] = [array("i") for _ in renamings]
        for split in (*self._splits, "views") if self.copies else self._splits:
            on_split = await call_evaluator(
                partial(self._evaluator.predict_named, template, renamings, split=split)
            )
            labels.extend(on_split.labels)
            copies = len(on_split.labels) if split == "views" else 0
            for index, predicted in enumerate(on_split.predicted):
                so_far = predictions[index]
                if predicted is None or so_far is None:
                    predictions[index] = None
                    continue
                if len(predicted) != len(on_split.labels):
                    raise EvaluationFailedError("predict_named gives unequally many labels and predictions")
                so_far.extend(predicted)
        return labels, copies, predictions


@dataclass(eq=False)
class NameScores:
    """Predictions by renaming: read if on disk, otherwise written to disk before they are used.

    Attributes:
        labels: True label of each few-shot image, augmented copies last.
        base: Predictions with the original names.
        copies: Number of augmented copies.
    """

    template: str
    few_shot: FewShotPredictions
    store: Store
    check: Callable[[], None]
    labels: Predicted = ()
    base: Predicted = ()
    copies: int = 0
    _reference: RenamingKey = field(default=(), init=False)
    _known: dict[RenamingKey, Predicted | None] = field(default_factory=dict, init=False)

    @property
    def images(self) -> int:
        """Number of images without augmented copies."""
        return len(self.labels) - self.copies

    async def open(self) -> None:
        """Predict with the original names."""
        name = self._name_of(())
        stored = self.store.value(
            name, lambda row: (array("i", row["labels"]), array("i", row["predicted"]), int(row["copies"]))
        )
        if stored is None:
            self.check()
            labels, copies, (predicted,) = await self.few_shot.predict(self.template, [{}])
            if predicted is None:
                raise EvaluationFailedError("predict_named gives no predictions without new names")
            stored = labels, predicted, copies
            await self.store.put_value(
                name, {"labels": list(labels), "predicted": list(predicted), "copies": copies}
            )
        self.labels, self.base, self.copies = stored
        self._known[()] = self.base
        self.few_shot.copies = bool(self.copies)

    async def predict_all(self, renamings: Sequence[Renaming]) -> list[Predicted | None]:
        """Return the predictions of each renaming, in order; None where the model cannot read a name."""
        keys = [tuple(sorted(renaming.items())) for renaming in renamings]
        for key in dict.fromkeys(keys):
            stored = None if key in self._known else self.store.value(self._name_of(key), self._read)
            if stored is not None:
                (self._known[key],) = stored
        missing = [key for key in dict.fromkeys(keys) if key not in self._known]
        for start in range(0, len(missing), AT_ONCE):
            batch = missing[start : start + AT_ONCE]
            self.check()
            _, _, predictions = await self.few_shot.predict(self.template, [dict(key) for key in batch])
            rows = {
                self._name_of(key): self._row_of(predicted)
                for key, predicted in zip(batch, predictions, strict=True)
            }
            await self.store.put_values(rows)
            self._known |= zip(batch, predictions, strict=True)
        return [self._known[key] for key in keys]

    def _name_of(self, key: RenamingKey) -> str:
        return f"named:{renaming_key(self.template, dict(key))}"

    def store_changes_from(self, renaming: Renaming) -> None:
        """Store later predictions as changes from those of a renaming, which are known.

        Others that begin with it differ from the original names on most images, and from it on few.
        """
        self._reference = tuple(sorted(renaming.items()))

    def _row_of(self, predicted: Predicted | None) -> dict[str, Any]:
        """Return predictions for the disk: where they differ, and to what; None if a name cannot be read."""
        if predicted is None:
            return {"at": None, "to": None}
        pairs = enumerate(zip(predicted, self._known[self._reference] or (), strict=True))
        changed = [index for index, (now, before) in pairs if now != before]
        row: dict[str, Any] = {"at": changed, "to": [predicted[index] for index in changed]}
        return {**row, "from": self._name_of(self._reference)} if self._reference else row

    def _read(self, row: Any) -> tuple[Predicted | None]:
        if row["at"] is None:
            return (None,)
        reference: Predicted | None = self.base
        if "from" in row:
            if row["from"] == self._name_of(self._reference):
                reference = self._known[self._reference]
            else:
                (reference,) = self.store.value(row["from"], self._read) or (None,)
        predicted = array("i", reference or ())
        for index, label in zip(row["at"], row["to"], strict=True):
            predicted[index] = label
        return (predicted,)


@dataclass(frozen=True)
class ComparedScores:
    """Predictions by renaming in several templates, one after the other.

    A name that fits one template by luck does not decide.

    Args:
        scores: Those of each template, opened.
    """

    scores: Sequence[NameScores]

    @property
    def templates(self) -> int:
        """Number of templates."""
        return len(self.scores)

    @property
    def labels(self) -> Predicted:
        """True label of each image and copy, once for each template."""
        return self._joined([scores.labels for scores in self.scores])

    @property
    def copies(self) -> int:
        """Number of labels that belong to augmented copies."""
        return sum(scores.copies for scores in self.scores)

    async def predict_all(self, renamings: Sequence[Renaming]) -> list[Predicted | None]:
        """Return the predictions of each renaming, in order; None where the model cannot read a name."""
        by_template = [await scores.predict_all(renamings) for scores in self.scores]
        joined: list[Predicted | None] = []
        for in_templates in zip(*by_template, strict=True):
            readable = [predicted for predicted in in_templates if predicted is not None]
            joined.append(self._joined(readable) if len(readable) == len(self.scores) else None)
        return joined

    @property
    def few_shot(self) -> FewShotImages:
        """The labels by which predictions are compared."""
        return FewShotImages.of(self.labels, self.copies, self.templates)

    @staticmethod
    def _joined(in_templates: Sequence[Predicted]) -> Predicted:
        joined = array("i")
        for predicted in in_templates:
            joined.extend(predicted)
        return joined
