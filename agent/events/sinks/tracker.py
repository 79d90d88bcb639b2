"""What a tracker is given, and the figures that it gets of a run: by scored template."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..event import Event
from ..searching import SearchFinished, SearchStarted, TemplateScored, UsageChanged
from .log import logged

IDS = "trackers.json"
"""The file in a run's folder with the names that trackers have given it."""
PROJECT = "promptclimb"
LONGEST_SETTING = 500


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """The run that is tracked.

    Attributes:
        run_dir: Its folder.
        settings: Its settings by name, free of secrets.
        files: Names of the files that are worth keeping beside its figures.
        sent: What earlier sessions have scored; see ``scored_before``.
        scrub: Takes keys out of a value.
    """

    run_dir: Path
    settings: Mapping[str, Any]
    files: Sequence[str] = ()
    sent: Set[tuple[Any, Any]] = frozenset()
    scrub: Callable[[Any], Any] = lambda value: value

    def params(self) -> dict[str, str]:
        """Return the settings as short texts."""
        return {name: str(value)[:LONGEST_SETTING] for name, value in self.settings.items()}

    def kept(self) -> list[Path]:
        """Return those files that are there."""
        return [path for name in self.files if (path := self.run_dir / name).is_file()]

    def id_at(self, tracker: str, make: Callable[[], str] = lambda: secrets.token_hex(4)) -> str:
        """Return the name that the run has with a tracker: the same in every session.

        Args:
            tracker: The tracker's name and place.
            make: Gives a new name.
        """
        path = self.run_dir / IDS
        try:
            ids = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            ids = {}
        ids = ids if isinstance(ids, dict) else {}
        if not isinstance(ids.get(tracker), str):
            ids[tracker] = make()
            path.write_text(json.dumps(ids, indent=2) + "\n", "utf-8")
        return str(ids[tracker])


def scored_before(run_dir: Path) -> frozenset[tuple[Any, Any]]:
    """Return what the log of a run tells of templates that were scored: the restart and the template."""
    events = (event for event in logged(run_dir) if event.get("event") == TemplateScored.name)
    return frozenset((event.get("climb"), str(event.get("template"))) for event in events)


class Board(Protocol):
    """Where figures go. It works in a thread of its own, and may take its time."""

    def begin(self, params: Mapping[str, str]) -> None:
        """Begin the run, or go on with it."""

    def figures(self, step: int, values: Mapping[str, float], template: str) -> None:
        """Take the figures of one scored template."""

    def close(self, status: str, last: Mapping[str, float]) -> None:
        """Take the last figures: ``finished``, ``stopped``, or ``interrupted`` without a result."""


class Figures:
    """Turn events into figures: the n-th template that the run scored is step n, whatever session scored it.

    Args:
        board: Where they go.
        run: What is tracked.
    """

    def __init__(self, board: Board, run: Tracked) -> None:
        self._board = board
        self._run = run
        # A run that goes on tells of all that it has again; what an earlier session sent is not sent twice.
        self._sent = set(run.sent)
        self._step = len(self._sent)
        self._best: float | None = None
        self._used: dict[str, float] = {}
        self._begun = False
        self._status, self._last = "interrupted", dict[str, float]()

    def __call__(self, event: Event, _when_ns: int) -> None:
        """Take an event."""
        if isinstance(event, SearchStarted):
            self._board.begin(self._run.params() | {"dataset": event.dataset, "vlm": event.model})
            self._begun = True
        elif isinstance(event, UsageChanged):
            tokens = event.prompt_tokens + event.completion_tokens
            self._used = {"calls": event.calls, "tokens": tokens, "cost_usd": event.cost_usd}
        elif isinstance(event, TemplateScored):
            self._scored(event)
        elif isinstance(event, SearchFinished):
            self._status = event.status
            self._last = {"best_train": event.train, "evaluated": event.evaluated, **self._used}
            if event.test is not None:
                self._last["test"] = event.test

    def _scored(self, event: TemplateScored) -> None:
        template = self._run.scrub(event.template)
        self._best = event.train if self._best is None else max(self._best, event.train)
        if (place := (event.position.climb, template)) in self._sent:
            return
        self._sent.add(place)
        self._step += 1
        values = {"train": event.train, "best_train": self._best, **self._used}
        if event.val is not None:
            values["val"] = event.val
        self._board.figures(self._step, values, template)

    def close(self) -> None:
        """Hand on how it ended."""
        if self._begun:
            self._board.close(self._status, self._last)
