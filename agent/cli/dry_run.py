"""``--dry-run`` of ``search`` and ``suite``: open data and model, and print upper bounds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from ...evaluator.counts import counted
from ...evaluator.datasets.loading import check_data_name
from ...evaluator.errors import AskingEndedError, UsageError
from ...evaluator.open import describe_data, missing_files
from ...evaluator.remote.asking import ApiAnswer, ApiRequest
from ...evaluator.remote.dialects import DIALECTS, costliest_dialect, dialect_of
from ...evaluator.remote.evaluator import RemoteEvaluator
from ...evaluator.scoring import ALL, Evaluator, EvaluatorInfo
from ..config.schema import SearchConfig
from ..events.trackers.known import check_trackers
from ..events.types import Bus, Noted
from ..limits import ALL_LIMIT_SETTINGS
from ..llm.budget import Limits, estimated, to_keep, why_refused
from ..llm.endpoints import check_endpoint
from ..present.dry_run import bound_text, missing_text, names_text, plan_text, split_text
from ..present.terminal import Display
from ..prices import Spent
from ..results.result import words_of, words_of_all
from ..search.bound import (
    Bound,
    ScorerBound,
    bound_of,
    check_one_request,
    first_score,
    scorer_bound,
)
from ..search.inputs import ready_evaluator
from ..stop import Stop
from ..study.grid import Cell
from ..study.preflight import check_cells, check_llms
from ..study.runs import SharedLimits
from ..study.study import white_box_label
from ..text import printable
from .interrupts import run_interruptible
from .output import FINISHED, WRONG, aligned, console, print_json, print_text, result_alone, say, say_refused

OR_MORE_REQUESTS = "if the endpoint takes fewer, or refuses some, there are more requests"
DIALECT_UNKNOWN = "upper bound for the costliest request form, {}; scorer_dialect fixes one"
_GROUP = ("method", "llm", "model", "shots")
_Group: TypeAlias = tuple[list[Cell], Bound]
"""The runs that differ in data set and seed alone, and their bound."""


def dry_run_search(config: SearchConfig, *, as_json: bool) -> int:
    """Open data and model, and print the upper bounds of a search.

    What is not on this machine is named and not downloaded. An LLM or tracker that cannot be used is reported
    at the end, and refuses nothing.
    """
    check_data_name(config)
    bound_of(config)  # finds mistakes in the starting templates before opening anything
    evaluator, info, missing = None, None, missing_files(config)
    if not missing:
        with result_alone():
            evaluator = _opened(config)
        info = evaluator.info
    elif config.data not in missing:
        info = describe_data(config, say)
    config = config if info is None else config.as_opened(info)
    if config.description_tip:
        say(config.description_tip)
    unlimited = config.model_copy(update=dict.fromkeys(ALL_LIMIT_SETTINGS))
    bound = bound_of(unlimited, None if info is None else info.class_names)
    scorer, refused, example = None, None, ""
    if isinstance(evaluator, RemoteEvaluator) and evaluator.info.sizes.get("test"):
        scorer = scorer_bound(unlimited, evaluator)
        first = estimated(first_score(evaluator), config.scorer_price)
        refused = why_refused(Limits.of_scorer(config), to_keep(scorer.final), first)
    if as_json:
        of_scorer = {} if scorer is None else {"scorer": _scorer_json(config, scorer, refused)}
        print_json(asdict(bound) | of_scorer | {"downloads": missing})
    else:
        noun = words_of(config.search_for).noun
        names, example = ("", "") if info is None else names_text(config, info.class_names)
        data = "" if info is None else f"{split_text(info)}\n\n"
        figures = bound_text(config, bound, noun, scorer, heading="at most, without limits:")
        print_text(f"{data}{plan_text(config)}\n{names}{figures}{missing_text(missing)}")
    try:
        if refused is not None:
            raise UsageError(refused)
        check_one_request(config)
    except UsageError as error:
        say_refused(error)
        return WRONG
    _say_missing(lambda: check_trackers(config.track))
    _say_missing(lambda: check_endpoint(config, os.environ))
    print_text(example)
    return FINISHED


def _scorer_json(config: SearchConfig, bound: ScorerBound, refused: str | None) -> dict[str, Any]:
    def json_of(spent: Spent) -> dict[str, Any]:
        cost = None if config.scorer_price is None else round(spent.estimated_usd, 6)
        return {"calls": spent.calls, "tokens": spent.estimated_tokens, "cost_usd": cost}

    return {**json_of(bound.total), "final": json_of(bound.final), "refused": refused}


def _say_missing(check: Callable[[], None], what: str = "search") -> None:
    """Report what is missing here, such as a key: the bounds hold without it."""
    try:
        check()
    except UsageError as error:
        say_refused(error, what)


def dry_run_study(cells: Sequence[Cell], folder: Path, file: Path | None, *, as_json: bool) -> int:
    """Open what a study would open, and print its bounds by group and within its limits.

    What is not on this machine is named and not downloaded: without the data, bounds assume long class names.
    """
    config_by_opened = _largest_samples([cell.config for cell in cells])
    missing = {key: missing_files(config) for key, config in config_by_opened.items()}
    described = {
        key: describe_data(config, say)
        for key, config in config_by_opened.items()
        if missing[key] and config.data not in missing[key]
    }
    ready = [cell for cell in cells if not missing[_what_is_opened(cell.config)]]
    waiting = check_cells(ready, file, say)
    with result_alone():
        here = {key: config for key, config in config_by_opened.items() if not missing[key]}
        infos = described | _open_all(here)
    total, groups = _bounds(cells, infos)
    lacking = list(dict.fromkeys(name for names in missing.values() for name in names))
    if as_json:
        whole = {} if total is None else {"searches": len(_searches(cells)), **asdict(total)}
        rows = []
        for group, bound in groups:
            names = {name: getattr(group[0], name) for name in _GROUP}
            counts = {"runs": len(group), "white_box": group[0].white_box is not None}
            rows.append(names | counts | asdict(bound))
        print_json({**whole, "runs": len(cells), "downloads": lacking, "groups": rows})
    else:
        splits = "".join(f"{split_text(info)}\n" for info in infos.values())
        print_text(f"{splits}\n{_study_text(cells, total, groups)}{missing_text(lacking)}")
    later = [cell for cell in cells if missing[_what_is_opened(cell.config)]]
    unfinished = [cell.config for cell in (*waiting, *later)]
    _say_missing(lambda: check_llms(unfinished, SharedLimits(folder)), "suite")
    return FINISHED


class NothingAsked:
    """An ``ApiAsk`` of a dry run."""

    concurrency = 1

    def place(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def __call__(self, request: ApiRequest) -> ApiAnswer:
        raise AskingEndedError("a dry run asks the scorer nothing")


def _opened(config: SearchConfig) -> Evaluator:
    async def run(stop: Stop) -> Evaluator:
        with Display(console()) as display, stop.watching():
            emit = Bus(display)
            dialect = config.scorer_dialect or dialect_of(config.scorer_url or "")
            if config.scorer == "embeddings":
                form = DIALECTS[dialect] if isinstance(dialect, str) else dialect or costliest_dialect()
                if dialect is None:
                    emit(Noted(text=DIALECT_UNKNOWN.format(form.name)))
                images, texts = counted(form.most_images, "image"), counted(form.most_texts, "text")
                most = f"a request holds at most {images} or {texts}"
                emit(Noted(text=f"{most}; {OR_MORE_REQUESTS}"))
            return await ready_evaluator(config, None, emit, ask=NothingAsked(), encode=False)

    return run_interruptible(run)


def _largest_samples(configs: Sequence[SearchConfig]) -> dict[str, SearchConfig]:
    """Return the config of the largest sample for each data set with each model, by ``_what_is_opened``."""
    largest: dict[str, SearchConfig] = {}
    for config in configs:
        known = largest.setdefault(_what_is_opened(config), config)
        if known.shots != ALL and (config.shots == ALL or (config.shots or 0) > (known.shots or 0)):
            largest[_what_is_opened(config)] = config
    return largest


def _open_all(configs: Mapping[str, SearchConfig]) -> dict[str, EvaluatorInfo]:
    infos = {}
    for number, (key, config) in enumerate(configs.items(), start=1):
        pair = printable(f"{config.data} with {config.custom_scorer or config.model}")
        say(f"[{number}/{len(configs)}] opening {pair}")
        infos[key] = _opened(config).info
    return infos


def _what_is_opened(config: SearchConfig) -> str:
    return config.bare().model_dump_json(exclude={"seed", "shots"})


def _bounds(cells: Sequence[Cell], infos: Mapping[str, EvaluatorInfo]) -> tuple[Bound | None, list[_Group]]:
    """Return the bound of all searches within their limits, None for none, and that of each group without."""
    known: dict[tuple[str, str], Bound] = {}

    def bounds_of(cells: Sequence[Cell]) -> list[Bound]:
        return [known_bound(config) for config in _searches(cells)]

    def known_bound(config: SearchConfig) -> Bound:
        opened = _what_is_opened(config)
        info = infos.get(opened)
        key = (opened if info else "", config.model_dump_json(exclude={"data", "seed", "shots", "run_dir"}))
        if key not in known:
            resolved = config if info is None else config.as_opened(info)
            known[key] = bound_of(resolved, None if info is None else info.class_names)
        return known[key]

    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(tuple(getattr(cell, name) for name in _GROUP), []).append(cell)
    totals = [(group, Bound.total(bounds_of(group))) for group in groups.values()]
    if not (searches := _searches(cells)):
        return None, totals
    return Bound.total(bounds_of(cells)).within(Limits.of(searches[0])), totals


def _searches(cells: Sequence[Cell]) -> list[SearchConfig]:
    return [cell.config for cell in cells if cell.white_box is None]


def _study_text(cells: Sequence[Cell], total: Bound | None, groups: Sequence[_Group]) -> str:
    noun = words_of_all(cell.config.search_for for cell in cells).noun
    lines: list[Sequence[str]] = [(*_GROUP, "runs", "requests", "tokens", "dollars", f"{noun}s scored")]

    def text(value: Any) -> str:
        return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    for group, bound in groups:
        first = group[0]
        name = first.method if first.white_box is None else white_box_label(first.method)
        counts = (first.llm, first.model, first.shots, len(group), bound.calls, bound.tokens)
        dollars = "unknown" if bound.cost_usd is None else f"${bound.cost_usd:,.2f}"
        lines.append((name, *map(text, counts), dollars, text(bound.evaluations)))
    searches = _searches(cells)
    plans = {plan_text(config) for config in searches}
    page = f"at most, by group\n{aligned(lines)}\n"
    if len(plans) == 1:
        page += f"each search: {plans.pop()}\n"
    if total is not None:
        most = counted(len(searches), "search", "searches")
        page += bound_text(
            searches[0],
            total,
            noun,
            heading=f"all {counted(len(cells), 'run')}, at most, within the limits:\n  {most}",
        )
    return page
