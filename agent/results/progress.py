"""The progress of a search, from its events: those of a running one, or those in a run's log."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...prompts.kinds import TEMPLATE, KindWords
from ..events.log import logged
from ..events.types import (
    BestEvent,
    DefaultTemplateScored,
    Event,
    RestartFinished,
    RoundSkipped,
    ScorerUsageChanged,
    SearchStarted,
    SearchStopped,
    StartingTemplatesScored,
    TemplateRefused,
    TemplateScored,
    UsageChanged,
)
from ..position import Position
from .figures import difference_text
from .gain import BASELINE_DEFAULT, BEST_STARTING
from .result import Row

Curve = tuple[tuple[int, float], ...]
"""Rounds done, and the best training score after them; round 0 is the starting templates."""
MOST_EXAMPLES = 5
_LONGEST_LINE = 200


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


@dataclass(slots=True)
class RestartProgress:
    """The progress of a restart.

    Attributes:
        best: Its best template; empty before the first.
        heights: Its best training score at the end of each round.
        skipped: Rounds without an answer, and why.
    """

    best: str = ""
    train: float = -math.inf
    done: bool = False
    heights: dict[Position, float] = field(default_factory=dict)
    skipped: dict[Position, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        return sum(not place.initial for place in self.heights.keys() | self.skipped.keys())

    @property
    def curve(self) -> Curve:
        found: list[tuple[int, float]] = []
        done = 0
        for place in sorted(self.heights.keys() | self.skipped.keys()):
            done += not place.initial
            if (value := self.heights.get(place)) is not None:
                # A restart's best never falls; a log that was cut may begin in its middle.
                found.append((done, max(value, found[-1][1]) if found else value))
        return tuple(found)


@dataclass(kw_only=True)
class Progress:
    """The progress of a search; what a resumed session repeats counts once.

    Attributes:
        started: That of the latest session, as are ``usage``, ``scorer_usage`` and ``stopped``.
        default: Training score of the default template.
        starting: Training score of the best starting template.
        scored: Every scored template, by restart, as each restart found it first.
        times: Times of the latest events by name in ISO 8601, the latest last; of a log only.
    """

    started: SearchStarted | None = None
    usage: UsageChanged | None = None
    scorer_usage: ScorerUsageChanged | None = None
    stopped: SearchStopped | None = None
    default: float | None = None
    starting: float | None = None
    restarts: dict[int, RestartProgress] = field(default_factory=dict)
    scored: dict[tuple[int, str], TemplateScored] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    _refused: dict[str, dict[tuple[Position, int], str]] = field(default_factory=dict)
    _refusals: Counter[Position] = field(default_factory=Counter)

    def take(self, event: Event) -> None:
        match event:
            case SearchStarted():
                self.started, self.stopped = event, None
                self._refusals.clear()  # what follows may be a repetition
            case UsageChanged():
                self.usage = event
            case ScorerUsageChanged():
                self.scorer_usage = event
            case SearchStopped():
                self.stopped = event
            case DefaultTemplateScored():
                self.default = event.train
            case TemplateScored():
                self.scored.setdefault((event.position.restart, event.template), event)
            case TemplateRefused():
                place = event.position
                found = self._refused.setdefault(event.reason, {})
                found[place, self._refusals[place]] = event.line[:_LONGEST_LINE]
                self._refusals[place] += 1
            case BestEvent() | RoundSkipped():
                self._take_round(event)

    def _take_round(self, event: BestEvent | RoundSkipped) -> None:
        restart = self.restarts.setdefault(event.position.restart, RestartProgress())
        if isinstance(event, RoundSkipped):
            restart.skipped[event.position] = event.reason
            return
        if event.train > restart.train:  # another template as good is no progress
            restart.best, restart.train = event.best, event.train
        if isinstance(event, RestartFinished):
            restart.done = True
            return
        restart.heights[event.position] = event.train
        restart.skipped.pop(event.position, None)
        if isinstance(event, StartingTemplatesScored):
            self.starting = event.train if self.starting is None else max(event.train, self.starting)

    @property
    def rounds(self) -> int:
        return sum(restart.rounds for restart in self.restarts.values())

    @property
    def best(self) -> RestartProgress | None:
        found = max(self.restarts.values(), key=lambda restart: restart.train, default=None)
        return found if found is not None and found.best else None

    @property
    def prompts(self) -> str:
        return TEMPLATE if self.started is None else self.started.prompts

    def gains(self, best: float, *, percent: bool) -> dict[str, str]:
        """Return the gains of the best training score by baseline; over the starting one after a round."""
        others = {BASELINE_DEFAULT: self.default, BEST_STARTING: self.starting if self.rounds else None}
        return {
            name: difference_text(best - other, percent=percent)
            for name, other in others.items()
            if other is not None
        }

    @property
    def course(self) -> Course:
        curves = {number: one.curve for number, one in sorted(self.restarts.items())}
        skipped = Counter(why for _, one in sorted(self.restarts.items()) for why in one.skipped.values())
        return Course(
            curves={number: curve for number, curve in curves.items() if curve},
            rows=tuple(map(_row, self.scored.values())),
            refused={reason: _examples(found.values()) for reason, found in sorted(self._refused.items())},
            skipped=dict(skipped),
        )


def gains_in_words(gains: Mapping[str, str], words: KindWords) -> list[str]:
    """Return ``+3.1 points over the default template`` for each gain."""
    return [f"{gain} over {words.worded(f'the {name}')}" for name, gain in gains.items()]


def _row(event: TemplateScored) -> Row:
    return Row(**{name: value for name, value in event.fields().items() if name != "improved"})


def _examples(lines: Iterable[str]) -> Refused:
    found = list(lines)
    return Refused(count=len(found), examples=tuple(dict.fromkeys(found))[:MOST_EXAMPLES])


def progress_of(run_dir: Path) -> Progress:
    """Return the progress that a run's log holds."""
    found = Progress()
    for event, time in logged(run_dir):
        found.take(event)
        found.times.pop(event.name, None)
        found.times[event.name] = time
    return found


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
