"""The metrics of a run for trackers, by scored template, and the opening of trackers."""

from __future__ import annotations

import importlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from pydantic import TypeAdapter, ValidationError

from ....evaluator.files import replace_file
from ...regular_files import read_regular
from ..log import logged
from ..sinks import EventWriter, ThreadedSink
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
from .known import TRACKERS, place_of

IDS = "trackers.json"
"""The file in a run's folder with its names at trackers, and the last step sent to each."""
STEPS = "steps"
MOST_ROWS = 100
"""Templates sent at once; MLflow takes at most a thousand metrics."""
PROJECT = "promptclimb"
LONGEST_SETTING = 500


_Id: TypeAlias = str | dict[str, int]
_Ids: TypeAlias = dict[str, _Id]
_ID: TypeAdapter[_Id] = TypeAdapter(_Id)
Scored: TypeAlias = TemplateScored | DefaultTemplateScored


class MetricsRow(NamedTuple):
    """The metrics of one scored template: one step."""

    step: int
    values: Mapping[str, float]
    template: str


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """The run that is tracked.

    Attributes:
        settings: By name, free of secrets.
        files: Names of the files worth keeping beside its metrics.
        earlier: What earlier processes have emitted of scores; see ``scored_before``.
        scrub: Removes keys from a value.
    """

    run_dir: Path
    settings: Mapping[str, Any]
    files: Sequence[str] = ()
    earlier: Sequence[Scored] = ()
    scrub: Callable[[Any], Any] = lambda value: value
    _writing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def params(self) -> dict[str, str]:
        return {name: str(value)[:LONGEST_SETTING] for name, value in self.settings.items()}

    def files_there(self) -> list[Path]:
        return [path for name in self.files if (path := self.run_dir / name).is_file()]

    def id_at(self, tracker: str, make: Callable[[], str] = lambda: secrets.token_hex(4)) -> str:
        """Return the run's name with a tracker (name and place), the same in every process."""
        with self._writing:  # trackers work in threads of their own
            ids = self._ids()
            if not isinstance(found := ids.get(tracker), str):
                found = make()
                self._write({**ids, tracker: found})
            return found

    def step_at(self, tracker: str) -> int:
        """Return the last step that a tracker was ever sent; 0 for none."""
        return self._steps(self._ids()).get(tracker, 0)

    def note_step(self, tracker: str, step: int) -> None:
        with self._writing:
            ids = self._ids()
            self._write({**ids, STEPS: {**self._steps(ids), tracker: step}})

    def _steps(self, ids: _Ids) -> dict[str, int]:
        found = ids.get(STEPS)
        return found if isinstance(found, dict) else {}

    def _ids(self) -> _Ids:
        found: _Ids = {}
        try:
            members = dict(json.loads(read_regular(self.run_dir / IDS)))
        except (OSError, TypeError, ValueError):
            return found
        for name, value in members.items():
            with suppress(ValidationError):  # another tracker's damaged id costs this one nothing
                found[name] = _ID.validate_python(value)
        return found

    def _write(self, ids: _Ids) -> None:
        # Written at once: a run that lost its name in a kill would be another run there.
        replace_file(self.run_dir / IDS, f"{json.dumps(ids, indent=2)}\n".encode())


def scored_before(run_dir: Path) -> list[Scored]:
    """Return the scores in the log of a run, in order: each template's once a restart."""
    found: dict[tuple[int, str] | None, Scored] = {}
    for event, _ in logged(run_dir):
        if isinstance(event, TemplateScored):
            found.setdefault((event.position.restart, event.template), event)
        elif isinstance(event, DefaultTemplateScored):
            found.setdefault(None, event)
    return list(found.values())


class MetricsTracker(Protocol):
    """A client that takes metrics, in a thread of its own; it may take its time.

    ``place`` names tracker and place: what was sent there is not sent again.
    """

    place: str

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
        self._used: dict[str, float] = {}
        self._begun = False
        self._status, self._last = "interrupted", dict[str, float]()

    def __call__(self, event: Event, _when_ns: int) -> None:
        if isinstance(event, SearchStarted):
            self._tracker.begin(self._run.params() | {"dataset": event.dataset, "vlm": event.model})
            self._begun = True
            self._catch_up()
        elif isinstance(event, UsageChanged):
            self._used |= {"calls": event.calls, "tokens": event.tokens, "cost_usd": event.cost_usd}
        elif isinstance(event, ScorerUsageChanged):
            self._used |= {"scorer_calls": event.calls, "scorer_cost_usd": event.cost_usd}
        elif isinstance(event, DefaultTemplateScored):
            self._default = event.train
        elif isinstance(event, TemplateScored):
            self._scored(event, self._used)
        elif isinstance(event, SearchFinished):
            self._status = event.status
            best = _best_so_far(event.train, self._default)
            self._last = {**best, "evaluated": event.evaluated, **self._used}
            if event.test is not None:
                self._last["test"] = event.test

    def _catch_up(self) -> None:
        """Send what earlier processes scored but were killed before sending; a resumed run emits it again."""
        sent = self._run.step_at(self._tracker.place)
        for event in self._run.earlier:
            if isinstance(event, DefaultTemplateScored):
                self._default = event.train
            else:  # what had been spent by then is not known
                self._scored(event, {}, sent=sent)

    def _scored(self, event: TemplateScored, used: Mapping[str, float], *, sent: int = 0) -> None:
        template = self._run.scrub(event.template)
        if (place := (event.position.restart, template)) in self._known:
            return
        self._known.add(place)
        if event.images is None:
            self._best = event.train if self._best is None else max(self._best, event.train)
        self._step += 1
        if self._step > sent:
            values = {**_own(event), **_best_so_far(self._best, self._default), **used}
            self._rows.append(MetricsRow(self._step, values, template))
            if len(self._rows) >= MOST_ROWS:
                self.idle()

    def idle(self) -> None:
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        # Noted before it is sent: a kill in between loses these metrics, but sends none twice.
        self._run.note_step(self._tracker.place, rows[-1].step)
        try:
            self._tracker.metrics(rows)
        except BaseException:
            self._run.note_step(self._tracker.place, rows[0].step - 1)
            raise

    def close(self) -> None:
        if self._begun:
            self.idle()
            self._tracker.close(self._status, self._last)


def _own(event: TemplateScored) -> dict[str, float]:
    """Return a template's metrics; accuracies on a few images have a curve of their own."""
    if event.images is not None:
        return {"dropped_train": event.train, "dropped_images": event.images}
    return {"train": event.train} | ({} if event.val is None else {"val": event.val})


def _best_so_far(best: float | None, default: float | None) -> dict[str, float]:
    """Return the best training score so far, and its gain over the default template if known."""
    if best is None:
        return {}
    return {"best_train": best} | ({} if default is None else {"gain_over_default": best - default})


SPANS = "otel"
"""The tracker that takes events as they are, not metrics."""


def trackers_of(
    chosen: Sequence[str] | None, run: TrackedRun, *, emit: Listener, scrub: Callable[[str], str]
) -> list[ThreadedSink]:
    """Return a sink for each part of ``--track``; each loads what it needs in its own thread."""
    return [
        ThreadedSink(one.partition(":")[0], _maker(one, run), emit=emit, scrub=scrub) for one in chosen or ()
    ]


def _maker(chosen: str, run: TrackedRun) -> Callable[[], EventWriter]:
    name, place = chosen.partition(":")[0], place_of(chosen)
    module, kind = TRACKERS[name].sink

    def make() -> EventWriter:
        writer = getattr(importlib.import_module(f".{module}", __package__), kind)(run, place)
        return writer if name == SPANS else MetricsWriter(writer, run)

    return make
