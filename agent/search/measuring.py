"""Measure classifiers on one split, without a search: given templates, or what people use today.

What people use are the bare class name, the default template, and published lists of templates, whose text
embeddings are averaged. Each is measured on the test images, without and with the labelled images. The
labelled images, not the test images, say which one to use.
"""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...evaluator.classifier import Classifier
from ...evaluator.counts import counted
from ...evaluator.errors import TemplateRejectedError, UsageError
from ...evaluator.head import Head
from ...evaluator.prediction import PredictedImage
from ...evaluator.scoring import (
    BARE_NAME,
    UNCLASSIFIED,
    UNREADABLE,
    Evaluator,
    EvaluatorInfo,
    FeatureEvaluator,
    Form,
    ImageEvidence,
    Inspection,
    LearnedClassifier,
    Predictions,
    Predictor,
    ProbabilityEvaluator,
    Split,
    SplitScores,
    Unanswered,
    hits,
)
from ...evaluator.spec import Report
from ...evaluator.threads import in_thread_or_loop
from ...evaluator.white_box.references import WhiteBoxResult
from ...prompts.kinds import TEMPLATE, PromptKind, kind_named
from ..results.accuracies import Accuracy, AccuracyRow, AccuracyTable, Difference, baseline_name
from ..results.details import ConfusionMatrix
from ..results.gain import difference_of, is_no_better, wilson, with_verdicts
from ..results.result import ApiUsage, are_shares
from ..text import printable
from .event_loop import call_evaluator
from .evidence import best_way, judge, labelled_images, ways_of
from .test_evaluation import shares_right

TEXTS_COLUMN, IMAGES_COLUMN = "without images", "with images"
"""Of the table of ways."""
MOST_LEARNED = 20
"""Most ways that all learn from the images, half a second or more each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredAccuracy:
    """An accuracy on one split, from 0 to 1; None if it was not measured.

    Attributes:
        unanswered: The shares of the images without a class, which count as wrong; None if all have one.
        metrics: Those of ``SearchResult``, empty if unknown.
        gain: Its difference to the bare class name; None if it is that, or is not known.
    """

    accuracy: float | None
    unanswered: Unanswered | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    gain: Difference | None = None

    def to_json(self, split: str) -> dict[str, Any]:
        """Return the accuracy under the split's name, and what stands beside it."""
        document: dict[str, Any] = {split: self.accuracy, **self.metrics}
        if self.unanswered is not None and self.accuracy is not None:
            document |= asdict(self.unanswered)
            document["among_answered"] = self.unanswered.among_answered(self.accuracy)
        if self.gain is not None:
            document["over_bare_class_name"] = asdict(self.gain)
        return document


_UNMEASURED = MeasuredAccuracy(accuracy=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateAccuracy(MeasuredAccuracy):
    """A template with its accuracy."""

    template: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A row of the table: texts, without and with the labelled images.

    Attributes:
        name: A baseline's, a given template or all together, or a white-box reference's.
        texts_alone: None for a white-box reference, which always learns from the images.
        with_images: None where there are no features or no labelled images.
        form: Which of its two the labelled images recommend; None if they recommend another way.
    """

    name: str
    templates: tuple[str, ...] = ()
    texts_alone: MeasuredAccuracy | None = None
    with_images: MeasuredAccuracy | None = None
    form: Form | None = None

    def to_json(self, split: str) -> dict[str, Any]:
        """Return its member of the document of the command ``evaluate``."""
        return {
            "name": self.name,
            "templates": list(self.templates),
            "without_images": self.texts_alone and self.texts_alone.to_json(split),
            "with_images": self.with_images and self.with_images.to_json(split),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Templates, or what people use today, with their accuracies on one split.

    Attributes:
        pretrained: Tag or file of the model's weights.
        images: Images in the split; 0 if the evaluator does not say.
        classes: Number of classes; 0 if the evaluator does not say.
        most_frequent: Images of the most frequent class; 0 if the evaluator does not say.
        held_out: The share of labelled images that are right with what is recommended when they are held out;
            None if nothing was learned.
        templates: The given ones, in input order; empty for what people use today.
        ways: The rows: what people use today, or given templates, each and all together, and the bare class
            name where they learn from images; white-box references last.
        labelled: Labelled images.
        refused: Those of them that the scorer refused, which have no vector: nothing was learned from them.
        notes: What opening data and model noted, by name.
        classifier: What they recommend; None if nothing, or without features of images.
        bare_name_right: Whether the bare class name has each image correct; empty if that is not known.
        predictions: What it predicts for each image, in the order of the split; empty without it, or if a
            custom scorer does not name its images.
        inspection: Accuracy by class, of all given templates together or of what is recommended; None unless
            requested, as is ``matrix``.
        white_box: References that see inside the model, on the same shots; empty unless requested.
        prompts: What was scored: ``template`` or another prompt kind.
        scorer_usage: What a scorer behind an API was asked now, labels on disk not counted; None without one.
        labels: Where its answers are kept; None without one.
    """

    dataset: str
    model: str
    pretrained: str
    split: Split
    images: int
    templates: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    labelled: int = 0
    refused: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    classifier: Classifier | None = field(default=None, compare=False, repr=False)
    bare_name_right: Sequence[bool] = field(default=(), compare=False, repr=False)
    predictions: tuple[PredictedImage, ...] = field(default=(), compare=False, repr=False)
    inspection: Inspection | None = None
    matrix: ConfusionMatrix | None = None
    white_box: tuple[WhiteBoxResult, ...] = ()
    prompts: str = TEMPLATE
    scorer_usage: ApiUsage | None = None
    labels: Path | None = None
    classes: int = 0
    most_frequent: int = 0
    held_out: float | None = None

    def __str__(self) -> str:
        """Return the accuracies as a table, for ``print``."""
        return f"{self.title}\n{self.accuracies}"

    @property
    def title(self) -> str:
        """What the table of accuracies shows."""
        images = f", {counted(self.images, 'image')}" if self.images else ""
        return printable(f"{self.dataset}: {self.split} {self.accuracies.unit}{images}")

    @property
    def scores(self) -> tuple[TemplateAccuracy, ...]:
        """Each given template by itself."""
        measured = self._texts_alone
        pairs = [(text, measured[text,]) for text in self.templates]
        return tuple(
            TemplateAccuracy(
                template=text, accuracy=each.accuracy, unanswered=each.unanswered, metrics=each.metrics
            )
            for text, each in pairs
        )

    @property
    def _texts_alone(self) -> dict[tuple[str, ...], MeasuredAccuracy]:
        return {way.templates: way.texts_alone or _UNMEASURED for way in self.ways}

    @property
    def together(self) -> MeasuredAccuracy:
        """All given templates averaged; without a figure if the evaluator cannot average."""
        return self._texts_alone.get(self.templates, _UNMEASURED)

    @property
    def ensemble(self) -> float | None:
        """The accuracy of all given templates together."""
        return self.together.accuracy

    @property
    def recommended(self) -> Way | None:
        """The way that the labelled images recommend; None if they were not looked at."""
        return next((way for way in self.ways if way.form), None)

    @property
    def chance(self) -> float:
        """The higher of the chance level and the share of the most frequent class; 0 if unknown."""
        if not self.classes or not self.images:
            return 0.0
        return max(1 / self.classes, self.most_frequent / self.images)

    @property
    def accuracies(self) -> AccuracyTable:
        """Each way; with intervals for shares of images."""
        words = kind_named(self.prompts).words
        measured = [each for way in self.ways for each in (way.texts_alone, way.with_images) if each]
        percent = are_shares(each.accuracy for each in measured)

        def cell(measured: MeasuredAccuracy | None, *, recommended: bool = False) -> Accuracy:
            if measured is None:
                return Accuracy(value=None)
            value = measured.accuracy
            accuracy = Accuracy(
                value=value, unanswered=measured.unanswered, gain=measured.gain, recommended=recommended
            )
            if percent and self.images and value is not None:
                by_chance = self.chance > 0.0 and is_no_better(value, self.images, self.chance)
                accuracy = replace(accuracy, interval=wilson(value, self.images), may_be_chance=by_chance)
            return accuracy

        learns = any(way.with_images for way in self.ways)
        columns = (TEXTS_COLUMN, IMAGES_COLUMN) if learns else (self.split,)
        rows = []
        for way in self.ways:
            cells = [
                cell(way.texts_alone, recommended=way.form == "texts"),
                cell(way.with_images, recommended=way.form == "with_images"),
            ]
            rows.append(
                AccuracyRow(
                    name=way.name,
                    title=baseline_name(way.name, words),
                    cells=dict(zip(columns, cells, strict=False)),
                    templates=way.templates,
                )
            )
        return AccuracyTable(columns=columns, rows=tuple(rows), percent=percent)

    def with_white_box(self, references: Sequence[WhiteBoxResult]) -> Evaluation:
        """Return the evaluation with references as rows."""
        ways = list(self.ways)
        for reference in references:
            measured = _measured_by(reference.predictions, self.classes)[0]
            right = _right(reference.predictions, 0)
            if right and len(right) == len(self.bare_name_right):
                measured = replace(measured, gain=difference_of(right, self.bare_name_right))
            about = f"white box, {counted(reference.images, 'image')}"
            ways.append(Way(name=f"{reference.name} ({about})", with_images=measured))
        return replace(self, ways=_corrected(ways), white_box=tuple(references))

    def to_json(self, *, most_confusions: int | None = None) -> dict[str, Any]:
        """Return the document of the command ``evaluate``, with at most so many confused pairs."""
        document: dict[str, Any] = {
            "dataset": self.dataset,
            "model": {"name": self.model, "pretrained": self.pretrained},
            "split": self.split,
            "images": self.images,
        }
        best = self.recommended
        document["labelled_images"] = self.labelled
        if self.refused:
            document["labelled_images_refused"] = self.refused
        document["ways"] = [way.to_json(self.split) for way in self.ways]
        document["recommended"] = best and {"name": best.name, "form": best.form}
        if self.templates:
            document["scores"] = [
                {"template": score.template, **score.to_json(self.split)} for score in self.scores
            ]
            together = {self.split: self.together.accuracy, **self.together.metrics}
            document["ensemble"] = {"templates": list(self.templates), **together}
        if self.inspection is not None:
            document["classes"] = [accuracy.to_json() for accuracy in self.inspection.classes]
            confusions = self.inspection.confusions[:most_confusions]
            document["confusions"] = [asdict(confusion) for confusion in confusions]
        if (matrix := self.matrix) is not None:
            for label, row in enumerate(document["classes"]):
                row |= {"recall": row["accuracy"], "precision": matrix.precision(label)}
            document["matrix"] = [matrix.row(label) for label in range(len(matrix.classes))]
        if self.white_box:
            document["white_box"] = [reference.to_json() for reference in self.white_box]
        if self.scorer_usage is not None:
            document["scorer_usage"] = asdict(self.scorer_usage)
            document["labels"] = str(self.labels)
        return document


def check_recommends(evaluator: Evaluator, texts: Sequence[str], split: Split) -> None:
    """Raise UsageError if no classifier will be recommended, as some options need."""
    if not isinstance(evaluator, FeatureEvaluator):
        why = "this scorer gives no features of images"
    elif not labelled_images(evaluator.info):
        why = "there are no labelled images to choose by"
    elif texts and (split != "test" or evaluator.info.paid):
        why = "given templates learn from labelled images only on test, and not behind an API"
    else:
        return
    raise UsageError(
        f"there is no classifier to recommend here, as {why}; leave out `save`, `predictions` and, without "
        "templates, the confusion matrix"
    )


async def measure(
    evaluator: Evaluator,
    texts: Sequence[str],
    kind: PromptKind,
    split: Split,
    *,
    inspect: bool,
    report: Report,
    progress: Report,
) -> Evaluation:
    """Measure texts one by one and as an ensemble, or without texts what people use today.

    On test, where there are features, they are measured with the labelled images too. ``report`` is called
    with a line if a way is left out or not all learn, ``progress`` before each step of learning.

    Raises:
        UsageError: There are no such images, a text cannot be scored, or classes cannot be inspected.
    """
    info = evaluator.info
    # A custom scorer does not report the size of its training split.
    if not info.sizes.get(split) and (split != "train" or any(info.sizes.values())):
        raise UsageError(f"{info.dataset} has no {split} images; score templates on another split")
    evaluation = Evaluation(
        dataset=info.dataset,
        model=info.model,
        pretrained=info.pretrained,
        split=split,
        images=info.sizes.get(split) or 0,
        templates=tuple(texts),
        classes=info.classes,
        labelled=labelled_images(info),
        notes=info.notes,
        prompts=kind.name,
    )
    features, ways = None, ways_of(info, kind)
    if isinstance(evaluator, FeatureEvaluator) and split == "test":
        features = evaluator if not texts or (evaluation.labelled and not info.paid) else None
    if texts:
        ways = {} if features is None else {BARE_NAME: ("{}",)}
        ways |= {BARE_NAME if text == "{}" else text: (text,) for text in texts}
        ways |= {f"all {len(texts)} together": tuple(texts)} if len(texts) > 1 and kind.averaged else {}
    if features is not None and len(ways) > MOST_LEARNED:
        report(f"of more than {MOST_LEARNED} rows, only the most important learn from the images")
    predictions: Predictions | None
    while True:
        try:
            if features is not None:
                evaluation, predictions, index = await _by_features(features, ways, evaluation, progress)
            else:
                evaluation, predictions = await _without_features(evaluator, ways, evaluation)
                index = len(ways) - 1
            break
        except TemplateRejectedError as error:
            if texts:
                raise UsageError(str(error)) from error
            _leave_out(ways, error, report)
    info = evaluator.info  # without the test images that could not be read
    evaluation = replace(evaluation, images=info.sizes.get(split) or 0, notes=info.notes)
    if evaluation.refused:
        refused = f"{evaluation.refused:,} of {counted(evaluation.labelled, 'labelled image')}"
        report(f"note: the scorer refused {refused}: without a vector, nothing is learned from them")
    return _inspected(evaluation, info, predictions, index) if inspect else evaluation


async def _without_features(
    evaluator: Evaluator, ways: Mapping[str, tuple[str, ...]], evaluation: Evaluation
) -> tuple[Evaluation, Predictions | None]:
    """Measure ways on the split of an evaluation; the labelled images say which is best, where they are free.

    Raises:
        TemplateRejectedError: The model cannot read a template.
    """
    predictions, measured = await _measure(evaluator, list(ways.values()), evaluation.split)
    evidence: Mapping[str, ImageEvidence | float] = {}
    # An answer on a labelled image may cost money.
    if not evaluation.templates and evaluation.labelled and not evaluator.info.paid:
        evidence = await judge(evaluator, ways, {}, final=True)
    chosen = best_way(evidence, evaluation.labelled)
    measured, bare_name_right = _with_gains(measured, list(ways), predictions)
    evaluation = replace(
        evaluation,
        ways=_rows(ways, dict(zip(ways, measured, strict=True)), {chosen: "texts"}),
        most_frequent=_most_frequent(predictions),
        bare_name_right=bare_name_right,
    )
    return evaluation, predictions


def _inspected(
    evaluation: Evaluation, info: EvaluatorInfo, predictions: Predictions | None, index: int
) -> Evaluation:
    """Return an evaluation with what is known of each class by the predictions at an index."""
    if predictions is None or not info.class_names:
        raise UsageError("this scorer does not say which classes it confuses")
    if (predicted := predictions.predicted[index]) is None:
        raise UsageError("this scorer classifies with one candidate at a time; inspect each alone")
    from ...evaluator import tally  # NumPy takes longer to import than everything that help pages need

    return replace(
        evaluation,
        inspection=tally.inspection(predicted, predictions.labels, info.class_names),
        matrix=ConfusionMatrix.of_decisions(info.class_names, predictions.labels, predicted),
    )


def _most_frequent(predictions: Predictions | None) -> int:
    return max(Counter(predictions.labels).values(), default=0) if predictions is not None else 0


async def _by_features(
    features: FeatureEvaluator, ways: Mapping[str, tuple[str, ...]], evaluation: Evaluation, progress: Report
) -> tuple[Evaluation, Predictions, int]:
    """Measure ways without and with the labelled images, if any.

    The index is of the predictions to inspect: those of the last way if templates were given, else of what
    is recommended.

    Raises:
        TemplateRejectedError: The model cannot read a template.
    """
    vectors = {
        name: await call_evaluator(partial(features.classifier, texts)) for name, texts in ways.items()
    }
    learned = dict[str, LearnedClassifier]()
    chosen = None
    if labelled := evaluation.labelled:
        judged = await call_evaluator(lambda: features.evidence(list(vectors.values())))
        chosen = best_way(dict(zip(vectors, judged, strict=True)), labelled)
        most_important = {BARE_NAME, chosen, list(ways)[-1]}
        learning = [name for name in ways if len(ways) <= MOST_LEARNED or name in most_important]
        for number, name in enumerate(learning, start=1):
            progress(f"learning from the labelled images, {number} of {len(learning)}: {name}")
            learned[name] = await call_evaluator(partial(features.learn, vectors[name]))
    heads = [*map(Head, vectors.values()), *(each.head for each in learned.values())]
    predictions = await call_evaluator(lambda: features.decide(heads, split="test"))
    names: list[Any] = [*ways, *((name, IMAGES_COLUMN) for name in learned)]
    by_heads = _measured_by(predictions, evaluation.classes)
    measured, bare_name_right = _with_gains(by_heads, names, predictions)
    forms, classifier = dict[str | None, Form](), None
    by_image: tuple[PredictedImage, ...] = ()
    inspected = len(ways) - 1
    if chosen is not None:
        best, index = learned[chosen], names.index((chosen, IMAGES_COLUMN))
        inspected = inspected if evaluation.templates else index
        by_image = await _by_image(features, best, predictions, index)
        learns = best.strength is not None
        forms[chosen] = "with_images" if learns else "texts"
        classifier = Classifier.of(
            features,
            best.head,
            scale=best.scale,
            form=forms[chosen],
            images=best.images if learns else 0,
            templates=ways[chosen],
            names_in_texts=features.info.class_names,
        )
    evaluation = replace(
        evaluation,
        most_frequent=_most_frequent(predictions),
        classifier=classifier,
        bare_name_right=bare_name_right,
        predictions=by_image,
        refused=0 if chosen is None else labelled - learned[chosen].images,
        held_out=None if chosen is None else statistics.fmean(learned[chosen].held_out),
    )
    rows = _rows(ways, dict(zip(names, measured, strict=True)), forms)
    return replace(evaluation, ways=rows), predictions, inspected


async def _by_image(
    features: FeatureEvaluator, learned: LearnedClassifier, predictions: Predictions, index: int
) -> tuple[PredictedImage, ...]:
    """Return what a learned classifier, whose predictions are those at an index, predicts for each image."""
    predicted, names = predictions.predicted[index], features.class_names
    if predicted is None or not predictions.paths:
        return ()
    shares: Sequence[float | None] = [None] * len(predicted)
    reasons = predictions.reasons[index] if predictions.reasons else {}
    if isinstance(features, ProbabilityEvaluator):
        shares = await call_evaluator(partial(features.probabilities, learned, split="test"))
    return tuple(
        PredictedImage(
            file=os.fspath(path),
            classes=() if label == UNREADABLE else (names[label],),
            probabilities=() if share is None else (share,),
            error=f"{path}: {reasons.get(image_index, UNCLASSIFIED)}" if label == UNREADABLE else "",
            true_class=names[true],
        )
        for image_index, (path, label, share, true) in enumerate(
            zip(predictions.paths, predicted, shares, predictions.labels, strict=True)
        )
    )


def _rows(
    ways: Mapping[str, tuple[str, ...]],
    by_name: Mapping[Any, MeasuredAccuracy],
    forms: Mapping[str | None, Form],
) -> tuple[Way, ...]:
    return _corrected(
        [
            Way(
                name=name,
                templates=templates,
                texts_alone=by_name[name],
                with_images=by_name.get((name, IMAGES_COLUMN)),
                form=forms.get(name),
            )
            for name, templates in ways.items()
        ]
    )


def _leave_out(ways: dict[str, tuple[str, ...]], error: TemplateRejectedError, report: Report) -> None:
    """Take out the ways with a template that the model cannot read; raise UsageError if none is left."""
    unreadable = [name for name, templates in ways.items() if error.template in templates]
    if not unreadable or len(unreadable) == len(ways):
        raise UsageError(str(error)) from error
    for name in unreadable:
        del ways[name]
        report(f"{name} is not measured: {error}")


async def _measure(
    evaluator: Evaluator, ensembles: Sequence[Sequence[str]], split: Split
) -> tuple[Predictions | None, list[MeasuredAccuracy]]:
    """Return the accuracies of ensembles on a split, and the predictions if the evaluator gives them.

    No other split is asked about: images may cost money.
    """
    if isinstance(evaluator, Predictor):
        predictions = await in_thread_or_loop(partial(evaluator.predict, ensembles, split=split))
        return predictions, _measured_by(predictions, evaluator.info.classes)
    scores: Sequence[SplitScores | None] = await in_thread_or_loop(
        lambda: evaluator.examine(ensembles, test=split == "test")
    )
    return None, [
        MeasuredAccuracy(
            accuracy=getattr(on_splits, split, None),
            unanswered=None if on_splits is None else on_splits.unanswered.get(split),
        )
        for on_splits in scores
    ]


def _measured_by(predictions: Predictions, classes: int) -> list[MeasuredAccuracy]:
    """Return the accuracy of each ensemble, with what stands beside it."""
    from ...evaluator import tally  # as above

    labels, count = predictions.labels, len(predictions.predicted)
    within_5 = predictions.within_5 or [None] * count
    return [
        MeasuredAccuracy(
            accuracy=share,
            unanswered=predictions.unanswered(index),
            metrics={}
            if predicted is None or max(labels) >= classes
            else tally.metrics(predicted, labels, classes, within_5[index]),
        )
        for index, (share, predicted) in enumerate(
            zip(shares_right(predictions), predictions.predicted, strict=True)
        )
    ]


def _right(predictions: Predictions, index: int) -> Sequence[bool]:
    """Return whether an ensemble has each image correct; nothing if its decisions are not known."""
    decided = predictions.predicted[index]
    return [] if decided is None else hits(decided, predictions.labels)


def _with_gains(
    measured: Sequence[MeasuredAccuracy], names: Sequence[object], predictions: Predictions | None
) -> tuple[list[MeasuredAccuracy], Sequence[bool]]:
    """Return accuracies with their differences to the bare class name, and which images that has correct."""
    if predictions is None or BARE_NAME not in names:
        return list(measured), ()
    bare = names.index(BARE_NAME)
    right = [_right(predictions, index) for index in range(len(names))]
    gains = {
        index: difference_of(each, right[bare])
        for index, each in enumerate(right)
        if each and right[bare] and index != bare
    }
    return [replace(each, gain=gains.get(index)) for index, each in enumerate(measured)], right[bare]


def _corrected(ways: Sequence[Way]) -> tuple[Way, ...]:
    """Return ways with the verdicts on their differences, corrected for the number of all of them."""
    forms = ("texts_alone", "with_images")
    cells = {(index, form): getattr(way, form) for index, way in enumerate(ways) for form in forms}
    verdicts = with_verdicts({at: cell.gain for at, cell in cells.items() if cell and cell.gain})

    def cell(index: int, form: str) -> MeasuredAccuracy | None:
        measured: MeasuredAccuracy | None = cells[index, form]
        return measured and replace(measured, gain=verdicts.get((index, form)))

    return tuple(
        replace(way, texts_alone=cell(index, forms[0]), with_images=cell(index, forms[1]))
        for index, way in enumerate(ways)
    )
