"""``--dry-run`` of ``search`` and ``suite``: open data and model, and print upper bounds."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.errors import AskingEndedError, ConfigError, UsageError
from ...evaluator.remote.asking import ApiAnswer, ApiRequest, KeepsForTest
from ...evaluator.remote.dialects import costliest_dialect, dialect_of
from ...evaluator.scoring import Evaluator, EvaluatorInfo
from ...prompts.kinds import CandidateNoun, kind_named
from ..config.schema import SearchConfig
from ..config.sources import flag_of
from ..events.trackers.known import check_trackers
from ..events.types import Bus, Noted
from ..llm.budget import LIMITS
from ..llm.endpoints import check_endpoints
from ..llm.pool import MORE_TOKENS
from ..results.result import words_of, words_of_all
from ..search.inputs import fallen_back, may_fall_back, read_pool, ready_evaluator
from ..search.scorer_needs import ScorerNeeds
from ..stop import Stop
from ..study.estimate import Estimate, MostScored, estimate, estimate_of_all
from ..study.grid import Cell
from ..study.preflight import check_cells, check_llms
from ..study.runs import SharedLimits
from ..study.study import white_box_label
from ..text import printable
from . import exit_codes
from .display import Display
from .interrupts import run_interruptible
from .output import aligned, console, print_json, print_text, result_alone, say, say_refused

DIALECT_UNKNOWN = (
    "the form of the scorer's requests is found by asking it; the bounds are those of the form that takes "
    "most requests"
)
LOCAL_S = 6.5
"""Seconds a request of the smallest local LLM takes on two CPU cores, as measured over 48."""
_BOUNDS = {"calls": "requests", "tokens": "tokens", "cost_usd": "dollars", "evaluations": "templates scored"}
_PLACE = ("method", "llm", "model", "shots")


def dry_run_search(config: SearchConfig, *, as_json: bool) -> int:
    """Open data and model, and print the upper bounds of a search.

    An LLM or tracker that cannot be used is reported at the end: the bounds hold without it.
    """
    estimate(config)  # finds mistakes in the starting templates before opening anything
    with result_alone():
        evaluator = _opened(config)
    info = evaluator.info
    config = config.as_opened(info)
    used = fallen_back(config)
    if used.general_words:
        say(f"note: {used.general_words}")
    bound = estimate(used, info.class_names)
    if config.is_api:
        bound |= _with_scorer(used, evaluator)
    if as_json:
        print_json(bound)
    else:
        print_text(f"{_split(info)}\n\n{_shape(used)}\n{_bound_text(used, bound, words_of(used.prompts))}")
        if may_fall_back(config):
            when = "If the local LLM cannot be loaded" if used is config else "The local LLM cannot be loaded"
            print_text(f"{when}: method {config.llm_fallback} is used instead, without requests.\n")
    try:
        if refused := (bound.get("scorer") or {}).get("refused"):
            raise UsageError(refused)
        check_trackers(config.track)
        check_endpoints(config, os.environ)
    except UsageError as error:
        say_refused(str(error))
        return exit_codes.WRONG
    return exit_codes.FINISHED


def dry_run_study(cells: Sequence[Cell], folder: Path, file: Path | None, *, as_json: bool) -> int:
    """Open what a study would open, and print its bounds by group and within its limits.

    If data or model cannot be opened, the bounds assume long class names.
    """
    places: dict[str, EvaluatorInfo] = {}
    try:
        waiting = check_cells(cells, file, say)
        with result_alone():
            places = _open_all([one.config for one in cells])
    except UsageError:
        if not as_json:
            _print_study(cells, {})
        raise
    if as_json:
        bounds, groups = _bounds(cells, places)
        print_json({**bounds, "runs": len(cells), "groups": groups})
    else:
        print_text("".join(f"{_split(info)}\n" for info in places.values()) + "\n")
        _print_study(cells, places)
    try:
        check_llms([one.config for one in waiting], SharedLimits(folder))
    except UsageError as error:
        say_refused(str(error), "suite")
        return exit_codes.WRONG
    return exit_codes.FINISHED


class NothingAsked:
    """An ``ApiAsk`` of a dry run."""

    def __call__(self, requests: Iterable[ApiRequest]) -> Iterator[tuple[int, ApiAnswer]]:
        """Raise AskingEndedError at the first request."""
        for _request in requests:
            why = ConfigError(
                "a dry run asks the scorer nothing, and this one must be asked for the form of its requests: "
                "give --scorer-dialect"
            )
            raise AskingEndedError(str(why)) from why
        yield from ()

    def keep_for_test(self, requests: Iterable[ApiRequest]) -> None:
        """Keep nothing."""


def _opened(config: SearchConfig) -> Evaluator:
    async def run(stop: Stop) -> Evaluator:
        with Display(console()) as display, stop.watching():
            emit, opened = Bus(display), config
            dialect = config.scorer_dialect or dialect_of(config.scorer_url or "")
            if config.scorer == "embeddings" and dialect is None:
                opened = config.model_copy(update={"scorer_dialect": costliest_dialect().name})
                emit(Noted(text=f"{DIALECT_UNKNOWN} (--scorer-dialect {opened.scorer_dialect})"))
            return await ready_evaluator(opened, None, emit, ask=NothingAsked())

    return run_interruptible(run)


def _open_all(configs: Sequence[SearchConfig]) -> dict[str, EvaluatorInfo]:
    """Open each data set with each model once, as its largest sample."""
    largest: dict[str, SearchConfig] = {}
    for config in configs:
        known = largest.setdefault(_place(config), config)
        if (config.shots or 0) > (known.shots or 0):
            largest[_place(config)] = config
    found = {}
    for number, (place, config) in enumerate(largest.items(), start=1):
        what = printable(f"{config.data} with {config.evaluator or config.model}")
        say(f"[{number}/{len(largest)}] opening {what}")
        found[place] = _opened(config).info
    return found


def _place(config: SearchConfig) -> str:
    return config.bare().model_dump_json(exclude={"seed", "shots"})


def _bounds(
    cells: Sequence[Cell], places: Mapping[str, EvaluatorInfo]
) -> tuple[Estimate, list[dict[str, Any]]]:
    known: dict[tuple[str, str], Estimate] = {}

    def bound_of(config: SearchConfig) -> Estimate:
        place = _place(config)
        info = places.get(place)
        key = (place if info else "", config.model_dump_json(exclude={"data", "seed", "shots", "run_dir"}))
        if key not in known:
            known[key] = (
                estimate(config) if info is None else estimate(config.as_opened(info), info.class_names)
            )
        return known[key]

    searches = [one.config for one in cells if one.white_box is None]
    total = estimate_of_all(searches, [bound_of(config) for config in searches]) if searches else {}
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for one in cells:
        groups.setdefault(tuple(getattr(one, name) for name in _PLACE), []).append(one)
    rows = []
    for group in groups.values():
        row = {name: getattr(group[0], name) for name in _PLACE}
        row |= {"runs": len(group), "white_box": group[0].white_box is not None}
        each = [bound_of(one.config) for one in group if one.white_box is None]
        for name in _BOUNDS:
            values = [one[name] for one in each]
            row[name] = None if None in values else round(sum(values), 6)
        rows.append(row)
    return total, rows


def _print_study(cells: Sequence[Cell], places: Mapping[str, EvaluatorInfo]) -> None:
    bounds, groups = _bounds(cells, places)
    words = words_of_all(one.config.prompts for one in cells)
    lines: list[Sequence[str]] = [(*_PLACE, "runs", *map(words.worded, _BOUNDS.values()))]
    for row in groups:
        name = white_box_label(row["method"]) if row["white_box"] else row["method"]
        values = (row[key] for key in (*_PLACE[1:], "runs", "calls", "tokens"))
        dollars = "unknown" if row["cost_usd"] is None else f"${row['cost_usd']:,.2f}"
        lines.append((name, *map(_cell, values), dollars, _cell(row["evaluations"])))
    shapes = {_shape(one.config) for one in cells if one.white_box is None}
    text = f"at most, by group\n{aligned(lines)}\n" + (
        f"each search: {shapes.pop()}\n" if len(shapes) == 1 else ""
    )
    if bounds:
        limited = next(one.config for one in cells if one.white_box is None)
        text += f"all {counted(len(cells), 'run')}, within the limits\n{_bound_text(limited, bounds, words)}"
    print_text(text)


def _cell(value: str | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else value


def _split(info: EvaluatorInfo) -> str:
    sizes = ", ".join(f"{size:,} {split}" for split, size in info.sizes.items() if size)
    model = f"{info.model} ({info.pretrained})" if info.pretrained else info.model
    return printable(
        f"{info.dataset} with {model}: {sizes + ' images' if sizes else 'number of images unknown'}"
    )


def _shape(config: SearchConfig) -> str:
    return " x ".join(
        counted(getattr(config, f"{name}s"), name) for name in ("restart", "conversation", "round")
    )


def _bound_text(config: SearchConfig, bound: Estimate, words: CandidateNoun) -> str:
    asks = bool(bound["calls"])
    if bound.get("scorer") is not None:
        return _text_with_scorer(config, bound)
    lines = [f"at most {bound['searches']:,} searches"] if "searches" in bound else []
    if asks:
        lines += [f"at most {bound['calls']:,} requests", f"at most {bound['tokens']:,} tokens"]
        cost = bound["cost_usd"]
        if config.is_local:
            minutes = math.ceil(bound["calls"] * LOCAL_S / 60)
            lines.append(
                f"no cost; the LLM runs here: about {counted(minutes, 'minute')} for the 0.5b model on two "
                "CPU cores, more for larger models"
            )
        else:
            lines.append("dollars unknown: give --price" if cost is None else f"at most ${cost:.4f}")
    lines.append(f"at most {bound['evaluations']:,} {words.noun}s scored")
    if bound["minutes"] is not None:
        lines.append(f"{bound['minutes']:,.1f} minutes for that at the given limits")
    names = LIMITS if asks else ("max_minutes",)  # without requests, the others limit nothing
    limits = _limits(config, names)
    if asks or limits:
        lines.append(f"limits: {limits or 'none'}")
    if asks:
        lines += [_LONGEST, _FAILED]
    return "\n".join(lines) + "\n"


_LONGEST = (
    "This is an upper bound: every request and answer is taken to be the longest possible "
    f"(answers: {MORE_TOKENS} times --answer-tokens, because a reasoning model can be asked again with more)."
)
_FAILED = "Failed attempts that the endpoint bills come on top; only the limits bound them."


def _limits(config: SearchConfig, names: Sequence[str]) -> str:
    found = [f"{flag_of(name)} {value:g}" for name in names if (value := getattr(config, name)) is not None]
    return ", ".join(found)


def _with_scorer(config: SearchConfig, evaluator: Evaluator) -> Estimate:
    """Return the bounds of a scorer behind an API, those of the LLM without limits, and of both together."""
    unlimited = config.model_copy(update=dict.fromkeys(_LIMITS))
    llm = estimate(unlimited, evaluator.info.class_names)
    if not isinstance(evaluator, KeepsForTest) or not evaluator.info.sizes.get("test"):
        return {"scorer": None}
    most = MostScored.of(unlimited, len(read_pool(config)))
    needs = ScorerNeeds(config, evaluator.info, evaluator, most.pool)
    scorer = needs.estimate(most.rounds, most.free, llm["cost_usd"])
    costs = (llm["cost_usd"], scorer["cost_usd"])
    both = None if None in costs else round(sum(costs), 6)
    return {"scorer": scorer, "llm": llm, "cost_of_both_usd": both}


_LIMITS = (*LIMITS, "max_scorer_calls")


def _text_with_scorer(config: SearchConfig, bound: Estimate) -> str:
    """Say for LLM and scorer each what they take without limits, then what the limits allow."""
    scorer, llm, both = bound["scorer"], bound["llm"], bound["cost_of_both_usd"]
    parts, rounds, words = scorer["parts"], scorer["rounds"], kind_named(config.prompts).words
    of_parts = {
        "start": f"default {words.noun}, starting {words.noun}s",
        "round": f"each of {counted(rounds, 'round')}",
        "names": "class names",
        "comparison": f"hand-made {words.noun}s",
        "final": "final evaluation on test images, kept from the start with 2 % more",
    }
    lines = ["without limits, at most:"]
    if llm["calls"]:
        cost = "no cost" if config.is_local else _dollars(llm["cost_usd"], "--price")
        lines.append(f"LLM: {llm['calls']:,} requests, {llm['tokens']:,} tokens, {cost}")
    lines += [
        f"scorer: {_asked(scorer, unknown=True)}, for {llm['evaluations']:,} {words.noun}s",
        *(f"  {_asked(parts[name])}: {what}" for name, what in of_parts.items() if parts[name]["calls"]),
    ]
    if scorer["races"]:
        lines.append(words.worded("Templates that fall behind are dropped after a few images (--racing)."))
    if both is not None and llm["calls"]:
        lines.append(f"LLM and scorer together: ${both:.4f}")
    limits = _limits(config, _LIMITS)
    lines.append(f"limits: {limits or 'none'}")
    if (allowed := scorer["rounds_allowed"]) is not None and scorer["refused"] is None:
        lines.append(f"with these limits: the start, and at least {allowed:,} of {counted(rounds, 'round')}")
        if config.max_cost is not None and both is not None:
            most = min(config.max_cost, both)
            owner = "LLM and scorer together" if llm["calls"] else "the scorer"
            lines.append(f"with these limits, {owner}: at most ${most:.4f}")
    if bound["minutes"] is not None:
        lines.append(f"{bound['minutes']:,.1f} minutes for the LLM's requests at the given limits")
    if llm["calls"]:
        lines.append(_LONGEST)
    if scorer["tokens"]:
        lines.append("An image is taken to be billed as about twice as many tokens as most vendors count.")
    return "\n".join([*lines, _FAILED]) + "\n"


def _asked(part: Estimate, *, unknown: bool = False) -> str:
    tokens = [f"{part['tokens']:,} tokens"] if part["tokens"] else []
    priced = unknown or part["cost_usd"] is not None
    dollars = [_dollars(part["cost_usd"], "--scorer-price")] if priced else []
    return ", ".join([counted(part["calls"], "request"), *tokens, *dollars])


def _dollars(cost: float | None, option: str) -> str:
    return f"dollars unknown (give {option})" if cost is None else f"${cost:.4f}"
