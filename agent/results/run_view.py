"""Everything known of a run at any time: its state, its course and its result.

Nothing that a live run holds is opened, and test is never evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...prompts.kinds import KindWords
from ..events.types import Event
from ..store.lock import is_live
from .details import Ancestor, Details, lineage_of, read_details
from .figures import are_shares, has_accuracies
from .gain import verdict_on
from .progress import Course, Progress, course_of_rows, gains_in_words, progress_of
from .result import ENDED_EARLY, OtherSchemaError, Row, SearchResult, words_of
from .run_dir import STORE, config_text, read_result

OTHER_VERSION = "of another version"


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
        return "" if self.result is None else self.result.best.with_names

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
        if not rows:
            return ()
        known = rows if self.course.estimated else self.course.rows
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
            return has_accuracies(self.result)
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
