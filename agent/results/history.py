"""A run's history and present state, from its log, its result and its details.

Nothing that a live run holds is opened, and test is never evaluated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ...evaluator.scoring import BASELINE_DEFAULT
from ...prompts.kinds import TEMPLATE, KindWords, PromptKind
from ..events import types as events
from ..events.log import logged
from ..position import Position
from ..store.lock import is_live
from .accuracies import BEST_STARTING
from .details import Details, read_details
from .result import OtherSchemaError, Row, SearchResult, are_shares, kind_of
from .run_dir import STORE, config_text, read_result

OTHER_VERSION = "of another version"
Curve = tuple[tuple[int, float], ...]
"""Rounds done, and the best training score after them; round 0 is the starting templates."""
MOST_EXAMPLES = 5
_LONGEST_LINE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Lines and templates that were rejected for one reason, with a few distinct examples."""

    count: int
    examples: tuple[str, ...] = ()


@dataclass(slots=True)
class RestartProgress:
    """The progress of a restart.

    Attributes:
        best: Its best template; empty before the first.
        value: What makes it the best: the objective on training images.
        heights: Its best training score at the end of each round.
        skipped: Rounds without an answer, and why.
    """

    best: str = ""
    train: float = -math.inf
    value: float = -math.inf
    done: bool = False
    heights: dict[Position, float] = field(default_factory=dict)
    skipped: dict[Position, str] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        return sum(not position.initial for position in self.heights.keys() | self.skipped.keys())

    @property
    def curve(self) -> Curve:
        points: list[tuple[int, float]] = []
        done = 0
        for position in sorted(self.heights.keys() | self.skipped.keys()):
            done += not position.initial
            if (height := self.heights.get(position)) is not None:
                # A restart's best never falls; a log that was cut may begin in its middle.
                points.append((done, max(height, points[-1][1]) if points else height))
        return tuple(points)


@dataclass(kw_only=True)
class Progress:
    """The progress of a search, by its events; what a resumed session repeats counts once.

    Attributes:
        started: That of the latest session, as are ``usage``, ``scorer_usage`` and ``stopped``.
        default: Training score of the default template.
        scored: Every scored template, by restart, as each restart found it first.
        times: Times of the latest events by name in ISO 8601, the latest last; of a log only.
    """

    started: events.SearchStarted | None = None
    usage: events.UsageChanged | None = None
    scorer_usage: events.ScorerUsageChanged | None = None
    stopped: events.SearchStopped | None = None
    default: float | None = None
    restarts: dict[int, RestartProgress] = field(default_factory=dict)
    scored: dict[tuple[int, str], events.TemplateScored] = field(default_factory=dict)
    times: dict[str, str] = field(default_factory=dict)
    _leading: events.StartingTemplatesScored | None = None
    _refused: dict[str, dict[tuple[Position, int], str]] = field(default_factory=dict)
    _refusals: Counter[Position] = field(default_factory=Counter)

    def add(self, event: events.Event) -> None:
        match event:
            case events.SearchStarted():
                self.started, self.stopped = event, None
                self._refusals.clear()  # what follows may be a repetition
            case events.UsageChanged():
                self.usage = event
            case events.ScorerUsageChanged():
                self.scorer_usage = event
            case events.SearchStopped():
                self.stopped = event
            case events.DefaultTemplateScored():
                self.default = event.train
            case events.TemplateScored():
                self.scored.setdefault((event.position.restart, event.template), event)
            case events.TemplateRefused():
                lines = self._refused.setdefault(event.reason, {})
                lines[event.position, self._refusals[event.position]] = event.line[:_LONGEST_LINE]
                self._refusals[event.position] += 1
            case events.BestEvent() | events.RoundSkipped():
                self._add_round(event)

    def _add_round(self, event: events.BestEvent | events.RoundSkipped) -> None:
        restart = self.restarts.setdefault(event.position.restart, RestartProgress())
        if isinstance(event, events.RoundSkipped):
            restart.skipped[event.position] = event.reason
            return
        if event.value > restart.value:  # another template as good is no progress
            restart.best, restart.train, restart.value = event.best, event.train, event.value
        if isinstance(event, events.RestartFinished):
            restart.done = True
            return
        restart.heights[event.position] = event.train
        restart.skipped.pop(event.position, None)
        if isinstance(event, events.StartingTemplatesScored) and (
            self._leading is None or event.value > self._leading.value
        ):
            self._leading = event

    @property
    def rounds(self) -> int:
        return sum(restart.rounds for restart in self.restarts.values())

    @property
    def restarts_done(self) -> int:
        return sum(restart.done for restart in self.restarts.values())

    @property
    def restarts_are_done(self) -> bool:
        return self.started is not None and self.restarts_done >= self.started.restarts

    @property
    def best(self) -> RestartProgress | None:
        leading = max(self.restarts.values(), key=lambda restart: restart.value, default=None)
        return leading if leading is not None and leading.best else None

    @property
    def starting(self) -> float | None:
        """Training score of the best starting template."""
        return None if self._leading is None else self._leading.train

    @property
    def prompts(self) -> str:
        return TEMPLATE if self.started is None else self.started.prompts

    def gains(self, best: float) -> dict[str, float]:
        """Return the gains of the best training score by baseline; over the starting one after a round.

        The best template, which augmented copies choose too, may be behind the starting one on the training
        images alone. That says nothing, and is left out.
        """
        starting = self.starting
        is_ahead = starting is not None and bool(self.rounds) and best >= starting
        baselines = {BASELINE_DEFAULT: self.default, BEST_STARTING: starting if is_ahead else None}
        return {name: best - train for name, train in baselines.items() if train is not None}

    @property
    def curves(self) -> dict[int, Curve]:
        """By restart, its best score after each round."""
        curves = {number: restart.curve for number, restart in sorted(self.restarts.items())}
        return {number: curve for number, curve in curves.items() if curve}

    @property
    def rows(self) -> list[Row]:
        """Every scored template, as each restart found it first; ranks are 0."""
        fields = [event.fields() for event in self.scored.values()]
        return [Row(**{name: value for name, value in row.items() if name != "improved"}) for row in fields]

    @property
    def refused(self) -> dict[str, Refused]:
        """Rejected lines and templates, by reason."""
        return {
            reason: Refused(count=len(lines), examples=tuple(dict.fromkeys(lines.values()))[:MOST_EXAMPLES])
            for reason, lines in sorted(self._refused.items())
        }

    @property
    def skipped(self) -> Counter[str]:
        """Rounds without an answer, by reason."""
        restarts = [restart for _, restart in sorted(self.restarts.items())]
        return Counter(why for restart in restarts for why in restart.skipped.values())


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Everything known of a run.

    Attributes:
        state: "live" while a process works on it, "finished", "stopped" by a limit or an outage,
            "unfinished" after an interruption or a crash, or "of another version".
        progress: What its log says.
        result: None while it is live, and until the run has first ended or been stopped.
        unread: Why its result cannot be read, if it is of another version.
        details: None in what ``state_of`` returns; ``config`` is empty there.
    """

    run_dir: Path
    state: str = "unfinished"
    progress: Progress = field(default_factory=Progress)
    result: SearchResult | None = None
    unread: str | None = None
    details: Details | None = None
    config: str = ""

    @property
    def course(self) -> Progress:
        """Its progress round by round; empty if the log of a run with a result is cut or missing."""
        templates_in_log = len({template for _, template in self.progress.scored})
        return self.progress if self.result is None or templates_in_log >= len(self.rows) else Progress()

    @property
    def best(self) -> str | None:
        """The best template, the chosen one once there is a result; None before the first."""
        if self.result is not None:
            return self.result.best.template
        return None if self.progress.best is None else self.progress.best.best

    @property
    def train(self) -> float | None:
        """Training accuracy of ``best``, a fraction of 1."""
        if self.result is not None:
            return self.result.best.train
        return None if self.progress.best is None else self.progress.best.train

    @property
    def gains(self) -> dict[str, float]:
        """Training gains of the best template by baseline; over the starting ones after the first round."""
        return {} if self.train is None else self.progress.gains(self.train)

    @property
    def stop_reason(self) -> str | None:
        """Why the run stopped; the result of another version says nothing but that."""
        if self.unread is not None or self.state == "live":
            return self.unread
        if self.result is not None:
            return self.result.stop_reason
        return None if self.progress.stopped is None else self.progress.stopped.reason

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits that stopped it, such as ``calls``; to resume, raise them."""
        if self.result is not None:
            return self.result.limits
        return () if self.state == "live" or self.progress.stopped is None else self.progress.stopped.limits

    @property
    def rows(self) -> Sequence[Row]:
        """The leaderboard; before that, the templates scored so far, by training score, dropped ones last."""
        if self.result is not None:
            return self.result.leaderboard

        def rank(row: Row) -> tuple[bool, float, int, int, int]:
            dropped = row.images is not None
            return dropped, -row.comparable, row.restart, row.conversation, row.round

        row_by_template: dict[str, Row] = {}
        for row in self.progress.rows:
            first = row_by_template.setdefault(row.template, row)
            if first.images is not None and row.images is None:
                row_by_template[row.template] = row  # another restart scored it on all images
        return sorted(row_by_template.values(), key=rank)

    @property
    def prompts(self) -> str:
        return self.progress.prompts if self.result is None else self.result.prompts

    @property
    def kind(self) -> PromptKind:
        return kind_of(self.prompts)

    @property
    def words(self) -> KindWords:
        return self.kind.words

    @property
    def percent(self) -> bool:
        """Whether the scores may be accuracies, shown in percent."""
        if self.result is not None:
            return self.result.has_accuracies
        return are_shares(score for row in self.progress.rows for score in (row.train, row.val))

    @property
    def last_event(self) -> tuple[str | None, str | None]:
        """Name and time of the latest event in the log."""
        return next(reversed(self.progress.times.items()), (None, None))


PageWriter: TypeAlias = Callable[[RunView], object]
"""Writes the report page into a run's folder."""


def state_of(run_dir: Path, result: SearchResult | None = None) -> RunView:
    """Read the state of a run; pass the ``result`` of a run that this process still holds."""
    progress = Progress()
    for event, time in logged(run_dir):
        progress.add(event)
        progress.times.pop(event.name, None)
        progress.times[event.name] = time
    view = RunView(run_dir=run_dir, progress=progress)
    if result is None:
        if is_live(run_dir / STORE):
            return replace(view, state="live")
        try:
            result = read_result(run_dir)
        except OtherSchemaError as error:
            return replace(view, state=OTHER_VERSION, unread=str(error))
        except (OSError, ValueError):
            return view  # missing or torn: a resume writes it
    return replace(view, state=result.status, result=result)


def view_of(run_dir: Path, result: SearchResult | None = None, *, pictures: bool = True) -> RunView:
    """Read everything known of a run; pass the ``result`` of a run that this process still holds."""
    view = state_of(run_dir, result)
    # Those in the folder of a live run are of an earlier end.
    details = None if view.result is None else read_details(run_dir)
    if details is not None and not pictures:
        details = replace(details, pictures=())
    return replace(view, details=details, config=config_text(run_dir))
