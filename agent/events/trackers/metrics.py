"""The metrics of a run for trackers, by scored template, and the opening of trackers."""

from __future__ import annotations

import datetime
import importlib
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, Field

from ....evaluator.files import replace_file
from ....evaluator.regular_files import read_regular
from ..log import logged, stamp
from ..sinks import ThreadedSink
from ..types import (
    DefaultTemplateScored,
    Event,
    Listener,
    ScorerUsageChanged,
    SearchFinished,
    SearchStarted,
    TemplateScored,
    UsageChanged,
)
from .known import TRACKERS, split_choice

STATE = "trackers.json"
MOST_ROWS = 100
"""Templates sent at once; MLflow takes at most a thousand metrics."""
PROJECT = "promptclimb"
LONGEST_SETTING = 500


class MetricsRow(NamedTuple):
    """The metrics of one scored template: one step."""

    step: int
    values: Mapping[str, float]
    template: str


class TrackersState(BaseModel, extra="allow"):
    """``trackers.json`` in a run's folder: by tracker the last step sent, and (as extras) the run's name."""

    steps: dict[str, int] = {}
    __pydantic_extra__: dict[str, str] = Field(init=False)


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """The run that is tracked.

    Attributes:
        settings: By name, free of secrets.
        files: Names of the files worth keeping beside its metrics.
        scrub: Removes keys from a value.
    """

    run_dir: Path
    settings: Mapping[str, Any]
    files: Sequence[str] = ()
    scrub: Callable[[Any], Any] = lambda value: value
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def params(self) -> dict[str, str]:
        return {name: str(value)[:LONGEST_SETTING] for name, value in self.settings.items()}

    def id_at(self, tracker: str, new_id: Callable[[], str] = lambda: secrets.token_hex(4)) -> str:
        """Return the run's name with a tracker (name and place), the same in every process."""
        if (known := self._read_state().__pydantic_extra__.get(tracker)) is not None:
            return known
        new = new_id()  # may wait for a server, and other trackers must not wait with it
        with self._writing:
            state = self._read_state()
            # On disk at once: a run that lost its name in a kill would be another run there.
            state.__pydantic_extra__[tracker] = new
            self._write(state)
        return new

    def step_at(self, tracker: str) -> int:
        """Return the last step that a tracker was ever sent; 0 for none."""
        return self._read_state().steps.get(tracker, 0)

    def note_step(self, tracker: str, step: int) -> None:
        with self._writing:
            state = self._read_state()
            state.steps[tracker] = step
            self._write(state)

    def _read_state(self) -> TrackersState:
        try:
            return TrackersState.model_validate_json(read_regular(self.run_dir / STATE), strict=True)
        except (OSError, ValueError):
            return TrackersState()

    def _write(self, state: TrackersState) -> None:
        replace_file(self.run_dir / STATE, f"{state.model_dump_json(indent=2)}\n".encode())


class MetricsTracker(Protocol):
    """A client that takes metrics, in a thread of its own; it may take its time.

    ``target`` names tracker and place: what was sent there is not sent again.
    """

    target: str

    def begin(self, params: Mapping[str, str]) -> None:
        """Begin the run, or continue it."""

    def metrics(self, rows: Sequence[MetricsRow]) -> None:
        """Take the metrics of scored templates."""

    def close(self, status: str, last: Mapping[str, float]) -> None:
        """Take the last metrics: ``finished``, ``stopped``, or ``interrupted`` without a result."""


class MetricsWriter:
    """Turn events into metrics: step n is the n-th template that the run scored, in whichever process."""

    def __init__(self, tracker: MetricsTracker, run: TrackedRun) -> None:
        self._tracker = tracker
        self._run = run
        self._known = set[tuple[int, str]]()
        self._step = 0
        self._best: float | None = None
        self._default: float | None = None
        self._rows: list[MetricsRow] = []
        self._usage: dict[str, float] = {}
        self._has_begun = False
        self._status, self._last = "interrupted", dict[str, float]()

    def __call__(self, event: Event, at: datetime.datetime) -> None:
        if isinstance(event, SearchStarted):
            self._tracker.begin(self._run.params() | {"dataset": event.dataset, "vlm": event.model})
            self._has_begun = True
            self._catch_up(stamp(at))
        elif isinstance(event, UsageChanged):
            self._usage |= {"calls": event.calls, "tokens": event.tokens, "cost_usd": event.cost_usd}
        elif isinstance(event, ScorerUsageChanged):
            self._usage |= {"scorer_calls": event.calls, "scorer_cost_usd": event.cost_usd}
        elif isinstance(event, DefaultTemplateScored):
            self._default = event.train
        elif isinstance(event, TemplateScored):
            self._add(event, self._usage)
        elif isinstance(event, SearchFinished):
            self._status = event.status
            best = {} if event.train is None else _best_metrics(event.train, self._default)
            self._last = {**best, "evaluated": event.evaluated, **self._usage}
            if event.test is not None:
                self._last["test"] = event.test

    def _catch_up(self, began: str) -> None:
        """Send what earlier processes scored but were killed before sending; a resumed run emits it again."""
        last_sent = self._run.step_at(self._tracker.target)
        for event, time in logged(self._run.run_dir):
            if time >= began:
                break
            if isinstance(event, DefaultTemplateScored):
                self._default = event.train
            elif isinstance(event, TemplateScored):  # the usage at that time is unknown
                self._add(event, {}, last_sent=last_sent)

    def _add(self, event: TemplateScored, usage: Mapping[str, float], *, last_sent: int = 0) -> None:
        template = self._run.scrub(event.template)
        if (key := (event.position.restart, template)) in self._known:
            return
        self._known.add(key)
        if event.images is None:
            self._best = event.train if self._best is None else max(self._best, event.train)
            values = {"train": event.train} | ({} if event.val is None else {"val": event.val})
        else:  # accuracies on a few images have a curve of their own
            values = {"dropped_train": event.train, "dropped_images": event.images}
        self._step += 1
        if self._step > last_sent:
            values |= {**_best_metrics(self._best, self._default), **usage}
            self._rows.append(MetricsRow(self._step, values, template))
            if len(self._rows) >= MOST_ROWS:
                self.idle()

    def idle(self) -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        # Noted before it is sent: a kill in between loses these metrics, but sends none twice.
        self._run.note_step(self._tracker.target, rows[-1].step)
        try:
            self._tracker.metrics(rows)
        except BaseException:
            self._run.note_step(self._tracker.target, rows[0].step - 1)
            raise

    def close(self) -> None:
        if self._has_begun:
            self.idle()
            self._tracker.close(self._status, self._last)


def _best_metrics(best: float | None, default: float | None) -> dict[str, float]:
    """Return the best training score so far, and its gain over the default template if known."""
    if best is None:
        return {}
    return {"best_train": best} | ({} if default is None else {"gain_over_default": best - default})


def trackers_of(
    choices: Sequence[str] | None, run: TrackedRun, *, emit: Listener, scrub: Callable[[str], str]
) -> list[ThreadedSink]:
    """Return a sink for each choice of ``track``; each loads what it needs in its own thread."""

    def opener(name: str, target: str) -> Callable[[], MetricsWriter]:
        module, kind = TRACKERS[name].client
        return lambda: MetricsWriter(
            getattr(importlib.import_module(f".{module}", __package__), kind)(run, target), run
        )

    named = map(split_choice, choices or ())
    return [
        ThreadedSink(f"tracker {name}", opener(name, target), emit=emit, scrub=scrub)
        for name, target in named
    ]
