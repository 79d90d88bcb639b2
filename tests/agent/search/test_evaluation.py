"""Templates scored without a search: in their order, on one split, by whatever scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from promptclimb import EvaluatorSpec, SearchConfig, evaluate
from promptclimb.evaluator import tally
from promptclimb.evaluator.errors import EvaluatorError, UsageError
from promptclimb.evaluator.scoring import UNREADABLE, ClassAccuracy, Confusion, Predictions
from tests.fakes.evaluators import FakeEvaluator

SPEC = EvaluatorSpec(data="words")
TEMPLATES = ["the {}", "a photo of a {}", "the {}"]


class Inspecting(FakeEvaluator):
    """A fake that gives its predictions: of four cats, one is taken for a dog."""

    def __init__(self) -> None:
        super().__init__()
        self._info = replace(self._info, classes=2, class_names=("cat", "dog"))

    def predict(self, ensembles: Sequence[Sequence[str]], *, split: str) -> Predictions:
        assert ([*ensembles[-1]], split) == (TEMPLATES, "val")
        return Predictions((0, 0, 0, 0), ((0, 0, 1, 0),) * len(ensembles))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_scores_are_those_of_the_evaluator_in_the_order_given(split: str) -> None:
    """Each template, then all together; the test split is opened for itself alone."""
    evaluator = FakeEvaluator()
    evaluation = evaluate(TEMPLATES, SPEC, split=split, custom_scorer=evaluator)  # type: ignore[arg-type]
    expected = FakeEvaluator().examine([*([text] for text in TEMPLATES), TEMPLATES])
    assert [score.template for score in evaluation.scores] == TEMPLATES
    assert [*(score.accuracy for score in evaluation.scores), evaluation.ensemble] == [
        getattr(scores, split) for scores in expected
    ]
    assert evaluator.opened == (split == "test")
    assert evaluation.to_json()["scores"][0] == {"template": "the {}", split: evaluation.scores[0].accuracy}


def test_a_search_config_says_what_to_score_on_too() -> None:
    """It is a specification of an evaluator, with more."""
    evaluation = evaluate(
        ["a {}"], SearchConfig(data="words", method="random"), custom_scorer=FakeEvaluator()
    )
    assert (evaluation.dataset, evaluation.model) == ("fake", "words")


def test_classes_are_reported_where_asked_for() -> None:
    """The most frequent confusions are cut where a document is wanted; an evaluator may not say."""
    evaluation = evaluate(TEMPLATES, SPEC, split="val", inspect=True, custom_scorer=Inspecting())
    document = evaluation.to_json(most_confusions=1)
    cat = document["classes"][0]
    assert (cat["name"], cat["images"], cat["correct"], cat["accuracy"]) == ("cat", 4, 3, 0.75)
    assert document["confusions"] == [{"true": "cat", "taken_for": "dog", "images": 1}]
    assert [row["mean_per_class_recall"] for row in (*document["scores"], document["ensemble"])] == [0.75] * 4
    assert "acc5" not in document["ensemble"]  # two classes, and no logits
    with pytest.raises(UsageError, match="does not say which classes"):
        evaluate(TEMPLATES, SPEC, inspect=True, custom_scorer=FakeEvaluator())


def test_a_scorer_that_cannot_average_leaves_the_ensemble_open() -> None:
    """Nothing is reported that was not measured."""

    class Lengths:
        def score(self, templates: Sequence[str]) -> list[float]:
            return [1 / len(template) for template in templates]

    evaluation = evaluate(["a {}", "the {}"], SPEC, split="train", custom_scorer=Lengths())
    assert [score.accuracy for score in evaluation.scores] == [1 / 4, 1 / 6]
    assert evaluation.ensemble is None


@pytest.mark.parametrize(
    ("templates", "split", "words"),
    [
        ([], "test", "no template"),
        (["no slot"], "test", "no slot"),
        (["a {}"], "val", "no val images"),
        ([f"{'very ' * 70}{{}}"], "test", "71 words"),
    ],
)
def test_what_cannot_be_scored_is_a_usage_error(templates: list[str], split: str, words: str) -> None:
    """It says what is wrong, and nothing is half done."""
    with pytest.raises(UsageError, match=words):
        evaluate(templates, SPEC, split=split, custom_scorer=FakeEvaluator(val=False))  # type: ignore[arg-type]


@pytest.mark.parametrize("templates", [3, "a {}", [3], [None]])
def test_what_is_no_list_of_texts_is_a_usage_error(templates: Any) -> None:
    """It says what was given."""
    with pytest.raises(UsageError, match=r"give a list of texts|it is not a text"):
        evaluate(templates, SPEC, custom_scorer=FakeEvaluator())


@pytest.mark.parametrize("error", [RuntimeError("lost"), SystemExit(0), StopIteration(), MemoryError()])
def test_an_evaluator_that_fails_is_an_error_of_ours(error: BaseException) -> None:
    """The user's method is named, with the line; a scorer fails where it scores."""

    class Failing(FakeEvaluator):
        def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> Any:
            raise error

    class Scorer:
        def score(self, templates: Sequence[str]) -> list[float]:
            raise error

    line = rf"{type(error).__name__}.*test_evaluation.py, line \d+"
    with pytest.raises(EvaluatorError, match=rf"Failing\.examine: {line}"):
        evaluate(["a {}"], SPEC, custom_scorer=Failing())
    with pytest.raises(EvaluatorError, match=rf"Scorer\.score: {line}"):
        evaluate(["a {}"], SPEC, split="train", custom_scorer=Scorer())


def test_references_that_see_inside_need_a_clip() -> None:
    """An unknown name is refused first; nothing is scored."""
    evaluator = FakeEvaluator()
    with pytest.raises(UsageError, match="did you mean coop"):
        evaluate(TEMPLATES, SPEC, white_box=["coopp"], custom_scorer=evaluator)
    with pytest.raises(UsageError, match="custom scorer is not one"):
        evaluate(TEMPLATES, SPEC, white_box=["coop"], custom_scorer=evaluator)
    assert evaluator.opened == 0


def test_a_refused_image_is_no_confusion() -> None:
    """Nor is it taken for the last class."""
    inspection = tally.inspection([UNREADABLE, 1, 1], [0, 0, 1], ["a", "b"])
    assert inspection.confusions == (Confusion("a", "b", 1),)
    assert inspection.classes == (
        ClassAccuracy("a", images=2, correct=0),
        ClassAccuracy("b", images=1, correct=1),
    )
