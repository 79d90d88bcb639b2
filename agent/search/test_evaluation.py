"""Evaluate the choice of a search on every split, and once on the held-out test split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ConfigDict, NonNegativeInt, TypeAdapter

from ...evaluator.counts import counted
from ...evaluator.errors import AskingEndedError, TemplateRejectedError
from ...evaluator.scoring import (
    UNREADABLE,
    ClassAccuracy,
    Confusion,
    Evaluator,
    Inspector,
    NamePredictor,
    Predictions,
    Predictor,
    SplitScores,
)
from ..errors import EvaluationFailedError
from ..results.details import BEST, ENSEMBLE, Pick
from ..results.gain import ORIGINAL_NAMES, Examined, gain_of
from ..results.result import (
    MOST_CONFUSIONS,
    UNEXAMINED,
    UNINSPECTED,
    UNNAMED,
    UNOPENED,
    UNPAIRED,
    Ensemble,
    Gain,
    Inspected,
)
from ..store.run import Store
from .choice import Choice, ChosenGroup, reason
from .measuring import examine, measured, predict

IMAGES_ROUNDED = 0.5
OPENINGS = "test_opened"
"""The store's note of how often the test split was opened."""
_COUNT = TypeAdapter(NonNegativeInt, config=ConfigDict(strict=True))


@dataclass(slots=True, kw_only=True)
class Evaluated:
    """The accuracies of a choice; those on test are None if the test split stayed closed.

    Attributes:
        images: The choice on the test images, by name; empty if the test split stayed closed.
        inspection: Accuracy by class of the best template.
        picks: Points of a learning curve.
    """

    best: Ensemble
    ensemble: Ensemble
    baselines: Mapping[str, Ensemble]
    notes: dict[str, str]
    images: Mapping[str, Examined] = field(default_factory=dict)
    inspection: Inspected | None = None
    class_names: Mapping[str, str] | None = None
    gain: Gain | None = None
    picks: tuple[Pick, ...] = ()


async def evaluate_choice(
    evaluator: Evaluator,
    store: Store,
    choice: Choice,
    *,
    test: bool,
    prompts: str,
    renaming: Mapping[int, str] | None = None,
) -> Evaluated:
    """Measure the choice on every split; nothing of it feeds back into the choice.

    ``prompts`` is the kind of the candidates; ``renaming`` has the new class names of the best one by label,
    None if none were searched for.

    A failure must not cost the result: without the test split there are train and val, without those the
    score by which a single template was chosen, and the rest is None.

    Raises:
        StoreError: The opening cannot be stored; the test split stays closed.
        AskingEndedError: A scorer behind an API cannot be asked; a resumed run continues.
    """
    test = test and evaluator.info.sizes.get("test", 0) > 0
    groups = [ChosenGroup.of(choice.best), choice.ensemble, *choice.baselines.values()]
    early = [ChosenGroup.of(one) for one in choice.early.values()]
    accuracies, notes = await _accuracies(evaluator, store, [*groups, *early], test=test)
    best, ensemble, *others = accuracies[: len(groups)]
    found = Evaluated(
        best=best, ensemble=ensemble, baselines=dict(zip(choice.baselines, others, strict=True)), notes=notes
    )
    opened = test and UNOPENED not in notes
    if renaming is not None:
        found.class_names = {evaluator.info.class_names[label]: name for label, name in renaming.items()}
    if opened:
        await _inspect(evaluator, choice.best.scored_as, found)
        examined = await _image_by_image(evaluator, groups, accuracies[: len(groups)], found.notes)
        found.images = dict(zip((BEST, ENSEMBLE, *choice.baselines), examined, strict=True))
    if renaming:
        await _rename(evaluator, choice.best.scored_as, renaming, found, test=opened)
    if not opened:
        return found
    images = dict(found.images)
    ensemble_images = images.pop(ENSEMBLE)
    found.gain = gain_of(
        images.pop(BEST),
        None if renaming else ensemble_images,
        images,
        images=evaluator.info.sizes["test"],
        prompts=prompts,
    )
    found.picks = tuple(
        Pick(after=after, template=one.text, test=on_test.test)
        for (after, one), on_test in zip(choice.early.items(), accuracies[len(groups) :], strict=True)
    )
    return found


async def _rename(
    evaluator: Evaluator, template: str, renaming: Mapping[int, str], found: Evaluated, *, test: bool
) -> None:
    """Measure the best template with new class names; with the original ones it becomes a baseline."""
    assert isinstance(evaluator, NamePredictor), "names are searched for with such an evaluator only"
    sizes, names = evaluator.info.sizes, evaluator.info.class_names
    splits = [
        split for split in ("train", "val", "test") if sizes.get(split, 0) and (test or split != "test")
    ]

    def work() -> dict[str, tuple[Sequence[int], Sequence[int]]]:
        answers = {split: evaluator.predict_named(template, [renaming], split=split) for split in splits}
        return {split: (one.labels, one.predicted[0] or ()) for split, one in answers.items()}

    original, before = found.best, found.images.get(BEST)
    try:
        by_split = await measured(work)
        hits = {split: _hits(predicted, labels) for split, (labels, predicted) in by_split.items()}
    except AskingEndedError:
        raise
    except Exception as error:  # noqa: BLE001 - noted in the result
        found.notes[UNNAMED] = f"the new class names could not be examined: {reason(error)}"
        found.best = replace(original, train=None, val=None, test=None)
        hits, by_split = {}, {}
    shares = {split: sum(one) / len(one) for split, one in hits.items()}
    if shares:
        found.best = replace(
            original, train=shares.get("train"), val=shares.get("val"), test=shares.get("test")
        )
    found.baselines = {**found.baselines, ORIGINAL_NAMES: original}
    if before is None:
        return
    labels, predicted = by_split.get("test", ((), ()))
    found.images = {
        **found.images,
        ORIGINAL_NAMES: before,
        BEST: Examined(
            templates=before.templates,
            test=shares.get("test"),
            hits=hits.get("test"),
            predicted=predicted or None,
            labels=labels or None,
            names=tuple(sorted((names[label], name) for label, name in renaming.items())),
        ),
    }
    found.inspection = _inspected(names, labels, predicted) if predicted else None


def _inspected(names: Sequence[str], labels: Sequence[int], predicted: Sequence[int]) -> Inspected:
    images, right = Counter(labels), Counter[int]()
    wrong = Counter[tuple[int, int]]()
    for true, taken in zip(labels, predicted, strict=True):
        if true == taken:
            right[true] += 1
        elif taken != UNREADABLE:
            wrong[true, taken] += 1
    confused = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))[:MOST_CONFUSIONS]
    return Inspected(
        split="test",
        classes=tuple(
            ClassAccuracy(name, images=images[label], correct=right[label])
            for label, name in enumerate(names)
        ),
        confusions=tuple(Confusion(names[true], names[taken], count) for (true, taken), count in confused),
    )


def openings(store: Store) -> int:
    """Return how often the test split of a run was opened."""
    return store.note(OPENINGS, _COUNT.validate_python) or 0


async def _accuracies(
    evaluator: Evaluator, store: Store, groups: Sequence[ChosenGroup], *, test: bool
) -> tuple[list[Ensemble], dict[str, str]]:
    notes: dict[str, str] = {}
    found: Sequence[SplitScores | None] | None = None
    if test:
        # Stored before it happens: a run that dies in the middle has opened it all the same.
        await store.put_note(OPENINGS, openings(store) + 1)
        try:
            found = await _scores(evaluator, groups, test=True)
        except AskingEndedError:
            raise
        except Exception as error:  # noqa: BLE001 - noted in the result
            notes[UNOPENED] = f"the test split could not be examined: {reason(error)}"
    if found is None:
        try:
            found = await _scores(evaluator, groups, test=False)
        except Exception as error:  # noqa: BLE001 - noted in the result
            notes[UNEXAMINED] = f"ensembles could not be examined: {reason(error)}"
            found = [None] * len(groups)
    accuracies = []
    for group, scores in zip(groups, found, strict=True):
        train, val, on_test = (
            (None, None, None) if scores is None else (scores.train, scores.val, scores.test)
        )
        if train is None and group.known is not None:
            train, val = group.known.train, group.known.val
        accuracies.append(
            Ensemble(templates=group.shown or group.templates, train=train, val=val, test=on_test)
        )
    return accuracies, notes


async def _scores(
    evaluator: Evaluator, groups: Sequence[ChosenGroup], *, test: bool
) -> Sequence[SplitScores | None]:
    """Score groups; None for one that cannot be read or averaged. Raises if not a single one can be read."""
    try:
        return await measured(lambda: examine(evaluator, [group.templates for group in groups], test=test))
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


async def _inspect(evaluator: Evaluator, best: str, found: Evaluated) -> None:
    if not isinstance(evaluator, Inspector):
        return
    try:
        seen = await measured(lambda: evaluator.inspect([best], split="test"))
    except AskingEndedError:
        raise
    except Exception as error:  # noqa: BLE001 - noted in the result
        found.notes[UNINSPECTED] = f"the classes could not be distinguished: {reason(error)}"
        return
    found.inspection = Inspected(
        split="test", classes=seen.classes, confusions=seen.confusions[:MOST_CONFUSIONS]
    )


async def _image_by_image(
    evaluator: Evaluator, groups: Sequence[ChosenGroup], accuracies: Sequence[Ensemble], notes: dict[str, str]
) -> list[Examined]:
    """Return groups on test with each image's label, if the evaluator reports it; else add a note."""
    predicted: list[tuple[int, ...] | None] = [None] * len(groups)
    labels: tuple[int, ...] = ()
    if isinstance(evaluator, Predictor):
        places = [place for place, one in enumerate(accuracies) if one.test is not None]
        try:
            asked = [groups[place].templates for place in places]
            predictions = await measured(lambda: predict(evaluator, asked, "test"))
            _check_predictions(predictions, [accuracies[place] for place in places], evaluator)
            labels = predictions.labels
            for place, answer in zip(places, predictions.predicted, strict=True):
                predicted[place] = answer
        except AskingEndedError:
            raise
        except Exception as error:  # noqa: BLE001 - noted in the result
            notes[UNPAIRED] = f"intervals are not paired, as no predictions could be had: {reason(error)}"
    return [
        Examined(
            templates=group.templates,
            test=one.test,
            hits=None if answer is None else _hits(answer, labels),
            predicted=answer,
            labels=None if answer is None else labels,
        )
        for group, one, answer in zip(groups, accuracies, predicted, strict=True)
    ]


def _check_predictions(predictions: Predictions, found: Sequence[Ensemble], evaluator: Evaluator) -> None:
    """Raise EvaluationFailedError if predictions contradict the evaluator's own accuracies."""
    images = evaluator.info.sizes.get("test", 0)
    for answer, one in zip(predictions.predicted, found, strict=True):
        if answer is None or one.test is None:
            continue
        hits = _hits(answer, predictions.labels)
        if len(hits) != images:
            raise EvaluationFailedError(
                f"predict reports {counted(len(hits), 'label')} of the {counted(images, 'image')} on test"
            )
        # An accuracy may be rounded, but not by as much as an image.
        if abs(sum(hits) - images * one.test) > IMAGES_ROUNDED:
            raise EvaluationFailedError(
                f"predict gives {one.templates[0]!r:.80} an accuracy of {sum(hits) / images:.4f} on test, "
                f"and examine {one.test:.4f}"
            )


def _hits(predicted: Sequence[int], labels: Sequence[int]) -> list[bool]:
    return [one == true for one, true in zip(predicted, labels, strict=True)]
