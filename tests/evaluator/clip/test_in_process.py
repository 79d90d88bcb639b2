from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptclimb.agent.store.records import StoredScore, reader, row_text
from promptclimb.evaluator import tally
from promptclimb.evaluator.clip.models import parse_devices
from promptclimb.evaluator.clip.open_clip_evaluator import OpenClipEvaluator
from promptclimb.evaluator.datasets.loading import load_data, toy_model_notes
from promptclimb.evaluator.errors import DataError, EvaluatorError, TemplateRejectedError
from promptclimb.evaluator.open import open_evaluator
from promptclimb.evaluator.scoring import MOST_CONFUSED, Evaluator, Predictor, Rejection, Score
from promptclimb.evaluator.spec import EvaluatorSpec
from tests.fakes.few_shots import draw
from tests.fakes.tiny_clip import save_weights

NAMES = ["cat", "golden retriever", "oak tree", "sea snake"]
TEMPLATES = ["a photo of a {}.", "{}", "a {} and another {}", "an old drawing of the {}", "a {}s"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that differ by class, in three splits."""
    folder = tmp_path_factory.mktemp("pictures")
    return draw(folder, {"train": 6, "val": 3, "test": 12}, NAMES, noise=120)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_weights("clip", tmp_path_factory.mktemp("weights") / "clip.safetensors")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def spec(folder: Path, weights: Path, cache: Path) -> EvaluatorSpec:
    return EvaluatorSpec(
        data=str(folder), model="tiny-clip", pretrained=str(weights), shots=4, augmentations=0, device="cpu",
        cache_dir=cache,
    )  # fmt: skip


def replaced(spec: EvaluatorSpec, **changes: Any) -> EvaluatorSpec:
    return EvaluatorSpec(**{**dict(spec), **changes})


def opened(spec: EvaluatorSpec, *, look_ahead: bool = False, **changes: Any) -> OpenClipEvaluator:
    evaluator = open_evaluator(replaced(spec, **changes), look_ahead=look_ahead)
    assert isinstance(evaluator, OpenClipEvaluator)
    return evaluator


@pytest.fixture(scope="module")
def evaluator(spec: EvaluatorSpec) -> OpenClipEvaluator:
    return opened(spec)


def open_clips_accuracies(folder: Path, weights: Path, ensembles: list[list[str]]) -> list[float]:
    """Test accuracies as a script on open_clip alone computes them."""
    model, _, preprocess = open_clip.create_model_and_transforms("tiny-clip", pretrained=str(weights))
    model.eval()
    tokenizer = open_clip.get_tokenizer("tiny-clip")
    names = sorted(NAMES)
    paths = [path for name in names for path in sorted((folder / "test" / name).iterdir())]
    labels = torch.tensor([names.index(path.parent.name) for path in paths])
    accuracies = []
    with torch.no_grad():
        images = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in paths])
        features = model.encode_image(images, normalize=True)
        for templates in ensembles:
            fillers = [lambda name, template=template: template.replace("{}", name) for template in templates]
            classifier = open_clip.build_zero_shot_classifier(model, tokenizer, names, fillers)
            hits = (100.0 * features @ classifier).argmax(dim=1) == labels
            accuracies.append(int(hits.sum()) / len(paths))
    return accuracies


def test_accuracies_are_open_clips_own(evaluator: OpenClipEvaluator, folder: Path, weights: Path) -> None:
    """Single templates and ensembles get open_clip's own accuracy to the last image."""
    ensembles = [*([template] for template in TEMPLATES), TEMPLATES]
    accuracies = [scores.test for scores in evaluator.examine(ensembles)]
    assert accuracies == open_clips_accuracies(folder, weights, ensembles)


@given(chosen=st.lists(st.sampled_from([*TEMPLATES, "no slot", "x " * 90 + "{}"]), max_size=8))
def test_any_list_in_any_order_gives_the_same_scores(chosen: list[str], evaluator: OpenClipEvaluator) -> None:
    """A template's score is one number, whatever else is asked with it."""
    assert evaluator.score(chosen) == [evaluator.score([template])[0] for template in chosen]


def test_scores_are_fractions_with_their_counts(evaluator: OpenClipEvaluator) -> None:
    """Accuracies come with the number of correctly classified images; the info says of how many."""
    info = evaluator.info
    assert isinstance(evaluator, Evaluator)
    assert (info.classes, info.shots, dict(info.sizes)) == (4, 4, {"train": 16, "val": 12, "test": 48})
    assert (info.baselines["default template"], info.precision) == (("a photo of a {}",), "fp32")
    (score,) = evaluator.score(["a photo of a {}."])
    assert isinstance(score, Score)
    assert score.correct is not None
    assert score.train == score.correct[0] / 16
    assert score.val == score.correct[1] / 12
    assert score.class_mean == pytest.approx(score.train)
    assert score.val_class_mean == pytest.approx(score.val)
    assert score.logprob is None
    assert score.val_logprob is None
    examined = evaluator.examine([["a photo of a {}."]])[0]
    assert (examined.train, examined.val) == (score.train, score.val)


def test_scores_include_augmented_copies_where_there_are_any(
    spec: EvaluatorSpec, evaluator: OpenClipEvaluator
) -> None:
    """The share of copies of train and val together; whoever has others has another fingerprint."""
    usual, two = (opened(spec, augmentations=copies) for copies in (None, 2))
    (score,) = usual.score(["a photo of a {}."])
    assert isinstance(score, Score)
    assert score.copies is not None
    assert usual.info.copies == 8
    assert round(score.copies * 28 * 8, 9) in range(28 * 8)
    assert evaluator.score(["a photo of a {}."]) == [replace(score, copies=None)]
    by_class = opened(spec, augmentations=None, objective="class_mean")
    (other,) = by_class.score(["a photo of a {}."])
    assert isinstance(other, Score)
    assert other.copies == pytest.approx(score.copies)  # as many images of each class
    assert opened(spec, augmentations=None, objective="logprob").info.copies == 0
    assert len({each.info.fingerprint for each in (evaluator, usual, two)}) == 3
    # A copy is classified as an image is: those of train and val that are right, over all.
    copies: Any = two.augmented
    decided = (np.asarray(copies.features) @ two.classifier(["{}"]).T).argmax(axis=1)
    (score,) = two.score(["{}"])
    assert isinstance(score, Score)
    assert (len(decided), score.copies) == (56, (decided == np.asarray(copies.labels)).mean())


def test_what_cannot_be_read_is_rejected(evaluator: OpenClipEvaluator) -> None:
    """Rejections stand where their templates stand."""
    first, second, third = evaluator.score(["x " * 90 + "{}", "a {}", "a"])
    assert isinstance(first, Rejection)
    assert isinstance(second, Score)
    assert isinstance(third, Rejection)
    assert (first.reason, third.reason) == ("too_many_tokens", "no_slot")
    assert "golden retriever" in first.message
    with pytest.raises(TemplateRejectedError, match="tokens"):
        evaluator.examine([["a {}", "x " * 90 + "{}"]])
    with pytest.raises(EvaluatorError, match="at least one template"):
        evaluator.examine([[]])


def test_the_test_split_is_opened_only_to_examine(
    spec: EvaluatorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring never touches the test images; examining reads them once."""
    from promptclimb.evaluator.datasets.values import HeldOutTest

    openings: list[int] = []
    open_items = HeldOutTest.open

    def counting(held_out: HeldOutTest) -> Any:
        openings.append(1)
        return open_items(held_out)

    monkeypatch.setattr(HeldOutTest, "open", counting)
    evaluator = opened(spec)
    evaluator.score(TEMPLATES)
    assert not openings
    evaluator.examine([["a {}"]])
    evaluator.examine([["{}"]])
    assert len(openings) == 1


def test_grey_box_values_are_there_only_when_asked(spec: EvaluatorSpec) -> None:
    """The objective decides whether scores carry what is read from logits."""
    (score,) = opened(spec, objective="logprob").score(["a {}"])
    assert isinstance(score, Score)
    assert score.value("logprob") < 0
    assert score.margin is not None
    assert score.val_value("logprob") not in (None, score.value("logprob"))
    assert score.val_margin is not None


def test_fingerprints_follow_what_decides_scores(
    spec: EvaluatorSpec, evaluator: OpenClipEvaluator, tmp_path: Path
) -> None:
    """Same inputs, same fingerprint; other shots, seed or names, another; the cache does not matter."""
    first = evaluator.info.fingerprint
    assert opened(spec, cache_dir=tmp_path, workers=1).info.fingerprint == first
    others = {opened(spec, shots=2).info.fingerprint, opened(spec, seed=9).info.fingerprint}
    assert first not in others
    assert len(others) == 2


def test_best_precision_says_what_it_changes(spec: EvaluatorSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `best` the type taken and the decisions that differ from fp32 are in the notes."""
    monkeypatch.setattr("promptclimb.evaluator.clip.in_process.best_dtype", lambda _device: torch.bfloat16)
    lines: list[str] = []
    evaluator = open_evaluator(replaced(spec, precision="best"), report=lines.append)
    assert evaluator.info.precision == "bfloat16"
    noted = evaluator.info.notes["precision"]
    assert noted["type"] == "bfloat16"
    assert 0 <= noted["differ_from_fp32"] <= noted["decisions"]
    assert noted["decisions"] == 16 * len(noted["templates"])
    assert any(line.startswith("precision: ") for line in lines)


def test_a_score_names_what_is_most_confused(evaluator: OpenClipEvaluator) -> None:
    """On train alone, the most frequent pairs, as the closer look has them; it survives being written."""
    (score,) = evaluator.score(["an old drawing of the {}"])
    assert isinstance(score, Score)
    predictions = evaluator.predict([["an old drawing of the {}"]], split="train")
    assert predictions.predicted[0] is not None
    whole = tally.inspection(predictions.predicted[0], predictions.labels, NAMES)
    assert score.confused == whole.confusions[:MOST_CONFUSED]
    assert len(score.confused) == MOST_CONFUSED <= len(whole.confusions)
    assert sum(row.correct for row in whole.classes) == score.correct[0]
    assert sum(row.images for row in whole.confusions) == len(predictions.labels) - score.correct[0]
    stored = StoredScore("a {}", score)
    assert reader(StoredScore)(row_text(stored)) == stored


def test_predictions_are_what_is_counted(evaluator: OpenClipEvaluator) -> None:
    """Image by image, in the order of the split, for single templates and averaged ones."""
    assert isinstance(evaluator, Predictor)
    ensembles = [["a {}"], ["a {}", "an old drawing of the {}"]]
    for split in ("train", "val", "test"):
        predictions = evaluator.predict(ensembles, split=split)
        for labels, scores in zip(predictions.predicted, evaluator.examine(ensembles), strict=True):
            assert labels is not None
            right = sum(label == true for label, true in zip(labels, predictions.labels, strict=True))
            assert right / len(labels) == getattr(scores, split)


def test_an_image_left_out_shrinks_its_split_and_is_reported(
    spec: EvaluatorSpec, folder: Path, tmp_path: Path
) -> None:
    """With skip, a broken image costs itself and nothing else, and stands in the notes once it is known."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "test" / "cat" / "3.png").write_bytes(b"broken")
    evaluator = opened(spec, data=str(copy), on_bad_image="skip")
    assert "skipped_images" not in evaluator.info.notes
    assert evaluator.info.sizes["test"] == 48
    assert evaluator.examine([["a {}"]])[0].test is not None
    assert len(evaluator.predict([["a {}"]], split="test").labels) == evaluator.info.sizes["test"] == 47
    skipped = evaluator.info.notes["skipped_images"]
    assert skipped["test"]["images"] == 1
    assert "3.png" in skipped["test"]["which"][0]
    assert json.loads(json.dumps(evaluator.info.notes)) == evaluator.info.notes
    with pytest.raises(DataError, match=r"3\.png"):
        opened(spec, data=str(copy)).examine([["a {}"]])


def test_a_test_image_torn_in_its_middle_is_found_before_anything_is_scored(
    spec: EvaluatorSpec, folder: Path, tmp_path: Path
) -> None:
    """Both ends look whole, so only decoding shows it; what was decoded ahead is there at the end."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    torn = copy / "test" / "cat" / "3.png"
    whole = bytearray(torn.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 200] = bytes(200)
    torn.write_bytes(whole)
    assert opened(spec, data=str(copy)).score(["a {}"])
    with pytest.raises(DataError, match=r"3\.png.*PROMPTCLIMB_ON_BAD_IMAGE=skip"):
        opened(spec, data=str(copy), look_ahead=True)
    evaluator = opened(spec, data=str(copy), look_ahead=True, on_bad_image="skip")
    assert evaluator.info.sizes["test"] == 47
    # The choice does not depend on it, so a run may be resumed with the other setting.
    assert evaluator.info.fingerprint == opened(spec, data=str(copy)).info.fingerprint
    expected = opened(spec, data=str(copy), on_bad_image="skip").examine([["a {}"]])
    shutil.rmtree(copy / "test")
    assert evaluator.examine([["a {}"]]) == expected
    assert evaluator.info.notes["skipped_images"]["test"]["images"] == 1


def test_a_torn_test_image_is_noted_once(spec: EvaluatorSpec, folder: Path, tmp_path: Path) -> None:
    """It is found when the data are read, and again when test images are encoded."""
    copy, lines = tmp_path / "copy", list[str]()
    shutil.copytree(folder, copy)
    torn = copy / "test" / "cat" / "3.png"
    torn.write_bytes(torn.read_bytes()[:100])
    cut = spec.model_copy(update={"data": str(copy), "on_bad_image": "skip"})
    open_evaluator(cut, report=lines.append).examine([["a {}"]])
    (note,) = (line for line in lines if line.startswith("skipped: "))
    assert str(torn) in note


def test_a_toy_model_on_images_of_ones_own_is_warned_of(folder: Path, cache: Path) -> None:
    """As a line and in the result's notes, with what to do; not on the bundled sets that it was made for."""
    lines: list[str] = []
    toy = EvaluatorSpec(data=str(folder), shots=1, augmentations=0, device="cpu", cache_dir=cache)
    notes = open_evaluator(toy, report=lines.append).info.notes
    (warning,) = (line for line in lines if "bundled toy model" in line)
    assert notes["toy_model"] == warning
    assert "ViT-B-32 with the pretrained weights laion2b_s34b_b79k" in warning
    assert toy_model_notes(EvaluatorSpec(data="backgrounds")) == ()


def test_notes_on_the_data_stand_in_the_info(spec: EvaluatorSpec) -> None:
    """With the device in fact used."""
    notes = opened(spec, device="auto").info.notes
    assert notes["data"] == list(load_data(spec).notes)
    assert "only 48 test images" in notes["data"][0]
    assert notes["device"] == str(parse_devices("auto")[0])
