from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import promptclimb.evaluator.clip.text_encoder as encoder_module
from promptclimb.evaluator.clip.text_encoder import TextEncoder
from promptclimb.evaluator.scoring import Rejection
from tests.fakes.tiny_clip import FAST, PLAIN, tiny

NAMES = [
    "cat", "golden retriever", "golden eagle", "St. Bernard (dog)", "zebra", "café", "ox", "sea snake",
    "7-up",
]  # fmt: skip
TEMPLATES = [
    "a photo of a {}.", "{}", "a photo of the {}", "{} and {}: two of {}", "a {}s", "THE '{}'!", "so, {}?",
]  # fmt: skip


def build(family: str, names: list[str] = NAMES, **settings_: Any) -> TextEncoder:
    model, tokenizer = tiny(family)
    return TextEncoder(model, tokenizer, names, tokenizer.context_length, **settings_)


@cache
def shared(family: str, rows: int | None) -> TextEncoder:
    """One encoder for every example."""
    return build(family, max_rows=rows)


def open_clips_own(family: str, template: str, names: list[str] = NAMES) -> Tensor:
    model, tokenizer = tiny(family)
    encode: Any = model.encode_text
    return encode(tokenizer([template.replace("{}", name) for name in names]), normalize=True)


@pytest.mark.parametrize("family", [*FAST, *PLAIN])
def test_vectors_are_open_clips_own(family: str) -> None:
    """On every family that open_clip builds small, each class vector is the model's own to 1e-5.

    A causal tower that is read at the end of text takes the fast path, whatever it is called; one for which
    that would be wrong takes the model's own way, and says why.
    """
    lines: list[str] = []
    encoder = build(family, report=lines.append)
    way = "fast path (checked" if family in FAST else "plain path, since its "
    assert encoder.path.startswith(way)
    assert [line.startswith(f"texts: {way}") for line in lines] == [] if family in FAST else [True]
    readable = [template for template in TEMPLATES if encoder.check(template) is None]
    assert len(readable) >= 5
    for template, vectors in zip(readable, encoder.vectors(readable), strict=True):
        assert (vectors - open_clips_own(family, template)).abs().max() <= 1e-5


@pytest.mark.parametrize("family", ["clip", "odd-mlp", "bidirectional-last"])
@settings(max_examples=6)
@given(data=st.data())
def test_a_template_scores_the_same_in_any_company(family: str, data: st.DataObject) -> None:
    """Alone, among others, in any order and any pass size: bit for bit the same vectors."""
    chosen = data.draw(st.lists(st.sampled_from(TEMPLATES), min_size=1, max_size=6))
    rows = data.draw(st.sampled_from([1, 40, 300, 4096]))
    together = shared(family, rows).vectors(chosen)
    alone = shared(family, None)
    for template, vectors in zip(chosen, together, strict=True):
        assert torch.equal(vectors, alone.vectors([template])[0])


@pytest.mark.parametrize("names", [["cat"], ["cat", "cat", "dog"]])
def test_one_class_and_equal_names_have_the_models_own_vectors(names: list[str]) -> None:
    """With a single class every token but the last could be shared."""
    vectors_by_template = build("clip", names=names).vectors(TEMPLATES)
    for template, vectors in zip(TEMPLATES, vectors_by_template, strict=True):
        assert (vectors - open_clips_own("clip", template, names)).abs().max() <= 1e-5
    assert torch.equal(vectors_by_template[:, 0], vectors_by_template[:, -2 % len(names)])


def test_long_templates_are_rejected_with_count_and_class() -> None:
    """What the model cannot read is named before anything is encoded."""
    short = build("short-context")
    rejection = short.check("a very long photo of a {} that goes on and on")
    assert isinstance(rejection, Rejection)
    assert rejection.reason == "too_many_tokens"
    assert "St. Bernard (dog)" in rejection.message
    assert "reads 16" in rejection.message
    assert short.check("a {}") is None


def test_a_wrong_fast_path_is_found_out_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the fast path disagrees with the model itself, the plain one is taken, loudly."""
    true_encode = encoder_module.encode

    def wrong(*arguments: Any) -> Tensor:
        return torch.nn.functional.normalize(true_encode(*arguments) + 0.01, dim=-1)

    monkeypatch.setattr(encoder_module, "encode", wrong)
    lines: list[str] = []
    encoder = build("clip", report=lines.append)
    assert "plain path: the fast one was off by" in lines[0]
    assert (encoder.vectors(["a {}"])[0] - open_clips_own("clip", "a {}")).abs().max() <= 1e-6


def test_company_that_changes_bits_ends_batching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where results depend on the size of a pass, every template goes through alone."""
    true_encode = encoder_module.encode

    def dependent(tower: Any, batch: Any, quantum: int) -> Tensor:
        return true_encode(tower, batch, quantum) * (1 + 1e-7 * len(batch.order))

    monkeypatch.setattr(encoder_module, "encode", dependent)
    encoder = build("clip")
    assert "one template at a time" in encoder.path
    assert torch.equal(encoder.vectors(TEMPLATES)[2], encoder.vectors([TEMPLATES[2]])[0])


def test_running_out_of_memory_makes_passes_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that does not fit is halved until it does, and the size is remembered."""
    true_encode = encoder_module.encode
    encoder = build("clip", max_rows=4096)
    sizes: list[int] = []

    def small(tower: Any, batch: Any, quantum: int) -> Tensor:
        sizes.append(len(batch.order))
        if len(batch.order) > 40:
            raise RuntimeError("CUDA out of memory")
        return true_encode(tower, batch, quantum)

    expected = build("clip").vectors(TEMPLATES)
    monkeypatch.setattr(encoder_module, "encode", small)
    assert torch.equal(encoder.vectors(TEMPLATES), expected)
    assert max(sizes) > 40
    failures = sum(size > 40 for size in sizes)
    encoder.vectors(["yet another {}"])
    assert sum(size > 40 for size in sizes) == failures


@pytest.mark.parametrize("family", ["clip", "quickgelu", "coca"])
def test_a_lower_precision_is_near(family: str) -> None:
    """bf16 products stay close to float32's."""
    vectors = build(family, dtype=torch.bfloat16).vectors(["a photo of a {}."])[0]
    assert vectors.dtype == torch.float32
    assert 0 < (vectors - open_clips_own(family, "a photo of a {}.")).abs().max() < 0.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_checkpoints_in_half_precision_are_read_as_they_are(dtype: torch.dtype) -> None:
    """A model whose weights are of half precision takes a right path too."""
    import copy

    model, tokenizer = tiny("clip")
    half: Any = copy.deepcopy(model).to(dtype)
    encoder = TextEncoder(half, tokenizer, NAMES, 77)
    theirs = half.encode_text(tokenizer([f"a {name}" for name in NAMES])).float()
    theirs = torch.nn.functional.normalize(theirs, dim=-1)
    assert (encoder.vectors(["a {}"])[0] - theirs).abs().max() < 0.02


def test_replicas_share_a_batch_in_order() -> None:
    """Several replicas give what one gives, in the same order."""
    encoder = build("clip")
    together = build("clip")
    together.replicas = [build("clip") for _ in range(2)]
    assert torch.equal(together.vectors(TEMPLATES), encoder.vectors(TEMPLATES))
    assert torch.equal(together.vectors(TEMPLATES[:1]), encoder.vectors(TEMPLATES[:1]))
