"""Evaluate the choice of a search on every split, and once on the held-out test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import compress
from typing import TypeVar

from pydantic import ConfigDict, NonNegativeInt, TypeAdapter

from ...evaluator.counts import counted
from ...evaluator.errors import AskingEndedError, TemplateRejectedError
from ...evaluator.head import Head
from ...evaluator.scoring import (
    BARE_NAME,
    OPENAI_80,
    Evaluator,
    FeatureEvaluator,
    Illustrator,
    Inspection,
    NamePredictor,
    Predictions,
    Predictor,
    SplitScores,
    hits,
)
from ...prompts.kinds import CandidateNoun
from ..config.schema import SearchConfig
from ..errors import EvaluationFailedError
from ..results.accuracies import (
    BEST,
    NEW_NAMES,
    ORIGINAL_NAMES,
    TEXTS,
    WITH_IMAGES,
    WITHOUT_SEARCH,
    baseline_name,
)
from ..results.details import Decisions, agrees
from ..results.gain import differences, losing_classes, verdict_of
from ..results.result import (
    MOST_CONFUSIONS,
    SPLITS,
    UNCHECKED,
    GroupAccuracies,
    NameSource,
    Recommended,
    WithImages,
    WithoutSearch,
    words_of,
)
from ..store.run import Store
from .choice import Choice, Forms
from .event_loop import call_evaluator
from .evidence import labelled_images
from .journal import NamedTemplate, NamesRecord

OPENINGS = "test_opened"
"""The store's value of how often the test split was opened."""
MOST_NEW_TEXTS = 10_000
"""Most texts with new names that are encoded for one row of the table."""
T = TypeVar("T")
_COUNT = TypeAdapter(NonNegativeInt, config=ConfigDict(strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedChoice:
    """The accuracies of a choice by name; those on test are None if the test split stayed closed.

    Attributes:
        decisions: Of the groups on the test images, by name; None if they are not known.
        recommended: The form to use, with its gain on test.
        inspection: Accuracy by class of the recommended form.
        class_names: The new name of each class that got one; None if none were searched for.
        unsupported: Of these classes, those of which no labelled image is classified correctly.
        name_sources: Where the new names come from, by class.
    """

    accuracies: Mapping[str, GroupAccuracies]
    recommended: Recommended
    decisions: Decisions | None = None
    inspection: Inspection | None = None
    class_names: Mapping[str, str] | None = None
    unsupported: tuple[str, ...] = ()
    name_sources: Mapping[str, NameSource] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


async def evaluate_choice(
    evaluator: Evaluator,
    store: Store,
    choice: Choice,
    forms: Forms,
    *,
    test: bool,
    config: SearchConfig,
    names: NamesRecord | None = None,
) -> EvaluatedChoice:
    """Measure the choice on every split; nothing of it feeds back into the choice.

    ``names`` has the new class names and the template that is best with them, None if none were searched for.

    Raises:
        StoreError: The opening cannot be stored; the test split stays closed.
        AskingEndedError: A scorer behind an API cannot be asked; a resumed run continues.
        EvaluationFailedError: The evaluator fails; likewise.
    """
    info = evaluator.info
    test = test and info.sizes.get("test", 0) > 0
    groups, way = {**choice.groups, TEXTS: forms.texts.templates}, forms.without_search
    if way is not None and way.learned is None:
        groups[WITHOUT_SEARCH] = way.texts
    if test:
        # Stored before it happens: a run that dies in the middle has opened it all the same.
        await store.put_value(OPENINGS, openings_of_test(store) + 1)
    accuracies = await _accuracies(evaluator, choice, groups, test=test)
    # Image by image, for intervals and the report.
    labels, predicted, within_5 = await _predictions(evaluator, groups, accuracies) if test else ((), {}, {})
    # With new class names, the best template with the original ones becomes a baseline.
    class_names = None if names is None else dict[str, str]()
    unsupported, name_sources = tuple[str, ...](), dict[str, NameSource]()
    if names is not None and names.named_template is not None:
        named_template = names.named_template
        class_names = {info.class_names[label]: name for label, name in named_template.renaming.items()}
        name_sources = {
            info.class_names[label]: names.sources[label, name]
            for label, name in named_template.renaming.items()
            if (label, name) in names.sources
        }
        renamed, on_test, supported = await _measure_renamed(
            evaluator, (named_template.template,), named_template.renaming, test=test
        )
        without = sorted(named_template.renaming.keys() - supported) if labelled_images(info) else ()
        unsupported = tuple(info.class_names[label] for label in without)
        # The texts are the best template with its new names.
        accuracies |= {ORIGINAL_NAMES: accuracies[BEST], BEST: renamed, TEXTS: renamed}
        within_5, predicted = _with_original_names(within_5), _with_original_names(predicted)
        if on_test is not None and on_test.predicted[0] is not None:
            labels = on_test.labels
            predicted |= dict.fromkeys((BEST, TEXTS), on_test.predicted[0])
        for name, templates in _others_with_names(evaluator, named_template).items():
            with suppress(TemplateRejectedError):  # with a long name; then the row is left out
                accuracies[name], on_test, _ = await _measure_renamed(
                    evaluator, templates, named_template.renaming, test=test
                )
                predicted |= {} if on_test is None else {name: on_test.predicted[0] or ()}
    decided_by_images = await _measure_learned(evaluator, choice, forms, accuracies, test=test)
    for name, decided in decided_by_images.items():
        labels, predicted[name] = decided.labels, decided.predicted[0] or ()
        within_5 |= dict(zip([name], decided.within_5, strict=False))
    decisions = None
    if labels:
        decisions = Decisions(
            image_set=await _image_set(evaluator),
            classes=tuple(info.class_names),
            labels=labels,
            predicted=predicted,
        )
    recommended = Recommended(form=forms.recommended, test=None)
    recommended = replace(recommended, test=accuracies[recommended.name].test)
    if recommended.test is not None:
        compare = partial(
            differences,
            hits={name: hits(decided, labels) for name, decided in predicted.items()},
            images=info.sizes["test"],
            renamed=bool(class_names),
        )
        plain = {name: accuracies[name] for name in info.baselines if name in accuracies}
        recommended = replace(
            recommended,
            over=compare(recommended.name, accuracies),
            texts_over=compare(TEXTS, {TEXTS: accuracies[TEXTS], **plain})
            if recommended.form == WITH_IMAGES
            else {},
        )
        doubt = f" ({UNCHECKED})" if config.unchecked else ""
        remark = f", with {counted(len(class_names), 'new class name')}{doubt}" if class_names else ""
        verdict = verdict_of(
            recommended,
            accuracies,
            remark,
            words_of(config.search_for),
            unchecked=config.unchecked,
            unsupported=len(unsupported),
            losing=_losing_classes(decisions, recommended, words_of(config.search_for)),
        )
        recommended = replace(recommended, verdict=verdict)
    inspection, metrics = None, dict[str, dict[str, float]]()
    if decisions is not None:
        inspection, metrics = _figures(decisions, recommended.name, within_5)
    return EvaluatedChoice(
        accuracies=accuracies,
        recommended=recommended,
        decisions=decisions,
        inspection=inspection,
        metrics=metrics,
        class_names=class_names,
        unsupported=unsupported,
        name_sources=name_sources,
    )


def _losing_classes(decisions: Decisions | None, recommended: Recommended, words: CandidateNoun) -> str:
    """Return a sentence on the classes that lose against the better plain text; empty if none does."""
    if decisions is None or (reference := recommended.reference) is None:
        return ""
    ours, theirs = decisions.hits(recommended.name), decisions.hits(reference)
    if ours is None or theirs is None:
        return ""
    classes = [decisions.class_name(label) for label in decisions.labels]
    return losing_classes(classes, ours, theirs, baseline_name(reference, words))


def _others_with_names(evaluator: Evaluator, named_template: NamedTemplate) -> dict[str, tuple[str, ...]]:
    """Return by name what else is measured with the new class names: what people use today, where cheap."""
    info = evaluator.info
    if info.paid or not named_template.renaming or not isinstance(evaluator, FeatureEvaluator):
        return {}
    return {
        f"{NEW_NAMES}{name}": templates
        for name in (BARE_NAME, OPENAI_80)
        if (templates := info.baselines.get(name, ())) not in ((), (named_template.template,))
        and len(templates) * len(named_template.renaming) <= MOST_NEW_TEXTS
    }


async def _measure_renamed(
    evaluator: Evaluator, templates: tuple[str, ...], renaming: Mapping[int, str], *, test: bool
) -> tuple[GroupAccuracies, Predictions | None, set[int]]:
    """Measure templates with new class names.

    Also return the predictions of the test images, and the classes with a labelled image that is right.
    """
    heads: list[Head] = []

    async def predictions(split: str) -> Predictions:
        if len(templates) > 1:
            assert isinstance(evaluator, FeatureEvaluator), "only such an evaluator averages with names"
            if not heads:  # once for all splits
                heads.append(Head(await call_evaluator(partial(evaluator.classifier, templates, renaming))))
            return await call_evaluator(partial(evaluator.decide, heads, split=split))
        assert isinstance(evaluator, NamePredictor), "names are searched for with such an evaluator only"
        predict = partial(evaluator.predict_named, templates[0], [renaming], split=split)
        return await call_evaluator(predict)

    shares, supported, on_test = dict[str, float](), set[int](), None
    for split in SPLITS:
        if evaluator.info.sizes.get(split, 0) and (test or split != "test"):
            answer = await predictions(split)
            right = hits(answer.predicted[0] or (), answer.labels)
            shares[split] = sum(right) / len(right)
            if split == "test":
                on_test = answer
            else:
                supported |= set(compress(answer.labels, right))
    accuracies = GroupAccuracies(
        templates=templates,
        train=shares.get("train"),
        val=shares.get("val"),
        test=shares.get("test"),
    )
    return accuracies, on_test, supported


async def _measure_learned(
    evaluator: Evaluator,
    choice: Choice,
    forms: Forms,
    accuracies: dict[str, GroupAccuracies],
    *,
    test: bool,
) -> dict[str, Predictions]:
    """Add the accuracies of what was learned from the labelled images, and return its predictions on test.

    Those on the labelled images are of images held out.
    """
    near, way = forms.learned_near, forms.without_search
    learned = [(WITH_IMAGES, near.templates, forms.learned)]
    learned += [] if way is None else [(WITHOUT_SEARCH, way.texts, way.learned)]
    predictions, train = dict[str, Predictions](), evaluator.info.sizes.get("train", 0)
    for name, texts, classifier in learned:
        if classifier is None:
            continue
        assert isinstance(evaluator, FeatureEvaluator), "only such an evaluator learns"
        held_out = (classifier.held_out[:train], classifier.held_out[train:])
        accuracy, val = (sum(right) / len(right) if right else None for right in held_out)
        deciding = partial(evaluator.decide, [classifier.head], split="test")
        on_test = await call_evaluator(deciding) if test else None
        predictions |= {} if on_test is None else {name: on_test}
        right = [] if on_test is None else hits(on_test.predicted[0] or (), on_test.labels)
        accuracies[name] = WithImages(
            templates=tuple(choice.texts.get(text, text) for text in texts),
            train=accuracy,
            val=val,
            test=sum(right) / len(right) if right else None,
            images=classifier.images,
            strength=classifier.strength,
            original_names=name == WITH_IMAGES and bool(forms.texts.renaming) and not near.renaming,
            midway=name == WITH_IMAGES and forms.midway,
        )
    if way is not None:
        group = accuracies[WITHOUT_SEARCH]
        measured = {member.name: getattr(group, member.name) for member in fields(GroupAccuracies)}
        images = 0 if way.learned is None else way.learned.images
        accuracies[WITHOUT_SEARCH] = WithoutSearch(**measured, name=way.name, images=images)
    return predictions


def _with_original_names(by_name: Mapping[str, T]) -> dict[str, T]:
    """Return what is known by name, where the best template and the texts are to have new class names."""
    return {
        ORIGINAL_NAMES if name == BEST else name: value for name, value in by_name.items() if name != TEXTS
    }


def _figures(
    decisions: Decisions, name: str, within_5: Mapping[str, float]
) -> tuple[Inspection | None, dict[str, dict[str, float]]]:
    """Return the accuracy of a group by class, and what stands beside each accuracy on test, by name.

    Both are empty without the classes' names.
    """
    labels, classes, predicted = decisions.labels, decisions.classes, decisions.predicted
    if max(labels) >= len(classes):
        return None, {}
    from ...evaluator import tally  # NumPy takes longer to import than everything that help pages need

    metrics = {
        group: tally.metrics(decided, labels, len(classes), within_5.get(group))
        for group, decided in predicted.items()
    }
    if name not in predicted or max(predicted[name]) >= len(classes):
        return None, metrics
    return tally.inspection(predicted[name], labels, classes, MOST_CONFUSIONS), metrics


def openings_of_test(store: Store) -> int:
    """Return how often the test split of a run was opened."""
    return store.value(OPENINGS, _COUNT.validate_python) or 0


async def _accuracies(
    evaluator: Evaluator, choice: Choice, groups: Mapping[str, tuple[str, ...]], *, test: bool
) -> dict[str, GroupAccuracies]:
    """Return the accuracies of all groups by name."""
    scores = await _scores(evaluator, list(groups.values()), test=test)
    accuracies: dict[str, GroupAccuracies] = {}
    for (name, templates), split_scores in zip(groups.items(), scores, strict=True):
        on_splits = split_scores or SplitScores(None, None, None)
        known = choice.scores.get(templates[0]) if len(templates) == 1 else None
        measured = known if on_splits.train is None and known is not None else on_splits
        accuracies[name] = GroupAccuracies(
            templates=tuple(choice.texts.get(template, template) for template in templates),
            train=measured.train,
            val=measured.val,
            test=on_splits.test,
            unanswered=on_splits.unanswered,
        )
    return accuracies


async def _scores(
    evaluator: Evaluator, ensembles: Sequence[tuple[str, ...]], *, test: bool
) -> Sequence[SplitScores | None]:
    """Score ensembles; None for one that cannot be read or averaged. Raises if not one can be read."""
    try:
        return await call_evaluator(lambda: evaluator.examine(ensembles, test=test))
    except TemplateRejectedError as error:
        # Only a hand-made template can be new to the evaluator here; one that is too long must not cost the
        # others their scores.
        readable = [templates for templates in ensembles if error.template not in templates]
        if not readable or len(readable) == len(ensembles):
            raise
    except AskingEndedError:
        if test:
            raise
        # Those that need no more requests can still be measured.
        if len(ensembles) == 1:
            return [None]
        return [scores for each in ensembles for scores in await _scores(evaluator, [each], test=False)]
    scores_in_turn = iter(await _scores(evaluator, readable, test=test))
    return [next(scores_in_turn) if templates in readable else None for templates in ensembles]


def shares_right(predictions: Predictions) -> list[float | None]:
    """Return what share of the images each ensemble classifies correctly; None if it cannot be read."""
    return [
        sum(hits(labels, predictions.labels)) / len(labels) if labels else None
        for labels in predictions.predicted
    ]


async def _predictions(
    evaluator: Evaluator,
    all_groups: Mapping[str, tuple[str, ...]],
    accuracies: Mapping[str, GroupAccuracies],
) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]], dict[str, float]]:
    """Return the label of each test image, and of each group that was measured on them its predictions.

    Also return the share of images whose class is among a group's five likeliest. All are empty if the
    evaluator does not report them.
    """
    if not isinstance(evaluator, Predictor):
        return (), {}, {}
    groups = {name: group for name, group in all_groups.items() if accuracies[name].test is not None}
    ensembles = list(groups.values())
    on_test = await call_evaluator(partial(evaluator.predict, ensembles, split="test"))
    predicted = {}
    for name, labels in zip(groups, on_test.predicted, strict=True):
        if labels is not None:
            _check_predictions(hits(labels, on_test.labels), accuracies[name], evaluator.info.sizes["test"])
            predicted[name] = labels
    within_5 = dict(zip(groups, on_test.within_5, strict=False))
    return on_test.labels if predicted else (), predicted, within_5


def _check_predictions(right: Sequence[bool], group: GroupAccuracies, images: int) -> None:
    """Raise EvaluationFailedError if predictions contradict the evaluator's own accuracies."""
    assert group.test is not None
    if len(right) != images:
        raise EvaluationFailedError(
            f"predict reports {counted(len(right), 'label')} of the {counted(images, 'image')} on test"
        )
    if not agrees(right, group.test):
        raise EvaluationFailedError(
            f"predict gives {group.templates[0]!r:.80} an accuracy of {sum(right) / images:.4f} on "
            f"test, and examine {group.test:.4f}"
        )


async def _image_set(evaluator: Evaluator) -> str | None:
    """Return the content hash of the test images; None if the evaluator does not give it."""
    if isinstance(evaluator, Illustrator):
        with suppress(Exception):  # the report can do without
            return await call_evaluator(lambda: evaluator.image_set("test")) or None
    return None
