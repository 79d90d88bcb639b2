"""What happens in a search, as typed values: log, progress display and your own callback see the same.

Each event has a name, ``room.past_tense``, and its fields. They say what happened and never decide anything:
a search without a listener gives the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events."""

    name: ClassVar[str] = "event"

    def fields(self) -> dict[str, Any]:
        """The event's values by name, as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStarted(Event):
    """Everything is open and the climbs begin."""

    name: ClassVar[str] = "search.started"
    run_dir: str
    dataset: str
    classes: int
    model: str
    llm: str | None
    method: str
    climbs: int
    steps: int
    resumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Event):
    """A fact worth a line: a correction made, a file encoded, a method used in place of another."""

    name: ClassVar[str] = "search.noted"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesEncoded(Event):
    """A batch of images is encoded."""

    name: ClassVar[str] = "evaluator.images_encoded"
    done: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDrawn(Event):
    """A climb begins: its initial templates are drawn and about to be scored."""

    name: ClassVar[str] = "climb.pool_drawn"
    climb: int
    templates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolScored(Event):
    """The initial templates of a climb are scored."""

    name: ClassVar[str] = "climb.pool_scored"
    climb: int
    templates: int
    best: str
    train: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReceived(Event):
    """An answer is on disk."""

    name: ClassVar[str] = "climb.answer_received"
    climb: int
    reset: int
    iteration: int
    replayed: bool
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateScored(Event):
    """A proposal was scored, and its score is on disk."""

    name: ClassVar[str] = "climb.template_scored"
    climb: int
    reset: int
    iteration: int
    template: str
    train: float
    val: float | None
    improved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRefused(Event):
    """A proposal was not scored."""

    name: ClassVar[str] = "climb.template_refused"
    climb: int
    reset: int
    iteration: int
    line: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A turn is over: what it proposed is scored."""

    name: ClassVar[str] = "climb.step_finished"
    climb: int
    reset: int
    iteration: int
    best: str
    train: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSkipped(Event):
    """A turn got no answer after all retries; the climb goes on without it."""

    name: ClassVar[str] = "climb.step_skipped"
    climb: int
    reset: int
    iteration: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClimbFinished(Event):
    """A climb has done all its turns."""

    name: ClassVar[str] = "climb.finished"
    climb: int
    best: str
    train: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStopped(Event):
    """A budget, an outage or a signal stopped the search before its end."""

    name: ClassVar[str] = "search.stopped"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFinished(Event):
    """The test split was opened and the result is written."""

    name: ClassVar[str] = "search.finished"
    status: str
    best: str
    train: float
    test: float | None
    evaluated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatNoted(Event):
    """What the way to the endpoint reports: a retry, a pause, a limit learned, an endpoint taken out."""

    name: ClassVar[str] = "chat.noted"
    what: str
    details: dict[str, Any]


Listener: TypeAlias = Callable[[Event], None]


def to_all(*listeners: Listener) -> Listener:
    """One listener that tells several, in order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
