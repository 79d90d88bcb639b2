"""The forms of a result: the texts, what is learnt from the labelled images, and which form is to be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptclimb import Classifier, SearchConfig, SearchResult
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.results.result import CHOSEN_BY_LOGPROB, UNJUDGED, UNLEARNED
from promptclimb.agent.search.choice import beats
from promptclimb.agent.search.journal import RestartRecord, SearchOutcome
from promptclimb.agent.search.result_writer import choose_and_test
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.fakes import FakeEvaluator
from promptclimb.evaluator.scoring import Evaluator, ImageEvidence, Score
from promptclimb.prompts.template import Template
from tests.fakes.feature_box import FeatureBox
from tests.fakes.run_session import session_of

TEMPLATES = ("a sketch of a {}", "one {}", "the {}", "my {}")
GOOD = dict.fromkeys(TEMPLATES, 0.45) | {"{}": 0.15, "a photo of a {}": 0.12}
"""Templates that are worth more than the bare class name."""
BARE = {"{}": 0.8}
"""Nothing is worth more than the bare class name."""


async def finish(run_dir: Path, box: Evaluator, *templates: str) -> tuple[SearchResult, Classifier | None]:
    """The result of a search that scored templates, and the classifier that it writes."""
    record = RestartRecord(1)
    for template in templates or TEMPLATES:
        (score,) = box.score([template])  # type: ignore[misc]
        assert isinstance(score, Score)
        entry = Entry(
            candidate=Template.parse(template), score=score, value=score.train, position=Position(1)
        )
        record.scored.append(entry)
    with Store.create(run_dir, {"identity": {}}) as store:
        session = session_of(SearchConfig(data="vectors", method="random"), box, store)
        result, _, classifier = await choose_and_test(session, SearchOutcome(records=[record]))
    return result, classifier


def evidence(right: str, *nats: float) -> ImageEvidence:
    """Images that are right by digit, and their log-probabilities."""
    return ImageEvidence(tuple(map(float, right)), nats)


LESS = evidence("110000000000", *[-1.0] * 12)


@pytest.mark.parametrize(
    ("first", "is_better"),
    [
        (evidence("111111000000", *[-0.9, -0.8] * 6), True),
        (evidence("111111000000", *[-1.1, -0.8] * 6), True),
        (evidence("111111000000", *[-1.1, -0.9] * 6), False),  # log-probabilities are level
        (evidence("111000000000", *[-0.9, -0.8] * 6), False),  # one image more is one standard error
        (evidence("111100000000", *[-0.9, -0.8] * 6), True),
        (LESS, False),
    ],
)
def test_with_features_accuracy_and_log_probability_must_be_a_standard_error_ahead(
    first: ImageEvidence, *, is_better: bool
) -> None:
    """Image by image, so that those that both get right or wrong do not count."""
    assert beats(first, LESS, 12) == is_better


@pytest.mark.parametrize(("right", "is_better"), [("111111000000", False), ("111111100000", True)])
def test_without_features_accuracy_must_be_two_standard_errors_ahead(right: str, *, is_better: bool) -> None:
    """Four images more are two standard errors, five are more; an image that is lost counts against it."""
    assert beats(evidence(right), evidence("110000000000"), 12) == is_better
    assert not beats(evidence("011111100000"), evidence("110000000000"), 12)


def test_accuracies_alone_are_those_of_different_images() -> None:
    """A custom scorer's numbers are compared as they are."""
    assert not beats(0.6, 0.5, 100)
    assert beats(0.7, 0.5, 100)
    assert beats(-70.0, -71.0, 100)
    assert beats(0.6, 0.5, 0)
    assert not beats(0.5, 0.5, 0)


async def test_what_is_learnt_from_the_labelled_images_is_recommended(tmp_path: Path) -> None:
    """With the texts that beat the bare name; the file of the run holds it, and a note says by what."""
    result, classifier = await finish(tmp_path / "r", FeatureBox(GOOD))
    assert result.with_images is not None
    assert set(result.texts.templates) <= set(TEMPLATES)
    assert result.with_images.templates == result.texts.templates
    assert (result.with_images.images, result.with_images.strength) == (48, 1.0)
    recommended = result.recommended
    assert (recommended.form, recommended.test) == ("with_images", result.with_images.test)
    assert {"best", "texts", "bare class name", "default template"} <= recommended.over.keys()
    assert recommended.over["bare class name"].paired
    assert recommended.verdict.startswith("Use the texts with the labelled images: ")
    assert "the search itself saw only its objective" in str(result.notes[CHOSEN_BY_LOGPROB])
    assert classifier is not None
    about = classifier.about
    assert (about.form, about.images, about.templates) == ("with_images", 48, result.texts.templates)
    assert SearchResult.from_json(result.to_json()) == result


async def test_images_that_say_nothing_leave_the_texts(tmp_path: Path) -> None:
    """They are recommended then, and the form with images is equal to them."""
    result, _ = await finish(tmp_path / "r", FeatureBox(GOOD, learns=False))
    assert result.with_images is not None
    assert (result.recommended.form, result.with_images.strength) == ("texts", None)
    assert result.with_images.test == result.texts.test == result.recommended.test
    assert result.recommended.verdict.startswith("Use the texts: ")


async def test_texts_of_one_template_are_the_template(tmp_path: Path) -> None:
    """There is nothing to average."""
    worth = {"a sketch of a {}": 0.7} | dict.fromkeys(("{}", "a photo of a {}"), 0.02)
    result, _ = await finish(tmp_path / "r", FeatureBox(worth, learns=False), "a sketch of a {}")
    assert result.recommended.form == "template"
    assert result.texts.templates == (result.best.template,)
    assert result.recommended.verdict.startswith("Use the template: ")


async def test_where_nothing_beats_the_bare_class_name_it_is_recommended(tmp_path: Path) -> None:
    """In plain words."""
    result, _ = await finish(tmp_path / "r", FeatureBox(BARE, learns=False))
    assert result.texts.templates == ("{}",)
    assert "Use the bare class name: nothing beat it on the labelled images; " in result.recommended.verdict


async def test_the_default_template_stands_for_the_bare_name_if_it_is_better(tmp_path: Path) -> None:
    """By the same rule."""
    result, _ = await finish(tmp_path / "r", FeatureBox({"{}": 0.02, "a photo of a {}": 0.8}, learns=False))
    assert result.texts.templates == ("a photo of a {}",)
    assert result.recommended.verdict.startswith("Use the default template: nothing beat it")


async def test_a_scorer_without_features_has_no_form_with_images(tmp_path: Path) -> None:
    """The averaged texts must be ahead by accuracy alone."""
    clear, classifier = await finish(
        tmp_path / "clear", FakeEvaluator(favourites=dict.fromkeys(("sketch", "one"), 3.0))
    )
    level, _ = await finish(tmp_path / "level", FakeEvaluator(favourites={"photo": 1.0}))
    assert clear.with_images is level.with_images is None
    assert len(clear.texts.templates) > 1
    assert level.texts.templates == ("a photo of a {}",)
    assert CHOSEN_BY_LOGPROB not in clear.notes
    assert classifier is None


@pytest.mark.parametrize(("method", "note"), [("evidence", UNJUDGED), ("learn", UNLEARNED)])
async def test_a_step_that_fails_costs_its_form_and_is_noted(tmp_path: Path, method: str, note: str) -> None:
    """The accuracies decide on the texts then; without what was learnt, these are recommended."""

    def before(name: str) -> None:
        if name == method:
            raise RuntimeError("device lost")

    result, _ = await finish(tmp_path / "r", FeatureBox(GOOD, before=before))
    assert "device lost" in str(result.notes[note])
    assert result.complete
    assert (result.recommended.form == "with_images") == (method == "evidence")


async def test_test_is_opened_after_everything_is_decided(tmp_path: Path) -> None:
    """Nothing is chosen or learnt once a test image was seen."""
    called = list[str]()
    await finish(tmp_path / "r", FeatureBox(GOOD, before=called.append))
    opened = next(index for index, name in enumerate(called) if name.endswith("test"))
    assert {"classifier", "evidence", "learn"} <= set(called[:opened])
    assert set(called[opened:]) == {"examine on test", "decide on test"}
