"""``details.json``: decisions on test, for the report.

Test is evaluated once, after the search has chosen. The decisions by image are kept here with a few small
pictures, so that later reports and comparisons need not evaluate it again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, NonNegativeInt

from ...evaluator.scoring import UNREADABLE, hits
from .result import adapter, parsed
from .run_dir import DETAILS, csv_text, read_document, safe_cell, spreadsheet, write_atomically

SCHEMA = 2
NO_CLASS = "(no class)"
"""Stands for the class of an answer that names none."""


def agrees(hits: Sequence[bool], accuracy: float) -> bool:
    """Return whether decisions give an accuracy, which may be rounded by less than an image."""
    return abs(sum(hits) - len(hits) * accuracy) <= 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Decisions of each evaluated group of templates on the test images.

    Attributes:
        image_set: Content hash of the images, in order; None if the evaluator does not give it.
        classes: Class names by label; empty if they are not known.
        predicted: By name, the label predicted for each image.
    """

    image_set: str | None
    classes: tuple[str, ...]
    labels: tuple[NonNegativeInt, ...]
    predicted: Mapping[str, tuple[Annotated[int, Field(ge=UNREADABLE)], ...]]

    def __post_init__(self) -> None:
        if any(len(labels) != len(self.labels) for labels in self.predicted.values()):
            raise ValueError("decisions and labels differ in number")

    def hits(self, name: str) -> list[bool] | None:
        """Return whether each image is classified correctly; None for an unknown name."""
        predicted = self.predicted.get(name)
        return None if predicted is None else hits(predicted, self.labels)

    def class_name(self, label: int) -> str:
        """Return the name of a class, or that an answer names none."""
        if label == UNREADABLE:
            return NO_CLASS
        return self.classes[label] if 0 <= label < len(self.classes) else f"class {label}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A test image that either the baseline or the best template classifies correctly, but not both.

    Attributes:
        before: The class that the baseline predicts.
        after: The class that the best template predicts.
        jpeg: A small JPEG, in base64.
    """

    true: str
    before: str
    after: str
    name: str
    jpeg: str

    @property
    def put_right(self) -> bool:
        return self.after == self.true


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Data that the report shows beyond the result.

    Attributes:
        decisions: None if test was not evaluated or they are not known.
        baseline: Name of the baseline that ``pictures`` compare with.
    """

    decisions: Decisions | None = None
    baseline: str | None = None
    pictures: tuple[Picture, ...] = ()

    __pydantic_config__ = ConfigDict(allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **adapter(Details).dump_python(self, mode="json", warnings=False)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Details:
        """Return the inverse of ``to_json``; raise ValueError for another schema or shape."""
        if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
            raise ValueError(f"not the details of a run of schema {SCHEMA}")
        return parsed(cls, document, "the details of a run")


def write_details(run_dir: Path, details: Details) -> None:
    """Write the file."""
    text = json.dumps(details.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_atomically(run_dir / DETAILS, text + "\n")


def read_details(run_dir: Path) -> Details | None:
    """Read the details of a run; None if the file is missing or unreadable."""
    try:
        return Details.from_json(read_document(run_dir / DETAILS))
    except (OSError, ValueError):
        return None


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
        labels_of_classes = range(len(classes))
        if not all(
            true in labels_of_classes and (guess in labels_of_classes or guess == UNREADABLE)
            for true, guess in counts
        ):
            return None
        return cls(tuple(classes), counts)

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

    def precision(self, label: int) -> float | None:
        """Return the share of the images predicted as a class that belong to it; None without any."""
        total = self._totals[1][label]
        return self.counts.get((label, label), 0) / total if total else None

    @property
    def columns(self) -> dict[int, str]:
        """The predicted classes by label, last the answers that name none, if there are any."""
        return dict(enumerate(self.classes)) | ({UNREADABLE: NO_CLASS} if self.images_without_class else {})

    @property
    def images_without_class(self) -> int:
        return self._totals[1][UNREADABLE]

    def row(self, true: int, labels: Iterable[int] | None = None) -> list[int]:
        """Return how many images of a class were predicted as each class, or as each of ``labels``."""
        columns = range(len(self.classes)) if labels is None else labels
        return [self.counts.get((true, label), 0) for label in columns]

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
        columns = {label: safe_cell(name) for label, name in self.columns.items()}
        rows = [[columns[label], *self.row(label, columns)] for label in range(len(self.classes))]
        return spreadsheet(csv_text([["true class", *columns.values()], *rows]))
