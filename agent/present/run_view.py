"""Everything known of a run at any time: its progress by its events, its state and its result.

Nothing that a live run holds is opened, and test is never evaluated.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from ...evaluator.counts import counted
from ...evaluator.scoring import BASELINE_DEFAULT
from ...prompts.kinds import TEMPLATE, KindWords
from ..events.log import logged
from ..events.types import (
    AnswerEmpty,
    AnswerReceived,
    BatchScored,
    BestEvent,
    ChatFailed,
    DefaultTemplateScored,
    Event,
    ImagesEncoded,
    ModelFetched,
    Paused,
    RestartFinished,
    RetryScheduled,
    RoundSkipped,
    ScorerUsageChanged,
    SearchStarted,
    SearchStopped,
    StartingTemplatesScored,
    TemplateRefused,
    TemplateScored,
    UsageChanged,
    WaitCapped,
)
from ..position import Position
from ..results.details import Ancestor, Details, lineage_of, read_details
from ..results.gain import BEST_STARTING
from ..results.result import ENDED_EARLY, OtherSchemaError, Row, SearchResult, are_shares, words_of
from ..results.run_dir import STORE, config_text, read_result
from ..store.lock import is_live
from .figures import (
    difference_text,
    left_of,
    left_of_both,
    score_text,
    scorer_spent,
)
from .verdict import baseline_name, verdict_on, with_names

OTHER_VERSION = "of another version"
Curve = tuple[tuple[int, float], ...]
"""Rounds done, and the best training score after them; round 0 is the starting templates."""
MOST_EXAMPLES = 5
BLOCKS, BLOCKS_WIDTH = "▁▂▃▄▅▆▇█", 30
RETRIES = {
    "rate_limited": "rate limit",
    "transient": "temporary failure",
    "unusable": "unusable answer",
    "no": "refusal",
}
_LONGEST_REASON = 100
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
    def restarts_are_done(self) -> bool:
        done = sum(restart.done for restart in self.restarts.values())
        return self.started is not None and done >= self.started.restarts

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
    return [f"{gain} over the {baseline_name(name, words)}" for name, gain in gains.items()]


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


@dataclass(kw_only=True)
class SearchProgress(Progress):
    """The progress of a running search, and what is happening.

    Attributes:
        percent: Whether all scores may be accuracies.
        latest: The latest happening worth a line.
        since: Calls of the scorer behind an API when it began, if their number shows how far it is.
        answers: Answers received, ``empty`` of them without a template.
        fresh: Rounds that were over before this session's first answer; None before that.
        waiting: What the LLM requests wait for, and why; empty after an answer.
        pauses: How often an endpoint asked for a pause.
    """

    percent: bool = True
    latest: str = ""
    since: int | None = None
    opening: str = ""
    answers: int = 0
    empty: int = 0
    queued: int = 0
    batched: int = 0
    fresh: int | None = None
    waiting: str = ""
    retries: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    _failure: str = ""
    _encoded: Counter[bool] = field(default_factory=Counter)  # whether copies -> how many
    _encoding: ImagesEncoded = ImagesEncoded(done=0, of=0)  # noqa: RUF009 - it is frozen

    def take(self, event: Event) -> None:
        """Update the progress from an event."""
        super().take(event)
        match event:
            case ImagesEncoded():
                self._take_images(event)
            case ModelFetched():
                done, of = (f"{size / 1e6:,.0f}" for size in (event.done, event.of))
                self.opening = f"fetching {event.model} from {event.source}: {done} of {of} MB"
            case BatchScored():
                self.queued, self.batched = event.waiting, self.batched + event.templates
            case DefaultTemplateScored() | TemplateScored():
                self.percent = self.percent and are_shares((event.train, event.val))
            case BestEvent():
                self.latest = ""
            case _:
                self._take_request(event)

    def _take_images(self, event: ImagesEncoded) -> None:
        """Add up the images of all splits, and their augmented copies, which are encoded in turn."""
        last = self._encoding
        if (event.of, event.copies) != (last.of, last.copies) or event.done <= last.done:
            self._encoded[last.copies] += last.done
        self._encoding = event
        total = self._encoded + Counter({event.copies: event.done})
        kinds = (counted(total[False], "image"), counted(total[True], "augmented copy", "augmented copies"))
        shown = " and ".join(kind for copies, kind in enumerate(kinds) if total[bool(copies)])
        left = f", {event.of - event.done:,} to go in this split" if event.done < event.of else ""
        self.opening = f"{shown} encoded{left}"

    def _take_request(self, event: Event) -> None:
        match event:
            case AnswerReceived():
                self.answers += 1
                if not event.replayed:
                    self.waiting = ""
                    self.fresh = self.rounds if self.fresh is None else self.fresh
            case AnswerEmpty():
                self.empty += 1
            case ChatFailed():
                self._failure = f" ({event.message}"[:_LONGEST_REASON] + ")"
            case RetryScheduled():
                reason = RETRIES.get(event.reason, event.reason)
                self.retries[reason] += 1
                attempt = f"attempt {event.attempt + 1} in {event.wait_s:,.0f} s"
                self.waiting = f"{event.endpoint}: {attempt}, {reason}{self._failure}"
            case Paused():
                self.pauses += 1
                self.waiting = f"{event.endpoint} gets no requests for {event.wait_s:,.0f} s"
            case WaitCapped():
                asked = f"{event.endpoint} asks for {event.asked_s:,.0f} s"
                self.waiting = f"{asked}; tried again in {event.wait_s:,.0f} s"

    def begin(self, what: str) -> None:
        """Show something that many requests to a scorer behind an API may take."""
        self.latest = what
        self.since = self.scorer_usage.calls if self.scorer_usage is not None else None

    @property
    def happening(self) -> str:
        """The latest happening, and how many requests to the scorer it took so far."""
        used = self.scorer_usage
        calls = used.calls - self.since if used is not None and self.since is not None else 0
        done = counted(calls, "request to the scorer", "requests to the scorer")
        return f"{self.latest}, {done} answered" if self.latest and calls > 0 else self.latest

    @property
    def ahead(self) -> list[str]:
        """The best so far, its course, and its gains over the default and the starting templates."""
        best = self.best
        if best is None:
            return []
        found = [f"best so far {self.score(best.train)} on train"]
        # A race leaves accuracies on a few images.
        heights = [one.train for one in self.scored.values() if one.images is None]
        if len(heights) > 1:
            found[0] += f" {sparkline(list(accumulate(heights, max)))}"
        return found + gains_in_words(self.gains(best.train, percent=self.percent), self.words)

    @property
    def hindered(self) -> list[str]:
        """What costs time or calls: retries by reason, answers without a template, the queue."""
        found = []
        if count := self.retries.total():
            why = ", ".join(counted(number, reason) for reason, number in self.retries.most_common())
            found.append(f"{counted(count, 'retry', 'retries')} ({why})")
        if self.pauses:
            found.append(counted(self.pauses, "pause"))
        if self.empty:
            share = 100 * self.empty / max(1, self.answers)
            found.append(
                f"{self.empty:,} of {counted(self.answers, 'answer')} without {self.words.a_noun} "
                f"({share:.0f}%)"
            )
        if self.queued:
            found.append(f"{counted(self.queued, self.words.noun)} in the queue")
        return found

    def time_left(self, seconds: float) -> list[str]:
        """Return the time left, for seconds since the first new round; empty if the speed is not known."""
        done = self.rounds - (self.fresh or 0)
        if self.started is None or done < 1 or (self.started.llm is not None and self.fresh is None):
            return []
        rest = seconds / done * (self.started.rounds - self.rounds)
        if rest >= 90:
            return [f"about {rest / 60:,.0f} min left"]
        return [f"about {rest:,.0f} s left"] if rest >= 1 else []

    @property
    def line(self) -> str:
        """The progress in a line."""
        if self.started is None:
            return self.opening or "opening ..."
        done = f"round {self.rounds:,} of {self.started.rounds:,}"
        parts = [done, self.evaluated, *self.spent, *self.ahead]
        return ", ".join(parts) + (f"; {self.waiting}" if self.waiting else "")

    def score(self, value: float) -> str:
        """Return the text of a score."""
        return score_text(value, percent=self.percent, unit="%")

    @property
    def words(self) -> KindWords:
        """How to speak of what is searched for."""
        return words_of(self.prompts)

    @property
    def evaluated(self) -> str:
        """The number of distinct templates with a score; restarts may find the same one.

        Starting templates are reported when all have scores: until then, those of finished batches count.
        """
        found = len({template for _, template in self.scored}) or self.batched
        return f"{counted(found, self.words.noun)} scored"

    @property
    def spent(self) -> list[str]:
        """The usage so far; empty if neither an LLM nor a scorer behind an API is asked."""
        used = self.scorer_usage
        return [*self._spent_on_llm, *([] if used is None else [scorer_spent(used)])]

    @property
    def _spent_on_llm(self) -> list[str]:
        used = self.usage
        if self.started is not None and self.started.llm is None:
            return []
        whose = "LLM: " if self.scorer_usage is not None else ""
        if used is None:
            return [f"{whose}0 calls"]
        most = f" of {used.calls + used.left['calls']:,.0f}" if "calls" in used.left else ""
        parts = [f"{whose}{used.calls:,}{most} calls" if most else f"{whose}{counted(used.calls, 'call')}"]
        if used.failed_calls:
            parts.append(counted(used.failed_calls, "failed attempt"))
        parts.append(f"{used.tokens:,} tokens")
        more = [f"{used.cached_tokens:,} cached"] if used.cached_tokens else []
        more += [f"at most {used.estimated_tokens:,} more"] if used.estimated_tokens else []
        if more:
            parts[-1] += f" ({', '.join(more)})"
        if used.cost_usd:
            parts.append(f"${used.cost_usd:.4f}")
        return parts

    @property
    def left(self) -> list[str]:
        """What is left of each limit that was set."""
        llm, scorer = (used.left if used else {} for used in (self.usage, self.scorer_usage))
        return [left_of(name, value) for name, value in left_of_both(llm, scorer).items()]


def sparkline(values: Sequence[float], width: int = BLOCKS_WIDTH) -> str:
    """Return values as at most ``width`` blocks; each shows the last of its values."""
    if len(values) > width:
        values = [values[(place + 1) * len(values) // width - 1] for place in range(width)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high <= low:
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in values)


@dataclass(frozen=True, kw_only=True)
class RunView:
    """Everything known of a run.

    Attributes:
        state: "live" while a process works on it, "finished", "stopped" by a limit or an outage,
            "unfinished" after an interruption or a crash, or "of another version".
        progress: What its log says.
        result: None while it is live, and until the run has first ended or been stopped.
        unread: Why its result cannot be read, if it is of another version.
        course: Empty in what ``state_of`` returns, as are ``details`` and ``config``.
    """

    run_dir: Path
    state: str = "unfinished"
    progress: Progress = field(default_factory=Progress)
    result: SearchResult | None = None
    unread: str | None = None
    course: Course = field(default_factory=Course)
    details: Details | None = None
    config: str = ""

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
    def with_names(self) -> str:
        """How many new class names go with the best template, in words to append; empty if none."""
        return "" if self.result is None else with_names(self.result.best)

    @property
    def stop_reason(self) -> str | None:
        """Why the run stopped; the result of another version says nothing but that."""
        if self.unread is not None or self.state == "live":
            return self.unread
        stopped = self.progress.stopped
        return self.result.stop_reason if self.result is not None else stopped.reason if stopped else None

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits that stopped it, such as ``calls``; to resume, raise them."""
        if self.result is not None:
            return self.result.limits
        return () if self.state == "live" or self.progress.stopped is None else self.progress.stopped.limits

    @property
    def ended_early(self) -> str | None:
        """Restarts that ended by early stopping, and why; None without a result."""
        early = None if self.result is None else self.result.notes.get(ENDED_EARLY)
        return None if early is None else str(early)

    @property
    def verdict(self) -> str | None:
        """The verdict on test, in a sentence; None before the test evaluation."""
        return None if self.result is None else verdict_on(self.result) or None

    @property
    def gains(self) -> list[str]:
        """Training gains of the best template in words; over the starting templates after the first round."""
        if self.train is None:
            return []
        percent = are_shares((self.train, self.progress.default, self.progress.starting))
        return gains_in_words(self.progress.gains(self.train, percent=percent), self.words)

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
        if self.result is not None:
            # With new class names a neutral template may be best, which the search did not find.
            rows = [row for row in rows if row.template == self.result.best.template]
        if not rows:
            return ()
        known = self.rows if self.course.estimated else self.course.rows
        return [Ancestor(**asdict(row)) for row in lineage_of(rows[0], known)]

    @property
    def prompts(self) -> str:
        return self.progress.prompts if self.result is None else self.result.prompts

    @property
    def words(self) -> KindWords:
        return words_of(self.prompts)

    @property
    def percent(self) -> bool:
        """Whether the scores may be accuracies, shown in percent."""
        if self.result is not None:
            return self.result.has_accuracies
        return are_shares(value for row in self.course.rows for value in (row.train, row.val))

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values; events as logged."""
        progress, (last, time) = self.progress, self.last_event
        events: tuple[Event | None, ...] = (progress.started, progress.usage, progress.scorer_usage)
        started, usage, scorer_usage = (
            {} if one is None else {**one.fields(), "event": one.name, "time": progress.times.get(one.name)}
            for one in events
        )
        return {
            "run_dir": str(self.run_dir),
            "state": self.state,
            "started": started,
            "best": self.best,
            "with_names": self.with_names,
            "train": self.train,
            "default": progress.default,
            "starting": progress.starting,
            "rounds": progress.rounds,
            "usage": usage,
            "scorer_usage": scorer_usage,
            "stop_reason": self.stop_reason,
            "ended_early": self.ended_early,
            "gain": self.verdict,
            "limits": self.limits,
            "last_event": last,
            "last_time": time,
            "prompts": self.prompts,
        }

    @property
    def last_event(self) -> tuple[str | None, str | None]:
        """Name and time of the latest event in the log."""
        return next(reversed(self.progress.times.items()), (None, None))


def state_of(run_dir: Path, result: SearchResult | None = None) -> RunView:
    """Read the state of a run; pass ``result`` if it is not on disk yet."""
    found = RunView(run_dir=run_dir, progress=progress_of(run_dir))
    if result is None:
        if is_live(run_dir / STORE):
            return replace(found, state="live")
        try:
            result = read_result(run_dir)
        except OtherSchemaError as error:
            return replace(found, state=OTHER_VERSION, unread=str(error))
        except (OSError, ValueError):
            return found  # missing or torn: a resume writes it
    return replace(found, state=result.status, result=result)


def view_of(run_dir: Path, result: SearchResult | None = None, *, pictures: bool = True) -> RunView:
    """Read everything known of a run; pass ``result`` if it is not on disk yet."""
    found = state_of(run_dir, result)
    course = found.progress.course
    if found.result is not None and len({row.template for row in course.rows}) < len(found.rows):
        course = course_of_rows(found.rows)  # the log is cut or missing
    details = read_details(run_dir)
    if details is not None and not pictures:
        details = replace(details, pictures=())
    return replace(found, course=course, details=details, config=config_text(run_dir))
