"""What likeness to labelled images adds to a classifier."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator import likeness
from promptclimb.evaluator.held_near import LabelledFeatures
from promptclimb.evaluator.learning import learn_classifier
from promptclimb.evaluator.likeness import ADDED, GAINS, RIDGES, learn

CLASSES, SIZE, SCALE = 3, 24, 20.0


def images(each: int, *, seed: int) -> LabelledFeatures:
    """Images of classes that are opposites of each other: one half at a point, one at its reflection."""
    centres = functional.normalize(
        torch.randn(CLASSES, SIZE, generator=torch.Generator().manual_seed(7)), dim=1
    )
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(CLASSES).repeat_interleave(each)
    side = torch.where(torch.arange(len(labels)) % 2 == 0, 1.0, -1.0)[:, None]
    drawn = side * centres[labels] + 0.5 * torch.randn(len(labels), SIZE, generator=generator) / SIZE**0.5
    return LabelledFeatures(functional.normalize(drawn, dim=1)[:, None], labels)


def added(shots: LabelledFeatures, held_out: Tensor) -> likeness.LearnedLikeness:
    learned = learn(held_out, shots, SCALE)
    assert learned is not None
    return learned


def test_classes_of_two_kinds_are_told_apart() -> None:
    """No vector of a class has large products with a point and its reflection."""
    shots, test = images(8, seed=1), images(40, seed=2)
    texts = functional.normalize(
        torch.randn(CLASSES, SIZE, generator=torch.Generator().manual_seed(3)), dim=1
    )
    learned = learn_classifier(texts.numpy(), shots, SCALE, seed=1)
    features, labels = test.features[:, 0].numpy(), test.labels.numpy()
    by_vectors = features @ learned.head.vectors.T
    assert learned.head.likeness is not None
    by_both = by_vectors + learned.head.likeness.added(features)
    assert (by_vectors.argmax(axis=1) == labels).mean() < 0.7
    assert (by_both.argmax(axis=1) == labels).mean() > 0.9
    # What is told of the images held out is about as true.
    assert np.mean(learned.held_out) > 0.8


def test_what_is_told_of_an_image_held_out_was_learnt_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leave-one-out equals learning again without the image, by one ridge and gain."""
    monkeypatch.setattr(likeness, "RIDGES", (0.3,))
    monkeypatch.setattr(likeness, "GAINS", (4.0,))
    shots = images(4, seed=1).at(torch.arange(1, 12))  # unequal classes
    learned = added(shots, torch.zeros(len(shots), CLASSES))
    gain = float(learned.held_out.double().abs().sum())
    keys, sharpness = shots.features[:, 0].double(), learned.likeness.sharpness
    kernel = (-sharpness * (1 - keys @ keys.T)).exp()
    targets = functional.one_hot(shots.labels, CLASSES).double() - 1 / CLASSES
    weights = shots.counts.double() * len(shots) / float(shots.counts.sum())
    again = torch.empty(len(shots), CLASSES).double()
    for image in range(len(shots)):
        rest = [other for other in range(len(shots)) if other != image]
        inner = kernel[rest][:, rest] + 0.3 * (1 / weights[rest]).diag()
        again[image] = kernel[image, rest] @ torch.linalg.solve(inner, targets[rest])
    again *= gain / float(again.abs().sum())  # by its share of the mean
    torch.testing.assert_close(learned.held_out.double(), again, rtol=1e-4, atol=1e-4)


def test_half_is_added_of_the_mean_over_ridges_and_gains() -> None:
    """It lies within what the least and the most of them would add."""
    shots = images(6, seed=1)
    learned = added(shots, torch.zeros(len(shots), CLASSES))
    most = float(learned.held_out.abs().max())
    assert 0 < most <= ADDED * max(GAINS) * 1.5
    assert learned.likeness.values.shape == (len(shots), CLASSES)
    assert 0 < np.abs(learned.likeness.values).max() <= ADDED * max(GAINS) / min(RIDGES) / SCALE


def test_little_is_added_where_it_does_not_help() -> None:
    """Images held out are right with large logits, or labels follow from nothing."""
    shots = images(6, seed=1)
    certain = 50.0 * functional.one_hot(shots.labels, CLASSES).float()
    learned = learn(certain, shots, SCALE)
    assert learned is None or float(learned.held_out.abs().max()) < 5
    shuffled = shots.labels[torch.randperm(len(shots), generator=torch.Generator().manual_seed(5))]
    learned = learn(torch.zeros(len(shots), CLASSES), LabelledFeatures(shots.features, shuffled), SCALE)
    assert learned is None or float(learned.held_out.abs().max()) < 0.5


@pytest.mark.parametrize("count", [1, 3])
def test_images_that_are_one_teach_nothing(count: int) -> None:
    """One image, or copies of it."""
    features = functional.normalize(torch.ones(count, 1, SIZE), dim=2)
    shots = LabelledFeatures(features, torch.arange(count) % CLASSES)
    assert learn(torch.zeros(count, CLASSES), shots, SCALE) is None


def test_too_many_images_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost would grow with the cube of their number."""
    monkeypatch.setattr(likeness, "MOST_IMAGES", 10)
    assert learn(torch.zeros(12, CLASSES), images(4, seed=1), SCALE) is None
