"""How a search stands, as far as its events tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...evaluator.counts import counted
from ..events import (
    AnswerEmpty,
    AnswerReceived,
    BatchScored,
    DefaultTemplateScored,
    Event,
    ImagesEncoded,
    ModelFetched,
    RestartFinished,
    RoundFinished,
    RoundSkipped,
    SearchStarted,
    StartingTemplatesScored,
    TemplateScored,
    UsageChanged,
)
from ..results.figures import are_shares, gains_so_far, score_text
from .sparkline import sparkline
from .troubles import Troubles


@dataclass(slots=True)
class Standing:
    """How a restart stands."""

    rounds: int = 0
    skipped: int = 0
    best: str = ""
    train: float = 0.0
    done: bool = False


@dataclass(slots=True)
class State:
    """What the display knows; made of events alone."""

    started: SearchStarted | None = None
    usage: UsageChanged | None = None
    restarts: dict[int, Standing] = field(default_factory=dict)
    templates: set[str] = field(default_factory=set)
    percent: bool = True
    latest: str = ""
    opening: str = ""
    plain: float | None = None
    pool: float | None = None
    course: list[float] = field(default_factory=list)
    answers: int = 0
    empty: int = 0
    waiting: int = 0
    fresh: int | None = None
    troubles: Troubles = field(default_factory=Troubles)

    def take(self, event: Event) -> None:
        """Learns from an event."""
        self.troubles.take(event)
        self._count(event)
        if isinstance(event, SearchStarted):
            self.started = event
        elif isinstance(event, ImagesEncoded):
            self.opening = f"{event.done:,} of {event.of:,} images encoded"
        elif isinstance(event, ModelFetched):
            self.opening = (
                f"fetching {event.model} from {event.source}: "
                f"{event.done / 1e6:,.0f} of {event.of / 1e6:,.0f} MB"
            )
        elif isinstance(event, UsageChanged):
            self.usage = event
        elif isinstance(event, DefaultTemplateScored):
            self.plain = event.train
            self.percent = self.percent and are_shares((event.train, event.val))
        elif isinstance(event, TemplateScored):
            # Restarts may come upon the same template, and the result counts it once.
            self.templates.add(event.template)
            self.percent = self.percent and are_shares((event.train, event.val))
            self.course.append(max(event.train, *self.course[-1:]) if self.course else event.train)
        elif isinstance(event, StartingTemplatesScored | RoundFinished | RestartFinished):
            self.latest = ""
            standing = self.restarts.setdefault(event.position.restart, Standing())
            standing.best, standing.train = event.best, event.train
            standing.rounds += isinstance(event, RoundFinished)
            standing.done = standing.done or isinstance(event, RestartFinished)
        elif isinstance(event, RoundSkipped):
            standing = self.restarts.setdefault(event.position.restart, Standing())
            standing.rounds += 1
            standing.skipped += 1

    def _count(self, event: Event) -> None:
        if isinstance(event, AnswerReceived):
            self.answers += 1
            if not event.replayed and self.fresh is None:
                self.fresh = self.rounds
        elif isinstance(event, AnswerEmpty):
            self.empty += 1
        elif isinstance(event, BatchScored):
            self.waiting = event.waiting
        elif isinstance(event, StartingTemplatesScored):
            self.pool = event.train if self.pool is None else max(self.pool, event.train)

    @property
    def ahead(self) -> list[str]:
        """How good the best so far is, how it came about, and its gain over plain and the initial ones."""
        best = self.best
        if best is None:
            return []
        found = [f"best so far {self.score(best.train)} on train"]
        if len(self.course) > 1:
            found[0] += f" {sparkline(self.course)}"
        pool = self.pool if self.rounds else None
        return found + gains_so_far(best.train, plain=self.plain, pool=pool, percent=self.percent)

    @property
    def hindered(self) -> list[str]:
        """What costs time or calls: retries with their reasons, answers without a template, the queue."""
        found = [self.troubles.summary] if self.troubles.summary else []
        if self.empty:
            share = 100 * self.empty / max(1, self.answers)
            found.append(
                f"{self.empty:,} of {counted(self.answers, 'answer')} without a template ({share:.0f}%)"
            )
        if self.waiting:
            found.append(f"{counted(self.waiting, 'template')} in the queue")
        return found

    def minutes_left(self, seconds: float) -> str:
        """Return how long the rest may take, as fast as this session has been; empty before that is known.

        Args:
            seconds: Since the first round of this session that was not replayed began.
        """
        done = self.rounds - (self.fresh or 0)
        if self.started is None or done < 1 or (self.started.llm is not None and self.fresh is None):
            return ""
        rest = seconds / done * (self.started.rounds - self.rounds)
        return (
            f"about {rest / 60:,.0f} min left"
            if rest >= 90
            else f"about {rest:,.0f} s left"
            if rest >= 1
            else ""
        )

    @property
    def line(self) -> str:
        """How it stands, in a line."""
        if self.started is None:
            return self.opening or "opening ..."
        done = f"round {self.rounds:,} of {self.started.rounds:,}"
        parts = [done, f"{counted(self.scored, 'template')} scored", *self.spent, *self.ahead]
        return ", ".join(parts) + (f"; {self.troubles.now}" if self.troubles.now else "")

    def score(self, value: float) -> str:
        """Return the text of a score."""
        return score_text(value, percent=self.percent) + ("%" if self.percent else "")

    @property
    def scored(self) -> int:
        """Distinct templates with a score."""
        return len(self.templates)

    @property
    def rounds(self) -> int:
        """Rounds that are over."""
        return sum(standing.rounds for standing in self.restarts.values())

    @property
    def best(self) -> Standing | None:
        """The restart that is ahead."""
        return max(self.restarts.values(), key=lambda standing: standing.train, default=None)

    @property
    def spent(self) -> list[str]:
        """What the calls have cost; nothing where no LLM is asked."""
        used = self.usage
        if self.started is not None and self.started.llm is None:
            return []
        if used is None:
            return ["0 calls"]
        most = f" of {used.calls + used.left['calls']:,.0f}" if "calls" in used.left else ""
        parts = [f"{used.calls:,}{most} calls" if most else counted(used.calls, "call")]
        if used.failed_calls:
            parts.append(counted(used.failed_calls, "failed attempt"))
        parts.append(f"{used.prompt_tokens + used.completion_tokens:,} tokens")
        aside = [f"{used.cached_tokens:,} cached"] if used.cached_tokens else []
        aside += [f"at most {used.doubtful_tokens:,} more"] if used.doubtful_tokens else []
        if aside:
            parts[-1] += f" ({', '.join(aside)})"
        if used.cost_usd:
            parts.append(f"${used.cost_usd:.4f}")
        return parts

    @property
    def left(self) -> list[str]:
        """What is left of each limit that was set."""
        return [_amount(name, value) for name, value in (self.usage.left if self.usage else {}).items()]


def _amount(name: str, value: float) -> str:
    if name.startswith("cost"):
        return f"${value:.4f}"
    return f"{value:,.1f} minutes" if name == "minutes" else f"{value:,.0f} {name}"
