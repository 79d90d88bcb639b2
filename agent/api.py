"""The library's functions: ``search``, ``resume``, ``evaluate``, ``predict``, ``load_data`` and others."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, get_args

from anyio.from_thread import BlockingPortal
from rich.console import Console

from ..evaluator.classifier import Classifier
from ..evaluator.datasets.loading import Known, check_data_name, known
from ..evaluator.datasets.loading import load_data as read_data
from ..evaluator.datasets.values import FewShotData
from ..evaluator.errors import TemplateRejectedError, UsageError
from ..evaluator.files import user_path
from ..evaluator.open import open_evaluator
from ..evaluator.prediction import FolderPredictor, ImagePredictor, PredictedImage, check_images
from ..evaluator.scoring import (
    Evaluator,
    Inspection,
    MaybeAwaitable,
    Predictions,
    Predictor,
    Split,
    Unanswered,
)
from ..evaluator.spec import EvaluatorSpec
from ..evaluator.threads import at_once, in_thread_or_loop
from ..evaluator.white_box.references import REFERENCES, WhiteBoxResult, check_reference
from ..evaluator.white_box.running import run_all
from ..prompts.kinds import TEMPLATE, CandidateError, PromptKind, kind_named
from .config.schema import OPTIONS, SearchConfig
from .errors import BudgetSpentError
from .events.types import Bus, Listener
from .llm.scorer import scorer_in_thread
from .present.page import rewrite_report, write_report
from .present.terminal import Display
from .results.accuracies import Accuracy, AccuracyRow, AccuracyTable
from .results.details import ConfusionMatrix
from .results.gain import is_no_better, wilson
from .results.result import ApiUsage, SearchResult, are_shares
from .results.run_dir import CLASSIFIER, result_of, stored_config
from .search.bound import check_new_search
from .search.inputs import check_scorer_takes
from .search.opening import RunRequest
from .search.predicting import classifier_of_run, predictor_of_run, shared_labels
from .search.run import resume_run, start_run
from .search.test_evaluation import shares_right
from .store.trust import OF_EVALUATOR, OF_LLM, OF_MODEL, check_model_trusted

if TYPE_CHECKING:
    from ..evaluator.remote.evaluator import RemoteEvaluator

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TemplateAccuracy:
    """A template with its accuracy on one split, from 0 to 1; None if it was not measured.

    ``unanswered`` has the shares of the images without a class, which count as wrong; None if all have one.
    ``metrics`` are those of ``SearchResult``, empty if unknown.
    """

    template: str
    accuracy: float | None
    unanswered: Unanswered | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self, split: str) -> dict[str, Any]:
        """Return its member of the document of the command ``evaluate``."""
        document: dict[str, Any] = {"template": self.template, split: self.accuracy, **self.metrics}
        if self.unanswered is not None and self.accuracy is not None:
            document |= asdict(self.unanswered)
            document["among_answered"] = self.unanswered.among_answered(self.accuracy)
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Templates with their accuracies on one split.

    Attributes:
        pretrained: Tag or file of the model's weights.
        images: Images in the split; 0 if the evaluator does not say.
        classes: Number of classes; 0 if the evaluator does not say.
        scores: Each template by itself, in input order.
        ensemble: The accuracy of all together; None if the evaluator cannot average.
        metrics: What stands beside it; empty if unknown.
        inspection: Accuracy by class of all together; None unless requested, as is ``matrix``.
        white_box: References that see inside the model, on the same shots; empty unless requested.
        prompts: What was scored: ``template`` or another prompt kind.
        scorer_usage: What a scorer behind an API was asked now, labels on disk not counted; None without one.
        labels: Where its labels are kept; None without one.
    """

    dataset: str
    model: str
    pretrained: str
    split: Split
    images: int
    scores: tuple[TemplateAccuracy, ...]
    ensemble: float | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    inspection: Inspection | None = None
    matrix: ConfusionMatrix | None = None
    white_box: tuple[WhiteBoxResult, ...] = ()
    prompts: str = TEMPLATE
    scorer_usage: ApiUsage | None = None
    labels: Path | None = None
    classes: int = 0

    @property
    def accuracies(self) -> AccuracyTable:
        """Each candidate, and the ensemble of several, with intervals where they are shares of images."""
        percent = are_shares([*(score.accuracy for score in self.scores), self.ensemble])

        def row(title: str, value: float | None, unanswered: Unanswered | None = None) -> AccuracyRow:
            accuracy = Accuracy(value=value, unanswered=unanswered)
            if percent and self.images and value is not None:
                by_chance = self.classes > 0 and is_no_better(value, self.images, 1 / self.classes)
                accuracy = replace(accuracy, interval=wilson(value, self.images), may_be_chance=by_chance)
            return AccuracyRow(name=title, title=title, cells={self.split: accuracy})

        rows = [row(score.template, score.accuracy, score.unanswered) for score in self.scores]
        if len(rows) > 1 and kind_named(self.prompts).averaged:
            rows.append(row(f"ensemble of all {len(rows)}", self.ensemble))
        return AccuracyTable(columns=(self.split,), rows=tuple(rows), percent=percent)

    def to_json(self, *, most_confusions: int | None = None) -> dict[str, Any]:
        """Return the document of the command ``evaluate``, with at most so many confused pairs."""
        document: dict[str, Any] = {
            "dataset": self.dataset,
            "model": {"name": self.model, "pretrained": self.pretrained},
            "split": self.split,
            "images": self.images,
            "scores": [score.to_json(self.split) for score in self.scores],
            "ensemble": {
                "templates": [score.template for score in self.scores],
                self.split: self.ensemble,
                **self.metrics,
            },
        }
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


def evaluate(
    templates: Iterable[str],
    spec: EvaluatorSpec,
    *,
    split: Split = "test",
    inspect: bool = False,
    white_box: Mapping[str, Mapping[str, Any]] | Sequence[str] = (),
    custom_scorer: object | None = None,
    search_for: str | None = None,
    report: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score templates one by one and as an ensemble. Blocks until done.

    Args:
        templates: Each with a slot ``{}``; instructions with ``{classes}``, which have no ensemble.
        spec: What to score on; a ``SearchConfig`` is one. With a model behind an API, labels are kept in its
            ``shared_cache``, else in the user's cache, and never requested twice.
        split: The images to score on. Only ``test`` reads the test split.
        inspect: Add the accuracy by class of all templates together, and which classes are confused.
        white_box: References that see inside the model, fitted to the same shots: names, or names with their
            options; see ``docs/baselines.md``.
        custom_scorer: An ``Evaluator``, or anything with ``score(templates)``; None to open what ``spec``
            names.
        search_for: ``template`` or ``instruction``; None for what ``spec`` says or its scorer takes.
        report: Called with lines about data and model.

    Raises:
        UsageError: A text is not a template or cannot be scored by this model, the split is empty, data or
            model cannot be used, the scorer does not report its classes, or a white-box one is missing.
        EvaluatorError: A custom scorer fails, or returns something other than accuracies.
    """
    _check_type("evaluate", "spec", spec, EvaluatorSpec, "an EvaluatorSpec")
    if split not in get_args(Split):
        raise UsageError(f"evaluate: split={split!r} is not a split; there are {', '.join(get_args(Split))}")
    config = SearchConfig.of(spec, **({} if search_for is None else {"search_for": search_for}))
    if custom_scorer is None:
        check_data_name(config)
        check_scorer_takes(config)
    kind = config.kind
    if isinstance(templates, str) or not isinstance(templates, Iterable):
        raise UsageError(f"templates is {templates!r}; give a list of texts, each with a slot {kind.slot}")
    texts = [_checked(text, kind) for text in templates]
    if not texts:
        raise UsageError(f"there is no {kind.words.noun} to score")
    if inspect and len(texts) > 1 and (config.scorer == "zero-shot" or not kind.averaged):
        raise UsageError(f"classes can be inspected for one {kind.words.noun} at a time; give one")
    references = white_box if isinstance(white_box, Mapping) else {name: {} for name in white_box}
    for name, options in references.items():
        check_reference(name, options)
    if references and (custom_scorer is not None or not config.is_clip):
        raise UsageError(
            f"white-box references look into a CLIP; {config.scorer_name or 'a custom scorer'} is not one"
        )

    asks = custom_scorer is None and config.is_api
    labels = shared_labels(config) if asks else None
    try:
        opened = scorer_in_thread(config, os.environ, report=report) if asks else nullcontext((None, None))
        with opened as (ask, portal), ExitStack() as stack:
            spec = config.without_choice()
            scorer = open_evaluator(spec, custom_scorer, report=report, ask=ask, labels=labels)
            if asks:
                stack.callback(cast("RemoteEvaluator", scorer).close)
            measured = _measured(scorer, texts, kind, split, inspect, portal)
    except BudgetSpentError as error:
        note = f"; labels are kept in {labels}: with a higher limit, only the rest is requested"
        raise BudgetSpentError(f"{error}{note}", limits=error.limits) from error
    if references:
        measured = replace(measured, white_box=_white_box(references, config, split, report))
    if ask is None:
        return measured
    usage = ApiUsage.of(ask.budget.spent, priced=config.scorer_price is not None)
    return replace(measured, scorer_usage=usage, labels=labels)


def _white_box(
    references: Mapping[str, Mapping[str, Any]],
    spec: EvaluatorSpec,
    split: Split,
    report: Callable[[str], None] | None,
) -> tuple[WhiteBoxResult, ...]:
    def report_references(line: str) -> None:
        if report is not None and line.startswith(tuple(REFERENCES)):  # data and model were reported already
            report(line)

    return run_all(references, spec, split=split, report=report_references)


def _measured(
    evaluator: Evaluator,
    texts: list[str],
    kind: PromptKind,
    split: Split,
    inspect: bool,
    portal: BlockingPortal | None,
) -> Evaluation:
    """Score texts; through the portal, if the evaluator is behind an API."""

    def answer_of(work: Callable[[], MaybeAwaitable[T]]) -> T:
        if portal is None:
            return at_once(work())
        return portal.call(lambda: in_thread_or_loop(work))

    # A custom scorer does not report the size of its training split.
    info = evaluator.info
    if split != "train" and not info.sizes.get(split):
        raise UsageError(f"{info.dataset} has no {split} images; choose another split")
    alone = len(texts) == 1 or not kind.averaged
    try:
        ensembles = [*([text] for text in texts), *([] if alone else [texts])]
        predictions: Predictions | None = None
        if isinstance(evaluator, Predictor):
            # No other split is asked about: images may cost money.
            predictions = answer_of(partial(evaluator.predict, ensembles, split=split))
            accuracies = shares_right(predictions)
            unanswered = [predictions.unanswered(index) for index in range(len(ensembles))]
            metrics = _metrics(predictions, info.classes)
        else:
            on_splits = answer_of(partial(evaluator.examine, ensembles, test=split == "test"))
            accuracies = [getattr(scores, split, None) for scores in on_splits]
            unanswered = [None if scores is None else scores.unanswered.get(split) for scores in on_splits]
            metrics = [{} for _ in ensembles]
        inspection = matrix = None
        if inspect:
            if predictions is None or not info.class_names:
                raise UsageError("this scorer does not say which classes it confuses")
            if (predicted := predictions.predicted[-1]) is None:
                raise UsageError("this scorer classifies with one candidate at a time; inspect each alone")
            from ..evaluator import (
                tally,  # NumPy takes longer to import than everything that help pages need
            )

            inspection = tally.inspection(predicted, predictions.labels, info.class_names)
            matrix = ConfusionMatrix.of_decisions(info.class_names, predictions.labels, predicted)
    except TemplateRejectedError as error:
        raise UsageError(str(error)) from error

    return Evaluation(
        dataset=info.dataset,
        model=info.model,
        pretrained=info.pretrained,
        split=split,
        images=info.sizes.get(split) or 0,
        classes=info.classes,
        scores=tuple(map(TemplateAccuracy, texts, accuracies, unanswered, metrics)),
        metrics={} if len(texts) > 1 and alone else metrics[-1],
        ensemble=None if len(texts) > 1 and alone else accuracies[-1],
        inspection=inspection,
        matrix=matrix,
        prompts=kind.name,
    )


def _metrics(predictions: Predictions, classes: int) -> list[Mapping[str, float]]:
    """Return what stands beside the accuracy of each ensemble; empty if it is unknown."""
    from ..evaluator import tally  # as above

    labels = predictions.labels
    within_5 = predictions.within_5 or [None] * len(predictions.predicted)
    return [
        {}
        if predicted is None or max(labels) >= classes
        else tally.metrics(predicted, labels, classes, share)
        for predicted, share in zip(predictions.predicted, within_5, strict=True)
    ]


def _checked(text: object, kind: PromptKind) -> str:
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is not {kind.words.a_noun}: it is not a text")
    try:
        return kind.parse_scored(text).scored_as
    except CandidateError as error:
        raise UsageError(f"{text!r} is not {kind.words.a_noun}: {error}") from error


async def search(
    config: SearchConfig,
    *,
    custom_scorer: object | None = None,
    chat: object | None = None,
    on_event: Listener | None = None,
) -> SearchResult:
    """Search for better templates; in a notebook with ipywidgets, progress is shown below the cell.

    Args:
        config: What to search; with ``run_dir`` unset, a new folder under ``runs/`` is made.
        custom_scorer: An ``Evaluator``, or anything with ``score(templates)``; None to open the data set and
            model of the config.
        chat: A ``Client``, or anything with ``chat(messages)``; None to open the endpoint of the config.
        on_event: Called with each event, in the event loop; must not block.

    Returns:
        The result, as in the run's ``result.json``.

    Raises:
        UsageError: An argument, the data or the model cannot be used; nothing was paid.
        PromptclimbError: The run failed on its way; what it has is kept, and ``resume`` continues.
    """
    _check_type("search", "config", config, SearchConfig, "a SearchConfig")
    config = SearchConfig.of(config)
    check_new_search(config, custom_scorer=custom_scorer, chat=chat)
    with _bus(on_event) as emit:
        return await start_run(
            RunRequest(config=config, evaluator=custom_scorer, chat=chat, emit=emit, write_page=write_report)
        )


async def resume(
    run_dir: Path | str,
    *,
    changes: Mapping[str, Any] | None = None,
    trust: bool = False,
    custom_scorer: object | None = None,
    chat: object | None = None,
    on_event: Listener | None = None,
) -> SearchResult:
    """Continue an interrupted run; a finished one returns its result at once.

    Args:
        run_dir: The run's folder.
        changes: Settings by name that replace the run's own: those that do not decide the result, and more
            restarts, conversations or rounds, also of a finished run.
        trust: Run the code and ask the addresses of a run that was made elsewhere, has moved or was edited.
        custom_scorer: The same as for ``search``, if one was given.
        chat: As for ``search``.
        on_event: As for ``search``.

    Raises:
        UsageError: The folder holds no run, is in use, or a change would decide the result.
        UntrustedRunError: What it would execute, or where it would send, was not set by this user there.
        PromptclimbError: As for ``search``.
    """
    _check_type("resume", "run_dir", run_dir, (str, os.PathLike), "the path of a run's folder")
    _check_type("resume", "changes", changes, (Mapping, type(None)), "a mapping of settings by name, or None")
    for name in changes or ():
        _check_type("resume", "each name in changes", name, str, "a text")
    folder = user_path(run_dir, "`run_dir`")
    safe = {*(() if custom_scorer is None else OF_EVALUATOR), *(() if chat is None else OF_LLM)}
    config = stored_config(folder, changes, place="changes", safe=safe, trust=trust)
    with _bus(on_event) as emit:
        request = RunRequest(
            config=config, evaluator=custom_scorer, chat=chat, emit=emit, write_page=write_report
        )
        return await resume_run(request, folder)


def _without_loop(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise UsageError(
                f"{function.__name__}_sync cannot be called where an event loop is running, as in a "
                f"notebook: write `await {function.__name__}(...)` there"
            )
        return asyncio.run(function(*args, **kwargs))

    called.__name__ = called.__qualname__ = f"{function.__name__}_sync"
    return called


search_sync = _without_loop(search)
resume_sync = _without_loop(resume)
"""``search`` and ``resume`` without an event loop; they raise UsageError if one is running."""


def predict(
    folder: Path | str,
    *,
    run_dir: Path | str | None = None,
    ensemble: bool = False,
    templates: Iterable[str] | None = None,
    class_names: Sequence[str] | None = None,
    spec: EvaluatorSpec | None = None,
    top: int = 1,
    report: Callable[[str], None] | None = None,
) -> Iterator[PredictedImage]:
    """Classify the images in a folder and below it, one by one; an image that cannot be read has an error.

    Args:
        folder: A folder of images without labels, or one image.
        run_dir: A finished run, whose model, class names and best template or instruction are used.
        ensemble: Use the run's ensemble instead of its best template.
        templates: Without a run: templates, each with a slot ``{}``.
        class_names: By label; with a run, they replace its own.
        spec: Without a run: names the model; its data are not read.
        top: Classes per image, the most likely first.
        report: Called with lines about the model.

    Raises:
        UsageError: An argument or the model cannot be used, the run used a custom scorer, or no image can be
            read.
    """
    _check_type("predict", "folder", folder, (str, os.PathLike), "the path of a folder of images")
    images, say = user_path(folder, "folder"), report or (lambda _line: None)
    check_images(images)
    if (run_dir is None) == (templates is None):
        raise UsageError("predict: give run_dir, or templates with class_names and spec")
    if run_dir is not None:
        run = user_path(run_dir, "`run_dir`")
        predictor: ImagePredictor = predictor_of_run(
            run, ensemble=ensemble, class_names=class_names, report=say
        )
    else:
        _check_type("predict", "spec", spec, EvaluatorSpec, "an EvaluatorSpec")
        texts = [_checked(text, kind_named(TEMPLATE)) for text in templates or ()]
        config = SearchConfig.of(spec or EvaluatorSpec())
        predictor = FolderPredictor(config, class_names or (), texts, say)
    return predictor.predict(images, top=top)


def load(
    path: Path | str,
    *,
    device: str = "auto",
    trust: bool = False,
    report: Callable[[str], None] | None = None,
) -> Classifier:
    """Return a classifier: the one that a run recommends, or one that was saved or exported.

    Args:
        path: The folder of a finished run, or a safetensors file.
        device: Where its model computes: ``auto``, ``cpu``, ``cuda:0``, ...
        trust: Load a model whose files may name code, although somebody else may have chosen it.
        report: Called with lines about the model, which is loaded for the first image.

    Raises:
        UsageError: There is no such classifier.
        UntrustedRunError: Its model may run code, and was not named by this user in that folder.
    """
    _check_type("load", "path", path, (str, os.PathLike), "the path of a run's folder or of a file")
    place, say = user_path(path, "path"), report or (lambda _line: None)
    if not place.is_dir():
        classifier = Classifier.load(place, device=device, report=say)
        check_model_trusted(place, classifier.about.model, classifier.about.pretrained, trust=trust)
        return classifier
    result_of(place)  # says what is wrong if there is none
    if not (place / CLASSIFIER).exists():
        raise UsageError(
            f"{place} holds no {CLASSIFIER}: its scorer gives no features; use predict(..., run_dir=...)"
        )
    safe = OPTIONS.keys() if trust else OPTIONS.keys() - OF_MODEL
    config = stored_config(place, {"device": device}, safe=safe)
    return classifier_of_run(place, config, say)


def datasets() -> tuple[Known, ...]:
    """Return every named data set, those without a download first."""
    return known()


def load_data(spec: EvaluatorSpec) -> FewShotData:
    """Read a data set and draw its few-shot sample, as a search does; needs no torch.

    ``spec`` names the data, ``shots`` and ``seed``; a ``SearchConfig`` is one. Test images are counted, and
    read on request.

    Raises:
        UsageError: The data cannot be read or searched on.
    """
    _check_type("load_data", "spec", spec, EvaluatorSpec, "an EvaluatorSpec")
    config = SearchConfig.of(spec)
    check_data_name(config)
    return read_data(config)


def report(run_dir: Path | str) -> Path:
    """Rewrite the report of a run from its files, also of a live one, and return its path.

    Raises:
        UsageError: The folder holds no run, its result cannot be read, or the page cannot be written.
    """
    _check_type("report", "run_dir", run_dir, (str, os.PathLike), "the path of a run's folder")
    return rewrite_report(user_path(run_dir, "`run_dir`"))


def _check_type(function: str, name: str, value: object, types: Any, wanted: str) -> None:
    if not isinstance(value, types):
        raise UsageError(f"{function}: {name} must be {wanted}, not {type(value).__qualname__}")


@contextmanager
def _bus(on_event: Listener | None) -> Iterator[Bus]:
    if any(map(inspect.iscoroutinefunction, (on_event, getattr(on_event, "__call__", None)))):  # noqa: B004
        raise UsageError("on_event is async, but is not awaited: make it a plain function")
    listeners = [] if on_event is None else [on_event]
    console = Console()
    with Display(console) if console.is_jupyter else nullcontext() as display:
        yield Bus(*listeners, *filter(None, [display]))
