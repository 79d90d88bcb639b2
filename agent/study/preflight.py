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
from ..llm.endpoints import check_endpoint
from ..methods.registry import METHODS
from ..prices import TokenUsage
from ..search.bound import cost_of
from ..search.inputs import read_pool
from .grid import Cell
from .outcomes import read_fit
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
    searches = [cell.config for cell in cells if cell.white_box is None]
    if searches and searches[0].max_minutes == 0:
        raise ConfigError("max_minutes is 0, so no search would begin")
    seed = study.seeds[0]
    first = [cell.config for cell in cells if cell.seed == seed and cell.config.needs_llm]
    if not first:
        return
    limits = first[0]
    runs = f"{counted(len(first), 'run')} of seed {seed}"
    if limits.max_calls is not None and (needed := sum(map(_requests, first))) > limits.max_calls:
        raise ConfigError(
            f"max_calls is {limits.max_calls:,}, but one run each ({runs}) takes {needed:,}; "
            "raise it, or search less"
        )
    answers = [TokenUsage(completion_tokens=config.answer_tokens) for config in first]
    costs = [cost_of(config, answer) for config, answer in zip(first, answers, strict=True)]
    needs = {
        "max_tokens": ("", float(sum(answer.total for answer in answers))),
        "max_cost": ("$", sum(cost for cost in costs if cost is not None)),
    }
    for name, (unit, amount) in needs.items():
        limit = getattr(limits, name)
        if limit is not None and amount > limit:
            raise ConfigError(
                f"{name} is {unit}{limit:,}, but the answers to one request of each run ({runs}) may take "
                f"{unit}{amount:,.6g}; raise it"
            )


def _requests(config: SearchConfig) -> int:
    """Return the requests that a whole run needs: one, where some of its rounds may make none."""
    method = METHODS[config.method]
    if method.mixed:
        return 1
    return config.all_rounds * method.requests


def check_cells(
    cells: Sequence[Cell], file: Path | None = None, report: Callable[[str], None] = lambda _line: None
) -> list[Cell]:
    """Raise UsageError if a run would be refused; return the unfinished runs.

    Checks folders, settings, files, data sets, shots, names and models. Loads each model once, writes and
    pays nothing.
    """
    source = "" if file is None else f"{file}: "
    for cell in cells:
        if cell.white_box is not None and not cell.config.is_clip:
            raise ConfigError(f"{source}{cell.white_box} needs a CLIP, not {cell.config.scorer_name}")
    waiting = [cell for cell in cells if not (read_fit(cell) if cell.white_box else is_done(cell))]
    configs = [cell.config for cell in waiting]
    for track in {config.track: None for config in configs}:
        check_trackers(track)
    for config in {(config.initial, config.pool_name): config for config in configs}.values():
        read_pool(config)
    _check_models(_checked_data(waiting, source), source, report)
    return waiting


def _checked_data(waiting: Sequence[Cell], source: str) -> list[tuple[Cell, list[Planned]]]:
    """Read each data set once; return each CLIP run with the references to fit."""
    checked: set[object] = set()
    data_by_key: dict[str, tuple[str, tuple[str, ...], int]] = {}
    planned = []
    for cell in waiting:
        config = cell.config
        data_key = config.bare().model_dump_json(exclude={"model", "pretrained", "device"})
        keys = {data_key, (config.model, config.pretrained, config.device)}
        try:
            if not keys <= checked:
                for data in check_openable([config]):
                    data_by_key[data_key] = data.name, data.classes, len(data.val)
            checked |= keys
        except DataError as error:
            raise DataError(f"{source}data {cell.data}, {shots_label(cell.shots)}: {error}") from error
        if data_key not in data_by_key or not config.is_clip:
            continue
        fits = list[Planned]()
        if cell.white_box is not None:
            name, classes, val = data_by_key[data_key]
            fit = Planned(cell.white_box, check_reference(cell.white_box, cell.options), classes)
            try:
                check_val({fit.name: fit.options}, name, val)
            except DataError as error:
                raise DataError(f"{source}{error}") from error
            fits.append(fit)
        planned.append((cell, fits))
    return planned


def _check_models(
    planned: Sequence[tuple[Cell, list[Planned]]], source: str, report: Callable[[str], None]
) -> None:
    by_model: dict[tuple[str, str], tuple[Cell, list[Planned]]] = {}
    for cell, fits in planned:
        key = (cell.config.model, str(cell.config.pretrained))
        by_model.setdefault(key, (cell, []))[1].extend(fits)
    for cell, fits in by_model.values():
        try:
            check_model(cell.config, fits, report=report)
        except ModelError as error:
            raise ModelError(f"{source}model {cell.model}: {error}") from error


def check_llms(configs: Sequence[SearchConfig], shared: SharedLimits) -> None:
    """Check, without a request, that unfinished searches can ask their LLMs, as far as limits allow."""
    asking = [config for config in configs if config.needs_llm and not shared.reached(config)]
    for config in {endpoint_of(config): config for config in asking}.values():
        check_endpoint(config, os.environ)
