"""The course of a run, read from its events: what each restart scored, and its best after each round."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ..events import (
    RoundFinished,
    RoundSkipped,
    SearchStarted,
    StartingTemplatesScored,
    TemplateRefused,
    TemplateScored,
)
from .result import Row

Curve = tuple[tuple[int, float], ...]
"""Rounds done, and the best training score after them; round 0 is the initial templates."""
MOST_EXAMPLES = 5
_LONGEST_LINE = 200
_STEPS = (StartingTemplatesScored.name, RoundFinished.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Lines and templates that were refused for one reason.

    Attributes:
        count: How many.
        examples: A few of them, each once.
    """

    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a run went.

    Attributes:
        curves: By restart, its best score after each round.
        rows: Every template that was scored, as each restart found it first; ranks are 0.
        refused: By reason, what was refused.
        skipped: Rounds without an answer, by why.
        estimated: Whether the curves are read from the leaderboard, where a template stands with one restart
            alone, as the log is not there.
    """

    curves: Mapping[int, Curve] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    refused: Mapping[str, Refused] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    estimated: bool = False


def course_of(events: Iterable[Mapping[str, Any]]) -> Course:
    """Return the course that a log tells of.

    A session that goes on with a run tells again of what an earlier one has done; it counts once.
    """
    best: dict[tuple[int, int, int], float] = {}
    rows: dict[tuple[int, str], Row] = {}
    lines: dict[str, dict[tuple[int, ...], str]] = {}
    skips: dict[tuple[int, int, int], str] = {}
    counts = Counter[tuple[int, ...]]()
    for event in events:
        name, place = event.get("event"), _place(event)
        if name == SearchStarted.name:
            counts.clear()  # what follows may have been told before
        if place is None:
            continue
        if name in _STEPS and _is_score(event.get("train")):
            best[place] = float(event["train"])
            skips.pop(place, None)
        elif name == RoundSkipped.name:
            skips[place] = str(event.get("reason"))
        elif name == TemplateScored.name and (row := _row(event, place)) is not None:
            rows.setdefault((row.restart, row.template), row)
        elif name == TemplateRefused.name:
            line = str(event.get("line"))[:_LONGEST_LINE]
            lines.setdefault(str(event.get("reason")), {})[(*place, counts[place])] = line
            counts[place] += 1
    return Course(
        curves=_curves(best, skips),
        rows=tuple(rows.values()),
        refused={reason: _refused(found.values()) for reason, found in sorted(lines.items())},
        skipped=dict(Counter(skips.values())),
    )


def course_of_rows(rows: Sequence[Row]) -> Course:
    """Return the course as far as a leaderboard tells it."""
    found: dict[int, dict[tuple[int, int], float]] = {}
    for row in rows:
        places = found.setdefault(row.restart, {})
        place = (row.conversation, row.round)
        places[place] = max(places.get(place, -math.inf), row.train)
    steps = sorted({place for places in found.values() for place in places} | {(0, 0)})
    curves = {}
    for restart, places in sorted(found.items()):
        values = itertools.accumulate((places.get(step, -math.inf) for step in steps), max)
        curves[restart] = tuple((step, value) for step, value in enumerate(values) if value > -math.inf)
    return Course(curves=curves, rows=tuple(rows), estimated=True)


def _curves(
    best: Mapping[tuple[int, int, int], float], skips: Iterable[tuple[int, int, int]]
) -> dict[int, Curve]:
    curves: dict[int, list[tuple[int, float]]] = {}
    done = Counter[int]()
    for restart, conversation, round in sorted({*best, *skips}):
        curve = curves.setdefault(restart, [])
        done[restart] += bool(conversation)
        if (value := best.get((restart, conversation, round))) is not None:
            # A restart's best never falls; a log that was cut may begin in its middle.
            curve.append((done[restart], max(value, curve[-1][1]) if curve else value))
    return {restart: tuple(curve) for restart, curve in curves.items() if curve}


def _place(event: Mapping[str, Any]) -> tuple[int, int, int] | None:
    found = tuple(event.get(name) for name in ("restart", "conversation", "round"))
    whole = [one for one in found if isinstance(one, int) and 0 <= one < 10**9]
    return (whole[0], whole[1], whole[2]) if len(whole) == len(found) else None


def _row(event: Mapping[str, Any], place: tuple[int, int, int]) -> Row | None:
    template, train, val = event.get("template"), event.get("train"), event.get("val")
    if not isinstance(template, str) or not _is_score(train):
        return None
    restart, conversation, round = place
    source = event.get("source")
    return Row(
        rank=0,
        template=template,
        train=float(train),
        val=float(val) if _is_score(val) else None,
        restart=restart,
        conversation=conversation,
        round=round,
        source=source if isinstance(source, str) else None,
    )


def _is_score(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refused(lines: Iterable[str]) -> Refused:
    found = list(lines)
    return Refused(count=len(found), examples=tuple(dict.fromkeys(found))[:MOST_EXAMPLES])
