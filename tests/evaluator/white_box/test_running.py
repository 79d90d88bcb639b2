"""References by name: on a folder of pictures with a tiny model, and on a bundled set."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from promptclimb.evaluator.errors import ConfigError, DataError, ModelError
from promptclimb.evaluator.spec import EvaluatorSpec
from promptclimb.evaluator.white_box.problem import open_problem
from promptclimb.evaluator.white_box.references import REFERENCES, WhiteBoxResult, check_reference, names_in
from promptclimb.evaluator.white_box.running import run_all
from tests.fakes.few_shots import pictures
from tests.paths import ROOT


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EvaluatorSpec:
    """Three classes of pictures, and a model with random weights."""
    return pictures(tmp_path_factory.mktemp("few"))


def run(name: str, spec: EvaluatorSpec, options: Any = None, **more: Any) -> WhiteBoxResult:
    (result,) = run_all({name: options or {}}, spec, **more)
    return result


FEW_STEPS: dict[str, dict[str, Any]] = {
    "coop": {"epochs": 2},
    "tip-adapter": {},
    "linear-probe": {},
    "cross-modal": {"steps": 101},
}


def test_each_says_how_well_it_does_and_what_it_takes_images_for(spec: EvaluatorSpec) -> None:
    """Predictions go with the accuracy; all is JSON but the predictions."""
    lines: list[str] = []
    for reference in run_all(FEW_STEPS, spec, report=lines.append):
        (row,) = reference.predictions.predicted
        assert row is not None
        right = [label == true for label, true in zip(row, reference.predictions.labels, strict=True)]
        assert (len(right), reference.split) == (18, "test")
        assert reference.test == sum(right) / 18
        assert reference.val is not None
        assert 0 <= reference.train <= 1
        assert reference.to_json()["chosen"] == reference.chosen
    assert [line.partition(":")[0] for line in lines if "fitted to" in line] == list(FEW_STEPS)


def test_another_split_leaves_the_test_images_closed(spec: EvaluatorSpec) -> None:
    """Then there is no accuracy on them, even where they could not be read."""
    reference = run("tip-adapter", spec, split="val")
    assert (reference.test, reference.split, len(reference.predictions.labels)) == (None, "val", 6)
    assert reference.val == run("tip-adapter", spec, split="train").val


def test_the_seed_is_the_specifications_unless_another_is_given(spec: EvaluatorSpec) -> None:
    """It decides where the method's chance begins, not which shots are drawn."""
    texts = [run("coop", spec, split="train", seed=seed, options={"epochs": 3}) for seed in (None, 1, 2)]
    assert texts[0].predictions == texts[1].predictions
    assert texts[0].predictions.labels == texts[2].predictions.labels


@pytest.mark.parametrize(
    ("name", "options"), [("coop", {"epochs": 2}), ("tip-adapter", {}), ("linear-probe", {"c": 1.0})]
)
def test_every_label_of_a_search_may_be_learnt_from(
    spec: EvaluatorSpec, name: str, options: dict[str, Any]
) -> None:
    """Validation images and augmented copies are learned from; a choice on the same images is refused."""
    few = open_problem(spec, all_labels=True, report=print)
    problem = few.with_all_labels()
    copies = spec.augmentations_for(len(problem.train))
    assert problem.versions is not None
    assert problem.versions.shape[:2] == (len(problem.train), 1 + copies)
    assert torch.equal(problem.versions[:, 0], problem.train.features)
    lines: list[str] = []
    run(name, spec, options={**options, "all_labels": True}, report=lines.append)
    assert any(f"{name}: fitted to {len(problem.train)} images" in line for line in lines)
    assert len(problem.train) == len(problem.val) + len(few.train)


@pytest.mark.parametrize("name", ["coop-tuned", "tip-adapter-tuned", "linear-probe", "cross-modal"])
def test_what_chooses_on_the_validation_images_does_not_learn_from_them(name: str) -> None:
    """Its choice would be on images that it has learned."""
    with pytest.raises(ConfigError, match="`all_labels` would learn from the validation images"):
        check_reference(name, {"all_labels": True})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("coop,tip-adaptr", "'tip-adaptr'; did you mean tip-adapter"),
        ("quux", "'quux'; known are coop, coop-tuned"),
        (" , ", "no white-box reference is named"),
    ],
)
def test_unknown_names_are_refused(text: str, words: str) -> None:
    """With the nearest one, or all of them."""
    with pytest.raises(ConfigError, match=words):
        names_in(text)


def test_names_are_taken_once_in_their_order() -> None:
    """Spaces around them do not matter."""
    assert names_in(" coop, linear-probe,coop ") == ("coop", "linear-probe")


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_has_a_file_and_options_that_fit(name: str) -> None:
    """What its name says to it is taken, and an option that there is not is refused with a hint."""
    module = REFERENCES[name].module
    assert (ROOT / "evaluator" / "white_box" / f"{module}.py").is_file()
    check_reference(name)
    with pytest.raises(ConfigError, match="unknown setting 'epoch'"):
        check_reference(name, {"epoch": 3})


def test_what_cannot_be_run_is_refused_before_anything_is_loaded(spec: EvaluatorSpec) -> None:
    """A custom scorer; a split without images; a wrong option."""
    own = EvaluatorSpec(data="words", custom_scorer="tests.fakes.black_box:opened")
    with pytest.raises(ConfigError, match="a custom scorer is not one"):
        run("coop", own)
    with pytest.raises(ConfigError, match="`lr = -1`"):
        run("coop", EvaluatorSpec(data="not-there"), options={"lr": -1})
    with pytest.raises(DataError, match="not-there"):
        run("coop", EvaluatorSpec(data="not-there"))
    with pytest.raises(ModelError, match="tokens"):
        run("coop", spec, options={"context": 80})


@pytest.mark.parametrize("name", ["coop-tuned", "linear-probe"])
def test_what_chooses_on_val_needs_such_images(name: str, spec: EvaluatorSpec, tmp_path: Path) -> None:
    """Those that do not are named; one whose option fixes what it would choose does without."""
    folder = shutil.copytree(spec.data, tmp_path / "few")
    shutil.rmtree(folder / "val")
    without = EvaluatorSpec(**{**dict(spec), "data": str(folder)})
    with pytest.raises(DataError, match=f"{name} chooses on .* few has none; .* are coop, tip-adapter$"):
        run_all(["coop", name], without)
    if name == "linear-probe":
        assert run(name, without, options={"c": 1}).val is None


@pytest.mark.slow
def test_sixteen_shots_beat_the_default_template_on_a_bundled_set(shared_cache: Path) -> None:
    """CoOp by a tenth of its epochs, and others; "a photo of a {}" has less than half on backgrounds."""
    spec = EvaluatorSpec(data="backgrounds", device="cpu", cache_dir=shared_cache)
    options_by_name = {
        "coop": {"init": "a photo of a", "epochs": 20},
        "tip-adapter": {},
        "linear-probe": {"c": 1e5},
    }
    accuracies = {reference.name: reference.test or 0.0 for reference in run_all(options_by_name, spec)}
    assert min(accuracies.values()) > 0.5, accuracies
