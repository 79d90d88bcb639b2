"""``--dry-run`` of ``search`` and ``suite``: open data and model, and print upper bounds."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.errors import AskingEndedError, ConfigError, UsageError
from ...evaluator.remote.asking import ApiAnswer, ApiEvaluator, ApiRequest
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
from ..present.terminal import Display
from ..prices import Spent
from ..results.result import words_of, words_of_all
from ..search.inputs import fallen_back, may_fall_back, read_pool, ready_evaluator
from ..search.scorer_bounds import Part, ScorerBounds
from ..stop import Stop
from ..study.estimate import Bound, MostScored, estimate, estimate_of_all
from ..study.grid import Cell
from ..study.preflight import check_cells, check_llms
from ..study.runs import SharedLimits
from ..study.study import white_box_label
from ..text import printable
from . import exit_codes
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
    both = _with_scorer(used, evaluator)
    if as_json:
        print_json({**asdict(bound), **(_json_of_both(*both) if both else {})})
    else:
        if both:
            text = _text_of_both(used, *both, bound.minutes)
        else:
            text = _bound_text(used, bound, words_of(used.search_for))
        print_text(f"{_split(info)}\n\n{_shape(used)}\n{text}")
        if may_fall_back(config):
            when = "If the local LLM cannot be loaded" if used is config else "The local LLM cannot be loaded"
            print_text(f"{when}: method {config.llm_fallback} is used instead, without requests.\n")
    try:
        if both and both[0].refused is not None:
            raise UsageError(both[0].refused)
        check_trackers(config.track)
        check_endpoints(config, os.environ)
    except UsageError as error:
        say_refused(error)
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
        bound, groups = _bounds(cells, places)
        whole = {} if bound is None else {"searches": len(_searches(cells)), **asdict(bound)}
        print_json({**whole, "runs": len(cells), "groups": [_row(*group) for group in groups]})
    else:
        print_text("".join(f"{_split(info)}\n" for info in places.values()) + "\n")
        _print_study(cells, places)
    try:
        check_llms([one.config for one in waiting], SharedLimits(folder))
    except UsageError as error:
        say_refused(error, "suite")
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
        what = printable(f"{config.data} with {config.custom_scorer or config.model}")
        say(f"[{number}/{len(largest)}] opening {what}")
        found[place] = _opened(config).info
    return found


def _place(config: SearchConfig) -> str:
    return config.bare().model_dump_json(exclude={"seed", "shots"})


def _bounds(
    cells: Sequence[Cell], places: Mapping[str, EvaluatorInfo]
) -> tuple[Bound | None, list[tuple[list[Cell], Bound]]]:
    """Return the bound of all searches within their limits, None for none, and that of each group without."""
    known: dict[tuple[str, str], Bound] = {}

    def each(some: Sequence[Cell]) -> list[Bound]:
        return [bound_of(config) for config in _searches(some)]

    def bound_of(config: SearchConfig) -> Bound:
        place = _place(config)
        info = places.get(place)
        key = (place if info else "", config.model_dump_json(exclude={"data", "seed", "shots", "run_dir"}))
        if key not in known:
            opened = config if info is None else config.as_opened(info)
            known[key] = estimate(opened, None if info is None else info.class_names)
        return known[key]

    groups: dict[tuple[object, ...], list[Cell]] = {}
    for one in cells:
        groups.setdefault((one.method, one.llm, one.model, one.shots), []).append(one)
    total = estimate_of_all(_searches(cells), each(cells)) if _searches(cells) else None
    return total, [(group, Bound.of_several(each(group))) for group in groups.values()]


def _searches(cells: Sequence[Cell]) -> list[SearchConfig]:
    return [one.config for one in cells if one.white_box is None]


def _row(group: Sequence[Cell], bound: Bound) -> dict[str, Any]:
    """Return a group as JSON."""
    about = {name: getattr(group[0], name) for name in _PLACE}
    about |= {"runs": len(group), "white_box": group[0].white_box is not None}
    return about | {name: value for name, value in asdict(bound).items() if name in _BOUNDS}


def _print_study(cells: Sequence[Cell], places: Mapping[str, EvaluatorInfo]) -> None:
    bound, groups = _bounds(cells, places)
    words = words_of_all(one.config.search_for for one in cells)
    lines: list[Sequence[str]] = [(*_PLACE, "runs", *map(words.worded, _BOUNDS.values()))]
    for group, most in groups:
        first = group[0]
        name = first.method if first.white_box is None else white_box_label(first.method)
        values = (first.llm, first.model, first.shots, len(group), most.calls, most.tokens)
        dollars = "unknown" if most.cost_usd is None else f"${most.cost_usd:,.2f}"
        lines.append((name, *map(_cell, values), dollars, _cell(most.evaluations)))
    searches = _searches(cells)
    shapes = {_shape(config) for config in searches}
    text = f"at most, by group\n{aligned(lines)}\n" + (
        f"each search: {shapes.pop()}\n" if len(shapes) == 1 else ""
    )
    if bound is not None:
        text += f"all {counted(len(cells), 'run')}, within the limits\nat most {len(searches):,} searches\n"
        text += _bound_text(searches[0], bound, words)
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


def _bound_text(config: SearchConfig, bound: Bound, words: CandidateNoun) -> str:
    asks, lines = bound.calls > 0, []
    if asks:
        lines += [f"at most {bound.calls:,} requests", f"at most {bound.tokens:,} tokens"]
        if config.is_local:
            minutes = math.ceil(bound.calls * LOCAL_S / 60)
            lines.append(
                f"no cost; the LLM runs here: about {counted(minutes, 'minute')} for the 0.5b model on two "
                "CPU cores, more for larger models"
            )
        elif bound.cost_usd is None:
            lines.append("dollars unknown: give --price")
        else:
            lines.append(f"at most ${bound.cost_usd:.4f}")
    lines.append(f"at most {bound.evaluations:,} {words.noun}s scored")
    if bound.minutes is not None:
        lines.append(f"{bound.minutes:,.1f} minutes for that at the given limits")
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


_LIMITS = (*LIMITS, "max_scorer_calls")


def _with_scorer(config: SearchConfig, evaluator: Evaluator) -> tuple[ScorerBounds, Bound] | None:
    """Return what a scorer behind an API and the LLM take without limits; None for any other scorer."""
    if not isinstance(evaluator, ApiEvaluator) or not evaluator.info.sizes.get("test"):
        return None
    unlimited = config.model_copy(update=dict.fromkeys(_LIMITS))
    most = MostScored.of(unlimited, len(read_pool(config)))
    scorer = ScorerBounds(config, evaluator.info, evaluator, most.pool, rounds=most.rounds, free=most.free)
    return scorer, estimate(unlimited, evaluator.info.class_names)


def _cost_of_both(scorer: ScorerBounds, llm: Bound) -> float | None:
    if llm.cost_usd is None or not scorer.is_priced:
        return None
    return round(llm.cost_usd + scorer.total.spent.estimated_usd, 6)


def _json_of_both(scorer: ScorerBounds, llm: Bound) -> dict[str, Any]:
    def json_of(part: Part) -> dict[str, Any]:
        spent, cost = part.spent, round(part.spent.estimated_usd, 6) if scorer.is_priced else None
        tokens = spent.estimated_tokens
        return {"labels": part.labels, "calls": spent.calls, "tokens": tokens, "cost_usd": cost}

    of_scorer = {
        **json_of(scorer.total),
        "parts": {name: json_of(part) for name, part in scorer.parts.items()},
        "rounds": scorer.rounds,
        "races": scorer.races,
        "rounds_allowed": scorer.rounds_allowed(llm.cost_usd),
        "refused": scorer.refused,
    }
    return {"scorer": of_scorer, "llm": asdict(llm), "cost_of_both_usd": _cost_of_both(scorer, llm)}


def _text_of_both(config: SearchConfig, scorer: ScorerBounds, llm: Bound, minutes: float | None) -> str:
    """Say for LLM and scorer each what they take without limits, then what the limits allow."""
    rounds, words = counted(scorer.rounds, "round"), kind_named(config.search_for).words
    of_parts = {
        "start": f"default {words.noun}, starting {words.noun}s",
        "round": f"each of {rounds}",
        "names": "class names",
        "comparison": f"hand-made {words.noun}s",
        "final": "final evaluation on test images, kept from the start with 2 % more",
    }

    def requests(spent: Spent) -> str:
        tokens = [f"{spent.estimated_tokens:,} tokens"] if spent.estimated_tokens else []
        dollars = [f"${spent.estimated_usd:.4f}"] if scorer.is_priced else []
        return ", ".join([counted(spent.calls, "request"), *tokens, *dollars])

    lines = ["without limits, at most:"]
    if llm.calls:
        cost = "no cost" if config.is_local else _dollars(llm.cost_usd, "--price")
        lines.append(f"LLM: {llm.calls:,} requests, {llm.tokens:,} tokens, {cost}")
    total = scorer.total.spent
    unknown = "" if scorer.is_priced else f", {_dollars(None, '--scorer-price')}"
    lines.append(f"scorer: {requests(total)}{unknown}, for {llm.evaluations:,} {words.noun}s")
    for name, part in scorer.parts.items():
        if part.spent.calls:
            lines.append(f"  {requests(part.spent)}: {of_parts[name]}")
    if scorer.races:
        lines.append(words.worded("Templates that fall behind are dropped after a few images (--racing)."))
    owner = "LLM and scorer together" if llm.calls else "the scorer"
    if (both := _cost_of_both(scorer, llm)) is not None and llm.calls:
        lines.append(f"{owner}: ${both:.4f}")
    lines.append(f"limits: {_limits(config, _LIMITS) or 'none'}")
    if (allowed := scorer.rounds_allowed(llm.cost_usd)) is not None and scorer.refused is None:
        lines.append(f"with these limits: the start, and at least {allowed:,} of {rounds}")
        if config.max_cost is not None and both is not None:
            lines.append(f"with these limits, {owner}: at most ${min(config.max_cost, both):.4f}")
    if minutes is not None:
        lines.append(f"{minutes:,.1f} minutes for the LLM's requests at the given limits")
    if llm.calls:
        lines.append(_LONGEST)
    if total.estimated_tokens:
        lines.append("An image is taken to be billed as about twice as many tokens as most vendors count.")
    return "\n".join([*lines, _FAILED]) + "\n"


def _dollars(cost: float | None, option: str) -> str:
    return f"dollars unknown (give {option})" if cost is None else f"${cost:.4f}"
