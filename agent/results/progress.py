"""Follow a running search by its events: how far it is, what it costs and what holds it up."""

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
    BatchScored,
    BestEvent,
    ChatFailed,
    DefaultTemplateScored,
    Event,
    ImagesEncoded,
    ModelFetched,
    Paused,
    RetryScheduled,
    TemplateScored,
    WaitCapped,
)
from .figures import are_shares, left_of, left_of_both, score_text, scorer_spent
from .result import words_of
from .run_view import Progress, gains_in_words

BLOCKS, BLOCKS_WIDTH = "▁▂▃▄▅▆▇█", 30
RETRIES = {
    "rate_limited": "rate limit",
    "transient": "temporary failure",
    "unusable": "unusable answer",
    "no": "refusal",
}
_LONGEST_REASON = 100


@dataclass(kw_only=True)
class SearchProgress(Progress):
    """The progress of a running search, and what is happening.

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

    def take(self, event: Event) -> None:
        """Update the progress from an event."""
        super().take(event)
        match event:
            case ImagesEncoded():
                self._take_images(event)
            case ModelFetched():
                done, of = (f"{size / 1e6:,.0f}" for size in (event.done, event.of))
                self.opening = f"fetching {event.model} from {event.source}: {done} of {of} MB"
            case BatchScored():
                self.queued, self.batched = event.waiting, self.batched + event.templates
            case DefaultTemplateScored() | TemplateScored():
                self.percent = self.percent and are_shares((event.train, event.val))
            case BestEvent():
                self.latest = ""
            case _:
                self._take_request(event)

    def _take_images(self, event: ImagesEncoded) -> None:
        """Add up the images of all splits, and their augmented copies, which are encoded in turn."""
        last = self._encoding
        if (event.of, event.copies) != (last.of, last.copies) or event.done <= last.done:
            self._encoded[last.copies] += last.done
        self._encoding = event
        total = self._encoded + Counter({event.copies: event.done})
        kinds = (counted(total[False], "image"), counted(total[True], "augmented copy", "augmented copies"))
        shown = " and ".join(kind for copies, kind in enumerate(kinds) if total[bool(copies)])
        left = f", {event.of - event.done:,} to go in this split" if event.done < event.of else ""
        self.opening = f"{shown} encoded{left}"

    def _take_request(self, event: Event) -> None:
        match event:
            case AnswerReceived():
                self.answers += 1
                if not event.replayed:
                    self.waiting = ""
                    self.fresh = self.rounds if self.fresh is None else self.fresh
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

    def begin(self, what: str) -> None:
        """Show something that many requests to a scorer behind an API may take."""
        self.latest = what
        self.since = self.scorer_usage.calls if self.scorer_usage is not None else None

    @property
    def happening(self) -> str:
        """The latest happening, and how many requests to the scorer it took so far."""
        used = self.scorer_usage
        calls = used.calls - self.since if used is not None and self.since is not None else 0
        done = counted(calls, "request to the scorer", "requests to the scorer")
        return f"{self.latest}, {done} answered" if self.latest and calls > 0 else self.latest

    @property
    def ahead(self) -> list[str]:
        """The best so far, its course, and its gains over the default and the starting templates."""
        best = self.best
        if best is None:
            return []
        found = [f"best so far {self.score(best.train)} on train"]
        # A race leaves accuracies on a few images.
        heights = [one.train for one in self.scored.values() if one.images is None]
        if len(heights) > 1:
            found[0] += f" {sparkline(list(accumulate(heights, max)))}"
        return found + gains_in_words(self.gains(best.train, percent=self.percent), self.words)

    @property
    def hindered(self) -> list[str]:
        """What costs time or calls: retries by reason, answers without a template, the queue."""
        found = []
        if count := self.retries.total():
            why = ", ".join(counted(number, reason) for reason, number in self.retries.most_common())
            found.append(f"{counted(count, 'retry', 'retries')} ({why})")
        if self.pauses:
            found.append(counted(self.pauses, "pause"))
        if self.empty:
            share = 100 * self.empty / max(1, self.answers)
            found.append(
                f"{self.empty:,} of {counted(self.answers, 'answer')} without {self.words.a_noun} "
                f"({share:.0f}%)"
            )
        if self.queued:
            found.append(f"{counted(self.queued, self.words.noun)} in the queue")
        return found

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
        parts = [done, self.evaluated, *self.spent, *self.ahead]
        return ", ".join(parts) + (f"; {self.waiting}" if self.waiting else "")

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
        found = len({template for _, template in self.scored}) or self.batched
        return f"{counted(found, self.words.noun)} scored"

    @property
    def spent(self) -> list[str]:
        """The usage so far; empty if neither an LLM nor a scorer behind an API is asked."""
        used = self.scorer_usage
        return [*self._spent_on_llm, *([] if used is None else [scorer_spent(used)])]

    @property
    def _spent_on_llm(self) -> list[str]:
        used = self.usage
        if self.started is not None and self.started.llm is None:
            return []
        whose = "LLM: " if self.scorer_usage is not None else ""
        if used is None:
            return [f"{whose}0 calls"]
        most = f" of {used.calls + used.left['calls']:,.0f}" if "calls" in used.left else ""
        parts = [f"{whose}{used.calls:,}{most} calls" if most else f"{whose}{counted(used.calls, 'call')}"]
        if used.failed_calls:
            parts.append(counted(used.failed_calls, "failed attempt"))
        parts.append(f"{used.tokens:,} tokens")
        more = [f"{used.cached_tokens:,} cached"] if used.cached_tokens else []
        more += [f"at most {used.estimated_tokens:,} more"] if used.estimated_tokens else []
        if more:
            parts[-1] += f" ({', '.join(more)})"
        if used.cost_usd:
            parts.append(f"${used.cost_usd:.4f}")
        return parts

    @property
    def left(self) -> list[str]:
        """What is left of each limit that was set."""
        llm, scorer = (used.left if used else {} for used in (self.usage, self.scorer_usage))
        return [left_of(name, value) for name, value in left_of_both(llm, scorer).items()]


def sparkline(values: Sequence[float], width: int = BLOCKS_WIDTH) -> str:
    """Return values as at most ``width`` blocks; each shows the last of its values."""
    if len(values) > width:
        values = [values[(place + 1) * len(values) // width - 1] for place in range(width)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    if high <= low:
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in values)
