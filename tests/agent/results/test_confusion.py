"""Confusion matrices: against scikit-learn, of any size, and with names that repeat."""

from __future__ import annotations

import random

import pytest

from promptclimb.agent.results.details import ConfusionMatrix
from promptclimb.evaluator.scoring import UNREADABLE


@pytest.mark.parametrize("classes", [2, 12, 100, 1000])
def test_the_figures_are_those_of_scikit_learn(classes: int) -> None:
    """Matrix and precision; a class that is never predicted has no precision."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = random.Random(classes)
    labels = [rng.randrange(classes) for _ in range(5 * classes)]
    predicted = [label if rng.random() < 0.6 else rng.randrange(classes) for label in labels]
    every = list(range(classes))
    matrix = ConfusionMatrix.of_decisions([f"c{label}" for label in every], labels, predicted)
    assert matrix is not None
    assert [matrix.row(label) for label in every] == metrics.confusion_matrix(
        labels, predicted, labels=every
    ).tolist()
    precision, _, _, images = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0.0
    )
    assert [matrix.precision(label) or 0.0 for label in every] == pytest.approx(precision)
    assert [matrix.images(label) for label in every] == images.tolist()
    assert len(matrix.to_csv().splitlines()) == classes + 1


def test_the_most_confused_classes_come_in_label_order() -> None:
    """Errors count for the true and for the predicted class."""
    matrix = ConfusionMatrix(("a", "b", "c", "d"), {(0, 0): 9, (2, 1): 3, (3, 3): 1, (3, 1): 1})
    assert matrix.most_confused(2) == [1, 2]
    assert matrix.row(2, [1, 2]) == [3, 0]


def test_a_label_without_a_class_makes_it_unknown() -> None:
    """Files may be changed."""
    assert ConfusionMatrix.of_decisions(("a",), (0,), (1,)) is None


def test_answers_that_name_no_class_have_a_column() -> None:
    """They are what is left of a class's images."""
    labels = (0,) * 8 + (1,) * 5
    predicted = (0,) * 4 + (1,) * 3 + (UNREADABLE,) + (1,) * 5
    matrix = ConfusionMatrix.of_decisions(("cat", "dog"), labels, predicted)
    assert matrix is not None
    assert matrix.to_csv() == "true class,cat,dog,(no class)\ncat,4,3,1\ndog,0,5,0\n"
    assert (matrix.images_without_class, matrix.images(0)) == (1, 8)
