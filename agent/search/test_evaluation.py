"""Evaluate the choice of a search on every split, and once on the held-out test split."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ConfigDict, NonNegativeInt, TypeAdapter

from ...evaluator.counts import counted
from ...evaluator.errors import AskingEndedError, TemplateRejectedError
from ...evaluator.scoring import (
    Evaluator,
    Inspector,
    NamePredictor,
    Predictions,
    Predictor,
    SplitScores,
    hits,
)
from ..errors import EvaluationFailedError
from ..present.sentences import gain_of
from ..results.details import BEST, ENSEMBLE, Pick, agrees
from ..results.gain import ORIGINAL_NAMES, GroupOnTest
from ..results.result import (
    MOST_CONFUSIONS,
    PREFERRED,
    UNEXAMINED,
    UNINSPECTED,
    UNNAMED,
    UNOPENED,
    UNPAIRED,
    Gain,
    GroupAccuracies,
    SplitInspection,
    words_of,
)
from ..store.run import Store
from .choice import Choice, ChosenGroup, message_of
from .journal import NamesRecord
from .measuring import call_evaluator, group_scores, predicted_labels

OPENINGS = "test_opened"
"""The store's note of how often the test split was opened."""
T = TypeVar("T")
_COUNT = TypeAdapter(NonNegativeInt, config=ConfigDict(strict=True))


@dataclass(slots=True, kw_only=True)
class EvaluatedChoice:
    """The accuracies of a choice; those on test are None if the test split stayed closed.

    Attributes:
        on_test: The choice on the test images, by name; empty if the test split stayed closed.
        inspection: Accuracy by class of the best template.
        curve: Points of a learning curve.
    """

    best: GroupAccuracies
    ensemble: GroupAccuracies
    baselines: Mapping[str, GroupAccuracies]
    notes: dict[str, str]
    on_test: Mapping[str, GroupOnTest] = field(default_factory=dict)
    inspection: SplitInspection | None = None
    class_names: Mapping[str, str] | None = None
    gain: Gain | None = None
    curve: tuple[Pick, ...] = ()


async def evaluate_choice(
    evaluator: Evaluator,
    store: Store,
    choice: Choice,
    *,
    test: bool,
    prompts: str,
    names: NamesRecord | None = None,
) -> EvaluatedChoice:
    """Measure the choice on every split; nothing of it feeds back into the choice.

    ``prompts`` is the kind of the candidates; ``names`` has the new class names and the template that is best
    with them, None if none were searched for.

    A failure must not cost the result: without the test split there are train and val, without those the
    score by which a single template was chosen, and the rest is None.

    Raises:
        StoreError: The opening cannot be stored; the test split stays closed.
        AskingEndedError: A scorer behind an API cannot be asked; a resumed run continues.
    """
    test = test and evaluator.info.sizes.get("test", 0) > 0
    groups = [ChosenGroup.of(choice.best), choice.ensemble, *choice.baselines.values()]
    of_curve = [ChosenGroup.of(one) for one in choice.curve.values()]
    accuracies, notes = await _accuracies(evaluator, store, [*groups, *of_curve], test=test)
    best, ensemble, *others = accuracies[: len(groups)]
    found = EvaluatedChoice(
        best=best, ensemble=ensemble, baselines=dict(zip(choice.baselines, others, strict=True)), notes=notes
    )
    opened = test and UNOPENED not in notes
    renaming = {} if names is None else names.renaming
    if names is not None:
        found.class_names = {evaluator.info.class_names[label]: name for label, name in renaming.items()}
    if opened:
        await _inspect(evaluator, choice.best.scored_as, found)
        by_image = await _image_by_image(evaluator, groups, accuracies[: len(groups)], found.notes)
        found.on_test = dict(zip((BEST, ENSEMBLE, *choice.baselines), by_image, strict=True))
    if names is not None and renaming:
        await _rename(evaluator, names.template, renaming, found, test=opened)
    if not opened:
        return found
    on_test = dict(found.on_test)
    ensemble_on_test = on_test.pop(ENSEMBLE)
    found.gain = gain_of(
        on_test.pop(BEST),
        None if renaming else ensemble_on_test,
        on_test,
        images=evaluator.info.sizes["test"],
        words=words_of(prompts),
        preferred=PREFERRED in choice.notes,
    )
    found.curve = tuple(
        Pick(after=after, template=one.text, test=scores.test)
        for (after, one), scores in zip(choice.curve.items(), accuracies[len(groups) :], strict=True)
    )
    return found


async def _noted(notes: dict[str, str], key: str, failed: str, work: Awaitable[T]) -> T | None:
    """Return what comes of work; None if it fails, with a note that says why."""
    try:
        return await work
    except AskingEndedError:
        raise
    except Exception as error:  # noqa: BLE001 - noted in the result
        notes[key] = f"{failed}: {message_of(error)}"
        return None


async def _rename(
    evaluator: Evaluator, template: str, renaming: Mapping[int, str], found: EvaluatedChoice, *, test: bool
) -> None:
    """Measure the template with new class names; the best one with the original names becomes a baseline.

    If that fails on train, the best one with the original names stays.
    """
    assert isinstance(evaluator, NamePredictor), "names are searched for with such an evaluator only"
    sizes, names = evaluator.info.sizes, evaluator.info.class_names
    splits = [
        split for split in ("train", "val", "test") if sizes.get(split, 0) and (test or split != "test")
    ]

    async def measured(split: str) -> tuple[Sequence[int], Sequence[int], list[bool]]:
        answer = await call_evaluator(lambda: evaluator.predict_named(template, [renaming], split=split))
        predicted = answer.predicted[0] or ()
        return answer.labels, predicted, hits(predicted, answer.labels)

    original, before = found.best, found.on_test.get(BEST)
    renamed = {}
    for split in splits:
        failed = f"the new class names could not be examined on {split}"
        if (one := await _noted(found.notes, UNNAMED, failed, measured(split))) is not None:
            renamed[split] = one
    if "train" not in renamed:  # no accuracy to show beside them
        found.class_names = {}
        return
    shares = {split: sum(right) / len(right) for split, (_, _, right) in renamed.items()}
    found.best = GroupAccuracies(
        templates=(template,),
        train=shares.get("train"),
        val=shares.get("val"),
        test=shares.get("test"),
    )
    found.baselines = {**found.baselines, ORIGINAL_NAMES: original}
    if before is None:
        return
    labels, predicted, right = renamed.get("test", ((), (), None))
    found.on_test = {
        **found.on_test,
        ORIGINAL_NAMES: before,
        BEST: GroupOnTest(
            templates=(template,),
            test=shares.get("test"),
            hits=right,
            predicted=predicted or None,
            labels=labels or None,
            names=tuple(sorted((names[label], name) for label, name in renaming.items())),
        ),
    }
    found.inspection = _inspection(names, labels, predicted) if predicted else None


def _inspection(names: Sequence[str], labels: Sequence[int], predicted: Sequence[int]) -> SplitInspection:
    import numpy as np  # takes longer to import than everything else that ``--help`` needs

    from ...evaluator import tally

    taken, true = np.array(predicted), np.array(labels)
    return SplitInspection(
        split="test",
        classes=tally.class_accuracies(taken, true, names),
        confusions=tally.named_confusions(taken, true, names, MOST_CONFUSIONS),
    )


def openings(store: Store) -> int:
    """Return how often the test split of a run was opened."""
    return store.note(OPENINGS, _COUNT.validate_python) or 0


async def _accuracies(
    evaluator: Evaluator, store: Store, groups: Sequence[ChosenGroup], *, test: bool
) -> tuple[list[GroupAccuracies], dict[str, str]]:
    notes: dict[str, str] = {}
    found: Sequence[SplitScores | None] | None = None
    if test:
        # Stored before it happens: a run that dies in the middle has opened it all the same.
        await store.put_note(OPENINGS, openings(store) + 1)
        failed = "the test split could not be examined"
        found = await _noted(notes, UNOPENED, failed, _scores(evaluator, groups, test=True))
    if found is None:
        failed = "ensembles could not be examined"
        found = await _noted(notes, UNEXAMINED, failed, _scores(evaluator, groups, test=False))
    accuracies: list[GroupAccuracies] = []
    for group, scores in zip(groups, found or [None] * len(groups), strict=True):
        train, val, on_test = (
            (None, None, None) if scores is None else (scores.train, scores.val, scores.test)
        )
        if train is None and group.known is not None:
            train, val = group.known.train, group.known.val
        accuracies.append(
            GroupAccuracies(templates=group.shown or group.templates, train=train, val=val, test=on_test)
        )
    return accuracies, notes


async def _scores(
    evaluator: Evaluator, groups: Sequence[ChosenGroup], *, test: bool
) -> Sequence[SplitScores | None]:
    """Score groups; None for one that cannot be read or averaged. Raises if not a single one can be read."""
    try:
        return await call_evaluator(
            lambda: group_scores(evaluator, [group.templates for group in groups], test=test)
        )
    except TemplateRejectedError as error:
        # Only a hand-made template can be new to the evaluator here; one that is too long must not cost the
        # others their scores.
        readable = [group for group in groups if error.template not in group.templates]
        if not readable or len(readable) == len(groups):
            raise
    except AskingEndedError:
        if test:
            raise
        # Those that need no more requests can still be measured.
        if len(groups) == 1:
            return [None]
        return [one for group in groups for one in await _scores(evaluator, [group], test=False)]
    found = iter(await _scores(evaluator, readable, test=test))
    return [next(found) if group in readable else None for group in groups]


async def _inspect(evaluator: Evaluator, best: str, found: EvaluatedChoice) -> None:
    if not isinstance(evaluator, Inspector):
        return
    work = call_evaluator(lambda: evaluator.inspect([best], split="test"))
    all_pairs = await _noted(found.notes, UNINSPECTED, "the classes could not be distinguished", work)
    if all_pairs is not None:
        confusions = all_pairs.confusions[:MOST_CONFUSIONS]
        found.inspection = SplitInspection(split="test", classes=all_pairs.classes, confusions=confusions)


async def _image_by_image(
    evaluator: Evaluator,
    groups: Sequence[ChosenGroup],
    accuracies: Sequence[GroupAccuracies],
    notes: dict[str, str],
) -> list[GroupOnTest]:
    """Return groups on test with each image's label, if the evaluator reports it; else add a note."""
    predicted: list[tuple[int, ...] | None] = [None] * len(groups)
    labels: tuple[int, ...] = ()
    if isinstance(evaluator, Predictor):
        places = [place for place, one in enumerate(accuracies) if one.test is not None]

        async def checked_predictions() -> Predictions:
            asked = [groups[place].templates for place in places]
            found = await call_evaluator(lambda: predicted_labels(evaluator, asked, "test"))
            _check_predictions(found, [accuracies[place] for place in places], evaluator)
            return found

        failed = "intervals are not paired, as no predictions could be had"
        if (found := await _noted(notes, UNPAIRED, failed, checked_predictions())) is not None:
            labels = found.labels
            for place, answer in zip(places, found.predicted, strict=True):
                predicted[place] = answer
    return [
        GroupOnTest(
            templates=group.templates,
            test=one.test,
            hits=None if answer is None else hits(answer, labels),
            predicted=answer,
            labels=None if answer is None else labels,
        )
        for group, one, answer in zip(groups, accuracies, predicted, strict=True)
    ]


def _check_predictions(
    predictions: Predictions, found: Sequence[GroupAccuracies], evaluator: Evaluator
) -> None:
    """Raise EvaluationFailedError if predictions contradict the evaluator's own accuracies."""
    images = evaluator.info.sizes.get("test", 0)
    for answer, one in zip(predictions.predicted, found, strict=True):
        if answer is None or one.test is None:
            continue
        right = hits(answer, predictions.labels)
        if len(right) != images:
            raise EvaluationFailedError(
                f"predict reports {counted(len(right), 'label')} of the {counted(images, 'image')} on test"
            )
        if not agrees(right, one.test):
            raise EvaluationFailedError(
                f"predict gives {one.templates[0]!r:.80} an accuracy of {sum(right) / images:.4f} on test, "
                f"and examine {one.test:.4f}"
            )
