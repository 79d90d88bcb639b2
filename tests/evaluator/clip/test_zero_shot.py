from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator import tally
from promptclimb.evaluator.clip import zero_shot
from promptclimb.evaluator.clip.zero_shot import Labelled, decide, grey_box, logits, within_5


def random_split(images: int, classes: int, width: int = 16, seed: int = 0) -> tuple[Labelled, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = functional.normalize(torch.randn(images, width, generator=generator), dim=-1)
    weights = functional.normalize(torch.randn(classes, width, generator=generator), dim=-1)
    return Labelled(features, torch.randint(classes, (images,), generator=generator), classes), weights


def test_logits_come_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than a chunk of images at once, and all of them in the end."""
    monkeypatch.setattr(zero_shot, "CHUNK", 30)
    split, weights = random_split(100, 5)
    parts = list(logits(split, weights))
    assert [len(values) for values, _ in parts] == [30, 30, 30, 10]
    assert torch.equal(torch.cat([labels for _, labels in parts]), split.labels)


def test_ties_go_to_the_first_class() -> None:
    """Between equal logits the lower label wins, as torch.argmax has it."""
    split = Labelled(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), 2)
    assert decide(split, torch.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist() == [0]


def test_classes_and_confusions_are_counted() -> None:
    """Class by class, the empty ones too, but not in the mean; the most frequent confusions first."""
    split = Labelled(torch.empty(6, 1), torch.tensor([0, 0, 0, 1, 1, 3]), 4)
    decisions = torch.tensor([0, 1, 1, 1, 3, 0])
    predicted, labels = decisions.numpy(), split.labels.numpy()
    assert tally.by_class(predicted, labels, 4) == [(1, 3), (1, 2), (0, 0), (0, 1)]
    assert tally.class_mean(predicted, labels, 4) == pytest.approx((1 / 3 + 0.5) / 3)
    assert tally.confusions(predicted, labels, 4) == [(0, 1, 2), (1, 3, 1), (3, 0, 1)]


def test_the_true_class_may_be_among_the_five_likeliest() -> None:
    """As CLIP_benchmark counts acc@5; mean recall beside it weighs each class equally."""
    split, weights = random_split(40, 12)
    values = split.features @ weights.T
    rank = (values > values.gather(1, split.labels[:, None])).sum(dim=1)
    share = within_5(split, weights)
    assert 0.1 < share < 0.9
    assert share == pytest.approx(float((rank < 5).double().mean()))
    metrics = tally.metrics([0, 0, 0, 1, -1], [0, 0, 0, 1, 1], 12, share)
    assert metrics == {"mean_per_class_recall": 0.75, "acc5": share}
    assert tally.metrics([0], [0], 12, None) == {"mean_per_class_recall": 1.0}


def test_grey_box_values_are_what_they_are_called() -> None:
    """Mean log-probability of the true class, and mean margin over the best other one."""
    split, weights = random_split(50, 4)
    values = grey_box(split, weights, logit_scale=10.0)
    cosines = 10.0 * split.features @ weights.T
    expected = functional.cross_entropy(cosines, split.labels).item()
    assert values["logprob"] == pytest.approx(-expected, abs=1e-5)
    margins = []
    for row, label in zip(cosines.tolist(), split.labels.tolist(), strict=True):
        margins.append(row[label] - max(value for index, value in enumerate(row) if index != label))
    assert values["margin"] == pytest.approx(sum(margins) / 50, abs=1e-4)
