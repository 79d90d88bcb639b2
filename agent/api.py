"""The library's functions: ``search``, ``resume``, ``evaluate``, ``predict``, ``load_data`` and others."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, get_args

from anyio.from_thread import BlockingPortal, start_blocking_portal
from rich.console import Console

from ..evaluator.classifier import Classifier
from ..evaluator.datasets.class_names import checked_names
from ..evaluator.datasets.loading import Known, check_data_name, known
from ..evaluator.datasets.loading import load_data as read_data
from ..evaluator.datasets.values import FewShotData
from ..evaluator.errors import UsageError
from ..evaluator.files import user_path
from ..evaluator.messages import shown
from ..evaluator.open import open_evaluator
from ..evaluator.prediction import (
    FolderPredictor,
    ImagePredictor,
    PredictedImage,
    SavedPredictor,
    check_images,
)
from ..evaluator.scoring import (
    Split,
)
from ..evaluator.spec import EvaluatorSpec, OpeningProgress, Report
from ..evaluator.white_box.references import check_reference
from ..evaluator.white_box.running import run_all
from ..prompts.kinds import TEMPLATE, CandidateError, PromptKind, kind_named
from .config.schema import OPTIONS, SearchConfig
from .events.types import Bus, Listener
from .llm.scorer import scorer_in_thread, seldom
from .present.page import rewrite_report, write_report
from .present.terminal import Display, encoded_text
from .results.exports import ChosenPrompts
from .results.history import view_of
from .results.result import ApiUsage, SearchResult
from .results.run_dir import CLASSIFIER, result_of, stored_config
from .search.bound import check_new_search
from .search.inputs import check_custom_takes, check_scorer_takes
from .search.measuring import Evaluation, check_recommends, measure
from .search.opening import RunRequest
from .search.predicting import api_predictor_of, classifier_of_run, predictor_of_run, shared_labels
from .search.run import resume_run, start_run
from .store.trust import OF_EVALUATOR, OF_LLM, OF_MODEL, check_model_trusted

if TYPE_CHECKING:
    from ..evaluator.remote.evaluator import RemoteEvaluator

P = ParamSpec("P")
T = TypeVar("T")


def evaluate(
    templates: Iterable[str] | None = None,
    spec: EvaluatorSpec | None = None,
    *,
    split: Split = "test",
    inspect: bool = False,
    white_box: Mapping[str, Mapping[str, Any]] | Sequence[str] = (),
    custom_scorer: object | None = None,
    search_for: str | None = None,
    recommends: bool = False,
    report: Report | None = None,
) -> Evaluation:
    """Measure what people use today, or score templates one by one and averaged. Blocks until done.

    Args:
        templates: Each with a slot ``{}``; instructions with ``{classes}``, which are not averaged. None for
            what people use today: the bare class name, the default template and published lists, without
            and with the labelled images. The labelled images recommend one of them.
        spec: What to score on; a ``SearchConfig`` is one; None for the defaults. With a model behind an API,
            answers are kept in its ``shared_cache``, else in the user's cache, and never requested twice.
        split: The images to score templates on. Only ``test`` reads the test split.
        inspect: Add the accuracy by class and which classes are confused: by all templates together, or
            without templates by what is recommended.
        white_box: References that see inside the model, fitted to the same shots: names, or names with their
            options; see ``docs/baselines.md``. Without templates, they learn from every labelled image.
        custom_scorer: An ``Evaluator``, or anything with ``score(templates)``; None to open what ``spec``
            names.
        search_for: ``template`` or ``instruction``; None for what ``spec`` says or its scorer takes.
        recommends: Refuse, before anything is measured, if no classifier would be recommended.
        report: Called with lines about data and model.

    Raises:
        UsageError: A text is not a template or cannot be scored by this model, the split is empty, data or
            model cannot be used, the scorer does not report its classes, a white-box one is missing, or no
            classifier would be recommended.
        EvaluatorError: A custom scorer fails, or returns something other than accuracies.
    """
    spec = EvaluatorSpec() if spec is None else spec
    _check_type("evaluate", "spec", spec, EvaluatorSpec, "an EvaluatorSpec")
    if split not in get_args(Split):
        raise UsageError(f"evaluate: split={split!r} is not a split; there are {', '.join(get_args(Split))}")
    if templates is None and split != "test":  # otherwise nothing would be held out
        raise UsageError(f"evaluate: split={split!r} is for templates; give some")
    config = SearchConfig.of(spec, **({} if search_for is None else {"search_for": search_for}))
    if custom_scorer is None:
        check_data_name(config)
        check_scorer_takes(config)
    else:
        check_custom_takes(config)
    kind = config.kind
    texts = [] if templates is None else _texts(templates, kind)
    if inspect and len(texts) > 1 and (config.scorer == "zero-shot" or not kind.averaged):
        raise UsageError(f"classes can be inspected for one {kind.words.noun} at a time; give one")
    references = _references(white_box, config, custom_scorer, all_labels=not texts)
    asks, say = custom_scorer is None and config.is_api, report or (lambda _line: None)
    labels = shared_labels(config) if asks else None
    opened = (
        _without_asking()
        if labels is None
        else scorer_in_thread(config, os.environ, labels=labels, report=report)
    )
    with ExitStack() as stack, opened as (ask, portal):
        # Augmented copies are for what learns from the labelled images.
        spec = config.without_choice() if texts and split != "test" else config
        scorer = open_evaluator(
            spec,
            custom_scorer,
            report=report,
            progress=_encoding(say),
            needs_train=False,
            lazily=True,
            ask=ask,
            labels=labels,
        )
        remote = cast("RemoteEvaluator", scorer) if asks else None
        if remote is not None:
            stack.callback(remote.close)
        if recommends or (inspect and not texts):
            check_recommends(scorer, texts, split)
        if remote is not None:
            portal.call(remote.prepare)
        # Its time counts anew, so that a slow opening brings no line on a learning that takes a second.
        progress = seldom(say)
        measured = portal.call(
            partial(measure, scorer, texts, kind, split, inspect=inspect, report=say, progress=progress)
        )
    if references:
        measured = measured.with_white_box(run_all(references, config, split=split, report=say))
    if ask is None:
        return measured
    usage = ApiUsage.of(ask.budget.spent, priced=config.scorer_price is not None)
    return replace(measured, scorer_usage=usage, labels=labels)


def _encoding(say: Report) -> OpeningProgress:
    """Return a listener that says at times how many images are encoded, and then that all are."""
    at_times, is_begun = seldom(say), False

    def encoded(done: int, of: int, with_copies: bool) -> None:
        nonlocal is_begun
        line = encoded_text(done, of, with_copies=with_copies)
        if done < of:
            is_begun = at_times(line) or is_begun
        elif is_begun:
            is_begun = False
            say(line)

    return encoded


def _texts(templates: Iterable[str], kind: PromptKind) -> list[str]:
    if isinstance(templates, str) or not isinstance(templates, Iterable):
        raise UsageError(f"templates is {templates!r}; give a list of texts, each with a slot {kind.slot}")
    if texts := [_checked(text, kind) for text in templates]:
        return texts
    raise UsageError(f"there is no {kind.words.noun} to score")


def _references(
    white_box: Mapping[str, Mapping[str, Any]] | Sequence[str],
    config: SearchConfig,
    custom_scorer: object | None,
    *,
    all_labels: bool,
) -> dict[str, Mapping[str, Any]]:
    """Return the options of references by name; with ``all_labels``, for all labels where possible."""
    references: dict[str, Mapping[str, Any]] = dict(
        white_box if isinstance(white_box, Mapping) else {name: {} for name in white_box}
    )
    for name, options in references.items():
        if not check_reference(name, options).chooses_on_val and all_labels:
            references[name] = {"all_labels": True, **options}
    if references and (custom_scorer is not None or not config.is_clip):
        raise UsageError(
            f"white-box references look into a CLIP; {config.scorer_name or 'a custom scorer'} is not one"
        )
    return references


@contextmanager
def _without_asking() -> Iterator[tuple[None, BlockingPortal]]:
    """Yield an event loop in a thread, for an evaluator that needs no endpoint."""
    with start_blocking_portal() as portal:
        yield None, portal


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
    if custom_scorer is not None:
        check_custom_takes(config)
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
    config = stored_config(folder, changes, source="changes", safe=safe, trust=trust)
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
    only: str | None = None,
    templates: Iterable[str] | None = None,
    class_names: Iterable[str] | None = None,
    spec: EvaluatorSpec | None = None,
    top: int = 1,
    report: Report | None = None,
) -> Iterator[PredictedImage]:
    """Classify the images in a folder and below it, one by one; an image that cannot be read has an error.

    Args:
        folder: A folder of images without labels, or one image.
        run_dir: A finished run, whose model and recommended classifier are used; or a classifier's file.
        only: ``best`` or ``texts``, the run's best template or texts; None for what it recommends.
        templates: Without a run: templates, each with a slot ``{}``.
        class_names: By label; with a run, they replace its own.
        spec: Without a run: names the model; its data are not read. With the file of a classifier for a model
            behind an API: says where that is.
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
    if isinstance(top, bool) or not isinstance(top, Integral) or top < 1:
        raise UsageError(f"predict: top must be a whole number above 0, not {shown(top)}")
    if class_names is not None:
        class_names = _class_names(class_names)
    if run_dir is not None:
        run = user_path(run_dir, "`run_dir`")
        predictor: ImagePredictor
        if not run.is_file():
            predictor = predictor_of_run(run, only=only, class_names=class_names, report=say)
        elif only is not None or class_names is not None:
            raise UsageError(f"predict: {run} is one classifier: leave out only and class_names")
        elif (about := (classifier := Classifier.load(run)).about).scorer == "embeddings":
            config = SearchConfig.of(spec or EvaluatorSpec(), scorer=about.scorer, model=about.model)
            predictor = api_predictor_of(classifier, config, say)
        else:
            predictor = SavedPredictor(load(run, report=say), say)
    else:
        _check_type("predict", "spec", spec, EvaluatorSpec, "an EvaluatorSpec")
        texts = [_checked(text, kind_named(TEMPLATE)) for text in templates or ()]
        config = SearchConfig.of(spec or EvaluatorSpec())
        predictor = FolderPredictor(config, class_names or (), texts, say)
    return predictor.predict(images, top=int(top))


def _class_names(class_names: Iterable[str]) -> tuple[str, ...]:
    # A set has no order, and names stand for labels by theirs.
    is_list = isinstance(class_names, Iterable) and not isinstance(class_names, str | Mapping | Set)
    names = tuple(class_names) if is_list else ()
    if not is_list or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"predict: class_names must be a list of texts, one a class, not {shown(class_names)}"
        )
    return checked_names(names, "class_names", entry="name")


def load(
    path: Path | str,
    *,
    device: str = "auto",
    trust: bool = False,
    report: Report | None = None,
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
    target, say = user_path(path, "path"), report or (lambda _line: None)
    if not target.is_dir():
        classifier = Classifier.load(target, device=device, report=say)
        classifier.check_clip()
        check_model_trusted(target, classifier.about.model, classifier.about.pretrained, trust=trust)
        return classifier
    prompts = ChosenPrompts(target, result_of(target))  # says what is wrong if there is none
    if not (target / CLASSIFIER).exists():
        raise UsageError(
            f"{target} holds no {CLASSIFIER}: its scorer gives no features; use predict(..., run_dir=...)"
        )
    safe = OPTIONS.keys() if trust else OPTIONS.keys() - OF_MODEL
    config = stored_config(target, {"device": device}, safe=safe)
    return classifier_of_run(prompts, config, say)


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
    return rewrite_report(view_of(user_path(run_dir, "`run_dir`")))


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
