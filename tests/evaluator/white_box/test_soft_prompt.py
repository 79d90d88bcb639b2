"""Learned vectors before the class name are read as the model itself would read them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from promptclimb.evaluator.errors import ModelError
from promptclimb.evaluator.white_box.coop import SoftPrompt, embedded
from tests.fakes.few_shots import NAMES, few_shots
from tests.fakes.tiny_clip import FAST, PLAIN, tiny


@pytest.mark.parametrize("class_specific", [False, True])
@pytest.mark.parametrize("family", FAST)
def test_the_words_of_a_template_give_its_text_features(family: str, class_specific: bool) -> None:
    """A context that begins as "a photo of a" is the template "a photo of a {}.", to 1e-5."""
    problem = few_shots(family)
    words = embedded(problem.encoder, "a photo of a")
    prompt = SoftPrompt(problem.encoder, len(words), class_specific=class_specific)
    found = prompt.features(words.expand(*prompt.shape, prompt.width))
    expected = problem.encoder.vectors(["a photo of a {}."])[0]
    assert len(words) == 4
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def own_way(model: Any, tokenizer: Any, context: Tensor) -> Tensor:
    """Class vectors of open_clip's ``encode_text``, with the context put over the tokens of "X X X"."""
    count = context.shape[-2]
    tokens = tokenizer([f"{'X ' * count}{name}." for name in NAMES])

    def put(_module: object, _inputs: object, embeddings: Tensor) -> Tensor:
        vectors = context.expand(len(tokens), count, -1)
        return torch.cat([embeddings[:, :1], vectors, embeddings[:, 1 + count :]], dim=1)

    with model.token_embedding.register_forward_hook(put):
        return functional.normalize(model.encode_text(tokens), dim=-1)


@pytest.mark.parametrize("shape", [(3, 64), (len(NAMES), 3, 64)])
def test_values_and_gradients_are_those_of_the_models_own_forward(shape: tuple[int, ...]) -> None:
    """Any vectors, of all classes or of each: the same features, and the same way downhill."""
    model, tokenizer = tiny("clip")
    problem = few_shots("clip")
    target = torch.randn(len(NAMES), 32, generator=torch.Generator().manual_seed(2))
    contexts = [torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in "ab"]
    prompt = SoftPrompt(problem.encoder, 3, class_specific=len(shape) == 3)
    found, expected = prompt.features(contexts[0]), own_way(model, tokenizer, contexts[1])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    (found * target).sum().backward()
    (expected * target).sum().backward()
    assert contexts[0].grad is not None
    assert contexts[0].grad.abs().max() > 1e-3
    torch.testing.assert_close(contexts[0].grad, contexts[1].grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", PLAIN)
def test_a_tower_that_is_no_causal_transformer_is_refused(family: str) -> None:
    """The message says what it is made of."""
    with pytest.raises(ModelError, match=r"cannot learn through this text tower \(plain path, since"):
        SoftPrompt(few_shots(family).encoder, 4)


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
