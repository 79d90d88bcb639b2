"""Confusion matrices: against scikit-learn, of any size, and with names that repeat."""

from __future__ import annotations

import random

import pytest

from promptclimb.agent.results.details import ConfusionMatrix
from promptclimb.evaluator.scoring import ClassAccuracy, Confusion, Inspection


@pytest.mark.parametrize("classes", [2, 12, 100, 1000])
def test_the_figures_are_those_of_scikit_learn(classes: int) -> None:
    """Matrix, precision and recall; a class that is never predicted has no precision."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = random.Random(classes)
    labels = [rng.randrange(classes) for _ in range(5 * classes)]
    predicted = [label if rng.random() < 0.6 else rng.randrange(classes) for label in labels]
    every = list(range(classes))
    found = ConfusionMatrix.of_decisions([f"c{label}" for label in every], labels, predicted)
    assert found is not None
    assert [found.row(label) for label in every] == metrics.confusion_matrix(
        labels, predicted, labels=every
    ).tolist()
    precision, recall, _, images = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0.0
    )
    assert [found.precision(label) or 0.0 for label in every] == pytest.approx(precision)
    assert [found.recall(label) or 0.0 for label in every] == pytest.approx(recall)
    assert [found.images(label) for label in every] == images.tolist()
    assert len(found.to_csv().splitlines()) == classes + 1


def test_the_most_confused_classes_come_in_label_order() -> None:
    """Errors count for the true and for the predicted class."""
    found = ConfusionMatrix(("a", "b", "c", "d"), {(0, 0): 9, (2, 1): 3, (3, 3): 1, (3, 1): 1})
    assert found.most_confused(2) == [1, 2]
    assert found.row(2, [1, 2]) == [3, 0]


def test_an_inspection_gives_the_same_matrix() -> None:
    """Two classes of one name count as the first; a name from nowhere makes it unknown."""
    classes = (ClassAccuracy("crane", 4, 2), ClassAccuracy("dog", 3, 3), ClassAccuracy("crane", 2, 1))
    pairs = (Confusion("crane", "dog", 2), Confusion("crane", "crane", 1))
    found = ConfusionMatrix.of_inspection(Inspection(classes, pairs))
    assert found is not None
    assert dict(found.counts) == {(0, 0): 4, (0, 1): 2, (1, 1): 3}
    assert ConfusionMatrix.of_inspection(Inspection(classes, (Confusion("dog", "cow", 1),))) is None
    assert ConfusionMatrix.of_decisions(("a",), (0,), (1,)) is None


def test_answers_that_name_no_class_have_a_column() -> None:
    """They are what is left of a class's images."""
    classes = (ClassAccuracy("cat", images=8, correct=4), ClassAccuracy("dog", images=5, correct=5))
    matrix = ConfusionMatrix.of_inspection(Inspection(classes, (Confusion("cat", "dog", 3),)))
    assert matrix is not None
    assert matrix.to_csv() == "true class,cat,dog,(no class)\ncat,4,3,1\ndog,0,5,0\n"
    assert (matrix.images_without_class, matrix.images(0), matrix.recall(0)) == (1, 8, 0.5)
