"""Count predicted classes against true ones. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .scoring import ClassAccuracy, Confusion, Inspection

Labels: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]
"""Classes of n images: [n]. A negative prediction names no class."""


def correct(predicted: Labels, labels: Labels) -> int:
    """Return the number of correctly classified images."""
    return int(np.count_nonzero(predicted == labels))


def by_class(predicted: Labels, labels: Labels, classes: int) -> list[tuple[int, int]]:
    """Return, for each class, its correctly classified images and all its images."""
    right: list[int] = np.bincount(labels[predicted == labels], minlength=classes).tolist()
    of: list[int] = np.bincount(labels, minlength=classes).tolist()
    return list(zip(right, of, strict=True))


def class_mean(predicted: Labels, labels: Labels, classes: int) -> float:
    """Return the mean accuracy of the classes that have images."""
    accuracies = [right / of for right, of in by_class(predicted, labels, classes) if of]
    return sum(accuracies) / len(accuracies)


def confusions(
    predicted: Labels, labels: Labels, classes: int, most: int | None = None
) -> list[tuple[int, int, int]]:
    """Return (true class, predicted class, images), at most ``most``, most frequent first; ties by label."""
    wrong = (predicted != labels) & (predicted >= 0)
    pairs, counts = np.unique(labels[wrong] * classes + predicted[wrong], return_counts=True)
    first = np.argsort(-counts, kind="stable")[:most]
    return [
        (pair // classes, pair % classes, count)
        for pair, count in zip(pairs[first].tolist(), counts[first].tolist(), strict=True)
    ]


def inspection(
    predicted: Sequence[int], labels: Sequence[int], names: Sequence[str], most: int | None = None
) -> Inspection:
    """Return each class's accuracy, and at most ``most`` pairs of confused classes."""
    predicted_labels, true_labels = np.asarray(predicted), np.asarray(labels)
    counts = by_class(predicted_labels, true_labels, len(names))
    return Inspection(
        classes=tuple(
            ClassAccuracy(name, images=of, correct=right)
            for name, (right, of) in zip(names, counts, strict=True)
        ),
        confusions=named_confusions(predicted_labels, true_labels, names, most),
    )


def named_confusions(
    predicted: Labels, labels: Labels, names: Sequence[str], most: int | None = None
) -> tuple[Confusion, ...]:
    """Return ``confusions`` with the names of the classes."""
    return tuple(
        Confusion(names[true], names[taken_for], images)
        for true, taken_for, images in confusions(predicted, labels, len(names), most)
    )
