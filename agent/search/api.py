"""The library's functions: ``search``, ``resume``, ``evaluate``, ``datasets``, ``load_data``, ``report``.

Their errors name the fields of a config. The command line does not use them, as it names its options.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from ...evaluator.datasets.loading import Known, known
from ...evaluator.datasets.loading import load_data as load
from ...evaluator.datasets.values import FewShotData
from ...evaluator.errors import UsageError
from ...evaluator.files import user_path
from ...evaluator.spec import EvaluatorSpec
from ..config.schema import SearchConfig
from ..config.sources import python_words
from ..events.types import Bus, Listener
from ..results.page import rewrite_report
from ..results.result import SearchResult
from ..results.run_dir import stored_config
from .evaluation import Evaluation, Split, score_templates
from .run import SearchRun

Spec = TypeVar("Spec", bound=EvaluatorSpec)


async def search(
    config: SearchConfig,
    *,
    evaluator: object | None = None,
    chat: object | None = None,
    on_event: Listener | None = None,
) -> SearchResult:
    """Search for better templates.

    Args:
        config: What to search; with ``run_dir`` unset, a new folder under ``runs/`` is made.
        evaluator: An ``Evaluator``, or anything with ``score(templates)``; None to open
            the data set and the model that the config names.
        chat: A ``ChatClient``, or anything with ``chat(messages)``; None to open the endpoint that the config
            names.
        on_event: Called with each event, in the event loop; must not block.

    Returns:
        The result, as in the run's ``result.json``.

    Raises:
        UsageError: Something that was given, data and model included, cannot be used; nothing was paid.
        PromptclimbError: The run failed on its way; what it has is kept, and ``resume`` continues.
    """
    _check("search", "config", config, SearchConfig, "a SearchConfig")
    with python_words():
        run = SearchRun(config=_rechecked(config), evaluator=evaluator, chat=chat, emit=_bus(on_event))
        return await run.start()


async def resume(
    run_dir: Path | str,
    *,
    changes: Mapping[str, Any] | None = None,
    evaluator: object | None = None,
    chat: object | None = None,
    on_event: Listener | None = None,
) -> SearchResult:
    """Continue a run from where it ended; a finished one returns its result at once.

    Args:
        run_dir: The run's folder.
        changes: Settings by name that replace the run's own: those that do not decide the result, and more
            restarts, conversations or rounds, also of a finished run.
        evaluator: As for ``search``; the same one as before.
        chat: As for ``search``.
        on_event: As for ``search``.

    Raises:
        UsageError: The folder holds no run, is in use, or a change would decide the result.
        PromptclimbError: As for ``search``.
    """
    _check("resume", "run_dir", run_dir, (str, os.PathLike), "the path of a run's folder")
    _check("resume", "changes", changes, (Mapping, type(None)), "a mapping of settings by name, or None")
    for name in changes or ():
        _check("resume", "each name in changes", name, str, "a text")
    with python_words():
        folder = user_path(run_dir, "run_dir")
        config = stored_config(folder, changes, place="changes")
        run = SearchRun(config=config, evaluator=evaluator, chat=chat, emit=_bus(on_event))
        return await run.resume(folder)


def search_sync(config: SearchConfig, **given: Any) -> SearchResult:
    """``search`` for programs without an event loop; the same arguments.

    Raises:
        UsageError: An event loop is running; also as for ``search``.
    """
    _check_no_loop("search")
    return asyncio.run(search(config, **given))


def resume_sync(run_dir: Path | str, **given: Any) -> SearchResult:
    """``resume`` for programs without an event loop; the same arguments.

    Raises:
        UsageError: An event loop is running; also as for ``resume``.
    """
    _check_no_loop("resume")
    return asyncio.run(resume(run_dir, **given))


def evaluate(
    templates: Iterable[str],
    spec: EvaluatorSpec,
    *,
    split: Split = "test",
    inspect: bool = False,
    white_box: Sequence[str] = (),
    evaluator: object | None = None,
    report: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score templates one by one and as an ensemble; block for as long as that takes.

    Args:
        templates: Each with a slot ``{}``.
        spec: What to score on; a ``SearchConfig`` is one.
        split: Which images. The test split is opened for ``test`` alone.
        inspect: Add the accuracy by class of all templates together, and which classes are confused.
        white_box: References that see inside the model, fitted to the same shots; see ``docs/baselines.md``.
        evaluator: An ``Evaluator``, or anything with ``score(templates)``; None to open what ``spec`` names.
        report: Gets each fact worth knowing about data and model.

    Raises:
        UsageError: A text is not a template or cannot be scored by this model, the split is empty, data or
            model cannot be used, the evaluator does not report its classes, or a white-box one is missing.
        EvaluatorError: A custom scorer fails, or answers with something else than accuracies.
    """
    _check("evaluate", "spec", spec, EvaluatorSpec, "an EvaluatorSpec")
    if split not in get_args(Split):
        raise UsageError(f"evaluate: split={split!r} is not a split; there are {', '.join(get_args(Split))}")
    with python_words():
        return score_templates(
            templates,
            _rechecked(spec),
            split=split,
            inspect=inspect,
            white_box=white_box,
            evaluator=evaluator,
            report=report,
        )


def datasets() -> tuple[Known, ...]:
    """Return every data set that has a name, those without a download first."""
    return known()


def load_data(spec: EvaluatorSpec) -> FewShotData:
    """Read a data set and draw its few-shot sample, as a search does; needs no torch.

    Args:
        spec: Names the data, ``shots`` and ``seed``; a ``SearchConfig`` is one.

    Returns:
        Class names, training and validation images; the test images are counted, and read when asked for.

    Raises:
        UsageError: The data cannot be read or searched on.
    """
    _check("load_data", "spec", spec, EvaluatorSpec, "an EvaluatorSpec")
    with python_words():
        return load(_rechecked(spec))


def report(run_dir: Path | str) -> Path:
    """Write the report of a run anew from its files, also of a live one, and return its path.

    Raises:
        UsageError: The folder holds no run, its result cannot be read, or the page cannot be written.
    """
    _check("report", "run_dir", run_dir, (str, os.PathLike), "the path of a run's folder")
    with python_words():
        return rewrite_report(user_path(run_dir, "run_dir"))


def _rechecked(spec: Spec) -> Spec:
    """Check a config once more, since ``model_copy(update=...)`` makes one unchecked."""
    return type(spec)(**{name: getattr(spec, name) for name in spec.model_fields_set})


def _check_no_loop(function: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        f"{function}_sync cannot be called where an event loop is running, as in a notebook: "
        f"write `await {function}(...)` there"
    )


def _check(function: str, name: str, given: object, kinds: Any, wanted: str) -> None:
    """Check the type of an argument, which a notebook does not."""
    if not isinstance(given, kinds):
        raise UsageError(f"{function}: {name} must be {wanted}, not {type(given).__qualname__}")


def _bus(on_event: Listener | None) -> Bus:
    if any(map(inspect.iscoroutinefunction, (on_event, getattr(on_event, "__call__", None)))):  # noqa: B004
        raise UsageError("on_event is async, but is not awaited: make it a plain function")
    return Bus() if on_event is None else Bus(on_event)
