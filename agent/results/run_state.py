"""The state of a run, read from its log and its result: live, finished, stopped or unfinished.

Nothing is opened that a live run holds, and test is never evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from ..events.log import logged
from ..events.types import (
    DefaultTemplateScored,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    SearchStarted,
    SearchStopped,
    StartingTemplatesScored,
    UsageChanged,
)
from ..store.lock import is_live
from .figures import are_shares, gains_so_far
from .gain import verdict_on
from .result import ENDED_EARLY, SearchResult
from .run_dir import STORE, read_result

_BEST = (StartingTemplatesScored.name, RoundFinished.name, RestartFinished.name)
_ROUND = (RoundFinished.name, RoundSkipped.name)
_PLACE = ("restart", "conversation", "round")
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    SearchStarted.name: ("rounds",),
    UsageChanged.name: ("calls", "prompt_tokens", "completion_tokens", "cost_usd"),
    **dict.fromkeys(_ROUND, _PLACE),
}
"""The members that are calculated with, by event; all others are only shown."""
_MOST = 1e18


@dataclass(kw_only=True)
class RunState:
    """The state of a run.

    Attributes:
        run_dir: Its folder.
        state: "live" while a process works on it, "finished", "stopped" by a limit or an outage, or
            "unfinished" where it was interrupted or killed.
        started: The ``SearchStarted`` of its latest session, as logged; empty before that.
        best: The best template that a restart reported, by training accuracy; None before the first.
        train: Its training accuracy, a fraction of 1.
        default: That of the default template; None before it is scored.
        starting: That of the best starting template; None before the first restart has scored them.
        rounds: Rounds that are over, skipped ones included, in this or an earlier session.
        usage: The latest ``UsageChanged``, as logged.
        stop_reason: Why it stopped.
        ended_early: Restarts that ended by early stopping, and why; None without a result.
        gain: The verdict on test, in a sentence; None without a result that has one.
        limits: The limits that stopped it, such as ``calls``; to resume, raise them.
        last_event: Name of the latest event.
        last_time: Its time, in ISO 8601.
    """

    run_dir: Path
    state: str = "unfinished"
    started: Mapping[str, Any] = field(default_factory=dict)
    best: str | None = None
    train: float | None = None
    default: float | None = None
    starting: float | None = None
    rounds: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    ended_early: str | None = None
    gain: str | None = None
    limits: tuple[str, ...] = ()
    last_event: str | None = None
    last_time: str | None = None

    @property
    def gains(self) -> list[str]:
        """Training gains of the best so far, in words; over the starting templates after the first round."""
        if self.train is None:
            return []
        starting = self.starting if self.rounds else None
        percent = are_shares((self.train, self.default, self.starting))
        return gains_so_far(self.train, default=self.default, starting=starting, percent=percent)

    def take(self, result: SearchResult) -> None:
        """Take over the end that a result reports."""
        self.state, self.stop_reason, self.limits = result.status, result.stop_reason, result.limits

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**vars(self), "run_dir": str(self.run_dir)}


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run."""
    return (folder / STORE).is_dir()


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of runs in a folder, the one begun last first."""
    try:
        found = [path for path in folder.iterdir() if is_run(path)]
    except OSError:
        return []
    return _latest_first(found)


def _latest_first(runs: list[Path]) -> list[Path]:
    return sorted(runs, key=lambda path: ((path / STORE).stat().st_ctime, path.name), reverse=True)


def runs_below(folder: Path) -> list[Path]:
    """Return the folders of runs in a folder and in folders there, such as a suite's, latest first."""
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and not is_run(path)]
    except OSError:
        return []
    return _latest_first([*runs_in(folder), *(run for path in inside for run in runs_in(path))])


def state_of(run_dir: Path) -> RunState:
    """Return the state of a run."""
    found = RunState(run_dir=run_dir)
    rounds = set[tuple[int, int, int]]()
    for event in events_of(run_dir):
        _take(found, event, rounds)
    found.rounds = len(rounds)
    if is_live(run_dir / STORE):
        found.state, found.stop_reason, found.limits = "live", None, ()
        return found
    try:
        result = read_result(run_dir)
    except (OSError, ValueError):
        return found  # missing or torn: a resume makes it
    found.take(result)
    found.best, found.train = result.best.template, result.best.train
    early = result.notes.get(ENDED_EARLY)
    found.ended_early = None if early is None else str(early)
    found.gain = verdict_on(result) or None
    return found


def _take(found: RunState, event: Mapping[str, Any], rounds: set[tuple[int, int, int]]) -> None:
    name = event.get("event")
    found.last_event, found.last_time = str(name), event.get("time")
    if name == SearchStarted.name:
        found.started, found.stop_reason, found.limits = event, None, ()
    elif name == UsageChanged.name:
        found.usage = event
    elif name == SearchStopped.name:
        found.stop_reason = str(event.get("reason"))
        found.limits = tuple(map(str, event.get("limits", ())))
    if name in _ROUND:
        rounds.add((event.get("restart", 0), event.get("conversation", 0), event.get("round", 0)))
    train = event.get("train")
    if not _is_number(train):
        return
    if name == DefaultTemplateScored.name:
        found.default = train
    elif name == StartingTemplatesScored.name:
        found.starting = train if found.starting is None else max(train, found.starting)
    if name in _BEST and (found.train is None or train > found.train):
        found.best, found.train = str(event.get("best")), train


def events_of(run_dir: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of the log, the oldest part first, without lines of another shape."""
    return (event for event in logged(run_dir) if _fits(event))


def _fits(event: Mapping[str, Any]) -> bool:
    """Return whether a line has the shape that this program writes: the log may have been changed."""
    name = event.get("event")
    if not isinstance(name, str):
        return False
    numbers = [event[key] for key in _NUMBERS.get(name, ()) if key in event]
    if name == UsageChanged.name:
        left = event.get("left", {})
        if not isinstance(left, dict):
            return False
        numbers += left.values()
    if name == SearchStopped.name and not isinstance(event.get("limits", []), list):
        return False
    return all(map(_is_number, numbers))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) <= _MOST
