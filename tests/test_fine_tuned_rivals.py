"""Rivals fine-tuned on frozen features: untrained they are what they start from, and trained they learn."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.nn import functional

from benchmarks import fine_tuned
from promptclimb.evaluator.clip.zero_shot import correct
from promptclimb.evaluator.white_box import tip_adapter
from tests.fakes.few_shots import few_shots

SCALE = 100.0
"""That of ``tip_adapter``."""
IMAGES = few_shots().train
VERSIONS = IMAGES.features[:, None].repeat(1, 2, 1)
WEIGHTS = few_shots().zero_shot(["a photo of a {}"])
TEXTS = WEIGHTS + 0.5 * torch.randn(WEIGHTS.shape, generator=torch.Generator().manual_seed(0))
"""A text classifier that is often wrong."""
RIVALS = (fine_tuned.tip_adapter_f, partial(fine_tuned.task_residual, epochs=100))


@pytest.mark.parametrize("rival", RIVALS)
def test_training_learns(rival: fine_tuned.Fit) -> None:
    """The chosen logits are right on more training images than the texts they start from."""
    fit = partial(rival, weights=TEXTS, scale=SCALE, seed=1)
    before = correct((IMAGES.features @ TEXTS.T).argmax(dim=1), IMAGES)
    for logits in (
        fine_tuned.chosen_on_val(fit, VERSIONS, IMAGES.labels, IMAGES),
        fine_tuned.chosen_by_folds(fit, VERSIONS, IMAGES.labels),
    ):
        assert correct(logits(IMAGES.features).argmax(dim=1), IMAGES) > before


def test_untuned_keys_are_tip_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting has the logits of a Tip-Adapter with its alpha and beta; tuned keys have a lower loss."""
    tuned = fine_tuned.tip_adapter_f(VERSIONS, IMAGES.labels, TEXTS, SCALE, 1)
    monkeypatch.setattr(fine_tuned, "KEY_RATE", 0.0)
    untuned = fine_tuned.tip_adapter_f(VERSIONS, IMAGES.labels, TEXTS, SCALE, 1)
    for setting in list(untuned)[::97]:
        logits = untuned[setting](IMAGES.features)
        expected = tip_adapter.logits(IMAGES.features, IMAGES, TEXTS, SCALE, *setting[1:])
        assert torch.allclose(logits, expected, atol=1e-4)
        learned = tuned[setting](IMAGES.features)
        assert functional.cross_entropy(learned, IMAGES.labels) < functional.cross_entropy(
            logits, IMAGES.labels
        )


def test_a_residual_of_no_weight_is_the_text_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a scale of zero the learned residual adds nothing."""
    monkeypatch.setattr(fine_tuned, "RESIDUAL_SCALES", (0.0,))
    (logits,) = fine_tuned.task_residual(VERSIONS, IMAGES.labels, TEXTS, SCALE, 20, 1).values()
    expected = SCALE * IMAGES.features @ functional.normalize(TEXTS, dim=1).T
    assert torch.allclose(logits(IMAGES.features), expected, atol=1e-4)


def test_a_setting_is_chosen_on_images_that_it_did_not_learn_from() -> None:
    """Recognising the images that it has seen is worth nothing beside the rule."""
    labels = torch.tensor([0, 1] * 6)
    rule = functional.one_hot(labels, 2).float()
    images = torch.cat([rule, torch.arange(12.0)[:, None]], dim=1)

    def fit(seen: torch.Tensor, own: torch.Tensor) -> dict[str, fine_tuned.Logits]:
        values = 9 * functional.one_hot(own, 2).float()
        return {
            "repeats": lambda features: (features[:, None] == seen[None, :, 0]).all(dim=2).float() @ values,
            "rule": lambda features: features[:, :2],
        }

    assert torch.equal(fine_tuned.chosen_by_folds(fit, images[:, None], labels)(images), rule)
