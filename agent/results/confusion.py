"""Confusion matrices: which classes are taken for which, with precision and recall."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...evaluator.scoring import UNREADABLE, Inspection
from .details import NO_CLASS
from .run_dir import safe_cell


@dataclass(frozen=True)
class ConfusionMatrix:
    """Numbers of images by true and predicted class.

    Attributes:
        classes: Class names by label.
        counts: By true and predicted label; pairs without images are missing. An answer that names no class
            has the predicted label ``UNREADABLE``.
    """

    classes: tuple[str, ...]
    counts: Mapping[tuple[int, int], int]

    @classmethod
    def of_decisions(
        cls, classes: Sequence[str], labels: Sequence[int], predicted: Sequence[int]
    ) -> ConfusionMatrix | None:
        """Return the matrix of decisions; None if a label has no class."""
        counts = Counter(zip(labels, predicted, strict=True))
        known = range(len(classes))
        if not all(true in known and (taken in known or taken == UNREADABLE) for true, taken in counts):
            return None
        return cls(tuple(classes), counts)

    @classmethod
    def of_inspection(cls, found: Inspection) -> ConfusionMatrix | None:
        """Return the matrix of an inspection; classes of one name count as the first of them.

        Images that are neither correct nor in a pair got an answer that names no class. None if a confusion
        names an unknown class.
        """
        names = tuple(one.name for one in found.classes)
        label = {name: place for place, name in reversed(list(enumerate(names)))}
        counts = Counter[tuple[int, int]]()
        for one in found.classes:
            counts[label[one.name], label[one.name]] += one.correct
            counts[label[one.name], UNREADABLE] += one.images - one.correct
        for pair in found.confusions:
            if pair.true not in label or pair.taken_for not in label:
                return None
            counts[label[pair.true], label[pair.taken_for]] += pair.images
            counts[label[pair.true], UNREADABLE] -= pair.images
        return cls(names, +counts)

    @cached_property
    def _totals(self) -> tuple[Counter[int], Counter[int]]:
        """Images by true label, and by predicted label."""
        by_true, by_predicted = Counter[int](), Counter[int]()
        for (true, predicted), count in self.counts.items():
            by_true[true] += count
            by_predicted[predicted] += count
        return by_true, by_predicted

    def images(self, label: int) -> int:
        return self._totals[0][label]

    def _share(self, label: int, total: int) -> float | None:
        return self.counts.get((label, label), 0) / total if total else None

    def precision(self, label: int) -> float | None:
        """Return the share of the images predicted as a class that belong to it; None without any."""
        return self._share(label, self._totals[1][label])

    def recall(self, label: int) -> float | None:
        """Return the share of a class's images that are predicted as it; None without images."""
        return self._share(label, self._totals[0][label])

    @property
    def columns(self) -> dict[int, str]:
        """The predicted classes by label, last the answers that name none, if there are any."""
        return dict(enumerate(self.classes)) | ({UNREADABLE: NO_CLASS} if self.images_without_class else {})

    @property
    def images_without_class(self) -> int:
        return self._totals[1][UNREADABLE]

    def row(self, true: int, labels: Iterable[int] | None = None) -> list[int]:
        """Return how many images of a class were predicted as each class, or as each of ``labels``."""
        places = range(len(self.classes)) if labels is None else labels
        return [self.counts.get((true, label), 0) for label in places]

    def most_confused(self, most: int) -> list[int]:
        """Return at most ``most`` labels, ascending: those with most errors, as true or predicted class."""
        errors = Counter[int]()
        for (true, predicted), count in self.counts.items():
            if true != predicted:
                errors[true] += count
                errors[predicted] += count
        ranked = sorted(range(len(self.classes)), key=lambda label: (-errors[label], label))
        return sorted(ranked[:most])

    def to_csv(self) -> str:
        """Return one row per true class and one column per predicted class; no cell is a formula."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        columns = {label: safe_cell(name) for label, name in self.columns.items()}
        writer.writerow(["true class", *columns.values()])
        writer.writerows([columns[label], *self.row(label, columns)] for label in range(len(self.classes)))
        return buffer.getvalue()
