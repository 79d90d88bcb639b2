"""What happens in a search, from its opening to its result."""

from __future__ import annotations

from collections.abc import Mapping

from ..position import Position
from .event import Event


class RunOpened(Event, name="search.run_opened"):
    """The run is on disk: from now on it can be resumed.

    Attributes:
        run_dir: Its folder.
    """

    run_dir: str


class SearchStarted(Event, name="search.started"):
    """Everything is open and the restarts begin.

    Attributes:
        run_dir: The run's folder.
        dataset: Name of the data set.
        classes: Number of its classes.
        model: Name and weights of the vision-language model.
        llm: The LLM's name; None if the method asks no LLM.
        method: Name of the method.
        restarts: Restarts in all.
        rounds: Rounds of all restarts together.
        resumed: Whether an earlier session has begun it.
    """

    run_dir: str
    dataset: str
    classes: int
    model: str
    llm: str | None
    method: str
    restarts: int
    rounds: int
    resumed: bool


class Noted(Event, name="search.noted"):
    """A fact worth a line: a correction made, a file encoded, a method used in place of another."""

    text: str


class ImagesEncoded(Event, name="evaluator.images_encoded"):
    """A batch of images is encoded."""

    done: int
    of: int


class DefaultTemplateScored(Event, name="search.default_template_scored"):
    """The default template is scored, for comparison: no restart uses it.

    Attributes:
        template: Its text.
        train: Its training accuracy.
        val: Its validation accuracy; None where there are no such images.
    """

    template: str
    train: float
    val: float | None


class StartingTemplatesDrawn(Event, name="restart.starting_templates_drawn"):
    """A restart begins: its initial templates are drawn and about to be scored."""

    position: Position
    templates: int


class StartingTemplatesScored(Event, name="restart.starting_templates_scored"):
    """The initial templates of a restart are scored.

    Attributes:
        templates: How many have a score.
        best: The best of them.
        train: Its training accuracy.
    """

    position: Position
    templates: int
    best: str
    train: float


class AnswerReceived(Event, name="restart.answer_received"):
    """An answer is on disk.

    Attributes:
        replayed: Whether it was there before this session.
        prompt_tokens: Tokens billed for the messages.
        completion_tokens: Tokens billed for the answer.
        seconds: From the question to the answer on disk, waits and retries included.
        model: The model that the endpoint says it used.
        finish_reason: The endpoint's word for why the answer ended.
    """

    position: Position
    replayed: bool
    prompt_tokens: int
    completion_tokens: int
    seconds: float = 0.0
    model: str = ""
    finish_reason: str = ""


class AnswerEmpty(Event, name="restart.answer_empty"):
    """An answer held no template.

    Attributes:
        cut: Whether it was cut before it was whole.
    """

    position: Position
    cut: bool


class BatchScored(Event, name="evaluator.batch_scored"):
    """The evaluator has worked off a batch.

    Attributes:
        templates: How many were in it.
        seconds: How long that took.
        waiting: Templates that wait in the queue now.
    """

    templates: int
    seconds: float
    waiting: int


class TemplateScored(Event, name="restart.template_scored"):
    """A template was scored, and its score is on disk.

    Attributes:
        improved: Whether it is better than all that its restart had seen; never true of an initial template,
            from which a restart sets out.
        source: Who made it: ``initial``, ``llm``, or the way that asks none, such as ``combine``.
    """

    position: Position
    template: str
    train: float
    val: float | None
    improved: bool
    source: str


class TemplateRefused(Event, name="restart.template_refused"):
    """A proposal was not scored.

    Attributes:
        line: What was proposed, cut to 200 characters.
        reason: A short slug.
    """

    position: Position
    line: str
    reason: str


class RoundFinished(Event, name="round.finished"):
    """An round is over: what it proposed is scored.

    Attributes:
        best: The best template that the restart knows now.
        train: Its training accuracy.
    """

    position: Position
    best: str
    train: float


class RoundSkipped(Event, name="round.skipped"):
    """An round got no answer after all retries; the restart goes on without it."""

    position: Position
    reason: str


class RestartFinished(Event, name="restart.finished"):
    """A restart has done all its rounds."""

    position: Position
    best: str
    train: float


class UsageChanged(Event, name="search.usage_changed"):
    """What the run has used up to now, all its sessions together.

    Attributes:
        calls: Attempts that were billed, or may have been.
        failed_calls: Attempts that gave no usable answer.
        retries: Attempts after a failed one.
        prompt_tokens: Tokens billed for messages.
        completion_tokens: Tokens billed for answers.
        cached_tokens: Those of the messages that came from a vendor's cache.
        cache_written_tokens: Those of the messages that were written to one.
        reasoning_tokens: Those of the answers that were thought and not said.
        cost_usd: US dollars that are known to have been billed.
        estimated_tokens: The most tokens that attempts can have cost of which nobody says what they cost.
        left: What is left of each limit that was set, by the limit's name.
    """

    calls: int
    failed_calls: int
    retries: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_written_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float
    estimated_tokens: int
    left: Mapping[str, float]


class SearchStopped(Event, name="search.stopped"):
    """A budget or an outage stopped the search before its end.

    Attributes:
        reason: What it was.
        limit: The limit that was reached, ``calls``, ``tokens``, ``cost`` or ``minutes``; None for an outage.
        limits: All limits that were reached.
    """

    reason: str
    limit: str | None = None
    limits: tuple[str, ...] = ()


class SearchFinished(Event, name="search.finished"):
    """The result is written; ``test`` is None where the test split was not evaluated."""

    status: str
    best: str
    train: float
    test: float | None
    evaluated: int
