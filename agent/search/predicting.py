"""Classify folders of images as the best candidates of a run do, also with a model behind an API."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from anyio.from_thread import BlockingPortal

from ...evaluator.classifier import About, Classifier
from ...evaluator.errors import DataError, UsageError
from ...evaluator.files import cache_dir
from ...evaluator.head import Head
from ...evaluator.prediction import Decided, FolderPredictor, ImagePredictor, SavedPredictor
from ...evaluator.remote.embeddings import EmbeddingsEvaluator
from ...evaluator.remote.evaluator import ImageSet, LikelyClasses, RemoteEvaluator, accepted, batched
from ...evaluator.remote.opening import open_unlabelled, unlabelled
from ...evaluator.scoring import OTHER_MODEL
from ...evaluator.spec import Report
from ..config.schema import OPTIONS, SearchConfig
from ..limits import ALL_LIMIT_SETTINGS
from ..llm.scorer import scorer_in_thread
from ..results.accuracies import WITH_IMAGES
from ..results.exports import ChosenPrompts
from ..results.result import ApiUsage
from ..results.run_dir import CLASSIFIER, labels_in, own_labels, result_of, stored_config, stored_manifest
from ..store.run import StoreReader
from ..store.trust import OF_MODEL
from .identity import LABELLED_NAMES

BATCH = 64
"""Images whose requests go out together; more would delay the first rows."""
_OF_THE_RUN = (*ALL_LIMIT_SETTINGS, "base_url", "shared_cache", "cache_dir")
"""Settings that only the search itself obeys."""


class ApiFolderPredictor(ImagePredictor):
    """Classifies the images of folders with a model behind an API; labels on disk are not requested again.

    Args:
        config: The scorer, its limits and its price; data are not read.
        class_names: By label.
        templates: Templates that the scorer can average, or one template or instruction.
        labels: The file that keeps what the scorer answers.
        report: Called with lines about the endpoint, and folders that cannot be read.
        texts: Names as the scorer gets them, by label.
        classifier: What decides in place of the templates; None for the templates.

    Attributes:
        usage: What the scorer was asked for the last folder.
    """

    spec: SearchConfig

    def __init__(
        self,
        config: SearchConfig,
        class_names: Sequence[str],
        templates: Sequence[str],
        labels: Path,
        report: Report,
        *,
        texts: Sequence[str],
        classifier: Classifier | None = None,
    ) -> None:
        super().__init__(config, class_names, templates, report)
        self.labels = labels
        self.usage = ApiUsage()
        self._texts, self._classifier = tuple(texts), classifier

    def decide(self, images: Iterable[Path], top: int) -> Iterator[Decided]:
        """Yield the decision on each image, in order; its endpoint is open meanwhile.

        Raises:
            UsageError: The scorer cannot rank classes, or average the templates.
            ModelError: The classifier was made with another model.
        """
        if top != 1 and self.spec.scorer != "embeddings":
            raise UsageError("the scorers `zero-shot` and `chat` give one class an image; leave `top` out")
        opened = scorer_in_thread(self.spec, os.environ, labels=self.labels, report=self._report)
        with ExitStack() as stack, opened as (ask, portal):
            evaluator = open_unlabelled(self.spec, self._texts, ask, self.labels)
            stack.callback(evaluator.close)
            try:
                portal.call(evaluator.prepare)
                if not evaluator.measurable(self.templates):
                    raise UsageError(
                        "this scorer classifies with one candidate at a time, and the run averages several"
                    )
                classify = self._classify_with(evaluator, portal, top)
                for paths in batched(images, BATCH):
                    complaints = evaluator.problem.pictures.complaints(paths)
                    readable = [path for path, bad in zip(paths, complaints, strict=True) if not bad]
                    classified = iter(classify(unlabelled(evaluator, readable)))
                    for path, complaint in zip(paths, complaints, strict=True):
                        likely = LikelyClasses() if complaint else next(classified)
                        error = complaint or (likely.error and f"{path}: {likely.error}")
                        yield path, likely.labels, likely.probabilities, DataError(error) if error else None
                if (note := evaluator.info.notes.get(OTHER_MODEL)) is not None:
                    self._report(f"note: {note}")
            finally:
                priced = self.spec.scorer_price is not None
                self.usage = ApiUsage.of(ask.budget.spent, priced=priced)

    def _classify_with(
        self, evaluator: RemoteEvaluator, portal: BlockingPortal, top: int
    ) -> Callable[[ImageSet], Iterable[LikelyClasses]]:
        """Return what classifies images; texts of a scorer of embeddings are asked for now, once."""
        if not isinstance(evaluator, EmbeddingsEvaluator):

            def classify(images: ImageSet) -> Iterator[LikelyClasses]:
                (decided,) = portal.call(evaluator.classify, [self.templates], [images])
                (decisions,) = accepted(decided)
                why = decisions.reasons
                for index, label in enumerate(decisions.predicted.tolist()):
                    yield LikelyClasses(error=why[index]) if index in why else LikelyClasses([label])

            return classify
        if self._classifier is not None:
            if self._classifier.check is not None:
                portal.call(evaluator.recognise, self._classifier.check)
            head, scale = self._classifier.head, self._classifier.about.scale
        else:
            head = Head(portal.call(evaluator.classifier, self.templates))
            scale = evaluator.logit_scale
        return lambda images: portal.call(partial(evaluator.likeliest, head, images, scale=scale, top=top))


def predictor_of_run(
    run_dir: Path,
    *,
    only: str | None = None,
    class_names: Sequence[str] | Mapping[str, str] | None = None,
    changes: Mapping[str, Any] | None = None,
    report: Callable[[str], None],
) -> ImagePredictor:
    """Open the model of a run with what it recommends, or with texts alone; see ``predict`` for errors.

    No code that the run's folder names is run. ``changes`` are settings that replace the run's own.
    ``class_names`` has names by label, or by the run's names what the model reads for some of them.
    """
    prompts = ChosenPrompts(run_dir, result_of(run_dir), only)
    prompts.check_named("classes to predict")
    predictor = _opened(prompts, class_names, changes, report)
    predictor.labelled = _labelled_in(run_dir, prompts.config.data)
    return predictor


def _opened(
    prompts: ChosenPrompts,
    class_names: Sequence[str] | Mapping[str, str] | None,
    changes: Mapping[str, Any] | None,
    report: Report,
) -> ImagePredictor:
    run_dir, only = prompts.run_dir, prompts.only
    is_api = prompts.config.is_api
    if not is_api:
        prompts.check_clip("classes to predict")
    used = OF_MODEL | {"scorer_url"}  # other settings are not
    config = stored_config(run_dir, changes, safe=OPTIONS.keys() - used)
    is_saved = only is None and class_names is None and (run_dir / CLASSIFIER).exists()
    if is_saved and not is_api:
        return SavedPredictor(classifier_of_run(prompts, config, report), report)
    if class_names is not None and only is None and prompts.result.recommended.form == WITH_IMAGES:
        report(
            "note: `class_names` makes a classifier of texts alone: what the labelled images taught is unused"
        )
    if class_names is None:
        names: Sequence[str] = prompts.class_names
        texts: Sequence[str] = prompts.named(names)
    elif isinstance(class_names, Mapping):
        names = prompts.class_names
        if unknown := next((name for name in class_names if name not in names), None):
            raise UsageError(f"{run_dir} has no class {unknown!r}; name its classes, or one name a line")
        texts = [class_names.get(name, name) for name in names]
    else:
        names = texts = class_names
    if is_api:
        changed = {name: value for name, value in config if name in (changes or ())}
        config = config.model_copy(update={**dict.fromkeys(_OF_THE_RUN), **changed})
        classifier = None
        if is_saved:
            saved = prompts.saved_classifier()
            if (saved.about.scorer, saved.about.model) == (config.scorer, config.model):
                names, classifier = saved.class_names, saved
                config = _asked_as(saved.about, config, report)
            else:
                report(f"note: {CLASSIFIER} is for {saved.about.model}; {config.model} gets the texts alone")
        labels = _labels_of(run_dir, config)
        return ApiFolderPredictor(
            config, names, prompts.templates, labels, report, texts=texts, classifier=classifier
        )
    predictor = FolderPredictor(config, names, prompts.templates, report, texts=texts)
    if stored_manifest(run_dir).content.get("weights") not in (None, predictor.weights):
        named = f"{config.model} ({config.pretrained})"
        report(f"note: {named} has other weights than those that {run_dir} used")
    return predictor


def _labelled_in(run_dir: Path, data: str) -> Container[str]:
    """Return the real paths of a run's labelled images; empty if its data are no folder."""
    with StoreReader(run_dir) as stored:
        names = stored.value(LABELLED_NAMES, lambda row: list(map(str, row))) if Path(data).is_dir() else ()
    return frozenset(os.path.realpath(Path(data, name)) for name in names or ())


def api_predictor_of(classifier: Classifier, config: SearchConfig, report: Report) -> ApiFolderPredictor:
    """Return what classifies folders by a classifier from a file whose model is behind an API."""
    about = classifier.about
    return ApiFolderPredictor(
        _asked_as(about, config, report),
        about.classes,
        about.templates,
        shared_labels(config),
        report,
        texts=about.names_in_texts,
        classifier=classifier,
    )


def _asked_as(about: About, config: SearchConfig, report: Report) -> SearchConfig:
    """Return the settings by which images are sent as those that a classifier was made with.

    A form of requests that is set wins: the model may be served by another server now.
    """
    asked: dict[str, Any] = {"scorer_dialect": config.scorer_dialect or about.scorer_dialect or None}
    if about.scorer_dialect not in ("", asked["scorer_dialect"]):
        report(
            f"note: the classifier was made with requests in the form {about.scorer_dialect}; "
            f"`scorer_dialect` sets the form {asked['scorer_dialect']}"
        )
    if about.scorer_image_size is not None:
        asked["scorer_image_size"] = about.scorer_image_size
    return config.model_copy(update=asked)


def classifier_of_run(prompts: ChosenPrompts, config: SearchConfig, report: Report) -> Classifier:
    """Return the recommended classifier of a run, for the model that its config names."""
    classifier = prompts.saved_classifier(device=config.device, report=report)
    classifier.check_clip()
    about = classifier.about.model_copy(update={"model": config.model, "pretrained": str(config.pretrained)})
    return replace(classifier, about=about, file=None)


def _labels_of(run_dir: Path, config: SearchConfig) -> Path:
    """Return the file of labels for a run's predictions: the run's own, unless settings name a folder.

    Images that the search saw are not paid for again. A run that shares labels has none of its own.
    """
    is_named = config.shared_cache is not None or config.cache_dir is not None
    return (None if is_named else own_labels(run_dir)) or shared_labels(config)


def shared_labels(config: SearchConfig) -> Path:
    """Return the file of labels that are not a run's: in ``shared_cache``, else in the user's cache."""
    return labels_in(config.shared_cache or config.cache_dir or cache_dir())
