"""The state of a run, read from its log and its result.

Nothing that a live run holds is opened, and test is never evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from ...prompts.kinds import TEMPLATE, KindWords
from ..events.log import logged
from ..events.types import (
    DefaultTemplateScored,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    ScorerUsageChanged,
    SearchStarted,
    SearchStopped,
    StartingTemplatesScored,
    UsageChanged,
)
from ..store.lock import is_live
from .figures import are_shares, gains_so_far
from .gain import verdict_on
from .result import ENDED_EARLY, OtherSchemaError, SearchResult, words_of
from .run_dir import STORE, read_result

OTHER_VERSION = "of another version"
_BEST = (StartingTemplatesScored.name, RoundFinished.name, RestartFinished.name)
_ROUND = (RoundFinished.name, RoundSkipped.name)
_PLACE = ("restart", "conversation", "round")
_USED = ("calls", "prompt_tokens", "completion_tokens", "cost_usd", "estimated_tokens", "estimated_usd")
_NUMBERS: Mapping[str, tuple[str, ...]] = {
    SearchStarted.name: ("rounds",),
    UsageChanged.name: _USED,
    ScorerUsageChanged.name: _USED,
    **dict.fromkeys(_ROUND, _PLACE),
}
"""Members used in calculations, by event; all others are only shown."""
_MOST = 1e18


@dataclass(kw_only=True)
class RunState:
    """The state of a run.

    Attributes:
        state: "live" while a process works on it, "finished", "stopped" by a limit or an outage,
            "unfinished" after an interruption or a crash, or "of another version".
        started: The ``SearchStarted`` of the latest session, as logged; empty before that.
        best: The best template by training accuracy; None before the first.
        with_names: How many new class names go with it, in words to append; empty if none.
        train: Its training accuracy, a fraction of 1.
        default: Training accuracy of the default template.
        starting: Training accuracy of the best starting template.
        rounds: Rounds that are over in all sessions, skipped ones included.
        usage: The latest ``UsageChanged``, as logged.
        scorer_usage: The latest ``ScorerUsageChanged``, as logged.
        ended_early: Restarts that ended by early stopping, and why; None without a result.
        gain: The verdict on test, in a sentence.
        limits: The limits that stopped it, such as ``calls``; to resume, raise them.
        last_time: Time of the latest event, in ISO 8601.
        prompts: The prompt kind that is searched for.
    """

    run_dir: Path
    state: str = "unfinished"
    started: Mapping[str, Any] = field(default_factory=dict)
    best: str | None = None
    with_names: str = ""
    train: float | None = None
    default: float | None = None
    starting: float | None = None
    rounds: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    scorer_usage: Mapping[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None
    ended_early: str | None = None
    gain: str | None = None
    limits: tuple[str, ...] = ()
    last_event: str | None = None
    last_time: str | None = None
    prompts: str = TEMPLATE

    @property
    def words(self) -> KindWords:
        """How to speak of what is searched for."""
        return words_of(self.prompts)

    @property
    def gains(self) -> list[str]:
        """Training gains of the best template in words; over the starting templates after the first round."""
        if self.train is None:
            return []
        starting = self.starting if self.rounds else None
        percent = are_shares((self.train, self.default, self.starting))
        return gains_so_far(
            self.train, default=self.default, starting=starting, percent=percent, words=self.words
        )

    def take(self, result: SearchResult) -> None:
        """Set the state to the end that a result reports."""
        self.state, self.stop_reason, self.limits = result.status, result.stop_reason, result.limits
        self.prompts = result.prompts

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**vars(self), "run_dir": str(self.run_dir)}


def is_run(folder: Path) -> bool:
    """Return whether a folder holds a run."""
    return (folder / STORE).is_dir()


def runs_in(folder: Path) -> list[Path]:
    """Return the runs in a folder, newest first."""
    try:
        found = [path for path in folder.iterdir() if is_run(path)]
    except OSError:
        return []
    return _latest_first(found)


def _latest_first(runs: list[Path]) -> list[Path]:
    return sorted(runs, key=lambda path: ((path / STORE).stat().st_ctime, path.name), reverse=True)


def runs_below(folder: Path) -> list[Path]:
    """Return the runs in a folder and its subfolders, such as a suite's, newest first."""
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and not is_run(path)]
    except OSError:
        return []
    return _latest_first([*runs_in(folder), *(run for path in inside for run in runs_in(path))])


def state_of(run_dir: Path) -> RunState:
    """Read the state of a run."""
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
    except OtherSchemaError as error:
        found.state, found.stop_reason = OTHER_VERSION, str(error)
        return found
    except (OSError, ValueError):
        return found  # missing or torn: a resume writes it
    found.take(result)
    found.best, found.train = result.best.template, result.best.train
    found.with_names = result.best.with_names
    early = result.notes.get(ENDED_EARLY)
    found.ended_early = None if early is None else str(early)
    found.gain = verdict_on(result) or None
    return found


def _take(found: RunState, event: Mapping[str, Any], rounds: set[tuple[int, int, int]]) -> None:
    name = event.get("event")
    found.last_event, found.last_time = str(name), event.get("time")
    if name == SearchStarted.name:
        found.started, found.stop_reason, found.limits = event, None, ()
        found.prompts = str(event.get("prompts", TEMPLATE))
    elif name == UsageChanged.name:
        found.usage = event
    elif name == ScorerUsageChanged.name:
        found.scorer_usage = event
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
    """Yield the valid events of the log, oldest first."""
    return (event for event in logged(run_dir) if _fits(event))


def _fits(event: Mapping[str, Any]) -> bool:
    """Check a line's shape: the log may have been changed."""
    name = event.get("event")
    if not isinstance(name, str):
        return False
    numbers = [event[key] for key in _NUMBERS.get(name, ()) if key in event]
    if name in (UsageChanged.name, ScorerUsageChanged.name):
        left = event.get("left", {})
        if not isinstance(left, dict):
            return False
        numbers += left.values()
    if name == SearchStopped.name and not isinstance(event.get("limits", []), list):
        return False
    return all(map(_is_number, numbers))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and abs(value) <= _MOST
