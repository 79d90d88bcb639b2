"""The forms of a result: the texts, what is learned from the labelled images, and which form to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from promptclimb import Classifier, SearchConfig, SearchResult
from promptclimb.agent.methods.memory import Entry
from promptclimb.agent.position import Position
from promptclimb.agent.present.page import render
from promptclimb.agent.results.accuracies import WITHOUT_SEARCH
from promptclimb.agent.results.history import RunView
from promptclimb.agent.results.result import FORM_CHOSEN_BY, UNLEARNED
from promptclimb.agent.search.evidence import beats
from promptclimb.agent.search.journal import NamedTemplate, NamesRecord, RestartRecord, SearchOutcome
from promptclimb.agent.search.measuring import measure
from promptclimb.agent.search.result_writer import choose_and_test
from promptclimb.agent.store.run import Store
from promptclimb.evaluator.errors import TemplateRejectedError
from promptclimb.evaluator.scoring import Evaluator, ImageEvidence, LearnedClassifier, Score, SplitScores
from promptclimb.prompts.kinds import TEMPLATE, kind_named
from promptclimb.prompts.template import Template
from tests.fakes.evaluators import FakeEvaluator
from tests.fakes.feature_box import FeatureBox, unit
from tests.fakes.run_session import session_of

if TYPE_CHECKING:
    from promptclimb.evaluator.head import ClassVectors

TEMPLATES = ("a sketch of a {}", "one {}", "the {}", "my {}")
GOOD = dict.fromkeys(TEMPLATES, 0.45) | {"{}": 0.15, "a photo of a {}": 0.12}
"""Templates that are worth more than the bare class name."""
BARE = {"{}": 0.8}
"""Nothing is worth more than the bare class name."""


async def finish(
    run_dir: Path, box: Evaluator, *templates: str, names: NamedTemplate | None = None
) -> tuple[SearchResult, Classifier | None]:
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
        record_of_names = None if names is None else NamesRecord(0, named_template=names)
        searched = SearchOutcome(records=[record], names=record_of_names)
        result, _, classifier = await choose_and_test(session, searched)
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
    assert recommended.verdict.startswith("Use the classifier (averaged texts and labelled images): ")
    gain = recommended.texts_over[recommended.reference or ""]
    assert (gain.paired, gain.images) == (True, 200)
    assert gain.points == pytest.approx(
        100 * ((result.texts.test or 0) - (result.baselines[recommended.reference or ""].test or 0))
    )
    alone = (
        f"If you can only use texts, use the averaged texts: {100 * (result.texts.test or 0):.1f} % on test"
    )
    assert f"{alone}, {gain} over " in recommended.verdict
    assert "log-probabilities of the labelled images, compared after the search" in str(
        result.notes[FORM_CHOSEN_BY]
    )
    assert classifier is not None
    about = classifier.about
    assert (about.form, about.images, about.templates) == ("with_images", 48, result.texts.templates)
    assert SearchResult.from_json(result.to_json()) == result


class Recording(FeatureBox):
    """Keeps what learning started from."""

    def __init__(self, worth: Mapping[str, float]) -> None:
        super().__init__(worth)
        self.starts: list[ClassVectors] = []

    def learn(self, classifier: ClassVectors) -> LearnedClassifier:
        self.starts.append(classifier)
        return super().learn(classifier)


@pytest.mark.parametrize(
    ("worth", "alone"), [(0.2, False), (0.45, True)], ids=["a little better", "half the errors"]
)
async def test_learning_starts_midway_unless_the_texts_make_half_the_errors(
    tmp_path: Path, worth: float, *, alone: bool
) -> None:
    """Texts that were chosen by the same images may be ahead by luck, but not so far."""
    box = Recording(dict.fromkeys(TEMPLATES, worth) | {"{}": 0.35})
    result, _ = await finish(tmp_path / "r", box)
    assert result.with_images is not None
    assert result.with_images.midway is not alone
    (start,) = (row.start for row in result.accuracies.rows if row.name == "with_images")
    earlier = replace(result, with_images=replace(result.with_images, midway=None))
    (unknown,) = (row.start for row in earlier.accuracies.rows if row.name == "with_images")
    assert unknown == "learned from images"
    texts_above = "the texts above"
    assert start == (
        f"learned from images, starting from {texts_above}"
        if alone
        else f"learned from images, starting from the mean of {texts_above} and the bare class name"
    )
    assert start in result._repr_html_()
    plain, ours = box.starts
    texts, bare = box.classifier(result.texts.templates), box.classifier(("{}",))
    assert np.array_equal(plain, bare)
    assert np.allclose(ours, texts if alone else unit(texts + bare))


async def test_images_that_say_nothing_leave_the_texts(tmp_path: Path) -> None:
    """They are recommended then, and the form with images is equal to them."""
    result, _ = await finish(tmp_path / "r", FeatureBox(GOOD, learns=False))
    assert result.with_images is not None
    assert (result.recommended.form, result.with_images.strength) == ("texts", None)
    assert result.recommended.texts_over == {}
    assert "only use texts" not in result.recommended.verdict
    assert "starts" not in result._repr_html_()
    assert result.with_images.test == result.texts.test == result.recommended.test
    assert result.recommended.verdict.startswith("Use the averaged texts: ")


async def test_texts_of_one_template_are_the_template(tmp_path: Path) -> None:
    """There is nothing to average."""
    worth = {"a sketch of a {}": 0.7} | dict.fromkeys(("{}", "a photo of a {}"), 0.02)
    result, _ = await finish(tmp_path / "r", FeatureBox(worth, learns=False), "a sketch of a {}")
    assert result.recommended.form == "template"
    assert result.texts.templates == (result.best.template,)
    assert result.recommended.verdict.startswith("Use the best template: ")


async def test_where_nothing_beats_the_bare_class_name_it_is_recommended(tmp_path: Path) -> None:
    """In plain words."""
    result, _ = await finish(tmp_path / "r", FeatureBox(BARE, learns=False))
    assert result.texts.templates == ("{}",)
    assert result.recommended.verdict.startswith("Use the bare class name: ")
    assert ". Nothing beat it on the labelled images. " in result.recommended.verdict


async def test_the_default_template_stands_for_the_bare_name_if_it_is_better(tmp_path: Path) -> None:
    """By the same rule."""
    result, _ = await finish(tmp_path / "r", FeatureBox({"{}": 0.02, "a photo of a {}": 0.8}, learns=False))
    assert result.texts.templates == ("a photo of a {}",)
    assert result.recommended.verdict.startswith("Use the default template: ")
    assert ". Nothing beat it on the labelled images. " in result.recommended.verdict


async def test_a_scorer_without_features_has_no_form_with_images(tmp_path: Path) -> None:
    """The averaged texts must be ahead by accuracy alone."""
    clear, classifier = await finish(
        tmp_path / "clear", FakeEvaluator(favourites=dict.fromkeys(("sketch", "one"), 3.0))
    )
    level, _ = await finish(tmp_path / "level", FakeEvaluator(favourites={"photo": 1.0}))
    assert clear.with_images is level.with_images is None
    assert len(clear.texts.templates) > 1
    assert level.texts.templates == ("a photo of a {}",)
    assert FORM_CHOSEN_BY not in clear.notes
    assert classifier is None


async def test_learning_that_fails_costs_its_form_and_is_noted(tmp_path: Path) -> None:
    """A machine may lack the memory; the texts are recommended then."""

    def before(name: str) -> None:
        if name == "learn":
            raise RuntimeError("device lost")

    result, _ = await finish(tmp_path / "r", FeatureBox(GOOD, before=before))
    assert "device lost" in str(result.notes[UNLEARNED])
    assert result.complete
    assert result.recommended.form == "texts"


HAND_MADE_LIST = {"hand-made": ("a drawing of a {}", "a picture of a {}")}


def with_lists(box: FeatureBox) -> FeatureBox:
    """A box with a hand-made list, which a search does not find by itself."""
    box.info = replace(box.info, baselines={**box.info.baselines, **HAND_MADE_LIST})
    return box


async def test_searched_texts_that_are_not_ahead_of_the_best_without_a_search_are_not_used(
    tmp_path: Path,
) -> None:
    """Ahead of the bare class name is not enough where another list without a search is as good."""
    level = GOOD | dict.fromkeys(HAND_MADE_LIST["hand-made"], 0.45)
    result, _ = await finish(tmp_path / "level", with_lists(FeatureBox(level, learns=False)))
    assert result.texts.templates == HAND_MADE_LIST["hand-made"]
    assert result.recommended.verdict.startswith("Use the hand-made templates: ")
    assert ". Nothing beat it on the labelled images. That is also the " in result.recommended.verdict
    behind = GOOD | dict.fromkeys(HAND_MADE_LIST["hand-made"], 0.1)
    result, _ = await finish(tmp_path / "behind", with_lists(FeatureBox(behind, learns=False)))
    assert set(result.texts.templates) <= set(TEMPLATES)


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize(
    ("worth", "name"),
    [
        (dict.fromkeys(HAND_MADE_LIST["hand-made"], 0.5) | {"{}": 0.15}, "hand-made"),
        ({"a photo of a {}": 0.6, "{}": 0.02}, "default template"),
        (BARE, "bare class name"),
    ],
)
async def test_the_best_without_a_search_is_what_evaluate_recommends(
    tmp_path: Path, worth: dict[str, float], name: str, *, learns: bool
) -> None:
    """The same way, with the images where they gain, and the same accuracy on test; one row stands for it."""
    box = with_lists(FeatureBox(worth, learns=learns))
    result, _ = await finish(tmp_path / "r", box)
    kind = kind_named(TEMPLATE)
    evaluation = await measure(box, [], kind, "test", inspect=False, report=print, progress=print)
    best, rival = evaluation.recommended, result.without_search
    assert best is not None
    assert rival is not None
    assert rival.name == best.name == name
    assert (rival.images > 0) == (best.form == "with_images") == learns
    measured = best.with_images if learns else best.texts_alone
    assert measured is not None
    assert rival.test == measured.accuracy
    assert WITHOUT_SEARCH in result.recommended.over
    titles = [row.title for row in result.accuracies.rows]
    shown = "hand-made templates" if name == "hand-made" else name
    assert f"best without a search: {shown}{' with images' if learns else ''}" in titles
    assert (name in titles) == learns
    assert SearchResult.from_json(result.to_json()) == result


async def test_what_is_the_best_without_a_search_too_is_said(tmp_path: Path) -> None:
    """Nothing is learned twice then."""
    called = list[str]()
    result, _ = await finish(tmp_path / "r", FeatureBox(BARE, before=called.append))
    assert result.recommended.over[WITHOUT_SEARCH].verdict == "the same"
    assert " That is also the best without a search. " in result.recommended.verdict
    assert called.count("learn") == 1


def order_on_page(result: SearchResult) -> list[str]:
    """Parts of the report, from its top."""
    page = render(RunView(run_dir=Path("r"), state="finished", result=result))
    return sorted(("names", "best", "found"), key=lambda part: page.index(f'id="{part}"'))


async def test_new_names_are_compared_with_the_original_ones_with_images(tmp_path: Path) -> None:
    """Both learn from the labelled images; texts of one template are others with new names."""
    called = list[str]()
    worth = BARE | {"{} renamed": 0.9}
    names = NamedTemplate("{}", {0: "great auk"}, read=True)
    result, _ = await finish(tmp_path / "r", FeatureBox(worth, before=called.append), names=names)
    rival = result.without_search
    assert rival is not None
    assert (rival.name, rival.templates, rival.images) == ("bare class name", ("{}",), 48)
    assert result.best.class_names == {"auk": "great auk"}
    assert not result.recommended.over[WITHOUT_SEARCH].same_template
    assert order_on_page(result) == ["names", "best", "found"]
    assert called.count("learn") == 2
    (title,) = [row.title for row in result.accuracies.rows if row.name == WITHOUT_SEARCH]
    assert title == "best without a search: bare class name with images, original names"
    assert "(bare class name with images, original names)" in result.recommended.verdict


async def test_names_that_were_chosen_one_by_one_serve_the_texts_alone(tmp_path: Path) -> None:
    """With images the result is what it is without a search for names, and says so."""
    worth = GOOD | {"{} renamed": 0.9}
    plain, _ = await finish(tmp_path / "plain", FeatureBox(worth))
    names = NamedTemplate("{}", {0: "great auk"})
    result, classifier = await finish(tmp_path / "r", FeatureBox(worth), names=names)
    assert result.with_images is not None
    assert plain.with_images is not None
    assert result.with_images == replace(plain.with_images, original_names=True)
    assert (result.recommended.form, result.recommended.test) == ("with_images", plain.recommended.test)
    assert classifier is not None
    assert classifier.about.names_in_texts == classifier.about.classes
    assert classifier.about.templates == plain.texts.templates
    assert (result.texts.templates, result.best.class_names) == (("{}",), {"auk": "great auk"})
    assert result.new_names == {}
    assert order_on_page(result) == ["best", "found", "names"]
    assert ", with the original class names, and labelled images): " in result.recommended.verdict
    assert (
        result.form_in_words
        == f"a classifier from 48 labelled images and {plain.texts_in_words}, with the original class names"
    )
    titles = [row.title for row in result.accuracies.rows]
    assert "best template, with 1 new class name" in titles
    assert "with 48 images, original names (recommended)" in titles
    (row,) = (row for row in result.accuracies.rows if row.name == "with_images")
    assert (row.start, row.templates) == (
        "learned from images, starting from",
        plain.texts.templates,
    )  # not those of the new names
    assert (
        ". If you can only use texts, use the best template, with 1 new class name: "
        in result.recommended.verdict
    )
    assert any(title.startswith("best template with the original names") for title in titles)
    assert SearchResult.from_json(result.to_json()) == result


async def test_names_chosen_one_by_one_are_used_where_images_teach_nothing(tmp_path: Path) -> None:
    """The form to use is the template with its names."""
    names = NamedTemplate("{}", {0: "great auk"})
    box = FeatureBox(GOOD | {"{} renamed": 0.9}, learns=False)
    result, classifier = await finish(tmp_path / "r", box, names=names)
    assert result.recommended.form == "template"
    assert result.new_names == {"auk": "great auk"}
    assert classifier is not None
    assert classifier.about.names_in_texts[0] == "great auk"


async def test_a_paid_scorer_is_asked_for_nothing_but_its_baselines(tmp_path: Path) -> None:
    """The best without a search is one of them then, without a row of its own for the bare name."""
    asked = set[str]()

    class Paid(FakeEvaluator):
        def examine(self, ensembles: Sequence[Sequence[str]], *, test: bool = True) -> list[SplitScores]:
            asked.update(*ensembles)
            return super().examine(ensembles, test=test)

    box = Paid()
    box._info = replace(box.info, paid=True)
    result, _ = await finish(tmp_path / "r", box)
    assert result.without_search is not None
    assert result.without_search.name in box.info.baselines
    assert asked <= {*TEMPLATES, *(text for texts in box.info.baselines.values() for text in texts)}


async def test_a_published_list_that_the_model_cannot_read_costs_itself_alone(tmp_path: Path) -> None:
    """The others are judged image by image."""

    class Short(FeatureBox):
        def classifier(
            self, ensemble: Sequence[str], renaming: Mapping[int, str] | None = None
        ) -> ClassVectors:
            if HAND_MADE_LIST["hand-made"][0] in ensemble:
                raise TemplateRejectedError(ensemble[0], "too_long")
            return super().classifier(ensemble, renaming)

    result, _ = await finish(tmp_path / "r", with_lists(Short(BARE)))
    assert result.without_search is not None
    assert result.without_search.name == "bare class name"
    assert FORM_CHOSEN_BY in result.notes


async def test_test_is_opened_after_everything_is_decided(tmp_path: Path) -> None:
    """Nothing is chosen or learned once a test image was seen."""
    called = list[str]()
    await finish(tmp_path / "r", FeatureBox(GOOD, before=called.append))
    opened = next(index for index, name in enumerate(called) if name.endswith("test"))
    assert {"classifier", "evidence", "learn"} <= set(called[:opened])
    assert set(called[opened:]) == {"examine on test", "decide on test"}
