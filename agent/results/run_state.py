"""How a run stands, read from its log and its result: one that is live, one that was stopped, one that died.

Nothing is opened that a live run holds, and the test split is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from ..events import (
    DefaultTemplateScored,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    SearchStarted,
    SearchStopped,
    StartingTemplatesScored,
    UsageChanged,
)
from ..events.log import logged
from ..store.lock import is_live
from .figures import are_shares, gains_so_far
from .guessing import verdict_on
from .run_dir import STORE, read_result

_BEST = (StartingTemplatesScored.name, RoundFinished.name, RestartFinished.name)
_TURN = (RoundFinished.name, RoundSkipped.name)
_PLACE = ("restart", "conversation", "round")
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    SearchStarted.name: ("rounds",),
    UsageChanged.name: ("calls", "prompt_tokens", "completion_tokens", "cost_usd"),
    **dict.fromkeys(_TURN, _PLACE),
}
"""What is reckoned with, by event; of the rest any value can be shown."""
_MOST = 1e18


@dataclass(kw_only=True)
class RunState:
    """How a run stands.

    Attributes:
        run_dir: Its folder.
        state: "live" while a process works on it, "finished", "stopped" by a limit or an outage, or
            "unfinished" where it was interrupted or died.
        started: The ``SearchStarted`` of its latest session, as logged; empty where it never came to that.
        best: The best template that a restart reported, by training accuracy; None before the first.
        train: Its training accuracy, a fraction of 1.
        plain: That of the plain template; None before it is scored, and of runs that did not score it first.
        pool: That of the best starting template; None before the first restart has scored them.
        rounds: Rounds that are over, skipped ones included, in this or an earlier session.
        usage: The latest ``UsageChanged``, as logged.
        stop_reason: What stopped it.
        ended_early: Which restarts ended early, as they were asked to, and why; None without a result.
        gain: What the test images say of the choice, in a sentence; None before a result tells it.
        limits: The limits that did, such as ``calls``; going on takes higher ones.
        last_event: Name of the latest event.
        last_time: When that was, in ISO 8601.
    """

    run_dir: Path
    state: str = "unfinished"
    started: Mapping[str, Any] = field(default_factory=dict)
    best: str | None = None
    train: float | None = None
    plain: float | None = None
    pool: float | None = None
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
        """What the best so far gains on train, in words; over the initial templates once there are others."""
        if self.train is None:
            return []
        pool = self.pool if self.rounds else None
        percent = are_shares((self.train, self.plain, self.pool))
        return gains_so_far(self.train, plain=self.plain, pool=pool, percent=percent)

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
    """Return how a run stands."""
    found = RunState(run_dir=run_dir)
    turns = set[tuple[int, int, int]]()
    for event in events_of(run_dir):
        _take(found, event, turns)
    found.rounds = len(turns)
    if is_live(run_dir / STORE):
        found.state, found.stop_reason, found.limits = "live", None, ()
        return found
    try:
        result = read_result(run_dir)
    except (OSError, ValueError):
        return found  # missing or torn: a resume makes it
    found.state, found.stop_reason, found.limits = result.status, result.stop_reason, result.limits
    found.best, found.train = result.best.template, result.best.train
    found.ended_early = result.notes.ended_early
    found.gain = verdict_on(result) or None
    return found


def _take(found: RunState, event: Mapping[str, Any], turns: set[tuple[int, int, int]]) -> None:
    name = event.get("event")
    found.last_event, found.last_time = str(name), event.get("time")
    if name == SearchStarted.name:
        found.started, found.stop_reason, found.limits = event, None, ()
    elif name == UsageChanged.name:
        found.usage = event
    elif name == SearchStopped.name:
        found.stop_reason = str(event.get("reason"))
        found.limits = tuple(map(str, event.get("limits", ())))
    if name in _TURN:
        turns.add((event.get("restart", 0), event.get("conversation", 0), event.get("round", 0)))
    train = event.get("train")
    if not _is_number(train):
        return
    if name == DefaultTemplateScored.name:
        found.plain = train
    elif name == StartingTemplatesScored.name:
        found.pool = train if found.pool is None else max(train, found.pool)
    if name in _BEST and (found.train is None or train > found.train):
        found.best, found.train = str(event.get("best")), train


def events_of(run_dir: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what the log holds, the oldest part first; a line that is another's is passed over."""
    return (event for event in logged(run_dir) if _fits(event))


def _fits(event: Mapping[str, Any]) -> bool:
    """Return whether a line is of the shape that this program writes: the log may have been changed."""
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
