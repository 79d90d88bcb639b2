"""Learning from labelled images: what is held near the texts, and how near."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator.held_near import LabelledFeatures, evidence, learn

CLASSES, SIZE, SCALE = 6, 32, 20.0


def unit(vectors: Tensor) -> Tensor:
    return functional.normalize(vectors, dim=-1)


def pictures(
    centres: Tensor, each: int, *, seed: int, copies: int = 0, spread: float = 0.6
) -> LabelledFeatures:
    """Draw images around the centre of each class, with copies close to them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(centres)).repeat_interleave(each)
    noise = torch.randn(len(labels), 1 + copies, SIZE, generator=generator) * spread / SIZE**0.5
    own = torch.randn(len(labels), 1, SIZE, generator=generator) * spread / SIZE**0.5
    return LabelledFeatures(unit(centres[labels][:, None] + own + 0.3 * noise), labels)


def accuracy(weights: Tensor, shots: LabelledFeatures) -> float:
    return float(((shots.features[:, 0] @ weights.T).argmax(1) == shots.labels).double().mean())


@pytest.fixture
def centres() -> Tensor:
    return unit(torch.randn(CLASSES, SIZE, generator=torch.Generator().manual_seed(7)))


def test_texts_that_say_nothing_are_replaced_by_what_images_say(centres: Tensor) -> None:
    """Random texts, images around the true centres."""
    texts = unit(torch.randn(CLASSES, SIZE, generator=torch.Generator().manual_seed(1)))
    test = pictures(centres, 50, seed=3)
    learned = learn(texts, pictures(centres, 8, seed=2, copies=2), SCALE)
    assert accuracy(texts, test) < 0.4
    assert accuracy(learned.weights, test) > 0.9
    assert learned.strength is not None


def test_images_that_contradict_each_other_leave_the_texts(centres: Tensor) -> None:
    """Labels are shuffled: good texts must not suffer."""
    shots = pictures(centres, 4, seed=2)
    shuffled = LabelledFeatures(
        shots.features, shots.labels[torch.randperm(len(shots), generator=torch.Generator().manual_seed(0))]
    )
    learned = learn(centres, shuffled, SCALE)
    assert accuracy(learned.weights, pictures(centres, 50, seed=3)) > 0.9


def test_a_class_without_images_keeps_its_place(centres: Tensor) -> None:
    """The other classes learn, and take nothing from it."""
    shots = pictures(centres, 5, seed=2, copies=1)
    known = shots.at((shots.labels != 0).nonzero()[:, 0])
    learned = learn(centres, known, SCALE)
    test = pictures(centres, 60, seed=3)
    own = (test.labels == 0).nonzero()[:, 0]
    assert accuracy(learned.weights, test.at(own)) > 0.8


@pytest.mark.parametrize("each", [1, 2])
def test_one_or_two_images_of_a_class_are_enough_to_run(centres: Tensor, each: int) -> None:
    """Folds then lack some classes."""
    learned = learn(centres, pictures(centres, each, seed=2), SCALE)
    assert accuracy(learned.weights, pictures(centres, 50, seed=3)) > 0.85
    assert len(learned.held_out) == CLASSES * each


def test_the_same_images_give_the_same_classifier_to_the_last_bit(centres: Tensor) -> None:
    """A resumed search returns the same."""
    shots = pictures(centres, 4, seed=2, copies=2)
    first, second = (learn(centres, shots, SCALE, seed=5) for _ in range(2))
    assert torch.equal(first.weights, second.weights)
    assert first.strength == second.strength


def test_held_out_decisions_have_not_seen_the_image(centres: Tensor) -> None:
    """On noise they are no better than chance."""
    noise = torch.randn(40, 1, SIZE, generator=torch.Generator().manual_seed(4))
    shots = LabelledFeatures(unit(noise), torch.arange(CLASSES).repeat(7)[:40])
    learned = learn(unit(torch.randn(CLASSES, SIZE)), shots, SCALE)
    # A classifier that had seen them would have nearly all of these 40 points in 32 dimensions right.
    assert float((learned.held_out.argmax(dim=1) == shots.labels).double().mean()) < 0.5


@pytest.mark.parametrize("seed", [2, 4, 6])
def test_many_images_of_one_class_take_nothing_from_the_others(centres: Tensor, seed: int) -> None:
    """Each class counts the same, in what is learned and in what decides how much."""
    few, many, test = (pictures(centres, each, seed=seed + each, spread=1.2) for each in (2, 60, 50))
    more = many.at(many.labels == 0)
    unequal = LabelledFeatures(torch.cat([few.features, more.features]), torch.cat([few.labels, more.labels]))
    noise = torch.randn(CLASSES, SIZE, generator=torch.Generator().manual_seed(3)) / SIZE**0.5

    def by_class(shots: LabelledFeatures) -> float:
        weights = learn(unit(centres + noise), shots, SCALE).weights
        return sum(accuracy(weights, test.at(test.labels == label)) for label in range(CLASSES)) / CLASSES

    assert by_class(unequal) >= by_class(few)
    sums = [float(unequal.counts[unequal.labels == label].sum()) for label in range(CLASSES)]
    assert sums == pytest.approx([sums[0]] * CLASSES)
    assert few.counts.tolist() == pytest.approx([1.0] * len(few))


def test_evidence_is_half_of_the_image_and_half_of_its_copies() -> None:
    """By hand, on two images with two copies."""
    weights = torch.eye(2)
    features = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    right, logprob = evidence(LabelledFeatures(features, torch.tensor([0, 1])), weights, 2.0)
    assert right.tolist() == [0.75, 0.5]
    assert (logprob < 0).all()
    assert logprob[0] > logprob[1]
