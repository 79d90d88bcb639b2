"""How fast a model is here, by a few images and texts, with weights or without."""

from __future__ import annotations

import pytest

from promptclimb.evaluator.errors import ModelError
from promptclimb.evaluator.white_box.references import CoopOptions
from promptclimb.evaluator.white_box.speed import coop_steps, measure


def test_a_model_is_measured_without_its_weights() -> None:
    """Everything takes some time, and a model of a million numbers has four megabytes."""
    speed = measure("RN-pico", "cpu")
    assert 0 < speed.text < 10
    assert 0 < speed.image < 10
    assert 0 < speed.coop < 10
    assert 0.001 < speed.gigabytes < 0.1
    with pytest.raises(ModelError, match="cannot build no-such-model"):
        measure("no-such-model", "cpu")


@pytest.mark.parametrize(
    ("options", "shots", "images", "steps"),
    [
        (CoopOptions(), 1, 47, 50),
        (CoopOptions(), 16, 752, 200 * 23),
        (CoopOptions(epochs=7), 16, 10, 7),
        (CoopOptions(tuned=True), 1, 10, 6 * (50 + 200)),
    ],
)
def test_the_steps_of_coop(options: CoopOptions, shots: int, images: int, steps: int) -> None:
    """Epochs by shots, whole batches of 32, and every training of a grid."""
    assert coop_steps(options, shots, images) == steps
