"""The text and the JSON of ``--dry-run``: upper bounds of a search, and of a scorer behind an API."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.open import Download
from ...evaluator.scoring import EvaluatorInfo
from ..config.schema import SearchConfig
from ..config.sources import flag_of
from ..limits import LIMIT_SETTINGS, MINUTES, SCORER_CALLS
from ..llm.budget import Bound, Limits, ScorerBound, ScorerPart
from ..llm.pool import MORE_TOKENS
from ..text import printable

LOCAL_S = 6.5
"""Seconds a request of the smallest local LLM takes on two CPU cores, as measured over 48."""
ANSWER_S = 5
"""Seconds that an endpoint is taken to need for an answer."""
SCORER_LIMITS = (*LIMIT_SETTINGS, SCORER_CALLS.setting)
_LONGEST = (
    "This is an upper bound: every request and answer is taken to be the longest possible "
    f"(answers: {MORE_TOKENS} times --answer-tokens, because a reasoning model can be asked again with more)."
)
_FAILED = "Failed attempts that the endpoint bills come on top; only the limits bound them."
_PARTS = ("start", "round", "names", "comparison", "final")


def split_text(info: EvaluatorInfo) -> str:
    """Return the data set, the model and the numbers of images."""
    sizes = ", ".join(f"{size:,} {split}" for split, size in info.sizes.items() if size)
    model = f"{info.model} ({info.pretrained})" if info.pretrained else info.model
    images = f"{sizes} images" if sizes else "number of images unknown"
    return printable(f"{info.dataset} with {model}: {images}")


def plan_text(config: SearchConfig) -> str:
    """Return the numbers of restarts, conversations and rounds."""
    names = ("restart", "conversation", "round")
    return " x ".join(counted(getattr(config, f"{name}s"), name) for name in names)


@dataclass(slots=True)
class Hours:
    """How long one model of a study works: hours of one core, or by the clock if ``cores`` is None.

    Opening data and model for each run, new class names and other references than CoOp are left out.
    """

    model: str
    cores: int | None  # that torch uses here
    images: float = 0.0  # each is encoded once
    texts: float = 0.0
    coop: float = 0.0

    @property
    def total(self) -> float:
        return self.images + self.texts + self.coop


def downloads_text(downloads: Sequence[Download]) -> str:
    """Return what is downloaded on the first run, as a line; empty for nothing."""
    if not downloads:
        return ""
    parts = ", ".join(f"{download.what} {download.gigabytes:.1f}" for download in downloads)
    total = sum(download.gigabytes for download in downloads)
    return f"not here yet, and downloaded by the run: about {total:.1f} GB ({printable(parts)})\n"


def hours_text(hours: Sequence[Hours], calls: int) -> str:
    """Return how long a study takes here, as lines; ``calls`` are its requests to an LLM behind an API."""
    parts = [
        f"  {printable(each.model)}: images {each.images:.1f}, texts {each.texts:.1f}, CoOp {each.coop:.1f}\n"
        for each in hours
    ]
    total, cores = sum(each.total for each in hours), hours[0].cores
    if cores is None:
        text, measure = f"about {total:,.1f} hours on an idle device\n", "time by the clock"
    else:
        text = (
            f"about {total:,.1f} hours of one core: {total / cores:,.1f} on {counted(cores, 'idle core')}\n"
        )
        measure = "processor time, which other programs hardly change"
    text += "".join(parts)
    text += f"  by the least of several times that a few images, texts and steps took each model: {measure}\n"
    if calls:
        wait = calls * ANSWER_S / 3600
        text += f"  and {wait:,.1f} hours for the LLM, if it takes {ANSWER_S} s for each answer\n"
    return text


def bound_text(config: SearchConfig, bound: Bound, noun: str) -> str:
    """Return a bound in lines; ``noun`` is a candidate's name."""
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
    lines.append(f"at most {bound.evaluations:,} {noun}s scored")
    if bound.minutes is not None:
        lines.append(_time(config, bound.minutes))
    # Without requests, the other limits bind nothing.
    limits = _limits(config, LIMIT_SETTINGS if asks else (MINUTES.setting,))
    if asks or limits:
        lines.append(f"limits: {limits or 'none'}")
    if asks:
        lines += [_LONGEST, _FAILED]
    return "\n".join(lines) + "\n"


def _time(config: SearchConfig, minutes: float) -> str:
    """Say how long a search may take: by its own limit, or as the rates of its endpoints allow."""
    if minutes == config.max_minutes:
        return f"at most {minutes:,.1f} minutes of active time"
    return f"so many requests to the LLM take {minutes:,.1f} minutes at the given rates"


def _limits(config: SearchConfig, names: Sequence[str]) -> str:
    values = {name: getattr(config, name) for name in names}
    return ", ".join(f"{flag_of(name)} {value:g}" for name, value in values.items() if value is not None)


def _cost_of_both(scorer: ScorerBound, llm: Bound) -> float | None:
    if llm.cost_usd is None or not scorer.is_priced:
        return None
    return round(llm.cost_usd + scorer.total.spent.estimated_usd, 6)


def scorer_json(scorer: ScorerBound, llm: Bound, refused: str | None) -> dict[str, Any]:
    """Return the bounds of scorer and LLM as JSON values; ``refused`` says why limits are too low."""

    def json_of(share: ScorerPart) -> dict[str, Any]:
        spent, cost = share.spent, round(share.spent.estimated_usd, 6) if scorer.is_priced else None
        tokens = spent.estimated_tokens
        return {"labels": share.labels, "calls": spent.calls, "tokens": tokens, "cost_usd": cost}

    of_scorer = {
        **json_of(scorer.total),
        "parts": {name: json_of(getattr(scorer, name)) for name in _PARTS},
        "rounds": scorer.rounds,
        "races": scorer.races,
        "rounds_allowed": scorer.rounds_allowed(llm.cost_usd),
        "refused": refused,
    }
    return {"scorer": of_scorer, "llm": asdict(llm), "cost_of_both_usd": _cost_of_both(scorer, llm)}


def scorer_text(
    config: SearchConfig, scorer: ScorerBound, llm: Bound, minutes: float | None, noun: str, *, refused: bool
) -> str:
    """Return for LLM and scorer each what they take without limits, then what the limits allow."""
    rounds = counted(scorer.rounds, "round")
    labels = {
        "start": f"default {noun}, starting {noun}s",
        "round": f"each of {rounds}",
        "names": "class names",
        "comparison": f"hand-made {noun}s",
        "final": "final evaluation on test images, kept from the start with 2 % more",
    }

    def requests(share: ScorerPart) -> str:
        spent = share.spent
        tokens = [f"{spent.estimated_tokens:,} tokens"] if spent.estimated_tokens else []
        dollars = [f"${spent.estimated_usd:.4f}"] if scorer.is_priced else []
        return ", ".join([counted(spent.calls, "request"), *tokens, *dollars])

    lines = ["without limits, at most:"]
    if llm.calls:
        priced = "dollars unknown (give --price)" if llm.cost_usd is None else f"${llm.cost_usd:.4f}"
        cost = "no cost" if config.is_local else priced
        lines.append(f"LLM: {llm.calls:,} requests, {llm.tokens:,} tokens, {cost}")
    unknown = "" if scorer.is_priced else ", dollars unknown (give --scorer-price)"
    lines.append(f"scorer: {requests(scorer.total)}{unknown}, for {llm.evaluations:,} {noun}s")
    for name, label in labels.items():
        if (share := getattr(scorer, name)).spent.calls:
            lines.append(f"  {requests(share)}: {label}")
    if scorer.races:
        lines.append(f"{noun.capitalize()}s that fall behind are dropped after a few images (--racing).")
    owner = "LLM and scorer together" if llm.calls else "the scorer"
    if (both := _cost_of_both(scorer, llm)) is not None and llm.calls:
        lines.append(f"{owner}: ${both:.4f}")
    lines.append(f"limits: {_limits(config, SCORER_LIMITS) or 'none'}")
    if (allowed := scorer.rounds_allowed(llm.cost_usd)) is not None and not refused:
        lines.append(f"with these limits: the start, and at least {allowed:,} of {rounds}")
        limit = Limits.of(config).cost_usd
        if limit is not None and both is not None:
            lines.append(f"with these limits, {owner}: at most ${min(limit, both):.4f}")
    if minutes is not None:
        lines.append(_time(config, minutes))
    if llm.calls:
        lines.append(_LONGEST)
    if scorer.total.spent.estimated_tokens:
        lines.append("An image is taken to be billed as about twice as many tokens as most vendors count.")
    return "\n".join([*lines, _FAILED]) + "\n"
