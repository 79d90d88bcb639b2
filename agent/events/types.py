"""Every event of a run as a frozen value, and the bus that hands events to listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, TypeAlias, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ...evaluator.errors import PromptclimbError, named, reason_of
from ...prompts.kinds import TEMPLATE
from ..position import Position

Count: TypeAlias = Annotated[int, Field(ge=0, le=10**15)]
Amount: TypeAlias = Annotated[float, Field(ge=0, le=1e15)]
"""Numbers that a log may have; a line with others is invalid."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Event:
    """The root of all events: frozen values that say what happened and never decide anything.

    A subclass is one kind of event; it gives its name, ``room.past_tense``, as a class argument and lists its
    fields::

        class StartingTemplatesDrawn(Event, name="restart.starting_templates_drawn"):
            templates: int
    """

    name: ClassVar[str] = "event"
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(allow_inf_nan=False)

    def __init_subclass__(cls, *, name: str = "", **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        dataclass(frozen=True, kw_only=True)(cls)
        if name:
            cls.name = name
            _KINDS[name] = cls

    def fields(self) -> dict[str, Any]:
        """Return the event's values by name, as JSON values; a position gives its three numbers."""
        values: dict[str, Any] = {}
        for member in fields(self):
            value = getattr(self, member.name)
            if isinstance(value, Position):
                values |= zip(_POSITION, value, strict=False)
            else:
                values[member.name] = value
        return values


_KINDS: dict[str, Any] = {}
_POSITION = ("restart", "conversation", "round")


def event_of(line: Mapping[str, Any]) -> Event | None:
    """Return the event of a line of the log; None for an unknown or an invalid one."""
    name = line.get("event")
    if not isinstance(name, str) or (kind := _KINDS.get(name)) is None:
        return None
    try:
        event: Event = _adapter(kind).validate_python(
            {**line, "position": [line.get(name) for name in _POSITION]}
        )
    except ValidationError:
        return None
    return event


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


Listener: TypeAlias = Callable[[Event], None]


def ignore_event(_event: Event) -> None:
    """Ignore an event."""


class ListenerFailed(Event, name="events.listener_failed"):
    """A listener raised and gets no further events; the search goes on."""

    listener: str
    error: str


class Bus:
    """Hands every event to every listener, in the order in which they joined; itself a listener.

    A listener that raises is left out from then on: it must not be able to end a search.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = list(listeners)

    def __call__(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - somebody's own code
                self._leave_out(listener, error)

    @contextmanager
    def joined(self, listener: Listener) -> Iterator[None]:
        self._listeners.append(listener)
        try:
            yield
        finally:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _leave_out(self, listener: Listener, error: BaseException) -> None:
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        called = getattr(listener, "__qualname__", type(listener).__qualname__)
        # A listener of the user's own may have any fault, and its class is what helps most to find it.
        ours = isinstance(error, PromptclimbError)
        text = reason_of(error) if ours else named(error)
        self(ListenerFailed(listener=called, error=text))


class SearchStarted(Event, name="search.started"):
    """Everything is open and the restarts begin.

    Attributes:
        model: Name and weights of the vision-language model.
        llm: None if the method asks no LLM.
        rounds: Rounds of all restarts together.
        resumed: Whether an earlier session has begun it.
        prompts: The prompt kind that is searched for.
        most_templates: The most that are scored in these rounds, as a dry run says; 0 where it is unknown.
        most_scorer_calls: The most requests to a scorer behind an API, likewise; 0 without one.
    """

    run_dir: str
    dataset: str
    classes: Count
    model: str
    llm: str | None
    method: str
    restarts: Count
    rounds: Count
    resumed: bool
    prompts: str = TEMPLATE
    most_templates: Count = 0
    most_scorer_calls: Count = 0


class Noted(Event, name="search.noted"):
    """A fact worth a line: a correction made, a file encoded, a method used in place of another."""

    text: str


class ImagesEncoded(Event, name="evaluator.images_encoded"):
    """More images are encoded, of all splits; ``with_copies`` if augmented copies are among them."""

    done: int
    of: int
    with_copies: bool = False


class DefaultTemplateScored(Event, name="search.default_template_scored"):
    """The default template is scored, for comparison: no restart uses it."""

    template: str
    train: float
    val: float | None


class PlacedEvent(Event):
    """An event at a place in the run."""

    position: Position


class StartingTemplatesDrawn(PlacedEvent, name="restart.starting_templates_drawn"):
    """A restart begins: its starting templates are drawn and about to be scored."""

    templates: int


class BestEvent(PlacedEvent):
    """A part of a restart is over: ``best`` is the best template that it knows now.

    Attributes:
        train: Its training accuracy.
        objective: What makes it the best, on training images; None if that is their accuracy.
    """

    best: str
    train: float
    objective: float | None = None

    @property
    def value(self) -> float:
        """What makes it the best."""
        return self.train if self.objective is None else self.objective


class StartingTemplatesScored(BestEvent, name="restart.starting_templates_scored"):
    """The starting templates of a restart are scored; ``templates`` is how many have a score."""

    templates: int


class AnswerReceived(PlacedEvent, name="restart.answer_received"):
    """An answer is on disk.

    Attributes:
        replayed: Whether it was there before this session.
        seconds: From the question to the answer on disk, waits and retries included.
        model: The model that the endpoint says it used.
        finish_reason: The endpoint's word for why the answer ended.
    """

    replayed: bool
    prompt_tokens: int
    completion_tokens: int
    seconds: float = 0.0
    model: str = ""
    finish_reason: str = ""


class AnswerEmpty(PlacedEvent, name="restart.answer_empty"):
    """An answer held no template."""

    cut: bool


class BatchScored(Event, name="evaluator.batch_scored"):
    """A batch of templates was scored.

    ``waiting`` is the number of templates in the queue.
    """

    templates: int
    seconds: float
    waiting: int


class TemplateScored(PlacedEvent, name="restart.template_scored"):
    """A template was scored, and its score is on disk.

    Attributes:
        improved: Whether it beats all earlier ones of its restart; never true of a starting template.
        source: Who made it: ``initial``, ``llm``, or the way that asks no LLM, such as ``combine``.
        images: Training images that ``train`` is the accuracy on, if a race dropped it; None for all.
        estimate: Its accuracy on all training images, estimated, if a race dropped it.
        objective: What it is ordered by, on training images; None if that is their accuracy.
    """

    template: str
    train: float
    val: float | None
    improved: bool
    source: str
    images: int | None = None
    estimate: float | None = None
    objective: float | None = None


class RefusedEvent(PlacedEvent):
    """A proposal was not scored.

    ``line`` is the proposal, cut to 200 characters; ``reason`` is a short slug.
    """

    line: str
    reason: str


class TemplateRefused(RefusedEvent, name="restart.template_refused"):
    """A proposed template was not scored."""


class NameScored(PlacedEvent, name="names.scored"):
    """A new class name was tried alone.

    ``gained`` and ``lost`` are the images that it puts right and wrong, compared with the class's own name.
    """

    class_name: str
    new_name: str
    gained: int
    lost: int


class NameRefused(RefusedEvent, name="names.refused"):
    """A proposed name was not tried."""


class NamesRead(PlacedEvent, name="names.read"):
    """The LLM has said what the classes are.

    Attributes:
        read: Classes for which it has another name.
        classes: Classes that it was asked about.
        taken: Whether the search starts from these names, as in ``ReadNames``.
        right: Few-shot images that are classified correctly with the names to start from.
        images: Few-shot images in all.
    """

    read: int
    classes: int
    taken: bool
    right: int
    images: int


class NameRoundFinished(PlacedEvent, name="names.round_finished"):
    """A round of names is over.

    Attributes:
        renamed: Classes with a new name so far.
        right: Few-shot images that are classified correctly with those names.
        images: Few-shot images in all.
    """

    renamed: int
    right: int
    images: int


class NamesChosen(Event, name="names.chosen"):
    """The final names are chosen; fields as in ``NameRoundFinished``."""

    renamed: int
    right: int
    images: int


class RoundFinished(BestEvent, name="round.finished"):
    """A round is over: what it proposed is scored."""


class RoundSkipped(PlacedEvent, name="round.skipped"):
    """A round got no answer after all retries; the restart goes on without it."""

    reason: str


class RestartFinished(BestEvent, name="restart.finished"):
    """A restart has ended, after all its rounds or early."""


class UsageEvent(Event):
    """Usage of the LLM or of a scorer behind an API up to now, over all sessions of the run.

    Attributes:
        calls: Attempts that were billed, or may have been.
        failed_calls: Attempts without a usable answer.
        cost_usd: US dollars that are known to have been billed.
        estimated_tokens: The most tokens of attempts whose usage was not reported.
        estimated_usd: The most that those attempts cost.
        left: What is left of each limit that was set, by the limit's key (``agent/limits.py``).
    """

    calls: Count
    failed_calls: Count
    retries: Count
    prompt_tokens: Count
    completion_tokens: Count
    cost_usd: Amount
    estimated_tokens: Count = 0
    estimated_usd: Amount = 0.0
    left: Mapping[str, Count | Amount]

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class UsageChanged(UsageEvent, name="search.usage_changed"):
    """Usage of the LLM.

    Attributes:
        cached_tokens: Prompt tokens read from a vendor's cache.
        cache_written_tokens: Prompt tokens written to one.
        reasoning_tokens: Completion tokens that were thought and not said.
    """

    cached_tokens: Count = 0
    cache_written_tokens: Count = 0
    reasoning_tokens: Count = 0


class ScorerUsageChanged(UsageEvent, name="scorer.usage_changed"):
    """Usage of a scorer behind an API; ``left`` has the money that it shares with the LLM too."""


class SearchStopped(Event, name="search.stopped"):
    """A budget or an outage stopped the search before its end; ``limits`` are the keys of those reached."""

    reason: str
    limits: tuple[str, ...] = ()


class EvaluationStarted(Event, name="search.evaluation_started"):
    """The choice of the search is evaluated on so many test images."""

    images: int


class SearchFinished(Event, name="search.finished"):
    """The result is written; ``test`` is None where the test split was not evaluated."""

    status: str
    best: str
    train: float | None
    test: float | None
    evaluated: int


class EndpointEvent(Event):
    """An event of one endpoint."""

    endpoint: str


class ChatFailed(EndpointEvent, name="chat.failed"):
    """An attempt failed.

    ``error`` is the error's class name; ``billed``: it counts against the budget.
    """

    error: str
    message: str
    billed: bool


class RetryScheduled(EndpointEvent, name="retry.scheduled"):
    """A failed attempt will be made again.

    ``attempt`` is the failed one's number, from 1; ``reason`` is ``transient``, ``rate_limited``,
    ``unusable``, or ``no`` (refused).
    """

    attempt: int
    wait_s: float
    reason: str


class ModelFetched(Event, name="endpoint.model_fetched"):
    """A part of a local model has been downloaded.

    ``done`` of ``of`` bytes are there.
    """

    model: str
    source: str
    done: int
    of: int


class UsageMissing(EndpointEvent, name="endpoint.usage_missing"):
    """The endpoint's answers do not report their tokens; emitted once for each endpoint.

    Each answer then counts against limits with the most that it can have cost.
    """


class Paused(EndpointEvent, name="pacing.paused"):
    """No request is sent to the endpoint for a while, after a rate-limit reply or in an outage.

    ``asked_s`` is the wait that the endpoint asked for, if that is longer than is accepted.
    """

    wait_s: float
    asked_s: float | None = None


class AnswerTokensRaised(EndpointEvent, name="endpoint.answer_tokens_raised"):
    """Answers were cut before they began: from now on more tokens are asked for here.

    ``before`` and ``now`` are the tokens of the longest answer asked for.
    """

    before: int
    now: int
