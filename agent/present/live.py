"""A running search in words: each event as a line, and the progress for the live panel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from ...evaluator.counts import counted
from ...prompts.kinds import KindWords
from ..events.types import (
    AnswerEmpty,
    AnswerReceived,
    AnswerTokensRaised,
    BatchScored,
    BestEvent,
    ChatFailed,
    DefaultTemplateScored,
    EndpointEvent,
    EndpointRemoved,
    EndpointResumed,
    EndpointSuspended,
    EvaluationStarted,
    Event,
    GaveUp,
    ImagesEncoded,
    ListenerFailed,
    ModelFetched,
    NameRoundFinished,
    NamesChosen,
    Noted,
    Paused,
    RetryScheduled,
    RoundSkipped,
    SearchStarted,
    SearchStopped,
    StartingTemplatesDrawn,
    TemplateScored,
    UsageChanged,
    UsageMissing,
    WaitCapped,
)
from ..position import NAMES
from ..results.history import Progress
from ..results.result import are_shares, words_of
from .sentences import gains_in_words, left_of_both, left_text, score_text, spent_text

BLOCKS, BLOCKS_WIDTH = "▁▂▃▄▅▆▇█", 30
RETRIES = {
    "rate_limited": "rate limit",
    "transient": "temporary failure",
    "unusable": "unusable answer",
    "no": "refusal",
}
_LONGEST_REASON = 100


def sentence(event: Event) -> str | None:
    """Return an event as a line for people; None if it is not worth a line."""
    match event:
        case Noted():
            return event.text
        case SearchStarted():
            return _opening(event)
        case NameRoundFinished():
            return f"{event.position}: {_renamed(event, 'so far')}"
        case NamesChosen():
            return f"class names: {_renamed(event, 'in the end')}"
        case SearchStopped():
            return f"stopping: {event.reason}"
        case EndpointEvent():
            return _of_endpoint(event)
        case ListenerFailed():
            return f"the listener {event.listener} failed and gets no more events ({event.error})"
    return None


def _opening(event: SearchStarted) -> str:
    llm = f"LLM {event.llm}" if event.llm else "no LLM"
    verb = "resuming" if event.resumed else "searching"
    # A custom scorer may not know the number of classes.
    classes = f" ({event.classes} classes)" if event.classes else ""
    return (
        f"{verb} {event.dataset}{classes} with {event.model}, {llm}, method {event.method}: "
        f"{counted(event.restarts, 'restart')}, {counted(event.rounds, 'round')}, in {event.run_dir}"
    )


def _renamed(event: NameRoundFinished | NamesChosen, when: str) -> str:
    renamed = counted(event.renamed, "class", "classes")
    return f"{renamed} renamed {when}, {event.right:,} of {counted(event.images, 'few-shot image')} correct"


def _of_endpoint(event: EndpointEvent) -> str | None:
    endpoint = event.endpoint
    match event:
        case UsageMissing():
            return (
                f"{endpoint} does not report how many tokens its answers cost: "
                "each counts against limits with the most that it can have cost"
            )
        case EndpointRemoved():
            left = f"{counted(event.left, 'endpoint')} left" if event.left else "no endpoint is left"
            return f"{endpoint} is not used any more ({event.message}); {left}"
        case EndpointSuspended():
            return f"{endpoint} fails ({event.message}); the other endpoints are asked in its place"
        case AnswerTokensRaised():
            return (
                f"{endpoint} used up {event.before:,} tokens before an answer began: "
                f"{event.now:,} are allowed there from now on (--answer-tokens)"
            )
        case WaitCapped():
            return (
                f"{endpoint} asks for a wait of {event.asked_s:,.0f} s; "
                f"it is tried again in {event.wait_s:,.0f} s"
            )
        case GaveUp():
            return (
                f"giving up: no call has succeeded for {event.failing_s:,.0f} s; "
                f"the last error, from {endpoint}: {event.message}"
            )
        case EndpointResumed():
            return f"{endpoint} answers again"
    return None


@dataclass(kw_only=True)
class LiveProgress(Progress):
    """The progress of a running search, and what is happening, in words.

    Attributes:
        percent: Whether all scores may be accuracies.
        latest: The latest happening worth a line.
        since: Calls of the scorer behind an API when it began, if their number shows how far it is.
        answers: Answers received, ``empty`` of them without a template.
        fresh: Rounds that were over before this session's first answer; None before that.
        waiting: What the LLM requests wait for, and why; empty after an answer.
        pauses: How often an endpoint asked for a pause.
    """

    percent: bool = True
    latest: str = ""
    since: int | None = None
    opening: str = ""
    answers: int = 0
    empty: int = 0
    queued: int = 0
    batched: int = 0
    fresh: int | None = None
    waiting: str = ""
    retries: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    _failure: str = ""
    _encoded: Counter[bool] = field(default_factory=Counter)  # whether copies -> how many
    _encoding: ImagesEncoded = ImagesEncoded(done=0, of=0)  # noqa: RUF009 - it is frozen

    def add(self, event: Event) -> None:
        """Update the progress from an event."""
        super().add(event)
        match event:
            case ImagesEncoded():
                self._add_images(event)
            case ModelFetched():
                done, size = (f"{count / 1e6:,.0f}" for count in (event.done, event.of))
                self.opening = f"fetching {event.model} from {event.source}: {done} of {size} MB"
            case BatchScored():
                self.queued, self.batched = event.waiting, self.batched + event.templates
            case DefaultTemplateScored() | TemplateScored():
                self.percent = self.percent and are_shares((event.train, event.val))
            case BestEvent() | NamesChosen():
                self.latest = ""
            case StartingTemplatesDrawn():
                starting = counted(event.templates, f"starting {self.words.noun}")
                self.latest = f"restart {event.position.restart}: scoring {starting}"
            case RoundSkipped():
                self.latest = f"{event.position} is skipped: {event.reason}"
            case EvaluationStarted():
                self._begin(f"evaluating on {counted(event.images, 'test image')}")
            case _:
                self._add_request(event)

    def _add_images(self, event: ImagesEncoded) -> None:
        """Add up the images of all splits, and their augmented copies, which are encoded in turn."""
        last = self._encoding
        if (event.of, event.copies) != (last.of, last.copies) or event.done <= last.done:
            self._encoded[last.copies] += last.done
        self._encoding = event
        total = self._encoded + Counter({event.copies: event.done})
        kinds = (counted(total[False], "image"), counted(total[True], "augmented copy", "augmented copies"))
        encoded = " and ".join(kind for copies, kind in enumerate(kinds) if total[bool(copies)])
        left = f", {event.of - event.done:,} to go in this split" if event.done < event.of else ""
        self.opening = f"{encoded} encoded{left}"
        if self.started is not None:
            self.latest = f"opening the test split: {self.opening}"

    def _add_request(self, event: Event) -> None:
        match event:
            case AnswerReceived():
                self.answers += 1
                if not event.replayed:
                    self.waiting = ""
                    self.fresh = self.rounds if self.fresh is None else self.fresh
                if event.position.restart == NAMES:
                    self._begin(f"{event.position}: {counted(event.position.sample + 1, 'answer')}")
            case AnswerEmpty():
                self.empty += 1
            case ChatFailed():
                self._failure = f" ({event.message}"[:_LONGEST_REASON] + ")"
            case RetryScheduled():
                reason = RETRIES.get(event.reason, event.reason)
                self.retries[reason] += 1
                attempt = f"attempt {event.attempt + 1} in {event.wait_s:,.0f} s"
                self.waiting = f"{event.endpoint}: {attempt}, {reason}{self._failure}"
            case Paused():
                self.pauses += 1
                self.waiting = f"{event.endpoint} gets no requests for {event.wait_s:,.0f} s"
            case WaitCapped():
                asked = f"{event.endpoint} asks for {event.asked_s:,.0f} s"
                self.waiting = f"{asked}; tried again in {event.wait_s:,.0f} s"

    def _begin(self, happening: str) -> None:
        """Show something that many requests to a scorer behind an API may take."""
        self.latest = happening
        self.since = None if self.scorer_usage is None else self.scorer_usage.calls

    @property
    def happening(self) -> str:
        """The latest happening, and how many requests to the scorer it took so far."""
        calls = 0 if self.scorer_usage is None or self.since is None else self.scorer_usage.calls - self.since
        done = counted(calls, "request to the scorer", "requests to the scorer")
        return f"{self.latest}, {done} answered" if self.latest and calls > 0 else self.latest

    @property
    def gains_so_far(self) -> list[str]:
        """The training gains of the best so far over the default and the starting templates."""
        if self.best is None:
            return []
        return gains_in_words(self.gains(self.best.train), self.words, percent=self.percent)

    @property
    def ahead(self) -> list[str]:
        """The best so far, its course, and its gains."""
        if self.best is None:
            return []
        best = f"best so far {self.score(self.best.train)} on train"
        # A race leaves accuracies on a few images.
        heights = [event.train for event in self.scored.values() if event.images is None]
        course = f" {sparkline(list(accumulate(heights, max)))}" if len(heights) > 1 else ""
        return [best + course, *self.gains_so_far]

    @property
    def problems(self) -> list[str]:
        """What costs time or calls: failures, retries by reason, answers without a template, the queue."""
        texts = []
        if self.usage is not None and self.usage.failed_calls:
            texts.append(counted(self.usage.failed_calls, "failed attempt"))
        if count := self.retries.total():
            why = ", ".join(counted(number, reason) for reason, number in self.retries.most_common())
            texts.append(f"{counted(count, 'retry', 'retries')} ({why})")
        if self.pauses:
            texts.append(counted(self.pauses, "pause"))
        if self.empty:
            share = 100 * self.empty / max(1, self.answers)
            answers = counted(self.answers, "answer")
            texts.append(f"{self.empty:,} of {answers} without {self.words.a_noun} ({share:.0f}%)")
        if self.queued:
            texts.append(f"{counted(self.queued, self.words.noun)} in the queue")
        return texts

    def time_left(self, seconds: float) -> list[str]:
        """Return the time left, for seconds since the first new round; empty if the speed is not known."""
        done = self.rounds - (self.fresh or 0)
        if self.started is None or done < 1 or (self.started.llm is not None and self.fresh is None):
            return []
        rest = seconds / done * (self.started.rounds - self.rounds)
        if rest >= 90:
            return [f"about {rest / 60:,.0f} min left"]
        return [f"about {rest:,.0f} s left"] if rest >= 1 else []

    @property
    def line(self) -> str:
        """The progress in a line."""
        if self.started is None:
            return self.opening or "opening ..."
        done = f"round {self.rounds:,} of {self.started.rounds:,}"
        facts = ", ".join([done, self.evaluated, *self.spent, *self.ahead])
        return facts + (f"; {self.waiting}" if self.waiting else "")

    def score(self, value: float) -> str:
        """Return the text of a score."""
        return score_text(value, percent=self.percent, unit="%")

    @property
    def words(self) -> KindWords:
        """How to speak of what is searched for."""
        return words_of(self.prompts)

    @property
    def evaluated(self) -> str:
        """The number of distinct templates with a score; restarts may find the same one.

        Starting templates are reported when all have scores: until then, those of finished batches count.
        """
        scored = len({template for _, template in self.scored}) or self.batched
        return f"{counted(scored, self.words.noun)} scored"

    @property
    def spent(self) -> list[str]:
        """The usage so far; empty if neither an LLM nor a scorer behind an API is asked."""
        texts = []
        if self.started is None or self.started.llm is not None:
            whose = "LLM: " if self.scorer_usage is not None else ""
            texts.append(f"{whose}0 calls" if self.usage is None else self._spent_on_llm(self.usage, whose))
        if self.scorer_usage is not None:
            texts.append(spent_text(self.scorer_usage, "scorer: "))
        return texts

    def _spent_on_llm(self, usage: UsageChanged, whose: str) -> str:
        left = usage.left.get("calls")
        of_limit = "" if left is None else f"{usage.calls:,} of {usage.calls + left:,.0f} calls"
        return spent_text(usage, whose, calls=of_limit)

    @property
    def left(self) -> list[str]:
        """What is left of each limit that was set."""
        llm, scorer = ({} if usage is None else usage.left for usage in (self.usage, self.scorer_usage))
        return [left_text(name, value) for name, value in left_of_both(llm, scorer).items()]


def sparkline(values: Sequence[float], width: int = BLOCKS_WIDTH) -> str:
    """Return values as at most ``width`` blocks; each shows the last of its values."""
    if len(values) > width:
        values = [values[(block + 1) * len(values) // width - 1] for block in range(width)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high <= low:
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in values)
