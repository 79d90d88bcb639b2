"""The cross-modal linear probe: several heads at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from promptclimb.evaluator.clip.zero_shot import correct, decide
from promptclimb.evaluator.white_box import cross_modal
from promptclimb.evaluator.white_box.references import CrossModalOptions
from tests.fakes.few_shots import NAMES, few_shots


def test_the_gradient_of_each_head_is_that_of_autograd() -> None:
    """Of the mean cross-entropy, for several heads at once."""
    problem = few_shots()
    begin = problem.zero_shot(["a photo of a {}"])
    features, labels = problem.train.features, problem.train.labels
    heads = torch.stack([begin, begin.flip(0)]).requires_grad_()
    for head in heads:
        functional.cross_entropy(100 * features @ head.T, labels).backward()
    gradients = cross_modal.gradient(heads.detach(), features, labels)
    torch.testing.assert_close(gradients, heads.grad, atol=1e-4, rtol=1e-4)


def test_the_rate_rises_and_falls() -> None:
    """50 steps up from 1e-5, then a cosine."""
    rates = [cross_modal.rate(1e-3, step, 1000) for step in range(1000)]
    assert rates[:3] == pytest.approx([1e-5, 2e-5, 4e-5])
    assert rates[50] == max(rates) == 1e-3
    assert rates[550] == pytest.approx(5e-4)
    assert rates[-1] < 1e-4


def test_it_learns_from_few_images_and_texts() -> None:
    """Better on test than the texts that it starts from; never worse on val; one seed, one head."""
    problem = few_shots(noise=0.1)
    plain = problem.zero_shot(["a photo of a {}"])
    first, again = (cross_modal.fit(problem, CrossModalOptions(steps=150), seed=3) for _ in "ab")
    test = problem.split("test")
    assert correct(first.decide(test), test) > correct(decide(test, plain), test)
    assert torch.equal(first.decide(test), again.decide(test))
    assert first.chosen == again.chosen
    assert first.chosen["batch"] == 8
    assert first.trained == len(NAMES) * 32


def test_two_classes_and_one_shot_make_a_batch() -> None:
    """Where there is too little for either batch size, all of it is one."""
    problem = few_shots(shots=1, names=("cat", "dog"))
    fitted = cross_modal.fit(problem, CrossModalOptions(steps=5), seed=1)
    assert fitted.chosen["batch"] == 4
