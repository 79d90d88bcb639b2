"""What is known of a run, at its end or before, as plain data: what a page is made from.

Nothing is opened that a live run holds, and the test split is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from .course import Course, course_of, course_of_rows
from .details import Ancestor, Details, read_details
from .figures import are_shares, has_accuracies
from .lineage import lineage_of
from .result import Row, SearchResult
from .run_config import config_text
from .run_dir import read_result
from .run_state import RunState, events_of, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What is known of a run.

    Attributes:
        state: How it stands.
        result: What it found; None before it has ended, or been stopped, for the first time.
        course: How it went.
        details: Decisions image by image, and whence the best template came; None where nobody kept them.
        config: Its ``config.toml``.
    """

    state: RunState
    result: SearchResult | None = None
    course: Course = field(default_factory=Course)
    details: Details | None = None
    config: str = ""

    @property
    def rows(self) -> Sequence[Row]:
        """The leaderboard; while there is none, what was scored so far, by training score."""
        if self.result is not None:
            return self.result.leaderboard
        found: dict[str, Row] = {}
        for row in self.course.rows:
            found.setdefault(row.template, row)
        return sorted(found.values(), key=lambda row: (-row.train, row.restart, row.conversation, row.round))

    @property
    def lineage(self) -> Sequence[Ancestor]:
        """The line of the best template; without requests and answers where these were not kept."""
        rows = self.rows
        if self.details is not None and self.details.lineage and self.result is not None:
            return self.details.lineage
        if not rows:
            return ()
        known = rows if self.course.estimated else self.course.rows
        return [
            Ancestor(
                template=row.template,
                train=row.train,
                restart=row.restart,
                conversation=row.conversation,
                round=row.round,
                source=row.source,
            )
            for row in lineage_of(rows[0], known)
        ]

    @property
    def percent(self) -> bool:
        """Whether its scores may be accuracies, to be shown in percent."""
        if self.result is not None:
            return has_accuracies(self.result)
        return are_shares(value for row in self.course.rows for value in (row.train, row.val))


def view_of(run_dir: Path, result: SearchResult | None = None, *, pictures: bool = True) -> RunView:
    """Return what is known of a run from its folder.

    Args:
        run_dir: The folder.
        result: What it found, where that is not on disk yet.
        pictures: False leaves small pictures of test images out.
    """
    state = state_of(run_dir)
    course = course_of(events_of(run_dir))
    if result is None and state.state != "live":
        with suppress(OSError, ValueError):  # missing or torn: a resume makes it
            result = read_result(run_dir)
    if result is not None:
        state.state, state.stop_reason, state.limits = result.status, result.stop_reason, result.limits
        if len({row.template for row in course.rows}) < len(result.leaderboard):
            course = course_of_rows(result.leaderboard)  # the log was cut, or is not there
    details = read_details(run_dir)
    if details is not None and not pictures:
        details = replace(details, pictures=())
    return RunView(state=state, result=result, course=course, details=details, config=config_text(run_dir))
