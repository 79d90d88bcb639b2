"""Rank classes, and count predicted ones against true ones. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .scoring import MOST_CONFUSED, ClassAccuracy, Confusion, Inspection, Score

Labels: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]
"""Classes of n images: [n]. A negative prediction names no class."""
Logits: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.floating[Any]]]
"""Logits, or probabilities, of classes for n images: [n, C]."""


class ClassifiedSplit(NamedTuple):
    """Images of a split, which may have none: predicted and true classes, and grey-box values if any."""

    predicted: Labels
    labels: Labels
    grey_box: Mapping[str, float] = {}


def score_of(train: ClassifiedSplit, val: ClassifiedSplit, names: Sequence[str], **more: Any) -> Score:
    """Return the score of a candidate; ``more`` are values of it that only some scorers have."""
    values: dict[str, Any] = {name: value for name, value in more.items() if value is not None}
    right = correct(train.predicted, train.labels)
    val_right = correct(val.predicted, val.labels) if len(val.labels) else None
    for prefix, split in (("", train), ("val_", val)):
        if len(split.labels):
            values[f"{prefix}class_mean"] = class_mean(split.predicted, split.labels, len(names))
            values |= {f"{prefix}{name}": value for name, value in split.grey_box.items()}
    return Score(
        train=right / len(train.labels),
        val=None if val_right is None else val_right / len(val.labels),
        correct=(right, val_right),
        confused=named_confusions(train.predicted, train.labels, names, MOST_CONFUSED),
        **values,
    )


def likeliest(logits: Logits, factor: float, top: int) -> tuple[Labels, Logits]:
    """Return each image's ``top`` classes, the most likely first, and their probabilities: [n, top] each.

    Probabilities are the softmax of ``factor`` times the logits over all classes. Of equal logits the first
    is taken, as by ``argmax``.
    """
    if top == 1:
        labels = logits.argmax(axis=1)[:, None]
    else:
        labels = np.argsort(-logits, axis=1, kind="stable")[:, :top]
    shares = np.exp(factor * (logits - logits.max(axis=1, keepdims=True)))
    shares /= shares.sum(axis=1, keepdims=True)
    return labels, np.take_along_axis(shares, labels, axis=1)


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


def metrics(
    predicted: Sequence[int], labels: Sequence[int], classes: int, within_5: float | None
) -> dict[str, float]:
    """Return what stands beside an accuracy, by the names that CLIP_benchmark gives it."""
    recall = class_mean(np.asarray(predicted), np.asarray(labels), classes)
    return {"mean_per_class_recall": recall} | ({} if within_5 is None else {"acc5": within_5})


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
