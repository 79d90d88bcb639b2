"""Everything known of a run at any time: its state, its course and its result.

Nothing that a live run holds is opened, and test is never evaluated.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard

from ...prompts.kinds import KindWords
from ..events.types import (
    RoundFinished,
    RoundSkipped,
    SearchStarted,
    StartingTemplatesScored,
    TemplateRefused,
    TemplateScored,
)
from .details import Ancestor, Details, lineage_of, read_details
from .figures import are_shares, has_accuracies
from .result import Row, SearchResult
from .run_dir import config_text, read_result
from .run_state import RunState, events_of, state_of

Curve = tuple[tuple[int, float], ...]
"""Rounds done, and the best training score after them; round 0 is the starting templates."""
MOST_EXAMPLES = 5
_LONGEST_LINE = 200
_SCORED = (StartingTemplatesScored.name, RoundFinished.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Lines and templates that were rejected for one reason, with a few distinct examples."""

    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The course of a run.

    Attributes:
        curves: By restart, its best score after each round.
        rows: Every scored template, as each restart found it first; ranks are 0.
        refused: Rejected lines and templates, by reason.
        skipped: Rounds without an answer, by reason.
        estimated: Whether curves come from the leaderboard, which names one restart per template.
    """

    curves: Mapping[int, Curve] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    refused: Mapping[str, Refused] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Everything known of a run; ``result`` is None until the run has first ended or been stopped."""

    state: RunState
    result: SearchResult | None = None
    course: Course = field(default_factory=Course)
    details: Details | None = None
    config: str = ""

    @property
    def rows(self) -> Sequence[Row]:
        """The leaderboard; before that, the templates scored so far, by training score, dropped ones last."""
        if self.result is not None:
            return self.result.leaderboard

        def rank(row: Row) -> tuple[bool, float, int, int, int]:
            dropped = row.images is not None
            return dropped, -row.comparable, row.restart, row.conversation, row.round

        found: dict[str, Row] = {}
        for row in self.course.rows:
            held = found.setdefault(row.template, row)
            if held.images is not None and row.images is None:
                found[row.template] = row  # another restart scored it on all images
        return sorted(found.values(), key=rank)

    @property
    def lineage(self) -> Sequence[Ancestor]:
        """The lineage of the best template; without requests and answers if these were not kept."""
        rows = self.rows
        if self.details is not None and self.details.lineage and self.result is not None:
            return self.details.lineage
        if not rows:
            return ()
        known = rows if self.course.estimated else self.course.rows
        return [Ancestor(**asdict(row)) for row in lineage_of(rows[0], known)]

    @property
    def words(self) -> KindWords:
        """How to speak of what is searched for."""
        return self.state.words if self.result is None else self.result.words

    @property
    def percent(self) -> bool:
        """Whether the scores may be accuracies, shown in percent."""
        if self.result is not None:
            return has_accuracies(self.result)
        return are_shares(value for row in self.course.rows for value in (row.train, row.val))


def view_of(run_dir: Path, result: SearchResult | None = None, *, pictures: bool = True) -> RunView:
    """Read everything known of a run; pass ``result`` if it is not on disk yet."""
    state = state_of(run_dir)
    course = course_of(events_of(run_dir))
    if result is None and state.state != "live":
        with suppress(OSError, ValueError):  # missing or torn: a resume writes it
            result = read_result(run_dir)
    if result is not None:
        state.take(result)
        if len({row.template for row in course.rows}) < len(result.leaderboard):
            course = course_of_rows(result.leaderboard)  # the log is cut or missing
    details = read_details(run_dir)
    if details is not None and not pictures:
        details = replace(details, pictures=())
    return RunView(state=state, result=result, course=course, details=details, config=config_text(run_dir))


def course_of(events: Iterable[Mapping[str, Any]]) -> Course:
    """Return the course that a log holds; events repeated by a resumed session count once."""
    best: dict[tuple[int, int, int], float] = {}
    rows: dict[tuple[int, str], Row] = {}
    lines: dict[str, dict[tuple[int, ...], str]] = {}
    skips: dict[tuple[int, int, int], str] = {}
    counts = Counter[tuple[int, ...]]()
    for event in events:
        name, place = event.get("event"), _place(event)
        if name == SearchStarted.name:
            counts.clear()  # what follows may be a repetition
        if place is None:
            continue
        if name in _SCORED and _is_score(event.get("train")):
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
    """Estimate the course from a leaderboard."""
    found: dict[int, dict[tuple[int, int], float]] = {}
    for row in rows:
        if row.images is not None:
            continue  # the accuracy on a few images is no height of a curve
        places = found.setdefault(row.restart, {})
        place = (row.conversation, row.round)
        places[place] = max(places.get(place, -math.inf), row.train)
    rounds = sorted({place for places in found.values() for place in places} | {(0, 0)})
    curves = {}
    for restart, places in sorted(found.items()):
        values = itertools.accumulate((places.get(place, -math.inf) for place in rounds), max)
        curves[restart] = tuple((done, value) for done, value in enumerate(values) if value > -math.inf)
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
    source, images, estimate = (event.get(name) for name in ("source", "images", "estimate"))
    return Row(
        template=template,
        train=float(train),
        val=float(val) if _is_score(val) else None,
        restart=restart,
        conversation=conversation,
        round=round,
        source=source if isinstance(source, str) else None,
        images=images if type(images) is int else None,
        estimate=float(estimate) if _is_score(estimate) else None,
    )


def _is_score(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _refused(lines: Iterable[str]) -> Refused:
    found = list(lines)
    return Refused(count=len(found), examples=tuple(dict.fromkeys(found))[:MOST_EXAMPLES])
