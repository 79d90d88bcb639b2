"""How fast a model is here, by a few images and texts, with weights or without."""

from __future__ import annotations

import itertools
import time

import pytest
import torch

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


def test_a_busy_machine_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, the clock is not looked at, and torch works on one core, then on as many as before."""
    ticks, cores, before = itertools.count(), set[int](), torch.get_num_threads()

    def processor_time() -> float:
        cores.add(torch.get_num_threads())
        return float(next(ticks))

    monkeypatch.setattr(time, "process_time", processor_time)
    monkeypatch.setattr(time, "perf_counter", lambda: pytest.fail("the clock runs on while others work"))
    torch.set_num_threads(2)
    try:
        speed = measure.__wrapped__("RN-pico", "cpu")
        assert (speed.cores, torch.get_num_threads(), cores) == (2, 2, {1})
    finally:
        torch.set_num_threads(before)
    assert (speed.image, speed.text, speed.coop) == (1 / 2, 1 / (4 * 32), 1 / 32)


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
