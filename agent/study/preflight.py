"""Checks before a study begins: nothing is paid until every run is known to be possible."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError, DataError, ModelError
from ...evaluator.open import check_openable
from ...evaluator.white_box.references import check_reference
from ...evaluator.white_box.running import Planned, check_model, check_val
from ..config.schema import SearchConfig
from ..events.trackers.known import check_trackers
from ..llm.endpoints import check_endpoints
from ..methods.registry import METHODS
from ..prices import TokenUsage
from ..search.inputs import read_pool, read_wordings
from .content_check import CurrentContent
from .estimate import cost_of, prices_of
from .grid import Cell
from .outcomes import is_fitted
from .runs import SharedLimits, endpoint_of, is_done
from .study import Study, shots_label

MOST_RUNS = 100_000


def check_size(study: Study) -> None:
    """Refuse a study with more than ``MOST_RUNS`` runs, before they are listed."""
    runs = sum(max(len(study.llms), 1) if method.asks else 1 for method in study.methods)
    for axis in (study.data, study.shots, study.seeds, study.models):
        runs *= len(axis)
    if runs > MOST_RUNS:
        raise ConfigError(f"the study has {runs:,} runs; at most {MOST_RUNS:,} are allowed")


def check_budget(study: Study, cells: Sequence[Cell]) -> None:
    """Refuse a budget that is too small for the first seed: one run of each method on each data set.

    Requests are counted for whole runs where known, tokens and money for one answer a run.
    """
    searches = [one.config for one in cells if one.white_box is None]
    if searches and searches[0].max_minutes is not None and searches[0].max_minutes <= 0:
        raise ConfigError("max_minutes is 0, so no search would begin")
    first = [one.config for one in cells if one.seed == study.seeds[0] and one.config.needs_llm]
    if not first:
        return
    limits = first[0]
    runs = f"{counted(len(first), 'run')} of seed {study.seeds[0]}"
    if limits.max_calls is not None and (needed := sum(map(_requests, first))) > limits.max_calls:
        raise ConfigError(
            f"max_calls is {limits.max_calls:,}, but one run each ({runs}) takes {needed:,}; "
            "raise it, or search less"
        )
    answers = [TokenUsage(completion_tokens=one.answer_tokens) for one in first]
    for name, unit, needed_each in (
        ("max_tokens", "", [float(one.total) for one in answers]),
        (
            "max_cost",
            "$",
            [cost_of(prices_of(one), answer) for one, answer in zip(first, answers, strict=True)],
        ),
    ):
        limit, known = getattr(limits, name), sum(one for one in needed_each if one is not None)
        if limit is not None and known > limit:
            raise ConfigError(
                f"{name} is {unit}{limit:,}, but the answers to one request of each run ({runs}) may take "
                f"{unit}{known:,.6g}; raise it"
            )


def _requests(config: SearchConfig) -> int:
    """Return the requests that a whole run needs: one, where it may end early or use other rounds."""
    known = METHODS[config.method]
    if config.patience is not None or config.until is not None or known.mixed:
        return 1
    return config.all_rounds * known.requests


def check_cells(
    cells: Sequence[Cell], file: Path | None = None, report: Callable[[str], None] = lambda _line: None
) -> list[Cell]:
    """Raise UsageError if a run would be refused; return the unfinished runs.

    Checks folders, settings, files, data sets, shots, names and models. Loads each model once, writes and
    pays nothing.
    """
    place = "" if file is None else f"{file}: "
    for one in cells:
        if one.config.is_api:
            raise ConfigError(
                f"{place}a study cannot share its limits with a model behind an API (--scorer "
                f"{one.config.scorer}); run `search` for each of its runs"
            )
        if one.white_box is not None and not one.config.is_clip:
            raise ConfigError(f"{place}{one.white_box} needs a CLIP, not {one.config.scorer_name}")
    current = CurrentContent()
    waiting = [one for one in cells if not (is_fitted if one.white_box else is_done)(one, current)]
    _check_files([one.config for one in waiting])
    planned = _checked_data(waiting, place)
    _check_models(planned, place, report)
    return waiting


def _check_files(configs: Sequence[SearchConfig]) -> None:
    for track in {config.track: None for config in configs}:
        check_trackers(track)
    for config in {(config.initial, config.starting_pool): config for config in configs}.values():
        read_pool(config)
    for config in {config.wordings: config for config in configs}.values():
        read_wordings(config)


def _checked_data(waiting: Sequence[Cell], place: str) -> list[tuple[Cell, list[Planned]]]:
    """Read each data set once; return each CLIP run with the references to fit."""
    seen: set[object] = set()
    found: dict[str, tuple[str, tuple[str, ...], int]] = {}
    planned = []
    for one in waiting:
        data_key = one.config.bare().model_dump_json(exclude={"model", "pretrained", "device"})
        keys = {data_key, (one.config.model, one.config.pretrained, one.config.device)}
        try:
            if not keys <= seen:
                for data in check_openable([one.config]):
                    found[data_key] = data.name, data.classes, len(data.val)
            seen |= keys
        except DataError as error:
            raise DataError(f"{place}data {one.data}, {shots_label(one.shots)}: {error}") from error
        if data_key not in found or not one.config.is_clip:
            continue
        if one.white_box is None:
            planned.append((one, list[Planned]()))
            continue
        name, classes, val = found[data_key]
        fit = Planned(one.white_box, check_reference(one.white_box, one.options), classes)
        try:
            check_val({fit.name: fit.options}, name, val)
        except DataError as error:
            raise DataError(f"{place}{error}") from error
        planned.append((one, [fit]))
    return planned


def _check_models(
    planned: Sequence[tuple[Cell, list[Planned]]], place: str, report: Callable[[str], None]
) -> None:
    by_model: dict[tuple[str, str], tuple[Cell, list[Planned]]] = {}
    for one, fits in planned:
        by_model.setdefault((one.config.model, str(one.config.pretrained)), (one, []))[1].extend(fits)
    for one, fits in by_model.values():
        try:
            check_model(one.config, fits, report=report)
        except ModelError as error:
            raise ModelError(f"{place}model {one.model}: {error}") from error


def check_llms(configs: Sequence[SearchConfig], shared: SharedLimits) -> None:
    """Check, without a request, that unfinished searches can ask their LLMs, as far as limits allow."""
    asking = [config for config in configs if config.needs_llm and not shared.reached(config)]
    for config in {endpoint_of(config): config for config in asking}.values():
        check_endpoints(config, os.environ)
