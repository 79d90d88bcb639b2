"""Other names of single classes: exact, at the cost of the classes that change, and the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.nn import functional

from promptclimb.evaluator.clip import text_encoder
from promptclimb.evaluator.clip.open_clip_evaluator import OpenClipEvaluator
from promptclimb.evaluator.clip.tower import encode
from promptclimb.evaluator.clip.zero_shot import BLOCK, Labelled, RenamedClasses, decide
from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.scoring import EvaluatorInfo, NamePredictor
from tests.fakes.few_shots import few_shots

TEMPLATE = "a photo of a {}, {}"
MANY = tuple(f"thing {number}" for number in range(100))


def opened(family: str = "clip", names: tuple[str, ...] = MANY, shots: int = 2) -> OpenClipEvaluator:
    problem = few_shots(family, names=names, shots=shots, val=1)
    info = EvaluatorInfo(
        dataset="words", classes=len(names), shots=shots, seed=1, sizes={}, model="tiny", pretrained="",
        fingerprint="x", class_names=names,
    )  # fmt: skip
    return OpenClipEvaluator(
        info=info, encoder=problem.encoder, class_names=names, train=problem.train, val=problem.val,
        open_test=problem.open_test, augmented=problem.val,
    )  # fmt: skip


@pytest.mark.parametrize("classes", [3, BLOCK, 2 * BLOCK + 5])
def test_a_renaming_equals_the_whole_computed_anew(classes: int) -> None:
    """Bit for bit, exact ties included, for one class and for several."""
    generator = torch.Generator().manual_seed(classes)
    features = functional.normalize(torch.randn(500, 24, generator=generator), dim=-1)
    weights = functional.normalize(torch.randn(classes, 24, generator=generator), dim=-1)
    split = Labelled(features, torch.arange(500) % classes, classes)
    vectors = {f"name {label}": weights[(label + 1) % classes] * 1.0 for label in range(0, classes, 2)}
    vectors |= {"far": -weights[0], "near": weights[-1] * (1 + 1e-7)}
    known = RenamedClasses(split, weights)
    assert torch.equal(known.decide_all([{}], {})[0], decide(split, weights))
    renamings: list[Mapping[int, str]] = [{0: "near"}, {classes - 1: "far"}, {1: "name 0"}]
    renamings.append({label: f"name {label}" for label in range(0, classes, 2)})
    for renaming, decisions in zip(
        (*renamings, *renamings), known.decide_all((*renamings, *renamings), vectors), strict=True
    ):
        changed = weights.clone()
        for label, name in renaming.items():
            changed[label] = vectors[name]
        anew = RenamedClasses(split, changed)
        assert torch.equal(decisions, anew.decide_all([{}], {})[0])
    known._columns_alike = False
    for renaming, decisions in zip(renamings, known.decide_all(renamings, vectors), strict=True):
        assert torch.equal(decisions, known.decide_all([renaming], vectors)[0])


@pytest.mark.parametrize("family", ["clip", "custom-text-eos", "coca", "bidirectional-last"])
def test_predictions_are_those_of_the_texts_themselves(family: str) -> None:
    """On every text path; without a new name they are those of ``predict``."""
    names = ("cat", "golden retriever", "oak tree", "7-up")
    evaluator = opened(family, names, shots=8)
    assert isinstance(evaluator, NamePredictor)
    for split in ("train", "val", "test"):
        plain = evaluator.predict([[TEMPLATE]], split=split)
        base, new = evaluator.predict_named(TEMPLATE, [{}, {1: "large dog"}], split=split).predicted
        assert base == plain.predicted[0]
        other = few_shots(family, names=("cat", "large dog", "oak tree", "7-up"), shots=8, val=1)
        with torch.inference_mode():
            weights = functional.normalize(other.encoder.vectors([TEMPLATE])[0], dim=-1)
            expected = decide(evaluator.split(split), weights)
        assert new is not None
        agree = sum(label == other for label, other in zip(new, expected.tolist(), strict=True))
        assert agree >= len(new) - 1, "a near tie may turn on another encoding"


def test_one_name_costs_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred classes one text is encoded anew, and none for a name that is known."""
    evaluator, texts = opened(), list[int]()
    evaluator.predict_named(TEMPLATE, [{}], split="train")

    def counting(tower: Any, batch: Any, quantum: int) -> torch.Tensor:
        texts.append(len(batch.order))
        return encode(tower, batch, quantum)

    monkeypatch.setattr(text_encoder, "encode", counting)
    evaluator.predict_named(TEMPLATE, [{7: "small thing"}, {8: "old thing"}], split="train")
    evaluator.predict_named(TEMPLATE, [{7: "small thing", 8: "old thing"}], split="val")
    assert sum(texts) == 2


def test_a_name_that_is_too_long_has_no_predictions() -> None:
    """The others have; a template that is too long is refused."""
    evaluator = opened("short-context")
    answer = evaluator.predict_named("a {}", [{0: "word " * 40}, {1: "thing"}, {}], split="train")
    assert [labels is None for labels in answer.predicted] == [True, False, False]
    assert len(answer.labels) == 200
    with pytest.raises(TemplateRejectedError):
        evaluator.predict_named("word " * 40 + "{}", [{}], split="train")


def test_augmented_copies_are_a_split_of_their_own() -> None:
    """They are classified like the others."""
    evaluator = opened(names=("cat", "dog"))
    copies, val = (evaluator.predict_named("a {}", [{0: "lion"}], split=split) for split in ("copies", "val"))
    assert copies == val


def test_class_vectors_have_the_new_names() -> None:
    """For exports: rows of other classes stay as they are."""
    evaluator = opened(names=("cat", "dog", "oak"))
    before, after = evaluator.classifier(["a {}"]), evaluator.classifier(["a {}"], {1: "wolf"})
    assert (before[[0, 2]] == after[[0, 2]]).all()
    assert abs(before[1] - after[1]).max() > 1e-3
    assert (after**2).sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
