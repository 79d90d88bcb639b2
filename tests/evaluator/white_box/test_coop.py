"""CoOp: texts that begin with vectors, and learning these."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator.clip.zero_shot import correct, decide
from promptclimb.evaluator.errors import ConfigError, ModelError
from promptclimb.evaluator.white_box import coop
from promptclimb.evaluator.white_box.coop import SoftPrompt, embedded
from promptclimb.evaluator.white_box.references import CoopOptions
from tests.fakes.few_shots import NAMES, few_shots
from tests.fakes.tiny_clip import tiny

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
    """From noise, on 16 shots: better than the default template on images that it has not seen."""
    problem = few_shots(shots=16)
    learned = coop.learn(problem, SHORT, seed=1)
    test = problem.split("test")
    plain = problem.zero_shot(["a photo of a {}."])
    assert learned.losses[-1] < 0.7 * learned.losses[0]
    assert correct(decide(test, learned.weights), test) > correct(decide(test, plain), test) + 20


def test_copies_take_the_place_of_their_image() -> None:
    """Copies that equal the image change nothing but chance; those of other images are learned from."""
    problem = few_shots()
    images = problem.train.features
    same, others = images[:, None].expand(-1, 3, -1), torch.stack([images.roll(1, 0)] * 3, dim=1)
    learned = [coop.learn(replace(problem, versions=versions), SHORT, seed=1) for versions in (same, others)]
    plain = coop.learn(problem, SHORT, seed=1)
    right = [correct(decide(problem.train, result.weights), problem.train) for result in (*learned, plain)]
    assert abs(right[0] - right[2]) <= 1
    assert right[1] < right[0] / 2


def test_the_seed_decides() -> None:
    """One seed, one context, bit for bit; another one, another."""
    short = CoopOptions(context=4, epochs=5, lr=0.02)
    first, again, other = (coop.learn(few_shots(), short, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.vectors, again.vectors)
    assert first.losses == again.losses
    assert not torch.equal(first.vectors, other.vectors)


def test_what_is_learnt_has_its_shape() -> None:
    """M vectors for all classes; noise is small, words are their embeddings."""
    fitted = coop.fit(few_shots(), CoopOptions(context=16, epochs=1), seed=1)
    assert fitted.trained == 16 * 64
    assert (fitted.chosen["context"], fitted.chosen["init"]) == (16, "random")
    words = coop.fit(few_shots(), CoopOptions(init="a photo of a", epochs=1), seed=1)
    assert words.trained == 4 * 64
    _, noise = coop.start(few_shots(), CoopOptions(context=16), torch.Generator().manual_seed(1))
    assert noise.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_grid_holds_the_published_choice() -> None:
    """First; and longer trainings where the shots are few."""
    one_shot, many = (list(coop.grid(shots)) for shots in (1, 16))
    assert (one_shot[0].context, one_shot[0].init, one_shot[0].lr, one_shot[0].epochs) == (
        16,
        "random",
        2e-3,
        50,
    )
    assert {each.epochs for each in one_shot} == {50, 200}
    assert {each.epochs for each in many} == {200}
    tried = {(each.context, each.init, each.lr) for each in many}
    starts = ((16, "random"), (4, "random"), (16, "a photo of a"))
    assert tried == {(*start, lr) for start, lr in product(starts, (2e-3, 2e-2))}


def test_tuning_takes_the_best_on_the_validation_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training that is too short and one that is not."""
    short = CoopOptions(context=4, epochs=1, lr=0.02)
    monkeypatch.setattr(coop, "grid", lambda _shots: [short, SHORT])
    fitted = coop.fit(few_shots(), CoopOptions(tuned=True), seed=1)
    assert (fitted.chosen["context"], fitted.chosen["epochs"]) == (4, 30)


def test_words_say_how_many_vectors_there_are() -> None:
    """So their number cannot be given too."""
    with pytest.raises(ConfigError, match="`context` is how many tokens the words of `init` have"):
        CoopOptions(context=4, init="a photo of a")


@pytest.mark.parametrize("family", ["clip", "custom-text-eos", "layer-scale", "odd-mlp"])
def test_the_words_of_a_template_give_its_text_features(family: str) -> None:
    """A context that begins as "a photo of a" is the template "a photo of a {}.", to 1e-5."""
    encoder = few_shots(family).encoder
    words = embedded(encoder, "a photo of a")
    assert len(words) == 4
    expected = encoder.vectors(["a photo of a {}."])[0]
    features = SoftPrompt(encoder, len(words)).features(words)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)


def own_way(model: Any, tokenizer: Any, context: Tensor) -> Tensor:
    """Class vectors of open_clip's ``encode_text``, with the context put over the tokens of "X X X"."""
    count = len(context)
    tokens = tokenizer([f"{'X ' * count}{name}." for name in NAMES])

    def put(_module: object, _inputs: object, embeddings: Tensor) -> Tensor:
        vectors = context.expand(len(tokens), count, -1)
        return torch.cat([embeddings[:, :1], vectors, embeddings[:, 1 + count :]], dim=1)

    with model.token_embedding.register_forward_hook(put):
        return functional.normalize(model.encode_text(tokens), dim=-1)


def test_values_and_gradients_are_those_of_the_models_own_forward() -> None:
    """Any vectors: the same features, and the same way downhill."""
    model, tokenizer = tiny("clip")
    problem = few_shots("clip")
    target = torch.randn(len(NAMES), 32, generator=torch.Generator().manual_seed(2))
    contexts = [
        torch.randn((3, 64), generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab"
    ]
    prompt = SoftPrompt(problem.encoder, 3)
    features, expected = prompt.features(contexts[0]), own_way(model, tokenizer, contexts[1])
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)
    (features * target).sum().backward()
    (expected * target).sum().backward()
    assert contexts[0].grad is not None
    assert contexts[0].grad.abs().max() > 1e-3
    torch.testing.assert_close(contexts[0].grad, contexts[1].grad, atol=1e-5, rtol=1e-4)


def test_a_tower_that_is_no_causal_transformer_is_refused() -> None:
    """The message says what it is made of."""
    with pytest.raises(ModelError, match=r"cannot learn through this text tower \(plain path, since"):
        SoftPrompt(few_shots("coca").encoder, 4)


def test_more_vectors_than_the_model_reads_are_refused() -> None:
    """A short context has no room for 16; the message counts the tokens. Nor for many words."""
    problem = few_shots("short-context", names=("cat", "dog"))
    with pytest.raises(ModelError, match=r"16 learned vectors make a class text of 20 tokens.* reads 16"):
        SoftPrompt(problem.encoder, 16)
    with pytest.raises(ModelError, match="cannot begin as 'word word"):
        embedded(problem.encoder, " ".join(["word"] * 16))


@pytest.mark.parametrize(("family", "words"), [("clip", "  "), ("other-cleaning", "?!")])
def test_words_without_tokens_are_refused(family: str, words: str) -> None:
    """White space has none, and some tokenizers leave out more."""
    with pytest.raises(ModelError, match="no tokens of its own"):
        embedded(few_shots(family).encoder, words)
