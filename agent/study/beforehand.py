"""What is looked at before a study begins: nothing is paid until all of it is known to be possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.errors import ConfigError, DataError, ModelError
from ...evaluator.open import check_openable
from ...evaluator.white_box.running import Planned, check_model, check_planned
from ..methods.registry import METHODS
from ..search.same_content import Contents
from ..search.suite import check_given, is_done
from .grid import StudyCell
from .study_file import MOST_RUNS, Study
from .white_box_runs import is_fitted

PlanOf = Callable[[StudyCell, int], Mapping[str, Any]]
"""Says what a run does at most, of so many calls at most; see ``agent.cli.plan.plan``."""


def check_size(study: Study) -> None:
    """Refuse a study of more runs than anybody means, before they are listed.

    Raises:
        ConfigError: There are too many.
    """
    rows = sum(max(len(study.llms), 1) if method.asks else 1 for method in study.methods)
    runs = rows
    for axis in (study.data, study.shots, study.seeds, study.models):
        runs *= len(axis)
    if runs > MOST_RUNS:
        raise ConfigError(f"this study is of {runs:,} runs, and {MOST_RUNS:,} are the most")


def check_budget(study: Study, cells: Sequence[StudyCell], plan_of: PlanOf) -> None:
    """Make sure that the budget is enough for one run of each method on each data set: the first seed.

    Of calls it is known how many they take at most. Of tokens and money one request of each is the least.

    Args:
        study: The file.
        cells: Every run.
        plan_of: Says what a run takes at most.

    Raises:
        ConfigError: It is not enough.
    """
    searches = [one.config for one in cells if one.white_box is None]
    if searches and searches[0].max_minutes is not None and searches[0].max_minutes <= 0:
        raise ConfigError("max_minutes is 0, so no search would begin")
    first = [one for one in cells if one.seed == study.seeds[0] and one.config.needs_llm]
    if not first:
        return
    limits = first[0].config
    runs = counted(len(first), "run")
    if limits.max_calls is not None and (needed := sum(map(_calls, first))) > limits.max_calls:
        raise ConfigError(
            f"max_calls is {limits.max_calls:,}, and one run each ({runs} of seed {study.seeds[0]}) takes "
            f"{needed:,}; raise it, or search less"
        )
    if limits.max_tokens is None and limits.max_cost is None:
        return
    one_request = [plan_of(one, 1) for one in first]
    for name, key, unit in (("max_tokens", "tokens", ""), ("max_cost", "cost_usd", "$")):
        limit, needed_each = getattr(limits, name), [plan[key] for plan in one_request]
        if limit is not None and None not in needed_each and sum(needed_each) > limit:
            raise ConfigError(
                f"{name} is {unit}{limit:,}, and one request of each run ({runs} of seed {study.seeds[0]}) "
                f"may take {unit}{sum(needed_each):,.6g}; raise it"
            )


def _calls(one: StudyCell) -> int:
    """Return how many calls a whole run is known to take: one, where it may end early or go without."""
    config, known = one.config, METHODS[one.config.method]
    early = config.patience is not None or config.until is not None
    if early or known.mixed:
        return 1
    return config.all_rounds * known.requests


def check_cells(
    cells: Sequence[StudyCell], file: Path, report: Callable[[str], None] = lambda _line: None
) -> list[StudyCell]:
    """Make sure that no run will be refused: folders, settings, files, data sets, shots, names and models.

    What is finished is let be. Nothing is made or paid; every model is loaded once.

    Args:
        cells: Every run.
        file: The suite file, for messages.
        report: Told of downloads.

    Returns:
        Those that are not finished.

    Raises:
        UsageError: One would be refused.
    """
    for one in cells:
        if one.white_box is not None and one.config.evaluator is not None:
            raise ConfigError(
                f"{file}: {one.white_box} looks into a CLIP, and an evaluator of your own is none"
            )
    contents = Contents()
    waiting = [
        one
        for one in cells
        if not (is_done(one.cell, contents) if one.white_box is None else is_fitted(one, contents))
    ]
    check_given([one.config for one in waiting])
    found = _checked_data(waiting, file)
    planned = [(one, _planned(one, found[_data_key(one)])) for one in waiting if _data_key(one) in found]
    _check_fits(planned, file)
    _check_models(planned, file, report)
    return waiting


def _checked_data(waiting: Sequence[StudyCell], file: Path) -> dict[str, tuple[str, tuple[str, ...], int]]:
    """Return name, classes and number of validation images of the data of every run; each is read once."""
    seen: set[object] = set()
    found: dict[str, tuple[str, tuple[str, ...], int]] = {}
    for one in waiting:
        # The methods of a study share its data sets, and its models share them too.
        keys = {_data_key(one), ("model", one.config.model, one.config.pretrained, one.config.device)}
        if keys <= seen:
            continue
        seen |= keys
        try:
            for data in check_openable([one.config]):
                found[_data_key(one)] = data.name, data.classes, len(data.val)
        except DataError as error:
            raise DataError(f"{file}: data {one.data}, {counted(one.shots, 'shot')}: {error}") from error
    return found


def _planned(one: StudyCell, data: tuple[str, tuple[str, ...], int]) -> Planned | None:
    """Return the reference that a run fits; None for a search."""
    if one.white_box is None:
        return None
    name, classes, val = data
    return Planned(name=one.white_box, options=one.options, dataset=name, classes=classes, val=val)


def _check_fits(planned: Sequence[tuple[StudyCell, Planned | None]], file: Path) -> None:
    for _, fit in planned:
        if fit is not None:
            try:
                check_planned(fit)
            except DataError as error:
                raise DataError(f"{file}: {error}") from error


def _check_models(
    planned: Sequence[tuple[StudyCell, Planned | None]], file: Path, report: Callable[[str], None]
) -> None:
    """Load every model once: a checkpoint that cannot be read is told before anything is paid."""
    fits: dict[tuple[str, str], list[Planned]] = {}
    first: dict[tuple[str, str], StudyCell] = {}
    for one, fit in planned:
        model = (one.config.model, one.config.pretrained)
        first.setdefault(model, one)
        fits.setdefault(model, []).extend([] if fit is None else [fit])
    for model, one in first.items():
        try:
            check_model(one.config, fits[model], report=report)
        except ModelError as error:
            raise ModelError(f"{file}: model {one.model}: {error}") from error


def _data_key(one: StudyCell) -> str:
    return one.config.bare().model_dump_json(exclude={"model", "pretrained", "device"})
