"""CoOp: its schedule, and that it learns."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from promptclimb.evaluator.clip.zero_shot import correct, decide
from promptclimb.evaluator.errors import ConfigError
from promptclimb.evaluator.white_box import coop
from promptclimb.evaluator.white_box.references import CoopOptions
from tests.fakes.few_shots import NAMES, few_shots

SHORT = CoopOptions(context=4, epochs=30, lr=0.02)


@pytest.mark.parametrize("epochs", [1, 2, 50, 200])
def test_the_schedule_is_the_published_one(epochs: int) -> None:
    """An epoch at 1e-5; then torch's own cosine over all epochs, begun anew."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2e-3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(epochs))
    expected = [1e-5]
    for _ in range(epochs - 1):
        expected.append(cosine.get_last_lr()[0])
        optimizer.step()
        cosine.step()
    assert coop.learning_rates(2e-3, epochs) == pytest.approx(expected, rel=1e-6)


def test_how_long_it_trains_goes_by_the_shots() -> None:
    """As published for 1, 2, 4, 8 and 16."""
    assert [coop.epochs_for(shots) for shots in (1, 2, 4, 8, 16)] == [50, 100, 100, 200, 200]


def test_a_batch_that_is_not_full_is_left_out() -> None:
    """Unless it is all there is; every epoch has an order of its own."""
    generator = torch.Generator().manual_seed(1)
    first, second = (list(coop.batches(70, generator)) for _ in "ab")
    assert [len(batch) for batch in first] == [32, 32]
    assert first[0].tolist() != second[0].tolist()
    assert [len(batch) for batch in coop.batches(5, generator)] == [5]


def test_its_loss_falls_and_the_test_images_gain() -> None:
    """From noise, on 16 shots: better than the plain template on images that it has not seen."""
    problem = few_shots(shots=16)
    learned = coop.learn(problem, SHORT, seed=1)
    test = problem.split("test")
    plain = problem.zero_shot(["a photo of a {}."])
    assert learned.losses[-1] < 0.7 * learned.losses[0]
    assert correct(decide(test, learned.weights), test) > correct(decide(test, plain), test) + 20


def test_the_first_epoch_hardly_moves() -> None:
    """It is the warm-up."""
    problem = few_shots()
    _, begin = coop.start(problem, SHORT, torch.Generator().manual_seed(1))
    once = coop.learn(problem, CoopOptions(context=4, epochs=1, lr=0.02), seed=1)
    torch.testing.assert_close(once.vectors, begin, atol=1e-2, rtol=0)


def test_the_seed_decides() -> None:
    """One seed, one context, bit for bit; another one, another."""
    short = CoopOptions(context=4, epochs=5, lr=0.02)
    first, again, other = (coop.learn(few_shots(), short, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.vectors, again.vectors)
    assert first.losses == again.losses
    assert not torch.equal(first.vectors, other.vectors)


@pytest.mark.parametrize("class_specific", [False, True])
def test_what_is_learnt_has_its_shape(class_specific: bool) -> None:
    """M vectors for all classes, or M for each; noise is small, words are their embeddings."""
    options = {"class_specific": class_specific, "epochs": 1}
    fitted = coop.fit(few_shots(), CoopOptions(context=16, **options), seed=1)
    assert fitted.trained == 16 * 64 * (len(NAMES) if class_specific else 1)
    assert (fitted.chosen["context"], fitted.chosen["init"]) == (16, "random")
    words = coop.fit(few_shots(), CoopOptions(init="a photo of a", **options), seed=1)
    assert words.trained == 4 * 64 * (len(NAMES) if class_specific else 1)
    _, noise = coop.start(few_shots(), CoopOptions(context=16), torch.Generator().manual_seed(1))
    assert noise.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_grid_holds_the_published_choice() -> None:
    """First; and longer trainings where the shots are few."""
    one, many = (list(coop.grid(CoopOptions(tuned=True), shots)) for shots in (1, 16))
    assert (one[0].context, one[0].init, one[0].lr, one[0].epochs) == (16, "random", 2e-3, 50)
    assert {each.epochs for each in one} == {50, 200}
    assert {each.epochs for each in many} == {200}
    tried = {(each.context, each.init, each.lr) for each in many}
    starts = ((16, "random"), (4, "random"), (16, "a photo of a"))
    assert tried == {(*start, lr) for start, lr in product(starts, (2e-3, 2e-2))}


def test_tuning_takes_the_best_on_the_validation_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training that is too short and one that is not."""
    short = CoopOptions(context=4, epochs=1, lr=0.02)
    monkeypatch.setattr(coop, "grid", lambda _options, _shots: [short, SHORT])
    fitted = coop.fit(few_shots(), CoopOptions(tuned=True), seed=1)
    assert (fitted.chosen["context"], fitted.chosen["epochs"]) == (4, 30)


def test_words_say_how_many_vectors_there_are() -> None:
    """So their number cannot be given too."""
    with pytest.raises(ConfigError, match="leave one of them out"):
        CoopOptions(context=4, init="a photo of a")
